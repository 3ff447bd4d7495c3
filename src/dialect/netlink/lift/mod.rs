//! The kernel's tables → IR.
//!
//! A rule is followed with what its registers hold, so that it does not matter in which of the many ways a test was
//! compiled. What is not understood becomes unknown, in the place where it stands.
//!
//! INVARIANT (no less): what is lifted never means less than what the kernel does. Every expression that may end a rule
//! early is a test here, known or unknown; nothing that stands behind a decision is taken for a condition of it.

#[cfg(test)]
mod any_bytes;
mod compat;
mod entries;
mod finish;
mod join;
mod loads;
mod lookups;
mod matches;
mod meta;
mod ports;
mod program;
mod routes;
mod show;
mod statements;
#[cfg(test)]
mod tests;
mod translate;
mod value;
mod values;

use std::collections::{HashMap, HashSet};

use super::attributes::{Malformed, find, text_of, u32_of};
use super::constants::*;
use super::expression::Expression;
use super::names::Names;
use super::table::{Base, Chain, Set, Table, set_name};
use crate::dialect::devices::hung;
use crate::dialect::read::{DEEPEST_HERE, check_jumps};
use crate::ir::{self, DeviceName, Family, Foreign, Match, Verdict};
use crate::net::Interface;

pub use compat::UNNAMED as UNNAMED_IP_SET;
pub(super) use matches::{FRAGMENT, FRAGMENT_OFFSET, IPS_DST_NAT, LOOPBACK, RTN_LOCAL};
use program::Program;
pub(super) use values::Element;
use values::{Values, ir_set};

/// The sets of a table by name, and what is in them.
type Sets<'a> = HashMap<&'a str, (&'a Set, Values)>;

/// What the kernel holds of a table, in netfilter's words.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// The table.
    pub table: ir::Table,
    /// What in it was not understood.
    pub unknown: Vec<String>,
    /// What in it may do anything at all; for [`ir::Ruleset::unread`].
    pub unread: Vec<String>,
}

/// The meaning of a table; `None` for a family that the IR has no word for, see [`unread`].
///
/// # Errors
/// Where attributes are cut short, two sets or chains have one name, or chains jump in a circle.
pub fn lift(table: &Table) -> Result<Option<Lifted>, Malformed> {
    lift_named(table, &Names::default())
}

/// The same, with names for the numbers of interfaces and of ipset's sets.
///
/// # Errors
/// As [`lift`].
pub fn lift_named(table: &Table, names: &Names) -> Result<Option<Lifted>, Malformed> {
    let family = match table.family {
        NFPROTO_INET => Family::Inet,
        NFPROTO_IPV4 => Family::Ip,
        NFPROTO_IPV6 => Family::Ip6,
        NFPROTO_NETDEV => Family::Netdev,
        _ => return Ok(None),
    };
    let (mut unknown, mut unread) = (Vec::new(), Vec::new());
    let mut sets = Sets::new();
    let filled = filled(table)?;
    for set in &table.sets {
        let values = if filled.contains(&set.name) { Values::Filled } else { set.values()? };
        let unread = match values {
            Values::Filled => true,
            // A lookup may find out more, see `lookups`.
            Values::Unknown => set.entries()?.is_none(),
            Values::Ipv4(_) | Values::Ipv6(_) | Values::Ports(_) | Values::Interfaces(_) | Values::Passing(_) => false,
        };
        if unread {
            unknown.push(format!("set {} of table {}", set.name, table.name));
        }
        if sets.insert(set.name.as_str(), (set, values)).is_some() {
            return Err(Malformed);
        }
    }
    let mut chains: Vec<ir::Chain> = Vec::with_capacity(table.chains.len());
    let mut seen: HashSet<&str> = HashSet::with_capacity(table.chains.len());
    for chain in &table.chains {
        if !seen.insert(&chain.name) {
            return Err(Malformed);
        }
        let mut lifted = ir::Chain::named(&chain.name, rules((table, chain), family, (&sets, names), &mut unknown)?);
        let dormant = table.flags & NFT_TABLE_F_DORMANT != 0;
        if let Some(own) = chain.base.as_ref().filter(|_| !dormant) {
            match base(own, family) {
                Ok(base) => lifted.base = Some(base),
                Err(kind) => unread.push(format!("chain {} of table {}: {kind}", chain.name, table.name)),
            }
            if own.on_devices || family == Family::Netdev {
                let names = device_names(own);
                if names.is_none() {
                    unknown.push(format!("the devices of chain {} of table {}", chain.name, table.name));
                }
                let text = format!("chain {} of table {} {}", chain.name, family.name(), table.name);
                chains.extend(hung(lifted, names, &ir::Place { line: 0, handle: None, text }));
                continue;
            }
        }
        chains.push(lifted);
    }
    let named = table.sets.iter().filter(|set| !set.is_anonymous());
    let sets = named.filter_map(|set| Some(ir_set(set, sets.remove(set.name.as_str())?.1))).collect();
    let table = ir::Table { family, name: table.name.clone(), legacy: false, sets, chains };
    let mut ruleset = ir::Ruleset { tables: vec![table], ..ir::Ruleset::default() };
    // The kernel allows no circles; whoever judges a ruleset relies on it.
    check_jumps(&ruleset, DEEPEST_HERE).map_err(|_| Malformed)?;
    Ok(ruleset.tables.pop().map(|table| Lifted { table, unknown, unread }))
}

