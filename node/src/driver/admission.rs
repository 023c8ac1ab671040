//! Who may connect.

use watchfire_protocol::engine::Engine;
use watchfire_protocol::ids::NodeId;
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::Store;

use crate::transport::{Admitted, peer_id_of};

/// Whom an engine wants to be connected to.
pub(crate) fn admitted_by<S: Store>(engine: &Engine<S>, wall_ms: u64) -> Admitted {
    let roster = engine.roster();
    let mut admitted = admitted(&roster, &engine.me().node, wall_ms);
    let distrusted = roster
        .nodes()
        .filter(|certificate| engine.distrusts(&certificate.member));
    for certificate in distrusted {
        if let Some(peer) = peer_id_of(&certificate.transport_key) {
            admitted.remove(&peer);
        }
    }
    admitted
}

/// The peers of a roster whose certificates are valid now, and where they are.
pub(crate) fn admitted(roster: &Roster, me: &NodeId, wall_ms: u64) -> Admitted {
    let current = roster
        .nodes()
        .filter(|certificate| certificate.node != *me && certificate.is_current(wall_ms));
    current
        .filter_map(|certificate| {
            let peer = peer_id_of(&certificate.transport_key)?;
            let addresses = roster
                .member(&certificate.member)
                .map(|member| member.addresses.as_slice());
            let addresses = addresses
                .unwrap_or_default()
                .iter()
                .filter_map(|address| address.parse().ok())
                .collect();
            Some((peer, addresses))
        })
        .collect()
}
