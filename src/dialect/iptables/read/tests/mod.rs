//! Forms of rules with the IR that each must give.

mod bounds;
mod commands;
mod targets;

use std::fmt::Write;

use super::*;
use crate::ir::{
    Addresses, ChainKind, ConnectionStates, Destined, Foreign, Hook, Marked, Match, PortBlock, PortMatch, Side,
    TcpFlags, Translation, Verdict,
};

/// A rule in one line, tersely; chains of the table: `INPUT` and `U`.
fn rules(family: Family, line: &str) -> (Vec<String>, Vec<String>) {
    let text = format!("*filter\n:INPUT ACCEPT [0:0]\n:U - [0:0]\n-A INPUT {line}\nCOMMIT\n");
    let read = read(&text, family).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(read.unknown.iter().all(|unknown| unknown.line == 4), "{line}");
    let chain = read.ruleset.tables[0].chains.iter().find(|chain| chain.name == "INPUT").unwrap();
    for rule in &chain.rules {
        assert_eq!(
            rule.place,
            Some(Place { line: 4, handle: None, text: format!("-A INPUT {line}").trim().to_owned() })
        );
    }
    let rules = chain.rules.iter().map(terse).collect();
    (rules, read.unknown.into_iter().map(|unknown| unknown.text).collect())
}

fn terse(rule: &Rule) -> String {
    let mut text = String::new();
    for one in &rule.matches {
        write!(text, "{} ", terse_match(one)).unwrap();
    }
    for one in rule.statements.iter().filter(|one| !matches!(one, Statement::Counter(_))) {
        match one {
            Statement::Log(prefix) => write!(text, "log={prefix:?} ").unwrap(),
            Statement::Update { set } => write!(text, "update=@{set} ").unwrap(),
            other => write!(text, "does={} ", other.name()).unwrap(),
        }
    }
    if let Some(comment) = &rule.comment {
        write!(text, "#{comment:?} ").unwrap();
    }
    match &rule.verdict {
        None => {}
        Some(Verdict::Unknown(what)) => write!(text, "=> ?{what}").unwrap(),
        Some(verdict) => write!(text, "=> {verdict:?}").unwrap(),
    }
    text.trim_end().to_owned()
}

fn terse_match(one: &Match) -> String {
    let not = |negated: &bool| if *negated { "!" } else { "" };
    let addresses = |addresses: &Addresses| match addresses {
        Addresses::Set(name) => format!("@{name}"),
        Addresses::These(elements) => elements.networks().iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    match one {
        Match::InInterface { names, negated } => format!("{}if:{}", not(negated), names[0]),
        Match::Source { addresses: list, negated } => format!("{}src:{}", not(negated), addresses(list)),
        Match::Destination { addresses: list, negated } => format!("{}dst:{}", not(negated), addresses(list)),
        Match::Protocol { number, negated } => format!("{}proto:{number}", not(negated)),
        Match::ConnectionState { states, negated } => {
            let names = ConnectionStates::ALL.iter().filter(|(state, _)| states.has(*state)).map(|(_, name)| *name);
            format!("{}ct:{}", not(negated), names.collect::<Vec<_>>().join(","))
        }
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated } => {
            format!("{}dport:{}", not(negated), ports.to_string().replace(' ', ""))
        }
        Match::TcpFlags { mask: TcpFlags(mask), value: TcpFlags(value) } => format!("flags:{mask:x}/{value:x}"),
        Match::PortBlock(PortBlock { first: 0, bits: 0 }) => "any-port".to_owned(),
        Match::DestinationLocal => "local".to_owned(),
        Match::DestinationOfInterface => "own".to_owned(),
        Match::PerhapsDirectlyTcp => "perhaps".to_owned(),
        Match::PacketType { types, negated } => format!("{}type:{}", not(negated), types.0),
        Match::DestinationTranslated => "translated".to_owned(),
        Match::OriginalPort(_) => "original".to_owned(),
        Match::FirstFragment => "first-fragment".to_owned(),
        Match::Limit { per_minute, burst } => format!("limit:{per_minute}/{burst}"),
        Match::Foreign(one) => terse_foreign(one),
        Match::Unknown(text) => format!("?[{text}]"),
        other => panic!("no reader of iptables makes {other:?}"),
    }
}

