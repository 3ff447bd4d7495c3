//! Whether a test of somebody else's rule holds: for one packet, and for sets of packets.
//!
//! INVARIANT (trust): what a stranger chooses, or what the rules do not say, is unknown. Of whom a cluster file admits more is
//! taken for granted, where a question says so ([`Trust::Honest`]): its programs ask from ports of
//! [`CLIENT_PORTS`], its packets come without a mark, and by the interface that the way back to it leads out of.

use super::diagram::{Bounded, Set, TooLarge};
use super::endpoints::{self, Test};
use super::field::Field;
use super::holds::{At, Holds, Tracked, port};
use super::kinds::{self, among, kinds_of, kinds_of_own};
use super::matching::{Fit, misread_tcp, ports_of};
use super::packet::{Locality, Packet, Shape, TCP};
use super::space::Space;
use super::view::View;
use crate::ir::{AddressTypes, ConnectionStates, DeviceName, End, Foreign, Marked, PortMatch, Ruleset, Side, Table};
use crate::net::{Interface, Surroundings, Way};

/// The ports that programs ask from, where nobody has set `net.ipv4.ip_local_port_range` to something else (Linux,
/// Documentation/networking/ip-sysctl.rst).
pub const CLIENT_PORTS: (u16, u16) = (32_768, 60_999);

/// How far the sender of a packet is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// It may send what it likes.
    #[default]
    Nobody,
    /// It is one of those whom a cluster file names, and does as programs do.
    Honest,
}

/// Whether some ports are those that programs ask from.
pub(super) fn client_port(ranges: &[(u16, u16)], trust: Trust) -> Holds {
    let (first, last) = match trust {
        Trust::Honest => CLIENT_PORTS,
        Trust::Nobody => (0, u16::MAX),
    };
    if ranges.iter().all(|(own_first, own_last)| *own_last < first || *own_first > last) {
        return Holds::No;
    }
    let mut next = Some(first);
    for &(own_first, own_last) in ranges {
        if let Some(at) = next.filter(|at| (own_first..=own_last).contains(at)) {
            next = if own_last >= last { None } else { at.max(own_last).checked_add(1) };
        }
    }
    if next.is_none() { Holds::Yes } else { Holds::Unknown }
}

pub(super) fn turned(holds: Holds, negated: bool) -> Holds {
    match (holds, negated) {
        (Holds::Unknown, _) => Holds::Unknown,
        (Holds::Yes, false) | (Holds::No, true) => Holds::Yes,
        (Holds::Yes, true) | (Holds::No, false) => Holds::No,
    }
}

/// What of such a test does not depend on the packet's fields; `None` where it does.
fn fixed(one: &Foreign, at: At) -> Option<Holds> {
    Some(match one {
        // What has no connection yet leaves the rule in nft, and fails the test in iptables, which turns that round.
        Foreign::Mark { of: Marked::Connection, .. } | Foreign::Direction { .. } | Foreign::Translated { .. }
            if at.tracked != Tracked::Yes =>
        {
            Holds::Unknown
        }
        // A stranger may be answered by another interface than the one that its question came in on.
        Foreign::Device { side: Side::Out, .. } if answers_a_stranger(at) => {
            if at.routed {
                return None;
            }
            Holds::Unknown
        }
        Foreign::Device { side, names, negated } => {
            if *side == at.view.side() {
                return None;
            }
            // It has no such interface, and an empty name.
            turned(names.iter().any(|name| name.fits("")).into(), *negated)
        }
        // Of a chain at devices, and of what is known of interfaces besides their names, it is answered before.
        Foreign::Hung(_) | Foreign::Group { .. } | Foreign::PartOfVrf { .. } => Holds::Unknown,
        Foreign::Varies { .. } => Holds::Unknown,
        Foreign::Mark { of: Marked::Connection, .. } if at.trust == Trust::Honest => return None,
        // What is known of a packet's is looked at before.
        Foreign::Mark { .. } => Holds::Unknown,
        Foreign::Direction { .. } => return None,
        Foreign::WayBack { .. } if at.routed && !at.view.leaves() => return None,
        Foreign::WayBack { missing, .. } => match (at.trust, at.view.leaves()) {
            (Trust::Honest, false) => (!*missing).into(),
            (Trust::Nobody, _) | (Trust::Honest, true) => Holds::Unknown,
        },
        Foreign::DestinationType { types, negated } if at.view.leaves() => {
            if types.has(AddressTypes::UNICAST) || !types.has(AddressTypes::OTHER) {
                turned(types.has(AddressTypes::UNICAST).into(), *negated)
            } else {
                Holds::Unknown
            }
        }
        Foreign::SourcePort { .. }
        | Foreign::Endpoint { .. }
        | Foreign::Translated { .. }
        | Foreign::ExtensionHeader(_)
        | Foreign::LaterFragment { .. }
        | Foreign::SourceType { .. }
        | Foreign::DestinationType { .. } => return None,
    })
}

