//! What changes in sets, and whether their elements can be changed one by one.

use std::collections::{HashMap, HashSet};

use super::super::attributes::Malformed;
use super::super::constants::*;
use super::super::expression::Expression;
use super::super::lift::Element;
use super::super::table::{Set, Table};

/// What comes or goes as one: a value, or a range with what is behind its end; none for a range up to the highest value.
pub type Unit<'a> = (&'a [u8], Option<&'a [u8]>);

/// What changes in one set.
pub struct SetDifference<'a> {
    pub set: &'a Set,
    pub removed: Vec<Unit<'a>>,
    pub added: Vec<Unit<'a>>,
}

/// What is in a set, sorted; `None` where there is more to it than keys, or where ranges are not in pairs.
pub fn units(set: &Set) -> Result<Option<Vec<Unit<'_>>>, Malformed> {
    units_of(set, &set.elements)
}

fn units_of<'a>(set: &Set, list: &'a [u8]) -> Result<Option<Vec<Unit<'a>>>, Malformed> {
    let Some(keys) = set.keys_of(list)? else { return Ok(None) };
    let mut keys: Vec<Element<'_>> = keys.iter().collect();
    let interval = set.flags & NFT_SET_INTERVAL != 0;
    // Where one range ends and another begins, the end comes first. What was read is sorted already, see `Set::sort`.
    let order =
        |one: &Element<'_>, other: &Element<'_>| (one.0, one.1 != interval).cmp(&(other.0, other.1 != interval));
    if !keys.is_sorted_by(|one, other| order(one, other).is_le()) {
        keys.sort_unstable_by(order);
    }
    if !interval {
        return Ok(keys.into_iter().map(|(key, ends)| (!ends).then_some((key, None))).collect());
    }
    let mut units = Vec::with_capacity(keys.len() / 2 + 1);
    let mut open: Option<&[u8]> = None;
    for (key, ends) in keys {
        match (open.take(), ends) {
            (Some(first), true) => units.push((first, Some(key))),
            (None, false) => open = Some(key),
            // `nft` says that the values before the first range are in none.
            (None, true) if units.is_empty() => {}
            (None, true) | (Some(_), false) => return Ok(None),
        }
    }
    units.extend(open.map(|first| (first, None)));
    Ok(Some(units))
}

/// What changes in each named set in which something does; `None` where that cannot be told, or would not fit.
pub fn differences<'a>(current: &'a Table, wanted: &'a Table) -> Result<Option<Vec<SetDifference<'a>>>, Malformed> {
    let mut all = Vec::new();
    for set in wanted.sets.iter().filter(|set| !set.is_anonymous()) {
        let Some(own) = current.set(&set.name) else { return Ok(None) };
        let (list, other, common) = apart(own, set);
        let (Some(units), Some(others)) = (units_of(own, list)?, units_of(set, other)?) else { return Ok(None) };
        if own.size.is_some_and(|size| common + others.len() > size as usize) {
            return Ok(None);
        }
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (units.into_iter().peekable(), others.into_iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(own), Some(other)) if own == other => {
                    left.next();
                    right.next();
                }
                (Some(own), Some(other)) if own < other => removed.extend(left.next()),
                (Some(_), None) => removed.extend(left.next()),
                (_, Some(_)) => added.extend(right.next()),
                (None, None) => break,
            }
        }
        if !removed.is_empty() || !added.is_empty() {
            all.push(SetDifference { set: own, removed, added });
        }
    }
    Ok(Some(all))
}

/// The elements of two sets without those with which both begin and end, and how many these are: what changes is little, and what is
/// read is in the order in which it is written. All of them where that cannot be told so easily.
fn apart<'a>(own: &'a Set, set: &'a Set) -> (&'a [u8], &'a [u8], usize) {
    let all = (own.elements.as_slice(), set.elements.as_slice(), 0);
    let interval = (own.flags | set.flags) & NFT_SET_INTERVAL != 0;
    let Some(length) = uniform(&set.elements).filter(|length| !interval && uniform(&own.elements) == Some(*length))
    else {
        return all;
    };
    let pairs = || own.elements.chunks_exact(length).zip(set.elements.chunks_exact(length));
    let begin = pairs().take_while(|(one, other)| one == other).count() * length;
    let (list, other) = (all.0.get(begin..).unwrap_or_default(), all.1.get(begin..).unwrap_or_default());
    let pairs = list.rchunks_exact(length).zip(other.rchunks_exact(length));
    let end = pairs.take_while(|(one, other)| one == other).count() * length;
    let without_end = |list: &'a [u8]| list.get(..list.len() - end).unwrap_or_default();
    (without_end(list), without_end(other), (begin + end) / length)
}

