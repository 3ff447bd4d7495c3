//! Tables and chains while they are read: what each command does to them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{policy, shown, values};
use crate::ir::{Base, Chain, ChainKind, Family, Hook, Policy, Rule, Table, Verdict};

/// The tables of iptables.
pub(super) const TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

const RAW: [&str; 2] = ["PREROUTING", "OUTPUT"];
const MANGLE: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
const NAT: [&str; 4] = ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"];
const FILTER: [&str; 3] = ["INPUT", "FORWARD", "OUTPUT"];

fn builtin_chains(table: &str) -> &'static [&'static str] {
    match table {
        "raw" => &RAW,
        "mangle" => &MANGLE,
        "nat" => &NAT,
        _ => &FILTER,
    }
}

/// The base chain that a table has under this name (linux/netfilter_ipv4.h, nf_ip_hook_priorities).
pub(super) fn builtin(table: &str, chain: &str) -> Option<Base> {
    if !builtin_chains(table).contains(&chain) {
        return None;
    }
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        _ => Hook::Postrouting,
    };
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    };
    let kind = match (table, hook) {
        ("nat", _) => ChainKind::Nat,
        // A changed mark or address is routed anew there (iptable_mangle.c, ipt_mangle_out).
        ("mangle", Hook::Output) => ChainKind::Route,
        _ => ChainKind::Filter,
    };
    Some(Base { kind, hook, priority, policy: Policy::Accept, shared: true })
}

/// The table whose policies `iptables -S` lists, which does not say. The tables filter and security have the same chains;
/// the second is SELinux's alone, so it is the first. nat had no INPUT before Linux 2.6.36.
pub(super) fn table_of_policies(chains: &[&str]) -> Option<&'static str> {
    let is = |all: &[&str]| all.len() == chains.len() && all.iter().all(|chain| chains.contains(chain));
    let old_nat = is(&["PREROUTING", "OUTPUT", "POSTROUTING"]);
    TABLES.into_iter().find(|table| is(builtin_chains(table))).or(old_nat.then_some("nat")).map(|table| match table {
        "security" => "filter",
        table => table,
    })
}

/// A table while it is read.
pub(super) struct TableDraft {
    pub name: &'static str,
    chains: Vec<ChainDraft>,
    /// By name, of those that are there.
    index: FxHashMap<String, usize>,
    /// The chain of the last rule: the next rule is mostly for the same one.
    last: usize,
}

struct ChainDraft {
    /// The name as it is written.
    name: String,
    base: Option<Base>,
    rules: Rules,
    removed: bool,
}

/// The rules of a chain, as iptables counts them. Double-ended, because `-I` puts a rule before all others.
#[derive(Default)]
struct Rules {
    all: VecDeque<Rule>,
    /// Of each, whether iptables counts it, or has it in the one before.
    counted: VecDeque<bool>,
    /// How many are not counted.
    inner: usize,
}

impl Rules {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many iptables counts.
    fn len(&self) -> usize {
        self.all.len() - self.inner
    }

    fn extend(&mut self, rules: impl Iterator<Item = Rule>, width: usize) {
        for (at, rule) in rules.enumerate() {
            let counts = at.is_multiple_of(width.max(1));
            self.all.push_back(rule);
            self.counted.push_back(counts);
            self.inner += usize::from(!counts);
        }
    }

    /// Where the rule begins that iptables gives this number, from 0; the end for the one behind the last.
    fn place(&self, number: usize) -> usize {
        if self.inner == 0 {
            return number.min(self.all.len());
        }
        let mut begins = self.counted.iter().enumerate().filter(|(_, counts)| **counts);
        begins.nth(number).map_or(self.all.len(), |(at, _)| at)
    }

    /// How many rules are moved, or looked at, where something is done to the one of this number.
    fn work(&self, number: usize) -> usize {
        let place = number.min(self.len());
        let moved = place.min(self.len() - place);
        if self.inner == 0 { moved } else { self.all.len() }
    }

