//! Local distrust: what it ends here, and what it leaves as it was. And traces,
//! which tell why something of a distrusted member is not here.

use super::room::*;
use super::*;
use crate::engine::{Arrived, DistrustRefusal, Held};
use crate::ids::MemberId;
use crate::limits::{ALIVE_EVERY_MS, REDO_LAST_MS};
use crate::policy::{Action, DenyRule, Reader, Subject, decide};
use crate::query::{Asker, Query};

fn member(number: u64) -> MemberId {
    MemberId::of_root(&keys(number).root.public())
}

fn distrust(
    node: &mut Node,
    number: u64,
    reason: Option<&str>,
) -> (Vec<Output>, Result<(), DistrustRefusal>) {
    let mut outputs = node.feed(Input::Distrust {
        client: ClientToken(3),
        member: member(number),
        reason: reason.map(str::to_owned),
    });
    outputs.extend(node.commit());
    let outcome = outputs.iter().find_map(|output| match output {
        Output::Distrust { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    (outputs, outcome.unwrap())
}

fn is_admission(output: &Output) -> bool {
    matches!(output, Output::Admission)
}

/// What the policy says of a frame that a person of this node reads.
fn says(node: &Node, frame: &[u8], action: Action) -> Option<Decision> {
    let roster = node.engine.roster();
    let bundle = check(frame, &roster).unwrap().value().bundle_id().unwrap();
    let asker = Asker {
        reader: Reader::LocalPerson,
        roster: &roster,
        wall_ms: node.now().wall_ms,
    };
    let query = Query::new(node.engine.store(), asker);
    let record = query.bundle(&bundle).unwrap()?;
    let standing = query.standing_of(record.value()).unwrap();
    let subject = Subject::Reader(Reader::LocalPerson);
    Some(decide(Marking::Clear, action, subject, standing))
}

use crate::policy::Decision;

#[test]
fn a_distrusted_member_is_cut_off_at_once_and_asks_in_vain() {
    let mut node = Node::start(1);
    node.meet(0);
    node.meet(2);
    node.commit();
    let (outputs, outcome) = distrust(&mut node, 0, Some("its words are not its own"));
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        outputs.iter().filter(|output| is_admission(output)).count(),
        1
    );
    assert_eq!(node.engine.status().peers, [node_id(2)]);
    // Until its link has ended, and should it come again.
    let refused = Some(unavailable(Unavailable::Refused));
    let hello = node.hello();
    for request in [hello, frontier(), range_of(public_of(1, 1))] {
        assert_eq!(answer(&node.request(0, request)), refused);
    }
    let again = node.feed(Input::PeerConnected { node: node_id(0) });
    assert!(asked(&again, 0).is_empty());
    let others = Node::start(2).frame_of("others", 10);
    assert_eq!(verdict(&node.gossip(0, &others)), Verdict::Ignore);
    assert!(!node.holds(&others), "it comes through others");
    assert_eq!(verdict(&node.gossip(2, &others)), Verdict::Accept);
    // The transport tells of its end when all is over.
    node.feed(Input::PeerDisconnected { node: node_id(0) });
    assert_eq!(node.engine.status().peers, [node_id(2)]);
}

#[test]
fn what_is_held_stays_and_nothing_new_is_taken_by_any_way() {
    let mut author = Node::start(0);
    let before = author.frame_of("before", 10);
    let mut node = Node::start(1);
    node.meet(2);
    let outputs = node.gossip(2, &before);
    node.work(outputs);
    node.commit();
    let shown = |node: &Node, frame: &[u8], action| says(node, frame, action);
    assert!(shown(&node, &before, Action::Export).unwrap().is_allowed());
    distrust(&mut node, 0, Some("a reason")).1.unwrap();
    assert!(shown(&node, &before, Action::Show).unwrap().is_allowed());
    assert_eq!(
        shown(&node, &before, Action::Export),
        Some(Decision::Deny(DenyRule::AuthorDistrusted))
    );
    // Others still get it here: they judge its author by themselves.
    let range = node.serves(2, range_of(public_of(0, 1)));
    assert!(matches!(range, Some(Answer::Range { .. })), "{range:?}");

    let after = author.frame_of("after", 10);
    let mut outputs = node.gossip(2, &after);
    outputs.extend(node.commit());
    assert_eq!(verdict(&outputs), Verdict::Ignore);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Distrusted));
    assert_eq!(reconnects(&outputs), 0);
    let item = RangeItem::Frame(Bytes::new(after.clone()).unwrap());
    let mut outputs = node.brought(2, vec![item]);
    outputs.extend(node.commit());
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Distrusted));
    assert!(node.holds(&before) && !node.holds(&after));
    // The other author's are as they were.
    let other = Node::start(3).frame_of("other", 10);
    assert_eq!(verdict(&node.gossip(2, &other)), Verdict::Accept);

    let id = *id_of(&after, &node.engine.roster()).as_bytes();
    let traced = node.engine.trace(id).unwrap().unwrap();
    let route = traced.route.unwrap();
    assert_eq!(
        (traced.held, traced.author, route.first),
        (Held::Nothing, member(0), None)
    );
    assert_eq!(route.turned.unwrap().why, NotTaken::Distrusted);
}

