//! The end of a node by file: what a node of a member asks its root to say about
//! the end of one, and how the root says it.
//!
//! A revocation is signed by the root, which is kept offline, and has to say up
//! to where the streams of the ended node count, which only a node knows. So a
//! node makes a *request*: the statement as it would be signed, and its own
//! signature, by which an altered file is seen. A node that goes on in a new
//! life asks in the same file for the certificate of that life.
//!
//! ```text
//! watchfire-end-request 1   one line of text, then, as one signed statement of
//!                           the domain "end-request":
//!   by                      the signing key of the node that asks
//!   statement               the revocation that is asked for
//!   slug                    what people call the member
//!   next                    a request for a certificate, for a new life
//! watchfire-life 1          one line of text, then what the root granted for a
//!                           new life: signed<revocation>, certificate
//! ```
//!
//! A revocation alone is a file as a certificate is: the frame of its notice. No
//! IO and no clock here either.

use bincode::{Decode, Encode};
use watchfire_crypto::{Domain, PublicKey, Signature, Signed, SigningKey, Statement};

use crate::certify::{
    CERTIFICATE_FILE_BYTES_MAX, CheckedRequest, GrantRefused, REQUEST_FILE_BYTES_MAX,
    RequestRefused, read_request,
};
use crate::limits::REVOCATION_BYTES_MAX;
use crate::wire::card::{CertificateBytes, CertificateRefused, Slug};
use crate::wire::codec::{self, CodecError};
use crate::wire::envelope::{body_of, frame};
use crate::wire::notice::Revocation;
use crate::wire::{Bytes, Kind, SignedBytes};

/// The longest request of this kind in bytes: the revocation, the request for a
/// certificate, and 256 for the line, key, slug, signature and lengths.
pub const END_REQUEST_FILE_BYTES_MAX: usize = REVOCATION_BYTES_MAX + REQUEST_FILE_BYTES_MAX + 256;

/// The longest file with what came of one, in bytes: the revocation, a signature
/// of 64, the certificate, and 64 for the line and lengths.
pub const ENDED_FILE_BYTES_MAX: usize = REVOCATION_BYTES_MAX + 64 + CERTIFICATE_FILE_BYTES_MAX + 64;

/// What a request begins with.
const FIRST_LINE: &[u8] = b"watchfire-end-request 1\n";

/// What a file for a new life begins with.
const LIFE_LINE: &[u8] = b"watchfire-life 1\n";

/// The signed part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Body {
    by: [u8; 32],
    statement: Bytes<REVOCATION_BYTES_MAX>,
    slug: Slug,
    next: Option<Bytes<REQUEST_FILE_BYTES_MAX>>,
}

impl Statement for Body {
    const DOMAIN: Domain = Domain::new("end-request");
    type Malformed = CodecError;

    fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, END_REQUEST_FILE_BYTES_MAX)
    }
}

/// A revocation that its root signed.
pub type SignedRevocation = SignedBytes<REVOCATION_BYTES_MAX>;

/// A request in which everything holds that can be checked without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedEnd {
    /// Its hash: what people compare.
    pub fingerprint: [u8; 32],
    /// What people call the member: its own word.
    pub slug: Slug,
    /// The revocation that is asked for.
    pub revocation: Revocation,
    /// The certificate that is asked for with it, for the node's next life.
    pub next: Option<CheckedRequest>,
}

/// What the root granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The end.
    pub revocation: SignedRevocation,
    /// The certificate of the node's next life, where one was asked for.
    pub certificate: Option<CertificateBytes>,
}

/// What contradicts itself in a revocation, whoever signs it.
pub fn defect(revocation: &Revocation) -> Option<&'static str> {
    if !revocation.cuts.is_set() {
        return Some("its cuts are not in ascending order");
    }
    let is_twice = revocation
        .cuts
        .as_slice()
        .windows(2)
        .any(|pair| match pair {
            [one, other] => (one.incarnation, one.tag) == (other.incarnation, other.tag),
            [..] => false,
        });
    is_twice.then_some("two of its cuts are of one stream")
}

