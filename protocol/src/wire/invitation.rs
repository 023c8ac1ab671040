//! An invitation: one line of text with which an organisation that is no member
//! yet finds a door, and may leave one card there.
//!
//! ```text
//! "watchfire1" and base32 of
//!   federation   [32]                    its id
//!   door         [32]                    transport key of the node whose door it is
//!   token        [32]                    what the door is shown
//!   expires      u64                     milliseconds UTC
//!   addresses    list<text ≤ 128> ≤ 4    of the door
//!   checksum     5 bytes                 of SHA-256 over "watchfire1" and all before
//! ```
//!
//! Base32 is that of people: digits and small letters without i, l, o and u; what
//! is typed as i or l counts as 1 and o as 0, capitals and white space do not
//! matter. Bits that are left over are 0. It is no authority: what a door gives,
//! and what it is given, is checked as if it had come from anybody.

use super::bounded::{List, Text};
use super::codec::{self, CodecError};
use crate::ids::FederationId;
use bincode::{Decode, Encode};
use core::fmt;
use core::str::FromStr;
use watchfire_crypto::sha256;

/// With what the text of one begins; the digit is the version.
pub const INVITATION_PREFIX: &str = "watchfire1";

/// The longest text that is read: 3 × 32 + 9 + 1 + 4 × (1 + 128) + 5 = 627 bytes
/// are 1,004 letters; the rest is for the line ends of a mail.
pub const INVITATION_TEXT_BYTES_MAX: usize = 2_048;

/// Bytes before the checksum: see [`INVITATION_TEXT_BYTES_MAX`].
const BODY_BYTES_MAX: usize = 640;

/// Bytes of the checksum: a typing error passes once in 2^40.
const CHECKSUM_BYTES: usize = 5;

/// Digits of base32, each worth its place.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a hash of a token is bound to.
const TOKEN_HASH_OF: &[u8] = b"watchfire invitation token 1\n";

/// The secret of an invitation, good for one card at one door. It is not printed.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Token([u8; 32]);

impl Token {
    /// Of 32 bytes that nobody can guess.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the inviting node keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        let mut bytes = TOKEN_HASH_OF.to_vec();
        bytes.extend(self.0);
        sha256(&bytes)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What an invitation says. Its text is a secret until the token is used.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invitation {
    /// To which federation.
    pub federation: FederationId,
    /// Transport key of the node whose door it is: nobody else's will do.
    pub door: [u8; 32],
    /// What the door is shown.
    pub token: Token,
    /// Until when a card may be left, in milliseconds UTC.
    pub expires_ms: u64,
    /// Where the door is.
    pub addresses: List<Text<128>, 4>,
}

/// The text is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInvitation {
    /// It begins otherwise.
    #[error(
        "an invitation begins with \"{INVITATION_PREFIX}\"; a later version of the program may read others"
    )]
    Prefix,
    /// Longer than one can be.
    #[error("an invitation has at most {INVITATION_TEXT_BYTES_MAX} letters")]
    TooLong,
    /// A letter that occurs in none.
    #[error("{letter:?} occurs in no invitation; copy the whole line again")]
    Letter {
        /// Which.
        letter: char,
    },
    /// Something was left out, added or mistyped.
    #[error("its checksum does not hold: a letter is missing or wrong; copy the whole line again")]
    Checksum,
    /// The checksum holds and the content does not: another maker's.
    #[error(transparent)]
    Content(#[from] CodecError),
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut bytes = INVITATION_PREFIX.as_bytes().to_vec();
    bytes.extend(body);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.iter_mut()
        .zip(sha256(&bytes))
        .for_each(|(to, from)| *to = from);
    sum
}

fn to_base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    let digit = |value: u32| {
        let place = usize::try_from(value & 31).unwrap_or(0);
        DIGITS.get(place).copied().map_or('0', char::from)
    };
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(held >> bits));
        }
    }
    if bits > 0 {
        text.push(digit(held << (5 - bits)));
    }
    text
}

fn worth(letter: char) -> Option<u32> {
    let letter = match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let place = DIGITS
        .iter()
        .position(|digit| char::from(*digit) == letter)?;
    u32::try_from(place).ok()
}

fn from_base32(text: impl Iterator<Item = char>) -> Result<Vec<u8>, NotAnInvitation> {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in text {
        let worth = worth(letter).ok_or(NotAnInvitation::Letter { letter })?;
        held = (held << 5 | worth) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.extend(u8::try_from(held >> bits & 0xff));
        }
    }
    // One text for one content.
    if bits >= 5 || held & ((1 << bits) - 1) != 0 {
        return Err(NotAnInvitation::Checksum);
    }
    Ok(bytes)
}

impl Invitation {
    /// Whether a text means to be one.
    pub fn is_one(text: &str) -> bool {
        text.trim_start()
            .get(..INVITATION_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(INVITATION_PREFIX))
    }

    /// The text, one line. It is a secret.
    pub fn to_text(&self) -> String {
        let mut bytes = codec::encode(self);
        bytes.extend(checksum(&bytes));
        format!("{INVITATION_PREFIX}{}", to_base32(&bytes))
    }
}

