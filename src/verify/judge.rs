//! Every claim against what the rules may do, for all packets at once.

use std::net::IpAddr;

use super::{Claim, Claims, Families, Finding, Report, Witness};
use crate::ir::{Ruleset, ours};
use crate::semantics::{Bounded, Door, Fates, Field, Flow, Locality, Packet, Question, Rules, Set, Shape, Space};

/// Packets that a claim says something of, and those of them for which it does not hold, or may not.
pub(super) struct Case {
    pub(super) claim: Claim,
    pub(super) door: Door,
    pub(super) wanted: bool,
    /// Where all of them go to.
    pub(super) to: Option<IpAddr>,
    /// The label of that address.
    label: Option<u32>,
    /// All of them.
    pub(super) asked: Set,
    pub(super) violated: Set,
    pub(super) doubted: Set,
}

/// What is asked of packets.
pub(super) struct Judge<'c, 'r, 'a> {
    claims: &'c Claims<'c>,
    /// All rules.
    all: Flow<'r, 'a>,
    /// Ours.
    own: Flow<'r, 'a>,
    /// Whether what input blocks is blocked: in rules that are all somebody else's and translate nothing, the port at input
    /// is the port on the wire. Our own have to block before any translation, whoever may make it.
    input_decides: bool,
    /// Whether no connection of a family is translated on its way, IPv4 and IPv6: what is blocked before input, or at it, is so for
    /// whatever comes there.
    stays: [bool; 2],
    pub(super) cases: Vec<Case>,
}

/// What certainly becomes of packets by all doors on their way to a socket; of the others it cannot be said.
pub(super) struct Arrivals {
    /// Those that come there.
    pub(super) inside: Set,
    /// Those that do not.
    pub(super) outside: Set,
}

/// Judges every claim on rules of which some are `ours`.
pub(super) fn report(ruleset: &Ruleset, own: &Ruleset, claims: &Claims<'_>, families: Families) -> Bounded<Report> {
    let question = claims.question();
    judged(ruleset, own, (claims, &question), |space, judge| judge.report(space, families))
}

/// What is told of every claim on rules of which some are `ours`, judged on packets as the question tells them apart.
pub(super) fn judged<T>(
    ruleset: &Ruleset,
    own: &Ruleset,
    (claims, question): (&Claims<'_>, &Question<'_>),
    told: impl FnOnce(&mut Space<'_>, &mut Judge<'_, '_, '_>) -> Bounded<T>,
) -> Bounded<T> {
    let mut space = Space::new(&[ruleset], question)?;
    let (all, own) = (Rules::new(ruleset), Rules::new(own));
    let foreign = !ruleset.tables.iter().any(ours::has_part);
    let stays = [true, false].map(|ipv4| all.keeps_destinations_of(ipv4) && !claims.translates());
    let mut judge = Judge {
        claims,
        input_decides: foreign && stays == [true; 2],
        stays,
        all: Flow::new(&all),
        own: Flow::new(&own),
        cases: Vec::new(),
    };
    for door in [Door::BeforeTranslation, Door::Input] {
        judge.door(&mut space, door)?;
    }
    told(&mut space, &mut judge)
}

impl Case {
    /// All of these, before it is known how they fare.
    fn of(claim: Claim, door: Door, wanted: bool, set: Set) -> Self {
        Self { claim, door, wanted, to: None, label: None, asked: set, violated: set, doubted: Set::EMPTY }
    }
}

