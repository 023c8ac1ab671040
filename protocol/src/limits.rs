//! Every bound of the protocol, with its reason and its arithmetic.
//!
//! `docs/wire.md` repeats those that other implementations must know.

/// Largest frame: 2 of version and kind + header 1,027 + signature 64 + second
/// signature 4,100 + head 8,211 + body 32,768 + 12 of lengths and options =
/// 46,184, and room for a field.
pub const FRAME_BYTES_MAX: usize = 49_152;

/// Largest outer header. Sealed, the larger form, needs 813.
pub const HEADER_BYTES_MAX: usize = 1_024;

/// Largest second signature: ML-DSA-65 has 3,309 bytes.
pub const SECOND_SIGNATURE_BYTES_MAX: usize = 4_096;

/// Largest key block: 64 slots of 1,168 bytes and their framing.
pub const KEY_BLOCK_BYTES_MAX: usize = 81_920;

/// Slots in a key block: recipient nodes of an audience that was made for one
/// bundle. Above it, a group is made.
pub const SLOTS_MAX: usize = 64;

/// Audience keys under which one content key travels: as many as a bundle
/// names communities and groups.
pub const WRAPS_MAX: usize = 32;

/// Slots of a grant: 436 of them, 1,168 bytes each with 32 of a name and 2 of a
/// length, are the 524,288 bytes that a grant may have. A larger audience has
/// several grants of one audience key.
pub const GRANT_SLOTS_MAX: usize = 436;

/// Slots with a hint of its own that a node tries: one is its own, another is met by
/// chance once in 2^32, and an author that marks all of them so wins no time of it.
pub const OWN_SLOTS_TRIED_MAX: usize = 4;

/// Largest payload of a grant.
pub const GRANT_BYTES_MAX: usize = 524_288;

/// What a grant tells its audience alone: the audience by name, a tag, a
/// secret, and the tag of the AEAD.
pub const GRANT_NOTE_BYTES_MAX: usize = 6_144;

/// How long a prekey may be sealed to.
pub const PREKEY_LIFE_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Largest head: the largest padding step of 8 KiB and an AEAD tag.
pub const HEAD_BYTES_MAX: usize = 8_208;

/// Largest inner statement: a head less 80 of kind, length and signature. The
/// largest bundle, with every list full, has 6,181.
pub const INNER_BYTES_MAX: usize = HEAD_BYTES_MAX - 80;

/// Up to here a body travels inside its frame; above it is announced and pulled.
pub const BODY_INLINE_BYTES_MAX: usize = 32_768;

/// Opaque fields of sealing: a key id, a nonce; commitments of four segments.
pub const SEALING_BYTES_MAX: usize = 256;

/// Sequences stay below 2^48, so that a jump costs nobody arithmetic.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// How far ahead of what is held without gaps an envelope may be. Further ones
/// come again by catch-up.
pub const SEQUENCE_AHEAD_MAX: u64 = 4_096;

/// Streams one life of a node may have.
pub const STREAMS_PER_NODE_MAX: usize = 64;

/// Certificates held that one root signed, those with the greatest serials. A bundle
/// lives five years at most, so what is not over was signed under one of the last
/// five years: 256 are one a month for four nodes. Of some 400 bytes each, 100 KB a
/// member.
pub const CERTIFICATES_PER_MEMBER_MAX: usize = 256;

/// A chunk of payload. An answer carries one with its path.
pub const CHUNK_BYTES: usize = 262_144;

/// 256 chunks of 256 KiB: 64 MiB of payload as it travels.
pub const CHUNKS_MAX: usize = 256;

/// log2 of [`CHUNKS_MAX`].
pub const CHUNK_PATH_MAX: usize = 8;

/// Payload as it travels.
pub const PAYLOAD_BYTES_MAX: u64 = (CHUNKS_MAX * CHUNK_BYTES) as u64;

/// Payload once decoded: 150,000 indicators of 1,000 bytes, and a third more.
pub const PLAIN_BYTES_MAX: u64 = 201_326_592;

/// Window a zstd frame may need: what decoding costs in memory besides its
/// output.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// STIX objects in a bundle: 150,000 must arrive whole.
pub const OBJECTS_MAX: usize = 200_000;

/// Values by which the objects of one bundle can be found: three for each of
/// 200,000 objects. Each costs every node an entry of its index, some 100
/// bytes, all of them held at once while the bundle is filed: 60 MB.
pub const VALUES_PER_BUNDLE_MAX: usize = 600_000;

