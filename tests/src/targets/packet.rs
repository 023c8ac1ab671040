//! Packets: membership as a file that somebody else made.

use std::sync::LazyLock;

use watchfire_crypto::{Signed, SigningKey};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::limits::{PACKET_BYTES_MAX, PACKET_LINKS_MAX, PACKET_NOTICES_MAX};
use watchfire_protocol::membership::Rebuilt;
use watchfire_protocol::roster::{Proposal, Roster, Successor};
use watchfire_protocol::time::{Instant, Now};
use watchfire_protocol::wire::card::Role;
use watchfire_protocol::wire::envelope::frame;
use watchfire_protocol::wire::roster::{Change, RosterStatement, Vote, VoteBy, VoteFrame};
use watchfire_protocol::wire::{Kind, List, Packet, SignedBytes, Text, codec};

use crate::forge::FOUNDED_MS;

/// What a packet begins with.
pub const PACKET_WORDS: &[&str] = &[
    "watchfire-packet 1\n",
    "watchfire-packet 2\n",
    "\0\0\0\0",
    "\0\0\0\u{1}",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
];

const NOW: Now = Now {
    mono: Instant::ZERO,
    wall_ms: FOUNDED_MS + 1_000,
};

/// Two members, and a roster that one of them proposed.
struct World {
    genesis: Vec<u8>,
    roster: Roster,
    keys: Vec<Keys>,
    successor: Successor,
    proposal: Vec<u8>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (file, roster, keys) =
        derived_federation(&[0x51; 32], &[Role::Agency; 2], FOUNDED_MS).unwrap();
    let member = |keys: &Keys| {
        roster
            .member_of_root(&keys.root.public().to_bytes())
            .unwrap()
    };
    let proposer = member(&keys[0]);
    let certificate = roster.certificates_of(proposer.id).next().unwrap().id;
    let successor = roster
        .propose(Proposal {
            proposer: proposer.id,
            certificate,
            created_ms: FOUNDED_MS + 500,
            reason: "it only reads".to_owned(),
            changes: vec![Change::Settle {
                member: member(&keys[1]).id,
                role: Role::Observer,
                communities: List::new(vec![Text::new("demo").unwrap()]).unwrap(),
            }],
        })
        .unwrap();
    let signed: Signed<RosterStatement> =
        Signed::seal(successor.bytes().to_vec(), &keys[0].signing);
    let signed: SignedBytes<{ watchfire_protocol::limits::ROSTER_BYTES_MAX }> =
        SignedBytes::new(signed).unwrap();
    World {
        genesis: file.to_bytes(),
        proposal: frame(Kind::Roster, &signed),
        roster,
        keys,
        successor,
    }
});

impl World {
    fn vote(&self, by: VoteBy, key: &SigningKey) -> Vec<u8> {
        let vote = self.successor.vote(1, by);
        let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), key);
        VoteFrame::bare(signed).unwrap()
    }

    /// The proposal, and what both nodes prepared.
    fn proposed(&self) -> Vec<Vec<u8>> {
        let by = |keys: &Keys| {
            let root = keys.root.public().to_bytes();
            let member = self.roster.member_of_root(&root).unwrap().id;
            let certificate = self.roster.certificates_of(member).next().unwrap().id;
            self.vote(VoteBy::Prepare { certificate }, &keys.signing)
        };
        let prepares = self.keys.iter().map(by);
        std::iter::once(self.proposal.clone())
            .chain(prepares)
            .collect()
    }

    fn commits(&self) -> Vec<Vec<u8>> {
        let prepared = self.packet(&self.proposed());
        let rebuilt = Rebuilt::of(&prepared, NOW, |_, _, _| {}).unwrap();
        let by = |keys: &Keys| {
            let key = keys.root.public().to_bytes();
            let bare = self.vote(VoteBy::Commit { key }, &keys.root);
            rebuilt.membership.deliberation().complete(bare)
        };
        self.keys.iter().map(by).collect()
    }

    fn packet(&self, notices: &[Vec<u8>]) -> Packet {
        let mut packet = Packet::new(self.genesis.clone()).unwrap();
        for notice in notices {
            packet.add_notice(notice.clone()).unwrap();
        }
        packet
    }
}

/// A packet: one text for one packet, within every bound; and what comes of it
/// is the same each time, with no notice lost or invented.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_packet(bytes: &[u8]) {
    let Ok(packet) = Packet::from_bytes(bytes) else {
        return;
    };
    assert_eq!(packet.to_bytes(), bytes);
    assert!(bytes.len() <= PACKET_BYTES_MAX);
    let notices: Vec<&[u8]> = packet.notices().collect();
    assert!(packet.links().count() <= PACKET_LINKS_MAX);
    assert!(notices.len() <= PACKET_NOTICES_MAX);
    assert!(notices.is_sorted());
    let mut epochs = Vec::new();
    let Ok(rebuilt) = Rebuilt::of(&packet, NOW, |before, _, after| {
        epochs.push((before.epoch(), after.epoch()));
    }) else {
        return;
    };
    let ascends = (0..)
        .zip(&epochs)
        .all(|(at, epochs)| *epochs == (at, at + 1));
    assert!(ascends, "{epochs:?}");
    assert_eq!(rebuilt.roster.epoch(), epochs.len() as u64);
    for left in &rebuilt.left {
        assert!(notices.contains(&left.frame.as_slice()));
        assert!(!left.why.is_empty());
    }
    let again = Rebuilt::of(&packet, NOW, |_, _, _| {}).unwrap();
    assert_eq!(again.roster.id(), rebuilt.roster.id());
    assert_eq!(again.left.len(), rebuilt.left.len());
}

/// From a genesis alone to one whose votes decide the next roster, one with its
/// link, and some that must be refused.
pub fn packets() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let commits = world.commits();
    let proposed = world.proposed();
    let decided = world.packet(&[&proposed, &commits[..]].concat());
    let mut followed = world.packet(&[]);
    let mut links = Vec::new();
    let of = Rebuilt::of(&decided, NOW, |_, link, _| links.push(link.to_bytes())).unwrap();
    assert_eq!(of.roster.id(), world.successor.id());
    followed.add_link(links.remove(0)).unwrap();
    let mut no_link = world.packet(&[]);
    no_link.add_link(b"no link".to_vec()).unwrap();
    let packets = [
        world.packet(&[]),
        world.packet(&proposed),
        decided,
        followed,
        no_link,
        Packet::new(b"no genesis".to_vec()).unwrap(),
    ];
    let mut all: Vec<Vec<u8>> = packets.iter().map(Packet::to_bytes).collect();
    all.push([all[0].as_slice(), b"x"].concat());
    all.push(b"watchfire-packet 1\n\xff\xff\xff\xff\xff\xff\xff\xff".to_vec());
    all
}

/// Says whether a packet comes to a roster, and which.
///
/// # Panics
/// When a good sample does not.
pub fn packets_are_good() {
    let epochs: Vec<Option<u64>> = packets()
        .iter()
        .map(|bytes| {
            let packet = Packet::from_bytes(bytes).ok()?;
            let rebuilt = Rebuilt::of(&packet, NOW, |_, _, _| {}).ok()?;
            Some(rebuilt.roster.epoch())
        })
        .collect();
    let good = [Some(0), Some(0), Some(1), Some(1)];
    assert_eq!(epochs, [&good[..], &[None; 4]].concat());
}
