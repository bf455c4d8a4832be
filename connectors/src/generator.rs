//! A source that makes its records from their index.
//!
//! Owns splits, rate and position. What the records are is a function of the index alone, so that
//! every run and every replay makes the same ones.

use std::sync::Arc;

use pelton_dataflow::clock::{Clock, SystemClock};
use pelton_dataflow::error::OpError;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Enumerator, Fetched, Polled, ReaderContext, Source, SplitInfo, SplitReader};

use crate::error::Error;
use crate::position::{self, Kind};
use crate::stripes::Stripe;

/// Records made by a function of their index: a million of them, or without end; at once, or at a
/// rate.
///
/// Split *s* of *n* makes the indexes *s*, *s+n*, *s+2n*, ...
///
/// ```
/// use pelton_connectors::Generator;
///
/// let numbers = Generator::new(1_000_000, |index| index * 2).splits(4);
/// ```
pub struct Generator<T> {
    count: u64,
    splits: u32,
    rate: Option<u64>,
    clock: Arc<dyn Clock>,
    fill: Arc<Fill<T>>,
}

/// Makes a run of records. Its loop is compiled together with the user's function, so that only
/// the run, not the record, costs a dynamic call.
type Fill<T> = dyn Fn(&Run, &mut Vec<T>) + Send + Sync;

/// Indexes that are made in one go.
struct Run {
    first: u64,
    stride: u64,
    count: usize,
    pace: Option<Pace>,
}

impl<T: Data> Generator<T> {
    /// Splits unless asked otherwise: they divide evenly over 1, 2, 4 and 8 workers.
    pub const DEFAULT_SPLITS: u32 = 8;

    /// The records of the indexes 0 to `count` - 1.
    ///
    /// ```
    /// use pelton_connectors::Generator;
    /// let squares = Generator::new(100, |index| index * index);
    /// ```
    pub fn new(count: u64, make: impl Fn(u64) -> T + Send + Sync + 'static) -> Self {
        Self::filled(count, move |run, values| {
            values.extend((0..run.count as u64).map(|i| make(run.first + i * run.stride)));
        })
    }

    /// The records of all indexes, without end.
    ///
    /// ```
    /// use pelton_connectors::Generator;
    /// let ticks = Generator::endless(|index| index).rate(10);
    /// ```
    pub fn endless(make: impl Fn(u64) -> T + Send + Sync + 'static) -> Self {
        Self::new(u64::MAX, make)
    }

    /// The records of the indexes 0 to `count` - 1 at a rate, each made with the time that it was
    /// due at, in microseconds since the Unix epoch. Measured from that time, a latency counts also
    /// what the system was late to take the record in.
    ///
    /// ```
    /// use pelton_connectors::Generator;
    /// let requests = Generator::scheduled(60_000, 1_000, |index, due_us| (index, due_us));
    /// ```
    pub fn scheduled(
        count: u64,
        events_per_s: u64,
        make: impl Fn(u64, i64) -> T + Send + Sync + 'static,
    ) -> Self {
        let scheduled = Self::filled(count, move |run, values| {
            let pace = run.pace.as_ref().expect("`rate` is set below and cannot be unset");
            let indexes = (0..run.count as u64).map(|i| run.first + i * run.stride);
            values.extend(indexes.map(|index| make(index, pace.due_us(index))));
        });
        scheduled.rate(events_per_s)
    }

    /// Makes the record of index *i* only *i / `events_per_s`* seconds after the start, over all
    /// splits together. A generator that falls behind catches up.
    #[must_use]
    pub fn rate(mut self, events_per_s: u64) -> Self {
        self.rate = Some(events_per_s);
        self
    }

    /// Divides the indexes over `splits` splits.
    #[must_use]
    pub fn splits(mut self, splits: u32) -> Self {
        self.splits = splits;
        self
    }

    /// Takes the time from `clock` instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn filled(count: u64, fill: impl Fn(&Run, &mut Vec<T>) + Send + Sync + 'static) -> Self {
        let clock = Arc::new(SystemClock);
        Self { count, splits: Self::DEFAULT_SPLITS, rate: None, clock, fill: Arc::new(fill) }
    }
}

