//! `ringfence rehearse`: what it sees is what happens, and it cannot be made to see something else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

mod document;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use netns::{Namespace, isolated, not_possible, run};
use serde_json::Value;

const SMALL: &str = "tests/transcripts/small.toml";
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn ringfence(line: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(file("")).args(line.split(' ')).stdin(Stdio::null()).output().unwrap()
}

/// A rehearsal with its exit code, as a document that is as its schema says.
fn rehearsed(line: &str, code: i32) -> Value {
    let output = ringfence(&format!("rehearse {line} --json"));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{line}: {out}{err}");
    document::of(&out)
}

/// Cells with a word in the name of their row, and of the family: the service, and what became of the packets.
fn cells<'a>(found: &'a Value, who: &str, family: &str) -> Vec<(&'a str, &'a Value)> {
    let services: Vec<&str> =
        found["services"].as_array().unwrap().iter().map(|own| own["name"].as_str().unwrap()).collect();
    let rows = found["rows"].as_array().unwrap().iter();
    let wanted = rows.filter(|row| row["who"].as_str().unwrap().contains(who) && row["family"] == family);
    let cells: Vec<(&str, &Value)> =
        wanted.flat_map(|row| services.iter().copied().zip(row["cells"].as_array().unwrap())).collect();
    assert!(!cells.is_empty(), "no row of {who}, {family}: {found}");
    cells
}

/// The places where the answers do not agree: row, family and service.
fn wrong(found: &Value) -> Vec<(String, String, String)> {
    let services: Vec<&str> =
        found["services"].as_array().unwrap().iter().map(|own| own["name"].as_str().unwrap()).collect();
    let mut places = Vec::new();
    for row in found["rows"].as_array().unwrap() {
        for (service, cell) in services.iter().zip(row["cells"].as_array().unwrap()) {
            if cell["disagree"] != 0 {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                places.push((text("who"), text("family"), (*service).to_owned()));
            }
        }
    }
    places
}

/// The compiled rules of the small cluster, changed, in a file.
fn changed(folder: &tempfile::TempDir, from: &str, to: &str) -> String {
    let compiled = ringfence(&format!("compile {SMALL}"));
    let text = String::from_utf8(compiled.stdout).unwrap();
    let changed = text.replace(from, to);
    assert_ne!(text, changed, "nothing was changed");
    let path = folder.path().join("changed.nft");
    fs::write(&path, changed).unwrap();
    path.display().to_string()
}

fn agree(format: &str) {
    let found = rehearsed(&format!("{SMALL} --format {format}"), 0);
    assert_eq!((found["verdict"].as_str(), found["backend"].as_str()), (Some("agree"), Some(format)));
    let sum = &found["packets"];
    let count = |name: &str| sum[name].as_u64().unwrap();
    assert!(count("tried") > 500 && count("through") > 100 && count("by_guard") > 100, "{sum}");
    // Who dropped what adds up, and nobody else dropped anything.
    assert_eq!(count("through") + count("by_guard") + count("by_kernel"), count("tried"), "{sum}");
    for (service, cell) in cells(&found, "peers", "IPv4") {
        let through = if service == "protobuf" { "by_guard" } else { "through" };
        assert_eq!(cell[through], cell["tried"], "{service}: {cell}");
    }
    for who in ["everyone else", "untrusted", "others in private", "spoofed: loopback", "spoofed: this host's own"] {
        for (service, cell) in cells(&found, who, "IPv4") {
            // What the kernel would drop by its own settings is the guard's to drop here.
            let by = if service == "other ports" { "through" } else { "by_guard" };
            let kernel = cell["by_kernel"].as_u64().unwrap();
            let tried = cell["tried"].as_u64().unwrap();
            assert!(kernel < tried && cell[by].as_u64() == Some(tried - kernel), "{who}, {service}: {cell}");
        }
    }
    for (service, cell) in cells(&found, "client app", "IPv4") {
        let through = if ["http", "other ports"].contains(&service) { "through" } else { "by_guard" };
        assert_eq!(cell[through], cell["tried"], "{service}: {cell}");
    }
    assert!(cells(&found, "everyone else", "IPv6").iter().any(|(_, cell)| cell["by_guard"] != 0));
}

