//! From values to one STIX bundle.

use std::collections::BTreeSet;

use watchfire_protocol::indicator::{
    Draft, Value, bundle_id, identity_id, identity_to_stix, indicator_id, to_stix,
};
use watchfire_protocol::limits::{IMPORT_ENTRIES_MAX, STIX_OBJECTS_MAX};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::stix::markings::definition::{tlp2_definition, tlp2_id};
use watchfire_protocol::stix::time::Timestamp;

use super::{Account, ImportError, Options, Outcome, Refused};

/// Most values of one import: a document's objects, less the identity and the
/// marking definition.
pub(super) const VALUES_MAX: usize = STIX_OBJECTS_MAX - 2;

/// Most labels of one value. Feeds give up to a dozen; each is compared with
/// every other, 64 * 64 / 2 = 2,048 comparisons a value.
pub(super) const LABELS_MAX: usize = 64;

/// What a row says about a value beside the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    pub(super) valid_from: Option<Timestamp>,
    pub(super) labels: Vec<String>,
    pub(super) description: Option<String>,
    pub(super) reference: Option<String>,
}

/// Takes values one by one and keeps the account.
pub(super) struct Collector<'a> {
    options: &'a Options,
    marking: Marking,
    /// [`VALUES_MAX`]; a field, so that a test need not fill it.
    pub(super) values_max: usize,
    /// [`IMPORT_ENTRIES_MAX`], likewise.
    pub(super) entries_max: u64,
    account: Account,
    seen: BTreeSet<Value>,
    ids: Vec<String>,
    objects: Vec<u8>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(options: &'a Options, marking: Marking) -> Self {
        let author = &options.author;
        let mut collector = Self {
            options,
            marking,
            values_max: VALUES_MAX,
            entries_max: IMPORT_ENTRIES_MAX,
            account: Account::default(),
            seen: BTreeSet::new(),
            ids: Vec::new(),
            objects: Vec::new(),
        };
        collector.push(tlp2_id(marking).to_owned(), &tlp2_definition(marking));
        let identity = identity_to_stix(author, &options.author_name, options.created, marking);
        collector.push(identity_id(author), &identity);
        collector
    }

    /// Takes a value that stands at `line`, unless it is private or repeated.
    pub(super) fn value(
        &mut self,
        line: u64,
        raw: &str,
        value: Value,
        context: &Context,
    ) -> Result<(), ImportError> {
        if value.is_private() {
            let reason = format!("{}: private address", value.defanged());
            return self.refuse(line, raw, reason);
        }
        if self.seen.contains(&value) {
            return self.settle(Outcome::Duplicate);
        }
        if self.seen.len() >= self.values_max {
            return Err(ImportError::TooManyValues);
        }
        if self.options.labels.len() + context.labels.len() > LABELS_MAX {
            let reason = format!("more than {LABELS_MAX} labels");
            return self.refuse(line, raw, reason);
        }
        let mut labels = self.options.labels.clone();
        for label in &context.labels {
            if !labels.contains(label) {
                labels.push(label.clone());
            }
        }
        let draft = Draft {
            author: &self.options.author,
            marking: self.marking,
            created: self.options.created,
            modified: self.options.modified,
            valid_from: context.valid_from.unwrap_or(self.options.modified),
            labels: &labels,
            name: None,
            description: context.description.as_deref(),
            reference: context.reference.as_deref(),
        };
        let object = to_stix(&value, &draft);
        self.push(indicator_id(&self.options.author, &value), &object);
        self.seen.insert(value);
        self.settle(Outcome::Accepted)
    }

    /// Notes an entry that is not taken.
    pub(super) fn refuse(
        &mut self,
        line: u64,
        raw: &str,
        reason: String,
    ) -> Result<(), ImportError> {
        self.settle(Outcome::Refused(Refused::new(line, raw, reason)))
    }

    fn settle(&mut self, outcome: Outcome) -> Result<(), ImportError> {
        if self.account.input() >= self.entries_max {
            return Err(ImportError::TooManyEntries);
        }
        self.account.settle(outcome);
        Ok(())
    }

    fn push(&mut self, id: String, object: &str) {
        if !self.objects.is_empty() {
            self.objects.extend(b",\n");
        }
        self.objects.extend(object.bytes());
        self.ids.push(id);
    }

    /// The bundle, and the account of how it came about.
    pub(super) fn finish(self) -> (Vec<u8>, Account) {
        let ids = self.ids.iter().map(String::as_str);
        let id = bundle_id(&self.options.author, self.options.modified, ids);
        let mut stix =
            format!("{{\"type\":\"bundle\",\"id\":\"{id}\",\"objects\":[\n").into_bytes();
        stix.extend(self.objects);
        stix.extend(b"\n]}\n");
        (stix, self.account)
    }
}
