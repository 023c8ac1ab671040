//! Doors that lie, are slow, or never end; none of them over a network.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::VecDeque;

use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::{draft_genesis, sign_genesis};
use watchfire_protocol::wire::Bytes;
use watchfire_protocol::wire::List;
use watchfire_protocol::wire::card::{Contact, Role};

use super::*;

/// Answers by what it is asked, and counts.
struct Fake<F> {
    answer: F,
    asked: usize,
}

impl<F: FnMut(&DoorRequest) -> DoorAnswer> Asked for Fake<F> {
    async fn ask(&mut self, question: &DoorRequest) -> Result<DoorAnswer, CliError> {
        self.asked += 1;
        assert!(self.asked < 100_000, "it is asked without end");
        Ok((self.answer)(question))
    }
}

fn fake<F: FnMut(&DoorRequest) -> DoorAnswer>(answer: F) -> Fake<F> {
    Fake { answer, asked: 0 }
}

/// The test's own runtime: nothing here waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn federation(seed: u8) -> (Vec<u8>, FederationId) {
    let cards: Vec<_> = ["at-cert", "be-cert"]
        .iter()
        .zip(0..)
        .map(|(slug, number)| {
            let profile = Profile {
                slug: slug.parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: vec!["/ip4/192.0.2.1/tcp/4747".to_owned(); 8],
                door_addresses: Vec::new(),
            };
            let keys = Keys::derived(&[seed; 32], number);
            (make_card(&profile, &keys, 1).unwrap(), Vec::new())
        })
        .collect();
    let mut file = draft_genesis("fake", 1, &cards).unwrap();
    for number in 0..2 {
        file = sign_genesis(&file, &Keys::derived(&[seed; 32], number).root).unwrap();
    }
    let federation = Roster::found(&file).unwrap().federation();
    (file.to_bytes(), federation)
}

fn piece(whole: &[u8], offset: u32) -> DoorAnswer {
    let at = offset as usize;
    let total = u32::try_from(whole.len()).unwrap();
    let end = whole.len().min(at + DOOR_PIECE_BYTES_MAX);
    DoorAnswer::Genesis {
        total,
        offset,
        bytes: Bytes::new(whole.get(at..end).unwrap_or_default().to_vec()).unwrap(),
    }
}

fn refused<T>(outcome: Result<T, CliError>) -> String {
    let Err(error) = outcome else {
        panic!("it was believed");
    };
    assert_eq!(error.code, Code::Verification, "{}", error.message);
    error.message
}

#[test]
fn a_genesis_comes_in_pieces_and_is_the_one_that_was_invited_to() {
    let (bytes, id) = federation(1);
    let offset_of = |question: &DoorRequest| {
        let DoorRequest::Genesis { offset } = question else {
            panic!("{question:?}");
        };
        *offset
    };
    let mut honest = fake(|question: &DoorRequest| piece(&bytes, offset_of(question)));
    let (file, roster) = now(genesis(&mut honest, &id)).unwrap();
    assert_eq!((&file, roster.federation()), (&bytes, id));
    assert_eq!(honest.asked, bytes.len().div_ceil(DOOR_PIECE_BYTES_MAX));

    let (other, _) = federation(2);
    let mut wrong = fake(|question: &DoorRequest| piece(&other, offset_of(question)));
    assert!(refused(now(genesis(&mut wrong, &id))).contains("another federation"));
    let mut none = fake(|_: &DoorRequest| DoorAnswer::Unavailable);
    assert!(refused(now(genesis(&mut none, &id))).contains("no genesis"));
    let mut spoiled = bytes.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let mut forged = fake(|question: &DoorRequest| piece(&spoiled, offset_of(question)));
    refused(now(genesis(&mut forged, &id)));
}

