//! `ringfence rehearse`: the rules in a real kernel, and real packets to them, before any host has them.

use std::cell::OnceCell;
use std::io;

use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};

use super::input::{Input, all_node_findings, site};
use super::output::{present, warn_open, warn_unknown};
use super::progress::Progress;
use super::proof::explained;
use super::ruleset_files::RulesetArguments;
use super::rulesets::Given;
use crate::cluster::Site;
use crate::host::{Backend, HostError, Prepared};
use crate::ir::Ruleset;
use crate::outcome::Outcome;
use crate::prove;
use crate::rehearse::{HostCopy, Rehearsal, RehearseError, Room, Rules, rehearse};
use crate::report::{Agreement, Body, Digested, Judged, Rehearsed};
use crate::verify::{self, Families};

/// Try the rules with real packets in a network namespace of their own, before any host has them.
///
/// Packets come from every peer, client and network of the cluster file, from just outside of these, from strangers and with forged
/// sources, over IPv4 and IPv6. What gets through is held against what the cluster file wants and what the rules compute to: it ends with
/// 0 where the three agree about every packet and the rules are proved, as by `verify`, and with 1 where they do not. Nothing of this host is touched. It takes root or user
/// namespaces; of files also the tools that load them. What only rules name, ports, flags, interfaces, addresses, is tried, too; of very much some is left out, and that is said.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// The rules of this node, which has its addresses; otherwise those that fit every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// Which of the rules that the cluster file makes.
    #[arg(long, short, value_enum, default_value = "nft", conflicts_with = "ruleset")]
    format: Format,
    #[command(flatten)]
    rulesets: RulesetArguments,
    /// Together with what this host has now: its other tables, the sets of ipset, its interfaces and their addresses, of which a copy is made
    /// first. What cannot be copied is said, and then it does not end with 0. Needs root.
    #[arg(long)]
    with_host: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Those for nft; the program nft is not needed.
    #[value(alias = "nftables")]
    Nft,
    /// Those for iptables, ip6tables and ipset.
    Iptables,
}

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.input.json
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    // The host's own rules are read where they are; nothing is changed there.
    let host = arguments.with_host.then(HostCopy::read).transpose()?;
    // Before anything else: nothing below can reach this host's own network any more, and there is no other thread yet.
    let room = Room::enter();
    let Some(cluster) = arguments.input.load(|cluster| all_node_findings(cluster, &arguments.node))? else {
        return Ok(Outcome::Unusable);
    };
    let site = site(&cluster, &arguments.node);
    let room = room?;
    let (found, (given, texts)) = if arguments.rulesets.is_empty() {
        let (found, texts) = of_site(&room, &site, arguments.format, host.as_ref())?;
        (found, (None, texts))
    } else {
        let given = arguments.rulesets.read()?;
        warn_unknown(&given.unknown);
        let texts = given.texts.iter().map(Digested::without_folder).collect();
        (of_files(&room, &site, &given, host.as_ref())?, (Some(given), texts))
    };
    let checked = |ruleset: &Ruleset, families| -> anyhow::Result<Judged> {
        let report = verify::check(ruleset, &site, families).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Judged::of(report.findings().iter().map(|(_, finding)| finding)))
    };
    let claims = match (&found.host, &given) {
        // With the host's other rules it is all of them that have to do what the file wants.
        (Some(together), _) => checked(&together.ruleset, Families::Both)?,
        (None, Some(given)) => checked(&given.ruleset, given.families)?,
        // What was compiled is proved.
        (None, None) if cluster.guard().is_staged() => Judged::OnPurpose,
        (None, None) => Judged::Proved,
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let rehearsed = Rehearsed::of(&found, &site, (given.is_none(), texts), claims, kernel);
    let verdict = rehearsed.verdict;
    let coloured = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    present(|| Body::Rehearse(Box::new(rehearsed.clone())), || rehearsed.text(coloured))?;
    let outcome = match (verdict, claims) {
        (Agreement::Disagree | Agreement::OnPurpose, _) | (_, Judged::Violated | Judged::OnPurpose) => Outcome::No,
        (Agreement::Undecided, _) | (_, Judged::Undecided) => Outcome::Undecided,
        (Agreement::Agree, Judged::Proved) => Outcome::Success,
    };
    if outcome == Outcome::Undecided {
        given.iter().for_each(|given| warn_open(&given.ruleset));
    }
    Ok(outcome)
}

fn of_site(
    room: &Room,
    site: &Site<'_>,
    format: Format,
    host: Option<&HostCopy>,
) -> anyhow::Result<(Rehearsal, Vec<Digested>)> {
    let backend = match format {
        Format::Nft => Backend::Nft,
        Format::Iptables => Backend::Iptables,
    };
    let prepared = match Prepared::new(site, backend) {
        Ok(prepared) => prepared,
        // With everything that was found, as `compile` says it.
        Err(HostError::NotProved(_)) => {
            prove::nft(site).map_err(|error| explained(error, site))?;
            anyhow::bail!("what was compiled does not do what the cluster file says")
        }
        Err(error) => return Err(error.into()),
    };
    let ruleset = prepared.verified.ruleset();
    let texts = prepared.files.iter().map(|(name, text)| Digested::of(name, text)).collect();
    Ok((with_progress(|told| rehearse(room, site, &Rules::Proved(&prepared), ruleset, host, told))?, texts))
}

fn of_files(room: &Room, site: &Site<'_>, given: &Given, host: Option<&HostCopy>) -> anyhow::Result<Rehearsal> {
    Ok(with_progress(|told| rehearse(room, site, &Rules::Files(&given.loads), &given.ruleset, host, told))?)
}

fn with_progress(
    work: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<Rehearsal, RehearseError>,
) -> Result<Rehearsal, RehearseError> {
    let bar = OnceCell::new();
    let mut before = 0;
    work(&mut |done, all| {
        bar.get_or_init(|| Progress::new(all, "packets")).more(done - before);
        before = done;
    })
}
