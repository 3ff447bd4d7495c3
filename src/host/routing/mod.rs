//! What this host's routing makes of packets, as far as the guard has to know it.
//!
//! Netfilter's tests for "an address of this host" ask the routing table `local` and, for the interface's own addresses,
//! that of its VRF. What rules (`ip rule`) and other tables make local besides, [`Routing::elsewhere`] tells, so that it can
//! be named in rules. It names rather too much than too little: of a rule's conditions it knows the interface alone.
//!
//! INVARIANT (unread is not empty): what cannot be read is an error, never a view without entries.

mod kernel;
pub mod news;

use kernel::Way;
pub use kernel::{LocalRoute, RoutedLink, RoutingRule};

use std::net::IpAddr;

use crate::dialect::netlink::RequestError;
use crate::net::{Cidr, Elsewhere, Interface, Refused, Surroundings, Turn};

/// The table that netfilter asks (RT_TABLE_LOCAL, linux/rtnetlink.h).
const LOCAL: u32 = 255;
/// RT_TABLE_MAIN and RT_TABLE_DEFAULT.
const MAIN: u32 = 254;
const DEFAULT: u32 = 253;
/// The tables that every host asks: `default`, `main` and `local`.
const USUAL: [u32; 3] = [253, 254, LOCAL];

/// Interfaces, rules and local routes of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// The interfaces.
    pub links: Vec<RoutedLink>,
    /// The rules.
    pub rules: Vec<RoutingRule>,
    /// The local routes, of every table.
    pub locals: Vec<LocalRoute>,
}

impl Routing {
    /// Reads it.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn read() -> Result<Self, RequestError> {
        let mut socket = kernel::open()?;
        let locals = kernel::local_routes(&mut socket)?;
        Ok(Self { links: kernel::links(&mut socket)?, rules: kernel::rules(&mut socket)?, locals })
    }

    /// What this host answers for by another table than `local`.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        let others = self.locals.iter().filter(|route| route.table != LOCAL);
        Elsewhere::new(others.flat_map(|route| self.ways(route).into_iter().map(|way| (way, route.destination))))
    }

    /// The interfaces on which a packet meets a route's table.
    fn ways(&self, route: &LocalRoute) -> Vec<Option<Interface>> {
        let mut ways = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.ipv4 == route.destination.is_ipv4()) {
            match (rule.table, rule.from.as_deref()) {
                (None, _) => ways.extend(self.of_vrf(route.table)),
                (Some(table), _) if table != route.table => {}
                // For what this host itself sends.
                (Some(_), Some("lo")) => {}
                (Some(_), Some(name)) => ways.push(named(name)),
                (Some(_), None) => ways.push(None),
            }
        }
        ways
    }

    /// The VRF that has this table, and all interfaces that are part of it.
    fn of_vrf(&self, table: u32) -> Vec<Option<Interface>> {
        let masters: Vec<u32> =
            self.links.iter().filter(|link| link.vrf_table == Some(table)).map(|link| link.index).collect();
        let belongs = |link: &&RoutedLink| {
            masters.contains(&link.index) || link.master.is_some_and(|master| masters.contains(&master))
        };
        self.links.iter().filter(belongs).map(|link| named(&link.name)).collect()
    }

    /// The VRF that an interface is part of.
    #[must_use]
    pub fn vrf_of(&self, interface: &Interface) -> Option<&str> {
        let link = self.links.iter().find(|link| link.name == interface.as_str())?;
        let master = self.links.iter().find(|other| Some(other.index) == link.master)?;
        master.vrf_table.map(|_| master.name.as_str())
    }
}

/// A name that no rule can have stands for every interface.
fn named(name: &str) -> Option<Interface> {
    name.parse().ok()
}

/// The address that this host takes for each destination, `None` where there is no way to it.
///
/// # Errors
/// Where the kernel does not tell.
pub fn sources_towards(destinations: &[IpAddr]) -> Result<Vec<Option<IpAddr>>, RequestError> {
    let mut socket = kernel::open()?;
    destinations.iter().map(|destination| kernel::source_towards(&mut socket, *destination)).collect()
}

/// What this host takes for its own: by the routes of the table `local`, and whether it is all, as no other table has such routes.
///
/// # Errors
/// Where the kernel does not tell.
pub fn local_networks() -> Result<(Vec<Cidr>, bool), RequestError> {
    let locals = kernel::local_routes(&mut kernel::open()?)?;
    let all = locals.iter().all(|route| route.table == LOCAL);
    Ok((locals.into_iter().filter(|route| route.table == LOCAL).map(|route| route.destination).collect(), all))
}

