//! What is held back, whichever way and in whatever order it came to that.

use super::accepting::{accept, one};
use super::members::{is_shown, members, notices, revocation, say, tell};
use super::room::*;
use super::*;
use crate::engine::{Saying, WhatToAccept};
use crate::gate::Slot;
use crate::limits::{CERTIFICATE_LIFE_MS_MAX, SUSPENSION_LIFE_MS_MAX};
use crate::roster::Proposal;
use crate::wire::card::NodeCert;
use crate::wire::envelope::frame;
use crate::wire::notice::{Alive, StreamHead};
use crate::wire::roster::{Change, Cut, Link, Vote, VoteBy, VoteLine};
use crate::wire::{Kind, List, SignedBytes, Tag};
use proptest::prelude::*;
use watchfire_crypto::Signed;

/// Where the author's public stream is cut.
pub(super) type At<'a> = Option<(u64, &'a Vec<u8>)>;

pub(super) fn cut_at((sequence, frame): (u64, &Vec<u8>)) -> (u64, EnvelopeId) {
    (sequence, id_of(frame, &config_of(1).roster))
}

/// The link that expels member 0, with this cut of its public stream.
fn expulsion(cut: At<'_>) -> Link {
    let roster = config_of(1).roster;
    let cuts = cut.map(cut_at).map(|(sequence, head)| Cut {
        node: node_id(0),
        incarnation: 1,
        tag: Tag::PUBLIC,
        sequence,
        head,
    });
    let by = roster.node(&node_id(1)).unwrap();
    let proposal = Proposal {
        proposer: by.member,
        certificate: by.id,
        created_ms: WALL_MS,
        reason: "it left".to_owned(),
        changes: vec![Change::Expel {
            member: MemberId::of_root(&keys(0).root.public()),
            cuts: List::new(cuts.into_iter().collect()).unwrap(),
        }],
    };
    let successor = roster.propose(proposal).unwrap();
    let mut commits: Vec<VoteLine> = (1..members())
        .map(|number| {
            let root = keys(number).root;
            let key = root.public().to_bytes();
            let vote = successor.vote(1, VoteBy::Commit { key });
            let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &root);
            VoteLine {
                key,
                signature: signed.signature().to_bytes(),
            }
        })
        .collect();
    commits.sort_unstable();
    Link {
        roster: Bytes::new(successor.bytes().to_vec()).unwrap(),
        round: 1,
        commits: List::new(commits).unwrap(),
        consents: List::default(),
    }
}

/// The two ways in which a key of member 0 ends with a cut.
pub(super) fn end(node: &mut Node, is_expelled: bool, cut: At<'_>) {
    if is_expelled {
        let link = expulsion(cut).to_bytes();
        let (_, said) = say(node, Saying::Follow { link });
        said.unwrap();
    } else {
        let told = revocation(0, node, cut.map(cut_at));
        tell(node, 2, &told);
    }
    node.commit();
}

pub(super) fn shown(node: &Node, frames: &[&Vec<u8>]) -> Vec<bool> {
    frames.iter().map(|frame| is_shown(node, frame)).collect()
}

pub(super) fn hear(node: &mut Node, frames: &[&Vec<u8>]) {
    for frame in frames {
        node.gossip(2, frame);
        let outputs = node.commit();
        node.work(outputs);
        node.commit();
    }
}

/// Publishes what lives longer than a certificate.
pub(super) fn lasting(author: &mut Node, name: &str) -> Vec<u8> {
    frame_with(author, short_lived(name, 2 * CERTIFICATE_LIFE_MS_MAX))
}

/// The author's chain 1 to 4, and another one from 2 on.
pub(super) fn chains() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut author = Node::start(0);
    let world: Vec<_> = (0..4)
        .map(|at| lasting(&mut author, &format!("f{at}")))
        .collect();
    let mut thief = Node::start(0);
    thief.gossip(0, &world[0]);
    thief.commit();
    let mut forged = vec![world[0].clone()];
    forged.extend((1..4).map(|at| lasting(&mut thief, &format!("forged-{at}"))));
    (world, forged)
}

#[test]
fn attack_17_a_forged_chain_below_a_cut_is_not_believed_by_who_is_behind() {
    let (world, forged) = chains();
    for is_expelled in [false, true] {
        // Behind, it hears of the end first, and is then fed by the thief.
        let mut node = Node::start(1);
        end(&mut node, is_expelled, Some((3, &world[2])));
        let fed: Vec<&Vec<u8>> = forged.iter().collect();
        hear(&mut node, &fed);
        assert_eq!(shown(&node, &fed), [false; 4], "expelled: {is_expelled}");
        // Or it was fed before.
        let mut node = Node::start(1);
        hear(&mut node, &fed);
        assert_eq!(shown(&node, &fed), [true; 4]);
        end(&mut node, is_expelled, Some((3, &world[2])));
        assert_eq!(shown(&node, &fed), [false; 4], "expelled: {is_expelled}");
        // Who has the chain to the cut believes it up to there, and to nobody
        // before, since until then nobody can say which chain it is.
        let mut node = Node::start(1);
        end(&mut node, is_expelled, Some((3, &world[2])));
        let world: Vec<&Vec<u8>> = world.iter().collect();
        hear(&mut node, &world[..2]);
        assert_eq!(shown(&node, &world[..2]), [false; 2]);
        hear(&mut node, &world[2..]);
        assert_eq!(shown(&node, &world), [true, true, true, false]);
    }
}

