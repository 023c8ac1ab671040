//! Roster and deliberation, made again from a packet on a machine that runs no
//! node: what an offline root looks at before it signs.

use super::{Arrival, Effect, Membership, NotNews};
use crate::gate::{NoticeRefusal, check_notice};
use crate::limits::PACKET_PASSES_MAX;
use crate::roster::{Roster, RosterError};
use crate::time::Now;
use crate::wire::genesis::GenesisFile;
use crate::wire::packet::Packet;
use crate::wire::roster::Link;

/// What a packet comes to, every signature checked.
#[derive(Debug)]
pub struct Rebuilt {
    /// The roster at the end of its chain.
    pub roster: Roster,
    /// Proposals, votes and the rest of its notices.
    pub membership: Membership,
    /// Notices that were not taken.
    pub left: Vec<Left>,
}

/// A notice of a packet that was not taken.
#[derive(Clone, Debug)]
pub struct Left {
    /// Its frame.
    pub frame: Vec<u8>,
    /// Why.
    pub why: String,
}

impl Rebuilt {
    /// Goes through a packet from its genesis on. `each` is told of every roster
    /// that follows another: the one before, the link, and the one after. What
    /// the votes in it decide follows too.
    ///
    /// # Errors
    /// When the genesis or a link does not hold. A notice that does not hold is
    /// left out and said to be.
    pub fn of(
        packet: &Packet,
        now: Now,
        mut each: impl FnMut(&Roster, &Link, &Roster),
    ) -> Result<Self, RosterError> {
        let malformed = |what: &str, why: crate::wire::codec::CodecError| RosterError::Malformed {
            what: what.to_owned(),
            why: why.to_string(),
        };
        let genesis = GenesisFile::from_bytes(packet.genesis())
            .map_err(|why| malformed("the genesis of the packet", why))?;
        let mut rebuilt = Self {
            roster: Roster::found(&genesis)?,
            membership: Membership::default(),
            left: Vec::new(),
        };
        for bytes in packet.links() {
            let link =
                Link::from_bytes(bytes).map_err(|why| malformed("a link of the packet", why))?;
            let next = rebuilt.roster.follow(&link)?;
            each(&rebuilt.roster, &link, &next);
            rebuilt.roster = next;
        }
        let mut frames: Vec<Left> = packet
            .notices()
            .map(|frame| Left {
                frame: frame.to_vec(),
                why: String::new(),
            })
            .collect();
        for _ in 0..PACKET_PASSES_MAX {
            let before = frames.len();
            frames.retain_mut(|left| rebuilt.take(now, left));
            while let Some(link) = rebuilt.membership.deliberation().decided(&rebuilt.roster) {
                let Ok(next) = rebuilt.roster.follow(&link) else {
                    break;
                };
                each(&rebuilt.roster, &link, &next);
                rebuilt.membership.roster_changed(&next);
                rebuilt.roster = next;
            }
            if frames.is_empty() || frames.len() == before {
                break;
            }
        }
        rebuilt.left.extend(frames);
        Ok(rebuilt)
    }

