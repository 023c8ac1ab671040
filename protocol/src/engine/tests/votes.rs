//! What a node remembers of its own votes, what it does not bring in for its own
//! root, and who is named for two votes.

use super::members::{
    commit_by, decide, expel, federation, member, notices, observer, say, spread, tell,
};
use super::room::*;
use super::*;
use crate::engine::{Saying, SayingRefusal};
use crate::gate::{Matter, check_notice};
use crate::ids::{CertificateId, RosterId};
use crate::roster::VoteRefusal;
use crate::store::MemoryStore;
use crate::table::{self, PREPARED_BYTES_MAX, Prepared};
use crate::wire::envelope::{body_of, frame};
use crate::wire::notice::{Revocation, RevocationReason};
use crate::wire::roster::{Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Kind, List, SignedBytes};
use watchfire_crypto::Signed;

/// Has a node propose, and everybody hear of it.
fn proposed(nodes: &mut [Node], by: usize, saying: Saying) -> (RosterId, Vec<u8>) {
    let (outputs, said) = say(&mut nodes[by], saying);
    let notice = notices(outputs).remove(0);
    spread(nodes, by, &notice);
    (said.unwrap().roster.unwrap(), notice)
}

const fn prepare(roster: RosterId, round: u32) -> Saying {
    Saying::Prepare {
        roster,
        round: Some(round),
    }
}

/// What a node's key signs, whatever its node says.
fn prepared_by(
    keys: &Keys,
    certificate: CertificateId,
    node: &Node,
    said: (RosterId, u32),
) -> Vec<u8> {
    let vote = Vote {
        federation: node.engine.roster().federation(),
        epoch: node.engine.roster().epoch() + 1,
        roster: said.0,
        round: said.1,
        by: VoteBy::Prepare { certificate },
    };
    let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &keys.signing);
    VoteFrame::bare(signed).unwrap()
}

fn prepare_of(number: u64, node: &Node, said: (RosterId, u32)) -> Vec<u8> {
    let certificate = node.engine.roster().node(&node_id(number)).unwrap().id;
    prepared_by(&keys(number), certificate, node, said)
}

fn vote_frame(bytes: &[u8]) -> VoteFrame {
    codec::decode(body_of(Kind::Vote, bytes).unwrap(), bytes.len()).unwrap()
}

/// A commit with the prepares of these members.
fn commit_on(number: u64, node: &Node, said: (RosterId, u32), by: [u64; 3]) -> Vec<u8> {
    let mut lines = by.map(|by| VoteLine {
        key: *node
            .engine
            .roster()
            .node(&node_id(by))
            .unwrap()
            .id
            .as_bytes(),
        signature: vote_frame(&prepare_of(by, node, said))
            .vote
            .to_signed::<Vote>()
            .signature()
            .to_bytes(),
    });
    lines.sort_unstable();
    VoteFrame {
        prepares: List::new(lines.to_vec()).unwrap(),
        ..vote_frame(&commit_by(number, node, said.0, said.1))
    }
    .to_frame()
}

#[test]
fn a_node_whose_store_is_lost_prepares_nothing_else_in_that_round() {
    let mut nodes = federation();
    let (first, of_first) = proposed(&mut nodes, 1, observer(1));
    let (second, of_second) = proposed(&mut nodes, 2, expel(1));
    let (outputs, said) = say(&mut nodes[0], prepare(first, 2));
    said.unwrap();
    let vote = notices(outputs).remove(0);
    let kept = nodes[0].engine.store().get(&table::prepared()).unwrap();
    let kept: Prepared = codec::decode(&kept.unwrap(), PREPARED_BYTES_MAX).unwrap();
    assert_eq!((kept.epoch, kept.round, kept.roster), (1, 2, first));
    let begin = |prepared| {
        let config = Config {
            prepared,
            ..config_of(0)
        };
        let mut node = Node::with(MemoryStore::default(), config);
        for proposal in [&of_first, &of_second] {
            tell(&mut node, 1, proposal);
        }
        node
    };
    let mut lost = begin(Some(kept));
    for (round, why) in [
        (Some(2), VoteRefusal::OtherInRound),
        (Some(1), VoteRefusal::RoundPast),
        // By itself in the round it was in, and not in the first that it knows.
        (None, VoteRefusal::OtherInRound),
    ] {
        let roster = second;
        let (_, said) = say(&mut lost, Saying::Prepare { roster, round });
        assert_eq!(said, Err(SayingRefusal::Vote(why)), "{round:?}");
    }
    // Its root is shown the vote that the store has lost.
    let packet = lost.engine.packet().unwrap().unwrap();
    assert!(packet.notices().any(|notice| notice == vote));
    let (outputs, said) = say(&mut lost, prepare(first, 2));
    assert_eq!((said.is_ok(), notices(outputs)), (true, vec![vote]));
    let (_, said) = say(&mut lost, prepare(second, 3));
    said.unwrap();
    // It is the file that does it.
    let (_, said) = say(&mut begin(None), prepare(second, 2));
    said.unwrap();
    // What was for an epoch that is over binds nobody.
    let past = Prepared { epoch: 0, ..kept };
    let (_, said) = say(&mut begin(Some(past)), prepare(second, 2));
    said.unwrap();
}

