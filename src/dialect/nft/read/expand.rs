//! A rule that was understood → rules of the IR.
//!
//! Alternatives and maps become several rules, one after the other. No packet meets more than one of them that says something else
//! ([`maps`](super::maps) sees to that), so it does not matter that a jump comes back.

use super::draft::{Draft, Entry, Outcome, Part};
use super::selectors::{Alternatives, TCP};
use crate::dialect::read::Unknown;
use crate::ir::statement::Changes;
use crate::ir::{Addresses, Elements, Family, Foreign, Match, Place, Rule, Statement, Verdict};

/// A rule becomes at most so many by its tests.
const MOST_COMBINATIONS: usize = 64;

/// Beside a test that looks into a set, the others may have so many.
const MOST_MORE: usize = 4;

/// So many statements of a rule may stand in front of tests. Each becomes a rule with all the tests before it.
const MOST_EARLY: usize = 64;

/// Rules that stand for a longer one repeat only so much of its text.
const LONGEST_REPEATED_TEXT: usize = 400;

/// What is left for a whole text: rules that stand for another beside them.
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(1 << 17)
    }
}

/// Adds the rules that a draft stands for.
pub fn expand(mut draft: Draft, place: Place, budget: &mut Budget, rules: &mut Vec<Rule>, unknown: &mut Vec<Unknown>) {
    if draft.early().nth(MOST_EARLY).is_some() {
        draft.parts.clear();
        draft.statements.clear();
        draft.outcome = Outcome::One(Some(Verdict::Unknown(place.text.clone())));
    }
    for early in draft.split() {
        expand(early, place.clone(), budget, rules, unknown);
    }
    draft.forget_marks();
    bound(&mut draft, &place, budget);
    list_unknown(&draft, place.line, unknown);
    let Draft { parts, statements, outcome, comment } = draft;
    let verdicts = match outcome {
        Outcome::One(verdict) => vec![Entry { alternatives: vec![Vec::new()], statement: None, verdict }],
        Outcome::Map(entries) => entries,
    };
    let mut combinations: Vec<Vec<Match>> = vec![Vec::new()];
    for part in parts {
        combinations = product(combinations, &part.alternatives);
    }
    let count = combinations.len() * verdicts.iter().map(|entry| entry.alternatives.len()).sum::<usize>();
    let place = if count > 1 { Place { text: shortened(place.text), ..place } } else { place };
    let statements = statements.into_iter().map(|(_, statement)| statement).collect();
    let whole = Rule { matches: Vec::new(), statements, verdict: None, comment, place: Some(place) };
    let begin = rules.len();
    let mut impossible = None;
    for combination in combinations {
        for entry in &verdicts {
            for alternative in &entry.alternatives {
                let mut matches = combination.clone();
                matches.extend(alternative.iter().cloned());
                let mut rule = Rule { matches, verdict: entry.verdict.clone(), ..whole.clone() };
                rule.statements.extend(entry.statement.clone());
                // What its tests do is done whether those behind hold or not.
                let does = rule.up_to_a_crowd().is_some() || rule.marks_by_a_test();
                if count > 1 && !does && contradicts_itself(&rule.matches) {
                    impossible.get_or_insert(rule);
                } else {
                    rules.push(rule);
                }
            }
        }
    }
    if rules.len() == begin {
        // An empty map, or a rule that never applies: it stays to be seen.
        let nothing = Match::Unknown("an empty map".to_owned());
        rules.push(impossible.unwrap_or(Rule { matches: vec![nothing], ..whole }));
    }
}

impl Draft {
    /// The statements that stand in front of a test, or of a map, and mean something to packets.
    fn early(&self) -> impl Iterator<Item = &Statement> {
        let tests = self.tests();
        let early = move |(behind, one): &&(usize, Statement)| *behind < tests && !one.effect().is_none();
        self.statements.iter().filter(early).map(|(_, one)| one)
    }