fn terse_foreign(one: &Foreign) -> String {
    let not = |negated: &bool| if *negated { "!" } else { "" };
    match one {
        Foreign::Device { side, names, negated } => {
            let side = if *side == Side::In { "in" } else { "out" };
            format!("{}{side}:{}", not(negated), names[0])
        }
        Foreign::SourcePort { ports: PortMatch::Ports(ports), negated } => {
            format!("{}sport:{}", not(negated), ports.to_string().replace(' ', ""))
        }
        Foreign::SourcePort { .. } => panic!("no reader of iptables makes a set of source ports"),
        Foreign::Endpoint { set, ends, negated } => {
            let ends: Vec<&str> =
                ends.iter().map(|end| if *end == crate::ir::End::Source { "src" } else { "dst" }).collect();
            format!("{}{}:@{set}", not(negated), ends.join(","))
        }
        Foreign::Mark { of, mask, value, negated } => {
            let of = if *of == Marked::Packet { "mark" } else { "connmark" };
            format!("{}{of}:{value:x}/{mask:x}", not(negated))
        }
        Foreign::Hung(names) => format!("hung:{names:?}"),
        Foreign::Translated { end, negated } => format!("{}translated:{end:?}", not(negated)),
        Foreign::Direction { reply } => format!("reply:{reply}"),
        Foreign::ExtensionHeader(text) => format!("header:[{text}]"),
        Foreign::DestinationType { types, negated } => {
            format!("{}to:{}", not(negated), types.names().collect::<Vec<_>>().join(","))
        }
        Foreign::SourceType { types, negated } => {
            format!("{}from:{}", not(negated), types.names().collect::<Vec<_>>().join(","))
        }
        Foreign::LaterFragment { negated } => format!("{}fragment", not(negated)),
        Foreign::WayBack { same_interface, missing } => format!("back:{same_interface}:{}", !missing),
        Foreign::Group { group, negated, .. } => format!("{}group:{group}", not(negated)),
        Foreign::PartOfVrf { name, negated } => format!("{}part:{name}", not(negated)),
        Foreign::Varies { on, .. } => format!("varies:{on:?}"),
    }
}

/// What is written → the rules. Everything in `?[…]` or behind `=> ?` must be listed as unknown, and nothing else;
/// but not that of rules for other protocols.
fn check(family: Family, forms: &[(&str, &[&str])]) {
    for (line, expected) in forms {
        let (found, unknown) = rules(family, line);
        assert_eq!(&found, expected, "{line}");
        let in_rule = found[0].matches("?[").count() + found[0].matches("=> ?").count();
        let others = ["proto:17", "!proto:6", "proto:1 ", "proto:58"].iter().any(|other| found[0].contains(other));
        let in_rule = if others { 0 } else { in_rule };
        assert_eq!(unknown.len(), in_rule, "{line}: {unknown:?}");
        assert!(unknown.iter().all(|text| found[0].contains(text.as_str())), "{line}: {unknown:?}");
    }
}

