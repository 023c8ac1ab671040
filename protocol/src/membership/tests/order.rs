//! Two nodes that were given the same notices hold the same, whatever the order,
//! once they have asked again for what they could not take at first.

use super::federation::{
    Desk, FOUNDED_MS, Federation, HOUR_MS, MINUTE_MS, NOW_MS, at, head, list, sign_vote,
};
use crate::gate::{Order, Slot};
use crate::ids::{MemberId, RosterId};
use crate::limits::FRESH_AMBER_MS;
use crate::roster::{Ballot, Successor};
use crate::wire::card::Role;
use crate::wire::roster::VoteBy;
use crate::wire::{Kind, Tag, Text};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use watchfire_crypto::SigningKey;

/// What somebody signs. Everybody may be a cheat: no rule of honest voters binds.
#[derive(Clone, Debug)]
enum Act {
    Propose(Index),
    Prepare(Index, Index, u32),
    /// Under a renewed certificate.
    PrepareAgain(Index, Index, u32),
    Commit(Index, Index, u32),
    Consent,
    Suspend(Index, Index, u64, u64, bool),
    Alive(Index, u64),
    Card(Index, u64, bool),
    Renew(Index),
    Fork(Index),
    DoubleVote(Index),
}

fn act() -> impl Strategy<Value = Act> {
    let who = any::<Index>;
    let round = || prop_oneof![3 => 1..3_u32, 2 => 1..13_u32];
    prop_oneof![
        4 => who().prop_map(Act::Propose),
        6 => (who(), who(), round()).prop_map(|(by, of, round)| Act::Prepare(by, of, round)),
        2 => (who(), who(), round()).prop_map(|(by, of, round)| Act::PrepareAgain(by, of, round)),
        8 => (who(), who(), round()).prop_map(|(by, of, round)| Act::Commit(by, of, round)),
        1 => Just(Act::Consent),
        4 => (who(), who(), 0..3_u64, 0..3_u64, any::<bool>())
            .prop_map(|(by, of, created, life, why)| Act::Suspend(by, of, created, life, why)),
        2 => (who(), 0..4_u64).prop_map(|(by, turn)| Act::Alive(by, turn)),
        2 => (who(), 0..2_u64, any::<bool>()).prop_map(|(by, made, which)| Act::Card(by, made, which)),
        1 => who().prop_map(Act::Renew),
        1 => who().prop_map(Act::Fork),
        1 => who().prop_map(Act::DoubleVote),
    ]
}

/// A federation and the rosters that are proposed in it, made once.
struct Scene {
    federation: Federation,
    /// Who proposed it, and what.
    rosters: Vec<(usize, Successor)>,
}

static SCENES: LazyLock<Vec<Scene>> = LazyLock::new(|| (4..=7).map(Scene::of).collect());

impl Scene {
    fn of(members: usize) -> Self {
        let federation = Federation::of(members);
        let mut rosters = Vec::new();
        for by in 0..3 {
            // Two of one moment, and a later one.
            for (created_ms, what) in [(1, 0), (1, 1), (2, 2)] {
                let change = federation.settle(what, Role::Observer);
                rosters.push((
                    by,
                    federation.propose(by, NOW_MS - 10 + created_ms, vec![change]),
                ));
            }
        }
        let (_, admit) = Federation::newcomer(1);
        rosters.push((0, federation.propose(0, NOW_MS - 10, vec![admit])));
        Self {
            federation,
            rosters,
        }
    }

    fn roster(&self, which: &Index) -> RosterId {
        self.rosters[which.index(self.rosters.len())].1.id()
    }

    fn renewal(&self, by: usize) -> (VoteBy, SigningKey, Vec<u8>) {
        let (node, frame) = self.federation.renewal(by, 2, FOUNDED_MS);
        let slot = crate::gate::check_notice(&frame, &self.federation.roster)
            .unwrap()
            .slot();
        let Slot::Certificate(certificate) = slot else {
            panic!("it is a certificate");
        };
        (VoteBy::Prepare { certificate }, node.signing, frame)
    }

