//! firewalld.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence::host::HostError;
use ringfence::host::through::firewalld::{bring, is_active, is_installed, panics, planned};

use super::stage::{Machine, PEER, alone, assert_same, files, opening, openings, root, shell, tried};

const ETC: &str = "/etc/firewalld";
/// The admin's word about one of the peers, in the zone that the interface is in.
fn deny(zone: &str) {
    let text = fs::read_to_string(format!("/usr/lib/firewalld/zones/{zone}.xml")).unwrap();
    let rules = "<rule family=\"ipv4\"><source address=\"10.77.0.3\"/><reject/></rule>\n\
                 <rule family=\"ipv6\"><source address=\"fd77::3\"/><drop/></rule>\n</zone>";
    fs::write(format!("{ETC}/zones/{zone}.xml"), text.replace("</zone>", rules)).unwrap();
}

#[track_caller]
fn assert_planned_nothing() {
    let planned = planned(root(), &openings()).unwrap();
    assert!(planned.is_empty(), "{planned:?}");
}

/// The whole story with one of its back ends.
fn story(mut machine: Machine, backend: &str) {
    shell(&format!("sed -i 's/^FirewallBackend=.*/FirewallBackend={backend}/' {ETC}/firewalld.conf"));
    assert!(is_installed(root()) && !is_active());
    for zone in ["public", "drop", "work"] {
        deny(zone);
    }
    machine.start_firewalld();
    assert!(is_active());
    let before = files(ETC);
    machine.assert_blocked("before");
    let plan = planned(root(), &openings()).unwrap();
    assert_eq!(
        plan,
        [
            "write /etc/firewalld/ipsets/open-ringfence-peers4.xml",
            "write /etc/firewalld/ipsets/open-ringfence-peers6.xml",
            "write /etc/firewalld/policies/ringfence.xml",
            "firewall-cmd --reload"
        ]
    );
    assert_same(&before, &files(ETC));
    assert!(bring(root(), &openings()).unwrap());
    machine.assert_through("after bring");
    assert_planned_nothing();
    assert!(!bring(root(), &openings()).unwrap(), "nothing is to do");

    shell("firewall-cmd --reload");
    machine.assert_through("after a reload");
    shell("firewall-cmd --complete-reload");
    machine.assert_through("after a complete reload");
    machine.stop_firewalld();
    assert_planned_nothing();
    machine.start_firewalld();
    machine.assert_through("after a restart");
    for zone in ["drop", "work"] {
        shell(&format!("firewall-cmd --zone={zone} --change-interface=eth0"));
        machine.assert_through(zone);
        assert_planned_nothing();
    }
    shell("firewall-cmd --zone=work --remove-interface=eth0");

    // Members change without a reload, which the admin's runtime-only rule would not outlive.
    shell("firewall-cmd --zone=work --add-port=1/tcp");
    let fewer = [opening("peers", &["10.77.0.9", "10.78.0.0/16"], &[(4369, 4369), (8098, 8098)])];
    assert!(bring(root(), &fewer).unwrap());
    assert!(machine.reaches("10.77.0.9", 8098) && !machine.reaches("10.77.0.9", 8099));
    assert!(!machine.reaches(PEER[0], 8098) && !machine.reaches(PEER[1], 8098), "who is a member no more");
    assert!(planned(root(), &fewer).unwrap().is_empty());
    assert!(bring(root(), &openings()).unwrap());
    machine.assert_through("back again");
    assert_eq!(shell("firewall-cmd --zone=work --list-ports").trim(), "1/tcp");

    // The admin goes on working; what is ours goes, and nothing else, be it at runtime only.
    shell("firewall-cmd --permanent --zone=dmz --add-service=ntp");
    let dmz = fs::read(format!("{ETC}/zones/dmz.xml")).unwrap();
    assert!(bring(root(), &[]).unwrap());
    machine.assert_blocked("taken back");
    assert!(planned(root(), &[]).unwrap().is_empty());
    assert_eq!(shell("firewall-cmd --zone=work --list-ports").trim(), "1/tcp");
    assert_eq!(fs::read(format!("{ETC}/zones/dmz.xml")).unwrap(), dmz);
    fs::remove_file(format!("{ETC}/zones/dmz.xml")).unwrap();
    shell("firewall-cmd --reload");
    assert_same(&before, &files(ETC));
    // Where nothing of the admin's speaks against it, nothing at all is left.
    assert!(bring(root(), &openings()).unwrap() && bring(root(), &[]).unwrap());
    assert_same(&before, &files(ETC));
    assert!(
        !shell("nft list ruleset; ipset list -n; firewall-cmd --get-policies; firewall-cmd --get-ipsets")
            .contains("ringfence")
    );
}

