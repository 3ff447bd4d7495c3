//! What day it is, where somebody asks whether the last day of a client is past.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cluster::{Cluster, Day, Term, expired};
use crate::diagnostic::{Code, Diagnostic};

/// Where reproducible builds say what time it is to be. Source: <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The day that `until` of clients is held against.
#[derive(Args, Clone, Default)]
pub struct Today {
    /// The day that it is to be, such as 2027-01-31; otherwise that of SOURCE_DATE_EPOCH, where it is set.
    #[arg(long, value_name = "DATE")]
    today: Option<Day>,
    /// Whether that is all that is known: the environment is not asked then.
    #[arg(skip)]
    exactly: bool,
}

impl Today {
    /// This day, or none, whatever the environment has.
    pub fn on(day: Option<Day>) -> Self {
        Self { today: day, exactly: true }
    }

    /// The day that was given, by the command line or by the environment.
    ///
    /// # Errors
    /// Where the environment has something that is no time.
    pub fn given(&self) -> anyhow::Result<Option<Day>> {
        if self.today.is_some() || self.exactly {
            return Ok(self.today);
        }
        // Set and empty is not set, as for most of what reads it.
        let Some(text) = env::var_os(EPOCH).filter(|text| !text.is_empty()) else { return Ok(None) };
        let day = text.to_str().and_then(|text| text.parse().ok()).and_then(Day::of_seconds);
        anyhow::ensure!(
            day.is_some(),
            "{EPOCH} is no number of seconds from 1970 to the end of the year 9999: {}",
            text.to_string_lossy().escape_debug()
        );
        Ok(day)
    }

    /// That, or what the clock says.
    ///
    /// # Errors
    /// As for [`Self::given`].
    pub fn day(&self) -> anyhow::Result<Day> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        let day = self.given()?.or_else(|| clock().and_then(Day::of_seconds));
        // Before 1970 nobody would be past.
        day.ok_or_else(|| {
            anyhow::anyhow!("the clock of this host is before 1970 or behind the year 9999: give `--today`")
        })
    }

    /// Clients whose last day is past, as findings. The day is asked for only where a client has one: what has nothing to do with days does
    /// not fail because of one.
    ///
    /// # Errors
    /// As for [`Self::given`].
    pub fn expired(&self, cluster: &Cluster) -> anyhow::Result<Vec<Diagnostic>> {
        if Term::all(cluster).is_empty() {
            return Ok(Vec::new());
        }
        Ok(expired(cluster, self.day()?))
    }

    /// Clients whose last day is past, in words.
    ///
    /// # Errors
    /// As for [`Self::given`].
    pub fn past(&self, terms: &[Term]) -> anyhow::Result<Vec<String>> {
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let (today, code) = (self.day()?, Code::ClientExpired);
        let past = terms.iter().filter_map(|term| Some(format!("{code}: {} ({})", term.past(today)?, term.place)));
        Ok(past.collect())
    }
}
