//! Networks of a set of ipset.

use crate::ir::Elements;

/// What networks hold where the smallest one that an address is in decides, and some are excepted (ip_set_hash_gen.h,
/// mtype_test_cidrs). Networks are one within the other, or apart. `None` where one of them is both: the later `add` holds.
pub(super) fn without(
    networks: impl Iterator<Item = (u128, u128)>,
    excepted: &[(u128, u128)],
) -> Option<Vec<(u128, u128)>> {
    let excepted = excepted.iter().map(|&(first, last)| (first, last, false));
    let mut all: Vec<(u128, u128, bool)> = networks.map(|(first, last)| (first, last, true)).chain(excepted).collect();
    // Larger ones in front of those within them.
    all.sort_unstable_by_key(|&(first, last, held)| (first, std::cmp::Reverse(last), held));
    all.dedup();
    if all.windows(2).any(|pair| matches!(pair, [(a, b, _), (c, d, _)] if (a, b) == (c, d))) {
        return None;
    }
    let mut left: Vec<(u128, u128)> = Vec::new();
    let mut around: Vec<(u128, bool)> = Vec::new();
    let mut at = 0;
    for (first, last, held) in all {
        while let Some((end, held)) = around.pop_if(|(end, _)| *end < first) {
            left.extend(Some((at, end)).filter(|_| held && at <= end));
            at = at.max(end.saturating_add(1));
        }
        if let Some((_, true)) = around.last()
            && let Some(before) = first.checked_sub(1)
        {
            left.extend(Some((at, before)).filter(|_| at <= before));
        }
        at = first;
        around.push((last, held));
    }
    let mut done = false;
    while let Some((end, held)) = around.pop() {
        left.extend(Some((at, end)).filter(|_| held && at <= end && !done));
        done |= end == u128::MAX;
        at = at.max(end.saturating_add(1));
    }
    Some(left)
}

/// Two halves of everything are everything.
pub(super) fn whole_v4(elements: Elements) -> Elements {
    const HALF: u32 = 1 << 31;
    let halves = Elements::Ipv4(vec![(0, HALF - 1), (HALF, u32::MAX)]);
    if elements == halves { Elements::Ipv4(vec![(0, u32::MAX)]) } else { elements }
}

/// The same of IPv6.
pub(super) fn whole_v6(elements: Elements) -> Elements {
    const HALF: u128 = 1 << 127;
    let halves = Elements::Ipv6(vec![(0, HALF - 1), (HALF, u128::MAX)]);
    if elements == halves { Elements::Ipv6(vec![(0, u128::MAX)]) } else { elements }
}
