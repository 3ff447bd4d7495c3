//! Tables of nft and iptables that drop: a rule right before their final drop leads to a chain of ours.
//!
//! No file of the admin's is touched. What stands there goes when those who made the table load it again; the drop-ins of their
//! units, `ringfence watch` and the timer then bring it back, at the right place of whatever the table is by then.
//!
//! INVARIANT (by number): nft is told a rule's handle, which no other rule ever has; iptables is told positions, right behind a look at
//! them, and what it did is looked at again.

use std::fmt::Write as _;

use super::place::{Means, Part, Placed, blocked_at, named, place};
use super::spots::Spot;
use crate::cluster::{Site, Through};
use crate::compile::{Opened, openings};
use crate::dialect::{iptables as words, nft};
use crate::host::around::put_in_place;
use crate::host::iptables::{self, Tools, Variant, Version, opened};
use crate::host::links::Link;
use crate::host::whole::{Everything, surroundings};
use crate::host::{Backend, HostError};
use crate::ir::{Chain, Family, Leg, Opening, Rule, Ruleset, Table, ours};
use crate::net::Surroundings;
use crate::verify::Answer;

/// The table of iptables in which packets for this host are filtered.
const FILTER: &str = "filter";

/// What was found, and what is to be done.
pub struct Chains {
    everything: Everything,
    means: Vec<Means>,
    placed: Placed,
}

/// For whom, and with what in the place of the guard.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The site.
    pub site: &'a Site<'a>,
    /// This host's interfaces.
    pub links: &'a [Link],
    /// The guard's way into the kernel.
    pub backend: Backend,
    /// Its rules, where other ones than those in force are meant.
    pub instead: Option<&'a Ruleset>,
}

impl Chains {
    /// Looks at all rules of this host.
    ///
    /// # Errors
    /// Where the kernel does not tell, or the rules are too large to be judged.
    pub fn look(through: Through, openings: &[Opening], asked: &Asked<'_>) -> Result<Self, HostError> {
        let mut everything = Everything::read()?;
        put_in_place(&mut everything, asked.backend, asked.instead);
        let means = means(&everything);
        let surroundings = surroundings(asked.links)?;
        let placed = place(&everything.ruleset, &means, through, openings, asked.site, &surroundings)?;
        Ok(Self { everything, means, placed })
    }

