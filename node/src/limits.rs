//! Bounds of the node's shell, each with its reason and its arithmetic. Bounds of the protocol are in
//! `watchfire_protocol::limits`.

use std::time::Duration;

// Publishing.

/// How many hours a bundle is valid when its publisher does not say: a year, after which most indicators say nothing
/// any more, and far below the 1,830 days that the protocol allows.
pub const VALID_HOURS_DEFAULT: u64 = 365 * 24;

// Transport: what libp2p may cost. Where a figure speaks of a large federation it means 250 members.

/// The largest frame of gossip, in bytes. What the wire allows is said once, in the protocol.
pub const FRAME_BYTES_MAX: usize = watchfire_protocol::limits::FRAME_BYTES_MAX;

/// What gossipsub puts around one frame, in bytes: field tags, lengths and the topic's name, under 200 in practice.
pub const GOSSIP_ENVELOPE_BYTES: usize = 1_024;

/// What gossipsub may already have read of the *next* frame when it judges this one, in bytes. Its codec compares the
/// whole read buffer with its limit before it looks at the frame, and reads 8 KiB at a time; twice that is allowed for.
/// Seen with gossipsub 0.50.1, two nodes on loopback, 200 maximal frames and 200 small ones in turn: with 0, 2, 4 or
/// 6 KiB none of the 400 arrived, the small ones neither, and the link stayed dead; with 8 or 16 KiB all did.
pub const GOSSIP_READ_AHEAD_BYTES: usize = 16_384;

/// Message ids in one IHAVE or IWANT. An id costs 34 bytes on the wire: 1,024 × 34 = 34,816, within
/// [`GOSSIP_CONTROL_BYTES_MAX`]. (With gossipsub's defaults, 5,000 ids within 16 KiB, a list of more than 480 breaks
/// the stream, and after five such lists the link is dead.)
pub const GOSSIP_IDS_MAX: usize = 1_024;

/// Control data in one message of gossipsub, in bytes: [`GOSSIP_IDS_MAX`] ids and a topic, and no larger than a frame.
pub const GOSSIP_CONTROL_BYTES_MAX: usize = 49_152;

/// Frames waiting for one peer. Usual frames of 4 KiB make 4 MiB a stalled peer, 1 GiB if all 250 stall at once;
/// maximal frames make 48 MiB a peer. A stalled peer is closed by ping: see [`PING_WITHIN`].
pub const GOSSIP_QUEUE_FRAMES_MAX: usize = 1_024;

/// How long an own frame may wait for a slow peer before gossipsub drops it for that peer.
pub const GOSSIP_PUBLISH_WITHIN: Duration = Duration::from_secs(30);

/// How long another's frame may wait for a slow peer; shorter than [`GOSSIP_PUBLISH_WITHIN`], others forward it too.
pub const GOSSIP_FORWARD_WITHIN: Duration = Duration::from_secs(10);

/// How long gossipsub knows an id it has seen. At 2,000 frames a second and about 100 bytes an id: 12 MB. It must be
/// longer than frames travel, a few heartbeats; what comes again later is recognised by the protocol.
pub const GOSSIP_SEEN_FOR: Duration = Duration::from_secs(60);

/// Frames in one message of gossipsub. Nodes of this kind send one; the rest is room for other implementations.
pub const GOSSIP_FRAMES_PER_MESSAGE_MAX: usize = 64;

/// Frames without a verdict from one peer, in bytes (a frame counts at least [`UNDECIDED_BYTES_MIN`]): 341 maximal
/// frames or 16,384 small ones, seconds of work for the check of signatures.
pub const UNDECIDED_BYTES_PER_PEER_MAX: usize = 16 * 1_024 * 1_024;

/// Frames without a verdict from all peers, in bytes. Each is held twice, here and in gossipsub's cache: 128 MiB.
pub const UNDECIDED_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// What the smallest frame without a verdict is charged, in bytes, so that empty frames are bounded too: 65,536 of them.
pub const UNDECIDED_BYTES_MIN: usize = 1_024;

/// Resident memory of the process above which no connection is made or taken, in bytes. It is what the bounds below
/// come to if 250 hostile members use all of them: 1 GiB of unsent frames, 1 GiB of unread streams, 0.6 GiB of
/// answers and frames without a verdict, 0.5 GiB not yet on disk, and the database's cache.
pub const MEMORY_BYTES_MAX: usize = 4 * 1_024 * 1_024 * 1_024;

