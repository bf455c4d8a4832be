//! A stage at work: one timely operator that holds one capability per outgoing channel, at the
//! meet of what it has been told.
//!
//! What both kinds of stage share is here: capabilities, flushing, publishing a watermark,
//! freezing an epoch. Where batches come from is in `inputs` and `source_head`.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

use super::credit::CreditLine;
use super::parcel::Parcel;
use super::tree::{Pass, Tree, Turn, Wire};
use crate::clock::monotonic_ns;
use crate::env::{OperatorAck, WorkerEnv};
use crate::error::Failure;
use crate::graph::NodeId;
use crate::record::Batch;
use crate::source::SplitState;
use crate::time::{Epoch, EventTime, Moment};

/// The sending side of one outgoing channel.
pub struct OutChannel {
    /// The timely output.
    pub output: Output<Moment, Parcel>,
    /// The capability that everything is sent under.
    pub capability: Capability<Moment>,
    /// Credits of the receivers.
    pub credits: CreditLine,
}

/// All outgoing channels of a stage.
pub struct Wires {
    channels: Vec<OutChannel>,
    worker: usize,
}

impl Wires {
    /// The channels of a stage of `worker`, in the order of its leaves.
    pub fn new(channels: Vec<OutChannel>, worker: usize) -> Self {
        Self { channels, worker }
    }

    fn collect_credits(&mut self) {
        for channel in &mut self.channels {
            channel.credits.collect();
        }
    }

    fn downgrade(&mut self, moment: Moment) {
        for channel in &mut self.channels {
            if *channel.capability.time() != moment {
                channel.capability.downgrade(&moment);
            }
        }
    }
}

impl Wire for Wires {
    fn try_send(&mut self, leaf: usize, to: usize, batch: Batch) -> Result<(), Batch> {
        let channel = &mut self.channels[leaf];
        if !channel.credits.try_spend(to) {
            return Err(batch);
        }
        let mut parcel = Parcel { from: self.worker, to, batch: Some(batch) };
        channel.output.activate().give(&channel.capability, &mut parcel);
        Ok(())
    }
}

/// What a stage has besides its head.
pub struct Core {
    /// The operators.
    pub tree: Tree,
    /// The outgoing channels.
    pub wires: Wires,
    /// The epoch that is being processed.
    pub epoch: Epoch,
    /// The watermark that has been published.
    pub watermark: EventTime,
    /// What was restored: the watermark is reported no lower, but for the end (see [`Core::reported`]).
    pub floor: EventTime,
    /// What all stages of the worker share.
    pub env: Rc<WorkerEnv>,
    /// Has the stage scheduled again.
    pub activator: Activator,
    publishing: Option<EventTime>,
    blocked_since: Option<u64>,
    /// The earliest wake-up that this turn asked for.
    wanted_ns: Option<u64>,
    /// The earliest wake-up that timely knows of.
    armed_ns: Option<u64>,
    is_over: bool,
}

impl Core {
    /// A stage that starts in the generation's first epoch and knows nothing of time.
    pub fn new(tree: Tree, wires: Wires, floor: EventTime, env: Rc<WorkerEnv>, activator: Activator) -> Self {
        Self {
            tree,
            wires,
            epoch: env.first_epoch,
            watermark: EventTime::MIN,
            floor,
            env,
            activator,
            publishing: None,
            blocked_since: None,
            wanted_ns: None,
            armed_ns: None,
            is_over: false,
        }
    }

    /// Runs one turn of the stage: `turn` does the work of its head.
    pub fn turn(&mut self, turn: impl FnOnce(&mut Self, u64) -> Result<Turn, Failure>) {
        if self.is_over || self.env.control.is_stopped() {
            return;
        }
        let started = monotonic_ns();
        if let (Some(since), Some(stats)) = (self.blocked_since.take(), self.tree.root_stats()) {
            stats.backpressured_ns.fetch_add(started.saturating_sub(since), Ordering::Relaxed);
        }
        if self.armed_ns.is_some_and(|at| at <= started) {
            self.armed_ns = None;
        }
        self.wires.collect_credits();
        let slice_ns = self.env.settings.slice_us.saturating_mul(1_000);
        let deadline_ns = started.saturating_add(slice_ns);
        match turn(self, deadline_ns) {
            Ok(Turn::Idle) => self.wake_for_timers(),
            Ok(Turn::Blocked) => {
                self.blocked_since = Some(monotonic_ns());
                if let Some(left) = self.flush_lingering() {
                    self.wake_after(left);
                }
            }
            Ok(Turn::Yield) => {
                self.flush_lingering();
                self.activator.activate();
            }
            Err(failure) => {
                self.is_over = true;
                self.env.reporter.failed(failure);
                return;
            }
        }
        self.arm();
    }

    /// Timers need to wake a stage only when nothing else will.
    fn wake_for_timers(&mut self) {
        if let Some(at_ms) = self.tree.next_wakeup_ms() {
            let wait_ms = at_ms.saturating_sub(self.env.clock.now_ms()).clamp(1, MAX_WAIT_MS);
            self.wake_after(Duration::from_millis(wait_ms.unsigned_abs()));
        }
    }

    /// Has the stage scheduled within `delay`.
    pub fn wake_after(&mut self, delay: Duration) {
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let at = monotonic_ns().saturating_add(delay_ns);
        self.wanted_ns = Some(self.wanted_ns.map_or(at, |wanted| wanted.min(at)));
    }

