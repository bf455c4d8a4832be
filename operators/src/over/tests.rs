//! Windows of many values against recomputation from the whole list, with what is in memory lost at any time.

use std::collections::HashMap;
use std::time::Duration;

use pelton_state::{StateError, TableValue, codec};
use proptest::prelude::*;

use super::features::{Features, Ranges};
use super::history::{Chunk, Rows};
use super::sliding::{Rolling, Window};
use super::{Ranged, last};

struct Table<V> {
    rows: HashMap<u32, Chunk<V>>,
    /// Values that were written and read.
    written: usize,
    read: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), written: 0, read: 0 }
    }
}

impl<V> Rows<V> for Table<V> {
    fn get(&mut self, id: u32) -> Result<Option<Chunk<V>>, StateError> {
        let found = self.rows.get(&id).cloned();
        self.read += found.as_ref().map_or(0, |chunk| chunk.len());
        Ok(found)
    }
    fn put(&mut self, id: u32, chunk: Chunk<V>) -> Result<(), StateError> {
        self.written += chunk.len();
        self.rows.insert(id, chunk);
        Ok(())
    }
    fn remove(&mut self, id: u32) -> Result<(), StateError> {
        self.rows.remove(&id).expect("a row is removed once");
        Ok(())
    }
}

/// A window, one question after each value.
struct Asked<V, F: Features<V>> {
    sliding: Rolling<F>,
    window: Window<V, F::Slides>,
    table: Table<V>,
}

impl<V: TableValue, F: Features<V>> Asked<V, F> {
    fn new(mut features: F) -> Self {
        let mut ranges = Ranges::default();
        features.bind(&mut ranges);
        assert_eq!(ranges.problems, [""; 0]);
        Self { sliding: Rolling::new(features, ranges), window: Window::default(), table: Table::default() }
    }

    fn add(&mut self, at_ms: i64, value: V) -> F::Out {
        let Self { sliding, window, table } = self;
        sliding.add(window, (at_ms, value), table).unwrap();
        sliding.advance(window, at_ms, table).unwrap();
        sliding.tidy(window, at_ms - sliding.reach_ms(), table).unwrap();
        sliding.results(window, (at_ms, at_ms), &[], table).unwrap()
    }

    /// What is in memory only is lost.
    fn forget(&mut self) {
        self.window = self.window.clone();
    }
}

fn ms(length: u64) -> super::Last {
    last(Duration::from_millis(length))
}

/// What comes at which distance, and whether memory is lost before it.
fn arrivals(most: usize) -> impl Strategy<Value = Vec<(i64, bool)>> {
    let gap = prop_oneof![90 => Just(0i64), 300 => 1i64..4, 2 => 50i64..900, 1 => Just(5_000)];
    prop::collection::vec((gap, prop::bool::weighted(0.02)), 1..most)
}

