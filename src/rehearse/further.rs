//! Packets for what only rules name: ports, flags, ports of senders, further addresses of the host. Some senders send them, of each kind
//! at least one; what one rule names together is sent together.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem::discriminant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::frame::{Kind, SYN};
use super::named::{Named, OfRule};
use super::plan::{FIRST_SOURCE_PORT, Plan, Shot, rows};
use super::sources::{Who, evenly};
use super::wire::Sent;
use crate::cluster::Site;
use crate::net::Cidr;

/// So many of a kind are tried.
const MOST_FLAGS: usize = 16;
const MOST_SOURCE_PORTS: usize = 8;
const MOST_TARGETS: usize = 16;
/// So many services get what is not about a port.
const MOST_COLUMNS: usize = 12;
/// So many rules that name a source and something else.
const MOST_RULES: usize = 2_000;

/// All who send, by address.
type Senders<'a> = BTreeMap<IpAddr, &'a Who>;

/// One in each of these networks that is to be an address of the host: rules ask for it as a destination. Peers' and clients' own are
/// theirs. What is left out is told.
pub(super) fn targets(named: &Named, own: &[IpAddr], known: &[Cidr], told: &mut Vec<String>) -> Vec<IpAddr> {
    let further = named.targets.iter().filter(|network| !own.iter().any(|own| network.has(*own)));
    let known: HashSet<&Cidr> = known.iter().collect();
    let (mut found, mut theirs): (BTreeSet<IpAddr>, usize) = (BTreeSet::new(), 0);
    for network in further.filter(|network| usable(network.first()) || usable(network.last())) {
        let [_, upper] = network.halves();
        let inside = [network.first(), network.last(), upper.first()];
        let is_free = |address: &IpAddr| usable(*address) && !known.contains(&Cidr::host(*address));
        match inside.into_iter().find(is_free) {
            Some(address) => _ = found.insert(address),
            None => theirs += 1,
        }
    }
    let all = found.len();
    let found = evenly(found.into_iter().collect(), MOST_TARGETS);
    if found.len() < all {
        told.push(format!("{} of {all} destinations that rules name", all - found.len()));
    }
    if theirs > 0 {
        told.push(format!(
            "{theirs} destinations that rules name and that are peers' or clients': `--node` says whose"
        ));
    }
    found
}

/// Whether a host may have an address, for everybody.
fn usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(own) => {
            !(own.is_unspecified() || own.is_loopback() || own.is_multicast() || own >= Ipv4Addr::new(240, 0, 0, 0))
                && own.octets()[0] != 0
        }
        IpAddr::V6(own) => {
            let local = own.is_unicast_link_local();
            !(own.is_unspecified() || own.is_loopback() || own.is_multicast() || local)
                && own.to_ipv4_mapped().is_none()
                && own != Ipv6Addr::UNSPECIFIED
        }
    }
}

/// The peers' addresses, and those of clients that are one address: none of them is the host's, unless the site says so.
pub(super) fn theirs(site: &Site<'_>) -> Vec<Cidr> {
    super::sources::named(site).into_iter().filter(|network| network.is_host()).collect()
}

impl Plan {
    /// Adds them, about as many as `most`. What is left out is told.
    pub(super) fn add_further(&mut self, all: &[(IpAddr, Who)], named: &Named, most: usize) {
        let mut sent: HashSet<Sent> = self.shots.iter().map(|shot| shot.sent).collect();
        let each: Senders<'_> = all.iter().map(|(address, who)| (*address, who)).collect();
        let firsts: Vec<u16> = evenly(self.columns.clone(), MOST_COLUMNS)
            .iter()
            .filter_map(|column| column.tried.first().copied())
            .collect();
        let ports: Vec<u16> = self.columns.iter().flat_map(|column| column.named.iter().copied()).collect();
        let flags =
            self.few(named.flags.iter().copied().collect(), MOST_FLAGS, "combinations of flags that rules ask for");
        let from: Vec<u16> = named.source_ports.iter().copied().filter(|port| *port != 0).collect();
        let from = self.few(from, MOST_SOURCE_PORTS, "ports that rules name for senders");
        let mut batches: Vec<(Way, Vec<u16>)> = vec![(Way::Usual, ports), (Way::FurtherTargets, firsts.clone())];
        batches.extend(flags.into_iter().map(|flags| (Way::Flags(flags), firsts.clone())));
        batches.extend(from.into_iter().map(|port| (Way::From(port), firsts.clone())));
        let room = most / batches.len().max(1);
        for (way, ports) in batches {
            let senders = representatives(all, room / (ports.len() * self.cables.names.len()).max(1));
            for (address, who) in senders {
                for cable in 0..self.cables.names.len() {
                    for to in self.aims(*address, way) {
                        let shots = ports.iter().map(|port| (way, SocketAddr::new(to, *port)));
                        shots.for_each(|(way, to)| self.put((*address, who), cable, way, to, &mut sent));
                    }
                }
            }
        }
        self.add_rules(&each, named, (&firsts, most), &mut sent);
    }

