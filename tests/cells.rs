//! What the matrix says of each cell, against what is said of each of its packets one by one, and against the report.
//!
//! The specification is the plain one, as for the claims ([`spaces::specification`]): each packet that rules or claims can tell apart is
//! put into the cells that it belongs to. The matrix goes another way, by sets of packets and classes of sources.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod generate;
mod spaces;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use generate::{Random, Scope};
use ringfence::cluster::{self, Cluster, Site};
use ringfence::compile::{self, SetsMode};
use ringfence::ir::{Elements, Ruleset};
use ringfence::net::Cidr;
use ringfence::semantics::{Packet, Shape, Space, merged};
use ringfence::verify::{Cell, Claim, Claims, Families, Fare, Finding, Held, Matrix, On, Row, Whose, matrix, own_part};
use spaces::specification::{Found, Judged, Specification, disturbed, elsewhere};
use spaces::{enriched, every_packet, how_many};

/// More packets than a test looks at one by one.
const MOST: u64 = 150_000;

const CLUSTERS: [&str; 3] = ["interfaces", "clients", "ipv6"];

fn cluster(name: &str) -> Cluster {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs").join(name).with_extension("toml");
    cluster::load(&path).unwrap().cluster.unwrap()
}

/// What the packets of a cell say.
#[derive(Default)]
struct Said {
    /// Whether some are to be admitted, and some blocked; odd ones do not say.
    welcome: bool,
    refused: bool,
    leaks: BTreeSet<Found>,
    odd_leaks: BTreeSet<Found>,
    cuts: BTreeSet<Found>,
    /// What becomes of them by all doors: some get in, some do not, of some it cannot be said; and of odd ones that leak.
    ends: BTreeSet<Option<bool>>,
    odd_ends: BTreeSet<Option<bool>>,
}

