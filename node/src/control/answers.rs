//! From what the node knows to what the command line shows. Every object comes
//! out of a release of the policy.

use watchfire_protocol::ids::{BundleId, MemberId};
use watchfire_protocol::indicator;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::policy::{
    Action, Membership, Peer, Reader, Release, Standing, Subject, decide, explain,
};
use watchfire_protocol::query::{Asker, BundleRecord, Found, Hit, Query};
use watchfire_protocol::roster::Roster;
use watchfire_protocol::store::StoreError;
use watchfire_protocol::table::Outcome;
use watchfire_protocol::wire::card::Role;

use super::client::ANSWER_BYTES_MAX;
use super::quarantined::{self, AcceptedView, QuarantinedOp, QuarantinedReply, Whose};
use super::{
    ActionView, BundleView, ExplainReply, Failure, HitView, SearchOp, SearchReply, ShowReply,
    failure,
};
use crate::clock::{moment, wall_ms};
use crate::disk::SledStore;

/// Hits at most in one answer, whatever is asked for.
pub(crate) const HITS_MAX: usize = 1_000;

/// Most STIX of one bundle that is shown, in bytes: as a string in the JSON of an
/// answer it takes a quarter more, 60 MiB, and the command line reads 64.
const SHOWN_BYTES_MAX: usize = 48 * 1_024 * 1_024;

/// Room in an answer for what is said beside the STIX, in bytes.
const BESIDE_BYTES: usize = 1_024 * 1_024;

/// Answers one person's questions from store and roster.
pub(crate) struct Answers<'a> {
    query: Query<'a, SledStore>,
    roster: &'a Roster,
    me: MemberId,
    /// [`SHOWN_BYTES_MAX`]; a field, so that a test need not fill it.
    shown_bytes_max: usize,
}

fn store_failed(error: StoreError) -> Failure {
    failure(
        1,
        error.to_string(),
        Some("run \"watchfire status\"; if the disk is sound, restart the node"),
    )
}

fn not_found(id: &str) -> Failure {
    failure(
        14,
        format!("nothing here with the id {id}"),
        Some("search by value with \"watchfire search\""),
    )
}

fn too_large(bytes: u64) -> Failure {
    failure(
        1,
        format!("the bundle is too large to be shown whole: its STIX has {bytes} bytes"),
        Some("search its objects with \"watchfire search\" and show them one by one"),
    )
}

