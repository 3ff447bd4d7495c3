//! Who is admitted to which ports, over which interfaces: the cluster without its names.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::ORIGINS_UP_TO;
use crate::cluster::{Client, Cluster, Node, Site, SitePart, State};
use crate::diagnostic::Span;
use crate::ir::{Elements, LONGEST_COMMENT, Set, SetKind};
use crate::net::{Cidr, Hosts, Interface, Ports};

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
    /// The same as a part of a name: `peers`, `http-clients`. Where several clusters are guarded no other grant has it.
    pub key: String,
    /// The name of the set of its ports, which only peers have.
    pub port_set: String,
    /// The name of the chain in which its sources are asked for first.
    pub chain: String,
    /// For each of the sets, the names that complete it: services of the peers, clients of a service.
    pub names: Vec<String>,
    /// The ports.
    pub ports: Ports,
    /// Whether these are the peers' ports, which most packets ask for.
    pub peers: bool,
    /// The interfaces; `None` for any.
    pub interfaces: Option<Vec<Interface>>,
    /// The sources: up to four sets, none of them empty.
    pub sources: Vec<Set>,
}

/// A network, whose it is, and where the file names it.
type Named<'a> = (Cidr, &'a str, Span);

impl Admissions {
    pub fn of(site: &Site<'_>) -> Self {
        let mut grants: Vec<Grant> = site.parts().iter().filter_map(peers).collect();
        grants.extend(site.parts().iter().flat_map(clients));
        let cluster = site.cluster();
        let untrusted = || cluster.untrusted().iter().map(|source| (source.network, "untrusted", source.span));
        let untrusted = family_sets(cluster, ("untrusted", ""), untrusted, Part::All);
        if cluster.is_joined() {
            tell_apart(&mut grants);
        }
        Self { protected: site.protected(), grants, untrusted }
    }

    /// How many sources there are in all.
    pub fn source_count(&self) -> usize {
        let sets = self.grants.iter().flat_map(|grant| &grant.sources).chain(&self.untrusted);
        sets.map(|set| set.elements.len()).sum()
    }
}

/// Names of several clusters may be spelt alike once they are put together: each set, chain and key gets one of its own. The same
/// clusters always have the same.
fn tell_apart(grants: &mut [Grant]) {
    let mut taken: [HashSet<String>; 3] = Default::default();
    let mut only = |list: usize, name: &mut String| {
        let Some(taken) = taken.get_mut(list) else { return };
        let plain = name.clone();
        for number in 2_u32.. {
            // Some of the programs that take them tell no capitals apart.
            if taken.insert(name.to_ascii_lowercase()) {
                break;
            }
            *name = format!("{plain}_{number}");
        }
    };
    let [sets, keys, chains] = [0, 1, 2];
    for own in ["protected", "untrusted4", "untrusted6"] {
        only(sets, &mut own.to_owned());
    }
    for own in ["block", "admit", "to_this_host", "hidden", "judge", "translated", "ports", "prerouting", "input"] {
        only(chains, &mut own.to_owned());
    }
    for grant in grants {
        grant.sources.iter_mut().for_each(|set| only(sets, &mut set.name));
        if grant.peers {
            only(sets, &mut grant.port_set);
            only(chains, &mut grant.chain);
        }
        only(keys, &mut grant.key);
    }
}

/// What a name gets behind it where several clusters are guarded together.
fn tagged(cluster: &Cluster, between: &str) -> String {
    cluster.tag().map(|tag| format!("{between}{tag}")).unwrap_or_default()
}

fn peers<'a>(site: &SitePart<'a>) -> Option<Grant> {
    let open = |state| state == State::Open;
    let services: Vec<_> = site.services().iter().filter(|s| open(s.service.state()) && s.service.peers()).collect();
    let ports: Ports = services.iter().flat_map(|service| service.ports.ranges().iter().copied()).collect();
    if ports.is_empty() {
        return None;
    }
    let names: Vec<&str> = services.iter().map(|service| service.service.name()).collect();
    let named = |node: &'a Node| node.addresses().map(|(a, span)| (Cidr::host(a), node.name(), span));
    let sources = || site.cluster().nodes().iter().flat_map(named);
    let cluster = site.cluster();
    let label = format!("peers{}", tagged(cluster, "_"));
    let hosts = site.hosts();
    // Of many nobody is told where each comes from.
    let many = |count: usize| count == 0 || count > ORIGINS_UP_TO;
    let sources = match many(hosts.v4().len()) && many(hosts.v6().len()) {
        true => host_sets(&label, hosts),
        false => source_sets(cluster, &label, "", sources),
    };
    Some(Grant {
        what: cluster.peers().to_owned(),
        key: format!("peers{}", tagged(cluster, "-")),
        port_set: format!("peer_ports{}", tagged(cluster, "_")),
        chain: format!("peers{}", tagged(cluster, "_")),
        names: vec![names.join(", "); sources.len()],
        ports,
        peers: true,
        interfaces: site.interfaces().map(<[Interface]>::to_vec),
        sources,
    })
}

