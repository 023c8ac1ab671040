//! `watchfire roster propose`: what is to change.

use std::path::Path;

use clap::Args;
use watchfire_protocol::limits::ROSTER_BYTES_MAX;
use watchfire_protocol::wire::card::Role;

use super::next_of;
use super::say::{membership, said};
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, TIMEOUT_DEFAULT, files, invite};
use crate::control::Op;
use crate::control::governance::{ChangeOp, ProposeOp, RuleOp};
use crate::keystore::read_bounded;

/// Propose a roster: who enters, who leaves, what changes
///
/// Changes are made in this order: communities, settlements, new root keys,
/// expulsions, admissions; no two name one member. Of who is expelled, or whose
/// root is replaced, what this node holds without gaps stays and nothing later
/// counts.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire roster propose --reason \"Kosovo joins\" --admit xk.card=partners --community partners
  watchfire roster propose --reason \"Kosovo joins\" --admit knock:1f90ab77=partners
  watchfire roster propose --reason \"keys in foreign hands\" --expel xk-cert
  watchfire roster propose --reason \"its root was lost\" --rekey at-cert=9b5c…
  watchfire roster propose --reason \"a hub from now on\" --settle de-cert=hub:dach,eu
  watchfire roster propose --reason \"the three decide\" --community dach=named:at-cert,de-cert,ch-cert/2")]
#[command(group = clap::ArgGroup::new("changes").required(true).multiple(true).args(["admit", "expel", "settle", "rekey", "community"]))]
pub(crate) struct ProposeArgs {
    /// Why, for the people who vote
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Admit an organisation by its card, or by the card it left at the door as knock:ID, to these communities
    #[arg(long, value_name = "CARD[=COMMUNITY,…]")]
    admit: Vec<String>,
    /// Expel a member
    #[arg(long, value_name = "SLUG")]
    expel: Vec<String>,
    /// Give a member another role, other communities or both
    #[arg(long, value_name = "SLUG=[ROLE][:COMMUNITY,…]")]
    settle: Vec<String>,
    /// Replace the root key of a member by the one with these 64 digits, or in this file
    #[arg(long, value_name = "SLUG=DIGITS")]
    rekey: Vec<String>,
    /// Begin a community, or change who may change it: federation, own, or named:SLUG,SLUG/COUNT
    #[arg(long, value_name = "NAME[=RULE]")]
    community: Vec<String>,
}

pub(super) fn run(context: &Context, args: &ProposeArgs) -> Result<(), CliError> {
    let op = ProposeOp {
        reason: args.reason.clone(),
        changes: changes(context, args)?,
    };
    let mut node = context.connect(TIMEOUT_DEFAULT)?;
    let reply = said(context, &mut node, Op::Propose(op), "roster-propose")?;
    let view = membership(&mut node)?;
    let proposal = view
        .proposals
        .iter()
        .find(|proposal| Some(&proposal.id) == reply.roster.as_ref());
    if let Some(proposal) = proposal {
        for change in &proposal.changes {
            context.ui.note(&format!("note: {change}"));
        }
        for line in next_of(proposal) {
            context.ui.note(&line);
        }
    }
    Ok(())
}

