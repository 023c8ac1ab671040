//! The story: meet, publish, arrive, search, and what the outsider gets.

mod search;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use watchfire_protocol::engine::Event;
use watchfire_protocol::ids::BundleId;
use watchfire_protocol::marking::Marking;
use watchfire_protocol::opening::Wish;
use watchfire_protocol::stix::document::Document;
use watchfire_protocol::stix::time::Timestamp;

use super::cast::Cast;
use super::outsider::Outsider;
use super::sample::{PUBLISHED, REFUSED, Sample};
use super::summary::{Expected, Summary, Told};
use super::{DemoArgs, DemoError, say};
use crate::clock::wall_ms;
use crate::driver::NodeEvent;
use crate::formats::{Import, Options, import};
use crate::keystore::read_bounded;
use search::{Sought, Wanted, expected, forbidden, search};

/// How long each act may take. Generous: it only ends what would never end.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the nodes are asked whom they know.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A thing that happened at one of the nodes.
struct Heard {
    at_node: usize,
    event: NodeEvent,
}

/// One bundle on its way.
struct Sent {
    told: Told,
    expected: Expected,
    sought: Sought,
    at: Instant,
    verified: BTreeSet<usize>,
    searchable: BTreeSet<usize>,
}

/// Tells the story, then stays until Ctrl-C unless asked for once.
pub(crate) async fn tell(args: &DemoArgs, directory: &Path) -> Result<(), DemoError> {
    let quiet = args.quiet || args.json;
    say(
        quiet,
        "watchfire demonstration: three agencies, a hub, and an outsider, on this machine",
    );
    let cast = Cast::start(directory)?;
    let mut heard = listen(&cast);
    say(
        quiet,
        &format!(
            "  federation  {}  ({})",
            cast.roster.name(),
            cast.roster.federation().short()
        ),
    );
    meet(&cast, &mut heard, quiet).await?;
    let mut outsider = Outsider::start(directory, &cast).await?;
    outsider.try_everybody(&cast).await?;
    let door = if outsider.is_refused_at_door() {
        "the door refused its certificate: not in the roster"
    } else {
        "the door did not refuse its certificate"
    };
    tell_of(
        &outsider,
        &cast,
        &format!("dials everybody and {{}}; {door}"),
        quiet,
    )?;
    say(quiet, "");

    let mut sent = Vec::new();
    let mut micros = Vec::new();
    let inputs = inputs(args)?;
    for input in inputs {
        publish(&cast, input, &mut sent, quiet).await?;
        arrive(&cast, &mut heard, &mut sent, &mut micros, quiet).await?;
    }
    refuse(&cast, quiet).await?;
    let wanted: Vec<Wanted<'_>> = sent
        .iter()
        .map(|sent| Wanted {
            bundle: sent.told.bundle,
            author: &sent.told.author,
            sought: &sent.sought,
        })
        .collect();
    search(&cast, &wanted, quiet)?;
    // Once more, now that there is something to get.
    outsider.try_everybody(&cast).await?;
    tell_of(&outsider, &cast, "tries again and {}", quiet)?;
    let (told, expected): (Vec<Told>, Vec<Expected>) = sent
        .into_iter()
        .map(|sent| (sent.told, sent.expected))
        .unzip();
    let summary = Summary::compute(&cast, &outsider, &told, &expected, &forbidden()?, micros)?;
    say(quiet, "");
    say(
        quiet,
        &format!(
            "  publish to verified arrival: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; leaks: {}",
            summary.latencies_ms.p50,
            summary.latencies_ms.p99,
            summary.latencies_ms.max,
            summary.leaks
        ),
    );
    say(quiet, &format!("  stores: {}", directory.display()));
    if args.json {
        let document = serde_json::json!({ "schema": "watchfire.demo/1", "data": summary });
        use std::io::Write as _;
        // A closed pipe: nobody wants the summary any more.
        let _ = writeln!(std::io::stdout(), "{document}");
    }
    if !args.once {
        say(args.quiet, "  the nodes stay up; end with Ctrl-C");
        // Without a signal handler the process ends all the same.
        let _ = tokio::signal::ctrl_c().await;
    }
    outsider.stop();
    end(cast).await?;
    let wrong = summary.disappointments();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(DemoError::Disappointed(wrong.join("; ")))
    }
}

/// What came of the outsider's attempts, put where `{}` stands.
fn tell_of(outsider: &Outsider, cast: &Cast, line: &str, quiet: bool) -> Result<(), DemoError> {
    let (by, all) = (outsider.refused_by().len(), cast.players.len());
    let got = match outsider.entries()? {
        0 if by == all => format!("gets no connection, refused by {by} of {all}"),
        given => format!("is refused by {by} of {all} and given {given} things"),
    };
    say(
        quiet,
        &format!("  outsider    {}", line.replace("{}", &got)),
    );
    Ok(())
}

