//! ufw.

use std::fs;
use std::path::Path;

use ringfence::host::HostError;
use ringfence::host::store::{Place, Store};
use ringfence::host::through::ufw::{self, is_active, is_installed, written};
use ringfence::ir::{Leg, Opening};

use super::stage::{DENIED, PEER, alone, assert_same, files, opening, openings, root, shell};

const ETC: &str = "/etc/ufw";
const DENY: &str = "ufw deny from 10.77.0.3; ufw reject from fd77::3";

fn store() -> Store {
    Store::new(Some("/run/state".into()))
}

fn planned(root: &Path, openings: &[Opening]) -> Result<Vec<String>, HostError> {
    ufw::planned(root, openings, &store())
}

fn bring(root: &Path, openings: &[Opening]) -> Result<bool, HostError> {
    ufw::bring(root, openings, &store())
}

#[track_caller]
fn assert_planned_nothing() {
    let planned = planned(root(), &openings()).unwrap();
    assert!(planned.is_empty(), "{planned:?}");
}

#[test]
fn ufw_lets_peers_through() {
    alone("ufw::ufw_lets_peers_through", |machine| {
        assert!(is_installed(root()) && !is_active());
        shell(&format!("ufw --force enable; ufw allow 22/tcp; {DENY}"));
        assert!(is_active());
        let before = files(ETC);
        machine.assert_blocked("before");
        let plan = planned(root(), &openings()).unwrap();
        assert_eq!(
            plan[0],
            "ufw allow proto tcp from 10.77.0.2/31 to any port 4369,8098:8099 comment 'ringfence: peers'"
        );
        assert_eq!(plan, written(&openings()).unwrap());
        assert_same(&before, &files(ETC));
        assert!(bring(root(), &openings()).unwrap());
        machine.assert_through("after bring");
        assert_planned_nothing();
        assert!(!bring(root(), &openings()).unwrap(), "nothing is to do");
        for what in [
            "ufw reload",
            "ufw disable; ufw --force enable",
            "/lib/ufw/ufw-init restart",
            "/lib/ufw/ufw-init force-reload",
        ] {
            shell(what);
            machine.assert_through(what);
            assert_planned_nothing();
        }
        // Another word of the admin, given later, and taken back.
        shell("ufw deny from 10.77.0.2");
        assert!(!planned(root(), &openings()).unwrap().is_empty());
        assert!(bring(root(), &openings()).unwrap());
        assert!(!machine.reaches(PEER[0], 8098), "denied later");
        assert_planned_nothing();
        shell("ufw delete deny from 10.77.0.2; ufw allow 80/tcp");
        machine.assert_through("no longer denied");
        assert!(bring(root(), &[]).unwrap());
        machine.assert_blocked("taken back");
        assert!(planned(root(), &[]).unwrap().is_empty() && !bring(root(), &[]).unwrap());
        assert!(shell("ufw status").contains("80/tcp"), "what the admin did meanwhile stays");
        shell("ufw delete allow 80/tcp");
        assert_same(&before, &files(ETC));
        assert!(!shell("iptables -S; ip6tables -S; ufw status").contains("8098"));
    });
}

#[test]
fn what_the_admin_has_or_makes_his_own_is_his() {
    alone("ufw::what_the_admin_has_or_makes_his_own_is_his", |machine| {
        shell(
            "ufw --force enable; ufw allow proto tcp from 10.77.0.2/31 to any port 4369,8098:8099; ufw limit proto tcp from fd77::2/127 to any port 4369,8098:8099",
        );
        let before = files(ETC);
        assert!(planned(root(), &openings()).unwrap().is_empty() && !bring(root(), &openings()).unwrap());
        assert_same(&before, &files(ETC));
        assert!(machine.reaches(PEER[0], 8098));
        let web = [opening("web", &["10.77.0.9"], &[(8098, 8098)])];
        assert!(bring(root(), &web).unwrap() && machine.reaches("10.77.0.9", 8098));
        // Given again without our remark, it is the admin's own.
        shell("ufw allow proto tcp from 10.77.0.9 to any port 8098");
        assert!(!bring(root(), &[]).unwrap());
        assert!(machine.reaches("10.77.0.9", 8098));
        shell("ufw delete allow proto tcp from 10.77.0.9 to any port 8098");
        assert_same(&before, &files(ETC));
    });
}

