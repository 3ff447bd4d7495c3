//! `apply`, killed right before any of its calls into the kernel that matter.

use std::collections::BTreeMap;

use super::hammer::Hammer;
use super::machine::Machine;
use crate::on_a_machine;

/// Whatever changes something that others see, or asks the kernel for its rules.
const STEPS: [&str; 14] = [
    "sendto",
    "renameat",
    "unlinkat",
    "fsync",
    "ftruncate",
    "mkdirat",
    "symlinkat",
    "write",
    "clone3",
    "clone",
    "vfork",
    "flock",
    "fchmod",
    "exit_group",
];
/// Of all other calls every so many-th.
const SAMPLE: usize = 25;

/// Every how many-th step a run is killed at: 1, or `KILLS_EVERY` where the machine is emulated and all would take hours.
fn stride() -> usize {
    let wanted = std::env::var("KILLS_EVERY").unwrap_or_else(|_| "1".to_owned());
    wanted
        .parse()
        .ok()
        .filter(|every| *every > 0)
        .unwrap_or_else(|| panic!("KILLS_EVERY={wanted} is no number of steps"))
}

/// A call of a run: its name, and the how many-th of this name it is.
#[derive(Clone, Debug)]
struct Step {
    call: String,
    number: usize,
}

/// The steps of a run, in their order; those of loading the program are left out.
fn steps(machine: &Machine, arguments: &str) -> Vec<Step> {
    machine.strace(&["-e", "trace=all"], arguments).ended(0);
    let log = machine.strace_log();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut loaded = false;
    for (at, line) in log.lines().enumerate() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let number = numbers.entry(call.to_owned()).or_default();
        *number += 1;
        loaded |= line.contains(".toml\", O_RDONLY") || line.contains("\"lock\"");
        if loaded && (STEPS.contains(&call) || at % SAMPLE == 0) {
            steps.push(Step { call: call.to_owned(), number: *number });
        }
    }
    assert!(steps.len() >= 30, "only {} steps:\n{log}", steps.len());
    steps
}

/// Whether the run was killed; a few end before they come to the step, since no two runs are quite the same.
fn killed(machine: &Machine, step: &Step, arguments: &str) -> bool {
    let Step { call, number } = step;
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let ran = machine.strace(&["-e", &format!("trace={call}"), "-e", &inject], arguments);
    assert!(ran.signal == Some(9) || ran.code == Some(0), "{step:?}: strace must be able to trace: {ran:#?}");
    ran.signal == Some(9)
}

/// Kills an apply from one file to another at all its steps, while a stranger and a peer hammer.
fn at_every_step(machine: &Machine, from: &str, to: &str, every: usize) {
    let every = every * stride();
    machine.ringfence(&format!("apply {from}")).ended(0);
    let apply = format!("apply {to}");
    let steps = steps(machine, &apply);
    let hammer = Hammer::start(&machine.lab);
    let (mut kills, mut done) = (0, 0);
    for step in steps.iter().step_by(every) {
        machine.ringfence(&format!("apply {from}")).ended(0);
        kills += usize::from(killed(machine, step, &apply));
        let now = machine.in_force(&[from, to]);
        done += usize::from(now == to);
        machine.guards();
        machine.ringfence(&apply).ended(0);
        assert!(machine.proves(to), "{step:?}");
        machine.ringfence("status").ended(0).says("enforced");
    }
    hammer.stop_unharmed();
    eprintln!("{kills} kills of {} steps, {done} of them behind the change", steps.len());
    let tried = steps.len().div_ceil(every);
    assert!(kills * 10 >= tried * 9, "{kills} kills of {tried}");
    assert!(done > 0 && done < tried, "always the same: {done} of {tried}");
}

/// The same for a change that waits. What waits is taken back by a command, or by the watchdog alone.
fn waiting_at_every_step(machine: &Machine, from: &str, to: &str) {
    machine.ringfence(&format!("apply {from}")).ended(0);
    let apply = |time: &str| format!("apply --confirm-within {time} {to}");
    let steps = steps(machine, &apply("60s"));
    machine.ringfence("rollback").ended(0);
    let hammer = Hammer::start(&machine.lab);
    let (mut kills, mut done, mut alone) = (0, 0, 0);
    for (number, (at, step)) in steps.iter().enumerate().step_by(stride()).enumerate() {
        // From the commit on the rules are the new ones: then the watchdog is what counts.
        let last_steps = at + 30 >= steps.len() && number % (6 / stride()).max(2) == 0;
        kills += usize::from(killed(machine, step, &apply(if last_steps { "1s" } else { "60s" })));
        if last_steps {
            machine.until_nothing_waits();
            alone += 1;
        } else {
            done += usize::from(machine.in_force(&[from, to]) == to);
            machine.guards();
            if machine.waits() {
                machine.ringfence(&format!("apply {to}")).ended(6).says("waiting");
                machine.ringfence("rollback").ended(0);
            }
        }
        assert_eq!(machine.in_force(&[from, to]), from, "{step:?}");
        machine.guards();
        machine.ringfence(&format!("apply {from}")).ended(0);
        machine.ringfence("status").ended(0).says("enforced");
    }
    hammer.stop_unharmed();
    eprintln!("{kills} kills of {} steps", steps.len());
    let tried = steps.len().div_ceil(stride());
    assert!(kills * 10 >= tried * 9, "{kills} kills of {tried}");
    assert!(done > 0 && alone > 0, "{done} were done, {alone} taken back by the watchdog");
}

/// Kills what decides about a change that waits; whoever comes next can decide again, and the rules are old or new.
fn deciding_at_every_step(machine: &Machine, command: &str, decided: &str) {
    let wait = || machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
    machine.ringfence("apply old.toml").ended(0);
    wait();
    let steps = steps(machine, command);
    let hammer = Hammer::start(&machine.lab);
    let mut kills = 0;
    for step in steps.iter().step_by(stride()) {
        machine.ringfence("apply old.toml").ended(0);
        wait();
        kills += usize::from(killed(machine, step, command));
        let now = machine.in_force(&["old.toml", "rules.toml"]);
        assert!(machine.waits() || now == decided, "{step:?}: {now}");
        machine.guards();
        let again = machine.ringfence(command);
        assert!(again.code == Some(0) || again.err.contains("no change is waiting"), "{step:?}: {again:#?}");
        assert_eq!(machine.in_force(&["old.toml", "rules.toml"]), decided, "{step:?}");
        machine.ringfence(&format!("apply {decided}")).ended(0).says("nothing had to be changed");
    }
    hammer.stop_unharmed();
    eprintln!("{kills} kills of {} steps", steps.len());
    let tried = steps.len().div_ceil(stride());
    assert!(kills * 10 >= tried * 9, "{kills} kills of {tried}");
}

on_a_machine! {
    fn an_apply_killed_at_any_step_leaves_the_old_rules_or_the_new_ones(machine) {
        at_every_step(machine, "old.toml", "members.toml", 1);
    }

    fn an_apply_of_other_rules_killed_at_any_step_leaves_the_old_ones_or_the_new_ones(machine) {
        at_every_step(machine, "old.toml", "rules.toml", 2);
    }

    fn an_apply_that_waits_killed_at_any_step_is_taken_back(machine) {
        waiting_at_every_step(machine, "old.toml", "rules.toml");
    }

    fn a_confirmation_killed_at_any_step_can_be_given_again(machine) {
        deciding_at_every_step(machine, "confirm", "rules.toml");
    }

    fn a_rollback_killed_at_any_step_can_be_made_again(machine) {
        deciding_at_every_step(machine, "rollback", "old.toml");
    }
}