#[test]
fn three_answers_agree_by_nft() {
    isolated("three_answers_agree_by_nft", || agree("nft"));
}

#[test]
fn three_answers_agree_by_iptables() {
    isolated("three_answers_agree_by_iptables", || {
        if let Err(error) = netns::attempt_anywhere(&["ipset", "--version"], "") {
            return not_possible("rules of iptables", &error);
        }
        agree("iptables");
    });
}

/// Each cluster file of the golden cases: interfaces, two clusters, wide ranges, many sources, both families, rules that only log.
#[test]
fn every_golden_case_agrees() {
    isolated("every_golden_case_agrees", || {
        let with_ipset = netns::attempt_anywhere(&["ipset", "--version"], "").is_ok();
        let mut cases: Vec<PathBuf> =
            fs::read_dir(file("tests/cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
        cases.retain(|case| case.join("out").is_dir());
        cases.sort();
        assert!(cases.len() > 20, "{} cases", cases.len());
        for case in cases {
            let name = case.file_name().unwrap().to_str().unwrap();
            let single = format!("tests/cases/{name}/cluster.toml");
            let input = if file(&single).exists() { single } else { format!("tests/cases/{name}/clusters.d") };
            for format in ["nft", "iptables"].into_iter().filter(|format| *format == "nft" || with_ipset) {
                if format == "iptables" && !case.join("out/ringfence.iptables").exists() {
                    continue;
                }
                let on_purpose = name == "log-only";
                let found = rehearsed(&format!("{input} --format {format}"), i32::from(on_purpose));
                let verdict = if on_purpose { "on-purpose" } else { "agree" };
                assert_eq!(found["verdict"], verdict, "{name}, {format}: {}", found["disagreements"]);
                assert!(found["packets"]["through"] != 0, "{name}, {format}");
            }
        }
    });
}

/// Of very many some are left out, and how many were tried is said.
#[test]
fn many_are_sampled() {
    isolated("many_are_sampled", || {
        let folder = tempfile::tempdir().unwrap();
        let nodes: Vec<String> = (0..2000).map(|at| format!("\"riak@10.20.{}.{}\"", at / 200, at % 200 + 1)).collect();
        let path = folder.path().join("cluster.toml");
        let text = format!(
            "[cluster]\nname = \"many\"\nprofile = \"riak\"\nnodes = [{}]\n[networks]\nprivate = [\"10.20.0.0/16\"]\n\
             [services.distribution]\nports = \"6000-6009\"\n",
            nodes.join(", ")
        );
        fs::write(&path, text).unwrap();
        let found = rehearsed(&path.display().to_string(), 0);
        let count = |name: &str| found[name].as_u64().unwrap();
        assert_eq!(count("places"), 2000);
        assert!((500..2000).contains(&count("places_tried")) && count("sources") > count("places_tried"), "{found}");
    });
}

/// Interfaces, a node of two families, services of its own.
#[test]
fn a_node_with_interfaces() {
    isolated("a_node_with_interfaces", || {
        let found = rehearsed("rulesets/examples/mail-east.toml --node riak@10.20.0.13", 0);
        let rows = found["rows"].as_array().unwrap();
        let on = |name: &str| {
            let row = rows.iter().find(|row| row["who"] == "peers" && row["interface"] == name).unwrap();
            row["cells"].as_array().unwrap().iter().map(|cell| cell["through"].as_u64().unwrap()).sum::<u64>()
        };
        assert!(on("eth1") > on("eth0") && on("eth0") > 0, "{rows:?}");
    });
}

/// One rule opened: strangers get in, and no cell of others is wrong. Forged sources, which a kernel mostly drops by itself, do not look
/// blocked.
#[test]
fn a_rule_that_is_open() {
    isolated("a_rule_that_is_open", || {
        let folder = tempfile::tempdir().unwrap();
        let rules = changed(&folder, "goto block comment \"isolation: everyone else\"", "return");
        let found = rehearsed(&format!("{SMALL} --ruleset {rules}"), 1);
        assert_eq!(found["verdict"], "disagree");
        let places = wrong(&found);
        for who in ["everyone else", "others in private 10.20.0.0/24", "spoofed: loopback", "spoofed: this host's own"]
        {
            let is_wrong =
                |(own, family, service): &(String, String, String)| own == who && family == "IPv4" && service == "http";
            assert!(places.iter().any(is_wrong), "{who} is not seen: {places:?}");
        }
        let good = |(who, _, service): &(String, String, String)| {
            who.starts_with("untrusted") || who == "peers" && service != "protobuf" || service == "other ports"
        };
        assert!(!places.iter().any(good), "{places:?}");
        let first = &found["disagreements"][0];
        assert_eq!(
            (first["observed"].as_str(), first["wanted"].as_str()),
            (Some("through"), Some("blocked")),
            "{first}"
        );
        assert_eq!(first["computed"], "through", "{first}");
        let text = String::from_utf8(ringfence(&format!("rehearse {SMALL} --ruleset {rules}")).stdout).unwrap();
        assert!(
            text.contains("WRONG") && text.contains("the rules let it in, and the cluster file does not"),
            "{text}"
        );
        // No terminal, no colour.
        assert!(!text.contains('\u{1b}'), "{text}");
    });
}

/// One peer is missing in the rules.
#[test]
fn a_peer_that_is_cut_off() {
    isolated("a_peer_that_is_cut_off", || {
        let folder = tempfile::tempdir().unwrap();
        let rules = changed(&folder, "10.20.0.12 #", "10.20.0.99 #");
        let found = rehearsed(&format!("{SMALL} --ruleset {rules}"), 1);
        let peers: Vec<String> = wrong(&found).into_iter().filter(|own| own.0 == "peers").map(|own| own.2).collect();
        assert_eq!(peers, ["distribution", "epmd", "handoff", "http"]);
        let of_peer = found["disagreements"].as_array().unwrap().iter().find(|own| own["who"] == "peers").unwrap();
        assert!(of_peer["packet"].as_str().unwrap().contains("from 10.20.0.12 "), "{of_peer}");
        assert_eq!((of_peer["observed"].as_str(), of_peer["wanted"].as_str()), (Some("guard"), Some("through")));
    });
}

/// Another table drops: that is not the guard.
#[test]
fn another_table_is_not_the_guard() {
    isolated("another_table_is_not_the_guard", || {
        let folder = tempfile::tempdir().unwrap();
        let other = "\ntable inet other {\n chain input {\n  type filter hook input priority 10\n  tcp dport 8098 drop\n }\n}\n";
        let rules = changed(&folder, "\ntable inet ringfence {", &format!("{other}\ntable inet ringfence {{"));
        let found = rehearsed(&format!("{SMALL} --ruleset {rules}"), 1);
        let (_, http) =
            cells(&found, "client app", "IPv4").into_iter().find(|(service, _)| *service == "http").unwrap();
        assert_eq!(http["by_others"], http["tried"], "{http}");
        let (_, strangers) =
            cells(&found, "everyone else", "IPv4").into_iter().find(|(service, _)| *service == "http").unwrap();
        assert_eq!(
            (strangers["by_others"].as_u64(), strangers["disagree"].as_u64()),
            (Some(0), Some(0)),
            "{strangers}"
        );
    });
}

/// Rules that drop all, without any part of ours: the packets are not the guard's, and not lost either.
#[test]
fn no_guard_at_all() {
    isolated("no_guard_at_all", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.nft");
        fs::write(
            &path,
            "table inet other {\n chain input {\n  type filter hook input priority 0; policy drop;\n }\n}\n",
        )
        .unwrap();
        let found = rehearsed(&format!("{SMALL} --ruleset {}", path.display()), 1);
        let sum = &found["packets"];
        assert_eq!((sum["through"].as_u64(), sum["by_guard"].as_u64()), (Some(0), Some(0)), "{sum}");
        assert_eq!(
            sum["by_others"].as_u64().unwrap() + sum["by_kernel"].as_u64().unwrap(),
            sum["tried"].as_u64().unwrap()
        );
    });
}

/// The pages show what is printed, but for the version of the kernel.
#[test]
fn what_the_pages_show_is_what_is_printed() {
    isolated("what_the_pages_show_is_what_is_printed", || {
        let mut shown = 0;
        for page in ["docs/rehearse.md"] {
            let text = fs::read_to_string(file(page)).unwrap();
            for block in text.split("```\n").filter(|block| block.starts_with("$ ringfence rehearse ")) {
                let (line, output) = block.split_once('\n').unwrap();
                let arguments = line.strip_prefix("$ ringfence ").unwrap();
                let mut command = Command::new(PROGRAM);
                let found = command.current_dir(file("tests/transcripts")).args(arguments.split(' ')).output().unwrap();
                let rest = |text: &str| text.split_once('\n').unwrap().1.to_owned();
                assert_eq!(rest(&String::from_utf8(found.stdout).unwrap()), rest(output), "{page}: {line}");
                shown += 1;
            }
        }
        assert!(shown >= 1, "{shown} blocks");
    });
}

/// The host's rules, addresses and settings are what they were.
#[test]
fn the_host_stays_as_it_is() {
    isolated("the_host_stays_as_it_is", || {
        let _host = Namespace::unshare();
        run(&["ip", "link", "set", "lo", "up"], "");
        run(&["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0"], "");
        run(&["ip", "addr", "add", "10.20.0.11/24", "dev", "eth0"], "");
        run(
            &["nft", "-f", "-"],
            "table inet mine {\n chain input {\n  type filter hook input priority 0\n  counter\n }\n}\n",
        );
        let now = || {
            let lists: [&[&str]; 4] = [
                &["nft", "list", "ruleset"],
                &["ip", "-o", "addr"],
                &["ip", "route", "show", "table", "all"],
                &["ip", "-o", "link"],
            ];
            let sysctl = fs::read_to_string("/proc/sys/net/ipv4/conf/all/accept_local").unwrap();
            lists.map(|command| run(command, "")).concat() + &sysctl
        };
        let before = now();
        for format in ["nft", "iptables"] {
            let output = ringfence(&format!("rehearse {SMALL} --format {format}"));
            let can = format == "nft" || netns::attempt_anywhere(&["ipset", "--version"], "").is_ok();
            assert_eq!(output.status.success(), can, "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(now(), before);
    });
}

/// Whoever is not root takes a user namespace.
#[test]
fn an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let able = Command::new(nobody[0]).args(&nobody[1..]).args(["unshare", "--user", "--net", "true"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        return not_possible("a rehearsal of an ordinary user", "there are no user namespaces for users");
    }
    // Where everybody may read it.
    let folder = tempfile::Builder::new().prefix("ringfence-rehearse").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, cluster) = (folder.path().join("ringfence"), folder.path().join("small.toml"));
    fs::copy(PROGRAM, &program).unwrap();
    fs::copy(file(SMALL), &cluster).unwrap();
    for format in ["nft", "iptables"] {
        let mut command = Command::new(nobody[0]);
        command.args(&nobody[1..]).arg(&program).arg("rehearse").arg(&cluster).args(["--json", "--format", format]);
        let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{format}: {out}{err}");
        assert_eq!(document::of(&out)["user_namespace"], true);
    }
    let mut command = Command::new(nobody[0]);
    command.args(&nobody[1..]).arg(&program).arg("rehearse").arg(&cluster).arg("--with-host").current_dir("/");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && err.contains("run it as root"), "{err}");
}

/// What it takes and is not there is said, with the way round it.
#[test]
fn what_is_missing_is_said() {
    let script = format!("echo 0 >/proc/sys/user/max_net_namespaces && exec {PROGRAM} rehearse {SMALL}");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--", "sh", "-c", &script]).current_dir(file("")).stdin(Stdio::null());
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    if err.contains("unshare failed") {
        return not_possible("a system without network namespaces", &err);
    }
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("no network namespace can be made for it") && err.contains("run it as root"), "{err}");
    // A cluster file that cannot be used is said before.
    let nowhere = ringfence("rehearse nowhere.toml");
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("there is no cluster file nowhere.toml"));
}

