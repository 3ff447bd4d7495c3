//! Texts that belong together and change together.
//!
//! ```text
//!  good        a list of the texts, and the texts one after the other; or what to keep of good.base and what comes new
//!  good.base   the texts of which `good` says what to keep
//! ```
//!
//! What changes is little: a set of 100,000 nodes is some megabytes, and a disk takes longer to write these than all the rest of a change
//! takes. `good` is what counts, and it names its base by its checksum: without either of them there is no set, and never an older one.
//!
//! A file is written under another name, synced, and given its own in one step. A base is the file that `good` was, under a second
//! name, and nobody writes into it.
//!
//! Versions before had a folder for each state of a set, and a link; these are read, and go with the next write.

mod change;
mod folders;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nix::sys::stat::SFlag;
use serde::{Deserialize, Serialize};

use self::change::Change;
use super::folder::Mark;
use super::{FILE_MODE, Folder, Place, Store, StoreError, check_name, checksum, first_line_of, without_checksum};

/// A set with the marks of its two files.
type Noted = (String, [Option<Mark>; 2], Arc<Current>);

/// The set that was read last.
#[derive(Clone, Debug, Default)]
pub struct Memo(Arc<Mutex<Option<Noted>>>);

impl Memo {
    fn get(&self, name: &str, marks: Option<&[Option<Mark>; 2]>) -> Option<Arc<Current>> {
        let noted = self.0.lock().ok()?;
        let (own, known, current) = noted.as_ref()?;
        (own == name && Some(known) == marks).then(|| Arc::clone(current))
    }

    /// What this program writes itself is read again, whatever the marks say.
    fn forget(&self) {
        if let Ok(mut noted) = self.0.lock() {
            *noted = None;
        }
    }

    fn put(&self, name: &str, marks: Option<[Option<Mark>; 2]>, current: Option<Arc<Current>>) {
        if let (Ok(mut noted), Some(marks), Some(current)) = (self.0.lock(), marks, current) {
            *noted = Some((name.to_owned(), marks, current));
        }
    }
}

/// The marks of a set's files; `None` where it is none of files.
fn marks(folder: &Folder, name: &str) -> Result<Option<[Option<Mark>; 2]>, StoreError> {
    let Some(own) = folder.mark(name)? else { return Ok(None) };
    Ok(Some([Some(own), folder.mark(&base_of(name))?]))
}

/// Texts by name.
pub type Texts = BTreeMap<String, Vec<u8>>;

/// A set that is written, and not yet in its place.
#[derive(Debug)]
pub struct ReadySet {
    name: String,
    /// Whether it says what to keep of the base.
    is_change: bool,
    /// The SHA-256 of its file: another run may have written one since.
    sum: String,
}

/// What stands before the texts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Head {
    /// All of them follow.
    Whole(Vec<Entry>),
    /// What is new of them follows.
    Change(Change),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: usize,
}

/// A set as it is.
#[derive(Debug)]
struct Current {
    /// The texts that a change may keep: its own, or those of its base; with the checksum of the file, where they are in one.
    base: Texts,
    sum: Option<String>,
    /// What to make of these.
    change: Option<(Change, Vec<u8>)>,
}

/// A set that was read.
///
/// Of one that was changed a text is put together when somebody wants it: some megabytes, while most ask for the shortest of the texts.
#[derive(Clone, Debug)]
pub struct Stored(Arc<Current>);

