//! An arguments file, split into words as erlexec splits it.
//!
//! White space ends a word, and so does `#`, which begins a comment up to the end of the line even in the midst of a word.
//! Between quotes of either kind nothing but the closing quote is special; a backslash elsewhere takes the next character as
//! it is. Quotes do not end a word: `a"b c"d` is one. An empty pair of quotes is an empty word.

use super::Word;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

/// What erlexec takes for white space.
const SPACES: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

pub(super) fn split(text: &str, file: FileId, findings: &mut Findings) -> Vec<Word> {
    let text = match text.find('\0') {
        Some(end) => {
            let message = "the file has a zero byte, and the VM does not read on behind it";
            let help = "write the file anew as plain text";
            findings.push(Diagnostic::new(Code::VmArgsSyntax, Span::new(file, end..end + 1), message).help(help));
            text.split_at(end).0
        }
        None => text,
    };
    let mut words = Vec::new();
    let mut splitter = Splitter { rest: text.char_indices().peekable(), end: text.len(), file };
    while let Some(start) = splitter.skip_to_word() {
        words.push(splitter.word(start, findings));
    }
    words
}

struct Splitter<'a> {
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
    end: usize,
    file: FileId,
}

impl Splitter<'_> {
    /// Goes on behind white space and comments, to where a word begins.
    fn skip_to_word(&mut self) -> Option<usize> {
        while let Some(&(at, c)) = self.rest.peek() {
            if c == '#' {
                while self.rest.next_if(|&(_, c)| c != '\n').is_some() {}
            } else if SPACES.contains(&c) {
                self.rest.next();
            } else {
                return Some(at);
            }
        }
        None
    }

    fn at(&mut self) -> usize {
        self.rest.peek().map_or(self.end, |&(at, _)| at)
    }

    fn word(&mut self, start: usize, findings: &mut Findings) -> Word {
        let mut text = String::new();
        while let Some((at, c)) = self.rest.next_if(|&(_, c)| c != '#' && !SPACES.contains(&c)) {
            match c {
                '"' | '\'' => self.quoted(at, c, &mut text, findings),
                '\\' => self.escaped(at, &mut text, findings),
                _ => text.push(c),
            }
        }
        let end = self.at();
        Word { text, span: Span::new(self.file, start..end) }
    }

    fn quoted(&mut self, start: usize, quote: char, text: &mut String, findings: &mut Findings) {
        while let Some((_, c)) = self.rest.next_if(|&(_, c)| c != quote) {
            text.push(c);
        }
        if self.rest.next().is_none() {
            let message = format!("the quote `{quote}` is not closed: all that follows is part of one word");
            let help = format!("close it with `{quote}`, or write `\\{quote}` for the character itself");
            let span = Span::new(self.file, start..start + 1);
            findings.push(Diagnostic::new(Code::VmArgsSyntax, span, message).help(help));
        }
    }

    fn escaped(&mut self, start: usize, text: &mut String, findings: &mut Findings) {
        let next = self.rest.next();
        let ends_line = match next {
            None | Some((_, '\n')) => true,
            // With a carriage return, the line end that follows is no longer escaped.
            Some((_, '\r')) => true,
            Some(_) => false,
        };
        if ends_line {
            let message =
                "a backslash at the end of a line does not join it to the next: it makes a word of the line end";
            let help = "take it away; the values of a flag may go on in the next line as they are";
            findings
                .push(Diagnostic::new(Code::VmArgsSyntax, Span::new(self.file, start..start + 1), message).help(help));
        }
        text.extend(next.map(|(_, c)| c));
    }
}
