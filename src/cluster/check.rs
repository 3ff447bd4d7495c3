//! What only the whole cluster file can show: duplicates, overlaps, places outside of places.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use super::model::{Cluster, Service, ServiceId, Source, State};
use super::node::Node;
use super::site::{Site, SiteService};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::net::{AddressClass, Cidr, Hosts, Networks, PortRange};

mod clients;

/// The ports from which Linux takes the source ports of outgoing connections unless told otherwise:
/// net.ipv4.ip_local_port_range (kernel documentation, networking/ip-sysctl).
const EPHEMERAL: (u16, u16) = (32768, 60999);
/// RFC 4253: the way to most hosts that this runs on.
const SSH: u16 = 22;

/// What the file says but could not be read, and so must not be called missing.
#[derive(Default)]
pub(super) struct Unread {
    /// At least one private network.
    pub(super) private: bool,
    /// At least one node.
    pub(super) nodes: bool,
    /// At least one source or service of a client.
    pub(super) clients: bool,
    /// What a service of the file's own is.
    pub(super) services: bool,
    /// The ports of these services.
    pub(super) ports: Vec<String>,
    /// Not unread, but half said: ports of these services, in the file or on a node, without a word on their state.
    pub(super) ports_without_state: Vec<ServiceId>,
}

/// Looks at the whole. `span` is where the file speaks of the cluster.
pub(super) fn check(cluster: &Cluster, span: Span, unread: &Unread, findings: &mut Findings) {
    if cluster.nodes.is_empty() && !unread.nodes {
        let finding = Diagnostic::new(Code::NoNodes, span, "the cluster has no nodes");
        findings.push(finding.help("list them: `nodes = [\"riak@10.20.0.11\"]`, or one `[[node]]` each"));
    }
    let addresses = Addresses::of(cluster);
    let _ = cluster.hosts.set(Arc::new(addresses.hosts()));
    if !addresses.tell_names_apart() {
        duplicate_names("nodes", || cluster.nodes.iter().map(|node| (node.name(), node.span())), findings);
    }
    duplicate_names("clients", || cluster.clients.iter().map(|client| (client.name(), client.span)), findings);
    addresses.duplicates(findings);
    if !unread.private {
        nodes_in_networks(cluster, findings);
    }
    private_networks(cluster, &addresses, unread, findings);
    clients::check(cluster, &untrusted(cluster), unread, findings);
    let site = Site::of_every_node(cluster);
    check_services(&site, span, unread, findings);
    overlaps(&site, span, findings);
    if let Some(span) = cluster.guard.on_block_span.filter(|_| cluster.guard.is_staged()) {
        let message = "nobody is blocked: strangers are logged and let on";
        let help =
            "isolation is violated on purpose; write `on-block = \"drop\"` once the log shows nobody who is to get in";
        findings.push(Diagnostic::new(Code::Staged, span, message).help(help));
    }
}

fn untrusted(cluster: &Cluster) -> Networks {
    cluster.untrusted.iter().map(|source| source.network).collect()
}

fn duplicate_names<'a, I: Iterator<Item = (&'a str, Span)>>(what: &str, list: impl Fn() -> I, findings: &mut Findings) {
    let mut seen = HashMap::with_capacity_and_hasher(list().size_hint().0, FxBuildHasher);
    for (name, span) in list() {
        let first = *seen.entry(name).or_insert(span);
        if first != span {
            let finding = Diagnostic::new(Code::DuplicateName, span, format!("two {what} are called `{name}`"));
            findings.push(finding.also(first, "the other one").help("remove one of them, or give it its own name"));
        }
    }
}

/// The addresses of all nodes, sorted by number, each with the position of its node. Small keys, because 100,000 of them
/// are sorted in a moment.
struct Addresses<'a> {
    nodes: &'a [Node],
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u32)>,
}

