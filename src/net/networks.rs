//! A set of addresses, made of networks.

use std::net::IpAddr;

use super::address::{private_v4, private_v6};
use super::{Cidr, Hosts};

/// Wider than this is no network of one owner, in IPv4. The prefix of the widest is meant.
pub const WIDEST_V4: u8 = 8;
/// Likewise in IPv6: registries give out few networks of /19, and none wider to one network (RIPE NCC and ARIN, allocations of 2001::/16 to
/// 2c0f::/16).
pub const WIDEST_V6: u8 = 19;

/// The union of some networks, ready to be asked: sorted, disjoint intervals per family. One question costs a binary
/// search, so 100,000 addresses against 100,000 networks are a matter of milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Whether all of `network` lies in the union.
    #[must_use]
    pub fn covers(&self, network: Cidr) -> bool {
        match (network.first(), network.last()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => covers(&self.v4, a.to_bits(), b.to_bits()),
            (IpAddr::V6(a), IpAddr::V6(b)) => covers(&self.v6, a.to_bits(), b.to_bits()),
            _ => false,
        }
    }

    /// How many of these hosts lie in the union.
    #[must_use]
    pub fn count_of(&self, hosts: &Hosts) -> usize {
        within(&self.v4, hosts.v4()) + within(&self.v6, hosts.v6())
    }

    /// Whether an address of `network` lies in the union.
    #[must_use]
    pub fn overlaps(&self, network: Cidr) -> bool {
        match (network.first(), network.last()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => overlaps(&self.v4, a.to_bits(), b.to_bits()),
            (IpAddr::V6(a), IpAddr::V6(b)) => overlaps(&self.v6, a.to_bits(), b.to_bits()),
            _ => false,
        }
    }

    /// How many IPv4 addresses the union has, or reaches through IPv6, that are in none of the networks set aside for private use.
    #[must_use]
    pub fn public_v4(&self) -> u64 {
        let private: Vec<(u32, u32)> = private_v4().collect();
        let count = |(first, last): (u32, u32)| u64::from(last - first) + 1;
        let v4 = merge(self.v4.iter().copied().chain(carried(&self.v6)).collect(), |last| last.checked_add(1));
        let all: u64 = v4.iter().map(|&interval| count(interval)).sum();
        all - common(&v4, &private).map(count).sum::<u64>()
    }

    /// The same for IPv6; all of it is one less than it has.
    #[must_use]
    pub fn public_v6(&self) -> u128 {
        let private: Vec<(u128, u128)> = private_v6().collect();
        let count = |(first, last): (u128, u128)| (last - first).saturating_add(1);
        // The intervals are disjoint, so that only all of IPv6 as one does not fit.
        let all = self.v6.iter().map(|&interval| count(interval)).fold(0_u128, u128::saturating_add);
        all - common(&self.v6, &private).map(count).sum::<u128>()
    }

    /// Whether the union has an IPv4 address.
    #[must_use]
    pub fn has_ipv4(&self) -> bool {
        !self.v4.is_empty()
    }

    /// Whether the union has an IPv6 address.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        !self.v6.is_empty()
    }
}

impl FromIterator<Cidr> for Networks {
    fn from_iter<I: IntoIterator<Item = Cidr>>(networks: I) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for network in networks {
            match (network.first(), network.last()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => v4.push((a.to_bits(), b.to_bits())),
                (IpAddr::V6(a), IpAddr::V6(b)) => v6.push((a.to_bits(), b.to_bits())),
                // A network has one family.
                _ => {}
            }
        }
        Self { v4: merge(v4, |last| last.checked_add(1)), v6: merge(v6, |last| last.checked_add(1)) }
    }
}

