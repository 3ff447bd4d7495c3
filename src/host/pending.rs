//! A change that is taken back unless somebody confirms it.
//!
//! Before the kernel's rules change, it is written down what was in force and until when there is time, and a process of
//! its own is started that nothing of the session holds any more (see `watchdog`). It brings back what was in force when
//! the time is up. Whoever confirms, rolls back or watches holds the lock, and what is written down is the truth: a watchdog
//! that finds its change confirmed, or another one in its place, does nothing.
//!
//! What is written down first counts for a run that is killed. One that comes to its end counts the time anew from there
//! (`prolong`): whoever is to look at the change needs it in force.
//!
//! The time is counted from the start of the machine, so that nobody can move it by setting the clock.

use std::fs;
use std::net::SocketAddr as IpEnd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::deeds::{Allowed, Deed};
use super::presence::present;
use super::record::{self, Record};
use super::steps::{self, Before, Step};
use super::store::{Place, Store, checksum};
use super::{Backend, HostError, Snapshot, place, watchdog};

const PENDING: &str = "pending";
const BEFORE: &str = "before";
const TAKEN_BACK: &str = "taken-back";
/// A change that was confirmed or taken back, by its own name: what a later change writes down must not hide it.
const ENDED: &str = "ended-";
/// All changes that began before.
const ALL_ENDED: &str = "all-ended";
/// How each watchdog is known in its network namespace (unix(7), abstract sockets), whatever becomes of the folder.
const PRESENCE: &str = "ringfence-watchdog-";
/// A change that its watchdog is about to take back while another run holds the lock.
const TAKING: &str = "taking-";
/// What that may take.
const TAKING_PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Tells it from others.
    pub id: String,
    /// Seconds since the machine started (proc(5), /proc/uptime).
    pub deadline: f64,
    /// Where the rules from before are to be brought back.
    pub backend: Backend,
    /// What was applied.
    pub record: Record,
    /// What was in force before was applied from this; the reserved ports go back to it.
    pub ports_before: String,
    /// Whose files outside of the state folder are written.
    pub root: PathBuf,
    /// The machine's run that it belongs to; another one has other rules.
    pub boot: String,
    /// Sessions that this host opened to hosts that are no longer admitted, by their ends.
    pub outgoing: Vec<(IpEnd, IpEnd)>,
    /// Whether they are to be ended once it is confirmed.
    pub cut_outgoing: bool,
    /// Somebody confirmed it, and what remains is to write that down.
    pub confirmed: bool,
    /// Who applied it; not noted by versions before.
    #[serde(default)]
    pub applied_by: Option<Deed>,
    /// Who confirmed it.
    #[serde(default)]
    pub confirmed_by: Option<Deed>,
    /// The allowances of the cluster file that it makes use of.
    #[serde(default)]
    pub allowed: Vec<Allowed>,
    /// The two ends of the SSH session that applied it, if one did: that it still works shows nothing of a new one.
    #[serde(default)]
    pub session: Option<(IpEnd, IpEnd)>,
}

/// That a change was taken back, for whoever asks later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// When, in UTC.
    pub when: String,
    /// Of the cluster file that was taken back.
    pub digest: String,
    /// Whether somebody asked for it; otherwise nobody confirmed it in time.
    pub asked: bool,
    /// Why it could not be, if it could not.
    pub failed: Option<String>,
}

impl Pending {
    /// Whether this process runs in the very SSH session that applied it.
    #[must_use]
    pub fn is_of_this_session(&self) -> bool {
        self.session.is_some() && self.session == session()
    }

    /// How long there is still time; `None` when it is up.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.deadline - uptime().ok()?;
        (left > 0.0).then(|| Duration::from_secs_f64(left))
    }
}

/// The SSH session of this process, by its ends.
pub(super) fn session() -> Option<(IpEnd, IpEnd)> {
    place::ssh_session().map(|ssh| (ssh.client, ssh.server))
}

