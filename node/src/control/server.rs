//! The node's end of the control socket. Whoever can open the socket is this
//! node's own people: it lies in a directory that only they can enter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use watchfire_protocol::engine::PublishRefusal;
use watchfire_protocol::limits::PLAIN_BYTES_MAX;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::{PrepareError, Wish};
use watchfire_protocol::wire::bundle::PermissibleActions;

use super::answers::Answers;
use super::{
    AsideView, ControlAnswer, ControlRequest, Failure, Op, PeerView, PublishOp, PublishReply,
    RecoveringView, Reply, StatusReply, StoreView,
};
use crate::clock::moment;
use crate::disk::{recovery, space};
use crate::driver::{PublishFailure, PublishedBundle};
use crate::limits::VALID_HOURS_DEFAULT;
use crate::node::Node;

/// Longest line of a request.
const LINE_BYTES_MAX: u64 = 64 * 1_024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Requests of one connection under way; further ones wait in the socket.
const UNDER_WAY_MAX: usize = 1_024;
/// Questions read from the store at a time, over all connections.
const READERS_MAX: usize = 4;
/// Payloads in memory at a time, over all connections, in bytes: one of the
/// largest, 192 MiB, and as much again of small ones.
const PAYLOADS_BYTES_MAX: usize = 402_653_184;
/// How long a payload may take to arrive once there is room for it. It comes over
/// a socket of this machine, 192 MiB in about a second; until it is here its room
/// is nobody else's.
const PAYLOAD_WITHIN: Duration = Duration::from_secs(60);

/// A listening control socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    node: Node,
    payloads: Arc<Semaphore>,
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
            payloads: Arc::new(Semaphore::new(PAYLOADS_BYTES_MAX)),
            readers: Semaphore::new(READERS_MAX),
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
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &shared).await {
                        tracing::debug!(%error, "control connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: the next one may go.
                tracing::warn!(%error, "control connection not taken");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve(stream: UnixStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let (answers, mut ready) = mpsc::channel::<ControlAnswer>(UNDER_WAY_MAX);
    let writer = tokio::spawn(async move {
        while let Some(answer) = ready.recv().await {
            let mut line = serde_json::to_vec(&answer).unwrap_or_default();
            line.push(b'\n');
            if writing.write_all(&line).await.is_err() {
                return;
            }
        }
    });
    let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    loop {
        let mut line = String::new();
        if (&mut reading)
            .take(LINE_BYTES_MAX)
            .read_line(&mut line)
            .await?
            == 0
        {
            break;
        }
        let request: ControlRequest = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                // What follows cannot be told from a payload any more.
                let error = failure(2, format!("request not understood: {error}"), None);
                let _ = answers
                    .send(ControlAnswer {
                        id: 0,
                        ok: None,
                        error: Some(error),
                    })
                    .await;
                break;
            }
        };
        if request.body_bytes > PLAIN_BYTES_MAX {
            let error = failure(
                1,
                format!("payload over {PLAIN_BYTES_MAX} bytes"),
                Some("split the input"),
            );
            let _ = answers
                .send(ControlAnswer {
                    id: request.id,
                    ok: None,
                    error: Some(error),
                })
                .await;
            break;
        }
        let payload = payload(
            &mut reading,
            request.body_bytes,
            &shared.payloads,
            PAYLOAD_WITHIN,
        );
        let Some((body, room)) = payload.await? else {
            let error = failure(
                1,
                format!(
                    "the payload did not arrive within {} s",
                    PAYLOAD_WITHIN.as_secs()
                ),
                Some("send it again"),
            );
            let _ = answers
                .send(ControlAnswer {
                    id: request.id,
                    ok: None,
                    error: Some(error),
                })
                .await;
            break;
        };
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else {
            break;
        };
        let (shared, answers) = (Arc::clone(shared), answers.clone());
        tokio::spawn(async move {
            let outcome = answer(&shared, request.op, body).await;
            drop(room);
            let (ok, error) = match outcome {
                Ok(reply) => (Some(reply), None),
                Err(failure) => (None, Some(failure)),
            };
            // The asker may have gone.
            let _ = answers
                .send(ControlAnswer {
                    id: request.id,
                    ok,
                    error,
                })
                .await;
            drop(permit);
        });
    }
    drop(answers);
    let _ = writer.await;
    Ok(())
}

