//! What nft and iptables are told, to put a part into a table or to take all of ours out of it.
//!
//! INVARIANT (nobody else's): a rule that goes is named by its handle (nft), or by its words (iptables), so that none that somebody put in
//! between goes instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::means::Means;
use super::place::Part;
use super::spots::Spot;
use crate::compile::Opened;
use crate::dialect::{iptables as words, nft};
use crate::host::HostError;
use crate::ir::{Addresses, Chain, Leg, Match, Rule, Table, ours};

/// How rules of ours that go are named to iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// As they were written: none of somebody else's goes.
    ByWords,
    /// By their number.
    ByNumber,
}

/// The handles of the rules of each chain of a table.
type Handles = BTreeMap<String, Vec<u64>>;

/// A rule in the words of the program that changes the table.
#[must_use]
pub fn in_words(table: &Table, part: &Part, rule: &Rule) -> Option<String> {
    match part.means {
        Means::Nft => {
            let (name, sets) = (String::new(), part.opened.sets.clone());
            nft::rule_line(&Table { family: table.family, name, legacy: false, sets, chains: Vec::new() }, rule).ok()
        }
        Means::IptablesNft | Means::IptablesLegacy | Means::Nobody => words::rule_line(rule).ok(),
    }
}

/// Commands of nft that put a part into a table.
///
/// # Errors
/// Where a name would have to be quoted.
pub fn into_nft(table: &Table, part: &Part) -> Result<String, HostError> {
    let place = plain_place(table)?;
    let mut text = String::new();
    for spot in &part.misplaced {
        let handle = handle(table, &spot.chain, spot.at)?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "delete rule {place} {} handle {handle}", plain(&spot.chain)?);
    }
    if part.writes {
        let Opened { sets, chains } = part.opened.clone();
        let is_wanted = |name: &str| sets.iter().any(|set| set.name == name);
        let gone = table.sets.iter().filter(|set| ours::is_open(&set.name) && !is_wanted(&set.name));
        let gone: Vec<&str> = gone.map(|set| plain(&set.name)).collect::<Result<_, _>>()?;
        let beside = Table { family: table.family, name: table.name.clone(), legacy: false, sets, chains };
        text.push_str(&nft::additions(&beside).map_err(HostError::internal)?);
        gone.iter().for_each(|name| _ = writeln!(text, "delete set {place} {name}"));
    }
    for (leg, spot) in &part.leads {
        let rule =
            in_words(table, part, &Opened::jump(*leg, &spot.on)).ok_or_else(|| HostError::internal("no words"))?;
        let chain = plain(&spot.chain)?;
        let _ = match spot.at < length(table, &spot.chain) {
            true => {
                writeln!(text, "insert rule {place} {chain} handle {} {rule}", handle(table, &spot.chain, spot.at)?)
            }
            false => writeln!(text, "add rule {place} {chain} {rule}"),
        };
    }
    Ok(text)
}

/// Commands of nft that take all of ours out of a table.
///
/// # Errors
/// Where a name would have to be quoted, or a rule of somebody else asks a set of ours.
pub fn out_of_nft(table: &Table) -> Result<String, HostError> {
    let place = plain_place(table)?;
    if let Some(rule) = asks_ours(table) {
        return Err(HostError::InUse(rule));
    }
    let mut text = String::new();
    for (chain, at) in leading(table) {
        let _ =
            writeln!(text, "delete rule {place} {} handle {}", plain(&chain.name)?, handle(table, &chain.name, at)?);
    }
    for chain in table.chains.iter().filter(|chain| ours::is_open(&chain.name)) {
        let name = plain(&chain.name)?;
        let _ = writeln!(text, "flush chain {place} {name}\ndelete chain {place} {name}");
    }
    for set in table.sets.iter().filter(|set| ours::is_open(&set.name)) {
        let _ = writeln!(text, "delete set {place} {}", plain(&set.name)?);
    }
    Ok(text)
}