    /// Whether tables of others have anything of ours.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn are_there() -> Result<bool, HostError> {
        Ok(Everything::read()?.ruleset.tables.iter().any(has_ours))
    }

    /// Everything of ours, and nothing that is to be there.
    fn only_ours() -> Result<Self, HostError> {
        let everything = Everything::read()?;
        let means = means(&everything);
        let tables = everything.ruleset.tables.iter().enumerate();
        let stale = tables.filter(|(_, table)| has_ours(table)).map(|(at, _)| at).collect();
        let placed = Placed { parts: Vec::new(), stale, answers: Vec::new() };
        Ok(Self { everything, means, placed })
    }

    /// The answers of the whole host once all of it is there.
    #[must_use]
    pub fn into_answers(self) -> Vec<Answer> {
        self.placed.answers
    }

    /// What is to be written, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for at in &self.placed.stale {
            lines.push(format!("- {}: what let through", self.table_name(*at)));
        }
        for part in &self.placed.parts {
            let table = self.table_name(part.table);
            for spot in &part.misplaced {
                let chain =
                    self.table(part.table).and_then(|table| table.chains.iter().find(|own| own.name == spot.chain));
                let rule = chain.map_or(0, |chain| rank(chain, spot.at));
                lines.push(format!("- {table}, chain {}, rule {rule}: leads there no more from here", spot.chain));
            }
            if part.writes {
                for set in &part.opened.sets {
                    lines.push(format!("+ {table}: set {} of {} networks", set.name, set.elements.networks().len()));
                }
                for chain in &part.opened.chains {
                    let rules = chain.rules.iter().filter_map(|rule| self.in_words(part, rule));
                    lines.extend(rules.map(|rule| format!("+ {table}, chain {}: {rule}", chain.name)));
                }
            }
            for (leg, spot) in &part.leads {
                let rule = self.in_words(part, &Opened::jump(*leg, &spot.on)).unwrap_or_default();
                let before = self.before(part.table, spot);
                lines.push(format!("+ {table}, chain {}, {before}: {rule}", spot.chain));
            }
        }
        lines
    }

    fn table(&self, at: usize) -> Option<&Table> {
        self.everything.ruleset.tables.get(at)
    }

    fn means(&self, at: usize) -> Means {
        self.means.get(at).copied().unwrap_or(Means::Nobody)
    }

    fn table_name(&self, at: usize) -> String {
        let name = self.table(at).map(|table| format!("{} {}", table.family.name(), table.name)).unwrap_or_default();
        match self.means(at) {
            Means::IptablesLegacy => format!("table {name} of iptables-legacy"),
            Means::Nft | Means::IptablesNft | Means::Nobody => format!("table {name}"),
        }
    }

    fn before(&self, table: usize, spot: &Spot) -> String {
        let chain = self.table(table).and_then(|table| table.chains.iter().find(|chain| chain.name == spot.chain));
        match chain.filter(|chain| spot.at < chain.rules.len()) {
            Some(chain) => format!("before its rule {}, which drops the rest", rank(chain, spot.at)),
            None => "at its end, before its policy drops the rest".to_owned(),
        }
    }

    fn in_words(&self, part: &Part, rule: &Rule) -> Option<String> {
        match part.means {
            Means::Nft => {
                let family = self.table(part.table).map_or(Family::Inet, |table| table.family);
                let sets = part.opened.sets.clone();
                let table = Table { family, name: String::new(), sets, chains: Vec::new() };
                nft::rule_line(&table, rule).ok()
            }
            Means::IptablesNft | Means::IptablesLegacy | Means::Nobody => words::rule_line(rule).ok(),
        }
    }

    /// Writes it. Says whether there was anything to write.
    ///
    /// # Errors
    /// Where a tool refuses; what the tools before it did is done then, and another look tells.
    pub fn bring(&self) -> Result<bool, HostError> {
        let mut brought = false;
        let text = self.for_nft()?;
        if !text.is_empty() {
            iptables::nft(&text)?;
            brought = true;
        }
        let mut tools: Option<Tools> = None;
        for (at, part) in self.for_iptables() {
            let tools = match &mut tools {
                Some(tools) => tools,
                none => none.insert(Tools::find()?),
            };
            for set in part.into_iter().filter(|part| part.writes).flat_map(|part| &part.opened.sets) {
                opened::fill(tools, set)?;
            }
            let Some(table) = self.table(at) else { continue };
            let variant = if self.means(at) == Means::IptablesLegacy { Variant::Legacy } else { Variant::Nft };
            let version = if table.family == Family::Ip6 { Version::V6 } else { Version::V4 };
            opened::carry_out(tools, variant, version, &self.text_for_iptables(at, table, part)?)?;
            brought = true;
        }
        if let Some(tools) = &tools {
            self.destroy_sets(tools)?;
        }
        Ok(brought)
    }

    /// Sets that no rule asks any more.
    fn destroy_sets(&self, tools: &Tools) -> Result<(), HostError> {
        let used: Vec<&str> =
            self.placed.parts.iter().flat_map(|part| &part.opened.sets).map(|set| set.name.as_str()).collect();
        for name in opened::sets_called(tools, |name| ours::is_open(name) && !used.contains(&name))? {
            // Another table may hold on to it for a moment.
            let _ = opened::destroy(tools, &name);
        }
        Ok(())
    }

    /// The tables of iptables with something to do, and with what; nothing of ours for none.
    fn for_iptables(&self) -> Vec<(usize, Option<&Part>)> {
        let is_of = |at: usize| matches!(self.means(at), Means::IptablesNft | Means::IptablesLegacy);
        let stale = self.placed.stale.iter().map(|at| (*at, None));
        let parts = self.placed.parts.iter().filter(|part| !part.is_there()).map(|part| (part.table, Some(part)));
        stale.chain(parts).filter(|(at, _)| is_of(*at)).collect()
    }

    /// Everything that nft is to do, in one transaction.
    fn for_nft(&self) -> Result<String, HostError> {
        let is_of = |at: usize| matches!(self.means(at), Means::Nft | Means::Nobody);
        let mut text = String::new();
        for at in self.placed.stale.iter().filter(|at| is_of(**at)) {
            text.push_str(&self.taken_out(*at)?);
        }
        for part in self.placed.parts.iter().filter(|part| is_of(part.table) && !part.is_there()) {
            text.push_str(&self.put_in(part)?);
        }
        Ok(text)
    }

    /// The text that puts a part into a table of iptables, or takes all of ours out of it.
    fn text_for_iptables(&self, number: usize, table: &Table, part: Option<&Part>) -> Result<String, HostError> {
        let mut text = format!("*{}\n", table.name);
        let rules: Vec<(&str, usize)> = match part {
            Some(part) => part.misplaced.iter().map(|spot| (spot.chain.as_str(), spot.at)).collect(),
            None => leading(table)
                .into_iter()
                .flat_map(|(chain, rules)| rules.into_iter().map(move |at| (chain.name.as_str(), at)))
                .collect(),
        };
        let of = |name: &str, at: usize| -> Result<usize, HostError> {
            let chain = table.chains.iter().find(|chain| chain.name == name);
            self.number(number, chain.ok_or_else(|| HostError::internal("no chain"))?, at)
        };
        let mut gone: Vec<(&str, usize)> = Vec::new();
        for (chain, at) in rules {
            gone.push((chain, of(chain, at)?));
        }
        gone.sort_unstable();
        // Chains are made first; those that are declared are emptied.
        for chain in part.into_iter().filter(|part| part.writes).flat_map(|part| &part.opened.chains) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, ":{} - [0:0]", chain.name);
            for rule in &chain.rules {
                let _ = writeln!(text, "-A {} {}", chain.name, words::rule_line(rule).map_err(HostError::internal)?);
            }
        }
        let leads = part.into_iter().flat_map(|part| &part.leads);
        let mut leads: Vec<&(Leg, Spot)> = leads.collect();
        // The last one first, so that the others stay where they are.
        leads.sort_by_key(|(_, spot)| std::cmp::Reverse(spot.at));
        for (leg, spot) in leads {
            let rule = words::rule_line(&Opened::jump(*leg, &spot.on)).map_err(HostError::internal)?;
            let end = table.chains.iter().find(|chain| chain.name == spot.chain).map_or(0, |chain| chain.rules.len());
            if spot.at >= end {
                let _ = writeln!(text, "-A {} {rule}", spot.chain);
                continue;
            }
            let at = of(&spot.chain, spot.at)?;
            let _ = writeln!(text, "-I {} {at} {rule}", spot.chain);
            // What is behind it has moved.
            gone.iter_mut().filter(|(chain, own)| *chain == spot.chain && *own >= at).for_each(|(_, own)| *own += 1);
        }
        for (chain, at) in gone.iter().rev() {
            let _ = writeln!(text, "-D {chain} {at}");
        }
        if part.is_none() {
            for chain in table.chains.iter().filter(|chain| ours::is_open(&chain.name)) {
                let _ = writeln!(text, "-F {name}\n-X {name}", name = chain.name);
            }
        }
        text.push_str("COMMIT\n");
        Ok(text)
    }

    fn put_in(&self, part: &Part) -> Result<String, HostError> {
        let Some(table) = self.table(part.table) else { return Ok(String::new()) };
        let place = plain_place(table)?;
        let mut text = String::new();
        for spot in &part.misplaced {
            let handle = self.handle(part.table, &spot.chain, spot.at)?;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "delete rule {place} {} handle {handle}", plain(&spot.chain)?);
        }
        if part.writes {
            let Opened { sets, chains } = part.opened.clone();
            let beside = Table { family: table.family, name: table.name.clone(), sets, chains };
            text.push_str(&nft::additions(&beside).map_err(HostError::internal)?);
        }
        for (leg, spot) in &part.leads {
            let rule =
                self.in_words(part, &Opened::jump(*leg, &spot.on)).ok_or_else(|| HostError::internal("no words"))?;
            let chain = plain(&spot.chain)?;
            let end = table.chains.iter().find(|own| own.name == spot.chain).map_or(0, |own| own.rules.len());
            let _ = match spot.at < end {
                true => {
                    let handle = self.handle(part.table, &spot.chain, spot.at)?;
                    writeln!(text, "insert rule {place} {chain} handle {handle} {rule}")
                }
                false => writeln!(text, "add rule {place} {chain} {rule}"),
            };
        }
        Ok(text)
    }

    fn taken_out(&self, at: usize) -> Result<String, HostError> {
        let Some(table) = self.table(at) else { return Ok(String::new()) };
        let place = plain_place(table)?;
        let mut text = String::new();
        for (chain, rules) in leading(table) {
            for rule in rules {
                let handle = self.handle(at, &chain.name, rule)?;
                let _ = writeln!(text, "delete rule {place} {} handle {handle}", plain(&chain.name)?);
            }
        }
        for chain in table.chains.iter().filter(|chain| ours::is_open(&chain.name)) {
            let name = plain(&chain.name)?;
            let _ = writeln!(text, "flush chain {place} {name}\ndelete chain {place} {name}");
        }
        for set in table.sets.iter().filter(|set| ours::is_open(&set.name)) {
            let _ = writeln!(text, "delete set {place} {}", plain(&set.name)?);
        }
        Ok(text)
    }

    /// The kernel's number of a rule.
    fn handle(&self, table: usize, chain: &str, at: usize) -> Result<u64, HostError> {
        let chain = self.table(table).and_then(|table| table.chains.iter().find(|own| own.name == chain));
        let place = chain.and_then(|chain| chain.rules.get(at)).and_then(|rule| rule.place.as_ref());
        place.and_then(|place| place.handle).ok_or_else(|| HostError::internal("a rule without a handle"))
    }

    /// The position of a rule among those of its chain as iptables counts them, from 1: one rule may have been read as several.
    fn number(&self, table: usize, chain: &Chain, at: usize) -> Result<usize, HostError> {
        let place = |rule: &Rule| rule.place.as_ref().map(|place| (place.handle, place.line));
        let own = chain.rules.get(at).and_then(place).ok_or_else(|| HostError::internal("a rule without a place"))?;
        if let (Some(handle), _) = own {
            let handles = self.everything.handles.get(table).and_then(|chains| chains.get(&chain.name));
            let number = handles.and_then(|handles| handles.iter().position(|one| *one == handle));
            return number.map(|at| at + 1).ok_or_else(|| HostError::internal("a rule that the kernel has not"));
        }
        Ok(rank(chain, at))
    }
}

