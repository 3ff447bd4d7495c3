//! `ringfence confirm` and `ringfence rollback`: what becomes of a change that waits.

use clap::Args;

use super::host::{StateArguments, WaitArguments, need_root, own_links};
use super::output::{print, say};
use crate::host::ending::{confirm, rollback};
use crate::host::{HostError, pending, watchdog};
use crate::outcome::Outcome;
use crate::report::Confirmed;

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
}

/// Take the change back that waits to be confirmed, now: what was in force before is in force again.
#[derive(Args)]
pub struct Rollback {
    #[command(flatten)]
    host: StateArguments,
    #[command(flatten)]
    wait: WaitArguments,
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
    let (pending, ended, judgement) = match confirmed {
        Err(error @ HostError::NothingWaits) => {
            let why = pending::taken_back(&host.store).ok().flatten();
            let why = why.map(|note| format!("; the last change was taken back at {}", note.when)).unwrap_or_default();
            say(&format!("{error}{why}"));
            return Ok(error.outcome());
        }
        other => other?,
    };
    print(&Confirmed::of(pending.record.node, ended.count, &judgement).text())?;
    Ok(judgement.standing.outcome())
}

pub fn run_rollback(arguments: &Rollback) -> anyhow::Result<Outcome> {
    need_root()?;
    let host = arguments.host.host();
    let lock = arguments.wait.lock(&host, "ringfence rollback")?;
    let done = rollback(&host);
    drop(lock);
    match done {
        Err(error @ HostError::NothingWaits) => {
            say(&error.to_string());
            Ok(error.outcome())
        }
        done => {
            print(if done? {
                "taken back: what was in force before is in force again\n"
            } else {
                "taken back: nothing of ringfence was in force before, and nothing is now\n"
            })?;
            Ok(Outcome::Success)
        }
    }
}

pub fn run_watchdog(arguments: &Watchdog) -> anyhow::Result<Outcome> {
    watchdog::watch(&arguments.host.host().store, &arguments.id)?;
    Ok(Outcome::Success)
}
