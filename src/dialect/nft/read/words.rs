//! A rule's tokens, and where one statement of it ends and the next begins.
//!
//! nft has no mark between two statements of a rule. What is understood ends where its grammar ends; what is not
//! understood goes on until a word that can only begin a statement. Taking too much is safe, as the result is unknown
//! anyway; taking too little could turn the rest into a test that nobody wrote.

use super::lexer::{Kind, Token, join};

/// A place in a rule.
#[derive(Clone, Copy)]
pub struct Words<'r, 'a> {
    tokens: &'r [Token<'a>],
    /// The index of the next token.
    pub at: usize,
}

/// Behind these words a value is due, and no statement begins.
const VALUE_DUE: [&str; 28] = [
    ".", "-", "/", "set", "map", "vmap", "original", "reply", "and", "or", "xor", "not", "eq", "ne", "jhash",
    "symhash", "type", "code", "status", "state", "option", "event", "name", "mod", "offset", "seed", "to", "with",
];

impl<'r, 'a> Words<'r, 'a> {
    /// The beginning of a rule.
    pub fn new(tokens: &'r [Token<'a>]) -> Self {
        Self { tokens, at: 0 }
    }

    /// The next token, which stays.
    pub fn peek(&self) -> Option<&'r Token<'a>> {
        self.tokens.get(self.at)
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Option<&'r Token<'a>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    /// The word at a place; empty for anything that is no word.
    pub fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).filter(|token| token.kind == Kind::Word).map_or("", |token| token.text)
    }

    /// The text at a place, between quotes or not.
    pub fn text_at(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Takes the next token if it is this word.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.word(self.at) == word;
        self.at += usize::from(found);
        found
    }

    /// Takes the next token if it is this symbol.
    pub fn take(&mut self, symbol: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(symbol));
        self.at += usize::from(found);
        found
    }

    /// Takes these words and symbols, all or none.
    pub fn take_all(&mut self, texts: &[&str]) -> bool {
        let same = |(offset, text): (usize, &&str)| {
            self.tokens.get(self.at + offset).is_some_and(|token| token.kind != Kind::Quoted && token.text == *text)
        };
        let found = texts.iter().enumerate().all(same);
        self.at += if found { texts.len() } else { 0 };
        found
    }

    /// The tokens from a place up to here.
    pub fn since(&self, start: usize) -> &'r [Token<'a>] {
        self.tokens.get(start..self.at.min(self.tokens.len())).unwrap_or_default()
    }

    /// Their text.
    pub fn text_since(&self, start: usize) -> String {
        join(self.since(start))
    }

    /// The text between two places.
    pub fn text_since_until(&self, start: usize, end: usize) -> String {
        join(self.tokens.get(start..end.min(self.tokens.len())).unwrap_or_default())
    }

    /// What stands between the bracket that comes next and the one that closes it.
    pub fn block(&mut self) -> Option<&'r [Token<'a>]> {
        if !self.take("{") {
            return None;
        }
        let start = self.at;
        let mut depth = 1_usize;
        while let Some(token) = self.next() {
            depth = match token {
                token if token.is("{") => depth + 1,
                token if token.is("}") => depth - 1,
                _ => depth,
            };
            if depth == 0 {
                return self.tokens.get(start..self.at - 1);
            }
        }
        None
    }

    /// Whether a value ends here: the end of the rule, or a word that is no operator.
    pub fn value_ends(&self) -> bool {
        self.peek().is_none_or(|token| match token.kind {
            Kind::Word => !VALUE_DUE.contains(&token.text),
            Kind::Hidden => true,
            Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::End => false,
        })
    }

    /// Passes over everything up to the comment of the rule.
    pub fn skip_to_comment(&mut self) {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let comment = |pair: &[Token<'_>]| matches!(pair, [a, b] if a.is_word("comment") && b.kind == Kind::Quoted);
        // It stands at the end; one within brackets belongs to an element.
        let last = rest.len().saturating_sub(2);
        self.at += if rest.get(last..).is_some_and(comment) { last } else { rest.len() };
    }

    /// Where the word `set` stands, if the statement that began at `start` is an assignment: `mark`, `meta mark`, `ct
    /// original zone`, `tcp option maxseg size` and `@th,16,16` are what can be set, and nothing is longer.
    pub fn assignment(&self, start: usize) -> Option<usize> {
        let set_at = (start + 1..=start + 5).find(|at| self.word(*at) == "set")?;
        let first = self.word(start);
        let named = match set_at - start {
            1 => matches!(first, "mark" | "priority" | "nftrace"),
            2 => !first.starts_with('@'),
            3 => first == "ct",
            4 => first == "tcp" && self.word(start + 1) == "option",
            _ => first.starts_with('@'),
        };
        named.then_some(set_at)
    }
}

/// The elements between commas, without their comments. A variable may bring brackets of its own, which mean nothing.
pub fn elements<'r, 'a>(tokens: &'r [Token<'a>]) -> Vec<&'r [Token<'a>]> {
    let split = tokens.split(|token| token.is(",") || token.is("{") || token.is("}"));
    split.map(without_comment).filter(|element| !element.is_empty()).collect()
}

fn without_comment<'r, 'a>(element: &'r [Token<'a>]) -> &'r [Token<'a>] {
    match element {
        [rest @ .., word, text] if word.is_word("comment") && text.kind == Kind::Quoted => rest,
        _ => element,
    }
}
