//! What is kept of one key: its values in the order of event time, the newest in the key's struct,
//! the older ones in chunks that are rows of a table.
//!
//! A checkpoint writes the struct of a key that has changed, and a chunk once. So the struct has to
//! stay small: it holds the values of less than a chunk and an entry of 20 bytes for each chunk. Chunks begin small
//! and grow with their number up to [`CHUNK`], so that neither outweighs the other: a key with a hundred thousand numbers
//! writes at most some 13 KiB per checkpoint, one with a few hundred at most one.
//!
//! Values are named by their place, counted from the first that the key has ever had.

use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyHash};
use pelton_state::tables::Tables;
use pelton_state::{MapTable, StateError, TableValue};
use serde::{Deserialize, Serialize};

/// Values of a chunk at most. The struct grows with the chunk, the list of chunks with their number; for a hundred
/// thousand values this is about where their sum is least.
pub(super) const CHUNK: usize = 256;

/// Values of a chunk at least.
const LEAST_CHUNK: usize = 32;

/// Values that have left every range go from the struct once they are so many, and half of it.
const LEAST_GONE: usize = 8;

/// Values with their event times in milliseconds, as a row of a table.
pub(super) type Chunk<V> = Arc<Vec<(i64, V)>>;

/// The rows of one key in one table.
pub(super) trait Rows<V> {
    fn get(&mut self, id: u32) -> Result<Option<Chunk<V>>, StateError>;
    fn put(&mut self, id: u32, chunk: Chunk<V>) -> Result<(), StateError>;
    fn remove(&mut self, id: u32) -> Result<(), StateError>;

    /// A row that must be there: the struct of its key names it.
    fn chunk(&mut self, id: u32) -> Result<Chunk<V>, StateError> {
        self.get(id)?.ok_or_else(|| StateError::Codec {
            action: "read",
            what: "key",
            operator: String::new(),
            state: "over".to_owned(),
            problem: format!("the row of chunk {id} is missing, which the struct of its key names"),
        })
    }
}

/// Where the rows of the key at hand are.
pub(super) struct TableRows<'a, K: Key> {
    pub tables: &'a mut Tables<K>,
    pub table: &'static str,
    pub hash: KeyHash,
    pub key: &'a K,
}

impl<K: Key, V: TableValue> Rows<V> for TableRows<'_, K> {
    fn get(&mut self, id: u32) -> Result<Option<Chunk<V>>, StateError> {
        self.tables.map(&MapTable::<u32, Chunk<V>>::new(self.table), self.hash, self.key)?.get(&id)
    }

    fn put(&mut self, id: u32, chunk: Chunk<V>) -> Result<(), StateError> {
        self.tables.map(&MapTable::new(self.table), self.hash, self.key)?.insert(&id, chunk)
    }

    fn remove(&mut self, id: u32) -> Result<(), StateError> {
        self.tables.map(&MapTable::<u32, Chunk<V>>::new(self.table), self.hash, self.key)?.remove(&id)
    }
}

/// A chunk in the table.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sealed {
    id: u32,
    /// The place behind its last value.
    end: u64,
    last_ms: i64,
}

/// The values of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "V: Serialize", deserialize = "V: Deserialize<'de>"))]
pub(super) struct History<V> {
    /// The oldest first.
    sealed: Vec<Sealed>,
    /// The newest values; the last chunk ends where they begin.
    tail: Vec<(i64, V)>,
    /// The place of the first value of `tail`.
    tail_start: u64,
    next_id: u32,
}

impl<V> Default for History<V> {
    fn default() -> Self {
        Self { sealed: Vec::new(), tail: Vec::new(), tail_start: 0, next_id: 0 }
    }
}

/// Some neighbouring values: `entries[from..until]`.
pub(super) struct Piece<V> {
    pub entries: Chunk<V>,
    pub from: usize,
    pub until: usize,
    /// They are the newest.
    pub is_tail: bool,
}

impl<V> Default for Piece<V> {
    fn default() -> Self {
        Self { entries: Chunk::default(), from: 0, until: 0, is_tail: false }
    }
}

impl<V> Piece<V> {
    pub fn values(&self) -> &[(i64, V)] {
        &self.entries[self.from..self.until]
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.until
    }

    pub fn len(&self) -> u64 {
        (self.until - self.from) as u64
    }

    /// Leaves all but the first `len` values.
    pub fn cut(&mut self, len: u64) {
        self.until = self.until.min(self.from + len as usize);
    }
}

impl<V: Clone> History<V> {
    /// The place behind the last value.
    pub fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// The newest values, which are in the struct.
    pub fn tail(&self) -> &[(i64, V)] {
        &self.tail
    }

    pub fn tail_start(&self) -> u64 {
        self.tail_start
    }

