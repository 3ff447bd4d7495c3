//! A host under test, its cables and their far ends, in throwaway network namespaces.
//!
//! ```text
//!   wire namespace                       host namespace (the test's thread is in it)
//!   ┌──────────────────────────┐         ┌─────────────────────────────────────────┐
//!   │ raw sockets: any frame   │─ veth ──│ eth1 (and what else a test names)       │
//!   │ real sockets: connect()  │         │   ringfence's rules │ observer │ servers│
//!   │ fence                    │─ veth ──│ fence                                   │
//!   └──────────────────────────┘         └─────────────────────────────────────────┘
//! ```
//!
//! What arrives is seen twice, and neither way trusts the rules under test: the *observer* is an nft table behind every
//! other at `input` and `forward`, which writes down each TCP segment that it meets; and the wire sees what the host's own
//! stack and its listening programs answer.
//!
//! Nothing waits for time to pass. After a batch of frames the lab sends a datagram down another cable, the *fence*, and
//! waits for it to come out of a socket: the kernel works through its queue in order, so by then the batch has been dealt
//! with. A wait that is bounded by a clock is only ever there to end a test that has failed already.

pub mod attack;
pub mod backend;
pub mod expect;
pub mod frame;
pub mod netns;
pub mod probe;
pub mod rules;
pub mod server;
pub mod shapes;
#[allow(dead_code, reason = "few suites ask")]
pub mod versions;
pub mod wire;

use netns::{Namespace, ip, sysctl};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use wire::{Mac, Wire};

/// The host's addresses: from networks that no cluster file uses, so that no source of a test is the host itself.
pub const HOST4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
pub const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1));
/// Both, for what has to hold in both families.
pub const HOSTS: [IpAddr; 2] = [HOST4, HOST6];

const FENCE_HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 254, 1);
const FENCE_WIRE: Ipv4Addr = Ipv4Addr::new(198, 18, 254, 2);
const FENCE_PORT: u16 = 9;

/// Ends a wait in a test that has failed; no test that passes comes near it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Lab {
    pub wire: Namespace,
    cables: BTreeMap<String, Wire>,
    fence: Wire,
    fence_socket: UdpSocket,
    serial: Cell<u16>,
}

impl Lab {
    /// A lab with one cable, `eth1`.
    pub fn new() -> Lab {
        Lab::with(&["eth1"])
    }

    /// A lab with these interfaces; the first one has the default route. The calling thread ends up in the host's
    /// namespace.
    pub fn with(interfaces: &[&str]) -> Lab {
        let wire = Namespace::unshare();
        // What is not for the wire's own sockets belongs to the raw ones. IPv6 would answer that there is no way to it,
        // and end half-open sessions.
        ip("link set lo up\nroute add blackhole ::/0\n");
        quiet();
        let _host = Namespace::unshare();
        ip("link set lo up\n");
        quiet();
        let mut cables = BTreeMap::new();
        for (number, name) in interfaces.iter().enumerate() {
            cables.insert((*name).to_owned(), cable(&wire, name, number as u8 + 1));
        }
        let first = interfaces.first().expect("at least one interface");
        // The gateway exists only as a neighbour entry: nobody resolves anything, so no answer is ever held back.
        let gateway = mac_text(cables[*first].here);
        ip(&format!(
            "addr add {HOST4}/32 dev {first}\n\
             addr add {HOST6}/128 dev {first} nodad\n\
             neigh add 198.18.0.254 lladdr {gateway} dev {first} nud permanent\n\
             neigh add fe80::fe lladdr {gateway} dev {first} nud permanent\n\
             route add default via 198.18.0.254 dev {first} onlink\n\
             route add ::/0 via fe80::fe dev {first}\n"
        ));
        let fence = cable(&wire, "fence", 0xfe);
        ip(&format!("addr add {FENCE_HOST}/32 dev fence\n"));
        let fence_socket = UdpSocket::bind((FENCE_HOST, FENCE_PORT)).expect("the fence's socket");
        fence_socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let lab = Lab { wire, cables, fence, fence_socket, serial: Cell::new(0) };
        lab.route_from_wire(HOST4, first);
        lab.route_from_wire(HOST6, first);
        lab.start_observer();
        lab
    }

    pub fn cable(&self, interface: &str) -> &Wire {
        self.cables.get(interface).unwrap_or_else(|| panic!("the lab has no interface `{interface}`"))
    }

    pub fn cables(&self) -> impl Iterator<Item = &Wire> {
        self.cables.values()
    }

    /// A further way into the host, known as `interface`.
    pub fn add_cable(&mut self, interface: &str, cable: Wire) {
        self.cables.insert(interface.to_owned(), cable);
    }

    /// Lets real sockets of the wire reach `to`, an address of the host, through the cable of `interface`.
    pub fn route_from_wire(&self, to: IpAddr, interface: &str) {
        let mac = mac_text(self.cable(interface).host);
        let bits = if to.is_ipv4() { 32 } else { 128 };
        self.wire.enter(|| {
            ip(&format!(
                "neigh replace {to} lladdr {mac} dev w-{interface} nud permanent\n\
                 route replace {to}/{bits} dev w-{interface}\n"
            ));
        });
    }

