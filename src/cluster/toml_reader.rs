//! Walks a TOML document and notes everything that is wrong with it.
//!
//! Written over the parsed document rather than over serde, because a deserializer stops at its first error and an
//! admin wants all of them. Every key that is asked for becomes known; [`TableReader::finish`] reports the others.

mod ports;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::ports::ONLY_TCP;
use super::day::Day;
use super::name::Name;
use super::syntax::List;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::net::Interface;

/// A value and its place.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// The longest name of a cluster, client, service or profile.
pub const LONGEST_NAME: usize = 64;
/// The longest name of a node. It is an atom of Erlang, which has up to 255 characters (Erlang's reference manual, Data Types:
/// Atom), and pods of Kubernetes come near to that.
pub const LONGEST_NODE_NAME: usize = 255;

/// The document being read and what was found in it so far.
pub struct Reader<'f> {
    file: FileId,
    /// What is in no document; see [`List`].
    lists: &'f [List<'f>],
    /// The text that these are in.
    text: Option<&'f Arc<String>>,
    findings: &'f mut Findings,
}

/// One table of the document.
pub struct TableReader<'t> {
    table: &'t DeTable<'t>,
    /// As the user would call it: `[guard]`, `node \`riak@10.0.0.1\``.
    title: Cow<'static, str>,
    /// Where it begins.
    pub span: Span,
    known: Vec<&'static str>,
    /// Keys that are missing, and what is most likely a misspelling of each.
    misspelt: Vec<(&'static str, &'t str)>,
}

/// The strings of a list, of which there may be very many.
pub struct Texts<'t> {
    count: usize,
    each: Box<dyn Iterator<Item = Text<'t>> + 't>,
}

impl Default for Texts<'_> {
    fn default() -> Self {
        Self { count: 0, each: Box::new(std::iter::empty()) }
    }
}

impl Texts<'_> {
    /// How many there are, some of which may be gone through.
    pub fn count_of_all(&self) -> usize {
        self.count
    }
}

impl<'t> Iterator for Texts<'t> {
    type Item = Text<'t>;

    fn next(&mut self) -> Option<Text<'t>> {
        self.each.next()
    }
}

/// A text and its place.
#[derive(Clone, Copy)]
pub struct Text<'t> {
    /// What it says.
    pub text: &'t str,
    /// Where.
    pub span: Span,
}

impl<'f> Reader<'f> {
    /// Begins to read a document.
    pub fn new(file: FileId, findings: &'f mut Findings) -> Self {
        Self { file, lists: &[], text: None, findings }
    }

