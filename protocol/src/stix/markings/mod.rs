//! How far a document may go: the effective marking.
//!
//! The strictest of everything counts: the publisher's flag, the markings of
//! every object, granular ones, and what containers and referrers hand down. A
//! marking is handed along every reference from the object that refers to the
//! one it refers to: a report to its members, observed data to its
//! observables, a relationship to both its ends. What speaks *about* another
//! object (a translation, a relationship, a sighting, a note, an opinion)
//! takes that object's marking for itself, and hands that part no further:
//! otherwise one TLP:RED indicator would redden every object of a graph.
//!
//! Objects that were refused travel inside the payload all the same, so their
//! markings count too. What cannot be read closes.

use std::collections::{BTreeMap, BTreeSet};

use crate::marking::Marking;
use crate::stix::document::{Document, Verdict};
use crate::stix::links::{Claim, Links};
use crate::stix::object::split_id;

pub mod definition;

use definition::{Judgement, known};

/// How many objects a refusal names; the others are counted.
const NAMED_MAX: usize = 10;

/// The marking of one object.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ObjectMarking {
    /// Nothing marks it.
    Unmarked,
    /// The strictest of what marks it.
    Marked(Marking),
    /// Something that cannot be read marks it; it goes to nobody.
    Closed(String),
}

/// Why a document has no effective marking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkingRefusal {
    /// Objects without a marking, and no flag.
    #[error(
        "no marking: objects without one: {count}, first {}; pass --tlp with the label they shall have",
        .objects.join(", ")
    )]
    Missing {
        /// How many.
        count: usize,
        /// The ids of the first of them.
        objects: Vec<String>,
    },
    /// Nothing that could carry a marking.
    #[error(
        "no marking: the document defines markings and holds nothing else; there is nothing to publish"
    )]
    DefinitionsOnly,
    /// Objects stricter than the flag.
    #[error(
        "objects marked stricter than {flag}: {count}, up to {strictest}, first {}; publish with --tlp {strictest} or leave them out",
        .objects.join(", ")
    )]
    Stricter {
        /// What was asked for.
        flag: Marking,
        /// The strictest label found.
        strictest: Marking,
        /// How many objects are stricter.
        count: usize,
        /// The ids of the first of them.
        objects: Vec<String>,
    },
    /// Objects whose marking cannot be read.
    #[error(
        "objects whose marking cannot be read: {count}, first {}; correct the marking and try again",
        .objects.join(", ")
    )]
    Closed {
        /// How many.
        count: usize,
        /// The ids of the first of them, each with the reason.
        objects: Vec<String>,
    },
}

/// The marking of every element of a document.
#[derive(Clone, Debug)]
pub struct Survey {
    markings: Vec<ObjectMarking>,
}

impl Survey {
    /// The markings, in the order of [`Document::verdicts`].
    pub fn markings(&self) -> &[ObjectMarking] {
        &self.markings
    }
}

/// Strictness as a number, so that closed lies above every label.
type Level = usize;

const UNMARKED: Level = 0;
const CLOSED: Level = Marking::ALL.len() + 1;

fn level_of(marking: Marking) -> Level {
    Marking::ALL
        .iter()
        .position(|label| *label == marking)
        .map_or(CLOSED, |at| at + 1)
}

/// One element with its state while markings are handed around.
struct Node<'d> {
    links: &'d Links,
    id: Option<&'d str>,
    level: Level,
    /// Why it closes, if it does so by itself.
    reason: Option<String>,
    /// Which element handed its level down.
    from: Option<usize>,
}

/// Computes the marking of every element of `document`. Takes time linear in
/// the number of objects and references, times the logarithm of their number.
pub fn survey(document: &Document<'_>) -> Survey {
    let definitions = definitions(document);
    let shell = own_level(&document.shell, &definitions);
    let mut nodes: Vec<Node<'_>> = document
        .verdicts()
        .iter()
        .map(|verdict| {
            let (links, id) = match verdict {
                Verdict::Accepted(object) => (&object.links, Some(object.id.as_str())),
                Verdict::Refused(refused) => (&refused.links, refused.id.as_deref()),
                Verdict::Duplicate { id, .. } => (&NO_LINKS, Some(id.as_str())),
            };
            let (level, reason) = own_level(links, &definitions);
            let (level, reason) = if shell.0 > level {
                shell.clone()
            } else {
                (level, reason)
            };
            Node {
                links,
                id,
                level,
                reason,
                from: None,
            }
        })
        .collect();
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Some(id) = node.id {
            groups.entry(id).or_default().members.push(at);
        }
    }
    hand_down(&mut nodes, &mut groups);
    take_over(&mut nodes, &groups);
    Survey {
        markings: (0..nodes.len()).map(|at| outcome(&nodes, at)).collect(),
    }
}