/// A hole in one hook, which the other stops: the packets agree, and it is no success all the same.
#[test]
fn a_hole_that_no_packet_meets_is_no_success() {
    isolated("a_hole_that_no_packet_meets_is_no_success", || {
        let folder = tempfile::tempdir().unwrap();
        let compiled = ringfence(&format!("compile {SMALL}"));
        let text = String::from_utf8(compiled.stdout).unwrap();
        let at = text.find("hook input").unwrap();
        let line = at + text[at..].find('\n').unwrap() + 1;
        let path = folder.path().join("hole.nft");
        let rule = "\t\ttcp flags & (fin | syn | rst | ack) == fin | syn accept\n";
        fs::write(&path, [&text[..line], rule, &text[line..]].concat()).unwrap();
        let found = rehearsed(&format!("{SMALL} --ruleset {}", path.display()), 1);
        assert_eq!((&found["verdict"], &found["claims"]), (&"agree".into(), &"violated".into()), "{found}");
    });
}

/// The compiled rules of a cluster file, with another one before all others at both hooks.
fn with_rule(folder: &tempfile::TempDir, cluster: &str, rule: &str) -> String {
    let compiled = ringfence(&format!("compile {cluster}"));
    let text = String::from_utf8(compiled.stdout).unwrap();
    let lines = text.lines().map(|line| {
        let is_hook = line.contains("hook input") || line.contains("hook prerouting");
        if is_hook { format!("{line}\n\t\t{rule}\n") } else { format!("{line}\n") }
    });
    let path = folder.path().join("rule.nft");
    let changed: String = lines.collect();
    assert_eq!(changed.matches(rule).count(), 2, "{changed}");
    fs::write(&path, changed).unwrap();
    path.display().to_string()
}

