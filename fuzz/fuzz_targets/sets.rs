//! What rules do with all packets at once is what they do with each, whatever the rules are; and every ruleset ends with a
//! report and with a difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::cluster::{self, Cluster, Site};
use ringfence::dialect::{iptables, nft};
use ringfence::diff::difference;
use ringfence::ir::{ConnectionStates, Family, Ruleset, TcpFlags};
use ringfence::semantics::{Door, Flow, Locality, Outcome, Packet, Question, Rules, Shape, Space, TCP, merged};
use ringfence::verify::{Families, Finding, check};
use std::path::Path;
use std::sync::LazyLock;

const SOURCES: [&str; 5] = ["10.20.0.11", "10.20.0.12", "203.0.113.7", "2001:db8::1", "fd20::11"];
const DOORS: [Door; 3] = [Door::BeforeTranslation, Door::Prerouting, Door::Input];
const PORTS: [u16; 4] = [22, 8087, 8098, 18098];

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let text = "[cluster]\nname = \"fuzz\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n\
                [networks]\nprivate = [\"10.20.0.0/16\"]\n[services.distribution]\nports = \"6000-6009\"\n";
    cluster::parse("fuzz.toml", text.to_owned(), Path::new("/nonexistent")).cluster.expect("a good file")
});

fuzz_target!(|text: &str| {
    let read = |text: &str| -> Option<Ruleset> {
        if text.starts_with('*') {
            Some(iptables::read(text, Family::Ip).ok()?.ruleset)
        } else {
            Some(nft::read(text).ok()?.ruleset)
        }
    };
    let Some(ruleset) = read(text) else { return };
    let ruleset = merged(&ruleset);
    let question = Question::default();
    let mut space = Space::new(&[&ruleset], &question).expect("a small text");
    let rules = Rules::new(&ruleset);
    let mut flow = Flow::new(&rules);
    for door in DOORS {
        let fates = flow.fates(&mut space, door).expect("a small text");
        for (number, source) in SOURCES.iter().enumerate() {
            for (other, port) in PORTS.into_iter().enumerate() {
                let mut packet = Packet { port, ..Packet::plain(source.parse().expect("an address")) };
                packet.flags = TcpFlags([0x02, 0x10, 0x12][other % 3]);
                packet.state = ConnectionStates::ALL[(number + other) % 5].0;
                packet.locality = Locality::ALL[(number * 3 + other) % 4];
                packet.protocol = [TCP, TCP, 17][(number + 2 * other) % 3];
                packet.shape = [Shape::Whole, Shape::First, Shape::LaterMisread][(2 * number + other) % 3];
                let outcome = rules.evaluate(door, &packet);
                let found = Outcome {
                    may_pass: space.has(fates.may_pass, &packet),
                    may_block: space.has(fates.may_block, &packet),
                };
                assert_eq!(found, outcome, "{packet} at {door:?}");
            }
        }
    }
    let report = check(&ruleset, &Site::of_every_node(&CLUSTER), Families::Both).expect("a small text");
    for (_, finding) in report.findings() {
        if let Finding::Violated(witness) = finding {
            let outcome = rules.evaluate(witness.door, &witness.packet);
            assert!(if witness.wanted { outcome.may_block } else { outcome.may_pass }, "{witness:?}");
        }
    }
    let _ = difference(&ruleset, &Ruleset::default()).expect("a small text");
});
