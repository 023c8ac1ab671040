//! Membership by file: what a node gives, what it takes, and where the streams
//! of a member end that is to leave.

use super::members::{link_bytes, notice_bytes};
use super::{Engine, Said, SayingRefusal};
use crate::ids::MemberId;
use crate::membership::{NotNews, NoticeScope};
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire::codec::CodecError;
use crate::wire::packet::{Packet, PacketFull};
use crate::wire::roster::{Cut, Link, RosterStatement};
use watchfire_crypto::Statement;

impl<S: Store> Engine<S> {
    /// Genesis, chain and notices, signs of life left out: they come and go.
    ///
    /// # Errors
    /// When the store fails; the inner error, when it is more than a packet has
    /// room for.
    pub fn packet(&self) -> Result<Result<Packet, PacketFull>, StoreError> {
        let mut packet = match Packet::new(self.genesis_file.clone()) {
            Ok(packet) => packet,
            Err(full) => return Ok(Err(full)),
        };
        for epoch in 1..=self.roster.epoch() {
            // The first gap ends the chain: what is behind it proves nothing.
            let Some(link) = link_bytes(&self.staged, epoch)? else {
                break;
            };
            if let Err(full) = packet.add_link(link.into_vec()) {
                return Ok(Err(full));
            }
        }
        let held = self.membership.page(NoticeScope::Lasting, 0, usize::MAX);
        for (_, slot) in &held.slots {
            let Some(frame) = notice_bytes(&self.staged, slot)? else {
                continue;
            };
            if let Err(full) = packet.add_notice(frame.into_vec()) {
                return Ok(Err(full));
            }
        }
        // Its own root is shown what this node prepared, also where the store has
        // lost it: what it then may not sign, it does not.
        if let Some(frame) = self.own_prepare()
            && let Err(full) = packet.add_notice(frame)
        {
            return Ok(Err(full));
        }
        Ok(Ok(packet))
    }

    /// Where the streams of a member's nodes end here, as far as they are held
    /// without gaps: the newest life first, and in it the open streams.
    pub fn ends_of_member(&self, member: &MemberId) -> Vec<Cut> {
        let mut nodes: Vec<_> = self
            .roster
            .certificates_of(*member)
            .map(|certificate| certificate.node)
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut cuts: Vec<Cut> = nodes
            .iter()
            .flat_map(|node| self.streams.of_node(node))
            .filter_map(|stream| {
                // What cannot be read is not known to count.
                let through = self.believed_through(&stream).ok()??;
                Some(Cut {
                    node: stream.node,
                    incarnation: stream.incarnation,
                    tag: stream.tag,
                    sequence: through.sequence,
                    head: through.head,
                })
            })
            .collect();
        cuts.sort_by_key(|cut| {
            (
                core::cmp::Reverse(cut.incarnation),
                !cut.tag.is_reserved(),
                *cut,
            )
        });
        cuts
    }

    /// Goes on along a link that somebody brought.
    pub(super) fn bring_link(
        &mut self,
        now: Now,
        bytes: &[u8],
    ) -> Result<Result<Said, SayingRefusal>, StoreError> {
        let form = |why: CodecError| SayingRefusal::Form(format!("the link is {why}"));
        let read = Link::from_bytes(bytes)
            .and_then(|link| Ok((RosterStatement::parse(link.roster.as_slice())?, link)));
        let (statement, link) = match read {
            Ok(read) => read,
            Err(why) => return Ok(Err(form(why))),
        };
        if statement.federation != self.roster.federation() {
            return Ok(Err(SayingRefusal::Form(
                "the link is of another federation".to_owned(),
            )));
        }
        if statement.epoch <= self.roster.epoch() {
            let held = link_bytes(&self.staged, statement.epoch)?;
            let is_same = held
                .and_then(|held| Link::from_bytes(held.as_slice()).ok())
                .is_some_and(|held| held.id() == link.id());
            return Ok(Err(if is_same {
                NotNews::Held.into()
            } else {
                SayingRefusal::Form(format!(
                    "epoch {} is another roster here; if both hold, more members than may have cheated: compare \"watchfire roster history\" by telephone",
                    statement.epoch
                ))
            }));
        }
        Ok(match self.follow(now, &link)? {
            Ok(()) => Ok(Said {
                roster: Some(link.id()),
                epoch: self.roster.epoch(),
            }),
            Err(why) => Err(why.into()),
        })
    }
}
