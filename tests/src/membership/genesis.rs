//! Genesis files: who must be in them, and who must have signed.

use super::{Case, Subject, card, certificate, id_of, signed_bytes, statement};
use crate::bytes::Writer;
use crate::forge::Forge;
use watchfire_crypto::{SigningKey, Statement as _};
use watchfire_protocol::ids::CardId;
use watchfire_protocol::wire::card::{Card, NodeCert, Role};
use watchfire_protocol::wire::envelope::SignedBytes;
use watchfire_protocol::wire::genesis::{Genesis, GenesisMember};
use watchfire_protocol::wire::{List, Text, codec};

type CardBytes = SignedBytes<4_096>;

/// A genesis that may say anything, and who signs it as whom.
struct Draft<'a> {
    genesis: Genesis,
    cards: Vec<CardBytes>,
    signers: Vec<(u16, &'a SigningKey)>,
}

impl<'a> Draft<'a> {
    /// The first members of the federation of the vectors.
    fn of(forge: &'a Forge, members: usize) -> Self {
        let mut genesis = Genesis::parse(forge.genesis.genesis.as_slice()).unwrap();
        genesis.members = List::new(genesis.members.as_slice()[..members].to_vec()).unwrap();
        let signers = (0..).zip(&forge.keys[..members]).map(|(index, keys)| (index, &keys.root)).collect();
        Self { genesis, cards: forge.genesis.cards.as_slice()[..members].to_vec(), signers }
    }

    /// The statement after a change to one of the members.
    fn member(mut self, at: usize, change: impl FnOnce(&mut GenesisMember)) -> Self {
        let mut members = self.genesis.members.clone().into_vec();
        change(&mut members[at]);
        self.genesis.members = List::new(members).unwrap();
        self
    }

    /// Another card for a member, in the statement too.
    fn card(mut self, at: usize, card: &Card, root: &'a SigningKey) -> Self {
        self.cards[at] = signed_bytes(card, root);
        self.signers[at].1 = root;
        self.member(at, |member| {
            member.slug = card.slug.clone();
            member.root_key = card.root_key;
            member.role = card.role;
            member.card = CardId::from_bytes(Card::DOMAIN.digest(&codec::encode(card)));
        })
    }

    fn statement(&self) -> Vec<u8> {
        codec::encode(&self.genesis)
    }

    fn file(&self) -> Vec<u8> {
        self.file_of(&self.statement())
    }

    fn file_of(&self, statement: &[u8]) -> Vec<u8> {
        let mut file = Writer::new().raw(&[1, 2]).bytes(statement).integer(self.signers.len() as u64);
        for (index, key) in &self.signers {
            file = file.integer((*index).into()).raw(key.sign(Genesis::DOMAIN, statement).as_bytes());
        }
        file = file.integer(self.cards.len() as u64);
        self.cards.iter().fold(file, |file, card| file.raw(&codec::encode(card))).into_vec()
    }
}

pub(super) fn of_two(forge: &Forge) -> Vec<u8> {
    Draft::of(forge, 2).file()
}

pub(super) fn cases(forge: &Forge) -> Vec<Case> {
    let mut cases: Vec<Case> = [(2, "genesis-of-two", "the smallest federation"), (3, "genesis-of-three", "that of the vectors")]
        .into_iter()
        .map(|(members, name, what)| {
            let draft = Draft::of(forge, members);
            let outcome = Ok(id_of::<Genesis>(&draft.statement()));
            Case { name, what, subject: Subject::Genesis, bytes: draft.file(), outcome }
        })
        .collect();
    cases.extend(signatures(forge));
    cases.extend(members(forge));
    cases.extend(shared(forge));
    cases
}

fn bad(name: &'static str, what: &'static str, bytes: Vec<u8>, rule: &'static str, about: &'static str) -> Case {
    Case { name, what, subject: Subject::Genesis, bytes, outcome: Err((rule, about)) }
}

fn signatures(forge: &Forge) -> Vec<Case> {
    let draft = || Draft::of(forge, 3);
    let signed = |signers: Vec<(u16, &SigningKey)>| Draft { signers, ..draft() }.file();
    let root = |member: usize| &forge.keys[member].root;
    let (statement, file) = (draft().statement(), draft().file());
    let mut quorum = statement.clone();
    let at = 1 + "simulated".len() + 9;
    assert_eq!(quorum[at], 0, "the quorum rule follows name and time");
    quorum[at] = 1;
    vec![
        bad("genesis-of-no-bytes", "nothing", Vec::new(), "malformed", "not a genesis file"),
        bad("genesis-that-is-a-card", "kind 1", [&[1, 1], &file[2..]].concat(), "malformed", "not a genesis file"),
        bad("genesis-trailing-byte", "a byte follows it", [file.as_slice(), &[0]].concat(), "malformed", "follow"),
        bad(
            "genesis-statement-trailing-byte",
            "a byte follows the statement, signed by everybody",
            draft().file_of(&[statement.as_slice(), &[0]].concat()),
            "malformed",
            "follow",
        ),
        bad("genesis-quorum-1", "there is one quorum rule, 0", draft().file_of(&quorum), "malformed", "malformed"),
        bad("genesis-unsigned", "nobody has signed", signed(Vec::new()), "unsigned", "m-000, m-001, m-002"),
        bad("genesis-one-signature-missing", "two of three are not all", signed(vec![(0, root(0)), (2, root(2))]), "unsigned", "m-001"),
        bad(
            "genesis-signed-twice-by-one",
            "attack 15: one founder in the place of another",
            signed(vec![(0, root(0)), (0, root(0)), (2, root(2))]),
            "contradiction",
            "ascending",
        ),
        bad(
            "genesis-signed-as-another",
            "attack 15: the first founder signs for the second",
            signed(vec![(0, root(0)), (1, root(0)), (2, root(2))]),
            "signature",
            "m-001",
        ),
        bad(
            "genesis-signatures-out-of-order",
            "all three, the last first",
            signed(vec![(2, root(2)), (0, root(0)), (1, root(1))]),
            "contradiction",
            "ascending",
        ),
        bad(
            "genesis-signed-by-a-fourth",
            "an index past the members",
            signed(vec![(0, root(0)), (1, root(1)), (2, root(2)), (3, root(2))]),
            "contradiction",
            "no founder",
        ),
        bad(
            "genesis-signed-by-a-node",
            "a signing key in the place of a root",
            signed(vec![(0, &forge.keys[0].signing), (1, root(1)), (2, root(2))]),
            "signature",
            "m-000",
        ),
    ]
}

