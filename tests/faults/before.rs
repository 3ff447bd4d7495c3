//! What was on a host before the rules: sessions of peers that a cluster file forgot, and rules of another cluster.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use super::machine::{FEW_PORTS, Machine, PROGRAM, Ran, cluster};
use crate::lab::netns::run;
use crate::lab::server::BANNER;
use crate::lab::server::{Server, connect_from, echo, expect};
use crate::lab::{HOST4, HOST6};
use crate::on_a_machine;

/// Handoff and the port mapper: nobody but peers uses them.
const HANDOFF: u16 = 8099;
const EPMD: u16 = 4369;
const CLIENT: &str = "[[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n";

/// What a package calls.
pub fn hook(machine: &Machine, file: &str) -> Ran {
    hook_under(machine, &[], file)
}

/// The same under strace(1) with these options. Where process 1 may not be looked at, a hook takes the network for that of
/// another machine, so it gets processes of its own.
fn hook_under(machine: &Machine, strace: &[&str], file: &str) -> Ran {
    let log = machine.path("strace").display().to_string();
    let tracer = ["strace", "-qq", "-o", &log];
    let tracer = if strace.is_empty() { &[][..] } else { &tracer[..] };
    let own = ["--pid", "--fork", "--mount-proc", "--"];
    let before: Vec<String> = [&own[..], tracer, strace, &[PROGRAM]].concat().into_iter().map(str::to_owned).collect();
    let root = machine.path("root").display().to_string();
    let mut command = machine.command("unshare", &before, &format!("hook post-install {file} --root {root}"));
    command.output().unwrap().into()
}

/// A real session of the wire's kernel, in which both ends have spoken.
fn session(machine: &Machine, from: &str, to: SocketAddr) -> TcpStream {
    let from: IpAddr = from.parse().unwrap();
    machine.lab.give_wire(from);
    let from = SocketAddr::new(from, 30000 + machine.lab.next());
    let mut stream = machine.lab.wire.enter(|| connect_from(from, to)).unwrap();
    expect(&mut stream, BANNER);
    stream
}

fn is_untouched(machine: &Machine) {
    let (table, ports) = (machine.table(), fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap());
    assert!(table.contains("No such file"), "{table}");
    assert_eq!(ports.trim(), "");
    assert!(!machine.path("state/good").exists() && !machine.path("root/etc/sysctl.d/60-ringfence.conf").exists());
}

/// The objections of a look ahead as data: their codes, and whether apply goes on all the same.
fn objections(ran: &Ran) -> Vec<(String, bool)> {
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let each = found["objections"].as_array().unwrap().iter();
    each.map(|one| {
        assert!(!one["message"].as_str().unwrap().is_empty());
        (one["code"].as_str().unwrap().to_owned(), one["allowed"].as_bool().unwrap())
    })
    .collect()
}

fn another(name: &str, nodes: &str, more: &str) -> String {
    format!(
        "[cluster]\nname = \"{name}\"\nprofile = \"riak\"\nnodes = [{nodes}]\n[networks]\nprivate = [\"10.20.0.0/16\"]\n{more}\n"
    )
}

/// A cluster of which this host is a node, too, and which leaves the ports of HTTP alone.
fn west() -> String {
    another(
        "west",
        "\"riak@10.20.0.1\", \"riak@10.20.0.12\"",
        "[services.distribution]\nports = \"6000-6004\"\n[services.http]\nstate = \"unused\"",
    )
}