fn usage(message: String) -> CliError {
    CliError::new(Code::Usage, message).hint("see \"watchfire roster propose --help\"")
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn changes(context: &Context, args: &ProposeArgs) -> Result<Vec<ChangeOp>, CliError> {
    let mut changes = Vec::new();
    for text in &args.community {
        changes.push(community(text)?);
    }
    for text in &args.settle {
        changes.push(settle(text)?);
    }
    for text in &args.rekey {
        let (member, key) = text.split_once('=').ok_or_else(|| {
            usage(format!(
                "--rekey {text}: a key is missing, as in SLUG=DIGITS"
            ))
        })?;
        changes.push(ChangeOp::Rekey {
            member: member.to_owned(),
            root_public: root_public(key)?,
        });
    }
    changes.extend(args.expel.iter().map(|member| ChangeOp::Expel {
        member: member.clone(),
    }));
    let mut cards = 0;
    for text in &args.admit {
        // A file's name may hold the sign, too.
        let (path, communities) = match text.rsplit_once('=') {
            Some((path, names)) if !Path::new(text).exists() => (path, list(names)),
            Some(_) | None => (text.as_str(), Vec::new()),
        };
        let bytes = match invite::knock_named(context, path)? {
            Some(card) => card,
            None => read_bounded(Path::new(path), ROSTER_BYTES_MAX).map_err(files::absent)?,
        };
        let (_, checked) = files::card_of(&bytes, path)?;
        cards += bytes.len();
        if cards > ROSTER_BYTES_MAX {
            return Err(CliError::new(
                Code::Usage,
                format!("the card of {} is one too many: a roster has room for {ROSTER_BYTES_MAX} bytes", checked.card.slug),
            )
            .hint("propose the others once this roster is decided"));
        }
        changes.push(ChangeOp::Admit {
            card: hex::encode(bytes),
            communities,
        });
    }
    Ok(changes)
}

fn community(text: &str) -> Result<ChangeOp, CliError> {
    let (name, rule) = text.split_once('=').unwrap_or((text, "federation"));
    let wrong = || {
        usage(format!(
            "--community {text}: \"{rule}\" is no rule; use federation, own, or named:SLUG,SLUG/COUNT"
        ))
    };
    let rule = match rule {
        "federation" => RuleOp::Federation,
        "own" => RuleOp::Own,
        other => {
            let (members, of) = other
                .strip_prefix("named:")
                .and_then(|rest| rest.rsplit_once('/'))
                .ok_or_else(wrong)?;
            RuleOp::Named {
                members: list(members),
                of: of.parse().map_err(|_| wrong())?,
            }
        }
    };
    Ok(ChangeOp::Community {
        name: name.to_owned(),
        rule,
    })
}

fn settle(text: &str) -> Result<ChangeOp, CliError> {
    let wrong = || {
        usage(format!(
            "--settle {text}: a role or communities are missing, as in SLUG=hub, SLUG=:eu,efta or SLUG=agency:eu"
        ))
    };
    let (member, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (role, communities) = match rest.split_once(':') {
        Some((role, names)) => (role, Some(list(names))),
        None => (rest, None),
    };
    if role.is_empty() && communities.is_none() {
        return Err(wrong());
    }
    if !role.is_empty() {
        role.parse::<Role>()
            .map_err(|why| usage(format!("--settle {text}: {why}")))?;
    }
    Ok(ChangeOp::Settle {
        member: member.to_owned(),
        role: (!role.is_empty()).then(|| role.to_owned()),
        communities,
    })
}

/// 64 digits, or a file that holds them.
fn root_public(text: &str) -> Result<String, CliError> {
    /// A line of 64 digits, however they are parted.
    const FILE_BYTES_MAX: usize = 1_024;
    let path = Path::new(text);
    let held;
    let digits = if path.exists() {
        let bytes = read_bounded(path, FILE_BYTES_MAX).map_err(files::absent)?;
        held = String::from_utf8_lossy(&bytes).into_owned();
        held.as_str()
    } else {
        text
    };
    let digits: String = digits
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, ':' | '-'))
        .map(|char| char.to_ascii_lowercase())
        .collect();
    let is_key = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_key {
        Ok(digits)
    } else {
        Err(usage(format!(
            "\"{text}\" names no root key: give its 64 digits, or a file that holds them"
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn changes_are_read_as_they_are_written() {
        let ChangeOp::Community { name, rule } =
            community("dach=named:at-cert, de-cert/2").unwrap()
        else {
            panic!("no community")
        };
        assert_eq!(name, "dach");
        let members = vec!["at-cert".to_owned(), "de-cert".to_owned()];
        assert_eq!(rule, RuleOp::Named { members, of: 2 });
        let ChangeOp::Community { rule, .. } = community("eu").unwrap() else {
            panic!("no community")
        };
        assert_eq!(rule, RuleOp::Federation);
        for wrong in ["eu=mine", "eu=named:a", "eu=named:a/x", "eu=named:a/300"] {
            assert_eq!(community(wrong).unwrap_err().code, Code::Usage, "{wrong}");
        }
        let of = |text| match settle(text).unwrap() {
            ChangeOp::Settle {
                role, communities, ..
            } => (role, communities),
            ChangeOp::Admit { .. }
            | ChangeOp::Expel { .. }
            | ChangeOp::Rekey { .. }
            | ChangeOp::Community { .. } => panic!("no settlement"),
        };
        let eu = Some(vec!["eu".to_owned()]);
        assert_eq!(of("at=hub"), (Some("hub".to_owned()), None));
        assert_eq!(of("at=:eu"), (None, eu.clone()));
        assert_eq!(of("at=agency:eu"), (Some("agency".to_owned()), eu));
        assert_eq!(of("at=:"), (None, Some(Vec::new())), "of no community");
        for wrong in ["at", "at=", "at=king"] {
            assert_eq!(settle(wrong).unwrap_err().code, Code::Usage, "{wrong}");
        }
        let digits = "AB ".repeat(32);
        assert_eq!(root_public(&digits).unwrap(), "ab".repeat(32));
        assert_eq!(root_public("abcd").unwrap_err().code, Code::Usage);
    }
}
