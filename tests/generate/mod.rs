//! Random rulesets, and packets that go to the edges of what their rules test.
//!
//! Everything comes out of a seed: what failed once, fails again. A [`Scope`] says what to draw from, so that the same
//! generator serves a kernel, which refuses some rulesets, and a model that has only a few bits for each field.

// Each test that includes this module uses its own part of it.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence::ir::{
    AddressTypes, Addresses, Base, Chain, ChainKind, Destined, DeviceName, Diversion, Elements, End, Endpoint,
    Endpoints, Family, Field, Foreign, Hook, Marked, Marking, Match, Part, Policy, PortBlock, PortMatch, Rule, Ruleset,
    Set, SetKind, Side, Statement, Table, TcpFlags, Tracking, Translation, Varying, Verdict,
};
use ringfence::net::{Interface, PortRange, Ports};
use ringfence::semantics::{Locality, Packet, Shape, TCP};

/// Sets of elements of several parts.
const SEVERAL: [(&str, &[Part]); 5] = [
    ("endpoints", &[Part::Address, Part::Port]),
    ("triples", &[Part::Address, Part::Port, Part::Address]),
    ("pairs", &[Part::Address, Part::Address]),
    ("by-interface", &[Part::Address, Part::Interface]),
    ("macs", &[Part::Address, Part::Mac]),
];

/// Numbers that only look random (SplitMix64: Steele, Lea and Flood, 2014).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// Holds that many times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn within(&mut self, (first, last): (u128, u128)) -> u128 {
        let wide = u128::from(self.bits()) << 64 | u128::from(self.bits());
        match (last - first).checked_add(1) {
            Some(count) => first + wide % count,
            None => wide,
        }
    }
}

/// What rules and packets are drawn from.
#[derive(Clone)]
pub struct Scope {
    /// Most addresses lie in here.
    pub v4: (u32, u32),
    /// The same; `None` for a world without IPv6.
    pub v6: Option<(u128, u128)>,
    /// All ports lie in here.
    pub ports: (u16, u16),
    /// The interfaces that rules name, and one that they may not.
    pub interfaces: Vec<Interface>,
    /// The protocols that rules name.
    pub protocols: Vec<u8>,
    /// The flags that rules test.
    pub flags: u8,
    /// Whether addresses go to the ends of all there are.
    pub edges: bool,
    /// Whether rules look at how much of a packet's headers is there.
    pub headers: bool,
    /// Destinations that rules name.
    pub destinations: Vec<IpAddr>,
    /// Whether rules have what nobody understands.
    pub unknowns: bool,
    /// Whether rules do more than to decide and to count.
    pub statements: bool,
    /// Whether rules ask what only rules of others ask.
    pub foreign: bool,
    /// Everything that comes in here is accepted by every base chain.
    pub exempt: Option<Interface>,
}

pub fn interface(name: &str) -> Interface {
    if name == "lo" { Interface::loopback() } else { name.parse().expect("an interface name") }
}

impl Scope {
    /// Everything that nft writes exactly and that needs no connection tracking.
    pub fn wide() -> Self {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().expect("an address").to_bits();
        let v6 = |text: &str| text.parse::<Ipv6Addr>().expect("an address").to_bits();
        Self {
            v4: (v4("10.20.0.0"), v4("10.20.0.255")),
            v6: Some((v6("2001:db8:20::"), v6("2001:db8:20::ff"))),
            ports: (0, u16::MAX),
            interfaces: ["eth1", "eth2", "lo", "wg0"].map(interface).to_vec(),
            protocols: vec![TCP, TCP, 17, 132],
            flags: 0xff,
            edges: true,
            headers: true,
            destinations: Vec::new(),
            unknowns: false,
            statements: false,
            foreign: false,
            exempt: None,
        }
    }

