//! Pages of notices: what keeps nothing behind it out, what is asked for again, and
//! what a peer that never comes to an end costs.

use super::room::*;
use super::*;
use crate::engine::inquiry::{AlivesTurn, Inquiry, PageOutcome, Passing};
use crate::gate::NoticeRefusal;
use crate::ids::RosterId;
use crate::limits::{
    ALIVE_EVERY_MS, ALIVE_MISSED_MS, ALIVE_SOON_MS, ALIVES_PAUSE_FIRST_MS, NOTICE_PAGES_MAX,
    NOTICES_AGAIN_FIRST_MS, NOTICES_EVERY_MS,
};
use crate::membership::{NotNews, NoticeScope};
use crate::wire::envelope::frame;
use crate::wire::exchange::{Mark, NoticeScopeNumber, StoreId};
use crate::wire::notice::Alive;
use crate::wire::roster::{Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{Kind, List, SignedBytes};
use watchfire_crypto::Signed;

const fn mark(change: u64) -> Mark {
    Mark {
        store: StoreId([5; 16]),
        change,
    }
}

fn page(change: u64, frames: &[Vec<u8>], more: bool) -> Answer {
    let frames = frames
        .iter()
        .map(|frame| Bytes::new(frame.clone()).unwrap());
    Answer::Notices {
        at: mark(change),
        frames: List::new(frames.collect()).unwrap(),
        more,
    }
}

/// What a peer is asked about notices.
fn questions(outputs: &[Output], of: u64) -> Vec<(RequestId, NoticeScope, Option<Mark>)> {
    let lasting = NoticeScopeNumber::of(NoticeScope::Lasting);
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Request {
                to,
                id,
                request: Request::Notices { scope, since, .. },
            } if *to == node_id(of) => {
                let scope = if *scope == lasting {
                    NoticeScope::Lasting
                } else {
                    NoticeScope::Alives
                };
                Some((*id, scope, *since))
            }
            _ => None,
        })
        .collect()
}

fn lasting(outputs: &[Output], of: u64) -> Option<(RequestId, Option<Mark>)> {
    questions(outputs, of)
        .into_iter()
        .find(|(_, scope, _)| *scope == NoticeScope::Lasting)
        .map(|(id, _, since)| (id, since))
}

/// Answers a question, and does the work that follows.
fn answer_with(node: &mut Node, id: RequestId, answer: Answer) -> Vec<Output> {
    let outputs = node.answered(id, Some(answer));
    let mut outputs = node.work(outputs);
    outputs.extend(node.commit());
    outputs
}

/// A node that has met peer 0 and asks it for lasting notices.
fn reading() -> (Node, RequestId) {
    let mut node = Node::start(1);
    let outputs = node.meet(0);
    node.commit();
    let (id, since) = lasting(&outputs, 0).unwrap();
    assert_eq!(since, None);
    (node, id)
}

/// The question for what lasts in the next minute; signs of life may come first.
fn next_minute(node: &mut Node) -> (RequestId, Option<Mark>) {
    let mut outputs = node.later(NOTICES_EVERY_MS);
    while lasting(&outputs, 0).is_none() {
        let (id, ..) = questions(&outputs, 0).remove(0);
        outputs = answer_with(node, id, page(0, &[], false));
    }
    lasting(&outputs, 0).unwrap()
}

/// A certificate whose root belongs to nobody here.
fn strange(number: u64) -> Vec<u8> {
    let stranger = keys(1_000 + number);
    frame(Kind::NodeCert, &newcomer_certificate(&stranger, &stranger))
}

/// A certificate of a second node of a member.
fn second_node(member: u64, number: u64) -> (Keys, Vec<u8>) {
    let new = keys(2_000 + number);
    let certificate = newcomer_certificate(&keys(member), &new);
    (new, frame(Kind::NodeCert, &certificate))
}

fn knows(node: &Node, keys: &Keys) -> bool {
    let id = NodeId::of_transport(keys.transport.public().as_bytes());
    node.engine.roster().node(&id).is_some()
}

