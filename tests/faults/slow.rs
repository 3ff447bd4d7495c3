//! Changes that take longer than the time to confirm them.

use super::machine::{Machine, Ran, eventually};
use crate::on_a_machine;

/// Each question to the kernel, and each change, takes so much longer.
const SLOW: [&str; 4] = ["-e", "trace=sendto", "-e", "inject=sendto:delay_exit=500000"];
const BOTH: [&str; 2] = ["old.toml", "rules.toml"];

/// When the change that waits is taken back, in seconds since the machine started.
fn deadline(machine: &Machine) -> Option<f64> {
    let text = std::fs::read_to_string(machine.path("state/run/pending")).ok()?;
    let rest = text.split("\"deadline\":").nth(1)?;
    rest.split([',', '}']).next()?.trim().parse().ok()
}

/// When the change that is about to be made will be taken back. All that is asked before takes its time here.
fn written_down(machine: &Machine) -> f64 {
    let start = std::time::Instant::now();
    loop {
        if let Some(first) = deadline(machine) {
            return first;
        }
        assert!(start.elapsed().as_secs() < 90, "the change is not written down");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn uptime() -> f64 {
    std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap()
}

on_a_machine! {
    fn the_time_to_confirm_begins_when_the_change_is_in_force(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let run = machine.start_strace(&SLOW, "apply --confirm-within 3s rules.toml");
        let first = written_down(machine);
        let ran: Ran = run.wait_with_output().unwrap().into();
        let ran = ran.ended(0).says("NOT CONFIRMED: taken back in").says("proved");
        let second = deadline(machine).unwrap();
        // The first time was over before the run was, and the one that counts begins behind it.
        assert!(first + 3.0 < second, "{first} {second}: {ran:#?}\n{}", machine.strace_log());
        assert!(uptime() < second, "{ran:#?}");
        assert_eq!(machine.in_force(&BOTH), "rules.toml");
        machine.until_nothing_waits();
        assert!(second <= uptime());
        assert_eq!(machine.in_force(&BOTH), "old.toml");
        machine.ringfence("status").ended(0).says("because nobody confirmed it");
    }

    fn a_slow_run_that_is_killed_is_taken_back_when_it_was_said_first(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let run = machine.start_strace(&SLOW, "apply --confirm-within 3s rules.toml");
        let first = written_down(machine);
        // Behind the change, in the middle of reading what the kernel holds.
        eventually("the change is made", || machine.table().contains("6019"));
        let children = format!("/proc/{0}/task/{0}/children", run.id());
        let child = std::fs::read_to_string(children).unwrap();
        let child = nix::unistd::Pid::from_raw(child.trim().parse().unwrap());
        nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
        let ran: Ran = run.wait_with_output().unwrap().into();
        assert_eq!(ran.signal, Some(9), "{ran:#?}");
        assert!(deadline(machine).is_none_or(|now| now == first), "{ran:#?}");
        machine.until_nothing_waits();
        assert_eq!(machine.in_force(&BOTH), "old.toml");
        machine.ringfence("status").ended(0).says("because nobody confirmed it");
    }
}
