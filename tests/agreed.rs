//! What somebody agreed to, and what nobody has to: plans, allowances of the cluster file, and rules that only log.
//!
//! A plan of `ringfence diff --out` is brought in by `ringfence apply --plan` as long as what it was made of means the same, and by
//! nothing else: each test is a host in a namespace of its own, on which something changes in between.

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
#[path = "document/host.rs"]
mod host;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use host::{CLUSTER, Host};
use netns::{isolated, run};
use serde_json::{Value, json};

/// What stands in the rules of a host with containers, one of which has published a port.
const OTHERS: &str = "table ip nat {\n\
 chain PREROUTING { type nat hook prerouting priority -100; fib daddr type local jump DOCKER; }\n\
 chain OUTPUT { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }\n\
 chain POSTROUTING { type nat hook postrouting priority 100; ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade; }\n\
 chain DOCKER { iifname \"docker0\" return; iifname != \"docker0\" tcp dport 8888 counter dnat to 172.17.0.2:80; }\n}\n\
table ip filter {\n\
 set banned { type ipv4_addr; flags interval; elements = { 203.0.113.7 } }\n\
 chain INPUT { type filter hook input priority 0; policy accept; ip saddr @banned tcp dport { 22, 8098 } drop; }\n\
 chain FORWARD { type filter hook forward priority 0; policy drop; }\n}\n";

/// A host with containers.
fn with_containers() -> Host {
    let host = Host::new();
    netns::ip("link add docker0 type bridge\naddr add 172.17.0.1/16 dev docker0\nlink set docker0 up\n");
    run(&["nft", "-f", "-"], OTHERS);
    host
}

