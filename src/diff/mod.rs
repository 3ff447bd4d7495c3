//! What changes from one ruleset to another, by meaning: who gains and who loses which ports.
//!
//! The two rulesets are judged on one [`Space`], in which neither can tell packets of one class apart. What changes is then a
//! set of packets, and nothing else: the exact sources of a change are the ranges of the classes that change.

mod changes;
mod fates;
mod without;

use std::collections::HashSet;
use std::net::IpAddr;

use crate::ir::{Base, Chain, Elements, Family, Hook, Match, Policy, Rule, Ruleset, Set, Statement, Table, Verdict};
use crate::net::{Elsewhere, Interface, Ports};
use crate::semantics::{Door, Packet, Question, Rules, Space, TooLarge, merged, rewriting};

pub use without::{Without, without};

/// What changes from an old ruleset to a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// New connections that get through now, or do no longer.
    pub changes: Vec<Change>,
    /// Packets of other kinds whose fate changes, where no change above explains it.
    pub others: Vec<Other>,
    /// A packet for which something unknown stands in the way of saying.
    pub undecided: Option<(Packet, Door)>,
    /// A part of the rulesets that is not judged, and that may make a difference.
    pub unjudged: Option<String>,
}

/// Packets that are no new connections, and that get through a door now, or do no longer. They may be some of those
/// between these sources and ports, by their flags, state, fragment or protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Where they are judged.
    pub door: Door,
    /// Which packets; of some only those like the witness.
    pub change: Change,
}

/// Some sources gain or lose some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where from: ranges of one family, both ends included, ascending, that do not touch.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// Whether they get in now; otherwise they do no longer.
    pub gains: bool,
    /// To which ports.
    pub ports: Ports,
    /// On which interfaces, of those that a rule names; empty for all there are.
    pub interfaces: Vec<Interface>,
    /// Whether also on interfaces that no rule names.
    pub elsewhere: bool,
    /// A packet whose fate changes.
    pub witness: Packet,
}

impl Difference {
    /// Whether the rulesets mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.others.is_empty() && self.undecided.is_none() && self.unjudged.is_none()
    }
}

/// What changes from `old` to `new`.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn difference(old: &Ruleset, new: &Ruleset) -> Result<Difference, TooLarge> {
    difference_on_host(old, new, &Elsewhere::default())
}

/// The same on a host that answers for `elsewhere` besides what its table `local` holds.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn difference_on_host(old: &Ruleset, new: &Ruleset, elsewhere: &Elsewhere) -> Result<Difference, TooLarge> {
    if old == new && !old.sets.iter().any(is_unknown_set) {
        return Ok(Difference::default());
    }
    let (old, new) = (&merged(old), &merged(new));
    let question =
        Question { interfaces: vec![Interface::loopback()], elsewhere: elsewhere.clone(), ..Question::default() };
    let mut space = Space::new(&[old, new], &question)?;
    let (old_rules, new_rules) = (Rules::new(old), Rules::new(new));
    let mut difference = fates::difference(&mut space, &old_rules, &new_rules)?;
    difference.unjudged = unjudged(old, new).or(difference.unjudged);
    Ok(difference)
}

/// What is in two sets of ipset that are not understood need not be the same.
fn is_unknown_set(set: &Set) -> bool {
    *set.elements.lasting().0 == Elements::Unknown
}