    /// How many there are of the rule that begins here.
    fn width(&self, at: usize) -> usize {
        1 + self.counted.iter().skip(at + 1).take_while(|counts| !**counts).count()
    }

    /// Puts one rule of iptables where another begins.
    fn insert(&mut self, at: usize, rules: &[Rule]) {
        self.inner += rules.len().saturating_sub(1);
        for (number, rule) in rules.iter().enumerate().rev() {
            self.all.insert(at, rule.clone());
            self.counted.insert(at, number == 0);
        }
    }

    /// Takes out the rule that begins here.
    fn remove(&mut self, at: usize) {
        let width = self.width(at);
        self.inner -= width - 1;
        self.all.drain(at..at + width);
        self.counted.drain(at..at + width);
    }

    /// Where each rule of iptables begins that says the same as these.
    fn same(&self, rules: &[Rule]) -> impl Iterator<Item = usize> {
        let begins = self.counted.iter().enumerate().filter(|(_, counts)| **counts);
        begins.map(|(at, _)| at).filter(move |at| {
            let own = self.all.iter().skip(*at).take(rules.len());
            own.zip(rules).all(|(own, other)| same(own, other)) && self.width(*at) == rules.len()
        })
    }
}

fn same(one: &Rule, other: &Rule) -> bool {
    one.matches == other.matches
        && one.verdict == other.verdict
        && one.effective().eq(other.effective())
        && one.log() == other.log()
        && one.comment == other.comment
}

impl TableDraft {
    pub fn new(name: &'static str) -> Self {
        Self { name, chains: Vec::new(), index: FxHashMap::default(), last: 0 }
    }

    fn add(&mut self, name: &str, base: Option<Base>) -> usize {
        let chain = ChainDraft { name: name.to_owned(), base, rules: Rules::default(), removed: false };
        self.chains.push(chain);
        self.index.insert(name.to_owned(), self.chains.len() - 1);
        self.chains.len() - 1
    }

    /// Where a chain is. One of the kernel's is there without being declared.
    pub fn chain_index(&mut self, name: &str) -> Result<usize, String> {
        if self.chains.get(self.last).is_some_and(|chain| chain.name == name && !chain.removed) {
            return Ok(self.last);
        }
        let found = match self.index.get(name) {
            Some(&found) => found,
            None => {
                let base = builtin(self.name, name);
                let base = base.ok_or_else(|| format!("there is no chain {} in table {}", shown(name), self.name))?;
                self.add(name, Some(base))
            }
        };
        self.last = found;
        Ok(found)
    }

    pub fn is_user_chain(&self, name: &str) -> bool {
        let found = self.index.get(name).and_then(|&at| self.chains.get(at));
        found.is_some_and(|chain| chain.base.is_none())
    }

    fn chain(&mut self, at: usize) -> Result<&mut ChainDraft, String> {
        self.chains.get_mut(at).ok_or_else(|| "no such chain".to_owned())
    }

    /// `:CHAIN POLICY [packets:bytes]`.
    pub fn declare(&mut self, declaration: &str) -> Result<(), String> {
        let mut words = declaration.split([' ', '\t']).filter(|word| !word.is_empty());
        let name = words.next().ok_or("a chain without a name")?;
        let given = words.next().ok_or_else(|| format!("the chain {} has no policy; `-` is none", shown(name)))?;
        if builtin(self.name, name).is_some() {
            let at = self.chain_index(name)?;
            return if given == "-" { Ok(()) } else { self.give_policy(at, given) };
        }
        if given != "-" {
            return Err(format!("{} is not a chain of the kernel's and has no policy", shown(name)));
        }
        match self.index.get(name).copied() {
            Some(at) => self.chain(at)?.rules.clear(),
            None => self.create(name)?,
        }
        Ok(())
    }

    /// Whether a chain lets go not everything by its policy.
    pub fn has_policy(&self) -> bool {
        self.chains.iter().any(|chain| chain.base.is_some_and(|base| base.policy != Policy::Accept))
    }