impl Host {
    fn plan(&self, code: i32) {
        self.run("diff cluster.toml --out change.plan", code);
        let text = fs::read_to_string(self.path("change.plan")).unwrap();
        document::of(&text);
        assert_eq!(fs::metadata(self.path("change.plan")).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    fn apply(&self, more: &str, code: i32) -> Value {
        self.run(&format!("apply --plan change.plan --root {}{more}", self.path("root").display()), code)
    }

    /// What changed keeps the plan from being brought in, and is named.
    fn outdated(&self, what: &str) {
        let refused = self.apply("", 1);
        let error = &refused["errors"][0];
        assert_eq!(error["code"], "plan-outdated", "{refused}");
        let message = error["message"].as_str().unwrap();
        for (name, words) in [("input", "what is to be applied"), ("ours", "own part"), ("around", "what else decides")]
        {
            assert_eq!(message.contains(words), what.split(' ').any(|one| one == name), "{name}: {message}");
        }
        assert_eq!(refused.get("changed"), None);
    }

    fn unusable(&self, code: &str) {
        let refused = self.apply("", 2);
        assert_eq!(refused["errors"][0]["code"], code, "{refused}");
    }
}

fn nft(line: &str) {
    run(&["nft", "-f", "-"], line);
}

#[test]
fn what_was_agreed_to_is_brought_in_once() {
    isolated("what_was_agreed_to_is_brought_in_once", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        host.plan(1);
        let done = host.apply("", 0);
        assert_eq!((&done["changed"], &done["state"]), (&json!(true), &json!("enforced")));
        host.outdated("ours");
        // Where there is nothing to do, a plan says so, and does nothing.
        host.plan(0);
        assert_eq!(host.apply("", 0)["changed"], false);
        assert_eq!(host.apply("", 0)["changed"], false);

        // Of what was taken back somebody has to agree again.
        host.write(&CLUSTER.replace("6000-6009", "6000-6019"));
        host.plan(1);
        let waits = host.apply(" --confirm-within 60s", 0);
        assert!(waits["confirm"]["command"].is_string(), "{waits}");
        host.run("rollback", 0);
        host.outdated("ours");
        host.plan(1);
        assert_eq!(host.apply("", 0)["changed"], true);

        // What is remembered of the last apply is gone.
        host.write(CLUSTER);
        host.plan(1);
        fs::rename(host.path("state"), host.path("moved")).unwrap();
        host.outdated("ours");
        // The run that was refused has made another, for its lock.
        fs::remove_dir_all(host.path("state")).unwrap();
        fs::rename(host.path("moved"), host.path("state")).unwrap();
        assert_eq!(host.apply("", 0)["changed"], true);
        assert_eq!(host.run("remove", 0)["changed"], true);
    });
}

#[test]
fn what_means_something_else_is_seen() {
    isolated("what_means_something_else_is_seen", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        host.plan(1);
        host.write(&format!("# a remark\n{CLUSTER}"));
        host.outdated("input");
        host.write(CLUSTER);
        let change = |does: &dyn Fn(), undoes: &dyn Fn(), what: &str| {
            host.plan(1);
            does();
            host.outdated(what);
            undoes();
            // The same again is the same.
            let again = host.run(
                &format!("apply --plan change.plan --root {} --confirm-within 60s", host.path("root").display()),
                0,
            );
            assert_eq!(again["changed"], true);
            host.run("rollback", 0);
            // What is remembered of a change that was taken back is gone with all else.
            host.run("remove", 0);
        };
        let flush = |chain: &str| nft(&format!("flush ruleset\n{OTHERS}{chain}"));
        let rules = |line: &'static str| move || nft(line);
        let back = || flush("");
        // Another way in, behind which the guard stands.
        change(&rules("add rule ip nat DOCKER tcp dport 18098 redirect to :8098"), &back, "around");
        change(&rules("add rule ip nat PREROUTING tcp dport 18098 dnat to 10.20.0.11:8098"), &back, "around");
        let hidden = "add chain ip nat other\nadd rule ip nat other meta l4proto tcp redirect to :8098\nadd rule ip nat DOCKER tcp dport 18098 jump other";
        change(&rules(hidden), &back, "around");
        // Somebody is shut out, or let in where he was anyway.
        change(&rules("add rule ip filter INPUT ip saddr 10.20.0.12 tcp dport 8098 drop"), &back, "around");
        change(&rules("add rule ip filter INPUT ip saddr 10.20.1.0/26 tcp dport 8098 accept"), &back, "around");
        change(&rules("add element ip filter banned { 10.20.0.12 }"), &back, "around");
        change(
            &rules("add table inet more { chain in { type filter hook input priority 5; policy drop; }; }"),
            &back,
            "around",
        );
        change(&rules("insert rule ip filter INPUT meta mark 7 accept"), &back, "around");
        let route = |verb: &'static str| move || netns::ip(&format!("route {verb} local 10.9.0.77 dev lo\n"));
        change(&route("add"), &route("del"), "around");
        let route = |verb: &'static str| move || netns::ip(&format!("route {verb} blackhole 10.20.1.0/24 metric 5\n"));
        change(&route("add"), &route("del"), "around");
        // Ours.
        change(&|| nft("add table inet ringfence"), &|| nft("delete table inet ringfence"), "ours");
        change(
            &|| netns::sysctl("net.ipv4.ip_local_reserved_ports", "8098\n"),
            &|| netns::sysctl("net.ipv4.ip_local_reserved_ports", "\n"),
            "ours",
        );
    });
}

