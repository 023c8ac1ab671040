//! What an address or a name reaches: the world, or only the own network.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Kind, Value, host};

/// IPv4 blocks that mean nothing outside one network (RFC 6890 and IANA's
/// registry), without the documentation blocks of RFC 5737: samples use those.
const LOCAL_V4: [(Ipv4Addr, u32); 10] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The same for IPv6, without 2001:db8::/32 (RFC 3849).
const LOCAL_V6: [(Ipv6Addr, u32); 4] = [
    // Unspecified and loopback are its first two addresses.
    (Ipv6Addr::UNSPECIFIED, 96),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Last labels that are resolved inside one network only.
const LOCAL_NAMES: [&str; 7] = [
    "local",
    "localhost",
    "localdomain",
    "internal",
    "lan",
    "home",
    "corp",
];

/// Top-level domains reserved for examples (RFC 2606), which samples use.
const EXAMPLE_NAMES: [&str; 3] = ["example", "invalid", "test"];

impl Value {
    /// Whether the value means something different in every network: private,
    /// loopback, link-local, multicast and reserved addresses, blocks that lie
    /// inside or around them, names under `.local` and the like, and URLs and
    /// e-mail addresses on such a host. Documentation ranges are not private.
    pub fn is_private(&self) -> bool {
        match self.kind {
            Kind::Ipv4 | Kind::Ipv6 => self.text.parse().is_ok_and(|ip| is_local(ip, None)),
            Kind::Cidr => host::cidr_parts(&self.text)
                .is_some_and(|(ip, length)| is_local(ip, Some(u32::from(length)))),
            Kind::Domain | Kind::Email | Kind::Url => match self.host() {
                Some(host) => match parse_host(host) {
                    Some(ip) => is_local(ip, None),
                    None => LOCAL_NAMES.contains(&last_label(host)),
                },
                None => false,
            },
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => false,
        }
    }

    /// Whether the name ends in a public suffix that is known (Public Suffix
    /// List) or in one reserved for examples. `file.exe` does not, an address
    /// and a hash have none.
    pub fn has_known_suffix(&self) -> bool {
        let Some(host) = self.host() else {
            return false;
        };
        parse_host(host).is_none()
            && (EXAMPLE_NAMES.contains(&last_label(host))
                || psl::suffix(host.as_bytes()).is_some_and(|suffix| suffix.is_known()))
    }

    /// The host of a domain, an e-mail address or a URL, as text.
    pub fn host(&self) -> Option<&str> {
        match self.kind {
            Kind::Domain => Some(&self.text),
            Kind::Email => self.text.rsplit_once('@').map(|(_, host)| host),
            Kind::Url => {
                let (_, rest) = self.text.split_once("://")?;
                let authority = rest.split(['/', '?', '#']).next()?;
                let host = authority.rsplit('@').next()?;
                // A bracketed address holds colons of its own.
                let end = host
                    .find(']')
                    .map_or_else(|| host.find(':'), |at| Some(at + 1));
                host.get(..end.unwrap_or(host.len()))
            }
            Kind::Ipv4
            | Kind::Ipv6
            | Kind::Cidr
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512 => None,
        }
    }
}

/// The address a URL's host is, if it is one.
pub(crate) fn parse_host(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn last_label(host: &str) -> &str {
    host.rsplit('.').next().unwrap_or_default()
}

/// Whether the address, or the block of that length, lies in a local block or
/// holds one whole.
fn is_local(address: IpAddr, length: Option<u32>) -> bool {
    match address {
        IpAddr::V4(v4) => LOCAL_V4.iter().any(|(base, bits)| {
            let shared = (*bits).min(length.unwrap_or(32));
            let mask = !u32::MAX.checked_shr(shared).unwrap_or(0);
            v4.to_bits() & mask == base.to_bits() & mask
        }),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_local(IpAddr::V4(v4), None),
            None => LOCAL_V6.iter().any(|(base, bits)| {
                let shared = (*bits).min(length.unwrap_or(128));
                let mask = !u128::MAX.checked_shr(shared).unwrap_or(0);
                v6.to_bits() & mask == base.to_bits() & mask
            }),
        },
    }
}
