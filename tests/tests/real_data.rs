//! Real public intelligence through two real nodes: what one agency publishes,
//! another can search, every entry accounted for. And what must not travel
//! yet, which leaves no trace.
//!
//! Values of real data are malware's own: they are compared, never resolved,
//! opened or printed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "real_data/account.rs"]
mod account;
#[path = "real_data/refused.rs"]
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use watchfire_node::driver::{PublishFailure, PublishedBundle};
use watchfire_node::formats::{Columns, Format, Import, Options, import};
use watchfire_protocol::indicator::{self, Value, indicator_id};
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::PrepareError;
use watchfire_protocol::policy::Release;
use watchfire_protocol::query::Hit;
use watchfire_protocol::stix::markings::MarkingRefusal;
use watchfire_protocol::stix::pattern::extract;
use watchfire_protocol::stix::time::Timestamp;
use watchfire_protocol::store::Store;
use watchfire_protocol::table::{self, rows};
use watchfire_protocol::wire::codec;

use account::{LISTS, STIX_ELEMENTS, STIX_FILES, STIX_VERSIONS};
use watchfire_tests::mesh::{Listen, Mesh, Running};

/// Each so-many-th value and object is looked for, besides the first and the
/// last.
const SAMPLE_EVERY: usize = 97;

/// Documents up to this size are decoded once for every object looked at;
/// larger ones three times.
const SMALL_BYTES: usize = 50_000;

/// The folder of real data, or nothing and one loud line.
fn data(unchecked: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHFIRE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("stix21").is_dir() {
        return Some(folder);
    }
    eprintln!("WATCHFIRE_DATA ABSENT: {unchecked}");
    None
}

/// Every file below a folder, by its name within it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(inside) = open.pop() {
        for entry in std::fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, path);
            }
        }
    }
    found
}

fn options(mesh: &Mesh, author: u64) -> Options {
    let now = Timestamp::parse("2026-11-23T00:00:00Z").unwrap();
    Options {
        format: None,
        columns: None,
        author: mesh.member(author),
        author_name: format!("m-{author}"),
        marking: Some(Marking::Clear),
        created: now,
        modified: now,
        labels: Vec::new(),
    }
}

/// One file on its way.
struct Source {
    name: String,
    author: u64,
    import: Import,
    /// What is looked for by value.
    values: Vec<Value>,
    published: PublishedBundle,
}

/// The first, the last, and each so-many-th.
fn sample<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let last = all.len().saturating_sub(1);
    all.iter()
        .enumerate()
        .filter(move |(at, _)| at % SAMPLE_EVERY == 0 || *at == last)
        .map(|(_, one)| one)
}

fn objects(stix: &[u8]) -> Vec<serde_json::Value> {
    let document: serde_json::Value = serde_json::from_slice(stix).unwrap();
    // An array, a bundle, or one object.
    let list = document
        .as_array()
        .or_else(|| document["objects"].as_array());
    list.cloned().unwrap_or_else(|| vec![document.clone()])
}

/// The values of the indicators of a document, each once, in its order.
fn values_of(stix: &[u8]) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let objects = objects(stix);
    let indicators = objects
        .iter()
        .filter(|object| object["type"] == "indicator" && object["pattern_type"] == "stix");
    indicators
        .flat_map(|indicator| {
            extract(indicator["pattern"].as_str().unwrap())
                .unwrap()
                .values
        })
        .filter(|value| seen.insert(value.clone()))
        .collect()
}

/// What a list or table holds, read from its lines and not by the importer.
fn values_of_lines<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    lines
        .filter_map(|line| indicator::detect(line.trim()).ok())
        .filter(|value| !value.is_private() && seen.insert(value.clone()))
        .collect()
}

fn assert_account(name: &str, import: &Import, expected: [usize; 4]) {
    let account = &import.account;
    let count = |count: u64| usize::try_from(count).unwrap();
    let found = [
        count(account.input()),
        count(account.accepted()),
        count(account.duplicate()),
        account.refused().len(),
    ];
    assert_eq!(found, expected, "{name}: in, accepted, duplicate, refused");
    assert_eq!(
        found[0],
        found[1] + found[2] + found[3],
        "{name}: what went in is what came out"
    );
}

fn publish(node: &Running, name: &str, stix: &[u8]) -> PublishedBundle {
    let published = node.publish(stix.to_vec(), Some(Marking::Clear));
    let published =
        published.unwrap_or_else(|refused| panic!("{name} is not published: {refused}"));
    assert_eq!(published.summary.marking, Marking::Clear, "{name}");
    published
}

