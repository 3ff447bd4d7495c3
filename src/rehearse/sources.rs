//! Who sends: everybody whom the cluster file names, at the edges of what it names, and who is none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::named::Named;
use crate::cluster::{Client, Node, Site};
use crate::host::links::Link;
use crate::net::Cidr;

/// Of more places than that some are left out, evenly; of each that is kept its edges are.
const MOST_PLACES: usize = 1200;
/// Of private and of untrusted networks, and of those that only rules name, this part of it.
const SHARE: usize = 4;
/// So many addresses the host has.
const MOST_OWN: usize = 24;
/// So many names stand in a row.
const MOST_NAMES: usize = 2;

/// Whose an address is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A peer's, who may be a client, too.
    Peer(String),
    /// A client's, or of several.
    Client(String),
    /// In a private network, and nobody's.
    Private(String),
    /// In an untrusted network.
    Untrusted(String),
    /// Nobody's.
    Others,
    /// The host's own, which somebody else sends from.
    Own,
    /// A loopback address, likewise.
    Loopback,
}

impl Who {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Peer(names) | Self::Client(names) => names.clone(),
            Self::Private(network) => format!("others in private {network}"),
            Self::Untrusted(network) => format!("untrusted {network}"),
            Self::Others => "everyone else".to_owned(),
            Self::Own => "spoofed: this host's own".to_owned(),
            Self::Loopback => "spoofed: loopback".to_owned(),
        }
    }
}

/// The addresses to send from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Each once.
    pub all: Vec<(IpAddr, Who)>,
    /// How many peers and networks of clients there are.
    pub places: usize,
    /// Of how many of these the addresses are.
    pub taken: usize,
    /// How many networks only rules name, and of how many of these the addresses are.
    pub further: (usize, usize),
}

/// The addresses that the host has: those of the nodes that it is, those of its interfaces where these are given, and for a family in
/// which these have none one that nobody has. What is left out is told.
pub fn of_host(site: &Site<'_>, links: &[Link], told: &mut Vec<String>) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = Vec::new();
    if site.is_of_nodes() {
        own.extend(site.nodes().into_iter().flat_map(Node::addresses).map(|(address, _)| address));
    }
    // Those of one link are the kernel's to give.
    let is_local = |own: &IpAddr| own.is_loopback() || matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
    let of_links = links.iter().flat_map(|link| link.addresses.iter().copied());
    let of_links: BTreeSet<IpAddr> = of_links.filter(|address| !is_local(address)).collect();
    let all = of_links.len();
    if all > MOST_OWN {
        told.push(format!("{} of {all} addresses of this host", all - MOST_OWN));
    }
    own.extend(evenly(of_links.into_iter().collect(), MOST_OWN));
    let named = named(site);
    // For tests of networks, and for documentation (RFC 2544, 5737, 3849).
    let spare4 = [[198, 18, 0, 1], [198, 19, 77, 1], [192, 0, 2, 201], [203, 0, 113, 201]].map(IpAddr::from);
    let spare6 = [0xffff, 0xfffd, 0x77].map(|part| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, part, 0, 0, 0, 0, 1)));
    for spare in [spare4.as_slice(), &spare6] {
        let is_free = |address: &&IpAddr| !named.iter().any(|network| network.has(**address));
        let chosen = spare.iter().find(is_free).or(spare.first());
        if let Some(chosen) = chosen.filter(|chosen| !own.iter().any(|own| own.is_ipv4() == chosen.is_ipv4())) {
            own.push(*chosen);
        }
    }
    // IPv4 first, each once.
    own.sort_by_key(IpAddr::is_ipv6);
    let mut seen = BTreeSet::new();
    own.retain(|address| seen.insert(*address));
    own
}

/// Every network that the file names.
pub(super) fn named(site: &Site<'_>) -> Vec<Cidr> {
    let cluster = site.cluster();
    let nodes = cluster.nodes().iter().flat_map(Node::addresses).map(|(address, _)| Cidr::host(address));
    let clients = cluster.clients().iter().flat_map(Client::from);
    let others = cluster.private().iter().chain(cluster.untrusted());
    nodes.chain(clients.chain(others).map(|source| source.network)).collect()
}

