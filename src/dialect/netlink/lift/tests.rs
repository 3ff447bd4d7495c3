//! Rules beside the programs that they are, and programs that must not be taken for what they resemble.

use super::super::expression::Expression::{
    self, Compare, ConnectionState, DestinationType, ExtensionHeader, Limit, Lookup, Mask, Meta, Other, Payload, Range,
    Reset,
};
use super::super::lower::lower;
use super::*;
use crate::dialect::netlink::Rule;
use crate::dialect::netlink::attributes::Writer;
use crate::ir::{Addresses, ConnectionStates, Elements, Foreign, PortBlock, PortMatch, Reject, TcpFlags, Varying};
use crate::net::PortRange;

mod tables;

const PORTS: &str = "ports";
const HOSTS: &str = "hosts";

fn sets() -> Vec<ir::Set> {
    let set = |name: &str, elements| ir::Set {
        name: name.into(),
        kind: ir::SetKind::Hash { size: Some(8) },
        elements,
        origins: Vec::new(),
    };
    vec![
        set(PORTS, Elements::Ports(vec![PortRange::new(8087, 8087).unwrap()])),
        set(HOSTS, Elements::ipv4(vec![(0x0a00_0001, 0x0a00_0001)])),
    ]
}

fn raw_set(name: &str, flags: u32, key_type: u32, keys: &[(&[u8], bool)]) -> Set {
    let mut elements = Writer::default();
    keys.iter().for_each(|(key, ends)| super::super::elements::element(&mut elements, key, *ends));
    let key_length = keys.first().map_or(2, |(key, _)| key.len() as u32);
    let elements = elements.into_bytes();
    Set { name: name.into(), flags, key_type, key_length, elements: elements.into(), ..Set::default() }
}

fn lifted_with(sets: &[Set], program: &[Expression]) -> ir::Rule {
    let sets: Sets<'_> = sets.iter().map(|set| (set.name.as_str(), (set, set.values().unwrap()))).collect();
    Program::new(Family::Inet, &sets).lift(&Rule::default(), program).pop().unwrap()
}

fn lifted(program: &[Expression]) -> ir::Rule {
    let sets = [
        raw_set(PORTS, 0, key_type::INET_SERVICE, &[(&8087_u16.to_be_bytes(), false)]),
        raw_set(HOSTS, 0, key_type::IPV4_ADDR, &[(&[10, 0, 0, 1], false)]),
    ];
    lifted_with(&sets, program)
}

fn meta(key: u32) -> Expression {
    Meta { key, register: 1 }
}
fn network(offset: u32, length: u32) -> Expression {
    Payload { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length, register: 1 }
}
fn transport(offset: u32, length: u32) -> Expression {
    Payload { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset, length, register: 1 }
}
fn compare(operator: u32, data: &[u8]) -> Expression {
    Compare { register: 1, operator, data: data.to_vec() }
}
fn equal(data: &[u8]) -> Expression {
    compare(NFT_CMP_EQ, data)
}
fn mask(mask: &[u8]) -> Expression {
    Mask { register: 1, mask: mask.to_vec() }
}
fn lookup(set: &str, negated: bool) -> Expression {
    Lookup { register: 1, set: set.into(), negated }
}
fn decision(code: i32) -> Expression {
    Expression::Verdict { code, chain: None }
}
fn connection(key: u32) -> Expression {
    Expression::Connection { key, register: 1 }
}

fn other(name: &str, numbers: &[(u16, u32)]) -> Expression {
    let mut data = Writer::default();
    numbers.iter().for_each(|&(kind, number)| data.u32(kind, number));
    Other { name: name.into(), data: data.into_bytes() }
}
fn tcp() -> [Expression; 2] {
    [meta(NFT_META_L4PROTO), equal(&[6])]
}
fn ip() -> [Expression; 2] {
    [meta(NFT_META_NFPROTO), equal(&[NFPROTO_IPV4])]
}
fn ip6() -> [Expression; 2] {
    [meta(NFT_META_NFPROTO), equal(&[NFPROTO_IPV6])]
}

