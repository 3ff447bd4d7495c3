//! Which tables have to let the admitted through, and where: found on the rules as they stand, and judged on the rules as they will
//! be, before anything is written.
//!
//! INVARIANT (as much as needed): a way through is only made where somebody who is admitted is dropped for certain, by what drops all
//! that is left. What is dropped by a rule of its own stays dropped, and is said.

use std::net::IpAddr;

use super::means::Means;
use super::spots::{Spot, asks_only, spots, spots_through};
use crate::cluster::{Site, Through};
use crate::compile::{Opened, opened};
use crate::ir::ours::has_part;
use crate::ir::{Chain, Leg, Match, Opening, Rule, Ruleset, Set, Table, ours};
use crate::net::{Interface, Surroundings};
use crate::semantics::TooLarge;
use crate::verify::{Answer, By, Direction, Reached, Stage, Who, whole, whole_beside};

/// What is to be put into a table, or is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The table's position among all.
    pub table: usize,
    /// By what it is put there.
    pub means: Means,
    /// Chains and sets.
    pub opened: Opened,
    /// From where the chains are led to and are not yet; positions are those before any of it.
    pub leads: Vec<(Leg, Spot)>,
    /// Rules that lead there from where it is not right: what has come behind them since would be overruled.
    pub misplaced: Vec<Spot>,
    /// Whether chains or sets have to be written.
    pub writes: bool,
}

impl Part {
    /// Whether it is there as it is to be.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.writes && self.leads.is_empty() && self.misplaced.is_empty()
    }
}

/// What there is to do, and what comes of it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// By table.
    pub parts: Vec<Part>,
    /// Tables that have something of ours and are to have nothing.
    pub stale: Vec<usize>,
    /// The answers of the whole host then.
    pub answers: Vec<Answer>,
}

/// Each round opens what blocks, or leaves out who is dropped by rules of their own.
const ROUNDS: usize = 64;
/// Of a cluster with more nodes than this a round takes long, and ends the search where all answers were blocked by the same rules in so
/// many of them, one after the other, without anything to open: leaving one source out after the other would not end.
const MANY: usize = 10_000;
const ALIKE: usize = 8;

/// Finds the places on all rules of a host. `means` has one entry for each table.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn place(
    ruleset: &Ruleset,
    means: &[Means],
    through: Through,
    openings: &[Opening],
    site: &Site<'_>,
    surroundings: &Surroundings,
) -> Result<Placed, TooLarge> {
    // The guard would hide what becomes of those whom it does not admit yet, or no more.
    let mut ahead = without_guard(ruleset);
    let mut parts: Vec<Part> = Vec::new();
    let mut stale = Vec::new();
    for (at, table) in ruleset.tables.iter().enumerate() {
        let legs = legs_in(table);
        if legs.is_empty() {
            continue;
        }
        let means = means.get(at).copied().unwrap_or(Means::Nobody);
        if openings.is_empty() || !means.is_chosen(through) {
            stale.push(at);
            continue;
        }
        let opened = opened(openings, table.family, means.shape(), &legs);
        let writes = !holds(table, ruleset, &opened);
        let misplaced = misplaced(table, &legs);
        parts.push(Part { table: at, means, opened, leads: Vec::new(), misplaced, writes });
    }
    for at in &stale {
        ahead.tables.get_mut(*at).into_iter().for_each(take_out);
    }
    for part in &parts {
        put(&mut ahead, part.table, &part.opened);
        for spot in part.misplaced.iter().rev() {
            let chain = ahead.tables.get_mut(part.table).and_then(|table| chain_mut(table, &spot.chain));
            if let Some(chain) = chain.filter(|chain| spot.at < chain.rules.len()) {
                chain.rules.remove(spot.at);
            }
        }
    }
    let mut answers = whole(&ahead, site, surroundings)?;
    let routed = surroundings.is_known();
    let mut known: Vec<IpAddr> = Vec::new();
    let (mut reasons, mut alike) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut found = false;
        let before = known.len();
        for blocked in answers.iter().filter_map(blocked_at) {
            for at in named(&ahead, blocked.by) {
                let own = means.get(at).copied().unwrap_or(Means::Nobody);
                if own.is_chosen(through) {
                    found |= lead(&mut ahead, ruleset, &mut parts, (at, own, &blocked), routed, openings);
                }
            }
        }
        if !found {
            // Who is dropped by a rule of his own must not hide who else is dropped, and by what.
            known.extend(answers.iter().filter_map(blocked_for_certain));
            known.sort_unstable();
            known.dedup();
            let now: Vec<Option<By>> = answers.iter().map(|answer| reason(answer).cloned()).collect();
            alike = if now == reasons { alike + 1 } else { 0 };
            reasons = now;
            if known.len() == before || (alike >= ALIKE && site.cluster().nodes().len() > MANY) {
                break;
            }
        }
        answers = whole_beside(&ahead, site, surroundings, &known)?;
    }
    for (table, guarded) in ahead.tables.iter_mut().zip(&ruleset.tables).filter(|(_, table)| has_part(table)) {
        table.clone_from(guarded);
    }
    let answers = whole(&ahead, site, surroundings)?;
    Ok(Placed { parts, stale, answers })
}

