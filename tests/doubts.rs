//! Texts that do not say all of what the kernel does: none of them may lead to a proof. Beside each stands what is proved
//! once the doubt is gone, so that it is the doubt and nothing else that keeps it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::path::Path;

use ringfence::cluster::{self, Cluster, Site};
use ringfence::dialect::{iptables, nft};
use ringfence::explain::{Fate, explain};
use ringfence::ir::{Elements, Family, Ruleset, Set, SetKind, Statement, TcpFlags};
use ringfence::semantics::Packet;
use ringfence::verify::{Claim, Families, Finding, check};

fn small() -> Cluster {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/small.toml");
    cluster::load(&file).unwrap().cluster.unwrap()
}

/// What is found of a claim.
fn finding(ruleset: &Ruleset, wanted: Claim) -> Finding {
    let cluster = small();
    let report = check(ruleset, &Site::of_every_node(&cluster), Families::Both).unwrap();
    let mut findings = report.findings().iter().filter(|(claim, _)| *claim == wanted);
    findings.next().unwrap().1.clone()
}

fn of_nft(text: &str, claim: Claim) -> Finding {
    finding(&nft::read(text).unwrap_or_else(|error| panic!("{error}\n{text}")).ruleset, claim)
}

/// Lets nobody in.
const CLOSED: &str = "*raw\n:PREROUTING DROP [0:0]\n-A PREROUTING -i lo -j ACCEPT\nCOMMIT\n\
    *filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";

fn of_iptables(text: &str, claim: Claim) -> Finding {
    of_iptables_and_ip6tables([text, CLOSED], claim)
}

fn of_iptables_and_ip6tables(texts: [&str; 2], claim: Claim) -> Finding {
    let [ipv4, ipv6] = [(texts[0], Family::Ip), (texts[1], Family::Ip6)]
        .map(|(text, family)| iptables::read(text, family).unwrap_or_else(|error| panic!("{error}\n{text}")).ruleset);
    let tables = ipv4.tables.into_iter().chain(ipv6.tables).collect();
    let s = Set {
        name: "s".into(),
        kind: SetKind::Hash { size: None },
        elements: Elements::ipv4(Vec::new()),
        origins: Vec::new(),
    };
    let unread = ipv4.unread.into_iter().chain(ipv6.unread).collect();
    finding(&Ruleset { tables, unread, sets: vec![s], ..Ruleset::default() }, claim)
}

/// A host that lets in what `rule` lets in, at both doors, and nothing else.
fn closed_but_for(rule: &str) -> String {
    format!(
        "table inet t {{
            set s {{ type ipv4_addr; }}
            set t {{ type ipv4_addr; }}
            map m {{ type ipv4_addr : verdict; }}
            chain p {{
                type filter hook prerouting priority -150; policy drop;
                iif \"lo\" accept
\t\t{rule}
            }}
            chain c {{
                type filter hook input priority 0; policy drop;
                iif \"lo\" accept
\t\t{rule}
            }}
        }}"
    )
}

/// A rule that nobody passes or everybody may; `drop` in its place shows that the rest is closed.
#[test]
fn an_accept_behind_something_unknown_is_not_lost() {
    assert!(matches!(of_nft(&closed_but_for("drop"), Claim::Isolation), Finding::Proved));
    let mut lost = Vec::new();
    for rule in [
        // An unknown test whose value is named as something that has a value.
        "ct direction original accept",
        "ct direction reply accept",
        "ct direction { original, reply } accept",
        "ct status original accept",
        "frobnicate original accept",
        "osf name \"Linux\" accept",
        "meta frobs mod accept",
        "ct label set original accept",
        "dup to with accept",
        "quota over 1 with accept",
        // What a listing cannot print.
        "xt match set accept",
        "xt match \"set\" accept",
        "xt match \"set\" counter packets 0 bytes 0 accept",
        "xt target \"CT\"",
        "xt target DNAT counter packets 0 bytes 0",
        "# match-set peers src counter packets 0 bytes 0 accept",
        "tcp dport 1-65535 # match-set peers src counter packets 0 bytes 0 accept",
        "counter packets 0 bytes 0 # TPROXY redirect 0.0.0.0:0 mark 0x1/0x1",
        "counter # CT notrack",
        " counter packets 0 bytes 0 accept",
        "meta l4proto tcp  counter packets 0 bytes 0 accept",
        // The rule's comment, where nft 1.1.7 puts it.
        "comment \"monitoring\" counter packets 0 bytes 0 accept",
        "comment \"monitoring\" accept",
        "meta l4proto tcp comment \"monitoring\" counter packets 0 bytes 0 accept",
        "comment monitoring accept",
        // Two inequalities, which may be one.
        "tcp sport != 1 tcp dport != 2 accept",
        "tcp sport != 1 ip saddr 0.0.0.0/0 tcp dport != 2 accept",
        // Raw payload: a mask with a hole is listed as a field of other bits.
        "@th,110,2 0x1 accept",
        "@th,16,4 0x1 accept",
        "@th,16,16 0x16 accept",
        "@th,24,16 0x110022 accept",
    ] {
        if matches!(of_nft(&closed_but_for(rule), Claim::Isolation), Finding::Proved) {
            lost.push(rule);
        }
    }
    assert_eq!(lost, Vec::<&str>::new());
}

