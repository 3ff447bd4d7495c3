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
    /// Double-ended, because `-I` puts a rule before all others.
    rules: VecDeque<Rule>,
    removed: bool,
}

impl TableDraft {
    pub fn new(name: &'static str) -> Self {
        Self { name, chains: Vec::new(), index: FxHashMap::default(), last: 0 }
    }

    fn add(&mut self, name: &str, base: Option<Base>) -> usize {
        let chain = ChainDraft { name: name.to_owned(), base, rules: VecDeque::new(), removed: false };
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
            None => self.chains.iter_mut().for_each(|chain| chain.rules.clear()),
        }
        Ok(())
    }

    /// `-X`: one chain, or all that are not the kernel's. They have to be empty. (Jumps to them are looked at in the end.)
    pub fn remove(&mut self, name: Option<&str>) -> Result<(), String> {
        for chain in &mut self.chains {
            if chain.removed || chain.base.is_some() || name.is_some_and(|name| name != chain.name) {
                continue;
            }
            if !chain.rules.is_empty() {
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

    /// `-A`.
    pub fn append(&mut self, at: usize, rules: &mut Vec<Rule>) {
        if let Some(chain) = self.chains.get_mut(at) {
            chain.rules.extend(rules.drain(..));
        }
    }

    /// `-I`: each rule of a list goes before the last one, as iptables does it. Says how much work it was.
    pub fn insert(&mut self, at: usize, number: usize, rules: Vec<Rule>) -> Result<usize, String> {
        let chain = self.chain(at)?;
        let mut work = 0;
        for rule in rules {
            if number - 1 > chain.rules.len() {
                return Err(format!("there is no place {number} in chain {}", shown(&chain.name)));
            }
            work += (number - 1).min(chain.rules.len() - (number - 1));
            chain.rules.insert(number - 1, rule);
        }
        Ok(work)
    }

    /// `-R`.
    pub fn replace(&mut self, at: usize, number: usize, mut rules: Vec<Rule>) -> Result<(), String> {
        let chain = self.chain(at)?;
        let (Some(old), Some(new), true) = (chain.rules.get_mut(number - 1), rules.pop(), rules.is_empty()) else {
            return Err(format!("there is no one rule {number} to replace in chain {}", shown(&chain.name)));
        };
        *old = new;
        Ok(())
    }

    /// `-D CHAIN NUMBER`. Says how much work it was.
    pub fn delete_at(&mut self, at: usize, number: usize) -> Result<usize, String> {
        let chain = self.chain(at)?;
        match chain.rules.remove(number - 1) {
            Some(_) => Ok((number - 1).min(chain.rules.len() - (number - 1))),
            None => Err(format!("there is no rule {number} in chain {}", shown(&chain.name))),
        }
    }

    /// `-D CHAIN RULE`, for each rule of a list: the first that says the same, in the same words if there is one. Says how
    /// much work it was.
    pub fn delete(&mut self, at: usize, rules: &[Rule]) -> Result<usize, String> {
        let chain = self.chain(at)?;
        let mut work = 0;
        for gone in rules {
            work += chain.rules.len() * 2;
            let same = |rule: &Rule| {
                rule.matches == gone.matches
                    && rule.verdict == gone.verdict
                    && rule.effective().eq(gone.effective())
                    && rule.log() == gone.log()
                    && rule.comment == gone.comment
            };
            let in_words = |rule: &Rule| same(rule) && specification(rule) == specification(gone);
            let found = chain.rules.iter().position(in_words).or_else(|| chain.rules.iter().position(same));
            let Some(found) = found else {
                return Err(format!("there is no such rule to delete in chain {}", shown(&chain.name)));
            };
            chain.rules.remove(found);
        }
        Ok(work)
    }

    /// The table; `None` if it does nothing.
    pub fn finish(self, family: Family) -> Option<Table> {
        let idle =
            |chain: &ChainDraft| chain.rules.is_empty() && chain.base.is_some_and(|base| base.policy == Policy::Accept);
        let kept = self.chains.into_iter().filter(|chain| !chain.removed && !idle(chain));
        let chains: Vec<Chain> = kept
            .map(|chain| Chain {
                name: values::name(&chain.name),
                base: chain.base,
                remarks: Vec::new(),
                rules: chain.rules.into(),
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
