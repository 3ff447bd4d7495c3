//! nft text → tokens.
//!
//! One pass over the bytes; a token borrows from the text and costs no allocation, because a ruleset may have a hundred
//! thousand elements and only a handful of rules. Comments and continued lines vanish here.

use std::net::Ipv4Addr;

use memchr::{memchr, memchr_iter};

use super::glued::is_one;
use crate::dialect::read::ReadError;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword, name, number or address; `@set` and `$variable` too.
    Word,
    /// A text in quotes, without them.
    Quoted,
    /// A bracket, comma, colon, semicolon or operator.
    Symbol,
    /// The end of a line.
    Newline,
    /// A comment behind something else. `nft list` hides there what it cannot print: `# xt_TCPMSS`, `# match-set …`. Or one
    /// that has its line for itself and holds a rule.
    Hidden,
    /// The end of the text.
    End,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its characters.
    pub text: &'a str,
    /// The line that it begins in, from 1.
    pub line: u32,
    /// Where it begins in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Whether something separates it from the one before.
    pub spaced: bool,
    /// Whether there is a blank too many before it. Where `nft list` leaves a test out, its two blanks stay.
    pub hole: bool,
}

impl<'a> Token<'a> {
    /// Whether it is this symbol.
    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Whether it is this word, not in quotes.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    /// Whether nft takes it for several words.
    pub fn is_glued(&self) -> bool {
        self.kind == Kind::Word && !is_one(self.text)
    }

    /// The text of a word or of a text in quotes, which nft takes for the same where a name is due.
    pub fn name(&self) -> Option<&'a str> {
        matches!(self.kind, Kind::Word | Kind::Quoted).then_some(self.text)
    }

    /// Whether a statement ends here; `}` ends it too, but belongs to the block around it.
    pub fn ends_statement(&self) -> bool {
        matches!(self.kind, Kind::Newline | Kind::End) || self.is(";") || self.is("}")
    }

    /// How to name it in an error.
    pub fn described(&self) -> String {
        match self.kind {
            Kind::End => "the end of the text".to_owned(),
            Kind::Newline => "the end of the line".to_owned(),
            Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Hidden => {
                format!("`{}`", super::printable(self.text.chars().take(40)))
            }
        }
    }
}

/// A text that gives its tokens one after the other.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Whether nothing but blanks was seen of the line.
    at_line_begin: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Colon,
    Space,
    Newline,
    Symbol,
    Quote,
    Comment,
    Control,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Word; 256];
    let mut byte = 0;
    // Indices below 256 into 256 entries.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'\t' | b' ' => Class::Space,
            b'\n' => Class::Newline,
            0..0x20 | 0x7f => Class::Control,
            b'"' => Class::Quote,
            b'#' => Class::Comment,
            b':' => Class::Colon,
            b'{' | b'}' | b'(' | b')' | b',' | b';' | b'=' | b'!' | b'<' | b'>' | b'&' | b'|' | b'^' => Class::Symbol,
            _ => Class::Word,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    // A byte is an index into 256 entries; the compiler sees that and drops the check.
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Control)
}

