//! The door, check by check: everything is as it should be and well signed,
//! except for the one thing that a case spoils.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::founding::{Keys, derived_federation};
use crate::ids::{CertificateId, FederationId, NodeId};
use crate::limits::BODY_INLINE_BYTES_MAX;
use crate::wire::bundle::{Audience, Encoding, Media, Named, Part};
use crate::wire::chunk_tree::chunk_count;
use crate::wire::envelope::{
    Binding, KeyBlockBinding, PayloadBinding, Prefix, SealingBinding, SignedBytes, Tag, frame,
};
use crate::wire::{Bytes, List, Role};
use watchfire_crypto::{Domain, SigningKey, Statement};

const FOUNDED_MS: u64 = 1_767_225_600_000;
const HOUR_MS: u64 = 3_600_000;
const PLAIN: &[u8] = b"the gate does not look into it";

/// A federation of two, and the frames of its first member.
struct Forge {
    roster: Roster,
    keys: Vec<Keys>,
}

/// How a bundle is spoiled before its author signs it.
type Spoil<'a> = &'a dyn Fn(&mut Bundle);

/// What goes into a frame; any of it may be spoiled before it is signed.
#[derive(Clone)]
struct Cast {
    header: Header,
    second: Option<Vec<u8>>,
    key_block: Option<Vec<u8>>,
    head: Vec<u8>,
    payload: Option<Vec<u8>>,
}

impl Forge {
    fn new() -> Self {
        let roles = [Role::Agency, Role::Agency];
        let (_, roster, keys) = derived_federation(&[0x67; 32], &roles, FOUNDED_MS).unwrap();
        Self { roster, keys }
    }

    fn certificate(&self, member: usize) -> &Certificate {
        let key = self.keys[member].transport.public();
        self.roster
            .node(&NodeId::of_transport(key.as_bytes()))
            .unwrap()
    }

    fn bundle(&self) -> Bundle {
        let author = self.certificate(0);
        let part = Part {
            media: Media::Stix,
            length: PLAIN.len() as u64,
            digest: sha256(PLAIN),
        };
        Bundle {
            federation: self.roster.federation(),
            author: author.member,
            certificate: author.id,
            stream: Some((Tag::PUBLIC, 1)),
            created_ms: FOUNDED_MS,
            not_after_ms: FOUNDED_MS + HOUR_MS,
            marking: Marking::Clear,
            permissible_actions: None,
            audience: Audience::Everyone,
            relay_allowed: false,
            exercise: false,
            supersedes: None,
            declassify: None,
            encoding: Encoding::Identity,
            parts: List::new(vec![part]).unwrap(),
        }
    }

    /// An envelope of this class; head and payload bound.
    fn cast(&self, class: Class, head: Vec<u8>, payload: &[u8]) -> Cast {
        let author = self.certificate(0);
        let sealing = SealingBinding {
            key_block: None,
            commitments: Bytes::default(),
        };
        let binding = Binding {
            head: sha256(&head),
            payload: Some(bind(payload)),
            sealing: (!matches!(class, Class::Open { .. })).then_some(sealing),
            second_signature: None,
        };
        let prefix = Prefix {
            federation: self.roster.federation(),
            author: author.member,
            certificate: author.id,
            epoch: self.roster.epoch(),
            expiry_hour: u32::try_from(FOUNDED_MS / HOUR_MS + 1).unwrap(),
            class,
        };
        Cast {
            header: Header { prefix, binding },
            second: None,
            key_block: None,
            head,
            payload: Some(payload.to_vec()),
        }
    }

    /// An inner statement in clear, first of its stream.
    fn open(&self, kind: u16, statement: Vec<u8>, domain: Domain, tag: Tag) -> Cast {
        let head = inner(kind, statement, domain, &self.keys[0].signing);
        let class = Class::Open {
            tag,
            sequence: 1,
            previous: None,
        };
        self.cast(class, head, PLAIN)
    }