    /// Few enough packets to look at every one: see [`Scope::every_packet`].
    pub fn small() -> Self {
        let first = Ipv4Addr::new(10, 20, 0, 0).to_bits();
        Self {
            v4: (first, first + 63),
            v6: None,
            ports: (0, 63),
            interfaces: ["eth1", "eth2", "eth3"].map(interface).to_vec(),
            protocols: vec![TCP, 17],
            flags: TcpFlags::SYN.with(TcpFlags::ACK).0,
            edges: false,
            headers: false,
            ..Self::wide()
        }
    }

    /// A random ruleset for nft.
    pub fn ruleset(&self, random: &mut Random) -> Ruleset {
        const BASES: [(Hook, i32, &str); 9] = [
            (Hook::Prerouting, -300, "raw"),
            (Hook::Prerouting, -150, "early"),
            (Hook::Prerouting, -100, "translation"),
            (Hook::Prerouting, 0, "late"),
            (Hook::Input, -10, "input-early"),
            (Hook::Input, 0, "input"),
            (Hook::Output, 0, "output"),
            (Hook::Postrouting, 50, "leaving"),
            (Hook::Output, -100, "output-translation"),
        ];
        // What leaves is of matter to those alone who ask for it.
        let bases = if self.foreign { 9 } else { 6 };
        let tables = 1 + usize::from(random.chance(40));
        let table = |number: usize, random: &mut Random| {
            let sets = self.sets(random);
            let mut chains: Vec<Chain> = Vec::new();
            let mut names: Vec<String> = Vec::new();
            for user in 0..random.below(4) {
                // Only to chains that are there already: no circles.
                let rules = self.rules(random, &sets, &names, 6);
                let name = format!("user{user}");
                chains.push(Chain::named(&name, rules));
                names.push(name);
            }
            let sure = random.below(6);
            for (at, (hook, priority, name)) in BASES.into_iter().take(bases).enumerate() {
                if at != sure && !random.chance(25) {
                    continue;
                }
                let policy = if random.chance(30) { Policy::Drop } else { Policy::Accept };
                let translates = self.foreign && priority == -100 && random.chance(70);
                let kind = if translates { ChainKind::Nat } else { ChainKind::Filter };
                let base = Base { kind, hook, priority, policy, shared: false };
                let exempt = self.exempt.clone().map(|name| Rule {
                    matches: vec![Match::InInterface { names: vec![name], negated: false }],
                    verdict: Some(Verdict::Accept),
                    ..Rule::default()
                });
                let rules = exempt.into_iter().chain(self.rules(random, &sets, &names, 6)).collect();
                chains.push(Chain { base: Some(base), ..Chain::named(name, rules) });
            }
            Table { family: Family::Inet, name: format!("table{number}"), legacy: false, sets, chains }
        };
        Ruleset { tables: (0..tables).map(|number| table(number, random)).collect(), ..Ruleset::default() }
    }

    fn sets(&self, random: &mut Random) -> Vec<Set> {
        let mut sets = Vec::new();
        let set = |name: &str, kind, elements| Set { name: name.into(), kind, elements, origins: Vec::new() };
        sets.push(set("networks4", SetKind::Interval, self.elements4(random, 5)));
        let hosts = (0..=random.below(4)).map(|_| self.single4(random)).collect();
        sets.push(set("hosts4", SetKind::Hash { size: random.chance(50).then_some(64) }, Elements::ipv4(hosts)));
        if let Some(v6) = self.v6 {
            sets.push(set("networks6", SetKind::Interval, self.elements6(random, v6, 5)));
            let hosts = (0..=random.below(4)).map(|_| single(random.within(v6))).collect();
            sets.push(set("hosts6", SetKind::Hash { size: None }, Elements::ipv6(hosts)));
        }
        let ports = Elements::Ports(self.port_list(random, 4).ranges().to_vec());
        sets.push(set("ports", SetKind::Interval, ports));
        if !self.foreign {
            return sets;
        }
        // No dialect writes it.
        for (name, parts) in SEVERAL {
            sets.push(set(name, SetKind::Interval, Elements::Endpoints(self.endpoints(random, parts))));
        }
        let passing = self.endpoints(random, SEVERAL[1].1);
        sets.push(set("passing-pairs", SetKind::Interval, Elements::Endpoints(passing).passing()));
        // Elements that may be gone, and lists of sets.
        sets.push(set("passing4", SetKind::Interval, self.elements4(random, 4).passing()));
        if let Some(v6) = self.v6 {
            sets.push(set("passing6", SetKind::Interval, self.elements6(random, v6, 4).passing()));
            let (v4, v6) = (self.elements4(random, 3), self.elements6(random, v6, 3));
            if let (Elements::Ipv4(v4), Elements::Ipv6(v6)) = (v4, v6) {
                let dual = Elements::Dual(v4, v6);
                sets.push(set("dual", SetKind::Interval, dual.clone()));
                sets.push(set("passing", SetKind::Interval, dual.passing()));
            }
        }
        sets
    }

