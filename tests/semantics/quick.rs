//! The quick way of sets: chains are only gone through where what they leave of a packet is of matter.
//!
//! Rulesets that do no more than to decide, to translate and to mark, but for one rule that does more, are judged as each packet alone.

use ringfence::ir::{
    ChainKind, DeviceName, Diversion, Family, Field, Foreign, Hook, Match, Rule, Ruleset, Statement, Table, Tracking,
    Verdict,
};
use ringfence::net::{Interface, PortRange, Surroundings};
use ringfence::semantics::{Arrival, Door, Flow, OPENING, Outcome, Packet, Question, Rules, Space, TCP};

use crate::generate::{Points, Random, Scope};
use crate::spaces::{enriched, unusual};
use crate::ways::{chain, rule};
use crate::{as_told, home_of, marking};

/// One statement, or a verdict, that does more than to mark.
fn more(kind: usize) -> (Vec<Statement>, Option<Verdict>) {
    // Where there is no such header, the rule is left.
    let perhaps = Statement::Write { field: Field::Header, constant: true };
    let statement = match kind {
        7 => return (vec![perhaps, Statement::NoTrack], None),
        0 => Statement::NoTrack,
        1 => Statement::Track(Tracking::Detail),
        2 => Statement::Track(Tracking::Zone),
        3 => Statement::Copy,
        4 => Statement::Write { field: Field::Other("ip saddr set".into()), constant: true },
        5 => Statement::Divert(Diversion::Queue),
        6 => return (Vec::new(), Some(Verdict::Unknown("x".into()))),
        _ => return (Vec::new(), None),
    };
    (vec![statement], None)
}

/// Puts it into one of the rules.
fn with_more(random: &mut Random, ruleset: &mut Ruleset, kind: usize) {
    let mut rules: Vec<&mut Rule> =
        ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules).collect();
    if rules.is_empty() {
        return;
    }
    let at = random.below(rules.len());
    let (statement, verdict) = more(kind);
    rules[at].statements.splice(0..0, statement);
    if verdict.is_some() {
        rules[at].verdict = verdict;
    }
}

#[test]
fn only_what_is_of_matter_is_gone_through() {
    let (mut doubted, mut certain) = (0, 0);
    for seed in 0..960 {
        let mut random = Random::new(400_000 + seed);
        let scope = Scope { unknowns: false, statements: false, foreign: true, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        marking(&mut random, &mut ruleset);
        with_more(&mut random, &mut ruleset, seed as usize % 9);
        let home = home_of(&mut random);
        let question = Question {
            translates: true,
            interfaces: home.unnumbered.iter().map(|(name, _)| name.clone()).collect(),
            flags: vec![OPENING],
            leaving: true,
            ports: vec![PortRange::new(8080, 8099).into_iter().collect()],
            ..Question::default()
        };
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let rules = if seed % 3 == 0 { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) };
        let mut flow = Flow::new(&rules);
        let doors: Vec<_> = Door::ALL.iter().map(|door| flow.fates(&mut space, *door).unwrap()).collect();
        let asked = flow.asked(&mut space, None, &home, &Arrival::SamePort).unwrap();
        let asking = flow.asking(&mut space, None, &home).unwrap();
        let points = Points::of(&ruleset);
        for _ in 0..40 {
            let packet = scope.packet(&mut random, &points);
            let packet = as_told(&space, &home, unusual(&mut random, &space, packet));
            let whole = Packet { original_port: None, destination: None, protocol: TCP, ..packet.clone() };
            let of_doors =
                Door::ALL.iter().zip(&doors).map(|(door, fates)| (&packet, rules.evaluate(*door, &packet), fates));
            let of_ways = [
                (&whole, rules.asked(&whole, &home, &Arrival::SamePort), &asked),
                (&whole, rules.asking(&whole, &home), &asking),
            ];
            for (packet, outcome, fates) in of_doors.chain(of_ways) {
                let found = Outcome {
                    may_pass: space.has(fates.may_pass, packet),
                    may_block: space.has(fates.may_block, packet),
                };
                assert_eq!(found, outcome, "seed {seed}: {packet} in {ruleset:#?}");
                let open = outcome.may_pass && outcome.may_block;
                (doubted, certain) = (doubted + usize::from(open), certain + usize::from(!open));
            }
        }
    }
    assert!(doubted > 10_000 && certain > 10_000, "{doubted} {certain}");
}

