//! `include`: which files a cluster file takes in, and what they may say.
//!
//! INVARIANT (folder): nothing is read outside of the folder of the cluster file, not by links either: the kernel resolves each name
//! below that folder's descriptor (openat2(2), `RESOLVE_BENEATH`, since Linux 5.6), so that nothing can be put in its place between a
//! look and the use. Where the kernel does not know that, nothing is included, and that is an error.
//!
//! INVARIANT (whole): what is included is all there or the cluster file cannot be used.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use glob::MatchOptions;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeTable;

use super::beside::{Identity, LARGEST_FILE, read_file};
use crate::cluster::syntax::{List, Shortened, parse_document};
use crate::cluster::toml_reader::{Reader, TableReader, Text, Value, closest, printable};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Span, is_for_another, may_be_shown};

/// So many files are included in all.
const MOST_FILES: usize = 1000;

/// Where it counts from, in words.
const WHERE: &str = "name files below the folder of the cluster file, as `clients.d/*.toml`";

/// A name with a leading dot is hidden, as for a shell: editors keep half a file there.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A file that is included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// As seen from the folder of the cluster file.
    pub name: String,
    /// What it says.
    pub text: String,
    /// Whether its lines may be shown, which is asked of the file that is read, and of no other.
    #[serde(skip, default = "shown_to_root")]
    pub shown: bool,
}

fn shown_to_root() -> bool {
    !is_for_another()
}

/// One entry of `include` that may be followed.
pub(super) struct Pattern<'t> {
    written: &'t str,
    span: Span,
    wanted: Wanted,
}

/// A folder, and what names in it have to fit; or one file.
enum Wanted {
    File(String),
    Fitting(String, glob::Pattern),
}

/// The folder of a cluster file.
pub(super) struct Folder {
    opened: io::Result<File>,
}

/// Why a file is not read.
enum Refusal {
    Missing,
    Outside,
    Itself,
    Other(io::Error),
}

/// The entries of `include` that may be followed, and whether these are all.
pub(super) fn patterns<'t, 'f: 't>(value: Option<&'t Value<'t>>, reader: &mut Reader<'f>) -> (Vec<Pattern<'t>>, bool) {
    let Some(value) = value else { return (Vec::new(), true) };
    let (patterns, failed) = reader.fails(|reader| {
        let texts = reader.texts(value, "`include`").unwrap_or_default();
        texts.filter_map(|text| pattern(text, reader)).collect()
    });
    (patterns, !failed)
}

fn pattern<'t>(text: Text<'t>, reader: &mut Reader<'_>) -> Option<Pattern<'t>> {
    match Wanted::of(text.text) {
        Ok(wanted) => Some(Pattern { written: text.text, span: text.span, wanted }),
        Err(why) => {
            let message = format!("`{}` {why}", printable(text.text));
            reader.push(Diagnostic::new(Code::BadInclude, text.span, message).help(WHERE));
            None
        }
    }
}

