//! The shape for iptables and ip6tables: chains of our own in the tables raw and mangle of either family.
//!
//! Few sources become rules, many become ipsets. Ports never go into an ipset: that match wants the whole TCP header, and
//! a tiny first fragment got past it; multiport wants four bytes.

use std::collections::BTreeSet;

use super::admission::{Admissions, Grant, clip_origin};
use super::{MANGLE, RAW, TCP, block_rules, header, hidden_verdict, not_loopback, rule, source, to_this_host};
use crate::cluster::Site;
use crate::ir::{
    Addresses, Base, Chain, ChainKind, Elements, Family, Hook, Match, Policy, PortMatch, Rule, Ruleset, Set, Table,
    TcpFlags, Verdict, ours,
};
use crate::net::{Cidr, Interface, PortRange, Ports};

/// When to use ipsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetsMode {
    /// Above a few tens of sources.
    #[default]
    Auto,
    /// For every list of sources.
    Always,
    /// Never: one rule for each source.
    Never,
}

/// Up to so many sources, in all, stand in rules of their own.
pub(super) const MANY_SOURCES: usize = 32;
/// What one multiport match takes; a range counts two (iptables-extensions(8)).
const MULTIPORT_SLOTS: usize = 15;
/// The longest name of an ipset: IPSET_MAXNAMELEN (linux/netfilter/ipset/ip_set.h) without the end mark, less the one
/// character that tells the set being filled from the one in use.
const LONGEST_SET_NAME: usize = 31 - 1;

const DOOR: &str = ours::CHAIN;
const ADMIT: &str = "RINGFENCE-ADMIT";
const BLOCK: &str = "RINGFENCE-BLOCK";
const HIDDEN: &str = "RINGFENCE-HIDDEN";
const TO_THIS_HOST: &str = "RINGFENCE-TO-THIS-HOST";
const NEW: &str = "RINGFENCE-NEW";
const TRANSLATED: &str = "RINGFENCE-TRANSLATED";
const ADMIT_TRANSLATED: &str = "RINGFENCE-ADMIT-WIRE";

/// The rulesets of a site for iptables (tables of family `ip`) and ip6tables (`ip6`), and the ipsets that they use.
#[must_use]
pub fn iptables(site: &Site<'_>, mode: SetsMode) -> Ruleset {
    let mut admissions = Admissions::of(site);
    let use_sets = match mode {
        SetsMode::Auto => admissions.source_count() > MANY_SOURCES,
        SetsMode::Always => true,
        SetsMode::Never => false,
    };
    let mut taken = BTreeSet::new();
    for set in admissions.grants.iter_mut().flat_map(|grant| &mut grant.sources).chain(&mut admissions.untrusted) {
        set.name = set_name(&set.name, &mut taken);
    }
    let families = [Family::Ip, Family::Ip6].into_iter();
    let tables = families.flat_map(|family| tables(site, &admissions, family, use_sets)).collect();
    let all = admissions.untrusted.into_iter().chain(admissions.grants.into_iter().flat_map(|grant| grant.sources));
    let sets = if use_sets { all.collect() } else { Vec::new() };
    Ruleset { header: header::lines(site), sets, tables, ..Ruleset::default() }
}

/// A name that ipset takes, and that no other set of the ruleset has. One that is too long keeps its end, which tells
/// families apart, and gets a checksum behind a `_`, where no short name has one.
fn set_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    short_name("ringfence", name, taken)
}

/// The same with something else in front.
pub(super) fn short_name(front: &str, name: &str, taken: &mut BTreeSet<String>) -> String {
    let full = format!("{front}-{name}");
    if full.len() <= LONGEST_SET_NAME && taken.insert(full.clone()) {
        return full;
    }
    let room = LONGEST_SET_NAME.saturating_sub(front.len() + 10);
    let end: String = full.chars().skip(full.len().saturating_sub(room)).collect();
    // FNV-1a, 32 bits. It can be made to collide, and then counts on.
    let mut sum = full.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    loop {
        let short = format!("{front}_{sum:08x}-{end}");
        if taken.insert(short.clone()) {
            return short;
        }
        sum = sum.wrapping_add(1);
    }
}

