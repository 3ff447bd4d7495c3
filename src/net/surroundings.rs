//! Where a host stands in its networks: its addresses, and by which interface others are reached.

use std::collections::BTreeSet;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Cidr, Interface};

/// A host with more is a router.
const MOST_ROUTES: usize = 2_000;

/// What is known of a host besides its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Its addresses, in ascending order.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all that it has.
    pub complete: bool,
    /// Those of them that interfaces have, and the table `local` has not: what is sent there does not arrive.
    pub not_local: Vec<IpAddr>,
    /// Interfaces that are known to have no address of IPv4 (`true`), or none of IPv6 but a link-local one: what is redirected as it comes in
    /// there is dropped (nf_nat_redirect_ipv4, nf_nat_redirect_ipv6).
    pub unnumbered: Vec<(Interface, bool)>,
    /// Interfaces of which it is known that they stand on no others: no VLANs, bonds, bridges and the like.
    pub plain: Vec<Interface>,
    /// Interfaces that are VRFs, and those that are part of one, each with its VRF: what comes in on a part meets rules twice, the second
    /// time as if it came in on the VRF.
    pub vrfs: Vec<Interface>,
    /// Whether there may be VRFs that are not known by their names.
    pub unnamed_vrfs: bool,
    /// All interfaces that a rule can name, each with its group; `None` where these are not known.
    pub groups: Option<Vec<(Interface, u32)>>,
    /// Its routes: what is reached by which interface. The longest prefix counts.
    pub routes: Vec<(Cidr, Interface)>,
    /// Whether something else than the destination decides on a route: then none of them says for certain which way is taken.
    pub by_policy: bool,
    /// The routes by which nothing is sent to others.
    pub refused: Vec<Refused>,
    /// Whether `ip rule` has a rule that drops or refuses packets or passes routes over, or lacks one that every host has.
    pub rules_refuse: bool,
}

/// A route by which nothing is sent to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The destinations.
    pub to: Cidr,
    /// When it is asked.
    pub turn: Turn,
    /// Whether it counts where it has only some of those who are asked about: `blackhole`, `unreachable`, `prohibit`, `throw`. Local,
    /// broadcast and multicast addresses are in many networks.
    pub in_part: bool,
}

/// When a table of routes is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// First: the table `local`.
    First,
    /// With all others of the table `main`, of which the longest prefix counts.
    Main,
    /// Where a rule says so.
    ByRule,
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// By this interface.
    By(&'a Interface),
    /// There is none.
    Nowhere,
    /// It is not known which.
    Unknown,
}

/// Addresses from the first to the last, all reached alike.
pub type Region<'a> = (IpAddr, IpAddr, Way<'a>);

/// Something of a list of addresses: one of them, or a range.
pub trait Listed: Copy {
    /// The lowest address, and the highest.
    fn ends(self) -> (IpAddr, IpAddr);
    /// The fewest networks that make it up.
    fn networks(self) -> impl Iterator<Item = Cidr>;
}

impl Listed for u32 {
    fn ends(self) -> (IpAddr, IpAddr) {
        (self, self).ends()
    }

    fn networks(self) -> impl Iterator<Item = Cidr> {
        iter::once(Cidr::host(self.ends().0))
    }
}

impl Listed for u128 {
    fn ends(self) -> (IpAddr, IpAddr) {
        (self, self).ends()
    }

    fn networks(self) -> impl Iterator<Item = Cidr> {
        iter::once(Cidr::host(self.ends().0))
    }
}

impl Listed for (u32, u32) {
    fn ends(self) -> (IpAddr, IpAddr) {
        (Ipv4Addr::from_bits(self.0).into(), Ipv4Addr::from_bits(self.1).into())
    }

    fn networks(self) -> impl Iterator<Item = Cidr> {
        Cidr::covering_v4(self.0, self.1)
    }
}

impl Listed for (u128, u128) {
    fn ends(self) -> (IpAddr, IpAddr) {
        (Ipv6Addr::from_bits(self.0).into(), Ipv6Addr::from_bits(self.1).into())
    }

    fn networks(self) -> impl Iterator<Item = Cidr> {
        Cidr::covering_v6(self.0, self.1)
    }
}

/// Addresses of which one answer holds.
#[derive(Clone, Copy, Debug)]
pub enum Alike<'l, L> {
    /// All of a part of the list.
    All(&'l [L]),
    /// A network, which is a part of what is in the list.
    One(Cidr),
}

impl<'l, L: Listed> Alike<'l, L> {
    /// As networks.
    pub fn networks(self) -> impl Iterator<Item = Cidr> + use<'l, L> {
        let (part, one) = match self {
            Self::All(part) => (part, None),
            Self::One(network) => (&[][..], Some(network)),
        };
        part.iter().flat_map(|own| own.networks()).chain(one)
    }
}

