//! One line of riak.conf or rabbitmq.conf.

use super::Entry;
use crate::diagnostic::{Code, Diagnostic, FileId, Span};

const BLANKS: [char; 2] = [' ', '\t'];

pub(super) enum Line<'a> {
    /// Blank, or a comment.
    Nothing,
    Setting(Entry),
    /// What is included, and where it is named.
    Include(&'a str, Span),
}

/// Reads a line that begins at the byte `start` of its file. `ended` says whether there is a line end behind it.
pub(super) fn read(line: &str, start: usize, ended: bool, file: FileId) -> Result<Line<'_>, Diagnostic> {
    let span = |part: &str, at: usize| Span::new(file, start + at..start + at + part.len());
    let trimmed = line.trim_start_matches(BLANKS);
    let at = line.len() - trimmed.len();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let whole = trimmed.trim_end_matches(BLANKS);
    let refuse = |why: Why| Err(why.finding(whole, span(whole, at)));
    let written = trimmed.find(|c| !is_of_key(c)).map_or(trimmed, |end| trimmed.split_at(end).0);
    let behind = trimmed.split_at(written.len()).1.trim_start_matches(BLANKS);
    let (Some(key), Some(value)) = (segments(written), behind.strip_prefix('=')) else {
        return match include(trimmed) {
            Some(path) => Ok(Line::Include(path, span(whole, at))),
            None => refuse(Why::of(whole)),
        };
    };
    let value = value.trim_start_matches(BLANKS);
    let value_at = line.len() - value.len();
    // Without a line end or a comment behind them, the blanks belong to the value.
    let value = match value.split_once('#') {
        Some((value, _)) => value.trim_end_matches(BLANKS),
        None if ended => value.trim_end_matches(BLANKS),
        None => value,
    };
    if value.is_empty() {
        return refuse(Why::NoValue);
    }
    Ok(Line::Setting(Entry {
        key,
        value: value.to_owned(),
        key_span: span(written, at),
        value_span: span(value, value_at),
        unknown: false,
        replaces: Vec::new(),
    }))
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.\\".contains(c)
}

/// The segments of a key as it is written, or `None` where it is none: an empty segment, or a backslash before anything
/// but a dot.
fn segments(written: &str) -> Option<Vec<String>> {
    let mut segments = vec![String::new()];
    let mut characters = written.chars();
    while let Some(c) = characters.next() {
        match c {
            '.' => segments.push(String::new()),
            '\\' => {
                characters.next().filter(|&c| c == '.')?;
                segments.last_mut()?.push('.');
            }
            _ => segments.last_mut()?.push(c),
        }
    }
    segments.iter().all(|segment| !segment.is_empty()).then_some(segments)
}

/// What an `include` takes in: a path, or one with `*` in its last part. Only blanks before a comment may follow it.
fn include(trimmed: &str) -> Option<&str> {
    let rest = trimmed.strip_prefix("include")?.trim_start_matches(BLANKS);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.*/".contains(c))).unwrap_or(rest.len());
    let (path, behind) = rest.split_at(end);
    let is_whole = behind.is_empty() || behind.trim_start_matches(BLANKS).starts_with('#');
    (is_whole && !path.is_empty()).then_some(path)
}

/// Why cuttlefish would refuse a line.
enum Why {
    ByteOrderMark,
    Template,
    NoValue,
    NoEquals,
    BadKey,
    Comment(&'static str),
    Include,
}

impl Why {
    fn of(line: &str) -> Self {
        let comment = ["%", "//", ";", "--"].into_iter().find(|mark| line.starts_with(mark));
        let template = ["{{", "{%", "<%"].iter().any(|mark| line.starts_with(mark));
        match line.split_once('=') {
            _ if line.starts_with('\u{feff}') => Self::ByteOrderMark,
            _ if template => Self::Template,
            _ if line == "include" || line.starts_with("include ") => Self::Include,
            _ if let Some(mark) = comment => Self::Comment(mark),
            Some(_) => Self::BadKey,
            None => Self::NoEquals,
        }
    }

    fn finding(self, line: &str, span: Span) -> Diagnostic {
        let key = line.split('=').next().unwrap_or(line).trim();
        let (code, message, help) = match self {
            Self::ByteOrderMark => (
                Code::RiakConfSyntax,
                "the file begins with a byte order mark, and the program refuses it".to_owned(),
                "save it as UTF-8 without a byte order mark".to_owned(),
            ),
            Self::Template => (
                Code::Template,
                format!("`{line}` belongs to a template, not to a finished file"),
                "give the file that was made from the template, as it is on a node".to_owned(),
            ),
            Self::NoValue => (
                Code::RiakConfSyntax,
                format!("`{key}` has no value, and the program refuses the file"),
                "write a value behind the `=`, or a `#` before the line".to_owned(),
            ),
            Self::NoEquals => (
                Code::RiakConfSyntax,
                format!("`{line}` is no `key = value`"),
                "write `key = value`, or a `#` before the line".to_owned(),
            ),
            Self::BadKey => (
                Code::RiakConfSyntax,
                format!("`{key}` is no key"),
                "a key is made of letters, digits, `_` and `-`, in parts with one dot between them; write `\\.` for a dot \
                 within a part"
                    .to_owned(),
            ),
            Self::Comment(mark) => (
                Code::RiakConfSyntax,
                format!("`{mark}` begins no comment in this file"),
                "begin comments with `#`".to_owned(),
            ),
            Self::Include => (
                Code::RiakConfSyntax,
                format!("`{line}` includes nothing that could be read"),
                "write `include`, one path of letters, digits and `-_.*/`, and nothing behind it but a `#`".to_owned(),
            ),
        };
        Diagnostic::new(code, span, message).help(help)
    }
}
