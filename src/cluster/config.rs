//! The cluster file: TOML with places → model. What each key means stands in the reference page.
//!
//! Reading goes in two steps. Here every value is read for itself; what is unreadable is noted and left out. Then
//! [`super::check`] looks at the whole. Both steps always run, so that one run shows every finding.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{self, Unread};
use super::model::{Client, Cluster, Guard, Node, OnBlock, Service, ServiceId, Source, State};
use super::profile::{Profile, embedded_names, embedded_text, read_profile};
use super::toml_reader::{Reader, TableReader, Text, Value, closest, parse_document, printable};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span};
use crate::net::{AddressClass, Cidr, ParseAddressError, Ports, parse_address};

/// 100,000 nodes in their longest form take about 20 MB.
const LARGEST_FILE: u64 = 256 << 20;

/// The profile of a cluster file that names none.
const DEFAULT_PROFILE: &str = "riak";

/// What came of a cluster file.
#[derive(Debug)]
pub struct Loaded {
    /// The cluster; absent if and only if there is an error among the findings.
    pub cluster: Option<Cluster>,
    /// Everything that was found, sorted by place.
    pub findings: Vec<Diagnostic>,
    /// The texts that the findings point into.
    pub sources: Arc<Sources>,
}

/// Reads a cluster file; `-` is standard input. Fails only if the file itself cannot be read.
pub fn load(path: &Path) -> io::Result<Loaded> {
    if path == Path::new("-") {
        let text = read_text(io::stdin().lock())?;
        return Ok(parse("standard input", text, Path::new("")));
    }
    let text = read_text(File::open(path)?)?;
    Ok(parse(&path.to_string_lossy(), text, path.parent().unwrap_or(Path::new(""))))
}

fn read_text(reader: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    reader.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", LARGEST_FILE >> 20)));
    }
    Ok(text)
}

/// Reads the text of a cluster file. `folder` is where a profile given by path is looked for.
#[must_use]
pub fn parse(name: &str, text: String, folder: &Path) -> Loaded {
    let mut findings = Findings::default();
    let mut profile_file = None;
    let draft = parse_document(&text, FileId::CLUSTER, &mut findings)
        .and_then(|document| read_document(&document, folder, &mut profile_file, &mut findings));
    let mut digest = Sha256::new();
    digest.update(&text);
    let mut sources = Sources::new(SourceFile::new(name.to_owned(), text));
    if let Some(file) = profile_file {
        digest.update(&file.text);
        sources.add_profile(file);
    }
    let sources = Arc::new(sources);
    let mut cluster = draft.filter(|_| !findings.has_errors());
    if let Some(cluster) = &mut cluster {
        cluster.sources = Arc::clone(&sources);
        for byte in digest.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(cluster.digest, "{byte:02x}");
        }
    }
    Loaded { cluster, findings: findings.sorted(), sources }
}

fn read_document(
    document: &Spanned<DeTable<'_>>,
    folder: &Path,
    profile_file: &mut Option<SourceFile>,
    findings: &mut Findings,
) -> Option<Cluster> {
    let reader = &mut Reader::new(FileId::CLUSTER, findings);
    let mut top = reader.document(document);
    let cluster = top.require("cluster", reader, "every cluster file has `[cluster]` with a `name`");
    let mut cluster = cluster.and_then(|value| reader.table(value, "[cluster]"));
    let span = cluster.as_ref().map_or(top.span, |table| table.span);
    let name = cluster.as_mut().and_then(|table| read_name(table, reader, "the cluster", ""));
    let profile = match cluster.as_mut().and_then(|table| table.get("profile")) {
        Some(value) => {
            reader.text(value, "`profile`").and_then(|name| load_profile(name, folder, profile_file, reader))
        }
        None => load_profile(Text { text: DEFAULT_PROFILE, span }, folder, profile_file, reader),
    };
    let mut unread = Unread::default();
    let services = read_services(&mut top, profile.as_ref(), &mut unread, reader);
    let nodes = read_nodes(&mut top, cluster.as_mut(), &services, reader);
    if let Some(table) = cluster {
        table.finish(reader);
    }
    let networks = read_networks(&mut top, reader);
    let clients = read_clients(&mut top, &services, &networks.private, reader);
    let guard = read_guard(&mut top, reader);
    top.finish(reader);
    // Without the services nothing that follows could be judged.
    let profile = profile?;
    let cluster = Cluster {
        name: name.unwrap_or_default(),
        profile: profile.name,
        profile_version: profile.version,
        digest: String::new(),
        services,
        nodes,
        clients,
        private: networks.private,
        untrusted: networks.untrusted,
        allow_public: networks.allow_public,
        guard,
        sources: Arc::new(Sources::new(SourceFile::new(String::new(), String::new()))),
    };
    unread.private = !networks.complete;
    check::check(&cluster, span, &unread, findings);
    Some(cluster)
}