/// "Not this source port, and not this port" may be "not both of them".
#[test]
fn two_inequalities_are_an_and_or_an_or() {
    let with = |test: &str| {
        format!(
            "table inet t {{
                chain p {{
                    type filter hook prerouting priority -150; policy accept;
                    iif \"lo\" accept
                    {test} accept
                    drop
                }}
                chain i {{
                    type filter hook input priority 0; policy accept;
                    iif \"lo\" accept
                    {test} accept
                    drop
                }}
            }}"
        )
    };
    // Alone it is exact: whoever comes by another port than the protected ones.
    let ports = "tcp dport != { 4369, 6000-6009, 8087, 8098, 8099 }";
    assert!(matches!(of_nft(&with(ports), Claim::Isolation), Finding::Proved));
    let alone = "ip saddr != 0.0.0.0/0";
    assert!(matches!(of_nft(&with(alone), Claim::Isolation), Finding::Proved));
    for test in [
        "tcp sport != 1 tcp dport != 1-65535",
        "tcp dport != 0-65535 tcp window != 1",
        "th sport != 1 tcp dport != 0-65535",
        "@th,0,16 != 1 tcp dport != 0-65535",
        "tcp sport ne 1 tcp dport ne 0-65535",
        "ip saddr != 0.0.0.0/0 ip daddr != 10.0.0.2",
        "ip ttl != 1 ip saddr != 0.0.0.0/0",
        "ip protocol != 6 ip saddr 0.0.0.0/0 tcp dport 8098 ip ttl != 1",
    ] {
        assert!(!matches!(of_nft(&with(test), Claim::Isolation), Finding::Proved), "{test}");
    }
}

/// Whoever fills a set says who gets in, whatever its declaration says.
#[test]
fn a_set_that_rules_change_is_unknown() {
    let with = |set: &str, first: &str, second: &str| {
        format!(
            "table inet t {{
                {set}
                chain i {{
                    type filter hook prerouting priority -150; policy drop;
                    iif \"lo\" accept
                    {first}
                    {second}
                }}
                chain j {{
                    type filter hook input priority 0; policy drop;
                    iif \"lo\" accept
                    {second}
                }}
            }}"
        )
    };
    let empty = "set s { type ipv4_addr; }";
    let accepts = "ip saddr @s accept";
    assert!(matches!(of_nft(&with(empty, "", accepts), Claim::Isolation), Finding::Proved));
    let full = "set s { type ipv4_addr; elements = { 10.1.2.3 } }";
    for (set, first, second) in [
        (empty, "tcp dport 7777 add @s { ip saddr }", accepts),
        (empty, "tcp dport 7777 update @s { ip saddr timeout 1m }", accepts),
        (empty, "tcp dport 7777 add @s { ip saddr limit rate 1/second } counter", accepts),
        (empty, "tcp dport 7777 set add ip saddr @s", accepts),
        (empty, "tcp dport 7777 set update ip saddr timeout 1m @s", accepts),
        (empty, "tcp dport 7777 meter s { ip saddr limit rate 1/second }", accepts),
        (empty, "frobnicate add @s { ip saddr }", accepts),
        (empty, "tcp dport 7777 jump { add @s { ip saddr } }", accepts),
        ("map s { type ipv4_addr : verdict; }", "add @s { ip saddr : accept }", "ip saddr vmap @s"),
        ("set s { type ipv4_addr; flags dynamic; }", "", accepts),
        ("set s { type ipv4_addr; flags timeout; elements = { 203.0.113.9 } }", "", accepts),
        ("set s { type ipv4_addr; timeout 1m; elements = { 203.0.113.9 expires 3s } }", "", accepts),
        ("set s { type ipv4_addr; flags timeout, dynamic; }", "", accepts),
        ("set s { type ipv4_addr; flags timeout; }", "tcp dport 7777 add @s { ip saddr }", accepts),
        (full, "tcp dport 7777 delete @s { ip saddr }", "ip saddr != @s accept"),
    ] {
        let found = of_nft(&with(set, first, second), Claim::Isolation);
        assert!(!matches!(found, Finding::Proved), "{set} {first}");
    }
    // Who is not in it now is not in it.
    let timed = "set s { type ipv4_addr; flags timeout; }";
    assert!(matches!(of_nft(&with(timed, "", accepts), Claim::Isolation), Finding::Proved));
}

