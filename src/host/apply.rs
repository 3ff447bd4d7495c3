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

use super::error::{LO_IS_TAKEN, Restored};
use super::identity::on_this_host;
use super::judge::{Judgement, Standing, judge};
use super::links::{Link, lo_is_loopback};
use super::pending::{self, Pending};
use super::plan::Work;
use super::record::{self, CANDIDATE, GOOD, Record};
use super::reserve::reserve;
use super::reserved;
use super::rules::{InForce, Prepared, Snapshot};
use super::sessions::{self, Ended, Sessions};
use super::steps::{self, Before, Step};
use super::store::{ReadySet, Store};
use super::through::chains::Asked;
use super::through::{self, Wanted};
use super::{Backend, Changed, HostError, bring, iptables, left_behind, place, read};
use crate::cluster::Site;
use crate::net::Ports;

/// Both ways into the kernel have rules of ours.
pub const STALE: &str =
    "rules of an earlier apply are in force in the other back end, too, and block whom they do not know";

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
}

/// What was there, and was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What other firewalls let through because of us.
    pub openings: bool,
    /// Rules.
    pub rules: bool,
    /// Ports that were reserved because of us.
    pub reserved_ports: bool,
    /// The file that reserves them when the machine starts.
    pub file: bool,
    /// What was remembered.
    pub state: bool,
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

/// Brings rules into force. The caller holds the lock and has dealt with objections.
///
/// # Errors
/// Where nothing was changed, or what was in force before is in force again, or the error says otherwise. Once the rules
/// are in force and proved, what goes wrong is a warning.
pub fn apply(host: &Host, plan: &Plan<'_>) -> Result<Applied, HostError> {
    let mut warnings = Vec::new();
    make_ready(host, plan, &mut warnings)?;
    let before = read(plan.prepared.backend)?;
    let work = super::plan::plan(host, plan.site, plan.prepared, &before, plan.links, plan.boot)?;
    let record = record_of(host, plan);
    let files = record::files(plan.site.cluster(), &record, &plan.prepared.files);
    // Where nothing is written there is nothing that could be taken back.
    let nothing = work.is_nothing() && record::is_kept(&host.store, GOOD, &files);
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
        Ok((changed, now, judgement))
    });
    let (changed, in_force, mut judgement) = match done {
        Ok(done) => done,
        Err(error) => {
            // Where it is not certain that nothing has changed, the watchdog stays.
            if let Some(pending) = pending.filter(|_| is_harmless(&error)) {
                let _ = pending::end(&host.store, &pending.id);
                let _ = host.store.remove_folder(CANDIDATE);
            }
            if is_harmless(&error) {
                let _ = reserve(&host.store, &host.root, &ports_before);
            }
            return Err(error);
        }
    };
    warnings.extend(plan.prepared.weakness().filter(|_| changed != Changed::Nothing).map(str::to_owned));
    let (mut ended, mut kept) = (Ended::default(), true);
    let pending = pending.map(|pending| wait_from_now(host, plan, pending, &mut warnings)).transpose()?;
    if pending.is_none() {
        ended = end_sessions(&sessions, plan.cut_outgoing);
        let other = plan.prepared.backend.other();
        if let Some(error) =
            Some(other).filter(|_| work.stale).and_then(|other| Snapshot::nothing(other).restore().err())
        {
            warnings.push(format!("{STALE}: {error}"));
            (judgement.left_behind, judgement.standing) = (true, Standing::Drifted);
        }
        warnings.extend(reserve(&host.store, &host.root, &protected));
        if plan.keep {
            let done = good
                .and_then(|good| record::put(&host.store, good))
                .and_then(|()| record::reject(&host.store, &record.digest, false))
                .and_then(|()| pending::forget(&host.store));
            if let Err(error) = done {
                kept = false;
                warnings
                    .push(format!("the rules are in force, but not kept for the next start of the machine: {error}"));
            }
        }
    }
    warnings.sort();
    warnings.dedup();
    let time_left = pending.as_ref().and_then(Pending::time_left);
    if changed != work.rules {
        warnings.push(MOVED.to_owned());
    }
    Ok(Applied { changed, work, in_force, judgement, sessions, ended, pending, time_left, kept, warnings })
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
            let _ = host.store.remove_folder(CANDIDATE);
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

