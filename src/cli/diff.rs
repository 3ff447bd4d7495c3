//! `ringfence diff`: what changes from one ruleset or cluster file to another, or on this host.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::host::{SiteArguments, StateArguments};
use super::proof::{explained, source_line};
use super::rulesets::{detect, read_text, read_texts};
use super::{DEFAULT_CONFIG, Input, Outcome, live, membership, print};
use crate::cluster::{Cluster, Site};
use crate::diff::{Change, Difference, difference};
use crate::ir::{Elements, Ruleset};
use crate::prove;
use crate::semantics::Door;

/// Show what applying would change on this host, or what changes from one cluster file or ruleset to another.
///
/// With two files nothing of this host is looked at. Otherwise it ends as wanted exactly where `ringfence apply` would write
/// nothing.
#[derive(Args)]
pub struct Arguments {
    /// The cluster file to hold this host against; with NEW, the old cluster file (`.toml`) or ruleset.
    #[arg(value_name = "CONFIG|OLD", default_value = DEFAULT_CONFIG)]
    old: PathBuf,
    /// The new cluster file or ruleset.
    new: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    host: StateArguments,
    /// Print the difference as JSON, and findings as JSON on standard error.
    #[arg(long)]
    json: bool,
    /// Print the difference of the meaning only, not of the texts.
    #[arg(long)]
    meaning: bool,
    /// What changes when the members that riak-admin printed into this file (`-`: standard input) are admitted instead of those
    /// of the cluster file, and in which order; `cluster plan` shows what will be.
    #[arg(long, value_name = "FILE", conflicts_with = "new")]
    membership: Option<PathBuf>,
    /// With --membership: this node is about to join. May be given several times.
    #[arg(long, value_name = "NODE", requires = "membership")]
    joining: Vec<String>,
}

struct Side {
    text: String,
    ruleset: Ruleset,
    cluster: Option<Cluster>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(new_path) = &arguments.new else {
        let input = Input { config: arguments.old.clone(), json: arguments.json };
        if let Some(output) = &arguments.membership {
            return membership::run(&input, output, &arguments.joining, arguments.site.node.as_deref());
        }
        return live::run(&input, &arguments.site, &arguments.host, arguments.meaning, |_| false);
    };
    let (Some(old), Some(new)) = (side(arguments, &arguments.old)?, side(arguments, new_path)?) else {
        return Ok(Outcome::Unusable);
    };
    let found = difference(&old.ruleset, &new.ruleset)?;
    let names = Names { clusters: [&old.cluster, &new.cluster] };
    if arguments.json {
        print(&(serde_json::to_string_pretty(&json(&found, &names))? + "\n"))?;
    } else {
        let mut text = String::new();
        if !arguments.meaning {
            text.push_str(&text_difference((&arguments.old, new_path), &old.text, &new.text));
        }
        text.push_str(&describe(&found, &names));
        print(&text)?;
    }
    let undecided = found.undecided.is_some() || found.unjudged.is_some();
    Ok(match (undecided, found.is_empty()) {
        (true, _) => Outcome::Undecided,
        (false, true) => Outcome::Success,
        (false, false) => Outcome::No,
    })
}

fn side(arguments: &Arguments, path: &Path) -> anyhow::Result<Option<Side>> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        // Read once, so that both differences are of the same text.
        let text = read_text(path)?;
        let given = read_texts(&[(&path.display().to_string(), detect(&text), &text)])?;
        super::warn_unknown(&given.unknown);
        return Ok(Some(Side { text, ruleset: given.ruleset, cluster: None }));
    }
    let input = Input { config: path.to_owned(), json: arguments.json };
    let Some(cluster) = input.load(|cluster| super::node_findings(cluster, arguments.site.node.as_deref()))? else {
        return Ok(None);
    };
    let (text, ruleset) = compiled(&super::site(&cluster, arguments.site.node.as_deref()))?;
    Ok(Some(Side { text, ruleset, cluster: Some(cluster) }))
}

/// The rules of a site, proved, and as they are read back.
pub fn compiled(site: &Site<'_>) -> anyhow::Result<(String, Ruleset)> {
    let emitted = prove::nft(site).map_err(|error| explained(error, site))?;
    let text = emitted.text(prove::Text::Nft).unwrap_or_default().to_owned();
    Ok((text, emitted.verified().ruleset().clone()))
}

