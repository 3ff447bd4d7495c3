//! What is in force: our part, and what of others decides on the same packets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use super::kernel::compare;
use super::needs::has_nf_tables;
use super::snapshot::{OwnTable, Place, Snapshot, TABLES, is_own_chain, is_own_set, own_tables, saved_sets, sets_of};
use super::{Error, Tools, Variant, Version};
use crate::dialect::ipset::Saved;
use crate::dialect::netlink::{Kernel, Scope};
use crate::dialect::{Read, ipset, iptables};
use crate::host::links::lo_is_loopback;
use crate::host::nft;
use crate::ir::{self, Counted, Match, Rule, Ruleset, Verdict};
use crate::net::Interface;
use crate::verify::is_let_on;

/// Others change nf_tables some times a second at worst.
const ATTEMPTS: usize = 5;
/// The tables that iptables has.
const EVERY_TABLE: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

/// What is in the kernel.
#[derive(Clone, Debug)]
pub struct Live {
    /// The tables raw and mangle of both families and of both back ends, rules of others included: these may pass ours
    /// by. The sets are ours, and those that such rules look into.
    pub ruleset: Ruleset,
    /// What was not understood: where, and the text.
    pub unknown: Vec<String>,
    snapshot: Snapshot,
    counters: BTreeMap<String, Counter>,
    admitted: BTreeMap<String, Counter>,
}

/// What a rule has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Live {
    fn nothing() -> Self {
        let (ruleset, unknown, counters) = (Ruleset::default(), Vec::new(), BTreeMap::new());
        Self { ruleset, unknown, snapshot: Snapshot::nothing(), counters, admitted: BTreeMap::new() }
    }

    /// Whether there is nothing of ours at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.snapshot.is_nothing()
    }

    /// What of ours there is, to bring it back later.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The back ends that have something of ours. Sets belong to neither.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let has =
            |variant: &Variant| self.snapshot.places.iter().any(|place| place.variant == *variant && !place.is_empty());
        Variant::ALL.into_iter().filter(has).collect()
    }

    /// What of our jumps is not as it should be, in words.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for Place { variant, version, tables } in &self.snapshot.places {
            for table in tables.iter().filter(|table| !table.is_empty()) {
                let place = format!("{version}-{variant}, table {}", table.name);
                if table.jumps.is_empty() {
                    complaints.push(format!("{place}: no rule jumps into the chain RINGFENCE"));
                }
                if table.jumps.len() > 1 {
                    complaints.push(format!("{place}: {} rules jump into our chains", table.jumps.len()));
                }
                for jump in table.jumps.iter().filter(|jump| jump.passed_by) {
                    let chain = &jump.chain;
                    complaints.push(format!("{place}: a rule before the jump in {chain} may pass it by"));
                }
            }
        }
        complaints
    }
}

/// What the blocking rules have met, by their comments, in all tables together. A packet is blocked once.
#[must_use]
pub fn counters(live: &Live) -> &BTreeMap<String, Counter> {
    &live.counters
}

/// What the rules that admit have met where every segment passes, by their comments: iptables counts that anyway.
#[must_use]
pub fn admitted(live: &Live) -> &BTreeMap<String, Counter> {
    &live.admitted
}

/// Reads what is in the kernel. Changes nothing, and loads no module of iptables-legacy or ipset.
///
/// # Errors
/// If a tool is missing, fails, or shows a table in part only: that is not the same as a table without rules of ours.
pub fn read(tools: &Tools) -> Result<Live, Error> {
    let mut live = Live::nothing();
    let places = read_places(tools, &mut live)?;
    if !lo_is_loopback() {
        live.unknown.push("lo is not the name of the loopback interface here".to_owned());
        forget_loopback(&mut live.ruleset);
    }
    let rules = live.ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let texts = rules.filter_map(|rule| rule.place.as_ref()).map(|place| place.text.as_str());
    let named: BTreeSet<String> = texts.flat_map(sets_of).map(str::to_owned).collect();
    let (whole, text) = read_sets(tools, &named)?;
    let what = "ipset save".to_owned();
    let Saved { sets, unknown, lists } = ipset::saved(&text).map_err(|error| Error::Unreadable { what, error })?;
    live.ruleset.sets = sets;
    // A list that rules fill need not be one that they ask.
    let lists = match ipset::saved(&whole) {
        Ok(all) => all.lists,
        Err(error) => return Err(Error::Unreadable { what: "ipset save".to_owned(), error }),
    }
    .into_iter()
    .chain(lists)
    .collect::<BTreeSet<_>>();
    if live.ruleset.forget_changed_through(|name| lists.contains(name)) {
        live.unknown.push("ipset: rules change sets that a list of sets has, or through it".to_owned());
    }
    live.unknown.extend(unknown.into_iter().map(|unknown| format!("ipset: {}", unknown.text)));
    let own = saved_sets(&text).into_iter().filter(|set| is_own_set(&set.name)).collect();
    live.snapshot = Snapshot::new(places, own);
    Ok(live)
}