fn port(from: u16, to: u16, negated: bool) -> Match {
    let ports = [PortRange::new(from, to).unwrap()].into_iter().collect();
    Match::DestinationPort { ports: PortMatch::Ports(ports), negated }
}
fn source(network: &str, negated: bool) -> Match {
    Match::Source { addresses: Addresses::network(network.parse().unwrap()), negated }
}

/// Each match and its program, both ways.
fn pairs() -> Vec<(Match, Vec<Expression>)> {
    let mut eth1 = b"eth1".to_vec();
    eth1.resize(16, 0);
    let eth1_name: Interface = "eth1".parse().unwrap();
    let fd20 = [0xfd, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mask32 = [[0xff; 4], [0; 4], [0; 4], [0; 4]].concat();
    let states = ConnectionStates::ESTABLISHED.with(ConnectionStates::RELATED);
    let of = |parts: &[&[Expression]]| parts.concat();
    vec![
        (
            Match::InInterface { names: vec![Interface::loopback()], negated: true },
            vec![meta(NFT_META_IIF), compare(NFT_CMP_NEQ, &1_u32.to_ne_bytes())],
        ),
        (Match::InInterface { names: vec![eth1_name], negated: false }, vec![meta(NFT_META_IIFNAME), equal(&eth1)]),
        (Match::Family(Family::Ip6), ip6().to_vec()),
        (Match::Protocol { number: 17, negated: false }, vec![meta(NFT_META_L4PROTO), equal(&[17])]),
        (Match::Protocol { number: 6, negated: true }, vec![meta(NFT_META_L4PROTO), compare(NFT_CMP_NEQ, &[6])]),
        (source("10.0.0.1", false), of(&[&ip(), &[network(12, 4), equal(&[10, 0, 0, 1])]])),
        (
            source("10.0.0.0/20", true),
            of(&[&ip(), &[network(12, 4), mask(&[255, 255, 240, 0]), compare(NFT_CMP_NEQ, &[10, 0, 0, 0])]]),
        ),
        (source("fd20::/32", false), of(&[&ip6(), &[network(8, 16), mask(&mask32), equal(&fd20)]])),
        (
            Match::Destination { addresses: Addresses::network("10.0.0.1".parse().unwrap()), negated: false },
            of(&[&ip(), &[network(16, 4), equal(&[10, 0, 0, 1])]]),
        ),
        (
            Match::Source { addresses: Addresses::Set(HOSTS.into()), negated: true },
            of(&[&ip(), &[network(12, 4), lookup(HOSTS, true)]]),
        ),
        (port(8087, 8087, false), of(&[&tcp(), &[transport(2, 2), equal(&8087_u16.to_be_bytes())]])),
        (
            port(6000, 6009, false),
            of(&[&tcp(), &[transport(2, 2), compare(NFT_CMP_GTE, &[0x17, 0x70]), compare(NFT_CMP_LTE, &[0x17, 0x79])]]),
        ),
        (
            port(6000, 6009, true),
            of(&[
                &tcp(),
                &[transport(2, 2), Range { register: 1, negated: true, from: vec![0x17, 0x70], to: vec![0x17, 0x79] }],
            ]),
        ),
        (
            Match::DestinationPort { ports: PortMatch::Set(PORTS.into()), negated: false },
            of(&[&tcp(), &[transport(2, 2), lookup(PORTS, false)]]),
        ),
        (
            Match::PortBlock(PortBlock::around(4096, 8191)),
            vec![transport(0, 4), mask(&[0, 0, 0xf0, 0]), equal(&[0, 0, 0x10, 0])],
        ),
        (Match::PortBlock(PortBlock { first: 4369, bits: 16 }), vec![transport(2, 2), equal(&[0x11, 0x11])]),
        (
            Match::FlagBit { flag: TcpFlags::ACK, set: false },
            vec![transport(12, 4), mask(&[0, 0x10, 0, 0]), equal(&[0, 0, 0, 0])],
        ),
        (
            Match::FlagBit { flag: TcpFlags::SYN, set: true },
            vec![transport(12, 4), mask(&[0, 2, 0, 0]), equal(&[0, 2, 0, 0])],
        ),
        (
            Match::TcpFlags { mask: TcpFlags(0x12), value: TcpFlags(2) },
            of(&[&tcp(), &[transport(13, 1), mask(&[0x12]), equal(&[2])]]),
        ),
        (
            Match::DestinationLocal,
            vec![DestinationType { of_interface: false, register: 1 }, equal(&2_u32.to_ne_bytes())],
        ),
        (
            Match::DestinationTranslated,
            vec![
                connection(NFT_CT_DIRECTION),
                equal(&[0]),
                connection(NFT_CT_STATUS),
                mask(&0x20_u32.to_ne_bytes()),
                compare(NFT_CMP_NEQ, &[0; 4]),
            ],
        ),
        (Match::OriginalPort(PortMatch::Set(PORTS.into())), vec![connection(NFT_CT_PROTO_DST), lookup(PORTS, false)]),
        (
            Match::DestinationOfInterface,
            vec![DestinationType { of_interface: true, register: 1 }, equal(&2_u32.to_ne_bytes())],
        ),
        (Match::NotDirectlyTcp, of(&[&ip6(), &[network(6, 1), compare(NFT_CMP_NEQ, &[6])]])),
        (
            Match::FirstFragment,
            of(&[
                &ip6(),
                &[
                    ExtensionHeader { header: 44, offset: 2, length: 2, register: 1 },
                    mask(&[0xff, 0xf8]),
                    equal(&[0, 0]),
                ],
            ]),
        ),
        (
            Match::ConnectionState { states, negated: false },
            vec![
                ConnectionState { register: 1 },
                mask(&u32::from(states.0).to_ne_bytes()),
                compare(NFT_CMP_NEQ, &[0; 4]),
            ],
        ),
        (Match::Limit { per_minute: 10, burst: 5 }, vec![Limit { rate: 10, unit: 60, burst: 5 }]),
    ]
}

#[test]
fn rules_and_programs_are_the_same_both_ways() {
    for (one, program) in pairs() {
        let rule = ir::Rule { matches: vec![one], verdict: Some(Verdict::Drop), ..ir::Rule::default() };
        let program = [program, vec![decision(NF_DROP)]].concat();
        let chains = vec![ir::Chain::named("x", vec![rule.clone()])];
        let table = ir::Table { family: Family::Inet, name: "t".into(), legacy: false, sets: sets(), chains };
        assert_eq!(lower(&table).unwrap().chains[0].rules[0].program, program);
        assert_eq!(lifted(&program), rule);
    }
}

#[test]
fn other_ways_to_say_the_same() {
    // nft compiles /24 to a load of three bytes, may load into small registers, and may load before it asks.
    let short = [&ip()[..], &[network(12, 3), equal(&[10, 0, 0])]].concat();
    assert_eq!(lifted(&short).matches, [source("10.0.0.0/24", false)]);
    let small = [
        Payload { base: 1, offset: 12, length: 4, register: 9 },
        meta(NFT_META_NFPROTO),
        equal(&[2]),
        Compare { register: 9, operator: NFT_CMP_EQ, data: vec![10, 0, 0, 1] },
    ];
    assert_eq!(lifted(&small).matches, [source("10.0.0.1", false)]);
    let reset = [&tcp()[..], &[Reset]].concat();
    assert_eq!(lifted(&reset).verdict, Some(Verdict::Reject(Reject::TcpReset)));
    assert_eq!(lifted(&[other("reject", &[(1, 2)])]).verdict, Some(Verdict::Reject(Reject::Icmp)));
}

/// Marks the packet with what a register holds.
fn set_mark(register: u32) -> Expression {
    other("meta", &[(NFTA_META_KEY, NFT_META_MARK), (NFTA_META_SREG, register)])
}

/// None of these may be taken for certain, whatever a packet is.
#[test]
fn what_only_resembles_a_test_is_unknown() {
    let guarded = |base: &[Expression], rest: &[Expression]| [base, rest].concat();
    // Equal is a block of one port, whatever the protocol; unequal is no block.
    let ports = [transport(2, 2), compare(NFT_CMP_NEQ, &8087_u16.to_be_bytes())];
    let saddr = [network(12, 4), equal(&[10, 0, 0, 1])];
    let cases: Vec<Vec<Expression>> = vec![
        // Without what they rest on.
        ports.to_vec(),
        saddr.to_vec(),
        guarded(&[meta(NFT_META_L4PROTO), compare(NFT_CMP_NEQ, &[6])], &ports),
        guarded(&[meta(NFT_META_L4PROTO), equal(&[17])], &ports),
        guarded(&ip6(), &saddr),
        guarded(&ip(), &[network(6, 1), compare(NFT_CMP_NEQ, &[6])]),
        // A load that no test follows, or that another one takes the place of.
        vec![transport(1000, 4)],
        guarded(&tcp(), &[transport(13, 1), transport(2, 2), equal(&[0x1f, 0x97])]),
        vec![ExtensionHeader { header: 44, offset: 2, length: 2, register: 1 }],
        vec![meta(NFT_META_L4PROTO)],
        // Registers that overlap: names of interfaces have 16 bytes.
        guarded(
            &[ip()[0].clone(), ip()[1].clone(), Payload { base: 1, offset: 12, length: 4, register: 9 }],
            &[meta(7), Compare { register: 9, operator: NFT_CMP_EQ, data: vec![10, 0, 0, 1] }],
        ),
        // Other operators, other widths, masks with holes, values outside of masks.
        guarded(&tcp(), &[transport(2, 4), equal(&[0x1f, 0x97])]),
        guarded(&ip(), &[network(12, 4), mask(&[255, 0, 255, 0]), equal(&[10, 0, 0, 0])]),
        guarded(&ip(), &[network(12, 4), mask(&[255, 0, 0, 0]), equal(&[10, 0, 0, 1])]),
        guarded(&ip(), &[network(13, 3), equal(&[0, 0, 1])]),
        vec![meta(NFT_META_IIF), equal(&2_u32.to_ne_bytes())],
        vec![ConnectionState { register: 1 }, equal(&6_u32.to_ne_bytes())],
        // Sets that are not there, and maps.
        guarded(&ip(), &[network(12, 4), lookup("nowhere", false)]),
        guarded(&ip(), &[network(12, 4), other("lookup", &[(2, 1), (3, 1)]), equal(&[10, 0, 0, 1])]),
        vec![other("ct", &[(1, 1), (2, 3)])],
        vec![connection(NFT_CT_PROTO_DST), compare(NFT_CMP_NEQ, &[0, 80])],
        vec![DestinationType { of_interface: true, register: 1 }, compare(NFT_CMP_NEQ, &2_u32.to_ne_bytes())],
        // What was loaded before it was changed, and what may be missing before something is done.
        vec![meta(NFT_META_MARK), set_mark(1), equal(&[0; 4])],
        vec![transport(2, 2), set_mark(2)],
        // Registers that a longer value reaches.
        guarded(
            &ip(),
            &[
                Payload { base: 1, offset: 12, length: 4, register: 2 },
                other("byteorder", &[(1, 3), (2, 1), (3, 1), (4, 20), (5, 4)]),
                Compare { register: 2, operator: NFT_CMP_EQ, data: vec![10, 0, 0, 1] },
            ],
        ),
        // The first byte of an interface's number.
        vec![other("fib", &[(1, 1), (2, NFT_FIB_RESULT_OIF), (3, NFTA_FIB_F_SADDR)]), equal(&[1])],
        // Numbers that no kernel gives.
        vec![Payload { base: 1, offset: 0, length: u32::MAX, register: u32::MAX }],
    ];
    for program in cases {
        let rule = lifted(&[program.clone(), vec![decision(NF_ACCEPT)]].concat());
        assert!(rule.matches.iter().any(|one| matches!(one, Match::Unknown(_))), "{program:?}: {rule:?}");
        assert_eq!(rule.verdict, Some(Verdict::Accept));
    }
}

/// Keys are compared in whole registers, and what a field leaves of its last one is zero.
#[test]
fn a_key_that_is_filled_up_otherwise_is_never_found() {
    let program = [&tcp()[..], &[transport(2, 2), lookup("keys", false), decision(NF_ACCEPT)]].concat();
    for (key, known) in [([0x1f, 0xa2, 0, 0], true), ([0x1f, 0xa2, 0, 1], false)] {
        let rule = lifted_with(&[raw_set("keys", 0, 0, &[(&key, false)])], &program);
        let unknown = rule.matches.iter().any(|one| matches!(one, Match::Unknown(_)));
        assert_eq!(unknown, !known, "{rule:?}");
    }
}

/// A field that no checksum but the header's own is made of; one that is made to follow it nevertheless is wrong.
#[test]
fn what_is_written_into_a_header_is_harmless_only_with_the_right_sums() {
    let written = |flags: u32| {
        let set = other("payload", &[(2, 1), (3, 1), (4, 1), (5, 1), (6, NFT_PAYLOAD_CSUM_INET), (7, 10), (8, flags)]);
        lifted(&[&ip()[..], &[set]].concat()).statements
    };
    let write = |field| vec![ir::Statement::Write { field, constant: false }];
    assert_eq!(written(0), write(ir::Field::Header));
    assert_eq!(written(1), write(ir::Field::Other("payload set".into())));
}

#[test]
fn what_no_packet_says_is_known_to_be_that() {
    let link = || Payload { base: 0, offset: 6, length: 6, register: 1 };
    for (program, of) in [
        (vec![other("quota", &[])], Varying::Amount),
        (vec![other("limit", &[])], Varying::Rate),
        (vec![other("connlimit", &[])], Varying::Connections),
        (vec![other("numgen", &[(1, 1)]), equal(&[0; 4])], Varying::Chance),
        (vec![meta(NFT_META_SKUID), equal(&[0; 4])], Varying::Owner),
        (vec![other("ct", &[(1, 1), (2, NFT_CT_ZONE)]), equal(&[0; 2])], Varying::Connection),
        (vec![other("ct", &[(1, 1), (2, NFT_CT_HELPER)]), equal(&[0; 16])], Varying::Helper),
        // nft asks for the type of the device first.
        (vec![meta(NFT_META_IIFTYPE), equal(&[1, 0]), link(), equal(&[2, 0, 0, 0, 0, 1])], Varying::Link),
        // A further bit.
        (
            vec![connection(NFT_CT_STATUS), mask(&0x30_u32.to_ne_bytes()), compare(NFT_CMP_NEQ, &[0; 4])],
            Varying::Connection,
        ),
    ] {
        let rule = lifted(&[program.clone(), vec![decision(NF_DROP)]].concat());
        assert!(
            matches!(rule.matches.as_slice(), [Match::Foreign(Foreign::Varies { on, .. })] if *on == of),
            "{program:?}: {rule:?}"
        );
        assert_eq!(rule.verdict, Some(Verdict::Drop));
    }
}

/// What a test compares with, and how what it looks at was made, is a part of it: two that ask for something else are not the same.
#[test]
fn tests_of_what_no_packet_says_differ_by_what_they_ask() {
    let zone = |key: u32, zone: u8| vec![other("ct", &[(1, 1), (2, key)]), equal(&[zone, 0])];
    let hashed = |offset| {
        let made = other("hash", &[(1, 1), (2, 1), (3, 4), (4, 2)]);
        [&ip()[..], &[network(offset, 4), made, equal(&[0; 4])]].concat()
    };
    let link = |last| {
        let header = Payload { base: 0, offset: 6, length: 6, register: 1 };
        vec![meta(NFT_META_IIFTYPE), equal(&[1, 0]), header, equal(&[2, 0, 0, 0, 0, last])]
    };
    for (one, another) in [
        (vec![meta(NFT_META_SKUID), equal(&[0; 4])], vec![meta(NFT_META_SKUID), equal(&[1, 0, 0, 0])]),
        (zone(NFT_CT_ZONE, 1), zone(NFT_CT_ZONE, 2)),
        (zone(NFT_CT_ZONE, 1), zone(NFT_CT_HELPER, 1)),
        (hashed(12), hashed(16)),
        (link(1), link(2)),
        (vec![other("limit", &[(1, 5)])], vec![other("limit", &[(1, 6)])]),
        (vec![other("quota", &[(1, 5)])], vec![other("quota", &[(1, 6)])]),
        (vec![other("connlimit", &[(1, 5)])], vec![other("connlimit", &[(1, 6)])]),
    ] {
        let varies = |program: &[Expression]| {
            let rule = lifted(program);
            let varies = |one: &Match| matches!(one, Match::Foreign(Foreign::Varies { .. }));
            assert_eq!(rule.matches.iter().filter(|one| varies(one)).count(), 1, "{program:?}: {rule:?}");
            rule.matches
        };
        assert_ne!(varies(&one), varies(&another));
        assert_eq!(varies(&one), varies(&one));
    }
    // How much is used of it counts by itself.
    let used = |bytes| lifted(&[other("quota", &[(1, 5), (NFTA_QUOTA_CONSUMED, bytes)])]).matches;
    assert_eq!(used(1), used(2));
}

#[test]
fn marks_are_numbers_once_they_are_in_order() {
    let in_order = || other("byteorder", &[(1, 1), (2, 1), (3, 1), (4, 4), (5, 4)]);
    let mark = |mask, value| Match::Foreign(Foreign::Mark { of: ir::Marked::Packet, mask, value, negated: true });
    let above = lifted(&[meta(NFT_META_MARK), in_order(), compare(NFT_CMP_GT, &5_u32.to_be_bytes())]);
    assert_eq!(above.matches, [mark(0xffff_fffc, 0), mark(0xffff_fffe, 4)]);
    // In halves, in pieces of eight bytes, the other way round, without a size.
    for told in [
        [(1, 1), (2, 1), (3, 1), (4, 4), (5, 2)].as_slice(),
        &[(1, 1), (2, 1), (3, 1), (4, 4), (5, 8)],
        &[(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)],
        &[(1, 1), (2, 1), (3, 0), (4, 4), (5, 4)],
        &[(1, 1), (2, 1), (3, 1), (4, 4)],
    ] {
        let other = lifted(&[meta(NFT_META_MARK), other("byteorder", told), compare(NFT_CMP_GT, &5_u32.to_be_bytes())]);
        assert!(other.matches.iter().any(|one| matches!(one, Match::Unknown(_))), "{told:?}: {other:?}");
    }
    let group = lifted(&[meta(NFT_META_IIFGROUP), compare(NFT_CMP_NEQ, &7_u32.to_ne_bytes())]);
    assert_eq!(group.matches, [Match::Foreign(Foreign::Group { side: ir::Side::In, group: 7, negated: true })]);
}

#[test]
fn what_may_decide_ends_a_rule() {
    let drops = |one: Expression| lifted(&[&[one][..], &tcp(), &[decision(NF_DROP)]].concat());
    for one in [
        other("lookup", &[(2, 1), (3, NFT_REG_VERDICT)]),
        other("objref", &[(1, 99)]),
        other("objref", &[]),
        other("nat", &[(1, 7)]),
        other("nat", &[]),
        other("ct", &[(2, 99), (4, 1)]),
        other("exthdr", &[]),
        other("something", &[]),
        decision(3),
        decision(-1),
    ] {
        let rule = drops(one.clone());
        assert!(matches!(rule.verdict, Some(Verdict::Unknown(_))), "{one:?}: {rule:?}");
        assert_eq!(rule.matches, [], "{one:?}: what follows is no condition of it");
    }
    for one in [other("objref", &[(1, 1)]), other("last", &[]), other("log", &[])] {
        let rule = drops(one);
        assert_eq!((rule.matches.len(), rule.verdict), (1, Some(Verdict::Drop)));
    }
    // Behind a verdict nothing is reached.
    let rule = lifted(&[decision(NF_ACCEPT), meta(NFT_META_IIF), equal(&1_u32.to_ne_bytes()), decision(NF_DROP)]);
    assert_eq!((rule.matches, rule.verdict), (vec![], Some(Verdict::Accept)));
}
