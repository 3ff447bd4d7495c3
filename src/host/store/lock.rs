//! One at a time: the lock that a run holds while it changes something on this host.
//!
//! The kernel keeps it (flock(2)) for as long as the file is open, so a run that is killed leaves no lock behind. The file
//! is closed in programs that the holder starts (O_CLOEXEC), so they do not keep it. What is in the file is for people: it
//! may be left over from a run that was killed, and means something only while the lock is held.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;
use thiserror::Error;

use super::{Place, Store, StoreError};
use crate::host::time::utc;

/// Its name in the volatile folder.
pub(super) const FILE: &str = "lock";
/// Between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(50);
/// Of what the file says, in bytes; more was not written by this program.
const LONGEST: u64 = 1024;

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds the lock, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process, as numbered in its own pid namespace.
    pub pid: u32,
    /// What it is doing.
    pub what: String,
    /// Since when, in UTC (RFC 3339).
    pub since: String,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another run has it.
    #[error(
        "another ringfence is at work{} ({}); `--wait SECONDS` waits longer",
        for_so_long(.waited), shown(.holder.as_ref(), .path)
    )]
    Held {
        /// Who; `None` where it has not said so yet.
        holder: Option<Holder>,
        /// How long it was waited for.
        waited: Duration,
        /// The file.
        path: PathBuf,
    },
    /// The folder or the file is not to be trusted, or cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn for_so_long(waited: &Duration) -> String {
    match waited.as_secs() {
        0 => String::new(),
        seconds => format!(" and has not ended within {seconds} s"),
    }
}

fn shown(holder: Option<&Holder>, path: &Path) -> String {
    holder.map_or_else(
        || format!("it holds the lock {} and has not said what it is", path.display()),
        |Holder { pid, what, since }| format!("process {pid}, `{what}`, since {since}"),
    )
}

impl Store {
    /// Takes the lock, to do `what`, one line.
    ///
    /// # Errors
    /// [`LockError::Held`] at once where another run, or another part of this one, has it.
    pub fn lock(&self, what: &str) -> Result<Lock, LockError> {
        let folder = self.make(Place::Volatile)?;
        let path = folder.path().join(FILE);
        let fail = |source| StoreError::io("lock", &path, source);
        let opened = folder.open_file(FILE, OFlag::O_RDWR | OFlag::O_CREAT)?;
        let mut file = opened.ok_or_else(|| fail(std::io::ErrorKind::NotFound.into()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: holder(&mut file), waited: Duration::ZERO, path });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error).into()),
        }
        // On a full disk, too, something has to be taken back.
        let _ = sign(&mut file, what);
        Ok(Lock { file })
    }

    /// Takes the lock, and waits for it no longer than `patience`.
    ///
    /// # Errors
    /// [`LockError::Held`] where another run still has it then.
    pub fn lock_waiting(&self, what: &str, patience: Duration) -> Result<Lock, LockError> {
        let begin = Instant::now();
        loop {
            match self.lock(what) {
                Err(LockError::Held { .. }) if begin.elapsed() < patience => {
                    thread::sleep(PAUSE.min(patience.saturating_sub(begin.elapsed())));
                }
                Err(LockError::Held { holder, path, .. }) => {
                    return Err(LockError::Held { holder, waited: begin.elapsed(), path });
                }
                other => return other,
            }
        }
    }
}

fn sign(file: &mut File, what: &str) -> std::io::Result<()> {
    let one_line = what.replace(char::is_control, " ");
    let text = format!("{} {} {one_line}\n", process::id(), utc(SystemTime::now()));
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let mut words = text.strip_suffix('\n')?.splitn(3, ' ');
    let (pid, since, what) = (words.next()?, words.next()?, words.next()?);
    Some(Holder { pid: pid.parse().ok()?, what: what.to_owned(), since: since.to_owned() })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only so that nobody who looks is misled; closing the file is what gives the lock back.
        let _ = self.file.set_len(0);
    }
}
