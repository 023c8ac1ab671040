//! The order in which values are filed: what makes a search a prefix scan.
//!
//! `kind ‖ body`, where no key is the start of another, so that whatever the
//! index appends cannot be taken for a part of the value:
//!
//! | kind | body |
//! |---|---|
//! | domain | labels reversed, each followed by `.`, then 0, then the port (2 bytes, 0 for none) |
//! | IPv4, IPv6 | the 4 or 16 bytes, then the port |
//! | CIDR | family, the bytes, prefix length |
//! | URL, e-mail | the text, then 0 |
//! | hashes | the digest |
//!
//! URLs and e-mail addresses have a second key, that of their host without a
//! port and then 1, so that a name finds what stands on it, and `*.evil.example`
//! what stands below it: all in one place of the index, read at once.

use core::net::IpAddr;

use super::{Kind, Value, host, reach};

/// Behind the key of a host: that the value stands on it.
const ON_HOST: [u8; 3] = [0, 0, 1];

/// First byte of a value's own key. Numbers are part of the index on disk:
/// never reuse one.
const fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Domain => 1,
        Kind::Ipv4 => 2,
        Kind::Ipv6 => 3,
        Kind::Cidr => 4,
        Kind::Url => 5,
        Kind::Email => 6,
        Kind::Md5 => 7,
        Kind::Sha1 => 8,
        Kind::Sha256 => 9,
        Kind::Sha512 => 10,
    }
}

impl Value {
    /// The key of exactly this value, its port included. Different values have
    /// different keys, and none is the start of another.
    pub fn index_key(&self) -> Vec<u8> {
        let mut key = self.beginning();
        if self.is_host() {
            key.extend(self.port.unwrap_or(0).to_be_bytes());
        }
        key
    }

    /// The key, of a host without its port.
    fn beginning(&self) -> Vec<u8> {
        let mut key = vec![kind_byte(self.kind)];
        match self.kind {
            Kind::Domain => {
                push_reversed(&mut key, &self.text);
                key.push(0);
            }
            Kind::Ipv4 | Kind::Ipv6 => {
                if let Ok(address) = self.text.parse() {
                    push_address(&mut key, address);
                }
            }
            Kind::Cidr => {
                if let Some((address, length)) = host::cidr_parts(&self.text) {
                    key.push(if address.is_ipv4() { 4 } else { 6 });
                    push_address(&mut key, address);
                    key.push(length);
                }
            }
            Kind::Url | Kind::Email => {
                key.extend(self.text.bytes());
                key.push(0);
            }
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => {
                key.extend(hex::decode(&self.text).unwrap_or_default());
            }
        }
        key
    }

    const fn is_host(&self) -> bool {
        matches!(self.kind, Kind::Domain | Kind::Ipv4 | Kind::Ipv6)
    }

    /// What the keys that answer a search for this value start with: the value
    /// with its port, or with any and none where it has none, and what stands on
    /// exactly this host.
    pub fn search_prefixes(&self) -> Vec<Vec<u8>> {
        if self.is_host() && self.port.is_some() {
            let mut hosted = self.beginning();
            hosted.extend(ON_HOST);
            return vec![self.index_key(), hosted];
        }
        vec![self.beginning()]
    }

    /// What the keys of this domain and of all its sub-domains, and of what stands
    /// on them, start with; nothing for other kinds.
    pub fn subdomain_prefix(&self) -> Option<Vec<u8>> {
        (self.kind == Kind::Domain).then(|| {
            let mut key = vec![kind_byte(self.kind)];
            push_reversed(&mut key, &self.text);
            key
        })
    }

    /// Every key the value is filed under: its own and, for a URL or an e-mail
    /// address, the one of its host, which it shares with others.
    pub fn index_keys(&self) -> Vec<Vec<u8>> {
        let own = self.index_key();
        let hosted = matches!(self.kind, Kind::Url | Kind::Email)
            .then(|| self.host())
            .flatten()
            .map(on_host);
        core::iter::once(own).chain(hosted).collect()
    }
}

/// The key of what stands on a host.
fn on_host(host: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(host.len() + 4);
    match reach::parse_host(host).map(|address| address.to_canonical()) {
        Some(address) => {
            let kind = if address.is_ipv4() {
                Kind::Ipv4
            } else {
                Kind::Ipv6
            };
            key.push(kind_byte(kind));
            push_address(&mut key, address);
        }
        None => {
            key.push(kind_byte(Kind::Domain));
            push_reversed(&mut key, host);
            key.push(0);
        }
    }
    key.extend(ON_HOST);
    key
}

fn push_address(key: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => key.extend(v4.octets()),
        IpAddr::V6(v6) => key.extend(v6.octets()),
    }
}

/// `evil.example` as `example.evil.`: the final dot keeps `evilx` apart.
fn push_reversed(key: &mut Vec<u8>, name: &str) {
    for label in name.rsplit('.') {
        key.extend(label.bytes());
        key.push(b'.');
    }
}
