//! Chains and sets that are put into somebody else's table beside theirs, as text for `nft -f`.

use std::fmt::Write as _;

use super::write::{ElementLines, WriteError, rule_text, unknown};
use crate::ir::{Elements, Rule, Ruleset, Set, Table};

/// So many elements stand in one command.
const ELEMENTS_A_COMMAND: usize = 4096;

/// Commands after which the table has these sets and chains, whatever it had of them, and all that it had besides. The chains must be
/// none that a hook leads to.
///
/// # Errors
/// Where nft cannot say it.
pub fn additions(table: &Table) -> Result<String, WriteError> {
    let fit = Ruleset { tables: vec![table.clone()], ..Ruleset::default() };
    if let Some(text) = fit.unfit_text() {
        return Err(WriteError::Text(text.to_owned()));
    }
    let place = format!("{} {}", table.family.name(), table.name);
    let mut text = String::new();
    for chain in &table.chains {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "add chain {place} {name}\nflush chain {place} {name}", name = chain.name);
    }
    for set in &table.sets {
        let key = match &set.elements {
            Elements::Ipv4(_) => "ipv4_addr",
            Elements::Ipv6(_) => "ipv6_addr",
            Elements::Ports(_)
            | Elements::Endpoints(_)
            | Elements::Dual(..)
            | Elements::Passing(_)
            | Elements::Unknown => return Err(unknown(&set.name)),
        };
        let name = &set.name;
        let _ = writeln!(text, "add set {place} {name} {{ type {key}; flags interval; }}\nflush set {place} {name}");
        for part in parts(set) {
            let _ = writeln!(text, "add element {place} {name} {{\n{}}}", ElementLines(&part));
        }
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            let _ = writeln!(text, "add rule {place} {} {}", chain.name, rule_text(table, rule)?);
        }
    }
    Ok(text)
}

/// A set in pieces.
fn parts(set: &Set) -> Vec<Set> {
    let part = |elements| Set { elements, origins: Vec::new(), ..set.clone() };
    match &set.elements {
        Elements::Ipv4(list) => {
            list.chunks(ELEMENTS_A_COMMAND).map(|some| part(Elements::Ipv4(some.to_vec()))).collect()
        }
        Elements::Ipv6(list) => {
            list.chunks(ELEMENTS_A_COMMAND).map(|some| part(Elements::Ipv6(some.to_vec()))).collect()
        }
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            Vec::new()
        }
    }
}

/// A rule in one line, without its chain; the sets that it names are in this table.
///
/// # Errors
/// Where nft cannot say it.
pub fn rule_line(table: &Table, rule: &Rule) -> Result<String, WriteError> {
    rule_text(table, rule)
}