impl Said {
    fn note(&mut self, judged: &[Judged], odd: bool, (specification, packet): (&Specification<'_>, &Packet)) {
        for one in judged {
            let end = specification.ends(packet, one.to);
            match one.claim {
                Claim::Isolation if odd => {
                    self.odd_leaks.insert(one.found);
                    let is_one = packet.original_port.is_none() || !specification.stays(packet);
                    // Of what it was before nothing is known.
                    let end = end.filter(|_| packet.original_port.is_none());
                    if one.found != Found::Proved && is_one && end != Some(false) {
                        self.odd_ends.insert(end);
                    }
                }
                Claim::Isolation => {
                    self.refused = true;
                    self.leaks.insert(one.found);
                    self.ends.insert(end);
                }
                Claim::Reachability => {
                    self.cuts.insert(one.found);
                    if !odd {
                        self.welcome = true;
                        let same = judged.iter().filter(|own| own.claim == one.claim && own.to == one.to);
                        let stopped = same.into_iter().any(|own| own.found == Found::Violated);
                        if end != Some(false) || stopped {
                            self.ends.insert(end);
                        }
                    }
                }
                Claim::NonInterference | Claim::OwnReplies => {}
            }
        }
    }

    fn cell(&self) -> (Fare, Fare, Held) {
        let wanted = match (self.welcome, self.refused) {
            (true, true) => Fare::Mixed,
            (true, false) => Fare::Admitted,
            (false, true) => Fare::Blocked,
            (false, false) => Fare::Undecided,
        };
        let none = BTreeSet::new();
        let odd = if wanted == Fare::Admitted { &BTreeSet::new() } else { &self.odd_leaks };
        let has = |found: Found| self.leaks.contains(&found) || odd.contains(&found) || self.cuts.contains(&found);
        if !has(Found::Violated) {
            let proved = !has(Found::Undecided) && wanted != Fare::Undecided;
            return if proved { (wanted, wanted, Held::Proved) } else { (wanted, Fare::Undecided, Held::Undecided) };
        }
        let odd = if wanted == Fare::Admitted { &none } else { &self.odd_ends };
        let ends = |end: Option<bool>| self.ends.contains(&end) || odd.contains(&end);
        let found = match [ends(Some(true)), ends(Some(false)), ends(None)] {
            [true, true, _] => Fare::Mixed,
            [true, false, true] => Fare::SomeAdmitted,
            [true, false, false] => Fare::Admitted,
            [false, true, true] => Fare::SomeBlocked,
            [false, true, false] if wanted == Fare::Blocked => Fare::Elsewhere,
            [false, true, false] => Fare::Blocked,
            [false, false, _] => Fare::Undecided,
        };
        (wanted, found, Held::Violated)
    }
}

fn has(row: &Row, source: IpAddr) -> bool {
    row.sources.iter().any(|(first, last)| *first <= source && source <= *last)
        && source.is_ipv4() == row.sources[0].0.is_ipv4()
}

fn comes_in(row: &Row, packet: &Packet) -> bool {
    let among = |names: &[_]| packet.interface.as_ref().is_some_and(|own| names.contains(own));
    match &row.on {
        On::Any => true,
        On::These(names) => among(names),
        On::AllBut(names) => !among(names),
    }
}

/// Whether a packet belongs to a service, and if it does, whether it is an odd one.
fn asks(packet: &Packet, ports: &ringfence::net::Ports) -> Option<bool> {
    let hidden = matches!(packet.shape, Shape::FirstHidden | Shape::FirstAnnounced);
    let odd = packet.original_port.is_some() || hidden;
    let either = ports.has(packet.port) || packet.original_port.is_some_and(|port| ports.has(port));
    either.then_some(odd)
}

/// Compares the matrix with what each packet says; false where there are too many packets.
fn compare(name: &str, ruleset: &Ruleset, site: &Site<'_>, counts: &mut BTreeMap<(Fare, Held), usize>) -> bool {
    let whole = merged(ruleset);
    let (claims, asked) = (Claims::of(site), Claims::of(site));
    let mut question = asked.question();
    let cluster = site.cluster();
    let networks = cluster.private().iter().chain(cluster.untrusted());
    question.sources.extend(networks.map(|source| Cow::Owned(Elements::of_networks(&[source.network]))));
    question.ports.extend(site.services().iter().map(|service| service.ports.ranges().to_vec()));
    let mut space = Space::new(&[&whole], &question).unwrap();
    if how_many(&mut space) > MOST {
        return false;
    }
    let (report, found) = matrix(ruleset, site, Families::Both).unwrap();
    consistent(name, &found, report.findings());
    if report.findings().iter().any(|(_, finding)| matches!(finding, Finding::Unjudged(_))) {
        assert!(found.because.is_some(), "{name}");
        let all = found.rows.iter().flat_map(|row| &row.cells);
        assert!(all.clone().all(|cell| matches!(cell.held, Held::Violated | Held::Undecided)), "{name}");
        return true;
    }
    let services: Vec<_> = site.services().iter().filter(|own| own.service.is_guarded()).collect();
    let ours = own_part(&whole);
    let specification = Specification::of(claims, &whole, &ours);
    let mut said: BTreeMap<(usize, usize), Said> = BTreeMap::new();
    for packet in every_packet(&mut space) {
        let judged = specification.packet(&packet);
        let rows = found.rows.iter().enumerate().filter(|(_, row)| has(row, packet.source) && comes_in(row, &packet));
        let mut in_some = false;
        for (row, _) in rows {
            in_some = true;
            for (column, service) in services.iter().enumerate() {
                if let Some(odd) = asks(&packet, &service.ports) {
                    said.entry((row, column)).or_default().note(&judged, odd, (&specification, &packet));
                }
            }
        }
        assert!(in_some, "{name}: {packet} is in no row");
    }
    for (at, row) in found.rows.iter().enumerate() {
        for (column, cell) in row.cells.iter().enumerate() {
            let expected = said.get(&(at, column)).map(Said::cell);
            let place = format!("{name}: {:?} {:?} at {}", row.who, row.on, services[column].service.name());
            assert_eq!(Some((cell.wanted, cell.found, cell.held)), expected, "{place} in {ruleset:#?}");
            shown(&place, &specification, row, cell);
            *counts.entry((cell.found, cell.held)).or_default() += 1;
        }
    }
    true
}

/// The packet that is shown is one of the cell, and shows it.
fn shown(place: &str, specification: &Specification<'_>, row: &Row, cell: &Cell) {
    let Some(witness) = &cell.witness else {
        assert_eq!(cell.held, Held::Proved, "{place}");
        return;
    };
    let packet = &witness.packet;
    assert!(has(row, packet.source) && comes_in(row, packet), "{place}: {packet}");
    let local = matches!(packet.locality, ringfence::semantics::Locality::Local | ringfence::semantics::Locality::Vrf);
    let packet = Packet { destination: packet.destination.filter(|_| !local), ..packet.clone() };
    let all: Vec<Found> = specification.packet(&packet).iter().map(|one| one.found).collect();
    let wanted = if cell.held == Held::Violated { Found::Violated } else { Found::Undecided };
    assert!(all.contains(&wanted), "{place}: {packet}: {all:?}");
}

/// Cells are proved where the claims are, and nowhere is more said than the claims say.
fn consistent(name: &str, found: &Matrix, findings: &[(Claim, Finding)]) {
    let proved = |claim| findings.iter().any(|(own, finding)| *own == claim && *finding == Finding::Proved);
    let all: Vec<&Cell> = found.rows.iter().flat_map(|row| &row.cells).collect();
    if proved(Claim::Isolation) && proved(Claim::Reachability) {
        assert!(all.iter().all(|cell| cell.held == Held::Proved && cell.found == cell.wanted), "{name}");
    }
    let violated =
        |claim| findings.iter().any(|(own, finding)| *own == claim && matches!(finding, Finding::Violated(_)));
    if violated(Claim::Reachability) {
        assert!(all.iter().any(|cell| cell.held == Held::Violated), "{name}");
    }
}

#[test]
fn cells_are_what_each_packet_says() {
    let mut counts = BTreeMap::new();
    let (mut judged, mut skipped) = (0, 0);
    for (number, name) in CLUSTERS.iter().enumerate() {
        let cluster = cluster(name);
        for seed in 0..90 {
            let mut random = Random::new(70_000 + 1_000 * number as u64 + seed);
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
    let kinds = |found, held| counts.get(&(found, held)).copied().unwrap_or(0);
    for (found, held) in [
        (Fare::Admitted, Held::Proved),
        (Fare::Blocked, Held::Proved),
        (Fare::Admitted, Held::Violated),
        (Fare::Blocked, Held::Violated),
        (Fare::Mixed, Held::Violated),
        (Fare::Elsewhere, Held::Violated),
        (Fare::SomeAdmitted, Held::Violated),
        (Fare::SomeBlocked, Held::Violated),
        (Fare::Undecided, Held::Undecided),
    ] {
        assert!(kinds(found, held) > 20, "{found:?}, {held:?}: {counts:?}");
    }
    assert!(judged > 100, "{judged} rulesets were judged, {skipped} left out: {counts:?}");
}

/// Nobody is in two rows of what the file does not name, and everybody is in one.
#[test]
fn the_rows_are_everybody() {
    let text = "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\", \"a@10.0.0.2\"]\n[networks]\nprivate = [\"10.0.0.0/24\", \"10.0.0.0/16\"]\n\
                untrusted = [\"10.0.1.128/25\"]\n[services.distribution]\nports = \"6000\"\n\
                [[client]]\nname = \"web\"\nfrom = [\"10.0.1.0/24\"]\nservices = [\"http\"]\n";
    let cluster = cluster::parse("cluster.toml", text.to_owned(), Path::new("")).cluster.unwrap();
    let site = Site::of_every_node(&cluster);
    let (_, found) = matrix(&compile::nft(&site), &site, Families::Both).unwrap();
    let network = |text: &str| text.parse::<Cidr>().unwrap();
    let said: Vec<(Whose, bool, u64)> = found
        .rows
        .iter()
        .map(|row| {
            let count = row.sources.iter().map(|ends| match ends {
                (IpAddr::V4(a), IpAddr::V4(b)) => u64::from(b.to_bits() - a.to_bits()) + 1,
                _ => 0,
            });
            (row.who.clone(), row.ipv4, count.sum())
        })
        .collect();
    assert_eq!(
        said,
        [
            (Whose::Peers(0), true, 2),
            (Whose::Client(0, 0), true, 256),
            (Whose::Private(network("10.0.0.0/24")), true, 254),
            (Whose::Private(network("10.0.0.0/16")), true, 65536 - 2 - 256 - 254),
            (Whose::Untrusted(network("10.0.1.128/25")), true, 128),
            (Whose::Others, true, (1 << 32) - 65536),
            (Whose::Others, false, 0),
        ]
    );
    // A client who is untrusted in part is admitted in part, and the rest is his.
    let http =
        site.services().iter().filter(|own| own.service.is_guarded()).position(|own| own.service.name() == "http");
    let cell = &found.rows[1].cells[http.unwrap()];
    assert_eq!((cell.wanted, cell.found, cell.held), (Fare::Mixed, Fare::Mixed, Held::Proved));
}