#[test]
fn a_set_of_iptables_that_rules_change_is_unknown() {
    let with = |rule: &str, test: &str| {
        let chain = "-A PREROUTING -i lo -j ACCEPT";
        format!(
            "*raw\n:PREROUTING DROP [0:0]\n{chain}\n{rule}-A PREROUTING {test} -j ACCEPT\nCOMMIT\n*filter\n\
             :INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT {test} -j ACCEPT\nCOMMIT\n"
        )
    };
    let ours = "-p tcp -m set --match-set s src";
    assert!(matches!(of_iptables(&with("", ours), Claim::Isolation), Finding::Proved));
    for (rule, test) in [
        ("-A PREROUTING -p tcp --dport 7777 -j SET --add-set s src\n", ours),
        ("-A PREROUTING -p tcp --dport 7777 -j SET --add-set s src --exist --timeout 60\n", ours),
        ("-A PREROUTING -p tcp --dport 7777 -j SET --del-set s src\n", ours),
        ("-A PREROUTING -p tcp --dport 7777 -j SET --map-set s src\n", ours),
        ("-A PREROUTING -j SET --exist --add-set s src\n", ours),
        ("", "-m recent --rcheck --name knocked"),
        ("-A PREROUTING -m recent --set --name knocked\n", "-m recent --rcheck --name knocked"),
    ] {
        assert!(!matches!(of_iptables(&with(rule, test), Claim::Isolation), Finding::Proved), "{rule}{test}");
    }
}

/// iptables refuses such a rule, the kernel does not.
#[test]
fn who_asks_a_set_of_the_other_family_finds_nothing_in_it() {
    let with = |test: &str, verdict: &str| {
        let rule = |chain: &str| format!("-A {chain} -p tcp -m set {test} -j {verdict}\n");
        CLOSED.replace("COMMIT", "@").replacen('@', &(rule("PREROUTING") + "COMMIT"), 1).replacen(
            '@',
            &(rule("INPUT") + "COMMIT"),
            1,
        )
    };
    for end in ["src", "dst", "src,src", "dst,src"] {
        let (asked, turned) = (format!("--match-set s {end}"), format!("! --match-set s {end}"));
        let isolation = |test: &str| of_iptables_and_ip6tables([CLOSED, &with(test, "ACCEPT")], Claim::Isolation);
        assert!(matches!(isolation(&asked), Finding::Proved), "{end}");
        assert!(matches!(isolation(&turned), Finding::Violated(_)), "{end}: {:?}", isolation(&turned));
    }
}

/// A rule that does nothing but count stands before one that exempts from tracking, and is like it in all but its source.
#[test]
fn what_is_joined_keeps_every_word() {
    let nft = |first: &str| {
        format!(
            "table inet fw {{
                chain raw {{
                    type filter hook prerouting priority raw; policy accept;
                    {first}
                    ip saddr 10.20.0.11 notrack
                }}
                chain in {{
                    type filter hook input priority 0; policy accept;
                    iif \"lo\" accept
                    ct state established,new accept
                    tcp dport {{ 4369, 6000-6009, 8087, 8098, 8099 }} drop
                }}
            }}"
        )
    };
    let untracked = |found: Finding| match found {
        Finding::Violated(witness) | Finding::OnPurpose(witness) | Finding::Undecided(witness) => {
            witness.packet.to_string().contains("untracked")
        }
        Finding::Proved | Finding::Unjudged(_) => false,
    };
    for first in ["", "ip saddr 10.20.0.99 counter", "ip saddr 10.20.0.99 meta nftrace set 1", "ip saddr 10.20.0.99"] {
        let found = of_nft(&nft(first), Claim::Reachability);
        assert!(untracked(found.clone()), "{first}: {found:?}");
    }
    let iptables = |first: &str, target: &str| {
        format!(
            "*raw\n:PREROUTING ACCEPT [0:0]\n{first}-A PREROUTING -s 10.20.0.11/32 -j {target}\nCOMMIT\n*filter\n\
             :INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n\
             -A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n\
             -A INPUT -p tcp -m multiport --dports 4369,6000:6009,8087,8098,8099 -j DROP\nCOMMIT\n"
        )
    };
    for first in ["", "-A PREROUTING -s 10.20.0.99/32 -j TRACE\n", "-A PREROUTING -s 10.20.0.99/32\n"] {
        for target in ["CT --notrack", "NOTRACK", "\"CT\" --notrack"] {
            let found = of_iptables(&iptables(first, target), Claim::Reachability);
            assert!(untracked(found.clone()), "{first}{target}: {found:?}");
        }
    }
}

