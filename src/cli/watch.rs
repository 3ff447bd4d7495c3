//! `ringfence watch`: what other routing tables make local is guarded soon after it has changed.

use std::thread;
use std::time::Duration;

use clap::Args;

use super::check;
use super::host::{HostArguments, no_right};
use super::output::log;
use crate::host::HostError;
use crate::host::routing::Routing;
use crate::host::routing::watch::Watch;
use crate::net::Elsewhere;
use crate::outcome::Outcome;

/// So long after something went wrong it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Guard addresses that `ip rule`, another routing table or a VRF makes this host's, soon after that has changed.
///
/// Runs until it is stopped, and does what `hook check` does whenever the routing has changed in a way that concerns the
/// rules. Writes a line for each change. ringfence-watch.service runs it.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    host: HostArguments,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(why) = no_right() {
        anyhow::bail!("{why}");
    }
    // What the rules in force were last held against.
    let mut seen: Option<Elsewhere> = None;
    loop {
        let mut watch = Watch::start()?;
        loop {
            match look(&arguments.host, seen.as_ref()) {
                Ok(now) => seen = Some(now),
                Err(error) => {
                    log(&format!("{error:#}"));
                    seen = None;
                    thread::sleep(AGAIN);
                    continue;
                }
            }
            if !watch.wait() {
                seen = None;
                break;
            }
        }
    }
}

/// Looks at the rules where the routing is not what it was. What changes meanwhile the rules may know or not, so it counts
/// only once it was the same before and behind.
fn look(host: &HostArguments, seen: Option<&Elsewhere>) -> anyhow::Result<Elsewhere> {
    let read = || Ok::<_, HostError>(Routing::read().map_err(HostError::Routing)?.elsewhere());
    let mut now = read()?;
    if seen == Some(&now) {
        return Ok(now);
    }
    loop {
        check::run(host)?;
        let behind = read()?;
        if behind == now {
            return Ok(now);
        }
        now = behind;
    }
}
