//! A federation of a few members for tests: their keys, every kind of notice they
//! can sign, well or badly, and a desk that takes notices as a node would.

use crate::founding::{Keys, Profile, derived_federation, make_card};
use crate::gate::{NoticeRefusal, check_notice};
use crate::ids::{EnvelopeId, MemberId, NodeId, RosterId};
use crate::limits::CERTIFICATE_LIFE_MS_MAX;
use crate::membership::{Arrival, Effect, Membership, NotNews, Taken};
use crate::roster::{Certificate, Proposal, Roster, Successor};
use crate::time::{Instant, Now};
use crate::wire::card::{Card, CertificateBytes, Contact, NodeCert, Role};
use crate::wire::envelope::frame;
use crate::wire::notice::{Alive, Proof, Revocation, RevocationReason, StreamHead, Suspension};
use crate::wire::roster::{
    Change, Communities, RosterStatement, Vote, VoteBy, VoteFrame, VoteLine,
};
use crate::wire::{Binding, Class, Header, Kind, List, Prefix, SignedBytes, Tag, Text, codec};
use bincode::Encode;
use watchfire_crypto::{Signed, SigningKey, Statement};

/// When the federation was founded, in milliseconds UTC.
pub(crate) const FOUNDED_MS: u64 = 1_800_000_000_000;
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 60 * MINUTE_MS;
/// When most of what is tested happens: certificates are current by then.
pub(crate) const NOW_MS: u64 = FOUNDED_MS + 240 * HOUR_MS;

const SEED: [u8; 32] = [0x6d; 32];

/// Members `m-000`, `m-001`, … with one node each.
#[derive(Clone)]
pub(crate) struct Federation {
    pub(crate) roster: Roster,
    numbers: Vec<u64>,
}

/// At this moment, wall and monotonic clock alike.
pub(crate) const fn at(wall_ms: u64) -> Now {
    Now {
        mono: Instant::from_ms(wall_ms - FOUNDED_MS),
        wall_ms,
    }
}

/// Any statement as the frame of its kind, signed by any key.
pub(crate) fn sign<T: Statement + Encode, const MAX: usize>(
    kind: Kind,
    said: &T,
    key: &SigningKey,
) -> Vec<u8> {
    frame(kind, &signed::<T, MAX>(said, key))
}

fn signed<T: Statement + Encode, const MAX: usize>(said: &T, key: &SigningKey) -> SignedBytes<MAX> {
    SignedBytes::new(Signed::<T>::seal(codec::encode(said), key)).unwrap()
}

pub(crate) fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::new(items).unwrap()
}

pub(crate) fn communities(names: &[&str]) -> Communities {
    list(names.iter().map(|name| Text::new(*name).unwrap()).collect())
}

/// The end of a stream, and an envelope there.
pub(crate) fn head(tag: Tag, sequence: u64) -> StreamHead {
    let head = EnvelopeId::from_bytes([u8::try_from(sequence % 251).unwrap(); 32]);
    StreamHead {
        tag,
        sequence,
        head,
    }
}

impl Federation {
    pub(crate) fn of(members: usize) -> Self {
        let roles = vec![Role::Agency; members];
        let (_, roster, _) = derived_federation(&SEED, &roles, FOUNDED_MS).unwrap();
        Self {
            roster,
            numbers: (0..).take(members).collect(),
        }
    }

