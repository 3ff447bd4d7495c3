//! Which chains ask for what chains before may have done to a packet.
//!
//! Where rules do no more than to mark packets and to translate them, marks are all that is left of it at a door, for what comes
//! there is taken as it is there. Chains that ask for no mark then need not be told what came before, and the sums of all that
//! came before need not be made.
//!
//! INVARIANT (doubt): whatever is not known to ask for no mark asks for one.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use super::evaluate::Rules;
use crate::ir::statement::{Changes, Effect, Way};
use crate::ir::{Base, Chain, Foreign, Match, Rule, Table, Verdict};

/// The base chains that may ask for marks, by their place in memory; `None` where more than marks may be left of what chains did.
pub(super) struct Heeding(Option<HashSet<usize, FxBuildHasher>>);

impl Heeding {
    /// Looks at all rules.
    pub(super) fn of(rules: &Rules<'_>) -> Self {
        let tables = &rules.ruleset.tables;
        let all = || tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        if !all().all(only_marks) {
            return Self(None);
        }
        Self(Some(tables.iter().flat_map(asking).collect()))
    }

    /// Whether some of these base chains have to be told what was done before.
    pub(super) fn heed(&self, rules: &Rules<'_>, asked: impl Fn(&Base) -> bool) -> bool {
        let Some(asking) = &self.0 else { return true };
        rules.bases.iter().any(|(_, _, chain, base)| asked(base) && asking.contains(&place(chain)))
    }
}

/// Whether a rule does no more to a packet than to decide on it, to mark it and to translate it.
fn only_marks(rule: &Rule) -> bool {
    let harmless = |effect: Effect| {
        let way = match effect.way {
            Way::On | Way::Accepted | Way::Dropped | Way::Decided => true,
            Way::Copied | Way::Anything => false,
        };
        way && match effect.changes {
            Changes::Nothing | Changes::Mark(_) | Changes::Destination | Changes::Source => true,
            Changes::Untracked | Changes::Unseen | Changes::Connection | Changes::Everything => false,
        }
    };
    rule.statements.iter().all(|one| harmless(one.effect()))
        && rule.verdict.as_ref().is_none_or(|verdict| harmless(verdict.effect()))
}

/// The base chains of a table that may ask for marks, or lead to a chain that may.
fn asking(table: &Table) -> Vec<usize> {
    let asks = |chain: &&Chain| chain.rules.iter().any(|rule| rule.matches.iter().any(may_heed_marks));
    let mut found: HashSet<&str, FxBuildHasher> =
        table.chains.iter().filter(asks).map(|chain| chain.name.as_str()).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let mut from: HashMap<&str, Vec<&str>, FxBuildHasher> = HashMap::default();
    for chain in &table.chains {
        for rule in &chain.rules {
            if let Some(Verdict::Jump(to) | Verdict::Goto(to)) = &rule.verdict {
                from.entry(to).or_default().push(&chain.name);
            }
        }
    }
    let mut waiting: Vec<&str> = found.iter().copied().collect();
    while let Some(name) = waiting.pop() {
        for &before in from.get(name).into_iter().flatten() {
            if found.insert(before) {
                waiting.push(before);
            }
        }
    }
    let bases = table.chains.iter().filter(|chain| chain.base.is_some() && found.contains(chain.name.as_str()));
    bases.map(place).collect()
}

fn may_heed_marks(one: &Match) -> bool {
    match one {
        Match::Foreign(Foreign::Mark { .. } | Foreign::WayBack { .. }) => true,
        Match::Foreign(
            Foreign::Device { .. }
            | Foreign::SourcePort { .. }
            | Foreign::Direction { .. }
            | Foreign::Translated { .. }
            | Foreign::ExtensionHeader(_)
            | Foreign::DestinationType { .. }
            | Foreign::SourceType { .. }
            | Foreign::LaterFragment { .. }
            | Foreign::Endpoint { .. },
        )
        | Match::InInterface { .. }
        | Match::Source { .. }
        | Match::Destination { .. }
        | Match::Family(_)
        | Match::Protocol { .. }
        | Match::ConnectionState { .. }
        | Match::DestinationPort { .. }
        | Match::PortBlock(_)
        | Match::FlagBit { .. }
        | Match::TcpFlags { .. }
        | Match::DestinationTranslated
        | Match::OriginalPort(_)
        | Match::DestinationLocal
        | Match::DestinationOfInterface
        | Match::PacketType { .. }
        | Match::NotDirectlyTcp
        | Match::PerhapsDirectlyTcp
        | Match::FirstFragment
        | Match::Limit { .. }
        | Match::Unknown(_) => false,
    }
}

fn place(chain: &Chain) -> usize {
    std::ptr::from_ref(chain) as usize
}
