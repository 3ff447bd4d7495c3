//! All packets, cut into classes that the rules in question cannot tell apart.
//!
//! Every test of a rule looks at one field. So the values of a field fall into classes, by which tests hold for them, and
//! one packet of each combination of classes speaks for all of that combination. The number of classes depends on how
//! many *different* lists of addresses there are, not on their length: 100,000 peers are one class.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use rustc_hash::FxBuildHasher;
use thiserror::Error;

use super::destinations::Destinations;
use super::packet::{Locality, Packet, Shape, TCP};
use crate::ir::{Addresses, ConnectionStates, Elements, Match, PortMatch, Rule, Ruleset, TcpFlags};
use crate::net::{Elsewhere, Interface, PortRange};

/// So many packets are looked at; a compiled ruleset needs some thousands. Beyond it there is no proof, and it is said.
const MOST_PACKETS: usize = 20_000_000;

/// So many tests of rules in all.
const MOST_TESTS: usize = 2_000_000_000;
/// So many lists may hold at one value, and so many numbers of lists name the classes of a field.
const DEEPEST: usize = 4_096;
const LONGEST_NAMES: usize = 20_000_000;

/// There are more combinations of classes than can be gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the rules tell too many kinds of packets apart to go through them all: {0} or more")]
pub struct TooManyClasses(pub usize);

/// What, besides the rules, tells packets apart: whatever a question about them mentions.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Lists of addresses.
    pub sources: Vec<Elements>,
    /// Lists of ports.
    pub ports: Vec<Vec<PortRange>>,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Tests of TCP flags: mask and value.
    pub flags: Vec<(TcpFlags, TcpFlags)>,
    /// What this host answers for by another routing table than `local`.
    pub elsewhere: Elsewhere,
    /// Whether connections may have been translated.
    pub translates: bool,
}

/// The classes of each field.
#[derive(Clone, Debug)]
pub struct Space {
    v4: Classes<u32>,
    v6: Classes<u128>,
    ports: Classes<u16>,
    interfaces: Vec<Option<Interface>>,
    protocols: Vec<u8>,
    /// The one that stands for all that no rule names.
    other_protocol: Option<u8>,
    flags: Vec<TcpFlags>,
    /// What is asked about the flags: mask and value.
    flag_tests: Vec<(TcpFlags, TcpFlags)>,
    states: Vec<ConnectionStates>,
    /// What destinations can be to this host, for each family and interface, see [`Destinations`].
    destinations: Destinations,
    /// Whether packets of translated connections are told apart from others.
    translates: bool,
}

/// The classes of a field whose values are numbers.
#[derive(Clone, Debug)]
pub struct Classes<T> {
    /// One value of each class.
    representatives: Vec<T>,
    /// Every range of values and its class, ascending, without gaps.
    ranges: Vec<(T, T, u32)>,
}

