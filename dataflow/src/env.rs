//! What the stages of one worker share, and how they speak with the coordinator.
//!
//! The coordinator steers through [`Control`]; stages report through [`Reporter`]. Both ends are
//! plain shared memory here; across hosts the runtime puts a connection between them.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::error::Failure;
use crate::graph::NodeId;
use crate::key::KeyGroups;
use crate::operator::{Deferred, Resources, RestoredPart, Waker};
use crate::settings::Settings;
use crate::source::{SplitId, SplitState};
use crate::stats::StatsRegistry;
use crate::time::{Epoch, EventTime};
use crate::watermarks::WatermarkBoard;

/// What the coordinator wants of the stages of one generation.
#[derive(Default)]
pub struct Control {
    epoch: AtomicU64,
    stop: AtomicBool,
    last: AtomicBool,
    hold: AtomicBool,
    /// Sources whose input has ended.
    ended: Mutex<Vec<NodeId>>,
    /// Splits on their way to (source, worker).
    assignments: Mutex<HashMap<(NodeId, usize), Vec<SplitState>>>,
    wakers: Mutex<Vec<Waker>>,
    version: AtomicU64,
}

impl Control {
    /// Control of a generation whose sources start in `epoch`.
    #[must_use]
    pub fn starting_at(epoch: Epoch) -> Self {
        Self { epoch: AtomicU64::new(epoch.0), ..Self::default() }
    }

    /// The epoch that sources belong to, or shall go to next.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Opens `epoch`: sources end the one before at their next batch boundary.
    pub fn open_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Release);
        self.changed();
    }

    /// Whether the workers shall leave their loops.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Has the workers leave their loops: nothing more is processed, no window fires.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.changed();
    }

    /// As [`Control::stop`], where the job is over: no other workers follow and want the memory that these have.
    pub fn end(&self) {
        self.last.store(true, Ordering::Release);
        self.stop();
    }

    /// Whether the job is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.last.load(Ordering::Acquire)
    }

    /// Whether sources shall read nothing more.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.load(Ordering::Acquire)
    }

    /// Has the sources read nothing more, so that nothing is processed after the last checkpoint of
    /// a job that stops. They still end epochs.
    pub fn hold_sources(&self) {
        self.hold.store(true, Ordering::Release);
        self.changed();
    }

    /// Gives `split` to `worker`.
    pub fn assign(&self, source: NodeId, worker: usize, split: SplitState) {
        lock(&self.assignments).entry((source, worker)).or_default().push(split);
        self.changed();
    }

    /// Takes the splits given to `worker` since the last call.
    #[must_use]
    pub fn take_assigned(&self, source: NodeId, worker: usize) -> Vec<SplitState> {
        lock(&self.assignments).remove(&(source, worker)).unwrap_or_default()
    }

    /// Says that the input of `source` has ended: its watermark goes to the end of time.
    pub fn end_source(&self, source: NodeId) {
        lock(&self.ended).push(source);
        self.changed();
    }

    /// Whether the input of `source` has ended.
    #[must_use]
    pub fn has_ended(&self, source: NodeId) -> bool {
        lock(&self.ended).contains(&source)
    }

    /// Grows with each change, so that a stage looks at the rest only when there is news.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Has `waker` called at each change.
    pub fn on_change(&self, waker: Waker) {
        lock(&self.wakers).push(waker);
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        for waker in &*lock(&self.wakers) {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The acknowledgement of one operator on one worker for one epoch, but for its keyed state,
/// which the state store acknowledges by itself.
pub struct OperatorAck {
    /// The epoch that ended.
    pub epoch: Epoch,
    /// The operator.
    pub operator: NodeId,
    /// The worker.
    pub worker: usize,
    /// Its watermark when it froze.
    pub watermark: EventTime,
    /// Its non-keyed state.
    pub bytes: Vec<u8>,
    /// A source's splits.
    pub splits: Vec<SplitState>,
    /// A sink's prepare, to be run off the worker's thread; its result completes this ack.
    pub deferred: Option<Deferred>,
    /// How long the barrier waited between its first and last input, in microseconds.
    pub alignment_us: u64,
}

/// Where stages report. Called on worker threads: must not block.
pub trait Reporter: Send + Sync {
    /// An operator has frozen. Every node but exchanges and unions reports once an epoch,
    /// stateless ones included: their watermark tells whether the end of the input has passed.
    fn frozen(&self, ack: OperatorAck);

    /// A split has been read to its end, in this epoch.
    fn split_finished(&self, source: NodeId, worker: usize, split: SplitId, epoch: Epoch);

    /// An operator has failed: the generation is over.
    fn failed(&self, failure: Failure);
}

/// What one worker's stages are built with.
pub struct WorkerEnv {
    /// The worker's index.
    pub worker: usize,
    /// How many workers there are.
    pub workers: usize,
    /// The job's id.
    pub job: String,
    /// The job's generation.
    pub generation: u64,
    /// The epoch that the generation starts in.
    pub first_epoch: Epoch,
    /// The job's key groups.
    pub groups: KeyGroups,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// Limits.
    pub settings: Settings,
    /// Things that operators ask for by type.
    pub resources: Resources,
    /// What operators left in the checkpoint that the job starts from, by operator name.
    pub restored: HashMap<String, Vec<RestoredPart>>,
    /// The coordinator's wishes.
    pub control: Arc<Control>,
    /// The coordinator's ear.
    pub reporter: Arc<dyn Reporter>,
    /// The event times of all sources, for idle ones to follow.
    pub board: Arc<WatermarkBoard>,
    /// Counters.
    pub stats: Arc<StatsRegistry>,
    /// Set by the worker's loop by what the state store has to hold.
    pub intake: Cell<Intake>,
}

/// Which stages of a worker take input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intake {
    /// All.
    #[default]
    Open,
    /// Those that have not ended this epoch yet. It ends by what they take, and only then can go
    /// what is held of those that are ahead of them: to stop all of them would be for good.
    UpTo(Epoch),
    /// None.
    Closed,
}

impl Intake {
    /// Whether a stage that is in `epoch` takes input.
    #[must_use]
    pub fn admits(self, epoch: Epoch) -> bool {
        match self {
            Self::Open => true,
            Self::UpTo(last) => epoch <= last,
            Self::Closed => false,
        }
    }
}
