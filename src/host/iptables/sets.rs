//! From some sets to others.
//!
//! A set that rules look into is never changed in place: what it is to hold is filled in aside, under its name with a
//! mark, and swapped in. One swap is one instant for all packets, but several are several. So that a source that moves from
//! one set to another is in neither or both only where that changes nothing, sets first grow and then shrink: what blocks
//! grows first and shrinks last. In between, whoever is admitted before and after is in a set that admits, and whoever
//! is blocked before and after is not, or is in one that blocks. (The rules that block by a set stand before those that
//! admit, and an untrusted source is admitted neither before nor after.)

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

use super::snapshot::{OwnSet, Snapshot, sets_of};
use crate::dialect::ipset;
use crate::ir::Set;

/// Marks of sets that are being filled. The second one is for when rules look into sets with the first, because a change
/// was cut short.
const MARKS: [char; 2] = ['+', '~'];

/// What has to become of the sets.
#[derive(Debug, Default)]
pub(super) struct SetChanges<'a> {
    /// Sets that are not there, or that no rule looks into: they can be made in place.
    pub new: Vec<&'a OwnSet>,
    /// Sets that rules look into, with other members; as they are and as they are to be.
    pub members: Vec<(&'a OwnSet, &'a OwnSet)>,
    /// The same, where the members alone cannot be exchanged.
    pub replaced: Vec<&'a OwnSet>,
    /// Sets that are to vanish, when no rule looks into them any more.
    pub gone: Vec<&'a str>,
    /// Sets that no rule looks into and whose names are needed: they are to be made anew, or a change that was cut short
    /// left them behind.
    pub idle: Vec<&'a str>,
}

impl<'a> SetChanges<'a> {
    /// What leads from the sets of one snapshot to those of another.
    pub fn between(live: &'a Snapshot, target: &'a Snapshot) -> Self {
        let used: HashSet<&str> = live.rules().flat_map(sets_of).collect();
        let mut changes = Self::default();
        for wanted in &target.sets {
            match live.sets.iter().find(|set| set.name == wanted.name) {
                None => changes.new.push(wanted),
                Some(there) => match compare(there, wanted) {
                    Difference::Nothing => {}
                    _ if !used.contains(there.name.as_str()) => {
                        changes.idle.push(&there.name);
                        changes.new.push(wanted);
                    }
                    Difference::Members => changes.members.push((there, wanted)),
                    Difference::Kind => changes.replaced.push(wanted),
                },
            }
        }
        let is_wanted = |set: &&OwnSet| target.sets.iter().any(|wanted| wanted.name == set.name);
        for set in live.sets.iter().filter(|set| !is_wanted(set)) {
            let in_the_way = set.name.ends_with(MARKS) && !used.contains(set.name.as_str());
            if in_the_way { changes.idle.push(&set.name) } else { changes.gone.push(&set.name) }
        }
        changes
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.new.is_empty() && self.idle.is_empty() && self.gone.is_empty() && !self.changes_used_ones()
    }

    /// Whether sets that rules look into change.
    pub fn changes_used_ones(&self) -> bool {
        !self.members.is_empty() || !self.replaced.is_empty()
    }

    /// The names of all sets that change.
    pub fn names(&self) -> Vec<String> {
        let wanted = self.new.iter().chain(&self.replaced).map(|set| set.name.as_str());
        let members = self.members.iter().map(|(set, _)| set.name.as_str());
        let mut names: Vec<&str> = wanted.chain(members).chain(self.gone.iter().chain(&self.idle).copied()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Used sets with what they are to hold.
    pub fn used(&self) -> impl Iterator<Item = &'a OwnSet> {
        self.members.iter().map(|(_, wanted)| *wanted).chain(self.replaced.iter().copied())
    }
}

enum Difference {
    Nothing,
    Members,
    Kind,
}

fn compare(there: &OwnSet, wanted: &OwnSet) -> Difference {
    match (meaning(there), meaning(wanted)) {
        (Some(a), Some(b)) if a == b => Difference::Nothing,
        // A set with timeouts takes other elements than one without.
        (Some(a), Some(b)) if type_of(there) == type_of(wanted) && a.elements.lasting().1 == b.elements.lasting().1 => {
            Difference::Members
        }
        (None, None) if there == wanted => Difference::Nothing,
        _ => Difference::Kind,
    }
}

/// What is in a set, if that can be known.
fn meaning(set: &OwnSet) -> Option<Set> {
    let text = filled(&set.name, set);
    match ipset::read(&text) {
        Ok((mut sets, unknown)) if unknown.is_empty() => sets.pop(),
        _ => None,
    }
}

/// The type and the family, which have to be equal for a swap.
fn type_of(set: &OwnSet) -> (&str, bool) {
    let kind = set.header.split(' ').next().unwrap_or_default();
    (kind, set.header.split(' ').any(|word| word == "inet6"))
}

/// The lines that make a set under a name and fill it.
pub(super) fn filled(name: &str, set: &OwnSet) -> String {
    let mut text = format!("create {name} {}\n", set.header);
    add(&mut text, name, &set.elements);
    text
}

fn add<'a>(text: &mut String, name: &str, elements: impl IntoIterator<Item = &'a String>) {
    for element in elements {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "add {name} {element}");
    }
}

