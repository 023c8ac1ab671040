//! Keys, certificates, cards and genesis files with what must become of them.

mod cards;
mod certificates;
mod contacts;
mod genesis;
mod keys;

use crate::bytes::{Writer, hex};
use crate::forge::{FOUNDED_MS, Forge};
use crate::verdict::{key_rule, roster_rule};
use watchfire_crypto::{PublicKey, Signed, SigningKey, Statement as _};
use watchfire_protocol::limits::DOOR_BYTES_MAX;
use watchfire_protocol::roster::{Roster, RosterError, check_card};
use watchfire_protocol::wire::card::{Card, CertificateBytes, NodeCert};
use watchfire_protocol::wire::codec::{self, CodecError};
use watchfire_protocol::wire::envelope::SignedBytes;
use watchfire_protocol::wire::genesis::{GenesisFile, card_from_file};

/// What a case is about, and so how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// 32 bytes, by themselves.
    Key,
    /// A card file, by itself.
    Card,
    /// A genesis file, by itself.
    Genesis,
    /// A certificate, offered at [`RENEWED_MS`] to the roster of the vectors.
    Certificate,
}

impl Subject {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Card => "card",
            Self::Genesis => "genesis",
            Self::Certificate => "certificate",
        }
    }
}

/// When further certificates are offered: 60 days after the founding.
pub const RENEWED_MS: u64 = FOUNDED_MS + 60 * 24 * 3_600_000;

/// Bytes and what must become of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What is the matter with it, in a sentence.
    pub what: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its id; or the rule, and what the explanation must speak of, so that it
    /// is refused for this and nothing else.
    pub outcome: Result<String, (&'static str, &'static str)>,
}

/// Every case.
pub fn cases(forge: &Forge) -> Vec<Case> {
    [
        keys::cases(),
        cards::cases(forge),
        contacts::cases(forge),
        certificates::cases(forge),
        genesis::cases(forge),
    ]
    .concat()
}

impl Case {
    /// What the product says: an id, or rule and explanation.
    ///
    /// # Errors
    /// What it has against the bytes.
    pub fn judge(&self, roster: &Roster) -> Result<String, (String, String)> {
        judge(self.subject, &self.bytes, roster)
    }
}

/// What the product says of bytes of this kind.
///
/// # Errors
/// What it has against them: rule and explanation.
pub fn judge(subject: Subject, bytes: &[u8], roster: &Roster) -> Result<String, (String, String)> {
    let of_codec = |error: CodecError| ("malformed".to_owned(), error.to_string());
    let of_roster = |error: RosterError| (roster_rule(&error).to_owned(), error.to_string());
    match subject {
        Subject::Key => {
            let key: &[u8; 32] = bytes
                .try_into()
                .map_err(|_| ("length".to_owned(), String::new()))?;
            let key = PublicKey::enrol(key)
                .map_err(|refused| (key_rule(refused).to_owned(), refused.to_string()))?;
            Ok(key.to_string())
        }
        Subject::Card => {
            let card = check_card(&card_from_file(bytes).map_err(of_codec)?).map_err(of_roster)?;
            Ok(card.id.to_string())
        }
        Subject::Genesis => {
            let file = GenesisFile::from_bytes(bytes).map_err(of_codec)?;
            Ok(Roster::found(&file)
                .map_err(of_roster)?
                .federation()
                .to_string())
        }
        Subject::Certificate => {
            let certificate: CertificateBytes =
                codec::decode(bytes, DOOR_BYTES_MAX).map_err(of_codec)?;
            let mut roster = roster.clone();
            Ok(roster
                .admit_certificate(&certificate, RENEWED_MS)
                .map_err(of_roster)?
                .id
                .to_string())
        }
    }
}

/// A member's card, to change.
///
/// # Panics
/// When there is no such member.
pub fn card(forge: &Forge, member: usize) -> Card {
    forge.genesis.cards.as_slice()[member]
        .to_signed()
        .claims()
        .unwrap()
}

/// What a member's certificate says, to change.
///
/// # Panics
/// When there is no such member.
pub fn statement(forge: &Forge, member: usize) -> NodeCert {
    card(forge, member).certificate.claims().unwrap()
}

/// A member's card file.
pub fn card_file(forge: &Forge, member: usize) -> Vec<u8> {
    signed_card(
        &codec::encode(&card(forge, member)),
        &forge.keys[member].root,
    )
}

/// A card file around these bytes, signed.
fn signed_card(statement: &[u8], root: &SigningKey) -> Vec<u8> {
    let signature = root.sign(Card::DOMAIN, statement);
    Writer::new()
        .raw(&[1, 1])
        .bytes(statement)
        .raw(signature.as_bytes())
        .into_vec()
}

/// The genesis file of the first two members.
pub fn genesis_of_two() -> Vec<u8> {
    genesis::of_two(&Forge::default())
}

/// The certificate as bytes, by these keys.
fn certificate(cert: &NodeCert, keys: [&SigningKey; 3]) -> CertificateBytes {
    let [root, signing, transport] = keys;
    CertificateBytes::sign(cert, root, signing, transport).unwrap()
}

/// A card as it stands in a genesis file.
fn signed_bytes(card: &Card, root: &SigningKey) -> SignedBytes<4_096> {
    SignedBytes::new(Signed::<Card>::seal(codec::encode(card), root)).unwrap()
}

fn id_of<T: watchfire_crypto::Statement>(statement: &[u8]) -> String {
    hex(&T::DOMAIN.digest(statement))
}
