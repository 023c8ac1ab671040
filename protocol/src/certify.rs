//! Certificates by file: what a node asks its member's root for, and how the
//! root grants it.
//!
//! A certificate carries three signatures: of the root, and of the two keys of
//! the node it speaks of. The root is kept offline or in a token, so a node
//! makes a *request*: the statement with its own two signatures. Where the root
//! is, a person compares, the root signs, and a file goes back.
//!
//! ```text
//! watchfire-request 1   one line of text, then, as one signed statement of
//!                       the domain "certificate-request" by the signing key:
//!   statement           the node certificate that is asked for
//!   signing, transport  the signatures of the node's two keys on it
//!   slug                what people call the member
//!   card                what its card shall say, where it has none yet
//! ```
//!
//! No IO and no clock: files are bytes and the root is a function that signs.

use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, PublicKey, Signature, Signed, SigningKey, Statement, check};

use crate::limits::{CARD_BYTES_MAX, NODE_CERT_BYTES_MAX};
use crate::roster::{RosterError, check_card, inspect_genesis};
use crate::wire::card::{Card, CertificateBytes, CertificateRefused, Contact, NodeCert, Slug};
use crate::wire::codec::{self, CodecError};
use crate::wire::envelope::{FRAME_VERSION, SignedBytes, frame};
use crate::wire::{Bytes, Genesis, GenesisFile, Kind, List, Role, Text};

/// The longest request file in bytes: what it says fits a card, and the line,
/// a signature and lengths come on top.
pub const REQUEST_FILE_BYTES_MAX: usize = CARD_BYTES_MAX + 128;

/// The longest certificate file in bytes: the statement, three signatures of
/// 64, and 16 for the frame and lengths.
pub const CERTIFICATE_FILE_BYTES_MAX: usize = NODE_CERT_BYTES_MAX + 3 * 64 + 16;

/// What a request file begins with.
const FIRST_LINE: &[u8] = b"watchfire-request 1\n";

/// What a card says besides its certificate; see [`Card`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CardDraft {
    /// Whom to call.
    pub contact: Contact,
    /// Where the member's nodes listen, as multiaddresses.
    pub addresses: List<Text<128>, 8>,
    /// Where their doors are.
    pub door_addresses: List<Text<128>, 4>,
}

/// What a node wishes to be certified as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What people call its member.
    pub slug: Slug,
    /// The root that is to sign.
    pub root_key: PublicKey,
    /// What the node may do: the member's role.
    pub role: Role,
    /// One more than the highest of the member that the node knows.
    pub serial: u64,
    /// Which life of the node.
    pub incarnation: u64,
    /// First moment, in milliseconds UTC.
    pub not_before_ms: u64,
    /// Last moment, in milliseconds UTC.
    pub not_after_ms: u64,
    /// For a member that has no card yet.
    pub card: Option<CardDraft>,
}

/// The signed part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Body {
    statement: Bytes<NODE_CERT_BYTES_MAX>,
    signing: [u8; 64],
    transport: [u8; 64],
    slug: Slug,
    card: Option<CardDraft>,
}

impl Statement for Body {
    const DOMAIN: Domain = Domain::new("certificate-request");
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, CARD_BYTES_MAX)
    }
}