    fn around(&self, bundle: &Bundle) -> Cast {
        let statement = codec::encode(bundle);
        self.open(
            Kind::Bundle.number(),
            statement,
            Bundle::DOMAIN,
            Tag::PUBLIC,
        )
    }

    fn plain(&self) -> Cast {
        self.around(&self.bundle())
    }

    /// Sealed, with a key block of these many bytes.
    fn sealed(&self, key_block: usize, payload: usize) -> Cast {
        let class = Class::Sealed {
            suite: 7,
            tag: Tag::from_bytes([0xa5; 16]),
            sequence: 1,
            previous: None,
            size_bucket: 3,
            sealing: Bytes::default(),
        };
        let mut cast = self.cast(class, vec![0x4e; 64], &vec![0x70; payload]);
        let block = vec![0x6b; key_block];
        cast.header.binding.sealing.as_mut().unwrap().key_block = Some(KeyBlockBinding {
            length: u32::try_from(key_block).unwrap(),
            digest: sha256(&block),
        });
        cast.key_block = Some(block);
        cast
    }

    fn frame_by(&self, key: &SigningKey, cast: &Cast) -> Vec<u8> {
        let signed = Signed::<Header>::seal(codec::encode(&cast.header), key);
        let envelope = Envelope {
            header: SignedBytes::new(signed).unwrap(),
            second_signature: cast.second.clone().map(|it| Bytes::new(it).unwrap()),
            key_block: cast.key_block.clone().map(|it| Bytes::new(it).unwrap()),
            head: Bytes::new(cast.head.clone()).unwrap(),
            payload: cast.payload.clone().map(|it| Bytes::new(it).unwrap()),
        };
        frame(Kind::Envelope, &envelope)
    }

    fn frame(&self, cast: &Cast) -> Vec<u8> {
        self.frame_by(&self.keys[0].signing, cast)
    }

    fn check(&self, cast: &Cast) -> Result<Verified<Frame>, Refusal> {
        check(&self.frame(cast), &self.roster)
    }

    /// The refusal of `cast` after `spoil`; as it is, it comes through.
    fn refusal(&self, mut cast: Cast, spoil: impl FnOnce(&mut Cast)) -> Refusal {
        self.check(&cast).unwrap();
        spoil(&mut cast);
        self.check(&cast).unwrap_err()
    }

    fn remains(&self, cast: &Cast) -> Remains {
        let signed = Signed::<Header>::seal(codec::encode(&cast.header), &self.keys[0].signing);
        Remains {
            header: SignedBytes::new(signed).unwrap(),
            second_signature: cast.second.clone().map(|it| Bytes::new(it).unwrap()),
        }
    }
}

fn bind(payload: &[u8]) -> PayloadBinding {
    PayloadBinding {
        chunks: u32::try_from(chunk_count(payload.len() as u64)).unwrap(),
        length: payload.len() as u64,
        root: Root::of(payload).unwrap(),
    }
}

fn inner(kind: u16, statement: Vec<u8>, domain: Domain, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(domain, &statement);
    codec::encode(&Inner {
        kind,
        statement: SignedBytes::new(Signed::<Bundle>::new(statement, signature)).unwrap(),
    })
}

#[test]
fn a_frame_says_what_it_holds() {
    let forge = Forge::new();
    let (bundle, cast) = (forge.bundle(), forge.plain());
    let bytes = forge.frame(&cast);
    let checked = check(&bytes, &forge.roster).unwrap();
    let frame = checked.value();
    assert_eq!(frame.header(), &cast.header);
    let stream = StreamId {
        node: forge.certificate(0).node,
        incarnation: 1,
        tag: Tag::PUBLIC,
    };
    assert_eq!(frame.stream(), Some(stream));
    assert_eq!(frame.payload(), Some(PLAIN));
    assert_eq!(frame.bytes(), bytes);
    let id = Bundle::DOMAIN.digest(&codec::encode(&bundle));
    assert_eq!(frame.bundle_id(), Some(BundleId::from_bytes(id)));
    let id = Header::DOMAIN.digest(&codec::encode(&cast.header));
    assert_eq!(envelope_id(&checked), EnvelopeId::from_bytes(id));
    assert!(matches!(frame.content(), Content::Bundle(held) if *held.value() == bundle));

    let sealed = forge.check(&forge.sealed(64, 300)).unwrap();
    assert!(matches!(
        sealed.value().content(),
        Content::Sealed { suite: 7 }
    ));
    assert_eq!(sealed.value().bundle_id(), None);
}

