//! What lies below an overlay: frozen layers, the cache, and at the bottom the backend.
//!
//! An overlay that has been frozen becomes a [`Layer`]: shared, read by the worker until it lies
//! in the backend, and by the writer thread that puts it there. A written layer's entries then
//! move into the cache, in slices between batches; the emptied layer is dropped on the writer
//! thread. Reads go through the layers from the newest to the oldest, then the cache.
//!
//! The cache knows absence: as long as it is `complete`, what it does not hold does not exist, and
//! the backend is never asked. It stops being complete when something is evicted from it; that of a
//! restored state becomes complete once it has been warmed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};
use pelton_dataflow::time::EventTime;

use crate::error::StateError;
use crate::ordered;
use crate::rows::{self, Kind, RowBuffer, StateId};
use crate::shards::{Entry, Partition, Shards};
use crate::store::Port;
use crate::warm::{MakeCell, Warmed, Warming};

/// A table of the cache that is full lets go of at least one entry in eight at once: sweeping it
/// for each new entry would cost the whole table each time.
const SWEEP_FRACTION: usize = 8;

/// Where the rows of one state lie, and what its messages call it.
pub(crate) struct Space {
    pub(crate) id: StateId,
    /// The end of the window, for panes.
    pub(crate) window: Option<EventTime>,
    pub(crate) version: u16,
    pub(crate) partition: Partition,
    pub(crate) operator: Arc<str>,
    pub(crate) state: &'static str,
    /// Mean length of a row, in bytes: the writer measures it, the cache's budget uses it.
    pub(crate) row_bytes: Arc<AtomicU64>,
}

impl Space {
    /// What the rows of this space in one key group begin with.
    pub(crate) fn head(&self, group: KeyGroup, out: &mut Vec<u8>) {
        out.extend_from_slice(&rows::head(group, self.id));
        if let Some(window) = self.window {
            out.extend_from_slice(&rows::time_bytes(window.0));
        }
    }

    /// What the rows of one key begin with.
    pub(crate) fn key<K: Key>(&self, group: KeyGroup, key: &K, out: &mut Vec<u8>) -> Result<(), StateError> {
        self.head(group, out);
        ordered::encode_into(key, out).map_err(|error| self.codec("write", "key", &error))
    }

    /// What `act` does to values of user code between its calls. A panic of theirs is an error that names the state: there
    /// is no operator at work that it could be put down to.
    pub(crate) fn guarded<T>(
        &self,
        action: &'static str,
        act: impl FnOnce() -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        StateError::caught(act).unwrap_or_else(|message| Err(self.panicked(action, message)))
    }

    /// The error of a panic in values of user code.
    pub(crate) fn panicked(&self, action: &'static str, message: String) -> StateError {
        let (operator, state) = (self.operator.to_string(), self.state.to_owned());
        StateError::Panicked { action, operator, state, message }
    }

