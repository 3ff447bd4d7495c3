//! The packets that every rule is tried with, and what each is in the words of the specification.

use std::net::{IpAddr, SocketAddr};

use ringfence::ir::{ConnectionStates, TcpFlags};
use ringfence::semantics::{Locality, Packet, Shape};

use super::lab::frame::{
    ACK, CWR, DESTINATION, ECE, FIN, FRAGMENT, HOP_BY_HOP, PSH, ROUTING, RST, SYN, Segment, TCP, UDP, URG, V4,
    datagram, fragment6, ipv4, ipv6, options6, packet,
};
use super::lab::{HOST4, HOST6};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// One packet, in as many frames as it takes.
pub struct Sample {
    pub name: &'static str,
    pub packets: Vec<Vec<u8>>,
    pub model: Packet,
    /// What it looks like where the kernel puts fragments together.
    pub gathered: Shape,
}

/// Sources: a peer, a neighbour of its network, a stranger.
pub fn sources(ipv4: bool) -> [IpAddr; 3] {
    let parse = |text: [&str; 3]| text.map(|one| one.parse().unwrap());
    parse(if ipv4 {
        ["10.20.0.12", "10.20.0.200", "203.0.113.9"]
    } else {
        ["fd20::12", "fd20::200", "2001:db8:bad::9"]
    })
}

pub fn host(ipv4: bool) -> IpAddr {
    if ipv4 { HOST4 } else { HOST6 }
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv4 header with other bytes at some places, and a right checksum.
fn header4(mut packet: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        packet[*at] = *byte;
    }
    let length = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let sum = sum(&packet[..length]).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet
}

fn header6(mut packet: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        packet[*at] = *byte;
    }
    packet
}

/// A message of ICMP, or of ICMPv6, with a right checksum.
fn icmp(from: IpAddr, to: IpAddr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    let mut covered = Vec::new();
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) {
        covered.extend(from.octets());
        covered.extend(to.octets());
        covered.extend((message.len() as u32).to_be_bytes());
        covered.extend([0, 0, 0, ICMPV6]);
    }
    covered.extend(&message);
    let sum = sum(&covered).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

/// What rules can see of a packet with this transport.
fn model(from: IpAddr, to: IpAddr, protocol: u8, transport: &[u8], shape: Shape) -> Packet {
    Packet {
        destination: Some(to),
        locality: Locality::Local,
        interface: Some("eth1".parse().unwrap()),
        protocol,
        port: u16::from_be_bytes([transport[2], transport[3]]),
        flags: TcpFlags(if protocol == TCP { transport[13] } else { 0 }),
        state: ConnectionStates::NEW,
        shape,
        ..Packet::plain(from)
    }
}

struct Battery {
    ipv4: bool,
    /// Source ports that were not used before begin here.
    port: u16,
    samples: Vec<Sample>,
}

impl Battery {
    fn add(&mut self, name: &'static str, packets: Vec<Vec<u8>>, model: Packet, gathered: Shape) {
        self.samples.push(Sample { name, packets, model, gathered });
    }

    fn whole(&mut self, name: &'static str, from: IpAddr, protocol: u8, transport: &[u8]) {
        let to = host(self.ipv4);
        let model = model(from, to, protocol, transport, Shape::Whole);
        self.add(name, vec![packet(from, to, protocol, transport)], model, Shape::Whole);
    }

    fn segment(&mut self, source: usize, port: u16, flags: u8) -> Segment {
        self.port = if self.port == u16::MAX { 20000 } else { self.port + 1 };
        let from = SocketAddr::new(sources(self.ipv4)[source], self.port);
        Segment::new(from, SocketAddr::new(host(self.ipv4), port), flags)
    }

