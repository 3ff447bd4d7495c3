//! Who is admitted to which ports, over which interfaces: the cluster without its names.

use std::net::IpAddr;

use super::ORIGINS_UP_TO;
use crate::cluster::{Client, Cluster, Site, State};
use crate::diagnostic::Span;
use crate::ir::{Elements, LONGEST_COMMENT, Set, SetKind};
use crate::net::{Cidr, Interface, Ports};

/// Everything that the guard has to say.
pub struct Admissions {
    /// The ports of all open and blocked services.
    pub protected: Ports,
    /// Peers first, then the clients of each service.
    pub grants: Vec<Grant>,
    /// Sources that are always blocked.
    pub untrusted: Vec<Set>,
}

/// Some sources that are admitted to some ports.
pub struct Grant {
    /// Who may use what: `peers`, `clients of http`.
    pub what: String,
    /// The names that complete it: services of the peers, clients of a service.
    pub names: String,
    /// The ports.
    pub ports: Ports,
    /// Whether these are the peers' ports, which most packets ask for.
    pub peers: bool,
    /// The interfaces; `None` for any.
    pub interfaces: Option<Vec<Interface>>,
    /// The sources: up to four sets, none of them empty.
    pub sources: Vec<Set>,
}

struct Named<'a> {
    network: Cidr,
    name: &'a str,
    span: Span,
}

impl Admissions {
    pub fn of(site: &Site<'_>) -> Self {
        let mut grants: Vec<Grant> = peers(site).into_iter().collect();
        grants.extend(clients(site));
        let cluster = site.cluster();
        let untrusted: Vec<Named<'_>> = cluster
            .untrusted()
            .iter()
            .map(|source| Named { network: source.network, name: "untrusted", span: source.span })
            .collect();
        Self { protected: site.protected(), grants, untrusted: interval_sets(cluster, "untrusted", &untrusted) }
    }

    /// How many sources there are in all.
    pub fn source_count(&self) -> usize {
        let sets = self.grants.iter().flat_map(|grant| &grant.sources).chain(&self.untrusted);
        sets.map(|set| set.elements.len()).sum()
    }
}

fn peers(site: &Site<'_>) -> Option<Grant> {
    let open = |state| state == State::Open;
    let services: Vec<_> = site.services().iter().filter(|s| open(s.service.state()) && s.service.peers()).collect();
    let ports: Ports = services.iter().flat_map(|service| service.ports.ranges().iter().copied()).collect();
    if ports.is_empty() {
        return None;
    }
    let names: Vec<&str> = services.iter().map(|service| service.service.name()).collect();
    let nodes = site.cluster().nodes().iter();
    let sources: Vec<Named<'_>> = nodes
        .flat_map(|node| node.addresses().iter().map(move |&(address, span)| (node, address, span)))
        .map(|(node, address, span)| Named { network: Cidr::host(address), name: node.name(), span })
        .collect();
    Some(Grant {
        what: "peers".to_owned(),
        names: names.join(", "),
        ports,
        peers: true,
        interfaces: site.interfaces().map(<[Interface]>::to_vec),
        sources: source_sets(site.cluster(), "peers", &sources),
    })
}

/// One grant for each service and each choice of interfaces: however many clients there are, the rules stay few.
fn clients(site: &Site<'_>) -> Vec<Grant> {
    let cluster = site.cluster();
    let mut grants = Vec::new();
    for service in site.services().iter().filter(|service| service.service.state() == State::Open) {
        let mut groups: Vec<(Option<Vec<Interface>>, Vec<&Client>)> = Vec::new();
        for client in cluster.clients().iter().filter(|client| client.services().contains(&service.id)) {
            let interfaces = site.client_interfaces(client);
            match groups.iter_mut().find(|(own, _)| *own == interfaces) {
                Some((_, members)) => members.push(client),
                None => groups.push((interfaces, vec![client])),
            }
        }
        for (interfaces, members) in groups {
            // Named after what it means and not by number: an ipset changes before the rules that use it do.
            let on = interfaces.iter().flatten().map(|interface| format!("_on_{interface}")).collect::<String>();
            let sources: Vec<Named<'_>> = members
                .iter()
                .flat_map(|client| client.from().iter().map(|source| (client.name(), source)))
                .map(|(name, source)| Named { network: source.network, name, span: source.span })
                .collect();
            let names: Vec<&str> = members.iter().map(|client| client.name()).collect();
            let name = service.service.name();
            grants.push(Grant {
                what: format!("clients of {name}"),
                names: names.join(", "),
                ports: service.ports.clone(),
                peers: false,
                interfaces,
                sources: source_sets(cluster, &format!("{name}_clients{on}"), &sources),
            });
        }
    }
    grants
}

