//! Several clusters on one host: what is proved of them, and a host that goes from one to two and back.

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
#[allow(dead_code, reason = "other tests use the rest")]
mod host;

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use host::Host;
use netns::isolated;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};
use ringfence::cluster::{Cluster, Service, Site, load};
use ringfence::compile::{self, SetsMode};
use ringfence::ir::{Elements, Ruleset, Verdict};
use ringfence::prove;
use ringfence::verify::{Claim, Claims, Families, Finding, check};
use serde_json::Value;

const RIAK: &str = "[cluster]\nname = \"riak\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n\
[networks]\nprivate = [\"10.20.0.0/24\"]\n[[client]]\nname = \"web\"\nservices = [\"http\"]\nfrom = [\"10.20.1.0/24\"]\n\
[services.distribution]\nports = \"6000-6009\"\n";
const RABBIT: &str = "[cluster]\nname = \"rabbit\"\nprofile = \"rabbitmq\"\n\
nodes = [\"rabbit@10.20.0.11\", \"rabbit@10.20.0.13\"]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n\
[[client]]\nname = \"web\"\nservices = [\"amqp\"]\nfrom = [\"10.20.2.0/24\"]\n[services.stream-replication]\nports = \"6010-6500\"\n";

/// What listens on the host.
const PORTS: [u16; 5] = [4369, 5672, 6000, 8098, 25672];

fn case() -> Cluster {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/two-clusters/clusters.d");
    load(&folder).unwrap().cluster.unwrap()
}

fn sites(cluster: &Cluster) -> [Site<'_>; 2] {
    let here = [cluster.node("riak@10.20.0.11").unwrap(), cluster.node("rabbit@10.20.0.11").unwrap()];
    [Site::of_every_node(cluster), Site::of_nodes(cluster, &here)]
}

fn rules(site: &Site<'_>) -> [Ruleset; 3] {
    [compile::nft(site), compile::iptables(site, SetsMode::Always), compile::iptables(site, SetsMode::Never)]
}

fn finding(ruleset: &Ruleset, site: &Site<'_>, wanted: Claim) -> Finding {
    let report = check(ruleset, site, Families::Both).unwrap();
    report.findings().iter().find(|(claim, _)| *claim == wanted).unwrap().1.clone()
}

#[test]
fn the_rules_of_two_clusters_are_proved_in_every_dialect() {
    let cluster = case();
    for site in sites(&cluster) {
        for site in [site.clone(), site.translating(true)] {
            for ruleset in rules(&site) {
                assert!(check(&ruleset, &site, Families::Both).unwrap().is_proved());
            }
        }
    }
}

/// Each file by itself, which knows nothing of the other: all whom it admits get in, and of the ports that are its own alone nobody else
/// does.
#[test]
fn no_file_is_held_to_less_than_it_says() {
    let cluster = case();
    let joined = sites(&cluster);
    let [_, here] = &joined;
    for part in cluster.parts() {
        let node = part.nodes().iter().find(|node| node.name().ends_with("@10.20.0.11")).unwrap();
        let (every, own) = (Site::of_every_node(part), Site::of_node(part, node));
        for (whole, alone) in joined.iter().zip([&every, &own]) {
            for ruleset in rules(whole) {
                assert_eq!(finding(&ruleset, alone, Claim::Reachability), Finding::Proved, "{}", part.name());
                // The one port that both have admits the other's peers, and nothing else does.
                let Finding::Violated(witness) = finding(&ruleset, alone, Claim::Isolation) else {
                    panic!("epmd admits the union")
                };
                assert_eq!(witness.packet.port, 4369, "{}: {}", part.name(), witness.packet);
            }
        }
        // By the specification, packet for packet: only epmd differs from what the file says alone.
        let (mine, ours) = (Claims::of(&own), Claims::of(here));
        let sources: Vec<IpAddr> = cluster
            .nodes()
            .iter()
            .flat_map(|node| node.addresses().map(|(address, _)| address))
            .chain(cluster.clients().iter().flat_map(|client| client.from().iter().map(|from| from.network.first())))
            .chain(["203.0.113.9".parse().unwrap(), "10.20.0.200".parse().unwrap()])
            .collect();
        let mut differs = 0;
        for port in own.protected().each() {
            for source in &sources {
                for interface in ["eth0", "eth1"] {
                    let interface = interface.parse().unwrap();
                    let admits = |claims: &Claims<'_>| claims.admitting(*source, port, Some(&interface)).is_some();
                    if admits(&mine) != admits(&ours) {
                        assert!(port == 4369 && admits(&ours), "{source} to {port} of {}", part.name());
                        differs += 1;
                    }
                }
            }
        }
        assert!(differs > 0, "the union is wider than {}", part.name());
    }
}