impl Stored {
    /// The names of its texts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (own, changed) = match &self.0.change {
            Some((change, _)) => (None, Some(change.names())),
            None => (Some(self.0.base.keys().map(String::as_str)), None),
        };
        own.into_iter().flatten().chain(changed.into_iter().flatten())
    }

    /// A text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match &self.0.change {
            Some((change, new)) => change.text(&self.0.base, new, name).map(|pieces| pieces.concat().into()),
            None => self.0.base.get(name).map(|text| text.as_slice().into()),
        }
    }

    /// Whether it has these texts and no others.
    #[must_use]
    pub fn is(&self, texts: &[(&str, &[u8])]) -> bool {
        let says = |name: &str, text: &[u8]| match &self.0.change {
            Some((change, new)) => change.text(&self.0.base, new, name).is_some_and(|pieces| {
                let behind = pieces.into_iter().try_fold(text, |rest, piece| rest.strip_prefix(piece));
                behind.is_some_and(<[u8]>::is_empty)
            }),
            None => self.0.base.get(name).is_some_and(|own| own == text),
        };
        self.names().count() == texts.len() && texts.iter().all(|(name, text)| says(name, text))
    }

    /// All texts.
    #[must_use]
    pub fn texts(&self) -> Texts {
        self.names().filter_map(|name| Some((name.to_owned(), self.get(name)?.into_owned()))).collect()
    }
}

impl Store {
    /// Writes a set whole, in place of the set that has its name, into the folder for what lasts.
    ///
    /// # Errors
    /// Where the folder is not to be trusted, the disk is full or broken: then the set that was there is there still.
    pub fn write_set(&self, name: &str, texts: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let folder = self.folder_for_sets(name, texts)?;
        let ready = self.prepare(&folder, name, texts)?;
        put(&folder, &ready)
    }

    /// Writes a set, of which nobody knows before [`Self::put_set`]. The next write clears it away if that does not come.
    ///
    /// # Errors
    /// As [`Self::write_set`].
    pub fn prepare_set(&self, name: &str, texts: &[(&str, &[u8])]) -> Result<ReadySet, StoreError> {
        let folder = self.folder_for_sets(name, texts)?;
        self.prepare(&folder, name, texts)
    }

    fn prepare(&self, folder: &Folder, name: &str, texts: &[(&str, &[u8])]) -> Result<ReadySet, StoreError> {
        let ready = prepare(folder, name, texts, || self.current(folder, name));
        self.memo.forget();
        ready
    }

    /// The set as it is, or as it was read before where nobody has written since; `None` where there is none.
    fn current(&self, folder: &Folder, name: &str) -> Result<Option<Arc<Current>>, StoreError> {
        let marks = marks(folder, name)?;
        if let Some(known) = self.memo.get(name, marks.as_ref()) {
            return Ok(Some(known));
        }
        let read = current(folder, name)?.map(Arc::new);
        self.memo.put(name, marks, read.clone());
        Ok(read)
    }

    /// Puts a set in the place of the one that has its name.
    ///
    /// # Errors
    /// As [`Self::write_set`].
    pub fn put_set(&self, ready: &ReadySet) -> Result<(), StoreError> {
        let folder = self.folder_for_sets(&ready.name, &[])?;
        self.memo.forget();
        put(&folder, ready)
    }

    /// The folder, for as long as it is open to nobody else who writes.
    fn folder_for_sets(&self, name: &str, texts: &[(&str, &[u8])]) -> Result<Folder, StoreError> {
        check_set_name(name)?;
        texts.iter().try_for_each(|(text, _)| check_name(text))?;
        let folder = self.make(Place::State)?;
        folder.wait_to_write()?;
        Ok(folder)
    }

    /// A set; `None` where there is none of this name.
    ///
    /// # Errors
    /// Where anything in the set is not what this program wrote.
    pub fn read_set(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        check_set_name(name)?;
        let Some(folder) = self.open(Place::State)? else { return Ok(None) };
        folder.wait_to_read()?;
        Ok(self.current(&folder, name)?.map(Stored))
    }

    /// Takes a set away, where there is one.
    ///
    /// # Errors
    /// Where the name is that of something else, or the folder is not to be trusted.
    pub fn remove_set(&self, name: &str) -> Result<(), StoreError> {
        check_set_name(name)?;
        self.memo.forget();
        let Some(folder) = self.open(Place::State)? else { return Ok(()) };
        folder.wait_to_write()?;
        match folder.kind(name)? {
            None => {}
            Some(SFlag::S_IFREG) => {
                folder.unlink(name)?;
                folder.sync()?;
            }
            Some(_) => folders::remove(&folder, name)?,
        }
        for rest in [base_of(name), next(name)] {
            if folder.kind(&rest)? == Some(SFlag::S_IFREG) {
                folder.unlink(&rest)?;
            }
        }
        folders::clear(&folder, name)
    }
}

