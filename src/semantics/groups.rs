//! Tests of what is known of interfaces besides their names: their groups, and whether they are part of a VRF.
//!
//! INVARIANT (doubt): without a list of all interfaces nothing is known of any, and never of one that is not in it: it may come, and be in
//! any group. Those that are in it are told apart wherever groups are asked for, see [`Space`].

use super::diagram::{Bounded, Set, TooLarge};
use super::evaluate::Rules;
use super::foreign::answers_a_stranger;
use super::holds::{At, Holds};
use super::matching::Fit;
use super::packet::Packet;
use super::space::Space;
use super::stretch::Entrance;
use crate::ir::{Foreign, Match, Side};
use crate::net::{Interface, Way};

/// A test of a group.
#[derive(Clone, Copy)]
struct Asked {
    side: Side,
    group: u32,
    negated: bool,
}

fn asked(one: &Match) -> Option<Asked> {
    match one {
        Match::Foreign(Foreign::Group { side, group, negated }) => {
            Some(Asked { side: *side, group: *group, negated: *negated })
        }
        _ => None,
    }
}

impl Rules<'_> {
    fn group(&self, asked: Asked, at_device: bool, device: Option<&Interface>) -> Holds {
        if at_device && self.may_be_stacked(device) {
            return Holds::Unknown;
        }
        match self.beside.and_then(|own| own.group_of(device)) {
            Some(own) => ((own == asked.group) != asked.negated).into(),
            None => Holds::Unknown,
        }
    }

    /// What does not hang on the interface; `None` where it does.
    fn whatever_interface(asked: Asked, way: Entrance) -> Option<Holds> {
        if asked.side == way.at.view.side() {
            return None;
        }
        // It has none, and leaves the rule (nft_meta_store_ifgroup).
        Some(if way.at_device { Holds::Unknown } else { Holds::No })
    }

    /// Whether a test of interfaces holds; `None` for any other test.
    pub(super) fn of_interface(&self, one: &Match, packet: &Packet, way: Entrance) -> Option<Holds> {
        if let Match::Foreign(Foreign::PartOfVrf { negated, .. }) = one {
            return Some(self.part_of_vrf(*negated, way.at));
        }
        let asked = asked(one)?;
        Some(Self::whatever_interface(asked, way).unwrap_or_else(|| {
            if !answers_a_stranger(way.at) {
                return self.group(asked, way.at_device, packet.interface.as_ref());
            }
            match self.surroundings.map_or(Way::Unknown, |own| own.way_to(packet.source)) {
                Way::By(device) => self.group(asked, way.at_device, Some(device)),
                Way::Nowhere | Way::Unknown => Holds::Unknown,
            }
        }))
    }

    /// Where there are no VRFs, nothing came in by one, and the name is empty (nft_meta_get_eval_sdifname). The kernel makes a rule of
    /// `ip rule` with the first of them; where somebody chose other rules, an interface that is not listed may be part of one.
    fn part_of_vrf(&self, negated: bool, at: At) -> Holds {
        let none = self.beside.is_some_and(|own| own.groups.is_some() && !own.has_vrfs() && !own.by_policy);
        if none && !at.view.leaves() { negated.into() } else { Holds::Unknown }
    }

    /// The same for sets of packets.
    pub(super) fn fit_of_interface(&self, space: &mut Space<'_>, one: &Match, way: Entrance) -> Bounded<Option<Fit>> {
        if let Match::Foreign(Foreign::PartOfVrf { negated, .. }) = one {
            return Ok(Some(Fit::of(self.part_of_vrf(*negated, way.at))));
        }
        let Some(asked) = asked(one) else { return Ok(None) };
        if let Some(found) = Self::whatever_interface(asked, way) {
            return Ok(Some(Fit::of(found)));
        }
        let (mut known, mut doubted) = (Set::EMPTY, Set::EMPTY);
        if answers_a_stranger(way.at) {
            if !way.at.routed {
                return Ok(Some(Fit::UNKNOWN));
            }
            for (back, list) in space.ways_back() {
                let from = space.source(&list)?.ok_or(TooLarge)?;
                let found = match back.way() {
                    Way::By(device) => self.group(asked, way.at_device, Some(device)),
                    Way::Nowhere | Way::Unknown => Holds::Unknown,
                };
                match found {
                    Holds::Yes => known = space.sets.union(known, from)?,
                    Holds::Unknown => doubted = space.sets.union(doubted, from)?,
                    Holds::No => {}
                }
            }
        } else {
            known = space.interface(|own| self.group(asked, way.at_device, own) == Holds::Yes)?;
            doubted = space.interface(|own| self.group(asked, way.at_device, own) == Holds::Unknown)?;
        }
        Fit::split(space, known, doubted).map(Some)
    }
}