impl Space {
    /// Cuts the space so that neither these rulesets nor the question can tell packets of one combination apart.
    ///
    /// # Errors
    /// Where the rules tell more packets apart than can be gone through.
    pub fn new(rulesets: &[&Ruleset], question: &Question) -> Result<Self, TooManyClasses> {
        let mut v4: Vec<&[(u32, u32)]> = Vec::new();
        let mut v6: Vec<&[(u128, u128)]> = Vec::new();
        let mut ports: Vec<Vec<(u16, u16)>> = question.ports.iter().map(|ranges| port_pairs(ranges)).collect();
        let mut interfaces: BTreeSet<Interface> = question.interfaces.iter().cloned().collect();
        let mut protocols = BTreeSet::from([TCP]);
        let mut flags = question.flags.clone();
        let mut stateful = false;
        let mut translates = question.translates;
        let sets = rulesets.iter().flat_map(|ruleset| {
            ruleset.sets.iter().chain(ruleset.tables.iter().flat_map(|table| &table.sets)).map(|set| &set.elements)
        });
        let mut elements: Vec<&Elements> = question.sources.iter().chain(sets).collect();
        for one in rulesets.iter().flat_map(|ruleset| rules(ruleset)).flat_map(|rule| &rule.matches) {
            match one {
                Match::InInterface { names, .. } => interfaces.extend(names.iter().cloned()),
                Match::Source { addresses: Addresses::These(list), .. } => elements.push(list),
                Match::DestinationPort { ports: PortMatch::Ports(list), .. } => ports.push(port_pairs(list.ranges())),
                Match::PortBlock(block) => ports.push(vec![(block.first, block.last())]),
                Match::Protocol { number, .. } => _ = protocols.insert(*number),
                Match::ConnectionState { .. } => stateful = true,
                Match::TcpFlags { mask, value } => flags.push((*mask, *value)),
                Match::FlagBit { flag, .. } => flags.push((*flag, *flag)),
                Match::DestinationTranslated | Match::OriginalPort(PortMatch::Set(_)) => translates = true,
                Match::OriginalPort(PortMatch::Ports(list)) => {
                    translates = true;
                    ports.push(port_pairs(list.ranges()));
                }
                // Sets are in the list already; a destination is what the packet says; the others cut no field further.
                Match::Source { addresses: Addresses::Set(_), .. }
                | Match::Destination { .. }
                | Match::DestinationPort { ports: PortMatch::Set(_), .. }
                | Match::Family(_)
                | Match::DestinationLocal
                | Match::DestinationOfInterface
                | Match::PacketType { .. }
                | Match::NotDirectlyTcp
                | Match::PerhapsDirectlyTcp
                | Match::FirstFragment
                | Match::Limit { .. }
                | Match::Unknown(_) => {}
            }
        }
        for list in elements {
            match list {
                Elements::Ipv4(list) => v4.push(list),
                Elements::Ipv6(list) => v6.push(list),
                Elements::Ports(list) => ports.push(port_pairs(list)),
                Elements::Unknown => {}
            }
        }
        // A protocol that nobody mentions stands for all such.
        let other_protocol = (1..=u8::MAX).rev().find(|number| !protocols.contains(number));
        protocols.extend(other_protocol);
        let states =
            if stateful { ConnectionStates::ALL.as_slice() } else { ConnectionStates::ALL.get(3..4).unwrap_or(&[]) };
        let ports: Vec<&[(u16, u16)]> = ports.iter().map(Vec::as_slice).collect();
        interfaces.extend(question.elsewhere.entries().iter().filter_map(|entry| entry.interface.clone()));
        let interfaces: Vec<Option<Interface>> = interfaces.into_iter().map(Some).chain([None]).collect();
        let space = Self {
            destinations: Destinations::new(rulesets, &question.elsewhere, &interfaces)?,
            v4: Classes::new(&v4)?,
            v6: Classes::new(&v6)?,
            ports: Classes::new(&ports)?,
            interfaces,
            translates,
            protocols: protocols.into_iter().collect(),
            other_protocol,
            flags: flag_classes(&flags),
            flag_tests: flags,
            states: states.iter().map(|(state, _)| *state).collect(),
        };
        let size = space.size();
        let count = rulesets.iter().flat_map(|ruleset| rules(ruleset)).count();
        let fits = size <= MOST_PACKETS && size.saturating_mul(count) <= MOST_TESTS;
        if fits { Ok(space) } else { Err(TooManyClasses(size)) }
    }

    /// The classes of IPv4 sources.
    #[must_use]
    pub fn ipv4_sources(&self) -> &Classes<u32> {
        &self.v4
    }

    /// The classes of IPv6 sources.
    #[must_use]
    pub fn ipv6_sources(&self) -> &Classes<u128> {
        &self.v6
    }

    /// The classes of ports.
    #[must_use]
    pub fn ports(&self) -> &Classes<u16> {
        &self.ports
    }

