//! What is wrong with an input, and what to do about it.
//!
//! A run reports *all* its findings, sorted by their place, never only the first. Each has a stable [`Code`] that scripts
//! can rely on, a message in the user's words, the place in the user's file, and the remedy. Errors stop the run before
//! anything is written; warnings and notes do not.

mod code;
mod render;
mod shown;
mod source;

pub use code::{Code, Severity};
pub use render::{Plain, render_json, render_text};
pub use shown::{NOT_SHOWN, is_for_another, may_be_shown};
pub use source::{FileId, SourceFile, Sources, Span, Texts};

use rustc_hash::FxHashMap;

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What kind of finding; decides the severity.
    pub code: Code,
    /// One sentence: lower case, no full stop, the user's own words in backticks.
    pub message: String,
    /// Where, with a short remark each. The first is the place itself; the others are related places.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

/// A place in a source and what it has to do with the finding.
#[derive(Clone, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// A finding at a place.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: vec![Label { span, text: String::new() }], help: None }
    }

    /// A finding about something that stands in no file.
    pub fn placeless(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), help: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same finding at a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.insert(0, Label { span, text: text.into() });
        self
    }

    /// Adds a related place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a remark to the place itself.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.text = text.into();
        }
        self
    }

    /// The same finding where so many texts come before its own.
    #[must_use]
    pub(crate) fn behind(mut self, others: u16) -> Self {
        for label in &mut self.labels {
            label.span.file = label.span.file.behind(others);
        }
        self
    }

    /// Whether something that it says stands in a file that may not be shown to whoever asked.
    fn is_hidden(&self, sources: &Sources) -> bool {
        self.labels.iter().filter_map(|label| sources.get(label.span.file)).any(|file| !file.is_shown())
    }

    /// Error, warning or note.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    fn place(&self) -> (FileId, u32, u32) {
        self.labels.first().map_or((FileId::CLUSTER, 0, 0), |label| (label.span.file, label.span.start, label.span.end))
    }
}

/// How many findings of one code and one file a [bounded](Findings::bounded) list keeps.
const MOST: usize = 100;

/// The findings of a run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    errors: usize,
    bound: Option<Bound>,
}

/// Counts of what has a bound.
#[derive(Clone, Debug, Default)]
struct Bound {
    places: FxHashMap<(FileId, Code), usize>,
    /// In the order in which each was met first.
    counts: Vec<Count>,
}

#[derive(Clone, Debug)]
struct Count {
    kept: usize,
    dropped: usize,
    /// The place of the last that is kept.
    last: Option<Span>,
    code: Code,
}

impl Findings {
    /// A list that only counts what comes after the first hundred of one code in one file, for files that may be as long
    /// as they like and wrong in every line.
    #[must_use]
    pub fn bounded() -> Self {
        Self { bound: Some(Bound::default()), ..Self::default() }
    }

    /// Adds one.
    pub fn push(&mut self, finding: Diagnostic) {
        self.errors += usize::from(finding.severity() == Severity::Error);
        if self.bound.as_mut().is_none_or(|bound| bound.has_room(&finding)) {
            self.list.push(finding);
        }
    }

    /// Adds those of a bounded list, and how many there were beyond.
    pub fn append(&mut self, other: Self) {
        other.list.into_iter().for_each(|finding| self.push(finding));
        for Count { dropped, last, code, .. } in other.bound.map_or(Vec::new(), |bound| bound.counts) {
            if dropped > 0 {
                let message = format!("and {dropped} more of this kind in this file");
                let finding = Diagnostic::placeless(code, message).help("put right those that are shown first");
                self.push(match last {
                    Some(span) => finding.at(span, ""),
                    None => finding,
                });
            }
        }
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// All of them by file and place; findings of one place stay in the order in which they were made.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(Diagnostic::place);
        self.list
    }
}

impl Bound {
    /// Counts a finding, and whether it is to be kept.
    fn has_room(&mut self, finding: &Diagnostic) -> bool {
        let (file, ..) = finding.place();
        let next = self.counts.len();
        let index = *self.places.entry((file, finding.code)).or_insert(next);
        if index == next {
            self.counts.push(Count { kept: 0, dropped: 0, last: None, code: finding.code });
        }
        let Some(count) = self.counts.get_mut(index) else { return true };
        if count.kept == MOST {
            count.dropped += 1;
            return false;
        }
        count.kept += 1;
        count.last = finding.labels.first().map(|label| label.span);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_list_counts_what_it_does_not_keep() {
        let mut bounded = Findings::bounded();
        for line in 0..1000 {
            let span = Span::new(FileId::CLUSTER, line..line + 1);
            bounded.push(Diagnostic::new(Code::RiakConfSyntax, span, "wrong"));
            bounded.push(Diagnostic::new(if line < 5 { Code::NotRead } else { Code::Overridden }, span, "other"));
        }
        assert_eq!(bounded.errors(), 1000);
        let mut all = Findings::default();
        all.append(bounded);
        assert!(all.errors() > MOST);
        let all = all.sorted();
        assert_eq!(all.len(), 2 * (MOST + 1) + 5);
        let messages: Vec<&str> = all.iter().map(|one| one.message.as_str()).collect();
        assert!(messages.contains(&"and 900 more of this kind in this file"));
        assert!(messages.contains(&"and 895 more of this kind in this file"));
    }
}
