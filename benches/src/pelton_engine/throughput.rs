//! W0, W1 and W2: as fast as it goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pelton::prelude::{EventTime, Generator, Job, Stream, Tumbling, Watermarks, WindowResult};

use super::job::{self, Tally};
use crate::args::{Args, Workload};
use crate::generator::{Event, WINDOW_MS, event};
use crate::progress::Progress;
use crate::report::Report;
use crate::stopwatch::{Gaps, Stopwatch};
use crate::verify::{self, w0_map};

/// Runs W0, W1 or W2.
pub fn run(args: &Args) -> Result<Report> {
    let progress = Progress::start(args.events());
    let since = Stopwatch::start();
    let tally = Tally::new(since, progress.counter());
    let build = match args.workload {
        Workload::Passthrough => passthrough,
        Workload::KeyedCount => keyed_count,
        _ => tumbling_sum,
    };
    let ran = job::run(args, |job| build(job, args, &tally))?;
    let elapsed = since.elapsed();
    let mut report = Report::now(args, elapsed);
    drop(progress);
    let (checksum, longest_gap_ms) = tally.take();
    report.checkpoints_completed = ran.status.checkpoints_completed;
    report.max_gap_ms = (elapsed > Gaps::WARM_UP).then_some(longest_gap_ms);
    verify::check(args.workload, args.events(), args.keys, checksum)?;
    Ok(report)
}

fn events(job: &mut Job, args: &Args) -> Stream<Event> {
    let keys = args.keys;
    let mut generator =
        Generator::new(args.events(), move |index| event(index, keys)).splits(args.workers as u32);
    if let Some(rate) = args.rate {
        generator = generator.rate(rate);
    }
    // Each worker makes its records in the order of their times.
    job.source("events", generator)
        .watermarks(Watermarks::bounded(Duration::ZERO, |event: &Event| EventTime(event.time)))
}

fn passthrough(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    events(job, args).map(w0_map).sink("discard", tally.sink(|sum, event: &Event| sum.mapped(event.value)));
}

fn keyed_count(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    let counts = events(job, args).key_by(|event| event.key).fold("count", |count: &mut u64, _| *count += 1);
    counts.sink("discard", tally.sink(|sum, &(key, count): &(u64, u64)| sum.counted(key, count)));
}

fn tumbling_sum(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    let windows = Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs()));
    let sums = events(job, args).key_by(|event| event.key).window("sum", windows).sum(|event| event.value);
    let add = |sum: &mut verify::Checksum, result: &WindowResult<u64, i64>| {
        sum.summed(result.key, result.start.millis(), result.value);
    };
    sums.out.sink("discard", tally.sink(add));
}
