//! Sliding windows: spans of equal length that begin at a regular distance, and overlap.

use std::fmt;
use std::time::Duration;

use pelton_state::TimeDomain;

use super::aligned::{Apart, Layout, Overlapping, millis};

/// Windows `[n * slide + offset, n * slide + offset + size)`: a record is in each that holds its time.
///
/// Flink calls them sliding windows too; they are also known as hopping windows. A slide that is longer than the size leaves
/// gaps, and a record in a gap is in no window and dropped.
///
/// With an aggregate that [merges](crate::aggregate::Aggregate::MERGES) a record is added once, to the *slice* between two
/// bounds of windows, however many windows it is in, and a key's window costs two merges, however many slices it is made
/// of. With one that does not it is added to each of its windows, `size / slide` of them, and takes as much room: `explain` shows which.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Sliding, testing::Harness};
///
/// let ms = Duration::from_millis;
/// let mut script = Harness::new(|sales, taps| {
///     let sums = sales.key_by(|_: &u64| 'k').window("sales", Sliding::of(ms(20)).every(ms(10))).sum(|price| *price);
///     taps.tap("sum", &sums.out.map(|window| (window.start.0, window.end.0, window.value)));
/// });
/// script.record(5, 1).record(12, 10).end();
/// assert_eq!(script.output(), ["sum@9 (-10, 10, 1)", "sum@19 (0, 20, 11)", "sum@29 (10, 30, 10)"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "say how often a window begins: `.every(...)`"]
pub struct Sliding {
    size: Duration,
    slide: Duration,
    offset_ms: i64,
    pub(super) domain: TimeDomain,
}

impl Sliding {
    /// Windows of `size`, in whole milliseconds, that begin one after the other unless it is said by
    /// [`Sliding::every`] how often.
    pub fn of(size: Duration) -> Self {
        Self { size, slide: size, offset_ms: 0, domain: TimeDomain::Event }
    }

    /// A window begins every `slide`, in whole milliseconds, aligned to the Unix epoch.
    pub fn every(self, slide: Duration) -> Self {
        Self { slide, ..self }
    }

    /// Moves the windows by `offset_ms` milliseconds.
    pub fn offset(self, offset_ms: i64) -> Self {
        Self { offset_ms, ..self }
    }

    /// Takes records as if they happened when they arrive, by the clock of the machine: as
    /// [`Tumbling::by_processing_time`](super::Tumbling::by_processing_time).
    pub fn by_processing_time(self) -> Self {
        Self { domain: TimeDomain::Processing, ..self }
    }

    pub(super) fn layout(&self) -> Result<Layout, String> {
        let size = millis("a window", self.size)?;
        let slide = millis("a slide", self.slide)?;
        let offset = self.offset_ms.rem_euclid(slide);
        Ok(match slide < size {
            true => Layout::Overlapping(Overlapping::Sliding { size, slide, offset }),
            false => Layout::Apart(Apart::Regular { size, period: slide, offset }),
        })
    }
}

impl fmt::Display for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sliding {:?} every {:?}", self.size, self.slide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_window_is_told() {
        let (ms, zero) = (Duration::from_millis, Duration::ZERO);
        let problem = |windows: Sliding| windows.layout().err().unwrap();
        assert!(problem(Sliding::of(zero).every(ms(1))).contains("a window of 0ns is empty"));
        assert!(problem(Sliding::of(ms(1)).every(zero)).contains("a slide of 0ns is empty"));
        assert!(
            problem(Sliding::of(ms(10)).every(Duration::from_micros(2_500))).contains("a slide of 2.5ms")
        );
        assert!(problem(Sliding::of(Duration::from_secs(u64::MAX)).every(ms(1))).contains("longer than"));
    }
}
