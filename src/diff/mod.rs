//! What changes from one ruleset to another, by meaning: who gains and who loses which ports.
//!
//! The two rulesets are judged on one [`Space`], in which neither can tell packets of one class apart. What changes is then a
//! set of packets, and nothing else: the exact sources of a change are the ranges of the classes that change.

mod changes;
mod fates;
mod without;

use std::collections::HashSet;
use std::net::IpAddr;

use crate::ir::{
    Base, Chain, Destined, Diversion, Elements, Family, Foreign, Hook, Match, Policy, Rule, Ruleset, Set, Statement,
    Table, Tracking, Verdict,
};
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
    if old == new && !hides(old) {
        return Ok(Difference::default());
    }
    let (old, new) = (&merged(old), &merged(new));
    let question =
        Question { interfaces: vec![Interface::loopback()], elsewhere: elsewhere.clone(), ..Question::default() };
    let mut space = Space::new(&[old, new], &question)?;
    let (old_rules, new_rules) = (Rules::new(old), Rules::new(new));
    let mut difference = fates::difference(&mut space, &old_rules, &new_rules)?;
    difference.unjudged = unjudged(old, new).or(difference.unjudged);
    if difference.is_empty() {
        // Packets of IP do not meet these, but that nothing changes is not certain.
        difference.unjudged = old.neighbours.first().or(new.neighbours.first()).cloned();
    }
    if difference.is_empty() && [old, new].into_iter().any(|own| rules_of(own).any(names_what_is_not_understood)) {
        let text = "something that a rule names and that is not understood; it need not be the same in both";
        difference.unjudged = Some(text.to_owned());
    }
    Ok(difference)
}

/// Whether rules that look the same here need not be the same: there are parts that were not read, or that name something which was not.
fn hides(ruleset: &Ruleset) -> bool {
    let sets = ruleset.tables.iter().flat_map(|table| &table.sets).chain(&ruleset.sets);
    !ruleset.unread.is_empty()
        || !ruleset.neighbours.is_empty()
        || sets.into_iter().any(is_unknown_set)
        || rules_of(ruleset).any(names_what_is_not_understood)
}

fn rules_of(ruleset: &Ruleset) -> impl Iterator<Item = &Rule> {
    ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules)
}

/// Whether a part of a rule that is not understood names something: a set, a map, a limit. Its text is the same whatever that is.
fn names_what_is_not_understood(rule: &Rule) -> bool {
    let tests = rule.matches.iter().filter_map(|one| match one {
        Match::Unknown(text) | Match::Foreign(Foreign::Varies { text, .. }) => Some(text),
        _ => None,
    });
    let verdict = rule.verdict.iter().filter_map(|verdict| match verdict {
        Verdict::Unknown(text) => Some(text),
        _ => None,
    });
    // `@th,16,16` is a place in a header.
    let is_name = |behind: &str| !["th,", "nh,", "ll,", "ih,"].iter().any(|place| behind.starts_with(place));
    // A helper, an expectation and a proxy are named, and what they are is not kept.
    let led = |one: &Statement| {
        matches!(
            one,
            Statement::Translate(_, Destined::Unknown)
                | Statement::Track(Tracking::Expecting)
                | Statement::Divert(Diversion::Synproxy)
        )
    };
    rule.statements.iter().any(led)
        || tests.chain(verdict).any(|text| {
            text.split('@').skip(1).any(is_name)
                || text.split_whitespace().any(|word| matches!(word, "name" | "set" | "jump" | "goto"))
        })
}

/// What is in two sets of ipset that are not understood need not be the same.
fn is_unknown_set(set: &Set) -> bool {
    is_unknown_list(&set.elements)
}