/// Whether such a test holds for a packet.
pub(super) fn holds(
    ruleset: &Ruleset,
    table: &Table,
    one: &Foreign,
    (packet, surroundings): (&Packet, Option<&Surroundings>),
    at: At,
) -> Holds {
    if let Some(found) = fixed(one, at) {
        return found;
    }
    match one {
        Foreign::Device { names, negated, .. } if answers_a_stranger(at) => {
            let way = surroundings.map_or(Way::Unknown, |own| own.way_to(packet.source));
            turned(by_way(way, names), *negated)
        }
        Foreign::Device { names, negated, .. } => (on(names, packet.interface.as_ref()) != *negated).into(),
        Foreign::SourcePort { .. } if packet.shape == Shape::LaterMisread && packet.protocol == TCP => Holds::Unknown,
        Foreign::SourcePort { .. } if packet.protocol != TCP || !packet.shape.shows_ports() => Holds::No,
        Foreign::SourcePort { ports, negated } => {
            let found = if at.view.to_service() {
                ports_of(ruleset, table, ports).map_or(Holds::Unknown, |list| client_port(&list, at.trust))
            } else {
                port(ruleset, table, ports, packet.port)
            };
            turned(found, *negated)
        }
        Foreign::Endpoint { set, ends, negated } => {
            endpoints::holds(Test::of(ruleset, table, set, ends, *negated), packet, at)
        }
        Foreign::Direction { .. } | Foreign::Mark { .. } => of_connection(one, packet.state, at),
        Foreign::Translated { end, negated } => translated(*end, *negated, packet, at),
        Foreign::ExtensionHeader(_) if packet.source.is_ipv4() || packet.shape == Shape::Whole => Holds::No,
        Foreign::DestinationType { types, negated } => match packet.locality {
            Locality::Local => turned(types.has(AddressTypes::LOCAL).into(), *negated),
            Locality::Foreign if *types == AddressTypes::LOCAL => turned(Holds::No, *negated),
            Locality::Foreign | Locality::Vrf | Locality::Elsewhere => Holds::Unknown,
        },
        Foreign::SourceType { types, negated } => {
            let own = if at.view.leaves() {
                kinds_of_own(packet.locality, packet.source.is_ipv4())
            } else {
                kinds_of(packet.source, surroundings)
            };
            among(own, *types, *negated)
        }
        Foreign::LaterFragment { negated } => {
            (packet.source.is_ipv4() && packet.shape.is_later_fragment() != *negated).into()
        }
        Foreign::WayBack { same_interface, missing } => {
            let way = surroundings.map_or(Way::Unknown, |own| own.way_to(packet.source));
            turned(way_back(way, *same_interface, packet.interface.as_ref()), *missing)
        }
        Foreign::ExtensionHeader(_)
        | Foreign::Hung(_)
        | Foreign::Group { .. }
        | Foreign::PartOfVrf { .. }
        | Foreign::Varies { .. } => Holds::Unknown,
    }
}