/// The addresses to send from to a host with addresses of its own, and with rules that ask for networks: about as many as `most`.
/// Of more, whole places are left out, so that each that is tried is tried at its edges.
pub(super) fn sources(site: &Site<'_>, own: &[IpAddr], named: &Named, most: usize) -> Sources {
    let cluster = site.cluster();
    let nodes = cluster.nodes().iter().flat_map(Node::addresses).map(|(address, _)| Cidr::host(address));
    let clients = cluster.clients().iter().flat_map(Client::from).map(|source| source.network);
    let places: BTreeSet<Cidr> = nodes.chain(clients).collect();
    let places: Vec<Cidr> = places.into_iter().collect();
    let known: BTreeSet<Cidr> = self::named(site).into_iter().collect();
    // What rules name together with something else is sent together, which takes a sender there.
    let together: BTreeSet<Cidr> = named.rules.iter().flat_map(|rule| rule.networks.iter().copied()).collect();
    let is_further = |network: &Cidr| !known.contains(network);
    let alone = named.networks.iter().copied().filter(|network| is_further(network) && !together.contains(network));
    let alone: BTreeSet<Cidr> = alone.collect();
    let further = [together.into_iter().filter(is_further).collect(), alone.into_iter().collect::<Vec<Cidr>>()];
    let mut room = MOST_PLACES;
    let (all, taken, room) = loop {
        let kept = evenly(places.clone(), room);
        let taken = kept.len();
        let chosen = of_further(&further, room / SHARE);
        let all = addresses(site, own, kept, chosen, room);
        if all.len() <= most || room < 8 {
            break (all, taken, room);
        }
        room = room * 3 / 4;
    };
    let names = Names::of(site);
    let all = all.into_iter().map(|address| (address, names.who(address, own, site))).collect();
    let count: usize = further.iter().map(Vec::len).sum();
    let further = (count, count.min(room / SHARE));
    Sources { all, places: places.len(), taken, further }
}

/// Of the networks that only rules name so many: half of them, at least, for what rules name together with something else.
fn of_further([together, alone]: &[Vec<Cidr>; 2], most: usize) -> Vec<Cidr> {
    let room = most.saturating_sub(alone.len()).max(most / 2);
    let mut chosen = evenly(together.clone(), room);
    let room = most.saturating_sub(chosen.len());
    chosen.extend(evenly(alone.clone(), room));
    chosen
}

fn addresses(site: &Site<'_>, own: &[IpAddr], kept: Vec<Cidr>, further: Vec<Cidr>, room: usize) -> BTreeSet<IpAddr> {
    let cluster = site.cluster();
    let some = |list: Vec<Cidr>| evenly(list, room / SHARE);
    let private = some(cluster.private().iter().map(|own| own.network).collect());
    let untrusted = some(cluster.untrusted().iter().map(|own| own.network).collect());
    let mut all: BTreeSet<IpAddr> = own.iter().copied().collect();
    all.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    all.extend(private.iter().filter_map(|network| stranger(*network, site)));
    let networks = [kept, private, untrusted, further].concat();
    all.extend(networks.into_iter().flat_map(edges));
    // From the internet, and documentation networks (RFC 5737, 3849).
    all.extend([[8, 8, 8, 8], [203, 0, 113, 9]].map(IpAddr::from));
    let far = [[0x2001, 0xdb8, 0xbad, 9], [0x2600, 0, 0, 1]];
    all.extend(far.map(|[a, b, c, d]| IpAddr::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, d))));
    all
}

/// At most so many of a list: the first and the last always, where there may be two.
pub fn evenly<T>(list: Vec<T>, most: usize) -> Vec<T> {
    let count = list.len();
    if count <= most {
        return list;
    }
    if most < 2 {
        return list.into_iter().take(most).collect();
    }
    let wanted: BTreeSet<usize> = (0..most).map(|at| at * (count - 1) / (most - 1)).collect();
    list.into_iter().enumerate().filter(|(at, _)| wanted.contains(at)).map(|(_, one)| one).collect()
}

/// The first, a middle and the last address of a network, and those just outside.
fn edges(network: Cidr) -> impl Iterator<Item = IpAddr> {
    let [_, upper] = network.halves();
    let inside = [network.first(), upper.first(), network.last()];
    let outside = [stepped(network.first(), false), stepped(network.last(), true)];
    inside.into_iter().chain(outside.into_iter().flatten())
}

fn stepped(address: IpAddr, up: bool) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(own) => {
            let bits = own.to_bits();
            IpAddr::from(Ipv4Addr::from_bits(if up { bits.checked_add(1) } else { bits.checked_sub(1) }?))
        }
        IpAddr::V6(own) => {
            let bits = own.to_bits();
            IpAddr::from(Ipv6Addr::from_bits(if up { bits.checked_add(1) } else { bits.checked_sub(1) }?))
        }
    })
}

