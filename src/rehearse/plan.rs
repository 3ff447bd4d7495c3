//! Which packets are sent: sources, ports and kinds.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::cables::{Cables, cables};
use super::columns::{Column, columns};
use super::frame::Kind;
use super::further::{targets, theirs};
use super::named::Named;
use super::sources::{Sources, Who, evenly, of_host, sources};
use super::wire::Sent;
use crate::cluster::Site;
use crate::host::links::Link;
use crate::ir::Ruleset;

/// About so many requests go out, twice. Of more, peers and networks are left out.
const MOST_REQUESTS: usize = 90_000;
const MOST_OF_KIND: usize = 8_000;
/// As many packets for what only rules name.
const MOST_FURTHER: usize = 12_000;
/// Each packet is held against each rule: of very many rules fewer packets are sent.
const MOST_STEPS: usize = 400_000_000;
const FEWEST_REQUESTS: usize = 2_000;
/// The kernel keeps first fragments that wait for others only up to four megabytes (net.ipv4.ipfrag_high_thresh).
const MOST_FRAGMENTS: usize = 600;
/// Ports that somebody sends from: one for each kind, none of which anything stands at.
pub(super) const FIRST_SOURCE_PORT: u16 = 40_000;

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
    /// The host's interfaces.
    pub cables: Cables,
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
    /// What else rules name and no packet has, in words.
    pub not_tried: Vec<String>,
}

/// What to send to rehearse these rules at a site; where the host's own interfaces are to be there, with these. `ipv6`: whether there is any.
pub fn plan(site: &Site<'_>, ruleset: &Ruleset, links: &[Link], ipv6: bool) -> Plan {
    let named = Named::of(ruleset);
    let mut not_tried = Vec::new();
    let mut own = of_host(site, links, &mut not_tried);
    own.extend(targets(&named, &own, &theirs(site), &mut not_tried));
    let cables = cables(site, &named, links, &mut not_tried);
    let columns = columns(site, &named, &mut not_tried);
    let all = MOST_REQUESTS.min(MOST_STEPS / named.count.max(1)).max(FEWEST_REQUESTS);
    let share = |of: usize| (of * all / MOST_REQUESTS).max(1);
    let ports: usize = columns.iter().map(|column| column.tried.len()).sum();
    let most = all / (ports * cables.names.len()).max(1);
    let Sources { all: mut senders, places, taken, further } = sources(site, &own, &named, most);
    let (left, all_of_lists) = named.left_out;
    if left > 0 {
        not_tried.push(format!(
            "{left} of {all_of_lists} networks in long sets and lists of rules, but for their edges and some between"
        ));
    }
    if further.1 < further.0 {
        not_tried.push(format!("{} of {} networks that only rules name", further.0 - further.1, further.0));
    }
    senders.retain(|(address, _)| ipv6 || address.is_ipv4());
    let rows: BTreeSet<Row> = senders.iter().flat_map(|(address, who)| rows(*address, who, &cables.names)).collect();
    let mut plan = Plan {
        cables,
        own,
        columns,
        rows: rows.into_iter().collect(),
        shots: Vec::new(),
        sources: senders.len(),
        places: (places, taken),
        not_tried,
    };
    for kind in Kind::ALL {
        plan.add(kind, &senders, share(MOST_OF_KIND));
    }
    plan.add_further(&senders, &named, share(MOST_FURTHER));
    plan
}

impl Plan {
    fn add(&mut self, kind: Kind, all: &[(IpAddr, Who)], most_of_kind: usize) {
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
            Kind::Data | Kind::HopByHop | Kind::DestinationOptions | Kind::Flags | Kind::FromPort => most_of_kind,
        };
        let each = columns.iter().map(|(_, ports)| ports.len()).sum::<usize>() * self.cables.names.len();
        let fit: Vec<&(IpAddr, Who)> = all.iter().filter(|(address, _)| kind.fits(address.is_ipv4())).collect();
        for (address, who) in evenly(fit, (most / each.max(1)).max(2)) {
            let Some(target) = self.own.iter().copied().find(|own| own.is_ipv4() == address.is_ipv4()) else {
                continue;
            };
            let from = SocketAddr::new(*address, FIRST_SOURCE_PORT + kind as u16);
            for (cable, row) in rows(*address, who, &self.cables.names).into_iter().enumerate() {
                let Ok(row) = self.rows.binary_search(&row) else { continue };
                for (column, ports) in &columns {
                    let to = ports.iter().map(|port| SocketAddr::new(target, *port));
                    let shots = to.map(|to| Shot {
                        row,
                        column: *column,
                        sent: Sent { from, to, cable, kind, flags: kind.flags() },
                    });
                    self.shots.extend(shots);
                }
            }
        }
    }
}

/// The rows that an address is in: one for each interface.
pub(super) fn rows(address: IpAddr, who: &Who, cables: &[String]) -> Vec<Row> {
    let several = cables.len() > 1;
    let row =
        |cable: &String| Row { who: who.clone(), ipv6: address.is_ipv6(), interface: several.then(|| cable.clone()) };
    cables.iter().map(row).collect()
}
