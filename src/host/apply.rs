//! Bringing rules into force, so that at every step it is safe to be killed.
//!
//! ```text
//!  1  reserved ports are raised        more of them than needed does no harm
//!  2  what waits is written down, its watchdog started     (with a time to confirm)
//!  3  what is in force is written down in the moment before …
//!  4  … the change, in one transaction that fails if anything changed in between
//!  5  what the kernel holds now is read and proved; if it is not what was wanted, 3 is brought back
//!  6  the other firewalls of this host let through whom the guard admits, which is judged on all rules of the host; if they
//!     refuse, or that is not certain, they and 3 are given back
//!  7  sessions that ended are cut, and what was applied is kept        (with a time to confirm: when confirmed;
//!                                                                      that time begins here once more)
//! ```
//!
//! Killed before 4, nothing has happened. Killed behind it, the new rules are in force, and were proved before they were
//! sent; the watchdog, if there is one, takes them back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agreed::{Agreed, Looked};
use super::around::Around;
use super::change::{change, open};
use super::deeds::{Allowed, Deed, Deeds};
use super::early::Early;
use super::ending::settle;
use super::error::{LO_IS_TAKEN, Restored};
use super::identity::on_this_host;
use super::judge::{Judgement, Standing, beside};
use super::known::Known;
use super::links::{Link, lo_is_loopback};
use super::pending::{self, Pending};
use super::plan::Work;
use super::record::{self, CANDIDATE, GOOD, Record};
use super::reserve::reserve;
use super::reserved;
use super::rules::{InForce, Prepared};
use super::sessions::{self, Ended, Sessions};
use super::snapshot::Snapshot;
use super::steps::{self, Before, Step};
use super::store::{ReadySet, Store};
use super::{Backend, Changed, HostError, iptables, left_behind, place, read, read_again};
use crate::cluster::Site;
use crate::net::Ports;

/// What to say where the back end that is not wanted has rules of ours, too.
#[must_use]
pub fn stale(backend: Backend) -> String {
    format!(
        "other rules of ringfence stand in {}, too, and block members that they do not know",
        where_ours_are(backend.other())
    )
}

/// In words, the place of our rules in a back end.
#[must_use]
pub fn where_ours_are(backend: Backend) -> String {
    read(backend).map_or_else(|_| backend.name().to_owned(), |in_force| in_force.place())
}

/// Somebody else was at work in between.
const MOVED: &str = "what was in force changed while this ran, so that something else was written than `ringfence diff` would have shown";

/// Where things are on this host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What is remembered.
    pub store: Store,
    /// As it was named, for the watchdog.
    pub state_dir: Option<PathBuf>,
    /// What stands before every other file that is written.
    pub root: PathBuf,
}

/// What is to be applied.
#[derive(Debug)]
pub struct Plan<'a> {
    /// For whom.
    pub site: &'a Site<'a>,
    /// The proven rules.
    pub prepared: &'a Prepared,
    /// Where the cluster file is.
    pub config: &'a Path,
    /// How long to wait for a confirmation.
    pub confirm_within: Option<Duration>,
    /// Whether to end sessions that this host opened to hosts that are no longer admitted.
    pub cut_outgoing: bool,
    /// This host's interfaces.
    pub links: &'a [Link],
    /// Whether what was applied becomes what is fallen back to.
    pub keep: bool,
    /// At the start of the machine nothing that is written down may keep the rules from coming into force.
    pub boot: bool,
    /// Whether it may stay uncertain that the admitted get through the other firewalls of this host.
    pub allow_not_through: bool,
    /// On what somebody agreed to the change, where he did so before.
    pub agreed: Option<&'a Agreed>,
    /// The allowances of the cluster file that it makes use of.
    pub allowances: &'a [Allowed],
}

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// How much changed.
    pub changed: Changed,
    /// What there was to write.
    pub work: Work,
    /// What is in force now.
    pub in_force: InForce,
    /// What is in force is to the file.
    pub judgement: Judgement,
    /// The sessions that the change concerns.
    pub sessions: Sessions,
    /// Those that were ended.
    pub ended: Ended,
    /// The change waits.
    pub pending: Option<Pending>,
    /// For so long, counted from the end of the change; `None` where the time was up by then.
    pub time_left: Option<Duration>,
    /// Whether it is kept for the next start of the machine, where it was to be.
    pub kept: bool,
    /// What is not as it should be, but did not stand in the way.
    pub warnings: Vec<String>,
}