#[test]
fn who_passes_it_on_in_good_faith_pays_only_beyond_the_authors_rate() {
    let mut author = Node::start(0);
    let frames = ["a", "b"].map(|name| author.frame_of(name, 10));
    let mut node = Node::start(1);
    node.meet(2);
    distrust(&mut node, 0, Some("a reason")).1.unwrap();
    let outputs = node.gossip(2, &frames[0]);
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Distrusted));
    node.exhaust(0, Way::Gossip);
    let outputs = node.gossip(2, &frames[1]);
    assert_eq!(
        not_taken(&outputs),
        Some(&NotTaken::Quota { whose: "author" })
    );
    assert!(!NotTaken::Distrusted.is_charged(Way::Gossip));
    assert!(!NotTaken::Distrusted.is_charged(Way::Asked));
}

#[test]
fn not_even_what_remains_of_an_expired_one_is_taken() {
    let mut author = Node::start(0);
    frame_with(&mut author, short_lived("gone", HOUR_MS));
    author.meet(2);
    author.commit();
    author.pass(3 * HOUR_MS);
    let Some(Answer::Range { items }) = author.serves(2, range_of(public_of(0, 1))) else {
        panic!("no range");
    };
    let items = items.into_vec();
    assert!(matches!(items.as_slice(), [RangeItem::Remains(_)]));
    let mut node = Node::start(1);
    node.pass(3 * HOUR_MS);
    node.meet(2);
    distrust(&mut node, 0, Some("a reason")).1.unwrap();
    let mut outputs = node.brought(2, items.clone());
    outputs.extend(node.commit());
    assert_eq!(not_taken(&outputs), Some(&NotTaken::Distrusted));
    assert_eq!(node.engine.status().envelopes, 0);
    distrust(&mut node, 0, None).1.unwrap();
    node.brought(2, items);
    assert_eq!(node.engine.status().envelopes, 1);
}

/// A third member offers what was missed. It is not asked for; when the distrust
/// ends it is, although the mark moved over it, and also after a restart.
#[test]
fn the_end_of_distrust_catches_up_what_was_missed() {
    for restarts in [false, true] {
        let mut author = Node::start(0);
        let frames = ["a", "b"].map(|name| author.frame_of(name, 10));
        let mut holder = Node::start(2);
        holder.gossip(0, &frames[0]);
        holder.gossip(0, &frames[1]);
        holder.commit();
        holder.meet(1);
        holder.commit();
        let mut node = Node::start(1);
        distrust(&mut node, 0, Some("a reason")).1.unwrap();
        let met = node.meet(2);
        let carried = node.carry(1, met, &mut [(2, &mut holder)]);
        assert_eq!(carried.ranges(), []);
        node.commit();
        let mark = table::mark(&node_id(2));
        assert!(node.engine.staged.get(&mark).unwrap().is_some());
        if restarts {
            node = node.restart(1);
            assert!(node.engine.distrusts(&member(0)));
            let distrusted = &node.engine.distrusted()[&member(0)];
            assert_eq!(distrusted.reason.as_str(), "a reason");
        }
        let (outputs, outcome) = distrust(&mut node, 0, None);
        assert_eq!(outcome, Ok(()));
        assert!(outputs.iter().any(is_admission));
        assert!(node.engine.staged.get(&mark).unwrap().is_none());
        let again = if restarts {
            node.meet(2)
        } else {
            node.later(REDO_LAST_MS)
        };
        let carried = node.carry(1, again, &mut [(2, &mut holder)]);
        assert_eq!(carried.ranges(), [(2, 1, 2)], "restarts: {restarts}");
        assert!(frames.iter().all(|frame| node.holds(frame)));
        node.commit();
        assert!(node.restart(1).engine.distrusted().is_empty());
    }
}

#[test]
fn what_was_being_fetched_is_let_go_of() {
    // Of the author itself, and of a third member who holds it.
    for number in [0, 2] {
        let (mut holder, frames) = author_of(3);
        if number == 2 {
            holder = Node::start(2);
            for frame in &frames {
                holder.gossip(0, frame);
            }
            holder.meet(1);
            holder.commit();
        }
        let mut node = Node::start(1);
        let probe = node.meet(number);
        let (id, request) = asked(&probe, number).remove(0);
        let page = holder.serves(1, request);
        let outputs = node.answered(id, page);
        assert_eq!(asked(&outputs, number).len(), 1, "a range");
        assert_eq!(node.engine.status().catch_up.streams, 1);
        distrust(&mut node, 0, Some("a reason")).1.unwrap();
        assert_eq!(node.engine.status().catch_up.streams, 0, "of {number}");
        assert!(node.engine.status().behind.is_empty());
    }
}

