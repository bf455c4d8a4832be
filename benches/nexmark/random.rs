//! Random numbers of one event: splitmix64 begun from the event's index, so that any event can be made
//! anywhere and again.

/// Spreads the streams of neighbouring events: the odd constant of MurmurHash3's 64-bit finalizer.
const SPREAD: u64 = 0xff51_afd7_ed55_8ccd;

/// The step of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random numbers of one event.
pub struct Random(u64);

impl Random {
    /// Those of event `index`.
    #[inline]
    pub fn of(index: u64) -> Self {
        Self(mix(index.wrapping_mul(SPREAD)))
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..limit`.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// One of `choices`.
    #[inline]
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Uniform in [0, 1).
    #[inline]
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finalizer of splitmix64.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
