//! Exit codes mean the same wherever they are named: in README, in every page, in the units and in the scripts of packages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringfence::outcome::{Outcome, TABLE};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What a command of a unit can end with, and with which of these the unit is as it should be; the rest is a failure that
/// somebody is to see.
fn of_unit(command: &str) -> (Vec<Outcome>, Vec<Outcome>) {
    use Outcome::{Absent, FellBack, Held, No, Success, Unconfirmed, Undecided, Unusable};
    match command {
        // It goes on without the lock, and brings something into force whatever happens.
        "apply --boot" => (vec![Success, No, Unusable, Undecided, Unconfirmed, FellBack], vec![Success, Undecided]),
        "apply" => (vec![Success, No, Unusable, Undecided, Held, Unconfirmed, FellBack], vec![Success]),
        // What it found is another unit's to show, which stays failed; see `what_is_found_is_shown_by_a_unit_that_stays_failed`.
        "hook check" => {
            let all = vec![Success, No, Unusable, Undecided, Held, Unconfirmed, FellBack];
            (all.clone(), all)
        }
        "status" => (vec![Success, No, Unusable, Undecided, Absent, Held, Unconfirmed, FellBack], vec![Success]),
        // It ends only where it cannot go on, and is started again.
        "watch" => (vec![Unusable], vec![]),
        other => panic!("a unit runs `ringfence {other}`: which codes does that end with? {Absent:?} is none of them"),
    }
}

fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim).collect()
}

