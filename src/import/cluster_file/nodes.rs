//! Who is in the cluster, and which addresses each has.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use super::{Known, LongNode, Row, comment, list, place, quoted, said};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::inventory;
use crate::import::membership::{Member, State};
use crate::import::settings::{Bind, Settings};
use crate::net::{AddressClass, Cidr, parse_address};

/// A node that is to be admitted.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub name: String,
    comment: String,
    pub addresses: Vec<IpAddr>,
    /// Why there are more addresses than the one in the name.
    more: String,
    /// The interfaces on which it admits, where that is known.
    interfaces: Option<Row>,
}

impl Node {
    /// A short entry, or a table where there is more to say.
    pub fn rows(self, own: Vec<Row>) -> Result<Row, LongNode> {
        let plain = matches!(self.addresses.as_slice(), [one] if host_address(&self.name) == Some(*one));
        if plain && own.is_empty() && self.interfaces.is_none() {
            return Ok(Row { value: quoted(&self.name), comment: self.comment });
        }
        let mut lines = Vec::new();
        if !plain {
            let value = format!("addresses = {}", list(self.addresses.iter().map(ToString::to_string)));
            lines.push(Row { value, comment: self.more });
        }
        lines.extend(self.interfaces);
        lines.extend(own);
        Err(LongNode { name: quoted(&self.name), comment: self.comment, lines })
    }
}

/// The address in a node's name.
pub(super) fn host_address(name: &str) -> Option<IpAddr> {
    name.rsplit_once('@').and_then(|(_, host)| parse_address(host).ok())
}

/// Members, or the nodes whose files were read, and those that are about to join.
pub(super) fn collect(known: &Known<'_>, findings: &mut Findings) -> Vec<Node> {
    let mut settings: BTreeMap<&str, &Settings> = BTreeMap::new();
    for one in known.settings {
        let Some(name) = &one.name else { continue };
        if let Some(first) = settings.insert(&name.value, one).and_then(|first| first.name.as_ref()) {
            let message = format!("two nodes' files say that they are `{}`", name.value.escape_debug());
            let help = "every node has a name of its own; are these copies of the same files?";
            let finding = Diagnostic::new(Code::DuplicateName, name.span, message);
            findings.push(finding.also(first.span, "here first").help(help));
        }
    }
    let mut named: Vec<(String, Option<Span>, String)> = match (known.inventory, known.members) {
        (Some(inventory), _) => inventory.nodes.iter().map(|node| of_inventory(node, known)).collect(),
        (None, Some(members)) => members.iter().filter_map(|member| admitted(member, known, findings)).collect(),
        (None, None) => from_files(known, findings),
    };
    let mut seen: HashSet<String> = named.iter().map(|(name, ..)| name.clone()).collect();
    for name in known.joining {
        if seen.insert(name.clone()) {
            named.push((name.clone(), None, "about to join, and admitted before it does".to_owned()));
        }
    }
    if known.members.is_some() {
        strangers(&settings, &seen, findings);
    }
    let listed = known.inventory.map(|inventory| inventory.nodes.as_slice()).unwrap_or_default();
    let listed: BTreeMap<&str, &inventory::Node> = listed.iter().map(|node| (node.name.as_str(), node)).collect();
    let nodes: Vec<Node> = named
        .into_iter()
        .filter_map(|(name, span, comment)| {
            let own = settings.get(name.as_str()).copied();
            let listed = listed.get(name.as_str()).copied();
            node(name, span, comment, (own, listed), known, findings)
        })
        .collect();
    second_networks(&nodes, &settings, findings);
    for name in known.addresses.keys().filter(|name| !seen.contains(*name)) {
        let message = format!("`--address` names `{}`, and there is no such node", name.escape_debug());
        let help = "write the name as the cluster's own output has it; a node that is about to join is named with `--joining`, too";
        findings.push(Diagnostic::placeless(Code::UnknownNode, message).help(help));
    }
    nodes
}

