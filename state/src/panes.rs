//! Panes: the state of a window operator, one hash table by key for each window.
//!
//! A window fires whole, so its keys lie together: firing walks one pane, and records of the
//! window at hand find their entry with one look-up. What is fired leaves the state as it is given
//! out, slice by slice, so that a barrier may fall in between. Like the structs of other states
//! the keys of a pane are changed in place and copied out after a freeze (`resident`).
//!
//! Windows that overlap keep what they share in panes too, read them without taking anything out, and drop them
//! whole: that is in `slices`.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};
use pelton_dataflow::time::{Epoch, EventTime};
use serde::{Deserialize, Serialize};

use crate::error::StateError;
use crate::layers::{FrozenPart, Plain, Settle, Space, read_value};
use crate::ordered;
use crate::resident::{Resident, Slot};
use crate::rows::{self, Kind, RowBuffer};
use crate::spec::{State, Upgrade};
use crate::store::Port;
use crate::store::budget::{Claim, Held};
use crate::store::dispatch::Parts;
use crate::values::read_row;
use crate::warm::{Warmed, Warming};

mod slices;

/// A pane given out: one key of a fired window.
pub type Fired<K, A> = (KeyHash, K, A);

/// The panes of one window operator on one worker.
pub struct Panes<K: Key, A: State> {
    /// In the order of their windows.
    open: Vec<Pane<K, A>>,
    /// The pane that was used last: records come in runs of one window.
    hot: usize,
    /// Keys that have been touched since the last freeze in all panes but the hot one.
    touched_elsewhere: usize,
    /// When so many keys have been touched they are frozen before their barrier comes.
    limit: usize,
    /// What these panes hold of their worker's memory.
    claim: Rc<Claim>,
    /// What was given out of windows that are gone since the last freeze.
    closed: Vec<GivenOut<K>>,
    /// Windows that were dropped whole since the last freeze and may have rows.
    forgotten: Vec<EventTime>,
    /// How many keys there are in `closed` and in what was given out of open windows.
    tombstones: usize,
    space: Space,
    upgrade: Option<Upgrade<A>>,
    port: Port,
}

struct Pane<K: Key, A: State> {
    window: EventTime,
    keys: Resident<K, Present<A>>,
    /// Keys that have been given out since the last freeze and have rows below, by table.
    given_out: Vec<Vec<K>>,
    /// Once it is being fired: all tables below this one are in memory with all that there is, and
    /// what is not there does not exist, whatever rows the backend still has.
    merged: usize,
    /// It is not expected to be asked for: what is written of it need not be in memory.
    is_at_rest: bool,
    /// Rows of it may lie in the backend or be on their way.
    may_have_rows: bool,
}

/// What is in a pane is there, even if it is its default: it equals nothing.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Present<A>(A);

impl<A> PartialEq for Present<A> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

/// Tombstones of keys that have been given out.
struct GivenOut<K> {
    tables: Vec<Vec<K>>,
    space: Arc<Space>,
}

impl<K: Key> FrozenPart for GivenOut<K> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn write(&self, groups: &Range<u16>, out: &mut RowBuffer) -> Result<(), StateError> {
        let partition = &self.space.partition;
        for key in partition.tables_of(groups).flat_map(|table| &self.tables[table]) {
            let group = partition.group(hash_of(key));
            out.add(Kind::Delete, |row| self.space.key(group, key, row), |_| Ok(()))?;
        }
        Ok(())
    }
}

impl<K: Key, A: State> Pane<K, A> {
    /// The slot of a key, to be changed; `nth` of those sought last, if it was sought.
    #[inline]
    fn lend(
        &mut self,
        nth: Option<usize>,
        hash: KeyHash,
        key: &K,
        (upgrade, port): (Option<Upgrade<A>>, &Port),
    ) -> Result<&mut A, StateError> {
        let merged = self.merged;
        let find = |space: &Space| match space.partition.table(hash) < merged {
            true => Ok(None),
            false => Ok(read_row(space, hash, key, upgrade, port)?.map(Present)),
        };
        let Slot { value, changed, .. } = match nth {
            Some(nth) => self.keys.lend_at(nth, hash, key, find)?,
            None => self.keys.lend(hash, key, find)?,
        };
        *changed = true;
        Ok(&mut value.0)
    }
}

impl<K: Key, A: State> Panes<K, A> {
    /// The store looks after what it gives between batches.
    pub(crate) fn open(
        space: Space,
        upgrade: Option<Upgrade<A>>,
        port: &Port,
    ) -> Result<Rc<RefCell<Self>>, StateError> {
        let (open, closed, forgotten) = (Vec::new(), Vec::new(), Vec::new());
        let (hot, touched_elsewhere, tombstones, limit) = (0, 0, 0, 0);
        let (claim, port) = (port.claim(), port.clone());
        let mut panes = Self {
            open,
            hot,
            touched_elsewhere,
            limit,
            claim,
            closed,
            forgotten,
            tombstones,
            space,
            upgrade,
            port,
        };
        panes.restore()?;
        let panes = Rc::new(RefCell::new(panes));
        panes.borrow().port.settles(&panes);
        panes.borrow_mut().take_shares(0);
        Ok(panes)
    }