/// Why a request does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// It is not a request file.
    #[error("this is not a certificate request: {why}")]
    Malformed {
        /// What the codec said.
        why: String,
    },
    /// A signature on it does not hold: it was altered, or its maker does not
    /// have the key.
    #[error("the signature of its {key} key does not hold")]
    Signature {
        /// Whose.
        key: &'static str,
    },
    /// It asks for what no certificate may say.
    #[error("{0}")]
    Defect(&'static str),
    /// A field is longer than its place.
    #[error("it is too long: {0}")]
    TooLong(#[from] crate::wire::TooLong),
}

/// Makes a request: the statement that `wish` describes, signed by the node's
/// two keys, as a file.
///
/// # Errors
/// [`RequestRefused::Defect`] when the certificate would not count, and
/// [`RequestRefused::TooLong`].
pub fn make_request(
    wish: &Wish,
    signing: &SigningKey,
    transport: &SigningKey,
) -> Result<Vec<u8>, RequestRefused> {
    let cert = NodeCert {
        root_key: wish.root_key.to_bytes(),
        signing_key: signing.public().to_bytes(),
        transport_key: transport.public().to_bytes(),
        serial: wish.serial,
        incarnation: wish.incarnation,
        role: wish.role,
        not_before_ms: wish.not_before_ms,
        not_after_ms: wish.not_after_ms,
    };
    if let Some(why) = cert.defect() {
        return Err(RequestRefused::Defect(why));
    }
    let statement = codec::encode(&cert);
    let by = |key: &SigningKey| key.sign(NodeCert::DOMAIN, &statement).to_bytes();
    let body = Body {
        signing: by(signing),
        transport: by(transport),
        slug: wish.slug.clone(),
        card: wish.card.clone(),
        statement: Bytes::new(statement)?,
    };
    let signed = Signed::<Body>::seal(codec::encode(&body), signing);
    let signed: SignedBytes<CARD_BYTES_MAX> = SignedBytes::new(signed)?;
    Ok([FIRST_LINE, &codec::encode(&signed)].concat())
}

/// A request in which everything holds that can be checked without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRequest {
    /// Its hash: what people compare.
    pub fingerprint: [u8; 32],
    /// What people call the member: its own word.
    pub slug: Slug,
    /// The certificate that is asked for.
    pub cert: NodeCert,
    /// The card that is asked for, for a member that has none yet.
    pub card: Option<CardDraft>,
    statement: Vec<u8>,
    signing: Signature,
    transport: Signature,
}

/// What the root granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The certificate.
    pub certificate: CertificateBytes,
    /// The card that holds it, where one was asked for.
    pub card: Option<SignedBytes<CARD_BYTES_MAX>>,
}

/// Why a root granted nothing. `E` is why it could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused<E> {
    /// The request is addressed to another root.
    #[error("the request is for another root key")]
    OtherRoot,
    /// The root could not sign.
    #[error(transparent)]
    Root(E),
    /// What the root signed does not hold: a token that signs with another key
    /// than it shows, for example.
    #[error("what the root key signed does not hold: {0}")]
    Certificate(CertificateRefused),
    /// The card would not count.
    #[error("the card would not count: {0}")]
    Card(RosterError),
}

/// Reads a request file: its form, the signatures of both keys of the node, and
/// that a certificate may say what it asks for.
///
/// # Errors
/// [`RequestRefused`].
pub fn read_request(file: &[u8]) -> Result<CheckedRequest, RequestRefused> {
    let malformed = |why: String| RequestRefused::Malformed { why };
    let rest = file
        .strip_prefix(FIRST_LINE)
        .ok_or_else(|| malformed("it does not begin as one".to_owned()))?;
    let signed: SignedBytes<CARD_BYTES_MAX> = codec::decode(rest, REQUEST_FILE_BYTES_MAX)
        .map_err(|error| malformed(error.to_string()))?;
    let signed = signed.to_signed::<Body>();
    let fingerprint = signed.id();
    let claimed = signed
        .claims()
        .map_err(|error| malformed(error.to_string()))?;
    let cert = NodeCert::parse(claimed.statement.as_slice())
        .map_err(|error| malformed(error.to_string()))?;
    if let Some(why) = cert.defect() {
        return Err(RequestRefused::Defect(why));
    }
    if !claimed.slug.is_well_formed() {
        return Err(RequestRefused::Defect("its slug is not well formed"));
    }
    if let Some(why) = claimed.card.as_ref().and_then(|card| card.contact.defect()) {
        return Err(RequestRefused::Defect(why));
    }
    let enrol = |key| PublicKey::enrol(key).map_err(|_| RequestRefused::Defect("a key is weak"));
    let (signing_key, transport_key) = (enrol(&cert.signing_key)?, enrol(&cert.transport_key)?);
    let refused = |key| RequestRefused::Signature { key };
    let body = signed
        .verify(&signing_key)
        .map_err(|_| refused("signing"))?
        .into_value();
    let statement = body.statement.into_vec();
    let signing = Signature::from_bytes(body.signing);
    let transport = Signature::from_bytes(body.transport);
    check(&signing_key, NodeCert::DOMAIN, &statement, &signing).map_err(|_| refused("signing"))?;
    check(&transport_key, NodeCert::DOMAIN, &statement, &transport)
        .map_err(|_| refused("transport"))?;
    Ok(CheckedRequest {
        fingerprint,
        slug: body.slug,
        cert,
        card: body.card,
        statement,
        signing,
        transport,
    })
}