/// One grant for each service and each choice of interfaces: however many clients there are, the rules stay few.
fn clients<'a>(site: &SitePart<'a>) -> Vec<Grant> {
    let cluster = site.cluster();
    let mut grants = Vec::new();
    for service in site.services().iter().filter(|service| service.service.state() == State::Open) {
        let mut groups: Vec<(Option<Vec<Interface>>, Vec<&'a Client>)> = Vec::new();
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
            let named = |client: &&'a Client| {
                let client: &'a Client = client;
                client.from().iter().map(|source| (source.network, client.name(), source.span))
            };
            let sources = || members.iter().flat_map(named);
            let name = service.service.name();
            let plain = service.service.plain_name();
            let sources = source_sets(cluster, &format!("{plain}_clients{}", tagged(cluster, "_")), &on, sources);
            let on = interfaces.iter().flatten().map(|interface| format!("-{interface}")).collect::<String>();
            grants.push(Grant {
                what: format!("clients of {name}"),
                key: format!("{plain}-clients{}{on}", tagged(cluster, "-")),
                port_set: String::new(),
                chain: String::new(),
                names: sources.iter().map(|set| names_in(set, &members)).collect(),
                ports: service.ports.clone(),
                peers: false,
                sources,
                interfaces,
            });
        }
    }
    grants
}

/// The clients of which something is in a set: hosts and networks, IPv4 and IPv6 each have one of their own.
fn names_in(set: &Set, members: &[&Client]) -> String {
    let hosts = matches!(set.kind, SetKind::Hash { .. });
    let v4 = matches!(set.elements, Elements::Ipv4(_));
    let is_in = |network: Cidr| network.is_host() == hosts && network.is_ipv4() == v4;
    let members = members.iter().filter(|client| client.from().iter().any(|source| is_in(source.network)));
    members.map(|client| client.name()).collect::<Vec<_>>().join(", ")
}

