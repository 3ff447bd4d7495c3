//! Every cell of the matrix beside real packets: what it says of sources and ports is what becomes of segments from there.

use crate::lab::backend::Backend;
use crate::lab::frame::Segment;
use crate::lab::netns;
use crate::lab::probe::Shot;
use crate::lab::rules::Rules;
use crate::lab::{HOST4, HOST6, Lab};
use ringfence::cluster::{self, Cluster, Site};
use ringfence::dialect;
use ringfence::net::Cidr;
use ringfence::semantics::Shape;
use ringfence::verify::{Families, Fare, Held, Matrix, On, Row, matrix};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The host of the lab has two ways in, of which the cluster files name the first.
const INTERFACES: [&str; 2] = ["eth1", "eth2"];

/// Further sources that may be in a row: strangers, and the places around what files name.
const MORE: [&str; 12] = [
    "203.0.113.9",
    "192.0.2.7",
    "10.20.0.200",
    "10.20.0.10",
    "10.20.1.77",
    "10.21.0.11",
    "2001:db8:bad::9",
    "fd20::13",
    "fd20::14",
    "fd20::9",
    "10.20.1.9",
    "172.16.0.1",
];

/// What no frame can come from: the kernel drops it before any rule, or the host is it.
const NOWHERE: [&str; 9] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/3",
    "198.18.0.0/15",
    "::/96",
    "ff00::/8",
    "2001:db8:ffff::/48",
    "::ffff:0:0/96",
    "fe80::/10",
];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> Cluster {
    cluster::load(&file(path)).expect("a file").cluster.expect("a cluster")
}

fn found(cluster: &Cluster, rules: &str) -> Matrix {
    let ruleset = dialect::nft::read(rules).expect("a ruleset").ruleset;
    matrix(&ruleset, &Site::of_every_node(cluster), Families::Both).expect("judged").1
}

on_each_backend! {
    fn the_example(backend) {
        let path = "rulesets/examples/mail-east.toml";
        let rules = Rules::compile(&fs::read_to_string(file(path)).expect("a file"));
        let cluster = read(path);
        let found = found(&cluster, rules.text("nft"));
        assert!(found.rows.iter().flat_map(|row| &row.cells).all(|cell| cell.held == Held::Proved));
        let lab = Lab::with(&INTERFACES);
        backend.load(&rules);
        let asked = ask(&lab, &cluster, &found, path);
        assert!(asked > 500, "{asked} segments");
    }
}

/// Rules with one mistake each: it is in the cells that say so, and nowhere else.
#[test]
fn violated() {
    netns::isolated("cells::violated", || {
        if !Backend::Nft.is_here("cells::violated") {
            return;
        }
        let cluster = read("tests/transcripts/small.toml");
        let guard = Rules::compile(&fs::read_to_string(file("tests/transcripts/small.toml")).expect("a file"));
        let written = |name: &str| fs::read_to_string(file("tests/transcripts").join(name)).expect("a file");
        let open = guard.text("nft").replace("goto block comment \"isolation: everyone else\"", "return");
        assert_ne!(open, guard.text("nft"));
        let late =
            "table inet t { chain c { type filter hook prerouting priority -50; meta l4proto tcp drop; }; }".to_owned();
        for (name, text) in [
            ("blocked elsewhere", late),
            ("early-accept.nft", written("early-accept.nft")),
            ("forgot-a-peer.nft", written("forgot-a-peer.nft")),
            ("open to everyone", open),
        ] {
            let found = found(&cluster, &text);
            let violated = |row: &&Row| row.cells.iter().any(|cell| cell.held == Held::Violated);
            assert!(found.rows.iter().any(|row| violated(&row)), "{name} is not violated");
            let lab = Lab::with(&INTERFACES);
            netns::run(&["nft", "-f", "-"], &text);
            ask(&lab, &cluster, &found, name);
            witnesses(&lab, &found, name);
        }
    });
}

/// Whoever is led to another port before a guard that comes too late gets in, and no cell says that he does not.
#[test]
fn translated() {
    netns::isolated("cells::translated", || {
        if !Backend::Nft.is_here("cells::translated") {
            return;
        }
        let cluster = read("tests/transcripts/small.toml");
        let guard = Rules::compile(&fs::read_to_string(file("tests/transcripts/small.toml")).expect("a file"));
        let at = hook_of(guard.text("nft"));
        let late = guard.text("nft").replace(&at, "type filter hook prerouting priority 300;");
        let nat =
            "table ip n { chain p { type nat hook prerouting priority -100; tcp dport 8098 redirect to :9999; }; }\n";
        let dropped = "table ip i { chain c { type filter hook input priority 0; tcp dport 8098 drop; }; }\n";
        for (name, text, from) in [
            ("late", format!("{late}{nat}"), ["203.0.113.9", "10.20.0.200", "10.20.0.10"]),
            (
                "dropped at input",
                format!("{}{nat}{dropped}", guard.text("nft")),
                ["10.20.1.77", "10.20.1.9", "10.20.1.5"],
            ),
        ] {
            let found = found(&cluster, &text);
            let lab = Lab::with(&INTERFACES);
            netns::run(&["nft", "-f", "-"], &text);
            for from in from.map(|from| from.parse::<IpAddr>().expect("an address")) {
                let own = SocketAddr::new(from, 20000 + lab.next());
                let shot = Shot { via: INTERFACES[0], ..Shot::plain(Segment::syn(own, SocketAddr::new(HOST4, 8098))) };
                assert!(lab.fire_one(&shot).delivered(), "{name}: {from} is not led on");
                let rows = found
                    .rows
                    .iter()
                    .filter(|row| row.ipv4 && row.sources.iter().any(|(a, b)| *a <= from && from <= *b));
                // The services are distribution, epmd, handoff, http, protobuf.
                for cell in rows.map(|row| &row.cells[3]) {
                    let kept_out =
                        matches!(cell.found, Fare::Blocked | Fare::Elsewhere | Fare::SomeBlocked | Fare::Mixed);
                    assert!(!kept_out && cell.held != Held::Proved, "{name}: {from}: {cell:?}");
                }
            }
            // Where the guard is in its place, it lets segments by that open no connection, and a translation may lead these to a port that
            // is not guarded: of that no cell speaks.
            if name == "late" {
                let asked = ask(&lab, &cluster, &found, name);
                assert!(asked > 20, "{name}: {asked} segments");
            }
        }
    });
}