/// Brings rules into force. The caller holds the lock and has dealt with objections; it may have begun to look before.
///
/// # Errors
/// Where nothing was changed, or what was in force before is in force again, or the error says otherwise. Once the rules
/// are in force and proved, what goes wrong is a warning.
pub fn apply(host: &Host, plan: &Plan<'_>, early: Option<Early>) -> Result<Applied, HostError> {
    let mut warnings = Vec::new();
    make_ready(host, plan, &mut warnings)?;
    // What somebody agreed to is held against what is there now, whoever made it.
    let early = early.filter(|_| plan.agreed.is_none()).and_then(|early| early.look(plan.prepared.backend));
    let before = early.map_or_else(|| read_again(plan.prepared.backend, &host.store), Ok)?;
    let work = super::plan::plan(host, plan.site, plan.prepared, &before, plan.links, plan.boot)?;
    if let Some(agreed) = plan.agreed {
        let Plan { site, prepared, links, .. } = *plan;
        agreed.hold(&Looked { host, site, prepared, in_force: &before, work: &work, links })?;
    }
    let record = record_of(host, plan);
    let files = record::files(plan.site.cluster(), &record, plan.prepared.digest());
    // Where nothing is written there is nothing that could be taken back: neither from the kernel, nor from what is brought back later.
    let nothing = work.is_nothing() && (record::is_kept(&host.store, GOOD, &files) || is_as_kept(host, plan, &before));
    let plan = &Plan { confirm_within: plan.confirm_within.filter(|_| !nothing), ..*plan };
    let old = (!before.absent).then_some(&before.ruleset);
    let sessions = sessions::affected(plan.site, old, plan.links).unwrap_or_else(|error| {
        warnings.push(format!("open sessions could not be looked at: {error}"));
        Sessions::default()
    });
    let ports_before = ports_before(&host.store);
    let protected = plan.site.protected();
    warnings.extend(reserve(&host.store, &host.root, &reserved::union(&protected, &ports_before)));
    // Whether there is room for it has to be known before anything changes.
    let keeps = plan.keep && plan.confirm_within.is_none();
    let good = if keeps { record::prepare(&host.store, GOOD, &files) } else { Ok(None) };
    // At boot that is no more than a warning.
    let good = if plan.boot { Ok(good) } else { good.map(Ok) };
    let begun =
        good.and_then(|good| Ok((good, begin(host, plan, &record, &files, &ports_before, &before, &sessions)?)));
    let (good, pending) = begun.map_err(|error| {
        let _ = reserve(&host.store, &host.root, &ports_before);
        error.before_change()
    })?;
    let done = change(host, plan, &before, work.rules, pending.is_some()).and_then(|(changed, rules, seen)| {
        let before = Before { root: host.root.clone(), ports: ports_before.clone(), rules };
        let (now, judgement) = open(host, plan, &before, seen, &mut warnings)?;
        Ok((changed, before, now, judgement))
    });
    let (changed, before, in_force, mut judgement) = match done {
        Ok(done) => done,
        Err(error) => {
            // Where it is not certain that nothing has changed, the watchdog stays.
            if let Some(pending) = pending.filter(|_| is_harmless(&error)) {
                let _ = pending::end(&host.store, &pending.id);
                let _ = host.store.remove_set(CANDIDATE);
            }
            if is_harmless(&error) {
                let _ = reserve(&host.store, &host.root, &ports_before);
            }
            return Err(error);
        }
    };
    warnings.extend(plan.prepared.weakness().filter(|_| changed != Changed::Nothing).map(str::to_owned));
    let (mut ended, mut kept) = (Ended::default(), true);
    let pending = pending.map(|pending| wait_from_now(host, plan, &before, pending, &mut warnings)).transpose()?;
    if pending.is_none() {
        ended = end_sessions(&sessions, plan.cut_outgoing);
        let other = plan.prepared.backend.other();
        if work.stale.is_some() {
            let failed = Snapshot::nothing(other).restore().err();
            if failed.is_some() || left_behind(plan.prepared.backend) {
                let why = failed.map(|error| format!(": {error}")).unwrap_or_default();
                warnings.push(format!("{}{why}", stale(plan.prepared.backend)));
                (judgement.left_behind, judgement.standing) = (true, Standing::Drifted);
            }
        }
        warnings.extend(reserve(&host.store, &host.root, &protected));
        if plan.keep {
            let done = good
                .and_then(|good| keep(&host.store, &record, good, plan.allowances))
                .and_then(|()| record::accept(&host.store, &record))
                .and_then(|()| pending::forget(&host.store));
            if let Err(error) = done {
                kept = false;
                warnings
                    .push(format!("the rules are in force, but not kept for the next start of the machine: {error}"));
            }
        }
    }
    if pending.is_some() && work.stale.is_some() && judgement.standing.is_ours() {
        judgement.once_confirmed = Some(judgement.standing);
        judgement.standing = beside(plan.site, plan.prepared.backend, judgement.standing);
        // The answers of the whole host were without those that stay.
        if judgement.standing != Standing::Enforced {
            judgement.around = Around::Nothing;
        }
    }
    Known::note(&host.store, &in_force);
    warnings.sort();
    warnings.dedup();
    let time_left = pending.as_ref().and_then(Pending::time_left);
    if changed != work.rules {
        warnings.push(MOVED.to_owned());
    }
    Ok(Applied { changed, work, in_force, judgement, sessions, ended, pending, time_left, kept, warnings })
}

