//! Where a node listens: `node.json` in its data directory, written by `init`
//! and read by `serve`. What others dial stands in the card; the two differ
//! behind a firewall, and only this one may be changed without a new card.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};

use super::error::{CliError, Code};
use crate::home::Home;
use crate::keystore::{FileError, MODE_PRIVATE, read_bounded, write_atomic};

/// The port of a node when nobody chooses one.
pub const PORT_DEFAULT: u16 = 4747;

/// The schema of the file.
const SCHEMA: &str = "watchfire.node/1";

/// The largest file read, in bytes: some tens of addresses are 4 KiB.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// The main port.
    pub listen: Vec<Multiaddr>,
    /// The door; empty for none.
    pub door_listen: Vec<Multiaddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    listen: Vec<String>,
    door_listen: Vec<String>,
}

impl NodeSettings {
    /// Reads the settings of a data directory.
    ///
    /// # Errors
    /// [`Code::NotInitialised`] where there are none, [`Code::Failure`] when
    /// they cannot be read; the message names the file and the field.
    pub fn load(home: &Home) -> Result<Self, CliError> {
        let path = home.path().join("node.json");
        let bytes = read_bounded(&path, SETTINGS_BYTES_MAX).map_err(|error| match error {
            FileError::Missing { .. } => CliError::new(
                Code::NotInitialised,
                format!(
                    "{} is missing: this directory is not completely initialised",
                    path.display()
                ),
            )
            .hint("restore it from a backup, or run \"watchfire init\" in another directory"),
            FileError::Exists { .. }
            | FileError::NotAFile { .. }
            | FileError::Exposed { .. }
            | FileError::WrongOwner { .. }
            | FileError::TooLong { .. }
            | FileError::Io { .. } => error.into(),
        })?;
        let wrong = |why: String| {
            CliError::new(
                Code::Failure,
                format!("{} cannot be used: {why}", path.display()),
            )
            .hint("correct the file, or restore it from a backup")
        };
        let file: File =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if file.schema != SCHEMA {
            return Err(wrong(format!(
                "its schema is {:?} and not {SCHEMA:?}",
                file.schema
            )));
        }
        let parse = |texts: &[String]| {
            texts
                .iter()
                .map(|text| listen_address(text))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            listen: parse(&file.listen).map_err(wrong)?,
            door_listen: parse(&file.door_listen).map_err(wrong)?,
        })
    }

    /// Writes the settings of a data directory.
    ///
    /// # Errors
    /// Those of [`write_atomic`].
    pub fn save(&self, home: &Home) -> Result<(), CliError> {
        let texts = |addresses: &[Multiaddr]| addresses.iter().map(ToString::to_string).collect();
        let file = File {
            schema: SCHEMA.to_owned(),
            listen: texts(&self.listen),
            door_listen: texts(&self.door_listen),
        };
        let mut text = serde_json::to_string_pretty(&file).map_err(|error| {
            CliError::new(
                Code::Failure,
                format!("could not write the settings: {error}"),
            )
        })?;
        text.push('\n');
        Ok(write_atomic(
            &home.path().join("node.json"),
            text.as_bytes(),
            MODE_PRIVATE,
        )?)
    }
}

/// An address that others can dial: a name or a usable IP address, and a port
/// of TCP or QUIC.
///
/// # Errors
/// Says what is wrong with it.
pub fn dial_address(text: &str) -> Result<Multiaddr, String> {
    let (address, host, port) = parts(text)?;
    let unspecified = match host {
        Host::Ip4(ip) => ip.is_unspecified(),
        Host::Ip6(ip) => ip.is_unspecified(),
        Host::Name4 | Host::Name6 => false,
    };
    if unspecified {
        return Err(format!(
            "nobody can dial {text}: give the address that others reach this node at, and this one with --listen"
        ));
    }
    if port == 0 {
        return Err(format!("nobody can dial port 0 of {text}: give the port"));
    }
    Ok(address)
}

/// An address to listen on: an IP address of this machine and a port of TCP or
/// QUIC; port 0 lets the system choose.
///
/// # Errors
/// Says what is wrong with it.
pub fn listen_address(text: &str) -> Result<Multiaddr, String> {
    match parts(text)? {
        (_, Host::Name4 | Host::Name6, _) => Err(format!(
            "cannot listen on the name in {text}: give an IP address of this machine, or /ip4/0.0.0.0 for all"
        )),
        (address, Host::Ip4(_) | Host::Ip6(_), _) => Ok(address),
    }
}

/// Where to listen: where a person said, else so that others who dial these
/// addresses get through. Each once, in order.
pub(crate) fn listen_at(given: &[Multiaddr], dialled: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut listen: Vec<Multiaddr> = if given.is_empty() {
        dialled.iter().map(listen_for).collect()
    } else {
        given.to_vec()
    };
    listen.sort();
    listen.dedup();
    listen
}

