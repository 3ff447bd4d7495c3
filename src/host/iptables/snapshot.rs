//! What of ours is somewhere: in the kernel, in a file kept for a rollback, or in a ruleset that is to be.
//!
//! All three are the same kind of thing, so that bringing new rules in, taking them back and removing them is one
//! operation: from one snapshot to another.
//!
//! INVARIANT (ours): a snapshot holds chains and sets with our names only, and jumps into these chains. Whatever is made
//! of a snapshot therefore touches nothing of anybody else's. Bytes from a file are checked for it, too.

use serde::{Deserialize, Serialize};

use super::{Error, Variant, Version};
use crate::dialect::{ipset, iptables};
use crate::ir::{Chain, Rule, Ruleset, Table, Verdict, ours};
use crate::verify::Verified;

/// The tables that we have chains in, in the order in which a packet meets them.
pub(super) const TABLES: [&str; 2] = ["raw", "mangle"];
/// iptables-restore takes 10,240 bytes, ipset 1,024 and 32 for each set or so.
const LONGEST_LINE: usize = 4096;
/// Raised when the bytes of an older program would be misunderstood.
const SCHEMA: u32 = 1;

/// What of ours is in the kernel at one time. As bytes it can be kept, for another process to bring it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    schema: u32,
    pub(super) places: Vec<Place>,
    pub(super) sets: Vec<OwnSet>,
}

/// The tables of one family in one back end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub variant: Variant,
    pub version: Version,
    pub tables: Vec<OwnTable>,
}

/// Our part of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnTable {
    pub name: String,
    pub chains: Vec<OwnChain>,
    pub jumps: Vec<Jump>,
    /// Whether the kernel has more in our chains than the tool that printed them shows.
    #[serde(skip)]
    pub hides: bool,
    /// Every other chain, and how many rules it has that are no jumps to us. Only known of the kernel.
    #[serde(skip)]
    pub others: Vec<(String, usize)>,
}

/// A chain of ours, its rules as `-A CHAIN …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnChain {
    pub name: String,
    pub rules: Vec<String>,
}

/// A rule of another chain that leads to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jump {
    pub chain: String,
    /// What stands behind the name of the chain.
    pub rule: String,
    /// How many rules of others stand before it; `None`: none that could pass it by.
    pub behind: Option<usize>,
    /// Whether a rule of others before it could pass it by. Only known of the kernel.
    #[serde(skip)]
    pub passed_by: bool,
}

/// A set of ours, as ipset saves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnSet {
    pub name: String,
    /// What stands behind `create NAME`.
    pub header: String,
    /// What stands behind `add NAME`.
    pub elements: Vec<String>,
}

/// Whether a chain with this name is ours.
pub(in crate::host) fn is_own_chain(name: &str) -> bool {
    ours::is_chain(name)
}

/// Whether a set with this name is ours. A name that was too long has a `_` (see `compile::iptables`).
pub(super) fn is_own_set(name: &str) -> bool {
    ours::is_set(name)
}

/// The set that a rule looks into, for each such test.
pub(super) fn sets_of(rule: &str) -> impl Iterator<Item = &str> {
    rule.split(" --match-set ").skip(1).filter_map(|rest| rest.split(' ').next())
}

impl Snapshot {
    /// A snapshot of these.
    pub(super) fn new(places: Vec<Place>, sets: Vec<OwnSet>) -> Self {
        Self { schema: SCHEMA, places, sets }
    }

