//! From a raw text to a [`Value`].

use core::net::IpAddr;

use url::Url;

use super::{Kind, Value, ValueError, bytes_max, host, refang};
use crate::limits::{INDICATOR_EMAIL_BYTES_MAX, INDICATOR_RAW_BYTES_MAX, INDICATOR_URL_BYTES_MAX};

/// Schemes of URLs that are normalised and searched: those whose form the
/// WHATWG URL standard defines.
const SCHEMES: [&str; 5] = ["http", "https", "ftp", "ws", "wss"];

/// Reads `raw` as a value of `kind`. Defanged input is understood.
///
/// An address may come out as [`Kind::Cidr`] when it is a block, or as
/// [`Kind::Ipv4`] when it is mapped into IPv6.
///
/// # Errors
/// When it is not of that kind, or too long.
pub fn normalise(kind: Kind, raw: &str) -> Result<Value, ValueError> {
    let text = prepare(raw)?;
    let value = match kind {
        Kind::Domain => {
            let value = host_and_port(&text)?;
            if value.kind != Kind::Domain {
                return Err(invalid(kind, "it is an address"));
            }
            value
        }
        Kind::Ipv4 | Kind::Ipv6 if text.contains('/') => host::cidr(&text)?,
        Kind::Ipv4 | Kind::Ipv6 => {
            let value = host_and_port(&text).map_err(|_| invalid(kind, "it is no address"))?;
            let fits = value.kind == kind || (kind == Kind::Ipv6 && value.kind == Kind::Ipv4);
            if !fits || (kind == Kind::Ipv6 && !text.contains(':')) {
                return Err(invalid(kind, "it is no address of this family"));
            }
            value
        }
        Kind::Cidr => host::cidr(&text)?,
        Kind::Url => url(&text)?,
        Kind::Email => email(&text)?,
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => match hash(&text) {
            Some(value) if value.kind == kind => value,
            _ => return Err(invalid(kind, "it has not the digits of one")),
        },
    };
    stable(value)
}

/// Reads `raw` as whatever it looks like. Defanged input is understood.
///
/// # Errors
/// When it looks like nothing that is known, or like something it is not.
pub fn detect(raw: &str) -> Result<Value, ValueError> {
    let text = prepare(raw)?;
    if let Some(value) = hash(&text) {
        return Ok(value);
    }
    if text.contains("://") {
        return stable(url(&text)?);
    }
    if let Some((before, after)) = text.split_once('/') {
        let base = before.trim_start_matches('[').trim_end_matches(']');
        let counts = after.len() <= 3 && after.bytes().all(|byte| byte.is_ascii_digit());
        if counts && base.parse::<IpAddr>().is_ok() {
            return host::cidr(&text);
        }
        if before.is_empty() {
            return Err(invalid(Kind::Url, "it is a path without a host"));
        }
        return stable(url(&text)?);
    }
    if text.contains('@') {
        return stable(email(&text)?);
    }
    // The full stops of UTS #46 are dots too.
    if !text.contains(['.', ':', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        return Err(ValueError::Unknown);
    }
    if text.contains(['?', '#']) {
        return stable(url(&text)?);
    }
    host_and_port(&text)
}

/// What must hold for every kind before anything else is looked at.
fn prepare(raw: &str) -> Result<String, ValueError> {
    if raw.len() > INDICATOR_RAW_BYTES_MAX {
        return Err(ValueError::TooLong {
            max: INDICATOR_RAW_BYTES_MAX,
        });
    }
    let text = refang(raw);
    if text.is_empty() {
        return Err(ValueError::Empty);
    }
    let text = without_hash_label(&text).map_or(text.clone(), str::to_owned);
    if text
        .chars()
        .any(|char| char.is_whitespace() || char.is_control())
    {
        return Err(ValueError::Broken);
    }
    Ok(text)
}

/// `SHA1: da39…` is how some tables write a digest.
fn without_hash_label(text: &str) -> Option<&str> {
    let (label, digits) = text.split_once([':', '='])?;
    let label = label.trim().replace('-', "").to_ascii_lowercase();
    let digits = digits.trim();
    (matches!(label.as_str(), "md5" | "sha1" | "sha256" | "sha512")
        && hash(digits).is_some_and(|value| value.kind.name() == label))
    .then_some(digits)
}

fn hash(text: &str) -> Option<Value> {
    let kind = match text.len() {
        32 => Kind::Md5,
        40 => Kind::Sha1,
        64 => Kind::Sha256,
        128 => Kind::Sha512,
        _ => return None,
    };
    text.bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| Value {
            kind,
            text: text.to_ascii_lowercase(),
            port: None,
        })
}