fn read_name(table: &mut TableReader<'_>, reader: &mut Reader<'_>, what: &str, extra: &str) -> Option<String> {
    let value = table.require("name", reader, "give it a `name`")?;
    let name = reader.text(value, "`name`")?;
    reader.check_name(name, what, extra).then(|| name.text.to_owned())
}

fn load_profile(
    name: Text<'_>,
    folder: &Path,
    profile_file: &mut Option<SourceFile>,
    reader: &mut Reader<'_>,
) -> Option<Profile> {
    let mut findings = Findings::default();
    let profile = if name.text.contains('/') || name.text.ends_with(".toml") {
        let path: PathBuf = folder.join(name.text);
        let text = match File::open(&path).and_then(read_text) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("the profile `{}` cannot be read: {error}", printable(name.text));
                let help = "the path is relative to the folder of the cluster file";
                reader.push(Diagnostic::new(Code::UnknownProfile, name.span, message).help(help));
                return None;
            }
        };
        let profile = read_profile(&text, &mut findings);
        *profile_file = Some(SourceFile::new(path.to_string_lossy().into_owned(), text));
        profile
    } else if let Some(text) = embedded_text(name.text) {
        read_profile(text, &mut findings)
    } else {
        let message = format!("there is no profile `{}`", printable(name.text));
        let names: Vec<String> = embedded_names().map(|name| format!("`{name}`")).collect();
        let help = format!("use {}, or the path of a profile of your own, ending in `.toml`", names.join(" or "));
        reader.push(Diagnostic::new(Code::UnknownProfile, name.span, message).help(help));
        return None;
    };
    for finding in findings.sorted() {
        reader.push(finding);
    }
    // What the cluster file leaves out is to be said there, not in the profile.
    let placeless = |service| Service { span: None, ..service };
    profile.map(|profile| Profile { services: profile.services.into_iter().map(placeless).collect(), ..profile })
}

