//! The process that takes a change back: started before the change, outside of the session, and on its own from then on.
//!
//! INVARIANT (alone): what it needs it keeps in its own memory, and only a word about its very change, written down by
//! whoever confirmed it, took it back or gave it more time, keeps it from taking the change back when the time is up.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use super::pending::{self, Pending, has_ended, take_back, waiting};
use super::presence::Presence;
use super::store::Store;
use super::{HostError, Snapshot, place};

/// What it says when it stands.
const READY: &str = "ready";
/// How long another run may hold the lock before it does without.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// For so long it tries to bring the rules back.
const TRIES: u32 = 300;

/// A process of its own, outside of the session that this one is in.
pub(super) fn start(state_dir: Option<&PathBuf>, id: &str) -> Result<(), HostError> {
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
    let mut pending = waiting(store)?.filter(|pending| pending.id == id).ok_or(HostError::NothingWaits)?;
    let known = pending::before(store, &pending)?;
    let what = "the watchdog's socket";
    let presence = Presence::new(&pending::presence(store, id)).map_err(|error| HostError::Place { what, error })?;
    say_ready();
    loop {
        if is_over(store, &pending) {
            return Ok(());
        }
        presence.clear();
        if let Some(later) = prolonged(store, &pending) {
            pending = later;
        }
        match pending.time_left() {
            Some(left) => thread::sleep(left.min(PAUSE)),
            None if take_back_at_last(store, &pending, &known)? => return Ok(()),
            None => {}
        }
    }
}

/// Whether there is nothing left to watch: only a word about this very change says so.
fn is_over(store: &Store, pending: &Pending) -> bool {
    let confirmed = |there: &Pending| there.id == pending.id && there.confirmed;
    has_ended(store, &pending.id) || waiting(store).ok().flatten().as_ref().is_some_and(confirmed)
}

/// The same change with more time, which its own run gave it once it was in force.
fn prolonged(store: &Store, pending: &Pending) -> Option<Pending> {
    let there = waiting(store).ok().flatten()?;
    (there.id == pending.id && there.deadline > pending.deadline).then_some(there)
}

/// `false` where there is more time.
fn take_back_at_last(store: &Store, pending: &Pending, known: &Snapshot) -> Result<bool, HostError> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Somebody who holds the lock and does not come to an end must not keep the rules from being brought back: the
        // kernel refuses what does not fit to what is there.
        let lock = store.lock_waiting("taking back a change that nobody confirmed", LOCK_PATIENCE).ok();
        if lock.is_none() {
            pending::announce_taking(store, &pending.id);
        }
        let done = if is_over(store, pending) {
            Ok(true)
        } else if prolonged(store, pending).is_some() {
            Ok(false)
        } else {
            take_back_once(store, pending, known).map(|()| true)
        };
        pending::withdraw_taking(store, &pending.id);
        match done {
            Err(error) if tries >= TRIES => return Err(error),
            Err(_) => thread::sleep(Duration::from_secs(1)),
            Ok(done) => return Ok(done),
        }
    }
}

fn take_back_once(store: &Store, pending: &Pending, known: &Snapshot) -> Result<(), HostError> {
    // What was written down last is what was there in the moment before the change, if it is of this change.
    let own = waiting(store).ok().flatten().is_some_and(|there| there.id == pending.id);
    let before = Some(()).filter(|()| own).and_then(|()| pending::before(store, pending).ok());
    take_back(store, pending, Ok(before.unwrap_or_else(|| known.clone())), false)
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
