//! From the table that is there to the table that is wanted: in one transaction, or in three where sets of ranges change
//! with the rules.
//!
//! The kernel switches from one generation of rules to the next at once, but a packet meets several chains, and a chain
//! several sets, so what happens to a packet on its way at that moment needs thought:
//!
//! - A packet meets the chains of one hook with the rules of one moment. *Rules are therefore replaced within their
//!   chains.* A new chain beside the old one would be empty until the switch, and the old one after it: a packet between
//!   the two would be judged by neither.
//! - A set is looked up as it is at that moment. Elements of one set change at once; but an address that moves from one
//!   set to another could be in neither, or in both, of what a packet sees, and so could a port that is no longer
//!   guarded while its peers leave. *Elements are therefore only changed where no packet can tell;* otherwise rules are
//!   replaced, and with them the sets that change, and old rules still find the old sets whole.
//! - Some kernels (seen on Linux 6.18) find nothing in a *new* set of ranges, or in new ranges of an old one, for some
//!   microseconds after the switch. *Sets that stay the same are therefore kept, and rules only look into sets of ranges
//!   that were there before the switch;* see `changes::replace`.
//!
//! Only a table that is not shaped as ours are (another hook or priority, flags, objects of other kinds) is deleted and
//! made anew. A packet that at that instant is between the old chain and the new one is judged by neither.

mod changes;
mod sets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::attributes::{Malformed, Writer};
use super::expression::Expression;
use super::table::{Base, Chain, Rule, Set, Table};
use sets::{SetDifference, crossing, differences, reshaped, units};

/// How much of a table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing.
    Nothing,
    /// Elements of sets, and comments of rules; counters go on.
    Elements,
    /// Sets and rules, within the same chains; counters are carried over.
    Rules,
    /// All of it, or there was none.
    Whole,
}

/// Messages that make a change, without the frame of a transaction.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub(super) writer: Writer,
    /// What the message of each sequence number is about, from 1.
    pub(super) subjects: Vec<String>,
    /// Transactions that follow. Whoever stops before the last one has rules that mean what the old or the new ones do.
    pub(super) later: Vec<Changes>,
    /// In which sets elements come or go, where that is all that does.
    pub touched: Vec<Touched>,
}

/// A set in which elements came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its name.
    pub set: String,
    /// The keys, and whether each is in it now; `None` where there are many, or ranges, so that to read all of the set is better.
    pub keys: Option<Vec<(Vec<u8>, bool)>>,
}

/// The smallest change from one table to another that is safe at every instant, but no smaller than `least`.
///
/// # Errors
/// Where attributes are cut short.
pub fn update(current: Option<&Table>, wanted: Option<&Table>, least: Extent) -> Result<(Extent, Changes), Malformed> {
    let mut changes = Changes::default();
    let extent = match (current, wanted) {
        (None, None) => Extent::Nothing,
        (Some(current), None) => {
            changes.delete(current);
            Extent::Whole
        }
        (None, Some(wanted)) => {
            changes.create_in_turn(wanted)?;
            Extent::Whole
        }
        (Some(current), Some(wanted)) => {
            let (smallest, differences) = compare(current, wanted)?;
            let extent = smallest.max(least);
            match extent {
                Extent::Nothing => {}
                Extent::Elements => changes.elements(current, wanted, &differences)?,
                Extent::Rules => changes.replace(current, wanted)?,
                Extent::Whole => {
                    changes.delete(current);
                    changes.create(wanted)?;
                }
            }
            extent
        }
    };
    Ok((extent, changes))
}

/// Whether two sets hold the same. What is more than keys is never known to.
///
/// # Errors
/// Where attributes are cut short.
pub fn same_elements(one: &Set, other: &Set) -> Result<bool, Malformed> {
    let units = units(one)?;
    Ok(units.is_some() && units == sets::units(other)?)
}

/// What is in a set, as bytes that are the same for sets that hold the same, whoever wrote them.
///
/// # Errors
/// Where attributes are cut short.
pub fn held(set: &Set) -> Result<Vec<u8>, Malformed> {
    let Some(units) = units(set)? else { return Ok(set.elements.to_vec()) };
    let mut bytes = Vec::with_capacity(units.len() * (set.key_length as usize + 1));
    for (first, behind) in units {
        bytes.push(u8::from(behind.is_some()));
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(behind.unwrap_or_default());
    }
    Ok(bytes)
}

/// How much the smallest change comes to. Comments hold line numbers, and what they say is none.
///
/// # Errors
/// Where attributes are cut short.
pub fn extent(current: &Table, wanted: &Table) -> Result<Extent, Malformed> {
    Ok(match compare(current, wanted)? {
        (Extent::Elements, differences) if differences.is_empty() => Extent::Nothing,
        (extent, _) => extent,
    })
}

