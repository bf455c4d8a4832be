//! A job: what to run, the handle on it while it runs, and what it did.

use std::sync::Arc;
use std::thread::JoinHandle;

use pelton_dataflow::clock::{Clock, SystemClock, monotonic_ns};
use pelton_dataflow::graph::Graph;
use pelton_state::checkpoint::store::CheckpointStore;
use serde::Serialize;
use tracing::{info, warn};

use crate::driver::{self, End, JobContext, Wishes};
use crate::error::JobError;
use crate::made::Ground;
use crate::metrics::Metrics;
use crate::places;
use crate::settings::JobSettings;
use crate::status::{JobStatus, Phase, StatusBoard};

/// What to run.
pub struct JobSpec {
    /// The job's id: part of its checkpoints, which no other job may restore.
    pub id: String,
    /// The graph.
    pub graph: Graph,
    /// How to run it.
    pub settings: JobSettings,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
}

impl JobSpec {
    /// The job `id` of `graph`, by the machine's clock.
    #[must_use]
    pub fn new(id: impl Into<String>, graph: Graph, settings: JobSettings) -> Self {
        Self { id: id.into(), graph, settings, clock: Arc::new(SystemClock) }
    }

    /// The same by another clock. Checkpoints at intervals and look-ups of splits go by it: while a test's clock
    /// stands still there are none, and what waits for the commit of one does not come. Those that are asked for, and
    /// those at a stop and at the end of the input, do not need it.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// Starts jobs.
pub struct Job;

impl Job {
    /// Starts `spec` on threads of its own.
    ///
    /// # Errors
    /// Settings that cannot work, a state directory in use, a metrics port taken, a checkpoint
    /// store that cannot be opened. What goes wrong later comes from [`JobHandle::wait`].
    pub fn start(spec: JobSpec) -> Result<JobHandle, JobError> {
        spec.settings.check()?;
        places::check(&spec.graph, &spec.settings)?;
        tell_of_idle_workers(&spec.graph, &spec.settings);
        let mut ground = Ground::take(&spec.settings)?;
        forget_other_workers(&spec.settings)?;
        let store = CheckpointStore::open(&spec.settings.checkpoint_dir)?;
        let metrics = Metrics::start(&spec.id, spec.settings.metrics_address)?;
        let graph = Arc::new(spec.graph);
        let board = Arc::new(StatusBoard::new(&spec.id, graph.clone(), spec.settings.stuck_after_ms));
        let wishes = Arc::new(Wishes::default());
        let context = JobContext {
            id: spec.id,
            graph,
            state_dir: spec.settings.state_dir.clone(),
            settings: spec.settings,
            clock: spec.clock,
            store,
            board: board.clone(),
            wishes: wishes.clone(),
            metrics,
        };
        let name = "pelton-driver".to_owned();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let result = run_to_end(&context);
                if result.is_ok() {
                    ground.keep();
                }
                drop(ground);
                result
            })
            .map_err(|source| JobError::Thread { name, source })?;
        Ok(JobHandle { stopper: Stopper { wishes }, board, thread: Some(thread) })
    }
}

/// Key groups are what workers share: whoever has none does nothing for a keyed operator. Other operators can do with
/// more, so that it is no mistake, as it is in Flink.
fn tell_of_idle_workers(graph: &Graph, settings: &JobSettings) {
    let (workers, groups) = (settings.workers, usize::from(settings.key_groups));
    if graph.has_keyed_state() && workers > groups {
        warn!(
            "{} of the {workers} workers have nothing to do for keyed operators, whose keys lie in {groups} key groups: run with at most {groups} workers (`key_groups` is fixed when a job first runs)",
            workers - groups
        );
    }
}

/// Deletes what workers kept that this job does not have: it ran with more of them before.
fn forget_other_workers(settings: &JobSettings) -> Result<(), JobError> {
    let read = JobError::directory("read the state directory", &settings.state_dir);
    for entry in std::fs::read_dir(&settings.state_dir).map_err(read)?.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix('w')?.parse::<usize>().ok());
        if number.is_some_and(|number| number >= settings.workers) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).map_err(JobError::directory("delete", &path))?;
        }
    }
    Ok(())
}

/// Runs `spec` to its end.
///
/// # Errors
/// As [`Job::start`] and [`JobHandle::wait`].
pub fn run(spec: JobSpec) -> Result<JobReport, JobError> {
    Job::start(spec)?.wait()
}

fn run_to_end(job: &JobContext) -> Result<JobReport, JobError> {
    let started_ns = monotonic_ns();
    let end = driver::run(job);
    job.board.noted().phase = Phase::Over;
    let end = end?;
    let elapsed_ms = monotonic_ns().saturating_sub(started_ns) / 1_000_000;
    info!(job = job.id, ?end, elapsed_ms, "the job is over");
    Ok(JobReport { end, elapsed_ms, status: job.board.status() })
}

/// A job that runs. Its drop ends the job at once, without a checkpoint.
pub struct JobHandle {
    stopper: Stopper,
    board: Arc<StatusBoard>,
    thread: Option<JoinHandle<Result<JobReport, JobError>>>,
}

/// Stops a job from any thread.
#[derive(Clone)]
pub struct Stopper {
    wishes: Arc<Wishes>,
}

impl Stopper {
    /// Has the job take one more checkpoint, commit it, and end; no window fires by it.
    pub fn stop(&self) {
        self.wishes.wish(End::Stopped);
    }

    /// Has the job end at once: it goes on from its last checkpoint the next time.
    pub fn abort(&self) {
        self.wishes.wish(End::Aborted);
    }
}

/// Watches a job from any thread.
#[derive(Clone)]
pub struct Watcher {
    board: Arc<StatusBoard>,
}

impl Watcher {
    /// What the job is at.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.board.status()
    }
}

impl JobHandle {
    /// As [`Stopper::stop`].
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// As [`Stopper::abort`].
    pub fn abort(&self) {
        self.stopper.abort();
    }

    /// A handle that only stops, for a thread that waits for signals.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// A handle that only watches, for a status line.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher { board: self.board.clone() }
    }

    /// What the job is at.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.board.status()
    }

    /// Whether the job is over, so that `wait` returns at once.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the job is over: its input has ended, it was stopped, or it failed for good.
    ///
    /// # Errors
    /// What it failed of.
    ///
    /// # Panics
    /// The driver panicked.
    pub fn wait(mut self) -> Result<JobReport, JobError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(payload)) => std::panic::resume_unwind(payload),
            None => unreachable!("only this takes the thread, and it takes the handle"),
        }
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stopper.abort();
            // What it failed of, nobody asks any more.
            let _ = thread.join();
        }
    }
}

/// What a job did.
#[derive(Clone, Debug, Serialize)]
pub struct JobReport {
    /// How it ended.
    pub end: End,
    /// How long it ran, in milliseconds.
    pub elapsed_ms: u64,
    /// Its last status. Counts of operators are of the last generation.
    pub status: JobStatus,
}