    /// Elements of several parts, of IPv4.
    fn endpoints(&self, random: &mut Random, parts: &[Part]) -> Endpoints {
        let row = |random: &mut Random, port| {
            let addresses = parts.iter().filter(|part| **part == Part::Address);
            Endpoint {
                addresses: addresses.map(|_| self.elements4(random, 2)).collect(),
                port: parts.contains(&Part::Port).then_some(port),
                interface: parts.contains(&Part::Interface).then(|| match random.chance(30) {
                    true => DeviceName::Begins("eth".into()),
                    false => DeviceName::Is(random.pick(&self.interfaces).clone()),
                }),
                others: Vec::new(),
            }
        };
        Endpoints { parts: parts.to_vec(), rows: [80, 8098].map(|port| row(random, port)).to_vec() }
    }

    fn single4(&self, random: &mut Random) -> (u32, u32) {
        single(random.within((self.v4.0.into(), self.v4.1.into())) as u32)
    }

    fn elements4(&self, random: &mut Random, most: usize) -> Elements {
        let pool = (self.v4.0.into(), self.v4.1.into());
        let one = |random: &mut Random| self.range(random, pool, 32);
        let list = (0..=random.below(most)).map(|_| one(random)).map(|(a, b)| (a as u32, b as u32)).collect();
        Elements::ipv4(list)
    }

    fn elements6(&self, random: &mut Random, pool: (u128, u128), most: usize) -> Elements {
        Elements::ipv6((0..=random.below(most)).map(|_| self.range(random, pool, 128)).collect())
    }

    /// A host, a network, or a range that is neither; at times up to an end of all addresses.
    fn range(&self, random: &mut Random, pool: (u128, u128), width: u32) -> (u128, u128) {
        let highest = u128::MAX >> (128 - width);
        let (a, b) = (random.within(pool), random.within(pool));
        match random.below(12) {
            0..=3 => (a, a),
            4..=6 => {
                let low = (1_u128 << random.below(7)) - 1;
                ((a & !low).max(pool.0), (a | low).min(pool.1))
            }
            7 if self.edges => (0, a),
            8 if self.edges => (a, highest),
            // A network far wider than the pool, aligned.
            9 if self.edges => {
                let low = (1_u128 << (width / 4 + random.below(width as usize / 2) as u32)) - 1;
                (a & !low, a | low)
            }
            _ => (a.min(b), a.max(b)),
        }
    }

    fn port_list(&self, random: &mut Random, most: usize) -> Ports {
        let pool = (u128::from(self.ports.0.max(1)), u128::from(self.ports.1));
        let one = |random: &mut Random| {
            let usual = if pool.1 > 20_000 && random.chance(60) { (8080, 8111) } else { pool };
            let (a, b) = (random.within(usual) as u16, random.within(usual) as u16);
            if random.chance(50) { PortRange::single(a) } else { PortRange::new(a.min(b), a.max(b)) }
        };
        (0..=random.below(most)).filter_map(|_| one(random)).collect()
    }

