//! The meaning of rulesets, against other ways to the same answer.
//!
//! - Sets of packets, carried through the chains as decision diagrams, say for every packet what the evaluation of that one
//!   packet says: what the proofs rest on.
//! - A packet and its representative in a space have the same outcome.
//! - An oracle that knows no packets: it carries sets of packets, as binary decision diagrams, through the chains. On a
//!   small world of packets both ways are compared at every point.
//! - A difference is empty if and only if no packet tells the two rulesets apart.
//! - Our own part of a ruleset means what our rules mean alone: see `own`.
//! - Where something is unknown, the outcome has room for whatever it may turn out to be.
//!
//! All rulesets are random and the same in every run; see `generate`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "semantics/effects.rs"]
mod effects;
mod generate;
#[path = "semantics/own.rs"]
mod own;
#[path = "semantics/quick.rs"]
mod quick;
mod spaces;
#[path = "semantics/ways.rs"]
mod ways;

use std::borrow::Cow;
use std::collections::BTreeMap;

use biodivine_lib_bdd::{Bdd, BddValuation, BddVariable, BddVariableSet};
use generate::{Points, Random, Scope, shrunk};
use ringfence::diff::{Change, difference};
use ringfence::ir::{
    Addresses, Base, Chain, ChainKind, Destined, Elements, Family, Field as Written, Foreign, Hook, Marked, Marking,
    Match, Policy, PortMatch, Rule, Ruleset, Statement, Table, TcpFlags, Translation, Verdict,
};
use ringfence::net::{Interface, PortRange};
use ringfence::semantics::{
    Arrival, Door, Flow, Home, Limits, Locality, OPENING, Outcome, Packet, Plausible, Question, Rules, Set, Shape,
    Space, TCP, merged,
};
use spaces::{enriched, every_packet, unusual};

const DOORS: [Door; 3] = [Door::BeforeTranslation, Door::Prerouting, Door::Input];

/// One that nothing names may be any interface, where some have no address.
fn as_told(space: &Space<'_>, home: &Home, packet: Packet) -> Packet {
    let is_told = home.unnumbered.is_empty() || space.interfaces().contains(&packet.interface);
    if is_told { packet } else { Packet { interface: None, ..packet } }
}

/// What is known of a host, in any state of it.
fn home_of(random: &mut Random) -> Home {
    let interfaces = [("eth0", true), ("eth1", true), ("eth1", false)].into_iter().filter(|_| random.chance(20));
    let unnumbered = interfaces.map(|(name, ipv4)| (name.parse().unwrap(), ipv4)).collect();
    Home { addresses: vec!["10.20.0.1".parse().unwrap()].into(), complete: random.chance(50), unnumbered }
}

fn outcomes(rules: &Rules, packet: &Packet) -> [Outcome; 3] {
    DOORS.map(|door| rules.evaluate(door, packet))
}

#[test]
fn a_representative_speaks_for_its_class() {
    for seed in 0..1000 {
        let mut random = Random::new(seed);
        let scope =
            Scope { unknowns: seed % 4 == 0, statements: seed % 2 == 1, foreign: seed % 8 > 4, ..Scope::wide() };
        let ruleset = scope.ruleset(&mut random);
        let question = Question::default();
        let space = Space::new(&[&ruleset], &question).unwrap();
        let rules = Rules::new(&ruleset);
        let points = Points::of(&ruleset);
        for _ in 0..200 {
            let packet = scope.packet(&mut random, &points);
            let representative = space.representative(&packet).unwrap();
            assert_eq!(
                outcomes(&rules, &packet),
                outcomes(&rules, &representative),
                "seed {seed}: {packet} and {representative} in {ruleset:?}"
            );
            assert_eq!(space.representative(&representative), Some(representative), "seed {seed}: {packet}");
        }
    }
}

