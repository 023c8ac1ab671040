//! Certificates that come as notices: records of who a node was.

use super::federation::{Desk, FOUNDED_MS, Federation, NOW_MS, Turned, certify, head, list};
use crate::founding::Keys;
use crate::gate::NoticeRefusal;
use crate::limits::CERTIFICATES_PER_MEMBER_MAX;
use crate::membership::NoticeScope;
use crate::roster::RosterError;
use crate::wire::card::CertificateBytes;
use crate::wire::envelope::frame;
use crate::wire::roster::{Change, Cut};
use crate::wire::{Kind, List, Tag};

fn record(certificate: &CertificateBytes) -> Vec<u8> {
    frame(Kind::NodeCert, certificate)
}

fn cut(of: &Federation, member: usize, incarnation: u64) -> Cut {
    let end = head(Tag::PUBLIC, 3);
    Cut {
        node: of.node(member),
        incarnation,
        tag: end.tag,
        sequence: end.sequence,
        head: end.head,
    }
}

/// A member's own node under its root, for a life and a serial.
fn life(of: &Federation, member: usize, serial: u64, incarnation: u64) -> Vec<u8> {
    let keys = of.keys(member);
    record(&certify(&keys.root, &keys, |cert| {
        (cert.serial, cert.incarnation) = (serial, incarnation);
    }))
}

#[test]
fn attack_17_of_a_former_root_only_what_a_cut_names_is_known() {
    let four = Federation::of(4);
    let cuts = |incarnation| list(vec![cut(&four, 2, incarnation)]);
    let expel = |incarnation| Change::Expel {
        member: four.id(2),
        cuts: cuts(incarnation),
    };
    let rekey = |incarnation| Change::Rekey {
        member: four.id(2),
        root_key: Federation::stranger(1).root.public().to_bytes(),
        cuts: cuts(incarnation),
    };
    for change in [expel(2), rekey(2)] {
        let next = four.propose(0, NOW_MS, vec![change]).would_be().clone();
        let mut desk = Desk::of(&four.under(next));
        // The root in wrong hands certifies a node, or a life, of its own.
        let (thief, other) = (Federation::stranger(9), four.keys(2));
        let new_node = record(&certify(&other.root, &thief, |_| {}));
        for frame in [new_node, life(&four, 2, 3, 3), life(&four, 2, 9, 1)] {
            let refused = desk.later(&frame).unwrap_err();
            assert_eq!(refused, Turned::Away(NoticeRefusal::NotKnown));
        }
        // What the chain says lived is known, and connects nobody.
        desk.later(&life(&four, 2, 2, 2)).unwrap();
        assert!(desk.roster.has_lived(&four.node(2), 2));
        assert!(desk.roster.node(&four.node(2)).is_none());
    }
}

#[test]
fn a_rekeyed_members_nodes_stand_under_its_new_root_again() {
    let four = Federation::of(4);
    let fresh = Federation::stranger(1);
    let rekey = Change::Rekey {
        member: four.id(2),
        root_key: fresh.root.public().to_bytes(),
        cuts: List::default(),
    };
    let next = four.propose(0, NOW_MS, vec![rekey]).would_be().clone();
    let mut desk = Desk::of(&four.under(next));
    assert!(desk.roster.node(&four.node(2)).is_none());
    let again = certify(&fresh.root, &four.keys(2), |cert| cert.serial = 2);
    desk.later(&record(&again)).unwrap();
    let node = desk.roster.node(&four.node(2)).unwrap();
    assert_eq!((node.member, node.serial), (four.id(2), 2));
}

#[test]
fn an_older_record_is_kept_and_is_not_the_newest() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    desk.later(&four.renewal(1, 5, NOW_MS).1).unwrap();
    let older = desk.later(&four.renewal(1, 3, FOUNDED_MS).1).unwrap();
    let node = desk.roster.node(&four.node(1)).unwrap();
    assert_eq!(node.serial, 5);
    let crate::gate::Slot::Certificate(id) = older.slot else {
        panic!("it is a certificate");
    };
    assert_eq!(desk.roster.certificate(&id).unwrap().serial, 3);
    assert_eq!(desk.roster.certificates_of(four.id(1)).count(), 3);
    let again = desk.later(&four.renewal(1, 3, FOUNDED_MS).1).unwrap_err();
    let superseded = NoticeRefusal::NotHere(RosterError::Superseded);
    assert_eq!(again, Turned::Away(superseded));
}

#[test]
fn attack_21_nobody_certifies_a_key_that_is_anothers() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let (mine, theirs, fresh) = (|| four.keys(1), || four.keys(2), || Federation::stranger(1));
    let signing = Keys {
        signing: theirs().signing,
        ..fresh()
    };
    let transport = Keys {
        transport: theirs().transport,
        ..fresh()
    };
    let root = Keys {
        signing: theirs().root,
        ..fresh()
    };
    let another_root = Keys {
        transport: theirs().root,
        ..fresh()
    };
    for keys in [signing, transport, root, another_root] {
        let refused = desk.later(&record(&certify(&mine().root, &keys, |_| {})));
        assert!(matches!(
            refused,
            Err(Turned::Away(NoticeRefusal::NotHere(
                RosterError::Contradiction { .. }
            )))
        ));
    }
    assert_eq!(desk.roster.node(&four.node(2)).unwrap().member, four.id(2));
}

