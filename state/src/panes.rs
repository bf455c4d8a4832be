//! Panes: the state of a window operator, one hash table by key for each window.
//!
//! A window fires whole, so its keys lie together: firing walks one pane, and records of the
//! window at hand find their entry with one look-up. What is fired leaves the state as it is given
//! out, slice by slice, so that a barrier may fall in between.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};
use pelton_dataflow::time::{Epoch, EventTime};

use crate::error::StateError;
use crate::layers::{Layer, Layers, Plain, Settle, Space, read_value};
use crate::ordered;
use crate::rows;
use crate::shards::{Entry, Place, Shards, Tag};
use crate::spec::{State, Upgrade};
use crate::store::Port;
use crate::store::dispatch::Parts;

/// A pane given out: one key of a fired window.
pub type Fired<K, A> = (KeyHash, K, A);

/// The panes of one window operator on one worker.
pub struct Panes<K: Key, A: State> {
    /// In the order of their windows.
    open: Vec<Pane<K, A>>,
    /// The pane that was used last: records come in runs of one window.
    hot: usize,
    /// Where keys of it were found that were sought last.
    sought: Vec<Place>,
    /// Entries in all overlays, and how many there may be before they are spilled.
    entries: usize,
    limit: usize,
    /// Tombstones of windows that fired since the last freeze.
    closed: Vec<Layer<K, Plain<A>>>,
    below: Rc<RefCell<Below<K, A>>>,
    space: Space,
    upgrade: Option<Upgrade<A>>,
    port: Port,
}

struct Pane<K, A> {
    window: EventTime,
    overlay: Shards<K, Plain<A>>,
    /// Keys that have been given out since the last freeze and may have rows below.
    fired: Shards<K, Plain<A>>,
    /// Tables below this one are in the overlay with all that lies below them: it is being fired.
    merged: usize,
}

/// The layers below each pane.
struct Below<K, A> {
    windows: BTreeMap<EventTime, Layers<K, Plain<A>>>,
}

impl<K: Key, A: State> Settle for Below<K, A> {
    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) {
        self.windows.values_mut().for_each(|layers| layers.settle(budget, trash));
    }
}

impl<K: Key, A: State> Panes<K, A> {
    pub(crate) fn open(space: Space, upgrade: Option<Upgrade<A>>, port: Port) -> Result<Self, StateError> {
        let below = Rc::new(RefCell::new(Below { windows: BTreeMap::new() }));
        port.settles(&below);
        let (open, closed) = (Vec::new(), Vec::new());
        let sought = Vec::new();
        let mut panes =
            Self { open, hot: 0, sought, entries: 0, limit: 0, closed, below, space, upgrade, port };
        panes.restore()?;
        panes.take_shares();
        Ok(panes)
    }

    /// What is kept for `key` in the window that ends at `window`, to be changed.
    ///
    /// # Errors
    /// It lies in the backend and cannot be read from there.
    #[inline]
    pub fn at(&mut self, window: EventTime, hash: KeyHash, key: &K) -> Result<&mut A, StateError> {
        if self.entries >= self.limit {
            self.spill();
        }
        if self.open.get(self.hot).is_none_or(|pane| pane.window != window) {
            self.hot = self.locate(window);
        }
        let pane = &mut self.open[self.hot];
        let table = self.space.partition.table(hash);
        let (below, port, upgrade, entries, merged) =
            (&self.below, &self.port, self.upgrade, &mut self.entries, pane.merged);
        let entry = pane.overlay.find_or_insert(table, hash, key, || {
            *entries += 1;
            if table < merged {
                let cell = Plain::default();
                return Ok(Entry {
                    tag: hash.into(),
                    key: key.clone(),
                    cell,
                    changed: true,
                    below: true,
                    used: false,
                });
            }
            let mut below = below.borrow_mut();
            let layers = below.windows.get_mut(&window).expect("each open pane has its layers");
            fetch(layers, table, hash, key, upgrade, port)
        })?;
        entry.changed = true;
        Ok(&mut entry.cell.0)
    }