/// Two clusters whose sources are mixed up are guarded as none of the files says.
#[test]
fn sources_that_are_exchanged_are_a_violation() {
    let cluster = case();
    for site in sites(&cluster) {
        let ruleset = compile::nft(&site);
        assert!(check(&ruleset, &site, Families::Both).unwrap().is_proved());
        let mut swapped = 0;
        for (one, other) in [("peers_riak4", "peers_rabbit_dc14"), ("peer_ports_riak", "peer_ports_rabbit_dc1")] {
            let mut broken = ruleset.clone();
            let sets = &mut broken.tables[0].sets;
            let at = |name: &str, sets: &[ringfence::ir::Set]| {
                let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
                sets.iter().position(|set| set.name == name).unwrap_or_else(|| panic!("{name} in {names:?}"))
            };
            let (a, b) = (at(one, sets), at(other, sets));
            let elements = sets[a].elements.clone();
            sets[a].elements = std::mem::replace(&mut sets[b].elements, elements);
            assert!(check(&broken, &site, Families::Both).unwrap().is_violated(), "{one} and {other}");
            swapped += 1;
        }
        // One who belongs to one cluster is let into the other, too.
        for name in ["peers_riak4", "peers_rabbit_dc14"] {
            let mut broken = ruleset.clone();
            let all: Vec<Elements> = broken.tables[0]
                .sets
                .iter()
                .filter(|set| set.name.starts_with("peers_"))
                .map(|set| set.elements.clone())
                .collect();
            let networks: Vec<_> =
                all.iter().flat_map(Elements::networks).filter(|network| network.is_ipv4()).collect();
            let set = broken.tables[0].sets.iter_mut().find(|set| set.name == name).unwrap();
            set.elements = Elements::of_networks(&networks);
            assert!(check(&broken, &site, Families::Both).unwrap().is_violated(), "{name} with all peers");
            swapped += 1;
        }
        assert_eq!(swapped, 4);
        // A rule that is missing cuts somebody off.
        let mut broken = ruleset.clone();
        let chain = broken.tables[0].chains.iter_mut().find(|chain| chain.name == "admit").unwrap();
        let rule = chain.rules.iter().position(|rule| {
            rule.verdict == Some(Verdict::Return)
                && rule.comment.as_deref().is_some_and(|own| own.contains("amqp (rabbit@dc1)"))
        });
        chain.rules.remove(rule.expect("a rule for the clients of RabbitMQ"));
        assert!(check(&broken, &site, Families::Both).unwrap().is_violated());
    }
}

impl Host {
    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path("clusters.d")).unwrap();
        fs::write(self.path("clusters.d").join(name), text).unwrap();
    }

    fn apply(&self, config: &str, more: &str, code: i32) -> Value {
        self.run(&format!("apply {config} --root {}{more}", self.path("root").display()), code)
    }

    /// What is printed, and how it ends.
    fn said(&self, line: &str, code: i32) -> String {
        netns::assert_away_from_home();
        // Where process 1 may not be looked at, a hook takes the network for that of another machine, so it gets processes of its own.
        let output = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--", env!("CARGO_BIN_EXE_ringfence")])
            .current_dir(self.path("."))
            .args(line.split(' '))
            .env("RINGFENCE_STATE_DIR", self.path("state"))
            .env_remove("SSH_CONNECTION")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        text
    }
}

