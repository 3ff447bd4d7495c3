//! The whole way of a connection between somebody and this host: there and back, with destination NAT in between.
//!
//! - **asked**: the packet comes in ([`Door::Wire`]), may be led elsewhere by NAT, goes on ([`Door::Translated`]), comes to input if
//!   it is for this host, and what this host answers leaves ([`Door::AnswersLeave`]).
//! - **asking**: this host's packet leaves ([`Door::RequestsLeave`]), NAT may lead it elsewhere, and may give it another source
//!   ([`Door::RequestsTranslated`] is behind that), and the answer arrives ([`Door::AnswersArrive`]).
//!
//! Who is asked by another address than this host's in the cluster file, or by a port that NAT has chosen, may answer or not: that
//! stays open. So does what chains say that meet packets as they are on the wire where this is not what was asked about, see
//! [`Hidden`](super::evaluate::Hidden). An answer leaves by the interface that the question came in on, and carries SYN and ACK,
//! or ACK, alone or with PSH and FIN. A stranger is content with the first two, or one of them: an ACK tells the sequence number,
//! too.
//!
//! [`Rules::asked`] and [`Rules::asking`] are the specification for one packet, [`Flow::asked`] and [`Flow::asking`] say the same
//! for sets.

use std::net::IpAddr;
use std::sync::Arc;

mod legs;
mod sets;
mod tracking;

pub use legs::Leg;
pub(super) use sets::Leads;
pub(super) use tracking::{Tracking, never_tracked};

use super::door::Door;
use super::evaluate::{Outcome, Rules};
use super::foreign::Trust;
use super::packet::{Locality, Packet, Shape, TCP};
use super::translation::{Led, Translated};
use crate::ir::{ConnectionStates, Destined, Hook, TcpFlags, Translation};
use crate::net::{Interface, Ports};

/// What is known of this host's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Its addresses; where it is not said which node it is, those of all.
    pub addresses: Arc<Vec<IpAddr>>,
    /// Whether these are all. What is led to another address is not for this host then.
    pub complete: bool,
    /// Interfaces without an address of IPv4 (`true`), or of IPv6, see [`Surroundings`](crate::net::Surroundings).
    pub unnumbered: Vec<(Interface, bool)>,
}

/// To which ports packets have to come at input to count as arrived.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// To the one that they were sent to.
    SamePort,
    /// To any of these, and by whatever port.
    Any(Ports),
}

/// Whose a packet of this host looks like behind source NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Its own; only the source port may be another.
    Same,
    /// It is not known whose.
    Other,
}

/// Whether a translated packet is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    Yes,
    No,
    Perhaps,
}

/// What answers carry: SYN and ACK, ACK alone, with PSH, with FIN, with both.
const ANSWERS: [TcpFlags; 5] = [TcpFlags(0x12), TcpFlags(0x10), TcpFlags(0x18), TcpFlags(0x11), TcpFlags(0x19)];

/// Those of which one is enough for somebody who is not to get in.
const FIRST_ANSWERS: usize = 2;

impl Home {
    /// Whether what is led to one address may be for this host.
    pub(super) fn may_have(&self, address: IpAddr) -> bool {
        self.has(Translation::Destination, Some((address, address))) != Here::No
    }

    /// Whether what is redirected as it comes in on an interface may be dropped, since that has no address to which it would go. One that
    /// no rule names may be any.
    fn may_drop_redirected(&self, interface: Option<&Interface>, ipv4: bool) -> bool {
        let is_it = |(name, four): &(Interface, bool)| *four == ipv4 && interface.is_none_or(|own| own == name);
        self.unnumbered.iter().any(is_it)
    }

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
    /// Whether it goes to an address of the interface that it comes in on.
    to_interface: bool,
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
                let to_interface = kind == Translation::Redirect && addresses.is_none();
                Some(Self { here: home.has(kind, *addresses), to_interface, address: one, ports: *ports })
            }
        }
    }
}

impl Changed {
    /// Whether it comes to another host, for certain.
    fn goes_elsewhere(&self) -> bool {
        self.here == Here::No
    }
}

impl Sender {
    /// Whose it is, where it is sent from `from`, or from an address of this host's of which it is not known which it is.
    fn of(led: Led<'_>, home: &Home, from: Option<IpAddr>, ipv4: bool) -> Self {
        let Led::To(Translation::Source | Translation::Masquerade, Destined::To { addresses, ports: None }) = led
        else {
            return Self::Other;
        };
        let mut own = home.addresses.iter().filter(|own| {
            let far = !own.is_loopback() && !matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
            far && own.is_ipv4() == ipv4
        });
        // Of several addresses masquerading takes any.
        let only = own.next().copied().filter(|_| home.complete && own.next().is_none());
        let from = from.or(only);
        let to = addresses.map_or(only, |(first, last)| (first == last).then_some(first));
        if to.is_some() && to == from { Self::Same } else { Self::Other }
    }
}