/// The same tables without any part of the guard.
fn without_guard(ruleset: &Ruleset) -> Ruleset {
    let mut bare = ruleset.clone();
    for table in bare.tables.iter_mut().filter(|table| has_part(table)) {
        if ours::is_table(table) {
            table.chains.clear();
        }
        ours::take_guard_out(table);
    }
    bare
}

/// The ways for which a table has a chain of ours.
fn legs_in(table: &Table) -> Vec<Leg> {
    [Leg::In, Leg::Out].into_iter().filter(|leg| chain_of(table, *leg).is_some()).collect()
}

fn chain_of(table: &Table, leg: Leg) -> Option<&Chain> {
    let name = Opened::chain(leg);
    table.chains.iter().find(|chain| chain.name == name)
}

/// Somebody who is admitted is dropped on a way that can be opened.
pub(super) struct Blocked<'a> {
    leg: Leg,
    /// By what.
    pub by: &'a By,
    /// Where it came in.
    interface: Option<&'a Interface>,
}

/// Whether that is so.
pub(super) fn blocked_at(answer: &Answer) -> Option<Blocked<'_>> {
    let Reached::Blocked(shown) = &answer.reached else { return None };
    let by = shown.by.as_ref().filter(|by| !by.is_ours())?;
    let leg = match (&answer.who, answer.direction, by.stage) {
        (Who::Others, ..) => return None,
        (_, Direction::In, Stage::In) => Leg::In,
        (_, Direction::Out, Stage::Out) => Leg::Out,
        (_, Direction::In | Direction::Out, Stage::In | Stage::Translation | Stage::Out) => return None,
    };
    Some(Blocked { leg, by, interface: shown.packet.interface.as_ref() })
}

impl Blocked<'_> {
    /// Whether it comes to a spot of the way. Where routes do not tell on which interface somebody comes in, the next may take another.
    fn comes_to(&self, spot: &Spot, routed: bool) -> bool {
        !routed
            || spot.on.iter().all(|one| match one {
                Match::InInterface { names, negated } => {
                    self.interface.is_some_and(|own| names.contains(own)) != *negated
                }
                _ => false,
            })
    }
}

/// The other side of somebody who is admitted and dropped.
fn blocked_for_certain(answer: &Answer) -> Option<IpAddr> {
    match (&answer.who, &answer.reached) {
        (Who::Peers | Who::PeersOf(_) | Who::Client(_), Reached::Blocked(shown)) => Some(shown.packet.source),
        _ => None,
    }
}

/// By what.
fn reason(answer: &Answer) -> Option<&By> {
    match &answer.reached {
        Reached::Blocked(shown) => shown.by.as_ref(),
        _ => None,
    }
}