/// Rules that differ in their sources alone may be judged as one, whatever they do.
#[test]
fn what_is_joined_means_the_same() {
    let mut joined = 0;
    for seed in 0..240 {
        let mut random = Random::new(7000 + seed);
        let scope = Scope { unknowns: seed % 3 == 0, statements: true, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
            let rules = std::mem::take(&mut chain.rules);
            for rule in rules {
                let listed = |one: &Match| {
                    matches!(one, Match::Source { addresses: Addresses::These(Elements::Ipv4(_)), negated: false })
                };
                let Some(at) = rule.matches.iter().position(listed) else {
                    chain.rules.push(rule);
                    continue;
                };
                // The same with other sources, and sometimes one that does something else.
                for other in 0..3 {
                    let mut like = rule.clone();
                    let first = scope.v4.0 + random.below(60) as u32;
                    let list = Elements::ipv4(vec![(first, first + random.below(4) as u32)]);
                    like.matches[at] = Match::Source { addresses: Addresses::These(list), negated: false };
                    if other == 1 && random.chance(30) {
                        like.statements.push(Statement::NoTrack);
                    }
                    chain.rules.push(like);
                }
            }
        }
        let less = merged(&ruleset);
        let count = |ruleset: &Ruleset| -> usize {
            ruleset.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum()
        };
        joined += count(&ruleset) - count(&less);
        let (rules, less) = (Rules::new(&ruleset), Rules::new(&less));
        let points = Points::of(&ruleset);
        for _ in 0..100 {
            let packet = scope.packet(&mut random, &points);
            assert_eq!(outcomes(&rules, &packet), outcomes(&less, &packet), "seed {seed}: {packet} in {ruleset:?}");
            assert_eq!(rules.is_plausible(&packet), less.is_plausible(&packet), "seed {seed}: {packet}");
        }
        assert_eq!(rules.keeps_destinations(), less.keeps_destinations(), "seed {seed}");
    }
    assert!(joined > 100, "only {joined} rules were joined");
}

/// Every point of a space is a packet, and speaks for itself; every packet has one.
#[test]
fn a_space_has_every_packet_once() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let scope =
            if seed % 2 == 0 { Scope::small() } else { Scope { v4: (0x0a14_0000, 0x0a14_0007), ..Scope::wide() } };
        let ruleset = scope.ruleset(&mut random);
        let question = Question::default();
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let visited = every_packet(&mut space);
        let mut points: Vec<_> = visited.iter().map(|packet| space.point(packet)).collect();
        points.sort();
        points.dedup();
        assert_eq!(points.len(), visited.len());
        for packet in visited.iter().take(500) {
            assert_eq!(space.representative(packet).as_ref(), Some(packet));
        }
        let around = Points::of(&ruleset);
        for _ in 0..100 {
            let packet = scope.packet(&mut random, &around);
            assert!(space.has(space.possible(), &packet), "seed {seed}: {packet}");
            let representative = space.representative(&packet).unwrap();
            assert!(visited.contains(&representative), "seed {seed}: {representative}");
        }
    }
}

#[test]
fn sets_of_packets_fare_as_each_of_their_packets() {
    let (mut passing, mut mixed, mut doubted, mut implausible) = (0, 0, 0, 0);
    for seed in 0..1200 {
        let mut random = Random::new(30_000 + seed);
        let scope =
            Scope { unknowns: seed % 4 == 0, statements: seed % 3 != 0, foreign: seed % 5 > 2, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        let question =
            Question { translates: seed % 5 == 0, flags: vec![OPENING], leaving: true, ..Question::default() };
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let rules = if seed % 2 == 0 { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) };
        let mut flow = Flow::new(&rules);
        let fates: Vec<_> = Door::ALL.iter().map(|door| flow.fates(&mut space, *door).unwrap()).collect();
        let (usual, perhaps) = flow.plausible(&mut space).unwrap();
        assert_eq!(flow.unwieldy(&space), None);
        let points = Points::of(&ruleset);
        for _ in 0..120 {
            let packet = scope.packet(&mut random, &points);
            let packet = if random.chance(70) { unusual(&mut random, &space, packet) } else { packet };
            for (door, fates) in Door::ALL.into_iter().zip(&fates) {
                let outcome = rules.evaluate(door, &packet);
                let found = Outcome {
                    may_pass: space.has(fates.may_pass, &packet),
                    may_block: space.has(fates.may_block, &packet),
                };
                assert_eq!(found, outcome, "seed {seed}: {packet} at {door:?} in {ruleset:#?}");
                passing += usize::from(!outcome.may_block);
                mixed += usize::from(!outcome.may_pass);
                doubted += usize::from(outcome.may_pass && outcome.may_block);
            }
            let expected = match (space.has(usual, &packet), space.has(perhaps, &packet)) {
                (true, false) => Plausible::Yes,
                (false, true) => Plausible::Perhaps,
                (false, false) => Plausible::No,
                (true, true) => panic!("seed {seed}: both"),
            };
            let plausible = rules.is_plausible(&packet);
            assert_eq!(expected, plausible, "seed {seed}: {packet} in {ruleset:#?}");
            implausible += usize::from(plausible != Plausible::Yes);
        }
    }
    let all = [passing, mixed, doubted, implausible];
    assert!(all.iter().all(|count| *count > 3_000), "{all:?}");
}

