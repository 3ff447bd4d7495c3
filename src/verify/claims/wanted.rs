//! What is claimed of sets of packets: [`Claims::wants`] of each of them at once.

use super::super::Claim;
use super::{Admitted, Claims, goes_on, is_opening, shows_flags};
use crate::ir::Elements;
use crate::net::{Interface, Ports};
use crate::semantics::{Bounded, Door, Field, Locality, Set, Shape, Space, TCP, TooLarge};

/// Which of the two ports of a translated connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// That of the socket.
    Own,
    /// That on the wire.
    Original,
}

/// [`Claims::wants`] for sets of packets.
impl Claims<'_> {
    /// What is wanted of packets at a door: by which claim, whether they are to pass, and which these are. The sets are
    /// disjoint; of all others nothing is claimed.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn wanted(&self, space: &mut Space<'_>, door: Door) -> Bounded<Vec<(Claim, bool, Set)>> {
        let mut all = self.wanted_guarded(space, door)?;
        for (claim, passes, _) in all.iter_mut().filter(|(_, passes, _)| self.lets_on && !passes) {
            (*claim, *passes) = (Claim::NonInterference, true);
        }
        Ok(all)
    }

    fn wanted_guarded(&self, space: &mut Space<'_>, door: Door) -> Bounded<Vec<(Claim, bool, Set)>> {
        let seen = space.seen_at(door)?;
        let loopback = space.interface(|own| own.is_some_and(|own| *own == Interface::loopback()))?;
        let local = space.sets.intersection(seen, loopback)?;
        let rest = space.sets.difference(seen, loopback)?;
        let plain = space.is(Field::Original, 0)?;
        let mut all = vec![(Claim::NonInterference, true, local)];
        if door == Door::Input {
            let translated = space.sets.difference(rest, plain)?;
            all.extend(self.wanted_of_translated(space, translated)?);
        }
        let rest = space.sets.intersection(rest, plain)?;
        let tcp = space.protocol(TCP)?;
        let announced = space.shape(|shape| shape == Shape::FirstAnnounced)?;
        let announced = space.sets.intersection(announced, tcp)?;
        let hidden = space.shape(|shape| shape == Shape::FirstHidden)?;
        let hidden = space.sets.union(announced, hidden)?;
        if door != Door::Input {
            // Dropped at prerouting, so that it never comes to input.
            all.push((Claim::Isolation, false, space.sets.intersection(rest, hidden)?));
        }
        // Further fragments and port 0: see `wants`.
        let misread = space.shape(|shape| shape == Shape::LaterMisread)?;
        let numbered = space.port(&[(1, u16::MAX)])?.ok_or(TooLarge)?;
        let zero = space.sets.complement(numbered)?;
        let nothing = space.sets.union(misread, zero)?;
        let nothing = space.sets.intersection(tcp, nothing)?;
        let nothing = space.sets.union(nothing, hidden)?;
        let rest = space.sets.difference(rest, nothing)?;
        let flags_visible = space.shape(shows_flags)?;
        let new = space.flags(is_opening)?;
        let new = space.sets.intersection(flags_visible, new)?;
        let protected = self.protected_ports(space, Which::Own)?;
        let mut going_on = Set::EMPTY;
        let judged = match door {
            Door::Input => space.shape(|shape| shows_flags(shape) || shape == Shape::FirstShort)?,
            // Nothing is claimed there.
            Door::Translated
            | Door::AnswersLeave
            | Door::RequestsLeave
            | Door::RequestsTranslated
            | Door::AnswersArrive => return Ok(Vec::new()),
            Door::BeforeTranslation | Door::Prerouting | Door::Wire => {
                let here = space.locality(Locality::is_local)?;
                let flags = space.flags(goes_on)?;
                going_on = space.sets.each([flags_visible, flags, here, protected])?;
                space.sets.intersection(new, here)?
            }
        };
        let judged = space.sets.each([rest, tcp, judged, protected])?;
        let admitted = self.admitted_packets(space, Which::Own)?;
        all.push((Claim::Reachability, true, space.sets.intersection(judged, admitted)?));
        all.push((Claim::Isolation, false, space.sets.difference(judged, admitted)?));
        let rest = space.sets.difference(rest, judged)?;
        // A connection that only opens is of no use to anybody.
        let going_on = space.sets.each([rest, tcp, going_on, admitted])?;
        all.push((Claim::Reachability, true, going_on));
        let rest = space.sets.difference(rest, going_on)?;
        let visible = space.sets.intersection(tcp, flags_visible)?;
        let replies = space.sets.difference(visible, new)?;
        all.push((Claim::OwnReplies, true, space.sets.intersection(rest, replies)?));
        all.push((Claim::NonInterference, true, space.sets.difference(rest, replies)?));
        Ok(all)
    }

    /// Both ports are asked for: the one on the wire, and the one that the socket has.
    fn wanted_of_translated(&self, space: &mut Space<'_>, set: Set) -> Bounded<Vec<(Claim, bool, Set)>> {
        let (mut refused, mut judged) = (Set::EMPTY, Set::EMPTY);
        for which in [Which::Own, Which::Original] {
            let (protected, admitted) = (self.protected_ports(space, which)?, self.admitted_packets(space, which)?);
            let strange = space.sets.difference(protected, admitted)?;
            refused = space.sets.union(refused, strange)?;
            judged = space.sets.union(judged, protected)?;
        }
        let good = space.sets.difference(judged, refused)?;
        Ok(vec![
            (Claim::Isolation, false, space.sets.intersection(set, refused)?),
            (Claim::Reachability, true, space.sets.intersection(set, good)?),
            (Claim::NonInterference, true, space.sets.difference(set, judged)?),
        ])
    }

    /// Packets that come to protected ports of this host from whom the file does not admit there, in the midst of a connection as at its
    /// begin.
    pub(in crate::verify) fn strange(&self, space: &mut Space<'_>) -> Bounded<Set> {
        let (protected, admitted) =
            (self.protected_ports(space, Which::Own)?, self.admitted_packets(space, Which::Own)?);
        let loopback = space.interface(|own| own.is_some_and(|own| *own == Interface::loopback()))?;
        let (here, tcp, plain) =
            (space.locality(Locality::is_local)?, space.protocol(TCP)?, space.is(Field::Original, 0)?);
        let visible = space.shape(|shape| shows_flags(shape) || shape == Shape::FirstShort)?;
        let all = space.sets.each([protected, here, tcp, plain, visible])?;
        let known = space.sets.union(admitted, loopback)?;
        space.sets.difference(all, known)
    }

    /// Packets from sources that the file distrusts.
    pub(in crate::verify) fn untrusted(&self, space: &mut Space<'_>) -> Bounded<Set> {
        from(space, &self.untrusted)
    }

    /// Packets from the sources of somebody who is admitted, on the interfaces on which it is.
    pub(in crate::verify) fn sources(&self, space: &mut Space<'_>, admitted: &Admitted<'_>) -> Bounded<Set> {
        let on = match &admitted.interfaces {
            None => Set::ALL,
            Some(names) => space.interface(|own| own.is_some_and(|own| names.contains(own)))?,
        };
        let sources = from(space, &admitted.families)?;
        let untrusted = from(space, &self.untrusted)?;
        let own = space.sets.intersection(on, sources)?;
        space.sets.difference(own, untrusted)
    }

    /// Packets from the sources of everybody who is admitted somewhere.
    pub(in crate::verify) fn named(&self, space: &mut Space<'_>) -> Bounded<Set> {
        let mut all = Set::EMPTY;
        for admitted in &self.admitted {
            let own = from(space, &admitted.families)?;
            all = space.sets.union(all, own)?;
        }
        Ok(all)
    }

    /// Packets whose other end has an address that the file has for this host.
    pub(in crate::verify) fn own_addresses(&self, space: &mut Space<'_>) -> Bounded<Set> {
        from(space, &self.own)
    }

    fn protected_ports(&self, space: &mut Space<'_>, which: Which) -> Bounded<Set> {
        ports(space, &self.protected, which)
    }

    /// Packets that the file admits, by one of the two ports.
    fn admitted_packets(&self, space: &mut Space<'_>, which: Which) -> Bounded<Set> {
        let mut all = Set::EMPTY;
        for admitted in &self.admitted {
            let on = match &admitted.interfaces {
                None => Set::ALL,
                Some(names) => space.interface(|own| own.is_some_and(|own| names.contains(own)))?,
            };
            let (ports, sources) = (ports(space, &admitted.ports, which)?, from(space, &admitted.families)?);
            let own = space.sets.each([on, ports, sources])?;
            all = space.sets.union(all, own)?;
        }
        let untrusted = from(space, &self.untrusted)?;
        space.sets.difference(all, untrusted)
    }
}

/// Packets to ports.
fn ports(space: &mut Space<'_>, ports: &Ports, which: Which) -> Bounded<Set> {
    let list: Vec<(u16, u16)> = ports.ranges().iter().map(|range| (range.first(), range.last())).collect();
    let found = match which {
        Which::Own => space.port(&list)?,
        Which::Original => space.original_port(&list)?,
    };
    // The question has cut the space by each of them.
    found.ok_or(TooLarge)
}

/// Packets from lists of addresses.
fn from(space: &mut Space<'_>, lists: &[Elements]) -> Bounded<Set> {
    let mut all = Set::EMPTY;
    for list in lists {
        let own = space.source(list)?.ok_or(TooLarge)?;
        all = space.sets.union(all, own)?;
    }
    Ok(all)
}