/// The tables of that name: iptables-legacy and nf_tables may both have one.
pub(super) fn named(ruleset: &Ruleset, by: &By) -> Vec<usize> {
    let is_it = |table: &Table| format!("{} {}", table.family.name(), table.name) == by.table;
    let has = |table: &Table| is_it(table) && table.chains.iter().any(|chain| chain.name == by.chain);
    ruleset.tables.iter().enumerate().filter(|(_, table)| has(table)).map(|(at, _)| at).collect()
}

/// Leads from the spots of a table to our chain. Says whether there was one that does not lead there yet.
fn lead(
    ahead: &mut Ruleset,
    before: &Ruleset,
    parts: &mut Vec<Part>,
    (at, means, blocked): (usize, Means, &Blocked<'_>),
    routed: bool,
    openings: &[Opening],
) -> bool {
    let Some(table) = ahead.tables.get(at) else { return false };
    let (family, leg) = (table.family, blocked.leg);
    let is_new = |spot: &Spot| blocked.comes_to(spot, routed) && !leads_there(table, spot, leg);
    let mut new = spots_through(table, leg, Some(&blocked.by.chain));
    new.retain(is_new);
    if new.is_empty() {
        return false;
    }
    let place = parts.iter().position(|part| part.table == at).unwrap_or_else(|| {
        let (opened, leads, misplaced) = (Opened::default(), Vec::new(), Vec::new());
        parts.push(Part { table: at, means, opened, leads, misplaced, writes: true });
        parts.len() - 1
    });
    let Some(part) = parts.get_mut(place) else { return false };
    let mut legs: Vec<Leg> = [Leg::In, Leg::Out]
        .into_iter()
        .filter(|one| part.opened.chains.iter().any(|chain| chain.name == Opened::chain(*one)))
        .collect();
    if !legs.contains(&leg) {
        legs.push(leg);
        part.opened = opened(openings, family, means.shape(), &legs);
        part.writes = true;
        put(ahead, at, &part.opened);
    }
    // Behind the last one first, so that positions stay what they are.
    for spot in new.iter().rev() {
        let Some(chain) = ahead.tables.get_mut(at).and_then(|table| chain_mut(table, &spot.chain)) else { continue };
        let here = spot.at.min(chain.rules.len());
        chain.rules.insert(here, Opened::jump(leg, &spot.on));
        // As it was before anything came to it, or was taken from it: what was read has a place.
        let came = |rule: &&Rule| rule.place.is_none() && rule.verdict == Opened::jump(leg, &[]).verdict;
        let later = chain.rules.get(here + 1..).unwrap_or_default();
        let behind = later.len() - later.iter().filter(came).count();
        let old = before.tables.get(at).and_then(|table| table.chains.iter().find(|chain| chain.name == spot.chain));
        let at = old.map_or(here, |old| position_before(old, behind, &part.misplaced));
        part.leads.push((leg, Spot { at, ..spot.clone() }));
    }
    true
}

/// The position in a chain, as it was, behind which so many of its rules stand that stay.
fn position_before(old: &Chain, behind: usize, misplaced: &[Spot]) -> usize {
    let goes = |at: usize| misplaced.iter().any(|spot| spot.chain == old.name && spot.at == at);
    let mut left = behind;
    let mut at = old.rules.len();
    while at > 0 && left > 0 {
        at -= 1;
        if !goes(at) {
            left -= 1;
        }
    }
    at
}

/// Rules that lead to our chains, of each chain in which one does not stand right before what drops the rest: iptables names them by their
/// words, which are the same for all of them.
fn misplaced(table: &Table, legs: &[Leg]) -> Vec<Spot> {
    let mut wrong = Vec::new();
    for leg in legs {
        let is_ours = |rule: &Rule| rule.verdict == Opened::jump(*leg, &[]).verdict;
        let mut plain = table.clone();
        plain.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !is_ours(rule)));
        let right = spots(&plain, *leg);
        for chain in &table.chains {
            let ours: Vec<usize> =
                chain.rules.iter().enumerate().filter(|(_, rule)| is_ours(rule)).map(|(at, _)| at).collect();
            let is_right = |(before, at): (usize, &usize)| {
                let rule = chain.rules.get(*at);
                // A second one at the same place is one too many.
                let again = at.checked_sub(1).is_some_and(|at| ours.contains(&at));
                let here = |spot: &Spot| {
                    spot.chain == chain.name
                        && spot.at == at - before
                        && rule.is_some_and(|rule| asks_only(rule, &spot.on))
                };
                !again && right.iter().any(here)
            };
            if !ours.iter().enumerate().all(is_right) {
                wrong.extend(ours.iter().map(|at| Spot { chain: chain.name.clone(), at: *at, on: Vec::new() }));
            }
        }
    }
    wrong.sort_by(|a, b| (&a.chain, a.at).cmp(&(&b.chain, b.at)));
    wrong
}

