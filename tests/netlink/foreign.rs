//! What others put into our table: it is not mistaken for what it is not, and it can be undone.

use ringfence::dialect::netlink::{Extent, Protocol, Scope, Socket, Table, lift, read};
use ringfence::ir::{Destined, Elements, Ruleset, Statement};
use ringfence::semantics::{Door, Packet, Rules};

use super::lab::netns;
use super::{bare, change, cluster, compiled, list, live};

const CLUSTER: &str = "[cluster]\nname = \"x\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.1\", \"riak@10.20.0.2\"]\n\
     [networks]\nprivate = [\"10.20.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";

/// Text for nft, and whether the table can be given back as it was.
const ADDITIONS: [(&str, bool); 23] = [
    ("add rule inet ringfence input quota over 1 mbytes drop", true),
    ("add rule inet ringfence input limit rate 5/second accept", true),
    ("add rule inet ringfence input limit rate 5 kbytes/second accept", true),
    ("add rule inet ringfence input ct mark 1 drop", true),
    ("add rule inet ringfence input ct mark set 1", true),
    ("add rule inet ringfence input meta mark set 1", true),
    ("add rule inet ringfence input tcp dport set 80", true),
    ("add rule inet ringfence input tcp dport vmap { 80 : drop, 443 : accept }", true),
    ("add rule inet ringfence input tcp dport 80 jump { ip saddr 10.0.0.1 drop; }", false),
    ("add map inet ringfence m { type inet_service : verdict; elements = { 80 : jump admit }; }", true),
    ("add rule inet ringfence input meta mark set ip saddr map { 10.0.0.1 : 1 } ip saddr 10.0.0.1 drop", true),
    // Behind every header, and where newer kernels look no longer, which refuse it.
    ("add rule inet ringfence input @th,1600,8 1 drop", true),
    ("add rule inet ringfence input @th,8000,8 1 drop", true),
    ("add rule inet ringfence input udp dport 53 drop", true),
    ("add rule inet ringfence input tcp option maxseg size 1 drop", true),
    ("add rule inet ringfence input reject with icmpx admin-prohibited", true),
    ("add set inet ringfence s { type ipv4_addr; timeout 1h; flags timeout; elements = { 10.0.0.9 }; }", true),
    ("add set inet ringfence s { type ipv4_addr . inet_service; elements = { 10.0.0.9 . 80 }; }", true),
    ("add counter inet ringfence c; add rule inet ringfence input counter name c drop", false),
    ("add quota inet ringfence q { over 1 mbytes }; add rule inet ringfence input quota name q drop", false),
    ("add table inet ringfence { flags dormant; }", true),
    ("add chain inet ringfence late { type filter hook input priority 5; policy drop; }", true),
    ("add chain inet ringfence early { type filter hook ingress device lo priority 0; policy drop; }", true),
];

/// Without what the kernel counts and what runs out.
fn steady(text: &str) -> String {
    text.split_whitespace().filter(|word| !word.starts_with("59m") && !word.starts_with("expires")).collect()
}

fn meaning(table: &Table) -> Ruleset {
    let lifted = lift(table).unwrap().unwrap();
    Ruleset { tables: vec![lifted.table], unread: lifted.unread, ..Ruleset::default() }
}

#[test]
fn additions_of_others_are_seen_given_back_and_undone() {
    netns::isolated("foreign::additions_of_others_are_seen_given_back_and_undone", || {
        let wanted = compiled(&cluster(CLUSTER)).0;
        for (text, faithful) in ADDITIONS {
            let _namespace = netns::Namespace::unshare();
            netns::ip("link set lo up\n");
            change(Some(&wanted), Extent::Nothing);
            let clean = list();
            let before = bare(lift(&live().own.unwrap()).unwrap().unwrap().table);
            if let Err(error) = netns::attempt(&["nft", "-f", "-"], &text.replace("; add", "\nadd")) {
                netns::not_possible(text, &error);
                continue;
            }
            let (theirs, changed) = (live().own.unwrap(), list());
            assert_ne!(clean, changed, "{text}");
            let lifted = lift(&theirs).unwrap().unwrap();
            // What is understood is another meaning; the rest is listed, or the kernel counts more than is read.
            let differs = bare(lifted.table.clone()) != before;
            let flagged = text.contains("dormant") || theirs.has_more() || text.contains("map inet");
            assert!(differs || flagged || !lifted.unknown.is_empty(), "{text}: {:#?}", lifted.table);
            if faithful {
                assert!(!theirs.has_more(), "{text}");
                change(None, Extent::Nothing);
                assert_eq!(change(Some(&theirs), Extent::Nothing), Extent::Whole, "{text}");
                assert_eq!(steady(&list()), steady(&changed), "{text}");
            } else {
                assert!(theirs.has_more() || theirs.chains.iter().any(|chain| chain.flags != 0), "{text}");
            }
            assert!(change(Some(&wanted), Extent::Nothing) >= Extent::Rules, "{text}");
            assert_eq!(list(), clean, "{text}");
            assert_eq!(change(Some(&wanted), Extent::Nothing), Extent::Nothing, "{text}");
        }
    });
}

