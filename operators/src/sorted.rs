//! `sorted`: each key's records in the order of their event times.
//!
//! A record waits until the watermark has passed its time, then it comes after all that are earlier than
//! it. So what follows sees each key as it happened, not as it arrived: for state machines, patterns, and differences
//! from one record to the next. Between keys there is no order.

use std::marker::PhantomData;
use std::panic::Location;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use crate::by_time::{ByTime, SLICE, is_past, past_at};
use crate::keyed_stream::KeyedStream;
use crate::process::{Context, KeyedContext, KeyedProcess};
use crate::stream::Stream;

/// What sorting gives.
pub struct Sorted<T> {
    /// The records; those of one key in the order of event time, and of one time in that of arrival.
    pub out: Stream<T>,
    /// Records that came after the watermark: those later than them may be gone.
    pub late: Stream<T>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Gives each key's records in the order of their event times, as the watermark passes them.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|letters, taps| {
    ///     let sorted = letters.key_by(|_: &char| 'k').sorted("in-order");
    ///     taps.tap("out", &sorted.out);
    ///     taps.tap("late", &sorted.late);
    /// });
    /// script.record(3, 'c').record(1, 'a').record(2, 'b').record(5, 'e').watermark(4).record(2, 'z').record(4, 'd').end();
    /// assert_eq!(script.output(), ["out@1 'a'", "out@2 'b'", "out@3 'c'", "late@2 'z'", "out@4 'd'", "out@5 'e'"]);
    /// ```
    #[track_caller]
    pub fn sorted(&self, name: impl Into<String>) -> Sorted<T> {
        let sort = Sort { types: PhantomData::<(K, T)> };
        let sorted = self.operator(name.into(), ("sorted", String::new()), Location::caller(), sort);
        Sorted { out: sorted.out, late: sorted.side }
    }
}

/// The records of a key that wait for the watermark, with the timer that is set for the first.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(crate) struct Waiting<T> {
    records: ByTime<T>,
    timer: Option<EventTime>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { records: ByTime::default(), timer: None }
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.records == other.records && self.timer == other.timer
    }
}

impl<T: Data> Waiting<T> {
    /// Has a record wait.
    pub fn push<K: Key, O: Data, S: Data>(&mut self, record: T, cx: &mut KeyedContext<'_, K, O, S>) {
        self.records.insert(cx.time(), record);
        self.call_at(past_at(cx.time()), cx);
    }

    /// Has the key called at `due`, or before.
    pub fn call_at<K: Key, O: Data, S: Data>(&mut self, due: EventTime, cx: &mut KeyedContext<'_, K, O, S>) {
        if self.timer.is_none_or(|timer| timer > due) {
            cx.one_timer_at(&mut self.timer, due);
        }
    }

    /// The time of the first that waits.
    pub fn first_time(&self) -> Option<EventTime> {
        self.records.first_time()
    }

    /// Gives those that the watermark has passed to `give`, in their order, as their timer is called.
    pub fn release<K: Key, O: Data, S: Data>(
        &mut self,
        cx: &mut KeyedContext<'_, K, O, S>,
        mut give: impl FnMut(EventTime, T, &mut KeyedContext<'_, K, O, S>),
    ) {
        self.timer = None;
        let watermark = cx.watermark();
        let passed = std::iter::from_fn(|| self.records.pop_first_if(|time| is_past(time, watermark)));
        passed.take(SLICE).for_each(|(time, record)| give(time, record, cx));
        if let Some(first) = self.records.first_time() {
            self.call_at(past_at(first), cx);
        }
    }
}

struct Sort<K, T> {
    types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> KeyedProcess for Sort<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = T;
    type State = Waiting<T>;

    fn on_record(
        &self,
        record: T,
        waiting: &mut StateMut<'_, Waiting<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(record);
        } else {
            waiting.push(record, cx);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        waiting: &mut StateMut<'_, Waiting<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        waiting.release(cx, |time, record, cx| cx.emit_at(time, record));
        Ok(())
    }
}