/// The rules of ours in the kernel, but for what was counted.
fn in_force() -> String {
    let text = netns::run(&["nft", "list", "ruleset"], "");
    text.lines().map(|line| line.split(" counter packets").next().unwrap_or(line).to_owned() + "\n").collect()
}

/// Whether a connection from an address of the other end comes through to a port.
fn reaches(wire: &netns::Namespace, from: &str, port: u16) -> bool {
    wire.enter(|| {
        let (family, kind) = (AddressFamily::Inet, SockType::Stream);
        let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let from = SocketAddrV4::new(from.parse().unwrap(), 0);
        socket::bind(socket.as_raw_fd(), &SockaddrIn::from(from)).unwrap();
        // It bounds connect(2), too (socket(7)).
        socket::setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(300)).unwrap();
        let to = SocketAddrV4::new("10.20.0.11".parse().unwrap(), port);
        socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).is_ok()
    })
}

/// Whoever one of the clusters admits gets in, and nobody else.
fn packets(wire: &netns::Namespace) {
    let all: [(&str, &[u16]); 5] = [
        ("10.20.0.12", &[4369, 6000, 8098]),
        ("10.20.0.13", &[4369, 25672]),
        ("10.20.1.7", &[8098]),
        ("10.20.2.7", &[5672]),
        ("10.20.3.7", &[]),
    ];
    for (from, own) in all {
        for port in PORTS {
            assert_eq!(reaches(wire, from, port), own.contains(&port), "{from} to {port}");
        }
    }
}

/// A host that is a node of both, with whom it has to do at the other end, and something that listens.
fn stage() -> (netns::Namespace, Host, Vec<TcpListener>) {
    let wire = netns::Namespace::unshare_aside();
    let host = Host::new();
    netns::ip(&format!("link set far netns {}\n", wire.path()));
    wire.enter(|| {
        netns::ip("link set lo up\nlink set far up\n");
        let all = ["10.20.0.12/24", "10.20.0.13/24", "10.20.1.7/32", "10.20.2.7/32", "10.20.3.7/32", "10.20.0.1/24"];
        all.iter().for_each(|address| netns::ip(&format!("addr add {address} dev far\n")));
    });
    netns::ip("route add 10.20.2.0/24 via 10.20.0.1\nroute add 10.20.3.0/24 via 10.20.0.1\n");
    let servers = PORTS.iter().map(|port| TcpListener::bind(("0.0.0.0", *port)).unwrap()).collect();
    for from in ["10.20.0.12", "10.20.0.13", "10.20.1.7", "10.20.2.7", "10.20.3.7"] {
        assert!(reaches(&wire, from, 8098), "{from} without rules");
    }
    (wire, host, servers)
}

#[test]
fn two_clusters_are_guarded_by_iptables() {
    isolated("two_clusters_are_guarded_by_iptables", || {
        let _home = netns::Namespace::unshare();
        if let Err(error) = netns::attempt(&["iptables", "-S"], "") {
            return netns::not_possible("iptables", &error);
        }
        let (wire, host, _servers) = stage();
        host.file("riak.toml", RIAK);
        host.file("rabbit.toml", RABBIT);
        host.apply("clusters.d", " --backend iptables --confirm-within 60s", 0);
        packets(&wire);
        assert_eq!(host.run("confirm", 0)["node"], "rabbit@10.20.0.11, riak@10.20.0.11");
        packets(&wire);
        assert_eq!(host.run("status", 0)["state"], "enforced");
        fs::remove_file(host.path("clusters.d").join("riak.toml")).unwrap();
        host.apply("clusters.d", "", 1);
        packets(&wire);
        host.run(&format!("remove --root {}", host.path("root").display()), 0);
        assert!(reaches(&wire, "10.20.3.7", 5672));
    });
}