/// Rules that drop or accept by something that is not understood: both must stay possible.
#[test]
fn what_is_not_understood_leaves_both_possible() {
    netns::isolated("foreign::what_is_not_understood_leaves_both_possible", || {
        let verdicts = [
            "meta skuid vmap { 0 : drop }",
            "ip saddr . meta skuid vmap { 10.0.0.1 . 0 : drop }",
            "quota over 1 mbytes drop",
            "@th,1600,8 1 drop",
            "tcp sport 80 drop",
            "ct mark 1 drop",
            "ip saddr @s drop",
        ];
        for verdict in verdicts {
            let _namespace = netns::Namespace::unshare();
            let text = format!(
                "table inet ringfence {{\nset s {{ type ipv4_addr; flags timeout; timeout 1h; elements = {{ 10.0.0.1 }} }}\n\
                 chain input {{ type filter hook input priority 0; policy accept;\n{verdict}\n}}\n}}\n"
            );
            netns::run(&["nft", "-f", "-"], &text);
            let ruleset = meaning(&live().own.unwrap());
            let packet = Packet { port: 80, ..Packet::plain("10.0.0.1".parse().unwrap()) };
            let outcome = Rules::new(&ruleset).evaluate(Door::Input, &packet);
            assert!(outcome.may_pass && outcome.may_block, "{verdict}: {ruleset:#?}");
        }
    });
}

/// Rules of others that are understood: a packet that they block, and one that they spare.
#[test]
fn what_is_understood_is_certain() {
    netns::isolated("foreign::what_is_understood_is_certain", || {
        let rules = [
            "tcp dport vmap { 80-81 : drop }",
            "tcp dport vmap { 90 : accept, * : drop }",
            "ip saddr . tcp dport vmap { 10.0.0.1 . 80 : drop }",
            "ip saddr . tcp dport { 10.0.0.0/24 . 80-89, 10.0.1.0/24 . 443 } drop",
            "ip saddr . tcp dport @pairs drop",
            "iifname { \"eth*\", \"wg0\" } drop",
            "iifname \"eth*\" drop",
            "iifname != \"wg*\" drop",
            "tcp flags & (fin | syn | rst | ack) != fin drop",
            "tcp dport { 22, 80-89 } ip saddr { 10.0.0.1, 10.0.0.9-10.0.0.99 } drop",
            "meta l4proto { tcp, udp } th dport { 53, 80 } drop",
            "meta l4proto . th dport { udp . 53, tcp . 80 } drop",
            "meta l4proto != { udp, icmp } tcp dport 80 drop",
            "tcp dport < 1024 drop",
            "tcp dport != { 90, 100-200 } drop",
            "meta protocol ip drop",
            "ct state { new, established } drop",
            "tcp dport vmap { 80-81 : jump other }",
            "fib daddr type { local, broadcast } drop",
        ];
        for rule in rules {
            let _namespace = netns::Namespace::unshare();
            let text = format!(
                "table ip other {{\nset pairs {{ type ipv4_addr . inet_service; flags interval; elements = {{ 10.0.0.0/24 . 80-81 }}; }}\n\
                 chain other {{ drop\n}}\nchain input {{ type filter hook input priority 0; policy accept;\n{rule}\n}}\n}}\n"
            );
            if let Err(error) = netns::attempt(&["nft", "-f", "-"], &text) {
                netns::not_possible(rule, &error);
                continue;
            }
            let ruleset = meaning(&others().remove(0));
            let packet = Packet {
                port: 80,
                interface: Some("eth1".parse().unwrap()),
                ..Packet::plain("10.0.0.1".parse().unwrap())
            };
            let fate = |packet: &Packet| Rules::new(&ruleset).evaluate(Door::Input, packet);
            let outcome = fate(&packet);
            assert!(!outcome.may_pass && outcome.may_block, "{rule}: {outcome:?} {ruleset:#?}");
            let spared = Packet { source: "fd00::1".parse().unwrap(), ..packet };
            assert!(fate(&spared).may_pass && !fate(&spared).may_block, "{rule}");
        }
    });
}

