//! Terms, as `erl_parse` of OTP 25 makes them of tokens and `erl_parse:normalise/1` of expressions.
//!
//! What can be mended without a guess (a missing comma, a comma too many, an expression where a value should be) is a
//! finding, and the reading goes on behind it. Where brackets do not match, the rest of the term is not judged.

use std::mem;
use std::ops::Range;

use super::binary::Budget;
use super::lexer::{Bracket, Lexer, Token};
use super::mistakes;
use super::report::Report;
use super::{DEEPEST, Kind, Term};

/// The term cannot be read on; its finding is there.
pub(super) struct GivenUp;

pub(super) type Parsed<T> = Result<T, GivenUp>;

pub(super) struct Parser<'a, 'r> {
    pub(super) lexer: Lexer<'a, 'r>,
    pub(super) token: Token<'a>,
    pub(super) place: Range<usize>,
    /// Where the token before ended.
    pub(super) behind: usize,
    /// The brackets that are open, and where.
    pub(super) open: Vec<(Bracket, Range<usize>)>,
    pub(super) budget: Budget,
}

impl<'a, 'r> Parser<'a, 'r> {
    pub fn new(text: &'a str, report: &'r mut Report<'a>) -> Self {
        let mut lexer = Lexer::new(text, report);
        let (token, place) = lexer.next();
        Self { lexer, token, place, behind: 0, open: Vec::new(), budget: Budget::new() }
    }

    /// All terms of the file.
    pub fn file(mut self) -> Vec<Term> {
        let mut terms = Vec::new();
        while self.token != Token::End {
            self.open.clear();
            self.lexer.long_text = None;
            self.lexer.odd_comment = None;
            match self.term().and_then(|term| self.end_of_term(&term).map(|()| term)) {
                Ok(term) => terms.push(term),
                Err(GivenUp) => self.skip_term(),
            }
        }
        terms
    }

