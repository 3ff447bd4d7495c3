//! Structures as iptables fills them, beside what they mean; cut short anywhere they mean less, and nothing breaks.

use super::super::finish::Alternatives;
use super::*;
use crate::dialect::netlink::attributes::Writer;
use crate::dialect::netlink::{Expression, Rule};
use crate::ir::{
    self, ConnectionStates, Destined, Diversion, Family, Field, Foreign, Marked, Marking, Match, PacketTypes,
    PortMatch, Reject, Statement, TcpFlags, Tracking, Translation, Varying, Verdict,
};
use crate::net::PortRange;

/// Numbers one after the other, in this machine's layout.
#[derive(Clone, Default)]
struct Structure(Vec<u8>);

impl Structure {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn zeros(self, count: usize) -> Self {
        self.bytes(&vec![0; count])
    }
    fn short(self, number: u16) -> Self {
        self.bytes(&number.to_ne_bytes())
    }
    fn long(self, number: u32) -> Self {
        self.bytes(&number.to_ne_bytes())
    }
}

fn new() -> Structure {
    Structure::default()
}

fn expression(kind: &str, name: &str, revision: u32, info: &[u8]) -> Expression {
    let mut writer = Writer::default();
    writer.text(NFTA_MATCH_NAME, name);
    writer.u32(NFTA_MATCH_REV, revision);
    writer.attribute(NFTA_MATCH_INFO, info);
    Expression::Other { name: kind.to_owned(), data: writer.into_bytes() }
}

/// What a rule of IPv4 for TCP means with this in it.
fn lifted(one: Expression) -> Vec<ir::Rule> {
    let sets = super::super::Sets::new();
    let tcp = [
        Expression::Meta { key: NFT_META_L4PROTO, register: 1 },
        Expression::Compare { register: 1, operator: NFT_CMP_EQ, data: vec![6] },
        one,
    ];
    Program::new(Family::Ip, &sets).lift(&Rule::default(), &tcp)
}

fn tests(name: &str, revision: u32, info: &Structure) -> Alternatives {
    let rules = lifted(expression("match", name, revision, &info.0));
    let plain = |one: &Match| *one != Match::Protocol { number: 6, negated: false };
    rules.into_iter().map(|rule| rule.matches.into_iter().filter(plain).collect()).collect()
}

fn ports(first: u16, last: u16) -> PortMatch {
    PortMatch::Ports([PortRange::new(first, last).unwrap()].into_iter().collect())
}

