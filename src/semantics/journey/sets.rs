//! Whole ways of sets of packets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::super::diagram::{Bounded, Set, TooLarge};
use super::super::door::Door;
use super::super::field::Field;
use super::super::flow::{Fates, Flow};
use super::super::foreign::Trust;
use super::super::packet::{Locality, Shape, TCP};
use super::super::space::Space;
use super::super::translation::Led;
use super::{ANSWERS, Arrival, Changed, FIRST_ANSWERS, Here, Home, LedTo, Piece, Sender, Tracking};
use crate::ir::{Base, ChainKind, ConnectionStates, Hook, TcpFlags};

/// Where packets are led, by what begins their connections.
pub struct Leads<'a> {
    /// What was known of this host's addresses.
    home: Home,
    /// Who may be led where, but for those who are led to other hosts as they come in.
    translated: Vec<(Led<'a>, Set)>,
    /// Those who may be led to other hosts as they come in.
    elsewhere: Set,
    /// Those who may stay as they are.
    staying: Set,
    /// Those who may be dropped.
    dropped: Set,
}

/// The same for sets of packets: those that may arrive with answers, and those that may not.
impl<'a> Flow<'_, 'a> {
    /// [`Rules::asked`](super::Rules::asked) for all packets to one address of this host, or to one of which it is not known which it is.
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
        let arrived = self.arrived(space, piece, false)?;
        let arrived_led = self.arrived(space, piece, true)?;
        let led = self.led(space, Hook::Prerouting, label, home)?;
        let counting = self.counting(space, arrival)?;
        let stays = judged(space, arrived, counting)?;
        let stays = with_destination(space, stays, label)?;
        let mut may_pass = space.sets.intersection(led.staying, stays.may_pass)?;
        let blocked = space.sets.intersection(led.staying, stays.may_block)?;
        let mut may_block = space.sets.union(led.dropped, blocked)?;
        // They do not arrive.
        may_block = space.sets.union(may_block, led.elsewhere)?;
        for &(led, packets) in &led.translated {
            let behind = self.led_to(space, (led, to), (arrived_led, stays, arrival), home)?;
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

    /// All packets of connections that destination NAT may lead somewhere: of those that come in, or of this host's own.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn led_somewhere(
        &mut self,
        space: &mut Space<'_>,
        own: bool,
        address: Option<IpAddr>,
        home: &Home,
    ) -> Bounded<Set> {
        let label = space.destination_of(address);
        let led = self.led(space, if own { Hook::Output } else { Hook::Prerouting }, label, home)?;
        led.translated.iter().try_fold(led.elsewhere, |all, (_, packets)| space.sets.union(all, *packets))
    }

    /// Where packets that begin connections are led.
    fn led(&mut self, space: &mut Space<'_>, hook: Hook, label: u32, home: &Home) -> Bounded<Rc<Leads<'a>>> {
        if let Some(known) = self.led.get(&(hook, label)).filter(|known| known.home == *home) {
            return Ok(Rc::clone(known));
        }
        let first = begun(space, label)?;
        let first = space.sets.intersection(first, self.concerned)?;
        let translating = |base: &Base| base.kind == ChainKind::Nat && base.hook == hook;
        let before = match hook {
            Hook::Output => self.touched_at_output(space, translating)?,
            Hook::Postrouting => self.touched_before(space, Door::RequestsTranslated, translating)?,
            Hook::Ingress | Hook::Prerouting | Hook::Input | Hook::Forward | Hook::Egress => {
                self.touched_before(space, Door::Translated, translating)?
            }
        };
        let found = self.translations(space, hook, first, &before)?;
        // Whatever goes on with a connection fares as what began it.
        let mut leads = Leads {
            home: home.clone(),
            translated: Vec::new(),
            elsewhere: Set::EMPTY,
            staying: unbegun(space, found.staying, label)?,
            dropped: unbegun(space, found.dropped, label)?,
        };
        // Very many rules may lead the same packets to very many places.
        let mut known: HashMap<Set, Set, FxBuildHasher> = HashMap::default();
        for translated in &found.translated {
            let packets = match known.get(&translated.packets) {
                Some(packets) => *packets,
                None => unbegun(space, translated.packets, label)?,
            };
            known.insert(translated.packets, packets);
            let gone = Changed::of(translated.led, home).is_some_and(|changed| changed.goes_elsewhere());
            if hook == Hook::Prerouting && gone {
                leads.elsewhere = space.sets.union(leads.elsewhere, packets)?;
            } else {
                leads.translated.push((translated.led, packets));
            }
        }
        let leads = Rc::new(leads);
        self.led.insert((hook, label), Rc::clone(&leads));
        Ok(leads)
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

    /// What becomes of packets behind NAT, as they are there; of those that it has led somewhere, or of others.
    fn arrived(&mut self, space: &mut Space<'_>, piece: Option<(Piece, bool)>, led: bool) -> Bounded<Fates> {
        let (here, tcp) = (space.locality(Locality::is_local)?, space.protocol(TCP)?);
        let arriving = space.sets.intersection(here, tcp)?;
        let elsewhere = space.sets.complement(arriving)?;
        if self.rules.hidden.amid.is_some() && led {
            return Ok(Fates { may_pass: arriving, may_block: Set::ALL });
        }
        let late = self.sent(space, Door::Translated, piece)?;
        let input = self.sent(space, Door::Input, piece)?;
        let answers = self.answers(space, Door::AnswersLeave)?;
        let in_doubt = if self.rules.hidden.arriving(led).is_some() { Set::ALL } else { Set::EMPTY };
        let may_leave = space.sets.union(answers.may_pass, in_doubt)?;
        let may_stay = space.sets.union(answers.may_block, in_doubt)?;
        let may_pass = space.sets.each([late.may_pass, input.may_pass, may_leave, arriving])?;
        let may_block = space.sets.any([late.may_block, input.may_block, may_stay, elsewhere])?;
        Ok(Fates { may_pass, may_block })
    }

    /// What becomes of the answers to packets.
    fn answers(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        let fates = self.fates(space, door)?;
        let regions = self.tracking(space, door)?;
        let whole = Shape::ALL.iter().position(|own| *own == Shape::Whole).unwrap_or_default() as u32;
        let tcp = space.protocol_label(TCP);
        let mut each = Vec::new();
        for flags in ANSWERS {
            let mut own = Fates { may_pass: Set::EMPTY, may_block: Set::EMPTY };
            for state in Tracking::Perhaps.answer_states() {
                let within = regions.answers_in(space, *state)?;
                let fields = [
                    (Field::Flags, space.flags_label(flags)),
                    (Field::State, space.state_label(*state)),
                    (Field::Shape, whole),
                    (Field::Protocol, tcp),
                ];
                for (all, set) in [(&mut own.may_pass, fates.may_pass), (&mut own.may_block, fates.may_block)] {
                    let own =
                        fields.iter().try_fold(set, |set, (field, label)| space.if_it_were(set, *field, *label))?;
                    let own = space.sets.intersection(own, within)?;
                    *all = space.sets.union(*all, own)?;
                }
            }
            each.push(own);
        }
        // Those that begin a connection of their own may get another address or port than was asked.
        let renumbered = if self.rules.translates_answers(door) { regions.perhaps(space)? } else { Set::EMPTY };
        match self.rules.trust {
            Trust::Honest => Ok(Fates {
                may_pass: space.sets.each(each.iter().map(|own| own.may_pass))?,
                may_block: space.sets.any(each.iter().map(|own| own.may_block).chain([renumbered]))?,
            }),
            Trust::Nobody => Ok(Fates {
                may_pass: space.sets.any(each.iter().take(FIRST_ANSWERS).map(|own| own.may_pass))?,
                may_block: space.sets.any(each.iter().take(FIRST_ANSWERS).map(|own| own.may_block))?,
            }),
        }
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
        for ipv4 in [true, false].into_iter().filter(|_| changed.to_interface) {
            let dropped = space.interface(|own| home.may_drop_redirected(own, ipv4))?;
            let family = space.family(ipv4)?;
            let dropped = space.sets.intersection(dropped, family)?;
            found.may_block = space.sets.union(found.may_block, dropped)?;
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

    /// [`Rules::asking`](super::Rules::asking) for all packets.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn asking(&mut self, space: &mut Space<'_>, from: Option<IpAddr>, home: &Home) -> Bounded<Fates> {
        let label = space.destination_of(from);
        let leaves = self.fates(space, Door::RequestsLeave)?;
        let led = self.led(space, Hook::Output, label, home)?;
        let leaves = with_destination(space, leaves, label)?;
        let sent = self.sent_as(space, (from, label), home)?;
        let mut may_pass = space.sets.intersection(led.staying, sent.may_pass)?;
        let blocked = space.sets.intersection(led.staying, sent.may_block)?;
        let mut may_block = space.sets.union(led.dropped, blocked)?;
        for &(led, packets) in &led.translated {
            let perhaps = match LedTo::of(led) {
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

    /// What becomes of this host's packets at source NAT and behind it.
    fn sent_as(&mut self, space: &mut Space<'_>, (from, label): (Option<IpAddr>, u32), home: &Home) -> Bounded<Fates> {
        let late = self.fates(space, Door::RequestsTranslated)?;
        let late = with_destination(space, late, label)?;
        let answers = self.answers(space, Door::AnswersArrive)?;
        let answers = with_destination(space, answers, label)?;
        let seen = self.led(space, Hook::Postrouting, label, home)?;
        let plain = Fates {
            may_pass: space.sets.intersection(late.may_pass, answers.may_pass)?,
            may_block: space.sets.union(late.may_block, answers.may_block)?,
        };
        let mut may_pass = space.sets.intersection(seen.staying, plain.may_pass)?;
        let blocked = space.sets.intersection(seen.staying, plain.may_block)?;
        let mut may_block = space.sets.union(seen.dropped, blocked)?;
        for &(led, packets) in &seen.translated {
            for ipv4 in [true, false] {
                let family = space.family(ipv4)?;
                let own = space.sets.intersection(packets, family)?;
                let (passing, blocked) = match Sender::of(led, home, from, ipv4) {
                    Sender::Same if self.rules.hidden.leaving().is_none() => (plain.may_pass, plain.may_block),
                    Sender::Same | Sender::Other => (Set::ALL, Set::ALL),
                };
                let (passing, blocked) =
                    (space.sets.intersection(own, passing)?, space.sets.intersection(own, blocked)?);
                may_pass = space.sets.union(may_pass, passing)?;
                may_block = space.sets.union(may_block, blocked)?;
            }
        }
        Ok(Fates { may_pass, may_block })
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
