//! `watchfire show`: one object or bundle.

use clap::Args;

use super::error::CliError;
use super::{Context, TIMEOUT_DEFAULT};
use crate::control::client::ControlError;
use crate::control::{Op, Reply, ShowReply};

/// Show an object or a bundle, and where it came from
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire show indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f
  watchfire show indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f --stix > object.json")]
pub(crate) struct ShowArgs {
    /// A STIX id, or the 64 digits of a bundle id
    id: String,
    /// Print the STIX alone, byte for byte as its author made it
    #[arg(long)]
    stix: bool,
}

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let op = Op::Show {
        id: args.id.clone(),
    };
    let Reply::Shown(shown) = context.connect(TIMEOUT_DEFAULT)?.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    if ui.json() {
        return ui.document("show", &shown);
    }
    if args.stix {
        if !ui.for_people() {
            return ui.bytes(shown.stix.as_bytes());
        }
        for line in shown.stix.lines() {
            ui.line(&ui.cell(line))?;
        }
        ui.note("note: values are defanged on a terminal; redirect the output for the exact bytes");
        return Ok(());
    }
    ui.fields(&fields(&shown))?;
    // A whole bundle may be megabytes; the object is what was asked for.
    if shown.hit.is_some() && ui.for_people() {
        ui.line("")?;
        for line in shown.stix.lines() {
            ui.line(&ui.cell(line))?;
        }
    }
    Ok(())
}

/// What is said of it, in order.
fn fields(shown: &ShowReply) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if let Some(hit) = &shown.hit {
        fields.extend([
            ("id", hit.id.clone()),
            ("type", hit.kind.clone()),
            ("name", hit.name.clone()),
            ("marking", hit.marking.clone()),
            ("superseded", yes_no(hit.superseded)),
        ]);
        if let Some(modified) = &hit.modified {
            fields.push(("modified", modified.clone()));
        }
    }
    let bundle = &shown.bundle;
    fields.extend([
        ("bundle", bundle.id.clone()),
        ("envelope", bundle.envelope.clone()),
        (
            "author",
            super::peer::author(&bundle.author, bundle.distrusted),
        ),
    ]);
    if !shown.also_from.is_empty() {
        fields.push(("also from", shown.also_from.join(", ")));
    }
    fields.extend([
        ("bundle marking", bundle.marking.clone()),
        ("sequence", bundle.sequence.to_string()),
        ("created", bundle.created.clone()),
        ("received", bundle.received.clone()),
        ("valid until", bundle.valid_until.clone()),
        ("state", bundle.state.clone()),
        ("objects", bundle.objects.to_string()),
        ("values", bundle.values.to_string()),
        ("not indexed", bundle.not_indexed.to_string()),
        ("exercise", yes_no(bundle.exercise)),
    ]);
    fields
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn others_who_used_the_id_are_named() {
        let mut shown: ShowReply = serde_json::from_value(serde_json::json!({
            "bundle": {
                "id": "0", "envelope": "1", "author": "de-cert", "marking": "TLP:CLEAR",
                "sequence": 1, "created": "", "valid_until": "", "received": "",
                "state": "searchable", "objects": 1, "values": 1, "not_indexed": 0,
                "exercise": false
            },
            "hit": null,
            "stix": "{}"
        }))
        .unwrap();
        let named = |shown: &ShowReply| {
            let fields = fields(shown);
            let found = fields.into_iter().find(|(name, _)| *name == "also from");
            found.map(|(_, value)| value)
        };
        assert_eq!(named(&shown), None);
        shown.also_from = vec!["fr-cert".to_owned(), "jp-cert".to_owned()];
        assert_eq!(named(&shown).unwrap(), "fr-cert, jp-cert");
    }
}
