//! Tests on the TCP flags, which nft writes in more ways than anything else.
//!
//! | text | means |
//! |---|---|
//! | `tcp flags syn,ack` | one of them is set |
//! | `tcp flags ! syn,ack` | none of them is set |
//! | `tcp flags == syn` | this one is set and no other |
//! | `tcp flags syn / syn,ack`, `tcp flags & (syn \| ack) == syn` | of these two, just this one |

use std::collections::BTreeSet;

use super::lexer::Token;
use super::names;
use super::selectors::Alternatives;
use super::words::{Words, elements};
use crate::ir::{Match, TcpFlags};

const ALL: u8 = 0xff;

/// What `tcp flags` is compared with, once these two words were taken. `None` if the IR does not say exactly that.
pub fn flags(words: &mut Words<'_, '_>) -> Option<Alternatives> {
    if words.take("&") {
        let mask = mask(words)?;
        let equal = comparison(words)?;
        let value = either(words)?;
        return if equal { is(mask, value) } else { is_not(mask, value) };
    }
    let (not, operator) = match words.peek()? {
        token if token.is("!") => (words.take("!"), None),
        _ => (false, comparison(words)),
    };
    if let Some(values) = words.block() {
        let exact = elements(values).into_iter().map(|value| {
            let mut words = Words::new(value);
            either(&mut words).filter(|_| words.peek().is_none())
        });
        let exact: BTreeSet<u8> = exact.collect::<Option<_>>()?;
        let refused = not || operator == Some(false) || exact.is_empty();
        return (!refused).then(|| exact.into_iter().map(|value| exactly(ALL, value)).collect());
    }
    let value = list(words)?;
    if words.take_word("/") {
        let mask = list(words)?;
        return match operator {
            _ if not => None,
            None | Some(true) => is(mask, value),
            Some(false) => is_not(mask, value),
        };
    }
    match operator {
        None if not => is(value, 0),
        None => any(value),
        Some(true) => is(ALL, value),
        Some(false) => is_not(ALL, value),
    }
}

/// Whether `==` comes next, or `!=`.
fn comparison(words: &mut Words<'_, '_>) -> Option<bool> {
    if words.take("==") {
        return Some(true);
    }
    words.take("!=").then_some(false)
}

fn one(token: &Token<'_>) -> Option<u8> {
    let bit = (0..8).map(|bit| TcpFlags(1 << bit)).find(|flag| flag.names().any(|name| name == token.text));
    bit.map(|flag| flag.0).or_else(|| names::number(token.text).and_then(|bits| u8::try_from(bits).ok()))
}

/// `a,b`.
fn list(words: &mut Words<'_, '_>) -> Option<u8> {
    let mut bits = one(words.next()?)?;
    while words.take(",") {
        bits |= one(words.next()?)?;
    }
    Some(bits)
}

/// `a | b`, with or without brackets.
fn either(words: &mut Words<'_, '_>) -> Option<u8> {
    let brackets = words.take("(");
    let mut bits = one(words.next()?)?;
    while words.take("|") {
        bits |= one(words.next()?)?;
    }
    (!brackets || words.take(")")).then_some(bits)
}

/// The same; but without brackets only the first flag would be in the mask.
fn mask(words: &mut Words<'_, '_>) -> Option<u8> {
    if words.peek()?.is("(") { either(words) } else { one(words.next()?) }
}

fn exactly(mask: u8, value: u8) -> Vec<Match> {
    vec![Match::TcpFlags { mask: TcpFlags(mask), value: TcpFlags(value) }]
}

fn is(mask: u8, value: u8) -> Option<Alternatives> {
    // What is not looked at is never set.
    (value & !mask == 0).then(|| vec![exactly(mask, value)])
}

/// One of these is set: the first; or the second, and not the first; and so on.
fn any(flags: u8) -> Option<Alternatives> {
    is_not(flags, 0)
}

/// The first flag of the mask is different; or the second is, and the first is not; and so on.
fn is_not(mask: u8, value: u8) -> Option<Alternatives> {
    if value & !mask != 0 || mask == 0 {
        return None;
    }
    let mut seen = 0;
    let bits = (0..8).map(|bit| 1_u8 << bit).filter(|bit| mask & bit != 0);
    let alternative = |bit: u8| {
        seen |= bit;
        exactly(seen, (value ^ bit) & seen)
    };
    Some(bits.map(alternative).collect())
}