/// Who names half of a host, or asks for what is about one cluster, is told so.
#[test]
fn what_is_about_one_cluster_is_refused_for_two() {
    isolated("what_is_about_one_cluster_is_refused_for_two", || {
        let _home = netns::Namespace::unshare();
        let host = Host::new();
        host.file("riak.toml", RIAK);
        host.file("rabbit.toml", RABBIT);
        let said = |line: &str, code| host.said(line, code);
        assert!(said("compile clusters.d --node riak@10.20.0.11", 2).contains("no node of the cluster `rabbit`"));
        let both = "--node riak@10.20.0.11 --node rabbit@10.20.0.11";
        assert!(said(&format!("compile clusters.d {both}"), 0).contains("rabbit@10.20.0.11, riak@10.20.0.11"));
        let two = "--node riak@10.20.0.11 --node riak@10.20.0.12 --node rabbit@10.20.0.11";
        assert!(said(&format!("verify clusters.d {two}"), 2).contains("several nodes of the cluster `riak`"));
        assert!(said("apply clusters.d --node nobody@10.20.0.11", 2).contains("unknown-node"));
        for line in
            ["compile clusters.d --all -o out", "lint clusters.d --no-sockets", "diff clusters.d --membership x"]
        {
            assert!(said(line, 2).contains("[cluster-folder]"), "{line}");
        }
        assert!(said("explain clusters.d --from 10.20.0.12 --port handoff", 0).contains("riak@10.20.0.12"));
        // Both have one of that name.
        assert!(said("explain clusters.d --from 10.20.0.12 --port distribution", 2).contains("distribution (riak)"));
        // One file alone is as ever.
        said("compile clusters.d/riak.toml --all -o out", 0);
        assert!(said("diff clusters.d/riak.toml clusters.d --meaning", 1).contains("amqp (rabbit)"));
    });
}

#[test]
fn however_long_the_names_are_there_are_rules() {
    let name = |at: usize| format!("{at:02}{}", "n".repeat(62));
    let files: Vec<(String, String)> = (10..26)
        .map(|at| {
            let named = RIAK.replace("name = \"riak\"", &format!("name = \"{}\"", name(at))).replace("riak@", &format!("c{at}@"));
            let ports = format!(
                "[services.http]\nports = \"9{at}0\"\n[services.handoff]\nports = \"9{at}1\"\n[services.protobuf]\nports = \"9{at}2\"\n"
            );
            (format!("{at}.toml"), named.replace("6000-6009", &format!("7{at}0-7{at}9")) + &ports)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    let loaded = load(folder.path()).unwrap();
    let cluster = loaded.cluster.unwrap_or_else(|| panic!("{:?}", loaded.findings));
    let names: HashSet<&str> = cluster.services().iter().filter(|own| own.is_guarded()).map(Service::name).collect();
    assert_eq!(names.len(), 16 * 4 + 1);
    let epmd = cluster.services().iter().find(|own| own.name().starts_with("epmd")).unwrap();
    assert_eq!(epmd.name(), format!("epmd ({} and 15 more)", name(10)));
    let site = Site::of_every_node(&cluster);
    let rules = prove::nft(&site).unwrap();
    assert!(prove::iptables(&site, SetsMode::Auto).is_ok());
    // Each service has a counter of its own.
    let chains = rules.compiled().tables.iter().flat_map(|table| &table.chains).filter(|chain| chain.name == "block");
    let counted: HashSet<&str> = chains
        .flat_map(|chain| &chain.rules)
        .filter_map(|rule| rule.comment.as_deref()?.strip_prefix("isolation: "))
        .collect();
    assert!(names.is_subset(&counted), "{counted:?}");
}

/// A header says nothing of a port but what becomes of it.
#[test]
fn what_one_file_leaves_alone_is_said_to_be_guarded_for_another() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("riak.toml"), RIAK).unwrap();
    fs::write(folder.path().join("rabbit.toml"), RABBIT.to_owned() + "[services.epmd]\nstate = \"unused\"\n").unwrap();
    let cluster = load(folder.path()).unwrap().cluster.unwrap();
    let header = compile::header(&Site::of_every_node(&cluster)).join("\n");
    assert!(header.contains("epmd (rabbit) 4369, but for another cluster"), "{header}");
}

