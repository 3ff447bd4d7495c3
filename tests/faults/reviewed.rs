//! What reviewers found, and what must not come back.

use std::fs;

use super::machine::{Machine, eventually};
use crate::lab::netns::{attempt, run};
use crate::on_a_machine;

const BOTH: [&str; 2] = ["old.toml", "rules.toml"];

/// Watchdogs of this machine, by their command lines.
fn watchdogs(machine: &Machine) -> usize {
    let state = machine.path("state").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(" watchdog ") && line.contains(&state))
        .count()
}

fn nobody_watches(machine: &Machine) {
    eventually("the watchdog ends", || watchdogs(machine) == 0);
}

on_a_machine! {
    fn what_follows_a_decision_at_once_does_not_hide_it_from_the_watchdog(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for (decision, stays) in [("confirm", "rules.toml"), ("rollback", "old.toml"), ("remove", "rules.toml")] {
            machine.ringfence("apply --confirm-within 2s rules.toml").ended(0);
            machine.ringfence(decision).ended(0);
            machine.ringfence(&format!("apply {stays}")).ended(0);
            nobody_watches(machine);
            assert_eq!(machine.in_force(&BOTH), stays, "{decision}");
            machine.ringfence("apply old.toml").ended(0);
        }
        machine.guards();
    }

    fn a_change_whose_notes_are_gone_is_taken_back_and_no_other_is_made_before(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 3s rules.toml").ended(0);
        fs::remove_dir_all(machine.path("state/run")).unwrap();
        machine.ringfence("apply rules.toml").ended(6).says("waiting");
        nobody_watches(machine);
        assert_eq!(machine.in_force(&BOTH), "old.toml");
        machine.ringfence("apply rules.toml").ended(0);
        machine.guards();
    }

    fn what_is_not_in_force_is_not_confirmed(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("confirm").ended(4).says("not the ones that wait");
        machine.ringfence("rollback").ended(0);
        assert_eq!(machine.in_force(&BOTH), "old.toml");
    }

    fn no_change_that_was_taken_back_is_used_at_boot_however_many_there_were(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for file in ["rules.toml", "members.toml"] {
            machine.ringfence(&format!("apply --confirm-within 60s {file}")).ended(0);
            machine.ringfence("rollback").ended(0);
        }
        for file in ["rules.toml", "members.toml"] {
            machine.ringfence(&format!("apply --boot {file}")).ended(7).says("not confirmed");
            assert!(machine.proves("old.toml"), "{file}");
        }
        // Whoever applies it says that it is good.
        machine.ringfence("apply rules.toml").ended(0);
        machine.ringfence("apply --boot rules.toml").ended(0);
    }

    fn a_first_change_that_nobody_confirmed_closes_no_more_at_boot(machine) {
        let text = fs::read_to_string(machine.path("old.toml")).unwrap();
        machine.write("ssh.toml", &format!("{text}\n[services.ssh]\nstate = \"open\"\npeers = true\nports = \"22\"\n"));
        machine.write("broken.toml", "[cluster");
        machine.ringfence("apply --allow cut-ssh --confirm-within 60s ssh.toml").ended(0);
        // The machine is switched off and on.
        run(&["pkill", "-KILL", "-f", &machine.path("state").display().to_string()], "");
        fs::remove_dir_all(machine.path("state/run")).unwrap();
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("apply --boot broken.toml").ended(7).says("8098-8099");
        let rules = run(&["nft", "list", "table", "inet", "ringfence"], "");
        assert!(rules.contains("8098") && !rules.contains("22,") && !rules.contains("dport 22"), "{rules}");
    }

    fn a_name_that_is_no_node_is_no_good_news(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for command in ["status --full --node nobody@10.0.0.9", "status --node nobody@10.0.0.9"] {
            machine.ringfence(command).ended(2).says("no node");
        }
        // Nor does a look for another node say anything about this one.
        let _ = machine.ringfence("status --node riak@10.20.0.13 old.toml");
        machine.ringfence("status").ended(0).says("riak@10.20.0.1");
    }

    fn the_other_back_end_goes_when_the_new_one_is_proved(machine) {
        machine.ringfence("apply --backend iptables old.toml").ended(0);
        machine.ringfence("apply old.toml").ended(0).says("(iptables)");
        machine.ringfence("apply --backend nft old.toml").ended(0);
        for tool in ["iptables-legacy-save", "iptables-nft-save", "ip6tables-legacy-save", "ip6tables-nft-save"] {
            let saved = attempt(&[tool], "").unwrap_or_default();
            assert!(!saved.contains("RINGFENCE"), "{tool}: {saved}");
        }
        machine.guards();
    }

    fn output_that_nobody_takes_does_not_keep_the_rules_from_being_brought_back(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let state = machine.path("state").display().to_string();
        let root = machine.path("root").display().to_string();
        let file = machine.path("rules.toml").display().to_string();
        let program = env!("CARGO_BIN_EXE_ringfence");
        let script = format!(
            "( {program} apply --confirm-within 1s {file} --state-dir {state} --root {root} | sleep 5 ) >/dev/null 2>&1 &"
        );
        run(&["sh", "-c", &script], "");
        eventually("somebody watches", || watchdogs(machine) > 0);
        nobody_watches(machine);
        assert_eq!(machine.in_force(&BOTH), "old.toml");
    }

    fn a_rule_that_may_choose_a_protected_port_as_a_source_is_named(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let warned = |code: i32| {
            let ran = machine.ringfence("status").ended(code);
            assert_eq!(machine.ringfence("status").ended(code).out.replace('\r', ""), ran.out, "the short look says the same");
            ran.out.contains("masquerades")
        };
        assert!(!warned(0));
        let chain = "type nat hook postrouting priority 100;";
        // As whom this host asks its peers then, and whether they admit that one, is not known.
        for (rule, code) in [("masquerade", 3), ("snat ip to 192.0.2.7", 3), ("dnat ip to 192.0.2.7", 0)] {
            // Destination NAT has no postrouting.
            let chain = if rule.starts_with("dnat") { "type nat hook prerouting priority -100;" } else { chain };
            run(&["nft", "-f", "-"], &format!("table inet foreign {{\n chain nat {{ {chain}\n {rule}\n }}\n}}\n"));
            // The rules have to know that the host translates.
            machine.ringfence("apply old.toml").ended(code);
            assert_eq!(warned(code), !rule.starts_with("dnat"), "{rule}");
            run(&["nft", "delete", "table", "inet", "foreign"], "");
            machine.ringfence("apply old.toml").ended(0);
        }
        run(&["iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"], "");
        assert!(warned(3), "by iptables");
    }
}
