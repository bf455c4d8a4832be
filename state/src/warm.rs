//! Warming: after a restore, the cache takes up the rows of the backend, slice by slice.
//!
//! A restored state knows nothing, and asks the backend for each key's first touch, for keys that
//! do not exist too. Between batches it reads on where it stopped. If all rows fit into the cache,
//! it is complete in the end, and the backend is never asked again.

use std::ops::Range;
use std::sync::Arc;

use pelton_dataflow::key::{Key, KeyGroup, KeyHash, hash_of};

use crate::base::Base;
use crate::error::StateError;
use crate::layers::{Cell, Space};
use crate::ordered;

/// Rows that one slice reads: about a third of a millisecond.
const SLICE_ROWS: usize = 256;

/// Makes a cell of a row's user key and value.
pub(crate) type MakeCell<C> = Box<dyn Fn(&Space, &[u8], &[u8]) -> Result<C, StateError> + Send>;

/// What can be warmed.
pub(crate) trait Warmed<K, C> {
    /// Where its rows lie.
    fn space(&self) -> &Arc<Space>;

    /// Puts a cell that was read from the backend under what is known of its key.
    fn lay_under(&mut self, hash: KeyHash, key: K, cell: C);
}

/// How far the backend has been read.
pub(crate) struct Warming<C> {
    base: Arc<dyn Base>,
    make: MakeCell<C>,
    groups: Range<u16>,
    /// Where to go on in the first of `groups`; empty at its beginning.
    next: Vec<u8>,
}

impl<C: Cell> Warming<C> {
    pub(crate) fn new(base: Arc<dyn Base>, space: &Space, make: MakeCell<C>) -> Self {
        Self { base, make, groups: space.partition.groups(), next: Vec::new() }
    }

    /// Reads one slice into `warmed`; whether there is more.
    pub(crate) fn slice<K: Key>(&mut self, warmed: &mut impl Warmed<K, C>) -> Result<bool, StateError> {
        let space = warmed.space().clone();
        let Some(group) = self.groups.clone().next() else { return Ok(false) };
        let mut from = Vec::new();
        space.head(KeyGroup(group), &mut from);
        let (to, prefix) = (ordered::end_of_prefix(&from), from.len());
        if !self.next.is_empty() {
            from = std::mem::take(&mut self.next);
        }
        let mut left = SLICE_ROWS;
        for row in self.base.scan(from..to)? {
            let (row, value) = row?;
            if left == 0 {
                self.next = row;
                return Ok(true);
            }
            left -= 1;
            let (key, user_key) = ordered::decode_prefix::<K>(&row[prefix..])
                .map_err(|error| space.codec("read", "key", &error))?;
            let cell = (self.make)(&space, user_key, &value)?;
            warmed.lay_under(hash_of(&key), key, cell);
        }
        self.groups.start += 1;
        Ok(!self.groups.is_empty())
    }
}
