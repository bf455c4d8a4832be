//! What a keyed process says of its state before the graph is built.

use pelton_state::spec::Upgrade;
use pelton_state::{ListTable, MapTable, State, StateSpec, TableKey, TableValue};

/// Collects the tables and the schema version of a [`KeyedProcess`](super::KeyedProcess).
pub struct Declare<S> {
    pub(crate) spec: StateSpec<S>,
}

impl<S: State> Default for Declare<S> {
    fn default() -> Self {
        Self { spec: StateSpec::new() }
    }
}

impl<S: State> Declare<S> {
    /// A map kept per key, one row per entry.
    pub fn map<UK: TableKey, V: TableValue>(&mut self, table: MapTable<UK, V>) {
        self.change(|spec| spec.map(table));
    }

    /// A list kept per key, one row per element.
    pub fn list<V: TableValue>(&mut self, table: ListTable<V>) {
        self.change(|spec| spec.list(table));
    }

    /// The schema version of the state struct: raise it when its shape changes.
    pub fn version(&mut self, version: u16) {
        self.change(|spec| spec.version(version));
    }

    /// How state of earlier versions is read.
    pub fn upgrade(&mut self, upgrade: Upgrade<S>) {
        self.change(|spec| spec.upgrade(upgrade));
    }

    fn change(&mut self, change: impl FnOnce(StateSpec<S>) -> StateSpec<S>) {
        self.spec = change(std::mem::take(&mut self.spec));
    }
}