#[test]
fn size_version_and_kind_come_first() {
    let forge = Forge::new();
    let good = forge.frame(&forge.plain());
    let mut long = good.clone();
    long.resize(FRAME_BYTES_MAX, 0);
    // As long as it may be, it is read; one more byte, and it is not.
    let read = check(&long, &forge.roster).unwrap_err();
    assert!(matches!(read, Refusal::Form { .. }), "{read}");
    assert_eq!(read.blame(), Blame::Forwarder);
    long.push(0);
    let bytes = FRAME_BYTES_MAX + 1;
    assert_eq!(
        check(&long, &forge.roster).unwrap_err(),
        Refusal::TooLong { bytes }
    );
    for (version, kind) in [(1, 14), (2, 15), (0, 15)] {
        let mut other = good.clone();
        (other[0], other[1]) = (version, kind);
        let refusal = check(&other, &forge.roster).unwrap_err();
        assert_eq!(refusal, Refusal::Unknown { version, kind });
        assert_eq!(refusal.blame(), Blame::Nobody);
    }
    let short = check(&good[..1], &forge.roster).unwrap_err();
    assert!(matches!(short, Refusal::Form { .. }));
}

#[test]
fn a_header_counts_for_its_federation_author_and_key() {
    let forge = Forge::new();
    let refusal = |spoil: fn(&Forge, &mut Cast)| {
        forge.refusal(forge.plain(), |cast: &mut Cast| spoil(&forge, cast))
    };
    assert_eq!(
        refusal(|_, cast| cast.header.prefix.federation = FederationId::from_bytes([1; 32])),
        Refusal::OtherFederation
    );
    let unknown: [fn(&Forge, &mut Cast); 3] = [
        |_, cast| cast.header.prefix.epoch += 1,
        |_, cast| cast.header.prefix.certificate = CertificateId::from_bytes([1; 32]),
        |forge, cast| cast.header.prefix.author = forge.certificate(1).member,
    ];
    for spoil in unknown {
        assert_eq!(refusal(spoil), Refusal::UnknownAuthor);
    }
    let by_another = forge.frame_by(&forge.keys[1].signing, &forge.plain());
    assert_eq!(
        check(&by_another, &forge.roster).unwrap_err(),
        Refusal::Signature
    );
    let direct = Class::Direct {
        suite: 7,
        recipient: forge.certificate(1).node,
        size_bucket: 3,
        sealing: Bytes::default(),
    };
    let direct = forge.cast(direct, vec![0x4e; 64], PLAIN);
    assert_eq!(forge.check(&direct).unwrap_err(), Refusal::Direct);
}

#[test]
fn a_second_signature_is_where_the_header_says() {
    let forge = Forge::new();
    for (named, carried, wanted) in [
        (None, None, None),
        (Some(9), None, Some(Refusal::SecondSignature)),
        (None, Some(vec![1; 64]), Some(Refusal::SecondSignature)),
        (
            Some(9),
            Some(vec![1; 64]),
            Some(Refusal::UnknownSignature { suite: 9 }),
        ),
    ] {
        let mut cast = forge.plain();
        cast.header.binding.second_signature = named;
        cast.second = carried;
        assert_eq!(forge.check(&cast).err(), wanted);
        let remains = check_remains(&forge.remains(&cast), &forge.roster);
        assert_eq!(remains.err(), wanted);
    }
}

