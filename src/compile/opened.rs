//! Openings as chains and sets for a table of somebody else: a chain for each way, to which a rule before that table's final drop
//! leads.

use std::collections::BTreeSet;

use super::admission::clip;
use super::iptables::{MANY_SOURCES, port_matches, short_name};
use super::{TCP, rule};
use crate::ir::{
    Addresses, Chain, Elements, Family, Leg, Match, Opening, PortMatch, Rule, Set, SetKind, Verdict, ours,
};
use crate::net::Interface;

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningShape {
    /// nft's: sets always, in the same table.
    Nft,
    /// iptables': sets of ipset above some tens of sources, rules below.
    Iptables,
}

/// What stands in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The sets; those of ipset belong to no table.
    pub sets: Vec<Set>,
    /// Chains that something has to lead to.
    pub chains: Vec<Chain>,
}

impl Opened {
    /// The name of the chain for a way.
    #[must_use]
    pub fn chain(leg: Leg) -> String {
        let way = match leg {
            Leg::In => "in",
            Leg::Out => "out",
        };
        format!("{}-{way}", ours::OPEN)
    }

    /// The rule that leads to it, for what comes in on these interfaces.
    #[must_use]
    pub fn jump(leg: Leg, on: &[Match]) -> Rule {
        let tcp = Match::Protocol { number: TCP, negated: false };
        let comment = match leg {
            Leg::In => "ringfence: let in whom its guard admits",
            Leg::Out => "ringfence: let out what asks the peers",
        };
        rule(on.iter().cloned().chain([tcp]).collect(), Verdict::Jump(Self::chain(leg))).comment(comment)
    }
}

/// What a table of a family has to have, for these ways. The same openings always make the same.
#[must_use]
pub fn opened(openings: &[Opening], family: Family, shape: OpeningShape, legs: &[Leg]) -> Opened {
    let mut all = Opened::default();
    let mut taken = BTreeSet::new();
    let fits = |opening: &&Opening| match family {
        Family::Inet | Family::Netdev => true,
        Family::Ip => opening.is_ipv4(),
        Family::Ip6 => !opening.is_ipv4(),
    };
    // A name must not depend on which ways are open.
    let named: Vec<(&Opening, String)> = openings
        .iter()
        .map(|opening| {
            let family = if opening.is_ipv4() { '4' } else { '6' };
            (opening, short_name(ours::OPEN, &format!("{}{family}", opening.name), &mut taken))
        })
        .collect();
    for leg in [Leg::In, Leg::Out].into_iter().filter(|leg| legs.contains(leg)) {
        let mut rules = Vec::new();
        for (opening, name) in named.iter().filter(|(opening, _)| opening.leg == leg && fits(opening)) {
            let (addresses, set) = addresses(opening, name, shape);
            all.sets.extend(set);
            rules.extend(rules_of(opening, &addresses, shape));
        }
        all.chains.push(Chain::named(&Opened::chain(leg), rules));
    }
    all
}

/// What the rules compare with, and the set, if there is one.
fn addresses(opening: &Opening, name: &str, shape: OpeningShape) -> (Vec<Addresses>, Option<Set>) {
    if shape == OpeningShape::Iptables && opening.networks.len() <= MANY_SOURCES {
        return (opening.networks.iter().map(|network| Addresses::network(*network)).collect(), None);
    }
    let elements = Elements::of_networks(&opening.networks);
    let set = Set { name: name.to_owned(), kind: SetKind::Interval, elements, origins: Vec::new() };
    (vec![Addresses::Set(name.to_owned())], Some(set))
}

fn rules_of(opening: &Opening, addresses: &[Addresses], shape: OpeningShape) -> Vec<Rule> {
    let ports = match shape {
        OpeningShape::Nft => {
            vec![Match::DestinationPort { ports: PortMatch::Ports(opening.ports.clone()), negated: false }]
        }
        OpeningShape::Iptables => port_matches(&opening.ports),
    };
    let on = |names: &[Interface]| Match::InInterface { names: names.to_vec(), negated: false };
    let interfaces: Vec<Option<Match>> = match (&opening.interfaces, shape) {
        (None, _) => vec![None],
        (Some(names), OpeningShape::Nft) => vec![Some(on(names))],
        (Some(names), OpeningShape::Iptables) => {
            names.iter().map(|name| Some(on(std::slice::from_ref(name)))).collect()
        }
    };
    let mut rules = Vec::new();
    for interface in &interfaces {
        for one in addresses {
            let addresses = one.clone();
            let other_side = match opening.leg {
                Leg::In => Match::Source { addresses, negated: false },
                Leg::Out => Match::Destination { addresses, negated: false },
            };
            for port in &ports {
                let matches = interface.iter().cloned().chain([other_side.clone(), port.clone()]).collect();
                rules.push(rule(matches, Verdict::Accept).comment(remark(opening)));
            }
        }
    }
    rules
}

fn remark(opening: &Opening) -> String {
    let fit: String = opening.about.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    clip(&format!("ringfence: {fit}"))
}
