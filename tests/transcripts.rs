//! Whole runs: `tests/transcripts/*.txt` hold command lines behind `$`, each with all that it prints and its exit code.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod document;
mod transcript;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use transcript::held_against;

fn run(folder: &Path, line: &str) -> String {
    let arguments = line.strip_prefix("$ ringfence ").unwrap_or_else(|| panic!("not a command line: {line}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    let mut text = format!("{line}\n");
    let stdout = String::from_utf8(output.stdout).unwrap();
    if arguments.split_whitespace().any(|argument| argument == "--json") {
        document::of(&stdout);
    }
    text.push_str(&stdout);
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        writeln!(text, "! {line}").unwrap();
    }
    writeln!(text, "[exit {}]\n", output.status.code().unwrap()).unwrap();
    text
}

#[test]
fn every_run_prints_what_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut runs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") || path.ends_with("not-a-ruleset.txt") {
            continue;
        }
        let written = fs::read_to_string(&path).unwrap();
        let commands: Vec<&str> = written.lines().filter(|line| line.starts_with("$ ")).collect();
        runs += commands.len();
        let found: String = commands.iter().map(|line| run(&folder, line)).collect();
        held_against(&path, &written, &found);
    }
    assert!(runs > 20, "{runs} runs");
}

#[test]
fn what_the_pages_show_is_what_was_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let transcripts: String = ["verify", "diff", "explain", "membership"]
        .map(|name| fs::read_to_string(root.join(format!("tests/transcripts/{name}.txt"))).unwrap())
        .concat();
    let pages = ["README.md", "docs/verify.md", "docs/membership.md", "docs/troubleshooting.md"];
    let pages = pages.map(|page| fs::read_to_string(root.join(page)).unwrap());
    let blocks = pages.iter().flat_map(|page| page.split("```\n")).filter(|block| {
        ["verify", "diff", "explain"].iter().any(|name| block.starts_with(&format!("$ ringfence {name} ")))
    });
    let mut shown = 0;
    for block in blocks {
        assert!(transcripts.contains(block), "a page shows what no transcript has:\n{block}");
        shown += 1;
    }
    assert!(shown >= 4, "{shown} blocks");
}

#[test]
fn what_the_page_of_reports_shows_is_what_was_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let transcript = fs::read_to_string(root.join("tests/transcripts/report.txt")).unwrap();
    let page = fs::read_to_string(root.join("docs/report.md")).unwrap();
    let blocks: Vec<&str> = page.split("```\n").filter(|block| block.starts_with("$ ringfence ")).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert!(transcript.contains(block), "docs/report.md shows what no transcript has:\n{block}");
    }
}
