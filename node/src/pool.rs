//! A few threads for what is dear and pure: signatures, decoding, indexing.
//!
//! The driver never has more under way than it has room for the results of, so
//! neither side waits for the other.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::limits::JOBS_MAX;

/// Something to do on a thread of the pool.
pub type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// The threads.
#[derive(Debug)]
pub struct Pool<T> {
    jobs: Option<SyncSender<Job<T>>>,
    threads: Vec<JoinHandle<()>>,
    under_way: usize,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts as many threads as there are cores; results come out of the
    /// receiver in the order in which they are ready.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> std::io::Result<(Self, mpsc::Receiver<T>)> {
        let (job_sender, job_receiver) = sync_channel::<Job<T>>(JOBS_MAX);
        let (result_sender, result_receiver) = mpsc::channel(JOBS_MAX);
        let job_receiver = Arc::new(Mutex::new(job_receiver));
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut threads = Vec::new();
        for number in 0..count {
            let jobs = Arc::clone(&job_receiver);
            let results = result_sender.clone();
            threads.push(
                std::thread::Builder::new()
                    .name(format!("pool-{number}"))
                    .spawn(move || run(&jobs, &results))?,
            );
        }
        Ok((
            Self {
                jobs: Some(job_sender),
                threads,
                under_way: 0,
            },
            result_receiver,
        ))
    }

    /// Whether there is room for what comes from outside. Half is kept for
    /// the engine's own work.
    pub const fn has_room(&self) -> bool {
        self.under_way < JOBS_MAX / 2
    }

    /// Gives a job. Returns whether it was taken: it is not after `JOBS_MAX`.
    pub fn give(&mut self, job: Job<T>) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        match jobs.try_send(job) {
            Ok(()) => {
                self.under_way += 1;
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Notes that a result was received.
    pub const fn finished_one(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn run<T>(jobs: &Mutex<Receiver<Job<T>>>, results: &mpsc::Sender<T>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if results.blocking_send(job()).is_err() {
            return;
        }
    }
}
