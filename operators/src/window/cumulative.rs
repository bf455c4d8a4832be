//! Cumulative windows: spans that begin together and grow step by step up to the greatest, where they begin anew.

use std::fmt;
use std::time::Duration;

use pelton_state::TimeDomain;

use super::aligned::{Apart, Layout, Overlapping, millis};

/// Windows `[n * max + offset, n * max + offset + m * step)` for each `m` from 1 to `max / step`: what has come so far, step by
/// step.
///
/// As of [`Sliding`](super::Sliding) windows, a record is added once if the aggregate merges, to each of its windows if not. A
/// key that has had a record gives a result at each step until the greatest window ends.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Cumulative, testing::Harness};
///
/// let ms = Duration::from_millis;
/// let mut script = Harness::new(|sales, taps| {
///     let so_far = sales.key_by(|_: &u64| 'k').window("so-far", Cumulative::of(ms(30)).step(ms(10))).sum(|price| *price);
///     taps.tap("sum", &so_far.out.map(|window| (window.start.0, window.end.0, window.value)));
/// });
/// script.record(5, 1).record(22, 10).record(31, 100).end();
/// let sums = ["sum@9 (0, 10, 1)", "sum@19 (0, 20, 1)", "sum@29 (0, 30, 11)"];
/// assert_eq!(script.output()[..3], sums);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "say by how much windows grow: `.step(...)`"]
pub struct Cumulative {
    max: Duration,
    step: Duration,
    offset_ms: i64,
    pub(super) domain: TimeDomain,
}

impl Cumulative {
    /// Windows up to the size `max`, in whole milliseconds, that grow at once to it unless it is said by
    /// [`Cumulative::step`] how fast.
    pub fn of(max: Duration) -> Self {
        Self { max, step: max, offset_ms: 0, domain: TimeDomain::Event }
    }

    /// Windows grow by `step`, of which the greatest is a multiple.
    pub fn step(self, step: Duration) -> Self {
        Self { step, ..self }
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
        let max = millis("a greatest window", self.max)?;
        let step = millis("a step", self.step)?;
        if max % step != 0 {
            return Err(format!(
                "a greatest window of {:?} is no multiple of its step of {:?}: the last step would be shorter than the others",
                self.max, self.step
            ));
        }
        let offset = self.offset_ms.rem_euclid(max);
        Ok(match step < max {
            true => Layout::Overlapping(Overlapping::Cumulative { max, step, offset }),
            false => Layout::Apart(Apart::Regular { size: max, period: max, offset }),
        })
    }
}

impl fmt::Display for Cumulative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cumulative {:?} by {:?}", self.max, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_window_is_told() {
        let (ms, zero) = (Duration::from_millis, Duration::ZERO);
        let problem = |windows: Cumulative| windows.layout().err().unwrap();
        assert!(problem(Cumulative::of(zero).step(ms(1))).contains("a greatest window of 0ns is empty"));
        assert!(problem(Cumulative::of(ms(1)).step(zero)).contains("a step of 0ns is empty"));
        assert!(problem(Cumulative::of(ms(10)).step(ms(4))).contains("no multiple of its step of 4ms"));
        assert!(problem(Cumulative::of(ms(10)).step(ms(20))).contains("no multiple"));
    }
}
