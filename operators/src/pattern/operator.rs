//! The operator: records that wait for the watermark, one timer per key, and what is emitted, in slices.

use std::sync::Arc;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::timers::Timers;
use pelton_state::{KeyedState, StateMut, TOGETHER, TimeDomain};

use super::buffer::Buffer;
use super::matches::{Match, PartialMatch};
use super::program::Program;
use super::runs::{Active, Decide, KeyState, Outcome, Scratch, TooMany};
use crate::emit::{Emitter, Feed, flow};
use crate::reached::Reached;

const NO_TIME: &str = "a record has no event time to be matched by: give the source `.watermarks(...)` that read it, or \
                       the pattern `.in_arrival_order()`";

/// What the operator is in the middle of.
#[derive(Clone, Copy)]
enum Busy {
    Records,
    /// Timers up to a time, in event time or processing time.
    Timers(i64),
}

pub(super) struct Running<K: Key, T: Data + Sync> {
    program: Arc<Program<T>>,
    state: KeyedState<K, KeyState<T>>,
    domain: TimeDomain,
    groups: KeyGroups,
    clock: Arc<dyn Clock>,
    reached: Reached,
    feed: Feed<Keyed<K, T>>,
    ahead: Ahead,
    busy: Busy,
    at_hand: Option<KeyHash>,
    scratch: Scratch,
    matches: Emitter<Match<K, T>>,
    timed_out: Emitter<PartialMatch<K, T>>,
    late: Emitter<T>,
    /// Timers called at one go.
    slice_timers: usize,
}

/// The records that come next in the feed, and which of them the pattern heeds: of those the state has been
/// sought.
#[derive(Clone, Copy, Default)]
struct Ahead {
    left: usize,
    /// Bits of those that are left, the next one lowest.
    heeded: u32,
    /// The next heeded one's number among those that were sought.
    nth: usize,
}

const _: () = assert!(TOGETHER <= u32::BITS as usize, "each record that is sought together has a bit");

impl Ahead {
    /// Goes on to the next record: the number by which its state was sought, if the pattern heeds it.
    fn next(&mut self) -> Option<usize> {
        let is_heeded = self.heeded & 1 != 0;
        let nth = self.nth;
        self.left = self.left.saturating_sub(1);
        self.heeded >>= 1;
        self.nth += usize::from(is_heeded);
        is_heeded.then_some(nth)
    }
}

/// Makes records of what is decided about a key.
struct Emit<'a, K: Key, T: Data> {
    program: &'a Program<T>,
    key: &'a K,
    /// The event time of what is emitted, where times are processing times.
    at: Option<EventTime>,
    matches: &'a mut Emitter<Match<K, T>>,
    timed_out: &'a mut Emitter<PartialMatch<K, T>>,
}

impl<K: Key, T: Data> Decide<T> for Emit<'_, K, T> {
    fn decide(&mut self, at: EventTime, outcome: Outcome, buffer: &Buffer<T>, link: u32) {
        let at = self.at.unwrap_or(at);
        let name = |stage: u16| self.program.names[usize::from(stage)].clone();
        let chain = buffer.chain(link);
        let mut events: Vec<_> = chain.map(|(stage, _, record)| (name(stage), record.clone())).collect();
        events.reverse();
        let found = Match { key: self.key.clone(), events };
        match outcome {
            Outcome::Match => self.matches.push(at, found),
            Outcome::Partial(why) => self.timed_out.push(at, PartialMatch { why, so_far: found }),
        }
    }
}

