//! Changes that wait to be confirmed, and everybody who could have done that and does not.

use std::fs;
use std::fs::File;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

use super::machine::{Machine, PROGRAM, Ran, eventually};
use crate::lab::netns::{attempt, run};
use crate::on_a_machine;

const BOTH: [&str; 2] = ["old.toml", "rules.toml"];

/// The watchdogs of this machine.
fn watchdogs(machine: &Machine) -> Vec<Pid> {
    let state = machine.path("state").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|process: &i32| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&&b"watchdog"[..]) && words.contains(&state.as_bytes())
        })
        .map(Pid::from_raw)
        .collect()
}

fn the_watchdog(machine: &Machine) -> Pid {
    let found = watchdogs(machine);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// A terminal: its own end, and the one for a session.
#[allow(unsafe_code)]
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut own, mut session) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both places are ours, and nothing else is asked for.
    let made = unsafe { libc::openpty(&mut own, &mut session, null, null.cast(), null.cast()) };
    assert_eq!(made, 0, "a pseudoterminal");
    // SAFETY: both were just opened, and nobody else has them.
    unsafe { (OwnedFd::from_raw_fd(own), OwnedFd::from_raw_fd(session)) }
}

/// Starts a shell as a login does: the leader of a session that has a terminal.
#[allow(unsafe_code)]
fn login(machine: &Machine, script: &str, arguments: &str) -> (OwnedFd, std::process::Child) {
    let (own, session) = terminal();
    let handle = || Stdio::from(session.try_clone().unwrap());
    let before = ["-c".to_owned(), script.to_owned(), "sh".to_owned(), PROGRAM.to_owned()];
    let mut command = machine.command("sh", &before, arguments);
    command.stdin(handle()).stdout(handle()).stderr(handle());
    // SAFETY: only calls that are safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            if libc::ioctl(0, libc::TIOCSCTTY, 0) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let child = command.spawn().unwrap();
    (own, child)
}

/// Those of a session that run. One that has ended, and whom whoever is process 1 here has not asked about yet, does not.
fn in_session(session: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_it = processes.map(Pid::from_raw).filter(|process| getsid(Some(*process)) == Ok(session));
    of_it.filter(|process| runs(*process)).collect()
}

/// Whether a process has not ended: its name, in parentheses, may hold anything, and its state follows.
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, after)| !after.trim_start().starts_with(['Z', 'X']))
}

