//! Values that are looked up in sets and maps → tests.
//!
//! A key may have several fields, each in registers of its own. Elements that differ in one field alone are tested
//! together, so that a set of many addresses with few ports becomes few tests.

use std::collections::HashMap;

use super::super::attributes::find;
use super::super::attributes::u32_of;
use super::super::constants::*;
use super::entries::{Entry, Says};
use super::finish::{Alternatives, Decided};
use super::join::joined;
use super::program::{Program, first_byte, verdict};
use super::statements::Fields;
use super::value::{Test, Value};
use super::values::Values;
use crate::ir::{Match, PortBlock, Varying, Verdict};

/// A set that is looked into becomes at most so many tests, and a map so many rules.
const MOST_TESTS: usize = 256;
const MOST_RULES: usize = 1 << 14;

/// A field of a key: what it holds, and where it stands in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub value: Value,
    pub at: usize,
    pub width: usize,
}

impl Part {
    /// `None` also where something else than zeros fills it up to whole registers: that is never found.
    fn of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let end = self.at.checked_add(self.width)?;
        let filling = key.get(end..end.next_multiple_of(4).min(key.len()))?;
        key.get(self.at..end).filter(|_| filling.iter().all(|byte| *byte == 0))
    }

    /// The field's ends in an element.
    fn range<'e>(&self, entry: &'e Entry<'_>) -> Option<(&'e [u8], &'e [u8])> {
        Some((self.of(&entry.from)?, self.of(&entry.to)?))
    }

    /// Whether what it says is what other fields rest on.
    fn is_ground(&self) -> bool {
        matches!(self.value, Value::Meta(NFT_META_L4PROTO | NFT_META_NFPROTO | NFT_META_PROTOCOL))
            || matches!(self.value, Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 6 | 9, length: 1 })
    }

    fn is_address(&self) -> bool {
        matches!(self.value, Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, length: 4 | 16, .. })
    }
}

impl<'a> Program<'a> {
    /// The fields of a key that begins in a register; `None` where one of them is not known.
    pub(super) fn parts(&self, register: u32, length: u32) -> Option<Vec<Part>> {
        let start = first_byte(register);
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < length {
            let own = self.registers.iter().find(|own| own.first == start.saturating_add(at))?;
            let width = own.value.width().unwrap_or(own.length);
            if width == 0 || width > length - at {
                return None;
            }
            parts.push(Part { value: own.value.clone(), at: at as usize, width: width as usize });
            at += width.next_multiple_of(4);
        }
        Some(parts).filter(|parts| !parts.is_empty())
    }

    /// All fields of a key are looked at.
    pub(super) fn tested_all(&mut self, register: u32, length: u32) {
        let start = first_byte(register);
        let end = start.saturating_add(length.max(1));
        let within: Vec<u32> =
            self.registers.iter().map(|own| own.first).filter(|at| (start..end).contains(at)).collect();
        within.into_iter().for_each(|at| self.tested_at(at));
    }

    /// The tests that a key is in a set, or is not.
    pub(super) fn in_set(&mut self, parts: &[Part], set: &str, negated: bool) -> Option<Alternatives> {
        let (set, values) = self.sets.get(set)?;
        if matches!(values, Values::Filled) {
            return None;
        }
        let entries = set.entries().ok()??;
        if entries.rest.is_some() || entries.each.is_empty() {
            return None;
        }
        let found = self.together(parts, &entries.each)?;
        if !negated {
            // A packet that two elements fit meets the rule once.
            return (!overlap(parts, &entries.each, |_, _| false)).then_some(found);
        }
        // None of them, if each is a single test.
        let none = found.iter().map(|one| if let [one] = one.as_slice() { super::join::turned(one) } else { None });
        Some(vec![none.collect::<Option<Vec<Match>>>()?])
    }

