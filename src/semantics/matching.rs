//! For which packets the tests of a rule hold: [`holds`](super::holds) for sets of packets.

use super::diagram::{Bounded, Set};
use super::endpoints::{self, Test};
use super::field::Field;
use super::foreign::{self, client_port};
use super::holds::{At, Holds, Tracked, client_block};
use super::packet::{Locality, Shape, TCP};
use super::space::{Space, pairs};
use super::view::View;
use crate::ir::{Addresses, ConnectionStates, Elements, Family, Match, PacketTypes, PortMatch, Ruleset, Table};
use crate::net::Interface;

/// Packets for which a test may hold, and those for which it holds for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fit {
    pub(super) may: Set,
    pub(super) must: Set,
}

impl Fit {
    pub(super) const ALWAYS: Self = Self { may: Set::ALL, must: Set::ALL };
    pub(super) const UNKNOWN: Self = Self { may: Set::ALL, must: Set::EMPTY };

    pub(super) fn of(holds: Holds) -> Self {
        match holds {
            Holds::Yes => Self::ALWAYS,
            Holds::No => Self::when(false),
            Holds::Unknown => Self::UNKNOWN,
        }
    }

    pub(super) fn exactly(set: Set) -> Self {
        Self { may: set, must: set }
    }

    fn when(holds: bool) -> Self {
        Self::exactly(if holds { Set::ALL } else { Set::EMPTY })
    }

    pub(super) fn and(self, space: &mut Space<'_>, other: Self) -> Bounded<Self> {
        let may = space.sets.intersection(self.may, other.may)?;
        let exact = self.may == self.must && other.may == other.must;
        let must = if exact { may } else { space.sets.intersection(self.must, other.must)? };
        Ok(Self { may, must })
    }

    /// Certain for `known`, unknown for `doubted`, and in no other case.
    pub(super) fn split(space: &mut Space<'_>, known: Set, doubted: Set) -> Bounded<Self> {
        Ok(Self { may: space.sets.union(known, doubted)?, must: space.sets.difference(known, doubted)? })
    }
}

