//! What day it is, where somebody asks whether the last day of a client is past.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cluster::{Day, Term};
use crate::diagnostic::Code;

/// Where reproducible builds say what time it is to be. Source: <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The day that `until` of clients is held against.
#[derive(Args, Clone, Default)]
pub struct Today {
    /// The day that it is to be, such as 2027-01-31; otherwise that of SOURCE_DATE_EPOCH, where it is set.
    #[arg(long, value_name = "DATE")]
    today: Option<Day>,
}

impl Today {
    /// The day that was given, by the command line or by the environment.
    ///
    /// # Errors
    /// Where the environment has something that is no time.
    pub fn given(&self) -> anyhow::Result<Option<Day>> {
        if self.today.is_some() {
            return Ok(self.today);
        }
        let Some(text) = env::var_os(EPOCH) else { return Ok(None) };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        let day = seconds.and_then(Day::of_seconds);
        anyhow::ensure!(
            day.is_some(),
            "{EPOCH} is no number of seconds since 1970: {}",
            text.to_string_lossy().escape_debug()
        );
        Ok(day)
    }

    /// That, or what the clock says.
    ///
    /// # Errors
    /// As for [`Self::given`].
    pub fn day(&self) -> anyhow::Result<Day> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let day = self.given()?.or_else(|| Day::of_seconds(clock()));
        day.ok_or_else(|| anyhow::anyhow!("the clock of this host is behind the year 9999: give `--today`"))
    }

    /// Clients whose last day is past, in words.
    ///
    /// # Errors
    /// As for [`Self::given`].
    pub fn past(&self, terms: &[Term]) -> anyhow::Result<Vec<String>> {
        let (today, code) = (self.day()?, Code::ClientExpired);
        let past = terms.iter().filter_map(|term| Some(format!("{code}: {} ({})", term.past(today)?, term.place)));
        Ok(past.collect())
    }
}
