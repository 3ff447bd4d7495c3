//! Where a host stands in its networks: its addresses, and by which interface others are reached.

use std::net::IpAddr;

use super::{Cidr, Interface};

/// What is known of a host besides its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all that it has.
    pub complete: bool,
    /// Its routes: what is reached by which interface. The longest prefix counts.
    pub routes: Vec<(Cidr, Interface)>,
    /// Whether something else than the destination decides on a route: then none of them says for certain which way is taken.
    pub by_policy: bool,
}

impl Surroundings {
    /// The interface by which all of a network is reached; `None` where that is not known, or not one.
    #[must_use]
    pub fn towards(&self, network: Cidr) -> Option<&Interface> {
        if self.by_policy {
            return None;
        }
        let around = self.routes.iter().filter(|(route, _)| route.contains(network));
        let longest = around.clone().map(|(route, _)| route.prefix_length()).max()?;
        let mut chosen = around.filter(|(route, _)| route.prefix_length() == longest).map(|(_, interface)| interface);
        let first = chosen.next()?;
        let within = self.routes.iter().filter(|(route, _)| network.contains(*route) && *route != network);
        let same = chosen.chain(within.map(|(_, interface)| interface)).all(|other| other == first);
        same.then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts_and_only_one_interface_is_certain() {
        let route = |to: &str, by: &str| (to.parse().unwrap(), by.parse().unwrap());
        let mut own = Surroundings {
            routes: vec![
                route("0.0.0.0/0", "eth0"),
                route("10.0.0.0/8", "eth1"),
                route("10.7.0.0/16", "eth2"),
                route("10.20.0.0/24", "eth1"),
            ],
            ..Surroundings::default()
        };
        for (network, by) in [
            ("10.20.0.12/32", Some("eth1")),
            ("10.7.1.0/24", Some("eth2")),
            ("192.0.2.1/32", Some("eth0")),
            ("10.20.0.0/16", Some("eth1")),
            ("10.0.0.0/8", None),
            ("2001:db8::1/128", None),
        ] {
            assert_eq!(own.towards(network.parse().unwrap()).map(Interface::as_str), by, "{network}");
        }
        own.by_policy = true;
        assert_eq!(own.towards("10.20.0.12/32".parse().unwrap()), None);
    }
}