/// Where to listen so that others who dial `address` get through: on every
/// interface, because the address of the card may be that of a firewall; but
/// on the loopback interface alone where only this machine is meant.
pub fn listen_for(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .map(|part| {
            if let Protocol::Ip4(ip) = part {
                let every = if ip.is_loopback() {
                    ip
                } else {
                    Ipv4Addr::UNSPECIFIED
                };
                Protocol::Ip4(every)
            } else if let Protocol::Ip6(ip) = part {
                let every = if ip.is_loopback() {
                    ip
                } else {
                    Ipv6Addr::UNSPECIFIED
                };
                Protocol::Ip6(every)
            } else if matches!(part, Protocol::Dns(_) | Protocol::Dns4(_)) {
                Protocol::Ip4(Ipv4Addr::UNSPECIFIED)
            } else if matches!(part, Protocol::Dns6(_)) {
                Protocol::Ip6(Ipv6Addr::UNSPECIFIED)
            } else {
                part
            }
        })
        .collect()
}

/// Whether only this machine can reach the address.
pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        Some(_) | None => false,
    }
}

enum Host {
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
    Name4,
    Name6,
}

fn parts(text: &str) -> Result<(Multiaddr, Host, u16), String> {
    let wrong = || {
        format!(
            "{text} is no address of a node: write it like /ip4/192.0.2.1/tcp/{PORT_DEFAULT} or /dns4/node.cert.example/udp/{PORT_DEFAULT}/quic-v1"
        )
    };
    let address: Multiaddr = text.parse().map_err(|_| wrong())?;
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => Host::Ip4(ip),
        Some(Protocol::Ip6(ip)) => Host::Ip6(ip),
        Some(Protocol::Dns(_) | Protocol::Dns4(_)) => Host::Name4,
        Some(Protocol::Dns6(_)) => Host::Name6,
        Some(_) | None => return Err(wrong()),
    };
    let port = match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Tcp(port)), None, None) => port,
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1), None) => port,
        (_, _, _) => return Err(wrong()),
    };
    Ok((address.clone(), host, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    #[test]
    fn addresses_that_are_no_use_are_refused() {
        for good in [
            "/ip4/192.0.2.1/tcp/4747",
            "/ip6/2001:db8::1/udp/4747/quic-v1",
            "/dns4/node.cert.example/tcp/4747",
        ] {
            assert_eq!(dial_address(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "192.0.2.1:4747",
            "/ip4/0.0.0.0/tcp/4747",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/udp/4747",
            "/tcp/4747",
            "/ip4/192.0.2.1/tcp/4747/ws",
        ] {
            assert!(dial_address(bad).is_err(), "{bad}");
        }
        assert!(listen_address("/ip4/0.0.0.0/tcp/0").is_ok());
        assert!(listen_address("/dns4/node.cert.example/tcp/4747").is_err());
    }

    #[test]
    fn a_node_listens_where_its_card_says() {
        for (card, listen) in [
            ("/ip4/192.0.2.1/tcp/4747", "/ip4/0.0.0.0/tcp/4747"),
            ("/ip4/127.0.0.1/tcp/4747", "/ip4/127.0.0.1/tcp/4747"),
            (
                "/dns/node.cert.example/udp/1/quic-v1",
                "/ip4/0.0.0.0/udp/1/quic-v1",
            ),
            ("/ip6/2001:db8::1/tcp/9", "/ip6/::/tcp/9"),
        ] {
            assert_eq!(listen_for(&card.parse().unwrap()).to_string(), listen);
        }
    }

    #[test]
    fn settings_are_read_as_they_were_written_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        assert_eq!(
            NodeSettings::load(&home).unwrap_err().code,
            Code::NotInitialised
        );
        let settings = NodeSettings {
            listen: vec!["/ip4/0.0.0.0/tcp/4747".parse().unwrap()],
            door_listen: Vec::new(),
        };
        settings.save(&home).unwrap();
        assert_eq!(NodeSettings::load(&home).unwrap(), settings);
        for bad in [
            "{}",
            r#"{"schema":"watchfire.node/2","listen":[],"door_listen":[]}"#,
            r#"{"schema":"watchfire.node/1","listen":["/ip4/nowhere"],"door_listen":[]}"#,
            r#"{"schema":"watchfire.node/1","listen":[],"door_listen":[],"more":1}"#,
        ] {
            std::fs::write(home.path().join("node.json"), bad).unwrap();
            assert!(
                NodeSettings::load(&home)
                    .unwrap_err()
                    .message
                    .contains("node.json"),
                "{bad}"
            );
        }
    }
}
