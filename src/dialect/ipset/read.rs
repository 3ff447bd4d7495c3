//! ipset text → sets: what `ipset restore` takes, `ipset save` and `ipset list` print.
//!
//! Commands have their effect in their order, where nothing was before. What a set is and means is said in
//! [`content`](super::content).
//!
//! INVARIANT (bounded): the work is linear in the text, but for ranges in `hash:ip`, which have a budget.

use std::collections::BTreeSet;
use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};

use super::content::{self, Content, EXPANDED, Holds};
use super::element::{ports, range, tuple};
use super::several::Tuple;
use crate::dialect::iptables::shown;
use crate::dialect::read::{ReadError, Unknown};
use crate::ir::Set;

/// What a text says of sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The sets.
    pub sets: Vec<Set>,
    /// What in them is not known.
    pub unknown: Vec<Unknown>,
    /// Those whose elements may be other sets, see [`Ruleset::forget_changed_through`](crate::ir::Ruleset::forget_changed_through).
    pub lists: BTreeSet<String>,
}

/// Reads sets, and what in them is not known.
///
/// # Errors
/// As [`saved`].
pub fn read(text: &str) -> Result<(Vec<Set>, Vec<Unknown>), ReadError> {
    saved(text).map(|saved| (saved.sets, saved.unknown))
}

/// Reads sets.
///
/// # Errors
/// If the text is not ipset's, or is cut off, or ipset would refuse it.
pub fn saved(text: &str) -> Result<Saved, ReadError> {
    let mut sets = Sets {
        list: Vec::new(),
        index: FxHashMap::default(),
        last: 0,
        expanded: EXPANDED,
        renamed: FxHashSet::default(),
    };
    let lines = || text.split('\n').zip(1_u32..).map(|(line, number)| (line.trim_matches(BLANK), number));
    let mut ruled = lines().filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    if let Some((line, number)) = lines().find(|(line, _)| line.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f))
    {
        return Err(ReadError::new(number, format!("a control character: {}", shown(line))));
    }
    if let Some((_, number)) = lines().last()
        && !text.is_empty()
        && !text.ends_with('\n')
    {
        return Err(ReadError::new(number, "the text ends in the midst of a line"));
    }
    if ruled.clone().next().is_some_and(|(line, _)| line.starts_with("Name: ")) {
        sets.listing(lines())?;
    } else {
        ruled.try_for_each(|(line, number)| {
            sets.command(line, number).map_err(|message| ReadError::new(number, message))
        })?;
    }
    Ok(sets.finish())
}

const BLANK: [char; 3] = [' ', '\t', '\r'];

struct Sets<'a> {
    list: Vec<Entry<'a>>,
    index: FxHashMap<&'a str, usize>,
    /// The set of the last `add`: the next one is mostly for the same one.
    last: usize,
    expanded: usize,
    /// Names that sets had or have by being renamed.
    renamed: FxHashSet<String>,
}

struct Entry<'a> {
    name: &'a str,
    content: Content<'a>,
    removed: bool,
}

impl<'a> Sets<'a> {
    fn command(&mut self, line: &'a str, number: u32) -> Result<(), String> {
        let (command, rest) = word(line);
        let (name, rest) = word(rest);
        match command {
            "add" | "-A" | "--add" | "a" => {
                let at = self.find(name)?;
                self.add(at, rest, number)
            }
            "create" | "-N" | "--create" | "n" => self.create(name, rest, number),
            "flush" | "-F" | "--flush" | "f" => self.each(name, |entry| entry.content.flush()),
            "destroy" | "-X" | "--destroy" | "x" => self.each(name, |entry| entry.removed = true),
            "swap" | "-W" | "--swap" | "w" => self.swap(name, word(rest).0),
            "rename" | "-E" | "--rename" | "e" => self.rename(name, word(rest).0),
            "del" | "-D" | "--del" | "d" => {
                let at = self.find(name)?;
                self.doubt(at, number, line);
                Ok(())
            }
            "test" | "-T" | "--test" | "t" | "COMMIT" | "commit" => Ok(()),
            _ => Err(format!("not a line of ipset: {}", shown(line))),
        }
    }

    fn find(&mut self, name: &str) -> Result<usize, String> {
        if !self.list.get(self.last).is_some_and(|entry| entry.name == name && !entry.removed) {
            self.last = *self.index.get(name).ok_or_else(|| format!("there is no set {}", shown(name)))?;
        }
        Ok(self.last)
    }

