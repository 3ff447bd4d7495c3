//! Whole hosts: rulesets as real programs make them, each with verdicts for some packets that were written down by reading
//! the rules. The kernel, with real connections both ways, has to agree with every one of them; our readers have to read
//! every file, and our judgement must not contradict the kernel. See tests/hosts/README.md.
//!
//! Needs what `tests/kernel.rs` needs.

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "hosts/case.rs"]
mod case;
#[path = "hosts/judged.rs"]
mod judged;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "hosts/kernel.rs"]
mod kernel;
#[allow(dead_code, reason = "other tests use the rest")]
mod lab;
#[path = "hosts/network.rs"]
mod network;
#[path = "hosts/sweep.rs"]
mod sweep;
#[path = "hosts/ways.rs"]
mod ways;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{Case, Direction, Line, Verdict};
use kernel::Fate;
use lab::netns::{isolated, not_possible};
use ringfence::ir::Ruleset;
use ringfence::semantics::{Outcome, Rules};
use sweep::{Tried, swept};

/// Hosts at once: most of the time each waits for what never comes.
const WORKERS: usize = 6;
/// Hosts that this kernel or these tools may leave out, each with its reason in `origin`.
const MOST_LEFT_OUT: usize = 3;

/// A host's name alone, for work on one of them.
const ONLY: &str = "RINGFENCE_HOST";

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders.iter().map(|path| Case::read(path)).collect()
}

/// What makes them worth having: enough of them, most of them dumps, of more than one release, each described on the page.
#[test]
fn there_are_enough_of_them() {
    let cases = cases();
    let dumps = cases.iter().filter(|case| !case.origin("by hand").is_some_and(|how| how.contains("documentation")));
    assert!(cases.len() >= 30 && dumps.clone().count() >= 20, "{} hosts", cases.len());
    let releases: BTreeSet<_> = dumps.filter_map(|case| case.origin("system")).collect();
    assert!(releases.len() >= 3, "{releases:?}");
    let out: Vec<_> = cases.iter().filter(|case| case.origin("kernel").is_some()).map(|case| &case.name).collect();
    assert!(out.len() <= MOST_LEFT_OUT, "{out:?}");
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/README.md")).unwrap();
    let listed: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(" |").next())
        .filter(|name| *name != "host" && !name.contains('`') && *name != "file")
        .collect();
    assert_eq!(listed, cases.iter().map(|case| case.name.as_str()).collect());
    for case in &cases {
        let name = &case.name;
        assert!((6..=16).contains(&case.lines.len()), "{name} has {} lines", case.lines.len());
        assert!(!case.rulesets().is_empty(), "{name} has no rules");
        for (direction, what) in [(Direction::Asked, "asked"), (Direction::Asking, "asking")] {
            assert!(case.lines.iter().any(|line| line.direction == direction), "{name}: nothing {what}");
        }
    }
}