#[test]
fn what_remains_keeps_header_and_place() {
    let forge = Forge::new();
    let cast = forge.plain();
    let remains = check_remains(&forge.remains(&cast), &forge.roster).unwrap();
    assert_eq!(remains.value().header(), &cast.header);
    let whole = forge.check(&cast).unwrap();
    assert!(whole.value().stream().is_some());
    assert_eq!(remains.value().stream(), whole.value().stream());
}

#[test]
fn a_body_in_the_frame_is_what_was_signed() {
    let forge = Forge::new();
    let body = |part| Refusal::Body { part };
    let spoiled = |spoil: fn(&mut Cast)| forge.refusal(forge.sealed(64, 300), spoil);
    assert_eq!(spoiled(|cast| cast.head[0] ^= 1), body("head"));
    let key_block: [fn(&mut Cast); 4] = [
        |cast| cast.key_block.as_mut().unwrap()[0] ^= 1,
        |cast| {
            let sealing = cast.header.binding.sealing.as_mut().unwrap();
            sealing.key_block.as_mut().unwrap().length += 1;
        },
        |cast| cast.key_block = None,
        |cast| cast.header.binding.sealing.as_mut().unwrap().key_block = None,
    ];
    for spoil in key_block {
        assert_eq!(spoiled(spoil), body("key block"));
    }
    let payload: [fn(&mut Cast); 4] = [
        |cast| cast.payload.as_mut().unwrap()[0] ^= 1,
        |cast| cast.header.binding.payload.as_mut().unwrap().length += 1,
        |cast| cast.payload = None,
        |cast| cast.header.binding.payload = None,
    ];
    for spoil in payload {
        assert_eq!(spoiled(spoil), body("payload"));
    }
}

#[test]
fn a_body_too_long_for_a_frame_is_in_none() {
    let forge = Forge::new();
    // Each part alone would fit; together they are 64 bytes over.
    let whole = forge.sealed(64, BODY_INLINE_BYTES_MAX);
    let mut bare = whole.clone();
    (bare.key_block, bare.payload) = (None, None);
    let refusal = |spoil: fn(&Cast, &mut Cast)| {
        forge.refusal(bare.clone(), |cast: &mut Cast| spoil(&whole, cast))
    };
    assert_eq!(
        refusal(|whole, cast| cast.key_block.clone_from(&whole.key_block)),
        Refusal::Body { part: "key block" }
    );
    assert_eq!(
        refusal(|whole, cast| cast.payload.clone_from(&whole.payload)),
        Refusal::Body { part: "payload" }
    );
    let mut fits = forge.sealed(64, BODY_INLINE_BYTES_MAX - 64);
    forge.check(&fits).unwrap();
    fits.key_block = None;
    assert_eq!(
        forge.check(&fits).unwrap_err(),
        Refusal::Body { part: "key block" }
    );
}

#[test]
fn an_inner_statement_has_one_stream_and_one_signer() {
    let forge = Forge::new();
    let of = |kind: u16, tag| {
        let cast = forge.open(kind, vec![1, 2, 3], Bundle::DOMAIN, tag);
        forge.check(&cast)
    };
    for kind in [Kind::Recall.number(), Kind::Grant.number(), 999] {
        let carried = of(kind, Tag::CONTROL).unwrap();
        assert!(matches!(carried.value().content(), Content::Carried { kind: it } if *it == kind));
        assert_eq!(carried.value().bundle_id(), None);
    }
    for (kind, tag) in [
        (Kind::Recall, Tag::PUBLIC),
        (Kind::Bundle, Tag::CONTROL),
        (Kind::Vote, Tag::PUBLIC),
        (Kind::Vote, Tag::CONTROL),
    ] {
        let kind = kind.number();
        assert_eq!(of(kind, tag).unwrap_err(), Refusal::InnerKind { kind });
    }
    let refusal = forge.refusal(forge.plain(), |cast| {
        let statement = codec::encode(&forge.bundle());
        let other = &forge.keys[1].signing;
        cast.head = inner(Kind::Bundle.number(), statement, Bundle::DOMAIN, other);
        cast.header.binding.head = sha256(&cast.head);
    });
    assert_eq!(refusal, Refusal::InnerSignature);
}

