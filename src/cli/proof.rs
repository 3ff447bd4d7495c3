//! What is compiled for a site, proved; and what is said where that failed.

use thiserror::Error;

use crate::cluster::Site;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Ruleset;
use crate::prove::{self, NotEmitted, Text};
use crate::report::Proof;
use crate::verify::Families;

/// What was compiled does not do what the cluster file says.
#[derive(Debug, Error)]
#[error(
    "what was compiled does not do what the cluster file says; nothing was written. This is a mistake in ringfence; please \
     report it with the cluster file and this:\n{0}"
)]
pub struct NotProved(String);

/// The error with everything that was found, for whoever has to look into it.
pub fn explained(error: NotEmitted, site: &Site<'_>) -> anyhow::Error {
    match error {
        NotEmitted::NotProved { report, ruleset } => {
            NotProved(Proof::of(&report, site, &ruleset, Families::Both, &[]).text()).into()
        }
        NotEmitted::Unwritable(_) | NotEmitted::Unreadable(_) | NotEmitted::TooLarge(_) | NotEmitted::NotOpened(_) => {
            error.into()
        }
    }
}

/// The rules of a site, proved, and as they are read back.
pub fn compiled(site: &Site<'_>) -> anyhow::Result<(String, Ruleset)> {
    let emitted = prove::nft(site).map_err(|error| explained(error, site))?;
    let text = emitted.text(Text::Nft).unwrap_or_default().to_owned();
    Ok((text, emitted.verified().ruleset().clone()))
}

/// Whether a header says something else of who is admitted than is so. Another input may mean the same.
pub fn lies(untrue: &[Diagnostic]) -> bool {
    untrue.iter().any(|finding| finding.code == Code::HeaderAdmits)
}
