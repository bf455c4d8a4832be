//! W0, W1, W2 and `sliding-sum`: as fast as it goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pelton::operators::Windows;
use pelton::prelude::{EventTime, Generator, Job, Sliding, Stream, Tumbling, Watermarks, WindowResult};

use super::job::{self, Tally};
use super::state_files;
use crate::args::{Args, Backend, Workload};
use crate::generator::{Event, SLIDING_MS, WINDOW_MS};
use crate::large::{Countable, LargeEvent, next_key};
use crate::progress::Progress;
use crate::report::Report;
use crate::shape::{EVENT_BYTES, Shape};
use crate::stopwatch::{Gaps, Stopwatch};
use crate::verify::{self, Input, w0_map};

/// Runs one of them.
pub fn run(args: &Args) -> Result<Report> {
    let progress = Progress::start(args.events());
    let since = Stopwatch::start();
    let tally = Tally::new(since, progress.counter());
    let build = match args.workload {
        Workload::Passthrough => passthrough,
        Workload::KeyedCount => keyed_count,
        Workload::SlidingSum => sliding_sum,
        _ => tumbling_sum,
    };
    let directory = job::directory()?;
    let ran = job::run(args, directory.path(), |job| build(job, args, &tally))?;
    let elapsed = since.elapsed();
    let mut report = Report::now(args, elapsed);
    drop(progress);
    let (checksum, longest_gap_ms) = tally.take();
    report.checkpoints_completed = ran.status.checkpoints_completed;
    report.max_gap_ms = (elapsed > Gaps::WARM_UP).then_some(longest_gap_ms);
    let Shape { maps, slides, .. } = args.shape();
    let input = Input { events: args.events(), keys: args.keys, maps, slides };
    verify::check(args.workload, &input, checksum)?;
    if args.shape().operators > 1 && args.backend == Backend::Rocksdb {
        report.files_per_epoch = Some(state_files::check_one_per_epoch(directory.path())?);
    }
    Ok(report)
}

fn events<T: Countable>(job: &mut Job, args: &Args) -> Stream<T> {
    let (keys, shape) = (args.keys, args.shape());
    let make = move |index| T::make(index, keys, shape.record_bytes);
    let mut generator = Generator::new(args.events(), make).splits(shape.splits);
    if let Some(rate) = args.rate {
        generator = generator.rate(rate);
    }
    // Each split makes its records in the order of their times.
    job.source("events", generator)
        .watermarks(Watermarks::bounded(Duration::ZERO, |record: &T| EventTime(record.event().time)))
}

fn passthrough(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    events(job, args).map(w0_map).sink("discard", tally.sink(|sum, event: &Event| sum.mapped(event.value)));
}

fn keyed_count(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    if args.shape().record_bytes == EVENT_BYTES {
        count(events::<Event>(job, args), args, tally);
    } else {
        count(events::<LargeEvent>(job, args), args, tally);
    }
}

fn count<T: Countable>(mut records: Stream<T>, args: &Args, tally: &Arc<Tally>) {
    let (keys, shape) = (args.keys, args.shape());
    for _ in 0..shape.maps {
        records = records.map(move |mut record| {
            let event = record.event_mut();
            event.key = next_key(event.key, keys);
            record
        });
    }
    let mut counts =
        records.key_by(|record| record.event().key).fold("count", move |count: &mut u64, record| {
            *count += u64::from(record.is_whole(shape.record_bytes));
        });
    for nth in 2..=shape.operators {
        // The records of a key stay in order from one count to the next: each has to say what is counted here.
        let recount = |count: &mut u64, (_, before)| *count += u64::from(*count + 1 == before);
        counts = counts.key_by(|&(key, _)| key).fold(format!("count-{nth}"), recount);
    }
    counts.sink("discard", tally.sink(|sum, &(key, count): &(u64, u64)| sum.counted(key, count)));
}

fn tumbling_sum(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    sum_in(Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs())), job, args, tally);
}

fn sliding_sum(job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    let size = Duration::from_millis(SLIDING_MS.unsigned_abs());
    sum_in(Sliding::of(size).every(size / args.shape().slides), job, args, tally);
}

fn sum_in(windows: impl Into<Windows<Event>>, job: &mut Job, args: &Args, tally: &Arc<Tally>) {
    let sums =
        events(job, args).key_by(|event: &Event| event.key).window("sum", windows).sum(|event| event.value);
    let add = |sum: &mut verify::Checksum, result: &WindowResult<u64, i64>| {
        sum.summed(result.key, result.start.millis(), result.value);
    };
    sums.out.sink("discard", tally.sink(add));
}