/// The profile's services as the file changes them, then the file's own, all by name.
fn read_services(
    top: &mut TableReader<'_>,
    profile: Option<&Profile>,
    unread: &mut Unread,
    reader: &mut Reader<'_>,
) -> Vec<Service> {
    let mut services = profile.map(|profile| profile.services.clone()).unwrap_or_default();
    let table = top.get("services").and_then(|value| reader.table(value, "[services]"));
    let entries = table.map(|table| table.entries(reader)).unwrap_or_default();
    for (name, value) in entries {
        // Without the profile a service cannot be told from one of the file's own.
        if profile.is_none() {
            continue;
        }
        let base = services.iter().position(|service| service.name == name.text);
        if base.is_none() {
            require_own_keys(name, value, &services, reader);
        }
        let read = read_service(reader, name, value, base.and_then(|at| services.get(at)));
        let names_ports = value.get_ref().as_table().is_some_and(|t| t.contains_key("ports") || t.contains_key("port"));
        if let Some(service) = read.as_ref().filter(|service| names_ports && service.ports.is_empty()) {
            unread.ports.push(service.name.clone());
        }
        match (base.and_then(|at| services.get_mut(at)), read) {
            (Some(slot), Some(service)) => *slot = service,
            (None, Some(service)) => services.push(service),
            (_, None) => {}
        }
    }
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

/// A service that the profile does not know must say all of itself; a misspelt name is found this way.
fn require_own_keys(name: Text<'_>, value: &Value<'_>, services: &[Service], reader: &mut Reader<'_>) {
    let Some(table) = value.get_ref().as_table() else { return };
    let has = |key: &str| table.contains_key(key);
    let mut missing = Vec::new();
    if !has("ports") && !has("port") {
        missing.push("`ports`");
    }
    if !has("peers") {
        missing.push("`peers`");
    }
    if missing.is_empty() {
        return;
    }
    let message =
        format!("[services.{}] is not in the profile and lacks {}", printable(name.text), missing.join(" and "));
    let help = match closest(name.text, services.iter().map(|service| service.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a service of your own needs `ports = \"9100\"` and `peers = true` or `false`".to_owned(),
    };
    reader.push(Diagnostic::new(Code::MissingKey, name.span, message).help(help));
}

/// Reads `[services.NAME]` of a cluster file (with the profile's service as `base`, if it has one) or of a profile.
pub(super) fn read_service(
    reader: &mut Reader<'_>,
    name: Text<'_>,
    value: &Value<'_>,
    base: Option<&Service>,
) -> Option<Service> {
    let good = name.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !good || name.text.len() > 32 || !name.text.starts_with(|c: char| c.is_ascii_lowercase()) {
        let message = format!("`{}` is no name for a service", printable(name.text));
        let help = "use up to 32 lower-case letters, digits and `-`, beginning with a letter";
        reader.push(Diagnostic::new(Code::BadName, name.span, message).help(help));
        return None;
    }
    let mut table = reader.table(value, format!("[services.{}]", name.text))?;
    let words = [("open", State::Open), ("blocked", State::Blocked), ("unused", State::Unused)];
    let state = table.get("state").and_then(|value| reader.word(value, "`state`", &words));
    let peers = table.get("peers").and_then(|value| reader.boolean(value, "`peers`"));
    let ports = read_ports(&mut table, reader, name.text);
    let one_port_per_node =
        table.get("one-port-per-node").and_then(|value| reader.boolean(value, "`one-port-per-node`"));
    let setting = table.get("setting").and_then(|value| reader.phrase(value, "`setting`"));
    let why = table.get("why").and_then(|value| reader.phrase(value, "`why`"));
    table.finish(reader);
    Some(Service {
        name: name.text.to_owned(),
        state: state.or(base.map(|base| base.state)).unwrap_or(State::Open),
        peers: peers.or(base.map(|base| base.peers)).unwrap_or(false),
        ports: ports.or_else(|| base.map(|base| base.ports.clone())).unwrap_or_default(),
        one_port_per_node: one_port_per_node.or(base.map(|base| base.one_port_per_node)).unwrap_or(false),
        setting: setting.or_else(|| base.and_then(|base| base.setting.clone())),
        why: why.or_else(|| base.and_then(|base| base.why.clone())),
        span: Some(name.span),
    })
}

/// `ports`, or `port` where there is but one.
fn read_ports(table: &mut TableReader<'_>, reader: &mut Reader<'_>, service: &str) -> Option<Ports> {
    let ports = table.get("ports");
    let port = table.get("port");
    if let (Some(_), Some(port)) = (ports, port) {
        let message = format!("`{service}` has both `port` and `ports`");
        let finding = Diagnostic::new(Code::UnknownKey, reader.span(port), message);
        reader.push(finding.help("keep one of them; `ports` takes single ports too"));
    }
    ports.or(port).and_then(|value| reader.ports(value, &format!("the ports of `{service}`")))
}

fn read_nodes(
    top: &mut TableReader<'_>,
    cluster: Option<&mut TableReader<'_>>,
    services: &[Service],
    reader: &mut Reader<'_>,
) -> Vec<Node> {
    let mut nodes = Vec::new();
    if let Some(value) = cluster.and_then(|table| table.get("nodes"))
        && let Some(list) = reader.list(value, "`nodes`")
    {
        for item in list {
            if let Some(name) = reader.text(item, "a node") {
                nodes.extend(read_short_node(name, reader));
            }
        }
    }
    if let Some(value) = top.get("node")
        && let Some(list) = reader.list(value, "`node` (write `[[node]]`, with two brackets)")
    {
        for item in list {
            if let Some(table) = reader.table(item, "[[node]]") {
                nodes.extend(read_long_node(table, services, reader));
            }
        }
    }
    nodes
}

/// What stands behind the `@`, or the whole name where there is none.
fn host_part(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(_, host)| host)
}

/// An IPv6 address in a node's name brings colons.
fn extra_characters(name: &str) -> &'static str {
    if parse_address(host_part(name)).is_ok_and(|address| address.is_ipv6()) { ":" } else { "" }
}