fn conntrack(asked: u16, turned: u16, states: u16) -> Structure {
    new().zeros(140).short(8098).zeros(4).short(asked).short(turned).short(states).zeros(4).short(8099).zeros(6)
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn matches() -> Vec<(&'static str, u32, Structure, Match)> {
    let (every, established) = (u16::MAX, ConnectionStates::ESTABLISHED);
    let translated = |negated| Match::Foreign(Foreign::Translated { end: ir::End::Destination, negated });
    vec![
        (
            "tcp",
            0,
            new().short(0).short(every).short(80).short(90).zeros(4),
            Match::DestinationPort { ports: ports(80, 90), negated: false },
        ),
        (
            "tcp",
            0,
            new().short(0).short(every).short(80).short(80).bytes(&[0, 0, 0, 2]),
            Match::DestinationPort { ports: ports(80, 80), negated: true },
        ),
        (
            "tcp",
            0,
            new().short(1024).short(every).short(0).short(every).zeros(4),
            Match::Foreign(Foreign::SourcePort { ports: ports(1024, every), negated: false }),
        ),
        (
            "tcp",
            0,
            new().short(0).short(every).short(0).short(every).bytes(&[0, 0x17, 2, 0]),
            Match::TcpFlags { mask: TcpFlags(0x17), value: TcpFlags(2) },
        ),
        (
            "multiport",
            1,
            new().bytes(&[1, 3]).short(80).short(6000).short(6009).zeros(24).bytes(&[0, 1]).zeros(13).zeros(1),
            Match::DestinationPort {
                ports: PortMatch::Ports(
                    [(80, 80), (6000, 6009)].iter().filter_map(|&(a, b)| PortRange::new(a, b)).collect(),
                ),
                negated: false,
            },
        ),
        ("addrtype", 1, new().short(0).short(4).long(0), Match::DestinationLocal),
        ("addrtype", 1, new().short(0).short(4).long(4), Match::DestinationOfInterface),
        ("addrtype", 0, new().short(0).short(4).long(0).long(0), Match::DestinationLocal),
        ("addrtype", 1, new().short(8).short(0).long(1), source_type(ir::AddressTypes::BROADCAST, true)),
        ("addrtype", 0, new().short(4).short(0).long(1).long(0), source_type(ir::AddressTypes::LOCAL, true)),
        ("addrtype", 1, new().short(32).short(0).long(2), source_type(ir::AddressTypes::MULTICAST, false)),
        ("conntrack", 3, conntrack(1 << 13 | 1, 0, 2), Match::ConnectionState { states: established, negated: false }),
        (
            "conntrack",
            2,
            conntrack(1, 1, 1),
            Match::ConnectionState { states: ConnectionStates::INVALID, negated: true },
        ),
        (
            "conntrack",
            3,
            conntrack(1, 0, 0x100),
            Match::ConnectionState { states: ConnectionStates::UNTRACKED, negated: false },
        ),
        ("conntrack", 3, conntrack(1, 0, 0x80), translated(false)),
        ("conntrack", 3, conntrack(1, 1, 0x80), translated(true)),
        ("conntrack", 3, conntrack(1 << 12 | 1, 0, 0x80), Match::DestinationTranslated),
        ("conntrack", 3, conntrack(1 << 12, 1 << 12, 0), Match::Foreign(Foreign::Direction { reply: true })),
        ("conntrack", 3, conntrack(1 << 9, 0, 0), Match::OriginalPort(ports(8098, 8099))),
        ("state", 0, new().long(2), Match::ConnectionState { states: established, negated: false }),
        (
            "mark",
            1,
            new().long(5).long(0xff).bytes(&[1, 0, 0, 0]),
            Match::Foreign(Foreign::Mark { of: Marked::Packet, mask: 0xff, value: 5, negated: true }),
        ),
        (
            "connmark",
            1,
            new().long(5).long(0xff).zeros(4),
            Match::Foreign(Foreign::Mark { of: Marked::Connection, mask: 0xff, value: 5, negated: false }),
        ),
        ("limit", 0, new().long(200_000).long(5).zeros(32), Match::Limit { per_minute: 3, burst: 5 }),
        ("pkttype", 0, new().long(1).long(0), Match::PacketType { types: PacketTypes(2), negated: false }),
        ("rpfilter", 0, new().bytes(&[9]), Match::Foreign(Foreign::WayBack { same_interface: false, missing: true })),
        (
            "iprange",
            1,
            new().bytes(&[10, 0, 0, 1]).zeros(12).bytes(&[10, 0, 0, 9]).zeros(12).zeros(32).bytes(&[1, 0, 0, 0]),
            Match::Source {
                addresses: ir::Addresses::These(ir::Elements::ipv4(vec![(0x0a00_0001, 0x0a00_0009)])),
                negated: false,
            },
        ),
    ]
}

#[test]
fn structures_are_understood_and_cut_short_they_are_not() {
    for (name, revision, info, expected) in matches() {
        assert_eq!(tests(name, revision, &info), [[expected.clone()]], "{name} {revision}");
        // The kernel tells of a revision that nobody knew.
        assert_ne!(tests(name, 9, &info), [[expected.clone()]], "{name} 9");
        for length in 0..info.0.len() {
            let cut = Structure(info.0.get(..length).unwrap().to_vec());
            let found = tests(name, revision, &cut);
            let known = found == [[expected.clone()]];
            let unknown = found.iter().all(|all| all.iter().any(|one| matches!(one, Match::Unknown(_))));
            // What is left out behind the last field is filling.
            assert!(unknown || (known && length + 16 > info.0.len()) || name == "limit", "{name} {length}: {found:?}");
        }
    }
}

/// `! --syn`: no two hold at once, and all but one flag.
#[test]
fn flags_that_differ() {
    let info = new().short(0).short(u16::MAX).short(0).short(u16::MAX).bytes(&[0, 0x17, 2, 4]);
    let found = tests("tcp", 0, &info);
    for flags in 0..=u8::MAX {
        let holds = |all: &Vec<Match>| match all.as_slice() {
            [Match::TcpFlags { mask, value }] => flags & mask.0 == value.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.iter().filter(|all| holds(all)).count(), usize::from(flags & 0x17 != 2), "{flags}");
    }
}

/// firewalld asks so.
#[test]
fn states_and_translations_are_alternatives() {
    let translated = |negated| Match::Foreign(Foreign::Translated { end: ir::End::Destination, negated });
    let state = |negated| Match::ConnectionState { states: ConnectionStates::ESTABLISHED, negated };
    assert_eq!(tests("conntrack", 3, &conntrack(1, 0, 0x82)), [[state(false)], [translated(false)]]);
    assert_eq!(tests("conntrack", 3, &conntrack(1, 1, 0x82)), [[state(true), translated(true)]]);
    assert_eq!(varying("conntrack", 3, &conntrack(1, 0, 0x1000)), Some(Varying::Connection));
    assert_ne!(tests("conntrack", 3, &conntrack(1, 0, 0x1000)), tests("conntrack", 3, &conntrack(1, 0, 0x2000)));
}

/// On what a match hangs that is nothing but one test of something that no packet says.
fn varying(name: &str, revision: u32, info: &Structure) -> Option<Varying> {
    match tests(name, revision, info).concat().as_slice() {
        [Match::Foreign(Foreign::Varies { on, .. })] => Some(*on),
        _ => None,
    }
}

/// The bit of `--restore-skmark`, and what may be newer.
#[test]
fn a_socket_may_give_its_mark() {
    for (revision, flags, expected) in [
        (1, 1, Varying::Socket),
        (2, 3, Varying::Socket),
        (3, 3, Varying::Socket),
        (3, 4, Varying::SocketWithMark),
        (3, 6, Varying::SocketWithMark),
        (4, 0, Varying::SocketWithMark),
    ] {
        assert_eq!(varying("socket", revision, &new().bytes(&[flags])), Some(expected), "{revision}: {flags}");
    }
    assert_eq!(varying("socket", 3, &new()), Some(Varying::SocketWithMark));
}

/// An address of this host is `UNICAST` to IPv6 (seen on Linux 6.18).
#[test]
fn kinds_of_addresses_are_other_kinds_to_ipv6() {
    let sets = super::super::Sets::new();
    let lifted = |family, kinds: u16| {
        let program = [expression("match", "addrtype", 1, &new().short(0).short(kinds).long(0).0)];
        Program::new(family, &sets).lift(&Rule::default(), &program).remove(0).matches
    };
    let unicast = Foreign::DestinationType { types: ir::AddressTypes::UNICAST, negated: false };
    assert_eq!(lifted(Family::Ip, 2), [Match::Foreign(unicast)]);
    assert_eq!(lifted(Family::Ip6, 2), [Match::Unknown("-m addrtype".to_owned())]);
    assert_eq!(lifted(Family::Ip6, 6), [Match::Unknown("-m addrtype".to_owned())]);
    assert_eq!(lifted(Family::Ip6, 4), [Match::DestinationLocal]);
}

fn source_type(types: ir::AddressTypes, negated: bool) -> Match {
    Match::Foreign(Foreign::SourceType { types, negated })
}

#[test]
fn a_comment_is_no_test() {
    let rule = lifted(expression("match", "comment", 0, b"peers\0\0\0")).remove(0);
    assert_eq!((rule.comment.as_deref(), rule.matches.len()), (Some("peers"), 1));
}

fn range(flags: u32, address: [u8; 4], (first, last): (u16, u16)) -> Structure {
    let start = new().long(1).long(flags).bytes(&address).bytes(&address);
    start.bytes(&first.to_be_bytes()).bytes(&last.to_be_bytes())
}

fn newer_range(flags: u32, address: [u8; 4], (first, last): (u16, u16)) -> Structure {
    let start = new().long(flags).bytes(&address).zeros(12).bytes(&address).zeros(12);
    start.bytes(&first.to_be_bytes()).bytes(&last.to_be_bytes()).zeros(4)
}

/// struct xt_ct_target_info with a helper.
fn helper(name: &[u8]) -> Structure {
    new().zeros(12).bytes(name).zeros(16 - name.len()).zeros(8)
}

#[test]
fn a_zone_keeps_no_connection_from_a_helper() {
    let info = new().short(0).short(5).zeros(8).bytes(b"ftp").zeros(21);
    let rules = lifted(expression("target", "CT", 1, &info.0));
    let found: Vec<&Statement> = rules.iter().flat_map(|rule| &rule.statements).collect();
    assert_eq!(found, [&Statement::Track(Tracking::Expecting), &Statement::Track(Tracking::Zone)]);
}

#[test]
fn targets_do_what_they_say() {
    let to = |address: Option<[u8; 4]>, ports| Destined::To {
        addresses: address.map(|address| (address.into(), address.into())),
        ports,
    };
    let translate = |kind, to| Statement::Translate(kind, to);
    let address = [10, 0, 0, 5];
    let write = |field| Statement::Write { field, constant: true };
    let cases = vec![
        (
            "DNAT",
            0,
            range(3, address, (80, 90)),
            translate(Translation::Destination, to(Some(address), Some((80, 90)))),
        ),
        ("DNAT", 2, newer_range(1, address, (0, 0)), translate(Translation::Destination, to(Some(address), None))),
        ("DNAT", 7, newer_range(1, address, (0, 0)), translate(Translation::Destination, Destined::Unknown)),
        ("DNAT", 2, new().zeros(8), translate(Translation::Destination, to(None, None))),
        ("REDIRECT", 0, range(2, [0; 4], (80, 80)), translate(Translation::Redirect, to(None, Some((80, 80))))),
        ("SNAT", 1, newer_range(1, address, (0, 0)), translate(Translation::Source, to(Some(address), None))),
        ("MASQUERADE", 0, range(0, [0; 4], (0, 0)), translate(Translation::Masquerade, to(None, None))),
        ("MARK", 2, new().long(1).long(3), write(Field::Mark(Marking::Bits { keep: !3, flip: 1 }))),
        ("CONNMARK", 1, new().zeros(12).bytes(&[1, 0, 0, 0]), write(Field::Connection)),
        ("CONNMARK", 1, new().zeros(12).bytes(&[2, 0, 0, 0]), write(Field::Mark(Marking::Unknown))),
        ("CONNMARK", 2, new().zeros(12).bytes(&[0, 0, 1, 0]), write(Field::Connection)),
        ("CONNMARK", 2, new().zeros(12).bytes(&[0, 0, 2, 0]), write(Field::Mark(Marking::Unknown))),
        ("CONNMARK", 2, new().zeros(12).bytes(&[2, 0, 0, 0]), write(Field::Connection)),
        ("CT", 1, new().short(1).zeros(50), Statement::NoTrack),
        ("CT", 1, new().short(0).short(5).zeros(50), Statement::Track(Tracking::Zone)),
        ("CT", 1, new().zeros(54), Statement::Track(Tracking::Detail)),
        ("CT", 1, new().zeros(28).bytes(b"t\0").zeros(30), Statement::Track(Tracking::Zone)),
        ("CT", 2, helper(b"netbios-ns"), Statement::Track(Tracking::Detail)),
        ("CT", 2, helper(b"ftp"), Statement::Track(Tracking::Expecting)),
        // Without an end it is no name.
        ("CT", 2, helper(b"netbios-ns______"), Statement::Track(Tracking::Expecting)),
        ("LOG", 0, new().bytes(b"\x04\0fw: \0").zeros(40), Statement::Log("fw: ".to_owned())),
        ("NFQUEUE", 3, new().zeros(8), Statement::Divert(Diversion::Queue)),
        (
            "SET",
            3,
            new().short(7).zeros(2).short(u16::MAX).zeros(2).short(u16::MAX),
            Statement::Update { set: "ipset_x2d7".to_owned() },
        ),
        ("TEE", 1, new(), Statement::Copy),
    ];
    for (name, revision, info, expected) in cases {
        let rules = lifted(expression("target", name, revision, &info.0));
        let found: Vec<&Statement> = rules.iter().flat_map(|rule| &rule.statements).collect();
        if (name, info.0.len()) == ("DNAT", 8) {
            // Cut short.
            assert_eq!(found, [&translate(Translation::Destination, Destined::Unknown)]);
            continue;
        }
        assert_eq!(found, [&expected], "{name} {revision}");
        assert!(rules.iter().all(|rule| rule.verdict.is_none()), "{name}");
        for length in 0..info.0.len() {
            lifted(expression("target", name, revision, info.0.get(..length).unwrap()));
        }
    }
    // Which sets are changed is not known of one that is cut short, or newer: any.
    for (revision, info) in [(0, new().zeros(64)), (3, new().short(7).zeros(2).short(u16::MAX)), (4, new().zeros(64))] {
        let rules = lifted(expression("target", "SET", revision, &info.0));
        let found: Vec<&Statement> = rules.iter().flat_map(|rule| &rule.statements).collect();
        let marks = Statement::Write { field: Field::Mark(Marking::Unknown), constant: false };
        assert_eq!(found, [&Statement::Update { set: UNNAMED.to_owned() }, &marks], "{revision}");
    }
    // A set that is looked into may give packets its marks.
    let mapped = new().short(u16::MAX).zeros(2).short(u16::MAX).zeros(2).short(7);
    let rules = lifted(expression("target", "SET", 3, &mapped.0));
    let done: Vec<Statement> = rules.into_iter().flat_map(|rule| rule.statements).collect();
    let mark = Statement::Write { field: Field::Mark(Marking::Unknown), constant: false };
    assert_eq!(done, [Statement::Update { set: "ipset_x2d7".to_owned() }, mark]);
    let verdict = |name, info: Structure| lifted(expression("target", name, 0, &info.0)).pop().unwrap().verdict;
    assert_eq!(verdict("REJECT", new().long(7)), Some(Verdict::Reject(Reject::TcpReset)));
    assert_eq!(verdict("REJECT", new().long(3)), Some(Verdict::Reject(Reject::Icmp)));
    assert_eq!(verdict("NEWEST", new()), Some(Verdict::Unknown("-j NEWEST".to_owned())));
}
