//! One packet as a rule can see it.

use std::fmt;
use std::net::IpAddr;

use crate::ir::{ConnectionStates, TcpFlags};
use crate::net::Interface;

/// TCP's protocol number (IANA).
pub const TCP: u8 = 6;

/// A packet that came in from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The source address, which also says the family.
    pub source: IpAddr,
    /// The destination address, where it matters which.
    pub destination: Option<IpAddr>,
    /// What the destination is to this host.
    pub locality: Locality,
    /// The device that it came in on; `None` is one that no rule names.
    pub interface: Option<Interface>,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The destination port, or what stands in its place in another transport header.
    pub port: u16,
    /// Where the destination of its connection was translated: the port that it had on the wire. [`Self::port`] is then what
    /// it has at input.
    pub original_port: Option<u16>,
    /// The TCP flags; 0 for other protocols.
    pub flags: TcpFlags,
    /// What connection tracking, where there is any, says of it: exactly one state.
    pub state: ConnectionStates,
    /// How much of its headers can be seen.
    pub shape: Shape,
}

impl Packet {
    /// A whole TCP segment without flags to port 0 of this host, from an interface that no rule names; to be filled in.
    #[must_use]
    pub fn plain(source: IpAddr) -> Self {
        Self {
            source,
            destination: None,
            locality: Locality::Local,
            interface: None,
            protocol: TCP,
            port: 0,
            original_port: None,
            flags: TcpFlags(0),
            state: ConnectionStates::NEW,
            shape: Shape::Whole,
        }
    }
}

/// What a destination is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locality {
    /// An address of this host by the routing table `local`.
    Local,
    /// An address of the interface that the packet came in on, in the table of the VRF that the interface is part of.
    Vrf,
    /// Local by another table, see [`crate::net::Elsewhere`].
    Elsewhere,
    /// None of this host's: it is routed, if anything becomes of it.
    Foreign,
}

impl Locality {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Local, Self::Vrf, Self::Elsewhere, Self::Foreign];

    /// Whether packets for it are for this host.
    #[must_use]
    pub fn is_local(self) -> bool {
        match self {
            Self::Local | Self::Vrf | Self::Elsewhere => true,
            Self::Foreign => false,
        }
    }
}

/// How much of a packet's headers a rule can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Whole, the transport header right behind the IP header.
    Whole,
    /// Whole, with IPv6 extension headers other than a fragment header.
    Extended,
    /// The first fragment, with all of the transport header. IPv6: behind a fragment header.
    First,
    /// The first fragment, with the ports but without the TCP flags.
    FirstShort,
    /// An IPv6 first fragment whose headers end right before the transport header, and say which protocol follows.
    FirstAnnounced,
    /// An IPv6 first fragment whose headers end before any says which protocol follows.
    FirstHidden,
    /// A further fragment; no test of ports or flags holds for its data.
    Later,
    /// A further fragment whose data nft may take for a transport header: it makes tests of ports and flags there, too
    /// (seen on Linux 6.18).
    LaterMisread,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 8] = [
        Self::Whole,
        Self::Extended,
        Self::First,
        Self::FirstShort,
        Self::FirstAnnounced,
        Self::FirstHidden,
        Self::Later,
        Self::LaterMisread,
    ];

    /// Whether the protocol behind the last header is known.
    pub(super) fn shows_protocol(self) -> bool {
        match self {
            Self::Whole
            | Self::Extended
            | Self::First
            | Self::FirstShort
            | Self::FirstAnnounced
            | Self::Later
            | Self::LaterMisread => true,
            Self::FirstHidden => false,
        }
    }

    /// Whether the first four bytes of the transport header, the ports, are there.
    pub(super) fn shows_ports(self) -> bool {
        match self {
            Self::Whole | Self::Extended | Self::First | Self::FirstShort => true,
            Self::FirstAnnounced | Self::FirstHidden | Self::Later | Self::LaterMisread => false,
        }
    }

    /// Whether the TCP flags are there.
    pub(super) fn shows_flags(self) -> bool {
        match self {
            Self::Whole | Self::Extended | Self::First => true,
            Self::FirstShort | Self::FirstAnnounced | Self::FirstHidden | Self::Later | Self::LaterMisread => false,
        }
    }

    /// Whether IPv6 has a fragment header with offset 0.
    pub(super) fn is_first_fragment(self) -> bool {
        match self {
            Self::First | Self::FirstShort | Self::FirstAnnounced | Self::FirstHidden => true,
            Self::Whole | Self::Extended | Self::Later | Self::LaterMisread => false,
        }
    }

    /// Whether it is a fragment that does not begin its packet.
    pub(super) fn is_later_fragment(self) -> bool {
        match self {
            Self::Later | Self::LaterMisread => true,
            Self::Whole
            | Self::Extended
            | Self::First
            | Self::FirstShort
            | Self::FirstAnnounced
            | Self::FirstHidden => false,
        }
    }

    /// Whether packets of the family can have this shape: extension headers are IPv6's.
    #[must_use]
    pub fn fits(self, ipv4: bool) -> bool {
        match self {
            Self::Whole | Self::First | Self::FirstShort | Self::Later | Self::LaterMisread => true,
            Self::Extended | Self::FirstAnnounced | Self::FirstHidden => !ipv4,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            TCP => write!(f, "tcp")?,
            17 => write!(f, "udp")?,
            other => write!(f, "protocol {other}")?,
        }
        write!(f, " from {}", self.source)?;
        match (self.destination, self.locality) {
            (Some(to), _) => write!(f, " to {to} port {}", self.port)?,
            (None, Locality::Local | Locality::Elsewhere) => write!(f, " to this host, port {}", self.port)?,
            (None, Locality::Vrf) => write!(f, " to this host's address in a VRF, port {}", self.port)?,
            (None, Locality::Foreign) => write!(f, " to another host, port {}", self.port)?,
        }
        if let Some(port) = self.original_port {
            write!(f, ", translated from port {port}")?;
        }
        match &self.interface {
            Some(name) => write!(f, ", in on {name}")?,
            None => write!(f, ", in on an interface that no rule names")?,
        }
        if self.protocol == TCP {
            let names: Vec<&str> = self.flags.names().collect();
            write!(f, ", flags {}", if names.is_empty() { "none".to_owned() } else { names.join(",") })?;
        }
        let state = ConnectionStates::ALL.iter().find(|(state, _)| *state == self.state);
        if let Some((_, name)) = state {
            write!(f, ", state {name}")?;
        }
        f.write_str(match self.shape {
            Shape::Whole => "",
            Shape::Extended => ", with extension headers",
            Shape::First => ", first fragment",
            Shape::FirstShort => ", first fragment that ends within the transport header",
            Shape::FirstAnnounced => ", first fragment that ends before the transport header",
            Shape::FirstHidden => ", first fragment without the transport header",
            Shape::Later => ", further fragment",
            Shape::LaterMisread => ", further fragment whose data looks like a header",
        })
    }
}
