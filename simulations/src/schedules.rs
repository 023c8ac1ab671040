//! The membership of four engines alone, over random schedules: notices and
//! answers in any order, lost, twice; power cuts that take writes with them; two
//! proposals at once; and one member of the four that votes for both.
//!
//! First chaos, then a fair end in which everything arrives and people go on
//! until a roster is decided. What must hold: no two rosters of one epoch, at any
//! time; nobody falls behind what it claimed; nobody honest votes twice, whatever
//! it forgot; and in the end all hold one roster and the same notices.

mod letters;
mod people;

use crate::chance::Chance;
use crate::disk::Disk;
use crate::host::WALL_START_MS;
use crate::memo::{KnownRoster, Memo};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use watchfire_protocol::engine::{
    AnswerToken, ClientToken, Config, Engine, GossipToken, Input, RequestId, Saying,
};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::ids::{MemberId, NodeId, RosterId};
use watchfire_protocol::limits::ROUNDS_AHEAD_MAX;
use watchfire_protocol::membership::NoticeScope;
use watchfire_protocol::roster::{Roster, Step};
use watchfire_protocol::store::CommitNo;
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::exchange::{Answer, Request};

/// Members; the last of them votes twice and runs no engine.
const MEMBERS: usize = 4;
/// Those that run one.
const HONEST: usize = MEMBERS - 1;
/// Steps of chaos.
const STEPS: u64 = 300;
/// Rounds of the fair end, of a minute each, until it counts as stuck.
const FAIR_ROUNDS_MAX: u64 = 240;
/// After so many fair rounds a person no longer waits for a round of votes.
const PATIENCE_ROUNDS: u64 = 12;
/// Messages under way at most: what is over is lost.
const UNDER_WAY_MAX: usize = 400;
/// Outputs of one step, beyond which an engine does not rest.
const OUTPUTS_MAX: usize = 100_000;

/// How honest people go wrong, to see that the checks can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They do not: what a run is for.
    Nothing,
    /// Roots commit whatever is proposed, without waiting for those who prepare.
    CommitsAtOnce,
    /// Hosts come back from a power cut with an empty disk.
    ForgetsAll,
}

/// What came of a schedule in which everything held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// The number of the last roster.
    pub epoch: u64,
    /// Power cuts, and those of them that took writes with them.
    pub crashes: u64,
    /// See `crashes`.
    pub crashes_with_loss: u64,
    /// Whether the cheat's two votes met at somebody honest, who names it.
    pub is_cheat_named: bool,
    /// The highest round in which anybody voted.
    pub round: u32,
    /// Inputs of engines.
    pub inputs: u64,
}

enum Letter {
    Gossip {
        from: NodeId,
        to: usize,
        bytes: Rc<Vec<u8>>,
    },
    Asked {
        from: usize,
        life: u64,
        to: usize,
        id: RequestId,
        request: Request,
    },
    Answered {
        to: usize,
        life: u64,
        id: RequestId,
        answer: Option<Box<Answer>>,
    },
}

impl Letter {
    /// Once more: gossip alone comes twice.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Gossip { from, to, bytes } => Some(Self::Gossip {
                from: *from,
                to: *to,
                bytes: Rc::clone(bytes),
            }),
            Self::Asked { .. } | Self::Answered { .. } => None,
        }
    }
}

struct Seat {
    engine: Option<Engine<Disk>>,
    disk: Disk,
    unflushed: Vec<CommitNo>,
    known: KnownRoster,
    life: u64,
    started_ms: u64,
    claimed: u64,
    gossip: BTreeMap<GossipToken, (NodeId, Rc<Vec<u8>>)>,
    asked: BTreeMap<AnswerToken, (usize, u64, RequestId)>,
}

struct Table {
    seats: Vec<Seat>,
    keys: Vec<Keys>,
    nodes: Vec<NodeId>,
    members: Vec<MemberId>,
    genesis: Arc<Roster>,
    genesis_file: Vec<u8>,
    chance: Chance,
    memo: Memo,
    letters: Vec<Letter>,
    rosters: BTreeMap<u64, RosterId>,
    now_ms: u64,
    tokens: u64,
    /// In which fair round each seat prepared in which round of votes.
    prepared: BTreeMap<(usize, u64, u32), u64>,
    fair_round: u64,
    fault: Fault,
    played: Played,
}

