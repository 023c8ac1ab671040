//! Makes frames from seeded keys: valid ones of every form, and, since every
//! part can be changed before it is signed, ones with exactly one defect under
//! good signatures.

use crate::bytes::Writer;
use crate::zstd;
use watchfire_crypto::{Domain, Signature, Signed, SigningKey, Statement, sha256};
use watchfire_protocol::founding::{Keys, derived_federation};
use watchfire_protocol::ids::{EnvelopeId, NodeId};
use watchfire_protocol::limits::BODY_INLINE_BYTES_MAX;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::roster::{Certificate, Roster};
use watchfire_protocol::wire::bundle::{Audience, Bundle, Encoding, Media, Part};
use watchfire_protocol::wire::chunk_tree::chunk_count;
use watchfire_protocol::wire::envelope::{
    Binding, Class, Header, KeyBlockBinding, PayloadBinding, Prefix, SealingBinding, Tag,
};
use watchfire_protocol::wire::{Bytes, GenesisFile, Kind, List, Role, Root, codec};

/// The seed all vectors come from.
pub const SEED: [u8; 32] = [0x57; 32];

/// When the federation was founded: 2026-01-01T00:00:00Z.
pub const FOUNDED_MS: u64 = 1_767_225_600_000;

/// When its bundles are made, a day later.
pub const CREATED_MS: u64 = FOUNDED_MS + 24 * 3_600_000;

/// A tag that is not reserved.
pub const SEALED_TAG: Tag = Tag::from_bytes([0xa5; 16]);

/// A suite that this version does not know.
pub const SUITE: u16 = 7;

/// One indicator, marked CLEAR.
pub const STIX: &str = concat!(
    r#"{"type":"bundle","id":"bundle--7b6f1f6e-8d3b-4b61-9d0b-1d1d6f0f7a01","objects":[{"type":"indicator","#,
    r#""spec_version":"2.1","id":"indicator--2f3a1b0c-5d6e-4f70-8a91-b2c3d4e5f601","#,
    r#""created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","#,
    r#""pattern":"[domain-name:value = 'c2.watch.example']","pattern_type":"stix","#,
    r#""valid_from":"2026-01-01T00:00:00Z","#,
    r#""object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"]}]}"#
);

/// A federation whose keys are known.
pub struct Forge {
    /// Its genesis, signed by everyone.
    pub genesis: GenesisFile,
    /// Its roster.
    pub roster: Roster,
    /// The keys of its members, in the order of their slugs.
    pub keys: Vec<Keys>,
}

/// What goes into a frame. Every field may be changed before it is signed.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The header.
    pub header: Header,
    /// The second signature, as in the frame.
    pub second_signature: Option<Vec<u8>>,
    /// The key block, as in the frame.
    pub key_block: Option<Vec<u8>>,
    /// The head.
    pub head: Vec<u8>,
    /// The payload, as in the frame.
    pub payload: Option<Vec<u8>>,
}

impl Default for Forge {
    fn default() -> Self {
        Self::of(&SEED)
    }
}

impl Forge {
    /// The federation of a seed: two agencies and a hub.
    pub fn of(seed: &[u8; 32]) -> Self {
        Self::founded(seed, FOUNDED_MS)
    }

    /// The federation of a seed, founded at another time: the same keys in
    /// another federation.
    ///
    /// # Panics
    /// When it cannot be founded.
    pub fn founded(seed: &[u8; 32], now_ms: u64) -> Self {
        let roles = [Role::Agency, Role::Agency, Role::Hub];
        let (genesis, roster, keys) = derived_federation(seed, &roles, now_ms).unwrap();
        Self { genesis, roster, keys }
    }

