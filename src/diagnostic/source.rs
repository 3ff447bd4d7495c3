//! The texts that findings point into.

/// Which of the run's texts. Where a cluster file is read it is the first, and its profile, if that is a file, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u16);

impl FileId {
    /// The cluster file.
    pub const CLUSTER: Self = Self(0);
    /// The profile that the cluster file names.
    pub const PROFILE: Self = Self(1);
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
    pub text: String,
    line_starts: Vec<u32>,
}

/// The texts of a run.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl SourceFile {
    /// INVARIANT (size): `text` is shorter than 4 GiB; whoever reads a file refuses larger ones long before.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect();
        Self { name, text, line_starts }
    }

    /// The name without its folders, fit to be written into a comment of any ruleset: other characters than letters,
    /// digits and `._-` become `?`, and what is too long is cut.
    #[must_use]
    pub fn base_name(&self) -> String {
        const LONGEST: usize = 40;
        let name = self.name.rsplit('/').next().unwrap_or(&self.name);
        let fit = |c: char| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '?' };
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
    /// The cluster file and, when it was read from a file, its profile.
    #[must_use]
    pub fn new(cluster: SourceFile) -> Self {
        Self { files: vec![cluster] }
    }

    /// Adds the profile.
    pub fn add_profile(&mut self, profile: SourceFile) {
        self.files.truncate(1);
        self.files.push(profile);
    }

    /// Adds a text. INVARIANT (size): no run reads more than 65,535 files; whoever looks for files stops long before.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(self.files.len() as u16);
        self.files.push(file);
        id
    }

    /// One of the texts.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::from(id.0))
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
