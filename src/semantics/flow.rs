//! What rules do with sets of packets: [`Rules::evaluate`] for all packets at once.
//!
//! A stretch of rules is summed up as the packets that it may accept, may drop, may send back, and stops for certain, whoever
//! comes to it. Two stretches behind each other are one again, so a chain is summed up as a balanced tree, each chain once for
//! each state in which packets come to it, and a rule that jumps takes the sum of its target.
//!
//! INVARIANT (one meaning): for every packet the sets say what `evaluate` says. `tests/semantics.rs` compares the two.
//! INVARIANT (doubt): a chain that is too large to be summed up may do anything.

use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::diagram::{Bounded, Limits, Set, TooLarge};
use super::door::Door;
use super::evaluate::{Entry, Rules};
use super::holds::Tracked;
use super::matching::{Fit, fit};
use super::space::Space;
use super::touched::Touched;
use crate::ir::statement::{Effect, Way};
use crate::ir::{Chain, ChainKind, Family, Match, Policy, Rule, Verdict};

/// What packets that come to a rule have in common besides their fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) touched: Touched,
    /// Whether they may not have come this far in their chain.
    unsure: bool,
}

/// From what kind of base chain, and of which table, a chain is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entrance {
    position: usize,
    at_device: bool,
    tracked: Tracked,
}

/// Packets by the state that they are in: disjoint, and together all.
type Parts<S> = Vec<(S, Set)>;

/// What a stretch of rules does with the packets that come to it in one state.
#[derive(Clone, Debug)]
struct Stretch {
    accepted: Set,
    dropped: Set,
    returned: Set,
    /// Those that the rules behind do not see.
    stopped: Set,
    after: Parts<State>,
}

/// What a stretch does, for each state in which packets come to it.
type Sums = Vec<(State, Stretch)>;

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
    rules: &'r Rules<'a>,
    chains: IndexMap<(usize, Entrance, State), Rc<Stretch>, FxBuildHasher>,
    /// Chains that are too large to be summed up.
    unwieldy: Vec<&'a Chain>,
}

impl Stretch {
    fn nothing(state: State) -> Self {
        Self {
            accepted: Set::EMPTY,
            dropped: Set::EMPTY,
            returned: Set::EMPTY,
            stopped: Set::EMPTY,
            after: vec![(state, Set::ALL)],
        }
    }

    fn anything(state: State) -> Self {
        Self { accepted: Set::ALL, dropped: Set::ALL, returned: Set::ALL, ..Self::nothing(state) }
    }
}

/// Puts packets to the others in their state.
fn add<S: PartialEq>(space: &mut Space<'_>, parts: &mut Parts<S>, state: S, set: Set) -> Bounded<()> {
    if set.is_empty() {
        return Ok(());
    }
    match parts.iter_mut().find(|(own, _)| *own == state) {
        Some((_, own)) => *own = space.sets.union(*own, set)?,
        None => parts.push((state, set)),
    }
    Ok(())
}

impl<'r, 'a> Flow<'r, 'a> {
    /// Prepares rules. `space` has to be cut by them.
    #[must_use]
    pub fn new(rules: &'r Rules<'a>) -> Self {
        Self { rules, chains: IndexMap::default(), unwieldy: Vec::new() }
    }

