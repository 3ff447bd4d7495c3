//! Rules that change packets on their way.
//!
//! A rule is judged on the packet as it came to its door. Where one before a door may change anything, packets come there
//! that began as others, and nothing is certain of any. Destination NAT in its own chains is foreseen: the guard judges
//! before it and behind it.

use std::collections::{HashMap, HashSet};

use crate::ir::statement::Changes;
use crate::ir::{Base, Field, Hook, Match, Place, Rule, Ruleset, Statement, Table, Verdict};
use crate::net::Interface;

use super::packet::TCP;

/// A rule that packets from outside may meet, and of which it is not known that it leaves them as they are.
#[must_use]
pub fn rewriting(ruleset: &Ruleset) -> Option<String> {
    let from_outside = |base: &Base| matches!(base.hook, Hook::Ingress | Hook::Prerouting | Hook::Input);
    ruleset.tables.iter().find_map(|table| reached(table, from_outside, |_| true).into_iter().find_map(rewrites))
}

fn rewrites(rule: &Rule) -> Option<String> {
    let everything = |one: &&Statement| one.effect().changes == Changes::Everything;
    let statement = rule.statements.iter().find(everything).map(Statement::name);
    let unknown = || match &rule.verdict {
        Some(Verdict::Unknown(text)) => Some(text.as_str()),
        _ => None,
    };
    let text = statement.or_else(unknown)?;
    Some(rule.place.as_ref().map_or_else(|| text.to_owned(), Place::described))
}

/// The rules that packets of TCP from outside, or the answers to them, may meet from these base chains on, by way of rules whose tests they
/// may pass as far as `passes` knows.
pub fn reached(table: &Table, from: impl Fn(&Base) -> bool, passes: impl Fn(&Rule) -> bool) -> Vec<&Rule> {
    let names: HashMap<&str, &[Rule]> =
        table.chains.iter().map(|chain| (chain.name.as_str(), chain.rules.as_slice())).collect();
    let bases = table.chains.iter().filter(|chain| chain.base.as_ref().is_some_and(&from));
    let mut waiting: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    let mut found: HashSet<&str> = HashSet::new();
    let mut rules = Vec::new();
    while let Some(name) = waiting.pop() {
        if !found.insert(name) {
            continue;
        }
        for rule in
            names.get(name).copied().unwrap_or_default().iter().filter(|rule| may_be_met(table, rule) && passes(rule))
        {
            if let Some(Verdict::Jump(target) | Verdict::Goto(target)) = &rule.verdict {
                waiting.push(target);
            }
            rules.push(rule);
        }
    }
    rules
}

/// Whether a packet of TCP that came from outside may meet a rule. What is of another protocol does not become TCP by a
/// program that it is handed to, but it does where a rule writes the field.
fn may_be_met(table: &Table, rule: &Rule) -> bool {
    let writes = |one: &Statement| matches!(one, Statement::Write { field: Field::Other(_), .. });
    let other = |one: &Match| match one {
        Match::Protocol { number, negated } => (*number == TCP) == *negated,
        Match::InInterface { names, negated: false } => names.iter().all(|name| *name == Interface::loopback()),
        Match::Family(family) => !table.family.has_both() && !family.has_both() && table.family != *family,
        _ => false,
    };
    rule.statements.iter().any(writes) || !rule.matches.iter().any(other)
}
