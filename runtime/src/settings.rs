//! The settings of a job, with their units, defaults and reasons.
//!
//! Owns what can be set and what cannot work. Where settings come from (command line, file,
//! environment) is for `pelton-cli`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::settings::Settings;
use pelton_state::files::Backend;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::JobError;

/// More workers than this in one process help nobody: each has a channel to each other.
pub const MAX_WORKERS: usize = 1_024;

/// How a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    /// Worker threads. Default: one for each core.
    pub workers: usize,
    /// Where workers keep their state while they run. It can be lost: checkpoints hold what counts.
    pub state_dir: PathBuf,
    /// Where checkpoints lie: a directory.
    pub checkpoint_dir: String,
    /// The time from one checkpoint to the next, in milliseconds, or `"off"`: then there is one at
    /// the end of the input and one when the job is stopped.
    #[serde(rename = "checkpoint_interval_ms")]
    pub checkpoint_interval: CheckpointInterval,
    /// How long a checkpoint may take before it is abandoned, in milliseconds.
    pub checkpoint_timeout_ms: u64,
    /// How many checkpoints in a row may fail before the job does.
    pub tolerated_checkpoint_failures: u32,
    /// How many completed checkpoints are kept. With one there is nothing to fall back to when its
    /// manifest is damaged.
    pub retained_checkpoints: usize,
    /// What keeps the state.
    pub backend: Backend,
    /// What all workers together may use for state in memory, in MiB.
    pub state_memory_mib: usize,
    /// Key groups: fixed when the job first runs, and the largest number of workers that share a
    /// keyed operator.
    pub key_groups: u16,
    /// What happens after a failure.
    pub restart: RestartStrategy,
    /// How often sources look for new splits, in milliseconds.
    pub discovery_interval_ms: u64,
    /// Where Prometheus finds the metrics; off unless given.
    pub metrics_address: Option<SocketAddr>,
    /// The checkpoint to start from, by its number in the manifest log; else the newest.
    pub from_checkpoint: Option<u64>,
    /// Whether state in the checkpoint that no operator claims may be dropped.
    pub allow_dropped_state: bool,
    /// How long a call of an operator, source or sink may take before the job says that it is
    /// stuck there, in milliseconds. It goes on waiting.
    pub stuck_after_ms: u64,
    /// Limits of batches, channels and watermarks.
    pub engine: Settings,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            state_dir: PathBuf::from(".pelton/state"),
            checkpoint_dir: ".pelton/checkpoints".to_owned(),
            checkpoint_interval: CheckpointInterval::EveryMs(10_000),
            checkpoint_timeout_ms: 600_000,
            tolerated_checkpoint_failures: 3,
            retained_checkpoints: 3,
            backend: if cfg!(feature = "rocksdb") { Backend::RocksDb } else { Backend::Memory },
            state_memory_mib: 512,
            key_groups: KeyGroups::default().count(),
            restart: RestartStrategy::default(),
            discovery_interval_ms: 1_000,
            metrics_address: None,
            from_checkpoint: None,
            allow_dropped_state: false,
            stuck_after_ms: 10_000,
            engine: Settings::default(),
        }
    }
}

impl JobSettings {
    /// The key groups, once [`JobSettings::check`] has passed.
    #[must_use]
    pub fn groups(&self) -> KeyGroups {
        KeyGroups::new(self.key_groups).unwrap_or_default()
    }

