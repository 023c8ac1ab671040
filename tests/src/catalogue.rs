//! Frames with the verdict that each must get, step by step of the table in
//! `docs/wire.md`. What is expected is written here by hand; nothing of it is
//! asked of the gate.

mod accepted;
mod envelope;
mod inner;
mod outer;

use crate::bytes::hex;
use crate::forge::{Cast, Forge};
use crate::verdict::Verdict;
use watchfire_crypto::Statement as _;
use watchfire_protocol::wire::bundle::Bundle;
use watchfire_protocol::wire::envelope::Header;
use watchfire_protocol::wire::codec;

/// A frame and what must become of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What is the matter with it, in a sentence.
    pub what: &'static str,
    /// The frame.
    pub frame: Vec<u8>,
    /// What the gate must say.
    pub verdict: Verdict,
}

/// Every frame of the catalogue.
pub fn catalogue(forge: &Forge) -> Vec<Case> {
    let mut book = Book { forge, cases: Vec::new() };
    accepted::write(&mut book);
    outer::write(&mut book);
    envelope::write(&mut book);
    inner::write(&mut book);
    book.cases
}

/// Where the cases are written down.
pub(crate) struct Book<'a> {
    pub(crate) forge: &'a Forge,
    cases: Vec<Case>,
}

impl Book<'_> {
    fn add(&mut self, name: &'static str, what: &'static str, frame: Vec<u8>, verdict: Verdict) {
        self.cases.push(Case { name, what, frame, verdict });
    }

    /// A frame of this member that comes through.
    pub(crate) fn accept(
        &mut self,
        name: &'static str,
        what: &'static str,
        content: &str,
        member: usize,
        cast: &Cast,
        bundle: Option<&Bundle>,
    ) {
        let envelope = hex(&Header::DOMAIN.digest(&codec::encode(&cast.header)));
        let bundle = bundle.map(|bundle| hex(&Bundle::DOMAIN.digest(&codec::encode(bundle))));
        let frame = self.forge.sign(member, cast);
        self.add(name, what, frame, Verdict::Accept { content: content.to_owned(), envelope, bundle });
    }

    /// A frame for which its forwarder pays.
    pub(crate) fn reject(&mut self, step: u8, rule: &str, name: &'static str, what: &'static str, frame: Vec<u8>) {
        self.add(name, what, frame, Verdict::Refuse { step, rule: rule.to_owned(), forwarder_pays: true });
    }

    /// A frame for which nobody pays.
    pub(crate) fn ignore(&mut self, step: u8, rule: &str, name: &'static str, what: &'static str, frame: Vec<u8>) {
        self.add(name, what, frame, Verdict::Refuse { step, rule: rule.to_owned(), forwarder_pays: false });
    }
}