/// A firewall that lets in by the state of the connection, behind rules that change what that state is, or who sends.
#[test]
fn what_is_done_before_a_test_counts() {
    let with = |raw: &str, early: &str| {
        format!(
            "table inet fw {{
                chain raw {{
                    type filter hook prerouting priority raw; policy accept;
                    {raw}
                }}
                chain early {{
                    type filter hook input priority -10; policy accept;
                    {early}
                }}
                chain in {{
                    type filter hook input priority 0; policy drop;
                    iif \"lo\" accept
                    ip saddr 10.20.0.0/16 ct state established,new,untracked accept
                }}
            }}
            table ip nat {{
                chain in {{
                    type nat hook input priority -5; policy accept;
                }}
            }}"
        )
    };
    let small = "ip saddr 10.20.0.11 tcp dport 8098";
    let isolation = |raw: &str, early: &str| of_nft(&with(raw, early), Claim::Isolation);
    let reachability = |raw: &str, early: &str| of_nft(&with(raw, early), Claim::Reachability);
    assert_eq!(reachability("", ""), Finding::Proved);
    let untracked = format!("{small} notrack");
    for harmless in
        ["meta mark set 1", "log", "counter", "ct mark set 1", "ip dscp set cs1", "notrack", untracked.as_str()]
    {
        assert_eq!(reachability(harmless, ""), Finding::Proved, "{harmless}");
    }
    for doubtful in ["ct zone set 5", "queue num 1", "tproxy to :8098", "ip saddr set 10.20.0.11", "frobnicate"] {
        let found = reachability(doubtful, "");
        assert!(matches!(found, Finding::Undecided(_) | Finding::Unjudged(_)), "{doubtful}: {found:?}");
        let rule = format!("{small} {doubtful}");
        let found = reachability(&rule, "");
        assert!(matches!(found, Finding::Undecided(_) | Finding::Unjudged(_)), "{rule}: {found:?}");
    }
    // Peers may get to 8087 here in any case; nobody else may.
    let strangers = |found: Finding| match found {
        Finding::Violated(witness) | Finding::OnPurpose(witness) => {
            !witness.packet.source.to_string().starts_with("10.20.")
        }
        Finding::Undecided(_) | Finding::Unjudged(_) => true,
        Finding::Proved => false,
    };
    assert!(!strangers(isolation("", "")));
    assert!(!strangers(isolation("meta mark set 1", "counter")));
    for (raw, early) in [("", "dup to 10.9.9.9"), ("dup to 10.9.9.9", ""), ("", "tcp dport 22 queue num 1")] {
        let closed = with(raw, early).replace("10.20.0.0/16", "127.0.0.1");
        let found = of_nft(&closed, Claim::Isolation);
        assert!(!matches!(found, Finding::Proved), "{raw} {early}: {found:?}");
    }
}

/// The end of a long rule that stands for several counts as well.
#[test]
fn what_a_long_rule_does_is_not_cut_off() {
    let many: Vec<String> = (0..100).map(|host| format!("10.30.0.{host}")).collect();
    let text = format!(
        "table inet fw {{
            chain raw {{ type filter hook prerouting priority raw; policy accept;
                meta l4proto {{ tcp, udp }} ip saddr != {{ {} }} notrack
            }}
        }}",
        many.join(", ")
    );
    let ruleset = nft::read(&text).unwrap().ruleset;
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    assert!(rules.clone().count() > 1);
    assert!(rules.clone().all(|rule| rule.statements.contains(&Statement::NoTrack)));
}

