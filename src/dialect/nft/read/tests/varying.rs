//! Tests of what no packet says, and of what is known besides.

use super::{Decision, V4, V6, all, forms, port, protocol, rules_of, unknown};
use crate::ir::{DeviceName, Foreign, Marked, Match, Side, Statement, Varying, Verdict};

/// The rules that one of a table with this name is read as.
fn of_table(table: &str, rule: &str) -> Vec<Decision> {
    let read = all(&format!("table {table} {{\nchain c {{\n{rule}\n}}\n}}\n"));
    let rules = read.ruleset.tables.into_iter().flat_map(|table| table.chains).flat_map(|chain| chain.rules);
    rules.map(|rule| (rule.matches, rule.verdict)).collect()
}

/// What no packet says may hold or not, and nothing of it is listed as not understood.
#[test]
fn what_no_packet_says_is_known_to_be_that() {
    for (rule, on) in [
        ("ct status dnat,snat", Varying::Connection),
        ("ct status == dnat", Varying::Connection),
        ("ct status assured", Varying::Connection),
        ("ct zone 7", Varying::Connection),
        ("ct original ip saddr 1.2.3.4", Varying::Connection),
        ("ct original saddr 1.2.3.4", Varying::Connection),
        ("ct helper \"ftp\"", Varying::Helper),
        ("ct count over 4", Varying::Connections),
        ("xt match \"recent\"", Varying::Recent),
        ("xt match \"socket\"", Varying::SocketWithMark),
        ("numgen random mod 10 < 5", Varying::Chance),
        ("jhash ip saddr . tcp sport mod 2 seed 0xbeef 1", Varying::Chance),
        ("symhash mod 2 0", Varying::Chance),
        ("socket cgroupv2 level 1 \"user.slice\"", Varying::Socket),
        ("socket transparent 1", Varying::Socket),
        ("meta skuid { 0, 1000 }", Varying::Owner),
        ("skgid != 0", Varying::Owner),
        ("limit rate 10 mbytes/second burst 9 kbytes", Varying::Rate),
        ("quota over 10 mbytes", Varying::Amount),
        ("ether saddr 02:00:00:00:00:01", Varying::Link),
    ] {
        let (rules, listed) = rules_of("inet", &format!("{rule} drop"));
        assert_eq!(rules, [(vec![Match::varies(on, rule)], Some(Verdict::Drop))], "{rule}");
        assert_eq!(listed, [] as [&str; 0], "{rule}");
    }
    // What is used of a quota counts by itself.
    let quota = Match::varies(Varying::Amount, "quota over 10 mbytes");
    assert_eq!(forms("quota over 10 mbytes used 7 bytes"), [[quota]]);
    let link = Match::varies(Varying::Link, "vlan id 7");
    assert_eq!(forms("tcp dport 22 vlan id 7"), [[port(&["22"], false), link]]);
}

/// Counting by sender drops what there is no room for; a meter of nft's own does not.
#[test]
fn what_counts_by_sender_may_drop() {
    let crowd = |rule: &str| {
        let text = format!("table ip filter {{\nchain c {{\n{rule}\n}}\n}}\n");
        let rules = all(&text).ruleset.tables.remove(0).chains.remove(0).rules;
        rules.iter().map(|rule| rule.up_to_a_crowd().map(<[_]>::len)).collect::<Vec<_>>()
    };
    for rule in ["xt match \"hashlimit\"", "meter h { ip saddr limit rate 1/second }"] {
        let rules = of_table("ip filter", &format!("meta l4proto tcp {rule} tcp dport 22 accept"));
        let counted = Match::varies(Varying::RateOfEach, rule);
        let all = vec![protocol(6, false), counted, port(&["22"], false)];
        assert_eq!(rules, [(all, Some(Verdict::Accept))], "{rule}");
        assert_eq!(crowd(&format!("meta l4proto tcp {rule} tcp dport 22 accept")), [Some(2)], "{rule}");
    }
    assert_eq!(crowd("limit rate 1/second accept"), [None]);
    // What comes as far as to it may be gone, though nothing gets through all tests behind.
    let behind = "ip protocol { tcp, udp } xt match \"hashlimit\" meta l4proto tcp accept";
    assert_eq!(crowd(behind).iter().filter(|own| own.is_some()).count(), 2);
    let meter =
        all("table ip filter {\nchain c {\nmeter h { ip saddr limit rate 1/second } tcp dport 22 accept\n}\n}\n");
    let [rule] = meter.ruleset.tables[0].chains[0].rules.as_slice() else { panic!("{meter:?}") };
    assert_eq!(rule.effective().filter_map(Statement::updates).collect::<Vec<_>>(), ["h"]);
    let rules = of_table("ip own", "meter h { ip saddr limit rate 1/second } accept");
    assert_eq!(rules, [(vec![V4], Some(Verdict::Accept))]);
}

#[test]
fn groups_and_headers_that_are_not_there() {
    let group = |side, group, negated| Match::Foreign(Foreign::Group { side, group, negated });
    let part = |name: &str, negated| {
        Match::Foreign(Foreign::PartOfVrf { name: DeviceName::Is(name.parse().unwrap()), negated })
    };
    for (rule, expected) in [
        ("iifgroup 7", vec![vec![group(Side::In, 7, false)]]),
        ("meta oifgroup != default", vec![vec![group(Side::Out, 0, true)]]),
        ("iifgroup { 0, 7 }", vec![vec![group(Side::In, 0, false)], vec![group(Side::In, 7, false)]]),
        ("iifgroup != { 0, 7 }", vec![vec![group(Side::In, 0, true), group(Side::In, 7, true)]]),
        ("meta sdifname \"eth1\"", vec![vec![part("eth1", false)]]),
        ("meta sdifname != eth1", vec![vec![part("eth1", true)]]),
        ("exthdr hbh missing", vec![vec![V6, Match::PerhapsDirectlyTcp]]),
        ("exthdr frag != exists", vec![vec![V6, Match::PerhapsDirectlyTcp]]),
    ] {
        assert_eq!(forms(rule), expected, "{rule}");
    }
    for rule in ["iifgroup internal", "meta sdifname \"*\"", "meta mark > 4294967295", "meta mark >= 0"] {
        assert_eq!(rules_of("inet", &format!("{rule} drop")).0, [(vec![unknown(rule)], Some(Verdict::Drop))]);
    }
    // In no block of the other numbers.
    let mark = |mask, value| Match::Foreign(Foreign::Mark { of: Marked::Packet, mask, value, negated: true });
    for rule in ["meta mark > 5", "meta mark >= 6", "meta mark != 0-5", "meta mark 6-4294967295"] {
        assert_eq!(forms(rule), [[mark(0xffff_fffc, 0), mark(0xffff_fffe, 4)]], "{rule}");
    }
}
