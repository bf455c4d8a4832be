//! How figures are read and written for people: durations, bytes, counts, times.

use std::time::{Duration, UNIX_EPOCH};

/// Reads `500ms`, `10s`, `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` has no unit: write {text}s or {text}ms"));
    }
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is no duration, such as 500ms or 10s"))
}

/// As [`parse_duration`], in milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(format!("`{text}` is no whole number of milliseconds"));
    }
    u64::try_from(duration.as_millis()).map_err(|_| format!("`{text}` is too long"))
}

/// As [`parse_duration_ms`], and more than none.
pub(crate) fn parse_period_ms(text: &str) -> Result<u64, String> {
    match parse_duration_ms(text)? {
        0 => Err(format!("`{text}` is no time at all: write 500ms or 10s")),
        ms => Ok(ms),
    }
}

/// As [`parse_duration`], in microseconds.
pub(crate) fn parse_duration_us(text: &str) -> Result<u64, String> {
    let duration = parse_duration(text)?;
    if !duration.subsec_nanos().is_multiple_of(1_000) {
        return Err(format!("`{text}` is no whole number of microseconds"));
    }
    u64::try_from(duration.as_micros()).map_err(|_| format!("`{text}` is too long"))
}

/// A duration as [`parse_duration_us`] reads it: `100us`.
pub(crate) fn period_us(us: u64) -> String {
    humantime::format_duration(Duration::from_micros(us)).to_string()
}

/// A duration as [`parse_duration_ms`] reads it: `1h 30m`.
pub(crate) fn period(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// Reads `1024`, `64KiB`, `10MiB`, `2GiB`, `1TiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        "TiB" => Some(40),
        _ => None,
    };
    shift
        .zip(digits.trim_end().parse::<u64>().ok())
        .and_then(|(shift, count)| count.checked_mul(1 << shift))
        .ok_or_else(|| format!("`{text}` is no size: write a number of bytes, or such as 64KiB, 10MiB, 2GiB"))
}

/// Reads a time: RFC 3339 as `2026-01-31T12:00:00Z`, milliseconds since the Unix epoch, or a
/// duration before now as `10m`.
pub(crate) fn parse_time_ms(text: &str, now_ms: u64) -> Result<u64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    if let Ok(ago_ms) = parse_duration_ms(text) {
        return Ok(now_ms.saturating_sub(ago_ms));
    }
    let time = humantime::parse_rfc3339_weak(text).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_millis()).ok()).ok_or_else(|| {
        format!("`{text}` is no time: write 2026-01-31T12:00:00Z, 10m for ten minutes ago, or milliseconds since 1970")
    })
}

/// `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `950/s`, `1.21 M/s`.
pub(crate) fn rate(per_s: f64) -> String {
    match per_s {
        r if r >= 999_950_000.0 => format!("{:.2} G/s", r / 1e9),
        r if r >= 999_950.0 => format!("{:.2} M/s", r / 1e6),
        r if r >= 999.95 => format!("{:.1} k/s", r / 1e3),
        r => format!("{r:.0}/s"),
    }
}

/// `12 B`, `3.4 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `850 us`, `12.3 ms`, `4.50 s`, `3m 20s`.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.2} s", us as f64 / 1e6),
        _ => humantime::format_duration(Duration::from_secs(us / 1_000_000)).to_string(),
    }
}

/// As [`micros`], of milliseconds.
pub(crate) fn millis(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { micros(ms.saturating_mul(1_000)) }
}

/// `2026-01-31T12:00:00.000Z`.
pub(crate) fn time(ms: i64) -> String {
    /// The end of the year 9999, beyond which the format has no digits.
    const LAST_MS: u64 = 253_402_300_799_999;
    match u64::try_from(ms) {
        Ok(ms) if ms <= LAST_MS => {
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
        }
        _ => format!("{ms} ms"),
    }
}

/// `2026-01-31 12:00:00`, as [`time`] for where there is little room.
pub(crate) fn second(ms: i64) -> String {
    match time(ms).split_once('.') {
        Some((seconds, _)) => seconds.replace('T', " "),
        None => time(ms),
    }
}

/// `1 record`, `2 records`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_short() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [rate(0.0), rate(999.0), rate(12_340.0), rate(1_210_000.0)],
            ["0/s", "999/s", "12.3 k/s", "1.21 M/s"]
        );
        assert_eq!([bytes(12), bytes(1_024), bytes(3_565_158)], ["12 B", "1.0 KiB", "3.4 MiB"]);
        assert_eq!([micros(850), micros(12_300), micros(4_500_000)], ["850 us", "12.3 ms", "4.50 s"]);
        assert_eq!([millis(45), millis(1_500), millis(200_000)], ["45 ms", "1.50 s", "3m 20s"]);
        assert_eq!(time(1_769_860_800_000), "2026-01-31T12:00:00.000Z");
        assert_eq!(second(1_769_860_800_999), "2026-01-31 12:00:00");
        assert_eq!(time(i64::MAX), "9223372036854775807 ms");
        assert_eq!([plural(1, "record"), plural(2, "record")], ["1 record", "2 records"]);
    }

    #[test]
    fn figures_are_read() {
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("10"), Ok(10));
        for wrong in ["", "KiB", "10KB", "-1", "99999999999TiB"] {
            assert!(parse_bytes(wrong).unwrap_err().contains("10MiB"), "{wrong}");
        }
        assert_eq!(parse_duration_ms("1h 30m"), Ok(5_400_000));
        assert!(parse_duration_ms("soon").unwrap_err().contains("500ms"));
        assert!(parse_duration_ms("").unwrap_err().contains("500ms"));
        for bare in ["0", "5"] {
            let message = parse_duration_ms(bare).unwrap_err();
            assert!(message.contains(&format!("write {bare}s or {bare}ms")), "{message}");
        }
        assert!(parse_duration_ms("500us").unwrap_err().contains("whole number of milliseconds"));
        assert_eq!((parse_duration_ms("0s"), parse_period_ms("2s")), (Ok(0), Ok(2_000)));
        assert!(parse_period_ms("0ms").unwrap_err().contains("no time at all"));
        assert_eq!(period(5_400_000), "1h 30m");
    }

    #[test]
    fn times_are_read_in_three_ways() {
        assert_eq!(parse_time_ms("1970-01-01T00:00:01Z", 0), Ok(1_000));
        assert_eq!(parse_time_ms("1500", 0), Ok(1_500));
        assert_eq!(parse_time_ms("2s", 10_000), Ok(8_000));
        assert!(parse_time_ms("yesterday", 0).unwrap_err().contains("10m for ten minutes ago"));
    }
}