/// Somebody in a private network whom the file does not name.
fn stranger(network: Cidr, site: &Site<'_>) -> Option<IpAddr> {
    const TRIES: usize = 4096;
    let cluster = site.cluster();
    let nodes = cluster.nodes().iter().flat_map(Node::addresses).map(|(address, _)| Cidr::host(address));
    let clients = cluster.clients().iter().flat_map(Client::from);
    let named: Vec<Cidr> = nodes.chain(clients.chain(cluster.untrusted()).map(|source| source.network)).collect();
    let mut next = stepped(network.first(), true);
    for _ in 0..TRIES {
        let address = next.filter(|address| network.has(*address))?;
        match named.iter().find(|own| own.has(address)) {
            None => return Some(address),
            Some(own) => next = stepped(own.last(), true),
        }
    }
    None
}

/// Whose addresses are, where they stand alone.
struct Names<'a> {
    peers: BTreeMap<IpAddr, BTreeSet<&'a str>>,
}

impl<'a> Names<'a> {
    fn of(site: &Site<'a>) -> Self {
        let mut peers: BTreeMap<IpAddr, BTreeSet<&'a str>> = BTreeMap::new();
        for part in site.parts() {
            for (address, _) in part.cluster().nodes().iter().flat_map(Node::addresses) {
                peers.entry(address).or_default().insert(part.cluster().peers());
            }
        }
        Self { peers }
    }

    fn who(&self, address: IpAddr, own: &[IpAddr], site: &Site<'_>) -> Who {
        if own.contains(&address) {
            return Who::Own;
        }
        if address.is_loopback() {
            return Who::Loopback;
        }
        let cluster = site.cluster();
        if let Some(source) = cluster.untrusted().iter().find(|source| source.network.has(address)) {
            return Who::Untrusted(source.network.to_string());
        }
        let peers = self.peers.get(&address).into_iter().flatten().map(|name| (*name).to_owned());
        let clients =
            cluster.clients().iter().filter(|client| client.from().iter().any(|own| own.network.has(address)));
        let names: Vec<String> = peers.chain(clients.map(|client| format!("client {}", client.name()))).collect();
        if !names.is_empty() {
            let is_peer = self.peers.contains_key(&address);
            let more = names.len().saturating_sub(MOST_NAMES);
            let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(" + ");
            let shown = if more == 0 { shown } else { format!("{shown} + {more} more") };
            return if is_peer { Who::Peer(shown) } else { Who::Client(shown) };
        }
        match cluster.private().iter().find(|source| source.network.has(address)) {
            Some(source) => Who::Private(source.network.to_string()),
            None => Who::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_inside_and_just_outside() {
        let found = |text: &str| -> Vec<String> {
            let all: BTreeSet<IpAddr> = edges(text.parse().unwrap()).collect();
            all.into_iter().map(|address| address.to_string()).collect()
        };
        assert_eq!(found("10.0.0.0/24"), ["9.255.255.255", "10.0.0.0", "10.0.0.128", "10.0.0.255", "10.0.1.0"]);
        assert_eq!(found("10.0.0.7/32"), ["10.0.0.6", "10.0.0.7", "10.0.0.8"]);
        assert_eq!(found("0.0.0.0/0"), ["0.0.0.0", "128.0.0.0", "255.255.255.255"]);
        assert_eq!(found("::/0").len(), 3);
    }

    #[test]
    fn of_what_only_rules_name_both_kinds_are_taken() {
        let some = |first: u32, count: u32| -> Vec<Cidr> {
            (first..first + count).map(|at| Cidr::host(IpAddr::from(Ipv4Addr::from_bits(at)))).collect()
        };
        let chosen = |together, alone| {
            let chosen = of_further(&[some(0, together), some(1 << 24, alone)], 100);
            let of_both =
                chosen.iter().filter(|network| network.first() < IpAddr::from(Ipv4Addr::new(1, 0, 0, 0))).count();
            (of_both, chosen.len() - of_both)
        };
        assert_eq!(
            (chosen(900, 900), chosen(900, 20), chosen(20, 900), chosen(3, 4)),
            ((50, 50), (80, 20), (20, 80), (3, 4))
        );
    }

    #[test]
    fn of_many_the_first_and_the_last_are_kept() {
        let some = evenly((0..1000).collect::<Vec<u32>>(), 10);
        assert_eq!((some.len(), some.first(), some.last()), (10, Some(&0), Some(&999)));
        assert_eq!(evenly(vec![1, 2], 10), [1, 2]);
        assert_eq!((evenly(vec![1, 2, 3], 1), evenly(vec![1, 2, 3], 0)), (vec![1], vec![]));
    }
}
