//! Sets of packets by the values of their fields.

use std::net::IpAddr;

use super::super::classes::Classes;
use super::super::diagram::{Assignment, Bounded, Set};
use super::super::door::Door;
use super::super::field::Field;
use super::super::packet::{Locality, Shape, TCP};
use super::{Space, single, span};
use crate::ir::{ConnectionStates, Elements, TcpFlags};
use crate::net::Interface;

impl Space<'_> {
    /// The packets with one label in a field.
    ///
    /// # Errors
    /// As all of these, where a limit is met.
    pub fn is(&mut self, field: Field, label: u32) -> Bounded<Set> {
        self.sets.among(field.number(), &[(label, label)])
    }

    /// The packets whose value in a field is one of these.
    fn picked<T>(
        &mut self,
        field: Field,
        values: impl IntoIterator<Item = T>,
        fits: impl Fn(T) -> bool,
    ) -> Bounded<Set> {
        let labels = values.into_iter().enumerate().filter_map(|(label, value)| fits(value).then(|| single(label)));
        let labels: Vec<(u32, u32)> = labels.collect();
        self.sets.among(field.number(), &labels)
    }

    /// The packets of a family.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn family(&mut self, ipv4: bool) -> Bounded<Set> {
        self.is(Field::Family, u32::from(!ipv4))
    }

    /// The packets of some shapes.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn shape(&mut self, fits: impl Fn(Shape) -> bool) -> Bounded<Set> {
        self.picked(Field::Shape, Shape::ALL, fits)
    }

    /// The packets whose destination is such to this host.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn locality(&mut self, fits: impl Fn(Locality) -> bool) -> Bounded<Set> {
        self.picked(Field::Locality, Locality::ALL, fits)
    }

    /// The packets of a transport protocol.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn protocol(&mut self, number: u8) -> Bounded<Set> {
        let protocols = self.protocols.clone();
        self.picked(Field::Protocol, protocols, |own| own == number)
    }

    /// The packets from addresses that nothing tells from this one.
    ///
    /// # Errors
    /// Where a limit is met.
    pub(in super::super) fn sources_like(&mut self, address: IpAddr) -> Bounded<Set> {
        let label = match address {
            IpAddr::V4(own) => self.v4.class(own.to_bits()),
            IpAddr::V6(own) => self.v4.count() + self.v6.class(own.to_bits()),
        };
        let family = self.family(address.is_ipv4())?;
        let like = self.is(Field::Source, label)?;
        self.sets.intersection(family, like)
    }

    /// The packets that came in on such interfaces; `None` is one that nothing names.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn interface(&mut self, fits: impl Fn(Option<&Interface>) -> bool) -> Bounded<Set> {
        let labels = self.interfaces.iter().enumerate().filter(|(_, own)| fits(own.as_ref()));
        let labels: Vec<(u32, u32)> = labels.map(|(label, _)| single(label)).collect();
        self.sets.among(Field::Interface.number(), &labels)
    }

    /// The packets with such flags.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn flags(&mut self, fits: impl Fn(TcpFlags) -> bool) -> Bounded<Set> {
        let flags = self.flags.clone();
        self.picked(Field::Flags, flags, fits)
    }

    /// The packets with such flags that rules do not tell from these.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn segments(&mut self, flags: &[TcpFlags]) -> Bounded<Set> {
        let labels: Vec<(u32, u32)> = flags.iter().map(|own| self.flags_label(*own)).map(|own| (own, own)).collect();
        let mut all = Set::EMPTY;
        for (label, _) in labels {
            let own = self.is(Field::Flags, label)?;
            all = self.sets.union(all, own)?;
        }
        Ok(all)
    }

    /// Whether packets are told apart by the states of their connections; else all are in one of them.
    #[must_use]
    pub fn tells_states_apart(&self) -> bool {
        self.states.len() > 1
    }

    /// The packets of connections in such states.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn states(&mut self, fits: impl Fn(ConnectionStates) -> bool) -> Bounded<Set> {
        let states = self.states.clone();
        self.picked(Field::State, states, fits)
    }

    /// The packets from addresses of a list; `None` if it is not one that the space was cut by.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn source(&mut self, list: &Elements) -> Bounded<Option<Set>> {
        let labels = addresses(list, &self.v4, &self.v6, 0);
        self.listed(Field::Source, list, labels)
    }

    /// The labels of the addresses of a list, as ascending ranges; `None` if it is not one that the space was cut by.
    #[must_use]
    pub fn source_labels(&self, list: &Elements) -> Option<Vec<(u32, u32)>> {
        addresses(list, &self.v4, &self.v6, 0)
    }

    /// The labels of all sources of a family, from the first to the last.
    #[must_use]
    pub fn family_labels(&self, ipv4: bool) -> (u32, u32) {
        span(if ipv4 { (0, self.v4.count()) } else { (self.v4.count(), self.v6.count()) })
    }

    /// The packets to addresses of a list, where the destination is known; `None` if it is not one that the space was cut by.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn destination(&mut self, list: &Elements) -> Bounded<Option<Set>> {
        let labels = self.destinations.as_ref().and_then(|(v4, v6)| addresses(list, v4, v6, 1));
        self.listed(Field::Destination, list, labels)
    }

    /// The packets to addresses of which nothing is known, or that nobody asks about.
    ///
    /// # Errors
    /// Where a limit is met.
    pub(in super::super) fn some_destination(&mut self) -> Bounded<Set> {
        let mut labels = vec![(0, 0)];
        if let Some((v4, v6)) = &self.destinations {
            let unasked = [v4.unasked(), v6.unasked().map(|own| v4.count() + own)];
            labels.extend(unasked.into_iter().flatten().map(|own| (own + 1, own + 1)));
        }
        self.sets.among(Field::Destination.number(), &labels)
    }

    fn listed(&mut self, field: Field, list: &Elements, labels: Option<Vec<(u32, u32)>>) -> Bounded<Option<Set>> {
        let Some(labels) = labels else { return Ok(None) };
        let among = self.sets.among(field.number(), &labels)?;
        let Some(ipv4) = list.is_ipv4() else { return Ok(Some(among)) };
        let family = self.family(ipv4)?;
        self.sets.intersection(family, among).map(Some)
    }

    /// The packets to ports of a list; `None` if it is not one that the space was cut by.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn port(&mut self, list: &[(u16, u16)]) -> Bounded<Option<Set>> {
        let Some(labels) = self.ports.labels(list) else { return Ok(None) };
        self.sets.among(Field::Port.number(), labels).map(Some)
    }

    /// The packets of connections that were asked for at ports of a list and translated; `None` as above.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn original_port(&mut self, list: &[(u16, u16)]) -> Bounded<Option<Set>> {
        let Some(labels) = self.ports.labels(list) else { return Ok(None) };
        let above: Vec<(u32, u32)> = labels.iter().map(|&(first, last)| (first + 1, last + 1)).collect();
        self.sets.among(Field::Original.number(), &above).map(Some)
    }

    /// The packets that would be in `set` if a field had another label.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn if_it_were(&mut self, set: Set, field: Field, label: u32) -> Bounded<Set> {
        self.sets.preimage(set, field.number(), Assignment::Constant(label))
    }

    /// The packets that would be in `set` if they had another shape.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn as_shape(&mut self, set: Set, shape: Shape) -> Bounded<Set> {
        let label = Shape::ALL.iter().position(|own| *own == shape).unwrap_or_default();
        self.if_it_were(set, Field::Shape, label as u32)
    }

    /// The packets that can come to a door, see [`Door::sees`].
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn seen_at(&mut self, door: Door) -> Bounded<Set> {
        match door {
            Door::BeforeTranslation
            | Door::Prerouting
            | Door::Wire
            | Door::AnswersLeave
            | Door::RequestsLeave
            | Door::RequestsTranslated => Ok(Set::ALL),
            Door::Input | Door::Translated | Door::AnswersArrive => {
                let (here, v6) = (self.locality(Locality::is_local)?, self.family(false)?);
                let whole = self.shape(|shape| shape == Shape::Whole)?;
                let whole = self.sets.union(v6, whole)?;
                self.sets.intersection(here, whole)
            }
        }
    }

    /// The labels of a whole segment with SYN alone that asks for a new connection with this host, by field.
    fn opening(&self) -> [(Field, u32); 7] {
        let number = |found: Option<usize>| found.unwrap_or_default() as u32;
        [
            (Field::Shape, number(Shape::ALL.iter().position(|own| *own == Shape::Whole))),
            (Field::Protocol, number(self.protocols.iter().position(|own| *own == TCP))),
            (Field::Flags, self.flags_label(TcpFlags::SYN)),
            (Field::State, self.state_label(ConnectionStates::NEW)),
            (Field::Locality, number(Locality::ALL.iter().position(|own| *own == Locality::Local))),
            (Field::Destination, 0),
            (Field::Original, 0),
        ]
    }

    /// Those of `set` that ask for a new connection with this host.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn to_opening(&mut self, set: Set) -> Bounded<Set> {
        self.opening().into_iter().try_fold(set, |set, (field, label)| {
            let is = self.is(field, label)?;
            self.sets.intersection(set, is)
        })
    }

    /// The packets for which a new connection of the same source, port and interface would be in `set`.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn if_opened(&mut self, set: Set) -> Bounded<Set> {
        self.opening().into_iter().try_fold(set, |set, (field, label)| self.if_it_were(set, field, label))
    }

    /// The packets whose connection begins with one of `set`: the same with SYN alone, and new.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn as_opening(&mut self, set: Set) -> Bounded<Set> {
        let flags = self.flags_label(TcpFlags::SYN);
        let state = self.state_label(ConnectionStates::NEW);
        let set = self.if_it_were(set, Field::Flags, flags)?;
        self.if_it_were(set, Field::State, state)
    }

    /// The packets on the wire that would be in `set` with their port as the one that they had before a translation.
    ///
    /// # Errors
    /// Where a limit is met.
    pub(in super::super) fn sent_from(&mut self, set: Set) -> Bounded<Set> {
        let originals = self.sets.size(Field::Original.number());
        if originals == 1 {
            return Ok(set);
        }
        let mut all = Set::EMPTY;
        for class in 0..self.ports.count() {
            let from = self.is(Field::Port, class)?;
            let translated = self.if_it_were(set, Field::Original, class + 1)?;
            let own = self.sets.intersection(from, translated)?;
            all = self.sets.union(all, own)?;
        }
        Ok(all)
    }

    /// The packets that would be in `set` as they were on the wire, with the port that a translation has changed since.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn as_sent(&mut self, set: Set) -> Bounded<Set> {
        let plain = self.is(Field::Original, 0)?;
        let untouched = self.sets.intersection(plain, set)?;
        if self.sets.size(Field::Original.number()) == 1 {
            return Ok(untouched);
        }
        let on_the_wire = self.if_it_were(set, Field::Original, 0)?;
        let translated = self.sets.moved_to_next(on_the_wire, Field::Port.number(), 1)?;
        self.sets.union(untouched, translated)
    }
}

/// The labels of a list of addresses, where those of IPv4 begin at `first` and those of IPv6 behind them.
pub(super) fn addresses(
    list: &Elements,
    v4: &Classes<'_, u32>,
    v6: &Classes<'_, u128>,
    first: u32,
) -> Option<Vec<(u32, u32)>> {
    let above = |labels: &[(u32, u32)], by: u32| labels.iter().map(|&(first, last)| (first + by, last + by)).collect();
    match list {
        Elements::Ipv4(list) => v4.labels(list).map(|labels| above(labels, first)),
        Elements::Ipv6(list) => v6.labels(list).map(|labels| above(labels, first + v4.count())),
        Elements::Dual(four, six) => {
            let mut labels = above(v4.labels(four)?, first);
            labels.extend(above(v6.labels(six)?, first + v4.count()));
            Some(labels)
        }
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Passing(_) | Elements::Unknown => None,
    }
}