impl Wanted {
    fn of(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let Some((name, folders)) = parts.split_last() else { return Err("names no file".to_owned()) };
        if text.starts_with('/') {
            return Err("is absolute, and only what is below the folder of the cluster file is included".to_owned());
        }
        if parts.contains(&"..") {
            return Err("leads out of the folder of the cluster file".to_owned());
        }
        if text.ends_with('/') {
            return Err("names a folder".to_owned());
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err("has a backslash or a character that is not printed".to_owned());
        }
        if folders.iter().any(|folder| is_pattern(folder)) {
            return Err("is a pattern of folders, and only the name of the file may be one".to_owned());
        }
        let folder = folders.join("/");
        if !is_pattern(name) {
            return Ok(Self::File(joined(&folder, name)));
        }
        let names = glob::Pattern::new(name).map_err(|error| format!("is no pattern: {}", error.msg))?;
        Ok(Self::Fitting(folder, names))
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Pattern<'_> {
    /// As it stands in the file.
    pub(super) fn written(&self) -> String {
        self.written.to_owned()
    }

    /// What was applied has lost what belongs to it.
    pub(super) fn not_kept(&self) -> Diagnostic {
        let message = format!("what `{}` included then is not known", printable(self.written));
        Diagnostic::new(Code::UnreadableFile, self.span, message)
    }

    fn refused(&self, name: &str, why: &Refusal) -> Diagnostic {
        let shown = printable(name);
        let (code, message, help) = match why {
            Refusal::Missing if matches!(self.wanted, Wanted::Fitting(..)) => (
                Code::BadInclude,
                format!("the folder of `{shown}` is not there, so who would be in it is not known"),
                "make the folder, be it with nothing in it, or take this out",
            ),
            Refusal::Missing => (Code::BadInclude, format!("there is no file `{shown}` to be included"), WHERE),
            Refusal::Outside => (
                Code::BadInclude,
                format!("`{shown}` leads out of the folder of the cluster file"),
                "a link must be relative, and stay below that folder",
            ),
            Refusal::Itself => (
                Code::BadInclude,
                format!("`{shown}` is the cluster file itself"),
                "put what is to be included into a folder of its own, as `clients.d/*.toml`",
            ),
            Refusal::Other(error) => (
                Code::UnreadableFile,
                format!("`{shown}` is to be included and cannot be read: {}", in_words(error)),
                "nothing is used of a cluster file of which a part is missing; take the entry out, or put the file right",
            ),
        };
        Diagnostic::new(code, self.span, message).help(help)
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "it is no text (UTF-8)".to_owned(),
        io::ErrorKind::Unsupported => {
            "this kernel cannot open files below a folder only (openat2, Linux 5.6)".to_owned()
        }
        _ => error.to_string(),
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::Missing,
            Errno::EXDEV => Self::Outside,
            Errno::ENOSYS => Self::Other(io::ErrorKind::Unsupported.into()),
            other => Self::Other(other.into()),
        }
    }
}

impl Folder {
    pub(super) fn of(path: &Path) -> Self {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let opened = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        Self { opened: opened.map(File::from).map_err(io::Error::from) }
    }

    /// Opens what is below it, and nothing else.
    fn open(&self, name: &str, flags: OFlag) -> Result<File, Refusal> {
        let folder =
            self.opened.as_ref().map_err(|error| Refusal::Other(io::Error::new(error.kind(), error.to_string())))?;
        let flags = flags | OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        Ok(File::from(openat2(folder, name, OpenHow::new().flags(flags).resolve(resolve))?))
    }