/// An element in one spelling, whoever wrote it: `ipset restore` takes an element once only, whatever options it is given.
fn key(element: &str) -> String {
    let value = element.split(' ').next().unwrap_or_default();
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    address.parse().map_or_else(|_| value.to_owned(), |address: IpAddr| format!("{address}/{length}"))
}

fn keys(set: &OwnSet) -> HashSet<String> {
    set.elements.iter().map(|element| key(element)).collect()
}

/// A mark that no set has into which rules look, or are to look.
pub(super) fn free_mark(live: &Snapshot, target: &Snapshot) -> Option<char> {
    let used = live.rules().chain(target.rules()).flat_map(sets_of);
    let taken: HashSet<char> = used.filter_map(|name| name.chars().last()).collect();
    MARKS.into_iter().find(|mark| !taken.contains(mark))
}

/// A rule that looks into marked sets instead of those with these names.
pub(super) fn marked(rule: &str, names: &HashSet<&str>, mark: char) -> String {
    let mut parts = rule.split(" --match-set ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(" --match-set ");
        match part.split_once(' ') {
            Some((name, rest)) if names.contains(name) => {
                let _ = write!(text, "{name}{mark} {rest}");
            }
            _ => text.push_str(part),
        }
    }
    text
}

/// How the rules that look into a set use it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Admits,
    Blocks,
}

/// `None` if it is used for both, or the other way round: members alone cannot be exchanged then.
fn usage(live: &Snapshot, name: &str) -> Option<Use> {
    let mut found = None;
    for rule in live.rules().filter(|rule| sets_of(rule).any(|set| set == name)) {
        let own = if rule.ends_with(" -j RETURN") { Use::Admits } else { Use::Blocks };
        if rule.contains("! --match-set ") || found.is_some_and(|found| found != own) {
            return None;
        }
        found = Some(own);
    }
    found
}

/// The scripts that exchange members without touching a rule: each fills sets aside and then swaps them in. `None` if
/// that could open or shut a door for an instant.
pub(super) fn exchange(live: &Snapshot, changes: &SetChanges<'_>, mark: char) -> Option<Vec<String>> {
    if !changes.replaced.is_empty() {
        return None;
    }
    if let [(_, wanted)] = changes.members.as_slice() {
        return Some(vec![swapped(&[(wanted, None)], mark)]);
    }
    let mut grow: Vec<(Use, (&OwnSet, Option<&OwnSet>))> = Vec::new();
    let mut shrink: Vec<(Use, (&OwnSet, Option<&OwnSet>))> = Vec::new();
    for &(there, wanted) in &changes.members {
        let usage = usage(live, &there.name)?;
        let (old, new) = (keys(there), keys(wanted));
        match (new.is_subset(&old), old.is_subset(&new)) {
            (true, _) => shrink.push((usage, (wanted, None))),
            (false, true) => grow.push((usage, (wanted, None))),
            (false, false) => {
                grow.push((usage, (wanted, Some(there))));
                shrink.push((usage, (wanted, None)));
            }
        }
    }
    grow.sort_by_key(|(usage, _)| *usage == Use::Admits);
    shrink.sort_by_key(|(usage, _)| *usage == Use::Blocks);
    let scripts = [grow, shrink].into_iter().filter(|list| !list.is_empty());
    Some(scripts.map(|list| swapped(&list.into_iter().map(|(_, set)| set).collect::<Vec<_>>(), mark)).collect())
}

/// Fills sets aside, some with what others hold added, then swaps them in, in this order.
fn swapped(sets: &[(&OwnSet, Option<&OwnSet>)], mark: char) -> String {
    let mut text = String::new();
    for (set, more) in sets {
        let name = format!("{}{mark}", set.name);
        text.push_str(&filled(&name, set));
        if let Some(more) = more {
            let held = keys(set);
            add(&mut text, &name, more.elements.iter().filter(|element| !held.contains(&key(element))));
        }
    }
    for (set, _) in sets {
        let _ = writeln!(text, "swap {0}{mark} {0}", set.name);
    }
    for (set, _) in sets {
        let _ = writeln!(text, "destroy {}{mark}", set.name);
    }
    text
}