#[test]
fn firewalld_with_nftables() {
    alone("firewalld::firewalld_with_nftables", |machine| story(machine, "nftables"));
}

#[test]
fn firewalld_with_iptables() {
    alone("firewalld::firewalld_with_iptables", |machine| story(machine, "iptables"));
}

#[test]
fn what_a_reload_would_lose_is_named_and_nothing_is_written() {
    alone("firewalld::what_a_reload_would_lose_is_named_and_nothing_is_written", |mut machine| {
        machine.start_firewalld();
        let before = files(ETC);
        for (add, what) in [
            ("--zone=public --add-service=http", "zone public: `services http` at runtime only"),
            (
                "--direct --add-rule ipv4 filter INPUT 0 -s 192.0.2.1 -j DROP",
                "direct rules: `ipv4 filter INPUT 0 -s 192.0.2.1 -j DROP` at runtime only",
            ),
            ("--permanent --zone=work --add-port=1/tcp", "zone work: `ports 1/tcp` in its files only"),
        ] {
            let opposite = add.replace("--add-", "--remove-");
            let before = if add.contains("permanent") { None } else { Some(&before) };
            shell(&format!("firewall-cmd {add}"));
            let refused = bring(root(), &openings()).unwrap_err();
            assert!(matches!(&refused, HostError::WouldBeLost(found) if found == &[what]), "{refused}");
            if let Some(before) = before {
                assert_same(before, &files(ETC));
            }
            machine.assert_blocked("refused");
            shell(&format!("firewall-cmd {opposite}"));
        }
        shell("firewall-cmd --zone=public --add-service=http && firewall-cmd --runtime-to-permanent");
        assert!(bring(root(), &openings()).unwrap());
        assert!(machine.reaches(PEER[0], 8098));
    });
}

#[test]
fn panic_a_flush_and_a_stop_are_said_and_left() {
    alone("firewalld::panic_a_flush_and_a_stop_are_said_and_left", |mut machine| {
        assert!(bring(root(), &openings()).unwrap(), "it does not run: the files");
        machine.start_firewalld();
        assert!(machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 4369));
        shell("firewall-cmd --panic-on");
        assert!(panics(root()).unwrap());
        let fewer = [opening("peers", &[PEER[0]], &[(8098, 8098)])];
        let plan = planned(root(), &fewer).unwrap();
        assert!(plan.iter().any(|line| line.contains("--panic-off")), "{plan:?}");
        assert!(bring(root(), &fewer).unwrap() && bring(root(), &openings()).unwrap());
        assert_eq!(shell("firewall-cmd --query-panic").trim(), "yes");
        machine.assert_blocked("in panic");
        shell("firewall-cmd --panic-off");
        assert!(machine.reaches(PEER[0], 8098));

        // A reload would close everything now.
        shell("nft flush ruleset");
        let plan = planned(root(), &fewer).unwrap();
        assert!(plan.iter().any(|line| line.contains("systemctl restart firewalld")), "{plan:?}");
        assert!(bring(root(), &fewer).unwrap() && !bring(root(), &fewer).unwrap());
        assert!(planned(root(), &fewer).unwrap().is_empty());
        assert!(machine.reaches(PEER[0], 8098), "nobody blocks");
    });
}

#[test]
fn what_firewalld_objects_to_is_taken_back() {
    alone("firewalld::what_firewalld_objects_to_is_taken_back", |mut machine| {
        machine.start_firewalld();
        fs::write(format!("{ETC}/zones/broken.xml"), "<zone><service nam").unwrap();
        let before = files(ETC);
        let error = bring(root(), &openings()).unwrap_err().to_string();
        assert!(error.contains("firewall-cmd") && error.contains("INVALID_ZONE"), "{error}");
        assert_same(&before, &files(ETC));
        fs::remove_file(format!("{ETC}/zones/broken.xml")).unwrap();
        fs::write(format!("{ETC}/policies/ringfence.xml"), "<policy/>").unwrap();
        let error = bring(root(), &openings()).unwrap_err();
        assert!(matches!(&error, HostError::NotOurs(path) if path.ends_with("policies/ringfence.xml")), "{error}");
    });
}

