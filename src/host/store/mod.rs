//! What this program remembers on a host: a folder for what lasts, and one for what ends with the machine's run.
//!
//! - A file or a set of texts is there whole or not at all, through a crash and a full disk; but for notes, which are worth nothing then.
//! - What is read back was written by root or this process's user, could not be written by anybody else, and is what was
//!   written: every file begins with a checksum in a comment, so that the programs which load it take it as it is.
//! - The folders above are the machine's, and taken as they are.

mod error;
mod folder;
mod lock;
mod sets;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use error::StoreError;
pub(in crate::host) use folder::Folder;
pub use lock::{Holder, Lock, LockError};
pub use sets::{ReadySet, Stored};

const STATE: &str = "/var/lib/ringfence";
const VOLATILE: &str = "/run/ringfence";
/// The volatile part inside a state folder that was named.
const RUN: &str = "run";
/// Who is in a cluster is nobody else's business.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
const PROGRAM_MODE: u32 = 0o700;
/// With room for what is put around a name in a folder, where 255 bytes are the most.
const LONGEST_NAME: usize = 100;
/// What stands before the checksum in a file's first line: the form of the file is 1.
const FIRST_LINE: &str = "# ringfence 1 sha256 ";
/// The hexadecimal digits of a SHA-256.
const CHECKSUM: usize = 64;

/// A file of somebody else's folder, which nobody but root and this process's user can have written, of at most so many bytes; `None`
/// where there is none.
///
/// # Errors
/// Where it is no such file, a link to one among them.
pub fn read_trusted(path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    folder::read_trusted(path, most)
}

/// Which of the two folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Lasts.
    State,
    /// Ends with the machine's run.
    Volatile,
}

/// The two folders. They are made when something is first written, and looked at each time.
#[derive(Clone, Debug)]
pub struct Store {
    state: PathBuf,
    volatile: PathBuf,
    /// The set that was read last, as several who work on one change ask for it.
    memo: sets::Memo,
}

impl Store {
    /// The host's own folders, or a folder that holds both.
    #[must_use]
    pub fn new(state_dir: Option<PathBuf>) -> Self {
        let Some(state) = state_dir else {
            return Self { state: STATE.into(), volatile: VOLATILE.into(), memo: sets::Memo::default() };
        };
        // What runs later may run in another folder.
        let state = std::path::absolute(&state).unwrap_or(state);
        Self { volatile: state.join(RUN), state, memo: sets::Memo::default() }
    }

    /// Where a file or a set of this name is, for a program that is to load it.
    #[must_use]
    pub fn path(&self, place: Place, name: &str) -> PathBuf {
        match place {
            Place::State => self.state.join(name),
            Place::Volatile => self.volatile.join(name),
        }
    }

    /// Writes a file whole, in place of the one that has its name: mode 0640, on the disk when this returns.
    ///
    /// # Errors
    /// Where the folder is not to be trusted, the disk is full or broken: then what was there is there still.
    pub fn write(&self, place: Place, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        check_name(name)?;
        let folder = self.make(place)?;
        folder.wait_to_write()?;
        folder.replace(name, &[&first_line(&[bytes]), bytes], FILE_MODE)
    }

