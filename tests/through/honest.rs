//! What is not so is not said to be: panic mode, bans that come and go, what could not be taken back or taken away.

use std::fs;
use std::time::{Duration, Instant};

use super::commands::{CONFIG, STATE, cluster, ringfence};
use super::stage::{PEER, alone, files, shell, tried};

fn first_line(said: &str) -> &str {
    said.lines().find(|line| !line.starts_with("note: ") && !line.starts_with("warning: ")).unwrap_or_default()
}

/// Whoever wants nothing to get through at all is the stronger one, in every table.
#[test]
fn panic_mode_is_left_alone_and_said_first() {
    alone("honest::panic_mode_is_left_alone_and_said_first", |mut machine| {
        for backend in ["nftables", "iptables"] {
            shell(&format!("sed -i 's/^FirewallBackend=.*/FirewallBackend={backend}/' /etc/firewalld/firewalld.conf"));
            machine.start_firewalld();
            cluster("auto", false, "");
            // Of what firewalld does by iptables not all is understood.
            let ran = ringfence(&format!("apply {CONFIG} --allow not-through"));
            assert!(PEER.iter().all(|from| machine.reaches(from, 8098)), "{backend}: {}", ran.said);
            shell("firewall-cmd --panic-on");
            let rules =
                || shell("nft --stateless list ruleset; iptables -S; iptables -t raw -S; iptables -t mangle -S");
            let stopped = rules();
            for arguments in ["hook check", &format!("apply {CONFIG} --allow not-through"), "hook check"] {
                let ran = ringfence(arguments).ended(1).says("firewalld is in panic mode");
                assert!(!ran.said.contains("brought up to date") && !ran.said.contains("--ipset"), "{}", ran.said);
                assert_eq!(rules(), stopped, "{backend}: {arguments}");
                assert!(PEER.iter().all(|to| !machine.calls(to)), "{backend}: {arguments}");
            }
            let ran = ringfence(&format!("status {CONFIG}")).ended(1);
            assert!(first_line(&ran.said).contains("panic mode"), "{}", ran.said);
            assert!(
                !ran.said.contains("open-through = ") && !ran.said.contains("is not what the file wants"),
                "{}",
                ran.said
            );
            shell("firewall-cmd --panic-off");
            ringfence("hook check");
            machine.assert_through_peers("panic mode is over");
            ringfence("remove").ended(0);
            machine.stop_firewalld();
            shell("nft flush ruleset");
        }
    });
}

/// As people write it: a final reject, and before it a ban whose members come and go by themselves.
const WITH_BANS: &str = "table inet site {
	set banned { type ipv4_addr; flags timeout; }
	chain input {
		type filter hook input priority 5; policy accept;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iif lo accept
		meta l4proto { icmp, ipv6-icmp } accept
		ip saddr @banned drop
		counter reject with icmpx admin-prohibited
	}
}
";

#[test]
fn who_may_be_banned_is_not_enforced() {
    alone("honest::who_may_be_banned_is_not_enforced", |machine| {
        fs::write("/run/site.nft", WITH_BANS).unwrap();
        shell("nft -f /run/site.nft");
        cluster("auto", false, "");
        let ran = ringfence(&format!("apply {CONFIG} --allow not-through"));
        assert!(machine.reaches(PEER[0], 8098), "{}", ran.said);
        shell(&format!("nft add element inet site banned '{{ {} timeout 1h }}'", PEER[0]));
        assert!(!machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 8098));
        for arguments in [format!("status {CONFIG}"), format!("status {CONFIG} --full")] {
            let ran = ringfence(&arguments);
            let first = first_line(&ran.said);
            assert!(first.starts_with("UNDECIDED") || first.starts_with("SHADOWED"), "{}", ran.said);
            let code = if first.starts_with("UNDECIDED") { 3 } else { 1 };
            ran.ended(code);
        }
    });
}

#[test]
fn what_could_not_be_taken_back_is_no_success() {
    alone("honest::what_could_not_be_taken_back_is_no_success", |machine| {
        shell("ufw allow 22/tcp; ufw --force enable");
        cluster("none", false, "");
        ringfence(&format!("apply {CONFIG}")).ended(1);
        cluster("auto", false, "");
        let status = format!("status {CONFIG}");
        let ran = ringfence(&status).ended(6);
        assert!(first_line(&ran.said).starts_with("NOT APPLIED"), "{}", ran.said);
        ringfence(&format!("apply {CONFIG} --confirm-within 2s")).ended(0);
        shell("iptables -I ufw-user-input -s 192.0.2.1 -j DROP");
        let end = Instant::now() + Duration::from_secs(30);
        while !ringfence(&status).said.contains("should have been taken back") {
            assert!(Instant::now() < end, "{}", ringfence(&status).said);
            std::thread::sleep(Duration::from_millis(200));
        }
        for _ in 0..2 {
            let ran = ringfence(&status).ended(1).says("what nobody confirmed is in force in part");
            assert!(first_line(&ran.said).starts_with("DRIFTED"), "{}", ran.said);
            let ran = ringfence("hook check").ended(1).says("could not be brought up to date").says("192.0.2.1");
            assert!(!ran.said.contains("through was brought up to date"), "{}", ran.said);
            assert!(machine.reaches(PEER[0], 8098));
        }
        shell("iptables -D ufw-user-input -s 192.0.2.1 -j DROP");
        ringfence("hook check").says("through was brought up to date");
        assert!(!machine.reaches(PEER[0], 8098) && !shell("ufw status").contains("8098"));
        ringfence(&status).ended(6).says("a change was taken back at");
        ringfence("remove").ended(0);
    });
}

