//! Where openings are put, on texts of nft.

use std::path::Path;

use super::*;
use crate::cluster::parse;
use crate::compile::openings;
use crate::dialect::nft;

const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\", \"riak@10.9.0.6\"]\n\
    [networks]\nprivate = [\"10.9.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";

/// Where rules are put, the positions of rules that go, and how many answers are not good then.
fn placed(tables: &str, through: Through) -> (Vec<String>, Vec<usize>, usize) {
    placed_for(CLUSTER, tables, through)
}

fn placed_for(cluster: &str, tables: &str, through: Through) -> (Vec<String>, Vec<usize>, usize) {
    let ruleset = nft::read(tables).unwrap().ruleset;
    let cluster = parse("cluster.toml", cluster.to_owned(), Path::new("")).cluster.unwrap();
    let site = Site::of_node(&cluster, &cluster.nodes()[0]);
    let means = vec![Means::Nft; ruleset.tables.len()];
    let placed = place(&ruleset, &means, through, &openings(&site), &site, &Surroundings::default()).unwrap();
    let leads = placed.parts.iter().flat_map(|part| &part.leads);
    let leads = leads.map(|(leg, spot)| format!("{leg:?} {} {}", spot.chain, spot.at)).collect();
    let gone = placed.parts.iter().flat_map(|part| &part.misplaced).map(|spot| spot.at).collect();
    let admitted = placed.answers.iter().filter(|answer| answer.who != Who::Others);
    (leads, gone, admitted.filter(|answer| !answer.is_good()).count())
}

fn input(policy: &str, rules: &str, more: &str) -> String {
    format!(
        "table inet filter {{\n{more}\n\tchain input {{\n\t\ttype filter hook input priority 0; policy {policy};\n\
         ct state established,related accept\n{rules}\n\t}}\n}}\n"
    )
}

#[test]
fn as_much_is_opened_as_is_needed_and_no_more() {
    for (tables, through, leads, bad) in [
        (input("drop", "tcp dport 22 accept", ""), Through::Auto, &["In input 2"][..], 0),
        (input("drop", "tcp dport 22 accept", ""), Through::Firewalld, &[], 4),
        (input("accept", "tcp dport 22 accept", ""), Through::Auto, &[], 0),
        (input("drop", "ip saddr { 10.9.0.5, 10.9.0.6 } accept", ""), Through::Auto, &[], 0),
        // A rule about one of them stays the stronger one.
        (input("drop", "ip saddr 10.9.0.6 tcp dport 8098 drop", ""), Through::Nftables, &["In input 2"], 1),
        (
            format!("{}{}", input("drop", "", ""), input("drop", "drop", "").replace("filter {", "other {")),
            Through::Auto,
            &["In input 1", "In input 1"],
            0,
        ),
        // Nor does who is dropped by a rule of his own hide that others are dropped, of whatever family and table.
        (
            format!(
                "table ip first {{\n\tchain i {{\n\t\ttype filter hook input priority -10; policy accept;\n\
                 ip saddr 10.9.0.5 tcp dport 8098 drop\n\t}}\n}}\n{}",
                input("drop", "", "")
            ),
            Through::Auto,
            &["In input 1"],
            1,
        ),
        (
            format!(
                "{}table ip out {{\n\tchain o {{\n\t\ttype filter hook output priority 0; policy drop;\n\
                 ct state established accept\n\t}}\n}}\n",
                input("accept", "", "")
            ),
            Through::Auto,
            &["Out o 1"],
            0,
        ),
    ] {
        let found = placed(&tables, through);
        assert_eq!((found.0, found.2), (leads.iter().map(|&lead| lead.to_owned()).collect(), bad), "{tables}");
    }
}

const OURS: &str = "\tset open-ringfence-peers4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\
    \t\telements = { 10.9.0.5, 10.9.0.6 }\n\t}\n\tchain open-ringfence-in {\n\t\tip saddr @open-ringfence-peers4 tcp dport \
    { 4369, 6000-6009, 8098-8099 } accept\n\t}\n";
const LEAD: &str = "meta l4proto tcp jump open-ringfence-in";

#[test]
fn what_is_there_stays_and_what_came_behind_it_is_heard_first() {
    let of = |rules: &str, ours: &str| placed(&input("drop", rules, ours), Through::Auto);
    assert_eq!(of(LEAD, OURS), (vec![], vec![], 0));
    assert_eq!(of(&format!("{LEAD}\ndrop"), OURS), (vec![], vec![], 0));
    // The admin put a rule behind ours.
    let behind = format!("{LEAD}\nip saddr 10.9.0.6 tcp dport 8098 drop\ndrop");
    assert_eq!(of(&behind, OURS), (vec!["In input 3".to_owned()], vec![1], 1));
    assert_eq!(of(&format!("{LEAD}\n{LEAD}"), OURS), (vec!["In input 3".to_owned()], vec![1, 2], 0));
    // Somebody took the rule, or made it another.
    assert_eq!(of("", OURS), (vec!["In input 1".to_owned()], vec![], 0));
    let narrow = format!("tcp dport 22 {LEAD}");
    assert_eq!(of(&narrow, OURS), (vec!["In input 2".to_owned()], vec![1], 0));
}

#[test]
fn a_chain_of_ours_with_something_else_is_written_again() {
    for (ours, writes) in [
        (OURS.to_owned(), false),
        (OURS.replace("10.9.0.6", "10.9.0.0/24"), true),
        (OURS.replace("accept\n", "accept\n\t\taccept\n"), true),
        (OURS.replace("8098-8099", "8098"), true),
        (OURS.replace("} accept", "} counter accept"), false),
        (OURS.replace("} accept", "} meta mark set 7 accept"), true),
    ] {
        let ruleset = nft::read(&input("drop", LEAD, &ours)).unwrap().ruleset;
        let cluster = parse("cluster.toml", CLUSTER.to_owned(), Path::new("")).cluster.unwrap();
        let site = Site::of_node(&cluster, &cluster.nodes()[0]);
        let surroundings = Surroundings::default();
        let placed = place(&ruleset, &[Means::Nft], Through::Auto, &openings(&site), &site, &surroundings).unwrap();
        assert_eq!(placed.parts[0].writes, writes, "{ours}");
        let nothing = place(&ruleset, &[Means::Nft], Through::None, &[], &site, &surroundings).unwrap();
        assert_eq!((nothing.parts.len(), nothing.stale), (0, vec![0]));
    }
}

/// A rule that drops what comes in on one interface, and another: each is passed for its own, before the rules as they were.
#[test]
fn each_interface_is_passed_for_itself() {
    let rules = "ip saddr 192.0.2.1 drop\niifname \"eth0\" drop\nlog\niifname \"eth1\" drop\niifname != \"lo\" drop";
    let (leads, gone, bad) = placed(&input("accept", rules, ""), Through::Auto);
    assert_eq!((leads, gone, bad), (["In input 5", "In input 4", "In input 2"].map(str::to_owned).to_vec(), vec![], 0));
}

/// Only the base chain that drops is opened.
#[test]
fn another_chain_of_the_same_table_stays_as_it_is() {
    let early =
        "\tchain early {\n\t\ttype filter hook input priority -10; policy accept;\n\t\tiifname \"eth9\" drop\n\t}\n";
    let cluster = format!("{CLUSTER}[guard]\ninterfaces = [\"eth0\"]\n");
    let (leads, _, bad) = placed_for(&cluster, &input("drop", "tcp dport 22 accept", early), Through::Auto);
    assert_eq!((leads, bad), (vec!["In input 2".to_owned()], 0));
}
