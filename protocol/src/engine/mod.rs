//! The engine: a node without its sockets, clock and disk.
//!
//! Each [`Input`] is one step. After a step, drain [`Engine::poll`], offer
//! [`Engine::begin_commit`] to the disk, and call again at
//! [`Engine::deadline`]. Outputs are of two classes: a *relay* (the verdict on
//! another author's frame) shows at once; a *claim* (our own publications,
//! frontiers, answers to people) shows only after the commit that holds it, so
//! that a node never claims what it could forget.
//!
//! | file | does |
//! |---|---|
//! | `messages` | every input and output |
//! | `receive` | takes verified frames into streams, log and quotas |
//! | `publish` | makes, signs and stores this node's own |
//! | `kept` | finds what there is of an envelope: all, its remains, nothing |
//! | `opening` | hands bundles out to be opened and files what comes back |
//! | `pulls` | fetches bodies that are announced |
//! | `peers` | hello, sign of life |
//! | `requests` | asks peers, and hands each answer to whose matter it is |
//! | `frontier` | reads a peer's frontier: what changed there, and is missing here |
//! | `catch_up` | fetches what was missed, from whoever offers it |
//! | `serve` | answers members and the door |
//! | `restore` | what a start reads of the store |
//! | `double_votes` | two votes of one member where one may be, and the proof of it |
//! | `evidence` | what is kept against authors, and proofs of it |
//! | `members` | takes notices, and goes from one roster to the next |
//! | `notices` | asks peers for notices and links of the chain, and answers |
//! | `inquiry` | how far the notices of each peer have been read |
//! | `clock` | whether this node's clock can be believed |
//! | `withholding` | who serves less than it says there is |
//! | `sayings` | what this node says about membership in its own name |
//! | `quarantine` | what is held and not believed, since its key has ended |
//! | `distrust` | breaks with a member, here and nowhere else |
//! | `trace` | remembers by which way envelopes came |
//! | `not_taken` | why something was not taken, and who pays |
//! | `work` | what is dear and pure, for other threads |
//! | `streams` | what is held of each stream, and what changed since a mark |
//! | `staged` | the store under what is on its way to it |
//! | `quota` | what authors and peers may cost |
//! | `healing` | makes damaged values whole again while the node runs |
//! | `rebuild` | makes every index again from the truth |

mod catch_up;
mod clock;
mod distrust;
mod double_votes;
mod evidence;
mod frontier;
mod healing;
mod inquiry;
mod kept;
mod members;
mod messages;
mod newcomers;
mod not_taken;
mod notices;
mod opening;
mod packets;
mod peers;
mod publish;
mod pulls;
mod quarantine;
mod quota;
mod rebuild;
mod receive;
mod requests;
mod restore;
mod sayings;
mod serve;
mod staged;
mod streams;
#[cfg(test)]
pub(crate) mod tests;
mod trace;
mod withholding;
mod work;

pub use catch_up::Progress;
pub use clock::{ClockJump, MayNotDestroy};
pub use distrust::{Distrust, DistrustRefusal};
pub use healing::{Damage, examine, is_searched_for};
pub use messages::*;
pub use not_taken::NotTaken;
pub(crate) use opening::header_of_frame;
pub use quarantine::{
    ACCEPTED_BYTES_MAX, Accept, AcceptRefusal, Accepted, AcceptedCount, HELD_BACK_BYTES_MAX,
    HeldBack, Quarantine, Reasons, WhatToAccept,
};
pub use quota::{Bucket, Quota, Rate};
pub use rebuild::{Rebuilt, rebuild};
pub use restore::{admit_held, certificate_of};
pub use sayings::{Said, Saying, SayingRefusal};
pub use trace::{Arrived, First, Held, Listed, Route, Seen, Traced, Turned};
pub use withholding::Withheld;
pub use work::{CheckedItem, Done, OpenFrame, Work};

