//! Panes that several windows share: read without being taken out, and dropped whole.
//!
//! A slice is written once, when it has filled, is read by nobody but a restore, and is dropped when the last window that
//! it belongs to has fired. So once it is full it leaves memory as soon as the backend has it, and dropping it is one range marker
//! per key group, however many keys it has.

use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};
use pelton_dataflow::time::EventTime;

use super::{Pane, Panes};
use crate::error::StateError;
use crate::layers::{FrozenPart, Space, read_value};
use crate::ordered;
use crate::rows::{self, Kind, RowBuffer};
use crate::spec::State;
use crate::warm::Warmed;

/// Range markers of windows that have been dropped whole.
pub(super) struct Forgotten {
    windows: Vec<EventTime>,
    space: Arc<Space>,
}

impl FrozenPart for Forgotten {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError> {
        for group in groups.clone().map(KeyGroup) {
            for window in &self.windows {
                let mut from = rows::head(group, self.space.id).to_vec();
                from.extend_from_slice(&rows::time_bytes(window.0));
                let to = ordered::end_of_prefix(&from);
                let append = |bytes: &[u8], out: &mut Vec<u8>| {
                    out.extend_from_slice(bytes);
                    Ok::<_, StateError>(())
                };
                out.add(Kind::Clear, |row| append(&from, row), |value| append(&to, value))?;
            }
        }
        Ok(())
    }
}

impl<K: Key, A: State> Panes<K, A> {
    /// The windows that hold anything, in their order.
    pub fn windows(&self) -> impl Iterator<Item = EventTime> + '_ {
        self.open.iter().map(|pane| pane.window)
    }

    /// The key groups of this worker, in the stretches that [`Panes::walk`] takes.
    pub fn units(&self) -> impl Iterator<Item = Range<u16>> + use<K, A> {
        self.space.partition.units()
    }

    /// Shows `see` what `window` holds for the keys of one of the [`units`](Panes::units), in no particular order.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn walk(
        &self,
        window: EventTime,
        unit: &Range<u16>,
        mut see: impl FnMut(KeyHash, &K, &A),
    ) -> Result<(), StateError> {
        let Ok(index) = self.open.binary_search_by_key(&window, |pane| pane.window) else { return Ok(()) };
        let keys = &self.open[index].keys;
        for table in self.space.partition.tables_of(unit) {
            keys.slots(table).for_each(|slot| see(hash_of(&slot.key), &slot.key, &slot.value.0));
        }
        if keys.is_complete() {
            return Ok(());
        }
        let space = keys.space();
        for group in unit.clone().map(KeyGroup) {
            let mut from = Vec::new();
            space.head(group, &mut from);
            let prefix = from.len();
            let to = ordered::end_of_prefix(&from);
            for row in self.port.base().scan(from..to)? {
                let (row, bytes) = row?;
                let key: K =
                    ordered::decode(&row[prefix..]).map_err(|error| space.codec("read", "key", &error))?;
                let hash = hash_of(&key);
                if !keys.holds(hash, &key) {
                    see(hash, &key, &read_value(&bytes, space, self.upgrade)?);
                }
            }
        }
        Ok(())
    }

    /// Nothing more is expected for `window` until it is forgotten: what the backend has of it leaves memory. What comes for it
    /// nevertheless is taken.
    pub fn rest(&mut self, window: EventTime) {
        if let Ok(index) = self.open.binary_search_by_key(&window, |pane| pane.window) {
            self.open[index].is_at_rest = true;
            self.open[index].keys.stop_warming();
        }
    }

    /// Drops all that `window` holds.
    pub fn forget(&mut self, window: EventTime) {
        let Ok(index) = self.open.binary_search_by_key(&window, |pane| pane.window) else { return };
        let mut pane = self.open.remove(index);
        // The writer waits for what it was promised, and says so if it does not come.
        let _ = pane.keys.collect_all();
        if pane.may_have_rows {
            self.forgotten.push(window);
        }
        self.port.trash(Box::new(pane.keys));
        self.count_touched();
    }

    pub(super) fn take_forgotten(&mut self) -> Option<Arc<dyn FrozenPart>> {
        let windows = std::mem::take(&mut self.forgotten);
        (!windows.is_empty()).then(|| {
            let space = Arc::new(Space {
                window: None,
                operator: self.space.operator.clone(),
                row_bytes: self.space.row_bytes.clone(),
                ..self.space
            });
            Arc::new(Forgotten { windows, space }) as _
        })
    }
}

impl<K: Key, A: State> Pane<K, A> {
    pub(super) fn freeze(&mut self) -> Result<Option<Arc<dyn FrozenPart>>, StateError> {
        let frozen = self.keys.freeze()?;
        self.may_have_rows |= frozen.is_some();
        if self.is_at_rest {
            self.keys.let_go();
        }
        Ok(frozen)
    }
}