/// What firewalld has at runtime only must not get lost: what is ours goes with its next reload then, or by another `remove`.
#[test]
fn what_stays_of_it_is_said_and_goes_the_second_time() {
    alone("honest::what_stays_of_it_is_said_and_goes_the_second_time", |mut machine| {
        machine.start_firewalld();
        cluster("auto", false, "");
        let before = files("/etc/firewalld");
        ringfence(&format!("apply {CONFIG}")).ended(0);
        shell("firewall-cmd --add-port=9999/tcp");
        ringfence("remove").ended(0).says("the policy `ringfence`").says("open-ringfence-peers4").says("next reload");
        machine.assert_blocked("removed");
        assert_eq!(shell("firewall-cmd --list-ports").trim(), "9999/tcp");
        // What our own words about a reload recommend writes it back.
        shell("firewall-cmd --runtime-to-permanent");
        assert!(files("/etc/firewalld").keys().any(|path| path.ends_with("policies/ringfence.xml")));
        let ran = ringfence("remove").ended(0).says("removed: what other firewalls let through for it");
        assert!(!ran.said.contains("next reload"), "{}", ran.said);
        let left = shell("firewall-cmd --get-policies; firewall-cmd --get-ipsets; nft list ruleset");
        assert!(!left.contains("ringfence"), "{left}");
        assert!(!files("/etc/firewalld").keys().any(|path| path.to_string_lossy().contains("ringfence")));
        assert_eq!(shell("firewall-cmd --list-ports").trim(), "9999/tcp");
        assert!(before.keys().all(|path| files("/etc/firewalld").contains_key(path)));
        ringfence("remove").ended(0).says("there was nothing to remove");
    });
}

/// Says after each command of ufw's how many rules let the peer in.
const WATCHED: &str = "#!/bin/sh
/usr/sbin/ufw \"$@\"
code=$?
case \" $* \" in
*' allow '*) iptables -S ufw-user-input | grep -c -e '-s 10.77.0.2/32 .*8098.*-j ACCEPT' >>/run/counts ;;
esac
exit $code
";

#[test]
fn what_is_moved_behind_a_rule_of_the_admins_is_never_away() {
    alone("honest::what_is_moved_behind_a_rule_of_the_admins_is_never_away", |machine| {
        shell("ufw --force enable");
        cluster("ufw", false, "");
        ringfence(&format!("apply {CONFIG}")).ended(0);
        let rules = shell("cat /etc/ufw/user.rules | grep tuple; iptables -S ufw-user-input");
        shell("ufw deny 25/tcp; ufw allow 443/tcp; ufw reject from 192.0.2.0/24");
        ringfence(&format!("status {CONFIG}")).ended(0).says("enforced");
        let ran = ringfence("hook check").ended(0);
        assert!(ran.said.trim().is_empty(), "{}", ran.said);
        shell("ufw delete deny 25/tcp; ufw delete allow 443/tcp; ufw delete reject from 192.0.2.0/24");
        assert_eq!(shell("cat /etc/ufw/user.rules | grep tuple; iptables -S ufw-user-input"), rules);

        shell("ufw deny proto tcp from 10.77.0.0/24 to any port 8099");
        let reason = "`ufw deny in proto tcp from 10.77.0.0/24 to any port 8099` stands behind what is let through";
        ringfence(&format!("status {CONFIG}")).ended(1).says(reason);
        fs::create_dir_all("/run/bin").unwrap();
        fs::write("/run/bin/ufw", WATCHED).unwrap();
        shell("chmod +x /run/bin/ufw");
        let bin = env!("CARGO_BIN_EXE_ringfence");
        let said = tried(&format!("PATH=/run/bin:$PATH {bin} hook check --state-dir {STATE} 2>&1 || true")).unwrap();
        let counts = fs::read_to_string("/run/counts").unwrap();
        assert!(counts.lines().count() >= 4 && counts.lines().all(|count| count != "0"), "{counts}\n{said}");
        assert!(!machine.reaches(PEER[0], 8099) && machine.reaches(PEER[0], 8098), "{said}");
        assert!(!shell("ufw status; cat /etc/ufw/user.rules").contains("65535"));
        ringfence("hook check");
        ringfence("remove").ended(0);
        assert!(!shell("ufw status").contains("8098 "));
    });
}

#[test]
fn whoever_takes_more_than_one_is_told_so() {
    alone("honest::whoever_takes_more_than_one_is_told_so", |machine| {
        fs::write("/run/site.nft", WITH_BANS.replace("\t\tip saddr @banned drop\n", "")).unwrap();
        shell("ufw --force enable; nft -f /run/site.nft");
        cluster("ufw", false, "");
        ringfence(&format!("apply {CONFIG}")).ended(1).says("SHADOWED").says("`open-through = \"auto\"` under [guard]");
        cluster("auto", false, "");
        ringfence(&format!("apply {CONFIG}")).ended(0);
        assert!(machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 8098));
    });
}
