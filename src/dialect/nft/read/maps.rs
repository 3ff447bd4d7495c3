//! Maps: what a rule looks up, and what it finds.

use super::draft::Entry;
use super::joined::Key;
use super::lexer::{Kind, Token};
use super::rules::RuleReader;
use super::selectors::Alternatives;
use super::sets;
use super::words::elements;
use crate::ir::{Addresses, Elements, Family, Foreign, Match, PortMatch, Verdict};

/// `vmap { KEY : VERDICT, … }` or `vmap @NAME`: one rule for each element.
pub fn verdict_map(reader: &mut RuleReader<'_, '_>, key: &Key<'_>, start: usize) {
    let table = reader.table;
    // Each element may have the text of the key; the map may be long.
    let text = reader.words.text_since(start);
    let tokens = map_tokens(reader);
    let verdicts = tokens.filter(|_| reader.words.value_ends()).and_then(|tokens| {
        let mut others = None;
        let mut verdicts = Vec::new();
        let mut ranged = false;
        for element in elements(tokens) {
            let (own, verdict) = key_and_verdict(element)?;
            ranged |= key.is_joined() && has_range(own);
            if matches!(own, [one] if one.is_word("*")) {
                others = Some(verdict);
                continue;
            }
            let alternatives = key.alternatives(table, own, &text)?;
            verdicts.push(Entry { alternatives, statement: None, verdict });
        }
        if ranged && may_find_two(&verdicts) {
            return None;
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

/// Whether there is a range or a network in a key, of numbers or addresses and not a name with a dash in it, or a name with an asterisk.
pub fn has_range(key: &[Token<'_>]) -> bool {
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':');
    let is_range = |token: &Token<'_>| {
        token.is_word("-")
            || token.name().is_some_and(|name| name.contains('*'))
            || (token.kind == Kind::Word && is_number(token.text) && token.text.contains(['-', '/']))
    };
    key.iter().any(is_range)
}

/// Whether there may be packets for which two elements are found that say different things. nft and the kernel refuse that of a key of one
/// thing, and not of ranges of several; which element counts then hangs on the order in which they came into the kernel (seen on Linux
/// 6.18).
pub fn may_find_two(entries: &[Entry]) -> bool {
    let ends = |entry: &Entry| {
        entry.statement.is_none() && matches!(entry.verdict, Some(Verdict::Accept | Verdict::Drop | Verdict::Return))
    };
    pairs(entries, |one, other| {
        let same = ends(one) && one.verdict == other.verdict;
        !same && meet(&one.alternatives, &other.alternatives)
    })
}

/// Whether two elements of a set of several things may be found for one packet.
pub fn overlap(elements: &[Alternatives]) -> bool {
    pairs(elements, meet)
}

/// Whether something is so of two of these, or there are too many to tell.
fn pairs<T>(all: &[T], is_so: impl Fn(&T, &T) -> bool) -> bool {
    /// So many elements are held against each other.
    const MOST: usize = 2000;
    let mut each = all.iter().enumerate();
    all.len() > MOST || each.any(|(at, one)| all.iter().skip(at + 1).any(|other| is_so(one, other)))
}

fn meet(one: &Alternatives, other: &Alternatives) -> bool {
    !one.iter().all(|one| other.iter().all(|other| apart(one, other)))
}

/// Whether no packet passes both.
fn apart(one: &[Match], other: &[Match]) -> bool {
    one.iter().any(|one| other.iter().any(|other| exclude(one, other)))
}

fn exclude(one: &Match, other: &Match) -> bool {
    let ports = |one: &PortMatch, other: &PortMatch| matches!((one, other), (PortMatch::Ports(one), PortMatch::Ports(other)) if one.intersection(other).is_none());
    match (one, other) {
        (
            Match::Source { addresses: Addresses::These(one), negated: false },
            Match::Source { addresses: Addresses::These(other), negated: false },
        )
        | (
            Match::Destination { addresses: Addresses::These(one), negated: false },
            Match::Destination { addresses: Addresses::These(other), negated: false },
        ) => match (one, other) {
            (Elements::Ipv4(one), Elements::Ipv4(other)) => disjoint(one, other),
            (Elements::Ipv6(one), Elements::Ipv6(other)) => disjoint(one, other),
            (Elements::Ipv4(_), Elements::Ipv6(_)) | (Elements::Ipv6(_), Elements::Ipv4(_)) => true,
            _ => false,
        },
        (
            Match::DestinationPort { ports: one, negated: false },
            Match::DestinationPort { ports: other, negated: false },
        )
        | (
            Match::Foreign(Foreign::SourcePort { ports: one, negated: false }),
            Match::Foreign(Foreign::SourcePort { ports: other, negated: false }),
        ) => ports(one, other),
        (Match::Protocol { number: one, negated: false }, Match::Protocol { number: other, negated: false }) => {
            one != other
        }
        (Match::Family(one), Match::Family(other)) => {
            matches!((one, other), (Family::Ip, Family::Ip6) | (Family::Ip6, Family::Ip))
        }
        (Match::InInterface { names: one, negated: false }, Match::InInterface { names: other, negated: false }) => {
            !one.iter().any(|name| other.contains(name))
        }
        _ => false,
    }
}

fn disjoint<T: Ord>(one: &[(T, T)], other: &[(T, T)]) -> bool {
    one.iter().all(|(first, last)| other.iter().all(|(start, end)| last < start || end < first))
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
    let ends = |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(Verdict::ends);
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
