//! Interval joins and regular joins: pairs whose event times differ by no more than bounds say, where
//! either bound may be absent.
//!
//! Both sides of a key are kept in the order of event time. A record meets what the other side holds within its
//! bounds, by binary search, and is kept for as long as the watermark lets partners come. So each pair
//! is made once, by whichever comes last, and its event time is the later of the two.
//!
//! What is past goes when its key is touched. A key that nobody touches has a timer, one at a time: at the moment when
//! all of a side is past or, if records without a partner are given, the first of it.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::panic::Location;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use super::pair::{FullOuter, Inner, LeftOuter, Pair, RightOuter};
use super::{Joined, Late};
use crate::by_time::{ByTime, SLICE, has_time, is_past, past_at};
use crate::connect::{CoContext, KeyedCoProcess, KeyedConnected};
use crate::keyed_stream::KeyedStream;

/// Two keyed streams to be joined by time, waiting for the kind of join.
#[must_use = "a join does nothing until its kind is chosen: `.inner(..)`, `.left(..)`, `.right(..)`, `.full(..)`"]
pub struct IntervalJoin<K: Key, A: Data, B: Data> {
    both: KeyedConnected<K, A, B>,
    name: String,
    bounds: Bounds,
    location: &'static Location<'static>,
}

/// Two keyed streams to be joined whatever their times, waiting for the kind of join.
#[must_use = "a join does nothing until its kind is chosen: `.inner(..)`, `.left(..)`, `.right(..)`, `.full(..)`"]
pub struct Join<K: Key, A: Data, B: Data>(IntervalJoin<K, A, B>);

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Pairs each record with the records of `right` whose event time, less its own, is within
    /// `bounds_ms` milliseconds.
    ///
    /// A record that is earlier than the watermark goes to `late`: some of its partners may be gone.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (orders, shipments) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let join = orders.key_by(|_: &u64| 'k').interval_join("shipped", &shipments.key_by(|_| 'k'), 0..=10);
    ///     let shipped = join.left(|order, shipment| (*order, shipment.copied()));
    ///     taps.tap("out", &shipped.out);
    ///     taps.tap("late", &shipped.late);
    /// });
    /// script.record(5, 2).record(15, 3).record(16, 5).record(20, 4).watermark(31).record(30, 7);
    /// assert_eq!(script.output(), ["out@15 (2, Some(3))", "out@30 (4, None)", "late@30 Right(7)"]);
    /// ```
    #[track_caller]
    pub fn interval_join<U: Data + Sync>(
        &self,
        name: impl Into<String>,
        right: &KeyedStream<K, U>,
        bounds_ms: impl RangeBounds<i64>,
    ) -> IntervalJoin<K, T, U> {
        let (name, location) = (name.into(), Location::caller());
        let bounds = Bounds::of(&bounds_ms).unwrap_or_else(|problem| {
            self.stream.graph.mistake(&name, problem, location);
            Bounds::default()
        });
        IntervalJoin { both: self.connect(right), name, bounds, location }
    }

    /// Pairs each record with all records of `right` that have its key, whatever their times.
    ///
    /// Without [`Join::keep_left`] and [`Join::keep_right`] both sides are kept for ever, no record is late, and
    /// each record costs as much as it has partners. All that is kept of a key is one row: it is copied as a whole
    /// for each checkpoint in which the key has had records, which a key of millions would make slow.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (persons, auctions) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let join = persons.key_by(|_: &u64| 'k').join("sellers", &auctions.key_by(|_| 'k'));
    ///     taps.tap("out", &join.inner(|person, auction| (*person, *auction)).out);
    /// });
    /// script.record(5, 3).record(900, 2).record(7, 5);
    /// let mut pairs = script.output();
    /// pairs.sort();
    /// assert_eq!(pairs, ["out@900 (2, 3)", "out@900 (2, 5)"]);
    /// ```
    #[track_caller]
    pub fn join<U: Data + Sync>(&self, name: impl Into<String>, right: &KeyedStream<K, U>) -> Join<K, T, U> {
        let (name, location) = (name.into(), Location::caller());
        Join(IntervalJoin { both: self.connect(right), name, bounds: Bounds::default(), location })
    }
}

impl<K: Key, A: Data + Sync, B: Data + Sync> IntervalJoin<K, A, B> {
    /// What `pair` makes of each pair.
    pub fn inner<O: Data>(self, pair: impl Fn(&A, &B) -> O + Send + Sync + 'static) -> Joined<O, A, B> {
        self.of_kind("interval_join", Inner(pair))
    }

