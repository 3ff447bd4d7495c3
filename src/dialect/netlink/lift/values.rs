//! What is in a set.

use std::collections::HashSet;

use super::super::attributes::{Malformed, attributes, find, text_of, u32_of};
use super::super::constants::*;
use super::super::elements::Keyed;
use super::super::table::Set;
use crate::ir::{self, Elements};
use crate::net::{Interface, PortRange};

/// What is in a set.
#[derive(Clone, Debug)]
pub enum Values {
    Ipv4(Vec<(u32, u32)>),
    Ipv6(Vec<(u128, u128)>),
    Ports(Vec<(u16, u16)>),
    Interfaces(Vec<Interface>),
    /// Each of these may be gone by now, and nothing else is in it.
    Passing(Box<Values>),
    /// Rules add to it or take from it.
    Filled,
    Unknown,
}

/// A value of an element: a number that a key stands for.
pub trait Key: Copy + Ord {
    fn read(bytes: &[u8]) -> Option<Self>;
    fn below(self) -> Option<Self>;
    fn highest() -> Self;
}

macro_rules! keys {
    ($($kind:ty),+) => { $(impl Key for $kind {
        fn read(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_be_bytes)
        }
        fn below(self) -> Option<Self> {
            self.checked_sub(1)
        }
        fn highest() -> Self {
            Self::MAX
        }
    })+ };
}
keys!(u16, u32, u128);

/// What an element of a verdict map says: the kernel's number, and the chain to go to.
pub type Decision = (i32, Option<String>);

/// An element: its key, and whether it ends a range.
pub type Element<'a> = (&'a [u8], bool);

impl Set {
    /// The elements one by one; `None` where there is more to one than a key.
    ///
    /// # Errors
    /// Where attributes are cut short.
    pub(in super::super) fn keys(&self) -> Result<Option<Keyed<'_>>, Malformed> {
        self.keys_of(&self.elements)
    }

    /// The same of a part of them.
    pub(in super::super) fn keys_of<'a>(&self, list: &'a [u8]) -> Result<Option<Keyed<'a>>, Malformed> {
        if !self.is_plain()? {
            return Ok(None);
        }
        self.keys_and(list, &[])
    }

    /// The same, where elements may have these attributes, too.
    fn keys_and<'a>(&self, list: &'a [u8], more: &[u16]) -> Result<Option<Keyed<'a>>, Malformed> {
        let length = usize::try_from(self.key_length).unwrap_or(0);
        if let Some(alike) = Keyed::alike(list, length) {
            return Ok(Some(alike));
        }
        let mut keys = Vec::with_capacity(list.len() / (length + 12));
        for element in attributes(list) {
            let mut key = None;
            let mut ends = false;
            for attribute in attributes(element?.1) {
                match attribute? {
                    (NFTA_SET_ELEM_KEY, value) => key = find(value, NFTA_DATA_VALUE)?,
                    (NFTA_SET_ELEM_FLAGS, value) => match u32_of(value)? {
                        0 => {}
                        NFT_SET_ELEM_INTERVAL_END => ends = true,
                        _ => return Ok(None),
                    },
                    // A comment.
                    (NFTA_SET_ELEM_USERDATA | NFTA_SET_ELEM_PAD, _) => {}
                    (other, _) if more.contains(&other) => {}
                    _ => return Ok(None),
                }
            }
            let Some(key) = key.filter(|key| key.len() == length) else { return Ok(None) };
            keys.push((key, ends));
        }
        Ok(Some(Keyed::Each(keys)))
    }

    /// Whether it holds keys and nothing else: no maps, no elements that come and go or that count and limit.
    #[allow(clippy::missing_errors_doc)]
    pub fn is_plain(&self) -> Result<bool, Malformed> {
        Ok(self.holds_keys()? && self.flags & NFT_SET_TIMEOUT == 0 && !self.has(&[NFTA_SET_TIMEOUT])?)
    }

    /// Whether it holds keys, perhaps for a time, and nothing else.
    fn holds_keys(&self) -> Result<bool, Malformed> {
        const FLAGS: u32 = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL | NFT_SET_TIMEOUT;
        const MORE: [u16; 3] = [NFTA_SET_OBJ_TYPE, NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS];
        Ok(self.flags & !FLAGS == 0 && !self.has(&MORE)?)
    }

    fn has(&self, wanted: &[u16]) -> Result<bool, Malformed> {
        for attribute in attributes(&self.attributes) {
            if wanted.contains(&attribute?.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn values(&self) -> Result<Values, Malformed> {
        if self.is_plain()? {
            return self.values_of(self.keys()?);
        }
        if !self.holds_keys()? {
            return Ok(Values::Unknown);
        }
        Ok(
            match self.values_of(self.keys_and(&self.elements, &[NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPIRATION])?)? {
                Values::Unknown => Values::Unknown,
                these => Values::Passing(Box::new(these)),
            },
        )
    }

    fn values_of(&self, keys: Option<Keyed<'_>>) -> Result<Values, Malformed> {
        let Some(keys) = keys.filter(|keys| !(self.is_anonymous() && touching(keys))) else {
            return Ok(Values::Unknown);
        };
        let interval = self.flags & NFT_SET_INTERVAL != 0;
        Ok(match (self.key_type, self.key_length) {
            (key_type::IPV4_ADDR, 4) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ipv4),
            (key_type::IPV6_ADDR, 16) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ipv6),
            (key_type::INET_SERVICE, 2) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ports),
            (key_type::IFNAME, 16) if !interval => {
                let names: Option<Vec<Interface>> = keys.iter().map(|(key, _)| interface(key)).collect();
                names.map_or(Values::Unknown, |mut names| {
                    names.sort();
                    Values::Interfaces(names)
                })
            }
            _ => Values::Unknown,
        })
    }
}

