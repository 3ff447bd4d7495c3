//! Which kind of address a packet's source is, as the kernel's routing tables have it (`fib saddr type`, `addrtype --src-type`).
//!
//! IPv4 looks at the address itself, then into the table `local` (inet_addr_type); what is not there is unicast. IPv6 looks for a
//! route, and at the address itself where that says nothing (nft_fib6_eval_type); without one the kind is another.
//!
//! INVARIANT (doubt): an address has all kinds that it may have. Which addresses are this host's, or broadcast addresses of its
//! networks, is known only where its routes are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::diagram::{Bounded, Set};
use super::holds::{At, Holds};
use super::matching::Fit;
use super::packet::Locality;
use super::space::Space;
use crate::ir::{AddressTypes, Elements};
use crate::net::{Cidr, Surroundings};

/// Addresses that may be of these kinds.
pub(super) type Kind = (AddressTypes, Elements);

const EVERY: AddressTypes = AddressTypes(63);

/// The kinds that an address of another host, or one that claims to be, may have.
pub(super) fn kinds_of(address: IpAddr, surroundings: Option<&Surroundings>) -> AddressTypes {
    match address {
        IpAddr::V4(own) => {
            // Before Linux 5.3 all of 0.0.0.0/8 counted as broadcast.
            if own.is_unspecified() || own.is_broadcast() {
                return AddressTypes::BROADCAST;
            }
            if own.is_multicast() {
                return AddressTypes::MULTICAST;
            }
            let Some(surroundings) = surroundings.filter(|_| own.octets().first() != Some(&0) && !own.is_loopback())
            else {
                return EVERY;
            };
            if surroundings.addresses.contains(&address) || surroundings.refused.iter().any(|one| one.to.has(address)) {
                return EVERY;
            }
            // Whether this host has no other addresses is not said of link-local ones.
            if surroundings.complete && !own.is_link_local() {
                AddressTypes::UNICAST
            } else {
                AddressTypes::UNICAST.with(AddressTypes::LOCAL)
            }
        }
        IpAddr::V6(own) if own.is_multicast() => EVERY,
        IpAddr::V6(_) => {
            let routed = AddressTypes::UNICAST.with(AddressTypes::LOCAL);
            routed.with(AddressTypes::ANYCAST).with(AddressTypes::OTHER)
        }
    }
}

/// The same of what this host sends. Its own addresses are in the table `local`, where they are said to be.
pub(super) fn kinds_of_own(locality: Locality, ipv4: bool) -> AddressTypes {
    match (locality, ipv4) {
        (Locality::Local, true) => AddressTypes::LOCAL,
        // No address of multicast is anybody's.
        (Locality::Local, false) => kinds_of(IpAddr::V6(Ipv6Addr::UNSPECIFIED), None),
        (Locality::Vrf | Locality::Elsewhere | Locality::Foreign, _) => EVERY,
    }
}

/// Whether an address of one of these kinds is one of those that a test asks for.
pub(super) fn among(kinds: AddressTypes, asked: AddressTypes, negated: bool) -> Holds {
    if asked.has(kinds) {
        (!negated).into()
    } else if kinds.0 & asked.0 == 0 {
        negated.into()
    } else {
        Holds::Unknown
    }
}

