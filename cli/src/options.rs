//! The flags of a run, and the settings that come of them.
//!
//! That a setting comes from an environment variable or the configuration file when its flag is not
//! given is clap's doing, which has both from here and from `config`. What the settings mean, and
//! which cannot work, is for `pelton-runtime`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use pelton_runtime::{CheckpointInterval, JobSettings, RestartStrategy};
use pelton_state::files::Backend;

use crate::config::ConfigFile;
use crate::console;
use crate::error::Result;
use crate::units;

/// Where a job's things lie.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every job")]
pub(crate) struct PlaceFlags {
    /// Read settings from this TOML file
    #[arg(long, env = "PELTON_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The job's id, which is part of its checkpoints [default: the name of the program]
    #[arg(long, env = "PELTON_JOB_ID", hide_env_values = true, value_name = "ID")]
    job_id: Option<String>,
    /// Where checkpoints lie [default: .pelton/ID/checkpoints]
    #[arg(long, env = "PELTON_CHECKPOINT_DIR", hide_env_values = true, value_name = "DIR")]
    checkpoint_dir: Option<String>,
}

/// How a job is run.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every job")]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub place: PlaceFlags,
    /// Worker threads [default: one for each core]
    #[arg(long, env = "PELTON_WORKERS", hide_env_values = true, value_name = "N", value_parser = workers)]
    workers: Option<usize>,
    /// Where workers keep their state while they run; it can be lost [default: .pelton/ID/state]
    #[arg(long, env = "PELTON_STATE_DIR", hide_env_values = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The time between checkpoints, as 500ms, 10s or 5m, or `off` for one at the end alone [default: 10s]
    #[arg(long, env = "PELTON_CHECKPOINT_INTERVAL", hide_env_values = true, value_name = "TIME", value_parser = interval)]
    checkpoint_interval: Option<CheckpointInterval>,
    /// What keeps the state: `rocksdb` on disk, for any size of it, or `memory` [default: rocksdb, where the program is built with it]
    #[arg(long, env = "PELTON_BACKEND", hide_env_values = true, value_name = "BACKEND")]
    backend: Option<BackendFlag>,
    /// Serve metrics for Prometheus at this address, as 127.0.0.1:9464 [default: not at all]
    #[arg(long, env = "PELTON_METRICS", hide_env_values = true, value_name = "ADDR", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Start from this checkpoint (see `checkpoints list`) [default: the newest]
    #[arg(long, env = "PELTON_FROM", hide_env_values = true, value_name = "CHECKPOINT", value_parser = checkpoint)]
    from: Option<u64>,
    /// Allow that state in the checkpoint which no operator claims is dropped
    #[arg(long, env = "PELTON_ALLOW_DROPPED_STATE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    allow_dropped_state: bool,
    /// After a failure: `none`, `fixed:TIMES:DELAY` or `exponential:FIRST:LONGEST` [default: fixed:3:1s]
    #[arg(long, env = "PELTON_RESTART", hide_env_values = true, value_name = "STRATEGY", value_parser = restart)]
    restart: Option<RestartStrategy>,
    #[command(flatten)]
    pub display: DisplayFlags,
}

/// What is said of a running job.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every job")]
pub(crate) struct DisplayFlags {
    /// How the job is shown while it runs, on standard error: `auto` is one line that is updated on
    /// a terminal, else `plain`, a line every few seconds; `off` is nothing but warnings
    #[arg(
        long,
        env = "PELTON_STATUS",
        hide_env_values = true,
        value_name = "HOW",
        value_enum,
        default_value_t
    )]
    pub status: StatusFlag,
    /// How often a plain line is written
    #[arg(long, env = "PELTON_STATUS_INTERVAL", hide_env_values = true, value_name = "TIME", default_value = "5s", value_parser = period)]
    pub status_interval: Duration,
    /// Write the final report as JSON to this file; `-` is standard output
    #[arg(long, env = "PELTON_REPORT", hide_env_values = true, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// How a running job is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFlag {
    #[default]
    Auto,
    Plain,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BackendFlag {
    Rocksdb,
    Memory,
}

impl PlaceFlags {
    /// The job's id.
    pub fn job_id(&self) -> String {
        self.job_id.clone().unwrap_or_else(console::program_name)
    }

