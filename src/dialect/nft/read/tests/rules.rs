//! What every form of a rule means.

use super::{
    V4, V6, block, forms, interface, port, protocol, rules_of, source, source_set, states, tcp_flags, unknown,
};
use crate::ir::{Addresses, Elements, Match, PortBlock, PortMatch, Reject, TcpFlags, Varying, Verdict};

#[test]
fn addresses_and_interfaces() {
    let range = Match::Source { addresses: Addresses::These(Elements::Ipv4(vec![(1, 3)])), negated: false };
    let any_of_set = source_set("four", true);
    for (rule, expected) in [
        ("ip saddr 10.0.0.1", source(&["10.0.0.1"], false)),
        ("ip saddr == 10.0.0.1", source(&["10.0.0.1"], false)),
        ("ip saddr != 10.0.0.0/8", source(&["10.0.0.0/8"], true)),
        ("ip saddr 10.0.0.5/24", source(&["10.0.0.0/24"], false)),
        ("ip saddr 0.0.0.1-0.0.0.3", range.clone()),
        ("ip saddr 0.0.0.1 - 0.0.0.3", range.clone()),
        ("ip saddr { 0.0.0.3, 0.0.0.1-0.0.0.2 comment \"x\",\n 0.0.0.2, }", range),
        ("ip saddr { 10.0.0.1, 10.2.0.0/16 }", source(&["10.0.0.1", "10.2.0.0/16"], false)),
        ("ip saddr != { 10.0.0.1 }", source(&["10.0.0.1"], true)),
        ("ip saddr @four", source_set("four", false)),
        ("ip saddr != @four", any_of_set),
        ("ip6 saddr @six", source_set("six", false)),
        ("ip6 saddr fe80::/10", source(&["fe80::/10"], false)),
        ("ip6 saddr { ::1, fd00::/8 }", source(&["::1", "fd00::/8"], false)),
        ("ip6 saddr ::ffff:10.0.0.1", source(&["::ffff:10.0.0.1"], false)),
        ("iif lo", interface(&["lo"], false)),
        ("iif 1", interface(&["lo"], false)),
        ("iif != \"lo\"", interface(&["lo"], true)),
        ("meta iif { 1, lo }", interface(&["lo"], false)),
        ("iifname \"eth0\"", interface(&["eth0"], false)),
        ("meta iifname != { eth1, \"bond0.7\" }", interface(&["bond0.7", "eth1"], true)),
        ("iifname @names", interface(&["eth0", "lo"], false)),
        ("fib daddr type local", Match::DestinationLocal),
        ("fib daddr type 2", Match::DestinationLocal),
        ("fib daddr . iif type local", Match::DestinationOfInterface),
        ("ct direction original ct status dnat", Match::DestinationTranslated),
        ("@th,96,32 & 0x00100000 == 0x00000000", Match::FlagBit { flag: TcpFlags::ACK, set: false }),
        ("@th,96,32 & 0x20000 == 0x20000", Match::FlagBit { flag: TcpFlags::SYN, set: true }),
        ("th dport 4369", Match::PortBlock(PortBlock { first: 4369, bits: 16 })),
        ("frag frag-off 0", Match::FirstFragment),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    let daddr = Match::Destination { addresses: Addresses::network("10.0.0.1".parse().unwrap()), negated: false };
    assert_eq!(forms("ip daddr 10.0.0.1 tcp dport 22"), [[daddr, port(&["22"], false)]]);
    // A set whose elements come and go does not say of which family they are.
    assert_eq!(forms("ip saddr != @moving"), [[V4, source_set("moving", true)]]);
}

#[test]
fn ports() {
    let set = |negated| Match::DestinationPort { ports: PortMatch::Set("ports".into()), negated };
    for (rule, expected) in [
        ("tcp dport 22", port(&["22"], false)),
        ("tcp dport ssh", port(&["22"], false)),
        ("tcp dport 0x16", port(&["22"], false)),
        ("tcp dport != 22", port(&["22"], true)),
        ("tcp dport { 80, http, 443 }", port(&["80", "443"], false)),
        ("tcp dport { 20-30, 25 - 40, 41 }", port(&["20-41"], false)),
        ("tcp dport != { 22, 80 }", port(&["22", "80"], true)),
        ("tcp dport @ports", set(false)),
        ("tcp dport != @ports", set(true)),
        ("tcp dport >= 1024", port(&["1024-65535"], false)),
        ("tcp dport > 1024", port(&["1025-65535"], false)),
        // Port 0 has no place in a range: the test is turned round.
        ("tcp dport 0", port(&["1-65535"], true)),
        ("tcp dport != 0", port(&["1-65535"], false)),
        ("tcp dport 0-1023", port(&["1024-65535"], true)),
        ("tcp dport < 1024", port(&["1024-65535"], true)),
        ("tcp dport <= 1023", port(&["1024-65535"], true)),
        ("tcp dport 0-65535", port(&[], true)),
        ("tcp dport != { 0, 22 }", port(&["1-21", "23-65535"], false)),
        ("@th,0,32 & 0xf000 == 0x1000", block(0x1000, 4)),
        ("@th,0,32 & 0x0000ffff == 0x00003d38", block(0x3d38, 16)),
        ("@th,16,16 & 61440 == 4096", block(0x1000, 4)),
        ("th dport & 61440 == 4096", block(0x1000, 4)),
        ("th dport 22", block(22, 16)),
        ("th dport 0-65535", block(0, 0)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    assert_eq!(forms("tcp dport & 0xf000 == 0x1000"), [[protocol(6, false), block(0x1000, 4)]]);
    assert_eq!(forms("meta l4proto tcp th dport 22"), [[protocol(6, false), block(22, 16)]]);
    assert_eq!(forms("udp dport 53"), [[protocol(17, false), block(53, 16)]]);
    let udp = |first, bits| vec![protocol(17, false), block(first, bits)];
    assert_eq!(forms("udp dport { 53, 66-69 }"), [udp(53, 16), udp(66, 15), udp(68, 15)]);
    assert_eq!(forms("udp dport != 0x8000-0xffff"), [udp(0, 1)]);
    let both = [[protocol(6, false), block(53, 16)], [protocol(17, false), block(53, 16)]];
    assert_eq!(forms("meta l4proto { udp, tcp } th dport domain"), both);
}

#[test]
fn protocols_and_families() {
    for (rule, expected) in [
        ("meta l4proto tcp", vec![protocol(6, false)]),
        ("meta l4proto != 6", vec![protocol(6, true)]),
        ("meta l4proto != { tcp, udp }", vec![protocol(6, true), protocol(17, true)]),
        ("meta l4proto ipv6-icmp", vec![protocol(58, false)]),
        ("ip protocol tcp", vec![V4, protocol(6, false)]),
        ("ip protocol != udp", vec![V4, protocol(17, true)]),
        ("ip6 nexthdr != tcp", vec![Match::NotDirectlyTcp]),
        ("ip6 nexthdr != 6", vec![Match::NotDirectlyTcp]),
        ("meta nfproto ipv4", vec![V4]),
        ("meta nfproto 10", vec![V6]),
        ("meta nfproto != ipv4", vec![V6]),
        ("meta protocol ip", vec![V4]),
        ("meta protocol 0x86dd", vec![V6]),
    ] {
        assert_eq!(forms(rule), [expected], "{rule}");
    }
    assert_eq!(forms("meta l4proto { tcp, udp }"), [[protocol(6, false)], [protocol(17, false)]]);
    assert_eq!(forms("meta l4proto { tcp, udp } tcp dport 22"), [[protocol(6, false), port(&["22"], false)]]);
    // Contradictions of a single rule stay.
    assert_eq!(forms("meta l4proto udp tcp dport 22"), [[protocol(17, false), port(&["22"], false)]]);
}

#[test]
fn connection_states() {
    for (rule, expected) in [
        ("ct state new", states(8, false)),
        ("ct state 0x8", states(8, false)),
        ("ct state 0x6", states(6, false)),
        ("ct state == new", states(8, false)),
        ("ct state != new", states(8, true)),
        ("ct state established,related", states(6, false)),
        ("ct state related, established", states(6, false)),
        ("ct state 0x2,0x4", states(6, false)),
        ("ct state { established, related }", states(6, false)),
        ("ct state != { invalid, new }", states(9, true)),
        ("ct state ! established,related", states(6, true)),
        ("ct state untracked", states(64, false)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    // Compared as one number these mean something else: never, and always.
    for rule in ["ct state == established,related", "ct state != established,related", "ct state established | related"]
    {
        let (rules, listed) = rules_of("inet", &format!("{rule} accept"));
        assert_eq!(rules, [(vec![unknown(rule)], Some(Verdict::Accept))]);
        assert_eq!(listed, [rule]);
    }
}

#[test]
fn flags_of_tcp() {
    for (rule, expected) in [
        ("tcp flags syn", vec![tcp_flags(2, 2)]),
        ("tcp flags syn / syn,ack", vec![tcp_flags(0x12, 2)]),
        ("tcp flags 0x2 / 0x2,0x10", vec![tcp_flags(0x12, 2)]),
        ("tcp flags & (syn|ack) == syn", vec![tcp_flags(0x12, 2)]),
        ("tcp flags & (syn | ack) == syn | ack", vec![tcp_flags(0x12, 0x12)]),
        ("tcp flags & (syn | ack) == ( syn | ack )", vec![tcp_flags(0x12, 0x12)]),
        ("tcp flags & (fin | syn) == 0x0", vec![tcp_flags(3, 0)]),
        ("tcp flags & syn != 0", vec![tcp_flags(2, 2)]),
        ("tcp flags & syn != syn", vec![tcp_flags(2, 0)]),
        ("tcp flags ! fin,syn", vec![tcp_flags(3, 0)]),
        ("tcp flags == syn", vec![tcp_flags(0xff, 2)]),
        ("tcp flags { syn, syn | ack }", vec![tcp_flags(0xff, 2), tcp_flags(0xff, 0x12)]),
        ("tcp flags syn,ack", vec![tcp_flags(2, 2), tcp_flags(0x12, 0x10)]),
        ("tcp flags != syn / syn,ack", vec![tcp_flags(2, 0), tcp_flags(0x12, 0x12)]),
    ] {
        let expected: Vec<Vec<Match>> = expected.into_iter().map(|one| vec![one]).collect();
        assert_eq!(forms(rule), expected, "{rule}");
    }
    assert_eq!(forms("tcp flags != syn").len(), 8);
}

/// Alternatives exclude each other and leave nothing out.
#[test]
fn alternatives_of_flags_are_a_partition() {
    for (rule, holds) in [
        ("tcp flags syn,ack,fin", (|flags| flags & 0x13 != 0) as fn(u8) -> bool),
        ("tcp flags & (fin|syn|rst|ack) != syn", |flags| flags & 0x17 != 2),
        ("tcp flags != syn", |flags| flags != 2),
    ] {
        let alternatives = forms(rule);
        for flags in 0..=255_u8 {
            let hits = alternatives.iter().filter(|one| match one.as_slice() {
                [Match::TcpFlags { mask, value }] => flags & mask.0 == value.0,
                _ => panic!("{one:?}"),
            });
            assert_eq!(hits.count(), usize::from(holds(flags)), "{rule} {flags:#x}");
        }
    }
}

#[test]
fn limits() {
    let limit = |per_minute, burst| Match::Limit { per_minute, burst };
    for (rule, expected) in [
        ("limit rate 10/minute", limit(10, 5)),
        ("limit rate 10/minute burst 5 packets", limit(10, 5)),
        ("limit rate until 2/second burst 3 packets", limit(120, 3)),
        ("limit rate 120/hour", limit(2, 5)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    for rule in ["limit rate over 10/minute", "limit rate 7/day", "limit rate 10 mbytes/second", "limit name \"x\""] {
        let (rules, listed) = rules_of("inet", &format!("{rule} drop"));
        assert_eq!(rules, [(vec![Match::varies(Varying::Rate, rule)], Some(Verdict::Drop))]);
        assert_eq!(listed, [] as [&str; 0]);
    }
}

#[test]
fn verdicts() {
    for (rule, expected) in [
        ("accept", Some(Verdict::Accept)),
        ("drop", Some(Verdict::Drop)),
        ("return", Some(Verdict::Return)),
        ("continue", None),
        ("counter", None),
        ("jump other", Some(Verdict::Jump("other".into()))),
        ("goto other", Some(Verdict::Goto("other".into()))),
        ("reject", Some(Verdict::Reject(Reject::Icmp))),
        ("reject with icmpx type admin-prohibited", Some(Verdict::Reject(Reject::Icmp))),
        ("reject with icmpx 3 comment \"x\"", Some(Verdict::Reject(Reject::Icmp))),
        ("meta mark set 0x10 accept", Some(Verdict::Accept)),
        ("meta mark set meta mark and 0xff xor 0x1 accept", Some(Verdict::Accept)),
        ("ct mark set meta mark accept", Some(Verdict::Accept)),
        ("meta priority set 1:10 accept", Some(Verdict::Accept)),
        ("notrack accept", Some(Verdict::Accept)),
        ("counter name \"c\" accept", Some(Verdict::Accept)),
        ("counter packets 5 bytes 6 log prefix \"a\" level info flags tcp sequence,options drop", Some(Verdict::Drop)),
        ("log flags ip options group 2 drop", Some(Verdict::Drop)),
    ] {
        let (rules, listed) = rules_of("inet", rule);
        assert_eq!(rules, [(Vec::new(), expected)], "{rule}");
        assert_eq!(listed, Vec::<String>::new(), "{rule}");
    }
    // What the notice needs is tested.
    let reset = Some(Verdict::Reject(Reject::TcpReset));
    let message = Some(Verdict::Reject(Reject::Icmp));
    let first = |rule| rules_of("inet", rule).0;
    assert_eq!(first("counter reject with tcp reset"), [(vec![protocol(6, false)], reset.clone())]);
    // nft lists these without the family that they may be for.
    let left_out = Match::Unknown("`reject with tcp reset`, of which nft may have left out the family".to_owned());
    let port22 = || port(&["22"], false);
    assert_eq!(first("tcp dport 22 reject with tcp reset"), [(vec![port22(), left_out.clone()], reset.clone())]);
    assert_eq!(first("meta l4proto tcp reject with tcp reset"), [(vec![protocol(6, false), left_out], reset.clone())]);
    let named = "meta nfproto ipv4 tcp dport 22 reject with tcp reset";
    assert_eq!(first(named), [(vec![V4, port22()], reset.clone())]);
    assert_eq!(first("tcp dport 22 counter reject with tcp reset"), [(vec![port22()], reset.clone())]);
    assert_eq!(rules_of("ip", "tcp dport 22 reject with tcp reset").0, [(vec![port22()], reset)]);
    assert_eq!(first("reject with icmp type host-unreachable"), [(vec![V4], message.clone())]);
    assert_eq!(rules_of("ip", "reject with icmp 1").0, [(Vec::new(), message)]);
}

#[test]
fn what_is_not_understood_is_kept() {
    for (rule, matches, verdict) in [
        ("oifname \"*\" drop", vec![unknown("oifname \"*\"")], Verdict::Drop),
        ("iifname \"eth\\*\" drop", vec![unknown("iifname \"eth\\*\"")], Verdict::Drop),
        ("oif 7 drop", vec![unknown("oif 7")], Verdict::Drop),
        ("iif 7 drop", vec![unknown("iif 7")], Verdict::Drop),
        ("ip saddr @nowhere drop", vec![V4, unknown("ip saddr @nowhere")], Verdict::Drop),
        ("ip saddr @ports drop", vec![V4, unknown("ip saddr @ports")], Verdict::Drop),
        ("ip saddr 010.0.0.1 drop", vec![V4, unknown("ip saddr 010.0.0.1")], Verdict::Drop),
        ("ip saddr example.com drop", vec![V4, unknown("ip saddr example.com")], Verdict::Drop),
        (
            "ip saddr . tcp dport @c drop",
            vec![V4, protocol(6, false), unknown("ip saddr . tcp dport @c")],
            Verdict::Drop,
        ),
        (
            "ip saddr . tcp dport != { 10.0.0.1 . 22, 10.0.0.2 . 80 } drop",
            vec![V4, protocol(6, false), unknown("ip saddr . tcp dport != { 10.0.0.1 . 22, 10.0.0.2 . 80 }")],
            Verdict::Drop,
        ),
        ("ip frag-off & 8192 != 0 drop", vec![V4, unknown("ip frag-off & 8192 != 0")], Verdict::Drop),
        (
            "fib saddr . oif oif missing tcp dport 22 drop",
            vec![unknown("fib saddr . oif oif missing"), port(&["22"], false)],
            Verdict::Drop,
        ),
        ("fib saddr . iif type local drop", vec![unknown("fib saddr . iif type local")], Verdict::Drop),
        ("fib saddr . iif oif 2 drop", vec![unknown("fib saddr . iif oif 2")], Verdict::Drop),
        ("fib daddr . iif type broadcast drop", vec![unknown("fib daddr . iif type broadcast")], Verdict::Drop),
        ("ip6 nexthdr tcp drop", vec![V6, protocol(6, false), unknown("ip6 nexthdr tcp")], Verdict::Drop),
        ("tcp dport zzz drop", vec![protocol(6, false), unknown("tcp dport zzz")], Verdict::Drop),
        ("tcp dport 22 . 23 drop", vec![protocol(6, false), unknown("tcp dport 22 . 23")], Verdict::Drop),
        ("@th,16,16 0x16 drop", vec![block(0, 0), unknown("@th,16,16 0x16")], Verdict::Drop),
        ("@th,16,16 != 22 drop", vec![block(0, 0), unknown("@th,16,16 != 22")], Verdict::Drop),
        ("@th,16,16 < 22 drop", vec![block(0, 0), unknown("@th,16,16 < 22")], Verdict::Drop),
        ("@nh,0,8 0x3 drop", vec![unknown("@nh,0,8 0x3")], Verdict::Drop),
        (
            "@th,0,32 & 0xf0000000 == 0x10000000 drop",
            vec![unknown("@th,0,32 & 0xf0000000 == 0x10000000")],
            Verdict::Drop,
        ),
        (
            "tcp dport 22 xt match set counter packets 0 bytes 0 accept",
            vec![port(&["22"], false), unknown("xt match set")],
            Verdict::Accept,
        ),
        ("tcp dport 22 xt target CT", vec![port(&["22"], false)], Verdict::Unknown("xt target CT".into())),
        (
            "@th,96,32 & 0x00120000 == 0x00020000 accept",
            vec![unknown("@th,96,32 & 0x00120000 == 0x00020000")],
            Verdict::Accept,
        ),
        ("ct direction 7 accept", vec![unknown("ct direction 7")], Verdict::Accept),
        ("ct original l3proto ipv4 drop", vec![], Verdict::Unknown("ct original l3proto ipv4 drop".into())),
        ("meta mark & 0xff == 0x100 accept", vec![unknown("meta mark & 0xff == 0x100")], Verdict::Accept),
        ("meta mark | 0x1 == 0x1 accept", vec![unknown("meta mark | 0x1 == 0x1")], Verdict::Accept),
        ("mark @nowhere accept", vec![unknown("mark @nowhere")], Verdict::Accept),
        ("meta ipsec missing drop", vec![unknown("meta ipsec missing")], Verdict::Drop),
        // Not the packet's own source.
        ("ipsec in ip saddr 10.0.0.1 accept", vec![], Verdict::Unknown("ipsec in ip saddr 10.0.0.1 accept".into())),
        ("osf ttl loose name \"Linux\" accept", vec![unknown("osf ttl loose name \"Linux\"")], Verdict::Accept),
        ("meta hour \"08:00\"-\"17:00\" accept", vec![unknown("meta hour \"08:00\"-\"17:00\"")], Verdict::Accept),
        ("meta hoursmarch 5 accept", vec![], Verdict::Unknown("meta hoursmarch 5 accept".into())),
        (
            "tcp option maxseg size 1200 accept",
            vec![protocol(6, false), unknown("tcp option maxseg size 1200")],
            Verdict::Accept,
        ),
        // nft up to 1.0.6 compiles one comparison of four bytes, newer ones two.
        (
            "tcp sport != 1 tcp dport != 2 accept",
            vec![unknown("tcp sport != 1"), unknown("tcp dport != 2")],
            Verdict::Accept,
        ),
        (
            "ip saddr != 1.2.3.4 ip daddr != 5.6.7.8 drop",
            vec![unknown("ip saddr != 1.2.3.4"), unknown("ip daddr != 5.6.7.8")],
            Verdict::Drop,
        ),
        ("@th,0,16 != 1 @th,16,16 != 2 drop", vec![unknown("@th,0,16 != 1"), unknown("@th,16,16 != 2")], Verdict::Drop),
        // As nft lists `-m frag`: two blanks, and nothing between them.
        (
            "tcp dport 22  counter packets 0 bytes 0 accept",
            vec![port(&["22"], false), unknown("a test that nft did not print")],
            Verdict::Accept,
        ),
        (
            "tcp dport 22 # match-set strangers src accept",
            vec![port(&["22"], false)],
            Verdict::Unknown("# match-set strangers src accept".into()),
        ),
        ("frobnicate tcp dport 22 accept", vec![], Verdict::Unknown("frobnicate tcp dport 22 accept".into())),
        ("accept tcp dport 22", vec![], Verdict::Unknown("accept tcp dport 22".into())),
        ("jump {\n accept\n }", vec![], Verdict::Unknown("jump { accept }".into())),
        (
            "tcp dport 22 # xt_recent counter drop",
            vec![port(&["22"], false)],
            Verdict::Unknown("# xt_recent counter drop".into()),
        ),
    ] {
        let (rules, listed) = rules_of("inet", rule);
        assert_eq!(rules, [(matches, Some(verdict))], "{rule}");
        assert!(!listed.is_empty(), "{rule}");
    }
}

#[test]
fn verdict_maps() {
    let accept = || Some(Verdict::Accept);
    let jump = || Some(Verdict::Jump("other".into()));
    for (rule, expected) in [
        (
            "ct state vmap { established : accept, invalid:drop }",
            vec![(vec![states(2, false)], accept()), (vec![states(1, false)], Some(Verdict::Drop))],
        ),
        (
            "tcp dport vmap { 22 : jump other, 80-90 : continue }",
            vec![(vec![port(&["22"], false)], jump()), (vec![port(&["80-90"], false)], None)],
        ),
        (
            "ip saddr 1.2.3.4 tcp dport vmap @fates",
            vec![
                (vec![source(&["1.2.3.4"], false), port(&["22"], false)], accept()),
                (vec![source(&["1.2.3.4"], false), port(&["23"], false)], jump()),
            ],
        ),
        (
            "iifname vmap { \"lo\" : accept, eth0 : jump other }",
            vec![(vec![interface(&["lo"], false)], accept()), (vec![interface(&["eth0"], false)], jump())],
        ),
        (
            "ip saddr vmap { 10.0.0.1 : accept, * : drop }",
            vec![(vec![source(&["10.0.0.1"], false)], accept()), (vec![V4], Some(Verdict::Drop))],
        ),
        (
            "meta l4proto vmap { tcp : jump other, udp : accept }",
            vec![(vec![protocol(6, false)], jump()), (vec![protocol(17, false)], accept())],
        ),
        (
            "meta l4proto { tcp, udp } tcp dport vmap { 22 : accept }",
            vec![(vec![protocol(6, false), port(&["22"], false)], accept())],
        ),
    ] {
        let (rules, listed) = rules_of("inet", rule);
        assert_eq!(rules, expected, "{rule}");
        assert_eq!(listed, Vec::<String>::new(), "{rule}");
    }
    // Behind a jump that comes back, "everything else" is not the rest.
    let rest = (vec![protocol(6, false), unknown("nothing else in the map")], Some(Verdict::Drop));
    assert_eq!(rules_of("inet", "tcp dport vmap { * : drop, 22 : jump other }").0[1], rest);
    for (rule, implied) in [
        ("ip saddr . tcp dport vmap @nowhere", vec![V4]),
        ("ip saddr . tcp dport vmap { 10.0.0.1 : accept }", vec![V4]),
        ("tcp dport vmap @nowhere", vec![protocol(6, false)]),
        ("iifname vmap { \"*\" : accept }", vec![]),
        ("ct direction vmap { sideways : accept }", vec![]),
        ("numgen inc mod 2 vmap @nowhere", vec![]),
        ("tcp dport vmap { 22 : counter accept }", vec![protocol(6, false)]),
        ("tcp dport vmap { 22 : jump { accept; } }", vec![protocol(6, false)]),
    ] {
        let (rules, _) = rules_of("inet", rule);
        assert_eq!(rules, [(implied, Some(Verdict::Unknown(rule.into())))]);
    }
}

/// nft loads no such thing, and lists one where an extension of ip6tables has a name of IPv4.
#[test]
fn a_header_of_another_family_is_no_test_that_never_holds() {
    let drop = || Some(Verdict::Drop);
    for (family, rule) in [("ip6", "ip ecn not-ect drop"), ("ip", "ip6 dscp cs0 drop")] {
        let (rules, _) = rules_of(family, rule);
        let known = |one: &Match| !matches!(one, Match::Unknown(_));
        assert!(!rules[0].0.iter().any(known), "{rules:?}");
        assert_eq!(rules[0].1, drop(), "{rule}");
    }
    assert_eq!(rules_of("inet", "ip ecn not-ect drop").0, [(vec![V4, unknown("ip ecn not-ect")], drop())]);
}
