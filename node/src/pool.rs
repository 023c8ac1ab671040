//! A few threads for what is dear and pure: signatures, decoding, indexing.
//!
//! The driver never has more under way than it has room for the results of, so
//! neither side waits for the other. What is live goes before what was missed:
//! checking a range takes as long as checking hundreds of frames of gossip.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use watchfire_protocol::limits::RANGE_FRAMES_MAX;

use crate::limits::JOBS_MAX;

/// Urgent jobs in a row after which another has its turn, so that a flood of
/// gossip does not end catching up: as many as a range has frames, so that each
/// then has half of the time.
const URGENT_IN_A_ROW_MAX: usize = RANGE_FRAMES_MAX;

/// Something to do on a thread of the pool.
pub type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// The threads.
#[derive(Debug)]
pub struct Pool<T> {
    waiting: Arc<Waiting<T>>,
    threads: Vec<JoinHandle<()>>,
    under_way: usize,
}

/// What waits for a thread.
struct Waiting<T> {
    lines: Mutex<Lines<T>>,
    changed: Condvar,
}

/// The jobs, each line in the order in which they were given.
struct Lines<T> {
    urgent: VecDeque<Job<T>>,
    others: VecDeque<Job<T>>,
    urgent_in_a_row: usize,
    ended: bool,
}

impl<T> Lines<T> {
    fn next(&mut self) -> Option<Job<T>> {
        let urgent_may = self.urgent_in_a_row < URGENT_IN_A_ROW_MAX || self.others.is_empty();
        if urgent_may && let Some(job) = self.urgent.pop_front() {
            self.urgent_in_a_row = self.urgent_in_a_row.saturating_add(1);
            return Some(job);
        }
        self.urgent_in_a_row = 0;
        self.others.pop_front()
    }
}

impl<T> Waiting<T> {
    fn lines(&self) -> MutexGuard<'_, Lines<T>> {
        // Nothing that can panic runs while it is held.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, waited for; none at the end.
    fn next(&self) -> Option<Job<T>> {
        let mut lines = self.lines();
        while !lines.ended {
            if let Some(job) = lines.next() {
                return Some(job);
            }
            lines = self
                .changed
                .wait(lines)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl<T> std::fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.lines();
        f.debug_struct("Waiting")
            .field("urgent", &lines.urgent.len())
            .field("others", &lines.others.len())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T> {
    /// Starts as many threads as there are cores; results come out of the
    /// receiver in the order in which they are ready.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<(Self, mpsc::Receiver<T>)> {
        let (result_sender, result_receiver) = mpsc::channel(JOBS_MAX);
        let mut pool = Self {
            waiting: Arc::new(Waiting {
                lines: Mutex::new(Lines {
                    urgent: VecDeque::new(),
                    others: VecDeque::new(),
                    urgent_in_a_row: 0,
                    ended: false,
                }),
                changed: Condvar::new(),
            }),
            threads: Vec::new(),
            under_way: 0,
        };
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for number in 0..count {
            let waiting = Arc::clone(&pool.waiting);
            let results = result_sender.clone();
            pool.threads.push(
                std::thread::Builder::new()
                    .name(format!("pool-{number}"))
                    .spawn(move || run(&waiting, &results))?,
            );
        }
        Ok((pool, result_receiver))
    }

    /// Whether there is room for what comes from outside. Half is kept for
    /// the engine's own work.
    pub const fn has_room(&self) -> bool {
        self.under_way < JOBS_MAX / 2
    }

    /// Gives a job. Returns whether it was taken: it is not after `JOBS_MAX`.
    pub fn give(&mut self, job: Job<T>) -> bool {
        self.put(job, |lines| &mut lines.others)
    }

    /// Gives a job that goes before those of [`Pool::give`]. Returns whether it
    /// was taken.
    pub fn give_urgent(&mut self, job: Job<T>) -> bool {
        self.put(job, |lines| &mut lines.urgent)
    }

    fn put(
        &mut self,
        job: Job<T>,
        line: impl FnOnce(&mut Lines<T>) -> &mut VecDeque<Job<T>>,
    ) -> bool {
        if self.under_way >= JOBS_MAX {
            return false;
        }
        self.under_way += 1;
        line(&mut self.waiting.lines()).push_back(job);
        self.waiting.changed.notify_one();
        true
    }

    /// Notes that a result was received.
    pub const fn finished_one(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.waiting.lines().ended = true;
        self.waiting.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A job that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn run<T>(waiting: &Waiting<T>, results: &mpsc::Sender<T>) {
    while let Some(job) = waiting.next() {
        if results.blocking_send(job()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_urgent_goes_first_and_the_rest_is_not_forgotten() {
        let mut lines = Lines {
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            urgent_in_a_row: 0,
            ended: false,
        };
        let urgent = URGENT_IN_A_ROW_MAX + 2;
        lines.others.push_back(Box::new(|| "range") as Job<_>);
        for _ in 0..urgent {
            lines.urgent.push_back(Box::new(|| "gossip") as Job<_>);
        }
        let order: Vec<&str> = std::iter::from_fn(|| lines.next())
            .map(|job| job())
            .collect();
        assert_eq!(order.len(), urgent + 1);
        let range = order.iter().position(|what| *what == "range");
        assert_eq!(range, Some(URGENT_IN_A_ROW_MAX));
    }

    #[test]
    fn all_that_is_given_comes_back_and_no_more_is_taken_than_fits() {
        let (mut pool, mut results) = Pool::start().unwrap();
        for number in 0..JOBS_MAX {
            let job: Job<usize> = Box::new(move || number);
            assert!(if number % 2 == 0 {
                pool.give(job)
            } else {
                pool.give_urgent(job)
            });
        }
        assert!(!pool.has_room() && !pool.give(Box::new(|| 0)));
        let mut sum = 0;
        for _ in 0..JOBS_MAX {
            sum += results.blocking_recv().unwrap();
            pool.finished_one();
        }
        assert_eq!(sum, JOBS_MAX * (JOBS_MAX - 1) / 2);
        assert!(pool.give(Box::new(|| 0)));
    }
}
