//! A million indicators that are nobody's: names under `.example`, addresses of
//! RFC 5737 and RFC 3849, made-up digests; and the bundles they come in.

pub(crate) mod bare;
pub(crate) mod engine;

use watchfire_crypto::sha256;

/// How many indicators, from `WATCHFIRE_INDICATORS`; a million without it.
pub(crate) fn indicators() -> u64 {
    std::env::var("WATCHFIRE_INDICATORS")
        .ok()
        .and_then(|text| text.replace('_', "").parse().ok())
        .unwrap_or(1_000_000)
}

/// Hosts below one name.
pub(crate) const HOSTS_PER_ZONE: u64 = 50;

/// An indicator's value. Of ten there are four names, three digests, an IPv4
/// address with a port, an IPv6 address and a URL.
pub(crate) fn value(number: u64) -> String {
    match number % 10 {
        0..=3 => format!("host-{number:07}.{}", zone(number)),
        4..=6 => hex::encode(sha256(&number.to_be_bytes())),
        7 => {
            // RFC 5737 has three networks of 256.
            let network = ["192.0.2", "198.51.100", "203.0.113"][(number / 10 % 3) as usize];
            let (host, port) = (number / 30 % 256, number / 7_680 % 60_000 + 1_024);
            format!("{network}.{host}:{port}")
        }
        8 => {
            let [a, b, c, d, e, f, ..] = sha256(&number.to_le_bytes());
            format!("2001:db8:{a:x}{b:02x}:{c:x}{d:02x}:{e:x}{f:02x}::1")
        }
        _ => format!(
            "https://www-{number:07}.{}/update/{number}.bin",
            zone(number)
        ),
    }
}

/// Something like it that is in no bundle.
pub(crate) fn absent(number: u64) -> String {
    match number % 10 {
        0..=3 => format!("hosu-{number:07}.{}", zone(number)),
        4..=6 => hex::encode(sha256(&(number + (1 << 40)).to_be_bytes())),
        7 => format!("192.0.2.{}:{}", number % 256, 65_000 + number % 500),
        8 => {
            let [a, b, c, d, e, f, ..] = sha256(&(number + (1 << 40)).to_le_bytes());
            format!("2001:db8:{a:x}{b:02x}:{c:x}{d:02x}:{e:x}{f:02x}::1")
        }
        _ => format!(
            "https://wwx-{number:07}.{}/update/{number}.bin",
            zone(number)
        ),
    }
}

/// The name above a host: neighbours by number are in different ones.
pub(crate) fn zone(number: u64) -> String {
    let zones = (indicators() / 2 / HOSTS_PER_ZONE).max(1);
    format!("zone-{:05}.example", mix(number) % zones)
}

/// Steele and others' finaliser for 64 bits: one number to one that looks drawn.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The sizes of the bundles, mixed: of the indicators six in ten come in bundles
/// of 10,000, one in a hundred alone, the others in hundreds.
pub(crate) fn bundle_sizes() -> Vec<u64> {
    let all = indicators();
    let (large, alone) = (all * 6 / 10 / 10_000, all / 100);
    let middle = (all - large * 10_000 - alone) / 100;
    let mut sizes = Vec::new();
    for (size, count) in [(10_000, large), (100, middle), (1, alone)] {
        sizes.extend(std::iter::repeat_n(size, count as usize));
    }
    let mut drawn: Vec<(u64, u64)> = (0..).zip(sizes).map(|(at, size)| (mix(at), size)).collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, size)| size).collect()
}

/// Resident memory of this process in KiB, from the kernel.
pub(crate) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("the kernel says it")
}

/// Bytes of all files under a directory.
pub(crate) fn disk_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("the directory is there");
    entries
        .map(|entry| {
            let entry = entry.expect("it can be read");
            let about = entry.metadata().expect("it is there");
            if about.is_dir() {
                disk_bytes(&entry.path())
            } else {
                about.len()
            }
        })
        .sum()
}

/// Each number below [`indicators`] once, in an order that looks drawn.
pub(crate) fn scattered(number: u64) -> u64 {
    // An odd prime that does not divide a round number of them.
    (number.wrapping_mul(7_368_787)) % indicators()
}
