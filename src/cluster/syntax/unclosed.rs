//! A bracket, brace or quote without its other half, found by looking at nothing else.
//!
//! A parser that goes on behind a missing `]` takes every line that follows for a part of the list, and finds something
//! wrong with each. The true place is where the list begins. This is only asked of a text that is known to be no TOML
//! (<https://toml.io/en/v1.0.0>): in one that is, every bracket has its other half.

use std::ops::Range;

/// Something that has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// What opens it.
    pub at: Range<usize>,
    /// What it is: `list`, `table`, `text`, `name of a table`.
    pub what: &'static str,
    /// What is missing.
    pub missing: &'static str,
    /// The line, counted from 1, before which it is missing, where that can be said.
    pub before_line: Option<usize>,
}

impl Unclosed {
    /// Whether all that follows is taken for a part of it. The name of a table ends with its line.
    pub fn swallows(&self) -> bool {
        self.what != NAME
    }
}

/// No more names than this are told; a file may have one in each line.
const MOST_NAMES: usize = 5;

/// What a line is that begins with a bracket.
const NAME: &str = "name of a table";

/// Everything without an end, up to the first that swallows what follows.
pub(super) fn find(text: &str) -> Vec<Unclosed> {
    let mut scan = Scan { text, at: 0, line: 1, open: Vec::new(), last: b'\n', suspect: None, names: Vec::new() };
    let last = match scan.run() {
        Err(found) => Some(found),
        // Of several, the innermost: its end is missing first.
        Ok(()) => scan.open.last().map(|open| open.unclosed(None)),
    };
    scan.names.into_iter().chain(last).collect()
}

/// A bracket or brace that is open.
struct Open {
    at: usize,
    bracket: u8,
}

impl Open {
    fn unclosed(&self, before_line: Option<usize>) -> Unclosed {
        let (what, missing) = if self.bracket == b'[' { ("list", "]") } else { ("table", "}") };
        Unclosed { at: self.at..self.at + 1, what, missing, before_line }
    }
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    open: Vec<Open>,
    /// The last character that is neither blank nor of a remark; a line end only at the beginning of a statement.
    last: u8,
    /// On this line, a text with a word stuck to its end: most likely it ends where another one was to begin.
    suspect: Option<usize>,
    /// Names of tables without an end.
    names: Vec<Unclosed>,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), Unclosed> {
        self.begin_line()?;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => {
                    (self.at, self.line, self.suspect) = (self.at + 1, self.line + 1, None);
                    self.begin_line()?;
                    continue;
                }
                b'#' => {
                    self.skip_line();
                    continue;
                }
                b'"' | b'\'' => self.string(byte)?,
                b'[' | b'{' => {
                    self.open.push(Open { at: self.at, bracket: byte });
                    self.at += 1;
                }
                b']' | b'}' => {
                    // One too many is for the parser to say.
                    let Some(open) = self.open.pop() else { return Ok(()) };
                    if (open.bracket == b'[') != (byte == b']') {
                        return Err(open.unclosed(None));
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
            }
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest_of_line(&self) -> &str {
        self.text.get(self.at..).and_then(|rest| rest.split('\n').next()).unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.at += self.rest_of_line().len();
    }

    /// What a line begins with tells whether something before it should have ended.
    fn begin_line(&mut self) -> Result<(), Unclosed> {
        let line = self.rest_of_line();
        let content = line.trim_start();
        let begins = self.at + line.len() - content.len();
        let Some(open) = self.open.last() else {
            if content.starts_with('[') {
                let found = unclosed_name(content, begins);
                self.skip_line();
                self.names.extend(found.filter(|_| self.names.len() < MOST_NAMES));
            }
            return Ok(());
        };
        // Between braces there are keys; without a comma before it, this one is none of theirs.
        let is_key = begins_with_key(content) && (open.bracket == b'[' || !matches!(self.last, b',' | b'{'));
        if is_key || is_header(content) { Err(open.unclosed(Some(self.line))) } else { Ok(()) }
    }

    fn string(&mut self, quote: u8) -> Result<(), Unclosed> {
        let start = self.at;
        let many = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if many { 3 } else { 1 };
        let unclosed = |at: usize| {
            let missing = match (quote, many) {
                (b'"', true) => "\"\"\"",
                (b'"', false) => "\"",
                (_, true) => "'''",
                (_, false) => "'",
            };
            Unclosed { at: at..at + width, what: "text", missing, before_line: None }
        };
        self.at += width;
        loop {
            match self.peek(0) {
                None => return Err(unclosed(self.suspect.unwrap_or(start))),
                Some(b'\n') if !many => return Err(unclosed(self.suspect.unwrap_or(start))),
                Some(b'\n') => self.line += 1,
                // What is behind a backslash ends nothing, but it may be a line end.
                Some(b'\\') if quote == b'"' && self.peek(1) != Some(b'\n') => self.at += 1,
                Some(byte) if byte == quote => {
                    let ends = (0..width).all(|ahead| self.peek(ahead) == Some(quote));
                    if ends {
                        self.at += width;
                        break;
                    }
                }
                Some(_) => {}
            }
            self.at += 1;
        }
        // A text of several lines may end in quotes of its own.
        while many && self.peek(0) == Some(quote) {
            self.at += 1;
        }
        if !many && self.suspect.is_none() && self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            self.suspect = Some(start);
        }
        Ok(())
    }
}