    /// Gives the wire an address of its own, so that real sockets can use it. Raw frames should use other addresses: the
    /// wire's kernel resets what it knows nothing of.
    pub fn give_wire(&self, address: IpAddr) {
        let (bits, nodad) = if address.is_ipv4() { (32, "") } else { (128, "nodad") };
        self.wire.enter(|| ip(&format!("addr replace {address}/{bits} dev lo {nodad}\n")));
    }

    /// A source that was not used before in this lab and is admitted nowhere.
    pub fn stranger(&self, like: IpAddr) -> SocketAddr {
        let number = self.next();
        let ip = if like.is_ipv4() {
            IpAddr::from([203, 0, 113, (number % 250) as u8 + 1])
        } else {
            IpAddr::from([0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, number])
        };
        SocketAddr::new(ip, 20000 + number)
    }

    /// A peer of the lab's usual cluster, with a source port that was not used before.
    pub fn peer(&self, like: IpAddr) -> SocketAddr {
        let ip = if like.is_ipv4() { rules::PEER4 } else { rules::PEER6 };
        SocketAddr::new(ip, 20000 + self.next())
    }

    /// A number that this lab has not given out before.
    pub fn next(&self) -> u16 {
        self.serial.set(self.serial.get() + 1);
        assert!(self.serial.get() < 40000, "this lab is used up");
        self.serial.get()
    }

    /// Returns when the kernel has dealt with everything sent so far by this thread.
    pub fn wait(&self) {
        // Some devices (macvlan, VXLAN) put a packet at the end of the queue once more, and so does an answer on its way
        // to the wire: one round for the packet itself, one for each such detour.
        for round in 0..4u8 {
            let from = SocketAddr::from((FENCE_WIRE, FENCE_PORT));
            let to = SocketAddr::from((FENCE_HOST, FENCE_PORT));
            let datagram = frame::datagram(from, to, &[round]);
            self.fence.send(&frame::packet(from.ip(), to.ip(), frame::UDP, &datagram));
            let mut buffer = [0; 16];
            self.fence_socket.recv(&mut buffer).expect("the fence comes through");
        }
    }

    /// Runs `work` on one processor: each has a queue of its own, and only within one queue is there an order.
    pub fn in_order<T>(&self, work: impl FnOnce() -> T) -> T {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).expect("this thread's processors");
        let mut one = CpuSet::new();
        one.set(sched_getcpu().expect("this processor")).expect("a processor's number");
        sched_setaffinity(this, &one).expect("staying on one processor");
        let result = work();
        sched_setaffinity(this, &before).expect("leaving the processor");
        result
    }

    /// A further namespace behind the host, a container or another machine: `device` on the host's side, `eth0` inside,
    /// both with a default route or none, as `script` says. Sockets made in [`Namespace::enter`] live there.
    pub fn attach(&self, device: &str, host_script: &str, inside_script: &str) -> Namespace {
        let home = Namespace::unshare_aside();
        ip(&format!("link add {device} type veth peer name eth0 netns {}\nlink set {device} up\n", home.path()));
        quiet_interface(device);
        home.enter(|| {
            quiet();
            ip("link set lo up\nlink set eth0 up\n");
            quiet_interface("eth0");
            ip(inside_script);
        });
        ip(host_script);
        home
    }
}

/// Makes a veth pair: `name` here, `w-name` in the wire's namespace.
fn cable(wire: &Namespace, name: &str, number: u8) -> Wire {
    let host = [2, 0, 0, 0, number, 1];
    let here = [2, 0, 0, 0, number, 2];
    ip(&format!(
        "link add {name} address {} type veth peer name w-{name} address {} netns {}\nlink set {name} up\n",
        mac_text(host),
        mac_text(here),
        wire.path()
    ));
    quiet_interface(name);
    wire.enter(|| {
        ip(&format!("link set w-{name} up\n"));
        quiet_interface(&format!("w-{name}"));
        Wire::open(&format!("w-{name}"), host, here)
    })
}

pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Takes every opinion of the system about packets out of the way, so that only rules decide. The values of a new
/// namespace are copies of the machine's, hence all of them are set.
pub fn quiet() {
    for which in ["all", "default", "lo"] {
        quiet_interface(which);
    }
    sysctl("net.ipv4.ip_forward", "0");
    sysctl("net.ipv6.conf.all.forwarding", "0");
    sysctl("net.ipv4.tcp_syncookies", "1");
}

pub fn quiet_interface(name: &str) {
    for (key, value) in [("rp_filter", "0"), ("accept_source_route", "1"), ("log_martians", "0")] {
        sysctl(&format!("net/ipv4/conf/{name}/{key}"), value);
    }
    for (key, value) in [("accept_dad", "0"), ("accept_ra", "0"), ("accept_source_route", "0")] {
        sysctl(&format!("net/ipv6/conf/{name}/{key}"), value);
    }
}