/// A test of the connection of a packet in a state.
fn of_connection(one: &Foreign, state: ConnectionStates, at: At) -> Holds {
    match one {
        _ if without_connection(state) => Holds::Unknown,
        // Which way it goes is seen by its state alone: what begins a connection goes the first packet's way.
        Foreign::Direction { reply } if state == ConnectionStates::NEW && at.view.to_service() => (!*reply).into(),
        Foreign::Direction { reply } if at.trust == Trust::Honest => (at.view.to_service() != *reply).into(),
        // Whoever writes one is asked for elsewhere.
        Foreign::Mark { value, negated, .. } if at.trust == Trust::Honest => turned((*value == 0).into(), *negated),
        _ => Holds::Unknown,
    }
}

/// What has no connection leaves the rule in nft, and fails the test in iptables, which turns that round.
fn without_connection(state: ConnectionStates) -> bool {
    state == ConnectionStates::UNTRACKED || state == ConnectionStates::INVALID
}

/// Whether nothing can have translated where a packet in that state goes to, but what shows in it. An answer to this host may
/// belong to a connection that was translated as it left.
fn shows_translation(state: ConnectionStates, at: At) -> bool {
    let asked = at.view.to_service() && !at.view.leaves();
    // Nobody has translated where it asks, where no rule can.
    let own = at.view == View::Asking && at.trust == Trust::Honest && !at.translates_own;
    without_connection(state) || own || (asked && (state == ConnectionStates::NEW || at.trust == Trust::Honest))
}

fn translated(end: End, negated: bool, packet: &Packet, at: At) -> Holds {
    match end {
        _ if negated && without_connection(packet.state) => Holds::Unknown,
        End::Destination if packet.original_port.is_some() => (!negated).into(),
        End::Destination if shows_translation(packet.state, at) => negated.into(),
        End::Destination | End::Source => Holds::Unknown,
    }
}

/// Whether a stranger is answered.
pub(super) fn answers_a_stranger(at: At) -> bool {
    at.view == View::Answering && at.trust == Trust::Nobody
}

/// Whether what goes this way leaves by one of these.
fn by_way(way: Way<'_>, names: &[DeviceName]) -> Holds {
    match way {
        Way::By(interface) => on(names, Some(interface)).into(),
        Way::Nowhere | Way::Unknown => Holds::Unknown,
    }
}

fn on(names: &[DeviceName], interface: Option<&Interface>) -> bool {
    // One that no rule names begins with nothing that a rule names, either.
    names.iter().any(|name| interface.map_or(name.fits(""), |own| name.fits(own.as_str())))
}

