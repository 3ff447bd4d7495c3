//! Whole runs on a host: `tests/live/*.txt` hold command lines behind `#`, each with all that it prints and its exit code,
//! one after the other in one network namespace with the address 10.20.0.11.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

mod transcript;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use transcript::held_against;

/// Where these tests run in a user namespace, BPF programs may not be looked for.
fn is_of_a_user_namespace(line: &str) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().nth(2) == Some("4294967295");
    !whole && line.starts_with("note: not-looked: BPF ")
}

/// The same text with one time in place of all.
fn times(line: &str) -> String {
    let is_time = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "0000-00-00T00:00:00Z"
    };
    let words = line.split(' ').map(|word| {
        let end = word.trim_end_matches([';', ',', ')', ':']);
        if is_time(end) { word.replace(end, "2026-03-01T12:00:00Z") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Within one second of an apply a file is not newer than that.
fn since(line: &str) -> String {
    match line.split_once(" was changed at ") {
        Some((_, rest)) if rest.contains("the last apply") => {
            let behind = rest.split_once("; ").map_or("", |(_, behind)| behind);
            format!("the cluster file is another than the one that was applied last; {behind}")
        }
        _ => line.to_owned(),
    }
}

fn shell(folder: &Path, line: &str) -> String {
    let program = env!("CARGO_BIN_EXE_ringfence");
    let mut words = line.strip_prefix("# ").expect("a command line").to_owned();
    for command in ["apply", "diff", "verify", "explain"] {
        // What is in /etc on a real host.
        words = words.replacen(&format!("ringfence {command}"), &format!("ringfence {command} cluster.toml"), 1);
    }
    if let Some(script) = words.strip_prefix("sed -i ") {
        let (script, file) = script.rsplit_once(' ').unwrap();
        words = format!("sed -i '{script}' {file}");
    }
    let stateless = ["verify", "explain", "compile"].iter().any(|command| line.contains(command));
    let state = if stateless { "" } else { "--state-dir state" };
    let script = format!("ringfence() {{ {program} \"$@\" {state} ${{root:-}}; }}\n{words}");
    let roots = !line.contains("--root") && ["apply", "remove", "hook"].iter().any(|command| line.contains(command));
    let root = if roots { "--root root" } else { "" };
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder)
        .env("root", root)
        .env_remove("SSH_CONNECTION")
        .output()
        .unwrap();
    let shown = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        // Paths and times are this run's own.
        let text = text.replace(&folder.display().to_string(), "/etc/ringfence");
        let seconds = |line: &str| match line.split_once("taken back in ") {
            Some((before, after)) => format!("{before}taken back in 60{}", after.trim_start_matches(char::is_numeric)),
            None => line.to_owned(),
        };
        let lines = text.lines().filter(|line| !is_of_a_user_namespace(line));
        lines.map(|line| since(&times(&seconds(line))) + "\n").collect::<String>()
    };
    let mut text = format!("{line}\n{}", shown(output.stdout));
    for line in shown(output.stderr).lines() {
        writeln!(text, "! {line}").unwrap();
    }
    writeln!(text, "[exit {}]\n", output.status.code().unwrap()).unwrap();
    text
}

fn transcript(file: &str, least: usize) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live");
    let path = tests.join(file);
    let written = fs::read_to_string(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fs::copy(tests.join("cluster.toml"), folder.join("cluster.toml")).unwrap();
    let _namespace = netns::Namespace::unshare();
    netns::ip(
        // Addresses that the kernel makes up come into use some seconds later, and what was seen before is looked at again then.
        "link set lo up\nlink add eth1 type veth peer name far\nlink set eth1 addrgenmode none\nlink set far addrgenmode none\n\
         addr add 10.20.0.11/24 dev eth1\nlink set eth1 up\nlink set far up\nroute add 10.20.1.0/24 via 10.20.0.1\n",
    );
    let commands: Vec<&str> = written.lines().filter(|line| line.starts_with("# ")).collect();
    assert!(commands.len() > least, "{} runs", commands.len());
    let found: String = commands.iter().map(|line| shell(&folder, line)).collect();
    held_against(&path, &written, &found);
}

#[test]
fn every_run_prints_what_is_written() {
    netns::isolated("every_run_prints_what_is_written", || transcript("apply.txt", 20));
}

/// What a cluster file includes is a part of it: for every look, and for what comes back where it cannot be read any more.
#[test]
fn what_is_included_counts_as_the_file_does() {
    netns::isolated("what_is_included_counts_as_the_file_does", || transcript("include.txt", 20));
}

/// Rules of iptables-nft that ask sets of ipset, which netlink has the members of.
#[test]
fn what_is_in_sets_of_ipset_is_known() {
    netns::isolated("what_is_in_sets_of_ipset_is_known", || {
        // Without the tool or the kernel's part of it there is nothing to ask.
        let _namespace = netns::Namespace::unshare();
        match netns::attempt(&["ipset", "create", "x", "hash:ip"], "") {
            Ok(_) => transcript("ipset.txt", 10),
            Err(error) => netns::not_possible("ipset", &error),
        }
    });
}

#[test]
fn what_stands_beside_the_rules_is_said() {
    netns::isolated("what_stands_beside_the_rules_is_said", || transcript("beside.txt", 10));
}

/// Root of a user namespace is no root of the machine, as in many containers.
#[test]
fn what_may_not_be_looked_for_is_said() {
    netns::isolated("what_may_not_be_looked_for_is_said", || {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/cluster.toml");
        let state = folder.path().join("state");
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", env!("CARGO_BIN_EXE_ringfence"), "diff"])
            .arg(cluster)
            .arg("--state-dir")
            .arg(state)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("could not be looked for").count(), 1, "{said}");
        for what in ["tcx", "sk_lookup", "netfilter's hooks"] {
            assert!(said.contains(what), "{said}");
        }
    });
}

