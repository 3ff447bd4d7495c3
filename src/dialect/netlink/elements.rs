//! Elements of sets, and the messages that carry them.
//!
//! INVARIANT (pairs): the two ends of a range are never parted: a range whose end is missing goes up to the next one, or
//! to the highest value.

use std::slice::ChunksExact;
use std::sync::Arc;

use super::attributes::{Malformed, Writer, attributes, find, u32_of};
use super::constants::*;
use super::lift::Element;
use super::table::Set;

/// A list of elements is one attribute, whose length is a 16-bit number.
const LONGEST_LIST: usize = 65_000;

/// Writes an element.
pub fn element(writer: &mut Writer, key: &[u8], ends: bool) {
    writer.nest(NFTA_LIST_ELEM, |writer| {
        writer.nest(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, key));
        if ends {
            writer.u32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        }
    });
}

/// Elements that are values of their own, each with a key of so many bytes.
pub fn values<K: AsRef<[u8]>>(length: usize, keys: impl ExactSizeIterator<Item = K>) -> Vec<u8> {
    let mut one = Writer::default();
    element(&mut one, &vec![0; length], false);
    let mut one = one.into_bytes();
    let mut writer = Writer::with_capacity(keys.len() * one.len());
    for key in keys {
        if let (Some(place), Some(key)) = (one.get_mut(HEAD..HEAD + length), key.as_ref().get(..length)) {
            place.copy_from_slice(key);
        }
        writer.raw(&one);
    }
    writer.into_bytes()
}

/// Cuts a list of elements into pieces that each fit into one message.
///
/// # Errors
/// Where attributes are cut short.
pub fn pieces(list: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    if let Some(length) = length_of_each(list) {
        return Ok(list.chunks((LONGEST_LIST / length * length).max(length)).collect());
    }
    let mut cuts = vec![0];
    let (mut start, mut at, mut allowed) = (0, 0, 0);
    if list.len() > LONGEST_LIST {
        for one in attributes(list) {
            let (_, value) = one?;
            let ends = find(value, NFTA_SET_ELEM_FLAGS)?.map(u32_of).transpose()?;
            if ends != Some(NFT_SET_ELEM_INTERVAL_END) {
                allowed = at;
            }
            at += (4 + value.len()).next_multiple_of(4);
            if at - start > LONGEST_LIST {
                cuts.push(allowed);
                start = allowed;
            }
        }
    }
    cuts.push(list.len());
    let pieces = cuts.windows(2).filter_map(|pair| list.get(*pair.first()?..*pair.last()?));
    Ok(pieces.filter(|piece| !piece.is_empty()).collect())
}

/// How long each element is where nothing but the keys tells one from the next.
fn length_of_each(list: &[u8]) -> Option<usize> {
    let (_, first) = attributes(list).next()?.ok()?;
    let key = find(find(first, NFTA_SET_ELEM_KEY).ok()??, NFTA_DATA_VALUE).ok()??.len();
    Keyed::alike(list, key).map(|_| length_of(&vec![0; key], false))
}

/// Elements that have a key each.
pub enum Keyed<'a> {
    /// Nothing but a key, which stands behind [`HEAD`] bytes of each piece.
    Alike { pieces: ChunksExact<'a, u8>, key: usize },
    /// As they come.
    Each(Vec<Element<'a>>),
}

/// What stands before the key in an element that has nothing else: the headers of three attributes.
const HEAD: usize = 12;

impl<'a> Keyed<'a> {
    /// A list in which nothing but the keys tells one element from the next, which of 100,000 need not be read one by one; `None` where
    /// it is another.
    pub fn alike(list: &'a [u8], key: usize) -> Option<Self> {
        let only = |bytes: &'a [u8], wanted: u16| {
            let mut all = attributes(bytes);
            let (kind, value) = all.next()?.ok()?;
            (kind == wanted && all.next().is_none()).then_some(value)
        };
        let length = HEAD + key.next_multiple_of(4);
        let first = list.get(..length)?;
        let value = only(only(only(first, NFTA_LIST_ELEM)?, NFTA_SET_ELEM_KEY)?, NFTA_DATA_VALUE)?;
        let pieces = list.chunks_exact(length);
        let is_alike = |piece: &[u8]| piece.get(..HEAD) == first.get(..HEAD);
        (value.len() == key && pieces.remainder().is_empty() && pieces.clone().all(is_alike))
            .then_some(Self::Alike { pieces, key })
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Alike { pieces, .. } => pieces.len(),
            Self::Each(list) => list.len(),
        }
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = Element<'a>> {
        let (pieces, key, each) = match self {
            Self::Alike { pieces, key } => (pieces.clone(), *key, [].as_slice()),
            Self::Each(list) => ([].chunks_exact(1), 0, list.as_slice()),
        };
        pieces.filter_map(move |piece| Some((piece.get(HEAD..HEAD + key)?, false))).chain(each.iter().copied())
    }
}