/// Plays one schedule.
///
/// # Errors
/// What did not hold, with the seed.
pub fn play_schedule(seed: u64, fault: Fault) -> Result<Played, String> {
    let told = |what: String| format!("schedule of seed {seed}: {what}");
    let mut table = Table::lay(seed, fault).map_err(told)?;
    table.play().map_err(told)?;
    Ok(table.played)
}

impl Table {
    fn lay(seed: u64, fault: Fault) -> Result<Self, String> {
        let chance = Chance::new(seed);
        let federation = chance.seed_for("federation", 0);
        let (file, roster, keys) =
            derived_federation(&federation, &[Role::Agency; MEMBERS], WALL_START_MS)
                .map_err(|why| why.to_string())?;
        let genesis = Arc::new(roster);
        let node = |keys: &Keys| NodeId::of_transport(&keys.transport.public().to_bytes());
        let mut table = Self {
            seats: Vec::new(),
            nodes: keys.iter().map(node).collect(),
            members: keys
                .iter()
                .map(|keys| MemberId::of_root(&keys.root.public()))
                .collect(),
            keys,
            genesis_file: file.to_bytes(),
            chance,
            memo: Memo::new(true),
            letters: Vec::new(),
            rosters: BTreeMap::from([(0, genesis.id())]),
            now_ms: 0,
            tokens: 0,
            prepared: BTreeMap::new(),
            fair_round: 0,
            fault,
            played: Played::default(),
            genesis,
        };
        for number in 0..HONEST {
            table.seats.push(Seat {
                engine: None,
                disk: Disk::default(),
                unflushed: Vec::new(),
                known: KnownRoster::new(Arc::clone(&table.genesis)),
                life: 0,
                started_ms: 0,
                claimed: 0,
                gossip: BTreeMap::new(),
                asked: BTreeMap::new(),
            });
            table.start(number)?;
        }
        for number in 0..HONEST {
            table.connect(number)?;
        }
        Ok(table)
    }

    fn play(&mut self) -> Result<(), String> {
        let proposed_at: Vec<u64> = (0..2)
            .map(|by| self.chance.below("proposed", by, STEPS / 4))
            .collect();
        for step in 0..STEPS {
            for (by, at) in proposed_at.iter().enumerate() {
                if *at == step {
                    self.propose(by)?;
                }
            }
            self.step()?;
        }
        for fair_round in 1..=FAIR_ROUNDS_MAX {
            self.fair_round = fair_round;
            if self.fair()? {
                return Ok(());
            }
        }
        Err(format!("stuck: {}", self.describe()))
    }

    /// One step of chaos.
    fn step(&mut self) -> Result<(), String> {
        self.now_ms += self.chance.below("time", 0, 30_000);
        let seat = self.pick("seat", HONEST);
        match self.chance.below("step", 0, 100) {
            0..60 => {
                let pick = self.pick("letter", self.letters.len());
                if self.letters.is_empty() {
                    return Ok(());
                }
                let letter = self.letters.swap_remove(pick);
                match self.chance.below("fate", 0, 10) {
                    0..2 => {}
                    2 => {
                        self.letters.extend(letter.again());
                        self.deliver(letter)?;
                    }
                    3.. => self.deliver(letter)?,
                }
            }
            60..75 => self.person(seat)?,
            75..82 => self.cheat()?,
            82..92 => self.flush(seat)?,
            92..95 => self.crash(seat)?,
            95.. => self.wake()?,
        }
        let surplus = self.letters.len().saturating_sub(UNDER_WAY_MAX);
        for _ in 0..surplus {
            let pick = self.pick("surplus", self.letters.len());
            self.letters.swap_remove(pick);
        }
        Ok(())
    }

