//! riak.conf and rabbitmq.conf, as cuttlefish reads them.
//!
//! One `key = value` a line. Blanks and tabs around both do not count, `#` ends a value wherever it stands, and quotes mean
//! nothing. Keys are segments between dots; `\.` is a dot within a segment. The last of duplicates is in force, and
//! `$(key)` in a value stands for the value of that key. Cuttlefish (<https://github.com/Kyorai/cuttlefish>, `conf_parse.peg`,
//! `cuttlefish_conf.erl`, `cuttlefish_generator.erl`) refuses a whole file for one line that is neither; here each such
//! line is a finding, and all are looked at. What stands outside of the file (what `include` takes in, the environment, the
//! defaults of Riak's schema) cannot be known: a finding says so, and the value is marked.
//!
//! `include conf.d/*.conf` stands in every riak.conf that Riak 3 makes, mostly for no file at all; then nothing is missing.
//!
//! `line` takes one line apart, `include` looks for what is taken in, `substitute` puts in what `$(…)` names.

mod include;
mod line;
mod substitute;
#[cfg(test)]
mod tests;

use std::path::Path;

use rustc_hash::FxHashMap;

use self::line::Line;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

/// A setting as it is in force: the last of its duplicates, with what it refers to put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Without escapes. A dot that was escaped is part of a segment.
    pub key: Vec<String>,
    /// What is set; where it is [unknown](Self::unknown), as it is written.
    pub value: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Where the value stands.
    pub value_span: Span,
    /// Whether a `$(…)` in the value, or in a value that it refers to, cannot be known from this file. A finding says why.
    pub unknown: bool,
    /// Where the same key was set before, in vain; in the order of the file.
    pub replaces: Vec<Span>,
}

/// Reads the settings in the order of the file; of duplicates, the place of the last counts.
pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Vec<Entry> {
    parse_in(None, text, file, findings)
}

/// The same of a file in a folder, where what it takes in is looked for.
pub fn parse_in(folder: Option<&Path>, text: &str, file: FileId, findings: &mut Findings) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (start, content, ended) in lines(text) {
        match line::read(content, start, ended, file) {
            Ok(Line::Nothing) => {}
            Ok(Line::Setting(entry)) => entries.push(entry),
            Ok(Line::Include(path, span)) => match folder.and_then(|folder| include::files(folder, path)) {
                Some(files) if files.is_empty() => {}
                files => findings.push(not_included(path, &files.unwrap_or_default(), span)),
            },
            Err(finding) => findings.push(finding),
        }
    }
    let mut entries = last_of_duplicates(entries);
    substitute::substitute(&mut entries, findings);
    for entry in &entries {
        check_value(entry, text, findings);
    }
    entries
}

/// The lines with the place of their first byte, without their end mark, and whether they had one. A line ends with a line
/// feed; one carriage return before it belongs to the mark.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |whole| {
        let at = start;
        start += whole.len();
        match whole.strip_suffix('\n') {
            Some(line) => (at, line.strip_suffix('\r').unwrap_or(line), true),
            None => (at, whole, false),
        }
    })
}

/// Of entries with one key the last, with the places of the others.
pub fn last_of_duplicates(entries: Vec<Entry>) -> Vec<Entry> {
    let mut places: FxHashMap<Vec<String>, Vec<Span>> = FxHashMap::default();
    for entry in &entries {
        places.entry(entry.key.clone()).or_default().push(entry.key_span);
    }
    let mut kept = Vec::with_capacity(places.len());
    for mut entry in entries {
        // Only the last one finds its own place at the end of the list.
        let is_last = places.get(&entry.key).and_then(|spans| spans.last()) == Some(&entry.key_span);
        if is_last && let Some(mut spans) = places.remove(&entry.key) {
            spans.pop();
            entry.replaces.extend(spans);
            kept.push(entry);
        }
    }
    kept
}

fn not_included(path: &str, files: &[String], span: Span) -> Diagnostic {
    let files = if files.is_empty() { String::new() } else { format!(" ({})", files.join(", ")) };
    let message =
        format!("`{path}` is included here, but not read{files}: its settings are missing, and may override these");
    Diagnostic::new(Code::NotRead, span, message).help(
        "if it sets a listener, a port or the node's name, write its lines in place of this one and read the result",
    )
}

/// What is written is taken as it stands, but it is hardly what was meant.
fn check_value(entry: &Entry, text: &str, findings: &mut Findings) {
    if [("{{", "}}"), ("<%", "%>"), ("{%", "%}")].iter().any(|(open, shut)| between(&entry.value, open, shut)) {
        let message = format!("`{}` is a placeholder of a template, no value", entry.value);
        let help = "give the file that was made from the template, as it is on a node";
        findings.push(Diagnostic::new(Code::Template, entry.value_span, message).help(help));
    }
    let at_the_end = entry.value_span.end as usize == text.len();
    if at_the_end && entry.value.ends_with([' ', '\t', '\r']) {
        let message = format!(
            "the blanks behind `{}` are part of the value, since the file does not end with a line end",
            entry.value.trim_end()
        );
        let help = "end the last line with a line end, or take the blanks away";
        findings.push(Diagnostic::new(Code::RiakConfValue, entry.value_span, message).help(help));
    }
}

fn between(text: &str, open: &str, shut: &str) -> bool {
    text.split_once(open).is_some_and(|(_, rest)| rest.contains(shut))
}
