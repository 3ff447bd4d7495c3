//! What each rule is for: what would change if it were not there.

use super::{Difference, difference_on_host};
use crate::ir::{Chain, Rule, Ruleset, Table};
use crate::net::Elsewhere;

/// Of more rules than that it is not asked what each is for, since every one costs a judgement of all.
const MOST_RULES: usize = 120;
/// Likewise of more ranges of addresses in all sets together.
const MOST_RANGES: usize = 2000;

/// A rule, and what would change without it.
pub struct Without<'a> {
    /// Its table.
    pub table: &'a Table,
    /// Its chain.
    pub chain: &'a Chain,
    /// The rule.
    pub rule: &'a Rule,
    /// What would change if only this rule were not there; nothing where that is too much to be judged.
    pub difference: Option<Difference>,
}

/// Each rule of a ruleset in its order; nothing where there are too many of them, or too many addresses.
#[must_use]
pub fn without<'a>(ruleset: &'a Ruleset, elsewhere: &Elsewhere) -> Option<Vec<Without<'a>>> {
    let count: usize = ruleset.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
    let sets = ruleset.tables.iter().flat_map(|table| &table.sets).chain(&ruleset.sets);
    let ranges: usize = sets.map(|set| set.elements.len()).sum();
    if count > MOST_RULES || ranges > MOST_RANGES {
        return None;
    }
    let mut all = Vec::with_capacity(count);
    for (at, table) in ruleset.tables.iter().enumerate() {
        for (inside, chain) in table.chains.iter().enumerate() {
            for (place, rule) in chain.rules.iter().enumerate() {
                let mut other = ruleset.clone();
                let rules = other.tables.get_mut(at).and_then(|table| table.chains.get_mut(inside));
                if let Some(chain) = rules {
                    chain.rules.remove(place);
                }
                // It is asked from what there is without it, so that "gains" is what would get in.
                let difference = difference_on_host(ruleset, &other, elsewhere).ok();
                all.push(Without { table, chain, rule, difference });
            }
        }
    }
    Some(all)
}