    /// A minute in which everything arrives. Whether all is well and done.
    fn fair(&mut self) -> Result<bool, String> {
        self.now_ms += 60_000;
        if self.fair_round == 1 {
            for seat in 0..HONEST {
                self.connect(seat)?;
            }
        }
        self.wake()?;
        let mut letters = 0;
        while !self.letters.is_empty() {
            let letter = self.letters.remove(0);
            self.deliver(letter)?;
            for seat in 0..HONEST {
                self.flush(seat)?;
            }
            letters += 1;
            if letters > OUTPUTS_MAX {
                return Err("the fair end does not rest".to_owned());
            }
        }
        let mut has_candidates = false;
        let mut digests = BTreeSet::new();
        let mut rosters = BTreeSet::new();
        for seat in &self.seats {
            if let Some(engine) = &seat.engine {
                let membership = engine.membership();
                has_candidates |= membership.deliberation().candidates().next().is_some();
                digests.insert(membership.digest(NoticeScope::Lasting));
                rosters.insert((engine.roster().epoch(), engine.roster().id()));
            }
        }
        self.played.epoch = rosters.last().map_or(0, |(epoch, _)| *epoch);
        let is_decided = rosters.first().is_some_and(|(epoch, _)| *epoch > 0);
        if is_decided && rosters.len() == 1 && digests.len() == 1 {
            return Ok(true);
        }
        if self.played.epoch == 0 && !has_candidates {
            self.propose(0)?;
        }
        for seat in 0..HONEST {
            self.person(seat)?;
            self.flush(seat)?;
        }
        Ok(false)
    }

    /// Where each seat stands: its roster, its notices, and every vote it holds,
    /// by round, step, roster and voter.
    fn describe(&self) -> String {
        let mut all = Vec::new();
        for (number, seat) in self.seats.iter().enumerate() {
            let Some(engine) = &seat.engine else { continue };
            let about = engine.membership().deliberation();
            let ballot = about.ballot();
            let mut votes = Vec::new();
            let last = ballot.round(engine.roster().thresholds());
            for round in 1..=last.saturating_add(ROUNDS_AHEAD_MAX) {
                for (name, step) in [("p", Step::Prepare), ("c", Step::Commit)] {
                    for id in ballot.candidates() {
                        let voters: String = ballot
                            .voters(step, round, id)
                            .filter_map(|by| self.members.iter().position(|member| member == by))
                            .map(|by| by.to_string())
                            .collect();
                        if !voters.is_empty() {
                            let short: String = id.to_string().chars().take(4).collect();
                            votes.push(format!("{round}{name}:{short}={voters}"));
                        }
                    }
                }
            }
            let digest = engine.membership().digest(NoticeScope::Lasting);
            all.push(format!(
                "seat {number} holds epoch {}, {} candidates, notices {:02x?}, votes {}",
                engine.roster().epoch(),
                about.candidates().count(),
                digest.first(),
                votes.join(" ")
            ));
        }
        all.join("; ")
    }

    fn pick(&mut self, purpose: &'static str, count: usize) -> usize {
        usize::try_from(self.chance.below(purpose, 0, count as u64)).unwrap_or(0)
    }

    fn start(&mut self, number: usize) -> Result<(), String> {
        let federation = self.chance.seed_for("federation", 0);
        let keys = Keys::derived(&federation, number as u64);
        let Some(seat) = self.seats.get_mut(number) else {
            return Ok(());
        };
        seat.started_ms = self.now_ms;
        let config = Config {
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            roster: (*self.genesis).clone(),
            genesis_file: self.genesis_file.clone(),
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: self
                .chance
                .seed_for("engine", (number as u64) << 32 | seat.life),
        };
        let now = Now {
            mono: Instant::from_ms(0),
            wall_ms: WALL_START_MS + self.now_ms,
        };
        let engine = Engine::open(seat.disk.clone(), config, now)
            .map_err(|why| format!("seat {number} does not start: {why}"))?;
        let epoch = engine.roster().epoch();
        if epoch < seat.claimed {
            return Err(format!(
                "rollback: seat {number} starts at epoch {epoch} after it claimed {}",
                seat.claimed
            ));
        }
        seat.known = KnownRoster::new(engine.roster());
        seat.engine = Some(engine);
        self.drain(number)
    }