    /// One set, or all; those that are removed by it are forgotten.
    fn each(&mut self, name: &str, change: impl Fn(&mut Entry<'a>)) -> Result<(), String> {
        if is_option(name) {
            self.list.iter_mut().for_each(change);
        } else {
            let at = self.find(name)?;
            self.list.get_mut(at).into_iter().for_each(change);
        }
        if let Some(entry) = self.list.get(self.last).filter(|entry| entry.removed && !is_option(name)) {
            self.index.remove(entry.name);
        } else if is_option(name) {
            let list = &self.list;
            self.index.retain(|_, at| list.get(*at).is_some_and(|entry| !entry.removed));
        }
        Ok(())
    }

    fn create(&mut self, name: &'a str, rest: &'a str, number: u32) -> Result<(), String> {
        if is_option(name) {
            return Err("`create` without a name".to_owned());
        }
        let (kind, options) = word(rest);
        let content = Content::new(kind, words(options), number);
        if let Some(entry) = self.index.get(name).and_then(|&at| self.list.get(at)) {
            let exist = words(rest).any(|word| matches!(word, "-exist" | "-!" | "--exist"));
            return match exist && entry.content.is_made_like(&content) {
                true => Ok(()),
                false => Err(format!("the set {} is there already", shown(name))),
            };
        }
        self.index.insert(name, self.list.len());
        self.list.push(Entry { name, content, removed: false });
        Ok(())
    }

    fn swap(&mut self, one: &str, other: &str) -> Result<(), String> {
        let (one, other) = (self.find(one)?, self.find(other)?);
        let Ok([one, other]) = self.list.get_disjoint_mut([one, other]) else { return Ok(()) };
        if !one.content.is_like(&other.content) {
            return Err(format!("{} and {} are of different types", shown(one.name), shown(other.name)));
        }
        mem::swap(&mut one.content, &mut other.content);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &'a str) -> Result<(), String> {
        let at = self.find(old)?;
        // A list goes on having it, by its new name.
        self.renamed.extend([old.to_owned(), new.to_owned()]);
        if is_option(new) || self.index.contains_key(new) {
            return Err(format!("no new name for a set: {}", shown(new)));
        }
        self.index.remove(old);
        self.index.insert(new, at);
        if let Some(entry) = self.list.get_mut(at) {
            entry.name = new;
        }
        Ok(())
    }

    fn doubt(&mut self, at: usize, number: u32, text: &'a str) {
        if let Some(entry) = self.list.get_mut(at) {
            entry.content.doubt(number, text);
        }
    }

    fn add(&mut self, at: usize, element: &'a str, number: u32) -> Result<(), String> {
        let (value, options) = word(element);
        if is_option(value) {
            return Err("`add` without an element".to_owned());
        }
        let Some(Entry { content, .. }) = self.list.get_mut(at) else { return Ok(()) };
        if content.is_unknown() {
            return Ok(());
        }
        let (mut excepted, mut wildcard, mut known) = (false, false, true);
        let mut options = words(options);
        while let Some(option) = options.next() {
            known &= match option {
                "nomatch" => {
                    excepted = true;
                    true
                }
                "wildcard" => {
                    wildcard = true;
                    true
                }
                "timeout" => options.next().is_some() && content.is_passing(),
                // These, with the word behind them, whatever it is, leave an element as it is; so does the place in a list of sets.
                "comment" | "packets" | "bytes" | "skbmark" | "skbprio" | "skbqueue" | "before" | "after" => {
                    options.next().is_some()
                }
                "-exist" | "-!" | "--exist" => true,
                _ => false,
            };
        }
        let taken = known
            && match content.holds() {
                Holds::Addresses | Holds::Networks => {
                    let range = range(value, content.is_ipv6());
                    range.is_some_and(|range| match excepted {
                        true => content.except(range),
                        false => content.add(range, &mut self.expanded),
                    })
                }
                Holds::Several(several) => {
                    let found = tuple(value, several, content.is_ipv6(), wildcard);
                    found.is_some_and(|found| content.add_tuple(Tuple { excepted, ..found }))
                }
                Holds::Ports => ports(value).is_some_and(|(first, last)| content.add_ports(first, last)),
                Holds::Sets => content.add_set(value),
                Holds::Others { .. } => false,
            };
        if !taken {
            content.doubt(number, element);
        }
        Ok(())
    }

    /// `ipset list`: blocks of `Name:`, `Type:`, `Header:`, … `Members:` and a line for each.
    fn listing(&mut self, lines: impl Iterator<Item = (&'a str, u32)>) -> Result<(), ReadError> {
        let mut block: Option<Block<'a>> = None;
        for (line, number) in lines {
            let error = |message| ReadError::new(number, message);
            if let Some(name) = line.strip_prefix("Name: ") {
                self.end_of_block(block.take())?;
                block = Some(Block { name, line: number, ..Block::default() });
                continue;
            }
            let Some(open) = block.as_mut().filter(|_| !line.is_empty()) else { continue };
            if let Some(set) = open.set {
                open.members += 1;
                self.add(set, line, number).map_err(error)?;
                continue;
            }
            match line.split_once(':').map(|(field, value)| (field, value.trim_matches(BLANK))) {
                Some(("Type", value)) => open.kind = value,
                Some(("Header", value)) => {
                    open.header = value;
                    if self.index.contains_key(open.name) {
                        return Err(error(format!("the set {} is there already", shown(open.name))));
                    }
                    let content = Content::new(open.kind, words(value), open.line);
                    self.index.insert(open.name, self.list.len());
                    self.list.push(Entry { name: open.name, content, removed: false });
                }
                Some(("Number of entries", value)) => open.entries = value.parse().ok(),
                Some(("Members", "")) => open.set = Some(self.find(open.name).map_err(error)?),
                Some(("Revision" | "Size in memory" | "References", _)) => {}
                _ => return Err(error(format!("not a line of `ipset list`: {}", shown(line)))),
            }
        }
        self.end_of_block(block)
    }

    /// `ipset list -t` leaves the members out.
    fn end_of_block(&mut self, block: Option<Block<'a>>) -> Result<(), ReadError> {
        let Some(block) = block else { return Ok(()) };
        let at = self.find(block.name).map_err(|_| {
            ReadError::new(block.line, format!("the set {} has no `Header:`: the text is cut off", shown(block.name)))
        })?;
        let complete = block.set.is_some() && block.entries.is_none_or(|entries| entries == block.members);
        if !complete && block.entries != Some(0) {
            self.doubt(at, block.line, "members that are not listed");
        }
        Ok(())
    }

    fn finish(self) -> Saved {
        let mut saved = Saved::default();
        let renamed = self.renamed;
        let mut there: Vec<Entry<'_>> = self.list.into_iter().filter(|entry| !entry.removed).collect();
        for Entry { content, .. } in &mut there {
            if content.sets().iter().any(|name| renamed.contains(name)) {
                content.doubt_all("a set of it has another name now");
            }
        }
        let names: Vec<(&str, bool)> = there.iter().map(|entry| (entry.name, entry.content.is_list())).collect();
        let made = content::sets(there.into_iter().map(|entry| (entry.name.to_owned(), entry.content)).collect());
        for ((set, doubt), (name, is_list)) in made.into_iter().zip(names) {
            saved.lists.extend(is_list.then(|| set.name.clone()));
            saved.unknown.extend(doubt.map(|(line, text)| Unknown { line, text: format!("{name} {text}") }));
            saved.sets.push(set);
        }
        saved.unknown.sort_by_key(|unknown| unknown.line);
        saved
    }
}

/// A set in `ipset list`.
#[derive(Default)]
struct Block<'a> {
    name: &'a str,
    line: u32,
    kind: &'a str,
    header: &'a str,
    entries: Option<u64>,
    members: u64,
    /// Where the members go, once they are announced.
    set: Option<usize>,
}

/// The first word, and what stands behind it.
fn word(line: &str) -> (&str, &str) {
    match line.bytes().position(|b| matches!(b, b' ' | b'\t' | b'\r')) {
        None => (line, ""),
        Some(end) => {
            let (word, rest) = line.split_at(end);
            (word, rest.trim_start_matches(BLANK))
        }
    }
}

/// The words of options. What is between quotes is one, and means what it means without them; there are no escapes (ipset, lib/ipset.c,
/// build_argv).
fn words(options: &str) -> impl Iterator<Item = &str> {
    let mut rest = options;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(BLANK);
        let quoted = rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"'));
        let (found, behind) = quoted.unwrap_or_else(|| word(rest));
        rest = behind;
        (quoted.is_some() || !found.is_empty()).then_some(found)
    })
}

/// Whether a word is missing where a name belongs: nothing, or an option such as `-exist`.
fn is_option(word: &str) -> bool {
    word.is_empty() || word.starts_with('-')
}
