//! `ringfence explain`: one packet's way through the rules.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::input::{Input, node_findings, site};
use super::output::{print, warn_unknown};
use super::proof::compiled;
use super::rulesets::{Given, read_files};
use crate::cluster::Cluster;
use crate::explain::{Fate, explain};
use crate::ir::{ConnectionStates, TcpFlags};
use crate::net::Interface;
use crate::outcome::Outcome;
use crate::report::{Way, source_line};
use crate::semantics::{Locality, Packet};

/// Show one packet's way through the rules, to the line of the cluster file behind its source.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Where the packet comes from.
    #[arg(long, value_name = "ADDRESS")]
    from: IpAddr,
    /// Its TCP destination port.
    #[arg(long, value_name = "NUMBER")]
    port: u16,
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
    #[arg(long, value_name = "FILE", num_args = 1..)]
    ruleset: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(cluster) = arguments.input.load(|cluster| node_findings(cluster, arguments.node.as_deref()))? else {
        return Ok(Outcome::Unusable);
    };
    let site = site(&cluster, arguments.node.as_deref());
    let given = if arguments.ruleset.is_empty() {
        Given::made(compiled(&site)?.1)
    } else {
        read_files(arguments.ruleset.iter().map(PathBuf::as_path))?
    };
    warn_unknown(&given.unknown);
    let packet = packet(arguments, &cluster)?;
    let explained = explain(&given.ruleset, &packet);
    print(&Way::of(&packet, &explained, source(&cluster, arguments.from)).text())?;
    Ok(match explained.fate {
        Fate::Delivered => Outcome::Success,
        Fate::Blocked => Outcome::No,
        Fate::Undecided => Outcome::Undecided,
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

fn packet(arguments: &Arguments, cluster: &Cluster) -> anyhow::Result<Packet> {
    let node = arguments.node.as_deref().and_then(|name| cluster.node(name)).or(cluster.nodes().first());
    let of_family = |address: &IpAddr| address.is_ipv4() == arguments.from.is_ipv4();
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
        port: arguments.port,
        flags,
        state,
        ..Packet::plain(arguments.from)
    })
}