#[test]
fn whole_ways_of_sets_are_those_of_each_of_their_packets() {
    let mut counts = [[0; 3]; 2];
    for seed in 0..900 {
        let mut random = Random::new(90_000 + seed);
        let scope = Scope { unknowns: seed % 5 == 0, statements: seed % 4 == 0, foreign: true, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        if seed % 4 == 1 {
            marking(&mut random, &mut ruleset);
        }
        let route = |to: &str, by: &str| (to.parse().unwrap(), by.parse().unwrap());
        let mut surroundings = ringfence::net::Surroundings {
            addresses: vec!["10.20.0.1".parse().unwrap()],
            routes: vec![
                route("10.20.0.0/25", "eth1"),
                route("10.20.0.32/28", "eth2"),
                route("2001:db8:20::/123", "wg0"),
            ],
            ..Default::default()
        };
        if seed % 4 == 0 {
            surroundings.routes.clear();
        }
        if seed % 3 > 0 {
            surroundings.groups = Some(vec![("eth1".parse().unwrap(), 7), ("wg0".parse().unwrap(), 9)]);
        }
        let home = home_of(&mut random);
        // Some are asked about alone, and only as they come to addresses of this host.
        let named = [vec![(0x0a14_0000, 0x0a14_001f)], vec![(0x0a14_0008, 0x0a14_0008)], vec![(0, u32::MAX)]];
        let named = random.chance(40).then(|| Elements::ipv4(random.pick(&named).clone()));
        let tells = random.chance(60) || !home.unnumbered.is_empty();
        let question = Question {
            home: tells.then(|| home.clone()),
            sources: named.iter().map(Cow::Borrowed).collect(),
            translates: seed % 2 == 0,
            flags: vec![OPENING],
            leaving: true,
            ports: vec![PortRange::new(8080, 8099).into_iter().collect()],
            surroundings: surroundings.clone(),
            ..Question::default()
        };
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let rules = if seed % 3 == 0 { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) }.beside(&surroundings);
        let concerned = named.as_ref().map_or(Set::ALL, |list| space.source(list).unwrap().unwrap());
        let mut flow = Flow::new(&rules).only(concerned);
        let to: Option<std::net::IpAddr> = random.chance(50).then(|| "10.20.0.1".parse().unwrap());
        let arrival = if random.chance(50) {
            Arrival::SamePort
        } else {
            Arrival::Any([PortRange::new(8080, 8099)].into_iter().flatten().collect())
        };
        let asked = flow.asked(&mut space, to, &home, &arrival).unwrap();
        let asking = flow.asking(&mut space, to, &home).unwrap();
        assert_eq!(flow.unwieldy(&space), None);
        let points = Points::of(&ruleset);
        for _ in 0..100 {
            let packet = scope.packet(&mut random, &points);
            let packet = if random.chance(60) { unusual(&mut random, &space, packet) } else { packet };
            let packet =
                Packet { original_port: None, destination: to, protocol: TCP, ..as_told(&space, &home, packet) };
            if (to.is_some() && packet.source.is_ipv6()) || !space.has(concerned, &packet) {
                continue;
            }
            let expected = [rules.asked(&packet, &home, &arrival), rules.asking(&packet, &home)];
            for ((fates, outcome), counts) in [asked, asking].into_iter().zip(expected).zip(&mut counts) {
                let found = Outcome {
                    may_pass: space.has(fates.may_pass, &packet),
                    may_block: space.has(fates.may_block, &packet),
                };
                assert_eq!(found, outcome, "seed {seed}: {packet} {home:?} {arrival:?} in {ruleset:#?}");
                counts[usize::from(outcome.may_pass) + usize::from(outcome.may_block && outcome.may_pass)] += 1;
            }
        }
    }
    assert!(counts.iter().flatten().all(|count| *count > 2_000), "{counts:?}");
}

/// Rules that mark packets, some that ask for marks, and some that lead packets to another host.
fn marking(random: &mut Random, ruleset: &mut Ruleset) {
    let bases = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).filter_map(|chain| chain.base.as_mut());
    let translating = |base: &&mut Base| matches!(base.hook, Hook::Prerouting | Hook::Output | Hook::Postrouting);
    for base in bases.filter(translating).filter(|base| base.kind == ChainKind::Filter) {
        base.kind = *random.pick(&[ChainKind::Filter, ChainKind::Nat]);
    }
    let away: std::net::IpAddr = "10.99.0.9".parse().unwrap();
    for rule in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules) {
        if random.chance(30) {
            let (constant, value) = (random.chance(50), random.below(2) as u32);
            let how = if random.chance(80) { Marking::exchanged(1, value) } else { Marking::Unknown };
            rule.statements.insert(0, Statement::Write { field: Written::Mark(how), constant });
        } else if random.chance(30) {
            let (value, negated) = (random.below(2) as u32, random.chance(50));
            rule.matches.push(Match::Foreign(Foreign::Mark { of: Marked::Packet, mask: 1, value, negated }));
        }
        if random.chance(10) {
            let to = Destined::To { addresses: Some((away, away)), ports: None };
            rule.statements.push(Statement::Translate(Translation::Destination, to));
        }
    }
}

