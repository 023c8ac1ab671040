//! Members who do not run our engine, and an outsider who is no member.
//!
//! They hold real keys where they are members, so their signatures hold; what
//! they say with them is another matter.

use crate::chance::Chance;
use crate::workload;
use std::collections::VecDeque;
use watchfire_crypto::{Signed, sha256};
use watchfire_protocol::founding::Keys;
use watchfire_protocol::ids::{CertificateId, EnvelopeId, FederationId, MemberId};
use watchfire_protocol::limits::BODY_INLINE_BYTES_MAX;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::wire::bundle::{Audience, Bundle, Encoding, Media, Part};
use watchfire_protocol::wire::card::{CertificateBytes, NodeCert, Role};
use watchfire_protocol::wire::chunk_tree::{ChunkPath, Root, leaves};
use watchfire_protocol::wire::envelope::{
    Binding, Class, Envelope, Header, Inner, PayloadBinding, Prefix, SignedBytes, Tag, frame,
};
use watchfire_protocol::wire::exchange::{
    Answer, DoorRequest, FrontierEntry, Mark, RangeItem, Request, Scope, StoreId, StreamId,
    StreamName, Unavailable,
};
use watchfire_protocol::wire::{Bytes, Kind, List, codec};

/// What a hostile member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Sends garbage, spoiled copies and replays to everybody, all the time.
    Flood,
    /// Sends true frames of others again, long after they were new.
    Replay,
    /// Signs two envelopes for each place and tells them to different members.
    Equivocate,
    /// Goes back to an earlier envelope once, and tells two chains from there.
    Fork,
    /// Claims to hold more than anybody and answers with garbage.
    Garbage,
    /// Announces large payloads and never answers anything but hello.
    Withhold,
    /// Connects, and never says a word.
    Silent,
    /// Signs what is for another federation, another epoch or another time.
    Astray,
    /// No member: its certificate is its own work. Asks for everything.
    Outsider,
}

/// What a puppet wants carried.
pub(crate) enum Act {
    Gossip { to: usize, bytes: Vec<u8> },
    Ask { to: usize, request: Request },
    Door { to: usize, request: DoorRequest },
}

/// A host that runs something else than our engine.
pub(crate) struct Puppet {
    pub(crate) number: u64,
    pub(crate) habit: Habit,
    pub(crate) keys: Keys,
    pub(crate) member: MemberId,
    pub(crate) certificate: CertificateId,
    pub(crate) federation: FederationId,
    pub(crate) epoch: u64,
    /// Streams of others, to lie about and to ask for.
    pub(crate) streams: Vec<StreamId>,
    /// Envelopes of others, likewise.
    pub(crate) known: VecDeque<EnvelopeId>,
    pub(crate) captured: VecDeque<Vec<u8>>,
    pub(crate) ticks: u64,
    pub(crate) sequence: u64,
    pub(crate) heads: [Option<EnvelopeId>; 2],
}

const REMEMBERED: usize = 64;

impl Puppet {
    /// How often it acts.
    pub(crate) const TICK_US: u64 = 250_000;

    pub(crate) fn hello(&self) -> Request {
        Request::Hello {
            federation: self.federation,
            epoch: self.epoch,
            nonce: [0; 16],
        }
    }

    pub(crate) fn capture(&mut self, frame: &[u8]) {
        if self.captured.len() >= REMEMBERED {
            self.captured.pop_front();
        }
        self.captured.push_back(frame.to_vec());
    }

    pub(crate) fn learn(&mut self, envelope: EnvelopeId) {
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(envelope);
    }

    /// Acts on its own.
    pub(crate) fn tick(&mut self, peers: &[usize], chance: &mut Chance, wall_ms: u64) -> Vec<Act> {
        self.ticks += 1;
        match self.habit {
            Habit::Flood => self.flood(peers, chance),
            Habit::Replay => self.replay(peers, chance),
            Habit::Equivocate if self.ticks % 16 == 8 => self.equivocate(peers, wall_ms),
            Habit::Fork if self.ticks % 16 == 8 && self.sequence < 12 => self.fork(peers, wall_ms),
            Habit::Astray if self.ticks.is_multiple_of(4) => self.astray(peers, wall_ms),
            Habit::Withhold if self.ticks > 8 && self.sequence < 12 => {
                self.announce(peers, wall_ms)
            }
            Habit::Outsider if self.ticks.is_multiple_of(8) => self.knock(peers, chance, wall_ms),
            Habit::Equivocate
            | Habit::Fork
            | Habit::Astray
            | Habit::Withhold
            | Habit::Silent
            | Habit::Outsider
            | Habit::Garbage => Vec::new(),
        }
    }

