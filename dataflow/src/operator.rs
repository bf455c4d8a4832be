//! The contract of an operator: what one instance of it on one worker is asked to do.
//!
//! Operators are driven by their stage (`lower::stage`), one call at a time. They see erased
//! batches and hand out erased batches; the typed shells are in `pelton-operators`. Keyed state is
//! reached through [`Resources`], which the runtime fills: this crate does not know it.

use std::any::{Any, TypeId};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::{OpError, OperatorError, Place};
use crate::key::KeyGroups;
use crate::rank::Rank;
use crate::record::{Batch, Data, Origin, Record};
use crate::settings::Settings;
use crate::source::SourceTime;
use crate::time::{Epoch, EventTime};
use crate::watermarks::WatermarkBoard;

/// Whether an operator is through with what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It is.
    Done,
    /// It stopped because its output is full, and must be `resume`d.
    More,
    /// The same, and no barrier may fall before it has been: what it has begun belongs together.
    MoreOfOne,
}

/// One instance of an operator on one worker.
///
/// After a call that returned [`Flow::More`] the next call is `resume`, `freeze` (a barrier may
/// fall between slices) or `place`. An operator that emits more than it takes must stop when
/// [`Outputs::is_full`], and take what it has emitted out of its state, so that a freeze between
/// slices neither loses nor repeats it.
pub trait Operator {
    /// Takes a batch of input `port`.
    ///
    /// # Errors
    /// What user code returned, with the place; the job fails.
    fn on_batch(&mut self, port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError>;

    /// Takes a batch that others take as well. Whoever only looks at records need not have them copied, and says
    /// so by [`OperatorFactory::only_looks`].
    ///
    /// # Errors
    /// As `on_batch`.
    fn on_shared(&mut self, port: usize, batch: &Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.on_batch(port, batch.clone(), out)
    }

    /// Goes on after [`Flow::More`].
    ///
    /// # Errors
    /// As `on_batch`.
    fn resume(&mut self, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        Ok(Flow::Done)
    }

    /// Event time has reached `watermark`: no record earlier than it will come that is not late.
    ///
    /// # Errors
    /// As `on_batch`.
    fn on_watermark(&mut self, _watermark: EventTime, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        Ok(Flow::Done)
    }

    /// Processing time has reached the time that [`Operator::next_wakeup_ms`] asked for.
    ///
    /// # Errors
    /// As `on_batch`.
    fn on_processing_time(&mut self, _now_ms: i64, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        Ok(Flow::Done)
    }

    /// When it wants `on_processing_time` next, in milliseconds of the clock.
    fn next_wakeup_ms(&self) -> Option<i64> {
        None
    }

    /// The least event time of what it has taken and not finished: a record that waits for an answer from
    /// outside. The watermark of its stage does not pass it, so what is finished later is not late by
    /// that. Asked of operators that begin their stage ([`OperatorFactory::begins_stage`]); it may only
    /// become less by a batch that comes in.
    fn held(&self) -> Option<EventTime> {
        None
    }

    /// How far event time has come, of an operator that says so itself ([`OperatorFactory::makes_time`]);
    /// its input has been found empty at every look for `quiet_for`. Asked between batches, at most as often as
    /// a source publishes watermarks. At the end of its input the stage goes to the end of time unasked.
    fn event_time(&self, _quiet_for: Duration) -> SourceTime {
        SourceTime::Active(EventTime::MIN)
    }

    /// Whether it takes no batch now. Its stage pulls none then, and holds those up that send to it; barriers,
    /// timers and watermarks go on. It wakes its stage by [`OperatorContext::waker`] when that has changed. Asked of
    /// operators that begin their stage.
    fn is_full(&self) -> bool {
        false
    }

    /// Ends `epoch`: everything up to here belongs to it. Must not block and must not copy state;
    /// what takes time goes into [`Frozen::deferred`].
    ///
    /// # Errors
    /// As `on_batch`.
    fn freeze(&mut self, _epoch: Epoch) -> Result<Frozen, OperatorError> {
        Ok(Frozen::default())
    }

    /// The record at hand, for the message of a panic.
    fn place(&self) -> Place {
        Place::default()
    }
}

/// A part of a freeze that runs off the worker's thread: a sink's prepare. Yields the committable.
pub type Deferred = Box<dyn FnOnce() -> Result<Option<Vec<u8>>, OpError> + Send>;

/// What an operator leaves in a checkpoint besides keyed state.
#[derive(Default)]
pub struct Frozen {
    /// Its non-keyed state, in a format of its own; given back as [`RestoredPart::bytes`].
    pub bytes: Vec<u8>,
    /// A sink's prepare.
    pub deferred: Option<Deferred>,
}

/// What one old instance of an operator left in the checkpoint that a job starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredPart {
    /// The key groups that the instance owned.
    pub groups: Range<u16>,
    /// The watermark that the operator's stage reported at the freeze: no less than any instance before it had
    /// reached, but for the end, which each sees itself. It is for people, and for the end of the input; an operator that has to know what was late keeps
    /// what it was told in its bytes.
    pub watermark: EventTime,
    /// [`Frozen::bytes`].
    pub bytes: Vec<u8>,
}

