//! The command line, and the settings that a workload runs with.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum, value_parser};
use serde::{Serialize, Serializer};

use crate::nexmark_runs::NexmarkArgs;
use crate::plot::PlotArgs;
use crate::shape::Shape;
use crate::streams::StreamsArgs;

/// The heading of the options that [`Shape`] is made of.
const SHAPE: &str = "Shape of `keyed-count`, `log-append` and `log-scan`";

/// Measures one workload on one engine, or draws how one scales.
#[derive(Parser, Debug)]
#[command(name = "pelton-bench", version, about, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// What is done instead of one run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// One run.
    #[command(flatten)]
    pub args: Option<Args>,
}

/// What can be done besides one run.
#[derive(Subcommand, Debug)]
pub enum Command {
    Nexmark(NexmarkArgs),
    Plot(PlotArgs),
    Streams(StreamsArgs),
}

/// One run: a workload, who runs it, and how.
#[derive(Parser, Debug, Clone)]
pub struct Args {
    /// What is run
    #[arg(value_name = "W")]
    pub workload: Workload,
    /// Who runs it: Pelton, or operators written by hand on timely dataflow
    #[arg(long, default_value = "pelton")]
    pub engine: Engine,
    /// Records in all [default: enough for one to two seconds]
    #[arg(long, value_parser = parse_count)]
    pub events: Option<u64>,
    /// Distinct keys, as in `100000`, `100k` or `5m`
    #[arg(long, default_value = "100k", value_parser = parse_count)]
    pub keys: u64,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
    /// Where keyed state lives
    #[arg(long, default_value = "rocksdb")]
    pub backend: Backend,
    /// Milliseconds between checkpoints, or `off`
    #[arg(long, value_name = "MS|off", default_value = "1000")]
    pub checkpoint_ms: CheckpointEvery,
    /// Records a second, over all workers [default: as fast as it goes; 50k where a rate is needed]
    #[arg(long, value_parser = parse_count)]
    pub rate: Option<u64>,
    /// Print one JSON object instead of a text for people
    #[arg(long)]
    pub json: bool,
    /// Bytes of a record; in `keyed-count` what is beyond 24 is a payload on the heap [default: 24;
    /// in the log 150]
    #[arg(long, value_name = "BYTES", help_heading = SHAPE)]
    pub record_bytes: Option<usize>,
    /// Splits of the source; in the log its shards [default: one for each worker; in the log 4]
    #[arg(long, value_name = "N", help_heading = SHAPE, value_parser = value_parser!(u32).range(1..))]
    pub splits: Option<u32>,
    /// `keyed-count` alone: maps between source and count [default: 0]
    #[arg(long, value_name = "N", help_heading = SHAPE, value_parser = value_parser!(u32).range(..=1_000))]
    pub maps: Option<u32>,
    /// `keyed-count` alone: counts in a row, each behind an exchange of its own and checking the one
    /// before it [default: 1]
    #[arg(long, value_name = "N", help_heading = SHAPE, value_parser = value_parser!(u32).range(1..=10_000))]
    pub operators: Option<u32>,
    /// `sliding-sum` alone: windows that each record is in; a divisor of 3,600 [default: 10]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=3_600))]
    pub slides: Option<u32>,
    /// `over` alone: records of a key that are in range [default: 1k]
    #[arg(long, value_name = "N", help_heading = SHAPE, value_parser = parse_count)]
    pub range_records: Option<u64>,
    /// Run as the child of a `startup` or `recovery` run, with its job in this directory
    #[arg(long, hide = true, value_name = "DIR")]
    pub child: Option<PathBuf>,
}

impl Args {
    /// The number of records of this run.
    pub fn events(&self) -> u64 {
        self.events.unwrap_or(match (self.engine, self.workload) {
            (Engine::Timely, Workload::Passthrough) => 400_000_000,
            (_, Workload::Passthrough | Workload::KeyedCount | Workload::TumblingSum) => 200_000_000,
            (_, Workload::Latency) => 20 * self.rate(),
            (_, Workload::Startup | Workload::Recovery) => u64::MAX,
            (_, Workload::Fraud | Workload::FraudCore) => 5_000_000,
            (_, Workload::Over | Workload::SlidingSum | Workload::LogAppend | Workload::LogScan) => {
                20_000_000
            }
        })
    }

    /// The shape of this run.
    pub fn shape(&self) -> Shape {
        Shape::of(self)
    }

    /// The records of a key that `over` has in range.
    pub fn range_records(&self) -> u64 {
        self.range_records.unwrap_or(1_000)
    }

    /// The rate of a workload that has one.
    pub fn rate(&self) -> u64 {
        self.rate.unwrap_or(50_000)
    }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// W0: source, map, discard
    Passthrough,
    /// W1: a running count per key, every update emitted
    KeyedCount,
    /// W2: sums per key over tumbling windows of 10 s of event time
    TumblingSum,
    /// Sums per key over sliding windows of 3.6 s of event time
    SlidingSum,
    /// W4: at each record the count, sum and maximum of its key's records in a range, and the sum in a tenth of it
    Over,
    /// W3: W1 at a fixed rate, from the scheduled time of a record to the sink
    Latency,
    /// From the start of the process to the first output
    Startup,
    /// From kill -9 of a job holding its keys to new output of its successor
    Recovery,
    /// The fraud detection example
    Fraud,
    /// The example `fraud_core`: one process function and a window
    FraudCore,
    /// The shard log alone: one producer for each worker, each group of appends synced
    LogAppend,
    /// The shard log alone: reading back what was appended, one reader for each worker
    LogScan,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no workload is hidden");
        f.write_str(value.get_name())
    }
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// This project
    Pelton,
    /// Timely dataflow with operators written by hand: no checkpoints, no flow control
    Timely,
}

/// Where keyed state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In RocksDB, with what fits in memory
    Rocksdb,
    /// In memory
    Memory,
}

/// How often a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointEvery(pub Option<u64>);

impl FromStr for CheckpointEvery {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(ms) if ms > 0 => Ok(Self(Some(ms))),
                _ => Err("give milliseconds of at least 1, or `off`".to_owned()),
            },
        }
    }
}

impl Serialize for CheckpointEvery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A count as people write it: `5000000`, `5_000_000`, `5m`, `100k`, `1g`.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (digits, factor) = match plain.as_bytes().last() {
        Some(b'k') => (&plain[..plain.len() - 1], 1_000),
        Some(b'm') => (&plain[..plain.len() - 1], 1_000_000),
        Some(b'g') => (&plain[..plain.len() - 1], 1_000_000_000),
        _ => (plain.as_str(), 1),
    };
    match digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor)) {
        Some(count) if count > 0 => Ok(count),
        _ => Err("give a number of at least 1, as in `5000000`, `100k` or `5m`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, count) in
            [("7", 7), ("100k", 100_000), ("5M", 5_000_000), ("1_000", 1_000), ("2g", 2_000_000_000)]
        {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "k", "0", "-1", "1.5m", "99999999999999g"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn checkpoints_are_milliseconds_or_off() {
        assert_eq!("off".parse(), Ok(CheckpointEvery(None)));
        assert_eq!("250".parse(), Ok(CheckpointEvery(Some(250))));
        assert!("0".parse::<CheckpointEvery>().is_err());
    }
}