impl<'a> Addresses<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let mut addresses = Self { nodes: &cluster.nodes, v4: Vec::new(), v6: Vec::new() };
        for (position, node) in cluster.nodes.iter().enumerate() {
            for (address, _) in node.addresses() {
                // INVARIANT (size): a file of less than 4 GiB names fewer nodes than that.
                match address {
                    IpAddr::V4(address) => addresses.v4.push((address.to_bits(), position as u32)),
                    IpAddr::V6(address) => addresses.v6.push((address.to_bits(), position as u32)),
                }
            }
        }
        addresses.v4.sort_unstable();
        addresses.v6.sort_unstable();
        addresses
    }

    /// The same without the nodes.
    fn hosts(&self) -> Hosts {
        Hosts::sorted(self.v4.iter().map(|&(own, _)| own), self.v6.iter().map(|&(own, _)| own))
    }

    /// Whether no two nodes can have one name: each has its address in it, and no address is there twice.
    fn tell_names_apart(&self) -> bool {
        self.nodes.iter().all(Node::is_named_by_address)
            && !self.v4.windows(2).any(|pair| same_key(pair).is_some())
            && !self.v6.windows(2).any(|pair| same_key(pair).is_some())
    }

    fn duplicates(&self, findings: &mut Findings) {
        let v4 = self.v4.windows(2).filter_map(same_key).map(|(bits, a, b)| (IpAddr::from(bits.to_be_bytes()), a, b));
        let v6 = self.v6.windows(2).filter_map(same_key).map(|(bits, a, b)| (IpAddr::from(bits.to_be_bytes()), a, b));
        for (address, first, second) in v4.chain(v6) {
            let (Some(one), Some(other)) = (self.nodes.get(first as usize), self.nodes.get(second as usize)) else {
                continue;
            };
            // Two nodes of one name are a finding already.
            if first != second && one.name() == other.name() && host_of(&one.name, address) {
                continue;
            }
            let mut second_span = span_of(other, address).next();
            if first == second {
                second_span = span_of(other, address).nth(1);
            }
            let (Some(at), Some(also)) = (second_span, span_of(one, address).next()) else { continue };
            let finding = Diagnostic::new(Code::DuplicateAddress, at, format!("{address} is given twice"));
            findings.push(finding.also(also, "here too").help("each address belongs to one node; remove one"));
        }
    }

    /// The position of the node that has the first address of the network.
    fn first_in(&self, network: Cidr) -> Option<u32> {
        match (network.first(), network.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => first_between(&self.v4, first.to_bits(), last.to_bits()),
            (IpAddr::V6(first), IpAddr::V6(last)) => first_between(&self.v6, first.to_bits(), last.to_bits()),
            _ => None,
        }
    }

    fn find(&self, address: IpAddr) -> Option<Span> {
        let node = self.nodes.get(self.first_in(Cidr::host(address))? as usize)?;
        span_of(node, address).next()
    }

    fn any_in(&self, network: Cidr) -> bool {
        self.first_in(network).is_some()
    }

    fn has_family_of(&self, network: Cidr) -> bool {
        if network.is_ipv4() { !self.v4.is_empty() } else { !self.v6.is_empty() }
    }
}

/// Where a node names an address.
fn span_of(node: &Node, address: IpAddr) -> impl Iterator<Item = Span> {
    node.addresses().filter(move |(own, _)| *own == address).map(|(_, span)| span)
}

fn same_key<T: Copy + PartialEq>(pair: &[(T, u32)]) -> Option<(T, u32, u32)> {
    match pair {
        [(a, first), (b, second)] if a == b => Some((*a, *first, *second)),
        _ => None,
    }
}

fn first_between<T: Copy + Ord>(sorted: &[(T, u32)], first: T, last: T) -> Option<u32> {
    let at = sorted.partition_point(|&(key, _)| key < first);
    sorted.get(at).filter(|(key, _)| *key <= last).map(|&(_, position)| position)
}

/// Whether a node's name gives this address.
fn host_of(name: &str, address: IpAddr) -> bool {
    name.rsplit('@').next().is_some_and(|host| host == address.to_string())
}

fn nodes_in_networks(cluster: &Cluster, findings: &mut Findings) {
    let private: Networks = cluster.private.iter().map(|source| source.network).collect();
    let untrusted_networks = untrusted(cluster);
    // So it is but for a mistake.
    let hosts = cluster.hosts();
    if private.count_of(hosts) == hosts.len() && untrusted_networks.count_of(hosts) == 0 {
        return;
    }
    for node in &cluster.nodes {
        for (address, span) in node.addresses() {
            let host = Cidr::host(address);
            if !private.covers(host) {
                let message = format!("{address} of `{}` lies in no private network", node.name());
                let help = "add its network to `private` under `[networks]`, or correct the address";
                findings.push(Diagnostic::new(Code::NodeOutsidePrivate, span, message).help(help));
            }
            if untrusted_networks.covers(host) {
                let at = cluster.untrusted.iter().find(|source| source.network.contains(host));
                findings.push(node_in_untrusted(node, address, span, at));
            }
        }
    }
}

fn node_in_untrusted(node: &Node, address: IpAddr, span: Span, at: Option<&Source>) -> Diagnostic {
    let message = format!("{address} of `{}` lies in an untrusted network, which is always blocked", node.name());
    let finding = Diagnostic::new(Code::NodeInUntrusted, span, message);
    let help = "narrow the untrusted network, or correct the address";
    match at {
        Some(source) => finding.also(source.span, "untrusted"),
        None => finding,
    }
    .help(help)
}

