//! nft text → IR.
//!
//! Reads what people write, what [`write`](super::write()) writes, and what `nft list ruleset` prints, of nft 0.9.3 and
//! newer. In two steps: the text is carried out from top to bottom onto nothing, which leaves tables, sets and rules as
//! tokens; then each rule is understood, with every set of its table at hand.
//!
//! - A file that the kernel would refuse is not looked for; one that cannot be told apart from something else than a
//!   ruleset is an error.
//! - Rules of the IR that stand for one rule of the text (a verdict map) have one place.
//! - INVARIANT (text): comments and log prefixes are made printable; names stay as they are, which in nft may have `.`
//!   and `/` in them.

mod assignments;
mod cursor;
mod devices;
mod draft;
mod expand;
mod expressions;
pub mod fields;
mod file;
mod flags;
mod glued;
mod grammar;
mod joined;
mod lexer;
mod maps;
mod marks;
mod names;
mod nat;
mod ports;
mod rules;
mod selectors;
mod sets;
mod tables;
#[cfg(test)]
mod tests;
mod values;
mod varying;
mod words;

use std::collections::HashSet;

use expand::{Budget, expand};
use file::File;
use tables::{RawBase, RawChain, RawFamily, RawTable};

use crate::dialect::devices::hung;
use crate::dialect::read::{DEEPEST_OF_NFT, Read, ReadError, Unknown, check_jumps};
use crate::ir::{
    Addresses, Base, Chain, DeviceName, Family, Foreign, Hook, Match, Place, Policy, PortMatch, Rule, Ruleset, Table,
    Verdict,
};

/// Reads a ruleset.
pub fn read(text: &str) -> Result<Read, ReadError> {
    let File { tables, mut unknown, .. } = File::read(text)?;
    let mut ruleset = Ruleset { unread: incomplete(text), ..Ruleset::default() };
    let mut budget = Budget::default();
    for table in tables.into_iter().flatten() {
        unknown.extend(table.unknown.iter().cloned());
        match table.family {
            RawFamily::Known(family) => {
                let table = understood(text, family, table, &mut budget, &mut unknown);
                ruleset.neighbours.extend(table.about_arp());
                ruleset.tables.push(table);
            }
            RawFamily::Other(family) => {
                if !may_stop_packets(&table) {
                    continue;
                }
                if family == "arp" {
                    ruleset.neighbours.push(format!("table {family} {}", table.name));
                } else {
                    ruleset.unread.push(format!("table {family} {}", table.name));
                    list_foreign(&table, &mut unknown);
                }
            }
        }
    }
    let includes = unknown.iter().filter(|one| one.text.starts_with("include "));
    ruleset.unread.extend(includes.map(|one| one.text.clone()));
    if unknown.iter().any(|one| one.text.starts_with("include ")) {
        forgive_missing_chains(&mut ruleset, &mut unknown);
    }
    check_jumps(&ruleset, DEEPEST_OF_NFT)?;
    unknown.sort_by_key(|one| one.line);
    Ok(Read { ruleset, unknown })
}

/// Whether a text has commands that take away, or empty, what iptables-nft has in nf_tables: the whole ruleset, or a table of such a name.
pub fn clears_tables_of_iptables(text: &str) -> bool {
    const TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];
    let mut lexer = lexer::Lexer::new(text);
    let mut words: Vec<&str> = Vec::new();
    // What cannot be read is refused elsewhere.
    while let Ok(token) = lexer.next() {
        if token.ends_statement() || token.is("{") {
            let found = match words.as_slice() {
                ["flush", "ruleset", ..] => true,
                ["flush" | "delete" | "destroy", "table", "ip" | "ip6", name, ..]
                | ["flush" | "delete" | "destroy", "table", name, ..] => TABLES.contains(name),
                _ => false,
            };
            if found {
                return true;
            }
            words.clear();
            if token.kind == lexer::Kind::End {
                return false;
            }
        } else {
            words.extend(token.name());
        }
    }
    false
}

/// Whether a text has tables and nothing else, as a listing has.
pub fn is_listing(text: &str) -> bool {
    let mut lexer = lexer::Lexer::new(text);
    let (mut depth, mut begins) = (0_u32, true);
    while let Ok(token) = lexer.next() {
        match token.kind {
            lexer::Kind::End => return true,
            lexer::Kind::Newline => begins |= depth == 0,
            _ if token.is("{") => (depth, begins) = (depth.saturating_add(1), false),
            _ if token.is("}") => (depth, begins) = (depth.saturating_sub(1), depth <= 1),
            lexer::Kind::Hidden => {}
            _ if begins && depth == 0 && !token.is_word("table") => return false,
            _ => begins = false,
        }
    }
    false
}

/// What a listing says of itself that it may not be all there is: nft 1.1.7 of tables that a newer one made.
fn incomplete(text: &str) -> Vec<String> {
    // Which few have.
    if !text.contains("# Warning: ") {
        return Vec::new();
    }
    let warns = |line: &&str| {
        line.starts_with("# Warning: ")
            && (line.contains("by a newer version of nftables") || line.contains("legacy tables"))
    };
    let lines = text.lines().map(str::trim_start).filter(warns);
    lines.map(|line| printable(line.trim_start_matches("# ").chars())).collect()
}

