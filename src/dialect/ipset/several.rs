//! Sets whose elements have several parts → [`Endpoints`].
//!
//! Any element that fits decides, but where some are excepted (`nomatch`), or are for an interface: there the smallest network does that
//! an address is in (ip_set_hash_gen.h, mtype_test_cidrs). Of `hash:net,iface` a network that is there for another interface alone ends the
//! search, too, so that larger ones do not count (the same, with `multi`; seen on Linux 6.18).
//!
//! What a packet has for a MAC is not known here, and its mark is not followed into sets: such elements are perhaps in the set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::content::Range;
use super::element::told;
use super::networks::without;
use crate::ir::{DeviceName, Elements, Endpoint, Endpoints, Part};
use crate::net::Cidr;

/// So many rows may come of one set: each costs something with every question.
const MOST_ROWS: usize = 256;

/// What the elements of such a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) struct Several {
    /// Their parts.
    pub parts: &'static [Part],
    /// Whether the first and the second address are networks.
    pub networks: [bool; 2],
    /// Whether there may be networks that hold every address.
    pub everything: bool,
}

/// An element, as it was read.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct Tuple {
    pub first: Option<Range>,
    pub second: Option<Range>,
    /// A port of TCP; `Some(None)` where it is one of another protocol that is known.
    pub port: Option<Option<u16>>,
    pub interface: Option<DeviceName>,
    /// A MAC or a mark, with the address as it was written.
    pub other: Option<String>,
    /// It is excepted from larger ones.
    pub excepted: bool,
}

/// Ends of ranges, of IPv4 with 32 bits.
type Ends = (u128, u128);

/// What is in it, and what is excepted from that.
#[derive(Clone, Debug, Default)]
struct Both {
    held: Vec<Ends>,
    excepted: Vec<Ends>,
}

impl Both {
    fn add(&mut self, ends: Ends, excepted: bool) {
        if excepted { self.excepted.push(ends) } else { self.held.push(ends) }
    }

    /// Networks where the smallest decides; `None` where one is both.
    fn left(self, passing: bool) -> Option<Vec<Ends>> {
        // What is excepted from networks may be so no longer.
        if self.excepted.is_empty() || passing {
            return Some(self.held);
        }
        without(self.held.into_iter(), &self.excepted)
    }
}

impl Several {
    /// Those of a type; `None` for a type of which nothing is known, or whose elements have one part that is known.
    pub fn of(kind: &str) -> Option<Self> {
        use Part::{Address, Interface, Mac, Mark, Port};
        let several = |parts, networks, everything| Some(Self { parts, networks, everything });
        match kind {
            "hash:ip,port" | "ipporthash" => several(&[Address, Port], [false, false], false),
            "hash:net,port" => several(&[Address, Port], [true, false], false),
            "hash:ip,port,ip" | "ipportiphash" => several(&[Address, Port, Address], [false, false], false),
            "hash:ip,port,net" | "ipportnethash" => several(&[Address, Port, Address], [false, true], false),
            "hash:net,port,net" => several(&[Address, Port, Address], [true, true], true),
            "hash:net,net" => several(&[Address, Address], [true, true], true),
            "hash:net,iface" => several(&[Address, Interface], [true, false], true),
            "hash:ip,mac" | "bitmap:ip,mac" | "macipmap" => several(&[Address, Mac], [false, false], false),
            "hash:ip,mark" => several(&[Address, Mark], [false, false], false),
            "hash:mac" => several(&[Mac], [false, false], false),
            _ => None,
        }
    }

    pub fn has(self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn addresses(self) -> usize {
        self.parts.iter().filter(|part| **part == Part::Address).count()
    }

    /// Whether such a set takes an element.
    pub fn takes(self, tuple: &Tuple, ipv6: bool) -> bool {
        let address = |range: Option<Range>, network: bool| match range {
            None => true,
            Some(Range::V4((first, last))) => {
                let everything = self.everything || (first, last) != (0, u32::MAX);
                !ipv6 && everything && last != 0 && first <= last && (first == last || network)
            }
            Some(Range::V6((first, last))) => {
                let everything = self.everything || (first, last) != (0, u128::MAX);
                ipv6 && everything && last != 0 && first <= last && (first == last || network)
            }
        };
        let [first, second] = self.networks;
        let is_there = [
            tuple.first.is_some() == (self.addresses() > 0),
            tuple.second.is_some() == (self.addresses() > 1),
            tuple.port.is_some() == self.has(Part::Port),
            tuple.interface.is_some() == self.has(Part::Interface),
            // bitmap:ip,mac takes the MAC of the first packet where none was given.
            tuple.other.is_some() == (self.has(Part::Mac) || self.has(Part::Mark))
                || (tuple.other.is_none() && self.parts == [Part::Address, Part::Mac]),
        ];
        let excepts = !tuple.excepted || first || second;
        is_there.into_iter().all(|is| is) && excepts && address(tuple.first, first) && address(tuple.second, second)
    }

    /// What is in such a set; or what of it cannot be told.
    pub fn endpoints(self, tuples: &[Tuple], ipv6: bool, passing: bool) -> Result<Endpoints, &'static str> {
        let parts = self.parts.to_vec();
        let rows = match self.parts {
            [Part::Address, Part::Interface] => by_interface(tuples, ipv6, passing)?,
            [Part::Address, Part::Port] => by_port(tuples, ipv6, passing)?,
            [Part::Address, ..] if self.addresses() == 2 => self.pairs(tuples, ipv6, passing)?,
            _ => perhaps(tuples, ipv6),
        };
        if rows.len() > MOST_ROWS {
            return Err("more ports, networks or interfaces than are looked at");
        }
        Ok(Endpoints { parts, rows })
    }

