//! `split`: two streams from one, by a predicate.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OperatorError;
use pelton_dataflow::graph::{OutputPort, PortRef};
use pelton_dataflow::operator::{Flow, Operator, Outputs};
use pelton_dataflow::record::{Batch, Data};

use crate::stream::{Add, Stream};

/// The two halves of a split stream.
pub struct Split<T> {
    /// Records for which the predicate holds.
    pub matching: Stream<T>,
    /// The others.
    pub rest: Stream<T>,
}

struct Splitter<T, F> {
    matches: Arc<F>,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T: Data, F: Fn(&T) -> bool> Operator for Splitter<T, F> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin, ranks) = batch.into_ranked::<T>();
        let Some(ranks) = ranks else {
            let (matching, rest) = records.into_iter().partition(|record| (self.matches)(&record.value));
            out.send(0, matching, origin.clone());
            out.send(1, rest, origin);
            return Ok(Flow::Done);
        };
        let both = records.into_iter().zip(ranks);
        let (matching, rest): (Vec<_>, Vec<_>) = both.partition(|(record, _)| (self.matches)(&record.value));
        for (port, half) in [matching, rest].into_iter().enumerate() {
            let (records, ranks) = half.into_iter().unzip();
            out.send_ranked(port, records, origin.clone(), Some(ranks));
        }
        Ok(Flow::Done)
    }
}

impl<T: Data> Stream<T> {
    /// Sends each record one of two ways.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let odd = run_stateless([1u64, 2, 3], |numbers| numbers.split(|n| n % 2 == 0).rest);
    /// assert_eq!(odd, [1, 3]);
    /// ```
    #[track_caller]
    pub fn split(&self, matches: impl Fn(&T) -> bool + Send + Sync + 'static) -> Split<T> {
        let mut add = Add::stateless::<T>("split", self.port, Location::caller());
        add.outputs = vec![OutputPort::of::<T>("matching"), OutputPort::of::<T>("rest")];
        let matches = Arc::new(matches);
        let matching =
            self.then(add, move |_| Splitter { matches: matches.clone(), record: std::marker::PhantomData });
        let matching = matching.with_ranks_kept();
        let rest = Stream::new(self.graph.clone(), PortRef { port: 1, ..matching.port });
        Split { matching, rest }
    }
}
