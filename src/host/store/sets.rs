//! Files that belong together and change together.
//!
//! A set `rules` is a link to a folder `rules-7`, which nobody changes once the link points to it. The next set is written
//! as `rules-8`, then the link is replaced, which is one step; then `rules-7` goes. In each folder is a list of checksums
//! for `sha256sum -c`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nix::sys::stat::SFlag;

use super::{FILE_MODE, FOLDER_MODE, Folder, Place, Store, StoreError, check_name, checksum};

/// The list of checksums. No file of a set can have its name, which has capitals.
const SUMS: &str = "SHA256SUMS";

/// A set that is written, and not yet in its place.
#[derive(Debug)]
pub struct ReadySet {
    name: String,
    next: String,
}

impl Store {
    /// Writes a set of files whole, in place of the set that has its name, into the folder for what lasts. What runs that
    /// were killed have left of a set of this name is cleared away first.
    ///
    /// # Errors
    /// Where the folder is not to be trusted, the disk is full or broken: then the set that was there is there still.
    pub fn write_folder(&self, name: &str, files: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let folder = self.folder_for_sets(name, files)?;
        let next = prepare(&folder, name, files)?;
        put(&folder, name, &next)
    }

    /// Writes a set of files, of which nobody knows before [`Self::put_folder`]. The next write clears it away if that does
    /// not come.
    ///
    /// # Errors
    /// As [`Self::write_folder`].
    pub fn prepare_folder(&self, name: &str, files: &[(&str, &[u8])]) -> Result<ReadySet, StoreError> {
        let folder = self.folder_for_sets(name, files)?;
        Ok(ReadySet { name: name.to_owned(), next: prepare(&folder, name, files)? })
    }

    /// Puts a set in the place of the one that has its name.
    ///
    /// # Errors
    /// As [`Self::write_folder`].
    pub fn put_folder(&self, ready: &ReadySet) -> Result<(), StoreError> {
        let folder = self.folder_for_sets(&ready.name, &[])?;
        // Another write may have cleared it away.
        folder.inside(&ready.next)?.ok_or_else(|| StoreError::Missing(folder.path().join(&ready.next)))?;
        put(&folder, &ready.name, &ready.next)
    }

    /// The folder, for as long as it is open to nobody else who writes.
    fn folder_for_sets(&self, name: &str, files: &[(&str, &[u8])]) -> Result<Folder, StoreError> {
        check_set_name(name)?;
        files.iter().try_for_each(|(file, _)| check_name(file))?;
        let folder = self.make(Place::State)?;
        folder.wait_to_write()?;
        Ok(folder)
    }