#[test]
fn a_text_that_says_of_itself_that_it_is_not_all_proves_nothing() {
    let whole = "*raw\n:PREROUTING DROP [0:0]\n-A PREROUTING -i lo -j ACCEPT\nCOMMIT\n\
        *filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";
    assert!(matches!(of_iptables(whole, Claim::Isolation), Finding::Proved));
    for line in [
        "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them",
        "# Warning: ip6tables-legacy tables present, use ip6tables-legacy to see them",
    ] {
        for text in [format!("{line}\n{whole}"), format!("{whole}{line}\n")] {
            assert!(matches!(of_iptables(&text, Claim::Isolation), Finding::Unjudged(_)), "{line}");
        }
    }
    for line in [
        "# Table `nat' is incompatible, use 'nft' tool.",
        "# Table `mangle' contains incompatible base-chains, use 'nft' tool to list them.",
    ] {
        assert!(iptables::read(&format!("{line}\n{whole}"), Family::Ip).is_err(), "{line}");
    }
    let whole = closed_but_for("drop");
    let warned = |what: &str| of_nft(&format!("# Warning: table ip filter {what}\n{whole}"), Claim::Isolation);
    assert!(matches!(warned("is managed by iptables-nft, do not touch!"), Finding::Proved));
    assert!(matches!(of_nft(&format!("# Warning: do not edit!\n{whole}"), Claim::Isolation), Finding::Proved));
    let newer = "was created by a newer version of nftables? Content may be incomplete!";
    assert!(matches!(warned(newer), Finding::Unjudged(_)));
}

/// Comments of people take nothing away where a rule has said what it does, nor between rules and elements.
#[test]
fn comments_of_people_are_no_doubt() {
    let text = "define ports = { 22, 80 } # open\ntable inet t { # mine\n    set s { # some\n type ipv4_addr # of them\n \
        flags interval # and\n elements = { 10.9.0.1, # one\n 10.9.0.2 # two\n } }\n  chain c { # the chain\n \
        type filter hook prerouting priority -150; # early\n policy drop; # closed\n    comment \"a chain\"\n \
        iif \"lo\" accept # loopback\n    tcp dport $ports accept # those\n    ip saddr { 10.8.0.1, # one\n \
        10.8.0.2 } drop # two\n    tcp dport 23 drop # tcp dport 8098 accept\n    # tcp dport 8098 accept\n    reject # rest\n}\n  \
        chain i { type filter hook input priority 0; policy drop; # closed\n iif \"lo\" accept\n} }";
    assert!(matches!(of_nft(text, Claim::Isolation), Finding::Proved), "{:?}", of_nft(text, Claim::Isolation));
}

/// Peers and the client come in as the file says, everybody else is kept out: at input, behind `first`; with `others` beside
/// it. Without doubts it proves both.
fn guarded(first: &str, others: &str) -> String {
    format!(
        "table inet fw {{\n{others}\nchain in {{ type filter hook input priority 0; policy accept;\n{first}\n{GUARD}\n}}\n}}"
    )
}

/// Rules that let in whom the file of this test lets in.
const GUARD: &str = "iif \"lo\" accept
    ip saddr { 10.20.0.11, 10.20.0.12 } tcp dport { 4369, 6000-6009, 8098, 8099 } accept
    ip saddr 10.20.1.0/24 tcp dport 8098 accept
    tcp dport { 4369, 6000-6009, 8087, 8098, 8099 } drop
    frag frag-off 0 drop";

/// The same before translation, where strangers are kept out if `test` holds, and a translation that they meet else.
fn translating(before: &str, priority: i32, test: &str, others: &str) -> String {
    let guard =
        GUARD.replace("tcp dport { 4369, 6000-6009, 8087", &format!("{test} tcp dport {{ 4369, 6000-6009, 8087"));
    let others = format!(
        "chain pre {{ type filter hook prerouting priority {priority}; policy accept;
            iif \"lo\" accept
            ip saddr {{ 10.20.0.11, 10.20.0.12 }} tcp dport {{ 4369, 6000-6009, 8098, 8099 }} accept
            ip saddr 10.20.1.0/24 tcp dport 8098 accept
            {before}
            {guard}
        }}
        chain nat {{ type nat hook prerouting priority -100; policy accept; ip saddr 10.9.0.2 tcp dport 8087 redirect to :9999; }}
        {others}"
    );
    guarded("", &others)
}

