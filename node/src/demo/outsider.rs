//! The outsider: a real transport with keys of its own that nobody admitted.
//! It knows every address and the federation's id, dials everybody, tries the
//! door, and keeps whatever it is given in a store of its own.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use watchfire_protocol::founding::{Profile, make_card};
use watchfire_protocol::gate;
use watchfire_protocol::limits::ANSWER_BYTES_MAX;
use watchfire_protocol::roster::check_card;
use watchfire_protocol::store::{Batch, Store};
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest, Request};

use super::DemoError;
use super::cast::{Cast, fresh_keys};
use crate::clock::wall_ms;
use crate::disk::SledStore;
use crate::driver::admitted;
use crate::transport::{self, Command, Event, TransportConfig, door, keypair_of};

/// A stranger who tries.
pub(crate) struct Outsider {
    store: Arc<SledStore>,
    _transport: transport::Handle,
    task: tokio::task::JoinHandle<()>,
    /// What the door said to its certificate.
    pub(crate) admitted_at_door: bool,
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
        let admitted_at_door = match gate::door_answer(&answer) {
            Ok(DoorAnswer::Offer { accepted }) => accepted,
            Ok(DoorAnswer::Genesis { .. } | DoorAnswer::Unavailable) | Err(_) => false,
        };

        let mut config = TransportConfig::new(federation);
        let nobody =
            watchfire_protocol::ids::NodeId::of_transport(&keys.transport.public().to_bytes());
        config.admitted = admitted(&cast.roster, &nobody, wall_ms());
        let everybody: Vec<_> = config.admitted.keys().copied().collect();
        let (handle, events) = transport::start(config, keypair)
            .map_err(|error| DemoError::made("a transport", &error))?;
        for (number, peer) in (0..).zip(everybody) {
            let hello = Request::Hello {
                federation: cast.roster.federation(),
                epoch: 0,
            };
            let bytes = codec::encode(&hello);
            let ask = Command::Request {
                peer,
                request: number,
                bytes,
                response_bytes_max: ANSWER_BYTES_MAX,
            };
            handle
                .send(ask)
                .await
                .map_err(|error| DemoError::made("a request", &error))?;
        }
        let task = tokio::spawn(keep_everything(events, Arc::clone(&store)));
        Ok(Self {
            store,
            _transport: handle,
            task,
            admitted_at_door,
        })
    }

    /// How much it was given: entries of its store.
    pub(crate) fn entries(&self) -> Result<usize, DemoError> {
        let entries = self.store.scan(b"outsider", b"outsider", usize::MAX);
        entries
            .map(|entries| entries.len())
            .map_err(|error| DemoError::made("a look into a store", &error))
    }

    /// Stops trying.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

/// Writes down every byte that a member sends.
async fn keep_everything(mut events: mpsc::Receiver<Event>, store: Arc<SledStore>) {
    let mut number: u64 = 0;
    while let Some(event) = events.recv().await {
        let bytes = match event {
            Event::Message { bytes, .. }
            | Event::Request { bytes, .. }
            | Event::DoorRequest { bytes, .. } => bytes,
            Event::Response {
                outcome: Ok(bytes), ..
            } => bytes,
            Event::PeerUp { peer } => peer.to_bytes(),
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
