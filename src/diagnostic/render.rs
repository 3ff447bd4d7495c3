//! Findings as text with the source underlined, or as JSON.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::{Diagnostic, NOT_SHOWN, Severity, SourceFile, Sources, Span};

/// A line longer than this is shown in part: a list of 100,000 nodes may well stand on one line.
const LONGEST_LINE: usize = 160;
/// How much of a long line is shown before and behind the place.
const CONTEXT: usize = 60;

/// One finding with its source lines, in the style of rustc. `styled` adds terminal colours.
#[must_use]
pub fn render_text(finding: &Diagnostic, sources: &Sources, styled: bool) -> String {
    let level = match finding.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let hidden = finding.is_hidden(sources);
    let message = if hidden { Cow::Owned(not_shown(finding, sources)) } else { harmless(&finding.message) };
    let title = level.primary_title(&*message).id(finding.code.as_str());
    let excerpts = if hidden { Vec::new() } else { Excerpt::of(finding, sources) };
    let mut group = Group::with_title(title);
    for excerpt in &excerpts {
        group = excerpt.append_to(group);
    }
    let help = finding.help.as_deref().filter(|_| !hidden).map(harmless);
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(&**help));
    }
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let text = renderer.render(&[group]);
    excerpts.iter().fold(text, |text, excerpt| excerpt.correct_column(text))
}

/// A finding whose words may be those of the file.
fn not_shown(finding: &Diagnostic, sources: &Sources) -> String {
    let place = finding.labels.first().and_then(|label| Some((sources.get(label.span.file)?, label.span.start)));
    let place = place.map(|(file, at)| format!("{}:{}: ", harmless(&file.name).replace('\n', "?"), file.line(at)));
    format!("{}{NOT_SHOWN}", place.unwrap_or_default())
}

/// A line with the places in it, cut out so that the cost of a finding does not depend on the size of the file.
struct Excerpt<'a> {
    file: &'a SourceFile,
    line: u32,
    /// Characters from the start of the line to the first place, from 1.
    column: usize,
    name: Cow<'a, str>,
    text: Cow<'a, str>,
    places: Vec<(Range<usize>, &'a str, AnnotationKind)>,
    cut: bool,
}

impl<'a> Excerpt<'a> {
    /// The excerpts of a finding. Places on one line share one, unless the line had to be cut.
    fn of(finding: &'a Diagnostic, sources: &'a Sources) -> Vec<Self> {
        let mut excerpts: Vec<Self> = Vec::new();
        for (index, label) in finding.labels.iter().enumerate() {
            let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let Some(excerpt) = Self::new(sources, label.span, &label.text, kind) else { continue };
            let same = |other: &&mut Self| other.line == excerpt.line && std::ptr::eq(other.file, excerpt.file);
            match excerpts.iter_mut().find(same).filter(|other| !other.cut) {
                Some(other) => other.places.extend(excerpt.places),
                None => excerpts.push(excerpt),
            }
        }
        excerpts
    }

    fn new(sources: &'a Sources, span: Span, label: &'a str, kind: AnnotationKind) -> Option<Self> {
        let file = sources.get(span.file)?;
        let line = file.line(span.start);
        let (begin, end) = file.line_bounds(line);
        // A place that spans lines (a whole table) is shown by its first line.
        let start = floor(&file.text, (span.start as usize).clamp(begin, end));
        let stop = floor(&file.text, (span.end as usize).clamp(start, end));
        let column = file.text.get(begin..start)?.chars().count() + 1;
        let cut = end - begin > LONGEST_LINE;
        let (from, to) = if cut {
            let to = (stop.min(start + LONGEST_LINE) + CONTEXT).min(end);
            (floor(&file.text, start.saturating_sub(CONTEXT).max(begin)), floor(&file.text, to))
        } else {
            (begin, end)
        };
        let text = harmless(file.text.get(from..to)?);
        let name = Cow::Owned(harmless(&file.name).replace('\n', "?"));
        let place = start - from..stop.clamp(start, to) - from;
        Some(Self { file, line, column, name, text, places: vec![(place, label, kind)], cut })
    }

    fn append_to(&'a self, group: Group<'a>) -> Group<'a> {
        let annotations = self.places.iter().map(|(place, label, kind)| {
            let annotation = kind.span(place.clone());
            if label.is_empty() { annotation } else { annotation.label(*label) }
        });
        let snippet = Snippet::source(&*self.text).line_start(self.line as usize).annotations(annotations);
        group.element(snippet.path(&*self.name))
    }

    /// The renderer counts columns from the start of the excerpt; this puts in those of the file.
    fn correct_column(&self, text: String) -> String {
        let Some((place, ..)) = self.places.first().filter(|_| self.cut) else { return text };
        let counted = self.text.get(..place.start).map_or(0, |before| before.chars().count()) + 1;
        let at = |column: usize| format!("{}:{}:{column}", self.name, self.line);
        text.replacen(&at(counted), &at(self.column), 1)
    }
}

/// A text of somebody else's as it may be shown on a terminal: what controls it, or turns the direction of writing around,
/// becomes something visible that is as long.
fn harmless(text: &str) -> Cow<'_, str> {
    let bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || bidi(c);
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c.len_utf8() {
        _ if !bad(c) => c,
        1 => '?',
        2 => '\u{b7}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// One finding as data, for a program that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plain {
    /// Its code. An error that has none of its own has the word for how the command ended, a warning `null`.
    pub code: Option<&'static str>,
    /// `error`, `warning` or `note`.
    #[cfg_attr(test, schemars(extend("enum" = ["error", "warning", "note"])))]
    pub severity: &'static str,
    /// One sentence.
    pub message: String,
    /// The file that it stands in, if it stands in one.
    pub file: Option<String>,
    /// The line there, from 1.
    pub line: Option<u32>,
    /// What to do.
    pub help: Option<String>,
    /// The file, from the folder of the cluster file on, where it is in a folder there.
    #[serde(skip)]
    pub base: Option<String>,
}

