//! Tumbling windows: spans that follow each other without gap or overlap.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use pelton_state::TimeDomain;

use super::aligned::{Apart, millis};
use super::days;

/// Windows `[n * size + offset, (n + 1) * size + offset)`, or days of a time zone.
///
/// ```
/// # use std::time::Duration;
/// # use pelton_operators::Tumbling;
/// const HOUR_MS: i64 = 60 * 60 * 1_000;
/// let quarters = Tumbling::of(Duration::from_mins(15));
/// let days_in_utc_plus_1 = Tumbling::of(Duration::from_hours(24)).offset(-HOUR_MS);
/// let days_as_clocks_show_them = Tumbling::days().in_zone("Europe/Berlin");
/// ```
#[derive(Clone, Debug)]
pub struct Tumbling {
    length: Length,
    offset_ms: i64,
    pub(super) domain: TimeDomain,
}

#[derive(Clone, Debug)]
enum Length {
    Fixed(Duration),
    Days(TimeZone),
    Problem(String),
}

impl Tumbling {
    /// Windows of `size`, in whole milliseconds, aligned to the Unix epoch.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        Self::with(Length::Fixed(size))
    }

    /// Days of UTC, unless it is said of which time zone.
    #[must_use]
    pub fn days() -> Self {
        Self::with(Length::Days(TimeZone::UTC))
    }

    /// Days from midnight to midnight of a time zone, by its name in the IANA database. Where clocks are changed a day is
    /// 23 or 25 hours long.
    ///
    /// The database is built in, so that all machines agree; how zones change in years to come is known as well as it was when this was
    /// built. A time beyond the year 9999 is in no day and fails the job.
    #[must_use]
    pub fn in_zone(self, name: &str) -> Self {
        let length = match self.length {
            Length::Days(_) => days::zone(name).map_or_else(Length::Problem, Length::Days),
            length => Length::Problem(format!(
                "{length} are the same in all time zones: for days of one say `Tumbling::days().in_zone(\"{name}\")`, for others `.offset(...)`"
            )),
        };
        Self { length, ..self }
    }

    /// Moves the windows by `offset_ms` milliseconds. Days begin so much after midnight, and where clocks are changed in between, at
    /// another time of the clock.
    #[must_use]
    pub fn offset(self, offset_ms: i64) -> Self {
        Self { offset_ms, ..self }
    }

    /// Puts records into the window that it is when they arrive, by the clock of the machine, which fires it too. No record is
    /// late; which window it is in is not the same if it is read again. At the end of the input they all fire.
    #[must_use]
    pub fn by_processing_time(self) -> Self {
        Self { domain: TimeDomain::Processing, ..self }
    }

    fn with(length: Length) -> Self {
        Self { length, offset_ms: 0, domain: TimeDomain::Event }
    }

    pub(super) fn layout(&self) -> Result<Apart, String> {
        match &self.length {
            Length::Fixed(size) => {
                let size = millis("a window", *size)?;
                Ok(Apart::Regular { size, period: size, offset: self.offset_ms.rem_euclid(size) })
            }
            Length::Days(zone) => Ok(Apart::Days { zone: zone.clone(), offset: self.offset_ms }),
            Length::Problem(problem) => Err(problem.clone()),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "windows of {size:?}"),
            Self::Days(zone) => write!(f, "days in {}", zone.iana_name().unwrap_or("UTC")),
            Self::Problem(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Display for Tumbling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.length {
            Length::Fixed(size) => write!(f, "tumbling {size:?}"),
            length => write!(f, "tumbling {length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_dataflow::time::EventTime;

    #[test]
    fn a_time_falls_into_one_window() {
        let tens = Tumbling::of(Duration::from_millis(10));
        let bounds = |windows: &Tumbling, time| {
            let windows = windows.layout().unwrap();
            let window = windows.window_of(EventTime(time)).unwrap().unwrap();
            assert_eq!(windows.start_of(window.end), window.start);
            (window.start.0, window.end.0)
        };
        let of_tens = |time| bounds(&tens, time);
        assert_eq!([0, 9, 10, -1, -10].map(of_tens), [(0, 10), (0, 10), (10, 20), (-10, 0), (-10, 0)]);
        let shifted = tens.clone().offset(3);
        assert_eq!([12, 2, 13].map(|time| bounds(&shifted, time).1), [13, 3, 23]);
        let far = tens.clone().offset(i64::MIN + 3);
        assert_eq!(bounds(&far, 12), bounds(&tens.clone().offset((i64::MIN + 3) % 10), 12));
    }

    #[test]
    fn windows_beyond_time_are_refused() {
        let tens = Tumbling::of(Duration::from_millis(10)).offset(-7).layout().unwrap();
        for time in [i64::MIN, i64::MAX - 1, i64::MAX] {
            assert!(tens.window_of(EventTime(time)).is_err(), "{time}");
        }
        let problem = |windows: Tumbling| windows.layout().err().unwrap();
        assert!(problem(Tumbling::of(Duration::ZERO)).contains("at least 1 ms"));
        assert!(problem(Tumbling::of(Duration::from_micros(1_500))).contains("whole number"));
        assert!(problem(Tumbling::of(Duration::MAX)).contains("whole number"));
        assert!(problem(Tumbling::of(Duration::from_secs(u64::MAX))).contains("longer than event time"));
        assert!(problem(Tumbling::days().in_zone("Berlin")).contains("no time zone `Berlin`"));
        assert!(
            problem(Tumbling::of(Duration::from_hours(24)).in_zone("Europe/Berlin"))
                .contains("Tumbling::days()")
        );
    }
}
