//! Which packets an honest peer sends.
//!
//! It opens a connection, or is part of one. A firewall that tracks connections may well drop others, and nobody is cut off by
//! it.

use super::diagram::{Bounded, Set};
use super::door::Door;
use super::evaluate::Rules;
use super::flow::Flow;
use super::journey::{Tracking, never_tracked};
use super::packet::{Packet, TCP};
use super::space::Space;
use super::touched::Touched;
use super::view::View;
use crate::ir::{ConnectionStates, TcpFlags};

/// Whether an honest peer sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plausible {
    /// It does.
    Yes,
    /// Where rules lead connection tracking astray, it may be seen so.
    Perhaps,
    /// It does not.
    No,
}

/// The test of flags that open a connection, whatever else the segment carries, ECN for example: of FIN, SYN, RST and ACK, SYN
/// alone. Who asks for honest packets has to tell these apart.
pub const OPENING: (TcpFlags, TcpFlags) = (TcpFlags(0x17), TcpFlags::SYN);

/// The test of flags of what goes on with a connection: ACK without SYN and RST, whatever else the segment carries.
pub const GOING_ON: (TcpFlags, TcpFlags) = (TcpFlags(0x16), TcpFlags::ACK);

fn opens(flags: TcpFlags) -> bool {
    flags.0 & OPENING.0.0 == OPENING.1.0
}

impl Rules<'_> {
    /// Whether an honest peer sends such a packet: it opens a connection, or is part of one. A firewall that tracks
    /// connections may well drop others, and nobody is cut off by it.
    #[must_use]
    pub fn is_plausible(&self, packet: &Packet) -> Plausible {
        let usual = !self.tracks
            || packet.state == ConnectionStates::ESTABLISHED
            || (packet.state == ConnectionStates::NEW && opens(packet.flags))
            || (packet.state == ConnectionStates::UNTRACKED && self.touched_before(Door::Input, packet).untracked);
        if usual {
            return Plausible::Yes;
        }
        if !self.leads_astray {
            return Plausible::No;
        }
        // What of a connection was not tracked, its beginning or the answers, is missed by what was (seen on Linux 6.18:
        // the third segment of the handshake is invalid).
        let opening = Packet { flags: TcpFlags::SYN, state: ConnectionStates::NEW, ..packet.clone() };
        let touched = [packet, &opening].map(|one| self.touched_before(Door::Input, one));
        let never_tracked = touched.iter().all(|one| never_tracked(*one));
        let astray = self.tracking_of_honest(Door::AnswersLeave, packet) != Tracking::All;
        if astray && !never_tracked { Plausible::Perhaps } else { Plausible::No }
    }
}

impl Rules<'_> {
    /// The states in which rules behind connection tracking may see a packet that opens a connection to this host: new, or untracked where
    /// others keep it from tracking, or either of both.
    #[must_use]
    pub fn states_of_opening(&self, packet: &Packet) -> Vec<ConnectionStates> {
        if !self.leads_astray {
            return vec![ConnectionStates::NEW];
        }
        let touched = self.touched_untracked(View::Asked, packet);
        match (never_tracked(touched), touched.is_astray()) {
            (true, _) => vec![ConnectionStates::UNTRACKED],
            (false, false) => vec![ConnectionStates::NEW],
            (false, true) => vec![ConnectionStates::NEW, ConnectionStates::UNTRACKED],
        }
    }
}

impl Flow<'_, '_> {
    /// The packets of this host's own connections of which it is not certain that connection tracking sees all.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn asking_astray(&mut self, space: &mut Space<'_>) -> Bounded<Set> {
        let seen = self.tracking_of_honest(space, Door::AnswersArrive)?;
        space.sets.complement(seen.all)
    }

    /// Packets whose connections to this host connection tracking sees as a whole, and those of whose connections it sees nothing: for both
    /// what a rule asks of their state is known. Of all others it is not.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn tracked(&mut self, space: &mut Space<'_>) -> Bounded<(Set, Set)> {
        let seen = self.tracking_of_honest(space, Door::AnswersLeave)?;
        Ok((seen.all, seen.nothing))
    }

    /// The packets that an honest peer sends, and those that may be seen so where rules lead connection tracking astray.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn plausible(&mut self, space: &mut Space<'_>) -> Bounded<(Set, Set)> {
        let rules = self.rules;
        if !rules.tracks {
            return Ok((Set::ALL, Set::EMPTY));
        }
        let touched = self.touched_before(space, Door::Input, |_| false)?;
        let established = space.states(|own| own == ConnectionStates::ESTABLISHED)?;
        let (new, opening) = (space.states(|own| own == ConnectionStates::NEW)?, space.flags(opens)?);
        let tcp = space.protocol(TCP)?;
        let new = space.sets.each([new, opening, tcp])?;
        let untracked = space.states(|own| own == ConnectionStates::UNTRACKED)?;
        // Where something is too large, packets are only perhaps kept from tracking: they may have been dropped before.
        let unwieldy = self.unwieldy(space).is_some();
        let exempt = space.sets.any(sets_of(&touched, |one| one.untracked && !unwieldy))?;
        let untracked = space.sets.intersection(untracked, exempt)?;
        let usual = space.sets.any([established, new, untracked])?;
        if !rules.leads_astray {
            return Ok((usual, Set::EMPTY));
        }
        let seen = self.tracking_of_honest(space, Door::AnswersLeave)?;
        let astray = space.sets.complement(seen.all)?;
        let never = space.sets.any(sets_of(&touched, |one| never_tracked(one) && !unwieldy))?;
        let first = space.as_opening(never)?;
        let never = space.sets.intersection(never, first)?;
        let unusual = space.sets.difference(astray, usual)?;
        Ok((usual, space.sets.difference(unusual, never)?))
    }
}

fn sets_of(parts: &[(Touched, Set)], fits: impl Fn(Touched) -> bool) -> Vec<Set> {
    parts.iter().filter(|(touched, _)| fits(*touched)).map(|(_, set)| *set).collect()
}