/// Members of a federation: 60 governments and room. A frontier of all of them
/// with four streams each fits one answer.
pub const MEMBERS_MAX: usize = 256;

/// Genesis or roster statement: 256 members of at most 255 bytes.
pub const GENESIS_BYTES_MAX: usize = 65_536;

/// Card statement: 8 + 4 addresses of 128 bytes, contact of 936, certificate.
pub const CARD_BYTES_MAX: usize = 4_096;

/// Genesis file: the statement, 256 signatures, 256 cards.
pub const GENESIS_FILE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Node certificate statement: three keys and numbers.
pub const NODE_CERT_BYTES_MAX: usize = 512;

/// Roster statement after the genesis: six cards of 4,096 bytes, or some eighty
/// cuts and as many other changes; what is more takes a second roster.
pub const ROSTER_BYTES_MAX: usize = 24_576;

/// Changes in one roster.
pub const CHANGES_MAX: usize = 16;

/// Cuts in one expulsion or revocation: every stream of one life.
pub const CUTS_MAX: usize = 64;

/// Communities of one member, and beside it those that a roster knows.
pub const COMMUNITIES_MAX: usize = 8;

/// Communities of a federation.
pub const COMMUNITIES_KNOWN_MAX: usize = 64;

/// Vote statement: 32 + 9 + 32 + 5 + 33 = 111.
pub const VOTE_BYTES_MAX: usize = 512;

/// Rounds an epoch may take: people begin them.
pub const ROUNDS_MAX: u32 = 1_000;

/// Consents to a roster: of everybody, where communities ask, and of a new root
/// for each change.
pub const CONSENTS_MAX: usize = MEMBERS_MAX + CHANGES_MAX;

/// How far ahead of the round that votes are in one may be.
pub const ROUNDS_AHEAD_MAX: u32 = 8;

/// A link of the chain: the statement, 256 commits and 272 consents of 96 bytes =
/// 50,688, and lengths. It travels in answers and files, never in a frame.
pub const LINK_BYTES_MAX: usize = 77_824;

/// Revocation statement: 64 cuts of 9 + 16 + 9 + 32 bytes = 4,224, and 200.
pub const REVOCATION_BYTES_MAX: usize = 8_128;

/// A packet of membership, as a file: 2 MiB of genesis, 700 links of 20 KiB as a
/// federation of 256 usually has them. In hexadecimal it fits one answer of the
/// control socket.
pub const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Links in a packet: ten years of one a day.
pub const PACKET_LINKS_MAX: usize = 4_096;

/// Notices in a packet: every certificate that may be held of 256 members.
pub const PACKET_NOTICES_MAX: usize = MEMBERS_MAX * CERTIFICATES_PER_MEMBER_MAX;

/// How often what a packet holds is gone through: a consent needs its proposal,
/// which needs the certificate of its proposer, and nothing needs more.
pub const PACKET_PASSES_MAX: usize = 4;

/// Suspension statement.
pub const SUSPENSION_BYTES_MAX: usize = 512;

/// A suspension ends by itself after 72 hours.
pub const SUSPENSION_LIFE_MS_MAX: u64 = 72 * 60 * 60 * 1_000;

/// Alive statement: 64 heads of 57 bytes = 3,648, 32 groups of 73 = 2,336, two
/// additions of 518, and 130.
pub const ALIVE_BYTES_MAX: usize = 8_128;

/// Rounds of one voter that are kept.
pub const VOTE_ROUNDS_MAX: usize = 8;

/// Why a person accepts what is held back, in bytes: a sentence or two.
pub const ACCEPT_REASON_BYTES_MAX: usize = 256;

/// Envelopes accepted by one command: each writes some 400 bytes with its key, so
/// 4,096 are 1.6 MB on their way to the disk.
pub const ACCEPTED_AT_ONCE_MAX: usize = 4_096;

/// Members one member may suspend at a time.
pub const SUSPENSIONS_PER_MEMBER_MAX: usize = 8;

/// How often a live notice for one slot is taken: signs of life come every
/// quarter of an hour, the rest is made by people.
pub const NOTICE_AGAIN_MS: u64 = 60_000;

/// How often a node says that it is alive.
pub const ALIVE_EVERY_MS: u64 = 15 * 60 * 1_000;