    /// What `pair` makes of each pair, and of each left record without a partner: that comes once the watermark
    /// has passed its bounds, and its event time is the last at which it could have found one.
    pub fn left<O: Data>(
        self,
        pair: impl Fn(&A, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.of_kind("interval_join", LeftOuter(pair))
    }

    /// As [`IntervalJoin::left`], with right records without a partner instead.
    pub fn right<O: Data>(
        self,
        pair: impl Fn(Option<&A>, &B) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.of_kind("interval_join", RightOuter(pair))
    }

    /// As [`IntervalJoin::left`], with the records of both sides without a partner.
    pub fn full<O: Data>(
        self,
        pair: impl Fn(Option<&A>, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.of_kind("interval_join", FullOuter(pair))
    }

    fn of_kind<P: Pair<A, B>>(self, kind: &'static str, pair: P) -> Joined<P::Out, A, B> {
        let Self { both, name, bounds, location } = self;
        let process = TimeJoin { bounds, pair, types: PhantomData::<(K, A, B)> };
        Joined::of(both.operator(name, (kind, bounds.to_string()), location, process))
    }
}

impl<K: Key, A: Data + Sync, B: Data + Sync> Join<K, A, B> {
    /// Keeps left records for `time`: a right record later than that does not meet them any more. Right
    /// records that are earlier than the watermark are late from then on.
    pub fn keep_left(mut self, time: Duration) -> Self {
        self.0.bounds.upper_ms = Some(self.milliseconds(time));
        self
    }

    /// As [`Join::keep_left`], for right records.
    pub fn keep_right(mut self, time: Duration) -> Self {
        self.0.bounds.lower_ms = Some(-self.milliseconds(time));
        self
    }

    /// What `pair` makes of each pair, as soon as both are there.
    pub fn inner<O: Data>(self, pair: impl Fn(&A, &B) -> O + Send + Sync + 'static) -> Joined<O, A, B> {
        self.0.of_kind("join", Inner(pair))
    }

    /// What `pair` makes of each pair, and of each left record that has found no partner while it was
    /// kept: nothing is taken back. Without [`Join::keep_left`] that is known at the end of the input alone, and
    /// such a record then comes with its own event time.
    pub fn left<O: Data>(
        self,
        pair: impl Fn(&A, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.0.of_kind("join", LeftOuter(pair))
    }

    /// As [`Join::left`], with right records that have found no partner while [`Join::keep_right`] kept them.
    pub fn right<O: Data>(
        self,
        pair: impl Fn(Option<&A>, &B) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.0.of_kind("join", RightOuter(pair))
    }

    /// As [`Join::left`], with records of both sides that have found no partner while they were kept.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|events, taps| {
    ///     let (orders, payments) = (events.filter(|n| n % 2 == 0), events.filter(|n| n % 2 == 1));
    ///     let join = orders.key_by(|n: &u64| n / 10).join("paid", &payments.key_by(|n| n / 10));
    ///     let join = join.keep_left(Duration::from_millis(20)).keep_right(Duration::from_millis(5));
    ///     taps.tap("out", &join.full(|order, payment| (order.copied(), payment.copied())).out);
    /// });
    /// script.record(1, 10).record(9, 11).record(3, 24).record(4, 35).watermark(30);
    /// assert_eq!(script.output(), ["out@9 (Some(10), Some(11))", "out@9 (None, Some(35))", "out@23 (Some(24), None)"]);
    /// ```
    pub fn full<O: Data>(
        self,
        pair: impl Fn(Option<&A>, Option<&B>) -> O + Send + Sync + 'static,
    ) -> Joined<O, A, B> {
        self.0.of_kind("join", FullOuter(pair))
    }

    fn milliseconds(&self, time: Duration) -> i64 {
        let problem = match i64::try_from(time.as_millis()) {
            Ok(ms) if time.subsec_nanos().is_multiple_of(1_000_000) => return ms,
            Ok(_) => format!("{time:?} is not a whole number of milliseconds"),
            Err(_) => format!("{time:?} is longer than event time reaches: leave it out to keep for ever"),
        };
        self.0.both.mistake(&self.0.name, problem, self.0.location);
        0
    }
}

/// The least and greatest difference of the times of a pair, right less left; `None` for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    lower_ms: Option<i64>,
    upper_ms: Option<i64>,
}

impl Bounds {
    fn of(range: &impl RangeBounds<i64>) -> Result<Self, String> {
        let lower = match range.start_bound() {
            Bound::Included(ms) => Some(*ms),
            Bound::Excluded(ms) => ms.checked_add(1),
            Bound::Unbounded => return Err(without("lower")),
        };
        let upper = match range.end_bound() {
            Bound::Included(ms) => Some(*ms),
            Bound::Excluded(ms) => ms.checked_sub(1),
            Bound::Unbounded => return Err(without("upper")),
        };
        match (lower, upper) {
            (Some(lower), Some(upper)) if lower <= upper => {
                Ok(Self { lower_ms: Some(lower), upper_ms: Some(upper) })
            }
            _ => Err("no difference of times is within its bounds: give the lower one first".to_owned()),
        }
    }

    /// The last time of a partner of a left record.
    #[inline]
    fn left_until(self, time: EventTime) -> EventTime {
        self.upper_ms.map_or(EventTime::END, |upper| EventTime(time.0.saturating_add(upper)))
    }

    /// The first time of a partner of a left record.
    #[inline]
    fn left_from(self, time: EventTime) -> EventTime {
        self.lower_ms.map_or(EventTime::MIN, |lower| EventTime(time.0.saturating_add(lower)))
    }

    /// The last time of a partner of a right record.
    #[inline]
    fn right_until(self, time: EventTime) -> EventTime {
        self.lower_ms.map_or(EventTime::END, |lower| EventTime(time.0.saturating_sub(lower)))
    }

    /// The first time of a partner of a right record.
    #[inline]
    fn right_from(self, time: EventTime) -> EventTime {
        self.upper_ms.map_or(EventTime::MIN, |upper| EventTime(time.0.saturating_sub(upper)))
    }
}

fn without(bound: &str) -> String {
    format!("it has no {bound} bound: give both, or use `join`, which can keep records for ever")
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.lower_ms, self.upper_ms) {
            (None, None) => f.write_str("kept for ever"),
            (Some(lower), None) => write!(f, "from {lower} ms"),
            (None, Some(upper)) => write!(f, "to {upper} ms"),
            (Some(lower), Some(upper)) => write!(f, "{lower} to {upper} ms"),
        }
    }
}

