//! Chains that meet packets as NAT has made them, or as NAT has not put them back yet.
//!
//! Connection tracking translates a connection's packets in both directions, and takes it back at other places than it did it
//! (nf_nat_core.c): what destination NAT did at prerouting is taken back from answers at postrouting, with priority 100; what
//! source NAT did at input, at output with -100; what it did at postrouting, at prerouting with -100. Seen on Linux 6.18.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

use super::super::door::{is_amid_translation, is_before_answers_are_put_back, is_behind_source_nat};
use super::Names;
use crate::ir::statement::{Changes, Way};
use crate::ir::{Base, Chain, ChainKind, Hook, Policy, Rule, Ruleset, Statement, Table, Verdict};

/// A chain, and a rule of it.
pub type Spot<'a> = (&'a Table, &'a Chain, Option<&'a Rule>);

/// Which of these chains there are: the first of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hidden<'a> {
    /// It judges behind source NAT at postrouting, where answers of translated connections are as on the wire again.
    pub late: Option<Spot<'a>>,
    /// It judges at prerouting with the very priority of destination NAT: before it or behind it.
    pub amid: Option<Spot<'a>>,
    /// It judges before destination NAT at prerouting, where answers to what was translated are as on the wire.
    pub early: Option<Spot<'a>>,
    /// It translates sources at input. Then this host answers to others than chains before were asked about.
    pub at_input: Option<Spot<'a>>,
}

impl<'a> Hidden<'a> {
    pub fn of(ruleset: &'a Ruleset) -> Self {
        let chains = || ruleset.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let judging = |fits: fn(&Base) -> bool| {
            let found =
                chains().find(|(_, chain)| chain.base.is_some_and(|base| fits(&base) && does_more(chain, &base)));
            found.map(|(table, chain)| (table, chain, chain.rules.first()))
        };
        let at_input = |base: Base| base.kind == ChainKind::Nat && base.hook == Hook::Input;
        let mut entered = chains().filter(|(_, chain)| chain.base.is_some_and(at_input));
        Self {
            late: judging(is_behind_source_nat),
            amid: judging(is_amid_translation),
            early: judging(is_before_answers_are_put_back),
            at_input: entered.find_map(|(table, chain)| translating(table, chain)),
        }
    }

    /// Because of which it is not known how a packet, or one that was led somewhere, arrives and is answered.
    pub fn arriving(&self, led: bool) -> Option<Spot<'a>> {
        self.at_input.or(self.amid.filter(|_| led)).or(self.late.filter(|_| led))
    }

    /// Because of which it is not known how packets leave that look like another's.
    pub fn leaving(&self) -> Option<Spot<'a>> {
        self.late.or(self.early)
    }
}

fn does_more(chain: &Chain, base: &Base) -> bool {
    base.policy == Policy::Drop || !chain.rules.is_empty()
}

/// Whether rules of a table may translate where this host's own connections go to.
pub(super) fn translates_own(table: &Table) -> bool {
    let bases = table
        .chains
        .iter()
        .filter(|chain| chain.base.is_some_and(|base| base.kind == ChainKind::Nat && base.hook == Hook::Output));
    bases.into_iter().any(|chain| translating(table, chain).is_some())
}

/// The first rule that a chain leads to and that may translate.
fn translating<'a>(table: &'a Table, chain: &'a Chain) -> Option<Spot<'a>> {
    let mut seen: HashSet<&str, FxBuildHasher> = HashSet::default();
    let mut waiting = vec![chain.name.as_str()];
    // A table may have chains by the ten thousand, and a chain as many that it leads to: each is looked up by its name, where it is at all.
    let mut named: Option<Names<'a>> = None;
    while let Some(name) = waiting.pop() {
        if !seen.insert(name) {
            continue;
        }
        let chain = if seen.len() == 1 {
            chain
        } else {
            let named = named.get_or_insert_with(|| {
                // Of two with one name the first counts.
                table.chains.iter().rev().map(|chain| (chain.name.as_str(), chain)).collect()
            });
            let Some(chain) = named.get(name) else { continue };
            chain
        };
        if let Some(rule) = chain.rules.iter().find(|rule| may_translate(rule)) {
            return Some((table, chain, Some(rule)));
        }
        waiting.extend(chain.rules.iter().filter_map(|rule| match &rule.verdict {
            Some(Verdict::Jump(name) | Verdict::Goto(name)) => Some(name.as_str()),
            _ => None,
        }));
    }
    None
}

fn may_translate(rule: &Rule) -> bool {
    let unknown = matches!(rule.verdict, Some(Verdict::Unknown(_)));
    unknown
        || rule.statements.iter().any(|one| {
            let effect = one.effect();
            matches!(one, Statement::Translate(..))
                || effect.way == Way::Anything
                || effect.changes == Changes::Everything
        })
}
