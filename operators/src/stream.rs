//! `Stream`: a handle on an output of the graph, with the type of its records.
//!
//! It has no lifetime and no operator in its type, so it can be stored, returned and taken by
//! functions. Fan-out is `clone`. The methods of each operator are in the operator's own file.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{NewNode, OutputPort, PortRef, Ranks, Role, StateDecl};
use pelton_dataflow::operator::{Operator, OperatorContext};
use pelton_dataflow::record::Data;

use crate::job::SharedGraph;

/// A stream of records of type `T`.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Stream<T> {
    pub(crate) graph: SharedGraph,
    pub(crate) port: PortRef,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), port: self.port, record: PhantomData }
    }
}

/// What an operator adds to the graph.
pub(crate) struct Add {
    /// The user's name for it; `None` for operators that need none.
    pub name: Option<String>,
    pub kind: &'static str,
    pub inputs: Vec<PortRef>,
    pub outputs: Vec<OutputPort>,
    pub states: Vec<StateDecl>,
    pub detail: String,
    pub location: &'static Location<'static>,
}

impl Add {
    /// A stateless operator without a name, from one stream to one of `U`.
    pub(crate) fn stateless<U>(
        kind: &'static str,
        input: PortRef,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            name: None,
            kind,
            inputs: vec![input],
            outputs: vec![OutputPort::of::<U>("out")],
            states: Vec::new(),
            detail: String::new(),
            location,
        }
    }

    /// One more stream that goes in. One of another job is a mistake: its node means another one here.
    pub(crate) fn also_takes<U>(&mut self, graph: &SharedGraph, other: &Stream<U>) {
        if graph.is(&other.graph) {
            self.inputs.push(other.port);
        } else {
            let operator = self.name.as_deref().unwrap_or(self.kind);
            let problem = "it takes streams of two jobs: begin both with a `source` of the same job";
            graph.mistake(operator, problem, self.location);
        }
    }

    pub(crate) fn into_node(self, role: Role) -> NewNode {
        let Self { name, kind, inputs, outputs, states, detail, location } = self;
        NewNode { name, kind, inputs, outputs, states, role, detail, location }
    }
}

impl<T: Data> Stream<T> {
    pub(crate) fn new(graph: SharedGraph, port: PortRef) -> Self {
        Self { graph, port, record: PhantomData }
    }

    /// Says that the operator which gives this stream keeps the ranks of records.
    pub(crate) fn with_ranks_kept(self) -> Self {
        self.graph.ranks(self.port.node, Ranks::Keeps);
        self
    }

    /// Adds an operator on this stream; `build` makes its instance on each worker.
    pub(crate) fn then<U: Data, O: Operator + 'static>(
        &self,
        add: Add,
        build: impl Fn(&OperatorContext<'_>) -> O + Send + Sync + 'static,
    ) -> Stream<U> {
        let factory =
            move |cx: &OperatorContext<'_>| Ok::<_, OpError>(Box::new(build(cx)) as Box<dyn Operator>);
        let node = self.graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        Stream::new(self.graph.clone(), PortRef { node, port: 0 })
    }
}
