//! Who is in the cluster, from what `ansible-inventory --list` prints.
//!
//! Of the groups one has the nodes and one the clients, with all groups below them. A host's variables come merged, as Ansible would
//! use them: `_meta.hostvars`. Read are `ansible_host` and what begins with `ringfence_`:
//!
//! | variable | of | meaning |
//! |---|---|---|
//! | `ringfence_name` | both | the node's name, as Erlang has it; the client's, which several hosts may share. Otherwise the host's in the inventory |
//! | `ringfence_addresses` | both | its addresses, of a client also networks. Otherwise `ansible_host`, or the host's name in the inventory |
//! | `ringfence_ports` | node | ports by service |
//! | `ringfence_interfaces` | both | the interfaces on which it admits, or is admitted |
//! | `ringfence_services` | client | what it may use |
//!
//! Nothing is guessed and nothing is looked up: a name is an address only where a file of addresses says which. A variable that begins
//! with `ringfence_` and is not listed here, such as those of a role, is left alone unless it nearly has one of these names.

mod groups;
mod host;
mod json;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;

use super::hosts::Hosts;
use crate::cluster::Profile;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::net::{Cidr, Interface, Ports};

use groups::Groups;
use host::Reader;
use json::{Json, Kind};

/// What is asked of an inventory.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The program, whose services are named.
    pub profile: &'static Profile,
    /// The group of the nodes.
    pub nodes: &'a str,
    /// The group of the clients; where it is not named, it need not be there.
    pub clients: Option<&'a str>,
    /// Addresses of names.
    pub hosts: Option<&'a Hosts>,
    /// Addresses of nodes that somebody gave by hand, which so need no others.
    pub given: &'a dyn Fn(&str) -> bool,
    /// Whether nodes may have public addresses.
    pub allow_public: bool,
}

/// The group of the clients where none is named.
pub const CLIENTS: &str = "clients";

/// What an inventory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In the order of the groups.
    pub nodes: Vec<Node>,
    /// In the order in which each is first named.
    pub clients: Vec<Client>,
}

/// Addresses of a host, and their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses<T> {
    /// Each once.
    pub list: Vec<T>,
    /// The place of the first.
    pub span: Span,
    /// The variable that has them: `ansible_host`.
    pub what: String,
    /// Whether that is what others see, or only how the host is reached.
    pub certain: bool,
}

/// A host of the nodes' group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// Where that stands.
    pub span: Span,
    /// What it is called in the inventory.
    pub host: String,
    /// Nothing where they were given by hand.
    pub addresses: Option<Addresses<IpAddr>>,
    /// Ports by service, and their place.
    pub ports: Vec<(&'static str, Ports, Span)>,
    /// The interfaces on which it admits, if it names any, and their place.
    pub interfaces: Option<(Vec<Interface>, Span)>,
}

/// One or several hosts of the clients' group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Where that stands first.
    pub span: Span,
    /// Where each host comes from.
    pub from: Vec<Addresses<Cidr>>,
    /// What it may use.
    pub services: Vec<String>,
    /// Where that stands.
    pub services_span: Span,
    /// The interfaces on which it is admitted, if it names any.
    pub interfaces: Option<Vec<Interface>>,
}

/// What to give instead.
const HELP: &str = "give all that `ansible-inventory --list` prints, as JSON and without `--export`";

/// Reads an inventory. With any finding that is an error there is no result.
pub fn parse(text: &str, file: FileId, asked: &Asked<'_>, findings: &mut Findings) -> Option<Inventory> {
    let mut own = Findings::bounded();
    let inventory = read(text, file, asked, &mut own);
    let whole = own.errors() == 0;
    findings.append(own);
    inventory.filter(|_| whole)
}

fn refuse(span: Span, message: impl Into<String>, findings: &mut Findings) {
    findings.push(Diagnostic::new(Code::InventorySyntax, span, message).help(HELP));
}

