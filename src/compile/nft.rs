//! The shape for nf_tables: one `inet` table of our own.

use super::admission::{Admissions, Grant};
use super::{FIRST_AT_INPUT, RAW, block_rules, header, not_loopback, rule};
use crate::cluster::Site;
use crate::ir::{
    Addresses, Base, Chain, Elements, Family, Hook, Match, PortMatch, Rule, Ruleset, Set, SetKind, Table, TcpFlags,
    Verdict,
};
use crate::net::{PortRange, Ports};

/// Up to so many ports a set holds them one by one: an unrelated packet then pays less than a third of what ranges cost.
const SINGLE_PORTS_UP_TO: u32 = 1024;

const PROTECTED: &str = "protected";
const PEER_PORTS: &str = "peer_ports";

/// The ruleset of a site for nf_tables.
#[must_use]
pub fn nft(site: &Site<'_>) -> Ruleset {
    let admissions = Admissions::of(site);
    let mut sets = vec![port_set(PROTECTED, &admissions.protected, site)];
    sets.extend(admissions.grants.iter().filter(|grant| grant.peers).map(|g| port_set(PEER_PORTS, &g.ports, site)));
    let chains = vec![
        Chain { name: "block".into(), base: None, rules: block_rules(site, |ports| vec![ports_match(ports)]) },
        Chain { name: "admit".into(), base: None, rules: admit_rules(&admissions) },
        Chain { name: "hidden".into(), base: None, rules: hidden_rules() },
        Chain { name: "prerouting".into(), base: base(Hook::Prerouting, RAW), rules: prerouting_rules() },
        Chain { name: "input".into(), base: base(Hook::Input, FIRST_AT_INPUT), rules: input_rules() },
    ];
    sets.extend(admissions.untrusted);
    sets.extend(admissions.grants.into_iter().flat_map(|grant| grant.sources));
    let table = Table { family: Family::Inet, name: "ringfence".into(), sets, chains };
    Ruleset { header: header::lines(site), sets: Vec::new(), tables: vec![table] }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn base(hook: Hook, priority: i32) -> Option<Base> {
    Some(Base { hook, priority, shared: false })
}

fn protected() -> Match {
    Match::DestinationPort(PortMatch::Set(PROTECTED.into()))
}

/// The tests stand in the order in which they settle the most packets at the least cost: a data segment leaves at the
/// flags, a connection to another port at the port.
fn prerouting_rules() -> Vec<Rule> {
    let new = Match::TcpFlags { mask: TcpFlags::SYN.with(TcpFlags::ACK), value: TcpFlags::SYN };
    let judged = vec![new, protected(), not_loopback(), Match::DestinationLocal];
    vec![
        rule(judged, Verdict::Jump("admit".into())).comment("isolation: new connections, port as on the wire"),
        rule(vec![Match::FirstFragment, not_loopback()], Verdict::Jump("hidden".into()))
            .comment("isolation: IPv6 first fragments"),
    ]
}

fn input_rules() -> Vec<Rule> {
    let judged = vec![protected(), not_loopback()];
    vec![rule(judged, Verdict::Jump("admit".into())).comment("isolation: every segment, port as the socket sees it")]
}

/// A test on a header that is not there fails, so a fragment without one falls through to the drop.
fn hidden_rules() -> Vec<Rule> {
    let any = PortRange::new(1, u16::MAX).into_iter().collect();
    vec![
        rule(vec![Match::Tcp { negated: true }], Verdict::Return),
        rule(vec![Match::DestinationPort(PortMatch::Ports(any))], Verdict::Return),
        rule(Vec::new(), Verdict::Drop).counted().comment("isolation: first fragment without a transport header"),
    ]
}

fn admit_rules(admissions: &Admissions) -> Vec<Rule> {
    let from = |set: &Set| Match::Source(Addresses::Set(set.name.clone()));
    let mut rules = Vec::new();
    for set in &admissions.untrusted {
        rules.push(rule(vec![from(set)], Verdict::Goto("block".into())).comment("isolation: untrusted beats all"));
    }
    for grant in &admissions.grants {
        for set in &grant.sources {
            let mut matches = interface_match(grant);
            // What is cheaper or fails more often comes first.
            if grant.peers {
                matches.extend([from(set), Match::DestinationPort(PortMatch::Set(PEER_PORTS.into()))]);
            } else {
                matches.extend([ports_match(&grant.ports), from(set)]);
            }
            rules.push(rule(matches, Verdict::Return).comment(grant.comment.clone()));
        }
    }
    rules.push(rule(Vec::new(), Verdict::Goto("block".into())).comment("isolation: everyone else"));
    rules
}

fn interface_match(grant: &Grant) -> Vec<Match> {
    let names = grant.interfaces.iter().cloned();
    names.map(|names| Match::InInterface { names, negated: false }).collect()
}

fn ports_match(ports: &Ports) -> Match {
    Match::DestinationPort(PortMatch::Ports(ports.clone()))
}

fn port_set(name: &str, ports: &Ports, site: &Site<'_>) -> Set {
    let singly = ports.count() <= SINGLE_PORTS_UP_TO;
    let ranges: Vec<PortRange> =
        if singly { ports.each().filter_map(PortRange::single).collect() } else { ports.ranges().to_vec() };
    let service_of = |range: &PortRange| {
        let wanted: Ports = [*range].into_iter().collect();
        let mut services = site.services().iter().filter(|service| service.service.is_guarded());
        services
            .find(|service| service.ports.intersection(&wanted).is_some())
            .map_or("", |service| service.service.name())
    };
    let origins = ranges.iter().map(|range| service_of(range).to_owned()).collect();
    let kind = if singly { SetKind::Hash { size: SINGLE_PORTS_UP_TO } } else { SetKind::Interval };
    Set { name: name.into(), kind, elements: Elements::Ports(ranges), origins }
}
