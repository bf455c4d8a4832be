//! The keyed state of one operator on one worker: structs, tables and timers under one freeze.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use pelton_dataflow::key::{Key, KeyHash};
use pelton_dataflow::time::Epoch;

use crate::error::StateError;
use crate::spec::{ListTable, MapTable, State, TableKey, TableValue};
use crate::store::Port;
use crate::store::dispatch::Parts;
use crate::tables::{ListAccess, MapAccess, Tables};
use crate::timers::{TimeDomain, Timers};
use crate::values::Values;

/// The keyed state of one operator on one worker.
///
/// The parts are public, so that a callback can be lent the struct of its key together with the
/// tables and timers. The structs are shared with the store, which looks after them between
/// batches.
pub struct KeyedState<K: Key, S: State> {
    /// One struct per key.
    pub values: Rc<RefCell<Values<K, S>>>,
    /// Maps and lists per key.
    pub tables: Tables<K>,
    /// Timers per key.
    pub timers: Timers<K>,
    pub(crate) port: Port,
}

impl<K: Key, S: State> KeyedState<K, S> {
    /// The structs, to be held while a batch is processed.
    pub fn values(&self) -> RefMut<'_, Values<K, S>> {
        self.values.borrow_mut()
    }

    /// As [`Tables::map`].
    ///
    /// # Errors
    /// As [`Tables::map`].
    pub fn map<'a, UK: TableKey, V: TableValue>(
        &'a mut self,
        table: &MapTable<UK, V>,
        hash: KeyHash,
        key: &'a K,
    ) -> Result<MapAccess<'a, K, UK, V>, StateError> {
        self.tables.map(table, hash, key)
    }

    /// As [`Tables::list`].
    ///
    /// # Errors
    /// As [`Tables::list`].
    pub fn list<'a, V: TableValue>(
        &'a mut self,
        table: &ListTable<V>,
        hash: KeyHash,
        key: &'a K,
    ) -> Result<ListAccess<'a, K, V>, StateError> {
        self.tables.list(table, hash, key)
    }

    /// As [`Timers::set`].
    ///
    /// # Errors
    /// As [`Timers::set`].
    pub fn set_timer(
        &mut self,
        domain: TimeDomain,
        hash: KeyHash,
        key: &K,
        at_ms: i64,
    ) -> Result<(), StateError> {
        self.timers.set(domain, hash, key, at_ms)
    }

    /// As [`Timers::delete`].
    ///
    /// # Errors
    /// As [`Timers::delete`].
    pub fn delete_timer(
        &mut self,
        domain: TimeDomain,
        hash: KeyHash,
        key: &K,
        at_ms: i64,
    ) -> Result<(), StateError> {
        self.timers.delete(domain, hash, key, at_ms)
    }

    /// As [`Timers::pop`].
    ///
    /// # Errors
    /// As [`Timers::pop`].
    pub fn pop_timer(
        &mut self,
        domain: TimeDomain,
        up_to_ms: i64,
    ) -> Result<Option<(i64, KeyHash, K)>, StateError> {
        self.timers.pop(domain, up_to_ms)
    }

    /// As [`Timers::next`].
    #[must_use]
    pub fn next_timer(&self, domain: TimeDomain) -> Option<i64> {
        self.timers.next(domain)
    }

    /// Ends `epoch`: all state as it is belongs to it. Swaps pointers and copies nothing.
    ///
    /// # Errors
    /// The store is closed or its writer has failed, or user code panicked as what was frozen before was copied out.
    pub fn freeze(&mut self, epoch: Epoch) -> Result<(), StateError> {
        let mut parts = Parts::default();
        self.values().freeze(&mut parts)?;
        self.tables.freeze(&mut parts);
        self.timers.freeze(&mut parts);
        self.port.freeze(epoch, parts)
    }
}
