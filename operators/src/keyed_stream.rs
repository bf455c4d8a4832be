//! `KeyedStream`: records brought together by key, ready for operators with state.

use std::panic::Location;

use pelton_dataflow::graph::StateDecl;
use pelton_dataflow::key::{Key, Keyed};
use pelton_dataflow::record::Data;
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
