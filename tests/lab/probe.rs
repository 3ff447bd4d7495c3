//! Sends segments and says what became of them.
//!
//! A shot is known by its source address and port, which must be unique within a batch. The observer writes down source,
//! source port and destination port of every TCP segment that passes the last hook before delivery (`input`) or before
//! transit (`forward`), at a priority behind everything else; so one reading tells the fate of a whole batch, and the
//! number of packets in a batch costs nothing.

use super::frame::{ACK, RST, SYN, Seen, Segment, Shape, plain};
use super::netns::run;
use super::wire::Wire;
use super::{Lab, PATIENCE};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub const OBSERVER: &str = "
table inet observer {
  set input4 { type ipv4_addr . inet_service . inet_service; size 65535; flags dynamic; }
  set input6 { type ipv6_addr . inet_service . inet_service; size 65535; flags dynamic; }
  set forward4 { type ipv4_addr . inet_service . inet_service; size 65535; flags dynamic; }
  set forward6 { type ipv6_addr . inet_service . inet_service; size 65535; flags dynamic; }
  chain input {
    type filter hook input priority 30000; policy accept;
    meta nfproto ipv4 add @input4 { ip saddr . tcp sport . tcp dport }
    meta nfproto ipv6 add @input6 { ip6 saddr . tcp sport . tcp dport }
  }
  chain forward {
    type filter hook forward priority 30000; policy accept;
    meta nfproto ipv4 add @forward4 { ip saddr . tcp sport . tcp dport }
    meta nfproto ipv6 add @forward6 { ip6 saddr . tcp sport . tcp dport }
  }
}
";
const FORGET: &str = "
flush set inet observer input4
flush set inet observer input6
flush set inet observer forward4
flush set inet observer forward6
";
/// Frames between two waits: what a socket's usual buffer takes, several answers to each included.
const BATCH: usize = 64;

/// One segment on its way: what, wrapped how, into which interface of the host.
#[derive(Clone, Debug)]
pub struct Shot<'a> {
    pub segment: Segment,
    pub shape: Shape,
    pub via: &'a str,
}

impl Shot<'_> {
    /// A segment in one ordinary packet into `eth1`.
    pub fn plain(segment: Segment) -> Shot<'static> {
        Shot { segment, shape: plain, via: "eth1" }
    }
}

/// What became of one shot.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// The destination ports it had when the host took it for itself: after every rewriting.
    pub input: BTreeSet<u16>,
    /// The same, when the host passed it on.
    pub forward: BTreeSet<u16>,
    pub answers: Vec<Seen>,
}

impl Outcome {
    /// The host's stack accepted a connection.
    pub fn accepted(&self) -> Option<&Seen> {
        self.answers.iter().find(|seen| seen.flags & (SYN | ACK | RST) == SYN | ACK)
    }

    pub fn reset(&self) -> bool {
        self.answers.iter().any(|seen| seen.flags & RST != 0)
    }

    /// It went by every rule, whether or not anybody answered.
    pub fn delivered(&self) -> bool {
        !self.input.is_empty() || self.accepted().is_some()
    }
}

impl Lab {
    pub(super) fn start_observer(&self) {
        run(&["nft", "-f", "-"], OBSERVER);
    }

    /// Sends each shot once and waits until the host has dealt with all of them.
    pub fn fire(&self, shots: &[Shot]) -> Vec<Outcome> {
        run(&["nft", "-f", "-"], FORGET);
        self.answers();
        let mut outcomes: BTreeMap<SocketAddr, Outcome> = BTreeMap::new();
        for shot in shots {
            let first = outcomes.insert(shot.segment.from, Outcome::default()).is_none();
            assert!(first, "{} is in this batch twice", shot.segment.from);
        }
        for batch in shots.chunks(BATCH) {
            self.in_order(|| {
                for shot in batch {
                    self.send(shot, &shot.segment);
                }
                self.wait();
            });
            for answer in self.answers() {
                if let Some(outcome) = outcomes.get_mut(&answer.to) {
                    outcome.answers.push(answer);
                }
            }
        }
        for (set, from, port) in observed() {
            // Real connections of the same test are none of this batch's business.
            if let Some(outcome) = outcomes.get_mut(&from) {
                match set.as_str() {
                    "input4" | "input6" => outcome.input.insert(port),
                    "forward4" | "forward6" => outcome.forward.insert(port),
                    other => panic!("an observer set `{other}`"),
                };
            }
        }
        shots.iter().map(|shot| outcomes[&shot.segment.from].clone()).collect()
    }

    pub fn fire_one(&self, shot: &Shot) -> Outcome {
        self.fire(std::slice::from_ref(shot)).remove(0)
    }

    /// Whether a connection from `from` would be delivered: one SYN into `eth1`.
    pub fn knock(&self, from: SocketAddr, to: SocketAddr) -> Outcome {
        self.fire_one(&Shot::plain(Segment::syn(from, to)))
    }

    /// Makes a handshake out of raw frames, every one of them in the shot's shape, and returns what the program on the
    /// host says first. `None` when the host does not answer the SYN.
    pub fn converse(&self, shot: &Shot) -> Option<Vec<u8>> {
        let outcome = self.fire_one(shot);
        let accepted = outcome.accepted()?;
        let mut segment = Segment::new(shot.segment.from, shot.segment.to, ACK);
        segment.seq = accepted.ack;
        segment.ack = accepted.seq.wrapping_add(1);
        let mut said = words(&outcome.answers, segment.from);
        let start = Instant::now();
        while said.is_empty() {
            assert!(start.elapsed() < PATIENCE, "{} shook hands and heard nothing", segment.from);
            // Repeated each round; the host takes a second acknowledgement for what it is.
            self.send(shot, &segment);
            self.wait();
            said = words(&self.answers(), segment.from);
        }
        // The program is not left with a session that nobody will ever end.
        segment.flags = RST | ACK;
        self.send(shot, &segment);
        Some(said)
    }

    fn send(&self, shot: &Shot, segment: &Segment) {
        for packet in (shot.shape)(segment) {
            self.cable(shot.via).send(&packet);
        }
    }

    fn answers(&self) -> Vec<Seen> {
        self.cables().flat_map(Wire::answers).collect()
    }
}

/// The first payload that came to `to`.
fn words(answers: &[Seen], to: SocketAddr) -> Vec<u8> {
    let mine = answers.iter().find(|seen| seen.to == to && !seen.payload.is_empty());
    mine.map(|seen| seen.payload.clone()).unwrap_or_default()
}

/// All that the observer wrote down: the set's name, the source, the destination port.
pub fn observed() -> Vec<(String, SocketAddr, u16)> {
    let text = run(&["nft", "-j", "list", "table", "inet", "observer"], "");
    let json: Value = serde_json::from_str(&text).expect("nft writes JSON");
    let mut seen = Vec::new();
    for object in json["nftables"].as_array().expect("a list of objects") {
        let set = &object["set"];
        for element in set["elem"].as_array().into_iter().flatten() {
            // With a counter or a timeout nft wraps the element once more.
            let parts =
                if element["concat"].is_array() { &element["concat"] } else { &element["elem"]["val"]["concat"] };
            let address: IpAddr = parts[0].as_str().and_then(|text| text.parse().ok()).expect("an address");
            let port = |at: usize| parts[at].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
            let name = set["name"].as_str().expect("a set's name").to_owned();
            seen.push((name, SocketAddr::new(address, port(1)), port(2)));
        }
    }
    seen
}