    /// Nothing of ours.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Vec::new(), Vec::new())
    }

    /// Whether there is nothing of ours at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.places.iter().all(Place::is_empty) && self.sets.is_empty()
    }

    /// Whether packets come into a chain of ours.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.places.iter().flat_map(|place| &place.tables).any(|table| !table.jumps.is_empty())
    }

    /// Where it is, for people: which back ends, tables and families; sets alone are named as such.
    #[must_use]
    pub fn place(&self) -> String {
        let mut all = Vec::new();
        for variant in Variant::ALL {
            let there: Vec<&Place> =
                self.places.iter().filter(|place| place.variant == variant && !place.is_empty()).collect();
            if there.is_empty() {
                continue;
            }
            let tables = there.iter().flat_map(|place| &place.tables).filter(|table| !table.is_empty());
            let tables: Vec<&str> = tables.map(|table| table.name.as_str()).collect();
            let tables: Vec<&str> = TABLES.into_iter().filter(|name| tables.contains(name)).collect();
            let families: Vec<&str> = Version::ALL
                .into_iter()
                .filter(|version| there.iter().any(|place| place.version == *version))
                .map(|version| match version {
                    Version::V4 => "IPv4",
                    Version::V6 => "IPv6",
                })
                .collect();
            let tool = match variant {
                Variant::Legacy => "iptables-legacy",
                Variant::Nft => "iptables",
            };
            all.push(format!("{tool} ({}; {})", tables.join(", "), families.join(" and ")));
        }
        if all.is_empty() { "ipset (sets that no rule of ringfence asks)".to_owned() } else { all.join(" and ") }
    }

    /// As bytes, for a file.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Snapshot(error.to_string()))
    }

    /// From the bytes of [`Self::to_bytes`].
    ///
    /// # Errors
    /// If they are damaged, or hold anything that is not ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| Error::Snapshot(error.to_string()))?;
        if read.schema != SCHEMA {
            return Err(Error::Snapshot(format!("it was made by another version, {}", read.schema)));
        }
        match read.foreign_part() {
            Some(part) => Err(Error::Snapshot(format!("it holds something that is not ours: {part:?}"))),
            None => Ok(read),
        }
    }

    /// Anything that INVARIANT (ours) forbids.
    fn foreign_part(&self) -> Option<&str> {
        // The tools take the rest of a longer line for another one.
        let one_line = |text: &str| text.len() < LONGEST_LINE && !text.chars().any(char::is_control);
        let one_word = |text: &str| one_line(text) && !text.is_empty() && !text.contains([' ', '"']);
        for table in self.places.iter().flat_map(|place| &place.tables) {
            let known = TABLES.contains(&table.name.as_str());
            if !known {
                return Some(&table.name);
            }
            for chain in &table.chains {
                if !(is_own_chain(&chain.name) && one_word(&chain.name)) {
                    return Some(&chain.name);
                }
                let start = format!("-A {}", chain.name);
                let behind =
                    |rule: &String| rule.strip_prefix(&start).map(|rest| rest.is_empty() || rest.starts_with(' '));
                let fits = |rule: &&String| behind(rule) == Some(true) && one_line(rule);
                if let Some(rule) = chain.rules.iter().find(|rule| !fits(rule)) {
                    return Some(rule);
                }
            }
            let leads_here = |jump: &&Jump| {
                let target = jump.rule.rsplit(' ').next().unwrap_or_default();
                let foreign = one_word(&jump.chain) && !is_own_chain(&jump.chain) && !jump.chain.starts_with('-');
                foreign && is_own_chain(target) && jump.rule.starts_with(['-', '!']) && one_line(&jump.rule)
            };
            if let Some(jump) = table.jumps.iter().find(|jump| !leads_here(jump)) {
                return Some(&jump.rule);
            }
        }
        for set in &self.sets {
            if !(is_own_set(&set.name) && one_word(&set.name)) {
                return Some(&set.name);
            }
            if let Some(line) = std::iter::once(&set.header).chain(&set.elements).find(|line| !one_line(line)) {
                return Some(line);
            }
        }
        None
    }

    /// What a proven ruleset makes of ours in these back ends.
    pub(super) fn of_verified(verified: &Verified, wanted: impl Fn(Version) -> Variant) -> Result<Self, Error> {
        let mut places = Vec::new();
        for version in Version::ALL {
            let text = iptables::write(verified.ruleset(), version.family())?;
            let read = iptables::read(&text, version.family());
            let read = read.map_err(|error| Error::Unreadable { what: "the ruleset itself".into(), error })?;
            let mut tables = own_tables(&read.ruleset);
            for name in TABLES {
                let table = tables.iter_mut().find(|table| table.name == name && !table.jumps.is_empty());
                let table = table.ok_or(Error::NotIptables("it lacks one of the tables raw and mangle"))?;
                if table.others.iter().any(|(chain, rules)| *rules > 0 || !is_builtin(chain)) {
                    return Err(Error::NotIptables("it holds rules that are not ours"));
                }
                table.jumps.iter_mut().for_each(|jump| jump.behind = None);
                table.others.clear();
            }
            if tables.len() != TABLES.len() {
                return Err(Error::NotIptables("it holds tables other than raw and mangle"));
            }
            places.push(Place { variant: wanted(version), version, tables });
        }
        let text = ipset::write(verified.ruleset()).map_err(|_| Error::NotIptables("its sets cannot be written"))?;
        let snapshot = Self::new(places, written_sets(&text));
        match snapshot.foreign_part() {
            Some(_) => Err(Error::NotIptables("it holds chains or sets that are not ours")),
            None => Ok(snapshot),
        }
    }

    /// Our part of a table in one place; an empty one where there is none.
    pub(super) fn table(&self, variant: Variant, version: Version, name: &str) -> OwnTable {
        let mut places = self.places.iter().filter(|place| place.variant == variant && place.version == version);
        let found = places.find_map(|place| place.tables.iter().find(|table| table.name == name));
        found.cloned().unwrap_or_else(|| OwnTable { name: name.to_owned(), ..OwnTable::default() })
    }

    /// All rules of ours.
    pub(super) fn rules(&self) -> impl Iterator<Item = &str> {
        let tables = self.places.iter().flat_map(|place| &place.tables);
        tables.flat_map(|table| &table.chains).flat_map(|chain| &chain.rules).map(String::as_str)
    }
}

