//! `ringfence check`: whether a cluster file can be used.

use clap::Args;

use super::input::{Input, all_node_findings, site};
use super::output::{Undone, print, print_findings};
use super::proof::explained;
use super::today::Today;
use crate::cluster::Site;
use crate::compile::SetsMode;
use crate::outcome::Outcome;
use crate::prove;

/// Check a cluster file, and write nothing.
///
/// The same as `compile` to nowhere: all findings are printed, and the rules for nft and iptables are made, read back and proved. This
/// host is not looked at; `lint` and `verify --live` do that.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// The rules of this node; otherwise those that fit every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    #[command(flatten)]
    today: Today,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let node = &arguments.node;
    let Some(cluster) = arguments.input.load(|cluster| all_node_findings(cluster, node))? else {
        return Ok(Outcome::Unusable);
    };
    let late = arguments.today.expired(&cluster)?;
    if !late.is_empty() {
        print_findings(&late, cluster.sources(), arguments.input.json, Undone::Nothing)?;
    }
    let site = site(&cluster, node);
    prove_both(&site)?;
    print("ok: the cluster file can be used, and its rules are proved\n")?;
    Ok(Outcome::Success)
}

/// iptables cannot reject, which the file may ask for.
fn prove_both(site: &Site<'_>) -> anyhow::Result<()> {
    prove::nft(site).map_err(|error| explained(error, site))?;
    if site.cluster().guard().reject_span().is_none() {
        prove::iptables(site, SetsMode::Auto).map_err(|error| explained(error, site))?;
    }
    Ok(())
}