/// The effective marking of a document: the strictest of the flag and of
/// everything in it.
///
/// Marking definitions need no marking themselves, nor does the identity that
/// other objects name as their author: few feeds mark theirs, and it goes no
/// further than the strictest of what it made.
///
/// # Errors
/// When something cannot be read, is stricter than the flag, or carries no
/// marking while no flag is given. There is no default.
pub fn effective(
    document: &Document<'_>,
    flag: Option<Marking>,
) -> Result<Marking, MarkingRefusal> {
    effective_of(document, &survey(document), flag)
}

/// As [`effective`], over a survey that was made before.
///
/// # Errors
/// As [`effective`].
pub fn effective_of(
    document: &Document<'_>,
    survey: &Survey,
    flag: Option<Marking>,
) -> Result<Marking, MarkingRefusal> {
    let mut closed = Named::default();
    let mut stricter = Named::default();
    let mut missing = Named::default();
    let mut strictest: Option<Marking> = None;
    let authors: BTreeSet<&str> = document
        .accepted()
        .filter_map(|object| object.links.author.as_deref())
        .filter(|id| split_id(id) == Some("identity"))
        .collect();
    for (at, (verdict, marking)) in document.verdicts().iter().zip(&survey.markings).enumerate() {
        let name = || name_of(verdict, at);
        match marking {
            ObjectMarking::Closed(reason) => {
                closed.add(|| format!("{}: {reason}", name()));
            }
            ObjectMarking::Marked(marking) => {
                strictest = strictest.max(Some(*marking));
                if flag.is_some_and(|flag| *marking > flag) {
                    stricter.add(name);
                }
            }
            ObjectMarking::Unmarked => match verdict {
                Verdict::Accepted(object) if object.links.defines.is_some() => {}
                Verdict::Accepted(object) if authors.contains(object.id.as_str()) => {}
                Verdict::Accepted(_) | Verdict::Refused(_) => missing.add(name),
                Verdict::Duplicate { .. } => {}
            },
        }
    }
    if closed.count > 0 {
        return Err(MarkingRefusal::Closed {
            count: closed.count,
            objects: closed.names,
        });
    }
    match (flag, strictest) {
        (Some(flag), Some(strictest)) if strictest > flag => Err(MarkingRefusal::Stricter {
            flag,
            strictest,
            count: stricter.count,
            objects: stricter.names,
        }),
        (Some(flag), _) => Ok(flag),
        (None, Some(strictest)) if missing.count == 0 => Ok(strictest),
        (None, _) if missing.count == 0 => Err(MarkingRefusal::DefinitionsOnly),
        (None, _) => Err(MarkingRefusal::Missing {
            count: missing.count,
            objects: missing.names,
        }),
    }
}

/// The first few names, and how many there were.
#[derive(Default)]
struct Named {
    count: usize,
    names: Vec<String>,
}

impl Named {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names.push(name());
        }
    }
}

fn name_of(verdict: &Verdict, at: usize) -> String {
    match verdict {
        Verdict::Accepted(object) => object.id.clone(),
        Verdict::Duplicate { id, .. } => id.clone(),
        Verdict::Refused(refused) => refused
            .id
            .clone()
            .unwrap_or_else(|| format!("element {} of the document", at + 1)),
    }
}

/// What the document defines under each marking-definition id; where it defines
/// one twice, the worse counts.
fn definitions<'d>(document: &'d Document<'_>) -> BTreeMap<&'d str, Judgement> {
    let mut found: BTreeMap<&str, Judgement> = BTreeMap::new();
    for verdict in document.verdicts() {
        let links = match verdict {
            Verdict::Accepted(object) => &object.links,
            Verdict::Refused(refused) => &refused.links,
            Verdict::Duplicate { .. } => continue,
        };
        let Some((id, judgement)) = &links.defines else {
            continue;
        };
        found
            .entry(id)
            .and_modify(|known| {
                if known != judgement {
                    *known = Judgement::Closed("the document defines it in two ways");
                }
            })
            .or_insert_with(|| judgement.clone());
    }
    found
}