    /// The interfaces that a rule names, and `None` for all others.
    #[must_use]
    pub fn interfaces(&self) -> &[Option<Interface>] {
        &self.interfaces
    }

    /// The packet that speaks for this one: in each field the representative of the class that the field's value is in.
    /// No rule in question tells the two apart. The destination, which is not cut into classes, stays as it is.
    #[must_use]
    pub fn representative(&self, packet: &Packet) -> Packet {
        let source = match packet.source {
            IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from_bits(self.v4.representative(own.to_bits()))),
            IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from_bits(self.v6.representative(own.to_bits()))),
        };
        let protocol = if self.protocols.contains(&packet.protocol) {
            packet.protocol
        } else {
            self.other_protocol.unwrap_or(packet.protocol)
        };
        let alike = |one: &&TcpFlags| flags_alike(&self.flag_tests, one.0, packet.flags.0);
        let flags = self.flags.iter().find(alike).copied().unwrap_or(packet.flags);
        let state = if self.states.contains(&packet.state) { None } else { self.states.first().copied() };
        Packet {
            source,
            destination: packet.destination,
            locality: packet.locality,
            interface: packet.interface.clone().filter(|own| self.interfaces.contains(&Some(own.clone()))),
            protocol,
            port: self.ports.representative(packet.port),
            original_port: packet.original_port.map(|port| self.ports.representative(port)),
            flags: if protocol == TCP { flags } else { TcpFlags(0) },
            state: state.unwrap_or(packet.state),
            shape: packet.shape,
        }
    }

    /// Whether a rule asks for the state of the connection.
    #[must_use]
    pub fn tracks_connections(&self) -> bool {
        self.states.len() > 1
    }

    /// How many packets [`Self::visit`] shows.
    #[must_use]
    pub fn size(&self) -> usize {
        let tcp = self.flags.len();
        let other = self.protocols.len().saturating_sub(1);
        let shapes = |ipv4| Shape::ALL.iter().filter(|shape| shape.fits(ipv4)).count();
        let rest = self.ports.count() * self.states.len() * (tcp + other);
        let sources = |count: usize, ipv4| count * shapes(ipv4) * self.destinations.count(ipv4);
        let plain = (sources(self.v4.count(), true) + sources(self.v6.count(), false)).saturating_mul(rest);
        plain.saturating_add(self.translated_size())
    }

    /// Shows one packet of every combination of classes, until `visit` breaks off.
    pub fn visit<B>(&self, mut visit: impl FnMut(&Packet) -> ControlFlow<B>) -> Option<B> {
        let v4 = self.v4.representatives.iter().map(|&bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let v6 = self.v6.representatives.iter().map(|&bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
        for source in v4.chain(v6) {
            for shape in Shape::ALL.into_iter().filter(|shape| shape.fits(source.is_ipv4())) {
                if let ControlFlow::Break(found) = self.visit_source(source, shape, &mut visit) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// A translated connection is one of TCP with this host, and its packets are whole: tracking puts fragments together.
    fn visit_translated<B>(
        &self,
        packet: &mut Packet,
        visit: &mut impl FnMut(&Packet) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for &port in &self.ports.representatives {
            for &original in &self.ports.representatives {
                (packet.port, packet.original_port) = (port, Some(original));
                for &state in &self.states {
                    packet.state = state;
                    for &flags in &self.flags {
                        packet.flags = flags;
                        visit(packet)?;
                    }
                }
            }
        }
        packet.original_port = None;
        ControlFlow::Continue(())
    }

    /// How many packets that shows.
    fn translated_size(&self) -> usize {
        if !self.translates {
            return 0;
        }
        // IPv6 has extension headers as well.
        let sources = self.v4.count() + self.v6.count() * 2;
        let ports = self.ports.count().saturating_mul(self.ports.count());
        sources.saturating_mul(ports).saturating_mul(self.interfaces.len() * self.states.len() * self.flags.len())
    }

    fn visit_source<B>(
        &self,
        source: IpAddr,
        shape: Shape,
        visit: &mut impl FnMut(&Packet) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut packet = Packet { shape, ..Packet::plain(source) };
        for (interface, destinations) in self.interfaces.iter().zip(self.destinations.of(source.is_ipv4())) {
            packet.interface.clone_from(interface);
            if self.translates && matches!(shape, Shape::Whole | Shape::Extended) {
                (packet.protocol, packet.locality, packet.destination) = (TCP, Locality::Local, None);
                self.visit_translated(&mut packet, visit)?;
            }
            let places = self.protocols.iter().flat_map(|&protocol| destinations.iter().map(move |to| (protocol, *to)));
            for (protocol, (locality, destination)) in places {
                (packet.protocol, packet.locality, packet.destination) = (protocol, locality, destination);
                let flags: &[TcpFlags] = if protocol == TCP { &self.flags } else { &[TcpFlags(0)] };
                for &port in &self.ports.representatives {
                    packet.port = port;
                    for &state in &self.states {
                        packet.state = state;
                        for &flags in flags {
                            packet.flags = flags;
                            visit(&packet)?;
                        }
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn rules(ruleset: &Ruleset) -> impl Iterator<Item = &Rule> {
    ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules)
}

fn port_pairs(ranges: &[PortRange]) -> Vec<(u16, u16)> {
    ranges.iter().map(|range| (range.first(), range.last())).collect()
}

/// One value of the flags for each combination of tests that hold.
fn flag_classes(tests: &[(TcpFlags, TcpFlags)]) -> Vec<TcpFlags> {
    let mut seen = BTreeSet::new();
    let holds = |flags: u8| tests.iter().map(|(mask, value)| flags & mask.0 == value.0).collect::<Vec<bool>>();
    (0..=u8::MAX).filter(|&flags| seen.insert(holds(flags))).map(TcpFlags).collect()
}

/// Whether every test says the same of both.
fn flags_alike(tests: &[(TcpFlags, TcpFlags)], a: u8, b: u8) -> bool {
    tests.iter().all(|(mask, value)| (a & mask.0 == value.0) == (b & mask.0 == value.0))
}

/// A number that a field can hold.
pub trait Value: Copy + Ord {
    /// The lowest.
    const LOWEST: Self;
    /// The highest.
    const HIGHEST: Self;
    /// The one above.
    fn above(self) -> Option<Self>;
    /// The one below.
    fn below(self) -> Option<Self>;
}

macro_rules! value {
    ($($number:ty),+) => {
        $(impl Value for $number {
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;
            fn above(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn below(self) -> Option<Self> {
                self.checked_sub(1)
            }
        })+
    };
}

value!(u16, u32, u128);

impl<T: Value> Classes<T> {
    /// Cuts all values at the ends of the ranges of all lists, and puts pieces into one class that lie in the same lists.
    pub(super) fn new(lists: &[&[(T, T)]]) -> Result<Self, TooManyClasses> {
        // What a ruleset holds and what is asked about it are often the same; one list then speaks for both. Only long
        // lists are worth comparing.
        const LONG: usize = 1_000;
        let mut different: Vec<&[(T, T)]> = Vec::with_capacity(lists.len());
        for list in lists {
            if list.len() < LONG || !different.iter().any(|other| other == list) {
                different.push(list);
            }
        }
        let lists = different;
        // Where a list begins or ends to hold. Each list is sorted, so this is a few sorted runs, which sort quickly.
        let mut cuts: Vec<(T, u32)> = Vec::with_capacity(lists.iter().map(|list| list.len() * 2).sum());
        for (number, list) in lists.iter().enumerate() {
            for &(first, last) in *list {
                cuts.push((first, number as u32));
                cuts.extend(last.above().map(|behind| (behind, number as u32)));
            }
        }
        cuts.sort();
        let mut classes = Self { representatives: Vec::new(), ranges: Vec::new() };
        let mut known: HashMap<Vec<u32>, u32, FxBuildHasher> = HashMap::default();
        // The numbers of the lists that hold at `start`.
        let mut holding: Vec<u32> = Vec::new();
        let mut start = T::LOWEST;
        let mut names = 0;
        let mut cuts = cuts.into_iter().peekable();
        loop {
            while let Some((_, number)) = cuts.next_if(|&(at, _)| at == start) {
                // Two ranges that touch end and begin here: the second cut takes the first one back.
                match holding.binary_search(&number) {
                    Ok(at) => _ = holding.remove(at),
                    Err(at) => holding.insert(at, number),
                }
            }
            if holding.len() > DEEPEST || names > LONGEST_NAMES {
                return Err(TooManyClasses(known.len()));
            }
            let class = known.get(holding.as_slice()).copied().unwrap_or_else(|| {
                names += holding.len();
                let class = classes.representatives.len() as u32;
                classes.representatives.push(start);
                known.insert(holding.clone(), class);
                class
            });
            let behind = cuts.peek().map(|&(at, _)| at);
            classes.push(start, behind.and_then(T::below).unwrap_or(T::HIGHEST), class);
            match behind {
                Some(at) => start = at,
                None => return Ok(classes),
            }
        }
    }

    fn push(&mut self, first: T, last: T, class: u32) {
        match self.ranges.last_mut() {
            Some(previous) if previous.2 == class => previous.1 = last,
            _ => self.ranges.push((first, last, class)),
        }
    }

    /// How many classes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.representatives.len()
    }

    /// One value of each class.
    #[must_use]
    pub fn representatives(&self) -> &[T] {
        &self.representatives
    }

    /// The value that speaks for `value`.
    #[must_use]
    pub fn representative(&self, value: T) -> T {
        let at = self.ranges.partition_point(|&(first, ..)| first <= value);
        let class = at.checked_sub(1).and_then(|at| self.ranges.get(at)).map(|&(_, _, class)| class as usize);
        class.and_then(|class| self.representatives.get(class)).copied().unwrap_or(value)
    }

    /// All values, as ranges with their class, ascending and without gaps.
    #[must_use]
    pub fn ranges(&self) -> &[(T, T, u32)] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_the_same_lists_are_one_class() {
        type List = [(u16, u16)];
        let a: &List = &[(10, 19), (30, 39), (40, 49)];
        let b: &List = &[(0, 9), (35, 65535)];
        let classes = Classes::new(&[a, b]).unwrap();
        let class = |at: u16| classes.ranges().iter().find(|r| (r.0..=r.1).contains(&at)).unwrap().2;
        for at in 0..=65535u16 {
            for other in [0, 9, 10, 19, 20, 29, 30, 34, 35, 49, 50, 65535] {
                let same = |list: &List| {
                    let has = |at: u16| list.iter().any(|r| (r.0..=r.1).contains(&at));
                    has(at) == has(other)
                };
                assert_eq!(class(at) == class(other), same(a) && same(b), "{at} {other}");
            }
        }
        assert_eq!(classes.count(), 4);
        assert_eq!(classes.ranges().first().map(|r| r.0), Some(0));
        assert_eq!(classes.ranges().last().map(|r| r.1), Some(65535));
    }

    #[test]
    fn everything_and_nothing() {
        let all: &[(u128, u128)] = &[(0, u128::MAX)];
        assert_eq!(Classes::new(&[all, &[]]).unwrap().ranges(), [(0, u128::MAX, 0)]);
        assert_eq!(Classes::<u32>::new(&[]).unwrap().ranges(), [(0, u32::MAX, 0)]);
    }

    #[test]
    fn flags_have_few_classes() {
        let syn = (TcpFlags::SYN.with(TcpFlags::ACK), TcpFlags::SYN);
        assert_eq!(flag_classes(&[syn]).len(), 2);
        assert_eq!(flag_classes(&[]).len(), 1);
    }
}
