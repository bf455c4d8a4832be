//! Windows over all records of a stream, whatever their keys.
//!
//! Who alone takes all records is one worker among many. So that the others help, each aggregates the records that it has, slice by slice, if
//! the aggregate [merges](Aggregate::MERGES); once a slice has filled, its partial aggregates go to the one worker that merges them and fires
//! the windows. A slice costs it one record per worker, however many records it has. What does not merge, and windows by processing
//! time, send it every record.

use std::panic::Location;

use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::{State, TimeDomain};
use serde::{Deserialize, Serialize};

use super::aligned::Aligned;
use super::partials;
use super::windows::{Cut, Windows};
use super::{WindowResult, WindowedStream};
use crate::aggregate::{Addend, Aggregate, Count, Fold, Reduce, Sum};
use crate::stream::Stream;

/// The aggregate of all records in one window. Its event time is the last millisecond of the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct WindowTotal<V: Data> {
    /// The window's first instant.
    pub start: EventTime,
    /// The first instant after the window.
    pub end: EventTime,
    /// The aggregate.
    pub value: V,
}

/// What windows over all records give.
pub struct WindowedAll<V: Data, T> {
    /// One result per window that has records.
    pub out: Stream<WindowTotal<V>>,
    /// Records whose windows have fired.
    pub late: Stream<T>,
}

/// A stream cut into windows as a whole, waiting for what to make of them.
#[must_use = "a window needs an aggregate: `.sum(...)`, `.count()`, `.fold(...)`"]
pub struct AllWindows<T: Data> {
    stream: Stream<T>,
    name: String,
    windows: Windows<T>,
    location: &'static Location<'static>,
}

impl<T: Data> Stream<T> {
    /// Cuts the stream into windows of event time, all keys together.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let totals = sales.window_all("totals", Tumbling::of(Duration::from_millis(10))).sum(|price: &u64| *price);
    ///     taps.tap("total", &totals.out.map(|window| (window.start.0, window.value)));
    ///     taps.tap("late", &totals.late);
    /// });
    /// script.record(3, 5).record(12, 7).record(9, 1).watermark(10).record(8, 2).end();
    /// assert_eq!(script.output(), ["total@9 (0, 6)", "late@8 2", "total@19 (10, 7)"]);
    /// ```
    #[track_caller]
    pub fn window_all(&self, name: impl Into<String>, windows: impl Into<Windows<T>>) -> AllWindows<T> {
        let (name, windows, location) = (name.into(), windows.into(), Location::caller());
        AllWindows { stream: self.clone(), name, windows, location }
    }
}

impl<T: Data> AllWindows<T> {
    /// The number of records.
    pub fn count(self) -> WindowedAll<u64, T> {
        self.aggregate(Count::new())
    }

    /// The sum of `of` over the records; of integers it stays at the bound of their type if it is beyond.
    pub fn sum<V: Addend>(self, of: impl Fn(&T) -> V + Send + Sync + 'static) -> WindowedAll<V, T> {
        self.aggregate(Sum::new(of))
    }

    /// The records combined into one by `combine(so far, next)`.
    pub fn reduce(self, combine: impl Fn(T, T) -> T + Send + Sync + 'static) -> WindowedAll<T, T>
    where
        T: PartialEq + Sync,
    {
        self.aggregate(Reduce::new(combine))
    }

    /// The records folded into an `A` that begins as its default; on one worker, as a fold does not say how to merge.
    pub fn fold<A: State>(self, fold: impl Fn(&mut A, T) + Send + Sync + 'static) -> WindowedAll<A, T> {
        self.aggregate(Fold::new(fold))
    }

    /// Any aggregate; on all workers, if it merges.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::aggregate::{Count, Max};
    /// use pelton_operators::{Sliding, testing::Harness};
    ///
    /// let ms = Duration::from_millis;
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.window_all("totals", Sliding::of(ms(20)).every(ms(10)));
    ///     let totals = windows.aggregate((Count::new(), Max::new(|price: &u64| *price)));
    ///     taps.tap("total", &totals.out.map(|window| (window.start.0, window.value)));
    /// });
    /// script.record(3, 5).record(12, 7).end();
    /// assert_eq!(script.output(), ["total@9 (-10, (1, 5))", "total@19 (0, (2, 7))", "total@29 (10, (1, 7))"]);
    /// ```
    pub fn aggregate<A: Aggregate<In = T>>(self, aggregate: A) -> WindowedAll<A::Out, T> {
        let Self { stream, name, windows, location } = self;
        if A::MERGES
            && let Cut::Aligned(aligned) = &windows.cut
            && aligned.domain() == TimeDomain::Event
        {
            return in_two(&stream, name, &aligned.clone(), aggregate, location);
        }
        let stream = stream.key_by(|_| ());
        let windowed = WindowedStream { stream, name, windows, location }.aggregate(aggregate);
        WindowedAll { out: without_key(&windowed.out), late: windowed.late }
    }
}

/// A part on each worker, and the whole on one.
fn in_two<T: Data, A: Aggregate<In = T>>(
    stream: &Stream<T>,
    name: String,
    windows: &Aligned,
    aggregate: A,
    location: &'static Location<'static>,
) -> WindowedAll<A::Out, T> {
    let aggregate = std::sync::Arc::new(aggregate);
    let (parts, late) =
        partials::add(stream, format!("{name}-partials"), windows, aggregate.clone(), location);
    let stream = parts.key_by(|_| ());
    let windows = windows.clone().into();
    let whole = WindowedStream { stream, name, windows, location }.aggregate(partials::Merging(aggregate));
    WindowedAll { out: without_key(&whole.out), late }
}

fn without_key<V: Data>(results: &Stream<WindowResult<(), V>>) -> Stream<WindowTotal<V>> {
    results.map(|WindowResult { start, end, value, .. }| WindowTotal { start, end, value })
}
