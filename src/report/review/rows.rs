//! The rows of a review: whose sources, how many, where the file names them, and their cells.

use std::collections::HashMap;
use std::net::IpAddr;

use super::decides::Decides;
use super::words::plain;
use super::{Cell, Fate, Kind, Named, Observed, Rehearsal, Row};
use crate::cluster::{Client, Cluster, Node, Site, SitePart, Source};
use crate::net::{Cidr, Interface};
use crate::report::claims::Finding;
use crate::verify::{self, Held, Matrix, On, Whose};

/// The most clients with a row of their own.
const APART: usize = 64;
/// The most sources that are named in all rows together.
pub(super) const MOST_NAMED: usize = 20_000;
/// The most networks of one source that are named.
const MOST_NETWORKS: usize = 64;

/// Ascending ranges of addresses.
type Ranges = Vec<(IpAddr, IpAddr)>;

/// The rows of a matrix whose columns begin with these ports.
pub(super) fn rows(
    site: &Site<'_>,
    matrix: &Matrix,
    ports: &[u16],
    (decides, rehearsals): (&mut Decides<'_>, &[Rehearsal]),
) -> Vec<Row> {
    let told = |row: &verify::Row| (told(site, row, ports, decides), row.sources.clone());
    let together = put_together(matrix.rows.iter().map(told).collect());
    let guarded = || site.services().iter().filter(|own| own.service.is_guarded());
    let services: Vec<String> = guarded().map(|own| plain(own.service.name())).collect();
    let mut rows: Vec<Row> =
        together.into_iter().map(|(row, ranges)| seen(row, &ranges, &services, rehearsals)).collect();
    name_no_more_than(MOST_NAMED, &mut rows);
    rows
}

/// A row with what rehearsals have shown of it.
fn seen(mut row: Row, ranges: &[(IpAddr, IpAddr)], services: &[String], rehearsals: &[Rehearsal]) -> Row {
    let observed = |row: &Row, service: &String| {
        rehearsals.iter().map(|own| own.of_cell(row, ranges, service)).reduce(Observed::and).filter(|own| own.tried > 0)
    };
    let all: Vec<Option<Observed>> = services.iter().map(|service| observed(&row, service)).collect();
    for (cell, observed) in row.cells.iter_mut().zip(all) {
        cell.rehearsed = observed;
    }
    row
}

fn told(site: &Site<'_>, row: &verify::Row, ports: &[u16], decides: &mut Decides<'_>) -> Row {
    let cell = |(cell, port): (&verify::Cell, &u16)| Cell {
        found: Fate::of(cell.found),
        wanted: Fate::of(cell.wanted),
        shown: match cell.held {
            Held::Proved => Finding::Proved,
            Held::Violated => Finding::Violated,
            Held::OnPurpose => Finding::OnPurpose,
            Held::Undecided => Finding::Undecided,
        },
        rule: decides.number(row, cell, *port),
        packet: cell.witness.as_ref().map(|witness| plain(&witness.packet.to_string())),
        rehearsed: None,
    };
    let cells = row.cells.iter().zip(ports).map(cell).collect();
    let names = |list: &[Interface]| list.iter().map(|name| plain(name.as_str())).collect();
    let (interfaces, other_interfaces) = match &row.on {
        On::Any => (Vec::new(), false),
        On::These(list) => (names(list), false),
        On::AllBut(list) => (names(list), true),
    };
    let (kind, sources) = named(site, row);
    Row {
        kind,
        who: who(site, row),
        sources,
        more: 0,
        family: if row.ipv4 { "IPv4" } else { "IPv6" },
        interfaces,
        other_interfaces,
        addresses: addresses(row.sources.clone()),
        cells,
    }
}

impl Fate {
    fn of(fare: verify::Fare) -> Self {
        match fare {
            verify::Fare::Admitted => Self::Admitted,
            verify::Fare::Blocked => Self::Blocked,
            verify::Fare::Elsewhere => Self::BlockedElsewhere,
            verify::Fare::SomeAdmitted => Self::SomeAdmitted,
            verify::Fare::SomeBlocked => Self::SomeBlocked,
            verify::Fare::Mixed => Self::Mixed,
            verify::Fare::Undecided => Self::Undecided,
        }
    }
}

/// How many addresses there are in ranges, each counted once, in decimal digits.
fn addresses(mut ranges: Ranges) -> String {
    ranges.sort_unstable();
    let (mut all, mut last) = (Some(0_u128), None);
    for (from, to) in ranges {
        let after = last.filter(|last: &IpAddr| last.is_ipv4() == from.is_ipv4());
        if after.is_none_or(|last| last < to) {
            let count = match after.filter(|last| *last >= from) {
                Some(last) => bits(to).checked_sub(bits(last)),
                None => bits(to).saturating_sub(bits(from)).checked_add(1),
            };
            all = all.and_then(|all| all.checked_add(count?));
            last = Some(to);
        }
    }
    // All of IPv6 is one more than fits.
    all.map_or_else(|| "340282366920938463463374607431768211456".to_owned(), |all| all.to_string())
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(own) => u128::from(own.to_bits()),
        IpAddr::V6(own) => own.to_bits(),
    }
}

/// The same in a few words.
fn who(site: &Site<'_>, row: &verify::Row) -> String {
    let part = |at: usize| site.parts().get(at).map(SitePart::cluster);
    let words = match &row.who {
        Whose::Peers(at) => part(*at).map_or_else(|| "peers".to_owned(), |cluster| cluster.peers().to_owned()),
        Whose::Client(at, client) => {
            let client = part(*at).and_then(|cluster| cluster.clients().get(*client));
            client.map_or_else(|| "client".to_owned(), |client| format!("client {}", client.name()))
        }
        Whose::Private(network) => format!("others in private {network}"),
        Whose::Untrusted(network) => format!("untrusted {network}"),
        Whose::Others => "everyone else".to_owned(),
    };
    plain(&words)
}

