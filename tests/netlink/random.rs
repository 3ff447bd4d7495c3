//! Random rulesets, and random changes of who is a member.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ringfence::cluster::Site;
use ringfence::dialect::netlink::{Expression, Extent, Table, lift, lower, write};
use ringfence::dialect::nft;
use ringfence::diff::difference;
use ringfence::ir::{self, Addresses, Elements, Match, Ruleset};
use ringfence::verify::{Families, check};

use super::generate::{Random, Scope};
use super::lab::netns;
use super::{bare, change, cluster, compiled, live};

/// As the kernel tells it: what other tests imply is left out, neighbours in a list are one range, and a name for each of
/// several interfaces stands once, in order.
fn implied(mut table: ir::Table) -> ir::Table {
    // Chains that were there before stay where they are.
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    let named = table.sets.clone();
    let is_ipv4 = |addresses: &Addresses| match addresses {
        Addresses::These(elements) => matches!(elements, Elements::Ipv4(_)),
        Addresses::Set(name) => named.iter().any(|set| set.name == *name && matches!(set.elements, Elements::Ipv4(_))),
    };
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        let families: Vec<ir::Family> = rule
            .matches
            .iter()
            .filter_map(|one| match one {
                Match::Source { addresses, .. } | Match::Destination { addresses, .. } => {
                    Some(if is_ipv4(addresses) { ir::Family::Ip } else { ir::Family::Ip6 })
                }
                Match::NotDirectlyTcp | Match::FirstFragment => Some(ir::Family::Ip6),
                _ => None,
            })
            .collect();
        rule.matches.retain(|one| !matches!(one, Match::Family(family) if families.contains(family)));
        for one in &mut rule.matches {
            match one {
                Match::InInterface { names, .. } => names.sort(),
                Match::Source { addresses: Addresses::These(elements), .. } => *elements = joined(elements),
                _ => {}
            }
        }
        // Tests of families and protocols that others imply stand before the first of these.
        let mut seen = Vec::new();
        rule.matches.retain(|one| {
            let twice = matches!(one, Match::Family(_)) && seen.contains(one);
            seen.push(one.clone());
            !twice
        });
    }
    table
}

fn joined(elements: &Elements) -> Elements {
    match elements {
        Elements::Ipv4(list) => {
            let mut joined: Vec<(u32, u32)> = Vec::new();
            for &(a, b) in list {
                match joined.last_mut() {
                    Some(last) if last.1.checked_add(1) == Some(a) => last.1 = b,
                    _ => joined.push((a, b)),
                }
            }
            Elements::Ipv4(joined)
        }
        Elements::Ipv6(list) => {
            let mut joined: Vec<(u128, u128)> = Vec::new();
            for &(a, b) in list {
                match joined.last_mut() {
                    Some(last) if last.1.checked_add(1) == Some(a) => last.1 = b,
                    _ => joined.push((a, b)),
                }
            }
            Elements::Ipv6(joined)
        }
        other => other.clone(),
    }
}

fn random_table(seed: u64, destinations: &[&str]) -> ir::Table {
    let destinations = destinations.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>();
    let scope = Scope { destinations, ..Scope::wide() };
    let mut random = Random::new(seed);
    let mut table = scope.ruleset(&mut random).tables.remove(0);
    table.name = "ringfence".into();
    table
}

/// By meaning, and but for what is implied also word by word.
fn assert_same(found: &ir::Table, expected: &ir::Table, seed: u64) {
    let (found, expected) = (implied(bare(found.clone())), implied(bare(expected.clone())));
    if found != expected {
        let ruleset = |table: &ir::Table| Ruleset { tables: vec![table.clone()], ..Ruleset::default() };
        let difference = difference(&ruleset(&expected), &ruleset(&found)).unwrap();
        assert!(difference.is_empty(), "seed {seed}: {difference:?}\n{expected:#?}\n{found:#?}");
    }
    assert_eq!(found.sets, expected.sets, "seed {seed}");
    for (found, expected) in found.chains.iter().zip(&expected.chains) {
        assert_eq!((&found.name, found.base, found.rules.len()), (&expected.name, expected.base, expected.rules.len()));
        for (found, expected) in found.rules.iter().zip(&expected.rules) {
            assert_eq!(found, expected, "seed {seed}");
        }
    }
    assert_eq!(found.chains.len(), expected.chains.len(), "seed {seed}");
}

#[test]
fn what_is_lowered_is_lifted_again() {
    for seed in 0..2000 {
        let table = random_table(seed, &["192.0.2.1", "2001:db8::1"]);
        let written = write(&lower(&table).unwrap()).unwrap();
        let lifted = lift(&written).unwrap().unwrap();
        assert_eq!(lifted.unknown, Vec::<String>::new(), "seed {seed}");
        assert_same(&lifted.table, &table, seed);
    }
}

#[test]
fn random_rulesets_are_loaded_as_nft_loads_them() {
    netns::isolated("random::random_rulesets_are_loaded_as_nft_loads_them", || {
        let _namespace = netns::Namespace::unshare();
        for seed in 0..80 {
            let table = random_table(seed, &[]);
            let ruleset = Ruleset { tables: vec![table.clone()], ..Ruleset::default() };
            let text = format!("table inet ringfence\ndelete table inet ringfence\n{}", nft::write(&ruleset).unwrap());
            change(Some(&write(&lower(&table).unwrap()).unwrap()), Extent::Nothing);
            let ours = live().own.unwrap();
            assert_same(&lift(&ours).unwrap().unwrap().table, &table, seed);
            netns::run(&["nft", "-f", "-"], &text);
            let theirs = live().own.unwrap();
            let lifted = lift(&theirs).unwrap().unwrap();
            assert_eq!(lifted.unknown, Vec::<String>::new(), "seed {seed}");
            let both = [lifted.table, table.clone()].map(|table| Ruleset { tables: vec![table], ..Ruleset::default() });
            let difference = difference(&both[1], &both[0]).unwrap();
            assert!(difference.is_empty(), "seed {seed}: {difference:?}\n{text}\n{:#?}", both[0]);
        }
    });
}