    fn flood(&self, peers: &[usize], chance: &mut Chance) -> Vec<Act> {
        let mut acts = Vec::new();
        for to in peers.iter().copied() {
            let length =
                usize::try_from(chance.between("flood", self.number, (0, 600))).unwrap_or(0);
            acts.push(Act::Gossip {
                to,
                bytes: chance.bytes("flood", self.number, length),
            });
            let pick = usize::try_from(chance.below("replay", self.number, REMEMBERED as u64))
                .unwrap_or(0);
            let Some(frame) = self.captured.get(pick) else {
                continue;
            };
            acts.push(Act::Gossip {
                to,
                bytes: frame.clone(),
            });
            let mut spoiled = frame.clone();
            let at = usize::try_from(chance.below("spoil", self.number, spoiled.len() as u64))
                .unwrap_or(0);
            if let Some(byte) = spoiled.get_mut(at) {
                *byte ^= 0x40;
            }
            acts.push(Act::Gossip { to, bytes: spoiled });
        }
        acts
    }

    fn equivocate(&mut self, peers: &[usize], wall_ms: u64) -> Vec<Act> {
        self.sequence += 1;
        let mut acts = Vec::new();
        for (side, head) in self.heads.into_iter().enumerate() {
            let domain = format!("twofold-{}-{side}.h{}.example", self.sequence, self.number);
            let Some((bytes, id)) = self.craft(&domain, 0, head, wall_ms) else {
                continue;
            };
            if let Some(head) = self.heads.get_mut(side) {
                *head = Some(id);
            }
            let side_of = |to: &usize| to % 2 == side;
            acts.extend(peers.iter().copied().filter(side_of).map(|to| Act::Gossip {
                to,
                bytes: bytes.clone(),
            }));
        }
        acts
    }

    fn announce(&mut self, peers: &[usize], wall_ms: u64) -> Vec<Act> {
        self.sequence += 1;
        let domain = format!("withheld-{}.h{}.example", self.sequence, self.number);
        let [head, _] = self.heads;
        let Some((bytes, id)) = self.craft(&domain, 50_000, head, wall_ms) else {
            return Vec::new();
        };
        self.heads = [Some(id), None];
        peers
            .iter()
            .map(|to| Act::Gossip {
                to: *to,
                bytes: bytes.clone(),
            })
            .collect()
    }

    /// Asks for everything there is, and offers a certificate of its own make.
    fn knock(&self, peers: &[usize], chance: &mut Chance, wall_ms: u64) -> Vec<Act> {
        let pick = |chance: &mut Chance, bound: usize| {
            usize::try_from(chance.below("knock", self.number, bound as u64)).unwrap_or(0)
        };
        let mut acts = Vec::new();
        for to in peers.iter().copied() {
            acts.push(Act::Ask {
                to,
                request: self.hello(),
            });
            acts.push(Act::Ask {
                to,
                request: Request::Frontier {
                    scope: Scope(9),
                    since: None,
                    full: false,
                    news: true,
                },
            });
            acts.push(Act::Ask {
                to,
                request: Request::Frontier {
                    scope: Scope::OPEN,
                    since: None,
                    full: true,
                    news: true,
                },
            });
            if let Some(stream) = self.streams.get(pick(chance, self.streams.len())) {
                acts.push(Act::Ask {
                    to,
                    request: Request::Range {
                        stream: *stream,
                        from: 1,
                        to: 256,
                    },
                });
            }
            if let Some(envelope) = self.known.get(pick(chance, self.known.len())) {
                acts.push(Act::Ask {
                    to,
                    request: Request::Chunk {
                        envelope: *envelope,
                        index: 0,
                    },
                });
                acts.push(Act::Ask {
                    to,
                    request: Request::KeyBlock {
                        envelope: *envelope,
                    },
                });
            }
            if let Some(certificate) = self.own_certificate(wall_ms) {
                acts.push(Act::Door {
                    to,
                    request: DoorRequest::Offer { certificate },
                });
            }
        }
        acts
    }

    fn own_certificate(&self, wall_ms: u64) -> Option<CertificateBytes> {
        let cert = NodeCert {
            root_key: self.keys.root.public().to_bytes(),
            signing_key: self.keys.signing.public().to_bytes(),
            transport_key: self.keys.transport.public().to_bytes(),
            serial: 1,
            incarnation: 1,
            role: Role::Agency,
            not_before_ms: wall_ms.saturating_sub(1_000),
            not_after_ms: wall_ms + 1_000_000,
        };
        CertificateBytes::sign(
            &cert,
            &self.keys.root,
            &self.keys.signing,
            &self.keys.transport,
        )
        .ok()
    }

    /// Answers, or keeps silent.
    pub(crate) fn answer(&self, request: &Request, chance: &mut Chance) -> Option<Answer> {
        if self.habit == Habit::Silent {
            return None;
        }
        if matches!(request, Request::Hello { .. }) {
            return Some(Answer::Hello {
                federation: self.federation,
                epoch: self.epoch,
                nonce: [0; 16],
            });
        }
        match self.habit {
            Habit::Withhold | Habit::Silent => None,
            Habit::Flood
            | Habit::Replay
            | Habit::Equivocate
            | Habit::Fork
            | Habit::Astray
            | Habit::Outsider => Some(Answer::Unavailable {
                reason: Unavailable::Busy,
            }),
            Habit::Garbage => self.garbage(request, chance),
        }
    }