/// How soon a node says so after it started or went on to another roster.
pub const ALIVE_SOON_MS: u64 = 5_000;

/// A member of whom nothing younger was heard is asked for at peers.
pub const ALIVE_MISSED_MS: u64 = 20 * 60 * 1_000;

/// Notices in one answer.
pub const NOTICES_MAX: usize = 1_024;

/// Pages of one peer's notices without a pause: the certificates of 128 members who
/// have as many as may be. Then the next page waits for [`NOTICES_EVERY_MS`], so that
/// a peer whose list never ends costs 32 answers a minute.
pub const NOTICE_PAGES_MAX: usize = 32;

/// What of a peer's notices was refused for a reason that passes with time alone is
/// asked for again, from the beginning, after this, then after twice as long: that
/// somebody's clock is ahead ends after [`CLOCK_SKEW_MS_MAX`].
pub const NOTICES_AGAIN_FIRST_MS: u64 = CLOCK_SKEW_MS_MAX;

/// But no later than this.
pub const NOTICES_AGAIN_LAST_MS: u64 = LIST_ALL_EVERY_MS;

/// What taking a notice costs the member that signed it, beside one for each
/// [`NOTICE_TOKEN_BYTES`], in tokens of which it has one a second. A member of ten
/// nodes says 960 signs of life a day, 10,000 of 86,400 tokens.
pub const NOTICE_TOKENS: u64 = 10;

/// Bytes of a notice that cost one token more: the largest proposal costs 106, so
/// that of one member one in 106 seconds is taken.
pub const NOTICE_TOKEN_BYTES: u64 = 256;

/// Tokens that a member has at once: who comes anew takes all that is held of it, 256
/// certificates of 12, votes of 16 rounds with 25 KB of prepares each, 64 revocations
/// and 64 signs of life of 8 KB = 3,072 + 1,760 + 2,688 + 2,688, and half as much
/// again.
pub const NOTICE_TOKENS_BURST: u64 = 16_384;

/// Signs of life are asked of one peer at a time, while some are missing. After an
/// answer that brought some the next is asked when everybody has spoken again, after
/// [`ALIVE_EVERY_MS`]; after one that brought none, after this, then after twice as
/// long: who is silent for everybody is heard of by gossip when it is back.
pub const ALIVES_PAUSE_FIRST_MS: u64 = 5 * 60 * 1_000;

/// But no later than this.
pub const ALIVES_PAUSE_LAST_MS: u64 = ALIVE_MISSED_MS;

/// How often a peer is asked which notices changed; gossip brings most at once.
pub const NOTICES_EVERY_MS: u64 = 60_000;

/// When a peer that says it holds a later roster and does not show it is asked
/// again.
pub const LINK_AGAIN_MS: u64 = 10 * 60 * 1_000;

/// For how long nobody's silence keeps GREEN from being sealed.
pub const FRESH_GREEN_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Likewise AMBER and AMBER+STRICT.
pub const FRESH_AMBER_MS: u64 = 24 * 60 * 60 * 1_000;

/// Likewise RED.
pub const FRESH_RED_MS: u64 = 60 * 60 * 1_000;

/// For how long a member's clock is believed to run as it was last heard.
pub const OFFSET_AGE_MS_MAX: u64 = 4 * ALIVE_EVERY_MS;

/// A certificate lives at most 90 days, so a stolen node key does too.
pub const CERTIFICATE_LIFE_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1_000;

/// A bundle may claim to be valid for five years of 366 days at most.
pub const BUNDLE_LIFE_MS_MAX: u64 = 1_830 * 24 * 60 * 60 * 1_000;

/// How far ahead of this node's clock a statement may claim to be made.
pub const CLOCK_SKEW_MS_MAX: u64 = 10 * 60 * 1_000;

/// A wall clock that goes on by so much more, or less, than the monotonic one has
/// jumped: as much as clocks may differ.
pub const CLOCK_JUMP_MS: u64 = CLOCK_SKEW_MS_MAX;

/// The two clocks are compared over this long at most, so that a clock which drifts by
/// seconds a day is never taken for one that jumped.
pub const CLOCK_COMPARED_MS: u64 = 60 * 60 * 1_000;

/// For so long after a jump of the clock nothing is destroyed.
pub const CLOCK_REST_MS: u64 = 60 * 60 * 1_000;

/// Request of the exchange protocol.
pub const REQUEST_BYTES_MAX: usize = 16_384;

