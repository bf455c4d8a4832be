//! Windows, and who says which of them a record is in.

use std::fmt;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;
use serde::{Deserialize, Serialize};

/// A span of time, `start <= time < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant.
    pub start: EventTime,
    /// The first instant after it.
    pub end: EventTime,
}

impl Window {
    /// The window from `start` up to, not including, `end`, in milliseconds.
    #[must_use]
    pub const fn of_millis(start: i64, end: i64) -> Self {
        Self { start: EventTime(start), end: EventTime(end) }
    }

    /// Its last millisecond: the event time of its results.
    #[must_use]
    pub const fn last(self) -> EventTime {
        EventTime(self.end.0.saturating_sub(1))
    }

    /// Whether the two overlap or follow each other without a gap: windows that merge are then one.
    #[must_use]
    #[inline]
    pub fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The least window that holds both.
    #[must_use]
    #[inline]
    pub fn cover(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Says which windows a record is in: windows of your own making.
///
/// It may look at the record and its time and at nothing that changes: a record that is read again after a crash
/// is asked for again. One that is given no window goes to the late output.
///
/// ```
/// # use std::sync::Arc;
/// # use pelton_dataflow::{error::OpResult, time::EventTime};
/// # use pelton_operators::{Window, WindowAssigner, Windows, testing::Harness};
/// /// The ten milliseconds from a mark on.
/// struct FromMarks;
/// impl WindowAssigner<char> for FromMarks {
///     fn assign(&self, record: &char, time: EventTime, windows: &mut Vec<Window>) -> OpResult {
///         windows.extend((*record == '!').then(|| Window::of_millis(time.0, time.0 + 10)));
///         Ok(())
///     }
/// }
/// let mut script = Harness::new(|input, taps| {
///     let marked = input.key_by(|_: &char| 0u8).window("marks", Windows::assigned_by(Arc::new(FromMarks)));
///     let counts = marked.count();
///     taps.tap("count", &counts.out.map(|window| (window.start.0, window.value)));
///     taps.tap("none", &counts.late);
/// });
/// script.record(3, '!').record(4, '?').record(3, '!').end();
/// assert_eq!(script.output(), ["none@4 '?'", "count@12 (3, 2)"]);
/// ```
pub trait WindowAssigner<T>: Send + Sync + 'static {
    /// Adds the windows of a record; `time` is its event time, or processing time if the windows are of that.
    /// The same window twice is one.
    ///
    /// # Errors
    /// Fails the job. So does a window without an instant in it.
    fn assign(&self, record: &T, time: EventTime, windows: &mut Vec<Window>) -> OpResult;

    /// Which clock the windows go by.
    fn domain(&self) -> TimeDomain {
        TimeDomain::Event
    }

    /// Whether windows of a key that touch become one, as sessions do.
    fn merges(&self) -> bool {
        false
    }

    /// What is wrong with its settings, if anything: a mistake of the graph.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What `explain` shows.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        name.split('<').next().unwrap_or(name).rsplit("::").next().unwrap_or(name).to_owned()
    }
}

/// What is wrong with a length of time in windows, if anything; `what` is what it is the length of.
pub(super) fn check_length(what: &str, length: std::time::Duration) -> Result<(), String> {
    if length.is_zero() || !length.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("{what} of {length:?} is no whole number of milliseconds above 0"));
    }
    if i64::try_from(length.as_millis()).is_err() {
        return Err(format!("{what} of {length:?} is longer than event time reaches"));
    }
    Ok(())
}