    /// The error of a key or value that cannot be written or read.
    pub(crate) fn codec(
        &self,
        action: &'static str,
        what: &'static str,
        problem: &dyn std::fmt::Display,
    ) -> StateError {
        StateError::Codec {
            action,
            what,
            operator: self.operator.to_string(),
            state: self.state.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// What is kept for one key.
pub(crate) trait Cell: Send + Sync + Sized + 'static {
    /// Writes the rows of this cell, whose keys begin with `head`. `below` says whether older rows
    /// of it may exist.
    fn write(&self, head: &[u8], below: bool, space: &Space, out: &mut RowBuffer) -> Result<(), StateError>;

    /// How many values it holds: what the cache's limit counts.
    fn weight(&self) -> usize {
        1
    }

    /// Comes into a cache that is complete: what it does not hold does not exist.
    fn complete(&mut self) {}

    /// Lays the cell of a newer layer over this one.
    fn absorb(&mut self, newer: Self);

    /// Lays a cell that was read from the backend under this one.
    fn lay_under(&mut self, older: Self);

    /// Whether it says what its absence in a complete cache says too.
    fn is_void(&self) -> bool;
}

/// A frozen overlay.
pub(crate) struct Layer<K, C> {
    pub(crate) tables: Shards<K, C>,
    pub(crate) space: Arc<Space>,
}

/// What the writer takes of a frozen overlay.
pub(crate) trait FrozenPart: Send + Sync {
    /// Whose rows they are.
    fn whose(&self) -> &Space;

    /// Writes the rows of some key groups: a whole unit.
    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError>;
}

impl<K: Key, C: Cell> FrozenPart for Layer<K, C> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError> {
        let tables = self.space.partition.tables_of(groups).map(|table| self.tables.table(table));
        let changed = tables.flat_map(|table| table.iter()).filter(|entry| entry.changed);
        write_cells(&self.space, groups, changed.map(|entry| (&entry.key, &entry.cell, entry.below)), out)
    }
}

/// Writes the rows of `cells`, which belong to a whole unit of key groups; the last of each says
/// whether older rows of it may exist. Measures how long rows are.
pub(crate) fn write_cells<'a, K: Key, C: Cell>(
    space: &Space,
    groups: &Range<u16>,
    cells: impl Iterator<Item = (&'a K, &'a C, bool)>,
    out: &mut RowBuffer,
) -> Result<(), StateError> {
    let mut head = Vec::new();
    let (rows_before, bytes_before) = (out.len(), out.byte_len());
    for (key, cell, below) in cells {
        let group = match groups.len() {
            1 => KeyGroup(groups.start),
            _ => space.partition.group(hash_of(key)),
        };
        head.clear();
        space.key(group, key, &mut head)?;
        cell.write(&head, below, space, out)?;
    }
    let rows = (out.len() - rows_before) as u64;
    if let Some(mean) = ((out.byte_len() - bytes_before) as u64).checked_div(rows) {
        space.row_bytes.store(mean, Ordering::Relaxed);
    }
    Ok(())
}

/// Something below an overlay that can be moved on in slices, between batches.
pub(crate) trait Settle {
    /// Whose rows they are.
    fn whose(&self) -> &Space;

    /// Moves on up to about `budget` entries of what was frozen, and takes them off the budget.
    ///
    /// # Errors
    /// User code panicked at it.
    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) -> Result<(), StateError>;

    /// Gives the writer all that it was promised and waits for, or hears why it does not come.
    fn hand_over(&mut self) {}

    /// Gives away what it holds in memory, which is not asked for any more.
    fn give_up(&mut self) -> Box<dyn Send>;
}

/// The layers below one overlay.
pub(crate) struct Layers<K, C> {
    frozen: VecDeque<Frozen<K, C>>,
    pub(crate) cache: Shards<K, C>,
    /// Whether the cache and the layers together hold all there is.
    pub(crate) complete: bool,
    /// The most values that the cache may hold.
    pub(crate) limit: usize,
    /// How many it holds.
    weight: usize,
    /// Whether anything has been let go of.
    evicted: bool,
    /// While the rows of the backend are being taken up.
    warming: Option<Warming<C>>,
    pub(crate) space: Arc<Space>,
}

struct Frozen<K, C> {
    layer: Arc<Layer<K, C>>,
    /// The first table that has not been moved into the cache.
    next: usize,
}

impl<K: Key, C: Cell> Layers<K, C> {
    pub(crate) fn new(space: Arc<Space>, complete: bool) -> Self {
        let cache = Shards::new(&space.partition);
        let (frozen, limit) = (VecDeque::new(), usize::MAX);
        Self { frozen, cache, complete, limit, weight: 0, evicted: false, warming: None, space }
    }

    /// How many values the cache holds.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Has the cache take up all rows of the backend between batches, unless it is complete.
    pub(crate) fn warmed(mut self, port: &Port, make: MakeCell<C>) -> Self {
        if !self.complete {
            self.warming = Some(Warming::new(port.base_handle(), &self.space, make));
        }
        self
    }

