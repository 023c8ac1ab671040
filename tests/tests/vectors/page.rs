//! The tables of `docs/wire.md` against the code: a number that is written
//! twice is the same number.

use std::collections::BTreeMap;
use std::path::Path;

use watchfire_protocol::engine::Rate;
use watchfire_protocol::ids::{CertificateId, EnvelopeId, FederationId, MemberId, NodeId};
use watchfire_protocol::limits;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::wire::bundle::{
    Audience, Bundle, Encoding, Media, Named, Part, PermissibleActions,
};
use watchfire_protocol::wire::envelope::{
    Binding, Class, Header, KeyBlockBinding, PayloadBinding, Prefix, SealingBinding, Tag,
};
use watchfire_protocol::wire::exchange::{
    Answer, DOOR_PIECE_BYTES_MAX, FrontierEntry, Mark, Request, StoreId, StreamId, StreamName,
};
use watchfire_protocol::wire::genesis::{Genesis, GenesisMember, Quorum};
use watchfire_protocol::wire::{Bytes, Kind, List, Role, Root, Text, codec};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the table under this heading, without its first two lines.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            row.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

fn number(text: &str) -> u64 {
    text.replace(',', "")
        .parse()
        .unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// With a comma at every thousand, as the page writes it.
fn written(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn of(bytes: usize) -> u64 {
    bytes as u64
}

#[test]
fn the_limits_are_those_of_the_code() {
    let node = watchfire_node::limits::FRAME_BYTES_MAX
        + watchfire_node::limits::GOSSIP_ENVELOPE_BYTES
        + watchfire_node::limits::GOSSIP_READ_AHEAD_BYTES;
    let code = BTreeMap::from([
        ("frame", of(limits::FRAME_BYTES_MAX)),
        ("gossip message cap", of(node)),
        ("header", of(limits::HEADER_BYTES_MAX)),
        ("bundle", of(limits::INNER_BYTES_MAX)),
        ("head", of(limits::HEAD_BYTES_MAX)),
        ("body in the frame", of(limits::BODY_INLINE_BYTES_MAX)),
        ("chunk", of(limits::CHUNK_BYTES)),
        ("payload as it travels", limits::PAYLOAD_BYTES_MAX),
        ("payload, plain", limits::PLAIN_BYTES_MAX),
        ("key block", of(limits::KEY_BLOCK_BYTES_MAX)),
        ("STIX objects in a bundle", of(limits::OBJECTS_MAX)),
        ("values of a bundle", of(limits::VALUES_PER_BUNDLE_MAX)),
        ("members", of(limits::MEMBERS_MAX)),
        (
            "frontier entries in an answer",
            of(limits::FRONTIER_ENTRIES_MAX),
        ),
        ("runs beyond a gap", of(limits::FRONTIER_RUNS_MAX)),
        ("sequences in a range", of(limits::RANGE_FRAMES_MAX)),
        (
            "certificates of a member",
            of(limits::CERTIFICATES_PER_MEMBER_MAX),
        ),
        ("roster statement", of(limits::ROSTER_BYTES_MAX)),
        ("link", of(limits::LINK_BYTES_MAX)),
        ("alive", of(limits::ALIVE_BYTES_MAX)),
    ]);
    let page = page();
    let rows = table(&page, "## Limits");
    let written: BTreeMap<&str, u64> = rows
        .iter()
        .map(|row| (row[0].as_str(), number(&row[1])))
        .collect();
    assert_eq!(written, code);
    assert_eq!(
        of(watchfire_node::limits::FRAME_BYTES_MAX),
        of(limits::FRAME_BYTES_MAX)
    );
}

#[test]
fn the_kinds_are_those_of_the_code() {
    let page = page();
    let rows = table(&page, "### Kinds");
    assert_eq!(rows.len(), Kind::ALL.len());
    let limits = BTreeMap::from([
        ("card", limits::CARD_BYTES_MAX),
        ("genesis", limits::GENESIS_BYTES_MAX),
        ("node-cert", limits::NODE_CERT_BYTES_MAX),
        ("bundle", limits::INNER_BYTES_MAX),
        ("envelope", limits::FRAME_BYTES_MAX),
    ]);
    let mut checked = 0;
    for (row, kind) in rows.iter().zip(Kind::ALL) {
        let [nr, name, _, carriage, _, _, limit, ..] = row.as_slice() else {
            panic!("{row:?}")
        };
        assert_eq!(
            (number(nr), name.as_str()),
            (kind.number().into(), kind.name())
        );
        assert_eq!(kind.domain().kind(), name);
        let tag = if carriage.starts_with("inner, control stream") {
            Some(Tag::CONTROL)
        } else if carriage.starts_with("inner, public") {
            Some(Tag::PUBLIC)
        } else {
            assert!(!carriage.contains("inner"), "{name}: {carriage}");
            None
        };
        assert_eq!(kind.inner_tag(), tag, "{name}");
        if let Some(code) = limits.get(name.as_str()) {
            assert_eq!(number(limit), of(*code), "{name}");
            checked += 1;
        } else if !carriage.contains("pulled") {
            let carrier = if tag.is_some() {
                limits::INNER_BYTES_MAX
            } else {
                limits::FRAME_BYTES_MAX
            };
            assert!(
                number(limit) <= of(carrier),
                "{name}: {limit} bytes do not fit what carries it"
            );
        }
    }
    assert_eq!(checked, limits.len());
}

#[test]
fn the_numbers_in_the_text_are_those_of_the_code() {
    let page = page();
    let says = |text: String| assert!(page.contains(&text), "the page does not say: {text}");
    let w = |bytes: usize| written(of(bytes));
    says(format!(
        "bytes ≤ {}     prefix ‖ binding",
        w(limits::HEADER_BYTES_MAX)
    ));
    says(format!(
        "Option<bytes ≤ {}>, present exactly when",
        w(limits::SECOND_SIGNATURE_BYTES_MAX)
    ));
    says(format!(
        "key block         Option<bytes ≤ {}>",
        w(limits::KEY_BLOCK_BYTES_MAX)
    ));
    says(format!(
        "head              bytes ≤ {}",
        w(limits::HEAD_BYTES_MAX)
    ));
    says(format!(
        "payload           Option<bytes ≤ {}>",
        w(limits::BODY_INLINE_BYTES_MAX)
    ));
    says(format!("sealing bytes ≤ {}", limits::SEALING_BYTES_MAX));
    says(format!(
        "such a statement has at most {}",
        w(limits::INNER_BYTES_MAX)
    ));
    says("sequence u64 from 1 to 2^48 − 1".to_owned());
    assert_eq!(limits::SEQUENCE_MAX, (1 << 48) - 1);
    says(format!(
        "cut into chunks of {} bytes",
        w(limits::CHUNK_BYTES)
    ));
    says(format!(
        "at most {} bytes; decoding stops",
        written(limits::PLAIN_BYTES_MAX)
    ));
    says(format!(
        "a window of at most {} MiB",
        limits::ZSTD_WINDOW_BYTES_MAX / 1_048_576
    ));
    let days = limits::BUNDLE_LIFE_MS_MAX / 86_400_000;
    says(format!("≤ created + {} days", written(days)));
    says(format!(
        "1 to {} later",
        written(limits::CERTIFICATE_LIFE_MS_MAX)
    ));
    says(format!("genesis bytes ≤ {}", w(limits::GENESIS_BYTES_MAX)));
    says(format!("members list ≤ {}", w(limits::MEMBERS_MAX)));
    says(format!("{} bytes each way", w(limits::DOOR_BYTES_MAX)));
    says(format!("offset u32, bytes ≤ {}", w(DOOR_PIECE_BYTES_MAX)));
    says(format!(
        "Request at most {} bytes",
        w(limits::REQUEST_BYTES_MAX)
    ));
    says(format!("answer at most {}, ", w(limits::ANSWER_BYTES_MAX)));
    says(format!(
        "entries list<entry> ≤ {}, together ≤ {} bytes, more bool",
        w(limits::FRONTIER_ENTRIES_MAX),
        w(limits::FRONTIER_BYTES_MAX)
    ));
    says(format!("≥ 1)> ≤ {}", w(limits::FRONTIER_RUNS_MAX)));
    says(format!("`from` + {}", limits::RANGE_FRAMES_MAX - 1));
    says(format!(
        "items list ≤ {}, together ≤ {} bytes",
        w(limits::RANGE_FRAMES_MAX),
        w(limits::RANGE_BYTES_MAX)
    ));
    says(format!("0 frame bytes ≤ {}", w(limits::FRAME_BYTES_MAX)));
    says(format!(
        "bytes ≤ {}, path list<[32]> ≤ {}",
        w(limits::CHUNK_BYTES),
        limits::CHUNK_PATH_MAX
    ));
    says(format!("over {} bytes", w(limits::FRAME_BYTES_MAX)));
    says(format!(
        "created more than {} minutes ahead",
        limits::CLOCK_SKEW_MS_MAX / 60_000
    ));
    says(format!(
        "more than {} beyond what is held",
        written(limits::SEQUENCE_AHEAD_MAX)
    ));
    says(format!(
        "the node's {}th stream",
        limits::STREAMS_PER_NODE_MAX + 1
    ));
    let (envelopes, bytes) = (Rate::AUTHOR_ENVELOPES, Rate::AUTHOR_BYTES);
    says(format!(
        "{} envelopes at once and {} more a second",
        written(envelopes.burst),
        envelopes.per_second
    ));
    says(format!(
        "{} MiB announced (frame and body) at once",
        bytes.burst / 1_048_576
    ));
    says(format!(
        "{} MiB more a second",
        bytes.per_second / 1_048_576
    ));
}

/// The largest frame, field by field, as the table adds it up.
#[test]
fn the_largest_frame_fits() {
    let header = 3 + limits::HEADER_BYTES_MAX;
    let second = 1 + 3 + limits::SECOND_SIGNATURE_BYTES_MAX;
    let head = 3 + limits::HEAD_BYTES_MAX;
    let sum = 2 + header + 64 + second + head + limits::BODY_INLINE_BYTES_MAX + 12;
    let [header, second, head, body, sum] =
        [header, second, head, limits::BODY_INLINE_BYTES_MAX, sum].map(|bytes| written(of(bytes)));
    let says = format!(
        "2 + header {header} + signature 64 + second {second} + head {head} + body {body} + 12 of lengths and options = {sum}"
    );
    assert!(page().contains(&says), "{says}");
}

#[test]
fn the_largest_header_is_as_long_as_the_page_says() {
    let full = || Bytes::new(vec![0xff; limits::SEALING_BYTES_MAX]).unwrap();
    let prefix = Prefix {
        federation: FederationId::from_bytes([1; 32]),
        author: MemberId::from_bytes([2; 32]),
        certificate: CertificateId::from_bytes([3; 32]),
        epoch: u64::MAX,
        expiry_hour: u32::MAX,
        class: Class::Sealed {
            suite: u16::MAX,
            tag: Tag::from_bytes([4; 16]),
            sequence: limits::SEQUENCE_MAX,
            previous: Some(EnvelopeId::from_bytes([5; 32])),
            size_bucket: u8::MAX,
            sealing: full(),
        },
    };
    let binding = Binding {
        head: [6; 32],
        payload: Some(PayloadBinding {
            chunks: u32::MAX,
            length: u64::MAX,
            root: Root::of(b"x").unwrap(),
        }),
        sealing: Some(SealingBinding {
            key_block: Some(KeyBlockBinding {
                length: u32::MAX,
                digest: [7; 32],
            }),
            commitments: full(),
        }),
        second_signature: Some(u16::MAX),
    };
    let (of_prefix, of_binding) = (codec::encode(&prefix).len(), codec::encode(&binding).len());
    let together = codec::encode(&Header { prefix, binding }).len();
    assert!(together <= limits::HEADER_BYTES_MAX);
    let page = page();
    for says in [
        format!("+ 259 = {of_prefix}; binding"),
        format!("+ 259 + 4 = {of_binding}; together {together} |"),
    ] {
        assert!(page.contains(&says), "the page does not say: {says}");
    }
}

#[test]
fn the_largest_bundle_is_as_long_as_the_page_says() {
    let text = |at: usize| Text::<32>::new(format!("{at:032}")).unwrap();
    let member = |at: usize| MemberId::from_bytes([u8::try_from(at).unwrap(); 32]);
    let named = Named {
        communities: List::new((0..16).map(text).collect()).unwrap(),
        groups: List::new((0..16).map(|at| ([at; 32], u64::MAX)).collect()).unwrap(),
        members: List::new((0..64).map(member).collect()).unwrap(),
        people: List::new((0..32).map(|at| (member(at), text(at))).collect()).unwrap(),
    };
    let sizes = [
        codec::encode(&named.communities).len(),
        codec::encode(&named.groups).len(),
        codec::encode(&named.members).len(),
        codec::encode(&named.people).len(),
    ];
    let audience = Audience::Named(named);
    let parts = List::new(vec![
        Part {
            media: Media::Stix,
            length: u64::MAX,
            digest: [1; 32]
        };
        4
    ])
    .unwrap();
    let declassify = Some(Text::<512>::new("x".repeat(512)).unwrap());
    let [of_audience, of_declassify, of_parts] = [
        codec::encode(&audience).len(),
        codec::encode(&declassify).len(),
        codec::encode(&parts).len(),
    ];
    let bundle = Bundle {
        federation: FederationId::from_bytes([1; 32]),
        author: MemberId::from_bytes([2; 32]),
        certificate: CertificateId::from_bytes([3; 32]),
        stream: Some((Tag::PUBLIC, limits::SEQUENCE_MAX)),
        created_ms: u64::MAX,
        not_after_ms: u64::MAX,
        marking: Marking::Red,
        permissible_actions: Some(PermissibleActions::Red),
        audience,
        relay_allowed: true,
        exercise: true,
        supersedes: Some(watchfire_protocol::ids::BundleId::from_bytes([4; 32])),
        declassify,
        encoding: Encoding::Zstd,
        parts,
    };
    let together = codec::encode(&bundle).len();
    assert!(together <= limits::INNER_BYTES_MAX);
    let rest = together - of_audience - of_declassify - of_parts;
    let [communities, groups, members, people] = sizes.map(|bytes| written(of(bytes)));
    let says = format!(
        "audience 1 + {communities} + {groups} + {members} + {people} = {}; declassify {of_declassify}; \
         parts {of_parts}; the rest {rest}; together {}",
        written(of(of_audience)),
        written(of(together))
    );
    assert!(page().contains(&says), "the page does not say: {says}");
}

#[test]
fn the_largest_federation_fits_its_genesis() {
    let genesis = |communities: usize| {
        let text = |at: usize| Text::<32>::new(format!("{at:032}")).unwrap();
        let member = |at: usize| GenesisMember {
            slug: format!("m{at:031}").parse().unwrap(),
            root_key: [0xff; 32],
            role: Role::Observer,
            communities: List::new((0..communities).map(text).collect()).unwrap(),
            card: watchfire_protocol::ids::CardId::from_bytes([0xff; 32]),
        };
        let members = List::new((0..limits::MEMBERS_MAX).map(member).collect()).unwrap();
        let name = Text::new("x".repeat(64)).unwrap();
        codec::encode(&Genesis {
            name,
            created_ms: u64::MAX,
            quorum: Quorum::Byzantine,
            members,
        })
        .len()
    };
    assert!(genesis(4) <= limits::GENESIS_BYTES_MAX && genesis(5) > limits::GENESIS_BYTES_MAX);
    assert!(page().contains("with four communities on average"));
    let file = limits::GENESIS_BYTES_MAX
        + limits::MEMBERS_MAX * (3 + 64 + 3 + limits::CARD_BYTES_MAX + 64)
        + 64;
    assert!(file <= limits::GENESIS_FILE_BYTES_MAX);
}

#[test]
fn the_largest_messages_fit_their_limits() {
    let stream = StreamId {
        node: NodeId::from_bytes([1; 32]),
        incarnation: u64::MAX,
        tag: Tag::PUBLIC,
    };
    let entry = FrontierEntry {
        name: StreamName::Full(stream),
        through: u64::MAX,
        head: Some([2; 8]),
        beyond: List::default(),
    };
    let entries = List::new(vec![entry; limits::FRONTIER_ENTRIES_MAX]).unwrap();
    let at = Mark {
        store: StoreId([3; 16]),
        change: u64::MAX,
    };
    let frontier = codec::encode(&Answer::Frontier {
        at,
        entries,
        more: true,
    })
    .len();
    assert!(frontier <= limits::FRONTIER_BYTES_MAX);
    assert!(
        (78_500..79_500).contains(&frontier),
        "the page says 79 KB: {frontier}"
    );
    // What lists of the largest size have around them.
    for bytes in [limits::FRONTIER_BYTES_MAX, limits::RANGE_BYTES_MAX] {
        assert!(bytes + 64 <= limits::ANSWER_BYTES_MAX);
    }
    let bytes = Bytes::new(vec![1; limits::CHUNK_BYTES]).unwrap();
    let path = List::new(vec![[3; 32]; limits::CHUNK_PATH_MAX]).unwrap();
    let chunk = codec::encode(&Answer::Chunk { bytes, path }).len();
    assert!(chunk <= limits::ANSWER_BYTES_MAX, "{chunk}");
    let request = codec::encode(&Request::Range {
        stream,
        from: u64::MAX - 1,
        to: u64::MAX,
    })
    .len();
    assert!(request <= limits::REQUEST_BYTES_MAX);
    assert_eq!(
        of(limits::CHUNK_BYTES * limits::CHUNKS_MAX),
        limits::PAYLOAD_BYTES_MAX
    );
    assert_eq!(1 << limits::CHUNK_PATH_MAX, limits::CHUNKS_MAX);
}
