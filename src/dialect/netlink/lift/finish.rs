//! What was found out of a program → rules of the IR.
//!
//! Alternatives and maps become several rules, one after the other; no packet meets more than one of them for certain.

use super::program::Program;
use crate::ir::statement::Changes;
use crate::ir::{self, Addresses, Elements, Family, Match, Statement};

/// Any of these, each a list of tests that all have to hold.
pub type Alternatives = Vec<Vec<Match>>;

/// One of the things that a map says, for those packets that these alternatives hold for.
#[derive(Clone, Debug)]
pub struct Decided {
    pub tests: Alternatives,
    pub statement: Option<Statement>,
    pub verdict: Option<ir::Verdict>,
}

/// A rule becomes at most so many by its tests.
const MOST_COMBINATIONS: usize = 64;

impl Program<'_> {
    /// The rules of what was found, see [`crate::ir::statement`].
    pub(super) fn split(mut self) -> Vec<ir::Rule> {
        let mut rules = Vec::new();
        let mut tests = bounded(std::mem::take(&mut self.tests));
        let mut done = std::mem::take(&mut self.done);
        let mut at = 0;
        while let Some((behind, statement)) = done.get(at) {
            let (behind, effect) = (*behind, statement.effect());
            let in_front = behind < tests.len() || self.decisions.is_some();
            if !in_front || effect.is_none() {
                at += 1;
                continue;
            }
            let (_, statement) = done.remove(at);
            let mut before: Vec<Alternatives> = tests.iter().take(behind).cloned().collect();
            if !matches!(effect.changes, Changes::Nothing) {
                let several = before.iter_mut().filter(|one| one.len() > 1).flatten();
                several.for_each(|one| Match::forget_mark(one));
                // The rest is done behind it, and these were asked before.
                tests.iter_mut().take(behind).flatten().for_each(|one| Match::forget_mark(one));
            }
            if effect.may_leave {
                tests.insert(behind, vec![vec![Match::Unknown(statement.name().to_owned())]]);
                done.iter_mut().filter(|(other, _)| *other > behind).for_each(|(other, _)| *other += 1);
            }
            for matches in product(&before) {
                rules.push(ir::Rule {
                    matches,
                    statements: vec![statement.clone()],
                    verdict: None,
                    ..self.rule.clone()
                });
            }
        }
        let statements: Vec<Statement> = done.into_iter().map(|(_, statement)| statement).collect();
        let mut decisions = self.decisions.take();
        self.forget_marks(&mut tests, decisions.as_deref_mut(), &statements);
        for matches in product(&tests) {
            let whole = ir::Rule { matches, statements: statements.clone(), ..self.rule.clone() };
            match &decisions {
                None => rules.push(whole),
                Some(decisions) => rules.extend(decisions.iter().flat_map(|one| by_map(&whole, one))),
            }
        }
        rules.iter_mut().for_each(|rule| self.elide(rule));
        rules
    }

    /// Of alternatives that tell packets apart by their mark a packet may meet two, where the first lets it go on with another mark.
    fn forget_marks(&self, tests: &mut [Alternatives], decisions: Option<&mut [Decided]>, statements: &[Statement]) {
        let writes = statements.iter().any(|one| !matches!(one.effect().changes, Changes::Nothing));
        let goes_on = |verdict: &Option<ir::Verdict>| verdict.as_ref().map_or(writes, |own| !own.ends());
        let on = match &decisions {
            None => goes_on(&self.rule.verdict),
            Some(decisions) => decisions.iter().any(|one| goes_on(&one.verdict) || one.statement.is_some()),
        };
        if !on {
            return;
        }
        let decided = decisions.into_iter().flatten().flat_map(|one| &mut one.tests);
        let several = tests.iter_mut().filter(|one| one.len() > 1).flatten();
        several.chain(decided).for_each(|one| Match::forget_mark(one));
    }

    /// Leaves out tests that others imply, as every text does.
    fn elide(&self, rule: &mut ir::Rule) {
        let of_family = |one: &Match| match one {
            Match::Source { addresses, .. } | Match::Destination { addresses, .. } => match addresses {
                Addresses::These(elements) => family_of(elements),
                Addresses::Set(name) => self.sets.get(name.as_str()).and_then(|set| family_of(&set.1.family())),
            },
            Match::NotDirectlyTcp | Match::FirstFragment => Some(Family::Ip6),
            _ => None,
        };
        let families: Vec<Family> = rule.matches.iter().filter_map(of_family).collect();
        let implies_tcp = |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::TcpFlags { .. });
        let tcp = rule.matches.iter().any(implies_tcp);
        rule.matches.retain(|one| match one {
            Match::Protocol { number: super::matches::TCP, negated: false } => !tcp,
            Match::Family(family) => !families.contains(family),
            _ => true,
        });
    }
}

fn family_of(elements: &Elements) -> Option<Family> {
    match elements {
        Elements::Ipv4(_) => Some(Family::Ip),
        Elements::Ipv6(_) => Some(Family::Ip6),
        Elements::Passing(these) => family_of(these),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Unknown => None,
    }
}

fn by_map<'r>(whole: &'r ir::Rule, one: &'r Decided) -> impl Iterator<Item = ir::Rule> + 'r {
    one.tests.iter().map(|tests| {
        let mut rule = ir::Rule { verdict: one.verdict.clone(), ..whole.clone() };
        rule.matches.extend(tests.iter().cloned());
        rule.statements.extend(one.statement.clone());
        rule
    })
}

/// Keeps the number of rules within bounds, at the price of knowing less. A single list of alternatives may be long.
fn bounded(mut tests: Vec<Alternatives>) -> Vec<Alternatives> {
    let several = |one: &Alternatives| one.len() > 1;
    let count = tests.iter().fold(1_usize, |count, one| count.saturating_mul(one.len()));
    if count > MOST_COMBINATIONS && tests.iter().filter(|one| several(one)).nth(1).is_some() {
        for one in tests.iter_mut().filter(|one| several(one)) {
            *one = vec![vec![Match::Unknown("one of many".to_owned())]];
        }
    }
    tests
}

fn product(tests: &[Alternatives]) -> Vec<Vec<Match>> {
    let mut all: Vec<Vec<Match>> = vec![Vec::new()];
    for alternatives in tests {
        if let [one] = alternatives.as_slice() {
            all.iter_mut().for_each(|matches| matches.extend(one.iter().cloned()));
            continue;
        }
        let joined = |matches: &Vec<Match>, more: &Vec<Match>| matches.iter().chain(more).cloned().collect();
        all = all.iter().flat_map(|matches| alternatives.iter().map(move |more| joined(matches, more))).collect();
    }
    all
}
