//! The shape for nf_tables: one `inet` table of our own.

use super::admission::{Admissions, Grant, clip_origin};
use super::{FIRST_AT_INPUT, RAW, TCP, block_rules, header, hidden_verdict, not_loopback, rule, source, to_this_host};
use crate::cluster::{Node, Site};
use crate::ir::{
    Addresses, Base, Chain, ChainKind, Elements, Family, Hook, Match, Policy, PortBlock, PortMatch, Rule, Ruleset, Set,
    SetKind, Table, TcpFlags, Verdict, ours,
};
use crate::net::{Cidr, Interface, Networks, PortRange, Ports};

/// Up to so many ports a set holds them one by one: an unrelated packet then pays less than a third of what ranges cost.
const SINGLE_PORTS_UP_TO: u32 = 1024;

/// So many blocks are tested one after the other, and blocks are merged while they stay at or below a sixteenth of all
/// ports: each block costs every packet a few nanoseconds.
const MOST_BLOCKS: usize = 3;
const NARROW_BLOCK_BITS: u8 = 4;

const MANY_BLOCKS: usize = 256;

/// Up to so many networks stand in rules of their own: each costs less than half of a lookup in an interval set.
const NETWORK_RULES_UP_TO: usize = 2;

/// Up to so many blocks the ports are compared one after the other at input: each costs some 10 ns, a lookup in a set with
/// the test of the protocol some 90.
const COMPARED_UP_TO: usize = 8;

const PROTECTED: &str = "protected";

/// The ruleset of a site for nf_tables.
#[must_use]
pub fn nft(site: &Site<'_>) -> Ruleset {
    let admissions = Admissions::of(site);
    let mut sets = vec![port_set(PROTECTED, &admissions.protected, site)];
    sets.extend(admissions.grants.iter().filter(|grant| grant.peers).map(|g| port_set(&g.port_set, &g.ports, site)));
    let mut chains = vec![
        Chain::named("block", block_rules(site, |ports| vec![ports_match(ports)])),
        Chain::named("admit", admit_rules(&admissions, AskedPort::AtSocket)),
        explained(
            "to_this_host",
            "Is the destination, as on the wire, this host's? What is not goes back and is left alone.",
            to_this_host(site, "admit", by_family),
        ),
        Chain::named("hidden", hidden_rules(site)),
        explained("judge", "TCP that did not come in over loopback is judged by its source.", judge_rules()),
    ];
    if site.translates() {
        chains.push(Chain::named("translated", admit_rules(&admissions, AskedPort::OnWire)));
    }
    let fast = fast_grants(&admissions, site);
    let remark = "Most of what comes to these ports is a peer's.";
    chains.extend(fast.iter().map(|(grant, _)| explained(&grant.chain, remark, peers_rules(grant))));
    chains.push(explained(
        "ports",
        "All protected ports: those that every peer may use, then the others.",
        ports_rules(&admissions, &fast),
    ));
    chains.push(base_chain("prerouting", Hook::Prerouting, RAW, prerouting_rules(&admissions.protected), site));
    chains.push(base_chain("input", Hook::Input, FIRST_AT_INPUT, input_rules(&admissions.protected, site), site));
    let sources = admissions.grants.into_iter().flat_map(|grant| grant.sources);
    sets.extend(admissions.untrusted.into_iter().chain(sources).filter(|set| !stands_in_rules(set)));
    let table = Table { family: Family::Inet, name: ours::TABLE.into(), legacy: false, sets, chains };
    Ruleset { header: header::lines(site), tables: vec![table], ..Ruleset::default() }
}

