//! Joining with an invitation: from the door of the member who invited, through
//! the vote of the others, to genesis and chain in the data directory. It may be
//! run as often as wanted; each run goes on where things stand.

use std::thread;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use serde::Serialize;
use watchfire_crypto::{Bounds, KeyFile, Purpose};
use watchfire_protocol::ids::{NodeId, RosterId};
use watchfire_protocol::limits::{DOOR_BYTES_MAX, VOTE_BYTES_MAX};
use watchfire_protocol::roster::{CheckedCard, Roster};
use watchfire_protocol::wire::envelope::frame_of;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest};
use watchfire_protocol::wire::invitation::Invitation;
use watchfire_protocol::wire::{Kind, Packet, SignedBytes, codec};

use super::consent::{self, Considered};
use super::door::{self, Asked as _, AtDoor};
use super::{JoinArgs, compared, entry, has_joined};
use crate::cli::error::{CliError, Code};
use crate::cli::roster::Chain;
use crate::cli::{Context, files};
use crate::clock::{moment, wall_ms};
use crate::driver::membership::slug_of;
use crate::home::Home;
use crate::keystore::{
    FileError, MODE_PRIVATE, PassphraseSource, PassphraseUse, read_secret, write_atomic,
};
use crate::limits::{JOIN_PAUSE_MAX, JOIN_PAUSE_MIN, JOIN_WAIT};
use crate::transport::door::Visit;
use crate::transport::{keypair_of, peer_id_of};

/// What a person sees who is not admitted yet.
#[derive(Serialize)]
struct Waiting {
    state: &'static str,
    federation: String,
    name: String,
    epoch: u64,
    member: String,
    card_fingerprint: String,
    /// Proposals to which the root has consented in this run.
    consented: Vec<String>,
    /// Proposals that wait for its consent.
    to_consent: Vec<String>,
}

/// The way of one newcomer.
struct Newcomer<'a> {
    context: &'a Context,
    args: &'a JoinArgs,
    home: &'a Home,
    own: CheckedCard,
    invitation: Invitation,
    runtime: tokio::runtime::Runtime,
    door: AtDoor,
    packet: Packet,
    roster: Roster,
    knocked: bool,
    seen: Vec<RosterId>,
    consented: Vec<RosterId>,
    open: Vec<RosterId>,
}

pub(super) fn run(
    context: &Context,
    args: &JoinArgs,
    home: &Home,
    own: CheckedCard,
    text: &str,
) -> Result<(), CliError> {
    let ui = &context.ui;
    let invitation: Invitation = text
        .parse()
        .map_err(|why| CliError::of(Code::Verification, &why))?;
    if has_joined(home, &invitation.federation)?
        && let Some(roster) = files::roster(home)?
    {
        return entry::tell(context, &roster, &own, true);
    }
    let visit = visit_of(context, args, home, &own, &invitation)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::new(Code::Failure, format!("could not make a runtime: {why}")))?;
    let mut door = AtDoor::new(visit);
    let (genesis, roster) = {
        let _progress = ui.progress("asking at the door");
        runtime.block_on(door::genesis(&mut door, &invitation.federation))?
    };
    let mut members: Vec<String> = roster
        .members()
        .map(|member| member.slug.to_string())
        .collect();
    members.sort_unstable();
    if !ui.json() {
        ui.fields(&[
            ("federation", roster.name().to_owned()),
            ("fingerprint", files::grouped(&roster.federation())),
            ("founded by", members.join(", ")),
        ])?;
    }
    compare(context, args, home, &roster)?;
    let newcomer = Newcomer {
        packet: Packet::new(genesis).map_err(|full| CliError::of(Code::Failure, &full))?,
        context,
        args,
        home,
        own,
        invitation,
        runtime,
        door,
        roster,
        knocked: false,
        seen: Vec::new(),
        consented: Vec::new(),
        open: Vec::new(),
    };
    newcomer.go()
}

