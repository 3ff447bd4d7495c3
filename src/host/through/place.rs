//! Which tables have to let the admitted through, and where: found on the rules as they stand, and judged on the rules as they will
//! be, before anything is written.
//!
//! INVARIANT (as much as needed): a way through is only made where somebody who is admitted is dropped for certain, by what drops all
//! that is left. What is dropped by a rule of its own stays dropped, and is said.

use std::net::IpAddr;

use super::spots::{Spot, asks_only, spots};
use crate::cluster::{Site, Through};
use crate::compile::{Opened, OpeningShape, opened};
use crate::ir::ours::has_part;
use crate::ir::{Chain, Leg, Match, Opening, Rule, Ruleset, Set, Table, Verdict, ours};
use crate::net::Surroundings;
use crate::semantics::TooLarge;
use crate::verify::{Answer, By, Direction, Reached, Stage, Who, whole, whole_beside};

/// Which programs' means reach a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// nft.
    Nft,
    /// iptables over nf_tables.
    IptablesNft,
    /// iptables over its own kernel interface.
    IptablesLegacy,
    /// Another program's, which would take away what is put there.
    Nobody,
}

impl Means {
    /// Whether a choice includes it.
    fn is_chosen(self, through: Through) -> bool {
        match (through, self) {
            (_, Self::Nobody) | (Through::None | Through::Firewalld | Through::Ufw, _) => false,
            (Through::Auto, _) => true,
            (Through::Nftables, own) => own == Self::Nft,
            (Through::Iptables, own) => matches!(own, Self::IptablesNft | Self::IptablesLegacy),
        }
    }

