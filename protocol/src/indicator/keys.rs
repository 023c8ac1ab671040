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
//! URLs and e-mail addresses have a second key by their host, under kinds of
//! its own, so that `*.evil.example` finds them too.

use core::net::IpAddr;

use super::{Kind, Value, host, reach};

/// First byte of a host key that belongs to a URL or an e-mail address.
const HOST_NAME: u8 = 0x40;
/// The same for a URL on an address.
const HOST_ADDRESS: u8 = 0x41;

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
        let mut key = self.any_port_prefix();
        if matches!(self.kind, Kind::Domain | Kind::Ipv4 | Kind::Ipv6) {
            key.extend(self.port.unwrap_or(0).to_be_bytes());
        }
        key
    }

    /// What the keys of this value with any port, and without one, start with.
    pub fn any_port_prefix(&self) -> Vec<u8> {
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

    /// What the keys of this domain and of all its sub-domains start with;
    /// nothing for other kinds.
    pub fn subdomain_prefix(&self) -> Option<Vec<u8>> {
        (self.kind == Kind::Domain).then(|| {
            let mut key = vec![kind_byte(self.kind)];
            push_reversed(&mut key, &self.text);
            key
        })
    }

    /// What the host keys of URLs and e-mail addresses on this domain and its
    /// sub-domains, or on this address, start with; nothing for other kinds.
    pub fn hosted_prefix(&self) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Domain => {
                let mut key = vec![HOST_NAME];
                push_reversed(&mut key, &self.text);
                Some(key)
            }
            Kind::Ipv4 | Kind::Ipv6 => self.text.parse().ok().map(host_address_key),
            Kind::Cidr
            | Kind::Url
            | Kind::Email
            | Kind::Md5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512 => None,
        }
    }

    /// What the keys of URLs that start with this URL's text start with.
    pub fn url_prefix(&self) -> Option<Vec<u8>> {
        (self.kind == Kind::Url).then(|| {
            let mut key = vec![kind_byte(self.kind)];
            key.extend(self.text.bytes());
            key
        })
    }

    /// What the keys that answer a search for this value start with: the value
    /// with or without its port, and what stands on exactly this host.
    pub fn search_prefixes(&self) -> Vec<Vec<u8>> {
        let own = if self.port.is_some() {
            self.index_key()
        } else {
            self.any_port_prefix()
        };
        let hosted = self.hosted_prefix().map(|mut prefix| {
            // Without the end of a name, names below it would begin so too.
            if self.kind == Kind::Domain {
                prefix.push(0);
            }
            prefix
        });
        core::iter::once(own).chain(hosted).collect()
    }

    /// As [`Value::search_prefixes`], with sub-domains; nothing for other kinds
    /// than domains.
    pub fn subdomain_prefixes(&self) -> Option<Vec<Vec<u8>>> {
        self.subdomain_prefix()
            .map(|own| core::iter::once(own).chain(self.hosted_prefix()).collect())
    }

    /// Every key the value is filed under: its own and, for a URL or an e-mail
    /// address, the one of its host, which it shares with others.
    pub fn index_keys(&self) -> Vec<Vec<u8>> {
        let own = self.index_key();
        let hosted = matches!(self.kind, Kind::Url | Kind::Email)
            .then(|| self.host())
            .flatten()
            .map(|name| match reach::parse_host(name) {
                Some(address) => host_address_key(address),
                None => {
                    let mut key = vec![HOST_NAME];
                    push_reversed(&mut key, name);
                    key.push(0);
                    key
                }
            });
        core::iter::once(own).chain(hosted).collect()
    }
}

fn host_address_key(address: IpAddr) -> Vec<u8> {
    let address = address.to_canonical();
    let mut key = vec![HOST_ADDRESS, if address.is_ipv4() { 4 } else { 6 }];
    push_address(&mut key, address);
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
