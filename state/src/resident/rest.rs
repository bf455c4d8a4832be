//! Structs that are only read, or not expected to be asked for any more.

use pelton_dataflow::key::{Key, KeyHash};

use super::{Resident, Room, Slot, Table};
use crate::shards::Tag;
use crate::spec::State;

impl<K: Key, S: State> Resident<K, S> {
    /// The slots of one table.
    pub(crate) fn slots(&self, table: usize) -> impl Iterator<Item = &Slot<K, S>> {
        self.tables[table].slots.iter()
    }

    /// Whether there is a slot of a key.
    pub(crate) fn holds(&self, hash: KeyHash, key: &K) -> bool {
        let tag = Tag::from(hash);
        let slots = &self.tables[self.partition.table(hash)].slots;
        slots.find(tag.spread(), |slot| slot.tag == tag && slot.key == *key).is_some()
    }

    /// Lets go of all that the backend has.
    pub(crate) fn let_go(&mut self) {
        let room = Room { now: self.now, written: self.written, limit: self.limit };
        for Table { slots, .. } in self.tables.iter_mut().filter(|table| !table.slots.is_empty()) {
            let before = slots.len();
            let mut had_rows = false;
            slots.retain(|slot| {
                let goes = room.may_go(slot);
                had_rows |= goes && slot.below;
                !goes
            });
            self.len -= before - slots.len();
            self.complete &= !had_rows;
            self.evicted |= had_rows;
        }
    }
}
