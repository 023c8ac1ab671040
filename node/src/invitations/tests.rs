//! Invitations and knocks, with a clock by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::time::Instant;
use watchfire_protocol::wire::card::{Contact, Role};

use super::*;

const HOUR_MS: u64 = 60 * 60 * 1_000;
const T0_MS: u64 = 1_800_000_000_000;
const FROM: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn now(after_ms: u64) -> Now {
    Now {
        mono: Instant::ZERO.plus_ms(after_ms),
        wall_ms: T0_MS + after_ms,
    }
}

fn token(number: u8) -> Token {
    Token::from_bytes([number; 32])
}

/// A card, and the transport key that its certificate is for.
fn card(number: u64) -> (SignedBytes<CARD_BYTES_MAX>, [u8; 32]) {
    let keys = Keys::derived(&[9; 32], number);
    let profile = Profile {
        slug: "xx-cert".parse().unwrap(),
        role: Role::Agency,
        contact: Contact::default(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    };
    let card = make_card(&profile, &keys, T0_MS).unwrap();
    (card, keys.transport.public().to_bytes())
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn desk(&self) -> Desk {
        Desk::open(&self.store())
    }
}

fn knock(desk: &mut Desk, after_ms: u64, shown: &Token, number: u64) -> bool {
    let (card, key) = card(number);
    desk.knock(now(after_ms), FROM, &key, shown, &card)
}

fn invite(desk: &mut Desk, number: u8) -> Invited {
    let note = "for xx".to_owned();
    desk.invite(T0_MS, &token(number), 24 * HOUR_MS, note)
        .unwrap()
}

#[test]
fn attack_19_of_two_nodes_with_one_token_one_succeeds_also_after_a_restart() {
    let place = Place::new();
    let mut desk = place.desk();
    invite(&mut desk, 1);
    assert!(knock(&mut desk, 0, &token(1), 1));
    assert!(!knock(&mut desk, 0, &token(1), 2), "used by another");
    // The answer was lost: asked again, also after a restart and after its time.
    assert!(knock(&mut desk, 1, &token(1), 1));
    let mut desk = place.desk();
    assert!(!knock(&mut desk, 2, &token(1), 2), "used by another");
    assert!(knock(&mut desk, 25 * HOUR_MS, &token(1), 1));
    let kept = desk.invitations().unwrap();
    let knocked = kept[0].knock.as_ref().unwrap().checked().unwrap();
    let (first, _) = card(1);
    assert_eq!(knocked.id, check_card(&first).unwrap().id);
}

#[test]
fn attack_19_what_could_not_be_noted_is_not_accepted() {
    let place = Place::new();
    let mut desk = place.desk();
    invite(&mut desk, 1);
    let path = Desk::path_for(&place.store());
    fs::remove_file(&path).unwrap();
    // In the way of the file: it cannot be put in its place.
    fs::create_dir(&path).unwrap();
    assert!(!knock(&mut desk, 0, &token(1), 1));
    assert!(desk.invitations().unwrap()[0].knock.is_none());
    fs::remove_dir(&path).unwrap();
    assert!(knock(&mut desk, 0, &token(1), 2), "it is free still");
}

#[test]
fn attack_19_unknown_over_withdrawn_and_used_look_the_same_and_change_nothing() {
    let place = Place::new();
    let mut desk = place.desk();
    let first = invite(&mut desk, 1);
    let file = || fs::read(Desk::path_for(&place.store())).unwrap();
    let before = file();
    assert!(!knock(&mut desk, 0, &token(9), 1), "unknown");
    assert!(!knock(&mut desk, 24 * HOUR_MS, &token(1), 1), "over");
    let (good, key) = card(1);
    let (other, _) = card(2);
    let mut at = |key: &[u8; 32], card: &SignedBytes<CARD_BYTES_MAX>| {
        desk.knock(now(0), FROM, key, &token(1), card)
    };
    assert!(!at(&[7; 32], &good), "not of the connection");
    assert!(!at(&key, &other), "not of the connection");
    assert_eq!(file(), before, "nothing was used up");
    desk.withdraw(&first.id).unwrap();
    assert!(!knock(&mut desk, 0, &token(1), 1), "withdrawn");
    let gone = desk.withdraw(&first.id);
    assert!(matches!(gone, Err(DeskRefusal::Unknown(_))));
    assert!(desk.invitations().unwrap().is_empty());
}

#[test]
fn attack_19_a_card_that_does_not_hold_uses_nothing_up() {
    let place = Place::new();
    let mut desk = place.desk();
    invite(&mut desk, 1);
    let (good, key) = card(1);
    let mut bytes = watchfire_protocol::wire::codec::encode(&good);
    *bytes.last_mut().unwrap() ^= 1;
    let forged = watchfire_protocol::wire::codec::decode(&bytes, 4_096).unwrap();
    assert!(!desk.knock(now(0), FROM, &key, &token(1), &forged));
    // A certificate that has ended admits nobody.
    assert!(!desk.knock(
        Now {
            mono: Instant::ZERO,
            wall_ms: T0_MS - 1
        },
        FROM,
        &key,
        &token(1),
        &good
    ));
    assert!(desk.knock(now(0), FROM, &key, &token(1), &good));
}

#[test]
fn attack_19_who_guesses_is_refused_unseen_and_nobody_else_is() {
    let place = Place::new();
    let mut desk = place.desk();
    invite(&mut desk, 1);
    for _ in 0..KNOCKS_REFUSED_MAX {
        assert!(!knock(&mut desk, 0, &token(9), 1));
    }
    assert!(
        !knock(&mut desk, 0, &token(1), 1),
        "not from there any more"
    );
    let (good, key) = card(1);
    let elsewhere = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    assert!(desk.knock(now(0), elsewhere, &key, &token(1), &good));
    assert!(
        knock(&mut desk, KNOCKS_REFUSED_WITHIN_MS, &token(1), 1),
        "an hour later"
    );
    // However many addresses try, some are remembered.
    for number in 0..5_000_u32 {
        let from = Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
        desk.knock(now(0), from, &key, &token(9), &good);
    }
    assert_eq!(desk.tries.len(), KNOCKS_ADDRESSES_MAX);
}

#[test]
fn what_is_kept_is_bounded_and_secret_and_what_is_over_makes_room() {
    let place = Place::new();
    let mut desk = place.desk();
    for number in 0..INVITATIONS_MAX {
        invite(&mut desk, u8::try_from(number).unwrap());
    }
    let one_more = desk.invite(T0_MS, &token(200), HOUR_MS, String::new());
    assert!(matches!(one_more, Err(DeskRefusal::TooMany)));
    assert!(knock(&mut desk, 0, &token(1), 1));
    let path = Desk::path_for(&place.store());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&hex::encode([1; 32])), "no token is kept");
    // A day later those nobody used are over; the one with a card stays its time.
    let day = T0_MS + 24 * HOUR_MS;
    desk.invite(day, &token(201), HOUR_MS, String::new())
        .unwrap();
    assert_eq!(desk.invitations().unwrap().len(), 2);
    let later = T0_MS + KNOCK_KEPT_MS;
    desk.invite(later, &token(202), HOUR_MS, String::new())
        .unwrap();
    assert_eq!(desk.invitations().unwrap().len(), 1);
    for life_ms in [0, HOUR_MS - 1, INVITATION_LIFE_MS_MAX + 1] {
        let refused = desk.invite(later, &token(203), life_ms, String::new());
        assert!(matches!(refused, Err(DeskRefusal::Life)));
    }
    let long = "x".repeat(INVITATION_NOTE_BYTES_MAX + 1);
    let refused = desk.invite(later, &token(203), HOUR_MS, long);
    assert!(matches!(refused, Err(DeskRefusal::Note)));
}

