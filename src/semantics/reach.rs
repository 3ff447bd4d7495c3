//! The rules that packets from outside can meet at all.
//!
//! No claim is about what this host sends or routes, so the rules of those hooks tell no packets apart.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use crate::ir::{Chain, Hook, Rule, Table, Verdict};

/// Every rule of a table that can be met on the way in.
pub fn met(table: &Table) -> Vec<&Rule> {
    chains_met(table).into_iter().flat_map(|chain| &chain.rules).collect()
}

fn chains_met(table: &Table) -> Vec<&Chain> {
    let names: HashMap<&str, &Chain, FxBuildHasher> =
        table.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect();
    let inward = |chain: &&Chain| {
        chain.base.is_some_and(|base| matches!(base.hook, Hook::Ingress | Hook::Prerouting | Hook::Input))
    };
    let mut found: Vec<&Chain> = table.chains.iter().filter(inward).collect();
    // By their place, not their name: of chains of one name a jump goes to the last.
    let mut seen: HashSet<usize, FxBuildHasher> = found.iter().map(|chain| place(chain)).collect();
    let mut next = 0;
    while let Some(chain) = found.get(next).copied() {
        next += 1;
        for rule in &chain.rules {
            if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict
                && let Some(target) = names.get(name.as_str())
                && seen.insert(place(target))
            {
                found.push(target);
            }
        }
    }
    found
}

fn place(chain: &Chain) -> usize {
    std::ptr::from_ref(chain) as usize
}
