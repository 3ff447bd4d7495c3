//! Sets as versions before wrote them: a set `rules` is a link to a folder `rules-7` with a file for each text, and a list of checksums for
//! `sha256sum -c`.

use std::collections::BTreeMap;

use nix::sys::stat::SFlag;

use super::Texts;
use crate::host::store::{Folder, StoreError, check_name, checksum};

/// The list of checksums. No file of a set can have its name, which has capitals.
const SUMS: &str = "SHA256SUMS";

/// The texts of a set. A file that is not in the list is an error too: nobody can tell where it came from.
pub fn read(folder: &Folder, name: &str) -> Result<Option<Texts>, StoreError> {
    let Some(current) = current(folder, name)? else { return Ok(None) };
    let set = folder.inside(&current)?.ok_or_else(|| StoreError::Missing(folder.path().join(&current)))?;
    let sums_path = set.path().join(SUMS);
    let sums = set.read(SUMS)?.ok_or_else(|| StoreError::Missing(sums_path.clone()))?;
    let sums = listed(&sums).ok_or(StoreError::Foreign(sums_path))?;
    if let Some(stray) = set.names()?.iter().find(|entry| *entry != SUMS && !sums.contains_key(*entry)) {
        return Err(StoreError::Stray(set.path().join(stray)));
    }
    let mut texts = Texts::new();
    for (file, sum) in sums {
        let bytes = set.read(&file)?.ok_or_else(|| StoreError::Missing(set.path().join(&file)))?;
        if checksum(&bytes) != sum {
            return Err(StoreError::Checksum(set.path().join(&file)));
        }
        texts.insert(file, bytes);
    }
    Ok(Some(texts))
}

/// Takes the link away.
pub fn remove(folder: &Folder, name: &str) -> Result<(), StoreError> {
    if current(folder, name)?.is_some() {
        folder.unlink(name)?;
        folder.sync()?;
    }
    Ok(())
}

/// Takes the folders of a set away.
pub fn clear(folder: &Folder, name: &str) -> Result<(), StoreError> {
    for entry in folder.names()? {
        if generation(name, &entry).is_some() && folder.kind(&entry)? == Some(SFlag::S_IFDIR) {
            folder.remove_inside(&entry)?;
        }
    }
    Ok(())
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