fn text_difference((from, to): (&Path, &Path), old: &str, new: &str) -> String {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let diff = similar::TextDiff::from_lines(old, new);
    let mut text = diff.unified_diff().context_radius(1).header(&from, &to).to_string();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// What the cluster files call things.
pub struct Names<'a> {
    pub clusters: [&'a Option<Cluster>; 2],
}

impl Names<'_> {
    /// The ports by the names of the services that have them, as far as these cover them.
    fn ports(&self, change: &Change) -> String {
        let clusters = self.clusters.iter().filter_map(|cluster| cluster.as_ref());
        for cluster in clusters {
            let site = Site::of_every_node(cluster);
            let guarded = site.services().iter().filter(|service| service.service.is_guarded());
            let inside: Vec<_> =
                guarded.filter(|service| service.ports.each().all(|port| change.ports.has(port))).collect();
            let count: u32 = inside.iter().map(|service| service.ports.count()).sum();
            if count == change.ports.count() && count > 0 {
                return inside.iter().map(|service| service.service.name()).collect::<Vec<_>>().join(", ");
            }
        }
        if change.ports.count() == u32::from(u16::MAX) {
            "every port".to_owned()
        } else {
            format!("port {}", change.ports)
        }
    }

    /// Which line of a cluster file is behind the change.
    fn cause(&self, change: &Change) -> Option<String> {
        let [old, new] = self.clusters;
        let side = if change.gains { new } else { old };
        let source = change.witness.source;
        side.as_ref().and_then(|cluster| source_line(cluster, source))
    }
}

fn sources(change: &Change) -> String {
    const NAMED: usize = 6;
    let shown: Vec<String> = change.sources.iter().take(NAMED).map(|&(first, last)| range(first, last)).collect();
    let more = match change.sources.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

fn range(first: IpAddr, last: IpAddr) -> String {
    let networks = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Elements::ipv4(vec![(a.to_bits(), b.to_bits())]).networks(),
        (IpAddr::V6(a), IpAddr::V6(b)) => Elements::ipv6(vec![(a.to_bits(), b.to_bits())]).networks(),
        _ => Vec::new(),
    };
    match networks.as_slice() {
        [one] => one.to_string(),
        _ => format!("{first}-{last}"),
    }
}

fn on(change: &Change) -> String {
    let names: Vec<&str> = change.interfaces.iter().map(crate::net::Interface::as_str).collect();
    match (names.is_empty(), change.elsewhere) {
        (true, _) => String::new(),
        (false, false) => format!(" on {}", names.join(", ")),
        (false, true) => format!(" on {} and others", names.join(", ")),
    }
}

pub fn describe(found: &Difference, names: &Names<'_>) -> String {
    let mut text = String::new();
    for change in &found.changes {
        let verb = if change.gains { "gains" } else { "loses" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {verb} {}{}", sources(change), names.ports(change), on(change));
        let _ = match names.cause(change) {
            Some(cause) => writeln!(text, " ({cause})"),
            None => writeln!(text),
        };
        let _ = writeln!(text, "  for example: {}", change.witness);
    }
    if let Some((packet, door, passes)) = &found.other {
        let door = if *door == Door::Input { "input" } else { "prerouting" };
        let fate = if *passes { "passes now" } else { "is blocked now" };
        let _ = writeln!(text, "another kind of packet {fate} at {door}: {packet}");
    }
    if let Some(part) = &found.unjudged {
        let _ = writeln!(text, "undecided, because of: {part}");
        return text;
    }
    match (&found.undecided, found.changes.is_empty() && found.other.is_none()) {
        (Some((packet, _)), _) => {
            let _ = writeln!(text, "undecided, for example for: {packet}");
        }
        (None, true) => text.push_str("both mean the same\n"),
        (None, false) if found.other.is_none() => text.push_str("nothing else changes\n"),
        (None, false) => {}
    }
    text
}

#[derive(Serialize)]
pub struct Json {
    same: bool,
    changes: Vec<JsonChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undecided: Option<String>,
}

#[derive(Serialize)]
struct JsonChange {
    change: &'static str,
    sources: Vec<String>,
    ports: Vec<String>,
    interfaces: Vec<String>,
    other_interfaces: bool,
    witness: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

pub fn json(found: &Difference, names: &Names<'_>) -> Json {
    let change = |change: &Change| JsonChange {
        change: if change.gains { "gains" } else { "loses" },
        sources: change.sources.iter().map(|&(first, last)| range(first, last)).collect(),
        ports: change.ports.ranges().iter().map(ToString::to_string).collect(),
        interfaces: change.interfaces.iter().map(ToString::to_string).collect(),
        other_interfaces: change.elsewhere,
        witness: change.witness.to_string(),
        cause: names.cause(change),
    };
    Json {
        same: found.is_empty(),
        changes: found.changes.iter().map(change).collect(),
        other: found.other.as_ref().map(|(packet, ..)| packet.to_string()),
        undecided: found.undecided.as_ref().map(|(packet, _)| packet.to_string()).or_else(|| found.unjudged.clone()),
    }
}