    /// The files of a set by name, without the list of checksums; `None` where there is no such set.
    ///
    /// # Errors
    /// Where anything in the set is not what this program wrote. A file that is not in the list is an error too: nobody
    /// can tell where it came from, and a program that loads all files of the folder would load it.
    pub fn read_folder(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, StoreError> {
        check_set_name(name)?;
        let Some(folder) = self.open(Place::State)? else { return Ok(None) };
        folder.wait_to_read()?;
        let Some(current) = current(&folder, name)? else { return Ok(None) };
        let set = folder.inside(&current)?.ok_or_else(|| StoreError::Missing(folder.path().join(&current)))?;
        let sums_path = set.path().join(SUMS);
        let sums = set.read(SUMS)?.ok_or_else(|| StoreError::Missing(sums_path.clone()))?;
        let sums = listed(&sums).ok_or(StoreError::Foreign(sums_path))?;
        if let Some(stray) = set.names()?.iter().find(|entry| *entry != SUMS && !sums.contains_key(*entry)) {
            return Err(StoreError::Stray(set.path().join(stray)));
        }
        let mut files = BTreeMap::new();
        for (file, sum) in sums {
            let bytes = set.read(&file)?.ok_or_else(|| StoreError::Missing(set.path().join(&file)))?;
            if checksum(&bytes) != sum {
                return Err(StoreError::Checksum(set.path().join(&file)));
            }
            files.insert(file, bytes);
        }
        Ok(Some(files))
    }

    /// Takes a set of files away, where there is one.
    ///
    /// # Errors
    /// Where the name is that of something else, or the folder is not to be trusted.
    pub fn remove_folder(&self, name: &str) -> Result<(), StoreError> {
        check_set_name(name)?;
        let Some(folder) = self.open(Place::State)? else { return Ok(()) };
        folder.wait_to_write()?;
        if current(&folder, name)?.is_some() {
            folder.unlink(name)?;
            folder.sync()?;
        }
        clear(&folder, name, None)
    }
}

/// A name that could be that of a folder of another set is none for a set.
fn check_set_name(name: &str) -> Result<(), StoreError> {
    check_name(name)?;
    match name.rsplit_once('-') {
        Some((_, end)) if end.bytes().all(|byte| byte.is_ascii_digit()) => Err(StoreError::Name(name.to_owned())),
        _ => Ok(()),
    }
}

/// The number of a folder of this set.
fn generation(name: &str, entry: &str) -> Option<u64> {
    let number = entry.strip_prefix(name)?.strip_prefix('-')?;
    let canonical = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    // One short of the end, so that there is a next one.
    number.parse().ok().filter(|number| canonical && *number < u64::MAX)
}

/// The folder that the link points to.
fn current(folder: &Folder, name: &str) -> Result<Option<String>, StoreError> {
    match folder.link(name)? {
        Some(target) if generation(name, &target).is_none() => Err(StoreError::NotASet(folder.path().join(name))),
        target => Ok(target),
    }
}

/// Takes the folders of a set away, but for one.
fn clear(folder: &Folder, name: &str, but: Option<&str>) -> Result<(), StoreError> {
    for entry in folder.names()? {
        if generation(name, &entry).is_some()
            && Some(entry.as_str()) != but
            && folder.kind(&entry)? == Some(SFlag::S_IFDIR)
        {
            folder.remove_inside(&entry)?;
        }
    }
    Ok(())
}

fn fill(folder: &Folder, name: &str, files: &[(&str, &[u8])]) -> Result<(), StoreError> {
    let set = folder.make_inside(name, FOLDER_MODE)?;
    let mut sums = String::new();
    for (file, bytes) in files {
        set.create(file, bytes, FILE_MODE)?;
        // Writing to a String cannot fail. Two blanks are what sha256sum(1) writes.
        let _ = writeln!(sums, "{}  {file}", checksum(bytes));
    }
    set.create(SUMS, sums.as_bytes(), FILE_MODE)?;
    set.sync()
}

/// The names and checksums in the list; `None` where it is not one that this program wrote, whole.
fn listed(sums: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = str::from_utf8(sums).ok()?;
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let entry = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        check_name(name).ok()?;
        Some((name.to_owned(), sum.to_owned()))
    };
    text.lines().map(entry).collect()
}

/// Writes a set beside the one that counts; its folder's name.
fn prepare(folder: &Folder, name: &str, files: &[(&str, &[u8])]) -> Result<String, StoreError> {
    let current = current(folder, name)?;
    clear(folder, name, current.as_deref())?;
    let next = folder.names()?.iter().filter_map(|entry| generation(name, entry)).max().unwrap_or(0) + 1;
    let next = format!("{name}-{next}");
    if let Err(error) = fill(folder, &next, files) {
        // The error is what counts; what is left now is cleared away by the next write.
        let _ = folder.remove_inside(&next);
        return Err(error);
    }
    Ok(next)
}

fn put(folder: &Folder, name: &str, next: &str) -> Result<(), StoreError> {
    if let Err(error) = folder.replace_link(name, next) {
        // The link may have been replaced before it failed.
        if folder.link(name).is_ok_and(|now| now.as_deref() != Some(next)) {
            let _ = folder.remove_inside(next);
        }
        return Err(error);
    }
    clear(folder, name, Some(next))
}