/// Every file is a ruleset to us, and no two files of a host describe the same table.
#[test]
fn our_readers_read_every_file() {
    for case in cases() {
        let ruleset = judged::read(&case);
        let mut names: Vec<_> = ruleset.tables.iter().map(|table| (table.family, &table.name)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert!(count > 0 && names.len() == count, "{}: {names:?}", case.name);
    }
}

/// Several hosts at once: what is wrong with any.
fn each(cases: &[Case], one: impl Fn(&Case) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // On a thread of its own, whose end says which host it was.
                    let thread = std::thread::Builder::new().name(case.name.clone());
                    let host = thread.spawn_scoped(scope, || one(case)).expect("a thread");
                    let found = host.join().unwrap_or_else(|_| vec![format!("{}: see above", case.name)]);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    wrong
}

#[test]
fn the_kernel_says_the_same() {
    isolated("the_kernel_says_the_same", || {
        let mut cases = cases();
        if let Ok(only) = std::env::var(ONLY) {
            cases.retain(|case| case.name == only);
        }
        let wrong = each(&cases, one);
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// What is blocked is blocked by rules and not by the laboratory.
#[test]
fn without_rules_every_line_reaches() {
    isolated("without_rules_every_line_reaches", || {
        let mut cases = cases();
        for line in cases.iter_mut().flat_map(|case| &mut case.lines) {
            (line.local, line.verdict) = (None, Verdict::Reaches);
        }
        let wrong = each(&cases, |case| {
            let fates = kernel::fates(case, false).unwrap_or_else(|error| panic!("{error}"));
            let lines = case.lines.iter().zip(fates).filter(|(_, fate)| fate.verdict != Verdict::Reaches);
            let lines = lines.map(|(line, fate)| format!("{}: `{}`: {}", case.name, line.text, fate.said));
            let swept = swept(case, false).unwrap_or_else(|error| panic!("{error}"));
            let lost = swept.tried.iter().filter(|one| one.port.is_none());
            lines.chain(lost.map(|one| format!("{}: `{}` is lost", case.name, one.line.text))).collect()
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Our judgement of whole ways, with translation and answers, against every verdict.
#[test]
fn whole_ways_are_judged_as_the_kernel_has_them() {
    let (mut wrong, mut undecided, mut all) = (Vec::new(), Vec::new(), 0);
    for case in cases() {
        let outcomes = ways::judged(&case, &judged::read(&case));
        for (line, outcome) in case.lines.iter().zip(outcomes) {
            all += 1;
            let text = format!("{}: `{}`", case.name, line.text);
            if ways::contradicts(line, outcome) {
                wrong.push(text);
            } else if outcome.may_pass && outcome.may_block {
                undecided.push(text);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {all} lines:\n{}", wrong.len(), wrong.join("\n"));
    // docs/whole.md says which hosts these are of, and why.
    assert!(undecided.len() <= 28, "{} of {all} lines are undecided:\n{}", undecided.len(), undecided.join("\n"));
}

/// Our judgement against the kernel where no verdict was written, of the rules as files and as bytecode.
#[test]
fn our_judgement_never_contradicts_the_kernel() {
    isolated("our_judgement_never_contradicts_the_kernel", || {
        let cases = cases();
        let (tried, decided) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let wrong = each(&cases, |case| {
            if case.origin("kernel").is_some() {
                return Vec::new();
            }
            let swept = swept(case, true).unwrap_or_else(|error| panic!("{error}"));
            let text = judged::read(case);
            let mut wrong = against(case, "text", &text, &swept.tried, &decided);
            if let Some(bytecode) = &swept.bytecode {
                wrong.extend(against(case, "bytecode", bytecode, &swept.tried, &AtomicUsize::new(0)));
            }
            tried.fetch_add(swept.tried.len(), Ordering::Relaxed);
            wrong
        });
        let (tried, decided) = (tried.into_inner(), decided.into_inner());
        assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
        // Otherwise it contradicts nobody because it says nothing.
        assert!(tried > 100_000 && decided * 100 > tried * 60, "{decided} of {tried}");
    });
}

fn against(case: &Case, form: &str, ruleset: &Ruleset, tried: &[Tried], decided: &AtomicUsize) -> Vec<String> {
    let rules = Rules::new(ruleset);
    let mut wrong = Vec::new();
    for Tried { line, segment, port } in tried {
        let line = Line { local: port.filter(|port| *port != line.port), ..line.clone() };
        let Some(judged) = judged::judged(case, &rules, &line, *segment) else { continue };
        decided.fetch_add(usize::from(judged.may_pass != judged.may_block), Ordering::Relaxed);
        let against = contradiction(case, &line, judged, port.is_some());
        wrong.extend(against.map(|text| format!("{text} ({form}, {segment:?})")));
    }
    wrong
}

fn contradiction(case: &Case, line: &Line, judged: Outcome, delivered: bool) -> Option<String> {
    let against = match delivered {
        true if !judged.may_pass => "is delivered, and cannot pass by our judgement",
        false if !judged.may_block => "is not delivered, and cannot be blocked by our judgement",
        _ => return None,
    };
    Some(format!("{}: `{}`: {against}", case.name, line.text))
}

/// One host in the kernel: what differs from its verdicts, and what our judgement says against the kernel.
fn one(case: &Case) -> Vec<String> {
    if let Some(why) = case.origin("kernel") {
        not_possible(&case.name, why);
        return Vec::new();
    }
    let fates = match kernel::fates(case, true) {
        Ok(fates) => fates,
        Err(error) => return vec![format!("{}: {error}", case.name)],
    };
    let ruleset = judged::read(case);
    let rules = Rules::new(&ruleset);
    let mut wrong = Vec::new();
    for (line, fate) in case.lines.iter().zip(&fates) {
        let Fate { verdict, delivered, said } = fate;
        if *verdict != line.verdict {
            wrong.push(format!("{}/packets:{}: `{}`: {verdict}: {said}", case.name, line.number, line.text));
        }
        let judged = judged::judged(case, &rules, line, judged::OPENING);
        wrong.extend(judged.and_then(|judged| contradiction(case, line, judged, *delivered)));
    }
    wrong
}

/// What `verify` leaves open of the questions that it asks: on these hosts and no others, and docs/whole.md says why.
#[test]
fn few_hosts_leave_a_question_open() {
    const OPEN: [&str; 2] = ["bookworm-iptables-node-marks", "nftables-null-translation"];
    const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\", \"riak@10.20.0.13\"]\n\
         [networks]\nprivate = [\"10.20.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n\
         [[client]]\nname = \"app\"\nfrom = [\"10.20.0.50\"]\nservices = [\"http\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, CLUSTER).unwrap();
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    let open = |name: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command
            .arg("verify")
            .arg(&file)
            .args(["--node", "riak@10.20.0.11", "--routes"])
            .arg(hosts.join(name).join("routes"));
        let files = ["nft", "iptables", "ip6tables", "ipset"].map(|form| hosts.join(name).join(form));
        for path in files.into_iter().filter(|path| path.exists()) {
            command.arg("--ruleset").arg(path);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("reaches") && output.status.code() != Some(2), "{name}: {said}");
        said.lines().any(|line| line.trim_start().starts_with("UNDECIDED"))
    };
    let mut names: Vec<String> = cases().iter().map(|case| case.name.clone()).collect();
    names.retain(|name| open(name));
    assert_eq!(names, OPEN);
}

/// A line that says the contrary is noticed: the comparison compares.
#[test]
fn a_wrong_verdict_is_found() {
    isolated("a_wrong_verdict_is_found", || {
        let mut case = cases().into_iter().find(|case| case.name == "bookworm-nftables-hardened").expect("this host");
        for line in &mut case.lines {
            line.verdict = if line.verdict == Verdict::Reaches { Verdict::Blocked } else { Verdict::Reaches };
        }
        assert_eq!(one(&case).len(), case.lines.len());
        for (may_pass, delivered) in [(true, false), (false, true)] {
            let judged = Outcome { may_pass, may_block: !may_pass };
            assert!(contradiction(&case, &case.lines[0], judged, delivered).is_some());
            assert!(contradiction(&case, &case.lines[0], judged, !delivered).is_none());
        }
    });
}
