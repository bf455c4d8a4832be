//! A source of values at hand: a small vector, for tests and examples.

use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::OpError;
use pelton_dataflow::record::Data;
use pelton_dataflow::source::{Enumerator, Fetched, Polled, ReaderContext, Source, SplitInfo, SplitReader};
use pelton_dataflow::time::EventTime;

use crate::position::{self, Kind};
use crate::stripes::Stripe;

/// The values of a collection, in order.
///
/// ```
/// use pelton_connectors::Values;
///
/// let words = Values::new(["a", "b", "c"].map(str::to_owned));
/// ```
pub struct Values<T> {
    /// Behind a lock because records need not be `Sync`.
    values: Arc<Mutex<Vec<T>>>,
    times: Arc<[EventTime]>,
    splits: u32,
}

impl<T: Data> Values<T> {
    /// The values of `values`, in one split.
    pub fn new(values: impl IntoIterator<Item = T>) -> Self {
        Self { values: Arc::new(Mutex::new(values.into_iter().collect())), times: Arc::new([]), splits: 1 }
    }

    /// Values with their event times, for streams without a watermark strategy that takes the
    /// time from the value.
    ///
    /// ```
    /// use pelton_connectors::Values;
    /// let scores = Values::timed([(10, 1.5), (20, 2.5)]);
    /// ```
    pub fn timed(values: impl IntoIterator<Item = (i64, T)>) -> Self {
        let (times, values): (Vec<_>, Vec<_>) =
            values.into_iter().map(|(time_ms, value)| (EventTime(time_ms), value)).unzip();
        Self { times: times.into(), ..Self::new(values) }
    }

    /// Deals the values out to `splits` splits in turn.
    #[must_use]
    pub fn splits(mut self, splits: u32) -> Self {
        self.splits = splits;
        self
    }

    fn len(&self) -> usize {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<T: Data> FromIterator<T> for Values<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::new(values)
    }
}

impl<T: Data> Source for Values<T> {
    type Item = T;

    fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
        Ok(Stripe::enumerator(self.splits, self.describe())?)
    }

    fn open(
        &self,
        split: &SplitInfo,
        position: Option<&[u8]>,
        _cx: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<Item = T>>, OpError> {
        let (stripe, next) = Stripe::open(&split.id, position, self.splits, || self.describe())?;
        Ok(Box::new(Reader { values: self.values.clone(), times: self.times.clone(), stripe, next }))
    }

    fn counted_in(&self) -> &'static str {
        "index"
    }

    fn describe(&self) -> String {
        format!("{} values", self.len())
    }
}

struct Reader<T> {
    values: Arc<Mutex<Vec<T>>>,
    times: Arc<[EventTime]>,
    stripe: Stripe,
    next: u64,
}

impl<T: Data> SplitReader for Reader<T> {
    type Item = T;

    fn poll(&mut self, max_records: usize, out: &mut Fetched<T>) -> Result<Polled, OpError> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.next;
        for _ in 0..max_records {
            let index = usize::try_from(self.next).unwrap_or(usize::MAX);
            let Some(value) = values.get(index) else { break };
            out.values.push(value.clone());
            out.times.extend(self.times.get(index));
            out.span = Some((first, self.next));
            self.next += self.stripe.stride();
        }
        Ok(if self.next == first && max_records > 0 { Polled::Finished } else { Polled::Ready })
    }

    fn position(&self) -> Vec<u8> {
        position::encode(Kind::Index, [self.next])
    }
}
