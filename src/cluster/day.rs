//! Days, as a cluster file and a command line name them. What day it is nobody asks here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::model::{Client, Cluster};
use crate::diagnostic::{Code, Diagnostic};

/// A day of the years 1970 to 9999, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

/// A text that is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is written like 2027-01-31")]
pub struct NoDay;

const SECONDS: u64 = 86_400;

impl Day {
    /// A day of the calendar; `None` where there is no such day.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        let fits = (1970..=9999).contains(&year) && (1..=last).contains(&day);
        fits.then_some(Self { year, month, day })
    }

    /// The day of a point in time, in seconds since the beginning of 1970; `None` behind the year 9999.
    #[must_use]
    pub fn of_seconds(seconds: u64) -> Option<Self> {
        let (year, month, day) = civil(seconds / SECONDS);
        Self::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)
    }
}

/// Year, month and day of a day, counted from the beginning of 1970. After Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", civil_from_days: years begin in March there, so that the leap day is the last one.
#[must_use]
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let number = |range: std::ops::Range<usize>| -> Option<u16> {
            let digits = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let of = || Self::new(number(0..4)?, number(5..7)?.try_into().ok()?, number(8..10)?.try_into().ok()?);
        of().filter(|_| dashes).ok_or(NoDay)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl TryFrom<String> for Day {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        text.parse()
    }
}

/// A client who is wanted until a day, that day included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Its name.
    pub client: String,
    /// Where the cluster file names it, as [`Cluster::place`].
    pub place: String,
    /// Its last day.
    pub until: Day,
}

impl Term {
    /// Those of all clients who have one.
    #[must_use]
    pub fn all(cluster: &Cluster) -> Vec<Self> {
        let of = |client: &Client| {
            let place = cluster.place(client.span());
            Some(Self { client: client.name().to_owned(), place, until: client.until()? })
        };
        cluster.clients().iter().filter_map(of).collect()
    }

    /// What is wrong with it on a day: nothing until its last one is past.
    #[must_use]
    pub fn past(&self, today: Day) -> Option<String> {
        let Self { client, until, .. } = self;
        (*until < today)
            .then(|| format!("the client `{client}` was wanted until {until}, which is past, and is still admitted"))
    }
}

/// Clients whose last day is past. Nothing closes by itself: rules that change by the clock would be others than those that were proved.
#[must_use]
pub fn expired(cluster: &Cluster, today: Day) -> Vec<Diagnostic> {
    let terms = Term::all(cluster);
    let mut clients = cluster.clients().iter().filter(|client| client.until().is_some());
    let finding = |term: &Term| {
        let span = clients.next()?.span();
        let help = "take it out of the file, or give it another day, and apply the rules";
        Some(Diagnostic::new(Code::ClientExpired, span, term.past(today)?).help(help))
    };
    terms.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_one_spelling() {
        for text in ["1970-01-01", "2000-02-29", "2027-01-31", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().map(|day| day.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "2027-1-31",
            "2027-01-32",
            "2027-02-29",
            "1900-02-29",
            "2100-02-29",
            "2027-00-01",
            "2027-13-01",
            "2027/01/31",
            "+027-01-31",
            "2027-01-31T",
            "27-01-31",
            "1969-12-31",
            "２０27-01",
            "2027-01-3é",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert!(day("2026-12-31") < day("2027-01-01") && day("2027-01-31") < day("2027-02-01"));
    }

    #[test]
    fn days_of_points_in_time() {
        for (seconds, text) in [(0, "1970-01-01"), (951_782_399, "2000-02-28"), (951_782_400, "2000-02-29")] {
            assert_eq!(Day::of_seconds(seconds).unwrap().to_string(), text);
        }
        assert_eq!(Day::of_seconds(u64::MAX), None);
    }
}
