//! Lengths that promise more than there is: refused before memory is taken for
//! them.
//!
//! A counting allocator would need unsafe code, which this workspace forbids.
//! Instead a process of its own, with one thread, decodes every bomb and then
//! asks the kernel for the most memory it ever had: `VmPeak` counts what was
//! reserved, touched or not, so that a zeroed vector of a claimed length shows
//! there however it was made.

use std::process::Command;

use watchfire_protocol::gate;
use watchfire_protocol::roster::{Roster, check_card};
use watchfire_protocol::wire::genesis::{GenesisFile, card_from_file};
use watchfire_tests::bytes::Writer;
use watchfire_tests::forge::Forge;
use watchfire_tests::membership;

/// Set in the process that is measured.
const MEASURED: &str = "WATCHFIRE_TESTS_MEASURED";

/// Beginnings after which a length comes, by the door they are for.
fn beginnings(forge: &Forge) -> Vec<(&'static str, Vec<u8>)> {
    let cast = forge.plain(0);
    let frame = forge.sign(0, &cast);
    let header = Writer::new()
        .raw(&[1, 15])
        .bytes(&[0; 200])
        .raw(&[0; 64])
        .into_vec();
    let card = membership::card_file(forge, 0);
    let genesis = forge.genesis.to_bytes();
    let statement = 2 + Writer::new()
        .bytes(forge.genesis.genesis.as_slice())
        .into_vec()
        .len();
    let stream = [[0x4e; 32].as_slice(), &[1], &[0; 16]].concat();
    let frontier = [&[1][..], &[0x57; 16], &[0]].concat();
    vec![
        ("frame: header", vec![1, 15]),
        (
            "frame: second signature",
            [header.as_slice(), &[1]].concat(),
        ),
        ("frame: key block", [header.as_slice(), &[0, 1]].concat()),
        ("frame: head", [header.as_slice(), &[0, 0]].concat()),
        (
            "frame: payload",
            [&frame[..frame.len() - cast.payload.map_or(0, |payload| payload.len()) - 3]].concat(),
        ),
        ("answer: frontier", frontier.clone()),
        (
            "answer: frontier, runs",
            [frontier.as_slice(), &[1, 0], &[0x5a; 8], &[0, 0]].concat(),
        ),
        ("answer: range", vec![2]),
        ("answer: range, first item", vec![2, 1, 0]),
        ("answer: range, first remains", vec![2, 1, 1]),
        (
            "answer: range, second signature",
            [&[2, 1, 1, 0][..], &[0x51; 64], &[1]].concat(),
        ),
        ("answer: chunk", vec![3]),
        ("answer: path", vec![3, 0]),
        ("answer: key block", vec![4]),
        ("request: stream cut", [&[2], stream.as_slice()].concat()),
        ("door request: certificate", vec![1]),
        ("door answer: piece", vec![0, 0, 0]),
        ("card: statement", vec![1, 1]),
        ("card: slug", card[..3].to_vec()),
        ("genesis: statement", vec![1, 2]),
        ("genesis: signatures", genesis[..statement].to_vec()),
        ("genesis: cards", [&genesis[..statement], &[0]].concat()),
    ]
}

/// Lengths far over, a little over, and within each bound.
const LENGTHS: [u64; 10] = [
    1 << 63,
    u64::MAX,
    1 << 40,
    1 << 32,
    70_000_000,
    262_144,
    81_920,
    32_768,
    4_096,
    256,
];

fn decode_all(forge: &Forge) {
    for (what, beginning) in beginnings(forge) {
        for length in LENGTHS {
            let bomb = Writer::new().raw(&beginning).integer(length).into_vec();
            assert!(
                gate::check(&bomb, &forge.roster).is_err(),
                "{what}, {length}"
            );
            let card = card_from_file(&bomb).is_ok_and(|card| check_card(&card).is_ok());
            let genesis =
                GenesisFile::from_bytes(&bomb).is_ok_and(|file| Roster::found(&file).is_ok());
            assert!(!card && !genesis, "{what}, {length}");
            // The others may be a whole message of another kind, which then
            // holds no more than came.
            if !what.starts_with("request") {
                let _ = gate::request(&bomb);
                let _ = gate::door_answer(&bomb);
            }
            assert!(gate::answer(&bomb).is_err(), "{what}, {length}");
            assert!(
                gate::door_request(&bomb).is_err() || what.starts_with("answer"),
                "{what}, {length}"
            );
        }
    }
}

#[test]
fn attack_31_lengths_without_bytes_are_refused() {
    decode_all(&Forge::default());
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    line.trim_start_matches(':')
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap()
}

/// Does nothing but in the process that the next test starts.
#[test]
fn measured() {
    if std::env::var_os(MEASURED).is_none() {
        return;
    }
    let forge = Forge::default();
    // Whatever honest work needs is there before.
    assert!(gate::check(&forge.sign(0, &forge.plain(0)), &forge.roster).is_ok());
    drop(beginnings(&forge));
    // Up to the peak of what was before, so that nothing hides below it.
    let below = (status_kib("VmPeak") - status_kib("VmSize")) * 1_024;
    let filling = vec![1_u8; usize::try_from(below).unwrap()];
    let before = status_kib("VmPeak");
    for _ in 0..10 {
        decode_all(&forge);
    }
    let grown_kib = status_kib("VmPeak") - before;
    assert!(grown_kib < 64, "decoding bombs took {grown_kib} KiB more");
    // The measure itself can fail: one vector of a claimed length shows.
    let vector = vec![0_u8; 65_536 + 4_096];
    std::hint::black_box((&vector, &filling));
    let shown_kib = status_kib("VmPeak") - before;
    assert!(
        shown_kib >= 64,
        "a vector of {} bytes shows as {shown_kib} KiB",
        vector.len()
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn attack_31_length_bombs_take_less_than_64_kib() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "bombs::measured",
            "--test-threads=1",
            "--nocapture",
        ])
        .env(MEASURED, "1")
        // Whatever has 16 KiB or more is reserved by itself and given back.
        .env("MALLOC_MMAP_THRESHOLD_", "16384")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

/// An honest message of nothing is no bomb, and is read.
#[test]
fn empty_collections_are_read_where_they_may_be() {
    let frontier = [&[1][..], &[0x57; 16], &[0, 0, 0]].concat();
    assert!(gate::answer(&frontier).is_ok(), "a frontier of no entries");
    assert!(gate::answer(&[2, 0]).is_ok(), "a range of no items");
    assert!(
        gate::answer(&[3, 0, 0]).is_ok(),
        "a chunk of no bytes: the root will not hold"
    );
    assert!(
        gate::answer(&[2, 1, 0, 0]).is_ok(),
        "a range of one frame of no bytes: the gate refuses that frame"
    );
    assert!(
        gate::door_answer(&[0, 0, 0, 0]).is_ok(),
        "a piece of no bytes"
    );
    // And never more of them than were announced.
    assert!(
        gate::answer(&[2, 2, 0, 0]).is_err(),
        "a range of two frames with one"
    );
}
