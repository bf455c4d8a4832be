//! The logical graph: named operators and the edges between them, as users wired them.
//!
//! Owns names, wiring errors and `explain`. The typed handles that build it are in
//! `pelton-operators`; how it becomes timely operators is in `lower`.

use std::panic::Location;
use std::sync::Arc;

use crate::operator::OperatorFactory;
use crate::partition::PartitionerFactory;
use crate::sink::SinkNode;
use crate::source::SourceNode;

mod builder;
mod explain;
mod order;

pub use builder::{GraphBuilder, GraphErrors, NewNode, WiringError};
use order::EventOrder;
pub use order::Ranks;

/// Index of a node in its graph; edges go from lower to higher indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// An output port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRef {
    /// The node.
    pub node: NodeId,
    /// The port's index in [`Node::outputs`].
    pub port: usize,
}

/// An output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// `out`, `side`, `late`, `rejected`.
    pub label: &'static str,
    /// The record type.
    pub type_name: &'static str,
}

impl OutputPort {
    /// A port of records of type `T`.
    #[must_use]
    pub fn of<T>(label: &'static str) -> Self {
        Self { label, type_name: std::any::type_name::<T>() }
    }
}

/// A state that an operator declares: found again in a checkpoint by operator and state name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDecl {
    /// Its name, unique within the operator.
    pub name: &'static str,
    /// `value`, `map`, `list`, `timers`, `panes`; [`StateDecl::OPERATOR`].
    pub kind: &'static str,
    /// The types it holds, for messages.
    pub type_name: String,
    /// The structural fingerprint of those types.
    pub fingerprint: String,
    /// The schema version that the type declares.
    pub version: u16,
}

impl StateDecl {
    /// The kind of a state that belongs to no key and lies in
    /// [`Frozen::bytes`](crate::operator::Frozen::bytes).
    pub const OPERATOR: &'static str = "operator";
}

/// What a node does when it runs.
#[derive(Clone)]
pub enum Role {
    /// Reads splits.
    Source(Arc<dyn SourceNode>),
    /// Transforms batches.
    Operator(Arc<dyn OperatorFactory>),
    /// Sends records to other workers: the start of a new stage.
    Exchange(Arc<dyn PartitionerFactory>),
    /// Merges streams of one type: the start of a new stage.
    Union,
    /// Writes.
    Sink(Arc<dyn SinkNode>),
}

/// One operator of the logical graph.
#[derive(Clone)]
pub struct Node {
    /// Its index.
    pub id: NodeId,
    /// Unique; given by the user for sources, sinks and stateful operators, else made of kind and
    /// index.
    pub name: String,
    /// `map`, `key_by`, `process`: for explain and metrics.
    pub kind: &'static str,
    /// Where its records come from, in port order.
    pub inputs: Vec<PortRef>,
    /// What it gives.
    pub outputs: Vec<OutputPort>,
    /// The states it keeps.
    pub states: Vec<StateDecl>,
    /// What it does.
    pub role: Role,
    /// A word for explain: where it reads or writes, its window, its policy.
    pub detail: String,
    /// Where the user wrote it.
    pub location: &'static Location<'static>,
}

impl Node {
    /// Whether it keeps state of keys.
    #[must_use]
    pub fn has_keyed_state(&self) -> bool {
        self.states.iter().any(|state| state.kind != StateDecl::OPERATOR)
    }

    /// Whether its watermarks are its own, and not its inputs': a source, or an operator that makes them.
    #[must_use]
    pub fn makes_time(&self) -> bool {
        match &self.role {
            Role::Source(_) => true,
            Role::Operator(factory) => factory.makes_time(),
            _ => false,
        }
    }

    /// Whether its name is an address in checkpoints.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        !self.states.is_empty() || matches!(self.role, Role::Source(_) | Role::Sink(_))
    }
}

/// A validated graph.
#[derive(Clone)]
pub struct Graph {
    nodes: Vec<Node>,
    order: EventOrder,
}

impl Graph {
    /// The nodes; inputs come before their consumers.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node `id`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Whether any node keeps state of keys, so that the job needs a store for it.
    #[must_use]
    pub fn has_keyed_state(&self) -> bool {
        self.nodes.iter().any(Node::has_keyed_state)
    }

    /// Whether the records of `id` have ranks: it lies between a source and an operator that puts
    /// records in event order.
    #[must_use]
    pub fn is_ranked(&self, id: NodeId) -> bool {
        self.order.ranked[id.0]
    }

    /// Whether `id` is shown its records in event order.
    #[must_use]
    pub fn is_in_event_order(&self, id: NodeId) -> bool {
        self.order.in_order[id.0]
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = (&Node, &Arc<dyn SourceNode>)> {
        self.nodes.iter().filter_map(|node| match &node.role {
            Role::Source(source) => Some((node, source)),
            _ => None,
        })
    }

    /// The sinks.
    pub fn sinks(&self) -> impl Iterator<Item = (&Node, &Arc<dyn SinkNode>)> {
        self.nodes.iter().filter_map(|node| match &node.role {
            Role::Sink(sink) => Some((node, sink)),
            _ => None,
        })
    }

    /// For each node, the number of its connected component: those of one component that make watermarks share
    /// the fate of them. An operator that makes its own belongs to what comes after it.
    #[must_use]
    pub fn components(&self) -> Vec<usize> {
        let mut component: Vec<usize> = (0..self.nodes.len()).collect();
        for node in &self.nodes {
            for input in node.inputs.iter().filter(|_| !node.makes_time()) {
                let (a, b) = (component[node.id.0], component[input.node.0]);
                let (keep, drop) = (a.min(b), a.max(b));
                component.iter_mut().filter(|c| **c == drop).for_each(|c| *c = keep);
            }
        }
        component
    }
}
