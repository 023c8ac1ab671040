//! How a federation begins: cards are checked, a genesis is drafted of them,
//! every founder signs it, and what has been signed is inspected.

use std::collections::BTreeMap;

use watchfire_crypto::{PublicKey, Signature, Signed, SigningKey, Statement, check};

use super::{Certificate, RosterError, contradiction, malformed, too_long, verify_certificate};
use crate::ids::{CardId, FederationId, MemberId};
use crate::wire::card::{Card, Slug};
use crate::wire::envelope::SignedBytes;
use crate::wire::genesis::{Genesis, GenesisFile, GenesisMember, Quorum};
use crate::wire::{Bytes, List, Text, codec};

/// A card whose signature, certificate and fields hold.
#[derive(Clone, Debug)]
pub struct CheckedCard {
    /// Its hash.
    pub id: CardId,
    /// Its fields.
    pub card: Card,
    /// Its root key.
    pub root_key: PublicKey,
    /// Its first certificate.
    pub certificate: Certificate,
}

/// Checks a card by itself: that one root signed card and certificate.
///
/// # Errors
/// Says what does not hold.
pub fn check_card<const MAX: usize>(signed: &SignedBytes<MAX>) -> Result<CheckedCard, RosterError> {
    let signed: Signed<Card> = signed.to_signed();
    let claimed = signed.claims().map_err(malformed("the card"))?;
    let what = format!("the card of {}", claimed.slug);
    if !claimed.slug.is_well_formed() {
        return Err(contradiction("the card", "its slug is not well formed"));
    }
    let root_key = PublicKey::enrol(&claimed.root_key)
        .map_err(|error| contradiction(&what, error.to_string()))?;
    let card = signed
        .verify(&root_key)
        .map_err(|_| RosterError::Signature { what: what.clone() })?;
    let id = CardId::from_bytes(card.id());
    let card = card.into_value();
    let certificate = verify_certificate(
        &card.certificate,
        MemberId::of_root(&root_key),
        &root_key,
        &format!("the certificate of {}", card.slug),
    )?;
    if certificate.role != card.role {
        return Err(contradiction(
            &what,
            "card and certificate name different roles",
        ));
    }
    if let Some(why) = card.contact.defect() {
        return Err(contradiction(&what, why));
    }
    Ok(CheckedCard {
        id,
        card,
        root_key,
        certificate,
    })
}