/// Takes all of ours out of all tables. Says whether there was any.
///
/// # Errors
/// Where a tool refuses.
pub fn take_away() -> Result<bool, HostError> {
    Chains::only_ours()?.bring()
}

/// By what each table can be changed.
fn means(everything: &Everything) -> Vec<Means> {
    let tools = Tools::find().ok();
    let nf_tables = everything.handles.len();
    let of = |(at, table): (usize, &Table)| {
        let is_filter = table.name == FILTER && table.family != Family::Inet;
        let has_usual = table.chains.iter().any(|chain| chain.name == "INPUT" || chain.name == "OUTPUT");
        let version = if table.family == Family::Ip6 { Version::V6 } else { Version::V4 };
        let can = |variant| tools.as_ref().is_some_and(|tools| opened::can_change(tools, variant, version));
        match at < nf_tables {
            _ if managed_by(table).is_some() || table.name == ours::TABLE => Means::Nobody,
            true if is_filter && has_usual && can(Variant::Nft) => Means::IptablesNft,
            // iptables-save shows a rule of nft's among its own without what it does not know: loaded again, it is wider.
            true if has_usual && is_of_iptables(table) => Means::Nobody,
            true => Means::Nft,
            false if is_filter => Means::IptablesLegacy,
            false => Means::Nobody,
        }
    };
    everything.ruleset.tables.iter().enumerate().map(of).collect()
}

