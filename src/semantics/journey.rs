//! The whole way of a connection between somebody and this host: there and back, with destination NAT in between.
//!
//! - **asked**: the packet comes in ([`Door::Wire`]), may be led elsewhere by NAT, goes on ([`Door::Translated`]), comes to input if
//!   it is for this host, and what this host answers leaves ([`Door::AnswersLeave`]).
//! - **asking**: this host's packet leaves ([`Door::RequestsLeave`]), NAT may lead it elsewhere, and the answer arrives
//!   ([`Door::AnswersArrive`]).
//!
//! Masquerading and source NAT change what others see, and are taken back before any rule here meets the answer: they decide
//! nothing. An answer leaves by the interface that the question came in on, and carries SYN and ACK, or ACK.
//!
//! [`Rules::asked`] and [`Rules::asking`] are the specification for one packet, [`Flow::asked`] and [`Flow::asking`] say the same
//! for sets.

use std::net::IpAddr;
use std::rc::Rc;

use super::diagram::{Bounded, Set, TooLarge};
use super::door::Door;
use super::evaluate::{Outcome, Rules, Step};
use super::field::Field;
use super::flow::{Fates, Flow};
use super::foreign::Trust;
use super::packet::{Locality, Packet, Shape, TCP};
use super::space::Space;
use super::translation::{Led, Translated, Translations};
use crate::ir::{ConnectionStates, Destined, Hook, TcpFlags, Translation};
use crate::net::Ports;

/// What is known of this host's addresses.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all. What is led to another address is not for this host then.
    pub complete: bool,
}

/// To which ports packets have to come at input to count as arrived.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// To the one that they were sent to.
    SamePort,
    /// To any of these, and by whatever port.
    Any(Ports),
}

/// Whether a translated packet is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    Yes,
    No,
    Perhaps,
}

/// What answers carry.
const ANSWERS: [TcpFlags; 2] = [TcpFlags(0x12), TcpFlags(0x10)];

impl Home {
    fn has(&self, kind: Translation, address: Option<(IpAddr, IpAddr)>) -> Here {
        let Some((first, last)) = address else {
            // A redirected packet comes to this host; one whose port alone is changed goes where it went.
            return if kind == Translation::Redirect { Here::Yes } else { Here::Perhaps };
        };
        let among = |own: &IpAddr| own.is_ipv4() == first.is_ipv4() && (first..=last).contains(own);
        let link_local = |own: &IpAddr| matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
        if first.is_loopback() || last.is_loopback() || link_local(&first) {
            // Where the kernel lets loopback in from outside (route_localnet), it is this host's. A link-local address may be
            // this host's on one interface and somebody else's on another.
            return Here::Perhaps;
        }
        match (self.addresses.iter().any(among), first == last) {
            (true, true) => Here::Yes,
            (false, _) if self.complete => Here::No,
            (true, false) | (false, _) => Here::Perhaps,
        }
    }
}

/// How a translated packet arrives.
struct Changed {
    here: Here,
    address: Option<IpAddr>,
    ports: Option<(u16, u16)>,
}

impl Changed {
    /// `None` where nobody knows.
    fn of(led: Led<'_>, home: &Home) -> Option<Self> {
        match led {
            Led::Anywhere | Led::To(_, Destined::Unknown) => None,
            Led::To(kind, Destined::To { addresses, ports }) => {
                let one = addresses.filter(|(first, last)| first == last).map(|(first, _)| first);
                Some(Self { here: home.has(kind, *addresses), address: one, ports: *ports })
            }
        }
    }
}

fn both(one: Outcome, other: Outcome) -> Outcome {
    Outcome { may_pass: one.may_pass && other.may_pass, may_block: one.may_block || other.may_block }
}

fn either(one: Outcome, other: Outcome) -> Outcome {
    Outcome { may_pass: one.may_pass || other.may_pass, may_block: one.may_block || other.may_block }
}

const NEVER: Outcome = Outcome { may_pass: false, may_block: false };
const FAILS: Outcome = Outcome { may_pass: false, may_block: true };
const PERHAPS: Outcome = Outcome { may_pass: true, may_block: true };