#[test]
fn the_largest_file_can_be_read_again() {
    let place = Place::new();
    let mut desk = place.desk();
    let (card, _) = card(1);
    let card = hex::encode(card_to_file(&card));
    // As large as a card can be, whatever is in it.
    let card = card + &"0".repeat(2 * (CARD_BYTES_MAX + 128) - 600);
    for number in 0..INVITATIONS_MAX {
        let number = u8::try_from(number).unwrap();
        let note = "\u{1}".repeat(INVITATION_NOTE_BYTES_MAX);
        desk.invite(T0_MS, &token(number), HOUR_MS, note).unwrap();
    }
    let mut kept = desk.invitations().unwrap().to_vec();
    for invited in &mut kept {
        let at_ms = T0_MS;
        invited.knock = Some(Knocked {
            card: card.clone(),
            at_ms,
        });
    }
    desk.keep(kept.clone()).unwrap();
    assert_eq!(place.desk().invitations().unwrap(), kept);
}

#[test]
fn every_damage_to_the_file_is_said_and_no_knock_accepted() {
    let place = Place::new();
    invite(&mut place.desk(), 1);
    let path = Desk::path_for(&place.store());
    let whole = fs::read(&path).unwrap();
    let refuses = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let mut desk = place.desk();
        let damaged = desk.invitations();
        assert!(
            matches!(damaged, Err(DeskRefusal::Damaged { .. })),
            "{what}"
        );
        assert!(!knock(&mut desk, 0, &token(1), 1), "{what}");
        assert!(desk.withdraw("00000000").is_err(), "{what}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: not written over");
    };
    for length in 0..whole.len() {
        refuses(&whole[..length], &format!("cut to {length}"));
    }
    for place in 0..whole.len() {
        let mut turned = whole.clone();
        turned[place] ^= 1;
        refuses(&turned, &format!("turned at {place}"));
    }
}
