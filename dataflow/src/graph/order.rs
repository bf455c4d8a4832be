//! Which nodes deal in ranks, and which see event order: found out when the graph is finished.
//!
//! From each node that puts records in order the ways lead up to sources; every node on them has to
//! keep ranks, and those that cannot are mistakes, by name. Behind it, what runs in its stage sees
//! its order.

use std::collections::HashMap;

use super::{Node, NodeId, Role, WiringError};

/// What a node does with the ranks of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranks {
    /// Its records have ranks if they are asked for: a source.
    Gives,
    /// What it makes of a record with a rank has one too.
    Keeps,
    /// As `Keeps`, if it is shown its records in event order: it has state, and what it makes of a record
    /// depends on those before it.
    KeepsInOrder,
    /// Puts its records in order by them, and gives them on at port 0; what it gives has ranks as well.
    Orders,
    /// It has none to give, and must not be shown event order either: it goes by the clock.
    ByClock,
    /// It has none to give, for this reason.
    Without(&'static str),
}

/// What was found out of each node.
#[derive(Clone, Debug, Default)]
pub(super) struct EventOrder {
    pub ranked: Vec<bool>,
    pub in_order: Vec<bool>,
}

/// Looks through `nodes`, of which some have told what they do with ranks.
pub(super) fn resolve(
    nodes: &[Node],
    told: &HashMap<NodeId, Ranks>,
    errors: &mut Vec<WiringError>,
) -> EventOrder {
    let mut found = EventOrder { ranked: vec![false; nodes.len()], in_order: vec![false; nodes.len()] };
    let ordering = || nodes.iter().filter(|node| told.get(&node.id) == Some(&Ranks::Orders));
    for node in ordering() {
        errors.extend(look_down(nodes, told, node, &mut found));
    }
    for node in ordering() {
        errors.extend(look_up(nodes, told, node, &mut found));
    }
    found
}

fn mistake(node: &Node, problem: String) -> WiringError {
    WiringError::Operator { operator: node.name.clone(), problem, at: *node.location }
}

/// Marks all that lies between `orders` and its sources; complains of what gives no ranks.
fn look_up(
    nodes: &[Node],
    told: &HashMap<NodeId, Ranks>,
    orders: &Node,
    found: &mut EventOrder,
) -> Vec<WiringError> {
    let mut errors = Vec::new();
    let mut seen = vec![false; nodes.len()];
    let mut ahead: Vec<NodeId> = orders.inputs.iter().map(|input| input.node).collect();
    while let Some(id) = ahead.pop() {
        if std::mem::replace(&mut seen[id.0], true) {
            continue;
        }
        let node = &nodes[id.0];
        let because = match (told.get(&id), &node.role) {
            (Some(Ranks::Gives | Ranks::Keeps | Ranks::Orders), _) | (None, Role::Union) => None,
            (Some(Ranks::KeepsInOrder), _) if found.in_order[id.0] => None,
            (Some(Ranks::KeepsInOrder), _) => Some(
                "it keeps state and is not shown event order itself: build it on `.in_event_order(...)` too",
            ),
            (Some(Ranks::Without(reason)), _) => Some(*reason),
            (Some(Ranks::ByClock), _) => Some("it goes by the clock"),
            (None, _) => Some("what it gives has no order that is the same in every run"),
        };
        if let Some(reason) = because {
            errors.push(mistake(
                orders,
                format!(
                    "`{}` ({}) at {} cannot stand before it: {reason}",
                    node.name, node.kind, node.location
                ),
            ));
        }
        found.ranked[id.0] = true;
        ahead.extend(node.inputs.iter().map(|input| input.node));
    }
    errors
}

/// Marks what sees the order of `orders`; complains of what it cannot be shown to.
fn look_down(
    nodes: &[Node],
    told: &HashMap<NodeId, Ranks>,
    orders: &Node,
    found: &mut EventOrder,
) -> Vec<WiringError> {
    let mut errors = Vec::new();
    let mut sees = vec![false; nodes.len()];
    sees[orders.id.0] = true;
    for node in nodes {
        let fed = |from: &dyn Fn(NodeId) -> bool| node.inputs.iter().any(|input| from(input.node));
        if !fed(&|id| sees[id.0]) {
            continue;
        }
        let begins_stage = match &node.role {
            Role::Source(_) | Role::Exchange(_) | Role::Union => true,
            Role::Operator(factory) => node.inputs.len() > 1 || factory.begins_stage(),
            Role::Sink(_) => node.inputs.len() > 1,
        };
        if !begins_stage {
            sees[node.id.0] = true;
            found.in_order[node.id.0] = true;
            if told.get(&node.id) == Some(&Ranks::ByClock) {
                errors.push(mistake(
                    node,
                    format!(
                        "it goes by the clock, which is at another place in the event order of `{}` in each run: let it go by event time, or leave the order out",
                        orders.name
                    ),
                ));
            }
        } else if node.inputs.iter().any(|input| input.node == orders.id && input.port == 0) {
            errors.push(mistake(
                node,
                format!(
                    "it cannot be shown the event order of `{}`: {}. Put another operator between them, or leave the order out",
                    orders.name,
                    if node.inputs.len() > 1 {
                        "what comes in at its other input has no place in it"
                    } else {
                        "what it does takes its own time"
                    },
                ),
            ));
        }
    }
    errors
}
