//! Which packets fare otherwise.

use super::changes::changes;
use super::{Difference, Other};
use crate::semantics::{Bounded, Door, Fates, Flow, Locality, Packet, Rules, Set, Shape, Space, TCP};

const DOORS: [Door; 3] = [Door::BeforeTranslation, Door::Prerouting, Door::Input];

/// Both rulesets at one door.
struct Pair {
    door: Door,
    old: Fates,
    new: Fates,
}

/// New connections that get through both doors for certain, and those that do not for certain.
struct Delivered {
    yes: Set,
    no: Set,
}

/// What changes for packets that come in.
pub(super) fn difference(space: &mut Space<'_>, old: &Rules<'_>, new: &Rules<'_>) -> Bounded<Difference> {
    let (mut old, mut new) = (Flow::new(old), Flow::new(new));
    let mut pairs = Vec::new();
    for door in DOORS {
        pairs.push(Pair { door, old: old.fates(space, door)?, new: new.fates(space, door)? });
    }
    let before =
        delivered(space, pairs.iter().filter(|pair| pair.door != Door::BeforeTranslation).map(|pair| pair.old))?;
    let after =
        delivered(space, pairs.iter().filter(|pair| pair.door != Door::BeforeTranslation).map(|pair| pair.new))?;
    let openings = openings(space)?;
    let mut difference = Difference::default();
    let gains = space.sets.each([openings, before.no, after.yes])?;
    let losses = space.sets.each([openings, before.yes, after.no])?;
    difference.changes = changes(space, gains, losses)?;
    let known = [space.sets.union(before.yes, before.no)?, space.sets.union(after.yes, after.no)?];
    let known = space.sets.each(known)?;
    let unknown = space.sets.difference(openings, known)?;
    difference.undecided = space.witness(unknown)?.map(|packet| (packet, Door::Input));
    others(space, &pairs, (&before, &after), &mut difference)?;
    if difference.undecided.is_none() {
        difference.undecided = tracked_otherwise(space, &mut old, &mut new)?.map(|packet| (packet, Door::Prerouting));
    }
    if difference.undecided.is_some() {
        difference.unjudged = old.unwieldy(space).or_else(|| new.unwieldy(space));
    }
    Ok(difference)
}

/// A packet whose connection is tracked by one and not by the other: rules that ask for its state then see another one, and what passes and what
/// does not was compared for each state by itself.
fn tracked_otherwise(space: &mut Space<'_>, old: &mut Flow<'_, '_>, new: &mut Flow<'_, '_>) -> Bounded<Option<Packet>> {
    let (before, after) = (old.tracked(space)?, new.tracked(space)?);
    let otherwise = [either(space, before.0, after.0)?, either(space, before.1, after.1)?];
    let otherwise = space.sets.any(otherwise)?;
    let seen = seen(space, Door::Prerouting)?;
    let otherwise = space.sets.intersection(otherwise, seen)?;
    space.witness(otherwise)
}

/// New connections to this host.
fn openings(space: &mut Space<'_>) -> Bounded<Set> {
    let as_opening = space.to_opening(Set::ALL)?;
    space.sets.intersection(as_opening, space.possible())
}

fn delivered(space: &mut Space<'_>, doors: impl Iterator<Item = Fates>) -> Bounded<Delivered> {
    let (mut may_pass, mut may_block) = (Set::ALL, Set::EMPTY);
    for fates in doors {
        may_pass = space.sets.intersection(may_pass, fates.may_pass)?;
        may_block = space.sets.union(may_block, fates.may_block)?;
    }
    Ok(Delivered { yes: space.sets.difference(may_pass, may_block)?, no: space.sets.complement(may_pass)? })
}

/// Packets other than new connections. Segments of the same source, port and interface as a change may follow it.
fn others(
    space: &mut Space<'_>,
    pairs: &[Pair],
    (before, after): (&Delivered, &Delivered),
    difference: &mut Difference,
) -> Bounded<()> {
    let followed = [followed(space, after.yes, before.yes)?, followed(space, after.no, before.no)?];
    let (mut unknown, mut told_passing, mut told_blocked) = (Set::EMPTY, Set::EMPTY, Set::EMPTY);
    let mut by_door = Vec::new();
    for Pair { door, old, new } in pairs {
        let seen = seen(space, *door)?;
        let uncertain = [
            space.sets.intersection(old.may_pass, old.may_block)?,
            space.sets.intersection(new.may_pass, new.may_block)?,
        ];
        let uncertain = space.sets.any(uncertain)?;
        let passes_otherwise = either(space, old.may_pass, new.may_pass)?;
        let blocked_otherwise = either(space, old.may_block, new.may_block)?;
        let otherwise = space.sets.union(passes_otherwise, blocked_otherwise)?;
        // What becomes of these hangs on their data, in both rulesets.
        let misread = space.shape(|shape| shape == Shape::LaterMisread)?;
        let doubted = space.sets.difference(uncertain, misread)?;
        // Whether a test for local addresses sees those of a VRF depends on the kernel, for both rulesets alike.
        let by_kernel = space.locality(|own| matches!(own, Locality::Vrf | Locality::Elsewhere))?;
        let by_kernel = space.sets.difference(by_kernel, otherwise)?;
        let doubted = space.sets.difference(doubted, by_kernel)?;
        let doubted = space.sets.intersection(doubted, seen)?;
        let certain = space.sets.difference(seen, uncertain)?;
        let certain = space.sets.intersection(certain, otherwise)?;
        let (passing, blocked) =
            (space.sets.intersection(certain, new.may_pass)?, space.sets.difference(certain, new.may_pass)?);
        let [follows, precedes] = followed;
        let (passing, blocked) = (space.sets.difference(passing, follows)?, space.sets.difference(blocked, precedes)?);
        // What is part of two doors is told of the first.
        let passing = space.sets.difference(passing, told_passing)?;
        let blocked = space.sets.difference(blocked, told_blocked)?;
        told_passing = space.sets.union(told_passing, passing)?;
        told_blocked = space.sets.union(told_blocked, blocked)?;
        let of_door = changes(space, passing, blocked)?.into_iter().map(|change| Other { door: *door, change });
        difference.others.extend(of_door);
        unknown = space.sets.union(unknown, doubted)?;
        by_door.push((*door, doubted));
    }
    if difference.undecided.is_none()
        && let Some(packet) = space.witness(unknown)?
    {
        let door = by_door.iter().find(|(_, doubted)| space.has(*doubted, &packet)).map(|(door, _)| *door);
        difference.undecided = door.map(|door| (packet, door));
    }
    Ok(())
}

/// Packets of TCP to this host whose connection begins in `now` and did not begin in `then`.
fn followed(space: &mut Space<'_>, now: Set, then: Set) -> Bounded<Set> {
    let changed = space.sets.difference(now, then)?;
    let opening = space.if_opened(changed)?;
    let (tcp, here) = (space.protocol(TCP)?, space.locality(Locality::is_local)?);
    space.sets.each([opening, tcp, here])
}

/// The packets that can come to a door.
fn seen(space: &mut Space<'_>, door: Door) -> Bounded<Set> {
    let door = space.seen_at(door)?;
    space.sets.intersection(door, space.possible())
}

/// The packets of one and not of the other.
fn either(space: &mut Space<'_>, a: Set, b: Set) -> Bounded<Set> {
    let (one, other) = (space.sets.difference(a, b)?, space.sets.difference(b, a)?);
    space.sets.union(one, other)
}
