//! The operator that answers in the order of event time: a record waits until the watermark has
//! passed it, and then knows all that belongs to its range.

use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Origin, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, StateSpec, TOGETHER, TableValue, TimeDomain};

use super::features::Features;
use super::history::TableRows;
use super::keep::{Keep, entries};
use super::kept::Kept;
use super::sliding::Rolling;
use super::waiting::Waiting;
use super::{KEPT, WAITING, check_time};
use crate::emit::{Emitter, Feed, flow};
use crate::process::store;
use crate::reached::Reached;

/// What is kept of a key.
pub(super) type State<T, P, F> =
    Kept<Waiting<T>, <P as Keep<T>>::Entry, <F as Features<<P as Keep<T>>::Entry>>::Slides>;

/// One instance of the operator.
pub(super) struct Ordered<K, T, P, F>
where
    K: Key,
    T: Data + TableValue,
    P: Keep<T>,
    F: Features<P::Entry>,
{
    keep: Arc<P>,
    sliding: Arc<Rolling<F>>,
    state: KeyedState<K, State<T, P, F>>,
    groups: KeyGroups,
    reached: Reached,
    feed: Feed<Keyed<K, T>>,
    /// Of the records whose state was sought last, those that are still in `feed`.
    sought: Range<usize>,
    /// Keys are being called, not records taken.
    calling: bool,
    at_hand: Option<KeyHash>,
    out: Emitter<(T, F::Out)>,
    late: Emitter<T>,
    /// The records of one time that are being released.
    peers: Vec<T>,
    /// Keys called and records released at one go, and how many of them are left.
    slice: usize,
    left: usize,
}

