//! `reduce`, `fold`, `aggregate` on keyed streams: a value per key, updated by each record and
//! emitted at each update.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{PortRef, Ranks, Role};
use pelton_dataflow::key::{Key, KeyGroups, KeyHash, Keyed};
use pelton_dataflow::operator::{Flow, Frozen, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Record};
use pelton_dataflow::time::Epoch;
use pelton_state::{KeyedState, State, StateSpec, TOGETHER};

use crate::aggregate::Aggregate;
use crate::keyed_stream::KeyedStream;
use crate::process::store;
use crate::stream::Stream;

/// One record in, one update out: never amplifies, so it needs no slices.
struct Update<K: Key, T, S: State, F> {
    state: KeyedState<K, S>,
    groups: KeyGroups,
    at_hand: Option<KeyHash>,
    step: Arc<F>,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<K, T, S, U, F> Update<K, T, S, F>
where
    K: Key,
    T: Data,
    S: State,
    U: Data,
    F: Fn(K, &mut S, T) -> U,
{
    fn update(&mut self, records: Vec<Record<Keyed<K, T>>>) -> OpResult<Vec<Record<U>>> {
        let mut updates = Vec::with_capacity(records.len());
        let mut values = self.state.values();
        let mut records = records.into_iter();
        while records.len() > 0 {
            let ahead = &records.as_slice()[..records.len().min(TOGETHER)];
            values.seek(ahead.iter().map(|record| (record.value.hash, &record.value.key)));
            for (nth, record) in records.by_ref().take(TOGETHER).enumerate() {
                let Record { time, value: Keyed { hash, key, value } } = record;
                self.at_hand = Some(hash);
                let mut state = values.state_at(nth, hash, &key)?;
                updates.push(Record::new(time, (self.step)(key, &mut state, value)));
            }
        }
        self.at_hand = None;
        Ok(updates)
    }
}

impl<K, T, S, U, F> Operator for Update<K, T, S, F>
where
    K: Key,
    T: Data,
    S: State,
    U: Data,
    F: Fn(K, &mut S, T) -> U,
{
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let (records, origin, ranks) = batch.into_ranked::<Keyed<K, T>>();
        let updates = self.update(records).map_err(|error| OperatorError { place: self.place(), error })?;
        out.send_ranked(0, updates, origin, ranks);
        Ok(Flow::Done)
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Frozen, OperatorError> {
        self.state.freeze(epoch)?;
        Ok(Frozen::default())
    }

    fn place(&self) -> Place {
        Place { key_group: self.at_hand.map(|hash| self.groups.group(hash)), origin: None }
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    fn update<S: State, U: Data>(
        &self,
        name: String,
        kind: &'static str,
        location: &'static Location<'static>,
        step: impl Fn(K, &mut S, T) -> U + Send + Sync + 'static,
    ) -> Stream<U> {
        let spec = StateSpec::<S>::new();
        let states = self.decls_or_mistake(&name, spec.decls::<K>(), location);
        let add = self.stateful::<U>(name, kind, states, location);
        let step = Arc::new(step);
        let factory = move |cx: &OperatorContext<'_>| {
            let state = store(cx)?.keyed::<K, S>(cx.name, spec.clone())?;
            let (groups, step) = (cx.groups, step.clone());
            let update = Update { state, groups, at_hand: None, step, record: std::marker::PhantomData };
            Ok::<_, OpError>(Box::new(update) as Box<dyn Operator>)
        };
        let graph = self.stream.graph.clone();
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        graph.ranks(node, Ranks::KeepsInOrder);
        Stream::new(graph, PortRef { node, port: 0 })
    }

    /// Combines each key's records into one by `combine(so far, next)`, emitting at each record.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|bids, taps| {
    ///     let bids = bids.key_by(|(lot, _): &(char, u64)| *lot);
    ///     taps.tap("best", &bids.reduce("highest", |best, bid| if bid.1 > best.1 { bid } else { best }));
    /// });
    /// script.record(1, ('a', 5)).record(2, ('b', 1)).record(3, ('a', 4)).record(4, ('a', 6));
    /// assert_eq!(script.output(), ["best@1 ('a', 5)", "best@2 ('b', 1)", "best@3 ('a', 5)", "best@4 ('a', 6)"]);
    /// ```
    #[track_caller]
    pub fn reduce(
        &self,
        name: impl Into<String>,
        combine: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> Stream<T>
    where
        T: PartialEq + Sync,
    {
        self.update(name.into(), "reduce", Location::caller(), move |_key, so_far: &mut Option<T>, next| {
            let combined = match so_far.take() {
                Some(earlier) => combine(earlier, next),
                None => next,
            };
            *so_far = Some(combined.clone());
            combined
        })
    }

    /// Folds each key's records into an `A` that begins as its default; emits the key and its `A`
    /// at each record.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let sales = sales.key_by(|(shop, _): &(char, u64)| *shop);
    ///     let sums = sales.fold("sums", |sum: &mut u64, (_, price)| *sum += price);
    ///     taps.tap("sum", &sums);
    /// });
    /// script.record(1, ('x', 5)).record(2, ('y', 1)).record(3, ('x', 2));
    /// assert_eq!(script.output(), ["sum@1 ('x', 5)", "sum@2 ('y', 1)", "sum@3 ('x', 7)"]);
    /// ```
    #[track_caller]
    pub fn fold<A: State>(
        &self,
        name: impl Into<String>,
        fold: impl Fn(&mut A, T) + Send + Sync + 'static,
    ) -> Stream<(K, A)> {
        self.update(name.into(), "fold", Location::caller(), move |key, state: &mut A, value| {
            fold(state, value);
            (key, state.clone())
        })
    }

    /// Aggregates each key's records; emits the key and the aggregate at each record.
    ///
    /// ```
    /// use pelton_operators::aggregate::Count;
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     taps.tap("count", &clicks.key_by(|page: &char| *page).aggregate("counts", Count::new()));
    /// });
    /// script.record(1, 'a').record(2, 'b').record(3, 'a');
    /// assert_eq!(script.output(), ["count@1 ('a', 1)", "count@2 ('b', 1)", "count@3 ('a', 2)"]);
    /// ```
    #[track_caller]
    pub fn aggregate<A: Aggregate<In = T>>(
        &self,
        name: impl Into<String>,
        aggregate: A,
    ) -> Stream<(K, A::Out)> {
        self.update(
            name.into(),
            "aggregate",
            Location::caller(),
            move |key, state: &mut A::Accumulator, value| {
                aggregate.add(state, value);
                (key, aggregate.result(state))
            },
        )
    }
}