/// Makes a genesis of cards, signed by nobody yet.
///
/// # Errors
/// When a card does not hold, or two share what must be their own.
pub fn draft_genesis<const MAX: usize>(
    name: &str,
    created_ms: u64,
    cards: &[(SignedBytes<MAX>, Vec<String>)],
) -> Result<GenesisFile, RosterError> {
    let mut checked = cards
        .iter()
        .map(|(signed, communities)| {
            check_card(signed).map(|card| (card, signed, communities.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    checked.sort_by(|(a, _, _), (b, _, _)| a.card.slug.cmp(&b.card.slug));
    let mut members = Vec::new();
    let mut files = Vec::new();
    for (checked, signed, mut communities) in checked {
        communities.sort();
        communities.dedup();
        let communities = communities
            .into_iter()
            .map(|community| Text::new(community).map_err(too_long("a community")))
            .collect::<Result<Vec<_>, _>>()?;
        members.push(GenesisMember {
            slug: checked.card.slug.clone(),
            root_key: checked.card.root_key,
            role: checked.card.role,
            communities: List::new(communities).map_err(too_long("the communities"))?,
            card: checked.id,
        });
        files.push(SignedBytes::new(signed.to_signed::<Card>()).map_err(too_long("a card"))?);
    }
    let genesis = Genesis {
        name: Text::new(name).map_err(too_long("the name"))?,
        created_ms,
        quorum: Quorum::Byzantine,
        members: List::new(members).map_err(too_long("the members"))?,
    };
    let file = GenesisFile {
        genesis: Bytes::new(codec::encode(&genesis)).map_err(too_long("the genesis"))?,
        signatures: List::default(),
        cards: List::new(files).map_err(too_long("the cards"))?,
    };
    check_members(&file)?;
    Ok(file)
}

/// Adds a founder's signature.
///
/// # Errors
/// When the key is no founder's.
pub fn sign_genesis(file: &GenesisFile, root: &SigningKey) -> Result<GenesisFile, RosterError> {
    let (genesis, _) = check_members(file)?;
    let public = root.public();
    let index = genesis
        .members
        .iter()
        .position(|member| member.root_key == *public.as_bytes())
        .and_then(|index| u16::try_from(index).ok())
        .ok_or(RosterError::NotAMember)?;
    let signature = root
        .sign(Genesis::DOMAIN, file.genesis.as_slice())
        .to_bytes();
    let mut signatures = file.signatures.clone().into_vec();
    signatures.retain(|(other, _)| *other != index);
    signatures.push((index, signature));
    signatures.sort();
    Ok(GenesisFile {
        genesis: file.genesis.clone(),
        signatures: List::new(signatures).map_err(too_long("the signatures"))?,
        cards: file.cards.clone(),
    })
}

/// Who has signed a genesis and who has not.
#[derive(Clone, Debug)]
pub struct GenesisState {
    /// The hash to compare by telephone.
    pub federation: FederationId,
    /// The statement.
    pub genesis: Genesis,
    /// The founders' cards, in their order.
    pub cards: Vec<CheckedCard>,
    /// For each founder, whether its signature is there and holds.
    pub signed: Vec<bool>,
}

/// Reads a genesis file on its way round: every signature in it must hold, but
/// some may be missing.
///
/// # Errors
/// When anything in it does not hold.
pub fn inspect_genesis(file: &GenesisFile) -> Result<GenesisState, RosterError> {
    let (genesis, cards) = check_members(file)?;
    let mut signed = vec![false; genesis.members.len()];
    let mut last = None;
    for (index, signature) in file.signatures.iter() {
        if last.is_some_and(|last| last >= *index) {
            return Err(contradiction(
                "the genesis file",
                "its signatures are not in ascending order",
            ));
        }
        last = Some(*index);
        let at = usize::from(*index);
        let (Some(card), Some(slot)) = (cards.get(at), signed.get_mut(at)) else {
            return Err(contradiction(
                "the genesis file",
                "it is signed by somebody who is no founder",
            ));
        };
        check(
            &card.root_key,
            Genesis::DOMAIN,
            file.genesis.as_slice(),
            &Signature::from_bytes(*signature),
        )
        .map_err(|_| RosterError::Signature {
            what: format!("the genesis, of {}", card.card.slug),
        })?;
        *slot = true;
    }
    let federation = FederationId::from_bytes(Genesis::DOMAIN.digest(file.genesis.as_slice()));
    Ok(GenesisState {
        federation,
        genesis,
        cards,
        signed,
    })
}

/// Statement and cards belong together and nobody shares a key with another.
fn check_members(file: &GenesisFile) -> Result<(Genesis, Vec<CheckedCard>), RosterError> {
    let genesis = Genesis::parse(file.genesis.as_slice()).map_err(malformed("the genesis"))?;
    let count = genesis.members.len();
    if count < 2 {
        return Err(RosterError::Size {
            members_max: crate::limits::MEMBERS_MAX,
        });
    }
    if file.cards.len() != count {
        return Err(contradiction(
            "the genesis file",
            "it does not hold one card for each member",
        ));
    }
    let mut cards = Vec::new();
    for (member, signed) in genesis.members.iter().zip(file.cards.iter()) {
        let checked = check_card(signed)?;
        let agrees = checked.id == member.card
            && checked.card.slug == member.slug
            && checked.card.root_key == member.root_key
            && checked.card.role == member.role;
        if !agrees {
            return Err(contradiction(
                &format!("the genesis, about {}", member.slug),
                "it does not agree with the card",
            ));
        }
        if !member.communities.is_set() {
            return Err(contradiction(
                "the genesis",
                "its communities are not in ascending order",
            ));
        }
        cards.push(checked);
    }
    if !genesis
        .members
        .as_slice()
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.slug < b.slug))
    {
        return Err(contradiction(
            "the genesis",
            "its members are not in ascending order, or share a slug",
        ));
    }
    let mut keys: BTreeMap<[u8; 32], &Slug> = BTreeMap::new();
    for card in &cards {
        let certificate = &card.certificate;
        for key in [
            *card.root_key.as_bytes(),
            *certificate.signing_key.as_bytes(),
            certificate.transport_key,
        ] {
            if let Some(other) = keys.insert(key, &card.card.slug) {
                return Err(RosterError::Shared {
                    first: other.to_string(),
                    second: card.card.slug.to_string(),
                    what: "key",
                });
            }
        }
    }
    Ok((genesis, cards))
}
