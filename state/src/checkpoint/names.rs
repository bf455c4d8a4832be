//! The name table: which number stands for which operator and state in the rows of a job.
//!
//! Rows name their operator and state by number. A number is given once and never to another name,
//! also after its operator has left the job: a checkpoint with rows of old names stays readable.

use std::collections::BTreeMap;

use pelton_dataflow::graph::{Graph, Node};
use serde::{Deserialize, Serialize};

use crate::error::StateError;

/// The numbers of operators and states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameTable {
    operators: BTreeMap<String, OperatorEntry>,
}

/// What the table knows of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// Its number in rows.
    pub id: u16,
    /// Whether the job still has it with keyed state.
    pub live: bool,
    /// Its states by name.
    pub states: BTreeMap<String, StateEntry>,
}

/// What the table knows of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Its number in rows, unique within its operator.
    pub id: u16,
    /// Whether the job still has it.
    pub live: bool,
    /// `value`, `map`, `list`, `timers`.
    pub kind: String,
    /// The types it holds, for messages.
    pub type_name: String,
    /// The structural fingerprint of those types.
    pub fingerprint: String,
    /// The schema version.
    pub version: u16,
}

/// A state as an operator declares it, for [`NameTable::declare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    /// The operator.
    pub operator: &'a str,
    /// The state.
    pub state: &'a str,
    /// `value`, `map`, `list`, `timers`.
    pub kind: &'a str,
    /// The types it holds.
    pub type_name: &'a str,
    /// Their fingerprint.
    pub fingerprint: &'a str,
    /// The schema version.
    pub version: u16,
}

impl Declared<'_> {
    /// All states of all operators of `graph`.
    pub fn all_of(graph: &Graph) -> impl Iterator<Item = Declared<'_>> {
        graph.nodes().iter().flat_map(Declared::all_of_node)
    }

    /// The states of one operator.
    pub fn all_of_node(node: &Node) -> impl Iterator<Item = Declared<'_>> {
        node.states.iter().map(|state| Declared {
            operator: &node.name,
            state: state.name,
            kind: state.kind,
            type_name: &state.type_name,
            fingerprint: &state.fingerprint,
            version: state.version,
        })
    }
}

impl NameTable {
    /// The numbers of `operator` and its `state`, if they have been given.
    #[must_use]
    pub fn ids(&self, operator: &str, state: &str) -> Option<(u16, u16)> {
        let entry = self.operators.get(operator)?;
        Some((entry.id, entry.states.get(state)?.id))
    }

    /// The number of `operator`.
    #[must_use]
    pub fn operator_id(&self, operator: &str) -> Option<u16> {
        self.operators.get(operator).map(|entry| entry.id)
    }

    /// All operators ever known, by name.
    pub fn operators(&self) -> impl Iterator<Item = (&str, &OperatorEntry)> {
        self.operators.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// What is known of `operator`.
    #[must_use]
    pub fn operator(&self, operator: &str) -> Option<&OperatorEntry> {
        self.operators.get(operator)
    }

    /// Makes the table that of a job which declares exactly `declared`: known names keep their
    /// numbers, new ones get the next, and those that are not declared are marked as gone.
    ///
    /// # Errors
    /// All 65,536 numbers are given.
    pub fn declare<'a>(
        &mut self,
        declared: impl IntoIterator<Item = Declared<'a>>,
    ) -> Result<(), StateError> {
        for operator in self.operators.values_mut() {
            operator.live = false;
            operator.states.values_mut().for_each(|state| state.live = false);
        }
        for one in declared {
            self.declare_one(&one)?;
        }
        Ok(())
    }

    fn declare_one(&mut self, one: &Declared<'_>) -> Result<(), StateError> {
        let next_operator = self.operators.len();
        let operator = match self.operators.get_mut(one.operator) {
            Some(entry) => entry,
            None => self.operators.entry(one.operator.to_owned()).or_insert(OperatorEntry {
                id: number(next_operator, one)?,
                live: true,
                states: BTreeMap::new(),
            }),
        };
        operator.live = true;
        let id = match operator.states.get(one.state) {
            Some(known) => known.id,
            None => number(operator.states.len(), one)?,
        };
        let entry = StateEntry {
            id,
            live: true,
            kind: one.kind.to_owned(),
            type_name: one.type_name.to_owned(),
            fingerprint: one.fingerprint.to_owned(),
            version: one.version,
        };
        operator.states.insert(one.state.to_owned(), entry);
        Ok(())
    }
}

/// Entries are never taken out, so their count is the next free number.
fn number(known: usize, one: &Declared<'_>) -> Result<u16, StateError> {
    u16::try_from(known).map_err(|_| StateError::NamesExhausted {
        operator: one.operator.to_owned(),
        state: one.state.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared<'a>(operator: &'a str, state: &'a str) -> Declared<'a> {
        Declared { operator, state, kind: "value", type_name: "u64", fingerprint: "u64", version: 1 }
    }

    #[test]
    fn numbers_are_given_once_and_never_reused() {
        let mut names = NameTable::default();
        names.declare([declared("count", "value"), declared("count", "timers")]).unwrap();
        assert_eq!(names.ids("count", "value"), Some((0, 0)));
        assert_eq!(names.ids("count", "timers"), Some((0, 1)));

        names.declare([declared("sum", "value"), declared("count", "seen")]).unwrap();
        assert_eq!(names.ids("sum", "value"), Some((1, 0)));
        assert_eq!(names.ids("count", "seen"), Some((0, 2)), "the numbers of gone states stay taken");
        let count = names.operator("count").unwrap();
        assert!(count.live && count.states["seen"].live && !count.states["value"].live);

        names.declare([declared("count", "value")]).unwrap();
        assert_eq!(names.ids("count", "value"), Some((0, 0)), "a name that returns has its old number");
        assert!(!names.operator("sum").unwrap().live);
    }
}
