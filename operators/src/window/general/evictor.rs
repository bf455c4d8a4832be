//! Evictors: which of a window's records are left out as it fires.

use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::record::Record;

use super::assigner::{Window, check_length};

/// Puts records out of a window as it fires, for good: before its function sees them, or after.
///
/// Windows with an evictor keep their records, one row each, also if they are then aggregated: at each firing the
/// aggregate is made anew of those that are left. If none is left, the window gives no result.
pub trait Evictor<T>: Send + Sync + 'static {
    /// Marks what its function shall not see. The records are in the order in which they arrived.
    fn before(&self, _records: &[Record<T>], _window: Window, _evicted: &mut Evicted) {}

    /// Marks what has to go once its function has seen the records.
    fn after(&self, _records: &[Record<T>], _window: Window, _evicted: &mut Evicted) {}

    /// What is wrong with its settings, if anything: a mistake of the graph.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Marks on the records of a window, by their indexes.
#[derive(Debug, Default)]
pub struct Evicted {
    marks: Vec<bool>,
}

impl Evicted {
    pub(super) fn of(records: usize) -> Self {
        Self { marks: vec![false; records] }
    }

    /// Marks the record at `index`.
    pub fn put_out(&mut self, index: usize) {
        if let Some(mark) = self.marks.get_mut(index) {
            *mark = true;
        }
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.marks.get(index).copied().unwrap_or(false)
    }
}

/// The evictors that are at hand: they keep some records, and put out the others.
///
/// ```
/// use pelton_operators::{GlobalWindow, Keep, testing::Harness, trigger::OnCount};
///
/// let mut script = Harness::new(|sales, taps| {
///     let all = sales.key_by(|_: &u64| 'k').window("sales", GlobalWindow).trigger(OnCount::of(2));
///     let last_three = all.evictor(Keep::last(3)).sum(|price| *price);
///     taps.tap("sum", &last_three.out.map(|sum| sum.value));
/// });
/// script.record(1, 1).record(2, 10).record(3, 100).record(4, 1000);
/// assert_eq!(script.output(), ["sum@2 11", "sum@4 1110"]);
/// ```
pub struct Keep<T> {
    keep: Kept<T>,
    after: bool,
}

type Distance<T> = Arc<dyn Fn(&T, &T) -> f64 + Send + Sync>;

enum Kept<T> {
    Last(usize),
    Within(Duration),
    Near(f64, Distance<T>),
}

impl<T> Keep<T> {
    /// Keeps the `count` records that arrived last.
    #[must_use]
    pub fn last(count: usize) -> Self {
        Self { keep: Kept::Last(count), after: false }
    }

    /// Keeps the records that are less than `duration` older than the newest, by their event times.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self { keep: Kept::Within(duration), after: false }
    }

    /// Keeps the records whose `distance` to the one that arrived last is less than `threshold`.
    #[must_use]
    pub fn near(threshold: f64, distance: impl Fn(&T, &T) -> f64 + Send + Sync + 'static) -> Self {
        Self { keep: Kept::Near(threshold, Arc::new(distance)), after: false }
    }

    /// Puts the others out once the window's function has seen them, not before.
    #[must_use]
    pub fn after_the_function(self) -> Self {
        Self { after: true, ..self }
    }

    fn mark(&self, records: &[Record<T>], evicted: &mut Evicted) {
        let Some(last) = records.last() else { return };
        match &self.keep {
            Kept::Last(count) => {
                (0..records.len().saturating_sub(*count)).for_each(|index| evicted.put_out(index));
            }
            Kept::Within(duration) => {
                let newest = records.iter().map(|record| record.time).max().unwrap_or(last.time);
                let old = |record: &Record<T>| newest.since(record.time) >= *duration;
                (0..records.len())
                    .filter(|index| old(&records[*index]))
                    .for_each(|index| evicted.put_out(index));
            }
            Kept::Near(threshold, distance) => {
                // What has no distance is not near.
                let near = |record: &Record<T>| distance(&record.value, &last.value) < *threshold;
                (0..records.len())
                    .filter(|index| !near(&records[*index]))
                    .for_each(|index| evicted.put_out(index));
            }
        }
    }
}

impl<T: 'static> Evictor<T> for Keep<T> {
    fn before(&self, records: &[Record<T>], _window: Window, evicted: &mut Evicted) {
        if !self.after {
            self.mark(records, evicted);
        }
    }

    fn after(&self, records: &[Record<T>], _window: Window, evicted: &mut Evicted) {
        if self.after {
            self.mark(records, evicted);
        }
    }

    fn check(&self) -> Result<(), String> {
        match &self.keep {
            Kept::Last(0) => {
                Err("an evictor that keeps 0 records leaves none to give a result of".to_owned())
            }
            Kept::Within(duration) => check_length("an evictor's time", *duration),
            Kept::Near(threshold, _) if threshold.is_nan() || *threshold <= 0.0 => {
                Err(format!("an evictor's threshold of {threshold} leaves no record to give a result of"))
            }
            _ => Ok(()),
        }
    }
}
