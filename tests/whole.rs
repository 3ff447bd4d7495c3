//! The answers about whole hosts where a mistake would be a false "yes": each file of `tests/whole` says in its first lines what
//! some answers have to be. What strangers and peers do there was seen with real packets on Linux 6.18, but for the file about
//! hidden fragments, which newer kernels drop by themselves.
//!
//! Lines that begin with `seen` are connections and what becomes of them, as in `tests/hosts`: the kernel is asked each time. Without
//! them are the files about VRFs, for which this kernel has no module.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "hosts/case.rs"]
mod case;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "hosts/kernel.rs"]
mod kernel;
#[allow(dead_code, reason = "other tests use the rest")]
mod lab;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "hosts/network.rs"]
mod network;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use case::{Case, Line, Verdict};
use lab::netns::{isolated, not_possible};
use lab::server::{Server, connect_from};
use network::Network;

/// A file of rules, with what its first lines say.
struct Host {
    name: String,
    cluster: String,
    node: String,
    routes: String,
    /// What the host really has, where `routes` leaves something out.
    network: Option<String>,
    /// Words with which an answer begins, and the question.
    expected: Vec<(String, String)>,
    seen: Vec<Line>,
    text: String,
    /// The sets of ipset that it has, in a file of the same name.
    sets: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole")
}

fn hosts() -> Vec<Host> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "nft" || extension == "ipt"));
    paths.sort();
    paths.iter().map(|path| host(path)).collect()
}

fn host(path: &Path) -> Host {
    let text = fs::read_to_string(path).unwrap();
    let mut host = Host {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        cluster: "cluster.toml".to_owned(),
        node: "riak@10.20.0.11".to_owned(),
        routes: "routes".to_owned(),
        network: None,
        expected: Vec::new(),
        seen: Vec::new(),
        text: text.clone(),
        sets: fs::read_to_string(path.with_extension("ipset")).ok(),
    };
    for (at, line) in text.lines().map_while(|line| line.strip_prefix("# ")).enumerate() {
        match line.split_once(' ').unwrap() {
            ("cluster", file) => host.cluster = file.to_owned(),
            ("node", own) => host.node = own.to_owned(),
            ("routes", file) => host.routes = file.to_owned(),
            ("network", file) => host.network = Some(file.to_owned()),
            ("seen", line) => {
                let parsed = Line::parse(at + 1, line);
                host.seen.push(parsed.unwrap_or_else(|| panic!("{}: not understood: {line}", host.name)));
            }
            (word, question) => host.expected.push((word.to_owned(), question.to_owned())),
        }
    }
    host
}

#[test]
fn no_answer_is_yes_that_must_not_be() {
    let (mut wrong, mut answers) = (Vec::new(), 0);
    for Host { name, cluster, node, routes, expected, sets, .. } in hosts() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.args(["verify", &cluster, "--node", &node, "--routes", &routes, "--ruleset", &name]);
        if sets.is_some() {
            command.arg(Path::new(&name).with_extension("ipset")).arg("ip6tables");
        }
        let output = command.current_dir(folder()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!expected.is_empty(), "{name} expects nothing");
        for (word, question) in expected {
            answers += 1;
            let line = said.lines().find(|line| line.contains(&format!(" {question} ("))).unwrap_or(&said);
            if line.split_whitespace().next() != Some(&word) {
                wrong.push(format!("{name}: {word} was expected: {line}"));
            }
        }
    }
    assert!(wrong.is_empty() && answers >= 20, "{answers} answers\n{}", wrong.join("\n"));
}

/// The host as `tests/hosts` has them.
fn case(host: Host) -> Case {
    let routes = fs::read_to_string(folder().join(host.network.as_ref().unwrap_or(&host.routes))).unwrap();
    let file = if host.name.ends_with(".ipt") { "iptables" } else { "nft" };
    let mut rulesets = vec![(file, host.text)];
    if let Some(sets) = host.sets {
        rulesets.insert(0, ("ipset", sets));
        // Who is asked about the host is asked about IPv6, too.
        rulesets.push(("ip6tables", fs::read_to_string(folder().join("ip6tables")).unwrap()));
    }
    Case::in_turn(&host.name, host.seen, &routes, rulesets)
}

fn differing(case: &Case, with_rules: bool) -> Vec<String> {
    let fates = kernel::fates(case, with_rules).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let lines = case.lines.iter().zip(fates).filter(|(line, fate)| fate.verdict != line.verdict);
    lines.map(|(line, fate)| format!("{}: `{}`: {}", case.name, line.text, fate.said)).collect()
}

/// Each on a thread of its own, which takes its namespaces with it.
fn each(cases: &[Case], with_rules: bool) -> Vec<String> {
    let one = |case| std::thread::scope(|scope| scope.spawn(|| differing(case, with_rules)).join().unwrap());
    cases.iter().flat_map(one).collect()
}

