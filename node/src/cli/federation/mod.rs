//! `watchfire federation`: the founding of a federation, which happens once
//! and by hand: cards go to one member, a genesis goes round all of them.

use clap::Subcommand;
use serde::Serialize;
use watchfire_protocol::roster::GenesisState;

use super::error::CliError;
use super::{Context, Ui, files};

mod create;
mod show;
mod sign;

/// Found a federation, step by step
///
/// One member creates the genesis of everybody's cards, every member signs it,
/// and everybody joins with the complete file, after comparing its fingerprint
/// by telephone.
#[derive(Debug, Subcommand)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) enum FederationCommand {
    Create(create::CreateArgs),
    Sign(sign::SignArgs),
    Show(show::ShowArgs),
}

pub(crate) fn run(context: &Context, command: FederationCommand) -> Result<(), CliError> {
    match command {
        FederationCommand::Create(args) => create::run(context, args),
        FederationCommand::Sign(args) => sign::run(context, args),
        FederationCommand::Show(args) => show::run(context, &args),
    }
}

/// A genesis as the three commands print it.
#[derive(Serialize)]
struct GenesisView {
    file: String,
    federation: String,
    name: String,
    created: String,
    complete: bool,
    members: Vec<MemberView>,
}

#[derive(Serialize)]
struct MemberView {
    slug: String,
    role: &'static str,
    name: String,
    communities: Vec<String>,
    addresses: Vec<String>,
    card_fingerprint: String,
    certificate_until: String,
    signed: bool,
}

impl GenesisView {
    fn new(file: String, state: &GenesisState) -> Self {
        let members = state
            .genesis
            .members
            .iter()
            .zip(&state.cards)
            .zip(&state.signed)
            .map(|((member, checked), signed)| MemberView {
                slug: member.slug.to_string(),
                role: member.role.name(),
                name: checked.card.contact.name.as_str().to_owned(),
                communities: member
                    .communities
                    .iter()
                    .map(|text| text.as_str().to_owned())
                    .collect(),
                addresses: checked
                    .card
                    .addresses
                    .iter()
                    .map(|text| text.as_str().to_owned())
                    .collect(),
                card_fingerprint: checked.id.to_string(),
                certificate_until: crate::clock::moment(checked.certificate.not_after_ms),
                signed: *signed,
            })
            .collect();
        Self {
            file,
            federation: state.federation.to_string(),
            name: state.genesis.name.as_str().to_owned(),
            created: crate::clock::moment(state.genesis.created_ms),
            complete: state.signed.iter().all(|signed| *signed),
            members,
        }
    }

    fn missing(&self) -> Vec<&str> {
        self.members
            .iter()
            .filter(|member| !member.signed)
            .map(|member| member.slug.as_str())
            .collect()
    }

    /// The data of the command, in the form that was asked for.
    fn print(&self, ui: &Ui, command: &str) -> Result<(), CliError> {
        if ui.json() {
            return ui.document(command, self);
        }
        let missing = self.missing();
        let signed = format!(
            "{} of {}",
            self.members.len() - missing.len(),
            self.members.len()
        );
        ui.fields(&[
            ("federation", self.name.clone()),
            ("fingerprint", files::grouped(&self.federation)),
            ("created", self.created.clone()),
            ("file", self.file.clone()),
            (
                "signed",
                if missing.is_empty() {
                    signed
                } else {
                    format!("{signed}, still to sign: {}", missing.join(", "))
                },
            ),
        ])?;
        if ui.for_people() {
            ui.line("")?;
        }
        let rows: Vec<Vec<String>> = self
            .members
            .iter()
            .map(|member| {
                vec![
                    member.slug.clone(),
                    member.role.to_owned(),
                    if member.signed { "yes" } else { "no" }.to_owned(),
                    member.communities.join(","),
                    member.certificate_until.clone(),
                    member.name.clone(),
                ]
            })
            .collect();
        ui.rows(
            Some("member"),
            &[
                "MEMBER",
                "ROLE",
                "SIGNED",
                "COMMUNITIES",
                "CERTIFIED UNTIL",
                "NAME",
            ],
            &rows,
        )
    }

    /// What to do next.
    fn next(&self, ui: &Ui) {
        if self.complete {
            ui.note("next: send this file to every member; each compares the fingerprint by telephone, then runs");
            ui.note(&format!(
                "  watchfire join {} --fingerprint \"{}\"",
                self.file,
                files::grouped(&self.federation)
            ));
        } else {
            ui.note(&format!(
                "next: send this file to {}, to run",
                self.missing().join(", ")
            ));
            ui.note("  watchfire federation sign FILE");
        }
    }
}