#[test]
fn a_notice_that_is_never_taken_keeps_nothing_behind_it_out() {
    let (mut node, id) = reading();
    let outputs = answer_with(&mut node, id, page(1, &[strange(1)], true));
    let (id, since) = lasting(&outputs, 0).expect("the next page is asked for");
    assert_eq!(since, Some(mark(1)));
    let (second, frame) = second_node(2, 1);
    answer_with(&mut node, id, page(2, &[frame], false));
    assert!(knows(&node, &second));
}

#[test]
fn what_was_refused_is_read_again_when_something_came_and_then_not_before_more_is_known() {
    let (mut node, id) = reading();
    let (_, frame) = second_node(2, 1);
    let outputs = answer_with(&mut node, id, page(2, &[strange(1), frame], false));
    // What came may be what the first of them waited for: from the beginning, once.
    let (id, since) = lasting(&outputs, 0).unwrap();
    assert_eq!(since, None);
    let outputs = answer_with(&mut node, id, page(2, &[strange(1)], false));
    assert_eq!(questions(&outputs, 0), []);
    let (id, since) = next_minute(&mut node);
    assert_eq!(since, Some(mark(2)));
    answer_with(&mut node, id, page(2, &[], false));
    // Another certificate, from wherever.
    let (new, frame) = second_node(3, 2);
    let roster = node.engine.roster();
    let outputs = node.feed(Input::gossip(node_id(2), GossipToken(1), &frame, &roster));
    assert_eq!(verdict(&outputs), Verdict::Accept);
    assert!(knows(&node, &new));
    assert_eq!(next_minute(&mut node).1, None);
}

#[test]
fn a_mark_is_kept_over_a_link_that_ends_with_what_was_refused_before_it() {
    let (mut node, id) = reading();
    answer_with(&mut node, id, page(2, &[strange(1)], false));
    let again = |node: &mut Node| {
        node.feed(Input::PeerDisconnected { node: node_id(0) });
        let outputs = node.meet(0);
        lasting(&outputs, 0).unwrap().1
    };
    assert_eq!(again(&mut node), Some(mark(2)));
    node.feed(Input::PeerDisconnected { node: node_id(0) });
    let (_, frame) = second_node(3, 2);
    let roster = node.engine.roster();
    node.feed(Input::gossip(node_id(2), GossipToken(1), &frame, &roster));
    assert_eq!(again(&mut node), None);
}

#[test]
fn what_only_time_lets_pass_is_read_again_at_growing_intervals() {
    let (mut node, id) = reading();
    let mut starts = Vec::new();
    let mut passed_ms = 0;
    answer_with(&mut node, id, page(2, &[strange(1)], false));
    while passed_ms < 16 * NOTICES_AGAIN_FIRST_MS {
        passed_ms += NOTICES_EVERY_MS;
        let outputs = node.later(NOTICES_EVERY_MS);
        let mut asked = questions(&outputs, 0);
        while let Some((id, scope, since)) = asked.pop() {
            let is_start = scope == NoticeScope::Lasting && since.is_none();
            if is_start {
                starts.push(passed_ms / NOTICES_EVERY_MS);
            }
            let refused = [strange(1)];
            let frames = if is_start { &refused[..] } else { &[] };
            let outputs = answer_with(&mut node, id, page(2, frames, false));
            asked.extend(questions(&outputs, 0));
        }
    }
    let minutes = NOTICES_AGAIN_FIRST_MS / NOTICES_EVERY_MS;
    assert_eq!(starts.len(), 4, "{starts:?}");
    assert!(
        starts[0] >= minutes && starts[1] >= 3 * minutes,
        "{starts:?}"
    );
    assert!(starts[3] >= 15 * minutes, "{starts:?}");
}

#[test]
fn a_list_that_does_not_go_on_ends_the_link() {
    for (first, second) in [(0, None), (3, Some(3)), (3, Some(2))] {
        let (mut node, id) = reading();
        let mut outputs = answer_with(&mut node, id, page(first, &[strange(1)], true));
        if let Some(second) = second {
            let (id, since) = lasting(&outputs, 0).unwrap();
            assert_eq!(since, Some(mark(3)));
            outputs = answer_with(&mut node, id, page(second, &[strange(2)], true));
        }
        let is_cut =
            |output: &Output| matches!(output, Output::Reconnect { node } if *node == node_id(0));
        assert!(outputs.iter().any(is_cut), "{first} {second:?}");
        assert_eq!(questions(&outputs, 0), [], "{first} {second:?}");
    }
}

