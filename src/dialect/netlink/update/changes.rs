//! The messages of a change.

use std::collections::{HashMap, VecDeque};

use super::super::attributes::{Malformed, Writer};
use super::super::constants::*;
use super::super::elements::{element, pieces};
use super::super::expression::Expression;
use super::super::read::message;
use super::super::table::{ANONYMOUS, Chain, Rule, Set, Table, rename_lookups, with_counts};
use super::sets::{SetDifference, unchanged};
use super::{Changes, Touched, recommented};

/// Up to so many keys are asked for one by one, for some microseconds each.
const MOST_KEYS: usize = 1000;

impl Changes {
    fn add(&mut self, subject: String, kind: u16, flags: u16, family: u8, write: impl FnOnce(&mut Writer)) {
        self.subjects.push(subject);
        let sequence = self.subjects.len() as u32;
        message(&mut self.writer, kind, flags, family, sequence, write);
    }

    pub(super) fn delete(&mut self, table: &Table) {
        self.add(format!("table {}", table.name), NFT_MSG_DELTABLE, 0, table.family, |writer| {
            writer.text(NFTA_TABLE_NAME, &table.name);
        });
    }

    pub(super) fn create(&mut self, table: &Table) -> Result<(), Malformed> {
        // For most of it, which is the elements with a header now and then.
        self.writer.reserve(table.sets.iter().map(|set| set.elements.len() + set.elements.len() / 256 + 256).sum());
        self.add(format!("table {}", table.name), NFT_MSG_NEWTABLE, NLM_F_CREATE, table.family, |writer| {
            writer.text(NFTA_TABLE_NAME, &table.name);
            // A table that belongs to a process cannot be given back to it.
            writer.u32(NFTA_TABLE_FLAGS, table.flags & !(NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST));
            if !table.userdata.is_empty() {
                writer.attribute(NFTA_TABLE_USERDATA, &table.userdata);
            }
        });
        // Chains before sets, whose elements may lead to them.
        for chain in &table.chains {
            self.create_chain(table, chain);
        }
        for (number, set) in table.sets.iter().enumerate() {
            self.create_set(table, number, set)?;
        }
        self.create_rules(table, Counts::new())
    }

    /// A table where there was none: first its sets of ranges, then the chains with the rules that look into them.
    pub(super) fn create_in_turn(&mut self, table: &Table) -> Result<(), Malformed> {
        let ranges = |set: &&Set| set.flags == NFT_SET_INTERVAL && !set.elements.is_empty();
        let sets: Vec<Set> = table.sets.iter().filter(ranges).cloned().collect();
        if sets.is_empty() {
            return self.create(table);
        }
        let staged = Table { sets, chains: Vec::new(), ..table.clone() };
        self.create(&staged)?;
        let mut second = Self::default();
        second.rules(&staged, table, Counts::new())?;
        self.later.push(second);
        Ok(())
    }

