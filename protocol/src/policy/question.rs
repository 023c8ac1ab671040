//! What can be asked: the domain of the decision, every part of it countable.

use crate::marking::Marking;

enumerable! {
    /// What this node is about to do for the subject, or let it do.
    ///
    /// The first four concern envelopes and are asked of nodes; the last four
    /// concern plaintext and are asked of readers. For CLEAR the envelope is in
    /// clear, and the first two mean the envelope all the same.
    Action {
        RelayCiphertext = "relay", "send the envelope to the subject, first or onwards";
        StoreCiphertext = "store", "let the subject keep the envelope";
        GrantKey = "grant-key", "give the subject a key, or seal under one it holds";
        Open = "open", "let the subject turn the envelope into plaintext";
        Show = "show", "let the subject read it: search, screen, command line, API";
        Count = "count", "let it weigh in a number, a name or a match that the subject sees";
        Export = "export", "hand it to the subject for machines: files, feeds, TAXII, sensors";
        Notify = "notify", "push it to the subject: webhook, mail, live feed";
    }
}

enumerable! {
    /// A member's node, by how near it stands to this envelope; nearest first.
    /// The order carries rules: a marking names the farthest peer it reaches.
    ///
    /// The audience is the membership at the cited version, less who has been
    /// removed since; at RED it is the nodes of the named people, at CLEAR every
    /// member. A hub that is in the audience is asked about as `InAudience`.
    Peer {
        InAudience = "audience-node", "a member's node in the signed audience, this one included";
        Hub = "hub", "a hub outside the audience, carrying for others";
        Outside = "outside-node", "a member's node outside the audience that is no hub";
    }
}

impl Peer {
    /// A node of a current member, from the two facts that place it.
    pub const fn of(in_audience: bool, is_hub: bool) -> Self {
        match (in_audience, is_hub) {
            (true, true | false) => Self::InAudience,
            (false, true) => Self::Hub,
            (false, false) => Self::Outside,
        }
    }
}

enumerable! {
    /// Someone who reads plaintext at this node, by how near they stand to the
    /// object; nearest first. The order carries rules, as with [`Peer`]: whoever
    /// comes earlier is also everything that comes later, so an organisation
    /// that is a listed client without belonging to the community cannot be
    /// written.
    Reader {
        NamedPerson = "named-person", "a person at this node whom the author named";
        LocalPerson = "local-person", "any other person of this node's organisation";
        ListedClient = "listed-client", "a client of the community, listed here as needing this";
        UnlistedClient = "unlisted-client", "a client of the community that is not listed";
        Partner = "partner", "a partner organisation of the community that is no client";
        Public = "public", "anyone else, above all an unauthenticated reader";
    }
}

impl Reader {
    /// A client organisation, from the two facts that place it. Outside the
    /// community it is the public, and a listing without the community is a
    /// contradiction, which never counts in the client's favour.
    pub const fn client(in_community: bool, listed: bool) -> Self {
        match (in_community, listed) {
            (true, true) => Self::ListedClient,
            (true, false) => Self::UnlistedClient,
            (false, true | false) => Self::Public,
        }
    }

    /// The same reader, seen from the place of the node they read at. Outside
    /// the audience nobody is nearer than the public, whatever they are to
    /// their own organisation.
    pub const fn at(self, node: Peer) -> Self {
        match node {
            Peer::InAudience => self,
            Peer::Hub | Peer::Outside => Self::Public,
        }
    }
}

/// For whom: a node, which handles envelopes, or a reader, who sees plaintext.
/// There is no value for "everybody".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A member's node.
    Peer(Peer),
    /// A reader at this node.
    Reader(Reader),
}

impl Subject {
    /// Every subject: nodes, then readers, nearest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let peers = Peer::ALL.into_iter().map(Self::Peer);
        peers.chain(Reader::ALL.into_iter().map(Self::Reader))
    }

    /// The stable name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer(peer) => peer.name(),
            Self::Reader(reader) => reader.name(),
        }
    }

    /// Who that is, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Peer(peer) => peer.about(),
            Self::Reader(reader) => reader.about(),
        }
    }
}

impl core::fmt::Display for Subject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

enumerable! {
    /// Where the object is in its life; worse later.
    Life {
        Live = "live", "not recalled, and its not-after lies ahead";
        Expired = "expired", "its not-after has passed in federation time";
        Recalled = "recalled", "its author recalled it";
    }
}

enumerable! {
    /// Whether this node's view of the roster is young enough for the marking
    /// in question (GREEN 7 days, AMBER 24 hours, RED 1 hour), the owner of a
    /// group included. The caller judges it for the marking it asks about.
    Roster {
        Fresh = "fresh", "enough members were heard on the current epoch, lately enough";
        Stale = "stale", "too few members were heard, or too long ago";
    }
}