fn is_unknown_list(elements: &Elements) -> bool {
    *elements.lasting().0 == Elements::Unknown
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
        let (old, new) = (elsewhere(old), elsewhere(new));
        let is_unknown = |(.., elements): &NotJudged| elements.iter().any(is_unknown_list);
        let named = |(.., rules, _): &NotJudged| rules.iter().any(names_what_is_not_understood);
        let differs = old != new || old.iter().any(is_unknown) || old.iter().any(named);
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
    use crate::dialect::{ipset, iptables, nft};

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

    /// Of what is not understood only the text is there, which says nothing of what it names.
    #[test]
    fn what_is_named_and_not_understood_is_not_the_same() {
        let host = |objects: &str, hook: &str, rule: &str| {
            let text = format!(
                "table inet t {{\n{objects}\nchain c {{\ntype filter hook {hook} priority 0; policy accept;\n{rule}\n}}\n}}\n"
            );
            nft::read(&text).unwrap_or_else(|error| panic!("{text}: {error}")).ruleset
        };
        let set = |elements: &str| format!("set s {{ type ipv4_addr . inet_service; elements = {{ {elements} }} }}");
        let spoiled = |elements: &str| {
            format!(
                "set s {{ type ipv4_addr; elements = {{ {elements} }} }}\n}}\ndelete element inet t s {{ 10.0.0.9 }}\ntable inet t {{"
            )
        };
        let limit = |rate: &str| format!("limit l {{ rate {rate} }}");
        let expectation =
            |port: u16| format!("ct expectation e {{ protocol tcp; dport {port}; timeout 1h; size 9; l3proto ip; }}");
        let cases = [
            (set("10.0.0.1 . 80"), set("10.0.0.2 . 80"), "ip saddr . tcp dport != @s drop"),
            (spoiled("10.0.0.1, 10.0.0.9"), spoiled("10.0.0.2, 10.0.0.9"), "ip saddr @s drop"),
            (limit("10/second"), limit("over 10/second"), "limit name \"l\" drop"),
            (expectation(8098), expectation(8099), "tcp dport 9997 ct expectation set \"e\""),
        ];
        for (one, other, rule) in &cases {
            for hook in ["input", "output"] {
                let (old, new) = (host(one, hook, rule), host(other, hook, rule));
                assert!(!difference(&old, &new).unwrap().is_empty(), "{hook}: {one} {other} {rule}");
            }
        }
        let known = host("", "input", "tcp dport 8098 drop");
        assert!(difference(&known, &known.clone()).unwrap().is_empty());
        for family in ["bridge", "arp"] {
            let table = |rule: &str| {
                nft::read(&format!(
                    "table {family} t {{\nchain c {{\ntype filter hook input priority 0;\n{rule}\n}}\n}}\n"
                ))
            };
            let (old, new) = (table("drop").unwrap().ruleset, table("meta mark 1 drop").unwrap().ruleset);
            assert!(!difference(&old, &new).unwrap().is_empty(), "{family}");
        }
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

    /// Whatever rules stand behind each other, one for several does what they do.
    #[test]
    fn random_neighbours_do_the_same_as_one() {
        use crate::ir::TcpFlags;
        const SOURCES: [&str; 5] = ["10.0.0.0/24", "10.0.0.1", "10.0.0.2", "10.0.0.0/30", "10.0.1.0/24"];
        const TARGETS: [&str; 6] = ["MARK --xor-mark 0x1", "MARK --xor-mark 0x1", "X", "X", "ACCEPT", "DROP"];
        let (mut seed, mut joined) = (7_u32, 0);
        for _ in 0..3000 {
            let mut pick = |most: usize| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) as usize % most
            };
            let target = TARGETS.get(pick(TARGETS.len())).unwrap();
            let rule = |source: &str, target: &str| format!("-A INPUT -s {source} -j {target}\n");
            let mut rules: String =
                (0..2 + pick(3)).map(|_| rule(SOURCES.get(pick(SOURCES.len())).unwrap(), target)).collect();
            rules += &rule(SOURCES.get(pick(SOURCES.len())).unwrap(), TARGETS.get(pick(TARGETS.len())).unwrap());
            let text = format!(
                "*filter\n:INPUT ACCEPT [0:0]\n:X - [0:0]\n-A X -m mark --mark 0x2/0x2 -j DROP\n-A X -j MARK --xor-mark 0x3\n{rules}\
                 -A INPUT -m mark --mark 0x1/0x1 -j DROP\nCOMMIT\n"
            );
            let ruleset = iptables::read(&text, Family::Ip).unwrap().ruleset;
            let joint = merged(&ruleset);
            joined += usize::from(*joint != ruleset);
            let (apart, together) = (Rules::new(&ruleset), Rules::new(&joint));
            for source in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "10.0.1.1", "10.9.9.9"] {
                let packet = Packet { port: 80, flags: TcpFlags::SYN, ..Packet::plain(source.parse().unwrap()) };
                let found = [&apart, &together].map(|rules| rules.evaluate(Door::Input, &packet));
                let [one, other] = found;
                assert_eq!(one, other, "{source}\n{text}");
            }
        }
        assert!(joined > 300, "{joined}");
    }
}
