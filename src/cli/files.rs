//! Files that are there whole or not at all.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use nix::unistd::syncfs;
use tempfile::{NamedTempFile, TempPath};

/// Who is in a cluster is nobody else's business.
pub const FILE_MODE: u32 = 0o640;
pub const FOLDER_MODE: u32 = 0o750;

/// So many files are brought to the disk one by one. For more it costs less to ask for all that waits to be written there, of
/// whomever it is.
const FEW: usize = 16;

/// Writes files into a folder, which is made if it is not there. All of them are written and on the disk under other
/// names before the first takes its own, so that a full disk leaves what was there.
pub fn write_files(folder: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    let batch = Batch::into(folder)?;
    batch.put("", files)?;
    batch.finish()
}

/// Writes one file, whole or not at all. What may be done with the one that is there, and whose it is, stays as it was.
pub fn write_file(file: &Path, text: String) -> anyhow::Result<()> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| anyhow::anyhow!("{} is no name of a file", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = fs::symlink_metadata(file).ok().filter(fs::Metadata::is_file);
    let mut batch = Batch::into(folder)?;
    batch.there = there;
    batch.put("", &[(name, text)])?;
    batch.finish()
}

/// Refuses to write over a file that is not of this kind: then its name was meant for another.
///
/// # Errors
/// Where it is not, or cannot be read.
pub fn only_over(file: &Path, is_one: impl Fn(&[u8]) -> bool, kind: &str) -> anyhow::Result<()> {
    /// As much as tells what a file is.
    const HEAD: u64 = 4096;
    if !fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    let mut head = Vec::new();
    let read = File::open(file).and_then(|there| there.take(HEAD).read_to_end(&mut head));
    read.with_context(|| format!("cannot read {}, which would be written over", file.display()))?;
    anyhow::ensure!(
        is_one(&head),
        "{} is not {kind}, and is not written over: name another file, or remove it first",
        file.display()
    );
    Ok(())
}

/// Files of several folders below one, of which all or none are there in the end. Several threads may write at once.
pub struct Batch {
    folder: PathBuf,
    /// The file that is written over.
    there: Option<fs::Metadata>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: Vec<(TempPath, PathBuf)>,
    /// Folders that were not there before, each behind the one that it is in.
    made: Vec<PathBuf>,
}

impl Batch {
    /// Below this folder.
    pub fn into(folder: &Path) -> anyhow::Result<Self> {
        // Without a slash at its end, by which what is a file would be none that is there.
        let folder: PathBuf = folder.components().collect();
        check(&folder)?;
        Ok(Self { folder, there: None, state: Mutex::default() })
    }

    /// Writes files under names that last until [`Self::finish`], into the folder or one of this name in it.
    pub fn put(&self, inner: &str, files: &[(&str, String)]) -> anyhow::Result<()> {
        // Joined with nothing, a path says that it is a folder.
        let folder = if inner.is_empty() { self.folder.clone() } else { self.folder.join(inner) };
        if !inner.is_empty() {
            check(&folder)?;
        }
        for (name, _) in files {
            let path = folder.join(name);
            anyhow::ensure!(!path.is_dir(), "{} is a folder, and a file of that name is to be written", path.display());
        }
        // The error's own text names a temporary file, which helps nobody.
        self.write(&folder, files).map_err(|error| in_words(&folder, &error))
    }

