//! Ranges of event time, and the functions over them: `last(hour).sum()`.

use std::sync::Arc;
use std::time::Duration;

use super::aggregates::{Count, First, Latest, LatestN, Max, Mean, Min, Of, Spread, Statistic, Sum};
use super::by::By;
use super::features::Ranges;
use super::multisets::{Distinct, Quantile};
use super::sketches::{DistinctSketch, QuantileSketch};

/// The last `length` of event time before a record, with it: of a record at `t`, the records of its
/// key with `t - length < time <= t`. In whole milliseconds, at least one.
pub fn last(length: Duration) -> Last {
    Last { length }
}

/// A range, waiting for a function: see [`last`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a range needs a function: `.sum()`, `.count()`, `.aggregate(..)`"]
pub struct Last {
    length: Duration,
}

/// A range whose functions take a part of each kept value: see [`Last::of`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a range needs a function: `.sum()`, `.count()`, `.aggregate(..)`"]
pub struct LastOf<F> {
    length: Duration,
    of: F,
}

/// One function of one range.
#[derive(Clone, Debug)]
#[must_use = "a function of a range is given to `.features((..))`"]
pub struct Ranged<A> {
    length: Duration,
    pub(super) aggregate: Arc<A>,
    /// Which of the operator's distinct ranges it is.
    pub(super) range: usize,
}

impl<A> Ranged<A> {
    fn new(length: Duration, aggregate: A) -> Self {
        Self { length, aggregate: Arc::new(aggregate), range: 0 }
    }

    /// Finds its place among the ranges of its operator.
    pub(super) fn enter(&mut self, ranges: &mut Ranges, aggregate: Result<(), String>, subtracts: bool) {
        ranges.problems.extend(aggregate.err());
        let length_ms = match check(self.length) {
            Ok(length_ms) => length_ms,
            Err(problem) => {
                ranges.problems.push(problem);
                return;
            }
        };
        let known = ranges.lengths_ms.iter().position(|known| *known == length_ms);
        self.range = known.unwrap_or_else(|| {
            ranges.lengths_ms.push(length_ms);
            ranges.subtracts.push(false);
            ranges.lengths_ms.len() - 1
        });
        ranges.subtracts[self.range] |= subtracts;
    }

    /// Another function of the same range.
    pub(super) fn map<B>(&self, map: impl FnOnce(Arc<A>) -> B) -> Ranged<B> {
        let aggregate = Arc::new(map(self.aggregate.clone()));
        Ranged { length: self.length, aggregate, range: self.range }
    }
}

/// The milliseconds of a range, or what is wrong with it.
pub(super) fn check(length: Duration) -> Result<i64, String> {
    match i64::try_from(length.as_millis()) {
        Err(_) => Err(format!("a range of {length:?} is longer than event time reaches")),
        _ if length < Duration::from_millis(1) => {
            Err(format!("a range of {length:?} is empty: give at least 1 ms"))
        }
        _ if !length.subsec_nanos().is_multiple_of(1_000_000) => {
            Err(format!("a range of {length:?} is not a whole number of milliseconds"))
        }
        Ok(length_ms) => Ok(length_ms),
    }
}

