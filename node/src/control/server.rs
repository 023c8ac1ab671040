//! The node's end of the control socket. Whoever can open the socket is this
//! node's own people: it lies in a directory that only they can enter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use watchfire_protocol::engine::{PublishRefusal, Status};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{PrepareError, Wish};
use watchfire_protocol::wire::bundle::PermissibleActions;

use super::answers::Answers;
use super::connection::{Times, encoded, serve};
use super::{
    AsideView, Failure, Op, PeerView, PublishOp, PublishReply, RecoveringView, Reply, SearchReply,
    StatusReply, StoreView, SyncView, WithheldView, failure,
};
use super::{governing, inviting, lives, peers, quarantined};
use crate::clock::moment;
use crate::disk::{recovery, space};
use crate::driver::membership::slug_of;
use crate::driver::{PublishFailure, PublishedBundle};
use crate::limits::{
    CONTROL_ANSWER_WITHIN, CONTROL_ANSWERS_BYTES_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_IDLE,
    CONTROL_PAYLOAD_WITHIN, CONTROL_PAYLOADS_BYTES_MAX, CONTROL_READERS_MAX, VALID_HOURS_DEFAULT,
};
use crate::node::Node;

/// The pause after the system gave no connection, and the time to tell somebody that there is no room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening control socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

/// What all connections share.
pub(super) struct Shared {
    node: Node,
    pub(super) payloads: Arc<Semaphore>,
    pub(super) answers: Arc<Semaphore>,
    pub(super) times: Times,
    readers: Semaphore,
}

