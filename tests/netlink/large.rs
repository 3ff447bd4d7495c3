//! A large host: everything that a packet meets is read, sets included, in one go.

#[allow(dead_code, reason = "benches have more")]
#[path = "../../benches/measure/rulesets.rs"]
mod rulesets;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

use ringfence::dialect::iptables;
use ringfence::dialect::netlink::{Protocol, Scope, Socket, lift, read};
use ringfence::ir::{Elements, Family, Ruleset, Table};

use super::lab::netns;

/// 5,000 rules, of which every tenth has a set of its own, and sets of 100,000 elements.
fn host() -> String {
    let mut text = String::from("table inet other {\n set blocked { type ipv4_addr; flags interval; elements = {\n");
    for number in 0..50_000_u32 {
        writeln!(
            text,
            "11.{}.{}.{}-11.{0}.{1}.{},",
            number >> 14,
            number >> 6 & 255,
            (number & 63) * 4,
            (number & 63) * 4 + 1
        )
        .unwrap();
    }
    text += "}\n}\n set clients { type ipv4_addr . inet_service; elements = {\n";
    for number in 0..50_000_u32 {
        writeln!(text, "12.0.{}.{} . {},", number >> 8, number & 255, 8080 + number % 8).unwrap();
    }
    text += "}\n}\n chain input { type filter hook input priority 0; policy accept;\n ip saddr @blocked drop\n\
             ip saddr . tcp dport @clients accept\n";
    for number in 0..5_000_u32 {
        let source = format!("ip saddr 10.{}.{}.0/24", number >> 8, number & 255);
        let ports =
            if number % 10 == 0 { format!("{{ {}, 443 }}", 1024 + number) } else { (1024 + number).to_string() };
        writeln!(text, "{source} iifname \"eth*\" tcp dport {ports} counter accept").unwrap();
    }
    text + "}\n}\n"
}

#[test]
fn a_large_host_is_read_whole() {
    netns::isolated("large::a_large_host_is_read_whole", || {
        let _namespace = netns::Namespace::unshare();
        netns::run(&["nft", "-f", "-"], &host());
        let begin = Instant::now();
        let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let listed = begin.elapsed();
        assert!(output.stdout.len() > 1_000_000);
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        let begin = Instant::now();
        let kernel = read(&mut socket, "ringfence", Scope::Whole).unwrap();
        let read_in = begin.elapsed();
        let tables: Vec<_> = kernel.others.iter().map(|table| lift(table).unwrap().unwrap()).collect();
        let lifted = begin.elapsed() - read_in;
        println!("nft list ruleset {listed:?}, read {read_in:?}, lift {lifted:?}");
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
        assert_eq!(tables[0].unknown, [] as [String; 0]);
        let ruleset = Ruleset { tables: tables.into_iter().map(|one| one.table).collect(), ..Ruleset::default() };
        let table = &ruleset.tables[0];
        let blocked = table.sets.iter().find(|set| set.name == "blocked").unwrap();
        assert!(matches!(&blocked.elements, Elements::Ipv4(list) if list.len() == 50_000));
        // The pairs become a rule for each port.
        assert_eq!(table.chains[0].rules.len(), 5_000 + 1 + 8);
    });
}

/// So many chains that each is asked for its rules.
#[test]
fn chains_by_the_thousand_are_read_whole() {
    netns::isolated("large::chains_by_the_thousand_are_read_whole", || {
        let _namespace = netns::Namespace::unshare();
        let text = rulesets::kube_proxy(1000);
        netns::run(&["iptables-nft-restore"], &text);
        let begin = Instant::now();
        netns::run(&["iptables-nft-save"], "");
        let listed = begin.elapsed();
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        let begin = Instant::now();
        let kernel = read(&mut socket, "ringfence", Scope::Whole).unwrap();
        let entrances = read(&mut socket, "ringfence", Scope::Entrances).unwrap();
        for (all, few) in kernel.others[0].chains.iter().zip(&entrances.others[0].chains) {
            assert_eq!((&all.name, all.base.is_some()), (&few.name, few.base.is_some()));
            assert_eq!(few.rules.len(), if all.base.is_some() { all.rules.len() } else { 0 }, "{}", all.name);
        }
        assert_eq!(entrances.others[0].chains.len(), kernel.others[0].chains.len());
        let lifted = lift(&kernel.others[0]).unwrap().unwrap().table;
        println!("iptables-nft-save {listed:?}, read and lift {:?}", begin.elapsed());
        let text = iptables::read(&text, Family::Ip).unwrap().ruleset;
        let count = |table: &Table| -> BTreeMap<String, usize> {
            let full = table.chains.iter().filter(|chain| !chain.rules.is_empty());
            full.map(|chain| (chain.name.clone(), chain.rules.len())).collect()
        };
        assert!(lifted.chains.len() > 2000, "{}", lifted.chains.len());
        assert_eq!(count(&lifted), count(text.tables.iter().find(|table| table.name == "nat").unwrap()));
    });
}
