//! Our rules in the kernel, whichever of its two ways they are in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;

use super::known::{Expected, FullLook, Known, Look};
use super::record::rules_digest;
use super::snapshot::Snapshot;
use super::store::Store;
use super::{Backend, HostError, iptables, nft, nft_file};
use crate::cluster::Site;
use crate::compile::SetsMode;
use crate::dialect::netlink::{Chain, Extent, Scope, Table};
use crate::ir::{self, Family, Ruleset};
use crate::prove::{self, Text};
use crate::verify::Verified;

/// A base chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BaseChain {
    /// The hook.
    pub hook: &'static str,
    /// From the lowest to the highest.
    pub priority: i32,
    /// Family, table and chain.
    pub name: String,
    /// Whether it drops what no rule decides on.
    pub drops: bool,
    /// How many rules it has.
    pub rules: usize,
}

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = if self.drops { "drop" } else { "accept" };
        let rules = if self.rules == 1 { "1 rule".to_owned() } else { format!("{} rules", self.rules) };
        write!(f, "{} ({}, priority {}, policy {policy}, {rules})", self.name, self.hook, self.priority)
    }
}

/// What the rules that block have met.
pub type Counters = BTreeMap<String, (u64, u64)>;

/// What of ours is in the kernel.
#[derive(Debug)]
pub struct InForce {
    /// Where it was looked for.
    pub backend: Backend,
    /// Whether there is anything at all.
    pub absent: bool,
    /// What it says. For iptables with the rules of others that may pass ours by.
    pub ruleset: Ruleset,
    /// What of it is not understood.
    pub unknown: Vec<String>,
    /// What it has blocked so far, by comment.
    pub counters: Counters,
    /// What it has admitted so far, by whom; nothing in nf_tables, where such rules count nothing.
    pub admitted: Counters,
    /// What others have on the way of the same packets.
    pub others: Vec<BaseChain>,
    /// Whether nobody else has a table at all, in either way into the kernel.
    pub alone: bool,
    /// Whether all that others have are some rules of nf_tables, which are judged in a moment.
    pub few_rules: bool,
    /// A rule of others by which replies to this host's own connections may get lost.
    pub masquerade: Option<String>,
    /// The kernel's number of the last change of nf_tables.
    pub generation: Option<u32>,
    /// How it is known what our sets hold.
    pub look: Look,
    snapshot: Snapshot,
}

/// Proven rules, ready for the kernel.
#[derive(Debug)]
pub struct Prepared {
    /// Where they go.
    pub backend: Backend,
    /// The rules.
    pub verified: Verified,
    /// The same as files, by name; nothing where they were not asked for.
    pub files: Vec<(&'static str, String)>,
    digest: OnceLock<String>,
    pub(super) table: Option<Table>,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// All was there already.
    Nothing,
    /// Members of sets; no rule was touched, and counters went on.
    Members,
    /// Rules.
    Rules,
}

/// What was brought in.
#[derive(Debug)]
pub struct Brought {
    /// What it came to.
    pub changed: Changed,
    /// What a look is to find behind it, where that follows from what was known before.
    pub expected: Option<Expected>,
}

impl Prepared {
    /// Compiles the rules of a site, writes them down, reads them back and proves them.
    ///
    /// # Errors
    /// Where they cannot be proved, which is a mistake of this program, or not be written in this way.
    pub fn new(site: &Site<'_>, backend: Backend) -> Result<Self, HostError> {
        match backend {
            Backend::Nft => Self::nft(site, true),
            Backend::Iptables => Self::iptables(site),
        }
    }

    /// The same without files where netlink brings the rules in, of which some megabytes are nobody's then.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn without_texts(site: &Site<'_>, backend: Backend) -> Result<Self, HostError> {
        match backend {
            Backend::Nft => Self::nft(site, !cfg!(feature = "kernel")),
            Backend::Iptables => Self::iptables(site),
        }
    }

    fn nft(site: &Site<'_>, keep: bool) -> Result<Self, HostError> {
        let (verified, (digest, files)) = prove::nft_by(site, |text| {
            let files = files(vec![(Text::Nft, text)]);
            (rules_digest(&files).into(), if keep { files } else { Vec::new() })
        })?;
        let table = lowered(verified.ruleset())?;
        Ok(Self { backend: Backend::Nft, verified, files, digest, table })
    }

