//! Numbers among the tokens.

use std::ops::Range;

use super::LONGEST_INTEGER;
use super::lexer::{Lexer, Token};
use super::natural::Natural;

impl<'a> Lexer<'a, '_> {
    /// Where numbers with two dots or more end. No term has them.
    pub(super) fn dotted(&self, start: usize) -> Option<usize> {
        let mut end = start;
        let mut dots = 0;
        loop {
            while self.is_digit(end) {
                end += 1;
            }
            if self.byte(end) != Some(b'.') || !self.is_digit(end + 1) {
                break;
            }
            dots += 1;
            end += 1;
        }
        (dots >= 2).then_some(end)
    }

    /// Digits, between which a `_` may stand.
    fn digits(&self, start: usize, base: u32) -> usize {
        let is = |at: usize| self.byte(at).is_some_and(|byte| char::from(byte).is_digit(base));
        let mut end = start;
        while is(end) || (end > start && self.byte(end) == Some(b'_') && is(end + 1)) {
            end += 1;
        }
        end
    }

    pub(super) fn number(&mut self, start: usize) -> Token<'a> {
        let end = self.digits(start, 10);
        match self.byte(end) {
            Some(b'.') if self.is_digit(end + 1) => self.float(start, end + 1),
            Some(b'#') => self.based(start..end),
            Some(_) | None => self.integer(start, start..end, 10),
        }
    }

    fn float(&mut self, start: usize, fraction: usize) -> Token<'a> {
        self.at = self.digits(fraction, 10);
        if matches!(self.byte(self.at), Some(b'e' | b'E')) {
            let signed = matches!(self.byte(self.at + 1), Some(b'+' | b'-'));
            self.at = self.digits(self.at + 1 + usize::from(signed), 10);
        }
        let word = self.slice(start..self.at);
        match word.replace('_', "").parse::<f64>() {
            Ok(value) if value.is_finite() => Token::Float(value),
            Ok(_) | Err(_) => {
                let shown = self.report.excerpt(start..self.at);
                let help = "write digits behind the `e`, and at most about 1.0e308";
                self.report.mistake(start..self.at, format!("`{shown}` is no floating-point number"), help);
                Token::Wrong
            }
        }
    }

    fn based(&mut self, base: Range<usize>) -> Token<'a> {
        self.at = base.end + 1;
        let digits = self.slice(base.clone()).replace('_', "");
        // `0016#ff` is fine.
        let Some(value) = digits.parse::<u32>().ok().filter(|value| (2..=36).contains(value)) else {
            self.at = self.name_end(self.at);
            let shown = self.report.excerpt(base.start..self.at);
            let help = "a base is 2 to 36, as in 16#1fa3; a comment begins with `%`";
            self.report.mistake(base.start..self.at, format!("`{shown}` is a number without a valid base"), help);
            return Token::Wrong;
        };
        let end = self.digits(self.at, value);
        self.integer(base.start, self.at..end, value)
    }

    fn integer(&mut self, start: usize, digits: Range<usize>, base: u32) -> Token<'a> {
        self.at = digits.end;
        let word = self.slice(digits.clone());
        if word.is_empty() {
            let shown = self.report.excerpt(start..self.at);
            let help = "write its digits directly behind the `#`, as in 16#1fa3";
            self.report.mistake(start..self.at, format!("the number `{shown}` has no digits"), help);
            return Token::Wrong;
        }
        if word.len() > LONGEST_INTEGER {
            let message = format!("an integer of more than {LONGEST_INTEGER} digits, which no setting needs");
            self.report.mistake(start..self.at, message, "write the number that is meant");
            return Token::Wrong;
        }
        if base == 10 && !word.contains('_') {
            let digits = word.trim_start_matches('0');
            return Token::Integer(if digits.is_empty() { "0" } else { digits }.to_owned());
        }
        Token::Integer(Natural::from_digits(word, base).to_decimal())
    }
}
