//! Packets, byte by byte: what nobody's own socket would send, a source that is somebody else's and a header in pieces.
//!
//! Every packet has its number where TCP has its sequence, so that whoever sees it knows which it is, however it was wrapped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP's number (IANA), and those of the headers of IPv6 that may stand before it (RFC 8200, 4).
const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// The bits of TCP's flags (RFC 9293, 3.1).
pub const SYN: u8 = 0x02;
/// The same.
pub const ACK: u8 = 0x10;
/// The same.
pub const FIN: u8 = 0x01;
/// The same.
pub const RST: u8 = 0x04;
/// The same.
pub const PSH: u8 = 0x08;

/// A maximum segment size: with it TCP's header is 24 bytes long, and a fragment may end where it does.
const OPTION: [u8; 4] = [2, 4, 5, 0xb4];
const HEADER: usize = 24;
/// Whoever takes it for a header finds no port in it.
const PAYLOAD: &[u8; 8] = &[0; 8];
/// It is one hop from here to there.
const HOPS: u8 = 64;

/// The way a segment is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A request for a connection.
    Request,
    /// Data of a connection that nobody opened.
    Data,
    /// A request in two fragments, the first of which has all of TCP's header.
    Fragments,
    /// A request behind an IPv6 header of hop-by-hop options.
    HopByHop,
    /// A request behind an IPv6 header of destination options.
    DestinationOptions,
    /// A segment with other flags than these have.
    Flags,
    /// A request from a port that a rule names.
    FromPort,
}

impl Kind {
    /// Those that everybody sends.
    pub const ALL: [Self; 5] = [Self::Request, Self::Data, Self::Fragments, Self::HopByHop, Self::DestinationOptions];

    /// Whether a family of addresses has it.
    #[must_use]
    pub fn fits(self, ipv4: bool) -> bool {
        match self {
            Self::Request | Self::Data | Self::Fragments | Self::Flags | Self::FromPort => true,
            Self::HopByHop | Self::DestinationOptions => !ipv4,
        }
    }

    /// The flags that it has, where it does not bring its own.
    #[must_use]
    pub fn flags(self) -> u8 {
        match self {
            Self::Data => PSH | ACK,
            Self::Flags => FIN | SYN,
            Self::Request | Self::Fragments | Self::HopByHop | Self::DestinationOptions | Self::FromPort => SYN,
        }
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Data => "data without a connection",
            Self::Fragments => "request in two fragments",
            Self::HopByHop => "request behind hop-by-hop options",
            Self::DestinationOptions => "request behind destination options",
            Self::Flags => "segment with other flags",
            Self::FromPort => "request from a port that a rule names",
        }
    }
}

/// The packets that one segment becomes, in the order of sending; none where sender and receiver are of two families, or of one that
/// does not have the kind. The number also tells fragments of one sender apart.
#[must_use]
pub fn packets((kind, flags): (Kind, u8), from: SocketAddr, to: SocketAddr, number: u32) -> Vec<Vec<u8>> {
    let id = number;
    let segment = |payload: &[u8]| tcp(from, to, number, flags, payload);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let ip = |place: u16, piece: &[u8]| ipv4(source, target, id as u16, place, piece);
            match kind {
                Kind::Request | Kind::Data | Kind::Flags | Kind::FromPort => vec![ip(0, &segment(&[]))],
                Kind::Fragments => {
                    let (first, later) = halves(segment(PAYLOAD));
                    // The bit of more fragments, and the offset in units of eight bytes (RFC 791, 3.1).
                    vec![ip(0x2000, &first), ip((HEADER / 8) as u16, &later)]
                }
                Kind::HopByHop | Kind::DestinationOptions => Vec::new(),
            }
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let ip = |next: u8, rest: &[u8]| ipv6(source, target, next, rest);
            match kind {
                Kind::Request | Kind::Data | Kind::Flags | Kind::FromPort => vec![ip(TCP, &segment(&[]))],
                Kind::Fragments => {
                    let (first, later) = halves(segment(PAYLOAD));
                    let piece = |place: u16, bytes: &[u8]| ip(FRAGMENT, &fragment6(id, place, bytes));
                    // The offset in bytes, and the bit of more fragments (RFC 8200, 4.5).
                    vec![piece(1, &first), piece(HEADER as u16, &later)]
                }
                Kind::HopByHop => vec![ip(HOP_BY_HOP, &options6(&segment(&[])))],
                Kind::DestinationOptions => vec![ip(DESTINATION, &options6(&segment(&[])))],
            }
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
    }
}