impl Judge<'_, '_, '_> {
    /// What was too large to be judged, see [`Flow::unwieldy`].
    pub(super) fn unwieldy(&self, space: &Space<'_>) -> Option<String> {
        self.all.unwieldy(space).or_else(|| self.own.unwieldy(space))
    }

    /// What has to become of packets at a door, and by which claim.
    fn door(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<()> {
        let late = if door == Door::Input { Door::Input } else { Door::Prerouting };
        for (claim, wanted, set) in self.claims.wanted(space, door)? {
            let set = space.sets.intersection(set, space.possible())?;
            if set.is_empty() {
                continue;
            }
            match claim {
                // What is to be blocked must be blocked before destination NAT can change its port.
                Claim::Isolation => {
                    let fates = self.blocking(space, door)?;
                    let case = Case::of(claim, door, wanted, set);
                    self.note(space, &case, (fates.may_pass, fates.may_block))?;
                }
                Claim::Reachability => self.reaching(space, late, set)?,
                Claim::NonInterference | Claim::OwnReplies => {
                    let fates = self.own.fates(space, late)?;
                    let case = Case::of(claim, late, wanted, set);
                    self.note(space, &case, (fates.may_block, fates.may_pass))?;
                }
            }
        }
        Ok(())
    }

    /// Whether packets get through that are wanted to, each to every address of this host of its family that rules tell
    /// apart. Whom a file admits comes to the addresses in it.
    fn reaching(&mut self, space: &mut Space<'_>, door: Door, set: Set) -> Bounded<()> {
        let fates = self.all.fates(space, door)?;
        let (usual, perhaps) = self.all.plausible(space)?;
        let (certain, uncertain) = (space.sets.intersection(set, usual)?, space.sets.intersection(set, perhaps)?);
        let here = space.locality(|own| matches!(own, Locality::Local | Locality::Vrf))?;
        let addresses = space.told_apart(|| self.claims.addresses());
        let mut ways: Vec<(Set, Option<(u32, IpAddr)>)> = Vec::new();
        let mut addressed = Set::EMPTY;
        for (label, address) in addresses {
            let family = space.family(address.is_ipv4())?;
            let concerned = space.sets.intersection(family, here)?;
            addressed = space.sets.union(addressed, concerned)?;
            ways.push((concerned, Some((label, address))));
        }
        ways.push((space.sets.complement(addressed)?, None));
        for (concerned, to) in ways {
            let (mut may_block, mut may_pass) = (fates.may_block, fates.may_pass);
            if let Some((label, _)) = to {
                may_block = space.if_it_were(may_block, Field::Destination, label)?;
                may_pass = space.if_it_were(may_pass, Field::Destination, label)?;
            }
            let case = Case {
                to: to.map(|(_, address)| address),
                label: to.map(|(label, _)| label),
                violated: space.sets.intersection(certain, concerned)?,
                doubted: space.sets.intersection(uncertain, concerned)?,
                ..Case::of(Claim::Reachability, door, true, Set::EMPTY)
            };
            self.note(space, &case, (may_block, may_pass))?;
        }
        Ok(())
    }

    /// Notes the packets of a case that fare wrongly: for certain, or perhaps.
    fn note(&mut self, space: &mut Space<'_>, case: &Case, (wrong, right): (Set, Set)) -> Bounded<()> {
        let violated = space.sets.difference(wrong, right)?;
        let violated = space.sets.intersection(case.violated, violated)?;
        let all = space.sets.union(case.violated, case.doubted)?;
        let wrong = space.sets.intersection(all, wrong)?;
        let doubted = space.sets.difference(wrong, violated)?;
        self.cases.push(Case { asked: all, violated, doubted, ..*case });
        Ok(())
    }

    pub(super) fn blocking(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        let early = self.all.fates(space, door)?;
        if door != Door::BeforeTranslation || !self.input_decides {
            return Ok(early);
        }
        let input = self.all.fates(space, Door::Input)?;
        let (passing, blocked) = (put_together(space, input.may_pass)?, put_together(space, input.may_block)?);
        let may_pass = space.sets.intersection(early.may_pass, passing)?;
        Ok(Fates { may_pass, may_block: space.sets.union(early.may_block, blocked)? })
    }

    /// What becomes of packets by all doors, each as it is on the wire.
    ///
    /// INVARIANT (moved): where connections of a family may be translated, a packet may come to input under another port or address, or be
    /// led to another host, and what the rules there say of the port on the wire is about others. That it is kept out is then known only
    /// where it is dropped before any translation.
    pub(super) fn arrivals(&mut self, space: &mut Space<'_>) -> Bounded<Arrivals> {
        let early = self.all.fates(space, Door::Prerouting)?;
        let wire = self.all.fates(space, Door::Wire)?;
        let late = self.all.fates(space, Door::Input)?;
        let (passing, blocked) = (put_together(space, late.may_pass)?, put_together(space, late.may_block)?);
        let here = space.locality(Locality::is_local)?;
        let routed = space.sets.complement(here)?;
        let may_block = space.sets.any([early.may_block, blocked, routed])?;
        let through = space.sets.each([early.may_pass, passing, here])?;
        let mut may_pass = Set::EMPTY;
        for (ipv4, stays) in [true, false].into_iter().zip(self.stays) {
            let family = space.family(ipv4)?;
            let own = space.sets.intersection(family, if stays { through } else { wire.may_pass })?;
            may_pass = space.sets.union(may_pass, own)?;
        }
        Ok(Arrivals { inside: space.sets.complement(may_block)?, outside: space.sets.complement(may_pass)? })
    }

    /// Packets of which a connection may have had another port before.
    pub(super) fn translated(&self, space: &mut Space<'_>) -> Bounded<Set> {
        let mut all = Set::EMPTY;
        for (ipv4, stays) in [true, false].into_iter().zip(self.stays) {
            let family = space.family(ipv4)?;
            all = space.sets.union(all, if stays { Set::EMPTY } else { family })?;
        }
        Ok(all)
    }

    /// Every claim by its cases. A violation weighs more than a doubt, and of each the packet is shown that reads best.
    fn report(&self, space: &mut Space<'_>, families: Families) -> Bounded<Report> {
        let scope = match families {
            Families::Both => Set::ALL,
            Families::Ipv4 => space.family(true)?,
            Families::Ipv6 => space.family(false)?,
        };
        let mut findings = Claim::ALL.map(|claim| (claim, Finding::Proved));
        for (claim, finding) in &mut findings {
            let cases: Vec<&Case> = self.cases.iter().filter(|case| case.claim == *claim).collect();
            *finding = match (
                shown(space, scope, &cases, |case| case.violated)?,
                shown(space, scope, &cases, |case| case.doubted)?,
            ) {
                (Some(witness), _) => Finding::Violated(witness),
                (None, Some(witness)) => self.unwieldy(space).map_or(Finding::Undecided(witness), Finding::Unjudged),
                (None, None) => Finding::Proved,
            };
        }
        Ok(Report { findings, staged: false })
    }
}

