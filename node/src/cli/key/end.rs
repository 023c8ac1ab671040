//! The end of a node, as people are shown it before a root signs it and after.

use clap::{Args, ValueEnum};
use serde::Serialize;
use watchfire_crypto::PublicKey;
use watchfire_protocol::ending::CheckedEnd;
use watchfire_protocol::wire::notice::{Revocation, RevocationReason, StreamCut};
use watchfire_protocol::wire::{List, Tag};

use super::{DAY_MS, RequestView};
use crate::cli::error::{CliError, Code};
use crate::cli::files;
use crate::clock::{moment, wall_ms};
use crate::lives::Lives;

/// Why a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReasonArg {
    /// Somebody else has, or may have, its keys
    Compromised,
    /// Another node takes its place
    Replaced,
    /// It is not used any more
    Retired,
}

impl From<ReasonArg> for RevocationReason {
    fn from(reason: ReasonArg) -> Self {
        match reason {
            ReasonArg::Compromised => Self::Compromised,
            ReasonArg::Replaced => Self::Replaced,
            ReasonArg::Retired => Self::Retired,
        }
    }
}

/// How much of a node ends, and why.
#[derive(Args, Clone, Debug)]
pub(super) struct EndArgs {
    /// Why the node ends; everybody reads it
    #[arg(long, value_name = "REASON")]
    pub(super) reason: Option<ReasonArg>,
    /// End its certificates up to this serial alone [default: all, also such as are not known here]
    #[arg(long, value_name = "SERIAL")]
    pub(super) up_to: Option<u64>,
}

/// What a root is to say of a node, made out of what is known of it.
pub(super) fn revocation_of(
    lives: &Lives,
    serial: u64,
    reason: RevocationReason,
) -> Result<Revocation, CliError> {
    Ok(Revocation {
        federation: lives.federation,
        member: lives.member,
        root_key: lives.root_key.to_bytes(),
        node: lives.node,
        serial,
        created_ms: wall_ms(),
        reason,
        cuts: List::new(lives.cuts.clone()).map_err(|error| CliError::of(Code::Failure, &error))?,
    })
}

/// What a person should know of it before anybody signs.
pub(super) fn notes_of(lives: &Lives) -> Vec<String> {
    let mut notes: Vec<String> = lives
        .forks
        .iter()
        .map(|(stream, place)| {
            format!(
                "note: in life {} its {} stream forked at {place}: what lies below counts",
                stream.incarnation,
                tag_text(&stream.tag)
            )
        })
        .collect();
    if lives.left_out > 0 {
        notes.push(format!(
            "note: there was no room for {} of its streams, of its oldest lives: nothing of them counts any more",
            lives.left_out
        ));
    }
    notes
}

/// As people and programs are shown it.
#[derive(Serialize)]
pub(super) struct EndView {
    file: String,
    /// What people compare; absent where nothing was carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    federation: String,
    member: String,
    root_key: String,
    node: String,
    /// The last serial that ends; absent where all do, also later ones.
    serial: Option<u64>,
    reason: &'static str,
    created: String,
    cuts: Vec<CutView>,
    /// The certificate of the node's next life.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RequestView>,
}

#[derive(Serialize)]
struct CutView {
    incarnation: u64,
    stream: String,
    sequence: u64,
    head: String,
}

impl EndView {
    pub(super) fn new(file: String, slug: &str, revocation: &Revocation) -> Self {
        Self {
            file,
            fingerprint: None,
            federation: revocation.federation.to_string(),
            member: slug.to_owned(),
            root_key: hex::encode(revocation.root_key),
            node: revocation.node.to_string(),
            serial: (revocation.serial != u64::MAX).then_some(revocation.serial),
            reason: reason_text(revocation.reason),
            created: moment(revocation.created_ms),
            cuts: revocation.cuts.iter().map(CutView::of).collect(),
            next: None,
        }
    }

    pub(super) fn asked(file: String, asked: &CheckedEnd) -> Self {
        Self {
            fingerprint: Some(hex::encode(asked.fingerprint)),
            next: asked
                .next
                .as_ref()
                .map(|next| RequestView::new(file.clone(), next)),
            ..Self::new(file, asked.slug.as_str(), &asked.revocation)
        }
    }

