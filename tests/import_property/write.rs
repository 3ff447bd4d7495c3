//! The files of a node, in the layouts of Riak's versions.

use std::fmt::Write as _;
use std::net::IpAddr;

use ringfence::import::files::Kind;

use crate::generate::Random;
use crate::model::Node;
use crate::terms::{self, Term, atom, listener, pair, shuffle};

/// Where a version has its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 0.13: `riak_core web_ip`, `riak_kv pb_ip`.
    Pairs,
    /// 0.14: `riak_core http`, `riak_kv pb_ip`.
    Lists,
    /// 1.2: `riak_core http`, `riak_api pb_ip`.
    ApiPair,
    /// 1.4: `riak_core http`, `riak_api pb` and the pair beside it.
    ApiPairAndList,
    /// 2.x in app.config: `riak_api http`.
    Api,
    /// 2.x and 3.x: riak.conf with advanced.config, perhaps with a vm.args of its own.
    Conf,
}

impl Layout {
    pub const ALL: [Self; 6] = [Self::Pairs, Self::Lists, Self::ApiPair, Self::ApiPairAndList, Self::Api, Self::Conf];

    /// Whether there are several HTTP listeners, and HTTPS.
    pub fn has_lists(self) -> bool {
        self != Self::Pairs
    }

    pub fn has_pb_list(self) -> bool {
        matches!(self, Self::ApiPairAndList | Self::Api | Self::Conf)
    }

    pub fn has_search(self) -> bool {
        matches!(self, Self::Api | Self::Conf)
    }
}

/// Applications and their settings.
type Applications = Vec<(&'static str, Vec<Term>)>;

/// Where a range is set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RangeIn {
    Args,
    Config,
    /// In both; that in vm.args counts.
    Both,
    /// The minimum in one and the maximum in the other.
    Split,
}

pub fn node(node: &Node, layout: Layout, random: &mut Random) -> Vec<(Kind, String)> {
    if layout == Layout::Conf {
        return with_riak_conf(node, random);
    }
    let place = *random.pick(&[RangeIn::Args, RangeIn::Config, RangeIn::Both, RangeIn::Split]);
    let mut applications = services(node, layout, random);
    applications.push(("kernel", kernel(node, place, random)));
    let config = terms::file(applications, random);
    let mut files = vec![(Kind::AppConfig, config), (Kind::VmArgs, vm_args(node, place, random))];
    if random.chance(10) {
        let other = "nodename = riak@10.99.0.1\nlistener.http.internal = 10.99.0.1:999\nhandoff.port = 998\n";
        files.push((Kind::RiakConf, other.to_owned()));
    }
    files
}

fn services(node: &Node, layout: Layout, random: &mut Random) -> Applications {
    let (mut core, mut api, mut kv, mut yokozuna) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let list = |all: &[(IpAddr, u16)]| Term::List(all.iter().copied().map(listener).collect());
    let apart = |prefix: &str, (ip, port): (IpAddr, u16)| {
        [pair(&format!("{prefix}_ip"), Term::Address(ip)), pair(&format!("{prefix}_port"), Term::Number(port))]
    };
    let old = || ([10, 99, 0, 1].into(), 997);
    let into = if layout == Layout::Api { &mut api } else { &mut core };
    for (key, all) in [("http", &node.http), ("https", &node.https)] {
        match (layout, all.as_slice()) {
            (_, []) => {}
            (Layout::Pairs, [one, ..]) => into.extend(apart("web", *one)),
            (_, all) => into.push(pair(key, list(all))),
        }
    }
    if layout != Layout::Pairs && !node.http.is_empty() && random.chance(20) {
        // What an upgrade left behind.
        core.extend(apart("web", old()));
        if layout == Layout::Api {
            core.push(pair("http", list(&[old()])));
        }
    }
    match (layout, node.protobuf.as_slice()) {
        (_, []) => {}
        (Layout::Pairs | Layout::Lists, [one, ..]) => kv.extend(apart("pb", *one)),
        (Layout::ApiPair, [one, ..]) => api.extend(apart("pb", *one)),
        (Layout::ApiPairAndList, [one, rest @ ..]) if random.chance(50) => {
            api.extend(apart("pb", *one));
            api.push(pair("pb", list(rest)));
        }
        (Layout::ApiPairAndList | Layout::Api | Layout::Conf, all) => api.push(pair("pb", list(all))),
    }
    core.extend(node.manager.map(|manager| pair("cluster_mgr", listener(manager))));
    core.extend(node.handoff_ip.map(|ip| pair("handoff_ip", Term::Address(ip))));
    core.extend(node.handoff_port.map(|port| pair("handoff_port", Term::Number(port))));
    if let Some((solr, jmx)) = node.search {
        yokozuna.push(pair("enabled", atom("true")));
        let solr = if random.chance(50) { Term::Text(solr.to_string()) } else { Term::Number(solr) };
        yokozuna.extend([pair("solr_port", solr), pair("solr_jmx_port", Term::Number(jmx))]);
    } else if random.chance(30) {
        yokozuna.extend([pair("enabled", atom("false")), pair("solr_port", Term::Number(996))]);
    }
    vec![("riak_core", core), ("riak_api", api), ("riak_kv", kv), ("yokozuna", yokozuna)]
}

