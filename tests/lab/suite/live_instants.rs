//! While rules change: no stranger gets through at any instant, and no peer is refused.

use super::*;
use crate::generate::Random;
use crate::lab::frame::{Segment, plain};
use crate::lab::rules::GUARDED;
use crate::lab::wire::Wire;
use crate::lab::{HOST4, HOST6, Lab};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Peers in every file; then two that are sometimes nodes, sometimes clients.
const PEERS: [&str; 6] = ["10.20.0.11", "fd20::13", "10.20.0.50", "fd20::50", "10.20.0.51", "fd20::51"];
/// In no file; then two that are sometimes in a client's network, and then untrusted.
const STRANGERS: [&str; 4] = ["203.0.113.7", "2001:db8:bad::7", "10.20.3.9", "fd20:0:0:3::9"];

/// What came to the host, and what of it got through. The prerouting chain comes before every rule, so that what the
/// device's queue could not hold is counted nowhere.
const COUNTERS: &str = "
table inet hammered {
  counter peers_came { }
  counter peers_passed { }
  counter strangers_came { }
  counter strangers_passed { }
  set peers4 { type ipv4_addr; elements = { 10.20.0.11, 10.20.0.50, 10.20.0.51 }
  }
  set peers6 { type ipv6_addr; elements = { fd20::13, fd20::50, fd20::51 }
  }
  set strangers4 { type ipv4_addr; elements = { 203.0.113.7, 10.20.3.9 }
  }
  set strangers6 { type ipv6_addr; elements = { 2001:db8:bad::7, fd20:0:0:3::9 }
  }
  chain came { type filter hook prerouting priority -400;
    tcp dport != 8098 accept
    ip saddr @peers4 counter name peers_came
    ip6 saddr @peers6 counter name peers_came
    ip saddr @strangers4 counter name strangers_came
    ip6 saddr @strangers6 counter name strangers_came
  }
  chain passed { type filter hook input priority 29000;
    tcp dport != 8098 accept
    ip saddr @peers4 counter name peers_passed
    ip6 saddr @peers6 counter name peers_passed
    ip saddr @strangers4 counter name strangers_passed
    ip6 saddr @strangers6 counter name strangers_passed
  }
}
";

fn counters() -> BTreeMap<String, u64> {
    let text = run(&["nft", "-j", "list", "counters", "table", "inet", "hammered"], "");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let objects = json["nftables"].as_array().unwrap().iter().map(|object| &object["counter"]);
    let named = objects.filter(|counter| counter.is_object());
    named.map(|one| (one["name"].as_str().unwrap().to_owned(), one["packets"].as_u64().unwrap())).collect()
}

/// Sends what asks for connections until it is told to stop.
fn hammer(wire: &Wire, stop: &AtomicBool) {
    let sources: Vec<IpAddr> = PEERS.iter().chain(&STRANGERS).map(|source| source.parse().unwrap()).collect();
    let mut port = 1024;
    while !stop.load(Ordering::Relaxed) {
        port = if port > 60000 { 1024 } else { port + 1 };
        for source in &sources {
            let host = if source.is_ipv4() { HOST4 } else { HOST6 };
            let segment = Segment::syn(SocketAddr::new(*source, port), SocketAddr::new(host, GUARDED));
            for packet in plain(&segment) {
                wire.send(&packet);
            }
        }
        if port % 8 == 0 {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A cluster file in which the peers are admitted to HTTP and the strangers are not. Every list has members whatever is
/// drawn, so that two files of the same shape differ in members only.
fn drawn(random: &mut Random, shape: usize) -> Wanted {
    let mut nodes: Vec<String> = PEERS[..2].iter().map(|peer| (*peer).to_owned()).collect();
    let mut from = vec!["10.20.7.7".to_owned(), "10.20.8.0/24".into(), "fd20::7:7".into(), "fd20:0:0:8::/64".into()];
    let mut untrusted =
        vec!["10.20.0.128/25".to_owned(), "10.20.9.9".into(), "fd20:0:0:9::/64".into(), "fd20::9:9".into()];
    for peer in &PEERS[2..] {
        match random.below(3) {
            0 => nodes.push((*peer).to_owned()),
            1 => from.push((*peer).to_owned()),
            _ if peer.contains(':') => from.push("fd20::50/127".into()),
            _ => from.push("10.20.0.48/29".into()),
        }
    }
    if random.chance(50) {
        from.extend(["10.20.3.0/24".to_owned(), "fd20:0:0:3::/64".into()]);
        untrusted.extend(["10.20.3.9".to_owned(), "fd20:0:0:3::9".into()]);
    }
    nodes.extend((0..random.below(20)).map(|n| format!("10.20.0.{}", 60 + 3 * n)));
    from.sort();
    from.dedup();
    let quoted = |list: &[String]| list.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
    let http = if shape.is_multiple_of(2) { "\"http\"" } else { "\"http\", \"handoff\"" };
    let more = format!(
        "untrusted = [{}]\n[guard]\nlog = {}\n[[client]]\nname = \"web\"\nfrom = [{}]\nservices = [{http}]",
        quoted(&untrusted),
        shape.is_multiple_of(3),
        quoted(&from)
    );
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let sets = if shape == 3 { SetsMode::Never } else { SetsMode::Always };
    Wanted::new(cluster(&nodes, &more), sets)
}

on_each_variant! {
    fn no_stranger_passes_and_no_peer_is_refused(host) {
        const ROUNDS: usize = 50;
        let lab = Lab::new();
        let mut random = Random::new(0x71e9);
        host.apply(&drawn(&mut random, 0));
        // The lab's observer would write down a million segments.
        run(&["nft", "delete", "table", "inet", "observer"], "");
        run(&["nft", "-f", "-"], COUNTERS);
        let stop = AtomicBool::new(false);
        let wire = lab.cable("eth1");
        let mut kinds = (0, 0);
        thread::scope(|scope| {
            let hammering = scope.spawn(|| hammer(wire, &stop));
            // Whatever fails, the other thread has to end.
            let changes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut shape = 0;
                for round in 0..ROUNDS {
                    if random.chance(40) {
                        shape = random.below(4);
                    }
                    let wanted = drawn(&mut random, shape);
                    let before = host.read().snapshot().clone();
                    let change = host.apply(&wanted);
                    if change.rules { kinds.0 += 1 } else { kinds.1 += 1 }
                    if random.chance(20) {
                        host.restore(&before);
                    }
                    let now = counters();
                    assert_eq!(now["strangers_passed"], 0, "round {round}, {change:?}\n{}", wanted.cluster);
                }
            }));
            stop.store(true, Ordering::Relaxed);
            hammering.join().unwrap();
            if let Err(panic) = changes {
                std::panic::resume_unwind(panic);
            }
        });
        lab.wait();
        let counted = counters();
        assert!(kinds.0 >= 5 && kinds.1 >= 5, "{kinds:?}");
        assert!(counted["peers_came"] > 1000 && counted["strangers_came"] > 1000, "{counted:?}");
        assert_eq!(counted["strangers_passed"], 0, "{counted:?}");
        assert_eq!(counted["peers_passed"], counted["peers_came"], "{counted:?}");
    }
}
