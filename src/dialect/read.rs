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

/// The kernel follows no more jumps than these (NFT_JUMP_STACK_SIZE, linux/netfilter/nf_tables.h).
const DEEPEST_JUMP: usize = 16;

/// Refuses jumps to chains that are not there, jumps in circles, and jumps deeper than the kernel follows.
pub(super) fn check_jumps(ruleset: &Ruleset) -> Result<(), ReadError> {
    for table in &ruleset.tables {
        let index: HashMap<&str, usize> =
            table.chains.iter().enumerate().map(|(at, chain)| (chain.name.as_str(), at)).collect();
        let mut depths = vec![Depth::Unknown; table.chains.len()];
        for at in 0..table.chains.len() {
            depth(table, &index, &mut depths, at, 0)?;
        }
    }
    Ok(())
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
        let (Some(Verdict::Jump(name)) | Some(Verdict::Goto(name))) = &rule.verdict else { continue };
        let Some(&target) = index.get(name.as_str()) else {
            return Err(ReadError::new(line(rule), format!("there is no chain `{name}` to jump to")));
        };
        let below =
            if above + 1 > DEEPEST_JUMP { DEEPEST_JUMP } else { depth(table, index, depths, target, above + 1)? };
        deepest = deepest.max(below + 1);
        if deepest > DEEPEST_JUMP {
            let message =
                format!("chain `{}` jumps deeper than the {DEEPEST_JUMP} levels that the kernel follows", chain.name);
            return Err(ReadError::new(line(rule), message));
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
