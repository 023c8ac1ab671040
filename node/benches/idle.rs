//! How much memory a node needs that has nothing to do: two connected nodes in
//! one process, so half of the difference is one node's.
//!
//! `cargo bench -p watchfire-node --bench idle`

// A benchmark may end with a panic: it then has nothing to say.
#![allow(clippy::unwrap_used)]

mod mesh;

use std::time::Duration;

fn main() {
    let before_kib = resident_kib();
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    runtime.block_on(async {
        let federation = mesh::Federation::found(directory.path(), 2);
        let nodes = [federation.start(0), federation.start(1)];
        mesh::meet(&nodes).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let with_kib = resident_kib();
        println!("resident memory before any node    {before_kib:>8} KiB");
        println!("resident memory with two idle ones {with_kib:>8} KiB");
        println!(
            "one idle, connected node           {:>8} KiB",
            (with_kib - before_kib) / 2
        );
        for node in nodes {
            mesh::stop(node).await;
        }
    });
    // The smallest bundle there is, so that the shared file has no dead code.
    assert!(!mesh::small_bundle(0).is_empty() && mesh::wish().flag.is_some());
}

/// Resident memory of this process, from the kernel.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("the kernel says it");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("it is a number")
}
