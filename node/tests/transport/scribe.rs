//! What none of our nodes would send: gossip written by hand, and bytes that are no protocol at all.

use libp2p::{Multiaddr, PeerId};

use crate::raw::{Bytes, Raw};
use crate::world::keypair;

/// Bytes that are no protocol, repeatable.
pub(crate) fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Gossip written by hand, in gossipsub's protobuf.
pub(crate) mod wire {
    /// A number in groups of seven bits.
    pub(crate) fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let group = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            if value == 0 {
                bytes.push(group);
                return bytes;
            }
            bytes.push(group | 0x80);
        }
    }

    /// A field with a length.
    pub(crate) fn field(tag: u64, content: &[u8]) -> Vec<u8> {
        [
            number(tag << 3 | 2),
            number(content.len().try_into().unwrap()),
            content.to_vec(),
        ]
        .concat()
    }

    /// A field with a number.
    pub(crate) fn numeric(tag: u64, value: u64) -> Vec<u8> {
        [number(tag << 3), number(value)].concat()
    }

    /// One message with its length.
    pub(crate) fn message(fields: &[Vec<u8>]) -> Vec<u8> {
        let content = fields.concat();
        [number(content.len().try_into().unwrap()), content].concat()
    }

    /// A frame on a topic.
    pub(crate) fn publish(topic: &str, data: &[u8]) -> Vec<u8> {
        field(2, &[field(2, data), field(4, topic.as_bytes())].concat())
    }

    /// Control: 1 IHAVE, 2 IWANT, 3 GRAFT, 4 PRUNE.
    pub(crate) fn control(kind: u64, content: &[u8]) -> Vec<u8> {
        field(3, &field(kind, content))
    }
}

/// A peer whose proper gossip stands and who then writes by hand, on one stream that stays open.
pub(crate) async fn scribble(node: PeerId, address: &Multiaddr, messages: &[Vec<u8>]) -> Raw {
    scribble_and(node, address, messages, true).await
}

/// As [`scribble`]; `then_silence` says whether the stream stays open.
pub(crate) async fn scribble_and(
    node: PeerId,
    address: &Multiaddr,
    messages: &[Vec<u8>],
    then_silence: bool,
) -> Raw {
    let mut raw = Raw::scribbling(keypair(3));
    raw.dial(address);
    raw.subscribed().await;
    let bytes = Bytes {
        bytes: messages.concat(),
        then_silence,
    };
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_request(&node, bytes);
    raw
}
