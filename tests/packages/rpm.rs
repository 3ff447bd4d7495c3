//! rpm, with the binary that needs no library and goes through `nft -f`.

use super::hammer::Hammer;
use super::in_a_root;
use super::lab::netns::run;
use super::root::{CONFIG, larger, small};

/// The root's packages are dpkg's, so rpm knows none of them.
const INSTALL: &str = "rpm -i --nodeps /ringfence.rpm";
const AGAIN: &str = "rpm -U --nodeps --replacepkgs --oldpackage /ringfence.rpm";

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

in_a_root! {
    fn without_a_cluster_file(root) {
        root.sh(INSTALL).fine().says("there is no /etc/ringfence/cluster.toml");
        assert_eq!(root.table(), "");
        root.sh("stat -c '%a %U' /etc/ringfence").says("750 root");
        root.sh("readlink /etc/systemd/system/multi-user.target.wants/ringfence.service").fine();
        root.sh("rpm -V --nodeps ringfence").fine();
        root.sh("rpm -e ringfence && ls /etc/systemd/system/multi-user.target.wants/ringfence.service").ended(2);
    }

    fn the_watch_is_on_where_another_firewall_is(root) {
        let wanted = "ls /etc/systemd/system/multi-user.target.wants/ringfence-watch.service";
        root.sh(INSTALL).fine();
        root.sh(wanted).ended(2);
        root.sh(&format!("systemctl enable nftables.service && {AGAIN} && {wanted}"))
            .fine()
            .says("nftables.service may flush every rule, ours too: ringfence-watch.service is enabled");
        let again = root.sh(AGAIN).fine();
        assert!(!again.said.contains("may flush"), "{}", again.said);
        // Whoever disabled or masked it wants it so.
        root.sh(&format!("systemctl disable ringfence-watch.service && {AGAIN}")).fine();
        root.sh(wanted).ended(2);
        root.sh("rpm -e ringfence && ! ls /var/lib/ringfence/watch-enabled && systemctl mask ringfence-watch.service").fine();
        root.sh(INSTALL).fine();
        root.sh(wanted).ended(2);
        root.sh("systemctl is-enabled ringfence-watch.service").says("masked");
    }

    fn from_install_to_erase_while_packets_flow(root) {
        root.write(CONFIG, &small());
        root.sh(INSTALL)
            .fine()
            .says("in force for riak@10.20.0.1 (nft): rules changed")
            .says("loaded with `nft -f`")
            .says("proved on what the kernel holds");
        let hammer = Hammer::start(&root.lab);
        let before = root.table();
        // Nothing is loaded that is there: the handle of the table stays.
        let handle = || run(&["nft", "-a", "list", "table", "inet", "ringfence"], "").lines().next().unwrap().to_owned();
        let first = handle();
        root.sh(AGAIN).fine().says("no change: what is in force").says("nothing had to be changed");
        assert_eq!((root.table(), handle()), (before.clone(), first));
        root.write(CONFIG, "[cluster");
        root.sh(AGAIN).fine().says("cluster.toml:1").says("the package is installed; what keeps the rules from being");
        root.write(CONFIG, &small());
        root.sh("rpm -e ringfence").fine().says("the rules stay in force").says("/var/lib/ringfence/purge hook purge");
        assert_eq!(root.table(), before);
        assert_eq!(root.read(CONFIG), small());
        root.stood(hammer);
        root.sh("/var/lib/ringfence/purge hook purge && ls -A /var/lib/ringfence").fine();
        assert_eq!(root.table(), "");
    }

    fn the_static_binary_changes_takes_back_and_finds_drift(root) {
        root.write(CONFIG, &small());
        root.sh(INSTALL).fine();
        let before = root.table();
        root.write(CONFIG, &larger());
        root.sh("ringfence diff").ended(1).says("10.20.0.15");
        root.sh("ringfence apply --confirm-within 60s && ringfence rollback").fine().says("rules changed").says("taken back");
        // In an order of their own.
        assert_eq!(sorted(&root.table()), sorted(&before));
        root.sh("ringfence apply --confirm-within 60s && ringfence confirm").fine();
        root.proves();
        run(&["nft", "-f", "-"], "add element inet ringfence peers4 { 192.0.2.1 }");
        root.sh("ringfence status").ended(1);
        root.sh("ringfence hook check").fine().says("DRIFTED");
        root.proves();
        root.sh("ringfence apply --backend iptables").fine().says("in force for riak@10.20.0.1 (iptables)");
        assert_eq!(root.table(), "");
        root.stood(Hammer::start(&root.lab));
        root.sh("ringfence remove && mv /usr/sbin/nft / && ringfence apply --backend nft")
            .ended(2)
            .says("nft is not installed: install the package `nftables`; nothing was changed");
        // The other way is there.
        root.sh("ringfence apply").fine().says("(iptables)");
        root.sh("ringfence remove && mv /nft /usr/sbin/ && ringfence apply && nft flush ruleset && mv /usr/sbin/nft / && ringfence apply --boot")
            .fine()
            .says("nft cannot be written here; going on with iptables")
            .says("(iptables)");
    }
}
