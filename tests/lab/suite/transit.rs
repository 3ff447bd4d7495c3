//! What is not for the host's own programs: routed and bridged traffic, containers, datagrams.

use crate::lab::frame::{
    DESTINATION, FIN, FRAGMENT, PSH, RST, SYN, Segment, UDP, URG, datagram, fragment6, ipv6, options6, plain,
};
use crate::lab::netns::{Namespace, ip, not_possible, sysctl, try_sysctl};
use crate::lab::probe::Shot;
use crate::lab::rules::{GUARDED, PEER4, PEER6, Rules};
use crate::lab::server::{BANNER, Server, connect_from, echo, expect};
use crate::lab::shapes::{honest_fragments, record_route, tiny_fragments, twelve_destination_options};
use crate::lab::{HOST4, HOST6, HOSTS, Lab, mac_text};
use std::net::{IpAddr, SocketAddr, UdpSocket};

const BEYOND4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 0, 9));
const BEYOND6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 9));
const INSIDE4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 30, 0, 2));
const INSIDE6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, 2));

fn forwarding() {
    sysctl("net.ipv4.ip_forward", "1");
    sysctl("net.ipv6.conf.all.forwarding", "1");
}

/// A container behind the host, with addresses of its own.
fn container(lab: &Lab) -> Namespace {
    forwarding();
    lab.attach(
        "veth0",
        "addr add 172.30.0.1/24 dev veth0\naddr add fd30::1/64 dev veth0 nodad\n",
        "addr add 172.30.0.2/24 dev eth0\naddr add fd30::2/64 dev eth0 nodad\n\
         route add default via 172.30.0.1\nroute add ::/0 via fd30::1\n",
    )
}

