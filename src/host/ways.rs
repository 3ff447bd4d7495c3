//! How packets between this host and its peers go, as far as that makes rules worth less than they say.
//!
//! - An interface in a VRF: at input the kernel shows the VRF in its place, so whoever is admitted on the interface alone
//!   gets nothing through.
//! - The address that this host takes towards a peer: the peer admits the addresses of the cluster file, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::identity::Objection;
use super::links::Link;
use super::routing::{Routing, sources_towards};
use crate::cluster::{Node, Site};
use crate::diagnostic::Code;
use crate::dialect::netlink::RequestError;
use crate::net::{Cidr, Interface};

/// As long as there are no more peers, each is looked up by itself; with more, one of each network of the size that routes
/// between sites usually have. So a route to a single host may be missed in a large cluster, and a hundred thousand peers
/// cost some hundreds of look-ups.
const EACH: usize = 64;
const GROUP_V4: u8 = 24;
const GROUP_V6: u8 = 64;

/// Interfaces on which somebody is admitted: for whom in words, and which.
#[must_use]
pub fn admitted(site: &Site<'_>) -> Vec<(String, Vec<Interface>)> {
    let peers = site.interfaces().map(|list| ("peers".to_owned(), list.to_vec()));
    let clients = site.cluster().clients().iter().filter_map(|client| {
        let who = format!("the client `{}`", client.name().escape_debug());
        client.interfaces().map(|list| (who, list.to_vec()))
    });
    peers.into_iter().chain(clients).collect()
}

/// Interfaces of these lists that are part of a VRF which the same list lacks.
#[must_use]
pub fn unlisted_vrfs(lists: &[(String, Vec<Interface>)], routing: &Routing) -> Vec<Objection> {
    let mut found = Vec::new();
    for (who, list) in lists {
        let mut missing: Vec<(&Interface, &str)> = Vec::new();
        for interface in list {
            let vrf = routing.vrf_of(interface).filter(|vrf| !list.iter().any(|own| own.as_str() == *vrf));
            missing.extend(vrf.map(|vrf| (interface, vrf)));
        }
        let vrfs: BTreeSet<&str> = missing.iter().map(|(_, vrf)| *vrf).collect();
        let names: Vec<String> =
            list.iter().map(Interface::as_str).chain(vrfs).map(|name| format!("{name:?}")).collect();
        let line = format!("interfaces = [{}]", names.join(", "));
        found.extend(missing.into_iter().map(|(interface, vrf)| Objection::VrfInterface {
            who: who.clone(),
            interface: interface.clone(),
            vrf: vrf.to_owned(),
            line: line.clone(),
        }));
    }
    found
}

/// A node's own addresses, and the peers to look up for it.
#[must_use]
pub fn ends(site: &Site<'_>) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let addresses = |node: &Node| node.addresses().iter().map(|(address, _)| *address).collect::<Vec<_>>();
    let Some(node) = site.node() else { return Default::default() };
    let own = addresses(node);
    // Peers of a family that the node has no address of cannot know it by one.
    let known = |peer: &IpAddr| own.iter().any(|own| own.is_ipv4() == peer.is_ipv4());
    let others = site.cluster().nodes().iter().filter(|other| other.name() != node.name());
    let peers: BTreeSet<IpAddr> = others.flat_map(addresses).filter(known).collect();
    let peers = representatives(peers.into_iter().collect());
    (own, peers)
}

fn representatives(peers: Vec<IpAddr>) -> Vec<IpAddr> {
    if peers.len() <= EACH {
        return peers;
    }
    let mut seen = BTreeSet::new();
    let size = |peer: &IpAddr| if peer.is_ipv4() { GROUP_V4 } else { GROUP_V6 };
    peers
        .into_iter()
        .filter(|peer| Cidr::containing(*peer, size(peer)).is_none_or(|group| seen.insert(group)))
        .collect()
}

/// What this host calls itself towards peers that know it by other addresses, in words. Nothing where this host has none of
/// the node's addresses: then it is another host, or none yet.
///
/// # Errors
/// Where the kernel does not tell.
pub fn other_sources(own: &[IpAddr], peers: &[IpAddr], links: &[Link]) -> Result<Vec<String>, RequestError> {
    let here = |ipv4: bool| {
        let has = |address: &&IpAddr| links.iter().any(|link| link.addresses.contains(address));
        own.iter().filter(has).any(|address| address.is_ipv4() == ipv4)
    };
    let (v4, v6) = (here(true), here(false));
    let peers: Vec<IpAddr> = peers.iter().copied().filter(|peer| if peer.is_ipv4() { v4 } else { v6 }).collect();
    let mut found: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
    for (peer, source) in peers.iter().zip(sources_towards(&peers)?) {
        // A peer's address that is this host's, too, is reached from itself.
        if let Some(source) = source.filter(|source| source != peer && !own.contains(source)) {
            found.entry(source).or_default().push(*peer);
        }
    }
    Ok(found.iter().filter_map(|(source, peers)| in_words(own, *source, peers)).collect())
}