/// The state of the federation is the same to everybody: signs of life and all
/// other notices of a distrusted member count as they did.
#[test]
fn the_notices_of_a_distrusted_member_count() {
    let mut other = Node::start(0);
    let said = other
        .later(ALIVE_EVERY_MS)
        .into_iter()
        .chain(other.commit());
    let alive = said.into_iter().find_map(|output| match output {
        Output::Gossip { frame } => Some(frame.into_inner().bytes),
        _ => None,
    });
    let alive = alive.filter(|bytes| crate::gate::is_notice(bytes)).unwrap();
    let mut node = Node::start(1);
    node.meet(2);
    distrust(&mut node, 0, Some("a reason")).1.unwrap();
    node.pass(ALIVE_EVERY_MS);
    let roster = node.engine.roster();
    // Not from its own link, which is about to end.
    for (from, verdict_of, is_heard) in [(0, Verdict::Ignore, false), (2, Verdict::Accept, true)] {
        let input = Input::gossip(node_id(from), GossipToken(5), &alive, &roster);
        assert_eq!(verdict(&node.feed(input)), verdict_of);
        let alives = node.engine.membership().alives();
        assert_eq!(alives.of(&node_id(0)).is_some(), is_heard);
    }
}

#[test]
fn what_cannot_be_distrusted_is_refused_in_words() {
    let mut node = Node::start(1);
    let mut refused = |number, reason| distrust(&mut node, number, reason).1.unwrap_err();
    assert_eq!(refused(1, Some("me")), DistrustRefusal::OwnMember);
    assert_eq!(refused(77, Some("who")), DistrustRefusal::NotAMember);
    assert_eq!(refused(0, Some("")), DistrustRefusal::Reason);
    assert_eq!(refused(0, Some("a\u{1b}b")), DistrustRefusal::Reason);
    let long = "x".repeat(257);
    assert_eq!(refused(0, Some(&long)), DistrustRefusal::Reason);
    assert_eq!(refused(0, None), DistrustRefusal::NotDistrusted);
    assert!(node.engine.distrusted().is_empty());
    // Another reason is no new beginning.
    distrust(&mut node, 0, Some("first")).1.unwrap();
    node.pass(5_000);
    distrust(&mut node, 0, Some("second")).1.unwrap();
    let held = &node.engine.distrusted()[&member(0)];
    assert_eq!((held.since_ms, held.reason.as_str()), (WALL_MS, "second"));
}

#[test]
fn a_trace_tells_who_brought_listed_and_asked_and_forgets_with_the_process() {
    let mut author = Node::start(0);
    let frame = author.frame_of("a", 10);
    let mut node = Node::start(1);
    for peer in [0, 2, 3] {
        node.meet(peer);
    }
    node.commit();
    node.gossip(2, &frame);
    node.gossip(3, &frame);
    node.commit();
    node.serves(3, range_of(public_of(0, 1)));
    let envelope = id_of(&frame, &node.engine.roster());
    node.serves(3, Request::Chunk { envelope, index: 0 });
    let id = *envelope.as_bytes();
    let traced = node.engine.trace(id).unwrap().unwrap();
    assert_eq!((traced.held, traced.sequence), (Held::Whole, 1));
    assert_eq!(traced.received_ms, Some(WALL_MS));
    let route = traced.route.clone().unwrap();
    let first = route.first.unwrap();
    assert_eq!((first.from, first.way), (node_id(2), Arrived::Gossip));
    let peers = |seen: &[Seen]| -> Vec<NodeId> { seen.iter().map(|seen| seen.peer).collect() };
    assert_eq!(peers(&route.again), [node_id(3)]);
    assert_eq!(peers(&route.asked), [node_id(3)]);
    assert_eq!(route.asked[0].times, 2, "for a range and for a chunk");
    // By the bundle's id it is the same.
    let bundle = *traced.bundle.unwrap().as_bytes();
    assert_eq!(node.engine.trace(bundle).unwrap(), Some(traced));
    assert_eq!(node.engine.trace([7; 32]).unwrap(), None);
    let again = node.restart(1).engine.trace(id).unwrap().unwrap();
    assert_eq!((again.received_ms, again.route), (Some(WALL_MS), None));
    // Its author knows that it made it.
    let own = author.engine.trace(id).unwrap().unwrap().route.unwrap();
    let first = own.first.unwrap();
    assert_eq!((first.from, first.way), (node_id(0), Arrived::Own));
}

#[test]
fn who_offered_what_was_fetched_from_another_is_in_its_trace() {
    let mut author = Node::start(0);
    let frame = author.frame_of("a", 10);
    let mut node = Node::start(1);
    let mut holders = [2, 3].map(Node::start);
    let mut met = Vec::new();
    for (number, holder) in [2, 3].into_iter().zip(&mut holders) {
        holder.gossip(0, &frame);
        holder.commit();
        holder.meet(1);
        holder.commit();
        met.extend(node.meet(number));
    }
    let [first, second] = &mut holders;
    node.carry(1, met, &mut [(2, first), (3, second)]);
    let id = *id_of(&frame, &node.engine.roster()).as_bytes();
    let route = node.engine.trace(id).unwrap().unwrap().route.unwrap();
    assert_eq!(route.first.unwrap().way, Arrived::Asked);
    let listed: Vec<NodeId> = route.listed.iter().map(|listed| listed.peer).collect();
    let mut both = vec![node_id(2), node_id(3)];
    both.sort_unstable();
    assert_eq!(listed, both);
}
