//! What was acknowledged, and what was read: whatever is in the one has to be in the other, at the place that was
//! told and with the bytes that were sent.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::answers::Place;

/// Records at their places: eight bytes for each.
#[derive(Debug, Default)]
pub struct Places {
    prints: Vec<u64>,
    by_shard: BTreeMap<u32, u64>,
}

impl Places {
    /// Takes a record with the print of what is in it.
    pub fn add(&mut self, place: Place, print: u64) {
        self.prints.push(splitmix(place.print ^ print.rotate_left(32)));
        *self.by_shard.entry(place.shard).or_default() += 1;
    }

    pub fn extend(&mut self, other: Self) {
        self.prints.extend(other.prints);
        for (shard, count) in other.by_shard {
            *self.by_shard.entry(shard).or_default() += count;
        }
    }

    pub fn len(&self) -> u64 {
        self.prints.len() as u64
    }

    /// How many there are of a shard.
    pub fn of_shard(&self, shard: u32) -> u64 {
        self.by_shard.get(&shard).copied().unwrap_or(0)
    }

    /// Fails unless each of these is in `read`, and as often there as here; that is, once: no two records are at one
    /// place.
    pub fn check_read(mut self, mut read: Self) -> Result<()> {
        self.prints.sort_unstable();
        read.prints.sort_unstable();
        let twice = |prints: &[u64]| prints.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let (acknowledged_twice, read_twice) = (twice(&self.prints), twice(&read.prints));
        ensure!(
            acknowledged_twice == 0,
            "{acknowledged_twice} records were acknowledged at the place of another"
        );
        ensure!(read_twice == 0, "{read_twice} records were read twice");
        let missing = self.prints.iter().filter(|print| read.prints.binary_search(print).is_err()).count();
        let acknowledged = self.prints.len();
        ensure!(
            missing == 0,
            "of {acknowledged} records that were acknowledged, {missing} were not read where they should be, or not as \
             they were put"
        );
        Ok(())
    }
}

fn splitmix(value: u64) -> u64 {
    crate::generator::splitmix64(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(records: &[(u32, &str, u64)]) -> Places {
        let mut places = Places::default();
        records.iter().for_each(|(shard, sequence, print)| places.add(Place::of(*shard, sequence), *print));
        places
    }

    #[test]
    fn what_is_lost_changed_moved_or_doubled_is_seen() {
        let acknowledged = || places(&[(0, "1", 7), (0, "2", 8), (1, "1", 7)]);
        let check = |read: &[(u32, &str, u64)]| acknowledged().check_read(places(read)).is_ok();
        assert!(check(&[(1, "1", 7), (0, "1", 7), (0, "2", 8)]));
        assert!(
            check(&[(1, "1", 7), (0, "1", 7), (0, "2", 8), (0, "3", 9)]),
            "what was not acknowledged may be there"
        );
        assert!(!check(&[(0, "1", 7), (0, "2", 8)]), "lost");
        assert!(!check(&[(1, "1", 7), (0, "1", 9), (0, "2", 8)]), "changed");
        assert!(!check(&[(1, "1", 7), (0, "2", 7), (0, "1", 8)]), "swapped");
        assert!(!check(&[(1, "1", 7), (0, "1", 7), (0, "1", 7), (0, "2", 8)]), "read twice");
        assert!(places(&[(0, "1", 7), (0, "1", 7)]).check_read(acknowledged()).is_err(), "one place for two");
        assert_eq!((acknowledged().len(), acknowledged().of_shard(0)), (3, 2));
    }
}
