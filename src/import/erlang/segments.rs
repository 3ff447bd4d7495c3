//! The segments of binaries among the tokens; what they mean is in [`super::binary`].

use std::mem;

use super::Kind;
use super::binary::{Segment, Size, Specifiers};
use super::bits::Bits;
use super::lexer::Token;
use super::mistakes;
use super::parser::{Parsed, Parser};

impl Parser<'_, '_> {
    /// What stands in `<<…>>`, whose opening bracket is behind.
    pub(super) fn binary(&mut self) -> Parsed<Kind> {
        let mut bits = Bits::default();
        self.sequence(|parser| parser.segment(&mut bits))?;
        self.leave()?;
        Ok(match bits.into_parts() {
            (bytes, 0) => Kind::Binary(bytes),
            (bytes, used) => Kind::Bitstring(bytes, used),
        })
    }

    fn segment(&mut self, bits: &mut Bits) -> Parsed<()> {
        let before = self.lexer.report.count();
        let start = self.place.start;
        let value = self.term()?;
        let mut size = Ok(Size::Default);
        if self.token == Token::Colon {
            self.advance();
            size = match self.token {
                Token::Minus | Token::Plus => Err("a size has no sign".to_owned()),
                _ => match self.unsigned()?.kind {
                    Kind::Integer(digits) if !digits.starts_with('-') => {
                        Ok(Size::Number(digits.parse().unwrap_or(u64::MAX)))
                    }
                    Kind::Atom(name) if name == "all" => Ok(Size::All),
                    Kind::Atom(name) if name == "undefined" => Ok(Size::Undefined),
                    _ => Err("the size of a segment is a number that is not negative".to_owned()),
                },
            };
        }
        let specifiers = self.specifiers();
        let added = specifiers
            .and_then(|specifiers| specifiers.segment(&size?))
            .and_then(|segment: Segment| segment.add(&value.kind, bits, &mut self.budget));
        match added {
            // What stands in for something has its finding.
            _ if self.lexer.report.count() > before => self.skip_element(),
            Ok(()) => self.behind_element(&value),
            Err(message) => {
                mistakes::segment(self, start, message);
                self.skip_element();
            }
        }
        Ok(())
    }

    fn specifiers(&mut self) -> Result<Specifiers, String> {
        let mut specifiers = Specifiers::default();
        if self.token != Token::Slash {
            return Ok(specifiers);
        }
        loop {
            // The slash or a minus.
            self.advance();
            let Token::Atom(word) = &mut self.token else {
                return Err("the types of a segment are words with `-` between them".to_owned());
            };
            let word = mem::take(word);
            self.advance();
            let mut number = None;
            if self.token == Token::Colon {
                self.advance();
                let Token::Integer(digits) = &mut self.token else {
                    return Err("a number stands behind `unit:`".to_owned());
                };
                number = Some(mem::take(digits));
                self.advance();
            }
            specifiers.add(&word, number.as_deref())?;
            if self.token != Token::Minus {
                return Ok(specifiers);
            }
        }
    }
}