use crate::chance::Chance;
use crate::ids::{MemberId, NodeId};
use crate::limits::{ALIVE_SOON_MS, FORMER_STORES_MAX};
use crate::membership::Membership;
use crate::policy::Peer;
use crate::roster::{Certificate, Roster};
use crate::store::{Batch, CommitNo, Store, StoreError};
use crate::table::{self, Arrival, Prepared, StoreNames};
use crate::time::{Instant, Now};
use crate::wire::card::{CertificateBytes, Role};
use crate::wire::exchange::{StoreId, StreamId};
use crate::wire::roster::Link;
use crate::wire::{List, Tag};
use catch_up::CatchUp;
pub(crate) use catch_up::Way;
use clock::ClockWatch;
use evidence::Unsaid;
use opening::Opening;
use peers::Peers;
use pulls::Pulls;
use quarantine::Doubts;
use requests::Asked;
pub(crate) use restore::for_each;
use restore::{damaged, restore_certificates, restore_evidence, restore_streams};
pub(crate) use staged::Staged;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use streams::Streams;
use trace::Traces;
use watchfire_crypto::SigningKey;

/// A store's names as they are kept: 17 ids and numbers.
const STORE_NAMES_BYTES_MAX: usize = 512;

/// What an engine begins with.
pub struct Config {
    /// The federation.
    pub roster: Roster,
    /// The genesis file, for the door.
    pub genesis_file: Vec<u8>,
    /// Links of the chain that are known beside the store, from epoch 1 on. The
    /// roster may have followed them already.
    pub links: Vec<Link>,
    /// Certificates that a person installed here; beside those of the chain and of
    /// the store, and told to others like them.
    pub installed: Vec<CertificateBytes>,
    /// What this node prepared last, as it is known beside the store.
    pub prepared: Option<Prepared>,
    /// This node's transport key.
    pub transport_key: [u8; 32],
    /// Signs this node's statements.
    pub signing_key: SigningKey,
    /// Fresh entropy; in simulations, the seed.
    pub seed: [u8; 32],
}

/// Why an engine does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No certificate for this node's keys.
    #[error(
        "no certificate is known of this node's keys; install the one that the root key signed with \"watchfire key install\", and check that the genesis was made with this member's card"
    )]
    NotCertified,
    /// The store and what is kept beside it tell of different rosters.
    #[error(
        "the store and the files beside it hold different rosters for epoch {epoch}; one of them is of another federation or was tampered with: do not use this node before you know which"
    )]
    ChainDiffers {
        /// Of which epoch.
        epoch: u64,
    },
}

/// A node of the mesh, sans IO.
pub struct Engine<S> {
    me: Certificate,
    signing_key: SigningKey,
    roster: Arc<Roster>,
    genesis_file: Vec<u8>,
    chance: Chance,
    staged: Staged<S>,
    next_arrival: Arrival,
    streams: Streams,
    /// By what names peers know its changes.
    names: StoreNames,
    catch_up: CatchUp,
    evidence: BTreeMap<StreamId, Evidence>,
    own_quota: Quota,
    /// When this node's last bundle was made: the next is not made before.
    own_created_ms: u64,
    author_quotas: BTreeMap<(NodeId, Way), Quota>,
    membership: Membership,
    clock: ClockWatch,
    doubts: Doubts,
    /// Members with whom this node's operator broke.
    distrusted: BTreeMap<MemberId, Distrust>,
    traces: Traces,
    /// Proofs that are to be told when the step is done.
    unsaid: Unsaid,
    /// What this node prepared last.
    prepared: Option<Prepared>,
    /// The latest life of this node that a person began here.
    life_max: u64,
    /// The roster, or what is known of its nodes, changed in this step.
    has_roster_news: bool,
    /// When to say next that this node is alive.
    alive_at: Instant,
    alive_said_at: Option<Instant>,
    alives_said: u64,
    /// Somebody was there when the last was said.
    alive_was_told: bool,
    peers: Peers,
    pulls: Pulls,
    opening: Opening,
    unhealed: BTreeSet<Vec<u8>>,
    next_request: u64,
    next_nonce: u64,
    requests: BTreeMap<RequestId, (NodeId, Asked)>,
    outputs: VecDeque<Output>,
    claims: BTreeMap<CommitNo, Vec<Output>>,
}