/// Whether a text is short enough as a JSON string of an answer of that many
/// bytes: a quote, a backslash and a line end take two each there.
fn fits(text: &str, answer_bytes_max: usize) -> bool {
    let escaped = |byte: &&u8| matches!(**byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
    let escapes = text.as_bytes().iter().filter(escaped).count();
    text.len() + escapes + BESIDE_BYTES <= answer_bytes_max
}

impl<'a> Answers<'a> {
    pub(crate) fn new(store: &'a SledStore, roster: &'a Roster, me: MemberId) -> Self {
        // Whoever reaches the socket is a person of this node's organisation.
        let asker = Asker {
            reader: Reader::LocalPerson,
            roster,
            wall_ms: wall_ms(),
        };
        Self {
            query: Query::new(store, asker),
            roster,
            me,
            shown_bytes_max: SHOWN_BYTES_MAX,
        }
    }

    pub(crate) fn search(&self, op: &SearchOp) -> Result<SearchReply, Failure> {
        let limit = op.limit.clamp(1, HITS_MAX);
        let found = self.hits(op, limit)?;
        let hits = found.hits.iter().map(|hit| self.hit_view(hit.value()));
        Ok(SearchReply {
            hits: hits.collect::<Result<_, _>>()?,
            truncated: found.more,
            // The engine knows.
            incomplete: 0,
        })
    }

    fn hits(&self, op: &SearchOp, limit: usize) -> Result<Found, Failure> {
        let text = op.query.trim();
        if watchfire_protocol::stix::object::split_id(text).is_some() {
            return self.query.by_object(text, limit).map_err(store_failed);
        }
        let (text, subdomains) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, op.subdomains),
        };
        let value = indicator::detect(text).map_err(|error| {
            let hint = "search by a domain, address, URL, e-mail, digest or STIX id; *.domain finds sub-domains";
            failure(2, format!("cannot search for this: {error}"), Some(hint))
        })?;
        let prefixes = if subdomains {
            let prefix = value
                .subdomain_prefix()
                .ok_or_else(|| failure(2, "only a domain has sub-domains", None))?;
            vec![prefix]
        } else {
            value.search_prefixes()
        };
        self.query.by_values(&prefixes, limit).map_err(store_failed)
    }

    pub(crate) fn show(&self, id: &str) -> Result<ShowReply, Failure> {
        if let Ok(bundle) = id.parse::<BundleId>() {
            let record = self
                .query
                .bundle(&bundle)
                .map_err(store_failed)?
                .ok_or_else(|| not_found(id))?;
            // Before it is read and decoded.
            let parts = record.value().statement.parts.as_slice();
            let length = parts.first().map_or(0, |part| part.length);
            if length > self.shown_bytes_max as u64 {
                return Err(too_large(length));
            }
            let stix = self
                .query
                .payload(&bundle)
                .map_err(store_failed)?
                .ok_or_else(|| not_found(id))?;
            let stix = String::from_utf8_lossy(&stix.into_inner().stix).into_owned();
            if !fits(&stix, ANSWER_BYTES_MAX) {
                return Err(too_large(length));
            }
            return Ok(ShowReply {
                bundle: self.bundle_view(record.value())?,
                hit: None,
                also_from: Vec::new(),
                stix,
            });
        }
        let (hit, also_from) = self.newest(id)?;
        let record = self
            .query
            .bundle(&hit.value().bundle)
            .map_err(store_failed)?
            .ok_or_else(|| not_found(id))?;
        let stix = self
            .query
            .object_bytes(&hit)
            .map_err(store_failed)?
            .ok_or_else(|| not_found(id))?;
        Ok(ShowReply {
            bundle: self.bundle_view(record.value())?,
            hit: Some(self.hit_view(hit.value())?),
            also_from,
            stix: String::from_utf8_lossy(&stix.into_inner().stix).into_owned(),
        })
    }

    /// An object as its first author has it now, and the slugs of the others
    /// who published one of that id.
    fn newest(&self, id: &str) -> Result<(Release<Hit>, Vec<String>), Failure> {
        let versions = self.query.versions(id).map_err(store_failed)?;
        let versions = versions.ok_or_else(|| not_found(id))?;
        let mut others: Vec<String> = versions.others.iter().map(|id| self.slug(id)).collect();
        others.sort_unstable();
        Ok((versions.newest, others))
    }

    pub(crate) fn explain(&self, id: &str, to: Option<&str>) -> Result<ExplainReply, Failure> {
        let (marking, bundle, also_from) = match id.parse::<BundleId>() {
            Ok(bundle) => (None, bundle, Vec::new()),
            Err(_) => {
                let (hit, also_from) = self.newest(id)?;
                let hit = hit.value();
                (Some(hit.row.marking), hit.bundle, also_from)
            }
        };
        let record = self
            .query
            .bundle(&bundle)
            .map_err(store_failed)?
            .ok_or_else(|| not_found(id))?;
        let record = record.value();
        let marking = marking.unwrap_or(record.statement.marking);
        let standing = self.query.standing_of(record).map_err(store_failed)?;
        let (to, subject, standing, actions) = self.subject(to, marking, standing)?;
        Ok(ExplainReply {
            id: id.to_owned(),
            marking: marking.to_string(),
            author: self.slug(&record.author),
            distrusted: self.distrusts(&record.author)?,
            also_from,
            accepted: record.accepted.as_ref().map(AcceptedView::of),
            to,
            subject: subject.about().to_owned(),
            actions: actions
                .iter()
                .map(|action| {
                    let decision = decide(marking, *action, subject, standing);
                    let steps = explain(marking, *action, subject, standing);
                    ActionView::of(*action, decision, &steps)
                })
                .collect(),
        })
    }

    /// What is held back: ids, places and reasons, never contents.
    pub(crate) fn quarantined(&self, op: &QuarantinedOp) -> Result<QuarantinedReply, Failure> {
        let whose = Whose::named(self.roster, op.of.as_deref())?;
        let list = self
            .query
            .held_back(
                |author, node| whose.is(author, node),
                quarantined::limit_of(op),
            )
            .map_err(store_failed)?;
        Ok(quarantined::reply(&list, self.roster))
    }

    /// Whom an explanation is about, and which actions concern them.
    fn subject(
        &self,
        to: Option<&str>,
        marking: Marking,
        standing: Standing,
    ) -> Result<(String, Subject, Standing, &'static [Action]), Failure> {
        const OF_READERS: &[Action] =
            &[Action::Show, Action::Count, Action::Export, Action::Notify];
        const OF_PEERS: &[Action] = &[
            Action::RelayCiphertext,
            Action::StoreCiphertext,
            Action::GrantKey,
            Action::Open,
        ];
        match to {
            None => {
                let whom = format!("people of {}", self.slug(&self.me));
                Ok((
                    whom,
                    Subject::Reader(Reader::LocalPerson),
                    standing,
                    OF_READERS,
                ))
            }
            Some("public") => Ok((
                "public".to_owned(),
                Subject::Reader(Reader::Public),
                standing,
                OF_READERS,
            )),
            Some(slug) => {
                let (peer, membership) = match self.roster.member_by_slug(slug) {
                    // At CLEAR every member is in the audience.
                    Some(member) => (
                        Peer::of(marking == Marking::Clear, member.role == Role::Hub),
                        if self.distrusts(&member.id)? {
                            Membership::Distrusted
                        } else {
                            Membership::Current
                        },
                    ),
                    None => (Peer::Outside, Membership::Removed),
                };
                let standing = Standing {
                    subject: membership,
                    ..standing
                };
                Ok((slug.to_owned(), Subject::Peer(peer), standing, OF_PEERS))
            }
        }
    }

    fn distrusts(&self, member: &MemberId) -> Result<bool, Failure> {
        self.query.distrusts(member).map_err(store_failed)
    }

    fn slug(&self, member: &MemberId) -> String {
        self.roster
            .member(member)
            .map_or_else(|| member.to_string(), |member| member.slug.to_string())
    }

    fn hit_view(&self, hit: &Hit) -> Result<HitView, Failure> {
        Ok(HitView {
            id: hit.row.id.to_string(),
            kind: hit.row.kind.to_string(),
            name: hit.row.name.to_string(),
            marking: hit.row.marking.to_string(),
            author: self.slug(&hit.author),
            bundle: hit.bundle.to_string(),
            modified: (hit.row.modified_ms > 0).then(|| moment(hit.row.modified_ms)),
            received: moment(hit.received_ms),
            valid_until: moment(hit.not_after_ms),
            superseded: hit.superseded,
            distrusted: self.distrusts(&hit.author)?,
            exercise: hit.exercise,
        })
    }

    fn bundle_view(&self, record: &BundleRecord) -> Result<BundleView, Failure> {
        let (state, objects, values, not_indexed) = match record.outcome {
            Some(Outcome::Opened {
                objects,
                values,
                not_indexed,
            }) => ("searchable", objects, values, not_indexed),
            Some(Outcome::Refused { .. } | Outcome::NeedsUpgrade) | None => ("waiting", 0, 0, 0),
        };
        Ok(BundleView {
            id: record.bundle.to_string(),
            envelope: record.envelope.to_string(),
            author: self.slug(&record.author),
            distrusted: self.distrusts(&record.author)?,
            marking: record.statement.marking.to_string(),
            sequence: record.statement.stream.map_or(0, |(_, sequence)| sequence),
            created: moment(record.statement.created_ms),
            valid_until: moment(record.statement.not_after_ms),
            received: moment(record.received_ms),
            state: state.to_owned(),
            objects,
            values,
            not_indexed,
            exercise: record.statement.exercise,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

    use std::sync::Arc;

    use watchfire_protocol::engine::{ClientToken, Config, Engine, Input, Output};
    use watchfire_protocol::founding::derived_federation;
    use watchfire_protocol::opening::{Draft, Wish};
    use watchfire_protocol::store::Store as _;
    use watchfire_protocol::time::{Instant, Now};

    use super::*;

    const STIX: &str = "{\"type\":\"domain-name\",\"spec_version\":\"2.1\",\
        \"id\":\"domain-name--22222222-2222-4222-8222-222222222222\",\"value\":\"evil.example\"}";

    /// Publishes [`STIX`] in a store of its own.
    fn published(store: &Arc<SledStore>) -> (Roster, MemberId, String) {
        let now = Now {
            mono: Instant::ZERO,
            wall_ms: wall_ms(),
        };
        let roles = [Role::Agency, Role::Agency];
        let (file, roster, keys) = derived_federation(&[3; 32], &roles, now.wall_ms).unwrap();
        let keys = keys.into_iter().next().unwrap();
        let me = MemberId::of_root(&keys.root.public());
        let config = Config {
            roster: roster.clone(),
            genesis_file: file.to_bytes(),
            links: Vec::new(),
            installed: Vec::new(),
            prepared: None,
            transport_key: keys.transport.public().to_bytes(),
            signing_key: keys.signing,
            seed: [1; 32],
        };
        let mut engine = Engine::open(Arc::clone(store), config, now).unwrap();
        let wish = Wish {
            flag: Some(Marking::Clear),
            valid_ms: 86_400_000,
            exercise: false,
            permissible_actions: None,
            supersedes: None,
        };
        let draft = Draft::prepare(STIX.as_bytes().to_vec(), None, wish).unwrap();
        let client = ClientToken(1);
        let draft = Box::new(draft);
        engine
            .handle(now, Input::Publish { client, draft })
            .unwrap();
        while let Some((number, batch)) = engine.begin_commit() {
            store.apply(&batch).unwrap();
            engine.handle(now, Input::Committed(number)).unwrap();
        }
        let bundle = std::iter::from_fn(|| engine.poll()).find_map(|output| match output {
            Output::Published {
                outcome: Ok(published),
                ..
            } => Some(published.bundle.to_string()),
            _ => None,
        });
        (roster, me, bundle.unwrap())
    }

    #[test]
    fn a_bundle_too_large_for_an_answer_is_refused_with_a_way_out() {
        let place = tempfile::tempdir().unwrap();
        let store = Arc::new(SledStore::create(&place.path().join("store")).unwrap());
        let (roster, me, bundle) = published(&store);
        let mut answers = Answers::new(&store, &roster, me);
        assert_eq!(answers.show(&bundle).unwrap().stix, STIX);
        answers.shown_bytes_max = STIX.len() - 1;
        let failure = answers.show(&bundle).unwrap_err();
        assert_eq!(failure.exit_code, 1);
        assert!(failure.message.contains("too large"), "{}", failure.message);
        assert!(failure.hint.unwrap().contains("one by one"));
        // Its objects are shown as before.
        let id = "domain-name--22222222-2222-4222-8222-222222222222";
        let shown = answers.show(id).unwrap();
        assert_eq!(shown.stix, STIX);
        assert!(shown.also_from.is_empty());
    }

    /// No action is left out: each is explained to nodes or to readers, in the
    /// order of the policy, and to nobody whom it does not concern.
    #[test]
    fn every_action_is_explained_to_those_it_concerns() {
        let place = tempfile::tempdir().unwrap();
        let store = Arc::new(SledStore::create(&place.path().join("store")).unwrap());
        let (roster, me, bundle) = published(&store);
        let answers = Answers::new(&store, &roster, me);
        let member = roster.member(&me).unwrap().slug.to_string();
        for to in [
            None,
            Some("public"),
            Some(member.as_str()),
            Some("nobody-here"),
        ] {
            let explained = answers.explain(&bundle, to).unwrap();
            let subject = answers
                .subject(to, Marking::Clear, Standing::BEST)
                .unwrap()
                .1;
            let concern = |action: &Action| {
                Marking::ALL.iter().any(|marking| {
                    let rule = decide(*marking, *action, subject, Standing::BEST).rule();
                    !["not-a-node", "not-a-reader"].contains(&rule)
                })
            };
            let wanted: Vec<&str> = Action::ALL
                .iter()
                .filter(|action| concern(action))
                .map(|action| action.name())
                .collect();
            let found: Vec<&str> = explained
                .actions
                .iter()
                .map(|action| action.action.as_str())
                .collect();
            assert_eq!(found, wanted, "{to:?}");
            assert_eq!(found.len(), 4, "{to:?}");
        }
        // At CLEAR nothing is sealed, and the explanation says so.
        let explained = answers.explain(&bundle, Some(&member)).unwrap();
        let key = explained
            .actions
            .iter()
            .find(|action| action.action == "grant-key")
            .unwrap();
        assert_eq!((key.allowed, key.rule.as_str()), (false, "no-key-in-clear"));
    }

    #[test]
    fn what_fits_is_counted_as_json_writes_it() {
        let text = "a\"b\\c\n".repeat(100);
        let written = serde_json::to_string(&text).unwrap().len() - 2;
        assert!(fits(&text, BESIDE_BYTES + written));
        assert!(!fits(&text, BESIDE_BYTES + written - 1));
    }
}
