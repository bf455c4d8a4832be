//! One struct per key: the hottest of all state.
//!
//! A key's struct is looked up once per record and lent in place. Where the structs lie and how
//! they are frozen is in `resident`; what is not in memory is read from the backend.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyHash};

use crate::error::StateError;
use crate::layers::{Plain, Settle, Space, read_value};
use crate::resident::{Resident, Slot};
use crate::spec::{State, Upgrade};
use crate::store::Port;
use crate::store::budget::{Claim, Held};
use crate::store::dispatch::Parts;
use crate::warm::Warming;

/// Keys that are sought together: more than a processor can wait for at a time, and few enough for
/// what was found to stay in its first cache.
pub const TOGETHER: usize = 32;

/// The struct of each key of one operator on one worker.
pub struct Values<K: Key, S: State> {
    resident: Resident<K, S>,
    /// When so many keys have been touched they are frozen before their barrier comes.
    limit: usize,
    /// What this state holds of its worker's memory.
    claim: Rc<Claim>,
    upgrade: Option<Upgrade<S>>,
    space: Arc<Space>,
    port: Port,
}

/// The struct of one key, lent to a callback. Changing it marks it as changed.
pub struct StateMut<'a, S> {
    value: &'a mut S,
    changed: &'a mut bool,
}

impl<'a, S> StateMut<'a, S> {
    /// Lends `value`; `changed` is set when it is borrowed mutably. For tests of callbacks.
    pub fn new(value: &'a mut S, changed: &'a mut bool) -> Self {
        Self { value, changed }
    }
}

impl<S> Deref for StateMut<'_, S> {
    type Target = S;
    #[inline]
    fn deref(&self) -> &S {
        self.value
    }
}

impl<S> DerefMut for StateMut<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        *self.changed = true;
        self.value
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for StateMut<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<K: Key, S: State> Values<K, S> {
    /// The store looks after what it gives between batches.
    pub(crate) fn open(space: Arc<Space>, upgrade: Option<Upgrade<S>>, port: &Port) -> Rc<RefCell<Self>> {
        // A struct without fields is always its default: there are no rows to look for.
        let is_known = port.starts_empty() || size_of::<S>() == 0;
        let make = move |space: &Space, _: &[u8], value: &[u8]| Ok(Plain(read_value(value, space, upgrade)?));
        let warming = (!is_known).then(|| Warming::new(port.base_handle(), &space, Box::new(make)));
        let resident = Resident::new(space.clone(), warming);
        let values = Rc::new(RefCell::new(Self {
            resident,
            limit: 0,
            claim: port.claim(),
            upgrade,
            space,
            port: port.clone(),
        }));
        port.settles(&values);
        values.borrow_mut().take_shares(0);
        values
    }

    /// The struct of `key`; `Default` if there is none.
    ///
    /// # Errors
    /// The struct lies in the backend and cannot be read from there.
    #[inline]
    pub fn state(&mut self, hash: KeyHash, key: &K) -> Result<StateMut<'_, S>, StateError> {
        if self.resident.touched() >= self.limit {
            self.spill()?;
        }
        let Self { resident, upgrade, port, .. } = self;
        let slot = resident.lend(hash, key, |space| fetch(space, hash, key, *upgrade, port))?;
        let Slot { value, changed, .. } = slot;
        Ok(StateMut { value, changed })
    }

    /// Looks up where the structs of some keys lie, to be asked for by [`Values::state_at`]: the
    /// waits for memory of many look-ups overlap. [`TOGETHER`] at a time are enough.
    #[inline]
    pub fn seek<'k>(&mut self, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        self.resident.seek(keys);
    }

    /// As [`Values::state`], for the `nth` key of those sought last.
    ///
    /// # Errors
    /// As [`Values::state`].
    #[inline]
    pub fn state_at(&mut self, nth: usize, hash: KeyHash, key: &K) -> Result<StateMut<'_, S>, StateError> {
        if self.resident.touched() >= self.limit {
            self.spill()?;
        }
        let Self { resident, upgrade, port, .. } = self;
        let slot = resident.lend_at(nth, hash, key, |space| fetch(space, hash, key, *upgrade, port))?;
        let Slot { value, changed, .. } = slot;
        Ok(StateMut { value, changed })
    }

    /// Ends what was touched for a barrier.
    ///
    /// # Errors
    /// What was frozen before could not be copied out.
    pub(crate) fn freeze(&mut self, parts: &mut Parts) -> Result<(), StateError> {
        let touched = self.resident.touched();
        parts.extend(self.resident.freeze()?);
        self.take_shares(touched);
        Ok(())
    }

    /// What has outgrown its share goes to the writer before its barrier.
    #[cold]
    fn spill(&mut self) -> Result<(), StateError> {
        let mut parts = Parts::default();
        self.freeze(&mut parts)?;
        self.port.spill(parts);
        Ok(())
    }

    fn take_shares(&mut self, touched: usize) {
        let held = Held { touched, all: self.resident.len() };
        let share = self.port.share::<Slot<K, S>>(&self.claim, held, &self.space);
        self.limit = share.overlay_entries;
        self.resident.limit = share.resident_entries;
        self.resident.filter_limit = share.filter_bytes;
    }
}

impl<K: Key, S: State> Settle for Values<K, S> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) -> Result<(), StateError> {
        self.resident.settle(budget, trash)
    }

    fn hand_over(&mut self) {
        self.resident.hand_over();
    }

    fn give_up(&mut self) -> Box<dyn Send> {
        self.resident.give_up()
    }
}

/// The struct of a key in the backend.
#[cold]
fn fetch<K: Key, S: State>(
    space: &Space,
    hash: KeyHash,
    key: &K,
    upgrade: Option<Upgrade<S>>,
    port: &Port,
) -> Result<Option<S>, StateError> {
    // A struct without fields has no rows, and no number of its own to look for them by.
    if size_of::<S>() == 0 { Ok(None) } else { read_row(space, hash, key, upgrade, port) }
}

/// Reads the row of a key from the backend.
pub(crate) fn read_row<K: Key, S: State>(
    space: &Space,
    hash: KeyHash,
    key: &K,
    upgrade: Option<Upgrade<S>>,
    port: &Port,
) -> Result<Option<S>, StateError> {
    let mut row = Vec::new();
    space.key(space.partition.group(hash), key, &mut row)?;
    port.get(&row)?.map(|bytes| read_value(&bytes, space, upgrade)).transpose()
}
