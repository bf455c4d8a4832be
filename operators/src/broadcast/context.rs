//! What a broadcast process is lent at each call, besides the rules and its state.

use pelton_dataflow::time::EventTime;
use pelton_state::{ListAccess, ListTable, MapAccess, MapTable, StateError, TableKey, TableValue};

use super::BroadcastProcess;
use crate::process::KeyedContext;

/// The surroundings of a call of a [`BroadcastProcess`]. It tells neither the watermark nor processing time: what a
/// call does follows from its record, the rules and the state.
pub struct BroadcastContext<'a, P: BroadcastProcess> {
    pub(super) around: KeyedContext<'a, P::Key, P::Out, P::Side>,
}

impl<P: BroadcastProcess> BroadcastContext<'_, P> {
    /// The key at hand.
    #[must_use]
    pub fn key(&self) -> &P::Key {
        self.around.key()
    }

    /// The event time of the record or timer at hand; what is emitted carries it.
    #[must_use]
    pub fn time(&self) -> EventTime {
        self.around.time()
    }

    /// Emits to the main output.
    #[inline]
    pub fn emit(&mut self, value: P::Out) {
        self.around.emit(value);
    }

    /// Emits to the side output.
    pub fn side(&mut self, value: P::Side) {
        self.around.side(value);
    }

    /// Sets an event-time timer for this key: `on_timer` is called before any record or rule of that time.
    /// The same time twice is one timer.
    pub fn timer_at(&mut self, at: EventTime) {
        self.around.timer_at(at);
    }

    /// Takes back an event-time timer of this key; none is no error.
    pub fn delete_timer(&mut self, at: EventTime) {
        self.around.delete_timer(at);
    }

    /// This key's part of a declared map.
    ///
    /// # Errors
    /// The table was not declared.
    pub fn map<UK: TableKey, V: TableValue>(
        &mut self,
        table: MapTable<UK, V>,
    ) -> Result<MapAccess<'_, P::Key, UK, V>, StateError> {
        self.around.map(table)
    }

    /// This key's part of a declared list.
    ///
    /// # Errors
    /// The table was not declared.
    pub fn list<V: TableValue>(
        &mut self,
        table: ListTable<V>,
    ) -> Result<ListAccess<'_, P::Key, V>, StateError> {
        self.around.list(table)
    }
}
