//! The files of Riak and RabbitMQ: where they usually are, which of them a file is, and which belong to one node.
//!
//! Files in one folder are one node's. Copies of several nodes' files may lie in one folder under names such as
//! `db1-riak.conf`; then what stands before the usual name tells them apart. Beside a file of the usual name itself they are
//! older copies of it, and not read. What is there and cannot be read is an error, since its settings would be missing.

mod folders;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::cluster::{Profile, profiles_with};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span, may_be_shown};

/// The longest of them has some hundred kilobytes.
const LARGEST: u64 = 4 << 20;
/// INVARIANT (size): fewer than [`FileId`] can tell apart.
const MOST: usize = 10_000;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, $word:literal;)+) => {
        /// Which file of a program.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])+ $variant,)+ }

        impl Kind {
            /// Every kind, in the order in which the files of a node are read.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant,)+];

            /// The usual name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What profiles call it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

kinds! {
    /// `key = value`, from Riak 2.0.
    RiakConf = "riak.conf", "riak-conf";
    /// `key = value`, of RabbitMQ.
    RabbitmqConf = "rabbitmq.conf", "rabbitmq-conf";
    /// The same in its folder `conf.d`, under any name that ends in `.conf`: read in the order of their names, behind rabbitmq.conf.
    RabbitmqConfD = "conf.d/*.conf", "rabbitmq-conf";
    /// Variables of the shell that RabbitMQ reads before it starts.
    RabbitmqEnv = "rabbitmq-env.conf", "rabbitmq-env";
    /// Erlang terms in place of rabbitmq.conf and advanced.config: RabbitMQ's old file, which prevails where it is there.
    RabbitmqConfig = "rabbitmq.config", "advanced-config";
    /// Erlang terms beside riak.conf or rabbitmq.conf.
    AdvancedConfig = "advanced.config", "advanced-config";
    /// Erlang terms.
    AppConfig = "app.config", "app-config";
    /// The command line of the VM.
    VmArgs = "vm.args", "vm-args";
}

/// A file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its text.
    pub id: FileId,
    /// Which of the program's files it is.
    pub kind: Kind,
}

impl Kind {
    /// Whether it is one of RabbitMQ alone.
    #[must_use]
    pub fn is_of_rabbit(self) -> bool {
        matches!(self, Self::RabbitmqConf | Self::RabbitmqConfD | Self::RabbitmqEnv | Self::RabbitmqConfig)
    }

    /// The program whose file it is, where no other has one of the kind.
    fn profile(self) -> Option<&'static Profile> {
        match self {
            Self::AdvancedConfig | Self::VmArgs => None,
            // Its keys are those of advanced.config, which other programs have, too.
            Self::RabbitmqConfig => Self::RabbitmqConf.profile(),
            Self::RiakConf | Self::RabbitmqConf | Self::RabbitmqConfD | Self::RabbitmqEnv | Self::AppConfig => {
                profiles_with(self.word()).next()
            }
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
                if key.is_empty() || !key.chars().all(is_key) {
                    return None;
                }
                let of_shell = key.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                Some(if of_shell { Self::RabbitmqEnv } else { Self::of_keys(text) })
            }
        }
    }
}

impl Kind {
    /// Whose `key = value` a text has: RabbitMQ's where a key begins as one of its own does, and none as one of Riak's.
    fn of_keys(text: &str) -> Self {
        let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
        let begins = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        let found: BTreeSet<String> = text.lines().filter_map(key).map(|key| begins(&key)).collect();
        let is_of = |kind: Self| {
            let keys = profiles_with(kind.word()).flat_map(|profile| profile.keys_of(kind.word()));
            keys.into_iter().any(|key| found.contains(&begins(key)))
        };
        if is_of(Self::RabbitmqConf) && !is_of(Self::RiakConf) { Self::RabbitmqConf } else { Self::RiakConf }
    }
}

/// The program that files are of, where they tell.
///
/// # Errors
/// They are of different programs: these two.
pub fn profile_of(files: &[File]) -> Result<Option<&'static Profile>, [File; 2]> {
    let mut found: Option<(&'static Profile, File)> = None;
    for file in files {
        let Some(profile) = file.kind.profile() else { continue };
        match found {
            Some((first, one)) if first.name != profile.name => return Err([one, *file]),
            Some(_) => {}
            None => found = Some((profile, *file)),
        }
    }
    Ok(found.map(|(profile, _)| profile))
}

