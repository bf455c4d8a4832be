//! The driver: gives the coordinator threads, a clock and a disk, and a job its generations.
//!
//! In reading order: [`generation`] takes the job over and runs the coordinator's actions until they
//! end; [`worker`] is a worker's thread, [`reporter`] its way to the coordinator, [`prepare`] where the
//! prepares of sinks run; [`enumerators`] and [`checkpoints`] are threads for what may block,
//! [`watchdog`] tells of what does not return; [`outfit`] is what a worker gets, its state store among it.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::graph::Graph;
use pelton_state::checkpoint::log::{Own, StartFrom};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::error::StateError;
use tracing::{error, info, warn};

use crate::blocking::JobRef;
use crate::coordinator::{Event, Outcome};
use crate::error::JobError;
use crate::metrics::Metrics;
use crate::restart::{Recurrence, RestartPolicy, Verdict};
use crate::settings::JobSettings;
use crate::status::{Phase, StatusBoard};

mod checkpoints;
mod enumerators;
mod generation;
mod outfit;
mod prepare;
mod reporter;
mod watchdog;
mod worker;

/// What every generation of a job is run with.
pub(crate) struct JobContext {
    pub id: String,
    pub graph: Arc<Graph>,
    pub settings: JobSettings,
    pub clock: Arc<dyn Clock>,
    pub store: CheckpointStore,
    pub state_dir: PathBuf,
    pub board: Arc<StatusBoard>,
    pub wishes: Arc<Wishes>,
    pub metrics: Metrics,
}

impl JobContext {
    fn as_ref(&self) -> JobRef<'_> {
        JobRef { id: &self.id, graph: &self.graph, settings: &self.settings, store: &self.store }
    }
}

/// How a job ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// All input has been processed and committed.
    Completed,
    /// The checkpoint that it started from holds the end of all input: nothing was left to do, and
    /// nothing was read.
    CompletedBefore,
    /// It was stopped; its last checkpoint holds everything up to there.
    Stopped,
    /// It was ended at once; it goes on from its last checkpoint.
    Aborted,
}

/// Runs `job` through its generations until it is over.
pub(crate) fn run(job: &JobContext) -> Result<End, JobError> {
    let mut policy = RestartPolicy::new(job.settings.restart.clone());
    let mut recurrence = Recurrence::default();
    let mut from = job.settings.from_checkpoint.map_or(StartFrom::Newest, StartFrom::Checkpoint);
    let mut has_run = false;
    let mut own = Own::default();
    loop {
        job.board.noted().phase = Phase::Starting;
        let ended = generation::run(job, &from, &mut own, &mut policy);
        let ended = match ended {
            Err(JobError::State(error @ StateError::Fenced { .. })) => {
                return Err(JobError::Lost { message: error.to_string() });
            }
            Err(error) if has_run => {
                generation::Ended { outcome: Outcome::Failed(error.to_string()), has_run: true }
            }
            ended => ended?,
        };
        has_run |= ended.has_run;
        if ended.has_run {
            // From here on there is something newer.
            from = StartFrom::Newest;
        }
        let verdict = match ended.outcome {
            Outcome::Completed if !has_run => return Ok(End::CompletedBefore),
            Outcome::Completed => return Ok(End::Completed),
            Outcome::Stopped => return Ok(End::Stopped),
            Outcome::Aborted => return Ok(End::Aborted),
            Outcome::Lost(message) => return Err(JobError::Lost { message }),
            Outcome::Panicked { worker, message } => return Err(JobError::Panicked { worker, message }),
            Outcome::Failed(message) => {
                recurrence.other();
                Verdict { message, is_hopeless: false }
            }
            Outcome::OperatorFailed(failure) => recurrence.operator(&failure),
        };
        let Verdict { message, is_hopeless } = verdict;
        let restarts = job.board.noted().restarts;
        job.board.noted().last_failure = Some(message.clone());
        // What fails before a record was read fails again: the user is told at once.
        let delay = if has_run && !is_hopeless { policy.failed() } else { None };
        let Some(delay_ms) = delay else {
            error!(job = job.id, restarts, message, "the job has failed");
            return Err(JobError::Failed { restarts, message });
        };
        warn!(job = job.id, message, delay_ms, "the job failed and starts again from its last checkpoint");
        job.board.noted().phase = Phase::Restarting;
        if let Some(end) = job.wishes.interrupted_within(Duration::from_millis(delay_ms)) {
            info!(job = job.id, "stopped while waiting for the next start");
            return Ok(end);
        }
        job.board.noted().restarts += 1;
    }
}

/// What users wish of a job, kept across generations.
#[derive(Default)]
pub(crate) struct Wishes {
    wished: Mutex<Wished>,
    changed: Condvar,
}

#[derive(Default)]
struct Wished {
    end: Option<End>,
    /// Who listens in the current generation.
    driver: Option<Sender<Event>>,
}

impl Wishes {
    /// Wishes for a graceful stop, or for an end at once.
    pub fn wish(&self, end: End) {
        let mut wished = self.lock();
        if wished.end != Some(End::Aborted) {
            wished.end = Some(end);
        }
        wished.tell();
        self.changed.notify_all();
    }

    /// Whether a stop was wished for.
    pub fn is_stopping(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Has `driver` hear the wishes, those made before included.
    pub fn connect(&self, driver: Sender<Event>) {
        let mut wished = self.lock();
        wished.driver = Some(driver);
        wished.tell();
    }

    /// Waits for `delay`, or for a wish to end.
    fn interrupted_within(&self, delay: Duration) -> Option<End> {
        let wished = self.lock();
        let waited = self.changed.wait_timeout_while(wished, delay, |wished| wished.end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.end
    }

    fn lock(&self) -> MutexGuard<'_, Wished> {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wished {
    fn tell(&self) {
        let event = match self.end {
            None => return,
            Some(End::Aborted) => Event::AbortRequested,
            Some(_) => Event::StopRequested,
        };
        if let Some(driver) = &self.driver {
            // The driver of a generation that is over hears nothing; the next one is connected.
            let _ = driver.send(event);
        }
    }
}
