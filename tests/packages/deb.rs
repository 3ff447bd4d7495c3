//! dpkg: install, upgrade, downgrade, remove, purge.

use super::hammer::Hammer;
use super::in_a_root;
use super::lab::netns::run;
use super::root::{CONFIG, larger, small};

/// What is somebody else's.
const FOREIGN: &str = "table inet theirs {\n set ringfence { type ipv4_addr; elements = { 192.0.2.1 } }\n \
                       chain ringfence { type filter hook input priority 7; ip saddr @ringfence drop; }\n}\n";

in_a_root! {
    fn without_a_cluster_file_nothing_is_guarded_and_it_is_said_how(root) {
        let said = root.install().says("there is no /etc/ringfence/cluster.toml").said;
        assert_eq!(said.lines().filter(|line| line.starts_with("ringfence: ")).count(), 2, "{said}");
        assert!(said.contains("ringfence import -o /etc/ringfence/cluster.toml"), "{said}");
        assert_eq!(root.table(), "");
        root.sh("ringfence status").ended(4);
        root.sh("stat -c '%a %U' /etc/ringfence; ls -A /etc/ringfence").fine().says("750 root\n");
        assert_eq!(root.sh("ls -A /etc/ringfence").said, "");
        root.sh("readlink /etc/systemd/system/multi-user.target.wants/ringfence.service").fine();
        root.sh("ls /etc/systemd/system/timers.target.wants/ringfence-drift.timer").ended(2);
        root.sh("ls /etc/systemd/system/multi-user.target.wants/ringfence-watch.service").ended(2);
        root.sh("dpkg -s ringfence").fine().says("Status: install ok installed");
        root.write(CONFIG, &small());
        root.sh("ringfence diff").ended(1);
        root.sh("ringfence apply").fine();
        root.stood(Hammer::start(&root.lab));
        // Without rules in force, too, a package goes without a word that is not true.
        root.sh("ringfence remove && dpkg -P ringfence").fine();
        assert_eq!(root.table(), "");
    }

    fn the_watch_is_on_where_another_firewall_is(root) {
        let wanted = "ls /etc/systemd/system/multi-user.target.wants/ringfence-watch.service";
        let again = "dpkg -i /ringfence.deb";
        root.install();
        root.sh(wanted).ended(2);
        root.sh(&format!("systemctl enable nftables.service && {again} && {wanted}"))
            .fine()
            .says("nftables.service may flush every rule, ours too: ringfence-watch.service is enabled");
        let said = root.install().said;
        assert!(!said.contains("may flush"), "{said}");
        // Whoever disabled or masked it wants it so, over a removal, too.
        root.sh(&format!("systemctl disable ringfence-watch.service && {again} && dpkg -r ringfence && {again}")).fine();
        root.sh(wanted).ended(2);
        root.sh("dpkg -P ringfence && systemctl mask ringfence-watch.service").fine();
        root.install();
        root.sh(wanted).ended(2);
        root.sh("systemctl is-enabled ringfence-watch.service").says("masked");
        root.sh(&format!("systemctl unmask ringfence-watch.service && {again} && {wanted}")).fine();
        root.sh("systemctl disable nftables.service && dpkg -P ringfence && ! find /etc /var -name '*ringfence-*' | grep .").fine();
    }

    fn with_a_cluster_file_the_rules_are_in_force(root) {
        root.write(CONFIG, &small());
        root.install()
            .says("nothing of ringfence is in force on this host")
            .says("loses distribution, epmd, handoff, http, protobuf")
            .says("in force for riak@10.20.0.1 (nft): rules changed")
            .says("proved on what the kernel holds");
        root.stood(Hammer::start(&root.lab));
        root.proves();
        assert_eq!(root.read(CONFIG), small());
        assert!(root.read("/etc/sysctl.d/60-ringfence.conf").contains("4369,6000-6009"));
        // The same again.
        root.install().says("no change: what is in force").says("nothing had to be changed");
    }

    fn a_broken_file_leaves_the_rules_and_the_package_is_configured(root) {
        root.write(CONFIG, &small());
        root.install();
        let (before, hammer) = (root.table(), Hammer::start(&root.lab));
        let newer = root.other_deb("0.2.0");
        root.write(CONFIG, &small().replace("10.20.0.12", "db-two").replace("6000-6009", "6009-6000"));
        root.sh(&format!("dpkg -i {newer}"))
            .fine()
            .says("cluster.toml:4")
            .says("cluster.toml:8")
            .says("what was in force still is")
            .says("the package is installed; what keeps the rules from being");
        root.sh("dpkg -s ringfence").fine().says("Status: install ok installed").says("Version: 0.2.0");
        assert_eq!(root.table(), before);
        root.stood(hammer);
        // The first time, too.
        root.sh("mv /etc/ringfence/cluster.toml / && dpkg -P ringfence && mv /cluster.toml /etc/ringfence/").ended(1);
        root.sh("mkdir -p /etc/ringfence && mv /cluster.toml /etc/ringfence/ && dpkg -i /ringfence.deb").fine().says("NOTHING IS GUARDED");
        root.sh("dpkg -s ringfence").fine().says("Status: install ok installed");
        assert_eq!(root.table(), "");
    }

    fn what_apply_refuses_is_refused_and_said(root) {
        root.write(CONFIG, &small());
        root.install();
        let (before, hammer) = (root.table(), Hammer::start(&root.lab));
        root.write(CONFIG, &small().replace("riak@10.20.0.1\"", "riak@10.20.0.77\""));
        root.sh("dpkg -i /ringfence.deb").fine().says("refused: ").says("nothing was changed");
        root.sh("ringfence hook post-install").ended(1);
        assert_eq!(root.table(), before);
        root.stood(hammer);
    }

    fn from_version_to_version_while_packets_flow(root) {
        root.write(CONFIG, &small());
        root.install();
        let newer = root.other_deb("0.2.0");
        let hammer = Hammer::start(&root.lab);
        // With other rules at the same time.
        root.write(CONFIG, &larger());
        root.sh(&format!("dpkg -i {newer}")).fine().says("rules changed");
        root.proves();
        hammer.some_rounds();
        root.write(CONFIG, &small());
        root.sh("dpkg -i /ringfence.deb").fine().says("downgrading").says("rules changed");
        root.proves();
        hammer.some_rounds();
        root.sh("dpkg -r ringfence").fine().says("the rules stay in force until the package is purged");
        root.sh("dpkg -s ringfence").says("Status: deinstall ok config-files");
        root.sh("readlink /etc/systemd/system/ringfence.service").fine().says("/dev/null");
        hammer.some_rounds();
        root.install().says("nothing had to be changed");
        root.sh("ls /etc/systemd/system/ringfence.service").ended(2);
        root.sh("ls /var/lib/ringfence/purge").ended(2);
        root.proves();
        root.stood(hammer);
    }

    fn purge_takes_what_is_ours_and_leaves_what_is_not(root) {
        run(&["nft", "-f", "-"], FOREIGN);
        root.sh("echo 7000,8098 > /proc/sys/net/ipv4/ip_local_reserved_ports").fine();
        let theirs = run(&["nft", "list", "ruleset"], "");
        root.write(CONFIG, &small());
        root.install();
        root.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").says("4369,6000-6009,7000,8087,8098-8099");
        root.sh("dpkg -r ringfence").fine();
        assert_ne!(root.table(), "");
        root.sh("dpkg -P ringfence").fine();
        nothing_of_ours(root, &theirs);
        root.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").says("7000,8098\n");
        // Without an own step for removing, and from the beginning.
        root.install();
        assert_ne!(root.table(), "");
        root.sh("dpkg -P ringfence").fine();
        nothing_of_ours(root, &theirs);
        assert_eq!(root.read(CONFIG), small());
    }

    fn purge_without_the_program_goes_by_names(root) {
        run(&["nft", "-f", "-"], FOREIGN);
        for tool in ["iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"] {
            root.sh(&format!(
                "{tool} -t raw -A PREROUTING -p tcp --dport 7 -m comment --comment \"not 'RINGFENCE'\" -j DROP && \
                 {tool} -t mangle -N THEIRS && {tool} -t mangle -A INPUT -j THEIRS"
            ))
            .fine();
        }
        root.sh("ipset create theirs hash:ip").fine();
        let state = || root.sh(
            "nft -s list ruleset; ipset save; for t in iptables ip6tables; do for v in legacy nft; do \
             $t-$v-save -t raw; $t-$v-save -t mangle; done; done | grep -v '^[#:]'"
        ).said;
        let theirs = state();
        let many: String = (1..60).map(|host| format!(", \"riak@10.20.0.{}\"", host + 100)).collect();
        root.write(CONFIG, &small().replace(", \"riak@fd20::13\"", &format!(", \"riak@fd20::13\"{many}")));
        root.install();
        root.sh("ringfence apply --backend iptables").fine().says("(iptables)");
        root.sh("nft -f - <<'E'\ntable inet ringfence { chain x { }; }\nE\n").fine();
        root.sh("ipset list -n").says("ringfence-");
        root.sh("dpkg -r ringfence && rm /var/lib/ringfence/purge").fine();
        assert_ne!(state(), theirs);
        root.sh("dpkg -P ringfence").fine();
        assert_eq!(state(), theirs);
        root.sh("ls /var/lib/ringfence").ended(2);
    }

    fn rules_go_with_the_package_where_the_settings_say_so(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write("/etc/default/ringfence", "ON_REMOVE=perhaps\n");
        root.sh("dpkg -r ringfence").fine().says("neither `keep` nor `remove`").says("the rules stay in force");
        assert_ne!(root.table(), "");
        root.install();
        root.write("/etc/default/ringfence", "ON_REMOVE=remove\n");
        root.sh("dpkg -r ringfence").fine().says("the rules go, as /etc/default/ringfence says");
        assert_eq!(root.table(), "");
    }

    fn a_change_that_waits_ends_with_a_purge(root) {
        for (program, before) in [("true", small()), ("rm /var/lib/ringfence/purge", larger())] {
            root.write(CONFIG, &before);
            root.install();
            root.write(CONFIG, &small().replace("6000-6009", "6000-6005"));
            root.sh(&format!(
                "ringfence apply --confirm-within 8s && dpkg -r ringfence && {program} && dpkg -P ringfence && \
                 ! grep -a ringfence-watchdog /proc/net/unix && sleep 9"
            ))
            .fine()
            .says("NOT CONFIRMED");
            assert_eq!(root.table(), "");
            root.sh("ls /run/ringfence").ended(2);
        }
    }

    fn a_removal_that_cannot_take_the_rules_away_leaves_the_program(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write("/etc/default/ringfence", "ON_REMOVE=remove\n");
        root.sh("flock -o /run/ringfence/lock dpkg -r ringfence").fine().says("another ringfence is at work").says("ringfence/purge hook purge");
        assert_ne!(root.table(), "");
        root.sh("/var/lib/ringfence/purge hook purge && ls -A /var/lib/ringfence").fine();
        assert_eq!(root.table(), "");
        // What was never confirmed is something, too.
        root.write("/etc/default/ringfence", "");
        root.sh(
            "mv /etc/ringfence/cluster.toml / && dpkg -i /ringfence.deb && mv /cluster.toml /etc/ringfence/ && \
             ringfence apply --confirm-within 60s && dpkg -r ringfence && ls /var/lib/ringfence/purge && \
             /var/lib/ringfence/purge hook purge"
        )
        .fine();
        assert_eq!(root.table(), "");
    }

    fn a_removal_that_does_not_happen_brings_the_rules_back(root) {
        root.write(CONFIG, &small());
        root.install();
        let before = root.table();
        root.write("/etc/default/ringfence", "ON_REMOVE=remove\n");
        let scripts = "/var/lib/dpkg/info/ringfence";
        root.sh(&format!("{scripts}.prerm remove in-favour other 1 && ! nft list table inet ringfence")).fine();
        root.sh(&format!("{scripts}.postinst abort-remove in-favour other 1")).fine().says("in force for");
        assert_eq!(root.table(), before);
    }

    fn a_purge_runs_and_overwrites_nothing_of_others(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write("/victim", "theirs");
        let left = "/var/lib/ringfence/purge";
        root.sh(&format!("ln -s /victim {left}; ln -s /victim {left}.new; dpkg -r ringfence")).fine().says("cannot keep the program");
        assert_eq!(root.read("/victim"), "theirs");
        root.sh(&format!("rm {left}; printf '#!/bin/sh\ntouch /ran\n' >{left}; chmod 777 {left}; mv /usr/sbin/nft /; dpkg -P ringfence"))
            .fine()
            .says("rules of its own may be left");
        root.sh("ls /ran").ended(2);
        assert_ne!(root.table(), "");
    }
}

#[track_caller]
fn nothing_of_ours(root: &super::root::Root, theirs: &str) {
    assert_eq!(run(&["nft", "list", "ruleset"], ""), theirs);
    for path in ["/var/lib/ringfence", "/run/ringfence", "/etc/sysctl.d/60-ringfence.conf", "/etc/default/ringfence"] {
        assert_eq!(root.sh(&format!("test -e {path}")).code, Some(1), "{path} is left");
    }
    let left = root.sh("find /etc /var /run /usr -name '*ringfence*' | grep -v -e '^/etc/ringfence$'").said;
    assert_eq!(left, "");
    root.sh("dpkg -s ringfence").ended(1);
}
