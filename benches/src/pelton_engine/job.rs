//! How a workload is run: settings, directories, and what its sink adds up.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use anyhow::{Context, Result};
use pelton::connectors::ForEachBatch;
use pelton::dataflow::record::{Data, Record};
use pelton::prelude::Job;
use pelton::runtime::{CheckpointInterval, JobReport, JobSettings, JobSpec, RestartStrategy};
use pelton::state::files::Backend as StateBackend;
use tempfile::TempDir;

use crate::args::{Args, Backend, CheckpointEvery};
use crate::stopwatch::{Gaps, Stopwatch};
use crate::verify::Checksum;

/// Enough that some two of them have no merge of state files between them, which happens every eight.
const RETAINED_CHECKPOINTS: usize = 5;

/// The settings of a run in `directory`. A failure ends it: a benchmark that recovers has not
/// measured what it says.
pub fn settings(args: &Args, directory: &Path) -> JobSettings {
    settings_of(args.workers, args.backend, args.checkpoint_ms, directory)
}

/// The same by the settings alone.
pub fn settings_of(
    workers: usize,
    backend: Backend,
    checkpoint_ms: CheckpointEvery,
    directory: &Path,
) -> JobSettings {
    JobSettings {
        workers,
        state_dir: directory.join("state"),
        checkpoint_dir: directory.join("checkpoints").display().to_string(),
        checkpoint_interval: match checkpoint_ms.0 {
            Some(ms) => CheckpointInterval::EveryMs(ms),
            None => CheckpointInterval::Off,
        },
        backend: match backend {
            Backend::Rocksdb => StateBackend::RocksDb,
            Backend::Memory => StateBackend::Memory,
        },
        restart: RestartStrategy::None,
        retained_checkpoints: RETAINED_CHECKPOINTS,
        ..JobSettings::default()
    }
}

/// The job that `build` wires, ready to run in `directory`.
pub fn spec(args: &Args, directory: &Path, build: impl FnOnce(&mut Job)) -> Result<JobSpec> {
    let mut job = Job::new();
    build(&mut job);
    Ok(JobSpec::new("bench", job.finish()?, settings(args, directory)))
}

/// An empty directory, which is gone when this is dropped.
pub fn directory() -> Result<TempDir> {
    tempfile::Builder::new().prefix("pelton-bench-").tempdir().context("cannot make a directory to run in")
}

/// Runs the job that `build` wires in the empty `directory` to the end of its input.
pub fn run(args: &Args, directory: &Path, build: impl FnOnce(&mut Job)) -> Result<JobReport> {
    Ok(pelton::runtime::run(spec(args, directory, build)?)?)
}

/// What the sinks of a run have seen, over all workers.
pub struct Tally {
    since: Stopwatch,
    done: Arc<AtomicU64>,
    seen: Mutex<HashMap<ThreadId, (Checksum, Gaps)>>,
}

impl Tally {
    /// Nothing yet, in a run that `since` has been measuring.
    pub fn new(since: Stopwatch, done: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { since, done, seen: Mutex::new(HashMap::new()) })
    }

    /// A sink that adds each record up by `add`.
    pub fn sink<T: Data>(
        self: &Arc<Self>,
        add: impl Fn(&mut Checksum, &T) + Send + Sync + 'static,
    ) -> ForEachBatch<T> {
        let tally = self.clone();
        ForEachBatch::new(move |batch: &[Record<T>]| {
            let mut of_batch = Checksum::default();
            batch.iter().for_each(|record| add(&mut of_batch, &record.value));
            tally.done.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let mut seen = tally.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || (Checksum::default(), Gaps::new(tally.since));
            let (checksum, gaps) = seen.entry(std::thread::current().id()).or_insert_with(fresh);
            *checksum += of_batch;
            gaps.output();
        })
    }

    /// The checksum, and the longest gap of any worker in milliseconds.
    pub fn take(&self) -> (Checksum, f64) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checksum = Checksum::default();
        let mut longest_ms: f64 = 0.0;
        for (of_worker, gaps) in seen.values() {
            checksum += *of_worker;
            longest_ms = longest_ms.max(gaps.longest_ms());
        }
        (checksum, longest_ms)
    }
}