/// Each of these let a real stranger in.
#[test]
fn the_state_of_a_packet_before_tracking_may_be_another() {
    let never = "ct state invalid,untracked";
    let isolation = |text: String| of_nft(&text, Claim::Isolation);
    assert_eq!(isolation(guarded("", "")), Finding::Proved);
    assert_eq!(isolation(translating("", -300, "", "")), Finding::Proved);
    assert_eq!(isolation(translating("", -300, never, "")), Finding::Proved);
    // Connection tracking has the same priority.
    assert!(matches!(isolation(translating("", -200, never, "")), Finding::Undecided(_)));
    assert_eq!(isolation(translating("", -201, never, "")), Finding::Proved);
    // What is met a second time meets another packet.
    let zone = "chain z { ct state new,established accept; ct zone set 5; }";
    assert_eq!(isolation(translating("jump z", -300, "", zone)), Finding::Proved);
    assert!(matches!(isolation(translating("jump z\njump z", -300, "", zone)), Finding::Undecided(_)));
    // Of two chains with one priority either may be first.
    let other = |priority: i32, rule: &str| {
        format!("chain o {{ type filter hook prerouting priority {priority}; policy accept; {rule} }}")
    };
    assert_eq!(isolation(translating("", -300, never, &other(-299, "ct zone set 5;"))), Finding::Proved);
    assert!(matches!(isolation(translating("", -300, never, &other(-300, "ct zone set 5;"))), Finding::Undecided(_)));
    let copies = |priority: i32| {
        format!(
            "chain o {{ type filter hook input priority {priority}; policy accept; tcp dport 8087 dup to 10.20.0.11; }}"
        )
    };
    assert_eq!(isolation(guarded("", &copies(1))), Finding::Proved);
    assert!(matches!(isolation(guarded("", &copies(0))), Finding::Undecided(_)));
}

/// A template of iptables' counts as new before connection tracking.
#[test]
fn a_template_has_a_state() {
    let with = |template: &str| {
        let peers = |chain: &str| {
            format!(
                "-A {chain} -i lo -j ACCEPT\n-A {chain} -s 10.20.0.11 -p tcp -m multiport --dports 4369,6000:6009,8098,8099 -j ACCEPT\n\
                 -A {chain} -s 10.20.0.12 -p tcp -m multiport --dports 4369,6000:6009,8098,8099 -j ACCEPT\n\
                 -A {chain} -s 10.20.1.0/24 -p tcp --dport 8098 -j ACCEPT\n"
            )
        };
        let guard = "-p tcp -m multiport --dports 4369,6000:6009,8087,8098,8099";
        format!(
            "*raw\n{}{template}-A PREROUTING {guard} -m conntrack --ctstate INVALID,UNTRACKED -j DROP\nCOMMIT\n\
             *nat\n-A PREROUTING -s 10.9.0.2 -p tcp --dport 8087 -j REDIRECT --to-ports 9999\nCOMMIT\n\
             *filter\n{}-A INPUT {guard} -j DROP\nCOMMIT\n",
            peers("PREROUTING"),
            peers("INPUT")
        )
    };
    assert_eq!(of_iptables(&with(""), Claim::Isolation), Finding::Proved);
    assert_eq!(of_iptables(&with("-A PREROUTING -j MARK --set-mark 1\n"), Claim::Isolation), Finding::Proved);
    for template in ["--ctevents new", "--helper ftp", "--timeout t"] {
        let text = with(&format!("-A PREROUTING -j CT {template}\n"));
        assert!(matches!(of_iptables(&text, Claim::Isolation), Finding::Undecided(_)), "{template}");
    }
    // The flags of TCP are not as they were.
    let text = with("-A PREROUTING -p tcp -j ECN --ecn-tcp-remove\n");
    assert!(matches!(of_iptables(&text, Claim::Isolation), Finding::Unjudged(_)));
}

/// Where the answers are not tracked, the rest of a peer's handshake is invalid, and so it is where its beginning is not.
#[test]
fn who_is_half_tracked_may_be_cut_off() {
    let output = |rule: &str, priority: i32| {
        format!("chain o {{ type filter hook output priority {priority}; policy accept; {rule} }}")
    };
    let input = |rule: &str| format!("chain o {{ type filter hook prerouting priority -300; policy accept; {rule} }}");
    let reachability = |others: &str| of_nft(&guarded("ct state invalid drop", others), Claim::Reachability);
    for harmless in [
        String::new(),
        output("tcp sport 8099 counter;", -300),
        output("udp sport 53 notrack;", -300),
        output("tcp sport 8099 notrack;", -100),
        input("udp dport 53 notrack;"),
        input("tcp dport 80 notrack;"),
        input("tcp dport 8099 notrack;"),
        input("notrack;") + &output("notrack;", -300).replace("chain o", "chain p"),
    ] {
        assert_eq!(reachability(&harmless), Finding::Proved, "{harmless}");
    }
    for doubtful in [
        output("tcp sport 8099 notrack;", -300),
        output("tcp sport 8099 ct zone set 5;", -300),
        input("tcp dport 8099 tcp flags & (syn | ack) == syn notrack;"),
        input("tcp dport 8099 limit rate 5/second notrack;"),
        input("tcp dport 8099 ip ttl 64 accept; tcp dport 8099 notrack;"),
    ] {
        assert!(matches!(reachability(&doubtful), Finding::Undecided(_)), "{doubtful}");
    }
}