    fn garbage(&self, request: &Request, chance: &mut Chance) -> Option<Answer> {
        let mut id = [0; 32];
        for (byte, drawn) in id.iter_mut().zip(chance.bytes("garbage", self.number, 32)) {
            *byte = drawn;
        }
        Some(match request {
            Request::Hello { .. } => Answer::Unavailable {
                reason: Unavailable::NotHeld,
            },
            Request::Frontier { .. } => {
                let (store, _) = id.split_first_chunk::<16>()?;
                let (head, _) = id.split_first_chunk::<8>()?;
                let entries = self.streams.iter().map(|stream| FrontierEntry {
                    name: StreamName::Full(*stream),
                    through: 1 << 40,
                    head: Some(*head),
                    beyond: List::default(),
                });
                Answer::Frontier {
                    at: Mark {
                        store: StoreId(*store),
                        change: chance.below("garbage", self.number, 1 << 40),
                    },
                    entries: List::new(entries.collect()).ok()?,
                    more: true,
                }
            }
            Request::Notices { .. } => {
                let (store, _) = id.split_first_chunk::<16>()?;
                let mut frames = vec![chance.bytes("garbage", self.number, 300)];
                frames.extend(self.captured.iter().take(4).cloned());
                let frames = frames.into_iter().map(|frame| Bytes::new(frame).ok());
                Answer::Notices {
                    at: Mark {
                        store: StoreId(*store),
                        change: chance.below("garbage", self.number, 1 << 40),
                    },
                    frames: List::new(frames.collect::<Option<_>>()?).ok()?,
                    more: true,
                }
            }
            Request::Link { .. } => Answer::Link {
                bytes: Bytes::new(chance.bytes("garbage", self.number, 3_000)).ok()?,
            },
            Request::Range { .. } => {
                let mut items = vec![RangeItem::Frame(
                    Bytes::new(chance.bytes("garbage", self.number, 300)).ok()?,
                )];
                for frame in self.captured.iter().take(4) {
                    let mut spoiled = frame.clone();
                    if let Some(byte) = spoiled.last_mut() {
                        *byte ^= 1;
                    }
                    items.push(RangeItem::Frame(Bytes::new(spoiled).ok()?));
                }
                Answer::Range {
                    items: List::new(items).ok()?,
                }
            }
            Request::Chunk { .. } | Request::KeyBlock { .. } => Answer::Chunk {
                bytes: Bytes::new(chance.bytes("garbage", self.number, 40_000)).ok()?,
                path: ChunkPath::new(Vec::new()).ok()?,
            },
        })
    }

    /// An envelope at its current sequence, with a real signature. A payload
    /// too long for the frame is announced.
    pub(crate) fn craft(
        &self,
        domain: &str,
        padding: usize,
        previous: Option<EnvelopeId>,
        wall_ms: u64,
    ) -> Option<(Vec<u8>, EnvelopeId)> {
        let payload = workload::stix(&self.member, domain, Marking::Clear, padding, wall_ms)?;
        let part = Part {
            media: Media::Stix,
            length: payload.len() as u64,
            digest: sha256(&payload),
        };
        let bundle = Bundle {
            federation: self.federation,
            author: self.member,
            certificate: self.certificate,
            stream: Some((Tag::PUBLIC, self.sequence)),
            created_ms: wall_ms,
            not_after_ms: wall_ms + 30 * 24 * 3_600_000,
            marking: Marking::Clear,
            permissible_actions: None,
            audience: Audience::Everyone,
            relay_allowed: false,
            exercise: true,
            supersedes: None,
            declassify: None,
            encoding: Encoding::Identity,
            parts: List::new(vec![part]).ok()?,
        };
        let statement: Signed<Bundle> = Signed::seal(codec::encode(&bundle), &self.keys.signing);
        let head = codec::encode(&Inner {
            kind: Kind::Bundle.number(),
            statement: SignedBytes::new(statement).ok()?,
        });
        let leaves = leaves(&payload);
        let header = Header {
            prefix: Prefix {
                federation: self.federation,
                author: self.member,
                certificate: self.certificate,
                epoch: self.epoch,
                expiry_hour: u32::try_from(bundle.expiry_hour()).ok()?,
                class: Class::Open {
                    tag: Tag::PUBLIC,
                    sequence: self.sequence,
                    previous,
                },
            },
            binding: Binding {
                head: sha256(&head),
                payload: Some(PayloadBinding {
                    chunks: u32::try_from(leaves.len()).ok()?,
                    length: payload.len() as u64,
                    root: Root::of_leaves(&leaves)?,
                }),
                sealing: None,
                second_signature: None,
            },
        };
        let signed: Signed<Header> = Signed::seal(codec::encode(&header), &self.keys.signing);
        let id = EnvelopeId::from_bytes(signed.id());
        let inline = payload.len() <= BODY_INLINE_BYTES_MAX;
        let envelope = Envelope {
            header: SignedBytes::new(signed).ok()?,
            second_signature: None,
            key_block: None,
            head: Bytes::new(head).ok()?,
            payload: if inline {
                Some(Bytes::new(payload).ok()?)
            } else {
                None
            },
        };
        Some((frame(Kind::Envelope, &envelope), id))
    }
}