impl ControlServer {
    /// Listens at `path`, inside a tokio runtime. A socket file left by a node
    /// that was killed is replaced: the store's lock says that no other lives.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(path: &Path, node: Node) -> std::io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let shared = Arc::new(Shared {
            node,
            payloads: Arc::new(Semaphore::new(CONTROL_PAYLOADS_BYTES_MAX)),
            answers: Arc::new(Semaphore::new(CONTROL_ANSWERS_BYTES_MAX)),
            times: Times {
                idle: CONTROL_IDLE,
                payload_within: CONTROL_PAYLOAD_WITHIN,
                answer_within: CONTROL_ANSWER_WITHIN,
            },
            readers: Semaphore::new(CONTROL_READERS_MAX),
        });
        let task = tokio::spawn(accept(listener, shared));
        Ok(Self {
            path: path.to_owned(),
            task,
        })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        // Gone already if the directory is.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&connections).try_acquire_owned() {
                Ok(permit) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, &shared).await {
                            tracing::debug!(%error, "control connection ended");
                        }
                        drop(permit);
                    });
                }
                Err(_) => turn_away(&stream).await,
            },
            Err(error) => {
                // Out of descriptors, most likely: the next one may go.
                tracing::warn!(%error, "control connection not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells one client too many so. What is told fits a new socket's buffer, so nobody waits for it.
async fn turn_away(stream: &UnixStream) {
    let text = format!("{CONTROL_CONNECTIONS_MAX} other clients are connected");
    let why = failure(1, text, Some("end some of them, then try again"));
    let told = async {
        stream.writable().await?;
        stream.try_write(&encoded(0, Err(why)))
    };
    // It may have gone.
    let _ = tokio::time::timeout(ACCEPT_PAUSE, told).await;
}

/// Does what was asked.
pub(super) async fn answer(shared: &Shared, op: Op, body: Vec<u8>) -> Result<Reply, Failure> {
    match op {
        Op::Publish(op) => publish(&shared.node, &op, body).await.map(Reply::Published),
        Op::Status => status(&shared.node).await.map(Reply::Status),
        Op::Sync => sync(&shared.node).await.map(Reply::Synced),
        Op::Search(op) => {
            let found = read(shared, move |answers| answers.search(&op)).await?;
            let status = shared.node.status().await;
            let status = status.map_err(|ended| failure(15, ended.to_string(), None))?;
            Ok(Reply::Found(SearchReply {
                incomplete: status.engine.filed_in_part as u64,
                ..found
            }))
        }
        Op::Membership => governing::membership(&shared.node).await,
        Op::Members => governing::members(&shared.node).await,
        Op::Packet => governing::packet(&shared.node).await,
        Op::Propose(op) => governing::propose(&shared.node, op).await,
        Op::Prepare { roster, round } => governing::prepare(&shared.node, &roster, round).await,
        Op::Suspend {
            member,
            hours,
            reason,
        } => governing::suspend(&shared.node, &member, hours, reason).await,
        Op::Distrust { member, reason } => peers::distrust(&shared.node, &member, reason).await,
        Op::Trace { id } => peers::trace(&shared.node, &id).await,
        Op::Bring => governing::bring(&shared.node, body).await,
        Op::Follow => governing::follow(&shared.node, body).await,
        Op::Accept(op) => quarantined::accept(&shared.node, op)
            .await
            .map(Reply::Accepted),
        Op::Quarantined(op) => {
            read(shared, move |answers| {
                answers.quarantined(&op).map(Reply::Quarantined)
            })
            .await
        }
        Op::Lives { node } => lives::lives(&shared.node, node.as_deref()).await,
        Op::Invite(op) => inviting::invite(&shared.node, op).await,
        Op::Invitations => inviting::see(&shared.node).await,
        Op::WithdrawInvitation { id } => inviting::withdraw(&shared.node, id).await,
        Op::Show { id } => read(shared, move |answers| answers.show(&id).map(Reply::Shown)).await,
        Op::Explain { id, to } => {
            read(shared, move |answers| {
                answers.explain(&id, to.as_deref()).map(Reply::Explained)
            })
            .await
        }
    }
}

/// Asks the store, off the runtime's threads.
async fn read<T: Send + 'static>(
    shared: &Shared,
    ask: impl FnOnce(&Answers<'_>) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let _permit = shared.readers.acquire().await;
    let (store, roster, me) = (
        Arc::clone(shared.node.store()),
        shared.node.roster(),
        shared.node.member(),
    );
    let asked = tokio::task::spawn_blocking(move || ask(&Answers::new(&store, &roster, me))).await;
    shared
        .node
        .barrier()
        .await
        .map_err(|ended| failure(15, ended.to_string(), None))?;
    asked.unwrap_or_else(|_| {
        Err(failure(
            1,
            "the question could not be answered",
            Some("see the node's log"),
        ))
    })
}

async fn publish(node: &Node, op: &PublishOp, stix: Vec<u8>) -> Result<PublishReply, Failure> {
    let wish = wish_of(op)?;
    let outcome = node.publish(stix, wish).await;
    let outcome = outcome.map_err(|ended| failure(15, ended.to_string(), None))?;
    let PublishedBundle { published, summary } =
        outcome.map_err(|refused| publish_failure(&refused))?;
    Ok(PublishReply {
        bundle: published.bundle.to_string(),
        envelope: published.envelope.to_string(),
        sequence: published.sequence,
        marking: summary.marking.to_string(),
        objects: summary.objects,
        values: summary.values,
        not_indexed: summary.not_indexed,
    })
}

fn wish_of(op: &PublishOp) -> Result<Wish, Failure> {
    let usage = |message: String| failure(2, message, Some("see \"watchfire publish --help\""));
    let flag = match &op.tlp {
        Some(label) => Some(
            Marking::parse(label)
                .ok_or_else(|| usage(format!("\"{label}\" is no TLP 2.0 label")))?,
        ),
        None => None,
    };
    let permissible_actions = match op.pap.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("clear" | "white") => Some(PermissibleActions::Clear),
        Some("green") => Some(PermissibleActions::Green),
        Some("amber") => Some(PermissibleActions::Amber),
        Some("red") => Some(PermissibleActions::Red),
        Some(other) => return Err(usage(format!("\"{other}\" is no PAP label"))),
    };
    let supersedes = match &op.supersedes {
        Some(id) => Some(
            id.parse()
                .map_err(|_| usage(format!("\"{id}\" is no bundle id")))?,
        ),
        None => None,
    };
    let valid_ms = op
        .valid_hours
        .unwrap_or(VALID_HOURS_DEFAULT)
        .saturating_mul(60 * 60 * 1_000);
    Ok(Wish {
        flag,
        valid_ms,
        exercise: op.exercise,
        permissible_actions,
        supersedes,
    })
}

fn publish_failure(refused: &PublishFailure) -> Failure {
    let (code, hint) = match refused {
        PublishFailure::Refused(PublishRefusal::SealingAbsent { .. }) => (
            13,
            Some("nothing was published; only TLP:CLEAR travels until sealing exists"),
        ),
        PublishFailure::Refused(PublishRefusal::Policy { .. })
        | PublishFailure::Prepare(PrepareError::Marking(_)) => (
            13,
            Some("nothing was published; \"--dry-run\" shows what would go where"),
        ),
        PublishFailure::Refused(PublishRefusal::Certificate | PublishRefusal::Clock { .. }) => {
            (17, Some("check the clock of this machine"))
        }
        PublishFailure::Refused(PublishRefusal::Behind) => (
            17,
            Some(
                "wait for \"watchfire sync now\"; \"watchfire sync status\" shows what is missing or damaged here",
            ),
        ),
        PublishFailure::Recovering(_) => (17, None),
        PublishFailure::Store(_)
        | PublishFailure::Refused(PublishRefusal::Quota | PublishRefusal::Form { .. })
        | PublishFailure::Prepare(
            PrepareError::Stix { .. } | PrepareError::TooLarge { .. } | PrepareError::Empty,
        )
        | PublishFailure::Busy => (1, None),
    };
    failure(code, refused.to_string(), hint)
}

async fn sync(node: &Node) -> Result<SyncView, Failure> {
    let gone = |ended: crate::node::Ended| failure(15, ended.to_string(), None);
    node.sync().await.map_err(gone)?;
    Ok(sync_view(&node.status().await.map_err(gone)?.engine))
}

fn sync_view(status: &Status) -> SyncView {
    SyncView {
        connected: status.peers.len() as u64,
        ahead: status.behind.len() as u64,
        missing: status.catch_up.missing,
        streams: status.catch_up.streams,
        deferred: status.catch_up.deferred,
        under_way: status.catch_up.ranges,
        lost: status.lost,
    }
}

/// What a person should know of the store.
fn store_view(node: &Node) -> Result<StoreView, Failure> {
    let path = node.store_path();
    let failed = |why: String| failure(1, format!("could not look at the store: {why}"), None);
    let recovering = node.recovering().map_err(|why| failed(why.to_string()))?;
    let damaged = node.damaged();
    let asides = recovery::asides(path).map_err(|why| failed(why.to_string()))?;
    Ok(StoreView {
        used_bytes: space::used_bytes(path).map_err(|why| failed(why.to_string()))?,
        recovering: recovering.map(|recovering| RecoveringView {
            held: recovering.held,
            published: recovering.published,
            life_over: recovering.life_over.map(|why| why.name().to_owned()),
            why: recovering.life_over.map(|why| why.about().to_owned()),
        }),
        happened: node
            .happened()
            .iter()
            .map(ToString::to_string)
            .chain((!damaged.is_none()).then(|| damaged.to_string()))
            .collect(),
        set_aside: asides
            .into_iter()
            .map(|aside| AsideView {
                path: aside.path.display().to_string(),
                why: aside.why,
            })
            .collect(),
    })
}

async fn status(node: &Node) -> Result<StatusReply, Failure> {
    let status = node
        .status()
        .await
        .map_err(|ended| failure(15, ended.to_string(), None))?;
    let roster = node.roster();
    let own = node.certificate();
    let me = roster.member(&node.member());
    let peers = roster
        .nodes()
        .filter(|certificate| certificate.node != own.node)
        .map(|certificate| {
            let slug = roster
                .member(&certificate.member)
                .map(|member| member.slug.to_string());
            let connected = status.engine.peers.contains(&certificate.node);
            PeerView {
                slug: slug.unwrap_or_else(|| certificate.member.to_string()),
                role: certificate.role.name().to_owned(),
                state: if connected { "connected" } else { "away" }.to_owned(),
                ahead: connected && status.engine.behind.contains(&certificate.node),
            }
        })
        .collect();
    let mut counters = status.refusals;
    counters.extend(
        status
            .counters
            .named()
            .map(|(name, count)| (name.to_owned(), count)),
    );
    counters.retain(|_, count| *count > 0);
    Ok(StatusReply {
        slug: me.map(|me| me.slug.to_string()).unwrap_or_default(),
        role: own.role.name().to_owned(),
        federation: roster.name().to_owned(),
        federation_id: roster.federation().to_string(),
        uptime_ms: status.uptime_ms,
        envelopes: status.engine.envelopes,
        waiting: status.engine.unopened as u64,
        pulls: status.engine.pulls as u64,
        sync: sync_view(&status.engine),
        peers,
        certificate_until: moment(own.not_after_ms),
        listening: status.listening,
        counters,
        distrusted: status
            .engine
            .distrusted
            .iter()
            .map(|member| slug_of(&roster, member))
            .collect(),
        store: store_view(node)?,
        clock_jump_ms: status.clock_jump.map(|jump| jump.by_ms),
        withholding: status
            .engine
            .withheld
            .iter()
            .map(|withheld| WithheldView::of(withheld, &roster))
            .collect(),
    })
}
