//! Tumbling windows: spans of equal length that follow each other without gap or overlap.

use std::fmt;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;

/// Windows `[n * size + offset, (n + 1) * size + offset)`.
///
/// ```
/// # use std::time::Duration;
/// # use pelton_operators::Tumbling;
/// const HOUR_MS: i64 = 60 * 60 * 1_000;
/// let days_in_utc_plus_1 = Tumbling::of(Duration::from_hours(24)).offset(-HOUR_MS);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size: Duration,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of `size`, in whole milliseconds, aligned to the Unix epoch.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        Self { size, offset_ms: 0 }
    }

    /// Moves the windows by `offset_ms` milliseconds.
    #[must_use]
    pub fn offset(self, offset_ms: i64) -> Self {
        Self { offset_ms, ..self }
    }

    /// What is wrong with the size, if anything.
    pub(crate) fn check(self) -> Result<(), String> {
        match self.size {
            size if size < Duration::from_millis(1) => {
                Err(format!("a window of {size:?} is empty: give at least 1 ms"))
            }
            size if i64::try_from(size.as_millis()).is_err() => {
                Err(format!("a window of {size:?} is longer than event time reaches"))
            }
            size if size.subsec_nanos() % 1_000_000 != 0 => {
                Err(format!("a window of {size:?} is not a whole number of milliseconds"))
            }
            _ => Ok(()),
        }
    }

    fn size_ms(self) -> i64 {
        self.size.as_millis() as i64
    }

    /// The end of the window that `time` falls into.
    pub(crate) fn end_of(self, time: EventTime) -> OpResult<EventTime> {
        let into = time.0.wrapping_sub(self.offset_ms).rem_euclid(self.size_ms());
        match time.0.checked_sub(into).and_then(|start| start.checked_add(self.size_ms())) {
            Some(end) if time != EventTime::MIN => Ok(EventTime(end)),
            _ => Err(format!(
                "a record at {time} falls into no window: give the source `.watermarks(...)` that read its event time"
            )
            .into()),
        }
    }

    /// The start of the window that ends at `end`.
    pub(crate) fn start_of(self, end: EventTime) -> EventTime {
        EventTime(end.0 - self.size_ms())
    }
}

impl fmt::Display for Tumbling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tumbling {:?}", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_one_window() {
        let tens = Tumbling::of(Duration::from_millis(10));
        let bounds = |time| {
            let end = tens.end_of(EventTime(time)).unwrap();
            (tens.start_of(end).0, end.0)
        };
        assert_eq!([0, 9, 10, -1, -10].map(bounds), [(0, 10), (0, 10), (10, 20), (-10, 0), (-10, 0)]);
        let shifted = tens.offset(3);
        assert_eq!(shifted.end_of(EventTime(12)).unwrap(), EventTime(13));
        assert_eq!(shifted.end_of(EventTime(2)).unwrap(), EventTime(3));
    }

    #[test]
    fn windows_beyond_time_are_refused() {
        let tens = Tumbling::of(Duration::from_millis(10));
        assert!(tens.end_of(EventTime(i64::MAX - 1)).is_err());
        assert!(tens.end_of(EventTime::MIN).is_err());
        assert!(Tumbling::of(Duration::ZERO).check().is_err());
        assert!(Tumbling::of(Duration::from_micros(1_500)).check().is_err());
    }
}
