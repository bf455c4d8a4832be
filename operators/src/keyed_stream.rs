//! `KeyedStream`: records brought together by key, ready for operators with state.

use std::panic::Location;

use pelton_dataflow::graph::StateDecl;
use pelton_dataflow::key::{Key, Keyed};
use pelton_dataflow::record::{Data, Record};
use pelton_state::error::StateError;

use crate::stream::{Add, Stream};

/// A stream partitioned by keys of type `K`. Clones share one exchange.
#[must_use = "a keyed stream does nothing until an operator is built on it"]
pub struct KeyedStream<K: Key, T: Data> {
    pub(crate) stream: Stream<Keyed<K, T>>,
}

impl<K: Key, T: Data> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone() }
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    pub(crate) fn new(stream: Stream<Keyed<K, T>>) -> Self {
        Self { stream }
    }

    /// The records without their keys, as a stream like any other. They stay on the worker of their key, in the order in
    /// which they are there: nothing is sent anywhere. Each of them had its key made of it, so it can be made again.
    ///
    /// Renoir calls it `drop_key`, Beam `Values`; a `KeyedStream` of Flink is a `DataStream` without being asked.
    ///
    /// ```
    /// use pelton_operators::testing::Harness;
    ///
    /// let mut script = Harness::new(|readings, taps| {
    ///     let meters = readings.key_by(|(meter, _): &(char, u64)| *meter).in_event_order("by-time");
    ///     taps.tap("in-order", &meters.out.values().map(|(_, reading)| reading));
    /// });
    /// script.record(3, ('a', 7)).record(1, ('a', 10)).record(2, ('a', 15)).end();
    /// assert_eq!(script.output(), ["in-order@1 10", "in-order@2 15", "in-order@3 7"]);
    /// ```
    #[track_caller]
    pub fn values(&self) -> Stream<T> {
        self.stream.by_batch("values", Location::caller(), |records, _| {
            records.into_iter().map(|record| Record::new(record.time, record.value.value)).collect()
        })
    }

    /// A stateful operator on this stream.
    pub(crate) fn stateful<U>(
        &self,
        name: String,
        kind: &'static str,
        states: Vec<StateDecl>,
        location: &'static Location<'static>,
    ) -> Add {
        let mut add = Add::stateless::<U>(kind, self.stream.port, location);
        add.name = Some(name);
        add.states = states;
        add
    }

    /// The states of an operator; types that cannot be traced are a mistake of the graph.
    pub(crate) fn decls_or_mistake(
        &self,
        operator: &str,
        decls: Result<Vec<StateDecl>, StateError>,
        location: &'static Location<'static>,
    ) -> Vec<StateDecl> {
        decls.unwrap_or_else(|error| {
            self.stream.graph.mistake(operator, error.to_string(), location);
            Vec::new()
        })
    }
}
