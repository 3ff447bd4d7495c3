//! What a rule asks of a packet.

use super::{ConnectionStates, Elements, Family, Foreign, Marked, PacketTypes, TcpFlags, Varying};
use crate::net::{Cidr, Interface, Ports};

/// One test of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The interface that the packet came in on is one of these (or none of these).
    InInterface {
        /// The interfaces.
        names: Vec<Interface>,
        /// Turns the test round.
        negated: bool,
    },
    /// The source address.
    Source {
        /// The addresses.
        addresses: Addresses,
        /// Turns the test round, within the family of the addresses.
        negated: bool,
    },
    /// The destination address.
    Destination {
        /// The addresses.
        addresses: Addresses,
        /// Turns the test round, within the family of the addresses.
        negated: bool,
    },
    /// The packet is IPv4, or is IPv6.
    Family(Family),
    /// The transport protocol behind all extension headers has this number (or has not). 6 is TCP, 17 UDP (IANA).
    Protocol {
        /// The number.
        number: u8,
        /// Turns the test round.
        negated: bool,
    },
    /// The state of the connection as connection tracking sees it.
    ConnectionState {
        /// It is one of these.
        states: ConnectionStates,
        /// Turns the test round.
        negated: bool,
    },
    /// The TCP destination port.
    DestinationPort {
        /// The ports.
        ports: PortMatch,
        /// Turns the test round, within TCP.
        negated: bool,
    },
    /// The destination port of TCP, or what stands in its place in another transport header, is in this block. Says no
    /// more than a port match does, but at a fraction of its cost.
    PortBlock(PortBlock),
    /// This one TCP flag is set, or is not; in another transport header, what stands in its place. Says less than
    /// [`Match::TcpFlags`], at a fraction of its cost.
    FlagBit {
        /// The flag, a single one.
        flag: TcpFlags,
        /// Whether it is set.
        set: bool,
    },
    /// Of the TCP flags in `mask` exactly those in `value` are set.
    TcpFlags {
        /// The flags that are looked at.
        mask: TcpFlags,
        /// Those of them that have to be set.
        value: TcpFlags,
    },
    /// The destination of the packet's connection was translated (DNAT, REDIRECT), and the packet goes the way that the
    /// connection was asked for.
    DestinationTranslated,
    /// The TCP destination port that the packet's connection began with, before any translation. Every packet that has a
    /// connection has one.
    OriginalPort(PortMatch),
    /// The destination is an address of this host by the routing table `local`.
    DestinationLocal,
    /// The destination is an address of the interface that the packet came in on, be it in the table of a VRF.
    DestinationOfInterface,
    /// To whom the link layer sent the packet.
    PacketType {
        /// It is one of these.
        types: PacketTypes,
        /// Turns the test round.
        negated: bool,
    },
    /// The IPv6 header is followed by an extension header, or by a transport other than TCP.
    NotDirectlyTcp,
    /// Holds for every packet, but perhaps not for what [`Match::NotDirectlyTcp`] holds for: what was read may have lost a
    /// test of the IPv6 header's next header.
    PerhapsDirectlyTcp,
    /// The first fragment of a fragmented IPv6 packet.
    FirstFragment,
    /// At most so many packets a minute, after a burst.
    Limit {
        /// Packets a minute.
        per_minute: u32,
        /// Packets.
        burst: u32,
    },
    /// A test that only rules of others make.
    Foreign(Foreign),
    /// Something that no dialect here knows, with its text.
    Unknown(String),
}

impl Match {
    /// The name of the set that it asks, where it asks one.
    #[must_use]
    pub fn set_name(&self) -> Option<&str> {
        match self {
            Self::Source { addresses: Addresses::Set(name), .. }
            | Self::Destination { addresses: Addresses::Set(name), .. }
            | Self::DestinationPort { ports: PortMatch::Set(name), .. }
            | Self::OriginalPort(PortMatch::Set(name))
            | Self::Foreign(
                Foreign::SourcePort { ports: PortMatch::Set(name), .. } | Foreign::Endpoint { set: name, .. },
            ) => Some(name),
            _ => None,
        }
    }

    /// Forgets what these ask of the packet's mark. A rule that stands for one with others is done after them, and the mark may be another
    /// by then than when the whole was met.
    pub fn forget_mark(tests: &mut [Self]) {
        for one in tests {
            if matches!(one, Self::Foreign(Foreign::Mark { of: Marked::Packet, .. })) {
                *one = Self::Unknown("a mark that may have been set since the rule was met".to_owned());
            }
        }
    }

    /// A test of something that no packet says.
    #[must_use]
    pub fn varies(on: Varying, text: &str) -> Self {
        Self::Foreign(Foreign::Varies { on, text: text.to_owned() })
    }

    /// Whether the test may tell two destination addresses of this host apart.
    #[must_use]
    pub fn may_ask_for_destination(&self) -> bool {
        match self {
            Self::Destination { .. } | Self::Foreign(_) | Self::Unknown(_) => true,
            // These ask what the address is to this host, and a claim is about such as are this host's.
            Self::DestinationLocal | Self::DestinationOfInterface => false,
            Self::InInterface { .. }
            | Self::Source { .. }
            | Self::Family(_)
            | Self::Protocol { .. }
            | Self::ConnectionState { .. }
            | Self::DestinationPort { .. }
            | Self::PortBlock(_)
            | Self::FlagBit { .. }
            | Self::TcpFlags { .. }
            | Self::DestinationTranslated
            | Self::OriginalPort(_)
            | Self::PacketType { .. }
            | Self::NotDirectlyTcp
            | Self::PerhapsDirectlyTcp
            | Self::FirstFragment
            | Self::Limit { .. } => false,
        }
    }
}

/// Addresses to compare with, all of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Those of a set with this name.
    Set(String),
    /// These.
    These(Elements),
}

impl Addresses {
    /// The addresses of one network.
    #[must_use]
    pub fn network(network: Cidr) -> Self {
        Self::These(Elements::of_networks(&[network]))
    }
}

/// Ports to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// Those of a set with this name.
    Set(String),
    /// These.
    Ports(Ports),
}

/// The ports that have their highest bits in common with `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortBlock {
    /// The lowest port.
    pub first: u16,
    /// How many of the highest bits, 0 to 16.
    pub bits: u8,
}

impl PortBlock {
    /// The smallest block that has both ports.
    #[must_use]
    pub fn around(a: u16, b: u16) -> Self {
        let bits = (a ^ b).leading_zeros() as u8;
        Self { first: a & Self::mask_of(bits), bits }
    }

    /// The bits that all its ports have in common, as a mask.
    #[must_use]
    pub fn mask(self) -> u16 {
        Self::mask_of(self.bits)
    }

    /// The highest port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.first | !self.mask()
    }

    fn mask_of(bits: u8) -> u16 {
        u16::MAX.checked_shl(16_u32.saturating_sub(bits.into())).unwrap_or(0)
    }
}
