//! Riak's files: where they usually are, which of them a file is, and which belong to one node.
//!
//! Files in one folder are one node's. Copies of several nodes' files may lie in one folder under names such as
//! `db1-riak.conf`; then what stands before the usual name tells them apart. Beside a file of the usual name itself they are
//! older copies of it, and not read. What is there and cannot be read is an error, since its settings would be missing.

mod folders;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span, may_be_shown};

/// Where Riak's files are by default: packages of Riak, of Momentum (Message Systems), builds from source on Linux, FreeBSD
/// and macOS. Source: basho_docs, "Configuration Files"; Momentum's folders as on its hosts.
pub const USUAL: [&str; 7] = [
    "/etc/riak",
    "/opt/msys/3rdParty/riak/etc",
    "/opt/msys/3rdParty/etc/riak",
    "/usr/local/etc/riak",
    "/usr/local/riak/etc",
    "/opt/riak/etc",
    "/usr/lib/riak/etc",
];

/// The longest of them has some hundred kilobytes.
const LARGEST: u64 = 4 << 20;
/// INVARIANT (size): fewer than [`FileId`] can tell apart.
const MOST: usize = 10_000;

/// Which of Riak's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `key = value`, from Riak 2.0.
    RiakConf,
    /// Erlang terms beside riak.conf.
    AdvancedConfig,
    /// Erlang terms.
    AppConfig,
    /// The command line of the VM.
    VmArgs,
}

/// A file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its text.
    pub id: FileId,
    /// Which of Riak's files it is.
    pub kind: Kind,
}

impl Kind {
    /// Every kind, in the order in which the files of a node are read.
    pub const ALL: [Self; 4] = [Self::RiakConf, Self::AdvancedConfig, Self::AppConfig, Self::VmArgs];

    /// The usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RiakConf => "riak.conf",
            Self::AdvancedConfig => "advanced.config",
            Self::AppConfig => "app.config",
            Self::VmArgs => "vm.args",
        }
    }

    /// By the first line that is no comment.
    fn of_text(text: &str) -> Option<Self> {
        let fit = |line: &&str| !line.is_empty() && !line.starts_with(['#', '%']);
        let line = text.lines().map(str::trim).find(fit)?;
        match line.chars().next()? {
            '[' => Some(Self::AppConfig),
            '-' | '+' => Some(Self::VmArgs),
            _ => {
                let key = line.split_once('=')?.0.trim_end();
                let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.\\".contains(c);
                (!key.is_empty() && key.chars().all(is_key)).then_some(Self::RiakConf)
            }
        }
    }
}

/// The folder in which Riak's files usually are, below `root`. `Err`: all of them, where there is not exactly one.
///
/// # Errors
/// None or several have files.
pub fn usual(root: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let folders = USUAL.iter().map(|folder| root.join(folder.trim_start_matches('/')));
    // A link that leads nowhere and a folder that cannot be looked into are there, too: what is wrong is said on reading.
    let is_there = |path: PathBuf| match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let mut found: Vec<PathBuf> =
        folders.filter(|folder| Kind::ALL.iter().any(|kind| is_there(folder.join(kind.name())))).collect();
    match (found.pop(), found.is_empty()) {
        (Some(folder), true) => Ok(folder),
        (Some(folder), false) => {
            found.push(folder);
            Err(found)
        }
        (None, _) => Err(found),
    }
}

/// The usual folders that are there and cannot be looked into.
#[must_use]
pub fn unreadable(root: &Path) -> Vec<Diagnostic> {
    let folders = USUAL.iter().map(|folder| root.join(folder.trim_start_matches('/')));
    let refused = folders.filter_map(|folder| match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(folder),
        Err(_) | Ok(_) => None,
    });
    refused
        .map(|folder| {
            let message = format!("cannot look into `{}`: permission denied", folder.display());
            Diagnostic::placeless(Code::UnreadableFile, message)
                .help("run it as root, or as the user that Riak runs as")
        })
        .collect()
}

