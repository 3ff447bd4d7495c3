//! What rules do with sets of packets: [`Rules::evaluate`] for all packets at once.
//!
//! Packets are led through the base chains of a door in the order of their turns. What a chain does is summed up once, see
//! [`stretch`](super::stretch).
//!
//! INVARIANT (one meaning): for every packet the sets say what `evaluate` says. `tests/semantics.rs` compares the two.

use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::diagram::{Bounded, Set};
use super::door::{Door, comes_before_tracking, comes_to_output_nat, turn};
use super::evaluate::{Entry, Rules, seen_at};
use super::heed::Heeding;
use super::holds::At;
use super::journey::Leads;
use super::space::Space;
use super::stretch::{Entrance, Parts, State, Stretch, add};
use super::touched::Touched;
use super::view::View;
use crate::ir::{Base, Chain, ChainKind, Family, Hook, Policy};

/// What may become of packets at a door. Every packet is in at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fates {
    /// They may get through.
    pub may_pass: Set,
    /// They may be blocked.
    pub may_block: Set,
}

/// A ruleset, ready to be asked about sets of packets.
pub struct Flow<'r, 'a> {
    pub(super) rules: &'r Rules<'a>,
    /// The sums of chains, by the chain's place in memory and by how packets come to it.
    pub(super) chains: IndexMap<(usize, Entrance, State), Rc<Stretch>, FxBuildHasher>,
    /// Chains that are too large to be summed up.
    pub(super) unwieldy: Vec<&'a Chain>,
    /// What was found at doors that were asked for already.
    fates: IndexMap<Door, Fates, FxBuildHasher>,
    /// Where packets that begin connections to an address with this label are led at a hook.
    pub(super) led: IndexMap<(Hook, u32), Rc<Leads<'a>>, FxBuildHasher>,
    /// The packets that are asked about.
    pub(super) concerned: Set,
    /// Which chains ask for what others did.
    heeding: Option<Heeding>,
}

impl<'r, 'a> Flow<'r, 'a> {
    /// Prepares rules. `space` has to be cut by them.
    #[must_use]
    pub fn new(rules: &'r Rules<'a>) -> Self {
        Self {
            rules,
            chains: IndexMap::default(),
            unwieldy: Vec::new(),
            fates: IndexMap::default(),
            led: IndexMap::default(),
            concerned: Set::ALL,
            heeding: None,
        }
    }

    /// The same where only packets of a set are asked about, which says nothing of any field but family and source: these stay the
    /// same wherever a packet is judged, and whatever it stands for. What is said of others then means nothing.
    #[must_use]
    pub fn only(self, concerned: Set) -> Self {
        Self { concerned, ..self }
    }

    /// What was too large to be judged, so that whatever meets it may pass and may be blocked.
    #[must_use]
    pub fn unwieldy(&self, space: &Space<'_>) -> Option<String> {
        let lists = || space.uncut().map(|name| format!("the rules' {name} overlap in too many ways"));
        let chain = |chain: &&Chain| {
            format!("the {} rules of chain {} tell too many kinds of packets apart", chain.rules.len(), chain.name)
        };
        self.unwieldy.first().map(chain).or_else(lists)
    }

