//! What all readers have in common.
//!
//! A reader takes any text. Text that is no ruleset is an error; a ruleset with things in it that nobody here knows is
//! read, with those things kept as unknown and listed, so that whoever judges it can take both possibilities.

use std::collections::HashMap;

use thiserror::Error;

use crate::ir::{Rule, Ruleset, Table, Verdict};

/// A ruleset that was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The ruleset; every rule has its place.
    pub ruleset: Ruleset,
    /// What in it was not understood.
    pub unknown: Vec<Unknown>,
}

/// Something that was not understood, and became an unknown match, verdict or set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The line, from 1.
    pub line: u32,
    /// The words that nobody here knows.
    pub text: String,
}

/// Why a text is no ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong: lower case, no full stop.
    pub message: String,
}

impl ReadError {
    /// An error in a line.
    pub fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// nf_tables takes no base chain with more jumps below it than these: NFT_JUMP_STACK_SIZE is 16, with the base chain itself
/// (linux/netfilter/nf_tables.h; seen on Linux 6.18).
pub(super) const DEEPEST_OF_NFT: usize = 15;
/// iptables-legacy has room for as many jumps as there are chains. So many are followed here.
pub(super) const DEEPEST_HERE: usize = 250;

/// Refuses jumps to chains that are not there, jumps in circles, and more than `deepest` jumps below a base chain, which the
/// kernel would not take.
pub(super) fn check_jumps(ruleset: &Ruleset, deepest: usize) -> Result<(), ReadError> {
    for table in &ruleset.tables {
        let index: HashMap<&str, usize> =
            table.chains.iter().enumerate().map(|(at, chain)| (chain.name.as_str(), at)).collect();
        let mut depths = vec![Depth::Unknown; table.chains.len()];
        for at in 0..table.chains.len() {
            depth(table, &index, &mut depths, at, 0)?;
        }
        for chain in table.chains.iter().filter(|chain| chain.base.is_some()) {
            for rule in &chain.rules {
                let below = target(rule).and_then(|name| depths.get(*index.get(name)?));
                if matches!(below, Some(Depth::Known(below)) if below + 1 > deepest) {
                    return Err(too_deep(&chain.name, rule, deepest));
                }
            }
        }
    }
    Ok(())
}

fn too_deep(chain: &str, rule: &Rule, deepest: usize) -> ReadError {
    ReadError::new(line(rule), format!("chain `{chain}` jumps deeper than the {deepest} levels that are followed"))
}

/// The chain that a rule leads to.
fn target(rule: &Rule) -> Option<&str> {
    match &rule.verdict {
        Some(Verdict::Jump(name) | Verdict::Goto(name)) => Some(name),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Depth {
    Unknown,
    Visiting,
    Known(usize),
}

/// How many jumps deep a chain goes. `above` bounds the recursion on chains that were not visited yet.
fn depth(
    table: &Table,
    index: &HashMap<&str, usize>,
    depths: &mut [Depth],
    at: usize,
    above: usize,
) -> Result<usize, ReadError> {
    let Some(chain) = table.chains.get(at) else { return Ok(0) };
    match depths.get(at) {
        Some(Depth::Known(depth)) => return Ok(*depth),
        Some(Depth::Visiting) => return Err(ReadError::new(1, format!("chain `{}` jumps in a circle", chain.name))),
        Some(Depth::Unknown) | None => {}
    }
    if let Some(slot) = depths.get_mut(at) {
        *slot = Depth::Visiting;
    }
    let mut deepest = 0;
    for rule in &chain.rules {
        let Some(name) = target(rule) else { continue };
        let Some(&target) = index.get(name) else {
            return Err(ReadError::new(line(rule), format!("there is no chain `{name}` to jump to")));
        };
        if above + 1 > DEEPEST_HERE {
            return Err(too_deep(&chain.name, rule, DEEPEST_HERE));
        }
        deepest = deepest.max(depth(table, index, depths, target, above + 1)? + 1);
        if deepest > DEEPEST_HERE {
            return Err(too_deep(&chain.name, rule, DEEPEST_HERE));
        }
    }
    if let Some(slot) = depths.get_mut(at) {
        *slot = Depth::Known(deepest);
    }
    Ok(deepest)
}

fn line(rule: &Rule) -> u32 {
    rule.place.as_ref().map_or(1, |place| place.line)
}
