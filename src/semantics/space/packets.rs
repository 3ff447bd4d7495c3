//! Packets as points of the space, and points as packets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::diagram::{Bounded, Set};
use super::super::field::Field;
use super::super::packet::{Locality, Packet, Shape, TCP};
use super::{Space, flags_alike};
use crate::ir::{ConnectionStates, TcpFlags};
use crate::net::Interface;

/// In which order the fields of a packet are settled that is to be shown: the lowest label that there is, field by field.
const READABLE: [Field; Field::ALL.len()] = [
    Field::Family,
    Field::Source,
    Field::Shape,
    Field::Interface,
    Field::Original,
    Field::Protocol,
    Field::Locality,
    Field::Destination,
    Field::Port,
    Field::State,
    Field::Flags,
];

impl Space<'_> {
    /// The labels of this host's addresses, as far as they are told apart, each with the first address that has it.
    #[must_use]
    pub fn told_apart<'a>(&self, addresses: impl FnOnce() -> &'a [IpAddr]) -> Vec<(u32, IpAddr)> {
        // Where no rule asks for destinations, nobody need know whose addresses are this host's.
        let addresses = if self.destinations.is_some() { addresses() } else { &[] };
        let mut seen = BTreeSet::new();
        let labels = addresses.iter().filter_map(|&address| Some((self.destination_label(Some(address))?, address)));
        labels.filter(|(label, _)| *label > 0 && seen.insert(*label)).collect()
    }

    /// The packets from addresses that no rule in question tells from this one.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn like_source(&mut self, address: IpAddr) -> Bounded<Set> {
        let label = match address {
            IpAddr::V4(own) => self.v4.class(own.to_bits()),
            IpAddr::V6(own) => self.v4.count() + self.v6.class(own.to_bits()),
        };
        self.is(Field::Source, label)
    }

    fn destination_label(&self, address: Option<IpAddr>) -> Option<u32> {
        let (v4, v6) = self.destinations.as_ref()?;
        match address? {
            IpAddr::V4(own) => Some(1 + v4.class(own.to_bits())),
            IpAddr::V6(own) => Some(1 + v4.count() + v6.class(own.to_bits())),
        }
    }

    /// A packet's labels. No rule in question tells two packets with the same labels apart.
    #[must_use]
    pub fn point(&self, packet: &Packet) -> [u32; Field::ALL.len()] {
        let at = |found: Option<usize>| found.unwrap_or_default() as u32;
        Field::ALL.map(|field| match field {
            Field::Family => u32::from(packet.source.is_ipv6()),
            Field::Interface => {
                let place = |name: &Interface| self.interfaces.iter().position(|own| own.as_ref() == Some(name));
                let named =
                    packet.interface.as_ref().and_then(|own| place(own).or_else(|| place(self.standing_for(own)?)));
                at(named.or(self.interfaces.len().checked_sub(1)))
            }
            Field::Shape => at(Shape::ALL.iter().position(|own| *own == packet.shape)),
            Field::Protocol => {
                let named = self.protocols.iter().position(|own| *own == packet.protocol);
                at(named.or_else(|| self.protocols.iter().position(|own| Some(*own) == self.other_protocol)))
            }
            Field::Flags => {
                let own = if packet.protocol == TCP { packet.flags.0 } else { 0 };
                self.flags_label(TcpFlags(own))
            }
            Field::State => self.state_label(packet.state),
            Field::Locality => at(Locality::ALL.iter().position(|own| *own == packet.locality)),
            Field::Destination => self.destination_label(packet.destination).unwrap_or(0),
            Field::Port => self.ports.class(packet.port),
            Field::Original => packet.original_port.map_or(0, |port| 1 + self.ports.class(port)),
            Field::Source => match packet.source {
                IpAddr::V4(own) => self.v4.class(own.to_bits()),
                IpAddr::V6(own) => self.v4.count() + self.v6.class(own.to_bits()),
            },
        })
    }

    /// The label of flags.
    pub(in super::super) fn flags_label(&self, flags: TcpFlags) -> u32 {
        self.flags.iter().position(|own| flags_alike(&self.flag_tests, own.0, flags.0)).unwrap_or_default() as u32
    }

    /// The label of a transport protocol.
    pub(in super::super) fn protocol_label(&self, number: u8) -> u32 {
        self.protocols.iter().position(|own| *own == number).unwrap_or_default() as u32
    }

    /// The label of a port.
    pub(in super::super) fn port_label(&self, port: u16) -> u32 {
        self.ports.class(port)
    }

    /// The label of an address of this host; of one that is not known, where none are told apart.
    pub(in super::super) fn destination_of(&self, address: Option<IpAddr>) -> u32 {
        self.destination_label(address).unwrap_or(0)
    }

    /// The label of a state; of any, where none are told apart.
    pub(in super::super) fn state_label(&self, state: ConnectionStates) -> u32 {
        self.states.iter().position(|own| *own == state).unwrap_or_default() as u32
    }

    /// Whether a packet is in a set.
    #[must_use]
    pub fn has(&self, set: Set, packet: &Packet) -> bool {
        self.sets.has(set, &self.point(packet))
    }

    /// The packet of a set that is the easiest to read; `None` if there is none.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn witness(&mut self, set: Set) -> Bounded<Option<Packet>> {
        let mut left = self.sets.intersection(set, self.possible)?;
        let mut point = [0; Field::ALL.len()];
        for field in READABLE {
            let labels = self.sets.labels(left, field.number());
            let named = if field == Field::Source { self.named_in(&labels) } else { None };
            let Some(label) = named.or(labels.first().map(|(first, _)| *first)) else { return Ok(None) };
            if let Some(own) = point.get_mut(usize::from(field.number())) {
                *own = label;
            }
            let chosen = self.is(field, label)?;
            left = self.sets.intersection(left, chosen)?;
        }
        Ok(self.packet(&point))
    }

    /// The lowest of these labels of sources that the question names.
    fn named_in(&self, labels: &[(u32, u32)]) -> Option<u32> {
        let common = |(first, last): &(u32, u32)| {
            let of = |own: &(u32, u32)| {
                let (from, to) = (own.0.max(*first), own.1.min(*last));
                (from <= to).then_some(from)
            };
            self.named.iter().find_map(of)
        };
        labels.iter().find_map(common)
    }

    /// The packet that speaks for all with these labels: the lowest value of each class.
    #[must_use]
    pub fn packet(&self, point: &[u32; Field::ALL.len()]) -> Option<Packet> {
        let at = |field: Field| point.get(usize::from(field.number())).copied().unwrap_or_default();
        let label = at(Field::Source);
        let source = match label.checked_sub(self.v4.count()) {
            None => IpAddr::V4(Ipv4Addr::from_bits(self.v4.representative(label)?)),
            Some(class) => IpAddr::V6(Ipv6Addr::from_bits(self.v6.representative(class)?)),
        };
        let destination = match at(Field::Destination).checked_sub(1).zip(self.destinations.as_ref()) {
            None => None,
            Some((label, (v4, v6))) => Some(match label.checked_sub(v4.count()) {
                None => IpAddr::V4(Ipv4Addr::from_bits(v4.representative(label)?)),
                Some(class) => IpAddr::V6(Ipv6Addr::from_bits(v6.representative(class)?)),
            }),
        };
        let original_port = match at(Field::Original).checked_sub(1) {
            None => None,
            Some(class) => Some(self.ports.representative(class)?),
        };
        Some(Packet {
            source,
            destination,
            locality: Locality::ALL.get(at(Field::Locality) as usize).copied()?,
            interface: self.interfaces.get(at(Field::Interface) as usize).cloned()?,
            protocol: self.protocols.get(at(Field::Protocol) as usize).copied()?,
            port: self.ports.representative(at(Field::Port))?,
            original_port,
            flags: if self.protocols.get(at(Field::Protocol) as usize) == Some(&TCP) {
                self.flags.get(at(Field::Flags) as usize).copied()?
            } else {
                TcpFlags(0)
            },
            state: self.states.get(at(Field::State) as usize).copied()?,
            shape: Shape::ALL.get(at(Field::Shape) as usize).copied()?,
        })
    }

    /// The interface that stands for one that nothing names, by what its name begins with.
    fn standing_for(&self, interface: &Interface) -> Option<&Interface> {
        let fitting =
            self.beginnings.iter().filter(|(beginning, _)| interface.as_str().starts_with(beginning.as_str()));
        fitting.max_by_key(|(beginning, _)| beginning.len()).map(|(_, name)| name)
    }

    /// The interfaces that a rule names, and `None` for all others.
    #[must_use]
    pub fn interfaces(&self) -> &[Option<Interface>] {
        &self.interfaces
    }

    /// Whether a label of sources is one of IPv6.
    #[must_use]
    pub fn is_ipv6(&self, label: u32) -> bool {
        label >= self.v4.count()
    }

    /// The addresses with these labels, given as ascending ranges of one family: ascending ranges that do not touch.
    #[must_use]
    pub fn source_ranges(&self, labels: &[(u32, u32)]) -> Vec<(IpAddr, IpAddr)> {
        let v4 = self.v4.count();
        let (of_v4, of_v6): (Vec<_>, Vec<_>) = labels.iter().partition(|(first, _)| *first < v4);
        let of_v6: Vec<(u32, u32)> = of_v6.iter().map(|(first, last)| (first - v4, last - v4)).collect();
        let v4 = self.v4.values(&of_v4).into_iter();
        let v6 = self.v6.values(&of_v6).into_iter();
        let v4 = v4.map(|(a, b)| (IpAddr::V4(Ipv4Addr::from_bits(a)), IpAddr::V4(Ipv4Addr::from_bits(b))));
        v4.chain(v6.map(|(a, b)| (IpAddr::V6(Ipv6Addr::from_bits(a)), IpAddr::V6(Ipv6Addr::from_bits(b))))).collect()
    }

    /// The ports with these labels.
    #[must_use]
    pub fn port_ranges(&self, labels: &[(u32, u32)]) -> Vec<(u16, u16)> {
        self.ports.values(labels)
    }

    /// The packet that speaks for this one. The destination, which need not be known, stays as it is.
    #[must_use]
    pub fn representative(&self, packet: &Packet) -> Option<Packet> {
        Some(Packet { destination: packet.destination, ..self.packet(&self.point(packet))? })
    }
}
