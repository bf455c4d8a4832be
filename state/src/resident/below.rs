//! What is known of the rows that lie in the backend and not in memory.
//!
//! Each key that is let go of goes into a filter, which never says "no" of a key that it has: a key that
//! is new does not have to be looked for in the backend, however much lies there.
//!
//! The filter is a split block Bloom filter (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient
//! Bloom Filters, 2007; as in Apache Parquet): a key has one bit in each of the eight words of one block,
//! so that a look costs one wait for memory. Filters cannot grow, so a larger one is put beside those
//! that are full.

use crate::shards::Tag;

/// Bits for each key: of each full filter one look in 200 for a key that is not there says otherwise.
const BITS: usize = 12;

const WORDS: usize = 8;

/// One cache line holds two.
type Block = [u32; WORDS];

const BLOCK_BITS: usize = WORDS * u32::BITS as usize;

/// The size of the first filter, and how many times that of the one before it each further one has.
const FIRST_BLOCKS: usize = 24;
const GROWTH: usize = 8;

/// Odd numbers that make eight hashes of one, those of Parquet's specification.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// What the backend may hold beyond what is in memory.
pub(crate) enum Below {
    /// Nothing is known.
    Unknown,
    /// Nothing is known of what was there at first, which is being read; of what has been let go of
    /// since it is.
    Warming(LetGo),
    /// Nothing but this.
    Only(LetGo),
}

impl Below {
    /// Whether nothing is there.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(let_go) if let_go.filters.is_empty())
    }

    /// Whether the rows of a key may be there.
    #[inline]
    pub(crate) fn may_hold(&self, table: usize, tag: Tag) -> bool {
        match self {
            Self::Only(let_go) if let_go.filters.is_empty() => false,
            Self::Only(let_go) => let_go.may_have(Hash::of(table, tag)),
            _ => true,
        }
    }

    /// A key is there and not in memory any more. A filter that would take more than `limit` bytes is
    /// given up.
    pub(crate) fn add(&mut self, table: usize, tag: Tag, limit: usize) {
        let (Self::Warming(let_go) | Self::Only(let_go)) = self else { return };
        if !let_go.add(Hash::of(table, tag), limit) {
            *self = Self::Unknown;
        }
    }

    /// What was there at first has been read: it is in memory, or was added.
    pub(crate) fn end_warming(&mut self) {
        if let Self::Warming(let_go) = self {
            *self = Self::Only(std::mem::take(let_go));
        }
    }
}

/// Two independent numbers of 32 bits: which block, and which bits of it.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    /// Spread as splitmix64 does (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    #[inline]
    fn of(table: usize, tag: Tag) -> Self {
        let mut hash = (table as u64) << 32 ^ (tag.spread() & u64::from(u32::MAX));
        hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(hash ^ hash >> 31)
    }

    #[inline]
    fn block(self, blocks: usize) -> usize {
        (((self.0 >> 32) * blocks as u64) >> 32) as usize
    }

    /// Its bit in each word.
    #[inline]
    fn bits(self) -> Block {
        SALTS.map(|salt| 1 << ((self.0 as u32).wrapping_mul(salt) >> 27))
    }
}

/// The keys that have been let go of.
#[derive(Default)]
pub(crate) struct LetGo {
    /// All but the last are full.
    filters: Vec<Filter>,
}

struct Filter {
    blocks: Box<[Block]>,
    /// How many more keys fit.
    room: usize,
}

impl LetGo {
    #[inline]
    fn may_have(&self, hash: Hash) -> bool {
        let bits = hash.bits();
        self.filters.iter().rev().any(|filter| {
            let block = &filter.blocks[hash.block(filter.blocks.len())];
            block.iter().zip(bits).all(|(word, bit)| word & bit != 0)
        })
    }

    /// Whether it could be added within `limit` bytes.
    fn add(&mut self, hash: Hash, limit: usize) -> bool {
        // What is let go of over and over takes up no more room.
        if self.may_have(hash) {
            return true;
        }
        if self.filters.last().is_none_or(|last| last.room == 0) {
            let held: usize = self.filters.iter().map(|filter| size_of_val(&*filter.blocks)).sum();
            let fits = limit.saturating_sub(held) / size_of::<Block>();
            let blocks = fits.min(FIRST_BLOCKS * GROWTH.pow(self.filters.len().min(7) as u32));
            if blocks < FIRST_BLOCKS {
                return false;
            }
            let room = blocks * BLOCK_BITS / BITS;
            self.filters.push(Filter { blocks: vec![Block::default(); blocks].into(), room });
        }
        let Some(last) = self.filters.last_mut() else { return false };
        last.room -= 1;
        let index = hash.block(last.blocks.len());
        last.blocks[index].iter_mut().zip(hash.bits()).for_each(|(word, bit)| *word |= bit);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_dataflow::key::hash_of;

    fn place(key: u64) -> (usize, Tag) {
        let hash = hash_of(&key);
        ((hash.0 >> 56) as usize, hash.into())
    }

    #[test]
    fn it_has_what_was_added_and_little_else() {
        let mut below = Below::Only(LetGo::default());
        assert!(below.is_nothing());
        let keys = 300_000;
        for key in 0..keys {
            let (table, tag) = place(key);
            below.add(table, tag, usize::MAX);
        }
        assert!(!below.is_nothing());
        let held = |key| {
            let (table, tag) = place(key);
            below.may_hold(table, tag)
        };
        assert!((0..keys).all(held));
        let wrong = (keys..2 * keys).filter(|key| held(*key)).count();
        assert!(wrong * 30 < keys as usize, "{wrong} of {keys}");
    }

    #[test]
    fn the_same_key_takes_room_once() {
        let mut let_go = LetGo::default();
        let (table, tag) = place(7);
        (0..10_000).for_each(|_| assert!(let_go.add(Hash::of(table, tag), usize::MAX)));
        assert_eq!(let_go.filters.len(), 1);
        assert_eq!(let_go.filters[0].room, FIRST_BLOCKS * BLOCK_BITS / BITS - 1);
    }

    #[test]
    fn over_its_limit_it_knows_nothing() {
        let mut below = Below::Only(LetGo::default());
        for key in 0..2_000 {
            let (table, tag) = place(key);
            below.add(table, tag, 1_000);
        }
        assert!(matches!(below, Below::Unknown));
        let (table, tag) = place(u64::MAX);
        assert!(below.may_hold(table, tag));
    }
}
