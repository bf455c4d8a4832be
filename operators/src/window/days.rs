//! Days of time zones, which are 23 or 25 hours long where clocks are changed.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan, Zoned};
use pelton_dataflow::time::EventTime;

use super::aligned::Span;

/// The time zone of a name of the IANA database.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| format!("there is no time zone `{name}`: give a name as in `Europe/Berlin`"))
}

/// The day that `time` is in, where days begin `offset` ms after midnight; `None` if it is beyond the calendar, which ends
/// with the year 9999.
pub(super) fn day_of(zone: &TimeZone, time: EventTime, offset: i64) -> Option<Span> {
    let at = Timestamp::from_millisecond(time.0.checked_sub(offset)?).ok()?.to_zoned(zone.clone());
    let mut start = at.start_of_day().ok()?;
    let bound = |zoned: &Zoned| zoned.timestamp().as_millisecond().checked_add(offset).map(EventTime);
    loop {
        // A zone may leave a whole day out: then the next one there is begins where this one ends.
        let end = start.date().checked_add(1.day()).ok()?.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
        let day = Span { start: bound(&start)?, end: bound(&end)? };
        // A clock that is set back just behind midnight shows the day before once more: the new one has begun all the same.
        if time < day.end {
            return Some(day);
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The day of a moment, as its first instant in UTC and its length in hours.
    fn day(name: &str, moment: &str, offset_hours: i64) -> (String, f64) {
        let time: Timestamp = moment.parse().unwrap();
        let offset = offset_hours * 3_600_000;
        let day = day_of(&zone(name).unwrap(), EventTime(time.as_millisecond()), offset).unwrap();
        assert!(day.contains(EventTime(time.as_millisecond())), "{name} {moment}");
        // Its last instant is in the same day, the one after it in the next.
        let again = |ms: i64| day_of(&zone(name).unwrap(), EventTime(ms), offset).unwrap();
        assert_eq!((again(day.end.0 - 1), again(day.start.0), again(day.end.0).start), (day, day, day.end));
        assert_eq!(again(day.start.0 - 1).end, day.start);
        let start = Timestamp::from_millisecond(day.start.0).unwrap().to_string();
        (start, (day.end.0 - day.start.0) as f64 / 3_600_000.0)
    }

    #[test]
    fn days_are_as_long_as_the_clocks_say() {
        #[rustfmt::skip]
        let table = [
            ("UTC", "2026-03-29T12:00:00Z", 0, "2026-03-29T00:00:00Z", 24.0),
            ("Europe/Berlin", "2026-03-28T23:30:00Z", 0, "2026-03-28T23:00:00Z", 23.0),
            ("Europe/Berlin", "2026-03-29T21:59:59Z", 0, "2026-03-28T23:00:00Z", 23.0),
            ("Europe/Berlin", "2026-03-29T22:00:00Z", 0, "2026-03-29T22:00:00Z", 24.0),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", 0, "2026-10-24T22:00:00Z", 25.0),
            ("Europe/Berlin", "1969-12-31T12:00:00Z", 0, "1969-12-30T23:00:00Z", 24.0),
            ("America/New_York", "2026-03-08T12:00:00Z", 0, "2026-03-08T05:00:00Z", 23.0),
            ("America/New_York", "2026-11-01T12:00:00Z", 0, "2026-11-01T04:00:00Z", 25.0),
            // Half an hour of summer time.
            ("Australia/Lord_Howe", "2026-10-03T20:00:00Z", 0, "2026-10-03T13:30:00Z", 23.5),
            // Clocks are put forward at midnight: the day begins at one o'clock.
            ("America/Sao_Paulo", "2018-11-04T12:00:00Z", 0, "2018-11-04T03:00:00Z", 23.0),
            // And back at midnight: the hour before it comes twice.
            ("America/Sao_Paulo", "2018-02-17T12:00:00Z", 0, "2018-02-17T02:00:00Z", 25.0),
            ("Asia/Kolkata", "2026-01-01T00:00:00Z", 0, "2025-12-31T18:30:00Z", 24.0),
            // Back a minute behind midnight: the last hour of the day before is shown again, in the new day.
            ("America/St_Johns", "2010-11-07T02:29:59Z", 0, "2010-11-06T02:30:00Z", 24.0),
            ("America/St_Johns", "2010-11-07T02:30:00Z", 0, "2010-11-07T02:30:00Z", 25.0),
            ("America/St_Johns", "2010-11-07T03:00:00Z", 0, "2010-11-07T02:30:00Z", 25.0),
            ("America/St_Johns", "2010-11-07T03:30:00Z", 0, "2010-11-07T02:30:00Z", 25.0),
            // Samoa left out the 30th of December 2011.
            ("Pacific/Apia", "2011-12-30T09:00:00Z", 0, "2011-12-29T10:00:00Z", 24.0),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", 0, "2011-12-30T10:00:00Z", 24.0),
            // Days that begin at four.
            ("Europe/Berlin", "2026-03-29T01:30:00Z", 4, "2026-03-28T03:00:00Z", 24.0),
        ];
        for (name, moment, offset, start, hours) in table {
            assert_eq!(day(name, moment, offset), (start.to_owned(), hours), "{name} {moment}");
        }
    }

    /// Wherever clocks were ever changed, one day begins where the other ends.
    #[test]
    fn each_moment_is_in_its_day_where_clocks_are_changed() {
        for name in TimeZoneDatabase::bundled().available() {
            let zone = zone(name.as_str()).unwrap();
            let start = Timestamp::from_second(-2_000_000_000).unwrap();
            for change in
                zone.following(start).take_while(|change| change.timestamp().as_second() < 2_000_000_000)
            {
                let at = EventTime(change.timestamp().as_millisecond() + 30 * 60 * 1_000);
                let day = day_of(&zone, at, 0).unwrap();
                assert!(day.contains(at), "{name} {}", change.timestamp());
                assert_eq!(day_of(&zone, EventTime(day.end.0 - 1), 0), Some(day), "{name}");
            }
        }
    }

    #[test]
    fn what_is_beyond_the_calendar_has_no_day() {
        let utc = TimeZone::UTC;
        for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            assert_eq!(day_of(&utc, EventTime(time), 0), None);
            assert_eq!(day_of(&utc, EventTime(time), time.signum() * -i64::MAX), None);
        }
        assert!(zone("Europe/Atlantis").unwrap_err().contains("`Europe/Atlantis`"));
    }
}