/// Nodes whose files were read, and that are no members. Where none of them is, the files are of another cluster.
fn strangers(settings: &BTreeMap<&str, &Settings>, members: &HashSet<String>, findings: &mut Findings) {
    // A short name says only half of what the others call it.
    let whole = settings.values().filter_map(|settings| settings.name.as_ref()).filter(|name| name.value.contains('@'));
    let (own, strange): (Vec<_>, Vec<_>) = whole.partition(|name| members.contains(&name.value));
    for name in strange {
        let shown = name.value.escape_debug();
        let message = format!("`{shown}` is no member of the cluster");
        let loopback = host_address(&name.value).is_some_and(|address| address.is_loopback());
        let (code, help) = if loopback {
            (
                Code::WrongCluster,
                "this is the name as the package has it: are these the files that the node runs with?".to_owned(),
            )
        } else if own.is_empty() {
            let help = format!(
                "none of these files is a member's: are they of this cluster? If the node is about to join, add `--joining \
                 {shown}`"
            );
            (Code::WrongCluster, help)
        } else {
            (Code::NotAMember, format!("if it is about to join, add `--joining {shown}`"))
        };
        findings.push(Diagnostic::new(code, name.span, message).help(help));
    }
}

fn admitted(member: &Member, known: &Known<'_>, findings: &mut Findings) -> Option<(String, Option<Span>, String)> {
    let state = match member.state {
        State::Joining => "joining",
        State::Valid => "valid",
        State::Running => "running",
        State::Leaving => "leaving; take it out once it has left",
        State::Exiting => "exiting; take it out once it has left",
        State::Down => "down, but a member: it may return",
        State::Unstated => "a member",
        State::Invalid => {
            let message = format!("`{}` is not admitted: it is invalid, and no member any more", member.name);
            findings.push(Diagnostic::new(Code::InvalidMember, member.span, message));
            return None;
        }
    };
    let comment = format!("{}: {state}", place(member.span, known.sources));
    Some((member.name.clone(), Some(member.span), comment))
}

fn of_inventory(node: &inventory::Node, known: &Known<'_>) -> (String, Option<Span>, String) {
    let comment = format!("{}: {}", place(node.span, known.sources), comment(&node.host));
    (node.name.clone(), Some(node.span), comment)
}

/// What prints who is in the cluster.
fn how_to_read(known: &Known<'_>) -> String {
    let title = &known.profile.title;
    match &known.profile.membership {
        Some(command) => format!(
            "read what {title} itself says, with the rights of {title}: `{command} | ringfence import --membership -`"
        ),
        None => "name the nodes with `ringfence init`".to_owned(),
    }
}

/// Where no output says who is in the cluster, and several nodes' files do.
pub(super) fn warn_of_unknown_members(known: &Known<'_>, proposals: &mut Findings) {
    if known.members.is_none() && known.inventory.is_none() {
        let named = known.settings.iter().any(|settings| !settings.members.is_empty());
        let message = if named {
            "only the nodes that the files name are admitted: any other member of the cluster is cut off".to_owned()
        } else {
            format!(
                "only the {} nodes whose files were read are admitted: any other member of the cluster is cut off",
                known.settings.len()
            )
        };
        proposals.push(Diagnostic::placeless(Code::UnknownMembers, message).help(how_to_read(known)));
    }
}

