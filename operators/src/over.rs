//! Exact sliding aggregates: at each record the aggregate of its key's records in the last minute,
//! hour, day of event time, with the record itself.
//!
//! ```
//! use std::time::Duration;
//! use pelton_operators::{over::last, testing::Harness};
//!
//! let mut script = Harness::new(|payments, taps| {
//!     let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
//!     let cards = payments.key_by(|(card, _): &(char, u64)| *card);
//!     let spend = cards.over("spend", |(_, amount)| *amount)
//!         .features((last(minute).count(), last(hour).sum(), last(hour).max()));
//!     taps.tap("scored", &spend.out);
//! });
//! script.record(1_000, ('a', 5)).record(59_000, ('a', 7)).record(61_000, ('a', 1)).end();
//! assert_eq!(
//!     script.output(),
//!     ["scored@1000 (('a', 5), (1, 5, 5))", "scored@59000 (('a', 7), (2, 12, 7))", "scored@61000 (('a', 1), (2, 13, 7))"]
//! );
//! ```
//!
//! # What is in range
//!
//! Of a record at `t`, `last(length)` takes the records of its key with `t - length < time <= t`: the record
//! itself, all others of the same time (as `RANGE` does in SQL), and none that is exactly `length` older.
//!
//! A record waits until the watermark has passed its time; then it is known what belongs to its range, whatever
//! the order in which records have arrived. A key's records come out in the order of event time, those of equal
//! times in the order of the bytes that their kept values have in state: an order without meaning, but always
//! the same. A record that is earlier than the watermark goes to the late output, and into no aggregate.
//!
//! [`Over::immediately`] answers as soon as a record arrives, over what has arrived till then.
//!
//! # What it costs
//!
//! A record costs the same whether ten or a hundred thousand are in range: `sliding` says how. All ranges
//! share what is kept, which is what the second argument of `over` takes of a record, until it is out of the longest
//! range. A key that falls silent vanishes by then. A checkpoint writes what has been added, not what is in range:
//! `history` says how. After a restart, and each time that a key has been let go of because memory is short,
//! the aggregates of the key are made anew from its kept values: a read of all of them. Where keys have more than some
//! ten thousand values in range and do not fit into memory, [`Over::coarsen`] keeps less.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::graph::{OutputPort, PortRef, Role};
use pelton_dataflow::key::Key;
use pelton_dataflow::operator::{Operator, OperatorContext};
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::spec::VALUE;
use pelton_state::{MapTable, State, StateSpec, TableValue};

use crate::keyed_stream::KeyedStream;
use crate::stream::Stream;

mod aggregates;
mod by;
mod features;
mod history;
mod immediate;
mod keep;
mod kept;
mod multisets;
mod ordered;
mod range;
mod sketches;
mod sliding;
#[cfg(test)]
mod tests;
mod waiting;

pub use aggregates::{
    Compensated, Count, First, Latest, LatestN, Max, Mean, Min, Moments, Numeric, Of, RangeAggregate, Spread,
    Statistic, Sum, Summable,
};
pub use by::By;
pub use features::Features;
use features::Ranges;
use history::Chunk;
use immediate::Immediate;
use keep::{Buckets, Each, Keep, Taken};
pub use multisets::{Distinct, Quantile, Ranked, Sorted};
use ordered::Ordered;
pub use range::{Last, LastOf, Ranged, last};
pub use sketches::{Bucket, DistinctSketch, QuantileSketch, Registers};
use sliding::Rolling;

/// The table of what is kept.
const KEPT: &str = "kept";
/// The table of records that wait for the watermark.
const WAITING: &str = "waiting";

/// A keyed stream whose records are to be aggregated over ranges before them.
#[must_use = "it needs functions: `.features((last(hour).sum(), ..))`"]
pub struct Over<K: Key, T: Data, V> {
    stream: KeyedStream<K, T>,
    name: String,
    taken: Taken<T, V>,
    bucket: Option<Duration>,
    is_immediate: bool,
    location: &'static Location<'static>,
}

/// What aggregates over ranges give.
pub struct Featured<T, U> {
    /// Each record with its results.
    pub out: Stream<(T, U)>,
    /// Records that were earlier than the watermark.
    pub late: Stream<T>,
}