/// Who is in a row.
fn named(site: &Site<'_>, row: &verify::Row) -> (Kind, Vec<Named>) {
    let of_family = |network: &Cidr| network.is_ipv4() == row.ipv4;
    let part = |at: usize| site.parts().get(at).map(SitePart::cluster);
    match &row.who {
        Whose::Peers(at) => (Kind::Peers, part(*at).map(|cluster| nodes(cluster, row.ipv4)).unwrap_or_default()),
        Whose::Client(at, client) => {
            let of = |cluster: &Cluster| {
                cluster.clients().get(*client).map(|client| named_client(cluster, client, of_family))
            };
            (Kind::Client, part(*at).and_then(of).into_iter().collect())
        }
        Whose::Private(network) => (Kind::Private, vec![named_network(site, *network, Cluster::private)]),
        Whose::Untrusted(network) => (Kind::Untrusted, vec![named_network(site, *network, Cluster::untrusted)]),
        Whose::Others => (Kind::Others, Vec::new()),
    }
}

fn nodes(cluster: &Cluster, ipv4: bool) -> Vec<Named> {
    let own = |node: &Node| {
        let list = node.addresses().filter(move |(address, _)| address.is_ipv4() == ipv4);
        let networks: Vec<String> = list.map(|(address, _)| address.to_string()).collect();
        let place = plain(&cluster.place(node.span()));
        (!networks.is_empty()).then(|| Named::of(node.name(), networks, place))
    };
    cluster.nodes().iter().filter_map(own).take(MOST_NAMED).collect()
}

fn named_client(cluster: &Cluster, client: &Client, of_family: impl Fn(&Cidr) -> bool) -> Named {
    let networks = client.from().iter().map(|source| source.network).filter(|network| of_family(network));
    Named::of(
        client.name(),
        networks.map(|network| network.to_string()).collect(),
        plain(&cluster.place(client.span())),
    )
}

fn named_network(site: &Site<'_>, network: Cidr, of: fn(&Cluster) -> &[Source]) -> Named {
    let places = site.parts().iter().filter_map(|part| {
        let own = of(part.cluster()).iter().find(|source| source.network == network)?;
        Some(part.cluster().place(own.span))
    });
    let places: Vec<String> = places.collect();
    Named::of(&network.to_string(), vec![network.to_string()], plain(&places.join("; ")))
}

impl Named {
    fn of(name: &str, mut networks: Vec<String>, place: String) -> Self {
        let more = networks.len().saturating_sub(MOST_NETWORKS);
        networks.truncate(MOST_NETWORKS);
        Self { name: plain(name), networks, more, place }
    }
}

/// Of very many clients those are put into one row that fare alike, by the same rules. What is not proved shows the packet of the first who
/// has one.
fn put_together(rows: Vec<(Row, Ranges)>) -> Vec<(Row, Ranges)> {
    let is_client = |row: &Row| row.kind == Kind::Client;
    if rows.iter().filter(|(row, _)| is_client(row)).count() <= APART {
        return rows;
    }
    type Alike = (&'static str, Vec<String>, bool, Vec<Cell>);
    let mut places: HashMap<Alike, usize> = HashMap::new();
    let mut together: Vec<(Row, Ranges)> = Vec::new();
    for (row, ranges) in rows {
        if !is_client(&row) {
            together.push((row, ranges));
            continue;
        }
        let alike = (row.family, row.interfaces.clone(), row.other_interfaces, row.cells.iter().map(kind).collect());
        match places.get(&alike).and_then(|at| together.get_mut(*at)) {
            Some((known, own)) => {
                own.extend(ranges);
                known.sources.extend(row.sources);
                known.who = format!("{} clients who fare alike", known.sources.len());
                for (own, cell) in known.cells.iter_mut().zip(row.cells) {
                    if own.packet.is_none() {
                        *own = cell;
                    }
                }
            }
            None => {
                places.insert(alike, together.len());
                together.push((row, ranges));
            }
        }
    }
    let counted = |(row, ranges): (Row, Ranges)| (Row { addresses: addresses(ranges.clone()), ..row }, ranges);
    together.into_iter().map(counted).collect()
}

/// A cell without what is of one of its packets alone.
fn kind(cell: &Cell) -> Cell {
    let rule = cell.rule.filter(|_| cell.shown == Finding::Proved);
    Cell { rule, packet: None, ..cell.clone() }
}

fn name_no_more_than(most: usize, rows: &mut [Row]) {
    let mut left = most;
    for row in rows {
        let named = row.sources.len().min(left);
        row.more += row.sources.len() - named;
        row.sources.truncate(named);
        left -= named;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_once() {
        let count = |ranges: &[(&str, &str)]| {
            let of = |text: &str| text.parse::<IpAddr>().unwrap();
            addresses(ranges.iter().map(|(from, to)| (of(from), of(to))).collect())
        };
        assert_eq!(count(&[]), "0");
        assert_eq!(count(&[("10.0.0.0", "10.0.0.9"), ("10.0.0.0", "10.0.0.9")]), "10");
        assert_eq!(count(&[("10.0.0.5", "10.0.0.14"), ("10.0.0.0", "10.0.0.9"), ("10.0.0.2", "10.0.0.3")]), "15");
        assert_eq!(count(&[("10.0.0.0", "10.0.0.1"), ("10.0.0.2", "10.0.0.2")]), "3");
        let whole = ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(count(&[whole, ("::1", "::2")]), "340282366920938463463374607431768211456");
    }
}
