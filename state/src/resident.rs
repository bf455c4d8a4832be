//! The structs of a state that are in memory: hash tables that are changed in place, and frozen
//! without being copied at once.
//!
//! To freeze is to count on: whatever was touched before belongs to the freeze. It is copied out
//! afterwards, table by table, in slices between batches; a struct that is touched again before
//! its table's turn is copied out first, as it was (copy on write). So a struct costs one look-up
//! per record and one copy per freeze in which it has changed, and never moves.
//!
//! What has been copied out goes to the writer as a [`Snapshot`]. Until the writer has let go of
//! it the structs are *in flight*: the backend does not have them yet, so they stay in memory.
//! Everything else may be let go of when the state is over its limit. [`Below`] knows what has been:
//! what neither it nor memory has does not exist, and the backend is not asked for it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;
use pelton_dataflow::key::{Key, KeyHash};

use crate::error::StateError;
use crate::layers::{FrozenPart, Plain, Settle, Space, write_cells};
use crate::rows::RowBuffer;
use crate::shards::{Partition, Place, Tag};
use crate::spec::State;
use crate::warm::{Warmed, Warming};

mod below;
mod rest;
mod room;

use below::{Below, LetGo};
use room::Room;

/// A table in which at least one slot in so many has been touched is gone through as a whole:
/// going through memory in its order costs less than finding slots one by one.
const DENSE: usize = 16;

/// A table that is gone through costs one unit of a slice's budget for so many slots.
const SLOTS_PER_UNIT: usize = 4;

/// Of the slots that wait to be removed, one in four goes in each slice, whatever else there is to do:
/// else there were ever more of them where keys live shortly.
const BURIAL_FRACTION: usize = 4;

/// Slots that were last touched so many freezes ago all count as equally old. Far below half the
/// range of a stamp, less the freezes that pass until each table has been looked after.
const OLDEST: u16 = 1 << 12;

/// The count of a freeze; it goes round.
type Stamp = u16;

/// One key with its struct. Small, as the caches of the processor decide the speed: 24 bytes for
/// a number by a number.
pub(crate) struct Slot<K, S> {
    tag: Tag,
    /// When it was last touched.
    stamp: Stamp,
    /// Changed at that time, and not copied out yet.
    pub(crate) changed: bool,
    /// Rows of it lie in the backend or are on their way: deleting it must be written.
    pub(crate) below: bool,
    pub(crate) key: K,
    pub(crate) value: S,
}

/// One table, and which of its slots have been touched since the last freeze.
struct Table<K, S> {
    slots: HashTable<Slot<K, S>>,
    noted: Noted,
    /// What was written when nothing of it could be let go of.
    pinned_at: Option<Stamp>,
}

/// Slots that have been touched: by their tags or, if there are many, all of the table.
struct Noted {
    tags: Vec<Tag>,
    /// From so many on, the table is dense.
    dense_at: usize,
    dense: bool,
}

impl Noted {
    fn for_table_of(len: usize) -> Self {
        Self { tags: Vec::new(), dense_at: (len / DENSE).max(DENSE), dense: false }
    }

    #[inline]
    fn note(&mut self, tag: Tag) {
        if self.dense {
            return;
        }
        if self.tags.len() < self.dense_at {
            self.tags.push(tag);
        } else {
            self.dense = true;
            self.tags = Vec::new();
        }
    }
}

/// A struct as it was when its state was frozen.
struct Row<K, S> {
    key: K,
    cell: Plain<S>,
    /// Rows of it may lie in the backend.
    below: bool,
}

type RowsByTable<K, S> = Vec<Vec<Row<K, S>>>;

/// The structs that a freeze has to write. The writer waits for them to be copied out.
pub(crate) struct Snapshot<K, S> {
    /// Or why they were not copied out.
    rows: OnceLock<Result<RowsByTable<K, S>, String>>,
    space: Arc<Space>,
}

impl<K: Key, S: State> FrozenPart for Snapshot<K, S> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError> {
        let tables = self.rows.wait().as_ref();
        let tables = tables.map_err(|reason| StateError::WriterStopped { reason: reason.clone() })?;
        let rows = self.space.partition.tables_of(groups).flat_map(|table| &tables[table]);
        write_cells(&self.space, groups, rows.map(|row| (&row.key, &row.cell, row.below)), out)
    }
}

