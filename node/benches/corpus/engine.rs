//! An engine on a store, driven by hand: no network, no threads.

use watchfire_protocol::engine::{
    ClientToken, Config, Engine, GossipToken, Input, Output, Verdict,
};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::gate::check;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{Draft, Wish};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::{Batch, CommitNo, Store};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::card::Role;

pub(crate) const WALL_MS: u64 = 1_800_000_000_000;
const SEED: [u8; 32] = [3; 32];

/// An engine whose time passes fast enough for the quotas.
pub(crate) struct Driven<S: Store> {
    pub(crate) engine: Engine<S>,
    pub(crate) roster: Roster,
    /// Who delivers what is taken: deriving its keys is not what is timed.
    from: NodeId,
    mono_ms: u64,
}

impl<S: Store> Driven<S> {
    /// The member of that number, of two, on an empty store.
    pub(crate) fn start(store: S, number: u64) -> Self {
        let (file, roster, _) = derived_federation(&SEED, &[Role::Agency; 2], WALL_MS - 1_000)
            .expect("two members agree");
        let keys = Keys::derived(&SEED, number);
        let config = Config {
            roster: roster.clone(),
            genesis_file: file.to_bytes(),
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: [1; 32],
        };
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: WALL_MS,
        };
        Self {
            engine: Engine::open(store, config, now).expect("the store is empty"),
            roster,
            from: NodeId::of_transport(&Keys::derived(&SEED, 0).transport.public().to_bytes()),
            mono_ms: 0,
        }
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        // A minute each: nothing here measures quotas.
        self.mono_ms += 60_000;
        let now = Now {
            mono: Instant::from_ms(self.mono_ms),
            wall_ms: WALL_MS,
        };
        self.engine.handle(now, input).expect("the store works");
        std::iter::from_fn(|| self.engine.poll()).collect()
    }

    /// Hands in STIX; what comes out before a commit.
    pub(crate) fn publish(&mut self, draft: Draft) -> Vec<Output> {
        self.feed(Input::Publish {
            client: ClientToken(1),
            draft: Box::new(draft),
        })
    }

    /// A frame as gossip brings it: checked, taken, opened, filed.
    pub(crate) fn take(&mut self, frame: &[u8]) {
        let checked = check(frame, &self.roster).map(Box::new);
        let outputs = self.feed(Input::Gossip {
            from: self.from,
            token: GossipToken(1),
            length: frame.len() as u64,
            checked,
        });
        for output in outputs {
            if let Output::Verdict { verdict, .. } = &output {
                assert_eq!(*verdict, Verdict::Accept);
            }
            if let Output::Work(work) = output {
                self.feed(Input::Done(work.run()));
            }
        }
    }

    /// The next batch, to be applied.
    pub(crate) fn begin(&mut self) -> Option<(CommitNo, Batch)> {
        self.engine.begin_commit()
    }

    /// Says that it is durable; what may be said then.
    pub(crate) fn committed(&mut self, number: CommitNo) -> Vec<Output> {
        self.feed(Input::Committed(number))
    }
}

/// STIX indicators of these values, and one draft of them.
pub(crate) fn draft(first: u64, values: impl Iterator<Item = String>) -> Draft {
    let mut stix = String::from("[");
    for (number, value) in (first..).zip(values) {
        if stix.len() > 1 {
            stix.push(',');
        }
        let pattern = if value.starts_with("https:") {
            format!("[url:value = '{value}']")
        } else if value.starts_with("2001:") {
            format!("[ipv6-addr:value = '{value}']")
        } else if value.len() == 64 && !value.contains('.') {
            format!("[file:hashes.'SHA-256' = '{value}']")
        } else if let Some((address, port)) = value.split_once(':') {
            format!(
                "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '{address}' AND network-traffic:dst_port = {port}]"
            )
        } else {
            format!("[domain-name:value = '{value}']")
        };
        let id = super::mix(number);
        stix.push_str(&format!(
            r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{:08x}-{:04x}-4{:03x}-8{:03x}-{number:012x}","created":"2026-11-01T08:00:00.000Z","modified":"2026-11-01T08:00:00.000Z","pattern":"{pattern}","pattern_type":"stix","valid_from":"2026-11-01T08:00:00Z"}}"#,
            id >> 32,
            id & 0xffff,
            id >> 16 & 0xfff,
            number & 0xfff
        ));
    }
    stix.push(']');
    let encoded = watchfire_node::encode::zstd_of(stix.as_bytes());
    let wish = Wish {
        flag: Some(Marking::Clear),
        valid_ms: 24 * 60 * 60 * 1_000,
        exercise: false,
        permissible_actions: None,
        supersedes: None,
    };
    Draft::prepare(stix.into_bytes(), encoded, wish).expect("it can be published")
}