enumerable! {
    /// The subject itself. For a node it is its member's place in the roster;
    /// for a reader it is their login, token or listing at this node, and what
    /// this node holds against their organisation. The public is `Current`.
    /// The last three have one effect and differ in what a person does next.
    Membership {
        Current = "current", "in the roster, or a valid reader here";
        Suspended = "suspended", "suspended: removed for as long as that lasts";
        Removed = "removed", "expelled, withdrawn, or never admitted";
        Distrusted = "locally-distrusted", "this node's operator broke with it";
    }
}

enumerable! {
    /// Whether this envelope may be taken as its author's word; worse later.
    AuthorStanding {
        Ok = "ok", "nothing speaks against this envelope";
        Distrusted = "author-distrusted",
            "it was taken before this node's operator broke with its author";
        Quarantined = "quarantined",
            "above the cut of an ended key, or by an equivocator, and not accepted by a person here";
    }
}

enumerable! {
    /// Whether the author signed `allow-relay`. It matters for RED at hubs and
    /// nowhere else.
    AllowRelay {
        Given = "allow-relay", "the author lets a hub's mailbox hold it";
        Withheld = "no-allow-relay", "the author did not let hubs hold it";
    }
}

enumerable! {
    /// Whether the object belongs to an exercise.
    Exercise {
        Real = "real", "real data";
        Drill = "drill", "data of an exercise";
    }
}

enumerable! {
    /// What the operator's own rules say. They can only refuse: there is no
    /// value by which they could allow.
    Operator {
        Silent = "silent", "no rule of the operator refuses it";
        Refuses = "refuses", "a rule of the operator refuses it";
    }
}

/// The circumstances, each worked out by the caller, each with a best value
/// and worse ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// Of the object.
    pub life: Life,
    /// Of this node's view of the membership.
    pub roster: Roster,
    /// Of the subject.
    pub subject: Membership,
    /// Of the author, for this envelope.
    pub author: AuthorStanding,
    /// By the author's signature.
    pub relay: AllowRelay,
    /// Of the object.
    pub exercise: Exercise,
    /// Of this node's operator.
    pub operator: Operator,
}

impl Standing {
    /// Nothing speaks against it. For tables and tests; a caller that fills in
    /// what it knows starts from [`Standing::WORST`].
    pub const BEST: Self = Self {
        life: Life::Live,
        roster: Roster::Fresh,
        subject: Membership::Current,
        author: AuthorStanding::Ok,
        relay: AllowRelay::Given,
        exercise: Exercise::Real,
        operator: Operator::Silent,
    };

    /// Everything speaks against it: a fact that is forgotten denies.
    pub const WORST: Self = Self {
        life: Life::Recalled,
        roster: Roster::Stale,
        subject: Membership::Removed,
        author: AuthorStanding::Quarantined,
        relay: AllowRelay::Withheld,
        exercise: Exercise::Drill,
        operator: Operator::Refuses,
    };

    /// Every standing, the best one first.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut all = vec![Self::BEST];
        all = spread(all, Life::ALL, |s, life| Self { life, ..s });
        all = spread(all, Roster::ALL, |s, roster| Self { roster, ..s });
        all = spread(all, Membership::ALL, |s, subject| Self { subject, ..s });
        all = spread(all, AuthorStanding::ALL, |s, author| Self { author, ..s });
        all = spread(all, AllowRelay::ALL, |s, relay| Self { relay, ..s });
        all = spread(all, Exercise::ALL, |s, exercise| Self { exercise, ..s });
        spread(all, Operator::ALL, |s, operator| Self { operator, ..s }).into_iter()
    }
}

/// Each of the standings with each of the values.
fn spread<V: Copy, const N: usize>(
    standings: Vec<Standing>,
    values: [V; N],
    with: impl Fn(Standing, V) -> Standing,
) -> Vec<Standing> {
    let each = standings
        .iter()
        .flat_map(|standing| values.iter().map(|value| with(*standing, *value)));
    each.collect()
}

/// One point of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The effective marking of the object.
    pub marking: Marking,
    /// What is about to be done.
    pub action: Action,
    /// For whom.
    pub subject: Subject,
    /// Under which circumstances.
    pub standing: Standing,
}

impl Question {
    /// The whole domain, 207,360 questions.
    pub fn all() -> impl Iterator<Item = Self> {
        Standing::all().flat_map(Self::all_at)
    }

    /// Every marking, action and subject at one standing.
    pub fn all_at(standing: Standing) -> impl Iterator<Item = Self> {
        Marking::ALL.into_iter().flat_map(move |marking| {
            Action::ALL.into_iter().flat_map(move |action| {
                Subject::all().map(move |subject| Self {
                    marking,
                    action,
                    subject,
                    standing,
                })
            })
        })
    }
}