/// Holes at something that only a rule names: packets meet them. Without each of them the rules agree.
#[test]
fn holes_that_rules_name_are_seen() {
    isolated("holes_that_rules_name_are_seen", || {
        let folder = tempfile::tempdir().unwrap();
        let wide = folder.path().join("wide.toml").display().to_string();
        let text = fs::read_to_string(file(SMALL)).unwrap();
        fs::write(&wide, text.replace("\"6000-6009\"", "\"6000-7999\"")).unwrap();
        let compiled = rehearsed(&wide, 0);
        assert_eq!((&compiled["verdict"], &compiled["not_tried"]), (&"agree".into(), &serde_json::json!([])));
        for (rule, sign) in [
            ("tcp dport 6123 accept", "port 6123,"),
            ("tcp dport 6100-6122 accept", "port 6100,"),
            ("iifname \"ens*\" accept", "in on ens0,"),
            ("iifname \"zz0\" tcp dport 6123 accept", "port 6123, in on zz0,"),
            ("tcp flags & (fin | syn) == fin | syn accept", "flags fin,syn,"),
            ("ip daddr 10.20.0.77 accept", "to 10.20.0.77 port"),
            ("ip saddr 172.17.95.0/30 tcp dport 6123 accept", "from 172.17.95.0 to"),
        ] {
            let path = with_rule(&folder, &wide, rule);
            let found = rehearsed(&format!("{wide} --ruleset {path}"), 1);
            assert_eq!(found["verdict"], "disagree", "{rule}: {found}");
            let wrong = found["disagreements"].as_array().unwrap();
            let is_it = |own: &&Value| {
                let of = |name: &str| own[name].as_str().unwrap();
                of("packet").contains(sign) && of("observed") == "through" && of("wanted") == "blocked"
            };
            assert!(wrong.iter().any(|own| is_it(&own)), "{rule}: {wrong:?}");
        }
    });
}