/// What differs where nothing is judged: on the way through this host and out of it, and in what could not be read.
fn unjudged(old: &Ruleset, new: &Ruleset) -> Option<String> {
    let unread = old.unread.first().or(new.unread.first()).cloned();
    let rewrites = || rewriting(old).or_else(|| rewriting(new));
    unread.or_else(rewrites).or_else(|| {
        let elsewhere = |ruleset: &Ruleset| -> Vec<NotJudged> {
            let of = |table: &Table| -> Vec<NotJudged> {
                let bases = table.chains.iter().filter_map(|chain| Some((chain.base?, chain)));
                let outgoing = bases.filter(|(base, _)| {
                    matches!(base.hook, Hook::Forward | Hook::Output | Hook::Postrouting | Hook::Egress)
                });
                // An empty chain that accepts does nothing.
                let outgoing = outgoing.filter(|(base, chain)| base.policy == Policy::Drop || !chain.rules.is_empty());
                let whole = |(base, chain): (Base, &Chain)| {
                    let rules = from(table, chain);
                    let asked = rules.iter().flat_map(|rule| &rule.matches).filter_map(Match::set_name);
                    let elements = asked.filter_map(|name| Some(ruleset.set(table, name)?.elements.clone())).collect();
                    (table.family, base, rules, elements)
                };
                outgoing.map(whole).collect()
            };
            ruleset.tables.iter().flat_map(of).collect()
        };
        let new_sets = &new.sets;
        let (old, new) = (elsewhere(old), elsewhere(new));
        let is_unknown = |(.., rules, _): &NotJudged| {
            let mut asked = rules.iter().flat_map(|rule| &rule.matches).filter_map(Match::set_name);
            asked.any(|name| new_sets.iter().any(|set| set.name == name && is_unknown_set(set)))
        };
        let differs = old != new || old.iter().any(is_unknown);
        differs.then(|| "the chains for routed and outgoing packets are not the same, and are not judged".to_owned())
    })
}

/// A chain for routed or outgoing packets: its rules, and what is in the sets that they ask.
type NotJudged = (Family, Base, Vec<Rule>, Vec<Elements>);

/// The rules of a chain, and of those that it leads to, without where they stand.
fn from(table: &Table, chain: &Chain) -> Vec<Rule> {
    let (mut seen, mut waiting, mut rules) = (HashSet::new(), vec![chain], Vec::new());
    while let Some(chain) = waiting.pop() {
        if !seen.insert(chain.name.as_str()) {
            continue;
        }
        for rule in &chain.rules {
            if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict {
                waiting.extend(table.chains.iter().rfind(|other| other.name == *name));
            }
            rules.push(bare(rule));
        }
    }
    rules
}

/// A rule without where it stands and what it is called.
fn bare(rule: &Rule) -> Rule {
    let statements = rule
        .effective()
        .chain(rule.statements.iter().filter(|one| matches!(one, Statement::Log(_))))
        .cloned()
        .collect();
    Rule { comment: None, place: None, statements, ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{ipset, iptables};

    fn host(chain: &str, rule: &str, sets: &str) -> Ruleset {
        let text = format!("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A {chain} {rule} -j DROP\nCOMMIT\n");
        let mut ruleset = iptables::read(&text, Family::Ip).unwrap().ruleset;
        ruleset.sets = ipset::read(sets).unwrap().0;
        ruleset
    }

    /// Whether nothing is said of a change from one to another.
    fn same(chain: &str, rule: &str, old: &str, new: &str) -> bool {
        difference(&host(chain, rule, old), &host(chain, rule, new)).unwrap().is_empty()
    }

    #[test]
    fn what_outgoing_rules_ask_is_compared() {
        let rule = "-p tcp -m set --match-set s dst,dst";
        let set = |elements: &str| format!("create s hash:ip,port\n{elements}");
        let one = set("add s 10.20.0.12,tcp:4369\n");
        assert!(same("OUTPUT", rule, &one, &one));
        assert!(!same("OUTPUT", rule, &one, &set("add s 10.20.0.13,tcp:8099\n")));
        assert!(!same("OUTPUT", rule, &one, &set("")));
    }

    #[test]
    fn two_sets_that_are_not_understood_are_not_the_same() {
        // A set of sets with ports is not gone into.
        let list = |elements: &str| format!("create m hash:ip,port\n{elements}create l list:set\nadd l m\n");
        let (one, other) = (list("add m 10.20.0.77,tcp:4369\n"), list("add m 10.20.0.12,tcp:4369\n"));
        for chain in ["INPUT", "OUTPUT"] {
            let rule = "-p tcp --dport 4369 -m set --match-set l src,dst";
            assert!(!same(chain, rule, &one, &other), "{chain}");
        }
    }
}