#[test]
fn addresses_interfaces_protocols() {
    check(
        Family::Ip,
        &[
            ("", &[""]),
            ("-s 10.0.0.1 -j DROP", &["src:10.0.0.1 => Drop"]),
            ("-s 10.0.0.1/32 -j DROP", &["src:10.0.0.1 => Drop"]),
            ("--source 10.1.2.3/8 --destination 1.2.3.4/255.255.0.0", &["src:10.0.0.0/8 dst:1.2.0.0/16"]),
            ("! -s 10.0.0.0/8 ! -d 1.1.1.1", &["!src:10.0.0.0/8 !dst:1.1.1.1"]),
            ("-s 0.0.0.0/0 -d 0/0 -j DROP", &["?[-d 0/0] => Drop"]),
            ("! -s 0.0.0.0/0", &["!src:0.0.0.0/0"]),
            ("-s 1.1.1.1,2.2.2.2/31 -j DROP", &["src:1.1.1.1 => Drop", "src:2.2.2.2/31 => Drop"]),
            (
                "-s 1.1.1.1,2.2.2.2 -d 3.3.3.3,0.0.0.0/0",
                &["src:1.1.1.1 dst:3.3.3.3", "src:1.1.1.1", "src:2.2.2.2 dst:3.3.3.3", "src:2.2.2.2"],
            ),
            ("! -s 1.1.1.1,2.2.2.2", &["?[! -s 1.1.1.1,2.2.2.2]"]),
            ("-s 10.0.0.0/255.0.255.0", &["?[-s 10.0.0.0/255.0.255.0]"]),
            ("-s 010.0.0.1", &["?[-s 010.0.0.1]"]),
            ("-s db.example.com,10.0.0.1", &["?[-s db.example.com,10.0.0.1]"]),
            ("-s fd00::1", &["?[-s fd00::1]"]),
            ("! -i lo", &["!if:lo"]),
            ("-s 1.1.1.1 -i eth0.100", &["if:eth0.100 src:1.1.1.1"]),
            ("-i eth+ -o br0", &["in:eth* out:br0"]),
            ("! -i docker+ ! -o veth+", &["!in:docker* !out:veth*"]),
            ("-i eth:1 -o a/b", &["?[-i eth:1] ?[-o a/b]"]),
            ("! -o +", &["!out:*"]),
            ("-i + -o +", &[""]),
            ("! -i +", &["!in:*"]),
            ("-p tcp", &["proto:6"]),
            ("-p 6", &["proto:6"]),
            ("-p UDP", &["proto:17"]),
            ("! -p ipv6-icmp", &["!proto:58"]),
            ("-p all", &[""]),
            ("-p 0", &[""]),
            ("-p sctp", &["proto:132"]),
            ("-p 0x6", &["?[-p 0x6]"]),
            ("-p mytcp", &["?[-p mytcp]"]),
            ("! -f -j ACCEPT", &["!fragment => Accept"]),
            ("-c 5 7 -j ACCEPT", &["=> Accept"]),
            ("-j DROP -p tcp --dport 5", &["dport:5 => Drop"]),
            ("-4 -j ACCEPT", &["=> Accept"]),
        ],
    );
    assert_eq!(rules_of_other_family(), 0);
    check(
        Family::Ip6,
        &[
            ("-s fd00::1/128", &["src:fd00::1"]),
            ("! -s fd00::5/64", &["!src:fd00::/64"]),
            ("-s ::/0", &[""]),
            ("-s 1.2.3.4", &["?[-s 1.2.3.4]"]),
            ("-p icmpv6", &["proto:58"]),
        ],
    );
}

/// A line for the other family says nothing.
fn rules_of_other_family() -> usize {
    let read = read("*filter\n-A INPUT -6 -s ::1 -j DROP\nCOMMIT\n", Family::Ip).unwrap();
    read.ruleset.tables.len() + read.unknown.len()
}

