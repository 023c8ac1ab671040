//! One connection of the control socket: requests in, answers out, and how much of either there may be.
//!
//! What is under way stays under way until its answer is written, so a client that does not read stops itself: first
//! its questions wait in the socket, then, after [`CONTROL_ANSWER_WITHIN`](crate::limits::CONTROL_ANSWER_WITHIN), it is
//! cut off. Nobody else waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use watchfire_protocol::limits::PLAIN_BYTES_MAX;

use super::server::{Shared, answer};
use super::{ControlAnswer, ControlRequest, Failure, Op, Reply, failure};
use crate::limits::{
    CONTROL_ANSWERS_BYTES_PER_CONNECTION_MAX, CONTROL_LINE_BYTES_MAX, CONTROL_PUBLICATIONS_MAX,
    CONTROL_QUESTIONS_MAX, CONTROL_SMALL_ANSWER_BYTES,
};

/// How long things of a connection may take; tests shorten it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) idle: Duration,
    pub(super) payload_within: Duration,
    pub(super) answer_within: Duration,
}

/// An answer as it is written, and what it occupies until then.
struct Line {
    bytes: Vec<u8>,
    _held: Vec<OwnedSemaphorePermit>,
}

/// Room for what one connection has under way.
struct Room {
    publications: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

/// Serves a connection until it ends, is quiet for too long, or does not read.
pub(super) async fn serve(stream: UnixStream, shared: &Arc<Shared>) -> io::Result<()> {
    let (reading, writing) = stream.into_split();
    let (lines, ready) = mpsc::channel(1);
    let within = shared.times.answer_within;
    let mut writer = tokio::spawn(write(writing, ready, within));
    tokio::select! {
        ended = read(reading, shared, lines) => {
            ended?;
            // What is under way is still answered.
            writer.await.map_err(io::Error::other)?
        }
        ended = &mut writer => ended.map_err(io::Error::other)?,
    }
}

async fn write(
    mut writing: impl AsyncWrite + Unpin,
    mut ready: mpsc::Receiver<Line>,
    within: Duration,
) -> io::Result<()> {
    while let Some(line) = ready.recv().await {
        tokio::time::timeout(within, writing.write_all(&line.bytes))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))??;
    }
    Ok(())
}

/// Why a request is not even looked at, after which nothing more is read: what follows cannot be told from a payload.
struct Refused {
    id: u64,
    why: Failure,
}

async fn read(
    reading: impl AsyncRead + Unpin,
    shared: &Arc<Shared>,
    lines: mpsc::Sender<Line>,
) -> io::Result<()> {
    let mut reading = BufReader::new(reading);
    let room = Room {
        publications: Arc::new(Semaphore::new(CONTROL_PUBLICATIONS_MAX)),
        questions: Arc::new(Semaphore::new(CONTROL_QUESTIONS_MAX)),
        answers: Arc::new(Semaphore::new(CONTROL_ANSWERS_BYTES_PER_CONNECTION_MAX)),
    };
    loop {
        let request = match next(&mut reading, shared.times.idle).await? {
            Some(Ok(request)) => request,
            Some(Err(Refused { id, why })) => return refuse(&lines, id, why).await,
            None => return Ok(()),
        };
        let within = shared.times.payload_within;
        let payload = payload(&mut reading, request.body_bytes, &shared.payloads, within);
        let Some((body, payload_room)) = payload.await? else {
            let text = format!("the payload did not arrive within {} s", within.as_secs());
            let why = failure(1, text, Some("send it again"));
            return refuse(&lines, request.id, why).await;
        };
        let under_way = match request.op {
            Op::Publish(_) => &room.publications,
            Op::Status
            | Op::Sync
            | Op::Search(_)
            | Op::Show { .. }
            | Op::Explain { .. }
            | Op::Membership
            | Op::Members
            | Op::Packet
            | Op::Propose(_)
            | Op::Prepare { .. }
            | Op::Suspend { .. }
            | Op::Distrust { .. }
            | Op::Trace { .. }
            | Op::Bring
            | Op::Follow
            | Op::Quarantined(_)
            | Op::Accept(_)
            | Op::Lives { .. }
            | Op::Invite(_)
            | Op::Invitations
            | Op::WithdrawInvitation { .. } => &room.questions,
        };
        let Ok(permit) = Arc::clone(under_way).acquire_owned().await else {
            return Ok(());
        };
        let (shared, lines, own) = (Arc::clone(shared), lines.clone(), Arc::clone(&room.answers));
        tokio::spawn(async move {
            let outcome = answer(&shared, request.op, body).await;
            drop(payload_room);
            let line = line_of(request.id, outcome, permit, [&own, &shared.answers]);
            // The asker may have gone.
            let _ = lines.send(line).await;
        });
    }
}