/// Where a rule hangs on something that no packet says, what it asks for is a part of what was agreed to all the same.
#[test]
fn what_no_packet_says_is_part_of_it() {
    isolated("what_no_packet_says_is_part_of_it", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        let of_nft = |test: &str| {
            nft(&format!("flush ruleset\n{OTHERS}insert rule ip filter INPUT {test} tcp dport 8098 accept"));
        };
        let counted = |rate: &str| {
            nft(&format!("flush ruleset\n{OTHERS}"));
            let by_sender = format!("--hashlimit-above {rate} --hashlimit-mode srcip --hashlimit-name x");
            let rule = format!("iptables-nft -t raw -A PREROUTING -p tcp -m hashlimit {by_sender} -j LOG");
            run(&rule.split(' ').collect::<Vec<_>>(), "");
        };
        let load = |counts: bool, test: &str| if counts { counted(test) } else { of_nft(test) };
        for (counts, agreed, other) in [
            (false, "ct zone 1", "ct zone 2"),
            (false, "meta skuid 0", "meta skuid 1000"),
            (false, "ct count over 5", "ct count over 6"),
            (false, "limit rate over 5/second", "limit rate over 6/second"),
            (false, "jhash ip saddr mod 2 0", "jhash ip daddr mod 2 0"),
            // It drops what its table has no room for, whatever its target is.
            (true, "1000/sec", "999/sec"),
        ] {
            load(counts, agreed);
            host.plan(1);
            load(counts, other);
            host.outdated("around");
            // The same again is the same.
            load(counts, agreed);
            let again = format!("apply --plan change.plan --root {} --confirm-within 60s", host.path("root").display());
            // What is open about peers then is said.
            assert_eq!(host.run(&again, if counts { 3 } else { 0 })["changed"], true, "{agreed}");
            host.run("rollback", 0);
            host.run("remove", 0);
        }
    });
}

/// What a named object of somebody's table says is a part of what was agreed to where it may decide; what it has counted is not.
#[test]
fn what_named_objects_say_is_part_of_it() {
    isolated("what_named_objects_say_is_part_of_it", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        let load = |object: &str, test: &str| {
            nft(&format!(
                "flush ruleset\n{OTHERS}add {object}\nadd counter ip filter seen\n\
                 insert rule ip filter INPUT tcp dport 8098 counter name \"seen\" {test}\n"
            ));
        };
        for (test, agreed, other) in [
            ("quota name \"x\" drop", "quota ip filter x { over 10 mbytes }", "quota ip filter x { over 1 mbytes }"),
            ("quota name \"x\" drop", "quota ip filter x { over 10 mbytes }", "quota ip filter x { 10 mbytes }"),
            ("limit name \"x\" accept", "limit ip filter x { rate 5/second }", "limit ip filter x { rate 6/second }"),
            (
                "ct helper set \"x\"",
                "ct helper ip filter x { type \"ftp\" protocol tcp; }",
                "ct helper ip filter x { type \"sip\" protocol tcp; }",
            ),
            (
                "ct expectation set \"x\"",
                "ct expectation ip filter x { protocol tcp; dport 8098; timeout 2h; size 12; l3proto ip; }",
                "ct expectation ip filter x { protocol tcp; dport 8099; timeout 2h; size 12; l3proto ip; }",
            ),
        ] {
            let can = netns::attempt(&["nft", "-c", "-f", "-"], &format!("add table ip filter\nadd {agreed}\n"));
            if let Err(error) = can {
                netns::not_possible(agreed, &error);
                continue;
            }
            load(agreed, test);
            host.plan(1);
            load(other, test);
            host.outdated("around");
            // As it was, with something counted since, and another one that no rule names.
            load(&agreed.replace("mbytes }", "mbytes used 900 kbytes }"), test);
            nft("add quota ip filter spare { over 5 mbytes }\nadd counter ip filter more { packets 5 bytes 500 }");
            // What is open about peers then is said.
            let again = host.apply(" --confirm-within 60s", if test.contains("drop") { 3 } else { 0 });
            assert_eq!(again["changed"], true, "{agreed}");
            host.run("rollback", 0);
            host.run("remove", 0);
        }
    });
}