/// Without an output, the nodes are those whose files there are. Of a single one it is not known who else there is.
fn from_files(known: &Known<'_>, findings: &mut Findings) -> Vec<(String, Option<Span>, String)> {
    let help = how_to_read(known);
    let members = || known.settings.iter().flat_map(|settings| &settings.members);
    if known.settings.len() < 2 && members().next().is_none() {
        let message = "nothing says who is in the cluster";
        findings.push(Diagnostic::placeless(Code::NoMembership, message).help(help));
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for settings in known.settings {
        match &settings.name {
            Some(name) => {
                let comment = format!("{}: {}", place(name.span, known.sources), comment(&name.name));
                nodes.push((name.value.clone(), Some(name.span), comment));
            }
            // It is among those that the files name, or nobody's.
            None if !settings.members.is_empty() => {}
            None => {
                let message = "these files do not say what their node is called";
                let span = settings.files.first().map(|file| Span::new(*file, 0..0));
                let finding = match span {
                    Some(span) => Diagnostic::new(Code::NoMembership, span, message),
                    None => Diagnostic::placeless(Code::NoMembership, message),
                };
                findings.push(finding.help(format!("add the file with the node's name, or {help}")));
            }
        }
    }
    for member in members() {
        if !nodes.iter().any(|(name, ..)| *name == member.value) {
            let comment = format!("{}: {}", place(member.span, known.sources), comment(&member.name));
            nodes.push((member.value.clone(), Some(member.span), comment));
        }
    }
    nodes
}

fn node(
    name: String,
    span: Option<Span>,
    comment: String,
    (own, listed): (Option<&Settings>, Option<&inventory::Node>),
    known: &Known<'_>,
    findings: &mut Findings,
) -> Option<Node> {
    let at = |code, message: String| match span {
        Some(span) => Diagnostic::new(code, span, message),
        None => Diagnostic::placeless(code, message),
    };
    let (addresses, more) = match known.addresses.get(&name) {
        Some(given) => (given.clone(), "as given by --address".to_owned()),
        None => match listed.and_then(|node| node.addresses.as_ref()) {
            Some(addresses) => (addresses.list.clone(), said(addresses, known)),
            None => known_addresses(&name, own, known, findings),
        },
    };
    let shown = name.escape_debug().to_string();
    if addresses.is_empty() {
        let message = format!("`{shown}` has no address in its name");
        let usable = |bind: &Bind| match bind {
            Bind::Address(address) => Some(*address),
            Bind::Name(_) => None,
        };
        let hint = own.map(peer_binds).unwrap_or_default().iter().find_map(|(bind, ..)| usable(bind));
        let example = hint.map_or_else(|| "10.20.0.11".to_owned(), |address| address.to_string());
        let mut help = format!(
            "say which: `--address {shown}={example}`, or for all at once `--addresses FILE`, in the form of /etc/hosts; names are \
             never looked up, because rules must load without DNS"
        );
        if hint.is_some() {
            help.push_str(
                " (the example is where it listens for its peers; name every address from which it connects)",
            );
        }
        findings.push(at(Code::MissingAddress, message).help(help));
        return None;
    }
    for address in &addresses {
        let what = match Cidr::host(*address).class() {
            AddressClass::Private => continue,
            AddressClass::Public if known.allow_public => continue,
            AddressClass::Public => {
                let message = format!("`{shown}` has the public address {address}");
                let help = "if the network is yours alone, add `--allow-public`; if the node has a private address, say so \
                            with `--address`";
                findings.push(at(Code::PublicNetwork, message).help(help));
                return None;
            }
            AddressClass::Loopback => "a loopback address: nobody else reaches it",
            AddressClass::Unspecified => "an unspecified address",
            AddressClass::Multicast => "a multicast or broadcast address",
            AddressClass::LinkLocal => "a link-local address",
            AddressClass::Ipv4Mapped => "an IPv4-mapped address",
        };
        let message = format!("`{shown}` has {what}");
        let help = format!("say from where it connects to the others: `--address {shown}=10.20.0.11`");
        findings.push(at(Code::UnusableAddress, message).help(help));
        return None;
    }
    let interfaces = listed.and_then(|node| node.interfaces.as_ref()).map(|(names, span)| Row {
        value: format!("interfaces = {}", list(names.iter().map(ToString::to_string))),
        comment: place(*span, known.sources),
    });
    Some(Node { name, comment, addresses, more, interfaces })
}

/// The address in the name and those in the node's own files, and where these stand.
fn known_addresses(
    name: &str,
    own: Option<&Settings>,
    known: &Known<'_>,
    findings: &mut Findings,
) -> (Vec<IpAddr>, String) {
    let mut addresses: Vec<IpAddr> = host_address(name).into_iter().collect();
    let mut more = String::new();
    if addresses.is_empty()
        && let Some((_, host)) = name.rsplit_once('@')
        && let Some(resolved) = known.hosts.and_then(|hosts| hosts.resolve(host, findings))
    {
        more = place(resolved.span, known.sources);
        addresses = resolved.addresses;
    }
    let in_name = !addresses.is_empty();
    for (bind, setting, span) in own.map(peer_binds).unwrap_or_default() {
        let found = match bind {
            Bind::Address(address) => vec![address],
            Bind::Name(host) => match known.hosts.and_then(|hosts| hosts.resolve(&host, findings)) {
                Some(resolved) => resolved.addresses,
                None => {
                    let message = format!("`{setting}` is `{}`, and names are never looked up", host.escape_debug());
                    let name = name.escape_debug();
                    let help = format!(
                        "if that is another address than the one in `{name}`, name each: `--address {name}=ADDRESS`"
                    );
                    findings.push(Diagnostic::new(Code::SecondNetwork, span, message).help(help));
                    continue;
                }
            },
        };
        // Where handoff listens says nothing of where a host name leads.
        if addresses.is_empty() && !setting.contains("interface") {
            continue;
        }
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
                let before =
                    if more.is_empty() || more.starts_with("with ") { String::new() } else { format!("{more}; ") };
                more = format!("{before}with {}, {setting}", place(span, known.sources));
            }
        }
    }
    if !in_name && !more.is_empty() {
        more.push_str(": CONFIRM that the others connect to this");
    }
    (addresses, more)
}

