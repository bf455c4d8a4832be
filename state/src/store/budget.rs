//! How a worker's memory is shared out among its states.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
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

/// Filters of what is not in memory may take an eighth of what is, beside it.
const FILTER_FRACTION: usize = 8;
const LEAST_FILTER_BYTES: usize = 1 << 10;

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
    /// How many bytes it may take to know what has been let go of.
    pub(crate) filter_bytes: usize,
}

/// How many entries a state holds: those touched since the last freeze, and all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) touched: usize,
    pub(crate) all: usize,
}

/// What one state said last of what it holds, in bytes. Dropped with the state.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    touched: Cell<usize>,
    all: Cell<usize>,
}

/// The claims of all states of a worker.
#[derive(Default)]
pub(crate) struct Ledger(RefCell<Vec<Weak<Claim>>>);

impl Ledger {
    /// Of a new state.
    pub(crate) fn claim(&self) -> Rc<Claim> {
        let claim = Rc::new(Claim::default());
        let mut claims = self.0.borrow_mut();
        claims.retain(|claim| claim.strong_count() > 0);
        claims.push(Rc::downgrade(&claim));
        claim
    }

    /// What the others hold, and how many states there are.
    fn others(&self, own: &Claim) -> (usize, usize, usize) {
        let claims = self.0.borrow();
        let live = claims.iter().filter_map(Weak::upgrade);
        let sum = live.fold((0, 0, 0), |(touched, all, states), claim| {
            (touched + claim.touched.get(), all + claim.all.get(), states + 1)
        });
        (sum.0 - own.touched.get(), sum.1 - own.all.get(), sum.2)
    }
}

impl Budget {
    /// Bytes for the backend's caches.
    #[cfg_attr(not(feature = "rocksdb"), expect(dead_code, reason = "only RocksDB has caches of its own"))]
    pub(crate) fn block_bytes(self) -> usize {
        self.0 / PARTS * BLOCKS
    }

    /// The share of a state with entries of type `E` that holds `held` of them: as much as any other,
    /// and what the others leave of theirs. A state that takes back what it had left gets it as the
    /// others come to their next freeze.
    pub(crate) fn share<E>(self, ledger: &Ledger, claim: &Claim, held: Held, space: &Space) -> Share {
        // An open-addressing table is between 7/16 and 7/8 full.
        let in_place = size_of::<E>() * 3 / 2 + 1;
        let outside = match std::mem::needs_drop::<E>() {
            true => ALLOCATION + space.row_bytes.load(Ordering::Relaxed) as usize,
            false => 0,
        };
        let entry = in_place + outside;
        claim.touched.set(held.touched * entry);
        claim.all.set(held.all * entry);
        let (touched, all, states) = ledger.others(claim);
        let entries = |parts: usize, others: usize| {
            let bytes = self.0 / PARTS * parts;
            (bytes / states.max(1)).max(bytes.saturating_sub(others)) / entry
        };
        let resident = entries(OVERLAY + CACHE, all);
        Share {
            overlay_entries: entries(OVERLAY, touched).max(LEAST_ENTRIES),
            cache_entries: (resident / (OVERLAY + CACHE) * CACHE).max(LEAST_ENTRIES),
            resident_entries: resident.max(2 * LEAST_ENTRIES),
            filter_bytes: (resident * entry / FILTER_FRACTION).max(LEAST_FILTER_BYTES),
        }
    }
}