/// Of addresses that nobody asks about, sets may say more than the evaluation of a packet does, and never less.
#[test]
fn addresses_that_nobody_asks_about_leave_room_for_each_packet() {
    let (mut wider, mut exact) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(120_000 + seed);
        let scope = Scope { statements: seed % 3 != 0, foreign: true, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        let home = home_of(&mut random);
        let question = Question { flags: vec![OPENING], leaving: true, home: Some(home), ..Question::default() };
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let rules = if seed % 2 == 0 { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) };
        let mut flow = Flow::new(&rules);
        let fates: Vec<_> = Door::ALL.iter().map(|door| flow.fates(&mut space, *door).unwrap()).collect();
        let points = Points::of(&ruleset);
        for _ in 0..120 {
            let packet = scope.packet(&mut random, &points);
            let packet = unusual(&mut random, &space, packet);
            for (door, fates) in Door::ALL.into_iter().zip(&fates) {
                let outcome = rules.evaluate(door, &packet);
                let (passes, blocked) = (space.has(fates.may_pass, &packet), space.has(fates.may_block, &packet));
                let room = (passes || !outcome.may_pass) && (blocked || !outcome.may_block);
                assert!(room, "seed {seed}: {packet} at {door:?}: {outcome:?} in {ruleset:#?}");
                let same = (passes, blocked) == (outcome.may_pass, outcome.may_block);
                (exact, wider) = (exact + usize::from(same), wider + usize::from(!same));
            }
        }
    }
    assert!(wider > 500 && exact > 100_000, "{wider} {exact}");
}

