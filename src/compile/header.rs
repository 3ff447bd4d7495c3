//! What a ruleset says about itself to whoever reads it.

use crate::cluster::{Client, Node, OnBlock, Site, SitePart, SiteService, Source, State};
use crate::diagnostic::{SourceFile, Texts};
use crate::ir::LONGEST_LINE;
use crate::net::{AddressClass, Interface, Ports};

/// So many networks of a client are named; the rules name the others.
const NETWORKS_NAMED: usize = 4;

/// What the rest of a line that is too long begins with.
const CONTINUED: &str = "    ";

/// So many included files are named.
const FILES_NAMED: usize = 8;

/// So many unused services are named.
const SERVICES_NAMED: usize = 12;

/// The header, line by line.
pub fn lines(site: &Site<'_>) -> Vec<String> {
    let mut lines = identity(site);
    lines.push(String::new());
    if site.cluster().guard().is_staged() {
        lines.extend(STAGED.map(str::to_owned));
        lines.push(String::new());
    }
    admitted_and_not(site, &mut lines);
    not_admitted(site, &mut lines);
    lines.push(String::new());
    lines.extend(ASSUMPTIONS.map(str::to_owned));
    lines.into_iter().flat_map(|line| wrapped(&line)).collect()
}

/// What a ruleset rests on, and what it does not cover: what its header says, a sentence each.
pub fn assumptions(staged: bool) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    if staged {
        all.push(STAGED.join(" "));
    }
    for line in ASSUMPTIONS {
        match (line.strip_prefix("- "), all.last_mut()) {
            (None, Some(last)) if line.starts_with("  ") => *last = format!("{last} {}", line.trim_start()),
            (None, _) => all.push(line.to_owned()),
            (Some(line), _) => all.push(line.to_owned()),
        }
    }
    let plain = |text: &String| text.trim_end_matches([';', '.', ':']).to_owned();
    all.iter().map(plain).collect()
}

/// A line in pieces that every dialect takes: names of many clusters are longer than one.
fn wrapped(line: &str) -> Vec<String> {
    let (mut pieces, mut rest) = (Vec::new(), line.to_owned());
    while rest.len() > LONGEST_LINE {
        let end = (1..=LONGEST_LINE).rev().find(|&end| rest.is_char_boundary(end)).unwrap_or(rest.len());
        let end =
            rest.get(..end).and_then(|piece| piece.rfind(' ')).filter(|&end| end > CONTINUED.len()).unwrap_or(end);
        let next = format!("{CONTINUED}{}", rest.get(end..).unwrap_or_default().trim_start());
        pieces.push(rest.get(..end).unwrap_or_default().to_owned());
        rest = next;
    }
    pieces.push(rest);
    pieces
}

fn identity(site: &Site<'_>) -> Vec<String> {
    if site.cluster().is_joined() {
        return identities(site);
    }
    let cluster = site.cluster();
    let place = match site.node_names() {
        Some(node) => format!("the node {node}"),
        None => "every node".to_owned(),
    };
    let (profile, version) = cluster.profile();
    let mut lines = vec![
        format!("Firewall rules of the cluster {} for {place}.", cluster.name()),
        format!(
            "Made by ringfence {}. Do not edit: change the cluster file and compile again.",
            env!("CARGO_PKG_VERSION")
        ),
        format!("Input: sha256 {}", cluster.digest()),
        format!("Profile: {profile}, version {version}"),
    ];
    if let Some(included) = included(cluster.sources().included()) {
        lines.insert(3, included);
    }
    lines
}

fn included<'a>(files: impl Iterator<Item = &'a SourceFile>) -> Option<String> {
    let included: Vec<String> = files.map(SourceFile::base_name).collect();
    let named: Vec<&str> = included.iter().take(FILES_NAMED).map(String::as_str).collect();
    (!named.is_empty()).then(|| format!("Included: {}{}", named.join(", "), more(included.len(), FILES_NAMED)))
}

/// The same of several clusters, each with what it was made from; and what they have in common.
fn identities(site: &Site<'_>) -> Vec<String> {
    let cluster = site.cluster();
    let place = match site.node_names() {
        Some(nodes) => format!("the nodes {nodes}"),
        None => "every node of each".to_owned(),
    };
    let mut lines = vec![
        format!("Firewall rules of the clusters {} for {place}.", cluster.name()),
        format!(
            "Made by ringfence {}. Do not edit: change the cluster files and compile again.",
            env!("CARGO_PKG_VERSION")
        ),
        "They are guarded together, since two tables would block each other's. Whom one of them admits, it admits to its own ports.".to_owned(),
    ];
    for (part, Texts { file, included: files, .. }) in cluster.parts().iter().zip(cluster.sources().of_each()) {
        let (profile, version) = part.profile();
        lines.push(format!("Cluster {}: {}, profile {profile}, version {version}", part.name(), file.base_name()));
        lines.push(format!("  Input: sha256 {}", part.digest()));
        lines.extend(included(files.into_iter()).map(|line| format!("  {line}")));
    }
    for (service, owners) in cluster.shared().into_iter().filter(|(service, _)| service.state() == State::Open) {
        let owners = owners.join(" or ");
        lines.push(format!(
            "SHARED: {}, port {}, admits whom {owners} admits to it: the union.",
            service.name(),
            service.ports()
        ));
    }
    lines
}

