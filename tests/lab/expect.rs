//! `packets.toml`: what a case says, in words of people, about who reaches what.
//!
//! It is written by hand from the cluster file and never from the rules, and it is exhaustive: every source is tried on
//! every port of `ports`.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    pub ports: BTreeSet<u16>,
    /// Ports that the guard has nothing to do with.
    pub always: BTreeSet<u16>,
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub who: String,
    pub from: Vec<IpAddr>,
    /// Of `ports`, besides `always`.
    pub reaches: BTreeSet<u16>,
    #[serde(default = "usual_interface")]
    pub iif: String,
}

fn usual_interface() -> String {
    "eth1".to_owned()
}

/// One question with its answer.
pub struct Question<'a> {
    pub who: &'a str,
    pub from: IpAddr,
    pub iif: &'a str,
    pub port: u16,
    pub delivered: bool,
}

impl Matrix {
    pub fn read(path: &Path) -> Matrix {
        let text = std::fs::read_to_string(path).expect("packets.toml");
        Matrix::parse(&text, &path.display().to_string())
    }

    pub fn parse(text: &str, name: &str) -> Matrix {
        let matrix: Matrix = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(matrix.always.is_subset(&matrix.ports), "{name}: `always` has ports that `ports` lacks");
        for source in &matrix.sources {
            assert!(!source.from.is_empty(), "{name}: {} sends from nowhere", source.who);
            assert!(source.reaches.is_subset(&matrix.ports), "{name}: {} reaches ports that `ports` lacks", source.who);
            assert!(source.reaches.is_disjoint(&matrix.always), "{name}: {} reaches what all reach", source.who);
        }
        let questions = matrix.questions();
        // An expectation that could not fail says nothing about the rules.
        assert!(questions.iter().any(|question| question.delivered), "{name}: nothing is delivered");
        assert!(questions.iter().any(|question| !question.delivered), "{name}: nothing is blocked");
        matrix
    }

    /// Every interface that is named, the usual one first: it has the default route.
    pub fn interfaces(&self) -> Vec<&str> {
        let mut names = vec!["eth1"];
        for source in &self.sources {
            if !names.contains(&source.iif.as_str()) {
                names.push(&source.iif);
            }
        }
        names
    }

    pub fn questions(&self) -> Vec<Question<'_>> {
        let mut questions = Vec::new();
        for source in &self.sources {
            for from in &source.from {
                for port in &self.ports {
                    questions.push(Question {
                        who: &source.who,
                        from: *from,
                        iif: &source.iif,
                        port: *port,
                        delivered: self.always.contains(port) || source.reaches.contains(port),
                    });
                }
            }
        }
        questions
    }
}
