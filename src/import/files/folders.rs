//! Folders that were named, and what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Kind, kind_of_name, unreadable_path};
use crate::diagnostic::{Code, Diagnostic, Findings};

/// The files in a folder, or in its `etc`, or in the folders of several nodes in it.
pub(super) fn files(folder: &Path, findings: &mut Findings) -> Vec<(PathBuf, Kind)> {
    let own = own_files(folder, findings);
    if !own.is_empty() {
        return own;
    }
    let inner = own_files(&folder.join("etc"), findings);
    if !inner.is_empty() {
        return inner;
    }
    // What is wrong with the folder itself has been reported.
    let nodes = entries(folder, &mut Findings::default()).into_iter().filter(|path| path.is_dir());
    let mut found = Vec::new();
    for node in nodes.filter(|node| node.file_name().is_none_or(|name| name != "etc")) {
        let own = own_files(&node, findings);
        found.extend(if own.is_empty() { own_files(&node.join("etc"), findings) } else { own });
    }
    found
}

/// Those whose names say what they are, the usual one alone where there is one. Each can be opened without waiting.
fn own_files(folder: &Path, findings: &mut Findings) -> Vec<(PathBuf, Kind)> {
    let all = entries(folder, findings);
    if all.is_empty() {
        return Vec::new();
    }
    let usual =
        Kind::ALL.map(|kind| (kind, all.iter().any(|path| path.file_name().is_some_and(|name| name == kind.name()))));
    let mut files = Vec::new();
    for path in all {
        let Some((kind, prefix)) = kind_of_name(&path) else { continue };
        if !prefix.is_empty() && usual.contains(&(kind, true)) {
            findings.push(copy(&path, kind));
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => files.push((path, kind)),
            // It may be the folder of a node.
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
                findings.push(unreadable_path("read", &path, &error));
            }
            Err(error) => findings.push(unreadable_path("read", &path, &error)),
        }
    }
    // Riak has a folder of the name, too, and says itself whether it takes anything from there.
    if files.iter().all(|(_, kind)| kind.is_of_rabbit() || *kind == Kind::AdvancedConfig) {
        files.extend(conf_d(folder, findings).into_iter().map(|path| (path, Kind::RabbitmqConfD)));
    }
    files
}

/// What RabbitMQ reads behind rabbitmq.conf, in its order (`rabbit_prelaunch_conf.erl`, `find_additional_config_files/1`, of 3.10).
pub(super) fn conf_d(folder: &Path, findings: &mut Findings) -> Vec<PathBuf> {
    let inside = entries(&folder.join("conf.d"), findings);
    inside.into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf") && !path.is_dir()).collect()
}

fn copy(path: &Path, kind: Kind) -> Diagnostic {
    let message = format!("`{}` is taken for a copy of the {} beside it, and not read", path.display(), kind.name());
    Diagnostic::placeless(Code::IgnoredFile, message)
        .help("if it is another node's, put it into a folder of its own, or name the files instead of the folder")
}

/// Sorted by name. A folder that is not there has nothing in it.
fn entries(folder: &Path, findings: &mut Findings) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<fs::DirEntry>>>);
    match listed {
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
            paths.sort();
            paths
        }
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                findings.push(unreadable_path("look into", folder, &error));
            }
            Vec::new()
        }
    }
}
