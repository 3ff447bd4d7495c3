//! Whom firewalld keeps out by where he comes from.
//!
//! Sources that are bound to a zone which ends in a drop or a reject (`drop`, `block`, or one of the admin's with such a target) are
//! its way to ban somebody. What they send runs through our policy, as what comes to every zone does, and ahead of the zone's end. So
//! they are left out of what is let through.
//!
//! - Where a zone of that kind only has interfaces, or is the default, its end is a final drop like any other, and is passed.
//! - A source goes to the first zone that it is bound to: who is bound to another one before is not banned.
//! - A binding of everybody says nothing about anybody, and is a final drop, too.
//!
//! INVARIANT (never wider): what is cut out is all that a ban is known to hold; a ban by something other than an address is said, not
//! passed over.

use super::merged;
use crate::dialect::nft::placed;
use crate::ir::{Addresses, Elements, Leg, Match, Opening, Rule, Ruleset, Table, Verdict};
use crate::net::Cidr;

/// The chains that lead to a zone by source, as back ends and versions call them. Up to 1.3 a zone's chain has its end in itself; from
/// 2.0 on the end stands behind what led there; from 2.4 on a chain is between, which has the end.
const TO_ZONES: [&str; 4] = ["filter_INPUT_ZONES", "filter_INPUT_ZONES_SOURCE", "INPUT_ZONES", "INPUT_ZONES_SOURCE"];
const TO_ZONES_AND_ENDS: [&str; 2] = ["filter_INPUT_POLICIES", "INPUT_POLICIES"];
const TO_CHAINS_WITH_ENDS: [&str; 2] = ["filter_INPUT_dispatch", "INPUT_dispatch"];

/// Both ends are included.
type Ranges = Vec<(u128, u128)>;

/// Who is banned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    ipv4: Ranges,
    ipv6: Ranges,
    /// The rules that ban by something else.
    pub unknown: Vec<String>,
}

impl Bans {
    /// What stands in all rules of a host.
    #[must_use]
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut bans = Self::default();
        for table in &ruleset.tables {
            let mut seen = [Ranges::new(), Ranges::new()];
            for chain in &table.chains {
                let has_ends = TO_ZONES_AND_ENDS.contains(&chain.name.as_str());
                let is_between = TO_CHAINS_WITH_ENDS.contains(&chain.name.as_str());
                if !has_ends && !is_between && !TO_ZONES.contains(&chain.name.as_str()) {
                    continue;
                }
                for (at, rule) in chain.rules.iter().enumerate() {
                    let keeps_out = match &rule.verdict {
                        Some(Verdict::Goto(zone) | Verdict::Jump(zone)) if is_between => between_keeps_out(table, zone),
                        Some(Verdict::Goto(zone) | Verdict::Jump(zone)) if !has_ends => zone_keeps_out(table, zone),
                        Some(Verdict::Accept) if has_ends => false,
                        Some(Verdict::Drop) if has_ends => true,
                        Some(Verdict::Reject(_)) if has_ends => {
                            let before = chain.rules.iter().take(at).filter(|other| other.matches == rule.matches);
                            !before.clone().any(|other| lets_icmp_in(table, other))
                        }
                        _ => continue,
                    };
                    bans.read(ruleset, table, rule, keeps_out, &mut seen);
                }
            }
        }
        bans
    }

    fn read(&mut self, ruleset: &Ruleset, table: &Table, rule: &Rule, is_ban: bool, seen: &mut [Ranges; 2]) {
        let about = |one: &Match| !matches!(one, Match::Family(_) | Match::InInterface { negated: false, .. });
        let mut asked = rule.matches.iter().filter(|one| about(one));
        let sources = match (asked.next(), asked.next()) {
            // By interface, or whatever is left.
            (None, _) => return,
            (Some(Match::Source { addresses, negated: false }), None) => elements(ruleset, table, addresses),
            (Some(_), _) => None,
        };
        let Some(sources) = sources else {
            if is_ban {
                self.unknown.push(rule.place.as_ref().map(|place| placed(table, rule, place)).unwrap_or_default());
            }
            return;
        };
        let is_ipv4 = matches!(sources, Elements::Ipv4(_));
        let [seen4, seen6] = seen;
        let (seen, banned) = if is_ipv4 { (seen4, &mut self.ipv4) } else { (seen6, &mut self.ipv6) };
        let ranges = merged(sources);
        let everybody = [(0, if is_ipv4 { u32::MAX.into() } else { u128::MAX })];
        if is_ban && ranges != everybody {
            banned.extend(without(&ranges, seen));
            *banned = union(std::mem::take(banned));
        }
        seen.extend(ranges);
        *seen = union(std::mem::take(seen));
    }

    /// The openings without those who are banned.
    #[must_use]
    pub fn cut(&self, openings: &[Opening]) -> Vec<Opening> {
        let left = |opening: &Opening| {
            let banned = if opening.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
            let own = merged(&Elements::of_networks(&opening.networks));
            let kept = without(&own, banned);
            match opening.leg {
                Leg::In if kept != own => {
                    let networks = networks(&kept, opening.is_ipv4());
                    (!networks.is_empty()).then(|| Opening { networks, ..opening.clone() })
                }
                Leg::In | Leg::Out => Some(opening.clone()),
            }
        };
        openings.iter().filter_map(left).collect()
    }
}

