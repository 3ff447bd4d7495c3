//! What rules do: verdicts, statements, and where translations lead to.

use super::*;

#[test]
fn targets() {
    check(
        Family::Ip,
        &[
            ("-j ACCEPT", &["=> Accept"]),
            ("-j RETURN", &["=> Return"]),
            ("-j U", &["=> Jump(\"U\")"]),
            ("-g U", &["=> Goto(\"U\")"]),
            ("--jump DROP", &["=> Drop"]),
            ("-j REJECT --reject-with icmp-port-unreachable", &["=> Reject(Icmp)"]),
            ("-p tcp -j REJECT --reject-with tcp-reset", &["proto:6 => Reject(TcpReset)"]),
            ("-j LOG", &["log=\"\""]),
            ("-j LOG --log-prefix \"a \\\"b\\\": \" --log-level 7 --log-uid", &["log=\"a ?b?: \""]),
            ("-j LOG -m limit --limit 9/m --log-prefix x", &["limit:9/5 log=\"x\""]),
            ("-j LOG --frobnicate", &["?[--frobnicate] log=\"\""]),
            ("-j NFLOG --nflog-prefix \"x y\" --nflog-group 5", &["log=\"\""]),
            ("-j MARK --set-xmark 0x1/0xffffffff", &["does=meta mark set"]),
            ("-p tcp -j TCPMSS --clamp-mss-to-pmtu", &["proto:6 does=tcp option set"]),
            ("-j CT --notrack", &["does=notrack"]),
            ("-j CT --zone 3", &["does=ct zone or ct timeout set"]),
            ("-j CT --helper ftp", &["does=ct helper set"]),
            ("-j CT --zone 3 --helper ftp", &["does=ct helper set does=ct zone or ct timeout set"]),
            ("-j CT --zone 3 --helper tftp", &["does=ct zone or ct timeout set"]),
            ("-j TEE --gateway 10.0.0.1", &["does=dup"]),
            ("-p tcp -j TPROXY --on-port 80", &["proto:6 does=tproxy"]),
            ("-j CT --frobnicate", &["=> ?-j CT --frobnicate"]),
            ("-j DNAT --to-destination 10.0.0.1", &["does=dnat"]),
            ("-p tcp -j REDIRECT --to-ports 80 --dport 5", &["dport:5 does=redirect"]),
            ("-j NFQUEUE --queue-num 0", &["does=queue"]),
            ("-j NOWHERE", &["=> ?-j NOWHERE"]),
            ("-g NOWHERE", &["=> ?-g NOWHERE"]),
            ("-g ACCEPT", &["=> ?-g ACCEPT"]),
            ("-j INPUT", &["=> ?-j INPUT"]),
            ("-j U --frobnicate", &["?[--frobnicate] => Jump(\"U\")"]),
            ("-m recent -j ACCEPT --rcheck", &["varies:Recent => Accept"]),
        ],
    );
    // Which of the two is meant, the chain or the target?
    let text = "*filter\n:LOG - [0:0]\n:REJECT - [0:0]\n-A INPUT -j LOG\n-A INPUT -j REJECT\n-A INPUT -g LOG\nCOMMIT\n";
    let read = read(text, Family::Ip).unwrap();
    let input = read.ruleset.tables[0].chains.iter().find(|chain| chain.name == "INPUT").unwrap();
    let verdicts: Vec<String> = input.rules.iter().map(terse).collect();
    assert_eq!(verdicts, ["=> ?-j LOG", "=> ?-j REJECT", "=> Goto(\"LOG\")"]);
}

#[test]
fn sets_that_rules_change_are_not_known() {
    let text = "*filter\n-A INPUT -m set --match-set a src -j DROP\n-A INPUT -m set --match-set b src -j DROP\n\
                -A INPUT -p udp -j SET --add-set a src --exist\nCOMMIT\n";
    let read = read(text, Family::Ip).unwrap();
    let found: Vec<String> = read.ruleset.tables[0].chains[0].rules.iter().map(terse).collect();
    assert_eq!(found, ["src:@a => Drop", "src:@b => Drop", "proto:17 update=@a"]);
    assert_eq!(read.unknown, [], "that is not the reader's to say");
}

/// Where a rule of the table `nat` sends packets to.
fn sent(family: Family, target: &str) -> (Translation, Destined) {
    let text = format!("*nat\n-A PREROUTING -j {target}\nCOMMIT\n");
    let read = read(&text, family).unwrap_or_else(|error| panic!("{target}: {error}"));
    let chain = read.ruleset.tables[0].chains.last().unwrap();
    let found = chain.rules[0].statements.iter().find_map(|one| match one {
        Statement::Translate(kind, to) => Some((*kind, to.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{target}"))
}

#[test]
fn where_translations_lead_to() {
    let to = |first: &str, last: &str, ports| Destined::To {
        addresses: Some((first.parse().unwrap(), last.parse().unwrap())),
        ports,
    };
    let ports = |ports| Destined::To { addresses: None, ports };
    use Translation::{Destination, Masquerade, Network, Redirect, Source};
    for (target, kind, expected) in [
        ("DNAT --to-destination 10.0.0.1", Destination, to("10.0.0.1", "10.0.0.1", None)),
        ("DNAT --to-destination 10.0.0.1:80", Destination, to("10.0.0.1", "10.0.0.1", Some((80, 80)))),
        (
            "DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --random",
            Destination,
            to("10.0.0.1", "10.0.0.9", Some((80, 90))),
        ),
        ("DNAT --to-destination :8098", Destination, ports(Some((8098, 8098)))),
        (
            "DNAT --to-destination 10.0.0.1:80-90/80 --persistent",
            Destination,
            to("10.0.0.1", "10.0.0.1", Some((80, 90))),
        ),
        ("DNAT --to-destination 10.0.0.1 --to-destination 10.0.0.2", Destination, Destined::Unknown),
        ("DNAT --to-destination db.example.com", Destination, Destined::Unknown),
        ("DNAT --to-destination 10.0.0.9-10.0.0.1", Destination, Destined::Unknown),
        ("DNAT --to-destination 10.0.0.1 --frobnicate", Destination, Destined::Unknown),
        ("REDIRECT", Redirect, ports(None)),
        ("REDIRECT --to-ports 8098", Redirect, ports(Some((8098, 8098)))),
        ("REDIRECT --to-ports 8000-8100 --random", Redirect, ports(Some((8000, 8100)))),
        ("REDIRECT --to-ports http", Redirect, Destined::Unknown),
        ("NETMAP --to 10.1.0.0/24", Network, to("10.1.0.0", "10.1.0.255", None)),
        ("SNAT --to-source 10.0.0.1", Source, to("10.0.0.1", "10.0.0.1", None)),
        ("MASQUERADE --random-fully", Masquerade, ports(None)),
    ] {
        assert_eq!(sent(Family::Ip, target), (kind, expected), "{target}");
    }
    for (target, expected) in [
        ("DNAT --to-destination fd00::1", to("fd00::1", "fd00::1", None)),
        ("DNAT --to-destination [fd00::1]:80", to("fd00::1", "fd00::1", Some((80, 80)))),
        ("DNAT --to-destination [fd00::1-fd00::5]:80-81", to("fd00::1", "fd00::5", Some((80, 81)))),
    ] {
        assert_eq!(sent(Family::Ip6, target), (Destination, expected), "{target}");
    }
}
