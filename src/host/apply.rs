//! Bringing rules into force, so that at every step it is safe to be killed.
//!
//! ```text
//!  1  reserved ports are raised        more of them than needed does no harm
//!  2  what waits is written down, its watchdog started     (with a time to confirm)
//!  3  what is in force is written down in the moment before …
//!  4  … the change, in one transaction that fails if anything changed in between
//!  5  what the kernel holds now is read and proved; if it is not what was wanted, 3 is brought back
//!  6  sessions that ended are cut, and what was applied is kept        (with a time to confirm: when confirmed)
//! ```
//!
//! Killed before 4, nothing has happened. Killed behind it, the new rules are in force, and were proved before they were
//! sent; the watchdog, if there is one, takes them back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Restored;
use super::links::Link;
use super::pending::{self, Pending};
use super::record::{self, CANDIDATE, GOOD, Record};
use super::reserved::{self, Setting};
use super::rules::{InForce, Prepared, Snapshot};
use super::sessions::{self, Ended, Sessions};
use super::store::Store;
use super::{Backend, Changed, HostError, bring, read};
use crate::cluster::Site;
use crate::net::Ports;
use crate::verify::{Families, Report, check};

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
    /// At the start of the machine: rules count more than what cannot be read or written.
    pub boot: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// How much changed.
    pub changed: Changed,
    /// What is in force now.
    pub in_force: InForce,
    /// The claims on what is in force.
    pub report: Report,
    /// The sessions that the change concerns.
    pub sessions: Sessions,
    /// Those that were ended.
    pub ended: Ended,
    /// The change waits.
    pub pending: Option<Pending>,
    /// What is not as it should be, but did not stand in the way.
    pub warnings: Vec<String>,
}

/// Brings rules into force. The caller holds the lock and has dealt with objections.
///
/// # Errors
/// Where nothing was changed, or what was in force before is in force again, or the error says otherwise.
pub fn apply(host: &Host, plan: &Plan<'_>) -> Result<Applied, HostError> {
    let backend = plan.prepared.backend;
    let mut warnings = Vec::new();
    let waiting = pending::waiting(&host.store);
    let before = match waiting {
        Ok(None) => read(backend)?,
        Err(error) if plan.boot => {
            warnings.push(error.to_string());
            read(backend)?
        }
        Ok(Some(_)) if plan.boot => {
            let before = read(backend)?;
            if !before.absent {
                return Err(HostError::Waiting);
            }
            // It waited in an earlier run of the machine: what it could be taken back to is gone.
            pending::end(&host.store)?;
            before
        }
        Ok(Some(_)) => return Err(HostError::Waiting),
        Err(error) => return Err(error),
    };
    let old = (!before.absent).then_some(&before.ruleset);
    let sessions = sessions::affected(plan.site, old, plan.links).unwrap_or_else(|error| {
        warnings.push(format!("open sessions could not be looked at: {error}"));
        Sessions::default()
    });
    let ports_before = ports_before(&host.store);
    let protected = plan.site.protected();
    warnings.extend(reserve(&host.store, &host.root, &reserved::union(&protected, &ports_before)));
    let record = record_of(plan);
    let files = record::files(plan.site.cluster(), &record, &plan.prepared.files);
    // Whether there is room for it has to be known before anything changes.
    let keeps = plan.keep && plan.confirm_within.is_none();
    let good = if keeps { record::prepare(&host.store, GOOD, &files) } else { Ok(None) };
    // At boot that is no more than a warning.
    let good = if plan.boot { Ok(good) } else { good.map(Ok) };
    let begun = good.and_then(|good| Ok((good, begin(host, plan, &record, &files, &ports_before, &before)?)));
    let (good, pending) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            let _ = reserve(&host.store, &host.root, &ports_before);
            return Err(error.before_change());
        }
    };
    let outcome = change(host, plan, &before, pending.is_some());
    let (changed, in_force, report) = match outcome {
        Ok(done) => done,
        Err(error) => {
            if pending.is_some() {
                // Nothing waits if nothing was changed; if that is not sure, the watchdog stays.
                let unchanged = !matches!(error, HostError::Lost | HostError::Mismatch(Restored::Failed(_)));
                if unchanged {
                    let _ = pending::end(&host.store);
                    let _ = host.store.remove_folder(CANDIDATE);
                }
            }
            let _ = reserve(&host.store, &host.root, &ports_before);
            return Err(error);
        }
    };
    let mut ended = Ended::default();
    if pending.is_none() {
        ended = end_sessions(&sessions, plan.cut_outgoing);
        warnings.extend(reserve(&host.store, &host.root, &protected));
        if plan.keep {
            let kept = good.and_then(|good| record::put(&host.store, good));
            let kept = kept.and_then(|()| record::reject(&host.store, None));
            if let Err(error) = kept {
                warnings.push(format!(
                    "the rules are in force, but cannot be kept for when the cluster file cannot be used: {error}"
                ));
            }
        }
    }
    warnings.dedup();
    Ok(Applied { changed, in_force, report, sessions, ended, pending, warnings })
}

