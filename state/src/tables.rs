//! Map and list tables: collections kept per key as one row per entry.
//!
//! A table of a million rows is never loaded or rewritten whole: reads and writes touch single
//! rows, clearing writes one range marker, and iteration merges the layers with the backend as it
//! goes.

use std::any::{Any, TypeId};
use std::cell::{RefCell, RefMut};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyHash};

use crate::cells::{MergedRows, TableCell};
use crate::error::StateError;
use crate::layers::{Layers, Space, read_value};
use crate::ordered;
use crate::shards::{Entry, Partition, Shards};
use crate::small::SmallBytes;
use crate::spec::{ListTable, MapTable, TableKey, TableSpec, TableValue};
use crate::store::Port;
use crate::store::budget::{Claim, Held};
use crate::store::dispatch::Parts;

/// Up to this many rows of one key are kept in the cache as a whole once they have been iterated:
/// more would push out what other keys need.
const WHOLE_ROWS: usize = 256;

/// The map and list tables of one operator on one worker.
pub struct Tables<K: Key> {
    declared: Vec<(TableSpec, Arc<Space>)>,
    /// As `declared`; made at their first use, which knows their types.
    open: Vec<Option<Box<dyn AnyTable>>>,
    port: Port,
    operator: Arc<str>,
    key: PhantomData<fn() -> K>,
}

trait AnyTable: Any {
    fn freeze(&mut self, parts: &mut Parts);
}

impl<K: Key> Tables<K> {
    pub(crate) fn new(operator: Arc<str>, declared: Vec<(TableSpec, Arc<Space>)>, port: Port) -> Self {
        let open = declared.iter().map(|_| None).collect();
        Self { declared, open, port, operator, key: PhantomData }
    }

    /// The map `table` of `key`.
    ///
    /// # Errors
    /// The operator does not declare the table, or declares it with other types.
    pub fn map<'a, UK: TableKey, V: TableValue>(
        &'a mut self,
        table: &MapTable<UK, V>,
        hash: KeyHash,
        key: &'a K,
    ) -> Result<MapAccess<'a, K, UK, V>, StateError> {
        let types = (TypeId::of::<MapTable<UK, V>>(), std::any::type_name::<MapTable<UK, V>>());
        let rows = self.core::<V>(table.name(), types)?.rows(hash, key);
        Ok(MapAccess { rows, user_key: Vec::new(), types: PhantomData })
    }

    /// The list `table` of `key`.
    ///
    /// # Errors
    /// As [`Tables::map`].
    pub fn list<'a, V: TableValue>(
        &'a mut self,
        table: &ListTable<V>,
        hash: KeyHash,
        key: &'a K,
    ) -> Result<ListAccess<'a, K, V>, StateError> {
        let types = (TypeId::of::<ListTable<V>>(), std::any::type_name::<ListTable<V>>());
        let rows = self.core::<V>(table.name(), types)?.rows(hash, key);
        Ok(ListAccess { rows })
    }

    pub(crate) fn freeze(&mut self, parts: &mut Parts) {
        self.open.iter_mut().flatten().for_each(|table| table.freeze(parts));
    }

    fn core<V: TableValue>(
        &mut self,
        name: &'static str,
        (types, type_name): (TypeId, &'static str),
    ) -> Result<&mut Core<K, V>, StateError> {
        let Some(index) = self.declared.iter().position(|(spec, _)| spec.name == name) else {
            return Err(self.undeclared(name));
        };
        let (spec, space) = &self.declared[index];
        if spec.types != types {
            return Err(StateError::TableTypes {
                operator: self.operator.to_string(),
                table: name,
                used: type_name,
                declared: spec.type_name,
            });
        }
        let open = self.open[index]
            .get_or_insert_with(|| Box::new(Core::<K, V>::new(space.clone(), self.port.clone())));
        let any: &mut dyn Any = &mut **open;
        Ok(any.downcast_mut().expect("the types were compared, and they determine the core"))
    }

    fn undeclared(&self, table: &'static str) -> StateError {
        let names: Vec<_> = self.declared.iter().map(|(spec, _)| format!("`{}`", spec.name)).collect();
        StateError::UndeclaredTable {
            operator: self.operator.to_string(),
            table,
            declared: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    }
}

/// One table of all keys.
struct Core<K: Key, V: TableValue> {
    overlay: Shards<K, TableCell<V>>,
    /// Rows in the overlay.
    rows: usize,
    limit: usize,
    claim: Rc<Claim>,
    partition: Partition,
    below: Rc<RefCell<Layers<K, TableCell<V>>>>,
    port: Port,
}

impl<K: Key, V: TableValue> Core<K, V> {
    fn new(space: Arc<Space>, port: Port) -> Self {
        let partition = space.partition;
        let layers = Layers::new(space, port.starts_empty());
        let layers = layers.warmed(
            &port,
            Box::new(|space, user_key, value| {
                let row = Some(read_value(value, space, None)?);
                Ok(TableCell { whole: false, rows: [(user_key.into(), row)].into() })
            }),
        );
        let below = Rc::new(RefCell::new(layers));
        port.settles(&below);
        let overlay = Shards::new(&partition);
        let mut core = Self { overlay, rows: 0, limit: 0, claim: port.claim(), partition, below, port };
        core.take_shares(0);
        core
    }

    fn rows<'a>(&'a mut self, hash: KeyHash, key: &'a K) -> KeyRows<'a, K, V> {
        if self.rows >= self.limit {
            let mut parts = Parts::default();
            self.freeze(&mut parts);
            self.port.spill(parts);
        }
        let table = self.partition.table(hash);
        KeyRows {
            overlay: &mut self.overlay,
            count: &mut self.rows,
            below: self.below.borrow_mut(),
            port: &self.port,
            table,
            hash,
            key,
        }
    }

    fn take_shares(&mut self, touched: usize) {
        let mut below = self.below.borrow_mut();
        let held = Held { touched, all: touched + below.weight() };
        let share = self.port.share::<(SmallBytes, Option<V>)>(&self.claim, held, &below.space);
        self.limit = share.overlay_entries;
        below.limit = share.cache_entries;
    }
}

impl<K: Key, V: TableValue> AnyTable for Core<K, V> {
    fn freeze(&mut self, parts: &mut Parts) {
        if !self.overlay.is_empty() {
            let frozen = std::mem::replace(&mut self.overlay, Shards::new(&self.partition));
            parts.push(self.below.borrow_mut().push(frozen));
        }
        let touched = std::mem::take(&mut self.rows);
        self.take_shares(touched);
        self.port.settle_if_many(&self.below);
    }
}

/// The rows of one key in one table.
struct KeyRows<'a, K: Key, V: TableValue> {
    overlay: &'a mut Shards<K, TableCell<V>>,
    count: &'a mut usize,
    below: RefMut<'a, Layers<K, TableCell<V>>>,
    port: &'a Port,
    table: usize,
    hash: KeyHash,
    key: &'a K,
}

