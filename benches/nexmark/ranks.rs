//! The three ranks of prices that `q15`, `q16` and `q17` count by, and sets of ids by rank.

use std::ops::AddAssign;

use pelton::prelude::{Deserialize, Serialize};

/// Bids of one rank are below this price, those of the next from it on.
const BOUNDS: [u64; 2] = [10_000, 1_000_000];

/// The rank of a price: 0, 1 or 2.
#[must_use]
#[inline]
pub fn rank(price: u64) -> usize {
    usize::from(price >= BOUNDS[0]) + usize::from(price >= BOUNDS[1])
}

/// A count of everything, and by rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// By rank.
    pub by_rank: [u64; 3],
}

impl Counts {
    /// One more, of `rank`.
    #[inline]
    pub fn add(&mut self, rank: usize) {
        self.total += 1;
        self.by_rank[rank] += 1;
    }

    /// One of `rank`, if it is that to the group; a distinct count.
    #[inline]
    pub fn add_distinct(&mut self, novelty: Novelty, rank: usize) {
        self.total += u64::from(novelty == Novelty::New);
        self.by_rank[rank] += u64::from(novelty != Novelty::Known);
    }
}

/// What something is to a group that comes upon it with a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Novelty {
    /// Seen before, with this rank too.
    Known,
    /// Seen before, with other ranks.
    NewToRank,
    /// Not seen before.
    New,
}

impl AddAssign for Counts {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.by_rank.iter_mut().zip(other.by_rank).for_each(|(count, more)| *count += more);
    }
}

/// The ranks that something was seen with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranks(u8);

impl Ranks {
    /// What something that was seen with these is now that it comes with `rank`.
    #[must_use]
    #[inline]
    pub fn novelty(self, rank: usize) -> Novelty {
        match self.0 {
            0 => Novelty::New,
            ranks if ranks & (1 << rank) == 0 => Novelty::NewToRank,
            _ => Novelty::Known,
        }
    }

    /// These and `rank`.
    #[must_use]
    #[inline]
    pub fn with(self, rank: usize) -> Self {
        Self(self.0 | 1 << rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_begin_at_their_bounds() {
        assert_eq!([0, 9_999, 10_000, 999_999, 1_000_000].map(rank), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn something_counts_once_and_once_in_each_rank() {
        let (mut counts, mut seen) = (Counts::default(), Ranks::default());
        for rank in [2, 0, 2, 0] {
            counts.add_distinct(seen.novelty(rank), rank);
            seen = seen.with(rank);
        }
        assert_eq!(counts, Counts { total: 1, by_rank: [1, 0, 1] });
    }
}
