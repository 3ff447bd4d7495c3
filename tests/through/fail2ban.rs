//! A ban by the real fail2ban, of somebody whom the guard admits and another firewall lets through because of us: it is the stronger one,
//! for as long as it lasts.

use std::fs;

use super::commands::{CONFIG, cluster, load_iptables, load_nftables, ringfence};
use super::stage::{Machine, PEER, alone, shell};

/// A jail for ports of Riak, which bans by this action.
fn start(action: &str) {
    fs::write("/run/some.log", "").unwrap();
    let jail = format!(
        "[DEFAULT]\nbackend = polling\nbantime = 1h\n[riak]\nenabled = true\nfilter = sshd\nport = 8098,8099,4369\n\
         logpath = /run/some.log\nbanaction = {action}\n"
    );
    shell("rm -rf /etc/fail2ban/jail.d; mkdir -p /run/fail2ban");
    fs::write("/etc/fail2ban/jail.local", jail).unwrap();
    fs::write("/etc/fail2ban/fail2ban.local", "[Definition]\ndbfile = None\nlogtarget = /run/fail2ban.log\n").unwrap();
    shell("fail2ban-client start");
}

#[track_caller]
fn assert_peer(machine: &Machine, reaches: bool, when: &str) {
    for from in PEER {
        assert!(machine.reaches(from, 8098) == reaches, "{when}: {from} {reaches}");
    }
}

/// `reload`: what of the firewall's own commands leaves its bans alone. `by`: whom `status` names.
fn story(machine: &Machine, through: &str, action: &str, reload: &str, by: &str) {
    cluster(through, false, "");
    ringfence(&format!("apply {CONFIG} --backend nft")).ended(0);
    assert_peer(machine, true, "before the ban");
    start(action);
    shell(&format!("fail2ban-client set riak banip {} {}", PEER[0], PEER[1]));
    assert_peer(machine, false, "while it is banned");
    ringfence(&format!("status {CONFIG} --full")).ended(1).says("SHADOWED").says(by).says(PEER[0]);
    for command in [reload, "true"] {
        shell(command);
        ringfence("hook check");
        assert_peer(machine, false, "while it is banned, and after what others and we did");
    }
    ringfence(&format!("apply {CONFIG} --backend nft")).ended(1).says("SHADOWED");
    assert_peer(machine, false, "while it is banned, after another apply");
    shell(&format!("fail2ban-client set riak unbanip {} {}", PEER[0], PEER[1]));
    assert_peer(machine, true, "after the ban");
    ringfence(&format!("status {CONFIG} --full")).ended(0).says("enforced");
    ringfence("remove").ended(0);
    shell("fail2ban-client stop");
}

#[test]
fn a_ban_beats_what_is_opened_in_a_table_of_nft() {
    alone("fail2ban::a_ban_beats_what_is_opened_in_a_table_of_nft", |machine| {
        load_nftables();
        story(&machine, "nftables", "nftables-multiport", "true", "fail2ban");
    });
}

#[test]
fn a_ban_beats_what_is_opened_in_iptables() {
    alone("fail2ban::a_ban_beats_what_is_opened_in_iptables", |machine| {
        load_iptables("nft");
        story(&machine, "iptables", "iptables-multiport", "true", "fail2ban");
    });
}

#[test]
fn a_ban_beats_what_is_opened_through_firewalld() {
    alone("fail2ban::a_ban_beats_what_is_opened_through_firewalld", |mut machine| {
        machine.start_firewalld();
        story(&machine, "firewalld", "firewallcmd-rich-rules", "true", "firewalld");
    });
}

#[test]
fn a_ban_beats_what_is_opened_through_ufw() {
    alone("fail2ban::a_ban_beats_what_is_opened_through_ufw", |machine| {
        shell("ufw --force enable; ufw allow 22/tcp");
        story(&machine, "ufw", "ufw", "ufw reload", "ufw");
    });
}
