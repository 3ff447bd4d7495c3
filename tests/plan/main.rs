//! What `diff` says is what `apply` does: foreign edits of the kernel's state and of the cluster file, each followed by a diff, an
//! apply and another diff, in a network namespace of its own, for both ways into the kernel.
//!
//! - a diff of exit code 0 is followed by an apply that writes nothing, and no other is;
//! - what an apply wrote had been named, by its kind, and their documents say the same of it;
//! - the diff behind an apply is always 0.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

#[path = "../document/mod.rs"]
mod document;
mod edits;
mod host;

use std::fs;

use edits::{Edit, OF_IPTABLES, OF_NFT, OF_PORTS, OF_THE_FILE, iptables, nft};
use host::{CLUSTER, Host, LINKS, has_iptables};
use netns::{attempt, isolated, run};

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
            "another firewall that drops answers",
            |_| {
                nft(
                    "table inet other { chain out { type filter hook output priority 0; policy drop; oifname lo accept; }; }",
                );
            },
            (1, "shadowed"),
            1,
            1,
        ),
        ("not any more", |_| nft("delete table inet other"), (0, "enforced"), 0, 0),
        (
            "one that lets peers in on the interface that they come in on",
            |_| {
                nft(
                    "table inet other { chain in { type filter hook input priority 0; policy drop; ct state established accept; \
                     iifname eth1 accept; iifname lo accept; icmpv6 type echo-request accept; }; }",
                );
            },
            (0, "enforced"),
            0,
            0,
        ),
        ("on another", |_| nft("flush chain inet other in"), (1, "shadowed"), 1, 1),
        ("not any more", |_| nft("delete table inet other"), (0, "enforced"), 0, 0),
        (
            "one that may ban a client, to whose network a way leads",
            |_| {
                netns::ip("route add 10.20.1.0/24 dev eth1\n");
                nft(
                    "table inet other { chain in { type filter hook input priority 0; ip saddr 10.20.1.0/24 numgen random mod 2 == 0 drop; }; }",
                );
            },
            (3, "undecided"),
            3,
            3,
        ),
        ("the same where none does", |_| netns::ip("route del 10.20.1.0/24 dev eth1\n"), (0, "enforced"), 0, 0),
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
        // They do what the file says, and nothing brings them back that would know of them.
        assert_eq!(host.state_word(), (6, "enforced".to_owned()));
        let host = Host { backend: "nft", ..host };
        let (code, kinds, said) = host.diff();
        assert_eq!((code, kinds.contains(&"other-back-end".to_owned())), (1, true), "{said}");
        assert_eq!(host.apply().0, 0);
        assert!(!run(&["iptables-save"], "").contains("RINGFENCE"));
        assert_eq!(host.diff().0, 0);
    });
}

/// Rules of ours that somebody loaded in the other way, whatever is remembered of an apply, block whom they do not know: that is
/// drift, and whoever mends it takes them away.
#[test]
fn rules_of_ours_in_both_ways_are_drift() {
    type Mend = (&'static str, fn(&Host) -> i32);
    isolated("rules_of_ours_in_both_ways_are_drift", || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(LINKS);
        if !has_iptables() {
            return;
        }
        for (backend, other) in [("nft", "iptables"), ("iptables", "nft")] {
            let host = Host::new(backend);
            assert_eq!(host.apply().0, 0);
            let mend: [Mend; 3] = [
                ("hook check", Host::check),
                ("apply", |host| host.apply().0),
                ("confirm", |host| {
                    let root = host.path("root").display().to_string();
                    let (code, out, err) = host.ringfence("apply", &["--root", &root, "--confirm-within", "60s"]);
                    assert_eq!(code, 0, "{out}{err}");
                    assert_eq!(host.state_word(), (0, "enforced".to_owned()), "while it waits both are meant");
                    host.confirm()
                }),
            ];
            for (name, mend) in mend {
                host.load_by_hand(other);
                assert_eq!(host.state_word(), (1, "drifted".to_owned()), "{backend}, before {name}");
                let (code, kinds, said) = host.diff();
                assert_eq!((code, kinds), (1, vec!["other-back-end".to_owned()]), "{backend}: {said}");
                assert_eq!(mend(&host), 0, "{backend}: {name}");
                assert_eq!(host.state_word(), (0, "enforced".to_owned()), "{backend}, behind {name}");
                assert_eq!(host.diff().0, 0, "{backend}, behind {name}");
            }
            host.remove();
        }
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
        assert_eq!(host.confirm(), 0);
        // Its watchdog sees that as long as the folder is there.
        let watched = || fs::read_to_string("/proc/thread-self/net/unix").unwrap().contains("ringfence-watchdog");
        let begin = std::time::Instant::now();
        while watched() {
            assert!(begin.elapsed().as_secs() < 20, "the watchdog does not end");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        host.edit(|text| text.replace("10.20.0.11\"", "10.20.0.77\""));
        assert_eq!((host.diff().0, host.apply().0), (1, 1), "no node of the file");
        host.edit(|text| text.replace("\"plan\"", "plan"));
        assert_eq!(host.apply().0, 2, "no cluster file");
        assert_eq!(host.ringfence("diff", &["--json"]).0, 2);
    });
}
