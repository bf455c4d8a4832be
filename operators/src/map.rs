//! `map`, `filter`, `inspect`: one record in, at most one out, a batch at a time.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OperatorError;
use pelton_dataflow::operator::{Flow, Operator, Outputs};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Batch, Data, Record};

use crate::stream::{Add, Stream};

/// The ranks of a batch, as long as its records; they go with them.
type BatchRanks = Option<Vec<Rank>>;

/// Turns a whole batch of `T` into one of `U`.
struct BatchMap<F, T, U> {
    apply: F,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<T, U, F> Operator for BatchMap<F, T, U>
where
    T: Data,
    U: Data,
    F: FnMut(Vec<Record<T>>, &mut BatchRanks) -> Vec<Record<U>>,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin, mut ranks) = batch.into_ranked::<T>();
        let records = (self.apply)(records, &mut ranks);
        out.send_ranked(0, records, origin, ranks);
        Ok(Flow::Done)
    }
}

impl<T: Data> Stream<T> {
    fn by_batch<U: Data>(
        &self,
        kind: &'static str,
        location: &'static Location<'static>,
        apply: impl Fn(Vec<Record<T>>, &mut BatchRanks) -> Vec<Record<U>> + Send + Sync + 'static,
    ) -> Stream<U> {
        let apply = Arc::new(apply);
        let mapped = self.then(Add::stateless::<U>(kind, self.port, location), move |_| {
            let apply = apply.clone();
            BatchMap {
                apply: move |records, ranks: &mut _| apply(records, ranks),
                types: std::marker::PhantomData,
            }
        });
        mapped.with_ranks_kept()
    }

    /// Turns each record into another; it keeps its event time.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let doubled = run_stateless([1u64, 2, 3], |numbers| numbers.map(|n| n * 2));
    /// assert_eq!(doubled, [2, 4, 6]);
    /// ```
    #[track_caller]
    pub fn map<U: Data>(&self, f: impl Fn(T) -> U + Send + Sync + 'static) -> Stream<U> {
        self.by_batch("map", Location::caller(), move |records, _| {
            records.into_iter().map(|record| Record::new(record.time, f(record.value))).collect()
        })
    }

    /// Keeps the records for which `keep` holds.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let even = run_stateless([1u64, 2, 3, 4], |numbers| numbers.filter(|n| n % 2 == 0));
    /// assert_eq!(even, [2, 4]);
    /// ```
    #[track_caller]
    pub fn filter(&self, keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.by_batch("filter", Location::caller(), move |mut records, ranks| {
            match ranks {
                None => records.retain(|record| keep(&record.value)),
                Some(ranks) => {
                    let mut all = std::mem::take(ranks).into_iter();
                    records.retain(|record| {
                        let rank = all.next();
                        let is_kept = keep(&record.value);
                        ranks.extend(rank.filter(|_| is_kept));
                        is_kept
                    });
                }
            }
            records
        })
    }

    /// Shows each record to `look`, and passes it on.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let same = run_stateless([1u64, 2], |numbers| numbers.inspect(|n| assert!(*n > 0)));
    /// assert_eq!(same, [1, 2]);
    /// ```
    #[track_caller]
    pub fn inspect(&self, look: impl Fn(&T) + Send + Sync + 'static) -> Self {
        self.by_batch("inspect", Location::caller(), move |records, _| {
            records.iter().for_each(|record| look(&record.value));
            records
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::run_stateless;

    #[test]
    fn a_chain_runs_to_its_end() {
        let found = run_stateless(0..5_000u64, |numbers| numbers.map(|n| n * 2).filter(|n| n % 3 == 0));
        assert_eq!(found, (0..5_000).map(|n| n * 2).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    }
}