/// Joins what all nodes tell into one line.
fn listen(cast: &Cast) -> mpsc::Receiver<Heard> {
    let (sender, receiver) = mpsc::channel(65_536);
    for (at_node, player) in cast.players.iter().enumerate() {
        let mut events = player.node.events();
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        if sender.send(Heard { at_node, event }).await.is_err() {
                            return;
                        }
                    }
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }
    receiver
}

async fn next(
    heard: &mut mpsc::Receiver<Heard>,
    until: Instant,
    what: &str,
) -> Result<Heard, DemoError> {
    let waited = || DemoError::Waited {
        what: what.to_owned(),
        seconds: PATIENCE.as_secs(),
    };
    tokio::time::timeout_at(until.into(), heard.recv())
        .await
        .map_err(|_| waited())?
        .ok_or_else(waited)
}

/// Waits until everybody knows everybody.
async fn meet(
    cast: &Cast,
    heard: &mut mpsc::Receiver<Heard>,
    quiet: bool,
) -> Result<(), DemoError> {
    let until = Instant::now() + PATIENCE;
    let begun = Instant::now();
    let mut known = BTreeSet::new();
    // The nodes began before anybody listened, so they are asked as well.
    loop {
        for (at, player) in cast.players.iter().enumerate() {
            let status = player
                .node
                .status()
                .await
                .map_err(|error| DemoError::Ended(error.to_string()))?;
            known.extend(status.engine.peers.into_iter().map(|peer| (at, peer)));
        }
        if known.len() == cast.players.len() * (cast.players.len() - 1) {
            break;
        }
        if Instant::now() > until {
            return Err(DemoError::Waited {
                what: "the nodes to meet".to_owned(),
                seconds: PATIENCE.as_secs(),
            });
        }
        // Something may have happened before anybody listened, so time passes
        // too.
        let _ = tokio::time::timeout(LOOK_EVERY, heard.recv()).await;
    }
    say(
        quiet,
        &format!(
            "  met         everybody knows everybody after {} ms",
            begun.elapsed().as_millis()
        ),
    );
    Ok(())
}

/// One thing to publish.
struct Input {
    name: String,
    author: usize,
    bytes: Vec<u8>,
    flag: Option<Marking>,
    /// What is searched for afterwards; without it, its first value.
    value: Option<&'static str>,
}

fn inputs(args: &DemoArgs) -> Result<Vec<Input>, DemoError> {
    if args.intel.is_empty() {
        return Ok(PUBLISHED.iter().map(input_of).collect());
    }
    let files = args.intel.iter().zip((0..3).cycle());
    files
        .map(|(path, author)| {
            let wrong = |why: String| DemoError::Intel {
                path: path.display().to_string(),
                why,
            };
            let limit = watchfire_protocol::limits::STIX_DOCUMENT_BYTES_MAX;
            let bytes = read_bounded(path, limit).map_err(|error| wrong(error.to_string()))?;
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            Ok(Input {
                name,
                author,
                bytes,
                flag: Some(Marking::Clear),
                value: None,
            })
        })
        .collect()
}

fn input_of(sample: &Sample) -> Input {
    Input {
        name: sample.name.to_owned(),
        author: sample.author,
        bytes: sample.content.as_bytes().to_vec(),
        flag: Some(sample.marking),
        value: Some(sample.value),
    }
}

/// Makes STIX of an input, in its author's name.
fn imported(cast: &Cast, input: &Input) -> Result<Import, DemoError> {
    let wrong = |why: String| DemoError::Intel {
        path: input.name.clone(),
        why,
    };
    let author = cast
        .players
        .get(input.author)
        .ok_or_else(|| wrong("it has no author".to_owned()))?;
    let now = Timestamp::from_unix_ms(wall_ms());
    let options = Options {
        format: None,
        columns: None,
        author: author.node.member(),
        author_name: author.slug.clone(),
        marking: input.flag,
        created: now,
        modified: now,
        labels: Vec::new(),
    };
    import(&input.name, &input.bytes, &options).map_err(|error| wrong(error.to_string()))
}

fn wish(flag: Option<Marking>) -> Wish {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    Wish {
        flag,
        valid_ms: 30 * DAY_MS,
        exercise: true,
        permissible_actions: None,
        supersedes: None,
    }
}