/// A freeze that is being copied out.
struct Collecting<K, S> {
    stamp: Stamp,
    /// The next table.
    next: usize,
    noted: Vec<Noted>,
    rows: RowsByTable<K, S>,
    /// Room that the first row of a table makes for those after it.
    expected: usize,
    /// Slots that are their default: to be removed when all is written.
    dead: Vec<(u32, Tag)>,
    snapshot: Arc<Snapshot<K, S>>,
}

impl<K: Key, S: State> Collecting<K, S> {
    /// A panic of user code leaves the slot as it was: still to be copied out.
    #[inline]
    fn copy_out(&mut self, table: usize, slot: &mut Slot<K, S>) {
        let below = slot.below;
        let is_set = slot.value != S::default();
        if below || is_set {
            let rows = &mut self.rows[table];
            if rows.capacity() == 0 {
                rows.reserve(self.expected);
            }
            rows.push(Row { key: slot.key.clone(), cell: Plain(slot.value.clone()), below });
        }
        slot.below = is_set;
        slot.changed = false;
    }

    /// Copies out what is due of the next table, whose slots these are.
    fn copy_table(&mut self, slots: &mut HashTable<Slot<K, S>>, budget: &mut usize) {
        let index = self.next;
        self.next += 1;
        let noted = std::mem::replace(&mut self.noted[index], Noted::for_table_of(0));
        *budget = budget.saturating_sub(1 + noted.tags.len());
        if noted.dense {
            *budget = budget.saturating_sub(slots.len() / SLOTS_PER_UNIT);
            slots.iter_mut().for_each(|slot| self.copy_out_if_due(index, slot));
            return;
        }
        for tag in noted.tags {
            let of_tag = slots.iter_hash_mut(tag.spread()).filter(|slot| slot.tag == tag);
            of_tag.for_each(|slot| self.copy_out_if_due(index, slot));
        }
    }

    fn copy_out_if_due(&mut self, table: usize, slot: &mut Slot<K, S>) {
        if slot.stamp != self.stamp {
            return;
        }
        if slot.changed {
            self.copy_out(table, slot);
        }
        if slot.value == S::default() {
            self.dead.push((table as u32, slot.tag));
        }
    }
}

impl<K, S> Drop for Collecting<K, S> {
    /// The writer waits for what it was promised: if it was not copied out, it hears so.
    fn drop(&mut self) {
        let Space { operator, state, .. } = &*self.snapshot.space;
        let reason = format!("its worker ended as it copied state `{state}` of operator `{operator}`");
        drop(self.snapshot.rows.set(Err(reason)));
    }
}

/// A freeze that has been copied out and is not known to be written.
struct InFlight<K, S> {
    stamp: Stamp,
    dead: Vec<(u32, Tag)>,
    snapshot: Arc<Snapshot<K, S>>,
}

/// The structs of one state that are in memory.
pub(crate) struct Resident<K: Key, S: State> {
    tables: Vec<Table<K, S>>,
    /// What was sought last.
    sought: Vec<Place>,
    partition: Partition,
    /// What is touched now belongs to the freeze of this stamp.
    now: Stamp,
    /// All freezes up to this one are in the backend.
    written: Stamp,
    /// How many slots there are, and how many there may be.
    len: usize,
    pub(crate) limit: usize,
    /// Slots that have been touched since the last freeze.
    touched: usize,
    collecting: Option<Collecting<K, S>>,
    in_flight: VecDeque<InFlight<K, S>>,
    /// Slots to remove, if they are still their default.
    dead: Vec<(u32, Tag)>,
    below: Below,
    /// How many bytes of memory it may take to know what lies below.
    pub(crate) filter_limit: usize,
    /// While the rows of the backend are being taken up.
    warming: Option<Warming<Plain<S>>>,
    /// The next table to be looked after.
    tended: usize,
    space: Arc<Space>,
}