/// The IPv4 addresses that stand in IPv6 addresses: in the groups behind 2002::/16 (6to4, RFC 3056), and in the last bits behind
/// 64:ff9b::/96 and 64:ff9b:1::/48 (translators, RFC 6052 and 8215), 2001::/32 (Teredo, RFC 4380, with all bits turned over), ::/96
/// and ::ffff:0:0/96 (RFC 4291, 2.5.5).
fn carried(v6: &[(u128, u128)]) -> Vec<(u32, u32)> {
    const SIX_TO_FOUR: [(u128, u128); 1] = [(0x2002 << 112, (0x2003 << 112) - 1)];
    const TEREDO: [(u128, u128); 1] = [(0x2001_0000 << 96, (0x2001_0001 << 96) - 1)];
    const LAST_BITS: [(u128, u128); 4] = [
        (0, (1 << 32) - 1),
        (0xffff << 32, (0x1_0000 << 32) - 1),
        (0x0064_ff9b << 96, (0x0064_ff9b << 96) + (1 << 32) - 1),
        (0x0064_ff9b_0001 << 80, (0x0064_ff9b_0002 << 80) - 1),
    ];
    // Only the lower 32 bits are kept.
    let low = |bits: u128| bits as u32;
    let last_bits = |(first, last): (u128, u128)| {
        // What reaches over the end of a block of them goes once round.
        match first >> 32 == last >> 32 {
            true => vec![(low(first), low(last))],
            false if last - first < u128::from(u32::MAX) => vec![(low(first), u32::MAX), (0, low(last))],
            false => vec![(0, u32::MAX)],
        }
    };
    let six_to_four = common(v6, &SIX_TO_FOUR).map(|(first, last)| (low(first >> 80), low(last >> 80)));
    let teredo = common(v6, &TEREDO).flat_map(last_bits).map(|(first, last)| (!last, !first));
    six_to_four.chain(teredo).chain(common(v6, &LAST_BITS).flat_map(last_bits)).collect()
}

/// How many of some ascending values lie in disjoint intervals.
fn within<T: Copy + Ord>(intervals: &[(T, T)], values: &[T]) -> usize {
    let below = |end: T, with: bool| values.partition_point(|own| *own < end || with && *own == end);
    intervals.iter().map(|&(first, last)| below(last, true) - below(first, false)).sum()
}

/// What two lists of disjoint intervals have in common; one of them is short.
fn common<T: Copy + Ord>(one: &[(T, T)], short: &[(T, T)]) -> impl Iterator<Item = (T, T)> {
    let pairs = one.iter().flat_map(move |own| short.iter().map(move |other| (own.0.max(other.0), own.1.min(other.1))));
    pairs.filter(|(first, last)| first <= last)
}