/// The packet that begins the connection of another.
fn beginning(packet: &Packet) -> Packet {
    Packet {
        protocol: TCP,
        flags: TcpFlags::SYN,
        state: ConnectionStates::NEW,
        shape: Shape::Whole,
        original_port: None,
        ..packet.clone()
    }
}

/// A shape besides a whole one in which a stranger may send its request. Whatever is in further fragments may pass.
#[derive(Clone, Copy)]
struct Piece {
    shape: Shape,
    /// Whether connection tracking puts fragments together on the way.
    together: bool,
}

impl Piece {
    /// Those that a family has. Nobody else sends its requests so.
    fn all(rules: &Rules<'_>, ipv4: bool) -> Vec<Self> {
        if rules.trust == Trust::Honest {
            return Vec::new();
        }
        let [v4, v6] = rules.defragments;
        let together = if ipv4 { v4 } else { v6 };
        let fragments = !together || rules.has_early_chains();
        let first = [Shape::First, Shape::FirstShort, Shape::FirstAnnounced, Shape::FirstHidden];
        let shapes = first.into_iter().filter(|_| fragments).chain([Shape::Extended]);
        shapes.filter(|shape| shape.fits(ipv4)).map(|shape| Self { shape, together }).collect()
    }

    /// What it is at a door. IPv4 is put together before input in any case, IPv6 behind it.
    fn at(self, door: Door, ipv4: bool) -> Shape {
        let whole = match door {
            Door::Wire => false,
            Door::Translated => self.together,
            _ => self.together || ipv4,
        };
        if whole && self.shape != Shape::Extended { Shape::Whole } else { self.shape }
    }
}

