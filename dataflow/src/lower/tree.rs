//! The tree of a stage: runs its operators, deepest first, so that little is ever queued.
//!
//! Knows nothing of timely: batches leave through a [`Wire`]. Each operator is called under
//! `catch_unwind`, and what it returns or panics with becomes a [`Failure`] with its place.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::{Clock, monotonic_ns};
use crate::error::{Cause, Failure, OpError, OperatorError, Place, panic_message};
use crate::graph::NodeId;
use crate::lower::queued::Queued;
use crate::operator::{Flow, Frozen, Operator, Outputs};
use crate::partition::Partitioner;
use crate::record::{Batch, Origin};
use crate::source::SourceTime;
use crate::stats::OperatorStats;
use crate::time::{Epoch, EventTime};

/// Where batches leave a stage.
pub trait Wire {
    /// Sends `batch` on channel `leaf` to worker `to`, or gives it back if there is no credit.
    fn try_send(&mut self, leaf: usize, to: usize, batch: Batch) -> Result<(), Batch>;
}

/// What a slot does.
pub enum Work {
    /// Nothing: the stage's head puts batches into its outputs.
    Head,
    /// Runs an operator.
    Operator(Box<dyn Operator>),
    /// Sends on a channel.
    Leaf(LeafWork),
}

/// The sending end of a channel.
pub struct LeafWork {
    /// The channel's index among the stage's leaves.
    pub leaf: usize,
    /// Chooses receivers; `None` sends to this worker.
    pub partitioner: Option<Box<dyn Partitioner>>,
    /// Batches that wait for credit.
    pub ready: Vec<(usize, Batch)>,
}

/// What an operator has left to do after `Flow::More`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The rest of a batch: belongs to the epoch of the batch.
    OfBatch,
    /// More of what a watermark or a timer set off: a barrier may fall before it.
    OfTime,
    /// The same, and no barrier may fall before it.
    OfOneTime,
}

impl Rest {
    /// Whether a barrier may fall before it.
    fn may_be_cut(self) -> bool {
        matches!(self, Self::Nothing | Self::OfTime)
    }
}

/// One place of the tree, running.
pub struct RunningSlot {
    node: Option<NodeId>,
    name: String,
    work: Work,
    queue: VecDeque<(usize, Queued)>,
    rest: Rest,
    /// A step of event time that is being taken, to be told to its consumers then.
    step: Option<EventTime>,
    at_hand: Origin,
    out: Outputs,
    routes: Vec<Vec<usize>>,
    stats: Option<Arc<OperatorStats>>,
    in_event_order: bool,
}

impl RunningSlot {
    /// A slot that does `work` and hands its outputs to the slots in `routes`.
    pub fn new(
        node: Option<NodeId>,
        name: String,
        work: Work,
        routes: Vec<Vec<usize>>,
        stats: Option<Arc<OperatorStats>>,
    ) -> Self {
        // One waiting batch is enough to stop an operator that amplifies.
        let out = Outputs::new(routes.len(), 1);
        Self {
            node,
            name,
            work,
            queue: VecDeque::new(),
            rest: Rest::Nothing,
            step: None,
            at_hand: Origin::default(),
            out,
            routes,
            stats,
            in_event_order: false,
        }
    }

    /// The same, of an operator that is shown its records in event order or not.
    pub fn in_event_order(self, in_event_order: bool) -> Self {
        Self { in_event_order, ..self }
    }

    /// What is wrong with an operator in event order, if it goes by the clock.
    fn clock_in_event_order(&self) -> Option<OperatorError> {
        let Work::Operator(operator) = &self.work else { return None };
        let goes_by_clock = self.in_event_order && operator.next_wakeup_ms().is_some();
        let problem = "it is shown its records in event order, and waits for the clock, which is at another \
                       place in that order in each run: let it go by event time, or leave the order out";
        goes_by_clock.then(|| OperatorError::from(OpError::from(problem)))
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.rest != Rest::Nothing
    }

    fn is_clear(&self) -> bool {
        !self.has_work() && self.is_leaf_clear()
    }

