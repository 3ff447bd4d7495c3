//! The rules that packets from outside can meet at all.
//!
//! Claims are about what comes in; rules that only what this host sends or routes meets tell no packets apart then.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use crate::ir::{Chain, Hook, Rule, Table, Verdict};

/// Every rule of a table that can be met on the way in.
pub fn met(table: &Table) -> Vec<&Rule> {
    chains_met(table, |hook| matches!(hook, Hook::Ingress | Hook::Prerouting | Hook::Input))
}

/// Every rule of a table that what this host sends can meet.
pub fn met_leaving(table: &Table) -> Vec<&Rule> {
    chains_met(table, |hook| matches!(hook, Hook::Output | Hook::Postrouting | Hook::Egress))
}

fn chains_met(table: &Table, at: impl Fn(Hook) -> bool) -> Vec<&Rule> {
    let names: HashMap<&str, &Chain, FxBuildHasher> =
        table.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect();
    let mut found: Vec<&Chain> =
        table.chains.iter().filter(|chain| chain.base.is_some_and(|base| at(base.hook))).collect();
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
    found.into_iter().flat_map(|chain| &chain.rules).collect()
}

fn place(chain: &Chain) -> usize {
    std::ptr::from_ref(chain) as usize
}