/// Admitted peers. Four times the largest federation planned for.
pub const ADMITTED_MAX: usize = 1_024;

/// Addresses tried for one peer.
pub const ADDRESSES_PER_PEER_MAX: usize = 8;

/// Commands waiting for the transport's task.
pub const COMMANDS_MAX: usize = 1_024;

/// Events waiting for the owner of the transport.
pub const EVENTS_MAX: usize = 1_024;

/// Events waiting inside the transport because [`EVENTS_MAX`] is reached; here the network is no longer read, so that a
/// slow owner slows its peers down and not its own memory up.
pub const OUTBOX_MAX: usize = 256;

/// The largest request of the exchange, in bytes.
pub const EXCHANGE_REQUEST_BYTES_MAX: usize = watchfire_protocol::limits::REQUEST_BYTES_MAX;

/// The largest response of the exchange, in bytes.
pub const EXCHANGE_RESPONSE_BYTES_MAX: usize = watchfire_protocol::limits::ANSWER_BYTES_MAX;

/// How long a request may take, from opening the stream to the last byte of the response.
pub const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

/// Streams of the exchange on one connection, both directions together.
pub const EXCHANGE_STREAMS_MAX: usize = 32;

/// Requests of one peer that wait for our answer; 250 peers × 8 × 16 KiB = 32 MiB.
pub const INBOUND_REQUESTS_PER_PEER_MAX: usize = 10;

/// What a request is charged besides the bytes of its answer: what it costs to look up. 32 MiB / 64 KiB = 512 empty
/// answers a second.
pub const REQUEST_COST_BYTES: usize = 65_536;

/// What one peer may have been served beyond the rate, in bytes: one of the largest payloads at once.
pub const SERVED_BURST_BYTES: u64 = 64 * 1_024 * 1_024;

/// What one peer is served a second on average, in bytes. Ten times what a node that catches up can check: 2,189
/// bundles a second of some 1.5 KiB. Whoever asks for more waits, at most 8 × (1.06 MiB + 64 KiB) / 32 MiB = 0.3 s.
pub const SERVED_BYTES_PER_SECOND: u64 = 32 * 1_024 * 1_024;

/// Own requests to one peer that wait for its answer.
pub const OUTBOUND_REQUESTS_PER_PEER_MAX: usize = 10;

/// Own requests to all peers that wait for an answer: 64 × 1.06 MiB = 68 MiB of responses at most.
pub const OUTBOUND_REQUESTS_MAX: usize = 64;

/// Streams on one connection of the main port: two of gossip, [`EXCHANGE_STREAMS_MAX`], ping, identify, and room.
pub const STREAMS_MAX: usize = 64;

/// Unread data of one QUIC stream, in bytes: 2 MiB at 50 ms of delay carry 40 MB/s.
pub const QUIC_STREAM_BYTES_MAX: u32 = 2 * 1_024 * 1_024;

/// Unread data of one QUIC connection, in bytes; 250 × 4 MiB = 1 GiB if every peer fills it and nothing is read.
pub const QUIC_CONNECTION_BYTES_MAX: u32 = 4 * 1_024 * 1_024;

/// Handshakes going on with whoever called the main port: 256 × about 20 KiB = 5 MiB. With
/// [`PENDING_PER_ADDRESS_MAX`] a stranger needs 32 addresses to fill it.
pub const PENDING_INBOUND_MAX: u32 = 256;

/// Handshakes going on with one IPv4 address, or one IPv6 network of 64 bits.
pub const PENDING_PER_ADDRESS_MAX: usize = 8;

/// Own dials going on at the same time.
pub const DIALS_MAX: usize = 32;

/// How long a connection may take until both sides know each other's key.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How often a quiet connection is probed.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// How long the answer to a probe may take. libp2p forgives the first that fails and gives the stream of the next ten
/// seconds: a dead connection is closed and dialled anew within [`PING_EVERY`] + [`PING_WITHIN`] + 10 s = 35 s.
pub const PING_WITHIN: Duration = Duration::from_secs(10);

/// The first pause before a peer is dialled again; it doubles with every failure.
pub const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause before a peer is dialled again.
pub const REDIAL_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A connection that lived this long was a good one: its peer's pauses begin anew. A younger one counts as a failure,
/// so that a peer that lets us in and throws us out is not called in a tight loop.
pub const CONNECTION_SOUND_AFTER: Duration = Duration::from_secs(10);