/// The messages that make a table, to be kept, and to be read again with [`Table::from_messages`].
///
/// # Errors
/// Where attributes are cut short.
pub fn to_messages(table: &Table) -> Result<Vec<u8>, Malformed> {
    let mut changes = Changes::default();
    changes.create(table)?;
    Ok(changes.writer.into_bytes())
}

/// What has to change at least, and what in the sets where that is enough.
fn compare<'a>(current: &'a Table, wanted: &'a Table) -> Result<(Extent, Vec<SetDifference<'a>>), Malformed> {
    // Base chains that come or go would be empty beside the others for an instant; chains with flags belong to rules or
    // to devices, and cannot be dealt with one by one.
    let odd = |table: &Table| table.chains.iter().any(|chain| chain.flags != 0);
    if current.flags != wanted.flags
        || current.has_more()
        || odd(current)
        || odd(wanted)
        || places(current) != places(wanted)
    {
        return Ok((Extent::Whole, Vec::new()));
    }
    if !same_chains(current, wanted)? || !same_sets(current, wanted) {
        return Ok((Extent::Rules, Vec::new()));
    }
    let Some(differences) = differences(current, wanted)? else { return Ok((Extent::Rules, Vec::new())) };
    if crossing(current, &differences)? || differences.iter().any(reshaped) {
        return Ok((Extent::Rules, Vec::new()));
    }
    let nothing = differences.is_empty() && recommented(current, wanted).next().is_none();
    Ok((if nothing { Extent::Nothing } else { Extent::Elements }, differences))
}

/// Where packets enter a table: all of its base chains by name, without their policies.
fn places(table: &Table) -> HashMap<&str, Base> {
    let bases = table.chains.iter().filter_map(|chain| Some((chain.name.as_str(), chain.base.clone()?)));
    bases.map(|(name, base)| (name, Base { policy: 0, ..base })).collect()
}

/// Whether the chains do the same, in the same order, with the same anonymous sets.
fn same_chains(current: &Table, wanted: &Table) -> Result<bool, Malformed> {
    if current.chains.len() != wanted.chains.len() {
        return Ok(false);
    }
    for chain in &wanted.chains {
        let Some(own) = current.chain(&chain.name) else { return Ok(false) };
        if own.base != chain.base || own.rules.len() != chain.rules.len() {
            return Ok(false);
        }
        for (own, other) in own.rules.iter().zip(&chain.rules) {
            let program = |rule: &Rule| -> Result<Vec<Expression>, Malformed> {
                Ok(rule.program()?.iter().map(Expression::without_counts).collect())
            };
            if program(own)? != program(other)? {
                return Ok(false);
            }
        }
    }
    for set in wanted.sets.iter().filter(|set| set.is_anonymous()) {
        let Some(own) = current.set(&set.name) else { return Ok(false) };
        let (keys, others) = (units(own)?, units(set)?);
        if own.shape() != set.shape() || keys.is_none() || keys != others {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there are the same named sets, fit for what is to be in them.
fn same_sets(current: &Table, wanted: &Table) -> bool {
    let named = |set: &&Set| !set.is_anonymous();
    current.sets.iter().filter(named).count() == wanted.sets.iter().filter(named).count()
        && wanted.sets.iter().filter(named).all(|set| current.set(&set.name).is_some_and(|own| own.holds(set)))
}

/// Rules that do what they did and are to say something else about it: the chain, the rule, and what it is to be.
fn recommented<'a>(
    current: &'a Table,
    wanted: &'a Table,
) -> impl Iterator<Item = (&'a Chain, &'a Rule, &'a Rule)> + use<'a> {
    let chains = wanted.chains.iter().filter_map(|chain| Some((current.chain(&chain.name)?, chain)));
    let rules =
        chains.flat_map(|(own, chain)| own.rules.iter().zip(&chain.rules).map(move |(own, rule)| (chain, own, rule)));
    rules.filter(|(_, own, rule)| own.userdata != rule.userdata)
}

impl Set {
    /// What two sets have in common that can hold the same elements.
    fn shape(&self) -> (u32, u32, u32) {
        (self.flags, self.key_type, self.key_length)
    }

    /// Whether the elements of another set fit into this one, at no other cost. Room for four times as much costs little.
    fn holds(&self, wanted: &Self) -> bool {
        let roomy = match (self.size, wanted.size) {
            (Some(own), Some(wanted)) => own >= wanted / 2 && own / 4 <= wanted,
            (own, wanted) => own == wanted,
        };
        self.shape() == wanted.shape() && roomy
    }
}
