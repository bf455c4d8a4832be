//! What a keyed process is lent at each call, besides its state: the key, time, timers, tables,
//! and its outputs.

use pelton_dataflow::clock::Clock;
use pelton_dataflow::error::OpError;
use pelton_dataflow::key::{Key, KeyHash};
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::tables::Tables;
use pelton_state::timers::Timers;
use pelton_state::{
    ListAccess, ListTable, MapAccess, MapTable, StateError, TableKey, TableValue, TimeDomain,
};

use crate::emit::Emitter;

/// The surroundings of a call of user code on a key: [`Context`](super::Context) and
/// [`CoContext`](crate::CoContext) name it for a process.
pub struct KeyedContext<'a, K: Key, O: Data, S: Data> {
    pub(crate) tables: &'a mut Tables<K>,
    pub(crate) timers: &'a mut Timers<K>,
    pub(crate) hash: KeyHash,
    pub(crate) key: &'a K,
    pub(crate) time: EventTime,
    pub(crate) watermark: EventTime,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) out: &'a mut Emitter<O>,
    pub(crate) side: &'a mut Emitter<S>,
    pub(crate) in_event_order: bool,
    /// The first error of a call that returns none.
    pub(crate) error: Option<OpError>,
}

impl<K: Key, O: Data, S: Data> KeyedContext<'_, K, O, S> {
    /// The key at hand.
    #[must_use]
    pub fn key(&self) -> &K {
        self.key
    }

    /// The event time of the record or timer at hand; what is emitted carries it.
    #[must_use]
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// The operator's watermark: no record earlier than it will come that is not late. A result
    /// that depends on it depends on when watermarks arrive, and may differ between runs.
    #[must_use]
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Whether the record at hand is earlier than the watermark.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.time < self.watermark
    }

    /// Processing time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn processing_time_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Emits to the main output.
    #[inline]
    pub fn emit(&mut self, value: O) {
        self.out.push(self.time, value);
    }

    /// Emits to the main output at another event time than that of the record or timer at hand.
    #[inline]
    pub(crate) fn emit_at(&mut self, time: EventTime, value: O) {
        self.out.push(time, value);
    }

    /// Emits to the side output.
    pub fn side(&mut self, value: S) {
        self.side.push(self.time, value);
    }

    /// Sets an event-time timer for this key: `on_timer` is called once the watermark has reached
    /// `at`. The same time twice is one timer.
    ///
    /// At the end of the input all times are reached, also those that are set then: a timer that sets the next one each time has to
    /// stop when the watermark is [`EventTime::END`].
    pub fn timer_at(&mut self, at: EventTime) {
        let set = self.timers.set(TimeDomain::Event, self.hash, self.key, at.0);
        self.note(set);
    }

    /// Sets an event-time timer for a key that has at most one, of which `timer` tells.
    pub(crate) fn one_timer_at(&mut self, timer: &mut Option<EventTime>, at: EventTime) {
        if let Some(set) = timer.replace(at) {
            self.delete_timer(set);
        }
        self.timer_at(at);
    }

    /// Takes back an event-time timer of this key; none is no error.
    pub fn delete_timer(&mut self, at: EventTime) {
        let deleted = self.timers.delete(TimeDomain::Event, self.hash, self.key, at.0);
        self.note(deleted);
    }

    /// Sets a processing-time timer for this key, in milliseconds since the Unix epoch. In event order
    /// ([`KeyedStream::in_event_order`](crate::KeyedStream::in_event_order)) there are none: the call fails.
    pub fn processing_timer_at(&mut self, at_ms: i64) {
        if self.in_event_order {
            let refused = "it is shown its records in event order, and sets a processing-time timer, which fires \
                           at another place in that order in each run: use `timer_at`";
            self.error.get_or_insert_with(|| refused.into());
            return;
        }
        let set = self.timers.set(TimeDomain::Processing, self.hash, self.key, at_ms);
        self.note(set);
    }

    /// Takes back a processing-time timer of this key; none is no error.
    pub fn delete_processing_timer(&mut self, at_ms: i64) {
        let deleted = self.timers.delete(TimeDomain::Processing, self.hash, self.key, at_ms);
        self.note(deleted);
    }

    /// This key's part of a declared map.
    ///
    /// # Errors
    /// The table was not declared.
    pub fn map<UK: TableKey, V: TableValue>(
        &mut self,
        table: MapTable<UK, V>,
    ) -> Result<MapAccess<'_, K, UK, V>, StateError> {
        self.tables.map(&table, self.hash, self.key)
    }

    /// This key's part of a declared list.
    ///
    /// # Errors
    /// The table was not declared.
    pub fn list<V: TableValue>(&mut self, table: ListTable<V>) -> Result<ListAccess<'_, K, V>, StateError> {
        self.tables.list(&table, self.hash, self.key)
    }

    /// Keeps an error that the call at hand has no way to return: it fails once the call is over.
    fn note(&mut self, result: Result<(), StateError>) {
        if let Err(error) = result {
            self.error.get_or_insert_with(|| error.into());
        }
    }
}