    /// For each port the addresses with what they may go to, those together that may go to the same.
    fn pairs(self, tuples: &[Tuple], ipv6: bool, passing: bool) -> Result<Vec<Endpoint>, &'static str> {
        let [networks, _] = self.networks;
        if networks && !passing && tuples.iter().any(|tuple| tuple.excepted) {
            return Err("nomatch");
        }
        let mut second: BTreeMap<(Option<u16>, Ends), Both> = BTreeMap::new();
        for tuple in tuples.iter().filter(|tuple| tuple.port != Some(None)) {
            for first in parts_of(tuple.first) {
                let both = second.entry((tuple.port.flatten(), first)).or_default();
                parts_of(tuple.second).into_iter().for_each(|ends| both.add(ends, tuple.excepted));
            }
        }
        let mut first: BTreeMap<(Option<u16>, Vec<Ends>), Vec<Ends>> = BTreeMap::new();
        for ((port, ends), both) in second {
            let mut left = both.left(passing).ok_or("nomatch")?;
            left.sort_unstable();
            left.dedup();
            if !left.is_empty() {
                first.entry((port, left)).or_default().push(ends);
            }
        }
        let row = |((port, second), first)| Endpoint {
            addresses: vec![elements(first, ipv6), elements(second, ipv6)],
            port,
            ..Endpoint::default()
        };
        Ok(first.into_iter().map(row).collect())
    }
}

fn by_port(tuples: &[Tuple], ipv6: bool, passing: bool) -> Result<Vec<Endpoint>, &'static str> {
    let mut all: BTreeMap<u16, Both> = BTreeMap::new();
    for tuple in tuples {
        let Some(port) = tuple.port.flatten() else { continue };
        let both = all.entry(port).or_default();
        parts_of(tuple.first).into_iter().for_each(|ends| both.add(ends, tuple.excepted));
    }
    let row = |(port, both): (u16, Both)| {
        let left = both.left(passing).ok_or("nomatch")?;
        Ok(Endpoint { addresses: vec![elements(left, ipv6)], port: Some(port), ..Endpoint::default() })
    };
    all.into_iter()
        .map(row)
        .filter(|row| !matches!(row, Ok(row) if row.addresses.iter().all(Elements::is_empty)))
        .collect()
}

fn by_interface(tuples: &[Tuple], ipv6: bool, passing: bool) -> Result<Vec<Endpoint>, &'static str> {
    let mut all: BTreeMap<&DeviceName, Both> = BTreeMap::new();
    let mut networks: BTreeMap<Ends, BTreeSet<&DeviceName>> = BTreeMap::new();
    for tuple in tuples {
        let Some(name) = &tuple.interface else { continue };
        let both = all.entry(name).or_default();
        for ends in parts_of(tuple.first) {
            both.add(ends, tuple.excepted);
            networks.entry(ends).or_default().insert(name);
        }
    }
    if all.len() > MOST_ROWS {
        return Err("more interfaces than are looked at");
    }
    // Where a packet's interface fits two names, it is not known which of them is found first.
    let begins = |name: &DeviceName, other: &DeviceName| match (name, other) {
        (DeviceName::Begins(text), DeviceName::Begins(other)) => other.starts_with(text.as_str()),
        (DeviceName::Begins(_), DeviceName::Is(other)) => name.fits(other.as_str()),
        (DeviceName::Is(_), _) => false,
    };
    if all.keys().any(|name| all.keys().any(|other| name != other && begins(name, other))) {
        return Err("wildcard");
    }
    let mut rows = Vec::new();
    for (name, mut both) in all {
        // Of others' networks those within one of these end the search.
        let others = networks.iter().filter(|(_, names)| !names.contains(name)).map(|(ends, _)| *ends);
        if !passing {
            both.excepted.extend(others);
        }
        let addresses = elements(both.left(passing).ok_or("nomatch")?, ipv6);
        if !addresses.is_empty() {
            rows.push(Endpoint { addresses: vec![addresses], interface: Some(name.clone()), ..Endpoint::default() });
        }
    }
    Ok(rows)
}

/// One row, of whatever is perhaps in the set.
fn perhaps(tuples: &[Tuple], ipv6: bool) -> Vec<Endpoint> {
    if tuples.is_empty() {
        return Vec::new();
    }
    let with_address = tuples.iter().any(|tuple| tuple.first.is_some());
    let addresses = tuples.iter().flat_map(|tuple| parts_of(tuple.first)).collect();
    let other = |tuple: &Tuple| tuple.other.clone().unwrap_or_else(|| told(tuple.first, ""));
    let others: BTreeSet<String> = tuples.iter().map(other).collect();
    let addresses = with_address.then(|| elements(addresses, ipv6)).into_iter().collect();
    vec![Endpoint { addresses, others: others.into_iter().collect(), ..Endpoint::default() }]
}

/// A range as networks.
fn parts_of(range: Option<Range>) -> Vec<Ends> {
    let bits = |address| match address {
        IpAddr::V4(own) => u128::from(own.to_bits()),
        IpAddr::V6(own) => own.to_bits(),
    };
    match range {
        None => Vec::new(),
        Some(Range::V4((first, last))) if first == last => vec![(first.into(), last.into())],
        Some(Range::V4((first, last))) => {
            Cidr::covering_v4(first, last).map(|part| (bits(part.first()), bits(part.last()))).collect()
        }
        Some(Range::V6(ends)) => vec![ends],
    }
}

fn elements(ranges: Vec<Ends>, ipv6: bool) -> Elements {
    match ipv6 {
        true => Elements::ipv6(ranges),
        // These come of 32 bits.
        false => Elements::ipv4(ranges.into_iter().map(|(first, last)| (first as u32, last as u32)).collect()),
    }
}