/// Sources that are bound to a zone of drop or block stay out, in whatever form; an interface that is bound to it does not keep
/// peers out.
fn bans(mut machine: Machine, backend: &str) {
    shell(&format!("sed -i 's/^FirewallBackend=.*/FirewallBackend={backend}/' {ETC}/firewalld.conf"));
    machine.start_firewalld();
    shell(
        "firewall-cmd --permanent --new-ipset=ban --type=hash:net; firewall-cmd --permanent --ipset=ban --add-entry=10.77.0.3; \
         firewall-cmd --permanent --zone=drop --add-source=ipset:ban; firewall-cmd --permanent --zone=block --add-source=fd77::3; \
         firewall-cmd --permanent --zone=internal --add-source=10.77.0.0/24; firewall-cmd --set-default-zone=drop; firewall-cmd --reload",
    );
    assert!(bring(root(), &openings()).unwrap());
    machine.assert_through("with bans");
    assert_planned_nothing();
    // A ban that comes later, and is lifted.
    shell("firewall-cmd --zone=drop --add-source=10.77.0.2");
    assert!(!planned(root(), &openings()).unwrap().is_empty() && bring(root(), &openings()).unwrap());
    assert!(!machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 8098), "banned later");
    shell("firewall-cmd --zone=drop --remove-source=10.77.0.2");
    assert!(bring(root(), &openings()).unwrap());
    machine.assert_through("the ban is lifted");
    // Of whom only the hardware is known cannot be left out.
    shell("firewall-cmd --zone=drop --add-source=00:11:22:33:44:55");
    let error = bring(root(), &openings()).unwrap_err();
    assert!(matches!(&error, HostError::BannedOtherwise(zone) if zone.contains("drop")), "{error}");
    assert!(bring(root(), &[]).unwrap(), "it can always go");
    machine.assert_blocked("taken back");
}

#[test]
fn banned_sources_stay_out_with_nftables() {
    alone("firewalld::banned_sources_stay_out_with_nftables", |machine| bans(machine, "nftables"));
}

#[test]
fn banned_sources_stay_out_with_iptables() {
    alone("firewalld::banned_sources_stay_out_with_iptables", |machine| bans(machine, "iptables"));
}

/// A policy of the admin's with the last priority that there is, too, and a name behind ours.
#[test]
fn a_policy_behind_ours_is_not_passed() {
    alone("firewalld::a_policy_behind_ours_is_not_passed", |mut machine| {
        machine.start_firewalld();
        let policy = "firewall-cmd --permanent --policy=zz-ban";
        shell(&format!(
            "firewall-cmd --permanent --new-policy=zz-ban; {policy} --set-priority=32767; {policy} --add-ingress-zone=ANY; \
             {policy} --add-egress-zone=HOST; {policy} --add-rich-rule='rule family=ipv4 source address=10.77.0.3 drop'; firewall-cmd --reload"
        ));
        let error = bring(root(), &openings()).unwrap_err();
        assert!(
            matches!(&error, HostError::Behind(found) if found.len() == 1 && found[0].contains("zz-ban")),
            "{error}"
        );
        machine.assert_blocked("refused");
        assert!(planned(root(), &openings()).unwrap().iter().any(|line| line.contains("zz-ban")));
        shell(&format!("{policy} --set-priority=32766; firewall-cmd --reload"));
        assert!(bring(root(), &openings()).unwrap());
        assert!(machine.reaches(PEER[0], 8098) && !machine.reaches("10.77.0.3", 8098));
        assert_planned_nothing();
    });
}