    fn write(&self, folder: &Path, files: &[(&str, String)]) -> io::Result<()> {
        self.make(folder)?;
        for (name, text) in files {
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            // By the open file, not by its name, which somebody else might have put something else under.
            if let Some(there) = &self.there {
                // Only root may give a file away.
                let _ = fchown(file.as_file(), Some(there.uid()), Some(there.gid()));
            }
            let mode = self.there.as_ref().map_or(FILE_MODE, |there| there.mode() & 0o777);
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            // Thousands of files are not kept open.
            let path = file.into_temp_path();
            self.state().written.push((path, folder.join(name)));
        }
        Ok(())
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        // One after the other, so that it is known who made what.
        let mut state = self.state();
        let mut lacking: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
        lacking.retain(|path| !path.as_os_str().is_empty());
        for path in lacking.into_iter().rev() {
            match DirBuilder::new().mode(FOLDER_MODE).create(path) {
                Ok(()) => state.made.push(path.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Whoever panicked while he held it ends the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings all to the disk, and then under their names.
    pub fn finish(self) -> anyhow::Result<()> {
        let words = |error: &io::Error| in_words(&self.folder, error);
        let mut state = self.state();
        let files = std::mem::take(&mut state.written);
        to_disk(&self.folder, &files).map_err(|error| words(&error))?;
        // From here on the folders stay, with whatever is in them.
        state.made.clear();
        let mut folders: Vec<PathBuf> = Vec::new();
        for (file, path) in files {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            file.persist(&path).map_err(|error| in_words(&folder, &error.error))?;
            if folders.last() != Some(&folder) {
                folders.push(folder);
            }
        }
        names_to_disk(&self.folder, &folders).map_err(|error| words(&error))
    }
}

/// What was made for a run that failed goes again, and nothing else.
impl Drop for Batch {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.written.clear();
        for folder in state.made.iter().rev() {
            // What somebody put into it meanwhile stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn to_disk(folder: &Path, files: &[(TempPath, PathBuf)]) -> io::Result<()> {
    if files.len() > FEW {
        return whole_disk(folder);
    }
    files.iter().try_for_each(|(file, _)| File::open(file)?.sync_all())
}

fn names_to_disk(folder: &Path, folders: &[PathBuf]) -> io::Result<()> {
    if folders.len() > FEW {
        return whole_disk(folder);
    }
    folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
}

fn whole_disk(folder: &Path) -> io::Result<()> {
    syncfs(File::open(folder)?).map_err(io::Error::from)
}

/// Of the folders above, too: the one that is no folder is the one to name.
fn check(folder: &Path) -> anyhow::Result<()> {
    if let Some(file) = folder.ancestors().filter(|path| path.exists()).find(|path| !path.is_dir()) {
        anyhow::bail!("{} is a file, and a folder is needed to write into", file.display());
    }
    Ok(())
}

fn in_words(folder: &Path, error: &io::Error) -> anyhow::Error {
    let shown = folder.display();
    match error.kind() {
        io::ErrorKind::NotFound if folder.is_dir() => anyhow::anyhow!("no file can be made in the folder {shown}"),
        io::ErrorKind::NotFound => anyhow::anyhow!("the folder {shown} is not there and cannot be made"),
        kind => anyhow::anyhow!("cannot write into the folder {shown}: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writes_whole_files_for_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        write_files(&inner, &[("one", "1".into()), ("two", "2".into())]).unwrap();
        write_files(&inner, &[("one", "new".into())]).unwrap();
        assert_eq!(fs::read_to_string(inner.join("one")).unwrap(), "new");
        assert_eq!(fs::metadata(inner.join("two")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 2);
    }

    /// Whatever the system calls it.
    #[test]
    fn a_folder_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        fs::write(&file, "").unwrap();
        for below in ["", "x", "x/y"] {
            let error = write_files(&file.join(below), &[("one", "1".into())]).unwrap_err().to_string();
            assert_eq!(error, format!("{} is a file, and a folder is needed to write into", file.display()));
        }
        let error = write_files(Path::new("/proc/xx"), &[("one", "1".into())]).unwrap_err().to_string();
        assert_eq!(error, "the folder /proc/xx is not there and cannot be made");
        let error = write_file(Path::new("/proc/xx"), "1".into()).unwrap_err().to_string();
        assert_eq!(error, "no file can be made in the folder /proc");
    }

    #[test]
    fn one_file_stays_whose_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one");
        write_file(&file, "1".into()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, FILE_MODE);
        fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        write_file(&file, "2".into()).unwrap();
        assert_eq!(
            (fs::metadata(&file).unwrap().mode() & 0o777, fs::read_to_string(&file).unwrap()),
            (0o604, "2".into())
        );
    }

    #[test]
    fn of_many_folders_all_or_none_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let put = |batch: &Batch| {
            (0..20).try_for_each(|at| batch.put(&format!("n{at}"), &[("one", at.to_string()), ("two", "2".into())]))
        };
        let outer = folder.path().join("out");
        fs::create_dir_all(outer.join("n3")).unwrap();
        fs::write(outer.join("n3/one"), "old").unwrap();
        let list = || {
            let mut names: Vec<_> =
                fs::read_dir(&outer).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        fs::write(outer.join("n17"), "a file").unwrap();
        let batch = Batch::into(&outer).unwrap();
        assert!(put(&batch).unwrap_err().to_string().ends_with("n17 is a file, and a folder is needed to write into"));
        drop(batch);
        assert_eq!((list(), fs::read_dir(outer.join("n3")).unwrap().count()), (vec!["n17".into(), "n3".into()], 1));
        fs::remove_file(outer.join("n17")).unwrap();
        let batch = Batch::into(&outer).unwrap();
        put(&batch).unwrap();
        assert_eq!(fs::read_to_string(outer.join("n3/one")).unwrap(), "old", "until the end");
        batch.finish().unwrap();
        assert_eq!((list().len(), fs::read_to_string(outer.join("n3/one")).unwrap()), (20, "3".into()));
        assert_eq!(fs::read_dir(outer.join("n19")).unwrap().count(), 2);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &[("one", "1".into())]).unwrap();
        fs::create_dir(folder.path().join("two")).unwrap();
        assert!(write_files(folder.path(), &[("two", "2".into()), ("one", "new".into())]).is_err());
        assert_eq!(fs::read_to_string(folder.path().join("one")).unwrap(), "1");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