    /// Looks up where some keys lie in the window that ends at `window`, to be asked for by
    /// [`Panes::at_sought`]: the waits for memory of many look-ups overlap.
    #[inline]
    pub fn seek<'k>(&mut self, window: EventTime, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        if self.open.get(self.hot).is_none_or(|pane| pane.window != window) {
            self.hot = self.locate(window);
        }
        let Self { open, hot, sought, space, .. } = self;
        let overlay = &open[*hot].overlay;
        sought.clear();
        sought.extend(keys.map(|(hash, key)| overlay.seek(space.partition.table(hash), hash, key)));
    }

    /// As [`Panes::at`], for the `nth` key of those sought last.
    ///
    /// # Errors
    /// As [`Panes::at`].
    #[inline]
    pub fn at_sought(
        &mut self,
        nth: usize,
        window: EventTime,
        hash: KeyHash,
        key: &K,
    ) -> Result<&mut A, StateError> {
        let place = self.sought[nth];
        let pane = &self.open[self.hot];
        if pane.window != window || !pane.overlay.is_at(place, hash, key) {
            return self.at(window, hash, key);
        }
        let entry = self.open[self.hot].overlay.at(place, hash, key).expect("it is there");
        entry.changed = true;
        Ok(&mut entry.cell.0)
    }

    /// The earliest window that holds anything.
    #[must_use]
    pub fn next_window(&self) -> Option<EventTime> {
        self.open.first().map(|pane| pane.window)
    }

    /// Takes up to `max` keys out of `window`; they are gone from the state. Empty when, and only
    /// when, the window holds nothing any more.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn drain(&mut self, window: EventTime, max: usize) -> Result<Vec<Fired<K, A>>, StateError> {
        let mut out = Vec::new();
        let Ok(index) = self.open.binary_search_by_key(&window, |pane| pane.window) else { return Ok(out) };
        let tables = self.space.partition.tables();
        for table in 0..tables {
            if out.len() == max {
                return Ok(out);
            }
            if table >= self.open[index].merged {
                self.merge(index, table)?;
            }
            self.emit(index, table, max, &mut out);
        }
        if self.open[index].overlay.is_empty() {
            self.close(index);
        }
        Ok(out)
    }

    /// Ends `epoch`: all panes as they are belong to it.
    ///
    /// # Errors
    /// The store is closed or its writer has failed.
    pub fn freeze(&mut self, epoch: Epoch) -> Result<(), StateError> {
        let parts = self.freeze_parts();
        self.port.freeze(epoch, parts)
    }

    fn freeze_parts(&mut self) -> Parts {
        let mut parts = Parts::default();
        for layer in self.closed.drain(..) {
            parts.push(Arc::new(layer));
        }
        let mut below = self.below.borrow_mut();
        for pane in &mut self.open {
            let layers = below.windows.get_mut(&pane.window).expect("each open pane has its layers");
            let partition = &self.space.partition;
            // A key that came back after it was given out counts: its layer is the newer one.
            for tables in [&mut pane.fired, &mut pane.overlay] {
                if !tables.is_empty() {
                    parts.push(layers.push(std::mem::replace(tables, Shards::new(partition))));
                }
            }
            pane.merged = 0;
        }
        drop(below);
        self.entries = 0;
        self.take_shares();
        parts
    }

    #[cold]
    fn spill(&mut self) {
        let parts = self.freeze_parts();
        self.port.spill(parts);
    }

    fn take_shares(&mut self) {
        let share = self.port.share::<Entry<K, Plain<A>>>(&self.space);
        self.limit = share.overlay_entries;
        let mut below = self.below.borrow_mut();
        let windows = below.windows.len().max(1);
        let limit = (share.cache_entries / windows).max(1);
        below.windows.values_mut().for_each(|layers| layers.limit = limit);
    }

    #[cold]
    fn locate(&mut self, window: EventTime) -> usize {
        match self.open.binary_search_by_key(&window, |pane| pane.window) {
            Ok(index) => index,
            Err(index) => {
                // All windows with rows were found when the state was opened.
                self.insert(index, window, true);
                index
            }
        }
    }

    fn insert(&mut self, index: usize, window: EventTime, complete: bool) {
        let space = Arc::new(Space {
            window: Some(window),
            operator: self.space.operator.clone(),
            row_bytes: self.space.row_bytes.clone(),
            ..self.space
        });
        let tables = || Shards::new(&self.space.partition);
        self.open.insert(index, Pane { window, overlay: tables(), fired: tables(), merged: 0 });
        self.below.borrow_mut().windows.insert(window, Layers::new(space, complete));
    }

    /// Brings all that lies below one table of a pane up into its overlay.
    fn merge(&mut self, index: usize, table: usize) -> Result<(), StateError> {
        let pane = &mut self.open[index];
        let mut below = self.below.borrow_mut();
        let layers = below.windows.get_mut(&pane.window).expect("each open pane has its layers");
        let groups = self.space.partition.unit_of_table(table);
        // Nothing may leave the cache before it has been raised.
        layers.limit = usize::MAX;
        if !layers.complete && self.space.partition.tables_of(&groups).start == table {
            for group in groups.map(KeyGroup) {
                load_group(layers, group, self.upgrade, &self.port)?;
            }
        }
        let entries = &mut self.entries;
        let mut raise = |tag: Tag, key: &K, cell: &Plain<A>| {
            let make = || {
                *entries += 1;
                let (key, cell) = (key.clone(), cell.clone());
                Ok(Entry { tag, key, cell, changed: false, below: true, used: false })
            };
            match pane.overlay.find_or_insert::<Infallible>(table, tag, key, make) {
                Ok(entry) => entry.below = true,
                Err(never) => match never {},
            }
        };
        layers.frozen_entries(table).for_each(|entry| raise(entry.tag, &entry.key, &entry.cell));
        for entry in layers.take_cached(table) {
            raise(entry.tag, &entry.key, &entry.cell);
        }
        pane.merged = table + 1;
        Ok(())
    }

    fn emit(&mut self, index: usize, table: usize, max: usize, out: &mut Vec<Fired<K, A>>) {
        let Pane { overlay, fired, .. } = &mut self.open[index];
        let before = overlay.len();
        while out.len() < max {
            let Some(entry) = overlay.drain(table, 1).next() else { break };
            let (tag, key) = (entry.tag, entry.key);
            if entry.below {
                let gone = || {
                    let (key, cell) = (key.clone(), Plain::default());
                    Ok(Entry { tag, key, cell, changed: true, below: true, used: false })
                };
                match fired.find_or_insert::<Infallible>(table, tag, &key, gone) {
                    Ok(_) => {}
                    Err(never) => match never {},
                }
            }
            if entry.cell.0 != A::default() {
                out.push((hash_of(&key), key, entry.cell.0));
            }
        }
        self.entries -= before - overlay.len();
    }

    fn close(&mut self, index: usize) {
        let pane = self.open.remove(index);
        self.hot = 0;
        if let Some(layers) = self.below.borrow_mut().windows.remove(&pane.window) {
            if !pane.fired.is_empty() {
                self.closed.push(Layer { tables: pane.fired, space: layers.space.clone() });
            }
            self.port.trash(Box::new(layers));
        }
    }

    /// Finds the windows that have rows: one look per key group and window.
    fn restore(&mut self) -> Result<(), StateError> {
        if self.port.starts_empty() {
            return Ok(());
        }
        for group in self.space.partition.groups().map(KeyGroup) {
            let mut from = rows::head(group, self.space.id).to_vec();
            let to = ordered::end_of_prefix(&from);
            loop {
                let Some(row) = self.port.base().scan(from..to.clone())?.next() else { break };
                let Some((window, _)) = rows::split_time(&row?.0) else {
                    return Err(self.space.codec("read", "key", &"the row of a pane has no window"));
                };
                if let Err(index) = self.open.binary_search_by_key(&EventTime(window), |pane| pane.window) {
                    self.insert(index, EventTime(window), false);
                }
                let Some(behind) = window.checked_add(1) else { break };
                from = rows::head(group, self.space.id).to_vec();
                from.extend_from_slice(&rows::time_bytes(behind));
            }
        }
        Ok(())
    }
}

/// Copies the struct of a key up from below the overlay.
#[inline(never)]
fn fetch<K: Key, S: State>(
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

/// Takes all rows of one key group of a window into the cache.
fn load_group<K: Key, A: State>(
    layers: &mut Layers<K, Plain<A>>,
    group: KeyGroup,
    upgrade: Option<Upgrade<A>>,
    port: &Port,
) -> Result<(), StateError> {
    let mut from = Vec::new();
    layers.space.head(group, &mut from);
    let prefix = from.len();
    let to = ordered::end_of_prefix(&from);
    for row in port.base().scan(from..to)? {
        let (row, bytes) = row?;
        let key: K =
            ordered::decode(&row[prefix..]).map_err(|error| layers.space.codec("read", "key", &error))?;
        let hash = hash_of(&key);
        let table = layers.space.partition.table(hash);
        if layers.cache.find(table, hash, &key).is_none() {
            let cell = Plain(read_value(&bytes, &layers.space, upgrade)?);
            layers.remember(table, hash, &key, cell);
        }
    }
    Ok(())
}