#[test]
fn more_behind_a_page_of_nothing_is_not_asked_for_at_once() {
    let (mut node, id) = reading();
    let outputs = answer_with(&mut node, id, page(7, &[], true));
    assert_eq!(questions(&outputs, 0), []);
    assert_eq!(next_minute(&mut node).1, Some(mark(7)));
}

#[test]
fn a_list_that_never_ends_is_read_a_bounded_number_of_pages_a_minute() {
    let (mut node, mut id) = reading();
    let mut change = 0;
    for minute in 0..3 {
        let mut pages = 0;
        loop {
            change += 1;
            pages += 1;
            let outputs = answer_with(&mut node, id, page(change, &[strange(change)], true));
            match lasting(&outputs, 0) {
                Some((next, _)) => id = next,
                None => break,
            }
            assert!(pages < 1_000, "it is asked for without an end");
        }
        assert_eq!(pages, NOTICE_PAGES_MAX, "{minute}");
        id = next_minute(&mut node).0;
    }
}

#[test]
fn whoever_lists_what_is_held_pays_for_it() {
    let (mut node, id) = reading();
    let (_, frame) = second_node(2, 1);
    let before = *node.engine.peers.quota(&node_id(0)).unwrap();
    let outputs = answer_with(&mut node, id, page(1, std::slice::from_ref(&frame), true));
    let taken = *node.engine.peers.quota(&node_id(0)).unwrap();
    assert_eq!(format!("{before:?}"), format!("{taken:?}"));
    let (id, _) = lasting(&outputs, 0).unwrap();
    answer_with(&mut node, id, page(2, &[frame], false));
    let repeated = *node.engine.peers.quota(&node_id(0)).unwrap();
    assert_ne!(format!("{taken:?}"), format!("{repeated:?}"));
}

#[test]
fn a_reading_that_was_begun_anew_while_an_answer_was_awaited_begins_anew() {
    let now = Instant::ZERO;
    let mut inquiry = Inquiry::new(now, Default::default());
    let refused = PageOutcome {
        has_news: false,
        refused: Some(Passing::Knowledge),
    };
    assert_eq!(inquiry.ask(NoticeScope::Lasting, now), None);
    inquiry.read(now, (mark(1), false), refused);
    assert_eq!(inquiry.ask(NoticeScope::Lasting, now), Some(mark(1)));
    assert!(inquiry.read_refused_again(Passing::Knowledge));
    inquiry.read(now, (mark(2), false), Default::default());
    assert_eq!(inquiry.ask(NoticeScope::Lasting, now), None);
}

/// What a node says of itself after a while.
pub(super) fn alive_after(node: &mut Node, ms: u64) -> Vec<u8> {
    let mut outputs = node.later(ms);
    outputs.extend(node.commit());
    outputs
        .into_iter()
        .find_map(|output| match output {
            Output::Gossip { frame } => Some(frame.into_inner().bytes),
            _ => None,
        })
        .unwrap()
}

/// A sign of life of a member, so long after its node's start.
fn alive_of(number: u64, ms: u64) -> Vec<u8> {
    alive_after(&mut Node::start(number), ms)
}

