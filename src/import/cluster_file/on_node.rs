//! What is known of the ports of one service on single nodes: by their files, or by an inventory.

use super::{Known, comment, place};
use crate::cluster::{Profile, Service, State};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::import::settings::Settings;
use crate::net::{PortRange, Ports};

/// The ports of one service on one node, and the setting that they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnNode {
    pub ports: Ports,
    pub origin: String,
    /// `None` where the files do not say whose they are.
    pub node: Option<String>,
    /// One of the files.
    pub file: Option<FileId>,
}

impl OnNode {
    pub fn new(ports: Ports, origin: String, settings: &Settings, known: &Known<'_>) -> Self {
        let name = settings.name.as_ref().map(|name| name.value.clone());
        // A short name may be that of any node, unless an address was given for it.
        let whole = |name: &String| name.contains('@') || known.addresses.contains_key(name);
        Self { ports, origin, node: name.filter(whole), file: settings.files.first().copied() }
    }
}

/// The ports of a service but distribution by the files of each node. Where one moves it, it is where it always is on those whose files say
/// nothing of it.
pub(super) fn by_files_of(service: &Service, known: &Known<'_>, findings: &mut Findings) -> Vec<OnNode> {
    let of = |settings| (settings, on_node(service, settings, known, findings));
    let each: Vec<(&Settings, Option<OnNode>)> = known.settings.iter().map(of).collect();
    let is_moved = each.iter().any(|(_, found)| found.is_some());
    let has_usual = is_moved && service.name() != "epmd" && service.is_guarded() && !service.ports().is_empty();
    let usual = |settings: &Settings| {
        let is_known = has_usual && settings.knows_listeners;
        is_known.then(|| OnNode::new(service.ports().clone(), String::new(), settings, known))
    };
    each.into_iter().filter_map(|(settings, found)| found.or_else(|| usual(settings))).collect()
}

/// The ports of a service but distribution, where a node has it.
fn on_node(service: &Service, settings: &Settings, known: &Known<'_>, findings: &mut Findings) -> Option<OnNode> {
    let name = service.name();
    if name == "epmd" {
        // A node where it is not moved has the default, whatever the others have.
        let port = settings.epmd.port.as_ref();
        if port.is_none() && !settings.knows_flags {
            return None;
        }
        let ports =
            port.map_or_else(|| service.ports().clone(), |port| PortRange::single(port.value).into_iter().collect());
        let origin = port.map_or(String::new(), |port| origin(&port.name, port.span, known));
        return Some(OnNode::new(ports, origin, settings, known));
    }
    let own = || settings.listeners.iter().filter(|listener| listener.service == name);
    let ranges = || settings.ranges.iter().filter(|range| range.service == name);
    let single = own().filter_map(|listener| PortRange::single(listener.port));
    let ports: Ports = single.chain(ranges().flat_map(|range| range.ports.ranges().iter().copied())).collect();
    let mut origins: Vec<String> = own()
        .filter_map(|listener| listener.setting.as_ref().map(|(setting, span)| origin(setting, *span, known)))
        .collect();
    origins.extend(ranges().flat_map(|range| &range.settings).map(|(setting, span)| origin(setting, *span, known)));
    origins.dedup();
    let blocked = match service.state() {
        State::Open => false,
        State::Blocked => true,
        State::Unused => service.once_used() == State::Blocked,
    };
    for listener in own().filter(|listener| blocked && !listener.bind.is_loopback()) {
        if let Some((setting, span)) = &listener.setting {
            let message = format!("`{setting}` listens beyond loopback, and `{name}` is blocked for everyone");
            let help = format!(
                "if others use it, write `state = \"open\"` under `[services.{name}]`, and a `[[client]]` for their addresses; \
                 else bind it to 127.0.0.1"
            );
            findings.push(Diagnostic::new(Code::BlockedListener, *span, message).help(help));
        }
    }
    (!ports.is_empty()).then(|| OnNode::new(ports, origins.join("; "), settings, known))
}

/// The ports of a service on the nodes of an inventory, if it has any. Of nodes that it has none for these are the profile's.
pub(super) fn of_inventory(name: &str, known: &Known<'_>, profile: &Profile) -> Vec<OnNode> {
    let nodes = known.inventory.map(|inventory| inventory.nodes.as_slice()).unwrap_or_default();
    let usual = profile.services.iter().find(|service| service.name() == name).filter(|service| service.is_guarded());
    let usual = usual.map(Service::ports).filter(|ports| !ports.is_empty());
    let found: Vec<OnNode> = nodes
        .iter()
        .filter_map(|node| {
            let own = node.ports.iter().find(|(service, ..)| *service == name);
            let (ports, origin, file) = match own {
                Some((_, ports, span)) => (ports, origin("ringfence_ports", *span, known), Some(span.file)),
                None => (usual?, String::new(), None),
            };
            Some(OnNode { ports: ports.clone(), origin, node: Some(node.name.clone()), file })
        })
        .collect();
    if found.iter().any(|own| own.file.is_some()) { found } else { Vec::new() }
}

pub(super) fn origin(setting: &str, span: Span, known: &Known<'_>) -> String {
    format!("{}: {}", place(span, known.sources), comment(setting))
}

/// Which ports services have by what was read, on some node and on each.
pub(super) struct Held {
    /// Of so many nodes files were read.
    nodes: usize,
    /// Each service, what it has on one of the nodes or more, and on all of them.
    each: Vec<(&'static str, Ports, Ports)>,
}

impl Held {
    /// Of so many nodes whose files were read.
    pub fn on(nodes: usize) -> Self {
        Self { nodes, each: Vec::new() }
    }

    pub fn add(&mut self, name: &'static str, found: &[OnNode]) {
        let somewhere = found.iter().flat_map(|own| own.ports.ranges()).copied().collect();
        let first = found.first().filter(|_| found.len() >= self.nodes);
        let common = |common: Ports, own: &OnNode| common.without(&common.without(&own.ports));
        let everywhere = first.map(|first| found.iter().fold(first.ports.clone(), common)).unwrap_or_default();
        self.each.push((name, somewhere, everywhere));
    }

    /// What other services than this one have on some node.
    pub fn somewhere_beside(&self, name: &str) -> Ports {
        self.others(name).flat_map(|(_, somewhere, _)| somewhere.ranges()).copied().collect()
    }

    /// What they have on each.
    pub fn everywhere_beside(&self, name: &str) -> Ports {
        self.others(name).flat_map(|(.., everywhere)| everywhere.ranges()).copied().collect()
    }

    fn others(&self, name: &str) -> impl Iterator<Item = &(&'static str, Ports, Ports)> {
        self.each.iter().filter(move |(other, ..)| *other != name)
    }
}
