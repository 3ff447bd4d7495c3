//! Ports that a rule compares.

use super::selectors::{ANY_PORT, Alternatives, MOST_NAMED, Right, TCP, protocol, values};
use super::tables::RawTable;
use super::values::{Key, Values, complement, disjoint, port_match};
use crate::ir::{Foreign, Match, PortBlock, PortMatch};

/// More alternatives than these are no help to anybody who reads the rules.
const MOST_BLOCKS: usize = 32;

fn port_ranges(table: &RawTable<'_>, right: &Right<'_, '_>) -> Option<Vec<(u16, u16)>> {
    let found = match right {
        Right::Ports(first, last) => return Some(vec![(*first, *last)]),
        Right::Named(name) => table.find_set(name)?.values().filter(|values| values.len() <= MOST_NAMED)?.clone(),
        Right::One(_) | Right::Set(_) | Right::List(_) => values(Key::Port, right)?,
    };
    match found {
        Values::Ports(ranges) => Some(ranges),
        Values::Ipv4(_) | Values::Ipv6(_) | Values::Interfaces(_) => None,
    }
}

/// The destination port of TCP.
pub fn tcp_port(table: &RawTable<'_>, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let (ports, negated) = match right {
        Right::Named(name) => {
            table.find_set(name).filter(|set| set.key().is_none_or(|key| key == Key::Port))?;
            (PortMatch::Set((*name).to_owned()), negated)
        }
        Right::One(_) | Right::Set(_) | Right::List(_) | Right::Ports(..) => {
            port_match(port_ranges(table, right)?, negated)
        }
    };
    Some(vec![vec![Match::DestinationPort { ports, negated }]])
}

/// Every transport protocol that has ports has them where TCP has them.
pub fn port_blocks(
    table: &RawTable<'_>,
    number: Option<u8>,
    right: &Right<'_, '_>,
    negated: bool,
) -> Option<Alternatives> {
    let mut ranges = disjoint(port_ranges(table, right)?);
    if negated {
        ranges = complement(&ranges);
    }
    let mut alternatives = Vec::new();
    for (first, last) in ranges {
        let mut from = Some(first);
        while let Some(first) = from {
            let block = largest_block(first, last);
            alternatives.push(with_protocol(number, block));
            if alternatives.len() > MOST_BLOCKS {
                return None;
            }
            from = block.last().checked_add(1).filter(|next| *next <= last);
        }
    }
    (!alternatives.is_empty()).then_some(alternatives)
}

/// A block, of this protocol only.
pub fn with_protocol(number: Option<u8>, block: PortBlock) -> Vec<Match> {
    number.map(|number| protocol(number, false)).into_iter().chain([Match::PortBlock(block)]).collect()
}

fn largest_block(first: u16, last: u16) -> PortBlock {
    let blocks = (0..=16).map(|bits| PortBlock { first, bits });
    let fitting = blocks.filter(|block| block.first & !block.mask() == 0 && block.last() <= last);
    fitting.min_by_key(|block| block.bits).unwrap_or(PortBlock { first, bits: 16 })
}

/// The block of a masked comparison, if it is one.
pub fn masked_block(mask: u32, value: u32) -> Option<PortBlock> {
    let (mask, first) = (u16::try_from(mask).ok()?, u16::try_from(value).ok()?);
    let bits = u8::try_from(mask.leading_ones()).ok()?;
    let block = PortBlock { first, bits };
    (block.mask() == mask && first & !mask == 0).then_some(block)
}

/// A source port is one of TCP; of another protocol it is not known.
pub fn source_port(
    table: &RawTable<'_>,
    number: Option<u8>,
    right: &Right<'_, '_>,
    negated: bool,
    text: &str,
) -> Option<Alternatives> {
    let unknown = || Match::Unknown(text.to_owned());
    if let Some(number) = number.filter(|number| *number != TCP) {
        return Some(vec![vec![protocol(number, false), unknown()]]);
    }
    let turned = |all: Alternatives| -> Option<Alternatives> {
        let one = |one| match one {
            Match::DestinationPort { ports, negated } => Some(Match::Foreign(Foreign::SourcePort { ports, negated })),
            _ => None,
        };
        all.into_iter().map(|list| list.into_iter().map(one).collect()).collect()
    };
    let mut of_tcp = turned(tcp_port(table, right, negated)?)?;
    if number.is_none() {
        of_tcp.iter_mut().for_each(|list| list.insert(0, protocol(TCP, false)));
        of_tcp.push(vec![protocol(TCP, true), ANY_PORT, unknown()]);
    }
    Some(of_tcp)
}