/// Who is a member, and what is guarded.
#[derive(Clone, Default)]
struct Membership {
    nodes: BTreeSet<u8>,
    clients: Vec<(BTreeSet<u8>, BTreeSet<u8>)>,
    untrusted: BTreeSet<u8>,
    last_port: u16,
}

impl Membership {
    fn text(&self) -> String {
        let mut text = String::from("[cluster]\nname = \"x\"\nprofile = \"riak\"\nnodes = [");
        for node in &self.nodes {
            let address = if node % 5 == 0 { format!("fd20::{node:x}") } else { format!("10.20.0.{node}") };
            write!(text, "\"riak@{address}\", ").unwrap();
        }
        text += "]\n[networks]\nprivate = [\"10.20.0.0/16\", \"fd20::/64\"]\nuntrusted = [";
        self.untrusted.iter().for_each(|third| write!(text, "\"10.20.{third}.128/25\", ").unwrap());
        writeln!(text, "]\n[services.distribution]\nports = \"6000-{}\"", self.last_port).unwrap();
        for (number, (hosts, networks)) in self.clients.iter().enumerate() {
            write!(text, "[[client]]\nname = \"c{number}\"\nservices = [\"http\"]\nfrom = [").unwrap();
            hosts.iter().for_each(|host| write!(text, "\"10.21.0.{host}\", \"fd21::{host:x}\", ").unwrap());
            networks.iter().for_each(|third| write!(text, "\"10.22.{third}.0/24\", ").unwrap());
            text += "]\n";
        }
        text
    }

    fn change(&mut self, random: &mut Random) {
        let toggle = |set: &mut BTreeSet<u8>, one: u8| {
            if !set.remove(&one) {
                set.insert(one);
            }
        };
        let (some, many) = (random.below(8) as u8 + 1, random.below(200) as u8 + 1);
        let client = random.below(self.clients.len());
        match random.below(100) {
            0..=49 => toggle(&mut self.nodes, many),
            50..=74 => toggle(&mut self.clients[client].0, many),
            75..=86 => toggle(&mut self.clients[client].1, some + 10),
            87..=96 => toggle(&mut self.untrusted, some + 30),
            _ => self.last_port = 6250 + u16::from(some),
        }
        // A cluster has a node, and a client somewhere to come from.
        self.nodes.insert(1);
        self.clients.iter_mut().for_each(|client| _ = client.0.insert(1));
    }
}

/// What each rule has counted, by chain and comment.
fn counts(table: &Table) -> Vec<(String, String, u64)> {
    let counter = |rule: &ringfence::dialect::netlink::Rule| {
        rule.program().unwrap().into_iter().find_map(|one| match one {
            Expression::Counter { packets, .. } => Some(packets),
            _ => None,
        })
    };
    let of = |(chain, rule): (&ringfence::dialect::netlink::Chain, &ringfence::dialect::netlink::Rule)| {
        Some((chain.name.clone(), rule.comment()?, counter(rule)?))
    };
    table.rules().filter_map(of).collect()
}

#[test]
fn a_thousand_changes_of_membership() {
    netns::isolated("random::a_thousand_changes_of_membership", || {
        let _namespace = netns::Namespace::unshare();
        let mut random = Random::new(7);
        let mut membership = Membership {
            nodes: (1..=20).collect(),
            clients: vec![((1..=4).collect(), [11, 12, 13, 14].into()), ([9].into(), BTreeSet::new())],
            untrusted: [31, 32, 33, 34].into(),
            last_port: 6250,
        };
        let mut extents = [0; 4];
        let (mut ours, _) = compiled(&cluster(&membership.text()));
        change(Some(&ours), Extent::Nothing);
        let mut steps = 0;
        while steps < 1000 {
            membership.change(&mut random);
            let cluster = cluster(&membership.text());
            let (wanted, ruleset) = compiled(&cluster);
            let before = counts(&live().own.unwrap());
            let extent = change(Some(&wanted), Extent::Nothing);
            extents[extent as usize] += 1;
            assert_ne!(extent, Extent::Whole, "{}", membership.text());
            let table = live().own.unwrap();
            let after = counts(&table);
            assert!(
                before.iter().filter(|one| after.iter().any(|other| one.1 == other.1)).all(|one| after.contains(one))
            );
            let lifted = lift(&table).unwrap().unwrap();
            assert_eq!(lifted.unknown, Vec::<String>::new());
            let live = Ruleset { tables: vec![lifted.table], ..Ruleset::default() };
            if steps % 4 == 0 {
                let report = check(&live, &Site::of_every_node(&cluster), Families::Both).unwrap();
                assert!(report.is_proved(), "{:?}\n{}", report.findings(), membership.text());
            } else {
                let mut expected = bare(ruleset.tables[0].clone());
                for (own, set) in bare(live.tables[0].clone()).sets.iter().zip(&mut expected.sets) {
                    // A set with room enough stays.
                    set.kind = own.kind;
                }
                assert_eq!(implied(bare(live.tables[0].clone())), implied(expected), "{}", membership.text());
            }
            assert_eq!(change(Some(&wanted), Extent::Nothing), Extent::Nothing);
            ours = wanted;
            steps += 1;
        }
        assert!(extents[Extent::Elements as usize] > 400, "{extents:?}");
        assert!(extents[Extent::Rules as usize] > 50, "{extents:?}");
        assert!(!ours.sets.is_empty());
    });
}