    fn frame(&self, act: &Act) -> Vec<u8> {
        let of = &self.federation;
        let who = |index: &Index| index.index(of.len());
        match act {
            Act::Propose(which) => {
                let (by, successor) = &self.rosters[which.index(self.rosters.len())];
                of.proposal(*by, successor)
            }
            Act::Prepare(by, what, round) => of.prepare(who(by), self.roster(what), *round),
            Act::PrepareAgain(by, what, round) => {
                let (again, key, _) = self.renewal(who(by));
                let mut vote = of.prepare_said(who(by), self.roster(what), *round);
                vote.by = again;
                sign_vote(&vote, &key)
            }
            Act::Commit(by, what, round) => of.commit(who(by), self.roster(what), *round),
            Act::Consent => {
                let (_, admitted) = self.rosters.last().unwrap();
                of.consent(&Federation::stranger(1), admitted.id())
            }
            Act::Suspend(by, member, created, life, why) => {
                let (by, step) = (who(by), 1 + member.index(of.len() - 1));
                let member = of.id((by + step) % of.len());
                let created_ms = NOW_MS - 3 * MINUTE_MS + created * MINUTE_MS;
                of.suspension(
                    by,
                    member,
                    created_ms,
                    life * HOUR_MS,
                    if *why { "a" } else { "b" },
                )
            }
            Act::Alive(by, turn) => of.alive(who(by), NOW_MS - 10 + turn, |said| {
                said.epoch = turn / 3;
                said.heads = list(vec![head(Tag::PUBLIC, 1 + turn / 2)]);
            }),
            Act::Card(by, made, which) => of.card(who(by), NOW_MS - 10 + made, |card| {
                let address = if *which {
                    "/ip4/192.0.2.1"
                } else {
                    "/ip4/192.0.2.2"
                };
                card.addresses = list(vec![Text::new(address).unwrap()]);
            }),
            Act::Renew(by) => self.renewal(who(by)).2,
            Act::Fork(by) => of.fork(who(by)),
            Act::DoubleVote(by) => of.double_vote(who(by)),
        }
    }
}

/// Everything that a node can tell of what it holds.
#[derive(Debug, PartialEq)]
struct View {
    held: BTreeMap<Slot, Order>,
    ballot: Ballot<MemberId, RosterId>,
    commits: usize,
    candidates: BTreeMap<RosterId, BTreeSet<[u8; 32]>>,
    decided: Option<RosterId>,
    suspended: BTreeSet<(MemberId, u64)>,
    heard: BTreeSet<MemberId>,
    cards: BTreeMap<MemberId, Vec<String>>,
    certificates: usize,
    forks: usize,
    double_voters: BTreeSet<MemberId>,
}

impl View {
    fn of(desk: &Desk) -> Self {
        let (roster, membership) = (&desk.roster, &desk.membership);
        let deliberation = membership.deliberation();
        let mut suspended = BTreeSet::new();
        for member in roster.members() {
            for wall_ms in [NOW_MS - MINUTE_MS, NOW_MS, NOW_MS + HOUR_MS] {
                if membership
                    .suspensions()
                    .is_suspended(roster, &member.id, wall_ms)
                {
                    suspended.insert((member.id, wall_ms));
                }
            }
        }
        Self {
            held: membership
                .held
                .iter()
                .map(|(slot, held)| (*slot, held.order))
                .collect(),
            ballot: deliberation.ballot().clone(),
            commits: deliberation.commit_lines(),
            candidates: deliberation
                .candidates()
                .map(|candidate| (candidate.successor.id(), candidate.consents()))
                .collect(),
            decided: deliberation.decided(roster).map(|link| link.id()),
            suspended,
            heard: membership.alives().heard(
                roster,
                membership.suspensions(),
                at(NOW_MS),
                FRESH_AMBER_MS,
            ),
            cards: roster
                .members()
                .map(|member| (member.id, member.addresses.clone()))
                .collect(),
            certificates: roster
                .members()
                .map(|member| roster.certificates_of(member.id).count())
                .sum(),
            forks: membership.forks().len(),
            double_voters: membership.double_voters().clone(),
        }
    }
}

/// Some notices, and the same in another order.
fn twice<T: Clone + core::fmt::Debug>(
    item: impl Strategy<Value = T>,
    count: core::ops::Range<usize>,
) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    prop::collection::vec(item, count)
        .prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle()))
}