/// Answer of the exchange protocol: a chunk, or as much of anything else, and
/// 16 KiB of framing.
pub const ANSWER_BYTES_MAX: usize = 278_528;

/// Either way at the door, where strangers stand.
pub const DOOR_BYTES_MAX: usize = 4_096;

/// Sequences of one range: a tenth of a second of checking, so that live
/// traffic never waits long behind it.
pub const RANGE_FRAMES_MAX: usize = 256;

/// What the length of a list takes, of one with less than 65,536 items.
pub const LIST_LENGTH_BYTES_MAX: usize = 3;

/// Remains of an envelope: header, signature, second signature, lengths.
pub const REMAINS_BYTES_MAX: usize = HEADER_BYTES_MAX + 64 + SECOND_SIGNATURE_BYTES_MAX + 16;

/// Bytes of items in one range answer: a link of 0.25 Mbit/s brings it in the
/// ten seconds of a request.
pub const RANGE_BYTES_MAX: usize = 262_144;

/// Entries of one frontier answer: in full and without runs 1,024 × 77 bytes
/// = 79 KB.
pub const FRONTIER_ENTRIES_MAX: usize = 1_024;

/// Runs of what is held behind a gap: every second of [`SEQUENCE_AHEAD_MAX`].
pub const FRONTIER_RUNS_MAX: usize = 2_048;

/// Bytes of entries in one frontier answer.
pub const FRONTIER_BYTES_MAX: usize = 262_144;

/// Pages of one peer's frontier in a row: as many as the two open streams of
/// 256 members with 64 lives of nodes each fill, 256 × 64 × 2 / 1,024.
pub const FRONTIER_PAGES_MAX: usize = 32;

/// Streams of one peer that wait to be dealt with: four pages. Then the next
/// page waits.
pub const OPEN_PER_PEER_MAX: usize = 4_096;

/// Lives of nodes that one peer listed and no certificate here stands for, kept
/// so that what is listed of them is looked at again once one does.
pub const UNKNOWN_LIVES_MAX: usize = 1_024;

/// Former ids of a store, by which marks that peers hold outlive a restart.
pub const FORMER_STORES_MAX: usize = 16;

/// Ranges under way: 32 answers of 272 KiB at worst.
pub const RANGES_MAX: usize = 32;

/// Ranges under way of one peer: one is served while another is checked, and
/// who stalls keeps two places.
pub const RANGES_PER_PEER_MAX: usize = 2;

/// Ranges of one stream for which a peer is asked in vain, before the rest of
/// what it offered is left for a later look.
pub const VAIN_MAX: u32 = 4;

/// How slow a holder counts that brought nothing: as long as a request may
/// take.
pub const PACE_MS_MAX: u64 = 10_000;

/// Streams one peer may offer at a time: those that wait to be dealt with, and
/// a page. Of some 200 bytes each, 1 MB a peer. What does not fit is offered
/// again later.
pub const OFFERS_PER_PEER_MAX: usize = OPEN_PER_PEER_MAX + FRONTIER_ENTRIES_MAX;

/// Runs in the offers of one peer: 16 bytes each, 256 KiB. Eight streams with
/// every second envelope missing.
pub const OFFERED_RUNS_PER_PEER_MAX: usize = 16_384;

/// Streams of a holder of which is kept where they are another chain than the
/// one held here, of some 200 bytes each, 1 MB. Only authors who contradict
/// themselves cause them. Past it the oldest are asked for once more.
pub const REFUSED_STREAMS_MAX: usize = 4_096;

/// Runs of all of them: 128 streams with every second of
/// [`SEQUENCE_AHEAD_MAX`], 16 bytes each, 4 MB.
pub const REFUSED_RUNS_MAX: usize = 262_144;

/// What a holder has of another chain is asked of it again after this, then
/// after twice as long, and so on.
pub const REFUSED_FIRST_MS: u64 = LIST_ALL_EVERY_MS;

/// But no later than this: 64 days.
pub const REFUSED_LAST_MS: u64 = 64 * LIST_ALL_EVERY_MS;

/// A stream whose author's quota is used up is asked for again after this, in
/// which the quota grants some 900 envelopes.
pub const DEFERRED_MS: u64 = 15_000;

/// What of a peer's frontier could not be dealt with is asked for again after
/// this, then after twice as long, and so on.
pub const REDO_FIRST_MS: u64 = 15_000;

