//! From one roster to the next, and what is believed of keys that have ended.

use super::room::*;
use super::*;
use crate::engine::{Saying, SayingRefusal};
use crate::gate::is_notice;
use crate::ids::RosterId;
use crate::limits::{ALIVE_EVERY_MS, ALIVE_SOON_MS, NOTICES_EVERY_MS};
use crate::policy::Reader;
use crate::query::{Asker, Query};
use crate::roster::{RosterError, VoteRefusal};
use crate::store::MemoryStore;
use crate::wire::card::Role;
use crate::wire::envelope::frame;
use crate::wire::notice::{Revocation, RevocationReason, StreamCut};
use crate::wire::roster::{Change, Vote, VoteBy, VoteFrame};
use crate::wire::{Kind, List, SignedBytes, Tag};
use watchfire_crypto::Signed;

/// A client of the node.
const CLIENT: ClientToken = ClientToken(9);

pub(super) fn say(node: &mut Node, saying: Saying) -> (Vec<Output>, Result<Said, SayingRefusal>) {
    let mut outputs = node.feed(Input::Say {
        client: CLIENT,
        saying: Box::new(saying),
    });
    outputs.extend(node.commit());
    let outcome = outputs
        .iter()
        .find_map(|output| match output {
            Output::Said { outcome, .. } => Some(outcome.clone()),
            _ => None,
        })
        .expect("it is told what came of it");
    (outputs, outcome)
}

/// The notices that a step gossips.
pub(super) fn notices(outputs: Vec<Output>) -> Vec<Vec<u8>> {
    outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::Gossip { frame } => Some(frame.into_inner().bytes),
            _ => None,
        })
        .filter(|bytes| is_notice(bytes))
        .collect()
}

pub(super) fn tell(node: &mut Node, from: u64, notice: &[u8]) -> Vec<Output> {
    let roster = node.engine.roster();
    let mut outputs = node.feed(Input::gossip(
        node_id(from),
        GossipToken(77),
        notice,
        &roster,
    ));
    outputs.extend(node.commit());
    outputs
}

pub(super) fn commit_by(number: u64, node: &Node, roster: RosterId, round: u32) -> Vec<u8> {
    let keys = keys(number);
    let vote = Vote {
        federation: node.engine.roster().federation(),
        epoch: node.engine.roster().epoch() + 1,
        roster,
        round,
        by: VoteBy::Commit {
            key: keys.root.public().to_bytes(),
        },
    };
    let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &keys.root);
    VoteFrame::bare(signed).unwrap()
}

pub(super) fn member(number: u64) -> MemberId {
    MemberId::of_root(&keys(number).root.public())
}

pub(super) fn observer(number: u64) -> Saying {
    Saying::Propose {
        reason: "it only reads".to_owned(),
        changes: vec![Change::Settle {
            member: member(number),
            role: Role::Observer,
            communities: List::default(),
        }],
    }
}

pub(super) fn expel(number: u64) -> Saying {
    Saying::Propose {
        reason: "it left".to_owned(),
        changes: vec![Change::Expel {
            member: member(number),
            cuts: List::default(),
        }],
    }
}

/// Every node of the federation the tests share, connected by hand.
pub(super) fn federation() -> Vec<Node> {
    (0..members()).map(Node::start).collect()
}

pub(super) fn members() -> u64 {
    config_of(0).roster.members().count() as u64
}

/// Lets everybody hear a notice but the one it is of.
pub(super) fn spread(nodes: &mut [Node], from: usize, notice: &[u8]) {
    for (at, node) in nodes.iter_mut().enumerate() {
        if at != from {
            tell(node, from as u64, notice);
        }
    }
}

