//! Tests of sets of ipset: of addresses, of ports, and of both together with other things.
//!
//! ipset looks for the port in the whole header of TCP: of a fragment without it nothing is found, and the test fails, or holds where
//! it is turned round (ip_set_get_ip4_port, ip_set_test). It fails, too, for packets of another family than the set's, and where the rule
//! says less than the elements have parts.
//!
//! INVARIANT (doubt): of ports of other protocols nothing is said, and nothing of MACs and marks.

use super::diagram::{Bounded, Set};
use super::foreign::{client_port, turned};
use super::holds::{self, At, Holds};
use super::matching::{self, Fit};
use super::packet::{Packet, Shape, TCP};
use super::space::{Space, pairs};
use crate::ir::{
    Addresses, DeviceName, Elements, End, Endpoint, Endpoints, Family, Foreign, Match, Part, Ruleset, Table,
};
use crate::net::Interface;

/// What a rule asks a set.
#[derive(Clone, Copy)]
pub(super) struct Test<'t> {
    elements: &'t Elements,
    ends: &'t [End],
    negated: bool,
}

impl<'t> Test<'t> {
    /// The test of a set; `None` where it is not there.
    pub(super) fn of(
        ruleset: &'t Ruleset,
        table: &'t Table,
        name: &str,
        ends: &'t [End],
        negated: bool,
    ) -> Option<Self> {
        Some(Self { elements: &ruleset.set(table, name)?.elements, ends, negated })
    }

    /// The same where addresses are asked for, and the set is none of addresses; `None` for any other test.
    pub(super) fn beside_addresses(ruleset: &'t Ruleset, table: &'t Table, one: &'t Match) -> Option<Self> {
        let (addresses, ends, negated): (_, &[End], _) = match one {
            Match::Source { addresses, negated } => (addresses, &[End::Source], *negated),
            Match::Destination { addresses, negated } => (addresses, &[End::Destination], *negated),
            _ => return None,
        };
        let Addresses::Set(name) = addresses else { return None };
        Self::of(ruleset, table, name, ends, negated).filter(|test| match test.elements.lasting().0 {
            Elements::Ports(_) | Elements::Endpoints(_) => true,
            Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
                false
            }
        })
    }

    /// What is in the set, as rows; `None` where it is not known, or where it is one of addresses alone.
    fn asked(self) -> Option<Asked<'t>> {
        let (elements, passing) = self.elements.lasting();
        match elements {
            Elements::Ports(list) => Some(Asked::Ports(pairs(list).into_owned(), passing)),
            Elements::Endpoints(list) => Some(Asked::Rows(list, passing || list.unseen().is_some())),
            Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
                None
            }
        }
    }
}

/// What a table of one family asks a set of ipset that is of the other one finds nothing (ip_set_test), so that the test turned round
/// always holds. iptables itself refuses such a rule (seen with 1.8.9).
pub(super) fn of_other_family(ruleset: &Ruleset, table: &Table, one: &Match) -> Option<bool> {
    let (name, negated) = match one {
        Match::Source { addresses: Addresses::Set(name), negated }
        | Match::Destination { addresses: Addresses::Set(name), negated }
        | Match::Foreign(Foreign::Endpoint { set: name, negated, .. }) => (name, *negated),
        _ => return None,
    };
    let ipv4 = match table.family {
        Family::Ip => true,
        Family::Ip6 => false,
        Family::Inet | Family::Netdev => return None,
    };
    let (elements, _) = ruleset.set(table, name)?.elements.lasting();
    (elements.is_ipv4() == Some(!ipv4)).then_some(negated)
}

/// What is in a set, and whether that is perhaps not in it.
enum Asked<'t> {
    Ports(Vec<(u16, u16)>, bool),
    Rows(&'t Endpoints, bool),
}