#[test]
fn signs_of_life_are_asked_of_one_peer_at_a_time_in_a_circle_and_with_pauses() {
    let mut node = Node::start(1);
    for of in [0, 2, 3] {
        let outputs = node.meet(of);
        let (id, _) = lasting(&outputs, of).unwrap();
        let outputs = answer_with(&mut node, id, page(0, &[], false));
        assert_eq!(questions(&outputs, of), [], "what lasts comes first");
    }
    let mut circle = [0, 2, 3];
    circle.sort_by_key(|number| node_id(*number));
    let mut asked_ms = Vec::new();
    let mut passed_ms = 0;
    while passed_ms < 5 * ALIVE_MISSED_MS {
        node.pass(NOTICES_EVERY_MS);
        passed_ms += NOTICES_EVERY_MS;
        let mut outputs = node.feed(Input::Wake);
        let mut alives = 0;
        while !outputs.is_empty() {
            let mut next = Vec::new();
            for of in circle {
                for (id, scope, since) in questions(&outputs, of) {
                    let mut frames = Vec::new();
                    if scope == NoticeScope::Alives {
                        alives += 1;
                        asked_ms.push((of, passed_ms));
                        // The first that is asked brings one of three.
                        if asked_ms.len() == 1 {
                            frames.push(alive_of(circle[2], ALIVE_SOON_MS));
                        }
                    }
                    let change = since.map_or(0, |since| since.change);
                    let answer = page(change + 1, &frames, false);
                    next.extend(answer_with(&mut node, id, answer));
                }
            }
            outputs = next;
        }
        assert!(alives <= 1, "one at a time");
    }
    let of: Vec<u64> = asked_ms.iter().map(|(of, _)| *of).collect();
    assert!(
        of.starts_with(&[circle[0], circle[1], circle[2], circle[0]]),
        "{of:?}"
    );
    let pauses: Vec<u64> = asked_ms.windows(2).map(|two| two[1].1 - two[0].1).collect();
    // What it brought is enough for a while; in vain, it is tried elsewhere sooner,
    // and then ever later.
    assert!(pauses[0] >= ALIVE_EVERY_MS, "{pauses:?}");
    assert!(
        pauses[1] >= ALIVES_PAUSE_FIRST_MS && pauses[1] < ALIVE_EVERY_MS,
        "{pauses:?}"
    );
    assert!(pauses[2] >= 2 * ALIVES_PAUSE_FIRST_MS, "{pauses:?}");
    let slack_ms = 2 * NOTICES_EVERY_MS;
    assert!(
        pauses.iter().all(|ms| *ms <= ALIVE_MISSED_MS + slack_ms),
        "{pauses:?}"
    );
}

#[test]
fn signs_of_life_on_several_pages_are_read_to_the_end() {
    let (mut node, id) = reading();
    answer_with(&mut node, id, page(0, &[], false));
    let mut outputs = node.later(NOTICES_EVERY_MS);
    let all = (NOTICE_PAGES_MAX as u64) + 3;
    for at in 1..=all {
        let (id, scope, since) = questions(&outputs, 0).remove(0);
        assert_eq!(scope, NoticeScope::Alives, "page {at}");
        assert_eq!(since, (at > 1).then(|| mark(at - 1)));
        outputs = answer_with(&mut node, id, page(at, &[strange(at)], at < all));
        if questions(&outputs, 0).is_empty() {
            assert_eq!(at, NOTICE_PAGES_MAX as u64, "a pause");
            outputs = node.later(NOTICES_EVERY_MS);
        }
    }
    // And then what lasts.
    assert!(lasting(&outputs, 0).is_some());
}

#[test]
fn what_was_said_to_nobody_is_said_to_the_first_who_comes() {
    let mut node = Node::start(1);
    let is_said = |mut outputs: Vec<Output>, node: &mut Node| {
        outputs.extend(node.commit());
        let is_gossip = |output: &Output| matches!(output, Output::Gossip { .. });
        outputs.iter().any(is_gossip)
    };
    let outputs = node.later(ALIVE_SOON_MS);
    assert!(is_said(outputs, &mut node));
    node.pass(2 * NOTICES_EVERY_MS);
    let outputs = node.meet(0);
    assert!(!is_said(outputs, &mut node));
    let outputs = node.later(ALIVE_SOON_MS);
    assert!(is_said(outputs, &mut node));
    // Whoever comes then has it from those who are there.
    let outputs = node.meet(2);
    assert!(!is_said(outputs, &mut node));
    let outputs = node.later(ALIVE_SOON_MS);
    assert!(!is_said(outputs, &mut node));
}

