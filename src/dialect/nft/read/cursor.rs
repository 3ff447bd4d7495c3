//! Tokens with variables replaced by what they stand for.

use std::collections::HashMap;
use std::rc::Rc;

use super::lexer::{Kind, Lexer, Token};
use crate::dialect::read::ReadError;

/// Brackets within brackets; nft itself has no use for more than a few.
pub const DEEPEST_NESTING: usize = 64;

/// So many tokens come out of variables before the text is refused: variables of variables can grow without end.
const MOST_SUBSTITUTED: usize = 1 << 22;

/// A place in a text.
pub struct Cursor<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token<'a>>,
    /// The variables of each block that is open, the text itself first. A block sees those around it, and what it defines
    /// ends with it.
    variables: Vec<HashMap<&'a str, Rc<[Token<'a>]>>>,
    /// What is left of a variable, and the token that named it.
    pending: Option<(Rc<[Token<'a>]>, usize, Token<'a>)>,
    substituted: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { lexer: Lexer::new(text), peeked: None, variables: vec![HashMap::new()], pending: None, substituted: 0 }
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Result<Token<'a>, ReadError> {
        if let Some(token) = self.peeked.take() {
            return Ok(token);
        }
        loop {
            if let Some((tokens, at, name)) = &mut self.pending {
                if let Some(token) = tokens.get(*at) {
                    let spaced = if *at == 0 { name.spaced } else { token.spaced };
                    *at += 1;
                    return Ok(Token { line: name.line, start: name.start, end: name.end, spaced, ..*token });
                }
                self.pending = None;
            }
            let token = self.lexer.next()?;
            let name = if token.kind == Kind::Word { token.text.strip_prefix('$') } else { None };
            let Some(value) = name.and_then(|name| self.variable(name)).map(Rc::clone) else { return Ok(token) };
            self.substituted += value.len();
            if self.substituted > MOST_SUBSTITUTED {
                return Err(ReadError::new(token.line, "the variables stand for too much text"));
            }
            self.pending = Some((value, 0, token));
        }
    }

    /// How many elements come next in the text, as far as commas tell.
    pub fn elements_ahead(&self) -> usize {
        if self.peeked.is_none() && self.pending.is_none() { self.lexer.elements_ahead() } else { 0 }
    }

    /// Takes single IPv4 addresses down that come next in the text, up to whatever else comes.
    pub fn addresses(&mut self, list: &mut Vec<(u32, u32)>) {
        if self.peeked.is_none() && self.pending.is_none() {
            self.lexer.addresses(list);
        }
    }

    fn variable(&self, name: &str) -> Option<&Rc<[Token<'a>]>> {
        self.variables.iter().rev().find_map(|block| block.get(name))
    }

    /// A block begins: its opening bracket was taken.
    pub fn enter(&mut self) {
        self.variables.push(HashMap::new());
    }

    /// A block ends: its closing bracket was taken.
    pub fn leave(&mut self) {
        self.variables.pop();
    }

    /// Looks at the next token without taking it.
    pub fn peek(&mut self) -> Result<Token<'a>, ReadError> {
        let token = self.next()?;
        self.peeked = Some(token);
        Ok(token)
    }

    /// Takes the next token that is no line end. Outside of rules a comment hides nothing.
    pub fn next_on_any_line(&mut self) -> Result<Token<'a>, ReadError> {
        loop {
            let token = self.next()?;
            if !matches!(token.kind, Kind::Newline | Kind::Hidden) {
                return Ok(token);
            }
        }
    }

    /// Takes the next token if it is this symbol.
    pub fn take(&mut self, symbol: &str) -> Result<bool, ReadError> {
        let found = self.peek()?.is(symbol);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// Takes a name.
    pub fn name(&mut self, what: &str) -> Result<(&'a str, u32), ReadError> {
        let token = self.next()?;
        match token.name() {
            Some(name) => Ok((name, token.line)),
            None => Err(ReadError::new(token.line, format!("expected {what}, found {}", token.described()))),
        }
    }

    /// Takes the tokens of a statement, up to its end, which stays; lines do not end within brackets.
    pub fn statement(&mut self) -> Result<Vec<Token<'a>>, ReadError> {
        let mut tokens = self.rule()?;
        tokens.retain(|token| token.kind != Kind::Hidden);
        Ok(tokens)
    }

    /// The same of a rule, in which a comment may hide a test or a statement.
    pub fn rule(&mut self) -> Result<Vec<Token<'a>>, ReadError> {
        let mut tokens = Vec::new();
        let mut depth = 0;
        let first_line = self.peek()?.line;
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::End if depth > 0 => return Err(unclosed(first_line)),
                Kind::Newline | Kind::Hidden if depth > 0 => {}
                Kind::Symbol | Kind::Newline | Kind::End if depth == 0 && token.ends_statement() => return Ok(tokens),
                Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::Hidden | Kind::End => {
                    if token.is("{") {
                        depth += 1;
                    } else if token.is("}") {
                        depth -= 1;
                    }
                    if depth > DEEPEST_NESTING {
                        return Err(ReadError::new(token.line, "brackets within too many brackets"));
                    }
                    tokens.push(token);
                }
            }
            self.next()?;
        }
    }

    /// Carries out what nft takes in every block, and what reaches beyond this one: a variable that is defined here is one of
    /// the block around it. The word was taken; `false` if it is nothing of that kind.
    pub fn variable_command(&mut self, word: &Token<'a>) -> Result<bool, ReadError> {
        if word.kind != Kind::Word {
            return Ok(false);
        }
        match word.text {
            "define" | "redefine" => self.define()?,
            "undefine" => self.undefine()?,
            "include" => return Err(ReadError::new(word.line, "a file that is included here is not read")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Passes over a block whose opening bracket was taken.
    pub fn skip_block(&mut self, line: u32) -> Result<(), ReadError> {
        let mut depth = 1_usize;
        while depth > 0 {
            let token = self.next()?;
            match token.kind {
                Kind::End => return Err(unclosed(line)),
                Kind::Symbol if token.is("{") => depth += 1,
                Kind::Symbol if token.is("}") => depth -= 1,
                Kind::Word => _ = self.variable_command(&token)?,
                Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::Hidden => {}
            }
        }
        Ok(())
    }

    /// `define NAME = VALUE`, whose first word was taken.
    pub fn define(&mut self) -> Result<(), ReadError> {
        let (name, line) = self.name("the name of a variable")?;
        if !self.take("=")? {
            return Err(ReadError::new(line, format!("expected `=` behind `define {name}`")));
        }
        let mut value = self.statement()?;
        if let Some(first) = value.first_mut() {
            first.spaced = true;
        }
        if let Some(block) = self.variables.last_mut() {
            block.insert(name, value.into());
        }
        Ok(())
    }

    /// `undefine NAME`, whose first word was taken. One of the same name around the block stays.
    pub fn undefine(&mut self) -> Result<(), ReadError> {
        let (name, _) = self.name("the name of a variable")?;
        self.variables.last_mut().and_then(|block| block.remove(name));
        Ok(())
    }
}

/// The error for a block that goes on to the end of the text.
pub fn unclosed(line: u32) -> ReadError {
    ReadError::new(line, "what begins here has no end: a `}` is missing")
}
