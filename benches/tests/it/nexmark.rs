//! Every Nexmark query against its naive reference, with checkpoints on and two workers: over generated
//! events, and over some that were read from a file.

use std::collections::BTreeMap;
use std::path::Path;

use nexmark::generator::event;
use nexmark::input::Input;
use nexmark::model::Event;
use nexmark::results::{Results, table, written};
use nexmark::{QUERIES, Query};
use pelton::operators::Job;
use pelton::runtime::{CheckpointInterval, JobSettings, JobSpec, RestartStrategy};
use pelton::state::Backend;
use serde_json::{Value, json};

const EVENTS: u64 = 100_000;
const EVENTS_IN_FILE: u64 = 3_000;

/// The rows of `query` over `input`, as a job with checkpoints gives them.
fn run(query: &Query, input: &Input, directory: &Path) -> Vec<String> {
    let results = directory.join("results");
    let mut job = Job::new();
    (query.wire)(&input.stream(&mut job), Results::Files(results.clone()));
    let settings = JobSettings {
        workers: 2,
        state_dir: directory.join("state"),
        checkpoint_dir: directory.join("checkpoints").display().to_string(),
        checkpoint_interval: CheckpointInterval::EveryMs(50),
        backend: Backend::Memory,
        restart: RestartStrategy::None,
        ..JobSettings::default()
    };
    let spec = JobSpec::new("nexmark", job.finish().unwrap(), settings);
    pelton::runtime::run(spec).unwrap();
    table(written(&results).unwrap())
}

/// How often each row is there; JSON with its fields in order, so that equal rows are equal texts.
fn counted(rows: impl IntoIterator<Item = Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row.to_string()).or_default() += 1);
    counts
}

/// The rows of `q12`, those of each bidder added up: which window of the machine's clock a bid falls into is
/// told by nothing else. That they are windows is checked here.
fn without_windows(rows: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows {
        let [bidder, count, start, end] =
            ["bidder", "bid_count", "starttime", "endtime"].map(|column| row[column].as_u64().unwrap());
        assert!(start % 10_000 == 0 && end == start + 10_000 && count > 0, "{row}");
        *counts.entry(bidder).or_default() += count;
    }
    counts.into_iter().map(|(bidder, count)| json!({"bidder": bidder, "bid_count": count})).collect()
}

/// Holds what was `found` against the reference; how many rows that has.
fn compare(query: &Query, events: &[Event], found: &[String]) -> usize {
    let found = found.iter().map(|row| serde_json::from_str(row).unwrap());
    let found = if query.name == "q12" { counted(without_windows(found)) } else { counted(found) };
    let expected = counted((query.naive)(events));
    let missing = expected.iter().find(|(row, count)| found.get(*row) != Some(count));
    let wrong = found.iter().find(|(row, count)| expected.get(*row) != Some(count));
    let [rows, expected_rows] = [&found, &expected].map(|rows| rows.values().sum::<usize>());
    assert!(
        missing.is_none() && wrong.is_none(),
        "{}: {rows} rows instead of {expected_rows}; expected {missing:?}, found {wrong:?}",
        query.name
    );
    expected_rows
}

fn check(name: &str) {
    let query = QUERIES.iter().find(|query| query.name == name).unwrap();
    let events: Vec<Event> = (0..EVENTS).map(event).collect();
    let directory = tempfile::tempdir().unwrap();
    let found =
        run(query, &Input::Generated { events: EVENTS, splits: 2 }, &directory.path().join("generated"));
    let rows = compare(query, &events, &found);
    assert!(rows > 0, "{name} gives nothing for these events: the test tests nothing");

    let (file, events) = (directory.path().join("events.jsonl"), &events[..EVENTS_IN_FILE as usize]);
    let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    compare(query, events, &run(query, &Input::file(&file), &directory.path().join("read")));
}

/// A test for each query, which runs beside the others.
macro_rules! checked {
    ($($query:ident),*) => {
        $(#[test]
        fn $query() {
            check(stringify!($query));
        })*

        #[test]
        fn every_query_is_checked() {
            let checked = [$(stringify!($query)),*];
            assert!(QUERIES.iter().map(|query| query.name).eq(checked));
        }
    };
}

checked!(
    q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11, q12, q13, q14, q15, q16, q17, q18, q19, q20, q21, q22
);