impl<K: Key, T: Data + Sync> Running<K, T> {
    pub fn new(
        program: Arc<Program<T>>,
        state: KeyedState<K, KeyState<T>>,
        domain: TimeDomain,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            program,
            state,
            domain,
            groups: cx.groups,
            clock: cx.clock.clone(),
            reached: Reached::restore(cx)?,
            feed: Feed::default(),
            ahead: Ahead::default(),
            busy: Busy::Records,
            at_hand: None,
            scratch: Scratch::default(),
            matches: Emitter::new(0, cx.settings.batch_records),
            timed_out: Emitter::new(1, cx.settings.batch_records),
            late: Emitter::new(2, cx.settings.batch_records),
            slice_timers: cx.settings.batch_records,
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = match self.busy {
            Busy::Records => self.records(out),
            Busy::Timers(up_to_ms) => self.timers(up_to_ms, out),
        };
        let stopped = stopped.map_err(|error| OperatorError { place: self.place(), error })?;
        // A barrier may fall here: what has left the state must be on its way.
        self.ship(out);
        if !stopped {
            self.at_hand = None;
        }
        Ok(flow(stopped))
    }

    fn records(&mut self, out: &mut Outputs) -> OpResult<bool> {
        let now_ms = self.clock.now_ms();
        loop {
            if self.ahead.left == 0 {
                self.look_ahead();
            }
            let Some(Record { time, value: Keyed { hash, key, value } }) = self.feed.next() else {
                return Ok(false);
            };
            let nth = self.ahead.next();
            self.at_hand = Some(hash);
            let is_in_order = self.domain == TimeDomain::Event;
            if is_in_order && time < self.reached.of(hash) {
                self.late.push(time, value);
            } else if is_in_order && time == EventTime::MIN {
                return Err(NO_TIME.into());
            } else if let Some(nth) = nth {
                let record = Record::new(time, value);
                match self.domain {
                    TimeDomain::Event => self.wait(nth, hash, &key, record)?,
                    TimeDomain::Processing => self.arrive(nth, hash, &key, record, EventTime(now_ms))?,
                }
            }
            if self.is_full(out) {
                return Ok(true);
            }
        }
    }

    fn look_ahead(&mut self) {
        let records = self.feed.ahead(TOGETHER);
        let program = &*self.program;
        let mut heeded = 0;
        for (bit, record) in records.iter().enumerate() {
            heeded |= u32::from(program.heeds(&record.value.value)) << bit;
        }
        let is_heeded = |(bit, _): &(usize, _)| heeded & (1 << bit) != 0;
        let heeds = records.iter().enumerate().filter(is_heeded);
        self.state.values().seek(heeds.map(|(_, record)| (record.value.hash, &record.value.key)));
        self.ahead = Ahead { left: records.len(), heeded, nth: 0 };
    }

