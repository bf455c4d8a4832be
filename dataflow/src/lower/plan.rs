//! Cutting a graph into stages.
//!
//! A stage is what runs without crossing a channel: a source, or the receiving end of an exchange
//! or union, or an operator of several inputs or one that asks for it, with everything that hangs on it up to the next
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
    match &node.role {
        Role::Source(_) | Role::Exchange(_) | Role::Union => true,
        Role::Operator(factory) => factory.begins_stage() || node.inputs.len() > 1,
        Role::Sink(_) => node.inputs.len() > 1,
    }
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

fn only_looks(role: &Role) -> bool {
    matches!(role, Role::Operator(factory) if factory.only_looks())
}

/// Adds the consumers of `id` as slots; returns their indices by output port.
fn routes_of(graph: &Graph, id: NodeId, slots: &mut Vec<Slot>) -> Vec<Vec<usize>> {
    let mut routes = vec![Vec::new(); graph.node(id).outputs.len()];
    // The last is run first.
    for looks in [false, true] {
        for consumer in graph.nodes().iter().filter(|consumer| only_looks(&consumer.role) == looks) {
            for (port, input) in consumer.inputs.iter().enumerate().filter(|(_, input)| input.node == id) {
                routes[input.port].push(slots.len());
                slots.push(if starts_stage(graph, consumer.id) {
                    Slot::Leaf(Leaf { from: *input, to: consumer.id, port })
                } else {
                    Slot::Node(consumer.id)
                });
            }
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::sync::Arc;

    use super::*;
    use crate::error::OpError;
    use crate::graph::{GraphBuilder, NewNode, OutputPort};
    use crate::operator::{Operator, OperatorContext, OperatorFactory};
    use crate::partition::Partitioner;
    use crate::sink::{Committer, Guarantee, SinkContext, SinkNode};
    use crate::source::{Enumerator, FixedSplits, SourceNode, SourceOperator};

    struct Nothing;

    impl OperatorFactory for Nothing {
        fn build(&self, _: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
            Err("never built".into())
        }
    }

    struct First;

    impl OperatorFactory for First {
        fn build(&self, _: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
            Err("never built".into())
        }
        fn begins_stage(&self) -> bool {
            true
        }
    }

    impl SourceNode for Nothing {
        fn enumerator(&self) -> Result<Box<dyn Enumerator>, OpError> {
            Ok(Box::new(FixedSplits(Vec::new())))
        }
        fn operator(&self, _: &OperatorContext<'_>) -> Result<Box<dyn SourceOperator>, OpError> {
            Err("never built".into())
        }
        fn describe(&self) -> String {
            String::new()
        }
    }

    impl SinkNode for Nothing {
        fn committer(&self, _: &SinkContext) -> Result<Option<Box<dyn Committer>>, OpError> {
            Ok(None)
        }
        fn guarantee(&self) -> Guarantee {
            Guarantee::AtLeastOnce
        }
        fn describe(&self) -> String {
            String::new()
        }
    }

    /// A graph of lines `name = kind input input`, where `input.1` is the second output.
    fn graph(lines: &str) -> Graph {
        let mut builder = GraphBuilder::new();
        let mut names: Vec<String> = Vec::new();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let input = |word: &&str| {
                let (name, port) = word.split_once('.').unwrap_or((word, "0"));
                let node = names.iter().position(|known| known == name).expect("wired before");
                PortRef { node: NodeId(node), port: port.parse().unwrap() }
            };
            let no_partitioner =
                |_: &OperatorContext<'_>| -> Box<dyn Partitioner> { unreachable!("never built") };
            let role = match words[2] {
                "source" => Role::Source(Arc::new(Nothing)),
                "op" => Role::Operator(Arc::new(Nothing)),
                "first" => Role::Operator(Arc::new(First)),
                "exchange" => Role::Exchange(Arc::new(no_partitioner)),
                "union" => Role::Union,
                _ => Role::Sink(Arc::new(Nothing)),
            };
            let inputs = words[3..].iter().map(input).collect();
            builder.add(NewNode {
                name: Some(words[0].to_owned()),
                kind: "test",
                inputs,
                outputs: vec![OutputPort::of::<u8>("out"), OutputPort::of::<u8>("side")],
                states: Vec::new(),
                role,
                detail: String::new(),
                location: Location::caller(),
            });
            names.push(words[0].to_owned());
        }
        builder.finish().unwrap()
    }

    /// A stage as `root/channels in(first port | second port)`, with `>` before what is sent on and
    /// the input port behind it.
    fn show(graph: &Graph, plan: &StagePlan, index: usize) -> String {
        let name = |id: &NodeId| graph.node(*id).name.clone();
        let root = if index == 0 { format!("/{}", plan.inputs) } else { String::new() };
        let shown = match &plan.slots[index] {
            Slot::Node(id) | Slot::Entry(id) => name(id) + &root,
            Slot::Leaf(leaf) => return format!(">{}:{}", name(&leaf.to), leaf.port),
        };
        let ports = plan.routes[index]
            .iter()
            .map(|port| port.iter().map(|&child| show(graph, plan, child)).collect::<Vec<_>>().join(" "));
        let ports = ports.collect::<Vec<_>>().join("|");
        if ports == "|" { shown } else { format!("{shown}({})", ports.trim_end_matches('|')) }
    }

    fn stages(lines: &str) -> Vec<String> {
        let graph = graph(lines);
        plan(&graph).iter().map(|plan| show(&graph, plan, 0)).collect()
    }

    #[test]
    fn a_chain_is_one_stage() {
        let found = stages("in = source\n double = op in\n odd = op double\n out = sink odd");
        assert_eq!(found, ["in/0(double(odd(out)))"]);
    }

    #[test]
    fn an_exchange_begins_a_stage_and_several_may_hang_on_it() {
        let found = stages(
            "in = source
             key = exchange in
             count = op key
             sum = op key
             counts = sink count
             late = sink count.1
             sums = sink sum",
        );
        assert_eq!(found, ["in/0(>key:0)", "key/1(count(counts|late) sum(sums))"]);
    }

    #[test]
    fn the_two_ways_of_a_diamond_meet_in_a_stage_of_their_own() {
        let found = stages(
            "in = source
             left = op in
             right = exchange in
             both = union left right
             out = sink both",
        );
        assert_eq!(found, ["in/0(left(>both:0) >right:0)", "right/1(>both:1)", "both/2(out)"]);
    }

    #[test]
    fn an_operator_of_two_inputs_is_the_root_of_its_stage() {
        let found = stages(
            "a = source
             b = source
             by_a = exchange a
             join = op by_a b
             self_join = op join join
             out = sink self_join",
        );
        assert_eq!(
            found,
            [
                "a/0(>by_a:0)",
                "b/0(>join:1)",
                "by_a/1(>join:0)",
                "join/2(>self_join:0 >self_join:1)",
                "self_join/2(out)",
            ]
        );
    }

    #[test]
    fn an_operator_that_asks_for_it_is_the_root_of_its_stage() {
        let found = stages(
            "in = source
             even = op in
             ask = first even
             asked = op ask
             again = first asked
             out = sink again",
        );
        assert_eq!(found, ["in/0(even(>ask:0))", "ask/1(asked(>again:0))", "again/1(out)"]);
    }

    #[test]
    fn exchanges_and_unions_in_a_row_are_stages_each() {
        let found = stages(
            "in = source
             one = exchange in
             two = exchange one
             all = union two in
             out = sink all",
        );
        assert_eq!(found, ["in/0(>one:0 >all:1)", "one/1(>two:0)", "two/1(>all:0)", "all/2(out)"]);
    }

    #[test]
    fn an_output_without_consumers_is_routed_nowhere() {
        assert_eq!(stages("in = source\n unused = op in\n out = sink in"), ["in/0(unused out)"]);
    }
}