    /// What one rule names together, of rules that name a source.
    fn add_rules(
        &mut self,
        all: &Senders<'_>,
        named: &Named,
        (firsts, most): (&[u16], usize),
        sent: &mut HashSet<Sent>,
    ) {
        let rules: Vec<&OfRule> = evenly(named.rules.iter().collect(), MOST_RULES);
        let (before, mut done) = (self.shots.len(), 0);
        for rule in rules {
            if self.shots.len() - before > most {
                break;
            }
            let sources: Vec<IpAddr> = rule.networks.iter().map(|network| network.first()).collect();
            done += usize::from(sources.iter().all(|address| all.contains_key(address)));
            for (address, who) in sources.iter().filter_map(|address| Some((*address, *all.get(address)?))) {
                self.add_rule(rule, (address, who), firsts, sent);
            }
        }
        if done < named.rules.len() {
            let left = named.rules.len() - done;
            self.not_tried.push(format!("{left} of {} rules that name sources and something else", named.rules.len()));
        }
    }

    fn add_rule(&mut self, rule: &OfRule, (address, who): (IpAddr, &Who), firsts: &[u16], sent: &mut HashSet<Sent>) {
        let ports = if rule.ports.is_empty() { firsts } else { rule.ports.as_slice() };
        let mut ways: Vec<Way> =
            rule.source_ports.iter().filter(|port| **port != 0).map(|port| Way::From(*port)).collect();
        ways.extend(rule.flags.filter(|flags| *flags != SYN).map(Way::Flags));
        if ways.is_empty() {
            ways.push(Way::Usual);
        }
        let asked: Vec<IpAddr> = self.own.iter().copied().filter(|own| own.is_ipv4() == address.is_ipv4()).collect();
        let fits = |own: &IpAddr| rule.targets.iter().any(|network| network.has(*own));
        let mut aims: Vec<IpAddr> = asked.iter().copied().filter(fits).take(2).collect();
        if aims.is_empty() {
            aims.extend(asked.first());
        }
        let cables = 0..self.cables.names.len();
        let fits = |at: &usize| {
            let name = self.cables.names.get(*at).map_or("", String::as_str);
            rule.devices.is_empty() || rule.devices.iter().any(|device| device.fits(name))
        };
        let cables: Vec<usize> = cables.filter(fits).collect();
        for cable in cables {
            for (to, port) in aims.iter().flat_map(|to| ports.iter().map(move |port| (*to, *port))) {
                for way in ways.iter().filter(|_| port != 0) {
                    self.put((address, who), cable, *way, SocketAddr::new(to, port), sent);
                }
            }
        }
    }

    /// The addresses of the host that such packets go to.
    fn aims(&self, from: IpAddr, way: Way) -> Vec<IpAddr> {
        let own = self.own.iter().copied().filter(|own| own.is_ipv4() == from.is_ipv4());
        match way {
            Way::Usual | Way::Flags(_) | Way::From(_) => own.take(1).collect(),
            Way::FurtherTargets => own.skip(1).collect(),
        }
    }

    fn put(
        &mut self,
        (address, who): (IpAddr, &Who),
        cable: usize,
        way: Way,
        to: SocketAddr,
        sent: &mut HashSet<Sent>,
    ) {
        let (kind, flags, port) = match way {
            Way::Usual | Way::FurtherTargets => (Kind::Request, SYN, FIRST_SOURCE_PORT),
            // Connection tracking is not to take one for a part of another's connection.
            Way::Flags(flags) => (Kind::Flags, flags, FIRST_SOURCE_PORT + 0x100 + u16::from(flags)),
            Way::From(port) => (Kind::FromPort, SYN, port),
        };
        let own = Sent { from: SocketAddr::new(address, port), to, cable, kind, flags };
        let row = rows(address, who, &self.cables.names).into_iter().nth(cable);
        let row = row.and_then(|row| self.rows.binary_search(&row).ok());
        let column = self.columns.iter().position(|column| column.has(to.port()));
        if let (Some(row), Some(column)) = (row, column.or(self.columns.len().checked_sub(1)))
            && sent.insert(own)
        {
            self.shots.push(Shot { row, column, sent: own });
        }
    }

    fn few<T>(&mut self, list: Vec<T>, most: usize, what: &str) -> Vec<T> {
        let all = list.len();
        let list = evenly(list, most);
        if list.len() < all {
            self.not_tried.push(format!("{} of {all} {what}", all - list.len()));
        }
        list
    }
}

/// How it is sent.
#[derive(Clone, Copy)]
enum Way {
    Usual,
    FurtherTargets,
    Flags(u8),
    From(u16),
}

/// Some of all who send: one of each kind and family always, then as many others as there is room for.
fn representatives(all: &[(IpAddr, Who)], most: usize) -> Vec<&(IpAddr, Who)> {
    let (mut kinds, mut names) = (HashSet::new(), HashSet::new());
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for own in all {
        let (address, who) = own;
        if kinds.insert((discriminant(who), address.is_ipv4())) {
            names.insert((who.clone(), address.is_ipv4()));
            first.push(own);
        } else if names.insert((who.clone(), address.is_ipv4())) {
            others.push(own);
        }
    }
    let room = most.saturating_sub(first.len());
    first.extend(evenly(others, room));
    first
}
