//! Tests of sets of ipset that hold ports, or addresses with ports.
//!
//! ipset looks for the port in the whole header of TCP: of a fragment without it nothing is found, and the test fails, or holds where
//! it is turned round (ip_set_get_ip4_port, ip_set_test).
//!
//! INVARIANT (doubt): of other protocols, and of what this host sends, nothing is said.

use super::diagram::{Bounded, Set};
use super::foreign::client_port;
use super::holds::{At, Holds};
use super::matching::Fit;
use super::packet::{Packet, Shape, TCP};
use super::space::{Space, pairs};
use crate::ir::{Addresses, Elements, Ruleset, Table};
use crate::net::PortRange;

type Endpoints = [(u16, Elements)];

/// What is in a set, where that is known.
pub(super) fn of<'r>(ruleset: &'r Ruleset, table: &'r Table, name: &str) -> Option<&'r Endpoints> {
    match &ruleset.set(table, name)?.elements {
        Elements::Endpoints(list) => Some(list),
        Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Ports(_) | Elements::Dual(..) => None,
        Elements::Passing(_) | Elements::Unknown => None,
    }
}

/// What the ports of the set alone say, where the packet's is the one that somebody asks from.
fn of_client(list: &Endpoints, negated: bool, at: At) -> Holds {
    let ports: Vec<(u16, u16)> = list.iter().map(|(port, _)| (*port, *port)).collect();
    if client_port(&ports, at.trust) == Holds::No { negated.into() } else { Holds::Unknown }
}

/// The ports of a set of ports that is asked for a destination, where a set of addresses could be, too.
pub(super) fn ports<'r>(ruleset: &'r Ruleset, table: &'r Table, addresses: &Addresses) -> Option<&'r [PortRange]> {
    let Addresses::Set(name) = addresses else { return None };
    match &ruleset.set(table, name)?.elements {
        Elements::Ports(list) => Some(list),
        Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Endpoints(_) | Elements::Dual(..) => None,
        Elements::Passing(_) | Elements::Unknown => None,
    }
}

/// Whether the destination port is in a set, for a packet.
pub(super) fn port_holds(list: &[PortRange], negated: bool, packet: &Packet, at: At) -> Holds {
    if packet.protocol != TCP || at.view.leaves() || !at.view.to_service() {
        return Holds::Unknown;
    }
    if !packet.shape.shows_flags() {
        return negated.into();
    }
    let is_in = list.iter().any(|range| (range.first()..=range.last()).contains(&packet.port));
    (is_in != negated).into()
}

/// For which packets the destination port is in a set.
pub(super) fn port_fit(space: &mut Space<'_>, list: &[PortRange], negated: bool, at: At) -> Bounded<Fit> {
    if at.view.leaves() || !at.view.to_service() {
        return Ok(Fit::UNKNOWN);
    }
    let Some(to) = space.port(&pairs(list))? else { return Ok(Fit::UNKNOWN) };
    let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_flags)?);
    let within = space.sets.each([tcp, shown, to])?;
    let others = space.sets.complement(tcp)?;
    let known = if negated { space.sets.difference(tcp, within)? } else { within };
    Fit::split(space, known, others)
}

/// Whether such a test holds for a packet.
pub(super) fn holds(list: Option<&Endpoints>, negated: bool, packet: &Packet, at: At) -> Holds {
    let Some(list) = list.filter(|_| packet.protocol == TCP && !at.view.leaves()) else { return Holds::Unknown };
    if !packet.shape.shows_flags() {
        return negated.into();
    }
    if !at.view.to_service() {
        return of_client(list, negated, at);
    }
    let is_in = list.iter().any(|(port, addresses)| *port == packet.port && addresses.has(packet.source));
    (is_in != negated).into()
}

/// For which packets such a test holds.
pub(super) fn fit(space: &mut Space<'_>, list: Option<&Endpoints>, negated: bool, at: At) -> Bounded<Fit> {
    let Some(list) = list.filter(|_| !at.view.leaves()) else { return Ok(Fit::UNKNOWN) };
    let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_flags)?);
    let (seen, others) = (space.sets.intersection(tcp, shown)?, space.sets.complement(tcp)?);
    let hidden = space.sets.difference(tcp, shown)?;
    if !at.view.to_service() {
        let found = of_client(list, negated, at);
        let known = if negated { hidden } else { Set::EMPTY };
        return match found {
            Holds::Unknown => {
                let doubted = space.sets.union(seen, others)?;
                Fit::split(space, known, doubted)
            }
            Holds::Yes => Fit::split(space, tcp, others),
            Holds::No => Fit::split(space, Set::EMPTY, others),
        };
    }
    let mut within = Set::EMPTY;
    for (port, addresses) in list {
        // Where lists overlap in too many ways, nothing is known.
        let (Some(to), Some(from)) = (space.port(&[(*port, *port)])?, space.source(addresses)?) else {
            return Ok(Fit::UNKNOWN);
        };
        let own = space.sets.each([seen, to, from])?;
        within = space.sets.union(within, own)?;
    }
    let known = if negated { space.sets.difference(tcp, within)? } else { within };
    Fit::split(space, known, others)
}
