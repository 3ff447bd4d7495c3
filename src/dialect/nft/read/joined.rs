//! What a rule looks up: one thing of a packet, or several at once (`ip saddr . tcp dport`).

use super::expressions::header;
use super::grammar;
use super::lexer::Token;
use super::selectors::{Alternatives, Right, Selector};
use super::tables::RawTable;
use super::varying::{varies, varying};
use super::words::Words;
use crate::ir::{Match, Varying};

/// An element of a set becomes at most so many alternatives: a range of ports of any protocol becomes several.
const MOST_OF_ELEMENT: usize = 64;

/// A part of a key.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// What the IR has words for.
    Known(Selector),
    /// Something else, by the word that it begins with, and on what it hangs, where that is known.
    Opaque(&'a str, Option<Varying>),
}

/// What is looked up.
pub struct Key<'a>(Vec<Part<'a>>);

impl<'a> Key<'a> {
    /// A key of one thing.
    pub fn of(selector: Selector) -> Self {
        Self(vec![Part::Known(selector)])
    }

    /// Takes a key of one thing or of several.
    pub fn take(words: &mut Words<'_, 'a>) -> Option<Self> {
        let mut parts = Vec::new();
        loop {
            let first = words.word(words.at);
            let start = words.at;
            parts.push(match Selector::take(words) {
                Some(selector) => Part::Known(selector),
                None => {
                    words.at = start;
                    let known = grammar::selector(words) || {
                        words.at = start;
                        grammar::number(words)
                    };
                    known.then(|| Part::Opaque(first, varying(words, start)))?
                }
            });
            if !words.take_word(".") {
                return Some(Self(parts));
            }
        }
    }

    /// Takes a key of several things.
    pub fn take_joined(words: &mut Words<'_, 'a>) -> Option<Self> {
        Self::take(words).filter(|key| key.0.len() > 1)
    }

    /// Whether there is a part in it that the IR has no words for.
    pub fn is_opaque(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Opaque(..)))
    }

    /// Whether it is of several things.
    pub fn is_joined(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether the header right behind that of IPv6 is a part of it.
    pub fn has_next_header(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Known(Selector::NextHeader)))
    }

    /// What has to hold for any element to be found.
    pub fn implied(&self) -> Vec<Match> {
        let mut all = Vec::new();
        for part in &self.0 {
            let implied = match part {
                Part::Known(selector) => selector.implied(),
                Part::Opaque(first, _) => header(first),
            };
            for one in implied {
                if !all.contains(&one) {
                    all.push(one);
                }
            }
        }
        all
    }

    /// When an element is found; `text` is the test as it stands.
    pub fn alternatives(&self, table: &RawTable<'_>, element: &[Token<'_>], text: &str) -> Option<Alternatives> {
        if let [Part::Known(selector)] = self.0.as_slice() {
            return selector.compare(table, &Right::One(element), false, text);
        }
        let values: Vec<&[Token<'_>]> = element.split(|token| token.is_word(".")).collect();
        if values.len() != self.0.len() {
            return None;
        }
        let mut all: Alternatives = vec![Vec::new()];
        for (part, value) in self.0.iter().zip(values) {
            let own = match part {
                Part::Known(selector) => selector.compare(table, &Right::One(value), false, text)?,
                Part::Opaque(first, of) => {
                    let mut test = header(first);
                    let unknown = || Match::Unknown(text.to_owned());
                    test.push(of.map_or_else(unknown, |on| varies(on, text)));
                    vec![test]
                }
            };
            if all.len().saturating_mul(own.len()) > MOST_OF_ELEMENT {
                return None;
            }
            all = all.iter().flat_map(|before| own.iter().map(|more| [before.as_slice(), more].concat())).collect();
        }
        Some(all)
    }
}
