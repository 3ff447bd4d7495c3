//! What an apply changes on a host, step by step, and how each is given back.
//!
//! ```text
//!                    before                      bring                          give back
//!  ReservedPorts     those that are because      more of them than needed       the same ones again
//!                    of us                       does no harm
//!  Rules             a snapshot of our part      one transaction                the snapshot
//!  Openings          the cluster file that was   what the other firewalls of    what that file wants; nothing
//!                    applied last                the host lack                  where there was none
//! ```
//!
//! INVARIANT (order): steps are brought in the order of [`Step::ALL`] and given back in the other one, so that what is let through
//! never waits for a guard that is not there yet, and never outlives it.

use std::path::PathBuf;

use super::identity::on_this_host;
use super::links::links;
use super::record::{self, GOOD};
use super::reserve::reserve;
use super::store::Store;
use super::through::chains::Asked;
use super::through::{self, Wanted};
use super::{HostError, Snapshot};
use crate::net::Ports;

/// Something that an apply changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Protected ports, which the kernel takes for no connection of its own.
    ReservedPorts,
    /// The guard.
    Rules,
    /// What the other firewalls of the host let through.
    Openings,
}

/// How it was before.
#[derive(Clone, Debug)]
pub struct Before {
    /// Below which folder files are written.
    pub root: PathBuf,
    /// The ports that were reserved because of us.
    pub ports: Ports,
    /// What of ours was in force.
    pub rules: Snapshot,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 3] = [Self::ReservedPorts, Self::Rules, Self::Openings];

    fn give_back(self, store: &Store, before: &Before) -> Result<(), HostError> {
        match self {
            // Ports that stay reserved do no harm.
            Self::ReservedPorts => {
                let _ = reserve(store, &before.root, &before.ports);
                Ok(())
            }
            Self::Rules => before.rules.restore().map(drop),
            Self::Openings => close_or_reopen(store, before),
        }
    }
}

/// Gives a step back and all that come before it, the last first; each is tried, whatever became of the others.
///
/// # Errors
/// The first thing that went wrong, that of the rules before any other.
pub fn give_back(store: &Store, before: &Before, from: Step) -> Result<(), HostError> {
    let mut failed: Option<(Step, HostError)> = None;
    for step in Step::ALL.into_iter().rev().filter(|step| *step <= from) {
        if let Err(error) = step.give_back(store, before)
            && (failed.is_none() || step == Step::Rules)
        {
            failed = Some((step, error));
        }
    }
    failed.map_or(Ok(()), |(step, error)| match step {
        Step::Openings => Err(HostError::StillOpen(Box::new(error))),
        Step::ReservedPorts | Step::Rules => Err(error),
    })
}

/// What was applied last had its openings, or none.
fn close_or_reopen(store: &Store, before: &Before) -> Result<(), HostError> {
    let kept = record::kept(store, GOOD)?;
    let cluster = kept.as_ref().and_then(|kept| kept.load().cluster);
    let (Some(kept), Some(cluster)) = (&kept, &cluster) else {
        if !through::is_opened(store)? {
            return Ok(());
        }
        return through::take_away(&before.root, store).map(drop);
    };
    let site = on_this_host(kept.record.site(cluster).ok_or(HostError::BadSnapshot)?)?;
    let links = links().map_err(|error| HostError::Place { what: "this host's interfaces", error })?;
    let asked = Asked { site: &site, links: &links, backend: kept.record.backend, instead: None };
    through::bring(&before.root, store, &Wanted::of(&site), &asked).map(drop)
}
