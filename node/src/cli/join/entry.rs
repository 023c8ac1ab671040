//! Joining a federation that has gone on since it was founded: genesis and links
//! come in one packet, and the links go into the store and the files beside it,
//! where the node finds them as it starts. The federation has been compared before.

use watchfire_protocol::roster::{CheckedCard, Roster};
use watchfire_protocol::store::{Batch, Store as _};
use watchfire_protocol::table;
use watchfire_protocol::wire::roster::Link;

use super::{Joined, has_joined};
use crate::cli::error::{CliError, Code};
use crate::cli::roster::Chain;
use crate::cli::{Context, files};
use crate::disk::{SledStore, chain};
use crate::home::Home;
use crate::keystore::{MODE_PUBLIC, write_new};

pub(super) fn run(
    context: &Context,
    home: &Home,
    own: &CheckedCard,
    chain: &Chain,
) -> Result<(), CliError> {
    let roster = &chain.rebuilt.roster;
    if roster.member_of_root(own.root_key.as_bytes()).is_none() {
        return Err(CliError::new(
            Code::NotAllowed,
            format!(
                "{} is no member of the federation {} in epoch {}",
                own.card.slug,
                roster.name(),
                roster.epoch()
            ),
        )
        .hint("check --data-dir; once the roster that admits you is decided, ask a member for a new packet"));
    }
    if roster.certificate(&own.certificate.id).is_none() {
        return Err(CliError::new(
            Code::Verification,
            format!(
                "the roster holds another card of {} than this directory",
                own.card.slug
            ),
        )
        .hint("restore the directory the card came from"));
    }
    let already_joined = has_joined(home, &roster.federation())?;
    keep_links(home, chain)?;
    if !already_joined {
        // Last, so that a directory with a genesis has the links, too.
        write_new(&home.genesis(), chain.packet.genesis(), MODE_PUBLIC)?;
    }
    tell(context, roster, own, already_joined)
}

/// Says which federation this node has joined, and as whom.
pub(super) fn tell(
    context: &Context,
    roster: &Roster,
    own: &CheckedCard,
    already_joined: bool,
) -> Result<(), CliError> {
    let ui = &context.ui;
    let mut members: Vec<String> = roster
        .members()
        .map(|member| member.slug.to_string())
        .collect();
    members.sort_unstable();
    let joined = Joined {
        state: "joined",
        federation: roster.federation().to_string(),
        name: roster.name().to_owned(),
        member: own.card.slug.to_string(),
        members,
        already_joined,
    };
    if ui.json() {
        return ui.document("join", &joined);
    }
    ui.fields(&[
        ("federation", joined.name),
        ("fingerprint", files::grouped(&joined.federation)),
        ("epoch", roster.epoch().to_string()),
        ("joined as", joined.member),
        ("members", joined.members.join(", ")),
    ])?;
    if already_joined {
        ui.note("note: this node had joined before");
    }
    ui.note("next: watchfire serve");
    Ok(())
}

/// Puts the links that the store has not into it. Those it has stay.
fn keep_links(home: &Home, chain: &Chain) -> Result<(), CliError> {
    let _lock = home.lock()?;
    let store = SledStore::open(&home.store())?;
    let mut batch = Batch::default();
    for (view, link) in chain.epochs.iter().skip(1).zip(chain.packet.links()) {
        let key = table::link(view.epoch);
        let Some(held) = store.get(&key)? else {
            batch.put(key, link.to_vec());
            continue;
        };
        let is_same = Link::from_bytes(&held).is_ok_and(|held| held.id().to_string() == view.id);
        if !is_same {
            return Err(CliError::new(
                Code::Verification,
                format!(
                    "this node holds another roster of epoch {} than the packet",
                    view.epoch
                ),
            )
            .hint("do not use the packet; compare \"watchfire roster history\" with other members by telephone"));
        }
    }
    if !batch.is_empty() {
        chain::keep(&home.store(), &batch)?;
        store.apply(&batch)?;
        store.flush()?;
    }
    Ok(())
}