    fn rules(&self, random: &mut Random, sets: &[Set], targets: &[String], most: usize) -> Vec<Rule> {
        (0..random.below(most + 1)).map(|_| self.rule(random, sets, targets)).collect()
    }

    /// A random rule that may jump to `targets`.
    pub fn rule(&self, random: &mut Random, sets: &[Set], targets: &[String]) -> Rule {
        let mut verdict = match random.below(10) {
            0..=2 => Some(Verdict::Accept),
            3..=5 => Some(Verdict::Drop),
            6 => Some(Verdict::Return),
            7 => None,
            8 => targets.first().map(|_| Verdict::Goto(random.pick(targets).clone())),
            _ => targets.first().map(|_| Verdict::Jump(random.pick(targets).clone())),
        };
        if self.unknowns && random.chance(12) {
            verdict = Some(Verdict::Unknown("queue".into()));
        }
        // A rule that always decides hides all that follow.
        let always = matches!(verdict, Some(Verdict::Jump(_))) || random.chance(5);
        let count = random.below(3) + usize::from(!always);
        let mut draft = Draft { scope: self, sets, ipv4: None, tcp: None };
        let matches = (0..count).filter_map(|_| draft.test(random)).collect();
        let counts = verdict.is_none() || random.chance(20);
        let mut statements: Vec<Statement> = counts.then_some(Statement::Counter(None)).into_iter().collect();
        if self.statements && random.chance(15) {
            statements.push(statement(random, sets));
        }
        if self.foreign && random.chance(12) {
            let kind = if random.chance(50) { Translation::Redirect } else { Translation::Destination };
            statements.push(Statement::Translate(kind, destined(random, kind)));
        }
        Rule { matches, statements, verdict, ..Rule::default() }
    }

    /// Something else than `ruleset` in one place, which may or may not mean something else.
    pub fn mutated(&self, random: &mut Random, ruleset: &Ruleset) -> Ruleset {
        let mut changed = ruleset.clone();
        let at = random.below(changed.tables.len());
        let table = &mut changed.tables[at];
        let at = random.below(table.chains.len());
        let earlier: Vec<String> =
            table.chains[..at].iter().filter(|chain| chain.base.is_none()).map(|chain| chain.name.clone()).collect();
        let fresh = self.rule(random, &table.sets, &earlier);
        let elements = self.elements4(random, 3);
        let chain = &mut table.chains[at];
        let place = random.below(chain.rules.len() + 1);
        match (random.below(7), chain.rules.get_mut(place)) {
            (0, Some(_)) => _ = chain.rules.remove(place),
            (1, Some(rule)) => *rule = fresh,
            (2, Some(rule)) => rule.matches.extend(fresh.matches),
            (3, Some(rule)) => _ = rule.matches.pop(),
            (4, Some(_)) if place > 0 => chain.rules.swap(place, place - 1),
            (5, _) => table.sets[0].elements = elements,
            _ => chain.rules.insert(place, fresh),
        }
        changed
    }