/// The two places of the guard. What raw is at prerouting, mangle is at input: the first table there.
fn tables(site: &Site<'_>, admissions: &Admissions, family: Family, use_sets: bool) -> [Table; 2] {
    let judge = || {
        [
            Chain::named(BLOCK, block_rules(site, port_matches)),
            Chain::named(ADMIT, admit_rules(admissions, family, use_sets, port_matches)),
        ]
    };
    let mut raw = judge().to_vec();
    if family == Family::Ip6 {
        raw.push(Chain::named(HIDDEN, hidden_rules(site)));
    }
    let one_by_one = |networks: &[Cidr]| {
        let own = networks.iter().filter(|network| network.is_ipv4() == (family == Family::Ip));
        own.map(|network| Elements::of_networks(&[*network])).collect()
    };
    raw.push(Chain::named(NEW, new_rules()));
    raw.push(Chain::named(TO_THIS_HOST, to_this_host(site, NEW, one_by_one)));
    raw.push(Chain::named(DOOR, prerouting_rules(&admissions.protected, family)));
    raw.push(shared_chain("PREROUTING", Hook::Prerouting, RAW));
    let mut mangle = judge().to_vec();
    if site.translates() {
        let judged = admit_rules(admissions, family, use_sets, original_port_matches);
        mangle.push(Chain::named(ADMIT_TRANSLATED, judged));
        mangle.push(Chain::named(TRANSLATED, translated_rules(&admissions.protected)));
    }
    mangle.push(Chain::named(DOOR, input_rules(&admissions.protected, site)));
    mangle.push(shared_chain("INPUT", Hook::Input, MANGLE));
    let table = |name: &str, chains| Table { family, name: name.into(), legacy: false, sets: Vec::new(), chains };
    [table("raw", raw), table("mangle", mangle)]
}

fn shared_chain(name: &str, hook: Hook, priority: i32) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept, shared: true };
    Chain { base: Some(base), ..Chain::named(name, vec![rule(Vec::new(), Verdict::Jump(DOOR.into()))]) }
}

fn prerouting_rules(protected: &Ports, family: Family) -> Vec<Rule> {
    let mut rules = Vec::new();
    if family == Family::Ip6 {
        let first = vec![not_loopback(), Match::FirstFragment];
        rules.push(rule(first, Verdict::Jump(HIDDEN.into())).comment("isolation: IPv6 first fragments"));
    }
    for ports in port_matches(protected) {
        let comment = "isolation: port as on the wire";
        rules.push(rule(vec![not_loopback(), ports], Verdict::Jump(TO_THIS_HOST.into())).comment(comment));
    }
    rules
}

/// The flags are tested last: the tcp match throws away whatever is too short for a whole TCP header, and a tiny first
/// fragment for somebody else is not ours to drop.
fn new_rules() -> Vec<Rule> {
    let new = Match::TcpFlags { mask: TcpFlags::SYN.with(TcpFlags::ACK), value: TcpFlags::SYN };
    vec![rule(vec![new], Verdict::Jump(ADMIT.into())).comment("isolation: new connections")]
}

/// One range a rule is all that the conntrack match takes.
fn original_port_matches(ports: &Ports) -> Vec<Match> {
    let one = |range: &PortRange| Match::OriginalPort(PortMatch::Ports([*range].into_iter().collect()));
    ports.ranges().iter().map(one).collect()
}

fn translated_rules(protected: &Ports) -> Vec<Rule> {
    let judged = original_port_matches(protected).into_iter().map(|port| vec![port]);
    judged.map(|matches| rule(matches, Verdict::Goto(ADMIT_TRANSLATED.into()))).collect()
}

fn input_rules(protected: &Ports, site: &Site<'_>) -> Vec<Rule> {
    let translated = site.translates().then(|| {
        let tcp = Match::Protocol { number: TCP, negated: false };
        let matches = vec![not_loopback(), tcp, Match::DestinationTranslated];
        rule(matches, Verdict::Jump(TRANSLATED.into())).comment("isolation: translated, port as on the wire")
    });
    let judged = port_matches(protected).into_iter().map(|ports| vec![not_loopback(), ports]);
    let comment = "isolation: every segment, port as the socket sees it";
    let doors = judged.map(|matches| rule(matches, Verdict::Jump(ADMIT.into())).comment(comment));
    translated.into_iter().chain(doors).collect()
}

/// A fragment whose headers end before the transport header matches neither test and falls through to the drop.
fn hidden_rules(site: &Site<'_>) -> Vec<Rule> {
    let any = PortRange::new(1, u16::MAX).into_iter().collect();
    vec![
        rule(vec![Match::Protocol { number: TCP, negated: true }], Verdict::Return),
        rule(vec![Match::DestinationPort { ports: PortMatch::Ports(any), negated: false }], Verdict::Return),
        rule(Vec::new(), hidden_verdict(site)).comment("isolation: first fragment without a transport header"),
    ]
}