    /// Takes a notice; gives whether it may be taken later.
    fn take(&mut self, now: Now, left: &mut Left) -> bool {
        let notice = match check_notice(&left.frame, &self.roster) {
            Ok(notice) => notice,
            // The chain holds it.
            Err(NoticeRefusal::NotHere(RosterError::Superseded)) => return false,
            Err(why) => {
                left.why = why.to_string();
                return true;
            }
        };
        match self
            .membership
            .take(now, &self.roster, &notice, Arrival::Later)
        {
            Ok(taken) => match taken.effect {
                Effect::Card(card) => {
                    // One that the roster does not take changes nothing.
                    let _ = self.roster.take_card(&card);
                }
                Effect::Revoked(revocation) => {
                    self.roster.revoke(&revocation);
                }
                Effect::Certificate(known) => {
                    self.roster.keep_certificate(known.1);
                }
                Effect::Nothing
                | Effect::Voted
                | Effect::Suspension(_)
                | Effect::Fork(..)
                | Effect::DoubleVote(_) => {}
            },
            Err(NotNews::Held) => {}
            Err(why) => {
                left.why = why.to_string();
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::founding::{Keys, derived_federation};
    use crate::limits::ROSTER_BYTES_MAX;
    use crate::roster::{Member, Proposal, Step, Successor};
    use crate::time::Instant;
    use crate::wire::card::Role;
    use crate::wire::envelope::frame;
    use crate::wire::roster::VoteFrame;
    use crate::wire::roster::{Change, RosterStatement, Vote, VoteBy};
    use crate::wire::{Kind, List, SignedBytes, Text, codec};
    use watchfire_crypto::{Signed, SigningKey};

    const WALL_MS: u64 = 1_800_000_000_000;
    const NOW: Now = Now {
        mono: Instant::ZERO,
        wall_ms: WALL_MS,
    };

    struct World {
        genesis: Vec<u8>,
        keys: Vec<Keys>,
        roster: Roster,
    }

    fn world() -> World {
        let (file, roster, keys) =
            derived_federation(&[5; 32], &[Role::Agency; 4], WALL_MS).unwrap();
        World {
            genesis: file.to_bytes(),
            keys,
            roster,
        }
    }

    impl World {
        fn member(&self, number: usize) -> &Member {
            let root = self.keys[number].root.public();
            self.roster.member_of_root(root.as_bytes()).unwrap()
        }

        /// The first member proposes to settle the second as a hub.
        fn proposal(&self) -> (Successor, Vec<u8>) {
            let me = self.member(0);
            let node = self.roster.certificates_of(me.id).next().unwrap();
            let successor = self
                .roster
                .propose(Proposal {
                    proposer: me.id,
                    certificate: node.id,
                    created_ms: WALL_MS,
                    reason: "a hub".to_owned(),
                    changes: vec![Change::Settle {
                        member: self.member(1).id,
                        role: Role::Hub,
                        communities: List::new(vec![Text::new("demo").unwrap()]).unwrap(),
                    }],
                })
                .unwrap();
            let signed: Signed<RosterStatement> =
                Signed::seal(successor.bytes().to_vec(), &self.keys[0].signing);
            let signed: SignedBytes<ROSTER_BYTES_MAX> = SignedBytes::new(signed).unwrap();
            (successor, frame(Kind::Roster, &signed))
        }

        fn prepare(&self, successor: &Successor, number: usize) -> Vec<u8> {
            let member = self.member(number);
            let certificate = self.roster.certificates_of(member.id).next().unwrap().id;
            let by = VoteBy::Prepare { certificate };
            cast(&successor.vote(1, by), &self.keys[number].signing)
        }

        fn commit(&self, successor: &Successor, number: usize) -> Vec<u8> {
            let root = &self.keys[number].root;
            let key = root.public().to_bytes();
            let bare = cast(&successor.vote(1, VoteBy::Commit { key }), root);
            // A node that holds the prepares adds them.
            let (_, proposed) = self.proposal();
            let mut frames = vec![proposed];
            frames.extend((0..3).map(|number| self.prepare(successor, number)));
            let rebuilt = Rebuilt::of(&self.packet(&frames), NOW, |_, _, _| {}).unwrap();
            rebuilt.membership.deliberation().complete(bare)
        }

        fn packet(&self, frames: &[Vec<u8>]) -> Packet {
            let mut packet = Packet::new(self.genesis.clone()).unwrap();
            for frame in frames {
                packet.add_notice(frame.clone()).unwrap();
            }
            Packet::from_bytes(&packet.to_bytes()).unwrap()
        }
    }

    fn cast(vote: &Vote, key: &SigningKey) -> Vec<u8> {
        let signed: Signed<Vote> = Signed::seal(codec::encode(vote), key);
        VoteFrame::bare(signed).unwrap()
    }

    #[test]
    fn a_packet_shows_a_root_what_it_may_commit() {
        let world = world();
        let (successor, proposed) = world.proposal();
        let id = successor.id();
        let mut frames = vec![proposed];
        frames.extend((0..3).map(|number| world.prepare(&successor, number)));
        let rebuilt = Rebuilt::of(&world.packet(&frames), NOW, |_, _, _| {}).unwrap();
        assert!(rebuilt.left.is_empty(), "{:?}", rebuilt.left);
        let deliberation = rebuilt.membership.deliberation();
        let me = world.member(3).id;
        assert_eq!(
            deliberation.may_commit(&rebuilt.roster, &me, 1, &id),
            Ok(())
        );
        // With one prepare less it may not.
        frames.pop();
        let rebuilt = Rebuilt::of(&world.packet(&frames), NOW, |_, _, _| {}).unwrap();
        let deliberation = rebuilt.membership.deliberation();
        assert!(
            deliberation
                .may_commit(&rebuilt.roster, &me, 1, &id)
                .is_err()
        );
    }

    #[test]
    fn what_a_packet_decides_follows_and_is_told() {
        let world = world();
        let (successor, proposed) = world.proposal();
        let mut frames = vec![proposed];
        frames.extend((0..3).map(|number| world.prepare(&successor, number)));
        frames.extend((0..3).map(|number| world.commit(&successor, number)));
        let mut told = Vec::new();
        let mut links = Vec::new();
        let rebuilt = Rebuilt::of(&world.packet(&frames), NOW, |before, link, after| {
            told.push((before.epoch(), after.epoch()));
            links.push(link.to_bytes());
        })
        .unwrap();
        assert_eq!(told, [(0, 1)]);
        assert_eq!(rebuilt.roster.id(), successor.id());
        // By its link alone it comes to the same; votes of the past are left out.
        let mut packet = world.packet(&frames);
        packet.add_link(links.remove(0)).unwrap();
        let rebuilt = Rebuilt::of(&packet, NOW, |_, _, _| {}).unwrap();
        assert_eq!(rebuilt.roster.id(), successor.id());
        assert_eq!(rebuilt.membership.deliberation().candidates().count(), 0);
        assert_eq!(rebuilt.left.len(), frames.len());
    }

    #[test]
    fn what_was_altered_is_left_out_and_said_to_be() {
        let world = world();
        let (successor, proposed) = world.proposal();
        let mut forged = world.prepare(&successor, 2);
        // Behind the signature stands how many prepares there are.
        let last = forged.len() - 2;
        forged[last] ^= 1;
        let frames = [proposed, world.prepare(&successor, 1), forged.clone()];
        let rebuilt = Rebuilt::of(&world.packet(&frames), NOW, |_, _, _| {}).unwrap();
        assert_eq!(rebuilt.left.len(), 1);
        assert_eq!(rebuilt.left[0].frame, forged);
        assert!(rebuilt.left[0].why.contains("signature"));
        let id = successor.id();
        let ballot = rebuilt.membership.deliberation().ballot();
        assert_eq!(ballot.voters(Step::Prepare, 1, &id).count(), 1);
        // A link that does not hold ends it all.
        let mut packet = world.packet(&[]);
        packet.add_link(b"no link".to_vec()).unwrap();
        assert!(matches!(
            Rebuilt::of(&packet, NOW, |_, _, _| {}),
            Err(RosterError::Malformed { .. })
        ));
    }
}