/// A part of a row, with the end that it is compared with.
#[derive(Clone, Copy)]
enum Field<'t> {
    Address(&'t Elements, End),
    Port(u16, End),
    Interface(&'t DeviceName, End),
    Unseen,
}

/// The parts of a row.
fn fields<'t>(list: &'t Endpoints, row: &'t Endpoint, ends: &'t [End]) -> impl Iterator<Item = Field<'t>> {
    let mut addresses = row.addresses.iter();
    list.parts.iter().zip(ends).map(move |(part, end)| {
        let found = match part {
            Part::Address => addresses.next().map(|own| Field::Address(own, *end)),
            Part::Port => row.port.map(|own| Field::Port(own, *end)),
            Part::Interface => row.interface.as_ref().map(|own| Field::Interface(own, *end)),
            Part::Mac | Part::Mark => None,
        };
        found.unwrap_or(Field::Unseen)
    })
}

/// Whether an end is the other host's.
fn is_other(end: End, at: At) -> bool {
    (end == End::Source) != at.view.leaves()
}

/// Whether the port of an end is the service's.
fn is_of_service(end: End, at: At) -> bool {
    (end == End::Destination) == at.view.to_service()
}

fn both(one: Holds, other: Holds) -> Holds {
    match (one, other) {
        (Holds::No, _) | (_, Holds::No) => Holds::No,
        (Holds::Yes, Holds::Yes) => Holds::Yes,
        _ => Holds::Unknown,
    }
}

fn either(one: Holds, other: Holds) -> Holds {
    match (one, other) {
        (Holds::Yes, _) | (_, Holds::Yes) => Holds::Yes,
        (Holds::No, Holds::No) => Holds::No,
        _ => Holds::Unknown,
    }
}

/// Whether such a test holds for a packet.
pub(super) fn holds(test: Option<Test<'_>>, packet: &Packet, at: At) -> Holds {
    let Some(test) = test else { return Holds::Unknown };
    let Some(asked) = test.asked() else {
        let Some(end) = test.ends.first() else { return Holds::Unknown };
        return holds::address(test.elements, test.negated, of_end(*end, packet, at), packet);
    };
    let (has_port, passing) = match &asked {
        Asked::Ports(_, passing) => (true, *passing),
        Asked::Rows(list, _) if test.ends.len() < list.parts.len() => return test.negated.into(),
        Asked::Rows(list, passing) => (list.has(Part::Port), *passing),
    };
    if has_port && packet.protocol != TCP {
        return Holds::Unknown;
    }
    let found = match asked {
        _ if has_port && !packet.shape.shows_flags() => Holds::No,
        Asked::Ports(list, _) => match test.ends.first() {
            Some(end) => port_holds(&list, *end, packet, at),
            None => Holds::Unknown,
        },
        Asked::Rows(list, _) => {
            let row = |row| fields(list, row, test.ends).map(|field| field.holds(packet, at)).fold(Holds::Yes, both);
            list.rows.iter().map(row).fold(Holds::No, either)
        }
    };
    let found = if passing { both(found, Holds::Unknown) } else { found };
    turned(found, test.negated)
}

fn of_end(end: End, packet: &Packet, at: At) -> Option<std::net::IpAddr> {
    if is_other(end, at) { Some(packet.source) } else { packet.destination }
}

fn port_holds(list: &[(u16, u16)], end: End, packet: &Packet, at: At) -> Holds {
    if is_of_service(end, at) {
        list.iter().any(|(first, last)| (*first..=*last).contains(&packet.port)).into()
    } else {
        client_port(list, at.trust)
    }
}

/// Whether a packet has an interface with such a name at an end; at input none that it leaves by, and an empty name.
fn interface_holds(at: At, end: End) -> Option<Holds> {
    match (end, at.view.leaves()) {
        (End::Source, false) => None,
        (End::Source, true) | (End::Destination, false) => Some(Holds::No),
        // A stranger may be answered by another one than its question came in on.
        (End::Destination, true) => Some(Holds::Unknown),
    }
}

