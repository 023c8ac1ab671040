//! Certificates that come as notices: records of who a node was.

use super::federation::{Desk, FOUNDED_MS, Federation, NOW_MS, Turned, certify, head, list};
use crate::founding::Keys;
use crate::gate::NoticeRefusal;
use crate::limits::CERTIFICATES_PER_MEMBER_MAX;
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
fn so_many_certificates_of_a_root_are_kept_and_not_one_more() {
    let four = Federation::of(4);
    let mut desk = Desk::of(&four);
    let most = u64::try_from(CERTIFICATES_PER_MEMBER_MAX).unwrap();
    for serial in 2..=most {
        desk.later(&life(&four, 1, serial, 1)).unwrap();
    }
    assert_eq!(desk.roster.certificates_of(four.id(1)).count(), 64);
    for serial in most + 1..most + 200 {
        assert!(desk.later(&life(&four, 1, serial, 1)).is_err());
    }
    assert_eq!(desk.roster.certificates_of(four.id(1)).count(), 64);
    assert_eq!(desk.membership.held.len(), 63);
    // Another member's are not fewer for it.
    desk.later(&life(&four, 2, 2, 1)).unwrap();
}