/// Nobody is there when a package brings a file: what was refused before stays out, whatever it comes with, and whoever a port's first rules
/// would cut off is looked for, whatever is guarded already.
#[test]
fn a_file_that_comes_later_brings_nothing_that_was_refused_and_cuts_nobody_off() {
    isolated("a_file_that_comes_later_brings_nothing_that_was_refused_and_cuts_nobody_off", || {
        let _home = netns::Namespace::unshare();
        let (wire, host, _servers) = stage();
        let root = host.path("root").display().to_string();
        let post_install = |code| host.said(&format!("hook post-install clusters.d --root {root}"), code);
        host.file("riak.toml", RIAK);
        host.apply("clusters.d", "", 0);
        let good = in_force();
        let wider = RIAK.replace("10.20.1.0/24", "10.20.3.0/24");
        assert_ne!(wider, RIAK);
        host.file("riak.toml", &wider);
        host.apply("clusters.d", " --confirm-within 60s", 0);
        host.run("rollback", 0);
        assert_eq!(in_force(), good);
        host.file("rabbit.toml", RABBIT);
        let said = post_install(6);
        assert!(said.contains("applied once and not confirmed"), "{said}");
        host.said(&format!("apply clusters.d --boot --root {root}"), 7);
        assert_eq!(in_force(), good);
        // The same file by itself is no other one.
        fs::remove_file(host.path("clusters.d").join("rabbit.toml")).unwrap();
        assert!(post_install(6).contains("applied once and not confirmed"));

        host.file("riak.toml", RIAK);
        host.file("rabbit.toml", RABBIT);
        let to = "10.20.0.11:25672".parse().unwrap();
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(2)).expect("nothing guards it yet");
        netns::ip("route replace 10.20.3.0/24 via 10.20.0.1\n");
        let forgotten = wire.enter(|| {
            netns::ip("route replace 10.20.0.11/32 dev far src 10.20.3.7\n");
            let session = connect();
            netns::ip("route del 10.20.0.11/32 dev far src 10.20.3.7\n");
            session
        });
        let said = post_install(1);
        assert!(said.contains("refused: cut-peer: ") && said.contains("10.20.3.7"), "{said}");
        assert_eq!(in_force(), good);
        // With nobody to cut off it is brought in.
        drop(forgotten);
        std::thread::sleep(Duration::from_millis(200));
        post_install(0);
        packets(&wire);
    });
}