/// Who is admitted to each open service, a line each.
#[must_use]
pub fn admitted(site: &Site<'_>) -> Vec<String> {
    let open = site.services().iter().filter(|service| service.service.state() == State::Open);
    let mut rows: Vec<[String; 3]> = Vec::new();
    for service in open {
        let mut who: Vec<String> = site.parts().iter().flat_map(|part| admitted_to(part, service)).collect();
        if who.is_empty() {
            who.push("nobody".to_owned());
        }
        for (index, who) in who.into_iter().enumerate() {
            let (name, ports) = if index == 0 { name_and_ports(service) } else { Default::default() };
            rows.push([name, ports, who]);
        }
    }
    table(&rows)
}

fn admitted_and_not(site: &Site<'_>, lines: &mut Vec<String>) {
    lines.push("Admitted, over TCP:".to_owned());
    lines.extend(admitted(site));
    let blocked = site.services().iter().filter(|service| service.service.state() == State::Blocked);
    let rows: Vec<[String; 3]> =
        blocked.map(name_and_ports).map(|(name, ports)| [name, ports, "nobody".to_owned()]).collect();
    if !rows.is_empty() {
        lines.push("Blocked for everyone:".to_owned());
        lines.extend(table(&rows));
    }
    let protected = site.protected();
    let all = site.services().iter().filter(|service| service.service.state() == State::Unused);
    let unused: Vec<String> = all
        .map(|service| match service.ports.is_empty() || service.ports.intersection(&protected).is_some() {
            // Where there are several clusters, it may be guarded for another one.
            true if site.cluster().is_joined() && !service.ports.is_empty() => {
                format!("{} {}, but for another cluster", service.service.name(), ports(&service.ports))
            }
            true => service.service.name().to_owned(),
            false => format!("{} {}", service.service.name(), ports(&service.ports)),
        })
        .collect();
    if !unused.is_empty() {
        let named: Vec<&str> = unused.iter().take(SERVICES_NAMED).map(String::as_str).collect();
        let more = more(unused.len(), SERVICES_NAMED);
        lines.push(format!("NOT guarded, because declared unused: {}{more}.", named.join("; ")));
    }
}

/// Whom a cluster admits to a service, which is called in a part as in the whole.
fn admitted_to(part: &SitePart<'_>, service: &SiteService<'_>) -> Vec<String> {
    let own = part.services().iter().find(|own| own.service.name() == service.service.name());
    let Some(own) = own.filter(|own| own.service.state() == State::Open) else { return Vec::new() };
    let clients = part.cluster().clients().iter().filter(|client| client.services().contains(&own.id));
    let peers = own.service.peers().then(|| peers(part));
    peers.into_iter().chain(clients.map(|client| client_summary(part, client))).collect()
}

fn name_and_ports(service: &SiteService<'_>) -> (String, String) {
    (service.service.name().to_owned(), ports(&service.ports))
}

/// The first few ranges.
fn ports(ports: &Ports) -> String {
    const NAMED: usize = 8;
    let named: Vec<String> = ports.ranges().iter().take(NAMED).map(ToString::to_string).collect();
    format!("{}{}", named.join(", "), more(ports.ranges().len(), NAMED))
}

