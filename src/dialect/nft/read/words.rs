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

/// Words that begin a statement wherever no value is due.
const STATEMENTS: [&str; 25] = [
    "accept",
    "drop",
    "continue",
    "return",
    "jump",
    "goto",
    "reject",
    "queue",
    "counter",
    "log",
    "comment",
    "limit",
    "notrack",
    "dnat",
    "snat",
    "masquerade",
    "redirect",
    "tproxy",
    "synproxy",
    "dup",
    "fwd",
    "xt",
    "quota",
    "meter",
    "flow",
];

/// Behind these words a value is due, and no statement begins.
const VALUE_DUE: [&str; 28] = [
    ".", "-", "/", "set", "map", "vmap", "original", "reply", "and", "or", "xor", "not", "eq", "ne", "jhash",
    "symhash", "type", "code", "status", "state", "option", "event", "name", "mod", "offset", "seed", "to", "with",
];

/// Unknown tests that begin with one of these words are short: a further test behind them is a test of its own.
const SHORT_TESTS: [&str; 22] = [
    "meta", "ct", "ip", "ip6", "tcp", "udp", "th", "icmp", "icmpv6", "iif", "iifname", "oif", "oifname", "mark",
    "pkttype", "skuid", "skgid", "frag", "socket", "limit", "quota", "sctp",
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

    /// Whether a new statement begins at a place behind `start`.
    fn begins_statement(&self, start: usize, at: usize) -> bool {
        let value_due = self.tokens.get(at.wrapping_sub(1)).is_none_or(|before| match before.kind {
            Kind::Symbol => !before.is("}") && !before.is(")"),
            Kind::Word => VALUE_DUE.contains(&before.text),
            Kind::Quoted | Kind::Newline | Kind::Hidden | Kind::End => false,
        });
        if value_due {
            return false;
        }
        let (word, next) = (self.word(at), self.word(at + 1));
        if STATEMENTS.contains(&word) {
            return true;
        }
        let named = !matches!(self.word(at.wrapping_sub(1)), "meta" | "ct");
        if named && at > start && matches!((word, next), ("mark" | "priority" | "nftrace", "set")) {
            return true;
        }
        if matches!(word, "add" | "update" | "delete") && next.starts_with('@') {
            return true;
        }
        let first = self.word(start);
        if at < start + 2 || !(SHORT_TESTS.contains(&first) || first.starts_with('@')) {
            return false;
        }
        matches!(
            (word, next),
            ("ip", "saddr" | "daddr" | "protocol" | "dscp" | "ttl")
                | ("ip6", "saddr" | "daddr" | "nexthdr" | "dscp" | "hoplimit")
                | ("tcp", "dport" | "sport" | "flags" | "option")
                | ("udp" | "th", "dport" | "sport")
                | ("icmp" | "icmpv6", "type" | "code")
                | ("fib", "daddr" | "saddr")
                | ("meta" | "ct" | "iif" | "iifname" | "oif" | "oifname" | "frag", _)
        )
    }

    /// Where the word `set` stands, if the statement that began at `start` is an assignment.
    pub fn assignment(&self, start: usize) -> Option<usize> {
        // `@th,16,16 set …` is the longest way to name what is set.
        let end = start + 6;
        // Only a raw field has numbers in its name.
        let raw = self.word(start).starts_with('@');
        let number = |token: &Token<'_>| !raw && token.text.starts_with(|first: char| first.is_ascii_digit());
        (start + 1..=end)
            .take_while(|at| {
                let token = self.tokens.get(*at);
                token.is_some_and(|token| {
                    (token.kind == Kind::Word || token.is(",")) && !number(token) && !self.begins_statement(start, *at)
                })
            })
            .find(|at| self.word(*at) == "set")
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