    /// The names that fit, sorted, as seen from here.
    fn names(&self, pattern: &Wanted) -> Result<Vec<String>, Refusal> {
        let (folder, fit) = match pattern {
            Wanted::File(name) => return Ok(vec![name.clone()]),
            Wanted::Fitting(folder, fit) => (folder, fit),
        };
        let at = if folder.is_empty() { "." } else { folder.as_str() };
        // One that is not there may be one that is not mounted, or that a link does not find: who is in it is not known then.
        let opened = self.open(at, OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(opened.into())?.iter() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // Where it is no UTF-8 what is shown cannot be opened, which is an error as it should be.
            if fit.matches_with(&name, OPTIONS) {
                names.push(joined(folder, &name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All of a file of at most so many bytes.
    fn read(&self, name: &str, own: Option<Identity>, largest: u64) -> Result<(String, bool), Refusal> {
        // A pipe must not keep this waiting.
        let file = self.open(name, OFlag::O_NONBLOCK)?;
        let regular = file.metadata().map_err(Refusal::Other)?.is_file();
        if !regular {
            return Err(Refusal::Other(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        if own == Some(Identity::of(&file).map_err(Refusal::Other)?) {
            return Err(Refusal::Itself);
        }
        let shown = may_be_shown(&file);
        Ok((read_file(file, largest).map_err(Refusal::Other)?, shown))
    }
}

/// Reads the files that fit, each once, in the order of the patterns and then of the names; and whether all could be read.
pub(super) fn read_all(
    folder: &Folder,
    own: Option<Identity>,
    patterns: &[Pattern<'_>],
    reader: &mut Reader<'_>,
) -> (Vec<Included>, bool) {
    let mut files: Vec<Included> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut room = LARGEST_FILE;
    let mut whole = true;
    for pattern in patterns {
        let names = match folder.names(&pattern.wanted) {
            Ok(names) => names,
            Err(why) => {
                whole = false;
                reader.push(pattern.refused(pattern.written, &why));
                continue;
            }
        };
        if names.is_empty() {
            let message = format!("no file fits `{}`", printable(pattern.written));
            reader.push(Diagnostic::new(Code::EmptyInclude, pattern.span, message));
        }
        for name in names {
            if seen.contains(&name) {
                continue;
            }
            if seen.len() == MOST_FILES {
                let message = format!("more than {MOST_FILES} files are to be included");
                let help = "put several nodes or clients into one file";
                reader.push(Diagnostic::new(Code::BadInclude, pattern.span, message).help(help));
                return (files, false);
            }
            match folder.read(&name, own, room) {
                Ok((text, shown)) => {
                    room = room.saturating_sub(text.len() as u64);
                    files.push(Included { name: name.clone(), text, shown });
                }
                Err(why) => {
                    whole = false;
                    let gone = || io::Error::new(io::ErrorKind::NotFound, "it is a link that leads nowhere");
                    let why = match (why, &pattern.wanted) {
                        (Refusal::Missing, Wanted::Fitting(..)) => Refusal::Other(gone()),
                        (why, _) => why,
                    };
                    reader.push(pattern.refused(&name, &why));
                }
            }
            seen.insert(name);
        }
    }
    (files, whole)
}

/// The files that the entries of an `include` stand for now, for whoever asks whether they are the same as before; `None` where that
/// cannot be said.
#[must_use]
pub fn included_now(config: &Path, includes: &[String]) -> Option<Vec<PathBuf>> {
    let folder = config.parent().unwrap_or(Path::new(""));
    let opened = Folder::of(folder);
    let mut paths = Vec::new();
    let mut seen = HashSet::new();
    for text in includes {
        let names = opened.names(&Wanted::of(text).ok()?).ok()?;
        paths.extend(names.into_iter().filter(|name| seen.insert(name.clone())).map(|name| folder.join(name)));
    }
    Some(paths)
}

/// A part of what a cluster file says: itself, or what it includes.
pub(super) struct Part<'t> {
    pub file: FileId,
    pub lists: &'t [List<'t>],
    pub table: TableReader<'t>,
}

/// An included file.
pub(super) struct Document<'t> {
    file: FileId,
    lists: &'t [List<'t>],
    /// `None` where it is none, which was said then.
    pub document: Option<Spanned<DeTable<'t>>>,
}

/// The texts of what is included.
pub(super) fn texts(files: &[SourceFile]) -> Vec<Shortened<'_>> {
    files.iter().map(|file| Shortened::new(&file.text)).collect()
}

/// What is included, as documents.
pub(super) fn documents<'t>(texts: &'t [Shortened<'_>], findings: &mut Findings) -> Vec<Document<'t>> {
    let ids = std::iter::successors(Some(FileId::FIRST_INCLUDED), |id| Some(id.next()));
    let read = |(file, text): (FileId, &'t Shortened<'_>)| Document {
        file,
        lists: &text.lists,
        document: parse_document(text, file, findings),
    };
    ids.zip(texts).map(read).collect()
}

/// The tables of an included file, of which only members and clients are read; `None` where it is no document.
pub(super) fn part<'t>(document: &'t Document<'t>, reader: &mut Reader<'_>) -> Option<Part<'t>> {
    let Document { file, lists, document } = document;
    let mut reader = reader.in_file(*file, lists);
    let table = reader.document(document.as_ref()?);
    let entries = table.entries(&reader);
    if entries.is_empty() {
        let message = "this file is included, and has neither `[[node]]` nor `[[client]]`";
        reader.push(Diagnostic::new(Code::EmptyInclude, table.span, message));
    }
    for (key, _) in entries {
        let shown = printable(key.text);
        let (code, message, help) = match key.text {
            "node" | "client" => continue,
            "include" => (
                Code::BadInclude,
                "an included file includes no other".to_owned(),
                "name that one in the cluster file, too".to_owned(),
            ),
            "cluster" | "networks" | "services" | "guard" => (
                Code::UnknownKey,
                format!("an included file cannot have `{shown}`"),
                "only `[[node]]` and `[[client]]`; write it into the cluster file".to_owned(),
            ),
            other => (
                Code::UnknownKey,
                format!("an included file has no key `{shown}`"),
                match closest(other, ["node", "client"].into_iter()) {
                    Some(near) => format!("did you mean `[[{near}]]`?"),
                    None => "it has `[[node]]` and `[[client]]`, and nothing else".to_owned(),
                },
            ),
        };
        reader.push(Diagnostic::new(code, key.span, message).help(help));
    }
    Some(Part { file: *file, lists, table })
}

#[cfg(test)]
mod tests;
