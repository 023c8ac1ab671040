//! The gate: how many connections one address may hold, before and after the handshake.
//!
//! Limits on all connections together let one address take every place. This behaviour counts by address, an IPv6
//! address by its network of 64 bits, because a subscriber owns a whole one. It counts only who calls us.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

/// How long a connection counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Until the handshake has ended: afterwards the peer is known, and other limits hold.
    Handshake,
    /// As long as it lives: for the door, where everybody is a stranger.
    Lifetime,
}

/// The behaviour. It comes before all that have handlers.
#[derive(Debug)]
pub(crate) struct Gate {
    per_address_max: usize,
    total_max: usize,
    counted: Counted,
    addresses: HashMap<ConnectionId, IpAddr>,
    per_address: HashMap<IpAddr, HashSet<ConnectionId>>,
}

/// A connection was refused because of its address.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from this address or in total")]
pub(crate) struct Crowded;

impl Gate {
    pub(crate) fn new(per_address_max: usize, total_max: usize, counted: Counted) -> Self {
        Self {
            per_address_max,
            total_max,
            counted,
            addresses: HashMap::new(),
            per_address: HashMap::new(),
        }
    }

    fn enter(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), Crowded> {
        // An address without IP does not occur with TCP and QUIC; all such would share one place.
        let address = block_of(ip_of(remote).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let here = self.per_address.get(&address).map_or(0, HashSet::len);
        if here >= self.per_address_max || self.addresses.len() >= self.total_max {
            return Err(Crowded);
        }
        self.addresses.insert(connection, address);
        self.per_address
            .entry(address)
            .or_default()
            .insert(connection);
        Ok(())
    }

    fn leave(&mut self, connection: ConnectionId) {
        let Some(address) = self.addresses.remove(&connection) else {
            return;
        };
        if let Some(here) = self.per_address.get_mut(&address) {
            here.remove(&connection);
            if here.is_empty() {
                self.per_address.remove(&address);
            }
        }
    }
}

/// The IP address in a multiaddress, if it begins with one.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| {
        if let Protocol::Ip4(ip) = part {
            Some(IpAddr::V4(ip))
        } else if let Protocol::Ip6(ip) = part {
            Some(IpAddr::V6(ip))
        } else {
            None
        }
    })
}

/// What is counted as one place: an IPv4 address, or the first 64 bits of an IPv6 address.
pub(crate) fn block_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or_else(
            || {
                IpAddr::V6(Ipv6Addr::from_bits(
                    ip.to_bits() & (u128::from(u64::MAX) << 64),
                ))
            },
            IpAddr::V4,
        ),
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.enter(connection, remote)
            .map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.leave(failure.connection_id);
        } else if let FromSwarm::ConnectionClosed(closed) = event {
            self.leave(closed.connection_id);
        } else if let FromSwarm::ConnectionEstablished(established) = event
            && self.counted == Counted::Handshake
        {
            self.leave(established.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(address: &str) -> Multiaddr {
        address.parse().unwrap()
    }

    #[test]
    fn one_address_gets_its_share_and_no_more() {
        let mut gate = Gate::new(2, 3, Counted::Lifetime);
        let connections: Vec<_> = (0..5).map(ConnectionId::new_unchecked).collect();
        let [first, second, third, fourth, fifth] = connections.try_into().unwrap();
        gate.enter(first, &at("/ip4/192.0.2.1/tcp/1")).unwrap();
        gate.enter(second, &at("/ip4/192.0.2.1/tcp/2")).unwrap();
        assert!(gate.enter(third, &at("/ip4/192.0.2.1/tcp/3")).is_err());
        gate.enter(fourth, &at("/ip4/192.0.2.2/tcp/1")).unwrap();
        assert!(
            gate.enter(fifth, &at("/ip4/192.0.2.3/tcp/1")).is_err(),
            "the total holds as well"
        );
        gate.leave(first);
        gate.enter(third, &at("/ip4/192.0.2.1/tcp/3")).unwrap();
        for connection in [second, third, fourth] {
            gate.leave(connection);
        }
        assert!(
            gate.addresses.is_empty() && gate.per_address.is_empty(),
            "nothing is kept of who has left"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let block = |text: &str| block_of(text.parse().unwrap());
        assert_eq!(block("2001:db8:0:1::1"), block("2001:db8:0:1:ffff::2"));
        assert_ne!(block("2001:db8:0:1::1"), block("2001:db8:0:2::1"));
        assert_eq!(block("::ffff:192.0.2.1"), block("192.0.2.1"));
    }
}