/// For which packets such a test holds.
pub(super) fn fit(space: &mut Space<'_>, ruleset: &Ruleset, table: &Table, one: &Foreign, at: At) -> Bounded<Fit> {
    if let Some(found) = fixed(one, at) {
        return Ok(Fit::of(found));
    }
    match one {
        Foreign::Device { names, negated, .. } if answers_a_stranger(at) => {
            let (mut known, mut doubted) = (Set::EMPTY, Set::EMPTY);
            for (way, list) in space.ways_back() {
                let from = space.source(&list)?.ok_or(TooLarge)?;
                match turned(by_way(way.way(), names), *negated) {
                    Holds::Yes => known = space.sets.union(known, from)?,
                    Holds::Unknown => doubted = space.sets.union(doubted, from)?,
                    Holds::No => {}
                }
            }
            Fit::split(space, known, doubted)
        }
        Foreign::Device { names, negated, .. } => space.interface(|own| on(names, own) != *negated).map(Fit::exactly),
        Foreign::SourcePort { ports, negated } => source_port(space, ruleset, table, (ports, *negated), at),
        Foreign::Endpoint { set, ends, negated } => {
            endpoints::fit(space, Test::of(ruleset, table, set, ends, *negated), at)
        }
        Foreign::Direction { .. } | Foreign::Mark { .. } => {
            let known = space.states(|own| of_connection(one, own, at) == Holds::Yes)?;
            let doubted = space.states(|own| of_connection(one, own, at) == Holds::Unknown)?;
            Fit::split(space, known, doubted)
        }
        Foreign::Translated { end, negated } => is_translated(space, *end, *negated, at),
        Foreign::ExtensionHeader(_) => {
            let (v6, whole) = (space.family(false)?, space.shape(|own| own == Shape::Whole)?);
            let may = space.sets.difference(v6, whole)?;
            Ok(Fit { may, must: Set::EMPTY })
        }
        Foreign::DestinationType { types, negated } => {
            let certain = |own: Locality| match own {
                Locality::Local => Some(types.has(AddressTypes::LOCAL) != *negated),
                Locality::Foreign if *types == AddressTypes::LOCAL => Some(*negated),
                Locality::Foreign | Locality::Vrf | Locality::Elsewhere => None,
            };
            let known = space.locality(|own| certain(own) == Some(true))?;
            let doubted = space.locality(|own| certain(own).is_none())?;
            Fit::split(space, known, doubted)
        }
        Foreign::Hung(_) | Foreign::Group { .. } | Foreign::PartOfVrf { .. } | Foreign::Varies { .. } => {
            Ok(Fit::UNKNOWN)
        }
        Foreign::SourceType { types, negated } => kinds::fit(space, *types, *negated, at),
        Foreign::LaterFragment { negated } => {
            let (v4, shape) = (space.family(true)?, space.shape(|own| own.is_later_fragment() != *negated)?);
            space.sets.intersection(v4, shape).map(Fit::exactly)
        }
        Foreign::WayBack { same_interface, missing } => {
            let (mut known, mut doubted) = (Set::EMPTY, Set::EMPTY);
            for (way, list) in space.ways_back() {
                let from = space.source(&list)?.ok_or(TooLarge)?;
                let is = |found: Holds, own: Option<&Interface>| {
                    turned(way_back(way.way(), *same_interface, own), *missing) == found
                };
                let yes = space.interface(|own| is(Holds::Yes, own))?;
                let unknown = space.interface(|own| is(Holds::Unknown, own))?;
                let (yes, unknown) = (space.sets.intersection(from, yes)?, space.sets.intersection(from, unknown)?);
                known = space.sets.union(known, yes)?;
                doubted = space.sets.union(doubted, unknown)?;
            }
            Fit::split(space, known, doubted)
        }
    }
}

/// Whether there is a way back.
fn way_back(way: Way<'_>, same_interface: bool, interface: Option<&Interface>) -> Holds {
    match way {
        Way::By(by) => (!same_interface || interface == Some(by)).into(),
        Way::Nowhere => Holds::No,
        Way::Unknown => Holds::Unknown,
    }
}

fn source_port(
    space: &mut Space<'_>,
    ruleset: &Ruleset,
    table: &Table,
    (ports, negated): (&PortMatch, bool),
    at: At,
) -> Bounded<Fit> {
    let (tcp, shown) = (space.protocol(TCP)?, space.shape(Shape::shows_ports)?);
    let seen = space.sets.intersection(tcp, shown)?;
    let misread = misread_tcp(space)?;
    let list = ports_of(ruleset, table, ports);
    let known = if at.view.to_service() {
        match turned(list.map_or(Holds::Unknown, |list| client_port(&list, at.trust)), negated) {
            Holds::Yes => Some(seen),
            Holds::No => Some(Set::EMPTY),
            Holds::Unknown => None,
        }
    } else {
        match list.map(|list| space.port(&list)).transpose()?.flatten() {
            None => None,
            Some(among) if negated => Some(space.sets.difference(seen, among)?),
            Some(among) => Some(space.sets.intersection(seen, among)?),
        }
    };
    match known {
        Some(known) => Fit::split(space, known, misread),
        None => Ok(Fit { may: space.sets.union(seen, misread)?, must: Set::EMPTY }),
    }
}

fn is_translated(space: &mut Space<'_>, end: End, negated: bool, at: At) -> Bounded<Fit> {
    if end == End::Source {
        return Ok(Fit::UNKNOWN);
    }
    let plain = space.is(Field::Original, 0)?;
    let yes = space.sets.complement(plain)?;
    let no = space.states(|own| shows_translation(own, at))?;
    let no = space.sets.intersection(no, plain)?;
    let known = if negated { no } else { yes };
    let certain = space.sets.union(yes, no)?;
    let unshown = space.sets.complement(certain)?;
    let without = if negated { space.states(without_connection)? } else { Set::EMPTY };
    let doubted = space.sets.union(unshown, without)?;
    Fit::split(space, known, doubted)
}
