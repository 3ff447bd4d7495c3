//! What a chain does with all packets, summed up.
//!
//! A stretch of rules is summed up as the packets that it may accept, may drop, may send back, and stops for certain, whoever
//! comes to it. Two stretches behind each other are one again, so the rules of a chain are joined as a balanced tree: one by
//! one, each rule would be compared with all before it. A chain is summed up once for each state in which packets come to it,
//! and a rule that jumps takes the sum of its target.
//!
//! INVARIANT (doubt): a chain that is too large to be summed up may do anything.

use std::rc::Rc;

use super::diagram::{Bounded, Set, TooLarge};
use super::flow::Flow;
use super::holds::At;
use super::mark::Mark;
use super::matching::{Fit, fit};
use super::space::Space;
use super::touched::Touched;
use crate::ir::statement::Effect;
use crate::ir::{Chain, Foreign, Marked, Match, Rule, Verdict};

/// A chain may take such a part of all steps, without those that it jumps to.
const SHARE: u64 = 8;

/// What packets that come to a rule have in common besides their fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) touched: Touched,
    /// Whether they may not have come this far in their chain.
    unsure: bool,
}

/// From what kind of base chain, and of which table, a chain is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entrance {
    pub(super) position: usize,
    pub(super) at_device: bool,
    /// Whether it is for NAT: only the first packet of a connection meets it, and that by what each rule leaves of it.
    pub(super) translates: bool,
    pub(super) at: At,
}

/// Packets by the state that they are in: disjoint, and together all.
pub(super) type Parts<S> = Vec<(S, Set)>;

/// What a stretch of rules does with the packets that come to it in one state.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) accepted: Set,
    pub(super) dropped: Set,
    pub(super) returned: Set,
    /// Those that the rules behind do not see.
    pub(super) stopped: Set,
    /// The state of packets behind it, of those that it stops, too.
    pub(super) after: Parts<State>,
}

/// What a stretch does, for each state in which packets come to it.
type Sums = Vec<(State, Stretch)>;

impl State {
    /// At the beginning of a base chain.
    pub(super) fn of(touched: Touched) -> Self {
        Self { touched, unsure: false }
    }

    fn with_mark_unknown(self) -> Self {
        Self { touched: Touched { mark: Mark::UNKNOWN, ..self.touched }, ..self }
    }
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

    /// Takes up how packets may end that meet a statement or a verdict.
    fn meet(&mut self, effect: Effect) {
        if effect.way.may_accept() {
            self.accepted = Set::ALL;
        }
        if effect.way.may_drop() {
            self.dropped = Set::ALL;
        }
    }
}

/// Puts packets to the others in their state.
pub(super) fn add<S: PartialEq>(space: &mut Space<'_>, parts: &mut Parts<S>, state: S, set: Set) -> Bounded<()> {
    if set.is_empty() {
        return Ok(());
    }
    match parts.iter_mut().find(|(own, _)| *own == state) {
        Some((_, own)) => *own = space.sets.union(*own, set)?,
        None => parts.push((state, set)),
    }
    Ok(())
}