fn more(count: usize, named: usize) -> String {
    match count.saturating_sub(named) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

fn peers(site: &SitePart<'_>) -> String {
    let count = site.cluster().nodes().len();
    let nodes = if count == 1 { "the only node".to_owned() } else { format!("the {count} nodes") };
    let of = site.cluster().tag().map(|_| format!(" of {}", site.cluster().name())).unwrap_or_default();
    format!("{nodes}{of}{}", interfaces(site.interfaces()))
}

fn client_summary(site: &SitePart<'_>, client: &Client) -> String {
    // Public networks first: they are what a reviewer must not miss.
    let public = |source: &&Source| source.network.class() == AddressClass::Public;
    let (public, private): (Vec<&Source>, Vec<&Source>) = client.from().iter().partition(public);
    let public = public.into_iter().map(|source| format!("{} (public address space)", source.network));
    let all = public.chain(private.into_iter().map(|source| source.network.to_string()));
    let named: Vec<String> = all.take(NETWORKS_NAMED).collect();
    let more = more(client.from().len(), NETWORKS_NAMED);
    let on = site.client_interfaces(client);
    let allowed = if client.allow_public() { ", allow-public" } else { "" };
    let gateway = if client.gateway() { ", a NAT gateway: whoever is behind it" } else { "" };
    let until = client.until().map(|day| format!(", wanted until {day}")).unwrap_or_default();
    format!(
        "client {} ({}{more}{allowed}{gateway}{until}){}",
        client.name(),
        named.join(", "),
        interfaces(on.as_deref())
    )
}

fn interfaces(names: Option<&[Interface]>) -> String {
    const NAMED: usize = 12;
    let Some(names) = names else { return String::new() };
    let named: Vec<&str> = names.iter().take(NAMED).map(Interface::as_str).collect();
    format!(" on {}{}", named.join(", "), more(names.len(), NAMED))
}

fn table(rows: &[[String; 3]]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let (name, ports) = (width(0), width(1));
    rows.iter().map(|[n, p, who]| format!("  {n:name$}  {p:ports$}  {who}")).collect()
}

fn not_admitted(site: &Site<'_>, lines: &mut Vec<String>) {
    let cluster = site.cluster();
    lines.push("Members of a private network that are neither node nor client get nothing.".to_owned());
    if !cluster.untrusted().is_empty() {
        let list: Vec<String> =
            cluster.untrusted().iter().take(NETWORKS_NAMED).map(|s| s.network.to_string()).collect();
        let more = more(cluster.untrusted().len(), NETWORKS_NAMED);
        lines.push(format!("Untrusted, blocked whatever else is said: {}{more}.", list.join(", ")));
    }
    if site.parts().iter().any(|part| part.node().is_none() && !part.widened().is_empty()) {
        lines.push(
            "Some nodes name interfaces of their own; rules for every node admit on those of all nodes.".to_owned(),
        );
    }
    if cluster.allow_public() {
        lines.push("ATTENTION: the file allows private networks in public address space (allow-public).".to_owned());
    }
    for (family, is_ipv4) in [("IPv4", true), ("IPv6", false)] {
        let nodes = cluster.nodes().iter().flat_map(Node::addresses).map(|(address, _)| address.is_ipv4());
        let clients = cluster.clients().iter().flat_map(Client::from).map(|source| source.network.is_ipv4());
        if !nodes.chain(clients).any(|v4| v4 == is_ipv4) {
            lines.push(format!("Nobody has an {family} address here: over {family} everyone is blocked."));
        }
    }
    match cluster.guard().on_block() {
        OnBlock::Drop => {}
        OnBlock::Reject => lines.push(
            "Blocked senders get a TCP reset; at prerouting this needs Linux 5.9 (older kernels refuse the file)."
                .to_owned(),
        ),
        // It stands at the top.
        OnBlock::LogOnly => {}
    }
}

/// What must not be missed of rules that only log.
const STAGED: [&str; 3] = [
    "STAGED: these rules block NOBODY. Isolation is violated on purpose (on-block = \"log-only\"): whoever is said below not to get in",
    "is logged, at a limited rate, counted and let on. With on-block = \"drop\" the same packets are blocked, which was proved with",
    "these rules. What is said below to be blocked or dropped is let on until then.",
];

/// What every promise about a ruleset rests on.
const ASSUMPTIONS: [&str; 16] = [
    "These rules block; whatever else filters on this host may block more. They rest on this:",
    "- loopback is never judged: every process of this host can reach every port. It is known by its name, so no other",
    "  interface may be called lo;",
    "- a source address is not an identity: who can forge one on the wire is taken for its owner;",
    "- only TCP is judged; other protocols, XDP, tc and BPF programs, other network namespaces, proxies and",
    "  transparent listeners on this host, and ports published under other numbers are not covered;",
    "- TCP inside FOU or GUE is handed over without passing any netfilter hook, so no rule can block it;",
    "- a file loaded by hand guards translated ports (DNAT, REDIRECT) on the addresses of this host's interfaces only;",
    "  `ringfence apply` also on those that other routing tables make local, and on whatever else a translation brings in;",
    "- IPv6 first fragments that hide their transport header are dropped, whatever their protocol and whether they are",
    "  for this host or routed by it;",
    "- a non-first fragment may be dropped if its payload looks like a header for a protected port;",
    "- this host's outgoing connections never have a protected port as their source: set the sysctl that",
    "  `ringfence compile --format sysctl` prints, or replies to them are lost;",
    "- a session to a port published by a container outlives the removal of its source;",
    "- containers behind this host are strangers to its own addresses, unless they are clients.",
];