/// Reads a payload and keeps its room; none, and the room is free again, when it
/// does not arrive in time.
async fn payload(
    reading: &mut (impl AsyncRead + Unpin),
    bytes: u64,
    payloads: &Arc<Semaphore>,
    within: Duration,
) -> std::io::Result<Option<(Vec<u8>, OwnedSemaphorePermit)>> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(payloads).acquire_many_owned(permits).await else {
        return Ok(None);
    };
    let mut body = vec![0; usize::try_from(bytes).unwrap_or(0)];
    match tokio::time::timeout(within, reading.read_exact(&mut body)).await {
        Ok(read) => read.map(|_| Some((body, room))),
        Err(_) => Ok(None),
    }
}

fn failure(exit_code: u8, message: impl Into<String>, hint: Option<&str>) -> Failure {
    Failure {
        exit_code,
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}

async fn answer(shared: &Shared, op: Op, body: Vec<u8>) -> Result<Reply, Failure> {
    match op {
        Op::Publish(op) => publish(&shared.node, &op, body).await.map(Reply::Published),
        Op::Status => status(&shared.node).await.map(Reply::Status),
        Op::Search(op) => read(shared, move |answers| answers.search(&op).map(Reply::Found)).await,
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
async fn read(
    shared: &Shared,
    ask: impl FnOnce(&Answers<'_>) -> Result<Reply, Failure> + Send + 'static,
) -> Result<Reply, Failure> {
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
        PublishFailure::Refused(PublishRefusal::Certificate) => {
            (17, Some("check the clock of this machine"))
        }
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

/// What a person should know of the store.
fn store_view(node: &Node) -> Result<StoreView, Failure> {
    let path = node.store_path();
    let failed = |why: String| failure(1, format!("could not look at the store: {why}"), None);
    let recovering = node.recovering().map_err(|why| failed(why.to_string()))?;
    let asides = recovery::asides(path).map_err(|why| failed(why.to_string()))?;
    Ok(StoreView {
        used_bytes: space::used_bytes(path).map_err(|why| failed(why.to_string()))?,
        recovering: recovering.map(|recovering| RecoveringView {
            held: recovering.held,
            published: recovering.published,
        }),
        happened: node.happened().iter().map(ToString::to_string).collect(),
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
    let me = roster.member(&node.member());
    let peers = roster
        .nodes()
        .filter(|certificate| certificate.node != node.certificate().node)
        .map(|certificate| {
            let slug = roster
                .member(&certificate.member)
                .map(|member| member.slug.to_string());
            let connected = status.engine.peers.contains(&certificate.node);
            PeerView {
                slug: slug.unwrap_or_else(|| certificate.member.to_string()),
                role: certificate.role.name().to_owned(),
                state: if connected { "connected" } else { "away" }.to_owned(),
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
        role: node.certificate().role.name().to_owned(),
        federation: roster.name().to_owned(),
        federation_id: roster.federation().to_string(),
        uptime_ms: status.uptime_ms,
        envelopes: status.engine.envelopes,
        waiting: status.engine.unopened as u64,
        pulls: status.engine.pulls as u64,
        peers,
        certificate_until: moment(node.certificate().not_after_ms),
        listening: status.listening,
        counters,
        store: store_view(node)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A time nobody waits for to its end in a test that holds.
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_payload_that_never_comes_gives_its_room_back() {
        let room = Arc::new(Semaphore::new(10));
        let (mut silent, mut reading) = tokio::io::duplex(64);
        silent.write_all(b"half").await.unwrap();
        let waiting = payload(&mut reading, 10, &room, Duration::from_millis(20));
        let outcome = tokio::time::timeout(LONG, waiting).await;
        assert!(matches!(outcome, Ok(Ok(None))));
        assert_eq!(room.available_permits(), 10);

        let (mut honest, mut reading) = tokio::io::duplex(64);
        honest.write_all(b"all of it!").await.unwrap();
        let (body, held) = payload(&mut reading, 10, &room, LONG)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (body.as_slice(), room.available_permits()),
            (&b"all of it!"[..], 0)
        );
        drop(held);
        // Who hangs up gives it back too.
        drop(honest);
        assert!(payload(&mut reading, 10, &room, LONG).await.is_err());
        assert_eq!(room.available_permits(), 10);
    }
}