    /// With the lists that are not in the document, and the text of both.
    pub fn with_lists(self, lists: &'f [List<'f>], text: &'f Arc<String>) -> Self {
        Self { lists, text: Some(text), ..self }
    }

    /// A node's name, as it is kept.
    pub fn node_name(&self, name: Text<'_>) -> Name {
        match self.text.filter(|_| name.span.file == self.file && !self.lists.is_empty()) {
            Some(text) => Name::within(text, name.span, name.text),
            None => Name::own(name.text, name.span),
        }
    }

    /// The same for another file.
    pub fn in_file<'a>(&'a mut self, file: FileId, lists: &'a [List<'a>]) -> Reader<'a> {
        Reader { file, lists, text: None, findings: self.findings }
    }

    /// Whether a value is a list of nothing.
    pub fn is_empty_list(&self, value: &Value<'_>) -> bool {
        value.get_ref().as_array().is_some_and(|list| list.is_empty()) && self.taken_out(value).is_none()
    }

    /// What stood where a document has an empty list.
    fn taken_out(&self, value: &Value<'_>) -> Option<List<'f>> {
        let start = value.span().start;
        let at = self.lists.binary_search_by_key(&start, |list| list.start).ok()?;
        self.lists.get(at).copied()
    }

    /// Whether it reads a profile.
    pub fn is_of_profile(&self) -> bool {
        self.file == FileId::PROFILE
    }

    /// Notes a finding.
    pub fn push(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Whether `read` found something that could not be read.
    pub fn fails<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.findings.errors();
        let value = read(self);
        (value, self.findings.errors() > before)
    }

    /// The place of a value.
    pub fn span<T>(&self, value: &Spanned<T>) -> Span {
        Span::new(self.file, value.span())
    }

    /// The whole document as a table.
    pub fn document<'t>(&self, document: &'t Spanned<DeTable<'t>>) -> TableReader<'t> {
        let span = Span::new(self.file, 0..0);
        TableReader {
            table: document.get_ref(),
            title: "the file".into(),
            span,
            known: Vec::new(),
            misspelt: Vec::new(),
        }
    }

    /// A value that must be a table.
    pub fn table<'t>(&mut self, value: &'t Value<'t>, title: impl Into<Cow<'static, str>>) -> Option<TableReader<'t>> {
        let title = title.into();
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(TableReader { table, title, span: self.span(value), known: Vec::new(), misspelt: Vec::new() })
            }
            other => self.wrong_type(value, &title, "a table", other),
        }
    }

    /// A value that must be a string.
    pub fn text<'t>(&mut self, value: &'t Value<'t>, what: &str) -> Option<Text<'t>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text { text, span: self.span(value) }),
            other => self.wrong_type(value, what, "a string", other),
        }
    }

    /// A value that must be `true` or `false`.
    pub fn boolean(&mut self, value: &Value<'_>, what: &str) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => self.wrong_type(value, what, "`true` or `false`", other),
        }
    }

    /// A value that must be a whole number from 1.
    pub fn number(&mut self, value: &Value<'_>, what: &str) -> Option<u32> {
        match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => {
                let parsed = number.as_str().parse().ok().filter(|&number| number >= 1);
                if parsed.is_none() {
                    let message = format!("{what} must be a whole number from 1");
                    self.push(Diagnostic::new(Code::UnknownValue, self.span(value), message));
                }
                parsed
            }
            other => self.wrong_type(value, what, "a whole number", other),
        }
    }

    /// A sentence that goes into comments of rulesets: printable, without quotes and backslashes.
    pub fn phrase(&mut self, value: &Value<'_>, what: &str) -> Option<String> {
        const LONGEST: usize = 200;
        let text = self.text(value, what)?;
        let bad = text.text.chars().find(|c| c.is_control() || "\"\\".contains(*c));
        let reason = match bad {
            Some(bad) => format!("has the character `{}`", bad.escape_default()),
            None if text.text.chars().count() > LONGEST => format!("is longer than {LONGEST} characters"),
            None => return Some(text.text.to_owned()),
        };
        let help = "it goes into comments of the rulesets: one line, without quotes and backslashes";
        self.push(Diagnostic::new(Code::UnknownValue, text.span, format!("{what} {reason}")).help(help));
        None
    }

    /// A day: `"2027-01-31"`, or TOML's own local date.
    pub fn day(&mut self, value: &Value<'_>, what: &str) -> Option<Day> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(at) => at.to_string(),
            other => return self.wrong_type(value, what, "a day such as `\"2027-01-31\"`", other),
        };
        let day = text.parse().ok();
        if day.is_none() {
            let message = format!("{what} is no day: `{}`", printable(&text));
            let finding = Diagnostic::new(Code::BadUntil, self.span(value), message);
            self.push(finding.help("write a day of the calendar as year, month and day: `\"2027-01-31\"`"));
        }
        day
    }

    /// A value that must be a list of tables.
    pub fn tables<'t>(
        &mut self,
        value: &'t Value<'t>,
        what: &str,
    ) -> Option<impl Iterator<Item = &'t Value<'t>> + use<'t>> {
        if self.taken_out(value).is_some() {
            let message = format!("{what} must be a list of tables, not of strings");
            self.push(Diagnostic::new(Code::WrongType, self.span(value), message));
            return None;
        }
        self.list(value, what)
    }

    fn list<'t>(&mut self, value: &'t Value<'t>, what: &str) -> Option<impl Iterator<Item = &'t Value<'t>> + use<'t>> {
        match value.get_ref() {
            DeValue::Array(list) => Some(list.iter()),
            other => self.wrong_type(value, what, "a list", other),
        }
    }

    /// A list of strings, or a single one; what is no string is noted and left out. `None` if it is neither.
    pub fn texts<'t>(&mut self, value: &'t Value<'t>, what: &str) -> Option<Texts<'t>>
    where
        'f: 't,
    {
        if let DeValue::String(text) = value.get_ref() {
            let one = Text { text, span: self.span(value) };
            return Some(Texts { count: 1, each: Box::new(std::iter::once(one)) });
        }
        if let Some(list) = self.taken_out(value) {
            let file = self.file;
            let text = move |(text, range)| Text { text, span: Span::new(file, range) };
            return Some(Texts { count: list.len(), each: Box::new(list.strings().map(text)) });
        }
        let entry = format!("an entry of {what}");
        let list = self.list(value, what)?;
        let texts: Vec<Text<'t>> = list.filter_map(|item| self.text(item, &entry)).collect();
        Some(Texts { count: texts.len(), each: Box::new(texts.into_iter()) })
    }

    /// A list of interface names.
    pub fn interfaces(&mut self, value: &Value<'_>, what: &str) -> Option<Box<[Interface]>> {
        let texts: Vec<Text<'_>> = self.texts(value, what)?.collect();
        if texts.is_empty() {
            let message = format!("{what} names no interface");
            let help = "name at least one, or leave the key out to admit on any interface";
            self.push(Diagnostic::new(Code::BadInterface, self.span(value), message).help(help));
            return None;
        }
        let parsed: Vec<Option<Interface>> = texts.iter().map(|text| self.interface(*text)).collect();
        parsed.into_iter().collect()
    }

    /// The name of an interface.
    pub fn interface(&mut self, text: Text<'_>) -> Option<Interface> {
        match Interface::from_str(text.text) {
            Ok(interface) => Some(interface),
            Err(error) => {
                let message = format!("`{}` is no interface name: {error}", printable(text.text));
                let help =
                    "give the name as `ip link` prints it, without wildcard or alias; loopback is always admitted";
                self.push(Diagnostic::new(Code::BadInterface, text.span, message).help(help));
                None
            }
        }
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, value: &Value<'_>, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(value, what)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.text) {
            return Some(*meaning);
        }
        let message = format!("{what} cannot be `{}`", printable(text.text));
        let list: Vec<String> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        self.push(Diagnostic::new(Code::UnknownValue, text.span, message).help(format!("use {}", list.join(" or "))));
        None
    }

    /// Whether a text may be a name: `[A-Za-z0-9._@-]`, at most 64, not beginning with `.` or `-`.
    pub fn check_name(&mut self, text: Text<'_>, what: &str, extra: &str) -> bool {
        self.check_name_up_to(LONGEST_NAME, text, what, extra)
    }

    /// Whether a text may be the name of a node, which is longer.
    pub fn check_node_name(&mut self, text: Text<'_>, extra: &str) -> bool {
        self.check_name_up_to(LONGEST_NODE_NAME, text, "a node", extra)
    }

    fn check_name_up_to(&mut self, longest: usize, text: Text<'_>, what: &str, extra: &str) -> bool {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-') || extra.contains(c);
        let bad = text.text.chars().find(|c| !is_good(*c));
        let reason = if text.text.is_empty() {
            "is empty".to_owned()
        } else if let Some(bad) = bad {
            format!("has the character `{}`", bad.escape_default())
        } else if text.text.len() > longest {
            format!("has {} characters", text.text.len())
        } else if text.text.starts_with(['.', '-']) {
            "begins with `.` or `-`".to_owned()
        } else {
            return true;
        };
        let message = format!("the name of {what} {reason}");
        let help = format!("use up to {longest} letters, digits, `.`, `_`, `@` and `-`, not beginning with `.` or `-`");
        self.push(Diagnostic::new(Code::BadName, text.span, message).help(help));
        false
    }

    fn wrong_type<T>(&mut self, value: &Value<'_>, what: &str, wanted: &str, found: &DeValue<'_>) -> Option<T> {
        let message = format!("{what} must be {wanted}, not {}", type_name(found));
        self.push(Diagnostic::new(Code::WrongType, self.span(value), message));
        None
    }
}

