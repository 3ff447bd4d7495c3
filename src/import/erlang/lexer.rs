//! The tokens of Erlang, as `erl_scan` of OTP 25 finds them.
//!
//! Anything else is a finding, and [`Token::Wrong`] takes its place where a term may have been meant.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::quoted;
use super::report::Report;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    Round,
    Square,
    Curly,
    Binary,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Open(Bracket),
    Close(Bracket),
    Comma,
    Bar,
    Arrow,
    Hash,
    Colon,
    Slash,
    Minus,
    Plus,
    Atom(String),
    Reserved(&'a str),
    Variable(&'a str),
    /// In decimal digits.
    Integer(String),
    Character(char),
    Float(f64),
    Text(String),
    /// A full stop before white space, a comment or the end.
    Dot,
    End,
    /// A token that has no place in a term.
    Other(&'a str),
    /// Something that has its finding already.
    Wrong,
}

/// The reserved words of OTP 25. `maybe` and `else` came later and are atoms.
const RESERVED: [&str; 27] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case", "catch", "cond", "div",
    "end", "fun", "if", "let", "not", "of", "or", "orelse", "receive", "rem", "try", "when", "xor",
];
/// All tokens of several characters, longer ones before their beginnings.
const LONG: [&str; 20] = [
    "...", "=:=", "=/=", "..", "?=", "<<", "<-", "<=", ">>", ">=", "->", "--", "++", "=<", "=>", "==", "/=", "||",
    ":=", "::",
];
/// More characters than this has no atom (`ERL_MAX_ATOM_CHARACTERS` in Erlang's documentation: 255).
const LONGEST_ATOM: usize = 255;
/// Quotes of word processors.
const CURLY_QUOTES: [char; 10] = ['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»'];

pub(super) struct Lexer<'a, 'r> {
    text: &'a str,
    pub(super) at: usize,
    /// Where the token that is being read begins: behind what was skipped with a finding.
    start: usize,
    pub report: &'r mut Report<'a>,
    /// A text or quoted atom that runs over several lines: perhaps its closing quote is missing.
    pub long_text: Option<Range<usize>>,
    /// Comments whose brackets do not match: perhaps a part of a term was commented out badly.
    pub odd_comment: Option<Range<usize>>,
}

impl<'a, 'r> Lexer<'a, 'r> {
    pub fn new(text: &'a str, report: &'r mut Report<'a>) -> Self {
        Self { text, at: 0, start: 0, report, long_text: None, odd_comment: None }
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    pub(super) fn is_digit(&self, at: usize) -> bool {
        self.byte(at).is_some_and(|byte| byte.is_ascii_digit())
    }

    pub fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// The next token and its place.
    pub fn next(&mut self) -> (Token<'a>, Range<usize>) {
        self.skip_blank();
        let start = self.at;
        if self.report.cut || start >= self.text.len() {
            self.at = self.text.len();
            self.start = self.at;
            return (Token::End, self.at..self.at);
        }
        self.start = start;
        if self.is_within_long_text(start) {
            return self.next();
        }
        let token = self.token(start);
        (token, self.start..self.at)
    }

    /// Whether a word stands directly behind a text of several lines: then its closing quote is missing, what looks
    /// like text is none, and the other way round. That is said, and ends the reading.
    fn is_within_long_text(&mut self, start: usize) -> bool {
        let word = self.byte(start).is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        let Some(text) = self.long_text.clone().filter(|text| word && text.end == start) else { return false };
        self.no_closing_quote(text, start);
        true
    }

    /// Says that a text of several lines, which ends where something else cannot stand, lacks its closing quote.
    pub fn no_closing_quote(&mut self, text: Range<usize>, place: usize) {
        let shown = self.report.excerpt(text.start..text.start + self.slice(text.clone()).find('\n').unwrap_or(0));
        let message = format!("the closing quote of `{shown}` seems to be missing");
        let help = "write it; until then the rest of the file cannot be checked";
        let related = [(place..place, "the text would end here, on another line")];
        self.report.mistake_with(text.start..text.start + 1, message, help, &related);
        self.report.cut = true;
    }

    /// Goes on behind the line in which a byte stands.
    fn skip_line(&mut self, from: usize) {
        let rest = self.slice(from..self.text.len());
        self.at = rest.find('\n').map_or(self.text.len(), |length| from + length);
    }

    /// How many bytes of white space stand here: up to the blank, and from U+0080 to U+00A0.
    fn blank(&self, at: usize) -> usize {
        match (self.byte(at), self.byte(at + 1)) {
            (Some(..=b' '), _) => 1,
            (Some(0xc2), Some(0x80..=0xa0)) => 2,
            _ => 0,
        }
    }

    fn skip_blank(&mut self) {
        let mut comments: Option<Range<usize>> = None;
        let mut balance = [0_i64; 3];
        loop {
            match self.blank(self.at) {
                0 if self.byte(self.at) == Some(b'%') => {
                    let start = self.at;
                    self.skip_line(start);
                    comments = Some(comments.map_or(start, |comments| comments.start)..self.at);
                    self.look_into_comment(start..self.at, &mut balance);
                }
                0 => break,
                length => self.at += length,
            }
        }
        if balance != [0; 3] && self.odd_comment.is_none() {
            self.odd_comment = comments;
        }
    }

    fn look_into_comment(&mut self, range: Range<usize>, balance: &mut [i64; 3]) {
        let comment = self.slice(range.clone());
        for ((open, close), balance) in [(b'(', b')'), (b'[', b']'), (b'{', b'}')].into_iter().zip(balance) {
            let count = |wanted: u8| comment.bytes().filter(|&byte| byte == wanted).count() as i64;
            *balance += count(open) - count(close);
        }
        if let Some(offset) = comment.find(quoted::NON_CHARACTERS) {
            let place = range.start + offset;
            let help = "delete it; Erlang takes it nowhere, not even in a comment";
            self.report.mistake(place..place + 3, "this comment has U+FFFE or U+FFFF, which are no characters", help);
        }
    }

    fn token(&mut self, start: usize) -> Token<'a> {
        if let Some(end) = self.ipv6(start) {
            return self.unquoted_address(start..end);
        }
        match self.byte(start) {
            Some(b'0'..=b'9') => match self.dotted(start) {
                Some(end) => self.unquoted_address(start..end),
                None => self.number(start),
            },
            Some(b'"') => {
                let text = self.quoted(start, '"');
                Token::Text(text)
            }
            Some(b'\'') => {
                let name = self.quoted(start, '\'');
                self.atom(start, name)
            }
            Some(b'$') => self.character(start),
            Some(b'.') => self.dot(start),
            Some(_) if self.name_end(start) > start => self.word(start),
            Some(_) | None => self.sign(start),
        }
    }

    /// Where a run of the characters of names ends.
    pub(super) fn name_end(&self, start: usize) -> usize {
        let mut end = start;
        loop {
            match (self.byte(end), self.byte(end + 1)) {
                (Some(b'@'), _) if end == start => return end,
                (Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'@'), _) => end += 1,
                // À to ÿ without × and ÷.
                (Some(0xc3), Some(second)) if second != 0x97 && second != 0xb7 => end += 2,
                _ => return end,
            }
        }
    }

    fn word(&mut self, start: usize) -> Token<'a> {
        self.at = self.name_end(start);
        let word = self.slice(start..self.at);
        let follows = |at: usize| self.byte(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if self.byte(self.at) == Some(b'.') && follows(self.at + 1) {
            return self.unquoted_name(start);
        }
        let lower = |c: char| c.is_ascii_lowercase() || ('ß'..='ÿ').contains(&c);
        if !word.starts_with(lower) {
            if word.chars().count() > LONGEST_ATOM {
                return self.too_long(start);
            }
            return Token::Variable(word);
        }
        if RESERVED.binary_search(&word).is_ok() { Token::Reserved(word) } else { self.atom(start, word.to_owned()) }
    }

    /// Names of hosts and nodes are often written as they are.
    fn unquoted_name(&mut self, start: usize) -> Token<'a> {
        let rest = self.slice(start..self.text.len());
        let part = |c: char| c.is_alphanumeric() || "_@.-".contains(c);
        let word = rest.split(|c| !part(c)).next().unwrap_or(rest).trim_end_matches('.');
        self.at = start + word.len();
        let range = start..self.at;
        let shown = self.report.excerpt(range.clone());
        let message = format!("`{shown}` has a `.` in it and is not quoted");
        let help = if word.contains('@') || shown.ends_with('…') {
            "put the name of a node between single quotes, and a text between double quotes".to_owned()
        } else {
            format!(
                "put a text between double quotes: \"{word}\"; a name that Erlang knows between single ones: '{word}'"
            )
        };
        self.report.mistake(range, message, help);
        Token::Wrong
    }

    fn atom(&mut self, start: usize, name: String) -> Token<'a> {
        if name.chars().count() > LONGEST_ATOM { self.too_long(start) } else { Token::Atom(name) }
    }

    fn too_long(&mut self, start: usize) -> Token<'a> {
        let message = format!("a name of more than {LONGEST_ATOM} characters");
        self.report.mistake(start..self.at, message, "shorten it, or put it between double quotes if it is a text");
        Token::Wrong
    }

    fn quoted(&mut self, start: usize, quote: char) -> String {
        let read = quoted::read(self.text, start, quote, self.long_text.clone(), self.report);
        self.at = read.end;
        if self.slice(start..self.at).contains('\n') && self.long_text.is_none() {
            self.long_text = Some(start..self.at);
        }
        read.value
    }

    fn character(&mut self, start: usize) -> Token<'a> {
        let (value, end) = quoted::character(self.text, start, self.report);
        self.at = end;
        value.map_or(Token::Wrong, Token::Character)
    }

    fn dot(&mut self, start: usize) -> Token<'a> {
        let next = self.byte(start + 1);
        if next.is_none() || next == Some(b'%') || self.blank(start + 1) > 0 {
            self.at = start + 1;
            return Token::Dot;
        }
        self.sign(start)
    }

    fn sign(&mut self, start: usize) -> Token<'a> {
        let rest = self.slice(start..self.text.len());
        let Some(first) = rest.chars().next() else { return Token::End };
        if CURLY_QUOTES.contains(&first) {
            return self.curly_quote(start, first);
        }
        if u32::from(first) > 0xff {
            return self.foreign(start, rest);
        }
        let length = LONG.iter().find(|long| rest.starts_with(**long)).map_or(first.len_utf8(), |long| long.len());
        self.at = start + length;
        match self.slice(start..self.at) {
            "(" => Token::Open(Bracket::Round),
            ")" => Token::Close(Bracket::Round),
            "[" => Token::Open(Bracket::Square),
            "]" => Token::Close(Bracket::Square),
            "{" => Token::Open(Bracket::Curly),
            "}" => Token::Close(Bracket::Curly),
            "<<" => Token::Open(Bracket::Binary),
            ">>" => Token::Close(Bracket::Binary),
            "," => Token::Comma,
            "|" => Token::Bar,
            "=>" => Token::Arrow,
            "#" if self.is_comment(start) => self.foreign_comment(start),
            "#" => Token::Hash,
            ":" => Token::Colon,
            "/" => Token::Slash,
            "-" => Token::Minus,
            "+" => Token::Plus,
            other => Token::Other(other),
        }
    }

    /// Whether a `#`, which begins no map, is meant to begin a comment.
    fn is_comment(&self, start: usize) -> bool {
        let mut next = start + 1;
        while self.blank(next) > 0 {
            next += self.blank(next);
        }
        let map = matches!(self.byte(next), Some(b'{' | b'%'));
        !map && (next > start + 1 || matches!(self.byte(next), Some(b'#') | None) || self.begins_line(start))
    }

    fn begins_line(&self, start: usize) -> bool {
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        before.iter().rev().find(|&&byte| byte != b' ' && byte != b'\t').is_none_or(|&byte| byte == b'\n')
    }

    /// Skips this line and those below that begin in the same way: they have the same mistake.
    fn foreign_comment(&mut self, start: usize) -> Token<'a> {
        self.skip_line(start);
        self.report.mistake(start..self.at, "`#` begins no comment in Erlang", "begin comments with `%`");
        self.skip_blank();
        while self.byte(self.at) == Some(b'#') && self.is_comment(self.at) {
            self.skip_line(self.at);
            self.skip_blank();
        }
        self.start = self.at;
        if self.at >= self.text.len() { Token::End } else { self.token(self.at) }
    }

    fn curly_quote(&mut self, start: usize, first: char) -> Token<'a> {
        let inside = start + first.len_utf8();
        let rest = self.slice(inside..self.text.len());
        let line = rest.split('\n').next().unwrap_or(rest);
        let closing = line.char_indices().find(|(_, c)| CURLY_QUOTES.contains(c));
        self.at = closing.map_or(inside, |(offset, c)| inside + offset + c.len_utf8());
        let message = format!("`{first}` is no quote to Erlang");
        self.report.mistake(start..self.at, message, "write straight quotes: \" around texts, ' around names");
        Token::Wrong
    }

    fn foreign(&mut self, start: usize, rest: &'a str) -> Token<'a> {
        if start == 0 && rest.starts_with('\u{feff}') {
            self.at = start + '\u{feff}'.len_utf8();
            let help = "save the file without a byte order mark; Erlang does not read it";
            self.report.mistake(start..self.at, "the file begins with a byte order mark", help);
            let (token, _) = self.next();
            return token;
        }
        let run = rest.split(|c| u32::from(c) <= 0xff || CURLY_QUOTES.contains(&c)).next().unwrap_or(rest);
        self.at = start + run.len();
        let shown = self.report.excerpt(start..self.at);
        let help = "such characters are allowed in quotes only: delete them, or put the text between double quotes";
        self.report.mistake(start..self.at, format!("`{shown}` is outside of quotes"), help);
        Token::Wrong
    }

    fn unquoted_address(&mut self, range: Range<usize>) -> Token<'a> {
        self.at = range.end;
        let word = self.slice(range.clone());
        let shown = self.report.excerpt(range.clone());
        let (message, help) = if word.parse::<Ipv4Addr>().is_ok() || word.contains(':') {
            let help = format!("put an address between double quotes: \"{shown}\"");
            (format!("the address `{shown}` is not quoted"), help)
        } else {
            let help = "put a text between double quotes; a number has at most one `.`";
            (format!("`{shown}` is no number"), help.to_owned())
        };
        self.report.mistake(range, message, help);
        Token::Wrong
    }

    /// Where an IPv6 address ends. No term has two colons in such a row.
    fn ipv6(&self, start: usize) -> Option<usize> {
        const LONGEST: usize = 45;
        let begins = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        self.byte(start).filter(|&byte| begins(byte))?;
        let bytes = self.text.as_bytes().get(start..)?;
        let part = |byte: &u8| begins(*byte) || *byte == b'.';
        let length = bytes.iter().take(LONGEST + 2).take_while(|byte| part(byte)).count();
        let word = self.slice(start..start + length).trim_end_matches('.');
        let known = word.bytes().filter(|&byte| byte == b':').count() >= 2 && word.parse::<Ipv6Addr>().is_ok();
        let end = start + word.len();
        // If more of a word follows, this is something else.
        (known && self.name_end(end) == end).then_some(end)
    }
}
