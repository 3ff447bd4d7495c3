//! `ringfence explain`: one packet's way through the rules.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::host::own_links;
use super::input::{Input, all_node_findings, default_config, site};
use super::output::{present, say, warn_open, warn_unknown};
use super::proof::compiled;
use super::ruleset_files::RulesetArguments;
use super::rulesets::Given;
use crate::cluster::{Cluster, Node, Site};
use crate::explain::{Explained, Fate, explain, explain_opening};
use crate::host::identity::{Saved, nodes_of};
use crate::host::links::Link;
use crate::host::record;
use crate::host::store::Store;
use crate::host::whole::{Everything, surroundings};
use crate::ir::ours::has_part;
use crate::ir::{ConnectionStates, Ruleset, TcpFlags};
use crate::net::{Cidr, Interface, Surroundings, parse_address};
use crate::outcome::Outcome;
use crate::report::{Body, Explanation, Way, source_line};
use crate::semantics::{Locality, Packet, Question, Space};

/// Show one packet's way through the rules, to the line of the cluster file behind its source.
#[derive(Args)]
pub struct Arguments {
    /// The cluster file; `-` reads standard input. With none, and no ruleset, it is what this host has now (`--live`), and the file of
    /// this host only gives names.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
    /// Where the packet comes from: an address, or the name of a node or a client, whose first address is taken.
    #[arg(long, value_name = "ADDRESS|NAME")]
    from: String,
    /// Its TCP destination port, or the name of a service, whose first port is taken.
    #[arg(long, value_name = "NUMBER|NAME")]
    port: String,
    /// Where it goes; the node's first address by default. An address of no node is another host's.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// The interface that it comes in on. Otherwise, with --live, the one that the way back to its source leads out of; where
    /// that is not known, whatever is true of all.
    #[arg(long, value_name = "NAME")]
    iif: Option<String>,
    /// Its TCP flags, with commas between: syn, ack, fin, rst, psh, urg.
    #[arg(long, value_name = "FLAGS", default_value = "syn")]
    flags: String,
    /// The state of its connection, for rulesets that track connections; otherwise that of one that opens one: `new`, or `untracked` where
    /// rules keep it from connection tracking.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// The rules of this node; otherwise those that fit every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    #[command(flatten)]
    rulesets: RulesetArguments,
    /// All rules that this host has now. Needs root.
    #[arg(long, conflicts_with = "ruleset")]
    live: bool,
}

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// How a packet's way is told: as it is asked about, and what becomes of it.
type Telling = for<'a> fn(&'a Ruleset, &Packet) -> (Packet, Explained<'a>);

/// Whose rules decide.
#[derive(Clone, Copy)]
enum Rules {
    Kernel,
    ClusterFile,
    Files,
}

impl Rules {
    fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::ClusterFile => "cluster-file",
            Self::Files => "files",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Kernel => "by what the kernel holds now",
            Self::ClusterFile => "by the rules that the cluster file makes",
            Self::Files => "by these files",
        }
    }
}

/// What is known of this host.
struct Here {
    links: Vec<Link>,
    surroundings: Surroundings,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let live = arguments.live || (arguments.config.is_none() && arguments.rulesets.is_empty());
    let config = arguments.config.clone().unwrap_or_else(default_config);
    let input = Input { config, json: arguments.json };
    let lacks_a_file = live && arguments.config.is_none() && !input.config.exists();
    let last = lacks_a_file.then(|| applied_last(&Store::new(None), &arguments.node)).flatten();
    if last.is_some() {
        let file = input.config.display();
        say(&format!("note: there is no cluster file {file}: names are those of what was applied last"));
    }
    let loaded = match last {
        None => input.load(|cluster| all_node_findings(cluster, &arguments.node))?,
        last => last,
    };
    let Some(cluster) = loaded else { return Ok(Outcome::Unusable) };
    let site = site(&cluster, &arguments.node);
    let (given, whose, here) = if live {
        let Everything { ruleset, unknown, .. } = Everything::read()?;
        let links = own_links()?;
        let surroundings = surroundings(&links)?;
        (Given { unknown, ..Given::made(ruleset) }, Rules::Kernel, Some(Here { links, surroundings }))
    } else if arguments.rulesets.is_empty() {
        (Given::made(compiled(&site)?.1), Rules::ClusterFile, None)
    } else {
        (arguments.rulesets.read()?, Rules::Files, None)
    };
    warn_unknown(&given.unknown);
    let from = address(&arguments.from, &cluster)?;
    let packet = packet(arguments, from, port(&arguments.port, &site)?, &cluster, here.as_ref())?;
    let arrival = arrival(arguments.iif.as_deref(), &packet, here.as_ref(), &given.ruleset)?;
    // Whoever names a state asks about that one.
    let told: Telling =
        if arguments.state.is_some() { |rules, own| (own.clone(), explain(rules, own)) } else { explain_opening };
    let on = |interface: &Option<Interface>| Packet { interface: interface.clone(), ..packet.clone() };
    let fates: Vec<Fate> = arrival.on.iter().map(|one| told(&given.ruleset, &on(one)).1.fate).collect();
    let first = fates.first().copied().unwrap_or(Fate::Undecided);
    if fates.iter().any(|fate| *fate != first) {
        let all: Vec<_> = arrival.on.iter().map(Option::as_ref).zip(fates).collect();
        let explanation = Explanation::several(whose.word(), &packet, &all);
        show(whose, &explanation)?;
        warn_open(&given.ruleset);
        return Ok(Outcome::Undecided);
    }
    let packet = on(arrival.on.first().unwrap_or(&None));
    if !live && arguments.rulesets.is_empty() {
        warn_of_kernel(&packet, first, told);
    }
    let (packet, explained) = told(&given.ruleset, &packet);
    let guarded = site.protected().has(packet.port);
    let elsewhere =
        if explained.fate == Fate::Blocked { delivered_on(&given.ruleset, &packet, told)? } else { Vec::new() };
    let way = Way::of(&packet, &explained, source(&cluster, from), guarded).arriving(arrival.why, elsewhere);
    show(whose, &Explanation::one(whose.word(), way))?;
    Ok(match explained.fate {
        Fate::Delivered => Outcome::Success,
        Fate::Blocked => Outcome::No,
        Fate::Undecided => {
            warn_open(&given.ruleset);
            Outcome::Undecided
        }
    })
}