fn record_of(plan: &Plan<'_>) -> Record {
    Record {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: plan.site.node().map(|node| node.name().to_owned()),
        backend: plan.prepared.backend,
        config: record::absolute(plan.config),
        digest: plan.site.cluster().digest().to_owned(),
        ports: record::text(&plan.site.protected()),
    }
}

/// The ports that were protected so far. State that cannot be read is no reason to leave a host unguarded; then the
/// reserved ports stay as they are.
fn ports_before(store: &Store) -> Ports {
    match record::kept(store, GOOD) {
        Ok(Some(kept)) => kept.record.ports(),
        Ok(None) | Err(_) => Ports::default(),
    }
}

fn begin(
    host: &Host,
    plan: &Plan<'_>,
    record: &Record,
    files: &[(&'static str, Vec<u8>)],
    ports_before: &Ports,
    before: &InForce,
) -> Result<Option<Pending>, HostError> {
    let Some(time) = plan.confirm_within else { return Ok(None) };
    let now = pending::uptime()?;
    let pending = Pending {
        id: format!("{}-{}", std::process::id(), (now * 100.0) as u64),
        deadline: now + time.as_secs_f64(),
        backend: plan.prepared.backend,
        record: record.clone(),
        ports_before: record::text(ports_before),
        cut_outgoing: plan.cut_outgoing,
        root: host.root.clone(),
    };
    let written = record::keep(&host.store, CANDIDATE, files)
        .and_then(|()| pending::write_before(&host.store, before.snapshot()))
        .and_then(|()| pending::begin(&host.store, host.state_dir.as_ref(), &pending));
    if let Err(error) = written {
        // Half of it takes room that others may need.
        let _ = pending::end(&host.store);
        let _ = host.store.remove_folder(CANDIDATE);
        return Err(error);
    }
    Ok(Some(pending))
}

/// Steps 3 to 5.
fn change(host: &Host, plan: &Plan<'_>, known: &InForce, waits: bool) -> Result<(Changed, InForce, Report), HostError> {
    let mut before: Option<Snapshot> = None;
    let brought = bring(plan.prepared, known, |snapshot| {
        if waits {
            pending::write_before(&host.store, &snapshot).map_err(HostError::before_change)?;
        }
        before = Some(snapshot);
        Ok(())
    });
    let changed = match brought {
        // Reading will tell.
        Err(HostError::Lost) => Changed::Rules,
        other => other?,
    };
    let judged = read(plan.prepared.backend).and_then(|now| {
        let report = check(&now.ruleset, plan.site, Families::Both)?;
        Ok((now, report))
    });
    match judged {
        Ok((now, report)) if is_good(plan.prepared.backend, &now, &report) => Ok((changed, now, report)),
        Ok(_) | Err(_) => {
            let restored = before.ok_or(HostError::BadSnapshot).and_then(|before| before.restore());
            Err(HostError::Mismatch(match restored {
                Ok(_) => Restored::Done,
                Err(error) => Restored::Failed(Box::new(error)),
            }))
        }
    }
}

/// In our own table everything must be proved. Among the rules of iptables stand those of others, which may not be
/// understood; what is violated is violated all the same.
fn is_good(backend: Backend, now: &InForce, report: &Report) -> bool {
    match backend {
        Backend::Nft => report.is_proved() && now.unknown.is_empty(),
        Backend::Iptables => !report.is_violated() && !now.absent,
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

/// Confirms the change that waits. The caller holds the lock.
///
/// # Errors
/// Where nothing waits, or it cannot be written down.
pub fn confirm(host: &Host, links: &[Link]) -> Result<(Pending, Ended), HostError> {
    let pending = pending::waiting(&host.store)?.ok_or(HostError::NothingWaits)?;
    let before = pending::before(&host.store, &pending).ok().and_then(|before| before.ruleset());
    record::promote(&host.store)?;
    record::reject(&host.store, None)?;
    pending::end(&host.store)?;
    let _ = reserve(&host.store, &host.root, &pending.record.ports());
    let ended = record::kept(&host.store, GOOD).ok().flatten().and_then(|kept| {
        let cluster = kept.load().cluster?;
        let node = pending.record.node.as_deref().and_then(|name| cluster.node(name));
        let site = node.map_or_else(|| Site::of_every_node(&cluster), |node| Site::of_node(&cluster, node));
        let sessions = sessions::affected(&site, before.as_ref(), links).ok()?;
        Some(end_sessions(&sessions, pending.cut_outgoing))
    });
    Ok((pending, ended.unwrap_or_default()))
}

/// Takes the change back that waits. The caller holds the lock.
///
/// # Errors
/// Where nothing waits, or the kernel refuses.
pub fn rollback(host: &Host) -> Result<Pending, HostError> {
    let pending = pending::waiting(&host.store)?.ok_or(HostError::NothingWaits)?;
    pending::take_back(&host.store, &pending)?;
    Ok(pending)
}

/// Takes away everything that [`apply`] brought, of either back end. The caller holds the lock.
///
/// # Errors
/// Where the kernel refuses.
pub fn remove(host: &Host, backends: &[Backend]) -> Result<bool, HostError> {
    let mut removed = false;
    for backend in backends {
        removed |= Snapshot::nothing(*backend).restore()? != Changed::Nothing;
    }
    pending::end(&host.store)?;
    if let Some(warning) = reserve(&host.store, &host.root, &Ports::default()).into_iter().next() {
        return Err(HostError::Warning(warning));
    }
    super::status::forget(host)?;
    record::forget(&host.store)?;
    Ok(removed)
}

/// Makes exactly these of our ports reserved ones, and leaves those of others alone. What goes wrong is a warning: rules
/// without reserved ports are better than none.
pub fn reserve(store: &Store, root: &Path, wanted: &Ports) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(error) = reserve_now(store, wanted) {
        warnings.push(format!(
            "the protected ports are not reserved, so replies to this host's own connections may get lost: {error}"
        ));
    }
    // At boot the last file counts, so ours also has what those before it say.
    let others: Vec<Setting> = if wanted.is_empty() { Vec::new() } else { reserved::other_settings(root) };
    let ports = others
        .iter()
        .filter_map(|setting| setting.ports.as_ref())
        .fold(wanted.clone(), |all, ports| if wanted.is_empty() { all } else { reserved::union(&all, ports) });
    for setting in &others {
        let place = format!("{}:{}", setting.path.display(), setting.line);
        warnings.push(match setting.after_ours {
            true => {
                format!("{place} sets the reserved ports, too, and counts at boot: add {} there", record::text(wanted))
            }
            false => format!("{place} sets the reserved ports, too; 60-ringfence.conf counts at boot, and has both"),
        });
    }
    if let Err(error) = reserved::write_file(root, &ports) {
        warnings.push(format!("the reserved ports are not kept for the next start of the machine: {error}"));
    }
    warnings
}

fn reserve_now(store: &Store, wanted: &Ports) -> Result<(), HostError> {
    let in_force = reserved::in_force()?;
    let ours = record::reserved(store)?;
    let of_others = reserved::without(&in_force, &ours);
    let new = reserved::without(wanted, &of_others);
    // First all that was and will be ours, so that nothing is left behind by a run that is killed.
    record::set_reserved(store, &reserved::union(&ours, &new))?;
    let target = reserved::union(&of_others, wanted);
    if target != in_force {
        reserved::set(&target)?;
    }
    record::set_reserved(store, &new)
}