impl Surroundings {
    /// Whether the destination alone says which way is taken, by as many routes as can be looked through.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.by_policy && (1..=MOST_ROUTES).contains(&self.routes.len())
    }

    /// Whether there may be VRFs.
    #[must_use]
    pub fn has_vrfs(&self) -> bool {
        self.unnamed_vrfs || !self.vrfs.is_empty()
    }

    /// The group of an interface; `None` where it is not known, as that of one that is not there yet.
    #[must_use]
    pub fn group_of(&self, interface: Option<&Interface>) -> Option<u32> {
        self.groups.as_ref()?.iter().find(|(name, _)| Some(name) == interface).map(|(_, group)| *group)
    }

    /// The way to an address.
    #[must_use]
    pub fn way_to(&self, address: IpAddr) -> Way<'_> {
        if !self.is_known() || address.is_loopback() || self.addresses.contains(&address) {
            return Way::Unknown;
        }
        self.chosen(self.routes.iter().filter(|(route, _)| route.has(address)))
    }

    /// Why answers to a network, or some of them, may not be sent at all, in words.
    #[must_use]
    pub fn refusal(&self, network: Cidr) -> Option<String> {
        let nowhere = self.is_known() && self.longest(network).is_none();
        self.refused_by(network).or_else(|| nowhere.then(|| format!("no route leads to all of {network}")))
    }

    /// The same where a route or a rule is why, and not that there is none.
    #[must_use]
    pub fn refused_by(&self, network: Cidr) -> Option<String> {
        if self.rules_refuse {
            return Some("the rules of `ip rule`, which refuse packets, pass routes over, or lack a table".to_owned());
        }
        // They are sorted.
        if network.is_host() && self.addresses.binary_search(&network.first()).is_ok() {
            return Some(format!("{network} is an address of this host"));
        }
        let refused = self.refused.iter().find(|own| {
            let has = own.to.contains(network);
            // A longer prefix counts before it.
            let passed = has && self.longest(network) > Some(own.to.prefix_length());
            (has || (own.in_part && network.contains(own.to)))
                && match own.turn {
                    Turn::First => true,
                    Turn::Main => !passed,
                    Turn::ByRule => self.by_policy,
                }
        });
        refused.map(|refused| format!("a route to {} by which nothing is sent", refused.to))
    }

    /// The length of the longest prefix that has all of a network.
    fn longest(&self, network: Cidr) -> Option<u8> {
        let routes = self.routes.iter().filter(|(route, _)| route.contains(network));
        routes.map(|(route, _)| route.prefix_length()).max()
    }

    fn chosen<'a>(&self, routes: impl Iterator<Item = &'a (Cidr, Interface)> + Clone) -> Way<'a> {
        let Some(longest) = routes.clone().map(|(route, _)| route.prefix_length()).max() else { return Way::Nowhere };
        let mut best = routes.filter(|(route, _)| route.prefix_length() == longest).map(|(_, interface)| interface);
        match best.next() {
            // Which of two with different metrics is taken is not looked at.
            Some(first) if best.all(|other| other == first) => Way::By(first),
            Some(_) | None => Way::Unknown,
        }
    }

    /// The interface by which all of a network is reached; `None` where that is not known, or not one.
    #[must_use]
    pub fn towards(&self, network: Cidr) -> Option<&Interface> {
        if !self.is_known() {
            return None;
        }
        let Way::By(first) = self.chosen(self.routes.iter().filter(|(route, _)| route.contains(network))) else {
            return None;
        };
        let mut within = self.routes.iter().filter(|(route, _)| network.contains(*route) && *route != network);
        within.all(|(_, other)| other == first).then_some(first)
    }

    /// Asks about a list, ascending and disjoint. Between two addresses at which something begins or has ended that is known here, all have
    /// one answer, and of 100,000 few are asked about.
    pub fn of_each<'l, L: Listed, T>(
        &self,
        list: &'l [L],
        ask: impl Fn(Cidr) -> T,
    ) -> impl Iterator<Item = (Alike<'l, L>, T)> {
        let own = self.addresses.iter().map(|address| Cidr::host(*address));
        let prefixes =
            self.routes.iter().map(|(route, _)| *route).chain(self.refused.iter().map(|own| own.to)).chain(own);
        let mut bounds: Vec<IpAddr> =
            prefixes.flat_map(|own| [Some(own.first()), above(own.last())]).flatten().collect();
        bounds.sort_unstable();
        let mut rest = list;
        let parts = iter::from_fn(move || {
            let (first, _) = rest.first()?.ends();
            // The other family begins above all of this one.
            let until = bounds.get(bounds.partition_point(|bound| *bound <= first));
            let count = rest.partition_point(|own| until.is_none_or(|until| own.ends().1 < *until));
            let (part, after) = rest.split_at(count.max(1));
            rest = after;
            Some((part, count > 0))
        });
        parts.flat_map(move |(part, is_alike)| {
            let all = Alike::All(part);
            let one = is_alike.then(|| all.networks().next()).flatten().map(|first| (all, ask(first)));
            // It lies in several.
            let each = (!is_alike).then(|| all.networks().map(|own| (Alike::One(own), ask(own))).collect::<Vec<_>>());
            one.into_iter().chain(each.into_iter().flatten())
        })
    }

    /// Of a list those of which something is so, as networks.
    pub fn those<L: Listed>(&self, list: &[L], is_so: impl Fn(Cidr) -> bool) -> impl Iterator<Item = Cidr> {
        self.of_each(list, is_so).filter(|(_, is_so)| *is_so).flat_map(|(alike, _)| alike.networks())
    }

    /// All addresses of a family by the way to them, in their order.
    #[must_use]
    pub fn regions(&self, ipv4: bool) -> Vec<Region<'_>> {
        let own = self.addresses.iter().map(|address| Cidr::host(*address));
        let routes = self.routes.iter().map(|(route, _)| *route).chain(own).filter(|route| route.is_ipv4() == ipv4);
        let mut starts: BTreeSet<IpAddr> = routes.clone().map(Cidr::first).collect();
        starts.extend(routes.filter_map(|route| above(route.last())));
        let (lowest, highest): (IpAddr, IpAddr) = if ipv4 {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into())
        } else {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from_bits(u128::MAX).into())
        };
        starts.insert(lowest);
        let starts: Vec<IpAddr> = starts.into_iter().collect();
        let ends = starts.iter().skip(1).filter_map(|start| below(*start)).chain([highest]);
        starts.iter().zip(ends).map(|(&first, last)| (first, last, self.way_to(first))).collect()
    }
}

