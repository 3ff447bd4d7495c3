//! Who of a cluster file is behind an address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::cluster::{Cluster, Node};
use crate::diagnostic::Span;
use crate::net::Cidr;

/// The node or client that has an address, and its line; of several clusters that are guarded together the one of each.
#[must_use]
pub fn source_line(cluster: &Cluster, source: IpAddr) -> Option<String> {
    let lines: Vec<String> = cluster.parts().iter().filter_map(|part| line(part, source)).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

fn line(cluster: &Cluster, source: IpAddr) -> Option<String> {
    let nodes = cluster.nodes().iter().flat_map(|node| node.addresses().iter().map(move |a| (node.name(), *a)));
    let mut nodes = nodes.filter(|(_, (address, _))| *address == source);
    if let Some((name, (_, span))) = nodes.next() {
        return Some(format!("{name}, {}", cluster.place(span)));
    }
    let clients =
        cluster.clients().iter().flat_map(|client| client.from().iter().map(move |from| (client.name(), from)));
    let mut clients = clients.filter(|(_, from)| from.network.has(source));
    clients.next().map(|(name, from)| format!("{name}, {}", cluster.place(from.span)))
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
        let named = |node: &'a Node| node.addresses().iter().map(|&(address, span)| (address, (node.name(), span)));
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