/// Whether a zone ends in a drop or a reject of its own. One with the target `default` lets ICMP in before it rejects.
fn zone_keeps_out(table: &Table, zone: &str) -> bool {
    let rules = chain(table, zone);
    let ends = rules.last().is_some_and(|rule| {
        matches!(rule.verdict, Some(Verdict::Drop | Verdict::Reject(_)))
            && rule.matches.iter().all(|one| matches!(one, Match::Family(_)))
    });
    ends && !accepts(rules)
}

/// The same for a chain that leads to a zone and to policies, and then ends.
fn between_keeps_out(table: &Table, name: &str) -> bool {
    let rules = chain(table, name);
    match rules.last().and_then(|rule| rule.verdict.as_ref()) {
        Some(Verdict::Drop) => true,
        Some(Verdict::Reject(_)) => !rules.iter().any(|rule| lets_icmp_in(table, rule)),
        _ => false,
    }
}

/// Whether a rule leads to a zone with the target `default`.
fn lets_icmp_in(table: &Table, rule: &Rule) -> bool {
    match &rule.verdict {
        Some(Verdict::Jump(zone)) => accepts(chain(table, zone)),
        _ => false,
    }
}

/// Services and rich rules of a zone have chains of their own.
fn accepts(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.verdict == Some(Verdict::Accept))
}

fn chain<'a>(table: &'a Table, name: &str) -> &'a [Rule] {
    table.chains.iter().find(|chain| chain.name == name).map_or(&[], |chain| &chain.rules)
}

fn elements<'a>(ruleset: &'a Ruleset, table: &'a Table, addresses: &'a Addresses) -> Option<&'a Elements> {
    let elements = match addresses {
        Addresses::These(elements) => elements,
        Addresses::Set(name) => &table.sets.iter().chain(&ruleset.sets).find(|set| set.name == *name)?.elements,
    };
    match elements {
        Elements::Ipv4(_) | Elements::Ipv6(_) => Some(elements),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            None
        }
    }
}