    fn iptables(site: &Site<'_>) -> Result<Self, HostError> {
        if site.cluster().guard().reject_span().is_some() {
            return Err(HostError::Reject);
        }
        // What goes to the tools is what it was written from.
        let (verified, texts) = prove::iptables(site, SetsMode::Auto)?.of_both(site)?;
        Ok(Self { backend: Backend::Iptables, verified, files: files(texts), digest: OnceLock::new(), table: None })
    }

    /// The SHA-256 of the files, as [`super::record::Kept::rules_digest`] has it.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| rules_digest(&self.files))
    }

    /// Whether the loopback interface goes by its name, and not by its number.
    #[must_use]
    pub fn names_loopback(&self) -> bool {
        self.table.is_none()
    }

    /// What this way into the kernel cannot promise, and netlink does.
    #[must_use]
    pub fn weakness(&self) -> Option<&'static str> {
        (self.backend == Backend::Nft && self.table.is_none()).then_some(nft_file::WEAKNESS)
    }
}

fn files(texts: Vec<(Text, String)>) -> Vec<(&'static str, String)> {
    texts.into_iter().map(|(text, content)| (text.file_name(), content)).collect()
}

/// Our table as the kernel is to have it.
#[cfg(feature = "kernel")]
fn lowered(ruleset: &Ruleset) -> Result<Option<Table>, HostError> {
    use crate::dialect::netlink::{lower, write};
    let table = ruleset.tables.first().ok_or_else(|| HostError::internal("no table"))?;
    Ok(Some(write(&lower(table)?)?))
}

#[cfg(not(feature = "kernel"))]
#[allow(clippy::unnecessary_wraps, reason = "with libnftnl it may fail")]
fn lowered(_ruleset: &Ruleset) -> Result<Option<Table>, HostError> {
    Ok(None)
}

/// Reads what is in force.
///
/// # Errors
/// Where the kernel cannot be asked or not be understood; that is not the same as nothing.
pub fn read(backend: Backend) -> Result<InForce, HostError> {
    match backend {
        Backend::Nft => {
            let full = FullLook::now()?;
            Ok(of_nft(nft::read(Scope::All)?, Look::Read(full)))
        }
        Backend::Iptables => {
            let full = FullLook::now()?;
            let live = iptables::read(&iptables::Tools::find()?)?;
            let counters = iptables::counters(&live).iter();
            // Kernels have both ways, and chains of one judge what the other lets pass.
            let seen = nft::read(Scope::All).ok();
            let legacy = iptables::legacy(&["filter"]);
            let others = seen.as_ref().map(|seen| foreign(seen.others())).unwrap_or_default();
            Ok(InForce {
                backend,
                absent: live.is_absent(),
                counters: counters.map(|(comment, c)| (comment.clone(), (c.packets, c.bytes))).collect(),
                admitted: iptables::admitted(&live)
                    .iter()
                    .map(|(who, c)| (who.clone(), (c.packets, c.bytes)))
                    .collect(),
                others: others.into_iter().chain(legacy.iter().flat_map(legacy_chains)).collect(),
                // Ours are in tables that belong to everybody.
                alone: false,
                few_rules: false,
                masquerade: seen.as_ref().and_then(nft::Live::masquerade),
                generation: None,
                look: Look::Read(full),
                snapshot: Snapshot::Iptables(live.snapshot().clone()),
                unknown: live.unknown.into_iter().collect(),
                ruleset: live.ruleset,
            })
        }
    }
}

/// The same, without the members of our sets where it is known what these are.
///
/// # Errors
/// As [`read`].
pub fn read_again(backend: Backend, store: &Store) -> Result<InForce, HostError> {
    if let Some(known) = (backend == Backend::Nft).then(|| Known::load(store)).flatten()
        && let Ok(Some(live)) = nft::read_expected(&known.expected(), &known.table)
    {
        return Ok(of_nft(live, Look::Derived(known.full)));
    }
    read(backend)
}

/// Reads what is in force with the members of a look just before, where they are the same still.
pub(super) fn read_known(seen: &InForce) -> Option<InForce> {
    let live = nft::read_expected(&seen.expected()?, seen.table()?).ok()??;
    Some(of_nft(live, seen.look.clone()))
}

