//! Tests on marks, and tests of a few words that only rules of others make.

use super::grammar;
use super::names;
use super::selectors::{Alternatives, Right};
use super::words::Words;
use crate::ir::{End, Foreign, Marked, Match};

/// The bits of a mark in `mask`, compared with one value or with several.
pub fn alternatives(of: Marked, mask: u32, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let mut values: Vec<u32> = right.names()?.into_iter().map(names::number).collect::<Option<_>>()?;
    values.sort_unstable();
    values.dedup();
    // What is not looked at is never set, so that a value with more bits is never met.
    if values.is_empty() || values.iter().any(|value| value & !mask != 0) {
        return None;
    }
    let one = |value| Match::Foreign(Foreign::Mark { of, mask, value, negated });
    let tests = values.into_iter().map(one);
    Some(if negated { vec![tests.collect()] } else { tests.map(|test| vec![test]).collect() })
}

/// `& MASK` or `| MASK` behind a mark: the bits that are compared then, and those that are set in any case.
pub fn masked(words: &mut Words<'_, '_>) -> Option<(u32, u32)> {
    let kept = words.take("&") || words.take_word("and");
    if !kept && !words.take("|") && !words.take_word("or") {
        return None;
    }
    let bits = names::number(words.next()?.text)?;
    Some(if kept { (bits, 0) } else { (!bits, bits) })
}

/// What only rules of others ask, apart from what is compared with values.
pub fn special(words: &mut Words<'_, '_>) -> Option<Match> {
    let start = words.at;
    let found = translated(words).or_else(|| {
        words.at = start;
        way_back(words)
    });
    words.at = if found.is_some() { words.at } else { start };
    // Where an IPv6 packet has no other header in front of its TCP, it has not this one.
    if found.is_none() && lacks_header(words) && words.value_ends() {
        return Some(Match::PerhapsDirectlyTcp);
    }
    let found = found.or_else(|| {
        words.at = start;
        extension_header(words)
    });
    let found = found.or_else(|| {
        words.at = start;
        later_fragment(words)
    });
    found.filter(|_| words.value_ends()).map(Match::Foreign)
}

/// `ct status dnat` and `ct status & dnat == dnat`. A bit that stands alone has to be set, among others.
fn translated(words: &mut Words<'_, '_>) -> Option<Foreign> {
    if !words.take_all(&["ct", "status"]) {
        return None;
    }
    let masked = words.take("&");
    let negated = !masked && words.take("!");
    let end = end_of(words)?;
    if !masked {
        return Some(Foreign::Translated { end, negated });
    }
    let unequal = words.take("!=");
    if !unequal && !words.take("==") {
        return None;
    }
    let none = matches!(words.word(words.at), "0" | "0x0" | "0x00000000");
    if none {
        words.at += 1;
    } else if end_of(words)? != end {
        return None;
    }
    Some(Foreign::Translated { end, negated: unequal != none })
}

/// The end of the connection that a status bit is about (IPS_SRC_NAT and IPS_DST_NAT, linux/netfilter).
fn end_of(words: &mut Words<'_, '_>) -> Option<End> {
    match words.next()?.text {
        "snat" | "0x10" | "16" => Some(End::Source),
        "dnat" | "0x20" | "32" => Some(End::Destination),
        _ => None,
    }
}

/// `ip frag-off & 0x1fff != 0`: without the flags in front of it, the offset.
fn later_fragment(words: &mut Words<'_, '_>) -> Option<Foreign> {
    if !words.take_all(&["ip", "frag-off", "&"]) || names::number(words.next()?.text)? != 0x1fff {
        return None;
    }
    let unequal = words.take("!=");
    if !unequal {
        words.take("==");
    }
    (names::number(words.next()?.text)? == 0).then_some(Foreign::LaterFragment { negated: !unequal })
}

/// `fib saddr [. mark] [. iif] oif missing`.
fn way_back(words: &mut Words<'_, '_>) -> Option<Foreign> {
    if !words.take_all(&["fib", "saddr"]) {
        return None;
    }
    // The mark chooses the table that is asked.
    words.take_all(&[".", "mark"]);
    let same_interface = words.take_all(&[".", "iif"]);
    if same_interface {
        words.take_all(&[".", "mark"]);
    }
    if !words.take_word("oif") && !words.take_all(&["check"]) {
        return None;
    }
    let unequal = words.take("!=");
    let missing = match words.next()?.text {
        "missing" => !unequal,
        // There is no interface of that number.
        "0" => !unequal,
        "exists" => unequal,
        _ => return None,
    };
    Some(Foreign::WayBack { same_interface, missing })
}

/// What is read of a header that is not there ends the rule, negated or not. `exthdr HEADER missing` is the one test that
/// such a packet passes.
const HEADERS: [&str; 5] = ["hbh", "rt", "dst", "mh", "srh"];

/// `exthdr HEADER missing`.
fn lacks_header(words: &mut Words<'_, '_>) -> bool {
    let header = words.take_word("exthdr")
        && words.next().is_some_and(|token| HEADERS.contains(&token.text) || token.text == "frag");
    let unequal = header && words.take("!=");
    if header && !unequal {
        words.take("==");
    }
    let says = |words: &mut Words<'_, '_>, texts: [&str; 2]| texts.iter().any(|text| words.take_word(text));
    header && if unequal { says(words, ["exists", "1"]) } else { says(words, ["missing", "0"]) }
}

fn extension_header(words: &mut Words<'_, '_>) -> Option<Foreign> {
    let start = words.at;
    if words.take_word("exthdr") {
        let header = words.next().is_some_and(|token| HEADERS.contains(&token.text));
        let exists = words.take_word("exists") || words.take_word("1");
        return (header && exists).then(|| Foreign::ExtensionHeader(words.text_since(start)));
    }
    let known = grammar::extension_header(words);
    known.then(|| Foreign::ExtensionHeader(words.text_since(start)))
}