/// The folder in which a program's files usually are, below `root`. `Err`: all of them, where there is not exactly one.
///
/// # Errors
/// None or several have files.
pub fn usual(root: &Path, profiles: &[&Profile]) -> Result<PathBuf, Vec<PathBuf>> {
    // A link that leads nowhere and a folder that cannot be looked into are there, too: reading them says what is wrong.
    let is_there = |path: PathBuf| match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let has_files = |folder: &PathBuf| {
        Kind::ALL.iter().any(|kind| match kind {
            Kind::RabbitmqConfD => !folders::conf_d(folder, &mut Findings::default()).is_empty(),
            other => is_there(folder.join(other.name())),
        })
    };
    let mut found: Vec<PathBuf> = usual_folders(root, profiles).filter(has_files).collect();
    match (found.pop(), found.is_empty()) {
        (Some(folder), true) => Ok(folder),
        (Some(folder), false) => {
            found.push(folder);
            Err(found)
        }
        (None, _) => Err(found),
    }
}

fn usual_folders(root: &Path, profiles: &[&Profile]) -> impl Iterator<Item = PathBuf> {
    let folders = profiles.iter().flat_map(|profile| &profile.folders);
    folders.map(move |folder| root.join(folder.trim_start_matches('/')))
}

/// The usual folders that are there and cannot be looked into.
#[must_use]
pub fn unreadable(root: &Path, profiles: &[&Profile]) -> Vec<Diagnostic> {
    let refused = usual_folders(root, profiles).filter_map(|folder| match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(folder),
        Err(_) | Ok(_) => None,
    });
    refused
        .map(|folder| {
            let message = format!("cannot look into `{}`: permission denied", folder.display());
            Diagnostic::placeless(Code::UnreadableFile, message).help(AS_ITS_USER)
        })
        .collect()
}

const AS_ITS_USER: &str = "run it as root, or as the user that the program runs as";

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
                let message = format!("`{}` has no {names}", path.display());
                findings.push(Diagnostic::placeless(Code::NoFiles, message).help("name the folder that they are in"));
            }
            named.extend(found.into_iter().map(|(path, kind)| (path, Some(kind))));
        } else {
            named.push((path.clone(), kind_of_name(path).map(|(kind, _)| kind)));
        }
    }
    if named.len() > MOST {
        let message = format!("{} files were found, and no cluster has so many nodes", named.len());
        findings.push(Diagnostic::placeless(Code::NoFiles, message).help("name the folders of the nodes"));
        return Vec::new();
    }
    let mut order: Vec<(PathBuf, String)> = Vec::new();
    let mut nodes: BTreeMap<(PathBuf, String), Vec<File>> = BTreeMap::new();
    for (path, kind) in named {
        let Some(file) = read_file(&path, kind, sources, findings) else { continue };
        let node = node_of(&path, file.kind);
        let files = nodes.entry(node.clone()).or_default();
        // Named twice, or in a folder that was named, too.
        if file.kind != Kind::RabbitmqConfD && files.iter().any(|other| other.kind == file.kind) {
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

/// Which file a name says that it is, and what stands before that. What lies in a `conf.d` may be of either program.
fn kind_of_name(path: &Path) -> Option<(Kind, &str)> {
    let name = path.file_name()?.to_str()?;
    Kind::ALL.iter().find_map(|kind| Some((*kind, name.strip_suffix(kind.name())?)))
}

/// Folder and prefix; a name that says nothing is a node of its own.
fn node_of(path: &Path, kind: Kind) -> (PathBuf, String) {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    if kind == Kind::RabbitmqConfD {
        return (folder.parent().unwrap_or(Path::new("")).to_owned(), String::new());
    }
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
        let message = format!("`{}` is not one of these: {}", path.display(), Kind::ALL.map(Kind::name).join(", "));
        let help =
            "name the program's own files, or their folder; outputs of riak-admin and rabbitmqctl go to `--membership`";
        findings.push(Diagnostic::new(Code::UnknownFile, Span::new(id, 0..0), message).help(help));
        return None;
    };
    let text = sources.get(id).map_or("", |file| &file.text);
    if !matches!(kind, Kind::RabbitmqConfig | Kind::AdvancedConfig | Kind::AppConfig)
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
        io::ErrorKind::PermissionDenied => AS_ITS_USER,
        _ => "name a file of Riak's or RabbitMQ's, or its folder",
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
