//! The findings of one file, cut off where they stop being of use.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic, FileId, Span};

/// More findings than this help nobody: then the file is something else, and the rest of it is not read.
const MOST: usize = 50;
/// How far a placeholder's ends are looked for.
const NEAR: usize = 400;
/// How many characters of the user's words are repeated in a message.
const LONGEST_EXCERPT: usize = 40;

pub(super) struct Report<'a> {
    text: &'a str,
    file: FileId,
    found: Vec<Diagnostic>,
    /// Whether the rest of the file cannot be judged: it is a template, a quote is never closed, or it is too much.
    pub cut: bool,
}

/// The marks of placeholders.
const MARKS: [(&str, &str); 4] = [("{{", "}}"), ("{%", "%}"), ("<%", "%>"), ("${", "}")];

impl<'a> Report<'a> {
    pub fn new(text: &'a str, file: FileId) -> Self {
        Self { text, file, found: Vec::new(), cut: false }
    }

    pub fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    /// How many findings there are.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// A mistake and what to do about it, unless it comes from a placeholder: then the finding is about that.
    pub fn mistake(&mut self, range: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.mistake_with(range, message, help, &[]);
    }

    /// The same with related places.
    pub fn mistake_with(
        &mut self,
        range: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
        related: &[(Range<usize>, &str)],
    ) {
        if self.cut {
            return;
        }
        if let Some(place) = placeholder_around(self.text, range.start) {
            self.placeholder(place);
            self.cut = true;
            return;
        }
        let mut finding = Diagnostic::new(Code::ErlangSyntax, self.span(range), message).help(help);
        for (range, text) in related {
            finding = finding.also(self.span(range.clone()), *text);
        }
        self.push(finding);
    }

    /// A placeholder of a template.
    pub fn placeholder(&mut self, range: Range<usize>) {
        let message = format!("`{}` is a placeholder of a template", self.excerpt(range.clone()));
        let help = "give the file that is made from this template, as it is on a node";
        self.push(Diagnostic::new(Code::Template, self.span(range), message).help(help));
    }

    fn push(&mut self, finding: Diagnostic) {
        if self.cut {
            return;
        }
        self.found.push(finding);
        if self.found.len() >= MOST {
            let end = self.text.len();
            let message = format!("{MOST} mistakes were found, and the file is not read further");
            let finding = Diagnostic::new(Code::ErlangSyntax, self.span(end..end), message);
            self.found.push(finding.help("correct these first, or give a file of Erlang terms"));
            self.cut = true;
        }
    }

    /// The user's words, fit for a message.
    pub fn excerpt(&self, range: Range<usize>) -> String {
        let words = self.text.get(range).unwrap_or_default();
        let plain = |c: char| if c.is_control() || c == '`' { '?' } else { c };
        let mut excerpt: String = words.chars().take(LONGEST_EXCERPT).map(plain).collect();
        if words.chars().nth(LONGEST_EXCERPT).is_some() {
            excerpt.push('…');
        }
        excerpt
    }

    pub fn finish(self) -> Vec<Diagnostic> {
        self.found
    }
}

/// `{{` and `}}` also surround tuples in tuples, and `${` is a character.
fn may_be_inside(open: &str, inside: &[u8]) -> bool {
    match open {
        "{{" => !inside.iter().any(|byte| b"{},[]\"".contains(byte)),
        "${" => inside.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)),
        _ => true,
    }
}

/// The placeholder in which a byte of the text stands: on one line, as those of ERB, Jinja and mustache do, or
/// `@NAME@`.
fn placeholder_around(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let first = at.saturating_sub(NEAR);
    let last = text.len().min(at + NEAR);
    let from =
        bytes.get(first..at)?.iter().rposition(|&byte| byte == b'\n').map_or(first, |newline| first + newline + 1);
    let to = bytes.get(at..last)?.iter().position(|&byte| byte == b'\n').map_or(last, |length| at + length);
    let find = |mark: &str, from: usize, to: usize| {
        let area = bytes.get(from..to)?;
        area.windows(mark.len()).position(|window| window == mark.as_bytes()).map(|position| from + position)
    };
    for (open, close) in MARKS {
        let mut search = from;
        while let Some(start) = find(open, search, to).filter(|&start| start <= at) {
            let Some(end) = find(close, start + open.len(), to) else { break };
            let inside = bytes.get(start + open.len()..end).unwrap_or_default();
            let end = end + close.len();
            if end > at && may_be_inside(open, inside) && text.is_char_boundary(start) && text.is_char_boundary(end) {
                return Some(start..end);
            }
            search = end;
        }
    }
    let name = bytes.get(at..to)?.strip_prefix(b"@")?;
    let length = name.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))?;
    (length > 0 && name.get(length) == Some(&b'@')).then(|| at..at + length + 2)
}