fn merge<T: Copy + Ord>(mut intervals: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    intervals.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(intervals.len());
    for (first, last) in intervals {
        match merged.last_mut() {
            // Nothing lies behind the highest address, so an interval that ends there touches all that follow.
            Some(previous) if next(previous.1).is_none_or(|next| first <= next) => previous.1 = previous.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The interval with the highest start that is not above `at`.
fn at_or_below<T: Copy + Ord>(intervals: &[(T, T)], at: T) -> Option<(T, T)> {
    let index = intervals.partition_point(|&(first, _)| first <= at);
    index.checked_sub(1).and_then(|index| intervals.get(index)).copied()
}

fn covers<T: Copy + Ord>(intervals: &[(T, T)], first: T, last: T) -> bool {
    at_or_below(intervals, first).is_some_and(|(_, end)| last <= end)
}

fn overlaps<T: Copy + Ord>(intervals: &[(T, T)], first: T, last: T) -> bool {
    at_or_below(intervals, last).is_some_and(|(_, end)| first <= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| text.parse::<Cidr>().unwrap()).collect()
    }

    fn net(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn neighbours_are_one() {
        let set = networks(&["10.0.0.128/25", "10.0.0.0/25", "10.9.0.0/16", "10.9.9.0/24", "255.255.255.255"]);
        assert!(set.covers(net("10.0.0.0/24")));
        assert!(set.covers(net("10.9.255.255")));
        assert!(set.covers(net("255.255.255.255")));
        assert!(!set.covers(net("10.0.0.0/23")));
        assert!(set.overlaps(net("10.0.0.0/8")));
        assert!(!set.overlaps(net("10.0.1.0")));
        assert!(!set.overlaps(net("9.255.255.255")));
        assert!(!set.overlaps(net("fd00::/8")));
        assert!(!set.has_ipv6());
    }

    #[test]
    fn hosts_are_counted_where_each_is_asked_for() {
        let set =
            networks(&["10.0.0.8/30", "10.0.0.16", "10.0.0.17", "0.0.0.0/31", "255.255.255.255", "fd00::4/127", "::"]);
        let all =
            ["10.0.0.7", "10.0.0.8", "10.0.0.11", "10.0.0.12", "10.0.0.15", "10.0.0.16", "10.0.0.17", "10.0.0.18"];
        let ends =
            ["0.0.0.0", "0.0.0.1", "0.0.0.2", "255.255.255.254", "255.255.255.255", "::", "::1", "fd00::3", "fd00::5"];
        for from in 0..all.len() {
            let hosts: Hosts =
                all[from..].iter().chain(&ends[from..]).map(|text| text.parse::<IpAddr>().unwrap()).collect();
            let each = all[from..].iter().chain(&ends[from..]).filter(|text| set.covers(net(text)));
            assert_eq!(set.count_of(&hosts), each.count(), "{from}");
        }
        assert_eq!(Networks::default().count_of(&Hosts::default()), 0);
    }

    #[test]
    fn what_is_public_is_counted_on_the_union() {
        let whole: Networks = (0..=255_u32).map(|first| net(&format!("{first}.0.0.0/8"))).collect();
        let private = (1 << 24) + (1 << 20) + (1 << 16) + (1 << 22);
        assert_eq!(whole.public_v4(), (1 << 32) - private);
        assert_eq!(networks(&["0.0.0.0/0"]).public_v4(), (1 << 32) - private);
        assert_eq!(networks(&["10.0.0.0/8", "192.168.0.0/17", "172.16.0.0/12"]).public_v4(), 0);
        assert_eq!(networks(&["9.0.0.0/8", "9.1.0.0/16", "11.0.0.0/8"]).public_v4(), 1 << 25);
        assert_eq!(networks(&["fc00::/6", "2001:db8::/32"]).public_v6(), (1 << 121) + (1 << 96));
        assert_eq!(networks(&["::/0"]).public_v6(), u128::MAX - (1 << 121));
        assert_eq!(networks(&["::/1", "8000::/1"]).public_v6(), u128::MAX - (1 << 121));
        assert_eq!((whole.public_v6(), Networks::default().public_v4()), (0, 0));
    }

    #[test]
    fn what_ipv6_carries_is_counted_as_ipv4() {
        let whole = networks(&["0.0.0.0/0"]).public_v4();
        for all in [
            "2002::/16",
            "64:ff9b::/96",
            "::/96",
            "::ffff:0:0/96",
            "::/0",
            "2001::/32",
            "64:ff9b:1::/48",
            "64:ff9b:1::/96",
        ] {
            assert_eq!(networks(&[all]).public_v4(), whole, "{all}");
        }
        assert_eq!(networks(&["2002:900::/24", "64:ff9b::b00:0/104"]).public_v4(), 1 << 25);
        assert_eq!(networks(&["2002:a00::/24", "64:ff9b::10.0.0.0/104"]).public_v4(), 0);
        assert_eq!(networks(&["2002:900::/24", "9.0.0.0/8", "2001:0:1::f600:0/104"]).public_v4(), 1 << 24);
        assert_eq!(networks(&["2001:db8::/32", "2003::/19", "64:ff9b:2::/48"]).public_v4(), 0);
    }

    #[test]
    fn everything_covers_everything() {
        let set = networks(&["0.0.0.0/0", "10.0.0.0/8", "::/0", "ffff::/16"]);
        for text in ["0.0.0.0", "255.255.255.255", "0.0.0.0/0", "::/0", "ffff:ffff::"] {
            assert!(set.covers(net(text)), "{text}");
        }
    }
}