    fn tcp(&mut self) {
        let plain: [(&str, usize, u16, u8); 16] = [
            ("peer SYN", 0, 8098, SYN),
            ("neighbour SYN", 1, 8098, SYN),
            ("stranger SYN", 2, 8098, SYN),
            ("peer SYN to ssh", 0, 22, SYN),
            ("stranger SYN to epmd", 2, 4369, SYN),
            ("stranger SYN to a free port", 2, 9999, SYN),
            ("stranger ACK", 2, 8098, ACK),
            ("peer RST", 0, 8098, RST),
            ("stranger FIN ACK", 2, 8098, FIN | ACK),
            ("stranger no flags", 2, 8098, 0),
            ("stranger SYN FIN", 2, 8098, SYN | FIN),
            ("stranger SYN ACK", 2, 4369, SYN | ACK),
            ("stranger SYN ECE CWR", 2, 8098, SYN | ECE | CWR),
            ("stranger URG PSH FIN", 2, 22, URG | PSH | FIN),
            ("stranger SYN RST", 2, 8099, SYN | RST),
            ("stranger all flags", 2, 8098, 0xff),
        ];
        for (name, source, port, flags) in plain {
            let segment = self.segment(source, port, flags);
            self.whole(name, segment.from.ip(), TCP, &segment.bytes());
        }
        let mut data = self.segment(2, 8098, PSH | ACK);
        data.payload = b"GET /buckets HTTP/1.1".to_vec();
        self.whole("stranger data", data.from.ip(), TCP, &data.bytes());
        let mut options = self.segment(0, 8098, SYN);
        options.options = vec![2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        self.whole("peer SYN with options", options.from.ip(), TCP, &options.bytes());
        for (name, from) in [("stranger SYN from port 53", 53), ("stranger SYN from port 8098", 8098)] {
            let mut segment = self.segment(2, 8098, SYN);
            segment.from.set_port(from);
            self.whole(name, segment.from.ip(), TCP, &segment.bytes());
        }
    }

    fn others(&mut self) {
        let [peer, _, stranger] = sources(self.ipv4);
        let to = host(self.ipv4);
        for (name, from, port) in [("peer UDP", peer, 8098), ("stranger UDP", stranger, 53)] {
            let source = self.segment(0, port, 0).from.port();
            let bytes = datagram(SocketAddr::new(from, source), SocketAddr::new(to, port), b"question");
            self.whole(name, from, UDP, &bytes);
        }
        let (number, echo) = if self.ipv4 { (ICMP, 8) } else { (ICMPV6, 128) };
        self.whole("stranger ping", stranger, number, &icmp(stranger, to, echo, 0, &[0, 7, 0, 1, 9, 9, 9, 9]));
        self.whole("peer ping", peer, number, &icmp(peer, to, echo, 0, &[0, 8, 0, 2, 9, 9, 9, 9]));
        self.whole("stranger GRE", stranger, 47, &[0, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    /// A SYN of the stranger, cut and wrapped.
    fn wrapped(&mut self) -> (Segment, Vec<u8>) {
        let mut segment = self.segment(2, 8098, SYN);
        segment.options = vec![1; 4];
        segment.payload = b"payload for a fragment".to_vec();
        let bytes = segment.bytes();
        (segment, bytes)
    }

    fn headers4(&mut self) {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (sources(true)[2], host(true)) else { panic!("IPv4") };
        let headers: [(&str, &[(usize, u8)]); 5] = [
            ("stranger SYN, last hop", &[(8, 1)]),
            ("stranger SYN, far away", &[(8, 255)]),
            ("stranger SYN, expedited", &[(1, 0xb8)]),
            ("stranger SYN, congestion met", &[(1, 0x13)]),
            ("stranger SYN, not to be cut", &[(6, 0x40)]),
        ];
        for (name, changes) in headers {
            let bytes = self.segment(2, 8098, SYN).bytes();
            let packet = header4(ipv4(from, to, TCP, &V4::default(), &bytes), changes);
            self.add(name, vec![packet], model(from.into(), to.into(), TCP, &bytes, Shape::Whole), Shape::Whole);
        }
        let (_, bytes) = self.wrapped();
        let options = V4 { options: vec![148, 4, 0, 0], ..V4::default() };
        let packet = ipv4(from, to, TCP, &options, &bytes);
        let model = |bytes: &[u8], shape| model(from.into(), to.into(), TCP, bytes, shape);
        self.add("stranger SYN with IP options", vec![packet], model(&bytes, Shape::Whole), Shape::Whole);
        let pieces: [(&str, u16, bool, usize, usize, Shape); 4] = [
            ("first fragment", 0, true, 0, 24, Shape::First),
            ("short first fragment", 0, true, 0, 8, Shape::FirstShort),
            ("middle fragment", 64, true, 0, 16, Shape::LaterMisread),
            ("last fragment", 64, false, 0, 16, Shape::LaterMisread),
        ];
        for (name, offset, more, first, last, shape) in pieces {
            let (segment, bytes) = self.wrapped();
            let header = V4 { id: segment.from.port(), offset, more, ..V4::default() };
            let packet = ipv4(from, to, TCP, &header, &bytes[first..last]);
            self.add(name, vec![packet], model(&bytes, shape), shape);
        }
    }

    fn headers6(&mut self) {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (sources(false)[2], host(false)) else { panic!("IPv6") };
        let headers: [(&str, &[(usize, u8)]); 4] = [
            ("stranger SYN, last hop", &[(7, 1)]),
            ("stranger SYN, far away", &[(7, 255)]),
            ("stranger SYN, expedited", &[(0, 0x6b), (1, 0x80)]),
            ("stranger SYN of a flow", &[(2, 0x12), (3, 0x34)]),
        ];
        for (name, changes) in headers {
            let bytes = self.segment(2, 8098, SYN).bytes();
            let packet = header6(ipv6(from, to, TCP, &bytes), changes);
            self.add(name, vec![packet], model(from.into(), to.into(), TCP, &bytes, Shape::Whole), Shape::Whole);
        }
        let mut routing = vec![TCP, 2, 0, 0, 0, 0, 0, 0];
        routing.extend(to.octets());
        let shapes: [(&str, Shape); 10] = [
            ("hop-by-hop options", Shape::Extended),
            ("destination options", Shape::Extended),
            ("two kinds of options", Shape::Extended),
            ("a finished routing header", Shape::Extended),
            ("atomic fragment", Shape::First),
            ("first fragment", Shape::First),
            ("short first fragment", Shape::FirstShort),
            ("first fragment that announces TCP", Shape::FirstAnnounced),
            ("first fragment that hides TCP", Shape::FirstHidden),
            ("last fragment", Shape::LaterMisread),
        ];
        for (name, shape) in shapes {
            let (segment, bytes) = self.wrapped();
            let fragment = |next, offset, more, piece: &[u8]| {
                ipv6(from, to, FRAGMENT, &fragment6(next, segment.from.port().into(), offset, more, piece))
            };
            let (packet, gathered) = match name {
                "hop-by-hop options" => (ipv6(from, to, HOP_BY_HOP, &options6(TCP, 8, &bytes)), shape),
                "destination options" => (ipv6(from, to, DESTINATION, &options6(TCP, 24, &bytes)), shape),
                "two kinds of options" => {
                    let inner = options6(TCP, 8, &bytes);
                    (ipv6(from, to, HOP_BY_HOP, &options6(DESTINATION, 8, &inner)), shape)
                }
                "a finished routing header" => {
                    (ipv6(from, to, ROUTING, &[routing.as_slice(), bytes.as_slice()].concat()), shape)
                }
                "atomic fragment" => (fragment(TCP, 0, false, &bytes), Shape::Whole),
                "first fragment" => (fragment(TCP, 0, true, &bytes[..24]), shape),
                "short first fragment" => (fragment(TCP, 0, true, &bytes[..8]), shape),
                "first fragment that announces TCP" => (fragment(DESTINATION, 0, true, &options6(TCP, 8, &[])), shape),
                "first fragment that hides TCP" => {
                    (fragment(DESTINATION, 0, true, &options6(DESTINATION, 8, &[])), shape)
                }
                _ => (fragment(TCP, 64, false, &bytes[..16]), shape),
            };
            self.add(name, vec![packet], model(from.into(), to.into(), TCP, &bytes, shape), gathered);
        }
        let inner = datagram((from, 40000).into(), (to, 8098).into(), b"question");
        let packet = ipv6(from, to, DESTINATION, &options6(UDP, 8, &inner));
        let model = model(from.into(), to.into(), UDP, &inner, Shape::Extended);
        self.add("stranger UDP behind options", vec![packet], model, Shape::Extended);
    }
}

/// A UDP datagram in two pieces, which arrives as one at input.
fn in_two(battery: &mut Battery) {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (sources(true)[0], host(true)) else { panic!("IPv4") };
    let mut segment = battery.segment(0, 8098, SYN);
    segment.payload = b"payload for a fragment".to_vec();
    let bytes = segment.bytes();
    let piece = |offset: u16, more, bytes: &[u8]| {
        ipv4(from, to, TCP, &V4 { id: segment.from.port(), offset, more, ..V4::default() }, bytes)
    };
    let packets = vec![piece(0, true, &bytes[..24]), piece(24, false, &bytes[24..])];
    battery.add(
        "peer SYN in two pieces",
        packets,
        model(from.into(), to.into(), TCP, &bytes, Shape::Whole),
        Shape::Whole,
    );
}

/// The packets of a family; `at_input` says that what is in pieces has been put together.
pub fn battery(ipv4: bool, port: u16, at_input: bool) -> Vec<Sample> {
    let mut battery = Battery { ipv4, port, samples: Vec::new() };
    battery.tcp();
    battery.others();
    if ipv4 {
        battery.headers4();
        if at_input {
            in_two(&mut battery);
        }
    } else {
        battery.headers6();
    }
    battery.samples
}

/// The SYN of a session, before there are rules.
pub fn opening(ipv4: bool, port: u16) -> Segment {
    Segment::syn(SocketAddr::new(sources(ipv4)[2], port), SocketAddr::new(host(ipv4), 8098))
}

/// What may follow in that session, `answer` being the number that the host chose.
pub fn session(opening: &Segment, answer: u32) -> Vec<Sample> {
    let (from, to) = (opening.from.ip(), opening.to.ip());
    let mut battery = Battery { ipv4: from.is_ipv4(), port: 0, samples: Vec::new() };
    let mut one = Segment { flags: ACK, seq: opening.seq + 1, ack: answer.wrapping_add(1), ..opening.clone() };
    battery.whole("stranger's handshake", from, TCP, &one.bytes());
    one.flags = PSH | ACK;
    one.payload = b"GET".to_vec();
    battery.whole("stranger's question", from, TCP, &one.bytes());
    // An error that somebody on the way reports of what the host answered.
    let mut answered = vec![0; 8];
    answered[..2].copy_from_slice(&opening.to.port().to_be_bytes());
    answered[2..4].copy_from_slice(&opening.from.port().to_be_bytes());
    answered[4..8].copy_from_slice(&answer.to_be_bytes());
    let (number, kind, code) = if from.is_ipv4() { (ICMP, 3, 1) } else { (ICMPV6, 1, 3) };
    if from.is_ipv6() {
        answered.resize(20, 0);
    }
    let inner = [vec![0; 4], packet(to, from, TCP, &answered)].concat();
    battery.whole("an error about the session", from, number, &icmp(from, to, kind, code, &inner));
    battery.samples
}
