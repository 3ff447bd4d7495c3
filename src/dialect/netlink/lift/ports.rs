//! Ports.
//!
//! The IR knows no port 0: a list with it is said by all others, the other way round.

use super::super::constants::*;
use super::finish::Alternatives;
use super::value::Test;
use super::values::Key as _;
use crate::ir::{Foreign, Match, PortBlock, PortMatch};
use crate::net::{PortRange, Ports};

/// A range becomes at most so many blocks.
const MOST_BLOCKS: usize = 32;

/// Any port, of a packet that shows one.
const ANY: Match = Match::PortBlock(PortBlock { first: 0, bits: 0 });

fn said(ranges: &[(u16, u16)], negated: bool) -> (Ports, bool) {
    let of = |list: &[(u16, u16)]| -> Ports {
        list.iter().filter_map(|&(first, last)| PortRange::new(first.max(1), last)).collect()
    };
    let ports = of(ranges);
    if ranges.iter().any(|(first, _)| *first == 0) {
        (of(&[(1, u16::MAX)]).without(&ports), !negated)
    } else {
        (ports, negated)
    }
}

/// The destination port of TCP is among these, or is not.
pub fn destination(ranges: &[(u16, u16)], negated: bool) -> Match {
    match said(ranges, negated) {
        (ports, true) if ports.is_empty() => ANY,
        (ports, negated) => Match::DestinationPort { ports: PortMatch::Ports(ports), negated },
    }
}

/// The same of the source port.
pub fn source(ranges: &[(u16, u16)], negated: bool) -> Match {
    match said(ranges, negated) {
        (ports, true) if ports.is_empty() => ANY,
        (ports, negated) => Match::Foreign(Foreign::SourcePort { ports: PortMatch::Ports(ports), negated }),
    }
}

/// The ports that a comparison is made with, and whether it is turned round.
pub fn compared(test: &Test<'_>) -> Option<(Vec<(u16, u16)>, bool)> {
    match test {
        Test::Range(negated, from, to) => {
            let ends = (u16::read(from)?, u16::read(to)?);
            Some((vec![ends], *negated)).filter(|_| ends.0 <= ends.1)
        }
        Test::Compare(operator, data) => {
            let port = u16::read(data)?;
            let (from, to, negated) = match *operator {
                NFT_CMP_EQ => (port, port, false),
                NFT_CMP_NEQ => (port, port, true),
                NFT_CMP_LT => (0, port.checked_sub(1)?, false),
                NFT_CMP_LTE => (0, port, false),
                NFT_CMP_GT => (port.checked_add(1)?, u16::MAX, false),
                NFT_CMP_GTE => (port, u16::MAX, false),
                _ => return None,
            };
            Some((vec![(from, to)], negated))
        }
        Test::Lookup(..) => None,
    }
}

/// A range of ports in whatever transport header, block by block; `None` where these are too many.
pub fn blocks(first: u16, last: u16) -> Option<Alternatives> {
    let mut all = Alternatives::new();
    let mut next = Some(first).filter(|first| *first <= last);
    while let Some(first) = next {
        let fitting = (0..=16).map(|bits| PortBlock { first, bits });
        let mut fitting = fitting.filter(|block| block.first & !block.mask() == 0 && block.last() <= last);
        let block = fitting.next()?;
        all.push(vec![Match::PortBlock(block)]);
        next = block.last().checked_add(1).filter(|next| *next <= last);
        if all.len() > MOST_BLOCKS {
            return None;
        }
    }
    (!all.is_empty()).then_some(all)
}