/// By whose means whoever is shut out could be let through; none where the cluster file names one, or nothing of the kind would help.
pub(in crate::host) fn remedy(
    everything: &Everything,
    answers: &[Answer],
    site: &Site<'_>,
    surroundings: &Surroundings,
) -> Option<Through> {
    if site.cluster().guard().through() != Through::None {
        return None;
    }
    let (_, by) = answers.iter().find_map(blocked_at)?;
    let tables = &everything.ruleset.tables;
    let table = named(&everything.ruleset, by).into_iter().find_map(|at| tables.get(at))?;
    if let Some(program) = managed_by(table) {
        return Some(program);
    }
    let means = means(everything);
    let placed = place(&everything.ruleset, &means, Through::Auto, &openings(site), site, surroundings).ok()?;
    placed.parts.first().map(|part| match part.means {
        Means::Nft | Means::Nobody => Through::Nftables,
        Means::IptablesNft | Means::IptablesLegacy => Through::Iptables,
    })
}

/// Whether a table has a name and a family of iptables'.
fn is_of_iptables(table: &Table) -> bool {
    table.family != Family::Inet && ["raw", "mangle", "nat", "filter", "security"].contains(&table.name.as_str())
}

/// The program that a table belongs to, where it has a way of its own to be told.
fn managed_by(table: &Table) -> Option<Through> {
    let of_ufw = |chain: &Chain| chain.name.starts_with("ufw-") || chain.name.starts_with("ufw6-");
    let of_firewalld = |chain: &Chain| chain.name == "INPUT_ZONES" || chain.name == "INPUT_direct";
    if table.name == "firewalld" || table.chains.iter().any(of_firewalld) {
        return Some(Through::Firewalld);
    }
    table.chains.iter().any(of_ufw).then_some(Through::Ufw)
}