#[test]
fn every_unit_takes_for_success_what_is_one() {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(root().join("packaging/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let unit = fs::read_to_string(&path).unwrap();
        for key in ["ExecStartPost", "ExecStopPost", "ExecReload"] {
            for line in values(&unit, key).into_iter().filter(|line| line.contains("/usr/bin/ringfence ")) {
                let (prefix, command) = line.split_once("/usr/bin/ringfence ").unwrap();
                of_unit(command);
                // systemd judges these without SuccessExitStatus=: `-` takes every code for success.
                assert!(command != "hook check" || prefix.starts_with('-'), "{name}: {line}");
            }
        }
        let Some(command) =
            values(&unit, "ExecStart").first().map(|line| line.strip_prefix("/usr/bin/ringfence ").unwrap())
        else {
            assert!(!unit.contains("SuccessExitStatus"), "{name}");
            continue;
        };
        let (can, fine) = of_unit(command);
        let written: BTreeSet<u8> = values(&unit, "SuccessExitStatus")
            .iter()
            .flat_map(|line| line.split_whitespace())
            .map(|code| code.parse().unwrap())
            .collect();
        // systemd takes 0 for success in any case.
        let meant: BTreeSet<u8> = fine.iter().map(|outcome| outcome.code()).filter(|code| *code != 0).collect();
        assert!(fine.iter().all(|outcome| can.contains(outcome)), "{name}: a code that never comes");
        assert_eq!(written, meant, "{name}, `{command}`");
        seen.insert(name);
    }
    let all =
        ["ringfence-attention.service", "ringfence-drift.service", "ringfence-watch.service", "ringfence.service"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

/// The unit that looks each minute does not fail each minute: another one fails once, for all codes but those with which nothing is wrong.
#[test]
fn what_is_found_is_shown_by_a_unit_that_stays_failed() {
    use Outcome::{Held, Success, Undecided};
    let unit = read("packaging/systemd/ringfence-drift.service");
    let script = values(&unit, "ExecStopPost").concat();
    let fine = [Success, Undecided].map(|outcome| outcome.code().to_string()).join("|");
    let held = Held.code();
    for part in [
        format!("in {fine}) "),
        format!(";; {held}) ;; *) "),
        "start $unit;;".to_owned(),
        "reset-failed $unit;;".to_owned(),
    ] {
        assert!(script.contains(&part), "{part}: {script}");
    }
    assert!(script.starts_with("-+/bin/sh -c '") && script.contains("unit=ringfence-attention.service;"), "{script}");
}

/// A package starts its unit where the rules are in force, and where the unit takes that for success.
#[test]
fn the_scripts_of_packages_start_the_unit_for_the_same_codes() {
    let (_, fine) = of_unit("apply --boot");
    let codes = fine.iter().map(|outcome| outcome.code().to_string()).collect::<Vec<_>>().join(" | ");
    for script in ["packaging/debian/postinst", "packaging/rpm/post.sh"] {
        assert!(read(script).lines().any(|line| line.trim().starts_with(&format!("{codes})"))), "{script}: {codes}");
    }
    let hook = read("packaging/hooks/post-install.sh");
    let named: Vec<u8> =
        hook.lines().filter_map(|line| line.strip_prefix("#   ")?.split_once("  ")?.0.parse().ok()).collect();
    let can: Vec<u8> = of_unit("apply").0.iter().map(|outcome| outcome.code()).collect();
    assert_eq!(named, can, "what the hook for other packages says");
}

#[test]
fn readme_has_the_table() {
    assert!(read("README.md").contains(&format!("```\n{TABLE}\n```\n")), "README.md, Exit codes:\n{TABLE}");
}

fn ringfence(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

fn commands_of(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !["", "help"].contains(name)).map(str::to_owned).collect()
}

#[test]
fn every_page_ends_with_the_table() {
    let mut all = Vec::new();
    let (_, help) = ringfence(&["--help"]);
    for name in commands_of(&help) {
        let (_, own) = ringfence(&[&name, "--help"]);
        all.extend(commands_of(&own).into_iter().map(|verb| vec![name.clone(), verb]));
        all.push(vec![name]);
    }
    assert!(all.len() > 15, "{all:?}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ringfence(&["generate", folder.path().to_str().unwrap()]).0, Some(0));
    for words in all {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let (code, help) = ringfence(&arguments);
        assert_eq!(code, Some(0));
        assert!(help.ends_with(&format!("{TABLE}\n")), "{arguments:?}:\n{help}");
        assert!(!help.contains("Exit code "), "{arguments:?}: codes are said in one place");
        let page = fs::read_to_string(folder.path().join(format!("ringfence-{}.1", words.join("-")))).unwrap();
        let codes = codes_of(&page);
        let command = words.join(" ");
        if ["apply", "status", "watch", "hook check"].contains(&command.as_str()) {
            let can: Vec<u8> = of_unit(&command).0.iter().map(|outcome| outcome.code()).collect();
            assert_eq!(codes, can, "{command}: what its page says");
        }
        // A page without commands below has the codes of its own, and leads to the one that has all.
        let is_last = commands_of(&help).is_empty();
        assert!(is_last == page.contains("(1) has all of them."), "{command}\n{page}");
        assert!(is_last || codes.len() == Outcome::ALL.len(), "{command}: {codes:?}");
    }
    let page = fs::read_to_string(folder.path().join("ringfence.1")).unwrap();
    assert_eq!(codes_of(&page), Outcome::ALL.map(Outcome::code));
    // Without what roff(7) wants written otherwise.
    for line in TABLE.lines().skip(1) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let first = meaning.split(['`', '\'', '-']).next().unwrap().trim_end();
        assert!(page.contains(&format!("\\fB{code}\\fR\n{first}")), "{line}\n{page}");
    }
}

/// The codes under EXIT STATUS.
fn codes_of(page: &str) -> Vec<u8> {
    let section = page.split(".SH \"EXIT STATUS\"\n").nth(1).unwrap().split(".SH ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR")?.parse().ok()).collect()
}

/// Wrong words on the command line are bad input.
#[test]
fn what_clap_refuses_is_bad_input() {
    for arguments in [&["apply", "--wait", "soon"][..], &["verfy"], &["explain"], &["apply", "--wait", "86401"]] {
        assert_eq!(ringfence(arguments).0, Some(i32::from(Outcome::Unusable.code())), "{arguments:?}");
    }
    assert!(Path::new(env!("CARGO_BIN_EXE_ringfence")).exists());
}

/// Neither an abort nor a backtrace: somebody reads why, and scripts get a code that they know.
#[test]
fn without_memory_it_is_an_error_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let nodes: String =
        (0..20_000).map(|n| format!("\"riak@10.{}.{}.{}\",\n", n / 62_500, n / 250 % 250, n % 250 + 1)).collect();
    let file = folder.path().join("cluster.toml");
    let text = "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\n";
    let rest = "]\n[networks]\nprivate = [\"10.0.0.0/8\"]\n[services.distribution]\nports = \"6000-6009\"\n";
    fs::write(&file, format!("{text}{nodes}{rest}")).unwrap();
    let within = |kilobytes: u32, arguments: &str| {
        let line = format!("ulimit -v {kilobytes}; exec {} {arguments}", env!("CARGO_BIN_EXE_ringfence"));
        let output = Command::new("sh").args(["-c", &line]).env("RUST_BACKTRACE", "1").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut lacked = 0;
    for megabytes in (10..400).step_by(2) {
        let kilobytes = megabytes * 1024;
        // With less the system cannot even start it.
        if within(kilobytes, "--version").0 != Some(0) {
            continue;
        }
        match within(kilobytes, &format!("verify {}", file.display())) {
            (Some(0), _) => break,
            (Some(2), said) => {
                assert!(said.contains("error: there is not enough memory") && !said.contains("backtrace"), "{said}");
                lacked += 1;
            }
            (code, said) => panic!("with {megabytes} MB it ended with {code:?}: {said}"),
        }
    }
    assert!(lacked > 0);
}