#[test]
fn what_means_the_same_is_no_reason() {
    isolated("what_means_the_same_is_no_reason", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        host.plan(1);
        // A container starts that publishes another port: Docker's rules of both its tables, its end of a cable, its addresses.
        nft("add rule ip nat DOCKER iifname != \"docker0\" tcp dport 49153 counter dnat to 172.17.0.3:8098");
        nft("add rule ip nat POSTROUTING ip saddr 172.17.0.3 ip daddr 172.17.0.3 tcp dport 8098 masquerade");
        nft("add rule ip filter FORWARD ip daddr 172.17.0.3 oifname \"docker0\" tcp dport 8098 accept");
        nft(
            "add table ip raw { chain PREROUTING { type filter hook prerouting priority -300; ip daddr 172.17.0.3 iifname != \"docker0\" drop; }; }",
        );
        netns::ip(
            "link add veth9 type veth peer name inside\nlink set veth9 master docker0\nlink set veth9 up\nlink set inside up\n",
        );
        // Somebody is banned who is not admitted, and a rule is about another protocol or port.
        nft("add element ip filter banned { 198.51.100.0/24 }");
        nft("add rule ip filter INPUT udp dport 8098 drop\nadd rule ip filter INPUT tcp dport 443 accept");
        nft("add rule ip filter INPUT counter log comment \"what is counted\"");
        // All rules are loaded again, with other handles.
        let listed = run(&["nft", "list", "ruleset"], "");
        nft(&format!("flush ruleset\n{listed}"));
        assert_eq!(host.apply("", 0)["changed"], true);
    });
}

#[test]
fn what_is_no_plan_of_this_host_is_refused() {
    isolated("what_is_no_plan_of_this_host_is_refused", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        host.unusable("bad-plan");
        host.plan(1);
        let path = host.path("change.plan");
        let text = fs::read_to_string(&path).unwrap();
        let write = |text: &str| fs::write(&path, text).unwrap();
        for (broken, code) in [
            (text.replace("\"nft\"", "\"iptables\""), "bad-plan"),
            (text.replace("cluster.toml", "other.toml"), "bad-plan"),
            (text[..text.len() / 2].to_owned(), "bad-plan"),
            ("[]".to_owned(), "bad-plan"),
            (CLUSTER.to_owned(), "bad-plan"),
            (text.replace("\"schema\"", "\"more\": 1, \"schema\""), "bad-plan"),
            (
                text.replace(&format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION")), "\"version\": \"0.0.9\""),
                "foreign-plan",
            ),
            ("{\"schema\": \"ringfence/plan/2\", \"version\": \"9.0.0\"}".to_owned(), "foreign-plan"),
        ] {
            assert_ne!(broken, text);
            write(&broken);
            host.unusable(code);
        }
        write(&text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        host.unusable("bad-plan");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&path, host.path("real")).unwrap();
        symlink(host.path("real"), &path).unwrap();
        host.unusable("bad-plan");
        // A link is replaced, and what it points to is left as it is.
        fs::write(host.path("real"), "kept").unwrap();
        host.plan(1);
        assert_eq!(fs::read_to_string(host.path("real")).unwrap(), "kept");
        assert!(!path.is_symlink());
        assert_eq!(host.apply("", 0)["changed"], true);
    });
}

/// What a command line prints on both ways, and its exit code.
fn said(host: &Host, line: &str, code: i32) -> String {
    netns::assert_away_from_home();
    let root = host.path("root").display().to_string();
    // Where process 1 may not be looked at, a hook takes the network for that of another machine, so it gets processes of its own.
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--", env!("CARGO_BIN_EXE_ringfence")])
        .current_dir(host.path(""))
        .args(line.replace("ROOT", &root).split(' '))
        .env("RINGFENCE_STATE_DIR", host.path("state"))
        .env_remove("SSH_CONNECTION")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}: {text}");
    text
}