fn has_ours(table: &Table) -> bool {
    table.chains.iter().any(|chain| ours::is_open(&chain.name)) || table.sets.iter().any(|set| ours::is_open(&set.name))
}

/// Which rule of its chain it is, from 1: one may have been read as several.
fn rank(chain: &Chain, at: usize) -> usize {
    let place = |rule: &Rule| rule.place.as_ref().map(|place| (place.handle, place.line));
    let own = chain.rules.get(at).and_then(place);
    let mut before: Vec<_> =
        chain.rules.iter().take(at).map(place).filter(|one| one.is_none() || *one != own).collect();
    before.dedup_by(|a, b| a.is_some() && a == b);
    before.len() + 1
}

/// The rules of each chain that lead to ours.
fn leading(table: &Table) -> Vec<(&Chain, Vec<usize>)> {
    let leads = |rule: &Rule| [Leg::In, Leg::Out].into_iter().any(|leg| rule.verdict == Opened::jump(leg, &[]).verdict);
    let rules = |chain: &Chain| -> Vec<usize> {
        chain.rules.iter().enumerate().filter(|(_, rule)| leads(rule)).map(|(at, _)| at).collect()
    };
    table.chains.iter().map(|chain| (chain, rules(chain))).filter(|(_, rules)| !rules.is_empty()).collect()
}

/// A name that needs no quotes.
fn plain(name: &str) -> Result<&str, HostError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && name.chars().all(fits) { Ok(name) } else { Err(HostError::OddName(name.to_owned())) }
}

fn plain_place(table: &Table) -> Result<String, HostError> {
    Ok(format!("{} {}", table.family.name(), plain(&table.name)?))
}