    /// The tests that a key is one of these elements.
    fn together(&mut self, parts: &[Part], entries: &[Entry<'_>]) -> Option<Alternatives> {
        let merged = parts.iter().position(Part::is_address).unwrap_or(parts.len() - 1);
        let merged = if parts.len() == 1 { 0 } else { merged };
        let mut order: Vec<Vec<&Entry<'_>>> = Vec::new();
        let mut groups: HashMap<Vec<u8>, usize> = HashMap::new();
        for entry in entries {
            let mut key = Vec::new();
            for (_, part) in parts.iter().enumerate().filter(|(at, _)| *at != merged) {
                let (from, to) = part.range(entry)?;
                key.extend_from_slice(from);
                key.extend_from_slice(to);
            }
            let at = *groups.entry(key).or_insert(order.len());
            match order.get_mut(at) {
                Some(group) => group.push(entry),
                None => order.push(vec![entry]),
            }
        }
        let mut all = Alternatives::new();
        for group in order {
            all.extend(self.of_group(parts, merged, &group)?);
            if all.len() > MOST_TESTS {
                return None;
            }
        }
        Some(if parts.len() == 1 { joined(all) } else { all })
    }

    /// The tests for elements that differ in one field alone.
    fn of_group(&mut self, parts: &[Part], merged: usize, group: &[&Entry<'_>]) -> Option<Alternatives> {
        let before = (self.ip, self.tcp);
        let found = self.of_fields(parts, merged, group);
        (self.ip, self.tcp) = before;
        found
    }

    fn of_fields(&mut self, parts: &[Part], merged: usize, group: &[&Entry<'_>]) -> Option<Alternatives> {
        let first = group.first()?;
        let mut found: Alternatives = vec![Vec::new()];
        let numbered = || parts.iter().enumerate();
        let ground = numbered().filter(|(_, part)| part.is_ground());
        for (at, part) in ground.chain(numbered().filter(|(_, part)| !part.is_ground())) {
            let tests = if at == merged {
                let ranges = group.iter().map(|entry| part.range(entry)).collect::<Option<Vec<_>>>()?;
                self.any_of(&part.value, &ranges)?
            } else {
                let (from, to) = part.range(first)?;
                self.any_of(&part.value, &[(from, to)])?
            };
            if let [all] = tests.as_slice() {
                all.iter().for_each(|one| self.learn(one));
            }
            found = found.iter().flat_map(|one| tests.iter().map(move |more| [&one[..], &more[..]].concat())).collect();
            if found.len() > MOST_TESTS {
                return None;
            }
        }
        Some(found)
    }

    /// What a map of verdicts says of each of its keys; `None` where that is not all known. Whoever has none of them leaves
    /// the rule; whoever has one that says `continue` goes on with what stands behind the map.
    pub(super) fn decide_by_map(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (register, name) = fields.verdict_map()?;
        let (set, values) = self.sets.get(name.as_str())?;
        if matches!(values, Values::Filled) {
            return None;
        }
        let parts = self.parts(register, set.key_length)?;
        let entries = set.entries().ok()??;
        if overlap(&parts, &entries.each, both_end) {
            return None;
        }
        let mut decided = Vec::new();
        for entry in &entries.each {
            let verdict = decision(&entry.says)?;
            let varying = varying_of(&parts);
            let unknown = || Match::Unknown(format!("an element of map {name}"));
            let doubt =
                || vec![vec![varying.map_or_else(unknown, |on| Match::varies(on, &found_in(&name, &parts, entry)))]];
            let tests = self.of_group(&parts, 0, &[entry]).unwrap_or_else(doubt);
            decided.push(Decided { tests, statement: None, verdict });
            if decided.len() > MOST_RULES {
                return None;
            }
        }
        if let Some(says) = &entries.rest {
            let verdict = decision(says)?;
            let tests = vec![remaining(&parts, &decided)];
            decided.push(Decided { tests, statement: None, verdict });
        }
        if self.goes_on && decided.iter().any(|one| one.verdict.is_none()) {
            return None;
        }
        self.tested_all(register, set.key_length);
        self.decide(decided);
        Some(())
    }

    /// Nothing comes behind what a map says.
    pub(super) fn decide(&mut self, mut decided: Vec<Decided>) {
        if decided.is_empty() {
            // The rule stays to be seen.
            let tests = vec![vec![Match::Unknown("an empty map".to_owned())]];
            decided.push(Decided { tests, statement: None, verdict: None });
        }
        self.decisions = Some(decided);
        self.ended = true;
    }

    /// A map that says what a register holds.
    pub(super) fn load_from_map(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (register, to, name) = fields.value_map()?;
        let (set, values) = self.sets.get(name.as_str())?;
        if matches!(values, Values::Filled) {
            return None;
        }
        let key = self.parts(register, set.key_length)?;
        let length = find(&set.attributes, NFTA_SET_DATA_LEN).ok()?.and_then(|length| u32_of(length).ok())?;
        self.tested_all(register, set.key_length);
        self.load(to, length, Value::Mapped { key, set: name });
        Some(())
    }

    /// What each of a map's keys says, for statements that use it; `None` where that is not all known.
    pub(super) fn by_key(
        &mut self,
        (key, name): (&[Part], &str),
        statement: impl Fn(&[u8]) -> Option<crate::ir::Statement>,
    ) -> Option<Vec<Decided>> {
        let (set, _) = self.sets.get(name)?;
        let entries = set.entries().ok()??;
        if overlap(key, &entries.each, |_, _| false) {
            return None;
        }
        let mut decided = Vec::new();
        for entry in &entries.each {
            let Says::Value(value) = &entry.says else { return None };
            let varying = || Some(vec![vec![Match::varies(varying_of(key)?, &found_in(name, key, entry))]]);
            let tests = self.of_group(key, 0, &[entry]).or_else(varying)?;
            decided.push(Decided { tests, statement: Some(statement(value)?), verdict: None });
            if decided.len() > MOST_RULES {
                return None;
            }
        }
        if let Some(says) = &entries.rest {
            let Says::Value(value) = says else { return None };
            let tests = vec![remaining(key, &decided)];
            decided.push(Decided { tests, statement: Some(statement(value)?), verdict: None });
        }
        Some(decided)
    }

    /// The tests that a value lies in one of these ranges.
    fn any_of(&self, value: &Value, ranges: &[(&[u8], &[u8])]) -> Option<Alternatives> {
        if let Some(one) = self.listed(value, ranges) {
            return Some(vec![vec![one]]);
        }
        if ranges.len() > MOST_TESTS {
            return None;
        }
        let mut all = Alternatives::new();
        for (from, to) in ranges {
            let test = if from == to { Test::Compare(NFT_CMP_EQ, from) } else { Test::Range(false, from, to) };
            all.extend(self.alternatives(value, &test)?);
        }
        Some(joined(all))
    }
}

/// Whether there may be a key of several fields that two elements fit which are not alike: of ranges the kernel takes elements that overlap,
/// and finds one of them (seen on Linux 6.18). Also where there are too many to tell.
fn overlap(parts: &[Part], entries: &[Entry<'_>], alike: impl Fn(&Entry<'_>, &Entry<'_>) -> bool) -> bool {
    /// So many pairs are held against each other.
    const MOST: usize = 1 << 22;
    if parts.len() < 2 || entries.iter().all(|one| one.from == one.to) {
        return false;
    }
    let meet = |part: &Part, one: &Entry<'_>, other: &Entry<'_>| match (part.range(one), part.range(other)) {
        (Some((from, to)), Some((first, last))) => from <= last && first <= to,
        _ => true,
    };
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    sorted.sort_by(|one, other| one.from.cmp(&other.from));
    let mut left = MOST;
    sorted.iter().enumerate().any(|(at, one)| {
        let first = |other: &&&Entry<'_>| parts.first().is_none_or(|part| meet(part, one, other));
        sorted.iter().skip(at + 1).take_while(first).any(|other| {
            left = left.saturating_sub(1);
            left == 0 || (!alike(one, other) && parts.iter().all(|part| meet(part, one, other)))
        })
    })
}

/// Whether it does not matter which of two elements is found: nothing comes behind either, and both say the same.
fn both_end(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    let ends =
        |one: &Entry<'_>| matches!(decision(&one.says), Some(Some(Verdict::Accept | Verdict::Drop | Verdict::Return)));
    ends(one) && one.says == other.says
}

/// An element of a map, and what is looked up.
fn found_in(name: &str, parts: &[Part], entry: &Entry<'_>) -> String {
    let key: Vec<String> = parts.iter().map(|part| format!("{}{}", part.value, part.value.how())).collect();
    format!("{} {} of map {name}", key.join(" . "), Test::Range(false, &entry.from, &entry.to))
}

/// On what a key hangs, where no packet says so.
fn varying_of(parts: &[Part]) -> Option<Varying> {
    parts.iter().find_map(|part| part.value.varying())
}

fn decision(says: &Says<'_>) -> Option<Option<Verdict>> {
    let Says::Decision((code, chain)) = says else { return None };
    match verdict(*code, chain.as_deref()) {
        Verdict::Unknown(_) if *code == NFT_CONTINUE => Some(None),
        Verdict::Unknown(_) => None,
        known => Some(Some(known)),
    }
}

/// What holds for a packet that no element before applies to, if it comes this far: what is looked up is there, and the
/// elements before have all decided, or it is not said whether one of them did not.
fn remaining(parts: &[Part], before: &[Decided]) -> Vec<Match> {
    let ends = |one: &Decided| one.statement.is_some() || one.verdict.as_ref().is_some_and(Verdict::ends);
    let mut matches = Vec::new();
    for part in parts.iter().filter(|part| part.value.may_be_missing()) {
        match part.value {
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0 | 2, length: 2 } => {
                matches.push(Match::PortBlock(PortBlock { first: 0, bits: 0 }));
            }
            Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, .. } | Value::Meta(NFT_META_L4PROTO) => {}
            _ => matches.push(Match::Unknown(format!("{} is there", part.value))),
        }
    }
    if !before.iter().all(ends) {
        matches.push(Match::Unknown("nothing else in the map".to_owned()));
    }
    matches
}
