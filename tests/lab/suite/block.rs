//! What a blocked sender hears, and what the guard costs the rest of the host.

use crate::lab::backend::Backend;
use crate::lab::frame::Segment;
use crate::lab::netns::run;
use crate::lab::probe::{Outcome, Shot};
use crate::lab::rules::{CLUSTER, FREE, GUARDED, Rules};
use crate::lab::server::Server;
use crate::lab::{HOSTS, Lab};
use std::net::SocketAddr;

/// A stranger's SYN and a stranger's segment without a session, to the guarded port of both families.
fn strangers(lab: &Lab) -> Vec<Outcome> {
    let mut shots = Vec::new();
    for host in HOSTS {
        let to = SocketAddr::new(host, GUARDED);
        shots.push(Shot::plain(Segment::syn(lab.stranger(host), to)));
        shots.push(Shot::plain(Segment::data(lab.stranger(host), to)));
    }
    lab.fire(&shots)
}

/// Connections that this namespace keeps track of.
fn tracked() -> usize {
    let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
    let count = count.map_or(0, |text| text.trim().parse().expect("a number"));
    // Not /proc/net: that is the namespace of the process' first thread.
    let list = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").map_or(0, |text| text.lines().count());
    count.max(list)
}

on_each_backend! {
    fn drop_is_silent(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        assert!(strangers(&lab).iter().all(|outcome| !outcome.answers.is_empty()), "without rules everything is answered");
        backend.load(&Rules::usual());
        for outcome in strangers(&lab) {
            assert!(!outcome.delivered() && outcome.answers.is_empty(), "{outcome:?}");
        }
    }

    /// What only logs lets strangers on and counts them, by either family; a peer is not counted. Once it blocks, they are out.
    fn log_only_lets_on_and_counts(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let peers = || {
            for host in HOSTS {
                let to = SocketAddr::new(host, GUARDED);
                assert!(lab.converse(&Shot::plain(Segment::syn(lab.peer(host), to))).is_some(), "a peer");
            }
        };
        backend.load(&Rules::compile(&format!("{CLUSTER}\n[guard]\non-block = \"log-only\"\n")));
        peers();
        assert_eq!(backend.counted("isolation: http"), 0);
        for outcome in strangers(&lab) {
            assert!(outcome.delivered() && !outcome.answers.is_empty(), "{outcome:?}");
        }
        assert!(backend.counted("isolation: http") >= 4, "{}", backend.counted("isolation: http"));
        // Whatever else filters is asked as without the guard.
        for host in HOSTS {
            backend.foreign_rule(host, "-A INPUT -p tcp --dport 8098 -j DROP");
        }
        assert!(strangers(&lab).iter().all(|outcome| outcome.answers.is_empty()), "another firewall has the last word");
        for host in HOSTS {
            backend.foreign_rule(host, "-D INPUT -p tcp --dport 8098 -j DROP");
        }
        if backend == Backend::Nft {
            run(&["nft", "delete", "table", "inet", "ringfence"], "");
        }
        backend.load(&Rules::usual());
        for outcome in strangers(&lab) {
            assert!(!outcome.delivered() && outcome.answers.is_empty(), "{outcome:?}");
        }
        peers();
    }

    /// A busy host pays nothing for the guard: no connection is tracked on its account.
    fn tracks_nothing(backend) {
        let lab = Lab::new();
        let _servers = [GUARDED, FREE].map(Server::start);
        let traffic = || {
            strangers(&lab);
            for host in HOSTS {
                for port in [GUARDED, FREE] {
                    let to = SocketAddr::new(host, port);
                    assert!(lab.converse(&Shot::plain(Segment::syn(lab.peer(host), to))).is_some(), "a peer");
                }
            }
        };
        backend.load(&Rules::usual());
        traffic();
        assert_eq!(tracked(), 0);
        // The control: this is how it looks when something tracks.
        let tracker = "table inet tracker {\n chain c {\n type filter hook prerouting priority 0\n ct state new counter\n }\n}\n";
        run(&["nft", "-f", "-"], tracker);
        traffic();
        assert!(tracked() > 0);
    }
}

/// iptables cannot reset where the guard stands; see the compiler.
#[test]
fn reject_resets() {
    crate::lab::netns::isolated("block::reject_resets", || {
        if !Backend::Nft.is_here("block::reject_resets") {
            return;
        }
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let dialects = ["nft", "sysctl"];
        Backend::Nft.load(&Rules::compile_to(&dialects, &format!("{CLUSTER}\n[guard]\non-block = \"reject\"\n")));
        for outcome in strangers(&lab) {
            assert!(!outcome.delivered() && outcome.reset(), "{outcome:?}");
        }
        for host in HOSTS {
            let shot = Shot::plain(Segment::syn(lab.peer(host), SocketAddr::new(host, GUARDED)));
            assert!(lab.converse(&shot).is_some(), "a peer");
        }
    });
}