    fn create_set(&mut self, table: &Table, number: usize, set: &Set) -> Result<(), Malformed> {
        let id = number as u32 + 1;
        let name = if set.is_anonymous() { ANONYMOUS } else { &set.name };
        self.add(format!("set {}", set.name), NFT_MSG_NEWSET, NLM_F_CREATE, table.family, |writer| {
            writer.text(NFTA_SET_TABLE, &table.name);
            writer.text(NFTA_SET_NAME, name);
            writer.u32(NFTA_SET_ID, id);
            writer.raw(&set.attributes);
        });
        self.list(NFT_MSG_NEWSETELEM, table, (&set.name, name, Some(id)), &set.elements)
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

    fn create_rules(&mut self, table: &Table, mut counts: Counts) -> Result<(), Malformed> {
        for chain in &table.chains {
            for (number, rule) in chain.rules.iter().enumerate() {
                let subject = format!("rule {} of chain {}", number + 1, chain.name);
                let own = rule.comment().and_then(|comment| counts.get_mut(&(chain.name.clone(), comment)));
                let expressions = to_write(table, rule, own.and_then(VecDeque::pop_front).flatten())?;
                self.add(subject, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table.family, |writer| {
                    write_rule(writer, table, chain, rule, &expressions);
                });
            }
        }
        Ok(())
    }

    pub(super) fn elements(
        &mut self,
        current: &Table,
        wanted: &Table,
        differences: &[SetDifference<'_>],
    ) -> Result<(), Malformed> {
        for kind in [NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM] {
            for one in differences {
                let list = if kind == NFT_MSG_DELSETELEM { &one.removed } else { &one.added };
                let mut writer = Writer::default();
                for &(first, behind) in list {
                    element(&mut writer, first, false);
                    if let Some(behind) = behind {
                        element(&mut writer, behind, true);
                    }
                }
                let name = one.set.name.as_str();
                self.list(kind, current, (name, name, None), writer.bytes())?;
            }
        }
        self.touched = differences.iter().map(Touched::of).collect();
        for (chain, own, rule) in recommented(current, wanted) {
            // An anonymous set goes with its rule, and comes with the new one.
            for one in rule.program()? {
                let Expression::Lookup { set, .. } = one else { continue };
                let anonymous = wanted.sets.iter().enumerate().find(|(_, own)| own.is_anonymous() && own.name == set);
                if let Some((number, set)) = anonymous {
                    self.create_set(wanted, number, set)?;
                }
            }
            let expressions = to_write(wanted, rule, count(own)?)?;
            let subject = format!("a rule of chain {}", chain.name);
            self.add(subject, NFT_MSG_NEWRULE, NLM_F_REPLACE, current.family, |writer| {
                writer.attribute(NFTA_RULE_HANDLE, &own.handle.to_be_bytes());
                write_rule(writer, wanted, chain, rule, &expressions);
            });
        }
        Ok(())
    }

    /// Other rules and sets. Where a set of ranges changes, in three transactions: the first makes its like under another
    /// name, the second makes rules that look into that, and the set itself anew; the third lets the rules look into
    /// this one. Each leaves a table that stands for itself, so that it does not matter if nothing follows.
    pub(super) fn replace(&mut self, current: &Table, wanted: &Table) -> Result<(), Malformed> {
        let counts = counts(current)?;
        let kept = unchanged(current, wanted)?;
        let fresh = |set: &&Set| {
            set.flags & NFT_SET_INTERVAL != 0
                && !set.elements.is_empty()
                && !set.is_anonymous()
                && !kept.contains(set.name.as_str())
        };
        let (mut staged, mut between) = (current.clone(), wanted.clone());
        let mut names: HashMap<&str, String> = HashMap::new();
        for set in wanted.sets.iter().filter(fresh) {
            // Without an old one of this name, the new one itself can be there before.
            let mut next = set.clone();
            while staged.set(&next.name).is_some() || (next.name != set.name && between.set(&next.name).is_some()) {
                next.name.push_str("_next");
            }
            self.create_set(wanted, staged.sets.len(), &next)?;
            if next.name != set.name {
                names.insert(&set.name, next.name.clone());
                between.sets.push(next.clone());
            }
            staged.sets.push(next);
        }
        for rule in between.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            let rename = |name: &str| names.get(name).map(|new| (new.clone(), None));
            rule.expressions = rename_lookups(&rule.expressions, rename)?;
        }
        if self.is_empty() {
            return self.rules(current, wanted, counts);
        }
        let mut second = Self::default();
        second.rules(&staged, &between, counts.clone())?;
        self.later.push(second);
        if !names.is_empty() {
            let mut third = Self::default();
            third.rules(&between, wanted, counts)?;
            self.later.push(third);
        }
        Ok(())
    }

    fn rules(&mut self, current: &Table, wanted: &Table, counts: Counts) -> Result<(), Malformed> {
        let kept = unchanged(current, wanted)?;
        for chain in current.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            self.add(format!("rules of chain {}", chain.name), NFT_MSG_DELRULE, 0, current.family, |writer| {
                writer.text(NFTA_RULE_TABLE, &current.name);
                writer.text(NFTA_RULE_CHAIN, &chain.name);
            });
        }
        // Sets before chains, which elements of maps may lead to.
        let gone = |set: &&Set| !set.is_anonymous() && !kept.contains(set.name.as_str());
        for set in current.sets.iter().filter(gone) {
            self.add(format!("set {}", set.name), NFT_MSG_DELSET, 0, current.family, |writer| {
                writer.text(NFTA_SET_TABLE, &current.name);
                writer.text(NFTA_SET_NAME, &set.name);
            });
        }
        for chain in current.chains.iter().filter(|chain| wanted.chain(&chain.name).is_none()) {
            self.add(format!("chain {}", chain.name), NFT_MSG_DELCHAIN, 0, current.family, |writer| {
                writer.text(NFTA_CHAIN_TABLE, &current.name);
                writer.text(NFTA_CHAIN_NAME, &chain.name);
            });
        }
        for chain in &wanted.chains {
            let own = current.chain(&chain.name);
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
        for (number, set) in wanted.sets.iter().enumerate().filter(|(_, set)| !kept.contains(set.name.as_str())) {
            self.create_set(wanted, number, set)?;
        }
        self.create_rules(wanted, counts)
    }
}

impl Touched {
    fn of(difference: &SetDifference<'_>) -> Self {
        let SetDifference { set, removed, added } = difference;
        let few = set.flags & NFT_SET_INTERVAL == 0 && removed.len() + added.len() <= MOST_KEYS;
        let keys = [(removed, false), (added, true)].into_iter();
        let keys = keys.flat_map(|(list, there)| list.iter().map(move |(key, _)| (key.to_vec(), there)));
        Self { set: set.name.clone(), keys: few.then(|| keys.collect()) }
    }
}

/// What a rule has counted so far.
fn count(rule: &Rule) -> Result<Option<(u64, u64)>, Malformed> {
    Ok(rule.program()?.into_iter().find_map(|one| match one {
        Expression::Counter { packets, bytes } => Some((packets, bytes)),
        _ => None,
    }))
}

/// What rules have counted so far, by chain and comment; in their order, where several have the same.
type Counts = HashMap<(String, String), VecDeque<Option<(u64, u64)>>>;

fn counts(table: &Table) -> Result<Counts, Malformed> {
    let mut counts = Counts::new();
    for (chain, rule) in table.rules() {
        if let Some(comment) = rule.comment() {
            counts.entry((chain.name.clone(), comment)).or_default().push_back(count(rule)?);
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
/// transaction, and with what was counted before.
fn to_write(table: &Table, rule: &Rule, counted: Option<(u64, u64)>) -> Result<Vec<u8>, Malformed> {
    let number = |name: &str| {
        let number = table.sets.iter().position(|set| set.is_anonymous() && set.name == name)?;
        Some((ANONYMOUS.to_owned(), Some(number as u32 + 1)))
    };
    let expressions = rename_lookups(&rule.expressions, number)?;
    match counted {
        Some(counted) => with_counts(&expressions, counted),
        None => Ok(expressions),
    }
}
