//! A node, put together: store, engine, transport, pool and committer around
//! one driver. `serve` runs one, `demo` several.

use std::path::PathBuf;
use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use watchfire_crypto::{Secret, SigningKey};
use watchfire_protocol::engine::{Config, Engine, OpenError as EngineError};
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::roster::{Certificate, Roster, RosterError};
use watchfire_protocol::store::CommitNo;
use watchfire_protocol::wire::codec::CodecError;
use watchfire_protocol::wire::genesis::GenesisFile;

use crate::clock::Clock;
use crate::committer::Committer;
use crate::disk::{OpenError as DiskError, SledStore};
use crate::driver::{
    Book, Driver, DriverError, NodeCommand, NodeEvent, NodeStatus, Publication, PublishFailure,
    PublishedBundle, admitted,
};
use crate::pool::Pool;
use crate::transport::{self, TransportConfig, TransportError, keypair_of};

/// What a node is started with.
pub struct NodeConfig {
    /// The genesis file of its federation.
    pub genesis_file: Vec<u8>,
    /// Signs its statements.
    pub signing_key: SigningKey,
    /// Seed of its transport key.
    pub transport_seed: Secret<[u8; 32]>,
    /// Where its store is. It must exist.
    pub store: PathBuf,
    /// Where it listens.
    pub listen: Vec<Multiaddr>,
    /// Where its door listens.
    pub door: Vec<Multiaddr>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The genesis file is not one.
    #[error("the genesis file cannot be read: {0}")]
    Genesis(#[from] CodecError),
    /// The genesis does not hold.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The store does not open.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network does not start.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No thread to be had.
    #[error("the system gave no thread: {0}; raise the limit of processes")]
    Thread(#[from] std::io::Error),
    /// The operating system gives no entropy.
    #[error("the system gave no entropy; start again when it has some")]
    Entropy,
}

/// A running node, to be asked.
#[derive(Clone, Debug)]
pub struct Node {
    me: Certificate,
    commands: mpsc::Sender<NodeCommand>,
    publications: mpsc::Sender<Publication>,
    events: broadcast::Sender<NodeEvent>,
    roster: watch::Receiver<Arc<Roster>>,
    store: Arc<SledStore>,
}

/// Its end, when it comes.
pub type NodeEnd = JoinHandle<Result<(), DriverError>>;

/// The node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has ended; start it again")]
pub struct Ended;

/// Commands that wait for the driver. People and tools beyond it wait.
const COMMANDS_MAX: usize = 64;

/// Events kept for slow listeners; older ones are dropped for them alone.
const EVENTS_MAX: usize = 16_384;

impl Node {
    /// Starts a node inside a tokio runtime.
    ///
    /// # Errors
    /// When genesis, store, keys or network do not allow it. Nothing runs then.
    pub fn start(config: NodeConfig) -> Result<(Self, NodeEnd), StartError> {
        let clock = Clock::start();
        let file = GenesisFile::from_bytes(&config.genesis_file)?;
        let roster = Roster::found(&file)?;
        let store = Arc::new(SledStore::open(&config.store)?);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StartError::Entropy)?;
        let mut transport_seed = *config.transport_seed.expose();
        let transport_key = SigningKey::from_seed(&transport_seed).public().to_bytes();
        let keypair = keypair_of(&mut transport_seed)?;
        let engine = Engine::open(
            Arc::clone(&store),
            Config {
                roster,
                genesis_file: config.genesis_file,
                transport_key,
                signing_key: config.signing_key,
                seed,
            },
            clock.now(),
        )?;
        let roster = engine.roster();
        let mut transport = TransportConfig::new(*roster.federation().as_bytes());
        transport.listen = config.listen;
        transport.door = config.door;
        transport.admitted = admitted(&roster, &engine.me().node, clock.now().wall_ms);
        let (handle, network) = transport::start(transport, keypair)?;
        let (pool, ready) = Pool::start()?;
        let (openers, opened) = Pool::start()?;
        // The engine has at most a few commits under way, so there is always room.
        let (durable, committed) = mpsc::channel::<Result<CommitNo, _>>(64);
        let committer = Committer::start(Arc::clone(&store), move |done| {
            // The driver may have ended; then nobody waits for the news.
            let _ = durable.blocking_send(done);
        })?;
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (publication_sender, publications) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (roster_sender, roster) = watch::channel(roster);
        let node = Self {
            me: engine.me().clone(),
            commands: command_sender,
            publications: publication_sender,
            events: events.clone(),
            roster,
            store,
        };
        let driver = Driver {
            engine,
            clock,
            transport: handle,
            network,
            committer,
            committed,
            pool,
            ready,
            openers,
            opened,
            commands,
            publications,
            events,
            roster: roster_sender,
            book: Book::default(),
        };
        let end = tokio::spawn(driver.run());
        Ok((node, end))
    }

    /// Publishes STIX and waits until it is durable and on its way.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says why it was refused.
    pub async fn publish(
        &self,
        stix: Vec<u8>,
        wish: Wish,
    ) -> Result<Result<PublishedBundle, PublishFailure>, Ended> {
        let (reply, answer) = oneshot::channel();
        self.publications
            .send(Publication { stix, wish, reply })
            .await
            .map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }

    /// Waits until everything that could be read so far is durable, so that an
    /// answer does not show what a crash would take back.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn barrier(&self) -> Result<(), Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Barrier { reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Looks at every connected peer's frontier, and waits until what they are
    /// ahead in has been dealt with.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn sync(&self) -> Result<(), Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Sync { reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// How it is.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn status(&self) -> Result<NodeStatus, Ended> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(NodeCommand::Status { reply })
            .await
            .map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }

    /// Ends it, with everything durable.
    pub async fn shutdown(&self) {
        // It may have ended already.
        let _ = self.commands.send(NodeCommand::Shutdown).await;
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    /// The members, as it knows them now.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// What is durable, to be read.
    pub const fn store(&self) -> &Arc<SledStore> {
        &self.store
    }

    /// Its certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.me
    }

    /// Its member.
    pub const fn member(&self) -> MemberId {
        self.me.member
    }
}
