//! What only rules of others ask and do.

use super::{V4, V6, all, block, forms, interface, port, protocol, rules_of, source, states, unknown};
use crate::ir::{
    AddressTypes, Addresses, Destined, DeviceName, Elements, End, Foreign, Marked, Match, PortMatch, Rule, Side,
    Statement, Translation, Varying, Verdict,
};

fn device(side: Side, names: &[&str], negated: bool) -> Match {
    let name = |text: &&str| match text.strip_suffix('*') {
        Some(begin) => DeviceName::Begins(begin.to_owned()),
        None => DeviceName::Is(super::named_interface(text).unwrap()),
    };
    Match::Foreign(Foreign::Device { side, names: names.iter().map(name).collect(), negated })
}

fn mark(of: Marked, mask: u32, value: u32, negated: bool) -> Match {
    Match::Foreign(Foreign::Mark { of, mask, value, negated })
}

fn translated(end: End, negated: bool) -> Match {
    Match::Foreign(Foreign::Translated { end, negated })
}

fn back(same_interface: bool, missing: bool) -> Match {
    Match::Foreign(Foreign::WayBack { same_interface, missing })
}

fn to_type(types: AddressTypes, negated: bool) -> Match {
    Match::Foreign(Foreign::DestinationType { types, negated })
}

