//! Files that are there whole or not at all.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Who is in a cluster is nobody else's business.
pub const FILE_MODE: u32 = 0o640;
pub const FOLDER_MODE: u32 = 0o750;

/// Writes files into a folder, which is made if it is not there. All of them are written and on the disk under other
/// names before the first takes its own, so that a full disk leaves what was there.
pub fn write_files(folder: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    // Without a slash at its end, by which what is a file would be none that is there.
    let folder: PathBuf = folder.components().collect();
    let shown = folder.display();
    // Of the folders above, too: the one that is no folder is the one to name.
    if let Some(file) = folder.ancestors().filter(|path| path.exists()).find(|path| !path.is_dir()) {
        anyhow::bail!("{} is a file, and a folder is needed to write into", file.display());
    }
    for (name, _) in files {
        let path = folder.join(name);
        anyhow::ensure!(!path.is_dir(), "{} is a folder, and a file of that name is to be written", path.display());
    }
    // The error's own text names a temporary file, which helps nobody.
    write_all(&folder, files).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("the folder {shown} is not there and cannot be made"),
        kind => anyhow::anyhow!("cannot write into the folder {shown}: {kind}"),
    })
}

fn write_all(folder: &Path, files: &[(&str, String)]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    let mut written = Vec::with_capacity(files.len());
    for (name, text) in files {
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        // By the open file, not by its name, which somebody else might have put something else under.
        file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.as_file().sync_all()?;
        written.push((file, name));
    }
    for (file, name) in written {
        file.persist(folder.join(name))?;
    }
    File::open(folder)?.sync_all()
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