    pub(super) fn rules(&self) -> &'r Rules<'a> {
        self.rules
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

    /// What may become of packets at a door.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn fates(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Fates> {
        let rules = self.rules;
        let (mut passing, mut may_block) = (Set::ALL, Set::EMPTY);
        let mut parts = self.touched_before(space, door)?;
        for group in rules.turns() {
            let chosen: Vec<&Entry<'a>> = group.iter().filter(|(.., base)| door.has(base)).collect();
            let here = passing;
            for (seen, chains) in views(space, &chosen)? {
                let concerned = space.sets.intersection(here, seen)?;
                let (mut own, others) = divided(space, parts, concerned)?;
                if rules.touches && chains.len() > 1 {
                    own = self.touched_by(space, &chains, own)?.0;
                }
                for entry in chains {
                    own = self.pass(space, entry, own, &mut passing, &mut may_block)?;
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
        entry: &Entry<'a>,
        parts: Parts<Touched>,
        passing: &mut Set,
        may_block: &mut Set,
    ) -> Bounded<Parts<Touched>> {
        let mut after = Vec::new();
        for (touched, set) in parts {
            if touched.changed {
                // These rules meet another packet.
                *may_block = space.sets.union(*may_block, set)?;
                add(space, &mut after, touched, set)?;
                continue;
            }
            let (ends, passes) = self.base(space, entry, touched)?;
            let blocked = if entry.3.policy == Policy::Drop { ends.returned } else { Set::EMPTY };
            let blocked = space.sets.union(ends.dropped, blocked)?;
            let blocked = space.sets.intersection(blocked, set)?;
            *may_block = space.sets.union(*may_block, blocked)?;
            let gone = space.sets.difference(set, passes)?;
            *passing = space.sets.difference(*passing, gone)?;
            for (state, left) in &ends.after {
                let left = space.sets.intersection(*left, set)?;
                add(space, &mut after, state.touched, left)?;
            }
        }
        Ok(after)
    }

    /// How a base chain ends, and which packets may pass it.
    fn base(&mut self, space: &mut Space<'_>, entry: &Entry<'a>, touched: Touched) -> Bounded<(Rc<Stretch>, Set)> {
        let &(position, _, chain, base) = entry;
        let (tracked, at_device) = super::evaluate::seen_at(&base);
        let way = Entrance { position, at_device, tracked };
        let ends = self.chain(space, chain, way, State { touched, unsure: false })?;
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

    /// What chains before a door may have done to packets.
    pub(super) fn touched_before(&mut self, space: &mut Space<'_>, door: Door) -> Bounded<Parts<Touched>> {
        let rules = self.rules;
        if !rules.touches {
            return Ok(vec![(Touched::default(), Set::ALL)]);
        }
        let mut parts = vec![(Touched::default(), Set::ALL)];
        let mut passing = Set::ALL;
        for group in rules.turns() {
            let chosen: Vec<&Entry<'a>> = group.iter().filter(|(.., base)| door.follows(base)).collect();
            let here = passing;
            for (seen, chains) in views(space, &chosen)? {
                let concerned = space.sets.intersection(here, seen)?;
                let (own, others) = divided(space, parts, concerned)?;
                let (own, passes) = self.touched_by(space, &chains, own)?;
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
            let set = space.as_sent(set)?;
            add(space, &mut sent, touched, set)?;
        }
        Ok(sent)
    }

    /// What chains that have one turn may do to packets, whichever of them is first, and which may pass them.
    fn touched_by(
        &mut self,
        space: &mut Space<'_>,
        chains: &[&Entry<'a>],
        parts: Parts<Touched>,
    ) -> Bounded<(Parts<Touched>, Set)> {
        let (mut done, mut passing) = (Vec::new(), Set::EMPTY);
        let mut waiting = parts;
        while let Some((before, set)) = waiting.pop() {
            let mut together = vec![(before, set)];
            let mut passes = set;
            for entry in chains {
                let (ends, through) = self.base(space, entry, before)?;
                passes = space.sets.intersection(passes, through)?;
                let mut next = Vec::new();
                for (touched, set) in together {
                    for (state, after) in &ends.after {
                        let both = space.sets.intersection(set, *after)?;
                        add(space, &mut next, touched.or(state.touched), both)?;
                    }
                }
                together = next;
            }
            for (touched, set) in together {
                // It only grows.
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

    /// How a chain may end for packets that come to it in a state.
    fn chain(&mut self, space: &mut Space<'_>, chain: &'a Chain, way: Entrance, state: State) -> Bounded<Rc<Stretch>> {
        let key = (std::ptr::from_ref(chain) as usize, way, state);
        if let Some(known) = self.chains.get(&key) {
            return Ok(Rc::clone(known));
        }
        let limits = space.sets.limits();
        // No chain may use up what the others need.
        let left = limits.steps.saturating_sub(space.sets.steps());
        let steps = space.sets.steps() + left / 2;
        space.sets.set_limits(Limits { steps, ..limits });
        let (mark, known) = (space.sets.mark(), self.chains.len());
        let summed = self.rules_of(space, chain, way, state);
        space.sets.set_limits(limits);
        let ends = match summed {
            Ok(mut ends) => {
                let at_end = space.sets.complement(ends.stopped)?;
                ends.returned = space.sets.union(ends.returned, at_end)?;
                ends
            }
            Err(TooLarge) => {
                self.chains.truncate(known);
                space.sets.forget(&mark);
                if !self.unwieldy.iter().any(|own| std::ptr::eq(*own, chain)) {
                    self.unwieldy.push(chain);
                }
                let touched = if self.rules.touches { Touched::ANYTHING } else { state.touched };
                Stretch::anything(State { touched, ..state })
            }
        };
        let ends = Rc::new(ends);
        self.chains.insert(key, Rc::clone(&ends));
        Ok(ends)
    }

    /// The sum of a chain's rules, as a balanced tree: neighbours of equal size are joined at once, as in a binary counter.
    fn rules_of(&mut self, space: &mut Space<'_>, chain: &'a Chain, way: Entrance, state: State) -> Bounded<Stretch> {
        let mut sums: Vec<(u32, Sums)> = Vec::new();
        let mut states = vec![state];
        for rule in &chain.rules {
            let mut sum: Sums = Vec::with_capacity(states.len());
            for state in &states {
                sum.push((*state, self.rule(space, rule, way, *state)?));
            }
            states = Vec::new();
            for (state, _) in sum.iter().flat_map(|(_, stretch)| &stretch.after) {
                if !states.contains(state) {
                    states.push(*state);
                }
            }
            let mut level = 0;
            while let Some((_, before)) = sums.pop_if(|(own, _)| *own == level) {
                sum = joined(space, before, &sum)?;
                level += 1;
            }
            sums.push((level, sum));
        }
        let mut all: Option<Sums> = None;
        while let Some((_, before)) = sums.pop() {
            all = Some(match all {
                None => before,
                Some(behind) => joined(space, before, &behind)?,
            });
        }
        Ok(all.and_then(|all| all.into_iter().next()).map_or_else(|| Stretch::nothing(state), |(_, stretch)| stretch))
    }

    /// What a rule does.
    fn rule(&mut self, space: &mut Space<'_>, rule: &'a Rule, way: Entrance, state: State) -> Bounded<Stretch> {
        let fits = self.fits(space, rule, way, state.touched)?;
        if fits.may.is_empty() {
            return Ok(Stretch::nothing(state));
        }
        let acts = self.act(space, rule, way, state)?;
        let mut after = Vec::new();
        let unmatched = space.sets.complement(fits.may)?;
        add(space, &mut after, state, unmatched)?;
        let doubted = space.sets.difference(fits.may, fits.must)?;
        // Whether packets may have left the chain is of matter only where rules lead connection tracking astray.
        let astray = self.rules.leads_astray;
        let left = if astray { space.sets.union(acts.accepted, acts.returned)? } else { Set::EMPTY };
        for &(then, set) in &acts.after {
            for (certain, concerned) in [(true, fits.must), (false, doubted)] {
                let concerned = space.sets.intersection(set, concerned)?;
                for (has_left, half) in [
                    (true, space.sets.intersection(concerned, left)?),
                    (false, space.sets.difference(concerned, left)?),
                ] {
                    let mut then = then;
                    let newly = then.touched.is_astray() && !state.touched.is_astray();
                    then.touched.wavers |= newly && (then.unsure || !certain);
                    then.unsure |= !certain && has_left;
                    add(space, &mut after, then, half)?;
                }
            }
        }
        Ok(Stretch {
            accepted: space.sets.intersection(acts.accepted, fits.may)?,
            dropped: space.sets.intersection(acts.dropped, fits.may)?,
            returned: space.sets.intersection(acts.returned, fits.may)?,
            stopped: space.sets.intersection(acts.stopped, fits.must)?,
            after,
        })
    }

    /// What a rule does with packets for which it applies.
    fn act(&mut self, space: &mut Space<'_>, rule: &'a Rule, way: Entrance, state: State) -> Bounded<Stretch> {
        let mut touched = state.touched;
        let mut all = Stretch::nothing(state);
        let mut next_rule = false;
        let meets = |all: &mut Stretch, touched: &mut Touched, effect: Effect| {
            touched.by(effect);
            let (accepted, dropped, goes_on) = match effect.way {
                Way::On | Way::Copied => (false, false, true),
                Way::Accepted => (true, false, false),
                Way::Dropped => (false, true, false),
                Way::Decided => (true, true, false),
                Way::Anything => (true, true, true),
            };
            if accepted {
                all.accepted = Set::ALL;
            }
            if dropped {
                all.dropped = Set::ALL;
            }
            goes_on
        };
        for statement in rule.effective() {
            let effect = statement.effect();
            let before = touched;
            let goes_on = meets(&mut all, &mut touched, effect);
            touched.wavers |= next_rule && touched.is_astray() && !before.is_astray();
            next_rule |= effect.may_leave;
            if !goes_on {
                all.stopped = if next_rule { Set::EMPTY } else { Set::ALL };
                all.after = vec![(State { touched, ..state }, Set::ALL)];
                return Ok(all);
            }
        }
        let here = State { touched, ..state };
        let stopped = match &rule.verdict {
            None => Set::EMPTY,
            Some(Verdict::Return) => {
                all.returned = Set::ALL;
                Set::ALL
            }
            Some(verdict @ (Verdict::Jump(name) | Verdict::Goto(name))) => {
                let below = self.target(space, way, name, here)?;
                all.accepted = space.sets.union(all.accepted, below.accepted)?;
                all.dropped = space.sets.union(all.dropped, below.dropped)?;
                all.after.clone_from(&below.after);
                if matches!(verdict, Verdict::Goto(_)) {
                    all.returned = space.sets.union(all.returned, below.returned)?;
                    Set::ALL
                } else {
                    space.sets.complement(below.returned)?
                }
            }
            Some(verdict @ (Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Unknown(_))) => {
                if meets(&mut all, &mut touched, verdict.effect()) { Set::EMPTY } else { Set::ALL }
            }
        };
        if !matches!(rule.verdict, Some(Verdict::Jump(_) | Verdict::Goto(_))) {
            all.after = vec![(State { touched, ..state }, Set::ALL)];
        }
        all.stopped = if next_rule { Set::EMPTY } else { stopped };
        Ok(all)
    }

    fn target(&mut self, space: &mut Space<'_>, way: Entrance, name: &str, state: State) -> Bounded<Rc<Stretch>> {
        match self.rules.names.get(way.position).and_then(|names| names.get(name)) {
            Some(chain) => self.chain(space, chain, way, state),
            // Readers refuse this; were it to happen, nothing would be certain.
            None => Ok(Rc::new(Stretch::anything(state))),
        }
    }

    /// For which packets a rule applies.
    fn fits(&self, space: &mut Space<'_>, rule: &Rule, way: Entrance, touched: Touched) -> Bounded<Fit> {
        let mut all = Fit::ALWAYS;
        for one in &rule.matches {
            let own = self.fit(space, one, way, touched)?;
            all = all.and(space, own)?;
            if all.may.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// For which packets a test holds, after all that was done to them before.
    fn fit(&self, space: &mut Space<'_>, one: &Match, way: Entrance, touched: Touched) -> Bounded<Fit> {
        let Some((_, table, ..)) = self.rules.bases.iter().find(|(position, ..)| *position == way.position) else {
            return Ok(Fit::UNKNOWN);
        };
        if self.rules.is_unseen(one, way.position, table, (way.at_device, way.tracked), touched) {
            return Ok(Fit::UNKNOWN);
        }
        fit(space, self.rules.ruleset, table, one, way.tracked)
    }
}

/// Two stretches behind each other, for each state in which packets come to the first.
fn joined(space: &mut Space<'_>, before: Sums, behind: &Sums) -> Bounded<Sums> {
    let mut all = Vec::with_capacity(before.len());
    for (state, first) in before {
        let mut sum = Stretch { after: Vec::new(), ..first.clone() };
        for &(then, set) in &first.after {
            let on = space.sets.difference(set, first.stopped)?;
            let held = space.sets.intersection(set, first.stopped)?;
            add(space, &mut sum.after, then, held)?;
            let Some((_, second)) = behind.iter().find(|(own, _)| *own == then) else {
                add(space, &mut sum.after, then, on)?;
                continue;
            };
            for (own, next) in [
                (&mut sum.accepted, second.accepted),
                (&mut sum.dropped, second.dropped),
                (&mut sum.returned, second.returned),
                (&mut sum.stopped, second.stopped),
            ] {
                let more = space.sets.intersection(next, on)?;
                *own = space.sets.union(*own, more)?;
            }
            for &(last, set) in &second.after {
                let set = space.sets.intersection(set, on)?;
                add(space, &mut sum.after, last, set)?;
            }
        }
        all.push((state, sum));
    }
    Ok(all)
}

/// Base chains by which packets see them: chains of tables for one family are seen by that family alone.
fn views<'e, 'a>(space: &mut Space<'_>, chains: &[&'e Entry<'a>]) -> Bounded<Vec<(Set, Vec<&'e Entry<'a>>)>> {
    if chains.is_empty() {
        return Ok(Vec::new());
    }
    let of = |entry: &&Entry<'a>| entry.1.family;
    if chains.iter().all(|entry| of(entry) == Family::Inet) {
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