    /// A random packet, at the edges of what `points` knows.
    pub fn packet(&self, random: &mut Random, points: &Points) -> Packet {
        let ipv4 = self.v6.is_none() || random.chance(55);
        let near = random.chance(70);
        let source = match (ipv4, self.v6) {
            (false, Some(pool)) => {
                let far = points.v6.is_empty() || !near;
                Ipv6Addr::from_bits(if far { random.within(pool) } else { *random.pick(&points.v6) }).into()
            }
            _ => {
                let far = points.v4.is_empty() || !near;
                let bits = if far { self.single4(random).0 } else { *random.pick(&points.v4) };
                IpAddr::V4(bits.into())
            }
        };
        let mut packet = Packet::plain(source);
        packet.locality = if random.chance(85) { Locality::Local } else { Locality::Foreign };
        packet.interface = Some(random.pick(&self.interfaces).clone()).filter(|_| random.chance(85));
        if self.foreign && random.chance(30) {
            let others = ["eth7", "eth10", "ens3", "br-1", "lowpan0"];
            packet.interface = Some(interface(others[random.below(others.len())]));
        }
        packet.protocol = if random.chance(75) { TCP } else { *random.pick(&[17, 17, 132, 200]) };
        let any = random.within((self.ports.0.into(), self.ports.1.into())) as u16;
        packet.port = if points.ports.is_empty() || random.chance(20) { any } else { *random.pick(&points.ports) };
        if packet.protocol == TCP {
            let whole = [0x02, 0x10, 0x12, 0x18, 0x04, 0x00, random.bits() as u8, random.bits() as u8];
            packet.flags = TcpFlags(*random.pick(&whole));
        }
        if self.headers && random.chance(40) {
            let fitting: Vec<Shape> = Shape::ALL.into_iter().filter(|shape| shape.fits(ipv4)).collect();
            packet.shape = *random.pick(&fitting);
        }
        packet
    }

    /// Every packet of a small scope: whole TCP segments from each address, to each port, with each combination of the
    /// flags, on each interface and on one that no rule names, to this host and to another.
    pub fn every_packet(&self) -> Vec<Packet> {
        let mut all = Vec::new();
        let interfaces: Vec<_> = self.interfaces.iter().cloned().map(Some).chain([None]).collect();
        let flags: Vec<u8> = (0..=u8::MAX).filter(|flags| flags & !self.flags == 0).collect();
        for source in self.v4.0..=self.v4.1 {
            let plain = Packet::plain(IpAddr::V4(source.into()));
            for interface in &interfaces {
                for port in self.ports.0..=self.ports.1 {
                    for &flags in &flags {
                        for locality in [Locality::Local, Locality::Foreign] {
                            let (interface, flags) = (interface.clone(), TcpFlags(flags));
                            all.push(Packet { port, interface, flags, locality, ..plain.clone() });
                        }
                    }
                }
            }
        }
        all
    }
}

fn single<T: Copy>(one: T) -> (T, T) {
    (one, one)
}

/// A rule in the making. nft refuses a rule that asks for two families or two protocols at once.
/// Any statement.
fn statement(random: &mut Random, sets: &[Set]) -> Statement {
    let constant = random.chance(50);
    let write = |field| Statement::Write { field, constant };
    match random.below(18) {
        0 => Statement::Log("x".into()),
        1 => Statement::Note,
        2 => {
            let how = Marking::Bits { keep: u32::MAX << random.below(3), flip: random.below(4) as u32 };
            write(Field::Mark(if constant && random.chance(90) { how } else { Marking::Unknown }))
        }
        3 => write(Field::Connection),
        4 => write(Field::Header),
        5 => write(Field::Other("ip saddr set".into())),
        6 | 7 => Statement::NoTrack,
        8 => Statement::Track(Tracking::Zone),
        9 if constant => Statement::Track(Tracking::Expecting),
        9 => Statement::Track(Tracking::Detail),
        10 => Statement::Translate(Translation::Source, Destined::Unknown),
        11 => Statement::Translate(Translation::Destination, Destined::Unknown),
        12 | 13 if !sets.is_empty() => Statement::Update { set: random.pick(sets).name.clone() },
        14 => Statement::Divert(Diversion::Queue),
        15 => Statement::Divert(Diversion::FlowOffload),
        _ => Statement::Copy,
    }
}

/// Somewhere to lead packets to.
fn destined(random: &mut Random, kind: Translation) -> Destined {
    if random.chance(15) {
        return Destined::Unknown;
    }
    let single = |address: &str| address.parse::<IpAddr>().map(|own| (own, own)).ok();
    let addresses = match random.below(4) {
        _ if kind == Translation::Redirect => None,
        0 => single("10.20.0.1"),
        1 => single("172.17.0.2"),
        2 => single("127.0.0.1"),
        _ => None,
    };
    let port = 8080 + random.below(32) as u16;
    let ports = random.chance(75).then(|| (port, port + u16::from(random.chance(15))));
    Destined::To { addresses, ports }
}