/// Where firewalld works by iptables, a reload flushes what others have there.
#[test]
fn rules_of_iptables_that_a_reload_would_flush_are_named() {
    alone("firewalld::rules_of_iptables_that_a_reload_would_flush_are_named", |mut machine| {
        let direct = "firewall-cmd --permanent --direct";
        for backend in ["nftables", "iptables"] {
            shell(&format!("sed -i 's/^FirewallBackend=.*/FirewallBackend={backend}/' {ETC}/firewalld.conf"));
            machine.start_firewalld();
            shell(&format!(
                "{direct} --add-rule ipv4 filter INPUT 0 -s 192.0.2.7 -j DROP; {direct} --add-passthrough ipv4 -I INPUT -s 192.0.2.8 -j DROP; firewall-cmd --reload"
            ));
            shell(
                "iptables -N f2b; iptables -A f2b -s 10.77.0.9 -j DROP; iptables -I INPUT -p tcp -j f2b; iptables -I INPUT -s 192.0.2.1 -j DROP",
            );
            let rules = shell("iptables -S");
            let error = bring(root(), &openings()).unwrap_err();
            assert!(
                matches!(&error, HostError::WouldBeLost(lost) if lost.iter().any(|one| one.contains("f2b")) && lost.iter().any(|one| one.contains("192.0.2.1"))),
                "{backend}: {error}"
            );
            assert_eq!(shell("iptables -S"), rules, "{backend}");
            shell(
                "iptables -D INPUT -p tcp -j f2b; iptables -D INPUT -s 192.0.2.1 -j DROP; iptables -F f2b; iptables -X f2b",
            );
            assert!(bring(root(), &openings()).unwrap(), "{backend}");
            assert!(machine.reaches(PEER[0], 8098) && bring(root(), &[]).unwrap(), "{backend}");
            machine.stop_firewalld();
        }
    });
}

#[test]
fn what_the_admin_names_in_a_zone_of_his_stays_until_he_does_not() {
    alone("firewalld::what_the_admin_names_in_a_zone_of_his_stays_until_he_does_not", |mut machine| {
        machine.start_firewalld();
        assert!(bring(root(), &openings()).unwrap());
        shell(
            "firewall-cmd --permanent --zone=trusted --add-source=ipset:open-ringfence-peers4 && firewall-cmd --reload",
        );
        let before = files(ETC);
        let error = bring(root(), &[]).unwrap_err().to_string();
        assert!(error.contains("zones/trusted.xml names the ipset"), "{error}");
        assert_same(&before, &files(ETC));
        assert_eq!(shell("firewall-cmd --state").trim(), "running");
        assert!(machine.reaches(PEER[0], 8098));
        shell(
            "firewall-cmd --permanent --zone=trusted --remove-source=ipset:open-ringfence-peers4 && firewall-cmd --reload",
        );
        // A file of the admin's that is broken is no reason to stay.
        fs::write(format!("{ETC}/zones/broken.xml"), "<zone><service nam").unwrap();
        assert!(bring(root(), &[]).unwrap());
        assert_eq!(shell("firewall-cmd --state").trim(), "running");
        machine.assert_blocked("taken back");
        assert!(!files(ETC).keys().any(|path| path.to_string_lossy().contains("ringfence")));
    });
}

