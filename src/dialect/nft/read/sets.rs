//! Sets and maps: their declarations and their elements.

use super::cursor::{Cursor, unclosed};
use super::lexer::{Kind, Token, join};
use super::values::{Key, Values};
use crate::dialect::read::ReadError;
use crate::ir::{Elements, Set, SetKind};

/// A set as it was read so far.
#[derive(Debug)]
pub struct RawSet<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line in which it is first mentioned.
    pub line: u32,
    /// What was read of it; `None` for a foreign type.
    values: Option<Values<'a>>,
    /// The elements of a foreign type, with commas between them.
    tokens: Vec<Token<'a>>,
    /// Whether there may be more or less in it: elements that come and go, or that were not understood.
    fickle: bool,
    /// Whether each element may be gone some time, without anybody's doing.
    passing: bool,
    interval: bool,
    merged: bool,
    size: Option<u32>,
}

/// A map as it was read so far.
#[derive(Debug)]
pub struct RawMap<'a> {
    /// Its elements, keys and values, for whoever looks something up in it; `None` when they are not known.
    pub tokens: Option<Vec<Token<'a>>>,
}

/// What can be said of an element, behind it.
const OPTIONS: [&str; 8] = ["comment", "counter", "timeout", "expires", "limit", "quota", "last", "ct"];

/// An element without what is said of it; `None` where that takes it back, or makes it depend on something.
pub fn without_options<'r, 'a>(element: &'r [Token<'a>]) -> Option<&'r [Token<'a>]> {
    let end = element.iter().position(|token| token.kind == Kind::Word && OPTIONS.contains(&token.text));
    let (own, options) = element.split_at_checked(end.unwrap_or(element.len()))?;
    let harmless = |token: &Token<'_>| {
        let number = token.kind == Kind::Word && token.text.bytes().all(|byte| byte.is_ascii_digit());
        token.kind == Kind::Quoted
            || number
            || ["comment", "counter", "packets", "bytes", "last", "used", "never"]
                .iter()
                .any(|word| token.is_word(word))
    };
    options.iter().all(harmless).then_some(own)
}

impl<'a> RawSet<'a> {
    /// A set of which nothing is known but its name.
    pub fn new(name: &'a str, line: u32) -> Self {
        Self {
            name,
            line,
            values: None,
            tokens: Vec::new(),
            fickle: false,
            passing: false,
            interval: false,
            merged: false,
            size: None,
        }
    }

