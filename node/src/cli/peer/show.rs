//! `watchfire peer show`: one member, and whom to call there.

use clap::Args;
use serde::Serialize;

use super::{days, epoch, heard, member_of, offset, state, suspension};
use crate::cli::error::CliError;
use crate::cli::ui::visible;
use crate::cli::{Context, Ui, files};
use crate::control::WithheldView;
use crate::control::governance::{MemberReport, MembersReply};

/// Show a member: its duty desk, its standing, its addresses, its nodes
///
/// What a member says of itself comes from its newest card, which its root key
/// signed.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  watchfire peer show at-cert")]
pub(crate) struct PeerShowArgs {
    /// Slug of the member
    member: String,
}

/// What is printed of one fact.
enum Value {
    /// As every other text: defanged where a person could click it.
    Text(String),
    /// To be copied, and no indicator: whom to call, where to dial.
    Copied(String),
}

pub(super) fn run(
    context: &Context,
    reply: &MembersReply,
    args: &PeerShowArgs,
) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Shown<'a> {
        epoch: u64,
        #[serde(flatten)]
        member: &'a MemberReport,
    }
    let ui = &context.ui;
    let member = member_of(reply, &args.member)?;
    if ui.json() {
        return ui.document(
            "peer",
            &Shown {
                epoch: reply.epoch,
                member,
            },
        );
    }
    let mut lines = contact(member);
    lines.extend(standing(member));
    lines.extend(nodes(member, reply.epoch));
    let addresses = [
        ("dialled at", &member.addresses),
        ("door at", &member.door_addresses),
    ];
    for (name, addresses) in addresses {
        let copied = |address: &String| (name, Value::Copied(address.clone()));
        lines.extend(addresses.iter().map(copied));
    }
    print(ui, &lines)
}

fn print(ui: &Ui, lines: &[(&'static str, Value)]) -> Result<(), CliError> {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in lines {
        let value = match value {
            Value::Text(text) => ui.cell(text),
            Value::Copied(text) => visible(text),
        };
        ui.line(&if ui.for_people() {
            format!("{name:width$}  {value}")
        } else {
            format!("{name}\t{value}")
        })?;
    }
    Ok(())
}

/// Who it is and whom to call, what is not said left out.
fn contact(member: &MemberReport) -> Vec<(&'static str, Value)> {
    let duty = &member.duty;
    let hours = if duty.hours.is_empty() {
        String::new()
    } else {
        format!("{} ({})", duty.hours, duty.zone)
    };
    let pgp = member.pgp.as_deref().map(fingerprint).unwrap_or_default();
    let said = [
        ("name", Value::Text(member.name.clone())),
        ("duty telephone", Value::Copied(duty.phone.clone())),
        ("duty mail", Value::Copied(duty.mail.clone())),
        ("duty hours", Value::Copied(hours)),
        ("languages", Value::Copied(member.languages.join(", "))),
        ("mail", Value::Copied(member.mail.clone())),
        ("OpenPGP", Value::Copied(pgp)),
    ];
    let is_said = |value: &Value| match value {
        Value::Text(text) | Value::Copied(text) => !text.is_empty(),
    };
    let who = format!("{} ({})", member.slug, member.role);
    let mut lines = vec![("member", Value::Text(who))];
    lines.extend(said.into_iter().filter(|(_, value)| is_said(value)));
    lines
}

/// As other programs print it: capitals, in groups of four.
fn fingerprint(digits: &str) -> String {
    files::grouped(&digits.to_ascii_uppercase())
}

fn standing(member: &MemberReport) -> Vec<(&'static str, Value)> {
    let text = |text: String| Value::Text(text);
    let mut lines = vec![
        ("communities", text(member.communities.join(", "))),
        ("root key", text(files::grouped(&member.root_public))),
        (
            "card of",
            text(
                member
                    .card_created
                    .clone()
                    .unwrap_or_else(|| "not known since its root was replaced".to_owned()),
            ),
        ),
    ];
    let mut standing: Vec<String> = suspension(member).into_iter().collect();
    if let Some(distrust) = &member.distrusted {
        standing.push(format!(
            "distrusted here since {}: {}",
            distrust.since, distrust.reason
        ));
    }
    if standing.is_empty() {
        standing.push("current".to_owned());
    }
    lines.push(("standing", text(standing.join("; "))));
    if let Some(ms) = member.clock_offset_ms {
        lines.push(("clock", text(format!("{} from this node's", offset(ms)))));
    }
    lines
}

fn nodes(member: &MemberReport, here: u64) -> Vec<(&'static str, Value)> {
    let mut lines = Vec::new();
    for node in &member.nodes {
        let held = epoch(node, here).unwrap_or_else(|| "not known".to_owned());
        let certificate = format!(
            "serial {}, until {}, {}",
            node.serial,
            node.certificate_until,
            days(node)
        );
        let facts = [
            ("node", node.node.clone()),
            ("state", state(member, Some(node))),
            ("heard of", heard(node)),
            ("holds epoch", held),
            ("certificate", certificate),
        ];
        lines.extend(facts.map(|(name, fact)| (name, Value::Text(fact))));
        let withheld = |withheld: &WithheldView| ("withholding", Value::Text(withheld.told()));
        lines.extend(node.withholding.iter().map(withheld));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_fingerprint_is_read_in_groups() {
        let text = fingerprint(&"0a1b".repeat(10));
        assert!(text.starts_with("0A1B 0A1B"), "{text}");
        assert_eq!(text.split(' ').count(), 10);
    }

    #[test]
    fn what_a_member_does_not_say_is_left_out() {
        let mut member: MemberReport = serde_json::from_value(serde_json::json!({
            "slug": "at-cert", "member": "00", "role": "agency", "communities": ["eu"],
            "name": "", "mail": "", "languages": [], "pgp": null,
            "duty": { "phone": "", "mail": "", "hours": "", "zone": "" },
            "root_public": "00", "addresses": [], "door_addresses": [],
            "card_created": null, "suspended": false, "nodes": []
        }))
        .unwrap();
        assert_eq!(contact(&member).len(), 1);
        member.duty.hours = "Mon-Fri 08:00-18:00".to_owned();
        member.duty.zone = "Europe/Vienna".to_owned();
        member.mail = "soc@cert.example".to_owned();
        let lines = contact(&member);
        let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["member", "duty hours", "mail"]);
        for (_, value) in &lines {
            match value {
                Value::Text(text) | Value::Copied(text) => assert!(!text.contains("[.]"), "{text}"),
            }
        }
    }
}