/// The door of the invitation, seen as this node: what is left there must be for
/// the key of the connection.
fn visit_of(
    context: &Context,
    args: &JoinArgs,
    home: &Home,
    own: &CheckedCard,
    invitation: &Invitation,
) -> Result<Visit, CliError> {
    let not_a_door = |why: &str| {
        CliError::new(
            Code::Verification,
            format!("the invitation names no door: {why}"),
        )
        .hint("ask whoever invited you for another")
    };
    let peer = peer_id_of(&invitation.door).ok_or_else(|| not_a_door("its key is none"))?;
    let addresses: Vec<Multiaddr> = invitation
        .addresses
        .iter()
        .filter_map(|address| address.as_str().parse().ok())
        .collect();
    if addresses.is_empty() {
        return Err(not_a_door("it has no address"));
    }
    let source = PassphraseSource::choose(args.passphrase_file.clone(), files::env);
    let file = KeyFile::parse(&read_secret(&home.transport_key())?)?;
    let passphrase = source.obtain("the node's keys", PassphraseUse::Open)?;
    let transport = {
        let _progress = context.ui.progress("opening the transport key");
        file.open_key(Purpose::Transport, &passphrase, &Bounds::PRODUCTION)?
    };
    if transport.public().to_bytes() != own.certificate.transport_key {
        return Err(CliError::new(
            Code::NotAllowed,
            format!("this node is not the one of the card of {}", own.card.slug),
        )
        .hint("a member is admitted by its first node: run this there"));
    }
    let mut seed = *transport.expose_seed().expose();
    let keypair = keypair_of(&mut seed).map_err(|error| CliError::of(Code::Failure, &error))?;
    Ok(Visit::new(
        keypair,
        *invitation.federation.as_bytes(),
        addresses,
        Some(peer),
    ))
}

/// Where it is kept which federation was compared, so that a person who runs this
/// again need not compare again.
fn joining(home: &Home) -> std::path::PathBuf {
    home.path().join("joining")
}