fn both(one: Outcome, other: Outcome) -> Outcome {
    Outcome { may_pass: one.may_pass && other.may_pass, may_block: one.may_block || other.may_block }
}

fn either(one: Outcome, other: Outcome) -> Outcome {
    Outcome { may_pass: one.may_pass || other.may_pass, may_block: one.may_block || other.may_block }
}

const NEVER: Outcome = Outcome { may_pass: false, may_block: false };
const PASSES: Outcome = Outcome { may_pass: true, may_block: false };
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
        // What is kept from connection tracking before is not put together (nf_defrag_ipv4.c); what is so behind that place, is.
        let together = (if ipv4 { v4 } else { v6 }) && !rules.keeps_fragments;
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
        let ipv4 = packet.source.is_ipv4();
        let is_dropped = changed.to_interface && home.may_drop_redirected(packet.interface.as_ref(), ipv4);
        match changed.here {
            Here::Yes if is_dropped => either(outcome, FAILS),
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
        let is_led = packet.original_port.is_some();
        if self.hidden.amid.is_some() && is_led {
            return PERHAPS;
        }
        let late = self.sent(Door::Translated, packet, piece);
        let input = self.sent(Door::Input, packet, piece);
        let arrives = both(both(late, input), self.answered(Door::AnswersLeave, packet));
        if self.hidden.arriving(is_led).is_some() { both(both(late, input), PERHAPS) } else { arrives }
    }

    /// Whether the answers to a packet pass a door, see [`Tracking`].
    fn answered(&self, door: Door, packet: &Packet) -> Outcome {
        let tracking = self.tracking(door, packet);
        let states = tracking.answer_states();
        // An answer that begins a connection of its own may get another address or port than was asked.
        let as_asked = if tracking == Tracking::Perhaps && self.translates_answers(door) { PERHAPS } else { PASSES };
        let carrying = |flags: TcpFlags| {
            let of = |state: ConnectionStates| {
                let answer = Packet { flags, state, shape: Shape::Whole, protocol: TCP, ..packet.clone() };
                self.evaluate(door, &answer)
            };
            states.iter().map(|state| of(*state)).fold(NEVER, either)
        };
        match self.trust {
            Trust::Honest => ANSWERS.into_iter().map(carrying).fold(as_asked, both),
            Trust::Nobody => ANSWERS.into_iter().take(FIRST_ANSWERS).map(carrying).fold(NEVER, either),
        }
    }

    /// Whether a packet of a connection that this host opens to another leaves, and the answers arrive.
    #[must_use]
    pub fn asking(&self, packet: &Packet, home: &Home) -> Outcome {
        let leaves = self.evaluate(Door::RequestsLeave, packet);
        let first = beginning(packet);
        let touched = self.touched_at_output(&first);
        let led = self.translations(Hook::Output, &first, touched);
        let mut behind = NEVER;
        if led.staying {
            behind = either(behind, self.sent_as(packet, home));
        }
        if led.dropped {
            behind = either(behind, FAILS);
        }
        for Translated { led, .. } in led.translated {
            behind = either(behind, if LedTo::of(led).may_be(packet) { PERHAPS } else { FAILS });
        }
        both(leaves, behind)
    }

    /// What becomes of this host's packet at source NAT and behind it.
    fn sent_as(&self, packet: &Packet, home: &Home) -> Outcome {
        let first = beginning(packet);
        let touched = self.touched_before(Door::RequestsTranslated, &first);
        let seen = self.translations(Hook::Postrouting, &first, touched);
        let staying = both(self.evaluate(Door::RequestsTranslated, packet), self.answered(Door::AnswersArrive, packet));
        let mut behind = NEVER;
        if seen.staying {
            behind = either(behind, staying);
        }
        if seen.dropped {
            behind = either(behind, FAILS);
        }
        for Translated { led, .. } in seen.translated {
            behind = either(
                behind,
                match Sender::of(led, home, packet.destination, packet.source.is_ipv4()) {
                    Sender::Same if self.hidden.leaving().is_none() => staying,
                    Sender::Same | Sender::Other => PERHAPS,
                },
            );
        }
        behind
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
