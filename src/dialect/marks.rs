//! Marks that are compared as numbers.

use std::net::IpAddr;

use crate::ir::{Foreign, Marked, Match};
use crate::net::Cidr;

/// The mark is from `first` to `last`, or is not: it is in none of the blocks of all other numbers.
pub fn between(of: Marked, (first, last): (u32, u32), negated: bool) -> Option<Vec<Match>> {
    let others = if negated { vec![(first, last)] } else { others(first, last) };
    let blocks = others.into_iter().flat_map(|(first, last)| Cidr::covering_v4(first, last));
    let outside = |block: Cidr| match block.first() {
        IpAddr::V4(value) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(block.prefix_length())).unwrap_or(0);
            Some(Match::Foreign(Foreign::Mark { of, mask, value: value.to_bits(), negated: true }))
        }
        IpAddr::V6(_) => None,
    };
    let tests: Vec<Match> = blocks.map(outside).collect::<Option<_>>()?;
    // Where nothing is asked, a connection is still asked for.
    (!tests.is_empty()).then_some(tests)
}

/// The numbers below and above.
fn others(first: u32, last: u32) -> Vec<(u32, u32)> {
    let below = first.checked_sub(1).map(|end| (0, end));
    let above = last.checked_add(1).map(|start| (start, u32::MAX));
    below.into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether all tests hold for a mark.
    fn hold(tests: &[Match], own: u32) -> bool {
        tests.iter().all(|one| match one {
            Match::Foreign(Foreign::Mark { mask, value, negated, .. }) => (own & mask == *value) != *negated,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn exactly_those_between_the_ends_pass() {
        const ENDS: [u32; 9] = [0, 1, 4, 5, 6, 1000, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        for (first, last) in ENDS.into_iter().flat_map(|first| ENDS.map(|last| (first, last))) {
            for negated in [false, true] {
                let Some(tests) = between(Marked::Packet, (first, last), negated).filter(|_| first <= last) else {
                    assert!(first > last || ((first, last) == (0, u32::MAX) && !negated));
                    continue;
                };
                for own in ENDS.into_iter().flat_map(|end| [end, end.wrapping_add(1), end.wrapping_sub(1)]) {
                    assert_eq!(hold(&tests, own), (first..=last).contains(&own) != negated, "{own} {first} {last}");
                }
            }
        }
    }
}
