//! What `diff` says is what `apply` does: foreign edits of the kernel's state and of the cluster file, each followed by a diff, an
//! apply and another diff, in a network namespace of its own, for both ways into the kernel.
//!
//! - a diff of exit code 0 is followed by an apply that writes nothing, and no other is;
//! - what an apply wrote had been named, by its kind;
//! - the diff behind an apply is always 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use netns::{attempt, isolated, not_possible, run, sysctl};

const PORTS: &str = "net.ipv4.ip_local_reserved_ports";

const CLUSTER: &str = "[cluster]\nname = \"plan\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\", \"riak@10.20.0.13\"]\n\
[networks]\nprivate = [\"10.20.0.0/24\"]\n[[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n\
[services.distribution]\nports = \"6000-6009\"\n";

/// An edit, and the kinds of work that it makes.
struct Edit {
    name: &'static str,
    make: fn(&Host),
    kinds: &'static [&'static str],
}

struct Host {
    folder: tempfile::TempDir,
    backend: &'static str,
}

impl Host {
    fn new(backend: &'static str) -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap(), backend };
        host.write(CLUSTER);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        fs::write(self.path("cluster.toml"), text).unwrap();
    }

    fn ringfence(&self, command: &str, more: &[&str]) -> (i32, String, String) {
        netns::assert_away_from_home();
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args([command, "--backend", self.backend, "--state-dir"])
            .arg(self.path("state"))
            .args(more)
            .arg(self.path("cluster.toml"))
            .env_remove("SSH_CONNECTION")
            .env_remove("RINGFENCE_STATE_DIR")
            .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What `hook check` ends with, as the timer runs it.
    fn check(&self) -> i32 {
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["hook", "check", "--state-dir"])
            .arg(self.path("state"))
            .arg("--root")
            .arg(self.path("root"))
            .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
            .output()
            .unwrap();
        output.status.code().unwrap()
    }

    fn state_word(&self) -> (i32, String) {
        let (code, out, err) = self.ringfence("status", &["--full", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}"));
        (code, document["state"].as_str().unwrap().to_owned())
    }

    fn apply(&self) -> (i32, String) {
        let (code, out, err) = self.ringfence("apply", &["--root", self.path("root").to_str().unwrap()]);
        (code, out + &err)
    }

    /// The exit code, and the kinds.
    fn diff(&self) -> (i32, Vec<String>, String) {
        let (code, out, err) = self.ringfence("diff", &["--json"]);
        let document: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}"));
        let kinds = document["writes"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap().to_owned());
        (code, kinds.collect(), out + &err)
    }

    /// All that an apply may write, of the kernel's with the numbers that tell a rule from another that was put in its place.
    fn state(&self) -> String {
        let mut state = attempt(&["nft", "-a", "-s", "list", "ruleset"], "").unwrap();
        if self.backend == "iptables" {
            for tool in ["iptables-legacy-save", "ip6tables-legacy-save"] {
                state += &attempt(&[tool], "").unwrap();
            }
            state += &run(&["ipset", "save"], "");
        }
        state += &fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap();
        state += &fs::read_to_string(self.path("root/etc/sysctl.d/60-ringfence.conf")).unwrap_or_default();
        // Comments hold times, brackets counters.
        let lines =
            state.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" [").next().unwrap_or(line));
        lines.map(|line| format!("{line}\n")).collect()
    }

    fn edit(&self, text: impl FnOnce(String) -> String) {
        let old = fs::read_to_string(self.path("cluster.toml")).unwrap();
        self.write(&text(old));
    }

    /// One edit or several: diff, apply, diff.
    fn round(&self, edits: &[&Edit]) {
        let names: Vec<&str> = edits.iter().map(|edit| edit.name).collect();
        for edit in edits {
            (edit.make)(self);
        }
        let before = self.state();
        let (code, kinds, said) = self.diff();
        assert_eq!(self.state(), before, "{names:?}: a diff wrote something");
        assert_eq!(code != 0, !kinds.is_empty(), "{names:?}: {said}");
        if let [edit] = edits {
            assert_eq!(kinds, edit.kinds, "{names:?}: {said}");
        }
        let (applied, text) = self.apply();
        assert!([0, 1, 3].contains(&applied) && text.contains("in force"), "{names:?}: {applied} {text}");
        let wrote = self.state() != before;
        assert_eq!(code == 1, wrote, "{names:?}: diff said {said}\napply said {text}");
        assert!(code == 0 || code == 1, "{names:?}: {code} {said}");
        let rules = kinds.iter().any(|kind| ["meaning", "behaviour", "foreign-rules"].contains(&kind.as_str()));
        assert_eq!(!rules, text.contains("nothing had to be changed"), "{names:?}: {said}\n{text}");
        assert_eq!(
            kinds.iter().any(|kind| kind == "reserved-ports"),
            text.contains("reserved ports"),
            "{names:?}: {text}"
        );
        let (after, kinds, said) = self.diff();
        assert_eq!((after, kinds), (0, vec![]), "{names:?}: {said}\nbehind {text}");
        // Who asks in any way gets the same answer.
        let status = self.ringfence("status", &["--full"]);
        assert_eq!(status.0, applied, "{names:?}: {text}\n{}{}", status.1, status.2);
    }

    /// Each edit alone, then some together, in an order that is the same every time.
    fn rounds(&self, edits: &[Edit]) {
        assert_eq!(self.diff().0, 1);
        assert_eq!(self.apply().0, 0);
        assert_eq!(self.diff().0, 0);
        for edit in edits {
            self.round(&[edit]);
        }
        let mut number: usize = 7;
        let mut next = || {
            number = number.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0x7fff_ffff;
            &edits[(number >> 8) % edits.len()]
        };
        for _ in 0..8 {
            self.round(&[next(), next(), next()]);
        }
    }
}

