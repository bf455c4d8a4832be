//! Days and minutes as the queries show them: numbers in the process, texts in JSON.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A day in UTC, counted from 1970-01-01; in JSON `2015-07-15`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// A minute of a day; in JSON `23:59`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub u16);

impl Day {
    /// The day of a time in milliseconds.
    #[must_use]
    #[inline]
    pub fn of(time_ms: i64) -> Self {
        Self(time_ms.div_euclid(DAY_MS) as i32)
    }
}

impl Minute {
    /// The minute of a time in milliseconds.
    #[must_use]
    #[inline]
    pub fn of(time_ms: i64) -> Self {
        Self((time_ms.rem_euclid(DAY_MS) / MINUTE_MS) as u16)
    }
}

/// The hour of a time in milliseconds.
#[must_use]
#[inline]
pub fn hour(time_ms: i64) -> u8 {
    (time_ms.rem_euclid(DAY_MS) / HOUR_MS) as u8
}

impl fmt::Display for Day {
    /// `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin
    /// in March, eras are 400 years.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = i64::from(self.0) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Texts are for people; between processes and in state they are their numbers.
macro_rules! text_in_json {
    ($type:ident, $number:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return Err(D::Error::custom("results are not read back"));
                }
                <$number>::deserialize(deserializer).map(Self)
            }
        }
    };
}

text_in_json!(Day, i32);
text_in_json!(Minute, u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_minutes_are_shown_as_people_write_them() {
        for (time_ms, text) in [
            (0, "1970-01-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (951_782_400_000, "2000-02-29 00:00"),
            (1_436_918_399_999, "2015-07-14 23:59"),
            (1_436_918_400_000, "2015-07-15 00:00"),
            (4_107_542_400_000, "2100-03-01 00:00"),
        ] {
            assert_eq!(format!("{} {}", Day::of(time_ms), Minute::of(time_ms)), text);
        }
        assert_eq!(hour(1_436_918_399_999), 23);
        assert_eq!(serde_json::to_string(&Day(1)).unwrap(), r#""1970-01-02""#);
    }
}