impl<K: Key, V: TableValue> KeyRows<'_, K, V> {
    fn get(&mut self, user_key: &[u8]) -> Result<Option<V>, StateError> {
        let (table, hash, key) = (self.table, self.hash, self.key);
        if let Some(entry) = self.overlay.find(table, hash, key)
            && let Some(row) = entry.cell.lookup(user_key)
        {
            return Ok(row.cloned());
        }
        if let Some(row) = self.below.frozen(table, hash, key).find_map(|cell| cell.lookup(user_key)) {
            return Ok(row.cloned());
        }
        if let Some(row) = self.below.cached(table, hash, key).and_then(|cell| cell.lookup(user_key)) {
            return Ok(row.cloned());
        }
        if self.below.complete {
            return Ok(None);
        }
        let mut row = self.prefix()?;
        row.extend_from_slice(user_key);
        let value = match self.port.get(&row)? {
            Some(bytes) => Some(read_value(&bytes, &self.below.space, None)?),
            None => None,
        };
        let rows = [(user_key.into(), value.clone())].into();
        self.below.remember(table, hash, key, TableCell { whole: false, rows });
        Ok(value)
    }

    fn set(&mut self, user_key: &[u8], value: Option<V>) {
        let cell = self.cell();
        let added = if value.is_none() && cell.whole {
            cell.rows.remove(user_key);
            false
        } else {
            cell.rows.insert(user_key.into(), value).is_none()
        };
        *self.count += usize::from(added);
    }

    fn clear(&mut self) {
        let (table, hash, key) = (self.table, self.hash, self.key);
        let below = !self.below.complete
            || self.below.frozen(table, hash, key).next().is_some()
            || self.below.cached(table, hash, key).is_some();
        let cell = self.cell();
        cell.whole = true;
        let rows = std::mem::take(&mut cell.rows);
        self.port.trash(Box::new(rows));
        if let Some(entry) = self.overlay.find_mut(table, hash, key) {
            entry.below |= below;
        }
        // A range marker counts as a row: clearing many keys fills an overlay too.
        *self.count += 1;
    }

    fn cell(&mut self) -> &mut TableCell<V> {
        let (hash, key) = (self.hash, self.key);
        let make = || {
            let cell = TableCell::default();
            Ok(Entry { tag: hash.into(), key: key.clone(), cell, changed: true, below: false, used: false })
        };
        let entry = self.overlay.find_or_insert::<Infallible>(self.table, hash, key, make);
        match entry {
            Ok(entry) => &mut entry.cell,
            Err(never) => match never {},
        }
    }

    fn prefix(&self) -> Result<Vec<u8>, StateError> {
        let mut prefix = Vec::new();
        let space = &self.below.space;
        space.key(space.partition.group(self.hash), self.key, &mut prefix)?;
        Ok(prefix)
    }

    fn range(prefix: &[u8]) -> Range<Vec<u8>> {
        prefix.to_vec()..ordered::end_of_prefix(prefix)
    }

    /// Whether the cells in memory leave nothing to the backend.
    fn in_memory(&mut self) -> bool {
        let (table, hash, key) = (self.table, self.hash, self.key);
        self.below.complete
            || self.overlay.find(table, hash, key).is_some_and(|entry| entry.cell.whole)
            || self.below.frozen(table, hash, key).any(|cell| cell.whole)
            || self.below.cached(table, hash, key).is_some_and(|cell| cell.whole)
    }

    /// Takes the rows of a small table into the cache, so that the next iteration needs nothing
    /// from the backend.
    fn load_if_small(&mut self) -> Result<(), StateError> {
        let prefix = self.prefix()?;
        let mut cell = TableCell { whole: true, rows: [].into() };
        for row in self.port.base().scan(Self::range(&prefix))? {
            if cell.rows.len() == WHOLE_ROWS {
                return Ok(());
            }
            let (row, bytes) = row?;
            let value = read_value(&bytes, &self.below.space, None)?;
            cell.rows.insert(row[prefix.len()..].into(), Some(value));
        }
        self.below.remember(self.table, self.hash, self.key, cell);
        Ok(())
    }

    /// The rows of user keys from `from` on.
    fn merged(&mut self, from: &[u8]) -> Result<MergedRows<'_, V>, StateError> {
        if !self.in_memory() {
            self.load_if_small()?;
        }
        let prefix = self.prefix()?;
        let base = match self.in_memory() {
            true => None,
            false => {
                let end = ordered::end_of_prefix(&prefix);
                Some(self.port.base().scan([&prefix, from].concat()..end)?)
            }
        };
        let (table, hash, key) = (self.table, self.hash, self.key);
        let below = &*self.below;
        let overlay = self.overlay.find(table, hash, key).map(|entry| &entry.cell);
        let cached = below.cache.find(table, hash, key).map(|entry| &entry.cell);
        let cells = overlay.into_iter().chain(below.frozen(table, hash, key)).chain(cached);
        // Below a cleared layer nothing counts.
        let mut covered = false;
        let cells = cells.take_while(|cell| {
            let counts = !covered;
            covered |= cell.whole;
            counts
        });
        Ok(MergedRows::new(cells, from, base, prefix.len(), &below.space))
    }

    /// The user key of the last row, tombstones included: for tables that only grow.
    fn last(&mut self) -> Result<Option<SmallBytes>, StateError> {
        let (table, hash, key) = (self.table, self.hash, self.key);
        let known = |cell: &TableCell<V>| match cell.rows.last_key_value() {
            Some((last, _)) => Some(Some(last.clone())),
            None => cell.whole.then_some(None),
        };
        let overlay = self.overlay.find(table, hash, key).and_then(|entry| known(&entry.cell));
        let complete = self.below.complete;
        let found = overlay
            .or_else(|| self.below.frozen(table, hash, key).find_map(known))
            // A cell that is not whole may lack the last row.
            .or_else(|| {
                self.below.cached(table, hash, key).filter(|cell| complete || cell.whole).and_then(known)
            });
        match found {
            Some(last) => Ok(last),
            None if self.below.complete => Ok(None),
            None => {
                let prefix = self.prefix()?;
                let last = self.port.base().last_key(Self::range(&prefix))?;
                Ok(last.map(|row| row[prefix.len()..].into()))
            }
        }
    }
}

