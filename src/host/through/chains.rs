//! Tables of nft and iptables that drop: a rule right before their final drop leads to a chain of ours.
//!
//! No file of the admin's is touched. What stands there goes when those who made the table load it again; the drop-ins of their
//! units, `ringfence watch` and the timer then bring it back, at the right place of whatever the table is by then.
//!
//! INVARIANT (by number): nft is told a rule's handle, which no other rule ever has; iptables is told positions where words do not
//! serve, right behind a look at them, and what it did is looked at again. A rule goes by its number only where that look shows the
//! table as it was: it would be somebody else's otherwise.

use super::means::{Means, managed_by, means};
use super::place::{Part, Placed, blocked_at, named, place};
use super::spots::Spot;
use super::texts::{self, Named, rank};
use crate::cluster::{Site, Through};
use crate::compile::{Opened, openings};
use crate::host::around::put_in_place;
use crate::host::iptables::{self, Tools, Variant, Version, opened};
use crate::host::links::Link;
use crate::host::whole::{Everything, surroundings};
use crate::host::{Backend, HostError};
use crate::ir::{Chain, Family, Opening, Rule, Ruleset, Table, ours};
use crate::net::Surroundings;
use crate::verify::Answer;

/// How often it is looked again, and what is to be done is done.
pub(super) const ATTEMPTS: usize = 4;

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
            lines.push(format!("- {}: all that `open-ringfence` stands in", self.table_name(*at)));
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
        self.table(part.table).and_then(|table| texts::in_words(table, part, rule))
    }

    /// Writes it. Says whether there was anything to write, or the tables are no more what they were; another look tells.
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
            let handles = self.everything.handles.get(at);
            let text = |how| texts::for_iptables(table, part, handles, how);
            if opened::carry_out(tools, variant, version, &text(Named::ByWords)?).is_err() {
                // Somebody changed the table meanwhile: another look tells.
                if !self.is_still(at)? {
                    return Ok(true);
                }
                // Where somebody changed a rule of ours before, its number is all that is known of it.
                opened::carry_out(tools, variant, version, &text(Named::ByNumber)?)?;
            }
            brought = true;
        }
        if let Some(tools) = &tools {
            self.destroy_sets(tools)?;
        }
        Ok(brought)
    }

    /// Whether a table of iptables has the same rules at the same places now.
    fn is_still(&self, at: usize) -> Result<bool, HostError> {
        let Some(before) = self.table(at) else { return Ok(false) };
        let now = Everything::read()?;
        let known = self.everything.handles.get(at);
        let is_same = |(at, table): (usize, &Table)| {
            let handles = now.handles.get(at);
            (table.family, &table.name) == (before.family, &before.name)
                && handles == known
                && (known.is_some() || without_counts(table) == without_counts(before))
        };
        Ok(now.ruleset.tables.iter().enumerate().any(is_same))
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
            text.push_str(&self.table(*at).map_or(Ok(String::new()), texts::out_of_nft)?);
        }
        for part in self.placed.parts.iter().filter(|part| is_of(part.table) && !part.is_there()) {
            text.push_str(&self.table(part.table).map_or(Ok(String::new()), |table| texts::into_nft(table, part))?);
        }
        Ok(text)
    }
}

/// The chains of a table as they are whatever packets they have met.
fn without_counts(table: &Table) -> Vec<Chain> {
    let mut chains = table.chains.clone();
    for chain in &mut chains {
        chain.rules = std::mem::take(&mut chain.rules).into_iter().map(Rule::without_counts).collect();
    }
    chains
}

/// Takes all of ours out of all tables. Says whether there was any.
///
/// # Errors
/// Where a tool refuses.
pub fn take_away() -> Result<bool, HostError> {
    let mut ours = Chains::only_ours()?;
    let brought = ours.bring()?;
    let (mut again, mut left) = (brought, ATTEMPTS);
    while again {
        left = left.checked_sub(1).ok_or(HostError::Changing)?;
        ours = Chains::only_ours()?;
        again = ours.bring()?;
    }
    // One may be left of a run that did not come to its rules.
    if let Ok(tools) = Tools::find() {
        ours.destroy_sets(&tools)?;
    }
    Ok(brought)
}

/// By whose means whoever is shut out could be let through; `auto` where it takes more than the cluster file names, or than one; none
/// where nothing of the kind would help.
pub(in crate::host) fn remedy(
    everything: &Everything,
    answers: &[Answer],
    site: &Site<'_>,
    surroundings: &Surroundings,
) -> Option<Through> {
    let named_one = site.cluster().guard().through();
    if named_one == Through::Auto {
        return None;
    }
    let tables = &everything.ruleset.tables;
    let blocking = answers.iter().filter_map(blocked_at);
    let blocking =
        blocking.filter_map(|one| named(&everything.ruleset, one.by).into_iter().find_map(|at| tables.get(at)));
    let blocking: Vec<Option<Through>> = blocking.map(managed_by).collect();
    let mut found: Vec<Through> = blocking.iter().copied().flatten().collect();
    if blocking.contains(&None) {
        let means = means(everything);
        let placed = place(&everything.ruleset, &means, Through::Auto, &openings(site), site, surroundings).ok()?;
        found.extend(placed.parts.iter().filter(|part| !part.leads.is_empty()).map(|part| match part.means {
            Means::Nft | Means::Nobody => Through::Nftables,
            Means::IptablesNft | Means::IptablesLegacy => Through::Iptables,
        }));
    }
    match named_one {
        Through::None => {
            let first = found.first().copied()?;
            Some(if found.iter().all(|one| *one == first) { first } else { Through::Auto })
        }
        _ => found.iter().any(|one| *one != named_one).then_some(Through::Auto),
    }
}

/// firewalld has sets with such names, too, and is told by its own means to take them away.
fn has_ours(table: &Table) -> bool {
    let is_firewalld = table.name == "firewalld";
    let has = || {
        table.chains.iter().any(|chain| ours::is_open(&chain.name))
            || table.sets.iter().any(|set| ours::is_open(&set.name))
    };
    !is_firewalld && has()
}
