//! Parsers under arbitrary bytes: one function for each, which must neither
//! panic nor take memory without bound, whatever it is given, and which says of
//! what it accepts what must hold.
//!
//! The same functions run twice: over samples and their mutations in the
//! ordinary test run (`tests/tests/targets.rs`), and guided by coverage in
//! `tests/fuzz`.

pub mod files;
pub mod import;
pub mod mutate;
pub mod packet;
pub mod requests;
pub mod samples;
pub mod stix;
pub mod wire;

use std::sync::LazyLock;

use crate::forge::Forge;

/// The federation whose keys the targets know.
pub static FORGE: LazyLock<Forge> = LazyLock::new(Forge::default);

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, one word.
    pub name: &'static str,
    /// Gives it bytes. It panics where something does not hold.
    pub run: fn(&[u8]),
    /// Bytes that it knows: good ones, and bad ones that come far.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// What its language is made of; mutations put these in.
    pub words: &'static [&'static str],
    /// Memory that one input may take besides `memory_per_byte`, in bytes.
    pub memory_bytes: usize,
    /// Memory that one input may take for each byte of it, in bytes.
    pub memory_per_byte: usize,
}

/// Every parser that bytes from outside reach.
pub const ALL: [Target; 15] = [
    Target {
        name: "frame",
        run: wire::fuzz_frame,
        samples: wire::frames,
        words: &[],
        memory_bytes: 256 * 1024,
        memory_per_byte: 16,
    },
    Target {
        name: "exchange",
        run: wire::fuzz_exchange,
        samples: wire::messages,
        words: &[],
        memory_bytes: 256 * 1024,
        memory_per_byte: 128,
    },
    Target {
        name: "statement",
        run: wire::fuzz_statement,
        samples: wire::statements,
        words: &[],
        memory_bytes: 256 * 1024,
        memory_per_byte: 128,
    },
    Target {
        name: "json",
        run: stix::fuzz_json,
        samples: stix::documents,
        words: stix::JSON_WORDS,
        memory_bytes: 64 * 1024,
        memory_per_byte: 512,
    },
    Target {
        name: "stix",
        run: stix::fuzz_stix,
        samples: stix::documents,
        words: stix::STIX_WORDS,
        memory_bytes: 256 * 1024,
        memory_per_byte: 1_024,
    },
    Target {
        name: "pattern",
        run: stix::fuzz_pattern,
        samples: stix::patterns,
        words: stix::PATTERN_WORDS,
        memory_bytes: 64 * 1024,
        memory_per_byte: 512,
    },
    Target {
        name: "value",
        run: stix::fuzz_value,
        samples: stix::values,
        words: stix::VALUE_WORDS,
        memory_bytes: 256 * 1024,
        memory_per_byte: 64,
    },
    Target {
        name: "csv",
        run: import::fuzz_csv,
        samples: import::tables,
        words: import::CSV_WORDS,
        memory_bytes: 512 * 1024,
        memory_per_byte: 1_024,
    },
    Target {
        name: "text",
        run: import::fuzz_text,
        samples: import::texts,
        words: stix::VALUE_WORDS,
        memory_bytes: 512 * 1024,
        memory_per_byte: 1_024,
    },
    Target {
        name: "list",
        run: import::fuzz_list,
        samples: import::lists,
        words: stix::VALUE_WORDS,
        memory_bytes: 512 * 1024,
        memory_per_byte: 1_024,
    },
    Target {
        name: "keyfile",
        run: files::fuzz_key_file,
        samples: files::key_files,
        words: files::KEY_FILE_WORDS,
        memory_bytes: 2 * 1024 * 1024,
        memory_per_byte: 64,
    },
    Target {
        name: "request",
        run: requests::fuzz_request,
        samples: requests::requests,
        words: requests::REQUEST_WORDS,
        memory_bytes: 256 * 1024,
        memory_per_byte: 128,
    },
    Target {
        name: "payload",
        run: files::fuzz_payload,
        samples: files::payloads,
        words: &[],
        memory_bytes: 32 * 1024 * 1024,
        memory_per_byte: 64,
    },
    Target {
        name: "control",
        run: files::fuzz_control,
        samples: files::control_lines,
        words: files::CONTROL_WORDS,
        memory_bytes: 64 * 1024,
        memory_per_byte: 256,
    },
    Target {
        name: "packet",
        run: packet::fuzz_packet,
        samples: packet::packets,
        words: packet::PACKET_WORDS,
        memory_bytes: 512 * 1024,
        memory_per_byte: 128,
    },
];

/// The target of that name.
pub fn named(name: &str) -> Option<Target> {
    ALL.into_iter().find(|target| target.name == name)
}