#[test]
fn attack_21_whoever_takes_a_nodes_keys_cannot_keep_its_member_from_ending_it() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    // A node that no card named, so no chain says whose its keys are.
    let keys = Federation::stranger(1);
    let node = crate::ids::NodeId::of_transport(keys.transport.public().as_bytes());
    desk.later(&record(&certify(&four.keys(1).root, &keys, |_| {})))
        .unwrap();
    let own = desk.roster.node(&node).unwrap().clone();
    let _ = desk.later(&record(&certify(&four.keys(3).root, &keys, |cert| {
        cert.serial = 9
    })));
    desk.later(&four.revocation_of(1, node, 1, NOW_MS)).unwrap();
    assert!(desk.roster.is_revoked(&own));
}

#[test]
fn of_a_root_the_greatest_are_kept_whatever_came_first_and_renewal_never_ends() {
    let four = Federation::of(4);
    let most = u64::try_from(CERTIFICATES_PER_MEMBER_MAX).unwrap();
    let serials: Vec<u64> = (2..=most + 100).collect();
    let held = |order: &[u64]| {
        let mut desk = Desk::of(&four);
        for serial in order {
            let _ = desk.later(&life(&four, 1, *serial, 1));
        }
        let mut held: Vec<u64> = desk
            .roster
            .certificates_of(four.id(1))
            .map(|held| held.serial)
            .collect();
        held.sort_unstable();
        assert_eq!(desk.membership.held.len() + 1, held.len());
        assert_eq!(desk.roster.node(&four.node(1)).unwrap().serial, most + 100);
        // Another member's are not fewer for it.
        desk.later(&life(&four, 2, 2, 1)).unwrap();
        held
    };
    let ascending = held(&serials);
    assert_eq!(ascending.len(), CERTIFICATES_PER_MEMBER_MAX);
    // That of the chain stays, and of the others the last.
    assert_eq!(ascending[0], 1);
    assert_eq!(ascending[1], most + 100 - (most - 2));
    let descending: Vec<u64> = serials.iter().rev().copied().collect();
    assert_eq!(held(&descending), ascending);
    let mixed: Vec<u64> = (0..serials.len())
        .map(|at| serials[at * 101 % serials.len()])
        .collect();
    assert_eq!(held(&mixed), ascending);
}

#[test]
fn a_node_whose_certificates_gave_way_is_no_node_and_may_be_certified_anew() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let other = Federation::stranger(1);
    let of_other = |serial| {
        let certificate = certify(&four.keys(1).root, &other, |cert| cert.serial = serial);
        record(&certificate)
    };
    let node = crate::ids::NodeId::of_transport(other.transport.public().as_bytes());
    desk.later(&of_other(2)).unwrap();
    let most = u64::try_from(CERTIFICATES_PER_MEMBER_MAX).unwrap();
    for serial in 3..most + 10 {
        desk.later(&life(&four, 1, serial, 1)).unwrap();
    }
    assert!(desk.roster.node(&node).is_none() && !desk.roster.has_lived(&node, 1));
    desk.later(&of_other(most + 10)).unwrap();
    assert!(desk.roster.node(&node).is_some() && desk.roster.has_lived(&node, 1));
}

#[test]
fn what_a_newcomer_would_not_take_of_who_left_is_listed_no_more() {
    let four = Federation::of(4);
    let leaves = |change: Change| {
        let mut desk = Desk::of(&four);
        desk.later(&life(&four, 2, 2, 1)).unwrap();
        desk.later(&life(&four, 2, 3, 2)).unwrap();
        desk.later(&life(&four, 1, 2, 1)).unwrap();
        desk.later(&four.revocation(2, 1, NOW_MS)).unwrap();
        desk.later(&four.revocation(1, 1, NOW_MS)).unwrap();
        let next = desk
            .roster
            .propose(crate::roster::Proposal {
                proposer: four.id(0),
                certificate: four.certificate(0).id,
                created_ms: NOW_MS,
                reason: "as agreed".to_owned(),
                changes: vec![change],
            })
            .unwrap();
        desk.roster = next.would_be().clone();
        let dropped = desk.membership.roster_changed(&desk.roster);
        // Whoever comes now takes everything that is still listed, and nothing else
        // was dropped.
        let listed = desk.membership.page(NoticeScope::Lasting, 0, 100).slots;
        (dropped.len(), listed.len())
    };
    let expel = |cuts| Change::Expel {
        member: four.id(2),
        cuts,
    };
    assert_eq!(leaves(expel(List::default())), (3, 2));
    // Of a life that a cut names the record stays.
    assert_eq!(leaves(expel(list(vec![cut(&four, 2, 2)]))), (2, 3));
    let rekey = Change::Rekey {
        member: four.id(2),
        root_key: Federation::stranger(1).root.public().to_bytes(),
        cuts: List::default(),
    };
    assert_eq!(leaves(rekey), (3, 2));
}