/// With next to nothing allowed, chains and lists are too large all the time. Sets may then say more of a packet than its
/// evaluation does, that it may pass or may be blocked, and never less.
#[test]
fn what_is_too_large_leaves_room_for_each_packet() {
    let (mut unwieldy, mut refused, mut wider, mut exact) = (0, 0, 0, 0);
    for seed in 0..2600 {
        let mut random = Random::new(60_000 + seed);
        let scope =
            Scope { unknowns: seed % 4 == 0, statements: seed % 3 != 0, foreign: seed % 5 > 2, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        let question = Question { translates: seed % 5 == 0, flags: vec![OPENING], ..Question::default() };
        let limits =
            Limits { steps: *random.pick(&[1_500, 2_500, 6_000, 12_000, 40_000, 400_000_000]), runs: 10_000_000 };
        let limits = Limits { runs: *random.pick(&[limits.runs, limits.runs, 600, 1_200, 3_000]), ..limits };
        let deepest = *random.pick(&[0, 1, 2, 4, 4_096]);
        let Ok(mut space) = Space::limited(&[&ruleset], &question, limits, deepest) else {
            refused += 1;
            continue;
        };
        let rules = Rules::new(&ruleset);
        let mut flow = Flow::new(&rules);
        let fates: Vec<_> = DOORS.iter().map_while(|door| Some((*door, flow.fates(&mut space, *door).ok()?))).collect();
        let plausible = flow.plausible(&mut space).ok();
        refused += usize::from(fates.len() < DOORS.len());
        unwieldy += usize::from(flow.unwieldy(&space).is_some());
        let points = Points::of(&ruleset);
        for _ in 0..120 {
            let packet = scope.packet(&mut random, &points);
            let packet = if random.chance(70) { unusual(&mut random, &space, packet) } else { packet };
            for (door, fates) in &fates {
                let outcome = rules.evaluate(*door, &packet);
                let (passes, blocked) = (space.has(fates.may_pass, &packet), space.has(fates.may_block, &packet));
                let room = (passes || !outcome.may_pass) && (blocked || !outcome.may_block);
                assert!(room, "seed {seed}: {packet} at {door:?}: {outcome:?} in {ruleset:#?}");
                let same = (passes, blocked) == (outcome.may_pass, outcome.may_block);
                (exact, wider) = (exact + usize::from(same), wider + usize::from(!same));
            }
            if let Some((usual, perhaps)) = plausible {
                let (usual, perhaps) = (space.has(usual, &packet), space.has(perhaps, &packet));
                let plausible = rules.is_plausible(&packet);
                // Whether rules lead tracking astray is asked of those that TCP may meet: of what else is not tracked, nothing is said
                // where a chain is too large.
                let asked = packet.protocol == TCP;
                assert!(usual || perhaps || !asked || plausible == Plausible::No, "seed {seed}: {packet}");
                // What is not certain may be so because a chain is too large; what is certain, is.
                assert!(!usual || plausible == Plausible::Yes, "seed {seed}: {packet} in {ruleset:#?}");
            }
        }
    }
    let all = [unwieldy, refused, wider / 100, exact / 100];
    assert!(all.iter().all(|count| *count > 20), "{all:?}");
}

/// The small world: a bit for each thing that a rule can see of a packet. Interfaces are numbers, the last one is one
/// that no rule names.
struct World {
    scope: Scope,
    set: BddVariableSet,
    source: Vec<BddVariable>,
    port: Vec<BddVariable>,
    syn: BddVariable,
    ack: BddVariable,
    interface: Vec<BddVariable>,
    local: BddVariable,
}

/// Where the packets of a set end up in a chain.
struct Fates {
    accepted: Bdd,
    dropped: Bdd,
    returned: Bdd,
}

impl World {
    fn new() -> Self {
        let set = BddVariableSet::new_anonymous(17);
        let all = set.variables();
        Self {
            scope: Scope::small(),
            source: all[0..6].to_vec(),
            port: all[6..12].to_vec(),
            interface: all[12..14].to_vec(),
            syn: all[14],
            ack: all[15],
            local: all[16],
            set,
        }
    }

    fn point(&self, packet: &Packet) -> BddValuation {
        let mut point = BddValuation::all_false(17);
        let std::net::IpAddr::V4(source) = packet.source else { panic!("IPv4 only") };
        let mut put = |bits: &[BddVariable], value: usize| {
            for (place, variable) in bits.iter().enumerate() {
                point.set_value(*variable, value >> place & 1 == 1);
            }
        };
        put(&self.source, (source.to_bits() - self.scope.v4.0) as usize);
        put(&self.port, packet.port.into());
        let named = |own| self.scope.interfaces.iter().position(|name| name == own);
        put(&self.interface, packet.interface.as_ref().and_then(named).unwrap_or(3));
        put(&[self.syn], usize::from(packet.flags.0 & TcpFlags::SYN.0 != 0));
        put(&[self.ack], usize::from(packet.flags.0 & TcpFlags::ACK.0 != 0));
        put(&[self.local], packet.locality.is_local().into());
        point
    }

    /// The bits have exactly this value.
    fn is(&self, bits: &[BddVariable], value: u32) -> Bdd {
        let bit = |(place, variable): (usize, &BddVariable)| self.set.mk_literal(*variable, value >> place & 1 == 1);
        bits.iter().enumerate().map(bit).fold(self.set.mk_true(), |all, one| all.and(&one))
    }

    fn among(&self, bits: &[BddVariable], values: impl Iterator<Item = u32>) -> Bdd {
        values.fold(self.set.mk_false(), |any, value| any.or(&self.is(bits, value)))
    }

    fn constant(&self, value: bool) -> Bdd {
        if value { self.set.mk_true() } else { self.set.mk_false() }
    }

    fn elements<'a>(&self, table: &'a Table, name: &str) -> &'a Elements {
        &table.sets.iter().find(|set| set.name == name).expect("a set of that name").elements
    }

    fn test(&self, table: &Table, one: &Match) -> Bdd {
        let turned = |holds: Bdd, negated: bool| if negated { holds.not() } else { holds };
        let ports = |list: &[PortRange]| {
            let values = list.iter().flat_map(|range| range.first()..=range.last()).map(u32::from);
            self.among(&self.port, values.filter(|port| *port < 64))
        };
        match one {
            Match::InInterface { names, negated } => {
                let number = |name| self.scope.interfaces.iter().position(|own| own == name).expect("a known name");
                turned(self.among(&self.interface, names.iter().map(|name| number(name) as u32)), *negated)
            }
            Match::Source { addresses, negated } => {
                let elements = match addresses {
                    Addresses::Set(name) => self.elements(table, name),
                    Addresses::These(elements) => elements,
                };
                let Elements::Ipv4(list) = elements else { panic!("IPv4 only") };
                let values = list.iter().flat_map(|&(first, last)| first..=last).map(|bits| bits - self.scope.v4.0);
                turned(self.among(&self.source, values), *negated)
            }
            Match::Family(family) => self.constant(*family != Family::Ip6),
            Match::Protocol { number, negated } => self.constant((*number == TCP) != *negated),
            Match::DestinationPort { ports: PortMatch::Ports(list), negated } => turned(ports(list.ranges()), *negated),
            Match::DestinationPort { ports: PortMatch::Set(name), negated } => {
                let Elements::Ports(list) = self.elements(table, name) else { panic!("ports") };
                turned(ports(list), *negated)
            }
            Match::PortBlock(block) => self.among(&self.port, (block.first..=block.last()).map(u32::from)),
            Match::TcpFlags { mask, value } => {
                let flag = |flag: TcpFlags, variable| {
                    let wanted = self.set.mk_literal(variable, value.0 & flag.0 != 0);
                    if mask.0 & flag.0 == 0 { self.set.mk_true() } else { wanted }
                };
                flag(TcpFlags::SYN, self.syn).and(&flag(TcpFlags::ACK, self.ack))
            }
            Match::DestinationLocal => self.set.mk_literal(self.local, true),
            other => panic!("{other:?} is not of this world"),
        }
    }

    /// What becomes of the packets of `entering`.
    fn chain(&self, table: &Table, chain: &Chain, entering: &Bdd) -> Fates {
        let nothing = self.set.mk_false();
        let mut fates = Fates { accepted: nothing.clone(), dropped: nothing.clone(), returned: nothing };
        let mut here = entering.clone();
        for rule in &chain.rules {
            let concerned = rule.matches.iter().fold(here.clone(), |rest, one| rest.and(&self.test(table, one)));
            let through = |name: &str| {
                let target = table.chains.iter().find(|chain| chain.name == *name).expect("a chain of that name");
                self.chain(table, target, &concerned)
            };
            match rule.verdict.as_ref() {
                None => continue,
                Some(Verdict::Accept) => fates.accepted = fates.accepted.or(&concerned),
                Some(Verdict::Drop) => fates.dropped = fates.dropped.or(&concerned),
                Some(Verdict::Return) => fates.returned = fates.returned.or(&concerned),
                Some(Verdict::Jump(name) | Verdict::Goto(name)) => {
                    let below = through(name);
                    fates.accepted = fates.accepted.or(&below.accepted);
                    fates.dropped = fates.dropped.or(&below.dropped);
                    if matches!(rule.verdict, Some(Verdict::Jump(_))) {
                        // Those that came back go on to the next rule here.
                        here = here.and_not(&concerned).or(&below.returned);
                        continue;
                    }
                    fates.returned = fates.returned.or(&below.returned);
                }
                Some(other) => panic!("{other:?} is not of this world"),
            }
            here = here.and_not(&concerned);
        }
        fates.returned = fates.returned.or(&here);
        fates
    }

    /// The packets that pass all base chains that `counts` picks.
    fn passing(&self, ruleset: &Ruleset, counts: impl Fn(&Base) -> bool) -> Bdd {
        let mut passing = self.set.mk_true();
        for table in &ruleset.tables {
            for chain in &table.chains {
                let Some(base) = chain.base.filter(&counts) else { continue };
                let fates = self.chain(table, chain, &self.set.mk_true());
                let by_policy = fates.returned.and(&self.constant(base.policy == Policy::Accept));
                passing = passing.and(&fates.accepted.or(&by_policy));
            }
        }
        passing
    }

    fn doors(&self, ruleset: &Ruleset) -> [Bdd; 3] {
        [
            self.passing(ruleset, |base| base.hook == Hook::Prerouting && base.priority < -100),
            self.passing(ruleset, |base| base.hook == Hook::Prerouting),
            self.passing(ruleset, |base| base.hook == Hook::Input),
        ]
    }
}