/// Proposes at node 0, and has everybody prepare and commit; who hears of it are
/// the first so many.
pub(super) fn decide(nodes: &mut [Node], saying: Saying) -> RosterId {
    let (outputs, said) = say(&mut nodes[0], saying);
    let roster = said.unwrap().roster.unwrap();
    for notice in notices(outputs) {
        spread(nodes, 0, &notice);
    }
    for at in 0..nodes.len() {
        let prepare = Saying::Prepare {
            roster,
            round: None,
        };
        let (outputs, said) = say(&mut nodes[at], prepare);
        said.unwrap();
        for notice in notices(outputs) {
            spread(nodes, at, &notice);
        }
    }
    for at in 0..nodes.len() {
        if nodes[at].engine.roster().epoch() > 0 {
            continue;
        }
        let vote = commit_by(at as u64, &nodes[at], roster, 1);
        let (outputs, said) = say(&mut nodes[at], Saying::Bring { frame: vote });
        said.unwrap();
        for notice in notices(outputs) {
            spread(nodes, at, &notice);
        }
    }
    roster
}

#[test]
fn proposed_prepared_and_committed_it_is_everybodys_roster_and_stays_so_after_a_restart() {
    let mut nodes = federation();
    let roster = decide(&mut nodes, observer(1));
    for (number, node) in (0..).zip(nodes) {
        assert_eq!(node.engine.roster().id(), roster, "{number}");
        let node = node.restart(number);
        assert_eq!(node.engine.roster().id(), roster, "{number}");
        assert_eq!(node.engine.roster().epoch(), 1);
    }
}

#[test]
fn nobody_commits_what_too_few_prepared_and_nobody_prepares_two_in_a_round() {
    let mut nodes = federation();
    let (_, said) = say(&mut nodes[0], observer(1));
    let first = said.unwrap().roster.unwrap();
    let prepare = |roster| Saying::Prepare {
        roster,
        round: Some(1),
    };
    let (_, said) = say(&mut nodes[0], prepare(first));
    said.unwrap();
    nodes[0].pass(60_000);
    let (_, said) = say(&mut nodes[0], expel(1));
    let second = said.unwrap().roster.unwrap();
    let (_, said) = say(&mut nodes[0], prepare(second));
    assert_eq!(said, Err(SayingRefusal::Vote(VoteRefusal::OtherInRound)));
    let unknown = RosterId::from_bytes([3; 32]);
    let (_, said) = say(&mut nodes[0], prepare(unknown));
    assert_eq!(said, Err(SayingRefusal::Vote(VoteRefusal::NotHeld)));
}

#[test]
fn a_node_that_restarts_late_in_the_voting_knows_what_it_prepared() {
    let mut nodes = federation();
    let proposed = |nodes: &mut [Node], saying| {
        nodes[0].pass(60_000);
        let (outputs, said) = say(&mut nodes[0], saying);
        for notice in notices(outputs) {
            spread(nodes, 0, &notice);
        }
        said.unwrap().roster.unwrap()
    };
    let first = proposed(&mut nodes, observer(1));
    // More rounds than are kept, so that those of the beginning are dropped.
    for round in [1, 9].into_iter().chain(17..=26) {
        for at in 0..2 {
            let prepare = Saying::Prepare {
                roster: first,
                round: Some(round),
            };
            let (outputs, said) = say(&mut nodes[at], prepare);
            said.unwrap();
            for notice in notices(outputs) {
                spread(&mut nodes, at, &notice);
            }
        }
    }
    let second = proposed(&mut nodes, expel(1));
    let mut node = nodes.remove(0).restart(0);
    let again = Saying::Prepare {
        roster: second,
        round: Some(1),
    };
    let (_, said) = say(&mut node, again);
    assert_eq!(said, Err(SayingRefusal::Vote(VoteRefusal::RoundPast)));
}

#[test]
fn who_was_away_gets_the_roster_by_its_links() {
    let mut nodes = federation();
    let mut away = nodes.pop().unwrap();
    let roster = decide(&mut nodes, observer(1));
    let me = members() - 1;
    away.meet(0);
    nodes[0].meet(me);
    nodes[0].commit();
    let hello = nodes[0].hello();
    let outputs = away.request(0, hello);
    away.carry(me, outputs, &mut [(0, &mut nodes[0])]);
    assert_eq!(away.engine.roster().id(), roster);
}