/// What is kept against the author of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    kept: u32,
    /// It proves that two envelopes claim one place.
    is_fork: bool,
}

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// A peer is to be asked for its sign of life.
    Probe,
    /// A body is to be asked for again.
    Pull,
    /// A stream that waited is to be asked for again.
    CatchUp,
    /// It is time to say that this node is alive.
    Alive,
}

/// How a node is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Envelopes in the log.
    pub envelopes: u64,
    /// Bundles that wait to be opened, and [`Status::filed_in_part`].
    pub unopened: usize,
    /// Bundles of which a part cannot be found: it belongs into a damaged block
    /// of an index, which the next start makes again.
    pub filed_in_part: usize,
    /// Bodies that are still being fetched.
    pub pulls: usize,
    /// Envelopes that the store cannot read any more: asked of peers again.
    pub lost: u64,
    /// Peers that have said hello both ways.
    pub peers: Vec<NodeId>,
    /// Of whose frontier something has not been dealt with.
    pub behind: Vec<NodeId>,
    /// How catching up goes.
    pub catch_up: Progress,
    /// Streams of which their own authors serve less than they say there is.
    pub withheld: Vec<Withheld>,
    /// Members whom this node distrusts.
    pub distrusted: Vec<MemberId>,
}

impl<S: Store> Engine<S> {
    /// Starts from what the store holds.
    ///
    /// # Errors
    /// When the store fails, or the roster knows no certificate of these keys.
    pub fn open(store: S, config: Config, now: Now) -> Result<Self, OpenError> {
        let mut staged = Staged::new(store);
        let mut roster = config.roster;
        let node = NodeId::of_transport(&config.transport_key);
        // What the store knows besides may have been begun at a copy of this node.
        let installed = config
            .installed
            .iter()
            .filter_map(|certificate| roster.check_record(certificate).ok());
        let life_max = roster
            .known_certificates()
            .cloned()
            .chain(installed)
            .filter(|certificate| certificate.node == node)
            .map(|certificate| certificate.incarnation)
            .max()
            .unwrap_or(1);
        let membership = members::restore(
            &mut staged,
            &mut roster,
            &config.links,
            config.installed,
            now,
        )?;
        let me = roster
            .node(&node)
            .filter(|newest| newest.incarnation <= life_max)
            .or_else(|| roster.newest_of_life(&node, life_max))
            .filter(|certificate| certificate.signing_key == config.signing_key.public())
            .ok_or(OpenError::NotCertified)?
            .clone();
        let next_arrival = staged.get_as(&table::next_arrival(), 9)?.unwrap_or(0);
        let streams = restore_streams(&staged)?;
        let evidence = restore_evidence(&staged)?;
        let stored: Option<Prepared> =
            staged.get_as(&table::prepared(), table::PREPARED_BYTES_MAX)?;
        // Either of the two may be an old copy.
        let prepared = config
            .prepared
            .into_iter()
            .chain(stored)
            .max_by_key(|prepared| (prepared.epoch, prepared.round));
        let distrusted = distrust::restore(&staged)?;
        let mut engine = Self {
            me,
            signing_key: config.signing_key,
            roster: Arc::new(roster),
            genesis_file: config.genesis_file,
            chance: Chance::new(config.seed),
            staged,
            next_arrival,
            streams,
            names: StoreNames {
                now: StoreId([0; 16]),
                former: List::default(),
            },
            catch_up: CatchUp::default(),
            evidence,
            own_quota: Quota::own(now.mono),
            own_created_ms: 0,
            author_quotas: BTreeMap::new(),
            doubts: Doubts::default(),
            unsaid: Unsaid::default(),
            prepared,
            distrusted,
            traces: Traces::default(),
            membership,
            clock: ClockWatch::new(now, 0),
            life_max,
            has_roster_news: false,
            alive_at: now.mono.plus_ms(ALIVE_SOON_MS),
            alive_said_at: None,
            alives_said: 0,
            alive_was_told: false,
            peers: Peers::default(),
            pulls: Pulls::default(),
            opening: Opening::default(),
            unhealed: BTreeSet::new(),
            next_request: 1,
            next_nonce: 0,
            requests: BTreeMap::new(),
            outputs: VecDeque::new(),
            claims: BTreeMap::new(),
        };
        engine.names = engine.named_anew()?;
        engine.own_created_ms = engine.last_created()?;
        let said_ms = engine.own_created_ms.max(engine.last_alive()?);
        engine.clock = ClockWatch::new(now, said_ms);
        engine.restore_doubts(now)?;
        engine.restore_pulls(now)?;
        engine.restore_unopened()?;
        Ok(engine)
    }

