//! The change itself: the rules first, then what the other firewalls let through; each is looked at behind it, and given back where it
//! is not what was wanted. These are the steps 3 to 6 of [`mod@super::apply`].

use super::agreed::{Aspect, of_snapshot};
use super::apply::{Host, Plan};
use super::error::Restored;
use super::judge::{Judgement, Standing, judge};
use super::links::Link;
use super::pending;
use super::rules::{InForce, Prepared};
use super::snapshot::Snapshot;
use super::steps::{self, Before, Step};
use super::through::chains::Asked;
use super::through::{self, Wanted};
use super::{Brought, Changed, HostError, bring, read, read_behind};
use crate::cluster::Site;

/// Steps 3 to 5, up to what was there before.
pub(super) fn change(
    host: &Host,
    plan: &Plan<'_>,
    known: &InForce,
    planned: Changed,
    waits: bool,
) -> Result<(Changed, Snapshot, Seen), HostError> {
    let mut before: Option<Snapshot> = None;
    // Whoever changes it right now is seen by the look behind.
    let brought = if planned == Changed::Nothing {
        before = Some(known.snapshot().clone());
        Ok(Brought { changed: Changed::Nothing, expected: known.expected() })
    } else {
        bring_noting(host, plan, known, waits, &mut before)
    };
    let brought = match brought {
        // Reading will tell.
        Err(HostError::Lost) => Changed::Rules.into(),
        other => other?,
    };
    let changed = brought.changed;
    match (look_behind(plan, known, brought), before) {
        (Ok(seen), Some(before)) if seen.1.may_stay(plan.prepared.backend) => Ok((changed, before, seen)),
        (_, before) => {
            let restored = before.ok_or(HostError::BadSnapshot).and_then(|before| before.restore());
            Err(HostError::Mismatch(match restored {
                Ok(_) => Restored::Done,
                Err(error) => Restored::Failed(Box::new(error)),
            }))
        }
    }
}

/// What is in force, and what it is to the file.
pub(super) type Seen = (InForce, Judgement);

/// What is in force behind a change, and what it is to the file.
fn look_behind(plan: &Plan<'_>, known: &InForce, brought: Brought) -> Result<Seen, HostError> {
    let now = read_behind(plan.prepared, known, brought)?;
    let judgement = judge(plan.site, &now, plan.links)?;
    Ok((now, judgement))
}

/// What is in force now, and what it is to the file.
fn look(plan: &Plan<'_>) -> Result<Seen, HostError> {
    let now = read(plan.prepared.backend)?;
    let judgement = judge(plan.site, &now, plan.links)?;
    Ok((now, judgement))
}

/// Step 6, with what is in force and judged then.
pub(super) fn open(
    host: &Host,
    plan: &Plan<'_>,
    before: &Before,
    seen: Seen,
    warnings: &mut Vec<String>,
) -> Result<Seen, HostError> {
    let wanted = Wanted::of(plan.site);
    let asked = Asked { site: plan.site, links: plan.links, backend: plan.prepared.backend, instead: None };
    let opened = through::bring(&host.root, &host.store, &wanted, &asked).and_then(|brought| {
        let (now, judgement) = if brought { look(plan)? } else { seen };
        match judgement.around.doubts() {
            Some(why) if !wanted.is_nothing() && !plan.allow_not_through && plan.keep => {
                Err(HostError::OpenThrough(why))
            }
            _ => Ok((now, judgement)),
        }
    });
    match opened {
        Err(error) if plan.boot || !plan.keep => {
            // The guard is what counts then; that not all is as it was wanted is no success all the same.
            let (now, mut judgement) = look(plan)?;
            if !plan.boot && judgement.standing.is_ours() {
                judgement.standing = Standing::Drifted;
            }
            judgement.openings.push(error.to_string());
            warnings.push(error.to_string());
            Ok((now, judgement))
        }
        Err(error) => Err(match steps::give_back(&host.store, before, Step::Openings) {
            Ok(()) => HostError::NotOpened(Box::new(error)),
            Err(second @ HostError::StillOpen(_)) => HostError::NotOpened(Box::new(second)),
            Err(second) => HostError::Mismatch(Restored::Failed(Box::new(second))),
        }),
        done => done,
    }
}

/// The change itself; what was there in the moment before is noted.
fn bring_noting(
    host: &Host,
    plan: &Plan<'_>,
    known: &InForce,
    waits: bool,
    before: &mut Option<Snapshot>,
) -> Result<Brought, HostError> {
    // What was agreed to was agreed to for this.
    let agreed = plan.agreed.map(|_| of_snapshot(known.snapshot())).transpose()?;
    bring(plan.prepared, known, |snapshot| {
        if agreed.is_some() && agreed != Some(of_snapshot(&snapshot)?) {
            return Err(HostError::Outdated(vec![Aspect::Ours]));
        }
        if waits {
            pending::write_before(&host.store, &snapshot).map_err(HostError::before_change)?;
        }
        *before = Some(snapshot);
        Ok(())
    })
}

/// Brings rules back that somebody took away, and nothing else: what waits waits on. The caller holds the lock.
///
/// # Errors
/// Where the kernel refuses, or holds something else then.
pub fn bring_again(prepared: &Prepared, site: &Site<'_>, links: &[Link]) -> Result<Judgement, HostError> {
    bring(prepared, &read(prepared.backend)?, |_| Ok(()))?;
    let now = read(prepared.backend)?;
    let judgement = judge(site, &now, links)?;
    if judgement.may_stay(prepared.backend) { Ok(judgement) } else { Err(HostError::NotRestored) }
}
