//! The outsider: a real transport with keys of its own that nobody admitted.
//! It knows every address and the federation's id, dials everybody again and
//! again, tries the door, and keeps whatever it is given in a store of its own.
//!
//! That it was refused is not concluded from its silence: each member says so
//! itself, in its count of strangers turned away, which nobody but the outsider
//! can raise here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::sync::mpsc;
use watchfire_protocol::founding::{Profile, make_card};
use watchfire_protocol::gate;
use watchfire_protocol::limits::ANSWER_BYTES_MAX;
use watchfire_protocol::roster::check_card;
use watchfire_protocol::store::{Batch, Store as _};
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest, Request};

use super::DemoError;
use super::cast::{Cast, fresh_keys};
use super::summary::entries;
use crate::clock::wall_ms;
use crate::disk::SledStore;
use crate::driver::admitted;
use crate::transport::{self, Command, Event, TransportConfig, door, keypair_of};

/// How long each member has to turn it away. Every dial is repeated within
/// [`REDIAL_PAUSE_MAX`], so this only ends what would never end.
const PATIENCE: Duration = Duration::from_secs(60);

/// It dials more often than a member would: pauses between two attempts.
const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(20);
const REDIAL_PAUSE_MAX: Duration = Duration::from_millis(200);

/// How often it asks on every connection there may be, and looks at what came
/// of it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A stranger who tries.
pub(crate) struct Outsider {
    store: Arc<SledStore>,
    _transport: transport::Handle,
    tasks: [tokio::task::JoinHandle<()>; 2],
    refused_at_door: bool,
    refused_by: BTreeSet<String>,
}

impl Outsider {
    /// Begins to try, and goes on.
    pub(crate) async fn start(directory: &Path, cast: &Cast) -> Result<Self, DemoError> {
        let store = SledStore::create(&directory.join("outsider"));
        let store = Arc::new(store.map_err(|error| DemoError::made("a store", &error))?);
        let keys = fresh_keys()?;
        let mut seed = *keys.transport.expose_seed().expose();
        let keypair = keypair_of(&mut seed).map_err(|error| DemoError::made("a key", &error))?;
        let federation = *cast.roster.federation().as_bytes();

        // It certifies itself, which is all a stranger can do.
        let profile = Profile {
            slug: "outsider"
                .parse()
                .map_err(|error| DemoError::made("a slug", &error))?,
            role: Role::Agency,
            contact: Contact::default(),
            addresses: Vec::new(),
            door_addresses: Vec::new(),
        };
        let card = make_card(&profile, &keys, wall_ms())
            .map_err(|error| DemoError::made("a card", &error))?;
        let card = check_card(&card).map_err(|error| DemoError::made("a card", &error))?;
        let offer = codec::encode(&DoorRequest::Offer {
            certificate: card.card.certificate,
        });
        let answer = door::ask(&keypair, &federation, cast.door.clone(), None, offer).await;
        let answer = answer.map_err(|error| DemoError::made("a visit to the door", &error))?;
        // A door that has no time has not refused anything.
        let refused_at_door = match gate::door_answer(&answer) {
            Ok(DoorAnswer::Offer { accepted }) => !accepted,
            Ok(
                DoorAnswer::Genesis { .. }
                | DoorAnswer::Link { .. }
                | DoorAnswer::Certificates { .. }
                | DoorAnswer::Knock { .. }
                | DoorAnswer::Proposal { .. }
                | DoorAnswer::Consent { .. }
                | DoorAnswer::Unavailable,
            )
            | Err(_) => false,
        };

        let mut config = TransportConfig::new(federation);
        let nobody =
            watchfire_protocol::ids::NodeId::of_transport(&keys.transport.public().to_bytes());
        config.admitted = admitted(&cast.roster, &nobody, wall_ms());
        config.timing.redial_pause_min = REDIAL_PAUSE_MIN;
        config.timing.redial_pause_max = REDIAL_PAUSE_MAX;
        let everybody: Vec<_> = config.admitted.keys().copied().collect();
        let (handle, events) = transport::start(config, keypair)
            .map_err(|error| DemoError::made("a transport", &error))?;
        let hello = codec::encode(&Request::Hello {
            federation: cast.roster.federation(),
            epoch: 0,
            nonce: [0; 16],
        });
        let asking = tokio::spawn(ask_on(handle.clone(), everybody, hello.clone()));
        let keeping = keep_everything(events, handle.clone(), hello, Arc::clone(&store));
        Ok(Self {
            store,
            _transport: handle,
            tasks: [asking, tokio::spawn(keeping)],
            refused_at_door,
            refused_by: BTreeSet::new(),
        })
    }

