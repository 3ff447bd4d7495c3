//! A host's network, from what `ip` printed on it: its interfaces by their names, each one end of a cable whose other end
//! is in one far namespace, where everybody else lives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::case::{Case, Direction};
use super::lab::netns::{Namespace, ip, run, sysctl};
use super::lab::wire::{Mac, Wire};
use super::lab::{PATIENCE, mac_text, quiet, quiet_interface};

/// An interface of the host.
#[derive(Debug, Default)]
pub struct Device {
    /// With the length of its network.
    addresses: Vec<(IpAddr, u8)>,
}

/// What the text of a `routes` file says.
#[derive(Debug, Default)]
pub struct Said {
    devices: BTreeMap<String, Device>,
    /// What the kernel does not make of the addresses.
    routes: Vec<String>,
    /// `ip rule`, without those that are always there.
    rules: Vec<String>,
}

impl Said {
    pub fn read(text: &str) -> Said {
        let mut said = Said::default();
        let mut device = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if line.starts_with(' ') {
                if let ["inet" | "inet6", address, ..] = words[..]
                    && words.windows(2).any(|two| two == ["scope", "global"])
                {
                    let (address, length) = address.split_once('/').expect("an address with a length");
                    let address = (address.parse().expect("an address"), length.parse().expect("a length"));
                    let name: &String = device.as_ref().expect("an interface before its addresses");
                    said.devices.get_mut(name).expect("an interface").addresses.push(address);
                }
            } else if line.contains(": <") {
                let name = words[1].trim_end_matches(':').split('@').next().unwrap_or_default().to_owned();
                said.devices.insert(name.clone(), Device::default());
                device = Some(name);
            } else if let Some((priority, rule)) = line.split_once(":\t") {
                if !["0", "32766", "32767"].contains(&priority) {
                    said.rules.push(format!("{rule} priority {priority}"));
                }
            } else if !line.contains("proto kernel") && !line.starts_with("fe80::") {
                said.routes.push(line.to_owned());
            }
        }
        said.devices.remove("lo");
        said
    }

    fn gateways(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.routes.iter().filter_map(|route| {
            let words: Vec<&str> = route.split_whitespace().collect();
            let behind = |what: &str| words.windows(2).find(|two| two[0] == what).map(|two| two[1]);
            Some((behind("via")?.parse().ok()?, behind("dev")?))
        })
    }
}

/// A host and the world around it. The thread that made it is in the host's namespace.
pub struct Network {
    pub far: Namespace,
    /// For each interface the mark that sends a packet of the far side down its cable.
    marks: BTreeMap<String, u32>,
}