/// In a cloud that translates, the file has an address that no interface of the host has.
#[test]
fn what_the_file_allows_is_said_and_noted() {
    isolated("what_the_file_allows_is_said_and_noted", || {
        let _namespace = netns::Namespace::unshare();
        let host = with_containers();
        let cloud = CLUSTER.replace("10.20.0.11", "10.20.0.31");
        let allows = |words: &str| format!("{cloud}[guard]\ninterfaces = [\"eth1\", \"eth7\"]\nallow = [{words}]\n");
        let apply = |more: &str, code| {
            host.run(&format!("apply cluster.toml --root {}{more}", host.path("root").display()), code)
        };
        let node = " --node riak@10.20.0.31";
        // What is never allowed is named with its line, and nothing is applied.
        host.write(&allows("\"foreign-address\", \"cut-ssh\""));
        let never = apply(node, 2);
        assert_eq!((&never["errors"][0]["code"], &never["errors"][0]["line"]), (&json!("never-allowed"), &json!(15)));
        // One allowance is no other one.
        host.write(&allows("\"missing-interface\""));
        let refused = apply(node, 1);
        assert_eq!(
            (&refused["objections"][1]["code"], &refused["objections"][1]["allowed"]),
            (&json!("foreign-address"), &json!(false))
        );
        host.write(&allows("\"foreign-address\", \"missing-interface\", \"other-source\""));
        let done = apply(node, 0);
        let used: Vec<&str> =
            done["objections"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
        assert_eq!(used, ["missing-interface", "foreign-address"], "{done}");
        assert!(
            done["objections"].as_array().unwrap().iter().all(|one| one["allowed_by"] == "cluster.toml:15"),
            "{done}"
        );
        assert!(done["claims"].as_array().unwrap().iter().all(|claim| claim["result"] == "proved"), "{done}");
        // A second look says it again.
        for _ in 0..2 {
            let status = host.run("status cluster.toml", 0);
            assert_eq!(
                (&status["objections"], status["allowances"].as_array().unwrap().len()),
                (&json!([]), 2),
                "{status}"
            );
            let noted = status["last_applied"]["allowed"].as_array().unwrap();
            assert_eq!(noted.len(), 2, "{status}");
            assert!(
                noted.iter().all(|one| one["by"]["uid"].is_u64() && one["by"]["at"].as_str().unwrap().ends_with('Z'))
            );
        }
        assert!(said(&host, "status cluster.toml", 0).contains("(allowed by cluster.toml:15)"));
        let lint = said(&host, "lint cluster.toml", 2);
        assert!(lint.contains("note[allowance]") && lint.contains("missing-interface: "), "{lint}");
        // Hooks and the timer get by, and say why.
        let hook = said(&host, "hook post-install cluster.toml --root ROOT", 0);
        assert!(hook.contains("foreign-address: ") && hook.contains("(allowed by cluster.toml:15)"), "{hook}");
        nft("flush ruleset");
        let timer = said(&host, "hook check --root ROOT", 0);
        assert!(timer.contains("(allowed by cluster.toml:15)"), "{timer}");
        assert_eq!(host.run("status cluster.toml", 0)["state"], "enforced");
        // Who takes it out is refused again, where nobody is there.
        host.write(&format!("{cloud}# and no allowance\n"));
        let hook = said(&host, "hook post-install cluster.toml --root ROOT", 1);
        assert!(hook.contains("refused: foreign-address"), "{hook}");
    });
}

fn staged(backend: &str) {
    let _namespace = netns::Namespace::unshare();
    let host = with_containers();
    let quiet = format!("{CLUSTER}[guard]\non-block = \"log-only\"\n");
    let apply = |more: &str, code| {
        host.run(&format!("apply cluster.toml --backend {backend} --root {}{more}", host.path("root").display()), code)
    };
    let isolation = |document: &Value| document["claims"][0]["result"].clone();
    let state = |code| host.run("status cluster.toml", code)["state"].clone();

    // Where nothing blocks yet, nothing is unblocked.
    host.write(&quiet);
    let first = apply("", 1);
    assert_eq!((&first["state"], isolation(&first)), (&json!("staged"), json!("violated-on-purpose")), "{first}");
    assert!(first["claims"].as_array().unwrap()[1..].iter().all(|claim| claim["result"] == "proved"), "{first}");
    assert_eq!(first["findings"][0]["code"], "staged");
    let status = host.run("status cluster.toml", 1);
    assert_eq!(
        (&status["state"], &status["lets_on"], &status["proved_at"]),
        (&json!("staged"), &json!(true), &Value::Null)
    );
    let text = said(&host, "status cluster.toml", 1);
    assert!(
        text.starts_with("STAGED for ") && text.contains("nobody is blocked") && !text.contains("  blocked: "),
        "{text}"
    );
    assert!(
        text.contains("VIOLATED ON PURPOSE") && !text.contains("proved on what the kernel holds: isolation"),
        "{text}"
    );
    assert_eq!(apply("", 1)["changed"], false);
    // The other way is a change like any other.
    host.write(CLUSTER);
    assert_eq!(state(6), "not-applied");
    assert!(said(&host, "status cluster.toml", 6).contains("nobody is blocked"));
    let blocks = apply("", 0);
    assert_eq!((&blocks["state"], isolation(&blocks)), (&json!("enforced"), json!("proved")));

    // And back only where somebody who is there says so.
    host.write(&quiet);
    let dry = host.run("diff cluster.toml", 1);
    let objection = &dry["objections"][0];
    assert_eq!((&objection["code"], &objection["allowed"]), (&json!("unblocks"), &json!(false)), "{dry}");
    let refused = apply("", 1);
    assert_eq!((&refused["objections"][0]["code"], &refused["changed"]), (&json!("unblocks"), &json!(false)));
    assert!(said(&host, "hook post-install cluster.toml --root ROOT", 1).contains("refused: unblocks"));
    let boot = said(&host, "apply cluster.toml --boot --root ROOT", 7);
    assert!(boot.contains("unblocks") && boot.contains("falling back to what was applied last"), "{boot}");
    host.write(CLUSTER);
    assert_eq!(state(0), "enforced");
    host.write(&quiet);
    // What cannot be read blocks.
    let record = host.path("state/good");
    let kept = fs::read(&record).unwrap();
    fs::write(&record, "{}").unwrap();
    assert_eq!(apply("", 1)["objections"][0]["code"], "unblocks");
    fs::write(&record, kept).unwrap();
    // Unless it is confirmed, it is taken back.
    let waits = apply(" --allow unblocks --confirm-within 60s", 1);
    assert_eq!((&waits["state"], &waits["objections"][0]["allowed"]), (&json!("staged"), &json!(true)), "{waits}");
    host.run("rollback", 0);
    assert!(said(&host, "apply cluster.toml --boot --root ROOT", 7).contains("not confirmed"));
    host.write(CLUSTER);
    assert_eq!(state(0), "enforced");
    host.write(&quiet);
    assert_eq!(apply(" --allow unblocks --confirm-within 60s", 1)["state"], "staged");
    assert_eq!(host.run("confirm", 1)["state"], "staged");
    // What somebody confirmed is brought back as it was, and a timer does not call it enforced.
    match backend {
        "nft" => nft("delete table inet ringfence"),
        _ => ["iptables", "ip6tables"]
            .iter()
            .for_each(|tool| _ = run(&[tool, "-t", "mangle", "-D", "INPUT", "-j", "RINGFENCE"], "")),
    }
    said(&host, "hook check --root ROOT", 0);
    assert_eq!(state(1), "staged");
    assert!(said(&host, "hook check --root ROOT", 0).contains("STAGED: nobody is blocked"));
    // A rule of theirs that does block is a difference.
    match backend {
        "nft" => nft("insert rule inet ringfence block drop"),
        _ => _ = run(&["iptables", "-t", "mangle", "-I", "RINGFENCE-BLOCK", "-j", "DROP"], ""),
    }
    assert_eq!(state(1), "drifted");
    // A start of the machine brings in what was confirmed.
    assert!(said(&host, "apply cluster.toml --boot --root ROOT", 1).contains("STAGED"));
    assert_eq!(state(1), "staged");
    let answers = host.run("verify cluster.toml --live", 1);
    let others = answers["answers"].as_array().unwrap().iter().filter(|one| one["who"] == "others");
    assert!(others.clone().count() > 3 && others.clone().all(|one| one["good"] == false), "{answers}");
    host.run("remove", 0);
}

#[test]
fn what_only_logs_is_never_called_enforced_by_nft() {
    isolated("what_only_logs_is_never_called_enforced_by_nft", || staged("nft"));
}

#[test]
fn what_only_logs_is_never_called_enforced_by_iptables() {
    isolated("what_only_logs_is_never_called_enforced_by_iptables", || staged("iptables"));
}