/// The sums of chains.
impl<'a> Flow<'_, 'a> {
    /// How a chain may end for packets that come to it in a state.
    pub(super) fn chain(
        &mut self,
        space: &mut Space<'_>,
        chain: &'a Chain,
        way: Entrance,
        state: State,
    ) -> Bounded<Rc<Stretch>> {
        let key = (std::ptr::from_ref(chain) as usize, way, state);
        if let Some(known) = self.chains.get(&key) {
            return Ok(Rc::clone(known));
        }
        // No chain may use up what the others need, and what it jumps to is not its own.
        let most = space.sets.limits().steps / SHARE;
        let (limit, steps) = (space.sets.allow(most), space.sets.steps());
        let (mark, known) = (space.sets.mark(), self.chains.len());
        let summed = self.rules_of(space, chain, way, state);
        space.sets.allow_again(limit, steps);
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
        let state = if rule.marks_by_a_test() { state.with_mark_unknown() } else { state };
        let fits = self.fits(space, &rule.matches, way, state.touched)?;
        let crowd = self.crowd(space, rule, way, state.touched)?;
        if fits.may.is_empty() {
            return Ok(Stretch { dropped: crowd, ..Stretch::nothing(state) });
        }
        let acts = self.act(space, rule, way, state)?;
        let mut after = Vec::new();
        let unmatched = space.sets.complement(fits.may)?;
        add(space, &mut after, state, unmatched)?;
        let doubted = space.sets.difference(fits.may, fits.must)?;
        // Whether packets may have left the chain is of matter only where rules do something to them.
        let matters = self.rules.touches;
        let left = if matters { space.sets.union(acts.accepted, acts.returned)? } else { Set::EMPTY };
        let left_or_not = space.sets.difference(left, acts.stopped)?;
        for &(then, set) in &acts.after {
            for (certain, concerned) in [(true, fits.must), (false, doubted)] {
                let concerned = space.sets.intersection(set, concerned)?;
                let left = if certain { left_or_not } else { left };
                for (has_left, half) in [
                    (true, space.sets.intersection(concerned, left)?),
                    (false, space.sets.difference(concerned, left)?),
                ] {
                    let mut then = then;
                    let newly = then.touched.is_astray() && !state.touched.is_astray();
                    then.touched.wavers |= newly && (then.unsure || !certain);
                    if !certain {
                        then.touched.mark = state.touched.mark.or(then.touched.mark);
                    }
                    then.unsure |= has_left;
                    add(space, &mut after, then, half)?;
                }
            }
        }
        let dropped = space.sets.intersection(acts.dropped, fits.may)?;
        Ok(Stretch {
            accepted: space.sets.intersection(acts.accepted, fits.may)?,
            dropped: space.sets.union(dropped, crowd)?,
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
        for statement in rule.effective() {
            let effect = statement.effect();
            let before = touched;
            let certain = !(next_rule || state.unsure || way.translates);
            self.rules.touch(&mut touched, effect, (way.at.tracked, certain));
            all.meet(effect);
            touched.wavers |= next_rule && touched.is_astray() && !before.is_astray();
            next_rule |= effect.may_leave;
            if !effect.way.may_go_on() {
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
                let effect = verdict.effect();
                let certain = !(next_rule || state.unsure || way.translates);
                self.rules.touch(&mut touched, effect, (way.at.tracked, certain));
                all.meet(effect);
                if effect.way.may_go_on() { Set::EMPTY } else { Set::ALL }
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

    /// Which packets may be gone at a rule for want of room, see [`Rule::up_to_a_crowd`].
    pub(super) fn crowd(&self, space: &mut Space<'_>, rule: &Rule, way: Entrance, touched: Touched) -> Bounded<Set> {
        match rule.up_to_a_crowd() {
            Some(tests) => self.fits(space, tests, way, touched).map(|fits| fits.may),
            None => Ok(Set::EMPTY),
        }
    }

    /// For which packets all these tests hold.
    pub(super) fn fits(&self, space: &mut Space<'_>, tests: &[Match], way: Entrance, touched: Touched) -> Bounded<Fit> {
        let mut all = Fit::ALWAYS;
        for one in tests {
            let own = self.fit(space, one, way, touched)?;
            all = all.and(space, own)?;
            if space.sets.intersection(all.may, self.concerned)?.is_empty() {
                return Ok(Fit::exactly(Set::EMPTY));
            }
        }
        Ok(all)
    }

    /// For which packets a test holds, after all that was done to them before.
    fn fit(&self, space: &mut Space<'_>, one: &Match, way: Entrance, touched: Touched) -> Bounded<Fit> {
        let Some(table) = self.rules.ruleset.tables.get(way.position) else { return Ok(Fit::UNKNOWN) };
        if self.rules.is_unseen(one, way.position, table, (way.at_device, way.at), touched) {
            return Ok(Fit::UNKNOWN);
        }
        if let Match::Foreign(Foreign::Mark { of: Marked::Packet, mask, value, negated }) = one {
            return Ok(Fit::of(touched.mark.holds(*mask, *value, *negated)));
        }
        if let Some(found) = self.rules.fit_of_interface(space, one, way)? {
            return Ok(found);
        }
        let as_elsewhere = fit(space, self.rules.ruleset, table, one, way.at)?;
        if !way.at_device {
            return Ok(as_elsewhere);
        }
        let Some((own, concerned)) = self.rules.fit_at_device(space, one, way.at)? else { return Ok(as_elsewhere) };
        let rest = |space: &mut Space<'_>, set: Set| space.sets.difference(set, concerned);
        let (may, must) = (rest(space, as_elsewhere.may)?, rest(space, as_elsewhere.must)?);
        Ok(Fit { may: space.sets.union(may, own.may)?, must: space.sets.union(must, own.must)? })
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
                // Nobody comes on in a state that the rules behind were not asked about; were it so, nothing would be certain.
                for own in [&mut sum.accepted, &mut sum.dropped, &mut sum.returned] {
                    *own = space.sets.union(*own, on)?;
                }
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