#[test]
fn attack_17_what_a_start_finds_beside_its_store_holds_back_like_what_it_hears() {
    let (world, _) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let mut author = Node::start(0);
    let mut node = Node::start(1);
    hear(&mut node, &world);
    author.pass(60_000);
    let alive = notices({
        let mut outputs = author.later(ALIVE_SOON_MS);
        outputs.extend(author.commit());
        outputs
    });
    tell(&mut node, 0, &alive[0]);
    let (_, said) = say(
        &mut node,
        Saying::Propose {
            reason: "to be overtaken".to_owned(),
            changes: vec![Change::Expel {
                member: MemberId::of_root(&keys(3).root.public()),
                cuts: List::default(),
            }],
        },
    );
    let proposed = Slot::Proposal(said.unwrap().roster.unwrap());
    let is_kept = |node: &Node, slot: &Slot| {
        let store = node.engine.store();
        store.get(&table::notice(slot)).unwrap().is_some()
    };
    let stale = [Slot::Alive(node_id(0)), proposed];
    assert!(stale.iter().all(|slot| is_kept(&node, slot)));
    assert_eq!(shown(&node, &world), [true; 4]);
    // The file of the link was written, and then the power went.
    let mut config = config_of(1);
    config.links = vec![expulsion(Some((2, world[1])))];
    let node = node.restart_with(config);
    assert_eq!(node.engine.roster().epoch(), 1);
    assert_eq!(shown(&node, &world), [true, true, false, false]);
    assert!(!stale.iter().any(|slot| is_kept(&node, slot)));
    // A start after that has the chain in its store.
    let node = node.restart_with(config_of(1));
    assert_eq!(shown(&node, &world), [true, true, false, false]);
}

/// A certificate of member 0's node that is valid from half of the first one's
/// life on.
fn renewed() -> CertificateBytes {
    let Keys {
        root,
        signing,
        transport,
    } = keys(0);
    let not_before_ms = WALL_MS + CERTIFICATE_LIFE_MS_MAX / 2 - 1_000;
    let cert = NodeCert {
        serial: 2,
        not_before_ms,
        not_after_ms: not_before_ms + CERTIFICATE_LIFE_MS_MAX,
        ..newcomer(&keys(0), &keys(0))
    };
    CertificateBytes::sign(&cert, &root, &signing, &transport).unwrap()
}

fn renew(node: &mut Node) {
    node.feed(Input::Certificate {
        certificate: Box::new(renewed()),
    });
    node.commit();
}

#[test]
fn attack_17_a_revocation_ends_the_certificate_that_is_cited_and_no_newer_one() {
    let mut author = Node::start(0);
    let mut frames = vec![lasting(&mut author, "a"), lasting(&mut author, "b")];
    author.pass(CERTIFICATE_LIFE_MS_MAX / 2);
    renew(&mut author);
    frames.push(lasting(&mut author, "under-the-second"));
    let frames: Vec<&Vec<u8>> = frames.iter().collect();
    let told = revocation(0, &Node::start(1), Some(cut_at((1, frames[0]))));
    for comes_late in [false, true] {
        let mut node = Node::start(1);
        node.pass(CERTIFICATE_LIFE_MS_MAX / 2);
        renew(&mut node);
        if comes_late {
            tell(&mut node, 2, &told);
        }
        hear(&mut node, &frames);
        if !comes_late {
            tell(&mut node, 2, &told);
        }
        let wanted = [true, false, true];
        assert_eq!(shown(&node, &frames), wanted, "late: {comes_late}");
        // A later word of its root lifts what the first one held back.
        node.pass(60_000);
        let more = revocation(0, &node, Some(cut_at((2, frames[1]))));
        tell(&mut node, 2, &more);
        assert_eq!(shown(&node, &frames), [true; 3], "late: {comes_late}");
    }
}

