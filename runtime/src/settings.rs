//! The settings of a job, with their units, defaults and reasons.
//!
//! Owns what can be set and what cannot work. Where settings come from (command line, file,
//! environment), and how they are written there, is for `pelton-cli`; problems are told by the names
//! that they have there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::settings::Settings;
use pelton_state::files::Backend;

use crate::error::JobError;
use crate::places::place;

/// More workers than this in one process help nobody: each has a channel to each other.
pub const MAX_WORKERS: usize = 1_024;

/// How a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// Worker threads. Default: one for each core.
    pub workers: usize,
    /// Where workers keep their state while they run. It can be lost: checkpoints hold what counts.
    pub state_dir: PathBuf,
    /// Where checkpoints lie: a directory.
    pub checkpoint_dir: String,
    /// The time from one checkpoint to the next, unless it is off: then there is one at the end of
    /// the input and one when the job is stopped.
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
            state_memory_mib: 1_024,
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
                "`checkpoint_interval` is 0: give the time between checkpoints, such as 10s, or `off`",
            ),
            (self.checkpoint_timeout_ms > 0, "`checkpoint_timeout` is 0: no checkpoint could complete"),
            (
                self.retained_checkpoints > 0,
                "`retained_checkpoints` is 0: the newest checkpoint is always kept",
            ),
            (
                KeyGroups::new(self.key_groups).is_some(),
                "`key_groups` must be from 1 to 32768; 128 suits most jobs",
            ),
            (self.state_memory_mib > 0, "`state_memory` is 0: state needs memory"),
            (
                self.discovery_interval_ms > 0,
                "`discovery_interval` is 0: give the time between look-ups of splits",
            ),
            (self.stuck_after_ms > 0, "`stuck_after` is 0: give the longest time a call may take"),
            (engine.batch_records > 0, "`engine.batch_records` is 0: a batch holds at least one record"),
            (engine.channel_batches > 0, "`engine.channel_batches` is 0: nothing could be sent"),
            (!self.checkpoint_dir.is_empty(), "`checkpoint_dir` is empty: give a directory"),
            (!self.state_dir.as_os_str().is_empty(), "`state_dir` is empty: give a directory"),
            (
                self.backend != Backend::RocksDb || cfg!(feature = "rocksdb"),
                "`backend` is rocksdb, which this program was built without: use memory, or build with the feature `rocksdb`",
            ),
        ];
        let mut problems: Vec<_> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, problem)| (*problem).to_owned()).collect();
        let directories = self.directories();
        problems.extend(directories.iter().filter_map(|(name, _, place)| {
            let file = place.ancestors().find(|part| part.is_file())?.display();
            Some(format!("`{name}`: {file} is a file, where a directory is expected; check the path, or name another one"))
        }));
        problems.extend(shared_directory(&directories));
        if problems.is_empty() { Ok(()) } else { Err(JobError::Settings { problems }) }
    }

    /// The local directories that are set: their names, what was given, and where they lie.
    pub(crate) fn directories(&self) -> Vec<(&'static str, &Path, PathBuf)> {
        let checkpoint_dir = self.checkpoint_dir.strip_prefix("file://").unwrap_or(&self.checkpoint_dir);
        let all = [("state_dir", self.state_dir.as_path()), ("checkpoint_dir", Path::new(checkpoint_dir))];
        let is_local = |path: &Path| !path.as_os_str().is_empty() && !path.to_string_lossy().contains("://");
        all.into_iter()
            .filter(|(_, path)| is_local(path))
            .map(|(name, path)| (name, path, place(path)))
            .collect()
    }
}

/// What is wrong if state and checkpoints share a directory.
fn shared_directory(directories: &[(&str, &Path, PathBuf)]) -> Option<String> {
    let [(_, state_dir, state), (_, checkpoint_dir, checkpoints)] = directories else { return None };
    let (state_dir, checkpoint_dir) = (state_dir.display(), checkpoint_dir.display());
    let how = if state == checkpoints {
        format!("`state_dir` and `checkpoint_dir` are the same directory, {state_dir}")
    } else if state.starts_with(checkpoints) {
        format!("`state_dir` ({state_dir}) lies inside `checkpoint_dir` ({checkpoint_dir})")
    } else if checkpoints.starts_with(state) {
        format!("`checkpoint_dir` ({checkpoint_dir}) lies inside `state_dir` ({state_dir})")
    } else {
        return None;
    };
    Some(format!(
        "{how}: state is cleared when a job starts, checkpoints must last; give each a directory of its own"
    ))
}

/// The time between checkpoints.
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

impl std::fmt::Display for CheckpointInterval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::EveryMs(ms) => write!(f, "{ms}ms"),
        }
    }
}

/// What happens after a failure. A completed checkpoint makes earlier failures forgotten. A record that is
/// malformed, without dead letters to go to, is read once more and then ends the job.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        assert!(message.contains("`checkpoint_interval` is 0"), "{message}");
        assert!(message.contains("or `off`"), "{message}");
    }

    #[test]
    fn the_defaults_work() {
        JobSettings { backend: Backend::Memory, ..JobSettings::default() }.check().unwrap();
    }

    #[test]
    fn state_and_checkpoints_lie_in_directories_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("there")).unwrap();
        std::os::unix::fs::symlink(root.path().join("there"), root.path().join("link")).unwrap();
        let problem = |state: &str, checkpoints: &str| {
            let checkpoints = match checkpoints.strip_prefix("file://") {
                Some(path) => format!("file://{}", root.path().join(path).display()),
                None => root.path().join(checkpoints).display().to_string(),
            };
            let settings = JobSettings {
                state_dir: root.path().join(state),
                checkpoint_dir: checkpoints,
                backend: Backend::Memory,
                ..JobSettings::default()
            };
            settings.check().err().map(|error| error.to_string())
        };
        for (state, checkpoints, how) in [
            ("a", "a", "are the same directory"),
            ("a", "b/../a/.", "are the same directory"),
            ("a", "file://a", "are the same directory"),
            ("there/a", "link/a", "are the same directory"),
            ("a/b/c", "a", "`state_dir` ("),
            ("a", "a/b", "`checkpoint_dir` ("),
        ] {
            let message = problem(state, checkpoints).unwrap_or_default();
            assert!(
                message.contains(how) && message.contains("of its own"),
                "{state} {checkpoints}: {message}"
            );
        }
        std::fs::write(root.path().join("file"), "").unwrap();
        for (state, checkpoints, name) in [("file", "a", "`state_dir`"), ("a", "file/b", "`checkpoint_dir`")]
        {
            let message = problem(state, checkpoints).unwrap_or_default();
            let expected = format!("{name}: {} is a file, where", root.path().join("file").display());
            assert!(message.contains(&expected), "{message}");
        }
        for (state, checkpoints) in [("a", "b"), ("a", "ab"), ("p/state", "p/checkpoints"), ("there/a", "a")]
        {
            assert_eq!(problem(state, checkpoints), None, "{state} {checkpoints}");
        }
    }
}
