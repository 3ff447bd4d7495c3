//! What is said of a whole ruleset, against what is said of each of its packets one by one.
//!
//! The specification is the plain one: every packet that rules or claims can tell apart, at both doors, wanted by
//! [`Claims::wants`], judged by [`Rules::evaluate`]. The proofs go another way, by sets of packets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod generate;
mod spaces;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use generate::{Points, Random, Scope};
use ringfence::cluster::{self, Cluster, Site};
use ringfence::compile::{self, SetsMode};
use ringfence::dialect::iptables;
use ringfence::ir::{Family, Ruleset};
use ringfence::semantics::{Door, Locality, Packet, Space, merged, rewriting};
use ringfence::verify::{Claim, Claims, Families, Finding, check, own_part};
use spaces::specification::{Found, Judged, Specification, disturbed, elsewhere};
use spaces::{enriched, every_packet, how_many, unusual};

/// More packets than a test looks at one by one.
const MOST: u64 = 150_000;

/// Small clusters, each with something of its own: interfaces, clients, both families, untrusted networks, closed services.
const CLUSTERS: [&str; 3] = ["interfaces", "clients", "ipv6"];

fn cluster(name: &str) -> Cluster {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs").join(name).with_extension("toml");
    let loaded = cluster::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    loaded.cluster.unwrap_or_else(|| panic!("{}: not a cluster", fs::read_to_string(&path).unwrap()))
}

/// Notes what comes of a packet.
fn note(specification: &Specification<'_>, packet: &Packet, found: &mut BTreeMap<Claim, Found>) {
    for Judged { claim, found: now, .. } in specification.packet(packet) {
        let before = found.entry(claim).or_insert(Found::Proved);
        if now == Found::Violated || *before == Found::Proved {
            *before = now;
        }
    }
}

/// Compares the report with what each packet says; false where there are too many packets.
fn compare(name: &str, ruleset: &Ruleset, site: &Site<'_>, counts: &mut BTreeMap<(Claim, u8), usize>) -> bool {
    let ruleset = merged(ruleset);
    let (claims, asked) = (Claims::of(site), Claims::of(site));
    let question = asked.question();
    let mut space = Space::new(&[&ruleset], &question).unwrap();
    if how_many(&mut space) > MOST {
        return false;
    }
    wanted_of_each_packet(name, &claims, &mut space);
    let ours = own_part(&ruleset);
    let specification = Specification::of(claims, &ruleset, &ours);
    let mut expected: BTreeMap<Claim, Found> = BTreeMap::new();
    for packet in every_packet(&mut space) {
        note(&specification, &packet, &mut expected);
    }
    // A space with too few classes would not show it by its own packets.
    let points = Points::of(&ruleset);
    let scope = Scope::wide();
    let mut random = Random::new(points.v4.len() as u64 + 77);
    for _ in 0..4_000 {
        let packet = scope.packet(&mut random, &points);
        let packet = unusual(&mut random, &space, packet);
        if space.has(space.possible(), &packet) {
            note(&specification, &packet, &mut expected);
        }
    }
    let report = check(&ruleset, site, Families::Both).unwrap();
    let rewrites = rewriting(&ruleset).is_some();
    for (claim, finding) in report.findings() {
        let wanted = expected.get(claim).copied().unwrap_or(Found::Proved);
        if wanted == Found::Proved && is_led(finding) {
            // A text that may lead a protected port elsewhere is asked as on a host that translates.
            let there = check(&ruleset, &site.clone().translating(true), Families::Both).unwrap();
            let isolation = there.findings().iter().find(|(own, _)| own == claim).unwrap();
            assert!(*claim == Claim::Isolation && isolation.1 != Finding::Proved, "{name}: {claim:?}: {finding:?}");
            *counts.entry((*claim, Found::Undecided as u8)).or_default() += 1;
            continue;
        }
        let found = match finding {
            Finding::Proved => Found::Proved,
            Finding::Undecided(_) => Found::Undecided,
            Finding::Violated(_) | Finding::OnPurpose(_) => Found::Violated,
            Finding::Unjudged(_) => {
                assert!(rewrites && wanted != Found::Violated, "{name}: {claim:?} is not judged");
                continue;
            }
        };
        assert_eq!(found, wanted, "{name}: {claim:?}: {finding:?} in {ruleset:#?}");
        // What is shown shows it.
        if let Finding::Violated(witness) | Finding::Undecided(witness) = finding {
            let packet = Packet { destination: witness.packet.destination, ..witness.packet.clone() };
            let undirected = Packet {
                destination: packet.destination.filter(|_| !matches!(packet.locality, Locality::Local | Locality::Vrf)),
                ..packet.clone()
            };
            let mut alone = BTreeMap::new();
            note(&specification, &undirected, &mut alone);
            assert_eq!(alone.get(claim), Some(&found), "{name}: {claim:?}: {packet}");
        }
        *counts.entry((*claim, found as u8)).or_default() += 1;
    }
    true
}

/// Whether what is in doubt is a connection that was led elsewhere.
fn is_led(finding: &Finding) -> bool {
    matches!(finding, Finding::Unjudged(why) if why.ends_with("before these rules were there goes on"))
}