/// The largest request at the door, in bytes.
pub const DOOR_REQUEST_BYTES_MAX: usize = watchfire_protocol::limits::DOOR_BYTES_MAX;

/// The largest answer at the door, in bytes.
pub const DOOR_RESPONSE_BYTES_MAX: usize = watchfire_protocol::limits::DOOR_BYTES_MAX;

/// How long one request at the door may take.
pub const DOOR_WITHIN: Duration = Duration::from_secs(5);

/// Connections at the door, with those whose handshake goes on: 32 × (4 KiB and about 300 KiB of buffers) = 10 MiB.
pub const DOOR_CONNECTIONS_MAX: usize = 32;

/// Connections at the door from one IPv4 address, or one IPv6 network of 64 bits: eight addresses fill it.
pub const DOOR_CONNECTIONS_PER_ADDRESS_MAX: usize = 4;

/// How long a connection at the door may do nothing.
pub const DOOR_IDLE: Duration = Duration::from_secs(2);

/// How long a connection at the door may live, whatever it does: three requests.
pub const DOOR_CONNECTION_WITHIN: Duration = Duration::from_secs(15);

/// Streams on one connection at the door.
pub const DOOR_STREAMS_MAX: usize = 4;

/// Questions at the door that wait for an answer: as many as its connections have streams.
pub const DOOR_QUESTIONS_MAX: usize = DOOR_CONNECTIONS_MAX * DOOR_STREAMS_MAX;

/// Answers waiting to go out at the door: two for every connection.
pub const DOOR_ANSWERS_MAX: usize = 64;

/// Invitations that are kept, those with a card included. A federation admits a few members a year; each costs some
/// 8.5 KiB with the largest card, see [`INVITATIONS_FILE_BYTES_MAX`]. Nobody can knock more often than was invited.
pub const INVITATIONS_MAX: usize = 64;

/// The file of them, in bytes: 64 × (2 × 4.2 KiB of card in hexadecimal, 6 × 256 bytes of an escaped note and 300 of
/// the rest) = 650 KiB.
pub const INVITATIONS_FILE_BYTES_MAX: usize = 1_048_576;

/// For whom an invitation is, in a person's words, in bytes.
pub const INVITATION_NOTE_BYTES_MAX: usize = 256;

/// How long an invitation may be open, in milliseconds: 30 days, because it is a secret that lies in somebody's mail.
pub const INVITATION_LIFE_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;

/// How long an invitation that was used is kept, in milliseconds: 90 days, after which the certificate of the card has
/// ended and nobody can be admitted by it any more.
pub const KNOCK_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// Knocks of one address that are refused before its next ones are refused unseen, within
/// [`KNOCKS_REFUSED_WITHIN_MS`]. A token has 256 bits and is not guessed; this is so that somebody who tries is
/// noticed. A person who mistypes an invitation is told by its checksum and does not knock.
pub const KNOCKS_REFUSED_MAX: u32 = 32;

/// See [`KNOCKS_REFUSED_MAX`]: an hour, in milliseconds.
pub const KNOCKS_REFUSED_WITHIN_MS: u64 = 60 * 60 * 1_000;

/// Addresses of which refused knocks are counted, an IPv6 address by its network of 64 bits; the oldest is forgotten
/// for another. 1,024 × about 60 bytes = 60 KiB.
pub const KNOCKS_ADDRESSES_MAX: usize = 1_024;

/// How long a newcomer asks at a door in one go before it gives up: the largest genesis and a chain of a hundred full
/// links are 700 and 2,600 pieces, of a few tens of milliseconds each.
pub const JOIN_VISIT_WITHIN: Duration = Duration::from_secs(600);

/// The first pause between two visits of a newcomer that waits to be admitted; it doubles up to
/// [`JOIN_PAUSE_MAX`].
pub const JOIN_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two visits of a newcomer that waits: people vote, and that takes days.
pub const JOIN_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long a newcomer waits to be admitted when `--timeout` does not say: a day.
pub const JOIN_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Proposals that a newcomer looks at in one visit: each member may have one, and one is what people agree on.
pub const JOIN_PROPOSALS_MAX: usize = 16;

/// Requests of all peers that wait for our answer or for its way out: 256 × 1.06 MiB = 272 MiB of responses at most,
/// and 32 hostile peers are needed to take every place.
pub const INBOUND_REQUESTS_MAX: usize = 256;

/// Streams of one connection whose protocol is not agreed yet.
pub const STREAMS_NEGOTIATING_MAX: usize = 16;