impl<K, T, P, F> Ordered<K, T, P, F>
where
    K: Key,
    T: Data + TableValue,
    P: Keep<T>,
    F: Features<P::Entry>,
{
    pub fn new(
        keep: Arc<P>,
        sliding: Arc<Rolling<F>>,
        spec: StateSpec<State<T, P, F>>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            keep,
            sliding,
            state: store(cx)?.keyed(cx.name, spec)?,
            groups: cx.groups,
            reached: Reached::restore(cx)?,
            feed: Feed::default(),
            sought: 0..0,
            calling: false,
            at_hand: None,
            out: Emitter::new(0, cx.settings.batch_records),
            late: Emitter::new(1, cx.settings.batch_records),
            peers: Vec::new(),
            slice: cx.settings.batch_records,
            left: 0,
        })
    }

    fn go_on(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = if self.calling { self.call_keys(out) } else { self.take_records(out) };
        let stopped = stopped.map_err(|error| OperatorError { place: self.place(), error })?;
        if !stopped {
            self.at_hand = None;
        }
        Ok(flow(stopped))
    }

    /// Has records wait; whether it had to stop.
    fn take_records(&mut self, out: &mut Outputs) -> OpResult<bool> {
        loop {
            if self.sought.is_empty() {
                let ahead = self.feed.ahead(TOGETHER);
                let keys = ahead.iter().map(|record| (record.value.hash, &record.value.key));
                self.state.values().seek(keys);
                self.sought = 0..ahead.len();
            }
            let (Some(Record { time, value }), Some(nth)) = (self.feed.next(), self.sought.next()) else {
                self.late.ship(&self.feed.origin, out);
                return Ok(false);
            };
            self.at_hand = Some(value.hash);
            self.take_record(nth, time, value)?;
            if self.late.ship_full(&self.feed.origin, out) {
                return Ok(true);
            }
        }
    }

    fn take_record(&mut self, nth: usize, time: EventTime, record: Keyed<K, T>) -> OpResult {
        let Keyed { hash, key, value } = record;
        check_time(time)?;
        if time < self.reached.of(hash) {
            self.late.push(time, value);
            return Ok(());
        }
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state_at(nth, hash, &key)?;
        let Kept { waiting, alarms, .. } = &mut *state;
        waiting.insert(time.0, value, &mut TableRows { tables, table: WAITING, hash, key: &key })?;
        Ok(alarms.release_after(time.0, timers, (hash, &key))?)
    }

    /// Calls the keys whose alarms are due; whether it had to stop.
    fn call_keys(&mut self, out: &mut Outputs) -> OpResult<bool> {
        self.left = self.slice;
        while let Some((_, hash, key)) = self.state.timers.pop(TimeDomain::Event, self.reached.told().0)? {
            self.at_hand = Some(hash);
            self.call(hash, &key, out)?;
            self.left = self.left.saturating_sub(1);
            if self.left == 0 || out.is_full() {
                // A barrier may fall here: what is out of the state must be on its way.
                self.out.ship(&Origin::default(), out);
                return Ok(true);
            }
        }
        self.out.ship(&Origin::default(), out);
        Ok(false)
    }

    /// Releases the records of a key that the watermark has passed, as long as there is room, and lets
    /// go of what is out of range.
    fn call(&mut self, hash: KeyHash, key: &K, out: &mut Outputs) -> OpResult {
        let watermark = self.reached.told();
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state(hash, key)?;
        let state = &mut *state;
        state.alarms.heard(watermark);
        loop {
            let mut rows = TableRows { tables, table: WAITING, hash, key };
            let Some(at_ms) = state.waiting.first_ms(&mut rows)? else { break };
            let is_due = at_ms < watermark.0 || watermark == EventTime::END;
            if !is_due || self.left == 0 || self.out.ship_full(&Origin::default(), out) {
                state.alarms.release_after(at_ms, timers, (hash, key))?;
                return Ok(());
            }
            self.peers.clear();
            while state.waiting.first_ms(&mut rows)? == Some(at_ms) {
                self.peers.extend(state.waiting.pop(&mut rows)?);
            }
            self.left = self.left.saturating_sub(self.peers.len());
            let mut rows = TableRows { tables, table: KEPT, hash, key };
            let results = release(&*self.keep, &self.sliding, state, at_ms, &mut self.peers, &mut rows)?;
            let last = self.peers.pop();
            for peer in self.peers.drain(..) {
                self.out.push(EventTime(at_ms), (peer, results.clone()));
            }
            if let Some(last) = last {
                self.out.push(EventTime(at_ms), (last, results));
            }
        }
        let mut rows = TableRows { tables, table: KEPT, hash, key };
        let last_ms = state.open.as_ref().map(|open| open.0).or(state.window.history.last_ms());
        state.expire(last_ms, self.sliding.reach_ms(), watermark, timers, &mut rows)?;
        Ok(())
    }
}

/// Takes records of one time into the window of their key, and gives their results.
fn release<K, T, P, F>(
    keep: &P,
    sliding: &Rolling<F>,
    state: &mut State<T, P, F>,
    at_ms: i64,
    peers: &mut [T],
    rows: &mut TableRows<'_, K>,
) -> OpResult<F::Out>
where
    K: Key,
    T: Data + TableValue,
    P: Keep<T>,
    F: Features<P::Entry>,
{
    if peers.len() > 1 {
        let mut failed = None;
        peers.sort_by_cached_key(|peer| {
            keep.bytes(peer).unwrap_or_else(|error: OpError| {
                failed = Some(error);
                Vec::new()
            })
        });
        failed.map_or(Ok(()), Err)?;
    }
    let Kept { window, open, .. } = state;
    for peer in &*peers {
        if let Some(entry) = keep.take(open, at_ms, peer) {
            sliding.add(window, entry, rows)?;
        }
    }
    sliding.advance(window, at_ms, rows)?;
    sliding.tidy(window, at_ms.saturating_sub(sliding.reach_ms()), rows)?;
    Ok(sliding.results(window, (at_ms, at_ms), entries(open), rows)?)
}

impl<K, T, P, F> Operator for Ordered<K, T, P, F>
where
    K: Key,
    T: Data + TableValue,
    P: Keep<T>,
    F: Features<P::Entry>,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        (self.feed, self.sought, self.calling) = (Feed::of(batch), 0..0, false);
        self.go_on(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.go_on(out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.calling = true;
        self.go_on(out)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