/// Puts the elements of a set of plain keys into their order, and into the form in which they are written here. The kernel tells those of a
/// hash in none, and whoever compares, lifts or keeps a set would have to sort it otherwise, each for himself.
///
/// # Errors
/// Where attributes are cut short.
pub fn sort(set: &mut Set) -> Result<(), Malformed> {
    let interval = set.flags & NFT_SET_INTERVAL != 0;
    let Some(keys) = set.keys()? else { return Ok(()) };
    let sorted = match set.key_length {
        // Small numbers, because 100,000 of them are sorted in a moment.
        ..=4 => in_order(&set.elements, &keys, interval, u32::from_be_bytes, u32::to_be_bytes),
        5..=16 => in_order(&set.elements, &keys, interval, u128::from_be_bytes, u128::to_be_bytes),
        _ => None,
    };
    if let Some(sorted) = sorted {
        set.elements = Arc::new(sorted);
    }
    Ok(())
}

/// The list in the order of its keys; `None` where it is none.
fn in_order<K: Copy + Ord, const LENGTH: usize>(
    list: &[u8],
    keys: &Keyed<'_>,
    interval: bool,
    number: fn([u8; LENGTH]) -> K,
    bytes: fn(K) -> [u8; LENGTH],
) -> Option<Vec<u8>> {
    let number = |key: &[u8]| {
        let mut bytes = [0; LENGTH];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(number(bytes))
    };
    let each = match keys {
        Keyed::Alike { key, .. } => {
            let mut sorted = Vec::with_capacity(keys.len());
            for (key, _) in keys.iter() {
                sorted.push(number(key)?);
            }
            sorted.sort_unstable();
            return Some(values(*key, sorted.into_iter().map(bytes)));
        }
        Keyed::Each(list) => list,
    };
    let mut places = Vec::with_capacity(each.len());
    let (mut at, mut plain) = (0_u32, true);
    for (element, &(key, ends)) in attributes(list).zip(each) {
        let length = (4 + element.ok()?.1.len()).next_multiple_of(4);
        // More than a key, such as a comment.
        plain &= length == length_of(key, ends);
        // Where one range ends and another begins, the end comes first.
        places.push(((number(key)?, ends != interval), at));
        at = at.checked_add(length as u32)?;
    }
    places.sort_unstable_by_key(|(place, _)| *place);
    let mut writer = Writer::with_capacity(list.len().next_multiple_of(4));
    for ((_, ends), at) in places {
        let rest = list.get(at as usize..)?;
        let (_, value) = attributes(rest).next()?.ok()?;
        if plain {
            let key = find(find(value, NFTA_SET_ELEM_KEY).ok()??, NFTA_DATA_VALUE).ok()??;
            element(&mut writer, key, ends != interval);
        } else {
            writer.raw(rest.get(..4 + value.len())?);
        }
    }
    Some(writer.into_bytes())
}

