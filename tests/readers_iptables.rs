//! What the readers of iptables and ipset make of our own files, and of what the kernel gives back after loading them.
//!
//! The tests that load rules need root, `unshare`, iptables of both back ends and ipset, and work in network namespaces of
//! their own. `RINGFENCE_SKIP_KERNEL=1` leaves them out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringfence::cluster::{self, Site};
use ringfence::compile::{self, SetsMode};
use ringfence::dialect::{ReadError, ipset, iptables};
use ringfence::ir::{Addresses, Elements, Family, Foreign, Match, Ruleset, Set, SetKind, Statement, Table};

const COMMANDS: [(&str, Family); 2] = [("iptables", Family::Ip), ("ip6tables", Family::Ip6)];

/// The cases that have rules for iptables.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = all.filter(|case| case.join("out/ringfence.iptables").exists()).collect();
    cases.sort();
    assert!(cases.len() >= 15);
    cases
}

fn output(case: &Path, file: &str) -> String {
    fs::read_to_string(case.join("out").join(format!("ringfence.{file}"))).unwrap()
}

/// The cluster file of a case, or its folder of several.
fn config(case: &Path) -> PathBuf {
    let folder = case.join("clusters.d");
    if folder.is_dir() { folder } else { case.join("cluster.toml") }
}

/// What compiling makes of a case.
fn compiled(case: &Path) -> Ruleset {
    let cluster = cluster::load(&config(case)).unwrap().cluster.unwrap();
    let args = fs::read_to_string(case.join("args")).unwrap_or_default();
    let args: Vec<&str> = args.split_whitespace().collect();
    let site = match args.as_slice() {
        ["--node", name] => Site::of_node(&cluster, cluster.node(name).unwrap()),
        _ => Site::of_every_node(&cluster),
    };
    let mode = if args == ["--sets", "always"] { SetsMode::Always } else { SetsMode::Auto };
    compile::iptables(&site, mode)
}

