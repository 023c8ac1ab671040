//! From roster to roster, as four founders would.

use super::*;
use crate::founding::{Keys, Profile, derived_federation, make_card};
use crate::wire::SignedBytes;
use crate::wire::card::Card;
use crate::wire::roster::{Change, Communities, Link, RosterStatement, VoteBy, VoteLine};
use std::collections::BTreeSet;
use watchfire_crypto::{Signed, SigningKey, Statement};

const WALL_MS: u64 = 1_800_000_000_000;
const SEED: [u8; 32] = [6; 32];
const HOUR_MS: u64 = 3_600_000;

struct Founders {
    roster: Roster,
    keys: Vec<Keys>,
}

fn founders(count: usize) -> Founders {
    let (_, roster, keys) = derived_federation(&SEED, &vec![Role::Agency; count], WALL_MS).unwrap();
    Founders { roster, keys }
}

fn id(keys: &Keys) -> MemberId {
    MemberId::of_root(&keys.root.public())
}

fn newcomer(number: u64) -> (Keys, Change) {
    let keys = Keys::derived(&SEED, number);
    let profile = Profile {
        slug: format!("n-{number}").parse().unwrap(),
        role: Role::Agency,
        contact: Contact::default(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    };
    let card = make_card(&profile, &keys, WALL_MS).unwrap();
    let communities = communities(&["demo"]);
    (keys, Change::Admit { card, communities })
}

fn communities(names: &[&str]) -> Communities {
    List::new(names.iter().map(|name| Text::new(*name).unwrap()).collect()).unwrap()
}

impl Founders {
    fn propose(&self, changes: Vec<Change>) -> Result<Successor, RosterError> {
        let proposer = &self.keys[0];
        let certificate = self.roster.certificates_of(id(proposer)).next().unwrap();
        self.roster.propose(Proposal {
            proposer: id(proposer),
            certificate: certificate.id,
            created_ms: WALL_MS + HOUR_MS,
            reason: "as agreed".to_owned(),
            changes,
        })
    }

    /// Committed by the first so many, consented to by these.
    fn link(&self, successor: &Successor, commits: usize, consents: &[&Keys]) -> Link {
        let roots: Vec<&SigningKey> = self
            .keys
            .iter()
            .take(commits)
            .map(|keys| &keys.root)
            .collect();
        link(successor, 1, &roots, consents)
    }
}

fn line(successor: &Successor, round: u32, key: &SigningKey, by: VoteBy) -> VoteLine {
    let vote = Signed::<crate::wire::roster::Vote>::seal(
        crate::wire::codec::encode(&successor.vote(round, by)),
        key,
    );
    VoteLine {
        key: key.public().to_bytes(),
        signature: vote.signature().to_bytes(),
    }
}

fn link(successor: &Successor, round: u32, commits: &[&SigningKey], consents: &[&Keys]) -> Link {
    let commit = |key: &&SigningKey| {
        let by = VoteBy::Commit {
            key: key.public().to_bytes(),
        };
        line(successor, round, key, by)
    };
    let consent = |keys: &&Keys| {
        let by = VoteBy::Consent {
            key: keys.root.public().to_bytes(),
        };
        line(successor, 0, &keys.root, by)
    };
    let mut commits: Vec<VoteLine> = commits.iter().map(commit).collect();
    let mut consents: Vec<VoteLine> = consents.iter().map(consent).collect();
    commits.sort();
    consents.sort();
    Link {
        roster: crate::wire::Bytes::new(successor.bytes().to_vec()).unwrap(),
        round,
        commits: List::new(commits).unwrap(),
        consents: List::new(consents).unwrap(),
    }
}

#[test]
fn a_quorum_and_the_new_root_admit_a_member() {
    let four = founders(4);
    let (keys, admit) = newcomer(9);
    let successor = four.propose(vec![admit]).unwrap();
    let link = four.link(&successor, 3, &[&keys]);
    let next = four.roster.follow(&link).unwrap();
    assert_eq!((next.epoch(), next.members().count()), (1, 5));
    assert_eq!(next.id(), link.id());
    assert_eq!(next.member(&id(&keys)).unwrap().slug.as_str(), "n-9");
    let certificate = next.certificates_of(id(&keys)).next().unwrap().clone();
    assert!(next.author(&certificate.id, 1).is_some());
    assert!(
        next.author(&certificate.id, 0).is_none(),
        "it was no member"
    );
    assert_eq!(Link::from_bytes(&link.to_bytes()), Ok(link));
}

#[test]
fn one_vote_too_few_or_a_missing_consent_decides_nothing() {
    let four = founders(4);
    let (keys, admit) = newcomer(9);
    let successor = four.propose(vec![admit]).unwrap();
    let undecided = |link: &Link| match four.roster.follow(link) {
        Err(RosterError::Undecided { lack }) => lack,
        other => panic!("{other:?}"),
    };
    let two = four.link(&successor, 2, &[&keys]);
    assert_eq!(undecided(&two), "2 of 3 votes");
    let alone = four.link(&successor, 4, &[]);
    assert_eq!(undecided(&alone), "the signature of n-9's new root");
}

#[test]
fn attack_15_one_key_listed_twice_counts_once_and_no_threshold_is_zero() {
    let four = founders(4);
    let expel = Change::Expel {
        member: id(&four.keys[3]),
        cuts: List::default(),
    };
    let successor = four.propose(vec![expel]).unwrap();
    let mut link = four.link(&successor, 2, &[]);
    let first = link.commits.as_slice()[0];
    let mut lines = link.commits.clone().into_vec();
    lines.insert(0, first);
    link.commits = List::new(lines).unwrap();
    assert!(matches!(
        four.roster.follow(&link),
        Err(RosterError::Contradiction { .. })
    ));
    for members in 1..=crate::limits::MEMBERS_MAX {
        assert!(Thresholds::of(members).votes() > 0);
    }
    let none = Change::Community {
        name: Text::new("eu").unwrap(),
        rule: CommunityRule::Named {
            members: List::new(vec![id(&four.keys[0])]).unwrap(),
            of: 0,
        },
    };
    assert!(matches!(
        four.propose(vec![none]),
        Err(RosterError::Contradiction { .. })
    ));
}

#[test]
fn votes_of_another_round_epoch_or_roster_do_not_count() {
    let four = founders(4);
    let expel = |at: usize| {
        vec![Change::Expel {
            member: id(&four.keys[at]),
            cuts: List::default(),
        }]
    };
    let (one, other) = (
        four.propose(expel(3)).unwrap(),
        four.propose(expel(2)).unwrap(),
    );
    let good = four.link(&one, 3, &[]);
    assert!(four.roster.follow(&good).is_ok());
    let mut of_another_round = good.clone();
    of_another_round.round = 2;
    let mut of_another_roster = good.clone();
    of_another_roster.commits = four.link(&other, 3, &[]).commits;
    for link in [of_another_round, of_another_roster] {
        assert!(matches!(
            four.roster.follow(&link),
            Err(RosterError::Signature { .. })
        ));
    }
}

#[test]
fn attack_14_a_roster_is_followed_once_and_never_gone_back_from() {
    let four = founders(4);
    let settle = |of: &Founders| {
        let change = Change::Settle {
            member: id(&of.keys[1]),
            role: Role::Observer,
            communities: communities(&["demo"]),
        };
        let successor = of.propose(vec![change]).unwrap();
        of.link(&successor, 3, &[])
    };
    let first = settle(&four);
    let roster = four.roster.follow(&first).unwrap();
    let next = Founders {
        roster,
        keys: (0..4).map(|number| Keys::derived(&SEED, number)).collect(),
    };
    let again = next.roster.follow(&first);
    assert!(matches!(
        again,
        Err(RosterError::NotNext { epoch: 1, held: 1 })
    ));
    let second = settle(&next);
    let skipped = four.roster.follow(&second);
    assert!(matches!(
        skipped,
        Err(RosterError::NotNext { epoch: 2, held: 0 })
    ));
}

#[test]
fn what_a_statement_says_of_its_result_must_be_so() {
    let four = founders(4);
    let (_, admit) = newcomer(9);
    let successor = four.propose(vec![admit]).unwrap();
    let mut statement = RosterStatement::parse(successor.bytes()).unwrap();
    statement.result[0] ^= 1;
    let refused = four
        .roster
        .successor(&crate::wire::codec::encode(&statement));
    assert!(matches!(refused, Err(RosterError::Contradiction { .. })));
}

#[test]
fn a_rekeyed_member_keeps_its_identity_and_its_former_root_ends() {
    let four = founders(4);
    let fresh = Keys::derived(&SEED, 77);
    let member = id(&four.keys[2]);
    let rekey = Change::Rekey {
        member,
        root_key: fresh.root.public().to_bytes(),
        cuts: List::default(),
    };
    let successor = four.propose(vec![rekey]).unwrap();
    let next = four
        .roster
        .follow(&four.link(&successor, 3, &[&fresh]))
        .unwrap();
    assert_eq!(next.member(&member).unwrap().root_key, fresh.root.public());
    let held = next.certificates_of(member).next().unwrap();
    assert!(
        next.author(&held.id, 0).is_some(),
        "what it signed then holds"
    );
    assert!(next.author(&held.id, 1).is_none());
    assert!(!next.stands(held), "and connects nobody any more");
    let stolen = four.propose(vec![Change::Rekey {
        member,
        root_key: four.keys[1].root.public().to_bytes(),
        cuts: List::default(),
    }]);
    assert!(matches!(stolen, Err(RosterError::Shared { .. })));
}

#[test]
fn who_is_expelled_is_in_no_list_any_more_and_its_keys_are_never_anybodys() {
    let four = founders(4);
    let gone = id(&four.keys[3]);
    let named = Change::Community {
        name: Text::new("eu").unwrap(),
        rule: CommunityRule::Named {
            members: List::new({
                let mut members = vec![id(&four.keys[0]), gone];
                members.sort();
                members
            })
            .unwrap(),
            of: 2,
        },
    };
    let expel = Change::Expel {
        member: gone,
        cuts: List::default(),
    };
    let successor = four.propose(vec![named, expel]).unwrap();
    let next = four.roster.follow(&four.link(&successor, 3, &[])).unwrap();
    assert!(next.member(&gone).is_none());
    assert!(next.present_or_former(&gone).is_some());
    assert_eq!(next.nodes().count(), 3);
    assert_eq!(
        next.communities()
            .find(|(name, _)| *name == "eu")
            .unwrap()
            .1,
        &CommunityRule::Federation,
        "too few are left to follow the rule"
    );
    let again = Founders {
        roster: next,
        keys: (0..3).map(|number| Keys::derived(&SEED, number)).collect(),
    };
    let profile = Profile {
        slug: "m-003".parse().unwrap(),
        role: Role::Agency,
        contact: Contact::default(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    };
    let card = make_card(&profile, &four.keys[3], WALL_MS).unwrap();
    let back = again.propose(vec![Change::Admit {
        card,
        communities: List::default(),
    }]);
    assert!(matches!(back, Err(RosterError::Shared { .. })));
}

#[test]
fn a_community_with_a_rule_of_its_own_is_asked_too_but_cannot_keep_a_member() {
    let seven = founders(7);
    let own = |of: &Founders| {
        let settle = |at: usize, names: &[&str]| Change::Settle {
            member: id(&of.keys[at]),
            role: Role::Agency,
            communities: communities(names),
        };
        vec![
            Change::Community {
                name: Text::new("eu").unwrap(),
                rule: CommunityRule::Own,
            },
            settle(5, &["demo", "eu"]),
            settle(6, &["demo", "eu"]),
        ]
    };
    let successor = seven.propose(own(&seven)).unwrap();
    let roster = seven
        .roster
        .follow(&seven.link(&successor, 5, &[]))
        .unwrap();
    let next = Founders {
        roster,
        keys: (0..7).map(|number| Keys::derived(&SEED, number)).collect(),
    };
    let join = Change::Settle {
        member: id(&next.keys[0]),
        role: Role::Agency,
        communities: communities(&["demo", "eu"]),
    };
    let successor = next.propose(vec![join]).unwrap();
    let five: Vec<&SigningKey> = next.keys.iter().take(5).map(|keys| &keys.root).collect();
    let without = link(&successor, 1, &five, &[]);
    assert!(matches!(
        next.roster.follow(&without),
        Err(RosterError::Undecided { .. })
    ));
    // Votes of all are not what the rule asks.
    let seven: Vec<&SigningKey> = next.keys.iter().map(|keys| &keys.root).collect();
    let own = [&next.keys[5], &next.keys[6]];
    for (commits, consents, is_enough) in [
        (&seven, &own[..0], false),
        (&five, &own[..1], false),
        (&five, &own[..], true),
    ] {
        let link = link(&successor, 1, commits, consents);
        assert_eq!(next.roster.follow(&link).is_ok(), is_enough);
    }
    let expel = Change::Expel {
        member: id(&next.keys[6]),
        cuts: List::default(),
    };
    let successor = next.propose(vec![expel]).unwrap();
    assert!(next.roster.follow(&link(&successor, 1, &five, &[])).is_ok());
}

#[test]
fn attack_21_nobody_says_of_another_what_only_its_root_may() {
    let mut four = founders(4);
    let (mine, theirs) = (&four.keys[0], &four.keys[1]);
    let profile = |slug: &str, role| Profile {
        slug: slug.parse().unwrap(),
        role,
        contact: Contact::default(),
        addresses: vec!["/ip4/192.0.2.1/tcp/7412".to_owned()],
        door_addresses: Vec::new(),
    };
    let card = |profile: &Profile, keys: &Keys| make_card(profile, keys, WALL_MS + 1).unwrap();
    // Under another's slug, or with a role the roster did not give.
    for (slug, role) in [("m-001", Role::Agency), ("m-000", Role::Hub)] {
        let card = card(&profile(slug, role), mine);
        assert!(four.roster.clone().take_card(&card).is_err(), "{slug}");
    }
    // Another's card, re-signed.
    let good = card(&profile("m-001", Role::Agency), theirs);
    let forged: SignedBytes<4_096> = SignedBytes::new(Signed::<Card>::seal(
        good.to_signed::<Card>().bytes().to_vec(),
        &mine.root,
    ))
    .unwrap();
    assert!(four.roster.take_card(&forged).is_err());
    assert_eq!(four.roster.take_card(&good), Ok(id(theirs)));
    assert_eq!(four.roster.take_card(&good), Err(RosterError::Superseded));
    // Another's node, revoked.
    let node = four.roster.certificates_of(id(theirs)).next().unwrap().node;
    let revoke = |member: MemberId, by: &Keys| {
        let said = crate::wire::notice::Revocation {
            federation: four.roster.federation(),
            member,
            root_key: by.root.public().to_bytes(),
            node,
            serial: u64::MAX,
            created_ms: WALL_MS,
            reason: crate::wire::notice::RevocationReason::Retired,
            cuts: List::default(),
        };
        Signed::seal(crate::wire::codec::encode(&said), &by.root)
    };
    let names_itself = revoke(id(mine), mine);
    assert_eq!(
        four.roster.check_revocation(names_itself).unwrap_err(),
        RosterError::UnknownNode
    );
    let names_the_other = revoke(id(theirs), mine);
    assert_eq!(
        four.roster.check_revocation(names_the_other).unwrap_err(),
        RosterError::NotAMember
    );
    assert!(
        four.roster
            .check_revocation(revoke(id(theirs), theirs))
            .is_ok()
    );
}

#[test]
fn attack_18_a_revocation_of_other_bytes_ends_the_same_serials() {
    let four = founders(4);
    let keys = &four.keys[1];
    let certificate = four
        .roster
        .certificates_of(id(keys))
        .next()
        .unwrap()
        .clone();
    let revocation = |created_ms, reason| {
        let said = crate::wire::notice::Revocation {
            federation: four.roster.federation(),
            member: id(keys),
            root_key: keys.root.public().to_bytes(),
            node: certificate.node,
            serial: certificate.serial,
            created_ms,
            reason,
            cuts: List::default(),
        };
        let signed = Signed::seal(crate::wire::codec::encode(&said), &keys.root);
        four.roster.check_revocation(signed).unwrap()
    };
    use crate::wire::notice::RevocationReason::{Compromised, Retired};
    let (one, other) = (revocation(1, Retired), revocation(2, Compromised));
    assert_ne!(one.id(), other.id());
    let mut states = BTreeSet::new();
    for order in [[&one, &other], [&other, &one]] {
        let mut roster = four.roster.clone();
        for revocation in order {
            roster.revoke(revocation);
            assert!(roster.is_revoked(&certificate));
            assert!(roster.node(&certificate.node).is_none());
        }
        let held = roster.revocation(id(keys), &certificate.node).unwrap();
        states.insert(held.created_ms);
    }
    assert_eq!(states, BTreeSet::from([2]));
}

#[test]
fn attack_18_what_a_former_root_revoked_does_not_end_what_the_new_one_certifies() {
    let four = founders(4);
    let keys = &four.keys[2];
    let member = id(keys);
    let held = four.roster.certificates_of(member).next().unwrap().clone();
    let said = crate::wire::notice::Revocation {
        federation: four.roster.federation(),
        member,
        root_key: keys.root.public().to_bytes(),
        node: held.node,
        serial: u64::MAX,
        created_ms: WALL_MS,
        reason: crate::wire::notice::RevocationReason::Retired,
        cuts: List::default(),
    };
    let signed = Signed::seal(crate::wire::codec::encode(&said), &keys.root);
    let mut roster = four.roster.clone();
    roster.revoke(&roster.check_revocation(signed).unwrap());
    assert!(roster.is_revoked(&held));
    let fresh = Certificate {
        root_key: Keys::derived(&SEED, 77).root.public(),
        serial: 2,
        ..held
    };
    assert!(!roster.is_revoked(&fresh));
}