struct Draft<'a> {
    scope: &'a Scope,
    sets: &'a [Set],
    ipv4: Option<bool>,
    tcp: Option<bool>,
}

impl Draft<'_> {
    fn test(&mut self, random: &mut Random) -> Option<Match> {
        let negated = random.chance(25);
        if self.scope.foreign && random.chance(35) {
            return self.foreign(random, negated).map(Match::Foreign);
        }
        match random.below(if self.scope.unknowns { 14 } else { 12 }) {
            0 => {
                let mut names: Vec<Interface> =
                    (0..=random.below(2)).map(|_| random.pick(&self.scope.interfaces).clone()).collect();
                names.sort();
                names.dedup();
                // It goes by its number, and so in no list of names.
                if names.len() > 1 {
                    names.retain(|name| *name != Interface::loopback());
                }
                Some(Match::InInterface { names, negated })
            }
            1..=3 => Some(Match::Source { addresses: self.addresses(random), negated }),
            4 => {
                let number = *random.pick(&self.scope.protocols);
                if !negated && self.tcp.is_some_and(|tcp| !tcp || number != TCP) {
                    return None;
                }
                if !negated {
                    self.tcp = Some(number == TCP);
                }
                Some(Match::Protocol { number, negated })
            }
            5 | 6 if self.takes_tcp() => {
                let ports = if random.chance(35) {
                    PortMatch::Set("ports".into())
                } else {
                    PortMatch::Ports(self.scope.port_list(random, 3))
                };
                Some(Match::DestinationPort { ports, negated })
            }
            7 if self.takes_tcp() => {
                let mask = loop {
                    let mask = random.bits() as u8 & self.scope.flags;
                    if mask != 0 {
                        break mask;
                    }
                };
                Some(Match::TcpFlags { mask: TcpFlags(mask), value: TcpFlags(random.bits() as u8 & mask) })
            }
            8 => {
                let (first, last) = self.scope.ports;
                let usual = if last > 20_000 { (8080, 8111) } else { (first.into(), last.into()) };
                let (a, b) = (random.within(usual) as u16, random.within(usual) as u16);
                // Behind a test for TCP a block of one port is read as a port.
                Some(Match::PortBlock(PortBlock::around(a, b ^ u16::from(a == b))))
            }
            9 => Some(Match::DestinationLocal),
            10 => self.header(random),
            11 if !self.scope.destinations.is_empty() => {
                let fitting = |address: &&IpAddr| self.ipv4.is_none_or(|ipv4| ipv4 == address.is_ipv4());
                let fitting: Vec<IpAddr> = self.scope.destinations.iter().filter(fitting).copied().collect();
                let address = *random.pick(&fitting);
                self.ipv4 = Some(address.is_ipv4());
                let addresses = match self.scope.foreign.then(|| random.below(4)) {
                    Some(0) => self.addresses(random),
                    // ipset has sets of ports.
                    Some(1) => Addresses::Set("ports".into()),
                    _ => Addresses::network(ringfence::net::Cidr::host(address)),
                };
                Some(Match::Destination { addresses, negated })
            }
            12 => Some(Match::Unknown("ct mark 1".into())),
            13 => Some(Match::Limit { per_minute: 10, burst: 5 }),
            _ => None,
        }
    }

    fn foreign(&mut self, random: &mut Random, negated: bool) -> Option<Foreign> {
        let side = if random.chance(60) { Side::In } else { Side::Out };
        Some(match random.below(10) {
            0 | 1 => {
                let begins = ["eth", "eth1", "wg", "br-", "lo", "e"];
                let begins = begins[random.below(begins.len())];
                let names = vec![
                    DeviceName::Begins(begins.to_owned()),
                    DeviceName::Is(random.pick(&self.scope.interfaces).clone()),
                ];
                Foreign::Device { side, names: names.into_iter().take(1 + random.below(2)).collect(), negated }
            }
            2 | 3 if self.takes_tcp() => {
                let ports = match random.below(3) {
                    0 => PortMatch::Ports([PortRange::new(1024, u16::MAX)].into_iter().flatten().collect()),
                    1 => PortMatch::Set("ports".into()),
                    _ => PortMatch::Ports(self.scope.port_list(random, 2)),
                };
                Foreign::SourcePort { ports, negated }
            }
            4 => {
                let of = if random.chance(70) { Marked::Packet } else { Marked::Connection };
                Foreign::Mark { of, mask: u32::MAX, value: random.below(2) as u32, negated }
            }
            5 => {
                let end = if random.chance(80) { End::Destination } else { End::Source };
                Foreign::Translated { end, negated }
            }
            6 if random.chance(60) => {
                let names = SEVERAL.map(|(name, _)| name).into_iter().chain(["passing-pairs", "ports", "hosts4"]);
                let set = random.pick(&names.collect::<Vec<_>>()).to_string();
                let ends =
                    (0..2 + random.below(2)).map(|_| if random.chance(50) { End::Source } else { End::Destination });
                Foreign::Endpoint { set, ends: ends.collect(), negated }
            }
            6 => Foreign::Direction { reply: negated },
            7 if random.chance(50) => match random.below(4) {
                0 => {
                    let all = [Varying::Amount, Varying::Connection, Varying::RateOfEach, Varying::SocketWithMark];
                    Foreign::Varies { on: all[random.below(all.len())], text: String::new() }
                }
                1 => Foreign::PartOfVrf { name: DeviceName::Is(random.pick(&self.scope.interfaces).clone()), negated },
                _ => Foreign::Group { side, group: [0, 7][random.below(2)], negated },
            },
            7 => Foreign::DestinationType { types: AddressTypes(1 << random.below(6)), negated },
            8 | 9 if random.chance(30) => Foreign::LaterFragment { negated },
            8 | 9 if random.chance(50) => {
                Foreign::SourceType { types: AddressTypes(1 + random.below(63) as u8), negated }
            }
            8 | 9 if random.chance(50) => Foreign::WayBack { same_interface: true, missing: !negated },
            _ => Foreign::ExtensionHeader("rt type 0".into()),
        })
    }

    fn takes_tcp(&mut self) -> bool {
        let takes = self.tcp != Some(false);
        if takes {
            self.tcp = Some(true);
        }
        takes
    }

    fn header(&mut self, random: &mut Random) -> Option<Match> {
        let which = random.below(3);
        if which > 0 && (!self.scope.headers || self.ipv4 == Some(true)) {
            return None;
        }
        if which > 0 {
            self.ipv4 = Some(false);
        }
        match which {
            0 => {
                let ipv4 = self.family(random);
                Some(Match::Family(if ipv4 { Family::Ip } else { Family::Ip6 }))
            }
            1 => Some(Match::NotDirectlyTcp),
            _ => Some(Match::FirstFragment),
        }
    }

    fn family(&mut self, random: &mut Random) -> bool {
        let ipv4 = self.scope.v6.is_none() || random.chance(55);
        *self.ipv4.get_or_insert(ipv4)
    }

    fn addresses(&mut self, random: &mut Random) -> Addresses {
        let named = random.chance(40);
        match (self.family(random), self.scope.v6) {
            (false, Some(pool)) if !named => Addresses::These(self.scope.elements6(random, pool, 3)),
            (true, _) if !named => Addresses::These(self.scope.elements4(random, 3)),
            (ipv4, _) => {
                let fits = |set: &&Set| {
                    let dual = matches!(set.elements.lasting().0, Elements::Dual(..));
                    dual || set.elements.is_ipv4() == Some(ipv4)
                };
                let fitting: Vec<&Set> = self.sets.iter().filter(fits).collect();
                Addresses::Set(random.pick(&fitting).name.clone())
            }
        }
    }
}

