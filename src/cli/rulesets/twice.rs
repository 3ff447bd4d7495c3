//! One table in two texts: what iptables-nft made stands in the listing of nft and in the dump of iptables-save.
//!
//! Only a listing that has the same chains with as many rules each, with the same verdicts, is taken for the same table; then
//! the dump is the one that counts, because nft cannot print every test of iptables. Of anything else both count: two back
//! ends of iptables have tables of the same names, and packets meet both.

use std::collections::{BTreeMap, HashSet};
use std::mem::discriminant;

use crate::ir::{Chain, Policy, Rule, Table, Verdict};

/// The tables of the listing that are in the dump, too.
pub fn listed_twice(listing: &[Table], dump: &[Table]) -> HashSet<usize> {
    let same = |own: &Table| {
        dump.iter().any(|other| own.family == other.family && own.name == other.name && agree(own, other))
    };
    listing.iter().enumerate().filter(|(_, own)| same(own)).map(|(at, _)| at).collect()
}

fn agree(listed: &Table, dumped: &Table) -> bool {
    let (left, right) = (chains(listed), chains(dumped));
    !right.is_empty()
        && left.keys().eq(right.keys())
        && left.values().zip(right.values()).all(|(left, right)| same_chain(left, right))
}

/// Chains that do something, by their names.
fn chains(table: &Table) -> BTreeMap<&str, &Chain> {
    let accepts = |chain: &Chain| chain.base.as_ref().is_none_or(|base| base.policy == Policy::Accept);
    let chains = table.chains.iter().filter(|chain| !(chain.rules.is_empty() && accepts(chain)));
    chains.map(|chain| (chain.name.as_str(), chain)).collect()
}

fn same_chain(left: &Chain, right: &Chain) -> bool {
    let base = match (&left.base, &right.base) {
        (None, None) => true,
        (Some(left), Some(right)) => {
            (left.kind, left.hook, left.priority, left.policy) == (right.kind, right.hook, right.priority, right.policy)
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    let (left, right) = (lines(left), lines(right));
    base && left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| same_verdict(left, right))
}

/// The first of the rules that each line of the text stands for.
fn lines(chain: &Chain) -> Vec<&Rule> {
    let mut rules: Vec<&Rule> = chain.rules.iter().collect();
    rules.dedup_by_key(|rule| rule.place.as_ref().map(|place| place.line));
    rules
}

fn same_verdict(left: &Rule, right: &Rule) -> bool {
    match (&left.verdict, &right.verdict) {
        (Some(Verdict::Unknown(_)), _) | (_, Some(Verdict::Unknown(_))) => true,
        (Some(left), Some(right)) => discriminant(left) == discriminant(right),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