/// Has a person vouch for the federation, once. The mark is a file that only this
/// user may touch, and is believed for this federation alone.
fn compare(
    context: &Context,
    args: &JoinArgs,
    home: &Home,
    roster: &Roster,
) -> Result<(), CliError> {
    let federation = roster.federation();
    let mark = format!("{federation}\n");
    if args.fingerprint.is_none() {
        match read_secret(&joining(home)) {
            Ok(bytes) if *bytes == mark.as_bytes() => return Ok(()),
            Ok(_) | Err(FileError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    compared(&context.ui, &federation, args.fingerprint.as_ref())?;
    Ok(write_atomic(&joining(home), mark.as_bytes(), MODE_PRIVATE)?)
}

/// Whether another visit may end better.
const fn passes(error: &CliError) -> bool {
    matches!(error.code, Code::Unreachable | Code::Timeout)
}

impl Newcomer<'_> {
    /// Visits until admitted, or once.
    fn go(mut self) -> Result<(), CliError> {
        let ui = &self.context.ui;
        let wait = self
            .context
            .global
            .timeout
            .map_or(JOIN_WAIT, Duration::from_secs);
        let until = Instant::now() + wait;
        let mut pause = JOIN_PAUSE_MIN;
        loop {
            match self.visit() {
                Ok(Some(chain)) => {
                    entry::run(self.context, self.home, &self.own, &chain)?;
                    // Left behind it would do no harm.
                    let _ = std::fs::remove_file(joining(self.home));
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) if self.args.wait && self.knocked && passes(&error) => {
                    ui.note(&format!("note: {}; asking again", error.message));
                }
                Err(error) => return Err(error),
            }
            if !self.args.wait {
                return self.say_waiting();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CliError::new(
                    Code::Timeout,
                    format!("not admitted within {} s", wait.as_secs()),
                )
                .hint("run this again; the invitation is used, and your card lies at the door"));
            }
            thread::sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(JOIN_PAUSE_MAX);
            self.door.again();
        }
    }

    /// One visit. Gives the chain once it admits this node's card.
    fn visit(&mut self) -> Result<Option<Chain>, CliError> {
        let progress = self.context.ui.progress("asking at the door");
        self.runtime.block_on(door::follow(
            &mut self.door,
            &mut self.packet,
            &mut self.roster,
        ))?;
        let root = self.own.root_key.as_bytes();
        if self.roster.member_of_root(root).is_some() {
            return Chain::of(self.packet.clone()).map(Some);
        }
        if !self.knocked {
            self.knock()?;
            self.knocked = true;
        }
        let chain = self.proposed()?;
        drop(progress);
        let considered = match chain {
            Some(chain) => consent::consider(
                self.context,
                self.args,
                self.home,
                &self.own,
                &chain,
                &mut self.seen,
            )?,
            None => Considered::default(),
        };
        self.open = considered.open;
        for (id, vote) in considered.consents {
            self.bring(id, vote)?;
        }
        Ok(None)
    }

    fn knock(&mut self) -> Result<(), CliError> {
        let (card, _) = files::card(&self.home.own_card())?;
        let question = DoorRequest::Knock {
            token: self.invitation.token.clone(),
            card,
        };
        if codec::encode(&question).len() > DOOR_BYTES_MAX {
            return Err(
                CliError::new(Code::Failure, "your card is too long for the door")
                    .hint("send it, own.card, to whoever invited you, as a file"),
            );
        }
        let answer = self.runtime.block_on(self.door.ask(&question))?;
        let DoorAnswer::Knock { accepted } = answer else {
            return Err(CliError::new(
                Code::Failure,
                "this door takes no cards: its node may be of an older version",
            )
            .hint("send your card, own.card, to whoever invited you"));
        };
        if accepted {
            return Ok(());
        }
        let until = self.invitation.expires_ms;
        let hint = if until <= wall_ms() {
            format!(
                "it ended on {}; ask whoever invited you for another",
                moment(until)
            )
        } else {
            "it may have been used by another node or taken back; ask whoever invited you for another".to_owned()
        };
        Err(CliError::new(Code::NotAllowed, "the door does not take this invitation").hint(hint))
    }

    /// The chain with the proposals that would admit this node, each checked; none
    /// where there are none.
    fn proposed(&mut self) -> Result<Option<Chain>, CliError> {
        let frames = self.runtime.block_on(door::proposals(&mut self.door))?;
        if frames.is_empty() {
            return Ok(None);
        }
        let mut packet = self.packet.clone();
        let full = |full| CliError::of(Code::Failure, &full);
        for frame in &frames {
            packet.add_notice(frame.clone()).map_err(full)?;
        }
        let chain = Chain::of(packet.clone())?;
        if chain.rebuilt.left.is_empty() {
            return Ok(Some(chain));
        }
        // Who proposed may have renewed its certificate since the chain named it.
        let certificates = self.runtime.block_on(door::certificates(&mut self.door))?;
        for certificate in certificates {
            let body = codec::encode(&certificate);
            let frame = frame_of(Kind::NodeCert, body);
            packet.add_notice(frame).map_err(full)?;
        }
        let chain = Chain::of(packet)?;
        for left in chain.rebuilt.left.iter().take(LEFT_SHOWN) {
            let why = &left.why;
            self.context
                .ui
                .note(&format!("note: something at the door was left out: {why}"));
        }
        Ok(Some(chain))
    }

    fn bring(&mut self, id: RosterId, vote: SignedBytes<VOTE_BYTES_MAX>) -> Result<(), CliError> {
        let answer = self
            .runtime
            .block_on(self.door.ask(&DoorRequest::Consent { vote }))?;
        if answer == (DoorAnswer::Consent { accepted: true }) {
            self.context
                .ui
                .note(&format!("note: consented to {}", id.short()));
            self.consented.push(id);
            return Ok(());
        }
        // The proposal may have been dropped meanwhile: the next visit tells.
        self.context.ui.note(&format!(
            "note: the door did not take the consent to {}",
            id.short()
        ));
        self.open.push(id);
        self.seen.retain(|seen| *seen != id);
        Ok(())
    }

    fn say_waiting(self) -> Result<(), CliError> {
        let ui = &self.context.ui;
        let ids = |ids: &[RosterId]| ids.iter().map(ToString::to_string).collect();
        let waiting = Waiting {
            state: "waiting",
            federation: self.roster.federation().to_string(),
            name: self.roster.name().to_owned(),
            epoch: self.roster.epoch(),
            member: self.own.card.slug.to_string(),
            card_fingerprint: self.own.id.to_string(),
            consented: ids(&self.consented),
            to_consent: ids(&self.open),
        };
        if ui.json() {
            return ui.document("join", &waiting);
        }
        let inviter = self
            .roster
            .node(&NodeId::of_transport(&self.invitation.door))
            .map_or_else(
                || "a member".to_owned(),
                |node| slug_of(&self.roster, &node.member),
            );
        ui.fields(&[
            ("epoch", waiting.epoch.to_string()),
            ("your card", waiting.member),
            (
                "card fingerprint",
                files::grouped(&waiting.card_fingerprint),
            ),
            ("state", "waiting to be admitted; run this again".to_owned()),
        ])?;
        ui.note(&format!(
            "next: read the fingerprint of your card to {inviter}; {}",
            files::READ_ALOUD
        ));
        Ok(())
    }
}

/// Of what was left out so many lines are shown.
const LEFT_SHOWN: usize = 8;
