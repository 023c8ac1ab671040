//! Points before each write of our own, at which a test ends the process.
//!
//! A build with debug assertions counts them; told `WATCHFIRE_END_BEFORE=12`
//! it ends before the twelfth, and told a write's name before the first of that
//! name, as abruptly as `kill -9` would: nothing is dropped, nothing is flushed. In a release build there is nothing of it.
//! What sled writes by itself is cut elsewhere, by a limit of the system
//! (`tests/tests/crash/points.rs`).
//!
//! That each write has a point is a rule of `tests/tests/tidy.rs`, over this
//! folder. Not among them: the number that is taken out of the lock as it is
//! let go, which whoever takes the lock next replaces, and what lies outside the
//! store: keys, the genesis, the control socket.

/// Ends the process here if it was told to. `write` names what comes next.
#[cfg(debug_assertions)]
pub(crate) fn before(write: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static END_BEFORE: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("WATCHFIRE_END_BEFORE").ok());
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let Some(end) = END_BEFORE.as_deref() else {
        return;
    };
    let number = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    if end == write || end.parse() == Ok(number) {
        eprintln!("ended before: {write}");
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn before(_write: &'static str) {}
