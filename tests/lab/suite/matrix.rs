//! Who reaches what: every source of an expectation on every port.

use crate::lab::Lab;
use crate::lab::backend::Backend;
use crate::lab::expect::Matrix;
use crate::lab::frame::Segment;
use crate::lab::probe::Shot;
use crate::lab::rules::{Rules, golden};
use crate::lab::{HOST4, HOST6};
use std::net::SocketAddr;

/// The usual cluster's expectation, in the same words as a golden case's.
const USUAL: &str = r#"
ports = [22, 4368, 4369, 4370, 5999, 6000, 6009, 6010, 8087, 8097, 8098, 8099, 8100]
always = [22, 4368, 4370, 5999, 6010, 8097, 8100]

[[source]]
who = "a peer"
from = ["10.20.0.11", "10.20.0.12", "10.20.0.13", "fd20::13"]
reaches = [4369, 6000, 6009, 8098, 8099]

[[source]]
who = "a client of http"
from = ["10.20.1.0", "10.20.1.77", "10.20.1.255"]
reaches = [8098]

[[source]]
who = "a neighbour that is no peer"
from = ["10.20.0.10", "10.20.0.14", "fd20::12", "fd20::14", "fe80::13"]
reaches = []

[[source]]
who = "untrusted, within the private network"
from = ["10.20.0.128", "10.20.0.200", "10.20.0.255"]
reaches = []

[[source]]
who = "a stranger"
from = ["203.0.113.9", "10.20.2.0", "10.19.255.255", "10.21.0.11", "2001:db8:bad::9", "fd20:0:0:1::13"]
reaches = []
"#;

on_each_backend! {
    fn cases(backend) {
        let mut asked = 0;
        for case in golden() {
            let packets = case.join("packets.toml");
            let rules = Rules::read(&case.join("out"));
            if packets.exists() && backend.is_meant_by(&rules) {
                println!("{}", packets.display());
                ask(&Matrix::read(&packets), &rules, backend);
                asked += 1;
            }
        }
        assert!(asked > 0, "no case has a packets.toml");
    }

    fn usual_cluster(backend) {
        ask(&Matrix::parse(USUAL, "usual cluster"), &Rules::usual(), backend);
    }
}

/// Tries the whole matrix three times: without rules, where everything must be delivered; new connections; and segments in
/// the middle of a session, which meet the guard at input only.
fn ask(matrix: &Matrix, rules: &Rules, backend: Backend) {
    let lab = Lab::with(&matrix.interfaces());
    compare(&lab, matrix, "without rules", Segment::syn, |_| true);
    backend.load(rules);
    compare(&lab, matrix, "opening a connection", Segment::syn, |delivered| delivered);
    compare(&lab, matrix, "in a session", Segment::data, |delivered| delivered);
}

fn compare(
    lab: &Lab,
    matrix: &Matrix,
    what: &str,
    segment: fn(SocketAddr, SocketAddr) -> Segment,
    expect: fn(bool) -> bool,
) {
    let questions = matrix.questions();
    let shots: Vec<Shot> = questions
        .iter()
        .map(|question| {
            let from = SocketAddr::new(question.from, 20000 + lab.next());
            let to = SocketAddr::new(if question.from.is_ipv4() { HOST4 } else { HOST6 }, question.port);
            Shot { via: question.iif, ..Shot::plain(segment(from, to)) }
        })
        .collect();
    let outcomes = lab.fire(&shots);
    let wrong: Vec<String> = std::iter::zip(&questions, &outcomes)
        .filter(|(question, outcome)| outcome.delivered() != expect(question.delivered))
        .map(|(question, outcome)| {
            let got = if outcome.delivered() { "delivered" } else { "blocked" };
            format!("  {} ({}, {}) → port {}: {got}", question.who, question.from, question.iif, question.port)
        })
        .collect();
    assert!(wrong.is_empty(), "{what}, {} of {} went wrong:\n{}", wrong.len(), questions.len(), wrong.join("\n"));
}