/// The addresses of its own that a node's settings name for its peers.
fn peer_binds(settings: &Settings) -> Vec<(Bind, String, Span)> {
    // What only the nodes use.
    let is_of_peers = |service: &str| settings.profile.service(service).is_some_and(|own| !own.is_for_clients());
    let handoff = settings.listeners.iter().filter(|listener| is_of_peers(listener.service));
    let handoff = handoff.filter_map(|listener| {
        listener.bind_setting.as_ref().map(|(name, span)| (listener.bind.clone(), name.clone(), *span))
    });
    let interface = settings.distribution.interface.iter();
    let interface = interface.map(|setting| (setting.value.clone(), setting.name.clone(), setting.span));
    interface.chain(handoff).filter(|(bind, ..)| !bind.is_everywhere() && !bind.is_loopback()).collect()
}

/// Handoff over a network of its own comes from addresses there; those of nodes without files are not known.
fn second_networks(nodes: &[Node], settings: &BTreeMap<&str, &Settings>, findings: &mut Findings) {
    let unknown: Vec<&str> =
        nodes.iter().filter(|node| node.addresses.len() == 1).map(|node| node.name.as_str()).collect();
    for node in nodes.iter().filter(|node| node.addresses.len() > 1 && !unknown.is_empty()) {
        let Some(settings) = settings.get(node.name.as_str()) else { continue };
        let mut binds = peer_binds(settings).into_iter();
        let Some((address, name, span)) = binds.find(|(bind, ..)| matches!(bind, Bind::Address(_))) else { continue };
        let message = format!("`{}` takes `{name}` at {address}, on another network than its name says", node.name);
        const NAMED: usize = 5;
        let shown = unknown.get(..NAMED.min(unknown.len())).unwrap_or_default().join(", ");
        let more = if unknown.len() > NAMED { " and more" } else { "" };
        let help = format!(
            "the addresses there of {shown}{more} are not known, and are not admitted: read their files, too, or name them \
             with `--address`"
        );
        findings.push(Diagnostic::new(Code::SecondNetwork, span, message).help(help));
    }
}
