//! Hosts: domain names and addresses, as text and as parts.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Kind, Value, ValueError};
use crate::limits::{INDICATOR_DOMAIN_BYTES_MAX, INDICATOR_LABEL_BYTES_MAX};

/// Makes a domain name comparable: ASCII, lower case, no final dot.
pub(crate) fn domain(raw: &str) -> Result<String, ValueError> {
    let invalid = |why| {
        Err(ValueError::Invalid {
            kind: Kind::Domain,
            why,
        })
    };
    // Punycode makes a name longer, never shorter than a quarter.
    if raw.len() > 4 * INDICATOR_DOMAIN_BYTES_MAX {
        return Err(ValueError::TooLong {
            max: INDICATOR_DOMAIN_BYTES_MAX,
        });
    }
    let Ok(ascii) = idna::domain_to_ascii(raw) else {
        return invalid("it is no valid internationalised name");
    };
    let name = ascii.trim_end_matches('.');
    if name.len() > INDICATOR_DOMAIN_BYTES_MAX {
        return Err(ValueError::TooLong {
            max: INDICATOR_DOMAIN_BYTES_MAX,
        });
    }
    let mut labels = 0_usize;
    for label in name.split('.') {
        labels += 1;
        if label.is_empty() {
            return invalid("a label between two dots is empty");
        }
        if label.len() > INDICATOR_LABEL_BYTES_MAX {
            return invalid("a label is longer than 63 characters");
        }
        // Underscores are no host names, but they are used as such.
        if !label
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        {
            return invalid("it holds a character that no domain name has");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return invalid("a label starts or ends with a hyphen");
        }
    }
    if labels < 2 {
        return invalid("it has a single label");
    }
    let top = name.rsplit('.').next().unwrap_or_default();
    if !top.starts_with("xn--") && !top.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return invalid("its last label is no top-level domain");
    }
    Ok(name.to_owned())
}

/// An address as a value.
pub(crate) fn address(address: IpAddr, port: Option<u16>) -> Value {
    match address {
        IpAddr::V4(v4) => Value {
            kind: Kind::Ipv4,
            text: v4.to_string(),
            port,
        },
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Value {
                kind: Kind::Ipv4,
                text: v4.to_string(),
                port,
            },
            // The standard library writes RFC 5952.
            None => Value {
                kind: Kind::Ipv6,
                text: v6.to_string(),
                port,
            },
        },
    }
}

/// A block of addresses as a value; a block of one is that address.
pub(crate) fn cidr(raw: &str) -> Result<Value, ValueError> {
    let invalid = |why| ValueError::Invalid {
        kind: Kind::Cidr,
        why,
    };
    let (base, length) = raw
        .split_once('/')
        .ok_or_else(|| invalid("it has no \"/\""))?;
    if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid("its prefix length is no number"));
    }
    let length: u32 = length
        .parse()
        .map_err(|_| invalid("its prefix length is no number"))?;
    let base: IpAddr = base
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| invalid("it does not start with an address"))?;
    let (base, length) = match base {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if length >= 96 => (IpAddr::V4(v4), length - 96),
            _ => (base, length),
        },
        IpAddr::V4(_) => (base, length),
    };
    let (network, bits) = match base {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let network = Ipv4Addr::from_bits(v4.to_bits() & !host);
            (IpAddr::V4(network), 32)
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let network = Ipv6Addr::from_bits(v6.to_bits() & !host);
            (IpAddr::V6(network), 128)
        }
    };
    if length > bits {
        return Err(invalid("its prefix is longer than the address"));
    }
    if length == bits {
        return Ok(address(network, None));
    }
    Ok(Value {
        kind: Kind::Cidr,
        text: format!("{network}/{length}"),
        port: None,
    })
}

/// The parts of a CIDR value.
pub(crate) fn cidr_parts(text: &str) -> Option<(IpAddr, u8)> {
    let (base, length) = text.split_once('/')?;
    Some((base.parse().ok()?, length.parse().ok()?))
}
