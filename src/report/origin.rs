//! Who of a cluster file is behind an address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::cluster::{Cluster, Node};
use crate::diagnostic::Span;
use crate::net::Cidr;

/// The node or client that has an address, and its line.
#[must_use]
pub fn source_line(cluster: &Cluster, source: IpAddr) -> Option<String> {
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
}

impl<'a> Owners<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        let named = |node: &'a Node| node.addresses().iter().map(|&(address, span)| (address, (node.name(), span)));
        Self { cluster, nodes: cluster.nodes().iter().flat_map(named).collect() }
    }

    /// The one that has all of a network, and its line.
    pub fn of(&self, network: Cidr) -> Option<String> {
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
