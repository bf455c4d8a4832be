//! What has changed between the states of a checkpoint and those that a job declares.
//!
//! A pure comparison, made before anything runs. What to do about it (refuse, ask for a flag) is
//! the runtime's.

use std::collections::BTreeMap;
use std::fmt;

use pelton_dataflow::graph::StateDecl;

use crate::checkpoint::names::{NameTable, StateEntry};

/// The shape of a state, as a checkpoint or a job has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateShape {
    /// `value`, `map`, `list`, `timers`, `panes`.
    pub kind: String,
    /// The types it holds.
    pub type_name: String,
    /// Their fingerprint.
    pub fingerprint: String,
    /// The schema version.
    pub version: u16,
}

/// How a state of a job relates to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateMatch {
    /// It is the same in both.
    Matched,
    /// The checkpoint does not have it: it starts empty.
    New,
    /// The job does not have it: what the checkpoint holds of it would be dropped.
    Missing {
        /// As the checkpoint has it.
        old: StateShape,
    },
    /// The job declares a later version, which says how to read the rows of earlier ones.
    Upgraded {
        /// As the checkpoint has it.
        old: StateShape,
        /// As the job declares it.
        new: StateShape,
    },
    /// Its shape or kind is another one, and its version does not say so.
    Changed {
        /// As the checkpoint has it.
        old: StateShape,
        /// As the job declares it.
        new: StateShape,
    },
}

/// The states of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorReport {
    /// The operator.
    pub operator: String,
    /// Its states by name.
    pub states: BTreeMap<String, StateMatch>,
}

/// What a restore would do, by operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// All operators of the checkpoint or the job, in the order of their names.
    pub operators: Vec<OperatorReport>,
}

impl RestoreReport {
    /// Whether a state has changed without a new version: the job must not start.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.any(|state| matches!(state, StateMatch::Changed { .. }))
    }

    /// Whether state would be dropped: the job may start only if its user says so.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        self.any(|state| matches!(state, StateMatch::Missing { .. }))
    }

    /// Of the report, the states that are why [`RestoreReport::has_changed`].
    #[must_use]
    pub fn changed(&self) -> Self {
        self.only(|state| matches!(state, StateMatch::Changed { .. }))
    }

    /// Of the report, the states that are why [`RestoreReport::has_missing`], and new ones: one that is missing may have
    /// got another name.
    #[must_use]
    pub fn missing(&self) -> Self {
        self.only(|state| matches!(state, StateMatch::Missing { .. } | StateMatch::New))
    }

    fn only(&self, is: impl Fn(&StateMatch) -> bool) -> Self {
        let mut operators = self.operators.clone();
        operators.iter_mut().for_each(|operator| operator.states.retain(|_, state| is(state)));
        operators.retain(|operator| !operator.states.is_empty());
        Self { operators }
    }

    fn any(&self, is: impl Fn(&StateMatch) -> bool) -> bool {
        self.operators.iter().flat_map(|operator| operator.states.values()).any(is)
    }
}

/// Compares the states of a checkpoint, by its name table, with those that a job declares, by
/// operator.
#[must_use]
pub fn compare<'a>(
    checkpoint: &NameTable,
    declared: impl IntoIterator<Item = (&'a str, &'a StateDecl)>,
) -> RestoreReport {
    let mut operators: BTreeMap<String, BTreeMap<String, StateMatch>> = BTreeMap::new();
    for (operator, entry) in checkpoint.operators() {
        for (state, known) in entry.states.iter().filter(|(_, known)| entry.live && known.live) {
            let states = operators.entry(operator.to_owned()).or_default();
            states.insert(state.clone(), StateMatch::Missing { old: StateShape::from(known) });
        }
    }
    for (operator, decl) in declared {
        let known = checkpoint.operator(operator).filter(|entry| entry.live);
        let known = known.and_then(|entry| entry.states.get(decl.name)).filter(|known| known.live);
        let found = match known {
            None => StateMatch::New,
            Some(known) => relate(StateShape::from(known), StateShape::from(decl)),
        };
        operators.entry(operator.to_owned()).or_default().insert(decl.name.to_owned(), found);
    }
    let operators = operators.into_iter();
    RestoreReport {
        operators: operators.map(|(operator, states)| OperatorReport { operator, states }).collect(),
    }
}

