//! Rulesets of any size and of any ill will: each ends with an answer, or with "undecided" and the part that is too large.
//! Nothing here is timed; what is too large is so by its steps and its memory, the same on every machine.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "benches have more")]
#[path = "../benches/measure/rulesets.rs"]
mod rulesets;

use std::fmt::Write as _;
use std::path::Path;

use ringfence::cluster::{self, Cluster, Site};
use ringfence::compile;
use ringfence::dialect::{iptables, nft};
use ringfence::diff::difference;
use ringfence::ir::{Family, Ruleset};
use ringfence::verify::{Claim, Families, Finding, check};

fn cluster() -> Cluster {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs/clients.toml");
    cluster::load(&path).unwrap().cluster.unwrap()
}

fn read(text: &str) -> Ruleset {
    if text.starts_with('*') {
        iptables::read(text, Family::Ip).unwrap().ruleset
    } else {
        nft::read(text).unwrap().ruleset
    }
}

fn findings(ruleset: &Ruleset) -> Vec<(Claim, Finding)> {
    let cluster = cluster();
    check(ruleset, &Site::of_every_node(&cluster), Families::Both).unwrap().findings().to_vec()
}

fn finding(ruleset: &Ruleset, claim: Claim) -> Finding {
    findings(ruleset).into_iter().find(|(own, _)| *own == claim).unwrap().1
}

fn assert_decided(name: &str, ruleset: &Ruleset) {
    for (claim, finding) in findings(ruleset) {
        assert!(matches!(finding, Finding::Proved | Finding::Violated(_)), "{name}: {claim:?}: {finding:?}");
    }
}

#[test]
fn ordinary_rulesets_have_an_answer() {
    assert_decided("100 sources and ports", &read(&rulesets::source_and_port(100)));
    assert_decided("10,000 sources and ports", &read(&rulesets::source_and_port(10_000)));
    assert_decided("1,000 sources", &read(&rulesets::different_sources(1_000)));
}

/// Beside the guard what kube-proxy has is harmless: it translates what is not for this host's protected ports.
#[test]
fn kube_proxy_leaves_the_guard_proved() {
    let cluster = cluster();
    let mut both = read(&rulesets::kube_proxy(1_000));
    both.tables.extend(compile::nft(&Site::of_every_node(&cluster)).tables);
    assert_eq!(finding(&both, Claim::Isolation), Finding::Proved);
    assert_eq!(finding(&both, Claim::Reachability), Finding::Proved);
}

#[test]
fn what_is_made_to_be_hard_has_an_answer() {
    assert_decided("interleaved ranges", &read(&rulesets::interleaved(3_000)));
    assert_decided("sources and ports in turn", &read(&rulesets::in_turn(5_000)));
    assert_decided("every port", &read(&rulesets::every_port()));
    assert_decided("15 deep with fan-out", &read(&rulesets::deep(6)));
    assert_decided("5,000 chains", &read(&rulesets::many_chains(5_000)));
}

/// No claim is about what is routed.
#[test]
fn rules_that_no_claim_is_about_cost_nothing() {
    assert_decided("20,000 rules for routed packets", &read(&rulesets::forwarded(20_000)));
}

/// What is too large leaves undecided what depends on it, says which rules it is, and nothing else.
#[test]
fn what_is_too_large_is_named() {
    let in_turn = read(&rulesets::in_turn(10_000));
    let Finding::Unjudged(why) = finding(&in_turn, Claim::Isolation) else { panic!("isolation is decided") };
    assert_eq!(why, "the 10000 rules of chain input tell too many kinds of packets apart");
    let overlapping = read(&rulesets::interleaved(10_000));
    let Finding::Unjudged(why) = finding(&overlapping, Claim::Isolation) else { panic!("isolation is decided") };
    assert!(why.contains("overlap in too many ways"), "{why}");
    for other in [in_turn, overlapping] {
        // Our guard blocks whatever they do; whom it admits may still be blocked by them.
        let mut both = other.clone();
        let cluster = cluster();
        both.tables.extend(compile::nft(&Site::of_every_node(&cluster)).tables);
        assert_eq!(finding(&both, Claim::Isolation), Finding::Proved);
        assert_eq!(finding(&both, Claim::NonInterference), Finding::Proved);
        assert!(matches!(finding(&both, Claim::Reachability), Finding::Unjudged(_)));
        let found = difference(&other, &both).unwrap();
        assert!(found.unjudged.is_some() && !found.is_empty(), "{found:?}");
    }
}

/// iptables jumps as deep as its rules say; no chain's share of the work shrinks with its depth.
#[test]
fn very_deep_chains_are_followed() {
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n");
    for depth in 1..=250 {
        let _ = writeln!(text, ":C{depth} - [0:0]");
    }
    text.push_str("-A INPUT -j C1\n");
    for depth in 1..250 {
        let _ = writeln!(text, "-A C{depth} -s 10.9.{depth}.0/24 -p tcp --dport {depth} -j DROP");
        let _ = writeln!(text, "-A C{depth} -j C{}", depth + 1);
    }
    text.push_str("-A C250 -p tcp --dport 8098 -s 10.20.0.64/26 -j ACCEPT\nCOMMIT\n");
    let ruleset = read(&text);
    let Finding::Violated(witness) = finding(&ruleset, Claim::Isolation) else { panic!("isolation holds") };
    // The client may come in, but not from untrusted networks; here nobody else comes in, but at prerouting everybody does.
    assert!(witness.packet.port > 0, "{witness:?}");
    assert_decided("250 deep", &ruleset);
}