fn email(text: &str) -> Result<Value, ValueError> {
    let wrong = |why| invalid(Kind::Email, why);
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    if text.len() > INDICATOR_EMAIL_BYTES_MAX {
        return Err(ValueError::TooLong {
            max: INDICATOR_EMAIL_BYTES_MAX,
        });
    }
    let (local, domain) = text
        .rsplit_once('@')
        .ok_or_else(|| wrong("it has no \"@\""))?;
    if local.is_empty() || local.len() > 64 {
        return Err(wrong("what stands before the \"@\" is empty or too long"));
    }
    // RFC 5322, section 3.2.3, without the quoted form.
    let plain = |char: char| char.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(char);
    if !local.chars().all(plain) {
        return Err(wrong("it holds a character that no address has"));
    }
    let domain = host::domain(domain).map_err(|_| wrong("its domain is no domain name"))?;
    let text = format!("{}@{domain}", local.to_lowercase());
    if text.len() > INDICATOR_EMAIL_BYTES_MAX {
        return Err(ValueError::TooLong {
            max: INDICATOR_EMAIL_BYTES_MAX,
        });
    }
    Ok(Value {
        kind: Kind::Email,
        text,
        port: None,
    })
}

fn url(text: &str) -> Result<Value, ValueError> {
    let wrong = |why| invalid(Kind::Url, why);
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = Url::parse(&with_scheme).map_err(|_| wrong("it cannot be read as a URL"))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(wrong("its scheme is not http, https, ftp, ws or wss"));
    }
    if let Some(url::Host::Domain(name)) = url.host() {
        let name = host::domain(name).map_err(|_| wrong("its host is no domain name"))?;
        if url.host_str() != Some(name.as_str()) {
            url.set_host(Some(&name))
                .map_err(|_| wrong("its host is no domain name"))?;
        }
    } else if url.host().is_none() {
        return Err(wrong("it has no host"));
    }
    let text = String::from(url);
    if text.len() > bytes_max(Kind::Url) {
        return Err(ValueError::TooLong {
            max: INDICATOR_URL_BYTES_MAX,
        });
    }
    Ok(Value {
        kind: Kind::Url,
        text,
        port: None,
    })
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(text: &str) -> Result<Value, ValueError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(host::address(address, None));
    }
    if let Some((inside, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let wrong = || invalid(Kind::Ipv6, "what stands in the brackets is no address");
        let address: IpAddr = inside.parse().map_err(|_| wrong())?;
        return match after.strip_prefix(':') {
            Some(port) => Ok(host::address(address, Some(port_of(port, Kind::Ipv6)?))),
            None if after.is_empty() => Ok(host::address(address, None)),
            None => Err(wrong()),
        };
    }
    let Some((name, port)) = text.split_once(':') else {
        return domain_value(text, None);
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(host::address(address, Some(port_of(port, Kind::Ipv4)?)));
    }
    domain_value(name, Some(port_of(port, Kind::Domain)?))
}

fn domain_value(name: &str, port: Option<u16>) -> Result<Value, ValueError> {
    let text = host::domain(name)?;
    // Full-width digits and the like become an address only now.
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(host::address(address, port)),
        Err(_) => Ok(Value {
            kind: Kind::Domain,
            text,
            port,
        }),
    }
}

fn port_of(text: &str, kind: Kind) -> Result<u16, ValueError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(invalid(kind, "what follows the \":\" is no port")),
    }
}

/// A value must read back as itself, or index and search would disagree. URLs
/// may need a second reading, after the parser has moved characters about.
fn stable(value: Value) -> Result<Value, ValueError> {
    let read: fn(&str) -> Result<Value, ValueError> = match value.kind {
        Kind::Url => url,
        Kind::Email => email,
        Kind::Domain
        | Kind::Ipv4
        | Kind::Ipv6
        | Kind::Cidr
        | Kind::Md5
        | Kind::Sha1
        | Kind::Sha256
        | Kind::Sha512 => return Ok(value),
    };
    let again = read(&prepare(&value.text)?)?;
    if again == value {
        return Ok(value);
    }
    let settled = read(&prepare(&again.text)?)?;
    if settled == again {
        return Ok(again);
    }
    Err(invalid(
        value.kind,
        "it means something else each time it is read",
    ))
}

const fn invalid(kind: Kind, why: &'static str) -> ValueError {
    ValueError::Invalid { kind, why }
}