impl Place {
    /// Whether nothing of ours is in it.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(OwnTable::is_empty)
    }
}

impl OwnTable {
    /// Whether nothing of ours is in it.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.jumps.is_empty()
    }

    /// Rules in our chains that none of these has, as they are written.
    pub fn beyond(&self, known: &[Self], version: Version) -> Vec<&str> {
        let known: Vec<(&str, Rule)> =
            known.iter().flat_map(|table| table.one_by_one(version)).filter_map(|(_, own)| own).collect();
        let foreign = self.one_by_one(version).into_iter();
        let foreign = foreign.filter(|(_, own)| own.as_ref().is_none_or(|own| !known.contains(own)));
        foreign.map(|(text, _)| text).collect()
    }

    /// Whether our chains say the same, however it is spelled and whatever comments they have.
    pub fn says_the_same(&self, other: &Self, version: Version) -> bool {
        self.chains == other.chains
            || matches!((self.meaning(version), other.meaning(version)), (Some(a), Some(b)) if a == b)
    }

    /// Each of our rules: as it is written, and its chain with what it means, if that can be made out.
    fn one_by_one(&self, version: Version) -> Vec<(&str, Option<(&str, Rule)>)> {
        let meant = self.meaning(version).unwrap_or_default();
        let mut all = Vec::new();
        for chain in &self.chains {
            let own = meant.iter().find(|own| own.name == chain.name);
            // Where one line became several rules, none of them is known to be its own.
            let own = own.filter(|own| own.rules.len() == chain.rules.len());
            for (at, text) in chain.rules.iter().enumerate() {
                let rule = own.and_then(|own| own.rules.get(at)).cloned();
                all.push((text.as_str(), rule.map(|rule| (chain.name.as_str(), rule))));
            }
        }
        all
    }

    /// Our chains as iptables understands them; `None` if they hang on somebody else's.
    fn meaning(&self, version: Version) -> Option<Vec<Chain>> {
        let names = self.chains.iter().map(|chain| format!(":{} - [0:0]\n", chain.name));
        let rules = self.chains.iter().flat_map(|chain| &chain.rules).map(|rule| format!("{rule}\n"));
        let text = format!("*{}\n{}COMMIT\n", self.name, names.chain(rules).collect::<String>());
        let read = iptables::read(&text, version.family()).ok()?;
        let mut chains: Vec<Chain> = read.ruleset.tables.into_iter().flat_map(|table| table.chains).collect();
        chains.sort_by(|a, b| a.name.cmp(&b.name));
        for rule in chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            rule.place = None;
            rule.comment = None;
        }
        Some(chains)
    }
}