/// A record that is kept, and whether it has met a partner.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
struct Kept<T> {
    record: T,
    is_matched: bool,
}

/// What is kept of a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "A: Data, B: Data")]
struct Sides<A, B> {
    left: ByTime<Kept<A>>,
    right: ByTime<Kept<B>>,
    /// The timer that is set.
    timer: Option<EventTime>,
}

impl<A, B> Default for Sides<A, B> {
    fn default() -> Self {
        Self { left: ByTime::default(), right: ByTime::default(), timer: None }
    }
}

impl<A, B> PartialEq for Sides<A, B> {
    fn eq(&self, other: &Self) -> bool {
        self.left == other.left && self.right == other.right && self.timer == other.timer
    }
}

/// The event time of a record at `time` that can have found no partner after `until`.
fn alone_at(time: EventTime, until: EventTime) -> EventTime {
    if until == EventTime::END { time } else { time.max(until) }
}

/// Calls `meet` with each record of `side` from `first` to `last`; whether there was one.
#[inline]
fn meet<T>(
    side: &mut ByTime<Kept<T>>,
    (first, last): (EventTime, EventTime),
    notes: bool,
    mut meet: impl FnMut(EventTime, &T),
) -> bool {
    let mut met = false;
    if notes {
        for (at, kept) in side.between_mut(first, last) {
            kept.is_matched = true;
            meet(*at, &kept.record);
            met = true;
        }
    } else {
        for (at, kept) in side.between(first, last) {
            meet(*at, &kept.record);
            met = true;
        }
    }
    met
}

struct TimeJoin<K, A, B, P> {
    bounds: Bounds,
    pair: P,
    types: PhantomData<(K, A, B)>,
}

