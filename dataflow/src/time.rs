//! Time: event times, epochs, and the `Moment` that timely's frontier carries for both.
//!
//! Owns the arithmetic of time. Clocks are in `clock`; how a frontier of moments is read is in
//! `lower`.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::order::PartialOrder;
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

/// A point on the event-time axis, in milliseconds since the Unix epoch.
///
/// Serialized as that plain number. Arithmetic saturates, so [`EventTime::MIN`] (nothing is known
/// yet) and [`EventTime::END`] (nothing more will come) absorb what is added to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every record: the watermark of an input of which nothing is known.
    pub const MIN: Self = Self(i64::MIN);
    /// After every record: the watermark of an input that has ended.
    pub const END: Self = Self(i64::MAX);

    /// The last time before [`EventTime::END`]: how far a watermark gets while something may still come.
    pub const BEFORE_END: Self = Self(Self::END.0 - 1);

    /// The event time `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    fn is_bound(self) -> bool {
        self == Self::MIN || self == Self::END
    }
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for EventTime {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        if self.is_bound() { self } else { Self(self.0.saturating_add(whole_millis(duration))) }
    }
}

impl Sub<Duration> for EventTime {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        if self.is_bound() { self } else { Self(self.0.saturating_sub(whole_millis(duration))) }
    }
}

impl Sub for EventTime {
    type Output = Duration;
    /// The same as [`EventTime::since`]: zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::END => f.write_str("end"),
            Self(ms) => write!(f, "{ms}ms"),
        }
    }
}

/// The number of a checkpoint: epoch *e* holds what came between the barriers *e-1* and *e*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Timely's timestamp: an epoch and a watermark, ordered coordinate by coordinate.
///
/// The least epoch of a frontier of moments is barrier alignment, its least watermark is the
/// event-time watermark; the two move independently of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// The epoch that what is stamped so belongs to.
    pub epoch: Epoch,
    /// The sender's watermark when it sent.
    pub watermark: EventTime,
}

impl Moment {
    /// The moment of `epoch` and `watermark`.
    #[must_use]
    pub const fn new(epoch: Epoch, watermark: EventTime) -> Self {
        Self { epoch, watermark }
    }

    /// The greatest moment that is less or equal to each of `moments`: their least epoch and
    /// their least watermark. `None` if there are none.
    pub fn meet<'a>(moments: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        moments
            .into_iter()
            .copied()
            .reduce(|a, b| Self::new(a.epoch.min(b.epoch), a.watermark.min(b.watermark)))
    }
}

impl PartialOrder for Moment {
    fn less_equal(&self, other: &Self) -> bool {
        self.epoch <= other.epoch && self.watermark <= other.watermark
    }
}

impl Timestamp for Moment {
    type Summary = ();
    fn minimum() -> Self {
        Self::new(Epoch(0), EventTime::MIN)
    }
}

/// No path through the graph changes a moment.
impl PathSummary<Moment> for () {
    fn results_in(&self, moment: &Moment) -> Option<Moment> {
        Some(*moment)
    }
    fn followed_by(&self, (): &()) -> Option<()> {
        Some(())
    }
}

impl Refines<()> for Moment {
    fn to_inner((): ()) -> Self {
        Self::minimum()
    }
    fn to_outer(self) {}
    fn summarize((): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_absorb_and_differences_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(EventTime(500) + second, EventTime(1500));
        assert_eq!(EventTime(500) - second, EventTime(-500));
        assert_eq!(EventTime::END - second, EventTime::END);
        assert_eq!(EventTime::MIN + second, EventTime::MIN);
        assert_eq!(EventTime(5) - EventTime(9), Duration::ZERO);
        assert_eq!(EventTime::END.since(EventTime(-1)), Duration::from_millis(i64::MAX as u64));
    }

    #[test]
    fn the_meet_takes_each_coordinate_alone() {
        let ahead = Moment::new(Epoch(1), EventTime(20));
        let behind = Moment::new(Epoch(0), EventTime(30));
        assert!(!ahead.less_equal(&behind) && !behind.less_equal(&ahead));
        assert_eq!(Moment::meet([&ahead, &behind]), Some(Moment::new(Epoch(0), EventTime(20))));
        assert_eq!(Moment::meet([]), None);
    }
}
