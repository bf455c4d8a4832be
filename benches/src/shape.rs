//! The shape of a workload besides its keys: how large records are, what they pass, in how many
//! parts they come. Each of these is an axis of `plot`.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::args::{Args, Engine, Workload};
use crate::generator::SLIDING_MS;

/// A record without a payload: key, value, time.
pub const EVENT_BYTES: usize = 24;
/// A record of the log: what the design was measured with.
const LOG_RECORD_BYTES: usize = 150;
/// The shards of a log.
const LOG_SHARDS: u32 = 4;
/// Windows that a record of `sliding-sum` is in.
const SLIDES: u32 = 10;
/// The least record of the log: its index, which is checked when it is read back.
const LEAST_LOG_RECORD_BYTES: usize = 8;

/// What records are like and what they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Bytes of a record.
    pub record_bytes: usize,
    /// Splits of the source, or shards of the log.
    pub splits: u32,
    /// Maps before the count.
    pub maps: u32,
    /// Counts in a row.
    pub operators: u32,
    /// Windows that a record is in.
    pub slides: u32,
}

impl Shape {
    /// The shape that `args` asks for, with the defaults of its workload.
    pub fn of(args: &Args) -> Self {
        let (record_bytes, splits) = match args.workload {
            Workload::LogAppend | Workload::LogScan => (LOG_RECORD_BYTES, LOG_SHARDS),
            _ => (EVENT_BYTES, u32::try_from(args.workers).unwrap_or(u32::MAX)),
        };
        Self {
            record_bytes: args.record_bytes.unwrap_or(record_bytes),
            splits: args.splits.unwrap_or(splits),
            maps: args.maps.unwrap_or(0),
            operators: args.operators.unwrap_or(1),
            slides: args.slides.unwrap_or(SLIDES),
        }
    }

    /// Refuses what the workload of `args` does not have: a figure must be of what was asked.
    pub fn check(args: &Args) -> Result<()> {
        let Args { record_bytes, splits, maps, operators, slides, range_records, .. } = args;
        let (sized, deep, least) = match (args.engine, args.workload) {
            (Engine::Pelton, Workload::KeyedCount) => (true, true, EVENT_BYTES),
            (Engine::Pelton, Workload::LogAppend | Workload::LogScan) => {
                (true, false, LEAST_LOG_RECORD_BYTES)
            }
            _ => (false, false, 0),
        };
        for (option, given, has) in [
            ("--record-bytes", record_bytes.is_some(), sized),
            ("--splits", splits.is_some(), sized),
            ("--maps", maps.is_some(), deep),
            ("--operators", operators.is_some(), deep),
            ("--slides", slides.is_some(), args.workload == Workload::SlidingSum),
            ("--range-records", range_records.is_some(), args.workload == Workload::Over),
        ] {
            let engine = match args.engine {
                Engine::Pelton => "",
                Engine::Timely => " of the timely reference",
            };
            ensure!(has || !given, "`{}`{engine} has no `{option}`: leave it out", args.workload);
        }
        let slides = slides.unwrap_or(SLIDES);
        ensure!(
            SLIDING_MS % i64::from(slides) == 0,
            "{slides} slides do not divide the {SLIDING_MS} ms of a window: give a divisor to `--slides`"
        );
        let bytes = record_bytes.unwrap_or(usize::MAX);
        ensure!(
            bytes >= least,
            "a record of `{}` has at least {least} bytes, not {bytes}: give a larger `--record-bytes`",
            args.workload
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn problem(line: &str) -> Option<String> {
        let args = Args::parse_from(["pelton-bench"].into_iter().chain(line.split(' ')));
        Shape::check(&args).err().map(|error| error.to_string())
    }

    #[test]
    fn what_a_workload_does_not_have_is_refused() {
        for line in [
            "keyed-count --record-bytes 100 --splits 10 --maps 2 --operators 3",
            "log-append --record-bytes 8 --splits 10",
            "keyed-count --engine timely",
            "sliding-sum --slides 360",
        ] {
            assert_eq!(problem(line), None, "{line}");
        }
        for (line, expected) in [
            ("passthrough --maps 2", "`passthrough` has no `--maps`: leave it out"),
            ("tumbling-sum --slides 2", "`tumbling-sum` has no `--slides`: leave it out"),
            (
                "sliding-sum --slides 7",
                "7 slides do not divide the 3600 ms of a window: give a divisor to `--slides`",
            ),
            ("log-scan --operators 2", "`log-scan` has no `--operators`: leave it out"),
            (
                "keyed-count --engine timely --splits 2",
                "`keyed-count` of the timely reference has no `--splits`: leave it out",
            ),
            (
                "keyed-count --record-bytes 23",
                "a record of `keyed-count` has at least 24 bytes, not 23: give a larger `--record-bytes`",
            ),
        ] {
            assert_eq!(problem(line).as_deref(), Some(expected), "{line}");
        }
    }
}