/// Why the certificate of a next life does not go with a revocation.
fn mismatch(revocation: &Revocation, next: &CheckedRequest) -> Option<&'static str> {
    let cert = &next.cert;
    if cert.node() != revocation.node {
        return Some("it ends one node and certifies another");
    }
    if cert.root_key != revocation.root_key {
        return Some("its two parts are for two root keys");
    }
    if next.card.is_some() {
        return Some("it asks for a card, and its node has lived before");
    }
    if cert.serial <= revocation.serial {
        return Some("the certificate it asks for would be ended by it");
    }
    let is_new = revocation
        .cuts
        .iter()
        .all(|cut| cut.incarnation < cert.incarnation);
    (!is_new).then_some("the life it asks for is not a new one")
}

/// Makes a request to end what `revocation` says, as a file signed by a node of
/// the member; with a request for a certificate, for the node's next life.
///
/// # Errors
/// [`RequestRefused::Defect`] when the revocation or the next life contradicts
/// itself, and [`RequestRefused::TooLong`].
pub fn make_end_request(
    slug: &Slug,
    revocation: &Revocation,
    next: Option<Vec<u8>>,
    signing: &SigningKey,
) -> Result<Vec<u8>, RequestRefused> {
    let body = Body {
        by: signing.public().to_bytes(),
        statement: Bytes::new(codec::encode(revocation))?,
        slug: slug.clone(),
        next: next.map(Bytes::new).transpose()?,
    };
    let signed = Signed::<Body>::seal(codec::encode(&body), signing);
    let signed: SignedBytes<END_REQUEST_FILE_BYTES_MAX> = SignedBytes::new(signed)?;
    let file = [FIRST_LINE, &codec::encode(&signed)].concat();
    read_end_request(&file).map(|_| file)
}

/// Whether a file says that it is such a request.
pub fn is_end_request(file: &[u8]) -> bool {
    file.starts_with(FIRST_LINE)
}

/// Reads a request: its form, the signature of the node that asks, and that what
/// it asks for does not contradict itself.
///
/// # Errors
/// [`RequestRefused`].
pub fn read_end_request(file: &[u8]) -> Result<CheckedEnd, RequestRefused> {
    let malformed = |why: String| RequestRefused::Malformed { why };
    let rest = file
        .strip_prefix(FIRST_LINE)
        .ok_or_else(|| malformed("it does not begin as one".to_owned()))?;
    let signed: SignedBytes<END_REQUEST_FILE_BYTES_MAX> =
        codec::decode(rest, END_REQUEST_FILE_BYTES_MAX)
            .map_err(|error| malformed(error.to_string()))?;
    let signed = signed.to_signed::<Body>();
    let fingerprint = signed.id();
    let claimed = signed
        .claims()
        .map_err(|error| malformed(error.to_string()))?;
    let by = PublicKey::enrol(&claimed.by).map_err(|_| RequestRefused::Defect("a key is weak"))?;
    let body = signed
        .verify(&by)
        .map_err(|_| RequestRefused::Signature { key: "signing" })?
        .into_value();
    if !body.slug.is_well_formed() {
        return Err(RequestRefused::Defect("its slug is not well formed"));
    }
    let revocation = Revocation::parse(body.statement.as_slice())
        .map_err(|error| malformed(error.to_string()))?;
    if let Some(why) = defect(&revocation) {
        return Err(RequestRefused::Defect(why));
    }
    let next = body
        .next
        .map(|next| read_request(next.as_slice()))
        .transpose()?;
    if let Some(why) = next.as_ref().and_then(|next| mismatch(&revocation, next)) {
        return Err(RequestRefused::Defect(why));
    }
    Ok(CheckedEnd {
        fingerprint,
        slug: body.slug,
        revocation,
        next,
    })
}

impl CheckedEnd {
    /// Grants what is asked for. `sign` signs with the private half of `root`,
    /// wherever that is; what it signed is checked before anything comes out.
    ///
    /// # Errors
    /// [`GrantRefused`].
    pub fn grant<E>(
        &self,
        root: &PublicKey,
        mut sign: impl FnMut(Domain, &[u8]) -> Result<Signature, E>,
    ) -> Result<Ended, GrantRefused<E>> {
        // The certificate first: an end without the new life would silence the
        // node for good.
        let certificate = self
            .next
            .as_ref()
            .map(|next| next.grant(root, &mut sign))
            .transpose()?
            .map(|granted| granted.certificate);
        Ok(Ended {
            revocation: sign_revocation(&self.revocation, root, sign)?,
            certificate,
        })
    }
}