/// Whether what was applied last is in force as well, so that the file says nothing else in other words: a remark, a moved line.
/// What cannot be read or judged is something else.
fn is_as_kept(host: &Host, plan: &Plan<'_>, in_force: &InForce) -> bool {
    let Ok(Some(kept)) = record::kept(&host.store, GOOD) else { return false };
    let record = &kept.record;
    if record.backend != plan.prepared.backend || record.node != plan.site.node_names() {
        return false;
    }
    let Some(cluster) = kept.load().cluster else { return false };
    let Some(site) = record.site(&cluster).and_then(|site| on_this_host(site).ok()) else { return false };
    let work = Prepared::new(&site, record.backend)
        .and_then(|prepared| super::plan::plan(host, &site, &prepared, in_force, plan.links, plan.boot));
    work.is_ok_and(|work| work.is_nothing())
}

/// Puts what was applied into its place, and notes who applied it; where it is there already, whoever did it first did.
fn keep(store: &Store, record: &Record, good: Option<ReadySet>, allowed: &[Allowed]) -> Result<(), HostError> {
    // Who it was is worth a note, and no reason to have done nothing.
    if good.is_some() {
        record::put(store, good)?;
        let _ = Deeds::note(store, record, Some(Deed::now()), None, allowed);
    } else {
        let _ = Deeds::allow(store, record, allowed);
    }
    Ok(())
}

/// Deals with a change that waits, and with what else may stand in the way.
fn make_ready(host: &Host, plan: &Plan<'_>, warnings: &mut Vec<String>) -> Result<(), HostError> {
    match settle(host) {
        // Whatever became of what was written down of it.
        Ok(None) if !plan.boot && pending::is_watched(&host.store) => return Err(HostError::Waiting),
        Ok(None) => {}
        Ok(Some(_)) if !plan.boot => return Err(HostError::Waiting),
        // Its rules are gone, or it would have been left alone.
        Ok(Some(pending)) => {
            warnings.push("a change was waiting to be confirmed, and is not used".to_owned());
            let _ = pending::end(&host.store, &pending.id);
            let _ = host.store.remove_set(CANDIDATE);
        }
        Err(error) if plan.boot => warnings.push(error.to_string()),
        Err(error) => return Err(error),
    }
    if plan.prepared.names_loopback() && !lo_is_loopback() {
        // Closed but for one interface is better than open.
        if !plan.boot {
            return Err(HostError::Loopback);
        }
        warnings.push(LO_IS_TAKEN.to_owned());
    }
    Ok(())
}

/// Whether a change that went wrong left everything as it was, for certain.
fn is_harmless(error: &HostError) -> bool {
    !matches!(
        error,
        HostError::Lost
            | HostError::NotRestored
            | HostError::Mismatch(Restored::Failed(_))
            | HostError::Iptables(iptables::Error::NotRestored { .. })
    )
}