    /// Waits until every member has turned it away from now on, or one of them
    /// has given it something.
    pub(crate) async fn try_everybody(&mut self, cast: &Cast) -> Result<(), DemoError> {
        self.refused_by.clear();
        let before = turned_away(cast).await?;
        let until = Instant::now() + PATIENCE;
        while self.refused_by.len() < cast.players.len()
            && self.entries()? == 0
            && Instant::now() < until
        {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = turned_away(cast).await?;
            let more = now
                .into_iter()
                .filter(|(slug, count)| before.get(slug).is_some_and(|before| count > before));
            self.refused_by.extend(more.map(|(slug, _)| slug));
        }
        Ok(())
    }

    /// The members that turned it away when it last tried.
    pub(crate) const fn refused_by(&self) -> &BTreeSet<String> {
        &self.refused_by
    }

    /// Whether the door said no to its certificate.
    pub(crate) const fn is_refused_at_door(&self) -> bool {
        self.refused_at_door
    }

    /// How much it was given: entries of its store.
    pub(crate) fn entries(&self) -> Result<u64, DemoError> {
        entries(&*self.store).map_err(|error| DemoError::made("a look into a store", &error))
    }

    /// Stops trying.
    pub(crate) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How many strangers each member has turned away so far.
async fn turned_away(cast: &Cast) -> Result<BTreeMap<String, u64>, DemoError> {
    let mut counts = BTreeMap::new();
    for player in &cast.players {
        let status = player.node.status().await;
        let status = status.map_err(|error| DemoError::Ended(error.to_string()))?;
        counts.insert(player.slug.clone(), status.counters.strangers_refused);
    }
    Ok(counts)
}

fn ask(peer: PeerId, hello: &[u8]) -> Command {
    Command::Request {
        peer,
        // Nobody compares answers with questions here.
        request: 0,
        bytes: hello.to_vec(),
        response_bytes_max: ANSWER_BYTES_MAX,
    }
}

/// Asks everybody, over and over: a connection that stands for a moment before
/// the member ends it is made use of.
async fn ask_on(transport: transport::Handle, everybody: Vec<PeerId>, hello: Vec<u8>) {
    loop {
        for peer in &everybody {
            if transport.send(ask(*peer, &hello)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Writes down every byte that a member sends, and every connection that a
/// member accepts, on which it asks at once.
async fn keep_everything(
    mut events: mpsc::Receiver<Event>,
    transport: transport::Handle,
    hello: Vec<u8>,
    store: Arc<SledStore>,
) {
    let mut number: u64 = 0;
    while let Some(event) = events.recv().await {
        let bytes = match event {
            Event::Message { bytes, .. }
            | Event::Request { bytes, .. }
            | Event::DoorRequest { bytes, .. } => bytes,
            Event::Response {
                outcome: Ok(bytes), ..
            } => bytes,
            Event::PeerUp { peer } => {
                if transport.send(ask(peer, &hello)).await.is_err() {
                    return;
                }
                peer.to_bytes()
            }
            Event::Response {
                outcome: Err(_), ..
            }
            | Event::Listening { .. }
            | Event::DoorListening { .. }
            | Event::PeerDown { .. }
            | Event::Unreachable { .. }
            | Event::Unpublished { .. }
            | Event::SlowPeer { .. } => continue,
        };
        number += 1;
        let mut batch = Batch::default();
        batch.put(
            [b"outsider".as_slice(), &number.to_be_bytes()].concat(),
            bytes,
        );
        if store.apply(&batch).and_then(|()| store.flush()).is_err() {
            return;
        }
    }
}
