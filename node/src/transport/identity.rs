//! Peer ids and the 32-byte keys they stand for.
//!
//! A transport key is Ed25519, and a libp2p peer id of such a key *is* the key, wrapped: identity multihash, 36 bytes,
//! then the protobuf of a public key of type Ed25519. So both directions are exact and need no table.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};

use super::TransportError;

/// What precedes the key in such a peer id: identity multihash of 36 bytes; key type 1 (Ed25519); 32 bytes of data.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The transport key pair of a 32-byte seed. The seed is overwritten with zeros.
///
/// # Errors
///
/// [`TransportError::Seed`] if libp2p refuses the seed, which it does for no seed of 32 bytes today.
pub fn keypair_of(seed: &mut [u8; 32]) -> Result<Keypair, TransportError> {
    Keypair::ed25519_from_bytes(seed).map_err(|_| TransportError::Seed)
}

/// The peer id of a transport public key, or `None` if the bytes are no point of the curve.
pub fn peer_id_of(transport_key: &[u8; 32]) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(transport_key).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The transport public key inside a peer id, or `None` if the peer id is of another kind of key.
pub fn transport_key_of(peer: &PeerId) -> Option<[u8; 32]> {
    let bytes = peer.to_bytes();
    bytes.strip_prefix(&PREFIX)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn peer_id_and_key_convert_both_ways() {
        let pair = keypair_of(&mut [7; 32]).unwrap();
        let peer = pair.public().to_peer_id();
        let key = transport_key_of(&peer).unwrap();
        assert_eq!(key, pair.try_into_ed25519().unwrap().public().to_bytes());
        assert_eq!(peer_id_of(&key), Some(peer));
    }

    #[test]
    fn the_seed_is_overwritten() {
        let mut seed = [7; 32];
        keypair_of(&mut seed).unwrap();
        assert_eq!(seed, [0; 32]);
    }

    #[test]
    fn another_kind_of_peer_id_has_no_transport_key() {
        // A hashed peer id, as RSA keys have.
        let hashed: PeerId = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"
            .parse()
            .unwrap();
        assert_eq!(transport_key_of(&hashed), None);
    }

    #[test]
    fn bytes_that_are_no_key_have_no_peer_id() {
        let refused = (0..=u8::MAX).find(|byte| peer_id_of(&[*byte; 32]).is_none());
        assert!(refused.is_some());
    }
}