#[test]
fn the_later_of_file_and_store_counts() {
    let mut nodes = federation();
    let (first, _) = proposed(&mut nodes, 1, observer(1));
    let (second, of_second) = proposed(&mut nodes, 2, expel(1));
    say(&mut nodes[0], prepare(first, 5)).1.unwrap();
    // Without its notices, or the vote itself would be there.
    let mut store = nodes[0].engine.store().snapshot();
    store.retain(|(key, _)| !key.starts_with(table::NOTICES));
    for (in_file, refused) in [(4, 5), (6, 6)] {
        let prepared = Some(Prepared {
            epoch: 1,
            round: in_file,
            roster: first,
        });
        let config = Config {
            prepared,
            ..config_of(0)
        };
        let mut node = Node::with(store_of(store.clone()), config);
        tell(&mut node, 2, &of_second);
        let (_, said) = say(&mut node, prepare(second, refused));
        let why = SayingRefusal::Vote(VoteRefusal::OtherInRound);
        assert_eq!(said, Err(why), "{in_file}");
    }
}

/// Its root signed a packet of round 1 when its node had voted on in round 2.
#[test]
fn a_commit_on_an_old_packet_is_not_brought_in() {
    let mut nodes = federation();
    let (first, _) = proposed(&mut nodes, 1, observer(1));
    let (second, _) = proposed(&mut nodes, 2, expel(1));
    for round in [1, 2] {
        let roster = if round == 1 { first } else { second };
        let (_, said) = say(&mut nodes[0], prepare(roster, round));
        said.unwrap();
    }
    let frame = commit_on(0, &nodes[0], (first, 1), [1, 2, 3]);
    let bring = |frame: Vec<u8>| Saying::Bring { frame };
    let (outputs, said) = say(&mut nodes[0], bring(frame.clone()));
    let stale = SayingRefusal::Stale {
        signed: 1,
        prepared: 2,
    };
    assert_eq!(said, Err(stale));
    assert_eq!(notices(outputs), Vec::<Vec<u8>>::new());
    // That of another member is not for this node to judge, and one that this
    // root could sign is brought in.
    let (_, said) = say(&mut nodes[1], bring(frame));
    said.unwrap();
    let frame = commit_on(0, &nodes[0], (second, 2), [1, 2, 3]);
    let (_, said) = say(&mut nodes[0], bring(frame));
    said.unwrap();
}

/// A packet shows a root why it may not sign, also where the prepares of the
/// quorum that binds it came only with somebody's commit.
#[test]
fn a_packet_holds_the_prepares_of_the_quorum_that_binds() {
    let mut nodes = federation();
    let (first, _) = proposed(&mut nodes, 1, observer(1));
    let (second, _) = proposed(&mut nodes, 2, expel(1));
    let commit = commit_on(3, &nodes[0], (first, 1), [1, 2, 3]);
    tell(&mut nodes[0], 3, &commit);
    let (_, said) = say(&mut nodes[0], prepare(second, 2));
    assert_eq!(said, Err(SayingRefusal::Vote(VoteRefusal::Locked)));
    let packet = nodes[0].engine.packet().unwrap().unwrap();
    let rebuilt = crate::membership::Rebuilt::of(&packet, nodes[0].now(), |_, _, _| {}).unwrap();
    let about = rebuilt.membership.deliberation();
    let votes = rebuilt.roster.thresholds().votes();
    let bound = about
        .ballot()
        .lock(2, votes)
        .map(|(at, what)| (at, what.contains(&first)));
    assert_eq!(bound, Some((1, true)));
    let may = about.may_prepare(&rebuilt.roster, &member(0), 2, &second);
    assert_eq!(may, Err(VoteRefusal::Locked));
}

#[test]
fn a_member_prepares_at_one_of_its_nodes() {
    let mut nodes = federation();
    let (roster, _) = proposed(&mut nodes, 1, observer(1));
    // A second node of member 0, which prepared.
    let second = keys(8);
    let certificate = newcomer_certificate(&keys(0), &second);
    let known = frame(Kind::NodeCert, &certificate);
    let node = &mut nodes[0];
    tell(node, 1, &known);
    let second_id = node_id(8);
    let of_second = node.engine.roster().node(&second_id).unwrap().id;
    let vote = prepared_by(&second, of_second, node, (roster, 1));
    tell(node, 1, &vote);
    for round in [1, 2] {
        let (_, said) = say(node, prepare(roster, round));
        let Err(why @ SayingRefusal::OtherNode { .. }) = said else {
            panic!("{said:?}");
        };
        assert!(why.to_string().contains(&second_id.to_string()), "{why}");
    }
    // Where that node has ended it is this one that speaks.
    let said = Revocation {
        federation: node.engine.roster().federation(),
        member: member(0),
        root_key: keys(0).root.public().to_bytes(),
        node: second_id,
        serial: 1,
        created_ms: node.now().wall_ms,
        reason: RevocationReason::Retired,
        cuts: List::default(),
    };
    let signed: Signed<Revocation> = Signed::seal(codec::encode(&said), &keys(0).root);
    let revocation = frame(
        Kind::Revocation,
        &SignedBytes::<8_128>::new(signed).unwrap(),
    );
    tell(node, 1, &revocation);
    let (_, said) = say(node, prepare(roster, 2));
    said.unwrap();
}

