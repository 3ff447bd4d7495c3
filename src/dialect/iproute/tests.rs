use super::*;

fn read(text: &str) -> Surroundings {
    super::read(text, FileId::CLUSTER).0
}

fn messages(text: &str) -> Vec<String> {
    let (_, findings) = super::read(text, FileId::CLUSTER);
    findings.iter().map(|one| format!("{} {}", one.code, one.message)).collect()
}

/// A list in part: `ip -4 addr` has no VRF that has no address of IPv4.
#[test]
fn a_vrf_that_is_not_listed_is_there_all_the_same() {
    let eth1 = "3: eth1: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue master vrf0 state UP group default\n";
    let vrf0 = "4: vrf0: <NOARP,MASTER,UP> mtu 65575 qdisc noqueue state UP group default\n";
    let eth0 = "2: eth0: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP group default\n";
    let by_rule = "1000:\tfrom all lookup [l3mdev-table]\n";
    for (text, unnamed, vrfs) in [
        (eth0.to_owned(), false, 0),
        (format!("{eth0}{eth1}"), true, 0),
        (format!("{eth0}{eth1}{vrf0}"), false, 2),
        (format!("{by_rule}{eth0}"), true, 0),
        (by_rule.to_owned(), true, 0),
        (format!("{by_rule}{eth0}{eth1}{vrf0}"), false, 2),
        (format!("{eth1}{}{vrf0}", eth1.replace("eth1", "eth2").replace("vrf0", "vrf1")), true, 2),
    ] {
        let found = read(&text);
        assert_eq!((found.unnamed_vrfs, found.vrfs.len()), (unnamed, vrfs), "{text}");
    }
}

#[test]
fn what_lets_nothing_pass_is_taken_up() {
    let text = format!(
        "{RULES}32000:\tfrom all fwmark 0x7 prohibit\nblackhole 10.20.0.12 \nthrow 10.9.0.0/16 table 7\n\
        unreachable default dev lo metric 4294967295 error -101 pref medium\n"
    );
    let found = read(&text);
    let refused: Vec<String> = found.refused.iter().map(|own| format!("{} {:?}", own.to, own.turn)).collect();
    assert_eq!((refused.join(", ").as_str(), found.rules_refuse), ("10.20.0.12 Main, 10.9.0.0/16 ByRule", true));
    assert!(!read(RULES).rules_refuse);
    for rules in [
        RULES.replace("32766:\tfrom all lookup main\n", ""),
        RULES.replace("main\n", "main suppress_prefixlength 24\n"),
    ] {
        assert!(read(&rules).rules_refuse, "{rules}");
    }
    // As for WireGuard: another rule has the default route.
    let guarded = format!("{RULES}32764:\tfrom all lookup main suppress_prefixlength 0\n");
    assert!(!read(&guarded).rules_refuse && read(&guarded).by_policy);
    for (line, turn) in [
        ("local 10.20.0.0/24 dev lo table local proto kernel scope host\n", "First"),
        ("local 10.20.0.12 dev lo scope host\n", "Main"),
        ("local 10.20.0.12 dev lo table 77 scope host\n", "ByRule"),
        ("broadcast 10.20.0.12 dev eth1\n", "Main"),
        ("10.20.0.12 dev lo scope link\n", "Main"),
    ] {
        let refused = read(&format!("{RULES}{line}")).refused;
        assert_eq!(refused.iter().map(|own| format!("{:?}", own.turn)).collect::<String>(), turn, "{line}");
    }
}

const RULES: &str = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n";
const ADDRESS: &str = "2: eth1@if3: <BROADCAST,MULTICAST,UP> mtu 1500\n    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n\
    \x20   altname enp1s0\n    inet 10.20.0.11/24 scope global eth1\n       valid_lft forever preferred_lft forever\n\
    \x20   vf 0     link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff\n";
const LOCAL: &str = "local 10.20.0.11 dev eth1 table local proto kernel scope host src 10.20.0.11\n";

/// Whatever is passed over would be taken for what the host does not have.
#[test]
fn what_ip_does_not_print_is_a_finding() {
    let good = format!("{RULES}10.20.0.0/24 dev eth1\n{LOCAL}{ADDRESS}");
    assert_eq!(messages(&good), [""; 0]);
    assert_eq!(messages(&good.replace('\n', "\r\n")), [""; 0]);
    for line in [
        "a text",
        "10.0.0.0/8",
        "[{\"ifindex\":1}]",
        "lo UNKNOWN 127.0.0.1/8",
        "local here",
        "inet x",
        "default",
        "broadcast",
        "broadcast x dev eth0",
        "10.0.0.300/24 dev eth0",
        "7:",
        "x: from all lookup main",
        "Error: ipv4: FIB table does not exist.",
    ] {
        let (_, findings) = super::read(&format!("{good}{line}\n{line}\n"), FileId::CLUSTER);
        assert_eq!(findings.len(), 2, "{line}: {findings:?}");
        let span = findings[0].labels[0].span;
        assert_eq!(findings[0].code, Code::RoutesSyntax);
        assert_eq!((span.start as usize, span.end as usize), (good.len(), good.len() + line.len()));
    }
}