on_a_machine! {
    fn a_change_that_waits_is_replaced_only_where_that_is_asked_for(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        machine.ringfence("apply rules.toml").ended(6).says("--replace-waiting");
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "members.toml");
        machine.ringfence("apply --replace-waiting rules.toml").ended(0).says("was taken back");
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "rules.toml");
        eventually("its watchdog has ended", || watchdogs(machine).is_empty());
        machine.ringfence("rollback").ended(4);
        // The one in its place may wait itself, and what it is taken back to is what was confirmed.
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        machine.ringfence("apply --replace-waiting --confirm-within 60s old.toml").ended(0).says("was taken back");
        machine.ringfence("rollback").ended(0);
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "rules.toml");
        // What is refused replaces nothing; where nothing waits there is nothing to take back.
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        let elsewhere = "[cluster]\nname = \"another\"\nnodes = [\"riak@10.20.0.77\"]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n\
            [services.distribution]\nports = \"6000-6009\"\n";
        machine.write("elsewhere.toml", elsewhere);
        assert_ne!(machine.ringfence("apply --replace-waiting elsewhere.toml").code, Some(0));
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "members.toml");
        machine.ringfence("confirm").ended(0);
        machine.ringfence("apply --replace-waiting old.toml").ended(0);
        machine.guards();
    }

    fn what_nobody_confirms_is_taken_back(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for to in ["members.toml", "rules.toml"] {
            machine.ringfence(&format!("apply --confirm-within 1s {to}")).ended(0).says("NOT CONFIRMED");
            machine.until_nothing_waits();
            assert_eq!(machine.in_force(&["old.toml", to]), "old.toml");
            machine.ringfence("status").ended(0).says("taken back at");
            machine.ringfence("confirm").ended(4).says("no change is waiting").says("was taken back at");
            machine.ringfence("rollback").ended(4).says("no change is waiting");
            eventually("the watchdog ends", || watchdogs(machine).is_empty());
            machine.ringfence("apply old.toml").ended(0).says("nothing had to be changed");
        }
    }

    fn what_is_confirmed_stays(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 2s rules.toml").ended(0);
        machine.ringfence("status").ended(0).says("NOT CONFIRMED");
        machine.ringfence("confirm").ended(0).says("confirmed for riak@10.20.0.1");
        machine.ringfence("confirm").ended(4).says("no change is waiting");
        // The watchdog ends when it sees that; nothing comes after it.
        eventually("the watchdog ends", || watchdogs(machine).is_empty());
        assert_eq!(machine.in_force(&BOTH), "rules.toml");
        machine.ringfence("status").ended(0).says("rules.toml");
        machine.guards();
    }

    fn what_is_rolled_back_is_back_at_once(machine) {
        machine.ringfence("apply old.toml").ended(0);
        // Sets that stay the same are not made anew, so that their order changes.
        let lines = || {
            let mut lines: Vec<String> = machine.table().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let before = lines();
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        machine.ringfence("rollback").ended(0).says("taken back");
        assert_eq!(lines(), before);
        machine.ringfence("rollback").ended(4);
        eventually("the watchdog ends", || watchdogs(machine).is_empty());
    }

    fn where_nothing_was_in_force_nothing_is_in_force_again(machine) {
        let ports = "/proc/sys/net/ipv4/ip_local_reserved_ports";
        // In this thread's namespace, as the program's is.
        let reserved = || fs::read_to_string(ports).unwrap().trim().to_owned();
        assert_eq!(reserved(), "");
        for (time, rollback) in [("1s", false), ("60s", true)] {
            machine.ringfence(&format!("apply --confirm-within {time} old.toml")).ended(0);
            assert!(reserved().contains("8098"));
            if rollback {
                machine.ringfence("rollback").ended(0);
            }
            machine.until_nothing_waits();
            machine.ringfence("status old.toml").ended(4).says("ABSENT");
            attempt(&["nft", "list", "table", "inet", "ringfence"], "").unwrap_err();
            assert_eq!(reserved(), "");
            assert!(!machine.path("root/etc/sysctl.d/60-ringfence.conf").exists());
        }
    }

    fn while_a_change_waits_no_other_is_made(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        let before = machine.table();
        for other in ["apply rules.toml", "apply members.toml", "apply --confirm-within 60s rules.toml"] {
            machine.ringfence(other).ended(6).says("waiting to be confirmed").says("nothing was changed");
            assert_eq!(machine.table(), before);
        }
        machine.ringfence("apply --dry-run rules.toml").ended(6).says("waiting");
        machine.ringfence("confirm").ended(0);
        assert!(machine.proves("members.toml"));
        machine.ringfence("apply rules.toml").ended(0);
    }

    fn a_change_is_taken_back_although_the_session_that_made_it_is_gone(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let (terminal, mut shell) = login(machine, "\"$@\"; sleep 600", "apply --confirm-within 2s rules.toml");
        let session = Pid::from_raw(shell.id() as i32);
        eventually("the change waits", || machine.waits());
        eventually("the rules are new", || machine.ringfence("status --full rules.toml").code == Some(0));
        let watchdog = the_watchdog(machine);
        assert_ne!(getsid(Some(watchdog)).unwrap(), session);
        // The line breaks, and whatever is left of the session is ended hard.
        drop(terminal);
        eventually("the session is gone", || {
            for process in in_session(session) {
                let _ = kill(process, Signal::SIGHUP);
                let _ = kill(process, Signal::SIGKILL);
            }
            let _ = shell.try_wait();
            in_session(session).is_empty()
        });
        machine.until_nothing_waits();
        assert_eq!(machine.in_force(&BOTH), "old.toml");
        machine.guards();
    }

    fn ending_the_apply_hard_does_not_end_its_watchdog(machine) {
        machine.ringfence("apply old.toml").ended(0);
        // The whole group of processes, as a terminal or a supervisor ends it; the apply is held before its output.
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
            let inject = ["-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=5000000"];
            let mut before: Vec<String> = ["-qq", "-o", "/dev/null"].map(str::to_owned).to_vec();
            before.extend(inject.map(str::to_owned));
            before.push(PROGRAM.to_owned());
            let mut command = machine.command("strace", &before, "apply --confirm-within 2s members.toml");
            let mut run = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            eventually("the rules are new", || machine.ringfence("status --full members.toml").code == Some(0));
            nix::sys::signal::killpg(Pid::from_raw(run.id() as i32), signal).unwrap();
            let _ = nix::sys::signal::killpg(Pid::from_raw(run.id() as i32), Signal::SIGKILL);
            run.wait().unwrap();
            machine.until_nothing_waits();
            assert_eq!(machine.in_force(&["old.toml", "members.toml"]), "old.toml", "{signal}");
        }
    }

    fn of_two_applies_at_once_one_is_told_who_is_at_work(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let mut held = machine.start_strace(
            &["-e", "trace=sendto", "-e", "inject=sendto:delay_enter=2000000:when=4"],
            "apply members.toml",
        );
        eventually("the first one is at work", || machine.strace_log().matches("sendto(").count() >= 4);
        for other in ["apply rules.toml", "apply --confirm-within 1s rules.toml", "remove"] {
            machine.ringfence(&format!("{other} --wait 0")).ended(5).says("ringfence apply").says("process");
        }
        assert!(held.try_wait().unwrap().is_none(), "the first one was done too early");
        Ran::from(held.wait_with_output().unwrap()).ended(0);
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "members.toml");
        machine.ringfence("apply rules.toml").ended(0);
        // Without a word whoever comes second waits.
        let held = machine.start_strace(
            &["-e", "trace=sendto", "-e", "inject=sendto:delay_enter=2000000:when=4"],
            "apply members.toml",
        );
        eventually("the first one is at work", || machine.strace_log().matches("sendto(").count() >= 4);
        machine.ringfence("apply old.toml").ended(0);
        // Had it come first, the other's rules would be the last ones. Whoever traces the other may end later.
        Ran::from(held.wait_with_output().unwrap()).ended(0);
        assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), "old.toml");
    }

    fn a_change_whose_watchdog_was_killed_is_said_and_can_be_taken_back(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 1s rules.toml").ended(0);
        kill(the_watchdog(machine), Signal::SIGKILL).unwrap();
        eventually("the time is up", || {
            let status = machine.ringfence("status").ended(0);
            status.out.contains("has timed out")
        });
        machine.ringfence("apply members.toml").ended(6).says("waiting");
        machine.ringfence("rollback").ended(0);
        assert_eq!(machine.in_force(&BOTH), "old.toml");
    }

    fn what_was_before_and_cannot_be_read_leaves_the_new_rules_and_says_so(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        let before = machine.path("state/run/before");
        let whole = fs::read(&before).unwrap();
        for broken in [&whole[..whole.len() / 2], b"", b"# something else\n"] {
            fs::write(&before, broken).unwrap();
            machine.ringfence("rollback").ended(2);
            assert_eq!(machine.in_force(&BOTH), "rules.toml");
            machine.guards();
            machine.ringfence("status").ended(0).says("NOT CONFIRMED").says("failed");
        }
        fs::write(&before, whole).unwrap();
        machine.ringfence("rollback").ended(0);
        assert_eq!(machine.in_force(&BOTH), "old.toml");

        // Nobody knows any more what was before: keeping the new rules is the way out.
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        fs::write(&before, b"").unwrap();
        machine.ringfence("confirm").ended(0);
        machine.ringfence("apply old.toml").ended(0);
    }

    fn a_waiting_change_that_cannot_be_read_stops_the_next_one_and_says_so(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        let pending = machine.path("state/run/pending");
        File::options().write(true).open(&pending).unwrap().set_len(100).unwrap();
        machine.guards();
        for command in ["apply members.toml", "confirm", "rollback"] {
            machine.ringfence(command).ended(2).says("pending");
        }
        machine.ringfence("status rules.toml").ended(0).says("pending");
        // The way out that is left.
        machine.ringfence("remove").ended(0);
        machine.ringfence("apply old.toml").ended(0);
        machine.guards();
    }

    fn rules_that_somebody_else_removed_meanwhile_are_brought_back_to_what_was_before(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 1s rules.toml").ended(0);
        run(&["nft", "delete", "table", "inet", "ringfence"], "");
        machine.until_nothing_waits();
        assert_eq!(machine.in_force(&BOTH), "old.toml");
        machine.guards();
    }
}