    /// What is in it, if that is known and stays.
    pub fn values(&self) -> Option<&Values<'a>> {
        self.values.as_ref().filter(|_| !self.fickle && !self.passing)
    }

    /// Its elements with commas between them, where it is of a type that has no values here, and they are known.
    pub fn tokens(&self) -> Option<&[Token<'a>]> {
        (self.values.is_none() && !self.fickle && !self.passing).then_some(self.tokens.as_slice())
    }

    /// Whether it is known what is in it, be it for a time.
    pub fn is_known(&self) -> bool {
        self.values.is_some() && !self.fickle
    }

    /// What it is looked up by, if that is known.
    pub fn key(&self) -> Option<Key> {
        self.values.as_ref().map(Values::key)
    }

    /// Some of its elements were taken away: what is left is not worked out.
    pub fn spoil(&mut self) {
        self.fickle = true;
    }

    /// Its declaration and perhaps its elements; the opening bracket was taken.
    pub fn block(&mut self, cursor: &mut Cursor<'a>, line: u32) -> Result<(), ReadError> {
        loop {
            let token = cursor.next_on_any_line()?;
            if token.is("}") {
                return Ok(());
            }
            match (token.kind, token.text) {
                (Kind::End, _) => return Err(unclosed(line)),
                (Kind::Symbol, ";") => {}
                (Kind::Word, "type") => self.declare(Key::of_type(&join(&cursor.statement()?))),
                (Kind::Word, "typeof") => self.declare(Key::of_expression(&join(&cursor.statement()?))),
                (Kind::Word, "flags") => {
                    let flags = cursor.statement()?;
                    self.interval |= flags.iter().any(|flag| flag.is_word("interval"));
                    self.fickle |= flags.iter().any(|flag| flag.is_word("dynamic"));
                    self.passing |= flags.iter().any(|flag| flag.is_word("timeout"));
                }
                (Kind::Word, "size") => {
                    self.size = cursor.statement()?.first().and_then(|size| super::names::number(size.text));
                }
                (Kind::Word, "timeout") => {
                    cursor.statement()?;
                    self.passing = true;
                }
                (Kind::Word, "elements") => {
                    cursor.take("=")?;
                    self.elements(cursor)?;
                }
                (Kind::Word, "auto-merge") => self.merged = true,
                (Kind::Word, "comment" | "gc-interval" | "policy" | "counter" | "last") => {
                    cursor.statement()?;
                }
                (Kind::Word, "limit" | "quota" | "ct") => {
                    // A statement that every element has, and that decides whether a lookup succeeds.
                    cursor.statement()?;
                    self.fickle = true;
                }
                _ => return Err(ReadError::new(token.line, format!("{} does not belong in a set", token.described()))),
            }
        }
    }

    fn declare(&mut self, key: Option<Key>) {
        // A set that is declared again keeps what it has.
        if self.key() != key {
            self.fickle |= self.values.is_some() || !self.tokens.is_empty();
            self.values = key.map(Values::none);
        }
    }

    /// `{ ELEMENT, … }`.
    pub fn elements(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let open = cursor.next_on_any_line()?;
        if !open.is("{") {
            return Err(ReadError::new(open.line, format!("expected `{{`, found {}", open.described())));
        }
        if let Some(Values::Ipv4(list)) = &mut self.values {
            list.reserve_exact(cursor.elements_ahead());
        }
        // A variable may bring brackets of its own.
        let mut depth = 1_usize;
        while depth > 0 {
            if let Some(Values::Ipv4(list)) = &mut self.values {
                cursor.addresses(list);
            }
            let token = cursor.next()?;
            match token.kind {
                Kind::Newline | Kind::Hidden => {}
                Kind::End => return Err(unclosed(open.line)),
                Kind::Symbol if token.is("{") => depth += 1,
                Kind::Symbol if token.is("}") => depth -= 1,
                Kind::Symbol if token.is(",") => {}
                Kind::Word | Kind::Quoted | Kind::Symbol => self.element(cursor, token, open.line)?,
            }
        }
        Ok(())
    }

    /// An element of a foreign type: everything up to the comma, without what is said of it.
    fn foreign_element(&mut self, cursor: &mut Cursor<'a>, first: Token<'a>, line: u32) -> Result<(), ReadError> {
        let mut tokens = vec![first];
        loop {
            let next = cursor.peek()?;
            match next.kind {
                Kind::End => return Err(unclosed(line)),
                Kind::Symbol if next.is(",") || next.is("}") => break,
                Kind::Word if OPTIONS.contains(&next.text) => {
                    self.said(cursor, line)?;
                    break;
                }
                Kind::Newline | Kind::Hidden => {}
                Kind::Word | Kind::Quoted | Kind::Symbol => tokens.push(next),
            }
            cursor.next()?;
        }
        if !self.tokens.is_empty() {
            self.tokens.push(Token { kind: Kind::Symbol, text: ",", spaced: false, ..first });
        }
        self.tokens.append(&mut tokens);
        Ok(())
    }

    fn element(&mut self, cursor: &mut Cursor<'a>, token: Token<'a>, line: u32) -> Result<(), ReadError> {
        if self.values.is_none() {
            return self.foreign_element(cursor, token, line);
        }
        let next = cursor.peek()?;
        let alone = next.is(",") || next.is("}") || next.kind == Kind::Newline;
        let names = matches!(self.values, Some(Values::Interfaces(_)));
        let known = token.kind == Kind::Word || (token.kind == Kind::Quoted && names);
        let mut understood = known;
        if next.is_word("-") {
            cursor.next()?;
            let last = cursor.peek()?;
            if last.kind == Kind::Word {
                cursor.next()?;
            }
            understood &= self.values.as_mut().and_then(|values| values.push_range(token.text, last.text)).is_some();
        } else {
            understood &= self.values.as_mut().and_then(|values| values.push(token.text)).is_some();
        }
        if !alone {
            self.said(cursor, line)?;
        }
        self.fickle |= !understood;
        Ok(())
    }

    /// What stands behind an element. A comment or a counter leaves it as it is, a time limit lets it go some time, and
    /// whatever else, as a rate limit, decides whether it is found.
    fn said(&mut self, cursor: &mut Cursor<'a>, line: u32) -> Result<(), ReadError> {
        let mut harmless = true;
        let mut depth = 0_usize;
        loop {
            let token = cursor.peek()?;
            match (token.kind, token.text) {
                (Kind::End, _) => return Err(unclosed(line)),
                (Kind::Symbol, "," | "}") if depth == 0 => {
                    self.fickle |= !harmless;
                    return Ok(());
                }
                (Kind::Symbol, "{") => (depth, harmless) = (depth + 1, false),
                (Kind::Symbol, "}") => depth -= 1,
                (Kind::Word, "timeout" | "expires") => {
                    self.passing = true;
                    cursor.next()?;
                    // How long.
                    if cursor.peek()?.kind != Kind::Word {
                        harmless = false;
                        continue;
                    }
                }
                (Kind::Word, "comment" | "counter" | "packets" | "bytes" | "last" | "used" | "never")
                | (Kind::Quoted | Kind::Newline | Kind::Hidden, _) => {}
                (Kind::Word, number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {}
                (Kind::Word | Kind::Symbol, _) => harmless = false,
            }
            cursor.next()?;
        }
    }

    /// Empties it.
    pub fn flush(&mut self) {
        self.tokens.clear();
        if let Some(values) = &mut self.values {
            *values = Values::none(values.key());
        }
    }

    /// The set in the words of the IR.
    pub fn into_set(self) -> Set {
        let kind = if self.interval { SetKind::Interval } else { SetKind::Hash { size: self.size } };
        let values = self.values.filter(|_| !self.fickle);
        let elements = match values {
            None => Elements::Unknown,
            Some(values) if self.merged => values.into_merged_elements(),
            Some(values) => values.into_elements(),
        };
        let elements = if self.passing { elements.passing() } else { elements };
        Set { name: self.name.to_owned(), kind, elements, origins: Vec::new() }
    }
}

