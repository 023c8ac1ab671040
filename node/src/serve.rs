//! `watchfire serve`: one node of one data directory, until it is told to end.

use std::ffi::OsString;

use libp2p::Multiaddr;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use watchfire_crypto::keyfile::{Bounds, KeyFile, Purpose};
use watchfire_crypto::{KeyFileError, Passphrase, SigningKey};

use crate::certificates::{self, Keeper};
use crate::clock;
use crate::control::server::ControlServer;
use crate::driver::DriverError;
use crate::home::{Home, HomeError};
use crate::keystore::{
    FileError, PassphraseError, PassphraseSource, PassphraseUse, read_bounded, read_secret,
};
use crate::node::{Node, NodeConfig, StartError};
use crate::transport::{LOG_DIRECTIVE, keypair_of};

/// What running a node needs.
#[derive(Clone, Debug)]
pub struct ServeArgs {
    /// Its data directory.
    pub home: Home,
    /// Where the passphrase of its keys comes from.
    pub passphrase: PassphraseSource,
    /// Where it listens.
    pub listen: Vec<Multiaddr>,
    /// Where its door listens.
    pub door: Vec<Multiaddr>,
    /// Log lines in JSON.
    pub json: bool,
    /// Warnings and errors alone.
    pub quiet: bool,
    /// Also what is of interest when looking for a mistake.
    pub verbose: bool,
}

/// Why a node does not run, or ran no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file in it.
    #[error(transparent)]
    File(#[from] FileError),
    /// No federation yet.
    #[error("this node belongs to no federation yet")]
    NotJoined,
    /// The passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// A key file.
    #[error("{path}: {why}")]
    Key {
        /// Which.
        path: String,
        /// Why.
        why: KeyFileError,
    },
    /// The node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control socket or the runtime could not be made.
    #[error("could not make {what}: {why}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        why: std::io::Error,
    },
    /// The node ended by itself.
    #[error("the node ended: {0}")]
    Driver(#[from] DriverError),
    /// Its task ended in a way that is a mistake of ours.
    #[error("the node's task ended unexpectedly; report this with the lines above")]
    Task,
}

/// Runs a node until SIGINT or SIGTERM.
///
/// # Errors
/// When it cannot start, or its store or network fails.
pub fn run(args: &ServeArgs) -> Result<(), ServeError> {
    start_logging(args);
    let _lock = args.home.lock()?;
    let genesis_file = match read_bounded(
        &args.home.genesis(),
        watchfire_protocol::limits::GENESIS_FILE_BYTES_MAX,
    ) {
        Ok(bytes) => bytes,
        Err(FileError::Missing { .. }) => return Err(ServeError::NotJoined),
        Err(error) => return Err(error.into()),
    };
    let passphrase = args
        .passphrase
        .obtain("the node's keys", PassphraseUse::Open)?;
    let signing_key = open_key(&args.home.signing_key(), Purpose::Signing, &passphrase)?;
    let transport = open_key(&args.home.transport_key(), Purpose::Transport, &passphrase)?;
    drop(passphrase);
    let mut seed = *transport.expose_seed().expose();
    let keypair = keypair_of(&mut seed).map_err(StartError::from)?;
    let certificates = certificates::begun(&args.home, clock::wall_ms());
    let config = NodeConfig {
        genesis_file,
        signing_key,
        transport_seed: transport.expose_seed(),
        store: args.home.store(),
        listen: args.listen.clone(),
        door: args.door.clone(),
    };
    let socket = args
        .home
        .control_socket(|name| std::env::var_os(name) as Option<OsString>)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|why| ServeError::System {
        what: "a runtime",
        why,
    })?;
    runtime.block_on(async {
        let system = |what| move |why| ServeError::System { what, why };
        let mut interrupted = signal(SignalKind::interrupt()).map_err(system("a signal handler"))?;
        let mut terminated = signal(SignalKind::terminate()).map_err(system("a signal handler"))?;
        let (node, mut end) = Node::start_with(config, certificates)?;
        let control = ControlServer::start(&socket, node.clone()).map_err(system("the control socket"))?;
        let keeper = tokio::spawn(Keeper::new(args.home.clone(), node.clone(), keypair).run());
        tracing::info!(socket = %socket.display(), node = %node.certificate().node.short(), "serving");
        let ended = tokio::select! {
            ended = &mut end => ended,
            _ = interrupted.recv() => ended_by(&node, end).await,
            _ = terminated.recv() => ended_by(&node, end).await,
        };
        keeper.abort();
        drop(control);
        match ended {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(ServeError::Task),
        }
    })
}

/// Ends a node that was told to, with everything durable.
async fn ended_by(
    node: &Node,
    end: crate::node::NodeEnd,
) -> Result<Result<(), DriverError>, tokio::task::JoinError> {
    tracing::info!("ending");
    node.shutdown().await;
    end.await
}

fn open_key(
    path: &std::path::Path,
    purpose: Purpose,
    passphrase: &Passphrase,
) -> Result<SigningKey, ServeError> {
    let bytes = read_secret(path)?;
    let wrong = |why| ServeError::Key {
        path: path.display().to_string(),
        why,
    };
    let file = KeyFile::parse(&bytes).map_err(wrong)?;
    file.open_key(purpose, passphrase, &Bounds::PRODUCTION)
        .map_err(wrong)
}

/// Whether a line of this origin and level may be written, whatever is asked
/// for: a filter by directives gives way to a more precise one in
/// `WATCHFIRE_LOG`. Gossipsub prints frames, and the store's library the keys
/// it looks up, which hold indicators; of the latter a warning is worth having.
fn prints_no_data(metadata: &Metadata<'_>) -> bool {
    match metadata.target().split("::").next() {
        Some("libp2p_gossipsub") => false,
        Some("sled") => *metadata.level() <= Level::WARN,
        Some(_) | None => true,
    }
}

/// Logs to standard error: ids and sizes, never contents.
fn start_logging(args: &ServeArgs) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "warn",
        (false, true) => "watchfire_node=debug,info",
        (false, false) => "info",
    };
    let wished = std::env::var("WATCHFIRE_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = tracing_subscriber::EnvFilter::new(format!("{wished},{LOG_DIRECTIVE}"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Logging may have been started by whoever embeds this.
    let _ = if args.json {
        let lines = lines.json().finish();
        lines.with(filter_fn(prints_no_data)).try_init()
    } else {
        let lines = lines.finish();
        lines.with(filter_fn(prints_no_data)).try_init()
    };
}
