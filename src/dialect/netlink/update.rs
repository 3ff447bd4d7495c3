//! From the table that is there to the table that is wanted, in one transaction.
//!
//! The kernel switches from one generation of rules to the next at once, but a packet meets several chains, and a chain
//! several sets, so what happens to a packet on its way at that moment needs thought:
//!
//! - A chain runs with the rules that it had when the packet entered it. *Rules are therefore replaced within their
//!   chains.* A new chain beside the old one would be empty until the switch, and the old one after it: a packet between
//!   the two would be judged by neither.
//! - A set is looked up as it is at that moment. Elements of one set change at once; but an address that moves from one
//!   set to another could be in neither, or in both, of what a packet sees. *Elements are therefore only changed where no
//!   address does that;* otherwise sets and rules are replaced, and old rules still find the old sets whole.
//!
//! Only a table that is not shaped as ours are (another hook or priority, flags, objects of other kinds) is deleted and
//! made anew.

use std::collections::{HashMap, HashSet};

use super::attributes::{Malformed, Writer};
use super::constants::*;
use super::elements::{element, pieces};
use super::expression::Expression;
use super::read::message;
use super::table::{Chain, Rule, Set, Table, rename_lookups};

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
            changes.create(wanted)?;
            Extent::Whole
        }
        (Some(current), Some(wanted)) => {
            let extent = extent(current, wanted)?.max(least);
            match extent {
                Extent::Nothing => {}
                Extent::Elements => changes.elements(current, wanted)?,
                Extent::Rules => changes.rules(current, wanted)?,
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

fn extent(current: &Table, wanted: &Table) -> Result<Extent, Malformed> {
    let bases = |table: &Table| -> HashMap<String, (u32, i32, String)> {
        let bases = table.chains.iter().filter_map(|chain| Some((chain.name.clone(), chain.base.clone()?)));
        bases.map(|(name, base)| (name, (base.hook, base.priority, base.kind))).collect()
    };
    let base_of = |table: &Table, name: &str| table.chains.iter().any(|chain| chain.name == name);
    let kept = |from: &Table, to: &Table| {
        let (own, other) = (bases(from), bases(to));
        // A chain that is a base chain in one and none in the other cannot stay.
        from.chains.iter().all(|chain| !base_of(to, &chain.name) || own.get(&chain.name) == other.get(&chain.name))
    };
    // An own base chain that goes or comes would be empty beside the others for an instant.
    let same_bases = bases(current) == bases(wanted);
    if current.flags != wanted.flags || current.has_more() || !same_bases || !kept(current, wanted) {
        return Ok(Extent::Whole);
    }
    let same_rules = same_chains(current, wanted)?;
    let named = |table: &Table| table.sets.iter().filter(|set| !set.is_anonymous()).count();
    let same_sets = named(current) == named(wanted)
        && wanted
            .sets
            .iter()
            .filter(|set| !set.is_anonymous())
            .all(|set| current.set(&set.name).is_some_and(|own| own.holds(set)));
    if !same_rules || !same_sets {
        return Ok(Extent::Rules);
    }
    let Some(differences) = differences(current, wanted)? else { return Ok(Extent::Rules) };
    if crossing(current, &differences)? {
        return Ok(Extent::Rules);
    }
    let comments = current.rules().zip(wanted.rules()).all(|((_, own), (_, other))| own.userdata == other.userdata);
    let nothing = comments && differences.iter().all(|one| one.added.is_empty() && one.removed.is_empty());
    Ok(if nothing { Extent::Nothing } else { Extent::Elements })
}

/// Whether the chains do the same, in the same order, with the same anonymous sets.
fn same_chains(current: &Table, wanted: &Table) -> Result<bool, Malformed> {
    if current.chains.len() != wanted.chains.len() {
        return Ok(false);
    }
    for chain in &wanted.chains {
        let Some(own) = current.chains.iter().find(|own| own.name == chain.name) else { return Ok(false) };
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
        let sorted = |set: &Set| -> Result<Option<Vec<(Vec<u8>, bool)>>, Malformed> {
            let keys = set.keys()?;
            Ok(keys.map(|mut keys| {
                keys.sort_unstable();
                keys.into_iter().map(|(key, ends)| (key.to_vec(), ends)).collect()
            }))
        };
        let (keys, others) = (sorted(own)?, sorted(set)?);
        if own.flags != set.flags || keys.is_none() || keys != others {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Set {
    /// Whether the elements of another set fit into this one, at no other cost. Room for four times as much costs little.
    fn holds(&self, wanted: &Self) -> bool {
        let shape = |set: &Self| (set.flags, set.key_type, set.key_length);
        let roomy = match (self.size, wanted.size) {
            (Some(own), Some(wanted)) => own >= wanted / 2 && own / 4 <= wanted,
            (own, wanted) => own == wanted,
        };
        shape(self) == shape(wanted) && roomy
    }
}

/// What changes in one set.
struct SetDifference<'a> {
    set: &'a Set,
    removed: Vec<(&'a [u8], bool)>,
    added: Vec<(&'a [u8], bool)>,
}

/// What changes in each named set; `None` where that cannot be told, or would not fit.
fn differences<'a>(current: &'a Table, wanted: &'a Table) -> Result<Option<Vec<SetDifference<'a>>>, Malformed> {
    let mut all = Vec::new();
    for set in wanted.sets.iter().filter(|set| !set.is_anonymous()) {
        let Some(own) = current.set(&set.name) else { return Ok(None) };
        let (Some(mut keys), Some(mut others)) = (own.keys()?, set.keys()?) else { return Ok(None) };
        if own.size.is_some_and(|size| others.len() > size as usize) {
            return Ok(None);
        }
        keys.sort_unstable();
        others.sort_unstable();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (keys.into_iter().peekable(), others.into_iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(own), Some(other)) if own == other => {
                    left.next();
                    right.next();
                }
                (Some(own), Some(other)) if own < other => removed.extend(left.next()),
                (Some(_), None) => removed.extend(left.next()),
                (_, Some(_)) => added.extend(right.next()),
                (None, None) => break,
            }
        }
        all.push(SetDifference { set: own, removed, added });
    }
    Ok(Some(all))
}

/// Whether an address may change its place among sets, so that a packet could meet a state that never was.
fn crossing(table: &Table, differences: &[SetDifference<'_>]) -> Result<bool, Malformed> {
    // What becomes of those who are found in a set.
    let mut verdicts: HashMap<String, HashSet<(i32, Option<String>)>> = HashMap::new();
    for (_, rule) in table.rules() {
        let program = rule.program()?;
        let verdict = program.iter().find_map(|one| match one {
            Expression::Verdict { code, chain } => Some((*code, chain.clone())),
            _ => None,
        });
        for one in &program {
            if let Expression::Lookup { set, .. } = one {
                verdicts.entry(set.clone()).or_default().extend(verdict.clone());
            }
        }
    }
    let changed: Vec<&SetDifference<'_>> =
        differences.iter().filter(|one| !one.added.is_empty() || !one.removed.is_empty()).collect();
    for (at, one) in changed.iter().enumerate() {
        for other in changed.iter().skip(at + 1).filter(|other| other.set.key_type == one.set.key_type) {
            let one_way = (one.added.is_empty() && other.added.is_empty())
                || (one.removed.is_empty() && other.removed.is_empty());
            let alike = verdicts.get(&one.set.name) == verdicts.get(&other.set.name);
            if !(one_way && alike) && overlap(one, other) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether two changes touch addresses in common. Of ranges only the span of all that changes is looked at.
fn overlap(one: &SetDifference<'_>, other: &SetDifference<'_>) -> bool {
    let interval = |difference: &SetDifference<'_>| difference.set.flags & NFT_SET_INTERVAL != 0;
    let keys = |difference: &SetDifference<'_>| -> Vec<Vec<u8>> {
        difference.added.iter().chain(&difference.removed).map(|(key, _)| key.to_vec()).collect()
    };
    let (mine, theirs) = (keys(one), keys(other));
    if !interval(one) && !interval(other) {
        let mine: HashSet<&Vec<u8>> = mine.iter().collect();
        return theirs.iter().any(|key| mine.contains(key));
    }
    let span = |keys: &[Vec<u8>]| keys.iter().min().cloned().zip(keys.iter().max().cloned());
    match (span(&mine), span(&theirs)) {
        (Some((low, high)), Some((other_low, other_high))) => low <= other_high && other_low <= high,
        _ => false,
    }
}

impl Changes {
    fn add(&mut self, subject: String, kind: u16, flags: u16, family: u8, write: impl FnOnce(&mut Writer)) {
        self.subjects.push(subject);
        let sequence = self.subjects.len() as u32;
        message(&mut self.writer, kind, flags, family, sequence, write);
    }

    fn delete(&mut self, table: &Table) {
        self.add(format!("table {}", table.name), NFT_MSG_DELTABLE, 0, table.family, |writer| {
            writer.text(NFTA_TABLE_NAME, &table.name);
        });
    }

    fn create(&mut self, table: &Table) -> Result<(), Malformed> {
        self.add(format!("table {}", table.name), NFT_MSG_NEWTABLE, NLM_F_CREATE, table.family, |writer| {
            writer.text(NFTA_TABLE_NAME, &table.name);
            // A table that belongs to a process cannot be given back to it.
            writer.u32(NFTA_TABLE_FLAGS, table.flags & !NFT_TABLE_F_OWNER);
        });
        self.create_sets(table)?;
        for chain in &table.chains {
            self.create_chain(table, chain);
        }
        self.create_rules(table, &HashMap::new())
    }

    fn create_sets(&mut self, table: &Table) -> Result<(), Malformed> {
        for (number, set) in table.sets.iter().enumerate() {
            let id = number as u32 + 1;
            let name = if set.is_anonymous() { "__set%d" } else { &set.name };
            self.add(format!("set {}", set.name), NFT_MSG_NEWSET, NLM_F_CREATE, table.family, |writer| {
                writer.text(NFTA_SET_TABLE, &table.name);
                writer.text(NFTA_SET_NAME, name);
                writer.u32(NFTA_SET_ID, id);
                writer.raw(&set.attributes);
            });
            self.list(NFT_MSG_NEWSETELEM, table, (&set.name, name, Some(id)), &set.elements)?;
        }
        Ok(())
    }

    /// Elements that come or go, in as many messages as they need.
    fn list(
        &mut self,
        kind: u16,
        table: &Table,
        (shown, name, id): (&str, &str, Option<u32>),
        list: &[u8],
    ) -> Result<(), Malformed> {
        let flags = if kind == NFT_MSG_NEWSETELEM { NLM_F_CREATE } else { 0 };
        for piece in pieces(list)? {
            self.add(format!("elements of set {shown}"), kind, flags, table.family, |writer| {
                writer.text(NFTA_SET_ELEM_LIST_TABLE, &table.name);
                writer.text(NFTA_SET_ELEM_LIST_SET, name);
                if let Some(id) = id {
                    writer.u32(NFTA_SET_ELEM_LIST_SET_ID, id);
                }
                writer.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| writer.raw(piece));
            });
        }
        Ok(())
    }

    fn create_chain(&mut self, table: &Table, chain: &Chain) {
        self.add(format!("chain {}", chain.name), NFT_MSG_NEWCHAIN, NLM_F_CREATE, table.family, |writer| {
            writer.text(NFTA_CHAIN_TABLE, &table.name);
            writer.text(NFTA_CHAIN_NAME, &chain.name);
            writer.raw(&chain.attributes);
        });
    }

    fn create_rules(&mut self, table: &Table, counts: &Counts) -> Result<(), Malformed> {
        for chain in &table.chains {
            for (number, rule) in chain.rules.iter().enumerate() {
                let subject = format!("rule {} of chain {}", number + 1, chain.name);
                let expressions = to_write(table, chain, rule, counts)?;
                self.add(subject, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table.family, |writer| {
                    write_rule(writer, table, chain, rule, &expressions);
                });
            }
        }
        Ok(())
    }

    fn elements(&mut self, current: &Table, wanted: &Table) -> Result<(), Malformed> {
        let differences = differences(current, wanted)?.ok_or(Malformed)?;
        for kind in [NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM] {
            for one in &differences {
                let list = if kind == NFT_MSG_DELSETELEM { &one.removed } else { &one.added };
                let mut writer = Writer::default();
                list.iter().for_each(|(key, ends)| element(&mut writer, key, *ends));
                let name = one.set.name.as_str();
                self.list(kind, current, (name, name, None), writer.bytes())?;
            }
        }
        self.comments(current, wanted)
    }

    /// Rules that do what they did, and are to say something else about it.
    fn comments(&mut self, current: &Table, wanted: &Table) -> Result<(), Malformed> {
        let counts = counts(current)?;
        for chain in &wanted.chains {
            let Some(own) = current.chains.iter().find(|own| own.name == chain.name) else { continue };
            for (own, rule) in own.rules.iter().zip(&chain.rules).filter(|(own, rule)| own.userdata != rule.userdata) {
                let expressions = to_write(current, chain, own, &counts)?;
                let subject = format!("a rule of chain {}", chain.name);
                self.add(subject, NFT_MSG_NEWRULE, NLM_F_REPLACE, current.family, |writer| {
                    writer.attribute(NFTA_RULE_HANDLE, &own.handle.to_be_bytes());
                    write_rule(writer, current, chain, rule, &expressions);
                });
            }
        }
        Ok(())
    }

    fn rules(&mut self, current: &Table, wanted: &Table) -> Result<(), Malformed> {
        let counts = counts(current)?;
        for chain in current.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            self.add(format!("rules of chain {}", chain.name), NFT_MSG_DELRULE, 0, current.family, |writer| {
                writer.text(NFTA_RULE_TABLE, &current.name);
                writer.text(NFTA_RULE_CHAIN, &chain.name);
            });
        }
        let has = |table: &Table, name: &str| table.chains.iter().any(|chain| chain.name == name);
        for chain in current.chains.iter().filter(|chain| !has(wanted, &chain.name)) {
            self.add(format!("chain {}", chain.name), NFT_MSG_DELCHAIN, 0, current.family, |writer| {
                writer.text(NFTA_CHAIN_TABLE, &current.name);
                writer.text(NFTA_CHAIN_NAME, &chain.name);
            });
        }
        for set in current.sets.iter().filter(|set| !set.is_anonymous()) {
            self.add(format!("set {}", set.name), NFT_MSG_DELSET, 0, current.family, |writer| {
                writer.text(NFTA_SET_TABLE, &current.name);
                writer.text(NFTA_SET_NAME, &set.name);
            });
        }
        self.create_sets(wanted)?;
        for chain in &wanted.chains {
            let own = current.chains.iter().find(|own| own.name == chain.name);
            match (own, &chain.base) {
                (None, _) => self.create_chain(wanted, chain),
                (Some(own), Some(base)) if own.base.as_ref() != Some(base) => {
                    self.add(format!("policy of chain {}", chain.name), NFT_MSG_NEWCHAIN, 0, wanted.family, |writer| {
                        writer.text(NFTA_CHAIN_TABLE, &wanted.name);
                        writer.text(NFTA_CHAIN_NAME, &chain.name);
                        writer.u32(NFTA_CHAIN_POLICY, base.policy.cast_unsigned());
                    });
                }
                (Some(_), _) => {}
            }
        }
        self.create_rules(wanted, &counts)
    }
}

/// What the rules have counted so far, by their chain and comment.
type Counts = HashMap<(String, String), (u64, u64)>;

fn counts(table: &Table) -> Result<Counts, Malformed> {
    let mut counts = Counts::new();
    for (chain, rule) in table.rules() {
        let counter = rule.program()?.into_iter().find_map(|one| match one {
            Expression::Counter { packets, bytes } => Some((packets, bytes)),
            _ => None,
        });
        if let Some((comment, counter)) = rule.comment().zip(counter) {
            counts.insert((chain.name.clone(), comment), counter);
        }
    }
    Ok(counts)
}

fn write_rule(writer: &mut Writer, table: &Table, chain: &Chain, rule: &Rule, expressions: &[u8]) {
    writer.text(NFTA_RULE_TABLE, &table.name);
    writer.text(NFTA_RULE_CHAIN, &chain.name);
    writer.nest(NFTA_RULE_EXPRESSIONS, |writer| writer.raw(expressions));
    if !rule.userdata.is_empty() {
        writer.attribute(NFTA_RULE_USERDATA, &rule.userdata);
    }
}

/// A rule's expressions as the kernel is to get them: with the numbers of anonymous sets that are made in the same
/// transaction, and with what an equal rule has counted.
fn to_write(table: &Table, chain: &Chain, rule: &Rule, counts: &Counts) -> Result<Vec<u8>, Malformed> {
    let number = |name: &str| {
        let number = table.sets.iter().position(|set| set.is_anonymous() && set.name == name)?;
        Some(("__set%d".to_owned(), Some(number as u32 + 1)))
    };
    let expressions = rename_lookups(&rule.expressions, number)?;
    match rule.comment().and_then(|comment| counts.get(&(chain.name.clone(), comment))) {
        Some(counted) => super::table::with_counts(&expressions, *counted),
        None => Ok(expressions),
    }
}
