//! Addresses that are this host's by another routing table, and ports that are published on them.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use super::before::hook;
use super::machine::{Machine, STAYS, STRANGER, WAY, eventually};
use crate::lab::netns::{ip, run};
use crate::lab::rules::{FREE, GUARDED};
use crate::lab::server::Server;
use crate::on_a_machine;

const FIRST: [u8; 4] = [198, 18, 77, 1];
const LATER: [u8; 4] = [198, 18, 79, 1];

/// 8098 is published as another port, and table 77 makes addresses local.
fn publish() -> Server {
    let rule = format!("tcp dport {GUARDED} redirect to :{FREE}");
    let text = format!("table ip publish {{\nchain pre {{\ntype nat hook prerouting priority -100;\n{rule}\n}}\n}}\n");
    run(&["nft", "-f", "-"], &text);
    ip("rule add pref 5 lookup 77\nroute add local 198.18.77.0/24 dev lo table 77\n");
    Server::start(FREE)
}

fn gets_in(machine: &Machine, from: [u8; 4], to: [u8; 4]) -> bool {
    machine.answers_at(from, SocketAddr::new(IpAddr::from(to), GUARDED))
}

fn every_address_is_guarded(machine: &Machine, backend: &str) {
    let _server = publish();
    assert!(gets_in(machine, STRANGER, FIRST), "the address is not this host's, or nothing is published");
    machine.ringfence(&format!("apply --backend {backend} old.toml")).ended(0).says("proved");
    assert!(!gets_in(machine, STRANGER, FIRST), "a stranger gets in by another table's address");
    assert!(gets_in(machine, STAYS, FIRST), "a peer does not");
    machine.ringfence("status old.toml").ended(0);
    machine.ringfence("diff old.toml").ended(0);
    // What comes later only connection tracking knows, until somebody looks; nobody calls it proved.
    ip("route add local 198.18.79.0/24 dev lo table 77\n");
    assert!(!gets_in(machine, STRANGER, LATER));
    machine.ringfence("status old.toml").ended(1).says("DRIFTED").says("198.18.79.0");
    machine.ringfence("apply old.toml").ended(0).says("proved");
    assert!(!gets_in(machine, STRANGER, LATER));
    machine.ringfence("status old.toml").ended(0);
    // What is no longer this host's is none of the guard's business.
    ip("route del local 198.18.77.0/24 dev lo table 77\n");
    machine.ringfence("status old.toml").ended(1);
    machine.ringfence("apply old.toml").ended(0);
    machine.guards();
}

/// A host takes what comes to its own hardware address, whatever the IP address says, and a redirect makes it its own.
fn no_foreign_address_leads_in(machine: &Machine, backend: &str) {
    const FOREIGN: [u8; 4] = [198, 18, 99, 99];
    let _server = publish();
    assert!(gets_in(machine, STRANGER, FOREIGN), "it cannot be done anyway");
    machine.ringfence(&format!("apply --backend {backend} old.toml")).ended(0).says("proved");
    assert!(!gets_in(machine, STRANGER, FOREIGN), "a stranger gets in by a foreign address\n{}", machine.table());
    assert!(gets_in(machine, STAYS, FOREIGN), "a peer does not\n{}", machine.table());
    machine.guards();
    machine.ringfence("status old.toml").ended(0);
    machine.ringfence("diff old.toml").ended(0);
    // Without a translation nobody asks connection tracking.
    run(&["nft", "delete", "table", "ip", "publish"], "");
    machine.ringfence("apply old.toml").ended(0);
    assert!(!machine.table().contains("ct "), "{}", machine.table());
    // One that comes later is not called proved.
    run(
        &["nft", "-f", "-"],
        "table ip p {\nchain pre {\ntype nat hook prerouting priority -100;\ntcp dport 9 redirect to :10\n}\n}\n",
    );
    machine.ringfence("status old.toml").ended(1);
}

