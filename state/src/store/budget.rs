//! How a worker's memory is shared out among its states.

use std::sync::atomic::Ordering;

use crate::layers::Space;

/// Of 8 parts of the budget, an overlay may take one: with the three frozen ones that may wait
/// for the writer, overlays take half.
const OVERLAY: usize = 1;
/// Deserialized values of the cache.
const CACHE: usize = 3;
/// The backend's own caches.
const BLOCKS: usize = 1;
const PARTS: usize = 8;

/// Below this an overlay would be frozen for every few records.
const LEAST_ENTRIES: usize = 16;

/// What an allocation of a value outside its table costs beyond its bytes.
const ALLOCATION: usize = 32;

/// The memory of one worker's keyed state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) usize);

/// How many entries a state may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) overlay_entries: usize,
    pub(crate) cache_entries: usize,
    /// Where structs are changed in place, overlay and cache are one.
    pub(crate) resident_entries: usize,
}

impl Budget {
    /// Bytes for the backend's caches.
    #[cfg_attr(not(feature = "rocksdb"), expect(dead_code, reason = "only RocksDB has caches of its own"))]
    pub(crate) fn block_bytes(self) -> usize {
        self.0 / PARTS * BLOCKS
    }

    /// The share of one of `states` states with entries of type `E`.
    pub(crate) fn share<E>(self, states: usize, space: &Space) -> Share {
        // An open-addressing table is between 7/16 and 7/8 full.
        let in_place = size_of::<E>() * 3 / 2 + 1;
        let outside = match std::mem::needs_drop::<E>() {
            true => ALLOCATION + space.row_bytes.load(Ordering::Relaxed) as usize,
            false => 0,
        };
        let entries = |parts: usize| self.0 / PARTS * parts / states.max(1) / (in_place + outside);
        Share {
            overlay_entries: entries(OVERLAY).max(LEAST_ENTRIES),
            cache_entries: entries(CACHE).max(LEAST_ENTRIES),
            resident_entries: entries(OVERLAY + CACHE).max(2 * LEAST_ENTRIES),
        }
    }
}
