//! Temporal joins: each record with the version of its key that was valid at its event time.
//!
//! A version is valid from its own event time until that of the next. A record waits until the watermark has passed its
//! time, so that all versions that can matter are there: the result is exact, however the two streams come in.
//! Of the versions before the watermark the last one stays, for the records to come.

use std::marker::PhantomData;
use std::panic::Location;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use super::pair::{Inner, LeftOuter, Pair};
use super::{Joined, Late};
use crate::by_time::{ByTime, SLICE, has_time, is_past, past_at};
use crate::connect::{CoContext, KeyedCoProcess, KeyedConnected};
use crate::keyed_stream::KeyedStream;

/// A keyed stream and versions of its keys, waiting for the kind of join.
#[must_use = "a join does nothing until its kind is chosen: `.inner(..)`, `.left(..)`"]
pub struct TemporalJoin<K: Key, A: Data, V: Data> {
    both: KeyedConnected<K, A, V>,
    name: String,
    location: &'static Location<'static>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Pairs each record with the version of its key that was valid at its event time: the last of
    /// `versions` that is not later. Of versions of one time the last that came counts.
    ///
    /// A pair comes once the watermark has passed the record's time. Records and versions that are earlier than the
    /// watermark go to `late`: what they would change has been given.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (payments, rates) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let join = payments.key_by(|_: &u64| 'k').temporal_join("rates", &rates.key_by(|_| 'k'));
    ///     taps.tap("out", &join.left(|payment, rate| (*payment, rate.copied())).out);
    /// });
    /// script.record(5, 2).record(12, 4).record(10, 1).record(11, 6).record(12, 3).record(15, 5).watermark(13);
    /// assert_eq!(script.output(), ["out@5 (2, None)", "out@11 (6, Some(1))", "out@12 (4, Some(3))"]);
    /// ```
    #[track_caller]
    pub fn temporal_join<V: Data + Sync>(
        &self,
        name: impl Into<String>,
        versions: &KeyedStream<K, V>,
    ) -> TemporalJoin<K, T, V> {
        TemporalJoin { both: self.connect(versions), name: name.into(), location: Location::caller() }
    }
}

impl<K: Key, A: Data + Sync, V: Data + Sync> TemporalJoin<K, A, V> {
    /// What `pair` makes of each record and its version; a record before the first version is left out.
    pub fn inner<O: Data>(self, pair: impl Fn(&A, &V) -> O + Send + Sync + 'static) -> Joined<O, A, V> {
        self.of_kind(Inner(pair))
    }

    /// What `pair` makes of each record and its version, if there was one.
    pub fn left<O: Data>(
        self,
        pair: impl Fn(&A, Option<&V>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, V> {
        self.of_kind(LeftOuter(pair))
    }

    fn of_kind<P: Pair<A, V>>(self, pair: P) -> Joined<P::Out, A, V> {
        let process = Versioned { pair, types: PhantomData::<(K, A, V)> };
        Joined::of(self.both.operator(self.name, ("temporal_join", String::new()), self.location, process))
    }
}

/// What is kept of a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "A: Data, V: Data")]
struct Versions<A, V> {
    /// Records whose time the watermark has not passed.
    waiting: ByTime<A>,
    /// The last version before the watermark, and all after it.
    versions: ByTime<V>,
    /// The timer that is set.
    timer: Option<EventTime>,
}

impl<A, V> Default for Versions<A, V> {
    fn default() -> Self {
        Self { waiting: ByTime::default(), versions: ByTime::default(), timer: None }
    }
}

impl<A, V> PartialEq for Versions<A, V> {
    fn eq(&self, other: &Self) -> bool {
        self.waiting == other.waiting && self.versions == other.versions && self.timer == other.timer
    }
}

impl<A, V> Versions<A, V> {
    /// The version that is valid at `time`. Those before it go: no earlier time will be asked for.
    fn at(&mut self, time: EventTime) -> Option<&V> {
        while self.versions.second_time().is_some_and(|next| next <= time) {
            self.versions.pop_first_if(|_| true);
        }
        self.versions.first().filter(|(from, _)| *from <= time).map(|(_, version)| version)
    }

    /// When the key has to be called: a record's time is past, or a version can go.
    fn due(&self) -> Option<EventTime> {
        let record = self.waiting.first_time().map(past_at);
        let versions = self.versions.second_time().and(self.versions.last_time());
        record.into_iter().chain(versions).min()
    }
}

struct Versioned<K, A, V, P> {
    pair: P,
    types: PhantomData<(K, A, V)>,
}

impl<K: Key, A: Data + Sync, V: Data + Sync, P: Pair<A, V>> Versioned<K, A, V, P> {
    fn arm(state: &mut Versions<A, V>, cx: &mut CoContext<'_, Self>) {
        if let Some(due) = state.due().filter(|due| state.timer.is_none_or(|timer| timer > *due)) {
            cx.one_timer_at(&mut state.timer, due);
        }
    }
}

impl<K: Key, A: Data + Sync, V: Data + Sync, P: Pair<A, V>> KeyedCoProcess for Versioned<K, A, V, P> {
    type Key = K;
    type First = A;
    type Second = V;
    type Out = P::Out;
    type Side = Late<A, V>;
    type State = Versions<A, V>;

    fn on_first(
        &self,
        record: A,
        state: &mut StateMut<'_, Versions<A, V>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(Late::Left(record));
            return Ok(());
        }
        has_time(cx.time())?;
        state.waiting.insert(cx.time(), record);
        Self::arm(state, cx);
        Ok(())
    }

    fn on_second(
        &self,
        version: V,
        state: &mut StateMut<'_, Versions<A, V>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(Late::Right(version));
            return Ok(());
        }
        // One without event time has been valid from the beginning.
        state.versions.insert(cx.time(), version);
        Self::arm(state, cx);
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        state: &mut StateMut<'_, Versions<A, V>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let (state, watermark) = (&mut **state, cx.watermark());
        state.timer = None;
        for _ in 0..SLICE {
            let Some((time, record)) = state.waiting.pop_first_if(|time| is_past(time, watermark)) else {
                // All that wait or will come are at the watermark or later.
                state.at(watermark);
                break;
            };
            let out = match state.at(time) {
                Some(version) => Some(self.pair.both(&record, version)),
                None => self.pair.left(&record),
            };
            if let Some(out) = out {
                cx.emit_at(time, out);
            }
        }
        Self::arm(state, cx);
        Ok(())
    }
}
