//! Which ports the services have, on all nodes and on single ones.

use std::collections::{BTreeMap, BTreeSet};

use super::listening::{add_listening, unknown_listeners};
use super::nodes::Node;
use super::on_node::{Held, OnNode, by_files_of, of_inventory, origin};
use super::range::{inverted, lines_for, ways};
use super::replication::replicated;
use super::{Known, Row};
use crate::cluster::{Profile, Service, State};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::settings::{Range, Settings};
use crate::net::{PortRange, Ports};

/// Where a distribution range is proposed, if the ports are free: below the ports that Linux gives to outgoing connections
/// (ip-sysctl, ip_local_port_range), and where the product's manual has it in its example.
const FIRST_PROPOSED: u16 = 6000;
/// Sets of ports are kept small; a node needs one port, and more only for restarts.
const WIDEST_PROPOSED: usize = 1024;

/// What the settings amount to.
pub(super) struct Services {
    pub rows: Vec<super::ServiceRows>,
    /// Lines of single nodes, by node.
    pub own: BTreeMap<String, Vec<Row>>,
    /// Services that are as in the profile, in words.
    pub usual: Vec<String>,
    opened: BTreeSet<&'static str>,
    /// Those of which a listener is known.
    listening: BTreeSet<&'static str>,
    /// Those that would listen by default, and do not on the nodes that are known.
    off: BTreeSet<&'static str>,
}