    /// What is kept for `key` in the window that ends at `window`, to be changed. From then on the window has
    /// the key, until it is given out.
    ///
    /// # Errors
    /// It lies in the backend and cannot be read from there.
    #[inline]
    pub fn at(&mut self, window: EventTime, hash: KeyHash, key: &K) -> Result<&mut A, StateError> {
        self.heat(window);
        self.lend(None, hash, key)
    }

    /// Looks up where some keys lie in the window that ends at `window`, to be asked for by
    /// [`Panes::at_sought`]: the waits for memory of many look-ups overlap.
    #[inline]
    pub fn seek<'k>(&mut self, window: EventTime, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        self.heat(window);
        self.open[self.hot].keys.seek(keys);
    }

    /// As [`Panes::at`], for the `nth` key of those sought last, in the window where it was sought.
    ///
    /// # Errors
    /// As [`Panes::at`].
    #[inline]
    pub fn at_sought(&mut self, nth: usize, hash: KeyHash, key: &K) -> Result<&mut A, StateError> {
        self.lend(Some(nth), hash, key)
    }

    #[allow(clippy::inline_always, reason = "called for each record, and not inlined otherwise")]
    #[inline(always)]
    fn lend(&mut self, nth: Option<usize>, hash: KeyHash, key: &K) -> Result<&mut A, StateError> {
        if self.touched_elsewhere + self.open[self.hot].keys.touched() >= self.limit {
            self.spill()?;
        }
        self.open[self.hot].lend(nth, hash, key, (self.upgrade, &self.port))
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
        if self.tombstones >= self.limit {
            self.spill_given_out();
        }
        let mut out = Vec::new();
        let Ok(index) = self.open.binary_search_by_key(&window, |pane| pane.window) else { return Ok(out) };
        for table in 0..self.space.partition.tables() {
            if out.len() == max {
                return Ok(out);
            }
            let pane = &mut self.open[index];
            if table >= pane.merged {
                pane.merge(table, self.upgrade, &self.port)?;
            }
            self.tombstones += pane.emit(table, max, &mut out);
        }
        if self.open[index].keys.is_empty() {
            self.close(index)?;
        }
        Ok(out)
    }

    /// Ends `epoch`: all panes as they are belong to it.
    ///
    /// # Errors
    /// The store is closed or its writer has failed.
    pub fn freeze(&mut self, epoch: Epoch) -> Result<(), StateError> {
        let parts = self.freeze_parts()?;
        self.port.freeze(epoch, parts)
    }

    fn freeze_parts(&mut self) -> Result<Parts, StateError> {
        // A key that came back after it was given out counts: its part is the later one.
        let mut parts = self.take_given_out();
        parts.extend(self.take_forgotten());
        let touched = self.touched_elsewhere + self.open.get(self.hot).map_or(0, |pane| pane.keys.touched());
        for pane in &mut self.open {
            parts.extend(pane.freeze()?);
        }
        self.touched_elsewhere = 0;
        self.take_shares(touched);
        Ok(parts)
    }

    /// The tombstones of what has been given out since the last freeze.
    fn take_given_out(&mut self) -> Parts {
        self.tombstones = 0;
        let closed = self.closed.drain(..);
        let given_out = closed.chain(self.open.iter_mut().filter_map(Pane::take_given_out));
        given_out.map(|given_out| Arc::new(given_out) as _).collect()
    }

    /// A window far larger than memory may be given out between two barriers. The tombstones alone go to the
    /// writer: what comes back is written later.
    #[cold]
    fn spill_given_out(&mut self) {
        let parts = self.take_given_out();
        self.port.spill(parts);
    }

    #[cold]
    fn spill(&mut self) -> Result<(), StateError> {
        let parts = self.freeze_parts()?;
        self.port.spill(parts);
        Ok(())
    }

    /// Each pane may hold its part, and what others leave of theirs.
    fn take_shares(&mut self, touched: usize) {
        let held: usize = self.open.iter().map(|pane| pane.keys.len()).sum();
        let claimed = Held { touched, all: held };
        let share = self.port.share::<Slot<K, Present<A>>>(&self.claim, claimed, &self.space);
        self.limit = share.overlay_entries;
        let panes = self.open.len().max(1);
        let part = share.resident_entries / panes;
        for pane in self.open.iter_mut().filter(|pane| pane.merged == 0) {
            let others = held - pane.keys.len();
            pane.keys.limit = share.resident_entries.saturating_sub(others).max(part).max(1);
            pane.keys.filter_limit = share.filter_bytes / panes;
        }
    }

    /// Makes the pane of `window` the hot one.
    #[inline]
    fn heat(&mut self, window: EventTime) {
        if self.open.get(self.hot).is_none_or(|pane| pane.window != window) {
            self.locate(window);
        }
    }

    #[cold]
    fn locate(&mut self, window: EventTime) {
        let touched = |panes: &Self| panes.open.get(panes.hot).map_or(0, |pane| pane.keys.touched());
        self.touched_elsewhere += touched(self);
        self.hot = match self.open.binary_search_by_key(&window, |pane| pane.window) {
            Ok(index) => index,
            Err(index) => {
                // All windows with rows were found when the state was opened.
                self.insert(index, window, true);
                self.take_shares(self.touched_elsewhere);
                index
            }
        };
        self.touched_elsewhere -= touched(self);
    }

    fn insert(&mut self, index: usize, window: EventTime, is_complete: bool) {
        let space = Arc::new(Space {
            window: Some(window),
            operator: self.space.operator.clone(),
            row_bytes: self.space.row_bytes.clone(),
            ..self.space
        });
        let upgrade = self.upgrade;
        let make = move |space: &Space, _: &[u8], value: &[u8]| {
            Ok(Plain(Present(read_value(value, space, upgrade)?)))
        };
        let warming = (!is_complete).then(|| Warming::new(self.port.base_handle(), &space, Box::new(make)));
        let keys = Resident::new(space, warming);
        let (given_out, merged, is_at_rest, may_have_rows) = (Vec::new(), 0, false, !is_complete);
        self.open.insert(index, Pane { window, keys, given_out, merged, is_at_rest, may_have_rows });
    }

    fn close(&mut self, index: usize) -> Result<(), StateError> {
        let mut pane = self.open.remove(index);
        // What was frozen has been copied out as it was given out.
        pane.keys.collect_all()?;
        self.closed.extend(pane.take_given_out());
        self.port.trash(Box::new(pane.keys));
        self.count_touched();
        Ok(())
    }

    /// Panes have moved.
    fn count_touched(&mut self) {
        self.hot = 0;
        self.touched_elsewhere = self.open.iter().skip(1).map(|pane| pane.keys.touched()).sum();
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

impl<K: Key, A: State> Pane<K, A> {
    /// Brings what the backend alone holds of one table into memory.
    fn merge(&mut self, table: usize, upgrade: Option<Upgrade<A>>, port: &Port) -> Result<(), StateError> {
        // Nothing may leave any more, and what has been given out may not come back.
        self.keys.limit = usize::MAX;
        self.keys.stop_warming();
        let space = self.keys.space().clone();
        let groups = space.partition.unit_of_table(table);
        if !self.keys.is_complete() && space.partition.tables_of(&groups).start == table {
            for group in groups.map(KeyGroup) {
                load_group(&mut self.keys, group, upgrade, port)?;
            }
        }
        self.merged = table + 1;
        Ok(())
    }

    /// Gives out up to `max` keys in all of one table; how many of them have rows.
    fn emit(&mut self, table: usize, max: usize, out: &mut Vec<Fired<K, A>>) -> usize {
        let Self { keys, given_out, .. } = self;
        let mut with_rows = 0;
        for Slot { key, value, below, .. } in keys.take(table, max - out.len()) {
            if below {
                with_rows += 1;
                given_out.resize_with(given_out.len().max(table + 1), Vec::new);
                given_out[table].push(key.clone());
            }
            out.push((hash_of(&key), key, value.0));
        }
        with_rows
    }

    /// The tombstones of what has been given out since the last freeze, if there are any.
    fn take_given_out(&mut self) -> Option<GivenOut<K>> {
        if self.given_out.is_empty() {
            return None;
        }
        let space = self.keys.space().clone();
        let mut tables = std::mem::take(&mut self.given_out);
        tables.resize_with(space.partition.tables(), Vec::new);
        Some(GivenOut { tables, space })
    }
}

impl<K: Key, A: State> Settle for Panes<K, A> {
    fn whose(&self) -> &Space {
        &self.space
    }

    fn settle(&mut self, budget: &mut usize, trash: &dyn Fn(Box<dyn Send>)) -> Result<(), StateError> {
        self.open.iter_mut().try_for_each(|pane| pane.keys.settle(budget, trash))
    }

    fn hand_over(&mut self) {
        self.open.iter_mut().for_each(|pane| pane.keys.hand_over());
    }

    fn give_up(&mut self) -> Box<dyn Send> {
        Box::new(self.open.iter_mut().map(|pane| pane.keys.give_up()).collect::<Vec<_>>())
    }
}

/// Takes all rows of one key group of a window that are not in memory.
fn load_group<K: Key, A: State>(
    keys: &mut Resident<K, Present<A>>,
    group: KeyGroup,
    upgrade: Option<Upgrade<A>>,
    port: &Port,
) -> Result<(), StateError> {
    let space = keys.space().clone();
    let mut from = Vec::new();
    space.head(group, &mut from);
    let prefix = from.len();
    let to = ordered::end_of_prefix(&from);
    for row in port.base().scan(from..to)? {
        let (row, bytes) = row?;
        let key: K = ordered::decode(&row[prefix..]).map_err(|error| space.codec("read", "key", &error))?;
        keys.lay_under(hash_of(&key), key, Plain(Present(read_value(&bytes, &space, upgrade)?)));
    }
    Ok(())
}
