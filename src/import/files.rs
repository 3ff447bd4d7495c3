//! Riak's files: where they usually are, which of them a file is, and which belong to one node.
//!
//! Files in one folder are one node's. Copies of several nodes' files may lie in one folder under names such as
//! `db1-riak.conf`; then what stands before the usual name tells them apart.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span};

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
const LARGEST: u64 = 16 << 20;
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
    let mut found: Vec<PathBuf> =
        folders.filter(|folder| Kind::ALL.iter().any(|kind| folder.join(kind.name()).is_file())).collect();
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
            let found = in_folder(path);
            if found.is_empty() {
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

/// The files in a folder, or in its `etc`, or in the folders of several nodes in it.
fn in_folder(folder: &Path) -> Vec<(PathBuf, Kind)> {
    let own = files_of(folder);
    if !own.is_empty() {
        return own;
    }
    let inner = files_of(&folder.join("etc"));
    if !inner.is_empty() {
        return inner;
    }
    let nodes = entries(folder).into_iter().filter(|path| path.is_dir());
    nodes
        .flat_map(|node| {
            let own = files_of(&node);
            if own.is_empty() { files_of(&node.join("etc")) } else { own }
        })
        .collect()
}

fn files_of(folder: &Path) -> Vec<(PathBuf, Kind)> {
    let files = entries(folder).into_iter().filter(|path| path.is_file());
    files.filter_map(|path| kind_of_name(&path).map(|(kind, _)| kind).map(|kind| (path, kind))).collect()
}

/// Sorted by name. What cannot be read has nothing in it, which is said where nothing is found.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn read_file(path: &Path, kind: Option<Kind>, sources: &mut Sources, findings: &mut Findings) -> Option<File> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            findings.push(Diagnostic::placeless(Code::UnreadableFile, message).help(match error.kind() {
                io::ErrorKind::PermissionDenied => "run it as root, or as the user that Riak runs as",
                _ => "name a file of Riak's, or its folder",
            }));
            return None;
        }
    };
    let kind = kind.or_else(|| Kind::of_text(&text));
    let id = sources.add(SourceFile::new(path.to_string_lossy().into_owned(), text));
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

/// Reads a text; what is no UTF-8 is Latin-1, as Erlang's files were up to R16.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    decode(bytes)
}

/// The same of what was read already.
///
/// # Errors
/// Larger than any output of Riak.
pub fn decode(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", LARGEST >> 20)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn read_all(paths: &[&Path]) -> (Vec<Vec<String>>, Vec<Code>) {
        let (mut sources, mut findings) = (Sources::default(), Findings::default());
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
        let nodes = read(&paths, &mut sources, &mut findings);
        let name = |file: &File| {
            let path = sources.get(file.id).unwrap().name.clone();
            format!("{} {}", file.kind.name(), Path::new(&path).file_name().unwrap().to_str().unwrap())
        };
        let nodes = nodes.iter().map(|files| files.iter().map(name).collect()).collect();
        (nodes, findings.sorted().iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn a_folder_is_a_node() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("vm.args", "-name a"), ("app.config", "[]."), ("notes", "x")]);
        let (nodes, codes) = read_all(&[folder.path()]);
        assert_eq!(
            (nodes, codes),
            (vec![vec!["app.config app.config".to_owned(), "vm.args vm.args".to_owned()]], vec![])
        );
    }

    #[test]
    fn several_nodes_in_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("a/riak.conf", ""), ("b/etc/vm.args", ""), ("c/other", "")]);
        assert_eq!(read_all(&[folder.path()]).0, [["riak.conf riak.conf"], ["vm.args vm.args"]]);
        let flat = tempfile::tempdir().unwrap();
        write(flat.path(), &[("db1-riak.conf", ""), ("db2-riak.conf", ""), ("db1-advanced.config", "")]);
        let (nodes, _) = read_all(&[flat.path()]);
        assert_eq!(
            nodes,
            [vec!["riak.conf db1-riak.conf", "advanced.config db1-advanced.config"], vec!["riak.conf db2-riak.conf"]]
        );
    }

    #[test]
    fn names_that_say_nothing_are_known_by_their_text() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[("x", "% a\n[ ].\n"), ("y", "## a\n\n-name b\n"), ("z", "a = b\n"), ("none", "== Membership ==\n")],
        );
        let paths = ["x", "y", "z", "none"].map(|name| folder.path().join(name));
        let (nodes, codes) = read_all(&paths.each_ref().map(PathBuf::as_path));
        assert_eq!(nodes, [["app.config x"], ["vm.args y"], ["riak.conf z"]]);
        assert_eq!(codes, [Code::UnknownFile]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("riak.conf");
        assert_eq!(read_all(&[folder.path()]).1, [Code::NoFiles]);
        assert_eq!(read_all(&[&file]).1, [Code::UnreadableFile]);
        fs::write(&file, "# {{ok}}\nnodename = {{node}}\n").unwrap();
        assert_eq!(read_all(&[&file]).1, [Code::Template]);
        fs::write(&file, "# {{ok}}\nnodename = x\n").unwrap();
        assert_eq!(read_all(&[&file, &file]).1, [Code::UnknownFile]);
    }

    #[test]
    fn the_usual_places() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(usual(root.path()), Err(Vec::new()));
        write(root.path(), &[("opt/msys/3rdParty/riak/etc/app.config", "[].")]);
        assert_eq!(usual(root.path()), Ok(root.path().join("opt/msys/3rdParty/riak/etc")));
        write(root.path(), &[("etc/riak/riak.conf", "")]);
        assert_eq!(usual(root.path()).unwrap_err().len(), 2);
    }

    #[test]
    fn latin_1_is_taken_for_what_it_is() {
        assert_eq!(decode(b"caf\xe9".to_vec()).unwrap(), "caf\u{e9}");
        assert_eq!(decode("caf\u{e9}".as_bytes().to_vec()).unwrap(), "caf\u{e9}");
    }
}
