//! Draws: randomness that is a pure function of seed, purpose and number.
//!
//! Integers only: amounts come from a table of quantiles, so that every machine makes the same
//! payments.

use super::super::country::Country;
use super::super::payment::{Cents, MerchantId};
use super::{MERCHANTS, OUT_OF_ORDER_MS, OUT_OF_ORDER_PER_MILLION};

/// What a draw is for, so that draws of one number for different purposes are independent.
#[derive(Clone, Copy)]
pub enum Purpose {
    Line = 1,
    Arrival,
    Home,
    Trip,
    Purse,
    Campaign,
}

/// A sequence of random numbers.
pub struct Draw(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draw {
    /// The sequence for `number`.
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let start = mix(seed.wrapping_mul(GOLDEN) ^ (purpose as u64));
        Self(mix(start ^ number.wrapping_mul(GOLDEN)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// True `per_million` times in a million.
    pub fn happens(&mut self, per_million: u64) -> bool {
        self.below(1_000_000) < per_million
    }

    /// How much later than its neighbours an on-time payment arrives, in milliseconds.
    pub fn out_of_order_ms(&mut self) -> i64 {
        if self.happens(OUT_OF_ORDER_PER_MILLION) { 1 + self.below(OUT_OF_ORDER_MS as u64) as i64 } else { 0 }
    }

    /// Any merchant.
    pub fn merchant(&mut self) -> MerchantId {
        MerchantId(self.below(MERCHANTS) as u32)
    }

    /// Any country on the map.
    pub fn country(&mut self) -> Country {
        Country::ALL[self.below(Country::ALL.len() as u64) as usize]
    }

    /// What a card pays on average, over all cards.
    pub fn purse(&mut self) -> Cents {
        Cents(PURSES[self.below(PURSES.len() as u64) as usize])
    }

    /// An amount that an honest card pays which pays `usual` on average.
    pub fn amount(&mut self, usual: Cents) -> Cents {
        let per_mille = AMOUNTS[self.below(AMOUNTS.len() as u64) as usize] + self.below(21) as i64 - 10;
        Cents((usual.0 * per_mille / 1_000).max(50))
    }
}

/// The finalizer of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Quantiles of a lognormal distribution (sigma 0.5) of mean 1,000.
const AMOUNTS: [i64; 64] = [
    264, 328, 367, 398, 424, 447, 468, 488, 507, 525, 543, 560, 576, 592, 608, 624, 640, 655, 670, 686, 701,
    716, 732, 747, 763, 778, 794, 810, 826, 843, 860, 877, 894, 912, 930, 948, 967, 987, 1007, 1027, 1049,
    1071, 1094, 1118, 1143, 1169, 1196, 1225, 1256, 1288, 1323, 1360, 1400, 1443, 1491, 1544, 1604, 1673,
    1753, 1849, 1971, 2136, 2391, 2965,
];

/// Quantiles of a lognormal distribution (sigma 0.7) of median 3,000 cents.
const PURSES: [i64; 32] = [
    664, 928, 1112, 1268, 1411, 1546, 1677, 1807, 1935, 2065, 2197, 2332, 2470, 2613, 2763, 2919, 3083, 3258,
    3444, 3644, 3860, 4097, 4358, 4650, 4982, 5365, 5820, 6378, 7096, 8094, 9697, 13549,
];
