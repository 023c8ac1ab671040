//! A node, put together: store, engine, transport, pool and committer around
//! one driver. `serve` runs one, `demo` several.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use watchfire_crypto::{Secret, SigningKey};
use watchfire_protocol::engine::{
    Accept, AcceptRefusal, AcceptedCount, Config, DistrustRefusal, Engine,
    OpenError as EngineError, Said, Saying, SayingRefusal, Traced, admit_held,
};
use watchfire_protocol::ids::MemberId;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::roster::{Certificate, Roster, RosterError};
use watchfire_protocol::store::{CommitNo, Store as _, StoreError};
use watchfire_protocol::table;
use watchfire_protocol::wire::Packet;
use watchfire_protocol::wire::card::CertificateBytes;
use watchfire_protocol::wire::codec::CodecError;
use watchfire_protocol::wire::genesis::GenesisFile;
use watchfire_protocol::wire::roster::Cut;

use crate::clock::Clock;
use crate::committer::Committer;
use crate::disk::chain::{self, ChainError};
use crate::disk::prepared::{self, PreparedError};
use crate::disk::published::{OwnStreams, Recovering, Witnessed};
use crate::disk::recovery::{self, Happened};
use crate::disk::{Damaged, OpenError as DiskError, SledStore, tables};
use crate::driver::membership::MembershipView;
use crate::driver::{
    Book, DeskView, DeskWish, Driver, DriverError, Healing, NodeCommand, NodeEvent, NodeStatus,
    Publication, PublishFailure, PublishedBundle, admitted_by,
};
use crate::invitations::{Desk, DeskRefusal};
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
    /// The roster chain beside the store cannot be used.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What says which roster this node prepared last cannot be used.
    #[error(transparent)]
    Prepared(#[from] PreparedError),
    /// The store does not open.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The store failed as it was read.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    me: watch::Receiver<Certificate>,
    commands: mpsc::Sender<NodeCommand>,
    publications: mpsc::Sender<Publication>,
    events: broadcast::Sender<NodeEvent>,
    roster: watch::Receiver<Arc<Roster>>,
    store: Arc<SledStore>,
    store_path: PathBuf,
    own: Arc<OwnStreams>,
    happened: Arc<Vec<Happened>>,
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
        Self::start_with(config, Vec::new())
    }

    /// As [`Node::start`], with certificates that came by file: what a roster
    /// would not take is left out.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(
        config: NodeConfig,
        certificates: Vec<CertificateBytes>,
    ) -> Result<(Self, NodeEnd), StartError> {
        let clock = Clock::start();
        let file = GenesisFile::from_bytes(&config.genesis_file)?;
        let mut roster = Roster::found(&file)?;
        let links = chain::read(&config.store)?;
        let prepared = prepared::read(&config.store)?;
        for link in &links {
            roster = roster.follow(link)?;
        }
        let of_chain = roster.clone();
        admit_held(&mut roster, certificates.clone());
        let transport_key = SigningKey::from_seed(config.transport_seed.expose()).public();
        let open = |store| {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| StartError::Entropy)?;
            let config = Config {
                roster: of_chain.clone(),
                genesis_file: config.genesis_file.clone(),
                links: links.clone(),
                installed: certificates.clone(),
                prepared,
                transport_key: transport_key.to_bytes(),
                signing_key: SigningKey::from_seed(config.signing_key.expose_seed().expose()),
                seed,
            };
            Ok::<_, StartError>(Engine::open(store, config, clock.now())?)
        };
        let (store, engine, happened) =
            open_store(&config.store, &roster, clock.now().wall_ms, open)?;
        let mut transport_seed = *config.transport_seed.expose();
        let keypair = keypair_of(&mut transport_seed)?;
        let me = engine.me();
        let own = OwnStreams::open(&store, &config.store, me.node, me.incarnation)?;
        let own = Arc::new(own);
        warn_of_recovery(&own, &store)?;
        let roster = engine.roster();
        let mut transport = TransportConfig::new(*roster.federation().as_bytes());
        transport.listen = config.listen;
        let has_door = !config.door.is_empty();
        transport.door = config.door;
        transport.admitted = admitted_by(&engine, clock.now().wall_ms);
        let (handle, network) = transport::start(transport, keypair)?;
        let (pool, ready) = Pool::start()?;
        let (openers, opened) = Pool::start()?;
        // The engine has at most a few commits under way, so there is always room.
        let (durable, committed) = mpsc::channel::<Result<CommitNo, _>>(64);
        let witnessed = Arc::new(Witnessed::new(
            Arc::clone(&store),
            Arc::clone(&own),
            config.store.clone(),
        ));
        let committer = Committer::start(witnessed, move |done| {
            // The driver may have ended; then nobody waits for the news.
            let _ = durable.blocking_send(done);
        })?;
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (publication_sender, publications) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (roster_sender, roster) = watch::channel(roster);
        let (me_sender, me) = watch::channel(engine.me().clone());
        let desk = Desk::open(&config.store);
        let healing = Healing::new(Arc::clone(&store), config.store.clone());
        let node = Self {
            me,
            commands: command_sender,
            publications: publication_sender,
            events: events.clone(),
            roster,
            store,
            store_path: config.store.clone(),
            own,
            happened: Arc::new(happened),
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
            me: me_sender,
            book: Book::default(),
            healing,
            desk,
            has_door,
        };
        let end = tokio::spawn(async move {
            let ended = driver.run().await;
            if let Err(DriverError::Store(damaged @ StoreError::Damaged { .. })) = &ended {
                note_damage(&config.store, damaged);
            }
            ended
        });
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
        if let Err(refused) = self.may_publish() {
            return Ok(Err(refused));
        }
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

    /// Says something about membership, and waits until it is durable and on its
    /// way.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says why nothing was said.
    pub async fn say(&self, saying: Saying) -> Result<Result<Said, SayingRefusal>, Ended> {
        let (reply, told) = oneshot::channel();
        let saying = Box::new(saying);
        self.commands
            .send(NodeCommand::Say { saying, reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Accepts what is held back here, and waits until that is durable. Nobody else
    /// is told.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says why nothing was accepted.
    pub async fn accept(
        &self,
        accept: Accept,
    ) -> Result<Result<AcceptedCount, AcceptRefusal>, Ended> {
        let (reply, told) = oneshot::channel();
        let accept = Box::new(accept);
        self.commands
            .send(NodeCommand::Accept { accept, reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Distrusts a member, for a reason, or ends that, and waits until it is durable.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says why nothing changed.
    pub async fn distrust(
        &self,
        member: MemberId,
        reason: Option<String>,
    ) -> Result<Result<(), DistrustRefusal>, Ended> {
        let (reply, told) = oneshot::channel();
        let command = NodeCommand::Distrust {
            member,
            reason,
            reply,
        };
        self.commands.send(command).await.map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Whether it distrusts a member, as its store has it; a store that cannot be
    /// read says yes.
    pub(crate) fn distrusts(&self, member: &MemberId) -> bool {
        !matches!(self.store.get(&table::distrusted(member)), Ok(None))
    }

    /// What it knows of an envelope, by its id or by that of the bundle in it.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error if its store fails.
    pub async fn trace(&self, id: [u8; 32]) -> Result<Result<Option<Traced>, StoreError>, Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Trace { id, reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// What it holds about membership.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn membership(&self) -> Result<MembershipView, Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Membership { reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// What of membership goes by file: genesis, chain and notices.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says what prevents it.
    pub async fn packet(&self) -> Result<Result<Packet, String>, Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Packet { reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Where the streams of a member's nodes end here, without gaps: what counts
    /// of them when the member is expelled now.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn ends_of_member(&self, member: MemberId) -> Result<Vec<Cut>, Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Ends { member, reply })
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

    /// Invites somebody, withdraws an invitation, or tells who has knocked.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone; the inner error says what was refused.
    pub async fn at_desk(&self, wish: DeskWish) -> Result<Result<DeskView, DeskRefusal>, Ended> {
        let (reply, told) = oneshot::channel();
        self.commands
            .send(NodeCommand::Invitations { wish, reply })
            .await
            .map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Takes a certificate that a person installed, if it holds; its own from
    /// then on is what it signs under.
    ///
    /// # Errors
    /// [`Ended`] if the node is gone.
    pub async fn take_certificate(&self, certificate: CertificateBytes) -> Result<(), Ended> {
        let certificate = Box::new(certificate);
        self.commands
            .send(NodeCommand::Certificate { certificate })
            .await
            .map_err(|_| Ended)
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

    /// Whether its own stream is whole, so that no second envelope is signed
    /// under a number that was used.
    fn may_publish(&self) -> Result<(), PublishFailure> {
        self.own.lives_in(self.certificate().incarnation);
        Ok(self.own.check(&self.store)??)
    }

    /// How far fetching back its own stream is, if it is being fetched back.
    /// While it is, nothing is published.
    ///
    /// # Errors
    /// When the store fails.
    pub fn recovering(&self) -> Result<Option<Recovering>, StoreError> {
        self.own.lives_in(self.certificate().incarnation);
        Ok(self.own.check(&self.store)?.err())
    }

    /// What happened to its store as it started; empty as a rule.
    pub fn happened(&self) -> &[Happened] {
        &self.happened
    }

    /// Damaged values that were read while it runs.
    pub fn damaged(&self) -> Damaged {
        self.store.damaged()
    }

    /// Where its store is.
    pub fn store_path(&self) -> &Path {
        &self.store_path
    }

    /// What is durable, to be read.
    pub const fn store(&self) -> &Arc<SledStore> {
        &self.store
    }

    /// Its certificate: the newest of its latest life.
    pub fn certificate(&self) -> Certificate {
        self.me.borrow().clone()
    }

    /// Its member.
    pub fn member(&self) -> MemberId {
        self.me.borrow().member
    }
}

/// What a node begins with.
type Begun = (Arc<SledStore>, Engine<Arc<SledStore>>, Vec<Happened>);

/// Opens store and engine. An engine that meets a damaged value as it starts
/// has the store mended, once.
fn open_store(
    path: &Path,
    roster: &Roster,
    wall_ms: u64,
    open: impl Fn(Arc<SledStore>) -> Result<Engine<Arc<SledStore>>, StartError>,
) -> Result<Begun, StartError> {
    let mut happened = Vec::new();
    let mut is_second = false;
    loop {
        let recovered = recovery::start(path, roster, wall_ms)?;
        for one in &recovered.happened {
            warn_of(one);
        }
        happened.extend(recovered.happened);
        let store = Arc::new(recovered.store);
        match open(Arc::clone(&store)) {
            Ok(engine) => return Ok((store, engine, happened)),
            Err(StartError::Engine(EngineError::Store(damaged @ StoreError::Damaged { .. })))
                if !is_second =>
            {
                note_damage(path, &damaged);
                is_second = true;
            }
            Err(other) => return Err(other),
        }
    }
}

/// One warning for what happened, and one for each value that went with it.
fn warn_of(happened: &Happened) {
    if let Happened::Repaired(repaired) = happened {
        for finding in &repaired.removed {
            tracing::warn!(table = finding.table, at = %finding.place, why = %finding.why, "removed from the store");
        }
    }
    tracing::warn!("{happened}");
}

fn warn_of_recovery(own: &OwnStreams, store: &SledStore) -> Result<(), StoreError> {
    if let Err(recovering) = own.check(store)? {
        tracing::warn!("{recovering}");
    }
    Ok(())
}

/// Has the store mended at the next start.
fn note_damage(store: &Path, damaged: &StoreError) {
    let why = tables::in_words(damaged);
    tracing::error!(%why, "the store is mended at the next start");
    if let Err(why) = recovery::suspect(store) {
        tracing::error!(%why, "could not note that; run \"watchfire store check --rebuild\"");
    }
}
