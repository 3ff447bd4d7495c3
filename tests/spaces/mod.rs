//! The packets of a space one by one, and rulesets with everything that rules can have.

#![allow(dead_code)]

pub mod specification;

use ringfence::ir::{
    Addresses, ChainKind, ConnectionStates, Destined, Family, Field as Written, Hook, Match, PacketTypes, PortBlock,
    PortMatch, Ruleset, Statement, TcpFlags, Translation,
};
use ringfence::net::{Cidr, PortRange, Ports};
use ringfence::semantics::{Field, Locality, Packet, Space, TCP};

use crate::generate::Random;

/// How many packets a space tells apart.
pub fn how_many(space: &mut Space) -> u64 {
    let possible = space.possible();
    let mut count = 0_u64;
    let mut add = |ranges: &[(u32, u32)]| {
        count += ranges.iter().map(|range| u64::from(range.1 - range.0) + 1).product::<u64>();
    };
    space.sets.products(possible, &mut add).unwrap();
    count
}

/// One packet of every kind that a space tells apart.
pub fn every_packet(space: &mut Space) -> Vec<Packet> {
    let mut points = Vec::new();
    let possible = space.possible();
    let mut unfold = |ranges: &[(u32, u32)]| {
        let mut product = vec![Vec::new()];
        for &(first, last) in ranges {
            let longer = |point: &Vec<u32>| -> Vec<Vec<u32>> {
                (first..=last).map(|label| point.iter().copied().chain([label]).collect()).collect()
            };
            product = product.iter().flat_map(longer).collect();
        }
        points.extend(product);
    };
    space.sets.products(possible, &mut unfold).unwrap();
    points.iter().map(|point| space.packet(&point.as_slice().try_into().unwrap()).unwrap()).collect()
}

/// What the generator leaves out because not every kernel takes it: every other kind of test, family, hook and chain.
pub fn enriched(random: &mut Random, ruleset: &mut Ruleset) {
    let states = |random: &mut Random| ConnectionStates(random.below(32) as u8);
    for table in &mut ruleset.tables {
        if random.chance(25) {
            table.family = *random.pick(&[Family::Ip, Family::Ip6]);
        }
        let sets: Vec<String> = table.sets.iter().map(|set| set.name.clone()).collect();
        for chain in &mut table.chains {
            if let Some(base) = &mut chain.base {
                if random.chance(10) {
                    (base.hook, base.kind) = (Hook::Ingress, ChainKind::Filter);
                } else if random.chance(10) && base.hook == Hook::Prerouting {
                    base.kind = ChainKind::Nat;
                } else if random.chance(20) {
                    base.priority = *random.pick(&[-400, -300, -200, -150, -100, 0]);
                }
            }
            for rule in &mut chain.rules {
                // A statement that may leave the rule, and one behind it that ends it.
                if random.chance(4) {
                    rule.statements.push(Statement::Write { field: Written::Header, constant: true });
                    rule.statements.push(Statement::Translate(Translation::Destination, Destined::Unknown));
                }
                if !random.chance(40) {
                    continue;
                }
                let negated = random.chance(30);
                let low = random.below(60_000) as u16;
                let ports: Ports = PortRange::new(low, low + 5_000).into_iter().collect();
                let host = std::net::IpAddr::V4((0x0a14_0000 + random.below(6) as u32).into());
                let set = random.pick(&sets).clone();
                rule.matches.push(match random.below(13) {
                    0 | 1 => Match::ConnectionState { states: states(random), negated },
                    2 => Match::FlagBit { flag: TcpFlags(1 << random.below(8)), set: negated },
                    3 => Match::DestinationTranslated,
                    4 => Match::OriginalPort(PortMatch::Ports(ports)),
                    5 => Match::OriginalPort(PortMatch::Set("ports".into())),
                    6 => Match::DestinationOfInterface,
                    7 => Match::PacketType { types: PacketTypes(1 << random.below(4)), negated },
                    8 => Match::PerhapsDirectlyTcp,
                    9 => Match::Destination { addresses: Addresses::network(Cidr::host(host)), negated },
                    10 => Match::Destination { addresses: Addresses::Set(set), negated },
                    11 => Match::Source { addresses: Addresses::Set("nowhere".into()), negated },
                    _ => Match::PortBlock(PortBlock { first: low, bits: random.below(17) as u8 }),
                });
            }
        }
    }
}

/// A packet with what the generator's packets do not have.
pub fn unusual(random: &mut Random, space: &Space, mut packet: Packet) -> Packet {
    packet.state = random.pick(&ConnectionStates::ALL).0;
    packet.locality = *random.pick(&Locality::ALL);
    if matches!(packet.locality, Locality::Elsewhere | Locality::Foreign) || random.chance(20) {
        let host = std::net::IpAddr::V4((0x0a14_0000 + random.below(8) as u32).into());
        packet.destination = (packet.source.is_ipv4() && random.chance(70)).then_some(host);
    }
    if random.chance(25) && packet.protocol == TCP {
        packet.original_port = Some(random.bits() as u16);
    }
    // Only where ports on the wire are told apart there is a field for them.
    if space.sets.size(Field::Original.number()) == 1 {
        packet.original_port = None;
    }
    packet
}