/// Reads files and folders that were named; the files of each node together, the nodes in the order in which they were
/// named.
pub fn read(paths: &[PathBuf], sources: &mut Sources, findings: &mut Findings) -> Vec<Vec<File>> {
    let mut named: Vec<(PathBuf, Option<Kind>)> = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = findings.errors();
            let found = folders::files(path, findings);
            if found.is_empty() && findings.errors() == before {
                let names = Kind::ALL.map(Kind::name).join(", ");
                let message = format!("there is none of {names} in `{}`", path.display());
                findings.push(Diagnostic::placeless(Code::NoFiles, message).help("name the folder that they are in"));
            }
            named.extend(found.into_iter().map(|(path, kind)| (path, Some(kind))));
        } else {
            named.push((path.clone(), kind_of_name(path).map(|(kind, _)| kind)));
        }
    }
    if named.len() > MOST {
        let message = format!("{} files of Riak were found, and no cluster has so many", named.len());
        findings.push(Diagnostic::placeless(Code::NoFiles, message).help("name the folders of the nodes"));
        return Vec::new();
    }
    let mut order: Vec<(PathBuf, String)> = Vec::new();
    let mut nodes: BTreeMap<(PathBuf, String), Vec<File>> = BTreeMap::new();
    for (path, kind) in named {
        let Some(file) = read_file(&path, kind, sources, findings) else { continue };
        let node = node_of(&path);
        let files = nodes.entry(node.clone()).or_default();
        // Named twice, or in a folder that was named, too.
        if files.iter().any(|other| other.kind == file.kind) {
            let message = format!("there are two files {} for one node", file.kind.name());
            let help = "name each file once; a node's files lie in a folder of its own, or have its name before theirs";
            findings.push(Diagnostic::new(Code::UnknownFile, Span::new(file.id, 0..0), message).help(help));
            continue;
        }
        files.push(file);
        files.sort_by_key(|file| file.kind);
        if !order.contains(&node) {
            order.push(node);
        }
    }
    order.iter().filter_map(|node| nodes.remove(node)).collect()
}

/// Which file a name says that it is, and what stands before that.
fn kind_of_name(path: &Path) -> Option<(Kind, &str)> {
    let name = path.file_name()?.to_str()?;
    Kind::ALL.iter().find_map(|kind| Some((*kind, name.strip_suffix(kind.name())?)))
}

/// Folder and prefix; a name that says nothing is a node of its own.
fn node_of(path: &Path) -> (PathBuf, String) {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let prefix = match kind_of_name(path) {
        Some((_, prefix)) => prefix.to_owned(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    (folder, prefix)
}

fn read_file(path: &Path, kind: Option<Kind>, sources: &mut Sources, findings: &mut Findings) -> Option<File> {
    // A pipe would be waited for, perhaps for ever.
    let regular = fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => fs::File::open(path).and_then(|file| {
            let shown = may_be_shown(&file);
            Ok((read_text(file, LARGEST)?, shown))
        }),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    });
    let (text, shown) = match regular {
        Ok(read) => read,
        Err(error) => {
            findings.push(unreadable_path("read", path, &error));
            return None;
        }
    };
    let kind = kind.or_else(|| Kind::of_text(&text));
    let id = sources.add(SourceFile::new(path.to_string_lossy().into_owned(), text).with_shown(shown));
    let Some(kind) = kind else {
        let message = format!("`{}` is none of {}", path.display(), Kind::ALL.map(Kind::name).join(", "));
        let help = "name Riak's own files, or the folder that they are in; outputs of riak-admin go to `--membership`";
        findings.push(Diagnostic::new(Code::UnknownFile, Span::new(id, 0..0), message).help(help));
        return None;
    };
    let text = sources.get(id).map_or("", |file| &file.text);
    if matches!(kind, Kind::RiakConf | Kind::VmArgs)
        && let Some(place) = placeholder(text)
    {
        let help = "this is a template: name the file that was made from it, on a host";
        findings
            .push(Diagnostic::new(Code::Template, Span::new(id, place), "a placeholder instead of a value").help(help));
        return None;
    }
    Some(File { id, kind })
}

/// `cannot read PATH: why`.
fn unreadable_path(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    let message = format!("cannot {what} `{}`: {error}", path.display());
    Diagnostic::placeless(Code::UnreadableFile, message).help(match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as root, or as the user that Riak runs as",
        _ => "name a file of Riak's, or its folder",
    })
}

/// Reads a text; what is no UTF-8 is Latin-1, as Erlang's files were up to R16.
///
/// # Errors
/// It cannot be read, or is longer than `largest` bytes.
pub fn read_text(source: impl io::Read, largest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", largest >> 20)));
    }
    String::from_utf8(bytes).or_else(|error| Ok(error.into_bytes().into_iter().map(char::from).collect()))
}

/// Where a template of Mustache, ERB or Jinja wants something put in, outside of comments.
fn placeholder(text: &str) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or_default();
        let found = [("{{", "}}"), ("<%", "%>"), ("{%", "%}")].into_iter().find_map(|(open, close)| {
            let start = code.find(open)?;
            let length = code.get(start..)?.find(close)?;
            Some(at + start..at + start + length + close.len())
        });
        if found.is_some() {
            return found;
        }
        at += line.len();
    }
    None
}