async fn publish(
    cast: &Cast,
    input: Input,
    sent: &mut Vec<Sent>,
    quiet: bool,
) -> Result<(), DemoError> {
    let Some(author) = cast.players.get(input.author) else {
        return Ok(());
    };
    let import = imported(cast, &input)?;
    let account = &import.account;
    say(
        quiet,
        &format!(
            "  {:<11} publishes {}: {} in = {} accepted + {} duplicate + {} refused",
            author.slug,
            input.name,
            account.input(),
            account.accepted(),
            account.duplicate(),
            account.refused().len()
        ),
    );
    let wrong = |why: String| DemoError::Intel {
        path: input.name.clone(),
        why,
    };
    let stix = import.stix.clone();
    let document = Document::read(&stix).map_err(|error| wrong(error.to_string()))?;
    let sought = match input.value {
        Some(value) => Some(Sought::typed(value)?),
        None => Sought::first_of(&document),
    };
    let at = Instant::now();
    let outcome = author.node.publish(import.stix, wish(input.flag)).await;
    let outcome = outcome.map_err(|error| DemoError::Ended(error.to_string()))?;
    let published = outcome.map_err(|refused| wrong(refused.to_string()))?;
    let expected = expected(published.published.bundle, &document);
    let (Some(expected), Some(sought)) = (expected, sought) else {
        return Err(wrong("it holds no object".to_owned()));
    };
    let told = Told {
        bundle: published.published.bundle,
        marking: published.summary.marking,
        author: author.slug.clone(),
    };
    sent.push(Sent {
        told,
        expected,
        sought,
        at,
        verified: BTreeSet::new(),
        searchable: BTreeSet::new(),
    });
    Ok(())
}

/// Waits until everything sent can be searched everywhere.
async fn arrive(
    cast: &Cast,
    heard: &mut mpsc::Receiver<Heard>,
    sent: &mut [Sent],
    micros: &mut Vec<u64>,
    quiet: bool,
) -> Result<(), DemoError> {
    let until = Instant::now() + PATIENCE;
    while sent
        .iter()
        .any(|sent| sent.searchable.len() < cast.players.len())
    {
        let Heard { at_node, event } = next(heard, until, "a bundle to arrive everywhere").await?;
        let slug = cast
            .players
            .get(at_node)
            .map(|player| player.slug.as_str())
            .unwrap_or_default();
        match event.event {
            Event::Verified {
                bundle: Some(bundle),
                author,
                ..
            } => {
                if let Some((sent, micro)) = mark(sent, &bundle, event.at)
                    && sent.verified.insert(at_node)
                {
                    micros.push(micro);
                    let from = cast.slug(&author);
                    say(
                        quiet,
                        &format!(
                            "  {slug:<11}   verified {} of {from} after {:.1} ms",
                            bundle.short(),
                            ms(micro)
                        ),
                    );
                }
            }
            Event::Searchable {
                bundle, objects, ..
            } => {
                if let Some((sent, micro)) = mark(sent, &bundle, event.at) {
                    sent.searchable.insert(at_node);
                    if sent.verified.contains(&at_node) {
                        say(
                            quiet,
                            &format!(
                                "  {slug:<11}   {objects} objects searchable after {:.1} ms",
                                ms(micro)
                            ),
                        );
                    }
                }
            }
            Event::NotOpened { bundle, why, .. } => {
                return Err(DemoError::Disappointed(format!(
                    "{slug} did not open {}: {why}",
                    bundle.short()
                )));
            }
            Event::Verified { bundle: None, .. }
            | Event::Stored { .. }
            | Event::NotTaken { .. }
            | Event::Conflict { .. }
            | Event::PeerReady { .. }
            | Event::Epoch { .. }
            | Event::CardChanged { .. }
            | Event::Revoked { .. }
            | Event::Suspension { .. }
            | Event::ForkProven { .. }
            | Event::DoubleVote { .. }
            | Event::Admitted { .. } => {}
        }
    }
    Ok(())
}

fn mark<'a>(sent: &'a mut [Sent], bundle: &BundleId, at: Instant) -> Option<(&'a mut Sent, u64)> {
    let sent = sent.iter_mut().find(|sent| sent.told.bundle == *bundle)?;
    let micro =
        u64::try_from(at.saturating_duration_since(sent.at).as_micros()).unwrap_or(u64::MAX);
    Some((sent, micro))
}

/// Microseconds as milliseconds, for people.
fn ms(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

/// What must be sealed is refused while there is no sealing: closed, never
/// open.
async fn refuse(cast: &Cast, quiet: bool) -> Result<(), DemoError> {
    say(quiet, "");
    for sample in &REFUSED {
        let input = input_of(sample);
        let import = imported(cast, &input)?;
        let Some(author) = cast.players.get(sample.author) else {
            continue;
        };
        let outcome = author.node.publish(import.stix, wish(input.flag)).await;
        match outcome.map_err(|error| DemoError::Ended(error.to_string()))? {
            Err(refused) => say(
                quiet,
                &format!("  {:<11} {}: {refused}", author.slug, sample.name),
            ),
            Ok(_) => {
                return Err(DemoError::Disappointed(format!(
                    "{} was published as {}",
                    sample.name, sample.marking
                )));
            }
        }
    }
    Ok(())
}

/// Ends every node with everything durable.
async fn end(cast: Cast) -> Result<(), DemoError> {
    for player in cast.players {
        player.node.shutdown().await;
        match player.end.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(DemoError::Ended(format!("{}: {error}", player.slug))),
            Err(error) => return Err(DemoError::Ended(format!("{}: {error}", player.slug))),
        }
    }
    Ok(())
}