#[test]
fn attack_14_a_link_of_an_older_roster_or_a_false_one_changes_nothing() {
    let mut nodes = federation();
    let roster = decide(&mut nodes, observer(1));
    nodes[0].meet(1);
    nodes[0].commit();
    let link = nodes[0].serves(1, Request::Link { epoch: 1 });
    let Some(Answer::Link { bytes }) = link else {
        panic!("no link: {link:?}");
    };
    let link = Link::from_bytes(bytes.as_slice()).unwrap();
    let mut node = nodes.remove(0);
    let now = node.now();
    let refused = node.engine.follow(now, &link).unwrap();
    assert!(matches!(refused, Err(RosterError::NotNext { .. })));
    let mut false_one = link.clone();
    let commits = link.commits.as_slice()[..1].to_vec();
    false_one.commits = List::new(commits).unwrap();
    let mut fresh = Node::start(1);
    let refused = fresh.engine.follow(now, &false_one).unwrap();
    assert!(matches!(refused, Err(RosterError::Undecided { .. })));
    assert_eq!(fresh.engine.roster().epoch(), 0);
    // A store that knows less than the files beside it is topped up from them.
    let store = MemoryStore::default();
    let mut config = config_of(0);
    config.links = vec![link];
    let engine = Engine::open(store, config, now).unwrap();
    assert_eq!(engine.roster().id(), roster);
}

#[test]
fn signs_of_life_are_sent_every_quarter_of_an_hour_and_heard() {
    let mut nodes = federation();
    let mut said = 0;
    for _ in 0..8 {
        let mut outputs = nodes[0].later(ALIVE_EVERY_MS / 2);
        outputs.extend(nodes[0].commit());
        for notice in notices(outputs) {
            said += 1;
            nodes[1].pass(NOTICES_EVERY_MS);
            tell(&mut nodes[1], 0, &notice);
        }
    }
    assert!((4..=6).contains(&said), "{said} in an hour");
    let alives = nodes[1].engine.membership().alives();
    assert!(alives.of(&node_id(0)).is_some());
}

/// What a person of this node finds of a frame.
pub(super) fn is_shown(node: &Node, frame: &[u8]) -> bool {
    let roster = node.engine.roster();
    let (bundle, _) = header_of_frame(frame).unwrap().bundle.unwrap();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &roster,
        wall_ms: node.now().wall_ms,
    };
    let found = Query::new(node.engine.store(), asker).bundle(&bundle);
    found.unwrap().is_some()
}

pub(super) fn revocation(number: u64, node: &Node, through: Option<(u64, EnvelopeId)>) -> Vec<u8> {
    let keys = keys(number);
    let cuts = through.map(|(sequence, head)| StreamCut {
        incarnation: 1,
        tag: Tag::PUBLIC,
        sequence,
        head,
    });
    let said = Revocation {
        federation: node.engine.roster().federation(),
        member: member(number),
        root_key: keys.root.public().to_bytes(),
        node: node_id(number),
        serial: 1,
        created_ms: node.now().wall_ms,
        reason: RevocationReason::Compromised,
        cuts: List::new(cuts.into_iter().collect()).unwrap(),
    };
    let signed: Signed<Revocation> = Signed::seal(codec::encode(&said), &keys.root);
    frame(
        Kind::Revocation,
        &SignedBytes::<8_128>::new(signed).unwrap(),
    )
}

#[test]
fn attack_17_above_the_cut_of_a_revoked_key_nothing_is_shown_whenever_it_came() {
    let (_, frames) = author_of(4);
    for comes_late in [false, true] {
        let mut node = Node::start(1);
        let cut = id_of(&frames[1], &node.engine.roster());
        let told = revocation(0, &node, Some((2, cut)));
        let late = if comes_late { 2 } else { 4 };
        for frame in &frames[..late] {
            node.gossip(0, frame);
        }
        node.commit();
        tell(&mut node, 2, &told);
        for frame in &frames[late..] {
            node.gossip(2, frame);
        }
        node.commit();
        let shown: Vec<bool> = frames.iter().map(|frame| is_shown(&node, frame)).collect();
        assert_eq!(shown, [true, true, false, false], "late: {comes_late}");
        assert!(frames.iter().all(|frame| node.holds(frame)), "all are kept");
        assert!(node.engine.roster().node(&node_id(0)).is_none());
        // After a restart as well.
        let node = node.restart(1);
        assert!(node.engine.roster().node(&node_id(0)).is_none());
        assert!(!is_shown(&node, &frames[3]));
    }
}

