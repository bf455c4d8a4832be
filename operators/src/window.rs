//! Windows on keyed streams: records grouped by key and a span of time.
//!
//! [`KeyedStream::window`] takes the windows: anything that is [`Windows`], such as [`Tumbling`]. What it gives
//! waits for what to make of each window's records: [`WindowedStream`]'s `sum`, `count`, `reduce`, `fold`, `aggregate`.
//! Which operator does that is chosen as the graph is built.
//!
//! A window that begins at `start` takes records with `start <= time < end`; it fires once, when
//! the watermark reaches `end`, and records that come for it afterwards go to the late output.
//!
//! * `windows`: the ways to cut, behind one type. [`Tumbling`], [`Sliding`], [`Cumulative`]: those that lie at the same times for
//!   all keys; `aligned`: their arithmetic, `days`: that of calendars;
//! * `panes`: the operator that keeps each window by itself; `slices`, with `queue`: that for windows that overlap and share;
//! * `progress`: the clock that windows go by; `build`: which operator it is;
//! * [`general`]: the operator for all other windows, and for those with a lateness, a trigger or an evictor;
//! * `all`: windows over all records, whatever their keys, with `partials` on each worker.

use std::panic::Location;

use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::State;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Addend, Aggregate, Count, Fold, Reduce, Sum};
use crate::keyed_stream::KeyedStream;
use crate::stream::Stream;

pub(crate) mod aligned;
mod all;
pub(crate) mod build;
mod cumulative;
mod days;
pub mod general;
mod panes;
mod partials;
mod progress;
mod queue;
mod queues;
mod slices;
mod sliding;
mod tumbling;
pub(crate) mod windows;

pub use all::{AllWindows, WindowTotal, WindowedAll};
pub use cumulative::Cumulative;
pub use general::trigger::{self, Decision, Trigger, TriggerContext};
pub use general::{
    CountWindows, Evicted, Evictor, FiredWindow, Firing, FiringWindows, GlobalWindow, Keep, Session, Timing,
    Window, WindowAssigner, WindowOut, WindowOutputs, WindowUpdate,
};
pub use sliding::Sliding;
pub use tumbling::Tumbling;
use windows::Cut;
pub use windows::Windows;

/// The aggregate of one key in one window. Its event time is the last millisecond of the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct WindowResult<K: Key, V: Data> {
    /// The key.
    pub key: K,
    /// The window's first instant.
    pub start: EventTime,
    /// The first instant after the window.
    pub end: EventTime,
    /// The aggregate.
    pub value: V,
}

/// What a window gives.
pub struct Windowed<K: Key, V: Data, T> {
    /// One result per key and window.
    pub out: Stream<WindowResult<K, V>>,
    /// Records whose window has fired.
    pub late: Stream<T>,
}

/// A keyed stream cut into windows, waiting for what to make of them.
#[must_use = "a window needs an aggregate: `.sum(...)`, `.count()`, `.fold(...)`"]
pub struct WindowedStream<K: Key, T: Data> {
    stream: KeyedStream<K, T>,
    name: String,
    windows: Windows<T>,
    location: &'static Location<'static>,
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Cuts each key's records into windows of event time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let pages = clicks.key_by(|page: &char| *page);
    ///     let counts = pages.window("clicks", Tumbling::of(Duration::from_millis(10))).count();
    ///     taps.tap("count", &counts.out.map(|window| (window.key, window.start.0, window.value)));
    ///     taps.tap("late", &counts.late);
    /// });
    /// script.record(3, 'a').record(12, 'a').record(9, 'a').watermark(10).record(8, 'a').end();
    /// assert_eq!(script.output(), ["count@9 ('a', 0, 2)", "late@8 'a'", "count@19 ('a', 10, 1)"]);
    /// ```
    #[track_caller]
    pub fn window(&self, name: impl Into<String>, windows: impl Into<Windows<T>>) -> WindowedStream<K, T> {
        let (name, windows, location) = (name.into(), windows.into(), Location::caller());
        WindowedStream { stream: self.clone(), name, windows, location }
    }
}

impl<K: Key, T: Data> WindowedStream<K, T> {
    /// The number of records.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
    ///     taps.tap("count", &windows.count().out.map(|window| window.value));
    /// });
    /// script.record(1, 5).record(2, 7).end();
    /// assert_eq!(script.output(), ["count@9 2"]);
    /// ```
    pub fn count(self) -> Windowed<K, u64, T> {
        self.aggregate(Count::new())
    }

    /// The sum of `of` over the records; of integers it stays at the bound of their type if it is beyond.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
    ///     taps.tap("sum", &windows.sum(|price| *price).out.map(|window| window.value));
    /// });
    /// script.record(1, 5).record(2, 7).end();
    /// assert_eq!(script.output(), ["sum@9 12"]);
    /// ```
    pub fn sum<V: Addend>(self, of: impl Fn(&T) -> V + Send + Sync + 'static) -> Windowed<K, V, T> {
        self.aggregate(Sum::new(of))
    }

    /// The records folded into an `A` that begins as its default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
    ///     let greatest = windows.fold(|most: &mut u64, price| *most = price.max(*most));
    ///     taps.tap("greatest", &greatest.out.map(|window| window.value));
    /// });
    /// script.record(1, 5).record(2, 7).record(3, 6).end();
    /// assert_eq!(script.output(), ["greatest@9 7"]);
    /// ```
    pub fn fold<A: State>(self, fold: impl Fn(&mut A, T) + Send + Sync + 'static) -> Windowed<K, A, T> {
        self.aggregate(Fold::new(fold))
    }

    /// The records combined into one by `combine(so far, next)`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
    ///     taps.tap("least", &windows.reduce(|least, price| least.min(price)).out.map(|window| window.value));
    /// });
    /// script.record(1, 5).record(2, 7).end();
    /// assert_eq!(script.output(), ["least@9 5"]);
    /// ```
    pub fn reduce(self, combine: impl Fn(T, T) -> T + Send + Sync + 'static) -> Windowed<K, T, T>
    where
        T: PartialEq + Sync,
    {
        self.aggregate(Reduce::new(combine))
    }

    /// Any aggregate.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::aggregate::Sum;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let windows = sales.key_by(|_: &u64| 'k').window("sales", Tumbling::of(Duration::from_millis(10)));
    ///     taps.tap("sum", &windows.aggregate(Sum::new(|price| *price)).out.map(|window| window.value));
    /// });
    /// script.record(1, 5).record(2, 7).end();
    /// assert_eq!(script.output(), ["sum@9 12"]);
    /// ```
    pub fn aggregate<A: Aggregate<In = T>>(self, aggregate: A) -> Windowed<K, A::Out, T> {
        match &self.windows.cut {
            Cut::Aligned(aligned) => {
                let aligned = aligned.clone();
                build::aligned(self, &aligned, aggregate)
            }
            Cut::General(_) => general::plain(self, aggregate),
        }
    }
}