fn rested(federation: &Federation, frames: &[Vec<u8>]) -> Desk {
    let mut desk = Desk::of(federation);
    desk.settle(frames);
    desk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_in_which_notices_come_changes_nothing(
        (acts, shuffled) in twice(act(), 6..40),
        scene in 0..4_usize,
    ) {
        let scene = &SCENES[scene];
        let view = |acts: &[Act]| {
            let frames: Vec<Vec<u8>> = acts.iter().map(|act| scene.frame(act)).collect();
            View::of(&rested(&scene.federation, &frames))
        };
        prop_assert_eq!(view(&acts), view(&shuffled));
    }

    #[test]
    fn more_votes_of_one_cheat_than_are_kept_leave_the_same_ones(
        (votes, shuffled) in twice((1..14_u32, 0..4_usize, any::<bool>()), 20..60),
    ) {
        let scene = &SCENES[0];
        let frames = |votes: &[(u32, usize, bool)]| -> Vec<Vec<u8>> {
            let vote = |(round, what, is_commit): &(u32, usize, bool)| {
                let roster = scene.rosters[*what].1.id();
                if *is_commit {
                    scene.federation.commit(3, roster, *round)
                } else {
                    scene.federation.prepare(3, roster, *round)
                }
            };
            // Far rounds are taken once others are near, and asked for until then.
            let near = (1..=2).map(|by| scene.federation.prepare(by, scene.rosters[0].1.id(), 8));
            votes.iter().map(vote).chain(near).collect()
        };
        let view = |votes: &[_]| View::of(&rested(&scene.federation, &frames(votes)));
        prop_assert_eq!(view(&votes), view(&shuffled));
    }

    #[test]
    fn more_suspensions_of_one_signer_than_are_kept_leave_the_same_ones(
        (acts, shuffled) in twice((1..12_usize, 0..6_u64, any::<bool>()), 10..30),
    ) {
        let frames = |acts: &[(usize, u64, bool)]| -> Vec<Vec<u8>> {
            let suspend = |(of, created, why): &(usize, u64, bool)| {
                let why = if *why { "a" } else { "b" };
                TWELVE.suspension(0, TWELVE.id(*of), NOW_MS - 10 + created, HOUR_MS, why)
            };
            acts.iter().map(suspend).collect()
        };
        let view = |acts: &[_]| View::of(&rested(&TWELVE, &frames(acts)));
        prop_assert_eq!(view(&acts), view(&shuffled));
    }

    /// A node may hold a notice of a node that was revoked later, where another
    /// never took it; but nothing follows from it.
    #[test]
    fn whenever_a_revocation_comes_the_same_counts(
        (acts, shuffled) in twice((0..4_usize, 0..4_usize), 4..16),
    ) {
        let scene = &SCENES[3];
        let of = &scene.federation;
        let frames = |acts: &[(usize, usize)]| -> Vec<Vec<u8>> {
            let frame = |(what, by): &(usize, usize)| match what {
                0 => of.revocation(*by, 1, NOW_MS),
                1 => of.alive(*by, NOW_MS, |said| said.epoch = u64::from(*by == 1)),
                2 => of.suspension(*by, of.id(6), NOW_MS, HOUR_MS, ""),
                _ => of.suspension(*by, of.id(5), NOW_MS, HOUR_MS, ""),
            };
            acts.iter().map(frame).collect()
        };
        let view = |acts: &[_]| {
            let view = View::of(&rested(of, &frames(acts)));
            (view.suspended, view.heard)
        };
        prop_assert_eq!(view(&acts), view(&shuffled));
    }
}

static TWELVE: LazyLock<Federation> = LazyLock::new(|| Federation::of(12));

#[test]
fn what_changed_is_told_in_the_order_of_its_last_change() {
    use crate::membership::NoticeScope::{Alives, Lasting};
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let card = |minute| four.card(1, FOUNDED_MS + minute * MINUTE_MS, |_| {});
    desk.later(&card(1)).unwrap();
    desk.later(&four.alive(2, NOW_MS, |_| {})).unwrap();
    desk.later(&four.revocation(3, 1, NOW_MS)).unwrap();
    desk.later(&card(2)).unwrap();
    let page = desk.membership.page(Lasting, 0, 1);
    let revoked = Slot::Revocation(four.id(3), four.node(3));
    assert_eq!((page.slots, page.more), (vec![(3, revoked)], true));
    let page = desk.membership.page(Lasting, 3, 1);
    assert_eq!(
        (page.slots, page.more),
        (vec![(4, Slot::Card(four.id(1)))], false)
    );
    let page = desk.membership.page(Alives, 0, 9);
    assert_eq!(page.slots, [(2, Slot::Alive(four.node(2)))]);
    assert!(desk.membership.page(Lasting, 4, 9).slots.is_empty());
    assert!(desk.membership.page(Lasting, u64::MAX, 9).slots.is_empty());
    assert_eq!(Kind::Alive.number(), 10);
}
