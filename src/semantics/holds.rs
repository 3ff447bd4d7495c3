//! Whether one test of a rule holds for one packet.

use std::net::IpAddr;

use super::packet::{Locality, Packet, Shape, TCP};
use crate::ir::{Addresses, ConnectionStates, Elements, Family, Match, PacketTypes, PortMatch, Ruleset, Table};
use crate::net::PortRange;

/// Whether a test holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    Unknown,
}

/// Whether connection tracking has seen a packet where it is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tracked {
    NotYet,
    Perhaps,
    Yes,
}

impl From<bool> for Holds {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Whether a test holds for a packet.
pub(super) fn holds(ruleset: &Ruleset, table: &Table, one: &Match, packet: &Packet, tracked: Tracked) -> Holds {
    let shape = packet.shape;
    match one {
        Match::InInterface { names, negated } => {
            (packet.interface.as_ref().is_some_and(|own| names.contains(own)) != *negated).into()
        }
        Match::Source { addresses, negated } => {
            address(ruleset, table, addresses, *negated, Some(packet.source), packet)
        }
        Match::Destination { addresses, negated } => {
            address(ruleset, table, addresses, *negated, packet.destination, packet)
        }
        Match::Family(Family::Ip) => packet.source.is_ipv4().into(),
        Match::Family(Family::Ip6) => packet.source.is_ipv6().into(),
        Match::Family(Family::Inet) => Holds::Yes,
        Match::Protocol { number, negated } => {
            (shape.shows_protocol() && (packet.protocol == *number) != *negated).into()
        }
        // What has not been tracked yet is invalid to nft, or untracked.
        Match::ConnectionState { states, negated } if tracked == Tracked::NotYet => {
            match (states.has(ConnectionStates::INVALID), states.has(ConnectionStates::UNTRACKED)) {
                (true, true) => (!*negated).into(),
                (false, false) => (*negated).into(),
                _ => Holds::Unknown,
            }
        }
        Match::ConnectionState { .. } if tracked == Tracked::Perhaps => Holds::Unknown,
        Match::ConnectionState { states, negated } => (states.has(packet.state) != *negated).into(),
        // nft looks for ports and flags in further fragments as well, and finds data there (seen on Linux 6.18).
        Match::DestinationPort { .. } | Match::TcpFlags { .. }
            if shape == Shape::LaterMisread && packet.protocol == TCP =>
        {
            Holds::Unknown
        }
        Match::PortBlock(_) | Match::FlagBit { .. } if shape == Shape::LaterMisread => Holds::Unknown,
        Match::DestinationPort { ports, negated } => {
            if packet.protocol != TCP || !shape.shows_ports() {
                return Holds::No;
            }
            match port(ruleset, table, ports, packet.port) {
                Holds::Unknown => Holds::Unknown,
                found => ((found == Holds::Yes) != *negated).into(),
            }
        }
        Match::PortBlock(block) => (shape.shows_ports() && packet.port & block.mask() == block.first).into(),
        // Other transports have something else there, or end before it.
        Match::FlagBit { .. } if packet.protocol != TCP => Holds::Unknown,
        Match::FlagBit { flag, set } => (shape.shows_flags() && (packet.flags.0 & flag.0 != 0) == *set).into(),
        Match::TcpFlags { mask, value } => {
            (packet.protocol == TCP && shape.shows_flags() && packet.flags.0 & mask.0 == value.0).into()
        }
        // What is not tracked has no connection.
        Match::DestinationTranslated => packet.original_port.is_some().into(),
        Match::OriginalPort(ports) => match packet.original_port {
            Some(original) => port(ruleset, table, ports, original),
            None => Holds::Unknown,
        },
        Match::DestinationLocal => match packet.locality {
            Locality::Local => Holds::Yes,
            // From Linux 6.12 on the table of the VRF is asked by nft, and by iptables never (seen on 5.10 to 7.2).
            Locality::Vrf | Locality::Elsewhere => Holds::Unknown,
            Locality::Foreign => Holds::No,
        },
        Match::DestinationOfInterface => match packet.locality {
            Locality::Vrf => Holds::Yes,
            // This interface's address, or another one's.
            Locality::Local | Locality::Elsewhere => Holds::Unknown,
            Locality::Foreign => Holds::No,
        },
        // What was sent to somebody else is taken by no socket of TCP.
        Match::PacketType { types, negated } if packet.protocol == TCP && packet.locality.is_local() => {
            (types.has(PacketTypes::HOST) != *negated).into()
        }
        Match::PacketType { .. } => Holds::Unknown,
        Match::NotDirectlyTcp => (packet.source.is_ipv6() && !(packet.protocol == TCP && shape == Shape::Whole)).into(),
        Match::PerhapsDirectlyTcp if packet.source.is_ipv6() && !(packet.protocol == TCP && shape == Shape::Whole) => {
            Holds::Unknown
        }
        Match::PerhapsDirectlyTcp => Holds::Yes,
        Match::FirstFragment => (packet.source.is_ipv6() && shape.is_first_fragment()).into(),
        // Some packets are within the limit and some are not.
        Match::Limit { .. } | Match::Unknown(_) => Holds::Unknown,
    }
}

/// Whether an address of a packet is among these; `own` is `None` where it is not known.
fn address(
    ruleset: &Ruleset,
    table: &Table,
    addresses: &Addresses,
    negated: bool,
    own: Option<IpAddr>,
    packet: &Packet,
) -> Holds {
    let elements = match addresses {
        Addresses::These(elements) => elements,
        Addresses::Set(name) => match ruleset.set(table, name) {
            Some(set) => &set.elements,
            None => return Holds::Unknown,
        },
    };
    let other_family = match elements {
        Elements::Ipv4(_) => packet.source.is_ipv6(),
        Elements::Ipv6(_) => packet.source.is_ipv4(),
        Elements::Ports(_) | Elements::Unknown => return Holds::Unknown,
    };
    match own {
        _ if other_family => Holds::No,
        Some(own) => (elements.has(own) != negated).into(),
        None => Holds::Unknown,
    }
}

fn port(ruleset: &Ruleset, table: &Table, ports: &PortMatch, own: u16) -> Holds {
    let has = |ranges: &[PortRange]| ranges.iter().any(|range| (range.first()..=range.last()).contains(&own)).into();
    match ports {
        PortMatch::Ports(ports) => has(ports.ranges()),
        PortMatch::Set(name) => match ruleset.set(table, name).map(|set| &set.elements) {
            Some(Elements::Ports(ranges)) => has(ranges),
            Some(Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Unknown) | None => Holds::Unknown,
        },
    }
}