    fn give_policy(&mut self, at: usize, name: &str) -> Result<(), String> {
        let policy = policy(name)?;
        if let Some(base) = &mut self.chain(at)?.base {
            base.policy = policy;
        }
        Ok(())
    }

    /// `-N`.
    pub fn create(&mut self, name: &str) -> Result<(), String> {
        if self.index.contains_key(name) || builtin(self.name, name).is_some() {
            return Err(format!("the chain {} is there already", shown(name)));
        }
        if matches!(name, "ACCEPT" | "DROP" | "RETURN" | "QUEUE") || name.starts_with(['-', '!']) || name.is_empty() {
            return Err(format!("no name for a chain: {}", shown(name)));
        }
        self.add(name, None);
        Ok(())
    }

    /// `-P`.
    pub fn set_policy(&mut self, name: &str, policy: &str) -> Result<(), String> {
        if builtin(self.name, name).is_none() {
            return Err(format!("{} is not a chain of the kernel's and has no policy", shown(name)));
        }
        let at = self.chain_index(name)?;
        self.give_policy(at, policy)
    }

    /// `-F`: one chain, or all.
    pub fn flush(&mut self, name: Option<&str>) -> Result<(), String> {
        match name {
            Some(name) => {
                let at = self.chain_index(name)?;
                self.chain(at)?.rules.clear();
            }
            None if self.chains.iter().any(|chain| chain.rules.len() > 0) => {
                return Err("`-F` without a chain: iptables-nft-restore leaves the rules that stand before it in the same text (seen with \
                            1.8.9), and iptables-legacy-restore takes them away: name the chain"
                    .to_owned());
            }
            None => {}
        }
        Ok(())
    }

    /// `-X`: one chain, or all that are not the kernel's. They have to be empty. (Jumps to them are looked at in the end.)
    pub fn remove(&mut self, name: Option<&str>) -> Result<(), String> {
        for chain in &mut self.chains {
            if chain.removed || chain.base.is_some() || name.is_some_and(|name| name != chain.name) {
                continue;
            }
            if chain.rules.len() > 0 {
                return Err(format!("the chain {} is not empty", shown(&chain.name)));
            }
            chain.removed = true;
            self.index.remove(&chain.name);
            if name.is_some() {
                return Ok(());
            }
        }
        match name {
            Some(name) => Err(format!("there is no chain {} to delete", shown(name))),
            None => Ok(()),
        }
    }

    /// `-A`. Of these rules so many, which follow each other, are one to iptables.
    pub fn append(&mut self, at: usize, rules: &mut Vec<Rule>, width: usize) {
        if let Some(chain) = self.chains.get_mut(at) {
            chain.rules.extend(rules.drain(..), width);
        }
    }

    /// `-I`: each rule of a list goes before the last one, as iptables does it. Says how much work it was.
    pub fn insert(&mut self, at: usize, number: usize, rules: &[Rule], width: usize) -> Result<usize, String> {
        let chain = self.chain(at)?;
        let mut work = 0;
        for one in rules.chunks(width.max(1)) {
            if number - 1 > chain.rules.len() {
                return Err(format!("there is no place {number} in chain {}", shown(&chain.name)));
            }
            work += chain.rules.work(number - 1) * one.len();
            let place = chain.rules.place(number - 1);
            chain.rules.insert(place, one);
        }
        Ok(work)
    }

    /// `-R`. Says how much work it was.
    pub fn replace(&mut self, at: usize, number: usize, rules: &[Rule], width: usize) -> Result<usize, String> {
        let chain = self.chain(at)?;
        if number > chain.rules.len() || rules.len() != width {
            return Err(format!("there is no one rule {number} to replace in chain {}", shown(&chain.name)));
        }
        let work = chain.rules.work(number - 1) * (width + 1);
        let place = chain.rules.place(number - 1);
        chain.rules.remove(place);
        chain.rules.insert(place, rules);
        Ok(work)
    }

