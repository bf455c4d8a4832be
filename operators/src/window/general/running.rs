//! The operator: feeds records and times to the windows of their keys, in slices.
//!
//! What it leaves in a checkpoint besides keyed state, numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | processing time as it was last looked at, in ms, `i64`: a clock that was set back opens no window again that has fired |
//! | the rest | the watermarks of its key groups, as in `reached` |

use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::{OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs, RestoredPart};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, TOGETHER, TimeDomain};

use super::contents::Contents;
use super::hand::{Hand, Plan, Scratch};
use super::open::KeyWindows;
use super::trigger::Trigger;
use crate::emit::{Emitter, Feed};
use crate::reached::Reached;

/// What the operator is in the middle of.
#[derive(Clone, Copy)]
enum Busy {
    Records,
    Alarms(TimeDomain, i64),
    /// The input has ended: windows that go by processing time end too.
    Finish,
}

pub(super) struct Running<K: Key, T: Data, C: Contents<K, T>, R: Trigger<T>, U> {
    plan: Arc<Plan<K, T, C, R, U>>,
    state: KeyedState<K, KeyWindows<C::Held, R::State>>,
    groups: KeyGroups,
    clock: Arc<dyn Clock>,
    /// Processing time, as it was last looked at.
    now_ms: i64,
    reached: Reached,
    feed: Feed<Keyed<K, T>>,
    /// Of the records whose windows were sought last, those that are still in `feed`.
    sought: Range<usize>,
    busy: Busy,
    at_hand: Option<KeyHash>,
    out: Emitter<U>,
    late: Emitter<T>,
    scratch: Scratch,
    /// Keys called at one go.
    slice_keys: usize,
}

