//! The answers about whole hosts where a mistake would be a false "yes": each file of `tests/whole` says in its first lines what
//! some answers have to be. What strangers and peers do there was seen with real packets on Linux 6.18, but for the file about
//! hidden fragments, which newer kernels drop by themselves.
//!
//! Not seen so far, but only read in rules and in the kernel's source, is what happens in `fragments-of-peers`, `no-fragments-of-peers`,
//! `notrack-of-*`, `requests-that-*`, `source-of-*`, `source-that-may-be-local`, `mark-before-nat-at-output`, `mark-behind-a-way-out`,
//! `mark-in-nat-between`, `mark-of-chains-with-one-turn`, `mark-of-nat-at-output` and `mark-that-*`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn no_answer_is_yes_that_must_not_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole");
    let (mut wrong, mut answers) = (Vec::new(), 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|extension| extension == "nft" || extension == "ipt") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (mut cluster, mut node, mut routes) = ("cluster.toml", "riak@10.20.0.11", "routes");
        let mut expected = Vec::new();
        for line in text.lines().map_while(|line| line.strip_prefix("# ")) {
            match line.split_once(' ').unwrap() {
                ("cluster", file) => cluster = file,
                ("node", own) => node = own,
                ("routes", file) => routes = file,
                expectation => expected.push(expectation),
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.args(["verify", cluster, "--node", node, "--ruleset", &name, "--routes", routes]);
        let output = command.current_dir(&folder).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!expected.is_empty(), "{name} expects nothing");
        for (word, question) in expected {
            answers += 1;
            let line = said.lines().find(|line| line.contains(&format!(" {question} ("))).unwrap_or(&said);
            if line.split_whitespace().next() != Some(word) {
                wrong.push(format!("{name}: {word} was expected: {line}"));
            }
        }
    }
    assert!(wrong.is_empty() && answers >= 20, "{answers} answers\n{}", wrong.join("\n"));
}