/// Whether an interface with this address has one of the family that packets may be redirected to.
#[must_use]
pub fn is_numbered(address: &IpAddr, ipv4: bool) -> bool {
    match address {
        IpAddr::V4(own) => ipv4 && !own.is_loopback(),
        IpAddr::V6(own) => !ipv4 && !own.is_unicast_link_local(),
    }
}

fn above(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(own) => own.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(own) => own.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

fn below(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(own) => own.to_bits().checked_sub(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(own) => own.to_bits().checked_sub(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[test]
    fn what_no_route_leads_to_is_refused() {
        let network = |text: &str| text.parse::<Cidr>().unwrap();
        let to = |text: &str, in_main| Refused {
            to: network(text),
            turn: if in_main { Turn::Main } else { Turn::ByRule },
            in_part: true,
        };
        let local = |text: &str| Refused { to: network(text), turn: Turn::First, in_part: false };
        let route = |to: &str| (network(to), "eth1".parse().unwrap());
        let own = |refused: Vec<Refused>, by_policy| Surroundings {
            routes: vec![route("10.20.0.0/24"), route("10.0.0.0/8")],
            addresses: vec!["10.20.0.11".parse().unwrap()],
            refused,
            by_policy,
            ..Surroundings::default()
        };
        for (refused, by_policy, asked, is_refused) in [
            (vec![], false, "10.20.0.12/32", false),
            (vec![to("10.20.0.12/32", true)], false, "10.20.0.12/32", true),
            (vec![to("10.20.0.12/32", true)], false, "10.20.0.13/32", false),
            (vec![to("10.20.0.12/32", true)], false, "10.20.0.0/28", true),
            (vec![to("10.0.0.0/12", true)], false, "10.20.0.12/32", false),
            // Metrics are not compared.
            (vec![to("10.20.0.0/24", true)], false, "10.20.0.12/32", true),
            (vec![to("10.0.0.0/12", true)], false, "10.1.0.1/32", true),
            (vec![to("0.0.0.0/0", false)], false, "10.20.0.12/32", false),
            (vec![to("0.0.0.0/0", false)], true, "10.20.0.12/32", true),
            (vec![local("10.20.0.0/24")], false, "10.20.0.12/32", true),
            (vec![local("10.20.0.255/32")], false, "10.20.0.0/24", false),
            (vec![], false, "10.20.0.11/32", true),
            (vec![], false, "192.0.2.1/32", true),
            (vec![], true, "192.0.2.1/32", false),
            (vec![], false, "10.0.0.0/7", true),
        ] {
            let found = own(refused.clone(), by_policy).refusal(network(asked));
            assert_eq!(found.is_some(), is_refused, "{refused:?} {by_policy} {asked}: {found:?}");
        }
        let rules = Surroundings { rules_refuse: true, ..own(Vec::new(), false) };
        assert!(rules.refusal(network("10.20.0.12/32")).is_some());
    }

    /// Whoever is between the same ends of prefixes is asked about once, and nobody else has that answer.
    #[test]
    fn what_is_asked_of_many_is_what_is_asked_of_each() {
        let network = |text: &str| text.parse::<Cidr>().unwrap();
        let refused = |text| Refused { to: network(text), turn: Turn::First, in_part: true };
        let own = Surroundings {
            addresses: ["10.20.0.11", "fd00::b"].map(|text| text.parse().unwrap()).into(),
            routes: [("10.20.0.0/24", "eth0"), ("10.20.0.64/26", "eth1"), ("fd00::/64", "eth1"), ("0.0.0.0/1", "eth2")]
                .map(|(to, by)| (network(to), by.parse().unwrap()))
                .into(),
            refused: ["10.20.0.99/32", "10.20.0.128/29", "255.255.255.255/32"].map(refused).into(),
            ..Surroundings::default()
        };
        let ask = |network| (own.towards(network), own.refusal(network).is_some(), own.refused_by(network).is_some());
        let mut hosts: Vec<u32> = (0..=255_u8)
            .flat_map(|last| [[10, 20, 0, last], [10, 20, 1, last], [last, 0, 0, 0], [255, 255, 255, last]])
            .map(u32::from_be_bytes)
            .collect();
        hosts.sort_unstable();
        let wide = |width: u32| -> Vec<(u32, u32)> {
            (0..256 / width).map(|at| 0x0a14_0000 + at * width).map(|first| (first, first + width - 1)).collect()
        };
        let hosts6: Vec<u128> = (0..32).map(|last| (0xfd00 << 112) + last).collect();
        let all6 = [(0, 5), (0xfd00 << 112, (0xfd00 << 112) + 9), ((0xfd00 << 112) + 10, u128::MAX)];
        let each = [
            looked(&own, &hosts, ask),
            looked(&own, &hosts6, ask),
            looked(&own, &all6, ask),
            looked(&own, &[(0, u32::MAX)], ask),
            looked(&own, &[(5_u32, 5_u32), (0x0a14_000b, 0x0a14_000b), (0x0a14_000c, 0xffff_ffff)], ask),
            looked(&own, &[0_u32; 0], ask),
        ];
        let each = each.into_iter().chain([1, 2, 3, 8, 16, 64, 100, 256].map(|width| looked(&own, &wide(width), ask)));
        for (count, times) in each {
            // What lies on both sides of a bound is asked about in pieces.
            assert!(times <= count && (count < 200 || times < 70), "{times} of {count}");
        }
    }

    /// How many networks there are in a list of which the answers are compared, and how many were asked about.
    fn looked<L: Listed, T: PartialEq + fmt::Debug>(
        own: &Surroundings,
        list: &[L],
        ask: impl Fn(Cidr) -> T,
    ) -> (usize, usize) {
        let times = std::cell::Cell::new(0);
        let counted = |network| {
            times.set(times.get() + 1);
            ask(network)
        };
        let mut each = list.iter().flat_map(|one| one.networks());
        let mut count = 0;
        for (alike, answer) in own.of_each(list, counted) {
            for network in alike.networks() {
                assert_eq!((each.next(), &answer), (Some(network), &ask(network)));
                count += 1;
            }
        }
        assert_eq!(each.next(), None);
        (count, times.get())
    }

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
        for (address, way) in [("10.7.9.9", "eth2"), ("11.0.0.0", "eth0"), ("10.255.255.255", "eth1"), ("::1", "")] {
            let found = own.way_to(address.parse().unwrap());
            let by = if let Way::By(interface) = found { interface.as_str() } else { "" };
            assert_eq!(by, way, "{address}");
        }
        let regions = own.regions(true);
        assert_eq!(
            regions.iter().map(|(first, ..)| first.to_string()).collect::<Vec<_>>().join(" "),
            "0.0.0.0 10.0.0.0 10.7.0.0 10.8.0.0 10.20.0.0 10.20.1.0 11.0.0.0"
        );
        for (first, last, way) in regions {
            assert_eq!((own.way_to(first), own.way_to(last)), (way, way), "{first}");
        }
        assert_eq!(own.regions(false).len(), 1);
        own.by_policy = true;
        assert_eq!(own.towards("10.20.0.12/32".parse().unwrap()), None);
    }
}
