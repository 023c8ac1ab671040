//! Proofs: two signed statements that contradict each other.

use super::{Matter, NoticeRefusal, Order, Read, Slot, claims, decode, same_federation, verify};
use crate::roster::Roster;
use crate::wire::envelope::Header;
use crate::wire::exchange::StreamId;
use crate::wire::notice::Proof;
use crate::wire::roster::{Vote, VoteBy};
use watchfire_crypto::{PublicKey, Signed};

pub(super) fn proof(body: &[u8], roster: &Roster) -> Read {
    let proof: Proof = decode(body)?;
    if let Some((first, second)) = proof.headers() {
        fork(first, second, roster)
    } else if let Some((first, second)) = proof.votes() {
        let (matter, slot) = double_vote(first, second, roster)?;
        Ok((matter, slot, (0, 0, [0; 32])))
    } else {
        Err(NoticeRefusal::Contradiction("it proves nothing"))
    }
}

fn fork(first: Signed<Header>, second: Signed<Header>, roster: &Roster) -> Read {
    let mut places = Vec::new();
    for signed in [first, second] {
        let claimed = claims(&signed)?;
        same_federation(&claimed.prefix.federation, roster)?;
        let author = roster
            .certificate(&claimed.prefix.certificate)
            .ok_or(NoticeRefusal::NotKnown)?;
        let header = verify(signed, &author.signing_key)?;
        let position = claimed
            .prefix
            .class
            .position()
            .ok_or(NoticeRefusal::Contradiction("a header is of no stream"))?;
        let stream = StreamId {
            node: author.node,
            incarnation: author.incarnation,
            tag: position.tag,
        };
        places.push((stream, position.sequence, header.id()));
    }
    match places.as_slice() {
        [(stream, sequence, id), (other, at, another)]
            if stream == other && sequence == at && id < another =>
        {
            let slot = Slot::Fork(stream.node, stream.incarnation);
            let order = fork_order(&stream.tag, *sequence, [id, another]);
            Ok((Matter::Fork(*stream, *sequence), slot, order))
        }
        _ => Err(NoticeRefusal::Contradiction(
            "its headers, ascending by id, do not claim one place",
        )),
    }
}

/// Of two proofs about one life that with the lesser tag, then that with the lesser
/// sequence counts everywhere, in whichever order they come; of two about one place
/// either is as good. What counts is the greater order, so all of it is turned over.
fn fork_order(tag: &crate::wire::Tag, sequence: u64, ids: [&[u8; 32]; 2]) -> Order {
    let (high, low) = tag.as_bytes().split_at(8);
    let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
    let mut rest = [0; 32];
    let bytes = (!sequence).to_be_bytes().into_iter().chain(
        watchfire_crypto::sha256(&ids.map(|id| id.as_slice()).concat())
            .into_iter()
            .map(|byte| !byte),
    );
    for (to, from) in rest.iter_mut().zip(bytes) {
        *to = from;
    }
    (!half(high), !half(low), rest)
}

fn double_vote(
    first: Signed<Vote>,
    second: Signed<Vote>,
    roster: &Roster,
) -> Result<(Matter, Slot), NoticeRefusal> {
    let mut votes = Vec::new();
    for signed in [first, second] {
        let claimed = claims(&signed)?;
        same_federation(&claimed.federation, roster)?;
        // Whose key it was when it could vote: who finds a key that was replaced
        // since makes nobody a double voter of a later epoch.
        let voted_in = claimed
            .epoch
            .checked_sub(1)
            .ok_or(NoticeRefusal::Contradiction("it votes about the genesis"))?;
        let (key, member) = match &claimed.by {
            VoteBy::Prepare { certificate } => {
                let node = roster
                    .author(certificate, voted_in)
                    .ok_or(NoticeRefusal::NotKnown)?;
                (node.signing_key, node.member)
            }
            VoteBy::Commit { key } => {
                let member = roster
                    .root_owner(key)
                    .filter(|member| roster.was_root(member, key, voted_in))
                    .ok_or(NoticeRefusal::NotKnown)?;
                let key = PublicKey::enrol(key)
                    .map_err(|_| NoticeRefusal::Contradiction("it names a key that is none"))?;
                (key, member)
            }
            VoteBy::Consent { .. } => {
                return Err(NoticeRefusal::Contradiction(
                    "two consents contradict nothing",
                ));
            }
        };
        verify(signed, &key)?;
        votes.push((claimed, member));
    }
    match votes.as_slice() {
        [(one, member), (other, same)]
            if member == same
                && one.epoch == other.epoch
                && one.round == other.round
                && core::mem::discriminant(&one.by) == core::mem::discriminant(&other.by)
                && one.roster != other.roster =>
        {
            Ok((Matter::DoubleVote(*member), Slot::DoubleVote(*member)))
        }
        _ => Err(NoticeRefusal::Contradiction(
            "its votes do not contradict each other",
        )),
    }
}