#[test]
fn modules() {
    check(
        Family::Ip,
        &[
            ("-p tcp -m multiport --dports 1,2:4,80", &["dport:1-4,80"]),
            ("-p tcp -m multiport ! --dports 1,2:4", &["!dport:1-4"]),
            ("-p tcp -m multiport --dport 5", &["dport:5"]),
            ("-p tcp -m multiport --dports 0:5,80:81", &["!dport:6-79,82-65535"]),
            ("-p tcp -m multiport --sports 5,7:9", &["sport:5,7-9"]),
            ("-p tcp -m multiport ! --sports 5", &["!sport:5"]),
            ("-p tcp -m tcp --sport 1024:65535 --dport 22", &["sport:1024-65535 dport:22"]),
            ("-p tcp --sport 0:65535", &["proto:6 any-port"]),
            ("-p tcp -m multiport --ports 5", &["proto:6 ?[-m multiport --ports 5]"]),
            ("-p udp -m multiport --dports 5", &["proto:17 ?[-m multiport --dports 5]"]),
            ("! -p tcp -m multiport --dports 5", &["!proto:6 ?[-m multiport --dports 5]"]),
            ("-p tcp -m tcp --dport 22", &["dport:22"]),
            ("-p tcp --dport 22", &["dport:22"]),
            ("-p tcp --destination-port 22:25", &["dport:22-25"]),
            ("-p tcp ! --dport 22", &["!dport:22"]),
            ("-p tcp --dport 1024:", &["dport:1024-65535"]),
            ("-p tcp --dport :1023", &["!dport:1024-65535"]),
            ("-p tcp ! --dport 0:1023", &["dport:1024-65535"]),
            ("-p tcp --dport 0:65535", &["proto:6 any-port"]),
            ("-p tcp -m multiport --dports 0:65535", &["proto:6 any-port"]),
            ("-p tcp ! --sport 53 ! --dport 22", &["proto:6 ?[! --sport 53 ! --dport 22]"]),
            (
                "-p tcp -m tcp ! --source-port 1 --syn ! --dport 2",
                &["proto:6 ?[-m tcp ! --source-port 1 --syn ! --dport 2]"],
            ),
            ("-p tcp ! --sport 53 --dport 22", &["!sport:53 dport:22"]),
            ("-p tcp --dport 0", &["!dport:1-65535"]),
            ("-p tcp ! --dport :", &["proto:6 ?[! --dport :]"]),
            ("-p tcp --dport ssh", &["proto:6 ?[--dport ssh]"]),
            ("-p tcp --dport 9:3", &["proto:6 ?[--dport 9:3]"]),
            ("-p tcp -m tcp", &["proto:6 any-port"]),
            ("-p udp -m udp", &["proto:17 any-port"]),
            ("-p tcp -m tcp --sport 5 --dport 6", &["sport:5 dport:6"]),
            ("-p udp -m udp --dport 53", &["proto:17 ?[-m udp --dport 53]"]),
            ("-p udp --dport 53 -j ACCEPT", &["proto:17 ?[--dport 53] => Accept"]),
            ("-p tcp --syn", &["flags:17/2"]),
            (
                "-p tcp ! --syn -j DROP",
                &["flags:1/1 => Drop", "flags:3/0 => Drop", "flags:7/6 => Drop", "flags:17/12 => Drop"],
            ),
            ("-p tcp -m tcp --tcp-flags SYN,ACK SYN", &["flags:12/2"]),
            ("-p tcp --tcp-flags ALL NONE", &["flags:3f/0"]),
            ("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN", &["flags:2/0", "flags:12/12"]),
            ("-p tcp -m tcp ! --tcp-flags SYN ACK", &["proto:6 ?[-m tcp ! --tcp-flags SYN ACK]"]),
            ("-m addrtype --dst-type LOCAL", &["local"]),
            ("-m addrtype ! --dst-type LOCAL", &["!to:local"]),
            ("-m addrtype --dst-type BROADCAST", &["to:broadcast"]),
            ("-m addrtype --dst-type LOCAL,BROADCAST", &["to:local,broadcast"]),
            ("-m addrtype --dst-type XRESOLVE", &["?[-m addrtype --dst-type XRESOLVE]"]),
            ("-m addrtype --src-type LOCAL --dst-type LOCAL", &["from:local local"]),
            ("-m addrtype --dst-type LOCAL --limit-iface-in", &["own"]),
            ("-m addrtype --limit-iface-in --dst-type local", &["own"]),
            ("-p tcp -m conntrack --ctstate DNAT --ctdir ORIGINAL", &["proto:6 translated"]),
            ("-m conntrack --ctdir ORIGINAL --ctstate DNAT", &["translated"]),
            ("-m conntrack --ctorigdstport 6000:6009", &["original"]),
            ("-m conntrack --ctdir ORIGINAL", &["reply:false"]),
            ("-m conntrack ! --ctdir ORIGINAL", &["reply:true"]),
            ("-m conntrack --ctdir REPLY", &["reply:true"]),
            ("-m conntrack --ctstate DNAT --ctdir REPLY", &["?[-m conntrack --ctstate DNAT --ctdir REPLY]"]),
            ("-m conntrack --ctstate DNAT", &["translated:Destination"]),
            ("-m conntrack ! --ctstate SNAT", &["!translated:Source"]),
            (
                "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
                &["ct:established,related => Accept", "!ct:established,related translated:Destination => Accept"],
            ),
            ("-m conntrack ! --ctstate NEW,DNAT", &["!ct:new !translated:Destination"]),
            ("-m conntrack --ctstate NEW,SNAT", &["?[-m conntrack --ctstate NEW,SNAT]"]),
            ("-m conntrack --ctstatus ASSURED", &["varies:Connection"]),
            ("-m socket --transparent --nowildcard", &["varies:Socket"]),
            ("-m socket", &["varies:Socket"]),
            ("-m socket --nowildcard --restore-skmark", &["varies:SocketWithMark"]),
            ("-m socket --something-newer", &["varies:SocketWithMark"]),
            ("-m conntrack ! --ctorigdstport 5", &["?[-m conntrack ! --ctorigdstport 5]"]),
            ("-m addrtype --dst-type LOCAL -m addrtype --dst-type LOCAL --limit-iface-in", &["local own"]),
            (
                "-m addrtype ! --dst-type LOCAL --limit-iface-in",
                &["?[-m addrtype ! --dst-type LOCAL --limit-iface-in]"],
            ),
            (
                "-m addrtype --dst-type LOCAL --src-type LOCAL --limit-iface-in",
                &["?[-m addrtype --dst-type LOCAL --src-type LOCAL --limit-iface-in]"],
            ),
            ("-m addrtype --dst-type LOCAL --limit-iface-out", &["?[-m addrtype --dst-type LOCAL --limit-iface-out]"]),
            ("-m limit --limit 10/min", &["limit:10/5"]),
            ("-m limit --limit 10/minute --limit-burst 7", &["limit:10/7"]),
            ("-m limit --limit 5/sec", &["limit:300/5"]),
            ("-m limit --limit 3/hour", &["varies:Rate"]),
            ("-m limit", &["varies:Rate"]),
            ("-m conntrack --ctstate NEW,ESTABLISHED", &["ct:established,new"]),
            ("-m conntrack ! --ctstate INVALID,UNTRACKED", &["!ct:invalid,untracked"]),
            ("-m state --state RELATED", &["ct:related"]),
            ("-m conntrack --ctstate NEW --ctdir ORIGINAL", &["ct:new reply:false"]),
            ("-m set --match-set peers4 src", &["src:@peers4"]),
            ("-m set ! --match-set peers.4 dst", &["!dst:@peers_x2e4"]),
            ("-m set ! --match-set s src,dst", &["!src,dst:@s"]),
            ("-m set --match-set s dst,src", &["dst,src:@s"]),
            ("-m set --match-set s dst,dst,src,src,src,dst", &["dst,dst,src,src,src,dst:@s"]),
            (
                "-m set --match-set s src,src,src,src,src,src,src",
                &["?[-m set --match-set s src,src,src,src,src,src,src]"],
            ),
            ("-m set --match-set s src,", &["?[-m set --match-set s src,]"]),
            ("-m set --match-set s src ! --update-counters ! --update-subcounters", &["src:@s"]),
            ("-m set --match-set s src --packets-gt 5", &["?[-m set --match-set s src --packets-gt 5]"]),
            ("-m set --match-set s src --return-nomatch", &["?[-m set --match-set s src --return-nomatch]"]),
            ("-p tcp -m set --match-set s src -m multiport --dports 5", &["src:@s dport:5"]),
            ("-p tcp -m limit --limit 9/m -m set --match-set s src", &["proto:6 limit:9/5 src:@s"]),
            ("-m comment --comment \"a: b\" -j DROP", &["#\"a: b\" => Drop"]),
            ("-m comment --comment a -m comment --comment b -m comment --comment \"\"", &["#\"a; b\""]),
            ("-m comment --comment \"it\\'s \\\"a\\\" \\\\b\"", &["#\"it?s ?a? ?b\""]),
            ("-m comment --comment \"-j DROP\"", &["#\"-j DROP\""]),
            ("-m mark --mark 0x1 -j DROP", &["mark:1/ffffffff => Drop"]),
            ("-m mark --mark 0x2000/0x2000", &["mark:2000/2000"]),
            ("-m mark --mark 3/1", &["?[-m mark --mark 3/1]"]),
            ("-m connmark ! --mark 7/0xff", &["!connmark:7/ff"]),
            ("-m mark --mark 010", &["?[-m mark --mark 010]"]),
            ("-m rpfilter", &["back:true:true"]),
            ("-m rpfilter --loose --validmark --invert", &["back:false:false"]),
            ("-m rpfilter ! --loose", &["?[-m rpfilter ! --loose]"]),
            ("-m mark ! --mark 0x1 -m rpfilter --invert", &["!mark:1/ffffffff back:true:false"]),
            ("-m u32 --u32 \"0x6&0xff=0x1\"", &["?[-m u32 --u32 \"0x6&0xff=0x1\"]"]),
            ("-m string --string \"-j\" --algo bm -j DROP", &["?[-m string --string \"-j\" --algo bm] => Drop"]),
            ("-m string --string -j --algo bm -j DROP", &["?[-m string --string -j --algo bm] => Drop"]),
            ("-m mark -m tcp -p tcp --mark 1 --dport 5", &["mark:1/ffffffff dport:5"]),
            ("-m rt --rt-type 0", &["?[-m rt --rt-type 0]"]),
            ("--frobnicate yes -j DROP", &["?[--frobnicate yes] => Drop"]),
            ("yes -j DROP", &["?[yes] => Drop"]),
            ("-p tcp --dport", &["proto:6 ?[--dport]"]),
        ],
    );
    check(
        Family::Ip6,
        &[
            ("-m frag --fragfirst", &["first-fragment"]),
            ("-m frag --fragid 0:4294967295 --fragfirst", &["first-fragment"]),
            ("-m frag --fragid 0 --fragfirst", &["?[-m frag --fragid 0] first-fragment"]),
            ("-m frag ! --fragid 3:7 --fragfirst", &["?[-m frag ! --fragid 3:7] first-fragment"]),
            ("-m frag --fragmore", &["?[-m frag --fragmore]"]),
            ("-m frag --fragid 0:4294967295", &["?[-m frag --fragid 0:4294967295]"]),
            ("-m addrtype ! --dst-type LOCAL", &["!to:local"]),
            ("-m addrtype --dst-type MULTICAST", &["to:multicast"]),
            // An address of this host is one of these, too.
            ("-m addrtype --dst-type UNICAST", &["?[-m addrtype --dst-type UNICAST]"]),
            ("-m rt --rt-type 0 -j DROP", &["header:[-m rt --rt-type 0] => Drop"]),
            ("-m rt ! --rt-type 0 --rt-segsleft 1", &["header:[-m rt ! --rt-type 0 --rt-segsleft 1]"]),
            ("-m rt", &["header:[-m rt]"]),
            ("-m hbh --hbh-len 4", &["header:[-m hbh --hbh-len 4]"]),
            ("-m hl --hl-eq 255", &["?[-m hl --hl-eq 255]"]),
            (
                "-p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT",
                &["proto:58 ?[-m icmp6 --icmpv6-type 128] => Accept"],
            ),
        ],
    );
}

