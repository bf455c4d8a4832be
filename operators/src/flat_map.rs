//! `flat_map`: one record in, any number out, emitted in slices however many they are.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OperatorError;
use pelton_dataflow::operator::{Flow, Operator, Outputs};
use pelton_dataflow::record::{Batch, Data};
use pelton_dataflow::time::EventTime;

use crate::emit::{Emitter, Feed, flow};
use crate::stream::{Add, Stream};

struct FlatMap<T, U, I, F> {
    f: Arc<F>,
    feed: Feed<T>,
    /// What the record at hand has yet to give: an iterator is not drained at one go, so one
    /// record may give millions without filling memory.
    giving: Option<(EventTime, I)>,
    emitter: Emitter<U>,
}

impl<T, U, I, F> FlatMap<T, U, I, F>
where
    T: Data,
    U: Data,
    I: Iterator<Item = U>,
    F: Fn(T) -> I,
{
    fn drain(&mut self, out: &mut Outputs) -> bool {
        if let Some((time, values)) = self.giving.take()
            && self.give(time, values, out)
        {
            return true;
        }
        while let Some(record) = self.feed.next() {
            self.emitter.made_from(self.feed.rank().as_ref());
            if self.give(record.time, (self.f)(record.value), out) {
                return true;
            }
        }
        self.emitter.ship(&self.feed.origin, out);
        false
    }

    /// Emits `values`; whether it had to stop, and then keeps what is left of them.
    #[inline]
    fn give(&mut self, time: EventTime, mut values: I, out: &mut Outputs) -> bool {
        while let Some(value) = values.next() {
            self.emitter.push(time, value);
            if self.emitter.ship_full(&self.feed.origin, out) {
                self.giving = Some((time, values));
                return true;
            }
        }
        false
    }
}

impl<T, U, I, F> Operator for FlatMap<T, U, I, F>
where
    T: Data,
    U: Data,
    I: Iterator<Item = U>,
    F: Fn(T) -> I,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.feed = Feed::of(batch);
        Ok(flow(self.drain(out)))
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        Ok(flow(self.drain(out)))
    }
}

impl<T: Data> Stream<T> {
    /// Turns each record into any number of others, which keep its event time.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let words = run_stateless(["a b".to_owned(), "c".to_owned()], |lines| {
    ///     lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    /// });
    /// assert_eq!(words, ["a", "b", "c"]);
    /// ```
    #[track_caller]
    pub fn flat_map<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        f: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Stream<U> {
        let f = Arc::new(move |value| f(value).into_iter());
        let flat =
            self.then(Add::stateless::<U>("flat_map", self.port, Location::caller()), move |cx| FlatMap {
                f: f.clone(),
                feed: Feed::default(),
                giving: None,
                emitter: Emitter::new(0, cx.settings.batch_records),
            });
        flat.with_ranks_kept()
    }
}