/// Seconds since the machine started, times of sleep included.
///
/// # Errors
/// Where /proc is not there.
pub fn uptime() -> Result<f64, HostError> {
    let what = "/proc/uptime";
    let text = fs::read_to_string(what).map_err(|error| HostError::Place { what, error })?;
    let seconds = text.split_whitespace().next().and_then(|text| text.parse().ok());
    seconds.ok_or_else(|| HostError::Place { what, error: std::io::ErrorKind::InvalidData.into() })
}

/// The change that waits, if there is one.
///
/// # Errors
/// Where what is written down cannot be read: then nobody knows what is to be brought back.
pub fn waiting(store: &Store) -> Result<Option<Pending>, HostError> {
    let Some(bytes) = store.read(Place::Volatile, PENDING)? else { return Ok(None) };
    let pending: Pending = serde_json::from_slice(&bytes).map_err(|_| HostError::BadSnapshot)?;
    // What an earlier run of the machine left in a folder that lasts.
    let now = place::boot_id().map_err(|error| HostError::Place { what: "the boot's identity", error })?;
    Ok(Some(pending).filter(|pending| pending.boot == now))
}

/// Whether a change was confirmed or taken back; that nothing is written down about it may have other reasons.
pub(super) fn has_ended(store: &Store, id: &str) -> bool {
    let own = store.read(Place::Volatile, &format!("{ENDED}{id}"));
    let all = record::read_json::<(String, f64)>(store, Place::Volatile, ALL_ENDED).ok().flatten();
    let before = |(boot, at): (String, f64)| {
        // When it began is a part of its name.
        let begun = id.rsplit('-').next().and_then(|text| text.parse::<f64>().ok());
        place::boot_id().is_ok_and(|now| now == boot) && begun.is_some_and(|begun| begun < at * 100.0)
    };
    matches!(own, Ok(Some(_))) || all.is_some_and(before)
}

/// A name for a change that begins now.
#[must_use]
pub fn name(now: f64) -> String {
    format!("{}-{}", std::process::id(), (now * 100.0) as u64)
}

/// Whether a watchdog is alive in this network namespace whose change has not ended. That is so, too, where the folder
/// says nothing of it any more.
#[must_use]
pub fn is_watched(store: &Store) -> bool {
    present(&presence(store, "")).iter().any(|id| !has_ended(store, id))
}

pub(super) fn presence(store: &Store, id: &str) -> String {
    let folder = store.path(Place::Volatile, "");
    format!("{PRESENCE}{}-{id}", checksum(folder.as_os_str().as_encoded_bytes()))
}

/// Forgets that a change was taken back.
///
/// # Errors
/// Where the note cannot be taken away.
pub fn forget(store: &Store) -> Result<(), HostError> {
    Ok(store.remove(Place::Volatile, TAKEN_BACK)?)
}

/// What the last watchdog did.
///
/// # Errors
/// Where it cannot be read.
pub fn taken_back(store: &Store) -> Result<Option<TakenBack>, HostError> {
    record::read_json(store, Place::Volatile, TAKEN_BACK)
}

/// Notes that what could not be taken back at first is taken back now.
pub fn note_taken_back(store: &Store) {
    if let Ok(Some(note)) = taken_back(store)
        && note.failed.is_some()
    {
        // What is in force counts; a note that cannot be written does not.
        let _ = record::write_json(store, Place::Volatile, TAKEN_BACK, &TakenBack { failed: None, ..note });
    }
}

/// Writes down what is to be brought back. Also again, when it turns out to be something else.
///
/// # Errors
/// Where it cannot be written; then nothing may be changed.
pub fn write_before(store: &Store, snapshot: &Snapshot) -> Result<(), HostError> {
    Ok(store.write(Place::Volatile, BEFORE, &snapshot.to_bytes()?)?)
}