/// Anybody may call a process of his so.
#[test]
fn a_process_of_that_name_is_no_firewalld() {
    alone("firewalld::a_process_of_that_name_is_no_firewalld", |_machine| {
        let mut fake = Command::new("bash")
            .args(["-c", "exec -a firewalld setpriv --reuid 65534 --regid 65534 --clear-groups sleep 100"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(!is_active());
        fake.kill().unwrap();
        fake.wait().unwrap();
    });
}

/// Whatever is left half-done, or done by others to what is ours, is put right.
#[test]
fn from_any_state_to_the_wanted_one() {
    alone("firewalld::from_any_state_to_the_wanted_one", |mut machine| {
        deny("public");
        machine.start_firewalld();
        let before = files(ETC);
        assert!(bring(root(), &openings()).unwrap());
        let set = "--ipset=open-ringfence-peers4";
        for broken in [
            format!("rm {ETC}/policies/ringfence.xml"),
            format!("rm {ETC}/policies/ringfence.xml; firewall-cmd --reload"),
            format!("rm {ETC}/ipsets/open-*4.xml"),
            format!(
                "rm {ETC}/ipsets/open-*4.xml; mv {ETC}/policies/ringfence.xml {ETC}/policies/.ringfence.xml.new; firewall-cmd --reload"
            ),
            format!(
                "cp {ETC}/ipsets/open-ringfence-peers4.xml {ETC}/ipsets/open-ringfence-old4.xml; firewall-cmd --reload"
            ),
            format!(
                "firewall-cmd {set} --add-entry=10.77.0.9 --remove-entry=10.77.0.2 || firewall-cmd {set} --add-entry=10.77.0.9"
            ),
            format!("firewall-cmd --permanent {set} --add-entry=10.77.0.9; firewall-cmd --reload"),
            "firewall-cmd --policy=ringfence --add-port=8098/tcp".to_owned(),
            "firewall-cmd --permanent --policy=ringfence --set-priority=-1; firewall-cmd --reload".to_owned(),
            "nft flush set inet firewalld open-ringfence-peers4".to_owned(),
            "nft flush chain inet firewalld filter_IN_policy_ringfence_allow".to_owned(),
            format!(
                "sed -i s/FlushAllOnReload=yes/FlushAllOnReload=no/ {ETC}/firewalld.conf; firewall-cmd --reload; sed -i /77.0.3/d {ETC}/ipsets/open-*4.xml"
            ),
        ] {
            shell(&broken);
            assert!(!planned(root(), &openings()).unwrap().is_empty(), "{broken}");
            assert!(bring(root(), &openings()).unwrap(), "{broken}");
            machine.assert_through(&broken);
            assert_planned_nothing();
        }
        assert!(bring(root(), &[opening("peers", &["10.77.0.0/24"], &[(8098, 8099)])]).unwrap());
        assert!(bring(root(), &openings()).unwrap(), "a part of a network that was let through");
        machine.assert_through("narrower");
        shell(&format!("sed -i s/FlushAllOnReload=no/FlushAllOnReload=yes/ {ETC}/firewalld.conf"));
        assert!(bring(root(), &[]).unwrap());
        fs::remove_file(format!("{ETC}/firewalld.conf.old")).ok();
        assert_same(&before, &files(ETC));
        assert!(tried("firewall-cmd --info-policy=ringfence").is_err());
    });
}

/// Set in a process that is to be killed.
const VICTIM: &str = "RINGFENCE_THROUGH_VICTIM";

#[test]
fn killed_at_any_moment() {
    alone("firewalld::killed_at_any_moment", |mut machine| {
        deny("public");
        machine.start_firewalld();
        let before = files(ETC);
        for (what, moments) in [("all", 5), ("none", 2)] {
            for moment in 0..moments {
                let done = killed(what, Duration::from_millis(20 + moment * 200));
                if what == "all" {
                    bring(root(), &openings()).unwrap();
                    machine.assert_through(&format!("killed at moment {moment}, done: {done}"));
                    assert_planned_nothing();
                }
                bring(root(), &[]).unwrap();
                machine.assert_blocked("taken back");
                assert_same(&before, &files(ETC));
                if what == "none" {
                    bring(root(), &openings()).unwrap();
                }
            }
        }
    });
}

/// Lets another process do it, and kills it after a while. Says whether it was done before.
fn killed(what: &str, after: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["firewalld::as_another_process", "--exact", "--nocapture"])
        .env(VICTIM, what)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().signal().is_none()
}

/// What [`killed`] runs.
#[test]
fn as_another_process() {
    if let Ok(what) = std::env::var(VICTIM) {
        let _ = bring(root(), if what == "all" { openings() } else { Vec::new() }.as_slice());
    }
}

#[test]
fn ten_thousand_sources() {
    alone("firewalld::ten_thousand_sources", |mut machine| {
        machine.start_firewalld();
        let addresses: Vec<String> = (0..10_000).map(|n| format!("10.9.{}.{}", n / 100, n % 100 * 2 + 1)).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let many = [opening("peers", &addresses, &[(8098, 8098)])];
        fs::write("/run/list", addresses.join("\n") + "\n").unwrap();
        shell("firewall-cmd --permanent --new-ipset=own --type=hash:net && firewall-cmd --reload");
        let start = Instant::now();
        shell("firewall-cmd --ipset=own --add-entries-from-file=/run/list");
        let own = start.elapsed();
        shell("firewall-cmd --runtime-to-permanent");
        let start = Instant::now();
        shell("firewall-cmd --reload");
        let reload = start.elapsed();
        shell("firewall-cmd --permanent --delete-ipset=own && firewall-cmd --reload");
        let timed = |what: &str, work: &dyn Fn() -> bool| {
            let start = Instant::now();
            assert!(work(), "{what}");
            let took = start.elapsed();
            eprintln!("{what}: {took:?}");
            took
        };
        let first = timed("first, with a reload", &|| bring(root(), &many).unwrap());
        timed("nothing to do", &|| planned(root(), &many).unwrap().is_empty());
        let one = [opening("peers", &[PEER[0]], &[(8098, 8098)])];
        timed("all but one leave", &|| bring(root(), &one).unwrap());
        let again = timed("all come", &|| bring(root(), &many).unwrap());
        eprintln!("its own --add-entries-from-file: {own:?}; then a reload: {reload:?}");
        eprintln!(
            "of these: {:.2} with a reload, {:.2} without",
            first.div_duration_f64(own + reload),
            again.div_duration_f64(own)
        );
    });
}
