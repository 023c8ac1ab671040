//! `watchfire explain`: who may have an object, rule by rule.

use clap::Args;

use super::error::CliError;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, Reply};

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
        ("author", explained.author),
    ];
    if !explained.also_from.is_empty() {
        fields.push(("also from", explained.also_from.join(", ")));
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
        for step in action.steps {
            ui.line(&ui.cell(&format!(
                "  {:8}{:28}{}",
                step.verdict, step.rule, step.asks
            )))?;
        }
    }
    Ok(())
}
