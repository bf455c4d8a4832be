//! The operator that answers at once, over what has arrived.
//!
//! A value may still be preceded by others as long as the watermark has not passed it: until then it is
//! *unsettled*, in a list in the key's struct, and each answer goes through those of them that are in range.
//! What is settled slides, as far as the latest value that has arrived asks for; an earlier one takes in what has slid out
//! too soon for it.

use std::sync::Arc;

use pelton_dataflow::error::{OpResult, OperatorError, Place};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Record};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_state::{KeyedState, StateSpec, TOGETHER, TableValue, TimeDomain};

use super::features::Features;
use super::history::TableRows;
use super::keep::Taken;
use super::kept::Kept;
use super::sliding::Rolling;
use super::{KEPT, check_time};
use crate::emit::flow;
use crate::process::store;
use crate::reached::Reached;

/// What is kept of a key.
pub(super) type State<V, F> = Kept<Vec<(i64, V)>, V, <F as Features<V>>::Slides>;

/// One instance of the operator.
pub(super) struct Immediate<K, T, V, F>
where
    K: Key,
    T: Data,
    V: TableValue,
    F: Features<V>,
{
    taken: Taken<T, V>,
    sliding: Arc<Rolling<F>>,
    state: KeyedState<K, State<V, F>>,
    groups: KeyGroups,
    reached: Reached,
    at_hand: Option<KeyHash>,
    /// Keys called at one go.
    slice_keys: usize,
}

impl<K, T, V, F> Immediate<K, T, V, F>
where
    K: Key,
    T: Data,
    V: TableValue,
    F: Features<V>,
{
    pub fn new(
        taken: Taken<T, V>,
        sliding: Arc<Rolling<F>>,
        spec: StateSpec<State<V, F>>,
        cx: &OperatorContext<'_>,
    ) -> OpResult<Self> {
        Ok(Self {
            taken,
            sliding,
            state: store(cx)?.keyed(cx.name, spec)?,
            groups: cx.groups,
            reached: Reached::restore(cx)?,
            at_hand: None,
            slice_keys: cx.settings.batch_records,
        })
    }

    /// The answers, and the records that are late.
    #[expect(clippy::type_complexity, reason = "two lists of records, no more")]
    fn answer(
        &mut self,
        records: Vec<Record<Keyed<K, T>>>,
    ) -> OpResult<(Vec<Record<(T, F::Out)>>, Vec<Record<T>>)> {
        let (mut answers, mut late) = (Vec::with_capacity(records.len()), Vec::new());
        let mut records = records.into_iter();
        while records.len() > 0 {
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            let keys = ahead.iter().map(|record| (record.value.hash, &record.value.key));
            self.state.values().seek(keys);
            for (nth, Record { time, value }) in records.by_ref().take(TOGETHER).enumerate() {
                let Keyed { hash, key, value } = value;
                self.at_hand = Some(hash);
                check_time(time)?;
                if time < self.reached.of(hash) {
                    late.push(Record::new(time, value));
                } else {
                    let results = self.take(nth, time.0, (hash, &key), (self.taken)(&value))?;
                    answers.push(Record::new(time, (value, results)));
                }
            }
        }
        self.at_hand = None;
        Ok((answers, late))
    }

    fn take(&mut self, nth: usize, at_ms: i64, (hash, key): (KeyHash, &K), value: V) -> OpResult<F::Out> {
        let watermark_ms = self.reached.of(hash).0;
        let sliding = &*self.sliding;
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        let mut state = values.state_at(nth, hash, key)?;
        let Kept { waiting: unsettled, window, alarms, .. } = &mut *state;
        let mut rows = TableRows { tables, table: KEPT, hash, key };
        let settled = unsettled.partition_point(|(ms, _)| *ms < watermark_ms);
        for entry in unsettled.drain(..settled) {
            sliding.add(window, entry, &mut rows)?;
        }
        let last_ms = unsettled.last().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
        let reached_ms = last_ms.max(watermark_ms);
        sliding.advance(window, reached_ms, &mut rows)?;
        sliding.tidy(window, watermark_ms.saturating_sub(sliding.reach_ms()), &mut rows)?;
        let index = unsettled.partition_point(|(ms, _)| *ms <= at_ms);
        unsettled.insert(index, (at_ms, value));
        alarms.expire_at(last_ms.saturating_add(sliding.reach_ms()), timers, (hash, key))?;
        Ok(sliding.results(window, (at_ms, reached_ms), &unsettled[..=index], &mut rows)?)
    }

    /// Lets go of keys that are wholly out of range; whether it had to stop.
    fn expire(&mut self) -> OpResult<bool> {
        let watermark = self.reached.told();
        let KeyedState { values, tables, timers, .. } = &mut self.state;
        let mut values = values.borrow_mut();
        for _ in 0..self.slice_keys {
            let Some((_, hash, key)) = timers.pop(TimeDomain::Event, watermark.0)? else {
                self.at_hand = None;
                return Ok(false);
            };
            self.at_hand = Some(hash);
            let mut state = values.state(hash, &key)?;
            state.alarms.heard(watermark);
            let unsettled_ms = state.waiting.last().map(|(last_ms, _)| *last_ms);
            let last_ms = unsettled_ms.or(state.window.history.last_ms());
            let mut rows = TableRows { tables, table: KEPT, hash, key: &key };
            if state.expire(last_ms, self.sliding.reach_ms(), watermark, timers, &mut rows)? {
                state.waiting = Vec::new();
            }
        }
        Ok(true)
    }
}

impl<K, T, V, F> Operator for Immediate<K, T, V, F>
where
    K: Key,
    T: Data,
    V: TableValue,
    F: Features<V>,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin) = batch.into_records::<Keyed<K, T>>();
        let answered = self.answer(records);
        let (answers, late) = answered.map_err(|error| OperatorError { place: self.place(), error })?;
        out.send(0, answers, origin.clone());
        out.send(1, late, origin);
        Ok(Flow::Done)
    }

    fn resume(&mut self, _out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.expire().map_err(|error| OperatorError { place: self.place(), error })?;
        Ok(flow(stopped))
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.reached.advance(watermark);
        self.resume(out)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen { bytes: self.reached.to_bytes(), deferred: None })
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}
