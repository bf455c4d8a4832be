//! The fraud detection as a process under trial: disturbed in every way, its outputs must be those of a
//! run that nothing disturbs, and its last checkpoint, the log and the sinks must agree.
//!
//! In reading order: a [`Trial`] is one run of the job with places of its own for all that it writes;
//! [`outputs`] are what it has written, [`agreement`] holds the checkpoint against log and sinks;
//! [`soak`] is the trial without end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use pelton::state::checkpoint::log;
use pelton::state::checkpoint::manifest::{Entry, Manifest};
use pelton::state::checkpoint::store::CheckpointStore;
use pelton::streams::{Options, ShardDescription, ShardLog};

pub mod agreement;
pub mod outputs;
pub mod soak;

pub use outputs::Outputs;
pub use soak::Soak;

/// The stream of payments, in the log that all trials of one root read.
pub const PAYMENTS: &str = "payments";

/// A run of the job, however often it is started.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The directory that the log is in, and everything else.
    pub root: PathBuf,
    /// What its own files and its stream of alerts are called by.
    pub name: String,
    /// How many lines of payments there are in the end.
    pub lines: u64,
    /// What else it is started with.
    pub flags: Vec<String>,
}

impl Trial {
    /// The command that runs the job with `workers` workers: `job` is the program.
    #[must_use]
    pub fn command(&self, job: &Path, workers: u64) -> Command {
        let mut command = Command::new(job);
        command
            .args(["run", "--workers", &workers.to_string()])
            .arg("--input")
            .arg(self.log_directory().join(PAYMENTS))
            .arg("--alerts")
            .arg(self.log_directory().join(self.alerts()))
            .arg("--out")
            .arg(self.place("out"))
            .arg("--state-dir")
            .arg(self.place("state"))
            .arg("--checkpoint-dir")
            .arg(self.place("checkpoints"))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Lets the job run to the end of the payments that are there.
    ///
    /// # Errors
    /// It fails; with what it says.
    pub fn finish(&self, job: &Path, workers: u64) -> Result<()> {
        let mut command = self.command(job, workers);
        let output = command
            .args(["--until-end", "--status", "off", "--checkpoint-interval", "50ms"])
            .stderr(Stdio::piped())
            .output();
        let output = output.with_context(|| format!("cannot run {}", job.display()))?;
        if !output.status.success() {
            bail!("{} failed: {}", job.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The directory of the log.
    #[must_use]
    pub fn log_directory(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The stream of its alerts.
    #[must_use]
    pub fn alerts(&self) -> String {
        format!("alerts-{}", self.name)
    }

    /// A directory of its own.
    #[must_use]
    pub fn place(&self, what: &str) -> PathBuf {
        self.root.join(format!("{}-{what}", self.name))
    }

    /// The log.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn log(&self) -> Result<ShardLog> {
        Ok(ShardLog::open(self.log_directory(), &Options::default())?)
    }

    fn shards(&self, stream: &str) -> Result<Vec<ShardDescription>> {
        Ok(self.log()?.describe_stream(stream)?.shards)
    }

    /// The store of its checkpoints.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn checkpoints(&self) -> Result<CheckpointStore> {
        Ok(CheckpointStore::open(&self.place("checkpoints").display().to_string())?)
    }

    fn entries(&self) -> Result<Vec<log::Found>> {
        Ok(log::entries(&self.checkpoints()?)?)
    }

    /// The number of the newest checkpoint, also while the job deletes older ones.
    ///
    /// # Errors
    /// The checkpoints cannot be read.
    pub fn newest_checkpoint(&self) -> Result<Option<u64>> {
        let checkpoints =
            self.entries()?.into_iter().filter(|found| matches!(found.entry, Ok(Entry::Checkpoint(_))));
        Ok(checkpoints.map(|found| found.sequence).max())
    }

    /// The newest checkpoint, once the job is over.
    ///
    /// # Errors
    /// There is none, or an entry of the log cannot be read.
    pub fn manifest(&self) -> Result<Manifest> {
        let mut newest = None;
        for found in self.entries()? {
            if let Entry::Checkpoint(manifest) = found.entry? {
                newest = Some(*manifest);
            }
        }
        newest.context("the job has left no checkpoint")
    }
}
