//! How old records are when they arrive at a sink and when they are visible: from their read, and from
//! when they came into being.

use std::sync::Arc;

use pelton::prelude::*;
use pelton::runtime::status::LatencySummary;
use pelton::runtime::{JobReport, JobSettings, JobSpec};
use pelton::state::files::Backend;
use pelton::streams::clock::ManualClock;
use pelton::streams::storage::FileStorage;
use pelton::streams::{self, Options};
use tempfile::TempDir;

const YEAR_US: u64 = 365 * 24 * 60 * 60 * 1_000_000;

fn run(directory: &TempDir, build: impl FnOnce(&mut Job)) -> JobReport {
    let settings = JobSettings {
        workers: 2,
        state_dir: directory.path().join("state"),
        checkpoint_dir: directory.path().join("checkpoints").display().to_string(),
        backend: Backend::Memory,
        ..JobSettings::default()
    };
    let mut job = Job::new();
    build(&mut job);
    pelton::runtime::run(JobSpec::new("job", job.finish().unwrap(), settings)).unwrap()
}

/// What the sink tells: processed and committed from the read, then from the creation.
fn latencies(report: &JobReport) -> [Option<LatencySummary>; 4] {
    let sink = report.status.operators.iter().find(|operator| operator.is_sink).unwrap();
    [sink.processed, sink.committed, sink.processed_since_creation, sink.committed_since_creation]
}

#[test]
fn records_of_a_log_are_as_old_as_their_append() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    // Appended in 2001, by the clock of the log.
    let clock = Arc::new(ManualClock::at(1_000_000_000_000));
    let written =
        streams::ShardLog::open_with(&log, &Options::create(), Arc::new(FileStorage), clock).unwrap();
    written.create_stream("in", 2).unwrap();
    let writer = written.writer("in").unwrap();
    let mut batch = writer.batch();
    for number in 0..100_u64 {
        batch.push(&number.to_le_bytes(), number.to_string().as_bytes()).unwrap();
    }
    writer.append(batch).unwrap();

    let report = run(&directory, |job| {
        let source = ShardLog::json::<u64>(&LogAddress::new(&log, "in")).until_end();
        let numbers = job.source("in", source).watermarks(Watermarks::none());
        let sink = ShardLog::json_sink(&LogAddress::new(&log, "out")).create_if_missing(1);
        numbers.key_by(|n| *n).fold("sums", |sum: &mut u64, n| *sum += n).sink("out", sink);
    });
    let all = latencies(&report).map(|latency| latency.unwrap());
    assert_eq!(all.map(|latency| latency.count), [100; 4]);
    let [processed, committed, processed_since_creation, committed_since_creation] = all;
    assert!(processed.max_us.max(committed.max_us) < YEAR_US, "{all:?}");
    for since_creation in [processed_since_creation, committed_since_creation] {
        assert!(since_creation.p50_us > 10 * YEAR_US, "{all:?}");
    }
}

#[test]
fn what_has_no_time_of_creation_tells_none() {
    let directory = tempfile::tempdir().unwrap();
    let report = run(&directory, |job| {
        let numbers = job.source("in", Values::new(0..100_u64)).watermarks(Watermarks::none());
        numbers.sink("out", Discard::new());
    });
    let [processed, committed, since_creation @ ..] = latencies(&report);
    assert_eq!((processed.unwrap().count, committed), (100, None));
    assert_eq!(since_creation, [None, None]);
}
