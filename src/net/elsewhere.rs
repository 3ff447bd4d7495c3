//! Destinations that a host answers for by another routing table than `local`.
//!
//! Netfilter's tests for "an address of this host" ask the table `local`, and that of the interface's own VRF. What
//! `ip rule` and another table make local, and another interface's address in the same VRF, they do not see (on kernels
//! before 6.12 at least). Such destinations have to be named in rules, and so have to be known.

use super::{Cidr, Interface, Networks};

/// Such destinations, by the interface that a packet for them comes in on.
///
/// INVARIANT (order): entries are sorted by interface, one entry an interface, none of them empty; networks are sorted and
/// disjoint, IPv4 first. So equal views are equal values, and give equal rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    entries: Vec<Entry>,
}

/// The destinations of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The interface; `None` for every one.
    pub interface: Option<Interface>,
    /// What is local there.
    pub networks: Vec<Cidr>,
}

impl Elsewhere {
    /// The view of these destinations, in any order and however often each is named.
    #[must_use]
    pub fn new(destinations: impl IntoIterator<Item = (Option<Interface>, Cidr)>) -> Self {
        let mut all: Vec<(Option<Interface>, Cidr)> = destinations.into_iter().collect();
        all.sort_by(|(a, x), (b, y)| (a, x.first(), x.prefix_length()).cmp(&(b, y.first(), y.prefix_length())));
        let mut entries: Vec<Entry> = Vec::new();
        for (interface, network) in all {
            match entries.last_mut().filter(|entry| entry.interface == interface) {
                // Of nested networks the widest comes first, and networks are nested or apart.
                Some(entry) if entry.networks.last().is_some_and(|last| last.contains(network)) => {}
                Some(entry) => entry.networks.push(network),
                None => entries.push(Entry { interface, networks: vec![network] }),
            }
        }
        Self { entries }
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a packet for `destination` that comes in on `interface` is for this host by such a table.
    #[must_use]
    pub fn has(&self, interface: Option<&Interface>, destination: Cidr) -> bool {
        let here = |entry: &&Entry| entry.interface.is_none() || entry.interface.as_ref() == interface;
        let covers = |entry: &Entry| entry.networks.iter().copied().collect::<Networks>().covers(destination);
        self.entries.iter().filter(here).any(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(interface: &str, network: &str) -> (Option<Interface>, Cidr) {
        (interface.parse().ok(), network.parse().unwrap())
    }

    #[test]
    fn equal_views_are_equal_values() {
        let one = Elsewhere::new([
            destination("eth1", "10.0.1.1"),
            destination("", "fd00::/64"),
            destination("", "10.7.0.0/16"),
            destination("eth1", "10.0.0.0/24"),
            destination("eth1", "10.0.0.7"),
        ]);
        let other = Elsewhere::new([
            destination("", "10.7.0.0/16"),
            destination("eth1", "10.0.0.0/24"),
            destination("eth1", "10.0.1.1"),
            destination("", "10.7.0.0/16"),
            destination("", "fd00::/64"),
        ]);
        assert_eq!(one, other);
        assert_eq!(one.entries().len(), 2);
        let eth1: Interface = "eth1".parse().unwrap();
        assert!(one.has(Some(&eth1), "10.0.0.7".parse().unwrap()));
        assert!(!one.has(None, "10.0.0.7".parse().unwrap()));
        assert!(one.has(None, "10.7.1.1".parse().unwrap()) && one.has(Some(&eth1), "10.7.1.1".parse().unwrap()));
        assert!(!one.has(Some(&eth1), "10.8.0.0".parse().unwrap()));
    }
}
