//! The head of a stage that reads splits: polls, publishes watermarks, ends epochs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::stage::Core;
use super::tree::{Turn, panic_message};
use crate::clock::monotonic_ns;
use crate::error::{Cause, Failure, OpError, Place};
use crate::graph::NodeId;
use crate::source::{Polled, SourceOperator, SourceTime};
use crate::time::{Epoch, EventTime};

/// A source at the root of its stage.
pub struct SourceHead {
    node: NodeId,
    name: String,
    source: Box<dyn SourceOperator>,
    /// The version of the coordinator's wishes that `target` and `has_ended` are of.
    seen: Option<u64>,
    target: Epoch,
    has_ended: bool,
    published_ns: u64,
}

impl SourceHead {
    /// The head of the source `node`.
    pub fn new(node: NodeId, name: String, source: Box<dyn SourceOperator>, first_epoch: Epoch) -> Self {
        Self { node, name, source, seen: None, target: first_epoch, has_ended: false, published_ns: 0 }
    }

    /// One turn of the stage.
    pub fn turn(&mut self, core: &mut Core, deadline_ns: u64) -> Result<Turn, Failure> {
        self.read_control(core)?;
        loop {
            let barrier = self.target > core.epoch;
            let turn = core.work(deadline_ns, barrier)?;
            if barrier && core.try_freeze(Some((self.node, self.source.snapshot())), 0)? {
                continue;
            }
            if turn == Turn::Yield {
                return Ok(Turn::Yield);
            }
            if turn == Turn::Blocked || !core.finish_watermark() || barrier {
                return Ok(Turn::Blocked);
            }
            if core.begin_processing_time() || (self.is_watermark_due(core) && self.publish(core)) {
                continue;
            }
            if core.env.paused.get() {
                core.wake_after(PAUSE_POLL);
                return Ok(Turn::Idle);
            }
            match self.poll(core)? {
                Polled::Ready if core.lingered() && !core.flush() => return Ok(Turn::Blocked),
                Polled::Ready => {}
                pending => return self.rest(core, pending, deadline_ns),
            }
        }
    }

    /// Looks at the coordinator's wishes, if there are new ones.
    fn read_control(&mut self, core: &Core) -> Result<(), Failure> {
        let control = &core.env.control;
        let version = control.version();
        if self.seen == Some(version) {
            return Ok(());
        }
        self.seen = Some(version);
        self.has_ended = control.has_ended(self.node);
        for split in control.take_assigned(self.node, core.env.worker) {
            self.call(core.env.worker, |source| source.assign(split))?;
        }
        self.target = control.epoch();
        Ok(())
    }

    fn poll(&mut self, core: &mut Core) -> Result<Polled, Failure> {
        let max_records = core.env.settings.batch_records;
        let out = core.tree.root_outputs();
        let polled = self.call(core.env.worker, |source| source.poll(max_records, out))?;
        core.tree.route_root();
        for split in self.source.take_finished() {
            core.env.reporter.split_finished(self.node, core.env.worker, split, core.epoch);
        }
        Ok(polled)
    }

    /// Nothing more to read now: what was read goes out at once.
    fn rest(&mut self, core: &mut Core, polled: Polled, deadline_ns: u64) -> Result<Turn, Failure> {
        let settings = &core.env.settings;
        let poll_interval = Duration::from_micros(settings.poll_interval_us);
        let watermark_interval = Duration::from_millis(settings.watermark_interval_ms);
        if polled == Polled::PendingUnannounced {
            core.wake_after(poll_interval);
        }
        // Splits may become idle, and an idle source follows others.
        core.wake_after(watermark_interval.max(IDLE_CHECK));
        let turn = core.work(deadline_ns, false)?;
        if turn != Turn::Idle {
            return Ok(turn);
        }
        if !core.flush() {
            return Ok(Turn::Blocked);
        }
        if self.is_watermark_due(core) && self.publish(core) {
            return Ok(Turn::Yield);
        }
        Ok(Turn::Idle)
    }

    fn is_watermark_due(&self, core: &Core) -> bool {
        monotonic_ns().saturating_sub(self.published_ns)
            >= core.env.settings.watermark_interval_ms * 1_000_000
    }

    /// Says what event time it is here; whether a new watermark is on its way.
    fn publish(&mut self, core: &mut Core) -> bool {
        self.published_ns = monotonic_ns();
        let time = if self.has_ended {
            SourceTime::Active(EventTime::END)
        } else {
            self.source.event_time(core.env.clock.now_us())
        };
        let watermark = core.env.board.say(self.node, core.env.worker, time);
        watermark.is_some_and(|watermark| core.begin_watermark(watermark))
    }

    /// Calls the source, so that what it returns or panics with names it.
    fn call<R>(
        &mut self,
        worker: usize,
        call: impl FnOnce(&mut dyn SourceOperator) -> Result<R, OpError>,
    ) -> Result<R, Failure> {
        let result = catch_unwind(AssertUnwindSafe(|| call(self.source.as_mut())));
        let (cause, message) = match result {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => (Cause::Error, error.to_string()),
            Err(payload) => (Cause::Panic, panic_message(payload.as_ref())),
        };
        Err(Failure { operator: self.name.clone(), worker, cause, place: Place::default(), message })
    }
}

/// How often a source that waits for records looks whether its splits have become idle.
const IDLE_CHECK: Duration = Duration::from_millis(20);

/// How often a stage whose worker takes no input looks whether it may again.
const PAUSE_POLL: Duration = Duration::from_millis(1);
