//! W3: W1 at a fixed rate; latency from the time that a record was due to its arrival at the sink.
//!
//! Measured from the schedule, a stall counts for every record that was due in it (the
//! "coordinated omission" of Gil Tene, "How NOT to Measure Latency").

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use pelton::connectors::ForEachBatch;
use pelton::dataflow::clock::{Clock, SystemClock};
use pelton::dataflow::record::Record;
use pelton::prelude::{EventTime, Generator, Job, Watermarks};
use serde::{Deserialize, Serialize};

use super::job;
use crate::args::Args;
use crate::generator::event;
use crate::progress::Progress;
use crate::report::{Latency, Report};
use crate::stopwatch::Stopwatch;

/// What is due in the first 3 s is warm-up.
const WARM_UP_US: i64 = 3_000_000;
/// A histogram's bounds are fixed, as it would record what it has not grown for yet as its first
/// bound: nothing in a benchmark takes an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// A count, and when its last record was due, in microseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    count: u64,
    due_us: i64,
}

struct Seen {
    /// When the first record was due.
    first_us: i64,
    records: u64,
    latencies_us: Histogram<u64>,
}

/// Runs W3.
pub fn run(args: &Args) -> Result<Report> {
    let (count, rate, keys) = (args.events(), args.rate(), args.keys);
    let seen =
        Seen { first_us: i64::MAX, records: 0, latencies_us: Histogram::new_with_bounds(1, LONGEST_US, 3)? };
    let seen = Arc::new(Mutex::new(seen));
    let progress = Progress::start(count);
    let (sink, done) = (seen.clone(), progress.counter());
    let since = Stopwatch::start();
    let directory = job::directory()?;
    let ran = job::run(args, directory.path(), |job: &mut Job| {
        let make = move |index, due_us| (event(index, keys).key, due_us);
        let generator = Generator::scheduled(count, rate, make).splits(args.workers as u32);
        let due_ms = |&(_, due_us): &(u64, i64)| EventTime(due_us / 1_000);
        let events = job.source("events", generator).watermarks(Watermarks::bounded(Duration::ZERO, due_ms));
        let counts = events.key_by(|&(key, _)| key).fold("count", |counted: &mut Counted, (_, due_us)| {
            counted.count += 1;
            counted.due_us = due_us;
        });
        let note = move |batch: &[Record<(u64, Counted)>]| {
            let now_us = SystemClock.now_us();
            let mut seen = sink.lock().unwrap_or_else(PoisonError::into_inner);
            for Record { value: (_, counted), .. } in batch {
                seen.records += 1;
                seen.first_us = seen.first_us.min(counted.due_us);
                if counted.due_us >= seen.first_us + WARM_UP_US {
                    seen.latencies_us
                        .saturating_record(now_us.saturating_sub(counted.due_us).max(0).unsigned_abs());
                }
            }
            done.fetch_add(batch.len() as u64, std::sync::atomic::Ordering::Relaxed);
        };
        counts.sink("latency", ForEachBatch::new(note));
    })?;
    let mut report = Report::now(args, since.elapsed());
    drop(progress);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    anyhow::ensure!(seen.records == count, "{} of {count} records arrived", seen.records);
    let measured = (!seen.latencies_us.is_empty()).then(|| Latency::of(&seen.latencies_us));
    report.latency =
        Some(measured.context("the run is shorter than its warm-up of 3 s: give more `--events`")?);
    report.settings.rate = Some(rate);
    report.checkpoints_completed = ran.status.checkpoints_completed;
    Ok(report)
}