#[test]
fn attack_17_who_was_expelled_is_believed_up_to_the_cut_and_connects_no_more() {
    let (_, frames) = author_of(2);
    // The author is expelled, so the others decide.
    let mut nodes: Vec<Node> = (1..members()).map(Node::start).collect();
    for node in &mut nodes {
        node.gossip(0, &frames[0]);
        node.commit();
    }
    // One of them holds what lies above the cut before it hears of the end.
    nodes[0].gossip(0, &frames[1]);
    nodes[0].commit();
    assert!(is_shown(&nodes[0], &frames[1]));
    let expelled = member(0);
    let cut = crate::wire::roster::Cut {
        node: node_id(0),
        incarnation: 1,
        tag: Tag::PUBLIC,
        sequence: 1,
        head: id_of(&frames[0], &nodes[0].engine.roster()),
    };
    let (outputs, said) = say(
        &mut nodes[0],
        Saying::Propose {
            reason: "it left".to_owned(),
            changes: vec![Change::Expel {
                member: expelled,
                cuts: List::new(vec![cut]).unwrap(),
            }],
        },
    );
    let roster = said.unwrap().roster.unwrap();
    let mut all = notices(outputs);
    for node in &mut nodes {
        for notice in &all {
            tell(node, 2, notice);
        }
        let prepare = Saying::Prepare {
            roster,
            round: Some(1),
        };
        let (outputs, said) = say(node, prepare);
        said.unwrap();
        all.extend(notices(outputs));
    }
    for notice in &all {
        tell(&mut nodes[0], 2, notice);
    }
    for number in 1..members() {
        // One node brings what the roots of all signed.
        let vote = commit_by(number, &Node::start(1), roster, 1);
        let (outputs, _) = say(&mut nodes[0], Saying::Bring { frame: vote });
        all.extend(notices(outputs));
    }
    for node in &mut nodes {
        for notice in &all {
            tell(node, 2, notice);
        }
        assert_eq!(node.engine.roster().id(), roster);
        assert!(node.engine.roster().node(&node_id(0)).is_none());
        // Citing the epoch in which it was a member.
        node.gossip(2, &frames[1]);
        node.commit();
        assert!(is_shown(node, &frames[0]));
        assert!(node.holds(&frames[1]) && !is_shown(node, &frames[1]));
    }
}

#[test]
fn attack_13_a_fork_is_proven_to_everybody_and_what_follows_is_not_shown() {
    let ([first, second], ..) = forked();
    let mut one = Node::start(1);
    one.gossip(0, &first);
    one.commit();
    let mut outputs = one.gossip(0, &second);
    outputs.extend(one.commit());
    let proofs = notices(outputs);
    assert_eq!(proofs.len(), 1);
    // Who saw neither believes the proof.
    let mut other = Node::start(2);
    tell(&mut other, 1, &proofs[0]);
    other.gossip(0, &first);
    other.commit();
    for node in [&one, &other] {
        assert!(node.engine.membership().is_forked(&node_id(0), 1));
        assert!(!is_shown(node, &first));
    }
    // Both make the same proof, whichever they saw first.
    let mut twin = Node::start(2);
    twin.gossip(0, &second);
    twin.commit();
    let mut outputs = twin.gossip(0, &first);
    outputs.extend(twin.commit());
    assert_eq!(notices(outputs), proofs);
    // The node's own root ends that life and says what counts.
    let id = id_of(&first, &one.engine.roster());
    let told = revocation(0, &one, Some((1, id)));
    tell(&mut one, 2, &told);
    assert!(is_shown(&one, &first));
}