    /// The place of the first value that is kept.
    pub fn start(&self, rows: &mut impl Rows<V>) -> Result<u64, StateError> {
        Ok(match self.sealed.first() {
            Some(chunk) => chunk.end - rows.chunk(chunk.id)?.len() as u64,
            None => self.tail_start,
        })
    }

    pub fn has_chunks(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// The time of the newest value.
    pub fn last_ms(&self) -> Option<i64> {
        self.tail.last().map(|(at_ms, _)| *at_ms).or(self.sealed.last().map(|chunk| chunk.last_ms))
    }

    /// Adds a value that is no older than all others.
    pub fn push(&mut self, at_ms: i64, value: V) {
        debug_assert!(self.last_ms().is_none_or(|last_ms| last_ms <= at_ms), "values come in order");
        self.tail.push((at_ms, value));
    }

    /// Lets go of values up to the time `floor_ms`, and moves a full tail into the table.
    pub fn tidy(&mut self, floor_ms: i64, rows: &mut impl Rows<V>) -> Result<(), StateError> {
        if self.sealed.first().is_some_and(|chunk| chunk.last_ms <= floor_ms) {
            let gone = self.sealed.partition_point(|chunk| chunk.last_ms <= floor_ms);
            for chunk in self.sealed.drain(..gone) {
                rows.remove(chunk.id)?;
            }
        }
        if self.tail.first().is_some_and(|(at_ms, _)| *at_ms <= floor_ms) {
            let gone = self.tail.partition_point(|(at_ms, _)| *at_ms <= floor_ms);
            if gone >= LEAST_GONE && gone >= self.tail.len() / 2 {
                self.tail.drain(..gone);
                self.tail_start += gone as u64;
            }
        }
        if self.tail.len() >= (2 * self.sealed.len()).clamp(LEAST_CHUNK, CHUNK) {
            let chunk = std::mem::take(&mut self.tail);
            let last_ms = chunk.last().map_or(i64::MIN, |(at_ms, _)| *at_ms);
            self.tail_start += chunk.len() as u64;
            rows.put(self.next_id, Arc::new(chunk))?;
            self.sealed.push(Sealed { id: self.next_id, end: self.tail_start, last_ms });
            self.next_id = self.next_id.wrapping_add(1);
        }
        Ok(())
    }

    /// Lets go of everything.
    pub fn clear(&mut self, rows: &mut impl Rows<V>) -> Result<(), StateError> {
        for chunk in std::mem::take(self).sealed {
            rows.remove(chunk.id)?;
        }
        Ok(())
    }

    /// The values from the place `at` on, up to the end of the chunk or tail that it lies in.
    pub fn piece(&self, at: u64, rows: &mut impl Rows<V>) -> Result<Piece<V>, StateError> {
        if at >= self.tail_start {
            let entries = self.tail[(at - self.tail_start) as usize..].to_vec();
            return Ok(Piece { until: entries.len(), entries: Arc::new(entries), from: 0, is_tail: true });
        }
        let index = self.sealed.partition_point(|chunk| chunk.end <= at);
        let chunk = self.sealed[index];
        let entries = rows.chunk(chunk.id)?;
        let from = entries.len() - (chunk.end - at) as usize;
        Ok(Piece { until: entries.len(), entries, from, is_tail: false })
    }

    /// The chunks that lie in `places` as a whole, the newest first.
    pub fn chunks<'a>(
        &'a self,
        places: Range<u64>,
        rows: &'a mut impl Rows<V>,
    ) -> impl Iterator<Item = Result<Chunk<V>, StateError>> + 'a {
        // The first begins where the one before it ends.
        let first = self.sealed.partition_point(|chunk| chunk.end <= places.start);
        let behind = self.sealed.partition_point(|chunk| chunk.end <= places.end);
        self.sealed[first..behind.max(first)].iter().rev().map(move |chunk| rows.chunk(chunk.id))
    }

    /// The values before the place `at` that are later than `after_ms`, the newest first.
    pub fn before(&self, at: u64, after_ms: i64, rows: &mut impl Rows<V>) -> Result<Vec<V>, StateError> {
        let mut found = Vec::new();
        let in_tail = at.saturating_sub(self.tail_start) as usize;
        let mut take = |entries: &[(i64, V)]| {
            let later = entries.iter().rev().take_while(|(at_ms, _)| *at_ms > after_ms);
            let taken = found.len();
            found.extend(later.map(|(_, value)| value.clone()));
            found.len() - taken == entries.len()
        };
        let mut goes_on = take(&self.tail[..in_tail]);
        for chunk in self.sealed.iter().rev() {
            if !goes_on {
                break;
            }
            let surplus = chunk.end.saturating_sub(at) as usize;
            if chunk.last_ms > after_ms {
                let entries = rows.chunk(chunk.id)?;
                goes_on = take(&entries[..entries.len().saturating_sub(surplus)]);
            } else {
                goes_on = false;
            }
        }
        Ok(found)
    }
}