fn in_words(own: &[IpAddr], source: IpAddr, peers: &[IpAddr]) -> Option<String> {
    let (first, more) = peers.split_first()?;
    let more = if more.is_empty() { "" } else { " and others" };
    let known: Vec<String> = own.iter().map(ToString::to_string).collect();
    let all: Vec<String> = own.iter().chain([&source]).map(|address| format!("\"{address}\"")).collect();
    Some(format!(
        "{}: connections from here to {first}{more} come from {source}, and the cluster file knows this node as {}: \
         peers block them; write `addresses = [{}]` under its `[[node]]` on every node, or give the route another `src`",
        Code::OtherSource,
        known.join(", "),
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::host::lab::{in_new_network, run};
    use crate::host::links::links;
    use crate::host::routing::RoutedLink;

    fn cluster(guard: &str, client: &str) -> Cluster {
        let text = format!(
            "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\", \"riak@10.8.0.5\", \"riak@10.7.0.5\"]\n\
             [networks]\nprivate = [\"10.0.0.0/8\"]\n[guard]\ninterfaces = [{guard}]\n\
             [services.distribution]\nports = \"6000-6009\"\n\
             [[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\ninterfaces = [{client}]\n"
        );
        let parsed = parse("cluster.toml", text, Path::new(""));
        parsed.cluster.expect("a cluster file that can be used")
    }

    fn routing() -> Routing {
        let link = |index, name: &str, master, vrf_table| RoutedLink { index, name: name.into(), master, vrf_table };
        Routing {
            links: vec![
                link(1, "eth0", None, None),
                link(2, "blue", None, Some(10)),
                link(3, "ve0", Some(2), None),
                // Part of a bridge, which is no VRF.
                link(4, "br0", None, None),
                link(5, "ve1", Some(4), None),
            ],
            ..Routing::default()
        }
    }

    #[test]
    fn a_vrf_has_to_be_listed_with_its_members() {
        let said = |guard: &str, client: &str| -> Vec<String> {
            let cluster = cluster(guard, client);
            let site = Site::of_node(&cluster, &cluster.nodes()[0]);
            unlisted_vrfs(&admitted(&site), &routing()).iter().map(Objection::message).collect()
        };
        assert_eq!(said("\"ve0\", \"blue\"", "\"eth0\", \"ve1\""), [""; 0]);
        let [one] = &said("\"ve0\"", "\"eth0\"")[..] else { panic!("one objection") };
        assert!(one.contains("peers") && one.contains("`interfaces = [\"ve0\", \"blue\"]`"), "{one}");
        let [one] = &said("\"blue\", \"ve0\"", "\"ve0\", \"ve1\"")[..] else { panic!("one objection") };
        assert!(one.contains("`web`") && one.contains("`interfaces = [\"ve0\", \"ve1\", \"blue\"]`"), "{one}");
    }

    #[test]
    fn a_peer_that_is_reached_from_an_unknown_address() {
        let found = in_new_network(|| {
            run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "far"]);
            run("ip", &["address", "add", "10.9.0.1/24", "dev", "eth1"]);
            run("ip", &["address", "add", "172.16.0.1/24", "dev", "eth1"]);
            run("ip", &["link", "set", "eth1", "up"]);
            let cluster = cluster("\"eth1\"", "\"eth1\"");
            let site = Site::of_node(&cluster, &cluster.nodes()[0]);
            let (own, peers) = ends(&site);
            let look = || other_sources(&own, &peers, &links().unwrap()).unwrap();
            assert_eq!(
                look(),
                [""; 0],
                "there is no route to two peers, and the third is reached from the node's address"
            );
            run("ip", &["route", "add", "10.8.0.0/24", "via", "172.16.0.2"]);
            let wrong = look();
            run("ip", &["route", "replace", "10.8.0.0/24", "via", "172.16.0.2", "src", "10.9.0.1"]);
            assert_eq!(look(), [""; 0], "the route says which address");
            run("ip", &["route", "replace", "10.8.0.0/24", "via", "172.16.0.2"]);
            run("ip", &["address", "delete", "10.9.0.1/24", "dev", "eth1"]);
            assert_eq!(look(), [""; 0], "the node is not this host");
            wrong
        });
        let Some(found) = found else { return };
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(one.contains("to 10.8.0.5 come from 172.16.0.1"), "{one}");
        assert!(one.contains("`addresses = [\"10.9.0.1\", \"172.16.0.1\"]`"), "{one}");
    }

    #[test]
    fn many_peers_are_looked_up_by_network() {
        let v4 = |count: u32| (0..count).map(|number| IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
        assert_eq!(representatives(v4(64).collect()).len(), 64);
        assert_eq!(representatives(v4(65).collect()).len(), 1);
        assert_eq!(representatives(v4(100_000).collect()).len(), 391);
        let v6 = |number: u16| IpAddr::from([0xfd00, 0, 0, number / 2, 0, 0, 0, number]);
        assert_eq!(representatives((0..100).map(v6).collect()).len(), 50);
    }
}