impl Grant {
    /// The sets, each with what the rules say about it.
    pub fn commented(&self) -> impl Iterator<Item = (&Set, String)> {
        let comment = |names: &String| clip(&format!("reachability: {}: {names}", self.what));
        self.sources.iter().zip(self.names.iter().map(comment))
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

/// What a rule says of one source: `beginning`, whose it is and where the file names it. Where a long name does not fit, the place
/// is kept, and the beginning of the name with what tells it from all others that begin alike.
pub fn clip_origin(beginning: &str, origin: &str) -> String {
    let whole = format!("{beginning}{origin}");
    if whole.len() <= LONGEST_COMMENT {
        return whole;
    }
    let (name, place) = origin.rsplit_once(", ").unwrap_or((origin, ""));
    let digest: String = Sha256::digest(name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let end = format!("...#{digest}{}{place}", if place.is_empty() { "" } else { ", " });
    // A place is the base name of a file, which `base_name` cuts, and a line.
    let room = LONGEST_COMMENT.saturating_sub(beginning.len() + end.len());
    let cut = (0..=room.min(name.len())).rev().find(|&cut| name.is_char_boundary(cut)).unwrap_or(0);
    clip(&format!("{beginning}{}{end}", name.get(..cut).unwrap_or_default()))
}

/// Hosts in hash sets, networks in interval sets, each family for itself. `sources` lists them as often as it is asked.
fn source_sets<'a, I>(cluster: &Cluster, label: &str, on: &str, sources: impl Fn() -> I) -> Vec<Set>
where
    I: Iterator<Item = Named<'a>>,
{
    let mut sets = family_sets(cluster, (label, on), &sources, Part::Hosts);
    sets.extend(family_sets(cluster, (&format!("{label}_nets"), on), &sources, Part::Networks));
    sets
}

/// The same of hosts, without where they come from.
fn host_sets(label: &str, hosts: &Hosts) -> Vec<Set> {
    let set = |elements: Elements| {
        let suffix = if elements.is_ipv4() == Some(true) { "4" } else { "6" };
        let kind = SetKind::Hash { size: Some(room_for(elements.len())) };
        Set { name: format!("{label}{suffix}"), kind, elements, origins: Vec::new() }
    };
    Elements::of_hosts(hosts).map(set).collect()
}

/// Which of some sources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Hosts,
    Networks,
    All,
}

impl Part {
    fn has(self, network: Cidr) -> bool {
        match self {
            Self::Hosts => network.is_host(),
            Self::Networks => !network.is_host(),
            Self::All => true,
        }
    }
}

fn family_sets<'a, I>(cluster: &Cluster, name: (&str, &str), sources: impl Fn() -> I, part: Part) -> Vec<Set>
where
    I: Iterator<Item = Named<'a>>,
{
    let (label, on) = name;
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (index, (network, ..)) in sources().enumerate().filter(|(_, (network, ..))| part.has(*network)) {
        match (network.first(), network.last()) {
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
        let size = Some(room_for(elements.len()));
        let kind = if part == Part::Hosts { SetKind::Hash { size } } else { SetKind::Interval };
        let origins = if kept.len() <= ORIGINS_UP_TO { origins(cluster, &sources, &kept) } else { Vec::new() };
        sets.push(Set { name: format!("{label}{suffix}{on}"), kind, elements, origins });
    };
    let (ranges, kept) = disjoint(v4);
    add("4", (Elements::Ipv4(ranges), kept));
    let (ranges, kept) = disjoint(v6);
    add("6", (Elements::Ipv6(ranges), kept));
    sets
}

/// Where some of the sources come from, by their positions.
fn origins<'a, I>(cluster: &Cluster, sources: impl Fn() -> I, positions: &[usize]) -> Vec<String>
where
    I: Iterator<Item = Named<'a>>,
{
    let wanted: HashSet<usize> = positions.iter().copied().collect();
    let named = sources().enumerate().filter(|(index, _)| wanted.contains(index));
    let origins: HashMap<usize, String> =
        named.map(|(index, (_, name, span))| (index, format!("{name}, {}", cluster.place(span)))).collect();
    positions.iter().filter_map(|position| origins.get(position).cloned()).collect()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;

    /// Pods of Kubernetes have names that are alike for more characters than a comment has (node names: up to 255).
    #[test]
    fn a_long_name_is_cut_and_stays_apart_from_others() {
        let name = |number: u32, end: &str| format!("riak@{}{number}.headless.production{end}", "riak-kv-".repeat(20));
        let said: Vec<String> = [(0, ".a"), (1, ".a"), (0, ".b")]
            .map(|(number, end)| {
                clip_origin("reachability: peers: ", &format!("{}, cluster.toml:7", name(number, end)))
            })
            .into();
        let (one, rest) = said.split_first().unwrap();
        for comment in &said {
            assert!(comment.len() <= LONGEST_COMMENT && comment.ends_with(", cluster.toml:7"), "{comment}");
            assert!(comment.starts_with("reachability: peers: riak@riak-kv-riak-kv-"), "{comment}");
        }
        assert!(rest.iter().all(|other| other != one) && rest[0] != rest[1], "{said:?}");
        let short = clip_origin("reachability: peers: ", "riak@10.20.0.11, cluster.toml:7");
        assert_eq!(short, "reachability: peers: riak@10.20.0.11, cluster.toml:7");
    }

    /// Hosts and networks stand in sets of their own, and a remark that names others sends whoever reads it to the wrong line.
    #[test]
    fn a_set_is_said_to_be_of_those_who_are_in_it() {
        let client =
            |name: &str, from: &str| format!("[[client]]\nname = \"{name}\"\nfrom = [{from}]\nservices = [\"http\"]\n");
        let text = format!(
            "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\"]\n[networks]\nprivate = [\"10.0.0.0/24\"]\n\
             [services.distribution]\nports = \"6000\"\n{}{}{}",
            client("web", "\"10.1.0.0/24\", \"10.2.0.0/24\""),
            client("backup", "\"10.3.0.1\", \"10.3.0.2\""),
            client("both", "\"10.4.0.0/24\", \"10.3.0.3\", \"fd00::1\"")
        );
        let cluster = parse("cluster.toml", text, Path::new("")).cluster.unwrap();
        let grants = Admissions::of(&Site::of_every_node(&cluster)).grants;
        let said: Vec<_> = grants.iter().filter(|grant| !grant.peers).flat_map(Grant::commented).collect();
        let said: Vec<String> = said.into_iter().map(|(set, comment)| format!("{} {comment}", set.name)).collect();
        let expected = [
            "http_clients4 reachability: clients of http: backup, both",
            "http_clients6 reachability: clients of http: both",
            "http_clients_nets4 reachability: clients of http: web, both",
        ];
        assert_eq!(said, expected);
    }
}
