//! The ports that packets are sent to.

use std::collections::BTreeSet;

use super::named::Named;
use super::sources::evenly;
use crate::cluster::Site;
use crate::net::{PortRange, Ports};

/// Each port is tried of services that have so few together.
const EVERY_PORT_UP_TO: u32 = 24;
/// Ranges whose edges are tried, and ports that are nobody's.
const MOST_RANGES: usize = 12;
const MOST_OTHERS: usize = 8;
/// Everybody sends to so many ports of all services; of more to some of each.
const MOST_PORTS: usize = 2_000;
/// So many are tried that only rules name.
const MOST_NAMED: usize = 64;
/// Ports that are mostly nobody's business here.
const UNRELATED: [u16; 4] = [22, 80, 443, 65_000];

/// A service, or whatever is none.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// All of its ports; of whatever is none, those that are tried.
    pub ports: Vec<PortRange>,
    /// Those that everybody sends to.
    pub(super) tried: Vec<u16>,
    /// Those that a rule names, and that are not among these.
    pub(super) named: Vec<u16>,
}

impl Column {
    /// Whether a port is one of its ports.
    pub(super) fn has(&self, port: u16) -> bool {
        self.ports.iter().any(|range| (range.first()..=range.last()).contains(&port))
    }
}

/// The services, and whatever is none. What is left out is told.
pub(super) fn columns(site: &Site<'_>, named: &Named, told: &mut Vec<String>) -> Vec<Column> {
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
        let (name, ports) = (service.service.name().to_owned(), service.ports.ranges().to_vec());
        columns.push(Column { name, ports, tried: tried.into_iter().collect(), named: Vec::new() });
    }
    bound(&mut columns, told);
    outside.retain(|port| *port != 0 && !protected.has(*port));
    let unrelated = UNRELATED.into_iter().find(|port| !protected.has(*port));
    let mut tried: Vec<u16> = evenly(outside.into_iter().collect(), MOST_OTHERS);
    tried.extend(unrelated.filter(|port| !tried.contains(port)));
    tried.sort_unstable();
    columns.push(Column { name: "other ports".to_owned(), ports: singles(&tried), tried, named: Vec::new() });
    add_named(&mut columns, named, told);
    columns
}

/// Of very many ports some of each service, one at least.
fn bound(columns: &mut [Column], told: &mut Vec<String>) {
    let all: usize = columns.iter().map(|column| column.tried.len()).sum();
    if all > MOST_PORTS {
        let each = (MOST_PORTS / columns.len()).max(1);
        columns.iter_mut().for_each(|column| column.tried = evenly(std::mem::take(&mut column.tried), each));
        let taken: usize = columns.iter().map(|column| column.tried.len()).sum();
        told.push(format!("{} of {all} edges and middles of the services' ports", all - taken));
    }
}

/// The ports that only rules name.
fn add_named(columns: &mut [Column], named: &Named, told: &mut Vec<String>) {
    let is_tried = |port: &u16| columns.iter().any(|column| column.tried.contains(port));
    let further: Vec<u16> = named.ports.iter().copied().filter(|port| *port != 0 && !is_tried(port)).collect();
    let all = further.len();
    // Those of services first: what is not guarded is no matter of the cluster file.
    let of_services = |columns: &[Column], port: &u16| columns.iter().rev().skip(1).any(|column| column.has(*port));
    let (guarded, others): (Vec<u16>, Vec<u16>) = further.into_iter().partition(|port| of_services(columns, port));
    let guarded = evenly(guarded, MOST_NAMED);
    let room = MOST_NAMED - guarded.len();
    let others = evenly(others, room);
    let taken = guarded.len() + others.len();
    if taken < all {
        told.push(format!("{} of {all} ports that only rules name", all - taken));
    }
    for port in guarded {
        let column = columns.iter_mut().find(|column| column.has(port));
        column.into_iter().for_each(|column| column.named.push(port));
    }
    if let Some(last) = columns.last_mut() {
        last.named = others;
        let mut shown = [last.tried.as_slice(), &last.named].concat();
        shown.sort_unstable();
        last.ports = singles(&shown);
    }
}

fn singles(ports: &[u16]) -> Vec<PortRange> {
    let ports: Ports = ports.iter().filter_map(|port| PortRange::single(*port)).collect();
    ports.ranges().to_vec()
}