impl<'t> TableReader<'t> {
    /// All keys that there may be, asked for or not. A key that is none of them and near to one that is missing is read in
    /// its place, besides being reported: what is wrong inside is not to be found only once the key is spelt right.
    pub fn may_have(mut self, keys: &[&'static str]) -> Self {
        let missing = || keys.iter().copied().filter(|key| !self.table.contains_key(*key));
        let strange = self.table.keys().map(|key| &**key.get_ref()).filter(|key| !keys.contains(key));
        let mut misspelt: Vec<(&'static str, &'t str)> = Vec::new();
        for found in strange {
            // What it most likely is has to be missing: otherwise it is something else.
            let meant = closest(found, keys.iter().copied()).and_then(|near| missing().find(|key| *key == near));
            if let Some(meant) = meant.filter(|meant| misspelt.iter().all(|(key, _)| key != meant)) {
                misspelt.push((meant, found));
            }
        }
        self.misspelt = misspelt;
        self
    }

    /// The value of a key, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let meant = || self.misspelt.iter().find(|(own, _)| *own == key).map(|(_, found)| *found);
        self.table.get(key).or_else(|| self.table.get(meant()?))
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &'static str, reader: &mut Reader<'_>, help: &str) -> Option<&'t Value<'t>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("{} lacks `{key}`", self.title);
            reader.push(Diagnostic::new(Code::MissingKey, self.span, message).help(help.to_owned()));
        }
        value
    }

    /// Every key with its place and value, for tables whose keys are names.
    pub fn entries(&self, reader: &Reader<'_>) -> Vec<(Text<'t>, &'t Value<'t>)> {
        let file = reader.file;
        let text = |key: &'t Spanned<Cow<'t, str>>| Text { text: key.get_ref(), span: Span::new(file, key.span()) };
        self.table.iter().map(|(key, value)| (text(key), value)).collect()
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, reader: &mut Reader<'_>) {
        for (key, _) in self.entries(reader) {
            if self.known.contains(&key.text) {
                continue;
            }
            let message = format!("{} has no key `{}`", self.title, printable(key.text));
            let mut finding = Diagnostic::new(Code::UnknownKey, key.span, message);
            finding = match closest(key.text, self.known.iter().copied()) {
                _ if matches!(key.text, "protocol" | "proto" | "udp" | "tcp") => finding.help(ONLY_TCP),
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("its keys are: {}", self.known.join(", "))),
            };
            reader.push(finding);
        }
    }
}

/// A text from a file as it may be shown on a terminal: no control characters, not endless.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that the user most likely meant, if one is near.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody misspells a word into a text this long, and the distance costs its length times the candidate's.
    if word.len() > 2 * LONGEST_NAME {
        return None;
    }
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