/// Makes tests of the interface unknown that go by the name of the loopback interface, which another device has or may take.
fn forget_loopback(ruleset: &mut Ruleset) {
    let rules = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    for test in rules.flat_map(|rule| &mut rule.matches) {
        if matches!(test, Match::InInterface { names, .. } if names.contains(&Interface::loopback())) {
            *test = Match::Unknown("-i lo, which is not the loopback interface here".to_owned());
        }
    }
}

/// Reads both families in both back ends, and holds what tools print of nf_tables against the kernel. Somebody else may change
/// it in between: then once more.
fn read_places(tools: &Tools, live: &mut Live) -> Result<Vec<Place>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let kernel = if has_nf_tables() { nft::read(Scope::All).ok().map(|live| live.kernel) } else { None };
        let mut seen = Live::nothing();
        let mut places = Vec::new();
        for variant in Variant::ALL {
            for version in Version::ALL {
                let tables = read_place(tools, variant, version, kernel.as_ref(), &mut seen)?;
                places.push(Place { variant, version, tables });
            }
        }
        let is_still = kernel.is_none_or(|kernel| nft::glance().is_ok_and(|now| now.generation == kernel.generation));
        if is_still || tries >= ATTEMPTS {
            if !is_still {
                seen.ruleset.unread.push("the rules changed while they were read".to_owned());
            }
            *live = seen;
            return Ok(places);
        }
    }
}

/// Reads the tables of one family in one back end.
fn read_place(
    tools: &Tools,
    variant: Variant,
    version: Version,
    kernel: Option<&Kernel>,
    live: &mut Live,
) -> Result<Vec<OwnTable>, Error> {
    let there = match variant {
        Variant::Legacy => legacy_tables(version)?,
        // Where the kernel has chains of ours and no tool shows them, that is said: it is not the same as none.
        Variant::Nft if has_nf_tables() && (tools.can_save(variant, version) || has_ours(kernel, version)) => {
            TABLES.to_vec()
        }
        Variant::Nft => Vec::new(),
    };
    let mut text = String::new();
    for table in there {
        text.push_str(&tools.save(variant, version, table)?);
    }
    let what = || format!("{version}-{variant}-save");
    let read = iptables::read(&text, version.family());
    let Read { mut ruleset, unknown } = read.map_err(|error| Error::Unreadable { what: what(), error })?;
    let mut tables = own_tables(&ruleset);
    if variant == Variant::Nft && !ruleset.tables.is_empty() {
        let unread: Vec<String> = match kernel {
            Some(kernel) => {
                ruleset.tables.iter_mut().filter_map(|table| compare(kernel, version, table).err()).collect()
            }
            None => vec![format!("{} could not be held against the kernel", what())],
        };
        ruleset.unread.extend(unread);
        for table in &ruleset.tables {
            tables.iter_mut().filter(|own| own.name == table.name).for_each(|own| own.hides = hides(table));
        }
    }
    count(&ruleset, &mut live.counters);
    count_admitted(&ruleset, &mut live.admitted);
    live.ruleset.tables.extend(ruleset.tables);
    live.ruleset.unread.extend(ruleset.unread);
    live.unknown.extend(unknown.into_iter().map(|unknown| format!("{}: {}", what(), unknown.text)));
    Ok(tables)
}

/// Whether the kernel has chains of ours where iptables-nft of this family has them.
fn has_ours(kernel: Option<&Kernel>, version: Version) -> bool {
    // NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h).
    let family = match version {
        Version::V4 => 2,
        Version::V6 => 10,
    };
    let of_family = |kernel| nft::of_iptables(kernel).filter(move |table| table.family == family);
    kernel.is_some_and(|kernel| of_family(kernel).any(nft::has_own_chain))
}