/// What a key of member 0 says of where its public stream ends.
fn alive_with(node: &Node, sequence: u64, head: EnvelopeId) -> Vec<u8> {
    let roster = node.engine.roster();
    let said = Alive {
        federation: roster.federation(),
        certificate: roster.node(&node_id(0)).unwrap().id,
        epoch: roster.epoch(),
        roster: roster.id(),
        wall_ms: node.now().wall_ms,
        heads: List::new(vec![StreamHead {
            tag: Tag::PUBLIC,
            sequence,
            head,
        }])
        .unwrap(),
        groups: List::default(),
        more: List::default(),
    };
    let signed: Signed<Alive> = Signed::seal(codec::encode(&said), &keys(0).signing);
    frame(
        Kind::Alive,
        &SignedBytes::<{ crate::limits::ALIVE_BYTES_MAX }>::new(signed).unwrap(),
    )
}

#[test]
fn attack_17_after_its_end_a_key_is_vouched_for_only_along_the_chain_that_it_named() {
    let (world, _) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let (third, head) = cut_at((3, world[2]));
    for (sequence, head, last) in [
        (third, head, 3),
        // An end that nobody ever saw, and one of another chain.
        ((1 << 48) - 1, head, 1),
        (third, EnvelopeId::from_bytes([7; 32]), 1),
    ] {
        let mut node = Node::start(1);
        hear(&mut node, &world[..1]);
        let told = alive_with(&node, sequence, head);
        tell(&mut node, 0, &told);
        node.pass(CERTIFICATE_LIFE_MS_MAX);
        hear(&mut node, &world[1..2]);
        let wanted = [true, false];
        assert_eq!(shown(&node, &world[..2]), wanted, "not yet reached");
        // What was said is remembered.
        let mut node = node.restart_with(config_of(1));
        hear(&mut node, &world[2..]);
        let wanted: Vec<bool> = (1..=4).map(|at| at <= last).collect();
        assert_eq!(shown(&node, &world), wanted, "{sequence}");
    }
}

#[test]
fn attack_17_a_suspension_that_ends_releases_nothing_that_ended_otherwise() {
    let (world, _) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    for is_over in [false, true] {
        let mut node = Node::start(1);
        if is_over {
            node.pass(CERTIFICATE_LIFE_MS_MAX - 1_000_000);
        }
        let suspenders = node.engine.roster().thresholds().suspenders() as u64;
        for number in 2..2 + suspenders {
            let mut other = Node::start(number);
            other.pass(node.ms);
            let (outputs, said) = say(
                &mut other,
                Saying::Suspend {
                    member: node.engine.roster().node(&node_id(0)).unwrap().member,
                    life_ms: SUSPENSION_LIFE_MS_MAX,
                    reason: "its key may be stolen".to_owned(),
                },
            );
            said.unwrap();
            let told = notices(outputs);
            tell(&mut node, number, &told[0]);
        }
        if is_over {
            node.pass(1_000_001);
        }
        hear(&mut node, &world[..1]);
        assert!(!is_shown(&node, world[0]));
        // A restart forgets neither.
        let mut node = node.restart_with(config_of(1));
        assert!(!is_shown(&node, world[0]));
        node.later(SUSPENSION_LIFE_MS_MAX);
        node.commit();
        assert_eq!(is_shown(&node, world[0]), !is_over, "expired: {is_over}");
    }
}

/// The proof that a node makes of a fork, which holds the chain and is brought
/// another envelope.
pub(super) fn proof(chain: &[&Vec<u8>], other: &[u8]) -> Vec<u8> {
    let mut witness = Node::start(3);
    hear(&mut witness, chain);
    let mut outputs = witness.gossip(0, other);
    outputs.extend(witness.commit());
    let mut proofs = notices(outputs);
    assert_eq!(proofs.len(), 1);
    proofs.remove(0)
}

#[derive(Clone, Debug)]
enum Comes {
    Frame(usize),
    Notice(Vec<u8>),
    Expelled,
}

/// Everything that ends a key, and what it signed.
fn story(is_expelled: bool, is_revoked: bool, forks: usize) -> Vec<Comes> {
    let (world, forged) = chains();
    let chain: Vec<&Vec<u8>> = world.iter().collect();
    let mut story: Vec<Comes> = (0..world.len()).map(Comes::Frame).collect();
    for at in [3, 2].into_iter().take(forks) {
        story.push(Comes::Notice(proof(&chain, &forged[at])));
    }
    if is_revoked {
        let cut = cut_at((2, chain[1]));
        story.push(Comes::Notice(revocation(0, &Node::start(1), Some(cut))));
    }
    if is_expelled {
        story.push(Comes::Expelled);
    }
    story
}

#[test]
fn attack_17_what_is_held_back_does_not_count_for_an_expulsion() {
    let (world, forged) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    hear(&mut node, &world);
    let ends = |node: &Node| -> Vec<(u64, EnvelopeId)> {
        let member = MemberId::of_root(&keys(0).root.public());
        let ends = node.engine.ends_of_member(&member);
        ends.iter().map(|cut| (cut.sequence, cut.head)).collect()
    };
    assert_eq!(ends(&node), [cut_at((4, world[3]))]);
    tell(&mut node, 2, &proof(&world, &forged[2]));
    assert_eq!(ends(&node), [cut_at((2, world[1]))]);
    // What a person accepted counts.
    let id = id_of(world[2], &node.engine.roster());
    assert_eq!(accept(&mut node, WhatToAccept::Envelope(id)), one());
    assert_eq!(ends(&node), [cut_at((3, world[2]))]);
}