#[test]
fn a_peer_that_leaves_while_it_is_asked_gives_its_turn_away() {
    let mut turn = AlivesTurn::default();
    turn.begin(node_id(0), 3);
    assert!(!turn.is_free(Instant::ZERO));
    turn.give_up(&node_id(2));
    assert!(!turn.is_free(Instant::ZERO));
    turn.give_up(&node_id(0));
    assert!(turn.is_free(Instant::ZERO));
    // And its late answer ends nobody else's.
    turn.begin(node_id(2), 3);
    turn.end(&node_id(0), 0, Instant::ZERO);
    assert!(!turn.is_free(Instant::ZERO));
}

#[test]
fn a_commit_that_is_held_is_not_checked_again_whatever_it_carries() {
    let mut node = Node::start(1);
    node.meet(0);
    let federation = node.engine.roster().federation();
    let root = keys(2).root;
    let vote = Vote {
        federation,
        epoch: 1,
        roster: RosterId::from_bytes([3; 32]),
        round: 1,
        by: VoteBy::Commit {
            key: root.public().to_bytes(),
        },
    };
    let commit = |junk: u8| {
        let mut prepares: Vec<VoteLine> = (0..3)
            .map(|member| {
                let keys = keys(member);
                let roster = config_of(member).roster;
                let node = NodeId::of_transport(keys.transport.public().as_bytes());
                let certificate = roster.node(&node).unwrap().id;
                let said = Vote {
                    by: VoteBy::Prepare { certificate },
                    ..vote
                };
                let signed: Signed<Vote> = Signed::seal(codec::encode(&said), &keys.signing);
                let mut signature = signed.signature().to_bytes();
                signature[0] ^= junk;
                VoteLine {
                    key: *certificate.as_bytes(),
                    signature,
                }
            })
            .collect();
        prepares.sort_unstable();
        let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &root);
        VoteFrame {
            vote: SignedBytes::new(signed).unwrap(),
            prepares: List::new(prepares).unwrap(),
        }
        .to_frame()
    };
    let gossip = |node: &mut Node, frame: &[u8]| {
        let roster = node.engine.roster();
        let input = Input::gossip(node_id(0), GossipToken(1), frame, &roster);
        let refused = match &input {
            Input::GossipNotice { checked, .. } => checked.as_ref().err().cloned(),
            _ => panic!("it is a notice"),
        };
        (refused, verdict(&node.feed(input)))
    };
    // Not held: its prepares are looked at.
    let (refused, said) = gossip(&mut node, &commit(1));
    assert_eq!(refused, Some(NoticeRefusal::Signature));
    assert_eq!(said, Verdict::Reject);
    assert_eq!(gossip(&mut node, &commit(0)), (None, Verdict::Accept));
    // Held: nothing of it is.
    for junk in 0..3 {
        let (refused, said) = gossip(&mut node, &commit(junk));
        assert_eq!(
            (refused, said),
            (Some(NoticeRefusal::Held), Verdict::Ignore)
        );
    }
    node.commit();
    let mut node = node.restart(1);
    let (refused, _) = gossip(&mut node, &commit(1));
    assert_eq!(refused, Some(NoticeRefusal::Held));
    // Nor where a peer lists it.
    let outputs = node.meet(0);
    let (id, _) = lasting(&outputs, 0).unwrap();
    let outputs = node.answered(id, Some(page(1, &[commit(2)], false)));
    let is_work = |output: &Output| matches!(output, Output::Work(Work::Notices { .. }));
    assert!(!outputs.iter().any(is_work));
}

#[test]
fn what_an_alive_says_is_not_taken_as_news_by_who_lists_it_again() {
    let (mut node, id) = reading();
    let said = alive_of(2, ALIVE_SOON_MS);
    let outputs = answer_with(&mut node, id, page(1, &[said.clone(), said], false));
    // The second copy is nobody's news, and nobody is told.
    let told = not_taken(&outputs);
    assert_eq!(told, None, "{:?}", NotNews::Held);
    let alives = node.engine.membership().alives();
    let of: Option<&Alive> = alives.of(&node_id(2));
    assert!(of.is_some());
}