/// What is too much is left out, and that is said.
#[test]
fn what_rules_name_and_is_not_tried_is_said() {
    isolated("what_rules_name_and_is_not_tried_is_said", || {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<String> = (0..200).map(|at| (10_000 + at * 3).to_string()).collect();
        let path = with_rule(&folder, SMALL, &format!("tcp dport {{ {} }} counter", ports.join(", ")));
        let found = rehearsed(&format!("{SMALL} --ruleset {path}"), 0);
        let said = found["not_tried"].as_array().unwrap();
        assert!(said.iter().any(|own| own.as_str().unwrap().contains("ports that only rules name")), "{said:?}");
    });
}

/// Files are loaded in the order in which they are given: what the second flushes is gone.
#[test]
fn files_are_loaded_as_given() {
    isolated("files_are_loaded_as_given", || {
        if let Err(error) = netns::attempt_anywhere(&["iptables-nft-restore", "--version"], "") {
            return not_possible("files of iptables and of nft", &error);
        }
        let folder = tempfile::tempdir().unwrap();
        let compiled = String::from_utf8(ringfence(&format!("compile {SMALL}")).stdout).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("guard.nft"), format!("flush ruleset\n{compiled}")).unwrap();
        let drops = "# Generated by iptables-save\n*filter\n-A INPUT -p tcp --dport 8098 -j DROP\nCOMMIT\n";
        fs::write(path("drops.iptables"), drops).unwrap();
        let by_others = |line: &str| {
            let output = ringfence(&format!("rehearse {SMALL} --json --ruleset {line}"));
            let found = document::of(&String::from_utf8(output.stdout).unwrap());
            found["packets"]["by_others"].as_u64().unwrap()
        };
        assert!(by_others(&format!("{} {}", path("guard.nft"), path("drops.iptables"))) > 0);
        assert_eq!(by_others(&format!("{} {}", path("drops.iptables"), path("guard.nft"))), 0);
    });
}

