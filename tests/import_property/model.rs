//! A cluster of Riak's in its own words, and what a cluster file of it must say.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence::cluster;
use ringfence::net::{PortRange, Ports};

use crate::generate::Random;
use crate::write::Layout;

/// Those that a host file moves.
pub const SERVICES: [&str; 9] =
    ["http", "https", "protobuf", "handoff", "epmd", "distribution", "cluster-manager", "solr", "solr-jmx"];

/// A member's state as Riak prints it.
pub const STATES: [&str; 6] = ["valid", "joining", "leaving", "exiting", "down", "invalid"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub address: IpAddr,
    pub state: &'static str,
    pub http: Vec<(IpAddr, u16)>,
    pub https: Vec<(IpAddr, u16)>,
    pub protobuf: Vec<(IpAddr, u16)>,
    pub manager: Option<(IpAddr, u16)>,
    pub handoff_ip: Option<IpAddr>,
    pub handoff_port: Option<u16>,
    pub epmd: Option<u16>,
    pub range: Option<(u16, u16)>,
    /// The ports of Solr and of its JMX.
    pub search: Option<(u16, u16)>,
}

pub struct Model {
    pub nodes: Vec<Node>,
}

/// Ports of one service; those of another are never among them.
struct Block(u16);

impl Block {
    fn port(&self, random: &mut Random) -> u16 {
        self.0 + random.below(100) as u16
    }
}

/// What the nodes are drawn from.
struct Drawer<'l> {
    layouts: &'l [Layout],
    v6: bool,
    second_network: bool,
    with: [bool; 5],
}

impl Drawer<'_> {
    fn can(&self, able: fn(Layout) -> bool) -> bool {
        self.layouts.iter().all(|layout| able(*layout))
    }

    fn address(&self, network: u16, host: u16) -> IpAddr {
        if self.v6 {
            Ipv6Addr::new(0xfd20, network, 0, 0, 0, 0, 0, host).into()
        } else {
            Ipv4Addr::new(10, 20 + network as u8, (host >> 8) as u8, host as u8).into()
        }
    }

    fn bind(&self, own: IpAddr, random: &mut Random) -> IpAddr {
        match random.below(4) {
            0 => Ipv4Addr::LOCALHOST.into(),
            1 => Ipv4Addr::UNSPECIFIED.into(),
            2 => Ipv6Addr::UNSPECIFIED.into(),
            _ => own,
        }
    }

    fn listeners(&self, own: IpAddr, most: usize, block: &Block, random: &mut Random) -> Vec<(IpAddr, u16)> {
        let ports: BTreeSet<u16> = (0..1 + random.below(most)).map(|_| block.port(random)).collect();
        ports.into_iter().map(|port| (self.bind(own, random), port)).collect()
    }

    fn node(&self, number: u16, state: &'static str, random: &mut Random) -> Node {
        let block = |index: u16| Block(10_000 + 1_000 * index);
        let host = 11 + number;
        let address = self.address(0, host);
        let [https, manager, search, epmd, range] = self.with;
        let lists = self.can(Layout::has_lists);
        let first = block(5).0 + 10 * number;
        let name = *random.pick(&["riak", "riak-default", "dev_1"]);
        let shown = match address {
            IpAddr::V6(address) if random.chance(20) => {
                let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:x}")).collect();
                groups.join(":")
            }
            _ => address.to_string(),
        };
        Node {
            name: format!("{name}@{shown}"),
            address,
            state,
            http: if random.chance(80) {
                self.listeners(address, if lists { 3 } else { 1 }, &block(0), random)
            } else {
                Vec::new()
            },
            https: if https && lists && random.chance(80) {
                self.listeners(address, 2, &block(1), random)
            } else {
                Vec::new()
            },
            protobuf: if random.chance(60) {
                self.listeners(address, if self.can(Layout::has_pb_list) { 3 } else { 1 }, &block(2), random)
            } else {
                Vec::new()
            },
            manager: (manager && random.chance(80)).then(|| (self.bind(address, random), block(6).port(random))),
            handoff_ip: match random.below(3) {
                0 => None,
                1 => Some(Ipv4Addr::UNSPECIFIED.into()),
                _ if self.second_network => Some(self.address(1, host)),
                _ => Some(address),
            },
            handoff_port: random.chance(50).then(|| block(3).port(random)),
            epmd: (epmd && random.chance(70)).then(|| block(4).0 + random.below(2) as u16),
            range: (range && random.chance(90)).then(|| (first, first + random.below(10) as u16)),
            search: (search && self.can(Layout::has_search) && random.chance(80))
                .then(|| (block(7).port(random), block(8).port(random))),
        }
    }
}

