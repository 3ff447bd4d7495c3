//! What sets hold is not read again where the kernel says that nobody changed anything: that anybody who did is seen, and that a note of what
//! they hold is used only where and when it was made.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::lab::netns::run;
use super::machine::{FEW_PORTS, Machine, PROGRAM, Ran, STAYS, cluster, eventually};
use crate::on_a_machine;

const DERIVED: &str = "members as read at ";

/// Applies a file; whether members were read as a whole, as the note says, and what is said of them.
#[track_caller]
fn reads_all(machine: &Machine, file: &str) -> bool {
    let read_at = || machine.path("state/run/members").exists().then(|| full(machine));
    let before = read_at();
    let ran = machine.ringfence(&format!("apply {file}")).ended(0);
    let all = before != read_at();
    assert!(all || ran.out.contains(DERIVED), "{ran:#?}");
    all
}

/// When all was read, as the note says.
fn full(machine: &Machine) -> String {
    fs::read(machine.path("state/run/members")).map(|_| note(machine).0["full"]["uptime"].to_string()).expect("a note")
}

/// The note of what the sets hold: its first line as JSON, and what is behind it.
fn note(machine: &Machine) -> (Value, Vec<u8>) {
    let bytes = fs::read(machine.path("state/run/members")).expect("a note");
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let stamp = lines.nth(1).expect("a stamp");
    (serde_json::from_slice(stamp).expect("JSON"), lines.next().expect("a table").to_vec())
}

/// Writes one that is as whole as those of the program.
fn write_note(machine: &Machine, stamp: &Value, table: &[u8]) {
    let mut body = serde_json::to_vec(stamp).expect("JSON");
    body.push(b'\n');
    body.extend_from_slice(table);
    let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut bytes = format!("# ringfence 1 sha256 {sum}\n").into_bytes();
    bytes.append(&mut body);
    fs::write(machine.path("state/run/members"), bytes).expect("writing the note");
}

fn nft(script: &str) {
    run(&["nft", "-f", "-"], script);
}

