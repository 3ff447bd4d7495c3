//! The cluster file that a program's files and outputs amount to, with where each line came from.
//!
//! What is not known is not made up: a node without an address is a finding. Two things are proposed, and marked so: the
//! private networks, and a distribution range where the program has none. A host that no text names is admitted to nothing.

mod listening;
mod networks;
mod nodes;
mod on_node;
mod range;
mod replication;
mod services;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use askama::Template;

use super::hosts::Hosts;
use super::inventory::{Addresses, Client, Inventory};
use super::membership::{Member, NodeListener};
use super::settings::Settings;
use crate::cluster::{DEFAULT_PROFILE, Profile};
use crate::diagnostic::{Code, Diagnostic, Findings, Sources, Span};
use crate::net::Cidr;

pub use range::{by_release, inverted, lines_for, unheeded, ways};
pub use replication::replicated;
pub(crate) use services::free_range;
pub use services::ports_line;

/// The first line of a cluster file, by which editors with taplo know its keys (<https://taplo.tamasfe.dev/configuration/directives.html>).
pub const SCHEMA: &str = "#:schema /usr/share/ringfence/schemas/cluster.1.json";

/// What a cluster file is made of.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What the cluster is to be called.
    pub name: &'a str,
    /// The program.
    pub profile: &'static Profile,
    /// The settings of each node whose files were read.
    pub settings: &'a [Settings],
    /// The members, where an output was read.
    pub members: Option<&'a [Member]>,
    /// Where its nodes listen right now, where the output says so.
    pub listeners: &'a [NodeListener],
    /// What an inventory says, where one was read; then there are no members.
    pub inventory: Option<&'a Inventory>,
    /// Addresses of host names.
    pub hosts: Option<&'a Hosts>,
    /// Nodes that are about to join, by name.
    pub joining: &'a [String],
    /// Addresses of nodes that somebody gave by hand.
    pub addresses: &'a BTreeMap<String, Vec<IpAddr>>,
    /// The networks that this host is in, by interface.
    pub networks: &'a [(String, Cidr)],
    /// Whether networks of public address space may be proposed.
    pub allow_public: bool,
    /// The texts that all of it comes from.
    pub sources: &'a Sources,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    value: String,
    comment: String,
}

/// A node with a table of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LongNode {
    name: String,
    comment: String,
    lines: Vec<Row>,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientRows {
    name: String,
    comment: String,
    from: Vec<Row>,
    services: String,
    interfaces: Option<String>,
}

/// A service that is not as in the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServiceRows {
    name: &'static str,
    remarks: Vec<String>,
    lines: Vec<Row>,
}

#[derive(Template)]
#[template(path = "cluster.txt", escape = "none")]
struct ClusterFile {
    schema: &'static str,
    about: Vec<String>,
    name: String,
    /// Where it is another than the usual one.
    profile: Option<String>,
    /// A service that a client may use, for the example.
    example: String,
    nodes: Vec<Row>,
    long_nodes: Vec<LongNode>,
    networks: Vec<Row>,
    allow_public: bool,
    services: Vec<ServiceRows>,
    clients: Vec<ClientRows>,
}

/// Writes the cluster file. `None` only where a finding says what is missing.
pub fn write(known: &Known<'_>, findings: &mut Findings) -> Option<String> {
    let profile = known.profile;
    let before = findings.errors();
    for settings in known.settings {
        about_settings(settings, findings);
        by_release(&settings.distribution)
            .into_iter()
            .chain(unheeded(&settings.distribution))
            .for_each(|finding| findings.push(finding));
    }
    let nodes = nodes::collect(known, findings);
    // What is proposed for half a cluster would be wrong for the whole.
    let mut proposals = Findings::default();
    nodes::warn_of_unknown_members(known, &mut proposals);
    // A stranger's ports are not the cluster's.
    let of_member = |settings: &&Settings| {
        let whole = settings.name.as_ref().map(|name| name.value.as_str()).filter(|name| name.contains('@'));
        whole.is_none_or(|name| nodes.iter().any(|node| node.name == name))
    };
    let settings: Vec<Settings> = known.settings.iter().filter(of_member).cloned().collect();
    let known = &Known { settings: &settings, ..*known };
    let networks = networks::propose(&nodes, known, &mut proposals);
    let found = services::collect(known, &nodes, findings, &mut proposals);
    let clients = clients(known);
    if clients.is_empty() {
        warn(&found, profile, &mut proposals);
    }
    if findings.errors() > before || nodes.is_empty() {
        return None;
    }
    proposals.sorted().into_iter().for_each(|finding| findings.push(finding));
    let mut short = Vec::new();
    let mut long = Vec::new();
    for node in nodes {
        let own = found.own.get(&node.name).cloned().unwrap_or_default();
        match node.rows(own) {
            Ok(row) => short.push(row),
            Err(node) => long.push(node),
        }
    }
    let file = ClusterFile {
        schema: SCHEMA,
        about: about(known, &found.usual),
        name: quoted(known.name),
        profile: Some(quoted(&profile.name)).filter(|_| profile.name != DEFAULT_PROFILE),
        example: quoted(found.client_services(profile).first().copied().unwrap_or(profile.for_example())),
        nodes: short,
        long_nodes: long,
        networks,
        allow_public: known.allow_public,
        services: found.rows,
        clients,
    };
    file.render().ok().map(|text| text.trim_end().to_owned() + "\n")
}