fn private_networks(cluster: &Cluster, addresses: &Addresses<'_>, unread: &Unread, findings: &mut Findings) {
    let all_known = !unread.nodes && !unread.clients && !cluster.nodes.is_empty();
    // `from = "private"` uses every private network; that alone makes none of them used.
    let private: HashSet<Cidr, FxBuildHasher> = cluster.private.iter().map(|source| source.network).collect();
    let named = cluster.clients.iter().flat_map(|client| &client.from).map(|source| source.network);
    let clients: Networks = named.filter(|network| !private.contains(network)).collect();
    // A range of addresses is the networks that make it up, all named in one place.
    for pieces in cluster.private.chunk_by(|one, other| one.span == other.span) {
        let Some(source) = pieces.first() else { continue };
        let shown = range_of(pieces);
        if !cluster.allow_public && pieces.iter().any(|piece| piece.network.class() != AddressClass::Private) {
            let message = format!("the private network {shown} is, or reaches into, public address space");
            let help = "name the network that the nodes really lie in; if they do have public addresses, write \
                        `allow-public = true` under `[networks]`";
            findings.push(Diagnostic::new(Code::PublicNetwork, source.span, message).help(help));
        }
        if pieces.len() == 1 {
            special_addresses(source, addresses, findings);
        }
        if !all_known {
            // Whether it is used cannot be said.
        } else if !addresses.has_family_of(source.network) {
            let family = if source.network.is_ipv4() { "IPv4" } else { "IPv6" };
            let message = format!("{shown} is private, but no node has an {family} address");
            let help = format!(
                "nobody is admitted over {family} as a peer; give the nodes' {family} `addresses`, or remove the network"
            );
            findings.push(Diagnostic::new(Code::FamilyWithoutNodes, source.span, message).help(help));
        } else if !pieces.iter().any(|piece| addresses.any_in(piece.network) || clients.overlaps(piece.network)) {
            let message = format!("no node or client lies in the private network {shown}");
            findings.push(Diagnostic::new(Code::UnusedNetwork, source.span, message).help("remove it, or correct it"));
        }
    }
}

/// A network, or a range as the file has it.
fn range_of(pieces: &[Source]) -> String {
    match pieces {
        [first, .., last] => format!("{}-{}", first.network.first(), last.network.last()),
        [one] => one.network.to_string(),
        [] => String::new(),
    }
}

/// Addresses that no host has in a network of this size.
fn special_addresses(source: &Source, addresses: &Addresses<'_>, findings: &mut Findings) {
    let network = source.network;
    for (address, what) in [(network.first(), "network"), (network.last(), "broadcast")] {
        let special = what == "network" || network.is_ipv4();
        let wide = network.prefix_length() < if network.is_ipv4() { 31 } else { 127 };
        if let Some(span) = addresses.find(address).filter(|_| special && wide) {
            let message = format!("{address} is the {what} address of {network}");
            let finding = Diagnostic::new(Code::NetworkAddress, span, message).also(source.span, "this network");
            findings.push(finding.help("no host can usually have it; correct the address or the prefix"));
        }
    }
}

fn check_services(site: &Site<'_>, span: Span, unread: &Unread, findings: &mut Findings) {
    let cluster = site.cluster();
    if !cluster.services.is_empty() && !cluster.services.iter().any(Service::is_guarded) {
        let finding = Diagnostic::new(Code::NothingGuarded, span, "every service is unused: there is nothing to guard");
        findings.push(finding.help("say `state = \"open\"` or `\"blocked\"` of at least one service"));
    }
    for SiteService { id, service, ports } in site.services() {
        let at = service.span.unwrap_or(span);
        if !service.is_guarded() {
            if unread.ports_without_state.contains(id) {
                let message = format!("`{}` is given ports, but it is unused and so not guarded", service.name);
                let help =
                    "write `state = \"open\"` or `\"blocked\"` to guard it, or `\"unused\"` to say that it is meant so";
                findings.push(Diagnostic::new(Code::UnguardedPorts, at, message).help(help));
            }
            continue;
        }
        if service.ports.is_empty() {
            if !unread.ports.contains(&service.name) {
                findings.push(missing_ports(service, at));
            }
            continue;
        }
        narrow_range(service, cluster.nodes.len(), at, findings);
        if let Some(overlap) = overlap_with(ports.ranges(), EPHEMERAL) {
            let (first, last) = EPHEMERAL;
            let what = if overlap.count() == 1 { "port" } else { "ports" };
            let message = format!(
                "`{}` has {what} {overlap} among those that Linux gives to outgoing connections ({first}-{last})",
                service.name
            );
            let help = "choose lower ports; otherwise the sysctl that `--format sysctl` prints must be in force before \
                        the service starts, or a stray connection takes its port";
            findings.push(Diagnostic::new(Code::EphemeralOverlap, at, message).help(help));
        }
        if overlap_with(ports.ranges(), (SSH, SSH)).is_some() {
            let message =
                format!("`{}` has port {SSH}, so the guard would admit SSH from its sources only", service.name);
            let help = match service.plain_name() {
                "ssh" | "sshd" => "leave SSH out: ringfence guards the cluster's ports, and nothing else of this host",
                _ => "choose other ports",
            };
            findings.push(Diagnostic::new(Code::CoversSsh, at, message).help(help));
        }
        let has_client = cluster.clients.iter().any(|client| client.services.contains(id));
        let nobody =
            service.state == State::Open && !service.peers && !has_client && !unread.clients && !unread.services;
        if let Some(span) = service.span.filter(|_| nobody) {
            let message = format!("`{}` is open, but nobody is admitted to it", service.name);
            let help = "name a `[[client]]` for it or set `peers = true`; to close it, write `state = \"blocked\"`";
            findings.push(Diagnostic::new(Code::UnusedService, span, message).help(help));
        }
    }
}