/// The values at which the rules of a ruleset change their mind: each end of a range, and its neighbour.
#[derive(Default)]
pub struct Points {
    pub v4: Vec<u32>,
    pub v6: Vec<u128>,
    pub ports: Vec<u16>,
}

impl Points {
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut points = Self::default();
        for table in &ruleset.tables {
            table.sets.iter().for_each(|set| points.add(&set.elements));
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            for one in rules.flat_map(|rule| &rule.matches) {
                match one {
                    Match::Source { addresses: Addresses::These(elements), .. } => points.add(elements),
                    Match::DestinationPort { ports: PortMatch::Ports(ports), .. } => {
                        points.add(&Elements::Ports(ports.ranges().to_vec()));
                    }
                    Match::PortBlock(block) => points.port(block.first, block.last()),
                    _ => {}
                }
            }
        }
        points
    }

    fn add(&mut self, elements: &Elements) {
        match elements {
            Elements::Ipv4(list) => {
                for &(a, b) in list {
                    self.v4.extend([a, b, a.wrapping_sub(1), b.wrapping_add(1)]);
                }
            }
            Elements::Ipv6(list) => {
                for &(a, b) in list {
                    self.v6.extend([a, b, a.wrapping_sub(1), b.wrapping_add(1)]);
                }
            }
            Elements::Ports(list) => list.iter().for_each(|range| self.port(range.first(), range.last())),
            Elements::Endpoints(list) => {
                list.ports().for_each(|port| self.port(port, port));
                list.addresses().for_each(|addresses| self.add(addresses));
            }
            Elements::Dual(v4, v6) => {
                self.add(&Elements::Ipv4(v4.clone()));
                self.add(&Elements::Ipv6(v6.clone()));
            }
            Elements::Passing(these) => self.add(these),
            Elements::Unknown => {}
        }
    }

    fn port(&mut self, a: u16, b: u16) {
        self.ports.extend([a, b, a.wrapping_sub(1), b.wrapping_add(1)]);
    }
}

