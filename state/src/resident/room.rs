//! Which structs a state that is over its limit lets go of.

use hashbrown::HashTable;

use super::{Slot, Stamp};
use crate::shards::Tag;

/// A table of a full state lets go of at least one slot in eight at once: going through it for
/// each new slot would cost the whole table each time.
const SWEEP_FRACTION: usize = 8;

/// What may be let go of.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub now: Stamp,
    pub written: Stamp,
    pub limit: usize,
}

impl Room {
    /// Whether the backend has what this slot holds.
    pub fn may_go<K, S>(self, slot: &Slot<K, S>) -> bool {
        let may_go = self.now.wrapping_sub(slot.stamp) >= self.now.wrapping_sub(self.written);
        debug_assert!(!(may_go && slot.changed), "a change of a written freeze was not copied out");
        may_go
    }

    /// Lets go of what has not been touched since the freeze before the last one written and, if
    /// that is not enough for a state of `len` slots, of more. How many are gone; `gone` hears of those
    /// of which the backend has rows: what was its default need not be looked for.
    #[cold]
    pub fn make<K, S>(
        self,
        slots: &mut HashTable<Slot<K, S>>,
        len: usize,
        mut gone: impl FnMut(Tag),
    ) -> usize {
        let before = slots.len();
        let old = self.now.wrapping_sub(self.written).wrapping_add(1);
        self.let_go(slots, |slot| self.now.wrapping_sub(slot.stamp) > old, &mut gone);
        if len - (before - slots.len()) >= self.limit {
            let some = slots.len().div_ceil(SWEEP_FRACTION);
            let more = slots.extract_if(|slot| self.may_go(slot)).take(some);
            more.filter(|slot| slot.below).for_each(|slot| gone(slot.tag));
        }
        before - slots.len()
    }

    /// Lets go of what `goes` and may.
    pub fn let_go<K, S>(
        self,
        slots: &mut HashTable<Slot<K, S>>,
        goes: impl Fn(&Slot<K, S>) -> bool,
        gone: &mut impl FnMut(Tag),
    ) {
        let going = slots.extract_if(|slot| self.may_go(slot) && goes(slot));
        going.filter(|slot| slot.below).for_each(|slot| gone(slot.tag));
    }
}
