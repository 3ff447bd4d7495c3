//! `ringfence verify`: proves that a ruleset does what a cluster file says.

use std::path::PathBuf;

use clap::Args;

use super::input::{Input, node_findings, site};
use super::output::{print, warn_unknown};
use super::proof::explained;
use super::rulesets::{Given, read_files};
use crate::compile::SetsMode;
use crate::outcome::Outcome;
use crate::prove;
use crate::report::{Proof, json};
use crate::verify::check;

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

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(cluster) = arguments.input.load(|cluster| node_findings(cluster, arguments.node.as_deref()))? else {
        return Ok(Outcome::Unusable);
    };
    let site = site(&cluster, arguments.node.as_deref());
    if arguments.ruleset.is_empty() && cluster.guard().reject_span().is_none() {
        prove::iptables(&site, SetsMode::Auto).map_err(|error| explained(error, &site))?;
    }
    let given = if arguments.ruleset.is_empty() {
        let emitted = prove::nft(&site).map_err(|error| explained(error, &site))?;
        Given::made(emitted.compiled().clone())
    } else {
        read_files(arguments.ruleset.iter().map(PathBuf::as_path))?
    };
    warn_unknown(&given.unknown);
    let report = check(&given.ruleset, &site, given.families)?;
    let proof = Proof::of(&report, &site, &given.ruleset, given.families, &given.writers);
    print(&if arguments.input.json { json(&proof)? } else { proof.text() })?;
    Ok(match (report.is_proved(), report.is_violated()) {
        (true, _) => Outcome::Success,
        (false, true) => Outcome::No,
        (false, false) => Outcome::Undecided,
    })
}