impl Services {
    /// The services that nodes and clients may use, as far as they are for clients.
    pub fn client_services(&self, profile: &'static Profile) -> Vec<&'static str> {
        // Of a program with many plugins those that are in use are enough to name.
        let open = |service: &&Service| match service.state() {
            State::Open => {
                let by_default = service.is_by_default() && !self.off.contains(service.name());
                by_default || self.listening.contains(service.name())
            }
            State::Blocked | State::Unused => self.opened.contains(service.name()),
        };
        let own = profile.services.iter().filter(|service| service.is_for_clients()).filter(open);
        own.map(Service::name).collect()
    }
}

/// What is wrong goes to `findings`, what is only as good as the list of nodes to `proposals`.
pub(super) fn collect(
    known: &Known<'_>,
    nodes: &[Node],
    findings: &mut Findings,
    proposals: &mut Findings,
) -> Services {
    let profile = known.profile;
    missing_settings(known, nodes, proposals);
    let mut services = Services {
        rows: Vec::new(),
        own: BTreeMap::new(),
        usual: Vec::new(),
        opened: BTreeSet::new(),
        listening: BTreeSet::new(),
        off: BTreeSet::new(),
    };
    let is_known = !known.listeners.is_empty() || known.settings.iter().any(|settings| settings.knows_listeners);
    let mut guarded: Vec<(Ports, Vec<OnNode>)> = Vec::new();
    let mut taken = Ports::default();
    // With whether all that is known of it is what runs right now.
    let mut all: Vec<(&Service, Vec<OnNode>, bool)> = Vec::new();
    for service in profile.services.iter().filter(|service| service.name() != DISTRIBUTION) {
        let name = service.name();
        let mut found = by_files_of(service, known, findings);
        let by_files = found.len();
        add_listening(service, known, &mut found);
        if !found.is_empty() {
            services.listening.insert(name);
        } else if is_known {
            services.off.insert(name);
        }
        let runs = by_files == 0 && !found.is_empty();
        found.extend(of_inventory(name, known, profile));
        all.push((service, found, runs));
    }
    let (mut distribution, unbounded) = ranges(known, findings);
    let usual = profile.service(DISTRIBUTION);
    let by_files = !distribution.is_empty();
    if let Some(service) = usual {
        add_listening(service, known, &mut distribution);
        // Of a node that is down nobody says where it runs.
        for own in distribution.iter_mut().filter(|_| !by_files) {
            own.ports = own.ports.ranges().iter().chain(service.ports().ranges()).copied().collect();
        }
    }
    distribution.extend(of_inventory(DISTRIBUTION, known, profile));
    // Where nothing moves a service, it has its usual ports, but for those that others have on each node of which files were read.
    let mut held = Held::on(known.settings.len());
    all.iter().for_each(|(service, found, _)| held.add(service.name(), found));
    held.add(DISTRIBUTION, &distribution);
    for (service, mut found, runs) in all {
        let name = service.name();
        // What runs is no setting: once it stops, or a plugin is switched on, the usual port may be next.
        let usual = if runs && service.is_guarded() {
            service.ports().without(&held.somewhere_beside(name))
        } else {
            Ports::default()
        };
        for own in &mut found {
            own.ports = own.ports.ranges().iter().chain(usual.ranges()).copied().collect();
        }
        let used = settle(name, &found, (profile, &held.everywhere_beside(name)), &mut services, findings);
        if name == "protobuf" {
            let said =
                known.settings.iter().find_map(|settings| replicated(settings, &used, "it is blocked for everyone"));
            said.into_iter().for_each(|finding| proposals.push(finding));
        }
        let all = found.iter().flat_map(|own| own.ports.ranges()).chain(used.ranges());
        taken = taken.ranges().iter().chain(all).copied().collect();
        if service.is_guarded() || !found.is_empty() {
            guarded.push((used, found));
        }
    }
    let found = distribution;
    if found.is_empty() && usual.is_none_or(|service| service.ports().is_empty()) {
        propose(known, nodes.len(), &taken, &unbounded, &mut services, proposals);
    } else {
        let common =
            settle(DISTRIBUTION, &found, (profile, &held.everywhere_beside(DISTRIBUTION)), &mut services, findings);
        common.ranges().first().iter().for_each(|range| say_unbounded(&unbounded, **range, proposals));
        guarded.push((common, found));
    }
    // A node's own ports take the place of those that the service has elsewhere.
    let guards = |node: &str, port: u16| {
        guarded.iter().any(|(common, found)| {
            let own = found.iter().find(|own| own.node.as_deref() == Some(node));
            own.map_or(common, |own| &own.ports).has(port)
        })
    };
    unknown_listeners(known, guards, proposals);
    let position = |row: &super::ServiceRows| profile.services.iter().position(|service| service.name() == row.name);
    services.rows.sort_by_key(position);
    services
}

const DISTRIBUTION: &str = "distribution";

/// Names the nodes whose settings are not known, in one finding.
fn missing_settings(known: &Known<'_>, nodes: &[Node], findings: &mut Findings) {
    if known.inventory.is_some() {
        let message = format!(
            "none of {}'s files was read: ports that the inventory does not name are those of the profile",
            known.profile.title
        );
        let help = "name ports that somebody moved with `ringfence_ports`, and run `ringfence lint` on a node";
        findings.push(Diagnostic::placeless(Code::UnknownSettings, message).help(help));
        return;
    }
    if known.settings.is_empty() {
        let ports = if known.listeners.is_empty() {
            "the ports are those of the profile"
        } else {
            "the ports are those on which nodes listen right now, and otherwise those of the profile"
        };
        let message = format!("none of {}'s files was read: {ports}", known.profile.title);
        let help = format!(
            "name the folder of a node's files with `--from`, or check that nobody moved a port; without `--from`, it looks into {}",
            known.profile.folders.join(", ")
        );
        findings.push(Diagnostic::placeless(Code::UnknownSettings, message).help(help));
        return;
    }
    let read: BTreeSet<&str> =
        known.settings.iter().filter_map(|settings| settings.name.as_ref()).map(|name| name.value.as_str()).collect();
    let listens = |name: &&str| known.listeners.iter().any(|listener| listener.node == **name);
    let unread = nodes.iter().map(|node| node.name.as_str()).filter(|name| !read.contains(name));
    let unread: Vec<&str> = unread.filter(|name| !listens(name)).collect();
    let nameless = known.settings.iter().filter(|settings| settings.name.is_none()).count();
    if unread.len() <= nameless {
        return;
    }
    const NAMED: usize = 5;
    let shown = unread.get(..NAMED.min(unread.len())).unwrap_or_default().join(", ");
    let more = if unread.len() > NAMED { format!(" and {} more", unread.len() - NAMED) } else { String::new() };
    let message = format!("the files of {shown}{more} were not read: their ports are taken to be the same");
    let help = "copy the files of nodes with other ports here, and name their folders with `--from`, too";
    findings.push(Diagnostic::placeless(Code::UnknownSettings, message).help(help));
}

/// Decides what stands under `[services.NAME]` and what under single nodes.
fn settle(
    name: &'static str,
    found: &[OnNode],
    (profile, held): (&Profile, &Ports),
    services: &mut Services,
    findings: &mut Findings,
) -> Ports {
    let Some(service) = profile.services.iter().find(|service| service.name() == name) else { return Ports::default() };
    let Some(common) = commonest(found) else {
        let left = service.ports().without(held);
        if service.is_guarded() && left != *service.ports() {
            let comment = "others of its usual ports are another service's by what was read".to_owned();
            let value = if left.is_empty() { "state = \"unused\"".to_owned() } else { ports_line(&left) };
            let row = Row { value, comment };
            services.rows.push(super::ServiceRows { name, remarks: Vec::new(), lines: vec![row] });
            return left;
        }
        if service.is_guarded() && !service.ports().is_empty() {
            services.usual.push(format!("{name} {}", service.ports()));
        }
        return service.ports().clone();
    };
    let mut lines = Vec::new();
    // What listens and the profile calls unused would stay unguarded.
    match (service.state(), service.once_used()) {
        (State::Unused, State::Open) => {
            services.opened.insert(name);
            let comment = "it listens; open to the nodes, and to clients that are named".to_owned();
            lines.push(Row { value: "state = \"open\"".to_owned(), comment });
            lines.push(Row { value: "peers = true".to_owned(), comment: String::new() });
        }
        (State::Unused, State::Blocked | State::Unused) => {
            let comment = "it listens; guarded, and nobody is admitted".to_owned();
            lines.push(Row { value: "state = \"blocked\"".to_owned(), comment });
        }
        (State::Open | State::Blocked, _) => {}
    }
    if common.ports != *service.ports() {
        lines.push(Row { value: ports_line(&common.ports), comment: common.origin.clone() });
    }
    if lines.is_empty() {
        services.usual.push(format!("{name} {}", common.ports));
    } else {
        services.rows.push(super::ServiceRows { name, remarks: Vec::new(), lines });
    }
    for own in found.iter().filter(|own| own.ports != common.ports) {
        match &own.node {
            Some(node) => {
                let line = format!("services.{name}.{}", ports_line(&own.ports));
                let row = Row { value: line, comment: own.origin.clone() };
                services.own.entry(node.clone()).or_default().push(row);
            }
            None => findings.push(whose(name, own)),
        }
    }
    common.ports.clone()
}

/// Ports of a node that is not known would be guarded nowhere.
fn whose(name: &str, own: &OnNode) -> Diagnostic {
    let message = format!("`{name}` has the ports {} here, and these files do not say on which node", own.ports);
    let finding = match own.file {
        Some(file) => Diagnostic::new(Code::NoMembership, Span::new(file, 0..0), message),
        None => Diagnostic::placeless(Code::NoMembership, message),
    };
    finding.help("add the file that has the node's name")
}

/// The ports that most nodes have; of as many, the first. A node without a name cannot have ports of its own.
fn commonest(found: &[OnNode]) -> Option<&OnNode> {
    let mut counts: Vec<(&OnNode, usize)> = Vec::new();
    for own in found {
        let nameless = usize::from(own.node.is_none()) * found.len();
        match counts.iter_mut().find(|(other, _)| other.ports == own.ports) {
            Some((_, count)) => *count += 1 + nameless,
            None => counts.push((own, 1 + nameless)),
        }
    }
    // max_by_key would take the last of equals.
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.iter().find(|(_, count)| *count == most).map(|(own, _)| *own)
}

/// Ports as a key of the cluster file.
#[must_use]
pub fn ports_line(ports: &Ports) -> String {
    let ranges: Vec<String> = ports.ranges().iter().map(|range| format!("\"{range}\"")).collect();
    match ranges.as_slice() {
        [one] => format!("ports = {one}"),
        _ => format!("ports = [{}]", ranges.join(", ")),
    }
}

/// The ranges that are set, and the nodes without one.
fn ranges<'a>(known: &Known<'a>, findings: &mut Findings) -> (Vec<OnNode>, Vec<&'a Settings>) {
    let mut found = Vec::new();
    let mut unbounded = Vec::new();
    for settings in known.settings {
        match settings.distribution.range() {
            Range::Ports(ports) => found.push(OnNode::new(ports, origins(settings, known), settings, known)),
            // One release listens there, and another on any port: the known ports are guarded, and a finding names the rest.
            Range::Unset | Range::MaximumOnly if !settings.distribution.fixed.is_empty() => {
                let ports = settings.distribution.fixed_ports();
                found.push(OnNode::new(ports, origins(settings, known), settings, known));
                unbounded.push(settings);
            }
            Range::Unset | Range::MaximumOnly => unbounded.push(settings),
            Range::Inverted => findings.push(inverted(&settings.distribution)),
        }
    }
    (found, unbounded)
}

