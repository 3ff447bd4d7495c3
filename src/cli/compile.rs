//! `ringfence compile`: cluster file → rulesets.

mod every;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use every::Make as _;

use super::files::{Batch, write_files};
use super::input::{Input, all_node_findings, site};
use super::output::{Undone, print};
use super::proof::explained;
use super::today::Today;
use crate::cluster::{Cluster, Node, OnBlock, Site, SitePart, Term, expired};
use crate::compile::{SetsMode, openings};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect;
use crate::host::through::{firewalld, ufw};
use crate::ir::Family;
use crate::outcome::Outcome;
use crate::prove::{self, Emitted, OpenedIptables, Text};

/// procps 4.0.2 cuts a value at about 4 KB, and says nothing.
const LONGEST_SYSCTL: usize = 3900;

/// Make rulesets from a cluster file.
///
/// Prints an nft file by default. What is written was read back and proved to do what the cluster file says;
/// otherwise nothing is written.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// What to make, with commas between several; several need `-o`.
    #[arg(long, short, value_enum, value_delimiter = ',', default_value = "nft")]
    format: Vec<Format>,
    /// For this node alone: its own ports and interfaces. Otherwise one ruleset fits every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    node: Vec<String>,
    /// For each node in a folder of its own; needs `-o`.
    #[arg(long, requires = "output")]
    all: bool,
    /// The table of yours that `open-nft` is for.
    #[arg(long, value_name = "TABLE", default_value = "inet filter", value_parser = table)]
    into: (Family, String),
    /// Whether the iptables rulesets use ipsets: above 32 sources, always, or never.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    sets: Sets,
    /// Write files into this folder instead of printing; it is made if it is not there. Other files in it stay.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    today: Today,
}

const EXAMPLES: &str = "\
Examples:
  ringfence compile cluster.toml                            print the nft ruleset
  ringfence compile cluster.toml >/dev/null                 only check the file
  ringfence compile cluster.toml -f nft,sysctl -o out       write out/ringfence.nft and out/ringfence.sysctl
  ringfence compile cluster.toml --all -o out               write out/NODE/ringfence.nft for each node

Every key of the cluster file and every finding: rulesets/REFERENCE.md";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For `nft -f`.
    #[value(alias = "nftables")]
    Nft,
    /// For `iptables-restore --noflush`.
    Iptables,
    /// For `ip6tables-restore --noflush`.
    Ip6tables,
    /// For `ipset restore`, before the two above.
    Ipset,
    /// The protected ports as reserved ports, for `sysctl -p`.
    Sysctl,
    /// The nft ruleset as data.
    Json,
    /// For `nft -f`: chains for a table of yours that drops, which let through whom the guard admits.
    OpenNft,
    /// The same for `iptables-restore --noflush`.
    OpenIptables,
    /// The same for `ip6tables-restore --noflush`.
    OpenIp6tables,
    /// For `ipset restore`, before the two above, where there are more than 32 sources.
    OpenIpset,
    /// The same as firewalld's own files.
    Firewalld,
    /// The same as commands of ufw.
    Ufw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sets {
    Auto,
    Always,
    Never,
}

impl Format {
    fn file_name(self) -> &'static str {
        match self {
            Self::Nft => "ringfence.nft",
            Self::Iptables => "ringfence.iptables",
            Self::Ip6tables => "ringfence.ip6tables",
            Self::Ipset => "ringfence.ipset",
            Self::Sysctl => "ringfence.sysctl",
            Self::Json => "ringfence.json",
            Self::OpenNft => "ringfence-open.nft",
            Self::OpenIptables => "ringfence-open.iptables",
            Self::OpenIp6tables => "ringfence-open.ip6tables",
            Self::OpenIpset => "ringfence-open.ipset",
            Self::Firewalld => "ringfence-open.firewalld",
            Self::Ufw => "ringfence-open.ufw",
        }
    }

    fn is_iptables(self) -> bool {
        matches!(self, Self::Iptables | Self::Ip6tables)
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        arguments.format.len() == 1 || arguments.output.is_some(),
        "several formats need a folder to be written to: add `-o DIR`"
    );
    let today = arguments.today.day();
    let late = |cluster: &Cluster| today.as_ref().map(|day| expired(cluster, *day)).unwrap_or_default();
    let further = |cluster: &Cluster| late(cluster).into_iter().chain(findings(arguments, cluster)).collect();
    let Some(cluster) = arguments.input.load_to(Undone::Written, further)? else {
        return Ok(Outcome::Unusable);
    };
    // Rules that have nothing to do with days do not fail because of one.
    if !Term::all(&cluster).is_empty() {
        today?;
    }
    if let (true, Some(output)) = (arguments.all, &arguments.output) {
        let batch = Batch::into(output)?;
        every::write(&cluster, &batch, arguments)?;
        batch.finish()?;
    } else {
        let site = site(&cluster, &arguments.node);
        let texts = arguments.texts(&arguments.make(&site)?, &site)?;
        match &arguments.output {
            None => texts.iter().try_for_each(|(_, text)| print(text))?,
            Some(output) => write_files(output, &texts)?,
        }
    }
    // The process is about to end, and giving back the memory of 100,000 nodes piece by piece takes a while.
    std::mem::forget(cluster);
    Ok(Outcome::Success)
}

