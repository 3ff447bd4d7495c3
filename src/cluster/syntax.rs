//! The text of a TOML file made a document, and what is wrong with one that is none, in words for whoever wrote it.

use std::ops::Range;

mod lists;
mod unclosed;

use toml::Spanned;
use toml::de::DeTable;

use self::unclosed::Unclosed;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
pub use lists::{List, Shortened};

/// A file that is something else altogether has thousands.
const MOST_SYNTAX_ERRORS: usize = 5;

/// Parses a document; every syntax error becomes a finding, and then there is no document.
pub fn parse_document<'t>(
    text: &'t Shortened<'_>,
    file: FileId,
    findings: &mut Findings,
) -> Option<Spanned<DeTable<'t>>> {
    let Shortened { text, whole, lists } = text;
    let (document, mut errors) = DeTable::parse_recoverable(text);
    // What is wrong is told of the text as it was.
    if !errors.is_empty() && !lists.is_empty() {
        errors = DeTable::parse_recoverable(whole).1;
    }
    let text = *whole;
    if !errors.is_empty()
        && let Some((what, range)) = another_kind(text)
    {
        let finding =
            Diagnostic::new(Code::Syntax, Span::new(file, range), format!("this is {what}, and no cluster file"));
        findings.push(finding.help("`ringfence verify CLUSTER.toml --ruleset FILE` holds it against a cluster file"));
        return None;
    }
    let unclosed = if errors.is_empty() { Vec::new() } else { unclosed::find(text) };
    for one in &unclosed {
        // Behind it nothing is what it seems; behind the name of a table only the rest of its line.
        let line = text.get(one.at.start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
        let end = if one.swallows() { usize::MAX } else { one.at.start + line };
        errors.retain(|error| !(one.at.start..=end).contains(&error.span().unwrap_or(0..0).start));
    }
    let mut last = Span::new(file, 0..0);
    for error in errors.iter().take(MOST_SYNTAX_ERRORS) {
        let range = error.span().unwrap_or(0..0);
        let help = syntax_help(text, error.message(), range.start);
        let bare = bare_word(text, error.message(), range.start);
        let message =
            bare.map_or_else(|| error.message().to_owned(), |word| format!("`{word}` is a text without quotes"));
        last = Span::new(file, range);
        let finding = Diagnostic::new(Code::Syntax, last, message);
        findings.push(finding.help(bare.map_or(help, |word| format!("write `\"{word}\"`"))));
    }
    if let Some(more) = errors.len().checked_sub(MOST_SYNTAX_ERRORS + 1) {
        let more = more + 1;
        let message = format!("and {more} more errors of syntax; is this a cluster file?");
        // Where the last of them is, so that it comes behind.
        findings.push(Diagnostic::new(Code::Syntax, last, message));
    }
    let whole = errors.is_empty() && unclosed.is_empty();
    for one in unclosed {
        findings.push(without_end(text, file, one));
    }
    whole.then_some(document)
}

/// One finding for all that follows from it.
fn without_end(text: &str, file: FileId, unclosed: Unclosed) -> Diagnostic {
    let behind = if unclosed.swallows() { "; what stands behind it is read once it is there" } else { "" };
    let Unclosed { at, what, missing, before_line } = unclosed;
    let before = text.get(..at.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let place = match before_line {
        Some(next) => format!(" before line {next}"),
        None if what == "text" && missing.len() == 1 => format!(" in line {line}"),
        None => String::new(),
    };
    let message =
        format!("the {what} that begins at line {line}, column {column} has no end: is a `{missing}` missing{place}?");
    Diagnostic::new(Code::Syntax, Span::new(file, at), message).help(format!("write the `{missing}`{behind}"))
}

/// A ruleset where a cluster file should be: what it is, and the line that says so.
fn another_kind(text: &str) -> Option<(&'static str, Range<usize>)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, content) = (at, line.trim());
        at += line.len();
        let words: Vec<&str> = content.split_whitespace().collect();
        let what = match words.as_slice() {
            ["table", "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev", ..] | ["flush", "ruleset", ..] => {
                "an nft ruleset"
            }
            [table] if table.starts_with('*') && text.contains("\nCOMMIT") => "a ruleset of iptables",
            ["create", _, kind, ..] if kind.contains(':') => "a file of ipsets",
            _ => continue,
        };
        return Some((what, start..start + line.trim_end().len()));
    }
    None
}

/// A word as a value, which TOML takes for the beginning of a number or of `true`, and speaks of that.
fn bare_word<'t>(text: &'t str, message: &str, at: usize) -> Option<&'t str> {
    let begins = text.get(..at)?.trim_end().ends_with(['=', '[', ',']);
    let rest = text.get(at..)?;
    let word = rest.split([' ', '\t', '\r', '\n', ',', ']', '#', '}']).next()?;
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(['"', '\'', '`', '=']);
    let says_so = message.starts_with("invalid ") || message.starts_with("string values must be quoted");
    (begins && is_word && says_so).then_some(word)
}

/// What the slip most likely is, judged by the line that it is on.
fn syntax_help(text: &str, message: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim();
    let single = ["client", "node"].into_iter().find(|name| text.contains(&format!("\n[{name}]")));
    if let Some(name) = single.filter(|_| message.contains("duplicate key")) {
        return format!("each {name} begins with two brackets: `[[{name}]]`");
    }
    if message.contains("duplicate key") {
        return "each key stands once in its table: leave one of them out, or make one of both".to_owned();
    }
    if line.contains(['“', '”', '„', '‘', '’']) {
        return "these are typographic quotes; use `\"`".to_owned();
    }
    if line.split_once(": ").is_some_and(|(key, _)| !key.contains(['=', '"', '#'])) {
        return "TOML writes `key = value`, with `=`".to_owned();
    }
    if line.split_once('=').is_some_and(|(_, value)| value.trim().starts_with(|c: char| c.is_ascii_digit())) {
        return "ranges and addresses stand in quotes: `\"6000-6009\"`, `\"10.20.0.11\"`".to_owned();
    }
    "the file is TOML (https://toml.io); names and addresses stand in quotes, and a list ends with `]`".to_owned()
}