/// The clients of an inventory.
fn clients(known: &Known<'_>) -> Vec<ClientRows> {
    let clients = known.inventory.map(|inventory| inventory.clients.as_slice()).unwrap_or_default();
    let rows = |client: &Client| ClientRows {
        name: quoted(&client.name),
        comment: place(client.span, known.sources),
        from: client
            .from
            .iter()
            .flat_map(|from| from.list.iter().map(move |network| (from, network)))
            .map(|(from, network)| Row { value: quoted(&network.to_string()), comment: said(from, known) })
            .collect(),
        services: list(client.services.iter().cloned()),
        interfaces: client.interfaces.as_ref().map(|names| list(names.iter().map(ToString::to_string))),
    };
    clients.iter().map(rows).collect()
}

/// Where addresses of an inventory come from.
fn said<T>(addresses: &Addresses<T>, known: &Known<'_>) -> String {
    let doubt = if addresses.certain { "" } else { "; CONFIRM that it comes from there" };
    format!("{}: {}{doubt}", place(addresses.span, known.sources), comment(&addresses.what))
}

/// What is worth knowing about the settings of a node, whatever is made of them.
pub fn about_settings(settings: &Settings, findings: &mut Findings) {
    if let Some(limit) = &settings.max_ports {
        let message = format!(
            "`{}` {} limits the sockets and files that the Erlang VM has open; it is no range of TCP ports",
            limit.name, limit.value
        );
        let help = "what keeps Erlang's distribution within some TCP ports is inet_dist_listen_min and _max";
        findings.push(Diagnostic::new(Code::MaxPorts, limit.span, message).help(help));
    }
    let Some(file) = settings.files.first() else { return };
    if !settings.knows_listeners {
        let message = "no file of this node was read that says where its services listen: its ports are not known";
        let help = "read all files of a node together: name their folder with `--from`";
        findings.push(Diagnostic::new(Code::UnknownSettings, Span::new(*file, 0..0), message).help(help));
    }
    if !settings.knows_flags {
        let message =
            "no file of this node was read that has its name, and may have a distribution range, such as vm.args";
        let help = "read all files of a node together: name their folder with `--from`";
        findings.push(Diagnostic::new(Code::UnknownSettings, Span::new(*file, 0..0), message).help(help));
    }
}

fn warn(found: &services::Services, profile: &'static Profile, findings: &mut Findings) {
    let open: Vec<&str> = found.client_services(profile);
    let from = if open.is_empty() { "every service".to_owned() } else { open.join(", ") };
    let message = format!("no client is known: all hosts but the nodes are cut off from {from}");
    let help =
        "add a `[[client]]` for each program that uses them from elsewhere; `ringfence diff` lists their open sessions";
    findings.push(Diagnostic::placeless(Code::NoClients, message).help(help));
}

/// Where everything came from.
fn about(known: &Known<'_>, usual: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let files = known.settings.iter().flat_map(|settings| &settings.files);
    let mut names: Vec<String> =
        files.filter_map(|id| known.sources.get(*id)).map(|file| comment(&file.name)).collect();
    let members = known.members.and_then(|members| members.first());
    names.extend(members.and_then(|member| known.sources.get(member.span.file)).map(|file| comment(&file.name)));
    let node = known.inventory.and_then(|inventory| inventory.nodes.first());
    names.extend(node.and_then(|node| known.sources.get(node.span.file)).map(|file| comment(&file.name)));
    const NAMED: usize = 12;
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    lines.extend(names.into_iter().map(|name| format!("from {name}")));
    if more > 0 {
        lines.push(format!("and {more} more files"));
    }
    if !usual.is_empty() {
        lines.push(format!("as in the profile: {}", usual.join(", ")));
    }
    lines
}

/// A place as `db1/app.config:12`: the folder tells the files of several nodes apart.
fn place(span: Span, sources: &Sources) -> String {
    let Some(file) = sources.get(span.file) else { return String::new() };
    let mut separators = file.name.rmatch_indices('/').map(|(at, _)| at + 1);
    let start = separators.nth(1).unwrap_or(0);
    format!("{}:{}", comment(file.name.get(start..).unwrap_or_default()), file.line(span.start))
}

/// A text of somebody else's, fit to stand in a comment of one line.
pub(crate) fn comment(text: &str) -> String {
    const LONGEST: usize = 120;
    text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A basic string of TOML (https://toml.io, "String").
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A list of TOML strings.
pub(crate) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}