    /// The certificate of a member's node.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn certificate(&self, member: usize) -> &Certificate {
        let node = NodeId::of_transport(self.keys[member].transport.public().as_bytes());
        self.roster.node(&node).unwrap()
    }

    /// A bundle statement about these parts, at sequence 1 of the public
    /// stream, valid for 30 days.
    ///
    /// # Panics
    /// With more than four parts.
    pub fn bundle(&self, member: usize, encoding: Encoding, parts: &[(Media, &[u8])]) -> Bundle {
        let certificate = self.certificate(member);
        let part = |(media, bytes): &(Media, &[u8])| Part {
            media: *media,
            length: bytes.len() as u64,
            digest: sha256(bytes),
        };
        Bundle {
            federation: self.roster.federation(),
            author: certificate.member,
            certificate: certificate.id,
            stream: Some((Tag::PUBLIC, 1)),
            created_ms: CREATED_MS,
            not_after_ms: CREATED_MS + 30 * 24 * 3_600_000,
            marking: Marking::Clear,
            permissible_actions: None,
            audience: Audience::Everyone,
            relay_allowed: false,
            exercise: false,
            supersedes: None,
            declassify: None,
            encoding,
            parts: List::new(parts.iter().map(part).collect()).unwrap(),
        }
    }

    /// The smallest ordinary bundle: one indicator, as is.
    pub fn plain_bundle(&self, member: usize) -> Bundle {
        self.bundle(member, Encoding::Identity, &[(Media::Stix, STIX.as_bytes())])
    }

    /// An open envelope around a bundle. The header says of member, stream and
    /// expiry what it should, whatever the bundle says.
    pub fn open_bundle(&self, member: usize, bundle: &Bundle, payload: &[u8]) -> Cast {
        let statement = codec::encode(bundle);
        let head = head(Kind::Bundle.number(), &statement, Bundle::DOMAIN, &self.keys[member].signing);
        let (tag, sequence) = bundle.stream.unwrap_or((Tag::PUBLIC, 1));
        let expiry_hour = u32::try_from(bundle.expiry_hour()).unwrap_or(u32::MAX - 1);
        let class = Class::Open { tag, sequence, previous: previous(sequence) };
        self.cast(member, class, expiry_hour, head, None, Some(payload))
    }

    /// [`Forge::open_bundle`] around [`Forge::plain_bundle`].
    pub fn plain(&self, member: usize) -> Cast {
        self.open_bundle(member, &self.plain_bundle(member), STIX.as_bytes())
    }

    /// An open envelope around a statement of another kind, without payload.
    pub fn open_other(&self, member: usize, kind: u16, statement: &[u8], domain: Domain, tag: Tag) -> Cast {
        let head = head(kind, statement, domain, &self.keys[member].signing);
        self.open_raw(member, head, tag)
    }

    /// An open envelope around any head, without payload, that never expires
    /// where that is allowed.
    pub fn open_raw(&self, member: usize, head: Vec<u8>, tag: Tag) -> Cast {
        let expiry_hour = if tag == Tag::CONTROL { u32::MAX } else { 491_000 };
        self.cast(member, Class::Open { tag, sequence: 1, previous: None }, expiry_hour, head, None, None)
    }

    /// A sealed envelope with a head of noise.
    ///
    /// # Panics
    /// Never: the sealing fields fit.
    pub fn sealed(&self, member: usize, key_block: Option<&[u8]>, payload: Option<&[u8]>) -> Cast {
        let class = Class::Sealed {
            suite: SUITE,
            tag: SEALED_TAG,
            sequence: 1,
            previous: None,
            size_bucket: 3,
            sealing: Bytes::new(vec![0x5e; 56]).unwrap(),
        };
        self.cast(member, class, 491_000, vec![0x4e; 528], key_block, payload)
    }

    /// An envelope of class direct to the last member's node.
    ///
    /// # Panics
    /// Never: the sealing fields fit.
    pub fn direct(&self, member: usize) -> Cast {
        let class = Class::Direct {
            suite: SUITE,
            recipient: self.certificate(self.keys.len() - 1).node,
            size_bucket: 3,
            sealing: Bytes::new(vec![0x5e; 56]).unwrap(),
        };
        self.cast(member, class, 491_000, vec![0x4e; 528], Some(&[0x6b; 64]), Some(&[0x70; 300]))
    }

    fn cast(
        &self,
        member: usize,
        class: Class,
        expiry_hour: u32,
        head: Vec<u8>,
        key_block: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Cast {
        let certificate = self.certificate(member);
        let open = matches!(class, Class::Open { .. });
        let prefix = Prefix {
            federation: self.roster.federation(),
            author: certificate.member,
            certificate: certificate.id,
            epoch: 0,
            expiry_hour,
            class,
        };
        let sealing = SealingBinding { key_block: None, commitments: Bytes::new(vec![0xc0; 64]).unwrap() };
        let binding =
            Binding { head: [0; 32], payload: None, sealing: (!open).then_some(sealing), second_signature: None };
        let mut cast = Cast {
            header: Header { prefix, binding },
            second_signature: None,
            key_block: key_block.map(<[u8]>::to_vec),
            head,
            payload: payload.map(<[u8]>::to_vec),
        };
        cast.bind();
        let body = payload.map_or(0, <[u8]>::len) + key_block.map_or(0, <[u8]>::len);
        if body > BODY_INLINE_BYTES_MAX {
            (cast.key_block, cast.payload) = (None, None);
        }
        cast
    }

    /// The frame, its header signed by this member's node.
    pub fn sign(&self, member: usize, cast: &Cast) -> Vec<u8> {
        self.sign_header(member, &codec::encode(&cast.header), cast)
    }

    /// The frame with these bytes in place of the header's.
    pub fn sign_header(&self, member: usize, header: &[u8], cast: &Cast) -> Vec<u8> {
        let signature = self.keys[member].signing.sign(Header::DOMAIN, header);
        cast.frame(header, &signature)
    }
}

