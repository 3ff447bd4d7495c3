//! Maps: what a rule looks up, and what it finds.

use super::draft::Entry;
use super::joined::Key;
use super::lexer::{Kind, Token};
use super::rules::RuleReader;
use super::sets;
use super::words::elements;
use crate::ir::{Match, Verdict};

/// `vmap { KEY : VERDICT, … }` or `vmap @NAME`: one rule for each element.
pub fn verdict_map(reader: &mut RuleReader<'_, '_>, key: &Key<'_>, start: usize) {
    let table = reader.table;
    // Each element may have the text of the key; the map may be long.
    let text = reader.words.text_since(start);
    let tokens = map_tokens(reader);
    let verdicts = tokens.filter(|_| reader.words.value_ends()).and_then(|tokens| {
        let mut others = None;
        let mut verdicts = Vec::new();
        for element in elements(tokens) {
            let (own, verdict) = key_and_verdict(element)?;
            if matches!(own, [one] if one.is_word("*")) {
                others = Some(verdict);
                continue;
            }
            let alternatives = key.alternatives(table, own, &text)?;
            verdicts.push(Entry { alternatives, statement: None, verdict });
        }
        verdicts.extend(others.map(|verdict| Entry {
            alternatives: vec![remaining(key, &verdicts)],
            statement: None,
            verdict,
        }));
        Some(verdicts)
    });
    match verdicts {
        Some(verdicts) if !key.has_next_header() => reader.decide_by_map(start, verdicts),
        _ => {
            if let [first, ..] = key.implied().as_slice() {
                reader.known_test(vec![vec![first.clone()]], String::new());
            }
            reader.unknown_verdict(start);
        }
    }
}

/// The elements of the map that comes next.
pub fn map_tokens<'r, 'a>(reader: &mut RuleReader<'r, 'a>) -> Option<&'r [Token<'a>]> {
    let table = reader.table;
    let name =
        reader.words.peek().filter(|token| token.kind == Kind::Word).and_then(|token| token.text.strip_prefix('@'));
    match name {
        Some(name) => {
            reader.words.at += 1;
            table.maps.get(name).and_then(|map| map.tokens.as_deref()).and_then(|tokens| table.look_up(tokens))
        }
        None => reader.words.block(),
    }
}

/// What holds for a packet that no element before applies to, if it comes this far.
fn remaining(key: &Key<'_>, before: &[Entry]) -> Vec<Match> {
    let ends = |verdict: &Option<Verdict>| match verdict {
        Some(Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Return | Verdict::Goto(_)) => true,
        Some(Verdict::Jump(_) | Verdict::Unknown(_)) | None => false,
    };
    let mut matches = key.implied();
    if !before.iter().all(|entry| ends(&entry.verdict)) {
        matches.push(Match::Unknown("nothing else in the map".to_owned()));
    }
    matches
}

/// The key of an element, without what is said of it, and its value behind the colon.
pub fn key_and_value<'r, 'a>(element: &'r [Token<'a>]) -> Option<(&'r [Token<'a>], &'r [Token<'a>])> {
    let colon = element.iter().position(|token| token.is(":"))?;
    let (key, rest) = element.split_at_checked(colon)?;
    Some((sets::without_options(key)?, rest))
}

fn key_and_verdict<'r, 'a>(element: &'r [Token<'a>]) -> Option<(&'r [Token<'a>], Option<Verdict>)> {
    let (key, rest) = key_and_value(element)?;
    let verdict = match rest {
        [_, word] => match word.text {
            "accept" => Some(Verdict::Accept),
            "drop" => Some(Verdict::Drop),
            "return" => Some(Verdict::Return),
            "continue" => None,
            _ => return None,
        },
        [_, word, chain] if word.is_word("jump") => Some(Verdict::Jump(chain.name()?.to_owned())),
        [_, word, chain] if word.is_word("goto") => Some(Verdict::Goto(chain.name()?.to_owned())),
        _ => return None,
    };
    Some((key, verdict))
}
