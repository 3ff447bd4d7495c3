//! Golden cases of `ringfence import`: `tests/import/NAME/` holds a cluster's files as Riak has them.
//!
//! - `args`, the arguments, run in the case's folder;
//! - `stdin`, what comes in there, if it is used;
//! - `cluster.toml`, what must come out; without it the run must fail with exit code 2;
//! - `stderr`, what is printed on standard error.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ringfence::cluster;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn run(case: &Path) -> Output {
    let args = fs::read_to_string(case.join("args")).unwrap();
    let stdin = File::open(case.join("stdin")).map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    // Nothing of this machine's own is found.
    command.current_dir(case).args(["import", "--files-root", "root"]).args(args.split_whitespace());
    command.stdin(stdin).output().unwrap()
}

/// In a network namespace of its own: this machine's networks would be proposed.
#[test]
fn every_case_gives_what_is_written() {
    netns::isolated("every_case_gives_what_is_written", || {
        let _namespace = netns::Namespace::unshare();
        let mut wrong = Vec::new();
        for case in cases() {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            let result = run(&case);
            let found = [result.stdout, result.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            let paths = ["cluster.toml", "stderr"].map(|file| case.join(file));
            if std::env::var_os("RINGFENCE_BLESS").is_some() {
                for (path, text) in paths.iter().zip(&found) {
                    let _ = if text.is_empty() { fs::remove_file(path) } else { fs::write(path, text) };
                }
                continue;
            }
            let code = if paths[0].exists() { 0 } else { 2 };
            if result.status.code() != Some(code) {
                wrong.push(format!("{name}: exit {:?} instead of {code}", result.status.code()));
            }
            for (path, text) in paths.iter().zip(&found) {
                let expected = fs::read_to_string(path).unwrap_or_default();
                if let Some((line, [old, new])) = first_difference(&expected, text) {
                    wrong.push(format!("{}:{line}:\n  expected {old:?}\n  found    {new:?}", path.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}\n\nRINGFENCE_BLESS=1 writes what came out", wrong.join("\n"));
    });
}

/// The first line that differs, and what stands there in each.
fn first_difference(expected: &str, found: &str) -> Option<(usize, [Option<String>; 2])> {
    let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
    let (expected, found) = (lines(expected), lines(found));
    let at = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))?;
    Some((at + 1, [expected.get(at).cloned(), found.get(at).cloned()]))
}

#[test]
fn what_comes_out_is_a_cluster_and_a_third_of_the_cases_are_bad_input() {
    let all = cases();
    let mut good = 0;
    for case in &all {
        let Ok(text) = fs::read_to_string(case.join("cluster.toml")) else { continue };
        let loaded = cluster::parse("cluster.toml", text, Path::new(""));
        assert!(loaded.cluster.is_some(), "{}: {:?}", case.display(), loaded.findings);
        good += 1;
    }
    assert!(good >= 40 && (all.len() - good) * 3 >= all.len(), "{} cases, {good} of them good", all.len());
}

fn import_into(folder: &Path, case: &str, output: &str) -> Output {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(case);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.current_dir(folder).args(["import", "--output", output, "--from"]).arg(case.join("etc"));
    command.arg("--membership").arg(case.join("stdin"));
    command.output().unwrap()
}

/// In a network namespace of its own, as above.
#[test]
fn the_file_that_is_written_compiles_and_is_never_written_over() {
    netns::isolated("the_file_that_is_written_compiles_and_is_never_written_over", || {
        let _namespace = netns::Namespace::unshare();
        let folder = tempfile::tempdir().unwrap();
        let result = import_into(folder.path(), "states", "cluster.toml");
        assert_eq!(result.status.code(), Some(0), "{result:?}");
        assert!(result.stdout.is_empty() && String::from_utf8_lossy(&result.stderr).contains("wrote cluster.toml"));
        let path = folder.path().join("cluster.toml");
        let written = fs::read_to_string(&path).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        assert!(command.arg("compile").arg(&path).stdout(Stdio::null()).status().unwrap().success());

        let result = import_into(folder.path(), "states", "cluster.toml");
        assert_eq!(result.status.code(), Some(2), "{result:?}");
        assert!(String::from_utf8_lossy(&result.stderr).contains("never overwritten"));
        assert_eq!(fs::read_to_string(&path).unwrap(), written);

        // Nothing is left of a run that failed.
        let result = import_into(folder.path(), "bad-ports", "other/cluster.toml");
        assert_eq!(result.status.code(), Some(2), "{result:?}");
        assert!(!folder.path().join("other").exists());
    });
}

#[test]
fn networks_of_this_host_are_proposed_before_usual_ones() {
    netns::isolated("networks_of_this_host_are_proposed_before_usual_ones", || {
        let _namespace = netns::Namespace::unshare();
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/16 dev eth1\nlink set eth1 up\n",
        );
        let folder = tempfile::tempdir().unwrap();
        let result = import_into(folder.path(), "states", "cluster.toml");
        assert_eq!(result.status.code(), Some(0), "{result:?}");
        let text = fs::read_to_string(folder.path().join("cluster.toml")).unwrap();
        assert!(text.contains("    \"10.20.0.0/16\", # CONFIRM: the network of eth1 on this host\n]"), "{text}");
    });
}

#[test]
fn what_the_pages_show_is_what_came_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, begins, case) in [
        ("membership", "[cluster]\nname = \"riak\"", "momentum"),
        ("rabbitmq", "[cluster]\nname = \"rabbitmq\"", "rabbitmq-host-names"),
    ] {
        let text = fs::read_to_string(root.join(format!("docs/{page}.md"))).unwrap();
        let block = text.split("```\n").find(|block| block.starts_with(begins)).expect("the block");
        let file = fs::read_to_string(root.join(format!("tests/import/{case}/cluster.toml"))).unwrap();
        let mut rest = file.lines();
        for line in block.lines().filter(|line| *line != "…") {
            assert!(rest.any(|own| own == line), "{page} shows, but no case has in this order:\n{line}");
        }
    }
}