/// What an object's own claims and definition come to.
fn own_level(links: &Links, definitions: &BTreeMap<&str, Judgement>) -> (Level, Option<String>) {
    let mut level = UNMARKED;
    let closed = |reason: String| (CLOSED, Some(reason));
    if let Some((id, Judgement::Closed(reason))) = &links.defines {
        let id: String = id.chars().take(100).collect();
        return closed(format!("the marking definition {id} closes: {reason}"));
    }
    for claim in &links.claims {
        match claim {
            Claim::Malformed(what) => return closed((*what).to_owned()),
            Claim::Label(label) => match Marking::parse(label) {
                Some(marking) => level = level.max(level_of(marking)),
                None => return closed(format!("its label {:?} is no TLP label", short(label))),
            },
            Claim::Definition(id) => {
                let judged = definitions.get(id.as_str()).cloned().or_else(|| known(id));
                match judged {
                    Some(Judgement::Tlp(marking)) => level = level.max(level_of(marking)),
                    Some(Judgement::Other) => {}
                    Some(Judgement::Closed(reason)) => {
                        return closed(format!("its marking {} closes: {reason}", short(id)));
                    }
                    None if split_id(id) == Some("marking-definition") => {
                        return closed(format!(
                            "its marking {id} is neither a TLP id nor defined in the document"
                        ));
                    }
                    None => {
                        return closed(format!(
                            "its marking {:?} is not the id of a marking definition",
                            short(id)
                        ));
                    }
                }
            }
        }
    }
    (level, None)
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

static NO_LINKS: Links = Links {
    claims: Vec::new(),
    refs: Vec::new(),
    speaks_about: false,
    author: None,
    defines: None,
};

/// The elements that share an id. References name ids, so handing down goes
/// through the id and costs one visit per reference, however many versions
/// stand behind it.
#[derive(Default)]
struct Group {
    members: Vec<usize>,
    /// The strictest level that was handed to it.
    handed: Level,
}

/// Hands every level along the references until nothing changes, the strictest
/// first, so that each element is settled once.
fn hand_down(nodes: &mut [Node<'_>], groups: &mut BTreeMap<&str, Group>) {
    for level in (UNMARKED + 1..=CLOSED).rev() {
        let mut work: Vec<usize> = nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.level == level)
            .map(|(at, _)| at)
            .collect();
        while let Some(at) = work.pop() {
            let Some(links) = nodes.get(at).map(|node| node.links) else {
                continue;
            };
            for target in &links.refs {
                let Some(group) = groups.get_mut(target.as_str()) else {
                    continue;
                };
                if group.handed >= level {
                    continue;
                }
                group.handed = level;
                for member in &group.members {
                    if let Some(node) = nodes.get_mut(*member)
                        && node.level < level
                    {
                        node.level = level;
                        node.from = Some(at);
                        work.push(*member);
                    }
                }
            }
        }
    }
}

/// Gives what speaks about other objects the strictest of their markings. One
/// step, from the levels as they were before it.
fn take_over(nodes: &mut [Node<'_>], groups: &BTreeMap<&str, Group>) {
    let mut strictest: BTreeMap<&str, (Level, usize)> = BTreeMap::new();
    for (id, group) in groups {
        for member in &group.members {
            let level = nodes.get(*member).map_or(UNMARKED, |node| node.level);
            let known = strictest.entry(id).or_insert((level, *member));
            if level > known.0 {
                *known = (level, *member);
            }
        }
    }
    for node in nodes.iter_mut().filter(|node| node.links.speaks_about) {
        for target in &node.links.refs {
            if let Some((level, member)) = strictest.get(target.as_str())
                && *level > node.level
            {
                node.level = *level;
                node.from = Some(*member);
            }
        }
    }
}

fn outcome(nodes: &[Node<'_>], at: usize) -> ObjectMarking {
    let Some(node) = nodes.get(at) else {
        return ObjectMarking::Unmarked;
    };
    if node.level == UNMARKED {
        return ObjectMarking::Unmarked;
    }
    if let Some(marking) = Marking::ALL.get(node.level - 1) {
        return ObjectMarking::Marked(*marking);
    }
    let reason = match (&node.reason, node.from) {
        (Some(reason), _) => reason.clone(),
        (None, Some(from)) => {
            let from = nodes.get(from).and_then(|node| node.id);
            format!(
                "{} closes and hands it down",
                from.unwrap_or("another object")
            )
        }
        (None, None) => "its marking closes".to_owned(),
    };
    ObjectMarking::Closed(reason)
}

#[cfg(test)]
mod tests;