fn told(order: &[Comes], restarts: bool) -> (Vec<bool>, usize) {
    let (world, _) = chains();
    let chain: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    for comes in order {
        match comes {
            Comes::Frame(at) => hear(&mut node, &chain[*at..=*at]),
            Comes::Notice(bytes) => {
                // A second one for a slot waits for a minute.
                node.pass(60_001);
                tell(&mut node, 2, bytes);
            }
            Comes::Expelled => end(&mut node, true, Some((3, chain[2]))),
        }
        if restarts {
            node = node.restart_with(config_of(1));
        }
    }
    let held_back = node.engine.store().scan(b"Q", b"Q", 100).unwrap().len();
    (shown(&node, &chain), held_back)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn attack_13_17_what_is_held_back_depends_on_no_order(
        (is_expelled, is_revoked, forks) in (any::<bool>(), any::<bool>(), 0..3_usize),
        shuffle in prop::collection::vec(any::<prop::sample::Index>(), 8),
        restarts in any::<bool>(),
    ) {
        let mut order = story(is_expelled, is_revoked, forks);
        for at in (1..order.len()).rev() {
            let other = shuffle[at % shuffle.len()].index(at + 1);
            order.swap(at, other);
        }
        // What is expelled can be revoked no more: a quorum has decided.
        let last = match (is_expelled, is_revoked, forks) {
            (true, _, _) => 3,
            (false, true, _) => 2,
            (false, false, forks) => [4, 3, 2][forks],
        };
        let wanted: Vec<bool> = (1..=4).map(|at| at <= last).collect();
        prop_assert_eq!(told(&order, restarts), (wanted, 4 - last), "{:?}", order);
    }
}

#[test]
fn attack_13_every_other_stream_of_a_forked_life_is_held_back_whole() {
    let (world, _) = chains();
    let chain: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    hear(&mut node, &chain[..1]);
    let life = (node_id(0), 1);
    node.engine.membership = {
        let mut membership = node.engine.membership.clone();
        membership.pretend_fork(life, (Tag::from_bytes([0; 16]), 9));
        membership
    };
    node.engine.doubt(node_id(0));
    node.feed(Input::Wake);
    node.commit();
    hear(&mut node, &chain[1..]);
    assert_eq!(shown(&node, &chain), [false; 4]);
}

#[test]
fn what_lost_its_place_to_another_chain_is_held_back() {
    let (world, forged) = chains();
    let mut node = Node::start(1);
    hear(&mut node, &[&world[0], &forged[2]]);
    assert!(is_shown(&node, &forged[2]), "beyond a gap");
    hear(&mut node, &[&world[1]]);
    assert!(!node.holds(&forged[2]));
    assert_eq!(
        shown(&node, &[&world[0], &world[1], &forged[2]]),
        [true, true, false]
    );
    // It stands in no index, and a person may accept it all the same.
    let id = id_of(&forged[2], &node.engine.roster());
    assert_eq!(accept(&mut node, WhatToAccept::Envelope(id)), one());
    assert!(is_shown(&node, &forged[2]));
}

#[test]
fn a_lesser_fork_is_told_also_where_no_more_evidence_is_kept() {
    let (world, forged) = chains();
    let world: Vec<&Vec<u8>> = world.iter().collect();
    let mut node = Node::start(1);
    hear(&mut node, &world);
    let told = |node: &mut Node, frame: &Vec<u8>| {
        let mut outputs = node.gossip(0, frame);
        outputs.extend(node.commit());
        notices(outputs).len()
    };
    assert_eq!(told(&mut node, &forged[3]), 1);
    let stream = public_of(0, 1);
    let evidence = node.engine.evidence.get_mut(&stream).unwrap();
    evidence.kept = crate::limits::EVIDENCE_PER_STREAM_MAX;
    // A minute later at the earliest: an author must not have everybody speak of
    // every place that it forks at.
    assert_eq!(told(&mut node, &forged[2]), 0);
    assert_eq!(told(&mut node, &forged[1]), 0);
    let mut outputs = node.later(60_001);
    outputs.extend(node.commit());
    let proofs = notices(outputs);
    assert_eq!(proofs.iter().filter(|told| told[1] == 21).count(), 1);
    assert_eq!(shown(&node, &world), [true, false, false, false]);
    // What is above it is no news.
    node.pass(60_001);
    assert_eq!(told(&mut node, &forged[2]), 0);
}
