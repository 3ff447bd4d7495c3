//! What the kernel holds of the rules of ufw's users, beside what its files say.
//!
//! ufw loads its users' rules whole each time it deletes one, so what somebody put into those chains by iptables is gone then. It is looked for before.

use super::Allow;
use crate::dialect::iptables::{beyond, read, rule_line};
use crate::ir::{Addresses, Chain, Elements, Family, Foreign, Leg, Match, PortMatch, Rule, Ruleset, Verdict};

/// The chains of the users' rules, and of what stands before and behind them in ufw's own files.
const USERS: [&str; 3] = ["user-input", "user-output", "user-forward"];

fn chain_name(chain: &str, is_ipv4: bool) -> String {
    format!("{}-{chain}", if is_ipv4 { "ufw" } else { "ufw6" })
}

/// What stands in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    ruleset: &'a Ruleset,
}

impl<'a> InForce<'a> {
    /// What stands in all rules of a host.
    #[must_use]
    pub fn of(ruleset: &'a Ruleset) -> Self {
        Self { ruleset }
    }

    fn chain(self, name: &str) -> Option<&'a Chain> {
        self.ruleset.tables.iter().flat_map(|table| &table.chains).find(|chain| chain.name == name)
    }

    /// Whether ufw's rules are there at all.
    #[must_use]
    pub fn is_loaded(self) -> bool {
        self.chain(&chain_name("user-input", true)).is_some()
    }

    /// Whether a rule is among them.
    #[must_use]
    pub fn has(self, allow: &Allow) -> bool {
        let [incoming, outgoing, _] = USERS;
        let chain = chain_name(if allow.leg == Leg::In { incoming } else { outgoing }, allow.network.is_ipv4());
        self.chain(&chain).is_some_and(|chain| chain.rules.iter().any(|rule| is(rule, allow)))
    }

    /// The rules in the users' chains that the file of that family does not bring.
    ///
    /// Rules that are not understood in full are counted, not compared.
    #[must_use]
    pub fn beyond(self, file: &str, is_ipv4: bool) -> Vec<Beyond<'a>> {
        let family = if is_ipv4 { Family::Ip } else { Family::Ip6 };
        let brought = read(file, family).map(|read| read.ruleset).unwrap_or_default();
        let mut found = Vec::new();
        for chain in USERS.map(|chain| chain_name(chain, is_ipv4)) {
            let there = self.chain(&chain).map_or(&[][..], |chain| &chain.rules);
            let in_file = brought.tables.iter().flat_map(|table| &table.chains).find(|own| own.name == chain);
            let in_file = in_file.map_or(&[][..], |chain| &chain.rules);
            found.extend(beyond(there, in_file).into_iter().map(|rule| Beyond { chain: chain.clone(), rule }));
        }
        found
    }

    /// How many rules a chain has, apart from those that lead to another chain of ufw's.
    #[must_use]
    pub fn count(self, chain: &str) -> usize {
        let leads = |rule: &&Rule| matches!(&rule.verdict, Some(Verdict::Jump(to)) if to.starts_with("ufw"));
        self.chain(chain).map_or(0, |chain| chain.rules.iter().filter(|rule| !leads(rule)).count())
    }
}

/// A rule in a chain of ufw's that is in none of its files.
#[derive(Clone, Debug)]
pub struct Beyond<'a> {
    chain: String,
    rule: &'a Rule,
}

impl Beyond<'_> {
    /// Whether it may be one that we asked for: it accepts TCP from somebody to some ports.
    #[must_use]
    pub fn may_be_ours(&self) -> bool {
        let (mut side, mut ports) = (false, false);
        let known = self.rule.matches.iter().all(|one| match one {
            Match::Source { addresses: Addresses::These(_), negated: false }
            | Match::Destination { addresses: Addresses::These(_), negated: false } => {
                side = true;
                true
            }
            Match::DestinationPort { ports: PortMatch::Ports(_), negated: false } => {
                ports = true;
                true
            }
            Match::InInterface { negated: false, .. }
            | Match::Family(_)
            | Match::Protocol { number: 6, negated: false }
            // From any port: what stood in for another.
            | Match::Foreign(Foreign::SourcePort { negated: false, .. }) => true,
            _ => false,
        });
        known && side && ports && self.rule.verdict == Some(Verdict::Accept)
    }
}

impl std::fmt::Display for Beyond<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = || self.rule.place.as_ref().map(|place| place.text.clone()).unwrap_or_default();
        let words = rule_line(self.rule).map_or_else(|_| place(), |line| format!("-A {} {line}", self.chain));
        write!(f, "`{words}`")
    }
}

fn is(rule: &Rule, allow: &Allow) -> bool {
    let wanted = Elements::of_networks(&[allow.network]);
    let (mut network, mut ports, mut on) = (false, false, allow.interface.is_none());
    let known = rule.matches.iter().all(|one| match one {
        Match::Source { addresses: Addresses::These(these), negated: false } if allow.leg == Leg::In => {
            network = *these == wanted;
            network
        }
        Match::Destination { addresses: Addresses::These(these), negated: false } if allow.leg == Leg::Out => {
            network = *these == wanted;
            network
        }
        Match::DestinationPort { ports: PortMatch::Ports(these), negated: false } => {
            ports = *these == allow.ports;
            ports
        }
        Match::InInterface { names, negated: false } => {
            on = names.iter().any(|name| Some(name.as_str()) == allow.interface.as_deref());
            on
        }
        Match::Family(_) | Match::Protocol { number: 6, negated: false } => true,
        _ => false,
    });
    known && network && ports && on && rule.verdict == Some(Verdict::Accept)
}
