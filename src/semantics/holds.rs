//! Whether one test of a rule holds for one packet.

use std::net::IpAddr;

use super::endpoints::{self, Test};
use super::foreign::{self, Trust, client_port};
use super::matching::ports_of;
use super::packet::{Locality, Packet, Shape, TCP};
use super::view::View;
use crate::ir::{
    Addresses, ConnectionStates, Elements, Family, Foreign, Match, PacketTypes, PortBlock, PortMatch, Ruleset, Table,
};
use crate::net::{PortRange, Surroundings};

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

/// Where a test is made, and on what kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) tracked: Tracked,
    pub(super) view: View,
    pub(super) trust: Trust,
    /// Whether the host's routes are known.
    pub(super) routed: bool,
    /// Whether only the first packet of a connection comes here, whatever it was.
    pub(super) first_only: bool,
    /// Whether rules may translate where connections of this host go to.
    pub(super) translates_own: bool,
}

impl At {
    /// Whether a test asks what a stranger's first packet may have had otherwise than the one that opens a connection: with an ACK,
    /// connection tracking begins as well (nf_conntrack_tcp_loose; seen on Linux 6.18).
    pub(super) fn may_have_been_otherwise(self, one: &Match) -> bool {
        let of_packet = matches!(
            one,
            Match::TcpFlags { .. }
                | Match::FlagBit { .. }
                | Match::ConnectionState { .. }
                | Match::NotDirectlyTcp
                | Match::PerhapsDirectlyTcp
                | Match::FirstFragment
                | Match::PacketType { .. }
                | Match::Foreign(Foreign::ExtensionHeader(_) | Foreign::LaterFragment { .. })
        );
        self.first_only && self.trust == Trust::Nobody && of_packet
    }
}

impl From<bool> for Holds {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Whether a test holds for a packet.
pub(super) fn holds(
    ruleset: &Ruleset,
    table: &Table,
    one: &Match,
    (packet, surroundings): (&Packet, Option<&Surroundings>),
    at: At,
) -> Holds {
    let At { tracked, view, trust, .. } = at;
    let shape = packet.shape;
    if let Some(always) = endpoints::of_other_family(ruleset, table, one) {
        return always.into();
    }
    if let Some(test) = Test::beside_addresses(ruleset, table, one) {
        return endpoints::holds(Some(test), packet, at);
    }
    match one {
        // It has none, and an empty name.
        Match::InInterface { negated, .. } if view.leaves() => (*negated).into(),
        Match::InInterface { names, negated } => {
            (packet.interface.as_ref().is_some_and(|own| names.contains(own)) != *negated).into()
        }
        Match::Source { addresses, negated } => {
            let own = if view.leaves() { packet.destination } else { Some(packet.source) };
            listed(ruleset, table, addresses).map_or(Holds::Unknown, |list| address(list, *negated, own, packet))
        }
        Match::Destination { addresses, negated } => {
            let own = if view.leaves() { Some(packet.source) } else { packet.destination };
            listed(ruleset, table, addresses).map_or(Holds::Unknown, |list| address(list, *negated, own, packet))
        }
        Match::Family(Family::Ip) => packet.source.is_ipv4().into(),
        Match::Family(Family::Ip6) => packet.source.is_ipv6().into(),
        Match::Family(Family::Inet | Family::Netdev) => Holds::Yes,
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
            let found = if view.to_service() {
                port(ruleset, table, ports, packet.port)
            } else {
                ports_of(ruleset, table, ports).map_or(Holds::Unknown, |list| client_port(&list, trust))
            };
            match found {
                Holds::Unknown => Holds::Unknown,
                found => ((found == Holds::Yes) != *negated).into(),
            }
        }
        Match::PortBlock(block) if !view.to_service() => {
            if shape.shows_ports() {
                client_block(*block, trust)
            } else {
                Holds::No
            }
        }
        Match::PortBlock(block) => (shape.shows_ports() && packet.port & block.mask() == block.first).into(),
        // Other transports have something else there, or end before it.
        Match::FlagBit { .. } if packet.protocol != TCP => Holds::Unknown,
        Match::FlagBit { flag, set } => (shape.shows_flags() && (packet.flags.0 & flag.0 != 0) == *set).into(),
        Match::TcpFlags { mask, value } => {
            (packet.protocol == TCP && shape.shows_flags() && packet.flags.0 & mask.0 == value.0).into()
        }
        Match::DestinationTranslated | Match::OriginalPort(_) if tracked != Tracked::Yes => Holds::Unknown,
        // What is not tracked has no connection.
        Match::DestinationTranslated if !view.to_service() => Holds::No,
        Match::DestinationTranslated if view.leaves() => Holds::Unknown,
        Match::OriginalPort(_) if view != View::Asked => Holds::Unknown,
        Match::DestinationTranslated => packet.original_port.is_some().into(),
        Match::OriginalPort(ports) => match packet.original_port {
            Some(original) => port(ruleset, table, ports, original),
            None => Holds::Unknown,
        },
        // It goes to another host.
        Match::DestinationLocal if view.leaves() => Holds::No,
        Match::DestinationOfInterface | Match::PacketType { .. } if view.leaves() => Holds::Unknown,
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
        Match::Foreign(one) => foreign::holds(ruleset, table, one, (packet, surroundings), at),
    }
}

/// Whether the port that somebody asks from is in a block.
pub(super) fn client_block(block: PortBlock, trust: Trust) -> Holds {
    if block.first & block.mask() != block.first {
        return Holds::No;
    }
    client_port(&[(block.first, block.last())], trust)
}

fn listed<'r>(ruleset: &'r Ruleset, table: &'r Table, addresses: &'r Addresses) -> Option<&'r Elements> {
    match addresses {
        Addresses::These(elements) => Some(elements),
        Addresses::Set(name) => ruleset.set(table, name).map(|set| &set.elements),
    }
}

/// Whether an address of a packet is among these; `own` is `None` where it is not known.
pub(super) fn address(elements: &Elements, negated: bool, own: Option<IpAddr>, packet: &Packet) -> Holds {
    let (elements, passing) = elements.lasting();
    let other_family = match elements {
        Elements::Ipv4(_) => packet.source.is_ipv6(),
        Elements::Ipv6(_) => packet.source.is_ipv4(),
        Elements::Dual(..) => false,
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Passing(_) | Elements::Unknown => {
            return Holds::Unknown;
        }
    };
    match own {
        _ if other_family => Holds::No,
        // It may be gone by now.
        Some(own) if passing && elements.has(own) => Holds::Unknown,
        Some(own) => (elements.has(own) != negated).into(),
        None => Holds::Unknown,
    }
}

pub(super) fn port(ruleset: &Ruleset, table: &Table, ports: &PortMatch, own: u16) -> Holds {
    let has = |ranges: &[PortRange]| ranges.iter().any(|range| (range.first()..=range.last()).contains(&own)).into();
    match ports {
        PortMatch::Ports(ports) => has(ports.ranges()),
        PortMatch::Set(name) => {
            ruleset.set(table, name).and_then(|set| set.elements.ports()).map_or(Holds::Unknown, has)
        }
    }
}
