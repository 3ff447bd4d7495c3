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
             [ $? = 1 ] && ringfence hook check && nft -s list ruleset | cmp - /before && ringfence rollback"
        )
        .fine()
        .says("a change is waiting to be confirmed")
        .says("what was in force before is in force again");
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
}
