//! What can be wrong with files that root trusts.

use std::io;
use std::path::{Path, PathBuf};

use nix::libc;
use thiserror::Error;

/// Why a file or folder was not read or written. Nothing is ever repaired: who may have changed a file is for a person to
/// find out.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A name with other characters than `a-z`, `0-9`, `.` and `-`, or with an end that means something here.
    #[error("`{0}` is not allowed as a name; use `a-z`, `0-9`, `.` and `-`")]
    Name(String),
    /// A link, a folder, a device or a pipe in place of a file.
    #[error("{} is not a regular file: find out who put it there, and remove it", .0.display())]
    NotAFile(PathBuf),
    /// A file, or a link, in place of a folder.
    #[error("{} is not a folder (a link to one is refused too): name another one with --state-dir, or find out who put it there and move it away", .0.display())]
    NotAFolder(PathBuf),
    /// Something that was not written as a set of texts in place of one.
    #[error("{} is nothing that ringfence wrote: find out who put it there, and remove it", .0.display())]
    NotASet(PathBuf),
    /// It belongs to somebody who could put anything into it.
    #[error("{} belongs to user {owner}, and only root or user {own} may own it: find out who made it, and remove it", .path.display())]
    Owner {
        /// Which file or folder.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
        /// The number of this process's user.
        own: u32,
    },
    /// Others could change it.
    #[error("{} may be written by others than its owner (mode {mode:04o}): find out whether somebody did, then `chmod go-w` it", .path.display())]
    Writable {
        /// Which file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file ends before its content begins.
    #[error("{} ends within its first line: remove it, and apply again", .0.display())]
    Truncated(PathBuf),
    /// The first line is not one that this program writes.
    #[error("{} does not begin as this version of ringfence writes it: remove it, and apply again", .0.display())]
    Foreign(PathBuf),
    /// The content is not the one that the checksum was made of.
    #[error("{} was changed or cut short after it was written (its checksum is wrong): remove it, and apply again", .0.display())]
    Checksum(PathBuf),
    /// A set of texts without one of its files.
    #[error("{} is missing, and nothing else says what was applied last: apply again", .0.display())]
    Missing(PathBuf),
    /// A file with whole texts beside one that says what changed in others.
    #[error("{} is not the file that the one beside it was made from: apply again", .0.display())]
    Base(PathBuf),
    /// Another run wrote this set, since it was written and before it was to count.
    #[error("another run of ringfence wrote {} meanwhile: `ringfence status` says what is in force", .0.display())]
    Overtaken(PathBuf),
    /// A file in a set that does not belong to it.
    #[error("{} does not belong there: find out who put it there, and remove it", .0.display())]
    Stray(PathBuf),
    /// No room on the disk, or none left of a quota. What was there before is there still.
    #[error("no space is left to write {}, which is as it was: make room, and try again", .0.display())]
    Full(PathBuf),
    /// Anything else.
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io {
        /// A verb.
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl StoreError {
    /// What the system said, with what was being done.
    pub(super) fn io(doing: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        let (path, error) = (path.to_owned(), error.into());
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Full(path),
            _ => Self::Io { doing, path, error },
        }
    }
}
