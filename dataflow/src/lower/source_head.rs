//! The head of a stage that reads splits: polls, publishes watermarks, ends epochs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::stage::Core;
use super::tree::{Turn, guarded};
use crate::clock::monotonic_ns;
use crate::error::{Cause, Failure, Malformed, OpError, Place, panic_message};
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
    /// When it last said what event time it is, in monotonic nanoseconds.
    published_ns: Option<u64>,
    /// Something was read since.
    has_news: bool,
}

impl SourceHead {
    /// The head of the source `node`.
    pub fn new(node: NodeId, name: String, source: Box<dyn SourceOperator>, first_epoch: Epoch) -> Self {
        Self {
            node,
            name,
            source,
            seen: None,
            target: first_epoch,
            has_ended: false,
            published_ns: None,
            has_news: false,
        }
    }

    /// One turn of the stage.
    pub fn turn(&mut self, core: &mut Core, deadline_ns: u64) -> Result<Turn, Failure> {
        self.read_control(core)?;
        let mut timers_are_due = true;
        loop {
            let barrier = self.target > core.epoch;
            let turn = core.work(deadline_ns, barrier)?;
            if barrier && core.can_end_epoch() {
                let (splits, memory) =
                    self.call(core, |source, _| Ok((source.snapshot(), source.memory()?)))?;
                core.end_epoch(Some((self.node, splits, memory)), 0)?;
                continue;
            }
            if turn == Turn::Yield {
                return Ok(Turn::Yield);
            }
            if turn == Turn::Blocked || !core.finish_watermark() || barrier {
                return Ok(Turn::Blocked);
            }
            let timers = std::mem::take(&mut timers_are_due) && core.begin_processing_time();
            // Without news the next poll comes first: a source that was idle follows nobody past
            // the records that have woken it.
            if timers || (self.has_news && self.is_watermark_due(core) && self.publish(core)?) {
                continue;
            }
            if core.is_paused() || core.env.control.is_held() {
                // What has been read waits for nothing that is not.
                return Ok(if core.flush() { Turn::Idle } else { Turn::Blocked });
            }
            match self.poll(core)? {
                // Not every poll gives the tree something to do, and so a look at the clock.
                Polled::Ready if monotonic_ns() >= deadline_ns => return Ok(Turn::Yield),
                Polled::Ready => {}
                pending => return self.rest(core, pending, deadline_ns),
            }
        }
    }

    /// Looks at the coordinator's wishes, if there are new ones.
    fn read_control(&mut self, core: &mut Core) -> Result<(), Failure> {
        let env = core.env.clone();
        let control = &env.control;
        let version = control.version();
        if self.seen == Some(version) {
            return Ok(());
        }
        self.seen = Some(version);
        if control.has_ended(self.node) && !self.has_ended {
            self.has_ended = true;
            self.published_ns = None;
        }
        for split in control.take_assigned(self.node, env.worker) {
            self.call(core, |source, _| source.assign(split))?;
        }
        self.target = control.epoch();
        Ok(())
    }

    fn poll(&mut self, core: &mut Core) -> Result<Polled, Failure> {
        let max_records = core.env.settings.batch_records;
        let polled = self.call(core, |source, core| source.poll(max_records, core.tree.root_outputs()))?;
        self.has_news |= polled == Polled::Ready || core.tree.root_outputs().is_full();
        core.tree.route_root();
        if let Some(stats) = core.tree.root_stats() {
            stats.held_splits.store(self.source.held_splits() as u64, Ordering::Relaxed);
        }
        for split in self.call(core, |source, _| Ok(source.take_finished()))? {
            core.env.reporter.split_finished(self.node, core.env.worker, split, core.epoch);
        }
        Ok(polled)
    }

    /// Nothing more to read now: what was read goes out at once.
    fn rest(&mut self, core: &mut Core, polled: Polled, deadline_ns: u64) -> Result<Turn, Failure> {
        let poll_interval = Duration::from_micros(core.env.settings.poll_interval_us);
        let watermark_interval = Duration::from_millis(core.env.settings.watermark_interval_ms);
        if polled == Polled::PendingUnannounced {
            core.wake_after(poll_interval);
        }
        // What was read last has its event time said when that is due. Splits may become idle,
        // and an idle source follows others.
        let check = if self.has_news { watermark_interval } else { watermark_interval.max(IDLE_CHECK) };
        core.wake_after(check);
        let turn = core.work(deadline_ns, false)?;
        if turn != Turn::Idle {
            return Ok(turn);
        }
        if !core.flush() {
            return Ok(Turn::Blocked);
        }
        if self.is_watermark_due(core) && self.publish(core)? {
            return Ok(Turn::Yield);
        }
        Ok(Turn::Idle)
    }

    fn is_watermark_due(&self, core: &Core) -> bool {
        let interval_ns = core.env.settings.watermark_interval_ms.saturating_mul(1_000_000);
        self.published_ns.is_none_or(|published| monotonic_ns().saturating_sub(published) >= interval_ns)
    }

    /// Says what event time it is here; whether a new watermark is on its way.
    fn publish(&mut self, core: &mut Core) -> Result<bool, Failure> {
        self.published_ns = Some(monotonic_ns());
        self.has_news = false;
        let time = if self.has_ended {
            SourceTime::Active(EventTime::END)
        } else {
            let now_us = core.env.clock.now_us();
            self.call(core, |source, _| Ok(source.event_time(now_us)))?
        };
        let watermark = core.env.board.say(self.node, core.env.worker, time);
        Ok(watermark.is_some_and(|watermark| core.begin_watermark(watermark)))
    }

    /// Calls the source, so that what it returns or panics with names it.
    fn call<R>(
        &mut self,
        core: &mut Core,
        call: impl FnOnce(&mut dyn SourceOperator, &mut Core) -> Result<R, OpError>,
    ) -> Result<R, Failure> {
        let worker = core.env.worker;
        let stats = core.tree.root_stats().cloned();
        let result = guarded(stats.as_deref(), monotonic_ns(), || call(self.source.as_mut(), core));
        let (cause, message) = match result {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) if error.is::<Malformed>() => (Cause::Malformed, error.to_string()),
            Ok(Err(error)) => (Cause::Error, error.to_string()),
            Err(payload) => (Cause::Panic, panic_message(payload.as_ref())),
        };
        Err(Failure { operator: self.name.clone(), worker, cause, place: Place::default(), message })
    }
}

/// How often a source that waits for records looks whether its splits have become idle.
pub(super) const IDLE_CHECK: Duration = Duration::from_millis(20);