/// What was applied last, where it has these nodes: what the kernel does with a packet is told without a file as well.
fn applied_last(store: &Store, nodes: &[String]) -> Option<Cluster> {
    let cluster = record::kept(store, record::GOOD).ok()??.load().cluster;
    cluster.filter(|cluster| all_node_findings(cluster, nodes).is_empty())
}

/// The interfaces that a rule names, and on which a packet would get through that is blocked where it comes in.
fn delivered_on(ruleset: &Ruleset, packet: &Packet, told: Telling) -> anyhow::Result<Vec<String>> {
    let question = Question::default();
    let mut all: Vec<Interface> = Space::new(&[ruleset], &question)?.interfaces().iter().flatten().cloned().collect();
    // Over lo comes only what this host says to itself.
    all.retain(|interface| *interface != Interface::loopback() && packet.interface.as_ref() != Some(interface));
    all.sort();
    all.retain(|interface| {
        let there = Packet { interface: Some(interface.clone()), ..packet.clone() };
        told(ruleset, &there).1.fate == Fate::Delivered
    });
    Ok(all.iter().map(|interface| interface.as_str().to_owned()).collect())
}

fn show(whose: Rules, explanation: &Explanation) -> anyhow::Result<()> {
    let body = || Body::Explain(Box::new(explanation.clone()));
    present(body, || explanation.text(whose.text()))
}

/// Says where this host's kernel, which has rules of ours, decides otherwise now. Who may not ask it is asked about the file alone.
fn warn_of_kernel(packet: &Packet, by_file: Fate, told: Telling) {
    let Ok(Everything { ruleset, .. }) = Everything::read() else { return };
    if !ruleset.tables.iter().any(has_part) {
        return;
    }
    let now = told(&ruleset, packet).1.fate;
    if now != by_file {
        let words = match now {
            Fate::Delivered => "lets it through",
            Fate::Blocked => "blocks it",
            Fate::Undecided => "may do either",
        };
        say(&format!("warning: what this host's kernel holds now {words}: see `ringfence explain --live`"));
    }
}

/// Where a packet may come in; `None` is an interface that no rule names.
struct Arrival {
    on: Vec<Option<Interface>>,
    /// Where nobody said it.
    why: Option<String>,
}

/// An answer for an interface that the packet does not come in on is a wrong one, so that what is not known is asked for all.
fn arrival(asked: Option<&str>, packet: &Packet, here: Option<&Here>, ruleset: &Ruleset) -> anyhow::Result<Arrival> {
    let from = packet.source;
    if let Some(name) = asked {
        let interface = if name == "lo" { Interface::loopback() } else { name.parse::<Interface>()? };
        if here.is_some_and(|here| here.links.iter().all(|link| link.name != name)) {
            say(&format!("warning: this host has no interface `{}` now", name.escape_debug()));
        }
        return Ok(Arrival { on: vec![Some(interface)], why: None });
    }
    let on_lo = || {
        let why = "in on lo, as everything from this host to itself; `--iif` asks for another".to_owned();
        Arrival { on: vec![Some(Interface::loopback())], why: Some(why) }
    };
    // Linux drops what comes from elsewhere with such an address, unless net.ipv4.conf.*.route_localnet is set.
    // So does what this host sends from one of its addresses to the same one.
    let to_itself = from.is_loopback() || packet.destination == Some(from);
    if to_itself && packet.locality == Locality::Local {
        return Ok(on_lo());
    }
    let Some(Here { links, surroundings }) = here else {
        let question = Question::default();
        let mut on = Space::new(&[ruleset], &question)?.interfaces().to_vec();
        // What is the same for all is shown for one that nothing names; over lo comes only what says so.
        on.retain(|interface| interface.as_ref() != Some(&Interface::loopback()));
        on.sort();
        return Ok(Arrival { on, why: None });
    };
    if surroundings.addresses.contains(&from) {
        return Ok(on_lo());
    }
    if let Some(interface) = surroundings.towards(Cidr::host(from)) {
        let why = format!("in on {}, as the way back to {from} leads; `--iif` asks for another", interface.as_str());
        return Ok(Arrival { on: vec![Some(interface.clone())], why: Some(why) });
    }
    // A name that is none for a rule is as one that no rule names.
    let mut on: Vec<Option<Interface>> =
        links.iter().filter(|link| link.name != "lo").map(|link| link.name.parse().ok()).collect();
    on.sort();
    on.dedup();
    if on.is_empty() {
        on.push(None);
    }
    let why = "the interface is not known, and it is the same for all that this host has".to_owned();
    Ok(Arrival { on, why: Some(why) })
}