#[test]
fn sets_of_packets_say_the_same() {
    let world = World::new();
    let packets: Vec<(Packet, BddValuation)> = {
        let packets = world.scope.every_packet();
        packets.into_iter().map(|packet| (packet.clone(), world.point(&packet))).collect()
    };
    assert_eq!(packets.len(), 1 << 17);
    let mut mixed = 0;
    for seed in 0..60 {
        let ruleset = world.scope.ruleset(&mut Random::new(seed));
        let rules = Rules::new(&ruleset);
        let question = Question::default();
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let mut flow = Flow::new(&rules);
        for (door, passing) in DOORS.into_iter().zip(world.doors(&ruleset)) {
            let fates = flow.fates(&mut space, door).unwrap();
            for (packet, point) in &packets {
                let expected = passing.eval_in(point);
                let outcome = Outcome { may_pass: expected, may_block: !expected };
                assert_eq!(rules.evaluate(door, packet), outcome, "seed {seed}: {packet} at {door:?} in {ruleset:?}");
                assert_eq!(space.has(fates.may_pass, packet), expected, "seed {seed}: {packet} at {door:?}");
                assert_eq!(space.has(fates.may_block, packet), !expected, "seed {seed}: {packet} at {door:?}");
            }
            mixed += usize::from(!passing.is_true() && !passing.is_false());
        }
    }
    assert!(mixed > 30, "only {mixed} doors let some packets pass and others not");
}