impl<'a> Lexer<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, at_line_begin: true }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next token.
    pub fn next(&mut self) -> Result<Token<'a>, ReadError> {
        let before = self.at;
        loop {
            let rest = self.rest();
            let Some(&first) = rest.first() else { return Ok(self.token(Kind::End, 0, before)) };
            match class(first) {
                Class::Space => self.at += rest.iter().take_while(|&&byte| class(byte) == Class::Space).count(),
                Class::Newline => {
                    let token = self.token(Kind::Newline, 1, before);
                    self.at_line_begin = true;
                    self.line = self.line.saturating_add(1);
                    return Ok(token);
                }
                Class::Comment => {
                    let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                    // `nft -a` has handles there.
                    let comment = rest.get(..length).unwrap_or_default();
                    let handle = rest.starts_with(b"# handle ");
                    if (!self.at_line_begin && !handle) || hides_rule(comment) {
                        return Ok(self.token(Kind::Hidden, length, before));
                    }
                    self.at += length;
                }
                Class::Quote => return self.quoted(rest, before),
                Class::Symbol => return Ok(self.token(Kind::Symbol, symbol_length(rest), before)),
                Class::Word if continues(rest) => {
                    self.at += 2;
                    self.line = self.line.saturating_add(1);
                }
                Class::Word | Class::Colon => {
                    if rest.starts_with("\u{feff}".as_bytes()) {
                        let message = "a byte order mark, for which nft refuses the whole file: take it away";
                        return Err(ReadError::new(self.line, message));
                    }
                    return Ok(self.word(rest, before));
                }
                Class::Control if first == b'\r' => {
                    let message =
                        "a carriage return, for which nft refuses the whole file: end lines with a line feed alone";
                    return Err(ReadError::new(self.line, message));
                }
                Class::Control => {
                    return Err(ReadError::new(self.line, format!("a control character (0x{first:02x}) in the text")));
                }
            }
        }
    }

    /// How many elements there are up to the next bracket, as far as commas tell.
    pub fn elements_ahead(&self) -> usize {
        let (rest, end) = (self.rest(), memchr(b'}', self.rest()).unwrap_or(0));
        memchr_iter(b',', rest.get(..end).unwrap_or_default()).count() + 1
    }

    /// Goes over single IPv4 addresses, which it takes down, and the commas and ends of lines between them, as far as there is nothing
    /// else: most of a large ruleset is that, and needs no token for each.
    pub fn addresses(&mut self, list: &mut Vec<(u32, u32)>) {
        loop {
            let rest = self.rest();
            match rest.first().copied() {
                Some(b'\n') => {
                    self.at_line_begin = true;
                    self.line = self.line.saturating_add(1);
                }
                Some(b',') => self.at_line_begin = false,
                Some(b' ' | b'\t') => {}
                Some(b'0'..=b'9') => {
                    // The longest has 15 characters.
                    let length = rest.iter().take(16).position(|&byte| matches!(byte, b',' | b'\n' | b'}'));
                    let text = length.and_then(|length| self.text.get(self.at..self.at + length));
                    let Some(address) = text.and_then(|text| text.parse::<Ipv4Addr>().ok()) else { return };
                    list.push((address.to_bits(), address.to_bits()));
                    self.at_line_begin = false;
                    self.at += length.unwrap_or_default();
                    continue;
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    fn token(&mut self, kind: Kind, length: usize, before: usize) -> Token<'a> {
        let (start, end) = (self.at, self.at + length);
        let gap = self.text.get(before..start).unwrap_or_default();
        // Listings are indented with tabs.
        let indents = before == 0 || self.text.as_bytes().get(before.wrapping_sub(1)) == Some(&b'\n');
        let hole = gap.len() > 1 && if indents { gap.ends_with("\t ") } else { gap.contains("  ") };
        self.at = end;
        self.at_line_begin = false;
        let text = self.text.get(start..end).unwrap_or_default();
        Token { kind, text, line: self.line, start, end, spaced: start > before, hole }
    }

    fn quoted(&mut self, rest: &'a [u8], before: usize) -> Result<Token<'a>, ReadError> {
        let Some(length) = rest.iter().skip(1).position(|&byte| byte == b'"') else {
            return Err(ReadError::new(self.line, "a quotation mark that is never closed"));
        };
        let token = self.token(Kind::Quoted, length + 2, before);
        let text = token.text.get(1..=length).unwrap_or_default();
        let lines = text.bytes().filter(|&byte| byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        Ok(Token { text, ..token })
    }

    /// A colon is part of an IPv6 address, which has two at least, or stands between a key and its value.
    fn word(&mut self, rest: &'a [u8], before: usize) -> Token<'a> {
        let (mut length, mut colons, mut first_colon) = (0, 0, 0);
        for &byte in rest {
            match class(byte) {
                // The line goes on behind this word.
                Class::Word if byte == b'\\' && continues(rest.get(length..).unwrap_or_default()) => break,
                Class::Word => {}
                Class::Colon => {
                    if colons == 0 {
                        first_colon = length;
                    }
                    colons += 1;
                }
                Class::Space | Class::Newline | Class::Symbol | Class::Quote | Class::Comment | Class::Control => break,
            }
            length += 1;
        }
        match (colons, first_colon) {
            (1, 0) => self.token(Kind::Symbol, 1, before),
            (1, length) => self.token(Kind::Word, length, before),
            _ => self.token(Kind::Word, length, before),
        }
    }
}

/// Whether a line is continued here.
fn continues(rest: &[u8]) -> bool {
    rest.starts_with(b"\\\n")
}

/// Whether a comment holds a whole rule, or the rest of one: nft 0.9.8 begins a rule of iptables with a test that it cannot
/// print as it begins a comment (`# match-set peers src counter packets 0 bytes 0 accept`). Every such rule counts, and a listing has what it
/// has counted.
pub fn hides_rule(comment: &[u8]) -> bool {
    let words: Vec<&[u8]> = comment.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let counts = |words: &[&[u8]]| match words {
        [counter, packets, number, ..] => {
            *counter == b"counter" && *packets == b"packets" && number.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    words.windows(3).any(counts)
}

fn symbol_length(rest: &[u8]) -> usize {
    const TWO: [&[u8]; 6] = [b"==", b"!=", b"<=", b">=", b"<<", b">>"];
    if TWO.iter().any(|symbol| rest.starts_with(symbol)) { 2 } else { 1 }
}

/// Tokens as one line of text.
pub fn join(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in tokens {
        if token.spaced && !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            Kind::Quoted => {
                text.push('"');
                text.push_str(token.text);
                text.push('"');
            }
            Kind::Word | Kind::Symbol | Kind::Hidden => text.push_str(token.text),
            Kind::Newline | Kind::End => {}
        }
    }
    text
}

/// A piece of the text as one line, without its comments.
pub fn one_line(piece: &str) -> String {
    let mut lexer = Lexer::new(piece);
    let mut tokens = Vec::new();
    // A piece was read before, so there is no error in it.
    while let Ok(mut token) = lexer.next() {
        match token.kind {
            Kind::End => break,
            Kind::Newline => continue,
            Kind::Hidden if !token.text.starts_with("# xt_") && !hides_rule(token.text.as_bytes()) => continue,
            Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Hidden => {}
        }
        token.spaced |= tokens.last().is_some_and(|last: &Token<'_>| last.line != token.line);
        tokens.push(token);
    }
    join(&tokens)
}