/// An address, or the first one of a node or a client with this name.
fn address(text: &str, cluster: &Cluster) -> anyhow::Result<IpAddr> {
    if let Ok(address) = parse_address(text) {
        // As programs that listen on `::` log peers of IPv4.
        if let IpAddr::V6(six) = address
            && let Some(four) = six.to_ipv4_mapped()
        {
            anyhow::bail!("`{text}` never appears in a packet: ask for the IPv4 address, `--from {four}`");
        }
        return Ok(address);
    }
    let node = cluster.node(text).and_then(|node| node.addresses().next()).map(|(address, _)| address);
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
    let full = site.services().iter().find(|service| service.service.name() == text);
    // In one of several clusters it has a plain name, which another's may have, too.
    let mut plain = site.services().iter().filter(|service| service.service.plain_name() == text);
    let named = full.or_else(|| plain.next().filter(|_| plain.next().is_none()));
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
        (None, None) if address.is_loopback() => "this host itself, which is never judged".to_owned(),
        (None, None) => "neither a node nor a client of the cluster file".to_owned(),
    }
}

fn packet(
    arguments: &Arguments,
    from: IpAddr,
    port: u16,
    cluster: &Cluster,
    here: Option<&Here>,
) -> anyhow::Result<Packet> {
    let asked = &arguments.node;
    let nodes: Vec<&Node> = match here {
        // With the addresses of the one that this host is; another host's would not be for it.
        Some(here) => nodes_of(cluster, asked, &Saved::default(), &here.links).unwrap_or_default(),
        None if asked.is_empty() => cluster.nodes().first().into_iter().collect(),
        None => asked.iter().filter_map(|name| cluster.node(name)).collect(),
    };
    let of_family = |address: &IpAddr| address.is_ipv4() == from.is_ipv4();
    let own = nodes.iter().flat_map(|node| node.addresses()).map(|(address, _)| address).find(of_family);
    let of_nodes = |to: IpAddr| cluster.nodes().iter().flat_map(Node::addresses).any(|(address, _)| address == to);
    let is_own = |to: IpAddr| here.map_or_else(|| of_nodes(to), |here| here.surroundings.addresses.contains(&to));
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
    let known = |word: &String| {
        let state = ConnectionStates::ALL.iter().find(|(_, name)| name == word);
        state.map(|(state, _)| *state).ok_or_else(|| anyhow::anyhow!("there is no state `{}`", word.escape_debug()))
    };
    let state = arguments.state.as_ref().map_or(Ok(ConnectionStates::NEW), known)?;
    Ok(Packet {
        destination: arguments.to.or(own),
        locality: if arguments.to.is_none_or(is_own) { Locality::Local } else { Locality::Foreign },
        port,
        flags,
        state,
        ..Packet::plain(from)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;
    use crate::host::Backend;
    use crate::host::record::Record;

    #[test]
    fn without_a_file_names_are_those_of_what_was_applied_last() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path().join("state")));
        assert!(applied_last(&store, &[]).is_none());
        let text = "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\"]\n[networks]\nprivate = [\"10.0.0.0/24\"]\n\
            [services.distribution]\nports = \"6000-6009\"\n";
        let cluster = parse("/root/own.toml", text.to_owned(), Path::new("")).cluster.unwrap();
        let record = Record {
            version: String::new(),
            cluster: None,
            node: None,
            backend: Backend::Nft,
            config: "/root/own.toml".into(),
            digest: cluster.digest().to_owned(),
            parts: Vec::new(),
            some: Vec::new(),
            ports: String::new(),
            root: "/".into(),
        };
        record::keep(&store, record::GOOD, &record::files(&cluster, &record, "")).unwrap();
        let last = |node: &[String]| applied_last(&store, node);
        assert!(last(&[]).is_some_and(|cluster| cluster.node("a@10.0.0.1").is_some()));
        assert!(last(&["a@10.0.0.1".to_owned()]).is_some() && last(&["b@10.0.0.2".to_owned()]).is_none());
    }
}