on_a_machine! {
    fn a_forgotten_peer_keeps_the_first_rules_away_where_nobody_can_confirm(machine) {
        let _servers = [HANDOFF, EPMD].map(Server::start);
        // Its IPv4 peers have mapped addresses; a listener of its own has none.
        let plain = TcpListener::bind(("10.20.0.1", 6000)).unwrap();
        let peers = [("10.20.0.99", HOST4, HANDOFF), ("fd20::99", HOST6, EPMD), ("192.168.7.7", HOST4, EPMD)];
        for (from, host, port) in peers {
            let to = SocketAddr::new(host, port);
            let mut open = session(machine, from, to);
            let end = open.local_addr().unwrap();
            let ran = hook(machine, "old.toml");
            let service = if port == EPMD { "epmd" } else { "handoff" };
            let ran = ran.ended(1).says("refused: cut-peer: ").says(&format!("from {end} to {to} ({service})"));
            let ran = ran.says("add the node to the cluster file").says("`ringfence apply`").says("nothing was changed");
            assert_eq!(ran.err.matches("cut-peer: ").count(), 1, "{ran:#?}");
            is_untouched(machine);
            echo(&mut open, b"still here");
            let ran = machine.ringfence("diff --json old.toml").ended(1).says("cut-peer: ");
            // Whoever is there may go on all the same.
            assert_eq!(objections(&ran), [("cut-peer".to_owned(), true)], "{ran:#?}");
        }
        // The family of the socket is IPv4 here.
        let (from, to) = (SocketAddr::from(([10, 20, 0, 98], 31000)), SocketAddr::from(([10, 20, 0, 1], 6000)));
        machine.lab.give_wire(from.ip());
        machine.lab.route_from_wire(to.ip(), "eth1");
        let _open = machine.lab.wire.enter(|| connect_from(from, to)).unwrap();
        let _accepted = plain.accept().unwrap();
        let ran = hook(machine, "old.toml");
        ran.ended(1).says("from 10.20.0.98:31000 to 10.20.0.1:6000 (distribution)");
        is_untouched(machine);
    }

    fn who_is_in_the_file_or_no_peer_keeps_nothing_away(machine) {
        let _servers = [HANDOFF, EPMD].map(Server::start);
        machine.write("web.toml", &cluster(&["10.20.0.14"], &format!("{FEW_PORTS}\n{CLIENT}")));
        let at = |host, port| SocketAddr::new(host, port);
        let mut member = session(machine, "10.20.0.12", at(HOST4, HANDOFF));
        let mut six = session(machine, "fd20::13", at(HOST6, EPMD));
        // A stranger of the internet, one at a port that clients use, and this host itself.
        let _others = [
            session(machine, "203.0.113.9", at(HOST4, HANDOFF)),
            session(machine, "2001:db8:bad::9", at(HOST6, HANDOFF)),
            session(machine, "10.20.0.99", at(HOST4, crate::lab::rules::GUARDED)),
            TcpStream::connect(at(HOST4, EPMD)).unwrap(),
            TcpStream::connect(("127.0.0.1", EPMD)).unwrap(),
            TcpStream::connect(("::1", EPMD)).unwrap(),
        ];
        let ran = hook(machine, "web.toml");
        assert!(!ran.err.contains("cut-peer"), "{ran:#?}");
        ran.ended(0).says("in force for riak@10.20.0.1");
        echo(&mut member, b"a member goes on");
        echo(&mut six, b"one of IPv6, too");
        machine.guards();
    }

    fn a_service_that_no_client_uses_is_the_peers_own(machine) {
        let _open = session(machine, "10.20.0.99", SocketAddr::new(HOST4, crate::lab::rules::GUARDED));
        let ran = hook(machine, "old.toml");
        ran.ended(1).says("(http)");
        is_untouched(machine);
    }

    fn by_hand_a_forgotten_peer_is_a_warning_and_later_rules_are_brought_in(machine) {
        let _server = Server::start(HANDOFF);
        let to = SocketAddr::new(HOST4, HANDOFF);
        let open = session(machine, "10.20.0.99", to);
        let words = format!("warning: cut-peer: this would block open sessions from private networks into ports that only peers use: from {}", open.local_addr().unwrap());
        machine.ringfence("apply old.toml").ended(0).says(&words).says("sessions that were cut: 1");
        machine.guards();
        // What nobody notices any more: rules are in force.
        run(&["nft", "add", "element", "inet", "ringfence", "peers4", "{ 10.20.0.99 }"], "");
        let _again = session(machine, "10.20.0.99", to);
        let ran = hook(machine, "members.toml");
        assert!(!ran.err.contains("cut-peer"), "{ran:#?}");
        ran.ended(0);
        machine.guards();
        // What was applied and flushed by somebody else comes back; anything else is a first change once more.
        run(&["nft", "flush", "ruleset"], "");
        let _third = session(machine, "10.20.0.99", to);
        let ran = hook(machine, "old.toml");
        ran.ended(1).says("cut-peer");
        let ran = hook(machine, "members.toml");
        ran.ended(0);
        machine.guards();
    }

    fn rules_in_the_other_back_end_are_in_force_too(machine) {
        let _server = Server::start(HANDOFF);
        machine.ringfence("apply --backend iptables old.toml").ended(0);
        // Admitted for a moment by somebody else.
        let moment = |what: &str| {
            run(&["iptables", "-t", "raw", what, "PREROUTING", "-s", "10.20.0.99", "-j", "ACCEPT"], "");
            run(&["iptables", "-t", "mangle", what, "INPUT", "-s", "10.20.0.99", "-j", "ACCEPT"], "");
        };
        moment("-I");
        let _open = session(machine, "10.20.0.99", SocketAddr::new(HOST4, HANDOFF));
        moment("-D");
        let ran = hook(machine, "members.toml");
        assert!(!ran.err.contains("cut-peer"), "{ran:#?}");
        ran.ended(0);
    }

    fn sockets_that_cannot_be_read_are_no_reason_to_be_less_strict(machine) {
        let hook = |options: &[&str]| hook_under(machine, options, "old.toml");
        let apply = |options: &[&str]| machine.strace(options, "apply old.toml");
        // One after the other of the calls that ask for sockets fails; one of them decides.
        let without_each = |run: &dyn Fn(&[&str]) -> Ran| -> Vec<Ran> {
            run(&["-e", "trace=socket"]).ended(0);
            let log = machine.strace_log();
            let asks = log.lines().enumerate().filter(|(_, line)| line.contains("NETLINK_SOCK_DIAG"));
            asks.map(|(at, _)| {
                machine.ringfence("remove").ended(0);
                let inject = format!("inject=socket:error=EPROTONOSUPPORT:when={}", at + 1);
                let ran = run(&["-e", "trace=socket", "-e", &inject]);
                match ran.code {
                    Some(1) => is_untouched(machine),
                    _ => assert!(machine.proves("old.toml"), "{ran:#?}"),
                }
                ran
            })
            .collect()
        };
        let words = "cut-peer: whether this would block open sessions of peers that the cluster file lacks is not known";
        let hooks = without_each(&hook);
        let refused = hooks.iter().filter(|ran| ran.err.contains(&format!("refused: {words}")));
        assert!(refused.clone().all(|ran| ran.code == Some(1)), "{hooks:#?}");
        assert_eq!((refused.count(), hooks.iter().filter(|ran| ran.code == Some(0)).count()), (1, hooks.len() - 1), "{hooks:#?}");
        machine.ringfence("remove").ended(0);
        let applies = without_each(&apply);
        assert!(applies.iter().all(|ran| ran.code == Some(0)), "{applies:#?}");
        assert_eq!(applies.iter().filter(|ran| ran.err.contains(&format!("warning: {words}"))).count(), 1, "{applies:#?}");
        machine.guards();
    }

    fn a_file_of_another_cluster_is_refused_with_what_it_would_open(machine) {
        machine.write("west.toml", &west());
        machine.write("west-too.toml", &west().replace("6000-6004", "6000-6003"));
        // The advice for a node that is gone is no answer.
        machine.write("far.toml", &west().replace("riak@10.20.0.1\"", "riak@10.20.0.31\""));
        machine.ringfence("apply old.toml").ended(0);
        let before = machine.table();
        let words = "other-cluster: the cluster file is of the cluster `west`, and what is in force is of `lab`; no longer guarded, \
                     and open to everyone, would be 6005-6009,8098";
        for (file, node) in [("west.toml", "riak@10.20.0.1"), ("far.toml", "riak@10.20.0.31"), ("far.toml", "riak@10.20.0.12")] {
            let allows = "--allow no-node,foreign-address,other-interface";
            for apply in [format!("apply {file}"), format!("apply --node {node} {allows} {file}"), format!("apply --confirm-within 60s {file}")] {
                let ran = machine.ringfence(&apply).ended(1).says("refused: other-cluster: ").says(words);
                let _ = ran.says("`--allow other-cluster` does it").says("nothing was changed");
            }
            for diff in [format!("diff {file}"), format!("diff --node {node} {file}"), format!("apply --dry-run {file}")] {
                machine.ringfence(&diff).says(&format!("warning: apply will refuse: {words}"));
            }
            let ran = machine.ringfence(&format!("diff --json --node {node} {file}"));
            assert!(objections(&ran).contains(&("other-cluster".to_owned(), false)), "{ran:#?}");
            let ran = hook(machine, file);
            let ran = ran.ended(1).says("refused: other-cluster: ").says(words).says("`ringfence apply --allow other-cluster` does it");
            assert_eq!(ran.err.matches("other-cluster: ").count(), 1, "an objection is said once: {ran:#?}");
            assert_eq!(machine.table(), before);
        }
        assert!(machine.proves("old.toml"));
        machine.guards();
        machine.ringfence("apply --allow other-cluster west.toml").ended(0).says("(allowed)").says("west");
        // From then on it is the one in force.
        let ran = hook(machine, "west-too.toml");
        ran.ended(0);
        machine.ringfence("apply old.toml").ended(1).says("other-cluster: ").says("is of `west`; every port that is guarded");
        // Nothing is in force after a removal.
        machine.ringfence("remove").ended(0);
        machine.ringfence("apply old.toml").ended(0);
    }

    fn clusters_that_nobody_gave_a_name_are_told_apart_by_their_nodes(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.write("lab.toml", &another("lab", "\"riak@10.20.0.31\"", FEW_PORTS));
        let ran = machine.ringfence("apply --node riak@10.20.0.31 --allow foreign-address lab.toml").ended(1);
        ran.says("other-cluster: the cluster file and what is in force are both called `lab`, and have no node in common");
        // One that all left but one is the same.
        machine.write("lab.toml", &another("lab", "\"riak@10.20.0.1\"", FEW_PORTS));
        machine.ringfence("apply lab.toml").ended(0);
        assert!(!machine.answers(super::machine::STRANGER, crate::lab::rules::GUARDED));
    }

    fn where_it_is_not_known_whose_rules_are_in_force_a_hook_leaves_them(machine) {
        machine.write("west.toml", &west());
        machine.ringfence("apply old.toml").ended(0);
        let before = machine.table();
        fs::write(machine.path("state/good"), "{").unwrap();
        let ran = hook(machine, "west.toml");
        ran.ended(1).says("other-cluster: it is not known to which cluster the rules in force belong");
        assert_eq!(machine.table(), before);
        run(&["nft", "flush", "ruleset"], "");
        let ran = hook(machine, "west.toml");
        ran.ended(0);
    }

    fn at_the_start_of_the_machine_another_cluster_gives_way_to_what_was_applied(machine) {
        machine.write("west.toml", &west());
        machine.ringfence("apply old.toml").ended(0);
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("apply --boot west.toml").ended(7).says("other-cluster: ").says("falling back to what was applied last");
        assert!(machine.proves("old.toml"));
        machine.guards();
        machine.ringfence("apply --allow other-cluster west.toml").ended(0);
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("apply --boot west.toml").ended(0);
        assert!(machine.proves("west.toml"));
    }
}