    /// What may become of packets at a door. Every question of one `Flow` has to be about the same space.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn fates(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        if let Some(known) = self.fates.get(&door) {
            return Ok(*known);
        }
        let found = self.fates_at(space, door)?;
        self.fates.insert(door, found);
        Ok(found)
    }

    fn fates_at(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        let rules = self.rules;
        let (mut passing, mut may_block) = (Set::ALL, Set::EMPTY);
        let mut parts = self.touched_before(space, door, |base| door.has(base) || door.passes(base))?;
        for group in rules.turns() {
            let here = |base: &Base| door.has(base) || door.passes(base);
            let chosen: Vec<&Entry<'a>> = group.iter().filter(|(.., base)| here(base)).collect();
            let here = passing;
            for (seen, chains) in views(space, &chosen)? {
                let concerned = space.sets.intersection(here, seen)?;
                let (mut own, others) = divided(space, parts, concerned)?;
                let several = rules.touches && chains.len() > 1;
                if several {
                    own = self.touched_by(space, &chains, door.view(), own)?.0;
                }
                for entry in chains {
                    let after = if door.has(&entry.3) {
                        self.pass(space, (entry, door.view()), &own, &mut passing, &mut may_block)?
                    } else {
                        self.pass_by(space, (entry, door.view()), &own)?
                    };
                    // Of several each may be first, and is met by packets as the others leave them, too.
                    own = if several { own } else { after };
                }
                parts = others;
                for (touched, set) in own {
                    add(space, &mut parts, touched, set)?;
                }
            }
        }
        let copied = parts.iter().filter(|(touched, _)| touched.copied).map(|(_, set)| *set);
        let may_pass = space.sets.any(copied.chain([passing]).collect::<Vec<Set>>())?;
        Ok(Fates { may_pass, may_block })
    }

    /// Leads packets through a base chain.
    fn pass(
        &mut self,
        space: &mut Space<'_>,
        (entry, view): (&Entry<'a>, View),
        parts: &Parts<Touched>,
        passing: &mut Set,
        may_block: &mut Set,
    ) -> Bounded<Parts<Touched>> {
        let mut after = Vec::new();
        for &(touched, set) in parts {
            if touched.changed {
                // These rules meet another packet.
                *may_block = space.sets.union(*may_block, set)?;
                add(space, &mut after, touched, set)?;
                continue;
            }
            let (ends, passes) = self.base(space, entry, view, touched)?;
            let blocked = if entry.3.policy == Policy::Drop { ends.returned } else { Set::EMPTY };
            let blocked = space.sets.union(ends.dropped, blocked)?;
            let blocked = space.sets.intersection(blocked, set)?;
            *may_block = space.sets.union(*may_block, blocked)?;
            let gone = space.sets.difference(set, passes)?;
            *passing = space.sets.difference(*passing, gone)?;
            leave(space, &mut after, &ends, set)?;
        }
        Ok(after)
    }

    /// Leads packets past a base chain of which only what it does to them counts.
    fn pass_by(
        &mut self,
        space: &mut Space<'_>,
        (entry, view): (&Entry<'a>, View),
        parts: &Parts<Touched>,
    ) -> Bounded<Parts<Touched>> {
        let mut after = Vec::new();
        for &(touched, set) in parts {
            if touched.changed {
                add(space, &mut after, touched, set)?;
                continue;
            }
            let (ends, _) = self.base(space, entry, view, touched)?;
            leave(space, &mut after, &ends, set)?;
        }
        Ok(after)
    }

    /// How a base chain ends, and which packets may pass it.
    fn base(
        &mut self,
        space: &mut Space<'_>,
        entry: &Entry<'a>,
        view: View,
        touched: Touched,
    ) -> Bounded<(Rc<Stretch>, Set)> {
        let &(position, _, chain, base) = entry;
        let (tracked, at_device) = seen_at(&base);
        let (trust, translates_own) = (self.rules.trust, self.rules.translates_own);
        let at =
            At { tracked, view, trust, routed: self.rules.surroundings.is_some(), first_only: false, translates_own };
        let way = Entrance { position, at_device, translates: base.kind == ChainKind::Nat, at };
        let ends = self.chain(space, chain, way, State::of(touched))?;
        // Chains for NAT see only the first packet of a connection that is tracked: they may block, but to rely on it would
        // be a mistake.
        let skipped = base.kind == ChainKind::Nat;
        let passes = if skipped {
            Set::ALL
        } else if base.policy == Policy::Accept {
            space.sets.union(ends.accepted, ends.returned)?
        } else {
            ends.accepted
        };
        Ok((ends, passes))
    }

    /// What chains before a door may have done to packets, as far as the chains that are `asked` behind can tell.
    pub(super) fn touched_before(
        &mut self,
        space: &mut Space<'_>,
        door: Door,
        asked: impl Fn(&Base) -> bool,
    ) -> Bounded<Parts<Touched>> {
        self.touched_for(space, door.view(), |base| door.follows(base), asked)
    }

    /// What chains before NAT at output, and these themselves, may have done to packets of this host, as far as the chains that are
    /// `asked` can tell.
    pub(super) fn touched_at_output(
        &mut self,
        space: &mut Space<'_>,
        asked: impl Fn(&Base) -> bool,
    ) -> Bounded<Parts<Touched>> {
        self.touched_for(space, View::Asking, comes_to_output_nat, asked)
    }

    /// What chains before connection tracking may have done to packets that go this way.
    pub(super) fn touched_untracked(&mut self, space: &mut Space<'_>, view: View) -> Bounded<Parts<Touched>> {
        let own = |base: &Base| (base.hook == Hook::Output) == view.leaves() && comes_before_tracking(base);
        self.touched_at(space, view, own, usize::MAX)
    }

    fn touched_for(
        &mut self,
        space: &mut Space<'_>,
        view: View,
        follows: impl Fn(&Base) -> bool,
        asked: impl Fn(&Base) -> bool,
    ) -> Bounded<Parts<Touched>> {
        let rules = self.rules;
        if !rules.touches {
            return Ok(vec![(rules.untouched(), Set::ALL)]);
        }
        let most = self.heeding.get_or_insert_with(|| Heeding::of(rules)).most(rules, &follows, asked);
        self.touched_at(space, view, follows, most)
    }

    /// What the first so many of the base chains may have done.
    fn touched_at(
        &mut self,
        space: &mut Space<'_>,
        view: View,
        follows: impl Fn(&Base) -> bool,
        most: usize,
    ) -> Bounded<Parts<Touched>> {
        let rules = self.rules;
        let mut parts = vec![(rules.untouched(), Set::ALL)];
        if !rules.touches {
            return Ok(parts);
        }
        let mut passing = Set::ALL;
        let mut at = 0;
        for group in rules.turns() {
            if at >= most {
                break;
            }
            at += group.len();
            let chosen: Vec<&Entry<'a>> = group.iter().filter(|(.., base)| follows(base)).collect();
            let here = passing;
            for (seen, chains) in views(space, &chosen)? {
                let concerned = space.sets.intersection(here, seen)?;
                let (own, others) = divided(space, parts, concerned)?;
                let (own, passes) = self.touched_by(space, &chains, view, own)?;
                let gone = space.sets.difference(concerned, passes)?;
                passing = space.sets.difference(passing, gone)?;
                parts = others;
                for (touched, set) in own {
                    add(space, &mut parts, touched, set)?;
                }
            }
        }
        let mut sent = Vec::new();
        for (mut touched, set) in parts {
            // What arrives at the door is taken as it is there.
            touched.changed = false;
            let set = if view.leaves() { set } else { space.as_sent(set)? };
            add(space, &mut sent, touched, set)?;
        }
        Ok(sent)
    }

    /// What chains that have one turn may do to packets, whichever of them is first, and which may pass them.
    fn touched_by(
        &mut self,
        space: &mut Space<'_>,
        chains: &[&Entry<'a>],
        view: View,
        parts: Parts<Touched>,
    ) -> Bounded<(Parts<Touched>, Set)> {
        let (mut done, mut passing) = (Vec::new(), Set::EMPTY);
        let mut waiting = parts;
        while let Some((before, set)) = waiting.pop() {
            let mut together = vec![(before, set)];
            let mut passes = set;
            for entry in chains {
                let (ends, through) = self.base(space, entry, view, before)?;
                passes = space.sets.intersection(passes, through)?;
                let mut next = Vec::new();
                for (touched, set) in together {
                    for (state, after) in &ends.after {
                        let both = space.sets.intersection(set, *after)?;
                        // With others, either may be first.
                        let after = if chains.len() < 2 { state.touched } else { touched.or(state.touched) };
                        add(space, &mut next, after, both)?;
                    }
                }
                together = next;
            }
            for (touched, set) in together {
                // With others it only grows.
                if chains.len() < 2 || touched == before {
                    add(space, &mut done, touched, set)?;
                    let through = space.sets.intersection(set, passes)?;
                    passing = space.sets.union(passing, through)?;
                } else {
                    waiting.push((touched, set));
                }
            }
        }
        Ok((done, passing))
    }
}

/// Whether two base chains have one turn: which of them is first is not known.
pub(super) fn same_turn(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    let turn_of = |(.., base): &Entry<'_>| (base.hook, turn(base));
    turn_of(one) == turn_of(other)
}

/// What leaves a chain of those that came into it.
fn leave(space: &mut Space<'_>, after: &mut Parts<Touched>, ends: &Rc<Stretch>, set: Set) -> Bounded<()> {
    for (state, left) in &ends.after {
        let left = space.sets.intersection(*left, set)?;
        add(space, after, state.touched, left)?;
    }
    Ok(())
}

/// Base chains by which packets see them: chains of tables for one family are seen by that family alone.
fn views<'e, 'a>(space: &mut Space<'_>, chains: &[&'e Entry<'a>]) -> Bounded<Vec<(Set, Vec<&'e Entry<'a>>)>> {
    if chains.is_empty() {
        return Ok(Vec::new());
    }
    let of = |entry: &&Entry<'a>| entry.1.family;
    if chains.iter().all(|entry| of(entry).has_both()) {
        return Ok(vec![(Set::ALL, chains.to_vec())]);
    }
    let mut views = Vec::new();
    for (ipv4, other) in [(true, Family::Ip6), (false, Family::Ip)] {
        let seen = chains.iter().filter(|entry| of(entry) != other).copied().collect();
        views.push((space.family(ipv4)?, seen));
    }
    Ok(views)
}

/// The packets of a set, and the others.
fn divided<S: Copy + PartialEq>(space: &mut Space<'_>, parts: Parts<S>, set: Set) -> Bounded<(Parts<S>, Parts<S>)> {
    let (mut within, mut without) = (Vec::new(), Vec::new());
    for (state, own) in parts {
        let inside = space.sets.intersection(own, set)?;
        add(space, &mut within, state, inside)?;
        let outside = space.sets.difference(own, set)?;
        add(space, &mut without, state, outside)?;
    }
    Ok((within, without))
}
