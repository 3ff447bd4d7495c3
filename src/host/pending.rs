//! A change that is taken back unless somebody confirms it.
//!
//! Before the kernel's rules change, it is written down what was in force and until when there is time, and a process of
//! its own is started that nothing of the session holds any more. It brings back what was in force when the time is up.
//! Whoever confirms, rolls back or watches holds the lock, and what is written down is the truth: a watchdog that finds
//! its change confirmed, or another one in its place, does nothing.
//!
//! The time is counted from the start of the machine, so that nobody can move it by setting the clock.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr as IpEnd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

use super::presence::{Presence, present};
use super::record::{self, Record};
use super::store::{Place, Store, checksum};
use super::{Backend, HostError, Snapshot, apply, place};

const PENDING: &str = "pending";
const BEFORE: &str = "before";
const TAKEN_BACK: &str = "taken-back";
/// A change that was confirmed or taken back, by its own name: what a later change writes down must not hide it.
const ENDED: &str = "ended-";
/// All changes that began before.
const ALL_ENDED: &str = "all-ended";
/// How each watchdog is known in its network namespace (unix(7), abstract sockets), whatever becomes of the folder.
const PRESENCE: &str = "ringfence-watchdog-";
/// What the watchdog says when it stands.
const READY: &str = "ready";
/// How long another run may hold the lock before the watchdog tries once more.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// A watchdog that cannot bring the rules back tries for so long.
const TRIES: u32 = 300;

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
    /// How long there is still time; `None` when it is up.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.deadline - uptime().ok()?;
        (left > 0.0).then(|| Duration::from_secs_f64(left))
    }
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
fn has_ended(store: &Store, id: &str) -> bool {
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

fn presence(store: &Store, id: &str) -> String {
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
    let good = record::kept(store, record::GOOD).ok().flatten().map(|kept| kept.record.digest);
    if good.as_ref() != Some(&pending.record.digest) {
        record::reject(store, &pending.record.digest, true)?;
    }
    forget(store)?;
    write(store, pending)?;
    start_watchdog(state_dir, &pending.id).inspect_err(|_| {
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

/// A process of its own, outside of the session that this one is in.
fn start_watchdog(state_dir: Option<&PathBuf>, id: &str) -> Result<(), HostError> {
    let what = "the watchdog";
    let myself = env::current_exe().map_err(|error| HostError::Place { what, error })?;
    let mut arguments: Vec<std::ffi::OsString> = vec!["watchdog".into(), id.into()];
    arguments.extend(state_dir.into_iter().flat_map(|dir| ["--state-dir".into(), dir.clone().into_os_string()]));
    // A session's processes may be ended with it (logind.conf(5), KillUserProcesses=); a unit's are not.
    if place::systemd_is_init() && place::shares_network_with_init() == Some(true) {
        let started = Command::new("systemd-run")
            .args(["--quiet", "--collect", "--service-type=notify", "--property=NotifyAccess=all"])
            .arg("--property=Restart=on-failure")
            .args([&format!("--unit=ringfence-watchdog-{id}"), "--"])
            .arg(&myself)
            .args(&arguments)
            .stdin(Stdio::null())
            .status();
        if started.is_ok_and(|status| status.success()) {
            return Ok(());
        }
    }
    let mut child = Command::new(&myself)
        .args(&arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| HostError::Place { what, error })?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        // Ends at once if the child does.
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line.trim() == READY {
        return Ok(());
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(HostError::NoWatchdog)
}

/// What the watchdog's process does. What it needs it keeps in its own memory: a folder that is not to be read for a while,
/// or is gone, is no reason to let the change stand.
///
/// # Errors
/// Where the rules cannot be brought back. That is also written down.
pub fn watch(store: &Store, id: &str) -> Result<(), HostError> {
    // The end of the session that it was started in must not be its own.
    leave_session();
    let pending = waiting(store)?.filter(|pending| pending.id == id).ok_or(HostError::NothingWaits)?;
    let known = before(store, &pending)?;
    let what = "the watchdog's socket";
    let presence = Presence::new(&presence(store, id)).map_err(|error| HostError::Place { what, error })?;
    say_ready();
    loop {
        if is_over(store, &pending) {
            return Ok(());
        }
        presence.clear();
        match pending.time_left() {
            Some(left) => thread::sleep(left.min(PAUSE)),
            None => return take_back_at_last(store, &pending, &known),
        }
    }
}

/// Whether there is nothing left to watch: only a word about this very change says so.
fn is_over(store: &Store, pending: &Pending) -> bool {
    let confirmed = |there: &Pending| there.id == pending.id && there.confirmed;
    has_ended(store, &pending.id) || waiting(store).ok().flatten().as_ref().is_some_and(confirmed)
}

fn take_back_at_last(store: &Store, pending: &Pending, known: &Snapshot) -> Result<(), HostError> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Somebody who holds the lock and does not come to an end must not keep the rules from being brought back: the
        // kernel refuses what does not fit to what is there.
        let _lock = store.lock_waiting("taking back a change that nobody confirmed", LOCK_PATIENCE).ok();
        if is_over(store, pending) {
            return Ok(());
        }
        // What was written down last is what was there in the moment before the change, if it is of this change.
        let own = waiting(store).ok().flatten().is_some_and(|there| there.id == pending.id);
        let before = Some(()).filter(|()| own).and_then(|()| before(store, pending).ok());
        match take_back(store, pending, Ok(before.unwrap_or_else(|| known.clone())), false) {
            Err(error) if tries >= TRIES => return Err(error),
            Err(_) => thread::sleep(Duration::from_secs(1)),
            Ok(()) => return Ok(()),
        }
    }
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
    let restored = before.and_then(|before| before.restore());
    let failed = restored.as_ref().err().map(ToString::to_string);
    let when = super::time::utc(std::time::SystemTime::now());
    let note = TakenBack { when, digest: pending.record.digest.clone(), asked, failed };
    // The rules count; a note that cannot be written does not.
    let _ = record::write_json(store, Place::Volatile, TAKEN_BACK, &note);
    restored?;
    // Ports that stay reserved do no harm.
    let _ = apply::reserve(store, &pending.root, &record::ports(&pending.ports_before));
    let _ = store.remove_folder(record::CANDIDATE);
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

fn leave_session() {
    // Fails only for the leader of a group of processes (setsid(2)), which is what systemd starts, and needs no session.
    let _ = nix::unistd::setsid();
}

fn say_ready() {
    use std::io::Write as _;
    let mut output = std::io::stdout();
    let _ = writeln!(output, "{READY}").and_then(|()| output.flush());
    // sd_notify(3), where a unit waits for it.
    if let Some(socket) = env::var_os("NOTIFY_SOCKET")
        && let Ok(datagram) = std::os::unix::net::UnixDatagram::unbound()
    {
        let _ = datagram.send_to(b"READY=1", socket);
    }
}
