//! Whether connection tracking sees a connection: what asks and what is answered.
//!
//! Where it sees both, answers are established. Where it sees neither, they are untracked. Where it sees only one of the two, or where
//! that is not certain, they may be anything: an answer that nothing was asked for is invalid, and one without SYN begins a connection
//! (nf_conntrack_tcp_loose; seen on Linux 6.18).
//!
//! INVARIANT (whole connections): all packets that programs send are looked at, not only the one in question.

use super::super::diagram::{Bounded, Set};
use super::super::door::Door;
use super::super::evaluate::Rules;
use super::super::field::Field;
use super::super::flow::Flow;
use super::super::foreign::Trust;
use super::super::packet::{Packet, Shape, TCP};
use super::super::space::Space;
use super::super::stretch::Parts;
use super::super::touched::Touched;
use super::super::view::View;
use super::ANSWERS;
use crate::ir::{Base, ChainKind, ConnectionStates, Hook, TcpFlags};

/// What connection tracking sees of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tracking {
    /// All of it.
    All,
    /// Nothing.
    Nothing,
    /// It is not known what.
    Perhaps,
}

/// What asks carries: SYN, then ACK alone, with PSH, with FIN, with both.
const ASKING: [TcpFlags; 5] = [TcpFlags::SYN, TcpFlags(0x10), TcpFlags(0x18), TcpFlags(0x11), TcpFlags(0x19)];

impl Tracking {
    /// In which states answers may be.
    pub(super) fn answer_states(self) -> &'static [ConnectionStates] {
        const ALL: [ConnectionStates; 1] = [ConnectionStates::ESTABLISHED];
        const NOTHING: [ConnectionStates; 1] = [ConnectionStates::UNTRACKED];
        const PERHAPS: [ConnectionStates; 4] = [
            ConnectionStates::ESTABLISHED,
            ConnectionStates::UNTRACKED,
            ConnectionStates::INVALID,
            ConnectionStates::NEW,
        ];
        match self {
            Self::All => &ALL,
            Self::Nothing => &NOTHING,
            Self::Perhaps => &PERHAPS,
        }
    }
}

/// Which way asks, and which way answers, where answers go through this door.
fn ways(door: Door) -> [(View, [TcpFlags; 5]); 2] {
    let (asks, answers) = match door {
        Door::RequestsLeave | Door::RequestsTranslated | Door::AnswersArrive => (View::Asking, View::Answered),
        Door::BeforeTranslation
        | Door::Prerouting
        | Door::Input
        | Door::Wire
        | Door::Translated
        | Door::AnswersLeave => (View::Asked, View::Answering),
    };
    [(asks, ASKING), (answers, ANSWERS)]
}

/// Whether nothing of a packet's connection is tracked, for certain.
pub(in super::super) fn never_tracked(touched: Touched) -> bool {
    touched.untracked && !touched.wavers && !touched.reconnected
}

impl Rules<'_> {
    /// Whether answers that go through this door as a new connection may be translated.
    pub(super) fn translates_answers(&self, door: Door) -> bool {
        let hooks = match door {
            Door::AnswersArrive => [Hook::Prerouting, Hook::Input],
            _ => [Hook::Output, Hook::Postrouting],
        };
        let own = |base: &Base| base.kind == ChainKind::Nat && hooks.contains(&base.hook);
        self.bases.iter().any(|(.., chain, base)| own(base) && !chain.rules.is_empty())
    }

    /// What connection tracking sees of the connection of a packet.
    pub(in super::super) fn tracking(&self, door: Door, packet: &Packet) -> Tracking {
        if self.leads_astray && self.trust == Trust::Nobody {
            return Tracking::Perhaps;
        }
        self.tracking_of_honest(door, packet)
    }

    /// The same where both sides behave as programs do, whomever the rest of a question is about.
    pub(in super::super) fn tracking_of_honest(&self, door: Door, packet: &Packet) -> Tracking {
        if !self.leads_astray {
            return Tracking::All;
        }
        let (mut all, mut nothing) = (true, true);
        for (view, carried) in ways(door) {
            for flags in carried {
                let own = Packet { flags, shape: Shape::Whole, protocol: TCP, ..packet.clone() };
                let touched = self.touched_untracked(view, &own);
                all &= !touched.is_astray();
                nothing &= never_tracked(touched);
            }
        }
        match (all, nothing) {
            (true, _) => Tracking::All,
            (false, true) => Tracking::Nothing,
            (false, false) => Tracking::Perhaps,
        }
    }
}

