//! A set of single addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of both families, each once and in order. They are sorted once, and whoever makes sets or claims of them need not sort
/// 100,000 of them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    v4: Vec<u32>,
    v6: Vec<u128>,
}

impl Hosts {
    /// Of addresses that are in order already.
    #[must_use]
    pub fn sorted(v4: impl Iterator<Item = u32>, v6: impl Iterator<Item = u128>) -> Self {
        let mut hosts = Self { v4: v4.collect(), v6: v6.collect() };
        hosts.v4.dedup();
        hosts.v6.dedup();
        debug_assert!(hosts.v4.is_sorted() && hosts.v6.is_sorted(), "in order");
        hosts
    }

    /// The IPv4 addresses, ascending.
    #[must_use]
    pub fn v4(&self) -> &[u32] {
        &self.v4
    }

    /// The IPv6 addresses, ascending.
    #[must_use]
    pub fn v6(&self) -> &[u128] {
        &self.v6
    }

    /// All of them, ascending, those of IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + Clone {
        let v4 = self.v4.iter().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(*bits)));
        v4.chain(self.v6.iter().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(*bits))))
    }

    /// The one at a place of [`Self::iter`].
    #[must_use]
    pub fn get(&self, at: usize) -> Option<IpAddr> {
        let v4 = || self.v4.get(at).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(*bits)));
        let v6 = |at| self.v6.get(at).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(*bits)));
        at.checked_sub(self.v4.len()).map_or_else(v4, v6)
    }

    /// How many are below an address, or the same.
    #[must_use]
    pub fn up_to(&self, address: IpAddr) -> usize {
        match address {
            IpAddr::V4(address) => self.v4.partition_point(|bits| *bits <= address.to_bits()),
            IpAddr::V6(address) => self.v4.len() + self.v6.partition_point(|bits| *bits <= address.to_bits()),
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an address is among them.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.binary_search(&address.to_bits()).is_ok(),
            IpAddr::V6(address) => self.v6.binary_search(&address.to_bits()).is_ok(),
        }
    }
}

impl FromIterator<IpAddr> for Hosts {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut hosts = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(address) => hosts.v4.push(address.to_bits()),
                IpAddr::V6(address) => hosts.v6.push(address.to_bits()),
            }
        }
        in_order(&mut hosts.v4);
        in_order(&mut hosts.v6);
        hosts
    }
}

fn in_order<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_in_order() {
        let list =
            ["10.0.0.9", "fd00::2", "9.0.0.1", "10.0.0.9", "fd00::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let hosts: Hosts = list.into_iter().collect();
        assert_eq!(hosts.v4(), [0x0900_0001, 0x0a00_0009]);
        assert!(hosts.v6().is_sorted() && hosts.len() == 4 && !hosts.is_empty());
        assert!(list.iter().all(|address| hosts.has(*address)));
        assert!(hosts.iter().is_sorted() && hosts.iter().eq([list[2], list[0], list[4], list[1]]));
        let places = [0, 1, 2, 3, 4].map(|at| hosts.get(at));
        assert_eq!(places, [Some(list[2]), Some(list[0]), Some(list[4]), Some(list[1]), None]);
        for (address, up_to) in [
            ("9.0.0.0", 0),
            ("9.0.0.1", 1),
            ("10.0.0.8", 1),
            ("255.255.255.255", 2),
            ("::", 2),
            ("fd00::1", 3),
            ("ff::", 2),
            ("ffff::", 4),
        ] {
            assert_eq!(hosts.up_to(address.parse().unwrap()), up_to, "{address}");
        }
        assert!(!hosts.has("10.0.0.8".parse().unwrap()) && !hosts.has("fd00::3".parse().unwrap()));
    }
}
