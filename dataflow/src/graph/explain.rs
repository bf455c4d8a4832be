//! `explain`: the graph as text for people and as Graphviz for pictures.

use std::fmt::Write as _;

use super::{Graph, Node, PortRef, Role};

impl Graph {
    /// The graph as an indented list, one operator a line, each under what feeds it first.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let _ = writeln!(text, "{:>3}  {}{}", node.id.0, title(node), self.fed_by(node));
            for state in &node.states {
                let _ = writeln!(text, "       state {} ({}): {}", state.name, state.kind, state.type_name);
            }
        }
        text
    }

    /// The graph in Graphviz's dot language; edges between workers are bold.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut text =
            String::from("digraph job {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for node in &self.nodes {
            let _ = writeln!(text, "  n{} [label=\"{}\"];", node.id.0, escape(&title(node)));
            for input in &node.inputs {
                let style = if matches!(node.role, Role::Exchange(_)) { ", style=bold" } else { "" };
                let label = self.label(*input);
                let _ = writeln!(text, "  n{} -> n{} [label=\"{label}\"{style}];", input.node.0, node.id.0);
            }
        }
        text.push_str("}\n");
        text
    }

    fn fed_by(&self, node: &Node) -> String {
        if node.inputs.is_empty() {
            return String::new();
        }
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|input| {
                let from = self.node(input.node);
                match self.label(*input) {
                    "out" => from.name.clone(),
                    label => format!("{}.{label}", from.name),
                }
            })
            .collect();
        format!("  <- {}", inputs.join(", "))
    }

    fn label(&self, port: PortRef) -> &'static str {
        self.node(port.node).outputs[port.port].label
    }
}

fn title(node: &Node) -> String {
    let name = if node.name.starts_with(node.kind) { String::new() } else { format!(" `{}`", node.name) };
    let detail = if node.detail.is_empty() { String::new() } else { format!(" ({})", node.detail) };
    format!("{}{name}{detail}", node.kind)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
