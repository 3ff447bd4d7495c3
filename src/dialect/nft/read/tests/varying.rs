//! Tests of what no packet says, and of what is known besides.

use super::{Decision, V4, V6, all, forms, port, protocol, rules_of, unknown};
use crate::ir::{DeviceName, Foreign, Marked, Match, Side, Varying, Verdict};

/// The rules that one of a table with this name is read as.
fn of_table(table: &str, rule: &str) -> Vec<Decision> {
    let read = all(&format!("table {table} {{\nchain c {{\n{rule}\n}}\n}}\n"));
    let rules = read.ruleset.tables.into_iter().flat_map(|table| table.chains).flat_map(|chain| chain.rules);
    rules.map(|rule| (rule.matches, rule.verdict)).collect()
}

/// What no packet says may hold or not, and nothing of it is listed as not understood.
#[test]
fn what_no_packet_says_is_known_to_be_that() {
    let alone = |of| vec![Match::Foreign(Foreign::Varies(of))];
    for (rule, matches) in [
        ("ct status dnat,snat", alone(Varying::Connection)),
        ("ct status == dnat", alone(Varying::Connection)),
        ("ct status assured", alone(Varying::Connection)),
        ("ct zone 7", alone(Varying::Connection)),
        ("ct original ip saddr 1.2.3.4", alone(Varying::Connection)),
        ("ct original saddr 1.2.3.4", alone(Varying::Connection)),
        ("ct helper \"ftp\"", alone(Varying::Helper)),
        ("ct count over 4", alone(Varying::Connections)),
        ("xt match \"recent\"", alone(Varying::Recent)),
        ("numgen random mod 10 < 5", alone(Varying::Chance)),
        ("jhash ip saddr . tcp sport mod 2 seed 0xbeef 1", alone(Varying::Chance)),
        ("symhash mod 2 0", alone(Varying::Chance)),
        ("socket cgroupv2 level 1 \"user.slice\"", alone(Varying::Socket)),
        ("socket transparent 1", alone(Varying::Socket)),
        ("meta skuid { 0, 1000 }", alone(Varying::Owner)),
        ("skgid != 0", alone(Varying::Owner)),
        ("limit rate 10 mbytes/second burst 9 kbytes", alone(Varying::Rate)),
        ("quota over 10 mbytes used 0 bytes", alone(Varying::Amount)),
        ("ether saddr 02:00:00:00:00:01", alone(Varying::Link)),
        ("tcp dport 22 vlan id 7", [vec![port(&["22"], false)], alone(Varying::Link)].concat()),
    ] {
        let (rules, listed) = rules_of("inet", &format!("{rule} drop"));
        assert_eq!(rules, [(matches, Some(Verdict::Drop))], "{rule}");
        assert_eq!(listed, [] as [&str; 0], "{rule}");
    }
}

/// Counting by sender drops what there is no room for; a meter of nft's own does not.
#[test]
fn what_counts_by_sender_may_drop() {
    let counted = || Match::Foreign(Foreign::Varies(Varying::RateOfEach));
    for rule in ["xt match \"hashlimit\"", "meter h { ip saddr limit rate 1/second }"] {
        let rules = of_table("ip filter", &format!("meta l4proto tcp {rule} tcp dport 22 accept"));
        let before = vec![protocol(6, false), counted()];
        let all = vec![protocol(6, false), counted(), port(&["22"], false)];
        assert_eq!(rules, [(before, Some(Verdict::Drop)), (all, Some(Verdict::Accept))], "{rule}");
    }
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