/// Chains for NAT have their turn where the kernel translates: 100 at input, whatever their own priority.
#[test]
fn chains_for_nat_come_when_the_kernel_translates() {
    let with = |nat: i32, filter: i32| {
        let nat = format!(
            "chain n {{ type nat hook input priority {nat}; policy accept; ip saddr 10.20.0.11 tcp dport 8099 snat ip to 192.0.2.1; }}"
        );
        guarded("", &nat).replace("hook input priority 0", &format!("hook input priority {filter}"))
    };
    for (nat, filter, proved) in
        [(100, 0, true), (-10, 0, true), (200, 99, true), (100, 150, false), (200, 150, false), (200, 100, false)]
    {
        let found = of_nft(&with(nat, filter), Claim::Reachability);
        assert_eq!(found == Finding::Proved, proved, "{nat} {filter}: {found:?}");
    }
}

/// Who may open a connection and send nothing on it reaches nobody.
#[test]
fn a_connection_that_only_opens_reaches_nobody() {
    let with = |hook: &str, rule: &str| {
        let chain = format!("chain o {{ type filter hook {hook}; policy accept; {rule} }}");
        of_nft(&guarded("", &chain), Claim::Reachability)
    };
    for hook in ["prerouting priority -300", "prerouting priority -150", "prerouting priority -90", "input priority 9"]
    {
        for rule in [
            "tcp flags & syn != syn tcp dport 8099 drop;",
            "tcp flags & (syn | ack) == ack drop;",
            "tcp flags psh,ack / fin,syn,rst,psh,ack drop;",
        ] {
            assert!(matches!(with(hook, rule), Finding::Violated(_)), "{hook}: {rule}");
        }
        // No program sends a segment without flags; the guard itself drops none of an admitted source at input.
        let early = hook.starts_with("pre");
        let none = with(hook, "tcp flags & (fin | syn | rst | psh | ack | urg) == 0 drop;");
        assert_eq!(none == Finding::Proved, early, "{hook}");
        assert_eq!(with(hook, "tcp flags & syn != syn tcp dport 22 drop;"), Finding::Proved, "{hook}");
        assert_eq!(with(hook, "tcp flags & syn != syn ip saddr 203.0.113.0/24 drop;"), Finding::Proved, "{hook}");
    }
    assert!(!matches!(with("ingress device \"eth0\" priority 0", "tcp flags & syn != syn drop;"), Finding::Proved));
}

/// What the link layer says at a device is not yet what the bridge or the device on it says.
#[test]
fn the_kind_of_packet_changes_behind_the_device() {
    let with = |hook: &str| {
        let chain = format!("chain o {{ type filter hook {hook}; policy accept; meta pkttype other drop; }}");
        of_nft(&guarded("", &chain), Claim::Reachability)
    };
    assert_eq!(with("prerouting priority -300"), Finding::Proved);
    assert!(matches!(with("ingress device \"eth0\" priority -300"), Finding::Undecided(_)));
}

/// nft takes variables in every block, and those of an object's are its table's.
#[test]
fn variables_come_out_of_the_blocks_of_objects() {
    let with = |object: &str| {
        let first = "ip saddr $p tcp dport 8099 accept";
        format!("define p = 10.20.0.11\n{}", guarded(first, object))
    };
    assert_eq!(of_nft(&with("counter x { packets 0 bytes 0 }"), Claim::Isolation), Finding::Proved);
    assert_eq!(of_nft(&with("map m { type inet_service : verdict; }"), Claim::Isolation), Finding::Proved);
    let all = "redefine p = 0.0.0.0/0";
    for object in [
        format!("counter x {{ {all}\n }}"),
        format!("quota x {{ 5 mbytes\n {all}\n }}"),
        format!("map m {{ type inet_service : verdict; {all}\n }}"),
        format!("flowtable f {{ hook ingress priority 0; devices = {{ lo }}; {all}\n }}"),
    ] {
        assert!(matches!(of_nft(&with(&object), Claim::Isolation), Finding::Violated(_)), "{object}");
    }
    // Those of a chain stay its own.
    assert_eq!(of_nft(&with(&format!("chain y {{ {all}\n }}")), Claim::Isolation), Finding::Proved);
    for object in ["map m { type inet_service : verdict; include \"x\"\n }", "counter x { include \"x\"\n }"] {
        assert!(nft::read(&with(object)).is_err(), "{object}");
    }
}