fn read_short_node(name: Text<'_>, reader: &mut Reader<'_>) -> Option<Node> {
    let address = read_node_address(Text { text: host_part(name.text), span: name.span }, Some(name.text), reader);
    let named = match address {
        // What has been found to be no address needs no second finding about its characters.
        None => return None,
        Some(_) => reader.check_name(name, "a node", extra_characters(name.text)),
    };
    let node = Node {
        name: name.text.into(),
        addresses: address.into_iter().map(|address| (address, name.span)).collect(),
        ports: Box::default(),
        interfaces: None,
        span: name.span,
    };
    named.then_some(node)
}

fn read_long_node(mut table: TableReader<'_>, services: &[Service], reader: &mut Reader<'_>) -> Option<Node> {
    let value = table.require("name", reader, "give the node's name, `riak@10.20.0.11` for example");
    let name = value.and_then(|value| reader.text(value, "`name`"));
    let addresses: Vec<(IpAddr, Span)> = match (table.get("addresses"), name) {
        (Some(value), name) => {
            let texts = reader.texts(value, "`addresses`");
            if texts.is_empty() {
                let finding = Diagnostic::new(Code::BadAddress, reader.span(value), "`addresses` names no address");
                reader.push(finding.help("list the node's addresses, or leave the key out to use the one in its name"));
            }
            let read: Vec<_> =
                texts.iter().filter_map(|text| Some((read_node_address(*text, None, reader)?, text.span))).collect();
            if let Some(name) = name {
                check_own_address(name, &read, reader);
            }
            read
        }
        (None, Some(name)) => {
            let host = Text { text: host_part(name.text), span: name.span };
            read_node_address(host, Some(name.text), reader).map(|address| (address, name.span)).into_iter().collect()
        }
        (None, None) => Vec::new(),
    };
    let ports = read_node_ports(&mut table, services, reader);
    let interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    table.finish(reader);
    let name = name.filter(|name| reader.check_name(*name, "a node", extra_characters(name.text)))?;
    Some(Node { name: name.text.into(), addresses: addresses.into(), ports: ports.into(), interfaces, span: name.span })
}

/// Erlang connects to the host part of the name: an address there that `addresses` lacks is most likely a slip.
fn check_own_address(name: Text<'_>, addresses: &[(IpAddr, Span)], reader: &mut Reader<'_>) {
    let Ok(own) = parse_address(host_part(name.text)) else { return };
    if let Some((_, span)) = addresses.first()
        && addresses.iter().all(|(address, _)| *address != own)
    {
        let message = format!("`addresses` lacks {own}, the address in the name `{}`", printable(name.text));
        let finding = Diagnostic::new(Code::AddressMismatch, *span, message).also(name.span, "nodes connect to this");
        reader.push(finding.help(format!("add `\"{own}\"`, unless the node really sends from other addresses only")));
    }
}

fn read_node_ports(
    table: &mut TableReader<'_>,
    services: &[Service],
    reader: &mut Reader<'_>,
) -> Vec<(ServiceId, Ports)> {
    let mut ports = Vec::new();
    let entries = table
        .get("services")
        .and_then(|value| reader.table(value, "`services` of a node"))
        .map(|table| table.entries(reader))
        .unwrap_or_default();
    for (name, value) in entries {
        let Some(id) = find_service(name, services, reader) else { continue };
        let Some(mut table) = reader.table(value, format!("`services.{}` of a node", name.text)) else { continue };
        if let Some(own) = read_ports(&mut table, reader, name.text) {
            ports.push((id, own));
        }
        table.finish(reader);
    }
    ports
}

fn find_service(name: Text<'_>, services: &[Service], reader: &mut Reader<'_>) -> Option<ServiceId> {
    if let Some(index) = services.iter().position(|service| service.name == name.text) {
        return Some(ServiceId(index));
    }
    let message = format!("there is no service `{}`", printable(name.text));
    let names = services.iter().map(|service| service.name.as_str());
    let help = match closest(name.text, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let list: Vec<&str> = names.collect();
            format!("there are: {}; one of your own needs `[services.NAME]` with `ports` and `peers`", list.join(", "))
        }
    };
    reader.push(Diagnostic::new(Code::UnknownService, name.span, message).help(help));
    None
}

