//! Rules that change packets on their way.
//!
//! Rules are judged on the packet as it came. Where one may change the source or the port outside of NAT, nothing that
//! follows is judged on the packet that it gets, and nothing is certain. Destination NAT in its own chains is
//! foreseen: the guard judges before it and behind it.

use std::collections::{HashMap, HashSet};

use crate::ir::{ChainKind, Hook, Rule, Ruleset, Table, Verdict};

/// What NAT does in its own chains; in the words of nft or iptables.
const TRANSLATIONS: [&str; 5] = ["dnat", "snat", "redirect", "masquerade", "netmap"];

/// A rule that packets from outside may meet, and of which it is not known that it leaves them as they are.
#[must_use]
pub fn rewriting(ruleset: &Ruleset) -> Option<String> {
    ruleset.tables.iter().find_map(|table| {
        let filters = reachable(table, |kind| kind != ChainKind::Nat);
        let nat = reachable(table, |kind| kind == ChainKind::Nat);
        let unknown = |rule: &Rule| match &rule.verdict {
            Some(Verdict::Unknown(text)) => Some(text.clone()),
            _ => None,
        };
        let translates = |text: &String| {
            let mut words = text.split_whitespace();
            words.any(|word| TRANSLATIONS.contains(&word.to_ascii_lowercase().as_str()))
        };
        let rules = |names: &HashSet<&str>| -> Vec<&Rule> {
            table
                .chains
                .iter()
                .filter(|chain| names.contains(chain.name.as_str()))
                .flat_map(|chain| &chain.rules)
                .collect()
        };
        let in_filters = rules(&filters).into_iter().find_map(unknown);
        in_filters.or_else(|| rules(&nat).into_iter().filter_map(unknown).find(|text| !translates(text)))
    })
}

/// The chains that packets from outside may go through, from base chains of a kind.
fn reachable(table: &Table, kind: impl Fn(ChainKind) -> bool) -> HashSet<&str> {
    let names: HashMap<&str, &[Rule]> =
        table.chains.iter().map(|chain| (chain.name.as_str(), chain.rules.as_slice())).collect();
    let from_outside = |hook| matches!(hook, Hook::Ingress | Hook::Prerouting | Hook::Input);
    let bases = table.chains.iter().filter(|chain| chain.base.is_some_and(|b| kind(b.kind) && from_outside(b.hook)));
    let mut waiting: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    let mut found: HashSet<&str> = HashSet::new();
    while let Some(name) = waiting.pop() {
        if !found.insert(name) {
            continue;
        }
        for rule in names.get(name).copied().unwrap_or_default() {
            if let Some(Verdict::Jump(target) | Verdict::Goto(target)) = &rule.verdict {
                waiting.push(target);
            }
        }
    }
    found
}

/// Whether a rule may exempt packets from connection tracking. Its statement has no verdict, so its text is asked.
#[must_use]
pub fn may_untrack(ruleset: &Ruleset) -> bool {
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let mut texts = rules.filter_map(|rule| rule.place.as_ref()).map(|place| place.text.as_str());
    texts.any(|text| text.split_whitespace().any(|word| matches!(word.trim_matches('"'), "notrack" | "NOTRACK" | "CT")))
}
