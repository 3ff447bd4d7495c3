//! Chains that meet packets as NAT has made them, or as NAT has not put them back yet.
//!
//! Connection tracking translates a connection's packets in both directions, and takes it back at other places than it did it
//! (nf_nat_core.c): what destination NAT did at prerouting is taken back from answers at postrouting, with priority 100; what
//! source NAT did at input, at output with -100; what it did at postrouting, at prerouting with -100. Seen on Linux 6.18.

use std::collections::HashSet;

use super::super::door::{is_amid_translation, is_before_answers_are_put_back, is_behind_source_nat};
use crate::ir::statement::{Changes, Way};
use crate::ir::{Base, Chain, ChainKind, Hook, Policy, Rule, Ruleset, Statement, Table, Verdict};

/// Which of these chains there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Some judge behind source NAT at postrouting, where answers of translated connections are as on the wire again.
    pub late: bool,
    /// Some judge at prerouting with the very priority of destination NAT: before it or behind it.
    pub amid: bool,
    /// Some judge before destination NAT at prerouting, where answers to what was translated are as on the wire.
    pub early: bool,
    /// Some translate sources at input. Then this host answers to others than chains before were asked about.
    pub at_input: bool,
}

impl Hidden {
    pub fn of(ruleset: &Ruleset) -> Self {
        let chains = || ruleset.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let judging = |fits: fn(&Base) -> bool| {
            chains().any(|(_, chain)| chain.base.is_some_and(|base| fits(&base) && does_more(chain, &base)))
        };
        let at_input = |base: Base| base.kind == ChainKind::Nat && base.hook == Hook::Input;
        Self {
            late: judging(is_behind_source_nat),
            amid: judging(is_amid_translation),
            early: judging(is_before_answers_are_put_back),
            at_input: chains().any(|(table, chain)| chain.base.is_some_and(at_input) && translates(table, chain)),
        }
    }
}

fn does_more(chain: &Chain, base: &Base) -> bool {
    base.policy == Policy::Drop || !chain.rules.is_empty()
}

/// Whether a rule that a chain leads to may translate.
fn translates(table: &Table, chain: &Chain) -> bool {
    let (mut seen, mut waiting) = (HashSet::new(), vec![chain]);
    while let Some(chain) = waiting.pop() {
        if !seen.insert(chain.name.as_str()) {
            continue;
        }
        if chain.rules.iter().any(may_translate) {
            return true;
        }
        for rule in &chain.rules {
            if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict {
                waiting.extend(table.chains.iter().find(|other| other.name == *name));
            }
        }
    }
    false
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