fn nft(script: &str) {
    // What an edit before it took away cannot be changed; then there is one edit less.
    let _ = attempt(&["nft", "-f", "-"], script);
}

const OF_THE_FILE: [Edit; 6] = [
    Edit { name: "a remark", make: |host| host.edit(|text| format!("# a remark\n\n{text}")), kinds: &[] },
    Edit {
        name: "another name of the client",
        make: |host| host.edit(|text| text.replace("\"web\"", "\"momentum\"")),
        kinds: &[],
    },
    Edit {
        name: "log",
        make: |host| {
            host.edit(|text| if text.contains("[guard]") { text } else { text + "[guard]\nlog = true\n" });
        },
        kinds: &["behaviour"],
    },
    Edit {
        name: "no log",
        make: |host| host.edit(|text| text.replace("[guard]\nlog = true\n", "")),
        kinds: &["behaviour"],
    },
    Edit {
        name: "a node more",
        make: |host| {
            let more = ", \"riak@10.20.0.14\"";
            host.edit(|text| match text.contains(more) {
                true => text.replace(more, ""),
                false => text.replace("\"riak@10.20.0.13\"", &format!("\"riak@10.20.0.13\"{more}")),
            });
        },
        kinds: &["meaning"],
    },
    Edit {
        name: "another port",
        make: |host| host.edit(|text| text.replace("6000-6009", "6000-6019")),
        kinds: &["meaning", "reserved-ports"],
    },
];

const OF_PORTS: [Edit; 2] = [
    Edit { name: "no reserved ports", make: |_| sysctl(PORTS, "\n"), kinds: &["reserved-ports"] },
    Edit {
        name: "no file",
        make: |host| fs::remove_file(host.path("root/etc/sysctl.d/60-ringfence.conf")).unwrap_or_default(),
        kinds: &["reserved-ports"],
    },
];

