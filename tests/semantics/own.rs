//! What is proved of our own part, and never of the rules of others: `own_part` beside the meaning of the whole.
//!
//! INVARIANT (own): whatever others have, our own part means what our rules mean alone; and where others cannot pass ours by, what
//! ours block is blocked.

use ringfence::ir::{Base, Chain, ChainKind, Family, Hook, Match, Policy, Rule, Ruleset, Table, Verdict, ours};
use ringfence::semantics::{Outcome, Packet, Rules, merged};
use ringfence::verify::own_part;

use super::generate::{Points, Random, Scope};
use super::{DOORS, outcomes};

/// Packets at the edges of all these rulesets, with what becomes of them in each.
fn fates(scope: &Scope, random: &mut Random, rulesets: &[&Ruleset], mut look: impl FnMut(&Packet, &[[Outcome; 3]])) {
    let whole = Ruleset {
        tables: rulesets.iter().flat_map(|ruleset| ruleset.tables.iter().cloned()).collect(),
        ..Ruleset::default()
    };
    let points = Points::of(&whole);
    let rules: Vec<Rules> = rulesets.iter().map(|ruleset| Rules::new(ruleset)).collect();
    for _ in 0..60 {
        let packet = scope.packet(random, &points);
        let found: Vec<[Outcome; 3]> = rules.iter().map(|rules| outcomes(rules, &packet)).collect();
        look(&packet, &found);
    }
}

/// Of nf_tables our table is all that is ours, and nobody else can let through what it blocks.
#[test]
fn our_table_means_what_it_means_alone_and_blocks_for_all() {
    let (mut blocked, mut otherwise) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(31_000 + seed);
        let plain = Scope::wide();
        let scope = Scope { unknowns: seed % 3 == 0, statements: seed % 2 == 0, ..plain.clone() };
        let mut own = scope.ruleset(&mut random);
        own.tables.truncate(1);
        own.tables[0].name = ours::TABLE.into();
        // What changes a packet on its way, or may, changes what ours see, and is looked at elsewhere.
        let others = plain.ruleset(&mut random);
        let mut all = Ruleset { tables: others.tables, ..Ruleset::default() };
        let at = random.below(all.tables.len() + 1);
        all.tables.insert(at, own.tables[0].clone());
        let part = own_part(&all).into_owned();
        assert_eq!(*own_part(&part), part, "seed {seed}");
        let joined = own_part(&merged(&all)).into_owned();
        fates(&plain, &mut random, &[&own, &part, &joined, &all], |packet, found| {
            let [own, part, joined, all] = found else { panic!("four rulesets") };
            assert_eq!(own, part, "seed {seed}: {packet}");
            assert_eq!(part, joined, "seed {seed}: {packet}");
            for (at, door) in DOORS.iter().enumerate() {
                let (part, all) = (part[at], all[at]);
                assert!(all.may_block || !part.may_block, "seed {seed}: {packet} at {door:?}");
                assert!(part.may_pass || !all.may_pass, "seed {seed}: {packet} at {door:?}");
                blocked += usize::from(!part.may_pass);
                otherwise += usize::from(part != all);
            }
        });
    }
    assert!(blocked > 1000 && otherwise > 1000, "{blocked} blocked by ours, {otherwise} otherwise by all");
}

/// Where the rules of others stand to ours in a chain of iptables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Nowhere,
    Behind,
    /// And no verdict of theirs lets a packet pass ours by.
    InFront,
    Anywhere,
}

