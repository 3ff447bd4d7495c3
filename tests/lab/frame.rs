//! Frames, byte by byte.
//!
//! A socket of the system cannot send what an attacker can: a header in the wrong fragment, a flag that no program sets, a
//! source address that is not one's own. So the lab writes its packets itself. A [`Segment`] is what the sender means to
//! say; a [`Shape`] is the way it is wrapped, and may be several packets (fragments) in the order they are sent in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const DESTINATION: u8 = 60;

/// One way to wrap a segment: the packets, in the order of sending.
pub type Shape = fn(&Segment) -> Vec<Vec<u8>>;

/// A TCP segment before it is wrapped.
#[derive(Clone, Debug)]
pub struct Segment {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// TCP options; padded to a multiple of four with zeros.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Segment {
    pub fn new(from: SocketAddr, to: SocketAddr, flags: u8) -> Self {
        assert_eq!(from.is_ipv4(), to.is_ipv4(), "{from} cannot write to {to}");
        Segment { from, to, seq: 1000, ack: 0, flags, options: Vec::new(), payload: Vec::new() }
    }

    pub fn syn(from: SocketAddr, to: SocketAddr) -> Self {
        Segment::new(from, to, SYN)
    }

    /// A segment in the middle of a session that nobody opened.
    pub fn data(from: SocketAddr, to: SocketAddr) -> Self {
        let mut segment = Segment::new(from, to, PSH | ACK);
        segment.ack = 77;
        segment.payload = b"data".to_vec();
        segment
    }

    /// The TCP header with its options, and the payload; the checksum is right.
    pub fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = (20 + options.len()) / 4;
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([(words as u8) << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend(&self.payload);
        let sum = transport_checksum(self.from.ip(), self.to.ip(), TCP, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

/// One packet, nothing special. Also the reference that every other shape is measured against.
pub fn plain(segment: &Segment) -> Vec<Vec<u8>> {
    vec![packet(segment.from.ip(), segment.to.ip(), TCP, &segment.bytes())]
}

/// A UDP datagram with its header, not yet wrapped.
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend((8 + payload.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = transport_checksum(from.ip(), to.ip(), UDP, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    udp
}

/// `payload` of protocol `next` in one plain packet of either family.
pub fn packet(from: IpAddr, to: IpAddr, next: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, next, &V4::default(), payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(from, to, next, payload),
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// What an IPv4 header may say besides addresses and protocol.
#[derive(Clone, Default)]
pub struct V4 {
    pub id: u16,
    /// In bytes; a multiple of eight.
    pub offset: u16,
    pub more: bool,
    pub options: Vec<u8>,
}

pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, header: &V4, payload: &[u8]) -> Vec<u8> {
    assert_eq!(header.offset % 8, 0);
    let mut options = header.options.clone();
    options.resize(options.len().next_multiple_of(4), 0);
    let length = 20 + options.len();
    let mut ip = vec![0x40 | (length / 4) as u8, 0];
    ip.extend(((length + payload.len()) as u16).to_be_bytes());
    ip.extend(header.id.to_be_bytes());
    ip.extend(((header.offset / 8) | (u16::from(header.more) << 13)).to_be_bytes());
    ip.extend([64, protocol, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    ip.extend(options);
    let sum = fold(add(0, &ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(payload);
    ip
}

pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((payload.len() as u16).to_be_bytes());
    ip.extend([next, 64]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    ip.extend(payload);
    ip
}

/// An IPv6 fragment header and the piece behind it; `offset` in bytes.
pub fn fragment6(next: u8, id: u32, offset: u16, more: bool, piece: &[u8]) -> Vec<u8> {
    assert_eq!(offset % 8, 0);
    let mut header = vec![next, 0];
    header.extend((offset | u16::from(more)).to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend(piece);
    header
}

/// A hop-by-hop or destination options header of `length` bytes that asks for nothing, and what follows it.
pub fn options6(next: u8, length: usize, rest: &[u8]) -> Vec<u8> {
    assert!((8..=256).contains(&length) && length.is_multiple_of(8));
    let mut header = vec![next, (length / 8 - 1) as u8];
    // An option for experiments, to be skipped by who does not know it; Linux refuses so much mere padding.
    header.extend([0x1e, (length - 4) as u8]);
    header.resize(length, 0);
    header.extend(rest);
    header
}

/// An Ethernet frame around an IP packet.
pub fn ethernet(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + packet.len());
    frame.extend(to);
    frame.extend(from);
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

/// What a frame from the host says, when it is TCP without extension headers.
#[derive(Clone, Debug)]
pub struct Seen {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// Reads an Ethernet frame; `None` for everything but whole TCP.
pub fn parse(frame: &[u8]) -> Option<Seen> {
    let ip = frame.get(14..)?;
    let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = match frame.get(12..14)? {
        [0x08, 0x00] => {
            let length = usize::from(ip.first()? & 0x0f) * 4;
            let total = usize::from(be16(ip.get(2..4)?));
            if *ip.get(9)? != TCP {
                return None;
            }
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?));
            (address(12)?.into(), address(16)?.into(), ip.get(length..total)?)
        }
        [0x86, 0xdd] => {
            let total = 40 + usize::from(be16(ip.get(4..6)?));
            if *ip.get(6)? != TCP {
                return None;
            }
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(at..at + 16)?).ok()?));
            (address(8)?.into(), address(24)?.into(), ip.get(40..total)?)
        }
        _ => return None,
    };
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    Some(Seen {
        from: SocketAddr::new(from, be16(tcp.get(0..2)?)),
        to: SocketAddr::new(to, be16(tcp.get(2..4)?)),
        seq: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        ack: u32::from_be_bytes(tcp.get(8..12)?.try_into().ok()?),
        flags: *tcp.get(13)?,
        payload: tcp.get(header..)?.to_vec(),
    })
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn transport_checksum(from: IpAddr, to: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => add(add(0, &from.octets()), &to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => add(add(0, &from.octets()), &to.octets()),
        _ => panic!("{from} and {to} are of two families"),
    };
    sum += u32::from(protocol) + bytes.len() as u32;
    fold(add(sum, bytes))
}

fn add(mut sum: u32, bytes: &[u8]) -> u32 {
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    sum
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
