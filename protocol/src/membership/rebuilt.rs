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
            let link = Link::from_bytes(bytes)
                .map_err(|why| malformed("a link of the packet", why))?;
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
                Effect::Certificate(known) => self.roster.keep_certificate(known.1),
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
