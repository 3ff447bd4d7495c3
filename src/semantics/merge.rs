//! Rules that differ in their sources alone, as one rule.
//!
//! iptables without sets has one rule for each source. Judged one by one, each source would be a class of its own, and
//! each packet would meet thousands of rules. Neighbours with the same verdict and the same other tests may be taken
//! together: whichever of them matches first, the same becomes of the packet. Where a packet goes on behind the first, as it does behind a
//! jump, it would meet the second, too; so such rules are taken together only where no source is in both.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ir::{Addresses, Chain, Elements, Match, Rule, Ruleset, Table, Verdict};

/// The same ruleset with fewer rules. A rule that stands for several has the place of the first.
#[must_use]
pub fn merged(ruleset: &Ruleset) -> Cow<'_, Ruleset> {
    let mut chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    if !chains.any(|chain| chain.rules.windows(2).any(|pair| matches!(pair, [one, other] if alike(one, other)))) {
        return Cow::Borrowed(ruleset);
    }
    let table = |table: &Table| Table { chains: table.chains.iter().map(chain).collect(), ..table.clone() };
    Cow::Owned(Ruleset { tables: ruleset.tables.iter().map(table).collect(), ..ruleset.clone() })
}

fn chain(chain: &Chain) -> Chain {
    let mut rules: Vec<Rule> = Vec::new();
    let mut run: Vec<&Rule> = Vec::new();
    let mut taken = Taken::default();
    for rule in &chain.rules {
        if run.first().is_some_and(|first| !alike(first, rule) || (!ends(rule) && taken.has_any_of(rule))) {
            rules.extend(together(&run));
            run.clear();
            taken = Taken::default();
        }
        if !ends(rule) {
            taken.add(rule);
        }
        run.push(rule);
    }
    rules.extend(together(&run));
    Chain { name: chain.name.clone(), base: chain.base, remarks: Vec::new(), rules }
}

/// Whether two rules differ at most in the addresses of one test of the source, and do the same.
fn alike(one: &Rule, other: &Rule) -> bool {
    one.verdict == other.verdict
        && one.effective().eq(other.effective())
        && one.log().is_none()
        && other.log().is_none()
        && one.matches.len() == other.matches.len()
        && listed_source(one).is_some()
        && listed_source(one) == listed_source(other)
        && one.matches.iter().zip(&other.matches).all(|(a, b)| a == b || same_family(a, b))
}

/// Whether no packet that the rule is about meets the next one, whatever else the rule does.
fn ends(rule: &Rule) -> bool {
    rule.verdict.as_ref().is_some_and(Verdict::ends)
}

/// Sources of the rules of a run, which are of one family: first and last of each range, none in another.
#[derive(Default)]
struct Taken(BTreeMap<u128, u128>);

impl Taken {
    fn has_any_of(&self, rule: &Rule) -> bool {
        ranges(rule)
            .into_iter()
            .any(|(first, last)| self.0.range(..=last).next_back().is_some_and(|(_, end)| *end >= first))
    }

    fn add(&mut self, rule: &Rule) {
        self.0.extend(ranges(rule));
    }
}

/// The addresses that the rule lists.
fn ranges(rule: &Rule) -> Vec<(u128, u128)> {
    match rule.matches.iter().find_map(listed) {
        Some(Elements::Ipv4(list)) => list.iter().map(|&(first, last)| (first.into(), last.into())).collect(),
        Some(Elements::Ipv6(list)) => list.clone(),
        _ => Vec::new(),
    }
}

/// The position of the only test of the source, if it lists its addresses.
fn listed_source(rule: &Rule) -> Option<usize> {
    let mut tests = rule.matches.iter().enumerate().filter(|(_, one)| matches!(one, Match::Source { .. }));
    let (at, one) = tests.next()?;
    let listed = matches!(listed(one), Some(Elements::Ipv4(_) | Elements::Ipv6(_)));
    (listed && tests.next().is_none()).then_some(at)
}

fn same_family(one: &Match, other: &Match) -> bool {
    let kind = |one: &Match| match listed(one) {
        Some(Elements::Ipv4(_)) => Some(4),
        Some(Elements::Ipv6(_)) => Some(6),
        Some(
            Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown,
        )
        | None => None,
    };
    kind(one).is_some() && kind(one) == kind(other)
}

fn listed(one: &Match) -> Option<&Elements> {
    match one {
        Match::Source { addresses: Addresses::These(elements), negated: false } => Some(elements),
        _ => None,
    }
}

fn together(run: &[&Rule]) -> Option<Rule> {
    let mut rule = (*run.first()?).clone();
    if run.len() > 1 {
        let lists = || run.iter().flat_map(|rule| &rule.matches).filter_map(listed);
        let v4: Vec<(u32, u32)> = lists()
            .flat_map(|list| if let Elements::Ipv4(list) = list { list.as_slice() } else { &[] })
            .copied()
            .collect();
        let v6: Vec<(u128, u128)> = lists()
            .flat_map(|list| if let Elements::Ipv6(list) = list { list.as_slice() } else { &[] })
            .copied()
            .collect();
        let all = if v6.is_empty() { Elements::ipv4(v4) } else { Elements::ipv6(v6) };
        let own = rule.matches.iter_mut().find(|one| listed(one).is_some())?;
        *own = Match::Source { addresses: Addresses::These(all), negated: false };
    }
    Some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &str, verdict: Verdict) -> Rule {
        let addresses = Addresses::network(network.parse().unwrap());
        let source = Match::Source { addresses, negated: false };
        Rule { matches: vec![Match::DestinationLocal, source], verdict: Some(verdict), ..Rule::default() }
    }

    #[test]
    fn only_neighbours_that_do_the_same_become_one() {
        let rules = vec![
            rule("10.0.0.3", Verdict::Return),
            rule("10.0.0.1", Verdict::Return),
            rule("10.0.0.0/24", Verdict::Drop),
            rule("10.0.0.2", Verdict::Return),
            rule("fd20::1", Verdict::Return),
        ];
        let merged = chain(&Chain::named("x", rules));
        assert_eq!(merged.rules.len(), 4);
        let own = merged.rules[0].matches.iter().find_map(listed);
        assert_eq!(own, Some(&Elements::ipv4(vec![(0x0a00_0001, 0x0a00_0001), (0x0a00_0003, 0x0a00_0003)])));
    }

    /// Behind a jump a packet goes on, and meets the next rule as well.
    #[test]
    fn what_a_packet_meets_twice_stays_two() {
        for verdict in [Some(Verdict::Jump("y".into())), Some(Verdict::Unknown("?".into())), None] {
            let count = |networks: &[&str]| {
                let own = |network: &&str| Rule { verdict: verdict.clone(), ..rule(network, Verdict::Drop) };
                chain(&Chain::named("x", networks.iter().map(own).collect())).rules.len()
            };
            assert_eq!(count(&["10.0.0.3", "10.0.0.1", "10.0.1.0/24"]), 1);
            assert_eq!(count(&["10.0.0.0/24", "10.0.0.1"]), 2);
            assert_eq!(count(&["10.0.0.1", "10.0.2.0/24", "10.0.0.0/24", "10.0.3.0/24"]), 2);
            assert_eq!(count(&["10.0.0.1", "10.0.0.1"]), 2);
        }
        assert_eq!(
            chain(&Chain::named("x", vec![rule("10.0.0.0/24", Verdict::Return), rule("10.0.0.1", Verdict::Return)]))
                .rules
                .len(),
            1
        );
    }
}
