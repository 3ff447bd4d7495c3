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
use crate::ir::{Addresses, Chain, Elements, Leg, Match, Opening, Rule, Ruleset, Table, Verdict};
use crate::net::Cidr;

/// The chains in which zones are found by source, as the back ends and versions call them.
const BY_SOURCE: [&str; 4] = ["filter_INPUT_ZONES", "filter_INPUT_ZONES_SOURCE", "INPUT_ZONES", "INPUT_ZONES_SOURCE"];

/// Both ends are included.
type Ranges = Vec<(u128, u128)>;

/// Who is banned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    ipv4: Ranges,
    ipv6: Ranges,
    /// Zones, in the kernel's words, that ban by something else.
    pub unknown: Vec<String>,
}

impl Bans {
    /// What stands in all rules of a host.
    #[must_use]
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut bans = Self::default();
        for table in &ruleset.tables {
            let mut seen = [Ranges::new(), Ranges::new()];
            for rule in table
                .chains
                .iter()
                .filter(|chain| BY_SOURCE.contains(&chain.name.as_str()))
                .flat_map(|chain| &chain.rules)
            {
                bans.read(ruleset, table, rule, &mut seen);
            }
        }
        bans
    }

    fn read(&mut self, ruleset: &Ruleset, table: &Table, rule: &Rule, seen: &mut [Ranges; 2]) {
        let Some(Verdict::Goto(zone) | Verdict::Jump(zone)) = &rule.verdict else { return };
        let is_ban = table.chains.iter().any(|chain| chain.name == *zone && keeps_out(chain));
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
                self.unknown.push(zone.clone());
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
fn keeps_out(zone: &Chain) -> bool {
    let ends = zone.rules.last().is_some_and(|rule| {
        matches!(rule.verdict, Some(Verdict::Drop | Verdict::Reject(_)))
            && rule.matches.iter().all(|one| matches!(one, Match::Family(_)))
    });
    ends && !zone.rules.iter().any(|rule| rule.verdict == Some(Verdict::Accept))
}

fn elements<'a>(ruleset: &'a Ruleset, table: &'a Table, addresses: &'a Addresses) -> Option<&'a Elements> {
    let elements = match addresses {
        Addresses::These(elements) => elements,
        Addresses::Set(name) => &table.sets.iter().chain(&ruleset.sets).find(|set| set.name == *name)?.elements,
    };
    match elements {
        Elements::Ipv4(_) | Elements::Ipv6(_) => Some(elements),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Unknown => None,
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