impl<K: Key, A: Data + Sync, B: Data + Sync, P: Pair<A, B>> TimeJoin<K, A, B, P> {
    /// Lets go of what is past, and gives what of it has found no partner.
    fn prune(&self, state: &mut StateMut<'_, Sides<A, B>>, cx: &mut CoContext<'_, Self>) {
        let (bounds, watermark) = (self.bounds, cx.watermark());
        let left_is_past = |time| is_past(bounds.left_until(time), watermark);
        let right_is_past = |time| is_past(bounds.right_until(time), watermark);
        if !state.left.first_time().is_some_and(left_is_past)
            && !state.right.first_time().is_some_and(right_is_past)
        {
            return;
        }
        let Sides { left, right, .. } = &mut **state;
        for (time, kept) in std::iter::from_fn(|| left.pop_first_if(left_is_past)).take(SLICE) {
            if !kept.is_matched
                && let Some(alone) = self.pair.left(&kept.record)
            {
                cx.emit_at(alone_at(time, bounds.left_until(time)), alone);
            }
        }
        for (time, kept) in std::iter::from_fn(|| right.pop_first_if(right_is_past)).take(SLICE) {
            if !kept.is_matched
                && let Some(alone) = self.pair.right(&kept.record)
            {
                cx.emit_at(alone_at(time, bounds.right_until(time)), alone);
            }
        }
    }

    /// Sees to it that the key is called when something of it is past.
    fn arm(&self, state: &mut StateMut<'_, Sides<A, B>>, cx: &mut CoContext<'_, Self>) {
        let due = |time: Option<EventTime>, until: &dyn Fn(EventTime) -> EventTime, is_outer: bool| {
            // What is kept for ever and given to nobody needs no call.
            let until = until(time?);
            (is_outer || until != EventTime::END).then(|| past_at(until))
        };
        let (left, right) = (&state.left, &state.right);
        let left = if P::LEFT { left.first_time() } else { left.last_time() };
        let right = if P::RIGHT { right.first_time() } else { right.last_time() };
        let left = due(left, &|time| self.bounds.left_until(time), P::LEFT);
        let right = due(right, &|time| self.bounds.right_until(time), P::RIGHT);
        if let Some(due) = left.into_iter().chain(right).min()
            && state.timer.is_none_or(|timer| timer > due)
        {
            cx.one_timer_at(&mut state.timer, due);
        }
    }
}

impl<K: Key, A: Data + Sync, B: Data + Sync, P: Pair<A, B>> KeyedCoProcess for TimeJoin<K, A, B, P> {
    type Key = K;
    type First = A;
    type Second = B;
    type Out = P::Out;
    type Side = Late<A, B>;
    type State = Sides<A, B>;

    fn on_first(
        &self,
        record: A,
        state: &mut StateMut<'_, Sides<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        // If right records are kept for ever, it is too late for none of them.
        if cx.is_late() && self.bounds.lower_ms.is_some() {
            cx.side(Late::Left(record));
            return Ok(());
        }
        // What is kept for ever may be of all times.
        if self.bounds.upper_ms.is_some() {
            has_time(cx.time())?;
        }
        self.prune(state, cx);
        let (time, until) = (cx.time(), self.bounds.left_until(cx.time()));
        let range = (self.bounds.left_from(time), until);
        let is_matched = meet(&mut state.right, range, P::RIGHT, |at, right| {
            cx.emit_at(time.max(at), self.pair.both(&record, right));
        });
        if !is_past(until, cx.watermark()) {
            state.left.insert(time, Kept { record, is_matched });
            self.arm(state, cx);
        } else if !is_matched && let Some(alone) = self.pair.left(&record) {
            cx.emit_at(alone_at(time, until), alone);
        }
        Ok(())
    }

    fn on_second(
        &self,
        record: B,
        state: &mut StateMut<'_, Sides<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        if cx.is_late() && self.bounds.upper_ms.is_some() {
            cx.side(Late::Right(record));
            return Ok(());
        }
        if self.bounds.lower_ms.is_some() {
            has_time(cx.time())?;
        }
        self.prune(state, cx);
        let (time, until) = (cx.time(), self.bounds.right_until(cx.time()));
        let range = (self.bounds.right_from(time), until);
        let is_matched = meet(&mut state.left, range, P::LEFT, |at, left| {
            cx.emit_at(time.max(at), self.pair.both(left, &record));
        });
        if !is_past(until, cx.watermark()) {
            state.right.insert(time, Kept { record, is_matched });
            self.arm(state, cx);
        } else if !is_matched && let Some(alone) = self.pair.right(&record) {
            cx.emit_at(alone_at(time, until), alone);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        state: &mut StateMut<'_, Sides<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        state.timer = None;
        self.prune(state, cx);
        self.arm(state, cx);
        Ok(())
    }
}