/// Reads what is in force behind a change, where `known` is what was in force before it.
///
/// # Errors
/// As [`read`].
pub fn read_behind(prepared: &Prepared, known: &InForce, brought: Brought) -> Result<InForce, HostError> {
    let table = match (&known.snapshot, brought.changed) {
        (Snapshot::Nft(Some(table)), Changed::Nothing) => Some(table.as_ref()),
        (_, Changed::Members) => prepared.table.as_ref(),
        _ => None,
    };
    // What goes wrong in it is no reason to read less: the whole look says what there is.
    if let (Some(expected), Some(table)) = (brought.expected, table)
        && let Ok(Some(live)) = nft::read_expected(&expected, table)
    {
        // What was read just now and not changed since was read.
        let read = brought.changed == Changed::Nothing && !known.look.is_derived();
        let look = if read { Look::Read(expected.full) } else { Look::Derived(expected.full) };
        return Ok(of_nft(live, look));
    }
    read(prepared.backend)
}

/// So many rules of others take some milliseconds.
const FEW_RULES: usize = 64;

fn of_nft(live: nft::Live, look: Look) -> InForce {
    let counters = live.counters();
    let masquerade = live.masquerade();
    let legacy = iptables::legacy(&["raw", "mangle", "filter"]);
    let others = live.others().into_iter().chain(legacy.iter().flat_map(legacy_chains)).collect();
    // Tables of iptables-legacy that no tool shows are there all the same, and without ARP nobody of IPv4 is reached.
    let is_legacy = iptables::legacy_filters() || iptables::legacy_of_arp().is_some();
    let alone = live.kernel.others.is_empty() && !is_legacy;
    let few_rules = !is_legacy && live.kernel.others.iter().flat_map(Table::rules).count() <= FEW_RULES;
    let own = live.kernel.own;
    InForce {
        backend: Backend::Nft,
        absent: own.is_none(),
        ruleset: live.ruleset,
        unknown: live.unknown,
        counters: counters.into_iter().map(|(comment, packets, bytes)| (comment, (packets, bytes))).collect(),
        admitted: Counters::new(),
        others,
        alone,
        few_rules,
        masquerade,
        generation: Some(live.kernel.generation),
        look,
        snapshot: Snapshot::Nft(own.map(Box::new)),
    }
}

/// The tables that iptables has in nf_tables and that are judged by their text.
const JUDGED: [&str; 4] = ["ip raw ", "ip mangle ", "ip6 raw ", "ip6 mangle "];

/// Without these.
fn foreign(mut chains: Vec<BaseChain>) -> Vec<BaseChain> {
    chains.retain(|chain| !JUDGED.iter().any(|table| chain.name.starts_with(table)));
    chains
}

/// The chains of a table of iptables-legacy that packets for this host meet.
fn legacy_chains(table: &ir::Table) -> Vec<BaseChain> {
    let tool = if table.family == Family::Ip6 { "ip6tables-legacy" } else { "iptables-legacy" };
    let met = table.chains.iter().filter_map(|chain| {
        let base = chain.base.filter(|base| base.policy == ir::Policy::Drop || !chain.rules.is_empty())?;
        let hook = match base.hook {
            ir::Hook::Prerouting => "prerouting",
            ir::Hook::Input => "input",
            ir::Hook::Ingress | ir::Hook::Forward | ir::Hook::Output | ir::Hook::Postrouting | ir::Hook::Egress => {
                return None;
            }
        };
        Some(BaseChain {
            hook,
            priority: base.priority,
            name: format!("{tool} {} {}", table.name.escape_debug(), chain.name.escape_debug()),
            drops: base.policy == ir::Policy::Drop,
            rules: chain.rules.len(),
        })
    });
    met.collect()
}

/// Whether there are rules of ours in the other way into the kernel, left by an earlier apply; then both judge.
#[must_use]
pub fn left_behind(backend: Backend) -> bool {
    match backend {
        Backend::Iptables => nft::glance().is_ok_and(|glance| glance.handle.is_some()),
        // Rules that netlink shows are there, whatever tools there are. Of the rest they are not asked where nothing can be.
        Backend::Nft => {
            let seen = nft::read(Scope::Rules).ok();
            let is_named = seen.as_ref().is_some_and(nft::Live::has_own_chains);
            seen.is_some_and(|live| live.has_own_rules())
                || (is_named || iptables::legacy_filters())
                    && iptables::Tools::find()
                        .and_then(|tools| iptables::read(&tools))
                        .is_ok_and(|live| !live.is_absent())
        }
    }
}

