//! `pelton log put`: lines into records, many batches under way at once, each synced with others.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use clap::Args;
use pelton_connectors::LogAddress;
use pelton_dataflow::clock::monotonic_ns;
use pelton_streams::types::limits::MAX_RECORD_BYTES;
use pelton_streams::{AppendBatch, Appended, ShardId, StreamWriter, Ticket};

use super::key_field::FieldPath;
use super::{open_log_of, told};
use crate::console;
use crate::error::{Error, Result};
use crate::units;

pub(crate) const EXAMPLES: &str = "\
Examples:
    pelton log put data/payments --file payments.jsonl --key-field card
    producer | pelton log put data/payments --key-field user.id --time-field at
    echo hello | pelton log put data/greetings --partition-key me

A line is acknowledged when it is synced to disk: what the summary counts is durable.";

/// Bytes read from the input at one go.
const READ_BYTES: usize = 1 << 20;
/// A batch is handed over when it has so many bytes, or when the input has no more at the moment.
const BATCH_BYTES: usize = 1 << 20;
/// Batches under way: enough that encoding, writing and syncing overlap.
const BATCHES_IN_FLIGHT: usize = 16;

/// Appends lines.
#[derive(Args, Debug)]
pub(crate) struct Put {
    /// The stream, as DIRECTORY/STREAM
    #[arg(value_name = "STREAM")]
    stream: LogAddress,
    /// Read lines from this file [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lines are JSON: the partition key is this field, as `card` or `user.id`
    #[arg(long, value_name = "FIELD", conflicts_with = "partition_key")]
    key_field: Option<FieldPath>,
    /// One partition key for all lines [default: the number of each line, which spreads them]
    #[arg(long, value_name = "KEY")]
    partition_key: Option<String>,
    /// Lines are JSON: the event time is this field, in milliseconds since 1970 or as
    /// 2026-01-31T12:00:00Z
    #[arg(long, value_name = "FIELD")]
    time_field: Option<FieldPath>,
}

impl Put {
    pub fn execute(&self) -> Result {
        let writer = open_log_of(&self.stream)?.writer(self.stream.stream()).map_err(told)?;
        let mut input = self.open()?;
        let started_ns = monotonic_ns();
        let mut putting = Putting::new(writer);
        let copied = self.copy(&mut input, &mut putting);
        let done = putting.finish()?;
        copied.map_err(|error| {
            let in_the_log = match done.records {
                0 => "nothing is in the log".to_owned(),
                1 => "the 1 line before it is in the log, nothing after".to_owned(),
                lines => format!("the {} lines before it are in the log, nothing after", units::count(lines)),
            };
            Error::new(error.remedy(), format!("{error}; {in_the_log}"))
        })?;
        let seconds = (monotonic_ns().saturating_sub(started_ns)).max(1_000) as f64 / 1e9;
        writeln!(
            std::io::stdout(),
            "put {} ({}) into {} of {} in {} ({})",
            units::plural(done.records, "record"),
            units::bytes(done.bytes),
            units::plural(done.shards.len() as u64, "shard"),
            self.stream,
            units::micros((seconds * 1e6) as u64),
            units::rate(done.records as f64 / seconds)
        )?;
        Ok(())
    }

    fn open(&self) -> Result<BufReader<Box<dyn Read>>> {
        let input: Box<dyn Read> =
            match &self.file {
                None => Box::new(std::io::stdin()),
                Some(path) => Box::new(File::open(path).map_err(|error| {
                    Error::configuration(format!("cannot read {}: {error}", path.display()))
                })?),
            };
        Ok(BufReader::with_capacity(READ_BYTES, input))
    }

    fn input_name(&self) -> String {
        self.file.as_ref().map_or("standard input".to_owned(), |path| path.display().to_string())
    }

    fn copy(&self, input: &mut BufReader<Box<dyn Read>>, putting: &mut Putting) -> Result {
        // One byte more than a record may have, and the line's end.
        const LONGEST: u64 = MAX_RECORD_BYTES as u64 + 3;
        let mut line = Vec::new();
        for number in 1_u64.. {
            if input.buffer().is_empty() {
                // The next read may wait for whoever writes: what is there goes first.
                putting.submit()?;
            }
            line.clear();
            let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut line);
            if read.map_err(|error| Error::from(format!("cannot read {}: {error}", self.input_name())))? == 0
            {
                break;
            }
            let end = line.strip_suffix(b"\n").unwrap_or(&line);
            let data = end.strip_suffix(b"\r").unwrap_or(end);
            self.push(number, data, &mut putting.batch).map_err(|error| {
                let place = format!("line {number} of {}", self.input_name());
                Error::new(error.remedy(), format!("{place}: {error}"))
            })?;
            if putting.batch.bytes() >= BATCH_BYTES {
                putting.submit()?;
            }
        }
        Ok(())
    }

    fn push(&self, number: u64, data: &[u8], batch: &mut AppendBatch) -> Result {
        let key = match (&self.key_field, &self.partition_key) {
            (Some(field), _) => field.text_in(data)?,
            (None, Some(key)) => key.clone(),
            (None, None) => number.to_string(),
        };
        match &self.time_field {
            None => batch.push(key.as_bytes(), data).map_err(told),
            Some(field) => batch.push_at(key.as_bytes(), data, field.time_ms_in(data)?).map_err(told),
        }
    }
}

/// What is under way.
struct Putting {
    writer: StreamWriter,
    batch: AppendBatch,
    in_flight: VecDeque<(Ticket<Appended>, u64)>,
    done: Done,
}

/// What is durable.
#[derive(Default)]
struct Done {
    records: u64,
    bytes: u64,
    shards: HashSet<ShardId>,
}

impl Putting {
    fn new(writer: StreamWriter) -> Self {
        if let Some(torn) = &writer.recovery().torn_tail {
            console::say(&format!(
                "note: the last writer did not end in order; {} after byte {} of {}, which were never acknowledged, are cut off ({})",
                units::bytes(torn.bytes),
                torn.offset,
                torn.file.display(),
                torn.what
            ));
        }
        Self { batch: writer.batch(), writer, in_flight: VecDeque::new(), done: Done::default() }
    }

    fn submit(&mut self) -> Result {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, self.writer.batch());
        let bytes = batch.bytes() as u64;
        self.in_flight.push_back((self.writer.submit(batch).map_err(told)?, bytes));
        while self.in_flight.len() > BATCHES_IN_FLIGHT {
            self.wait_for_one()?;
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result {
        let Some((ticket, bytes)) = self.in_flight.pop_front() else { return Ok(()) };
        let appended = ticket.wait().map_err(told)?;
        for placement in appended.placements() {
            self.done.records += placement.records;
            self.done.shards.insert(placement.shard);
        }
        self.done.bytes += bytes;
        Ok(())
    }

    fn finish(mut self) -> Result<Done> {
        self.submit()?;
        while !self.in_flight.is_empty() {
            self.wait_for_one()?;
        }
        Ok(self.done)
    }
}