/// The map table of one key.
pub struct MapAccess<'a, K: Key, UK, V: TableValue> {
    rows: KeyRows<'a, K, V>,
    user_key: Vec<u8>,
    types: PhantomData<fn() -> UK>,
}

impl<K: Key, UK: TableKey, V: TableValue> MapAccess<'_, K, UK, V> {
    /// The value of `user_key`.
    ///
    /// # Errors
    /// `user_key` cannot be written, or the row cannot be read from the backend.
    pub fn get(&mut self, user_key: &UK) -> Result<Option<V>, StateError> {
        self.encode(user_key)?;
        self.rows.get(&self.user_key)
    }

    /// Whether `user_key` has a value.
    ///
    /// # Errors
    /// As [`MapAccess::get`].
    pub fn contains(&mut self, user_key: &UK) -> Result<bool, StateError> {
        Ok(self.get(user_key)?.is_some())
    }

    /// Sets the value of `user_key`.
    ///
    /// # Errors
    /// `user_key` cannot be written.
    pub fn insert(&mut self, user_key: &UK, value: V) -> Result<(), StateError> {
        self.encode(user_key)?;
        self.rows.set(&self.user_key, Some(value));
        Ok(())
    }

    /// Sets the value of `user_key` to what `change` makes of it; absent counts as `Default`.
    ///
    /// # Errors
    /// As [`MapAccess::get`].
    pub fn update(&mut self, user_key: &UK, change: impl FnOnce(V) -> V) -> Result<(), StateError>
    where
        V: Default,
    {
        let value = self.get(user_key)?.unwrap_or_default();
        self.rows.set(&self.user_key, Some(change(value)));
        Ok(())
    }

    /// Takes `user_key` out.
    ///
    /// # Errors
    /// As [`MapAccess::insert`].
    pub fn remove(&mut self, user_key: &UK) -> Result<(), StateError> {
        self.encode(user_key)?;
        self.rows.set(&self.user_key, None);
        Ok(())
    }

    /// Takes all rows out, by one range marker.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// The rows in the order of their keys.
    ///
    /// # Errors
    /// The backend cannot be read; so may each row be.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = Result<(UK, V), StateError>> + '_, StateError> {
        self.rows_from(&[])
    }

    /// As [`MapAccess::iter`], from `first` on. What was taken out before it costs nothing.
    ///
    /// # Errors
    /// As [`MapAccess::iter`], and `first` cannot be written.
    pub fn iter_from(
        &mut self,
        first: &UK,
    ) -> Result<impl Iterator<Item = Result<(UK, V), StateError>> + '_, StateError> {
        self.encode(first)?;
        let first = std::mem::take(&mut self.user_key);
        self.rows_from(&first)
    }

    fn rows_from(
        &mut self,
        first: &[u8],
    ) -> Result<impl Iterator<Item = Result<(UK, V), StateError>> + use<'_, K, UK, V>, StateError> {
        let mut rows = self.rows.merged(first)?;
        Ok(std::iter::from_fn(move || rows.next_row().transpose()).map(|row| {
            let (key, value) = row?;
            let key = ordered::decode(key.as_slice()).map_err(|error| StateError::Codec {
                action: "read",
                what: "key",
                operator: String::new(),
                state: std::any::type_name::<UK>().to_owned(),
                problem: error.to_string(),
            })?;
            Ok((key, value))
        }))
    }

    /// Whether there is no row.
    ///
    /// # Errors
    /// As [`MapAccess::iter`].
    pub fn is_empty(&mut self) -> Result<bool, StateError> {
        Ok(self.rows.merged(&[])?.next_row()?.is_none())
    }

    fn encode(&mut self, user_key: &UK) -> Result<(), StateError> {
        self.user_key.clear();
        ordered::encode_into(user_key, &mut self.user_key)
            .map_err(|error| self.rows.below.space.codec("write", "key", &error))
    }
}