/// Lists, tables and reports: converted, accounted for, published.
fn publish_lists(data: &Path, mesh: &Mesh, nodes: &[Running; 2]) -> Vec<Source> {
    let mut sources = Vec::new();
    for ((name, format, expected), author) in LISTS.iter().zip([0, 1].into_iter().cycle()) {
        let bytes = std::fs::read(data.join(name)).unwrap();
        let mut options = options(mesh, author);
        if *name == "iocs/tweetfeed/month.csv" {
            options.columns = Some(Columns::parse("date,user,type,value,tags,ref").unwrap());
        }
        let import =
            import(name, &bytes, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(import.format, *format, "{name}");
        assert_account(name, &import, *expected);
        let text = String::from_utf8(bytes).unwrap();
        let values = match *name {
            "iocs/maltrail/lummac2.txt" => {
                values_of_lines(text.lines().filter(|line| !line.starts_with('#')))
            }
            "iocs/tweetfeed/month.csv" => {
                values_of_lines(text.lines().filter_map(|line| line.split(',').nth(3)))
            }
            _ => values_of(&import.stix),
        };
        assert_eq!(
            values.len(),
            expected[1],
            "{name}: values counted from the file itself"
        );
        let published = publish(&nodes[usize::try_from(author).unwrap()], name, &import.stix);
        // The values, the author's identity and the marking definition.
        assert_eq!(
            published.summary.objects,
            import.account.accepted() + 2,
            "{name}"
        );
        sources.push(Source {
            name: (*name).to_owned(),
            author,
            import,
            values,
            published,
        });
    }
    sources
}

/// STIX files: taken byte for byte, or refused with their names.
fn publish_stix(
    data: &Path,
    mesh: &Mesh,
    nodes: &[Running; 2],
) -> (Vec<Source>, BTreeMap<String, PublishFailure>) {
    let folder = data.join("stix21");
    let files = files(&folder);
    let expected: BTreeMap<&str, [usize; 4]> = STIX_FILES.into_iter().collect();
    let known: BTreeSet<&str> = expected
        .keys()
        .copied()
        .chain(["tweetfeed/taxii/index.json"])
        .collect();
    assert_eq!(
        files.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );

    let (mut sources, mut refused) = (Vec::new(), BTreeMap::new());
    for ((name, path), author) in files.iter().zip([1, 0].into_iter().cycle()) {
        let node = &nodes[usize::try_from(author).unwrap()];
        let bytes = std::fs::read(path).unwrap();
        let import = match import(name, &bytes, &options(mesh, author)) {
            Ok(import) => import,
            Err(error) => {
                assert_eq!(name, "tweetfeed/taxii/index.json");
                assert!(
                    error.to_string().starts_with("it is JSON but not STIX"),
                    "{error}"
                );
                refused.insert(
                    name.clone(),
                    node.publish(bytes, Some(Marking::Clear)).unwrap_err(),
                );
                continue;
            }
        };
        assert_eq!(import.format, Format::Stix, "{name}");
        assert!(import.stix == bytes, "{name} was altered on the way in");
        assert_account(name, &import, expected[name.as_str()]);
        let published = match node.publish(bytes, Some(Marking::Clear)) {
            Ok(published) => published,
            Err(error) => {
                refused.insert(name.clone(), error);
                continue;
            }
        };
        assert_eq!(
            published.summary.objects,
            import.account.accepted(),
            "{name}"
        );
        let values = values_of(&import.stix);
        sources.push(Source {
            name: name.clone(),
            author,
            import,
            values,
            published,
        });
    }
    (sources, refused)
}

/// Looks at a file where its author is not.
fn look_up(source: &Source, mesh: &Mesh, reader: &Running) {
    let name = &source.name;
    let (bundle, author) = (
        source.published.published.bundle,
        mesh.member(source.author),
    );
    reader.query(|query| {
        let held = query
            .payload(&bundle)
            .unwrap()
            .unwrap_or_else(|| panic!("{name} has no payload"));
        assert!(
            held.value().stix == source.import.stix,
            "{name} came back altered"
        );
        let record = query.bundle(&bundle).unwrap().unwrap();
        assert_eq!(
            (record.value().author, record.value().statement.marking),
            (author, Marking::Clear),
            "{name}"
        );
    });

    let is_converted = source.import.format != Format::Stix;
    let mut found: Vec<Release<Hit>> = Vec::new();
    for (at, value) in sample(&source.values).enumerate() {
        let hits = reader
            .query(|query| query.by_values(&value.search_prefixes(), 10_000))
            .unwrap();
        let own = hits.hits.into_iter().find(|hit| {
            let hit = hit.value();
            hit.bundle == bundle
                && (!is_converted || hit.row.id.as_str() == indicator_id(&author, value))
        });
        let own = own.unwrap_or_else(|| panic!("{name}: sampled value {at} is not found"));
        assert_eq!(
            own.value().author,
            author,
            "{name}: sampled value {at} has another author"
        );
        found.push(own);
    }
    let objects = objects(&source.import.stix);
    for object in sample(&objects) {
        let id = object["id"].as_str().unwrap();
        let versions = reader.query(|query| query.by_object(id, 10_000)).unwrap();
        let own = versions
            .hits
            .into_iter()
            .find(|hit| hit.value().bundle == bundle);
        found.push(own.unwrap_or_else(|| panic!("{name}: {id} is not found")));
    }

    let is_small = source.import.stix.len() <= SMALL_BYTES;
    for (at, hit) in found.iter().enumerate() {
        let row = &hit.value().row;
        let start = usize::try_from(row.offset).unwrap();
        let expected = &source.import.stix[start..start + usize::try_from(row.length).unwrap()];
        let object: serde_json::Value = serde_json::from_slice(expected).unwrap();
        assert_eq!(
            object["id"],
            row.id.as_str(),
            "{name}: another object stands at that place"
        );
        if is_small || [0, found.len() / 2, found.len() - 1].contains(&at) {
            let bytes = reader
                .query(|query| query.object_bytes(hit))
                .unwrap()
                .unwrap();
            assert!(
                bytes.value().stix == expected,
                "{name}: {} came back altered",
                row.id
            );
        }
    }
}

/// How many objects there are in so many versions, by the rows of a store.
fn versions(node: &Running, of: &[Source]) -> BTreeSet<(String, u64)> {
    let store = node.node().store();
    let mut versions = BTreeSet::new();
    for source in of {
        let arrival = store
            .get(&table::bundle(&source.published.published.bundle))
            .unwrap()
            .unwrap();
        let arrival = codec::decode(&arrival, 9).unwrap();
        let prefix = rows::of(arrival);
        for (key, block) in store.scan(&prefix, &prefix, usize::MAX).unwrap() {
            let rows = (0..).map_while(|at| rows::read(&key, &block, at).unwrap());
            versions.extend(rows.map(|(_, row)| (row.id.as_str().to_owned(), row.modified_ms)));
        }
    }
    versions
}

#[test]
fn what_one_agency_publishes_another_can_search() {
    let Some(data) = data("real intelligence published by one agency and searched at another")
    else {
        return;
    };
    let mesh = Mesh::of(&[Listen::Tcp, Listen::Quic]);
    let mut nodes = [mesh.start(0), mesh.start(1)];
    nodes[0].meets(mesh.node(1));
    nodes[1].meets(mesh.node(0));

    let lists = publish_lists(&data, &mesh, &nodes);
    let (stix, refused) = publish_stix(&data, &mesh, &nodes);
    let elements: usize = STIX_FILES.iter().map(|(_, account)| account[0]).sum();
    assert_eq!(elements, STIX_ELEMENTS);

    // Two files are refused, each with what is wrong with it.
    assert_eq!(refused.len(), 2, "{refused:?}");
    let index = &refused["tweetfeed/taxii/index.json"];
    assert!(
        matches!(index, PublishFailure::Prepare(PrepareError::Stix { .. })),
        "{index}"
    );
    let interop = &refused["oasis_examples/interop-objectmarking-test.json"];
    let PublishFailure::Prepare(PrepareError::Marking(MarkingRefusal::Closed {
        count: 1,
        objects,
    })) = interop
    else {
        panic!("RED beside a marking that nobody defines: {interop}");
    };
    assert!(
        objects[0].starts_with("campaign--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061: "),
        "{objects:?}"
    );
    assert!(
        interop
            .to_string()
            .contains("campaign--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061"),
        "{interop}"
    );

    let all: Vec<&Source> = lists.iter().chain(&stix).collect();
    let bundles: Vec<_> = all
        .iter()
        .map(|source| source.published.published.bundle)
        .collect();
    for node in &mut nodes {
        node.finds(&bundles);
        assert_eq!(node.heard().not_opened, [""; 0]);
        assert_eq!(node.bundles(), bundles.iter().copied().collect());
    }
    for source in all {
        let reader = &nodes[usize::from(source.author == 0)];
        let (author, objects) = reader.heard().searchable[&source.published.published.bundle];
        assert_eq!(
            (author, objects),
            (mesh.member(source.author), source.published.summary.objects),
            "{}",
            source.name
        );
        look_up(source, &mesh, reader);
    }
    for node in &nodes {
        assert_eq!(versions(node, &stix).len(), STIX_VERSIONS);
    }
    for node in nodes {
        node.stop();
    }
}