impl Plain {
    /// A finding with its place.
    #[must_use]
    pub fn of(finding: &Diagnostic, sources: &Sources) -> Self {
        let place = finding.labels.first().and_then(|label| Some((sources.get(label.span.file)?, label.span.start)));
        let hidden = finding.is_hidden(sources);
        Self {
            code: Some(finding.code.as_str()),
            severity: word(finding.severity()),
            message: if hidden { NOT_SHOWN.to_owned() } else { finding.message.clone() },
            file: place.map(|(file, _)| file.name.clone()),
            line: place.map(|(file, at)| file.line(at)),
            help: finding.help.clone().filter(|_| !hidden),
            base: place.map(|(file, _)| file.base_name()).filter(|name| name.contains('/')),
        }
    }

    /// Something that stands in no file. What people read begins with the code, which has a place of its own here.
    #[must_use]
    pub fn new(severity: Severity, code: Option<&'static str>, message: String) -> Self {
        let behind = code.and_then(|code| message.strip_prefix(code)?.strip_prefix(": ")).map(str::to_owned);
        let message = behind.unwrap_or(message);
        Self { code, severity: word(severity), message, file: None, line: None, help: None, base: None }
    }

    /// Calls the file as lines of the cluster file are called: from the folder of that one on.
    pub fn forget_folder(&mut self) {
        self.file = self.base_name();
    }

    /// That name.
    #[must_use]
    pub fn base_name(&self) -> Option<String> {
        let name = || self.file.as_ref().map(|file| file.rsplit('/').next().unwrap_or(file).to_owned());
        self.base.clone().or_else(name)
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// One finding as one line of JSON: `code`, `severity`, `message`, `file`, `line` (from 1), `help`;
/// `file` and `line` are null for what stands in no file.
#[must_use]
pub fn render_json(finding: &Diagnostic, sources: &Sources) -> String {
    // Strings and numbers always serialise.
    serde_json::to_string(&Plain::of(finding, sources)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, FileId};

    #[test]
    fn a_code_stands_in_one_place() {
        let plain = |words: &str| Plain::new(Severity::Note, Some("other-namespace"), words.to_owned()).message;
        assert_eq!(plain("other-namespace: eth0 leads away"), "eth0 leads away");
        assert_eq!(plain("other-namespaces lead away"), "other-namespaces lead away");
    }

    #[test]
    fn a_hidden_line_is_in_no_rendering() {
        let file = SourceFile::new("a.toml".into(), "x\nSECRET\n".into());
        let finding =
            Diagnostic::new(Code::Syntax, Span::new(FileId::CLUSTER, 2..8), "`SECRET`").help("write `SECRET`");
        let said = |shown: bool| {
            let sources = Sources::new(file.clone().with_shown(shown));
            [render_text(&finding, &sources, false), render_json(&finding, &sources)]
        };
        assert!(said(true).iter().all(|text| text.contains("SECRET")));
        assert!(said(false).iter().all(|text| !text.contains("SECRET") && text.contains(NOT_SHOWN)));
        assert!(said(false)[0].contains("a.toml:2: ") && said(false)[1].contains("\"line\":2"), "{:?}", said(false));
    }

    #[test]
    fn nothing_gets_at_the_terminal() {
        let sources = Sources::new(SourceFile::new("a\u{1b}[31m\nb".into(), "x\u{9b}2J \u{202e} y".into()));
        let finding =
            Diagnostic::new(Code::Syntax, Span::new(FileId::CLUSTER, 0..1), "m\u{1b}[2J\u{85}").help("h\u{7}");
        let text = render_text(&finding, &sources, false);
        let bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(bad) && text.contains("a?[31m?b:1:1") && text.contains("2J"), "{text:?}");
    }

    fn render(text: &str, range: Range<usize>) -> String {
        let sources = Sources::new(SourceFile::new("cluster.toml".into(), text.into()));
        let finding = Diagnostic::new(Code::BadAddress, Span::new(FileId::CLUSTER, range), "`x` is bad").help("fix it");
        render_text(&finding, &sources, false)
    }

    #[test]
    fn points_at_the_place() {
        let text = render("a = 1\nb = \"x\"\n", 10..13);
        assert!(text.starts_with("error[bad-address]: `x` is bad\n"), "{text}");
        assert!(text.contains("cluster.toml:2:5"), "{text}");
        assert!(text.contains("help: fix it"), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_column() {
        let line = format!("nodes = [{} \"x\", {}]", "é, ".repeat(50_000), "y, ".repeat(50_000));
        let at = line.find('x').unwrap();
        let text = render(&line, at..at + 1);
        assert!(text.len() < 1000, "{}", text.len());
        assert!(text.contains(&format!("cluster.toml:1:{}", line[..at].chars().count() + 1)), "{text}");
    }

    #[test]
    fn any_place_in_any_text_renders() {
        for text in ["", "\n", "é\r\nü", "a\u{0}b"] {
            for start in 0..=text.len() + 1 {
                for end in start..=text.len() + 2 {
                    render(text, start..end);
                }
            }
        }
    }
}