    /// Where the job's checkpoints lie. Two jobs that are started in one directory keep apart.
    pub fn checkpoint_dir(&self) -> String {
        self.checkpoint_dir.clone().unwrap_or_else(|| format!(".pelton/{}/checkpoints", self.job_id()))
    }
}

impl RunFlags {
    /// The settings, with those that only the file has.
    pub fn settings(&self, config: &ConfigFile) -> Result<JobSettings> {
        let mut settings =
            JobSettings { checkpoint_dir: self.place.checkpoint_dir(), ..JobSettings::default() };
        config.set_file_settings(&mut settings)?;
        let state_dir = || PathBuf::from(".pelton").join(self.place.job_id()).join("state");
        settings.state_dir = self.state_dir.clone().unwrap_or_else(state_dir);
        set(&mut settings.workers, self.workers.as_ref());
        set(&mut settings.checkpoint_interval, self.checkpoint_interval.as_ref());
        set(&mut settings.restart, self.restart.as_ref());
        settings.metrics_address = self.metrics;
        settings.from_checkpoint = self.from;
        settings.allow_dropped_state = self.allow_dropped_state;
        match self.backend {
            Some(BackendFlag::Rocksdb) => settings.backend = Backend::RocksDb,
            Some(BackendFlag::Memory) => settings.backend = Backend::Memory,
            None => {}
        }
        Ok(settings)
    }
}

fn set<T: Clone>(setting: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        setting.clone_from(given);
    }
}

fn interval(text: &str) -> Result<CheckpointInterval, String> {
    if text == "off" {
        return Ok(CheckpointInterval::Off);
    }
    let every_ms = units::parse_duration_ms(text).map_err(|problem| format!("{problem}, or `off`"))?;
    Ok(CheckpointInterval::EveryMs(every_ms))
}

fn period(text: &str) -> Result<Duration, String> {
    units::parse_period_ms(text).map(Duration::from_millis)
}

fn checkpoint(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write the number of a checkpoint, as `checkpoints list` shows it".to_owned())
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a number of threads, such as 4".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:9464".to_owned())
}

fn restart(text: &str) -> Result<RestartStrategy, String> {
    let wrong = |problem: String| {
        format!(
            "{problem}; write `none`, `fixed:3:1s` (times and delay) or `exponential:100ms:1m` (first and longest delay)"
        )
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["none"] => Ok(RestartStrategy::None),
        ["fixed", attempts, delay] => Ok(RestartStrategy::FixedDelay {
            attempts: attempts.parse().map_err(|_| wrong(format!("`{attempts}` is no number")))?,
            delay_ms: units::parse_duration_ms(delay).map_err(wrong)?,
        }),
        ["exponential", initial, max] => Ok(RestartStrategy::Exponential {
            initial_ms: units::parse_duration_ms(initial).map_err(wrong)?,
            max_ms: units::parse_duration_ms(max).map_err(wrong)?,
        }),
        _ => Err(wrong("it is no restart strategy".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        for (text, ms) in
            [("off", None), ("250ms", Some(250)), ("10s", Some(10_000)), ("1h", Some(3_600_000))]
        {
            assert_eq!(interval(text).unwrap().ms(), ms, "{text}");
        }
        for (text, problem) in [
            ("5", "write 5s or 5ms, or `off`"),
            ("", "no duration, such as 500ms or 10s, or `off`"),
            ("-1s", "no duration"),
            ("99999999999999999999s", "no duration"),
        ] {
            let message = interval(text).unwrap_err();
            assert!(message.contains(problem), "{text}: {message}");
        }
    }

    #[test]
    fn restart_strategies_are_read() {
        assert_eq!(restart("none").unwrap(), RestartStrategy::None);
        assert_eq!(
            restart("fixed:5:250ms").unwrap(),
            RestartStrategy::FixedDelay { attempts: 5, delay_ms: 250 }
        );
        assert_eq!(
            restart("exponential:1s:2m").unwrap(),
            RestartStrategy::Exponential { initial_ms: 1_000, max_ms: 120_000 }
        );
        for wrong in ["", "fixed", "fixed:x:1s", "fixed:1:fast", "fixed:1:5", "exponential:1s", "never"] {
            let message = restart(wrong).unwrap_err();
            assert!(message.contains("`fixed:3:1s`"), "{wrong}: {message}");
        }
    }
}
