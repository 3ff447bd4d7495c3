//! What a file leaves behind.

use std::fs;

use super::{all, golden_rulesets, interface, numbers, port, read, source};
use crate::dialect::nft::write;
use crate::dialect::read::Unknown;
use crate::ir::{
    Base, ChainKind, DeviceName, Elements, Family, Foreign, Hook, Match, Place, Policy, Set, SetKind, Verdict,
};

#[test]
fn a_file_is_carried_out_from_top_to_bottom() {
    let read = all("#!/usr/sbin/nft -f
        flush ruleset
        define hosts = { 10.0.0.1, 10.0.0.3 }
        define port = 22; define dev = \"eth0\"
        table ip old { chain x { drop
        } }
        table ip t { chain x { drop
          }
        }
        table t
        delete table t
        add table ip t { flags dormant; }
        add table ip t
        add chain ip t c { type filter hook input priority filter - 5; policy drop; }
        add set t s { type ipv4_addr; }
        add element ip t s { 10.0.0.9, 10.0.0.3-10.0.0.5 }
        add rule t c tcp dport $port ip saddr $hosts \\
           accept
        insert rule t c iifname $dev drop
        insert rule ip t c counter
        add chain t gone
        flush table ip old
        delete chain t gone
        include \"more.nft\"
    ");
    assert_eq!(read.unknown, [Unknown { line: 24, text: "include \"more.nft\"".into() }]);
    let [old, table] = read.ruleset.tables.as_slice() else { panic!("{:?}", read.ruleset) };
    assert_eq!((old.family, old.name.as_str(), old.chains[0].rules.len()), (Family::Ip, "old", 0));
    assert_eq!(table.sets.len(), 1);
    assert_eq!(table.sets[0].elements, Elements::Ipv4(vec![(0x0a00_0003, 0x0a00_0005), (0x0a00_0009, 0x0a00_0009)]));
    let [chain] = table.chains.as_slice() else { panic!("{table:?}") };
    let base = Base { kind: ChainKind::Filter, hook: Hook::Input, priority: -5, policy: Policy::Drop, shared: false };
    assert_eq!(chain.base, Some(base));
    let matches: Vec<_> = chain.rules.iter().map(|rule| rule.matches.clone()).collect();
    let both = source(&["10.0.0.1", "10.0.0.3"], false);
    assert_eq!(matches, [vec![], vec![interface(&["eth0"], false)], vec![port(&["22"], false), both]]);
    let place = Place { line: 17, handle: None, text: "tcp dport $port ip saddr $hosts accept".into() };
    assert_eq!(chain.rules[2].place, Some(place));
}

/// What an included file holds is not known, its chains among it.
#[test]
fn chains_may_come_from_an_included_file() {
    let read = all("include \"x\"\ntable ip t {\nchain c {\njump elsewhere\ninclude \"y\"\n}\n}");
    let verdicts: Vec<_> = read.ruleset.tables[0].chains[0].rules.iter().map(|rule| rule.verdict.clone()).collect();
    let unknown = |text: &str| Some(Verdict::Unknown(text.into()));
    assert_eq!(verdicts, [unknown("jump elsewhere"), unknown("include \"y\"")]);
    let lines: Vec<u32> = read.unknown.iter().map(|unknown| unknown.line).collect();
    assert_eq!(lines, [1, 4, 5]);
}

#[test]
fn priorities_policies_and_places_of_chains() {
    for (text, priority) in [
        ("raw", -300),
        ("mangle", -150),
        ("dstnat", -100),
        ("filter", 0),
        ("security", 50),
        ("srcnat", 100),
        ("srcnat + 10", 110),
        ("raw - 5", -305),
        ("010", 8),
        ("-010", -8),
        ("0x10", 16),
        ("filter + 010", 8),
        ("filter+1", 1),
        ("-7", -7),
        ("300", 300),
    ] {
        let read = all(&format!("table inet t {{\nchain c {{\ntype nat hook output priority {text};\n}}\n}}"));
        let base = read.ruleset.tables[0].chains[0].base.unwrap();
        assert_eq!(
            (base.priority, base.policy, base.kind, base.hook),
            (priority, Policy::Accept, ChainKind::Nat, Hook::Output)
        );
    }
    for bad in [
        "type filter hook input priority high;",
        "type filter hook egress priority 0;",
        "type bad hook input priority 0;",
        "type filter hook input;",
        "type filter hook input priority 0; policy maybe;",
    ] {
        assert_eq!(read(&format!("table inet t {{\nchain c {{\n{bad}\n}}\n}}")).unwrap_err().line, 3, "{bad}");
    }
    // A chain that is bound to a device sees the packets of that device only.
    let read = all("table inet t {
        chain c { type filter hook ingress device \"eth0\" priority 0; policy drop;
            tcp dport 22 return
        }
    }");
    let [body, entry] = read.ruleset.tables[0].chains.as_slice() else { panic!() };
    assert_eq!((body.base, body.rules.len()), (None, 1));
    assert_eq!(entry.base.unwrap().policy, Policy::Accept);
    let rules: Vec<_> = entry.rules.iter().map(|rule| (rule.matches.as_slice(), rule.verdict.clone())).collect();
    let eth0 = [hung("eth0")];
    assert_eq!(rules, [(&eth0[..], Some(Verdict::Jump(body.name.clone()))), (&eth0[..], Some(Verdict::Drop))]);
}

#[test]
fn tables_of_other_families_are_listed() {
    let read = all("table bridge n {\n chain x {\n type filter hook input priority filter; policy accept;\n drop\n}\n}
        table bridge b {\n}\ntable ip6 s {\n}");
    assert_eq!(read.ruleset.tables.len(), 1);
    let texts: Vec<&str> = read.unknown.iter().map(|unknown| unknown.text.as_str()).collect();
    let chain = "table bridge n chain x { type filter hook input priority filter }";
    assert_eq!(texts, ["table bridge n", chain]);
    assert_eq!(read.ruleset.unread, ["table bridge n"]);
}

fn hung(name: &str) -> Match {
    Match::Foreign(Foreign::Hung(vec![DeviceName::Is(name.parse().unwrap())]))
}

/// Tables of devices are tables as others are, but for what is no IP.
#[test]
fn tables_of_devices_hang_at_these() {
    let text = |chain: &str| {
        format!(
            "table netdev n {{\n chain x {{\n {chain}; policy accept;\n ip saddr 10.0.0.1 meta nfproto ipv4 drop\n}}\n}}"
        )
    };
    for (hooked, hook, device) in [
        ("type filter hook ingress device \"eth0\" priority filter", Hook::Ingress, Some("eth0")),
        ("type filter hook egress device eth0 priority -10", Hook::Egress, Some("eth0")),
        // It may hang anywhere soon.
        ("type filter hook ingress priority 0", Hook::Ingress, None),
    ] {
        let read = all(&text(hooked));
        let table = &read.ruleset.tables[0];
        assert_eq!((table.family, table.name.as_str()), (Family::Netdev, "n"));
        let [body, entry] = table.chains.as_slice() else { panic!("{table:?}") };
        assert_eq!(entry.base.map(|base| base.hook), Some(hook));
        let test = device.map_or(Match::Unknown(hooked.to_owned()), hung);
        assert_eq!(entry.rules[0].matches, [test]);
        // No packet is known by its family there.
        assert!(
            matches!(body.rules[0].matches.last(), Some(Match::Unknown(text)) if text.contains("nfproto")),
            "{body:?}"
        );
    }
}

#[test]
fn tables_of_other_families_that_let_everything_pass_are_no_doubt() {
    let hook = "type filter hook input priority filter;";
    for harmless in [
        "",
        "policy accept;",
        "counter packets 0 bytes 0 jump other",
        "ether type arp accept",
        "iifname \"eth0\" counter return",
        "frobnicate",
    ] {
        let text = format!("table bridge nat {{\nchain other {{\n}}\nchain c {{\n{hook}\n{harmless}\n}}\n}}\n");
        let unread = all(&text).ruleset.unread;
        let expected: &[&str] = if harmless == "frobnicate" { &["table bridge nat"] } else { &[] };
        assert_eq!(unread, expected, "{harmless}");
    }
    for harmful in ["policy drop;", "drop", "ether type ip drop", "meta mark set 1", "redirect", "queue"] {
        let text = format!("table bridge nat {{\nchain c {{\n{hook}\n{harmful}\n}}\n}}\n");
        assert_eq!(all(&text).ruleset.unread, ["table bridge nat"], "{harmful}");
        // What no hook leads to sees nothing, and neither does what sleeps.
        let text = format!("table bridge nat {{\nflags dormant\nchain c {{\n{hook}\n{harmful}\n}}\n}}\n");
        assert_eq!(all(&text).ruleset.unread, Vec::<String>::new(), "{harmful}");
    }
    let arp = format!("table arp filter {{\nchain c {{\n{hook} policy drop;\n}}\n}}\n");
    assert_eq!(all(&arp).ruleset.unread, Vec::<String>::new());
}

/// Single addresses are taken down without a token for each. Behind each a blank, they are read as everything else is, and come to the same.
#[test]
fn addresses_come_to_the_same_with_and_without_tokens() {
    const PIECES: [&str; 22] = [
        "10.0.0.1",
        "10.0.0.2",
        "255.255.255.255",
        "0.0.0.0",
        "010.0.0.1",
        "1.2.3",
        "256.1.1.1",
        "10.0.0.1",
        ",",
        ",",
        ",",
        "\n",
        " ",
        "\t",
        "-",
        "/8",
        "# 10.0.0.3,\n",
        " comment \"10.0.0.3, \"",
        "$v",
        "}",
        "{",
        " timeout 5s",
    ];
    let mut below = numbers();
    let mut sound = 0;
    for _ in 0..40_000 {
        let (mut one, mut other) = (String::new(), String::new());
        for _ in 0..below(12) {
            let piece = PIECES[below(PIECES.len())];
            let ends = matches!(piece, "," | "\n" | "}");
            one.push_str(piece);
            other.push_str(if ends { " " } else { "" });
            other.push_str(piece);
        }
        let come_to = |elements: &str| {
            let text = format!(
                "define v = 10.0.0.9\ntable ip t {{\nset s {{\ntype ipv4_addr\nflags interval\nelements = {{ {elements} }}\n}}\n\
                 chain c {{\nwrong words\n}}\n}}\n"
            );
            match read(&text) {
                Ok(read) => {
                    Ok((read.ruleset, read.unknown.iter().map(|one| (one.line, one.text.clone())).collect::<Vec<_>>()))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        let read = come_to(&one);
        sound += usize::from(read.is_ok());
        assert_eq!(read, come_to(&other), "{one}");
    }
    assert!(sound > 4_000, "{sound}");
}

#[test]
fn sets_in_all_their_spellings() {
    let set = |body: &str| {
        let rules = "chain c {\nip saddr @s accept\n tcp dport @s accept\n meta mark @s accept\n}";
        let read = all(&format!("table inet t {{\n set s {{ # handle 3\n {body}\n }}\n{rules}\n}}"));
        let listed = read.unknown.iter().any(|one| one.text == "set s");
        let [set] = read.ruleset.tables[0].sets.as_slice() else { panic!("{body}") };
        let Set { kind, elements, .. } = set.clone();
        (kind, elements, listed)
    };
    let hash = |size| SetKind::Hash { size };
    let one = Elements::Ipv4(vec![(1, 1)]);
    assert_eq!(set("type ipv4_addr; size 64; elements = { 0.0.0.1 }"), (hash(Some(64)), one.clone(), false));
    assert_eq!(
        set("type ipv4_addr\n comment \"x\"\n elements = { 0.0.0.1 comment \"a, b\" counter packets 0 bytes 0 }"),
        (hash(None), one.clone(), false)
    );
    assert_eq!(set("typeof ip saddr\nelements = { 0.0.0.1,\n\t\t0.0.0.1 }"), (hash(None), one, false));
    assert_eq!(
        set("type inet_service\nflags interval\nauto-merge\npolicy memory"),
        (SetKind::Interval, Elements::Ports(vec![]), false)
    );
    let two = Elements::Ipv4(vec![(0x0a00_0000, 0x0a00_00ff), (0x0a00_0100, 0x0a00_0102)]);
    assert_eq!(
        set("type ipv4_addr\nflags interval\nelements = { 10.0.1.0-10.0.1.2, 10.0.0.0/24 }"),
        (SetKind::Interval, two, false)
    );
    let read =
        all("define a = { 0.0.0.1, 0.0.0.2 }\ntable t {\nset s {\ntype ipv4_addr\nelements = { $a, 0.0.0.7 }\n}\n}");
    assert_eq!(read.ruleset.tables[0].sets[0].elements, Elements::Ipv4(vec![(1, 1), (2, 2), (7, 7)]));
    for unknown in [
        "type ipv4_addr\nflags constant, dynamic",
        "type ipv4_addr\nflags timeout, dynamic",
        "type ipv4_addr\nflags timeout\nelements = { 1.2.3.4 timeout 5m limit rate 1/second }",
        "type ipv4_addr\nflags timeout\nelements = { 1.2.3.4 timeout 5m expires }",
        "type ipv4_addr\nelements = { 1.2.3.4 limit rate 1/second }",
        "type ipv4_addr\nelements = { * }",
        "type ipv4_addr\nelements = { 1.2.3.4, 6.7.8.9 { 5 } }",
        "type ipv4_addr\nelements = { example.com }",
        "type inet_service\nelements = { 0 }",
        "elements = { 1.2.3.4 }\ntype ipv4_addr",
    ] {
        let (_, elements, listed) = set(unknown);
        assert_eq!((elements, listed), (Elements::Unknown, true), "{unknown}");
    }
    let perhaps = Elements::Ipv4(vec![(0x0102_0304, 0x0102_0304)]).passing();
    for passing in [
        "type ipv4_addr\nflags timeout\nelements = { 1.2.3.4 }",
        "type ipv4_addr\ntimeout 1h\nelements = { 1.2.3.4 expires 5m3s20ms comment \"x\" }",
        "type ipv4_addr\nflags interval, timeout\nelements = { 1.2.3.4 timeout 5m expires 3m counter packets 1 bytes 2 }",
        "type ipv4_addr\nelements = { 1.2.3.4 timeout 5m expires 3m }",
    ] {
        let (_, elements, listed) = set(passing);
        assert_eq!((elements, listed), (perhaps.clone(), false), "{passing}");
    }
    // What is in these the rules say that look something up in them, or do not know.
    for joined in ["type ipv4_addr . inet_service\nelements = { 1.2.3.4 . 22 }", "type mark\nelements = { 1 }"] {
        let read = all(&format!("table inet t {{\n set s {{\n {joined}\n }}\n}}"));
        assert_eq!((read.unknown, &read.ruleset.tables[0].sets[0].elements), (vec![], &Elements::Unknown), "{joined}");
    }
}

/// Each line was tried with nft 1.0.6: the port is what it listed. It refuses to define a variable twice in sight of each
/// other, which says the same as to define it anew.
#[test]
fn a_variable_ends_with_its_block() {
    for (text, ports) in [
        (
            "define p = 1\ntable inet t {\nchain a {\nredefine p = 2\ntcp dport $p drop\n}\nchain b { tcp dport $p drop; }\n}\n",
            [2, 1],
        ),
        (
            "define p = 1\ntable inet t {\nchain a {\nundefine p\ntcp dport $p drop\n}\nchain b { tcp dport $p drop; }\n}\n",
            [1, 1],
        ),
        (
            "define p = 1\ntable inet t {\nchain a {\nredefine p = 2\nundefine p\ntcp dport $p drop\n}\nchain b { tcp dport $p drop; }\n}\n",
            [1, 1],
        ),
        (
            "define p = 1\ntable inet t {\nredefine p = 2\nchain a { tcp dport $p drop; }\n}\ntable inet u {\nchain b { tcp dport $p drop; }\n}\n",
            [2, 1],
        ),
        (
            "define p = 1\ntable inet t {\nchain a { tcp dport $p drop; }\n}\nredefine p = 2\ntable inet u {\nchain b { tcp dport $p drop; }\n}\n",
            [1, 2],
        ),
        (
            "define q = 1\ndefine p = { $q }\nredefine q = 7\ntable inet t {\nchain a { tcp dport $p drop; }\nchain b { tcp dport $q drop; }\n}\n",
            [1, 7],
        ),
    ] {
        let read = all(text);
        let rules = read.ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let found: Vec<Match> = rules.flat_map(|rule| rule.matches.clone()).collect();
        let expected = ports.map(|number: u16| port(&[&number.to_string()], false));
        assert_eq!(found, expected, "{text}");
    }
    // Out of its block it is no variable.
    let read = all("table inet t {\nchain a {\ndefine p = 2\n}\nchain b { tcp dport $p drop; }\n}\n");
    assert!(!read.unknown.is_empty());
}

#[test]
fn no_ruleset_no_reading() {
    // A comment of nft hides a statement only behind another one.
    assert_eq!(all("# xt_a\ntable ip x { # xt_b\n# xt_c\nchain c { # xt_d\n# xt_e\naccept\n}\n}").unknown, []);
    for empty in ["", "\n\n", "# nothing\n", "#!/usr/sbin/nft -f\n", "flush ruleset", "table ip x"] {
        assert_eq!(all(empty).unknown, [], "{empty:?}");
    }
    for (text, line, part) in [
        ("{ \"nftables\": [] }", 1, "JSON"),
        ("<html>\n", 1, "no command"),
        ("\n*filter\n:INPUT ACCEPT [0:0]\n", 2, "no command"),
        ("hello world", 1, "no command"),
        ("table inet x {\n chain c {\n drop\n", 2, "no end"),
        ("table inet x {\n chain c {\n drop\n }\n", 1, "no end"),
        ("table inet x {\n set s {\n type ipv4_addr\n elements = { 1.2.3.4,\n", 4, "no end"),
        ("table inet x {\n chain c {\n ip saddr { 1.2.3.4 \n", 3, "no end"),
        ("table inet x {\n}\n}\n", 3, "no command"),
        ("table inet x {\n drop\n}\n", 2, "does not belong"),
        ("table inet x {\n chain c {\n log prefix \"x\n}\n}", 3, "never closed"),
        ("table inet x {\n chain c {\n jump nowhere\n}\n}", 3, "no chain `nowhere`"),
        ("table inet x {\n chain c {\n jump c\n}\n}", 1, "circle"),
        ("table inet x {\n\u{0}\n}", 2, "control character"),
        ("add rule inet x y accept", 1, "no table"),
        ("table inet x\nadd element inet x y { 1 }", 2, "no set"),
        ("table inet x\ndelete rule inet x y handle 4", 2, "no chain"),
        ("table", 1, "expected"),
        ("table inet", 1, "expected"),
        ("table inet x y", 1, "expected"),
        ("add frob x", 1, "nothing that nft knows"),
        ("define x 4", 1, "expected `=`"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
    let deep = format!("table inet x {{\nchain c {{\nip saddr {}\n}}\n}}", "{ ".repeat(100_000));
    assert!(read(&deep).unwrap_err().message.contains("too many brackets"));
    let grown: String = (1..64).map(|n| format!("define v{n} = {{ $v{p} , $v{p} }}\n", p = n - 1)).collect();
    assert!(read(&format!("define v0 = 1, 2\n{grown}")).unwrap_err().message.contains("variables"));
}

/// The writer's spelling means what was compiled: reading it and writing it again changes nothing but comments.
#[test]
fn golden_rulesets_read_as_they_were_written() {
    let files = golden_rulesets();
    assert!(files.len() >= 15);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = all(&text);
        assert_eq!(found.unknown, [], "{}", file.display());
        let written = write(&found.ruleset).unwrap();
        assert_eq!(all(&written).unknown, []);
        let bare = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| line.split(" # ").next().unwrap().trim().to_owned());
            // nft itself puts a test on TCP before a reset; it is not written.
            let lines = lines.map(|line| line.replace("meta l4proto tcp counter reject", "counter reject"));
            let lines = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
            // Ports of one service share a line; without services they all do.
            lines
                .flat_map(|line| line.split(", ").map(|part| part.trim_end_matches(',').to_owned()).collect::<Vec<_>>())
                .collect()
        };
        assert_eq!(bare(&written), bare(&text), "{}", file.display());
    }
}

/// nft counts over what it has in mind, in which flushed rules still are.
#[test]
fn a_place_behind_what_was_flushed_is_not_certain() {
    let add = "table ip t { chain c { drop; counter; }; }\n";
    let places = |between: &str| read(&format!("{add}{between}\nadd rule ip t c index 0 accept\n"));
    let rules = places("").unwrap().ruleset.tables[0].chains[0].rules.clone();
    assert_eq!(rules[1].verdict, Some(Verdict::Accept));
    for between in
        ["flush chain ip t c\nadd rule ip t c drop", "flush table ip t\nadd rule ip t c drop", "delete chain ip t d"]
    {
        assert!(places(between).unwrap_err().message.contains("not certain"), "{between}");
    }
}

#[test]
fn lines_go_on_behind_a_word() {
    for text in ["ip saddr 192.0.2.1\\\n tcp dport 22 drop", "ip saddr 192.0.2.1 \\\n tcp dport 22\\\n drop"] {
        let read = all(&format!("table ip t {{\nchain c {{\n{text}\n}}\n}}"));
        let rules = &read.ruleset.tables[0].chains[0].rules;
        assert_eq!((rules.len(), rules[0].matches.len(), &rules[0].verdict), (1, 2, &Some(Verdict::Drop)), "{text}");
    }
}

/// nft needs no blank behind a number, nor behind an asterisk: a verdict would go unseen.
#[test]
fn words_that_nft_takes_for_several_may_be_anything() {
    let rule = |text: &str| read(&format!("table inet t {{\nchain c {{\n{text}\n}}\n}}"));
    for text in [
        "tcp dport 8098accept",
        "ip saddr 203.0.113.9accept",
        "ip saddr 203.0.113.0/24accept",
        "tcp dport 1-8098accept",
        "tcp dport 0x1fa2return",
        "ip6 saddr fe80::return",
        "ip6 saddr fe80::1accept",
        "iifname eth*accept",
        "counter packets 0 bytes 0accept",
        "limit rate 10/second burst 5accept",
        "ether saddr 02:00:00:00:00:01return",
    ] {
        let verdict = rule(text).unwrap().ruleset.tables[0].chains[0].rules[0].verdict.clone();
        assert_eq!(verdict, Some(Verdict::Unknown(text.to_owned())), "{text}");
    }
    for text in [
        "ip saddr 10.0.0.1-10.0.0.9 accept",
        "ip6 saddr { fe80::/10, ::1-::5, 64:ff9b::192.0.2.1 } accept",
        "ether saddr 02:00:00:00:00:01 accept",
        "iifname \"eth*\" accept",
        "iifname eth* accept",
        "limit rate 10/second burst 5 packets accept",
        "limit rate over 10 mbytes/second burst 512kbytes drop",
        "add @s { ip saddr timeout 1d2h3m4s5ms }",
        "tcp dport vmap { 22 : accept, 80:drop }",
        "meta mark & 0xff000000 == 0x1000000 accept",
        "dnat ip6 to [fd00::1]:80",
        "dnat ip to 10.0.0.1:80-90",
        "meta priority set 1:1f accept",
        "ether type 8021q accept",
        "jump 2xyz",
    ] {
        let read = read(&format!(
            "table inet t {{\nset s {{\ntype ipv4_addr\nflags dynamic\n}}\nchain 2xyz {{\n}}\nchain c {{\n{text}\n}}\n}}"
        ));
        let rules = read.unwrap_or_else(|error| panic!("{text}: {error}")).ruleset.tables[0].chains[1].rules.clone();
        assert!(!matches!(rules[0].verdict, Some(Verdict::Unknown(_))), "{text}: {rules:?}");
    }
}

/// A file that nft refuses leaves the kernel as it was.
#[test]
fn what_nft_refuses_for_its_bytes_is_refused() {
    for (text, what) in [("table ip t {\r\n}\r\n", "carriage return"), ("\u{feff}table ip t\n", "byte order mark")] {
        assert!(read(text).unwrap_err().message.contains(what), "{text:?}");
    }
    assert!(read("table ip t {\n\u{c}}\n").is_err());
}