/// Packets of whose connections all is tracked, and of whose nothing is.
#[derive(Clone, Copy)]
pub(in super::super) struct Regions {
    pub(in super::super) all: Set,
    pub(in super::super) nothing: Set,
}

impl Regions {
    /// Those of whose connections it is not known what is tracked.
    pub(super) fn perhaps(self, space: &mut Space<'_>) -> Bounded<Set> {
        let known = space.sets.union(self.all, self.nothing)?;
        space.sets.complement(known)
    }

    /// The packets whose answers may be in a state.
    pub(super) fn answers_in(self, space: &mut Space<'_>, state: ConnectionStates) -> Bounded<Set> {
        let [all, nothing] = [Tracking::All, Tracking::Nothing].map(|own| own.answer_states().contains(&state));
        let perhaps = self.perhaps(space)?;
        let own = [(all, self.all), (nothing, self.nothing)].into_iter().filter(|(has, _)| *has).map(|(_, set)| set);
        space.sets.any(own.chain([perhaps]).collect::<Vec<Set>>())
    }
}

impl Flow<'_, '_> {
    /// The same for sets of packets.
    pub(in super::super) fn tracking(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Regions> {
        if self.rules.leads_astray && self.rules.trust == Trust::Nobody {
            return Ok(Regions { all: Set::EMPTY, nothing: Set::EMPTY });
        }
        self.tracking_of_honest(space, door)
    }

    /// The same where both sides behave as programs do, whomever the rest of a question is about.
    pub(in super::super) fn tracking_of_honest(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Regions> {
        if !self.rules.leads_astray {
            return Ok(Regions { all: Set::ALL, nothing: Set::EMPTY });
        }
        let mut regions = Regions { all: Set::ALL, nothing: Set::ALL };
        for (view, carried) in ways(door) {
            let touched = self.touched_untracked(space, view)?;
            let astray = of_parts(space, &touched, Touched::is_astray)?;
            let tracked = space.sets.complement(astray)?;
            let never = of_parts(space, &touched, never_tracked)?;
            for flags in carried {
                for (region, set) in [(&mut regions.all, tracked), (&mut regions.nothing, never)] {
                    let own = as_carried(space, set, flags)?;
                    *region = space.sets.intersection(*region, own)?;
                }
            }
        }
        regions.nothing = space.sets.difference(regions.nothing, regions.all)?;
        if self.unwieldy(space).is_some() {
            // What is too large to be judged may have dropped packets before.
            return Ok(Regions { all: Set::EMPTY, nothing: Set::EMPTY });
        }
        Ok(regions)
    }
}

fn of_parts(space: &mut Space<'_>, parts: &Parts<Touched>, fits: impl Fn(Touched) -> bool) -> Bounded<Set> {
    let own = parts.iter().filter(|(touched, _)| fits(*touched)).map(|(_, set)| *set);
    space.sets.any(own.collect::<Vec<Set>>())
}

/// The packets that would be in `set` with these flags.
fn as_carried(space: &mut Space<'_>, set: Set, flags: TcpFlags) -> Bounded<Set> {
    let set = space.as_shape(set, Shape::Whole)?;
    let (tcp, flags) = (space.protocol_label(TCP), space.flags_label(flags));
    let set = space.if_it_were(set, Field::Protocol, tcp)?;
    space.if_it_were(set, Field::Flags, flags)
}