/// Whether a rule of ours has a test that nobody wrote there: then the tool did not show all of it.
fn hides(table: &ir::Table) -> bool {
    let own = table.chains.iter().filter(|chain| is_own_chain(&chain.name)).flat_map(|chain| &chain.rules);
    own.flat_map(|rule| &rule.matches).any(|one| matches!(one, Match::Unknown(_)))
}

/// The tables of iptables-legacy with these names that are loaded here, as far as they can be read. Nothing is started where none
/// is loaded.
pub fn legacy(names: &[&'static str]) -> Vec<ir::Table> {
    let mut found = Vec::new();
    for version in Version::ALL {
        let all = loaded(version).unwrap_or_default();
        let there: Vec<&str> = names.iter().copied().filter(|name| all.iter().any(|own| own == name)).collect();
        let Some(tools) = (!there.is_empty()).then(Tools::find).and_then(Result::ok) else { continue };
        let texts =
            there.iter().map(|table| tools.save(Variant::Legacy, version, table)).collect::<Result<String, _>>();
        let read = texts.ok().and_then(|text| iptables::read(&text, version.family()).ok());
        // What could not be read may do anything, and certain is certain.
        let tables = read.filter(|read| read.ruleset.unread.is_empty()).map(|read| read.ruleset.tables);
        found.extend(tables.unwrap_or_default().into_iter().map(of_legacy));
    }
    found
}

/// All tables of iptables-legacy that are loaded here.
#[derive(Debug, Default)]
pub struct Legacy {
    /// The tables.
    pub tables: Vec<ir::Table>,
    /// What could not be read, and may do anything.
    pub unread: Vec<String>,
    /// What is not understood.
    pub unknown: Vec<String>,
    /// Whose word is taken for it.
    pub writers: Vec<String>,
}

/// Reads all tables of iptables-legacy that are loaded here. Nothing is started where none is loaded.
pub fn every_legacy() -> Legacy {
    let mut all = Legacy::default();
    for version in Version::ALL {
        let names = match loaded(version) {
            Ok(names) if names.is_empty() => continue,
            Ok(names) => names,
            Err(error) => {
                all.unread.push(error.to_string());
                continue;
            }
        };
        let Some(tools) = Tools::find().ok().filter(|tools| tools.can_save(Variant::Legacy, version)) else {
            all.unread.push(not_shown(version, &names));
            continue;
        };
        let what = format!("{version}-legacy-save");
        for name in EVERY_TABLE.iter().filter(|name| names.iter().any(|own| own == *name)) {
            let read = tools.save(Variant::Legacy, version, name).map_err(|error| error.to_string());
            let read = read.and_then(|text| iptables::read(&text, version.family()).map_err(|error| error.message));
            match read {
                Ok(Read { ruleset, unknown }) => {
                    all.tables.extend(ruleset.tables.into_iter().map(of_legacy));
                    all.unread.extend(ruleset.unread);
                    all.unknown.extend(unknown.into_iter().map(|unknown| format!("{what}: {}", unknown.text)));
                }
                Err(error) => all.unread.push(format!("{what} of {name}: {error}")),
            }
        }
        all.writers.push(what);
    }
    all
}

fn of_legacy(table: ir::Table) -> ir::Table {
    ir::Table { legacy: true, ..table }
}

/// That there are tables, and what shows them.
fn not_shown(version: Version, names: &[String]) -> String {
    let (tables, list) = (if names.len() == 1 { "a table" } else { "tables" }, names.join(", "));
    format!(
        "{version}-legacy has {tables} here ({list}) that no installed tool shows: install the package `iptables` (or `iptables-legacy`)"
    )
}

/// The tables of iptables-legacy here in which rules of ours may be, and that no tool shows, in words.
pub fn hidden_legacy() -> Vec<String> {
    let mut all = Vec::new();
    for version in Version::ALL {
        let Ok(names) = legacy_tables(version) else { continue };
        let Ok(tools) = Tools::find() else {
            all.extend((!names.is_empty()).then(|| not_shown(version, &owned(&names))));
            continue;
        };
        let hidden: Vec<&str> =
            names.into_iter().filter(|table| tools.save(Variant::Legacy, version, table).is_err()).collect();
        all.extend((!hidden.is_empty()).then(|| not_shown(version, &owned(&hidden))));
    }
    all
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether arptables-legacy has a table here, of whose rules nothing is read.
pub fn legacy_of_arp() -> Option<String> {
    let names = fs::read_to_string("/proc/thread-self/net/arp_tables_names").unwrap_or_default();
    (!names.trim().is_empty()).then(|| "the tables of arptables-legacy".to_owned())
}

/// Whether iptables-legacy filters in this network namespace: then nobody says when that changes.
pub fn legacy_filters() -> bool {
    Version::ALL.into_iter().any(|version| !loaded(version).unwrap_or_default().is_empty())
}

/// Which of our tables iptables-legacy has here. Its tools would load a table in order to show it.
fn legacy_tables(version: Version) -> Result<Vec<&'static str>, Error> {
    let names = loaded(version)?;
    Ok(TABLES.into_iter().filter(|table| names.iter().any(|name| name == table)).collect())
}

/// The tables of iptables-legacy that are loaded here.
fn loaded(version: Version) -> Result<Vec<String>, Error> {
    // Not /proc/net, which is the process's and not the thread's.
    let path = match version {
        Version::V4 => "/proc/thread-self/net/ip_tables_names",
        Version::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    let names = match fs::read_to_string(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::Run { tool: path.to_owned(), error }),
    };
    Ok(names.lines().map(str::to_owned).collect())
}

/// Adds up the counters of our rules that block.
fn count(ruleset: &Ruleset, counters: &mut BTreeMap<String, Counter>) {
    let own = ruleset.tables.iter().flat_map(|table| &table.chains).filter(|chain| is_own_chain(&chain.name));
    // What only logs counts what it would block.
    let blocks = |rule: &&Rule| rule.verdict == Some(Verdict::Drop) || is_let_on(rule);
    for rule in own.flat_map(|chain| &chain.rules).filter(blocks) {
        add(rule, rule.comment.clone().unwrap_or_else(|| "everything else".to_owned()), counters);
    }
}

/// Adds up the counters of our rules that admit, in the table that sees every segment: raw has only new connections.
fn count_admitted(ruleset: &Ruleset, counters: &mut BTreeMap<String, Counter>) {
    let tables = ruleset.tables.iter().filter(|table| table.name == "mangle");
    let own = tables.flat_map(|table| &table.chains).filter(|chain| is_own_chain(&chain.name));
    for rule in own.flat_map(|chain| &chain.rules).filter(|rule| rule.verdict == Some(Verdict::Return)) {
        let who = rule.comment.as_deref().and_then(|comment| comment.strip_prefix("reachability: "));
        if let Some(who) = who.map(str::to_owned) {
            add(rule, who, counters);
        }
    }
}

fn add(rule: &Rule, key: String, counters: &mut BTreeMap<String, Counter>) {
    let Some(Counted { packets, bytes }) = rule.counted() else { return };
    let counter = counters.entry(key).or_default();
    counter.packets = counter.packets.saturating_add(packets);
    counter.bytes = counter.bytes.saturating_add(bytes);
}

/// What ipset saves of our sets and those with these names. Others may be huge, or of kinds that nobody here knows.
/// What `ipset save` says of all sets, and of those that are ours or named.
fn read_sets(tools: &Tools, named: &BTreeSet<String>) -> Result<(String, String), Error> {
    // The tool would load the module, which shows there unless there is no /sys.
    let modules = Path::new("/sys/module");
    let is_loaded = !modules.is_dir() || modules.join("ip_set").exists();
    // ipset speaks to its module by nfnetlink, as nft does: without that there is no set.
    if !is_loaded || !nft::can_be_asked() || (named.is_empty() && !tools.has_ipset()) {
        return Ok((String::new(), String::new()));
    }
    let text = tools.ipset(&["save"], "")?;
    let is_wanted = |line: &&str| {
        let name = line.split(' ').nth(1).unwrap_or_default();
        is_own_set(name) || named.contains(name)
    };
    let wanted = text.lines().filter(is_wanted).flat_map(|line| [line, "\n"]).collect();
    Ok((text, wanted))
}