#[test]
fn the_kernel_does_what_was_seen() {
    isolated("the_kernel_does_what_was_seen", || {
        let cases: Vec<Case> = hosts().into_iter().filter(|host| !host.seen.is_empty()).map(case).collect();
        assert!(cases.len() > 20, "{} hosts", cases.len());
        let wrong = each(&cases, true);
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// Tables of devices, and sets, say the same where the kernel is asked for them.
#[test]
fn the_kernel_is_read_as_the_text_is() {
    isolated("the_kernel_is_read_as_the_text_is", || {
        let asked = |host: &Host| ["netdev-", "set-"].iter().any(|start| host.name.starts_with(start));
        let hosts: Vec<Host> = hosts().into_iter().filter(asked).collect();
        let hosts = hosts.into_iter().filter(|host| host.routes == "routes");
        let wrong: Vec<String> =
            hosts.flat_map(|host| std::thread::spawn(|| told_live(host)).join().unwrap()).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

fn told_live(host: Host) -> Vec<String> {
    let (cluster, node, expected) = (host.cluster.clone(), host.node.clone(), host.expected.clone());
    let case = case(host);
    let _network = Network::new(&case);
    kernel::load(&case).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command.args(["verify", &cluster, "--node", &node, "--live"]).current_dir(folder()).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let differs = |(word, question): &(String, String)| {
        let line = said.lines().find(|line| line.contains(&format!(" {question} ("))).unwrap_or(&said);
        (line.split_whitespace().next() != Some(word)).then(|| format!("{}: {word} was expected: {line}", case.name))
    };
    expected.iter().filter_map(differs).collect()
}

/// What is blocked is blocked by rules and not by the laboratory.
#[test]
fn without_rules_what_was_seen_reaches() {
    /// Linux takes nothing from where it would send broadcasts, whatever the rules are.
    const BY_ROUTES: &str = "source-of-broadcast-here.nft";
    isolated("without_rules_what_was_seen_reaches", || {
        let hosts = hosts().into_iter().filter(|host| !host.seen.is_empty() && host.name != BY_ROUTES);
        let mut cases: Vec<Case> = hosts.map(case).collect();
        for line in cases.iter_mut().flat_map(|case| &mut case.lines) {
            (line.local, line.verdict) = (None, Verdict::Reaches);
        }
        let wrong = each(&cases, false);
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// A file with a helper as this namespace's host.
fn helped(name: &str) -> (Case, Network) {
    let case = case(host(&folder().join(name)));
    let network = Network::new(&case);
    kernel::load(&case).unwrap_or_else(|error| panic!("{name}: {error}"));
    (case, network)
}

/// What connection tracking expects in this thread's namespace.
fn expected() -> Option<String> {
    fs::read_to_string("/proc/thread-self/net/nf_conntrack_expect").ok()
}

/// A connection of somebody who is not admitted, to the protected port.
fn stranger() -> Line {
    Line { verdict: Verdict::Reaches, ..Line::parse(1, "asked 203.0.113.9 eth0 8098 : reaches").unwrap() }
}

/// FTP's server names the protected port as the one where it will be asked, and whoever asks then is `related`.
#[test]
fn what_a_helper_of_ftp_expects_gets_in() {
    isolated("what_a_helper_of_ftp_expects_gets_in", || {
        let (case, network) = helped("related-by-ftp.nft");
        let _protected = Server::saying(("::", 8098), b"host 8098\n");
        let listener = TcpListener::bind("0.0.0.0:21").unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The helper looks behind the end of a line that it has seen.
            stream.write_all(b"220 here\r\n").unwrap();
            let mut word = [0; 16];
            assert!(stream.read(&mut word).unwrap() > 0);
            // 31 * 256 + 162 is 8098.
            stream.write_all(b"227 Entering Passive Mode (198,51,100,11,31,162).\r\n").unwrap();
            stream
        });
        let control = network.far.enter(|| {
            let mut stream =
                connect_from("203.0.113.9:0".parse().unwrap(), "198.51.100.11:21".parse().unwrap()).unwrap();
            let mut word = [0; 64];
            assert!(stream.read(&mut word).unwrap() > 0);
            stream.write_all(b"PASV\r\n").unwrap();
            assert!(stream.read(&mut word).unwrap() > 0);
            stream
        });
        let kept = server.join().unwrap();
        assert!(kernel::connects(&case, &network, &stranger()), "it was expected: {:?}", expected());
        drop((control, kept));
    });
}

/// TFTP's client and who asks for a name in NetBIOS are answered from elsewhere: by UDP, and no connection of TCP is `related`.
#[test]
fn what_helpers_of_udp_expect_is_not_tcp() {
    isolated("what_helpers_of_udp_expect_is_not_tcp", || {
        let (case, network) = helped("related-by-tftp.nft");
        let _protected = Server::saying(("::", 8098), b"host 8098\n");
        network.far.enter(|| {
            let socket = UdpSocket::bind("203.0.113.9:8098").unwrap();
            socket.send_to(b"\0\x01file\0octet\0", "198.51.100.11:69").unwrap();
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        let Some(list) = expected() else {
            return not_possible("expectations of TFTP", "the kernel does not list what is expected");
        };
        assert!(list.contains("proto=17") && !list.contains("proto=6"), "{list:?}");
        let line = Line { verdict: Verdict::Blocked, ..stranger() };
        assert!(!kernel::connects(&case, &network, &line), "nobody expected it");
    });
}
