//! Ways to wrap a segment so that a filter may overlook it.

use super::frame::{
    DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING, Segment, TCP, UDP, V4, datagram, ethernet, fragment6, ipv4, ipv6,
    options6, packet,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

type Packets = Vec<Vec<u8>>;

fn ends4(segment: &Segment) -> (Ipv4Addr, Ipv4Addr) {
    match (segment.from.ip(), segment.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (from, to),
        _ => panic!("a shape of IPv4"),
    }
}

fn ends6(segment: &Segment) -> (Ipv6Addr, Ipv6Addr) {
    match (segment.from.ip(), segment.to.ip()) {
        (IpAddr::V6(from), IpAddr::V6(to)) => (from, to),
        _ => panic!("a shape of IPv6"),
    }
}

/// One number per packet to be put together again: no two segments of a test share source port and flags.
fn id(segment: &Segment) -> u16 {
    segment.from.port() ^ u16::from(segment.flags) << 8
}

// --- IPv4 ---

/// The pieces of `bytes` between the offsets of `cuts`.
fn pieces4(segment: &Segment, cuts: &[usize]) -> Packets {
    let bytes = segment.bytes();
    let (from, to) = ends4(segment);
    let mut edges = vec![0];
    edges.extend(cuts.iter().copied().filter(|cut| *cut < bytes.len()));
    edges.push(bytes.len());
    edges
        .windows(2)
        .map(|edge| {
            let (offset, more) = (edge[0] as u16, edge[1] < bytes.len());
            ipv4(from, to, TCP, &V4 { id: id(segment), offset, more, ..V4::default() }, &bytes[edge[0]..edge[1]])
        })
        .collect()
}

/// The first piece ends before the TCP flags.
pub fn tiny_fragments(segment: &Segment) -> Packets {
    pieces4(segment, &[8])
}

pub fn tiny_fragments_reversed(segment: &Segment) -> Packets {
    let mut pieces = pieces4(segment, &[8, 16]);
    pieces.reverse();
    pieces
}

/// Every piece twice.
pub fn fragments_repeated(segment: &Segment) -> Packets {
    pieces4(segment, &[8, 16]).into_iter().flat_map(|piece| [piece.clone(), piece]).collect()
}

/// The middle is told twice: whoever puts it together decides what it says.
pub fn overlapping_fragments(segment: &Segment) -> Packets {
    let mut pieces = pieces4(segment, &[16]);
    pieces.insert(1, pieces4(segment, &[8]).remove(1));
    pieces
}

/// A harmless first piece, then another in its place with the port that is meant.
pub fn changed_mind(segment: &Segment) -> Packets {
    let mut decoy = segment.clone();
    decoy.to.set_port(super::rules::FREE);
    let mut pieces = pieces4(&decoy, &[16]);
    pieces.truncate(1);
    pieces.extend(pieces4(segment, &[8]));
    pieces
}

fn with_ip_options(segment: &Segment, options: &[u8]) -> Packets {
    let (from, to) = ends4(segment);
    vec![ipv4(from, to, TCP, &V4 { options: options.to_vec(), ..V4::default() }, &segment.bytes())]
}

pub fn record_route(segment: &Segment) -> Packets {
    with_ip_options(segment, &[7, 39, 4].into_iter().chain([0; 36]).collect::<Vec<u8>>())
}

pub fn nothing_but_nops(segment: &Segment) -> Packets {
    with_ip_options(segment, &[1; 40])
}

pub fn router_alert(segment: &Segment) -> Packets {
    with_ip_options(segment, &[148, 4, 0, 0])
}

/// A loose source route whose next stop is the host once more: it changes its mind about the destination after prerouting.
pub fn source_route(segment: &Segment) -> Packets {
    let (_, to) = ends4(segment);
    let mut option = vec![131, 7, 4];
    option.extend(to.octets());
    with_ip_options(segment, &option)
}

pub fn options_and_fragments(segment: &Segment) -> Packets {
    let bytes = segment.bytes();
    let (from, to) = ends4(segment);
    let piece = |offset: usize, more| {
        let end = if more { 8 } else { bytes.len() };
        let header = V4 { id: id(segment), offset: offset as u16, more, options: vec![1; 40] };
        ipv4(from, to, TCP, &header, &bytes[offset..end])
    };
    vec![piece(0, true), piece(8, false)]
}

// --- IPv6 ---

fn behind(segment: &Segment, next: u8, rest: &[u8]) -> Packets {
    let (from, to) = ends6(segment);
    vec![ipv6(from, to, next, rest)]
}

pub fn hop_by_hop(segment: &Segment) -> Packets {
    behind(segment, HOP_BY_HOP, &options6(TCP, 8, &segment.bytes()))
}

pub fn long_hop_by_hop(segment: &Segment) -> Packets {
    behind(segment, HOP_BY_HOP, &options6(DESTINATION, 248, &options6(TCP, 8, &segment.bytes())))
}

pub fn twelve_destination_options(segment: &Segment) -> Packets {
    let mut rest = options6(TCP, 8, &segment.bytes());
    for _ in 0..11 {
        rest = options6(DESTINATION, 8, &rest);
    }
    behind(segment, DESTINATION, &rest)
}

fn routing(next: u8, kind: u8, left: u8, segments: &[Ipv6Addr], rest: &[u8]) -> Vec<u8> {
    let mut header = vec![next, (segments.len() * 2) as u8, kind, left];
    // Bytes 4 and 5 are the last entry and the flags of a segment routing header, reserved in all others.
    header.extend([(segments.len().max(1) - 1) as u8, 0, 0, 0]);
    header.extend(segments.iter().flat_map(Ipv6Addr::octets));
    header.extend(rest);
    header
}

/// A routing header that has nothing left to do.
pub fn finished_routing(segment: &Segment) -> Packets {
    let (_, to) = ends6(segment);
    behind(segment, ROUTING, &routing(TCP, 0, 0, &[to], &segment.bytes()))
}

/// Segment routing whose next stop is the host once more.
pub fn segment_routing(segment: &Segment) -> Packets {
    let (_, to) = ends6(segment);
    behind(segment, ROUTING, &routing(TCP, 4, 1, &[to, to], &segment.bytes()))
}

/// A whole packet inside a segment routing header: the host unwraps it and starts again.
pub fn segment_routing_tunnel(segment: &Segment) -> Packets {
    const IPV6: u8 = 41;
    let (from, to) = ends6(segment);
    let inner = ipv6(from, to, TCP, &segment.bytes());
    behind(segment, ROUTING, &routing(IPV6, 4, 0, &[to], &inner))
}

/// A fragment header around something that is whole.
pub fn atomic_fragment(segment: &Segment) -> Packets {
    behind(segment, FRAGMENT, &fragment6(TCP, id(segment).into(), 0, false, &segment.bytes()))
}

pub fn atomic_fragment_with_options(segment: &Segment) -> Packets {
    let rest = options6(DESTINATION, 8, &options6(TCP, 24, &segment.bytes()));
    let fragment = fragment6(DESTINATION, id(segment).into(), 0, false, &rest);
    behind(segment, HOP_BY_HOP, &options6(FRAGMENT, 8, &fragment))
}

/// `rest`, which starts with header `next`, cut in two, the first piece ending at `cut`.
fn halves6(segment: &Segment, next: u8, rest: &[u8], cut: usize) -> Packets {
    let id = u32::from(id(segment));
    if rest.len() <= cut {
        return behind(segment, FRAGMENT, &fragment6(next, id, 0, false, rest));
    }
    let first = fragment6(next, id, 0, true, &rest[..cut]);
    let second = fragment6(next, id, cut as u16, false, &rest[cut..]);
    [first, second].into_iter().flat_map(|piece| behind(segment, FRAGMENT, &piece)).collect()
}

/// Cut behind the TCP header, as a sender may.
pub fn honest_fragments(segment: &Segment) -> Packets {
    halves6(segment, TCP, &segment.bytes(), 24)
}

pub fn honest_fragments_reversed(segment: &Segment) -> Packets {
    let mut halves = honest_fragments(segment);
    halves.reverse();
    halves
}

/// The first piece shows the ports and not the flags.
pub fn tiny_fragments6(segment: &Segment) -> Packets {
    halves6(segment, TCP, &segment.bytes(), 8)
}

pub fn overlapping_fragments6(segment: &Segment) -> Packets {
    let mut pieces = halves6(segment, TCP, &segment.bytes(), 16);
    pieces.insert(1, halves6(segment, TCP, &segment.bytes(), 8).remove(1));
    pieces
}

/// The first piece holds destination options only. That more of them follow is known to the second piece alone, and so is
/// TCP: a kernel that looks for TCP in the first piece gives up and lets it be.
pub fn hidden(segment: &Segment) -> Packets {
    halves6(segment, DESTINATION, &options6(DESTINATION, 8, &options6(TCP, 8, &segment.bytes())), 8)
}

pub fn hidden_reversed(segment: &Segment) -> Packets {
    let mut halves = hidden(segment);
    halves.reverse();
    halves
}

pub fn hidden_behind_two_headers(segment: &Segment) -> Packets {
    let rest = options6(DESTINATION, 8, &options6(DESTINATION, 16, &options6(TCP, 8, &segment.bytes())));
    halves6(segment, DESTINATION, &rest, 24)
}

/// The first piece says that TCP follows, and ends there.
pub fn announced(segment: &Segment) -> Packets {
    halves6(segment, DESTINATION, &options6(TCP, 8, &segment.bytes()), 8)
}

/// The first piece ends in the middle of the destination options.
pub fn half_a_header(segment: &Segment) -> Packets {
    halves6(segment, DESTINATION, &options6(TCP, 24, &segment.bytes()), 16)
}

/// Other headers stand before the fragment header.
pub fn hidden_behind_hop_by_hop(segment: &Segment) -> Packets {
    let (from, to) = ends6(segment);
    hidden(segment)
        .into_iter()
        .map(|packet| ipv6(from, to, HOP_BY_HOP, &options6(DESTINATION, 8, &options6(FRAGMENT, 8, &packet[40..]))))
        .collect()
}

pub fn hidden_behind_routing(segment: &Segment) -> Packets {
    let (from, to) = ends6(segment);
    let unwrap = |packet: Vec<u8>| ipv6(from, to, ROUTING, &routing(FRAGMENT, 0, 0, &[to], &packet[40..]));
    hidden(segment).into_iter().map(unwrap).collect()
}

/// Fragments of a fragment.
pub fn hidden_twice(segment: &Segment) -> Packets {
    let inner = hidden(segment);
    let id = u32::from(id(segment)) + 0x10000;
    inner
        .iter()
        .zip(0..)
        .flat_map(|(packet, number)| {
            behind(segment, FRAGMENT, &fragment6(FRAGMENT, id + number, 0, false, &packet[40..]))
        })
        .collect()
}

// --- Tunnels ---

/// Of the host's VXLAN device, and the network it belongs to.
pub const VXLAN_MAC: [u8; 6] = [2, 0, 0, 0, 0x77, 1];
pub const VXLAN_ID: u8 = 42;
pub const VXLAN_FAR_END: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 77);

/// Inside a VXLAN packet from the tunnel's far end.
pub fn in_vxlan(segment: &Segment) -> Packets {
    let inner = packet(segment.from.ip(), segment.to.ip(), TCP, &segment.bytes());
    let mut vxlan = vec![8, 0, 0, 0, 0, 0, VXLAN_ID, 0];
    vxlan.extend(ethernet(VXLAN_MAC, [2, 0, 0, 0, 0x77, 2], &inner));
    let from = SocketAddr::from((VXLAN_FAR_END, 4789));
    let to = SocketAddr::new(super::HOST4, 4789);
    vec![packet(from.ip(), to.ip(), UDP, &datagram(from, to, &vxlan))]
}