/// The specification.
impl Rules<'_> {
    /// Whether a packet of a connection that somebody opened comes to a program of this host, and the answers leave.
    #[must_use]
    pub fn asked(&self, packet: &Packet, home: &Home, arrival: &Arrival) -> Outcome {
        let mut outcome = self.asked_as(packet, None, home, arrival);
        if packet.shape == Shape::Whole {
            for piece in Piece::all(self, packet.source.is_ipv4()) {
                outcome.may_pass |= self.asked_as(packet, Some(piece), home, arrival).may_pass;
            }
        }
        outcome
    }

    /// What may become of a packet at a door, if it is sent as it is, or as a piece.
    fn sent(&self, door: Door, packet: &Packet, piece: Option<Piece>) -> Outcome {
        match piece {
            None => self.evaluate(door, packet),
            Some(piece) => {
                let shape = piece.at(door, packet.source.is_ipv4());
                self.evaluate(door, &Packet { shape, ..packet.clone() })
            }
        }
    }

    fn asked_as(&self, packet: &Packet, piece: Option<Piece>, home: &Home, arrival: &Arrival) -> Outcome {
        let wire = self.sent(Door::Wire, packet, piece);
        let first = beginning(packet);
        let touched = self.touched_before(Door::Translated, &first);
        let led = self.translations(Hook::Prerouting, &first, touched);
        let mut behind = NEVER;
        if led.dropped {
            behind = either(behind, FAILS);
        }
        if led.staying {
            behind = either(behind, self.arrives((packet, piece), packet.port, arrival));
        }
        for Translated { led, .. } in led.translated {
            behind = either(behind, self.led((packet, piece), led, home, arrival));
        }
        both(wire, behind)
    }

    fn led(&self, (packet, piece): (&Packet, Option<Piece>), led: Led<'_>, home: &Home, arrival: &Arrival) -> Outcome {
        let Some(changed) = Changed::of(led, home) else { return PERHAPS };
        let counts = |port: u16| match arrival {
            Arrival::SamePort => port == packet.port,
            Arrival::Any(ports) => ports.has(port),
        };
        let single = match changed.ports {
            None => Some(packet.port),
            Some((first, last)) => (first == last).then_some(first),
        };
        if single.is_some_and(|port| !counts(port)) {
            return FAILS;
        }
        if self.alters && packet.locality != Locality::Local {
            // What was done to it before was done to a packet for somebody else.
            return if changed.here == Here::No { FAILS } else { PERHAPS };
        }
        let arrived = |port: u16| {
            let packet = Packet {
                port,
                original_port: Some(packet.port),
                // Where chains before NAT do more than to decide, they met another destination.
                destination: changed.address.filter(|_| !self.alters),
                locality: Locality::Local,
                ..packet.clone()
            };
            self.arrives((&packet, piece), port, arrival)
        };
        let mut outcome = match changed.ports {
            None => arrived(packet.port),
            Some((first, last)) if first == last => arrived(first),
            // Any of them.
            Some(_) => PERHAPS,
        };
        let same_place = changed.address.is_none_or(|to| packet.destination.is_none_or(|own| own == to));
        if same_place && single == Some(packet.port) {
            // Led to where it goes anyway, its connection does not count as translated (nf_nat_setup_info; seen on 6.18).
            outcome = either(outcome, self.arrives((packet, piece), packet.port, arrival));
        }
        match changed.here {
            Here::Yes => outcome,
            Here::No => FAILS,
            Here::Perhaps => either(outcome, FAILS),
        }
    }

    /// Behind NAT.
    fn arrives(&self, (packet, piece): (&Packet, Option<Piece>), port: u16, arrival: &Arrival) -> Outcome {
        let counts = match arrival {
            Arrival::SamePort => packet.original_port.is_none_or(|original| original == port),
            Arrival::Any(ports) => ports.has(port),
        };
        if !counts || !packet.locality.is_local() || packet.protocol != TCP {
            return FAILS;
        }
        let late = self.sent(Door::Translated, packet, piece);
        let input = self.sent(Door::Input, packet, piece);
        both(both(late, input), self.answered(Door::AnswersLeave, packet))
    }

    /// Whether the answers to a packet pass a door. Where rules keep packets from tracking, these have any state.
    fn answered(&self, door: Door, packet: &Packet) -> Outcome {
        let states = answer_states(self.leads_astray || self.misses_replies);
        let mut answers = Outcome { may_pass: true, may_block: false };
        for flags in ANSWERS {
            let of = |state: ConnectionStates| {
                let answer = Packet { flags, state, shape: Shape::Whole, protocol: TCP, ..packet.clone() };
                self.evaluate(door, &answer)
            };
            answers = both(answers, states.iter().map(|state| of(*state)).fold(NEVER, either));
        }
        answers
    }

    /// Whether a packet of a connection that this host opens to another leaves, and the answers arrive.
    #[must_use]
    pub fn asking(&self, packet: &Packet) -> Outcome {
        let leaves = self.evaluate(Door::RequestsLeave, packet);
        let first = beginning(packet);
        let touched = self.touched_before(Door::RequestsLeave, &first);
        let led = self.translations(Hook::Output, &first, touched);
        let mut behind = NEVER;
        if led.staying {
            behind = either(behind, self.answered(Door::AnswersArrive, packet));
        }
        if led.dropped {
            behind = either(behind, FAILS);
        }
        for Translated { led, .. } in led.translated {
            behind = either(behind, if LedTo::of(led).may_be(packet) { PERHAPS } else { FAILS });
        }
        both(leaves, behind)
    }
}

/// Where what this host asks may still come to, although it is led somewhere: to this address and port, as far as they are said.
#[derive(Clone, Copy)]
enum LedTo {
    Anywhere,
    Nobody,
    Peer(Option<IpAddr>, Option<u16>),
}

impl LedTo {
    fn of(led: Led<'_>) -> Self {
        let Led::To(kind, Destined::To { addresses, ports }) = led else { return Self::Anywhere };
        if kind == Translation::Redirect {
            return Self::Nobody;
        }
        let (address, port) = (addresses.filter(|(a, b)| a == b), ports.filter(|(a, b)| a == b));
        Self::Peer(address.map(|(a, _)| a), port.map(|(a, _)| a))
    }

    fn may_be(self, packet: &Packet) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Nobody => false,
            Self::Peer(address, port) => {
                address.is_none_or(|own| own == packet.source) && port.is_none_or(|own| own == packet.port)
            }
        }
    }
}

/// In which states answers may be.
fn answer_states(astray: bool) -> &'static [ConnectionStates] {
    const ESTABLISHED: [ConnectionStates; 1] = [ConnectionStates::ESTABLISHED];
    const ASTRAY: [ConnectionStates; 3] =
        [ConnectionStates::ESTABLISHED, ConnectionStates::UNTRACKED, ConnectionStates::INVALID];
    if astray { &ASTRAY } else { &ESTABLISHED }
}