    /// `-D CHAIN NUMBER`. Says how much work it was.
    pub fn delete_at(&mut self, at: usize, number: usize) -> Result<usize, String> {
        let chain = self.chain(at)?;
        if number > chain.rules.len() {
            return Err(format!("there is no rule {number} in chain {}", shown(&chain.name)));
        }
        let work = chain.rules.work(number - 1);
        let place = chain.rules.place(number - 1);
        chain.rules.remove(place);
        Ok(work)
    }

    /// `-D CHAIN RULE`, for each rule of a list: the first that says the same. Which one that is to iptables is not certain where they say
    /// it in other words than this, and than each other. Says how much work it was.
    pub fn delete(&mut self, at: usize, rules: &[Rule], width: usize) -> Result<usize, String> {
        let chain = self.chain(at)?;
        let mut work = 0;
        for gone in rules.chunks(width.max(1)) {
            work += chain.rules.all.len() * 2;
            let words = |at: usize| chain.rules.all.get(at).map(specification);
            let mut same = chain.rules.same(gone);
            let Some(found) = same.next() else {
                return Err(format!("there is no such rule to delete in chain {}", shown(&chain.name)));
            };
            let in_doubt =
                words(found) != gone.first().map(specification) && same.any(|other| words(other) != words(found));
            drop(same);
            if in_doubt {
                return Err(format!(
                    "several rules of chain {} say the same in other words, and which of them iptables takes away is not certain: \
                     give its number",
                    shown(&chain.name)
                ));
            }
            chain.rules.remove(found);
        }
        Ok(work)
    }

    /// The table; `None` if it does nothing.
    pub fn finish(self, family: Family) -> Option<Table> {
        let idle =
            |chain: &ChainDraft| chain.rules.len() == 0 && chain.base.is_some_and(|base| base.policy == Policy::Accept);
        let kept = self.chains.into_iter().filter(|chain| !chain.removed && !idle(chain));
        let chains: Vec<Chain> = kept
            .map(|chain| Chain {
                name: values::name(&chain.name),
                base: chain.base,
                remarks: Vec::new(),
                rules: chain.rules.all.into(),
            })
            .collect();
        (!chains.is_empty()).then(|| Table {
            family,
            name: self.name.to_owned(),
            legacy: false,
            sets: Vec::new(),
            chains,
        })
    }
}

/// What stands behind the name of the chain.
fn specification(rule: &Rule) -> &str {
    let text = rule.place.as_ref().map_or("", |place| place.text.as_str());
    text.splitn(3, ' ').nth(2).unwrap_or_default()
}

/// Puts each chain behind those that it jumps to, and else leaves the order. Jumps have been checked: no circles, and few
/// levels, so the recursion is shallow.
pub(super) fn sort_chains(table: &mut Table) {
    let index: FxHashMap<&str, usize> =
        table.chains.iter().enumerate().map(|(at, chain)| (chain.name.as_str(), at)).collect();
    let targets: Vec<Vec<usize>> = table
        .chains
        .iter()
        .map(|chain| {
            let mut targets: Vec<usize> = Vec::new();
            for rule in &chain.rules {
                if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict
                    && let Some(&at) = index.get(name.as_str())
                    && targets.last() != Some(&at)
                {
                    targets.push(at);
                }
            }
            targets
        })
        .collect();
    let mut order = Vec::with_capacity(targets.len());
    let mut visited = vec![false; targets.len()];
    for at in 0..targets.len() {
        visit(at, &targets, &mut visited, &mut order);
    }
    let mut chains: Vec<Option<Chain>> = table.chains.drain(..).map(Some).collect();
    table.chains = order.into_iter().filter_map(|at| chains.get_mut(at).and_then(Option::take)).collect();
}

fn visit(at: usize, targets: &[Vec<usize>], visited: &mut [bool], order: &mut Vec<usize>) {
    match visited.get_mut(at) {
        Some(seen) if !*seen => *seen = true,
        _ => return,
    }
    for &target in targets.get(at).map(Vec::as_slice).unwrap_or_default() {
        visit(target, targets, visited, order);
    }
    order.push(at);
}