impl Grant {
    /// What the rules say about it.
    pub fn comment(&self) -> String {
        clip(&format!("reachability: {}: {}", self.what, self.names))
    }
}

/// A comment of a length that every dialect takes.
pub fn clip(comment: &str) -> String {
    if comment.len() <= LONGEST_COMMENT {
        return comment.to_owned();
    }
    let room = LONGEST_COMMENT - 4;
    let end = (0..=room).rev().find(|&end| comment.is_char_boundary(end)).unwrap_or(0);
    format!("{} ...", comment.get(..end).unwrap_or_default())
}

/// Hosts in hash sets, networks in interval sets, each family for itself.
fn source_sets(cluster: &Cluster, label: &str, sources: &[Named<'_>]) -> Vec<Set> {
    let (hosts, networks): (Vec<&Named<'_>>, Vec<&Named<'_>>) =
        sources.iter().partition(|source| source.network.is_host());
    let mut sets = family_sets(cluster, label, &hosts, true);
    sets.extend(family_sets(cluster, &format!("{label}_nets"), &networks, false));
    sets
}

fn interval_sets(cluster: &Cluster, label: &str, sources: &[Named<'_>]) -> Vec<Set> {
    family_sets(cluster, label, &sources.iter().collect::<Vec<_>>(), false)
}

fn family_sets(cluster: &Cluster, label: &str, sources: &[&Named<'_>], hash: bool) -> Vec<Set> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        match (source.network.first(), source.network.last()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => v4.push((a.to_bits(), b.to_bits(), index)),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6.push((a.to_bits(), b.to_bits(), index)),
            // A network has one family.
            _ => {}
        }
    }
    let mut sets = Vec::new();
    let mut add = |suffix: &str, (elements, kept): (Elements, Vec<usize>)| {
        if elements.is_empty() {
            return;
        }
        let kind = if hash { SetKind::Hash { size: Some(room_for(elements.len())) } } else { SetKind::Interval };
        let origin = |&index: &usize| {
            sources.get(index).map(|source| format!("{}, {}", source.name, cluster.place(source.span)))
        };
        let origins = if kept.len() <= ORIGINS_UP_TO { kept.iter().filter_map(origin).collect() } else { Vec::new() };
        sets.push(Set { name: format!("{label}{suffix}"), kind, elements, origins });
    };
    let (ranges, kept) = disjoint(v4);
    add("4", (Elements::Ipv4(ranges), kept));
    let (ranges, kept) = disjoint(v6);
    add("6", (Elements::Ipv6(ranges), kept));
    sets
}

/// Sorts networks and leaves out those inside another. Networks are nested or apart, so nothing else can overlap.
fn disjoint<T: Copy + Ord>(mut ranges: Vec<(T, T, usize)>) -> (Vec<(T, T)>, Vec<usize>) {
    // Of two that begin together the wider comes first, of two equal ones the one named first.
    ranges.sort_unstable_by(|a, b| (a.0, b.1, a.2).cmp(&(b.0, a.1, b.2)));
    let mut outermost: Option<T> = None;
    ranges.retain(|&(_, last, _)| {
        let outside = outermost.is_none_or(|outermost| last > outermost);
        if outside {
            outermost = Some(last);
        }
        outside
    });
    (
        ranges.iter().map(|&(first, last, _)| (first, last)).collect(),
        ranges.iter().map(|&(_, _, index)| index).collect(),
    )
}

/// A hash set refuses elements beyond its size (ENFILE): room for a quarter more before it must be replaced.
fn room_for(elements: usize) -> u32 {
    const SMALLEST: u32 = 64;
    u32::try_from(elements + elements / 4).unwrap_or(u32::MAX / 2).next_power_of_two().max(SMALLEST)
}