/// Rules that were loaded as README says how, without `apply`.
#[test]
fn what_was_loaded_by_hand_is_named_and_replaced() {
    netns::isolated("what_was_loaded_by_hand_is_named_and_replaced", || transcript("hand.txt", 10));
}

/// What a host fell back to, whom a change concerns, and what does not change anything.
#[test]
fn what_waits_and_what_closed_is_said() {
    netns::isolated("what_waits_and_what_closed_is_said", || transcript("night.txt", 10));
}

#[test]
fn what_the_pages_show_is_what_was_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let transcript = fs::read_to_string(root.join("tests/live/apply.txt")).unwrap();
    for (page, start) in
        [("docs/apply.md", "# ringfence diff\nset"), ("README.md", "# ringfence apply --confirm-within 60s\nin")]
    {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let block = text.split("```\n").find(|block| block.starts_with(start)).expect("the block in the page");
        let mut rest = transcript.lines();
        for line in block.lines().filter(|line| *line != "…") {
            assert!(rest.any(|own| own == line), "{page} shows, but no run printed in this order:\n{line}");
        }
    }
}

/// What packages call ends well where it may not change anything, and says so; unless somebody must know.
#[test]
fn a_hook_without_the_right_says_so_and_may_be_required_to_do_it() {
    netns::isolated("a_hook_without_the_right_says_so_and_may_be_required_to_do_it", || {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/cluster.toml");
        let run = |more: &[&str]| {
            let output = Command::new("setpriv")
                .args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", env!("CARGO_BIN_EXE_ringfence")])
                .args(["hook", "post-install"])
                .arg(&cluster)
                .arg("--state-dir")
                .arg(folder.path().join("state"))
                .args(more)
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = run(&[]);
        let why = "nothing was changed: this process may not change the network (CAP_NET_ADMIN), as in many containers";
        assert!(said.contains(why) && !said.contains("/proc") && !said.contains("GUARDED"), "{said}");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(run(&["--require"]).0, Some(2));
        // What does not hold when the machine starts is not promised.
        fs::write(folder.path().join("bad.toml"), "nonsense").unwrap();
        let output = Command::new("setpriv")
            .args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", env!("CARGO_BIN_EXE_ringfence")])
            .args(["hook", "post-install", "bad.toml", "--state-dir", "state"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("bad.toml cannot be used: mend it") && !said.contains("is applied when"), "{said}");
        assert_eq!(output.status.code(), Some(0), "{said}");
    });
}

/// An edited file is told from rules that somebody changed, with both times.
#[test]
fn a_file_that_was_changed_after_the_last_apply_is_not_applied() {
    netns::isolated("a_file_that_was_changed_after_the_last_apply_is_not_applied", || {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/cluster.toml")).unwrap();
        let path = folder.path().join("cluster.toml");
        fs::write(&path, &text).unwrap();
        let _namespace = netns::Namespace::unshare();
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\n",
        );
        let run = |arguments: &[&str]| {
            let program = env!("CARGO_BIN_EXE_ringfence");
            let mut command = Command::new(program);
            command.args(arguments).args(["--state-dir", "state"]).current_dir(folder.path());
            let output = command.env_remove("SSH_CONNECTION").output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(run(&["apply", "cluster.toml", "--root", "root"]).0, Some(0));
        fs::write(&path, text.replace("10.20.0.13", "10.20.0.14")).unwrap();
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_070_908_800);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        let (code, said) = run(&["status"]);
        assert!(said.starts_with("NOT APPLIED for riak@10.20.0.11"), "{said}");
        assert!(said.contains("was changed at 2099-01-01T00:00:00Z, after the last apply at 20"), "{said}");
        assert_eq!(code, Some(6), "{said}");
    });
}

/// A host whose tools are not there: what netlink shows of ours counts, and what only has such a name does not.
#[test]
fn rules_that_no_tool_shows_are_there_all_the_same() {
    netns::isolated("rules_that_no_tool_shows_are_there_all_the_same", || {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/cluster.toml");
        fs::copy(cluster, folder.path().join("cluster.toml")).unwrap();
        let _namespace = netns::Namespace::unshare();
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\nlink set eth1 addrgenmode none\n\
             link set far addrgenmode none\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\nlink set far up\n\
             route add 10.20.1.0/24 via 10.20.0.1\n",
        );
        let program = env!("CARGO_BIN_EXE_ringfence");
        let run = |script: &str| {
            let script = format!("rf() {{ {program} \"$@\" --state-dir state; }}\n{script}");
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", &script]).current_dir(folder.path()).env_remove("SSH_CONNECTION");
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
            (output.status.code(), said)
        };
        let hide =
            |tool: &str| format!("mount --bind /dev/null \"$(readlink -f /usr/sbin/iptables-{tool})\" || exit 99\n");
        let (nft, both) = (hide("nft"), hide("nft") + &hide("legacy"));
        let load = format!(
            "{program} compile cluster.toml --format iptables -o out && iptables-nft-restore --noflush < out/ringfence.iptables"
        );
        let later = "sed -i s/10.20.0.13/10.20.0.14/ cluster.toml";

        // The chains of somebody else have a name like ours.
        let (code, said) =
            run("rf apply cluster.toml --root root; nft add table inet foo; nft add chain inet foo RINGFENCE-x");
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = run(&format!("{both}rf status --full"));
        assert!(code == Some(0) && said.starts_with("enforced"), "{said}");

        // Old rules that are confirmed away and cannot be taken.
        let (code, said) = run(&format!("{load} && {later} && rf apply cluster.toml --confirm-within 60s --root root"));
        assert_eq!(code, Some(1), "{said}");
        let (code, said) = run(&format!("{nft}rf confirm"));
        assert!(code == Some(1) && said.contains("DRIFTED all the same"), "{said}");
        for look in ["rf status", "rf status", "rf status --full", "rf diff cluster.toml"] {
            let (code, said) = run(&format!("{nft}{look}"));
            assert_eq!(code, Some(1), "{look}: {said}");
        }
        let (code, said) = run(&format!("{nft}rf apply cluster.toml --root root"));
        assert!(code == Some(1) && !said.contains("were taken away"), "{said}");
        let (code, said) = run(&format!("{nft}rf remove --root root"));
        assert!(code == Some(2) && said.contains("is not installed"), "{said}");
        let (code, said) = run("rf remove --root root");
        assert_eq!(code, Some(0), "{said}");
        let (_, said) = run("nft list ruleset");
        assert!(!said.contains("jump RINGFENCE"), "{said}");
    });
}
