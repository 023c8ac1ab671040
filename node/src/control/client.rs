//! The asking side of the control socket: one connection to the node of this
//! data directory, without a runtime.
//!
//! Requests may be under way together: [`ControlClient::send`] as often as
//! wanted, then [`ControlClient::receive`] as often, matched by their numbers.
//! A caller that sends without bound and never receives is stopped by the time
//! limit, because a node stops reading from those who do not read.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ControlAnswer, ControlRequest, Failure, Op, Reply};

/// The longest answer that is read, in bytes. The longest a node gives is the
/// STIX of one bundle in a JSON string; it refuses to show one that would not
/// fit. The bound keeps whatever else may sit behind the socket from filling
/// memory.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Why the node did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing listens on the socket.
    #[error("the node does not run: nothing answers at {}", socket.display())]
    NotRunning {
        /// Where it would listen.
        socket: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {operation} the node: {cause}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// The node is slow, or stuck.
    #[error("the node did not answer within {} s; look at its log, or give it longer with --timeout", within.as_secs())]
    Timeout {
        /// How long it had.
        within: Duration,
    },
    /// The node ended in between.
    #[error("the node closed the connection before it answered; look at its log")]
    Closed,
    /// The answer is no message of this protocol.
    #[error("the node's answer cannot be read: {why}; run the same version of both")]
    Malformed {
        /// What the parser said.
        why: String,
    },
    /// The answer is longer than [`ANSWER_BYTES_MAX`].
    #[error("the node's answer is longer than {ANSWER_BYTES_MAX} bytes; ask for less")]
    TooLong,
    /// The answer is to another question.
    #[error("the node answered another question; run the same version of both")]
    Unexpected,
    /// The node refused.
    #[error("{}", .0.message)]
    Failed(Failure),
}

/// A connection to a running node.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    within: Duration,
    id_next: u64,
    /// What was read and not handed out.
    pending: Vec<u8>,
    /// Up to here `pending` holds no end of line.
    searched: usize,
}