/// Two envelopes of one author at one place.
pub(super) fn forked() -> ([Vec<u8>; 2], Node, Node) {
    let (mut one, mut other) = (Node::start(0), Node::start(0));
    let first = one.frame_of("one", 10);
    let second = other.frame_of("other", 10);
    ([first, second], one, other)
}

#[test]
fn what_comes_of_a_suspended_member_is_shown_when_its_suspension_has_ended() {
    let (_, frames) = author_of(1);
    let mut node = Node::start(1);
    let suspenders = node.engine.roster().thresholds().suspenders() as u64;
    for number in 2..2 + suspenders {
        let mut other = Node::start(number);
        let (outputs, said) = say(
            &mut other,
            Saying::Suspend {
                member: member(0),
                life_ms: 3_600_000,
                reason: "its key may be stolen".to_owned(),
            },
        );
        said.unwrap();
        tell(&mut node, number, &notices(outputs)[0]);
    }
    node.gossip(0, &frames[0]);
    node.commit();
    assert!(node.holds(&frames[0]) && !is_shown(&node, &frames[0]));
    node.later(3_600_000 + ALIVE_SOON_MS);
    node.commit();
    assert!(is_shown(&node, &frames[0]));
}

/// A certificate of the next life of a member's node.
fn next_life(number: u64) -> CertificateBytes {
    let keys = keys(number);
    let cert = crate::wire::card::NodeCert {
        serial: 2,
        incarnation: 2,
        ..newcomer(&keys, &keys)
    };
    CertificateBytes::sign(&cert, &keys.root, &keys.signing, &keys.transport).unwrap()
}

#[test]
fn attack_17_of_a_life_that_was_replaced_only_what_its_cut_names_counts_under_an_old_epoch_too() {
    let mut nodes = federation();
    let frames: Vec<Vec<u8>> = ["a", "b", "c"]
        .iter()
        .map(|name| nodes[0].frame_of(name, 10))
        .collect();
    for frame in &frames[..2] {
        nodes[1].gossip(0, frame);
    }
    nodes[1].commit();
    decide(&mut nodes, observer(3));
    assert_eq!(nodes[1].engine.roster().epoch(), 1);

    // The node goes on in a new life without a restart: its stream begins anew.
    let certificate = next_life(0);
    nodes[0].feed(Input::Certificate {
        certificate: Box::new(certificate.clone()),
    });
    nodes[0].commit();
    assert_eq!(nodes[0].engine.me().incarnation, 2);
    let anew = nodes[0].frame_of("d", 10);
    tell(&mut nodes[1], 0, &frame(Kind::NodeCert, &certificate));
    let roster = nodes[1].engine.roster();
    let first = id_of(&frames[0], &config_of(0).roster);
    let told = revocation(0, &nodes[1], Some((1, first)));
    tell(&mut nodes[1], 2, &told);
    assert!(roster.node(&node_id(0)).is_some(), "its new life stands");

    // What cites the epoch in which nothing had ended counts no more for that.
    nodes[1].gossip(2, &frames[2]);
    nodes[1].gossip(0, &anew);
    nodes[1].commit();
    let shown: Vec<bool> = frames.iter().map(|it| is_shown(&nodes[1], it)).collect();
    assert_eq!(shown, [true, false, false]);
    assert!(frames.iter().all(|frame| nodes[1].holds(frame)));
    let bundle = check(&anew, &nodes[1].engine.roster()).unwrap();
    let bundle = bundle.value().bundle_id().unwrap();
    for number in [1, 0] {
        let node = nodes.remove(usize::try_from(number).unwrap());
        let node = node.restart(number);
        let asker = Asker {
            reader: Reader::LocalPerson,
            roster: &node.engine.roster(),
            wall_ms: node.now().wall_ms,
        };
        let found = Query::new(node.engine.store(), asker).bundle(&bundle);
        assert!(found.unwrap().is_some(), "{number}");
        let me = node.engine.roster().node(&node_id(0)).cloned().unwrap();
        assert_eq!((me.serial, me.incarnation), (2, 2), "{number}");
    }
}