    fn shape(self) -> OpeningShape {
        match self {
            Self::Nft => OpeningShape::Nft,
            Self::IptablesNft | Self::IptablesLegacy | Self::Nobody => OpeningShape::Iptables,
        }
    }
}

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
    let mut known: Vec<IpAddr> = Vec::new();
    for _ in 0..ROUNDS {
        let mut found = false;
        let before = known.len();
        for (leg, by) in answers.iter().filter_map(blocked_at) {
            for at in named(&ahead, by) {
                let own = means.get(at).copied().unwrap_or(Means::Nobody);
                if own.is_chosen(through) {
                    found |= lead(&mut ahead, ruleset, &mut parts, (at, own, leg), openings);
                }
            }
        }
        if !found {
            // Who is dropped by a rule of his own must not hide who else is dropped, and by what.
            known.extend(answers.iter().filter_map(blocked_for_certain));
            known.sort_unstable();
            known.dedup();
            if known.len() == before {
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
        let is_whole = table.name == ours::TABLE;
        let leads =
            |rule: &Rule| matches!(&rule.verdict, Some(Verdict::Jump(to) | Verdict::Goto(to)) if ours::is_chain(to));
        table.chains.retain(|chain| !is_whole && !ours::is_chain(&chain.name));
        table.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !leads(rule)));
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

/// Whether somebody is admitted and dropped, and by what, on a way that can be opened.
pub(super) fn blocked_at(answer: &Answer) -> Option<(Leg, &By)> {
    let Reached::Blocked(shown) = &answer.reached else { return None };
    let by = shown.by.as_ref().filter(|by| !by.is_ours())?;
    match (&answer.who, answer.direction, by.stage) {
        (Who::Others, ..) => None,
        (_, Direction::In, Stage::In) => Some((Leg::In, by)),
        (_, Direction::Out, Stage::Out) => Some((Leg::Out, by)),
        (_, Direction::In | Direction::Out, Stage::In | Stage::Translation | Stage::Out) => None,
    }
}

/// The other side of somebody who is admitted and dropped.
fn blocked_for_certain(answer: &Answer) -> Option<IpAddr> {
    match (&answer.who, &answer.reached) {
        (Who::Peers | Who::Client(_), Reached::Blocked(shown)) => Some(shown.packet.source),
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
    (at, means, leg): (usize, Means, Leg),
    openings: &[Opening],
) -> bool {
    let Some(table) = ahead.tables.get(at) else { return false };
    let family = table.family;
    let jumps = |spot: &&Spot| !leads_there(table, spot, leg);
    let new: Vec<Spot> = spots(table, leg).iter().filter(jumps).cloned().collect();
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
        // As it was before anything came to it, or was taken from it.
        let behind = chain.rules.len() - here - 1;
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

/// Rules that lead to our chains, and do not stand right before what drops the rest.
fn misplaced(table: &Table, legs: &[Leg]) -> Vec<Spot> {
    let mut wrong = Vec::new();
    for leg in legs {
        let is_ours = |rule: &Rule| rule.verdict == Opened::jump(*leg, &[]).verdict;
        let mut plain = table.clone();
        plain.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !is_ours(rule)));
        let right = spots(&plain, *leg);
        for chain in &table.chains {
            let leading = chain.rules.iter().enumerate().filter(|(_, rule)| is_ours(rule));
            for (before, (at, rule)) in leading.enumerate() {
                let is_right =
                    |spot: &Spot| spot.chain == chain.name && spot.at == at - before && asks_only(rule, &spot.on);
                // A second one at the same place is one too many.
                let again = at > 0 && chain.rules.get(at - 1).is_some_and(is_ours);
                if !right.iter().any(is_right) || again {
                    wrong.push(Spot { chain: chain.name.clone(), at, on: Vec::new() });
                }
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
    wanted.chains.iter().all(same_rules) && wanted.sets.iter().all(same_set)
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;
    use crate::compile::openings;
    use crate::dialect::nft;

    const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\", \"riak@10.9.0.6\"]\n\
        [networks]\nprivate = [\"10.9.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";

    /// Where rules are put, the positions of rules that go, and how many answers are not good then.
    fn placed(tables: &str, through: Through) -> (Vec<String>, Vec<usize>, usize) {
        let ruleset = nft::read(tables).unwrap().ruleset;
        let cluster = parse("cluster.toml", CLUSTER.to_owned(), Path::new("")).cluster.unwrap();
        let site = Site::of_node(&cluster, &cluster.nodes()[0]);
        let means = vec![Means::Nft; ruleset.tables.len()];
        let placed = place(&ruleset, &means, through, &openings(&site), &site, &Surroundings::default()).unwrap();
        let leads = placed.parts.iter().flat_map(|part| &part.leads);
        let leads = leads.map(|(leg, spot)| format!("{leg:?} {} {}", spot.chain, spot.at)).collect();
        let gone = placed.parts.iter().flat_map(|part| &part.misplaced).map(|spot| spot.at).collect();
        let admitted = placed.answers.iter().filter(|answer| answer.who != Who::Others);
        (leads, gone, admitted.filter(|answer| !answer.is_good()).count())
    }

    fn input(policy: &str, rules: &str, more: &str) -> String {
        format!(
            "table inet filter {{\n{more}\n\tchain input {{\n\t\ttype filter hook input priority 0; policy {policy};\n\
             ct state established,related accept\n{rules}\n\t}}\n}}\n"
        )
    }

    #[test]
    fn as_much_is_opened_as_is_needed_and_no_more() {
        for (tables, through, leads, bad) in [
            (input("drop", "tcp dport 22 accept", ""), Through::Auto, &["In input 2"][..], 0),
            (input("drop", "tcp dport 22 accept", ""), Through::Firewalld, &[], 4),
            (input("accept", "tcp dport 22 accept", ""), Through::Auto, &[], 0),
            (input("drop", "ip saddr { 10.9.0.5, 10.9.0.6 } accept", ""), Through::Auto, &[], 0),
            // A rule about one of them stays the stronger one.
            (input("drop", "ip saddr 10.9.0.6 tcp dport 8098 drop", ""), Through::Nftables, &["In input 2"], 1),
            (
                format!("{}{}", input("drop", "", ""), input("drop", "drop", "").replace("filter {", "other {")),
                Through::Auto,
                &["In input 1", "In input 1"],
                0,
            ),
            // Nor does who is dropped by a rule of his own hide that others are dropped, of whatever family and table.
            (
                format!(
                    "table ip first {{\n\tchain i {{\n\t\ttype filter hook input priority -10; policy accept;\n\
                     ip saddr 10.9.0.5 tcp dport 8098 drop\n\t}}\n}}\n{}",
                    input("drop", "", "")
                ),
                Through::Auto,
                &["In input 1"],
                1,
            ),
            (
                format!(
                    "{}table ip out {{\n\tchain o {{\n\t\ttype filter hook output priority 0; policy drop;\n\
                     ct state established accept\n\t}}\n}}\n",
                    input("accept", "", "")
                ),
                Through::Auto,
                &["Out o 1"],
                0,
            ),
        ] {
            let found = placed(&tables, through);
            assert_eq!((found.0, found.2), (leads.iter().map(|&lead| lead.to_owned()).collect(), bad), "{tables}");
        }
    }

    const OURS: &str = "\tset open-ringfence-peers4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\
        \t\telements = { 10.9.0.5, 10.9.0.6 }\n\t}\n\tchain open-ringfence-in {\n\t\tip saddr @open-ringfence-peers4 tcp dport \
        { 4369, 6000-6009, 8098-8099 } accept\n\t}\n";
    const LEAD: &str = "meta l4proto tcp jump open-ringfence-in";

    #[test]
    fn what_is_there_stays_and_what_came_behind_it_is_heard_first() {
        let of = |rules: &str, ours: &str| placed(&input("drop", rules, ours), Through::Auto);
        assert_eq!(of(LEAD, OURS), (vec![], vec![], 0));
        assert_eq!(of(&format!("{LEAD}\ndrop"), OURS), (vec![], vec![], 0));
        // The admin put a rule behind ours.
        let behind = format!("{LEAD}\nip saddr 10.9.0.6 tcp dport 8098 drop\ndrop");
        assert_eq!(of(&behind, OURS), (vec!["In input 3".to_owned()], vec![1], 1));
        assert_eq!(of(&format!("{LEAD}\n{LEAD}"), OURS), (vec![], vec![2], 0));
        // Somebody took the rule, or made it another.
        assert_eq!(of("", OURS), (vec!["In input 1".to_owned()], vec![], 0));
        let narrow = format!("tcp dport 22 {LEAD}");
        assert_eq!(of(&narrow, OURS), (vec!["In input 2".to_owned()], vec![1], 0));
    }

    #[test]
    fn a_chain_of_ours_with_something_else_is_written_again() {
        for (ours, writes) in [
            (OURS.to_owned(), false),
            (OURS.replace("10.9.0.6", "10.9.0.0/24"), true),
            (OURS.replace("accept\n", "accept\n\t\taccept\n"), true),
            (OURS.replace("8098-8099", "8098"), true),
            (OURS.replace("} accept", "} counter accept"), false),
            (OURS.replace("} accept", "} meta mark set 7 accept"), true),
        ] {
            let ruleset = nft::read(&input("drop", LEAD, &ours)).unwrap().ruleset;
            let cluster = parse("cluster.toml", CLUSTER.to_owned(), Path::new("")).cluster.unwrap();
            let site = Site::of_node(&cluster, &cluster.nodes()[0]);
            let surroundings = Surroundings::default();
            let placed = place(&ruleset, &[Means::Nft], Through::Auto, &openings(&site), &site, &surroundings).unwrap();
            assert_eq!(placed.parts[0].writes, writes, "{ours}");
            let nothing = place(&ruleset, &[Means::Nft], Through::None, &[], &site, &surroundings).unwrap();
            assert_eq!((nothing.parts.len(), nothing.stale), (0, vec![0]));
        }
    }
}