/// Writes down that a change waits, and starts its watchdog.
///
/// # Errors
/// Where one of the two fails; then nothing may be changed.
pub fn begin(store: &Store, state_dir: Option<&PathBuf>, pending: &Pending) -> Result<(), HostError> {
    // What was applied last and not taken back is good, even if it is applied once more.
    let good = record::kept(store, record::GOOD).ok().flatten().map(|kept| kept.record);
    if good.as_ref().is_none_or(|good| good.digest != pending.record.digest) {
        record::reject(store, &pending.record, good.as_ref())?;
    }
    forget(store)?;
    write(store, pending)?;
    watchdog::start(state_dir, &pending.id).inspect_err(|_| {
        // Without a watchdog nothing waits. What cannot be taken away now is seen by the next run.
        let _ = discard(store);
    })
}

/// Takes away what is written down of a change that nothing watches yet.
///
/// # Errors
/// Where it cannot be taken away.
pub fn discard(store: &Store) -> Result<(), HostError> {
    store.remove(Place::Volatile, BEFORE)?;
    Ok(store.remove(Place::Volatile, PENDING)?)
}

/// Nothing waits any more, whatever it was.
///
/// # Errors
/// Where it cannot be written down.
pub fn end_all(store: &Store) -> Result<(), HostError> {
    if let Ok(Some(pending)) = waiting(store) {
        end(store, &pending.id)?;
    }
    let boot = place::boot_id().map_err(|error| HostError::Place { what: "the boot's identity", error })?;
    record::write_json(store, Place::Volatile, ALL_ENDED, &(boot, uptime()?))?;
    store.remove(Place::Volatile, TAKEN_BACK)?;
    discard(store)
}

/// Writes a change down that waits.
///
/// # Errors
/// Where it cannot be written.
pub fn write(store: &Store, pending: &Pending) -> Result<(), HostError> {
    record::write_json(store, Place::Volatile, PENDING, pending)
}

/// Lets the time begin once more, for a change that is in force and proved by now. `false`: it was taken back before that.
/// The caller holds the lock.
///
/// INVARIANT (who was first): a watchdog that does not wait for the lock any more writes down that it is about to take the
/// change back, and then looks for more time; here more time is written down, and then it is looked for such a note. So one
/// of the two sees the other.
///
/// # Errors
/// Where it cannot be written down, and the time is counted from before the change; or it is not known what the watchdog did.
pub(super) fn prolong(store: &Store, pending: &mut Pending, time: Duration) -> Result<bool, HostError> {
    if has_ended(store, &pending.id) {
        return Ok(false);
    }
    let later = Pending { deadline: uptime()? + time.as_secs_f64(), ..pending.clone() };
    write(store, &later)?;
    *pending = later;
    let until = Instant::now() + TAKING_PATIENCE;
    loop {
        let taking = store.read(Place::Volatile, &taking(&pending.id))?.is_some();
        if has_ended(store, &pending.id) {
            // What was written here came after the end.
            store.remove(Place::Volatile, PENDING)?;
            return Ok(false);
        }
        if !taking {
            return Ok(true);
        }
        if Instant::now() > until {
            return Err(HostError::Lost);
        }
        thread::sleep(PAUSE);
    }
}

fn taking(id: &str) -> String {
    format!("{TAKING}{id}")
}

/// Says that the watchdog is about to take a change back although another run holds the lock.
pub(super) fn announce_taking(store: &Store, id: &str) {
    // The rules count; a note that cannot be written does not.
    let _ = store.write(Place::Volatile, &taking(id), b"");
}

/// That this is over, one way or the other.
pub(super) fn withdraw_taking(store: &Store, id: &str) {
    let _ = store.remove(Place::Volatile, &taking(id));
}

/// A change waits no longer.
///
/// # Errors
/// Where it cannot be written down.
pub fn end(store: &Store, id: &str) -> Result<(), HostError> {
    // One step, that needs no room on the disk, from the one to the other.
    let ended = format!("{ENDED}{id}");
    if !store.rename(Place::Volatile, PENDING, &ended)? {
        store.write(Place::Volatile, &ended, b"")?;
    }
    Ok(store.remove(Place::Volatile, BEFORE)?)
}

