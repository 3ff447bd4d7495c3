//! `ringfence hook`: called by others, at once, and by the units.

use super::hammer::Hammer;
use super::in_a_root;
use super::lab::netns::run;
use super::root::{CONFIG, larger, project, small};

in_a_root! {
    fn many_at_once_are_as_good_as_one(root) {
        root.write(CONFIG, &small());
        root.install();
        let hammer = Hammer::start(&root.lab);
        root.write(CONFIG, &larger());
        let snippet = std::fs::read_to_string(project().join("packaging/hooks/post-install.sh")).unwrap();
        root.write("/hook.sh", &snippet);
        let said = root
            .sh("set -e; . /hook.sh; for n in 1 2 3 4 5 6 7 8; do (ringfence_post_install >/out$n 2>&1; echo \"code $?\" >>/out$n) & done; wait; cat /out*")
            .fine()
            .said;
        assert_eq!(said.matches("code 0\n").count(), 8, "{said}");
        assert_eq!(said.matches(": rules changed").count(), 1, "{said}");
        assert_eq!(said.matches("nothing had to be changed").count(), 7, "{said}");
        root.proves();
        root.stood(hammer);
    }

    fn another_package_goes_on_without_this_one(root) {
        let snippet = std::fs::read_to_string(project().join("packaging/hooks/post-install.sh")).unwrap();
        root.write("/hook.sh", &snippet);
        assert_eq!(root.sh("set -eu; . /hook.sh; ringfence_post_install").fine().said, "");
    }

    fn a_change_that_waits_is_left_alone(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write(CONFIG, &larger());
        // The watchdog is this root's own process, which ends with the script.
        root.sh(
            "ringfence apply --confirm-within 60s && nft -s list ruleset >/before && ringfence hook post-install; \
             [ $? = 6 ] && ringfence hook check && nft -s list ruleset | cmp - /before && ringfence rollback"
        )
        .fine()
        .says("a change is waiting to be confirmed")
        .says("the rules from before the change are in force again");
    }

    fn drift_is_answered_with_what_was_applied(root) {
        root.write(CONFIG, &small());
        root.sh("dpkg -i /ringfence.deb && ringfence hook check").fine();
        let before = root.table();
        let hammer = Hammer::start(&root.lab);
        // What nobody applied stays so.
        root.write(CONFIG, &larger());
        assert_eq!(root.sh("ringfence hook check").fine().said, "");
        assert_eq!(root.table(), before);
        run(&["nft", "-f", "-"], "add element inet ringfence peers4 { 192.0.2.1 }");
        root.sh("ringfence hook check").fine().says("DRIFTED; what was applied last is brought back").says("192.0.2.1");
        assert_eq!(root.table(), before);
        root.sh("echo 4369 > /proc/sys/net/ipv4/ip_local_reserved_ports; ringfence hook check").fine().says("reserved ports were missing: 6000-6009");
        root.sh("ringfence hook check; cat /proc/sys/net/ipv4/ip_local_reserved_ports").fine().says("4369,6000-6009,8087,8098-8099");
        root.stood(hammer);
        run(&["nft", "flush", "ruleset"], "");
        root.sh("ringfence hook check").fine().says("nothing of ringfence was in force");
        assert_eq!(root.table(), before);
        // Nor does it bring in what was taken away.
        root.sh("ringfence remove && ringfence hook check").fine();
        assert_eq!(root.table(), "");
    }

    fn iptables_that_others_use_too_is_no_drift(root) {
        root.write(CONFIG, &small());
        root.sh("iptables -t raw -A PREROUTING -m statistic --mode random --probability 0.5 -j RETURN").fine();
        root.install();
        root.sh("ringfence apply --backend iptables").fine();
        assert_eq!(root.sh("ringfence hook check").fine().said, "");
        root.sh("iptables -t raw -D PREROUTING -j RINGFENCE; ringfence hook check").fine().says("DRIFTED");
        assert_eq!(root.sh("ringfence hook check").fine().said, "");
    }

    fn what_happened_while_a_hook_waited_for_the_lock_counts(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write("/larger.toml", &larger());
        let beside = |hook: &str, meanwhile: &str| {
            root.sh(&format!(
                "flock -o /run/ringfence/lock sh -c '(ringfence hook {hook}; echo code $?) >/out 2>&1 & sleep 1; {meanwhile}' && \
                 until grep -q ^code /out; do sleep 0.1; done; cat /out"
            ))
            .says("code 0")
        };
        beside("post-install", "cp /larger.toml /etc/ringfence/cluster.toml").says("10.20.0.15");
        assert!(root.table().contains("10.20.0.15"));
        beside("check", "nft delete table inet ringfence; rm -r /var/lib/ringfence/good*");
        assert_eq!(root.table(), "");
    }

    fn a_file_that_was_taken_back_is_left_alone(root) {
        root.write(CONFIG, &small());
        root.install();
        root.write(CONFIG, &larger());
        root.sh("ringfence apply --confirm-within 60s && ringfence rollback").fine();
        let before = root.table();
        let rejected = root.read("/var/lib/ringfence/rejected");
        for _ in 0..2 {
            root.sh("ringfence hook post-install").ended(6).says("applied once and not confirmed");
            assert_eq!((root.table(), root.read("/var/lib/ringfence/rejected")), (before.clone(), rejected.clone()));
        }
        root.write("/var/lib/ringfence/rejected", "damaged");
        root.sh("ringfence hook post-install").ended(6).says("is not known");
        assert_eq!(root.table(), before);
        root.write("/var/lib/ringfence/rejected", &rejected);
        // What is in force is no news, and so is that there is no file.
        root.write(CONFIG, &small());
        root.sh("ringfence hook post-install").fine().says("nothing had to be changed");
        root.sh("rm /etc/ringfence/cluster.toml; ringfence hook post-install").fine().says("what was applied last stays in force");
    }

    fn a_flush_is_answered_while_a_change_waits(root) {
        root.install();
        root.write(CONFIG, &small());
        // The first one, and one above another.
        root.sh("ringfence apply --confirm-within 60s && nft flush ruleset && ringfence hook check && ringfence status --full | tee /dev/stderr | grep enforced; ringfence confirm")
            .fine()
            .says("was brought back, and waits on");
        let before = root.table();
        root.write(CONFIG, &larger());
        root.sh("ringfence apply --confirm-within 60s && nft flush ruleset && ringfence hook check; nft list ruleset; ringfence rollback")
            .fine()
            .says("was brought back, and waits on")
            .says("10.20.0.15");
        // In an order of their own.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(&root.table()), sorted(&before));
    }

    fn a_flush_is_answered_where_nothing_that_was_applied_can_be_used(root) {
        root.install();
        root.write(CONFIG, "[cluster");
        root.sh("ringfence apply --boot").ended(7).says("closed for everyone but loopback");
        let closed = root.table();
        root.sh("ringfence hook check").ended(7).says("CLOSED: ");
        assert_eq!(root.table(), closed);
        run(&["nft", "flush", "ruleset"], "");
        root.sh("ringfence hook check").ended(7).says("DRIFTED").says("closed for everyone but loopback");
        assert_eq!(root.table(), closed);
        root.sh("ringfence remove && ringfence hook check").fine();
        assert_eq!(root.table(), "");
        // What is kept is damaged.
        root.write(CONFIG, &small());
        root.sh("ringfence apply && echo x >>/var/lib/ringfence/good").fine();
        let before = root.table();
        root.sh("ringfence hook check").ended(2);
        assert_eq!(root.table(), before);
        run(&["nft", "flush", "ruleset"], "");
        root.sh("ringfence hook check").says("DRIFTED");
        assert_eq!(root.table(), before);
    }

    fn a_file_without_this_host_gives_way_to_what_was_applied_last(root) {
        root.write(CONFIG, &small());
        root.install();
        let before = root.table();
        root.write(CONFIG, &larger().replace("riak@10.20.0.1\"", "riak@10.20.0.77\""));
        root.sh("ringfence apply --boot").ended(7).says("this host is no node of the cluster file");
        assert_eq!(root.table(), before);
    }
}