/// Chains at devices, on a host where it is known of some that they stand on no others.
#[test]
fn chains_at_devices_are_met_by_whatever_stands_on_these() {
    let interface = |name: &str| name.parse::<Interface>().unwrap();
    let mut counts = [0; 3];
    for seed in 0..400 {
        let mut random = Random::new(500_000 + seed);
        let scope = Scope { unknowns: seed % 5 == 0, statements: seed % 4 == 0, foreign: true, ..Scope::wide() };
        let mut ruleset = scope.ruleset(&mut random);
        enriched(&mut random, &mut ruleset);
        let hung = [
            vec![DeviceName::Is(interface("eth0"))],
            vec![DeviceName::Is(interface("eth1")), DeviceName::Is(interface("wg0"))],
            vec![DeviceName::Begins("eth".into())],
        ];
        for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
            let Some(base) = chain.base.as_mut().filter(|_| random.chance(50)) else { continue };
            let leaves = matches!(base.hook, Hook::Output | Hook::Postrouting);
            (base.hook, base.kind) = (if leaves { Hook::Egress } else { Hook::Ingress }, ChainKind::Filter);
            let test = Match::Foreign(Foreign::Hung(random.pick(&hung).clone()));
            chain.rules.iter_mut().filter(|_| random.chance(70)).for_each(|rule| rule.matches.insert(0, test.clone()));
        }
        let route = |to: &str, by: &str| (to.parse().unwrap(), interface(by));
        let mut surroundings = Surroundings {
            plain: vec![interface("eth1")],
            routes: vec![
                route("10.20.0.0/25", "eth1"),
                route("10.20.0.32/28", "eth2"),
                route("2001:db8:20::/123", "wg0"),
            ],
            ..Surroundings::default()
        };
        if seed % 4 == 1 {
            surroundings.routes.clear();
        }
        if seed % 3 > 0 {
            surroundings.groups = Some(vec![(interface("eth1"), 7), (interface("wg0"), 9)]);
        }
        let question = Question {
            interfaces: ["eth0", "eth1", "eth2", "wg0"]
                .map(interface)
                .into_iter()
                .chain([Interface::loopback()])
                .collect(),
            flags: vec![OPENING],
            leaving: true,
            surroundings: surroundings.clone(),
            ..Question::default()
        };
        let mut space = Space::new(&[&ruleset], &question).unwrap();
        let rules = if seed % 2 == 0 { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) };
        let rules = if seed % 8 < 6 { rules.beside(&surroundings) } else { rules };
        let mut flow = Flow::new(&rules);
        let doors: Vec<_> = Door::ALL.iter().map(|door| flow.fates(&mut space, *door).unwrap()).collect();
        let points = Points::of(&ruleset);
        for _ in 0..60 {
            let packet = scope.packet(&mut random, &points);
            let mut packet = unusual(&mut random, &space, packet);
            if random.chance(70) {
                packet.interface = Some(interface(["eth0", "eth1", "eth2", "wg0"][random.below(4)]));
            }
            for (door, fates) in Door::ALL.into_iter().zip(&doors) {
                let outcome = rules.evaluate(door, &packet);
                let found = Outcome {
                    may_pass: space.has(fates.may_pass, &packet),
                    may_block: space.has(fates.may_block, &packet),
                };
                assert_eq!(found, outcome, "seed {seed}: {packet} at {door:?} in {ruleset:#?}");
                counts[usize::from(outcome.may_pass) + usize::from(outcome.may_block && outcome.may_pass)] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}

/// One chain at eth0 that drops all, by hand.
#[test]
fn what_is_known_to_stand_on_no_other_does_not_meet_the_chains_of_others() {
    let interface = |name: &str| name.parse::<Interface>().unwrap();
    let hung = Match::Foreign(Foreign::Hung(vec![DeviceName::Is(interface("eth0"))]));
    let named = Match::InInterface { names: vec![interface("vlan7")], negated: false };
    let plain = Surroundings { plain: vec![interface("eth1"), interface("eth0")], ..Surroundings::default() };
    let nothing = Surroundings::default();
    let own = |tests: Vec<Match>| {
        let drops = rule(tests, None, Some(Verdict::Drop));
        let chains = vec![chain(ChainKind::Filter, (Hook::Ingress, 0), vec![drops])];
        let table = Table { family: Family::Netdev, name: "t".into(), legacy: false, sets: Vec::new(), chains };
        Ruleset { tables: vec![table], ..Ruleset::default() }
    };
    for (tests, known, on, expected) in [
        (vec![hung.clone()], Some(&plain), "eth0", 'b'),
        (vec![hung.clone()], Some(&plain), "eth1", 'p'),
        (vec![hung.clone()], Some(&plain), "vlan7", '?'),
        (vec![hung.clone()], Some(&nothing), "eth0", 'b'),
        (vec![hung.clone()], Some(&nothing), "eth1", '?'),
        (vec![hung.clone()], Some(&nothing), "lo", 'p'),
        // Where nothing is asked of a whole host, names are what they are.
        (vec![hung.clone()], None, "eth1", 'p'),
        (vec![named.clone()], Some(&plain), "vlan7", '?'),
        (vec![named.clone()], Some(&plain), "eth1", 'p'),
        (vec![named], None, "vlan7", 'b'),
    ] {
        let ruleset = own(tests);
        let rules = Rules::of_honest(&ruleset);
        let rules = if let Some(known) = known { rules.beside(known) } else { rules };
        let on = if on == "lo" { Interface::loopback() } else { interface(on) };
        let packet = Packet { interface: Some(on), ..Packet::plain("10.20.0.12".parse().unwrap()) };
        let outcome = rules.evaluate(Door::Wire, &packet);
        let found = match (outcome.may_pass, outcome.may_block) {
            (true, false) => 'p',
            (false, _) => 'b',
            (true, true) => '?',
        };
        assert_eq!(found, expected, "{packet} {ruleset:?}");
    }
}