impl<K, T, C, R, U> Running<K, T, C, R, U>
where
    K: Key,
    T: Data,
    C: Contents<K, T>,
    R: Trigger<T>,
    U: Data,
{
    pub fn new(
        plan: Arc<Plan<K, T, C, R, U>>,
        state: KeyedState<K, KeyWindows<C::Held, R::State>>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        let (clock_ms, parts) = split(cx.restored)?;
        let reached = Reached::of_parts(cx.groups, cx.groups.range(cx.worker, cx.workers), &parts)?;
        Ok(Self {
            plan,
            state,
            groups: cx.groups,
            clock: cx.clock.clone(),
            now_ms: clock_ms.max(cx.clock.now_ms()),
            reached,
            feed: Feed::default(),
            sought: 0..0,
            busy: Busy::Records,
            at_hand: None,
            out: Emitter::new(0, cx.settings.batch_records),
            late: Emitter::new(1, cx.settings.batch_records),
            scratch: Scratch::default(),
            slice_keys: cx.settings.batch_records,
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = match self.busy {
            Busy::Records => self.records(out),
            Busy::Alarms(domain, up_to_ms) => self.alarms(domain, up_to_ms, out),
            Busy::Finish => self.finish(out),
        };
        match stopped {
            Ok(true) => Ok(Flow::More),
            Ok(false) => {
                self.ship(out);
                self.at_hand = None;
                Ok(Flow::Done)
            }
            Err(error) => Err(OperatorError { place: self.place(), error }),
        }
    }

    fn records(&mut self, out: &mut Outputs) -> OpResult<bool> {
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
            if let Some(late) = self.hand(nth, hash, &key, |hand| hand.record(time, value))? {
                self.late.push(time, late);
            }
            if self.is_full(out) {
                return Ok(true);
            }
        }
    }

    /// Calls keys whose alarms are due; whether it had to stop.
    fn alarms(&mut self, domain: TimeDomain, up_to_ms: i64, out: &mut Outputs) -> OpResult<bool> {
        if self.each_alarm(domain, up_to_ms, out, |hand, at_ms| hand.alarm(domain, at_ms))? {
            return Ok(true);
        }
        if domain == TimeDomain::Event && up_to_ms == EventTime::END.0 {
            self.busy = Busy::Finish;
            return self.finish(out);
        }
        Ok(false)
    }

    fn finish(&mut self, out: &mut Outputs) -> OpResult<bool> {
        self.each_alarm(TimeDomain::Processing, i64::MAX, out, |hand, _| hand.finish())
    }

    /// Calls keys in the order of their alarms up to `up_to_ms`; whether it had to stop. It stops after a number
    /// of them also if nothing is emitted, so that barriers and a stop have their chance.
    fn each_alarm(
        &mut self,
        domain: TimeDomain,
        up_to_ms: i64,
        out: &mut Outputs,
        call: impl Fn(&mut Hand<'_, K, T, C, R, U>, i64) -> OpResult,
    ) -> OpResult<bool> {
        let mut called = 0;
        while let Some((at_ms, hash, key)) = self.state.timers.pop(domain, up_to_ms)? {
            self.hand(None, hash, &key, |hand| call(hand, at_ms))?;
            called += 1;
            if called >= self.slice_keys || self.is_full(out) {
                // A barrier may fall here: what the windows that are gone from the state have given must be on its way.
                self.ship(out);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lends the windows of a key to `call`; `nth` of those sought last, if it was sought.
    #[inline]
    fn hand<O>(
        &mut self,
        nth: Option<usize>,
        hash: KeyHash,
        key: &K,
        call: impl FnOnce(&mut Hand<'_, K, T, C, R, U>) -> OpResult<O>,
    ) -> OpResult<O> {
        self.at_hand = Some(hash);
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut windows = match nth {
            Some(nth) => values.state_at(nth, hash, key)?,
            None => values.state(hash, key)?,
        };
        call(&mut Hand {
            plan: &self.plan,
            windows: &mut windows,
            hash,
            key,
            tables,
            timers,
            watermark: self.reached.of(hash),
            now_ms: self.now_ms,
            out: &mut self.out,
            scratch: &mut self.scratch,
        })
    }

    fn is_full(&mut self, out: &mut Outputs) -> bool {
        let origin = &self.feed.origin;
        self.late.ship_full(origin, out);
        self.out.ship_full(origin, out)
    }

    fn ship(&mut self, out: &mut Outputs) {
        self.out.ship(&self.feed.origin, out);
        self.late.ship(&self.feed.origin, out);
    }
}

/// The latest processing time of old instances, and their watermarks.
fn split(parts: &[RestoredPart]) -> OpResult<(i64, Vec<RestoredPart>)> {
    let (mut latest_ms, mut watermarks) = (i64::MIN, Vec::with_capacity(parts.len()));
    for part in parts {
        let Some((now_ms, bytes)) = part.bytes.split_first_chunk() else {
            return Err(format!("{} bytes are no clock and watermarks of windows", part.bytes.len()).into());
        };
        latest_ms = latest_ms.max(i64::from_le_bytes(*now_ms));
        watermarks.push(RestoredPart { bytes: bytes.to_vec(), ..part.clone() });
    }
    Ok((latest_ms, watermarks))
}

impl<K, T, C, R, U> Operator for Running<K, T, C, R, U>
where
    K: Key,
    T: Data,
    C: Contents<K, T>,
    R: Trigger<T>,
    U: Data,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        (self.feed, self.sought) = (Feed::of(batch), 0..0);
        self.now_ms = self.now_ms.max(self.clock.now_ms());
        self.busy = Busy::Records;
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.feed.origin = Origin::default();
        self.busy = Busy::Alarms(TimeDomain::Event, self.reached.told().0);
        self.go_on(out)
    }

    fn on_processing_time(&mut self, now_ms: i64, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.now_ms = self.now_ms.max(now_ms);
        self.feed.origin = Origin::default();
        self.busy = Busy::Alarms(TimeDomain::Processing, self.now_ms);
        self.go_on(out)
    }

    fn next_wakeup_ms(&self) -> Option<i64> {
        self.state.timers.next(TimeDomain::Processing)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        let bytes = [&self.now_ms.to_le_bytes()[..], &self.reached.to_bytes()].concat();
        Ok(Frozen { bytes, deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