/// Two rulesets of the small world differ if some packet of it, or of the space of both, fares differently.
fn differ(world: &World, old: &Ruleset, new: &Ruleset) -> Option<String> {
    for (door, (before, after)) in DOORS.into_iter().zip(world.doors(old).iter().zip(&world.doors(new))) {
        // Only what is for this host comes to input.
        let here = world.set.mk_literal(world.local, true).or(&world.constant(door != Door::Input));
        if let Some(point) = before.xor(after).and(&here).sat_witness() {
            return Some(format!("a packet of the small world at {door:?}: {point}"));
        }
    }
    let (before, after) = (Rules::new(old), Rules::new(new));
    let question = Question::default();
    let mut space = Space::new(&[old, new], &question).unwrap();
    every_packet(&mut space).into_iter().find_map(|packet| {
        let same = |door: &Door| {
            let (before, after) = (before.evaluate(*door, &packet), after.evaluate(*door, &packet));
            // What becomes of such hangs on their data, and is not compared.
            let doubted = [before, after].iter().any(|outcome| outcome.may_pass == outcome.may_block);
            !door.sees(&packet) || before == after || (packet.shape == Shape::LaterMisread && doubted)
        };
        (!DOORS.iter().all(same)).then(|| packet.to_string())
    })
}

/// Whether a change is about a packet, where rules name these interfaces.
fn is_about(change: &Change, packet: &Packet, named: &[Option<Interface>]) -> bool {
    let from = change.sources.iter().any(|(first, last)| (*first..=*last).contains(&packet.source));
    let on = match &packet.interface {
        own if !named.contains(own) => change.elsewhere,
        None => change.elsewhere,
        Some(own) => change.interfaces.contains(own) || change.interfaces.is_empty(),
    };
    from && on && change.ports.has(packet.port)
}

/// A difference tells of each new connection whose fate changes, once, and of no other.
#[test]
fn a_difference_tells_exactly_what_changes() {
    let scope = Scope::small();
    let mut told = 0;
    for seed in 0..150 {
        let mut random = Random::new(9000 + seed);
        let old = scope.ruleset(&mut random);
        let new = scope.mutated(&mut random, &old);
        let found = difference(&old, &new).unwrap();
        let question = Question::default();
        let named = Space::new(&[&old, &new], &question).unwrap().interfaces().to_vec();
        let (before, after) = (Rules::new(&old), Rules::new(&new));
        let delivered = |rules: &Rules, packet: &Packet| {
            [Door::Prerouting, Door::Input].iter().all(|door| rules.evaluate(*door, packet).may_pass)
        };
        for packet in scope.every_packet() {
            if packet.flags != TcpFlags::SYN || packet.locality != Locality::Local || packet.port == 0 {
                continue;
            }
            let expected = match (delivered(&before, &packet), delivered(&after, &packet)) {
                (false, true) => vec![true],
                (true, false) => vec![false],
                (false, false) | (true, true) => Vec::new(),
            };
            let about = found.changes.iter().filter(|change| is_about(change, &packet, &named));
            let gains: Vec<bool> = about.map(|change| change.gains).collect();
            assert_eq!(gains, expected, "seed {seed}: {packet}: {found:?}");
            told += gains.len();
        }
        for change in found.changes.iter().chain(found.others.iter().map(|other| &other.change)) {
            let other = !found.changes.contains(change);
            assert!(is_about(change, &change.witness, &named) || other, "seed {seed}: {change:?}");
        }
    }
    assert!(told > 15_000, "{told} connections change");
}

#[test]
fn a_difference_is_empty_if_and_only_if_no_packet_tells_the_rulesets_apart() {
    let world = World::new();
    let (mut same, mut other) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(1000 + seed);
        let old = world.scope.ruleset(&mut random);
        let new = world.scope.mutated(&mut random, &old);
        let found = difference(&old, &new).unwrap();
        let expected = differ(&world, &old, &new);
        if found.is_empty() != expected.is_none() {
            let wrong =
                |less: &Ruleset| difference(less, &new).unwrap().is_empty() != differ(&world, less, &new).is_none();
            let old = shrunk(&old, wrong);
            let wrong =
                |less: &Ruleset| difference(&old, less).unwrap().is_empty() != differ(&world, &old, less).is_none();
            let new = shrunk(&new, wrong);
            let found = difference(&old, &new).unwrap();
            panic!("seed {seed}: {found:?}, but {:?}\nold {old:#?}\nnew {new:#?}", differ(&world, &old, &new));
        }
        if found.is_empty() { same += 1 } else { other += 1 }
    }
    assert!(same > 40 && other > 40, "{same} pairs mean the same, {other} do not");
}

