//! Points in time as text.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::civil;

const DAY: u64 = 86_400;

/// A time in UTC to the second, such as `2026-03-01T12:00:00Z` (RFC 3339). A time before 1970 is shown as 1970.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / DAY);
    let clock = seconds % DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

/// The seconds since 1970 of such a text; `None` for any other.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    // With years of four digits no sum overflows.
    const LENGTH: usize = "1970-01-01T00:00:00Z".len();
    let (day, clock) = text.strip_suffix('Z').filter(|_| text.len() == LENGTH)?.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let all: Vec<u64> = text.split(by).map(str::parse).collect::<Result<_, _>>().ok()?;
        all.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(day, '-')?, numbers(clock, ':')?);
    // The inverse of `civil`, as days_from_civil has it.
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let of_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
    let seconds = days.checked_sub(719_468)?.checked_mul(DAY)? + hour * 3600 + minute * 60 + second;
    // What is no date would be another one's text.
    (utc(UNIX_EPOCH + std::time::Duration::from_secs(seconds)) == text).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_as_date_prints_them() {
        // From `date -u -d @N +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
            assert_eq!(super::seconds(text), Some(seconds));
        }
        assert_eq!(utc(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        for text in [
            "",
            "1969-12-31T23:59:59Z",
            "2026-02-29T00:00:00Z",
            "2026-3-01T00:00:00Z",
            "2026-03-01T00:00:00",
            "99999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