/// A namespace that plays the host, with a node's address; none where whoever is root in it is not told what stands beside netfilter.
fn host() -> Option<Namespace> {
    if fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.contains("4294967295")) {
        not_possible("a rehearsal with the host", "only the machine's root is told everything");
        return None;
    }
    let host = Namespace::unshare();
    run(&["ip", "link", "set", "lo", "up"], "");
    for (name, far) in [("ens3", "far3"), ("docker0", "far4")] {
        run(&["ip", "link", "add", name, "type", "veth", "peer", "name", far], "");
        run(&["ip", "link", "set", name, "up"], "");
    }
    run(&["ip", "addr", "add", "10.20.0.11/24", "dev", "ens3"], "");
    run(&["ip", "addr", "add", "172.17.0.1/16", "dev", "docker0"], "");
    Some(host)
}

fn of_host(line: &str, code: i32) -> Value {
    let before = run(&["nft", "list", "ruleset"], "");
    let found = rehearsed(format!("{SMALL} --with-host {line}").trim_end(), code);
    assert_eq!(run(&["nft", "list", "ruleset"], ""), before, "the host's own rules are what they were");
    assert_eq!(found["host"], true);
    found
}

/// The cell of a row on an interface.
fn cell<'a>(found: &'a Value, (who, interface): (&str, &str), service: &str) -> &'a Value {
    let rows = found["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["who"] == who && row["interface"] == interface && row["family"] == "IPv4");
    let at = found["services"].as_array().unwrap().iter().position(|own| own["name"] == service).unwrap();
    &row.unwrap_or_else(|| panic!("no row of {who} on {interface}"))["cells"][at]
}