impl InForce {
    /// Whether its sets have so many members that what is done with them takes milliseconds, and a thread is worth its while.
    #[must_use]
    pub fn is_long(&self) -> bool {
        const MANY: usize = 10_000;
        let sets = self.ruleset.tables.iter().flat_map(|table| &table.sets);
        sets.map(|set| set.elements.len()).sum::<usize>() >= MANY
    }

    /// Whether there are rules of ours: sets alone judge nobody.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        !self.absent && self.ruleset.tables.iter().any(ir::ours::has_part)
    }

    /// Whether packets come into any of it: an empty table, and chains that nothing leads to, guard nothing.
    #[must_use]
    pub fn guards(&self) -> bool {
        match &self.snapshot {
            Snapshot::Nft(table) => table.as_ref().is_some_and(|table| {
                // NF_DROP (linux/netfilter.h).
                let judges =
                    |chain: &Chain| chain.base.as_ref().map(|base| base.policy == 0 || !chain.rules.is_empty());
                table.chains.iter().filter_map(judges).any(|judges| judges)
            }),
            Snapshot::Iptables(snapshot) => snapshot.is_reached(),
        }
    }

    /// Where ours are, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.snapshot {
            Snapshot::Nft(_) => "nft (table inet ringfence)".to_owned(),
            Snapshot::Iptables(snapshot) => snapshot.place(),
        }
    }

    /// The kernel's numbers of the ruleset, and of our table in it.
    #[must_use]
    pub fn version(&self) -> Option<(u32, u64)> {
        match &self.snapshot {
            Snapshot::Nft(Some(table)) => self.generation.map(|generation| (generation, table.handle)),
            Snapshot::Nft(None) | Snapshot::Iptables(_) => None,
        }
    }

    /// Our table of nf_tables, where that is where ours are.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        match &self.snapshot {
            Snapshot::Nft(table) => table.as_deref(),
            Snapshot::Iptables(_) => None,
        }
    }

    /// What a look is to find as long as nobody changes anything.
    #[must_use]
    pub fn expected(&self) -> Option<Expected> {
        let (generation, handle) = self.version()?;
        Some(Expected { generation, handle, touched: Vec::new(), full: self.look.full().clone() })
    }

    /// What to bring back if what follows goes wrong.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Brings proven rules into the kernel, where `known` is what was read before. `before` gets what was there in the moment
/// before the change, and may still say no.
///
/// # Errors
/// Where the kernel refuses; then all is as it was, or the error says otherwise.
pub fn bring(
    prepared: &Prepared,
    known: &InForce,
    mut before: impl FnMut(Snapshot) -> Result<(), HostError>,
) -> Result<Brought, HostError> {
    let table = match (prepared.backend, &prepared.table) {
        (Backend::Nft, Some(table)) => table,
        (Backend::Nft, None) => {
            let now = read(Backend::Nft)?;
            before(now.snapshot.clone())?;
            return Ok(nft_file::bring(prepared, &now)?.into());
        }
        (Backend::Iptables, _) => {
            let tools = iptables::Tools::find()?;
            let live = iptables::read(&tools)?;
            before(Snapshot::Iptables(live.snapshot().clone()))?;
            return Ok(changed(&iptables::apply(&tools, &live, &prepared.verified)?).into());
        }
    };
    let known = match (&known.snapshot, known.generation) {
        (Snapshot::Nft(table), Some(generation)) => Some(nft::Moment {
            generation,
            table: table.as_deref().map(Cow::Borrowed),
            full: known.look.full().clone(),
        }),
        _ => None,
    };
    let before = |now: &nft::Moment<'_>| before(Snapshot::Nft(now.table.clone().map(Cow::into_owned).map(Box::new)));
    let (extent, expected) = nft::change(Some(table), known, before)?;
    Ok(Brought { changed: extent.into(), expected })
}

impl From<Changed> for Brought {
    fn from(changed: Changed) -> Self {
        Self { changed, expected: None }
    }
}

pub(super) fn changed(change: &iptables::Change) -> Changed {
    match (change.is_nothing(), change.rules) {
        (true, _) => Changed::Nothing,
        (false, false) => Changed::Members,
        (false, true) => Changed::Rules,
    }
}

impl From<Extent> for Changed {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::Nothing => Self::Nothing,
            Extent::Elements => Self::Members,
            Extent::Rules | Extent::Whole => Self::Rules,
        }
    }
}