impl Network {
    pub fn new(case: &Case) -> Network {
        let said = case.said();
        let far = Namespace::unshare();
        ip("link set lo up\n");
        quiet();
        let _host = Namespace::unshare();
        ip("link set lo up\n");
        quiet();
        // A host that forwards has more to decide.
        sysctl("net.ipv4.ip_forward", "1");
        let (mut here, mut there) = (String::new(), String::new());
        let mut marks = BTreeMap::new();
        for (number, (name, device)) in said.devices.iter().enumerate() {
            let mac = mac_text(mac_of(number));
            ip(&format!("link add {name} address {mac} type veth peer name far{number} netns {}\n", far.path()));
            quiet_interface(name);
            far.enter(|| quiet_interface(&format!("far{number}")));
            let mark = 100 + number as u32;
            for (address, length) in &device.addresses {
                here += &format!("addr add {address}/{length} dev {name} {}\n", nodad(*address));
                there += &format!("route add {address} dev far{number}\n");
            }
            for all in ["0.0.0.0/0", "::/0"] {
                there += &format!("rule add from {all} fwmark {mark} lookup {mark}\n");
                there += &format!("route add {all} dev far{number} table {mark}\n");
            }
            marks.insert(name.clone(), mark);
        }
        for rule in &said.rules {
            here += &format!("rule add {rule}\n");
        }
        for route in &said.routes {
            here += &format!("route add {route}\n");
        }
        // Nobody waits for a neighbour: what does is a queue that is soon full.
        for (number, name) in said.devices.keys().enumerate() {
            for like in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
                if let Some(address) = address_of(case, name, like) {
                    let mac = mac_text(mac_of(number));
                    there += &format!("neigh replace {address} lladdr {mac} dev far{number} nud permanent\n");
                }
            }
        }
        let ups = |name: &dyn Fn(usize, &str) -> String| {
            let devices = said.devices.keys().enumerate();
            devices.map(|(number, device)| format!("link set {} up\n", name(number, device))).collect::<String>()
        };
        ip(&ups(&|_, device| device.to_owned()));
        far.enter(|| {
            ip(&ups(&|number, _| format!("far{number}")));
            ip(&there);
        });
        let network = Network { far, marks };
        network.populate(case, said);
        ip(&here);
        let own = said.devices.values().flat_map(|device| &device.addresses).map(|(address, _)| *address);
        wait_for(said.devices.len(), own);
        let others = case.lines.iter().map(|line| line.peer);
        network.far.enter(|| wait_for(said.devices.len(), others));
        network
    }

    /// Gives the far side every address that somebody uses. Those of IPv4 belong to all of it: whoever comes in by an unusual
    /// cable gets the answer by the usual one. A neighbour of IPv6 answers on its own cable alone.
    fn populate(&self, case: &Case, said: &Said) {
        let peers = case.lines.iter().map(|line| (line.peer, line.interface.as_str()));
        let mut script = String::new();
        for (address, interface) in peers.chain(said.gateways()) {
            let mark = self.mark(interface);
            script += &match address {
                IpAddr::V4(_) => format!("addr replace {address}/32 dev lo\n"),
                IpAddr::V6(_) => format!("addr replace {address}/128 dev far{} nodad\n", mark - 100),
            };
        }
        self.far.enter(|| ip(&script));
    }

    /// Every interface, with a raw socket at the far end of its cable.
    pub fn wires(&self) -> Vec<(&str, Wire)> {
        let here = [2, 0, 0, 0, 0xff, 2];
        let open = |(number, name)| (name, Wire::open(&format!("far{number}"), mac_of(number), here));
        self.far.enter(|| self.marks.keys().map(String::as_str).enumerate().map(open).collect())
    }

    /// What marks a packet for the cable of an interface.
    pub fn mark(&self, interface: &str) -> u32 {
        *self.marks.get(interface).unwrap_or_else(|| panic!("`routes` has no interface {interface}"))
    }

    /// The verdicts name the interface by which the host sends; it has to be the one that it would take.
    pub fn check_ways(&self, case: &Case) -> Result<(), String> {
        for line in case.lines.iter().filter(|line| line.direction == Direction::Asking) {
            let way = super::lab::netns::attempt(&["ip", "-o", "route", "get", &line.peer.to_string()], "")?;
            if !way.contains(&format!(" dev {} ", line.interface)) {
                return Err(format!("packets:{}: the way out is {way}", line.number));
            }
        }
        Ok(())
    }
}

/// The address of an interface of the host.
fn mac_of(number: usize) -> Mac {
    [2, 0, 0, 0, number as u8, 1]
}

fn nodad(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "" } else { "nodad" }
}

/// A cable carries nothing before the kernel has noticed that both of its ends are up, and an address of IPv6 is nobody's
/// before it has a route; both happen when the kernel has time.
fn wait_for(carriers: usize, addresses: impl Iterator<Item = IpAddr>) {
    let start = Instant::now();
    let until = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(start.elapsed() < PATIENCE, "cables or addresses that never come up");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(&|| run(&["ip", "-o", "link", "show"], "").matches(" state UP ").count() >= carriers);
    let wanted: Vec<String> = addresses.filter(IpAddr::is_ipv6).map(|address| format!("local {address} ")).collect();
    until(&|| {
        let routes = run(&["ip", "-6", "route", "show", "table", "local"], "");
        wanted.iter().all(|address| routes.contains(address))
    });
}

/// What a packet that comes in by an interface is sent to: the host's address there, or, where an interface has none of the
/// family, its first one elsewhere.
pub fn address_of(case: &Case, interface: &str, like: IpAddr) -> Option<IpAddr> {
    let said = case.said();
    let devices = said.devices.get(interface).into_iter().chain(said.devices.values());
    let mut addresses = devices.flat_map(|device| &device.addresses).map(|(address, _)| *address);
    addresses.find(|address| address.is_ipv4() == like.is_ipv4())
}

/// Whether an interface has an address of IPv6.
pub fn has_ipv6(case: &Case, interface: &str) -> bool {
    let said = case.said();
    said.devices.get(interface).is_some_and(|device| device.addresses.iter().any(|(address, _)| address.is_ipv6()))
}