/// What is wrong with this cluster for these arguments.
fn findings(arguments: &Arguments, cluster: &Cluster) -> Vec<Diagnostic> {
    let mut findings = all_node_findings(cluster, &arguments.node);
    if arguments.all && cluster.is_joined() {
        let message =
            format!("`--all` makes the rules of each node of one cluster, and these are several: {}", cluster.name());
        let help = "which of their nodes share a host no file says: name them with `--node`, once for each cluster";
        findings.push(Diagnostic::placeless(Code::ClusterFolder, message).help(help));
    }
    if let (Some(span), true) = (cluster.guard().reject_span(), arguments.format.iter().any(|f| f.is_iptables())) {
        debug_assert_eq!(cluster.guard().on_block(), OnBlock::Reject);
        let message = "iptables cannot reject in the tables raw and mangle";
        let help = "write `on-block = \"drop\"`, or make `--format nft` only";
        findings.push(Diagnostic::new(Code::NotInDialect, span, message).help(help));
    }
    let site = Site::of_every_node(cluster);
    let ports = site.protected();
    if arguments.format.contains(&Format::Sysctl) && ports.to_string().len() > LONGEST_SYSCTL {
        let message = format!(
            "the sysctl has {} ranges of ports, which some versions of `sysctl` cut short",
            ports.ranges().len()
        );
        let help =
            "write the value to /proc/sys/net/ipv4/ip_local_reserved_ports in one piece, or use fewer, wider ranges";
        findings.push(Diagnostic::placeless(Code::LongPortList, message).help(help));
    }
    if arguments.node.is_empty() && !arguments.all {
        let of = |part: &SitePart<'_>| part.widened().into_iter().map(|node| widened(part, node)).collect::<Vec<_>>();
        findings.extend(site.parts().iter().flat_map(of));
    }
    findings
}