/// Text for iptables-restore that puts a part into a table, or takes all of ours out of it. Whole or not at all: what goes goes
/// first.
///
/// # Errors
/// Where a rule of ours cannot be told.
pub fn for_iptables(
    table: &Table,
    part: Option<&Part>,
    handles: Option<&Handles>,
    how: Named,
) -> Result<String, HostError> {
    let mut text = format!("*{}\n", table.name);
    // Chains are made first; those that are declared are emptied.
    for chain in part.into_iter().filter(|part| part.writes).flat_map(|part| &part.opened.chains) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, ":{} - [0:0]", chain.name);
        for rule in &chain.rules {
            let _ = writeln!(text, "-A {} {}", chain.name, words::rule_line(rule).map_err(HostError::internal)?);
        }
    }
    let gone: Vec<(&Chain, usize)> = match part {
        Some(part) => part.misplaced.iter().filter_map(|spot| Some((chain_of(table, &spot.chain)?, spot.at))).collect(),
        None => leading(table),
    };
    // The last one first, so that the others stay where they are.
    for (chain, at) in gone.iter().rev() {
        let rule = chain.rules.get(*at).and_then(standard).filter(|_| how == Named::ByWords);
        let _ = match rule {
            Some(rule) => writeln!(text, "-D {} {}", chain.name, words::rule_line(&rule).map_err(HostError::internal)?),
            None => writeln!(text, "-D {} {}", chain.name, number(chain, *at, handles)?),
        };
    }
    let mut leads: Vec<&(Leg, Spot)> = part.into_iter().flat_map(|part| &part.leads).collect();
    leads.sort_by_key(|(_, spot)| std::cmp::Reverse(spot.at));
    for (leg, spot) in leads {
        let rule = words::rule_line(&Opened::jump(*leg, &spot.on)).map_err(HostError::internal)?;
        let Some(chain) = chain_of(table, &spot.chain).filter(|chain| spot.at < chain.rules.len()) else {
            let _ = writeln!(text, "-A {} {rule}", spot.chain);
            continue;
        };
        // What stood before it and is gone by then counts no more.
        let before = gone.iter().filter(|(other, at)| other.name == chain.name && *at < spot.at).count();
        let _ = writeln!(text, "-I {} {} {rule}", spot.chain, number(chain, spot.at, handles)? - before);
    }
    if part.is_none() {
        for chain in table.chains.iter().filter(|chain| ours::is_open(&chain.name)) {
            let _ = writeln!(text, "-F {name}\n-X {name}", name = chain.name);
        }
    }
    text.push_str("COMMIT\n");
    Ok(text)
}

/// The rule as we write it, if it is one of these.
fn standard(rule: &Rule) -> Option<Rule> {
    let on: Vec<Match> = rule.matches.iter().filter(|one| matches!(one, Match::InInterface { .. })).cloned().collect();
    let written = |leg| Opened::jump(leg, &on);
    [Leg::In, Leg::Out]
        .into_iter()
        .map(written)
        .find(|own| own.verdict == rule.verdict && own.matches.len() == rule.matches.len())
}

fn chain_of<'t>(table: &'t Table, name: &str) -> Option<&'t Chain> {
    table.chains.iter().find(|chain| chain.name == name)
}

fn length(table: &Table, chain: &str) -> usize {
    chain_of(table, chain).map_or(0, |chain| chain.rules.len())
}

/// The kernel's number of a rule.
fn handle(table: &Table, chain: &str, at: usize) -> Result<u64, HostError> {
    let place = chain_of(table, chain).and_then(|chain| chain.rules.get(at)).and_then(|rule| rule.place.as_ref());
    place.and_then(|place| place.handle).ok_or_else(|| HostError::internal("a rule without a handle"))
}

/// The position of a rule among those of its chain as iptables counts them, from 1.
fn number(chain: &Chain, at: usize, handles: Option<&Handles>) -> Result<usize, HostError> {
    let place = chain.rules.get(at).and_then(|rule| rule.place.as_ref());
    let Some(handle) = place.and_then(|place| place.handle) else { return Ok(rank(chain, at)) };
    let position = handles.and_then(|chains| chains.get(&chain.name)?.iter().position(|one| *one == handle));
    position.map(|at| at + 1).ok_or_else(|| HostError::internal("a rule that the kernel has not"))
}

/// Which rule of its chain it is, from 1: one may have been read as several.
#[must_use]
pub fn rank(chain: &Chain, at: usize) -> usize {
    let place = |rule: &Rule| rule.place.as_ref().map(|place| (place.handle, place.line));
    let own = chain.rules.get(at).and_then(place);
    let mut before: Vec<_> =
        chain.rules.iter().take(at).map(place).filter(|one| one.is_none() || *one != own).collect();
    before.dedup_by(|a, b| a.is_some() && a == b);
    before.len() + 1
}

/// The rules that lead to our chains, by chain, in their order.
fn leading(table: &Table) -> Vec<(&Chain, usize)> {
    let leads = |rule: &Rule| [Leg::In, Leg::Out].into_iter().any(|leg| rule.verdict == Opened::jump(leg, &[]).verdict);
    let of = |chain: &'_ Chain| -> Vec<usize> {
        chain.rules.iter().enumerate().filter(|(_, rule)| leads(rule)).map(|(at, _)| at).collect()
    };
    table.chains.iter().flat_map(|chain| of(chain).into_iter().map(move |at| (chain, at))).collect()
}

/// A rule of somebody else that asks a set of ours, in words.
fn asks_ours(table: &Table) -> Option<String> {
    let asks = |one: &Match| {
        matches!(one, Match::Source { addresses: Addresses::Set(name), .. } | Match::Destination { addresses: Addresses::Set(name), .. }
            if ours::is_open(name))
    };
    let others = table.chains.iter().filter(|chain| !ours::is_open(&chain.name)).flat_map(|chain| &chain.rules);
    let rule = others.filter(|rule| rule.matches.iter().any(asks)).find_map(|rule| rule.place.as_ref())?;
    Some(rule.described())
}

/// A name that needs no quotes.
fn plain(name: &str) -> Result<&str, HostError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && name.chars().all(fits) { Ok(name) } else { Err(HostError::OddName(name.to_owned())) }
}

fn plain_place(table: &Table) -> Result<String, HostError> {
    Ok(format!("{} {}", table.family.name(), plain(&table.name)?))
}