/// A table that may keep neighbours from being found: for [`ir::Ruleset::neighbours`].
#[must_use]
pub fn about_neighbours(table: &Table) -> Option<String> {
    let drops =
        |chain: &Chain| chain.base.as_ref().is_some_and(|base| base.policy == NF_DROP) || !chain.rules.is_empty();
    let hooked = table.flags & NFT_TABLE_F_DORMANT == 0 && table.chains.iter().any(|chain| chain.base.is_some());
    let may = table.family == NFPROTO_ARP && hooked && table.chains.iter().any(drops);
    may.then(|| format!("table arp {}", table.name))
}

/// What a table of a family without a word in the IR may do to packets for this host: for [`ir::Ruleset::unread`].
#[must_use]
pub fn unread(table: &Table) -> Option<String> {
    let family = match table.family {
        NFPROTO_BRIDGE => "bridge",
        _ => return None,
    };
    let hooked = table.flags & NFT_TABLE_F_DORMANT == 0 && table.chains.iter().any(|chain| chain.base.is_some());
    hooked.then(|| format!("table {family} {}", table.name))
}

fn rules(
    (table, chain): (&Table, &Chain),
    family: Family,
    (sets, names): (&Sets<'_>, &Names),
    unknown: &mut Vec<String>,
) -> Result<Vec<ir::Rule>, Malformed> {
    let mut rules = Vec::with_capacity(chain.rules.len());
    let strict = family == Family::Inet && table.name == ir::ours::TABLE;
    for rule in &chain.rules {
        for lifted in
            Program::new(family, sets).named(names).helped(&table.helpers).strictly(strict).lift(rule, &rule.program()?)
        {
            let tests = lifted.matches.iter().filter_map(|one| match one {
                Match::Unknown(text) => Some(text),
                // In our own there is none, and no word for it.
                Match::Foreign(Foreign::Varies { text, .. }) if strict => Some(text),
                _ => None,
            });
            let verdict = match &lifted.verdict {
                Some(Verdict::Unknown(text)) => Some(text),
                _ => None,
            };
            unknown.extend(
                tests.chain(verdict).map(|text| format!("`{text}` in chain {} of table {}", chain.name, table.name)),
            );
            // Our own are known by what they are for.
            let place = (!strict).then(|| place((table, chain), family, rule.handle));
            rules.push(ir::Rule { place, ..lifted });
        }
    }
    Ok(rules)
}

/// The rule's number: the kernel has no text of it, and [`crate::dialect::nft::placed`] makes one for whoever reads it.
fn place((table, chain): (&Table, &Chain), family: Family, handle: u64) -> ir::Place {
    let (chain, family, table) = (&chain.name, family.name(), &table.name);
    let text = format!("rule with handle {handle} of chain {chain} of table {family} {table}");
    ir::Place { line: 0, handle: Some(handle), text }
}

/// The sets that a rule may fill or empty: what is in them is not what is in them now, whatever their flags say.
fn filled(table: &Table) -> Result<HashSet<String>, Malformed> {
    let mut filled = HashSet::new();
    const NAME: &[u8] = b"dynset\0";
    let says_so = |rule: &&super::table::Rule| rule.expressions.windows(NAME.len()).any(|window| window == NAME);
    for rule in table.chains.iter().flat_map(|chain| &chain.rules).filter(says_so) {
        for expression in rule.program()? {
            let Expression::Other { name, data } = expression else { continue };
            if name == "dynset" {
                let set = find(&data, NFTA_DYNSET_SET_NAME)?.map(text_of).unwrap_or_default();
                let id = find(&data, NFTA_DYNSET_SET_ID)?.map(u32_of).transpose()?;
                filled.insert(set_name(&set, id));
            }
        }
    }
    Ok(filled)
}

/// Whether a rule fills or empties a set of the table. One that cannot be read may.
#[must_use]
pub fn fills_sets(table: &Table) -> bool {
    filled(table).map_or(true, |filled| !filled.is_empty())
}

/// The devices that a chain hangs at; `None` where one cannot be told. A chain that hangs nowhere yet may hang anywhere soon.
fn device_names(base: &Base) -> Option<Vec<DeviceName>> {
    let name = |name: &Option<String>| {
        let name = name.as_deref()?;
        match name.strip_suffix('*') {
            Some(begin) => Some(DeviceName::Begins(begin.to_owned())),
            None if name == "lo" => Some(DeviceName::Is(Interface::loopback())),
            None => name.parse().ok().map(DeviceName::Is),
        }
    };
    base.devices.iter().map(name).collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

fn base(base: &Base, family: Family) -> Result<ir::Base, String> {
    let kind = match base.kind.as_str() {
        "filter" => ir::ChainKind::Filter,
        "nat" => ir::ChainKind::Nat,
        "route" => ir::ChainKind::Route,
        other => return Err(format!("type {other}")),
    };
    // NF_INET_… and NF_NETDEV_… (linux/netfilter.h).
    let hook = match base.hook {
        0 if family == Family::Netdev => ir::Hook::Ingress,
        1 if family == Family::Netdev => ir::Hook::Egress,
        0 => ir::Hook::Prerouting,
        1 => ir::Hook::Input,
        2 => ir::Hook::Forward,
        3 => ir::Hook::Output,
        4 => ir::Hook::Postrouting,
        5 => ir::Hook::Ingress,
        other => return Err(format!("hook {other}")),
    };
    let policy = if base.policy == NF_DROP { ir::Policy::Drop } else { ir::Policy::Accept };
    Ok(ir::Base { kind, hook, priority: base.priority, policy, shared: false })
}