#[test]
fn what_is_missing_is_a_finding() {
    let all = |text: &str| messages(text).iter().map(|one| one.starts_with("missing-routes ")).collect::<Vec<_>>();
    assert_eq!(all(""), [true; 3]);
    assert_eq!(all("10.20.0.0/24 dev eth1\n"), [true; 3]);
    assert_eq!(all(&format!("{RULES}{ADDRESS}")), [true]);
    assert_eq!(all(&format!("{RULES}{LOCAL}")), [true]);
    assert_eq!(all(&format!("{LOCAL}{ADDRESS}")), [true]);
    let six = "2001:db8:1::/64 dev eth0 proto kernel metric 256 pref medium\n";
    assert_eq!(all(&format!("{RULES}{LOCAL}{ADDRESS}{six}")), [true]);
    assert_eq!(all(&format!("{RULES}{RULES}{LOCAL}{ADDRESS}{six}")), [true; 0]);
}

/// Which way is taken then is not known by the destination alone.
#[test]
fn what_decides_by_more_than_the_destination() {
    let good = format!("{RULES}10.20.0.0/24 dev eth1\n{LOCAL}{ADDRESS}");
    assert!(!read(&good).by_policy);
    for lines in [
        "32765:\tnot from all fwmark 0xca6c lookup 51820",
        "default proto static metric 100\n\tnexthop via 10.20.0.1 dev eth1 weight 1\n\tnexthop via 10.20.0.2 dev eth2 weight 1",
        "default proto static metric 100 \\\tnexthop via 10.20.0.1 dev eth1 weight 1\\\tnexthop via 10.20.0.2 dev eth2 weight 1",
        "default from 2001:db8::/64 via fe80::1 dev eth0 metric 1024 pref medium",
        "10.9.0.0/24 dev eth!0 scope link",
    ] {
        let text = format!("{RULES}{good}{lines}\n");
        assert!(messages(&text).is_empty() && read(&text).by_policy, "{lines} {:?}", messages(&text));
    }
    assert!(!read(&format!("{good}10.9.0.0/24 dev eth2 table 7\nblackhole 10.8.0.0/16\n")).by_policy);
}

#[test]
fn lines_of_all_commands_are_told_apart() {
    let text = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n\
        default via 198.51.100.1 dev eth0 \n10.20.0.0/24 dev eth1 proto kernel scope link src 10.20.0.11 \n\
        192.0.2.7 via 10.20.0.1 dev eth1\nlocal 10.20.0.11 dev eth1 table local proto kernel scope host src 10.20.0.11 \n\
        broadcast 10.20.0.255 dev eth1 table local proto kernel scope link src 10.20.0.11 \n\
        2001:db8:1::/64 dev eth0 proto kernel metric 256 pref medium\n\
        default via fe80::1 dev eth0 metric 1024 pref medium\n10.9.0.0/24 dev eth2 table 7\n\
        2: eth1@if3: <BROADCAST,MULTICAST,UP> mtu 1500\n    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n\
        \x20   inet 10.20.0.11/24 scope global eth1\n    inet6 2001:db8:1::11/64 scope global\n";
    let found = read(text);
    let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.20.0.11", "2001:db8:1::11"]);
    assert!(!found.by_policy);
    // One of them stands in one place only: somebody has left out lines.
    assert!(!found.complete);
    let six = "local 2001:db8:1::11 dev eth0 table local proto kernel metric 0 pref medium\n";
    assert!(read(&format!("{text}{six}")).complete);
    let source = format!("{text}{six}default via 198.51.100.1 dev eth0 src 198.51.100.11\n");
    assert!(!read(&source).complete && read(&source).addresses.len() == 3);
    // Any address of it is this host's.
    assert!(!read(&format!("{text}{six}local 192.0.2.0/24 dev lo table local\n")).complete);
    assert!(read(&format!("{text}{six}local 127.0.0.0/8 dev lo table local\n")).complete);
    let routes: Vec<String> = found.routes.iter().map(|(to, by)| format!("{to} {by}")).collect();
    let expected = ["0.0.0.0/0 eth0", "10.20.0.0/24 eth1", "192.0.2.7 eth1", "2001:db8:1::/64 eth0", "::/0 eth0"];
    assert_eq!(routes, expected);
    for rule in ["100:\tfrom 10.9.0.0/24 lookup 7\n", "1000:\tfrom all lookup [l3mdev-table]\n"] {
        assert!(read(rule).by_policy, "{rule}");
    }
    // Without the rules it is not known whether there are others.
    assert!(read("10.20.0.0/24 dev eth1\n").by_policy);
}

#[test]
fn interfaces_without_an_address_are_known() {
    let shown = |text: &str| {
        let all = read(text).unnumbered;
        let one = |(name, ipv4): &(Interface, bool)| format!("{} {}", name.as_str(), if *ipv4 { 4 } else { 6 });
        all.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let links = "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n    inet 10.20.0.11/32 scope global lo\n\
                 2: eth0: <UP> mtu 1500\n    inet 198.51.100.1/24 scope global eth0\n    inet6 2001:db8::1/64 scope global\n\
                 3: eth1: <UP> mtu 1500\n    inet6 fe80::1/64 scope link\n4: eth2: <UP> mtu 1500\n    inet 127.5.5.5/8 scope host eth2\n";
    assert_eq!(shown(links), "eth1 4, eth1 6, eth2 4, eth2 6");
    let alone = "10.20.0.0/24 dev eth1 scope link\n2: eth0    inet 198.51.100.1/24 scope global eth0\n\
                 2: eth0    inet6 2001:db8::1/64 scope global\n";
    assert_eq!(shown(alone), "eth1 4, eth1 6");
    // Without any address nothing is known of them.
    assert_eq!(shown("10.20.0.0/24 dev eth1 scope link\n"), "");
}