    /// Puts a frozen overlay on top, and gives what the writer takes of it.
    pub(crate) fn push(&mut self, tables: Shards<K, C>) -> Arc<dyn FrozenPart> {
        let layer = Arc::new(Layer { tables, space: self.space.clone() });
        self.frozen.push_back(Frozen { layer: layer.clone(), next: 0 });
        layer
    }

    /// The cells of a key in the frozen layers, the newest first.
    pub(crate) fn frozen<'a>(
        &'a self,
        table: usize,
        hash: KeyHash,
        key: &'a K,
    ) -> impl Iterator<Item = &'a C> + 'a {
        let layers = self.frozen.iter().rev();
        layers.filter_map(move |frozen| frozen.layer.tables.find(table, hash, key)).map(|entry| &entry.cell)
    }

    /// The cell of a key in the cache, which is noted as used.
    pub(crate) fn cached(&mut self, table: usize, hash: KeyHash, key: &K) -> Option<&C> {
        let entry = self.cache.find_mut(table, hash, key)?;
        entry.used = true;
        Some(&entry.cell)
    }

    /// Lays a cell that was read from the backend over what the cache holds of its key.
    pub(crate) fn remember(&mut self, table: usize, hash: KeyHash, key: &K, cell: C) {
        self.absorb(
            table,
            Entry { tag: hash.into(), key: key.clone(), cell, changed: false, below: true, used: true },
        );
        self.make_room(table);
    }

    /// One slice of warming. An error ends it: whoever needs the row that cannot be read meets it
    /// again.
    fn warm(&mut self) {
        let Some(mut warming) = self.warming.take() else { return };
        let slice = warming.slice(self);
        match slice {
            // It does not fit: what has been let go of cannot be told from what does not exist.
            _ if self.evicted => {}
            Ok(true) => self.warming = Some(warming),
            Ok(false) => self.complete = true,
            Err(error) => tracing::warn!(%error, "the cache of a state stays cold"),
        }
    }

    /// Moves what is left of the oldest written layer, if many wait: each costs every read.
    pub(crate) fn settle_if_many(&mut self, limit: usize, trash: &dyn Fn(Box<dyn Send>)) {
        while self.frozen.len() > limit {
            let before = self.frozen.len();
            let mut all = self.frozen[0].layer.tables.len().max(1);
            self.move_on(&mut all, trash);
            if self.frozen.len() == before {
                return;
            }
        }
    }

    /// Moves up to about `budget` entries of written layers into the cache.
    fn move_on(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) {
        while *budget > 0 {
            let Some(front) = self.frozen.front_mut() else { return };
            // The writer lets go of a layer once it lies in the backend.
            let Some(layer) = Arc::get_mut(&mut front.layer) else { return };
            if front.next < self.space.partition.tables() && !layer.tables.is_empty() {
                let table = front.next;
                front.next += 1;
                let entries = layer.tables.take(table);
                *budget = budget.saturating_sub(entries.len());
                self.absorb_table(table, entries);
            } else if let Some(empty) = self.frozen.pop_front() {
                trash(Box::new(empty.layer));
            }
        }
    }

    fn absorb_table(&mut self, table: usize, mut entries: hashbrown::HashTable<Entry<K, C>>) {
        if self.cache.table(table).is_empty() {
            for entry in &mut entries {
                if self.complete {
                    entry.cell.complete();
                }
                self.weight += entry.cell.weight();
            }
            self.cache.put(table, entries);
        } else {
            for entry in entries {
                self.absorb(table, entry);
            }
        }
        self.make_room(table);
    }

    fn absorb(&mut self, table: usize, newer: Entry<K, C>) {
        let complete = self.complete;
        match self.cache.find_mut(table, newer.tag, &newer.key) {
            Some(known) => {
                self.weight -= known.cell.weight();
                known.cell.absorb(newer.cell);
                if complete && known.cell.is_void() {
                    self.cache.remove(table, newer.tag, &newer.key);
                } else {
                    self.weight += known.cell.weight();
                }
            }
            None if complete && newer.cell.is_void() => {}
            None => {
                let mut newer = newer;
                if complete {
                    newer.cell.complete();
                }
                self.weight += newer.cell.weight();
                self.cache.insert_new(table, newer);
            }
        }
    }

    /// If the cache is over its limit, lets go of what this table has not used since its last
    /// sweep, and of more if that is not enough.
    fn make_room(&mut self, table: usize) {
        if self.weight <= self.limit {
            return;
        }
        self.complete = false;
        self.evicted = true;
        let weight = &mut self.weight;
        self.cache.retain(table, |entry| {
            let keep = std::mem::take(&mut entry.used);
            *weight -= if keep { 0 } else { entry.cell.weight() };
            keep
        });
        if self.weight > self.limit {
            let some = self.cache.table(table).len().div_ceil(SWEEP_FRACTION);
            for entry in self.cache.drain(table, some) {
                self.weight -= entry.cell.weight();
            }
        }
    }
}