impl<K: Key, T: Data + Sync> KeyedStream<K, T> {
    /// Aggregates over ranges of event time before each record: see [the module](crate::over). `keep` takes of a
    /// record what the functions need; nothing else is kept once the record is released.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{over::last, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let pages = clicks.key_by(|(page, _): &(char, u64)| *page);
    ///     let clicks = pages.over("clicks", |(_, user)| *user).features(last(Duration::from_millis(10)).distinct());
    ///     taps.tap("users", &clicks.out.map(|((page, _), users)| (page, users)));
    ///     taps.tap("late", &clicks.late);
    /// });
    /// script.record(8, ('a', 2)).record(3, ('a', 1)).watermark(10).record(9, ('a', 3)).record(13, ('a', 2)).end();
    /// assert_eq!(script.output(), ["users@3 ('a', 1)", "users@8 ('a', 2)", "late@9 ('a', 3)", "users@13 ('a', 1)"]);
    /// ```
    #[track_caller]
    pub fn over<V: Data + TableValue>(
        &self,
        name: impl Into<String>,
        keep: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Over<K, T, V> {
        let (stream, taken) = (self.clone(), Arc::new(keep));
        let (name, location) = (name.into(), Location::caller());
        Over { stream, name, taken, bucket: None, is_immediate: false, location }
    }
}

impl<K: Key, T: Data + Sync, V: Data + TableValue> Over<K, T, V> {
    /// Keeps partial aggregates of buckets of time instead of values: what is kept of a key no longer grows
    /// with its rate, but with the longest range by `bucket` and with what a partial aggregate of each
    /// function takes. The price is the oldest bucket: as long as its latest record is in range, all of it is, so that
    /// a range reaches up to `bucket` further back than it says, and never less. Everything else stays exact.
    ///
    /// Buckets begin at multiples of `bucket` since the Unix epoch, in whole milliseconds, and must not be longer
    /// than the shortest range. A checkpoint of buckets of another length, or of functions whose partial aggregates mean
    /// something else (the precision of `distinct_about`, the error of `quantile_about`), is refused; the ranges may change.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{over::last, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let pages = clicks.key_by(|page: &char| *page);
    ///     let counts = pages.over("clicks", |_| ()).coarsen(Duration::from_millis(10));
    ///     taps.tap("count", &counts.features(last(Duration::from_millis(20)).count()).out);
    /// });
    /// script.record(11, 'a').record(19, 'a').record(38, 'a').record(39, 'a').end();
    /// // The record at 11 is 27 older than that at 38, but in one bucket with that at 19.
    /// assert_eq!(script.output(), ["count@11 ('a', 1)", "count@19 ('a', 2)", "count@38 ('a', 3)", "count@39 ('a', 2)"]);
    /// ```
    pub fn coarsen(self, bucket: Duration) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// Answers as soon as a record arrives, over what has arrived till then: low latency for results that depend on
    /// the order of arrival. Of records that come in order they are the same as without, but of equal times the
    /// later ones do not count for the earlier.
    ///
    /// It costs more the further records are ahead of the watermark: a question goes through all values of its key that
    /// the watermark has not passed, and a checkpoint writes them. It does not go together with [`Over::coarsen`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{over::last, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let clicks = clicks.key_by(|page: &char| *page).over("clicks", |_| ()).immediately();
    ///     taps.tap("count", &clicks.features(last(Duration::from_millis(10)).count()).out);
    /// });
    /// script.record(5, 'a').record(8, 'a').record(6, 'a').record(9, 'a');
    /// assert_eq!(script.output(), ["count@5 ('a', 1)", "count@8 ('a', 2)", "count@6 ('a', 2)", "count@9 ('a', 4)"]);
    /// ```
    pub fn immediately(self) -> Self {
        Self { is_immediate: true, ..self }
    }

    /// The functions: one, or a tuple of up to eight, each of a range of its own.
    pub fn features<F: Features<V>>(self, mut features: F) -> Featured<T, F::Out> {
        let mut ranges = Ranges::default();
        features.bind(&mut ranges);
        match self.bucket {
            Some(bucket) => self.coarse(features, ranges, bucket),
            None if self.is_immediate => self.immediate(features, ranges),
            None => {
                let keep = Arc::new(Each(self.taken.clone()));
                self.ordered(keep, features, ranges, "")
            }
        }
    }