on_a_machine! {
    fn members_are_read_once_and_changes_are_read_back(machine) {
        assert!(reads_all(machine, "old.toml"));
        let first = note(machine).0;
        assert!(!reads_all(machine, "members.toml"));
        machine.guards();
        assert!(machine.proves("members.toml"));
        let changed = machine.ringfence("apply old.toml").ended(0).says("what changed now was read back");
        assert!(changed.out.contains(&format!("{DERIVED}{}", note(machine).0["full"]["at"].as_str().unwrap())), "{changed:#?}");
        machine.ringfence("apply old.toml").ended(0).says(DERIVED);
        machine.ringfence("diff old.toml").ended(0);
        machine.ringfence("diff members.toml").ended(1).says("10.20.0.15");
        assert!(machine.proves("old.toml"));
        // Rules are read, and so is all with them.
        assert!(reads_all(machine, "rules.toml"));
        assert!(!reads_all(machine, "rules.toml"));
        machine.guards();
        assert_eq!(first["namespace"], note(machine).0["namespace"]);
    }

    /// Where others have rules, all of them are judged together, and members are not read for that either.
    fn members_are_not_read_for_a_look_at_the_whole_host(machine) {
        nft("table inet others {\nchain input {\ntype filter hook input priority 10\ntcp dport 22 accept\n}\n}\n");
        assert!(reads_all(machine, "old.toml"));
        // The name of our table as strace writes the bytes of an attribute, with the zero behind it.
        let ours: String = b"ringfence\0".iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let reads = |command: &str, code| {
            machine.strace(&["-e", "trace=sendto"], command).ended(code);
            let log = machine.strace_log();
            assert!(log.contains("NFT_MSG_GETRULE"), "{log}");
            let dumps = log.lines().filter(|line| line.contains("NFT_MSG_GETSETELEM") && line.contains("NLM_F_DUMP"));
            dumps.filter(|line| line.contains(&ours)).count()
        };
        for (command, code) in [("apply members.toml", 0), ("apply members.toml", 0), ("diff old.toml", 1)] {
            assert_eq!(reads(command, code), 0, "{command}");
        }
        // That they can be counted.
        assert!(reads("status --full members.toml", 0) > 0);
        // A member that somebody shuts out is found by what is known of the members.
        nft("add rule inet others input ip saddr 10.20.0.15 drop");
        machine.ringfence("status members.toml").ended(1).says("SHADOWED").says("10.20.0.15");
    }

    fn whoever_changes_members_is_seen(machine) {
        for change in [
            "add element inet ringfence peers4 { 203.0.113.9 }",
            "delete element inet ringfence peers4 { 10.20.0.12 }",
            "flush set inet ringfence peers4",
            // Nothing of ours, but the kernel does not say that.
            "add table inet other",
            // And back again.
            "add element inet ringfence peers4 { 203.0.113.9 }\ndelete element inet ringfence peers4 { 203.0.113.9 }",
        ] {
            machine.ringfence("apply old.toml").ended(0);
            assert!(!reads_all(machine, "members.toml"), "{change}");
            nft(change);
            let there = machine.proves("members.toml");
            assert_eq!(there, change.contains("add table") || change.contains("\n"), "{change}");
            if !there {
                machine.ringfence("diff members.toml").ended(1);
            }
            // The full look of `status` was noted only where all was as it should be.
            let read = reads_all(machine, "members.toml");
            assert_eq!(read, !there, "{change}");
            machine.guards();
            assert!(machine.proves("members.toml"));
        }
    }

    fn what_somebody_else_changed_to_the_same_is_read(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.strace(&["-e", "trace=sendto"], "apply members.toml").ended(0);
        let log = machine.strace_log();
        let commit = log.lines().position(|line| line.contains("NFNL_MSG_BATCH_BEGIN")).expect("a transaction") + 1;
        machine.ringfence("apply old.toml").ended(0);
        let inject = format!("inject=sendto:delay_enter=1500000:when={commit}");
        let mut held = machine.start_strace(&["-e", "trace=sendto", "-e", &inject], "apply members.toml");
        let sends = || machine.strace_log().lines().filter(|line| line.contains("sendto(")).count();
        eventually("the apply is before its transaction", || sends() >= commit);
        nft("delete element inet ringfence peers4 { 10.20.0.14 }\nadd element inet ringfence peers4 { 10.20.0.15 }");
        assert!(held.try_wait().unwrap().is_none(), "the other came too late");
        let ran = Ran::from(held.wait_with_output().unwrap()).ended(0);
        assert!(!ran.out.contains(DERIVED), "{ran:#?}");
        assert!(machine.proves("members.toml"));
        assert!(!reads_all(machine, "members.toml"));
    }

    /// The host is asked while a long file is read. What somebody changes before the lock is there is seen: as if nobody had asked so early.
    fn what_is_changed_behind_an_early_look_is_seen(machine) {
        let long = format!("# {}\n", "so that it is long ".repeat(20)).repeat(800);
        for name in ["old.toml", "members.toml"] {
            let text = fs::read_to_string(machine.path(name)).expect("a file") + &long;
            machine.write(&format!("long-{name}"), &text);
        }
        // Each thread has a log of its own.
        let looks = |file: &str| {
            machine.strace(&["-f", "-e", "trace=sendto"], &format!("apply {file}")).ended(0);
            let log = machine.strace_log();
            let ours: std::collections::BTreeSet<&str> = log
                .lines()
                .filter(|line| line.contains("NFT_MSG_GETRULE") && line.contains("NLM_F_DUMP"))
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            ours.len()
        };
        // The first has nothing to look at, a short one does it by itself.
        assert_eq!(looks("long-old.toml"), 1);
        assert_eq!(looks("long-members.toml"), 2);
        assert_eq!(looks("old.toml"), 1);
        machine.ringfence("apply long-members.toml").ended(0).says(DERIVED);
        machine.ringfence("apply long-old.toml").ended(0).says(DERIVED);
        let moved = "changed while this ran";
        for change in ["add table inet other", "add element inet ringfence peers4 { 203.0.113.9 }"] {
            // The first lock is that of the host.
            let held = machine.start_strace(&["-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000:when=1"], "apply long-members.toml");
            eventually("the apply is before its lock", || machine.strace_log().contains("flock("));
            // By then it has looked.
            std::thread::sleep(std::time::Duration::from_millis(500));
            nft(change);
            let ran = Ran::from(held.wait_with_output().expect("its end")).ended(0);
            assert!(!ran.out.contains(moved) && !ran.err.contains(moved), "{ran:#?}");
            machine.guards();
            assert!(machine.proves("members.toml"));
            machine.ringfence("apply long-old.toml").ended(0);
        }
    }

    /// The host is asked while a long file is read, and what is said is the same.
    fn a_long_file_is_held_against_what_is_in_force(machine) {
        let long = format!("# {}\n", "so that it is long ".repeat(20)).repeat(800);
        for name in ["old.toml", "members.toml"] {
            let text = fs::read_to_string(machine.path(name)).expect("a file") + &long;
            machine.write(&format!("long-{name}"), &text);
        }
        machine.write("long-bad.toml", &format!("[cluster]\nname = 7\n{long}"));
        let say = |file: &str, code: i32| {
            let without_times = |ran: Ran| {
                let times = |line: &&str| !line.contains("members") && !line.contains("applied");
                let lines: Vec<String> = ran.out.lines().chain(ran.err.lines()).filter(times).map(str::to_owned).collect();
                lines.join("\n").replace("long-", "")
            };
            let short = without_times(machine.ringfence(&format!("status --full {file}")).ended(code));
            let of_long = without_times(machine.ringfence(&format!("status --full long-{file}")).ended(code));
            assert_eq!(of_long, short, "{file}");
        };
        say("old.toml", 4);
        // Which is standard input, and not a file of this name.
        fs::copy(machine.path("long-old.toml"), machine.path("-")).expect("a file");
        let mut from_input = machine.command(PROGRAM, &[], "status --full -");
        from_input.current_dir(machine.path("")).stdin(fs::File::open(machine.path("old.toml")).expect("a file"));
        Ran::from(from_input.output().expect("the program runs")).ended(4);
        fs::remove_file(machine.path("-")).expect("the file");
        machine.ringfence("apply long-old.toml").ended(0);
        // What others have is read by the one that judges.
        let threads = |file: &str| {
            machine.strace(&["-f", "-e", "trace=sendto"], &format!("status --full {file}")).ended(0);
            let log = machine.strace_log();
            let dumps = log.lines().filter(|line| line.contains("NFT_MSG_GETSETELEM") && line.contains("NLM_F_DUMP"));
            dumps.filter_map(|line| line.split_whitespace().next()).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((threads("old.toml"), threads("long-old.toml")), (1, 2));
        machine.ringfence("status --full long-old.toml").ended(0);
        machine.ringfence("status --full long-members.toml").ended(6).says("NOT APPLIED");
        nft("add element inet ringfence peers4 { 203.0.113.9 }");
        machine.ringfence("status --full long-old.toml").ended(1).says("203.0.113.9");
        nft("delete element inet ringfence peers4 { 203.0.113.9 }");
        machine.ringfence("status --full long-old.toml").ended(0);
        machine.ringfence("status --full long-bad.toml").ended(2);
        nft("flush ruleset");
        machine.ringfence("status --full long-old.toml").ended(4);
    }

    /// Of many members our part and the rules of others are judged by a thread each, and noted by another: what is said is the same.
    fn many_members_are_judged_and_noted_as_few_are(machine) {
        let more: Vec<String> = (0..12_000).map(|at| format!("10.20.{}.{}", 64 + at / 250, at % 250 + 1)).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let text = cluster(&[&["10.20.0.14"][..], &more].concat(), FEW_PORTS);
        machine.write("many.toml", &text.replace("private = [\"10.20.0.0/24\"", "private = [\"10.20.0.0/16\""));
        let threads = |file: &str| {
            machine.strace(&["-f", "-e", "trace=clone,clone3"], &format!("status --full {file}"));
            machine.strace_log().lines().filter(|line| line.contains("clone")).count()
        };
        for (file, lists) in [("old.toml", "few"), ("many.toml", "many")] {
            nft("flush ruleset");
            machine.ringfence(&format!("apply {file}")).ended(0);
            machine.ringfence(&format!("status --full {file}")).ended(0);
            let seen = || fs::read(machine.path("state/run/seen")).ok();
            let status = |code: i32, words: &str| {
                let (members, before) = (full(machine), seen());
                machine.ringfence(&format!("status --full {file}")).ended(code).says(words);
                // What is not enforced is not noted.
                assert_eq!((full(machine) != members, seen() != before), (code == 0, code == 0), "{lists}");
            };
            status(0, "enforced");
            nft("add table inet other { chain in { type filter hook input priority 0; ip saddr 10.20.0.14 tcp dport 8098 drop; }; }");
            status(1, "SHADOWED");
            nft("flush chain inet other in");
            status(0, "enforced");
            nft("add element inet ringfence peers4 { 203.0.113.9 }");
            status(1, "203.0.113.9");
            nft("delete element inet ringfence peers4 { 203.0.113.9 }");
            status(0, "enforced");
            nft("delete element inet ringfence peers4 { 10.20.0.14 }");
            status(1, "10.20.0.14");
            // The one that reads the kernel is begun for a long file alone, the others where there is something to judge and to note.
            assert_eq!((threads(file), lists), if lists == "few" { (0, lists) } else { (1, lists) });
            nft("add element inet ringfence peers4 { 10.20.0.14 }");
            assert_eq!((threads(file), lists), if lists == "few" { (0, lists) } else { (2, lists) });
            // Many rules of others take long, and are not asked for where ours are not what the file says.
            nft(&"add rule inet other in tcp dport 22 accept\n".repeat(65));
            assert_eq!((threads(file), lists), if lists == "few" { (0, lists) } else { (1, lists) });
            status(0, "enforced");
        }
    }

    fn a_rule_that_fills_a_set_of_ours_is_seen_at_once(machine) {
        machine.ringfence("apply old.toml").ended(0);
        assert!(!reads_all(machine, "members.toml"));
        nft("add set inet ringfence grows { type ipv4_addr; flags dynamic; }\n\
             insert rule inet ringfence prerouting ip saddr 203.0.113.0/24 add @grows { ip saddr }\n\
             insert rule inet ringfence admit ip saddr @grows accept");
        assert!(!machine.proves("members.toml"));
        // A note that says that all this was there then is none that can be used: what is in such a set is another thing by now.
        let (mut stamp, table) = note(machine);
        stamp["generation"] = json!(stamp["generation"].as_u64().unwrap() + 1);
        write_note(machine, &stamp, &table);
        machine.ringfence("diff members.toml").ended(1);
        assert!(reads_all(machine, "members.toml"));
        machine.guards();
        assert!(machine.proves("members.toml"));
    }

    fn a_note_counts_where_and_when_it_was_made(machine) {
        machine.ringfence("apply old.toml").ended(0);
        assert!(!reads_all(machine, "old.toml"));
        let (stamp, table) = note(machine);
        let number = |stamp: &Value, key: &str| stamp[key].as_u64().unwrap();
        let others: [(&str, Value); 6] = [
            ("program", json!("0.0.1")),
            // The machine was started again.
            ("boot", json!("00000000-0000-0000-0000-000000000000")),
            // Another namespace at the same generation.
            ("namespace", json!(number(&stamp, "namespace") + 1)),
            ("generation", json!(number(&stamp, "generation") - 1)),
            // A table that was made anew.
            ("handle", json!(number(&stamp, "handle") + 1)),
            ("full", json!({ "at": "2026-01-01T00:00:00Z", "uptime": stamp["full"]["uptime"].as_f64().unwrap() - 3601.0 })),
        ];
        for (key, other) in others {
            let mut stamp = stamp.clone();
            stamp[key] = other;
            write_note(machine, &stamp, &table);
            assert!(reads_all(machine, "old.toml"), "{key}");
            assert!(machine.proves("old.toml"), "{key}");
            assert!(!reads_all(machine, "old.toml"), "{key}");
        }
        let whole = fs::read(machine.path("state/run/members")).unwrap();
        let half = &whole[..whole.len() / 2];
        let mut turned = whole.clone();
        *turned.last_mut().unwrap() ^= 1;
        for damaged in [&b""[..], b"x", half, &turned] {
            fs::write(machine.path("state/run/members"), damaged).unwrap();
            let ran = machine.ringfence("apply old.toml").ended(0);
            assert!(!ran.out.contains(DERIVED), "{ran:#?}");
        }
        // Sets that have other members than the note are not its sets: a set more, a set less.
        write_note(machine, &note(machine).0, b"");
        assert!(reads_all(machine, "old.toml"));
        fs::remove_file(machine.path("state/run/members")).unwrap();
        assert!(reads_all(machine, "old.toml"));
        assert!(machine.answers(STAYS, super::lab::rules::GUARDED));
    }

    fn a_table_that_is_made_anew_is_read(machine) {
        machine.ringfence("apply old.toml").ended(0);
        assert!(!reads_all(machine, "old.toml"));
        run(&["nft", "flush", "ruleset"], "");
        machine.ringfence("status old.toml").ended(4);
        assert!(reads_all(machine, "old.toml"));
        machine.guards();
    }
}