/// The same for sets of packets: those that may arrive with answers, and those that may not.
impl<'a> Flow<'_, 'a> {
    /// [`Rules::asked`] for all packets to one address of this host, or to one of which it is not known which it is.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn asked(
        &mut self,
        space: &mut Space<'_>,
        to: Option<IpAddr>,
        home: &Home,
        arrival: &Arrival,
    ) -> Bounded<Fates> {
        let mut fates = self.asked_as(space, None, to, home, arrival)?;
        let whole = space.shape(|own| own == Shape::Whole)?;
        for ipv4 in [true, false] {
            let family = space.family(ipv4)?;
            for piece in Piece::all(self.rules, ipv4) {
                let own = self.asked_as(space, Some((piece, ipv4)), to, home, arrival)?;
                let passing = space.sets.each([own.may_pass, family, whole])?;
                fates.may_pass = space.sets.union(fates.may_pass, passing)?;
            }
        }
        Ok(fates)
    }

    /// The same for packets that are sent as they are, or all as a piece.
    fn asked_as(
        &mut self,
        space: &mut Space<'_>,
        piece: Option<(Piece, bool)>,
        to: Option<IpAddr>,
        home: &Home,
        arrival: &Arrival,
    ) -> Bounded<Fates> {
        let label = space.destination_of(to);
        let wire = self.sent(space, Door::Wire, piece)?;
        let wire = with_destination(space, wire, label)?;
        let arrived = self.arrived(space, piece)?;
        let led = self.led(space, Hook::Prerouting, label)?;
        let counting = self.counting(space, arrival)?;
        let stays = judged(space, arrived, counting)?;
        let stays = with_destination(space, stays, label)?;
        let staying = unbegun(space, led.staying, label)?;
        let dropped = unbegun(space, led.dropped, label)?;
        let mut may_pass = space.sets.intersection(staying, stays.may_pass)?;
        let blocked = space.sets.intersection(staying, stays.may_block)?;
        let mut may_block = space.sets.union(dropped, blocked)?;
        for Translated { led, packets, .. } in &led.translated {
            let packets = unbegun(space, *packets, label)?;
            let behind = self.led_to(space, (*led, to), (arrived, stays, arrival), home)?;
            let passing = space.sets.intersection(packets, behind.may_pass)?;
            let blocked = space.sets.intersection(packets, behind.may_block)?;
            may_pass = space.sets.union(may_pass, passing)?;
            may_block = space.sets.union(may_block, blocked)?;
        }
        Ok(Fates {
            may_pass: space.sets.intersection(may_pass, wire.may_pass)?,
            may_block: space.sets.union(may_block, wire.may_block)?,
        })
    }

    /// Where packets that begin connections are led.
    fn led(&mut self, space: &mut Space<'_>, hook: Hook, label: u32) -> Bounded<Rc<Translations<'a, Set>>> {
        if let Some(known) = self.led.get(&(hook, label)) {
            return Ok(Rc::clone(known));
        }
        let first = begun(space, label)?;
        let door = if hook == Hook::Output { Door::RequestsLeave } else { Door::Translated };
        let before = self.touched_before(space, door)?;
        let found = Rc::new(self.translations(space, hook, first, &before)?);
        self.led.insert((hook, label), Rc::clone(&found));
        Ok(found)
    }

    /// What may become of packets at a door, if they are sent as they are, or as a piece.
    fn sent(&mut self, space: &mut Space<'_>, door: Door, piece: Option<(Piece, bool)>) -> Bounded<Fates> {
        let fates = self.fates(space, door)?;
        let Some((piece, ipv4)) = piece else { return Ok(fates) };
        let shape = piece.at(door, ipv4);
        Ok(Fates {
            may_pass: space.as_shape(fates.may_pass, shape)?,
            may_block: space.as_shape(fates.may_block, shape)?,
        })
    }

    /// What becomes of packets behind NAT, as they are there.
    fn arrived(&mut self, space: &mut Space<'_>, piece: Option<(Piece, bool)>) -> Bounded<Fates> {
        let late = self.sent(space, Door::Translated, piece)?;
        let input = self.sent(space, Door::Input, piece)?;
        let answers = self.answers(space, Door::AnswersLeave)?;
        let (here, tcp) = (space.locality(Locality::is_local)?, space.protocol(TCP)?);
        let arriving = space.sets.intersection(here, tcp)?;
        let may_pass = space.sets.each([late.may_pass, input.may_pass, answers.may_pass, arriving])?;
        let elsewhere = space.sets.complement(arriving)?;
        let may_block = space.sets.any([late.may_block, input.may_block, answers.may_block, elsewhere])?;
        Ok(Fates { may_pass, may_block })
    }

    /// What becomes of the answers to packets.
    fn answers(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        let fates = self.fates(space, door)?;
        let states = answer_states(self.rules.leads_astray || self.rules.misses_replies);
        let mut all = Fates { may_pass: Set::ALL, may_block: Set::EMPTY };
        let whole = Shape::ALL.iter().position(|own| *own == Shape::Whole).unwrap_or_default() as u32;
        let tcp = space.protocol_label(TCP);
        for flags in ANSWERS {
            let (mut may_pass, mut may_block) = (Set::EMPTY, Set::EMPTY);
            for state in states {
                let fields = [
                    (Field::Flags, space.flags_label(flags)),
                    (Field::State, space.state_label(*state)),
                    (Field::Shape, whole),
                    (Field::Protocol, tcp),
                ];
                for (all, set) in [(&mut may_pass, fates.may_pass), (&mut may_block, fates.may_block)] {
                    let own =
                        fields.iter().try_fold(set, |set, (field, label)| space.if_it_were(set, *field, *label))?;
                    *all = space.sets.union(*all, own)?;
                }
            }
            all.may_pass = space.sets.intersection(all.may_pass, may_pass)?;
            all.may_block = space.sets.union(all.may_block, may_block)?;
        }
        Ok(all)
    }

    /// The packets at input that count, where nothing was translated, or the port stands for the one on the wire.
    fn counting(&self, space: &mut Space<'_>, arrival: &Arrival) -> Bounded<Set> {
        match arrival {
            Arrival::SamePort => Ok(Set::ALL),
            Arrival::Any(ports) => {
                let list: Vec<(u16, u16)> = ports.ranges().iter().map(|range| (range.first(), range.last())).collect();
                // The question has to name them.
                space.port(&list)?.ok_or(TooLarge)
            }
        }
    }

    /// What becomes of packets that are led somewhere, as they are on the wire.
    fn led_to(
        &mut self,
        space: &mut Space<'_>,
        (led, to): (Led<'_>, Option<IpAddr>),
        (arrived, stays, arrival): (Fates, Fates, &Arrival),
        home: &Home,
    ) -> Bounded<Fates> {
        let all = Fates { may_pass: Set::ALL, may_block: Set::ALL };
        let Some(changed) = Changed::of(led, home) else { return Ok(all) };
        let ports = match changed.ports {
            Some((first, last)) if first != last => {
                let may_pass = if changed.here == Here::No { Set::EMPTY } else { Set::ALL };
                return Ok(Fates { may_pass, may_block: Set::ALL });
            }
            Some((port, _)) => Some(port),
            None => None,
        };
        if changed.here == Here::No {
            return Ok(Fates { may_pass: Set::EMPTY, may_block: Set::ALL });
        }
        let counting = match (arrival, ports) {
            (Arrival::SamePort, _) => Set::ALL,
            (Arrival::Any(_), _) => self.counting(space, arrival)?,
        };
        let there = judged(space, arrived, counting)?;
        let local = Locality::ALL.iter().position(|own| *own == Locality::Local).unwrap_or_default() as u32;
        let destination = space.destination_of(changed.address.filter(|_| !self.rules.alters));
        let mut found = Fates { may_pass: Set::EMPTY, may_block: Set::EMPTY };
        for (own, set) in [(&mut found.may_pass, there.may_pass), (&mut found.may_block, there.may_block)] {
            let set = space.if_it_were(set, Field::Locality, local)?;
            let set = space.if_it_were(set, Field::Destination, destination)?;
            let set = match ports {
                Some(port) => {
                    let label = space.port_label(port);
                    space.if_it_were(set, Field::Port, label)?
                }
                None => set,
            };
            *own = space.sent_from(set)?;
        }
        if let (Arrival::SamePort, Some(port)) = (arrival, ports) {
            // Led to another port, it is another program's.
            let same = space.port(&[(port, port)])?.ok_or(TooLarge)?;
            let other = space.sets.complement(same)?;
            found.may_pass = space.sets.intersection(found.may_pass, same)?;
            found.may_block = space.sets.union(found.may_block, other)?;
        }
        if changed.address.is_none_or(|address| to.is_none_or(|own| own == address)) {
            // Led to where they go anyway.
            let same = match ports {
                Some(port) => space.port(&[(port, port)])?.ok_or(TooLarge)?,
                None => Set::ALL,
            };
            for (own, set) in [(&mut found.may_pass, stays.may_pass), (&mut found.may_block, stays.may_block)] {
                let staying = space.sets.intersection(same, set)?;
                *own = space.sets.union(*own, staying)?;
            }
        }
        if changed.here == Here::Perhaps {
            found.may_block = Set::ALL;
        }
        if self.rules.alters {
            let local = space.locality(|own| own == Locality::Local)?;
            let others = space.sets.complement(local)?;
            let counts = match (arrival, ports) {
                (Arrival::Any(list), Some(port)) if list.has(port) => Set::ALL,
                (Arrival::Any(_), Some(_)) => Set::EMPTY,
                (Arrival::Any(_), None) => self.counting(space, arrival)?,
                (Arrival::SamePort, Some(port)) => space.port(&[(port, port)])?.ok_or(TooLarge)?,
                (Arrival::SamePort, None) => Set::ALL,
            };
            let others = space.sets.intersection(others, counts)?;
            found.may_pass = space.sets.union(found.may_pass, others)?;
            found.may_block = space.sets.union(found.may_block, others)?;
        }
        Ok(found)
    }

    /// [`Rules::asking`] for all packets.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn asking(&mut self, space: &mut Space<'_>, from: Option<IpAddr>) -> Bounded<Fates> {
        let label = space.destination_of(from);
        let leaves = self.fates(space, Door::RequestsLeave)?;
        let answers = self.answers(space, Door::AnswersArrive)?;
        let led = self.led(space, Hook::Output, label)?;
        let leaves = with_destination(space, leaves, label)?;
        let answers = with_destination(space, answers, label)?;
        let staying = unbegun(space, led.staying, label)?;
        let mut may_pass = space.sets.intersection(staying, answers.may_pass)?;
        let blocked = space.sets.intersection(staying, answers.may_block)?;
        let dropped = unbegun(space, led.dropped, label)?;
        let mut may_block = space.sets.union(dropped, blocked)?;
        for Translated { led, packets, .. } in &led.translated {
            let packets = unbegun(space, *packets, label)?;
            let perhaps = match LedTo::of(*led) {
                LedTo::Anywhere => packets,
                LedTo::Nobody => Set::EMPTY,
                LedTo::Peer(address, port) => {
                    let peer = address.map_or(Ok(Set::ALL), |own| space.sources_like(own))?;
                    let same = match port {
                        Some(port) => space.port(&[(port, port)])?.ok_or(TooLarge)?,
                        None => Set::ALL,
                    };
                    space.sets.each([packets, peer, same])?
                }
            };
            may_pass = space.sets.union(may_pass, perhaps)?;
            may_block = space.sets.union(may_block, packets)?;
        }
        Ok(Fates {
            may_pass: space.sets.intersection(may_pass, leaves.may_pass)?,
            may_block: space.sets.union(may_block, leaves.may_block)?,
        })
    }
}