/// How the guard's chain at prerouting begins.
fn hook_of(text: &str) -> String {
    let from = text.find("type filter hook prerouting priority").expect("a chain at prerouting");
    let rest = &text[from..];
    rest[..=rest.find(';').expect("a policy")].to_owned()
}

/// Sends what a cell speaks of, and says how many segments that were.
fn ask(lab: &Lab, cluster: &Cluster, found: &Matrix, name: &str) -> usize {
    let site = Site::of_every_node(cluster);
    let services: Vec<_> = site.services().iter().filter(|service| service.service.is_guarded()).collect();
    let (mut shots, mut expected) = (Vec::new(), Vec::new());
    for row in &found.rows {
        for from in sources(row) {
            for via in INTERFACES.into_iter().filter(|via| comes_in(row, via)) {
                for (cell, service) in std::iter::zip(&row.cells, &services) {
                    let wanted = match cell.found {
                        Fare::Admitted => true,
                        Fare::Blocked | Fare::Elsewhere => false,
                        // It is not said of each source.
                        Fare::Mixed | Fare::SomeAdmitted | Fare::SomeBlocked | Fare::Undecided => continue,
                    };
                    let ranges = service.ports.ranges();
                    let ports = [ranges[0].first(), ranges[ranges.len() - 1].last()];
                    for (port, segment) in [(ports[0], Segment::syn as fn(_, _) -> _), (ports[1], Segment::data)] {
                        let to = SocketAddr::new(if from.is_ipv4() { HOST4 } else { HOST6 }, port);
                        let own = SocketAddr::new(from, 20000 + lab.next());
                        shots.push(Shot { via, ..Shot::plain(segment(own, to)) });
                        expected.push((wanted, format!("{:?} from {from} on {via} to port {port}", row.who)));
                    }
                }
            }
        }
    }
    let outcomes = lab.fire(&shots);
    let wrong: Vec<&str> = std::iter::zip(&expected, &outcomes)
        .filter(|((wanted, _), outcome)| outcome.delivered() != *wanted)
        .map(|((_, what), _)| what.as_str())
        .collect();
    assert!(wrong.is_empty(), "{name}: {} of {} went wrong:\n{}", wrong.len(), shots.len(), wrong.join("\n"));
    // Where everybody is blocked nobody gets in.
    assert!(
        (expected.iter().any(|(wanted, _)| *wanted) || name == "blocked elsewhere")
            && expected.iter().any(|(wanted, _)| !*wanted),
        "{name}"
    );
    shots.len()
}

/// The packets that show a violation fare as it says.
fn witnesses(lab: &Lab, found: &Matrix, name: &str) {
    let nowhere: Vec<Cidr> = NOWHERE.iter().map(|network| network.parse().expect("a network")).collect();
    let mut tried = 0;
    let cells = found.rows.iter().flat_map(|row| &row.cells);
    for (cell, witness) in cells.filter_map(|cell| Some((cell, cell.witness.as_ref()?))) {
        let packet = &witness.packet;
        if packet.shape != Shape::Whole || nowhere.iter().any(|network| network.has(packet.source)) {
            continue;
        }
        let to = SocketAddr::new(if packet.source.is_ipv4() { HOST4 } else { HOST6 }, packet.port);
        let own = SocketAddr::new(packet.source, 20000 + lab.next());
        let segment = Segment::new(own, to, packet.flags.0);
        let outcome = lab.fire_one(&Shot::plain(segment));
        let gets_in = !witness.wanted && cell.found != Fare::Elsewhere;
        assert_eq!(outcome.delivered(), gets_in, "{name}: {packet}");
        tried += 1;
    }
    // Of everybody the first that nothing names is 0.0.0.0, which no frame comes from.
    assert!(tried > 0 || name == "open to everyone", "{name}");
}

fn comes_in(row: &Row, via: &str) -> bool {
    let among = |names: &[ringfence::net::Interface]| names.iter().any(|own| own.as_str() == via);
    match &row.on {
        On::Any => true,
        On::These(names) => among(names),
        On::AllBut(names) => !among(names),
    }
}

/// Some of the sources of a row: the ends of its ranges, and what is between.
fn sources(row: &Row) -> Vec<IpAddr> {
    const MOST: usize = 8;
    let nowhere: Vec<Cidr> = NOWHERE.iter().map(|network| network.parse().expect("a network")).collect();
    let is_in = |address: &IpAddr| {
        row.ipv4 == address.is_ipv4() && row.sources.iter().any(|(first, last)| first <= address && address <= last)
    };
    let more = MORE.iter().map(|text| text.parse::<IpAddr>().expect("an address")).filter(is_in);
    let ends = row.sources.iter().flat_map(|(first, last)| [*first, *last]);
    let mut all: Vec<IpAddr> =
        more.chain(ends).filter(|own| !nowhere.iter().any(|network| network.has(*own))).collect();
    all.dedup();
    all.truncate(MOST);
    assert!(!all.is_empty(), "{:?} has no source that can be tried", row.who);
    all
}
