//! A folder that only root, or this process's own user, can have written into.
//!
//! It is opened once, without following a link, and looked at by the open descriptor; everything in it is reached through
//! that descriptor, so that nothing can be put in its place between the look and the use. Files appear in it whole, on the
//! disk, or not at all.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::StoreError;

/// Group or others may write.
const WRITABLE: u32 = 0o022;
const PERMISSIONS: u32 = 0o7777;

/// What tells a file from every other one, and from itself after a change (stat(2)): device, number, size, and the times at which its
/// content and its owner or permissions were changed.
pub(super) type Mark = (u64, u64, i64, (i64, i64), (i64, i64));

/// An open folder that was looked at.
#[derive(Debug)]
pub(in crate::host) struct Folder {
    file: File,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; `None` where there is none.
    pub(in crate::host) fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        // Behind a slash at its end, a link would be followed.
        let path: PathBuf = path.components().collect();
        Self::from_fd(openat(AT_FDCWD, &path, folder_flags(), Mode::empty()), path)
    }

    /// Opens a folder, which is made with these permissions where there is none.
    pub(in crate::host) fn make(path: &Path, mode: u32) -> Result<Self, StoreError> {
        let fail = |source| StoreError::io("make the folder", path, source);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(mode).create(parent).map_err(fail)?;
        let made = match DirBuilder::new().mode(mode).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(fail(error)),
        };
        let folder = Self::open(path)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
        if made {
            // The umask may have taken bits away.
            folder.file.set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(fail)?;
        }
        Ok(folder)
    }

    /// Opens a folder in this one; `None` where there is none.
    pub(super) fn inside(&self, name: &str) -> Result<Option<Self>, StoreError> {
        Self::from_fd(openat(&self.file, name, folder_flags(), Mode::empty()), self.path.join(name))
    }

    fn from_fd(opened: nix::Result<OwnedFd>, path: PathBuf) -> Result<Option<Self>, StoreError> {
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(StoreError::NotAFolder(path)),
            Err(errno) => return Err(StoreError::io("open", &path, errno)),
        };
        let metadata = file.metadata().map_err(|source| StoreError::io("look at", &path, source))?;
        trusted(&metadata, &path)?;
        Ok(Some(Self { file, path }))
    }

    /// Where it is.
    pub(in crate::host) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other process changes this folder, and keeps others from it until this value is dropped.
    pub(in crate::host) fn wait_to_write(&self) -> Result<(), StoreError> {
        self.file.lock().map_err(|source| StoreError::io("lock", &self.path, source))
    }

    /// Waits until no other process changes this folder, and keeps it so until this value is dropped.
    pub(super) fn wait_to_read(&self) -> Result<(), StoreError> {
        self.file.lock_shared().map_err(|source| StoreError::io("lock", &self.path, source))
    }

    /// What is in a file; `None` where there is none.
    pub(in crate::host) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        // A pipe must not keep this waiting.
        let Some(mut file) = self.open_file(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)? else { return Ok(None) };
        let fail = |source| StoreError::io("read", &self.path.join(name), source);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail)?;
        Ok(Some(bytes))
    }

    /// Opens a regular file that nobody else can have written; `None` where there is none. With O_CREAT it is made, for
    /// its owner alone.
    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> Result<Option<File>, StoreError> {
        let path = self.path.join(name);
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            // A link; a socket or a pipe; a folder.
            Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => return Err(StoreError::NotAFile(path)),
            Err(errno) => return Err(StoreError::io("open", &path, errno)),
        };
        let metadata = file.metadata().map_err(|source| StoreError::io("look at", &path, source))?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile(path));
        }
        trusted(&metadata, &path)?;
        Ok(Some(file))
    }

    /// Writes a file that is not there yet. It is on the disk when this returns, its name only after [`Self::sync`].
    pub(super) fn create(&self, name: &str, pieces: &[&[u8]], mode: u32) -> Result<(), StoreError> {
        let file = self.create_note(name, pieces, mode)?;
        file.sync_all().map_err(|source| StoreError::io("write", &self.path.join(name), source))
    }

    /// The same without waiting for the disk.
    fn create_note(&self, name: &str, pieces: &[&[u8]], mode: u32) -> Result<File, StoreError> {
        let fail = |source: io::Error| StoreError::io("write", &self.path.join(name), source);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|errno| fail(errno.into()))?;
        let mut file = File::from(fd);
        pieces.iter().try_for_each(|piece| file.write_all(piece)).map_err(fail)?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
        Ok(file)
    }

    /// Puts a file in place of what has its name, or leaves that as it is. Call [`Self::wait_to_write`] first.
    pub(in crate::host) fn replace(&self, name: &str, pieces: &[&[u8]], mode: u32) -> Result<(), StoreError> {
        self.replace_by(name, |new| self.create(new, pieces, mode))?;
        self.sync()
    }

    /// The same without waiting for the disk.
    pub(super) fn replace_note(&self, name: &str, pieces: &[&[u8]], mode: u32) -> Result<(), StoreError> {
        self.replace_by(name, |new| self.create_note(new, pieces, mode).map(drop))
    }

    /// An error of a file that is to get this name: the one under which it is written helps nobody.
    pub(super) fn of(&self, name: &str, error: StoreError) -> StoreError {
        match error {
            StoreError::Full(_) => StoreError::Full(self.path.join(name)),
            StoreError::Io { doing, error, .. } => StoreError::Io { doing, path: self.path.join(name), error },
            other => other,
        }
    }

    fn replace_by(&self, name: &str, create: impl FnOnce(&str) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if !matches!(self.kind(name)?, None | Some(SFlag::S_IFREG)) {
            return Err(StoreError::NotAFile(self.path.join(name)));
        }
        let new = self.unused(name)?;
        let written = create(&new).map_err(|error| self.of(name, error)).and_then(|()| self.rename(&new, name));
        if written.is_err() {
            let _ = unlinkat(&self.file, new.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written
    }

    /// The name under which a file is written before it gets its own. No file of the store begins with a dot. What a
    /// killed run left there is nobody's: whoever writes waits for the others first.
    fn unused(&self, name: &str) -> Result<String, StoreError> {
        let new = format!(".{name}.new");
        self.unlink(&new)?;
        Ok(new)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        renameat(&self.file, from, &self.file, to).map_err(|errno| StoreError::io("write", &self.path.join(to), errno))
    }

    /// Gives a file a second name, in place of the file that has it. Call [`Self::wait_to_write`] first.
    pub(super) fn link_again(&self, name: &str, second: &str) -> Result<(), StoreError> {
        self.unlink(second)?;
        linkat(&self.file, name, &self.file, second, AtFlags::empty())
            .map_err(|errno| StoreError::io("write", &self.path.join(second), errno))
    }

    /// Gives a file another name. Call [`Self::wait_to_write`] first.
    pub(super) fn rename_file(&self, from: &str, to: &str) -> Result<bool, StoreError> {
        for name in [from, to] {
            if !matches!(self.kind(name)?, None | Some(SFlag::S_IFREG)) {
                return Err(StoreError::NotAFile(self.path.join(name)));
            }
        }
        if self.kind(from)?.is_none() {
            return Ok(false);
        }
        self.rename(from, to)?;
        self.sync()?;
        Ok(true)
    }

    /// Takes a file away, where there is one.
    pub(in crate::host) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.kind(name)? {
            None => return Ok(()),
            Some(SFlag::S_IFREG) => self.unlink(name)?,
            Some(_) => return Err(StoreError::NotAFile(self.path.join(name))),
        }
        self.sync()
    }

    /// Takes a file or a link away, where there is one.
    pub(super) fn unlink(&self, name: &str) -> Result<(), StoreError> {
        match unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("remove", &self.path.join(name), errno)),
        }
    }

    /// Takes a folder and the files in it away.
    pub(super) fn remove_inside(&self, name: &str) -> Result<(), StoreError> {
        let Some(inner) = self.inside(name)? else { return Ok(()) };
        for file in inner.names()? {
            inner.unlink(&file)?;
        }
        unlinkat(&self.file, name, UnlinkatFlags::RemoveDir)
            .map_err(|errno| StoreError::io("remove", &self.path.join(name), errno))
    }

    /// Where a link points; `None` where there is nothing of that name.
    pub(super) fn link(&self, name: &str) -> Result<Option<String>, StoreError> {
        match readlinkat(&self.file, name) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EINVAL) => Err(StoreError::NotASet(self.path.join(name))),
            Err(errno) => Err(StoreError::io("read", &self.path.join(name), errno)),
        }
    }

    /// What kind of thing has a name, itself and not what it may point to.
    pub(super) fn kind(&self, name: &str) -> Result<Option<SFlag>, StoreError> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(StoreError::io("look at", &self.path.join(name), errno)),
        }
    }

    /// The mark of a regular file; `None` where there is none.
    pub(super) fn mark(&self, name: &str) -> Result<Option<Mark>, StoreError> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let is_file = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG;
                let mark = (
                    stat.st_dev,
                    stat.st_ino,
                    stat.st_size,
                    (stat.st_mtime, stat.st_mtime_nsec),
                    (stat.st_ctime, stat.st_ctime_nsec),
                );
                Ok(is_file.then_some(mark))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(StoreError::io("look at", &self.path.join(name), errno)),
        }
    }

    /// The names in it, sorted. One that is not UTF-8 is not ours, and shows with `�` in it.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let fail = |errno: Errno| StoreError::io("list", &self.path, errno);
        // A descriptor of its own, which has a place of its own in the list.
        let mut list = Dir::openat(&self.file, ".", folder_flags(), Mode::empty()).map_err(fail)?;
        let mut names = Vec::new();
        for entry in list.iter() {
            let name = String::from_utf8_lossy(entry.map_err(fail)?.file_name().to_bytes()).into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Waits until the names in it are on the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(|source| StoreError::io("write", &self.path, source))
    }
}

/// A regular file that nobody but root and this process's user can have written, of at most so many bytes; `None` where there is
/// none. The folder that it is in is not looked at: who puts another file there is its owner.
pub(super) fn read_trusted(path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let fail = |source: io::Error| StoreError::io("read", path, source);
    // A pipe must not keep this waiting.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = match openat(AT_FDCWD, path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::ENOENT) => return Ok(None),
        Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => return Err(StoreError::NotAFile(path.to_owned())),
        Err(errno) => return Err(fail(errno.into())),
    };
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile(path.to_owned()));
    }
    trusted(&metadata, path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(fail(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

fn folder_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// Whether nobody but root and this process's user can have written it.
fn trusted(metadata: &Metadata, path: &Path) -> Result<(), StoreError> {
    let own = geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode() & PERMISSIONS);
    if owner != 0 && owner != own {
        return Err(StoreError::Owner { path: path.to_owned(), owner, own });
    }
    if mode & WRITABLE != 0 {
        return Err(StoreError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}
