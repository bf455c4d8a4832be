//! One run of `keyed-count`, in a process of its own: a run leaves memory, threads and counts of
//! processor time behind, which the next one must not have.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::args::Engine;
use crate::shape::EVENT_BYTES;

/// What a run is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub engine: Engine,
    pub events: u64,
    pub workers: u64,
    pub keys: u64,
    pub record_bytes: u64,
    pub maps: u64,
    pub splits: u64,
    pub operators: u64,
}

/// What it came to: the fields of its report that are drawn or kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    pub events: u64,
    pub seconds: f64,
    pub events_per_s: f64,
    pub cpu_s: f64,
    pub peak_rss_bytes: u64,
    pub checkpoints_completed: u64,
    pub files_per_epoch: Option<usize>,
}

impl Point {
    /// Two workers, 100 k keys, records of 24 bytes, nothing but the count.
    pub fn base(engine: Engine, events: u64) -> Self {
        Self {
            engine,
            events,
            workers: 2,
            keys: 100_000,
            record_bytes: EVENT_BYTES as u64,
            maps: 0,
            splits: 2,
            operators: 1,
        }
    }

    /// Runs it.
    pub fn run(&self) -> Result<Ran> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(self.arguments()).arg("--json").stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start `{self}`"))?;
        ensure!(output.status.success(), "`{self}` failed: {}", output.status);
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`{self}` has not said what it came to"))
    }

    /// The command line.
    fn arguments(&self) -> Vec<String> {
        let engine = self.engine.to_possible_value().expect("no engine is hidden");
        let mut arguments =
            vec!["keyed-count".to_owned(), "--engine".to_owned(), engine.get_name().to_owned()];
        let mut give = |option: &str, value: u64| arguments.extend([option.to_owned(), value.to_string()]);
        give("--events", self.events);
        give("--workers", self.workers);
        give("--keys", self.keys);
        if self.engine == Engine::Pelton {
            give("--record-bytes", self.record_bytes);
            give("--maps", self.maps);
            give("--splits", self.splits);
            give("--operators", self.operators);
        }
        arguments
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arguments().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::axes::Axis;
    use crate::args::Args;
    use crate::shape::Shape;
    use clap::Parser;

    #[test]
    fn every_point_of_every_axis_is_a_run_that_can_be_asked_for() {
        for point in Axis::ALL.iter().flat_map(|axis| axis.points(1_000)) {
            let line = ["pelton-bench".to_owned()].into_iter().chain(point.arguments());
            let args = Args::try_parse_from(line).unwrap_or_else(|error| panic!("{point}: {error}"));
            Shape::check(&args).unwrap_or_else(|error| panic!("{point}: {error}"));
            assert_eq!((args.events(), args.keys), (point.events, point.keys), "{point}");
        }
    }
}