/// Has a root sign a revocation, and checks what it signed.
///
/// # Errors
/// [`GrantRefused`].
pub fn sign_revocation<E>(
    revocation: &Revocation,
    root: &PublicKey,
    sign: impl FnOnce(Domain, &[u8]) -> Result<Signature, E>,
) -> Result<SignedRevocation, GrantRefused<E>> {
    if revocation.root_key != *root.as_bytes() {
        return Err(GrantRefused::OtherRoot);
    }
    let bytes = codec::encode(revocation);
    let signature = sign(Revocation::DOMAIN, &bytes).map_err(GrantRefused::Root)?;
    let refused = GrantRefused::Certificate;
    let signed = SignedRevocation::new(Signed::<Revocation>::new(bytes, signature))
        .map_err(|_| refused(CertificateRefused::Defect("the revocation is too long")))?;
    signed
        .to_signed::<Revocation>()
        .verify(root)
        .map_err(|_| refused(CertificateRefused::Signature { key: "root" }))?;
    Ok(signed)
}

/// A revocation as a file, which is the frame of its notice too.
pub fn revocation_to_file(revocation: &SignedRevocation) -> Vec<u8> {
    frame(Kind::Revocation, revocation)
}

/// Reads a revocation file; nothing in it is checked yet but its form.
///
/// # Errors
/// When it is not one.
pub fn revocation_from_file(file: &[u8]) -> Result<SignedRevocation, CodecError> {
    let malformed = || CodecError::Malformed {
        why: "this is not a revocation file".to_owned(),
    };
    let body = body_of(Kind::Revocation, file).ok_or_else(malformed)?;
    let signed: SignedRevocation = codec::decode(body, ENDED_FILE_BYTES_MAX)?;
    signed.to_signed::<Revocation>().claims()?;
    Ok(signed)
}

/// What a root granted for a new life, as a file.
pub fn life_to_file(revocation: &SignedRevocation, certificate: &CertificateBytes) -> Vec<u8> {
    let parts = codec::encode(&(revocation.clone(), certificate.clone()));
    [LIFE_LINE, &parts].concat()
}