/// Wakes a worker and has it run one stage; for threads that bring data or news.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`, from any thread, as often as needed.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A waker that does nothing.
    #[must_use]
    pub fn noop() -> Self {
        Self::new(|| ())
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}

/// Things that the runtime hands to operators by type, per worker: the keyed state store.
#[derive(Default)]
pub struct Resources(HashMap<TypeId, Box<dyn Any>>);

impl Resources {
    /// Adds `resource`, replacing one of the same type.
    pub fn insert<R: Any>(&mut self, resource: R) {
        self.0.insert(TypeId::of::<R>(), Box::new(resource));
    }

    /// The resource of type `R`.
    #[must_use]
    pub fn get<R: Any>(&self) -> Option<&R> {
        self.0.get(&TypeId::of::<R>()).and_then(|found| found.downcast_ref())
    }
}

/// What an operator instance is built with.
pub struct OperatorContext<'a> {
    /// The operator's name.
    pub name: &'a str,
    /// This worker's index.
    pub worker: usize,
    /// How many workers the job has.
    pub workers: usize,
    /// The job's key groups.
    pub groups: KeyGroups,
    /// The job's id.
    pub job: &'a str,
    /// The generation of the job: grows with each start and each recovery.
    pub generation: u64,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// Limits.
    pub settings: &'a Settings,
    /// Things by type.
    pub resources: &'a Resources,
    /// What old instances left; empty on a fresh start.
    pub restored: &'a [RestoredPart],
    /// Wakes this operator's stage.
    pub waker: Waker,
    /// The event times of all sources.
    pub board: &'a Arc<WatermarkBoard>,
    /// Its records have ranks, for an operator further down that puts them in order.
    pub is_ranked: bool,
    /// It is shown its records in event order.
    pub in_event_order: bool,
}

/// Builds one instance of an operator per worker.
pub trait OperatorFactory: Send + Sync {
    /// Builds the instance for `cx.worker`.
    ///
    /// # Errors
    /// Anything that keeps it from running, such as state that cannot be read.
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError>;

    /// Whether the operator is the first of its stage though it has one input: what [`Operator::held`] and
    /// [`Operator::is_full`] say of it holds nothing up but what comes through it.
    fn begins_stage(&self) -> bool {
        self.makes_time()
    }

    /// Whether the operator says itself how far event time has come ([`Operator::event_time`]): the watermarks
    /// of its input end here, but for the end of time. Such an operator begins its stage.
    fn makes_time(&self) -> bool {
        false
    }

    /// Whether [`Operator::on_shared`] leaves the records where they are. Of those that take the same batch,
    /// these are shown it first: the last of the others then gets it without a copy.
    fn only_looks(&self) -> bool {
        false
    }
}

impl<F: Fn(&OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> + Send + Sync> OperatorFactory for F {
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        self(cx)
    }
}

/// Where an operator puts its output: a queue of batches for each of its output ports.
///
/// The stage moves them on between calls.
#[derive(Default)]
pub struct Outputs {
    ports: Vec<VecDeque<Batch>>,
    waiting: usize,
    limit: usize,
}

impl Outputs {
    /// Outputs of `ports` ports that are full once `limit` batches wait.
    #[must_use]
    pub fn new(ports: usize, limit: usize) -> Self {
        Self { ports: (0..ports).map(|_| VecDeque::new()).collect(), waiting: 0, limit }
    }

    /// Hands `records` to `port`; empty ones are dropped.
    #[inline]
    pub fn send<T: Data>(&mut self, port: usize, records: Vec<Record<T>>, origin: Origin) {
        if !records.is_empty() {
            self.forward(port, Batch::new(records, origin));
        }
    }

    /// As [`Outputs::send`], with a rank for each record where they have some.
    #[inline]
    pub fn send_ranked<T: Data>(
        &mut self,
        port: usize,
        records: Vec<Record<T>>,
        origin: Origin,
        ranks: Option<Vec<Rank>>,
    ) {
        if !records.is_empty() {
            self.forward(port, Batch::new(records, origin).ranked(ranks));
        }
    }

    /// Hands an erased batch to `port`.
    #[inline]
    pub fn forward(&mut self, port: usize, batch: Batch) {
        self.ports[port].push_back(batch);
        self.waiting += 1;
    }

    /// Whether enough waits that an operator in the middle of amplifying has to stop.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting >= self.limit
    }

    /// The number of ports.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// The oldest batch that waits at `port`.
    pub fn take(&mut self, port: usize) -> Option<Batch> {
        let batch = self.ports[port].pop_front();
        self.waiting -= usize::from(batch.is_some());
        batch
    }
}
