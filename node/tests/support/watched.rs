//! A child process whose memory is watched.
//!
//! The kernel keeps the largest resident size a process ever had; it is reset before an attack and read after it, so
//! nothing depends on when it is looked at.

use std::process::{Child, Command};

/// The child. It does not outlive its test.
pub(crate) struct Watched {
    child: Child,
    before_kib: u64,
}

impl Watched {
    /// Starts it. What is resident there is what is held: its allocator gives back what is free.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .env("MALLOC_ARENA_MAX", "2")
            .spawn()
            .unwrap();
        Self {
            child,
            before_kib: 0,
        }
    }

    /// The process, for its pipes.
    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Begins to watch its memory.
    pub(crate) fn watch(&mut self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        self.before_kib = self.status("VmRSS:");
    }

    /// It must not have grown by more since it is watched, and still live.
    pub(crate) fn grew_at_most(&mut self, mib: u64) {
        let grown_kib = self.status("VmHWM:").saturating_sub(self.before_kib);
        eprintln!("grew by {grown_kib} KiB of {} allowed", mib * 1_024);
        assert!(self.child.try_wait().unwrap().is_none(), "it ended");
        assert!(grown_kib <= mib * 1_024, "grew by {grown_kib} KiB");
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
