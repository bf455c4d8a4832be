//! `log-append` and `log-scan`: the shard log alone, without a job.
//!
//! Both append and then read back everything, and hold what was read against what was written;
//! they differ in which of the two they report. What is read lies in the page cache, unless the
//! machine has less memory than the run has bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use pelton::streams::{Appended, Options, ShardId, ShardLog, StartPosition, Ticket};

use super::job;
use crate::args::{Args, Workload};
use crate::generator::{Blocks, splitmix64};
use crate::progress::Progress;
use crate::report::Report;
use crate::stopwatch::Stopwatch;
use crate::usage;
use crate::verify::Checksum;

const STREAM: &str = "bench";

/// Blocks of records in one append: as many bytes as the log's buffers have for each shard.
const BLOCKS_PER_APPEND: usize = 4;

/// Appends that a producer has under way before it waits for the oldest: as one sync serves all that
/// waits, fewer would leave the disk idle while records are made.
const APPENDS_UNDER_WAY: usize = 16;

/// Bytes that a reader asks for at once.
const POLL_BYTES: usize = 1 << 20;

/// Appends `--events` records, reads them back, and reports the phase that `args` names.
pub fn run(args: &Args) -> Result<Report> {
    let directory = job::directory()?;
    // The two phases count each record once.
    let progress = Progress::start(2 * args.events());
    let done = progress.counter();
    let log = ShardLog::open(directory.path(), &Options::create())?;
    log.create_stream(STREAM, args.shape().splits)?;

    let appended = measured(args, || append_all(args, &log, &done))?;
    let scanned = measured(args, || scan_all(args, &log, &done))?;
    drop(progress);

    let expected = expected(args);
    for (what, found) in [("appended", appended.1), ("read back", scanned.1)] {
        ensure!(
            found == expected,
            "{} records with checksum {:016x} were {what}, but it should be {} with {:016x}",
            found.results,
            found.sum,
            expected.results,
            expected.sum
        );
    }
    Ok(if args.workload == Workload::LogAppend { appended.0 } else { scanned.0 })
}

fn measured(args: &Args, phase: impl FnOnce() -> Result<Checksum>) -> Result<(Report, Checksum)> {
    let (since, before_s) = (Stopwatch::start(), usage::cpu_s());
    let checksum = phase()?;
    let mut report = Report::now(args, since.elapsed());
    report.cpu_s -= before_s;
    Ok((report, checksum))
}

/// Runs `work` as each of the workers, and adds up what they give.
fn on_each(workers: usize, work: impl Fn(usize) -> Result<Checksum> + Sync) -> Result<Checksum> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().try_fold(Checksum::default(), |sum, thread| {
            Ok(sum + thread.join().map_err(|_| anyhow!("a thread of the benchmark panicked"))??)
        })
    })
}

/// Counts a record when its append is acknowledged, which is when it is synced.
fn append_all(args: &Args, log: &ShardLog, done: &Arc<AtomicU64>) -> Result<Checksum> {
    let writer = log.writer(STREAM)?;
    on_each(args.workers, |worker| {
        let mut data = vec![b'x'; args.shape().record_bytes];
        let (mut sum, mut under_way) = (Checksum::default(), VecDeque::new());
        let mut blocks = Blocks::new(worker, args.workers, args.events()).peekable();
        while blocks.peek().is_some() {
            let mut batch = writer.batch();
            let mut of_batch = Checksum::default();
            for index in blocks.by_ref().take(BLOCKS_PER_APPEND).flatten() {
                data[..8].copy_from_slice(&index.to_le_bytes());
                let key = key_of(index, args.keys);
                batch.push(&key.to_le_bytes(), &data)?;
                of_batch.counted(key, index);
            }
            under_way.push_back((writer.submit(batch)?, of_batch));
            if under_way.len() >= APPENDS_UNDER_WAY {
                acknowledge(&mut under_way, &mut sum, done)?;
            }
        }
        while !under_way.is_empty() {
            acknowledge(&mut under_way, &mut sum, done)?;
        }
        Ok(sum)
    })
}

type Appends = VecDeque<(Ticket<Appended>, Checksum)>;

/// Waits until the oldest append is durable.
fn acknowledge(under_way: &mut Appends, sum: &mut Checksum, done: &AtomicU64) -> Result<()> {
    if let Some((ticket, of_batch)) = under_way.pop_front() {
        let appended = ticket.wait()?;
        let records = appended.placements().iter().map(|placement| placement.records).sum();
        *sum += Checksum { results: records, ..of_batch };
        done.fetch_add(records, Ordering::Relaxed);
    }
    Ok(())
}

/// The workers take shards until none is left.
fn scan_all(args: &Args, log: &ShardLog, done: &Arc<AtomicU64>) -> Result<Checksum> {
    let shards = log.shards(STREAM)?;
    let next = AtomicU64::new(0);
    on_each(args.workers, |_| {
        let mut sum = Checksum::default();
        while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            sum += scan(log, *shard, args.shape().record_bytes, done)?;
        }
        Ok(sum)
    })
}

fn scan(log: &ShardLog, shard: ShardId, record_bytes: usize, done: &AtomicU64) -> Result<Checksum> {
    let mut reader = log.reader(STREAM, shard, StartPosition::Oldest)?;
    let mut sum = Checksum::default();
    loop {
        let batch = reader.poll(usize::MAX, POLL_BYTES)?;
        if batch.is_empty() {
            return Ok(sum);
        }
        for record in &batch {
            let whole =
                record.data.len() == record_bytes && record.data.get(8).is_none_or(|byte| *byte == b'x');
            if let (Some(key), Some(index), true) =
                (record.partition_key.first_chunk(), record.data.first_chunk(), whole)
            {
                sum.counted(u64::from_le_bytes(*key), u64::from_le_bytes(*index));
            }
        }
        done.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
}

fn key_of(index: u64, keys: u64) -> u64 {
    splitmix64(index) % keys
}

fn expected(args: &Args) -> Checksum {
    let mut sum = Checksum::default();
    (0..args.events()).for_each(|index| sum.counted(key_of(index, args.keys), index));
    sum
}
