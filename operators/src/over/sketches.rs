//! Functions that are about right, with a stated error and bounded memory: distinct counts by
//! HyperLogLog, quantiles by `DDSketch`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use pelton_dataflow::key::hash_of;
use serde::{Deserialize, Serialize};

use super::aggregates::{Numeric, RangeAggregate};
use super::multisets::{check_quantile, rank_of};

/// See [`Last::distinct_about`](super::Last::distinct_about).
///
/// Flajolet et al., "HyperLogLog" (2007), read out by the estimator of Ertl, "New cardinality estimation
/// algorithms for `HyperLogLog` sketches" (2017, algorithm 6), which has no bias to be corrected by tables. The
/// hash is the fixed one of keys. As a register cannot forget, it does not subtract: a key with thousands of records
/// in range holds up to 512 sketches in memory.
#[derive(Clone, Copy, Debug)]
pub struct DistinctSketch {
    precision: u8,
}

impl DistinctSketch {
    pub(super) fn new(precision: u8) -> Self {
        Self { precision }
    }

    /// Registers count leading zeros of so many bits.
    fn bits(self) -> u8 {
        64 - self.precision
    }
}

/// The registers that are not zero, as a list while they are few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// By register; empty once they are many.
    few: Vec<(u16, u8)>,
    /// All of them; empty while they are few.
    all: Vec<u8>,
}

impl Registers {
    fn raise(&mut self, register: u16, rank: u8, registers: usize) {
        if let Some(known) = self.all.get_mut(usize::from(register)) {
            *known = (*known).max(rank);
            return;
        }
        match self.few.binary_search_by_key(&register, |(register, _)| *register) {
            Ok(at) => self.few[at].1 = self.few[at].1.max(rank),
            Err(at) => self.few.insert(at, (register, rank)),
        }
        // A quarter of the registers as pairs of four bytes takes as much as all of them.
        if self.few.len() > registers / 4 {
            self.all = vec![0; registers];
            for (register, rank) in std::mem::take(&mut self.few) {
                self.all[usize::from(register)] = rank;
            }
        }
    }

    fn merge(&mut self, later: &Self, registers: usize) {
        if self.all.is_empty() && !later.all.is_empty() {
            let few = std::mem::replace(self, later.clone()).few;
            few.into_iter().for_each(|(register, rank)| self.raise(register, rank, registers));
            return;
        }
        for (register, rank) in &later.few {
            self.raise(*register, *rank, registers);
        }
        for (known, rank) in self.all.iter_mut().zip(&later.all) {
            *known = (*known).max(*rank);
        }
    }
}

impl<V: Eq + Serialize> RangeAggregate<V> for DistinctSketch {
    type Partial = Registers;
    type Out = u64;

    fn check(&self) -> Result<(), String> {
        match self.precision {
            4..=16 => Ok(()),
            other => Err(format!("a distinct count of precision {other}: give 4 to 16")),
        }
    }

    fn meaning(&self) -> String {
        format!("registers of precision {}", self.precision)
    }

    fn add(&self, registers: &mut Registers, value: &V) {
        let hash = hash_of(value).0;
        let rank = (hash << self.precision).leading_zeros().min(u32::from(self.bits())) as u8 + 1;
        registers.raise((hash >> self.bits()) as u16, rank, 1 << self.precision);
    }

    fn merge(&self, registers: &mut Registers, later: &Registers) {
        registers.merge(later, 1 << self.precision);
    }

    fn result(&self, registers: &Registers) -> u64 {
        let count = 1usize << self.precision;
        let mut by_rank = [0u32; 64];
        for (_, rank) in &registers.few {
            by_rank[usize::from(*rank)] += 1;
        }
        for rank in &registers.all {
            by_rank[usize::from(*rank)] += 1;
        }
        if registers.all.is_empty() {
            by_rank[0] = (count - registers.few.len()) as u32;
        }
        estimate(&by_rank[..=usize::from(self.bits()) + 1], count as f64).round() as u64
    }
}

/// The estimate from how many of the `m` registers have each rank.
fn estimate(by_rank: &[u32], m: f64) -> f64 {
    let [zeros, middle @ .., most] = by_rank else { return 0.0 };
    let mut z = m * tau(1.0 - f64::from(*most) / m);
    for count in middle.iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(*zeros) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// `x` plus the sum of `x^(2^k) * 2^(k-1)` over `k >= 1`.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let next = sum + x * weight;
        weight += weight;
        if next <= sum {
            return sum;
        }
        sum = next;
    }
}

/// A third of `1 - x` less the sum of `(1 - x^(2^-k))^2 * 2^-k` over `k >= 1`.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        weight *= 0.5;
        let next = sum - (1.0 - x).powi(2) * weight;
        if next >= sum {
            return sum / 3.0;
        }
        sum = next;
    }
}

/// See [`Last::quantile_about`](super::Last::quantile_about).
///
/// Masson, Rim, Lee, "`DDSketch`" (2019): counts of values by the logarithm of their size, in steps so small that any
/// two in one step differ by less than twice the error. Infinities keep their place, and what is no number (NaN)
/// counts as infinity.
#[derive(Clone, Copy, Debug)]
pub struct QuantileSketch {
    q: f64,
    error: f64,
    /// The logarithm of the ratio between steps.
    step: f64,
}

/// Steps finer than this would run over their number.
const LEAST_ERROR: f64 = 1e-6;

impl QuantileSketch {
    pub(super) fn new(q: f64, error: f64) -> Self {
        Self { q, error, step: ((1.0 + error) / (1.0 - error)).ln() }
    }