    /// Keeps a record until the watermark has passed it.
    fn wait(&mut self, nth: usize, hash: KeyHash, key: &K, record: Record<T>) -> OpResult {
        let KeyedState { values, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state_at(nth, hash, key)?;
        let due_ms = record.time.0.saturating_add(1);
        let active = state.0.get_or_insert_default();
        active.wait(record);
        if active.timer.is_none_or(|set| due_ms < set) {
            set_timer(timers, self.domain, hash, key, active, Some(due_ms))?;
        }
        Ok(())
    }

    /// Matches a record as it comes.
    fn arrive(&mut self, nth: usize, hash: KeyHash, key: &K, record: Record<T>, now: EventTime) -> OpResult {
        let KeyedState { values, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state_at(nth, hash, key)?;
        if state.0.is_none() && !self.program.may_begin(&record.value) {
            return Ok(());
        }
        let program = &*self.program;
        let at = Some(record.time);
        let mut emit = Emit { program, key, at, matches: &mut self.matches, timed_out: &mut self.timed_out };
        let active = state.0.get_or_insert_default();
        let matched = active.process(program, record, now, &mut self.scratch, &mut emit);
        matched.map_err(|TooMany| too_many(program, key))?;
        settle(timers, self.domain, hash, key, &mut state, program)
    }

    /// Looks at keys that are due; whether it had to stop. It stops after a number of them also if
    /// nothing is emitted, so that barriers and a stop have their chance.
    fn timers(&mut self, up_to_ms: i64, out: &mut Outputs) -> OpResult<bool> {
        let mut fired = 0;
        while let Some((_, hash, key)) = self.state.timers.pop(self.domain, up_to_ms)? {
            self.at_hand = Some(hash);
            let is_full = self.fire(up_to_ms, hash, &key, out)?;
            fired += 1;
            if is_full || fired >= self.slice_timers {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Matches what the watermark has passed of a key, and ends what has no more time; whether the output is full.
    fn fire(&mut self, up_to_ms: i64, hash: KeyHash, key: &K, out: &mut Outputs) -> OpResult<bool> {
        let KeyedState { values, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state(hash, key)?;
        let program = &*self.program;
        let up_to = EventTime(up_to_ms);
        let at = (self.domain == TimeDomain::Processing).then(|| self.reached.of(hash));
        let active = state.0.get_or_insert_default();
        active.timer = None;
        let mut is_full = false;
        while let Some(record) = active.next_due(up_to) {
            let now = record.time;
            let mut emit =
                Emit { program, key, at, matches: &mut self.matches, timed_out: &mut self.timed_out };
            let matched = active.process(program, record, now, &mut self.scratch, &mut emit);
            matched.map_err(|TooMany| too_many(program, key))?;
            self.timed_out.ship_full(&Origin::default(), out);
            is_full = self.matches.ship_full(&Origin::default(), out);
            if is_full {
                break;
            }
        }
        if !is_full {
            let mut emit =
                Emit { program, key, at, matches: &mut self.matches, timed_out: &mut self.timed_out };
            active.advance(program, up_to, &mut emit);
            self.timed_out.ship_full(&Origin::default(), out);
            is_full = self.matches.ship_full(&Origin::default(), out);
        }
        settle(timers, self.domain, hash, key, &mut state, program)?;
        Ok(is_full)
    }

    fn is_full(&mut self, out: &mut Outputs) -> bool {
        let origin = &self.feed.origin;
        self.timed_out.ship_full(origin, out);
        self.late.ship_full(origin, out);
        self.matches.ship_full(origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        let origin = &self.feed.origin;
        self.matches.ship(origin, out);
        self.timed_out.ship(origin, out);
        self.late.ship(origin, out);
    }
}

/// Sets the timer of a key anew, and keeps nothing of a key that nothing is to be kept of.
fn settle<K: Key, T: Data + Sync>(
    timers: &mut Timers<K>,
    domain: TimeDomain,
    hash: KeyHash,
    key: &K,
    state: &mut StateMut<'_, KeyState<T>>,
    program: &Program<T>,
) -> OpResult {
    let Some(active) = &mut state.0 else { return Ok(()) };
    let next = active.next_timer(program);
    set_timer(timers, domain, hash, key, active, next)?;
    if active.is_idle() {
        state.0 = None;
    }
    Ok(())
}

/// A key has one timer at most: when it has to be looked at next.
fn set_timer<K: Key, T>(
    timers: &mut Timers<K>,
    domain: TimeDomain,
    hash: KeyHash,
    key: &K,
    active: &mut Active<T>,
    next: Option<i64>,
) -> OpResult {
    if active.timer == next {
        return Ok(());
    }
    if let Some(set) = active.timer {
        timers.delete(domain, hash, key, set)?;
    }
    if let Some(next) = next {
        timers.set(domain, hash, key, next)?;
    }
    active.timer = next;
    Ok(())
}

fn too_many<K: Key, T>(program: &Program<T>, key: &K) -> String {
    format!(
        "key {key:?} has more than {} partial matches, or events in them, at a time: give the pattern a shorter `within` or narrower conditions, \
         allow it more with `.at_most(n)`, or let it `.drop_oldest()`",
        program.at_most
    )
}

impl<K: Key, T: Data + Sync> Operator for Running<K, T> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        (self.feed, self.ahead) = (Feed::of(batch), Ahead::default());
        self.busy = Busy::Records;
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        if self.domain == TimeDomain::Processing {
            return Ok(Flow::Done);
        }
        self.feed.origin = Origin::default();
        self.busy = Busy::Timers(watermark.0);
        self.go_on(out)
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        if self.domain == TimeDomain::Event {
            return Ok(Flow::Done);
        }
        self.feed.origin = Origin::default();
        self.busy = Busy::Timers(now_ms);
        self.go_on(out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.state.timers.next(TimeDomain::Processing)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