    /// How many tests it has. What a map asks comes last.
    fn tests(&self) -> usize {
        self.parts.len() + usize::from(matches!(self.outcome, Outcome::Map(_)))
    }

    /// Takes out the statements that stand in front of a test and mean something to packets, each as a rule of its own with
    /// the tests in front of it.
    fn split(&mut self) -> Vec<Self> {
        let mut early = Vec::new();
        let mut at = 0;
        while let Some((behind, statement)) = self.statements.get(at) {
            let (behind, effect) = (*behind, statement.effect());
            if behind >= self.tests() || effect.is_none() {
                at += 1;
                continue;
            }
            let statement = self.statements.remove(at);
            let tests = self.parts.iter().take(behind).cloned().collect();
            if !matches!(effect.changes, Changes::Nothing) {
                // The rest is done behind it, and these were asked before.
                let before = self.parts.iter_mut().take(behind).flat_map(|part| &mut part.alternatives);
                before.for_each(|alternative| Match::forget_mark(alternative));
            }
            if effect.may_leave {
                let text = statement.1.name().to_owned();
                let part = Part { alternatives: vec![vec![Match::Unknown(text.clone())]], text };
                self.parts.insert(behind, part);
                self.statements.iter_mut().filter(|(other, _)| *other > behind).for_each(|(other, _)| *other += 1);
            }
            early.push(Self {
                parts: tests,
                statements: vec![(behind, statement.1)],
                outcome: Outcome::One(None),
                comment: self.comment.clone(),
            });
        }
        early
    }
}

impl Draft {
    /// Of alternatives that tell packets apart by their mark a packet may meet two, where the first lets it go on with another mark.
    fn forget_marks(&mut self) {
        let writes = self.statements.iter().any(|(_, one)| !matches!(one.effect().changes, Changes::Nothing));
        let goes_on = |verdict: &Option<Verdict>| verdict.as_ref().map_or(writes, |own| !own.ends());
        let on = match &self.outcome {
            Outcome::One(verdict) => goes_on(verdict),
            Outcome::Map(entries) => entries.iter().any(|entry| goes_on(&entry.verdict) || entry.statement.is_some()),
        };
        if !on {
            return;
        }
        if let Outcome::Map(entries) = &mut self.outcome {
            let alternatives = entries.iter_mut().flat_map(|entry| &mut entry.alternatives);
            alternatives.for_each(|alternative| Match::forget_mark(alternative));
        }
        let several = self.parts.iter_mut().filter(|part| part.alternatives.len() > 1);
        several.flat_map(|part| &mut part.alternatives).for_each(|alternative| Match::forget_mark(alternative));
    }
}

/// Keeps the number of rules within bounds, at the price of knowing less.
fn bound(draft: &mut Draft, place: &Place, budget: &mut Budget) {
    let tests = draft.parts.iter().fold(1_usize, |count, part| count.saturating_mul(part.alternatives.len()));
    // One test may look into a large set; several of them would multiply.
    let most = draft.parts.iter().map(|part| part.alternatives.len()).max().unwrap_or(1);
    if tests > most.saturating_mul(MOST_MORE).max(MOST_COMBINATIONS) || tests > budget.0 {
        for part in draft.parts.iter_mut().filter(|part| part.alternatives.len() > 1) {
            let text = std::mem::take(&mut part.text);
            *part = Part { alternatives: vec![vec![Match::Unknown(text)]], text: String::new() };
        }
    }
    let tests: usize = draft.parts.iter().map(|part| part.alternatives.len()).product();
    let verdicts = match &draft.outcome {
        Outcome::One(_) => 1,
        Outcome::Map(entries) => entries.iter().map(|entry| entry.alternatives.len()).sum(),
    };
    let count = tests.saturating_mul(verdicts);
    if count > budget.0 {
        draft.outcome = Outcome::One(Some(Verdict::Unknown(place.text.clone())));
    } else if count > 1 {
        budget.0 -= count;
    }
}

