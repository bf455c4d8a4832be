//! The operator of one worker: has records wait, and takes timers, rules and records in the order of event time.
//!
//! A record waits in memory, for most are handed on before the next barrier comes. At a barrier, and when they become
//! many, those that still wait go into rows of their keys.
//!
//! What it leaves in a checkpoint besides keyed state, numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | the number that the next record gets, `u64` |
//! | 4 + n | the book of rules: its length `u32`, and it |
//! | n | how far event time has come for each key group |

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{OpResult, OperatorError, Place};
use pelton_dataflow::key::{KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, RestoredPart};
use pelton_dataflow::record::{Batch, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, MapTable, StateMut, TOGETHER, TimeDomain};

use super::book::{Book, put_sized, take, take_sized};
use super::{BroadcastContext, BroadcastProcess, TakesEffect};
use crate::emit::{Emitter, Feed};
use crate::process::KeyedContext;
use crate::reached::Reached;

/// Records that wait, by event time, then as they came.
pub(super) fn waiting<T>() -> MapTable<(EventTime, u64), T> {
    MapTable::new("waiting")
}

/// The times for which records of a key wait. A broadcast process sets no timers of processing time, so their
/// place is free for these.
const WAITING: TimeDomain = TimeDomain::Processing;

/// Records that wait in memory, at most: a stream of rules that is silent for long must not fill it.
const MOST_IN_MEMORY: usize = 1 << 16;

/// The input port of the keyed records; that of the rules is the other.
const RECORDS: usize = 0;

/// By event time and key, then as they came.
type InMemory<K, T> = BTreeMap<(EventTime, KeyHash, u64), (K, T)>;

/// What comes next in event time; of one time in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Timer,
    Rule,
    Records,
}

pub(super) struct Running<P: BroadcastProcess> {
    process: Arc<P>,
    state: KeyedState<P::Key, P::State>,
    book: Book<P::Rule, P::Rules>,
    /// The number of the next record: of equal times the one that came first goes first.
    next_number: u64,
    /// Records that wait and are in no row.
    in_memory: InMemory<P::Key, P::In>,
    groups: KeyGroups,
    clock: Arc<dyn Clock>,
    reached: Reached,
    /// The watermark that was told in this life: no rule earlier than this is to come. After a restart it may be behind
    /// what key groups have reached.
    told: EventTime,
    /// Records that do not wait.
    feed: Feed<Keyed<P::Key, P::In>>,
    /// Of the records whose state was sought last, those that are still in `feed`.
    sought: Range<usize>,
    is_in_time: bool,
    at_hand: Option<KeyHash>,
    origin: Origin,
    out: Emitter<P::Out>,
    side: Emitter<P::Side>,
    late: Emitter<P::In>,
    /// Calls at one go.
    slice: usize,
}

