//! What was written is read as what was compiled, and what the kernel gives back as what was loaded.
//!
//! For the kernel, every golden nft ruleset is loaded into a network namespace of its own, listed in every way that `nft`
//! has, and read again; so is `readers/exact.nft`, which has what other people write. That needs root and `nft`;
//! `RINGFENCE_SKIP_KERNEL=1` leaves it out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringfence::cluster::{self, Site};
use ringfence::compile;
use ringfence::dialect::{iptables, nft};
use ringfence::ir::statement::Way;
use ringfence::ir::{Destined, Family, Foreign, Match, Rule, Ruleset, Statement, Verdict};

fn golden_cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = cases.filter(|case| case.join("out/ringfence.nft").is_file()).collect();
    cases.sort();
    cases
}

/// Without what says where and why, which the kernel does not keep.
fn bare(mut ruleset: Ruleset) -> Ruleset {
    ruleset.header.clear();
    for table in &mut ruleset.tables {
        table.sets.iter_mut().for_each(|set| set.origins.clear());
        for chain in &mut table.chains {
            chain.remarks.clear();
            for rule in &mut chain.rules {
                *rule = Rule { place: None, ..rule.clone().without_counts() };
            }
        }
    }
    ruleset
}

fn listed(file: &Path, options: &str) -> String {
    let script = format!("ip link set lo up; nft -f \"$0\" && nft {options} list ruleset");
    let output = Command::new("unshare").args(["--net", "sh", "-c", &script]).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", file.display());
    String::from_utf8(output.stdout).unwrap()
}

/// A listing is the same ruleset, whichever way it is printed.
fn listings_equal(file: &Path) {
    let loaded = nft::read(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(loaded.unknown, [], "{}", file.display());
    let loaded = bare(loaded.ruleset);
    for options in ["", "-s", "-n", "-nn", "-a", "-s -nn -a"] {
        let listing = nft::read(&listed(file, options)).unwrap();
        assert_eq!(listing.unknown, [], "{} {options}", file.display());
        let listing = bare(listing.ruleset);
        for (found, expected) in listing.tables.iter().zip(&loaded.tables) {
            assert_eq!(found.sets, expected.sets, "{} {options}", file.display());
            for (found, expected) in found.chains.iter().zip(&expected.chains) {
                for (found, expected) in found.rules.iter().zip(&expected.rules) {
                    assert_eq!(found, expected, "{} {options}", file.display());
                }
            }
        }
        assert_eq!(listing, loaded, "{} {options}", file.display());
    }
}

#[test]
fn the_kernel_gives_back_what_was_loaded() {
    if std::env::var_os("RINGFENCE_SKIP_KERNEL").is_some() {
        return;
    }
    let cases = golden_cases();
    assert!(cases.len() >= 15, "only {} golden rulesets were found", cases.len());
    for case in cases {
        listings_equal(&case.join("out/ringfence.nft"));
    }
    listings_equal(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/exact.nft"));
}

/// nft puts a test on TCP before a reset, and so does the reader.
fn with_tcp_before_reset(rule: &mut Rule) {
    let tcp =
        |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::Protocol { number: 6, negated: false });
    if matches!(rule.verdict, Some(Verdict::Reject(_))) && !rule.matches.iter().any(tcp) {
        rule.matches.insert(0, Match::Protocol { number: 6, negated: false });
    }
}

/// The cluster file of a case, or its folder of several.
fn config(case: &Path) -> PathBuf {
    let folder = case.join("clusters.d");
    if folder.is_dir() { folder } else { case.join("cluster.toml") }
}

#[test]
fn what_was_written_is_read_as_what_was_compiled() {
    for case in golden_cases() {
        let arguments = fs::read_to_string(case.join("args")).unwrap_or_default();
        let name = arguments.split_once("--node ").map(|(_, name)| name.split_whitespace().next().unwrap());
        let cluster = cluster::load(&config(&case)).unwrap().cluster.unwrap();
        let site = match name {
            Some(name) => Site::of_node(&cluster, cluster.node(name).unwrap()),
            None => Site::of_every_node(&cluster),
        };
        let mut compiled = bare(compile::nft(&site));
        let chains = compiled.tables.iter_mut().flat_map(|table| &mut table.chains);
        chains.flat_map(|chain| &mut chain.rules).for_each(with_tcp_before_reset);
        let read = nft::read(&fs::read_to_string(case.join("out/ringfence.nft")).unwrap()).unwrap();
        assert_eq!(bare(read.ruleset), compiled, "{}", case.display());
    }
}

/// How far rules are understood, in the words of the page.
fn understood(rules: &[Rule]) -> &'static str {
    let open = |one: &Statement| match one {
        Statement::Translate(_, to) => *to == Destined::Unknown,
        other => other.effect().way == Way::Anything,
    };
    let unknown = |one: &Match| matches!(one, Match::Unknown(_));
    let varies = |one: &Match| matches!(one, Match::Foreign(Foreign::Varies { .. }));
    let lost = |rule: &Rule| {
        matches!(rule.verdict, Some(Verdict::Unknown(_)))
            || rule.statements.iter().any(open)
            || (rule.matches.iter().any(unknown) && rule.matches.iter().all(unknown))
    };
    if rules.iter().any(lost) {
        "unknown"
    } else if rules.iter().flat_map(|rule| &rule.matches).any(|one| unknown(one) || varies(one)) {
        "bounded"
    } else {
        "exact"
    }
}

fn rules_of(read: Result<ringfence::dialect::Read, ringfence::dialect::ReadError>, example: &str) -> Vec<Rule> {
    let read = read.unwrap_or_else(|error| panic!("{example}: {error}"));
    let chains = read.ruleset.tables.into_iter().flat_map(|table| table.chains);
    chains.flat_map(|chain| chain.rules).collect()
}

/// `docs/constructs.md` says of each example how far it is understood.
#[test]
fn the_page_of_constructs_is_true() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/constructs.md")).unwrap();
    let (mut section, mut seen, mut wrong) = ("", 0, Vec::new());
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let Some((example, claim)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else { continue };
        let (example, claim) = (example.replace("\\|", "|"), claim.trim_end_matches(" |"));
        let rules = match section {
            "nft" => {
                let text = format!(
                    "table inet t {{\nset four {{ type ipv4_addr; elements = {{ 10.0.0.1 }} }}\nset seen {{ type ipv4_addr; flags \
                     dynamic }}\nchain c {{\n{example}\n}}\n}}\n"
                );
                rules_of(nft::read(&text), &example)
            }
            "iptables" | "ip6tables" => {
                let family = if section == "iptables" { Family::Ip } else { Family::Ip6 };
                rules_of(iptables::read(&format!("*nat\n-A PREROUTING {example}\nCOMMIT\n"), family), &example)
            }
            other => panic!("{other}: {line}"),
        };
        assert!(!rules.is_empty(), "{example}");
        if understood(&rules) != claim {
            wrong.push(format!("{example} is {}, not {claim}", understood(&rules)));
        }
        seen += 1;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 150, "{seen} examples");
}
