//! What only rules of others ask of a packet: the guard makes none of these tests, and no dialect writes them.
//!
//! Readers use them where they say exactly what the rule asks. What they do not say exactly stays [`Match::Unknown`].
//!
//! [`Match::Unknown`]: super::Match::Unknown

use std::fmt;

use super::{PortMatch, Varying};
use crate::net::Interface;

/// A test of somebody else's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// The name of the interface that the packet came in on, or leaves by, fits one of these patterns (or none of them).
    /// Where a packet has no such interface, at input one to leave by, its name is empty.
    Device {
        /// Which of the two.
        side: Side,
        /// The patterns.
        names: Vec<DeviceName>,
        /// Turns the test round.
        negated: bool,
    },
    /// The chain hangs at these devices, and is met by what comes in on them or leaves by them. What other devices carry that stand on
    /// them, as VLANs and bonds do, goes through it, too.
    Hung(Vec<DeviceName>),
    /// The TCP source port.
    SourcePort {
        /// The ports.
        ports: PortMatch,
        /// Turns the test round, within TCP.
        negated: bool,
    },
    /// What a packet has at these ends is in a set of ipset: an address, with a port, another address, an interface, as the set has it.
    Endpoint {
        /// Its name.
        set: String,
        /// The end that each part is compared with.
        ends: Vec<End>,
        /// Turns the test round.
        negated: bool,
    },
    /// The bits in `mask` of a mark are those of `value`.
    Mark {
        /// Whose mark.
        of: Marked,
        /// The bits that are looked at.
        mask: u32,
        /// What they have to be.
        value: u32,
        /// Turns the test round.
        negated: bool,
    },
    /// The destination, or the source, of the packet's connection was translated, whichever way the packet goes
    /// (`ct status dnat`).
    Translated {
        /// Which end.
        end: End,
        /// Turns the test round.
        negated: bool,
    },
    /// Whether the packet goes the way of the connection's first packet, or the other one.
    Direction {
        /// The other one.
        reply: bool,
    },
    /// Something about an IPv6 extension header other than a fragment header, with its text. Holds for no packet without one.
    ExtensionHeader(String),
    /// What kind of address the destination is, by the kernel's routing tables.
    DestinationType {
        /// It is one of these.
        types: AddressTypes,
        /// Turns the test round.
        negated: bool,
    },
    /// What kind of address the source is, by the kernel's routing tables.
    SourceType {
        /// It is one of these.
        types: AddressTypes,
        /// Turns the test round.
        negated: bool,
    },
    /// A fragment of IPv4 that is not the first one (or not such a one, but IPv4).
    LaterFragment {
        /// Turns the test round, within IPv4.
        negated: bool,
    },
    /// Whether there is a way back to the packet's source: by the interface that it came in on, or by any.
    WayBack {
        /// By that interface only.
        same_interface: bool,
        /// The test holds where there is none.
        missing: bool,
    },
    /// The group of the interface that the packet came in on, or leaves by, is this one (or is not). Without such an interface the test
    /// fails either way.
    Group {
        /// Which of the two.
        side: Side,
        /// The number of the group, which is 0 where nobody has chosen another one.
        group: u32,
        /// Turns the test round.
        negated: bool,
    },
    /// The interface that is part of a VRF, and that the packet came in on, has this name (or has not): the name is empty where the
    /// packet came in by no VRF.
    PartOfVrf {
        /// The pattern, which does not fit the empty name.
        name: DeviceName,
        /// Turns the test round.
        negated: bool,
    },
    /// Something that no packet says. The test may hold or not for every packet; whether it does is known to depend on this alone, and
    /// to ask for it decides nothing and changes nothing that another test here looks at, but for what [`Varying`] says.
    Varies {
        /// On what it hangs.
        on: Varying,
        /// The test as it stands, with all that it is compared with: two that ask for something else are not the same. What counts
        /// by itself, as how much of a quota is used, is no part of it.
        text: String,
    },
}

/// The interface that a packet came in on, or the one that it leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It came in on.
    In,
    /// It leaves by.
    Out,
}

/// A pattern of names of interfaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceName {
    /// This one.
    Is(Interface),
    /// All that begin so: `docker*` of nft, `docker+` of iptables. The empty text begins every name.
    Begins(String),
}

impl DeviceName {
    /// Whether a name fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Is(own) => own.as_str() == name,
            Self::Begins(text) => name.starts_with(text),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(own) => write!(f, "{own}"),
            Self::Begins(text) => write!(f, "{text}*"),
        }
    }
}

/// What carries a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The packet.
    Packet,
    /// Its connection.
    Connection,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// Kinds of addresses (RTN_… of linux/rtnetlink.h), a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressTypes(pub u8);

impl AddressTypes {
    /// Reached by a route.
    pub const UNICAST: Self = Self(1);
    /// Of this host.
    pub const LOCAL: Self = Self(2);
    /// Of everybody in a network.
    pub const BROADCAST: Self = Self(4);
    /// Of some hosts, and of this one.
    pub const ANYCAST: Self = Self(8);
    /// Of a group.
    pub const MULTICAST: Self = Self(16);
    /// Refused by a route of that kind, or no route at all.
    pub const OTHER: Self = Self(32);

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = ["unicast", "local", "broadcast", "anycast", "multicast", "other"];
        all.into_iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// The kind that nft and iptables call so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "unicast" => Self::UNICAST,
            "local" => Self::LOCAL,
            "broadcast" => Self::BROADCAST,
            "anycast" => Self::ANYCAST,
            "multicast" => Self::MULTICAST,
            "unspec" | "blackhole" | "unreachable" | "prohibit" | "throw" => Self::OTHER,
            _ => return None,
        })
    }
}