impl Field<'_> {
    fn holds(self, packet: &Packet, at: At) -> Holds {
        match self {
            Field::Address(list, end) => holds::address(list, false, of_end(end, packet, at), packet),
            Field::Port(port, end) => port_holds(&[(port, port)], end, packet, at),
            Field::Interface(name, end) => {
                interface_holds(at, end).unwrap_or_else(|| fits(name, packet.interface.as_ref()).into())
            }
            Field::Unseen => Holds::Unknown,
        }
    }

    /// `None` where the space was not cut by it.
    fn fit(self, space: &mut Space<'_>, at: At) -> Bounded<Option<Fit>> {
        Ok(Some(match self {
            Field::Address(list, end) => {
                let test = if is_other(end, at) { matching::other_host } else { matching::here };
                test(space, Some(list), false)?
            }
            Field::Port(port, end) => return port_fit(space, &[(port, port)], end, at),
            Field::Interface(name, end) => match interface_holds(at, end) {
                Some(found) => Fit::of(found),
                None => space.interface(|own| fits(name, own)).map(Fit::exactly)?,
            },
            Field::Unseen => Fit::UNKNOWN,
        }))
    }
}

fn fits(name: &DeviceName, interface: Option<&Interface>) -> bool {
    interface.map_or(name.fits(""), |own| name.fits(own.as_str()))
}

fn port_fit(space: &mut Space<'_>, list: &[(u16, u16)], end: End, at: At) -> Bounded<Option<Fit>> {
    if !is_of_service(end, at) {
        return Ok(Some(Fit::of(client_port(list, at.trust))));
    }
    Ok(space.port(list)?.map(Fit::exactly))
}

/// For which packets such a test holds.
pub(super) fn fit(space: &mut Space<'_>, test: Option<Test<'_>>, at: At) -> Bounded<Fit> {
    let Some(test) = test else { return Ok(Fit::UNKNOWN) };
    let Some(asked) = test.asked() else {
        return match test.ends.first() {
            Some(end) if is_other(*end, at) => {
                matching::other_host(space, matching::known(test.elements), test.negated)
            }
            Some(_) => matching::here(space, matching::known(test.elements), test.negated),
            None => Ok(Fit::UNKNOWN),
        };
    };
    let (has_port, passing) = match &asked {
        Asked::Ports(_, passing) => (true, *passing),
        Asked::Rows(list, _) if test.ends.len() < list.parts.len() => return Ok(Fit::of(test.negated.into())),
        Asked::Rows(list, passing) => (list.has(Part::Port), *passing),
    };
    let (mut may, mut must) = (Set::EMPTY, Set::EMPTY);
    match asked {
        Asked::Ports(list, _) => {
            let own = test.ends.first().map(|end| port_fit(space, &list, *end, at)).transpose()?.flatten();
            let Some(own) = own else { return Ok(Fit::UNKNOWN) };
            (may, must) = (own.may, own.must);
        }
        Asked::Rows(list, _) => {
            for row in &list.rows {
                let mut fit = Fit::ALWAYS;
                for field in fields(list, row, test.ends) {
                    // Where lists overlap in too many ways, nothing is known.
                    let Some(own) = field.fit(space, at)? else { return Ok(Fit::UNKNOWN) };
                    fit = fit.and(space, own)?;
                }
                may = space.sets.union(may, fit.may)?;
                must = space.sets.union(must, fit.must)?;
            }
        }
    }
    if passing {
        must = Set::EMPTY;
    }
    if has_port {
        let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_flags)?);
        let (seen, others) = (space.sets.intersection(tcp, shown)?, space.sets.complement(tcp)?);
        let own = space.sets.intersection(may, seen)?;
        (may, must) = (space.sets.union(own, others)?, space.sets.intersection(must, seen)?);
    }
    match test.negated {
        true => Ok(Fit { may: space.sets.complement(must)?, must: space.sets.complement(may)? }),
        false => Ok(Fit { may, must }),
    }
}