/// Every ruleset that has one thing less: a table, a chain that nobody jumps to, a rule, a test of a rule.
pub fn smaller(ruleset: &Ruleset) -> Vec<Ruleset> {
    let mut all = Vec::new();
    let mut without = |change: &dyn Fn(&mut Ruleset)| {
        let mut less = ruleset.clone();
        change(&mut less);
        all.push(less);
    };
    for (t, table) in ruleset.tables.iter().enumerate() {
        without(&|less| _ = less.tables.remove(t));
        let jumps = |name: &str| {
            let verdicts = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| &rule.verdict);
            verdicts.flatten().any(|one| matches!(one, Verdict::Jump(to) | Verdict::Goto(to) if to == name))
        };
        for (c, chain) in table.chains.iter().enumerate() {
            if !jumps(&chain.name) {
                without(&|less| _ = less.tables[t].chains.remove(c));
            }
            for (r, rule) in chain.rules.iter().enumerate() {
                without(&|less| _ = less.tables[t].chains[c].rules.remove(r));
                for m in 0..rule.matches.len() {
                    without(&|less| _ = less.tables[t].chains[c].rules[r].matches.remove(m));
                }
            }
        }
    }
    all
}

/// The smallest ruleset on the way down from `ruleset` that still fails.
pub fn shrunk(ruleset: &Ruleset, fails: impl Fn(&Ruleset) -> bool) -> Ruleset {
    let mut smallest = ruleset.clone();
    while let Some(less) = smaller(&smallest).into_iter().find(&fails) {
        smallest = less;
    }
    smallest
}
