//! Making members: what `init` and `federation create` do, without IO.
//!
//! Keys come in as seeds, so the caller decides where chance comes from: the
//! operating system in a node, a seed in a simulation.

use crate::limits::CERTIFICATE_LIFE_MS_MAX;
use crate::roster::{Roster, RosterError, draft_genesis, sign_genesis};
use crate::wire::card::{Card, CertificateBytes, Contact, NodeCert, Role, Slug};
use crate::wire::envelope::SignedBytes;
use crate::wire::genesis::GenesisFile;
use crate::wire::{List, Text, TooLong, codec};
use watchfire_crypto::{Domain, Signed, SigningKey};

/// The three keys of a member with one node.
pub struct Keys {
    /// Signs cards and certificates; kept offline.
    pub root: SigningKey,
    /// Signs statements.
    pub signing: SigningKey,
    /// Is the node's peer id.
    pub transport: SigningKey,
}

impl Keys {
    /// Keys of three seeds.
    pub fn from_seeds(root: &[u8; 32], signing: &[u8; 32], transport: &[u8; 32]) -> Self {
        Self {
            root: SigningKey::from_seed(root),
            signing: SigningKey::from_seed(signing),
            transport: SigningKey::from_seed(transport),
        }
    }

    /// Keys that follow from one seed and a number: for simulations and tests,
    /// where the same number must always be the same member.
    pub fn derived(seed: &[u8; 32], number: u64) -> Self {
        let derive = |purpose: u8| {
            let mut bytes = seed.to_vec();
            bytes.push(purpose);
            bytes.extend(number.to_be_bytes());
            Domain::new("derived-key").digest(&bytes)
        };
        Self::from_seeds(&derive(0), &derive(1), &derive(2))
    }
}

/// What a member says of itself.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What people call it.
    pub slug: Slug,
    /// What its node may do.
    pub role: Role,
    /// Whom to call.
    pub contact: Contact,
    /// Where its node listens, as multiaddresses.
    pub addresses: Vec<String>,
    /// Where its door is.
    pub door_addresses: Vec<String>,
}

/// Makes a member's card with its first certificate, valid from `now_ms` for
/// as long as a certificate may be.
///
/// # Errors
/// When a field is longer than a card has room for.
pub fn make_card(
    profile: &Profile,
    keys: &Keys,
    now_ms: u64,
) -> Result<SignedBytes<4_096>, TooLong> {
    let cert = NodeCert {
        root_key: keys.root.public().to_bytes(),
        signing_key: keys.signing.public().to_bytes(),
        transport_key: keys.transport.public().to_bytes(),
        serial: 1,
        incarnation: 1,
        role: profile.role,
        not_before_ms: now_ms,
        not_after_ms: now_ms.saturating_add(CERTIFICATE_LIFE_MS_MAX),
    };
    let texts = |texts: &[String]| {
        texts
            .iter()
            .map(|text| Text::new(text.as_str()))
            .collect::<Result<Vec<_>, _>>()
    };
    let card = Card {
        slug: profile.slug.clone(),
        root_key: cert.root_key,
        role: profile.role,
        contact: profile.contact.clone(),
        addresses: List::new(texts(&profile.addresses)?)?,
        door_addresses: List::new(texts(&profile.door_addresses)?)?,
        created_ms: now_ms,
        certificate: CertificateBytes::sign(&cert, &keys.root, &keys.signing, &keys.transport)?,
    };
    SignedBytes::new(Signed::<Card>::seal(codec::encode(&card), &keys.root))
}

/// A whole federation from seeds: members `m-0`, `m-1`, … with these roles, all
/// of community `demo`. For simulations and tests.
///
/// # Errors
/// When there are too few or too many.
pub fn derived_federation(
    seed: &[u8; 32],
    roles: &[Role],
    now_ms: u64,
) -> Result<(GenesisFile, Roster, Vec<Keys>), RosterError> {
    let keys: Vec<Keys> = (0..)
        .zip(roles)
        .map(|(number, _)| Keys::derived(seed, number))
        .collect();
    let mut cards = Vec::new();
    for ((number, role), keys) in (0..).zip(roles).zip(&keys) {
        let number: u64 = number;
        let profile = Profile {
            slug: format!("m-{number:03}")
                .parse()
                .map_err(|_| RosterError::NotAMember)?,
            role: *role,
            contact: Contact::default(),
            addresses: Vec::new(),
            door_addresses: Vec::new(),
        };
        let card = make_card(&profile, keys, now_ms).map_err(|error| RosterError::Malformed {
            what: "a card".to_owned(),
            why: error.to_string(),
        })?;
        cards.push((card, vec!["demo".to_owned()]));
    }
    let mut file = draft_genesis("simulated", now_ms, &cards)?;
    for keys in &keys {
        file = sign_genesis(&file, &keys.root)?;
    }
    let roster = Roster::found(&file)?;
    Ok((file, roster, keys))
}
