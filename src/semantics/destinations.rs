//! What the destination of a packet can be to this host.
//!
//! Which addresses the tables `local` and those of VRFs hold is not known here, so packets for them carry no destination,
//! and a test of it is not certain. What is local [`Elsewhere`] is known by its addresses, and then foreign packets have
//! addresses as well, outside of these; so do they where rules tell but a few destinations apart.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::Locality;
use super::space::{Classes, TooManyClasses, rules};
use crate::ir::{Addresses, Elements, Match, Ruleset};
use crate::net::{Cidr, Elsewhere, Interface};

/// Up to so many tests of destinations, foreign packets have one.
const FEW_DESTINATIONS: usize = 16;

/// What a destination is to this host, and its address where that matters.
pub type Destination = (Locality, Option<IpAddr>);

/// What destinations can be: by family, then by the position of the interface.
#[derive(Clone, Debug)]
pub struct Destinations {
    v4: Vec<Vec<Destination>>,
    v6: Vec<Vec<Destination>>,
}

impl Destinations {
    /// For packets that come in on these interfaces.
    pub fn new(
        rulesets: &[&Ruleset],
        elsewhere: &Elsewhere,
        interfaces: &[Option<Interface>],
    ) -> Result<Self, TooManyClasses> {
        let tests = rulesets.iter().flat_map(|ruleset| rules(ruleset)).flat_map(|rule| &rule.matches);
        let listed = tests.filter_map(|one| match one {
            Match::Destination { addresses: Addresses::These(list), .. } => Some(list),
            _ => None,
        });
        let listed: Vec<&Elements> = listed.collect();
        if elsewhere.is_empty() && !(1..=FEW_DESTINATIONS).contains(&listed.len()) {
            let unknown: Vec<_> = [Locality::Local, Locality::Vrf, Locality::Foreign].map(|kind| (kind, None)).into();
            let all = vec![unknown; interfaces.len()];
            return Ok(Self { v4: all.clone(), v6: all });
        }
        let (v4, v6) = representatives(rulesets, elsewhere, &listed)?;
        let seen = |addresses: Vec<IpAddr>| {
            let of = |interface: &Option<Interface>| -> Vec<Destination> {
                let kind = |address: &IpAddr| {
                    let here = elsewhere.has(interface.as_ref(), Cidr::host(*address));
                    (if here { Locality::Elsewhere } else { Locality::Foreign }, Some(*address))
                };
                let unknown = [(Locality::Local, None), (Locality::Vrf, None)];
                unknown.into_iter().chain(addresses.iter().map(kind)).collect()
            };
            interfaces.iter().map(of).collect()
        };
        Ok(Self { v4: seen(v4), v6: seen(v6) })
    }

    /// For each interface.
    pub fn of(&self, ipv4: bool) -> &[Vec<Destination>] {
        if ipv4 { &self.v4 } else { &self.v6 }
    }

    /// How many there are, over all interfaces.
    pub fn count(&self, ipv4: bool) -> usize {
        self.of(ipv4).iter().map(Vec::len).sum()
    }
}

/// One address of each class that the rulesets or the view can tell apart.
fn representatives(
    rulesets: &[&Ruleset],
    elsewhere: &Elsewhere,
    listed: &[&Elements],
) -> Result<(Vec<IpAddr>, Vec<IpAddr>), TooManyClasses> {
    let sets = rulesets.iter().flat_map(|ruleset| {
        ruleset.sets.iter().chain(ruleset.tables.iter().flat_map(|table| &table.sets)).map(|set| &set.elements)
    });
    let of_entry = |networks: &[Cidr]| {
        let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.iter().partition(|network| network.is_ipv4());
        [Elements::of_networks(&v4), Elements::of_networks(&v6)]
    };
    let known: Vec<Elements> = elsewhere.entries().iter().flat_map(|entry| of_entry(&entry.networks)).collect();
    let mut v4: Vec<&[(u32, u32)]> = Vec::new();
    let mut v6: Vec<&[(u128, u128)]> = Vec::new();
    for list in sets.chain(listed.iter().copied()).chain(&known) {
        match list {
            Elements::Ipv4(list) => v4.push(list),
            Elements::Ipv6(list) => v6.push(list),
            Elements::Ports(_) | Elements::Unknown => {}
        }
    }
    let (v4, v6) = (Classes::new(&v4)?, Classes::new(&v6)?);
    Ok((
        v4.representatives().iter().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(*bits))).collect(),
        v6.representatives().iter().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(*bits))).collect(),
    ))
}

/// One of the addresses for each way in which rules tell them apart by their tests of the destination; none where no rule
/// has such a test.
#[must_use]
pub fn told_apart(ruleset: &Ruleset, addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut lists: Vec<&Elements> = Vec::new();
    for table in &ruleset.tables {
        for one in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.matches) {
            match one {
                Match::Destination { addresses: Addresses::These(list), .. } => lists.push(list),
                Match::Destination { addresses: Addresses::Set(name), .. } => {
                    lists.extend(ruleset.set(table, name).map(|set| &set.elements));
                }
                _ => {}
            }
        }
    }
    if lists.is_empty() {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let kind = |address: &IpAddr| -> (bool, Vec<bool>) {
        (address.is_ipv4(), lists.iter().map(|list| list.has(*address)).collect())
    };
    addresses.iter().copied().filter(|address| seen.insert(kind(address))).collect()
}