impl<'a> RawMap<'a> {
    /// A map without elements.
    pub fn new() -> Self {
        Self { tokens: Some(Vec::new()) }
    }

    /// Its declaration and perhaps its elements; the opening bracket was taken.
    pub fn block(&mut self, cursor: &mut Cursor<'a>, line: u32) -> Result<(), ReadError> {
        let mut fickle = false;
        loop {
            let token = cursor.next_on_any_line()?;
            match (token.kind, token.text) {
                (Kind::End, _) => return Err(unclosed(line)),
                (Kind::Symbol, "}") => break,
                (Kind::Symbol, ";") => {}
                (Kind::Word, "elements") => {
                    cursor.take("=")?;
                    self.elements(cursor)?;
                }
                (Kind::Word, "flags") => {
                    let flags = cursor.statement()?;
                    fickle |= flags.iter().any(|flag| flag.is_word("timeout") || flag.is_word("dynamic"));
                }
                (Kind::Word, "limit" | "quota" | "ct" | "timeout") => {
                    cursor.statement()?;
                    fickle = true;
                }
                (Kind::Word, _) => {
                    if !cursor.variable_command(&token)? {
                        cursor.statement()?;
                    }
                }
                _ => return Err(ReadError::new(token.line, format!("{} does not belong in a map", token.described()))),
            }
        }
        if fickle {
            self.tokens = None;
        }
        Ok(())
    }

    /// `{ KEY : VALUE, … }`.
    pub fn elements(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let open = cursor.next_on_any_line()?;
        if !open.is("{") {
            return Err(ReadError::new(open.line, format!("expected `{{`, found {}", open.described())));
        }
        let mut separator = open;
        (separator.text, separator.spaced) = (",", false);
        let mut depth = 0_usize;
        let mut tokens = Vec::new();
        loop {
            let token = cursor.next_on_any_line()?;
            match token.kind {
                Kind::End => return Err(unclosed(open.line)),
                Kind::Symbol if token.is("}") && depth == 0 => break,
                Kind::Symbol if token.is("{") => depth += 1,
                Kind::Symbol if token.is("}") => depth -= 1,
                Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::Hidden => {}
            }
            tokens.push(token);
        }
        if let Some(all) = &mut self.tokens {
            if !all.is_empty() {
                all.push(separator);
            }
            all.append(&mut tokens);
        }
        Ok(())
    }

    /// Empties it.
    pub fn flush(&mut self) {
        self.tokens = self.tokens.take().map(|_| Vec::new());
    }
}