/// The list table of one key.
pub struct ListAccess<'a, K: Key, V: TableValue> {
    rows: KeyRows<'a, K, V>,
}

impl<K: Key, V: TableValue> ListAccess<'_, K, V> {
    /// Adds `value` at the end.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn push(&mut self, value: V) -> Result<(), StateError> {
        let index = self.len()?;
        self.rows.set(&index.to_be_bytes(), Some(value));
        Ok(())
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// As [`ListAccess::push`].
    pub fn len(&mut self) -> Result<u64, StateError> {
        let Some(last) = self.rows.last()? else { return Ok(0) };
        match last.as_slice().try_into() {
            Ok(index) => Ok(u64::from_be_bytes(index) + 1),
            Err(_) => Err(self.rows.below.space.codec("read", "key", &"the row of a list has no index")),
        }
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// As [`ListAccess::push`].
    pub fn is_empty(&mut self) -> Result<bool, StateError> {
        Ok(self.len()? == 0)
    }

    /// The elements in the order they were added.
    ///
    /// # Errors
    /// The backend cannot be read; so may each element be.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = Result<V, StateError>> + '_, StateError> {
        let mut rows = self.rows.merged(&[])?;
        Ok(std::iter::from_fn(move || rows.next_row().transpose()).map(|row| Ok(row?.1)))
    }

    /// Takes all elements out, by one range marker.
    pub fn clear(&mut self) {
        self.rows.clear();
    }
}