fn base_chain(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>, site: &Site<'_>) -> Chain {
    let blocks: Vec<String> = blocks(&site.protected())
        .iter()
        .filter(|block| block.bits > 0)
        .map(|block| match (block.first, block.last()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect();
    let mut remarks = Vec::new();
    if !blocks.is_empty() {
        remarks.push(format!(
            "`@th` looks at the destination port: is it within {}? It only spares all",
            blocks.join(" or ")
        ));
        remarks.push("other packets the tests behind it, which decide.".to_owned());
    }
    if hook == Hook::Prerouting {
        remarks.push("`@th,96,32` looks at the TCP flags: ACK is not set, and SYN is.".to_owned());
    }
    Chain {
        base: Some(Base { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept, shared: false }),
        remarks,
        ..Chain::named(name, rules)
    }
}

fn explained(name: &str, remark: &str, rules: Vec<Rule>) -> Chain {
    Chain { remarks: vec![remark.to_owned()], ..Chain::named(name, rules) }
}

fn by_family(networks: &[Cidr]) -> Vec<Elements> {
    let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.iter().partition(|network| network.is_ipv4());
    [v4, v6].iter().filter(|list| !list.is_empty()).map(|list| Elements::of_networks(list)).collect()
}

fn protected() -> Match {
    Match::DestinationPort { ports: PortMatch::Set(PROTECTED.into()), negated: false }
}

/// The tests stand in the order in which they settle the most packets at the least cost: most leave at the block, the
/// data segments among the others at the flags.
fn prerouting_rules(ports: &Ports) -> Vec<Rule> {
    // Together with the test of the port, which implies TCP: SYN without ACK.
    let no_ack = Match::FlagBit { flag: TcpFlags::ACK, set: false };
    let syn = Match::FlagBit { flag: TcpFlags::SYN, set: true };
    let mut rules: Vec<Rule> = block_matches(ports)
        .into_iter()
        .map(|block| {
            let judged = block.into_iter().chain([no_ack.clone(), syn.clone(), protected(), not_loopback()]);
            rule(judged.collect(), Verdict::Jump("to_this_host".into()))
                .comment("isolation: new connections, port as on the wire")
        })
        .collect();
    // An IPv6 header that TCP follows directly has no fragment header, and need not be searched for one.
    let first = vec![Match::NotDirectlyTcp, Match::FirstFragment, not_loopback()];
    rules.push(rule(first, Verdict::Jump("hidden".into())).comment("isolation: IPv6 first fragments"));
    rules
}

/// Which port of a packet decides on who is admitted.
#[derive(Clone, Copy)]
enum AskedPort {
    /// The one that it has at input.
    AtSocket,
    /// The one that its connection began with.
    OnWire,
}

impl AskedPort {
    /// nft takes the port of a connection for one only where the rule says of which protocol.
    fn tests(self, ports: PortMatch) -> Vec<Match> {
        match self {
            Self::AtSocket => vec![Match::DestinationPort { ports, negated: false }],
            Self::OnWire => vec![Match::Protocol { number: TCP, negated: false }, Match::OriginalPort(ports)],
        }
    }
}

fn input_rules(ports: &Ports, site: &Site<'_>) -> Vec<Rule> {
    let translated = site.translates().then(|| {
        let original = Match::OriginalPort(PortMatch::Set(PROTECTED.into()));
        let tcp = Match::Protocol { number: TCP, negated: false };
        let matches = vec![tcp, Match::DestinationTranslated, original, not_loopback()];
        rule(matches, Verdict::Jump("translated".into())).comment("isolation: translated, port as on the wire")
    });
    let comment = "isolation: every segment, port as the socket sees it";
    let jump = |block: Option<Match>| rule(block.into_iter().collect(), Verdict::Jump("ports".into())).comment(comment);
    translated.into_iter().chain(block_matches(ports).into_iter().map(jump)).collect()
}

/// The peers, if data from them may pass before anything else is asked: none of them is untrusted. Each with the ports that lead to
/// them: of a port that several clusters have in common those of the first are asked for first, and then everybody.
fn fast_grants<'g>(admissions: &'g Admissions, site: &Site<'_>) -> Vec<(&'g Grant, Ports)> {
    let untrusted: Networks = site.cluster().untrusted().iter().map(|source| source.network).collect();
    let nodes = site.cluster().nodes().iter().flat_map(Node::addresses);
    let trusted = nodes.into_iter().all(|(address, _)| !untrusted.overlaps(Cidr::host(address)));
    let mut rest = admissions.protected.clone();
    let mut fast = Vec::new();
    for grant in admissions.grants.iter().filter(|grant| grant.peers && trusted) {
        let left = rest.without(&grant.ports);
        fast.push((grant, rest.without(&left)));
        rest = left;
    }
    fast
}

/// Where a segment goes by its port. What is none of ours falls through.
fn ports_rules(admissions: &Admissions, fast: &[(&Grant, Ports)]) -> Vec<Rule> {
    let others = fast.iter().fold(admissions.protected.clone(), |rest, (_, ports)| rest.without(ports));
    let of_peers = fast.iter().map(|(grant, ports)| (aligned(ports), grant.chain.as_str()));
    let blocks: Vec<(Vec<PortBlock>, &str)> = of_peers.chain([(aligned(&others), "judge")]).collect();
    let goto = |matches: Vec<Match>, chain: &str| rule(matches, Verdict::Goto(chain.into()));
    if blocks.iter().map(|(blocks, _)| blocks.len()).sum::<usize>() <= COMPARED_UP_TO {
        let compared = |(blocks, chain): (Vec<PortBlock>, &str)| {
            let one = |block| goto(vec![Match::PortBlock(block)], chain);
            blocks.into_iter().map(one).collect::<Vec<Rule>>()
        };
        return blocks.into_iter().flat_map(compared).collect();
    }
    let of = |set: &str| vec![Match::DestinationPort { ports: PortMatch::Set(set.into()), negated: false }];
    let peers = fast.iter().map(|(grant, _)| goto(of(&grant.port_set), &grant.chain));
    peers.chain([goto(of(PROTECTED), "judge")]).collect()
}

/// The ports as blocks, exactly.
fn aligned(ports: &Ports) -> Vec<PortBlock> {
    let mut blocks = Vec::new();
    for range in ports.ranges() {
        let mut from = Some(range.first());
        while let Some(first) = from {
            let fits = |block: &PortBlock| first & !block.mask() == 0 && block.last() <= range.last();
            let widest = (0..=16).map(|bits| PortBlock { first, bits }).find(fits);
            let block = widest.unwrap_or(PortBlock { first, bits: 16 });
            blocks.push(block);
            from = block.last().checked_add(1).filter(|next| *next <= range.last());
        }
        // Nobody compares that many one by one.
        if blocks.len() > MANY_BLOCKS {
            break;
        }
    }
    blocks
}

/// What most packets to protected ports are: a peer's. Whatever the protocol and the interface, they are left alone; only
/// what is none of theirs needs a closer look.
fn peers_rules(grant: &Grant) -> Vec<Rule> {
    let commented = grant.commented();
    let sources = commented
        .flat_map(|(set, comment)| source_matches(set).into_iter().map(move |(one, _)| (one, comment.clone())));
    let admitted = sources.map(|(source, comment)| {
        let matches = interface_match(grant).into_iter().chain([source]).collect();
        rule(matches, Verdict::Return).comment(comment)
    });
    let others = rule(Vec::new(), Verdict::Goto("judge".into())).comment("isolation: everyone else");
    admitted.chain([others]).collect()
}

/// TCP that did not come in over loopback.
fn judge_rules() -> Vec<Rule> {
    let loopback = Match::InInterface { names: vec![Interface::loopback()], negated: false };
    vec![
        rule(vec![Match::Protocol { number: TCP, negated: true }], Verdict::Return),
        rule(vec![loopback], Verdict::Return),
        rule(Vec::new(), Verdict::Goto("admit".into())),
    ]
}

/// One test for each block of ports that has to be looked at closely; `None` where that is every port.
fn block_matches(ports: &Ports) -> Vec<Option<Match>> {
    blocks(ports).into_iter().map(|block| Some(Match::PortBlock(block)).filter(|_| block.bits > 0)).collect()
}

/// A few disjoint blocks that hold all the ports. A test on a block is one masked comparison, where the lookup in the
/// set of ports costs some 90 ns; a packet to a port outside of the blocks is spared the lookup.
fn blocks(ports: &Ports) -> Vec<PortBlock> {
    let mut blocks: Vec<PortBlock> =
        ports.ranges().iter().map(|range| PortBlock::around(range.first(), range.last())).collect();
    if blocks.len() > MANY_BLOCKS {
        // Only a few will be left; thousands of them begin coarse, or merging takes seconds.
        for block in &mut blocks {
            *block = PortBlock::around(block.first & 0xff00, block.last() | 0x00ff);
        }
        blocks.dedup();
    }
    // Blocks are nested or apart, and sorted, so that only neighbours have to be compared.
    loop {
        let merged = |pair: &[PortBlock]| match pair {
            [a, b] => {
                Some(PortBlock::around(a.first.min(b.first), a.last().max(b.last()))).map(|c| (c == *a || c == *b, c))
            }
            _ => None,
        };
        let pairs = blocks.windows(2).enumerate().filter_map(|(at, pair)| Some((merged(pair)?, at)));
        let Some(((nested, block), at)) = pairs.max_by_key(|((nested, block), _)| (*nested, block.bits)) else {
            break;
        };
        if !nested && blocks.len() <= MOST_BLOCKS && block.bits < NARROW_BLOCK_BITS {
            break;
        }
        blocks.splice(at..at + 2, [block]);
    }
    // Tests that most packets pass are not worth their cost.
    let covered: u32 = blocks.iter().map(|block| 1 << (16 - u32::from(block.bits))).sum();
    if covered > 1 << 15 { vec![PortBlock { first: 0, bits: 0 }] } else { blocks }
}

/// A test on a header that is not there fails, so a fragment without one falls through to the drop.
fn hidden_rules(site: &Site<'_>) -> Vec<Rule> {
    let any = PortRange::new(1, u16::MAX).into_iter().collect();
    vec![
        rule(vec![Match::Protocol { number: TCP, negated: true }], Verdict::Return),
        rule(vec![Match::DestinationPort { ports: PortMatch::Ports(any), negated: false }], Verdict::Return),
        rule(Vec::new(), hidden_verdict(site))
            .with_counter()
            .comment("isolation: first fragment without a transport header"),
    ]
}

fn admit_rules(admissions: &Admissions, asked: AskedPort) -> Vec<Rule> {
    let mut rules = Vec::new();
    for set in &admissions.untrusted {
        for (source, origin) in source_matches(set) {
            let comment = clip_origin("isolation: ", origin.unwrap_or("untrusted beats all"));
            rules.push(rule(vec![source], Verdict::Goto("block".into())).comment(comment));
        }
    }
    for grant in &admissions.grants {
        let commented = grant.commented();
        let sources =
            commented.flat_map(|(set, own)| source_matches(set).into_iter().map(move |one| (one, own.clone())));
        for ((source, origin), own) in sources {
            let comment = match origin {
                Some(origin) => clip_origin(&format!("reachability: {}: ", grant.what), origin),
                None => own,
            };
            let mut matches = interface_match(grant);
            // What is cheaper or fails more often comes first.
            if grant.peers {
                matches.push(source);
                matches.extend(asked.tests(PortMatch::Set(grant.port_set.clone())));
            } else {
                matches.extend(asked.tests(PortMatch::Ports(grant.ports.clone())));
                matches.push(source);
            }
            rules.push(rule(matches, Verdict::Return).comment(comment));
        }
    }
    rules.push(rule(Vec::new(), Verdict::Goto("block".into())).comment("isolation: everyone else"));
    rules
}

fn stands_in_rules(set: &Set) -> bool {
    set.kind == SetKind::Interval && set.elements.len() <= NETWORK_RULES_UP_TO
}

/// The set, or its networks one by one with where each comes from.
fn source_matches(set: &Set) -> Vec<(Match, Option<&str>)> {
    if !stands_in_rules(set) {
        return vec![(source(Addresses::Set(set.name.clone())), None)];
    }
    let origins = set.origins.iter().map(|origin| Some(origin.as_str())).chain(std::iter::repeat(None));
    let networks = set.elements.networks();
    networks.into_iter().zip(origins).map(|(net, origin)| (source(Addresses::network(net)), origin)).collect()
}

fn interface_match(grant: &Grant) -> Vec<Match> {
    let names = grant.interfaces.iter().cloned();
    names.map(|names| Match::InInterface { names, negated: false }).collect()
}

fn ports_match(ports: &Ports) -> Match {
    Match::DestinationPort { ports: PortMatch::Ports(ports.clone()), negated: false }
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
    let kind = if singly { SetKind::Hash { size: Some(SINGLE_PORTS_UP_TO) } } else { SetKind::Interval };
    Set { name: name.into(), kind, elements: Elements::Ports(ranges), origins }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_of(texts: &[&str]) -> Vec<(u16, u16)> {
        let ports: Ports = texts.iter().map(|text| text.parse::<PortRange>().unwrap()).collect();
        let blocks = blocks(&ports);
        for port in ports.each() {
            assert_eq!(blocks.iter().filter(|b| (b.first..=b.last()).contains(&port)).count(), 1, "{port} {texts:?}");
        }
        blocks.iter().map(|block| (block.first, block.last())).collect()
    }

    #[test]
    fn blocks_are_few_disjoint_and_hold_every_port() {
        assert_eq!(blocks_of(&["4369", "6000-6009", "8087", "8098-8099"]), [(4096, 8191)]);
        assert_eq!(blocks_of(&["4369", "8098-8099", "40000-40099"]), [(4096, 8191), (39936, 40191)]);
        assert_eq!(blocks_of(&["4369", "5671-5672", "15672", "25672"]), [(4096, 6143), (15672, 15672), (25672, 25672)]);
        assert_eq!(blocks_of(&["1", "65535"]), [(1, 1), (65535, 65535)]);
        assert_eq!(blocks_of(&["1-65535"]), [(0, 65535)]);
        assert_eq!(blocks_of(&["1", "9000", "20000", "30000", "40000", "50000", "60000"]), [(0, 65535)]);
        assert_eq!(blocks_of(&["1", "900", "2000", "9000", "9500", "40000"]).len(), 3);
        assert_eq!(blocks_of(&["100-300", "32000-33000", "40000"]), [(0, 65535)]);
        let odd: Vec<String> = (1..=65535u16).step_by(2).map(|port| port.to_string()).collect();
        assert_eq!(blocks_of(&odd.iter().map(String::as_str).collect::<Vec<_>>()), [(0, 65535)]);
    }
}
