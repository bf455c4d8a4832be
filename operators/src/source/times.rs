//! Event times that cannot be right: beyond what event time holds, or far ahead of the clock.
//!
//! Decides; the source rejects, tells and moves its watermark.

use std::time::Duration;

use pelton_dataflow::record::Record;
use pelton_dataflow::time::EventTime;

/// The most that a time may be away from the Unix epoch: 100,000,000 days, what dates in ECMAScript
/// can hold (ECMA-262, "Time Values and Time Range"). Windows and timers have room beyond it.
const FARTHEST_MS: i64 = 100_000_000 * DAY_MS;

/// Further ahead of the clock than this is told of: a time zone that was taken for another explains
/// 26 hours at most.
const TOLD_AHEAD_MS: i64 = 2 * DAY_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The least and the greatest event time of a batch. Records without one do not count.
///
/// Kept while the records are made: to go through a batch once more for it costs as much as to make it.
pub(crate) struct TimesSeen {
    /// Less one, going round: what is no time at all comes to be the greatest.
    least_less_one: i64,
    greatest: EventTime,
}

impl Default for TimesSeen {
    fn default() -> Self {
        Self { least_less_one: i64::MAX, greatest: EventTime::MIN }
    }
}

impl TimesSeen {
    pub fn of<T>(records: &[Record<T>]) -> Self {
        let mut seen = Self::default();
        records.iter().for_each(|record| seen.note(record.time));
        seen
    }

    #[inline]
    pub fn note(&mut self, time: EventTime) {
        self.least_less_one = self.least_less_one.min(time.0.wrapping_sub(1));
        self.greatest = self.greatest.max(time);
    }

    /// [`EventTime::MIN`] if no record has a time.
    pub fn greatest(&self) -> EventTime {
        self.greatest
    }

    fn least(&self) -> EventTime {
        EventTime(self.least_less_one.wrapping_add(1))
    }
}

/// What is wrong with event times that are read at `now_ms`.
#[derive(Clone, Copy)]
pub(crate) struct TimeCheck {
    pub now_ms: i64,
    /// The limit of [`Watermarks::reject_ahead`](crate::Watermarks::reject_ahead).
    pub reject_ahead: Option<Duration>,
}

impl TimeCheck {
    /// Whether no record is malformed. What is right reaches from one time to another, so the least
    /// and the greatest tell.
    pub fn all_right(&self, seen: &TimesSeen) -> bool {
        seen.greatest == EventTime::MIN
            || (self.problem(seen.least()).is_none() && self.problem(seen.greatest).is_none())
    }

    /// Why a record of this time is malformed, if it is. No event time at all is none that is wrong.
    pub fn problem(&self, time: EventTime) -> Option<String> {
        let limit_ms = self.reject_ahead.map(|limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
        match limit_ms {
            _ if time == EventTime::MIN => None,
            _ if !(-FARTHEST_MS..=FARTHEST_MS).contains(&time.0) => Some(format!(
                "its event time, {} ms since 1970, is beyond the year 275760: check its unit",
                time.0
            )),
            Some(limit_ms) if self.ahead_ms(time) > limit_ms => Some(format!(
                "its event time, {} ms since 1970, is {} of the clock",
                time.0,
                self.ahead(time)
            )),
            _ => None,
        }
    }

    /// What to tell of a watermark that is about to follow `time`, if it is far ahead of the clock.
    pub fn warning(&self, time: EventTime) -> Option<String> {
        (self.ahead_ms(time) > TOLD_AHEAD_MS).then(|| {
            format!(
                "event time has gone to {} ms since 1970, {} of the clock: records before it are late now. Check the unit of the times and the clocks, or have such records rejected, with `.reject_ahead(...)` on the watermarks",
                time.0,
                self.ahead(time)
            )
        })
    }

    fn ahead(&self, time: EventTime) -> String {
        match self.ahead_ms(time) {
            ms if ms >= 2 * DAY_MS => format!("{} days ahead", ms / DAY_MS),
            ms => format!("{:?} ahead", Duration::from_millis(ms.max(0).unsigned_abs())),
        }
    }

    fn ahead_ms(&self, time: EventTime) -> i64 {
        time.0.saturating_sub(self.now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_767_571_200_000;
    const YEAR_9999: EventTime = EventTime(253_402_300_799_000);

    fn check(reject_ahead: Option<Duration>) -> TimeCheck {
        TimeCheck { now_ms: NOW_MS, reject_ahead }
    }

    #[test]
    fn what_event_time_cannot_hold_is_malformed() {
        for time in [i64::MAX, i64::MAX - 1, i64::MIN + 1, FARTHEST_MS + 1, -FARTHEST_MS - 1] {
            let problem = check(None).problem(EventTime(time)).unwrap();
            assert!(problem.contains(&time.to_string()) && problem.contains("check its unit"), "{problem}");
        }
        for time in [i64::MIN, -FARTHEST_MS, -1, 0, NOW_MS, YEAR_9999.0, FARTHEST_MS] {
            assert_eq!(check(None).problem(EventTime(time)), None);
        }
    }

    #[test]
    fn records_without_a_time_do_not_count() {
        let seen = |times: &[i64]| {
            TimesSeen::of(&times.iter().map(|&ms| Record::new(EventTime(ms), ())).collect::<Vec<_>>())
        };
        for none in [&[][..], &[i64::MIN], &[i64::MIN, i64::MIN]] {
            assert!(check(None).all_right(&seen(none)));
            assert_eq!(seen(none).greatest(), EventTime::MIN);
        }
        assert_eq!(seen(&[7, i64::MIN, -3]).least(), EventTime(-3));
        assert_eq!(seen(&[7, i64::MIN, -3]).greatest(), EventTime(7));
        assert!(!check(None).all_right(&seen(&[0, i64::MIN + 1])));
        assert!(!check(None).all_right(&seen(&[0, i64::MAX])));
    }

    #[test]
    fn what_is_ahead_of_the_clock_is_malformed_if_that_is_asked_for() {
        let check = check(Some(Duration::from_mins(1)));
        assert_eq!(check.problem(EventTime(NOW_MS + 60_000)), None);
        let problem = check.problem(EventTime(NOW_MS + 60_001)).unwrap();
        assert_eq!(problem, "its event time, 1767571260001 ms since 1970, is 60.001s ahead of the clock");
        assert!(check.problem(YEAR_9999).unwrap().ends_with("is 2912438 days ahead of the clock"));
    }

    #[test]
    fn a_watermark_far_ahead_of_the_clock_is_told_of() {
        for near in [EventTime::MIN, EventTime(0), EventTime(NOW_MS + TOLD_AHEAD_MS)] {
            assert_eq!(check(None).warning(near), None);
        }
        let told = check(None).warning(YEAR_9999).unwrap();
        assert!(
            told.contains("2912438 days ahead of the clock") && told.contains("`.reject_ahead(...)`"),
            "{told}"
        );
    }
}
