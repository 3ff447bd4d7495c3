//! What becomes of a packet on its way besides a decision: whether it is copied, tracked, another one.
//!
//! INVARIANT (doubt): it only grows, but for what is known of the mark, so that what is left out of account is never more than what
//! was done. What is known of the mark changes with each rule that writes it, for packets that meet it for certain.

use super::mark::Mark;
use super::rewrite::reached;
use crate::ir::statement::{Changes, Effect, Way};
use crate::ir::{Base, Rule, Ruleset, Statement, Verdict};

/// What rules may have done to a packet on its way so far, besides deciding on it. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Touched {
    /// A copy went past the rules behind.
    pub(super) copied: bool,
    /// What is known of its mark.
    pub(super) mark: Mark,
    /// It has no connection.
    pub(super) untracked: bool,
    /// Where connection tracking has not seen it, it counts as new.
    pub(super) unseen: bool,
    /// Its connection may be another.
    pub(super) reconnected: bool,
    /// Whether tracking was kept from it, or not, is not certain.
    pub(super) wavers: bool,
    /// It is not what it was: what later rules find in it is not known.
    pub(super) changed: bool,
}

impl Touched {
    /// Whatever rules can do.
    pub(super) const ANYTHING: Self = Self {
        copied: true,
        mark: Mark::UNKNOWN,
        untracked: true,
        unseen: true,
        reconnected: true,
        wavers: true,
        changed: true,
    };

    /// Takes up what a statement or a verdict does, but for the mark.
    pub(super) fn by(&mut self, effect: Effect) {
        self.copied |= effect.way == Way::Copied;
        match effect.changes {
            Changes::Nothing | Changes::Mark(_) => {}
            Changes::Untracked => self.untracked = true,
            Changes::Unseen => self.unseen = true,
            Changes::Connection => self.reconnected = true,
            Changes::Destination | Changes::Source => self.changed = true,
            Changes::Everything => (self.changed, self.mark) = (true, Mark::UNKNOWN),
        }
    }

    /// Either of the two.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            copied: self.copied || other.copied,
            mark: self.mark.or(other.mark),
            untracked: self.untracked || other.untracked,
            unseen: self.unseen || other.unseen,
            reconnected: self.reconnected || other.reconnected,
            wavers: self.wavers || other.wavers,
            changed: self.changed || other.changed,
        }
    }

    /// Whether its connection may be in another state than it would be.
    pub(super) fn is_astray(self) -> bool {
        self.untracked || self.reconnected
    }
}

/// Whether rules that TCP may meet from such chains on keep packets from connection tracking, or take them to another connection.
/// Behind tracking they do neither (nft_notrack_eval, nft_ct_set_zone_eval). Where one of them may make another packet of it, all
/// rules there are are looked at: what it is then is not known.
pub(super) fn leads_astray(ruleset: &Ruleset, from: impl Fn(&Base) -> bool) -> bool {
    let changes = |rule: &Rule| {
        let verdict = rule.verdict.iter().map(Verdict::effect);
        let mut effects = rule.statements.iter().map(Statement::effect).chain(verdict);
        effects.any(|effect| effect.changes >= Changes::Destination)
    };
    let astray = |rule: &Rule| {
        let own = |one: &Statement| match one.effect().changes {
            Changes::Untracked | Changes::Connection => true,
            Changes::Nothing
            | Changes::Mark(_)
            | Changes::Unseen
            | Changes::Destination
            | Changes::Source
            | Changes::Everything => false,
        };
        rule.statements.iter().any(own)
    };
    let met = || ruleset.tables.iter().flat_map(|table| reached(table, &from, |_| true));
    if met().any(changes) {
        return ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules).any(astray);
    }
    met().any(astray)
}