/// The change that waits. One that was confirmed, by somebody who did not come to an end, is brought to its end first.
fn settle(host: &Host) -> Result<Option<Pending>, HostError> {
    match pending::waiting(&host.store)? {
        Some(pending) if pending.confirmed => {
            write_down(host, &pending, record::prepare_promotion(&host.store)?)?;
            Ok(None)
        }
        other => Ok(other),
    }
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
        node: plan.site.node().map(|node| node.name().to_owned()),
        backend: plan.prepared.backend,
        config: record::absolute(plan.config),
        digest: plan.site.cluster().digest().to_owned(),
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
    files: &[(&'static str, Vec<u8>)],
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
    };
    let written = record::keep(&host.store, CANDIDATE, files)
        .and_then(|()| pending::write_before(&host.store, before.snapshot()))
        .and_then(|()| pending::begin(&host.store, host.state_dir.as_ref(), &pending));
    if let Err(error) = written {
        // Half of it takes room that others may need.
        let _ = pending::discard(&host.store);
        let _ = host.store.remove_folder(CANDIDATE);
        return Err(error);
    }
    Ok(Some(pending))
}

/// Lets the time to confirm begin once more, now that there is something to confirm.
fn wait_from_now(
    host: &Host,
    plan: &Plan<'_>,
    mut pending: Pending,
    warnings: &mut Vec<String>,
) -> Result<Pending, HostError> {
    let Some(time) = plan.confirm_within else { return Ok(pending) };
    match pending::prolong(&host.store, &mut pending, time) {
        Ok(true) => {}
        Ok(false) => return Err(HostError::TakenBack),
        Err(HostError::Lost) => return Err(HostError::Lost),
        Err(error) => warnings.push(format!("the time to confirm is counted from before the change: {error}")),
    }
    Ok(pending)
}

/// Steps 3 to 5, up to what was there before.
fn change(
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
        Ok(Changed::Nothing)
    } else {
        bring_noting(host, plan, known, waits, &mut before)
    };
    let changed = match brought {
        // Reading will tell.
        Err(HostError::Lost) => Changed::Rules,
        other => other?,
    };
    match (look(plan), before) {
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
type Seen = (InForce, Judgement);

/// What is in force now, and what it is to the file.
fn look(plan: &Plan<'_>) -> Result<Seen, HostError> {
    let now = read(plan.prepared.backend)?;
    let judgement = judge(plan.site, &now, plan.links)?;
    Ok((now, judgement))
}

/// Step 6, with what is in force and judged then.
fn open(
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
            // The guard is what counts then.
            warnings.push(error.to_string());
            look(plan)
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
) -> Result<Changed, HostError> {
    bring(plan.prepared, known, |snapshot| {
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

/// Ends the sessions into protected ports, which the rules have ended already, and those that this host opened, if that
/// was asked for.
fn end_sessions(sessions: &Sessions, outgoing: bool) -> Ended {
    let mut all = sessions.cut.clone();
    if outgoing {
        all.extend_from_slice(&sessions.outgoing);
    }
    sessions::end(&all)
}

/// Confirms the change that waits, if it is what is in force. The caller holds the lock.
///
/// # Errors
/// Where nothing waits, something else is in force, or it cannot be written down.
pub fn confirm(host: &Host, links: &[Link], cut_outgoing: bool) -> Result<(Pending, Ended, Judgement), HostError> {
    let mut pending = settle(host)?.ok_or(HostError::NothingWaits)?;
    let kept = record::kept(&host.store, CANDIDATE)?.filter(|kept| kept.record == pending.record);
    let cluster = kept.and_then(|kept| kept.load().cluster).ok_or(HostError::BadSnapshot)?;
    let node = match pending.record.node.as_deref() {
        Some(name) => Some(cluster.node(name).ok_or(HostError::BadSnapshot)?),
        None => None,
    };
    let site = node.map_or_else(|| Site::of_every_node(&cluster), |node| Site::of_node(&cluster, node));
    let site = on_this_host(site)?;
    let now = read(pending.backend)?;
    let judgement = judge(&site, &now, links)?;
    if !judgement.may_stay(pending.backend) {
        return Err(HostError::NotInForce(judgement.standing));
    }
    // All that needs room on the disk comes first. Then one write decides; whoever comes next brings to its end what is
    // left to do.
    let good = record::prepare_promotion(&host.store)?;
    pending.confirmed = true;
    pending::write(&host.store, &pending)?;
    write_down(host, &pending, good)?;
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
    host.store.remove_folder(CANDIDATE)?;
    if left_behind(pending.backend) {
        // Both judge; that one more does is no reason to take the confirmation back.
        let _ = Snapshot::nothing(pending.backend.other()).restore();
    }
    record::reject(&host.store, &pending.record.digest, false)?;
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
    let nothing = before.as_ref().is_ok_and(Snapshot::is_nothing);
    pending::take_back(&host.store, &pending, before, true)?;
    Ok(!nothing)
}

/// Takes away everything that [`apply`] brought, of either back end. The caller holds the lock.
///
/// # Errors
/// Where the kernel refuses.
pub fn remove(host: &Host, backends: &[Backend]) -> Result<Removed, HostError> {
    let (ours, now) = (record::reserved(&host.store).unwrap_or_default(), reserved::in_force().unwrap_or_default());
    let mut removed = Removed {
        openings: through::take_away(&host.root, &host.store)?,
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
    record::forget(&host.store)?;
    Ok(removed)
}
