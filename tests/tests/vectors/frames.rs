//! Frames and the verdict of the gate.

use crate::file::Vector;
use watchfire_protocol::gate;
use watchfire_protocol::roster::Roster;
use watchfire_tests::catalogue::catalogue;
use watchfire_tests::forge::Forge;
use watchfire_tests::verdict::{Verdict, verdict};

pub(crate) fn make() -> Vec<(String, Vector)> {
    catalogue(&Forge::default())
        .into_iter()
        .map(|case| {
            let (name, vector) = describe(case.what, &case.verdict);
            (
                format!("{name}-{}", case.name),
                vector.with_bytes("frame", &case.frame),
            )
        })
        .collect()
}

fn describe(what: &str, verdict: &Verdict) -> (&'static str, Vector) {
    let vector = Vector::new(what, "frame");
    match verdict {
        Verdict::Accept {
            content,
            envelope,
            bundle,
        } => {
            let mut vector = vector
                .with("expect", "accept")
                .with("content", content)
                .with("envelope_id", envelope);
            if let Some(bundle) = bundle {
                vector = vector.with("bundle_id", bundle);
            }
            ("accept", vector)
        }
        Verdict::Refuse {
            step,
            rule,
            forwarder_pays,
        } => {
            let expect = if *forwarder_pays { "reject" } else { "ignore" };
            (
                expect,
                vector
                    .with("expect", expect)
                    .with("step", &step.to_string())
                    .with("rule", rule),
            )
        }
    }
}

pub(crate) fn judge(name: &str, vector: &Vector, roster: &Roster) {
    let is_notice = gate::is_notice(&vector.bytes("frame"));
    assert!(!is_notice, "{name}: a notice has a check of its own");
    let found = verdict(&gate::check(&vector.bytes("frame"), roster));
    let expected = match vector.text("expect") {
        "accept" => Verdict::Accept {
            content: vector.text("content").to_owned(),
            envelope: vector.text("envelope_id").to_owned(),
            bundle: vector.all("bundle_id").first().map(|id| (*id).to_owned()),
        },
        expect => Verdict::Refuse {
            step: vector.text("step").parse().unwrap(),
            rule: vector.text("rule").to_owned(),
            forwarder_pays: expect == "reject",
        },
    };
    assert_eq!(found, expected, "{name}");
}
