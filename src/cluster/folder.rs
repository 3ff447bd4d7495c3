//! A folder of cluster files: one for each cluster of the host, guarded together.
//!
//! INVARIANT (whole): a file of the folder that cannot be used leaves all of it unused, so that no cluster is guarded by half of what
//! stands there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::config::{Included, Loaded, load_file, parse_kept};
use super::join;
use crate::diagnostic::{Code, Diagnostic, Findings, Severity, Sources};

/// So many clusters share a host. INVARIANT (size): all their files have a [`FileId`](crate::diagnostic::FileId) each.
const MOST_CLUSTERS: usize = 16;

/// A cluster file as it was kept of what was applied.
#[derive(Clone, Copy, Debug)]
pub struct KeptFile<'a> {
    /// Where it was.
    pub name: &'a str,
    /// What it said.
    pub text: &'a str,
    /// Its profile, where that was a file.
    pub profile: Option<&'a str>,
    /// What it included; nothing where that is not known.
    pub included: Option<&'a [Included]>,
}

/// Reads a cluster file, or a folder of them; `-` is standard input. The findings of all files come at once, each with a place in its
/// own file.
///
/// # Errors
/// Where the file itself, or the folder, cannot be read. A file of a folder that cannot be read is a finding.
pub fn load(path: &Path) -> io::Result<Loaded> {
    if path != Path::new("-") && fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return load_folder(path);
    }
    load_file(path)
}

/// The cluster files of a folder, by name: what ends in `.toml` and is not hidden. Editors and package managers keep older and half
/// written ones under other names.
///
/// # Errors
/// Where the folder cannot be read.
pub fn cluster_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn load_folder(folder: &Path) -> io::Result<Loaded> {
    let files = cluster_files(folder)?;
    if files.is_empty() {
        let message = format!("{} has no cluster file, whose names end in `.toml`", folder.display());
        return Ok(unusable(&message, "put one file for each cluster of this host there"));
    }
    if files.len() > MOST_CLUSTERS {
        let message = format!(
            "{} has {} cluster files, and at most {MOST_CLUSTERS} are guarded together",
            folder.display(),
            files.len()
        );
        return Ok(unusable(&message, "what several hosts have belongs into files of theirs"));
    }
    let mut unread = Vec::new();
    let mut all = Vec::new();
    for file in &files {
        match load_file(file) {
            Ok(loaded) => all.push(loaded),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::InvalidData => "it is no text (UTF-8)".to_owned(),
                    io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
                    _ => error.to_string(),
                };
                let message = format!("{} cannot be read: {why}", file.display());
                let help = "nothing is used of a folder of cluster files of which one is missing; put it right, or take it away";
                unread.push(Diagnostic::placeless(Code::UnreadableFile, message).help(help));
            }
        }
    }
    let mut joined = together(all);
    if !unread.is_empty() {
        joined.cluster = None;
        unread.append(&mut joined.findings);
        joined.findings = unread;
    }
    Ok(joined)
}

/// Reads cluster files again that were applied together.
#[must_use]
pub fn parse_kept_together(files: &[KeptFile<'_>]) -> Loaded {
    let parse = |file: &KeptFile<'_>| parse_kept(file.name, file.text.to_owned(), file.profile, file.included);
    together(files.iter().map(parse).collect())
}

/// What was read as one; a single file as it is.
fn together(mut all: Vec<Loaded>) -> Loaded {
    if all.len() == 1
        && let Some(only) = all.pop()
    {
        return only;
    }
    let (sources, before) = Sources::join(all.iter().map(|loaded| (*loaded.sources).clone()).collect());
    let sources = Arc::new(sources);
    let (mut findings, mut clusters, mut whole) = (Findings::default(), Vec::new(), true);
    for (loaded, before) in all.into_iter().zip(before) {
        loaded.findings.into_iter().for_each(|finding| findings.push(finding.behind(before)));
        match loaded.cluster {
            Some(cluster) => clusters.push(cluster.behind(before, &sources)),
            None => whole = false,
        }
    }
    // What those that can be used have against each other is said in any case.
    join::conflicts(&clusters, &mut findings);
    // Of nothing there is no cluster, which would guard nothing.
    let usable = whole && !clusters.is_empty() && findings.errors() == 0;
    let cluster = if usable { Some(join::join(clusters, &sources)) } else { None };
    Loaded { cluster, findings: findings.sorted(), sources }
}

fn unusable(message: &str, help: &str) -> Loaded {
    let finding = Diagnostic::placeless(Code::ClusterFolder, message).help(help);
    debug_assert_eq!(finding.severity(), Severity::Error);
    Loaded { cluster: None, findings: vec![finding], sources: Arc::new(Sources::default()) }
}