    /// Refuses what cannot work, all problems at once.
    ///
    /// # Errors
    /// [`JobError::Settings`] with a line for each problem.
    pub fn check(&self) -> Result<(), JobError> {
        let engine = &self.engine;
        let rules = [
            (self.workers > 0, "`workers` is 0: a job needs at least one"),
            (self.workers <= MAX_WORKERS, "`workers` is more than 1024: use as many as there are cores"),
            (
                self.checkpoint_interval != CheckpointInterval::EveryMs(0),
                "`checkpoint_interval_ms` is 0: give the time between checkpoints, or \"off\"",
            ),
            (self.checkpoint_timeout_ms > 0, "`checkpoint_timeout_ms` is 0: no checkpoint could complete"),
            (
                self.retained_checkpoints > 0,
                "`retained_checkpoints` is 0: the newest checkpoint is always kept",
            ),
            (
                KeyGroups::new(self.key_groups).is_some(),
                "`key_groups` must be from 1 to 32768; 128 suits most jobs",
            ),
            (self.state_memory_mib > 0, "`state_memory_mib` is 0: state needs memory"),
            (
                self.discovery_interval_ms > 0,
                "`discovery_interval_ms` is 0: give the time between look-ups of splits",
            ),
            (self.stuck_after_ms > 0, "`stuck_after_ms` is 0: give the longest time a call may take"),
            (engine.batch_records > 0, "`engine.batch_records` is 0: a batch holds at least one record"),
            (engine.channel_batches > 0, "`engine.channel_batches` is 0: nothing could be sent"),
            (!self.checkpoint_dir.is_empty(), "`checkpoint_dir` is empty: give a directory"),
            (
                self.backend != Backend::RocksDb || cfg!(feature = "rocksdb"),
                "`backend` is rocksdb, which this program was built without: use memory, or build with the feature `rocksdb`",
            ),
        ];
        let problems: Vec<_> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, problem)| (*problem).to_owned()).collect();
        if problems.is_empty() { Ok(()) } else { Err(JobError::Settings { problems }) }
    }
}

/// The time between checkpoints: milliseconds, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointInterval {
    /// Only when splits give way to their children, at the end of the input, and at a stop.
    Off,
    /// One each so many milliseconds, and those too.
    EveryMs(u64),
}

impl CheckpointInterval {
    /// The milliseconds, unless it is off.
    #[must_use]
    pub fn ms(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::EveryMs(ms) => Some(ms),
        }
    }
}

impl FromStr for CheckpointInterval {
    type Err = String;

    /// Reads `off`, `500ms`, `10s`, `5m`, or a plain number of milliseconds.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "" | "ms" => Some(1),
            "s" => Some(1_000),
            "m" | "min" => Some(60_000),
            _ => None,
        };
        unit.zip(digits.parse::<u64>().ok())
            .and_then(|(unit, count)| count.checked_mul(unit))
            .map(Self::EveryMs)
            .ok_or_else(|| format!("`{text}` is no interval: write `500ms`, `10s`, `5m` or `off`"))
    }
}

impl std::fmt::Display for CheckpointInterval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::EveryMs(ms) => write!(f, "{ms}ms"),
        }
    }
}

impl Serialize for CheckpointInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::EveryMs(ms) => serializer.serialize_u64(*ms),
        }
    }
}

impl<'de> Deserialize<'de> for CheckpointInterval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Ms(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Ms(ms) => Ok(Self::EveryMs(ms)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// What happens after a failure. A completed checkpoint makes earlier failures forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RestartStrategy {
    /// The job fails.
    None,
    /// It starts again from the last checkpoint after the same time each.
    FixedDelay {
        /// How often in a row, without a checkpoint in between.
        attempts: u32,
        /// The time between, in milliseconds.
        delay_ms: u64,
    },
    /// It starts again, without end, after a time that doubles with each failure.
    Exponential {
        /// The first time, in milliseconds.
        initial_ms: u64,
        /// The longest, in milliseconds.
        max_ms: u64,
    },
}

impl Default for RestartStrategy {
    fn default() -> Self {
        Self::FixedDelay { attempts: 3, delay_ms: 1_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        let settings = JobSettings {
            workers: 0,
            checkpoint_interval: CheckpointInterval::EveryMs(0),
            backend: Backend::Memory,
            ..JobSettings::default()
        };
        let message = settings.check().unwrap_err().to_string();
        assert!(message.contains("`workers` is 0: a job needs at least one"), "{message}");
        assert!(message.contains("`checkpoint_interval_ms` is 0"), "{message}");
        assert!(message.contains("or \"off\""), "{message}");
    }

    #[test]
    fn the_defaults_work() {
        JobSettings { backend: Backend::Memory, ..JobSettings::default() }.check().unwrap();
    }

    #[test]
    fn intervals_are_read_with_their_units() {
        for (text, ms) in [
            ("off", None),
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
        ] {
            assert_eq!(text.parse::<CheckpointInterval>().unwrap().ms(), ms, "{text}");
        }
        for text in ["", "s", "-1s", "10h", "ten", "99999999999999999999s"] {
            let message = text.parse::<CheckpointInterval>().unwrap_err();
            assert!(message.contains("write `500ms`"), "{message}");
        }
    }
}
