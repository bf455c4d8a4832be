//! One struct per key: the hottest of all state.
//!
//! A key's struct is looked up once per record, in the overlay, and lent in place. Only a key's
//! first touch after a freeze goes further: it copies the struct up from the layers, the cache or
//! the backend.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyHash};

use crate::error::StateError;
use crate::layers::{Layers, Plain, Space, read_value};
use crate::shards::{Entry, Partition, Shards};
use crate::spec::{State, Upgrade};
use crate::store::Port;
use crate::store::dispatch::Parts;

/// The struct of each key of one operator on one worker.
pub struct Values<K: Key, S: State> {
    overlay: Shards<K, Plain<S>>,
    partition: Partition,
    /// An overlay of this many keys is frozen before its barrier comes.
    limit: usize,
    /// How many keys a table of the overlay had when it was last frozen.
    expected: usize,
    /// Shared with the store, which moves layers on between batches.
    below: Rc<RefCell<Layers<K, Plain<S>>>>,
    upgrade: Option<Upgrade<S>>,
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
    pub(crate) fn new(space: Arc<Space>, upgrade: Option<Upgrade<S>>, port: Port) -> Self {
        let partition = space.partition;
        // A struct without fields is always its default: there are no rows to look for.
        let layers = Layers::new(space, port.starts_empty() || size_of::<S>() == 0);
        let make = move |space: &Space, _: &[u8], value: &[u8]| Ok(Plain(read_value(value, space, upgrade)?));
        let below = Rc::new(RefCell::new(layers.warmed(&port, Box::new(make))));
        port.settles(&below);
        let overlay = Shards::new(&partition);
        let mut values = Self { overlay, partition, limit: 0, expected: 0, below, upgrade, port };
        values.take_shares();
        values
    }

    /// The struct of `key`; `Default` if there is none.
    ///
    /// # Errors
    /// The struct lies in the backend and cannot be read from there.
    #[inline]
    pub fn state(&mut self, hash: KeyHash, key: &K) -> Result<StateMut<'_, S>, StateError> {
        if self.overlay.len() >= self.limit {
            self.spill();
        }
        let table = self.partition.table(hash);
        let Self { overlay, below, upgrade, port, expected, .. } = self;
        overlay.prepare(table, *expected);
        let entry = overlay.find_or_insert(table, hash, key, || {
            fetch(&mut below.borrow_mut(), table, hash, key, *upgrade, port)
        })?;
        Ok(StateMut { value: &mut entry.cell.0, changed: &mut entry.changed })
    }

    /// Takes the overlay for a barrier.
    pub(crate) fn freeze(&mut self, parts: &mut Parts) {
        if !self.overlay.is_empty() {
            let tables = self.partition.tables().max(1);
            self.expected = self.overlay.len() / tables;
            let frozen = std::mem::replace(&mut self.overlay, Shards::new(&self.partition));
            parts.push(self.below.borrow_mut().push(frozen));
        }
        self.take_shares();
        self.port.settle_if_many(&self.below);
    }

    /// An overlay that has outgrown its share goes to the writer before its barrier.
    #[cold]
    fn spill(&mut self) {
        let mut parts = Parts::default();
        self.freeze(&mut parts);
        self.port.spill(parts);
    }

    fn take_shares(&mut self) {
        let mut below = self.below.borrow_mut();
        let share = self.port.share::<Entry<K, Plain<S>>>(&below.space);
        self.limit = share.overlay_entries;
        below.limit = share.cache_entries;
    }
}

/// Copies the struct of a key up from below the overlay.
#[inline(never)]
pub(crate) fn fetch<K: Key, S: State>(
    below: &mut Layers<K, Plain<S>>,
    table: usize,
    hash: KeyHash,
    key: &K,
    upgrade: Option<Upgrade<S>>,
    port: &Port,
) -> Result<Entry<K, Plain<S>>, StateError> {
    let mut entry = Entry {
        tag: hash.into(),
        key: key.clone(),
        cell: Plain::default(),
        changed: false,
        below: false,
        used: false,
    };
    let frozen = below.frozen(table, hash, key).next().cloned();
    if let Some(cell) = frozen {
        entry.cell = cell;
    } else if let Some(cell) = below.cached(table, hash, key) {
        entry.cell = cell.clone();
    } else if !below.complete && size_of::<S>() > 0 {
        let mut row = Vec::new();
        below.space.key(below.space.partition.group(hash), key, &mut row)?;
        if let Some(bytes) = port.get(&row)? {
            entry.cell = Plain(read_value(&bytes, &below.space, upgrade)?);
        }
    }
    entry.below = entry.cell.0 != S::default();
    Ok(entry)
}
