//! One packet's way through a base chain.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::super::holds::{At, Holds};
use super::super::mark::Mark;
use super::super::packet::Packet;
use super::super::stretch::Entrance;
use super::super::touched::Touched;
use super::{Rules, Step};
use crate::ir::statement::Effect;
use crate::ir::{Chain, Match, Rule, Table, Verdict};

/// How a chain may end for a packet: a set of possibilities.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) accepted: bool,
    pub(super) dropped: bool,
    /// The end of the chain, or `return`: back to whoever jumped.
    pub(super) returned: bool,
}

impl Ends {
    fn or(self, other: Self) -> Self {
        Self {
            accepted: self.accepted || other.accepted,
            dropped: self.dropped || other.dropped,
            returned: self.returned || other.returned,
        }
    }
}

/// What chains that were gone through so far did, for one packet and one table: by how it came to them, how they end, and how it
/// left them. Without it, a few chains that jump to each other several times would take time without bound.
pub(super) type Known<'a> = HashMap<(&'a str, Touched, bool), (Ends, Touched, bool), FxBuildHasher>;

pub(super) struct Run<'r, 'a, 'p> {
    pub(super) rules: &'r Rules<'a>,
    pub(super) position: usize,
    pub(super) table: &'a Table,
    pub(super) packet: &'p Packet,
    /// Before the packet was given to the bridge, or to the device on this one, that it is for.
    pub(super) at_device: bool,
    /// Whether the chain is for NAT: only the first packet of a connection meets it, and that by what each rule leaves of it.
    pub(super) translates: bool,
    pub(super) at: At,
    /// Whether the packet may not have come this far in its chain.
    pub(super) unsure: bool,
    pub(super) touched: Touched,
    pub(super) known: Known<'a>,
    pub(super) steps: Option<Vec<Step<'a>>>,
}

impl<'a> Run<'_, 'a, '_> {
    /// Goes through a base chain: what was done to the packet, how the chain may end, and which rules had a say.
    pub(super) fn enter(mut self, chain: &'a Chain) -> (Touched, Ends, Option<Vec<Step<'a>>>) {
        let ends = self.chain(chain);
        if ends.returned {
            self.note(chain, None, !ends.accepted && !ends.dropped);
        }
        (self.touched, ends, self.steps)
    }

    /// The loop: rule by rule, the first that decides ends it. Where it is unknown whether a rule applies, both go on.
    /// INVARIANT (jumps): readers and the compiler make no circles, and no jumps deeper than the kernel follows.
    fn chain(&mut self, chain: &'a Chain) -> Ends {
        let mut possible = Ends::default();
        for rule in &chain.rules {
            if rule.marks_by_a_test() {
                self.touched.mark = Mark::UNKNOWN;
            }
            let applies = self.applies(&rule.matches);
            let crowd = rule.up_to_a_crowd().is_some_and(|tests| self.applies(tests) != Holds::No);
            possible.dropped |= crowd;
            if applies == Holds::No {
                if crowd {
                    self.note(chain, Some(rule), false);
                }
                continue;
            }
            self.note(chain, Some(rule), applies == Holds::Yes);
            let before = self.touched;
            let (ends, goes_on) = self.act(rule);
            let astray = self.touched.is_astray() && !before.is_astray();
            self.touched.wavers |= astray && (self.unsure || applies == Holds::Unknown);
            if applies == Holds::Unknown {
                self.touched.mark = before.mark.or(self.touched.mark);
            }
            self.unsure |= (applies == Holds::Unknown || goes_on) && (ends.accepted || ends.returned);
            possible = possible.or(ends);
            if applies == Holds::Yes && !goes_on {
                return possible;
            }
        }
        Ends { returned: true, ..possible }
    }

    /// What a rule that applies does: how the chain may end by it, and whether the next rule may have its turn.
    fn act(&mut self, rule: &'a Rule) -> (Ends, bool) {
        let mut possible = Ends::default();
        let mut next_rule = false;
        for statement in rule.effective() {
            let effect = statement.effect();
            let before = self.touched;
            let (ends, goes_on) = self.meet(effect, !next_rule);
            self.touched.wavers |= next_rule && self.touched.is_astray() && !before.is_astray();
            possible = possible.or(ends);
            next_rule |= effect.may_leave;
            if !goes_on {
                return (possible, next_rule);
            }
        }
        let (ends, goes_on) = match &rule.verdict {
            None => (Ends::default(), true),
            Some(Verdict::Return) => (Ends { returned: true, ..Ends::default() }, false),
            Some(Verdict::Jump(name)) => {
                let below = self.target(name);
                (Ends { returned: false, ..below }, below.returned)
            }
            Some(Verdict::Goto(name)) => (self.target(name), false),
            Some(verdict @ (Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Unknown(_))) => {
                self.meet(verdict.effect(), !next_rule)
            }
        };
        (possible.or(ends), goes_on || next_rule)
    }

    /// What a packet meets: how the chain may end by it, and whether what stands behind may have its turn. `certain` is whether it
    /// meets it if its rule applies.
    fn meet(&mut self, effect: Effect, certain: bool) -> (Ends, bool) {
        let certain = certain && !self.unsure && !self.translates;
        self.rules.touch(&mut self.touched, effect, (self.at.tracked, certain));
        let ends = Ends { accepted: effect.way.may_accept(), dropped: effect.way.may_drop(), returned: false };
        (ends, effect.way.may_go_on())
    }

    fn target(&mut self, name: &'a str) -> Ends {
        let before = (name, self.touched, self.unsure);
        if let Some((ends, touched, unsure)) = self.known.get(&before) {
            (self.touched, self.unsure) = (*touched, *unsure);
            return *ends;
        }
        let ends = match self.rules.names.get(self.position).and_then(|names| names.get(name)) {
            Some(chain) => self.chain(chain),
            // Readers refuse this; were it to happen, nothing would be certain.
            None => Ends { accepted: true, dropped: true, returned: true },
        };
        self.known.insert(before, (ends, self.touched, self.unsure));
        ends
    }

    /// Whether all these tests hold.
    fn applies(&self, tests: &[Match]) -> Holds {
        let mut all = Holds::Yes;
        for one in tests {
            match self.holds(one) {
                Holds::No => return Holds::No,
                Holds::Unknown => all = Holds::Unknown,
                Holds::Yes => {}
            }
        }
        all
    }

    /// Whether a test holds, after all that was done to the packet before.
    fn holds(&self, one: &Match) -> Holds {
        let (position, at_device, translates, at) = (self.position, self.at_device, self.translates, self.at);
        let way = Entrance { position, at_device, translates, at };
        self.rules.holds(one, self.table, way, self.touched, self.packet)
    }

    fn note(&mut self, chain: &'a Chain, rule: Option<&'a Rule>, certain: bool) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { table: self.table, chain, rule, certain });
        }
    }
}