    /// Names and values, the one that people compare first.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if let Some(fingerprint) = &self.fingerprint {
            fields.push(("fingerprint", files::grouped(fingerprint)));
        }
        fields.extend([
            ("ends", files::grouped(&self.node)),
            ("of", self.member.clone()),
            ("root key", files::grouped(&self.root_key)),
            (
                "certificates",
                self.serial.map_or_else(
                    || "all of this node, also later ones".to_owned(),
                    |serial| format!("those of this node up to serial {serial}"),
                ),
            ),
            ("because", self.reason.to_owned()),
            ("made", self.created.clone()),
        ]);
        if self.cuts.is_empty() {
            fields.push(("counts", "nothing of its streams".to_owned()));
        }
        fields.extend(self.cuts.iter().map(|cut| {
            let head: String = cut.head.chars().take(16).collect();
            (
                "counts",
                format!(
                    "life {}, {} stream: up to {} ({head})",
                    cut.incarnation, cut.stream, cut.sequence
                ),
            )
        }));
        if let Some(next) = &self.next {
            fields.push(("then", format!("life {} begins", next.incarnation)));
            fields.push(("serial", next.serial.to_string()));
            fields.push(("from", next.from.clone()));
            fields.push(("until", format!("{} ({} days)", next.until, next.days)));
        }
        fields.push(("federation", files::grouped(&self.federation)));
        fields.push(("file", self.file.clone()));
        fields
    }
}

impl CutView {
    fn of(cut: &StreamCut) -> Self {
        Self {
            incarnation: cut.incarnation,
            stream: tag_text(&cut.tag),
            sequence: cut.sequence,
            head: cut.head.to_string(),
        }
    }
}

const fn reason_text(reason: RevocationReason) -> &'static str {
    match reason {
        RevocationReason::Compromised => "compromised",
        RevocationReason::Replaced => "replaced",
        RevocationReason::Restored => "restored",
        RevocationReason::Retired => "retired",
    }
}

fn tag_text(tag: &Tag) -> String {
    if *tag == Tag::CONTROL {
        "control".to_owned()
    } else if *tag == Tag::PUBLIC {
        "public".to_owned()
    } else {
        hex::encode(tag.as_bytes())
    }
}

/// Refuses what is made in a future: others would take it only when that has come.
/// A day is for clocks that differ.
pub(super) fn not_ahead(revocation: &Revocation) -> Result<(), CliError> {
    let now_ms = wall_ms();
    if revocation.created_ms <= now_ms.saturating_add(DAY_MS) {
        return Ok(());
    }
    Err(CliError::new(
        Code::NotAllowed,
        format!(
            "the request was made on {}, and now is {}",
            moment(revocation.created_ms),
            moment(now_ms)
        ),
    )
    .hint("check the clocks of this machine and of the node, and have it made again"))
}

/// The root key of a revocation as a key.
pub(super) fn root_of(revocation: &Revocation) -> Result<PublicKey, CliError> {
    PublicKey::enrol(&revocation.root_key).map_err(|error| CliError::of(Code::Verification, &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use watchfire_crypto::SigningKey;
    use watchfire_protocol::ids::{EnvelopeId, FederationId, MemberId, NodeId};
    use watchfire_protocol::wire::exchange::StreamId;

    use super::*;

    #[test]
    fn all_that_ends_is_shown_and_what_goes_on() {
        let root = SigningKey::from_seed(&[5; 32]).public();
        let node = NodeId::from_bytes([2; 32]);
        let stream = StreamId {
            node,
            incarnation: 1,
            tag: Tag::PUBLIC,
        };
        let lives = Lives {
            federation: FederationId::from_bytes([1; 32]),
            member: MemberId::of_root(&root),
            slug: "at-cert".to_owned(),
            root_key: root,
            node,
            serial: 4,
            incarnation: 1,
            serial_of_member: 6,
            cuts: vec![StreamCut {
                incarnation: 1,
                tag: Tag::PUBLIC,
                sequence: 12,
                head: EnvelopeId::from_bytes([0xab; 32]),
            }],
            left_out: 2,
            forks: [(stream, 13)].into(),
        };
        let notes = notes_of(&lives);
        assert!(notes[0].contains("public stream forked at 13"));
        assert!(notes[1].contains("no room for 2"));
        let revocation = revocation_of(&lives, u64::MAX, RevocationReason::Compromised).unwrap();
        let view = EndView::new("x".to_owned(), "at-cert", &revocation);
        let text = |view: &EndView| {
            let lines = view.fields().into_iter();
            lines
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect::<String>()
        };
        let all = text(&view);
        assert!(all.contains("also later ones") && all.contains("because: compromised"));
        assert!(
            all.contains("life 1, public stream: up to 12 (abababababababab)"),
            "{all}"
        );
        assert_eq!(
            serde_json::to_value(&view).unwrap()["serial"],
            serde_json::Value::Null
        );
        let some = revocation_of(&lives, 4, RevocationReason::Retired).unwrap();
        let some = text(&EndView::new("x".to_owned(), "at-cert", &some));
        assert!(some.contains("up to serial 4"), "{some}");
        not_ahead(&revocation).unwrap();
        let mut ahead = revocation;
        ahead.created_ms += 2 * DAY_MS;
        not_ahead(&ahead).unwrap_err();
    }
}