fn record_of(host: &Host, plan: &Plan<'_>) -> Record {
    Record {
        root: record::absolute(&host.root),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: Some(plan.site.cluster().name().to_owned()),
        node: plan.site.node_names(),
        backend: plan.prepared.backend,
        config: record::absolute(plan.config),
        digest: plan.site.cluster().digest().to_owned(),
        parts: record::digests_of_parts(plan.site.cluster()),
        some: record::some_nodes(plan.site.cluster()),
        ports: record::text(&plan.site.protected()),
    }
}

/// The ports that rules in force may protect. State that cannot be read is no reason to leave a host unguarded, nor to
/// take a port out of the reserved ones.
fn ports_before(store: &Store) -> Ports {
    let ours = record::reserved(store);
    match (record::kept(store, GOOD), ours) {
        (Ok(kept), Ok(ours)) => reserved::union(&kept.map(|kept| kept.record.ports()).unwrap_or_default(), &ours),
        (Err(_), Ok(ours)) => ours,
        (_, Err(_)) => reserved::in_force().unwrap_or_default(),
    }
}

fn begin(
    host: &Host,
    plan: &Plan<'_>,
    record: &Record,
    files: &[record::Written<'_>],
    ports_before: &Ports,
    before: &InForce,
    sessions: &Sessions,
) -> Result<Option<Pending>, HostError> {
    let Some(time) = plan.confirm_within else { return Ok(None) };
    let now = pending::uptime()?;
    let outgoing = sessions.outgoing.iter();
    let pending = Pending {
        id: pending::name(now),
        deadline: now + time.as_secs_f64(),
        backend: plan.prepared.backend,
        record: record.clone(),
        ports_before: record::text(ports_before),
        root: record::absolute(&host.root),
        boot: place::boot_id().map_err(|error| HostError::Place { what: "the boot's identity", error })?,
        outgoing: outgoing.map(|session| (session.local, session.remote)).collect(),
        cut_outgoing: plan.cut_outgoing,
        confirmed: false,
        applied_by: Some(Deed::now()),
        allowed: plan.allowances.to_vec(),
        confirmed_by: None,
        session: pending::session(),
    };
    let written = record::keep(&host.store, CANDIDATE, files)
        .and_then(|()| pending::write_before(&host.store, before.snapshot()))
        .and_then(|()| pending::begin(&host.store, host.state_dir.as_ref(), &pending));
    if let Err(error) = written {
        // Half of it takes room that others may need.
        let _ = pending::discard(&host.store);
        let _ = host.store.remove_set(CANDIDATE);
        return Err(error);
    }
    Ok(Some(pending))
}

/// Lets the time to confirm begin once more, now that there is something to confirm.
fn wait_from_now(
    host: &Host,
    plan: &Plan<'_>,
    before: &Before,
    mut pending: Pending,
    warnings: &mut Vec<String>,
) -> Result<Pending, HostError> {
    let Some(time) = plan.confirm_within else { return Ok(pending) };
    match pending::prolong(&host.store, &mut pending, time) {
        Ok(true) => {}
        Ok(false) => return Err(taken_back_for_good(host, before)),
        Err(HostError::Lost) => return Err(HostError::Lost),
        Err(error) => warnings.push(format!("the time to confirm is counted from before the change: {error}")),
    }
    Ok(pending)
}

/// What this run went on to bring while its watchdog took the change back, and after it, is given back, too: another firewall
/// that is slow may have been told of the admitted when nothing guards them any more.
fn taken_back_for_good(host: &Host, before: &Before) -> HostError {
    match steps::give_back(&host.store, before, Step::Openings) {
        Ok(()) => HostError::TakenBack,
        Err(second @ HostError::StillOpen(_)) => second,
        Err(second) => HostError::Mismatch(Restored::Failed(Box::new(second))),
    }
}

/// Ends the sessions into protected ports, which the rules have ended already, and those that this host opened, if that
/// was asked for.
fn end_sessions(sessions: &Sessions, outgoing: bool) -> Ended {
    let mut all = sessions.cut.clone();
    if outgoing {
        all.extend_from_slice(&sessions.outgoing);
    }
    sessions::end(&all)
}