/// Sorted, disjoint, neighbours joined.
fn union(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut joined: Ranges = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Those of the first that are not among the second; both are sorted and disjoint.
fn without(ranges: &[(u128, u128)], taken: &[(u128, u128)]) -> Ranges {
    let mut left = Ranges::new();
    for &(first, last) in ranges {
        let mut next = Some(first);
        let from = taken.partition_point(|&(_, end)| end < first);
        for &(start, end) in taken.iter().skip(from).take_while(|&&(start, _)| start <= last) {
            let Some(own) = next else { break };
            if let Some(before) = start.checked_sub(1).filter(|before| *before >= own) {
                left.push((own, before));
            }
            next = end.checked_add(1);
        }
        left.extend(next.filter(|own| *own <= last).map(|own| (own, last)));
    }
    left
}

/// The fewest networks that are exactly these.
pub(in crate::dialect) fn networks(ranges: &[(u128, u128)], is_ipv4: bool) -> Vec<Cidr> {
    let narrow = |end: u128| u32::try_from(end).ok();
    if is_ipv4 {
        let ranges = ranges.iter().filter_map(|&(first, last)| Some((narrow(first)?, narrow(last)?)));
        ranges.flat_map(|(first, last)| Cidr::covering_v4(first, last)).collect()
    } else {
        ranges.iter().flat_map(|&(first, last)| Cidr::covering_v6(first, last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::nft;
    use crate::net::Ports;

    const ZONES: &str = "chain filter_IN_drop {\n jump x\n drop\n }\n chain filter_IN_block {\n jump x\n reject\n }\n\
         chain filter_IN_public {\n jump x\n meta l4proto { icmp, ipv6-icmp } accept\n reject\n }\n\
         chain filter_IN_open {\n jump x\n accept\n }\n chain x {\n }\n";

    fn bans(input: &str) -> Bans {
        let text = format!(
            "table inet firewalld {{\n set ban {{\n type ipv4_addr\n flags interval\n elements = {{ 10.0.2.0/24 }}\n }}\n{ZONES}{input}\n}}\n"
        );
        Bans::of(&nft::read(&text).unwrap().ruleset)
    }

    fn left(bans: &Bans, networks: &[&str]) -> Vec<String> {
        let network = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            Cidr::containing(address.parse().unwrap(), length.parse().unwrap()).unwrap()
        };
        let opening = Opening {
            name: "peers".to_owned(),
            about: String::new(),
            leg: Leg::In,
            networks: networks.iter().map(network).collect(),
            ports: Ports::default(),
            interfaces: None,
        };
        bans.cut(&[opening]).iter().flat_map(|one| &one.networks).map(ToString::to_string).collect()
    }

    #[test]
    fn who_is_bound_to_a_zone_that_keeps_out_is_left_out() {
        // The first binding counts, an interface and everybody say nothing about anybody.
        let old = bans(
            "chain filter_INPUT_ZONES {\n ip saddr 10.0.2.7 goto filter_IN_open\n ip saddr @ban goto filter_IN_drop\n\
             ip6 saddr fd77::/64 goto filter_IN_block\n ip saddr 10.0.3.0/24 goto filter_IN_public\n\
             ip saddr 0.0.0.0/0 goto filter_IN_drop\n iifname \"eth0\" goto filter_IN_drop\n goto filter_IN_drop\n }\n",
        );
        assert!(old.unknown.is_empty(), "{old:?}");
        assert_eq!(left(&old, &["10.0.0.1/32", "10.0.2.0/29", "10.0.3.0/24"]), ["10.0.0.1", "10.0.2.7", "10.0.3.0/24"]);
        assert!(left(&old, &["fd77::1/128"]).is_empty());
        let new = bans(
            "chain filter_INPUT_POLICIES {\n ip saddr 10.0.2.7 jump filter_IN_open\n ip saddr 10.0.2.7 accept\n\
             ip saddr @ban jump filter_IN_drop\n ip saddr @ban drop\n ip6 saddr fd77::/64 jump filter_IN_x\n ip6 saddr fd77::/64 reject\n\
             ip saddr 10.0.3.0/24 jump filter_IN_public\n ip saddr 10.0.3.0/24 reject\n iifname \"eth0\" drop\n drop\n }\n chain filter_IN_x {\n }\n",
        );
        assert_eq!(new, old);
        let to_host = |zone: &str, end: &str| {
            format!(
                " chain filter_IN_{zone}_to_HOST {{\n jump filter_IN_policy_x\n jump filter_IN_{zone}\n {end}\n }}\n"
            )
        };
        let between = [("open", "accept"), ("drop", "drop"), ("x", "reject"), ("public", "reject")]
            .map(|(zone, end)| to_host(zone, end));
        let newer = bans(&format!(
            "chain filter_INPUT_dispatch {{\n ip saddr 10.0.2.7 jump filter_IN_open_to_HOST\n ip saddr @ban jump filter_IN_drop_to_HOST\n\
             ip6 saddr fd77::/64 jump filter_IN_x_to_HOST\n ip saddr 10.0.3.0/24 jump filter_IN_public_to_HOST\n\
             iifname \"eth0\" jump filter_IN_drop_to_HOST\n jump filter_IN_drop_to_HOST\n }}\n chain filter_IN_x {{\n }}\n\
             chain filter_IN_policy_x {{\n }}\n{}",
            between.concat()
        ));
        assert_eq!(newer, old);
        let odd = bans("chain filter_INPUT_ZONES {\n ether saddr 00:11:22:33:44:55 goto filter_IN_drop\n }\n");
        assert!(odd.unknown.len() == 1 && odd.unknown[0].contains("filter_IN_drop"), "{odd:?}");
    }

    #[test]
    fn ranges_are_cut_exactly() {
        let all = u128::MAX;
        assert_eq!(without(&[(0, all)], &[(0, 5), (10, 10), (all, all)]), [(6, 9), (11, all - 1)]);
        assert_eq!(without(&[(3, 4), (8, 9)], &[(0, 20)]), []);
        assert_eq!(without(&[(3, 4), (8, 9)], &[(4, 8), (30, 40)]), [(3, 3), (9, 9)]);
        assert_eq!(union(vec![(8, 9), (0, 3), (4, 5), (2, 4)]), [(0, 5), (8, 9)]);
    }
}
