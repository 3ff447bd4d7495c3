//! What the kernel holds of firewalld, as far as it is about us.

use std::collections::{BTreeMap, BTreeSet};

use super::{IpSet, RichRule, SET, Wanted, merged};
use crate::ir::{Addresses, ChainKind, Elements, Match, Policy, PortMatch, Rule, Ruleset, Set, Table, Verdict};

/// What the kernel holds of firewalld, as far as it is about us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// firewalld's own rules are there: nobody has flushed them.
    pub is_loaded: bool,
    /// Everything is dropped, because the admin said so.
    pub panic: bool,
    /// Our policy is there.
    pub policy: bool,
    /// Its rules.
    pub rules: BTreeSet<RichRule>,
    /// Rules in it that are none of ours, or by which it stands before the zones.
    pub strange: usize,
    /// Chains of policies that stand behind ours, with the same priority, and keep somebody out.
    pub behind: BTreeSet<String>,
    /// Our sets.
    pub sets: BTreeMap<String, Elements>,
}

impl InForce {
    /// What stands in all rules of a host.
    #[must_use]
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut found = Self::default();
        let by_iptables = Self::is_of_iptables(ruleset);
        for table in &ruleset.tables {
            found.panic |= panics(table, by_iptables);
            for chain in &table.chains {
                found.is_loaded |= is_main(table, &chain.name);
                if chain.name.ends_with("INPUT_POLICIES_pre") {
                    let early = chain.rules.iter().filter(|rule| jumps_to_ours(rule));
                    found.strange += early.count();
                }
                if table.name == "firewalld" {
                    found.strange += before_zones(&chain.rules);
                }
                found.behind.extend(behind(table, &chain.rules));
                if ALLOW.contains(&chain.name.as_str()) {
                    found.policy = true;
                    for rule in &chain.rules {
                        match ours(rule) {
                            Some(rules) => found.rules.extend(rules),
                            None => found.strange += 1,
                        }
                    }
                }
            }
        }
        // In other tables, and where it works by nftables in ipset, sets with such names are not its own.
        let sets: Vec<&Set> = if by_iptables {
            ruleset.sets.iter().collect()
        } else {
            let own = ruleset.tables.iter().filter(|table| table.name == "firewalld");
            own.flat_map(|table| &table.sets).collect()
        };
        let sets = sets.into_iter().filter(|set| set.name.starts_with(SET));
        found.sets = sets.map(|set| (set.name.clone(), set.elements.clone())).collect();
        found
    }

    /// Whether firewalld works by iptables, and its sets are those of ipset.
    #[must_use]
    pub fn is_of_iptables(ruleset: &Ruleset) -> bool {
        let mut chains = ruleset.tables.iter().flat_map(|table| &table.chains);
        chains.any(|chain| MAIN_OF_IPTABLES.contains(&chain.name.as_str()))
    }

    /// Whether a set holds exactly these networks; `None` where there is no such set.
    #[must_use]
    pub fn set_is(&self, wanted: &IpSet) -> Option<bool> {
        self.sets.get(&wanted.name).map(|there| merged(there) == merged(&Elements::of_networks(&wanted.networks)))
    }

    /// Whether the rules are these and no others.
    #[must_use]
    pub fn has_rules_of(&self, wanted: &Wanted) -> bool {
        self.strange == 0 && self.rules.iter().eq(wanted.rules.iter().collect::<BTreeSet<_>>())
    }

    /// Whether our policy or sets are there, be they empty.
    #[must_use]
    pub fn has_remains(&self) -> bool {
        self.policy || !self.sets.is_empty()
    }

    /// Whether all is as it is to be. Of a policy that was emptied nothing is left that matters.
    #[must_use]
    pub fn is(&self, wanted: &Wanted) -> bool {
        let wanted_sets: BTreeSet<&str> = wanted.sets.iter().map(|set| set.name.as_str()).collect();
        let mut others = self.sets.iter().filter(|(name, _)| !wanted_sets.contains(name.as_str()));
        self.has_rules_of(wanted)
            && wanted.sets.iter().all(|set| self.set_is(set) == Some(true))
            && others.all(|(_, elements)| elements.networks().is_empty())
    }
}

/// Whether a chain is one that every packet for this host goes into: nftables has had its own from the beginning, iptables another one in
/// 1.x, from 2.0 on, and from 2.4 on.
fn is_main(table: &Table, chain: &str) -> bool {
    match table.name.as_str() {
        "firewalld" => chain == "filter_INPUT",
        _ => MAIN_OF_IPTABLES.contains(&chain),
    }
}

/// The chains that lead to the zones where firewalld works by iptables.
pub const MAIN_OF_IPTABLES: [&str; 3] = ["INPUT_ZONES", "INPUT_POLICIES", "INPUT_dispatch"];

/// The chain of our policy that accepts, as the two back ends call it.
const ALLOW: [&str; 3] = ["filter_IN_policy_ringfence_allow", "filter_IN_ringfence_allow", "IN_ringfence_allow"];

/// The chains to which the same packets go behind our policy, and in which there is a drop or a reject.
fn behind(table: &Table, rules: &[Rule]) -> Vec<String> {
    let ours = rules.iter().enumerate().filter(|(_, rule)| jumps_to_ours(rule));
    let later = ours.flat_map(|(at, own)| rules.iter().skip(at + 1).filter(|rule| rule.matches == own.matches));
    let chains = later.filter_map(|rule| match &rule.verdict {
        Some(Verdict::Jump(chain)) if !jumps_to_ours(rule) => Some(chain),
        _ => None,
    });
    chains.filter(|chain| keeps_out(table, chain, DEEPEST)).cloned().collect()
}

