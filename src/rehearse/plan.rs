//! Which packets are sent: sources, ports and kinds.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::frame::Kind;
use super::sources::{Sources, Who, evenly, of_host, of_rules, sources};
use super::wire::Sent;
use crate::cluster::Site;
use crate::ir::{Match, Ruleset};
use crate::net::{Interface, PortRange, Ports};
use crate::verify::Claims;

/// Each port is tried of services that have so few together.
const EVERY_PORT_UP_TO: u32 = 24;
/// Ranges whose edges are tried, and ports that are nobody's.
const MOST_RANGES: usize = 12;
const MOST_OTHERS: usize = 8;
/// Interfaces that are made: those on which the file admits somebody, and one more.
const MOST_NAMED: usize = 4;
/// About so many requests go out, twice. Of more, peers and networks are left out.
const MOST_REQUESTS: usize = 90_000;
const MOST_OF_KIND: usize = 8_000;
/// The kernel keeps first fragments that wait for others only up to four megabytes (net.ipv4.ipfrag_high_thresh).
const MOST_FRAGMENTS: usize = 600;
/// Ports that somebody sends from: one for each kind, none of which anything stands at.
const FIRST_SOURCE_PORT: u16 = 40_000;
/// Ports that are mostly nobody's business here.
const UNRELATED: [u16; 4] = [22, 80, 443, 65_000];

/// A service, or whatever is none.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// All of its ports; of whatever is none, those that are tried.
    pub ports: Vec<PortRange>,
    tried: Vec<u16>,
}

/// Sources that are shown together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Whose they are.
    pub who: Who,
    /// Of IPv6.
    pub ipv6: bool,
    /// By which interface they come, where that matters.
    pub interface: Option<String>,
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Its row.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// What is sent.
    pub sent: Sent,
}

/// All that is sent, and to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The host's interfaces; the first has its addresses.
    pub cables: Vec<String>,
    /// The host's addresses.
    pub own: Vec<IpAddr>,
    /// The services, and whatever is none.
    pub columns: Vec<Column>,
    /// Those who send.
    pub rows: Vec<Row>,
    /// What they send.
    pub shots: Vec<Shot>,
    /// How many addresses are tried.
    pub sources: usize,
    /// How many peers and networks of clients there are, and of how many addresses are tried.
    pub places: (usize, usize),
}

/// What to send to rehearse these rules at a site. `ipv6`: whether there is any.
pub fn plan(site: &Site<'_>, ruleset: &Ruleset, ipv6: bool) -> Plan {
    let own = of_host(site);
    let cables = cables(site, ruleset);
    let columns = columns(site);
    let ports: usize = columns.iter().map(|column| column.tried.len()).sum();
    let most = MOST_REQUESTS / (ports * cables.len()).max(1);
    let Sources { mut all, places, taken } = sources(site, &own, of_rules(ruleset), most);
    all.retain(|(address, _)| ipv6 || address.is_ipv4());
    let rows: BTreeSet<Row> = all.iter().flat_map(|(address, who)| rows(*address, who, &cables)).collect();
    let mut plan = Plan {
        cables,
        own,
        columns,
        rows: rows.into_iter().collect(),
        shots: Vec::new(),
        sources: all.len(),
        places: (places, taken),
    };
    for kind in Kind::ALL {
        plan.add(kind, &all);
    }
    plan
}

impl Plan {
    fn add(&mut self, kind: Kind, all: &[(IpAddr, Who)]) {
        let columns: Vec<(usize, Vec<u16>)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let count = if kind == Kind::Request { column.tried.len() } else { 1 };
                (at, column.tried.iter().copied().take(count).collect())
            })
            .collect();
        let most = match kind {
            Kind::Request => usize::MAX,
            Kind::Fragments => MOST_FRAGMENTS,
            Kind::Data | Kind::HopByHop | Kind::DestinationOptions => MOST_OF_KIND,
        };
        let each = columns.iter().map(|(_, ports)| ports.len()).sum::<usize>() * self.cables.len();
        let fit: Vec<&(IpAddr, Who)> = all.iter().filter(|(address, _)| kind.fits(address.is_ipv4())).collect();
        for (address, who) in evenly(fit, (most / each.max(1)).max(2)) {
            let Some(target) = self.own.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4()) else {
                continue;
            };
            let from = SocketAddr::new(*address, FIRST_SOURCE_PORT + kind as u16);
            for (cable, row) in rows(*address, who, &self.cables).into_iter().enumerate() {
                let Ok(row) = self.rows.binary_search(&row) else { continue };
                for (column, ports) in &columns {
                    let to = ports.iter().map(|port| SocketAddr::new(target, *port));
                    let shots = to.map(|to| Shot { row, column: *column, sent: Sent { from, to, cable, kind } });
                    self.shots.extend(shots);
                }
            }
        }
    }
}

/// The rows that an address is in: one for each interface.
fn rows(address: IpAddr, who: &Who, cables: &[String]) -> Vec<Row> {
    let several = cables.len() > 1;
    let row =
        |cable: &String| Row { who: who.clone(), ipv6: address.is_ipv6(), interface: several.then(|| cable.clone()) };
    cables.iter().map(row).collect()
}

/// Interfaces on which the file admits somebody, or that rules name, and one of another name.
fn cables(site: &Site<'_>, ruleset: &Ruleset) -> Vec<String> {
    let claims = Claims::of(site);
    let admitted = claims.admitted().iter().flat_map(|admitted| admitted.interfaces.iter().flatten());
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let of_rules = rules.flat_map(|rule| &rule.matches).flat_map(|own| match own {
        Match::InInterface { names, .. } => names.as_slice(),
        _ => &[],
    });
    let mut names: Vec<String> = Vec::new();
    for name in admitted.chain(of_rules).filter(|name| **name != Interface::loopback()) {
        if names.len() < MOST_NAMED && !names.iter().any(|own| own == name.as_str()) {
            names.push(name.as_str().to_owned());
        }
    }
    let other = ["eth0", "other0", "other1", "other2", "other3", "other4"];
    let free = other.into_iter().find(|name| !names.iter().any(|own| own == name));
    names.extend(free.map(str::to_owned));
    names
}

fn columns(site: &Site<'_>) -> Vec<Column> {
    let protected = site.protected();
    let every = protected.count() <= EVERY_PORT_UP_TO;
    let mut columns: Vec<Column> = Vec::new();
    let mut outside = BTreeSet::new();
    for service in site.services().iter().filter(|service| service.service.is_guarded()) {
        let ranges = evenly(service.ports.ranges().to_vec(), MOST_RANGES);
        let mut tried = BTreeSet::new();
        for range in &ranges {
            let middle = range.first() + (range.last() - range.first()) / 2;
            tried.extend([range.first(), middle, range.last()]);
            outside.extend([range.first().checked_sub(1), range.last().checked_add(1)].into_iter().flatten());
        }
        if every {
            tried.extend(service.ports.each());
        }
        let ports = service.ports.ranges().to_vec();
        columns.push(Column { name: service.service.name().to_owned(), ports, tried: tried.into_iter().collect() });
    }
    outside.retain(|port| *port != 0 && !protected.has(*port));
    let unrelated = UNRELATED.into_iter().find(|port| !protected.has(*port));
    let mut tried: Vec<u16> = evenly(outside.into_iter().collect(), MOST_OTHERS);
    tried.extend(unrelated.filter(|port| !tried.contains(port)));
    tried.sort_unstable();
    let ports: Ports = tried.iter().filter_map(|port| PortRange::single(*port)).collect();
    columns.push(Column { name: "other ports".to_owned(), ports: ports.ranges().to_vec(), tried });
    columns
}