impl<K: Key, S: State> Resident<K, S> {
    /// Nothing yet. `warming` brings in what the backend holds; without it nothing is there.
    pub(crate) fn new(space: Arc<Space>, warming: Option<Warming<Plain<S>>>) -> Self {
        let partition = space.partition;
        let let_go = LetGo::default();
        let table = || Table { slots: HashTable::new(), noted: Noted::for_table_of(0), pinned_at: None };
        Self {
            tables: (0..partition.tables()).map(|_| table()).collect(),
            sought: Vec::new(),
            partition,
            now: 1,
            written: 0,
            len: 0,
            limit: usize::MAX,
            touched: 0,
            collecting: None,
            in_flight: VecDeque::new(),
            dead: Vec::new(),
            below: if warming.is_none() { Below::Only(let_go) } else { Below::Warming(let_go) },
            filter_limit: usize::MAX,
            warming,
            tended: 0,
            space,
        }
    }

    /// Slots that have been touched since the last freeze.
    #[inline]
    pub(crate) fn touched(&self) -> usize {
        self.touched
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether what is not here does not exist.
    pub(crate) fn is_complete(&self) -> bool {
        self.below.is_nothing()
    }

    /// Takes up no more rows of the backend but those that are laid under.
    pub(crate) fn stop_warming(&mut self) {
        self.warming = None;
    }

    /// Looks up where the slots of some keys lie, for [`Resident::lend_at`]. One look-up waits for
    /// memory twice; those of many keys wait together.
    #[inline]
    pub(crate) fn seek<'k>(&mut self, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        let Self { tables, partition, sought, .. } = self;
        sought.clear();
        sought.extend(keys.map(|(hash, key)| {
            let (tag, table) = (Tag::from(hash), partition.table(hash));
            let same = |slot: &Slot<K, S>| slot.tag == tag && slot.key == *key;
            Place::seek(table, &tables[table].slots, tag, same)
        }));
    }

    /// As [`Resident::lend`], for the `nth` key of those sought last.
    #[inline]
    pub(crate) fn lend_at(
        &mut self,
        nth: usize,
        hash: KeyHash,
        key: &K,
        fetch: impl FnOnce(&Space) -> Result<Option<S>, StateError>,
    ) -> Result<&mut Slot<K, S>, StateError> {
        let Place { table, bucket } = self.sought[nth];
        let (tag, index) = (Tag::from(hash), table as usize);
        let found = self.tables[index].slots.get_bucket(bucket as usize);
        if found.is_some_and(|slot| slot.tag == tag && slot.key == *key) {
            let Table { slots, noted, .. } = &mut self.tables[index];
            let slot = slots.get_bucket_mut(bucket as usize).expect("it was found there");
            if slot.stamp != self.now {
                touch(slot, index, self.now, noted, self.collecting.as_mut());
                self.touched += 1;
            }
            return Ok(slot);
        }
        self.lend(hash, key, fetch)
    }

    /// The slot of a key, touched. One that is not in memory gets what `fetch` finds, which is not
    /// asked if that can only be nothing.
    #[inline]
    pub(crate) fn lend(
        &mut self,
        hash: KeyHash,
        key: &K,
        fetch: impl FnOnce(&Space) -> Result<Option<S>, StateError>,
    ) -> Result<&mut Slot<K, S>, StateError> {
        let tag = Tag::from(hash);
        let index = self.partition.table(hash);
        let Table { slots, noted, pinned_at } = &mut self.tables[index];
        match slots.find_entry(tag.spread(), |slot| slot.tag == tag && slot.key == *key) {
            Ok(found) => {
                let slot = found.into_mut();
                if slot.stamp != self.now {
                    touch(slot, index, self.now, noted, self.collecting.as_mut());
                    self.touched += 1;
                }
                Ok(slot)
            }
            Err(absent) => {
                let slots = absent.into_table();
                let found = if self.below.may_hold(index, tag) { fetch(&self.space)? } else { None };
                let room = Room { now: self.now, written: self.written, limit: self.limit };
                if self.len >= self.limit && *pinned_at != Some(self.written) {
                    let (below, limit) = (&mut self.below, self.filter_limit);
                    let gone = room.make(slots, self.len, |tag| below.add(index, tag, limit));
                    self.len -= gone;
                    *pinned_at = (gone == 0).then_some(self.written);
                }
                noted.note(tag);
                self.touched += 1;
                self.len += 1;
                let below = found.is_some();
                let value = found.unwrap_or_default();
                let slot = Slot { tag, stamp: self.now, changed: false, below, key: key.clone(), value };
                Ok(slots.insert_unique(tag.spread(), slot, |slot| slot.tag.spread()).into_mut())
            }
        }
    }

