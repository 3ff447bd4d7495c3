//! What is not there, or not what its name says: told before anything is changed.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;

use super::machine::{Machine, PROGRAM, Ran, STAYS, STRANGER, WAY, cluster, eventually};
use crate::lab::backend::Backend;
use crate::lab::netns::{Namespace, attempt, ip, not_possible, run};
use crate::lab::rules::GUARDED;
use crate::lab::{HOST4, HOST6, mac_text};
use crate::on_a_machine;

/// Runs the program with these scripts before the real tools.
fn with_scripts(machine: &Machine, scripts: &[(&str, &str)], arguments: &str) -> Ran {
    let folder = machine.path("scripts");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, script) in scripts {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    machine.command(PROGRAM, &[], arguments).env("PATH", path).output().unwrap().into()
}

fn reserved() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap()
}

/// How many bytes the transaction of an apply has, and the how many-th message to the kernel it is.
fn transaction(machine: &Machine, arguments: &str) -> (usize, usize) {
    machine.strace(&["-e", "trace=sendto"], arguments).ended(0);
    let log = machine.strace_log();
    let at = log.lines().position(|line| line.contains("NFNL_MSG_BATCH_BEGIN")).unwrap_or_else(|| panic!("{log}"));
    let bytes = log.lines().nth(at).and_then(|line| line.rsplit("= ").next()?.trim().parse().ok());
    (at + 1, bytes.unwrap_or_else(|| panic!("{log}")))
}

/// Gives a device another name while it is up, which older kernels do not.
fn rename(from: &str, to: &str) -> bool {
    let renamed = attempt(&["ip", "link", "set", from, "name", to], "");
    renamed.map_err(|error| not_possible("another name for a device that is up", &error)).is_ok()
}

/// The programs that show tables of iptables-legacy, and those of both kinds.
const OF_LEGACY: &str = "iptables-legacy-save ip6tables-legacy-save";
const OF_BOTH: &str = "iptables-legacy-save ip6tables-legacy-save iptables-nft-save ip6tables-nft-save";

/// Runs the program where others are not installed: each is an empty file that nobody can run.
fn without(machine: &Machine, programs: &str, arguments: &str) -> Ran {
    let hide = format!(
        "for one in {programs}; do at=$(command -v $one) && mount --bind /dev/null \"$(readlink -f \"$at\")\"; done; exec \"$@\""
    );
    let before = ["-m", "sh", "-c", &hide, "sh", PROGRAM].map(str::to_owned);
    if arguments.starts_with("verify") {
        // It has no state.
        let mut words = machine.words(arguments);
        words.truncate(words.len() - 2);
        return std::process::Command::new("unshare").args(&before).args(words).output().unwrap().into();
    }
    machine.command("unshare", &before, arguments).output().unwrap().into()
}

