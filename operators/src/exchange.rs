//! `key_by` and `rebalance`: sending records to other workers.

use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::{Key, KeyGroups, Keyed, hash_of};
use pelton_dataflow::operator::OperatorContext;
use pelton_dataflow::partition::{Lanes, Partitioner};
use pelton_dataflow::record::{Batch, Data, Record};

use crate::keyed_stream::KeyedStream;
use crate::stream::{Add, Stream};

struct ByKey<K: Key, T: Data, F> {
    key: Arc<F>,
    groups: KeyGroups,
    workers: usize,
    lanes: Lanes<Keyed<K, T>>,
}

impl<K: Key, T: Data, F: Fn(&T) -> K> Partitioner for ByKey<K, T, F> {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError> {
        let (records, origin, ranks) = batch.into_ranked::<T>();
        self.lanes.note(&origin);
        let mut ranks = ranks.map(Vec::into_iter);
        for Record { time, value } in records {
            let key = (self.key)(&value);
            let hash = hash_of(&key);
            let worker = self.groups.owner(self.groups.group(hash), self.workers);
            let record = Record::new(time, Keyed { hash, key, value });
            match &mut ranks {
                None => self.lanes.push(worker, record, &origin, full),
                Some(ranks) => self.lanes.push_ranked(worker, record, ranks.next(), &origin, full),
            }
        }
        Ok(())
    }

    fn flush(&mut self, full: &mut Vec<(usize, Batch)>) {
        self.lanes.flush(full);
    }

    fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// Deals whole batches out to the workers in turn.
struct InTurn {
    next: usize,
    workers: usize,
}

impl Partitioner for InTurn {
    fn partition(&mut self, batch: Batch, full: &mut Vec<(usize, Batch)>) -> Result<(), OpError> {
        full.push((self.next, batch));
        self.next = (self.next + 1) % self.workers;
        Ok(())
    }

    fn flush(&mut self, _full: &mut Vec<(usize, Batch)>) {}

    fn is_empty(&self) -> bool {
        true
    }
}

impl<T: Data> Stream<T> {
    /// Brings records of the same key together on one worker, in the order in which each sending
    /// worker had them. One exchange serves all that is built on the keyed stream and its clones.
    ///
    /// ```
    /// # use pelton_operators::testing::Harness;
    /// let mut script = Harness::new(|visits, taps| {
    ///     let by_user = visits.key_by(|(user, _): &(char, u64)| *user);
    ///     taps.tap("out", &by_user.reduce("longest", |a, b| (a.0, a.1.max(b.1))));
    /// });
    /// script.record(1, ('a', 5)).record(2, ('b', 3)).record(3, ('a', 4));
    /// assert_eq!(script.output(), ["out@1 ('a', 5)", "out@2 ('b', 3)", "out@3 ('a', 5)"]);
    /// ```
    #[track_caller]
    pub fn key_by<K: Key>(&self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> KeyedStream<K, T> {
        let key = Arc::new(key);
        let factory = move |cx: &OperatorContext<'_>| {
            Box::new(ByKey {
                key: key.clone(),
                groups: cx.groups,
                workers: cx.workers,
                lanes: Lanes::<Keyed<K, T>>::new(cx.workers, cx.settings.batch_records),
            }) as Box<dyn Partitioner>
        };
        let mut add = Add::stateless::<Keyed<K, T>>("key_by", self.port, Location::caller());
        add.detail = std::any::type_name::<K>().rsplit("::").next().unwrap_or_default().to_owned();
        let node = self.graph.add(add.into_node(Role::Exchange(Arc::new(factory))));
        self.graph.ranks(node, Ranks::Keeps);
        KeyedStream::new(Stream::new(self.graph.clone(), PortRef { node, port: 0 }))
    }

    /// Deals batches out to all workers in turn: for a source with fewer splits than workers.
    /// Order is given up.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let doubled = run_stateless([1u64, 2, 3], |numbers| numbers.rebalance().map(|n| n * 2));
    /// assert_eq!(doubled, [2, 4, 6], "with one worker there is one turn");
    /// ```
    #[track_caller]
    pub fn rebalance(&self) -> Self {
        let factory = |cx: &OperatorContext<'_>| {
            Box::new(InTurn { next: cx.worker, workers: cx.workers }) as Box<dyn Partitioner>
        };
        let mut add = Add::stateless::<T>("rebalance", self.port, Location::caller());
        add.outputs = vec![OutputPort::of::<T>("out")];
        let node = self.graph.add(add.into_node(Role::Exchange(Arc::new(factory))));
        self.graph.ranks(node, Ranks::Keeps);
        Self::new(self.graph.clone(), PortRef { node, port: 0 })
    }
}
