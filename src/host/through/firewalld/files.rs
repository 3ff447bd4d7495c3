//! The files of ours in firewalld's configuration.
//!
//! INVARIANT (nothing of the admin's): a file is written or removed that has a name of ours and our mark in it, and no other; a folder goes
//! that was not there before us.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{ETC, FOLDERS, check, is_installed, is_ours};
use crate::dialect::firewalld::{MARK, POLICY, SET, Wanted};
use crate::host::HostError;
use crate::host::store::Folder;

/// A file that is to be another, or to go.
pub(super) struct Change {
    folder: &'static str,
    name: String,
    before: Option<Vec<u8>>,
    after: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.after.is_some() { "write" } else { "remove" };
        write!(f, "{what} /{ETC}/{}/{}", self.folder, self.name)
    }
}

/// The files of ours that are not as they are to be.
pub(super) fn differing(root: &Path, wanted: &Wanted) -> Result<Vec<Change>, HostError> {
    let files = wanted.files();
    let mut changes = Vec::new();
    for folder in FOLDERS {
        let path = root.join(ETC).join(folder);
        let opened = Folder::open(&path)?;
        let of_folder =
            files.iter().filter_map(|(name, text)| Some((name.strip_prefix(folder)?.strip_prefix('/')?, text)));
        for (name, text) in of_folder.clone() {
            let before = opened.as_ref().map(|open| open.read(name)).transpose()?.flatten();
            if before.as_deref() == Some(text.as_bytes()) {
                continue;
            }
            if before.as_deref().is_some_and(|bytes| !is_marked(bytes)) {
                return Err(HostError::NotOurs(path.join(name)));
            }
            changes.push(Change { folder, name: name.to_owned(), before, after: Some(text.clone()) });
        }
        let stays: BTreeSet<&str> = of_folder.map(|(name, _)| name).collect();
        let Some(open) = opened else { continue };
        for name in left(&path).into_iter().filter(|name| !stays.contains(name.as_str())) {
            // What a killed run did not finish may lack its mark.
            let before = open.read(&name)?;
            if name.starts_with('.') || before.as_deref().is_some_and(is_marked) {
                changes.push(Change { folder, name, before, after: None });
            }
        }
    }
    Ok(changes)
}

fn is_marked(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
}

/// The files with names of ours, those that firewalld keeps when it writes one anew and those of a killed run among them.
pub(super) fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let policy = format!("{POLICY}.xml");
    let mut names: Vec<String> = names
        .filter(|name| {
            let base = name.strip_prefix('.').map_or(Some(name.as_str()), |hidden| hidden.strip_suffix(".new"));
            base.is_some_and(|base| {
                let base = base.strip_suffix(".old").unwrap_or(base);
                base == policy || (base.starts_with(SET) && base.ends_with(".xml"))
            })
        })
        .collect();
    names.sort_unstable();
    names
}

/// Refuses, where a file of the admin's names a set that is to go: the next reload would fail, and firewalld with it. Its own check
/// does not see that (seen with 1.3.3).
fn refuse_named(root: &Path, goes: &[&str]) -> Result<(), HostError> {
    let sets: Vec<&str> =
        goes.iter().filter_map(|name| name.strip_suffix(".xml")).filter(|name| *name != POLICY).collect();
    let mut folders = vec![root.join(ETC)];
    while let (Some(folder), false) = (folders.pop(), sets.is_empty()) {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |error| HostError::Unread { path, error }
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(unread(&folder))?,
        };
        for entry in entries {
            let entry = entry.map_err(unread(&folder))?;
            let path = entry.path();
            if entry.file_type().map_err(unread(&path))?.is_dir() {
                folders.push(path);
                continue;
            }
            let is_ours = path.file_stem().is_some_and(|stem| stem == POLICY || sets.iter().any(|set| stem == *set));
            let is_live = path.extension().is_some_and(|end| end == "xml") && !is_ours;
            if !is_live {
                continue;
            }
            let bytes = match fs::read(&path) {
                // A link to nothing, or a file that is gone by now, names nothing.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.map_err(unread(&path))?,
            };
            let text = String::from_utf8_lossy(&bytes);
            let words: BTreeSet<&str> = text.split(|c: char| c.is_whitespace() || "\"'<>=".contains(c)).collect();
            if let Some(set) = sets.iter().find(|set| words.contains(*set)) {
                return Err(HostError::Named { set: (*set).to_owned(), path });
            }
        }
    }
    Ok(())
}

/// Writes the files, and takes them back where firewalld objects to them. Says whether there was anything to write.
pub(super) fn write(root: &Path, wanted: &Wanted) -> Result<bool, HostError> {
    let changes = differing(root, wanted)?;
    let goes: Vec<&str> =
        changes.iter().filter(|change| change.after.is_none()).map(|change| change.name.as_str()).collect();
    refuse_named(root, &goes)?;
    // The policy comes after the sets that it names, and goes before them.
    for change in changes.iter().filter(|change| change.after.is_none()).rev() {
        put(root, change, None)?;
    }
    for change in &changes {
        if let Some(text) = &change.after {
            put(root, change, Some(text.as_bytes()))?;
        }
    }
    // Sets with other members are as good as they were, and a reload looks at everything anyway.
    let is_new = changes.iter().any(|change| change.folder == "policies" || change.before.is_none());
    let checks = is_new && !wanted.rules.is_empty() && is_ours(root) && is_installed(root);
    if checks && let Err(error) = check() {
        for change in changes.iter().rev() {
            put(root, change, change.before.as_deref())?;
        }
        return Err(error);
    }
    Ok(!changes.is_empty())
}

/// As firewalld writes its own.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Stands in a folder that was not there before us.
const MADE: &str = ".made-by-ringfence";

fn put(root: &Path, change: &Change, bytes: Option<&[u8]>) -> Result<(), HostError> {
    let path = root.join(ETC).join(change.folder);
    let is_new = bytes.is_some() && !path.exists();
    let folder = if bytes.is_some() { Some(Folder::make(&path, FOLDER_MODE)?) } else { Folder::open(&path)? };
    let Some(folder) = folder else { return Ok(()) };
    folder.wait_to_write()?;
    if is_new {
        folder.replace(MADE, &[], FILE_MODE)?;
    }
    match bytes {
        Some(bytes) => folder.replace(&change.name, &[bytes], FILE_MODE)?,
        None => folder.remove(&change.name)?,
    }
    let names: Vec<_> = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    if bytes.is_none() && names == [MADE] {
        folder.remove(MADE)?;
        // Somebody may have put a file there in this moment.
        let _ = fs::remove_dir(&path);
    }
    Ok(())
}