impl Last {
    /// Has the function take `of` each kept value instead of the value.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{over::last, testing::Harness};
    ///
    /// let mut script = Harness::new(|payments, taps| {
    ///     let cards = payments.key_by(|(card, _, _): &(char, u64, u64)| *card);
    ///     let shops = last(Duration::from_millis(10)).of(|(shop, _): &(u64, u64)| *shop).distinct();
    ///     let sum = last(Duration::from_millis(10)).of(|(_, amount): &(u64, u64)| *amount).sum();
    ///     let spend = cards.over("spend", |(_, shop, amount)| (*shop, *amount)).features((shops, sum));
    ///     taps.tap("features", &spend.out.map(|(_, features)| features));
    /// });
    /// script.record(1, ('a', 7, 100)).record(2, ('a', 7, 10)).record(3, ('a', 8, 1)).end();
    /// assert_eq!(script.output(), ["features@1 (1, 100)", "features@2 (1, 110)", "features@3 (2, 111)"]);
    /// ```
    pub fn of<F>(self, of: F) -> LastOf<F> {
        LastOf { length: self.length, of }
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $aggregate:ty = $make:expr;)+) => {
        impl Last {
            $($(#[$doc])* pub fn $name(self, $($argument: $type),*) -> Ranged<$aggregate> {
                Ranged::new(self.length, $make)
            })+

            /// An aggregate as windows take them. It must merge.
            ///
            /// ```
            /// use std::time::Duration;
            /// use pelton_operators::aggregate::MaxBy;
            /// use pelton_operators::{over::last, testing::Harness};
            ///
            /// let mut script = Harness::new(|bids, taps| {
            ///     let lots = bids.key_by(|(lot, _, _): &(char, u32, u64)| *lot);
            ///     let best = last(Duration::from_millis(10)).by(MaxBy::new(|(_, _, price): &(char, u32, u64)| *price));
            ///     taps.tap("best", &lots.over("best-bids", Clone::clone).features(best).out.map(|(_, best)| best));
            /// });
            /// script.record(1, ('a', 7, 100)).record(2, ('a', 8, 50)).record(11, ('a', 9, 30)).end();
            /// assert_eq!(script.output(), ["best@1 ('a', 7, 100)", "best@2 ('a', 7, 100)", "best@11 ('a', 8, 50)"]);
            /// ```
            pub fn by<A>(self, aggregate: A) -> Ranged<By<A>> {
                Ranged::new(self.length, By(aggregate))
            }

            /// A function of your own.
            pub fn aggregate<A>(self, aggregate: A) -> Ranged<A> {
                Ranged::new(self.length, aggregate)
            }
        }

        impl<F> LastOf<F> {
            $($(#[$doc])* pub fn $name(self, $($argument: $type),*) -> Ranged<Of<F, $aggregate>> {
                Ranged::new(self.length, Of { of: self.of, aggregate: $make })
            })+

            /// An aggregate as windows take them. It must merge.
            pub fn by<A>(self, aggregate: A) -> Ranged<Of<F, By<A>>> {
                Ranged::new(self.length, Of { of: self.of, aggregate: By(aggregate) })
            }

            /// A function of your own.
            pub fn aggregate<A>(self, aggregate: A) -> Ranged<Of<F, A>> {
                Ranged::new(self.length, Of { of: self.of, aggregate })
            }
        }
    };
}

functions! {
    /// How many there are.
    count() -> Count = Count;
    /// Their sum. Of integers it is exact, and stays at the bound of 64 bits if it is beyond; of floating
    /// point numbers it is that of the numbers in range alone, added up with a second number for what the
    /// first has lost.
    sum() -> Sum = Sum;
    /// The least. A number that is none (NaN) gives way to any other.
    min() -> Min = Min;
    /// The greatest. A number that is none (NaN) gives way to any other.
    max() -> Max = Max;
    /// Their mean.
    mean() -> Mean = Mean;
    /// The mean square of their distances from their mean (of the range as a whole: divided by `n`).
    variance() -> Spread = Spread(Statistic::Variance);
    /// The estimated variance of what they are a sample of (divided by `n - 1`); of one it is 0.
    sample_variance() -> Spread = Spread(Statistic::SampleVariance);
    /// The square root of `variance`.
    stddev() -> Spread = Spread(Statistic::Deviation);
    /// The earliest.
    first() -> First = First;
    /// The latest: of equal times that of the greatest bytes, which need not be the record at hand.
    latest() -> Latest = Latest;
    /// The latest `n`, in order. Each of them is kept up to 512 times for keys that have many: for
    /// small `n`.
    latest_n(n: usize) -> LatestN = LatestN(n);
    /// How many different ones there are.
    distinct() -> Distinct = Distinct;
    /// About how many different ones there are, by a HyperLogLog of `2^precision` bytes, 4 to 16: its
    /// standard error is `1.04 / sqrt(2^precision)`, so 1.6 % for 12.
    distinct_about(precision: u8) -> DistinctSketch = DistinctSketch::new(precision);
    /// The least one that at least the part `q` (0 to 1) of them does not exceed: `0.5` is the lower median.
    quantile(q: f64) -> Quantile = Quantile(q);
    /// The same with a relative error of at most `error` (such as 0.01), by a `DDSketch`; its memory grows with the
    /// logarithm of the greatest by the least number, not with how many there are.
    quantile_about(q: f64, error: f64) -> QuantileSketch = QuantileSketch::new(q, error);
}
