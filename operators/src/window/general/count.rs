//! Count windows: so many records of a key, whenever they come.

use std::fmt;

/// Windows that one record may be in: each is an addition per record.
const MAX_OVERLAP: u64 = 1_024;

/// Windows of a number of records of a key, in the order in which they arrive. Their bounds are the event times
/// that they span.
///
/// ```
/// use pelton_operators::{CountWindows, testing::Harness};
///
/// let mut script = Harness::new(|sales, taps| {
///     let pairs = sales.key_by(|_: &u64| 'k').window("pairs", CountWindows::of(2)).sum(|price| *price);
///     taps.tap("pair", &pairs.out.map(|pair| (pair.start.0, pair.end.0, pair.value)));
/// });
/// script.record(5, 1).record(3, 10).record(7, 100).end();
/// assert_eq!(script.output(), ["pair@5 (3, 6, 11)"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountWindows {
    pub(super) size: u64,
    pub(super) every: u64,
    pub(super) partial: bool,
}

impl CountWindows {
    /// A window for each `size` records.
    #[must_use]
    pub fn of(size: u64) -> Self {
        Self { size, every: size, partial: false }
    }

    /// After each `every` records, a window of the last `size`, or of as many as there have been. Where `every` is
    /// more than `size`, records in between are in no window and go to the late output.
    ///
    /// A record is added to each of the `size / every` windows that it is in.
    #[must_use]
    pub fn sliding(size: u64, every: u64) -> Self {
        Self { size, every, partial: false }
    }

    /// Gives windows that are not full yet when the input ends, which are dropped otherwise. This costs a
    /// timer per key.
    #[must_use]
    pub fn with_partial(self) -> Self {
        Self { partial: true, ..self }
    }

    pub(super) fn check(self) -> Result<(), String> {
        if self.size == 0 || self.every == 0 {
            return Err(format!("{self}: give at least 1 record"));
        }
        if self.size.div_ceil(self.every) > MAX_OVERLAP {
            return Err(format!(
                "{self}: each record would be added to more than {MAX_OVERLAP} windows; keep the records instead, by \
                 `GlobalWindow` with `.trigger(OnCount::of({}))` and `.evictor(Keep::last({}))`",
                self.every, self.size
            ));
        }
        Ok(())
    }

    /// How many windows a key's record `number`, from 1, is in.
    #[inline]
    pub(super) fn windows_of(self, number: u64) -> u64 {
        // They are full at multiples of `every` in number ..= number + size - 1.
        (number - 1).saturating_add(self.size) / self.every - (number - 1) / self.every
    }

    /// Whether a window is full with record `number`.
    #[inline]
    pub(super) fn is_full_at(self, number: u64) -> bool {
        number.is_multiple_of(self.every)
    }
}

impl fmt::Display for CountWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.every {
            every if every == self.size => write!(f, "windows of {} records", self.size),
            every => write!(f, "windows of {} records, every {every}", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_in_the_windows_that_are_full_with_it_or_soon_after() {
        let sizes = [(1u64, 1u64), (3, 3), (5, 2), (6, 2), (2, 5), (7, 1)];
        for (size, every) in sizes {
            let windows = CountWindows::sliding(size, every);
            for number in 1..40 {
                let full_at = (1..80).filter(|full: &u64| full.is_multiple_of(every));
                let holding = full_at.filter(|full| *full >= number && *full < number + size).count();
                assert_eq!(windows.windows_of(number), holding as u64, "{windows}, record {number}");
            }
        }
    }
}