#[test]
fn from_any_state_to_the_wanted_one() {
    alone("ufw::from_any_state_to_the_wanted_one", |machine| {
        // Not enabled: the rules are there when it is.
        assert!(bring(root(), &openings()).unwrap() && !bring(root(), &openings()).unwrap());
        shell(&format!("ufw --force enable; {DENY}"));
        for broken in [
            "true",
            "ufw --force delete allow proto tcp from 10.77.0.2/31 to any port 4369,8098:8099",
            "iptables -F ufw-user-input",
            "ip6tables -D ufw6-user-input -p tcp -m multiport --dports 4369,8098:8099 -s fd77::2/127 -j ACCEPT",
            "ufw allow proto tcp from 10.77.0.9 to any port 8098 comment 'ringfence: gone'",
            "ufw --force reset; ufw --force enable; ufw deny from 10.77.0.3; ufw reject from fd77::3",
        ] {
            shell(broken);
            assert!(bring(root(), &openings()).unwrap(), "{broken}");
            machine.assert_through(broken);
            assert_planned_nothing();
        }
        // Flushed: nobody blocks, and ufw cannot change what is not there.
        shell("iptables -F; iptables -X; iptables -P INPUT ACCEPT");
        assert!(!is_active());
        assert_planned_nothing();
        let error = bring(root(), &[]).unwrap_err().to_string();
        assert!(error.contains("ufw reload"), "{error}");
        shell("ufw reload");
        assert!(bring(root(), &[]).unwrap());
        machine.assert_blocked("taken back");
    });
}

/// Bans that programs and people put into ufw's chains at runtime stay, and so do the openings that are there.
#[test]
fn what_is_in_the_kernel_only_is_not_lost() {
    alone("ufw::what_is_in_the_kernel_only_is_not_lost", |machine| {
        shell(&format!(
            "ufw --force enable; ufw limit 22/tcp; ufw allow 80; ufw allow 5000:5010/udp; ufw route deny 25; {DENY}"
        ));
        assert!(bring(root(), &openings()).unwrap());
        let ban = |address: &str| shell(&format!("iptables -I ufw-user-input -s {address} -j DROP"));
        ban(PEER[0]);
        shell(
            "iptables -I ufw-before-input -s 10.77.0.9 -p tcp --syn -j DROP; iptables -A ufw-user-input -p tcp --dport 22 -s 192.0.2.1 -j ACCEPT",
        );
        let rules = shell("iptables -S");
        assert_planned_nothing();
        assert!(
            !bring(root(), &openings()).unwrap() && !machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 8098)
        );
        assert_eq!(shell("iptables -S"), rules);
        // What makes ufw load its rules again is refused until nothing would be lost.
        let before = files(ETC);
        let error = bring(root(), &[]).unwrap_err();
        assert!(matches!(&error, HostError::LostByUfw(lost) if lost.len() == 2), "{error}");
        assert!(error.to_string().contains("10.77.0.2"), "{error}");
        assert_same(&before, &files(ETC));
        assert_eq!(shell("iptables -S"), rules);
        // To add one loses nothing.
        let mut more = openings();
        more.push(opening("web", &["10.77.0.9"], &[(8098, 8098)]));
        assert!(bring(root(), &more).unwrap());
        let stays: Vec<String> = shell("iptables -S").lines().map(str::to_owned).collect();
        assert!(rules.lines().all(|rule| stays.iter().any(|own| own == rule)), "{stays:?}");
        shell(
            "iptables -D ufw-user-input -s 10.77.0.2 -j DROP; iptables -D ufw-user-input -p tcp --dport 22 -s 192.0.2.1 -j ACCEPT",
        );
        // Of ours one is missing: brought back, with what stands before ufw's users' rules as it is.
        shell("iptables -D ufw-user-input -p tcp -m multiport --dports 4369,8098:8099 -s 10.77.0.2/31 -j ACCEPT");
        assert!(
            !machine.reaches(PEER[0], 8098) && bring(root(), &openings()).unwrap() && machine.reaches(PEER[0], 8098)
        );
        assert!(!machine.reaches(DENIED[0], 8098));
        assert!(shell("iptables -S ufw-before-input").contains("10.77.0.9"));
        assert!(bring(root(), &[]).unwrap() && shell("iptables -S ufw-before-input").contains("10.77.0.9"));
    });
}