#[test]
fn rules_that_iptables_refuses() {
    for (line, message) in [
        ("-j", "`-j` lacks its value"),
        ("-s", "`-s` lacks its value"),
        ("-m", "`-m` lacks its value"),
        ("!", "`!` with nothing behind it"),
        ("! ! -s 1.1.1.1", "`!` twice in a row"),
        ("! -j DROP", "`-j` cannot be negated"),
        ("-j DROP -j ACCEPT", "two targets in one rule"),
        ("-s 1.1.1.1 -s 2.2.2.2", "`-s` twice"),
        ("-jDROP", "`-jDROP`: write each option, and its value, as a word of its own"),
        ("-V", "`-V`: with this iptables-restore prints something and ends, and does nothing else"),
        ("--hel", "`--hel`: with this iptables-restore prints something and ends, and does nothing else"),
        ("--jum DROP", "`--jum`: write `-j TARGET` or `-g CHAIN`"),
        ("--jump=DROP", "`--jump=DROP`: write `-j TARGET` or `-g CHAIN`"),
        ("-m comment --comment \"abc", "a quote is not closed"),
    ] {
        let error = read(&format!("*filter\n-A INPUT {line}\nCOMMIT\n"), Family::Ip).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (2, message), "{line}");
    }
}

fn chains(text: &str) -> Vec<(String, Vec<String>)> {
    let read = read(&format!("*filter\n{text}COMMIT\n"), Family::Ip).unwrap_or_else(|error| panic!("{text}{error}"));
    let chains = read.ruleset.tables.into_iter().flat_map(|table| table.chains);
    chains.map(|chain| (chain.name, chain.rules.iter().map(terse).collect())).collect()
}

