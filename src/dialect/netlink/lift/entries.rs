//! Elements of sets of any kind: single keys and ranges of one or several fields, and what a map says of each.
//!
//! INVARIANT (all): either every element that the kernel finds is here, or nothing is.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::attributes::{Malformed, attributes, find, text_of, u32_of};
use super::super::constants::*;
use super::super::table::Set;
use super::values::Decision;

/// What a map says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says<'a> {
    /// It is no map.
    Nothing,
    /// What becomes of a packet.
    Decision(Decision),
    /// Bytes for a register.
    Value(&'a [u8]),
}

/// Keys from one to another, both included; of several fields, each field for itself.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub from: Cow<'a, [u8]>,
    pub to: Cow<'a, [u8]>,
    pub says: Says<'a>,
}

/// What is in a set.
#[derive(Clone, Debug, Default)]
pub struct Entries<'a> {
    pub each: Vec<Entry<'a>>,
    /// What holds for every other key.
    pub rest: Option<Says<'a>>,
}

/// An element as it comes.
struct Raw<'a> {
    key: Option<&'a [u8]>,
    key_end: Option<&'a [u8]>,
    flags: u32,
    says: Says<'a>,
}

impl Set {
    /// The elements; `None` where they come and go, or where a packet that has the key may still not be found.
    ///
    /// # Errors
    /// Where attributes are cut short.
    pub(super) fn entries(&self) -> Result<Option<Entries<'_>>, Malformed> {
        if !self.is_steady()? {
            return Ok(None);
        }
        let length = self.key_length as usize;
        let (mut raw, mut rest) = (Vec::with_capacity(self.elements.len() / (length + 24)), None);
        for element in attributes(&self.elements) {
            let Some(one) = self.raw(element?.1)? else { return Ok(None) };
            match one.key {
                Some(key)
                    if one.flags != NFT_SET_ELEM_CATCHALL
                        && key.len() == length
                        && one.key_end.is_none_or(|end| end.len() == length) =>
                {
                    raw.push(one);
                }
                None if one.flags == NFT_SET_ELEM_CATCHALL && rest.is_none() => rest = Some(one.says),
                _ => return Ok(None),
            }
        }
        let by_ends = self.flags & NFT_SET_INTERVAL != 0 && self.flags & NFT_SET_CONCAT == 0;
        let each = if by_ends { between_ends(raw, self.is_anonymous()) } else { with_keys(raw) };
        Ok(each.map(|each| Entries { each, rest }))
    }

    /// Whether nothing comes and goes by itself or by rules, and whether what is found is found for every packet.
    fn is_steady(&self) -> Result<bool, Malformed> {
        const FLAGS: u32 =
            NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT | NFT_SET_EXPR;
        for attribute in attributes(&self.attributes) {
            let fine = match attribute? {
                (NFTA_SET_TIMEOUT | NFTA_SET_OBJ_TYPE, _) => false,
                (NFTA_SET_EXPR, one) => only_notes(one)?,
                (NFTA_SET_EXPRESSIONS, list) => only_note_lists(list)?,
                _ => true,
            };
            if !fine {
                return Ok(false);
            }
        }
        Ok(self.flags & !FLAGS == 0)
    }

    fn raw<'a>(&self, element: &'a [u8]) -> Result<Option<Raw<'a>>, Malformed> {
        let mut raw = Raw { key: None, key_end: None, flags: 0, says: Says::Nothing };
        for attribute in attributes(element) {
            match attribute? {
                (NFTA_SET_ELEM_KEY, value) => raw.key = find(value, NFTA_DATA_VALUE)?,
                (NFTA_SET_ELEM_KEY_END, value) => raw.key_end = find(value, NFTA_DATA_VALUE)?,
                (NFTA_SET_ELEM_FLAGS, value) => raw.flags = u32_of(value)?,
                (NFTA_SET_ELEM_DATA, value) if self.flags & NFT_SET_MAP != 0 => {
                    let Some(says) = said(value)? else { return Ok(None) };
                    raw.says = says;
                }
                (NFTA_SET_ELEM_EXPR, one) if only_notes(one)? => {}
                (NFTA_SET_ELEM_EXPRESSIONS, list) if only_note_lists(list)? => {}
                // A comment.
                (NFTA_SET_ELEM_USERDATA | NFTA_SET_ELEM_PAD, _) => {}
                _ => return Ok(None),
            }
        }
        let ends = raw.flags == NFT_SET_ELEM_INTERVAL_END;
        let known = [0, NFT_SET_ELEM_INTERVAL_END, NFT_SET_ELEM_CATCHALL].contains(&raw.flags);
        let says_enough = ends || self.flags & NFT_SET_MAP == 0 || raw.says != Says::Nothing;
        Ok(Some(raw).filter(|_| known && says_enough))
    }
}