/// Brings back what was in force. The caller holds the lock.
///
/// # Errors
/// Where the kernel refuses, or what is to be brought back cannot be read; the change then waits still.
pub fn take_back(
    store: &Store,
    pending: &Pending,
    before: Result<Snapshot, HostError>,
    asked: bool,
) -> Result<(), HostError> {
    let ports = record::ports(&pending.ports_before);
    let before = before.map(|rules| Before { root: pending.root.clone(), ports, rules });
    let restored = before.and_then(|before| steps::give_back(store, &before, Step::Openings));
    let failed = restored.as_ref().err().map(ToString::to_string);
    let when = super::time::utc(std::time::SystemTime::now());
    let note = TakenBack { when, digest: pending.record.digest.clone(), asked, failed };
    // The rules count; a note that cannot be written does not.
    let _ = record::write_json(store, Place::Volatile, TAKEN_BACK, &note);
    match restored {
        // The guard is what it was, and blocks whoever is let through; what to do about these is told.
        Ok(()) | Err(HostError::StillOpen(_)) => {}
        Err(error) => return Err(error),
    }
    let _ = store.remove_set(record::CANDIDATE);
    // In force again is what counts.
    let _ = end(store, &pending.id);
    Ok(())
}

/// What was in force before.
///
/// # Errors
/// Where what was written down cannot be read.
pub fn before(store: &Store, pending: &Pending) -> Result<Snapshot, HostError> {
    let bytes = store.read(Place::Volatile, BEFORE)?.ok_or(HostError::BadSnapshot)?;
    Snapshot::from_bytes(pending.backend, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, deadline: f64) -> Pending {
        let record = Record {
            root: "/".into(),
            version: String::new(),
            cluster: None,
            parts: Vec::new(),
            some: Vec::new(),
            node: None,
            backend: Backend::Nft,
            config: "/etc/ringfence/cluster.toml".into(),
            digest: String::new(),
            ports: String::new(),
        };
        Pending {
            id: id.to_owned(),
            deadline,
            backend: Backend::Nft,
            record,
            ports_before: String::new(),
            root: "/".into(),
            boot: place::boot_id().unwrap(),
            outgoing: Vec::new(),
            cut_outgoing: false,
            confirmed: false,
            applied_by: None,
            confirmed_by: None,
            session: None,
            allowed: Vec::new(),
        }
    }

    #[test]
    fn time_is_given_once_more_but_not_to_what_was_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path().join("state")));
        let minute = Duration::from_secs(60);
        let mut pending = change("1-1", 1.0);
        write(&store, &pending).unwrap();
        assert!(prolong(&store, &mut pending, minute).unwrap());
        assert!(pending.time_left().is_some());
        assert_eq!(waiting(&store).unwrap(), Some(pending.clone()));

        end(&store, &pending.id).unwrap();
        assert!(!prolong(&store, &mut pending, minute).unwrap());
        assert_eq!(waiting(&store).unwrap(), None);
    }

    /// A watchdog that does without the lock is in the middle of it: what it comes to is waited for.
    #[test]
    fn a_watchdog_that_takes_back_while_time_is_given_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path().join("state")));
        let minute = Duration::from_secs(60);
        for ends in [true, false] {
            let id = format!("1-{}", 1 + u32::from(ends));
            let mut pending = change(&id, 1.0);
            write(&store, &pending).unwrap();
            announce_taking(&store, &id);
            let watchdog = {
                let (store, id) = (store.clone(), id.clone());
                // It has looked for more time before that was written down, or sees it.
                thread::spawn(move || {
                    while waiting(&store).unwrap().is_none_or(|there| there.deadline < 2.0) {
                        thread::sleep(PAUSE);
                    }
                    if ends {
                        end(&store, &id).unwrap();
                    }
                    withdraw_taking(&store, &id);
                })
            };
            assert_eq!(prolong(&store, &mut pending, minute).unwrap(), !ends);
            watchdog.join().unwrap();
            assert_eq!(waiting(&store).unwrap().is_some(), !ends);
        }
    }
}