fn kernel(node: &Node, place: RangeIn, random: &mut Random) -> Vec<Term> {
    let Some((first, last)) = node.range else { return Vec::new() };
    let (minimum, maximum) = ("inet_dist_listen_min", "inet_dist_listen_max");
    match place {
        RangeIn::Args => Vec::new(),
        RangeIn::Config if first == last && random.chance(50) => vec![pair(minimum, Term::Number(first))],
        RangeIn::Config => vec![pair(minimum, Term::Number(first)), pair(maximum, Term::Number(last))],
        RangeIn::Both => vec![pair(minimum, Term::Number(995)), pair(maximum, Term::Number(999))],
        RangeIn::Split => vec![pair(minimum, Term::Number(first))],
    }
}

fn vm_args(node: &Node, place: RangeIn, random: &mut Random) -> String {
    let quoted = |text: &str, random: &mut Random| match random.below(4) {
        0 => format!("'{text}'"),
        1 => format!("\"{text}\""),
        _ => text.to_owned(),
    };
    let mut lines = vec![format!("-name {}", quoted(&node.name, random)), "-setcookie riak".to_owned()];
    const OTHERS: [&str; 8] = [
        "+K true",
        "+A 64",
        "+W w",
        "-smp enable",
        "-env ERL_MAX_PORTS 4096",
        "+Q 65536",
        "## -name riak@10.99.0.1",
        "-env ERL_FULLSWEEP_AFTER 0 -env ERL_CRASH_DUMP ./log/erl_crash.dump",
    ];
    lines.extend(OTHERS.iter().filter(|_| random.chance(50)).map(|line| (*line).to_owned()));
    lines.extend(node.epmd.map(|port| format!("-env ERL_EPMD_PORT {}", quoted(&port.to_string(), random))));
    if let Some((first, last)) = node.range {
        let (minimum, maximum) = (format!("inet_dist_listen_min {first}"), format!("inet_dist_listen_max {last}"));
        match (place, random.below(3)) {
            (RangeIn::Config, _) => {}
            (RangeIn::Split, _) => lines.push(format!("-kernel {maximum}")),
            (RangeIn::Args, 0) if first == last => lines.push(format!("-kernel {minimum}")),
            (RangeIn::Args | RangeIn::Both, 0) => lines.push(format!("-kernel {minimum} {maximum}")),
            (RangeIn::Args | RangeIn::Both, 1) => lines.push(format!("-kernel {maximum}\n   {minimum}")),
            (RangeIn::Args | RangeIn::Both, _) => {
                lines.extend([format!("-kernel {minimum}"), format!("-kernel {maximum}")]);
            }
        }
    }
    shuffle(&mut lines, random);
    if random.chance(20) {
        // Of several names the first counts.
        lines.push("-name riak@10.99.0.2".to_owned());
    }
    let mut text = String::new();
    for line in lines {
        // A comment ends with its line.
        let end = match random.below(6) {
            0 if !line.starts_with('#') => " ",
            1 => " # -kernel inet_dist_listen_min 1\n",
            2 => "\r\n",
            3 => "\n\n\t",
            _ => "\n",
        };
        text.push_str(&line);
        text.push_str(end);
    }
    text
}