/// What an included file holds is not known, and may be the chains that are missing here.
fn forgive_missing_chains(ruleset: &mut Ruleset, unknown: &mut Vec<Unknown>) {
    for table in &mut ruleset.tables {
        let names: HashSet<String> = table.chains.iter().map(|chain| chain.name.clone()).collect();
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            let text = match &rule.verdict {
                Some(Verdict::Jump(name)) if !names.contains(name) => format!("jump {name}"),
                Some(Verdict::Goto(name)) if !names.contains(name) => format!("goto {name}"),
                _ => continue,
            };
            unknown.push(Unknown { line: rule.place.as_ref().map_or(1, |place| place.line), text: text.clone() });
            rule.verdict = Some(Verdict::Unknown(text));
        }
    }
}

/// Whether a table of a family that the IR has no word for can drop or change packets. Whatever its rules ask, those that
/// accept, count and go to other chains do neither.
fn may_stop_packets(table: &RawTable<'_>) -> bool {
    let harmless = |verdict: &Option<Verdict>| match verdict {
        None | Some(Verdict::Accept | Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_)) => true,
        Some(Verdict::Drop | Verdict::Reject(_) | Verdict::Unknown(_)) => false,
    };
    let passes = |rule: &tables::RawRule<'_>| {
        let draft = rules::read(table, &rule.tokens);
        let does = draft.statements.iter().any(|(_, statement)| !statement.effect().is_none());
        !does
            && match &draft.outcome {
                draft::Outcome::One(verdict) => harmless(verdict),
                draft::Outcome::Map(entries) => {
                    entries.iter().all(|entry| entry.statement.is_none() && harmless(&entry.verdict))
                }
            }
    };
    let hooked = table.chains.iter().flatten().any(|chain| chain.hooked.is_some());
    let mut chains = table.chains.iter().flatten();
    hooked && !table.dormant && !chains.all(|chain| chain.policy == Policy::Accept && chain.rules.iter().all(passes))
}

/// A table of a family that the IR has no word for can still drop packets.
fn list_foreign(table: &RawTable<'_>, unknown: &mut Vec<Unknown>) {
    let name = format!("table {} {}", table.family.name(), table.name);
    unknown.push(Unknown { line: table.line, text: name.clone() });
    for chain in table.chains.iter().flatten() {
        if let Some(hooked) = &chain.hooked {
            unknown.push(Unknown { line: chain.line, text: format!("{name} chain {} {{ {hooked} }}", chain.name) });
        }
    }
}

fn understood(
    text: &str,
    family: Family,
    mut table: RawTable<'_>,
    budget: &mut Budget,
    unknown: &mut Vec<Unknown>,
) -> Table {
    table.spoil_what_rules_fill();
    let raw_chains = std::mem::take(&mut table.chains);
    let mut chains = Vec::with_capacity(raw_chains.len());
    for chain in raw_chains.into_iter().flatten() {
        let mut rules = Vec::with_capacity(chain.rules.len());
        for rule in &chain.rules {
            let piece = text.get(rule.span.0..rule.span.1).unwrap_or_default();
            let place = Place { line: rule.line, handle: None, text: lexer::one_line(piece) };
            expand(rules::read(&table, &rule.tokens), place, budget, &mut rules, unknown);
        }
        add_chain((&chain, family), rules, table.dormant, &mut chains);
    }
    let used = used_sets(&chains);
    let mut sets = Vec::with_capacity(table.sets.len());
    for set in table.sets.into_iter().flatten() {
        let (name, line) = (set.name, set.line);
        let set = set.into_set();
        // A rule that looks something else up in it says so itself.
        if set.elements == crate::ir::Elements::Unknown && used.contains(name) {
            unknown.push(Unknown { line, text: format!("set {name}") });
        }
        sets.push(set);
    }
    Table { family, name: table.name.to_owned(), legacy: false, sets, chains }
}

/// The sets that rules look something up in by their names.
fn used_sets(chains: &[Chain]) -> HashSet<String> {
    let matches = chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.matches);
    let name = |one: &Match| match one {
        Match::Source { addresses: Addresses::Set(name), .. }
        | Match::Destination { addresses: Addresses::Set(name), .. }
        | Match::DestinationPort { ports: PortMatch::Set(name), .. }
        | Match::Foreign(Foreign::SourcePort { ports: PortMatch::Set(name), .. }) => Some(name.clone()),
        _ => None,
    };
    matches.filter_map(name).collect()
}

fn add_chain((chain, family): (&RawChain<'_>, Family), rules: Vec<Rule>, dormant: bool, chains: &mut Vec<Chain>) {
    let Some(base) = chain.base.as_ref().filter(|_| !dormant) else {
        chains.push(Chain::named(chain.name, rules));
        return;
    };
    let RawBase { kind, hook, priority, .. } = *base;
    let attached = Base { kind, hook, priority, policy: chain.policy, shared: false };
    let chain_proper = Chain { base: Some(attached), ..Chain::named(chain.name, rules) };
    if !matches!(hook, Hook::Ingress | Hook::Egress) || (base.devices.is_empty() && family != Family::Netdev) {
        chains.push(chain_proper);
        return;
    }
    let text = chain.hooked.clone().unwrap_or_default();
    let names: Option<Vec<DeviceName>> = base.devices.iter().map(|device| devices::device(device, false)).collect();
    let place = Place { line: chain.line, handle: None, text };
    chains.extend(hung(chain_proper, names.filter(|names| !names.is_empty()), &place));
}

/// Characters that may stand in a comment of every dialect, those that may not replaced.
fn printable(text: impl Iterator<Item = char>) -> String {
    text.map(|c| if c.is_control() || matches!(c, '"' | '\\') { '?' } else { c }).collect()
}
