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
        let (below, limit) = (&mut self.below, self.filter_limit);
        for (index, Table { slots, .. }) in self.tables.iter_mut().enumerate() {
            let before = slots.len();
            room.let_go(slots, |_| true, &mut |tag| below.add(index, tag, limit));
            self.len -= before - slots.len();
        }
    }
}
