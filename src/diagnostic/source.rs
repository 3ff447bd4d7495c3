//! The texts that findings point into.

use std::sync::Arc;

use memchr::memchr_iter;

use super::is_for_another;

/// Which of the run's texts. Where a cluster file is read it is the first, its profile, if that is a file, the second, and what
/// it includes comes behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u16);

impl FileId {
    /// The cluster file.
    pub const CLUSTER: Self = Self(0);
    /// The profile that the cluster file names.
    pub const PROFILE: Self = Self(1);
    /// The first file that the cluster file includes.
    pub const FIRST_INCLUDED: Self = Self(2);

    /// The one behind it. INVARIANT (size): far fewer are included than there are.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The same text where so many come before it.
    #[must_use]
    pub(crate) fn behind(self, others: u16) -> Self {
        Self(self.0.saturating_add(others))
    }
}

/// A piece of a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte behind the last.
    pub end: u32,
}

/// A text with its name.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// As the user gave it, or `standard input`.
    pub name: String,
    /// What it says.
    pub text: Arc<String>,
    line_starts: Vec<u32>,
    /// Where it is as seen from the file that includes it.
    inside: Option<String>,
    /// Whether its lines may be shown to whoever asked.
    shown: bool,
}

/// The texts of a run.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Nothing where the profile would be that is no file.
    files: Vec<Option<SourceFile>>,
    /// One for each cluster file.
    extents: Vec<Extent>,
}

/// Where the texts of one cluster file stand.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// The cluster file itself, with its profile behind it.
    first: usize,
    /// How many behind the profile are included.
    included: usize,
}

/// The texts of one cluster file.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    /// The cluster file.
    pub file: &'a SourceFile,
    /// Its profile, where that is a file.
    pub profile: Option<&'a SourceFile>,
    /// What it includes.
    pub included: Vec<&'a SourceFile>,
}

impl SourceFile {
    /// INVARIANT (size): `text` is shorter than 4 GiB; whoever reads a file refuses larger ones long before.
    ///
    /// Where this runs for another user, its lines are not shown, unless something below says that they may be.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        Self::of_shared(name, Arc::new(text))
    }

    /// The same of a text that others have, too.
    #[must_use]
    pub fn of_shared(name: String, text: Arc<String>) -> Self {
        let newlines = || memchr_iter(b'\n', text.as_bytes());
        let mut line_starts = Vec::with_capacity(newlines().count() + 1);
        line_starts.extend(std::iter::once(0).chain(newlines().map(|at| at as u32 + 1)));
        Self { name, text, line_starts, inside: None, shown: !is_for_another() }
    }

    /// A file that another one includes, which calls it `inside`.
    #[must_use]
    pub fn included(name: String, inside: String, text: String) -> Self {
        Self { inside: Some(inside), ..Self::new(name, text) }
    }

    /// The same, where it is known whether its lines may be shown: what was given on standard input may be, and of a file
    /// [`may_be_shown`](super::may_be_shown) says it.
    #[must_use]
    pub fn with_shown(self, shown: bool) -> Self {
        Self { shown, ..self }
    }

    /// Whether its lines may be shown.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Where it is as seen from the file that includes it, if one does.
    #[must_use]
    pub fn inside(&self) -> Option<&str> {
        self.inside.as_deref()
    }

    /// The name without its folders, fit to be written into a comment of any ruleset: other characters than letters,
    /// digits and `._-` become `?`, and what is too long is cut. Of a file that is included it has the folders below that of the
    /// file that does, and if it is cut then at its begin: files of one name in two folders are two.
    #[must_use]
    pub fn base_name(&self) -> String {
        const LONGEST: usize = 40;
        let fit = |c: char| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '?' };
        if let Some(inside) = &self.inside {
            let too_many = inside.chars().count().saturating_sub(LONGEST);
            return inside.chars().skip(too_many).map(|c| if c == '/' { c } else { fit(c) }).collect();
        }
        let name = self.name.rsplit('/').next().unwrap_or(&self.name);
        name.chars().take(LONGEST).map(fit).collect()
    }

    /// The line of a byte, from 1.
    #[must_use]
    pub fn line(&self, at: u32) -> u32 {
        self.line_starts.partition_point(|&start| start <= at) as u32
    }

    /// Where a line begins and ends, without its end mark.
    pub(super) fn line_bounds(&self, line: u32) -> (usize, usize) {
        let start = |line: u32| self.line_starts.get(line as usize).map(|&at| at as usize);
        let first = start(line.saturating_sub(1)).unwrap_or(self.text.len());
        let mut end = start(line).map_or(self.text.len(), |next| next - 1);
        if end > first && self.text.as_bytes().get(end - 1) == Some(&b'\r') {
            end -= 1;
        }
        (first, end.max(first))
    }
}