impl<K: Key, C: Cell> Warmed<K, C> for Layers<K, C> {
    fn space(&self) -> &Arc<Space> {
        &self.space
    }

    fn lay_under(&mut self, hash: KeyHash, key: K, cell: C) {
        let table = self.space.partition.table(hash);
        match self.cache.find_mut(table, hash, &key) {
            Some(known) => {
                self.weight -= known.cell.weight();
                known.cell.lay_under(cell);
                self.weight += known.cell.weight();
            }
            None => {
                self.weight += cell.weight();
                let tag = hash.into();
                let entry = Entry { tag, key, cell, changed: false, below: true, used: false };
                self.cache.insert_new(table, entry);
            }
        }
        self.make_room(table);
    }
}

impl<K: Key, C: Cell> Settle for Layers<K, C> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) -> Result<(), StateError> {
        self.move_on(budget, trash);
        if *budget > 0 && self.warming.is_some() {
            self.warm();
            *budget = 0;
        }
        Ok(())
    }

    fn give_up(&mut self) -> Box<dyn Send> {
        let cache = Shards::new(&self.space.partition);
        Box::new((std::mem::replace(&mut self.cache, cache), std::mem::take(&mut self.frozen)))
    }
}

/// A value as a cell: one row, and none while it is its default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain<S>(pub(crate) S);

impl<S: crate::spec::State> Cell for Plain<S> {
    fn write(&self, head: &[u8], below: bool, space: &Space, out: &mut RowBuffer) -> Result<(), StateError> {
        let key = |out: &mut Vec<u8>| {
            out.extend_from_slice(head);
            Ok(())
        };
        if self.0 == S::default() {
            return if below { out.add(Kind::Delete, key, |_| Ok(())) } else { Ok(()) };
        }
        out.add(Kind::Put, key, |out| write_value(&self.0, space, out))
    }

    fn absorb(&mut self, newer: Self) {
        *self = newer;
    }

    fn lay_under(&mut self, _: Self) {}

    fn is_void(&self) -> bool {
        self.0 == S::default()
    }
}

/// A row's value: schema version and codec.
pub(crate) fn write_value<V: serde::Serialize>(
    value: &V,
    space: &Space,
    out: &mut Vec<u8>,
) -> Result<(), StateError> {
    out.extend_from_slice(&space.version.to_le_bytes());
    crate::codec::encode_into(value, out).map_err(|error| space.codec("write", "value", &error))
}

/// Reads a row's value, through `upgrade` if an earlier version wrote it.
pub(crate) fn read_value<V: serde::de::DeserializeOwned>(
    bytes: &[u8],
    space: &Space,
    upgrade: Option<crate::spec::Upgrade<V>>,
) -> Result<V, StateError> {
    let Some((version, value)) = bytes.split_first_chunk::<2>() else {
        return Err(space.codec("read", "value", &"the row has no schema version"));
    };
    let version = u16::from_le_bytes(*version);
    if version == space.version {
        return crate::codec::decode(value).map_err(|error| space.codec("read", "value", &error));
    }
    match upgrade {
        Some(upgrade) => upgrade(version, value),
        None => Err(StateError::SchemaVersion {
            operator: space.operator.to_string(),
            state: space.state.to_owned(),
            found: version,
            reads: space.version,
        }),
    }
}