    /// Arms one timer a turn at most, and none while an earlier one is running: timely's timers
    /// cannot be called back and would pile up.
    fn arm(&mut self) {
        let Some(at) = self.wanted_ns.take() else { return };
        if self.armed_ns.is_none_or(|armed| at < armed) {
            self.armed_ns = Some(at);
            self.activator.activate_after(Duration::from_nanos(at.saturating_sub(monotonic_ns())));
        }
    }

    /// Whether the stage shall take no input now. If so it looks again soon: nobody tells it.
    pub fn is_paused(&mut self) -> bool {
        let paused = !self.env.intake.get().admits(self.epoch);
        if paused {
            self.wake_after(PAUSE_POLL);
        }
        paused
    }

    /// Works on what is in the tree.
    pub fn work(&mut self, deadline_ns: u64, hold_passes: bool) -> Result<Turn, Failure> {
        self.tree.work(&mut self.wires, deadline_ns, hold_passes)
    }

    /// Begins to publish `watermark`, or as much of it as what the root holds allows, if it is news; the
    /// tree must be clear. Whether it did.
    pub fn begin_watermark(&mut self, watermark: EventTime) -> bool {
        if watermark <= self.watermark || self.publishing.is_some() {
            return false;
        }
        let watermark = self.tree.held().map_or(watermark, |held| held.min(watermark));
        if watermark <= self.watermark {
            return false;
        }
        self.publishing = Some(watermark);
        self.tree.begin(Pass::Watermark(watermark));
        true
    }

    /// Ends the publishing of a watermark whose pass is done: what it emitted is sent, then the
    /// capabilities follow. Whether nothing is left to publish.
    pub fn finish_watermark(&mut self) -> bool {
        let Some(watermark) = self.publishing else { return true };
        if self.tree.in_pass() || !self.flush() {
            return false;
        }
        debug_assert!(
            self.tree.held().is_none_or(|held| held >= watermark),
            "{watermark} is published while something at {:?} is held",
            self.tree.held()
        );
        self.publishing = None;
        self.watermark = watermark;
        self.wires.downgrade(Moment::new(self.epoch, watermark));
        self.tree.note_watermark(watermark);
        true
    }

    /// Begins a pass of processing time if an operator's time has come. Whether it did.
    pub fn begin_processing_time(&mut self) -> bool {
        let Some(at_ms) = self.tree.next_wakeup_ms() else { return false };
        let now_ms = self.env.clock.now_ms();
        if at_ms > now_ms {
            return false;
        }
        self.tree.begin(Pass::ProcessingTime(now_ms));
        true
    }

    /// Sends all that is buffered; whether nothing waits for credit.
    pub fn flush(&mut self) -> bool {
        self.tree.flush(&mut self.wires)
    }

    /// How much longer buffered records may wait for their batches to fill while the worker is
    /// busy; `None` if there are none.
    pub fn linger_left(&self) -> Option<Duration> {
        let waited_ns = monotonic_ns().saturating_sub(self.tree.buffered_since()?);
        let linger = Duration::from_micros(self.env.settings.batch_linger_us);
        Some(linger.saturating_sub(Duration::from_nanos(waited_ns)))
    }

    /// Sends buffered records that have waited long enough, also while others wait for credit.
    /// How much longer those that are left may wait.
    fn flush_lingering(&mut self) -> Option<Duration> {
        let left = self.linger_left()?;
        if left.is_zero() {
            self.flush();
            return None;
        }
        Some(left)
    }

    /// Sends what is buffered; whether all of the epoch is sent, so that it can end.
    pub fn can_end_epoch(&mut self) -> bool {
        self.flush() && self.tree.can_freeze()
    }

    /// The watermark that a checkpoint says this instance has seen: no less than the furthest of those that it was restored
    /// from. The end is its own to see: what others have left to it may still wait here.
    fn reported(&self) -> EventTime {
        match self.watermark {
            EventTime::END => EventTime::END,
            own => own.max(self.floor).min(EventTime::BEFORE_END),
        }
    }

    /// Ends the epoch, which must be possible: freezes the operators, reports, and moves the
    /// capabilities on under the old watermark.
    pub fn end_epoch(
        &mut self,
        source: Option<(NodeId, Vec<SplitState>, Vec<u8>)>,
        alignment_us: u64,
    ) -> Result<(), Failure> {
        let frozen = self.tree.freeze(self.epoch)?;
        let watermark = self.reported();
        let ack = |operator, bytes, splits, deferred| OperatorAck {
            epoch: self.epoch,
            operator,
            worker: self.env.worker,
            watermark,
            bytes,
            splits,
            deferred,
            alignment_us,
        };
        if let Some((node, splits, memory)) = source {
            self.env.reporter.frozen(ack(node, memory, splits, None));
        }
        for (node, frozen) in frozen {
            self.env.reporter.frozen(ack(node, frozen.bytes, Vec::new(), frozen.deferred));
        }
        self.epoch = self.epoch.next();
        self.wires.downgrade(Moment::new(self.epoch, self.watermark));
        Ok(())
    }
}

/// How often a stage that shall take no input looks whether it may again.
const PAUSE_POLL: Duration = Duration::from_millis(1);

/// The longest a stage sleeps before it looks at the clock again: a clock may be set, and a test's
/// clock moves by hand.
const MAX_WAIT_MS: i64 = 50;
