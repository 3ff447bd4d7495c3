//! What is in a set.

use std::net::IpAddr;

use super::Endpoints;
use crate::net::{Cidr, Hosts, PortRange};

/// The elements of a set: sorted, disjoint ranges, both ends included. Make them with the functions, which see to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// IPv4 addresses.
    Ipv4(Vec<(u32, u32)>),
    /// IPv6 addresses.
    Ipv6(Vec<(u128, u128)>),
    /// TCP ports.
    Ports(Vec<PortRange>),
    /// Elements of several parts.
    Endpoints(Endpoints),
    /// Addresses of both families, as a `list:set` of ipset may have them.
    Dual(Vec<(u32, u32)>, Vec<(u128, u128)>),
    /// Elements with timeouts: each of these may be gone by now, and nothing else is among them.
    Passing(Box<Elements>),
    /// Elements of a kind that is not known here, or that come and go.
    Unknown,
}

/// Whether one of the ranges has a value.
fn within<T: Copy + Ord>(list: &[(T, T)], own: T) -> bool {
    let at = list.partition_point(|&(first, _)| first <= own);
    at.checked_sub(1).and_then(|at| list.get(at)).is_some_and(|&(_, last)| own <= last)
}

impl Elements {
    /// Whether an address is among them for certain.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Ipv4(list) | Self::Dual(list, _), IpAddr::V4(own)) => within(list, own.to_bits()),
            (Self::Ipv6(list) | Self::Dual(_, list), IpAddr::V6(own)) => within(list, own.to_bits()),
            (Self::Ipv4(_) | Self::Ipv6(_) | Self::Ports(_) | Self::Endpoints(_), _) => false,
            (Self::Passing(_) | Self::Unknown, _) => false,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Ipv4(list) => list.len(),
            Self::Ipv6(list) => list.len(),
            Self::Ports(list) => list.len(),
            Self::Endpoints(list) => list.len(),
            Self::Dual(v4, v6) => v4.len() + v6.len(),
            Self::Passing(these) => these.len(),
            Self::Unknown => 0,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses as networks, in the fewest that there can be; none for ports, and for what comes and goes.
    #[must_use]
    pub fn networks(&self) -> Vec<Cidr> {
        self.each_network().collect()
    }

    /// The same one by one.
    pub fn each_network(&self) -> impl Iterator<Item = Cidr> {
        let v4 = self.v4().iter().flat_map(|&(first, last)| Cidr::covering_v4(first, last));
        v4.chain(self.v6().iter().flat_map(|&(first, last)| Cidr::covering_v6(first, last)))
    }

    /// The IPv4 addresses; none for what comes and goes.
    #[must_use]
    pub fn v4(&self) -> &[(u32, u32)] {
        match self {
            Self::Ipv4(list) | Self::Dual(list, _) => list,
            Self::Ipv6(_) | Self::Ports(_) | Self::Endpoints(_) | Self::Passing(_) | Self::Unknown => &[],
        }
    }

    /// The IPv6 addresses; none for what comes and goes.
    #[must_use]
    pub fn v6(&self) -> &[(u128, u128)] {
        match self {
            Self::Ipv6(list) | Self::Dual(_, list) => list,
            Self::Ipv4(_) | Self::Ports(_) | Self::Endpoints(_) | Self::Passing(_) | Self::Unknown => &[],
        }
    }

    /// The ports, where that is what they are and they stay.
    #[must_use]
    pub fn ports(&self) -> Option<&[PortRange]> {
        match self {
            Self::Ports(list) => Some(list),
            Self::Ipv4(_) | Self::Ipv6(_) | Self::Endpoints(_) | Self::Dual(..) | Self::Passing(_) | Self::Unknown => {
                None
            }
        }
    }

    /// The elements, and whether each may be gone by now.
    #[must_use]
    pub fn lasting(&self) -> (&Self, bool) {
        match self {
            Self::Passing(these) => (these, true),
            other => (other, false),
        }
    }

    /// These, each of which may be gone by now. What is not known stays so.
    #[must_use]
    pub fn passing(self) -> Self {
        match self {
            other @ (Self::Passing(_) | Self::Unknown) => other,
            other => Self::Passing(Box::new(other)),
        }
    }

    /// The family that tests of them are for; `None` where they are of both, of none or not known.
    #[must_use]
    pub fn is_ipv4(&self) -> Option<bool> {
        match self {
            Self::Ipv4(_) => Some(true),
            Self::Ipv6(_) => Some(false),
            Self::Passing(these) => these.is_ipv4(),
            Self::Ports(_) | Self::Endpoints(_) | Self::Dual(..) | Self::Unknown => None,
        }
    }

    /// IPv4 ranges in any order, overlapping or not.
    #[must_use]
    pub fn ipv4(ranges: Vec<(u32, u32)>) -> Self {
        Self::Ipv4(normalized(ranges))
    }

    /// IPv6 ranges in any order, overlapping or not.
    #[must_use]
    pub fn ipv6(ranges: Vec<(u128, u128)>) -> Self {
        Self::Ipv6(normalized(ranges))
    }

    /// The hosts of each family that has some, IPv4 first.
    pub fn of_hosts(hosts: &Hosts) -> impl Iterator<Item = Self> + use<> {
        let v4 = Self::Ipv4(hosts.v4().iter().map(|&own| (own, own)).collect());
        let v6 = Self::Ipv6(hosts.v6().iter().map(|&own| (own, own)).collect());
        [v4, v6].into_iter().filter(|list| !list.is_empty())
    }

    /// The addresses of networks; of the first one's family, and `Unknown` for none.
    #[must_use]
    pub fn of_networks(networks: &[Cidr]) -> Self {
        let ends = |network: &Cidr| (network.first(), network.last());
        match networks.first().map(ends) {
            None => Self::Unknown,
            Some((IpAddr::V4(_), _)) => Self::ipv4(
                networks
                    .iter()
                    .filter_map(|network| match ends(network) {
                        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits(), b.to_bits())),
                        _ => None,
                    })
                    .collect(),
            ),
            Some((IpAddr::V6(_), _)) => Self::ipv6(
                networks
                    .iter()
                    .filter_map(|network| match ends(network) {
                        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits(), b.to_bits())),
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }
}

/// Sorts ranges and joins those that overlap. Neighbours stay apart, as they were written.
fn normalized<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    if ranges.windows(2).all(|pair| matches!(pair, [a, b] if a.1 < b.0)) {
        return ranges;
    }
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}
