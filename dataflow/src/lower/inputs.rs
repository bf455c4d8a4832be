//! The head of a stage that takes batches from channels: epoch order with a stash, alignment, and
//! the watermark that waits for the stash.
//!
//! A batch of the next epoch is stashed until the frontier has passed the current one and all its
//! batches are processed. The stage's watermark is the least of its input frontiers and of the
//! stamps of everything that it has pulled and not finished, because a pulled batch no longer
//! counts in timely's frontier; and of what its operator holds.

use std::collections::VecDeque;
use std::mem::take;

use timely::communication::Pull;
use timely::dataflow::channels::Message;
use timely::dataflow::operators::generic::InputHandleCore;
use timely::progress::frontier::MutableAntichain;

use super::credit::CreditReturn;
use super::edge_check::EdgeCheck;
use super::own_time::OwnTime;
use super::parcel::Parcel;
use super::stage::Core;
use super::tree::Turn;
use crate::clock::monotonic_ns;
use crate::error::Failure;
use crate::record::Batch;
use crate::time::{EventTime, Moment};

type Handle = InputHandleCore<Moment, Parcel, Box<dyn Pull<Message<Moment, Parcel>>>>;

/// One incoming channel.
pub struct InChannel {
    /// The timely input.
    pub handle: Handle,
    /// Gives credits back to the senders.
    pub credits: CreditReturn,
    /// Checks what each sender promises, in debug builds.
    pub check: EdgeCheck,
}

struct Arrived {
    port: usize,
    from: usize,
    moment: Moment,
    batch: Batch,
}

/// The incoming channels of a stage.
pub struct Inputs {
    channels: Vec<InChannel>,
    ready: VecDeque<Arrived>,
    stash: VecDeque<Arrived>,
    /// Port and sender of the batch in the tree.
    at_hand: Option<(usize, usize)>,
    /// When the first sign of the next epoch came, in monotonic nanoseconds.
    next_epoch_since: Option<u64>,
    /// If the watermarks of the stage are its own.
    own_time: Option<OwnTime>,
}

impl Inputs {
    /// The head over `channels`, in the order of the root's input ports.
    pub fn new(channels: Vec<InChannel>, own_time: Option<OwnTime>) -> Self {
        Self {
            channels,
            own_time,
            ready: VecDeque::new(),
            stash: VecDeque::new(),
            at_hand: None,
            next_epoch_since: None,
        }
    }

    /// One turn of the stage.
    pub fn turn(
        &mut self,
        core: &mut Core,
        frontiers: &[MutableAntichain<Moment>],
        deadline_ns: u64,
    ) -> Result<Turn, Failure> {
        let mut meet: Option<Moment> = None;
        for frontier in frontiers {
            meet = Moment::meet(frontier.frontier().iter().chain(&meet));
        }
        let turn = self.run(core, meet, deadline_ns);
        for channel in &mut self.channels {
            channel.credits.settle();
        }
        turn
    }

    fn run(&mut self, core: &mut Core, meet: Option<Moment>, deadline_ns: u64) -> Result<Turn, Failure> {
        let mut worked = false;
        // Time has its chance once a turn before the batches do: under a load that never lets up
        // there is always one more batch.
        let mut time_is_due = (true, true);
        loop {
            let passed = meet.is_some_and(|meet| meet.epoch > core.epoch);
            let aligned = passed && self.ready.is_empty();
            let turn = core.work(deadline_ns, aligned)?;
            if self.at_hand.is_some() && core.tree.is_settled() {
                self.release();
            }
            if aligned && self.at_hand.is_none() && self.freeze(core)? {
                worked = true;
                continue;
            }
            if turn == Turn::Yield {
                return Ok(Turn::Yield);
            }
            if turn == Turn::Blocked || aligned || !core.finish_watermark() {
                return Ok(Turn::Blocked);
            }
            let began = (take(&mut time_is_due.0) && self.begin_watermark(core, meet, false))
                || (take(&mut time_is_due.1) && core.begin_processing_time())
                || self.next_batch(core)
                || core.begin_processing_time()
                || self.begin_watermark(core, meet, true);
            if !began {
                self.own_time.iter().for_each(|own| own.rest(core));
                return Ok(self.rest(core, worked));
            }
            worked = true;
        }
    }

