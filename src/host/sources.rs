//! The address that this host takes towards a peer: the peer admits the addresses of the cluster file, and no other.
//!
//! The kernel is asked for a way to each of a few peers. Of many it is asked for one way a route: peers that no prefix tells apart are
//! reached alike.
//!
//! INVARIANT (told apart): prefixes are those of every route and of every rule that names destinations, and for IPv6, where the nearest
//! of several addresses is taken (RFC 6724), also those of the host's own addresses and of the labels. Of a route with several next
//! hops, which spread peers by a number, one is looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::links::Link;
use super::routing::{destinations, sources_towards};
use super::store::checksum;
use crate::cluster::{Site, SitePart};
use crate::dialect::netlink::RequestError;
use crate::net::{Cidr, Hosts};

/// As long as there are no more peers, each is looked up by itself, and routes are not asked for.
const EACH: usize = 64;

/// Who is to be looked up for a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The node's own addresses.
    own: Vec<IpAddr>,
    /// The peers that are looked up.
    peers: Vec<IpAddr>,
    /// By which routes they were chosen, in short; nothing where all are looked up.
    routes: Option<String>,
    /// Those of the nodes of other clusters that this host is, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<Ends>,
}

/// An address that this host takes towards peers, and that they do not know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSource {
    /// The address.
    pub source: IpAddr,
    /// A peer towards whom it is taken.
    pub towards: IpAddr,
    /// Whether there are more of them.
    pub and_others: bool,
    /// The addresses that the cluster file knows this node by.
    pub known: Vec<IpAddr>,
}

impl Ends {
    /// Those of a site. Nobody where it is no node's.
    ///
    /// # Errors
    /// Where there are many peers, and the kernel does not tell its routes.
    pub fn of(site: &Site<'_>) -> Result<Self, RequestError> {
        let mut all = site.parts().iter().map(Self::of_part).collect::<Result<Vec<Self>, RequestError>>()?.into_iter();
        let first = all.next().unwrap_or_default();
        Ok(Self { more: all.collect(), ..first })
    }

    fn of_part(site: &SitePart<'_>) -> Result<Self, RequestError> {
        let Some(node) = site.node() else { return Ok(Self::default()) };
        let own: Vec<IpAddr> = node.addresses().map(|(address, _)| address).collect();
        // Peers of a family that the node has no address of cannot know it by one.
        let known = |peer: &IpAddr| !own.contains(peer) && own.iter().any(|own| own.is_ipv4() == peer.is_ipv4());
        let few: Vec<IpAddr> = site.hosts().iter().filter(known).take(EACH + 1).collect();
        if few.len() <= EACH {
            return Ok(Self { own, peers: few, routes: None, more: Vec::new() });
        }
        let routes = destinations()?;
        let peers = one_of_each(site.hosts(), known, &routes);
        Ok(Self { own, peers, routes: Some(in_short(&routes)), more: Vec::new() })
    }

    /// Whether the routes are still those by which the peers were chosen.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn are_current(&self) -> Result<bool, RequestError> {
        let current = match &self.routes {
            None => true,
            Some(routes) => *routes == in_short(&destinations()?),
        };
        for more in &self.more {
            if !more.are_current()? {
                return Ok(false);
            }
        }
        Ok(current)
    }

    /// What this host calls itself towards peers that know it by other addresses. Nothing where there is no way to a peer yet, or
    /// where this host has none of the node's addresses: then it is another host, or none yet.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn other_sources(&self, links: &[Link]) -> Result<Vec<OtherSource>, RequestError> {
        let here = |ipv4: bool| {
            let has = |address: &&IpAddr| links.iter().any(|link| link.addresses.contains(address));
            self.own.iter().filter(has).any(|address| address.is_ipv4() == ipv4)
        };
        let (v4, v6) = (here(true), here(false));
        let here = self.peers.iter().copied().filter(|peer| if peer.is_ipv4() { v4 } else { v6 });
        let peers: Vec<IpAddr> = here.collect();
        let mut found: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
        for (peer, source) in peers.iter().zip(sources_towards(&peers)?) {
            // A peer's address that is this host's, too, is reached from itself.
            if let Some(source) = source.filter(|source| source != peer && !self.own.contains(source)) {
                found.entry(source).or_default().push(*peer);
            }
        }
        // Whoever stands for a route stands for more, as far as anybody knows.
        let several = self.routes.is_some();
        let objection = |(source, peers): (IpAddr, Vec<IpAddr>)| {
            let towards = *peers.first()?;
            let and_others = several || peers.len() > 1;
            Some(OtherSource { source, towards, and_others, known: self.own.clone() })
        };
        let mut found: Vec<OtherSource> = found.into_iter().filter_map(objection).collect();
        for more in &self.more {
            for other in more.other_sources(links)? {
                if !found.contains(&other) {
                    found.push(other);
                }
            }
        }
        Ok(found)
    }
}

