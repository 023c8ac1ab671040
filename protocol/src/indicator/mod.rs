//! Indicator values: what an analyst types, pastes or reads in a report, made
//! into one comparable form.
//!
//! A value is normalised once, on the way in; the index, the search and the
//! deterministic ids all work on that form. Decisions that lose something are
//! few and stand here:
//!
//! - Domains: UTS #46, stored in ASCII (punycode), lower case, no final dot.
//! - IPv4-mapped IPv6 addresses become IPv4: it is the same host.
//! - CIDR: host bits are cleared; a block of one address becomes that address.
//! - `host:port` stays the host with the port beside it.
//! - URLs: serialised as the WHATWG URL standard says; the default port goes,
//!   the fragment and user information stay. A URL without a scheme is taken
//!   as `http`, since that is how lists of them are written.
//! - E-mail addresses: lower case throughout.
//! - Hashes: lower case.

use core::fmt;

use crate::limits::{
    INDICATOR_DOMAIN_BYTES_MAX, INDICATOR_EMAIL_BYTES_MAX, INDICATOR_RAW_BYTES_MAX,
    INDICATOR_URL_BYTES_MAX,
};

mod defang;
mod host;
mod keys;
mod normalise;
mod publish;
mod reach;

pub use defang::{is_defanged, refang};
pub use normalise::{detect, normalise};
pub use publish::{
    Draft, bundle_id, identity_id, identity_to_stix, indicator_id, pattern_of, to_stix,
};

/// What kind of thing a value is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Kind {
    /// A domain name.
    Domain,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A block of addresses of either family.
    Cidr,
    /// A URL.
    Url,
    /// An e-mail address.
    Email,
    /// An MD5 digest.
    Md5,
    /// A SHA-1 digest.
    Sha1,
    /// A SHA-256 digest.
    Sha256,
    /// A SHA-512 digest.
    Sha512,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Domain,
        Self::Ipv4,
        Self::Ipv6,
        Self::Cidr,
        Self::Url,
        Self::Email,
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
    ];

    /// The kind's name in tables, files and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Url => "url",
            Self::Email => "email",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A normalised value. Two values are equal exactly when they mean the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    kind: Kind,
    text: String,
    port: Option<u16>,
}

impl Value {
    /// What kind of thing it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The normalised text, without the port.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The port that was written beside a domain or an address.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same domain or address with `port`; nothing for other kinds, and
    /// nothing for port 0, which no service has.
    pub(crate) fn with_port(&self, port: u16) -> Option<Self> {
        let takes_port = matches!(self.kind, Kind::Domain | Kind::Ipv4 | Kind::Ipv6);
        (takes_port && port != 0).then(|| Self {
            port: Some(port),
            ..self.clone()
        })
    }
}

impl fmt::Display for Value {
    /// The value as it is written in lists, live: `evil.example:8080`. For
    /// people's eyes use [`Value::defanged`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.kind) {
            (Some(port), Kind::Ipv6) => write!(f, "[{}]:{port}", self.text),
            (Some(port), _) => write!(f, "{}:{port}", self.text),
            (None, _) => f.write_str(&self.text),
        }
    }
}

/// Why a text is no indicator value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing is left after white space and quotes.
    #[error("it is empty")]
    Empty,
    /// Longer than a value of its kind can be.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// It holds white space or a control character in the middle.
    #[error("it holds white space or a control character; one value is expected")]
    Broken,
    /// Nothing that is known.
    #[error(
        "it is no domain, address, CIDR block, URL, e-mail address, MD5, SHA-1, SHA-256 or SHA-512"
    )]
    Unknown,
    /// It is not of the kind it was said to be.
    #[error("it is no valid {kind}: {why}")]
    Invalid {
        /// The kind it was said, or seems, to be.
        kind: Kind,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The most bytes a raw text of `kind` is examined with.
const fn bytes_max(kind: Kind) -> usize {
    match kind {
        Kind::Domain => INDICATOR_DOMAIN_BYTES_MAX,
        Kind::Email => INDICATOR_EMAIL_BYTES_MAX,
        Kind::Url => INDICATOR_URL_BYTES_MAX,
        Kind::Ipv4
        | Kind::Ipv6
        | Kind::Cidr
        | Kind::Md5
        | Kind::Sha1
        | Kind::Sha256
        | Kind::Sha512 => INDICATOR_RAW_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests;