/// A policy has chains of its own for what it denies, and these have none.
const DEEPEST: usize = 4;

fn keeps_out(table: &Table, chain: &str, depth: usize) -> bool {
    let rules = table.chains.iter().filter(|own| own.name == chain).flat_map(|own| &own.rules);
    rules.into_iter().any(|rule| match &rule.verdict {
        Some(Verdict::Drop | Verdict::Reject(_)) => true,
        Some(Verdict::Jump(next) | Verdict::Goto(next)) => depth > 0 && keeps_out(table, next, depth - 1),
        _ => false,
    })
}

/// Whether a rule leads into our policy.
fn jumps_to_ours(rule: &Rule) -> bool {
    match &rule.verdict {
        Some(Verdict::Jump(chain)) => ALLOW.iter().any(|own| own.strip_suffix("_allow") == Some(chain)),
        _ => false,
    }
}

/// From 2.0 on one chain leads to zones and policies, anew for each source and interface (from 2.4 on, one for each zone): how often ours
/// comes before the zone there.
/// Chains of policies have a name of their own, with nftables; with iptables nothing tells them from a zone's.
fn before_zones(rules: &[Rule]) -> usize {
    let is_zones = |rule: &Rule| match &rule.verdict {
        Some(Verdict::Jump(chain)) => !chain.starts_with("filter_IN_policy_"),
        _ => false,
    };
    let is_early = |(at, rule): &(usize, &Rule)| {
        let mut behind = rules.iter().skip(*at + 1);
        jumps_to_ours(rule) && behind.any(|other| is_zones(other) && other.matches == rule.matches)
    };
    rules.iter().enumerate().filter(is_early).count()
}

/// What a rule of the kernel is in firewalld's words, if it is one of those that we ask for.
fn ours(rule: &Rule) -> Option<Vec<RichRule>> {
    let (mut from, mut to) = (None, None);
    for one in &rule.matches {
        match one {
            Match::Source { addresses: Addresses::Set(name), negated: false } if name.starts_with(SET) => {
                from = Some(name);
            }
            Match::DestinationPort { ports: PortMatch::Ports(ports), negated: false } => to = Some(ports),
            // Old versions ask for new connections, which is all that an opening is about.
            Match::Family(_)
            | Match::Protocol { negated: false, .. }
            | Match::ConnectionState { negated: false, .. } => {}
            _ => return None,
        }
    }
    let (from, to) = (from?, to?);
    let rules = to.ranges().iter().map(|&ports| RichRule { set: from.clone(), ports });
    (rule.verdict == Some(Verdict::Accept)).then(|| rules.collect())
}

/// Whether a table is what `firewall-cmd --panic-on` makes of it.
fn panics(table: &Table, by_iptables: bool) -> bool {
    table.chains.iter().any(|chain| {
        let drops = chain.base.is_some_and(|base| base.kind == ChainKind::Filter && base.policy == Policy::Drop);
        let of_nft = table.name.starts_with("firewalld") && chain.name.starts_with("raw_");
        drops && (of_nft || (by_iptables && table.name == "raw" && chain.name == "PREROUTING"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a zone for a source; and the policy behind the zones, or before them.
    #[test]
    fn the_chains_of_every_version_are_known() {
        let of = |chains: &str| {
            let set = "set open-ringfence-peers4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n";
            let allow = "chain filter_IN_policy_ringfence_allow {\n\t\tip saddr @open-ringfence-peers4 tcp dport 8098 accept\n\t}\n";
            let led_to = ["public", "policy_ringfence", "policy_other"]
                .map(|name| format!("\tchain filter_IN_{name} {{\n\t}}\n"))
                .concat();
            let text = format!("table inet firewalld {{\n\t{set}\t{allow}{led_to}\t{chains}}}\n");
            InForce::of(&crate::dialect::nft::read(&text).unwrap().ruleset)
        };
        let base = "chain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t}\n";
        let (own, zone) = ("jump filter_IN_policy_ringfence\n", "jump filter_IN_public\n");
        let of_1 = |[pre, post]: [&str; 2]| {
            format!(
                "{base}\tchain filter_INPUT_POLICIES_pre {{\n\t\t{pre}\t}}\n\tchain filter_INPUT_ZONES {{\n\t\tgoto filter_IN_public\n\t}}\n\
                 \tchain filter_INPUT_POLICIES_post {{\n\t\t{post}\t}}\n"
            )
        };
        let of_2_0 = |[first, second]: [&str; 2]| {
            format!(
                "{base}\tchain filter_INPUT_POLICIES {{\n\t\tip saddr 10.0.0.9 {first}\t\tip saddr 10.0.0.9 {second}\t\tip saddr 10.0.0.9 drop\n\
                 \t\tjump filter_IN_policy_other\n\t\t{first}\t\t{second}\t\tjump filter_IN_policy_other\n\t\treject\n\t}}\n"
            )
        };
        let of_2_4 = |[first, second]: [&str; 2]| {
            format!(
                "{base}\tchain filter_INPUT_dispatch {{\n\t\tjump filter_IN_public_to_HOST\n\t}}\n\tchain filter_IN_public_to_HOST {{\n\
                 \t\t{first}\t\t{second}\t\treject\n\t}}\n"
            )
        };
        for (behind, before, early) in [
            (of_1(["", own]), of_1([own, ""]), 1),
            (of_2_0([zone, own]), of_2_0([own, zone]), 2),
            (of_2_4([zone, own]), of_2_4([own, zone]), 1),
        ] {
            let there = of(&behind);
            assert!(there.is_loaded && there.policy && there.rules.len() == 1, "{there:?}");
            assert_eq!((there.strange, of(&before).strange), (0, early), "{behind}");
        }
        assert!(!of("").is_loaded);
    }
}
