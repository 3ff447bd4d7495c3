//! What the host's other firewall has to let through.
//!
//! INVARIANT (never wider): an opening is as narrow as the admission that it stands for, untrusted sources taken out, so that it lets
//! nobody in whom the guard does not, even where the guard was flushed. Two things of the guard it cannot say: that a source comes
//! from outside, and that the port is this host's own.

use std::collections::HashSet;

use super::admission::{Admissions, Grant};
use crate::cluster::{Node, Site, SitePart, State};
use crate::ir::{Leg, Opening};
use crate::net::{Cidr, Networks, Ports};

/// Everything that is to be let through for a site: what comes in first, of each IPv4 before IPv6.
#[must_use]
pub fn openings(site: &Site<'_>) -> Vec<Opening> {
    let untrusted: Networks = site.cluster().untrusted().iter().map(|source| source.network).collect();
    let own: Vec<Cidr> = own(site);
    let mut all: Vec<Opening> = Vec::new();
    for grant in Admissions::of(site).grants {
        let sets = grant.sources.iter().flat_map(|set| set.elements.networks());
        let networks: Vec<Cidr> =
            sets.filter(|network| !own.contains(network)).flat_map(|network| without(network, &untrusted)).collect();
        all.extend(incoming(&grant, &networks));
    }
    all.extend(site.parts().iter().flat_map(outgoing));
    if site.cluster().is_joined() {
        tell_apart(&mut all);
    }
    all
}

/// What comes of the names of several clusters may be alike; of one name are those of IPv4 and of IPv6 only.
fn tell_apart(all: &mut [Opening]) {
    let mut taken: HashSet<(String, bool)> = HashSet::new();
    for opening in all {
        let plain = opening.name.clone();
        for number in 2_u32.. {
            if taken.insert((opening.name.clone(), opening.is_ipv4())) {
                break;
            }
            opening.name = format!("{plain}-{number}");
        }
    }
}

/// This host's addresses, which do not come in from outside.
fn own(site: &Site<'_>) -> Vec<Cidr> {
    site.nodes().into_iter().flat_map(Node::addresses).map(|(address, _)| Cidr::host(address)).collect()
}

fn incoming(grant: &Grant, networks: &[Cidr]) -> Vec<Opening> {
    let names: Vec<&str> = grant.names.first().map(String::as_str).into_iter().collect();
    let about = if grant.peers { format!("{}: {}", grant.what, names.concat()) } else { grant.what.clone() };
    by_family(networks)
        .map(|networks| Opening {
            name: plain(&grant.key),
            about: about.clone(),
            leg: Leg::In,
            networks,
            ports: grant.ports.clone(),
            interfaces: grant.interfaces.clone(),
        })
        .collect()
}

/// All peers at all the ports that any of them has, which need not be this host's.
fn outgoing(site: &SitePart<'_>) -> Vec<Opening> {
    let peers: Vec<&Node> = site.others().collect();
    let tag = site.cluster().tag();
    let services: Vec<_> = site
        .services()
        .iter()
        .filter(|service| service.service.state() == State::Open && service.service.peers())
        .collect();
    let of = |node: &&Node| {
        let ports = services.iter().flat_map(|service| node.ports(service.id, service.service).ranges().to_vec());
        ports.collect::<Vec<_>>()
    };
    let ports: Ports = peers.iter().flat_map(of).collect();
    if ports.is_empty() {
        return Vec::new();
    }
    let networks: Vec<Cidr> =
        peers.iter().flat_map(|node| node.addresses()).map(|(address, _)| Cidr::host(address)).collect();
    let openings = by_family(&networks).map(|networks| Opening {
        name: tag.map_or_else(|| "to-peers".to_owned(), |tag| plain(&format!("to-peers-{tag}"))),
        about: match tag {
            Some(_) => format!("this host to its {}", site.cluster().peers()),
            None => "this host to its peers".to_owned(),
        },
        leg: Leg::Out,
        networks,
        ports: ports.clone(),
        interfaces: None,
    });
    openings.collect()
}

/// IPv4 and IPv6, each sorted and without what lies in another; not where there is none.
fn by_family(networks: &[Cidr]) -> impl Iterator<Item = Vec<Cidr>> {
    let of = |v4: bool| {
        let mut own: Vec<Cidr> = networks.iter().copied().filter(|network| network.is_ipv4() == v4).collect();
        own.sort_unstable_by_key(|network| (network.first(), network.prefix_length()));
        let mut apart: Vec<Cidr> = Vec::with_capacity(own.len());
        for network in own {
            if !apart.last().is_some_and(|last| last.contains(network)) {
                apart.push(network);
            }
        }
        apart
    };
    [of(true), of(false)].into_iter().filter(|own| !own.is_empty())
}

/// What of a network is in none of these.
fn without(network: Cidr, others: &Networks) -> Vec<Cidr> {
    if others.covers(network) {
        Vec::new()
    } else if others.overlaps(network) {
        network.halves().into_iter().flat_map(|half| without(half, others)).collect()
    } else {
        vec![network]
    }
}

/// What every program takes as a name.
fn plain(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;

    fn of(extra: &str) -> Vec<Opening> {
        let text = format!(
            "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\", \"b@10.0.0.2\", \"c@10.0.0.3\"]\n\
             [services.distribution]\nports = \"6000-6009\"\n{extra}"
        );
        let loaded = parse("cluster.toml", text, Path::new(""));
        let cluster = loaded.cluster.unwrap();
        openings(&Site::of_node(&cluster, cluster.node("a@10.0.0.1").unwrap()))
    }

    fn shown(opening: &Opening) -> String {
        let networks: Vec<String> = opening.networks.iter().map(ToString::to_string).collect();
        let ports: Vec<String> = opening.ports.ranges().iter().map(ToString::to_string).collect();
        format!("{} {} to {}", opening.name, networks.join(","), ports.join(","))
    }

    #[test]
    fn peers_are_let_in_and_asked_but_not_this_host_itself() {
        let all = of("[networks]\nprivate = [\"10.0.0.0/24\"]\n");
        let shown: Vec<String> = all.iter().map(shown).collect();
        assert_eq!(
            shown,
            [
                "peers 10.0.0.2,10.0.0.3 to 4369,6000-6009,8098-8099",
                "to-peers 10.0.0.2,10.0.0.3 to 4369,6000-6009,8098-8099"
            ]
        );
    }

    #[test]
    fn what_is_untrusted_is_cut_out_of_a_client() {
        let all = of("[networks]\nprivate = [\"10.0.0.0/24\"]\nuntrusted = [\"10.1.0.128/25\"]\n\
                      [[client]]\nname = \"web\"\nfrom = [\"10.1.0.0/24\", \"fd00::/64\"]\nservices = [\"http\"]\n");
        let clients: Vec<String> = all.iter().filter(|one| one.name == "http-clients").map(shown).collect();
        assert_eq!(clients, ["http-clients 10.1.0.0/25 to 8098", "http-clients fd00::/64 to 8098"]);
    }
}