on_a_machine! {
    /// Tables of iptables-legacy that no tool shows may let strangers in, shut peers out, or have rules of ours.
    fn rules_of_iptables_legacy_that_no_tool_shows_leave_all_undecided(machine) {
        if !Backend::IptablesLegacy.is_here("iptables") {
            return;
        }
        for rule in ["INPUT -p tcp --dport 9098 -j DROP", "PREROUTING -t nat -p tcp --dport 9098 -j REDIRECT --to-ports 8098",
            "PREROUTING -t raw -p tcp --dport 9098 -j DROP"]
        {
            run(&["sh", "-c", &format!("XTABLES_LOCKFILE=/proc/self/ns/net iptables-legacy -A {rule}")], "");
            let why = "that no installed tool shows: install the package `iptables`";
            for tools in [OF_LEGACY, OF_BOTH] {
                let run = |arguments: &str| without(machine, tools, arguments);
                run("apply --confirm-within 60s rules.toml").ended(3).says("UNDECIDED: ").says(why);
                run("confirm").ended(3).says("UNDECIDED all the same: ").says(why);
                run("apply old.toml").ended(3).says("UNDECIDED: ").says(why);
                let seen = run("status --full").ended(3).says("UNDECIDED for ").says(why);
                assert!(!seen.out.contains("enforced"), "{seen:#?}");
                run("status").ended(3).says("UNDECIDED for ").says(why);
                run("status --json").ended(3).says("\"state\": \"undecided\"");
                run("verify --live --node riak@10.20.0.1 old.toml").ended(3).says(why);
                run("hook check").ended(3).says("UNDECIDED, and there is nothing to bring back: ").says(why);
                machine.guards();
            }
            machine.ringfence("remove").ended(0);
            run(&["sh", "-c", &format!("XTABLES_LOCKFILE=/proc/self/ns/net iptables-legacy -D {rule}")], "");
        }
    }

    /// Ours may be among them, and are then not said to be gone.
    fn own_rules_that_no_tool_shows_any_more_are_not_said_to_be_gone(machine) {
        if !Backend::IptablesLegacy.is_here("iptables") {
            return;
        }
        let path = super::beside::path_with_tools(machine, "legacy");
        let applied = machine.command(PROGRAM, &[], "apply --backend iptables old.toml").env("PATH", path).output().unwrap();
        Ran::from(applied).ended(0);
        assert!(Backend::IptablesLegacy.jumps() > 0);
        let why = "that no installed tool shows";
        // What is recorded was there, and nobody can look.
        without(machine, OF_BOTH, "status").ended(2).says("not installed");
        let removed = without(machine, OF_BOTH, "remove").ended(3);
        removed.says("rules of ringfence that an earlier apply brought there may still be in force: run `ringfence remove` again").says(why);
        without(machine, OF_BOTH, "status old.toml").ended(3).says("UNDECIDED: ").says("rules of ringfence may be in force there").says(why);
        machine.guards();
        without(machine, OF_BOTH, "apply old.toml").ended(3).says(why);
        machine.ringfence("remove").ended(0);
        assert!(machine.answers(STRANGER, GUARDED));
    }

    /// Kernels before 6.10 acknowledge no transaction, so silence may mean anything: what it means is looked at.
    fn a_transaction_that_nobody_answered_is_not_taken_for_done(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let (number, bytes) = transaction(machine, "apply members.toml");
        machine.ringfence("apply old.toml").ended(0);
        let before = machine.table();
        let swallow = format!("inject=sendto:retval={bytes}:when={number}");
        let ran = machine.strace(&["-e", "trace=sendto", "-e", &swallow], "apply members.toml");
        ran.ended(2).says("the kernel neither made the change nor said why").says("nothing was changed");
        assert_eq!(machine.table(), before);
        machine.guards();
    }

    fn tools_that_are_too_old_are_named_before_anything_is_changed(machine) {
        let (ports, script) = (reserved(), "echo 'iptables v1.6.1'");
        let old = [("iptables-restore", script), ("ip6tables-restore", script)];
        let ran = with_scripts(machine, &old, "apply --backend iptables old.toml").ended(2);
        ran.says("iptables is too old: it is iptables v1.6.1, and 1.8 is the oldest");
        assert_eq!(reserved(), ports);
        machine.ringfence("status --backend iptables old.toml").ended(4);
        // With a time to confirm nothing is left waiting.
        with_scripts(machine, &old, "apply --backend iptables --confirm-within 60s old.toml").ended(2).says("too old");
        assert!(!machine.waits());
    }

    fn tables_that_the_kernel_lacks_are_named_with_their_module(machine) {
        let script = "case $1 in --version) echo 'iptables v1.8.9 (legacy)' ;; *) \
            echo \"iptables-restore: can't initialize iptables table 'raw': Table does not exist\" >&2; exit 3 ;; esac";
        let legacy = [("iptables-restore", script), ("ip6tables-restore", script)];
        let ran = with_scripts(machine, &legacy, "apply --backend iptables old.toml").ended(2);
        ran.says("this kernel has no table `raw` for iptables-legacy: its module is iptable_raw");
        machine.ringfence("status --backend iptables old.toml").ended(4);
    }

    /// Tools that fail, as in a half-done upgrade, are no reason to leave the ports open at the start of the machine.
    fn at_boot_another_way_is_taken_where_one_fails(machine) {
        machine.ringfence("apply --backend iptables old.toml").ended(0);
        for table in ["ip raw", "ip mangle", "ip6 raw", "ip6 mangle"] {
            run(&["sh", "-c", &format!("nft delete table {table} 2>/dev/null || true")], "");
        }
        assert!(machine.answers(STRANGER, GUARDED));
        let script = "echo 'error while loading shared libraries: libxtables.so.12' >&2; exit 127";
        let names = ["iptables", "ip6tables", "iptables-restore", "ip6tables-restore", "iptables-save", "ip6tables-save"];
        let broken = names.map(|name| (name, script));
        let ran = with_scripts(machine, &broken, "apply --boot old.toml");
        assert!(matches!(ran.code, Some(0 | 3 | 7)), "{ran:#?}");
        assert!(!machine.answers(STRANGER, GUARDED), "{ran:#?}");
        assert!(machine.answers(STAYS, GUARDED), "{ran:#?}");
    }

    fn a_device_with_the_name_of_loopback_is_no_loopback(machine) {
        machine.ringfence("apply old.toml").ended(0);
        if !rename("lo", "loop7") || !rename("eth1", "lo") {
            return;
        }
        // nf_tables has the interface's number.
        machine.guards();
        let proved = "proved on what the kernel holds: isolation";
        // Of the rules of others it is not known what they do then.
        let undecided = "lo is not the name of the loopback interface here";
        machine.ringfence("status").ended(3).says(proved).says(undecided);
        machine.ringfence("apply rules.toml").ended(3).says(proved);
        machine.guards();
        machine.ringfence("apply old.toml").ended(3);
        if !Backend::IptablesNft.is_here("iptables") {
            return;
        }
        // iptables has the name.
        let refused = machine.ringfence("apply --backend iptables old.toml").ended(2);
        refused.says("`lo` is not the name of the loopback interface").says("nothing was changed");
        machine.guards();
        assert!(rename("lo", "eth1") && rename("loop7", "lo"));
        machine.ringfence("apply --backend iptables old.toml").ended(0);
        machine.guards();
        machine.ringfence("status").ended(0).says("(iptables)");
        assert!(rename("lo", "loop7") && rename("eth1", "lo"));
        assert!(machine.answers(STRANGER, GUARDED), "the rules do not go by the name: nothing has to be said");
        let seen = machine.ringfence("status");
        assert!(seen.code != Some(0) && !seen.out.contains("isolation        proved"), "{seen:#?}");
        assert!(rename("lo", "eth1") && rename("loop7", "lo"));
        machine.ringfence("status").ended(0);
    }

    /// `iptables-nft-save` leaves out looks into sets of nf_tables: a block for one address looks like one for everybody.
    fn what_iptables_does_not_show_is_not_taken_for_proved(machine) {
        if !Backend::IptablesNft.is_here("iptables") {
            return;
        }
        machine.ringfence("apply --backend iptables old.toml").ended(0).says("proved on what the kernel holds: isolation");
        machine.ringfence("status --full").ended(0);
        let chain = "RINGFENCE-ADMIT";
        for table in ["raw", "mangle"] {
            let rules = run(&["iptables-nft", "-t", table, "-S", chain], "").lines().count() - 1;
            run(&["iptables-nft", "-t", table, "-D", chain, &rules.to_string()], "");
            run(&["nft", "add", "set", "ip", table, "some", "{ type ipv4_addr; elements = { 192.0.2.1 }; }"], "");
            let rule = ["nft", "add", "rule", "ip", table, chain, "ip saddr @some counter goto RINGFENCE-BLOCK"];
            run(&rule, "");
        }
        let shown = run(&["iptables-nft-save", "-t", "mangle"], "");
        assert!(shown.contains("-A RINGFENCE-ADMIT -g RINGFENCE-BLOCK"), "this tool shows it, or in another way: {shown}");
        assert!(machine.answers(STRANGER, GUARDED), "the rules do not do what they are to do here");
        let seen = machine.ringfence("status --full");
        assert!(seen.code != Some(0) && seen.out.contains("isolation"), "{seen:#?}");
        assert!(!seen.out.contains("isolation        proved"), "{seen:#?}");
        machine.ringfence("apply old.toml").ended(0);
        machine.guards();
        machine.ringfence("status --full").ended(0);
    }

    /// Interfaces of the cluster file go by their names, whatever device has them.
    fn an_interface_that_went_away_and_came_back_is_the_same(machine) {
        let on = cluster(&["10.20.0.14"], super::machine::FEW_PORTS) + "[guard]\ninterfaces = [\"eth1\"]\n";
        machine.write("on.toml", &on);
        machine.ringfence("apply on.toml").ended(0);
        machine.guards();
        let index = || nix::net::if_::if_nametoindex("eth1").unwrap();
        let before = index();
        // Another namespace, in which its number is taken.
        let aside = Namespace::unshare_aside();
        aside.enter(|| (0..9).for_each(|n| ip(&format!("link add d{n} type veth peer name p{n}\n"))));
        let here = fs::File::open("/proc/thread-self/ns/net").unwrap();
        let home = format!("/proc/{}/fd/{}", std::process::id(), here.as_raw_fd());
        run(&["ip", "link", "set", "eth1", "netns", &aside.path()], "");
        aside.enter(|| run(&["ip", "link", "set", "eth1", "netns", &home], ""));
        assert_ne!(index(), before);
        let gateway = mac_text(machine.lab.cable("eth1").here);
        ip(&format!(
            "link set eth1 up\n\
             addr add {HOST4}/32 dev eth1\n\
             addr add 10.20.0.1/32 dev eth1\n\
             addr add {HOST6}/128 dev eth1 nodad\n\
             neigh replace 198.18.0.254 lladdr {gateway} dev eth1 nud permanent\n\
             neigh replace fe80::fe lladdr {gateway} dev eth1 nud permanent\n\
             route replace default via 198.18.0.254 dev eth1 onlink\n\
             route replace ::/0 via fe80::fe dev eth1\n{WAY}"
        ));
        // Both ends notice a little later that the cable is in again.
        eventually("the cable carries", || machine.answers(STAYS, GUARDED) && machine.answers_six("fd20::13"));
        machine.guards();
        assert!(machine.proves("on.toml"));
        // One that has another name now is another interface.
        if rename("eth1", "eth7") {
            assert!(!machine.answers(STAYS, GUARDED) && !machine.answers(STRANGER, GUARDED));
            assert!(rename("eth7", "eth1"));
            machine.guards();
        }
    }
}