/// The parts of tables that are ours, which may be nothing.
pub(super) fn own_tables(ruleset: &Ruleset) -> Vec<OwnTable> {
    ruleset.tables.iter().map(own_table).collect()
}

fn own_table(table: &Table) -> OwnTable {
    let mut own = OwnTable { name: table.name.clone(), ..OwnTable::default() };
    for chain in &table.chains {
        if is_own_chain(&chain.name) {
            let rules = chain.as_read().filter_map(<[Rule]>::first).map(|rule| text(rule).to_owned()).collect();
            own.chains.push(OwnChain { name: chain.name.clone(), rules });
            continue;
        }
        let (mut behind, mut passed_by) = (0, false);
        // The kernel has one rule for each of these, and its places are counted so.
        for rules in chain.as_read() {
            let Some(rule) = rules.first() else { continue };
            if leads_to_us(rule) {
                let rule = text(rule).splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
                own.jumps.push(Jump { chain: chain.name.clone(), rule, behind: Some(behind), passed_by });
            } else {
                behind += 1;
                passed_by |= rules.iter().any(may_end_the_chain);
            }
        }
        own.others.push((chain.name.clone(), behind));
    }
    own.chains.sort_by(|a, b| a.name.cmp(&b.name));
    own
}

fn text(rule: &Rule) -> &str {
    rule.place.as_ref().map_or("", |place| place.text.as_str())
}

fn leads_to_us(rule: &Rule) -> bool {
    matches!(&rule.verdict, Some(Verdict::Jump(name) | Verdict::Goto(name)) if is_own_chain(name))
}

/// Whether a packet may be done with the chain at a rule without having been dropped.
fn may_end_the_chain(rule: &Rule) -> bool {
    match rule.verdict {
        None | Some(Verdict::Drop | Verdict::Reject(_)) => false,
        Some(Verdict::Accept | Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_) | Verdict::Unknown(_)) => true,
    }
}

/// Whether a chain is the kernel's, and so always there.
pub(super) fn is_builtin(chain: &str) -> bool {
    ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].contains(&chain)
}

/// The sets of a text of [`ipset::write`], which fills each under a name with a `+`.
fn written_sets(text: &str) -> Vec<OwnSet> {
    let mut sets = saved_sets(text);
    sets.retain(|set| set.name.ends_with('+'));
    for set in &mut sets {
        set.name.truncate(set.name.len() - 1);
        set.header = set.header.trim_end_matches(" -exist").to_owned();
    }
    sets
}

/// The sets of a text of `ipset save`.
pub(super) fn saved_sets(text: &str) -> Vec<OwnSet> {
    let mut sets: Vec<OwnSet> = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(command), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else { continue };
        match command {
            "create" => {
                sets.push(OwnSet { name: name.to_owned(), header: rest.to_owned(), elements: Vec::new() });
            }
            // The elements of a set stand right behind it.
            "add" => {
                let set = sets.last_mut().filter(|set| set.name == name);
                set.into_iter().for_each(|set| set.elements.push(rest.to_owned()));
            }
            _ => {}
        }
    }
    sets
}