#[test]
fn a_host_goes_from_one_cluster_to_two_and_back() {
    isolated("a_host_goes_from_one_cluster_to_two_and_back", || {
        let _home = netns::Namespace::unshare();
        let (wire, host, _servers) = stage();
        // One file, then a folder with the same: an ordinary change, in which nothing is lost.
        host.write(RIAK);
        host.apply("cluster.toml", "", 0);
        host.file("riak.toml", RIAK);
        let ahead = host.run("diff clusters.d", 0);
        assert_eq!(ahead["meaning"]["same"], true, "{ahead}");
        host.apply("clusters.d", "", 0);
        assert_eq!(host.run("status", 0)["state"], "enforced");
        host.apply("cluster.toml", "", 0);
        host.apply("clusters.d", "", 0);
        // Two.
        host.file("rabbit.toml", RABBIT);
        let listener = TcpListener::bind(("0.0.0.0", 6001)).unwrap();
        let to = "10.20.0.11:6001".parse().unwrap();
        let mut peer =
            wire.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(2))).expect("a session of a peer");
        let (mut session, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "10.20.0.12");
        session.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let done = host.apply("clusters.d", "", 0);
        assert_eq!(done["node"], "rabbit@10.20.0.11, riak@10.20.0.11", "{done}");
        let together = &done["together"];
        assert_eq!(
            (&together["clusters"][0]["name"], &together["clusters"][1]["name"]),
            (&"rabbit".into(), &"riak".into())
        );
        assert_eq!(together["shared"][0]["service"], "epmd (rabbit, riak)", "{done}");
        assert!(done["claims"].as_array().unwrap().iter().all(|claim| claim["result"] == "proved"), "{done}");
        packets(&wire);
        // What a peer had begun goes on.
        let mut word = [0; 5];
        peer.write_all(b"hello").unwrap();
        session.read_exact(&mut word).unwrap();
        let status = host.run("status", 0);
        assert_eq!(status["state"], "enforced");
        assert!(status["blocked"]["epmd (rabbit, riak)"]["packets"].as_u64().unwrap() > 0, "{status}");
        let said = host.said("status", 0);
        assert!(
            said.contains("shared: epmd (rabbit, riak), port 4369, admits whom rabbit or riak admits to it"),
            "{said}"
        );
        assert!(host.run("diff clusters.d", 0)["meaning"]["same"] == true);
        host.run("verify clusters.d --live", 0);
        host.run("verify clusters.d", 0);
        let said = host.said("explain clusters.d --live --from 10.20.0.13 --port amqp", 1);
        assert!(said.contains("rabbit@10.20.0.13"), "{said}");
        // A plan of it.
        host.run("diff clusters.d --out change.plan", 0);
        host.run(&format!("apply --plan change.plan --root {}", host.path("root").display()), 0);
        // What is taken away comes back whole.
        netns::run(&["nft", "flush", "ruleset"], "");
        assert!(reaches(&wire, "10.20.3.7", 5672));
        let root = host.path("root").display().to_string();
        host.said(&format!("hook check --root {root}"), 0);
        packets(&wire);
        // One file that is broken, or is for no node that this host is: what is in force stays.
        let before = in_force();
        host.file("rabbit.toml", &RABBIT.replace("10.20.0.13", "10.20.0.256"));
        host.apply("clusters.d", "", 2);
        let said = host.said(&format!("hook post-install clusters.d --root {root}"), 2);
        assert!(said.contains("rabbit.toml:4"), "{said}");
        host.said(&format!("apply clusters.d --boot --root {root}"), 7);
        assert_eq!(host.run("status", 0)["of_last_apply"], true);
        assert_eq!(in_force(), before);
        packets(&wire);
        host.file("rabbit.toml", &RABBIT.replace("rabbit@10.20.0.11", "rabbit@10.20.0.14"));
        let said = host.said(&format!("apply clusters.d --root {root}"), 1);
        assert!(said.contains("no-node: of the cluster `rabbit`"), "{said}");
        // One file that is gone: nobody said that its ports are to be open to everyone.
        fs::remove_file(host.path("clusters.d").join("rabbit.toml")).unwrap();
        let refused = host.apply("clusters.d", "", 1);
        assert_eq!(refused["objections"][0]["code"], "other-cluster", "{refused}");
        let message = refused["objections"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("guards `rabbit`, too") && message.contains("5671-5672") && !message.contains("4369"),
            "{message}"
        );
        host.said(&format!("hook post-install clusters.d --root {root}"), 1);
        host.said(&format!("apply clusters.d --boot --root {root}"), 7);
        assert_eq!(in_force(), before);
        packets(&wire);
        // Back to one, with and without somebody to confirm.
        host.apply("clusters.d", " --allow other-cluster --confirm-within 60s", 0);
        let one = [("10.20.0.12", 4369, true), ("10.20.0.13", 4369, false), ("10.20.3.7", 5672, true)];
        one.iter().for_each(|(from, port, comes)| assert_eq!(reaches(&wire, from, *port), *comes, "{from} to {port}"));
        host.run("rollback", 0);
        packets(&wire);
        host.apply("cluster.toml", " --allow other-cluster", 0);
        assert_eq!(host.run("status", 0)["state"], "enforced");
        one.iter().for_each(|(from, port, comes)| assert_eq!(reaches(&wire, from, *port), *comes, "{from} to {port}"));
    });
}