fn members(forge: &Forge) -> Vec<Case> {
    let draft = || Draft::of(forge, 3);
    let mut swapped = draft();
    let mut members = swapped.genesis.members.clone().into_vec();
    members.swap(0, 1);
    swapped.genesis.members = List::new(members).unwrap();
    swapped.cards.swap(0, 1);
    swapped.signers = vec![(0, &forge.keys[1].root), (1, &forge.keys[0].root), (2, &forge.keys[2].root)];
    let mut crossed = draft();
    crossed.cards.swap(0, 1);
    let mut fewer = draft();
    fewer.cards.pop();
    let mut more = draft();
    more.cards.push(more.cards[0].clone());
    let communities = |names: &[&str]| {
        let names: Vec<Text<32>> = names.iter().map(|name| Text::new(*name).unwrap()).collect();
        draft().member(1, |member| member.communities = List::new(names).unwrap()).file()
    };
    let namesake = Card { slug: "m-000".parse().unwrap(), ..card(forge, 1) };
    let disagree = "does not agree with the card";
    vec![
        bad("genesis-of-none", "nobody", Draft::of(forge, 0).file(), "size", "at least two"),
        bad("genesis-of-one", "one is no federation", Draft::of(forge, 1).file(), "size", "at least two"),
        bad("genesis-members-out-of-order", "they ascend by slug", swapped.file(), "contradiction", "ascending"),
        bad(
            "genesis-slug-twice",
            "two members of one slug",
            draft().card(1, &namesake, &forge.keys[1].root).file(),
            "contradiction",
            "share a slug",
        ),
        bad("genesis-cards-crossed", "the cards of two stand in each other's place", crossed.file(), "contradiction", disagree),
        bad("genesis-card-missing", "two cards for three members", fewer.file(), "contradiction", "one card for each"),
        bad("genesis-card-too-many", "four cards for three members", more.file(), "contradiction", "one card for each"),
        bad(
            "genesis-role-of-another",
            "an agency's card, a hub in the statement",
            draft().member(1, |member| member.role = Role::Hub).file(),
            "contradiction",
            disagree,
        ),
        bad(
            "genesis-root-of-another",
            "the root key is not the card's",
            draft().member(1, |member| member.root_key = [1; 32]).file(),
            "contradiction",
            disagree,
        ),
        bad(
            "genesis-card-id-of-another",
            "the card id is not that of the card beside it",
            draft().member(1, |member| member.card = CardId::from_bytes([1; 32])).file(),
            "contradiction",
            disagree,
        ),
        bad("genesis-communities-out-of-order", "a set ascends", communities(&["energy", "demo"]), "contradiction", "ascending"),
        bad("genesis-community-twice", "a set names each once", communities(&["demo", "demo"]), "contradiction", "ascending"),
    ]
}

fn shared(forge: &Forge) -> Vec<Case> {
    let (first, second) = (&forge.keys[0], &forge.keys[1]);
    let recard = |change: fn(&mut NodeCert, &Forge), by: [&SigningKey; 3]| {
        let mut cert = statement(forge, 1);
        change(&mut cert, forge);
        let root_key = cert.root_key;
        Card { root_key, certificate: certificate(&cert, by), ..card(forge, 1) }
    };
    let same_root = recard(
        |cert, forge| cert.root_key = forge.keys[0].root.public().to_bytes(),
        [&first.root, &second.signing, &second.transport],
    );
    let same_signing = recard(
        |cert, forge| cert.signing_key = forge.keys[0].signing.public().to_bytes(),
        [&second.root, &first.signing, &second.transport],
    );
    let same_node = recard(
        |cert, forge| cert.transport_key = forge.keys[0].transport.public().to_bytes(),
        [&second.root, &second.signing, &first.transport],
    );
    let crossed = recard(
        |cert, forge| cert.signing_key = forge.keys[0].root.public().to_bytes(),
        [&second.root, &first.root, &second.transport],
    );
    [
        ("genesis-root-twice", "attack 15: one root for two members", same_root, &first.root),
        ("genesis-signing-key-twice", "one signing key of two nodes", same_signing, &second.root),
        ("genesis-transport-key-twice", "one node of two members", same_node, &second.root),
        ("genesis-root-as-signing-key", "the root of one signs for the node of another", crossed, &second.root),
    ]
    .into_iter()
    .map(|(name, what, card, root)| {
        let file = Draft::of(forge, 3).card(1, &card, root).file();
        bad(name, what, file, "shared", "same key")
    })
    .collect()
}