#[test]
fn a_bundle_says_what_its_envelope_says() {
    let forge = Forge::new();
    let spoiled = |spoil: Spoil| {
        let mut bundle = forge.bundle();
        spoil(&mut bundle);
        forge.check(&forge.around(&bundle)).err()
    };
    assert_eq!(spoiled(&|_| {}), None);
    let other = forge.certificate(1);
    let disagrees: [(&'static str, Spoil); 6] = [
        ("the federation", &|it| {
            it.federation = FederationId::from_bytes([1; 32]);
        }),
        ("the author", &|it| it.author = other.member),
        ("the certificate", &|it| it.certificate = other.id),
        ("the stream", &|it| it.stream = Some((Tag::PUBLIC, 2))),
        ("the stream", &|it| it.stream = None),
        ("the expiry", &|it| it.not_after_ms += 1),
    ];
    for (field, spoil) in disagrees {
        assert_eq!(spoiled(spoil), Some(Refusal::InnerDisagrees { field }));
    }
    let field = "the payload";
    let without = forge.refusal(forge.plain(), |cast| {
        (cast.header.binding.payload, cast.payload) = (None, None);
    });
    assert_eq!(without, Refusal::InnerDisagrees { field });

    let before: Spoil = &|it| it.created_ms -= 1;
    assert_eq!(spoiled(before), Some(Refusal::OutsideCertificate));
    let for_hubs: Spoil = &|it| it.relay_allowed = true;
    assert_eq!(
        spoiled(for_hubs),
        Some(Refusal::Bundle(BundleDefect::RelayAllowed))
    );
    let green: Spoil = &|it| {
        it.marking = Marking::Green;
        it.audience = Audience::Named(Named {
            members: List::new(vec![other.member]).unwrap(),
            ..Default::default()
        });
    };
    let marking = Marking::Green;
    assert_eq!(spoiled(green), Some(Refusal::MarkingInClear { marking }));
}

#[test]
fn a_request_of_a_newer_version_is_no_offence() {
    let envelope = EnvelopeId::from_bytes([3; 32]);
    let known = [
        Request::KeyBlock { envelope },
        Request::Notices {
            scope: crate::wire::exchange::NoticeScopeNumber(0),
            since: None,
            have: [7; 16],
        },
        Request::Link { epoch: 1 },
    ];
    for known in known {
        assert_eq!(request(&codec::encode(&known)), Ok(known));
    }
    // Whoever adds a request finds that its number is not let through.
    let last = codec::encode(&Request::Link { epoch: 1 });
    assert_eq!(last.first(), Some(&6));
    assert_eq!(request(&[7]), Err(NotARequest::Unknown { number: 7 }));
    assert!(matches!(request(&[]), Err(NotARequest::Malformed(_))));
    // The number in a longer form than it needs is no number.
    let padded = request(&[251, 5, 0]);
    assert!(matches!(padded, Err(NotARequest::Malformed(_))));
}

#[test]
fn answers_and_the_words_at_the_door_are_read() {
    let reason = crate::wire::exchange::Unavailable::Busy;
    let busy = Answer::Unavailable { reason };
    assert_eq!(answer(&codec::encode(&busy)), Ok(busy));
    let genesis = DoorRequest::Genesis { offset: 7 };
    assert_eq!(door_request(&codec::encode(&genesis)), Ok(genesis));
    let accepted = DoorAnswer::Offer { accepted: true };
    assert_eq!(door_answer(&codec::encode(&accepted)), Ok(accepted));
    assert!(answer(&[]).is_err() && door_request(&[9]).is_err() && door_answer(&[9]).is_err());
}
