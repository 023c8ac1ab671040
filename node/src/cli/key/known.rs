//! What is known here of the lives of a node: asked of the running node, or read
//! out of the store of one that does not run.

use watchfire_protocol::engine::admit_held;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::wire::notice::Revocation;

use super::Own;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, TIMEOUT_DEFAULT, files};
use crate::control::client::{ControlClient, ControlError};
use crate::control::lives::named;
use crate::control::{Op, Reply, SyncView};
use crate::disk::SledStore;
use crate::home::Home;
use crate::lives::{Lives, certificates_in, lives_of, revocations_in};
use crate::revocations;

/// How long the node may take to look at every peer when `--timeout` does not say.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// What is known of a node's lives, and how well.
pub(super) struct Known {
    pub(super) lives: Lives,
    /// How catching up stands, of a node that runs.
    pub(super) sync: Option<SyncView>,
}

impl Known {
    /// Whether every member that is connected was asked for all it has, and there
    /// is one.
    pub(super) fn is_caught_up(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| {
            sync.connected > 0 && sync.ahead == 0 && sync.missing == 0 && sync.under_way == 0
        })
    }
}

/// Looks at the node whose id begins so; without one, at this node.
pub(super) fn known(
    context: &Context,
    home: &Home,
    own: &Own,
    which: Option<&str>,
) -> Result<Known, CliError> {
    match context.connect(PATIENCE) {
        Ok(mut node) => of_running(context, &mut node, which),
        Err(error) if error.code == Code::Unreachable => Ok(Known {
            lives: of_stopped(context, home, own, which)?,
            sync: None,
        }),
        Err(error) => Err(error),
    }
}

fn of_running(
    context: &Context,
    node: &mut ControlClient,
    which: Option<&str>,
) -> Result<Known, CliError> {
    let progress = context.ui.progress("looking at every peer");
    let Reply::Synced(sync) = node.request(Op::Sync, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    drop(progress);
    let op = Op::Lives {
        node: which.map(str::to_owned),
    };
    let Reply::Lives(reply) = node.request(op, &[])? else {
        return Err(ControlError::Unexpected.into());
    };
    let lives = reply.read().ok_or(ControlError::Unexpected)?;
    Ok(Known {
        lives,
        sync: Some(sync),
    })
}

/// Out of the store, where no node has it.
fn of_stopped(
    context: &Context,
    home: &Home,
    own: &Own,
    which: Option<&str>,
) -> Result<Lives, CliError> {
    let _lock = home.lock()?;
    let mut roster = files::roster(home)?.ok_or_else(|| {
        CliError::new(
            Code::NotInitialised,
            "this node belongs to no federation yet",
        )
        .hint("join one with \"watchfire join\", by an invitation, a genesis or a packet")
    })?;
    let _progress = context.ui.progress("reading the store");
    let store = SledStore::open(&home.store())?;
    learn(&mut roster, home, &store)?;
    let member = roster
        .root_owner(own.root_key.as_bytes())
        .ok_or_else(not_a_member)?;
    let node = match which {
        Some(digits) => named(&roster, &member, digits).map_err(ControlError::Failed)?,
        None => own.node(),
    };
    lives_of(&roster, &store, &member, &node)?.ok_or_else(not_a_member)
}

fn not_a_member() -> CliError {
    CliError::new(
        Code::NotAllowed,
        "this node's member is not in the roster, or nothing is known of that node",
    )
    .hint("start the node, so that it learns the roster and the certificates of others")
}

/// What a roster of files alone does not know: certificates and revocations that
/// came over the network, and those that came by file.
fn learn(roster: &mut Roster, home: &Home, store: &SledStore) -> Result<(), CliError> {
    admit_held(roster, certificates_in(store)?);
    let mut held = revocations_in(store)?;
    held.extend(revocations::installed(home));
    for revocation in held {
        // One that does not hold here ends nothing.
        if let Ok(checked) = roster.check_revocation(revocation.to_signed::<Revocation>()) {
            roster.revoke(&checked);
        }
    }
    Ok(())
}

/// The highest serial of the member that is known to the node, running or not;
/// none where neither can be asked, and then the files say what they know.
pub(super) fn serial_highest(context: &Context, home: &Home, own: &Own) -> Option<u64> {
    own.certificate.as_ref()?;
    let lives = match context.connect(TIMEOUT_DEFAULT) {
        Ok(mut node) => {
            let Reply::Lives(reply) = node.request(Op::Lives { node: None }, &[]).ok()? else {
                return None;
            };
            reply.read()?
        }
        Err(error) if error.code == Code::Unreachable => {
            of_stopped(context, home, own, None).ok()?
        }
        Err(_) => return None,
    };
    Some(lives.serial_of_member)
}