/// Tables without what the text cannot say or does not keep: places, who counts, remarks, order of chains, and tests that
/// every packet passes.
fn bare(tables: impl IntoIterator<Item = Table>) -> Vec<Table> {
    let mut tables: Vec<Table> = tables.into_iter().collect();
    for table in &mut tables {
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        for chain in &mut table.chains {
            chain.remarks.clear();
            for rule in &mut chain.rules {
                rule.place = None;
                rule.statements.retain(|one| !matches!(one, Statement::Counter(_)));
                rule.matches.retain(|one| !is_everything(one));
            }
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

fn is_everything(one: &Match) -> bool {
    let Match::Source { addresses: Addresses::These(elements), negated: false } = one else { return false };
    matches!(elements.networks().as_slice(), [network] if network.prefix_length() == 0)
}

fn bare_sets(mut sets: Vec<Set>) -> Vec<Set> {
    for set in &mut sets {
        set.origins.clear();
        if let SetKind::Hash { size } = &mut set.kind {
            *size = None;
        }
    }
    sets
}

/// Reads without anything unknown.
fn tables(text: &str, family: Family) -> Vec<Table> {
    let read = iptables::read(text, family).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(read.unknown, [], "{text}");
    bare(read.ruleset.tables)
}

fn sets(text: &str) -> Vec<Set> {
    let (sets, unknown) = ipset::read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(unknown, [], "{text}");
    sets
}

#[test]
fn our_files_read_as_what_was_compiled() {
    let mut seen = 0;
    for case in cases() {
        let ruleset = compiled(&case);
        for (command, family) in COMMANDS {
            let text = output(&case, command);
            let expected = bare(ruleset.tables.iter().filter(|table| table.family == family).cloned());
            assert_eq!(tables(&text, family), expected, "{} {command}", case.display());
            let read = iptables::read(&text, family).unwrap();
            for rule in read.ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules) {
                let place = rule.place.as_ref().unwrap();
                assert_eq!(text.lines().nth(place.line as usize - 1), Some(place.text.as_str()));
                seen += 1;
            }
        }
        let found = sets(&output(&case, "ipset"));
        assert_eq!(found, bare_sets(ruleset.sets), "{} ipset", case.display());
        seen += found.iter().map(|set| set.elements.len()).sum::<usize>();
    }
    assert!(seen > 500, "{seen}");
}

fn skip_kernel() -> bool {
    std::env::var_os("RINGFENCE_SKIP_KERNEL").is_some_and(|value| value == "1")
}

/// Runs a script in a network namespace of its own; gives what it printed.
fn in_namespace(script: &str, folder: &Path) -> String {
    let output = Command::new("unshare").args(["-n", "sh", "-ec", script]).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{stderr}\nRINGFENCE_SKIP_KERNEL=1 leaves these tests out");
    String::from_utf8(output.stdout).unwrap()
}

/// The parts of what a script printed, between lines of `====`.
fn parts(printed: &str) -> Vec<&str> {
    printed.split("====\n").collect()
}

#[test]
fn the_kernel_gives_back_what_was_loaded() {
    if skip_kernel() {
        return;
    }
    for case in cases() {
        for backend in ["legacy", "nft"] {
            let (ip, ip6) = (format!("iptables-{backend}"), format!("ip6tables-{backend}"));
            let script = format!(
                "ipset restore < ringfence.ipset
                {ip}-restore --noflush < ringfence.iptables
                {ip6}-restore --noflush < ringfence.ip6tables
                {ip}-save; echo ====; {ip}-save -c; echo ====; {ip} -t raw -S; echo ====; {ip} -t mangle -vS; echo ====
                {ip6}-save; echo ====; {ip6}-save -c; echo ====; {ip6} -t raw -S; echo ====; {ip6} -t mangle -vS; echo ====
                ipset save; echo ====; ipset list; echo ====; ipset list -s"
            );
            let printed = in_namespace(&script, &case.join("out"));
            let printed = parts(&printed);
            let name = format!("{} {backend}", case.display());
            for ((command, family), given) in COMMANDS.into_iter().zip(printed.chunks(4)) {
                let expected = tables(&output(&case, command), family);
                assert_eq!(tables(given[0], family), expected, "{name} {command}-save");
                assert_eq!(tables(given[1], family), expected, "{name} {command}-save -c");
                let listed = bare([tables(given[2], family), tables(given[3], family)].concat());
                assert_eq!(listed, expected, "{name} {command} -S");
            }
            let expected = sets(&output(&case, "ipset"));
            for given in &printed[8..] {
                assert_eq!(sets(given), expected, "{name}");
            }
        }
    }
}

#[test]
fn jumps_that_were_loaded_three_times_are_three() {
    if skip_kernel() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/one-node/out");
    for backend in ["legacy", "nft"] {
        let load = format!("iptables-{backend}-restore --noflush < ringfence.iptables\n").repeat(3);
        let saved = in_namespace(&format!("{load}iptables-{backend}-save"), &folder);
        let once = fs::read_to_string(folder.join("ringfence.iptables")).unwrap();
        let thrice = tables(&once.repeat(3), Family::Ip);
        assert_eq!(tables(&saved, Family::Ip), thrice, "{backend}");
        let raw = thrice.iter().find(|table| table.name == "raw").unwrap();
        assert_eq!(raw.chains.iter().find(|chain| chain.base.is_some()).unwrap().rules.len(), 3);
    }
}

/// Rules as others write them, which iptables-save spells in another way; first what both families have.
const FOREIGN: &str = r#"
-P FORWARD DROP
-N WEB
-A WEB -p tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
-A WEB --protocol tcp --destination-port :1023 -j RETURN
-A WEB -p tcp ! --dport 0:1023
-A INPUT -p tcp -m multiport --dport 1:5,7 -g WEB
-A INPUT -p tcp -m multiport ! --dports 0:5,7 -j WEB
-A INPUT -i + -p all -j WEB
-I INPUT -i eth0 -p 6 --syn -m limit -m limit --limit 600/minute --limit-burst 5 -j DROP
-I INPUT 2 ! -p udp -m state --state UNTRACKED -j RETURN
-A INPUT -p tcp --tcp-flags ALL NONE -j REJECT --reject-with tcp-reset
-A INPUT -m conntrack ! --ctstate INVALID -m comment --comment "it's a \"test\"" -m comment --comment b
-A INPUT -j LOG --log-level debug --log-prefix "a: \\ b"
-A INPUT -j REJECT
-A INPUT -j MARK --set-mark 1
-A INPUT -m addrtype --dst-type local -j ACCEPT
-A INPUT -m addrtype --dst-type LOCAL --limit-iface-in -j ACCEPT
-A INPUT -m mark --mark 1 -p udp --dport 53 -j ACCEPT
-A INPUT -m string --string -j --algo bm -j DROP
-A INPUT -j NFQUEUE
-A INPUT -i eth+ -j ACCEPT
-A OUTPUT -o eth0 -j ACCEPT
-A FORWARD -j DROP -p tcp
-D FORWARD -j DROP -p tcp
"#;
const FOREIGN_IP: &str = r"
-A INPUT -s 10.1.2.3/8 -d 1.2.3.4,5.6.7.8/255.255.255.254 -j DROP
-I INPUT -s 1.1.1.1,2.2.2.2,3.3.3.3 -d 4.4.4.4,0.0.0.0/0 -j DROP
-D INPUT -s 2.2.2.2,1.1.1.1 -d 4.4.4.4 -j DROP
-A INPUT ! -s 10.0.0.1 ! -d 10.0.0.0/255.0.255.0 -j DROP
-A INPUT -f -j DROP
-A INPUT -4 -p icmp -j DROP
-A INPUT -6 -s ::1 -j DROP
-A INPUT -i eth0 -m set ! --match-set hosts src -p tcp -m multiport --dports 5 -m set --match-set nets dst -j DROP
-A INPUT -m set --match-set nets src --return-nomatch -j DROP
";
const FOREIGN_IP6: &str = r"
-A INPUT -s fd00::5/64 ! -d fd01::1/ffff:: -j DROP
-A INPUT -s ::/0 -p icmpv6 -j DROP
-A INPUT -m frag --fragid 0:4294967295 --fragfirst -j DROP
-A INPUT -m frag ! --fragid 5 --fragfirst -j DROP
-A INPUT -6 -p mh -j DROP
-A INPUT -4 -s 10.0.0.1 -j DROP
";
const FOREIGN_SETS: &str = "\
create hosts hash:ip counters comment
add hosts 10.0.0.1-10.0.0.3 comment \"a nomatch b\"
add hosts 10.0.1.1/30
create nets hash:net family inet
add nets 10.1.2.3/8
add nets 10.1.0.0/16
add nets 11.0.0.0-12.3.255.255
add nets 0.0.0.0/1
add nets 128.0.0.0/1
create six hash:ip family inet6
add six fd00::1/128
create spare hash:ip
add spare 1.1.1.1
swap spare hosts
swap hosts spare
rename spare other
flush other
create gone hash:net
destroy gone
";

/// The text of an unknown match may be spelled anew; that there is one must not change.
fn without_unknown_texts(mut tables: Vec<Table>) -> Vec<Table> {
    use ringfence::ir::Verdict;
    for rule in tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules) {
        for one in &mut rule.matches {
            if let Match::Unknown(text) | Match::Foreign(Foreign::Varies { text, .. }) = one {
                text.clear();
            }
        }
        if let Some(Verdict::Unknown(text)) = &mut rule.verdict {
            text.clear();
        }
    }
    tables
}

#[test]
fn what_others_write_means_the_same_when_it_is_saved() {
    if skip_kernel() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sets"), FOREIGN_SETS).unwrap();
    for (command, family) in COMMANDS {
        let own = if family == Family::Ip { FOREIGN_IP } else { FOREIGN_IP6 };
        let lines: Vec<&str> = FOREIGN.lines().chain(own.lines()).filter(|line| !line.is_empty()).collect();
        let text = format!("*filter\n{}\nCOMMIT\n", lines.join("\n"));
        fs::write(folder.path().join("rules"), &text).unwrap();
        let read = iptables::read(&text, family).unwrap();
        let expected = without_unknown_texts(bare(read.ruleset.tables));
        for backend in ["legacy", "nft"] {
            let tool = format!("{command}-{backend}");
            let script = format!(
                "ipset restore < sets; {tool}-restore --noflush < rules
                {tool}-save; echo ====; {tool} -S; echo ====; ipset save; echo ====; ipset list"
            );
            let printed = in_namespace(&script, folder.path());
            let printed = parts(&printed);
            for text in &printed[..2] {
                let saved = iptables::read(text, family).unwrap();
                assert_eq!(without_unknown_texts(bare(saved.ruleset.tables)), expected, "{tool}\n{text}");
                assert_eq!(saved.unknown.len(), read.unknown.len(), "{tool}\n{text}");
            }
            for text in &printed[2..] {
                assert_eq!(sets(text), sets(FOREIGN_SETS));
            }
        }
    }
    let known = sets(FOREIGN_SETS);
    assert_eq!(known.iter().map(|set| set.elements.len()).collect::<Vec<_>>(), [7, 1, 1, 0]);
    assert!(matches!(&known[1].elements, Elements::Ipv4(all) if all == &[(0, u32::MAX)]));
}

/// iptables shows such a table in part or not at all, says so in a comment, and ends with success.
#[test]
fn a_table_that_iptables_cannot_show_is_not_read() {
    if skip_kernel() {
        return;
    }
    let odd_chain = "nft 'add chain ip filter odd { type filter hook input priority -7; }'";
    let odd_rule = "nft 'add chain ip filter odd'; nft add rule ip filter odd fib daddr type local drop";
    for how in [odd_chain, odd_rule] {
        let printed = in_namespace(&format!("nft add table ip filter; {how}; iptables-nft-save"), Path::new("/"));
        let error: ReadError = iptables::read(&printed, Family::Ip).map(|read| read.ruleset).unwrap_err();
        assert!(error.message.starts_with("iptables cannot show this table, nft can"), "{how}: {error}\n{printed}");
    }
}