/// For which packets a test holds.
pub(super) fn fit(space: &mut Space<'_>, ruleset: &Ruleset, table: &Table, one: &Match, at: At) -> Bounded<Fit> {
    let At { tracked, view, trust, .. } = at;
    if let Some(always) = endpoints::of_other_family(ruleset, table, one) {
        return Ok(Fit::when(always));
    }
    if let Some(test) = Test::beside_addresses(ruleset, table, one) {
        return endpoints::fit(space, Some(test), at);
    }
    match one {
        // It has none, and an empty name.
        Match::InInterface { negated, .. } if view.leaves() => Ok(Fit::when(*negated)),
        Match::InInterface { names, negated } => {
            let on = |own: Option<&Interface>| own.is_some_and(|own| names.contains(own)) != *negated;
            space.interface(on).map(Fit::exactly)
        }
        Match::Source { addresses, negated } => {
            let list = listed(ruleset, table, addresses);
            if view.leaves() { here(space, list, *negated) } else { other_host(space, list, *negated) }
        }
        Match::Destination { addresses, negated } => {
            let list = listed(ruleset, table, addresses);
            if view.leaves() { other_host(space, list, *negated) } else { here(space, list, *negated) }
        }
        Match::Family(Family::Inet | Family::Netdev) => Ok(Fit::ALWAYS),
        Match::Family(family) => space.family(*family == Family::Ip).map(Fit::exactly),
        Match::Protocol { number, negated } => {
            let (shown, own) = (space.shape(Shape::shows_protocol)?, space.protocol(*number)?);
            let found = if *negated { space.sets.difference(shown, own) } else { space.sets.intersection(shown, own) };
            found.map(Fit::exactly)
        }
        Match::ConnectionState { states, negated } => connection_state(space, *states, *negated, tracked),
        Match::DestinationPort { ports, negated } => {
            let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_ports)?);
            let seen = space.sets.intersection(tcp, shown)?;
            let list = ports_of(ruleset, table, ports);
            let among = if view.to_service() {
                list.map(|list| space.port(&list)).transpose()?.flatten()
            } else {
                always_or_never(list.map_or(Holds::Unknown, |list| client_port(&list, trust)))
            };
            let known = match among {
                None => None,
                Some(among) if *negated => Some(space.sets.difference(seen, among)?),
                Some(among) => Some(space.sets.intersection(seen, among)?),
            };
            let misread = misread_tcp(space)?;
            let Some(known) = known else {
                let may = space.sets.union(seen, misread)?;
                return Ok(Fit { may, must: Set::EMPTY });
            };
            Fit::split(space, known, misread)
        }
        Match::PortBlock(block) => {
            let shown = space.shape(Shape::shows_ports)?;
            let aligned = block.first & block.mask() == block.first;
            let list = [(block.first, block.last())];
            let ports = if !view.to_service() {
                always_or_never(client_block(*block, trust))
            } else if aligned {
                space.port(&list)?
            } else {
                Some(Set::EMPTY)
            };
            let misread = space.shape(is_misread)?;
            let Some(ports) = ports else {
                return Ok(Fit { may: space.sets.union(shown, misread)?, must: Set::EMPTY });
            };
            let known = space.sets.intersection(shown, ports)?;
            Fit::split(space, known, misread)
        }
        Match::FlagBit { flag, set } => {
            let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_flags)?);
            let flags = space.flags(|own| (own.0 & flag.0 != 0) == *set)?;
            let known = space.sets.each([tcp, shown, flags])?;
            let (others, misread) = (space.sets.complement(tcp)?, space.shape(is_misread)?);
            let doubted = space.sets.union(others, misread)?;
            Fit::split(space, known, doubted)
        }
        Match::TcpFlags { mask, value } => {
            let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_flags)?);
            let flags = space.flags(|own| own.0 & mask.0 == value.0)?;
            let known = space.sets.each([tcp, shown, flags])?;
            let misread = misread_tcp(space)?;
            Fit::split(space, known, misread)
        }
        // What is not tracked has no connection.
        Match::DestinationTranslated | Match::OriginalPort(_) if at.tracked != Tracked::Yes => Ok(Fit::UNKNOWN),
        Match::DestinationTranslated if !view.to_service() => Ok(Fit::when(false)),
        Match::DestinationTranslated if view.leaves() => Ok(Fit::UNKNOWN),
        Match::OriginalPort(_) if view != View::Asked => Ok(Fit::UNKNOWN),
        Match::DestinationTranslated => {
            let plain = space.is(Field::Original, 0)?;
            space.sets.complement(plain).map(Fit::exactly)
        }
        Match::OriginalPort(ports) => {
            let plain = space.is(Field::Original, 0)?;
            let Some(list) = ports_of(ruleset, table, ports) else { return Ok(Fit::UNKNOWN) };
            let Some(known) = space.original_port(&list)? else { return Ok(Fit::UNKNOWN) };
            Fit::split(space, known, plain)
        }
        // It goes to another host.
        Match::DestinationLocal if view.leaves() => Ok(Fit::when(false)),
        Match::DestinationOfInterface | Match::PacketType { .. } if view.leaves() => Ok(Fit::UNKNOWN),
        Match::DestinationLocal => {
            let known = space.locality(|own| own == Locality::Local)?;
            let doubted = space.locality(|own| matches!(own, Locality::Vrf | Locality::Elsewhere))?;
            Fit::split(space, known, doubted)
        }
        Match::DestinationOfInterface => {
            let known = space.locality(|own| own == Locality::Vrf)?;
            let doubted = space.locality(|own| matches!(own, Locality::Local | Locality::Elsewhere))?;
            Fit::split(space, known, doubted)
        }
        Match::PacketType { types, negated } => {
            let (tcp, here) = (space.protocol(TCP)?, space.locality(Locality::is_local)?);
            let known = space.sets.intersection(tcp, here)?;
            let holds = types.has(PacketTypes::HOST) != *negated;
            let others = space.sets.complement(known)?;
            Fit::split(space, if holds { known } else { Set::EMPTY }, others)
        }
        Match::NotDirectlyTcp => not_directly_tcp(space).map(Fit::exactly),
        Match::PerhapsDirectlyTcp => {
            let doubted = not_directly_tcp(space)?;
            Fit::split(space, Set::ALL, doubted)
        }
        Match::FirstFragment => {
            let (v6, first) = (space.family(false)?, space.shape(Shape::is_first_fragment)?);
            space.sets.intersection(v6, first).map(Fit::exactly)
        }
        // Some packets are within the limit and some are not.
        Match::Limit { .. } | Match::Unknown(_) => Ok(Fit::UNKNOWN),
        Match::Foreign(one) => foreign::fit(space, ruleset, table, one, at),
    }
}