impl Sources {
    /// The cluster file. The place behind it is its profile's.
    #[must_use]
    pub fn new(cluster: SourceFile) -> Self {
        Self { files: vec![Some(cluster), None], extents: vec![Extent { first: 0, included: 0 }] }
    }

    /// The texts of several cluster files, one behind the other; and how many come before those of each.
    #[must_use]
    pub fn join(all: Vec<Self>) -> (Self, Vec<u16>) {
        let mut joined = Self::default();
        let mut before = Vec::new();
        for own in all {
            let first = joined.files.len();
            // INVARIANT (size)
            before.push(first as u16);
            let extents = own.extents.iter().map(|extent| Extent { first: extent.first + first, ..*extent });
            joined.extents.extend(extents);
            joined.files.extend(own.files);
        }
        (joined, before)
    }

    /// The texts of each cluster file.
    #[must_use]
    pub fn of_each(&self) -> Vec<Texts<'_>> {
        let at = |index: usize| self.files.get(index).and_then(Option::as_ref);
        let texts = |extent: &Extent| {
            let included = extent.first + 2..extent.first + 2 + extent.included;
            let included = included.filter_map(at).collect();
            Some(Texts { file: at(extent.first)?, profile: at(extent.first + 1), included })
        };
        self.extents.iter().filter_map(texts).collect()
    }

    /// Adds the profile, where that is a file.
    pub fn add_profile(&mut self, profile: SourceFile) {
        if let Some(place) = self.files.get_mut(usize::from(FileId::PROFILE.0)) {
            *place = Some(profile);
        }
    }

    /// Adds what the cluster file includes, in this order, from [`FileId::FIRST_INCLUDED`] on. To be called before any other text
    /// is added.
    pub fn add_included(&mut self, files: Vec<SourceFile>) {
        if let Some(extent) = self.extents.first_mut() {
            extent.included = files.len();
        }
        self.files.extend(files.into_iter().map(Some));
    }

    /// What the cluster files include.
    pub fn included(&self) -> impl Iterator<Item = &SourceFile> {
        self.of_each().into_iter().flat_map(|texts| texts.included)
    }

    /// Adds a text. INVARIANT (size): no run reads more than 65,535 files; whoever looks for files stops long before.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(self.files.len() as u16);
        self.files.push(Some(file));
        id
    }

    /// One of the texts.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::from(id.0))?.as_ref()
    }
}

impl Span {
    /// A piece of a text.
    #[must_use]
    pub fn new(file: FileId, range: std::ops::Range<usize>) -> Self {
        // INVARIANT (size)
        Self { file, start: range.start as u32, end: range.end as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_comment() {
        let name = |name: &str| SourceFile::new(name.into(), String::new()).base_name();
        assert_eq!(name("/etc/ringfence/cluster.toml"), "cluster.toml");
        assert_eq!(name("a\"\nreturn\n#.toml"), "a??return??.toml");
        assert_eq!(name(&"é".repeat(300)).len(), 40);
        let inside = |inside: &str| SourceFile::included("/x".into(), inside.into(), String::new()).base_name();
        assert_eq!(inside("clients.d/a\"\n.toml"), "clients.d/a??.toml");
        assert_eq!(inside(&format!("{}/a.toml", "d".repeat(100))), format!("{}/a.toml", "d".repeat(33)));
    }

    #[test]
    fn what_is_included_has_places_of_its_own() {
        let file = |name: &str| SourceFile::new(name.into(), String::new());
        let mut sources = Sources::new(file("cluster"));
        assert!(sources.get(FileId::PROFILE).is_none());
        sources.add_included(vec![file("a"), file("b")]);
        let other = sources.add(file("other"));
        sources.add_profile(file("profile"));
        let name = |id| sources.get(id).map(|file| file.name.as_str());
        assert_eq!(name(FileId::PROFILE), Some("profile"));
        assert_eq!(name(FileId::FIRST_INCLUDED.next()), Some("b"));
        assert_eq!(name(other), Some("other"));
        let included: Vec<&str> = sources.included().map(|file| file.name.as_str()).collect();
        assert_eq!(included, ["a", "b"]);
    }

    #[test]
    fn lines_of_any_ending() {
        let file = SourceFile::new("x".into(), "a\r\nbc\n\nlast".into());
        assert_eq!([0, 1, 2, 3, 5, 6, 7, 11].map(|at| file.line(at)), [1, 1, 1, 2, 2, 3, 4, 4]);
        let line = |number| {
            let (start, end) = file.line_bounds(number);
            &file.text[start..end]
        };
        assert_eq!([1, 2, 3, 4, 5].map(line), ["a", "bc", "", "last", ""]);
    }
}
