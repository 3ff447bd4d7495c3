//! `ringfence explain`: one packet's way through the rules.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::input::{Input, node_findings, site};
use super::output::{print, warn_unknown};
use super::proof::compiled;
use super::rulesets::{Given, read_files};
use crate::cluster::{Cluster, Site};
use crate::explain::{Fate, explain};
use crate::host::whole::Everything;
use crate::ir::{ConnectionStates, TcpFlags};
use crate::net::{Interface, parse_address};
use crate::outcome::Outcome;
use crate::report::{Way, source_line};
use crate::semantics::{Locality, Packet};

/// Show one packet's way through the rules, to the line of the cluster file behind its source.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Where the packet comes from: an address, or the name of a node or a client, whose first address is taken.
    #[arg(long, value_name = "ADDRESS|NAME")]
    from: String,
    /// Its TCP destination port, or the name of a service, whose first port is taken.
    #[arg(long, value_name = "NUMBER|NAME")]
    port: String,
    /// Where it goes; the node's first address by default. An address of no node is another host's.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// The interface that it comes in on; by default one that no rule names.
    #[arg(long, value_name = "NAME")]
    iif: Option<String>,
    /// Its TCP flags, with commas between: syn, ack, fin, rst, psh, urg.
    #[arg(long, value_name = "FLAGS", default_value = "syn")]
    flags: String,
    /// The state of its connection, for rulesets that track connections.
    #[arg(long, value_name = "STATE", default_value = "new")]
    state: String,
    /// The rules of this node; otherwise those that fit every node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A ruleset instead of the compiled nft one; several files are taken together.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "live")]
    ruleset: Vec<PathBuf>,
    /// All rules that this host has now. Needs root.
    #[arg(long)]
    live: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(cluster) = arguments.input.load(|cluster| node_findings(cluster, arguments.node.as_deref()))? else {
        return Ok(Outcome::Unusable);
    };
    let site = site(&cluster, arguments.node.as_deref());
    let (given, whose) = if arguments.live {
        let Everything { ruleset, unknown, .. } = Everything::read()?;
        (Given { unknown, ..Given::made(ruleset) }, "by what the kernel holds now")
    } else if arguments.ruleset.is_empty() {
        (Given::made(compiled(&site)?.1), "by the rules that the cluster file makes")
    } else {
        (read_files(arguments.ruleset.iter().map(PathBuf::as_path))?, "by these files")
    };
    warn_unknown(&given.unknown);
    let from = address(&arguments.from, &cluster)?;
    let packet = packet(arguments, from, port(&arguments.port, &site)?, &cluster)?;
    let explained = explain(&given.ruleset, &packet);
    let guarded = site.protected().has(packet.port);
    print(&format!("{whose}: {}", Way::of(&packet, &explained, source(&cluster, from), guarded).text()))?;
    Ok(match explained.fate {
        Fate::Delivered => Outcome::Success,
        Fate::Blocked => Outcome::No,
        Fate::Undecided => Outcome::Undecided,
    })
}

/// An address, or the first one of a node or a client with this name.
fn address(text: &str, cluster: &Cluster) -> anyhow::Result<IpAddr> {
    if let Ok(address) = parse_address(text) {
        return Ok(address);
    }
    let node = cluster.node(text).and_then(|node| node.addresses().first()).map(|(address, _)| *address);
    let client = || cluster.clients().iter().find(|client| client.name() == text);
    let network = || client().and_then(|client| client.from().first()).map(|source| source.network.first());
    node.or_else(network).ok_or_else(|| {
        anyhow::anyhow!("`{}` is neither an address nor a node or a client of the cluster file", text.escape_debug())
    })
}

/// A port, or the first one of a service with this name.
fn port(text: &str, site: &Site<'_>) -> anyhow::Result<u16> {
    if let Ok(port) = text.parse() {
        return Ok(port);
    }
    let named = site.services().iter().find(|service| service.service.name() == text);
    let first = named.and_then(|service| service.ports.ranges().first()).map(|range| range.first());
    first.ok_or_else(|| {
        let names: Vec<&str> = site.services().iter().map(|service| service.service.name()).collect();
        anyhow::anyhow!("`{}` is neither a port nor a service; there are {}", text.escape_debug(), names.join(", "))
    })
}

/// Who of the cluster file an address is.
fn source(cluster: &Cluster, address: IpAddr) -> String {
    let untrusted = cluster.untrusted().iter().find(|source| source.network.has(address));
    match (untrusted, source_line(cluster, address)) {
        (Some(source), _) => format!("untrusted, {}", cluster.place(source.span)),
        (None, Some(line)) => line,
        (None, None) => "neither a node nor a client of the cluster file".to_owned(),
    }
}

fn packet(arguments: &Arguments, from: IpAddr, port: u16, cluster: &Cluster) -> anyhow::Result<Packet> {
    let node = arguments.node.as_deref().and_then(|name| cluster.node(name)).or(cluster.nodes().first());
    let of_family = |address: &IpAddr| address.is_ipv4() == from.is_ipv4();
    let own = node.and_then(|node| node.addresses().iter().map(|(address, _)| *address).find(of_family));
    let is_node = |to: IpAddr| cluster.nodes().iter().any(|node| node.addresses().iter().any(|(a, _)| *a == to));
    anyhow::ensure!(
        arguments.to.is_none_or(|to| of_family(&to)),
        "--from and --to are addresses of different families"
    );
    let mut flags = TcpFlags(0);
    for word in arguments.flags.split(',').filter(|word| !word.is_empty()) {
        let bit = TcpFlags(0xff).names().position(|name| name == word.trim());
        let bit = bit.ok_or_else(|| anyhow::anyhow!("there is no TCP flag `{}`", word.escape_debug()))?;
        flags = TcpFlags(flags.0 | 1 << bit);
    }
    let state = ConnectionStates::ALL.iter().find(|(_, name)| *name == arguments.state);
    let (state, _) = *state.ok_or_else(|| anyhow::anyhow!("there is no state `{}`", arguments.state.escape_debug()))?;
    let interface = match arguments.iif.as_deref() {
        None => None,
        Some("lo") => Some(Interface::loopback()),
        Some(name) => Some(name.parse::<Interface>()?),
    };
    Ok(Packet {
        destination: arguments.to.or(own),
        locality: if arguments.to.is_none_or(is_node) { Locality::Local } else { Locality::Foreign },
        interface,
        port,
        flags,
        state,
        ..Packet::plain(from)
    })
}