fn admit_rules(admissions: &Admissions, family: Family, use_sets: bool, ports: fn(&Ports) -> Vec<Match>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let own = |set: &&Set| match set.elements {
        Elements::Ipv4(_) => family == Family::Ip,
        Elements::Ipv6(_) => family == Family::Ip6,
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            false
        }
    };
    for set in admissions.untrusted.iter().filter(own) {
        for (source, origin) in source_matches(set, use_sets) {
            let comment = clip_origin("isolation: ", origin.unwrap_or("untrusted beats all"));
            rules.push(rule(vec![source], Verdict::Goto(BLOCK.into())).comment(comment));
        }
    }
    for grant in &admissions.grants {
        for (set, of_set) in grant.commented().filter(|(set, _)| own(set)) {
            for (interface, ports) in doors(grant, ports) {
                for (source, origin) in source_matches(set, use_sets) {
                    let comment = match origin {
                        Some(origin) => clip_origin(&format!("reachability: {}: ", grant.what), origin),
                        None => of_set.clone(),
                    };
                    let matches = interface.iter().cloned().chain([source, ports.clone()]).collect();
                    rules.push(rule(matches, Verdict::Return).comment(comment));
                }
            }
        }
    }
    rules.push(rule(Vec::new(), Verdict::Goto(BLOCK.into())).comment("isolation: everyone else"));
    rules
}

/// Every interface with every match on ports: iptables takes one interface and fifteen ports a rule.
fn doors(grant: &Grant, ports: fn(&Ports) -> Vec<Match>) -> Vec<(Option<Match>, Match)> {
    let on = |name: &Interface| Some(Match::InInterface { names: vec![name.clone()], negated: false });
    let interfaces: Vec<Option<Match>> = match &grant.interfaces {
        None => vec![None],
        Some(names) => names.iter().map(on).collect(),
    };
    let ports = ports(&grant.ports);
    interfaces.into_iter().flat_map(|i| ports.iter().map(move |p| (i.clone(), p.clone()))).collect()
}

/// The set, or its elements one by one with where each comes from.
fn source_matches(set: &Set, use_sets: bool) -> Vec<(Match, Option<&str>)> {
    if use_sets {
        return vec![(source(Addresses::Set(set.name.clone())), None)];
    }
    let origins = set.origins.iter().map(|origin| Some(origin.as_str())).chain(std::iter::repeat(None));
    let networks = set.elements.networks();
    networks.into_iter().zip(origins).map(|(net, origin)| (source(Addresses::network(net)), origin)).collect()
}

/// Matches on all the ports together, each as wide as multiport takes.
pub(super) fn port_matches(ports: &Ports) -> Vec<Match> {
    let mut chunks: Vec<Vec<PortRange>> = Vec::new();
    let mut used = MULTIPORT_SLOTS;
    for &range in ports.ranges() {
        let slots = if range.count() == 1 { 1 } else { 2 };
        if used + slots > MULTIPORT_SLOTS {
            chunks.push(Vec::new());
            used = 0;
        }
        used += slots;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(range);
        }
    }
    let one = |chunk: Vec<PortRange>| Match::DestinationPort {
        ports: PortMatch::Ports(chunk.into_iter().collect()),
        negated: false,
    };
    chunks.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_fit_and_differ() {
        let mut taken = BTreeSet::new();
        assert_eq!(set_name("peers4", &mut taken), "ringfence-peers4");
        let long = "a-service-with-a-very-long-name_clients_nets";
        let [v4, again, v6] = ["4", "4", "6"].map(|family| set_name(&format!("{long}{family}"), &mut taken));
        assert_ne!(v4, again);
        // What a checksum makes of one name, another service may be called.
        let forged = v4.replace("ringfence_", "");
        assert_ne!(set_name(&forged, &mut BTreeSet::new()), v4);
        assert_eq!((v4.len(), v6.len()), (LONGEST_SET_NAME, LONGEST_SET_NAME));
        assert_ne!(v4, v6);
        assert!(v4.ends_with("nets4"), "{v4}");
    }

    #[test]
    fn a_multiport_match_takes_fifteen() {
        let ports: Ports = (0..20u16).filter_map(|n| PortRange::new(n * 10 + 1, n * 10 + 1 + n % 2)).collect();
        let slots = |m: &Match| match m {
            Match::DestinationPort { ports: PortMatch::Ports(p), .. } => {
                p.ranges().iter().map(|r| if r.count() == 1 { 1 } else { 2 }).sum::<usize>()
            }
            _ => panic!("not ports"),
        };
        let matches = port_matches(&ports);
        assert!(matches.iter().all(|m| slots(m) <= MULTIPORT_SLOTS));
        assert_eq!(matches.iter().map(slots).sum::<usize>(), 30);
        assert_eq!(matches.len(), 2);
    }
}