impl CheckedRequest {
    /// Grants what is asked for. `sign` signs with the private half of `root`,
    /// wherever that is; what it signed is checked before anything comes out.
    ///
    /// # Errors
    /// [`GrantRefused`].
    pub fn grant<E>(
        &self,
        root: &PublicKey,
        mut sign: impl FnMut(Domain, &[u8]) -> Result<Signature, E>,
    ) -> Result<Granted, GrantRefused<E>> {
        if self.cert.root_key != *root.as_bytes() {
            return Err(GrantRefused::OtherRoot);
        }
        let by_root = sign(NodeCert::DOMAIN, &self.statement).map_err(GrantRefused::Root)?;
        let certificate = CertificateBytes::assemble(
            &self.statement,
            root,
            &by_root,
            &self.signing,
            &self.transport,
        )
        .map_err(GrantRefused::Certificate)?;
        let card = self
            .card
            .as_ref()
            .map(|draft| self.card_of(draft, &certificate, &mut sign))
            .transpose()?;
        Ok(Granted { certificate, card })
    }

    fn card_of<E>(
        &self,
        draft: &CardDraft,
        certificate: &CertificateBytes,
        mut sign: impl FnMut(Domain, &[u8]) -> Result<Signature, E>,
    ) -> Result<SignedBytes<CARD_BYTES_MAX>, GrantRefused<E>> {
        let card = codec::encode(&Card {
            slug: self.slug.clone(),
            root_key: self.cert.root_key,
            role: self.cert.role,
            contact: draft.contact.clone(),
            addresses: draft.addresses.clone(),
            door_addresses: draft.door_addresses.clone(),
            created_ms: self.cert.not_before_ms,
            certificate: certificate.clone(),
        });
        let signature = sign(Card::DOMAIN, &card).map_err(GrantRefused::Root)?;
        let card = SignedBytes::new(Signed::<Card>::new(card, signature)).map_err(|too_long| {
            GrantRefused::Card(RosterError::Contradiction {
                what: "the card".to_owned(),
                why: format!("too long, {too_long}"),
            })
        })?;
        check_card(&card).map_err(GrantRefused::Card)?;
        Ok(card)
    }
}

/// A certificate as a file.
pub fn certificate_to_file(certificate: &CertificateBytes) -> Vec<u8> {
    frame(Kind::NodeCert, certificate)
}

/// Reads a certificate file; nothing in it is checked yet.
///
/// # Errors
/// When it is not one.
pub fn certificate_from_file(file: &[u8]) -> Result<CertificateBytes, CodecError> {
    match file {
        [FRAME_VERSION, number, rest @ ..] if u16::from(*number) == Kind::NodeCert.number() => {
            codec::decode(rest, CERTIFICATE_FILE_BYTES_MAX)
        }
        _ => Err(CodecError::Malformed {
            why: "this is not a certificate file".to_owned(),
        }),
    }
}