    /// One step.
    ///
    /// # Errors
    /// When the store fails; the engine must then not be used further.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), StoreError> {
        self.staged.failure()?;
        self.look_at_clock(now);
        self.step(now, input)?;
        for proof in self.unsaid.due(now.mono) {
            // One that is known already is no news.
            let _ = self.utter(now, proof)?;
        }
        self.settle_doubts(now)?;
        // Once, however many notices of a page changed it.
        if core::mem::take(&mut self.has_roster_news) {
            self.outputs.push_back(Output::Roster(self.roster()));
        }
        Ok(())
    }

    fn step(&mut self, now: Now, input: Input) -> Result<(), StoreError> {
        match input {
            Input::PeerConnected { node } => self.on_connected(now, node),
            Input::PeerDisconnected { node } => self.on_disconnected(now, node),
            Input::Gossip {
                from,
                token,
                length,
                checked,
            } => self.on_gossip(now, from, token, length, checked),
            Input::GossipNotice {
                from,
                token,
                length,
                checked,
            } => self.on_gossip_notice(now, from, token, length, checked),
            Input::Say { client, saying } => self.on_say(now, client, *saying),
            Input::Accept { client, accept } => self.on_accept(now, client, *accept),
            Input::Distrust {
                client,
                member,
                reason,
            } => self.on_distrust(now, client, member, reason),
            Input::Done(Done::Notices {
                from,
                at,
                more,
                items,
            }) => self.on_checked_notices(now, from, (at, more), items),
            Input::Request {
                from,
                token,
                request,
            } => self.on_request(now, from, token, request),
            Input::Answered { id, answer } => {
                self.on_answered(now, id, answer.map(|answer| *answer))
            }
            Input::NotAsked { id } => self.on_not_asked(now, id),
            Input::Done(Done::Checked { id, from, items }) => self.on_checked(now, id, from, items),
            Input::Done(Done::Opened {
                arrival,
                bundle,
                outcome,
            }) => self.on_opened(now, arrival, bundle, outcome),
            Input::Publish { client, draft } => self.on_publish(now, client, *draft),
            Input::Door {
                token,
                transport_key,
                request,
            } => self.on_door(now, token, &transport_key, request),
            Input::Certificate { certificate } => self.on_certificate(now, &certificate),
            Input::Barrier { client } => {
                self.claim(Output::Durable { client });
                Ok(())
            }
            Input::Committed(number) => {
                self.staged.committed(number);
                let later = self.claims.split_off(&number.next());
                let durable = core::mem::replace(&mut self.claims, later);
                self.outputs.extend(durable.into_values().flatten());
                Ok(())
            }
            Input::Sync { client } => {
                self.on_sync(now, client);
                Ok(())
            }
            Input::Congested { node } => {
                self.on_congested(now, node);
                Ok(())
            }
            Input::Damaged(damages) => self.on_damaged(now, damages),
            Input::Wake => self.on_wake(now),
        }
    }

    /// What to make durable next, if anything: apply it, flush, and report it
    /// by [`Input::Committed`]. Several may be under way, in order.
    pub fn begin_commit(&mut self) -> Option<(CommitNo, Batch)> {
        let begun = self.staged.begin();
        for unfound in self.staged.take_unfound() {
            let is_of = |output: &Output| matches!(output, Output::Event(Event::Searchable { bundle, .. }) if *bundle == unfound);
            for claims in self.claims.values_mut() {
                claims.retain(|output| !is_of(output));
            }
        }
        begun
    }

    /// What must happen next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to be woken, and why.
    pub fn deadline(&self) -> Option<(Instant, TimerKind)> {
        let probe = self.peers.deadline().map(|at| (at, TimerKind::Probe));
        let pull = self.pulls.deadline().map(|at| (at, TimerKind::Pull));
        let catch_up = self.catch_up.deadline().map(|at| (at, TimerKind::CatchUp));
        let alive = Some((self.alive_deadline(), TimerKind::Alive));
        [probe, pull, catch_up, alive]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// What frames are to be checked against.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    /// This node's certificate.
    pub const fn me(&self) -> &Certificate {
        &self.me
    }

    /// What is held about membership.
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The durable store, to be read.
    pub const fn store(&self) -> &S {
        self.staged.store()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status {
            envelopes: self.next_arrival,
            unopened: self.opening.waiting() + self.staged.filed_in_part(),
            filed_in_part: self.staged.filed_in_part(),
            pulls: self.pulls.len(),
            lost: self.streams.all_lost(),
            peers: self.peers.ready().collect(),
            behind: self.peers.behind().collect(),
            catch_up: self.catch_up.progress(&self.streams),
            withheld: self.withheld().copied().collect(),
            distrusted: self.distrusted.keys().copied().collect(),
        }
    }

    /// Whether everything written so far is durable.
    pub fn is_durable(&self) -> bool {
        self.staged.commit_holding_all().is_none()
    }

    /// A claim: shown once everything written so far is durable.
    fn claim(&mut self, output: Output) {
        match self.staged.commit_holding_all() {
            Some(number) => self.claims.entry(number).or_default().push(output),
            None => self.outputs.push_back(output),
        }
    }

    fn event(&mut self, event: Event) {
        self.claim(Output::Event(event));
    }

    /// A new name for this store, and its former ones with their ends: numbers
    /// that were told and then lost must not hold any more.
    fn named_anew(&mut self) -> Result<StoreNames, StoreError> {
        let before: Option<StoreNames> = self
            .staged
            .get_as(&table::store_names(), STORE_NAMES_BYTES_MAX)?;
        let mut former = Vec::new();
        let mut object = [0; 16];
        if let Some(before) = before {
            object = before.now.0;
            former = before.former.into_vec();
            former.push((before.now, self.streams.newest()));
            let surplus = former.len().saturating_sub(FORMER_STORES_MAX);
            former.drain(..surplus);
        }
        let names = StoreNames {
            now: StoreId(self.chance.id("store", &object, self.streams.newest())),
            former: List::new(former).unwrap_or_default(),
        };
        self.staged.put_as(table::store_names(), &names);
        Ok(names)
    }

    /// Random bytes for a hello.
    fn nonce(&mut self) -> [u8; 16] {
        self.next_nonce += 1;
        self.chance.id("nonce", &[], self.next_nonce)
    }

    /// How near a member's node stands to a CLEAR or to an unread envelope.
    fn peer_of(&self, node: &NodeId, in_clear: bool) -> Option<Peer> {
        let certificate = self.roster.node(node)?;
        Some(Peer::of(in_clear, certificate.role == Role::Hub))
    }

    const fn own_stream(&self) -> StreamId {
        StreamId {
            node: self.me.node,
            incarnation: self.me.incarnation,
            tag: Tag::PUBLIC,
        }
    }

    const fn own_member(&self) -> MemberId {
        self.me.member
    }
}
