//! `watchfire explain`: who may have an object, rule by rule.

use clap::Args;

use super::error::CliError;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{ActionView, Op, Reply};
use watchfire_protocol::policy::RULES;

/// Explain who may have an object or a bundle, rule by rule
///
/// Without --to it answers for the people of this node. In a pipe every rule
/// that was asked is one line: action, allowed or denied, deciding rule, rule,
/// verdict, what the rule asks.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire explain indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f --to de-cert
  watchfire explain indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f --to public")]
pub(crate) struct ExplainArgs {
    /// A STIX id, or the 64 digits of a bundle id
    id: String,
    /// A member, or "public" for everybody else
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
}

pub(crate) fn run(context: &Context, args: &ExplainArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Explain {
        id: args.id.clone(),
        to: args.to.clone(),
    };
    let Reply::Explained(explained) = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("explain", &explained);
    }
    let verdict = |allowed: bool| if allowed { "allowed" } else { "denied" };
    if !ui.for_people() {
        let rows: Vec<Vec<String>> = explained
            .actions
            .iter()
            .flat_map(|action| {
                action.steps.iter().map(move |step| {
                    vec![
                        action.action.clone(),
                        verdict(action.allowed).to_owned(),
                        action.rule.clone(),
                        step.rule.clone(),
                        step.verdict.clone(),
                        step.asks.clone(),
                    ]
                })
            })
            .collect();
        if !explained.also_from.is_empty() {
            // The rows are for programs and have no place for it.
            ui.note(&format!("also from {}", explained.also_from.join(", ")));
        }
        return ui.rows(None, &[], &rows);
    }
    let mut fields = vec![
        ("id", explained.id),
        ("marking", explained.marking),
        (
            "author",
            super::peer::author(&explained.author, explained.distrusted),
        ),
    ];
    if !explained.also_from.is_empty() {
        fields.push(("also from", explained.also_from.join(", ")));
    }
    if let Some(accepted) = &explained.accepted {
        let reasons = accepted.reasons.join(", ");
        let line = format!("{}, though {reasons}: {}", accepted.at, accepted.because);
        fields.push(("accepted here", line));
    }
    fields.push(("to", format!("{}, {}", explained.to, explained.subject)));
    ui.fields(&fields)?;
    for action in explained.actions {
        ui.line("")?;
        let line = format!(
            "{}: {}, {}: {}",
            action.action,
            verdict(action.allowed),
            action.rule,
            action.about
        );
        ui.line(&ui.cell(&line))?;
        for line in chain(&action) {
            ui.line(&ui.cell(&line))?;
        }
    }
    Ok(())
}

/// Every rule of an action in order, for people: those that were asked, with
/// what they said, and behind a denial those that were not.
fn chain(action: &ActionView) -> Vec<String> {
    let line = |verdict: &str, rule: &str, asks: &str| format!("  {verdict:11}{rule:12}{asks}");
    let asked = action
        .steps
        .iter()
        .map(|step| line(&step.verdict, &step.rule, &step.asks));
    let unasked = RULES
        .iter()
        .filter(|rule| !action.steps.iter().any(|step| step.rule == rule.name))
        .map(|rule| line("not asked", rule.name, rule.asks));
    asked.chain(unasked).collect()
}

#[cfg(test)]
mod tests {
    use watchfire_protocol::policy::{Question, Verdict};

    use super::*;

    /// For every question there is: each rule once, in the order of the policy,
    /// up to the one that denied with what it said, and the others as not asked.
    #[test]
    fn every_rule_is_in_the_chain_in_order() {
        for question in Question::all() {
            let steps = question.explain();
            let said = |verdict| match verdict {
                Verdict::Passed => "passed",
                Verdict::Allowed(_) => "allowed",
                Verdict::Denied(_) => "denied",
            };
            let action = ActionView::of(question.action, question.decide(), &steps);
            let mut wanted: Vec<String> = RULES
                .iter()
                .map(|rule| {
                    let asked = steps.iter().find(|step| step.name == rule.name);
                    let verdict = asked.map_or("not asked", |step| said(step.verdict));
                    format!("  {verdict:11}{:12}{}", rule.name, rule.asks)
                })
                .collect();
            // What is allowed ends with the rule that allows.
            wanted.extend(
                steps.iter().skip(RULES.len()).map(|step| {
                    format!("  {:11}{:12}{}", said(step.verdict), step.name, step.asks)
                }),
            );
            assert_eq!(chain(&action), wanted, "{question:?}");
        }
    }
}