/// A table that sleeps keeps nobody out, whatever flag stands below.
#[test]
fn one_flag_takes_no_other_back() {
    let with = |flags: &str| of_nft(&guarded("", flags), Claim::Isolation);
    assert_eq!(with("flags owner;"), Finding::Proved);
    for flags in ["flags dormant;", "flags dormant\nflags owner", "flags owner\nflags dormant"] {
        assert!(matches!(with(flags), Finding::Violated(_)), "{flags}");
    }
}

/// nft lists `ip6 nexthdr tcp tcp dport 22` of a table of IPv6 alone as `tcp dport 22`: a stranger may come behind extension
/// headers.
#[test]
fn a_listing_of_ipv6_may_have_lost_the_next_header() {
    let with = |test: &str| {
        format!(
            "table ip t {{ chain i {{ type filter hook input priority 0; policy drop; iif \"lo\" accept; }}; }}
            table ip6 t {{
                chain i {{
                    type filter hook input priority 0; policy accept;
                    iif \"lo\" accept
                    frag frag-off 0 drop
                    {test} {{ 4369, 6000-6009, 8087, 8098, 8099 }} drop
                }}
            }}"
        )
    };
    for (test, proved) in [("meta l4proto tcp tcp dport", true), ("tcp dport", false)] {
        let found = of_nft(&with(test), Claim::Isolation);
        assert_eq!(found == Finding::Proved, proved, "{test}: {found:?}");
        assert!(!matches!(found, Finding::Violated(_)), "{test}: {found:?}");
    }
    let inet = with("tcp dport").replace("table ip6 t", "table inet u");
    assert_eq!(of_nft(&inet, Claim::Isolation), Finding::Proved);
}

/// Of ranges of several things the kernel takes elements that overlap, and finds one of them.
#[test]
fn elements_of_a_map_that_overlap_are_not_tried_one_by_one() {
    let found = |elements: &str| {
        let map = format!("ip saddr . tcp dport vmap {{ {elements} }}");
        of_nft(&closed_but_for(&format!("{map}\n\t\tmeta nfproto ipv4 tcp dport 8098 accept")), Claim::Isolation)
    };
    let proved = |elements: &str| matches!(found(elements), Finding::Proved);
    assert!(proved("0.0.0.0/0 . 8098 : drop"), "{:?}", found("0.0.0.0/0 . 8098 : drop"));
    assert!(!proved("203.0.113.0/24 . 8098 : continue, 0.0.0.0/0 . 8098 : drop"));
    // What does not overlap, or says the same, stands for itself.
    let split = "0.0.0.0-127.255.255.255 . 1-8099 : drop, 128.0.0.0-255.255.255.255 . 1-8099 : drop";
    assert!(proved(&format!("{split}, 0.0.0.0/0 . 8100-65535 : continue")));
    assert!(proved("203.0.113.0/24 . 8098 : drop, 0.0.0.0/0 . 8098 : drop"));
}

/// What may take rules away makes it uncertain that a packet is blocked; a table or a chain beside them does not.
#[test]
fn blocked_is_certain_only_where_nothing_takes_rules_away() {
    let closed =
        nft::read("table inet t { chain c { type filter hook input priority 0; policy drop; }; }").unwrap().ruleset;
    let packet = Packet { port: 8098, flags: TcpFlags::SYN, ..Packet::plain("203.0.113.9".parse().unwrap()) };
    for (unread, fate) in [
        ("table bridge b", Fate::Blocked),
        ("chain c of table inet other: of a kind that is not known", Fate::Blocked),
        ("include \"more.nft\"", Fate::Undecided),
        ("b.nft takes away what iptables-nft has made of a.iptables", Fate::Undecided),
    ] {
        let ruleset = Ruleset { unread: vec![unread.to_owned()], ..closed.clone() };
        assert_eq!(explain(&ruleset, &packet).fate, fate, "{unread}");
    }
}
