//! `ringfence confirm` and `ringfence rollback`: what becomes of a change that waits.

use clap::Args;

use super::document;
use super::host::{StateArguments, WaitArguments, need_root, own_links};
use super::output::{self, present, say, warn};
use crate::host::apply::stale;
use crate::host::ending::{confirm, rollback};
use crate::host::{HostError, pending, watchdog};
use crate::outcome::Outcome;
use crate::report::{self, Body, Confirmation, Confirmed, LastApplied};

/// Keep the change that `ringfence apply --confirm-within` made, if it is what is in force.
#[derive(Args)]
pub struct Confirm {
    #[command(flatten)]
    host: StateArguments,
    #[command(flatten)]
    wait: WaitArguments,
    /// Also end the sessions that this host opened to hosts that are no longer admitted.
    #[arg(long)]
    cut_outgoing: bool,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
}

impl Confirm {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// Take the change back that waits to be confirmed, now: what was in force before is in force again.
#[derive(Args)]
pub struct Rollback {
    #[command(flatten)]
    host: StateArguments,
    #[command(flatten)]
    wait: WaitArguments,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
}

impl Rollback {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// Wait for the end of the time, and take the change back.
#[derive(Args)]
pub struct Watchdog {
    /// Of the change.
    id: String,
    #[command(flatten)]
    host: StateArguments,
}

pub fn run_confirm(arguments: &Confirm) -> anyhow::Result<Outcome> {
    need_root()?;
    let host = arguments.host.host();
    let lock = arguments.wait.lock(&host, "ringfence confirm")?;
    let confirmed = confirm(&host, &own_links()?, arguments.cut_outgoing);
    drop(lock);
    let document = |confirmed: Option<Confirmed>| {
        let last_applied = LastApplied::now(&host.store);
        Body::Confirm(Box::new(Confirmation { changed: confirmed.is_some(), last_applied, confirmed }))
    };
    let (pending, ended, judgement) = match confirmed {
        Err(error @ HostError::NothingWaits) => {
            let why = pending::taken_back(&host.store).ok().flatten();
            let why = why.map(|note| format!("; the last change was taken back at {}", note.when)).unwrap_or_default();
            return nothing_waits(&error, format!("{error}{why}"), || document(None));
        }
        other => other?,
    };
    output::changed();
    if pending.is_of_this_session() {
        let words = "this is the SSH session that applied the change, so it does not show that a new one gets in: try one before you close it";
        warn(words);
    }
    if judgement.left_behind {
        let words = format!("{}: `ringfence apply` tries again to take them away", stale(pending.backend));
        warn(&words);
    }
    let confirmed = Confirmed::of(pending.record.node, ended.count, &judgement);
    present(|| document(Some(confirmed.clone())), || confirmed.text())?;
    Ok(judgement.standing.outcome())
}

pub fn run_rollback(arguments: &Rollback) -> anyhow::Result<Outcome> {
    need_root()?;
    let host = arguments.host.host();
    let lock = arguments.wait.lock(&host, "ringfence rollback")?;
    let done = rollback(&host);
    drop(lock);
    let document = |rules_in_force: Option<bool>| {
        let last_applied = LastApplied::now(&host.store);
        Body::Rollback(Box::new(report::Rollback { changed: rules_in_force.is_some(), rules_in_force, last_applied }))
    };
    let rules = match done {
        Err(error @ HostError::NothingWaits) => return nothing_waits(&error, error.to_string(), || document(None)),
        done => done?,
    };
    output::changed();
    let words = match rules {
        true => "taken back: the rules from before the change are in force again\n",
        false => "taken back: before the change nothing of ringfence was in force, and nothing is now\n",
    };
    present(|| document(Some(rules)), || words.to_owned())?;
    Ok(Outcome::Success)
}

/// There was nothing to do: no change of this host, and not what was asked.
fn nothing_waits(error: &HostError, words: String, body: impl FnOnce() -> Body) -> anyhow::Result<Outcome> {
    say(&words);
    document::add_error(error.outcome().word(), words);
    present(body, String::new)?;
    Ok(error.outcome())
}

pub fn run_watchdog(arguments: &Watchdog) -> anyhow::Result<Outcome> {
    watchdog::watch(&arguments.host.host().store, &arguments.id)?;
    Ok(Outcome::Success)
}