impl Model {
    pub fn random(layouts: &[Layout], random: &mut Random) -> Self {
        let drawer = Drawer {
            layouts,
            v6: random.chance(30),
            second_network: random.chance(20),
            with: [40, 30, 25, 30, 75].map(|percent| random.chance(percent)),
        };
        let count = 1 + random.below(7) as u16;
        let all_valid = random.chance(50);
        let state = |random: &mut Random| if all_valid { "valid" } else { *random.pick(&STATES) };
        // One is always there to be asked.
        let states: Vec<&str> = (0..count).map(|at| if at == 0 { "valid" } else { state(random) }).collect();
        let mut nodes: Vec<Node> =
            states.iter().zip(0..).map(|(state, number)| drawer.node(number, state, random)).collect();
        if random.chance(50) && !drawer.second_network {
            // Most clusters have the same ports everywhere.
            let first = nodes[0].clone();
            for node in &mut nodes {
                let handoff_ip = node.handoff_ip.filter(IpAddr::is_unspecified);
                *node = Node {
                    name: node.name.clone(),
                    address: node.address,
                    state: node.state,
                    handoff_ip,
                    ..first.clone()
                };
            }
            nodes[0].handoff_ip = None;
        }
        Self { nodes }
    }

    pub fn admitted(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.state != "invalid")
    }

    /// Files do not show states, and a single node's not the others.
    pub fn members_are_needed(&self) -> bool {
        self.nodes.len() < 2 || self.nodes.iter().any(|node| node.state == "invalid")
    }

    pub fn is_uniform(&self) -> bool {
        let same = |node: &Node| SERVICES.iter().all(|name| node.ports(name) == self.nodes[0].ports(name));
        self.nodes.iter().all(|node| same(node) && node.addresses().len() == 1)
    }

    pub fn has_range(&self) -> bool {
        self.admitted().any(|node| node.range.is_some())
    }

    /// The state that a service has in the cluster file; what only a stranger has is not the cluster's.
    pub fn state(&self, name: &str) -> cluster::State {
        let listens = self.admitted().any(|node| node.ports(name).is_some());
        match name {
            "http" | "handoff" | "epmd" | "distribution" => cluster::State::Open,
            "protobuf" => cluster::State::Blocked,
            _ if !listens => cluster::State::Unused,
            "https" | "solr" => cluster::State::Open,
            _ => cluster::State::Blocked,
        }
    }
}

impl Node {
    /// All from which it may connect to the others.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let handoff = self.handoff_ip.filter(|ip| !ip.is_unspecified());
        handoff.into_iter().chain([self.address]).collect()
    }

    /// Where a service listens on it; `None` if it does not, or anywhere.
    pub fn ports(&self, name: &str) -> Option<Ports> {
        let list = |list: &[(IpAddr, u16)], default: Option<u16>| -> Vec<u16> {
            let set: Vec<u16> = list.iter().map(|(_, port)| *port).collect();
            if set.is_empty() { default.into_iter().collect() } else { set }
        };
        let ports = match name {
            "http" => list(&self.http, Some(8098)),
            "https" => list(&self.https, None),
            "protobuf" => list(&self.protobuf, Some(8087)),
            "handoff" => vec![self.handoff_port.unwrap_or(8099)],
            "epmd" => vec![self.epmd.unwrap_or(4369)],
            "cluster-manager" => list(&self.manager.into_iter().collect::<Vec<_>>(), None),
            "solr" => self.search.iter().map(|(port, _)| *port).collect(),
            "solr-jmx" => self.search.iter().map(|(_, port)| *port).collect(),
            _ => {
                return self
                    .range
                    .and_then(|(first, last)| PortRange::new(first, last))
                    .map(|range| [range].into_iter().collect());
            }
        };
        let ranges = ports.into_iter().filter_map(PortRange::single);
        let ports: Ports = ranges.collect();
        (!ports.is_empty()).then_some(ports)
    }
}