    /// Where a value is counted: steps of negative ones run the other way.
    fn bucket(self, value: f64) -> Bucket {
        let size = value.abs();
        let step = match size.is_finite() {
            true => (size.ln() / self.step).ceil() as i32,
            false => i32::MAX,
        };
        match value {
            0.0 => Bucket(0, 0),
            value if value < 0.0 => Bucket(-1, step.saturating_neg()),
            _ => Bucket(1, step),
        }
    }

    /// What stands for all values of a bucket.
    fn value(self, Bucket(sign, step): Bucket) -> f64 {
        let size = |step: i32| match step {
            i32::MAX => f64::INFINITY,
            step => (f64::from(step) * self.step + (-self.error).ln_1p()).exp().min(f64::MAX),
        };
        match sign {
            0 => 0.0,
            -1 => -size(step.saturating_neg()),
            _ => size(step),
        }
    }
}

/// Sign and step, in the order of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bucket(i8, i32);

impl<V: Numeric> RangeAggregate<V> for QuantileSketch {
    type Partial = BTreeMap<Bucket, u64>;
    type Out = f64;
    const SUBTRACTS: bool = true;

    fn check(&self) -> Result<(), String> {
        check_quantile(self.q)?;
        match (LEAST_ERROR..1.0).contains(&self.error) {
            true => Ok(()),
            false => {
                Err(format!("a quantile with a relative error of {}: give 0.000001 to below 1", self.error))
            }
        }
    }

    fn meaning(&self) -> String {
        format!("steps of relative error {}", self.error)
    }

    fn add(&self, counts: &mut BTreeMap<Bucket, u64>, value: &V) {
        *counts.entry(self.bucket(value.to_f64())).or_default() += 1;
    }

    fn merge(&self, counts: &mut BTreeMap<Bucket, u64>, later: &BTreeMap<Bucket, u64>) {
        for (bucket, count) in later {
            *counts.entry(*bucket).or_default() += count;
        }
    }

    fn subtract(&self, counts: &mut BTreeMap<Bucket, u64>, value: &V) {
        if let Entry::Occupied(mut known) = counts.entry(self.bucket(value.to_f64())) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
            }
        }
    }

    fn result(&self, counts: &BTreeMap<Bucket, u64>) -> f64 {
        let mut rank = rank_of(self.q, counts.values().sum());
        for (bucket, count) in counts {
            if rank < *count {
                return self.value(*bucket);
            }
            rank -= count;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partial_of<V, A: RangeAggregate<V>>(aggregate: &A, values: impl IntoIterator<Item = V>) -> A::Partial {
        let mut partial = A::Partial::default();
        values.into_iter().for_each(|value| aggregate.add(&mut partial, &value));
        partial
    }

    /// Three standard errors, from one value to a thousand times as many as there are registers.
    #[test]
    fn distinct_counts_are_within_their_error() {
        for precision in [8, 10, 12] {
            let sketch = DistinctSketch::new(precision);
            let error = 3.0 * 1.04 / f64::from(1u32 << precision).sqrt();
            for count in [1u64, 10, 100, 1_000, 2_500, 10_000, 300_000] {
                let (low, high) = (count / 3, count);
                let mut partial = partial_of(&sketch, 0..high);
                RangeAggregate::<u64>::merge(&sketch, &mut partial, &partial_of(&sketch, low..high));
                let found = RangeAggregate::<u64>::result(&sketch, &partial) as f64;
                let off = (found - count as f64).abs() / count as f64;
                assert!(off <= error, "{found} for {count} at precision {precision}");
            }
        }
    }

    #[test]
    fn merging_sketches_is_sketching_all() {
        let sketch = DistinctSketch::new(6);
        for (a, b) in [(3u64, 5), (3, 500), (500, 3), (500, 900)] {
            let mut merged = partial_of(&sketch, 0..a);
            RangeAggregate::<u64>::merge(&sketch, &mut merged, &partial_of(&sketch, 1_000..1_000 + b));
            assert_eq!(merged, partial_of(&sketch, (0..a).chain(1_000..1_000 + b)), "{a} and {b}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_their_error(
            values in prop::collection::vec(prop_oneof![-1e9..1e9, -1.0..1.0, Just(0.0)], 1..200),
            gone in prop::collection::vec(-1e3..1e3, 0..20),
            q in 0.0..=1.0,
        ) {
            let sketch = QuantileSketch::new(q, 0.01);
            let mut partial = partial_of(&sketch, gone.iter().copied().chain(values.iter().copied()));
            gone.iter().for_each(|value| sketch.subtract(&mut partial, value));
            let found = RangeAggregate::<f64>::result(&sketch, &partial);
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[rank_of(q, sorted.len() as u64) as usize];
            prop_assert!((found - exact).abs() <= 0.010_000_1 * exact.abs(), "{} for {}", found, exact);
        }
    }

    #[test]
    fn what_is_not_finite_keeps_its_place() {
        let values = [f64::NEG_INFINITY, -1.0, 0.0, f64::MIN_POSITIVE / 4.0, 1.0, f64::MAX, f64::INFINITY];
        for (nth, exact) in values.into_iter().enumerate() {
            let sketch = QuantileSketch::new((nth + 1) as f64 / 7.0, 0.01);
            let found = RangeAggregate::<f64>::result(&sketch, &partial_of(&sketch, values));
            assert!(
                found == exact || (found - exact).abs() <= 0.010_000_1 * exact.abs(),
                "{found} for {exact}"
            );
        }
    }
}