impl Cast {
    /// Binds what is in the frame: digests, lengths and root as they are.
    ///
    /// # Panics
    /// When a length does not fit its field.
    pub fn bind(&mut self) {
        let binding = &mut self.header.binding;
        binding.head = sha256(&self.head);
        binding.payload = self.payload.as_ref().map(|payload| PayloadBinding {
            chunks: u32::try_from(chunk_count(payload.len() as u64)).unwrap(),
            length: payload.len() as u64,
            root: Root::of(payload).unwrap_or_else(|| Root::of(b"empty").unwrap()),
        });
        if let Some(sealing) = &mut binding.sealing {
            sealing.key_block = self.key_block.as_ref().map(|block| KeyBlockBinding {
                length: u32::try_from(block.len()).unwrap(),
                digest: sha256(block),
            });
        }
    }

    /// Another head, bound.
    #[must_use]
    pub fn with_head(mut self, head: Vec<u8>) -> Self {
        self.header.binding.head = sha256(&head);
        self.head = head;
        self
    }

    /// The frame around these header bytes and this signature, written here.
    pub fn frame(&self, header: &[u8], signature: &Signature) -> Vec<u8> {
        Writer::new()
            .raw(&[1, 15])
            .bytes(header)
            .raw(signature.as_bytes())
            .option(self.second_signature.as_deref())
            .option(self.key_block.as_deref())
            .bytes(&self.head)
            .option(self.payload.as_deref())
            .into_vec()
    }

    /// Its class, to change.
    pub fn class(&mut self) -> &mut Class {
        &mut self.header.prefix.class
    }
}

/// The head of class open: kind, statement, and a signature for `domain`.
pub fn head(kind: u16, statement: &[u8], domain: Domain, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(domain, statement);
    Writer::new().integer(kind.into()).bytes(statement).raw(signature.as_bytes()).into_vec()
}

/// The envelope before, where there must be one.
pub fn previous(sequence: u64) -> Option<EnvelopeId> {
    (sequence > 1).then(|| EnvelopeId::from_bytes([0x99; 32]))
}

/// A statement signed as one of type `T`, its bytes whatever they are.
pub fn seal<T: Statement>(bytes: Vec<u8>, key: &SigningKey) -> Signed<T> {
    Signed::seal(bytes, key)
}

/// STIX that is larger than a body in a frame may be: many notes of spaces.
pub fn large_stix(bytes: usize) -> Vec<u8> {
    let mut stix = STIX.as_bytes().to_vec();
    stix.resize(stix.len().max(bytes), b' ');
    stix
}

/// [`STIX`] in a zstd frame.
pub fn stored_stix() -> Vec<u8> {
    zstd::stored(STIX.as_bytes())
}
