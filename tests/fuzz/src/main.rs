//! One program for every target of `watchfire_tests::targets`, under libFuzzer.
//!
//! `WATCHFIRE_FUZZ_TARGET` names the target. With `WATCHFIRE_FUZZ_SEEDS` set to
//! a folder, the program writes the target's samples and dictionary there and
//! ends. One program and not one for each target, because all of it is linked
//! again for each.

#![no_main]

mod memory;

use std::path::Path;
use std::sync::OnceLock;
use std::{env, fs, process};

use libfuzzer_sys::fuzz_target;
use watchfire_tests::targets::{self, Target};

use memory::Counting;

#[global_allocator]
static MEMORY: Counting = Counting::new();

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: begin(), |input: &[u8]| {
    if let Some(target) = TARGET.get() {
        MEMORY.measured(target.memory_bytes + target.memory_per_byte * input.len(), || {
            (target.run)(input);
        });
    }
});

fn begin() {
    let name = env::var("WATCHFIRE_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = targets::named(&name) else {
        let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
        eprintln!("WATCHFIRE_FUZZ_TARGET is one of: {}", names.join(" "));
        process::exit(2);
    };
    let samples = (target.samples)();
    if let Some(folder) = env::var_os("WATCHFIRE_FUZZ_SEEDS") {
        if let Err(error) = write_seeds(Path::new(&folder), &target, &samples) {
            eprintln!("seeds not written: {error}");
            process::exit(1);
        }
        process::exit(0);
    }
    // What is made once, keys above all, is not charged to the first input.
    for sample in &samples {
        (target.run)(sample);
    }
    let _ = TARGET.set(target);
}

fn write_seeds(folder: &Path, target: &Target, samples: &[Vec<u8>]) -> std::io::Result<()> {
    let corpus = folder.join(target.name);
    fs::create_dir_all(&corpus)?;
    for (at, sample) in samples.iter().enumerate() {
        fs::write(corpus.join(format!("sample-{at:03}")), sample)?;
    }
    let words: String = target
        .words
        .iter()
        .map(|word| {
            let bytes: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{bytes}\"\n")
        })
        .collect();
    fs::write(folder.join(format!("{}.words", target.name)), words)
}