impl FromStr for Invitation {
    type Err = NotAnInvitation;

    fn from_str(text: &str) -> Result<Self, NotAnInvitation> {
        if text.len() > INVITATION_TEXT_BYTES_MAX {
            return Err(NotAnInvitation::TooLong);
        }
        let letters: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        if !Self::is_one(&letters) {
            return Err(NotAnInvitation::Prefix);
        }
        let digits = letters.chars().skip(INVITATION_PREFIX.len());
        let bytes = from_base32(digits)?;
        let at = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .ok_or(NotAnInvitation::Checksum)?;
        let (body, sum) = bytes.split_at(at);
        if checksum(body) != *sum {
            return Err(NotAnInvitation::Checksum);
        }
        Ok(codec::decode(body, BODY_BYTES_MAX)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn invitation(addresses: usize, length: usize) -> Invitation {
        let addresses = (0..addresses).map(|_| Text::new("a".repeat(length)).unwrap());
        Invitation {
            federation: FederationId::from_bytes([0xfe; 32]),
            door: [7; 32],
            token: Token::from_bytes([0x5a; 32]),
            expires_ms: u64::MAX,
            addresses: List::new(addresses.collect()).unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_as_people_copy_it() {
        for (addresses, length) in [(0, 0), (1, 24), (2, 25), (3, 26), (4, 128)] {
            let invitation = invitation(addresses, length);
            let text = invitation.to_text();
            assert!(text.len() <= 1_100, "{}", text.len());
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(text.parse(), Ok(invitation.clone()));
            let (one, other) = text.split_at(80);
            let copied = format!(" {}\r\n  {other}\n", one.to_uppercase());
            assert_eq!(copied.parse(), Ok(invitation.clone()), "in a mail");
            let misread = text[10..].replace('0', "O").replace('1', "l");
            assert_eq!(format!("watchfire1{misread}").parse(), Ok(invitation));
        }
    }

    #[test]
    fn every_typing_error_is_said() {
        let text = invitation(1, 30).to_text();
        for place in INVITATION_PREFIX.len()..text.len() {
            let missing = format!("{}{}", &text[..place], &text[place + 1..]);
            assert!(missing.parse::<Invitation>().is_err(), "{place}");
            let other = if &text[place..=place] == "7" {
                "8"
            } else {
                "7"
            };
            let wrong = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            assert_eq!(
                wrong.parse::<Invitation>(),
                Err(NotAnInvitation::Checksum),
                "{place}"
            );
        }
        let said = |text: &str| text.parse::<Invitation>().unwrap_err();
        assert_eq!(
            said(&text.replace("watchfire1", "watchfire2")),
            NotAnInvitation::Prefix
        );
        assert_eq!(said(""), NotAnInvitation::Prefix);
        assert_eq!(said("watchfire1"), NotAnInvitation::Checksum);
        assert_eq!(
            said(&format!("{text}!")),
            NotAnInvitation::Letter { letter: '!' }
        );
        assert_eq!(said(&text.repeat(20)), NotAnInvitation::TooLong);
        let mut long = INVITATION_PREFIX.to_owned();
        let body = [0xff; 700];
        long.push_str(&to_base32(&[&body[..], &checksum(&body)[..]].concat()));
        assert!(
            matches!(said(&long), NotAnInvitation::Content(_)),
            "over the bound of one"
        );
    }

    #[test]
    fn the_largest_card_fits_a_knock() {
        use crate::founding::{Keys, Profile, make_card};
        use crate::wire::card::{Contact, DutyDesk, Role};
        use crate::wire::{Bytes, List};
        let profile = Profile {
            slug: "a".repeat(32).parse().unwrap(),
            role: Role::Observer,
            contact: Contact {
                name: Text::new("n".repeat(128)).unwrap(),
                mail: Text::new("m".repeat(128)).unwrap(),
                duty: DutyDesk {
                    phone: Text::new("1".repeat(64)).unwrap(),
                    mail: Text::new("m".repeat(128)).unwrap(),
                    hours: Text::new("h".repeat(128)).unwrap(),
                    zone: Text::new("z".repeat(48)).unwrap(),
                },
                languages: List::new(vec![Text::new("l".repeat(35)).unwrap(); 8]).unwrap(),
                pgp: Bytes::new(vec![0xff; 32]).unwrap(),
            },
            addresses: vec!["a".repeat(128); 8],
            door_addresses: vec!["a".repeat(128); 4],
        };
        let keys = Keys::derived(&[1; 32], 1);
        let knock = crate::wire::exchange::DoorRequest::Knock {
            token: Token::from_bytes([0xff; 32]),
            card: make_card(&profile, &keys, u64::MAX >> 1).unwrap(),
        };
        let length = codec::encode(&knock).len();
        assert!(length <= crate::limits::DOOR_BYTES_MAX, "{length}");
        assert!(length > 2_900, "it is a large one: {length}");
    }

    #[test]
    fn attack_49_debug_shows_no_token() {
        let shown = format!("{:?}", invitation(1, 10));
        assert!(shown.contains("Token(…)"), "{shown}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
