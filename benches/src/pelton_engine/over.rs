//! W4: exact sliding aggregates at each record.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pelton::operators::over::last;
use pelton::prelude::{EventTime, Generator, Job, Watermarks};

use super::job::{self, Tally};
use crate::args::Args;
use crate::generator::Event;
use crate::over::{OverInput, Results, over_event};
use crate::progress::Progress;
use crate::report::Report;
use crate::stopwatch::Stopwatch;

/// Runs W4.
pub fn run(args: &Args) -> Result<Report> {
    let input = OverInput::of(args);
    let progress = Progress::start(input.events);
    let since = Stopwatch::start();
    let tally = Tally::new(since, progress.counter());
    let directory = job::directory()?;
    let ran = job::run(args, directory.path(), |job| build(job, args, input, &tally))?;
    let elapsed = since.elapsed();
    let mut report = Report::now(args, elapsed);
    drop(progress);
    let (checksum, longest_gap_ms) = tally.take();
    report.checkpoints_completed = ran.status.checkpoints_completed;
    report.max_gap_ms = Some(longest_gap_ms);
    input.check(checksum)?;
    Ok(report)
}

fn build(job: &mut Job, args: &Args, input: OverInput, tally: &Arc<Tally>) {
    let make = move |index| over_event(index, input.keys);
    let generator = Generator::new(input.events, make).splits(args.shape().splits);
    let records = job
        .source("events", generator)
        .watermarks(Watermarks::bounded(Duration::ZERO, |event: &Event| EventTime(event.time)));
    let (long, short) = (last(input.long()), last(input.short()));
    let spend = records.key_by(|event| event.key).over("spend", |event| event.value);
    let spend = spend.features((long.count(), long.sum(), long.max(), short.sum()));
    let add = |sum: &mut crate::verify::Checksum, (event, results): &(Event, Results)| {
        sum.ranged(event.key, event.time, *results);
    };
    spend.out.sink("discard", tally.sink(add));
}