/// What the routes of the table `main` and the rules say of the way to others: which interface, whether something else than the
/// destination decides (rules, other tables, several next hops), and where nothing is sent. Addresses are not asked for.
///
/// # Errors
/// Where the kernel does not tell.
pub fn ways() -> Result<Surroundings, RequestError> {
    let mut socket = kernel::open()?;
    let (routes, rules, links) = (kernel::ways(&mut socket)?, kernel::rules(&mut socket)?, kernel::links(&mut socket)?);
    let usual = |rule: &RoutingRule| rule.is_for_all && rule.table.is_some_and(|table| USUAL.contains(&table));
    let spoken = kernel::rule_destinations(&mut socket)?.iter().any(|network| network.prefix_length() > 0);
    let mut by_policy = spoken || !rules.iter().all(usual);
    let (mut found, mut refused) = (Vec::with_capacity(routes.len()), Vec::new());
    for route in routes {
        let (to, by) = match route {
            Way::By(to, by) => (to, by),
            Way::Refused(one) => {
                refused.push(one);
                continue;
            }
        };
        let link = links.iter().find(|link| Some(link.index) == by);
        match link.and_then(|link| named(&link.name)) {
            Some(interface) if interface != Interface::loopback() => found.push((to, interface)),
            Some(_) if !to.first().is_loopback() => refused.push(Refused { to, turn: Turn::Main, in_part: true }),
            Some(_) => {}
            // To loopback, by several next hops, or by a name that no rule can have.
            None => by_policy |= link.is_none_or(|link| link.name != "lo"),
        }
    }
    let rules_refuse =
        rules.iter().any(|rule| rule.refuses) || [true, false].into_iter().any(|ipv4| lacks(&rules, ipv4));
    let (plain, vrfs, groups) = (plain(&links), vrfs(&links), groups(&links));
    Ok(Surroundings { plain, vrfs, groups, routes: found, by_policy, refused, rules_refuse, ..Surroundings::default() })
}

/// The group of each interface that a rule can name; `None` where the kernel does not tell one.
fn groups(links: &[RoutedLink]) -> Option<Vec<(Interface, u32)>> {
    let all: Vec<(Option<Interface>, u32)> =
        links.iter().map(|own| Some((named(&own.name), own.group?))).collect::<Option<_>>()?;
    Some(all.into_iter().filter_map(|(name, group)| Some((name?, group))).collect())
}

/// The interfaces that stand on no others.
fn plain(links: &[RoutedLink]) -> Vec<Interface> {
    let alone = |own: &&RoutedLink| own.link.is_none() && !links.iter().any(|other| other.master == Some(own.index));
    links.iter().filter(alone).filter_map(|own| named(&own.name)).collect()
}

/// The VRFs, and what is part of one.
fn vrfs(links: &[RoutedLink]) -> Vec<Interface> {
    let masters: Vec<u32> = links.iter().filter(|own| own.vrf_table.is_some()).map(|own| own.index).collect();
    let within =
        |own: &&RoutedLink| masters.contains(&own.index) || own.master.is_some_and(|master| masters.contains(&master));
    links.iter().filter(within).filter_map(|own| named(&own.name)).collect()
}

/// Whether a family has rules, but lacks one of those that every host has: they look into `local` first of all, into `main`, and for
/// IPv4 into `default`.
fn lacks(rules: &[RoutingRule], ipv4: bool) -> bool {
    let own = || rules.iter().filter(|rule| rule.ipv4 == ipv4);
    let has = |table: u32| {
        own().any(|rule| rule.is_for_all && rule.table == Some(table) && (rule.is_first || table != LOCAL))
    };
    own().next().is_some() && ![LOCAL, MAIN, DEFAULT].into_iter().all(|table| has(table) || (table == DEFAULT && !ipv4))
}