/// The address of a node. `name` is the node's, where the address was taken from it.
fn read_node_address(text: Text<'_>, name: Option<&str>, reader: &mut Reader<'_>) -> Option<IpAddr> {
    if name.is_none() && text.text.contains('/') {
        let message = format!("`{}` is a network, and a node has single addresses", printable(text.text));
        let help = "list the node's own addresses; networks belong under `[networks]` or to a `[[client]]`";
        reader.push(Diagnostic::new(Code::NetworkAsNode, text.span, message).help(help));
        return None;
    }
    let address = match parse_address(text.text) {
        Ok(address) => address,
        Err(error) => {
            push_address_error(text, &error, name, reader);
            return None;
        }
    };
    check_class(text, Cidr::host(address), reader).then_some(address)
}

fn read_cidr(text: Text<'_>, reader: &mut Reader<'_>) -> Option<Source> {
    match text.text.parse::<Cidr>() {
        Ok(network) => check_class(text, network, reader).then_some(Source { network, span: text.span }),
        Err(error) => {
            push_address_error(text, &error, None, reader);
            None
        }
    }
}

fn push_address_error(text: Text<'_>, error: &ParseAddressError, name: Option<&str>, reader: &mut Reader<'_>) {
    let shown = printable(text.text);
    let like_host = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let host = text.text.contains(|c: char| c.is_ascii_alphabetic()) && text.text.chars().all(like_host);
    let finding = match error {
        ParseAddressError::NotAnAddress if host => {
            let help = match name {
                Some(name) => format!(
                    "write `[[node]]` with `name = \"{}\"` and `addresses = [\"…\"]`; names are never looked up, because \
                     rules must load without DNS",
                    printable(name)
                ),
                None => "give the address; names are never looked up, because rules must load without DNS".to_owned(),
            };
            Diagnostic::new(Code::HostName, text.span, format!("`{shown}` is a host name, not an address")).help(help)
        }
        ParseAddressError::NotAnAddress => {
            let message = format!("`{shown}` is {error}");
            Diagnostic::new(Code::BadAddress, text.span, message).help("write `10.20.0.11` or `fd20::11`")
        }
        ParseAddressError::LeadingZero => {
            let message = format!("`{shown}` has {error}");
            Diagnostic::new(Code::LeadingZero, text.span, message).help("write the numbers without leading zeros")
        }
        ParseAddressError::Zone => {
            Diagnostic::new(Code::BadAddress, text.span, format!("`{shown}` is {error}")).help("leave the zone out")
        }
        ParseAddressError::PrefixLength { .. } => {
            Diagnostic::new(Code::BadAddress, text.span, format!("`{shown}`: {error}")).help("write `10.20.0.0/24`")
        }
        ParseAddressError::HostBits { network } => {
            let host = text.text.split('/').next().unwrap_or_default();
            let message = format!("`{shown}` is no network: {error}");
            let help = format!("did you mean the network `{network}` or the host `{host}`?");
            Diagnostic::new(Code::HostBits, text.span, message).help(help)
        }
    };
    reader.push(finding);
}

fn check_class(text: Text<'_>, network: Cidr, reader: &mut Reader<'_>) -> bool {
    let (what, help) = match network.class() {
        AddressClass::Private | AddressClass::Public => return true,
        AddressClass::Loopback => ("a loopback address", "loopback is always admitted and never comes from a network"),
        AddressClass::Unspecified => ("an unspecified address", "nothing is ever sent from it; give a real address"),
        AddressClass::Multicast => ("a multicast or broadcast address", "nothing is ever sent from it over TCP"),
        AddressClass::LinkLocal => (
            "a link-local address",
            "it may be anybody's on another link; give the node's address in a private network",
        ),
        AddressClass::Ipv4Mapped => ("an IPv4-mapped address", "it never appears in a packet; give the IPv4 address"),
    };
    let message = format!("`{}` is {what}", printable(text.text));
    reader.push(Diagnostic::new(Code::UnusableAddress, text.span, message).help(help));
    false
}

struct ReadNetworks {
    private: Vec<Source>,
    untrusted: Vec<Source>,
    allow_public: bool,
    /// Whether every private network could be read, so that a node outside them is really outside.
    complete: bool,
}