/// A test that does not depend on the packet, as a set; `None` where it is not known.
fn always_or_never(holds: Holds) -> Option<Set> {
    match holds {
        Holds::Yes => Some(Set::ALL),
        Holds::No => Some(Set::EMPTY),
        Holds::Unknown => None,
    }
}

/// Whether the other host's address is among these.
pub(super) fn other_host(space: &mut Space<'_>, list: Option<&Elements>, negated: bool) -> Bounded<Fit> {
    let Some((list, passing)) = list.map(Elements::lasting) else { return Ok(Fit::UNKNOWN) };
    let Some(from) = space.source(list)? else { return Ok(Fit::UNKNOWN) };
    let known = if negated { not_among(space, list, from)? } else { from };
    // Who is in it now may be gone a moment later.
    Fit::split(space, known, if passing { from } else { Set::EMPTY })
}

/// Whether the address on this host's side is among these.
pub(super) fn here(space: &mut Space<'_>, list: Option<&Elements>, negated: bool) -> Bounded<Fit> {
    let Some((list, passing)) = list.map(Elements::lasting) else { return Ok(Fit::UNKNOWN) };
    let Some(to) = space.destination(list)? else { return Ok(Fit::UNKNOWN) };
    let unknown = space.some_destination()?;
    let mut doubted = match list.is_ipv4() {
        Some(ipv4) => {
            let family = space.family(ipv4)?;
            space.sets.intersection(family, unknown)?
        }
        None => unknown,
    };
    if passing {
        doubted = space.sets.union(doubted, to)?;
    }
    let known = if negated { not_among(space, list, to)? } else { to };
    Fit::split(space, known, doubted)
}

/// The packets of the list's family, or of both, that are not among those.
fn not_among(space: &mut Space<'_>, list: &Elements, those: Set) -> Bounded<Set> {
    match list.is_ipv4() {
        Some(ipv4) => {
            let family = space.family(ipv4)?;
            space.sets.difference(family, those)
        }
        None => space.sets.complement(those),
    }
}

fn connection_state(space: &mut Space<'_>, states: ConnectionStates, negated: bool, tracked: Tracked) -> Bounded<Fit> {
    match tracked {
        // What has not been tracked yet is invalid to nft, or untracked.
        Tracked::NotYet => {
            let both = (states.has(ConnectionStates::INVALID), states.has(ConnectionStates::UNTRACKED));
            Ok(match both {
                (true, true) => Fit::when(!negated),
                (false, false) => Fit::when(negated),
                (true, false) | (false, true) => Fit::UNKNOWN,
            })
        }
        Tracked::Perhaps => Ok(Fit::UNKNOWN),
        Tracked::Yes => space.states(|own| states.has(own) != negated).map(Fit::exactly),
    }
}

fn is_misread(shape: Shape) -> bool {
    shape == Shape::LaterMisread
}

pub(super) fn misread_tcp(space: &mut Space<'_>) -> Bounded<Set> {
    let (tcp, misread) = (space.protocol(TCP)?, space.shape(is_misread)?);
    space.sets.intersection(tcp, misread)
}

fn not_directly_tcp(space: &mut Space<'_>) -> Bounded<Set> {
    let (tcp, whole) = (space.protocol(TCP)?, space.shape(|shape| shape == Shape::Whole)?);
    let (v6, directly) = (space.family(false)?, space.sets.intersection(tcp, whole)?);
    space.sets.difference(v6, directly)
}

/// Addresses, unless it is not known which.
fn listed<'r>(ruleset: &'r Ruleset, table: &'r Table, addresses: &'r Addresses) -> Option<&'r Elements> {
    let list = match addresses {
        Addresses::These(list) => list,
        Addresses::Set(name) => &ruleset.set(table, name)?.elements,
    };
    known(list)
}

/// These, where they are addresses and known.
pub(super) fn known(list: &Elements) -> Option<&Elements> {
    let (these, _) = list.lasting();
    matches!(these, Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Dual(..)).then_some(list)
}

pub(super) fn ports_of(ruleset: &Ruleset, table: &Table, ports: &PortMatch) -> Option<Vec<(u16, u16)>> {
    match ports {
        PortMatch::Ports(list) => Some(pairs(list.ranges()).into_owned()),
        PortMatch::Set(name) => match &ruleset.set(table, name)?.elements {
            Elements::Ports(list) => Some(pairs(list).into_owned()),
            Elements::Ipv4(_)
            | Elements::Ipv6(_)
            | Elements::Endpoints(_)
            | Elements::Dual(..)
            | Elements::Passing(_)
            | Elements::Unknown => None,
        },
    }
}