/// Reads a file for a new life; nothing in it is checked yet but its form.
///
/// # Errors
/// When it is not one.
pub fn life_from_file(file: &[u8]) -> Result<(SignedRevocation, CertificateBytes), CodecError> {
    let rest = file
        .strip_prefix(LIFE_LINE)
        .ok_or_else(|| CodecError::Malformed {
            why: "this is not a file for a new life of a node".to_owned(),
        })?;
    let (revocation, certificate): (SignedRevocation, CertificateBytes) =
        codec::decode(rest, ENDED_FILE_BYTES_MAX)?;
    revocation.to_signed::<Revocation>().claims()?;
    certificate.claims()?;
    Ok((revocation, certificate))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use core::convert::Infallible;

    use super::*;
    use crate::certify::{Wish, make_request};
    use crate::founding::{Keys, derived_federation};
    use crate::ids::{EnvelopeId, MemberId, NodeId};
    use crate::limits::CERTIFICATE_LIFE_MS_MAX;
    use crate::roster::Roster;
    use crate::wire::notice::{RevocationReason, StreamCut};
    use crate::wire::{List, Role, Tag};

    const WALL_MS: u64 = 1_800_000_000_000;
    const SEED: [u8; 32] = [8; 32];

    fn roster() -> Roster {
        let roles = [Role::Agency, Role::Agency];
        derived_federation(&SEED, &roles, WALL_MS).unwrap().1
    }

    fn keys() -> Keys {
        Keys::derived(&SEED, 0)
    }

    fn revocation() -> Revocation {
        let keys = keys();
        Revocation {
            federation: roster().federation(),
            member: MemberId::of_root(&keys.root.public()),
            root_key: keys.root.public().to_bytes(),
            node: NodeId::of_transport(keys.transport.public().as_bytes()),
            serial: 1,
            created_ms: WALL_MS,
            reason: RevocationReason::Restored,
            cuts: List::new(vec![cut(1)]).unwrap(),
        }
    }

    fn cut(incarnation: u64) -> StreamCut {
        StreamCut {
            incarnation,
            tag: Tag::PUBLIC,
            sequence: 3,
            head: EnvelopeId::from_bytes([7; 32]),
        }
    }

    fn next(serial: u64, incarnation: u64, by: &Keys) -> Vec<u8> {
        let wish = Wish {
            slug: "m-000".parse().unwrap(),
            root_key: keys().root.public(),
            role: Role::Agency,
            serial,
            incarnation,
            not_before_ms: WALL_MS,
            not_after_ms: WALL_MS + CERTIFICATE_LIFE_MS_MAX,
            card: None,
        };
        make_request(&wish, &by.signing, &by.transport).unwrap()
    }

    fn request(revocation: &Revocation, next: Option<Vec<u8>>) -> Result<Vec<u8>, RequestRefused> {
        make_end_request(&"m-000".parse().unwrap(), revocation, next, &keys().signing)
    }

    fn by(key: &SigningKey) -> impl FnMut(Domain, &[u8]) -> Result<Signature, Infallible> {
        |domain, message| Ok(key.sign(domain, message))
    }

    #[test]
    fn what_the_root_grants_ends_one_life_and_begins_the_next() {
        let keys = keys();
        let file = request(&revocation(), Some(next(2, 2, &keys))).unwrap();
        assert!(file.len() <= END_REQUEST_FILE_BYTES_MAX && is_end_request(&file));
        let asked = read_end_request(&file).unwrap();
        assert_eq!(asked.revocation, revocation());
        let ended = asked.grant(&keys.root.public(), by(&keys.root)).unwrap();
        let certificate = ended.certificate.unwrap();
        let file = life_to_file(&ended.revocation, &certificate);
        assert!(file.len() <= ENDED_FILE_BYTES_MAX);
        let (end, begin) = life_from_file(&file).unwrap();
        assert_eq!((&end, &begin), (&ended.revocation, &certificate));
        let alone = revocation_to_file(&end);
        assert_eq!(revocation_from_file(&alone).unwrap(), end);
        assert!(life_from_file(&alone).is_err() && revocation_from_file(&file).is_err());

        let mut roster = roster();
        let old = roster.node(&revocation().node).unwrap().clone();
        let new = roster.admit_certificate(&begin, WALL_MS).unwrap();
        let checked = roster.check_revocation(end.to_signed()).unwrap();
        assert!(roster.revoke(&checked));
        assert!(roster.is_revoked(&old) && !roster.is_revoked(&new));
        assert_eq!(roster.node(&old.node), Some(&new));
    }

    #[test]
    fn a_request_with_any_changed_byte_is_refused() {
        let file = request(&revocation(), Some(next(2, 2, &keys()))).unwrap();
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(read_end_request(&altered).is_err(), "byte {at}");
            assert!(read_end_request(&file[..at]).is_err(), "cut at {at}");
        }
        assert!(read_end_request(&[&file[..], b"\0"].concat()).is_err());
        assert!(read_end_request(&vec![0; 1 << 20]).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_not_asked_for() {
        let keys = keys();
        let mut twice = revocation();
        let mut other = cut(1);
        other.sequence = 4;
        twice.cuts = List::new(vec![cut(1), other]).unwrap();
        let mut unordered = revocation();
        unordered.cuts = List::new(vec![cut(2), cut(1)]).unwrap();
        let stranger = Keys::derived(&SEED, 1);
        for (revocation, next) in [
            (twice, None),
            (unordered, None),
            (revocation(), Some(next(1, 2, &keys))),
            (revocation(), Some(next(2, 1, &keys))),
            (revocation(), Some(next(2, 2, &stranger))),
        ] {
            let refused = request(&revocation, next);
            assert!(
                matches!(refused, Err(RequestRefused::Defect(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_root_ends_only_its_own_and_what_it_signed_must_hold() {
        let keys = keys();
        let other = Keys::derived(&SEED, 1);
        let asked = read_end_request(&request(&revocation(), None).unwrap()).unwrap();
        assert_eq!(
            asked.grant(&other.root.public(), by(&other.root)),
            Err(GrantRefused::OtherRoot)
        );
        assert_eq!(
            asked.grant(&keys.root.public(), by(&other.root)),
            Err(GrantRefused::Certificate(CertificateRefused::Signature {
                key: "root"
            }))
        );
    }
}