    fn is_leaf_clear(&self) -> bool {
        !matches!(&self.work, Work::Leaf(leaf) if !leaf.ready.is_empty())
    }
}

/// A visit of all operators, parents first, each when its parents' output has been processed.
#[derive(Clone, Copy, Debug)]
pub enum Pass {
    /// Event time has reached this.
    Watermark(EventTime),
    /// Processing time has reached this, in milliseconds.
    ProcessingTime(i64),
}

/// How a turn of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is nothing left to do.
    Idle,
    /// What is left waits for credit.
    Blocked,
    /// Time is up.
    Yield,
}

/// The running tree of a stage.
pub struct Tree {
    slots: Vec<RunningSlot>,
    worker: usize,
    clock: Arc<dyn Clock>,
    /// How many slots have work.
    busy: usize,
    /// No slot above this index has work that can be done now.
    top: usize,
    pass: Option<(Pass, usize)>,
    full: Vec<(usize, Batch)>,
    /// Since when records wait in a partitioner's buffers, in monotonic nanoseconds.
    buffered_since: Option<u64>,
    /// When the clock was last looked at, in monotonic nanoseconds.
    now_ns: u64,
}

impl Tree {
    /// A tree of `slots`, parents before children.
    pub fn new(slots: Vec<RunningSlot>, worker: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            slots,
            worker,
            clock,
            busy: 0,
            top: 0,
            pass: None,
            full: Vec::new(),
            buffered_since: None,
            now_ns: 0,
        }
    }

    /// The root's outputs, for a source to fill; follow with [`Tree::route_root`].
    pub fn root_outputs(&mut self) -> &mut Outputs {
        &mut self.slots[0].out
    }

    /// The root's counters.
    pub fn root_stats(&self) -> Option<&Arc<OperatorStats>> {
        self.slots[0].stats.as_ref()
    }

    /// Moves on what a source has put into the root's outputs.
    pub fn route_root(&mut self) {
        self.route(0);
    }

    /// Gives the root a batch of its input `port`.
    pub fn offer(&mut self, port: usize, batch: Batch) {
        if let Work::Head = self.slots[0].work {
            self.slots[0].out.forward(0, batch);
            self.route(0);
        } else {
            self.hand(0, (port, Queued::Own(batch)));
        }
    }

    /// Begins a pass. The tree must be idle.
    pub fn begin(&mut self, pass: Pass) {
        debug_assert!(self.pass.is_none(), "a pass began while {:?} was under way", self.pass);
        self.pass = Some((pass, 0));
    }

    /// Whether a pass is under way.
    pub fn in_pass(&self) -> bool {
        self.pass.is_some()
    }

    /// Works until there is nothing left, credit is missing or `deadline_ns` has passed. With
    /// `hold_passes`, what a pass has left to do stays for later: a barrier is waiting.
    pub fn work(
        &mut self,
        wire: &mut dyn Wire,
        deadline_ns: u64,
        hold_passes: bool,
    ) -> Result<Turn, Failure> {
        self.top = self.slots.len() - 1;
        for index in 0..self.slots.len() {
            self.drain_leaf(index, wire);
        }
        self.now_ns = monotonic_ns();
        loop {
            let index = match self.next_runnable(hold_passes) {
                Some(index) => {
                    self.run(index, wire)?;
                    index
                }
                None if hold_passes => break,
                None => match self.step_pass()? {
                    Some(index) => index,
                    None => break,
                },
            };
            let ended = monotonic_ns();
            if let Some(stats) = &self.slots[index].stats {
                stats.busy_ns.fetch_add(ended - self.now_ns, Ordering::Relaxed);
            }
            self.now_ns = ended;
            // Looked at after each step, never before the first: a turn that comes late still
            // gets something done.
            if ended >= deadline_ns {
                return Ok(Turn::Yield);
            }
        }
        let sent = self.slots.iter().all(RunningSlot::is_leaf_clear);
        let idle = self.busy == 0 && sent && self.pass.is_none();
        Ok(if idle { Turn::Idle } else { Turn::Blocked })
    }

    /// Empties the partitioners' buffers; whether everything could be sent.
    pub fn flush(&mut self, wire: &mut dyn Wire) -> bool {
        let mut sent = true;
        for index in 0..self.slots.len() {
            if let Work::Leaf(leaf) = &mut self.slots[index].work {
                if let Some(partitioner) = &mut leaf.partitioner {
                    partitioner.flush(&mut leaf.ready);
                }
                sent &= self.drain_leaf(index, wire);
            }
        }
        self.buffered_since = None;
        sent
    }

    /// Since when records wait in buffers, in monotonic nanoseconds.
    pub fn buffered_since(&self) -> Option<u64> {
        self.buffered_since
    }

    /// Whether the batches given to the root are processed and what came of them is sent or in a
    /// partitioner's buffer.
    pub fn is_settled(&self) -> bool {
        self.slots.iter().all(|slot| slot.queue.is_empty() && slot.rest.may_be_cut() && slot.is_leaf_clear())
    }

    /// Whether a barrier may fall here: nothing of the old epoch is left in the tree. What a pass
    /// has yet to emit may be, since it leaves the state only as it is emitted.
    pub fn can_freeze(&self) -> bool {
        self.is_settled()
            && self.slots.iter().all(|slot| match &slot.work {
                Work::Leaf(leaf) => {
                    leaf.partitioner.as_ref().is_none_or(|partitioner| partitioner.is_empty())
                }
                _ => true,
            })
    }

    /// Freezes all operators, in tree order.
    pub fn freeze(&mut self, epoch: Epoch) -> Result<Vec<(NodeId, Frozen)>, Failure> {
        let mut frozen = Vec::new();
        self.now_ns = monotonic_ns();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if let (Work::Operator(operator), Some(node)) = (&mut slot.work, slot.node) {
                slot.at_hand = Origin::default();
                let result = guarded(slot.stats.as_deref(), self.now_ns, || operator.freeze(epoch));
                frozen.push((node, self.checked(index, result)?));
            }
        }
        Ok(frozen)
    }

    /// When an operator next wants processing time, in milliseconds of the clock.
    pub fn next_wakeup_ms(&self) -> Option<i64> {
        let wakeups = self.slots.iter().filter_map(|slot| match &slot.work {
            Work::Operator(operator) => operator.next_wakeup_ms(),
            _ => None,
        });
        wakeups.min()
    }

    /// The least event time of what the root has taken and not finished.
    pub fn held(&self) -> Option<EventTime> {
        match &self.slots[0].work {
            Work::Operator(operator) => operator.held(),
            _ => None,
        }
    }

    /// How far event time has come, by a root that makes it.
    pub fn event_time(&self, quiet_for: Duration) -> SourceTime {
        match &self.slots[0].work {
            Work::Operator(operator) => operator.event_time(quiet_for),
            _ => SourceTime::Active(EventTime::MIN),
        }
    }

    /// Whether the root takes no batch now.
    pub fn is_full(&self) -> bool {
        matches!(&self.slots[0].work, Work::Operator(operator) if operator.is_full())
    }

    /// Notes the stage's watermark in the counters.
    pub fn note_watermark(&self, watermark: EventTime) {
        for stats in self.slots.iter().filter_map(|slot| slot.stats.as_ref()) {
            stats.watermark_ms.store(watermark.0, Ordering::Relaxed);
        }
    }

    /// The deepest slot that has work and whose consumers have none.
    fn next_runnable(&mut self, hold_passes: bool) -> Option<usize> {
        if self.busy == 0 {
            return None;
        }
        loop {
            let slot = &self.slots[self.top];
            let held = hold_passes && slot.rest == Rest::OfTime;
            if slot.has_work() && !held && self.is_open(self.top) {
                return Some(self.top);
            }
            self.top = self.top.checked_sub(1).or_else(|| {
                self.top = 0;
                None
            })?;
        }
    }

    fn is_open(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        slot.is_leaf_clear() && slot.routes.iter().flatten().all(|&child| self.slots[child].is_clear())
    }

    fn run(&mut self, index: usize, wire: &mut dyn Wire) -> Result<(), Failure> {
        match self.slots[index].work {
            Work::Operator(_) => self.run_operator(index),
            Work::Leaf(_) => self.run_leaf(index, wire),
            Work::Head => unreachable!("a head's batches are routed as they come"),
        }
    }

    fn run_operator(&mut self, index: usize) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        let Work::Operator(operator) = &mut slot.work else { unreachable!("checked by `run`") };
        let next = if slot.rest == Rest::Nothing { slot.queue.pop_front() } else { None };
        let rest = if next.is_some() { Rest::OfBatch } else { slot.rest };
        if let Some(batch) = next.as_ref().map(|(_, queued)| queued.batch()) {
            slot.at_hand.clone_from(&batch.origin);
            if let Some(stats) = &slot.stats {
                stats.records_in.fetch_add(batch.len() as u64, Ordering::Relaxed);
                stats.arrived(&batch.origin, batch.len(), &*self.clock);
            }
        }
        let out = &mut slot.out;
        let step = next.as_ref().and_then(|(_, queued)| queued.batch().step_time());
        slot.step = slot.step.or(step);
        let result = guarded(slot.stats.as_deref(), self.now_ns, || match (next, step) {
            (_, Some(at)) => operator.on_watermark(at, out),
            (Some((port, queued)), None) => match queued.take() {
                Ok(batch) => operator.on_batch(port, batch, out),
                Err(shared) => operator.on_shared(port, &shared, out),
            },
            (None, None) => operator.resume(out),
        });
        let flow = self.checked(index, result)?;
        if let Some(error) = self.slots[index].clock_in_event_order() {
            self.checked(index, Ok(Err::<(), _>(error)))?;
        }
        self.busy -= 1;
        self.after(index, flow, rest);
        Ok(())
    }

    /// Takes the pass one slot further; the slot, if there was one to go to.
    fn step_pass(&mut self) -> Result<Option<usize>, Failure> {
        let Some((pass, index)) = self.pass else { return Ok(None) };
        if index == self.slots.len() {
            self.pass = None;
            return Ok(None);
        }
        // What came of the pass so far has to be processed before it goes on.
        if self.busy > 0 || !self.is_open(index) {
            return Ok(None);
        }
        self.pass = Some((pass, index + 1));
        let slot = &mut self.slots[index];
        slot.at_hand = Origin::default();
        if let Work::Operator(operator) = &mut slot.work {
            let out = &mut slot.out;
            let result = guarded(slot.stats.as_deref(), self.now_ns, || match pass {
                Pass::Watermark(watermark) => operator.on_watermark(watermark, out),
                Pass::ProcessingTime(now_ms) => operator.on_processing_time(now_ms, out),
            });
            let flow = self.checked(index, result)?;
            self.after(index, flow, Rest::OfTime);
        }
        Ok(Some(index))
    }

    /// Notes how a call of a slot's operator ended; the slot is not counted as busy.
    fn after(&mut self, index: usize, flow: Flow, rest: Rest) {
        self.slots[index].rest = match (flow, rest) {
            (Flow::Done, _) => Rest::Nothing,
            (Flow::More, Rest::OfOneTime) => Rest::OfTime,
            (Flow::MoreOfOne, Rest::OfTime) => Rest::OfOneTime,
            (Flow::More | Flow::MoreOfOne, rest) => rest,
        };
        self.busy += usize::from(self.slots[index].has_work());
        self.top = self.top.max(index);
        self.route(index);
        if self.slots[index].rest == Rest::Nothing
            && let Some(at) = self.slots[index].step.take()
        {
            for port in 0..self.slots[index].routes.len() {
                self.hand_on(index, port, Batch::step(at));
            }
        }
    }

    /// Moves a slot's outputs into the queues of their consumers.
    fn route(&mut self, index: usize) {
        for port in 0..self.slots[index].routes.len() {
            while let Some(batch) = self.slots[index].out.take(port) {
                if let Some(stats) = &self.slots[index].stats {
                    stats.gave(port, batch.len());
                }
                self.hand_on(index, port, batch);
            }
        }
    }

    /// Hands a batch to all consumers of a slot's output.
    fn hand_on(&mut self, index: usize, port: usize, batch: Batch) {
        let consumers = self.slots[index].routes[port].len();
        let is_step = batch.step_time().is_some();
        // Between stages event time is the frontier's.
        let stays = |tree: &Self, child: usize| is_step && matches!(tree.slots[child].work, Work::Leaf(_));
        if let [child] = self.slots[index].routes[port][..] {
            if !stays(self, child) {
                self.hand(child, (0, Queued::Own(batch)));
            }
            return;
        }
        let shared = Rc::new(batch);
        for consumer in 0..consumers {
            let child = self.slots[index].routes[port][consumer];
            if !stays(self, child) {
                self.hand(child, (0, Queued::Shared(shared.clone())));
            }
        }
    }

    fn hand(&mut self, index: usize, batch: (usize, Queued)) {
        let slot = &mut self.slots[index];
        self.busy += usize::from(!slot.has_work());
        slot.queue.push_back(batch);
        self.top = self.top.max(index);
    }

    fn run_leaf(&mut self, index: usize, wire: &mut dyn Wire) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        let Work::Leaf(leaf) = &mut slot.work else { unreachable!("checked by `run`") };
        let Some((_, queued)) = slot.queue.pop_front() else { return Ok(()) };
        let batch = queued.take().unwrap_or_else(|shared| Batch::clone(&shared));
        self.busy -= usize::from(slot.queue.is_empty());
        match &mut leaf.partitioner {
            Some(partitioner) => {
                slot.at_hand.clone_from(&batch.origin);
                let full = &mut self.full;
                let result = catch_unwind(AssertUnwindSafe(|| partitioner.partition(batch, full)));
                let buffered = !partitioner.is_empty();
                leaf.ready.append(&mut self.full);
                if buffered && self.buffered_since.is_none() {
                    self.buffered_since = Some(monotonic_ns());
                }
                self.checked(index, result.map(|result| result.map_err(OperatorError::from)))?;
            }
            None => leaf.ready.push((self.worker, batch)),
        }
        self.drain_leaf(index, wire);
        Ok(())
    }

    /// Sends what waits at a leaf; whether nothing waits any more.
    fn drain_leaf(&mut self, index: usize, wire: &mut dyn Wire) -> bool {
        let Work::Leaf(leaf) = &mut self.slots[index].work else { return true };
        if !leaf.ready.is_empty() {
            let waiting = std::mem::take(&mut leaf.ready);
            for (to, batch) in waiting {
                // Order per receiver holds: one without credit gets none until the next drain.
                if let Err(batch) = wire.try_send(leaf.leaf, to, batch) {
                    leaf.ready.push((to, batch));
                }
            }
        }
        leaf.ready.is_empty()
    }

    fn checked<R>(&self, index: usize, result: Caught<Result<R, OperatorError>>) -> Result<R, Failure> {
        let (cause, place, message) = match result {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => (Cause::Error, error.place, error.error.to_string()),
            Err(payload) => (Cause::Panic, self.place_of(index), panic_message(payload.as_ref())),
        };
        let slot = &self.slots[index];
        let at_hand = (!slot.at_hand.spans.is_empty()).then(|| slot.at_hand.clone());
        let place = Place { origin: place.origin.or(at_hand), ..place };
        Err(Failure { operator: slot.name.clone(), worker: self.worker, cause, place, message })
    }

    fn place_of(&self, index: usize) -> Place {
        match &self.slots[index].work {
            Work::Operator(operator) => {
                catch_unwind(AssertUnwindSafe(|| operator.place())).unwrap_or_default()
            }
            _ => Place::default(),
        }
    }
}

/// Calls user code: a panic is caught, and while it runs `stats` say so.
pub fn guarded<R>(stats: Option<&OperatorStats>, now_ns: u64, call: impl FnOnce() -> R) -> Caught<R> {
    let caught = || catch_unwind(AssertUnwindSafe(call));
    match stats {
        Some(stats) => stats.calling(now_ns, caught),
        None => caught(),
    }
}

/// What a call gave, or what it panicked with.
pub type Caught<R> = Result<R, Box<dyn Any + Send>>;
