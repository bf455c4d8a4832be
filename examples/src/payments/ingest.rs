//! Payments into the shard log, and alerts out of it, without the engine.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use pelton::dataflow::clock::monotonic_ns;
use pelton::streams::{AppendBatch, Options, ShardLog, StartPosition, StreamWriter};
use serde::de::DeserializeOwned;

use super::generator::Scenario;

/// Lines that one thread makes at a time: about 1.5 MB, so that a sync is worth its while.
const CHUNK: u64 = 10_000;
/// Chunks that a thread is ahead of the log by: while one is synced, others are made.
const AHEAD: usize = 4;
/// Records and bytes taken from the log at a time.
const READ: (usize, usize) = (10_000, 1 << 20);

/// What was written, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Lines.
    pub lines: u64,
    /// Shards that they are spread over.
    pub shards: u32,
    /// From the first line to the last sync.
    pub took: Duration,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = self.lines as f64 / seconds / 1e6;
        write!(
            f,
            "{} payments in {} shard{}, in {seconds:.1} s ({rate:.1} M/s, synced)",
            self.lines,
            self.shards,
            if self.shards == 1 { "" } else { "s" }
        )
    }
}

/// Writes all lines of `scenario` to a new stream, in order, and returns when they are synced.
///
/// The lines are made by `threads` threads, chunk by chunk in turn.
///
/// # Errors
/// The stream exists, or the log cannot be written.
pub fn generate(
    scenario: &Scenario,
    log: &Path,
    stream: &str,
    shards: u32,
    threads: usize,
) -> Result<Written> {
    let started_ns = monotonic_ns();
    let directory = ShardLog::open(log, &Options::create())?;
    directory.create_stream(stream, shards)?;
    let writer = directory.writer(stream)?;
    let chunks = scenario.lines.div_ceil(CHUNK);
    let threads = threads.max(1) as u64;
    thread::scope(|scope| {
        let makers: Vec<_> = (0..threads)
            .map(|first| {
                let (full, made) = sync_channel(AHEAD);
                let writer = writer.clone();
                scope.spawn(move || {
                    let mut line = Vec::new();
                    for chunk in (first..chunks).step_by(threads as usize) {
                        let lines = chunk * CHUNK..((chunk + 1) * CHUNK).min(scenario.lines);
                        // The other end is gone only when the log has failed, which is told there.
                        if full.send(fill(scenario, lines, &writer, &mut line)).is_err() {
                            return;
                        }
                    }
                });
                made
            })
            .collect();
        let mut written = Vec::new();
        for chunk in 0..chunks {
            let batch = makers[(chunk % threads) as usize]
                .recv()
                .context("a thread that makes payments failed")??;
            written.push(writer.submit(batch)?);
        }
        for ticket in written {
            ticket.wait()?;
        }
        anyhow::Ok(())
    })?;
    let took = Duration::from_nanos(monotonic_ns() - started_ns);
    Ok(Written { lines: scenario.lines, shards, took })
}

/// The lines `lines` as a batch of `writer`; `line` is room to make one in.
///
/// # Errors
/// A line is too long for the log.
pub fn fill(
    scenario: &Scenario,
    lines: Range<u64>,
    writer: &StreamWriter,
    line: &mut Vec<u8>,
) -> Result<AppendBatch> {
    let mut batch = writer.batch();
    for index in lines {
        line.clear();
        let card = scenario.write_line(index, line);
        batch.push(&card.0.to_be_bytes(), line)?;
    }
    Ok(batch)
}

/// All committed records of a stream, each a JSON value: those of one shard in order.
///
/// # Errors
/// The stream does not exist or is damaged, or a record is no `T`.
pub fn read<T: DeserializeOwned>(log: &Path, stream: &str) -> Result<Vec<T>> {
    let parse = |line: &Vec<u8>| {
        let value = serde_json::from_slice(line);
        value.with_context(|| format!("{stream}: {}", String::from_utf8_lossy(line)))
    };
    lines(log, stream)?.iter().flatten().map(parse).collect()
}

/// All committed records of each shard of a stream, in order.
///
/// # Errors
/// The stream does not exist or is damaged.
pub fn lines(log: &Path, stream: &str) -> Result<Vec<Vec<Vec<u8>>>> {
    let directory = ShardLog::open(log, &Options::default())?;
    let mut shards = Vec::new();
    for shard in directory.shards(stream)? {
        let mut reader = directory.reader(stream, shard, StartPosition::Oldest)?;
        let mut lines = Vec::new();
        loop {
            let batch = reader.poll(READ.0, READ.1)?;
            if batch.is_empty() {
                break;
            }
            lines.extend(batch.iter().map(|record| record.data.to_vec()));
        }
        shards.push(lines);
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::Line;
    use std::collections::HashMap;

    #[test]
    fn every_line_is_written_once_and_in_order_by_shard() {
        let root = tempfile::tempdir().unwrap();
        let scenario = Scenario::new(9, 3 * CHUNK + 17);
        generate(&scenario, root.path(), "payments", 4, 3).unwrap();

        let mut lines: HashMap<Vec<u8>, u64> = HashMap::new();
        for index in 0..scenario.lines {
            if let Line::Payment(payment) = scenario.line(index) {
                lines.insert(serde_json::to_vec(&payment).unwrap(), index);
            }
        }
        let log = ShardLog::open(root.path(), &Options::default()).unwrap();
        let mut malformed = 0;
        for shard in log.shards("payments").unwrap() {
            let mut reader = log.reader("payments", shard, StartPosition::Oldest).unwrap();
            let mut before = None;
            loop {
                let batch = reader.poll(READ.0, READ.1).unwrap();
                if batch.is_empty() {
                    break;
                }
                for record in &batch {
                    let index = lines.remove(record.data);
                    malformed += u64::from(index.is_none());
                    assert!(index.is_none() || before < index, "line {index:?} comes after {before:?}");
                    before = index.or(before);
                }
            }
        }
        assert!(lines.is_empty(), "{} lines are missing", lines.len());
        assert!(malformed < 20, "{malformed} lines are no payments, or were written twice");
    }

    #[test]
    fn a_stream_that_exists_is_not_written_to_again() {
        let root = tempfile::tempdir().unwrap();
        generate(&Scenario::new(1, 10), root.path(), "payments", 1, 1).unwrap();
        let error = generate(&Scenario::new(1, 10), root.path(), "payments", 1, 1).unwrap_err();
        assert!(error.to_string().contains("payments"), "{error}");
    }
}
