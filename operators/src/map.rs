//! `map`, `filter`, `filter_map`, `inspect`: one record in, at most one out, a batch at a time.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OperatorError};
use pelton_dataflow::graph::{PortRef, Role};
use pelton_dataflow::operator::{Flow, Operator, OperatorContext, OperatorFactory, Outputs};
use pelton_dataflow::rank::Rank;
use pelton_dataflow::record::{Batch, Data, Origin, Record};

use crate::stream::{Add, Stream};

/// The ranks of a batch, as long as its records; they go with them.
type BatchRanks = Option<Vec<Rank>>;

/// Takes of each record what a function that only looks at it gives.
struct FilterMap<F, T, U> {
    pick: Arc<F>,
    types: std::marker::PhantomData<fn(T) -> U>,
}

impl<T: Data, U: Data, F: Fn(&T) -> Option<U>> FilterMap<F, T, U> {
    fn picked(&self, records: &[Record<T>], ranks: Option<&[Rank]>, origin: &Origin, out: &mut Outputs) {
        let pick = |record: &Record<T>| Some(Record::new(record.time, (self.pick)(&record.value)?));
        let Some(ranks) = ranks else {
            return out.send(0, records.iter().filter_map(pick).collect(), origin.clone());
        };
        let both = records.iter().zip(ranks).filter_map(|(record, rank)| Some((pick(record)?, rank.clone())));
        let (records, ranks) = both.unzip();
        out.send_ranked(0, records, origin.clone(), Some(ranks));
    }
}

impl<T: Data, U: Data, F: Fn(&T) -> Option<U>> Operator for FilterMap<F, T, U> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin, ranks) = batch.into_ranked::<T>();
        self.picked(&records, ranks.as_deref(), &origin, out);
        Ok(Flow::Done)
    }

    fn on_shared(&mut self, port: usize, batch: &Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let Some(records) = batch.records::<T>() else { return self.on_batch(port, batch.clone(), out) };
        self.picked(records, batch.ranks(), &batch.origin, out);
        Ok(Flow::Done)
    }
}

/// Makes operators that only look at records.
struct Looking<B>(B);

impl<O: Operator + 'static, B: Fn() -> O + Send + Sync> OperatorFactory for Looking<B> {
    fn build(&self, _: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        Ok(Box::new(self.0()))
    }

    fn only_looks(&self) -> bool {
        true
    }
}

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
    pub(crate) fn by_batch<U: Data>(
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

    /// Takes of each record what `pick` gives, if it gives something; it keeps its event time.
    ///
    /// `pick` only looks at records. A stream that goes several ways, of which each needs little of it, is so
    /// not copied: what is needed is.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let words = ["a".to_owned(), "bcd".to_owned()];
    /// let lengths = run_stateless(words, |words| words.filter_map(|w| (w.len() > 1).then_some(w.len() as u64)));
    /// assert_eq!(lengths, [3]);
    /// ```
    #[track_caller]
    pub fn filter_map<U: Data>(&self, pick: impl Fn(&T) -> Option<U> + Send + Sync + 'static) -> Stream<U> {
        let pick = Arc::new(pick);
        let build = move || FilterMap { pick: pick.clone(), types: std::marker::PhantomData };
        let add = Add::stateless::<U>("filter_map", self.port, Location::caller());
        let node = self.graph.add(add.into_node(Role::Operator(Arc::new(Looking(build)))));
        Stream::new(self.graph.clone(), PortRef { node, port: 0 }).with_ranks_kept()
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde::{Deserialize, Serialize};

    use crate::testing::run_stateless;

    static COPIES: AtomicUsize = AtomicUsize::new(0);

    #[derive(Serialize, Deserialize)]
    struct Dear(u64);

    impl Clone for Dear {
        fn clone(&self) -> Self {
            COPIES.fetch_add(1, Ordering::Relaxed);
            Self(self.0)
        }
    }

    #[test]
    fn a_stream_that_goes_several_ways_is_not_copied_for_those_that_only_look() {
        let mut found = run_stateless(0..3_000u64, |numbers| {
            let dear = numbers.map(Dear);
            // The one that takes them stands between those that look.
            let even = dear.filter_map(|dear| (dear.0 % 2 == 0).then_some(dear.0));
            let all = dear.map(|dear| dear.0);
            let thirds = dear.filter_map(|dear| (dear.0 % 3 == 0).then_some(dear.0));
            even.union([all, thirds])
        });
        found.sort_unstable();
        let mut expected: Vec<u64> = (0..3_000).collect();
        expected.extend((0..3_000).step_by(2).chain((0..3_000).step_by(3)));
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(COPIES.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_chain_runs_to_its_end() {
        let found = run_stateless(0..5_000u64, |numbers| numbers.map(|n| n * 2).filter(|n| n % 3 == 0));
        assert_eq!(found, (0..5_000).map(|n| n * 2).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    }
}
