//! What comes behind an apply: it is confirmed, taken back, or all of it is taken away.
//!
//! INVARIANT (one write decides): a confirmation counts from the moment in which it is written down; what is left to do then is brought
//! to its end by whoever comes next.

use super::apply::Host;
use super::deeds::{Deed, Deeds};
use super::identity::on_this_host;
use super::judge::{Judgement, Standing, judge};
use super::links::Link;
use super::pending::{self, Pending};
use super::record::{self, CANDIDATE, GOOD};
use super::reserve::reserve;
use super::sessions::{self, Ended};
use super::snapshot::Snapshot;
use super::store::ReadySet;
use super::{Backend, Changed, HostError, left_behind, read, reserved, through};
use crate::net::Ports;

/// What was there, and was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What other firewalls let through because of us.
    pub openings: bool,
    /// What of that stays, empty, in words.
    pub stays: Option<String>,
    /// Rules.
    pub rules: bool,
    /// Ports that were reserved because of us.
    pub reserved_ports: bool,
    /// The file that reserves them when the machine starts.
    pub file: bool,
    /// What was remembered.
    pub state: bool,
}

/// The change that waits. One that was confirmed, by somebody who did not come to an end, is brought to its end first.
pub(super) fn settle(host: &Host) -> Result<Option<Pending>, HostError> {
    match pending::waiting(&host.store)? {
        Some(pending) if pending.confirmed => {
            write_down(host, &pending, record::prepare_promotion(&host.store)?)?;
            Ok(None)
        }
        other => Ok(other),
    }
}

/// Confirms the change that waits, if it is what is in force. The caller holds the lock.
///
/// # Errors
/// Where nothing waits, something else is in force, or it cannot be written down.
pub fn confirm(host: &Host, links: &[Link], cut_outgoing: bool) -> Result<(Pending, Ended, Judgement), HostError> {
    let mut pending = settle(host)?.ok_or(HostError::NothingWaits)?;
    let kept = record::kept(&host.store, CANDIDATE)?.filter(|kept| kept.record == pending.record);
    let cluster = kept.and_then(|kept| kept.load().cluster).ok_or(HostError::BadSnapshot)?;
    let site = on_this_host(pending.record.site(&cluster).ok_or(HostError::BadSnapshot)?)?;
    let now = read(pending.backend)?;
    let mut judgement = judge(&site, &now, links)?;
    if !judgement.may_stay(pending.backend) {
        return Err(HostError::NotInForce(judgement.standing));
    }
    // All that needs room on the disk comes first. Then one write decides; whoever comes next brings to its end what is
    // left to do.
    let good = record::prepare_promotion(&host.store)?;
    pending.confirmed = true;
    pending.confirmed_by = Some(Deed::now());
    pending::write(&host.store, &pending)?;
    write_down(host, &pending, good)?;
    // It is confirmed whatever became of those; but they judge as long as they are there.
    if left_behind(pending.backend) {
        (judgement.left_behind, judgement.standing) = (true, Standing::Drifted);
    }
    let sessions = sessions::affected(&site, None, links).unwrap_or_default();
    let mut all = sessions.cut;
    if cut_outgoing || pending.cut_outgoing {
        let open = super::sockets::table(super::sockets::Which::Connected).unwrap_or_default();
        all.extend(open.into_iter().filter(|one| pending.outgoing.contains(&(one.local, one.remote))));
    }
    Ok((pending, sessions::end(&all), judgement))
}

/// What follows from a confirmation.
fn write_down(host: &Host, pending: &Pending, good: Option<ReadySet>) -> Result<(), HostError> {
    record::put(&host.store, good)?;
    // Who it was is worth a note, and no reason to stop halfway.
    let (applied, confirmed) = (pending.applied_by.clone(), pending.confirmed_by.clone());
    let _ = Deeds::note(&host.store, &pending.record, applied, confirmed, &pending.allowed);
    host.store.remove_set(CANDIDATE)?;
    if left_behind(pending.backend) {
        // Both judge; that one more does is no reason to take the confirmation back.
        let _ = Snapshot::nothing(pending.backend.other()).restore();
    }
    record::accept(&host.store, &pending.record)?;
    let _ = reserve(&host.store, &pending.root, &pending.record.ports());
    pending::end(&host.store, &pending.id)
}

/// Takes the change back that waits; says whether there are rules of ours then. The caller holds the lock.
///
/// # Errors
/// Where nothing waits, or the kernel refuses.
pub fn rollback(host: &Host) -> Result<bool, HostError> {
    let pending = settle(host)?.ok_or(HostError::NothingWaits)?;
    let before = pending::before(&host.store, &pending);
    // What was there before in the other way into the kernel has stayed there.
    let nothing = before.as_ref().is_ok_and(Snapshot::is_nothing) && !left_behind(pending.backend);
    pending::take_back(&host.store, &pending, before, true)?;
    Ok(!nothing)
}

/// Takes away everything that [`apply`](super::apply::apply) brought, of either back end. The caller holds the lock.
///
/// # Errors
/// Where the kernel refuses.
pub fn remove(host: &Host, backends: &[Backend]) -> Result<Removed, HostError> {
    let (ours, now) = (record::reserved(&host.store).unwrap_or_default(), reserved::in_force().unwrap_or_default());
    let (openings, stays) = through::take_away(&host.root, &host.store)?;
    let mut removed = Removed {
        openings,
        stays: stays.as_ref().map(ToString::to_string),
        rules: false,
        // Those that are in force; what is remembered of others goes with the state.
        reserved_ports: reserved::without(&ours, &now) != ours,
        file: reserved::is_there(&host.root),
        state: record::is_there(&host.store),
    };
    for backend in backends {
        removed.rules |= Snapshot::nothing(*backend).restore()? != Changed::Nothing;
    }
    pending::end_all(&host.store)?;
    let root = record::kept(&host.store, GOOD).ok().flatten().map(|kept| kept.record.root);
    if let Some(root) = root.filter(|root| *root != record::absolute(&host.root)) {
        let _ = reserved::remove_file(&root);
    }
    if let Some(warning) = reserve(&host.store, &host.root, &Ports::default()).into_iter().next() {
        return Err(HostError::Warning(warning));
    }
    super::status::forget(host)?;
    super::known::forget(&host.store)?;
    record::forget(&host.store)?;
    Ok(removed)
}