impl<T: Data> Source for Generator<T> {
    type Item = T;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        if self.rate == Some(0) {
            let reason =
                "it is 0 events per second, at which none ever comes; leave it out for no limit".to_owned();
            return Err(Error::Setting { what: "rate of a generator", reason }.into());
        }
        Ok(Stripe::enumerator(self.splits, self.describe())?)
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = T>>, OpError> {
        let (stripe, next) = Stripe::open(&split.id, position, self.splits, || self.describe())?;
        let pace =
            self.rate.map(|rate| Pace::starting_with(next - stripe.first(), rate, self.clock.now_us()));
        Ok(Box::new(Reader {
            stripe,
            next,
            count: self.count,
            pace,
            clock: self.clock.clone(),
            fill: self.fill.clone(),
        }))
    }

    fn counted_in(&self) -> &'static str {
        "index"
    }

    fn describe(&self) -> String {
        let count =
            if self.count == u64::MAX { "without end".to_owned() } else { format!("of {}", self.count) };
        match self.rate {
            None => format!("generator {count}"),
            Some(rate) => format!("generator {count}, {rate}/s"),
        }
    }
}

struct Reader<T> {
    stripe: Stripe,
    next: u64,
    count: u64,
    pace: Option<Pace>,
    clock: Arc<dyn Clock>,
    fill: Arc<Fill<T>>,
}

impl<T: Data> SplitReader for Reader<T> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        let left = self.stripe.remaining(self.next, self.count);
        if left == 0 {
            return Ok(Polled::Finished);
        }
        let due = self
            .pace
            .as_ref()
            .map_or(u64::MAX, |pace| self.stripe.remaining(self.next, pace.due_before(self.clock.now_us())));
        let count = left.min(due).min(max_records as u64);
        if count == 0 {
            return Ok(Polled::PendingUnannounced);
        }
        let stride = self.stripe.stride();
        let count_here = usize::try_from(count).expect("it is at most `max_records`");
        let run = Run { first: self.next, stride, count: count_here, pace: self.pace };
        (self.fill)(&run, &mut out.values);
        out.span = Some((self.next, self.next + (count - 1) * stride));
        out.created_us = self.pace.map(|pace| pace.due_us(self.next));
        self.next += count * stride;
        Ok(Polled::Ready)
    }

    fn position(&self) -> Vec<u8> {
        position::encode(Kind::Index, [self.next])
    }
}

/// When each index is due: index *i* at `start_us` + *i* / `rate`.
#[derive(Clone, Copy)]
struct Pace {
    start_us: i64,
    rate: u64,
}

impl Pace {
    const SECOND_US: u64 = 1_000_000;

    /// The pace at which `index` is due at `now_us`.
    fn starting_with(index: u64, rate: u64, now_us: i64) -> Self {
        let from_zero = Self { start_us: 0, rate };
        Self { start_us: now_us.saturating_sub(from_zero.due_us(index)), rate }
    }

    /// When `index` is due. Whole seconds and the rest apart, so that nothing overflows.
    #[inline]
    fn due_us(self, index: u64) -> i64 {
        let (seconds, rest) = (index / self.rate, index % self.rate);
        let after =
            seconds.saturating_mul(Self::SECOND_US).saturating_add(rest * Self::SECOND_US / self.rate);
        self.start_us.saturating_add_unsigned(after)
    }

    /// The least index that is not yet due at `now_us`.
    fn due_before(self, now_us: i64) -> u64 {
        let Ok(elapsed_us) = u64::try_from(now_us.saturating_sub(self.start_us)) else { return 0 };
        let due = (u128::from(elapsed_us) + 1) * u128::from(self.rate);
        u64::try_from(due.div_ceil(u128::from(Self::SECOND_US))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_index_is_due_exactly_when_its_time_has_come(
            rate in 1u64..5_000_000, index in 0u64..1_000_000_000, start_us in -5i64..2_000_000_000_000_000,
        ) {
            let pace = Pace { start_us, rate };
            let due_us = pace.due_us(index);
            prop_assert!(pace.due_before(due_us) > index);
            prop_assert!(pace.due_before(due_us - 1) <= index);
        }
    }
}