    /// Ends what was touched till now; what the writer has to write, if anything was.
    ///
    /// # Errors
    /// User code panicked as what was frozen before was copied out.
    pub(crate) fn freeze(&mut self) -> Result<Option<Arc<dyn FrozenPart>>, StateError> {
        self.collect_all()?;
        let stamp = self.now;
        self.now = self.now.wrapping_add(1);
        self.tend();
        if self.touched == 0 {
            return Ok(None);
        }
        let expected = self.touched / self.tables.len().max(1);
        self.touched = 0;
        let fresh = |table: &mut Table<K, S>| {
            let next = Noted::for_table_of(table.slots.len());
            std::mem::replace(&mut table.noted, next)
        };
        let snapshot = Arc::new(Snapshot { rows: OnceLock::new(), space: self.space.clone() });
        self.collecting = Some(Collecting {
            stamp,
            next: 0,
            noted: self.tables.iter_mut().map(fresh).collect(),
            rows: self.tables.iter().map(|_| Vec::new()).collect(),
            expected,
            dead: Vec::new(),
            snapshot: snapshot.clone(),
        });
        Ok(Some(snapshot))
    }

    /// Takes up to `max` slots out of one table, in no particular order; what the last freeze has
    /// of them is copied out first.
    pub(crate) fn take(&mut self, table: usize, max: usize) -> impl Iterator<Item = Slot<K, S>> + '_ {
        let Self { tables, collecting, len, .. } = self;
        let slots = &mut tables[table].slots;
        let taken = max.min(slots.len());
        *len -= taken;
        slots.extract_if(|_| true).take(taken).map(move |mut slot| {
            if slot.changed
                && let Some(mut due) = collecting.take_if(|it| slot.stamp == it.stamp)
            {
                // It is nowhere else any more: if user code panics at it, the freeze is given up.
                due.copy_out(table, &mut slot);
                *collecting = Some(due);
            }
            slot
        })
    }

    /// Copies out all that is left of the last freeze.
    pub(crate) fn collect_all(&mut self) -> Result<(), StateError> {
        let mut all = usize::MAX;
        self.collect(&mut all)
    }

    /// Copies out about `budget` units of the last freeze. If user code panics at it, the freeze is
    /// given up, and the writer hears so.
    fn collect(&mut self, budget: &mut usize) -> Result<(), StateError> {
        let Some(mut collecting) = self.collecting.take() else { return Ok(()) };
        let copied = self.space.guarded("copied", || {
            while collecting.next < self.tables.len() && *budget > 0 {
                let slots = &mut self.tables[collecting.next].slots;
                collecting.copy_table(slots, budget);
            }
            Ok(())
        });
        if let Err(error) = copied {
            // It is set nowhere else before this is dropped.
            drop(collecting.snapshot.rows.set(Err(error.to_string())));
            return Err(error);
        }
        if collecting.next < self.tables.len() {
            self.collecting = Some(collecting);
            return Ok(());
        }
        let rows = std::mem::take(&mut collecting.rows);
        // As above.
        drop(collecting.snapshot.rows.set(Ok(rows)));
        let (stamp, dead) = (collecting.stamp, std::mem::take(&mut collecting.dead));
        self.in_flight.push_back(InFlight { stamp, dead, snapshot: collecting.snapshot.clone() });
        Ok(())
    }

    /// Notes which freezes the writer has let go of, and gives their copies to `trash`.
    fn note_written(&mut self, trash: &dyn Fn(Box<dyn Send>)) {
        while let Some(front) = self.in_flight.front_mut() {
            if Arc::get_mut(&mut front.snapshot).is_none() {
                return;
            }
            let Some(InFlight { stamp, mut dead, snapshot }) = self.in_flight.pop_front() else { return };
            self.written = stamp;
            self.dead.append(&mut dead);
            trash(Box::new(snapshot));
        }
        // Freezes without changes are in no flight.
        if self.collecting.is_none() {
            self.written = self.now.wrapping_sub(1);
        }
    }

    /// Removes about `budget` slots that are their default, written, and not touched since.
    fn bury(&mut self, budget: &mut usize) {
        for _ in 0..(*budget).max(self.dead.len() / BURIAL_FRACTION) {
            let Some((table, tag)) = self.dead.pop() else { return };
            *budget = budget.saturating_sub(1);
            let room = Room { now: self.now, written: self.written, limit: self.limit };
            let slots = &mut self.tables[table as usize].slots;
            let is_dead =
                |slot: &Slot<K, S>| slot.tag == tag && room.may_go(slot) && slot.value == S::default();
            if let Ok(found) = slots.find_entry(tag.spread(), is_dead) {
                found.remove();
                self.len -= 1;
            }
        }
    }

    /// Keeps the stamps of one table from growing so old that they count as new again. Each freeze
    /// looks after the next one.
    fn tend(&mut self) {
        if self.tables.is_empty() {
            return;
        }
        self.tended = (self.tended + 1) % self.tables.len();
        let now = self.now;
        for slot in &mut self.tables[self.tended].slots {
            if now.wrapping_sub(slot.stamp) > OLDEST {
                slot.stamp = now.wrapping_sub(OLDEST);
            }
        }
    }

    /// One slice of warming. An error ends it: whoever needs the row that cannot be read meets it
    /// again.
    fn warm(&mut self) {
        let Some(mut warming) = self.warming.take() else { return };
        let slice = warming.slice(self);
        match slice {
            // It does not fit: what has been let go of cannot be told from what does not exist.
            _ if matches!(self.below, Below::Unknown) => {}
            Ok(true) => self.warming = Some(warming),
            Ok(false) => self.below.end_warming(),
            Err(error) => tracing::warn!(%error, "the cache of a state stays cold"),
        }
    }
}