/// What becomes of packets of which only some count.
fn judged(space: &mut Space<'_>, fates: Fates, counting: Set) -> Bounded<Fates> {
    let others = space.sets.complement(counting)?;
    Ok(Fates {
        may_pass: space.sets.intersection(fates.may_pass, counting)?,
        may_block: space.sets.union(fates.may_block, others)?,
    })
}

/// What becomes of packets if they are to one address.
fn with_destination(space: &mut Space<'_>, fates: Fates, label: u32) -> Bounded<Fates> {
    Ok(Fates {
        may_pass: space.if_it_were(fates.may_pass, Field::Destination, label)?,
        may_block: space.if_it_were(fates.may_block, Field::Destination, label)?,
    })
}

/// The labels of a packet that begins a connection, but for its locality.
fn beginning_labels(space: &Space<'_>, destination: u32) -> [(Field, u32); 6] {
    let whole = Shape::ALL.iter().position(|own| *own == Shape::Whole).unwrap_or_default() as u32;
    [
        (Field::Shape, whole),
        (Field::Protocol, space.protocol_label(TCP)),
        (Field::Flags, space.flags_label(TcpFlags::SYN)),
        (Field::State, space.state_label(ConnectionStates::NEW)),
        (Field::Destination, destination),
        (Field::Original, 0),
    ]
}