on_each_backend! {
    /// The host is a router, and the port is another host's.
    fn routed(backend) {
        let lab = Lab::with(&["eth1", "eth2"]);
        forwarding();
        let far = mac_text(lab.cable("eth2").here);
        for end in [BEYOND4, BEYOND6] {
            ip(&format!("route add {end} dev eth2\nneigh add {end} lladdr {far} dev eth2 nud permanent\n"));
        }
        let pass = |what: &str| {
            let mut shots = Vec::new();
            for end in [BEYOND4, BEYOND6] {
                let to = SocketAddr::new(end, GUARDED);
                shots.push(Shot::plain(Segment::syn(lab.stranger(end), to)));
                shots.push(Shot::plain(Segment::data(lab.stranger(end), to)));
                shots.push(Shot::plain(Segment::new(lab.stranger(end), to, SYN | FIN)));
                let special = if end.is_ipv4() { [record_route, tiny_fragments] } else { [twelve_destination_options, honest_fragments] };
                for shape in special {
                    let mut shot = Shot::plain(Segment::data(lab.stranger(end), to));
                    shot.segment.payload = vec![0; 64];
                    shots.push(Shot { shape, ..shot });
                }
            }
            for (shot, outcome) in shots.iter().zip(lab.fire(&shots)) {
                assert!(outcome.forward.contains(&GUARDED), "{what}: {shot:?} was not passed on: {outcome:?}");
            }
        };
        pass("without rules");
        backend.load(&Rules::usual());
        pass("with rules");
    }

    /// The host is a bridge, and its rules are asked about what it only carries.
    fn bridged(backend) {
        let lab = Lab::with(&["eth1", "eth2"]);
        ip("link add br0 type bridge\nlink set br0 up\nlink set eth1 master br0\nlink set eth2 master br0\n");
        for family in ["iptables", "ip6tables"] {
            if let Err(error) = try_sysctl(&format!("net.bridge.bridge-nf-call-{family}"), "1") {
                return not_possible("br_netfilter", &error.to_string());
            }
        }
        let pass = |what: &str| {
            for end in [BEYOND4, BEYOND6] {
                let segment = Segment::syn(lab.stranger(end), SocketAddr::new(end, GUARDED));
                let frame = crate::lab::frame::ethernet(lab.cable("eth2").here, lab.cable("eth1").here, &plain(&segment)[0]);
                lab.in_order(|| {
                    lab.cable("eth1").send_frame(&frame);
                    lab.wait();
                });
                let carried = lab.cable("eth2").answers().iter().any(|seen| seen.from == segment.from && seen.to == segment.to);
                assert!(carried, "{what}: {segment:?} was not carried");
            }
        };
        pass("without rules");
        backend.load(&Rules::usual());
        pass("with rules");
    }

    /// DNS over UDP in fragments, say; the rule against hidden headers must leave it alone.
    fn fragmented_udp(backend) {
        let lab = Lab::new();
        let socket = UdpSocket::bind(("::", 5353)).expect("a socket");
        socket.set_nonblocking(true).expect("not waiting");
        let (from, to) = (lab.stranger(HOST6), SocketAddr::new(HOST6, 5353));
        let (IpAddr::V6(from6), IpAddr::V6(to6)) = (from.ip(), to.ip()) else { panic!("two IPv6 addresses") };
        let payload: Vec<u8> = (0..2500u16).map(|number| number as u8).collect();
        let whole = datagram(from, to, &payload);
        let arrives = |next: u8, bytes: &[u8], first: usize, id: u32| {
            lab.in_order(|| {
                let (head, tail) = bytes.split_at(first);
                let mut offset = 0;
                for piece in std::iter::once(head).chain(tail.chunks(1400)) {
                    let more = offset + piece.len() < bytes.len();
                    let fragment = fragment6(next, id, offset as u16, more, piece);
                    offset += piece.len();
                    lab.cable("eth1").send(&ipv6(from6, to6, FRAGMENT, &fragment));
                }
                lab.wait();
            });
            let mut buffer = vec![0; 4000];
            matches!(socket.recv(&mut buffer), Ok(length) if buffer[..length] == payload)
        };
        let with_options = options6(UDP, 8, &whole);
        assert!(arrives(UDP, &whole, 1440, 1) && arrives(UDP, &whole, 8, 2) && arrives(DESTINATION, &with_options, 1440, 3));
        if backend == Backend::IptablesLegacy {
            // Not the guard's doing: any rule that names a protocol, whatever it is for, and ip6tables-legacy drops later
            // fragments that belong to an extension header.
            backend.foreign_rule(HOST6, "-t raw -A PREROUTING -p tcp --dport 1 -j ACCEPT");
            assert!(!arrives(DESTINATION, &with_options, 1440, 4), "this kernel has learned something");
        }
        backend.load(&Rules::usual());
        assert!(arrives(UDP, &whole, 1440, 5), "cut in the middle");
        assert!(arrives(UDP, &whole, 8, 6), "cut behind the UDP header");
        if backend != Backend::IptablesLegacy {
            assert!(arrives(DESTINATION, &with_options, 1440, 7), "behind destination options");
        }
    }

    /// NAT keeps the source port that the container chose and asks nobody whether it is a protected one.
    fn masqueraded_clients(backend) {
        let lab = Lab::new();
        let container = container(&lab);
        let outside = [IpAddr::from([203, 0, 113, 1]), IpAddr::from([0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1])];
        let far: Vec<Server> = lab.wire.enter(|| [GUARDED, 443].map(Server::start).into());
        for end in outside {
            lab.give_wire(end);
            backend.foreign_rule(end, "-t nat -A POSTROUTING -o eth1 -j MASQUERADE");
        }
        let talk = |source_ports: &[u16]| {
            for (inside, end) in [INSIDE4, INSIDE6].into_iter().zip(outside) {
                for source in source_ports {
                    for port in [GUARDED, 443] {
                        let (from, to) = (SocketAddr::new(inside, *source), SocketAddr::new(end, port));
                        let mut stream = container.enter(|| connect_from(from, to)).expect("a way out");
                        expect(&mut stream, BANNER);
                        echo(&mut stream, &[b'x'; 60_000]);
                    }
                }
            }
        };
        talk(&[0, 8099]);
        backend.load(&Rules::usual());
        talk(&[0, GUARDED, 4369, 6000]);
        drop(far);
    }

    /// A port that a container publishes under its own number never meets `input`.
    fn published_ports(backend) {
        let lab = Lab::new();
        let container = container(&lab);
        let server = container.enter(|| Server::start(GUARDED));
        for (host, inside) in [(HOST4, "172.30.0.2"), (HOST6, "[fd30::2]")] {
            let to = format!("{inside}:{GUARDED}");
            backend.foreign_rule(host, &format!("-t nat -A PREROUTING -d {host} -p tcp --dport {GUARDED} -j DNAT --to-destination {to}"));
        }
        let shot = |from: SocketAddr, host: IpAddr| Shot::plain(Segment::syn(from, SocketAddr::new(host, GUARDED)));
        for host in HOSTS {
            assert_eq!(lab.converse(&shot(lab.stranger(host), host)).as_deref(), Some(BANNER), "without rules");
        }
        backend.load(&Rules::usual());
        for (host, peer) in [(HOST4, PEER4), (HOST6, PEER6)] {
            let outcome = lab.fire_one(&shot(lab.stranger(host), host));
            assert!(outcome.forward.is_empty() && outcome.answers.is_empty(), "a stranger came to the container: {outcome:?}");
            let mut odd = shot(lab.stranger(host), host);
            odd.segment.flags = SYN | FIN;
            let outcome = lab.fire_one(&odd);
            assert!(outcome.forward.is_empty() && !outcome.delivered(), "SYN with FIN came to the container: {outcome:?}");
            let peer = SocketAddr::new(peer, 20000 + lab.next());
            assert_eq!(lab.converse(&shot(peer, host)).as_deref(), Some(BANNER), "a peer");
        }
        drop(server);
    }

    /// Published by an address rewritten without connection tracking, which asks for no flags: what `--syn` of iptables
    /// does not call new comes to the container all the same.
    fn published_without_tracking(backend) {
        let lab = Lab::new();
        let _container = container(&lab);
        let rules = format!(
            "table inet rewriter {{\n chain c {{\n type filter hook prerouting priority -150\n\
             tcp dport {GUARDED} ip daddr {HOST4} ip daddr set {INSIDE4}\n\
             tcp dport {GUARDED} ip6 daddr {HOST6} ip6 daddr set {INSIDE6}\n }}\n}}\n"
        );
        netns::run(&["nft", "-f", "-"], &rules);
        let passed = |from: SocketAddr, host: IpAddr, flags: u8| {
            let outcome = lab.fire_one(&Shot::plain(Segment::new(from, SocketAddr::new(host, GUARDED), flags)));
            outcome.forward.contains(&GUARDED)
        };
        let flags = [SYN, SYN | FIN, SYN | RST, SYN | FIN | PSH | URG];
        for (host, flags) in HOSTS.into_iter().flat_map(|host| flags.map(|flags| (host, flags))) {
            assert!(passed(lab.stranger(host), host, flags), "without rules, flags {flags:#x}");
        }
        backend.load(&Rules::usual());
        for (host, flags) in HOSTS.into_iter().flat_map(|host| flags.map(|flags| (host, flags))) {
            assert!(!passed(lab.stranger(host), host, flags), "flags {flags:#x} came to the container");
            assert!(passed(lab.peer(host), host, flags), "a peer's did not, flags {flags:#x}");
        }
    }

    /// A stated limit: the guard knows ports as they are on the wire and as a socket of this host sees them.
    fn ports_published_under_another_number(backend) {
        let lab = Lab::new();
        let container = container(&lab);
        let server = container.enter(|| Server::start(GUARDED));
        let rule = format!("-t nat -A PREROUTING -p tcp --dport 18098 -j DNAT --to-destination {INSIDE4}:{GUARDED}");
        backend.foreign_rule(HOST4, &rule);
        backend.load(&Rules::usual());
        let shot = Shot::plain(Segment::syn(lab.stranger(HOST4), SocketAddr::new(HOST4, 18098)));
        assert_eq!(lab.converse(&shot).as_deref(), Some(BANNER));
        drop(server);
    }
}