fn origins(settings: &Settings, known: &Known<'_>) -> String {
    let bounds = settings.distribution.bounds();
    let mut origins: Vec<String> = bounds.map(|setting| origin(&setting.name, setting.span, known)).collect();
    origins.dedup();
    origins.join("; ")
}

fn propose(
    known: &Known<'_>,
    nodes: usize,
    taken: &Ports,
    unbounded: &[&Settings],
    services: &mut Services,
    findings: &mut Findings,
) {
    // Each node needs one, and one that restarts a spare while its old VM still holds the port.
    let width = (nodes + 1).clamp(2, WIDEST_PROPOSED) as u16;
    let Some(range) = free_range(width, taken) else { return };
    let settings = known.settings.first();
    let unknown = unbounded.is_empty();
    let title = &known.profile.title;
    let state = match unknown {
        true => format!("{title}'s settings were not read"),
        false => format!("not yet in {title}'s settings"),
    };
    let mut remarks =
        vec![format!("CONFIRM: proposed; {state}. Unless {title} listens here, its distribution port is not guarded:")];
    for lines in lines_for(range, known.profile, settings) {
        remarks.push(format!("{}:", lines.place));
        remarks.extend(lines.lines.into_iter().map(|line| format!("    {line}")));
    }
    let value = ports_line(&[range].into_iter().collect());
    let lines = vec![Row { value, comment: state }];
    services.rows.push(super::ServiceRows { name: "distribution", remarks, lines });
    if unknown {
        findings.push(unbounded_finding(
            None,
            range,
            known.profile,
            settings,
            "it is not known which ports Erlang's distribution uses",
        ));
    }
    say_unbounded(unbounded, range, findings);
}