    /// The same members under another roster.
    pub(crate) fn under(&self, roster: Roster) -> Self {
        Self {
            roster,
            numbers: self.numbers.clone(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn keys(&self, member: usize) -> Keys {
        Keys::derived(&SEED, self.numbers[member])
    }

    /// Keys of nobody here.
    pub(crate) fn stranger(number: u64) -> Keys {
        Keys::derived(&SEED, 1_000 + number)
    }

    pub(crate) fn id(&self, member: usize) -> MemberId {
        MemberId::of_root(&self.keys(member).root.public())
    }

    pub(crate) fn root_key(&self, member: usize) -> [u8; 32] {
        self.keys(member).root.public().to_bytes()
    }

    pub(crate) fn node(&self, member: usize) -> NodeId {
        NodeId::of_transport(self.keys(member).transport.public().as_bytes())
    }

    /// The certificate that came with a member's card.
    pub(crate) fn certificate(&self, member: usize) -> Certificate {
        let of = self.id(member);
        self.roster
            .certificates_of(of)
            .find(|held| held.serial == 1 && held.node == self.node(member))
            .unwrap()
            .clone()
    }

    pub(crate) fn alive(&self, by: usize, wall_ms: u64, spoil: impl FnOnce(&mut Alive)) -> Vec<u8> {
        let mut said = Alive {
            federation: self.roster.federation(),
            certificate: self.certificate(by).id,
            epoch: self.roster.epoch(),
            roster: self.roster.id(),
            wall_ms,
            heads: list(vec![head(Tag::PUBLIC, 1)]),
            groups: List::default(),
            more: List::default(),
        };
        spoil(&mut said);
        self.sign_alive(by, &said)
    }

    pub(crate) fn sign_alive(&self, by: usize, said: &Alive) -> Vec<u8> {
        sign::<Alive, { crate::limits::ALIVE_BYTES_MAX }>(Kind::Alive, said, &self.keys(by).signing)
    }

    pub(crate) fn suspension(
        &self,
        by: usize,
        of: MemberId,
        created_ms: u64,
        life_ms: u64,
        reason: &str,
    ) -> Vec<u8> {
        let said = Suspension {
            federation: self.roster.federation(),
            certificate: self.certificate(by).id,
            member: of,
            created_ms,
            until_ms: created_ms + life_ms,
            reason: Text::new(reason).unwrap(),
        };
        sign::<Suspension, { crate::limits::SUSPENSION_BYTES_MAX }>(
            Kind::Suspension,
            &said,
            &self.keys(by).signing,
        )
    }

    pub(crate) fn revocation(&self, of: usize, serial: u64, created_ms: u64) -> Vec<u8> {
        self.revocation_of(of, self.node(of), serial, created_ms)
    }

    pub(crate) fn revocation_of(
        &self,
        by: usize,
        node: NodeId,
        serial: u64,
        created_ms: u64,
    ) -> Vec<u8> {
        let said = Revocation {
            federation: self.roster.federation(),
            member: self.id(by),
            root_key: self.keys(by).root.public().to_bytes(),
            node,
            serial,
            created_ms,
            reason: RevocationReason::Compromised,
            cuts: List::default(),
        };
        sign::<Revocation, { crate::limits::REVOCATION_BYTES_MAX }>(
            Kind::Revocation,
            &said,
            &self.keys(by).root,
        )
    }

    /// A certificate of a member for a node with these keys.
    pub(crate) fn certify(
        &self,
        by: usize,
        node: &Keys,
        spoil: impl FnOnce(&mut NodeCert),
    ) -> CertificateBytes {
        certify(&self.keys(by).root, node, spoil)
    }

    /// The next certificate of a member's own node, with a new signing key.
    pub(crate) fn renewal(&self, by: usize, serial: u64, created_ms: u64) -> (Keys, Vec<u8>) {
        let fresh = Self::stranger(100_000 + serial);
        let own = self.keys(by);
        let node = Keys {
            root: own.root,
            signing: fresh.signing,
            transport: own.transport,
        };
        let certificate = self.certify(by, &node, |cert| {
            cert.serial = serial;
            cert.not_before_ms = created_ms;
            cert.not_after_ms = created_ms + CERTIFICATE_LIFE_MS_MAX;
        });
        (node, frame(Kind::NodeCert, &certificate))
    }

    pub(crate) fn card(
        &self,
        of: usize,
        created_ms: u64,
        spoil: impl FnOnce(&mut Card),
    ) -> Vec<u8> {
        let keys = self.keys(of);
        let made = make_card(&profile(&format!("m-{of:03}")), &keys, FOUNDED_MS).unwrap();
        let mut card = made.to_signed::<Card>().claims().unwrap();
        card.created_ms = created_ms;
        spoil(&mut card);
        sign::<Card, { crate::limits::CARD_BYTES_MAX }>(Kind::Card, &card, &keys.root)
    }

    /// Somebody who would be a member.
    pub(crate) fn newcomer(number: u64) -> (Keys, Change) {
        let keys = Self::stranger(number);
        let card = make_card(&profile(&format!("n-{number}")), &keys, FOUNDED_MS).unwrap();
        let communities = communities(&["demo"]);
        (keys, Change::Admit { card, communities })
    }

    pub(crate) fn expel(&self, member: usize) -> Change {
        let member = self.id(member);
        let cuts = List::default();
        Change::Expel { member, cuts }
    }

    /// A change that costs nobody anything.
    pub(crate) fn settle(&self, member: usize, role: Role) -> Change {
        Change::Settle {
            member: self.id(member),
            role,
            communities: communities(&["demo"]),
        }
    }

    pub(crate) fn propose(&self, by: usize, created_ms: u64, changes: Vec<Change>) -> Successor {
        let proposal = Proposal {
            proposer: self.id(by),
            certificate: self.certificate(by).id,
            created_ms,
            reason: "as agreed".to_owned(),
            changes,
        };
        self.roster.propose(proposal).unwrap()
    }

    pub(crate) fn proposal(&self, by: usize, of: &Successor) -> Vec<u8> {
        let keys = self.keys(by);
        sign::<RosterStatement, { crate::limits::ROSTER_BYTES_MAX }>(
            Kind::Roster,
            of.statement(),
            &keys.signing,
        )
    }

    fn vote_on(&self, roster: RosterId, round: u32, by: VoteBy) -> Vote {
        Vote {
            federation: self.roster.federation(),
            epoch: self.roster.epoch() + 1,
            roster,
            round,
            by,
        }
    }

    pub(crate) fn prepare_said(&self, by: usize, roster: RosterId, round: u32) -> Vote {
        let certificate = self.certificate(by).id;
        self.vote_on(roster, round, VoteBy::Prepare { certificate })
    }

    pub(crate) fn commit_said(&self, by: usize, roster: RosterId, round: u32) -> Vote {
        let key = self.root_key(by);
        self.vote_on(roster, round, VoteBy::Commit { key })
    }

    pub(crate) fn prepare(&self, by: usize, roster: RosterId, round: u32) -> Vec<u8> {
        sign_vote(
            &self.prepare_said(by, roster, round),
            &self.keys(by).signing,
        )
    }

    /// A commit, and a quorum of prepares for it, whoever really cast them.
    pub(crate) fn commit(&self, by: usize, roster: RosterId, round: u32) -> Vec<u8> {
        let prepared = 0..self.roster.thresholds().votes();
        self.commit_on(by, roster, round, prepared)
    }

    /// A commit that stands on what these prepared.
    pub(crate) fn commit_on(
        &self,
        by: usize,
        roster: RosterId,
        round: u32,
        prepared: impl IntoIterator<Item = usize>,
    ) -> Vec<u8> {
        let said = self.commit_said(by, roster, round);
        let mut prepares: Vec<VoteLine> = prepared
            .into_iter()
            .map(|member| {
                let said = self.prepare_said(member, roster, round);
                let signed: Signed<Vote> =
                    Signed::seal(codec::encode(&said), &self.keys(member).signing);
                VoteLine {
                    key: *self.certificate(member).id.as_bytes(),
                    signature: signed.signature().to_bytes(),
                }
            })
            .collect();
        prepares.sort_unstable();
        let signed: Signed<Vote> = Signed::seal(codec::encode(&said), &self.keys(by).root);
        VoteFrame {
            vote: SignedBytes::new(signed).unwrap(),
            prepares: List::new(prepares).unwrap(),
        }
        .to_frame()
    }

    pub(crate) fn consent(&self, by: &Keys, roster: RosterId) -> Vec<u8> {
        let key = by.root.public().to_bytes();
        sign_vote(&self.vote_on(roster, 0, VoteBy::Consent { key }), &by.root)
    }

    /// A header at a place of a member's public stream.
    pub(crate) fn header(&self, by: usize, sequence: u64, content: u8) -> Header {
        Header {
            prefix: Prefix {
                federation: self.roster.federation(),
                author: self.id(by),
                certificate: self.certificate(by).id,
                epoch: self.roster.epoch(),
                expiry_hour: u32::try_from(NOW_MS / HOUR_MS).unwrap(),
                class: Class::Open {
                    tag: Tag::PUBLIC,
                    sequence,
                    previous: (sequence > 1).then(|| EnvelopeId::from_bytes([1; 32])),
                },
            },
            binding: Binding {
                head: [content; 32],
                payload: None,
                sealing: None,
                second_signature: None,
            },
        }
    }

    pub(crate) fn fork_of(&self, by: usize, first: &Header, second: &Header) -> Vec<u8> {
        let key = self.keys(by).signing;
        let proof = Proof::Fork {
            first: signed(first, &key),
            second: signed(second, &key),
        };
        frame(Kind::Proof, &proof)
    }

    pub(crate) fn fork(&self, by: usize) -> Vec<u8> {
        self.fork_at(by, 2)
    }

    /// Two headers of one place, ascending by id.
    pub(crate) fn fork_at(&self, by: usize, sequence: u64) -> Vec<u8> {
        let id = |header: &Header| Header::DOMAIN.digest(&codec::encode(header));
        let (one, other) = (self.header(by, sequence, 1), self.header(by, sequence, 2));
        if id(&one) < id(&other) {
            self.fork_of(by, &one, &other)
        } else {
            self.fork_of(by, &other, &one)
        }
    }

    /// A proof of two votes of a member's root.
    pub(crate) fn votes_of(&self, by: usize, first: &Vote, second: &Vote) -> Vec<u8> {
        let key = |vote: &Vote| match vote.by {
            VoteBy::Prepare { .. } => self.keys(by).signing,
            VoteBy::Commit { .. } | VoteBy::Consent { .. } => self.keys(by).root,
        };
        let proof = Proof::Votes {
            first: signed(first, &key(first)),
            second: signed(second, &key(second)),
        };
        frame(Kind::Proof, &proof)
    }

    pub(crate) fn double_vote(&self, by: usize) -> Vec<u8> {
        let of = |byte| self.commit_said(by, RosterId::from_bytes([byte; 32]), 1);
        self.votes_of(by, &of(1), &of(2))
    }
}

pub(crate) fn sign_vote(vote: &Vote, key: &SigningKey) -> Vec<u8> {
    VoteFrame::bare(Signed::seal(codec::encode(vote), key)).unwrap()
}

/// A certificate by this root for a node with these keys.
pub(crate) fn certify(
    root: &SigningKey,
    node: &Keys,
    spoil: impl FnOnce(&mut NodeCert),
) -> CertificateBytes {
    let mut cert = NodeCert {
        root_key: root.public().to_bytes(),
        signing_key: node.signing.public().to_bytes(),
        transport_key: node.transport.public().to_bytes(),
        serial: 1,
        incarnation: 1,
        role: Role::Agency,
        not_before_ms: FOUNDED_MS,
        not_after_ms: FOUNDED_MS + CERTIFICATE_LIFE_MS_MAX,
    };
    spoil(&mut cert);
    CertificateBytes::sign(&cert, root, &node.signing, &node.transport).unwrap()
}

fn profile(slug: &str) -> Profile {
    Profile {
        slug: slug.parse().unwrap(),
        role: Role::Agency,
        contact: Contact::default(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    }
}

/// Why a desk did not take a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// At the door.
    Away(NoticeRefusal),
    /// It was no news.
    Back(NotNews),
}

/// What a node holds, without its store: a roster, and notices about it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) roster: Roster,
    pub(crate) membership: Membership,
}

impl Desk {
    pub(crate) fn of(federation: &Federation) -> Self {
        Self {
            roster: federation.roster.clone(),
            membership: Membership::default(),
        }
    }

    /// Takes a frame as a node would, and does to the roster what follows.
    pub(crate) fn take(
        &mut self,
        now: Now,
        frame: &[u8],
        arrival: Arrival,
    ) -> Result<Taken, Turned> {
        let notice = check_notice(frame, &self.roster).map_err(Turned::Away)?;
        let taken = self
            .membership
            .take(now, &self.roster, &notice, arrival)
            .map_err(Turned::Back)?;
        match &taken.effect {
            Effect::Certificate(certificate) => {
                if let Some(gone) = self.roster.keep_certificate(certificate.1.clone()) {
                    self.membership.forget_certificate(&gone);
                }
            }
            Effect::Card(card) => {
                let _ = self.roster.take_card(card);
            }
            Effect::Revoked(revocation) => {
                self.roster.revoke(revocation);
            }
            Effect::Nothing
            | Effect::Voted
            | Effect::Suspension(_)
            | Effect::Fork(..)
            | Effect::DoubleVote(_) => {}
        }
        Ok(taken)
    }

    /// Asked for, at [`NOW_MS`].
    pub(crate) fn later(&mut self, frame: &[u8]) -> Result<Taken, Turned> {
        self.take(at(NOW_MS), frame, Arrival::Later)
    }

    /// Takes all of them again and again, as a node asks again, until a whole pass
    /// brings nothing. Gives how many passes brought something.
    pub(crate) fn settle(&mut self, frames: &[Vec<u8>]) -> usize {
        for pass in 0..16 {
            let mut news = 0;
            for frame in frames {
                news += usize::from(self.later(frame).is_ok());
            }
            if news == 0 {
                return pass;
            }
        }
        panic!("it never comes to rest");
    }
}
