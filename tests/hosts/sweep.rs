//! What no line says: segments from everybody, by every interface, to every port. The kernel says what comes to the host's
//! input, and our judgement must not say that it cannot be so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence::ir::{ConnectionStates, Ruleset};

use super::case::{Case, Line};
use super::judged::{Segment, bytecode};
use super::kernel::{load, to};
use super::lab::frame::{self, ACK, FIN, PSH, RST, SYN, URG, plain};
use super::lab::netns::run;
use super::lab::probe::{OBSERVER, observed};
use super::network::{Network, has_ipv6};

/// Who asks and for what, beside those of the lines: neighbours of what rules name.
const PEERS: [&str; 15] = [
    "10.20.0.10",
    "10.20.0.12",
    "10.20.0.13",
    "10.20.0.14",
    "10.20.0.49",
    "10.20.0.50",
    "10.20.0.66",
    "10.99.0.1",
    "172.17.0.2",
    "192.0.2.7",
    "198.51.100.50",
    "203.0.113.9",
    "203.0.113.77",
    "2001:db8:1::99",
    "fd20::12",
];
const PORTS: [u16; 16] = [1, 22, 80, 4368, 4369, 5999, 6000, 6009, 6010, 8080, 8087, 8097, 8098, 8099, 8100, 18098];
/// What they send, and what connection tracking takes it for: it picks up a connection that it has not seen beginning, and
/// takes everything else that does not begin one, or is no segment of TCP, for invalid.
const SEGMENTS: [Segment; 8] = [
    Segment { flags: SYN, state: ConnectionStates::NEW },
    Segment { flags: ACK, state: ConnectionStates::NEW },
    Segment { flags: PSH | ACK, state: ConnectionStates::NEW },
    Segment { flags: SYN | ACK, state: ConnectionStates::INVALID },
    Segment { flags: RST, state: ConnectionStates::INVALID },
    Segment { flags: FIN | ACK, state: ConnectionStates::INVALID },
    Segment { flags: FIN | PSH | URG, state: ConnectionStates::INVALID },
    Segment { flags: 0, state: ConnectionStates::INVALID },
];
/// The first port from which they send; each segment has its own.
const FIRST_PORT: u16 = 2000;
/// How long nothing comes any more before nothing is waited for.
const QUIET: Duration = Duration::from_millis(300);

/// One segment, and the port that it had at the host's input if it came there.
pub struct Tried {
    pub line: Line,
    pub segment: Segment,
    pub port: Option<u16>,
}

/// What everybody who tried has come to.
pub struct Swept {
    pub tried: Vec<Tried>,
    /// What the kernel held meanwhile, as we read it from netlink, where all of it is there.
    pub bytecode: Option<Ruleset>,
}

/// Tries everybody; without the host's rules, to see that nothing else stands in the way.
pub fn swept(case: &Case, with_rules: bool) -> Result<Swept, String> {
    let network = Network::new(case);
    if with_rules {
        load(case)?;
    }
    run(&["nft", "-f", "-"], OBSERVER);
    let bytecode = bytecode(case);
    let mut tried = Vec::new();
    for (interface, wire) in network.wires() {
        for line in lines(case, interface) {
            for segment in SEGMENTS {
                let from = SocketAddr::new(line.peer, FIRST_PORT + tried.len() as u16);
                let sent = frame::Segment::new(from, to(case, &line), segment.flags);
                plain(&sent).iter().for_each(|packet| wire.send(packet));
                tried.push(Tried { line: line.clone(), segment, port: None });
            }
        }
    }
    let seen = settled();
    for (one, from) in tried.iter_mut().zip(FIRST_PORT..) {
        one.port = seen.get(&from).copied();
    }
    Ok(Swept { tried, bytecode })
}

fn lines(case: &Case, interface: &str) -> Vec<Line> {
    let others = PEERS.map(|address| address.parse().expect("an address"));
    let peers: BTreeSet<IpAddr> = case.lines.iter().map(|line| line.peer).chain(others).collect();
    let own = case.lines.iter().flat_map(|line| [line.port, line.program()]);
    let ports: BTreeSet<u16> = own.chain(PORTS).collect();
    let peers = peers.into_iter().filter(|peer| peer.is_ipv4() || has_ipv6(case, interface));
    peers.flat_map(|peer| ports.iter().map(move |port| Line::asked(peer, interface, *port))).collect()
}

/// What came to the host's input, once nothing comes any more: the port that it had there, by the port that it came from.
fn settled() -> BTreeMap<u16, u16> {
    let mut before = usize::MAX;
    loop {
        let seen = observed();
        if seen.len() == before {
            let input = seen.into_iter().filter(|(set, ..)| set.starts_with("input"));
            return input.map(|(_, from, port)| (from.port(), port)).collect();
        }
        before = seen.len();
        std::thread::sleep(QUIET);
    }
}
