//! Dates as AWS's messages have them: `Thu Jan 22 01:22:02 UTC 2015`.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time in ms since the Unix epoch, in words.
#[must_use]
pub fn in_words(ms: u64) -> String {
    let seconds = ms / 1000;
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{} {} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize]
    )
}

/// Year, month and day of a day since the Unix epoch, by Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, words) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_421_889_722_000, "Thu Jan 22 01:22:02 UTC 2015"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
            (1_795_800_322_999, "Fri Nov 27 17:25:22 UTC 2026"),
        ] {
            assert_eq!(in_words(ms), words);
        }
    }
}