/// Adds the signature of a founder whose root key is not at hand as such: as
/// [`sign_genesis`](crate::roster::sign_genesis), with a function that signs.
///
/// # Errors
/// [`RosterError`] when the file or the new signature does not hold, or `root`
/// is no founder's; the error of `sign` in it.
pub fn sign_genesis_by<E>(
    file: &GenesisFile,
    root: &PublicKey,
    sign: impl FnOnce(Domain, &[u8]) -> Result<Signature, E>,
) -> Result<Result<GenesisFile, E>, RosterError> {
    let state = inspect_genesis(file)?;
    let index = state
        .cards
        .iter()
        .position(|card| card.root_key == *root)
        .and_then(|index| u16::try_from(index).ok())
        .ok_or(RosterError::NotAMember)?;
    let signature = match sign(Genesis::DOMAIN, file.genesis.as_slice()) {
        Ok(signature) => signature.to_bytes(),
        Err(error) => return Ok(Err(error)),
    };
    let mut signatures = file.signatures.clone().into_vec();
    signatures.retain(|(other, _)| *other != index);
    signatures.push((index, signature));
    signatures.sort();
    let signatures = List::new(signatures).map_err(|too_long| RosterError::Contradiction {
        what: "the genesis file".to_owned(),
        why: format!("too long, {too_long}"),
    })?;
    let signed = GenesisFile {
        genesis: file.genesis.clone(),
        signatures,
        cards: file.cards.clone(),
    };
    inspect_genesis(&signed)?;
    Ok(Ok(signed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use core::convert::Infallible;

    use super::*;
    use crate::founding::{Keys, derived_federation};
    use crate::limits::CERTIFICATE_LIFE_MS_MAX;
    use crate::roster::{Roster, sign_genesis};

    const WALL_MS: u64 = 1_800_000_000_000;
    const SEED: [u8; 32] = [8; 32];

    fn wish(keys: &Keys) -> Wish {
        Wish {
            slug: "m-000".parse().unwrap(),
            root_key: keys.root.public(),
            role: Role::Agency,
            serial: 2,
            incarnation: 1,
            not_before_ms: WALL_MS,
            not_after_ms: WALL_MS + CERTIFICATE_LIFE_MS_MAX,
            card: None,
        }
    }

    fn draft() -> CardDraft {
        CardDraft {
            contact: Contact::default(),
            addresses: List::new(vec![Text::new("/ip4/192.0.2.1/tcp/4747").unwrap()]).unwrap(),
            door_addresses: List::default(),
        }
    }

    fn by(key: &SigningKey) -> impl FnMut(Domain, &[u8]) -> Result<Signature, Infallible> {
        |domain, message| Ok(key.sign(domain, message))
    }

    /// A request as somebody makes it who does not keep to the rules.
    fn forged(cert: &NodeCert, keys: &Keys, transport: &SigningKey) -> Vec<u8> {
        let statement = codec::encode(cert);
        let body = Body {
            signing: keys.signing.sign(NodeCert::DOMAIN, &statement).to_bytes(),
            transport: transport.sign(NodeCert::DOMAIN, &statement).to_bytes(),
            slug: "m-000".parse().unwrap(),
            card: None,
            statement: Bytes::new(statement).unwrap(),
        };
        let signed = Signed::<Body>::seal(codec::encode(&body), &keys.signing);
        let signed: SignedBytes<CARD_BYTES_MAX> = SignedBytes::new(signed).unwrap();
        [FIRST_LINE, &codec::encode(&signed)].concat()
    }

    #[test]
    fn what_the_root_grants_is_admitted() {
        let keys = Keys::derived(&SEED, 0);
        let file = make_request(&wish(&keys), &keys.signing, &keys.transport).unwrap();
        assert!(file.len() <= REQUEST_FILE_BYTES_MAX);
        let request = read_request(&file).unwrap();
        assert_eq!(request.cert.serial, 2);
        let granted = request.grant(&keys.root.public(), by(&keys.root)).unwrap();
        assert_eq!(granted.card, None);
        let file = certificate_to_file(&granted.certificate);
        assert!(file.len() <= CERTIFICATE_FILE_BYTES_MAX);
        let read = certificate_from_file(&file).unwrap();
        assert_eq!(read, granted.certificate);
        let roles = [Role::Agency, Role::Agency];
        let (_, mut roster, _) = derived_federation(&SEED, &roles, WALL_MS).unwrap();
        let admitted = roster.admit_certificate(&read, WALL_MS).unwrap();
        assert_eq!((admitted.serial, admitted.incarnation), (2, 1));
    }

    #[test]
    fn a_card_comes_with_the_certificate_that_is_asked_for() {
        let keys = Keys::derived(&SEED, 0);
        let mut wish = wish(&keys);
        wish.card = Some(draft());
        let file = make_request(&wish, &keys.signing, &keys.transport).unwrap();
        let request = read_request(&file).unwrap();
        let granted = request.grant(&keys.root.public(), by(&keys.root)).unwrap();
        let card = check_card(&granted.card.unwrap()).unwrap();
        assert_eq!(card.card.certificate, granted.certificate);
        assert_eq!(card.card.addresses, draft().addresses);
        assert_eq!(card.card.slug, wish.slug);
    }

    #[test]
    fn a_request_with_any_changed_byte_is_refused() {
        let keys = Keys::derived(&SEED, 0);
        let mut wish = wish(&keys);
        wish.card = Some(draft());
        let file = make_request(&wish, &keys.signing, &keys.transport).unwrap();
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(read_request(&altered).is_err(), "byte {at}");
            assert!(read_request(&file[..at]).is_err(), "cut at {at}");
        }
        let longer = [&file[..], b"\0"].concat();
        assert!(read_request(&longer).is_err());
        assert!(read_request(&vec![0; 1 << 20]).is_err());
    }

    #[test]
    fn nobody_is_certified_with_anothers_transport_key() {
        let keys = Keys::derived(&SEED, 0);
        let victim = Keys::derived(&SEED, 1);
        let file = make_request(&wish(&keys), &keys.signing, &keys.transport).unwrap();
        let mut cert = read_request(&file).unwrap().cert;
        assert!(read_request(&forged(&cert, &keys, &keys.transport)).is_ok());
        cert.transport_key = victim.transport.public().to_bytes();
        assert_eq!(
            read_request(&forged(&cert, &keys, &keys.transport)),
            Err(RequestRefused::Signature { key: "transport" })
        );
    }

    #[test]
    fn nobody_asks_for_more_than_90_days() {
        let keys = Keys::derived(&SEED, 0);
        let mut long = wish(&keys);
        long.not_after_ms += 1;
        assert!(matches!(
            make_request(&long, &keys.signing, &keys.transport),
            Err(RequestRefused::Defect(why)) if why.contains("90 days")
        ));
        let file = make_request(&wish(&keys), &keys.signing, &keys.transport).unwrap();
        let mut cert = read_request(&file).unwrap().cert;
        cert.not_after_ms += 24 * 60 * 60 * 1_000;
        assert!(matches!(
            read_request(&forged(&cert, &keys, &keys.transport)),
            Err(RequestRefused::Defect(why)) if why.contains("90 days")
        ));
    }

    #[test]
    fn a_root_grants_only_what_is_asked_of_it_and_what_holds() {
        let keys = Keys::derived(&SEED, 0);
        let other = Keys::derived(&SEED, 1);
        let file = make_request(&wish(&keys), &keys.signing, &keys.transport).unwrap();
        let request = read_request(&file).unwrap();
        assert_eq!(
            request.grant(&other.root.public(), by(&other.root)),
            Err(GrantRefused::OtherRoot)
        );
        assert_eq!(
            request.grant(&keys.root.public(), by(&other.root)),
            Err(GrantRefused::Certificate(CertificateRefused::Signature {
                key: "root"
            }))
        );
        let broken = |_: Domain, _: &[u8]| Err::<Signature, _>("unplugged");
        assert_eq!(
            request.grant(&keys.root.public(), broken),
            Err(GrantRefused::Root("unplugged"))
        );
    }

    #[test]
    fn a_genesis_is_signed_by_a_root_that_is_elsewhere() {
        let roles = [Role::Agency, Role::Agency];
        let (complete, _, keys) = derived_federation(&SEED, &roles, WALL_MS).unwrap();
        let mut file = complete.clone();
        file.signatures = List::default();
        file = sign_genesis(&file, &keys[0].root).unwrap();
        let root = keys[1].root.public();
        let file = sign_genesis_by(&file, &root, by(&keys[1].root)).unwrap();
        assert_eq!(file, Ok(complete.clone()));
        assert!(Roster::found(&file.unwrap()).is_ok());
        assert!(sign_genesis_by(&complete, &root, by(&keys[0].root)).is_err());
        let stranger = Keys::derived(&SEED, 7).root;
        assert_eq!(
            sign_genesis_by(&complete, &stranger.public(), by(&stranger)),
            Err(RosterError::NotAMember)
        );
    }
}