fn said(data: &[u8]) -> Result<Option<Says<'_>>, Malformed> {
    if let Some(value) = find(data, NFTA_DATA_VALUE)? {
        return Ok(Some(Says::Value(value)));
    }
    let Some(verdict) = find(data, NFTA_DATA_VERDICT)? else { return Ok(None) };
    let code = u32_of(find(verdict, NFTA_VERDICT_CODE)?.ok_or(Malformed)?)?.cast_signed();
    Ok(Some(Says::Decision((code, find(verdict, NFTA_VERDICT_CHAIN)?.map(text_of)))))
}

/// Whether an expression of an element only counts, or remembers when it was used.
fn only_notes(expression: &[u8]) -> Result<bool, Malformed> {
    let name = find(expression, NFTA_EXPR_NAME)?.map(text_of);
    Ok(matches!(name.as_deref(), Some("counter" | "last")))
}

fn only_note_lists(list: &[u8]) -> Result<bool, Malformed> {
    for one in attributes(list) {
        if !only_notes(one?.1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn with_keys(mut raw: Vec<Raw<'_>>) -> Option<Vec<Entry<'_>>> {
    // The kernel tells those of a hash in no order.
    raw.sort_by_key(|one| (one.key, one.key_end));
    if !raw.iter().all(|one| one.flags == 0) {
        return None;
    }
    raw.into_iter()
        .map(|one| {
            let from = one.key?;
            Some(Entry { from: from.into(), to: one.key_end.unwrap_or(from).into(), says: one.says })
        })
        .collect()
}

/// An element begins a range, and the next one, if it is an end, is the first key behind it; without one the range goes up to
/// the next range, or to the top. See `ranges` in `values`, also for what is anonymous.
fn between_ends(mut raw: Vec<Raw<'_>>, anonymous: bool) -> Option<Vec<Entry<'_>>> {
    let ends = |one: &Raw<'_>| one.flags == NFT_SET_ELEM_INTERVAL_END;
    if raw.iter().any(|one| one.key_end.is_some()) {
        return None;
    }
    if anonymous {
        let closed: HashSet<&[u8]> = raw.iter().filter(|one| ends(one)).filter_map(|one| one.key).collect();
        if raw.iter().any(|one| !ends(one) && one.key.is_some_and(|key| closed.contains(key))) {
            return None;
        }
    }
    raw.sort_by_key(|one| (one.key, !ends(one)));
    let mut entries = Vec::with_capacity(raw.len() / 2 + 1);
    let mut open: Option<(&[u8], Says<'_>)> = None;
    for one in raw {
        let (key, is_end) = (one.key?, ends(&one));
        if let Some((from, says)) = open.take() {
            let to = below(key)?;
            (from <= to.as_slice()).then_some(())?;
            entries.push(Entry { from: from.into(), to: to.into(), says });
        }
        if !is_end {
            open = Some((key, one.says));
        }
    }
    entries.extend(open.map(|(from, says)| Entry { from: from.into(), to: vec![u8::MAX; from.len()].into(), says }));
    Some(entries)
}

/// The key before.
fn below(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            return Some(key);
        }
    }
    None
}
