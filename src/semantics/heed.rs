//! How far back what chains did to a packet is of matter where it comes now.
//!
//! What comes to a door is taken as it is there, so of translation nothing is left of what chains before did to it; of marks only those
//! bits are of matter that somebody asks for. Chains that do no more than decide, translate and write other bits need not be gone
//! through, unless one that does more comes behind them: their sums need not be made.
//!
//! INVARIANT (doubt): whatever may do more than to decide, to translate and to mark is gone through, with all that comes before it.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

use super::evaluate::{Entry, Rules};
use super::flow::same_turn;
use crate::ir::statement::{Changes, Effect, Marking, Way};
use crate::ir::{Base, Chain, Foreign, Marked, Match, Rule, Statement, Table, Verdict};

/// What the rules that a base chain leads to do with marks, and whether they leave more of what they did.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    /// The bits that they ask for.
    asks: u32,
    /// The bits that they may change.
    writes: u32,
    /// Whether more than marks and translation may be left of it.
    leaves: bool,
}

impl Own {
    fn with(self, other: Self) -> Self {
        Self { asks: self.asks | other.asks, writes: self.writes | other.writes, leaves: self.leaves || other.leaves }
    }
}

/// The same of each base chain, in the order of [`Rules::bases`].
pub(super) struct Heeding(Vec<Own>);

impl Heeding {
    /// Looks at all rules.
    pub(super) fn of(rules: &Rules<'_>) -> Self {
        let marks_are_followed = rules.marks_are_followed();
        let of_rule = |rule: &Rule| of_rule(rule, marks_are_followed);
        let tables: Vec<HashMap<usize, Own, FxBuildHasher>> =
            rules.ruleset.tables.iter().map(|table| of_bases(table, &of_rule)).collect();
        let own = |(position, _, chain, _): &Entry<'_>| {
            let known = tables.get(*position).and_then(|table| table.get(&place(chain)));
            known.copied().unwrap_or(Own { asks: u32::MAX, writes: u32::MAX, leaves: true })
        };
        Self(rules.bases.iter().map(own).collect())
    }

    /// How many of the base chains that a door `follows` have to be gone through, for what chains that are `asked` there can tell: the
    /// first so many of all.
    pub(super) fn most(
        &self,
        rules: &Rules<'_>,
        follows: impl Fn(&Base) -> bool,
        asked: impl Fn(&Base) -> bool,
    ) -> usize {
        let all = || rules.bases.iter().zip(&self.0).enumerate();
        let bits = all().filter(|(_, ((.., base), _))| asked(base)).fold(0, |bits, (_, (_, own))| bits | own.asks);
        let matters = |own: &Own| own.leaves || own.writes & bits != 0;
        let last = all().filter(|(_, ((.., base), own))| follows(base) && matters(own)).map(|(at, _)| at).last();
        let Some(last) = last else { return 0 };
        // Of those with one turn each may be last.
        let turn = rules.bases.get(last);
        let beside = rules.bases.iter().skip(last).take_while(|entry| turn.is_some_and(|own| same_turn(own, entry)));
        last + beside.count()
    }
}

/// What a rule does besides deciding and translating.
fn of_rule(rule: &Rule, marks_are_followed: bool) -> Own {
    let mut own = Own::default();
    let effects = rule.statements.iter().map(Statement::effect).chain(rule.verdict.as_ref().map(Verdict::effect));
    for Effect { way, changes, .. } in effects {
        own.leaves |= match way {
            Way::On | Way::Accepted | Way::Dropped | Way::Decided => false,
            Way::Copied | Way::Anything => true,
        };
        match changes {
            Changes::Nothing | Changes::Destination | Changes::Source => {}
            Changes::Mark(Marking::Bits { keep, flip }) if marks_are_followed => own.writes |= !keep | flip,
            Changes::Mark(_) => own.writes = u32::MAX,
            Changes::Untracked | Changes::Unseen | Changes::Connection | Changes::Everything => own.leaves = true,
        }
    }
    if rule.marks_by_a_test() {
        own.writes = u32::MAX;
    }
    own.asks = rule.matches.iter().fold(0, |bits, one| bits | asked_bits(one));
    own
}

/// The bits of a packet's mark that a test asks for.
fn asked_bits(one: &Match) -> u32 {
    match one {
        Match::Foreign(Foreign::Mark { of: Marked::Packet, mask, .. }) => *mask,
        Match::Foreign(
            Foreign::Mark { of: Marked::Connection, .. }
            | Foreign::WayBack { .. }
            | Foreign::Device { .. }
            | Foreign::Hung(_)
            | Foreign::SourcePort { .. }
            | Foreign::Direction { .. }
            | Foreign::Translated { .. }
            | Foreign::ExtensionHeader(_)
            | Foreign::DestinationType { .. }
            | Foreign::SourceType { .. }
            | Foreign::LaterFragment { .. }
            | Foreign::Endpoint { .. }
            | Foreign::Group { .. }
            | Foreign::PartOfVrf { .. }
            | Foreign::Varies { .. },
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
        | Match::Unknown(_) => 0,
    }
}

/// What the rules do that the base chains of a table lead to, by the chains' places in memory.
fn of_bases(table: &Table, of_rule: &impl Fn(&Rule) -> Own) -> HashMap<usize, Own, FxBuildHasher> {
    // Of chains of one name a jump goes to the last.
    let names: HashMap<&str, &Chain, FxBuildHasher> =
        table.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect();
    let alone: HashMap<usize, Own, FxBuildHasher> = table
        .chains
        .iter()
        .map(|chain| (place(chain), chain.rules.iter().map(of_rule).fold(Own::default(), Own::with)))
        .collect();
    let reached = |base: &Chain| {
        let mut all = Own::default();
        let mut seen: HashSet<usize, FxBuildHasher> = HashSet::default();
        let mut waiting = vec![base];
        while let Some(chain) = waiting.pop() {
            if !seen.insert(place(chain)) {
                continue;
            }
            all = all.with(alone.get(&place(chain)).copied().unwrap_or_default());
            for rule in &chain.rules {
                if let Some(Verdict::Jump(to) | Verdict::Goto(to)) = &rule.verdict {
                    match names.get(to.as_str()) {
                        Some(target) => waiting.push(target),
                        // Nothing is certain then.
                        None => all.leaves = true,
                    }
                }
            }
        }
        all
    };
    table.chains.iter().filter(|chain| chain.base.is_some()).map(|base| (place(base), reached(base))).collect()
}

fn place(chain: &Chain) -> usize {
    std::ptr::from_ref(chain) as usize
}
