//! What is wrong with an input, and what to do about it.
//!
//! A run reports *all* its findings, sorted by their place, never only the first. Each has a stable [`Code`] that scripts
//! can rely on, a message in the user's words, the place in the user's file, and the remedy. Errors stop the run before
//! anything is written; warnings and notes do not.

mod code;
mod render;
mod source;

pub use code::{Code, Severity};
pub use render::{render_json, render_text};
pub use source::{FileId, SourceFile, Sources, Span};

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

    /// Error, warning or note.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    fn place(&self) -> (FileId, u32, u32) {
        self.labels.first().map_or((FileId::CLUSTER, 0, 0), |label| (label.span.file, label.span.start, label.span.end))
    }
}

/// The findings of a run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    errors: usize,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Diagnostic) {
        self.errors += usize::from(finding.severity() == Severity::Error);
        self.list.push(finding);
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
