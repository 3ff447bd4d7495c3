//! The values of sets: what is between the commas.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::names;
use crate::ir::{Elements, PortMatch};
use crate::net::{PortRange, Ports};

/// What a set or a map is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// Ports.
    Port,
    /// Names of interfaces.
    Interface,
}

impl Key {
    /// The key of `type TEXT`; `None` for what is not known here, concatenations among it.
    pub fn of_type(text: &str) -> Option<Self> {
        match text {
            "ipv4_addr" => Some(Self::Ipv4),
            "ipv6_addr" => Some(Self::Ipv6),
            "inet_service" => Some(Self::Port),
            "ifname" => Some(Self::Interface),
            _ => None,
        }
    }

    /// The key of `typeof TEXT`.
    pub fn of_expression(text: &str) -> Option<Self> {
        match text {
            "ip saddr" | "ip daddr" => Some(Self::Ipv4),
            "ip6 saddr" | "ip6 daddr" => Some(Self::Ipv6),
            "tcp dport" | "tcp sport" | "udp dport" | "udp sport" | "th dport" | "th sport" => Some(Self::Port),
            "iifname" | "oifname" | "meta iifname" | "meta oifname" => Some(Self::Interface),
            _ => None,
        }
    }
}

/// Values of one kind, in the order in which they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values<'a> {
    /// IPv4 ranges.
    Ipv4(Vec<(u32, u32)>),
    /// IPv6 ranges.
    Ipv6(Vec<(u128, u128)>),
    /// Port ranges; port 0 may be among them.
    Ports(Vec<(u16, u16)>),
    /// Names of interfaces.
    Interfaces(Vec<&'a str>),
}

impl<'a> Values<'a> {
    /// No values.
    pub fn none(key: Key) -> Self {
        match key {
            Key::Ipv4 => Self::Ipv4(Vec::new()),
            Key::Ipv6 => Self::Ipv6(Vec::new()),
            Key::Port => Self::Ports(Vec::new()),
            Key::Interface => Self::Interfaces(Vec::new()),
        }
    }

    /// Their kind.
    pub fn key(&self) -> Key {
        match self {
            Self::Ipv4(_) => Key::Ipv4,
            Self::Ipv6(_) => Key::Ipv6,
            Self::Ports(_) => Key::Port,
            Self::Interfaces(_) => Key::Interface,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Ipv4(list) => list.len(),
            Self::Ipv6(list) => list.len(),
            Self::Ports(list) => list.len(),
            Self::Interfaces(list) => list.len(),
        }
    }

    /// Takes one more; `None` if the text is no value of this kind.
    pub fn push(&mut self, text: &'a str) -> Option<()> {
        match self {
            Self::Ipv4(list) => list.push(ipv4(text)?),
            Self::Ipv6(list) => list.push(ipv6(text)?),
            Self::Ports(list) => list.push(ports(text)?),
            Self::Interfaces(list) => list.push(text),
        }
        Some(())
    }

    /// Takes a range whose ends were read one by one.
    pub fn push_range(&mut self, first: &'a str, last: &'a str) -> Option<()> {
        match self {
            Self::Ipv4(list) => list.push(ordered(ipv4(first)?.0, ipv4(last)?.1)?),
            Self::Ipv6(list) => list.push(ordered(ipv6(first)?.0, ipv6(last)?.1)?),
            Self::Ports(list) => list.push(ordered(ports(first)?.0, ports(last)?.1)?),
            Self::Interfaces(_) => return None,
        }
        Some(())
    }

    /// The values as elements of a set. There is no room for port 0 and for interfaces in them.
    pub fn into_elements(self) -> Elements {
        match self {
            Self::Ipv4(list) => Elements::ipv4(list),
            Self::Ipv6(list) => Elements::ipv6(list),
            Self::Ports(list) => {
                let ranges: Option<Vec<PortRange>> =
                    disjoint(list).into_iter().map(|(first, last)| PortRange::new(first, last)).collect();
                ranges.map_or(Elements::Unknown, Elements::Ports)
            }
            Self::Interfaces(_) => Elements::Unknown,
        }
    }

    /// The same, with ranges that touch made one, as nft does in sets that are `auto-merge` or have no name.
    pub fn into_merged_elements(self) -> Elements {
        match self.into_elements() {
            Elements::Ipv4(list) => Elements::Ipv4(touching_joined(list, |last| last.checked_add(1))),
            Elements::Ipv6(list) => Elements::Ipv6(touching_joined(list, |last| last.checked_add(1))),
            Elements::Ports(list) => Elements::Ports(list.into_iter().collect::<Ports>().ranges().to_vec()),
            other @ (Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown) => other,
        }
    }
}

fn touching_joined<T: Copy + PartialEq>(list: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    let mut joined: Vec<(T, T)> = Vec::with_capacity(list.len());
    for (first, last) in list {
        match joined.last_mut() {
            Some(previous) if next(previous.1) == Some(first) => previous.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Ports to compare with. Port 0, which [`PortRange`] has no room for, turns the test round: "0 to 1023" is "not 1024 to
/// 65535".
pub fn port_match(ranges: Vec<(u16, u16)>, negated: bool) -> (PortMatch, bool) {
    let ranges = disjoint(ranges);
    let turned = ranges.first().is_some_and(|range| range.0 == 0);
    let ranges = if turned { complement(&ranges) } else { ranges };
    let ports: Ports = ranges.into_iter().filter_map(|(first, last)| PortRange::new(first, last)).collect();
    (PortMatch::Ports(ports), negated != turned)
}

/// The ports that are in none of these sorted, disjoint ranges.
pub fn complement(ranges: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut left = Vec::new();
    let mut next = Some(0_u16);
    for &(first, last) in ranges {
        if let Some(from) = next.filter(|from| *from < first) {
            left.push((from, first - 1));
        }
        next = last.checked_add(1);
    }
    left.extend(next.map(|from| (from, u16::MAX)));
    left
}

/// Sorted; those that overlap are joined, neighbours stay apart, as in every other set.
pub fn disjoint(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn ordered<T: Ord>(first: T, last: T) -> Option<(T, T)> {
    (first <= last).then_some((first, last))
}

/// An address, a network or a range. nft takes an address within a network for the network.
fn ipv4(text: &str) -> Option<(u32, u32)> {
    let one = |text: &str| text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
    if let Some(address) = one(text) {
        return Some((address, address));
    }
    if let Some((address, length)) = text.split_once('/') {
        let length = names::number(length).filter(|length| *length <= 32)?;
        let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
        let address = one(address)?;
        return Some((address & !hosts, address | hosts));
    }
    let (first, last) = text.split_once('-')?;
    ordered(one(first)?, one(last)?)
}

/// An address, a network or a range.
fn ipv6(text: &str) -> Option<(u128, u128)> {
    let one = |text: &str| text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
    if let Some(address) = one(text) {
        return Some((address, address));
    }
    if let Some((address, length)) = text.split_once('/') {
        let length = names::number(length).filter(|length| *length <= 128)?;
        let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
        let address = one(address)?;
        return Some((address & !hosts, address | hosts));
    }
    let (first, last) = text.split_once('-')?;
    ordered(one(first)?, one(last)?)
}

/// A port or a range. A name may have a `-` in it.
fn ports(text: &str) -> Option<(u16, u16)> {
    if let Some(port) = names::port(text) {
        return Some((port, port));
    }
    let (first, last) = text.split_once('-')?;
    ordered(names::port(first)?, names::port(last)?)
}