/// But no later than this.
pub const REDO_LAST_MS: u64 = 600_000;

/// Every so often a peer's frontier is asked for from the beginning.
pub const LIST_ALL_EVERY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Deepest nesting of JSON that is read. STIX in the wild stays below 12; the
/// bound keeps a hostile document from using the stack.
pub const JSON_DEPTH_MAX: usize = 64;

// STIX documents, patterns and values.

/// Largest STIX document that is read, in bytes. 150,000 indicators of about
/// 600 bytes are 90 MB; the bound is twice that, so that the promise "whole or
/// an explicit error" holds with room to spare.
pub const STIX_DOCUMENT_BYTES_MAX: usize = 192 * 1024 * 1024;

/// Most objects in one STIX document: 150,000 indicators with their
/// identities, markings and a third as many relationships.
pub const STIX_OBJECTS_MAX: usize = 200_000;

/// Largest single STIX object, in bytes. A tree of parsed JSON takes up to
/// some twenty times its source, so one object costs at most about 20 MiB
/// while it is looked at, whatever the document weighs.
pub const STIX_OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// Longest object id, in bytes: a type of at most 219 characters, `--`, and a
/// UUID of 36, rounded to a power of two.
pub const STIX_ID_BYTES_MAX: usize = 256;

/// Most members of the outermost object of a document. A bundle has four; a
/// single object has some tens; the bound keeps the duplicate check small.
pub const STIX_DOCUMENT_MEMBERS_MAX: usize = 4_096;

/// Longest short name made for lists, in characters: one line of a terminal.
pub const STIX_NAME_CHARS_MAX: usize = 200;

/// Longest STIX pattern whose literals are indexed, in bytes: 64 KiB holds
/// about 700 SHA-256 comparisons.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Most literals taken from one pattern. The shortest comparison takes some
/// seven bytes, so 64 KiB cannot hold more than about this many.
pub const PATTERN_LITERALS_MAX: usize = 10_000;

/// Longest text that is examined as one indicator value, in bytes: a URL of
/// the largest size, every character of it written in defanged form.
pub const INDICATOR_RAW_BYTES_MAX: usize = 4 * INDICATOR_URL_BYTES_MAX;

/// Longest URL, in bytes: twice what browsers agree on.
pub const INDICATOR_URL_BYTES_MAX: usize = 4_096;

/// Longest domain name in text form, in bytes (RFC 1035, section 3.1).
pub const INDICATOR_DOMAIN_BYTES_MAX: usize = 253;

/// Longest label of a domain name, in bytes (RFC 1035, section 2.3.4).
pub const INDICATOR_LABEL_BYTES_MAX: usize = 63;

/// Longest e-mail address, in bytes: 64 for the local part, `@`, 255 for the
/// domain (RFC 5321, section 4.5.3.1).
pub const INDICATOR_EMAIL_BYTES_MAX: usize = 320;

/// Bodies of one author that are awaited in memory, of some 150 bytes each.
/// Further ones wait on disk alone. Of each chunk that came its hash is kept as
/// well, some 50 bytes for 256 KiB that are on disk.
pub const BODIES_AWAITED_PER_AUTHOR_MAX: usize = 1_024;

/// How often bodies that wait on disk alone are looked for.
pub const LEFT_ON_DISK_AGAIN_MS: u64 = 60_000;

/// Bodies that wait on disk looked at at a time, each with its log entry: a
/// frame without a body has 14 KiB at most, so 3.5 MiB, some five milliseconds
/// of the engine's thread.
pub const LEFT_ON_DISK_PAGE: usize = 256;

/// When the next of them are looked at, until all have been once: an author who
/// announced a hundred thousand and served none delays those behind by seven
/// minutes.
pub const LEFT_ON_DISK_NEXT_MS: u64 = 1_000;

/// Payloads pulled at a time.
pub const PULLS_ACTIVE_MAX: usize = 2;

/// Chunks of one payload asked for at a time. With two payloads, a look and two
/// ranges that is nine requests; a peer answers ten at a time.
pub const CHUNKS_ASKED_MAX: usize = 3;

/// Bundles being opened at a time: each may need its payload and its plain
/// form, 64 + 192 MiB at worst, so few.
pub const OPENING_MAX: usize = 4;

/// Verified frames that wait in memory to be opened: 512 × 48 KiB = 24 MiB.
/// More wait in the log alone.
pub const UNOPENED_IN_MEMORY_MAX: usize = 512;