fn missing_ports(service: &Service, at: Span) -> Diagnostic {
    let name = &service.name;
    let message = format!("`{name}` has no ports");
    let mut help = format!("write `[services.{name}]` with `ports = \"…\"`");
    if service.one_port_per_node {
        help = format!("write `[services.{name}]` with `ports = \"6000-6009\"`, the range that the nodes are set to");
    }
    if let Some(setting) = &service.setting {
        help = format!("{help} ({setting})");
    }
    Diagnostic::new(Code::MissingPorts, at, message).help(help)
}

fn narrow_range(service: &Service, nodes: usize, at: Span, findings: &mut Findings) {
    let count = service.ports.count() as usize;
    if service.state == State::Open && service.one_port_per_node && count < nodes {
        let message = format!("`{}` has {count} ports for {nodes} nodes", service.name);
        let help = "each node needs one port, and a restart wants a spare; the product's manual recommends as many ports \
                    as the cluster has nodes";
        findings.push(Diagnostic::new(Code::NarrowRange, at, message).help(help));
    }
}

fn overlap_with(ranges: &[PortRange], (first, last): (u16, u16)) -> Option<PortRange> {
    let other = PortRange::new(first, last)?;
    ranges.iter().find_map(|range| range.intersection(other))
}

/// No port may belong to two services: not on one node, and not on two nodes either, because rules that fit every node
/// would admit the clients of the one to the other.
fn overlaps(site: &Site<'_>, span: Span, findings: &mut Findings) {
    let cluster = site.cluster();
    let guarded = site.services().iter().filter(|service| service.service.is_guarded());
    let mut ranges: Vec<(PortRange, &SiteService<'_>)> =
        guarded.flat_map(|service| service.ports.ranges().iter().map(move |&range| (range, service))).collect();
    ranges.sort_by_key(|(range, _)| *range);
    let mut reported = HashSet::new();
    let mut before: Option<(PortRange, &SiteService<'_>)> = None;
    for (range, service) in ranges {
        if let Some((reaches, owner)) = before
            && let Some(common) = range.intersection(reaches)
            && owner.id != service.id
            && reported.insert(service.id)
        {
            findings.push(overlap(cluster, span, owner, service, common));
        }
        if before.is_none_or(|(reaches, _)| range.last() > reaches.last()) {
            before = Some((range, service));
        }
    }
}

fn overlap(cluster: &Cluster, span: Span, one: &SiteService<'_>, other: &SiteService<'_>, at: PortRange) -> Diagnostic {
    let node_of = |wanted: &SiteService<'_>| {
        let ports = [at].into_iter().collect();
        let special = |node: &&Node| {
            node.own_ports().iter().any(|(id, own)| *id == wanted.id && own.intersection(&ports).is_some())
        };
        cluster.nodes.iter().find(special).map(Node::span)
    };
    let place = |service: &SiteService<'_>| service.service.span.or_else(|| node_of(service));
    let (first, second) = (place(one), place(other));
    let message = format!("`{}` and `{}` both have port {at}", one.service.name, other.service.name);
    let mut finding = Diagnostic::new(Code::PortOverlap, second.or(first).unwrap_or(span), message);
    if let (Some(first), Some(second)) = (first, second)
        && first != second
    {
        finding = finding.also(first, "the other one");
    }
    finding.help("give each service ports of its own, on all nodes: a port has one set of admitted sources")
}