/// The length that every element of a list has.
fn uniform(list: &[u8]) -> Option<usize> {
    let length_of = |bytes: &[u8]| Some(usize::from(u16::from_ne_bytes(*bytes.first_chunk()?)).next_multiple_of(4));
    let length = length_of(list).filter(|length| *length > 0 && list.len().is_multiple_of(*length))?;
    list.chunks_exact(length).all(|element| length_of(element) == Some(length)).then_some(length)
}

/// The named sets that can stay as they are, whatever becomes of the rules.
pub fn unchanged<'a>(current: &'a Table, wanted: &'a Table) -> Result<HashSet<&'a str>, Malformed> {
    let mut names = HashSet::new();
    for set in wanted.sets.iter().filter(|set| !set.is_anonymous()) {
        let Some(own) = current.set(&set.name).filter(|own| own.holds(set)) else { continue };
        let (units, others) = (units(own)?, units(set)?);
        if units.is_some() && units == others {
            names.insert(set.name.as_str());
        }
    }
    Ok(names)
}

/// What becomes of those whom a lookup finds: whether it is turned round, and where it leads to.
type Use = (bool, Option<(i32, Option<String>)>);

/// Whether a packet could meet a state of several sets that never was, and that differs from both that were. Packets are
/// looked up by one address and one port.
pub fn crossing(table: &Table, differences: &[SetDifference<'_>]) -> Result<bool, Malformed> {
    if differences.len() < 2 {
        return Ok(false);
    }
    let mut uses: HashMap<String, HashSet<Use>> = HashMap::new();
    for (_, rule) in table.rules() {
        let program = rule.program()?;
        let verdict = program.iter().find_map(|one| match one {
            Expression::Verdict { code, chain } => Some((*code, chain.clone())),
            _ => None,
        });
        for one in &program {
            if let Expression::Lookup { set, negated, .. } = one {
                uses.entry(set.clone()).or_default().insert((*negated, verdict.clone()));
            }
        }
    }
    let alike = |one: &Set, other: &Set| match (uses.get(&one.name), uses.get(&other.name)) {
        (Some(one), Some(other)) => one.len() == 1 && one == other,
        // What no rule looks into.
        (None, _) | (_, None) => true,
    };
    for (at, one) in differences.iter().enumerate() {
        for other in differences.iter().skip(at + 1) {
            let one_way = (one.added.is_empty() && other.added.is_empty())
                || (one.removed.is_empty() && other.removed.is_empty());
            let common = match (one.set.key_type, other.set.key_type) {
                (key_type::IPV4_ADDR, key_type::IPV6_ADDR) | (key_type::IPV6_ADDR, key_type::IPV4_ADDR) => false,
                (own, theirs) => own != theirs || overlap(one, other),
            };
            if common && !(one_way && alike(one.set, other.set)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a range goes and another one comes that have values in common, which are to be found all the while.
pub fn reshaped(difference: &SetDifference<'_>) -> bool {
    if difference.set.flags & NFT_SET_INTERVAL == 0 {
        return false;
    }
    let before = |(_, behind): &Unit<'_>, first: &[u8]| behind.is_some_and(|behind| behind <= first);
    let (mut removed, mut added) = (difference.removed.iter().peekable(), difference.added.iter().peekable());
    while let (Some(old), Some(new)) = (removed.peek(), added.peek()) {
        if before(old, new.0) {
            removed.next();
        } else if before(new, old.0) {
            added.next();
        } else {
            return true;
        }
    }
    false
}

/// Whether two changes touch addresses in common. Of ranges only the span of all that changes is looked at.
fn overlap(one: &SetDifference<'_>, other: &SetDifference<'_>) -> bool {
    let interval = |difference: &SetDifference<'_>| difference.set.flags & NFT_SET_INTERVAL != 0;
    if !interval(one) && !interval(other) {
        let mine: HashSet<&[u8]> = one.added.iter().chain(&one.removed).map(|(key, _)| *key).collect();
        return other.added.iter().chain(&other.removed).any(|(key, _)| mine.contains(key));
    }
    let span = |difference: &SetDifference<'_>| -> Option<(Vec<u8>, Vec<u8>)> {
        let units = || difference.added.iter().chain(&difference.removed);
        let highest = vec![u8::MAX; difference.set.key_length as usize];
        // What is behind a range is taken for a part of it; single values end where they begin.
        let last = |&(first, behind): &Unit<'_>| match behind {
            Some(behind) => behind.to_vec(),
            None if interval(difference) => highest.clone(),
            None => first.to_vec(),
        };
        Some((units().map(|(first, _)| first.to_vec()).min()?, units().map(last).max()?))
    };
    match (span(one), span(other)) {
        (Some((low, high)), Some((other_low, other_high))) => low <= other_high && other_low <= high,
        _ => false,
    }
}