fn relate(old: StateShape, new: StateShape) -> StateMatch {
    if old.kind == new.kind && old.fingerprint == new.fingerprint && old.version == new.version {
        StateMatch::Matched
    } else if old.kind == new.kind && new.version > old.version {
        StateMatch::Upgraded { old, new }
    } else {
        StateMatch::Changed { old, new }
    }
}

impl From<&StateEntry> for StateShape {
    fn from(entry: &StateEntry) -> Self {
        Self {
            kind: entry.kind.clone(),
            type_name: entry.type_name.clone(),
            fingerprint: entry.fingerprint.clone(),
            version: entry.version,
        }
    }
}

impl From<&StateDecl> for StateShape {
    fn from(decl: &StateDecl) -> Self {
        Self {
            kind: decl.kind.to_owned(),
            type_name: decl.type_name.clone(),
            fingerprint: decl.fingerprint.clone(),
            version: decl.version,
        }
    }
}

impl fmt::Display for StateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (version {})", self.kind, self.fingerprint, self.version)
    }
}

impl fmt::Display for StateMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched => f.write_str("matched"),
            Self::New => f.write_str("new: it starts empty"),
            Self::Missing { old } => write!(f, "missing: the checkpoint has {old}"),
            Self::Upgraded { old, new } => write!(f, "upgraded: from {old} to {new}"),
            Self::Changed { old, new } => {
                write!(f, "changed: the checkpoint has {old}, the job declares {new}")
            }
        }
    }
}

/// One line for each state.
impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for OperatorReport { operator, states } in &self.operators {
            for (state, found) in states {
                writeln!(f, "{operator} / {state}: {found}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::names::Declared;

    fn decl(name: &'static str, fingerprint: &str, version: u16) -> StateDecl {
        let (type_name, fingerprint) = ("T".to_owned(), fingerprint.to_owned());
        StateDecl { name, kind: "value", type_name, fingerprint, version }
    }

    #[test]
    fn a_restore_is_reported_state_by_state() {
        let mut names = NameTable::default();
        let known = |operator, state, fingerprint| Declared {
            operator,
            state,
            kind: "value",
            type_name: "T",
            fingerprint,
            version: 1,
        };
        names
            .declare([
                known("cards", "value", "{first: u64, last: u64}"),
                known("cards", "seen", "u8"),
                known("cards", "spent", "u32"),
                known("old", "value", "u8"),
            ])
            .unwrap();
        let decls = [
            ("cards", decl("value", "{last: u64, first: u64}", 1)),
            ("cards", decl("seen", "u8", 1)),
            ("cards", decl("spent", "u64", 2)),
            ("fresh", decl("value", "u8", 1)),
        ];
        let report = compare(&names, decls.iter().map(|(operator, decl)| (*operator, decl)));
        assert_eq!(
            report.to_string(),
            "cards / seen: matched\n\
             cards / spent: upgraded: from value u32 (version 1) to value u64 (version 2)\n\
             cards / value: changed: the checkpoint has value {first: u64, last: u64} (version 1), \
             the job declares value {last: u64, first: u64} (version 1)\n\
             fresh / value: new: it starts empty\n\
             old / value: missing: the checkpoint has value u8 (version 1)\n"
        );
        assert!(report.has_changed() && report.has_missing());
        assert!(!compare(&names, []).has_changed());
        assert_eq!(
            format!("{}{}", report.changed(), report.missing()),
            "cards / value: changed: the checkpoint has value {first: u64, last: u64} (version 1), \
             the job declares value {last: u64, first: u64} (version 1)\n\
             fresh / value: new: it starts empty\n\
             old / value: missing: the checkpoint has value u8 (version 1)\n"
        );
    }
}
