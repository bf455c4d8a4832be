//! The rows of one key's table, as a cell of a layer or of the cache, and how they are merged.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

use crate::base::RowScan;
use crate::error::StateError;
use crate::layers::{Cell, Space, read_value, write_value};
use crate::ordered;
use crate::rows::{Kind, RowBuffer};
use crate::small::SmallBytes;
use crate::spec::TableValue;

/// Rows of one key's table by their encoded user keys; `None` is a tombstone.
pub(crate) type CellRows<V> = BTreeMap<SmallBytes, Option<V>>;

/// What one layer holds of one key's table.
///
/// An ordered map and not a hash table: a table of a million rows must not stall its worker when
/// it grows, and rows are read in the order of the backend.
pub(crate) struct TableCell<V> {
    /// Nothing below counts any more. In a layer: the table has been cleared since the layer
    /// below, which is written as a range marker. In the cache: all rows are here.
    pub(crate) whole: bool,
    pub(crate) rows: CellRows<V>,
}

impl<V> Default for TableCell<V> {
    fn default() -> Self {
        Self { whole: false, rows: BTreeMap::new() }
    }
}

impl<V> TableCell<V> {
    /// What this cell knows of a row: its value or its absence.
    pub(crate) fn lookup(&self, user_key: &[u8]) -> Option<Option<&V>> {
        match self.rows.get(user_key) {
            Some(row) => Some(row.as_ref()),
            None if self.whole => Some(None),
            None => None,
        }
    }
}

impl<V: TableValue> Cell for TableCell<V> {
    fn write(&self, head: &[u8], below: bool, space: &Space, out: &mut RowBuffer) -> Result<(), StateError> {
        if self.whole && below {
            let end = ordered::end_of_prefix(head);
            out.add(Kind::Clear, |out| append(head, out), |out| append(&end, out))?;
        }
        for (user_key, row) in &self.rows {
            let key = |out: &mut Vec<u8>| {
                out.extend_from_slice(head);
                append(user_key.as_slice(), out)
            };
            match row {
                Some(value) => out.add(Kind::Put, key, |out| write_value(value, space, out))?,
                None if self.whole => {}
                None => out.add(Kind::Delete, key, |_| Ok(()))?,
            }
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        1 + self.rows.len()
    }

    fn complete(&mut self) {
        self.whole = true;
        self.rows.retain(|_, row| row.is_some());
    }

    fn absorb(&mut self, newer: Self) {
        if newer.whole {
            *self = newer;
            return;
        }
        for (user_key, row) in newer.rows {
            if self.whole && row.is_none() {
                self.rows.remove(&user_key);
            } else {
                self.rows.insert(user_key, row);
            }
        }
    }

    fn lay_under(&mut self, older: Self) {
        if !self.whole {
            for (user_key, row) in older.rows {
                self.rows.entry(user_key).or_insert(row);
            }
        }
    }

    fn is_void(&self) -> bool {
        self.rows.values().all(Option::is_none)
    }
}

fn append(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StateError> {
    out.extend_from_slice(bytes);
    Ok(())
}

type MemoryRows<'a, V> = Peekable<btree_map::Range<'a, SmallBytes, Option<V>>>;

/// The rows of one key's table in the order of their keys, from all layers.
pub(crate) struct MergedRows<'a, V> {
    /// The newest first.
    layers: Vec<MemoryRows<'a, V>>,
    base: Option<Peekable<RowScan<'a>>>,
    /// Length of what rows in the backend have before the user key.
    prefix: usize,
    space: &'a Space,
}

impl<'a, V: TableValue> MergedRows<'a, V> {
    /// Those of user keys from `from` on; `base` begins there.
    pub(crate) fn new(
        layers: impl Iterator<Item = &'a TableCell<V>>,
        from: &[u8],
        base: Option<RowScan<'a>>,
        prefix: usize,
        space: &'a Space,
    ) -> Self {
        let from = (Bound::Included(from), Bound::Unbounded);
        let layers = layers.map(|cell| cell.rows.range::<[u8], _>(from).peekable()).collect();
        Self { layers, base: base.map(Iterator::peekable), prefix, space }
    }

    /// The next row, tombstones included.
    fn step(&mut self) -> Result<Option<(SmallBytes, Option<V>)>, StateError> {
        let mut least = self.layers.iter_mut().filter_map(|rows| rows.peek().map(|(key, _)| *key)).min();
        let base_key = match self.base.as_mut().and_then(Peekable::peek) {
            Some(Ok((row, _))) => Some(SmallBytes::from(&row[self.prefix..])),
            Some(Err(_)) => {
                let failed = self.base.take().and_then(|mut base| base.next());
                return failed.transpose().map(|_| None);
            }
            None => None,
        };
        if let Some(key) = &base_key {
            least = Some(least.map_or(key, |least| least.min(key)));
        }
        let Some(least) = least.cloned() else { return Ok(None) };
        let mut newest = None;
        for rows in &mut self.layers {
            if let Some((_, row)) = rows.next_if(|(key, _)| **key == least) {
                newest.get_or_insert(row);
            }
        }
        let mut found = newest.cloned();
        if base_key.as_ref() == Some(&least) {
            let row = self.base.as_mut().and_then(Iterator::next).transpose()?;
            if let (None, Some((_, bytes))) = (&found, row) {
                found = Some(Some(read_value(&bytes, self.space, None)?));
            }
        }
        Ok(Some((least, found.flatten())))
    }

    /// The next row that is there.
    pub(crate) fn next_row(&mut self) -> Result<Option<(SmallBytes, V)>, StateError> {
        while let Some((key, row)) = self.step()? {
            if let Some(value) = row {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}