/// Values of the last `length` at the end of `all`.
fn in_range<V: Copy>(all: &[(i64, V)], length: i64) -> Vec<V> {
    let (now, _) = all[all.len() - 1];
    all.iter().filter(|(at, _)| *at > now - length && *at <= now).map(|(_, value)| *value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn all_functions_are_those_of_the_list(
        arrivals in arrivals(1_500), values in prop::collection::vec(0u16..500, 1_500),
    ) {
        let short = ms(7);
        let long = ms(1_500);
        let features = (
            short.count(), long.count(), long.sum(), long.min(), ms(200).max(),
            long.distinct(), ms(200).quantile(0.5), long.latest_n(3),
        );
        let mut asked = Asked::new(features);
        let mut all: Vec<(i64, u16)> = Vec::new();
        let mut now = 0;
        for ((gap, forgets), value) in arrivals.into_iter().zip(values) {
            if forgets {
                asked.forget();
            }
            now += gap;
            all.retain(|(at_ms, _)| *at_ms > now - 1_500);
            all.push((now, value));
            let found = asked.add(now, value);
            let (short, middle, long) = (in_range(&all, 7), in_range(&all, 200), in_range(&all, 1_500));
            let mut sorted = middle.clone();
            sorted.sort_unstable();
            let distinct: std::collections::BTreeSet<_> = long.iter().collect();
            let expected = (
                short.len() as u64,
                long.len() as u64,
                long.iter().map(|value| u64::from(*value)).sum::<u64>(),
                *long.iter().min().unwrap(),
                *middle.iter().max().unwrap(),
                distinct.len() as u64,
                sorted[(sorted.len() - 1) / 2],
                long[long.len().saturating_sub(3)..].to_vec(),
            );
            prop_assert_eq!(found, expected);
        }
    }

    /// Results are the same bits whether memory was lost or not, and as exact as can be.
    #[test]
    fn floats_are_the_same_bits_after_a_loss_and_leave_no_trace(
        arrivals in arrivals(1_500),
        values in prop::collection::vec(prop_oneof![-1.0..1.0, -1e15..1e15, 1e6..1.000_001e6], 1_500),
    ) {
        let features = || (ms(7).sum(), ms(1_500).sum(), ms(1_500).mean(), ms(1_500).variance(), ms(90).stddev());
        let (mut kept, mut lost) = (Asked::new(features()), Asked::new(features()));
        let mut all: Vec<(i64, f64)> = Vec::new();
        let mut now = 0;
        for ((gap, forgets), value) in arrivals.into_iter().zip(values) {
            if forgets {
                lost.forget();
            }
            now += gap;
            all.retain(|(at_ms, _)| *at_ms > now - 1_500);
            all.push((now, value));
            let found = kept.add(now, value);
            prop_assert_eq!(format!("{:?}", found), format!("{:?}", lost.add(now, value)));
            let long = in_range(&all, 1_500);
            let (size, sum) = (long.iter().map(|v| v.abs()).sum::<f64>(), exact_sum(&long));
            // Where large numbers cancel, what is left has the errors of the large: of twice the bits.
            let slack = size * 2f64.powi(-100) + long.len() as f64 * 2f64.powi(-60);
            let off = (found.1 - sum).abs();
            prop_assert!(off <= sum.abs() * f64::EPSILON + slack, "{} for {sum}", found.1);
            let mean = sum / long.len() as f64;
            prop_assert!((found.2 - mean).abs() <= mean.abs() * 2.0 * f64::EPSILON + slack);
            let squares: f64 = long.iter().map(|v| (v - mean).powi(2)).sum();
            let (n, largest) = (long.len() as f64, size / long.len() as f64);
            let off = (found.3 - squares / n).abs();
            prop_assert!(off <= squares / n * 1e-9 + (largest * 1e-13).powi(2), "{} for {}", found.3, squares / n);
        }
    }
}

/// The sum of numbers below 2^60 by integers, each cut off at 2^-60.
fn exact_sum(values: &[f64]) -> f64 {
    let unit = 2f64.powi(60);
    let total: i128 = values.iter().map(|value| (value * unit) as i128).sum();
    total as f64 / unit
}

fn tenths(n: i64, range: u64) -> (Ranged<super::Sum>, impl Iterator<Item = (i64, f64)>) {
    (ms(range).sum(), (0..n).map(|n| (n, if n == 3 { f64::INFINITY } else { 0.1 })))
}

#[test]
fn infinity_and_no_number_leave_with_their_record() {
    let (sum, values) = tenths(2_000, 100);
    let mut asked = Asked::new(sum);
    let sums: Vec<f64> = values.map(|(at_ms, value)| asked.add(at_ms, value)).collect();
    assert!(sums[3..103].iter().all(|sum| *sum == f64::INFINITY));
    assert_eq!(sums[103], sums[1_999]);
    assert!((sums[1_999] - 10.0).abs() < 1e-14);
}

/// How often values are written to and read from the table does not depend on how many are in range.
#[test]
fn a_value_is_written_once_and_read_a_few_times() {
    for range in [10u64, 1_000, 12_000] {
        let mut asked = Asked::new((ms(range).sum(), ms(range / 2).max(), ms(range).distinct()));
        let count = 30_000;
        for n in 0..count {
            asked.add(n, n as u32 % 100);
        }
        let Table { written, read, rows } = &asked.table;
        assert!(*written <= count as usize, "{written} values written for a range of {range}");
        assert!(*read <= 5 * count as usize, "{read} values read for a range of {range}");
        let left: usize = rows.values().map(|chunk| chunk.len()).sum();
        assert!(left <= range as usize + 256, "{left} values left for a range of {range}");
    }
}

/// The ranges of a job may be changed between two runs, as the kept values are the same.
#[test]
fn other_ranges_go_on_with_the_values_that_are_kept() {
    let mut first = Asked::new((ms(500).count(), ms(20).sum()));
    for n in 0..2_000 {
        first.add(n, n as u64);
    }
    let Asked { window, table, .. } = first;
    let window = codec::encode(&window).unwrap();
    let mut second = Asked::new((ms(400).sum(), ms(20).count(), ms(700).count()));
    (second.window, second.table) = (codec::decode(&window).unwrap(), table);
    for n in 2_000..2_300 {
        let sum = (n - 399..=n).sum::<u64>();
        let (found_sum, twenty, of_700) = second.add(n as i64, n);
        assert_eq!((found_sum, twenty), (sum, 20));
        // What was out of all ranges then is gone, but for the rest of its chunk.
        assert!((n - 1_499..=n - 1_499 + 256).contains(&of_700) || of_700 == 700, "{of_700} at {n}");
    }
}

/// What a checkpoint writes of a key that has changed does not grow with what is in range.
#[test]
fn the_struct_of_a_key_stays_small() {
    let size = |count: i64, range: u64| {
        let mut asked = Asked::new((ms(range).count(), ms(10).count()));
        for n in 0..count {
            asked.add(n, n as u64);
        }
        codec::encode(&asked.window).unwrap().len()
    };
    let values_bytes = |count: usize| 16 * count;
    assert!(size(3, 1_000) < values_bytes(3) + 100, "{}", size(3, 1_000));
    assert!(size(40_000, 10) < values_bytes(30) + 200, "{}", size(40_000, 10));
    assert!(size(40_000, 40_000) < values_bytes(40_000) / 50, "{}", size(40_000, 40_000));
}
