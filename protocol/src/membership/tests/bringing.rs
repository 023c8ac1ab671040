//! Whoever brings a commit that a root's machine signed adds the prepares that its
//! node holds.

use super::federation::{list, sign_vote};
use crate::engine::tests::room;
use crate::engine::{ClientToken, Input, Output, Said, Saying, SayingRefusal};
use crate::gate::{Matter, NoticeRefusal, check_notice, is_notice};
use crate::ids::{MemberId, RosterId};
use crate::membership::NotNews;
use crate::roster::Roster;
use crate::store::Store;
use crate::time::{Instant, Now};
use crate::wire::card::Role;
use crate::wire::roster::{Change, Vote, VoteBy, VoteFrame, VoteLine};
use crate::wire::{List, SignedBytes, codec};
use std::sync::Arc;
use watchfire_crypto::{Signed, SigningKey};

/// A node, and a roster that it proposed.
struct Desk {
    node: room::Node,
    roster: Arc<Roster>,
    proposed: RosterId,
}

impl Desk {
    fn start() -> Self {
        let mut node = room::Node::start(0);
        let changes = vec![Change::Settle {
            member: MemberId::of_root(&room::keys(3).root.public()),
            role: Role::Observer,
            communities: list(Vec::new()),
        }];
        let reason = "it only reads".to_owned();
        let (said, _) = say(&mut node, Saying::Propose { reason, changes });
        Self {
            roster: node.engine.roster(),
            proposed: said.unwrap().roster.unwrap(),
            node,
        }
    }

    fn bring(&mut self, frame: Vec<u8>) -> (Result<Said, SayingRefusal>, Vec<Vec<u8>>) {
        say(&mut self.node, Saying::Bring { frame })
    }

    fn vote(&self, roster: RosterId, round: u32, by: VoteBy) -> Vote {
        Vote {
            federation: self.roster.federation(),
            epoch: self.roster.epoch() + 1,
            roster,
            round,
            by,
        }
    }

    fn prepare_said(&self, by: u64, roster: RosterId, round: u32) -> (Vote, SigningKey) {
        let keys = room::keys(by);
        let member = MemberId::of_root(&keys.root.public());
        let mut of = self.roster.certificates_of(member);
        let certificate = of.next().unwrap().id;
        let vote = self.vote(roster, round, VoteBy::Prepare { certificate });
        (vote, keys.signing)
    }

    fn prepare(&self, by: u64, roster: RosterId, round: u32) -> Vec<u8> {
        let (vote, key) = self.prepare_said(by, roster, round);
        sign_vote(&vote, &key)
    }

    /// A commit as a root signs it, without prepares.
    fn commit(&self, by: u64, round: u32) -> Vec<u8> {
        let root = room::keys(by).root;
        let key = root.public().to_bytes();
        sign_vote(
            &self.vote(self.proposed, round, VoteBy::Commit { key }),
            &root,
        )
    }

    /// The same as another node brings it, which holds these prepares.
    fn commit_on(&self, by: u64, round: u32, prepared: [u64; 3]) -> Vec<u8> {
        let bare: VoteFrame = codec::decode(&self.commit(by, round)[2..], 4_096).unwrap();
        let vote: SignedBytes<_> = bare.vote;
        let mut lines = prepared.map(|by| {
            let (said, key) = self.prepare_said(by, self.proposed, round);
            let VoteBy::Prepare { certificate } = said.by else {
                panic!("it is a prepare");
            };
            let signed: Signed<Vote> = Signed::seal(codec::encode(&said), &key);
            VoteLine {
                key: *certificate.as_bytes(),
                signature: signed.signature().to_bytes(),
            }
        });
        lines.sort_unstable();
        let prepares = List::new(lines.to_vec()).unwrap();
        VoteFrame { vote, prepares }.to_frame()
    }

    /// What is brought is taken, and what others are told passes at their door.
    fn brings_for_all(&mut self, frame: Vec<u8>) {
        let (said, told) = self.bring(frame);
        said.unwrap();
        let told = told.iter().filter(|frame| is_notice(frame));
        let checked: Vec<_> = told
            .map(|frame| check_notice(frame, &self.roster))
            .collect();
        assert!(matches!(checked.as_slice(), [Ok(notice)]
            if matches!(notice.matter(), Matter::Vote(..))));
    }
}

/// What a node says to what it is asked to say, and what of it others are told.
fn say(node: &mut room::Node, saying: Saying) -> (Result<Said, SayingRefusal>, Vec<Vec<u8>>) {
    let now = Now {
        mono: Instant::ZERO,
        wall_ms: room::WALL_MS,
    };
    let saying = Box::new(saying);
    let client = ClientToken(1);
    let mut input = Some(Input::Say { client, saying });
    let (mut said, mut told) = (None, Vec::new());
    while let Some(next) = input.take() {
        node.engine.handle(now, next).unwrap();
        while let Some(output) = node.engine.poll() {
            if let Output::Said { outcome, .. } = output {
                said = Some(outcome);
            } else if let Output::Gossip { frame } = output {
                told.push(frame.into_inner().bytes);
            }
        }
        input = node.engine.begin_commit().map(|(number, batch)| {
            node.engine.store().apply(&batch).unwrap();
            Input::Committed(number)
        });
    }
    (said.unwrap(), told)
}

#[test]
fn a_node_brings_a_bare_commit_with_the_prepares_it_holds() {
    let mut desk = Desk::start();
    let id = desk.proposed;
    let not_prepared = SayingRefusal::Gate(NoticeRefusal::NotPrepared);
    for by in 0..3 {
        let (early, told) = desk.bring(desk.commit(1, 1));
        assert_eq!((early, told.len()), (Err(not_prepared.clone()), 0));
        desk.bring(desk.prepare(by, id, 1)).0.unwrap();
    }
    let bare = check_notice(&desk.commit(1, 1), &desk.roster).unwrap_err();
    assert_eq!(bare, NoticeRefusal::NotPrepared);
    // Those of one round are none of another.
    let (other_round, _) = desk.bring(desk.commit(1, 2));
    assert_eq!(other_round, Err(not_prepared));
    // Its own, and another's.
    for by in [0, 1] {
        desk.brings_for_all(desk.commit(by, 1));
    }
}

/// Where a cheat's prepare found no room, a commit that carries it shows it, and
/// what may be committed then can be brought too.
#[test]
fn a_node_brings_a_bare_commit_with_the_prepares_of_another() {
    let mut desk = Desk::start();
    let id = desk.proposed;
    for least in [0, 1] {
        let junk = RosterId::from_bytes([least; 32]);
        desk.bring(desk.prepare(3, junk, 1)).0.unwrap();
    }
    for by in [0, 1] {
        desk.bring(desk.prepare(by, id, 1)).0.unwrap();
    }
    let (no_room, _) = desk.bring(desk.prepare(3, id, 1));
    assert_eq!(no_room, Err(SayingRefusal::NotNews(NotNews::TooMany)));
    let (early, _) = desk.bring(desk.commit(0, 1));
    assert_eq!(early, Err(SayingRefusal::Gate(NoticeRefusal::NotPrepared)));
    desk.brings_for_all(desk.commit_on(1, 1, [0, 1, 3]));
    desk.brings_for_all(desk.commit(0, 1));
}