/// Behind destination NAT, and no new connection: nothing but prerouting as a whole shows it.
#[test]
fn what_prerouting_drops_late_is_a_difference() {
    let ruleset = |rules| {
        let (hook, priority, policy) = (Hook::Prerouting, 0, Policy::Accept);
        let base = Base { kind: ChainKind::Filter, hook, priority, policy, shared: false };
        let chain = Chain { base: Some(base), ..Chain::named("late", rules) };
        let table =
            Table { family: Family::Inet, name: "t".into(), legacy: false, sets: Vec::new(), chains: vec![chain] };
        Ruleset { tables: vec![table], ..Ruleset::default() }
    };
    let matches = vec![Match::TcpFlags { mask: TcpFlags::ACK, value: TcpFlags::ACK }];
    let dropping = Rule { matches, verdict: Some(Verdict::Drop), ..Rule::default() };
    let found = difference(&ruleset(Vec::new()), &ruleset(vec![dropping])).unwrap();
    assert_eq!(found.changes, []);
    let told: Vec<(Door, bool)> = found.others.iter().map(|other| (other.door, other.change.gains)).collect();
    // IPv4 and IPv6.
    assert_eq!(told, [(Door::Prerouting, false); 2], "{found:?}");
}

/// A rule of the ruleset by table, chain and number, and what of it is unknown: the number of a match, or the verdict.
type Doubt = (usize, usize, usize, Option<usize>);

fn doubts(ruleset: &Ruleset) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for (t, table) in ruleset.tables.iter().enumerate() {
        for (c, chain) in table.chains.iter().enumerate() {
            for (r, rule) in chain.rules.iter().enumerate() {
                let unknown = |one: &Match| matches!(one, Match::Unknown(_) | Match::Limit { .. });
                let matches = rule.matches.iter().enumerate().filter(|(_, one)| unknown(one));
                doubts.extend(matches.map(|(m, _)| (t, c, r, Some(m))));
                if matches!(rule.verdict, Some(Verdict::Unknown(_))) {
                    doubts.push((t, c, r, None));
                }
            }
        }
    }
    doubts
}

/// One way in which all that is unknown may turn out, by number.
fn settled(ruleset: &Ruleset, doubts: &[Doubt], mut way: usize) -> Ruleset {
    let mut known = ruleset.clone();
    for &(t, c, r, what) in doubts {
        let rule: &mut Rule = &mut known.tables[t].chains[c].rules[r];
        match what {
            // None of no interfaces: holds for every packet. One of them: for none.
            Some(m) => {
                rule.matches[m] = Match::InInterface { names: Vec::new(), negated: way % 2 == 1 };
                way /= 2;
            }
            None => {
                rule.verdict = [Some(Verdict::Accept), Some(Verdict::Drop), None][way % 3].clone();
                way /= 3;
            }
        }
    }
    known
}

#[test]
fn outcomes_have_room_for_whatever_is_unknown() {
    let mut uncertain = 0;
    let mut sizes = BTreeMap::new();
    for seed in 0..400 {
        let mut random = Random::new(2000 + seed);
        let scope = Scope { unknowns: true, ..Scope::wide() };
        let ruleset = scope.ruleset(&mut random);
        let doubts = doubts(&ruleset);
        let ways: usize = doubts.iter().map(|doubt| if doubt.3.is_some() { 2 } else { 3 }).product();
        *sizes.entry(doubts.len()).or_insert(0) += 1;
        // Of very many ways some.
        let tried: Vec<usize> =
            if ways <= 64 { (0..ways).collect() } else { (0..64).map(|_| random.below(ways)).collect() };
        let settled: Vec<Ruleset> = tried.iter().map(|&way| settled(&ruleset, &doubts, way)).collect();
        let settled: Vec<Rules> = settled.iter().map(Rules::new).collect();
        let rules = Rules::new(&ruleset);
        let points = Points::of(&ruleset);
        for _ in 0..40 {
            let packet = scope.packet(&mut random, &points);
            let bounds = outcomes(&rules, &packet);
            for (bound, door) in bounds.iter().zip(DOORS) {
                assert!(bound.may_pass || bound.may_block, "seed {seed}: {packet} has no fate");
                uncertain += usize::from(bound.may_pass && bound.may_block);
                for known in &settled {
                    let one = known.evaluate(door, &packet);
                    let later = packet.shape == Shape::LaterMisread;
                    assert!(later || one.may_pass != one.may_block, "seed {seed}: everything is known");
                    assert!(
                        bound.may_pass >= one.may_pass && bound.may_block >= one.may_block,
                        "seed {seed}: {packet} at {door:?}: {one:?} is not within {bound:?}, in {ruleset:?}"
                    );
                }
            }
        }
    }
    assert!(uncertain > 1000, "only {uncertain} outcomes were uncertain: {sizes:?}");
}