impl Arrivals {
    /// The same of what comes to the address of a case.
    pub(super) fn at(&self, space: &mut Space<'_>, case: &Case) -> Bounded<Self> {
        let mut as_there =
            |set: Set| case.label.map_or(Ok(set), |label| space.if_it_were(set, Field::Destination, label));
        Ok(Self { inside: as_there(self.inside)?, outside: as_there(self.outside)? })
    }
}

/// What input makes of packets: of IPv4, fragments have become one.
fn put_together(space: &mut Space<'_>, set: Set) -> Bounded<Set> {
    let (v4, v6) = (space.family(true)?, space.family(false)?);
    let as_whole = space.as_shape(set, Shape::Whole)?;
    let (whole, as_is) = (space.sets.intersection(v4, as_whole)?, space.sets.intersection(v6, set)?);
    space.sets.union(whole, as_is)
}

/// The packet of all cases that reads best, where there is one.
fn shown(space: &mut Space<'_>, scope: Set, cases: &[&Case], of: impl Fn(&Case) -> Set) -> Bounded<Option<Witness>> {
    let all = space.sets.any(cases.iter().map(|case| of(case)).collect::<Vec<Set>>())?;
    let all = space.sets.intersection(all, scope)?;
    let Some(packet) = space.witness(all)? else { return Ok(None) };
    let case = cases.iter().find(|case| space.has(of(case), &packet));
    Ok(case.map(|case| Witness {
        packet: Packet { destination: case.to.or(packet.destination), ..packet.clone() },
        door: case.door,
        wanted: case.wanted,
    }))
}

/// The packet of a set that reads best, to an address of this host; `None` for an empty set.
pub(super) fn shown_packet(space: &mut Space<'_>, set: Set, to: Option<IpAddr>) -> Bounded<Option<Packet>> {
    let packet = space.witness(set)?;
    Ok(packet.map(|packet| Packet { destination: to.or(packet.destination), ..packet }))
}