/// ufw was killed between its file and the kernel.
#[test]
fn what_a_run_that_did_not_end_left_in_the_kernel_goes() {
    alone("ufw::what_a_run_that_did_not_end_left_in_the_kernel_goes", |machine| {
        shell("ufw --force enable; ufw allow 22/tcp");
        assert!(bring(root(), &[opening("web", &["10.77.0.9"], &[(8098, 8098)])]).unwrap());
        shell("sed -i '/10.77.0.9/d' /etc/ufw/user.rules");
        store().write(Place::State, "ufw-changing", b"").unwrap();
        assert_eq!(planned(root(), &[]).unwrap(), ["ufw reload"]);
        shell("iptables -I ufw-before-input -s 10.77.0.3 -j DROP");
        let error = bring(root(), &[]).unwrap_err();
        assert!(
            matches!(&error, HostError::LostByUfw(lost) if lost[0].contains("ufw-before-input has 1 more")),
            "{error}"
        );
        shell("iptables -D ufw-before-input -s 10.77.0.3 -j DROP");
        assert!(
            machine.reaches("10.77.0.9", 8098) && bring(root(), &[]).unwrap() && !machine.reaches("10.77.0.9", 8098)
        );
        assert!(planned(root(), &[]).unwrap().is_empty() && !bring(root(), &[]).unwrap());
    });
}

#[test]
fn interfaces_output_and_limits() {
    alone("ufw::interfaces_output_and_limits", |machine| {
        shell("ufw --force enable; ufw default deny outgoing");
        let on = |name: &str| Some(vec![name.parse().unwrap()]);
        let peers = &openings()[0];
        let other = [Opening { interfaces: on("eth9"), ..peers.clone() }];
        let own = [Opening { interfaces: on("eth0"), ..peers.clone() }];
        assert!(bring(root(), &other).unwrap() && !machine.reaches(PEER[0], 8098));
        assert!(bring(root(), &own).unwrap() && machine.reaches(PEER[0], 8098));
        assert!(planned(root(), &own).unwrap().is_empty());
        let asks =
            || fs::read_to_string(format!("{ETC}/user.rules")).unwrap().contains("10.77.0.2/31 any 0.0.0.0/0 out");
        assert!(!asks());
        let out = [Opening { leg: Leg::Out, ..peers.clone() }];
        assert!(bring(root(), &out).unwrap() && asks() && planned(root(), &out).unwrap().is_empty());
        shell("ufw default allow outgoing");
        assert!(bring(root(), &out).unwrap() && !asks());

        let many: Vec<String> = (0..100).map(|n| format!("10.78.0.{}", n * 2)).collect();
        let many = [opening("web", &many.iter().map(String::as_str).collect::<Vec<_>>(), &[(8098, 8098)])];
        assert!(matches!(bring(root(), &many), Err(HostError::TooManySources { count: 100, .. })));
        shell("sed -i s/IPV6=yes/IPV6=no/ /etc/default/ufw; ufw reload");
        let error = bring(root(), &openings()).unwrap_err().to_string();
        assert!(error.contains("IPV6=yes"), "{error}");
        assert!(bring(root(), &openings()[..1]).unwrap() && machine.reaches(PEER[0], 8098));
    });
}
