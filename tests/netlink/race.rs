//! Packets on their way while rules change.
//!
//! A stranger and a peer knock as fast as they can while rulesets take each other's place, all of which admit the peer and
//! block the stranger. In place, by elements or by rules, no packet is ever judged by neither.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringfence::dialect::netlink::{Extent, Protocol, Scope, Socket, Table, read, update};

use super::generate::Random;
use super::lab::frame::{Segment, plain};
use super::lab::{HOST4, Lab, netns};
use super::{cluster, compiled};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 1));
const NETWORK_PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 30, 2, 1));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 9, 9));
const UNTRUSTED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 30, 2, 200));
const GUARDED: u16 = 8098;
/// Counts what arrives, and what comes through behind everything else.
const OBSERVER: &str = "
table inet watch {
  chain arrival { type filter hook prerouting priority -1000; policy accept;
    tcp dport 8098 ip saddr { 10.20.0.1, 10.30.2.1 } counter comment \"arrived\"
  }
  chain input { type filter hook input priority 30000; policy accept;
    tcp dport 8098 ip saddr { 10.20.9.9, 10.30.2.200 } counter comment \"strangers\"
    tcp dport 8098 ip saddr { 10.20.0.1, 10.30.2.1 } counter comment \"peers\"
    tcp dport 8098 counter drop
  }
}
";

/// What changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Who is admitted and who is not.
    Elements,
    /// Hosts and ports.
    Rules,
    /// All of it.
    RulesAndRanges,
}

/// All of them admit the peers to the port, and none of them a stranger.
fn rulesets(kind: Kind) -> Vec<Table> {
    let text = |others: &str, networks: &str, untrusted: &str, ports: &str| {
        format!(
            "[cluster]\nname = \"x\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.1\", {others}]\n\
             [networks]\nprivate = [\"10.20.0.0/16\"]\nuntrusted = [\"10.30.2.128/25\", {untrusted}]\n\
             [services.distribution]\nports = \"{ports}\"\n[[client]]\nname = \"c\"\nservices = [\"http\"]\n\
             from = [\"10.30.2.0/24\", {networks}]\n"
        )
    };
    let networks = ["\"10.30.1.0/24\", \"10.30.3.0/24\"", "\"10.30.0.0/24\", \"10.30.4.0/24\", \"10.30.5.0/24\""];
    let untrusted = ["\"10.31.1.0/24\", \"10.31.2.0/24\"", "\"10.31.0.0/25\", \"10.31.3.0/24\""];
    let others = ["\"riak@10.20.0.2\"", "\"riak@10.20.0.3\", \"riak@10.20.0.4\"", ""];
    let ports = if kind != Kind::Elements { vec!["6000-6009", "6000-6001", "5000"] } else { vec!["6000-6009"] };
    let mut tables = Vec::new();
    for ports in ports {
        for others in others {
            for networks in networks.into_iter().take(if kind == Kind::Rules { 1 } else { 2 }) {
                let untrusted = untrusted.iter().take(if kind == Kind::Rules { 1 } else { 2 });
                tables.extend(untrusted.map(|own| compiled(&cluster(&text(others, networks, own, ports))).0));
            }
        }
    }
    tables
}

fn count(comment: &str) -> u64 {
    let text = netns::run(&["nft", "list", "table", "inet", "watch"], "");
    let line = text.lines().find(|line| line.contains(comment)).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap().parse().unwrap()
}