/// Our chains, and the chains of everybody that jump to them.
fn shared(scope: &Scope, random: &mut Random, own: &[Chain], jumps: &[Match], others: Others) -> Ruleset {
    let sets = scope.ruleset(random).tables[0].sets.clone();
    let foreign = Chain::named("f2b-sshd", (0..3).map(|_| scope.rule(random, &sets, &[])).collect());
    let rules = |random: &mut Random, most: usize, lets_by: bool| -> Vec<Rule> {
        let count = random.below(most + 1);
        let one = |random: &mut Random| {
            let mut rule = scope.rule(random, &sets, std::slice::from_ref(&foreign.name));
            if !lets_by && rule.verdict.is_some() {
                rule.verdict = Some(Verdict::Drop);
            }
            rule
        };
        (0..count).map(|_| one(random)).collect()
    };
    let mut tables = Vec::new();
    for (name, hook, priority) in [("raw", Hook::Prerouting, -300), ("mangle", Hook::Input, -150)] {
        let jump =
            Rule { matches: jumps.to_vec(), verdict: Some(Verdict::Jump(ours::CHAIN.into())), ..Rule::default() };
        let front = match others {
            Others::Nowhere | Others::Behind => Vec::new(),
            Others::InFront => rules(random, 3, false),
            Others::Anywhere => rules(random, 3, true),
        };
        let behind = if others == Others::Nowhere { Vec::new() } else { rules(random, 4, true) };
        let drops = others != Others::Nowhere && random.chance(30);
        let policy = if drops { Policy::Drop } else { Policy::Accept };
        let base = Base { kind: ChainKind::Filter, hook, priority, policy, shared: true };
        let everybody = Chain {
            base: Some(base),
            ..Chain::named("PREROUTING", front.into_iter().chain([jump]).chain(behind).collect())
        };
        let chains = own.iter().cloned().chain([foreign.clone(), everybody]).collect();
        tables.push(Table { family: Family::Ip, name: name.into(), legacy: false, sets: sets.clone(), chains });
    }
    Ruleset { tables, ..Ruleset::default() }
}

/// Among the rules of iptables ours are the chains of our name and what jumps to them.
#[test]
fn our_chains_mean_what_they_mean_alone_whatever_stands_beside_them() {
    let (mut blocked, mut passed_by) = (0, 0);
    for seed in 0..300 {
        let mut random = Random::new(47_000 + seed);
        let scope = Scope { unknowns: seed % 3 == 0, ..Scope::wide() };
        // Without sets, which others have under the same names.
        let rule = |random: &mut Random, targets: &[String]| loop {
            let rule = scope.rule(random, &scope.ruleset(&mut random.clone()).tables[0].sets, targets);
            let named = format!("{:?}", rule.matches);
            if !named.contains("Set(") {
                break rule;
            }
        };
        let admit = format!("{}-ADMIT", ours::CHAIN);
        let first = Chain::named(&admit, (0..4).map(|_| rule(&mut random, &[])).collect());
        let main = Chain::named(ours::CHAIN, (0..5).map(|_| rule(&mut random, std::slice::from_ref(&admit))).collect());
        let jumps = if random.chance(50) { rule(&mut random, &[]).matches } else { Vec::new() };
        let own = [first, main];
        let mut with = |others| shared(&scope, &mut random, &own, &jumps, others);
        let kinds = [Others::Nowhere, Others::Behind, Others::InFront, Others::Anywhere].map(&mut with);
        let parts = kinds.each_ref().map(|ruleset| own_part(ruleset).into_owned());
        let joined = own_part(&merged(&kinds[3])).into_owned();
        let all: Vec<&Ruleset> = kinds.iter().chain(&parts).chain([&joined]).collect();
        fates(&scope, &mut random, &all, |packet, found| {
            let alone = found[0];
            for part in &found[4..] {
                assert_eq!(*part, alone, "seed {seed}: {packet}");
            }
            for (at, door) in DOORS.iter().enumerate() {
                // Behind ours and, where they let nobody by, in front of ours others can only block more.
                for others in [found[1], found[2]] {
                    let (alone, all) = (alone[at], others[at]);
                    assert!(all.may_block || !alone.may_block, "seed {seed}: {packet} at {door:?}");
                    assert!(alone.may_pass || !all.may_pass, "seed {seed}: {packet} at {door:?}");
                }
                blocked += usize::from(!alone[at].may_pass);
                passed_by += usize::from(!alone[at].may_pass && found[3][at].may_pass);
            }
        });
    }
    assert!(blocked > 1000 && passed_by > 50, "{blocked} blocked by ours, {passed_by} of them passed ours by");
}