/// How long [`ask`](crate::transport::door::ask) waits for a door, from the first packet to the answer.
pub const DOOR_ASK_WITHIN: Duration = Duration::from_secs(15);

// Threads and disk.

/// Jobs of one pool under way at most, waiting ones included. The engine gives out at most a range for each of 256
/// peers and a few bundles to open; half is kept for that. The other half is room for gossip: 512 × 48 KiB = 24 MiB.
pub const JOBS_MAX: usize = 1_024;

/// How many batches wait for the disk at most, and so how many share one flush at most.
///
/// A flush of 5 ms then carries 64 × 200 = 12,800 batches a second, several times what a core verifies. The engine
/// hands out four at a time, together at most 256 MiB.
pub const QUEUE_BATCHES_MAX: usize = 64;

/// Publications that wait for an outcome. Past it, people wait in line.
pub const CLIENTS_MAX: usize = 4_096;

/// Requests of members that wait for the engine's answer. The transport forgets a request after [`EXCHANGE_WITHIN`]
/// and takes the next; behind a disk that stands still the answers would pile up: 256 × 1.06 MiB = 272 MiB.
pub const ANSWERS_OWED_MAX: usize = INBOUND_REQUESTS_MAX;

/// Own questions that wait until the disk has room for the answers: six for chunks and one for each of 250 peers, and
/// what is left of links that ended meanwhile.
pub const ASKED_LATER_MAX: usize = 1_024;

/// Between two looks at what damaged values were, in milliseconds: a look may read all of the log, some minutes of one
/// core for millions of envelopes, and who asks for them decides when one is met. What is met meanwhile is looked at
/// together.
pub const EXAMINE_PAUSE_MS: u64 = 30_000;

/// Such looks of one run that search. A disk that shows damage in a fourth is about to fail: what is met then waits
/// for the next start, which goes through the store once.
pub const EXAMINE_SEARCHES_MAX: u32 = 3;

/// Distinct texts of refusals that are counted; more go under one name.
pub const REFUSALS_MAX: usize = 64;

// The control socket. Whoever reaches it is the node's own people; the bounds are against mistakes.

/// Longest line of a request, in bytes.
pub const CONTROL_LINE_BYTES_MAX: usize = 64 * 1_024;

/// Connections at a time. One more is told so and closed.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;

/// Publications of one connection under way; further ones wait in the socket. An outcome has some 500 bytes:
/// 64 × 1,024 × 500 = 32 MiB.
pub const CONTROL_PUBLICATIONS_MAX: usize = 1_024;

/// Questions of one connection under way, until their answers are written; further ones wait in the socket.
pub const CONTROL_QUESTIONS_MAX: usize = 4;

/// Questions read from the store at a time, over all connections. An answer has at most 64 MiB.
pub const CONTROL_READERS_MAX: usize = 4;

/// An answer up to here needs no room of its own, in bytes: 64 connections × 4 × 64 KiB = 16 MiB.
pub const CONTROL_SMALL_ANSWER_BYTES: usize = 64 * 1_024;

/// Larger answers that are not written yet, in bytes: four of the largest.
pub const CONTROL_ANSWERS_BYTES_MAX: usize = 4 * 64 * 1_024 * 1_024;

/// Those of one connection, in bytes: two of the largest, so that one that does not read leaves room for others.
pub const CONTROL_ANSWERS_BYTES_PER_CONNECTION_MAX: usize = CONTROL_ANSWERS_BYTES_MAX / 2;

/// How long a connection may take to read one answer: a socket of this machine carries the largest in a second.
pub const CONTROL_ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How long a connection may be quiet before it is closed. No command waits for a person that long.
pub const CONTROL_IDLE: Duration = Duration::from_secs(600);

/// Payloads in memory at a time, over all connections, in bytes: one of the largest, 192 MiB, and as much again of
/// small ones.
pub const CONTROL_PAYLOADS_BYTES_MAX: usize = 402_653_184;

/// How long a payload may take to arrive once there is room for it. It comes over a socket of this machine, 192 MiB in
/// about a second; until it is here its room is nobody else's.
pub const CONTROL_PAYLOAD_WITHIN: Duration = Duration::from_secs(60);

/// Envelopes in one list of what is held back: some 400 bytes each in JSON, so
/// 400 KB of the 64 MB that an answer may have.
pub const HELD_BACK_SHOWN_MAX: usize = 1_000;