    fn coarse<F: Features<V>>(
        self,
        features: F,
        mut ranges: Ranges,
        bucket: Duration,
    ) -> Featured<T, F::Out> {
        let shortest_ms = ranges.lengths_ms.iter().copied().min().unwrap_or(i64::MAX);
        let bucket_ms = range::check(bucket).unwrap_or_else(|problem| {
            ranges.problems.push(problem.replace("a range", "a bucket"));
            1
        });
        if bucket_ms > shortest_ms {
            ranges.problems.push(format!(
                "buckets of {bucket:?} are longer than its shortest range, {shortest_ms} ms: give at most that"
            ));
        }
        if self.is_immediate {
            let problem = "buckets are filled in the order of event time, which `.immediately()` does not wait for: \
                           leave it out, or `.coarsen(..)`";
            ranges.problems.push(problem.to_owned());
        }
        let meanings = ranges.meanings.iter().enumerate().filter(|(_, meaning)| !meaning.is_empty());
        let meanings = meanings.map(|(nth, meaning)| format!(", {}. {meaning}", nth + 1));
        ranges.kept_are = Some(format!("buckets of {bucket_ms} ms{}", meanings.collect::<String>()));
        let coarse = features.coarse();
        let keep = Arc::new(Buckets { taken: self.taken.clone(), features, bucket_ms });
        self.ordered(keep, coarse, ranges, &format!(", in buckets of {bucket:?}"))
    }

    /// Adds the operator that waits: what is kept of a record, and the functions of that.
    fn ordered<P, F>(self, keep: Arc<P>, features: F, ranges: Ranges, detail: &str) -> Featured<T, F::Out>
    where
        P: Keep<T>,
        F: Features<P::Entry>,
    {
        let detail = detail_of(&ranges) + detail;
        let spec = StateSpec::new().map(MapTable::<u32, Chunk<T>>::new(WAITING)).map(kept::<P::Entry>());
        self.add(spec, features, ranges, detail, move |sliding, spec, cx| {
            Ok(Box::new(Ordered::<K, T, P, F>::new(keep.clone(), sliding, spec, cx)?))
        })
    }

    /// Adds the operator that does not.
    fn immediate<F: Features<V>>(self, features: F, ranges: Ranges) -> Featured<T, F::Out> {
        let detail = detail_of(&ranges) + ", at once";
        let taken = self.taken.clone();
        let spec = StateSpec::new().map(kept::<V>());
        self.add(spec, features, ranges, detail, move |sliding, spec, cx| {
            Ok(Box::new(Immediate::<K, T, V, F>::new(taken.clone(), sliding, spec, cx)?))
        })
    }

    fn add<S: State, F: Send + Sync + 'static, U: Data>(
        self,
        spec: StateSpec<S>,
        features: F,
        ranges: Ranges,
        detail: String,
        make: impl Fn(Arc<Rolling<F>>, StateSpec<S>, &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError>
        + Send
        + Sync
        + 'static,
    ) -> Featured<T, U> {
        let Self { stream, name, location, .. } = self;
        let graph = stream.stream.graph.clone();
        for problem in &ranges.problems {
            graph.mistake(&name, problem, location);
        }
        let spec = spec.timers();
        let mut states = stream.decls_or_mistake(&name, spec.decls::<K>(), location);
        if let Some(meaning) = &ranges.kept_are {
            let kept = states.iter_mut().filter(|state| state.name == VALUE || state.name == KEPT);
            kept.for_each(|state| state.fingerprint += &format!(" / {meaning}"));
        }
        let mut add = stream.stateful::<(T, U)>(name, "over", states, location);
        add.outputs.push(OutputPort::of::<T>("late"));
        add.detail = detail;
        let sliding = Arc::new(Rolling::new(features, ranges));
        let factory = move |cx: &OperatorContext<'_>| make(sliding.clone(), spec.clone(), cx);
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        Featured {
            out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
            late: Stream::new(graph, PortRef { node, port: 1 }),
        }
    }
}

/// The table of kept values.
fn kept<E>() -> MapTable<u32, Chunk<E>> {
    MapTable::new(KEPT)
}

/// The ranges, for `explain`.
fn detail_of(ranges: &Ranges) -> String {
    let lengths = ranges
        .lengths_ms
        .iter()
        .map(|length_ms| format!("{:?}", Duration::from_millis(length_ms.unsigned_abs())));
    format!("last {}", lengths.collect::<Vec<_>>().join(", "))
}

/// A record must have an event time.
fn check_time(time: EventTime) -> OpResult {
    match time {
        EventTime::MIN | EventTime::END => Err(format!(
            "a record at {time} has no range: give the source `.watermarks(...)` that read its event time"
        )
        .into()),
        _ => Ok(()),
    }
}
