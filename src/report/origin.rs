//! Who of a cluster file is behind an address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::cluster::{Cluster, Node, Site};
use crate::diagnostic::Span;
use crate::net::{Cidr, Ports};
use crate::verify::Claims;

/// So many are named who are behind a change together.
const MOST_OWNERS: usize = 4;

/// The node or client that has an address, and its line; of several clusters that are guarded together the one of each.
#[must_use]
pub fn source_line(cluster: &Cluster, source: IpAddr) -> Option<String> {
    let lines: Vec<String> = cluster.parts().iter().filter_map(|part| line(part, source)).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

fn line(cluster: &Cluster, source: IpAddr) -> Option<String> {
    let nodes = cluster.nodes().iter().flat_map(|node| node.addresses().map(move |a| (node.name(), a)));
    let mut nodes = nodes.filter(|(_, (address, _))| *address == source);
    if let Some((name, (_, span))) = nodes.next() {
        return Some(format!("{name}, {}", cluster.place(span)));
    }
    let clients =
        cluster.clients().iter().flat_map(|client| client.from().iter().map(move |from| (client.name(), from)));
    let mut clients = clients.filter(|(_, from)| from.network.has(source));
    clients.next().map(|(name, from)| format!("{name}, {}", cluster.place(from.span)))
}

/// Who of a cluster file is behind a change.
pub struct Behind<'a>(Vec<(&'a Cluster, Claims<'a>)>);

impl<'a> Behind<'a> {
    pub fn of(cluster: &'a Cluster) -> Self {
        Self(cluster.parts().iter().map(|part| (part, Claims::of(&Site::of_every_node(part)))).collect())
    }

    /// The node or client that has all addresses of these ranges, and may use all of these ports, and its line; of several clusters that are
    /// guarded together the one of each. Where more addresses or ports change than one of them has by the file, none is behind it.
    pub fn line(&self, ranges: &[(IpAddr, IpAddr)], ports: &Ports) -> Option<String> {
        let lines: Vec<String> =
            self.0.iter().filter_map(|(part, claims)| line_of(part, claims, ranges, ports)).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

fn line_of(cluster: &Cluster, claims: &Claims<'_>, ranges: &[(IpAddr, IpAddr)], ports: &Ports) -> Option<String> {
    let may = |address: IpAddr| {
        let admitted = claims.admitted().iter().filter(|own| own.has(address));
        admitted.fold(ports.clone(), |left, own| left.without(&own.ports)).is_empty()
    };
    if !ranges.iter().all(|&(first, _)| may(first)) {
        return None;
    }
    // One who has them all; of a few addresses or networks otherwise each by its own.
    owner(cluster, ranges).or_else(|| {
        let few = pieces(ranges)?;
        let each = few.iter().map(|range| owner(cluster, std::slice::from_ref(range)));
        let mut all: Vec<String> = each.collect::<Option<_>>()?;
        all.dedup();
        Some(all.join("; "))
    })
}

/// The same ranges, those of a few addresses as single ones; nothing where these are too many to be named.
fn pieces(ranges: &[(IpAddr, IpAddr)]) -> Option<Vec<(IpAddr, IpAddr)>> {
    let mut all = Vec::new();
    for &(first, last) in ranges {
        let mut few = Vec::new();
        let mut next = Some(first);
        while let Some(address) = next.filter(|next| *next <= last && few.len() < MOST_OWNERS) {
            few.push((address, address));
            next = successor(address);
        }
        let whole = few.last().is_some_and(|(end, _)| *end == last);
        if whole {
            all.extend(few)
        } else {
            all.push((first, last))
        }
        if all.len() > MOST_OWNERS {
            return None;
        }
    }
    Some(all)
}

/// The node or client that has all addresses of these ranges, and its line.
fn owner(cluster: &Cluster, ranges: &[(IpAddr, IpAddr)]) -> Option<String> {
    let &(start, end) = ranges.first()?;
    if ranges.len() == 1 && start == end {
        return line(cluster, start);
    }
    let has_all = |networks: &[Cidr]| ranges.iter().all(|range| covered(*range, networks));
    let nodes = cluster.nodes().iter().map(|node| {
        let own: Vec<Cidr> = node.addresses().map(|(address, _)| Cidr::host(address)).collect();
        (own, node.name(), node.addresses().next().map(|(_, span)| span))
    });
    let clients = cluster.clients().iter().map(|client| {
        let own: Vec<Cidr> = client.from().iter().map(|source| source.network).collect();
        let first = client.from().iter().find(|source| source.network.has(start)).map(|source| source.span);
        (own, client.name(), first)
    });
    let mut behind = nodes.chain(clients).filter(|(networks, ..)| has_all(networks));
    behind.find_map(|(_, name, span)| Some(format!("{name}, {}", cluster.place(span?))))
}

/// Whether every address of a range is in one of these networks.
fn covered((first, last): (IpAddr, IpAddr), networks: &[Cidr]) -> bool {
    let mut sorted: Vec<(IpAddr, IpAddr)> =
        networks.iter().filter(|own| own.is_ipv4() == first.is_ipv4()).map(|own| (own.first(), own.last())).collect();
    sorted.sort_unstable();
    let mut next = first;
    for (from, to) in sorted {
        if from <= next && next <= to {
            if last <= to {
                return true;
            }
            let Some(after) = successor(to) else { return false };
            next = after;
        }
    }
    false
}

fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(own) => own.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(own) => own.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Who has an address, of many nodes and few clients.
pub struct Owners<'a> {
    cluster: &'a Cluster,
    nodes: HashMap<IpAddr, (&'a str, Span)>,
    /// Where several clusters are guarded together, for which of them these are.
    more: Vec<Owners<'a>>,
}

impl<'a> Owners<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        let named = |node: &'a Node| node.addresses().map(|(address, span)| (address, (node.name(), span)));
        if cluster.is_joined() {
            return Self { cluster, nodes: HashMap::new(), more: cluster.parts().iter().map(Self::new).collect() };
        }
        Self { cluster, nodes: cluster.nodes().iter().flat_map(named).collect(), more: Vec::new() }
    }

    /// The one that has all of a network, and its line; of several clusters that are guarded together the one of each.
    pub fn of(&self, network: Cidr) -> Option<String> {
        if !self.more.is_empty() {
            let lines: Vec<String> = self.more.iter().filter_map(|own| own.of(network)).collect();
            return (!lines.is_empty()).then(|| lines.join("; "));
        }
        if let Some((name, span)) = self.nodes.get(&network.first()).filter(|_| network.is_host()) {
            return Some(format!("{name}, {}", self.cluster.place(*span)));
        }
        let clients = self
            .cluster
            .clients()
            .iter()
            .flat_map(|client| client.from().iter().map(move |source| (client.name(), source)));
        let sources = clients.chain(self.cluster.untrusted().iter().map(|source| ("untrusted", source)));
        let mut own = sources.filter(|(_, source)| source.network.contains(network));
        own.next().map(|(name, source)| format!("{name}, {}", self.cluster.place(source.span)))
    }
}