/// The number of the segment in what a raw socket of IPv4 is given: a packet.
#[must_use]
pub fn number4(packet: &[u8]) -> Option<u32> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    (packet.get(9) == Some(&TCP)).then(|| packet.get(header..).and_then(number6))?
}

/// The same for IPv6, where it is given what is behind IP's headers.
#[must_use]
pub fn number6(segment: &[u8]) -> Option<u32> {
    segment.get(4..8)?.try_into().ok().map(u32::from_be_bytes)
}

fn halves(mut segment: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let later = segment.split_off(HEADER.min(segment.len()));
    (segment, later)
}

fn tcp(from: SocketAddr, to: SocketAddr, number: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let acknowledged: u32 = if flags & ACK == 0 { 0 } else { 1 };
    let with = |sum: u16| {
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend(acknowledged.to_be_bytes());
        bytes.extend([((HEADER / 4) as u8) << 4, flags, 0xff, 0xff]);
        bytes.extend(sum.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(OPTION);
        bytes.extend(payload);
        bytes
    };
    let bytes = with(0);
    let addresses = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => added(added(0, &from.octets()), &to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => added(added(0, &from.octets()), &to.octets()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    with(folded(added(addresses + u32::from(TCP) + bytes.len() as u32, &bytes)))
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, id: u16, place: u16, rest: &[u8]) -> Vec<u8> {
    const LENGTH: usize = 20;
    let with = |sum: u16| {
        let mut bytes = Vec::with_capacity(LENGTH + rest.len());
        bytes.extend([0x45, 0]);
        bytes.extend(((LENGTH + rest.len()) as u16).to_be_bytes());
        // The kernel gives a number of its own where there is none.
        bytes.extend(id.max(1).to_be_bytes());
        bytes.extend(place.to_be_bytes());
        bytes.extend([HOPS, TCP]);
        bytes.extend(sum.to_be_bytes());
        bytes.extend(from.octets());
        bytes.extend(to.octets());
        bytes
    };
    let mut bytes = with(folded(added(0, &with(0))));
    bytes.extend(rest);
    bytes
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend([next, HOPS]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(rest);
    bytes
}

fn fragment6(id: u32, place: u16, piece: &[u8]) -> Vec<u8> {
    let mut bytes = vec![TCP, 0];
    bytes.extend(place.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(piece);
    bytes
}

/// An option for experiments, which who does not know it skips (RFC 4727, 3.3): Linux refuses some that are mere padding.
fn options6(rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![TCP, 0, 0x1e, 4, 0, 0, 0, 0];
    bytes.extend(rest);
    bytes
}

fn added(sum: u32, bytes: &[u8]) -> u32 {
    let pair = |two: &[u8]| match two {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    };
    bytes.chunks(2).fold(sum, |sum, two| sum + pair(two))
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum over what has its own sum in it is zero (RFC 1071).
    #[test]
    fn sums_are_right_and_numbers_are_found() {
        for (from, to) in [("10.0.0.1:4000", "10.0.0.2:80"), ("[fd00::1]:4000", "[fd00::2]:80")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            for kind in Kind::ALL {
                let all = packets((kind, kind.flags()), from, to, 0xdead_beef);
                assert_eq!(all.is_empty(), !kind.fits(from.is_ipv4()), "{kind:?}");
                if kind != Kind::Request {
                    continue;
                }
                let whole = all.first().unwrap();
                let length = if from.is_ipv4() { 20 } else { 40 };
                let found = if from.is_ipv4() { number4(whole) } else { number6(&whole[40..]) };
                assert_eq!(found, Some(0xdead_beef));
                if from.is_ipv4() {
                    assert_eq!(folded(added(0, &whole[..20])), 0);
                }
                let addresses = if from.is_ipv4() { &whole[12..20] } else { &whole[8..40] };
                let tcp = &whole[length..];
                assert_eq!(folded(added(added(6 + tcp.len() as u32, addresses), tcp)), 0);
            }
            assert_eq!(packets((Kind::Fragments, SYN), from, to, 1).len(), 2);
        }
    }

    #[test]
    fn what_is_cut_short_has_no_number() {
        assert_eq!((number4(&[]), number4(&[0x45]), number6(&[0; 7])), (None, None, None));
    }
}