/// `[name` or `[[name]`: a line that begins with a bracket where no list is open.
fn unclosed_name(content: &str, begins: usize) -> Option<Unclosed> {
    let wanted = if content.starts_with("[[") { 2 } else { 1 };
    let mut quote = None;
    let mut closed = 0;
    for c in content.chars() {
        match (quote, c) {
            (Some(own), c) if own == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => break,
            (None, ']') => closed += 1,
            (None, _) => {}
        }
    }
    // A quote without its other half is for the parser to say.
    let missing = if wanted == 2 && closed == 0 { "]]" } else { "]" };
    let is_unclosed = quote.is_none() && closed < wanted;
    is_unclosed.then(|| Unclosed { at: begins..begins + wanted, what: NAME, missing, before_line: None })
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

/// `key = …`.
fn begins_with_key(content: &str) -> bool {
    content.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim();
        let inside = ['"', '\''].iter().find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote));
        !key.is_empty() && (key.chars().all(is_of_key) || inside.is_some_and(|key| !key.contains(['"', '\''])))
    })
}

/// `[name]` or `[[name]]`, which no list has in it: a word without quotes is no value.
fn is_header(content: &str) -> bool {
    let line = content.split('#').next().unwrap_or_default().trim_end();
    let inside = |open, close| line.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    let name = inside("[[", "]]").or_else(|| inside("[", "]")).map(str::trim);
    let is_value = |name: &str| matches!(name, "true" | "false" | "inf" | "nan") || !name.contains(char::is_alphabetic);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(is_of_key) && !is_value(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, as `LINE:COLUMN WHAT MISSING BEFORE`.
    fn found(text: &str) -> Option<String> {
        let Unclosed { at, what, missing, before_line } = find(text).into_iter().next()?;
        let before = text.get(..at.start).unwrap();
        let column = at.start - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        let line = before.matches('\n').count() + 1;
        let behind = before_line.map(|line| format!(" before {line}")).unwrap_or_default();
        Some(format!("{line}:{column} {what} {missing}{behind}"))
    }

    #[test]
    fn the_place_is_where_it_begins() {
        for (text, expected) in [
            ("a = [\n\"x\",\n\n[networks]\nb = 1\n", "1:5 list ] before 4"),
            ("a = [\n\"x\"\n[[client]] # more\n", "1:5 list ] before 3"),
            ("a = [[\"x\"]\nb = [1]\n", "1:5 list ] before 2"),
            ("a = [[\"x\"],\n[\"y\"]\n\"k\" = 1\n", "1:5 list ] before 3"),
            ("a = [\"x]\n", "1:6 text \""),
            ("a = ['x, 'y']\n", "1:6 text '"),
            ("a = [\"x, \"y\", \"z\"]\nb = 1\n", "1:6 text \""),
            ("a = \"x\\\"\n", "1:5 text \""),
            ("a = \"\"\"x\ny\"\n", "1:5 text \"\"\""),
            ("[a\nb = 1\n", "1:1 name of a table ]"),
            ("[[a]\nb = 1\n", "1:1 name of a table ]"),
            ("[[a\nb = 1\n", "1:1 name of a table ]]"),
            ("a = { b = 1\nc = 2\n", "1:5 table } before 2"),
            ("a = { b = 1,\nc = 2\n", "1:5 table }"),
            ("a = { b = [1 }\n", "1:11 list ]"),
            ("a = [ { b = 1, ]\n", "1:7 table }"),
            ("a = [\"#\", # ]\n\"y\"", "1:5 list ]"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn names_of_tables_end_with_their_line() {
        let all: Vec<&str> = find("[a\nb = 1\n[[c]\nd = [1\n[e\n[f]\ng = [\n").iter().map(|one| one.what).collect();
        assert_eq!(all, ["name of a table", "name of a table", "list"]);
    }

    #[test]
    fn what_has_its_end_is_not_found() {
        for text in [
            "",
            "a = [\n  \"x\", # ] not here\n  '[',\n]\n[b]\nc = { d = [1], e = \"}\" }\n",
            "a = \"\"\"\n[\n\"quoted\" \\\n\"\"\"\"\nb = '''\n{'''\n",
            "a = [[1], [2]]\nb = [\n[1],\n[true],\n]\n\"k]\" = 1\n[\"x]y\"]\n",
            // Of another kind: for the parser to say.
            "a = 1]\n",
            "a = nonsense\n",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
