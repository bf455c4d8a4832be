//! Seeded choices: the same seed makes the same run.

use std::hash::{BuildHasher, RandomState};

/// A stream of choices.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Calls `once` with the seed in `PELTON_SEED`, or a fresh one, and with `PELTON_ROUNDS` - 1 that
/// follow it. Each is printed.
pub fn rounds(mut once: impl FnMut(u64)) {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let rounds = number("PELTON_ROUNDS").unwrap_or(1);
    let seed = number("PELTON_SEED").unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    for seed in (0..rounds).map(|round| seed.wrapping_add(round)) {
        println!("PELTON_SEED={seed}");
        once(seed);
    }
}
