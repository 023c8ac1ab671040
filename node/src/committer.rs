//! Group commit: one flush for as many batches as came while the last one ran.
//!
//! A flush waits for the disk, some milliseconds, whatever it covers. So it
//! runs on a thread of its own, and what arrives meanwhile shares the next
//! one: the slower the disk, the larger the groups. Whoever submitted a batch
//! hears of it when it is durable, in the order of submission, and never
//! before.
//!
//! ```text
//! submit 1 2 3 ──► queue ──► apply 1 ┐
//!                            apply 2 ├─ flush ──► done(1) done(2) done(3)
//!                            apply 3 ┘
//! ```
//!
//! The first failure ends it: nothing later is applied or reported durable,
//! since what is on disk after a failed write is unknown.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use watchfire_protocol::store::{Batch, CommitNo, Store, StoreError};

use crate::limits::QUEUE_BATCHES_MAX;

/// The thread that commits, and the way to it.
#[derive(Debug)]
pub struct Committer {
    /// Present until shut down; dropping it is what tells the thread to end.
    queue: Option<SyncSender<Numbered>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

/// A batch on its way to the disk.
#[derive(Debug)]
struct Numbered {
    number: CommitNo,
    batch: Batch,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The disk is behind by [`QUEUE_BATCHES_MAX`] batches. Keep the batch,
    /// and offer it again after the next report.
    #[error(
        "the disk is behind: {QUEUE_BATCHES_MAX} batches wait; try again after the next commit"
    )]
    Full(Batch),
    /// A write failed, as reported, and the thread has ended.
    #[error(
        "nothing is committed any more after a failed write; free disk space, check the disk, then start the node again"
    )]
    Stopped,
}