fn list_unknown(draft: &Draft, line: u32, unknown: &mut Vec<Unknown>) {
    // What of a rule for another protocol is not understood does not matter to TCP.
    if draft.parts.iter().any(|part| part.alternatives.iter().all(|one| is_not_tcp(one))) {
        return;
    }
    let mut list = |text: &str| unknown.push(Unknown { line, text: text.to_owned() });
    for part in &draft.parts {
        if let Some(text) = unknown_in(&part.alternatives) {
            list(text);
        }
    }
    match &draft.outcome {
        Outcome::One(Some(Verdict::Unknown(text))) => list(text),
        Outcome::One(_) => {}
        Outcome::Map(entries) => {
            if let Some(text) = entries.iter().find_map(|entry| unknown_in(&entry.alternatives)) {
                list(text);
            }
        }
    }
}

/// Whether no packet of TCP passes these.
fn is_not_tcp(matches: &[Match]) -> bool {
    matches.iter().any(|one| matches!(one, Match::Protocol { number, negated } if (*number == TCP) == *negated))
}

fn unknown_in(alternatives: &Alternatives) -> Option<&str> {
    alternatives.iter().filter(|one| !is_not_tcp(one)).flatten().find_map(|one| match one {
        Match::Unknown(text) => Some(text.as_str()),
        _ => None,
    })
}

fn product(left: Vec<Vec<Match>>, right: &Alternatives) -> Vec<Vec<Match>> {
    let joined = |matches: &Vec<Match>, more: &Vec<Match>| matches.iter().chain(more).cloned().collect();
    if let [one] = right.as_slice() {
        let mut left = left;
        for matches in &mut left {
            matches.extend(one.iter().cloned());
        }
        return left;
    }
    left.iter().flat_map(|matches| right.iter().map(move |more| joined(matches, more))).collect()
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST_REPEATED_TEXT) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Whether no packet can have all of this: two protocols, two families.
fn contradicts_itself(matches: &[Match]) -> bool {
    let (mut is, mut is_not, mut families) = (Vec::new(), Vec::new(), Vec::new());
    for one in matches {
        match one {
            Match::Protocol { number, negated: false } => is.push(*number),
            Match::Protocol { number, negated: true } => is_not.push(*number),
            Match::DestinationPort { .. } | Match::TcpFlags { .. } | Match::Foreign(Foreign::SourcePort { .. }) => {
                is.push(TCP);
            }
            Match::Family(family) => families.push(*family),
            Match::Source { addresses: Addresses::These(elements), .. }
            | Match::Destination { addresses: Addresses::These(elements), .. } => match elements {
                Elements::Ipv4(_) => families.push(Family::Ip),
                Elements::Ipv6(_) => families.push(Family::Ip6),
                Elements::Ports(_)
                | Elements::Endpoints(_)
                | Elements::Dual(..)
                | Elements::Passing(_)
                | Elements::Unknown => {}
            },
            Match::NotDirectlyTcp | Match::FirstFragment => families.push(Family::Ip6),
            Match::InInterface { .. }
            | Match::Source { addresses: Addresses::Set(_), .. }
            | Match::Destination { addresses: Addresses::Set(_), .. }
            | Match::ConnectionState { .. }
            | Match::PortBlock(_)
            | Match::FlagBit { .. }
            | Match::DestinationTranslated
            | Match::OriginalPort(_)
            | Match::DestinationLocal
            | Match::DestinationOfInterface
            | Match::PerhapsDirectlyTcp
            | Match::PacketType { .. }
            | Match::Foreign(_)
            | Match::Limit { .. }
            | Match::Unknown(_) => {}
        }
    }
    let differ = |list: &[u8]| list.windows(2).any(|pair| matches!(pair, [a, b] if a != b));
    differ(&is)
        || is.iter().any(|number| is_not.contains(number))
        || (families.contains(&Family::Ip) && families.contains(&Family::Ip6))
}
