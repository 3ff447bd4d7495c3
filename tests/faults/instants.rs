//! A stranger and a peer try all the time while rules come, change and go back.

use std::fs;

use super::hammer::Hammer;
use super::machine::{COMES, LEAVES, Machine, Ran, eventually};
use crate::lab::netns::run;
use crate::lab::rules::{GUARDED, Rules};
use crate::on_a_machine;

const ROUNDS: usize = 6;

/// Who may connect besides the peer that stays, with packets.
#[track_caller]
fn admits(machine: &Machine, leaves: bool, comes: bool) {
    machine.guards();
    let found = (machine.answers(LEAVES, GUARDED), machine.answers(COMES, GUARDED));
    assert_eq!(found, (leaves, comes), "{}", machine.table());
}

on_a_machine! {
    fn no_change_of_members_lets_anybody_through_or_loses_a_peer(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let hammer = Hammer::start(&machine.lab);
        for _ in 0..ROUNDS {
            machine.ringfence("apply members.toml").ended(0).says("members of sets changed");
            admits(machine, false, true);
            machine.ringfence("apply old.toml").ended(0).says("members of sets changed");
            admits(machine, true, false);
            hammer.some_rounds();
        }
        hammer.stop_unharmed();
    }

    fn no_change_of_rules_lets_anybody_through_or_loses_a_peer(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let hammer = Hammer::start(&machine.lab);
        for _ in 0..ROUNDS {
            machine.ringfence("apply rules.toml").ended(0).says("rules changed");
            admits(machine, false, true);
            machine.ringfence("apply old.toml").ended(0).says("rules changed");
            admits(machine, true, false);
            hammer.some_rounds();
        }
        hammer.stop_unharmed();
    }

    fn confirming_and_taking_back_let_nobody_through_and_lose_no_peer(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let hammer = Hammer::start(&machine.lab);
        for to in ["members.toml", "rules.toml"] {
            machine.ringfence(&format!("apply --confirm-within 60s {to}")).ended(0);
            admits(machine, false, true);
            machine.ringfence("rollback").ended(0);
            admits(machine, true, false);
            machine.ringfence(&format!("apply --confirm-within 1s {to}")).ended(0);
            machine.until_nothing_waits();
            admits(machine, true, false);
            machine.ringfence(&format!("apply --confirm-within 60s {to}")).ended(0);
            machine.ringfence("confirm").ended(0);
            admits(machine, false, true);
            machine.ringfence("apply old.toml").ended(0);
        }
        hammer.stop_unharmed();
    }

    fn applying_over_a_table_that_nft_loaded_lets_nobody_through_and_loses_no_peer(machine) {
        let [old, rules] = ["old.toml", "rules.toml"]
            .map(|file| Rules::compile_to(&["nft"], &fs::read_to_string(machine.path(file)).unwrap()));
        run(&["nft", "-f", "-"], old.text("nft"));
        let hammer = Hammer::start(&machine.lab);
        for _ in 0..ROUNDS {
            machine.ringfence("apply members.toml").ended(0);
            assert!(machine.proves("members.toml"));
            run(&["nft", "-f", "-"], rules.text("nft"));
            machine.ringfence("apply old.toml").ended(0);
            assert!(machine.proves("old.toml"));
            run(&["nft", "-f", "-"], old.text("nft"));
            hammer.some_rounds();
        }
        hammer.stop_unharmed();
    }

    fn after_a_flush_by_others_strangers_get_through_until_the_next_apply(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("status").ended(0);
        let hammer = Hammer::start(&machine.lab);
        hammer.some_rounds();
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("status").ended(4).says("ABSENT");
        hammer.some_rounds();
        machine.ringfence("apply old.toml").ended(0).says("rules changed");
        machine.ringfence("status").ended(0);
        hammer.some_rounds();
        let harm = hammer.stop();
        assert!(harm.strangers > 0 && harm.lost.is_empty(), "{harm:?}");
        let gap = harm.last.unwrap() - harm.first.unwrap();
        eprintln!("a flush was closed by an apply after {gap:?}; {} strangers of {} got through", harm.strangers, harm.rounds);
        machine.guards();
    }

    fn a_peer_that_others_take_out_of_a_set_is_brought_back(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for change in [
            "delete element inet ringfence peers4 { 10.20.0.14 }",
            "add element inet ringfence peers4 { 203.0.113.9 }",
            "delete element inet ringfence protected { 8098 }",
            "flush chain inet ringfence input",
            "flush chain inet ringfence block",
            "delete table inet ringfence; add table inet ringfence",
            "insert rule inet ringfence input accept",
            "add table inet ringfence { flags dormant; }",
        ] {
            machine.ringfence("status").ended(0).says("enforced");
            run(&["nft", "-f", "-"], change);
            machine.ringfence("status").ended(1).says("DRIFTED").says("VIOLATED");
            machine.ringfence("diff old.toml").ended(1);
            machine.ringfence("apply old.toml").ended(0);
            assert!(machine.proves("old.toml"), "{change}");
            admits(machine, true, false);
        }
    }

    fn an_apply_succeeds_while_others_change_their_rules_all_the_time(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let hammer = Hammer::start(&machine.lab);
        let script = r"add table inet busy\ndelete table inet busy\n";
        let mut loops = std::process::Command::new("sh")
            .args(["-c", &format!("i=0; while [ $i -lt 4000 ]; do printf '{script}' | nft -f - || exit; i=$((i+1)); done")])
            .spawn()
            .unwrap();
        for to in ["members.toml", "rules.toml", "old.toml", "members.toml"] {
            machine.ringfence(&format!("apply {to}")).ended(0);
            assert_eq!(machine.in_force(&["old.toml", "members.toml", "rules.toml"]), to);
        }
        let busy = loops.try_wait().unwrap().is_none();
        loops.kill().unwrap();
        loops.wait().unwrap();
        assert!(busy, "the others were done too early");
        hammer.stop_unharmed();
    }

    fn a_change_of_others_between_reading_and_writing_is_noticed(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let commit = commit_of(machine, "apply members.toml");
        machine.ringfence("apply old.toml").ended(0);
        // Held right before the transaction, long enough for somebody else's.
        let inject = format!("inject=sendto:delay_enter=1500000:when={commit}");
        let mut held = machine.start_strace(&["-e", "trace=sendto", "-e", &inject], "apply members.toml");
        eventually("the apply is before its transaction", || sends(machine) >= commit);
        run(&["nft", "add", "table", "inet", "foreign"], "");
        assert!(held.try_wait().unwrap().is_none(), "the other came too late");
        Ran::from(held.wait_with_output().unwrap()).ended(0).says("members of sets changed");
        // The first transaction, which comes too late, and the second one.
        assert_eq!(machine.strace_log().matches("NFNL_MSG_BATCH_BEGIN").count(), 2, "{}", machine.strace_log());
        assert!(machine.proves("members.toml"));
        run(&["nft", "list", "table", "inet", "foreign"], "");
    }

    fn a_change_of_our_table_before_the_transaction_is_written_over_and_said(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let commit = commit_of(machine, "apply members.toml");
        machine.ringfence("apply old.toml").ended(0);
        let inject = format!("inject=sendto:delay_enter=1500000:when={commit}");
        let mut held = machine.start_strace(&["-e", "trace=sendto", "-e", &inject], "apply members.toml");
        eventually("the apply is before its transaction", || sends(machine) >= commit);
        run(&["nft", "insert", "rule", "inet", "ringfence", "input", "accept"], "");
        assert!(held.try_wait().unwrap().is_none(), "the other came too late");
        let ran = Ran::from(held.wait_with_output().unwrap()).ended(0);
        ran.says("rules changed").says("what was in force changed while this ran");
        assert!(machine.proves("members.toml"));
        machine.guards();
    }

    fn a_change_of_our_table_right_behind_ours_is_taken_back_and_said(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let commit = commit_of(machine, "apply members.toml");
        for (arguments, waits) in [("apply members.toml", false), ("apply --confirm-within 60s members.toml", true)] {
            let commit = if waits { commit_of_waiting(machine, arguments) } else { commit };
            machine.ringfence("apply old.toml").ended(0);
            // Held behind the transaction, before anything is read back.
            let inject = format!("inject=sendto:delay_enter=1500000:when={}", commit + 1);
            let mut held = machine.start_strace(&["-e", "trace=sendto", "-e", &inject], arguments);
            eventually("the apply is behind its transaction", || sends(machine) > commit);
            run(&["nft", "add", "element", "inet", "ringfence", "peers4", "{ 203.0.113.9 }"], "");
            assert!(held.try_wait().unwrap().is_none(), "the other came too late");
            let ran = Ran::from(held.wait_with_output().unwrap());
            ran.ended(7).says("does not hold what was loaded").says("the rules from before are in force again");
            assert!(machine.proves("old.toml"), "{}", machine.table());
            assert!(!machine.waits());
            machine.guards();
        }
    }
}

/// The how many-th `sendto` of an apply is the transaction. Applies.
fn commit_of(machine: &Machine, arguments: &str) -> usize {
    machine.strace(&["-e", "trace=sendto"], arguments).ended(0);
    let log = machine.strace_log();
    log.lines().position(|line| line.contains("NFNL_MSG_BATCH_BEGIN")).expect("a transaction") + 1
}

fn commit_of_waiting(machine: &Machine, arguments: &str) -> usize {
    let commit = commit_of(machine, arguments);
    machine.ringfence("rollback").ended(0);
    commit
}

/// How many have begun so far: strace writes a call down when it begins.
fn sends(machine: &Machine) -> usize {
    machine.strace_log().matches("sendto(").count()
}