impl Committer {
    /// Starts the thread.
    ///
    /// `done` runs on it, once for each batch that has become durable, in
    /// order, and once with the error if a write fails, after which it is
    /// never called again. It should only pass the news on: while it runs,
    /// nothing is committed. It must not wait for room in a queue that is
    /// emptied only by whoever is waiting to submit.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start<S>(
        store: Arc<S>,
        done: impl FnMut(Result<CommitNo, StoreError>) + Send + 'static,
    ) -> std::io::Result<Self>
    where
        S: Store + Send + Sync + 'static,
    {
        let (queue, waiting) = sync_channel(QUEUE_BATCHES_MAX);
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || run(&*store, &waiting, done))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Hands over a batch, and waits while the queue is full: for callers who
    /// may wait. Numbers should rise; they come back as they were given.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`] after a failed write.
    pub fn submit(&self, number: CommitNo, batch: Batch) -> Result<(), SubmitError> {
        let queue = self.queue.as_ref().ok_or(SubmitError::Stopped)?;
        queue
            .send(Numbered { number, batch })
            .map_err(|_| SubmitError::Stopped)
    }

    /// Hands over a batch, and never waits: for an event loop.
    ///
    /// # Errors
    /// [`SubmitError::Full`] with the batch, or [`SubmitError::Stopped`].
    pub fn try_submit(&self, number: CommitNo, batch: Batch) -> Result<(), SubmitError> {
        let queue = self.queue.as_ref().ok_or(SubmitError::Stopped)?;
        queue
            .try_send(Numbered { number, batch })
            .map_err(|refused| match refused {
                TrySendError::Full(numbered) => SubmitError::Full(numbered.batch),
                TrySendError::Disconnected(_) => SubmitError::Stopped,
            })
    }

    /// Commits everything submitted, reports it, and ends the thread.
    ///
    /// # Errors
    /// The failure that ended it, now or earlier.
    pub fn shutdown(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(StoreError::Failed {
                operation: "commit",
                cause: "the commit thread panicked".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `shutdown`; `done` was told
        // of a failure either way.
        let _ = self.end();
    }
}

fn run<S: Store>(
    store: &S,
    waiting: &Receiver<Numbered>,
    mut done: impl FnMut(Result<CommitNo, StoreError>),
) -> Result<(), StoreError> {
    let mut group = Vec::with_capacity(QUEUE_BATCHES_MAX);
    while let Ok(first) = waiting.recv() {
        match commit_group(store, first, waiting, &mut group) {
            Ok(()) => group.drain(..).for_each(|number| done(Ok(number))),
            Err(failure) => {
                done(Err(failure.clone()));
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// Applies `first` and what waits behind it, then flushes once. The numbers
/// are left in `group`.
fn commit_group<S: Store>(
    store: &S,
    first: Numbered,
    waiting: &Receiver<Numbered>,
    group: &mut Vec<CommitNo>,
) -> Result<(), StoreError> {
    group.clear();
    let mut next = Some(first);
    while let Some(Numbered { number, batch }) = next {
        store.apply(&batch)?;
        group.push(number);
        // Bounded, or a steady stream would put off its own report for ever.
        next = if group.len() < QUEUE_BATCHES_MAX {
            waiting.try_recv().ok()
        } else {
            None
        };
    }
    store.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::sync::Mutex;
    use std::sync::mpsc::{self, Sender};

    use watchfire_protocol::store::{Entry, MemoryStore};

    use super::*;

    /// What happened to a store, in order.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Event {
        Applied(Vec<u8>),
        Flushed,
        Reported(u64),
        Failed,
    }

    /// A store in memory that keeps a diary, waits at its gate before each
    /// flush, and fails when told to.
    struct Probe {
        inner: Mutex<MemoryStore>,
        diary: Arc<Mutex<Vec<Event>>>,
        /// One message lets one flush pass; a closed gate lets all pass.
        gate: Mutex<Receiver<()>>,
        /// Says that a flush has begun.
        begun: Mutex<Sender<()>>,
        fail_apply_of: Option<&'static [u8]>,
        fail_flush: bool,
    }

    impl Store for Probe {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.inner.lock().unwrap().get(key)
        }

        fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
            self.inner.lock().unwrap().scan(prefix, from, limit)
        }

        fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
            let key = batch.iter().next().unwrap().0.to_vec();
            if self.fail_apply_of == Some(&key) {
                return Err(StoreError::Failed {
                    operation: "apply a batch",
                    cause: "no space left".to_owned(),
                });
            }
            self.diary.lock().unwrap().push(Event::Applied(key));
            self.inner.lock().unwrap().apply(batch)
        }

        fn flush(&self) -> Result<(), StoreError> {
            let _ = self.begun.lock().unwrap().send(());
            let _ = self.gate.lock().unwrap().recv();
            if self.fail_flush {
                return Err(StoreError::Failed {
                    operation: "flush",
                    cause: "input/output error".to_owned(),
                });
            }
            self.diary.lock().unwrap().push(Event::Flushed);
            Ok(())
        }
    }

    struct Bench {
        committer: Committer,
        diary: Arc<Mutex<Vec<Event>>>,
        open_gate: Sender<()>,
        begun: Receiver<()>,
    }

    fn bench(fail_apply_of: Option<&'static [u8]>, fail_flush: bool) -> Bench {
        let diary = Arc::new(Mutex::new(Vec::new()));
        let (open_gate, gate) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let probe = Probe {
            inner: Mutex::default(),
            diary: Arc::clone(&diary),
            gate: Mutex::new(gate),
            begun: Mutex::new(begin),
            fail_apply_of,
            fail_flush,
        };
        let told = Arc::clone(&diary);
        let committer = Committer::start(Arc::new(probe), move |report| {
            told.lock()
                .unwrap()
                .push(report.map_or(Event::Failed, |number| Event::Reported(number.get())));
        })
        .unwrap();
        Bench {
            committer,
            diary,
            open_gate,
            begun,
        }
    }

    fn numbers() -> impl Iterator<Item = CommitNo> {
        std::iter::successors(Some(CommitNo::FIRST), |number| Some(number.next()))
    }

    fn batch(key: &[u8]) -> Batch {
        let mut batch = Batch::default();
        batch.put(key.to_vec(), b"value".to_vec());
        batch
    }

    #[test]
    fn what_waits_shares_a_flush_and_nothing_is_reported_before_it() {
        let bench = bench(None, false);
        let mut number = numbers();
        bench
            .committer
            .submit(number.next().unwrap(), batch(b"a"))
            .unwrap();
        // The first flush is under way, and holds until the gate opens.
        bench.begun.recv().unwrap();
        for key in [b"b", b"c", b"d"] {
            bench
                .committer
                .try_submit(number.next().unwrap(), batch(key))
                .unwrap();
        }
        assert_eq!(
            *bench.diary.lock().unwrap(),
            [Event::Applied(b"a".to_vec())],
            "applied, not flushed, not reported"
        );
        drop(bench.open_gate);
        bench.committer.shutdown().unwrap();
        let applied = |key: &[u8]| Event::Applied(key.to_vec());
        assert_eq!(
            *bench.diary.lock().unwrap(),
            [
                applied(b"a"),
                Event::Flushed,
                Event::Reported(1),
                applied(b"b"),
                applied(b"c"),
                applied(b"d"),
                Event::Flushed,
                Event::Reported(2),
                Event::Reported(3),
                Event::Reported(4),
            ]
        );
    }

    #[test]
    fn many_batches_take_few_flushes_and_keep_their_order() {
        let bench = bench(None, false);
        let count = 10 * QUEUE_BATCHES_MAX;
        let submitter = std::thread::spawn({
            let committer = bench.committer;
            move || {
                for number in numbers().take(count) {
                    committer
                        .submit(number, batch(&number.get().to_be_bytes()))
                        .unwrap();
                }
                committer.shutdown().unwrap();
            }
        });
        bench.begun.recv().unwrap();
        drop(bench.open_gate);
        submitter.join().unwrap();
        let diary = bench.diary.lock().unwrap();
        let reported: Vec<u64> = diary
            .iter()
            .filter_map(|event| {
                if let Event::Reported(number) = event {
                    Some(*number)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(
            reported,
            (1..=u64::try_from(count).unwrap()).collect::<Vec<_>>()
        );
        let flushes = diary
            .iter()
            .filter(|event| **event == Event::Flushed)
            .count();
        assert!(flushes < count, "{flushes} flushes for {count} batches");
        let largest = diary.split(|event| *event == Event::Flushed).map(|group| {
            group
                .iter()
                .filter(|event| matches!(event, Event::Applied(_)))
                .count()
        });
        assert!(
            largest.max().unwrap() <= QUEUE_BATCHES_MAX,
            "a group is bounded"
        );
    }

    #[test]
    fn a_full_queue_gives_the_batch_back() {
        let bench = bench(None, false);
        let mut number = numbers();
        bench
            .committer
            .submit(number.next().unwrap(), batch(b"in flush"))
            .unwrap();
        bench.begun.recv().unwrap();
        for number in number.by_ref().take(QUEUE_BATCHES_MAX) {
            bench.committer.try_submit(number, batch(b"waits")).unwrap();
        }
        let refused = bench
            .committer
            .try_submit(number.next().unwrap(), batch(b"too many"));
        assert!(matches!(refused, Err(SubmitError::Full(back)) if back == batch(b"too many")));
        drop(bench.open_gate);
        bench.committer.shutdown().unwrap();
    }

    #[test]
    fn after_a_failed_apply_nothing_is_reported_not_even_its_group() {
        let bench = bench(Some(b"c"), false);
        let mut number = numbers();
        bench
            .committer
            .submit(number.next().unwrap(), batch(b"a"))
            .unwrap();
        bench.begun.recv().unwrap();
        for key in [b"b", b"c", b"d"] {
            bench
                .committer
                .submit(number.next().unwrap(), batch(key))
                .unwrap();
        }
        drop(bench.open_gate);
        assert!(bench.committer.shutdown().is_err());
        let applied = |key: &[u8]| Event::Applied(key.to_vec());
        assert_eq!(
            *bench.diary.lock().unwrap(),
            [
                applied(b"a"),
                Event::Flushed,
                Event::Reported(1),
                applied(b"b"),
                Event::Failed
            ]
        );
    }

    #[test]
    fn after_a_failed_flush_nothing_is_taken_any_more() {
        let bench = bench(None, true);
        let mut number = numbers();
        bench
            .committer
            .submit(number.next().unwrap(), batch(b"a"))
            .unwrap();
        bench.begun.recv().unwrap();
        drop(bench.open_gate);
        // The thread ends on its own; until it has, the queue takes batches
        // that are never reported.
        let refused = number
            .find_map(|number| bench.committer.submit(number, batch(b"later")).err())
            .expect("a stopped committer refuses");
        assert!(matches!(refused, SubmitError::Stopped));
        let ended = bench.committer.shutdown().unwrap_err();
        assert!(ended.to_string().contains("input/output error"), "{ended}");
        assert_eq!(
            *bench.diary.lock().unwrap(),
            [Event::Applied(b"a".to_vec()), Event::Failed]
        );
    }

    #[test]
    fn shutting_down_an_idle_committer_does_nothing() {
        let bench = bench(None, true);
        bench.committer.shutdown().unwrap();
        assert_eq!(*bench.diary.lock().unwrap(), []);
    }
}