/// All packets that begin a connection to one address.
fn begun(space: &mut Space<'_>, destination: u32) -> Bounded<Set> {
    beginning_labels(space, destination).into_iter().try_fold(Set::ALL, |set, (field, label)| {
        let is = space.is(field, label)?;
        space.sets.intersection(set, is)
    })
}

/// All packets whose connection begins with one of these.
fn unbegun(space: &mut Space<'_>, set: Set, destination: u32) -> Bounded<Set> {
    beginning_labels(space, destination)
        .into_iter()
        .try_fold(set, |set, (field, label)| space.if_it_were(set, field, label))
}

/// A part of a packet's whole way.
#[derive(Clone, Debug)]
pub struct Leg<'a> {
    /// Where it is judged; `None` where it is translated.
    pub door: Option<Door>,
    /// The packet, as it is there.
    pub packet: Packet,
    /// What may become of it.
    pub outcome: Outcome,
    /// The rules that have a say.
    pub steps: Vec<Step<'a>>,
}

/// The same told leg by leg, for whoever asks why.
impl<'a> Rules<'a> {
    /// The way of a packet of a connection that somebody opened, as far as it goes. Where it may be translated and may not, the
    /// translated one is followed.
    #[must_use]
    pub fn legs_asked(&self, packet: &Packet, home: &Home) -> Vec<Leg<'a>> {
        let mut legs = vec![self.leg(Door::Wire, packet)];
        let first = beginning(packet);
        let led = self.translations(Hook::Prerouting, &first, self.touched_before(Door::Translated, &first));
        let mut there = packet.clone();
        if let Some(translated) = led.translated.first() {
            let changed = Changed::of(translated.led, home);
            let arrives = changed.filter(|changed| changed.here != Here::No);
            let (may_pass, may_block) = (arrives.is_some(), arrives.is_none() || led.dropped);
            legs.push(Leg {
                door: None,
                packet: packet.clone(),
                outcome: Outcome { may_pass, may_block },
                steps: vec![translated.step()],
            });
            let Some(changed) = arrives else { return legs };
            there.original_port = Some(packet.port);
            there.port = changed.ports.map_or(packet.port, |(first, _)| first);
            there.destination = changed.address;
            there.locality = Locality::Local;
        }
        legs.extend([Door::Translated, Door::Input].map(|door| self.leg(door, &there)));
        legs.extend(self.answer_legs(Door::AnswersLeave, &there));
        legs
    }

    /// The way of a packet of a connection that this host opens.
    #[must_use]
    pub fn legs_asking(&self, packet: &Packet) -> Vec<Leg<'a>> {
        let mut legs = vec![self.leg(Door::RequestsLeave, packet)];
        let first = beginning(packet);
        let led = self.translations(Hook::Output, &first, self.touched_before(Door::RequestsLeave, &first));
        if let Some(translated) = led.translated.first() {
            let outcome = FAILS;
            legs.push(Leg { door: None, packet: packet.clone(), outcome, steps: vec![translated.step()] });
        }
        legs.extend(self.answer_legs(Door::AnswersArrive, packet));
        legs
    }

    fn answer_legs(&self, door: Door, packet: &Packet) -> impl Iterator<Item = Leg<'a>> {
        ANSWERS
            .map(|flags| {
                let state = ConnectionStates::ESTABLISHED;
                self.leg(door, &Packet { flags, state, shape: Shape::Whole, ..packet.clone() })
            })
            .into_iter()
    }

    fn leg(&self, door: Door, packet: &Packet) -> Leg<'a> {
        let (outcome, steps) = self.trace(door, packet);
        Leg { door: Some(door), packet: packet.clone(), outcome, steps }
    }
}

impl<'a> Translated<'a, bool> {
    fn step(&self) -> Step<'a> {
        Step { table: self.table, chain: self.chain, rule: Some(self.rule), certain: false }
    }
}