fn read(text: &str, file: FileId, asked: &Asked<'_>, findings: &mut Findings) -> Option<Inventory> {
    let json = match Json::parse(text, file) {
        Ok(json) => json,
        Err(error) => {
            // Both count from 1, and a line of 0 is none.
            let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let mut at = (line + error.column().saturating_sub(1)).min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            refuse(Span::new(file, at..at), format!("this is no JSON: {said}"), findings);
            return None;
        }
    };
    let Kind::Object(entries) = json.kind() else {
        refuse(json.span(), "this is no inventory, which is an object of groups", findings);
        return None;
    };
    let groups = Groups::read(json.span(), entries, findings)?;
    let reader = Reader { variables: &groups.variables, asked };
    let nodes = groups.hosts(asked.nodes, true, findings);
    let clients = groups.hosts(asked.clients.unwrap_or(CLIENTS), asked.clients.is_some(), findings);
    let nodes: Vec<Node> = nodes.iter().filter_map(|(host, span)| reader.node(host, *span, findings)).collect();
    let clients: Vec<Client> = clients.iter().filter_map(|(host, span)| reader.client(host, *span, findings)).collect();
    twice(&nodes, findings);
    distribution(&nodes, findings);
    Some(Inventory { nodes, clients: merged(clients, findings) })
}

/// Names and addresses belong to one node each.
fn twice(nodes: &[Node], findings: &mut Findings) {
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut addresses: HashMap<IpAddr, (&str, Span)> = HashMap::new();
    for node in nodes {
        let shown = node.name.escape_debug();
        if let Some(first) = names.insert(&node.name, node.span) {
            let finding = Diagnostic::new(Code::DuplicateName, node.span, format!("two nodes are called `{shown}`"));
            let help = "every node has a name of its own: `ringfence_name`";
            findings.push(finding.also(first, "the other one").help(help));
        }
        let Some(own) = &node.addresses else { continue };
        for address in &own.list {
            if let Some((other, first)) = addresses.insert(*address, (&node.host, own.span)) {
                let message =
                    format!("{address} is given to `{}` and `{}`", other.escape_debug(), node.host.escape_debug());
                let finding = Diagnostic::new(Code::DuplicateAddress, own.span, message);
                findings.push(finding.also(first, "here too").help("each address belongs to one node; correct one"));
            }
        }
    }
}

/// Where some nodes have a distribution range, that of the others is not theirs.
fn distribution(nodes: &[Node], findings: &mut Findings) {
    let has = |node: &&Node| node.ports.iter().any(|(service, ..)| *service == "distribution");
    let Some(known) = nodes.iter().find(has) else { return };
    for node in nodes.iter().filter(|node| !has(node)) {
        let message =
            format!("`{}` has no `ringfence_ports` for `distribution`, and other nodes have", node.host.escape_debug());
        let finding = Diagnostic::new(Code::InventoryVariable, node.span, message);
        let finding = match known.ports.iter().find(|(service, ..)| *service == "distribution") {
            Some((.., span)) => finding.also(*span, "another node's"),
            None => finding,
        };
        findings.push(finding.help("write it for all nodes, best in the variables of their group"));
    }
}

/// Hosts of one name are one client, if they are so in everything else.
fn merged(all: Vec<Client>, findings: &mut Findings) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for client in all {
        let Some(first) = known.get(&client.name).and_then(|at| clients.get_mut(*at)) else {
            known.insert(client.name.clone(), clients.len());
            clients.push(client);
            continue;
        };
        if first.services != client.services || first.interfaces != client.interfaces {
            let message =
                format!("two hosts are the client `{}`, and differ in what it may use", client.name.escape_debug());
            let finding = Diagnostic::new(Code::DuplicateName, client.services_span, message);
            let help =
                "give them the same `ringfence_services` and `ringfence_interfaces`, or another `ringfence_name`";
            findings.push(finding.also(first.services_span, "the other one").help(help));
        }
        for from in client.from {
            let known = |network: &&Cidr| first.from.iter().any(|own| own.list.contains(network));
            if let Some(network) = from.list.iter().find(known) {
                let message = format!("the client `{}` comes from {network} twice", client.name.escape_debug());
                findings
                    .push(Diagnostic::new(Code::DuplicateAddress, from.span, message).help("correct one of the hosts"));
            }
            first.from.push(from);
        }
    }
    clients
}