/// This host's other tables, sets and interfaces are there, and who dropped what is told apart.
#[test]
fn with_the_host() {
    isolated("with_the_host", || {
        let Some(_host) = host() else { return };
        let text = "table inet corp {\n set noisy {\n  type inet_service\n  elements = { 25, 26 }\n }\n chain input {\n  type filter \
                    hook input priority 10;\n  tcp dport @noisy drop\n  iif \"docker0\" tcp dport 27 drop\n }\n}\n\
                    table netdev early {\n chain ingress {\n  type filter hook ingress device \"docker0\" priority 0;\n  tcp dport 28 drop\n }\n}\n";
        run(&["nft", "-f", "-"], text);
        let with_iptables =
            netns::attempt(&["iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "29", "-j", "DROP"], "");
        if let Err(error) = &with_iptables {
            not_possible("tables of iptables-nft", error);
        }
        let found = of_host("", 0);
        assert_eq!((&found["verdict"], &found["not_copied"]), (&"agree".into(), &serde_json::json!([])), "{found}");
        assert_eq!((&found["claims"], &found["packets"]["by_rules"]), (&"proved".into(), &0.into()), "{found}");
        let others =
            |interface| cell(&found, ("everyone else", interface), "other ports")["by_others"].as_u64().unwrap();
        // 25, 26, and 29 of iptables; on the other one 27 and 28, too.
        assert!(others("ens3") > 0 && others("docker0") > others("ens3"), "{found}");
        let strangers = cell(&found, ("everyone else", "ens3"), "http");
        assert_eq!(strangers["by_guard"], strangers["tried"], "{strangers}");
        if netns::attempt_anywhere(&["ipset", "--version"], "").is_ok() && with_iptables.is_ok() {
            let found = of_host("--format iptables", 0);
            assert_eq!((&found["verdict"], &found["not_copied"]), (&"agree".into(), &serde_json::json!([])), "{found}");
            assert!(found["packets"]["by_others"].as_u64().unwrap() > 0, "{found}");
        }
    });
}

/// A table of the host's that shuts a peer out, sets of ipset that rules ask, and translations.
#[test]
fn a_host_that_does_otherwise() {
    isolated("a_host_that_does_otherwise", || {
        let Some(_host) = host() else { return };
        let drops = "table inet corp {\n set bad {\n  type ipv4_addr\n  elements = { 10.20.0.12 }\n }\n chain input {\n  type filter \
                     hook input priority 10;\n  ip saddr @bad tcp dport 8098 drop\n }\n}\n";
        run(&["nft", "-f", "-"], drops);
        let found = of_host("", 1);
        assert_eq!((&found["verdict"], &found["claims"]), (&"disagree".into(), &"violated".into()));
        let peers = cell(&found, ("peers", "ens3"), "http");
        // That flags of nobody honest are dropped, too, is no matter of the cluster file.
        assert!(peers["by_others"] == peers["tried"] && peers["disagree"].as_u64() > Some(2), "{peers}");
        let wrong = found["disagreements"][0].clone();
        assert_eq!((&wrong["observed"], &wrong["computed"]), (&"other-rules".into(), &"blocked".into()), "{wrong}");
        // A port that leads to a guarded one: strangers who take it come to the guard.
        run(&["nft", "flush", "ruleset"], "");
        let leads = "table ip lead {\n chain pre {\n  type nat hook prerouting priority -100;\n  tcp dport 2222 dnat to 10.20.0.11:8098\n }\n}\n";
        run(&["nft", "-f", "-"], leads);
        let found = of_host("", 3);
        assert_eq!((&found["verdict"], &found["not_copied"]), (&"undecided".into(), &serde_json::json!([])), "{found}");
        assert!(cell(&found, ("everyone else", "ens3"), "other ports")["by_guard"].as_u64() > Some(0), "{found}");
        run(&["nft", "flush", "ruleset"], "");
        if netns::attempt(&["ipset", "create", "mine", "hash:ip"], "").is_ok() {
            run(&["ipset", "add", "mine", "10.20.0.12"], "");
            let rule = "-A INPUT -m set --match-set mine src -p tcp --dport 4369 -j DROP";
            run(&[&["iptables-nft"], rule.split(' ').collect::<Vec<_>>().as_slice()].concat(), "");
            let found = of_host("", 1);
            assert_eq!(found["not_copied"], serde_json::json!([]), "{found}");
            assert!(cell(&found, ("peers", "ens3"), "epmd")["by_others"].as_u64() > Some(0), "{found}");
        }
    });
}

/// What of the host is not there is said, and then it is no success.
#[test]
fn what_cannot_be_copied_is_no_success() {
    isolated("what_cannot_be_copied_is_no_success", || {
        let Some(_host) = host() else { return };
        of_host("", 0);
        run(&["ip", "rule", "add", "from", "10.99.0.0/16", "table", "99"], "");
        let bridge = "table bridge b {\n chain input {\n  type filter hook input priority 0;\n  drop\n }\n}\n";
        let with_bridge = netns::attempt(&["nft", "-f", "-"], bridge).is_ok();
        let found = of_host("", 3);
        let said = found["not_copied"].to_string();
        assert_eq!(found["verdict"], "undecided");
        assert!(said.contains("routing by policy") && said.contains("bridge b") == with_bridge, "{said}");
        let text = String::from_utf8(ringfence(&format!("rehearse {SMALL} --with-host")).stdout).unwrap();
        assert!(text.contains("NOT copied of this host: routing by policy") && text.contains("UNDECIDED"), "{text}");
    });
}

/// Files may be anybody's, and the tools root's: nothing of them reaches for other files or programs.
#[test]
fn a_file_of_rules_reads_no_other_file() {
    isolated("a_file_of_rules_reads_no_other_file", || {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "something that is nobody's business\n").unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        let path = folder.path().join("rules/reaches.nft");
        fs::write(&path, format!("table inet t {{ }}\ninclude \"{}\"\n", secret.display())).unwrap();
        let output = ringfence(&format!("rehearse {SMALL} --ruleset {}", path.display()));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("nobody's business") && said.contains("`include`"), "{said}");
    });
}

