//! Chains at devices (nft's `ingress` and `egress`), and devices that stand on others.
//!
//! What a VLAN, a bond or a bridge carries goes through the chains at the devices below it as well, and has their names there. Of which
//! devices it is known that they stand on no other, [`Surroundings::plain`] says; without that, names are taken as they are.
//!
//! INVARIANT (doubt): a chain that may be met is never taken for one that is not, and what a rule in it asks of a device that may stand
//! on others is not known.
//!
//! [`Surroundings::plain`]: crate::net::Surroundings::plain

use super::diagram::{Bounded, Set, TooLarge};
use super::evaluate::Rules;
use super::foreign::answers_a_stranger;
use super::holds::{At, Holds};
use super::matching::Fit;
use super::packet::Packet;
use super::space::Space;
use crate::ir::{DeviceName, Foreign, Match};
use crate::net::{Interface, Way};

/// What is asked of a device.
#[derive(Clone, Copy)]
enum Asked<'m> {
    /// Whether the chain hangs at it.
    Hung(&'m [DeviceName]),
    /// Its name.
    Name,
}

/// What a test asks of a device in a chain at devices, where that is not what it asks elsewhere.
fn asked(one: &Match) -> Option<Asked<'_>> {
    match one {
        Match::Foreign(Foreign::Hung(names)) => Some(Asked::Hung(names)),
        Match::InInterface { .. } | Match::Foreign(Foreign::Device { .. }) => Some(Asked::Name),
        _ => None,
    }
}

impl Rules<'_> {
    /// Whether a device may stand on others. One that no rule and no question names may be any.
    pub(super) fn may_be_stacked(&self, device: Option<&Interface>) -> bool {
        self.plain.is_some_and(|plain| device.is_none_or(|own| *own != Interface::loopback() && !plain.contains(own)))
    }

    /// `None` where such a test says the same as elsewhere.
    fn by_device(&self, asked: Asked<'_>, device: Option<&Interface>) -> Option<Holds> {
        match asked {
            Asked::Hung(names) if names.iter().any(|name| device.is_some_and(|own| name.fits(own.as_str()))) => {
                Some(Holds::Yes)
            }
            Asked::Hung(_) if self.may_be_stacked(device) => Some(Holds::Unknown),
            Asked::Hung(_) => Some(Holds::No),
            Asked::Name => self.may_be_stacked(device).then_some(Holds::Unknown),
        }
    }

    /// Whether a test of a device holds in a chain at devices; `None` where it says the same as elsewhere.
    pub(super) fn at_device(&self, one: &Match, packet: &Packet, at: At) -> Option<Holds> {
        let asked = asked(one)?;
        if !answers_a_stranger(at) {
            return self.by_device(asked, packet.interface.as_ref());
        }
        // A stranger may be answered by another device than the one that its question came in on.
        match self.surroundings.map_or(Way::Unknown, |own| own.way_to(packet.source)) {
            Way::By(device) => self.by_device(asked, Some(device)),
            Way::Nowhere | Way::Unknown => Some(Holds::Unknown),
        }
    }

    /// The same for sets of packets: what is said of those of which something else is said than elsewhere, and who they are.
    pub(super) fn fit_at_device(&self, space: &mut Space<'_>, one: &Match, at: At) -> Bounded<Option<(Fit, Set)>> {
        let Some(asked) = asked(one) else { return Ok(None) };
        let (mut known, mut doubted, mut concerned) = (Set::EMPTY, Set::EMPTY, Set::EMPTY);
        let mut take = |space: &mut Space<'_>, found: Option<Holds>, set: Set| -> Bounded<()> {
            match found {
                None => return Ok(()),
                Some(Holds::Yes) => known = space.sets.union(known, set)?,
                Some(Holds::Unknown) => doubted = space.sets.union(doubted, set)?,
                Some(Holds::No) => {}
            }
            concerned = space.sets.union(concerned, set)?;
            Ok(())
        };
        if !answers_a_stranger(at) {
            for found in [None, Some(Holds::Yes), Some(Holds::Unknown), Some(Holds::No)] {
                let set = space.interface(|own| self.by_device(asked, own) == found)?;
                take(space, found, set)?;
            }
        } else if at.routed {
            for (way, list) in space.ways_back() {
                let from = space.source(&list)?.ok_or(TooLarge)?;
                let found = match way.way() {
                    Way::By(device) => self.by_device(asked, Some(device)),
                    Way::Nowhere | Way::Unknown => Some(Holds::Unknown),
                };
                take(space, found, from)?;
            }
        } else {
            take(space, Some(Holds::Unknown), Set::ALL)?;
        }
        Ok(Some((Fit::split(space, known, doubted)?, concerned)))
    }
}