/// All addresses, by the kinds that they may have.
pub(super) fn regions(surroundings: Option<&Surroundings>) -> Vec<Kind> {
    let special = [
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
        (IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
        (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
        (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
    ];
    let mut networks: Vec<Cidr> = special.iter().filter_map(|(first, bits)| Cidr::containing(*first, *bits)).collect();
    if let Some(surroundings) = surroundings {
        networks.extend(surroundings.addresses.iter().map(|own| Cidr::host(*own)));
        networks.extend(surroundings.refused.iter().map(|refused| refused.to));
    }
    let mut all: Vec<Kind> = Vec::new();
    for ipv4 in [true, false] {
        let mut starts = BTreeSet::new();
        for network in networks.iter().filter(|network| network.is_ipv4() == ipv4) {
            starts.insert(bits_of(network.first()));
            starts.extend(bits_of(network.last()).checked_add(1).filter(|next| !ipv4 || *next <= u128::from(u32::MAX)));
        }
        let starts: Vec<u128> = starts.into_iter().collect();
        let highest = if ipv4 { u128::from(u32::MAX) } else { u128::MAX };
        let ends = starts.iter().skip(1).map(|next| next - 1).chain([highest]);
        let mut by_kind: Vec<(AddressTypes, Vec<(u128, u128)>)> = Vec::new();
        for (&first, last) in starts.iter().zip(ends) {
            let kinds = kinds_of(address_of(first, ipv4), surroundings);
            match by_kind.iter_mut().find(|(own, _)| *own == kinds) {
                Some((_, list)) => list.push((first, last)),
                None => by_kind.push((kinds, vec![(first, last)])),
            }
        }
        all.extend(by_kind.into_iter().map(|(kinds, list)| (kinds, elements(list, ipv4))));
    }
    all
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(own) => own.to_bits().into(),
        IpAddr::V6(own) => own.to_bits(),
    }
}

fn address_of(bits: u128, ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() }
}

fn elements(list: Vec<(u128, u128)>, ipv4: bool) -> Elements {
    if ipv4 {
        Elements::ipv4(list.into_iter().map(|(first, last)| (first as u32, last as u32)).collect())
    } else {
        Elements::ipv6(list)
    }
}

/// For which packets such a test holds.
pub(super) fn fit(space: &mut Space<'_>, asked: AddressTypes, negated: bool, at: At) -> Bounded<Fit> {
    let (mut known, mut doubted) = (Set::EMPTY, Set::EMPTY);
    let mut take = |space: &mut Space<'_>, kinds, set| -> Bounded<()> {
        match among(kinds, asked, negated) {
            Holds::Yes => known = space.sets.union(known, set)?,
            Holds::Unknown => doubted = space.sets.union(doubted, set)?,
            Holds::No => {}
        }
        Ok(())
    };
    if at.view.leaves() {
        for (ipv4, locality) in [true, false].into_iter().flat_map(|ipv4| Locality::ALL.map(|own| (ipv4, own))) {
            let (family, here) = (space.family(ipv4)?, space.locality(|own| own == locality)?);
            let own = space.sets.intersection(family, here)?;
            take(space, kinds_of_own(locality, ipv4), own)?;
        }
    } else {
        for (kinds, list) in space.kinds(at.routed) {
            // Where lists overlap in too many ways, nothing is known.
            let Some(from) = space.source(&list)? else { return Ok(Fit::UNKNOWN) };
            take(space, kinds, from)?;
        }
    }
    Fit::split(space, known, doubted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Refused, Turn};

    #[test]
    fn kinds_of_addresses() {
        let surroundings = |complete| Surroundings {
            addresses: vec!["10.20.0.11".parse().unwrap()],
            complete,
            refused: vec![Refused { to: "10.20.0.255".parse().unwrap(), turn: Turn::First, in_part: false }],
            ..Surroundings::default()
        };
        let (own, some) = (surroundings(true), surroundings(false));
        let asked = AddressTypes::BROADCAST.with(AddressTypes::MULTICAST);
        for (address, with_all, with_some, with_none) in [
            ("10.20.0.12", Holds::No, Holds::No, Holds::Unknown),
            ("10.20.0.255", Holds::Unknown, Holds::Unknown, Holds::Unknown),
            ("10.20.0.11", Holds::Unknown, Holds::Unknown, Holds::Unknown),
            ("255.255.255.255", Holds::Yes, Holds::Yes, Holds::Yes),
            ("0.0.0.0", Holds::Yes, Holds::Yes, Holds::Yes),
            ("0.0.0.1", Holds::Unknown, Holds::Unknown, Holds::Unknown),
            ("224.0.0.1", Holds::Yes, Holds::Yes, Holds::Yes),
            ("fd00::1", Holds::No, Holds::No, Holds::No),
            ("ff02::1", Holds::Unknown, Holds::Unknown, Holds::Unknown),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let found = [Some(&own), Some(&some), None].map(|own| among(kinds_of(address, own), asked, false));
            assert_eq!(found, [with_all, with_some, with_none], "{address}");
            for own in [Some(&own), Some(&some), None] {
                let mut regions = regions(own).into_iter().filter(|(_, list)| list.has(address));
                assert_eq!(regions.next().map(|(kinds, _)| kinds), Some(kinds_of(address, own)), "{address}");
                assert_eq!(regions.next(), None, "{address}");
            }
        }
        let local = |own: &Surroundings, address: &str| {
            among(kinds_of(address.parse().unwrap(), Some(own)), AddressTypes::LOCAL, true)
        };
        assert_eq!(local(&own, "10.20.0.12"), Holds::Yes);
        assert_eq!(local(&some, "10.20.0.12"), Holds::Unknown);
        assert_eq!(local(&own, "169.254.0.1"), Holds::Unknown);
    }
}