fn read_networks(top: &mut TableReader<'_>, reader: &mut Reader<'_>) -> ReadNetworks {
    let mut networks =
        ReadNetworks { private: Vec::new(), untrusted: Vec::new(), allow_public: false, complete: false };
    let help = "name the networks that every node lies in: `[networks]` with `private = [\"10.20.0.0/24\"]`";
    let Some(value) = top.require("networks", reader, help) else { return networks };
    let Some(mut table) = reader.table(value, "[networks]") else { return networks };
    if let Some(value) = table.require("private", reader, help) {
        let texts = reader.texts(value, "`private`");
        networks.private = texts.iter().filter_map(|text| read_cidr(*text, reader)).collect();
        networks.complete = networks.private.len() == texts.len() && !texts.is_empty();
        if texts.is_empty() && value.get_ref().as_array().is_some() {
            let message = "`private` names no network";
            reader.push(Diagnostic::new(Code::MissingKey, reader.span(value), message).help(help));
        }
    }
    if let Some(value) = table.get("untrusted") {
        let texts = reader.texts(value, "`untrusted`");
        networks.untrusted = texts.iter().filter_map(|text| read_cidr(*text, reader)).collect();
    }
    let allow_public = table.get("allow-public").and_then(|value| reader.boolean(value, "`allow-public`"));
    networks.allow_public = allow_public.unwrap_or(false);
    table.finish(reader);
    networks
}

fn read_clients(
    top: &mut TableReader<'_>,
    services: &[Service],
    private: &[Source],
    reader: &mut Reader<'_>,
) -> Vec<Client> {
    let mut clients = Vec::new();
    let Some(value) = top.get("client") else { return clients };
    let Some(list) = reader.list(value, "`client` (write `[[client]]`, with two brackets)") else { return clients };
    for item in list {
        if let Some(table) = reader.table(item, "[[client]]") {
            clients.extend(read_client(table, services, private, reader));
        }
    }
    clients
}

fn read_client(
    mut table: TableReader<'_>,
    services: &[Service],
    private: &[Source],
    reader: &mut Reader<'_>,
) -> Option<Client> {
    let span = table.span;
    let name = read_name(&mut table, reader, "a client", "");
    let name_span = table.get("name").map_or(span, |value| reader.span(value));
    let help = "say where it comes from: `from = [\"10.20.1.0/24\"]` or `from = \"private\"`";
    let mut from = Vec::new();
    if let Some(value) = table.require("from", reader, help) {
        let texts = match value.get_ref() {
            DeValue::Array(_) => reader.texts(value, "`from`"),
            _ => reader.text(value, "`from`").into_iter().collect(),
        };
        for text in texts {
            if text.text == "private" {
                from.extend(private.iter().map(|source| Source { network: source.network, span: text.span }));
            } else {
                from.extend(read_cidr(text, reader));
            }
        }
    }
    let mut used = Vec::new();
    if let Some(value) = table.require("services", reader, "say what it may use: `services = [\"http\"]`") {
        for text in reader.texts(value, "`services`") {
            if let Some(id) = find_service(text, services, reader)
                && client_may_use(text, services.get(id.0), reader)
                && !used.contains(&id)
            {
                used.push(id);
            }
        }
    }
    let interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    let allow_public = table.get("allow-public").and_then(|value| reader.boolean(value, "`allow-public`"));
    table.finish(reader);
    let allow_public = allow_public.unwrap_or(false);
    Some(Client { name: name?, from, services: used, interfaces, allow_public, span: name_span })
}

fn client_may_use(name: Text<'_>, service: Option<&Service>, reader: &mut Reader<'_>) -> bool {
    let state = match service.map(|service| service.state) {
        Some(State::Open) => return true,
        Some(State::Blocked) => "blocked",
        Some(State::Unused) => "unused",
        None => return false,
    };
    let message = format!("`{}` is {state}, so no client can be admitted to it", name.text);
    let help = format!("to open it, write `[services.{}]` with `state = \"open\"`", name.text);
    reader.push(Diagnostic::new(Code::ServiceNotOpen, name.span, message).help(help));
    false
}

fn read_guard(top: &mut TableReader<'_>, reader: &mut Reader<'_>) -> Guard {
    let mut guard = Guard::default();
    let Some(mut table) = top.get("guard").and_then(|value| reader.table(value, "[guard]")) else { return guard };
    guard.interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    let words = [("drop", OnBlock::Drop), ("reject", OnBlock::Reject)];
    let value = table.get("on-block");
    guard.on_block_span = value.map(|value| reader.span(value));
    let on_block = value.and_then(|value| reader.word(value, "`on-block`", &words));
    guard.on_block = on_block.unwrap_or_default();
    guard.log = table.get("log").and_then(|value| reader.boolean(value, "`log`")).unwrap_or(false);
    table.finish(reader);
    guard
}