fn chain(text: &str) -> Vec<String> {
    let mut all = chains(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all.remove(0).1
}

/// getopt takes `-vj ACCEPT` for `-v -j ACCEPT`.
#[test]
fn bundled_options_are_refused() {
    for rule in ["-p tcp -vj ACCEPT", "-4j ACCEPT", "! -fj ACCEPT", "-vg U", "-jACCEPT", "-ptcp -j ACCEPT"] {
        let error = read(&format!("*filter\n:U - [0:0]\n-A INPUT {rule}\nCOMMIT\n"), Family::Ip).unwrap_err();
        assert!(error.message.contains("a word of its own"), "{rule}: {error}");
    }
}

#[test]
fn base_chains_are_the_kernels() {
    let base = |text: &str| {
        let read = read(text, Family::Ip6).unwrap();
        assert_eq!(read.ruleset.tables.len(), 1);
        let table = &read.ruleset.tables[0];
        let base = table.chains.last().unwrap().base.unwrap();
        assert!(base.shared && table.family == Family::Ip6);
        (base.kind, base.hook, base.priority, base.policy)
    };
    let on = |table: &str, chain: &str| base(&format!("*{table}\n-I {chain} -j DROP\nCOMMIT\n"));
    use ChainKind::{Filter, Nat, Route};
    assert_eq!(on("raw", "PREROUTING"), (Filter, Hook::Prerouting, -300, Policy::Accept));
    assert_eq!(on("mangle", "INPUT"), (Filter, Hook::Input, -150, Policy::Accept));
    assert_eq!(on("mangle", "OUTPUT"), (Route, Hook::Output, -150, Policy::Accept));
    assert_eq!(on("nat", "PREROUTING"), (Nat, Hook::Prerouting, -100, Policy::Accept));
    assert_eq!(on("nat", "OUTPUT"), (Nat, Hook::Output, -100, Policy::Accept));
    assert_eq!(on("nat", "POSTROUTING"), (Nat, Hook::Postrouting, 100, Policy::Accept));
    assert_eq!(on("nat", "INPUT"), (Nat, Hook::Input, 100, Policy::Accept));
    assert_eq!(on("filter", "FORWARD"), (Filter, Hook::Forward, 0, Policy::Accept));
    assert_eq!(on("security", "INPUT"), (Filter, Hook::Input, 50, Policy::Accept));
    let drop = (Filter, Hook::Input, 0, Policy::Drop);
    assert_eq!(base("*filter\n:INPUT DROP [1:2]\nCOMMIT\n"), drop);
    assert_eq!(base("*filter\n:INPUT DROP [1:2]\n:INPUT - [0:0]\nCOMMIT\n"), drop);
    assert_eq!(base("*filter\n-P INPUT DROP\nCOMMIT\n"), drop);
    assert_eq!(base("-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"), drop);
    assert_eq!(base("# Warning\n-P INPUT DROP -c 1 2\n-P FORWARD ACCEPT -c 0 0\n-P OUTPUT ACCEPT -c 0 0\n"), drop);
    let raw = (Filter, Hook::Prerouting, -300, Policy::Accept);
    assert_eq!(base("-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-N U\n-A U -c 1 2 -j DROP\n-A PREROUTING -j U\n"), raw);
}

#[test]
fn stanzas_accumulate_and_chains_stand_behind_what_they_jump_to() {
    let text = "*raw\n:A - [0:0]\n:B - [0:0]\n-A A -j B\nCOMMIT\n*filter\n:C - [0:0]\nCOMMIT\n*raw\n-I PREROUTING -j A\n\
                -I PREROUTING -j A\nCOMMIT";
    let read = read(text, Family::Ip).unwrap();
    let tables: Vec<_> = read.ruleset.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["raw", "filter"]);
    let chains: Vec<_> = read.ruleset.tables[0].chains.iter().map(|chain| chain.name.as_str()).collect();
    assert_eq!(chains, ["B", "A", "PREROUTING"]);
    assert_eq!(read.ruleset.tables[0].chains[2].rules.len(), 2, "identical jumps stay several");
}