/// A node's own interfaces are less strict in rules that fit every node; that must not go unsaid.
fn widened(site: &SitePart<'_>, node: &Node) -> Diagnostic {
    let on = match site.interfaces() {
        None => "any interface".to_owned(),
        Some(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let message = format!("rules for every node admit on {on}, not only on the interfaces of `{}`", node.name());
    let help = "make each node its own rules with `--node NAME` or `--all -o DIR`";
    Diagnostic::new(Code::InterfacesWidened, node.span(), message).help(help)
}

impl every::Make for Arguments {
    type Made = Made;

    fn make(&self, site: &Site<'_>) -> anyhow::Result<Made> {
        proven(self, site)
    }

    fn texts(&self, made: &Made, site: &Site<'_>) -> anyhow::Result<every::Texts> {
        self.format.iter().map(|&format| Ok((format.file_name(), text(format, site, made)?))).collect()
    }

    fn texts_for(&self, made: &Made, site: &Site<'_>, other: &Site<'_>) -> Option<every::Texts> {
        let of = |emitted: &Option<Emitted>, text| emitted.as_ref()?.text_for(text, site, other);
        let text = |format| match format {
            Format::Nft => of(&made.nft, Text::Nft),
            Format::Iptables => of(&made.iptables, Text::Iptables),
            Format::Ip6tables => of(&made.iptables, Text::Ip6tables),
            Format::Ipset => of(&made.iptables, Text::Ipset),
            // It says nothing but ports.
            Format::Sysctl => text(format, other, made).ok(),
            // JSON is proved on what it was written from, and what other firewalls are to let through names this host's addresses.
            Format::Json
            | Format::OpenNft
            | Format::OpenIptables
            | Format::OpenIp6tables
            | Format::OpenIpset
            | Format::Firewalld
            | Format::Ufw => None,
        };
        self.format.iter().map(|&format| Some((format.file_name(), text(format)?))).collect()
    }
}

/// What was asked for, proved.
#[derive(Default)]
pub(super) struct Made {
    nft: Option<Emitted>,
    iptables: Option<Emitted>,
    ipset: Option<String>,
    open_nft: Option<String>,
    open_iptables: Option<OpenedIptables>,
}

/// The rules that were asked for, and those that their proof needs.
fn proven(arguments: &Arguments, site: &Site<'_>) -> anyhow::Result<Made> {
    let sets = match arguments.sets {
        Sets::Auto => SetsMode::Auto,
        Sets::Always => SetsMode::Always,
        Sets::Never => SetsMode::Never,
    };
    let wants = |any: &[Format]| arguments.format.iter().any(|format| any.contains(format));
    let explained = |error| explained(error, site);
    let mut made = Made::default();
    if wants(&[Format::Nft, Format::Json]) {
        made.nft = Some(prove::nft(site).map_err(explained)?);
    }
    if wants(&[Format::Iptables, Format::Ip6tables]) {
        made.iptables = Some(prove::iptables(site, sets).map_err(explained)?);
    } else if wants(&[Format::Ipset]) {
        made.ipset = Some(prove::ipsets(site, sets).map_err(explained)?);
    }
    if wants(&[Format::OpenNft]) {
        let (family, name) = &arguments.into;
        made.open_nft = Some(prove::opened_nft(site, *family, name).map_err(explained)?);
    }
    if wants(&[Format::OpenIptables, Format::OpenIp6tables, Format::OpenIpset]) {
        made.open_iptables = Some(prove::opened_iptables(site).map_err(explained)?);
    }
    if wants(&[Format::Firewalld, Format::Ufw]) {
        prove::openings_hold(site).map_err(explained)?;
    }
    Ok(made)
}

/// Family and name of a table.
fn table(text: &str) -> Result<(Family, String), String> {
    let families = [Family::Inet, Family::Ip, Family::Ip6];
    let named = text.split_once(' ').and_then(|(family, name)| {
        let family = families.into_iter().find(|own| own.name() == family)?;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        (plain && name.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| (family, name.to_owned()))
    });
    named.ok_or_else(|| "a table is a family, inet, ip or ip6, and a name: `inet filter`".to_owned())
}

fn text(format: Format, site: &Site<'_>, made: &Made) -> anyhow::Result<String> {
    const NOT_MADE: &str = "this format was not made";
    let of = |emitted: &Option<Emitted>, text| {
        emitted.as_ref().and_then(|emitted| emitted.text(text)).map(str::to_owned).context(NOT_MADE)
    };
    Ok(match format {
        Format::Nft => of(&made.nft, Text::Nft)?,
        Format::Iptables => of(&made.iptables, Text::Iptables)?,
        Format::Ip6tables => of(&made.iptables, Text::Ip6tables)?,
        Format::Ipset => match &made.ipset {
            Some(text) => text.clone(),
            None => of(&made.iptables, Text::Ipset)?,
        },
        Format::Sysctl => {
            let text = dialect::sysctl::write(&site.protected())?;
            let whole = dialect::sysctl::read(&text).as_ref() == Some(&site.protected());
            anyhow::ensure!(whole, "the sysctl does not reserve the ports that it should; nothing was written");
            text
        }
        Format::OpenNft => made.open_nft.clone().context(NOT_MADE)?,
        Format::OpenIptables => made.open_iptables.as_ref().context(NOT_MADE)?.v4.clone(),
        Format::OpenIp6tables => made.open_iptables.as_ref().context(NOT_MADE)?.v6.clone(),
        Format::OpenIpset => made.open_iptables.as_ref().context(NOT_MADE)?.ipset.clone(),
        Format::Firewalld => firewalld::text(&openings(site)),
        Format::Ufw => ufw::text(&openings(site))?,
        Format::Json => {
            let emitted = made.nft.as_ref().context(NOT_MADE)?;
            emitted.json(site).map_err(|error| explained(error, site))?
        }
    })
}
