//! Building a graph: collects nodes as users wire them, then reports every mistake at once.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;

use super::order::{Ranks, resolve};
use super::{Graph, Node, NodeId, OutputPort, PortRef, Role, StateDecl};

/// A mistake in the wiring of a graph, with the place in the user's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// Two operators have one name.
    #[error(
        "two operators are named `{name}`:\n      first  at {first}\n      second at {second}\n    give one of them another name: a name is the address of its state in every checkpoint"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// Where it was given first.
        first: Location<'static>,
        /// Where it was given again.
        second: Location<'static>,
    },
    /// An operator declares two states of one name.
    #[error("operator `{operator}` at {at} declares two states named `{state}`: rename one")]
    DuplicateState {
        /// The operator.
        operator: String,
        /// The state's name.
        state: &'static str,
        /// Where the operator was made.
        at: Location<'static>,
    },
    /// A name that cannot be part of a path or a metric label.
    #[error("`{name}` at {at} cannot be a name: use 1 to 64 letters, digits, `-`, `_` or `.`")]
    InvalidName {
        /// The name.
        name: String,
        /// Where it was given.
        at: Location<'static>,
    },
    /// Nothing is written anywhere.
    #[error("the graph has no sink: end at least one stream with `.sink(name, ...)`")]
    NoSink,
    /// The graph has no source.
    #[error("the graph has no source: start with `job.source(name, ...)`")]
    NoSource,
    /// A setting of an operator that cannot work.
    #[error("operator `{operator}` at {at}: {problem}")]
    Operator {
        /// The operator.
        operator: String,
        /// What is wrong and what to do.
        problem: String,
        /// Where the operator was made.
        at: Location<'static>,
    },
}

/// Every mistake found in a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphErrors(pub Vec<WiringError>);

impl fmt::Display for GraphErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = if self.0.len() == 1 { "error" } else { "errors" };
        write!(f, "the graph has {} {errors}:", self.0.len())?;
        for error in &self.0 {
            write!(f, "\n  - {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for GraphErrors {}

/// A graph in the making.
#[derive(Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    named: Vec<bool>,
    ranks: HashMap<NodeId, Ranks>,
    errors: Vec<WiringError>,
}

/// A node to be added.
pub struct NewNode {
    /// The user's name for it; `None` for operators that need none.
    pub name: Option<String>,
    /// Its kind.
    pub kind: &'static str,
    /// Its inputs.
    pub inputs: Vec<PortRef>,
    /// Its outputs.
    pub outputs: Vec<OutputPort>,
    /// Its states.
    pub states: Vec<StateDecl>,
    /// What it does.
    pub role: Role,
    /// For explain.
    pub detail: String,
    /// Where the user wrote it.
    pub location: &'static Location<'static>,
}

impl GraphBuilder {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    pub fn add(&mut self, new: NewNode) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.named.push(new.name.is_some());
        let NewNode { name, kind, inputs, outputs, states, role, detail, location } = new;
        let name = name.unwrap_or_else(|| format!("{kind}-{}", id.0));
        self.nodes.push(Node { id, name, kind, inputs, outputs, states, role, detail, location });
        id
    }

    /// Replaces what was said of a node when its builder knows more: its role and detail.
    pub fn refine(&mut self, id: NodeId, refine: impl FnOnce(&mut Node)) {
        refine(&mut self.nodes[id.0]);
    }

    /// Notes what a node does with the ranks of records. One that nothing is said of has none.
    pub fn ranks(&mut self, id: NodeId, ranks: Ranks) {
        self.ranks.insert(id, ranks);
    }

    /// Notes a mistake, to be reported with all others.
    pub fn error(&mut self, error: WiringError) {
        self.errors.push(error);
    }

    /// The graph, if it is sound.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn finish(mut self) -> Result<Graph, GraphErrors> {
        self.check_names();
        self.check_states();
        if !self.nodes.iter().any(|node| matches!(node.role, Role::Source(_))) {
            self.errors.push(WiringError::NoSource);
        }
        if !self.nodes.iter().any(|node| matches!(node.role, Role::Sink(_))) {
            self.errors.push(WiringError::NoSink);
        }
        let order = resolve(&self.nodes, &self.ranks, &mut self.errors);
        if self.errors.is_empty() {
            Ok(Graph { nodes: self.nodes, order })
        } else {
            Err(GraphErrors(self.errors))
        }
    }

    fn check_names(&mut self) {
        let mut first: HashMap<&str, &'static Location<'static>> = HashMap::new();
        for node in &self.nodes {
            if self.named[node.id.0] && !is_valid_name(&node.name) {
                self.errors.push(WiringError::InvalidName { name: node.name.clone(), at: *node.location });
            }
            if let Some(first) = first.get(node.name.as_str()) {
                self.errors.push(WiringError::DuplicateName {
                    name: node.name.clone(),
                    first: **first,
                    second: *node.location,
                });
            } else {
                first.insert(&node.name, node.location);
            }
        }
    }

    fn check_states(&mut self) {
        for node in &self.nodes {
            for (i, state) in node.states.iter().enumerate() {
                if node.states[..i].iter().any(|earlier| earlier.name == state.name) {
                    self.errors.push(WiringError::DuplicateState {
                        operator: node.name.clone(),
                        state: state.name,
                        at: *node.location,
                    });
                }
            }
        }
    }
}

fn is_valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.bytes().any(|b| b != b'.')
}
