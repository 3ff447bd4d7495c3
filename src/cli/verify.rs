//! `ringfence verify`: proves that a ruleset does what a cluster file says.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::proof::{describe, explained};
use super::rulesets::{Given, read_files};
use super::{Input, Outcome, print};
use crate::compile::SetsMode;
use crate::prove;
use crate::verify::{Families, Finding, Report, check};

/// Prove that a ruleset does what a cluster file says, or show the packet for which it does not.
///
/// Without `--ruleset`, what `compile` makes is proved, for nft and iptables both.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Rules for this node alone; otherwise those that fit every node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A ruleset: nft text, iptables-save text of either family, ipset text; several files are taken together.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    ruleset: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    /// The families that were judged.
    families: &'a [&'static str],
    claims: Vec<Json<'a>>,
}

#[derive(Serialize)]
struct Json<'a> {
    claim: &'a str,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(cluster) = arguments.input.load(|cluster| super::node_findings(cluster, arguments.node.as_deref()))?
    else {
        return Ok(Outcome::Unusable);
    };
    let site = super::site(&cluster, arguments.node.as_deref());
    if arguments.ruleset.is_empty() && cluster.guard().reject_span().is_none() {
        prove::iptables(&site, SetsMode::Auto).map_err(|error| explained(error, &site))?;
    }
    let given = if arguments.ruleset.is_empty() {
        let emitted = prove::nft(&site).map_err(|error| explained(error, &site))?;
        Given::made(emitted.compiled().clone())
    } else {
        read_files(arguments.ruleset.iter().map(PathBuf::as_path))?
    };
    super::warn_unknown(&given.unknown);
    let report = check(&given.ruleset, &site, given.families)?;
    if arguments.input.json {
        print(&json(&report, given.families)?)?;
    } else {
        print(&describe(&report, &site, &given))?;
    }
    Ok(match (report.is_proved(), report.is_violated()) {
        (true, _) => Outcome::Success,
        (false, true) => Outcome::No,
        (false, false) => Outcome::Undecided,
    })
}

fn json(report: &Report, families: Families) -> anyhow::Result<String> {
    let claims = report.findings().iter().map(|(claim, finding)| {
        let (result, witness) = match finding {
            Finding::Proved => ("proved", None),
            Finding::Violated(witness) => ("violated", Some(witness.packet.to_string())),
            Finding::Undecided(witness) => ("undecided", Some(witness.packet.to_string())),
            Finding::Unjudged(part) => ("undecided", Some(part.clone())),
        };
        Json { claim: claim.name(), result, witness }
    });
    let families = match families {
        Families::Both => ["IPv4", "IPv6"].as_slice(),
        Families::Ipv4 => &["IPv4"],
        Families::Ipv6 => &["IPv6"],
    };
    Ok(serde_json::to_string_pretty(&Document { families, claims: claims.collect() })? + "\n")
}