/// How long an element is that [`element`] writes.
pub fn length_of(key: &[u8], ends: bool) -> usize {
    HEAD + key.len().next_multiple_of(4) + if ends { 8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(flags: u32, key_length: u32, elements: Vec<u8>) -> Set {
        Set { flags, key_length, elements: elements.into(), ..Set::default() }
    }

    fn written(list: &[(&[u8], bool)]) -> Vec<u8> {
        let mut writer = Writer::default();
        list.iter().for_each(|(key, ends)| element(&mut writer, key, *ends));
        writer.into_bytes()
    }

    /// Whatever is in them, and however they are told apart.
    #[test]
    fn pieces_are_whole_elements_and_no_longer_than_an_attribute() {
        let numbers: Vec<[u8; 4]> = (0..40_000_u32).map(u32::to_be_bytes).collect();
        let hosts: Vec<(&[u8], bool)> = numbers.iter().map(|key| (&key[..], false)).collect();
        let ranges: Vec<(&[u8], bool)> =
            numbers.iter().enumerate().map(|(at, key)| (&key[..], at % 2 == 1 || at == 3000)).collect();
        let mut one_is_longer = hosts.clone();
        one_is_longer[39_000].0 = &[7; 16];
        for (list, count) in [(hosts, 10), (ranges, 13), (one_is_longer, 10)] {
            let bytes = written(&list);
            let found = pieces(&bytes).unwrap();
            assert_eq!((found.concat() == bytes, found.len()), (true, count));
            for piece in found {
                let first = attributes(piece).next().unwrap().unwrap().1;
                assert!(piece.len() <= LONGEST_LIST && attributes(piece).all(|one| one.is_ok()));
                assert_eq!(find(first, NFTA_SET_ELEM_FLAGS).unwrap(), None, "a range is not parted");
            }
        }
    }

    /// As the kernel writes: without the flag that says that an attribute holds others.
    fn by_the_kernel(list: &[(&[u8], bool)]) -> Vec<u8> {
        let mut bytes = written(list);
        let element = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]) as usize;
        let mut starts = vec![0];
        while *starts.last().unwrap() < bytes.len() {
            starts.push(starts.last().unwrap() + element(*starts.last().unwrap()).next_multiple_of(4));
        }
        starts.pop();
        for at in starts {
            bytes[at + 3] &= 0x7f;
            bytes[at + 7] &= 0x7f;
        }
        bytes
    }

    #[test]
    fn what_is_read_is_put_into_the_order_and_form_of_what_is_written() {
        for (flags, list) in [
            (0, vec![(&[10, 0, 0, 9][..], false), (&[9, 0, 0, 1], false), (&[200, 0, 0, 1], false)]),
            (NFT_SET_INTERVAL, vec![(&[10, 0, 0, 9][..], true), (&[10, 0, 0, 9], false), (&[9, 0, 0, 1], false)]),
            (NFT_SET_INTERVAL, vec![(&[1, 2][..], false), (&[0, 9], true), (&[0, 3], false), (&[0, 0], true)]),
            (0, vec![(&[2; 16][..], false), (&[1; 16], false)]),
        ] {
            let interval = flags & NFT_SET_INTERVAL != 0;
            let mut sorted = list.clone();
            sorted.sort_by_key(|&(key, ends)| (key, ends != interval));
            let length = list[0].0.len() as u32;
            for bytes in [by_the_kernel(&list), written(&list), by_the_kernel(&sorted)] {
                let mut set = set(flags, length, bytes);
                sort(&mut set).unwrap();
                assert_eq!(*set.elements, written(&sorted), "{list:?}");
            }
        }
    }

    /// Whoever reads one element for all must not miss that one of them is of another kind.
    #[test]
    fn elements_are_alike_that_have_nothing_but_a_key() {
        let key: &[u8] = &[10, 0, 0, 1];
        let (plain, port) = (written(&[(key, false); 3]), written(&[(&[1, 2][..], false); 3]));
        let keys = |list: &[u8], length| Keyed::alike(list, length).map(|keys| keys.iter().collect::<Vec<_>>().len());
        assert_eq!(
            (keys(&plain, 4), keys(&by_the_kernel(&[(key, false); 2]), 4), keys(&port, 2)),
            (Some(3), Some(2), Some(3))
        );
        for length in [0, 2, 3, 5, 8, 16] {
            assert_eq!(keys(&plain, length), None, "{length}");
        }
        assert_eq!((keys(&[], 4), keys(&plain[..plain.len() - 4], 4), keys(&port, 4)), (None, None, None));
        let mut more = Writer::default();
        more.nest(NFTA_LIST_ELEM, |writer| {
            writer.nest(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, key));
            writer.attribute(NFTA_SET_ELEM_TIMEOUT, &[0; 8]);
        });
        let more = more.into_bytes();
        for other in [written(&[(key, true)]), more, written(&[(&[1, 2][..], false)])] {
            for list in [[plain.clone(), other.clone()].concat(), [other.clone(), plain.clone()].concat()] {
                assert_eq!(keys(&list, 4), None, "{list:?}");
            }
        }
        // Each byte of what stands before a key.
        for at in (0..HEAD).map(|at| plain.len() - 16 + at) {
            let mut list = plain.clone();
            list[at] ^= 0x40;
            assert_eq!(keys(&list, 4), None, "{at}");
        }
    }

    #[test]
    fn what_is_more_than_keys_stays_as_it_is() {
        // A comment of an element goes along with it.
        let mut writer = Writer::default();
        for key in [[9, 0, 0, 2], [9, 0, 0, 1]] {
            writer.nest(NFTA_LIST_ELEM, |writer| {
                writer.nest(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, &key));
                writer.attribute(NFTA_SET_ELEM_USERDATA, &[key[3]; 5]);
            });
        }
        let bytes = writer.into_bytes();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let mut with = set(0, 4, bytes.clone());
        sort(&mut with).unwrap();
        assert_eq!(*with.elements, [second, first].concat());
        // A map is none of these.
        let mut map = set(NFT_SET_MAP, 4, bytes.clone());
        sort(&mut map).unwrap();
        assert_eq!(*map.elements, bytes);
    }
}