/// The proofs that a step tells everybody, and whom they name.
fn proofs(node: &Node, outputs: Vec<Output>) -> Vec<(Vec<u8>, MemberId)> {
    let roster = node.engine.roster();
    notices(outputs)
        .into_iter()
        .filter_map(
            |bytes| match check_notice(&bytes, &roster).unwrap().matter() {
                Matter::DoubleVote(member) => Some((bytes, *member)),
                _ => None,
            },
        )
        .collect()
}

#[test]
fn attack_15_double_signers_are_named_to_everybody() {
    let mut nodes = federation();
    let (first, _) = proposed(&mut nodes, 1, observer(1));
    let (second, _) = proposed(&mut nodes, 2, expel(1));
    let [one, two] = [first, second].map(|roster| prepare_of(3, &nodes[0], (roster, 1)));
    let outputs = tell(&mut nodes[0], 3, &one);
    assert_eq!(proofs(&nodes[0], outputs), []);
    let outputs = tell(&mut nodes[0], 3, &two);
    let (proof, named) = proofs(&nodes[0], outputs).remove(0);
    assert_eq!(named, member(3));
    assert!(
        nodes[0]
            .engine
            .membership()
            .double_voters()
            .contains(&named)
    );
    // Who saw the votes in another order makes the same of it, and who saw neither
    // is told.
    tell(&mut nodes[1], 3, &two);
    let outputs = tell(&mut nodes[1], 3, &one);
    assert_eq!(proofs(&nodes[1], outputs), [(proof.clone(), named)]);
    tell(&mut nodes[2], 0, &proof);
    assert!(
        nodes[2]
            .engine
            .membership()
            .double_voters()
            .contains(&named)
    );
    // Once.
    for round in [2, 3] {
        for roster in [first, second] {
            let vote = prepare_of(3, &nodes[0], (roster, round));
            let outputs = tell(&mut nodes[0], 3, &vote);
            assert_eq!(proofs(&nodes[0], outputs), []);
        }
    }
    // The next epoch forgets the votes and not who signed two.
    let mut fresh = federation();
    for node in &mut fresh {
        tell(node, 3, &one);
        tell(node, 3, &two);
    }
    let honest = &mut fresh[..3];
    decide(honest, observer(2));
    for node in honest {
        assert_eq!(node.engine.roster().epoch(), 1);
        assert!(node.engine.membership().double_voters().contains(&named));
    }
}

#[test]
fn attack_15_double_signers_are_named_by_what_commits_carry() {
    let mut nodes = federation();
    let (first, _) = proposed(&mut nodes, 1, observer(1));
    let (second, _) = proposed(&mut nodes, 2, expel(1));
    // One that came by itself, and one that a commit shows.
    let node = &mut nodes[0];
    let vote = prepare_of(3, node, (second, 1));
    let commit = commit_on(1, node, (first, 1), [1, 2, 3]);
    tell(node, 1, &commit);
    let outputs = tell(node, 3, &vote);
    assert_eq!(proofs(node, outputs).len(), 1);
    let node = &mut nodes[1];
    tell(node, 3, &vote);
    let outputs = tell(node, 1, &commit);
    assert_eq!(proofs(node, outputs)[0].1, member(3));
    // Two commits show two quorums, so more members than may lie signed twice.
    let node = &mut nodes[2];
    tell(node, 1, &commit);
    let other = commit_on(2, node, (second, 1), [0, 2, 3]);
    let outputs = tell(node, 2, &other);
    let named: Vec<MemberId> = proofs(node, outputs).into_iter().map(|of| of.1).collect();
    let mut expected = [member(2), member(3)];
    expected.sort_unstable();
    assert_eq!(named, expected);
    // A root that commits two rosters in one round is named as well.
    let node = &mut nodes[3];
    let (one, other) = ((first, 4), (second, 4));
    let commits = [one, other].map(|said| commit_on(1, node, said, [0, 2, 3]));
    tell(node, 1, &commits[0]);
    let outputs = tell(node, 1, &commits[1]);
    let named = proofs(node, outputs);
    assert!(named.iter().any(|(_, who)| *who == member(1)));
}