const OF_NFT: [Edit; 12] = [
    Edit { name: "a stranger", make: |_| nft("add element inet ringfence peers4 { 192.0.2.1 }"), kinds: &["meaning"] },
    Edit {
        name: "a peer less",
        make: |_| nft("delete element inet ringfence peers4 { 10.20.0.12 }"),
        kinds: &["meaning"],
    },
    Edit {
        name: "a port less",
        make: |_| nft("delete element inet ringfence protected { 8098 }"),
        kinds: &["meaning"],
    },
    Edit {
        name: "all let in",
        make: |_| nft("insert rule inet ringfence input accept"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit {
        name: "something unknown",
        make: |_| nft("insert rule inet ringfence admit meta mark 7 return"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit { name: "a counter", make: |_| nft("insert rule inet ringfence input counter"), kinds: &["foreign-rules"] },
    Edit {
        name: "a line in the log",
        make: |_| nft("insert rule inet ringfence input log prefix \"x\""),
        kinds: &["foreign-rules"],
    },
    Edit { name: "a chain emptied", make: |_| nft("flush chain inet ringfence block"), kinds: &["meaning"] },
    Edit {
        name: "a table that sleeps",
        make: |_| nft("add table inet ringfence { flags dormant; }"),
        kinds: &["meaning"],
    },
    Edit { name: "nothing left", make: |_| nft("flush ruleset"), kinds: &["meaning"] },
    Edit {
        name: "somebody's own table",
        make: |_| {
            nft(
                "table inet other { chain in { type filter hook input priority 0; tcp dport 22 accept; udp dport 53 drop; }; }",
            )
        },
        kinds: &[],
    },
    Edit {
        name: "peers shut out",
        make: |_| {
            nft("table inet other { chain shut { type filter hook input priority 5; ip saddr 10.20.0.12 drop; }; }")
        },
        kinds: &[],
    },
];

fn iptables(arguments: &str) {
    let words: Vec<&str> = ["iptables", "-w"].into_iter().chain(arguments.split(' ')).collect();
    let _ = attempt(&words, "");
}

const OF_IPTABLES: [Edit; 7] = [
    Edit { name: "no jump", make: |_| iptables("-t raw -D PREROUTING -j RINGFENCE"), kinds: &["meaning"] },
    Edit {
        name: "all let in",
        make: |_| iptables("-t mangle -I RINGFENCE -j ACCEPT"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit {
        name: "one passes by",
        make: |_| iptables("-t mangle -I INPUT -s 192.0.2.1 -j ACCEPT"),
        kinds: &["foreign-rules"],
    },
    Edit {
        name: "something is diverted",
        make: |_| iptables("-t mangle -A INPUT -p tcp -j MARK --set-mark 7"),
        kinds: &[],
    },
    Edit {
        name: "containers",
        make: |_| iptables("-t raw -A PREROUTING -d 172.18.0.2/32 ! -i br-4f1d2c3b5a69 -j DROP"),
        kinds: &[],
    },
    Edit {
        name: "a queue",
        make: |_| iptables("-t mangle -A INPUT -p tcp --dport 8098 -j NFQUEUE --queue-num 3"),
        kinds: &[],
    },
    Edit { name: "a chain emptied", make: |_| iptables("-t mangle -F RINGFENCE"), kinds: &["meaning"] },
];

const LINKS: &str = "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\nlink set far up\n";

fn has_iptables() -> bool {
    let missing = ["iptables", "ip6tables", "ipset", "iptables-legacy-save"].into_iter();
    let missing: Vec<&str> = missing.filter(|tool| attempt(&[tool, "--version"], "").is_err()).collect();
    if !missing.is_empty() {
        not_possible("iptables", &missing.join(", "));
    }
    missing.is_empty()
}

fn on_a_host(name: &'static str, backend: &'static str, own: &'static [Edit]) {
    isolated(name, move || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(LINKS);
        if backend == "iptables" && !has_iptables() {
            return;
        }
        let host = Host::new(backend);
        let edits: Vec<Edit> = OF_THE_FILE.into_iter().chain(OF_PORTS).collect();
        host.rounds(&edits);
        host.write(CLUSTER);
        let _ = host.apply();
        host.rounds_of(own);
    });
}

impl Host {
    fn rounds_of(&self, edits: &[Edit]) {
        for edit in edits {
            self.round(&[edit]);
        }
        for (at, edit) in edits.iter().enumerate() {
            self.round(&[edit, &OF_PORTS[at % 2], &edits[(at * 5 + 2) % edits.len()]]);
        }
    }
}

#[test]
fn what_diff_says_is_what_apply_does_with_nft() {
    on_a_host("what_diff_says_is_what_apply_does_with_nft", "nft", &OF_NFT);
}

#[test]
fn what_diff_says_is_what_apply_does_with_iptables() {
    on_a_host("what_diff_says_is_what_apply_does_with_iptables", "iptables", &OF_IPTABLES);
}

/// Everybody who looks gives one answer: after each step the state, with its code, and what the timer and an apply make of it.
fn standings(name: &'static str, backend: &'static str) {
    type Step = (&'static str, fn(&Host), (i32, &'static str), i32, i32);
    const NOTHING: fn(&Host) = |_| {};
    let nft_steps: Vec<Step> = vec![
        ("enforced", NOTHING, (0, "enforced"), 0, 0),
        ("another file", |host| (OF_THE_FILE[4].make)(host), (6, "not-applied"), 0, 0),
        ("a stranger", |_| nft("add element inet ringfence peers4 { 192.0.2.1 }"), (1, "drifted"), 0, 0),
        ("something unknown", |_| nft("insert rule inet ringfence admit meta mark 7 return"), (1, "drifted"), 0, 0),
        ("gone", |_| nft("delete table inet ringfence"), (4, "absent"), 0, 0),
        (
            "another firewall that drops",
            |_| {
                nft(
                    "table inet other { chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }; }",
                )
            },
            (1, "shadowed"),
            1,
            1,
        ),
        ("not any more", |_| nft("delete table inet other"), (0, "enforced"), 0, 0),
        (
            "one that drops only where nobody is admitted",
            |_| {
                nft(
                    "table inet other { chain in { type filter hook input priority 0; tcp dport 25 drop; meta mark 7 drop; }; }",
                )
            },
            (0, "enforced"),
            0,
            0,
        ),
        ("iptables-legacy", |_| _ = attempt(&["iptables-legacy", "-P", "INPUT", "DROP"], ""), (1, "shadowed"), 1, 1),
        ("not any more", |_| _ = attempt(&["iptables-legacy", "-P", "INPUT", "ACCEPT"], ""), (0, "enforced"), 0, 0),
    ];
    let iptables_steps: Vec<Step> = vec![
        ("enforced", NOTHING, (0, "enforced"), 0, 0),
        ("another file", |host| (OF_THE_FILE[4].make)(host), (6, "not-applied"), 0, 0),
        ("no jump", |_| iptables("-t raw -D PREROUTING -j RINGFENCE"), (1, "drifted"), 0, 0),
        ("one passes by", |_| iptables("-t mangle -I INPUT -s 192.0.2.1 -j ACCEPT"), (1, "shadowed"), 0, 0),
        ("a queue", |_| iptables("-t mangle -A INPUT -j NFQUEUE --queue-num 3"), (3, "undecided"), 3, 3),
        ("not any more", |_| iptables("-t mangle -D INPUT -j NFQUEUE --queue-num 3"), (0, "enforced"), 0, 0),
        ("peers shut out", |_| iptables("-t mangle -A INPUT -s 10.20.0.12 -j DROP"), (1, "shadowed"), 1, 1),
        ("a policy", |_| iptables("-P INPUT DROP"), (1, "shadowed"), 1, 1),
    ];
    isolated(name, move || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(LINKS);
        let steps = if backend == "nft" { nft_steps } else { iptables_steps };
        if backend == "iptables" && !has_iptables() {
            return;
        }
        let host = Host::new(backend);
        assert_eq!(host.state_word(), (4, "absent".to_owned()));
        assert_eq!(host.apply().0, 0);
        for (step, make, (code, word), checked, applied) in steps {
            if step == "iptables-legacy" && !has_iptables() {
                return;
            }
            make(&host);
            assert_eq!(host.state_word(), (code, word.to_owned()), "{step}");
            assert_eq!(host.check(), checked, "{step}: hook check");
            assert_eq!(host.apply().0, applied, "{step}: apply");
            assert_eq!(host.state_word().0, applied, "{step}: status behind it");
        }
    });
}

#[test]
fn everybody_gives_the_same_answer_with_nft() {
    standings("everybody_gives_the_same_answer_with_nft", "nft");
}

#[test]
fn everybody_gives_the_same_answer_with_iptables() {
    standings("everybody_gives_the_same_answer_with_iptables", "iptables");
}

/// Rules of ours in iptables of which nothing is remembered are seen, and go with the next apply in the other way.
#[test]
fn rules_of_a_forgotten_apply_are_seen_and_go() {
    isolated("rules_of_a_forgotten_apply_are_seen_and_go", || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(LINKS);
        if !has_iptables() {
            return;
        }
        let host = Host::new("iptables");
        assert_eq!(host.apply().0, 0);
        fs::remove_dir_all(host.path("state")).unwrap();
        let host = Host { backend: "auto", ..host };
        assert_eq!(host.state_word().0, 0, "the rules are there, and do what the file says");
        let host = Host { backend: "nft", ..host };
        let (code, kinds, said) = host.diff();
        assert_eq!((code, kinds.contains(&"other-back-end".to_owned())), (1, true), "{said}");
        assert_eq!(host.apply().0, 0);
        assert!(!run(&["iptables-save"], "").contains("RINGFENCE"));
        assert_eq!(host.diff().0, 0);
    });
}

/// While a change waits, diff refuses what apply refuses, and ends as it does.
#[test]
fn a_refusal_is_the_same_for_diff_and_apply() {
    isolated("a_refusal_is_the_same_for_diff_and_apply", || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(LINKS);
        let host = Host::new("nft");
        let root = host.path("root").display().to_string();
        assert_eq!(host.ringfence("apply", &["--root", &root, "--confirm-within", "60s"]).0, 0);
        assert_eq!((host.diff().0, host.apply().0), (6, 6));
        let confirm = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(["confirm", "--state-dir"])
            .arg(host.path("state"))
            .output()
            .unwrap();
        assert_eq!(confirm.status.code(), Some(0), "{confirm:?}");
        host.edit(|text| text.replace("10.20.0.11\"", "10.20.0.77\""));
        assert_eq!((host.diff().0, host.apply().0), (1, 1), "no node of the file");
        host.edit(|text| text.replace("\"plan\"", "plan"));
        assert_eq!(host.apply().0, 2, "no cluster file");
        assert_eq!(host.ringfence("diff", &["--json"]).0, 2);
    });
}
