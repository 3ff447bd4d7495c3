//! `ringfence watch`: what was applied last is brought back as soon as it changes, and what other routing tables make local
//! is guarded.
//!
//! It does what `hook check` does and nothing else, so whatever an apply or a remove did on purpose stays. It never ends by
//! itself: whatever goes wrong is tried again.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::check::{self, Remark};
use super::host::{HostArguments, no_right};
use super::output::log;
use crate::host::routing::Routing;
use crate::host::store::LockError;
use crate::host::watch::{Agenda, Matter, Watch};
use crate::host::{HostError, iptables, nft, through};
use crate::net::Elsewhere;
use crate::outcome::Outcome;

/// So long after something went wrong it is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Of iptables-legacy nobody tells that it has changed: so often it is looked at where there is something of ours.
const LEGACY: Duration = Duration::from_secs(5);

/// Bring back what was applied last as soon as somebody takes it away.
///
/// Runs until it is stopped, and does what `hook check` does: at once when the kernel says that the rules in force have changed;
/// soon after other rules or the routing (`ip rule`, another routing table, a VRF) have changed in a way that concerns
/// them; every five seconds where iptables-legacy has them, of which the kernel says nothing. Writes a line for each change.
/// ringfence-watch.service runs it.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    host: HostArguments,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(why) = no_right() {
        anyhow::bail!("{why}");
    }
    let mut eyes = Eyes { host: &arguments.host, seen: None, remark: Remark::default() };
    let mut agenda = Agenda::new(Instant::now());
    loop {
        let watch = Watch::start()?;
        let error = eyes.follow(watch, &mut agenda);
        log(&format!("the kernel is not heard any more: {error}"));
        thread::sleep(AGAIN);
        agenda.again(&Matter::ALL.into(), Instant::now());
    }
}

struct Eyes<'a> {
    host: &'a HostArguments,
    /// What the rules in force were last held against.
    seen: Option<Elsewhere>,
    /// What was last said, which is not said again.
    remark: Remark,
}

impl Eyes<'_> {
    /// Looks whenever there is a reason to, until the kernel is not heard any more.
    fn follow(&mut self, mut watch: Watch, agenda: &mut Agenda) -> std::io::Error {
        let mut legacy = Instant::now() + LEGACY;
        loop {
            let next = agenda.due().map_or(legacy, |due| due.min(legacy));
            match watch.hear(next.saturating_duration_since(Instant::now())) {
                Ok(heard) => agenda.note(&heard, Instant::now()),
                Err(error) => return error,
            }
            let now = Instant::now();
            if legacy <= now {
                legacy = now + LEGACY;
                if self.is_in_legacy() {
                    agenda.note(&[Matter::Hooks].into(), now);
                }
            }
            if agenda.due().is_some_and(|due| due <= now) {
                self.look(agenda);
            }
        }
    }

    fn look(&mut self, agenda: &mut Agenda) {
        let (at, began) = (agenda.take(), Instant::now());
        let done = self.look_at(&at);
        agenda.looked(&at, began, Instant::now());
        let error = match done {
            Ok(Outcome::No) => return agenda.missed(Instant::now()),
            Ok(_) => return,
            Err(error) => error,
        };
        self.seen = None;
        // Whoever holds the lock was waited for.
        let held = matches!(error.downcast_ref(), Some(HostError::Lock(LockError::Held { .. })));
        self.remark.say(format!("{error:#}"));
        agenda.again(&at, Instant::now() + if held { Duration::ZERO } else { AGAIN });
    }

    /// What changes in the routing meanwhile the rules may know or not, so it counts only once it was the same before and
    /// behind.
    fn look_at(&mut self, at: &BTreeSet<Matter>) -> anyhow::Result<Outcome> {
        let host = self.host.host();
        let rules = at.contains(&Matter::Rules) && through::is_opened(&host.store)?;
        let any = rules || at.contains(&Matter::Guard) || at.contains(&Matter::Hooks);
        if !any && !at.contains(&Matter::Routing) {
            return Ok(Outcome::Success);
        }
        let read = || Ok::<_, HostError>(Routing::read().map_err(HostError::Routing)?.elsewhere());
        let mut now = read()?;
        if !any && self.seen.as_ref() == Some(&now) {
            return Ok(Outcome::Success);
        }
        loop {
            let outcome = check::run_again(self.host, &mut self.remark)?;
            let behind = read()?;
            if behind == now {
                self.seen = Some(now);
                return Ok(outcome);
            }
            now = behind;
        }
    }

    /// Whether something of ours may be in tables of which the kernel tells nothing.
    fn is_in_legacy(&self) -> bool {
        iptables::legacy_filters()
            && (through::is_opened(&self.host.host().store).unwrap_or(true)
                || nft::glance().is_ok_and(|glance| glance.handle.is_none()))
    }
}
