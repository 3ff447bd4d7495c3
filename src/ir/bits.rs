//! What a packet has of a few kinds, a bit for each: flags, states, types.

macro_rules! bits {
    ($($name:ident),+) => {
        $(impl $name {
            /// What either has.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether they have something in common.
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }
        })+
    };
}

bits!(TcpFlags, PacketTypes, ConnectionStates);

/// Bits of the TCP header's flags (RFC 9293, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// Synchronise: asks for a connection.
    pub const SYN: Self = Self(0x02);
    /// Acknowledge.
    pub const ACK: Self = Self(0x10);

    /// The names of the flags that are set, from the lowest bit.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

/// To whom the link layer sends packets: a bit for each PACKET_… (linux/if_packet.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketTypes(pub u8);

impl PacketTypes {
    /// To this host. TCP takes no other (tcp_v4_rcv, tcp_v6_rcv).
    pub const HOST: Self = Self(1);
    /// Every type, with the name that nft and iptables both have for it; iptables knows the first three.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::HOST, "unicast"), (Self(2), "broadcast"), (Self(4), "multicast"), (Self(8), "other")];

    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "host" { "unicast" } else { name };
        Self::ALL.iter().find(|(_, own)| *own == name).map(|(own, _)| *own)
    }
}

/// States of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionStates(pub u8);

impl ConnectionStates {
    /// Belongs to no connection.
    pub const INVALID: Self = Self(1);
    /// Part of a connection that has seen packets both ways.
    pub const ESTABLISHED: Self = Self(2);
    /// Begins a connection that another one announced.
    pub const RELATED: Self = Self(4);
    /// Begins a connection.
    pub const NEW: Self = Self(8);
    /// Exempt from tracking.
    pub const UNTRACKED: Self = Self(64);
    /// Every single state, with the name that nft and iptables both have for it, in lower case.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::INVALID, "invalid"),
        (Self::ESTABLISHED, "established"),
        (Self::RELATED, "related"),
        (Self::NEW, "new"),
        (Self::UNTRACKED, "untracked"),
    ];
}