    /// A seat meets every other anew.
    fn connect(&mut self, number: usize) -> Result<(), String> {
        for other in (0..HONEST).filter(|other| *other != number) {
            for (seat, peer) in [(number, other), (other, number)] {
                if let Some(node) = self.nodes.get(peer).copied() {
                    self.feed(seat, Input::PeerDisconnected { node })?;
                    self.feed(seat, Input::PeerConnected { node })?;
                }
            }
        }
        Ok(())
    }

    fn feed(&mut self, number: usize, input: Input) -> Result<(), String> {
        self.played.inputs += 1;
        let now_ms = self.now_ms;
        if let Some(seat) = self.seats.get_mut(number)
            && let Some(engine) = &mut seat.engine
        {
            let now = Now {
                mono: Instant::from_ms(now_ms.saturating_sub(seat.started_ms)),
                wall_ms: WALL_START_MS + now_ms,
            };
            engine.handle(now, input).map_err(|why| why.to_string())?;
        }
        self.drain(number)
    }

    fn drain(&mut self, number: usize) -> Result<(), String> {
        for _ in 0..OUTPUTS_MAX {
            let Some(engine) = self
                .seats
                .get_mut(number)
                .and_then(|seat| seat.engine.as_mut())
            else {
                return Ok(());
            };
            if let Some(output) = engine.poll() {
                self.output(number, output)?;
                continue;
            }
            let Some((commit, batch)) = engine.begin_commit() else {
                return self.look(number);
            };
            if let Some(seat) = self.seats.get_mut(number) {
                seat.disk
                    .write(commit, &batch)
                    .map_err(|why| why.to_string())?;
                seat.unflushed.push(commit);
            }
        }
        Err(format!("seat {number} does not rest"))
    }

    /// What must hold at every moment.
    fn look(&mut self, number: usize) -> Result<(), String> {
        let Some(engine) = self.seats.get(number).and_then(|seat| seat.engine.as_ref()) else {
            return Ok(());
        };
        let roster = engine.roster();
        let (epoch, id) = (roster.epoch(), roster.id());
        let known = *self.rosters.entry(epoch).or_insert(id);
        if known != id {
            return Err(format!(
                "two rosters of epoch {epoch}: seat {number} holds {id}, and another {known}"
            ));
        }
        let ballot = engine.membership().deliberation().ballot();
        let round = ballot.round(roster.thresholds());
        self.played.round = self.played.round.max(round);
        let proven = engine.membership().double_voters().iter();
        for member in ballot.double_voters().into_iter().chain(proven) {
            if self.members.get(HONEST) == Some(member) {
                self.played.is_cheat_named = true;
            } else {
                return Err(format!("seat {number} holds two votes of somebody honest"));
            }
        }
        Ok(())
    }

    fn wake(&mut self) -> Result<(), String> {
        (0..HONEST).try_for_each(|seat| self.feed(seat, Input::Wake))
    }

    fn flush(&mut self, number: usize) -> Result<(), String> {
        while let Some(seat) = self.seats.get_mut(number)
            && let Some(last) = seat.unflushed.last().copied()
        {
            seat.unflushed.clear();
            seat.disk.flushed(last);
            self.feed(number, Input::Committed(last))?;
        }
        Ok(())
    }

    /// Power goes, and of what was not flushed all but a first part.
    fn crash(&mut self, number: usize) -> Result<(), String> {
        let Some(seat) = self.seats.get_mut(number) else {
            return Ok(());
        };
        let unflushed = seat.disk.unflushed();
        let kept = self
            .chance
            .below("kept", number as u64, unflushed as u64 + 1);
        let kept = usize::try_from(kept).unwrap_or(0);
        seat.disk.crash(kept).map_err(|why| why.to_string())?;
        if self.fault == Fault::ForgetsAll {
            seat.disk.wipe();
        }
        seat.unflushed.clear();
        seat.life += 1;
        seat.gossip.clear();
        seat.asked.clear();
        self.played.crashes += 1;
        self.played.crashes_with_loss += u64::from(kept < unflushed);
        self.start(number)?;
        self.connect(number)
    }

    fn say(&mut self, number: usize, saying: Saying) -> Result<(), String> {
        self.tokens += 1;
        let client = ClientToken(self.tokens);
        let saying = Box::new(saying);
        self.feed(number, Input::Say { client, saying })
    }
}