impl ControlClient {
    /// Connects to the socket. Every later call has `within` to make progress.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] where nobody listens; [`ControlError::Io`].
    pub fn connect(socket: &Path, within: Duration) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(socket).map_err(|cause| {
            let kind = cause.kind();
            // No socket, or one that a crash left behind.
            if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
                ControlError::NotRunning {
                    socket: socket.to_owned(),
                }
            } else {
                ControlError::Io {
                    operation: "connect to",
                    cause,
                }
            }
        })?;
        Ok(Self {
            stream,
            within: within.max(Duration::from_millis(1)),
            id_next: 1,
            pending: Vec::new(),
            searched: 0,
        })
    }

    /// Sends a request and does not wait for its answer. The number it returns
    /// is that of the answer.
    ///
    /// # Errors
    /// [`ControlError::Io`], [`ControlError::Timeout`] when the node does not
    /// read.
    pub fn send(&mut self, op: Op, body: &[u8]) -> Result<u64, ControlError> {
        let id = self.id_next;
        self.id_next += 1;
        let request = ControlRequest {
            id,
            op,
            body_bytes: body.len() as u64,
        };
        let mut line = serde_json::to_vec(&request).map_err(|error| ControlError::Malformed {
            why: error.to_string(),
        })?;
        line.push(b'\n');
        self.stream
            .set_write_timeout(Some(self.within))
            .and_then(|()| self.stream.write_all(&line))
            .and_then(|()| self.stream.write_all(body))
            .map_err(|cause| self.failed("ask", cause))?;
        Ok(id)
    }

    /// Waits for the next answer, whichever request it belongs to.
    ///
    /// # Errors
    /// [`ControlError::Timeout`], [`ControlError::Closed`],
    /// [`ControlError::TooLong`], [`ControlError::Malformed`] or
    /// [`ControlError::Io`]. A refusal of the node is an answer and no error.
    pub fn receive(&mut self) -> Result<ControlAnswer, ControlError> {
        let line = self.line()?;
        serde_json::from_slice(&line).map_err(|error| ControlError::Malformed {
            why: error.to_string(),
        })
    }

    /// Asks one thing and waits for the answer to it.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and [`receive`](Self::receive), and
    /// [`ControlError::Failed`] with what the node says when it refuses.
    pub fn request(&mut self, op: Op, body: &[u8]) -> Result<Reply, ControlError> {
        let (id, sent) = match self.send(op, body) {
            Ok(id) => (id, Ok(())),
            // A node that refuses a payload may answer and close before it has
            // read all of it; the answer says more than the broken pipe.
            Err(error) => (self.id_next.saturating_sub(1), Err(error)),
        };
        let answer = match (self.receive(), sent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        // Number 0 is about the connection and not about a question.
        if answer.id == 0
            && let Some(failure) = answer.error
        {
            return Err(ControlError::Failed(failure));
        }
        if answer.id != id {
            return Err(ControlError::Unexpected);
        }
        match (answer.ok, answer.error) {
            (Some(reply), None) => Ok(reply),
            (None, Some(failure)) => Err(ControlError::Failed(failure)),
            (Some(_), Some(_)) | (None, None) => Err(ControlError::Unexpected),
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Vec<u8>, ControlError> {
        let until = Instant::now() + self.within;
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let unsearched = self.pending.get(self.searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.pending.len();
            if self.pending.len() > ANSWER_BYTES_MAX {
                return Err(ControlError::TooLong);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ControlError::Timeout {
                    within: self.within,
                });
            }
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut chunk));
            match read {
                Ok(0) => return Err(ControlError::Closed),
                Ok(count) => self
                    .pending
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.failed("hear", cause)),
            }
        }
    }

    fn failed(&self, operation: &'static str, cause: io::Error) -> ControlError {
        let kind = cause.kind();
        if kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::TimedOut {
            ControlError::Timeout {
                within: self.within,
            }
        } else if kind == io::ErrorKind::BrokenPipe || kind == io::ErrorKind::ConnectionReset {
            ControlError::Closed
        } else {
            ControlError::Io { operation, cause }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;
    use crate::control::PublishOp;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    /// A node that reads `reads` bytes, writes `answer` and closes.
    fn node(
        reads: usize,
        answer: Vec<u8>,
        keep_open: bool,
    ) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let task = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; reads];
            stream.read_exact(&mut heard).unwrap();
            // The other side may have had enough.
            let _ = stream.write_all(&answer);
            if keep_open {
                let _ = stream.read_to_end(&mut Vec::new());
            }
            heard
        });
        (dir, path, task)
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let connect = || ControlClient::connect(&path, SHORT).unwrap_err();
        assert!(
            matches!(connect(), ControlError::NotRunning { .. }),
            "no socket"
        );
        drop(UnixListener::bind(&path).unwrap());
        assert!(
            matches!(connect(), ControlError::NotRunning { .. }),
            "a socket that a crash left"
        );
    }

    #[test]
    fn many_requests_are_under_way_and_answers_come_in_any_order() {
        let failure = |id: u64| {
            format!(
                "{{\"id\":{id},\"error\":{{\"exit_code\":14,\"message\":\"m\",\"hint\":null}}}}\n"
            )
        };
        let body = b"payload\nwith a line end";
        let expected = [
            b"{\"id\":1,\"op\":{\"publish\":{\"tlp\":null,\"valid_hours\":null,\"exercise\":false,\"pap\":null,\"supersedes\":null}},\"body_bytes\":23}\n".as_slice(),
            body,
            b"{\"id\":2,\"op\":\"status\",\"body_bytes\":0}\n",
        ]
        .concat();
        let (_dir, path, task) = node(
            expected.len(),
            [failure(2), failure(1)].concat().into_bytes(),
            false,
        );
        let mut client = ControlClient::connect(&path, LONG).unwrap();
        assert_eq!(
            client
                .send(Op::Publish(PublishOp::default()), body)
                .unwrap(),
            1
        );
        assert_eq!(client.send(Op::Status, &[]).unwrap(), 2);
        assert_eq!(client.receive().unwrap().id, 2);
        assert_eq!(client.receive().unwrap().error.unwrap().exit_code, 14);
        assert!(matches!(client.receive(), Err(ControlError::Closed)));
        assert_eq!(task.join().unwrap(), expected);
    }

    #[test]
    fn a_silent_node_a_wrong_one_and_one_without_end() {
        let (_dir, path, task) = node(1, b"{\"id\":1".to_vec(), true);
        let mut client = ControlClient::connect(&path, SHORT).unwrap();
        assert!(matches!(
            client.request(Op::Status, &[]),
            Err(ControlError::Timeout { .. })
        ));
        drop(client);
        task.join().unwrap();

        for (answer, wrong) in [
            (&b"nonsense\n"[..], "malformed"),
            (b"{\"id\":7}\n", "another"),
            (b"{\"id\":1}\n", "empty"),
        ] {
            let (_dir, path, task) = node(1, answer.to_vec(), true);
            let mut client = ControlClient::connect(&path, LONG).unwrap();
            let error = client.request(Op::Status, &[]).unwrap_err();
            assert!(
                matches!(
                    error,
                    ControlError::Malformed { .. } | ControlError::Unexpected
                ),
                "{wrong}: {error}"
            );
            drop(client);
            task.join().unwrap();
        }

        let (_dir, path, task) = node(1, vec![b'x'; ANSWER_BYTES_MAX + READ_BYTES + 1], false);
        let mut client = ControlClient::connect(&path, LONG).unwrap();
        assert!(matches!(
            client.request(Op::Status, &[]),
            Err(ControlError::TooLong)
        ));
        drop(client);
        task.join().unwrap();
    }

    #[test]
    fn a_refusal_is_heard_although_the_payload_was_not_read() {
        let answer =
            b"{\"id\":1,\"error\":{\"exit_code\":1,\"message\":\"too large\",\"hint\":null}}\n";
        let (_dir, path, task) = node(1, answer.to_vec(), false);
        let mut client = ControlClient::connect(&path, LONG).unwrap();
        let error = client
            .request(Op::Publish(PublishOp::default()), &vec![0; 8 << 20])
            .unwrap_err();
        task.join().unwrap();
        assert!(
            matches!(&error, ControlError::Failed(failure) if failure.message == "too large"),
            "{error}"
        );
    }
}