fn source_port(ports: &[&str], negated: bool) -> Match {
    match port(ports, negated) {
        Match::DestinationPort { ports, negated } => Match::Foreign(Foreign::SourcePort { ports, negated }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn interfaces_of_both_sides() {
    use Side::{In, Out};
    for (rule, expected) in [
        ("oifname \"eth0\"", device(Out, &["eth0"], false)),
        ("oifname != \"docker0\"", device(Out, &["docker0"], true)),
        ("oif lo", device(Out, &["lo"], false)),
        ("oif != \"lo\"", device(Out, &["lo"], true)),
        ("meta oif 1", device(Out, &["lo"], false)),
        ("meta oifname { \"b\", \"a*\", c }", device(Out, &["b", "c", "a*"], false)),
        ("oifname @names", device(Out, &["eth0", "lo"], false)),
        ("iifname \"docker*\"", device(In, &["docker*"], false)),
        ("iifname != { \"veth*\", \"lo\" }", device(In, &["lo", "veth*"], true)),
        ("iif != \"lo\"", interface(&["lo"], true)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
}

#[test]
fn marks() {
    use Marked::{Connection, Packet};
    for (rule, expected) in [
        ("meta mark 0x1", mark(Packet, u32::MAX, 1, false)),
        ("mark 7", mark(Packet, u32::MAX, 7, false)),
        ("meta mark != 0", mark(Packet, u32::MAX, 0, true)),
        ("meta mark & 0x00002000 == 0x00002000", mark(Packet, 0x2000, 0x2000, false)),
        ("mark and 0x4000 != 0x4000", mark(Packet, 0x4000, 0x4000, true)),
        ("ct mark 0x10", mark(Connection, u32::MAX, 16, false)),
        ("ct mark & 0xff != 0", mark(Connection, 0xff, 0, true)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    let one = |value| vec![mark(Packet, u32::MAX, value, false)];
    assert_eq!(forms("meta mark { 2, 1 }"), [one(1), one(2)]);
    assert_eq!(forms("meta mark != { 2, 1 }"), [[mark(Packet, u32::MAX, 1, true), mark(Packet, u32::MAX, 2, true)]]);
    let masked = |value| vec![mark(Packet, 3, value, false)];
    assert_eq!(forms("meta mark & 3 == { 1, 2 }"), [masked(1), masked(2)]);
}

#[test]
fn connections_and_routes() {
    for (rule, expected) in [
        ("ct status dnat", translated(End::Destination, false)),
        ("ct status snat", translated(End::Source, false)),
        ("ct status ! dnat", translated(End::Destination, true)),
        ("ct status & dnat == dnat", translated(End::Destination, false)),
        ("ct status & dnat != 0", translated(End::Destination, false)),
        ("ct status & dnat == 0", translated(End::Destination, true)),
        ("ct status & snat != snat", translated(End::Source, true)),
        ("ct direction original", Match::Foreign(Foreign::Direction { reply: false })),
        ("ct direction reply", Match::Foreign(Foreign::Direction { reply: true })),
        ("ct direction != reply", Match::Foreign(Foreign::Direction { reply: false })),
        ("fib saddr . iif oif missing", back(true, true)),
        ("fib saddr . iif oif 0", back(true, true)),
        ("fib saddr . iif oif exists", back(true, false)),
        ("fib saddr . iif oif != 0", back(true, false)),
        ("fib saddr . mark . iif oif missing", back(true, true)),
        ("fib saddr . iif check missing", back(true, true)),
        ("fib saddr oif missing", back(false, true)),
        ("fib saddr . mark oif exists", back(false, false)),
        ("fib daddr type broadcast", to_type(AddressTypes::BROADCAST, false)),
        ("fib daddr type != local", to_type(AddressTypes::LOCAL, true)),
        ("fib daddr type { broadcast, anycast, multicast }", {
            let types = AddressTypes::BROADCAST.with(AddressTypes::ANYCAST).with(AddressTypes::MULTICAST);
            to_type(types, false)
        }),
        ("fib daddr type { local, 3 }", to_type(AddressTypes::LOCAL.with(AddressTypes::BROADCAST), false)),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
}

#[test]
fn headers_of_extensions_and_of_other_protocols() {
    for rule in
        ["rt type 0", "rt type != 0", "rt seg-left { 1, 2 }", "hbh nexthdr tcp", "exthdr rt exists", "dst hdrlength 4"]
    {
        let header = Match::Foreign(Foreign::ExtensionHeader(rule.to_owned()));
        assert_eq!(forms(rule), [[V6, header]], "{rule}");
    }
    // These never concern TCP, and so nobody has to be told of them.
    for (rule, number) in [
        ("icmp type echo-request", 1),
        ("icmp type { destination-unreachable, redirect }", 1),
        ("icmpv6 type nd-router-advert", 58),
        ("udp sport 67", 17),
        ("udp sport { 67, 547 }", 17),
        ("igmp type membership-query", 2),
        ("esp spi 5", 50),
        ("ah spi 5", 51),
        ("sctp sport 1", 132),
        ("dccp type request", 33),
    ] {
        let (rules, listed) = rules_of("inet", &format!("{rule} accept"));
        assert_eq!(rules, [(vec![protocol(number, false), unknown(rule)], Some(Verdict::Accept))], "{rule}");
        assert_eq!(listed, Vec::<String>::new(), "{rule}");
    }
    let (rules, listed) = rules_of("inet", "ip6 nexthdr ipv6-icmp accept");
    let expected = vec![V6, protocol(58, false), unknown("ip6 nexthdr ipv6-icmp")];
    assert_eq!((rules, listed), (vec![(expected, Some(Verdict::Accept))], Vec::new()));
    assert_eq!(rules_of("inet", "icmp type redirect ip saddr 1.2.3.4 tcp dport 22 drop").1, Vec::<String>::new());
}

#[test]
fn source_ports() {
    for (rule, expected) in [
        ("tcp sport 22", source_port(&["22"], false)),
        ("tcp sport != 1024-65535", source_port(&["1024-65535"], true)),
        ("tcp sport { 20, 22 }", source_port(&["20", "22"], false)),
        ("tcp sport >= 1024", source_port(&["1024-65535"], false)),
        ("tcp sport @ports", {
            Match::Foreign(Foreign::SourcePort { ports: PortMatch::Set("ports".into()), negated: false })
        }),
    ] {
        assert_eq!(forms(rule), [[expected]], "{rule}");
    }
    let of_tcp = vec![protocol(6, false), source_port(&["53"], false)];
    let of_others = vec![protocol(6, true), block(0, 0), unknown("th sport 53")];
    assert_eq!(forms("th sport 53"), [of_tcp, of_others]);
    let of_udp = [protocol(17, false), protocol(6, true), block(0, 0), unknown("th sport 53")];
    assert_eq!(forms("meta l4proto udp th sport 53"), [of_udp]);
}

#[test]
fn several_things_at_once() {
    let one = |address: &str, ports: &str| vec![source(&[address], false), port(&[ports], false)];
    assert_eq!(
        forms("ip saddr . tcp dport { 10.0.0.1 . 22, 10.0.0.2 . 80 }"),
        [one("10.0.0.1", "22"), one("10.0.0.2", "80")]
    );
    assert_eq!(
        forms("ip saddr . tcp dport { 10.0.0.0/24 . 22, 10.0.1.0/24 . 8000-8100 comment \"x\" }"),
        [one("10.0.0.0/24", "22"), one("10.0.1.0/24", "8000-8100")]
    );
    let of = |number, first| vec![protocol(number, false), block(first, 16)];
    assert_eq!(forms("meta l4proto . th dport { tcp . 22, udp . 53 }"), [of(6, 22), of(17, 53)]);
    let way = |a: &str, b: &str| vec![interface(&[a], false), device(Side::Out, &[b], false)];
    assert_eq!(forms("iifname . oifname { \"a\" . \"b\", \"c\" . \"d*\" }"), [way("a", "b"), way("c", "d*")]);
    // What one of the things is the IR cannot say, but that they are ICMP.
    let rule = "icmpv6 type . ip6 saddr { nd-router-advert . fe80::/10 }";
    assert_eq!(forms(rule), [[protocol(58, false), V6, unknown(rule)]]);
}

/// Any element of a map may be found whose key is not known, and none as well.
#[test]
fn maps_whose_keys_the_rules_do_not_say() {
    let rule = "numgen random mod 2 vmap { 0 : goto other, 1 : drop }";
    let maybe = || vec![Match::varies(Varying::Chance, "numgen random mod 2 vmap")];
    let goto = Verdict::Goto("other".into());
    let (rules, listed) = rules_of("inet", rule);
    assert_eq!(rules, [(maybe(), Some(goto)), (maybe(), Some(Verdict::Drop))]);
    assert_eq!(listed, [] as [&str; 0]);
    let of_tcp = |verdict| (vec![protocol(6, false), unknown("tcp flags vmap")], Some(verdict));
    let (rules, _) = rules_of("inet", "tcp flags vmap { syn : accept, ack : drop }");
    assert_eq!(rules, [of_tcp(Verdict::Accept), of_tcp(Verdict::Drop)]);
    // By chance, or who knows how: but to one of these two.
    let sent = sent("dnat ip to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 . 80 }");
    let address = |text: &str| Some((text.parse().unwrap(), text.parse().unwrap()));
    let chance = || vec![V4, Match::varies(Varying::Chance, "dnat ip to numgen random mod 2 map")];
    let to = |text: &str, ports| (chance(), Translation::Destination, Destined::To { addresses: address(text), ports });
    assert_eq!(sent, [to("10.0.0.1", None), to("10.0.0.2", Some((80, 80)))]);
}

/// The rules of the chain `c`.
fn chain_of(table: &str) -> Vec<Rule> {
    let read = all(table);
    assert_eq!(read.unknown, [], "{table}");
    read.ruleset.tables[0].chains.iter().find(|chain| chain.name == "c").unwrap().rules.clone()
}

#[test]
fn named_sets_and_maps_of_several_things() {
    let rules = chain_of(
        "table inet t {
        set pairs { type ipv4_addr . inet_service; flags interval
            elements = { 10.0.0.1 . 22,
                10.0.0.2 . 80-90 counter packets 5 bytes 9 } }
        set protocols { type inet_proto; elements = { tcp, udp } }
        set marks { type mark; elements = { 0x1 } }
        map fates { typeof ip saddr . meta l4proto . th dport : verdict
            elements = { 10.0.0.1 . tcp . 22 : accept, 10.0.0.2 comment \"y\" . udp . 53 : drop } }
        map service-ips { type ipv4_addr . inet_proto . inet_service : verdict
            elements = { 10.96.0.1 comment \"a\" : drop } }
        map ips { type ipv4_addr . inet_proto . inet_service : verdict
            elements = { 10.96.0.1 . tcp . 443 : goto other, 10.96.0.10 . udp . 53 counter : jump other } }
        chain other { }
        chain c {
            ip saddr . tcp dport @pairs accept
            meta l4proto @protocols meta mark @marks drop
            ip daddr . meta l4proto . th dport vmap @ips
        } }",
    );
    let found: Vec<(&[Match], Option<&Verdict>)> =
        rules.iter().map(|rule| (rule.matches.as_slice(), rule.verdict.as_ref())).collect();
    let pair = |address: &str, ports: &str| vec![source(&[address], false), port(&[ports], false)];
    let both = |number| vec![protocol(number, false), mark(Marked::Packet, u32::MAX, 1, false)];
    let to = |address: &str, number, first| {
        let addresses = Addresses::These(Elements::of_networks(&[address.parse().unwrap()]));
        vec![Match::Destination { addresses, negated: false }, protocol(number, false), block(first, 16)]
    };
    let (goto, jump) = (Verdict::Goto("other".into()), Verdict::Jump("other".into()));
    assert_eq!(
        found,
        [
            (pair("10.0.0.1", "22").as_slice(), Some(&Verdict::Accept)),
            (pair("10.0.0.2", "80-90").as_slice(), Some(&Verdict::Accept)),
            (both(6).as_slice(), Some(&Verdict::Drop)),
            (both(17).as_slice(), Some(&Verdict::Drop)),
            (to("10.96.0.1", 6, 443).as_slice(), Some(&goto)),
            (to("10.96.0.10", 17, 53).as_slice(), Some(&jump)),
        ]
    );
}

#[test]
fn as_many_elements_as_hosts_have() {
    let elements: Vec<String> = (0..20_000_u32)
        .map(|n| format!("10.{}.{}.{} . tcp . {} : drop", n >> 16, n >> 8 & 255, n & 255, 1 + n % 60_000))
        .collect();
    let rules = chain_of(&format!(
        "table ip t {{
        map m {{ type ipv4_addr . inet_proto . inet_service : verdict; elements = {{ {} }} }}
        chain c {{ ip daddr . meta l4proto . th dport vmap @m\n }} }}",
        elements.join(",\n")
    ));
    assert_eq!(rules.len(), 20_000);
}

/// Where a rule sends packets to, in a table of both families.
fn sent(rule: &str) -> Vec<(Vec<Match>, Translation, Destined)> {
    let read = all(&format!(
        "table inet t {{\nmap m {{ type inet_service : ipv4_addr; elements = {{ 80 : 10.0.0.1 }} }}\nchain c {{\n{rule}\n}}\n}}"
    ));
    let of_rule = |rule: &Rule| match rule.statements.as_slice() {
        [Statement::Translate(kind, to)] => (rule.matches.clone(), *kind, to.clone()),
        other => panic!("{other:?}"),
    };
    read.ruleset.tables[0].chains[0].rules.iter().map(of_rule).collect()
}

#[test]
fn where_translations_lead_to() {
    use Translation::{Destination, Masquerade, Redirect, Source};
    let to = |first: &str, last: &str, ports| Destined::To {
        addresses: Some((first.parse().unwrap(), last.parse().unwrap())),
        ports,
    };
    let ports = |ports| Destined::To { addresses: None, ports };
    for (rule, matches, kind, expected) in [
        ("dnat ip to 10.0.0.1", vec![V4], Destination, to("10.0.0.1", "10.0.0.1", None)),
        ("dnat to 10.0.0.1:80", vec![V4], Destination, to("10.0.0.1", "10.0.0.1", Some((80, 80)))),
        ("dnat to 10.0.0.1-10.0.0.9:80-90 random", vec![V4], Destination, to("10.0.0.1", "10.0.0.9", Some((80, 90)))),
        ("dnat to 10.0.0.1 - 10.0.0.9 persistent", vec![V4], Destination, to("10.0.0.1", "10.0.0.9", None)),
        ("dnat ip6 to fd00::1", vec![V6], Destination, to("fd00::1", "fd00::1", None)),
        ("dnat ip6 to [fd00::1]:80", vec![V6], Destination, to("fd00::1", "fd00::1", Some((80, 80)))),
        ("dnat to :8098", vec![], Destination, ports(Some((8098, 8098)))),
        ("redirect", vec![], Redirect, ports(None)),
        ("redirect to :8080-8090 random,persistent", vec![], Redirect, ports(Some((8080, 8090)))),
        ("redirect to 8080", vec![], Redirect, ports(Some((8080, 8080)))),
        ("masquerade fully-random", vec![], Masquerade, ports(None)),
        ("snat ip to 192.0.2.1", vec![V4], Source, to("192.0.2.1", "192.0.2.1", None)),
        // A network may be a range or a prefix that is kept; what is worked out from the packet is not known.
        ("dnat to 10.0.0.0/24", vec![], Destination, Destined::Unknown),
        ("dnat ip prefix to 10.0.0.0/24", vec![V4], Destination, to("10.0.0.0", "10.0.0.255", None)),
        ("snat prefix to 10.0.0.0/24", vec![V4], Source, to("10.0.0.0", "10.0.0.255", None)),
        ("dnat ip prefix to 10.0.0.7/24", vec![], Destination, Destined::Unknown),
        ("redirect to :numgen inc mod 2", vec![], Redirect, Destined::Unknown),
        ("dnat to 10.0.0.9-10.0.0.1", vec![], Destination, Destined::Unknown),
    ] {
        assert_eq!(sent(rule), [(matches, kind, expected)], "{rule}");
    }
    let first = to("10.0.0.1", "10.0.0.1", None);
    let with = |ports: &[&str]| vec![V4, port(ports, false)];
    assert_eq!(
        sent("dnat ip to tcp dport map { 80 : 10.0.0.1, 443-444 : 10.0.0.2 . 8443 }"),
        [
            (with(&["80"]), Destination, first.clone()),
            (with(&["443-444"]), Destination, to("10.0.0.2", "10.0.0.2", Some((8443, 8443)))),
        ]
    );
    assert_eq!(sent("dnat to tcp dport map @m"), [(with(&["80"]), Destination, first.clone())]);
    let matches = |address: &str| {
        let addresses = Addresses::These(Elements::of_networks(&[address.parse().unwrap()]));
        vec![Match::Destination { addresses, negated: false }, port(&["80"], false)]
    };
    assert_eq!(
        sent("ct state new dnat to ip daddr . tcp dport map { 192.0.2.1 . 80 : 10.0.0.1 } comment \"x\""),
        [([vec![states(8, false), V4], matches("192.0.2.1")].concat(), Destination, first)]
    );
    // Who is not in the map leaves the rule.
    let text = "to tcp dport map @nowhere";
    assert_eq!(sent("dnat to tcp dport map @nowhere"), [(vec![unknown(text)], Destination, Destined::Unknown)]);
}

#[test]
fn meters_fill_sets() {
    for rule in [
        "meter m { ip saddr limit rate 1/second burst 10 packets } drop",
        "meter m size 65535 { ip saddr ct count over 5 } drop",
        "add @m { ip saddr limit rate over 1/minute } drop",
        "update @m { ip saddr timeout 1m } drop",
    ] {
        let read =
            all(&format!("table inet t {{\nset m {{ type ipv4_addr; flags dynamic }}\nchain c {{\n{rule}\n}}\n}}"));
        let [one] = read.ruleset.tables[0].chains[0].rules.as_slice() else { panic!("{rule}") };
        assert_eq!(one.matches, [V4], "{rule}");
        assert_eq!(one.statements, [Statement::Update { set: "m".into() }], "{rule}");
        assert_eq!(one.verdict, Some(Verdict::Drop), "{rule}");
    }
}

/// What nft prints of rules of iptables says less than they do.
#[test]
fn tables_of_iptables_are_read_with_care() {
    let read = |table: &str, rule: &str| {
        all(&format!("table {table} {{\nchain c {{\n{rule}\n}}\n}}\n")).ruleset.tables[0].chains[0].rules[0]
            .matches
            .clone()
    };
    assert_eq!(read("ip filter", "ct status dnat"), [Match::varies(Varying::Connection, "ct status dnat")]);
    assert_eq!(read("ip own", "ct status dnat"), [translated(End::Destination, false)]);
    assert_eq!(read("ip6 filter", "fib daddr type unicast"), [unknown("fib daddr type unicast")]);
    assert_eq!(read("ip6 filter", "fib daddr type local"), [Match::DestinationLocal]);
    assert_eq!(read("ip filter", "fib daddr type unicast"), [to_type(AddressTypes::UNICAST, false)]);
    // Of what has no options every option is missing.
    assert_eq!(read("inet t", "tcp option maxseg missing"), [unknown("tcp option maxseg missing")]);
    let exists = [protocol(6, false), unknown("tcp option maxseg exists")];
    assert_eq!(read("inet t", "tcp option maxseg exists"), exists);
}