#[test]
fn attack_19_a_door_that_lies_about_pieces_is_left_at_once() {
    let (_, id) = federation(1);
    let answers = |total: u32, offset: u32, length: usize| DoorAnswer::Genesis {
        total,
        offset,
        bytes: Bytes::new(vec![0; length]).unwrap(),
    };
    for (what, first) in [
        ("larger than any", answers(u32::MAX, 0, 3_072)),
        ("one byte over", answers(2 * 1_024 * 1_024 + 1, 0, 3_072)),
        ("elsewhere", answers(9_000, 3_072, 3_072)),
        ("empty", answers(9_000, 0, 0)),
        ("of length nothing", answers(0, 0, 0)),
        ("crumbs", answers(9_000, 0, 1)),
        ("more than said", answers(10, 0, 3_072)),
    ] {
        let mut door = fake(|_: &DoorRequest| first.clone());
        assert!(
            refused(now(genesis(&mut door, &id))).contains("do not fit"),
            "{what}"
        );
        assert_eq!(door.asked, 1, "{what}");
    }
    // One that makes it longer each time.
    let mut total = 100_000;
    let mut growing = fake(|question: &DoorRequest| {
        total += 3_072;
        let DoorRequest::Genesis { offset } = question else {
            panic!("{question:?}");
        };
        answers(total, *offset, 3_072)
    });
    refused(now(genesis(&mut growing, &id)));
    assert_eq!(growing.asked, 2);
}

#[test]
fn attack_19_a_chain_that_nobody_decided_is_not_followed() {
    let (file, _) = federation(1);
    let mut roster = Roster::found(&GenesisFile::from_bytes(&file).unwrap()).unwrap();
    let mut packet = Packet::new(file).unwrap();
    let link = vec![0; 3_000];
    let mut endless = fake(|question: &DoorRequest| {
        let DoorRequest::Link { offset, .. } = question else {
            panic!("{question:?}");
        };
        DoorAnswer::Link {
            total: 3_000,
            offset: *offset,
            bytes: Bytes::new(link.clone()).unwrap(),
        }
    });
    refused(now(follow(&mut endless, &mut packet, &mut roster)));
    assert_eq!((endless.asked, roster.epoch()), (1, 0));
    assert_eq!(packet.links().count(), 0);
}

#[test]
fn attack_19_proposals_and_certificates_without_end_are_left() {
    let mut number = 0_u8;
    let mut named = |circle: bool| {
        let mut door = fake(|question: &DoorRequest| {
            let DoorRequest::Proposal { offset, .. } = question else {
                panic!("{question:?}");
            };
            number = if circle { 1 } else { number.wrapping_add(1) };
            DoorAnswer::Proposal {
                roster: RosterId::from_bytes([number; 32]),
                total: 10,
                offset: *offset,
                bytes: Bytes::new(vec![0; 10]).unwrap(),
            }
        });
        let outcome = now(proposals(&mut door));
        (outcome, door.asked)
    };
    let (frames, asked) = named(false);
    assert_eq!(
        (frames.unwrap().len(), asked),
        (JOIN_PROPOSALS_MAX, JOIN_PROPOSALS_MAX)
    );
    let (circle, asked) = named(true);
    assert!(refused(circle).contains("circle"));
    assert_eq!(asked, 2);

    let mut lasts: VecDeque<u8> = vec![5, 5].into();
    let mut door = fake(|_: &DoorRequest| DoorAnswer::Certificates {
        certificates: List::default(),
        last: lasts.pop_front().map(|last| NodeId::from_bytes([last; 32])),
        more: true,
    });
    assert!(refused(now(certificates(&mut door))).contains("circle"));
    // Upwards for ever: there is an end all the same.
    let mut next = 0_u64;
    let mut door = fake(|_: &DoorRequest| {
        next += 1;
        let mut last = [0; 32];
        last[..8].copy_from_slice(&next.to_be_bytes());
        DoorAnswer::Certificates {
            certificates: List::default(),
            last: Some(NodeId::from_bytes(last)),
            more: true,
        }
    });
    assert!(now(certificates(&mut door)).unwrap().is_empty());
    assert_eq!(
        door.asked,
        PACKET_NOTICES_MAX.div_ceil(DOOR_CERTIFICATES_MAX)
    );
}

#[test]
fn a_proposal_that_changes_midway_is_left_for_the_next_visit() {
    let mut first = true;
    let mut door = fake(|question: &DoorRequest| {
        let DoorRequest::Proposal { offset, .. } = question else {
            panic!("{question:?}");
        };
        let roster = if std::mem::take(&mut first) { 1 } else { 2 };
        DoorAnswer::Proposal {
            roster: RosterId::from_bytes([roster; 32]),
            total: 5_000,
            offset: *offset,
            bytes: Bytes::new(vec![0; DOOR_PIECE_BYTES_MAX]).unwrap(),
        }
    });
    assert!(now(proposals(&mut door)).unwrap().is_empty());
}
