//! Points in time, to the second, in the forms that signatures use: ISO 8601's basic format, and that of the
//! header `Date` (RFC 9110, section 5.6.7); and as AWS's messages have them.

/// Seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

const DAY_S: i64 = 24 * 60 * 60;
/// The last second of the year 9999: later ones have no form.
const LAST_S: i64 = 253_402_300_799;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Moment {
    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(ms / 1000).unwrap_or(LAST_S).min(LAST_S))
    }

    #[cfg(test)]
    pub fn ms(self) -> u64 {
        self.0 as u64 * 1000
    }

    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self((self.0 + seconds).clamp(0, LAST_S))
    }

    /// `20151120T200815Z`
    pub fn basic(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(DAY_S));
        let second = self.0.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// `Thu Jan 22 01:22:02 UTC 2015`
    pub fn in_words(self) -> String {
        let days = self.0.div_euclid(DAY_S);
        let (year, month, day) = civil(days);
        let second = self.0.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (weekday, month) = (DAYS[days.rem_euclid(7) as usize], MONTHS[(month - 1) as usize]);
        format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }

    /// Reads `20151120T200815Z`.
    pub fn from_basic(text: &str) -> Option<Self> {
        let shape = text.len() == 16 && text.is_ascii() && text.as_bytes()[8] == b'T' && text.ends_with('Z');
        if !shape {
            return None;
        }
        let date = [&text[..4], &text[4..6], &text[6..8]];
        Self::from_parts(date, [&text[9..11], &text[11..13], &text[13..15]])
    }

    /// Reads `2015-11-20T20:08:15Z`.
    pub fn from_extended(text: &str) -> Option<Self> {
        let mut basic = text.to_owned();
        basic.retain(|char| !matches!(char, '-' | ':'));
        if text.len() == 20 { Self::from_basic(&basic) } else { None }
    }

    /// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(", ")?;
        let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
        Self::from_parts([year, &format!("{month:02}"), day], [hour, minute, second])
    }

    fn from_parts(date: [&str; 3], time: [&str; 3]) -> Option<Self> {
        let number =
            |text: &str, lens: std::ops::RangeInclusive<usize>, range: std::ops::RangeInclusive<i64>| {
                let digits = lens.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|number| digits && range.contains(number))
            };
        let [year, month, day] = date;
        let (year, month, day) =
            (number(year, 4..=4, 1970..=9999)?, number(month, 2..=2, 1..=12)?, number(day, 2..=2, 1..=31)?);
        let [hour, minute, second] = time;
        let (hour, minute, second) =
            (number(hour, 2..=2, 0..=23)?, number(minute, 2..=2, 0..=59)?, number(second, 2..=2, 0..=59)?);
        let days = days(year, month, day);
        (civil(days) == (year, month, day)).then_some(Self(days * DAY_S + hour * 3600 + minute * 60 + second))
    }
}

/// Days from the Unix epoch to a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms": `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since the Unix epoch (the same source: `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_is_read() {
        let moment = Moment(784_111_777);
        assert_eq!(Moment::from_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(moment));
        assert_eq!(Moment::from_basic("19941106T084937Z"), Some(moment));
        assert_eq!(Moment::from_extended("1994-11-06T08:49:37Z"), Some(moment));
        assert_eq!(moment.basic(), "19941106T084937Z");
        assert_eq!(Moment::from_ms(u64::MAX).basic(), "99991231T235959Z");
        assert_eq!(Moment::from_basic("20240229T000000Z").unwrap().basic(), "20240229T000000Z");
        for text in
            ["20230229T000000Z", "19941306T084937Z", "19941106T084937", "+9941106T084937Z", "", "ä", "a"]
        {
            assert_eq!(Moment::from_basic(text), None, "{text}");
            assert_eq!(Moment::from_http(text), None, "{text}");
            assert_eq!(Moment::from_extended(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn moments_come_back(second in 0..=LAST_S) {
            prop_assert_eq!(Moment::from_basic(&Moment(second).basic()), Some(Moment(second)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (Moment::from_basic(&text), Moment::from_http(&text), Moment::from_extended(&text));
        }
    }

    #[test]
    fn words_are_those_of_the_calendar() {
        for (ms, words) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_421_889_722_000, "Thu Jan 22 01:22:02 UTC 2015"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
            (1_795_800_322_999, "Fri Nov 27 17:25:22 UTC 2026"),
        ] {
            assert_eq!(Moment::from_ms(ms).in_words(), words);
        }
    }
}