/// Whether the rule right before a spot leads to our chain.
fn leads_there(table: &Table, spot: &Spot, leg: Leg) -> bool {
    let chain = table.chains.iter().find(|chain| chain.name == spot.chain);
    let before = chain.and_then(|chain| chain.rules.get(..spot.at)?.last());
    before.is_some_and(|rule| rule.verdict == Opened::jump(leg, &[]).verdict && asks_only(rule, &spot.on))
}

fn chain_mut<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Chain> {
    table.chains.iter_mut().find(|chain| chain.name == name)
}

/// The ruleset with these in a table, whatever it had of them.
fn put(ruleset: &mut Ruleset, at: usize, opened: &Opened) {
    let Some(table) = ruleset.tables.get_mut(at) else { return };
    table.chains.retain(|chain| !ours::is_open(&chain.name));
    table.chains.splice(0..0, opened.chains.iter().cloned());
    table.sets.retain(|set| !ours::is_open(&set.name));
    table.sets.extend(opened.sets.iter().cloned());
}

/// The table without anything of ours.
pub fn take_out(table: &mut Table) {
    let leads = |rule: &Rule| [Leg::In, Leg::Out].into_iter().any(|leg| rule.verdict == Opened::jump(leg, &[]).verdict);
    table.chains.retain(|chain| !ours::is_open(&chain.name));
    table.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !leads(rule)));
    table.sets.retain(|set| !ours::is_open(&set.name));
}

/// Whether a table has chains and sets that say the same.
fn holds(table: &Table, ruleset: &Ruleset, wanted: &Opened) -> bool {
    let same_rules = |chain: &Chain| {
        let there = table.chains.iter().find(|own| own.name == chain.name);
        there.is_some_and(|there| {
            there.rules.len() == chain.rules.len() && there.rules.iter().zip(&chain.rules).all(|(a, b)| same(a, b))
        })
    };
    let same_set = |set: &Set| {
        let mut there = table.sets.iter().chain(&ruleset.sets);
        there.find(|own| own.name == set.name).is_some_and(|own| own.elements == set.elements)
    };
    let is_wanted = |name: &str| {
        wanted.sets.iter().any(|set| set.name == name) || wanted.chains.iter().any(|chain| chain.name == name)
    };
    let names = table.sets.iter().map(|set| &set.name).chain(table.chains.iter().map(|chain| &chain.name));
    let nothing_more = names.filter(|name| ours::is_open(name)).all(|name| is_wanted(name));
    nothing_more && wanted.chains.iter().all(same_rules) && wanted.sets.iter().all(same_set)
}

/// Whether two rules ask and do the same; that a port is TCP's need not be said.
fn same(one: &Rule, other: &Rule) -> bool {
    let asked = |rule: &Rule| {
        let said = |one: &Match| matches!(one, Match::Protocol { number: 6, negated: false } | Match::Family(_));
        rule.matches.iter().filter(|one| !said(one)).cloned().collect::<Vec<_>>()
    };
    one.verdict == other.verdict && asked(one) == asked(other) && one.effective().next().is_none()
}

#[cfg(test)]
mod tests;
