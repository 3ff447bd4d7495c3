//! The rooms of the house, lowest first: a lower room never imports a higher one. And pages that say where things are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of one rank do not know each other either, and what proves never sees what compiles.
const RANKS: [&[&str]; 9] = [
    &["net", "diagnostic", "outcome"],
    &["ir", "cluster"],
    &["compile", "dialect", "semantics", "import"],
    &["verify", "explain", "diff"],
    &["prove"],
    &["host"],
    &["lint", "rehearse"],
    &["report"],
    &["cli"],
];

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn a_lower_room_never_imports_a_higher_one() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in &all {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        // The last two are the program, which has nothing but the command line and an allocator.
        if ["lib", "main", "memory"].contains(&room.as_str()) {
            continue;
        }
        let Some(own) = rank(&room) else {
            wrong.push(format!("{} is in no known room", inside.display()));
            continue;
        };
        let text = fs::read_to_string(path).unwrap();
        for other in text.split("crate::").skip(1) {
            let other: String = other.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(theirs) = rank(&other) else { continue };
            seen += 1;
            let forbidden = room == "verify" && other == "compile";
            if other != room && (theirs >= own || forbidden) {
                wrong.push(format!("{} imports {other}", inside.display()));
            }
        }
    }
    assert!(seen > 20, "only {seen} imports were seen; is this test still reading them?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The commands are one room, in which a circle would not be seen above. What a file takes from beside it stands behind `super::`.
#[test]
fn the_command_line_has_no_circle_and_no_data_of_its_own() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let mut all = Vec::new();
    files(&folder, &mut all);
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    // Tests may take whatever they test.
    all.retain(|path| name(path) != "tests");
    let known: BTreeSet<String> = all.iter().map(|path| name(path)).filter(|name| name != "mod").collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        assert!(!code.contains("derive(Serialize"), "{}: what is printed belongs into src/report", path.display());
        if name(path) == "mod" {
            continue;
        }
        let own = uses.entry(name(path)).or_default();
        for behind in code.split("super::").skip(1) {
            let several = behind.strip_prefix('{').map(|list| list.split_once('}').unwrap().0);
            for word in several.unwrap_or(behind).split(if several.is_some() { ',' } else { '\0' }) {
                let word: String = word.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(
                    known.contains(&word),
                    "{} takes `{word}` from mod.rs, which takes all of them",
                    path.display()
                );
                own.insert(word);
            }
        }
    }
    let count: usize = uses.values().map(BTreeSet::len).sum();
    assert!(count > 40, "only {count} uses were seen; is this test still reading them?");
    // Whatever uses only what is gone goes, until nothing is left, or a circle.
    while !uses.is_empty() {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, of| of.iter().any(|one| left.contains(one)));
        assert!(uses.len() < left.len(), "a circle among these: {left:?}");
    }
}

/// Every attack of docs/guard.md names a test that is there.
#[test]
fn the_attacks_of_the_guard_name_their_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guard.md")).unwrap();
    let names = page.split('`').filter(|part| part.contains("::") && !part.contains(' '));
    let mut found = 0;
    for name in names {
        let (module, test) = name.split_once("::").unwrap();
        let files = [format!("tests/lab/suite/{module}.rs"), format!("tests/faults/{module}.rs")];
        let text: String = files.iter().filter_map(|file| fs::read_to_string(root.join(file)).ok()).collect();
        assert!(text.contains(&format!("fn {test}(")), "docs/guard.md names {name}, which is no test");
        found += 1;
    }
    assert!(found > 35, "{found} tests");
}

/// A newcomer reads what a suite needs in tests/README.md, and `make test` runs it accordingly.
#[test]
fn the_page_of_the_tests_has_every_suite_under_what_it_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap().replace("\\\n", " ");
    let named = |begin: &str| -> BTreeSet<String> {
        let lines = makefile.lines().map(str::trim).filter(|line| line.starts_with(begin));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        words.windows(2).filter(|two| two[0] == "--test").map(|two| two[1].to_owned()).collect()
    };
    let page = fs::read_to_string(root.join("tests/README.md")).unwrap();
    let under = |heading: &str| -> BTreeSet<String> {
        let part = page.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
        let first = part.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('|').nth(1).unwrap());
        let names = first.flat_map(|cell| cell.split(',')).map(str::trim);
        names.filter(|name| *name != "suite" && !name.starts_with('`')).map(str::to_owned).collect()
    };
    let kernel = named("IN_THE_KERNEL");
    assert_eq!(under("Kernel"), kernel);
    assert_eq!(under("Text"), named("ON_TEXT"));
    let there = fs::read_dir(root.join("tests")).unwrap().map(|entry| entry.unwrap().path());
    let suites = there.filter(|path| path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists());
    let mut suites: BTreeSet<String> =
        suites.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    // It is no part of `make test`.
    assert!(suites.remove("constructs"));
    let machine = BTreeSet::from(["packages".to_owned()]);
    assert_eq!(under("Machine"), machine);
    assert_eq!([under("Text"), kernel, machine].into_iter().flatten().collect::<BTreeSet<_>>(), suites);
}