/// Where a translation leads to, from registers and from maps.
#[test]
fn translations_say_where_they_lead_to() {
    netns::isolated("foreign::translations_say_where_they_lead_to", || {
        let to = |address: Option<&str>, ports: Option<(u16, u16)>| Destined::To {
            addresses: address.map(|one| {
                let (first, last) = one.split_once('-').unwrap_or((one, one));
                (first.parse().unwrap(), last.parse().unwrap())
            }),
            ports,
        };
        let cases: Vec<(&str, Vec<Destined>)> = vec![
            ("tcp dport 1 dnat to 10.0.0.5:8098", vec![to(Some("10.0.0.5"), Some((8098, 8098)))]),
            ("dnat to 10.0.0.5-10.0.0.9", vec![to(Some("10.0.0.5-10.0.0.9"), None)]),
            ("tcp dport 1 dnat to :100-200", vec![to(None, Some((100, 200)))]),
            ("tcp dport 1 redirect to :8098", vec![to(None, Some((8098, 8098)))]),
            ("redirect", vec![to(None, None)]),
            (
                "dnat to tcp dport map { 80 : 10.0.0.1, 81 : 10.0.0.2 }",
                vec![to(Some("10.0.0.1"), None), to(Some("10.0.0.2"), None)],
            ),
            (
                "dnat to ip saddr . tcp dport map { 10.0.0.1 . 80 : 10.0.0.2 . 8098 }",
                vec![to(Some("10.0.0.2"), Some((8098, 8098)))],
            ),
            ("tcp dport 1 redirect to :tcp dport map { 80 : 8080 }", vec![to(None, Some((8080, 8080)))]),
        ];
        for (rule, expected) in cases {
            let _namespace = netns::Namespace::unshare();
            let text = format!("table ip nat {{ chain c {{ type nat hook prerouting priority -100; {rule}\n}}\n}}\n");
            if let Err(error) = netns::attempt(&["nft", "-f", "-"], &text) {
                netns::not_possible(rule, &error);
                continue;
            }
            let ruleset = meaning(&others().remove(0));
            let rules = ruleset.tables[0].chains[0].rules.iter();
            let found: Vec<Destined> = rules
                .flat_map(|rule| &rule.statements)
                .filter_map(|one| if let Statement::Translate(_, to) = one { Some(to.clone()) } else { None })
                .collect();
            assert_eq!(found, expected, "{rule}: {ruleset:#?}");
        }
    });
}

fn others() -> Vec<Table> {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    read(&mut socket, "ringfence", Scope::Whole).unwrap().others
}

/// nft since 1.0 lets a rule fill a set that was declared as any other; an older one refuses that, and the set has to say
/// that rules fill it. Either way its elements are not known, and those of the set beside it are.
#[test]
fn a_set_that_a_rule_fills_holds_anything() {
    netns::isolated("foreign::a_set_that_a_rule_fills_holds_anything", || {
        let text = |flags: &str| {
            format!(
                "table inet ringfence {{\n set s {{ type ipv4_addr; size 64; {flags} elements = {{ 10.0.0.1 }}; }}\n\
                set t {{ type ipv4_addr; size 64; elements = {{ 10.0.0.1 }}; }}\n\
                chain input {{\n type filter hook input priority 0; policy drop;\n\
                tcp dport 7777 add @s {{ ip saddr }}\n ip saddr @s accept\n ip saddr @t accept\n }}\n}}\n"
            )
        };
        for flags in ["", "flags dynamic;"] {
            let _namespace = netns::Namespace::unshare();
            netns::ip("link set lo up\n");
            match netns::attempt(&["nft", "-f", "-"], &text(flags)) {
                Err(error) if flags.is_empty() => {
                    netns::not_possible("filling a set that is not declared as dynamic", &error);
                    assert!(error.contains("Operation not supported"), "{error}");
                    continue;
                }
                done => drop(done.unwrap()),
            }
            let table = lift(&live().own.unwrap()).unwrap().unwrap().table;
            let elements = |name: &str| &table.sets.iter().find(|set| set.name == name).unwrap().elements;
            assert_eq!(*elements("s"), Elements::Unknown, "{flags}");
            assert_ne!(*elements("t"), Elements::Unknown, "{flags}");
        }
    });
}