/// A name that could be that of a part of another set is none for a set.
fn check_set_name(name: &str) -> Result<(), StoreError> {
    check_name(name)?;
    let is_of_folder = name.rsplit_once('-').is_some_and(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    if is_of_folder || name.ends_with(".base") {
        return Err(StoreError::Name(name.to_owned()));
    }
    Ok(())
}

fn base_of(name: &str) -> String {
    format!("{name}.base")
}

/// The name under which a file is written before it gets its own.
fn next(name: &str) -> String {
    format!(".{name}.next")
}

/// The set as it is; `None` where there is none.
fn current(folder: &Folder, name: &str) -> Result<Option<Current>, StoreError> {
    match folder.kind(name)? {
        None => return Ok(None),
        Some(SFlag::S_IFREG) => {}
        Some(_) => {
            let texts = folders::read(folder, name)?;
            return Ok(texts.map(|base| Current { base, sum: None, change: None }));
        }
    }
    let missing = || StoreError::Missing(folder.path().join(name));
    let file = File::read(folder, name)?.ok_or_else(missing)?;
    let (change, new) = match file.content {
        Content::Whole(base) => return Ok(Some(Current { base, sum: Some(file.sum), change: None })),
        Content::Change(change, new) => (change, new),
    };
    let (own, path) = (base_of(name), folder.path().join(base_of(name)));
    let base = File::read(folder, &own)?.ok_or_else(|| StoreError::Missing(path.clone()))?;
    let Content::Whole(texts) = base.content else { return Err(StoreError::Base(path)) };
    if !change.is_of(&base.sum) {
        return Err(StoreError::Base(path));
    }
    if !change.fits(&texts, &new) {
        return Err(StoreError::Foreign(folder.path().join(name)));
    }
    Ok(Some(Current { base: texts, sum: Some(base.sum), change: Some((change, new)) }))
}

/// A file of a set, with the SHA-256 of what is in it.
struct File {
    sum: String,
    content: Content,
}

enum Content {
    Whole(Texts),
    /// What to keep of another file's texts, and what comes new.
    Change(Change, Vec<u8>),
}

impl File {
    fn read(folder: &Folder, name: &str) -> Result<Option<Self>, StoreError> {
        let Some(content) = folder.read(name)? else { return Ok(None) };
        let path = folder.path().join(name);
        let (sum, bytes) = without_checksum(&content, &path)?;
        let sum = sum.to_owned();
        let foreign = || StoreError::Foreign(path.clone());
        let (head, rest) = split(bytes).ok_or_else(foreign)?;
        let begin = content.len() - rest.len();
        let content = match head {
            Head::Whole(entries) => Content::Whole(texts(&entries, content, begin).ok_or_else(foreign)?),
            Head::Change(change) => Content::Change(change, rest.to_vec()),
        };
        Ok(Some(Self { sum, content }))
    }
}

/// What stands in the first line, and what is behind it.
fn split(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end + 1)?;
    Some((serde_json::from_slice(line).ok()?, rest))
}

/// The texts that follow each other in a file from a place on; `None` where the list is of something else. The longest text gets the file's
/// bytes, which of 100,000 nodes are some megabytes, and is not copied.
fn texts(entries: &[Entry], mut file: Vec<u8>, begin: usize) -> Option<Texts> {
    let (mut texts, mut at, mut longest) = (Texts::new(), begin, (begin..begin, None));
    for Entry { name, bytes } in entries {
        check_name(name).ok()?;
        let place = at..at.checked_add(*bytes)?;
        texts.insert(name.clone(), Vec::new());
        at = place.end;
        if place.len() > longest.0.len() {
            longest = (place, Some(name));
        }
    }
    if at != file.len() || texts.len() != entries.len() {
        return None;
    }
    at = begin;
    for Entry { name, bytes } in entries {
        if longest.1 != Some(name) {
            texts.insert(name.clone(), file.get(at..at + bytes)?.to_vec());
        }
        at += bytes;
    }
    if let (place, Some(name)) = longest {
        file.truncate(place.end);
        file.drain(..place.start);
        texts.insert(name.clone(), file);
    }
    Some(texts)
}