impl OtherSource {
    /// What happens.
    #[must_use]
    pub fn message(&self) -> String {
        let more = if self.and_others { " and others" } else { "" };
        let known: Vec<String> = self.known.iter().map(ToString::to_string).collect();
        format!(
            "connections from here to {}{more} come from {}, and the cluster file knows this node as {}: peers block them",
            self.towards,
            self.source,
            known.join(", ")
        )
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let all: Vec<String> =
            self.known.iter().chain([&self.source]).map(|address| format!("\"{address}\"")).collect();
        format!(
            "write `addresses = [{}]` under its `[[node]]` on every node, or give the route another `src`",
            all.join(", ")
        )
    }
}

fn in_short(routes: &[Cidr]) -> String {
    checksum(format!("{routes:?}").as_bytes())
}

/// Of hosts that are in the same prefixes the first that may be asked about. Prefixes come sorted, wider ones before those that they hold.
fn one_of_each(hosts: &Hosts, may_be: impl Fn(&IpAddr) -> bool, prefixes: &[Cidr]) -> Vec<IpAddr> {
    // Those that the last address was in, the narrowest last.
    let mut open: Vec<Cidr> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    let mut prefixes = prefixes.iter().copied().peekable();
    let mut at = 0;
    while let Some(host) = hosts.get(at) {
        at += 1;
        if !may_be(&host) {
            continue;
        }
        while let Some(next) = prefixes.next_if(|prefix| prefix.first() <= host) {
            open.truncate(open.iter().take_while(|prefix| prefix.contains(next)).count());
            open.push(next);
        }
        open.truncate(open.iter().take_while(|prefix| prefix.has(host)).count());
        if seen.insert((host.is_ipv4(), open.last().copied())) {
            chosen.push(host);
        }
        // Up to the end of the narrowest, and to the next prefix, all are in the same ones.
        let highest = if host.is_ipv4() { Ipv4Addr::BROADCAST.into() } else { Ipv6Addr::from_bits(u128::MAX).into() };
        let until = hosts.up_to(open.last().map_or(highest, |narrowest| narrowest.last()));
        let next = prefixes.peek().map(|next| hosts.up_to(next.first()) - usize::from(hosts.has(next.first())));
        at = next.map_or(until, |next| until.min(next)).max(at);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::host::lab::{in_new_network, run};
    use crate::host::links::links;

    fn cluster(more: &[IpAddr]) -> Cluster {
        let mut text = "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\"".to_owned();
        more.iter().for_each(|address| _ = write!(text, ", \"riak@{address}\""));
        text += "]\n[networks]\nprivate = [\"10.0.0.0/8\"]\n[services.distribution]\nports = \"6000-6009\"\n";
        parse("cluster.toml", text, Path::new("")).cluster.expect("a cluster file that can be used")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn look(cluster: &Cluster) -> Vec<OtherSource> {
        let site = Site::of_node(cluster, &cluster.nodes()[0]);
        Ends::of(&site).unwrap().other_sources(&links().unwrap()).unwrap()
    }

    fn cable() {
        run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "far"]);
        run("ip", &["address", "add", "10.9.0.1/24", "dev", "eth1"]);
        run("ip", &["address", "add", "172.16.0.1/24", "dev", "eth1"]);
        run("ip", &["link", "set", "eth1", "up"]);
    }

    #[test]
    fn a_peer_that_is_reached_from_an_unknown_address() {
        let found = in_new_network(|| {
            cable();
            let cluster = cluster(&["10.9.0.5", "10.8.0.5", "10.7.0.5"].map(address));
            let look = || look(&cluster);
            assert_eq!(look(), [], "there is no route to two peers, and the third is reached from the node's address");
            run("ip", &["route", "add", "10.8.0.0/24", "via", "172.16.0.2"]);
            let wrong = look();
            run("ip", &["route", "replace", "10.8.0.0/24", "via", "172.16.0.2", "src", "10.9.0.1"]);
            assert_eq!(look(), [], "the route says which address");
            run("ip", &["route", "replace", "10.8.0.0/24", "via", "172.16.0.2"]);
            run("ip", &["address", "delete", "10.9.0.1/24", "dev", "eth1"]);
            assert_eq!(look(), [], "the node is not this host");
            wrong
        });
        let Some(found) = found else { return };
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(one.message().contains("to 10.8.0.5 come from 172.16.0.1"), "{one:?}");
        assert!(one.help().contains("`addresses = [\"10.9.0.1\", \"172.16.0.1\"]`"), "{one:?}");
    }

    #[test]
    fn of_many_peers_the_one_with_a_route_of_its_own_is_found() {
        let found = in_new_network(|| {
            cable();
            run("ip", &["route", "add", "default", "via", "172.16.0.2", "src", "10.9.0.1"]);
            // Each in a network of its own.
            let peers: Vec<IpAddr> =
                (0..20_000_u32).map(|number| (0x0a10_0000 + (number << 6)).into()).map(v4).collect();
            let cluster = cluster(&peers);
            let site = Site::of_node(&cluster, &cluster.nodes()[0]);
            let ends = Ends::of(&site).unwrap();
            assert!(ends.peers.len() < 10, "{} look-ups", ends.peers.len());
            assert_eq!(look(&cluster), []);
            let peer = peers[12_345].to_string();
            run("ip", &["route", "add", &peer, "via", "172.16.0.2"]);
            let by_route = look(&cluster);
            assert!(!ends.are_current().unwrap() && Ends::of(&site).unwrap().are_current().unwrap());
            run("ip", &["route", "del", &peer]);
            assert!(ends.are_current().unwrap());
            // By a rule for it, and another table.
            run("ip", &["route", "add", "default", "via", "172.16.0.2", "table", "7"]);
            run("ip", &["rule", "add", "to", &peer, "lookup", "7"]);
            let by_rule = look(&cluster);
            for found in [by_route, by_rule] {
                let [one] = &found[..] else { panic!("{found:?}") };
                assert_eq!((one.towards, one.source), (peers[12_345], address("172.16.0.1")));
            }
        });
        if found.is_none() {
            eprintln!("not possible here: a network namespace");
        }
    }

    fn v4(address: Ipv4Addr) -> IpAddr {
        address.into()
    }

    #[test]
    fn the_nearest_of_several_addresses_of_ipv6_is_told_apart() {
        let found = in_new_network(|| {
            cable();
            for own in ["fd09::1/64", "fd08::1/64"] {
                run("ip", &["address", "add", own, "dev", "eth1", "nodad"]);
            }
            run("ip", &["route", "add", "::/0", "via", "fe80::1", "dev", "eth1"]);
            let peers: Hosts = ["fd09:0:0:1::5", "fd08:0:0:1::5", "2001:db8::5"].map(address).into_iter().collect();
            // The kernel takes up addresses a moment after the cable is there.
            let start = Instant::now();
            let (mut prefixes, chosen) = loop {
                let prefixes = destinations().unwrap();
                let chosen = one_of_each(&peers, |_| true, &prefixes);
                if chosen.len() == 3 || start.elapsed().as_secs() > 5 {
                    break (prefixes, chosen);
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            };
            let sources = sources_towards(&chosen).unwrap();
            assert_eq!(chosen.len(), 3, "{chosen:?} {sources:?}");
            assert_ne!(sources[1], sources[2], "the kernel takes the nearest");
            // Routes alone do not tell.
            prefixes.retain(|prefix| prefix.prefix_length() == 0);
            assert_eq!(one_of_each(&peers, |_| true, &prefixes).len(), 1);
        });
        if found.is_none() {
            eprintln!("not possible here: a network namespace");
        }
    }

    /// Whoever is passed over is in the same prefixes as one who is not, whichever of them may not be asked about.
    #[test]
    fn of_those_in_the_same_prefixes_the_first_is_asked_about() {
        let ends = [0_u32, 1, 7, 8, 15, 16, 17, 31, 63, 64, 127, 128, 255];
        let v4 = |bits: u32| v4((0x0a00_0000 + bits).into());
        let v6 = |bits: u32| IpAddr::V6(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(bits)));
        let all: Hosts = ends.iter().flat_map(|&bits| [v4(bits), v6(bits)]).collect();
        let mut prefixes: Vec<Cidr> = Vec::new();
        for (length, length6, bits) in
            [(8, 8, 0), (24, 120, 0), (28, 124, 0), (32, 128, 8), (30, 126, 16), (25, 121, 128), (32, 128, 200)]
        {
            let mut with = prefixes.clone();
            with.extend(Cidr::containing(v4(bits), length));
            with.extend(Cidr::containing(v6(bits), length6).filter(|_| length % 2 == 0));
            with.sort_by_key(|prefix| (prefix.first(), prefix.prefix_length()));
            prefixes = with;
            for step in 1..5 {
                let may_be = |host: &IpAddr| all.up_to(*host).is_multiple_of(step);
                let mut wanted: Vec<(bool, Vec<Cidr>, IpAddr)> = Vec::new();
                for host in all.iter().filter(may_be) {
                    let within: Vec<Cidr> = prefixes.iter().copied().filter(|prefix| prefix.has(host)).collect();
                    if !wanted.iter().any(|(ipv4, of, _)| *ipv4 == host.is_ipv4() && *of == within) {
                        wanted.push((host.is_ipv4(), within, host));
                    }
                }
                let wanted: Vec<IpAddr> = wanted.into_iter().map(|(.., host)| host).collect();
                assert_eq!(one_of_each(&all, may_be, &prefixes), wanted, "{prefixes:?} {step}");
            }
        }
    }

    #[test]
    fn a_hundred_thousand_peers_and_as_many_routes_take_no_time() {
        let peers: Hosts = (0..100_000_u32).map(|number| v4((0x0a00_0000 + (number << 7)).into())).collect();
        let prefixes: Vec<Cidr> = peers.iter().filter_map(|peer| Cidr::containing(peer, 26)).collect();
        let start = Instant::now();
        assert_eq!(one_of_each(&peers, |_| true, &prefixes).len(), 100_000);
        assert_eq!(one_of_each(&peers, |_| true, &prefixes[..10]).len(), 11);
        assert_eq!(one_of_each(&peers, |_| true, &[]).len(), 1);
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