/// The sets of what is wanted say of every packet what the claims say of it.
fn wanted_of_each_packet(name: &str, claims: &Claims<'_>, space: &mut Space<'_>) {
    for door in [Door::BeforeTranslation, Door::Prerouting, Door::Input] {
        let wanted = claims.wanted(space, door).unwrap();
        let all = every_packet(space);
        for packet in all.iter().step_by(1 + all.len() / 20_000) {
            let point = space.point(packet);
            let found: Vec<(Claim, bool)> = wanted
                .iter()
                .filter(|(.., set)| space.sets.has(*set, &point))
                .map(|(claim, wanted, _)| (*claim, *wanted))
                .collect();
            let expected: Vec<(Claim, bool)> = claims.wants(door, packet).into_iter().collect();
            assert_eq!(found, expected, "{name}: {packet} at {door:?}");
        }
    }
}

#[test]
fn reports_are_what_each_packet_says() {
    let mut counts = BTreeMap::new();
    let (mut judged, mut skipped) = (0, 0);
    for (number, name) in CLUSTERS.iter().enumerate() {
        let cluster = cluster(name);
        for seed in 0..90 {
            let mut random = Random::new(50_000 + 1_000 * number as u64 + seed);
            let scope = Scope { statements: seed % 2 == 0, unknowns: seed % 5 == 0, ..Scope::wide() };
            let mut site = Site::of_every_node(&cluster);
            if seed % 6 == 0 {
                site = site.answering_for(elsewhere());
            }
            let site = site.translating(seed % 4 == 0);
            let guard = match seed % 3 {
                0 => Ruleset::default(),
                1 => compile::nft(&site),
                _ => compile::iptables(&site, SetsMode::Never),
            };
            let ruleset = if guard.tables.is_empty() {
                let mut alone = scope.ruleset(&mut random);
                enriched(&mut random, &mut alone);
                alone
            } else {
                disturbed(&mut random, &scope, &guard)
            };
            let name = format!("{name}, seed {seed}");
            if compare(&name, &ruleset, &site, &mut counts) { judged += 1 } else { skipped += 1 }
        }
    }
    let kinds = |claim, found: Found| counts.get(&(claim, found as u8)).copied().unwrap_or(0);
    for claim in Claim::ALL {
        for found in [Found::Proved, Found::Violated] {
            assert!(kinds(claim, found) > 5, "{claim:?} is {found:?} {} times: {counts:?}", kinds(claim, found));
        }
    }
    assert!(kinds(Claim::Isolation, Found::Undecided) > 5 && kinds(Claim::Reachability, Found::Undecided) > 5);
    assert!(judged > 100, "{judged} rulesets were judged, {skipped} left out: {counts:?}");
}

/// Rules of iptables that an honest peer is kept out by, though by their look it is let in.
fn violates_reachability(input: &str) {
    let text = format!(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n\
        -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n{input}COMMIT\n"
    );
    let ruleset = iptables::read(&text, Family::Ip).unwrap().ruleset;
    let cluster = cluster("interfaces");
    let report = check(&ruleset, &Site::of_every_node(&cluster), Families::Ipv4).unwrap();
    let (_, finding) = report.findings().iter().find(|(claim, _)| *claim == Claim::Reachability).unwrap();
    assert!(matches!(finding, Finding::Violated(_)), "{finding:?}");
}

/// States are asked for by a rule alone that no packet from outside meets. Established packets are there for all that.
#[test]
fn established_packets_are_judged_wherever_states_are_asked_for() {
    violates_reachability(
        "-A INPUT -p tcp -m tcp --tcp-flags ACK ACK -j DROP\n-A INPUT -p tcp -s 10.20.0.0/16 -j ACCEPT\n",
    );
}

/// A SYN may carry further flags, by ECN or where it has data. It must not hide behind FIN and SYN, which no honest peer sends together.
#[test]
fn every_way_to_open_a_connection_is_judged() {
    violates_reachability(
        "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
        -A INPUT -p tcp -m tcp --tcp-flags FIN,PSH NONE -s 10.20.0.0/16 -j ACCEPT\n",
    );
}

/// Whom a file admits comes to the addresses in it, by the table `local` and by that of a VRF alike: a rule about other
/// destinations cuts nobody off, one about these lets everybody in.
#[test]
fn peers_come_to_the_addresses_of_the_file() {
    let cluster = cluster("ipv6");
    let rules = |v4: &str| {
        format!(
            "table inet filter {{ chain input {{ type filter hook input priority 0; policy drop;\n\
             ip daddr {v4} accept\nip6 daddr 2001:db8:20::11 accept\niifname \"lo\" accept\n}} }}"
        )
    };
    let reachability = |v4: &str| {
        let ruleset = ringfence::dialect::nft::read(&rules(v4)).unwrap().ruleset;
        let report = check(&ruleset, &Site::of_every_node(&cluster), Families::Both).unwrap();
        report.findings().iter().find(|(claim, _)| *claim == Claim::Reachability).unwrap().1.clone()
    };
    assert_eq!(reachability("10.20.0.11"), Finding::Proved);
    let Finding::Violated(witness) = reachability("10.20.0.12") else { panic!("peers come to another address") };
    assert_eq!(witness.packet.destination, Some("10.20.0.11".parse().unwrap()));
}