    /// There is nothing to do now: flush what is buffered if nothing new has come since the last
    /// turn, else look again first, so that batches fill under load.
    fn rest(&self, core: &mut Core, worked: bool) -> Turn {
        if core.tree.buffered_since().is_none() {
            return Turn::Idle;
        }
        if worked && core.linger_left().is_some_and(|left| !left.is_zero()) {
            return Turn::Yield;
        }
        if core.flush() { Turn::Idle } else { Turn::Blocked }
    }

    fn freeze(&mut self, core: &mut Core) -> Result<bool, Failure> {
        let now = monotonic_ns();
        let alignment_us = self.next_epoch_since.map_or(0, |since| now.saturating_sub(since) / 1_000);
        if !core.can_end_epoch() {
            return Ok(false);
        }
        core.end_epoch(None, alignment_us)?;
        // A checkpoint that is abandoned before it is aligned leaves more than two epochs open.
        let (of_epoch, later) = take(&mut self.stash)
            .into_iter()
            .partition::<VecDeque<_>, _>(|arrived| arrived.moment.epoch == core.epoch);
        self.next_epoch_since = (!later.is_empty()).then_some(now);
        self.ready.extend(of_epoch);
        self.stash = later;
        Ok(true)
    }

    /// The batch in the tree is done: its credit goes back.
    fn release(&mut self) {
        if let Some((port, from)) = self.at_hand.take() {
            self.channels[port].credits.owe(from);
        }
    }

    /// Puts the next batch into the tree, pulling if none is at hand. Whether there was one.
    fn next_batch(&mut self, core: &mut Core) -> bool {
        if core.is_paused() || core.tree.is_full() {
            self.own_time.iter_mut().for_each(OwnTime::looked_away);
            return false;
        }
        if self.ready.is_empty() {
            self.pull(core);
        }
        let Some(mut arrived) = self.ready.pop_front() else {
            if self.stash.is_empty() {
                self.own_time.iter_mut().for_each(|own| own.found_none(core));
            }
            return false;
        };
        self.own_time.iter_mut().for_each(OwnTime::took_batch);
        if self.channels.len() > 1 {
            arrived.batch.came_by(arrived.port);
        }
        self.at_hand = Some((arrived.port, arrived.from));
        core.tree.offer(arrived.port, arrived.batch);
        true
    }

    /// Takes everything that has arrived: credits bound how much that is.
    fn pull(&mut self, core: &Core) {
        let Self { channels, ready, stash, next_epoch_since, .. } = self;
        for (port, channel) in channels.iter_mut().enumerate() {
            let InChannel { handle, check, .. } = channel;
            handle.for_each(|capability, parcel| {
                let moment = *capability.stamp().expect_singleton();
                let Parcel { from, batch, .. } = take(parcel);
                let Some(batch) = batch else { return };
                check.arrived(from, moment, &batch.origin);
                debug_assert!(
                    moment.epoch >= core.epoch,
                    "epoch {} arrived in epoch {}",
                    moment.epoch,
                    core.epoch
                );
                let arrived = Arrived { port, from, moment, batch };
                if moment.epoch > core.epoch {
                    next_epoch_since.get_or_insert_with(monotonic_ns);
                    stash.push_back(arrived);
                } else {
                    ready.push_back(arrived);
                }
            });
        }
    }

    /// Begins to publish the stage's watermark, if it is news. `after_look` if no more batches were found.
    fn begin_watermark(&mut self, core: &mut Core, meet: Option<Moment>, after_look: bool) -> bool {
        let is_own = self.own_time.is_some();
        let news = meet.filter(|meet| is_own || meet.watermark > core.watermark);
        let Some(Moment { watermark, .. }) = news else { return false };
        let pulled = self.ready.iter().chain(&self.stash).map(|arrived| arrived.moment.watermark);
        let input = pulled.fold(watermark, EventTime::min);
        let watermark = match &mut self.own_time {
            None => Some(input),
            Some(own) => own.watermark(core, input, after_look),
        };
        watermark.is_some_and(|watermark| core.begin_watermark(watermark))
    }
}