/// A report shows what a rehearsal has shown, cell by cell, of the same rules alone; where it saw otherwise, nothing is proved any more.
#[test]
fn a_report_shows_it() {
    isolated("a_report_shows_it", || {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let found = rehearsed(SMALL, 0);
        fs::write(path("r.json"), found.to_string()).unwrap();
        let report = |file: &str, more: &str| {
            let output = ringfence(&format!("report {SMALL} --rehearsal {file} --format json{more}"));
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, text, err) = report(&path("r.json"), "");
        assert_eq!(code, Some(0), "{err}");
        let review = document::of(&text);
        assert_eq!(review["rehearsals"][0]["verdict"], "agree");
        let names: Vec<&str> =
            review["services"].as_array().unwrap().iter().map(|own| own["name"].as_str().unwrap()).collect();
        let mut seen = 0;
        for row in review["rows"].as_array().unwrap() {
            for (service, cell) in names.iter().zip(row["cells"].as_array().unwrap()) {
                let own = &cell["rehearsed"];
                let observed = own["tried"].as_u64().unwrap() - own["by_kernel"].as_u64().unwrap();
                let through = if cell["found"] == "admitted" { observed } else { 0 };
                assert_eq!(own["through"], through, "{} at {service}: {cell}", row["who"]);
                seen += observed;
            }
        }
        assert!(seen > 500, "{seen}");
        // Other rules, another file, and a document that says two things.
        let rules = changed(&folder, "counter drop", "drop");
        assert!(report(&path("r.json"), &format!(" --ruleset {rules}")).2.contains("other rules"));
        let mut other = found.clone();
        other["clusters"][0]["input"] = "0".repeat(64).into();
        fs::write(path("o.json"), other.to_string()).unwrap();
        assert!(report(&path("o.json"), "").2.contains("another cluster file"));
        let mut odd = found.clone();
        odd["packets"]["disagree"] = 1.into();
        fs::write(path("o.json"), odd.to_string()).unwrap();
        assert_eq!(report(&path("o.json"), "").0, Some(2));
        // A kernel that did otherwise weighs more than a proof.
        odd["verdict"] = "disagree".into();
        odd["rows"][0]["cells"][0]["disagree"] = 1.into();
        fs::write(path("o.json"), odd.to_string()).unwrap();
        let (code, text, _) = report(&path("o.json"), "");
        assert_eq!((code, &document::of(&text)["verdict"]), (Some(1), &Value::from("violated")));
        let text = ringfence(&format!("report {SMALL} --rehearsal {}", path("o.json")));
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("VIOLATED: what a kernel did with real packets") && text.contains("DISAGREE"), "{text}");
        assert!(!text.contains("a REHEARSAL saw otherwise"), "it is said once: {text}");
        // Numbers that nobody can have counted.
        let mut many = odd.clone();
        many["rows"][0]["cells"][0]["disagree"] = u64::MAX.into();
        many["rows"][0]["cells"][1]["disagree"] = 1.into();
        let mut tried = found.clone();
        for row in tried["rows"].as_array_mut().unwrap() {
            row["cells"].as_array_mut().unwrap().iter_mut().for_each(|cell| cell["tried"] = u64::MAX.into());
        }
        let mut without = found.clone();
        without.as_object_mut().unwrap().remove("host");
        for (document, code) in [(many, 2), (tried, 0), (without, 2)] {
            fs::write(path("o.json"), document.to_string()).unwrap();
            assert_eq!(report(&path("o.json"), "").0, Some(code));
        }
    });
}