/// The first touch of a slot since the last freeze.
#[inline]
fn touch<K: Key, S: State>(
    slot: &mut Slot<K, S>,
    table: usize,
    now: Stamp,
    noted: &mut Noted,
    collecting: Option<&mut Collecting<K, S>>,
) {
    if slot.changed {
        collecting.expect("all but the last freeze has been copied out").copy_out(table, slot);
    }
    slot.stamp = now;
    noted.note(slot.tag);
}

impl<K: Key, S: State> Warmed<K, Plain<S>> for Resident<K, S> {
    fn space(&self) -> &Arc<Space> {
        &self.space
    }

    fn lay_under(&mut self, hash: KeyHash, key: K, cell: Plain<S>) {
        let tag = Tag::from(hash);
        let index = self.partition.table(hash);
        let slots = &mut self.tables[index].slots;
        if let Err(absent) = slots.find_entry(tag.spread(), |slot| slot.tag == tag && slot.key == key) {
            if self.len >= self.limit {
                self.below.add(index, tag, self.filter_limit);
                return;
            }
            self.len += 1;
            let slot = Slot { tag, stamp: self.written, changed: false, below: true, key, value: cell.0 };
            absent.into_table().insert_unique(tag.spread(), slot, |slot| slot.tag.spread());
        }
    }
}

impl<K: Key, S: State> Settle for Resident<K, S> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) -> Result<(), StateError> {
        self.collect(budget)?;
        self.note_written(trash);
        self.bury(budget);
        if *budget > 0 && self.warming.is_some() {
            self.warm();
            *budget = 0;
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        // If that fails, the writer says so.
        let _ = self.collect_all();
    }

    fn give_up(&mut self) -> Box<dyn Send> {
        self.hand_over();
        let slots = std::mem::take(&mut self.tables).into_iter().map(|table| table.slots);
        Box::new((slots.collect::<Vec<_>>(), std::mem::take(&mut self.in_flight)))
    }
}

impl<K: Key, S: State> Drop for Resident<K, S> {
    /// After a panic nothing is copied any more: that may call user code.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.hand_over();
        }
    }
}