/// Every so often a peer is asked what changed there: it is the sign of life.
pub const PROBE_EVERY_MS: u64 = 15_000;

/// News, or a gap, brings the next look at a peer forward, but not more often
/// than this.
pub const PROBE_AGAIN_MS: u64 = 1_000;

/// A pull or catch-up that found nobody tries again after this.
pub const RETRY_MS: u64 = 2_000;

/// Requests unanswered in a row after which a link counts as dead.
pub const UNANSWERED_MAX: u32 = 2;

/// Envelopes of a connected author that came by catch-up instead of gossip, in
/// as many probes in a row, after which its gossip link counts as dead.
pub const SILENT_PROBES_MAX: u32 = 2;

/// Evidence kept of one stream.
pub const EVIDENCE_PER_STREAM_MAX: u32 = 16;

/// Members that a node distrusts at most: every member it could know at a time.
pub const DISTRUSTED_MAX: usize = MEMBERS_MAX;

/// Envelopes of which a node remembers the way they came: an hour of one a second
/// and more. One takes some 250 bytes, and up to 1,800 where [`TRACE_PEERS_MAX`]
/// peers brought and as many asked for it: 7 MB at most. The oldest are forgotten.
pub const TRACES_MAX: usize = 4_096;

/// Envelopes that were not taken of which a node remembers why. They have a place
/// of their own, so that they push out nothing that was taken.
pub const TRACES_REFUSED_MAX: usize = 512;

/// Peers that are remembered of one envelope, in each way.
pub const TRACE_PEERS_MAX: usize = 16;

/// How far peers said that they hold streams, for traces: 64 peers and 128
/// streams, of some 150 bytes, 1.2 MB.
pub const TRACE_LISTED_MAX: usize = 8_192;

/// Most entries (lines, rows, words that look like values) one import settles:
/// twice the objects of a document, so that repeated values are no obstacle. A
/// refused entry is kept with its reason, some 400 bytes, so an account stays
/// below 160 MB whatever the file holds.
pub const IMPORT_ENTRIES_MAX: u64 = 400_000;

/// Longest key of an index, with its zero byte and place: a URL of the largest
/// size with its kind and end, and 13 more, rounded up.
pub const INDEX_KEY_BYTES_MAX: usize = INDICATOR_URL_BYTES_MAX + 32;

/// Size above which a block of an index is cut, in bytes: of 256, 512, 1,024 and
/// 4,096 the best between filing many and finding one, see docs/decisions/0004.
pub const INDEX_BLOCK_BYTES: usize = 512;

/// What may be written and not durable, in bytes, before nothing more is taken
/// from others. Four of the largest bundles filed together, 4 x 60 MB, are
/// below it; a disk that stands still is found after 256 MiB of frames, four
/// minutes of an author at the published rate. A batch in flight is held twice,
/// here and by the committer: 512 MiB at most, and what one step writes beyond.
pub const STAGED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Entries of the ordered indexes filed with one commit. Each may read and write
/// a block of its own: 2,048 of some 15 us are 30 ms of the engine's thread, and
/// of 512 bytes 1 MiB of a batch.
pub const FILED_PER_COMMIT_MAX: usize = 2_048;

/// Entries of opened bundles that wait in memory to be filed: those of the
/// largest bundle, 600,000 values and 200,000 ids. Of some 100 bytes, 80 MB; what
/// is above is filed at once, whatever that takes.
pub const FILING_ENTRIES_MAX: usize = VALUES_PER_BUNDLE_MAX + OBJECTS_MAX;

/// Places of one id read at most to tell what is superseded: more than a member
/// publishes of one object in five years of five versions a day, and few enough
/// that ten crowded ids do not stop a search.
pub const SEARCH_VERSIONS_MAX: usize = 10_000;

/// Places read at most in one search. One object has at most 10,000 in one
/// pattern, so one search sees past ten objects that crowd a name with
/// sub-domains. A place costs a read of the store and a row decoded, some 20 us:
/// two seconds at worst.
pub const SEARCH_PLACES_MAX: usize = 100_000;

/// Blocks of an index read at a time, after the first: 64 of 512 bytes. Where every
/// key has the largest size a block has 13 KiB at most: its fence, its first key
/// and one more that is on the way to be cut off.
pub const SEARCH_PAGE_BLOCKS: usize = 64;