/// The next request; none at the end, or when nothing comes for too long.
async fn next(
    reading: &mut BufReader<impl AsyncRead + Unpin>,
    idle: Duration,
) -> io::Result<Option<Result<ControlRequest, Refused>>> {
    let mut line = Vec::new();
    let bounded = u64::try_from(CONTROL_LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut limited = reading.take(bounded);
    match tokio::time::timeout(idle, limited.read_until(b'\n', &mut line)).await {
        Ok(Ok(0)) | Err(_) => return Ok(None),
        Ok(read) => read?,
    };
    let request = serde_json::from_slice::<ControlRequest>(&line);
    Ok(Some(match request {
        Ok(request) if request.body_bytes > PLAIN_BYTES_MAX => Err(Refused {
            id: request.id,
            why: failure(
                1,
                format!("payload over {PLAIN_BYTES_MAX} bytes"),
                Some("split the input"),
            ),
        }),
        Ok(request) => Ok(request),
        Err(error) => Err(Refused {
            id: 0,
            why: failure(2, format!("request not understood: {error}"), None),
        }),
    }))
}

async fn refuse(lines: &mpsc::Sender<Line>, id: u64, why: Failure) -> io::Result<()> {
    let bytes = encoded(id, Err(why));
    let line = Line {
        bytes,
        _held: Vec::new(),
    };
    // The asker may have gone.
    let _ = lines.send(line).await;
    Ok(())
}

/// The answer as it is written, in room for it; a small one where there is none.
fn line_of(
    id: u64,
    outcome: Result<Reply, Failure>,
    permit: OwnedSemaphorePermit,
    rooms: [&Arc<Semaphore>; 2],
) -> Line {
    let mut held = vec![permit];
    let bytes = encoded(id, outcome);
    if bytes.len() <= CONTROL_SMALL_ANSWER_BYTES {
        return Line { bytes, _held: held };
    }
    let permits = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    for room in rooms {
        let Ok(taken) = Arc::clone(room).try_acquire_many_owned(permits) else {
            let text = "too many large answers wait to be read";
            let why = failure(1, text, Some("read them, then ask again"));
            return Line {
                bytes: encoded(id, Err(why)),
                _held: held,
            };
        };
        held.push(taken);
    }
    Line { bytes, _held: held }
}

pub(super) fn encoded(id: u64, outcome: Result<Reply, Failure>) -> Vec<u8> {
    let (ok, error) = match outcome {
        Ok(reply) => (Some(reply), None),
        Err(failure) => (None, Some(failure)),
    };
    let mut line = serde_json::to_vec(&ControlAnswer { id, ok, error }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a payload and keeps its room; none, and the room is free again, when it
/// does not arrive in time.
async fn payload(
    reading: &mut (impl AsyncRead + Unpin),
    bytes: u64,
    payloads: &Arc<Semaphore>,
    within: Duration,
) -> io::Result<Option<(Vec<u8>, OwnedSemaphorePermit)>> {
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

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_its_answers_with_it() {
        let (_never_read, writing) = tokio::io::duplex(64);
        let (lines, ready) = mpsc::channel(1);
        let slot = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&slot).acquire_owned().await.unwrap();
        let line = Line {
            bytes: vec![0; 1_000],
            _held: vec![held],
        };
        let writer = tokio::spawn(write(writing, ready, Duration::from_millis(20)));
        assert!(lines.send(line).await.is_ok());
        let ended = tokio::time::timeout(LONG, writer).await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(slot.available_permits(), 1);
    }

    #[tokio::test]
    async fn large_answers_are_bounded_and_small_ones_always_pass() {
        let slots = Arc::new(Semaphore::new(8));
        let (own, all) = (
            Arc::new(Semaphore::new(250_000)),
            Arc::new(Semaphore::new(1_000_000)),
        );
        let line = |chars: usize| {
            let why = failure(1, "x".repeat(chars), None);
            let permit = Arc::clone(&slots).try_acquire_owned().unwrap();
            line_of(1, Err(why), permit, [&own, &all])
        };
        let large = [line(100_000), line(100_000)];
        assert!(large.iter().all(|line| line.bytes.len() > 100_000));
        // The third is one too many for this connection, and is refused in few words.
        let third = line(100_000);
        assert!(third.bytes.len() < 1_000);
        assert!(line(10_000).bytes.len() > 10_000);
        assert!(all.available_permits() > 700_000);
        drop(large);
        assert_eq!(own.available_permits(), 250_000);
        assert_eq!(all.available_permits(), 1_000_000);
    }

    #[tokio::test]
    async fn a_line_without_end_is_read_to_its_limit_and_a_silent_client_for_its_time() {
        let (mut endless, reading) = tokio::io::duplex(1_024);
        let writer = tokio::spawn(async move {
            let mut sent = 0_usize;
            while sent < 1 << 30 && endless.write_all(&[b'{'; 1_024]).await.is_ok() {
                sent += 1_024;
            }
            sent
        });
        let mut reading = BufReader::new(reading);
        let refused = next(&mut reading, LONG).await.unwrap();
        assert!(matches!(refused, Some(Err(Refused { id: 0, .. }))));
        drop(reading);
        assert!(writer.await.unwrap() < 2 * CONTROL_LINE_BYTES_MAX);

        let (mut slow, reading) = tokio::io::duplex(64);
        slow.write_all(b"{\"id\":1").await.unwrap();
        let mut reading = BufReader::new(reading);
        let ended = next(&mut reading, Duration::from_millis(20)).await;
        assert!(matches!(ended, Ok(None)));
    }
}
