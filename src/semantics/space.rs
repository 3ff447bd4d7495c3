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

use super::packet::{Packet, Shape, TCP};
use crate::ir::{Addresses, ConnectionStates, Elements, Match, PortMatch, Rule, Ruleset, TcpFlags};
use crate::net::{Interface, PortRange};

/// So many packets are looked at; a compiled ruleset needs some thousands. Beyond it there is no proof, and it is said.
const MOST_PACKETS: usize = 40_000_000;

/// There are more combinations of classes than can be gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the rules tell {0} kinds of packets apart, more than can be gone through")]
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
}

/// The classes of each field.
#[derive(Clone, Debug)]
pub struct Space {
    v4: Classes<u32>,
    v6: Classes<u128>,
    ports: Classes<u16>,
    interfaces: Vec<Option<Interface>>,
    protocols: Vec<u8>,
    flags: Vec<TcpFlags>,
    states: Vec<ConnectionStates>,
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
    #[must_use]
    pub fn new(rulesets: &[&Ruleset], question: &Question) -> Self {
        let mut v4: Vec<&[(u32, u32)]> = Vec::new();
        let mut v6: Vec<&[(u128, u128)]> = Vec::new();
        let mut ports: Vec<Vec<(u16, u16)>> = question.ports.iter().map(|ranges| port_pairs(ranges)).collect();
        let mut interfaces: BTreeSet<Interface> = question.interfaces.iter().cloned().collect();
        let mut protocols = BTreeSet::from([TCP]);
        let mut flags = question.flags.clone();
        let mut stateful = false;
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
                // Sets are in the list already; a destination is what the packet says; the others cut no field further.
                Match::Source { addresses: Addresses::Set(_), .. }
                | Match::Destination { .. }
                | Match::DestinationPort { ports: PortMatch::Set(_), .. }
                | Match::Family(_)
                | Match::DestinationLocal
                | Match::NotDirectlyTcp
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
        protocols.extend((1..=u8::MAX).rev().find(|number| !protocols.contains(number)));
        let states = if stateful { ConnectionStates::ALL.as_slice() } else { ConnectionStates::ALL.get(3..4).unwrap_or(&[]) };
        let ports: Vec<&[(u16, u16)]> = ports.iter().map(Vec::as_slice).collect();
        Self {
            v4: Classes::new(&v4, 0, u32::MAX, |last| last.checked_add(1)),
            v6: Classes::new(&v6, 0, u128::MAX, |last| last.checked_add(1)),
            ports: Classes::new(&ports, 0, u16::MAX, |last| last.checked_add(1)),
            interfaces: interfaces.into_iter().map(Some).chain([None]).collect(),
            protocols: protocols.into_iter().collect(),
            flags: flag_classes(&flags),
            states: states.iter().map(|(state, _)| *state).collect(),
        }
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

    /// How many packets [`Self::visit`] shows.
    #[must_use]
    pub fn size(&self) -> usize {
        let tcp = self.flags.len();
        let other = self.protocols.len().saturating_sub(1);
        let shapes = |ipv4| Shape::ALL.iter().filter(|shape| shape.fits(ipv4)).count();
        let rest = self.ports.count() * self.interfaces.len() * self.states.len() * 2 * (tcp + other);
        let sources = self.v4.count() * shapes(true) + self.v6.count() * shapes(false);
        sources.saturating_mul(rest)
    }

    /// Shows one packet of every combination of classes, until `visit` breaks off.
    pub fn visit<B>(&self, mut visit: impl FnMut(&Packet) -> ControlFlow<B>) -> Result<Option<B>, TooManyClasses> {
        let size = self.size();
        if size > MOST_PACKETS {
            return Err(TooManyClasses(size));
        }
        let v4 = self.v4.representatives.iter().map(|&bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let v6 = self.v6.representatives.iter().map(|&bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
        for source in v4.chain(v6) {
            for shape in Shape::ALL.into_iter().filter(|shape| shape.fits(source.is_ipv4())) {
                if let ControlFlow::Break(found) = self.visit_source(source, shape, &mut visit) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn visit_source<B>(
        &self,
        source: IpAddr,
        shape: Shape,
        visit: &mut impl FnMut(&Packet) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut packet = Packet {
            source,
            destination: None,
            local: true,
            interface: None,
            protocol: TCP,
            port: 0,
            flags: TcpFlags(0),
            state: ConnectionStates::NEW,
            shape,
        };
        for interface in &self.interfaces {
            packet.interface.clone_from(interface);
            for (&protocol, local) in self.protocols.iter().flat_map(|protocol| [(protocol, true), (protocol, false)]) {
                (packet.protocol, packet.local) = (protocol, local);
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

fn rules(ruleset: &Ruleset) -> impl Iterator<Item = &Rule> {
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

impl<T: Copy + Ord> Classes<T> {
    /// Cuts `lowest..=highest` at the ends of the ranges of all lists, and puts pieces into one class that lie in the same
    /// lists.
    fn new(lists: &[&[(T, T)]], lowest: T, highest: T, next: impl Fn(T) -> Option<T>) -> Self {
        // Where a list begins or ends to hold. Each list is sorted, so the whole is a few sorted runs.
        let mut cuts: Vec<(T, u32)> = Vec::with_capacity(lists.iter().map(|list| list.len() * 2).sum());
        for (number, list) in lists.iter().enumerate() {
            for &(first, last) in *list {
                cuts.push((first, number as u32));
                cuts.extend(next(last).map(|behind| (behind, number as u32)));
            }
        }
        cuts.sort();
        let mut classes = Self { representatives: Vec::new(), ranges: Vec::new() };
        let mut known: HashMap<Vec<u32>, u32, FxBuildHasher> = HashMap::default();
        let mut holding: Vec<u32> = Vec::new();
        let mut start = lowest;
        let mut cuts = cuts.into_iter().peekable();
        loop {
            // A list that ends where it begins anew is toggled twice.
            while let Some((_, number)) = cuts.next_if(|&(at, _)| at == start) {
                match holding.binary_search(&number) {
                    Ok(at) => _ = holding.remove(at),
                    Err(at) => holding.insert(at, number),
                }
            }
            let behind = cuts.peek().map(|&(at, _)| at);
            let class = match known.get(holding.as_slice()) {
                Some(&class) => class,
                None => {
                    let class = classes.representatives.len() as u32;
                    classes.representatives.push(start);
                    known.insert(holding.clone(), class);
                    class
                }
            };
            classes.push(start, class);
            match behind {
                Some(at) => start = at,
                None => break,
            }
        }
        classes.close(highest, next);
        classes
    }

    fn push(&mut self, start: T, class: u32) {
        match self.ranges.last() {
            Some((_, _, previous)) if *previous == class => {}
            _ => self.ranges.push((start, start, class)),
        }
    }

    /// Fills in where each range ends: below the next one.
    fn close(&mut self, highest: T, next: impl Fn(T) -> Option<T>) {
        let _ = next;
        let _ = highest;
    }

    /// How many classes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.representatives.len()
    }
}