    pub(super) fn advance(&mut self) -> Token<'a> {
        self.behind = self.place.end;
        let (token, place) = self.lexer.next();
        self.place = place;
        mem::replace(&mut self.token, token)
    }

    fn skip_term(&mut self) {
        while !matches!(self.token, Token::Dot | Token::End) {
            self.advance();
        }
        self.advance();
    }

    fn new_term(&self, kind: Kind, start: usize) -> Term {
        Term { kind, span: self.lexer.report.span(start..self.behind) }
    }

    /// Takes the place of a term that has its finding.
    fn stand_in(&self, start: usize) -> Term {
        self.new_term(Kind::Atom(String::new()), start)
    }

    fn end_of_term(&mut self, term: &Term) -> Parsed<()> {
        match &self.token {
            Token::Dot => {
                self.advance();
                Ok(())
            }
            Token::End | Token::Comma => {
                mistakes::no_dot(self, term);
                if self.token == Token::Comma {
                    self.advance();
                }
                Ok(())
            }
            Token::Close(_) => Err(mistakes::closes_nothing(self)),
            token if starts_term(token) && matches!(term.kind, Kind::Tuple(_) | Kind::List(..) | Kind::Map(_)) => {
                mistakes::no_dot(self, term);
                Ok(())
            }
            _ => {
                mistakes::no_element(self, term.span.start as usize, Some(&term.kind));
                Err(GivenUp)
            }
        }
    }

    fn enter(&mut self, bracket: Bracket) -> Parsed<()> {
        self.open.push((bracket, self.place.clone()));
        if self.open.len() > DEEPEST {
            return Err(mistakes::too_deep(self));
        }
        self.advance();
        Ok(())
    }

    pub(super) fn leave(&mut self) -> Parsed<()> {
        match (self.open.last(), &self.token) {
            (Some((open, _)), Token::Close(close)) if open == close => {
                self.open.pop();
                self.advance();
                Ok(())
            }
            _ => Err(mistakes::not_closed(self)),
        }
    }

    pub(super) fn term(&mut self) -> Parsed<Term> {
        match self.token {
            Token::Minus | Token::Plus => self.signed(),
            _ => self.unsigned(),
        }
    }

    /// A sign before a number, which may be in parentheses but has no other sign.
    fn signed(&mut self) -> Parsed<Term> {
        let (start, sign) = (self.place.clone(), self.advance());
        let mut depth = 0;
        while self.token == Token::Open(Bracket::Round) {
            self.enter(Bracket::Round)?;
            depth += 1;
        }
        let minus = sign == Token::Minus;
        let kind = match &mut self.token {
            Token::Integer(digits) if minus && digits != "0" => Some(Kind::Integer(format!("-{digits}"))),
            Token::Integer(digits) => Some(Kind::Integer(mem::take(digits))),
            Token::Character('\0') => Some(Kind::Integer("0".to_owned())),
            Token::Character(c) if minus => Some(Kind::Integer(format!("-{}", u32::from(*c)))),
            Token::Character(c) => Some(Kind::Integer(u32::from(*c).to_string())),
            Token::Float(value) => Some(Kind::Float(if minus { -*value } else { *value })),
            _ => None,
        };
        let Some(kind) = kind else {
            mistakes::sign_without_number(self, start.clone());
            self.skip_element();
            return Ok(self.stand_in(start.start));
        };
        self.advance();
        for _ in 0..depth {
            self.leave()?;
        }
        Ok(self.new_term(kind, start.start))
    }

    pub(super) fn unsigned(&mut self) -> Parsed<Term> {
        let start = self.place.start;
        let kind = match &mut self.token {
            Token::Atom(name) => Kind::Atom(mem::take(name)),
            Token::Integer(digits) => Kind::Integer(mem::take(digits)),
            Token::Float(value) => Kind::Float(*value),
            Token::Character(c) => Kind::Integer(u32::from(*c).to_string()),
            Token::Wrong => Kind::Atom(String::new()),
            Token::Text(_) => return Ok(self.text(start)),
            Token::Open(bracket) => {
                let bracket = *bracket;
                return self.bracketed(bracket, start);
            }
            Token::Hash => return self.map(start),
            Token::Reserved("fun") => return self.fun(start),
            Token::Close(_) | Token::Dot | Token::End => return Err(mistakes::no_term(self)),
            Token::Reserved(_) | Token::Variable(_) => {
                mistakes::word(self);
                Kind::Atom(String::new())
            }
            Token::Comma
            | Token::Bar
            | Token::Arrow
            | Token::Colon
            | Token::Slash
            | Token::Minus
            | Token::Plus
            | Token::Other(_) => {
                mistakes::no_element(self, start, None);
                self.skip_element();
                return Ok(self.stand_in(start));
            }
        };
        self.advance();
        Ok(self.new_term(kind, start))
    }

    /// Texts in a row are one.
    fn text(&mut self, start: usize) -> Term {
        let mut all = String::new();
        while let Token::Text(text) = &mut self.token {
            if all.is_empty() {
                all = mem::take(text)
            } else {
                all.push_str(text)
            }
            self.advance();
        }
        self.new_term(Kind::String(all), start)
    }

    fn bracketed(&mut self, bracket: Bracket, start: usize) -> Parsed<Term> {
        self.enter(bracket)?;
        let kind = match bracket {
            Bracket::Round => {
                let term = self.term()?;
                self.behind_element(&term);
                self.leave()?;
                return Ok(term);
            }
            Bracket::Square => {
                let mut items = Vec::new();
                let tail = self.list(&mut items)?;
                Kind::List(items, tail)
            }
            Bracket::Curly => {
                let mut items = Vec::new();
                self.sequence(|parser| {
                    let term = parser.term()?;
                    parser.behind_element(&term);
                    items.push(term);
                    Ok(())
                })?;
                self.leave()?;
                Kind::Tuple(items)
            }
            Bracket::Binary => self.binary()?,
        };
        Ok(self.new_term(kind, start))
    }

    /// Elements with commas between them, up to what closes them or to the `|` of a list, which stay.
    pub(super) fn sequence(&mut self, mut element: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        if matches!(self.token, Token::Close(_)) {
            return Ok(());
        }
        loop {
            while self.token == Token::Comma {
                mistakes::comma_without_term(self);
                self.advance();
            }
            if matches!(self.token, Token::Close(_)) {
                return Ok(());
            }
            element(self)?;
            match &self.token {
                Token::Comma => {
                    let comma = self.place.clone();
                    self.advance();
                    if matches!(self.token, Token::Close(_)) {
                        mistakes::trailing_comma(self, comma);
                        return Ok(());
                    }
                }
                token if starts_term(token) => mistakes::no_comma(self),
                _ => return Ok(()),
            }
        }
    }

    /// What stands in `[…]`. A tail that is a list continues these items, so that nothing is moved twice.
    fn list(&mut self, items: &mut Vec<Term>) -> Parsed<Option<Box<Term>>> {
        let before = items.len();
        self.sequence(|parser| {
            let term = parser.term()?;
            parser.behind_element(&term);
            items.push(term);
            Ok(())
        })?;
        let mut tail = None;
        if self.token == Token::Bar && items.len() > before {
            self.advance();
            tail = self.tail(items)?;
            if self.token == Token::Comma {
                return Err(mistakes::second_tail(self));
            }
        }
        self.leave()?;
        Ok(tail)
    }

    fn tail(&mut self, items: &mut Vec<Term>) -> Parsed<Option<Box<Term>>> {
        let tail = match self.token {
            Token::Open(Bracket::Square) => {
                self.enter(Bracket::Square)?;
                self.list(items)?
            }
            Token::Open(Bracket::Round) => {
                self.enter(Bracket::Round)?;
                let tail = self.tail(items)?;
                self.leave()?;
                tail
            }
            _ => {
                let term = self.term()?;
                self.behind_element(&term);
                match term.kind {
                    Kind::String(text) => {
                        let number = |c: char| Term { kind: Kind::Integer(u32::from(c).to_string()), span: term.span };
                        items.extend(text.chars().map(number));
                        None
                    }
                    kind => Some(Box::new(Term { kind, span: term.span })),
                }
            }
        };
        Ok(tail)
    }

    fn map(&mut self, start: usize) -> Parsed<Term> {
        let hash = self.place.clone();
        self.advance();
        if self.token != Token::Open(Bracket::Curly) {
            mistakes::hash(self, hash);
            self.skip_element();
            return Ok(self.stand_in(start));
        }
        self.enter(Bracket::Curly)?;
        let mut pairs = Vec::new();
        self.sequence(|parser| {
            let key = parser.term()?;
            if parser.token != Token::Arrow {
                mistakes::no_arrow(parser);
                parser.skip_element();
                return Ok(());
            }
            parser.advance();
            let value = parser.term()?;
            parser.behind_element(&value);
            pairs.push((key, value));
            Ok(())
        })?;
        self.leave()?;
        Ok(self.new_term(Kind::Map(pairs), start))
    }

    fn fun(&mut self, start: usize) -> Parsed<Term> {
        self.advance();
        let mut names = Vec::new();
        for behind in [Token::Colon, Token::Slash] {
            let Token::Atom(name) = &mut self.token else { break };
            let name = mem::take(name);
            self.advance();
            if self.token != behind {
                break;
            }
            self.advance();
            names.push(name);
        }
        let arity = match &self.token {
            Token::Integer(digits) => digits.parse::<u8>().ok(),
            _ => None,
        };
        match (<[String; 2]>::try_from(names), arity) {
            (Ok([module, name]), Some(arity)) => {
                self.advance();
                Ok(self.new_term(Kind::Fun(module, name, arity), start))
            }
            _ => {
                mistakes::no_fun(self, start);
                self.skip_element();
                Ok(self.stand_in(start))
            }
        }
    }

    /// Says what is wrong if something stands behind an element that can neither end nor follow it, and skips it.
    pub(super) fn behind_element(&mut self, element: &Term) {
        let list = matches!(self.open.last(), Some((Bracket::Square, _)));
        let call = self.token == Token::Open(Bracket::Round) && matches!(element.kind, Kind::Atom(_));
        match &self.token {
            Token::Comma | Token::Close(_) | Token::Dot | Token::End => return,
            Token::Bar if list => return,
            token if starts_term(token) && !call => return,
            _ => {}
        }
        mistakes::no_element(self, element.span.start as usize, Some(&element.kind));
        self.skip_element();
    }

    /// Goes to what ends the element in which a mistake is.
    pub(super) fn skip_element(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.token {
                Token::Open(_) => depth += 1,
                Token::Dot | Token::End => return,
                Token::Comma | Token::Close(_) if depth == 0 => return,
                Token::Close(_) => depth -= 1,
                _ => {}
            }
            self.advance();
        }
    }
}

/// Whether a term may begin with this token; a sign may belong to a computation.
fn starts_term(token: &Token<'_>) -> bool {
    match token {
        Token::Atom(_) | Token::Integer(_) | Token::Character(_) | Token::Float(_) | Token::Text(_) => true,
        Token::Open(_) | Token::Variable(_) | Token::Wrong | Token::Hash => true,
        Token::Reserved(word) => *word == "fun",
        Token::Close(_) | Token::Comma | Token::Bar | Token::Arrow | Token::Colon | Token::Slash | Token::Minus => {
            false
        }
        Token::Plus | Token::Dot | Token::End | Token::Other(_) => false,
    }
}
