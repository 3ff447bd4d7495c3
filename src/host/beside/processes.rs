//! Which processes hold some sockets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::listeners::inodes;

/// A process that holds some of the sockets that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// What it is called, as a text that can be shown.
    pub name: String,
    /// The sockets among those that were asked for.
    pub inodes: Vec<u32>,
}

/// All that hold some of these sockets, and whether some could not be looked at, which takes CAP_SYS_PTRACE.
pub fn holders(proc: &Path, wanted: &BTreeSet<u32>) -> (Vec<Holder>, bool) {
    let (mut found, mut hidden) = (Vec::new(), false);
    for entry in fs::read_dir(proc).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let Some(inodes) = inodes(&path.join("fd")) else {
            // It may be gone meanwhile.
            hidden |= path.exists();
            continue;
        };
        let inodes: Vec<u32> = inodes.into_iter().filter(|inode| wanted.contains(inode)).collect();
        if !inodes.is_empty() {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            found.push(Holder { pid, name: name.trim_end().escape_debug().to_string(), inodes });
        }
    }
    found.sort_by_key(|holder| holder.pid);
    (found, hidden)
}
