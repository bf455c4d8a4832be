//! Cutting a graph into stages.
//!
//! A stage is what runs without crossing a channel: a source, or the receiving end of an exchange
//! or union or an operator of several inputs, with everything that hangs on it up to the next
//! such border. It is a tree of slots, the root first; it becomes one timely operator, and only
//! its outgoing edges are timely channels.

use crate::graph::{Graph, NodeId, PortRef, Role};

/// One place in a stage's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Runs a node of the graph: a source, operator or sink.
    Node(NodeId),
    /// Stands for the receiving end of an exchange or union: passes batches on.
    Entry(NodeId),
    /// The sending end of a channel.
    Leaf(Leaf),
}

/// The sending end of a channel to another stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The output it carries.
    pub from: PortRef,
    /// The node at the other end.
    pub to: NodeId,
    /// Its input there.
    pub port: usize,
}

/// A stage of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    /// The slots, parents before children; the first is the root.
    pub slots: Vec<Slot>,
    /// For each slot, for each output port, the slots that take it.
    pub routes: Vec<Vec<Vec<usize>>>,
    /// How many channels come in; zero for a source.
    pub inputs: usize,
}

impl StagePlan {
    /// The leaves, in slot order.
    pub fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Leaf(leaf) => Some(leaf),
            _ => None,
        })
    }

    /// The node at the root.
    pub fn root(&self) -> NodeId {
        match &self.slots[0] {
            Slot::Node(id) | Slot::Entry(id) => *id,
            Slot::Leaf(_) => unreachable!("a stage begins at a node"),
        }
    }
}

/// The stages of `graph`: a stage comes after all that feed it.
pub fn plan(graph: &Graph) -> Vec<StagePlan> {
    graph
        .nodes()
        .iter()
        .filter(|node| starts_stage(graph, node.id))
        .map(|node| stage(graph, node.id))
        .collect()
}

fn starts_stage(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    matches!(node.role, Role::Source(_) | Role::Exchange(_) | Role::Union) || node.inputs.len() > 1
}

fn stage(graph: &Graph, root: NodeId) -> StagePlan {
    let node = graph.node(root);
    let slot = if matches!(node.role, Role::Exchange(_) | Role::Union) {
        Slot::Entry(root)
    } else {
        Slot::Node(root)
    };
    let mut plan = StagePlan { slots: vec![slot], routes: Vec::new(), inputs: node.inputs.len() };
    let mut next = 0;
    while next < plan.slots.len() {
        let routes = match plan.slots[next] {
            Slot::Node(id) | Slot::Entry(id) => routes_of(graph, id, &mut plan.slots),
            Slot::Leaf(_) => Vec::new(),
        };
        plan.routes.push(routes);
        next += 1;
    }
    plan
}

/// Adds the consumers of `id` as slots; returns their indices by output port.
fn routes_of(graph: &Graph, id: NodeId, slots: &mut Vec<Slot>) -> Vec<Vec<usize>> {
    let mut routes = vec![Vec::new(); graph.node(id).outputs.len()];
    for consumer in graph.nodes() {
        for (port, input) in consumer.inputs.iter().enumerate().filter(|(_, input)| input.node == id) {
            routes[input.port].push(slots.len());
            slots.push(if starts_stage(graph, consumer.id) {
                Slot::Leaf(Leaf { from: *input, to: consumer.id, port })
            } else {
                Slot::Node(consumer.id)
            });
        }
    }
    routes
}