fn a_watch_guards_what_comes(machine: &Machine, backend: &str) {
    let _server = publish();
    machine.ringfence(&format!("apply --backend {backend} old.toml")).ended(0);
    let mut watch = machine.command(env!("CARGO_BIN_EXE_ringfence"), &[], "watch");
    let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the watch runs");
    let is_enforced = || machine.ringfence("status old.toml").code == Some(0);
    ip("route add local 198.18.79.0/24 dev lo table 77\n");
    assert!(!is_enforced(), "nobody calls it so before");
    eventually("the address is guarded", is_enforced);
    ip("route del local 198.18.79.0/24 dev lo table 77\n");
    assert!(!is_enforced(), "what is no more is not to be named");
    eventually("the address is forgotten", is_enforced);
    // Routes of others are none of its business, and neither is what a stop leaves behind.
    ip("route add 192.0.2.0/24 dev eth1\n");
    watch.kill().expect("it is running");
    watch.wait().expect("it ends");
    machine.ringfence("status old.toml").ended(0);
    machine.guards();
}

on_a_machine! {
    fn no_foreign_address_leads_in_by_nft(machine) {
        no_foreign_address_leads_in(machine, "nft");
    }

    fn no_foreign_address_leads_in_by_iptables(machine) {
        no_foreign_address_leads_in(machine, "iptables");
    }

    fn every_address_is_guarded_by_nft(machine) {
        every_address_is_guarded(machine, "nft");
    }

    fn every_address_is_guarded_by_iptables(machine) {
        every_address_is_guarded(machine, "iptables");
    }

    fn a_watch_guards_what_comes_by_nft(machine) {
        a_watch_guards_what_comes(machine, "nft");
    }

    fn a_watch_guards_what_comes_by_iptables(machine) {
        a_watch_guards_what_comes(machine, "iptables");
    }

    fn another_address_towards_peers_is_said(machine) {
        let words = "connections from here to 10.20.0.12 and others come from 198.18.0.1";
        let line = "`addresses = [\"10.20.0.1\", \"198.18.0.1\"]`";
        let silent = |command: &str, code: i32| {
            let ran = machine.ringfence(command).ended(code);
            assert!(!ran.out.contains("other-source") && !ran.err.contains("other-source"), "{ran:#?}");
        };
        ip("route delete 10.0.0.0/8\n");
        machine.ringfence("lint old.toml --from /dev/null").says("error[other-source]").says(words).says(line);
        machine.ringfence("diff old.toml").ended(1).says("apply will refuse: other-source").says(words).says(line);
        machine.ringfence("apply old.toml").ended(1).says("refused: other-source").says(words).says(line);
        machine.ringfence("status old.toml").ended(4);
        machine.ringfence("apply old.toml --allow other-source").ended(0).says(words);
        // Nothing would be written, and apply would refuse it all the same.
        machine.ringfence("diff old.toml").ended(1).says(words);
        // Whether the complete look is taken again or not.
        for status in ["status --full old.toml", "status old.toml"] {
            machine.ringfence(status).ended(1).says("enforced for").says(words).says(line);
        }
        // Neither what keeps the rules in force nor the start of the machine objects.
        silent("hook check", 0);
        silent("apply --boot old.toml", 0);
        // Whoever applied the file knows it; another file is another question.
        hook(machine, "old.toml").ended(0).says(words).says("(allowed)");
        hook(machine, "members.toml").ended(1).says("refused: other-source");
        // Where there is no way yet nobody knows from where.
        ip("route delete default\n");
        silent("status --full old.toml", 0);
        ip(WAY);
        for command in ["status --full old.toml", "status old.toml", "diff old.toml", "apply old.toml"] {
            silent(command, 0);
        }
    }

    fn a_change_is_confirmed_with_the_addresses_of_that_moment(machine) {
        let _server = publish();
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        ip("route add local 198.18.79.0/24 dev lo table 77\n");
        // It is not what is to be confirmed.
        machine.ringfence("confirm").ended(1);
        machine.ringfence("rollback").ended(0);
    }
}