/// Whether a range begins where another one ends. In an anonymous set the kernel may find the end there, and then looks no
/// further (net/netfilter/nft_set_rbtree.c).
fn touching(keys: &Keyed<'_>) -> bool {
    let ends: HashSet<&[u8]> = keys.iter().filter(|(_, ends)| *ends).map(|(key, _)| key).collect();
    !ends.is_empty() && keys.iter().any(|(key, is_end)| !is_end && ends.contains(key))
}

/// Elements as sorted ranges. In sets of ranges an element begins a range, and the next one, if it is an end, is the
/// first value behind it; without one the range goes up to the next range, or to the top.
fn ranges<T: Key>(keys: &Keyed<'_>, interval: bool) -> Option<Vec<(T, T)>> {
    let mut points: Vec<(T, bool)> = Vec::with_capacity(keys.len());
    for (key, ends) in keys.iter() {
        points.push((T::read(key)?, ends));
    }
    // Where one range ends and another begins, the end comes first.
    points.sort_unstable_by_key(|&(value, ends)| (value, !ends));
    if !interval {
        let is_plain = points.iter().all(|(_, ends)| !ends);
        return is_plain.then(|| points.into_iter().map(|(value, _)| (value, value)).collect());
    }
    let mut ranges = Vec::with_capacity(points.len() / 2 + 1);
    let mut open: Option<T> = None;
    for (value, ends) in points {
        if let Some(first) = open.take() {
            ranges.push((first, value.below()?));
        }
        if !ends {
            open = Some(value);
        }
    }
    ranges.extend(open.map(|first| (first, T::highest())));
    ranges.iter().all(|(first, last)| first <= last).then_some(ranges)
}

/// An interface by its name. `lo` is none: another device may have taken the name of the loopback interface, which goes by
/// its index.
pub fn interface(key: &[u8]) -> Option<Interface> {
    let name = text_of(key);
    let plain = key.iter().skip(name.len()).all(|byte| *byte == 0);
    name.parse().ok().filter(|_| plain)
}

impl Values {
    /// Nothing, of the same kind.
    pub fn family(&self) -> Elements {
        match self {
            Self::Ipv4(_) => Elements::Ipv4(Vec::new()),
            Self::Ipv6(_) => Elements::Ipv6(Vec::new()),
            Self::Passing(these) => these.family(),
            Self::Ports(_) | Self::Interfaces(_) | Self::Filled | Self::Unknown => Elements::Unknown,
        }
    }

    /// The same in the IR.
    pub fn into_elements(self) -> Elements {
        match self {
            Self::Ipv4(list) => Elements::ipv4(list),
            Self::Ipv6(list) => Elements::ipv6(list),
            Self::Ports(list) => match list.iter().map(|&(a, b)| PortRange::new(a, b)).collect() {
                Some(list) => Elements::Ports(list),
                // Port 0.
                None => Elements::Unknown,
            },
            Self::Passing(these) => these.into_elements().passing(),
            Self::Interfaces(_) | Self::Filled | Self::Unknown => Elements::Unknown,
        }
    }

    /// These, whether or not each may be gone by now.
    pub fn lasting(&self) -> &Self {
        match self {
            Self::Passing(these) => these,
            other => other,
        }
    }
}

/// A named set in the IR.
pub fn ir_set(set: &Set, values: Values) -> ir::Set {
    let kind = match set.flags & NFT_SET_INTERVAL {
        0 => ir::SetKind::Hash { size: set.size },
        _ => ir::SetKind::Interval,
    };
    ir::Set { name: set.name.clone(), kind, elements: values.into_elements(), origins: Vec::new() }
}