/// Every prefix by which destinations of this host's own packets are told apart, sorted, wider ones before those that they hold.
///
/// # Errors
/// Where the kernel does not tell.
pub fn destinations() -> Result<Vec<Cidr>, RequestError> {
    /// RFC 6724, section 2.1, and what Linux adds (net/ipv6/addrlabel.c); labels of the host's own (`ip addrlabel`) are not known.
    const LABELS: [(u128, u8); 8] = [
        (0, 96),
        (0xffff_0000_0000, 96),
        (0x2002 << 112, 16),
        (0x2001 << 112, 32),
        (0xfc << 120, 7),
        (0xfec0 << 112, 10),
        (0x3ffe << 112, 16),
        (0x2001_0010 << 96, 28),
    ];
    let mut socket = kernel::open()?;
    let mut found = kernel::rule_destinations(&mut socket)?;
    for route in kernel::route_destinations(&mut socket)? {
        found.push(route.destination);
        if route.is_own && !route.destination.is_ipv4() {
            let around = (0..128).filter_map(|bits| Cidr::containing(route.destination.first(), bits));
            found.extend(around);
        }
    }
    let labels = LABELS.iter().filter_map(|&(first, bits)| Cidr::containing(IpAddr::V6(first.into()), bits));
    found.extend(labels);
    found.sort_unstable_by_key(|prefix| (prefix.first(), prefix.prefix_length()));
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::lab::{in_new_network, run};

    fn shown(view: &Elsewhere) -> Vec<String> {
        let one = |entry: &crate::net::ElsewhereEntry| {
            let name = entry.interface.as_ref().map_or("*", Interface::as_str);
            entry.networks.iter().map(|network| format!("{name} {network}")).collect::<Vec<_>>()
        };
        view.entries().iter().flat_map(one).collect()
    }

    #[test]
    fn tables_that_rules_reach() {
        let found = in_new_network(|| {
            run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "far"]);
            run("ip", &["address", "add", "10.9.0.1/24", "dev", "eth1"]);
            for (family, end, other) in [("-4", "10.7.0.0/16", "10.8.0.1"), ("-6", "fd07::/64", "fd08::1")] {
                run("ip", &[family, "route", "add", "local", end, "dev", "lo", "table", "77"]);
                run("ip", &[family, "rule", "add", "lookup", "77"]);
                run("ip", &[family, "route", "add", "local", other, "dev", "lo", "table", "700"]);
                run("ip", &[family, "rule", "add", "iif", "eth1", "fwmark", "5", "lookup", "700"]);
                // Nobody comes to this table, and only this host's own packets to the next.
                run("ip", &[family, "route", "add", "local", other, "dev", "lo", "table", "78"]);
                run("ip", &[family, "route", "add", "local", other, "dev", "lo", "table", "79"]);
                run("ip", &[family, "rule", "add", "iif", "lo", "lookup", "79"]);
            }
            Routing::read().unwrap()
        });
        let Some(routing) = found else { return };
        assert_eq!(shown(&routing.elsewhere()), ["* 10.7.0.0/16", "* fd07::/64", "eth1 10.8.0.1", "eth1 fd08::1"]);
    }

    /// As a VRF shows itself on Linux 5.10 to 7.2.
    #[test]
    fn a_vrf_is_for_its_members() {
        let routing = Routing {
            links: vec![
                RoutedLink::alone(1, "lo", None, None),
                RoutedLink::alone(2, "blue", None, Some(10)),
                RoutedLink::alone(3, "ve0", Some(2), None),
                RoutedLink::alone(4, "ve1", Some(2), None),
                RoutedLink::alone(5, "eth0", None, None),
            ],
            rules: vec![
                RoutingRule {
                    ipv4: true,
                    table: Some(LOCAL),
                    from: None,
                    refuses: false,
                    is_first: false,
                    is_for_all: false,
                },
                RoutingRule { ipv4: true, table: None, from: None, refuses: false, is_first: false, is_for_all: false },
            ],
            locals: vec![
                LocalRoute { table: LOCAL, destination: "10.0.0.1".parse().unwrap() },
                LocalRoute { table: 10, destination: "10.20.0.11".parse().unwrap() },
            ],
        };
        assert_eq!(shown(&routing.elsewhere()), ["blue 10.20.0.11", "ve0 10.20.0.11", "ve1 10.20.0.11"]);
        assert_eq!(routing.vrf_of(&"ve0".parse().unwrap()), Some("blue"));
        assert_eq!(routing.vrf_of(&"eth0".parse().unwrap()), None);
    }

    /// A rule for `main` that passes over default routes is none by which they are found.
    #[test]
    fn a_rule_for_a_part_of_a_table_is_not_for_the_table() {
        let found = in_new_network(|| {
            let refuse = || ways().unwrap().rules_refuse;
            let usual = refuse();
            run("ip", &["rule", "add", "pref", "32000", "lookup", "main", "suppress_prefixlength", "0"]);
            let beside = refuse();
            run("ip", &["rule", "del", "pref", "32766"]);
            [usual, beside, refuse()]
        });
        let Some(found) = found else { return };
        assert_eq!(found, [false, false, true]);
    }

    #[test]
    fn the_source_towards_a_peer() {
        let found = in_new_network(|| {
            run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "far"]);
            run("ip", &["address", "add", "10.9.0.1/24", "dev", "eth1"]);
            run("ip", &["address", "add", "10.9.0.2/24", "dev", "eth1"]);
            run("ip", &["link", "set", "eth1", "up"]);
            run("ip", &["route", "add", "10.9.0.77", "dev", "eth1", "src", "10.9.0.2"]);
            sources_towards(&["10.9.0.5", "10.9.0.77", "192.0.2.1"].map(|text| text.parse().unwrap())).unwrap()
        });
        let Some(found) = found else { return };
        assert_eq!(found, [Some([10, 9, 0, 1].into()), Some([10, 9, 0, 2].into()), None]);
    }
}