    /// Writes a file whole, of pieces that follow each other, as [`Self::write`] does, but without waiting for the disk: what a crash may
    /// leave of it is a damaged file, or an older one. For what is no loss then.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_note(&self, place: Place, name: &str, pieces: &[&[u8]]) -> Result<(), StoreError> {
        check_name(name)?;
        let folder = self.make(place)?;
        folder.wait_to_write()?;
        let first = first_line(pieces);
        let all: Vec<&[u8]> = std::iter::once(first.as_slice()).chain(pieces.iter().copied()).collect();
        folder.replace_note(name, &all, FILE_MODE)
    }

    /// Writes a program whole, as [`Self::write`] does, but as it is and for its owner to run.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_program(&self, place: Place, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        check_name(name)?;
        let folder = self.make(place)?;
        folder.wait_to_write()?;
        folder.replace(name, &[bytes], PROGRAM_MODE)?;
        Ok(self.path(place, name))
    }

    /// What was written; `None` where nothing was.
    ///
    /// # Errors
    /// Where the file, or the folder that it is in, is not what this program wrote.
    pub fn read(&self, place: Place, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_name(name)?;
        let Some(folder) = self.open(place)? else { return Ok(None) };
        let Some(mut content) = folder.read(name)? else { return Ok(None) };
        let length = without_checksum(&content, &folder.path().join(name))?.1.len();
        content.drain(..content.len() - length);
        Ok(Some(content))
    }

    /// Gives a file another name, in place of what has that; needs no room on the disk. `false` where there is none.
    ///
    /// # Errors
    /// Where one of them is no regular file, or the folder is not to be trusted.
    pub fn rename(&self, place: Place, from: &str, to: &str) -> Result<bool, StoreError> {
        check_name(from)?;
        check_name(to)?;
        let Some(folder) = self.open(place)? else { return Ok(false) };
        folder.wait_to_write()?;
        folder.rename_file(from, to)
    }

    /// Takes a file away, where there is one.
    ///
    /// # Errors
    /// Where it is no regular file, or the folder is not to be trusted.
    pub fn remove(&self, place: Place, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let Some(folder) = self.open(place)? else { return Ok(()) };
        folder.wait_to_write()?;
        folder.remove(name)
    }

    fn make(&self, place: Place) -> Result<Folder, StoreError> {
        let state = Folder::make(&self.state, FOLDER_MODE);
        match place {
            Place::State => state,
            // Inside a folder that others could write, a good folder could be put aside.
            Place::Volatile if self.is_nested() => state.and_then(|_| Folder::make(&self.volatile, FOLDER_MODE)),
            Place::Volatile => Folder::make(&self.volatile, FOLDER_MODE),
        }
    }

    fn open(&self, place: Place) -> Result<Option<Folder>, StoreError> {
        match place {
            Place::State => Folder::open(&self.state),
            Place::Volatile if self.is_nested() => match Folder::open(&self.state)? {
                Some(state) => state.inside(RUN),
                None => Ok(None),
            },
            Place::Volatile => Folder::open(&self.volatile),
        }
    }

    fn is_nested(&self) -> bool {
        self.volatile.starts_with(&self.state)
    }
}

/// Names that mean themselves to every shell and program, and none that the store has a use for itself.
fn check_name(name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= LONGEST_NAME && name.bytes().all(allowed) && ![RUN, lock::FILE].contains(&name) {
        return Ok(());
    }
    Err(StoreError::Name(name.to_owned()))
}

/// The first line of a file with this content.
fn first_line(pieces: &[&[u8]]) -> Vec<u8> {
    first_line_of(&checksum_of(pieces))
}

/// The same of a checksum.
fn first_line_of(sum: &str) -> Vec<u8> {
    format!("{FIRST_LINE}{sum}\n").into_bytes()
}

/// The checksum and what it was made of.
fn without_checksum<'a>(content: &'a [u8], path: &Path) -> Result<(&'a str, &'a [u8]), StoreError> {
    let Some((first, bytes)) = content.split_at_checked(FIRST_LINE.len() + CHECKSUM + 1) else {
        return Err(StoreError::Truncated(path.to_owned()));
    };
    let sum = first.strip_prefix(FIRST_LINE.as_bytes()).and_then(|rest| rest.strip_suffix(b"\n"));
    let sum = sum.and_then(|sum| str::from_utf8(sum).ok());
    match sum {
        None => Err(StoreError::Foreign(path.to_owned())),
        Some(sum) if sum != checksum(bytes) => Err(StoreError::Checksum(path.to_owned())),
        Some(sum) => Ok((sum, bytes)),
    }
}

/// SHA-256 in hexadecimal, as sha256sum(1) prints it.
pub(in crate::host) fn checksum(bytes: &[u8]) -> String {
    checksum_of([bytes])
}

/// The same of what follows each other.
pub(in crate::host) fn checksum_of(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let hash = pieces.into_iter().fold(Sha256::new(), Sha256::chain_update);
    hash.finalize().iter().fold(String::with_capacity(CHECKSUM), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