impl<P: BroadcastProcess> Running<P> {
    pub fn new(
        process: Arc<P>,
        state: KeyedState<P::Key, P::State>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let parts = cx.restored.iter().filter(|part| !part.bytes.is_empty());
        let parts = parts.map(Part::of).collect::<OpResult<Vec<_>>>()?;
        let reached: Vec<RestoredPart> = parts.iter().map(|part| part.reached.clone()).collect();
        let on_rule = |rule, rules: &mut P::Rules, at| process.on_rule(rule, rules, at);
        let batch_records = cx.settings.batch_records;
        Ok(Self {
            book: Book::restore(parts.iter().map(|part| part.book), on_rule)?,
            next_number: parts.iter().map(|part| part.next_number).max().unwrap_or(0),
            in_memory: BTreeMap::new(),
            reached: Reached::of_parts(cx.groups, cx.groups.range(cx.worker, cx.workers), &reached)?,
            process,
            state,
            groups: cx.groups,
            clock: cx.clock.clone(),
            told: EventTime::MIN,
            feed: Feed::default(),
            sought: 0..0,
            is_in_time: false,
            at_hand: None,
            origin: Origin::default(),
            out: Emitter::new(0, batch_records),
            side: Emitter::new(1, batch_records),
            late: Emitter::new(2, batch_records),
            slice: batch_records,
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = if self.is_in_time { self.in_time(out) } else { self.at_once(out) };
        let stopped = stopped.map_err(|error| OperatorError { place: self.place(), error })?;
        // A barrier may fall here: what has left the state must be on its way.
        self.ship(out);
        if stopped {
            return Ok(Flow::More);
        }
        self.at_hand = None;
        Ok(Flow::Done)
    }

    /// Has records wait for the watermark.
    fn wait(&mut self, records: Vec<Record<Keyed<P::Key, P::In>>>) -> OpResult {
        for Record { time, value: Keyed { hash, key, value } } in records {
            self.at_hand = Some(hash);
            if time < self.reached.of(hash) {
                self.late.push(time, value);
                continue;
            }
            self.in_memory.insert((time, hash, self.next_number), (key, value));
            self.next_number += 1;
            if self.in_memory.len() >= MOST_IN_MEMORY {
                self.put_into_rows()?;
            }
        }
        Ok(())
    }

    /// Has all records wait in rows.
    fn put_into_rows(&mut self) -> OpResult {
        for ((time, hash, number), (key, value)) in std::mem::take(&mut self.in_memory) {
            self.at_hand = Some(hash);
            self.state.map(&waiting(), hash, &key)?.insert(&(time, number), value)?;
            self.state.timers.set(WAITING, hash, &key, time.0)?;
        }
        self.at_hand = None;
        Ok(())
    }

    /// Hands records on as they came; whether it had to stop.
    fn at_once(&mut self, out: &mut Outputs) -> OpResult<bool> {
        loop {
            if self.sought.is_empty() {
                let ahead = self.feed.ahead(TOGETHER);
                let keys = ahead.iter().map(|record| (record.value.hash, &record.value.key));
                self.state.values().seek(keys);
                self.sought = 0..ahead.len();
            }
            let Some(Record { time, value: Keyed { hash, key, value } }) = self.feed.next() else {
                return Ok(false);
            };
            let nth = self.sought.next();
            self.call(nth, hash, &key, time, |process, rules, state, cx| {
                process.on_record(value, rules, state, cx)
            })?;
            if self.is_full(out) {
                return Ok(true);
            }
        }
    }

    /// Takes what the watermark has passed in the order of event time; whether it had to stop.
    fn in_time(&mut self, out: &mut Outputs) -> OpResult<bool> {
        let mut calls = 0;
        while let Some((at, what)) = self.next_due() {
            match what {
                What::Timer => self.timer(at)?,
                What::Rule => {
                    let Self { book, process, .. } = self;
                    book.apply_next(|rule, rules, at| process.on_rule(rule, rules, at))?;
                }
                What::Records => calls += self.records_of_a_key(at)?,
            }
            calls += 1;
            if calls >= self.slice || self.is_full(out) {
                return Ok(true);
            }
        }
        self.book.passed(self.told);
        Ok(false)
    }

    /// What is due: timers up to the watermark, rules and records before it, since more of its own time may come.
    fn next_due(&self) -> Option<(EventTime, What)> {
        let timer = self.state.next_timer(TimeDomain::Event).map(EventTime).filter(|at| *at <= self.told);
        let rule = self.book.next_time().filter(|at| *at < self.told);
        let in_rows = self.state.next_timer(WAITING).map(EventTime);
        let in_memory = self.in_memory.first_key_value().map(|((at, ..), _)| *at);
        let records = in_rows.into_iter().chain(in_memory).min().filter(|at| *at < self.told);
        let due = [(timer, What::Timer), (rule, What::Rule), (records, What::Records)];
        due.into_iter().filter_map(|(at, what)| Some((at?, what))).min()
    }

    fn timer(&mut self, at: EventTime) -> OpResult {
        let Some((_, hash, key)) = self.state.pop_timer(TimeDomain::Event, at.0)? else { return Ok(()) };
        self.call(None, hash, &key, at, |process, rules, state, cx| process.on_timer(at, rules, state, cx))
    }

    /// Hands on all records of `at` of one key, and how many they are. All of them at one go: what they set off
    /// at an earlier time comes behind the last of them, whether a barrier falls here or not.
    fn records_of_a_key(&mut self, at: EventTime) -> OpResult<usize> {
        let (hash, key, mut due) = match self.state.pop_timer(WAITING, at.0)? {
            Some((_, hash, key)) => {
                let due = self.take_rows(at, hash, &key)?;
                (hash, key, due)
            }
            None => match self.in_memory.first_key_value() {
                Some(((_, hash, _), (key, _))) => (*hash, key.clone(), Vec::new()),
                None => return Ok(0),
            },
        };
        // Numbers in memory are above those in rows.
        let of_hash =
            self.in_memory.extract_if((at, hash, 0)..=(at, hash, u64::MAX), |_, (other, _)| *other == key);
        due.extend(of_hash.map(|(_, (_, record))| record));
        let count = due.len();
        for record in due {
            self.call(None, hash, &key, at, |process, rules, state, cx| {
                process.on_record(record, rules, state, cx)
            })?;
        }
        Ok(count)
    }

    /// Takes the records of `at` out of the rows of a key.
    fn take_rows(&mut self, at: EventTime, hash: KeyHash, key: &P::Key) -> OpResult<Vec<P::In>> {
        let mut rows = self.state.map(&waiting::<P::In>(), hash, key)?;
        let (mut places, mut due) = (Vec::new(), Vec::new());
        for row in rows.iter_from(&(at, 0))? {
            let (place, record) = row?;
            if place.0 != at {
                break;
            }
            places.push(place);
            due.push(record);
        }
        for place in &places {
            rows.remove(place)?;
        }
        Ok(due)
    }

    /// Lends the rules and the pieces of the key at hand to user code; `nth` of those sought last, if it was sought.
    fn call(
        &mut self,
        nth: Option<usize>,
        hash: KeyHash,
        key: &P::Key,
        time: EventTime,
        call: impl FnOnce(&P, &P::Rules, &mut StateMut<'_, P::State>, &mut BroadcastContext<'_, P>) -> OpResult,
    ) -> OpResult {
        self.at_hand = Some(hash);
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = match nth {
            Some(nth) => values.state_at(nth, hash, key)?,
            None => values.state(hash, key)?,
        };
        let around = KeyedContext {
            tables,
            timers,
            hash,
            key,
            time,
            watermark: self.told,
            clock: self.clock.as_ref(),
            out: &mut self.out,
            side: &mut self.side,
            in_event_order: false,
            error: None,
        };
        let mut cx = BroadcastContext { around };
        call(&self.process, self.book.rules(), &mut state, &mut cx)?;
        cx.around.error.map_or(Ok(()), Err)
    }

    fn is_full(&mut self, out: &mut Outputs) -> bool {
        self.side.ship_full(&self.origin, out);
        self.out.ship_full(&self.origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        self.out.ship(&self.origin, out);
        self.side.ship(&self.origin, out);
        self.late.ship(&self.origin, out);
    }
}

/// What an old worker left.
struct Part<'a> {
    next_number: u64,
    book: &'a [u8],
    reached: RestoredPart,
}

impl<'a> Part<'a> {
    fn of(part: &'a RestoredPart) -> OpResult<Self> {
        let (next_number, rest) = take::<8>(&part.bytes)?;
        let (book, reached) = take_sized(rest)?;
        let reached = RestoredPart { bytes: reached.to_vec(), ..part.clone() };
        Ok(Self { next_number: u64::from_le_bytes(next_number), book, reached })
    }
}

impl<P: BroadcastProcess> Operator for Running<P> {
    fn on_batch(&mut self, port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.is_in_time = false;
        if port != RECORDS {
            let (rules, _) = batch.into_records::<P::Rule>();
            for Record { time, value } in rules {
                self.book.add(time, value)?;
            }
            return Ok(Flow::Done);
        }
        self.origin = batch.origin.clone();
        match self.process.takes_effect() {
            TakesEffect::OnceKnown => (self.feed, self.sought) = (Feed::of(batch), 0..0),
            TakesEffect::InEventTime => {
                let (records, _) = batch.into_records();
                self.wait(records).map_err(|error| OperatorError { place: self.place(), error })?;
            }
        }
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.told = watermark;
        (self.is_in_time, self.origin) = (true, Origin::default());
        self.go_on(out)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.put_into_rows().map_err(|error| OperatorError { place: self.place(), error })?;
        self.state.freeze(epoch)?;
        let mut bytes = self.next_number.to_le_bytes().to_vec();
        put_sized(&self.book.to_bytes()?, &mut bytes)?;
        bytes.extend_from_slice(&self.reached.to_bytes());
        Ok(Frozen { bytes, deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