/// Writes a set beside the one that counts: whole, or what changes in it.
fn prepare(
    folder: &Folder,
    name: &str,
    texts: &[(&str, &[u8])],
    current: impl FnOnce() -> Result<Option<Arc<Current>>, StoreError>,
) -> Result<ReadySet, StoreError> {
    if !matches!(folder.kind(name)?, None | Some(SFlag::S_IFREG | SFlag::S_IFLNK)) {
        return Err(StoreError::NotASet(folder.path().join(name)));
    }
    let base = base_of(name);
    if !matches!(folder.kind(&base)?, None | Some(SFlag::S_IFREG)) {
        return Err(StoreError::NotAFile(folder.path().join(base)));
    }
    // What is damaged is replaced; what is not a set at all is left for a person to look at.
    let current = match current() {
        Err(
            error @ (StoreError::NotASet(_)
            | StoreError::NotAFile(_)
            | StoreError::Owner { .. }
            | StoreError::Writable { .. }),
        ) => {
            return Err(error);
        }
        other => other.ok().flatten(),
    };
    let is_whole = current.as_ref().is_some_and(|current| current.change.is_none());
    let change = current.and_then(|current| change::between(current.sum.as_ref()?, &current.base, texts));
    // The file that counts is its own base from now on, which says nothing as long as it counts. Before the change is synced, so that it
    // is on the disk by then; where there are no second names, all is written.
    let change = change.filter(|_| !is_whole || folder.link_again(name, &base).is_ok());
    let is_change = change.is_some();
    let bytes = change.map_or_else(|| whole(texts), Ok)?;
    let beside = next(name);
    folder.unlink(&beside)?;
    let sum = checksum(&bytes);
    if let Err(error) = folder.create(&beside, &[&first_line_of(&sum), &bytes], FILE_MODE) {
        let _ = folder.unlink(&beside);
        return Err(folder.of(name, error));
    }
    Ok(ReadySet { name: name.to_owned(), is_change, sum })
}

fn whole(texts: &[(&str, &[u8])]) -> Result<Vec<u8>, StoreError> {
    let entry = |(name, text): &(&str, &[u8])| Entry { name: (*name).to_owned(), bytes: text.len() };
    let mut bytes = line(&Head::Whole(texts.iter().map(entry).collect()))?;
    texts.iter().for_each(|(_, text)| bytes.extend_from_slice(text));
    Ok(bytes)
}

fn line(head: &Head) -> Result<Vec<u8>, StoreError> {
    let fail = |error| StoreError::io("write", "a set".as_ref(), std::io::Error::other(error));
    let mut bytes = serde_json::to_vec(head).map_err(fail)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn put(folder: &Folder, ready: &ReadySet) -> Result<(), StoreError> {
    let beside = next(&ready.name);
    // Another write may have cleared it away, and put its own there, which may be of another kind.
    let overtaken = || StoreError::Overtaken(folder.path().join(&ready.name));
    let content = folder.read(&beside)?.ok_or_else(overtaken)?;
    // All of it: what takes the place of a set must not be less whole than that was.
    if without_checksum(&content, &folder.path().join(&beside))?.0 != ready.sum {
        return Err(overtaken());
    }
    folder.rename(&beside, &ready.name)?;
    folder.sync()?;
    if !ready.is_change {
        // Nothing counts on it any more: that it is still there after a crash does no harm.
        folder.unlink(&base_of(&ready.name))?;
        folders::clear(folder, &ready.name)?;
    }
    Ok(())
}