fn say_unbounded(unbounded: &[&Settings], range: PortRange, findings: &mut Findings) {
    for settings in unbounded {
        let message = match settings.distribution.range() {
            Range::Unset | Range::MaximumOnly if !settings.distribution.fixed.is_empty() => {
                "a release of Erlang that does not heed this port takes any free port for its distribution"
            }
            Range::MaximumOnly => "only the maximum is set, so Erlang's distribution listens on any free port",
            _ if !settings.knows_flags => "no distribution range is set here, and vm.args is not known",
            Range::Unset | Range::Ports(_) | Range::Inverted => "Erlang's distribution listens on any free port",
        };
        let place = settings.distribution.span().or_else(|| settings.files.first().map(|file| Span::new(*file, 0..0)));
        findings.push(unbounded_finding(place, range, settings.profile, Some(settings), message));
    }
}

/// The exact lines are the remedy.
pub(super) fn unbounded_finding(
    place: Option<Span>,
    range: PortRange,
    profile: &Profile,
    settings: Option<&Settings>,
    message: &str,
) -> Diagnostic {
    let finding = match place {
        Some(place) => Diagnostic::new(Code::UnboundedDistribution, place, message),
        None => Diagnostic::placeless(Code::UnboundedDistribution, message),
    };
    finding
        .help(format!("on every node, {}; then restart the nodes one after the other", ways(range, profile, settings)))
}

/// The lowest range of this width from the usual place up that no service has, outside the ports of outgoing connections.
pub(crate) fn free_range(width: u16, taken: &Ports) -> Option<PortRange> {
    const FIRST_EPHEMERAL: u16 = 32768;
    let mut first = FIRST_PROPOSED;
    loop {
        let range = PortRange::new(first, first.checked_add(width - 1)?)?;
        if range.last() >= FIRST_EPHEMERAL {
            return None;
        }
        match taken.intersection(&[range].into_iter().collect()) {
            Some(common) => first = common.last().checked_add(1)?,
            None => return Some(range),
        }
    }
}