fn with_riak_conf(node: &Node, random: &mut Random) -> Vec<(Kind, String)> {
    let own_args = node.epmd.is_some();
    let (mut entries, mut core, mut kernel) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |key: String, value: String| entries.push((key, value));
    let name = if own_args { "riak@10.99.0.3" } else { node.name.as_str() };
    add("nodename".into(), name.to_owned());
    let services = [("http", &node.http), ("https", &node.https), ("protobuf", &node.protobuf)];
    for (service, listeners) in services {
        for (number, (ip, port)) in listeners.iter().enumerate() {
            let label = ["internal", "external", "odd\\.one"][number];
            let ip = if ip.is_ipv6() && random.chance(50) { format!("[{ip}]") } else { ip.to_string() };
            add(format!("listener.{service}.{label}"), format!("{ip}:{port}"));
        }
    }
    node.handoff_ip.iter().for_each(|ip| add("handoff.ip".into(), ip.to_string()));
    match node.handoff_port {
        Some(port) if random.chance(20) => core.push(pair("handoff_port", Term::Number(port))),
        Some(port) => add("handoff.port".into(), port.to_string()),
        None => {}
    }
    if let Some((solr, jmx)) = node.search {
        add("search".into(), "on".into());
        add("search.solr.port".into(), solr.to_string());
        add("search.solr.jmx_port".into(), jmx.to_string());
    }
    if let Some((first, last)) = node.range {
        if random.chance(20) {
            kernel.push(pair("inet_dist_listen_min", Term::Number(first)));
            kernel.push(pair("inet_dist_listen_max", Term::Number(last)));
        } else {
            add("erlang.distribution.port_range.minimum".into(), first.to_string());
            if first != last || random.chance(50) {
                add("erlang.distribution.port_range.maximum".into(), last.to_string());
            }
        }
    }
    core.extend(node.manager.map(|manager| pair("cluster_mgr", listener(manager))));
    let mut files = vec![(Kind::RiakConf, riak_conf(entries, node, random))];
    if own_args {
        let without_range = Node { range: None, ..node.clone() };
        files.push((Kind::VmArgs, vm_args(&without_range, RangeIn::Config, random)));
    }
    if !core.is_empty() || !kernel.is_empty() || random.chance(30) {
        files.push((Kind::AdvancedConfig, terms::file(vec![("riak_core", core), ("kernel", kernel)], random)));
    }
    files
}

fn riak_conf(mut entries: Vec<(String, String)>, node: &Node, random: &mut Random) -> String {
    const OTHERS: [(&str, &str); 4] = [
        ("ring_size", "64"),
        ("storage_backend", "bitcask"),
        ("log.console.level", "info"),
        ("erlang.max_ports", "65536"),
    ];
    entries.extend(OTHERS.iter().filter(|_| random.chance(50)).map(|(key, value)| ((*key).into(), (*value).into())));
    shuffle(&mut entries, random);
    let address = node.address.to_string();
    let mut decoys = Vec::new();
    for (key, value) in &mut entries {
        if random.chance(15) && *value != address {
            *value = value.replace(&address, "$(own.ip)");
        }
        if random.chance(15) && key.starts_with("handoff") {
            decoys.push((key.clone(), if key.ends_with("ip") { "10.99.0.4" } else { "994" }.to_owned()));
        }
    }
    let end = if random.chance(20) { "\r\n" } else { "\n" };
    let mut text = String::new();
    let own = ("own.ip".to_owned(), address);
    for (key, value) in decoys.into_iter().chain([own]).chain(entries) {
        let before = *random.pick(&["", "", "## listener.http.old = 10.99.0.5:993\n\n", "  ", "\t"]);
        let equals = *random.pick(&[" = ", "=", "\t=\t", "  =  "]);
        let behind = *random.pick(&["", "", "  ", "\t", " # as ever", "# as ever"]);
        write!(text, "{before}{key}{equals}{value}{behind}{end}").unwrap();
    }
    text
}