/// Changes made, segments of peers that arrived and that came through, segments of strangers that came through.
/// Ends with `few` changes at least, however slow the machine is.
fn race(least: Extent, kind: Kind, few: u32, enough: u32) -> (u32, u64, u64, u64) {
    let lab = Lab::new();
    netns::run(&["nft", "-f", "-"], OBSERVER);
    let tables = rulesets(kind);
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let mut change = |wanted: &Table, least: Extent| {
        let kernel = read(&mut socket, "ringfence", Scope::Own).unwrap();
        let (extent, changes) = update(kernel.own.as_ref(), Some(wanted), least).unwrap();
        if !changes.is_empty() {
            changes.commit(&mut socket, kernel.generation).unwrap();
        }
        extent
    };
    change(&tables[0], Extent::Nothing);
    let stop = AtomicBool::new(false);
    let packets: Vec<Vec<u8>> = [PEER, STRANGER, NETWORK_PEER, UNTRUSTED]
        .iter()
        .flat_map(|from| plain(&Segment::syn(SocketAddr::new(*from, 2000), SocketAddr::new(HOST4, GUARDED))))
        .collect();
    let mut made = 0;
    std::thread::scope(|threads| {
        let (stop, cable) = (&stop, lab.cable("eth1"));
        threads.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                packets.iter().for_each(|packet| cable.send(packet));
            }
        });
        let mut random = Random::new(11);
        let start = Instant::now();
        let going = |made: u32| {
            let limit = if made > few { Duration::from_secs(4) } else { Duration::from_secs(60) };
            made < enough && start.elapsed() < limit
        };
        while going(made) {
            let extent = change(random.pick(&tables), least);
            assert!(least == Extent::Whole || extent <= Extent::Rules, "{extent:?}");
            made += u32::from(extent != Extent::Nothing);
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Both of the sender's processors have queues of their own.
    std::thread::sleep(Duration::from_millis(50));
    lab.wait();
    (made, count("arrived"), count("peers"), count("strangers"))
}

#[test]
fn changes_of_elements_let_nobody_slip() {
    netns::isolated("race::changes_of_elements_let_nobody_slip", || {
        let (made, sent, peers, strangers) = race(Extent::Nothing, Kind::Elements, 500, 3000);
        assert!(made > 500 && sent > 10_000, "{made} changes, {sent} segments");
        assert_eq!((strangers, peers), (0, sent), "{made} changes");
    });
}

#[test]
fn changes_of_rules_let_nobody_slip() {
    netns::isolated("race::changes_of_rules_let_nobody_slip", || {
        let (made, sent, peers, strangers) = race(Extent::Rules, Kind::Rules, 300, 2000);
        assert!(made > 300 && sent > 10_000, "{made} changes, {sent} segments");
        assert_eq!((strangers, peers), (0, sent), "{made} changes");
    });
}

/// In several transactions, because some kernels do not find what is in a new set of ranges at once.
#[test]
fn changes_of_rules_and_ranges_let_nobody_slip() {
    netns::isolated("race::changes_of_rules_and_ranges_let_nobody_slip", || {
        let (made, arrived, peers, strangers) = race(Extent::Rules, Kind::RulesAndRanges, 100, 1000);
        assert!(made > 100 && arrived > 10_000, "{made} changes, {arrived} segments");
        assert_eq!((strangers, peers), (0, arrived), "{made} changes");
    });
}

/// At the instant at which a table is made anew, a packet may be judged by neither of two chains, and some kernels do not
/// find what is in a new set of ranges: a segment of a stranger might get in, and one of a peer be lost. This is why it is not done where it can be helped.
#[test]
fn a_table_made_anew_is_hardly_noticed() {
    netns::isolated("race::a_table_made_anew_is_hardly_noticed", || {
        let (made, sent, peers, strangers) = race(Extent::Whole, Kind::RulesAndRanges, 100, 1000);
        assert!(made > 100 && sent > 10_000, "{made} changes, {sent} segments");
        // How many are under way at such an instant depends on what else the machine does: of an emulated one beside others it was one in
        // thirteen.
        let few = u64::from(made).max(sent / 4);
        eprintln!("whole: {} of {sent} segments of peers were lost in {made} changes", sent - peers);
        assert!(sent - peers <= few, "{} of {sent} lost in {made} changes", sent - peers);
        assert!(strangers <= u64::from(made), "{strangers} strangers in {made} changes");
        eprintln!("whole: {strangers} of {sent} segments of strangers came through in {made} changes");
    });
}
