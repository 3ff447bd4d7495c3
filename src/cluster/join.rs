//! Several clusters as one: what a host guards of which each has a file of its own.
//!
//! Two tables would cut each other off, since each blocks whom it does not know. So they are guarded in one, in which each cluster's
//! sources are admitted to that cluster's ports.
//!
//! INVARIANT (no less strict): a port belongs to one cluster. The exception is epmd, which is one program for all Erlang of a host: its
//! port admits whom any of the clusters admits there. Whatever else two files say of one port, or of one source, is refused.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use super::guard::Guard;
use super::model::{AND, Client, Cluster, Service, ServiceId, Source, State};
use super::node::{Node, Says};
use super::site::SitePart;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Sources, Span};
use crate::net::{Cidr, Networks, Ports};

/// The service that all Erlang of a host has in common.
const EPMD: &str = "epmd";

/// The longest word for names of sets: those of nf_tables and of chains have room for it, and ipsets get a checksum.
const LONGEST_TAG: usize = 16;

/// The longest name of a service with its clusters' names. Rules name it in comments, whose room is 120 bytes for nft as for iptables.
const LONGEST_SERVICE: usize = 96;

impl Cluster {
    /// The same cluster where so many texts come before its own in these.
    pub(super) fn behind(mut self, others: u16, sources: &Arc<Sources>) -> Self {
        let of = |span: Span| Span { file: span.file.behind(others), ..span };
        let sources_of = |list: &mut Vec<Source>| list.iter_mut().for_each(|source| source.span = of(source.span));
        self.services.iter_mut().for_each(|service| service.span = service.span.map(of));
        for node in &mut self.nodes {
            node.name.span = of(node.span());
            if let Says::More(more) = &mut node.says {
                more.addresses.iter_mut().for_each(|(_, span)| *span = of(*span));
            }
        }
        for client in &mut self.clients {
            client.span = of(client.span);
            sources_of(&mut client.from);
        }
        sources_of(&mut self.private);
        sources_of(&mut self.untrusted);
        let Guard { interfaces: _, on_block: _, on_block_span, log: _, log_span, through: _, through_span, allow } =
            &mut self.guard;
        for span in [on_block_span, log_span, through_span] {
            *span = span.map(of);
        }
        allow.iter_mut().for_each(|(_, span)| *span = of(*span));
        self.sources = Arc::clone(sources);
        self
    }

    /// Where its file begins.
    fn begin(&self) -> Span {
        let span = self.nodes.first().map(Node::span);
        let file =
            self.services.iter().find_map(|service| service.span).or(span).map_or(FileId::CLUSTER, |span| span.file);
        span.unwrap_or(Span::new(file, 0..0))
    }
}

/// What two files cannot both say of one host, each with its place in both.
pub(super) fn conflicts(clusters: &[Cluster], findings: &mut Findings) {
    names(clusters, findings);
    for (at, one) in clusters.iter().enumerate() {
        for other in clusters.iter().skip(at + 1) {
            guards(one, other, findings);
            ports(one, other, findings);
            for (guarding, other) in [(one, other), (other, one)] {
                unused(guarding, other, findings);
            }
            for (trusting, distrusting) in [(one, other), (other, one)] {
                untrusted(trusting, distrusting, findings);
            }
        }
    }
}

fn names(clusters: &[Cluster], findings: &mut Findings) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for cluster in clusters {
        if let Some(first) = seen.insert(&cluster.name, cluster.begin()) {
            let message = format!("two clusters of this host are called `{}`", cluster.name);
            let finding = Diagnostic::new(Code::DuplicateName, cluster.begin(), message).also(first, "the other one");
            findings.push(
                finding
                    .help("give each a `name` of its own under `[cluster]`; rules and counters are told apart by it"),
            );
        }
    }
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for cluster in clusters {
        for node in &cluster.nodes {
            if let Some(first) = seen.get(&*node.name) {
                let message = format!("two clusters have a node called `{}`", node.name());
                let finding = Diagnostic::new(Code::DuplicateName, node.span(), message).also(*first, "the other one");
                findings
                    .push(finding.help("one program has the name on its host, in one cluster; correct one of them"));
            }
        }
        seen.extend(cluster.nodes.iter().map(|node| (&*node.name, node.span())));
    }
}

/// There is one guard. Interfaces are those of each cluster.
fn guards(one: &Cluster, other: &Cluster, findings: &mut Findings) {
    let (a, b) = (&one.guard, &other.guard);
    let all = [
        ("on-block", a.on_block == b.on_block, a.on_block_span, b.on_block_span),
        ("log", a.log == b.log, a.log_span, b.log_span),
        ("open-through", a.through == b.through, a.through_span, b.through_span),
    ];
    for (key, _, first, second) in all.into_iter().filter(|(_, same, ..)| !same) {
        let message =
            format!("`{}` and `{}` say different things of `{key}`, and are guarded together", one.name, other.name);
        let finding = Diagnostic::new(Code::GuardConflict, second.unwrap_or(other.begin()), message);
        let finding = finding.also(first.unwrap_or(one.begin()), "the other file");
        findings.push(finding.help(format!("write the same `{key}` under `[guard]` of both files")));
    }
}

/// Whom one file admits and another distrusts somebody has to decide on. Where the file that admits leaves the same out itself, they
/// agree.
fn untrusted(trusting: &Cluster, distrusting: &Cluster, findings: &mut Findings) {
    let own: Networks = trusting.untrusted.iter().map(|source| source.network).collect();
    let nodes = trusting.nodes.iter().flat_map(|node| {
        node.addresses().map(|(address, span)| (node.name(), Source { network: Cidr::host(address), span }))
    });
    let clients = trusting.clients.iter().flat_map(|client| client.from.iter().map(|source| (client.name(), *source)));
    // Most are in none of them, and there may be many.
    let list: Networks = distrusting.untrusted.iter().map(|source| source.network).collect();
    let doubtful = |(_, source): &(&str, Source)| list.overlaps(source.network) && !own.covers(source.network);
    let admitted: Vec<(&str, Source)> = nodes.chain(clients).filter(doubtful).collect();
    for distrusted in &distrusting.untrusted {
        for (who, source) in &admitted {
            // Networks are nested or apart.
            let common = if source.network.contains(distrusted.network) {
                distrusted.network
            } else if distrusted.network.contains(source.network) {
                source.network
            } else {
                continue;
            };
            if own.covers(common) {
                continue;
            }
            let message = format!(
                "`{who}` of `{}` comes from {}, which is untrusted for `{}`, and so always blocked on this host",
                trusting.name, source.network, distrusting.name
            );
            let finding = Diagnostic::new(Code::UntrustedConflict, source.span, message);
            let finding = finding.also(distrusted.span, "untrusted");
            findings.push(finding.help("narrow the untrusted network, or whom the other file admits"));
        }
    }
}

/// No port belongs to services of two clusters, on any of their nodes, unless it is one service for both.
fn ports(one: &Cluster, other: &Cluster, findings: &mut Findings) {
    let (a, b) = (SitePart::of_every_node(one), SitePart::of_every_node(other));
    for first in a.services().iter().filter(|own| own.service.is_guarded()) {
        for second in b.services().iter().filter(|own| own.service.is_guarded()) {
            let Some(common) = first.ports.intersection(&second.ports) else { continue };
            if is_one((one, first.service), (other, second.service)) {
                continue;
            }

            let (x, y) = (first.service, second.service);
            let message =
                format!("`{}` of `{}` and `{}` of `{}` both have port {common}", x.name, one.name, y.name, other.name);
            let finding = Diagnostic::new(Code::PortOverlap, y.span.unwrap_or(other.begin()), message);
            let finding = finding.also(x.span.unwrap_or(one.begin()), "the other one");
            findings.push(finding.help(
                "give each cluster ports of its own: a port admits one cluster's sources. Only `epmd`, with the same ports, is one \
                 program for both; what else is one for both belongs into one of the files, and is `state = \"unused\"` in the other",
            ));
        }
    }
}

/// A port that one file leaves alone and another guards is guarded, and whoever the first is for is a stranger there.
fn unused(guarding: &Cluster, other: &Cluster, findings: &mut Findings) {
    let (a, b) = (SitePart::of_every_node(guarding), SitePart::of_every_node(other));
    for first in a.services().iter().filter(|own| own.service.is_guarded()) {
        for second in b.services().iter().filter(|own| !own.service.is_guarded()) {
            let Some(common) = first.ports.intersection(&second.ports) else { continue };
            let (x, y) = (first.service, second.service);
            let message = format!(
                "port {common} is guarded here for `{}` of `{}`; hosts of `{}`, for which `{}` is unused, do not get in there",
                x.name, guarding.name, other.name, y.name
            );
            let finding = Diagnostic::new(Code::UnguardedOverlap, y.span.unwrap_or(other.begin()), message);
            let finding = finding.also(x.span.unwrap_or(guarding.begin()), "guarded");
            findings.push(finding.help(
                "where they have to, say nothing of its `state` in both files, or name them as a client of the other",
            ));
        }
    }
}

/// Whether a service is the same one in two clusters: epmd, or what is closed for everybody in both, with the same ports on every node.
fn is_one((one, first): (&Cluster, &Service), (other, second): (&Cluster, &Service)) -> bool {
    let everywhere = |cluster: &Cluster, service: &Service| {
        let at = cluster.services.iter().position(|own| own.name == service.name);
        !cluster.nodes.iter().any(|node| node.own_ports().iter().any(|(id, _)| Some(id.0) == at))
    };
    let role = match (first.state, second.state) {
        (State::Open, State::Open) => first.name == EPMD && !first.one_port_per_node && !second.one_port_per_node,
        (State::Blocked, State::Blocked) => true,
        (State::Open | State::Blocked | State::Unused, _) => false,
    };
    role && first.name == second.name
        && first.peers == second.peers
        && first.ports == second.ports
        && everywhere(one, first)
        && everywhere(other, second)
}

/// Clusters that have nothing against each other, as one.
pub(super) fn join(mut parts: Vec<Cluster>, sources: &Arc<Sources>) -> Cluster {
    let words = tags(&parts);
    let owners = owners(&parts);
    for ((part, tag), owners) in parts.iter_mut().zip(words).zip(owners) {
        let name = part.name.clone();
        part.services.iter_mut().zip(owners).for_each(|(service, owners)| {
            service.name = of_owners(&service.name, &owners);
        });
        part.clients.iter_mut().for_each(|client| client.name = format!("{} ({name})", client.name));
        part.peers = format!("peers of {name}");
        part.tag = Some(tag);
    }
    let mut services: Vec<Service> = Vec::new();
    for service in parts.iter().flat_map(|part| &part.services) {
        if !services.iter().any(|own| own.name == service.name) {
            services.push(service.clone());
        }
    }
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut nodes, mut clients) = (Vec::new(), Vec::new());
    for part in &parts {
        let ids: Vec<ServiceId> = part.services.iter().map(|service| position(&services, service)).collect();
        let of = |id: &ServiceId| ids.get(id.0).copied();
        nodes.extend(part.nodes.iter().map(|node| {
            let ports: Vec<(ServiceId, Ports)> =
                node.own_ports().iter().filter_map(|(id, ports)| Some((of(id)?, ports.clone()))).collect();
            let interfaces = node.own_interfaces().map(Box::from).or_else(|| part.guard.interfaces.clone());
            node.with_own(ports, interfaces)
        }));
        clients.extend(part.clients.iter().map(|client| {
            let services = client.services.iter().filter_map(of).collect();
            Client { services, ..client.clone() }
        }));
    }
    let all = |of: fn(&Cluster) -> &Vec<Source>| parts.iter().flat_map(of).copied().collect::<Vec<Source>>();
    let names = |of: fn(&Cluster) -> &str| parts.iter().map(of).collect::<Vec<_>>().join(AND);
    Cluster {
        name: names(Cluster::name),
        profile: names(|part| part.profile().0),
        profile_version: parts.iter().map(|part| part.profile_version).max().unwrap_or_default(),
        digest: digest(&parts),
        private: all(|part| &part.private),
        untrusted: all(|part| &part.untrusted),
        allow_public: parts.iter().any(|part| part.allow_public),
        guard: guard(&parts),
        includes: parts.iter().flat_map(|part| part.includes.iter().cloned()).collect(),
        sources: Arc::clone(sources),
        peers: names(Cluster::peers),
        tag: None,
        services,
        nodes,
        hosts: OnceLock::new(),
        clients,
        parts,
    }
}

fn position(services: &[Service], wanted: &Service) -> ServiceId {
    // INVARIANT (joined): each service of a part is among them.
    ServiceId(services.iter().position(|own| own.name == wanted.name).unwrap_or(usize::MAX))
}

/// The name of a service with those of its clusters. It stands in comments of rules, which have little room: where it does not fit it has
/// the first of them, who has a service of that name only once, and where even that is too long a checksum.
fn of_owners(service: &str, owners: &[String]) -> String {
    let all = format!("{service} ({})", owners.join(AND));
    if all.len() <= LONGEST_SERVICE {
        return all;
    }
    let first = owners.first().map(String::as_str).unwrap_or_default();
    let short = match owners.len() {
        0 | 1 => all,
        several => format!("{service} ({first} and {} more)", several - 1),
    };
    if short.len() <= LONGEST_SERVICE {
        return short;
    }
    let checksum = short_digest(&short);
    let end = (0..LONGEST_SERVICE - checksum.len()).rev().find(|&end| short.is_char_boundary(end)).unwrap_or(0);
    format!("{} {checksum}", short.get(..end).unwrap_or_default())
}

/// Some hexadecimal digits that are others for any other text.
fn short_digest(text: &str) -> String {
    let digits = super::config::hexadecimal(&Sha256::digest(text));
    digits.get(..8).unwrap_or(&digits).to_owned()
}

/// For each service of each cluster, of which clusters it is: more than one where they have it in common.
fn owners(parts: &[Cluster]) -> Vec<Vec<Vec<String>>> {
    let of = |part: &Cluster, service: &Service| -> Vec<String> {
        let has = |other: &&Cluster| {
            other.name == part.name
                || other.services.iter().any(|own| service.is_guarded() && is_one((part, service), (*other, own)))
        };
        parts.iter().filter(has).map(|other| other.name.clone()).collect()
    };
    parts.iter().map(|part| part.services.iter().map(|service| of(part, service)).collect()).collect()
}

/// What the files agree on. What only some of them allow is not allowed: it would be so for the others, too.
fn guard(parts: &[Cluster]) -> Guard {
    let mut guard = parts.first().map(|part| part.guard.clone()).unwrap_or_default();
    guard.interfaces = None;
    let by_all = |wanted| parts.iter().all(|part| part.guard.allow.iter().any(|(own, _)| *own == wanted));
    guard.allow.retain(|(own, _)| by_all(*own));
    guard
}

/// A word for each, of letters, digits and `_`, and each another one. A cluster has the same one whatever its file is called, since names of
/// sets and chains are made of it: where the beginnings of names are alike, the words have checksums.
fn tags(parts: &[Cluster]) -> Vec<String> {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let plain = |part: &Cluster| part.name.chars().take(LONGEST_TAG).map(fit).collect::<String>();
    let is_alike = |one: &str, other: &Cluster| plain(other).eq_ignore_ascii_case(one);
    let of = |part: &Cluster| {
        let word = plain(part);
        let alone = parts.iter().filter(|other| is_alike(&word, other)).count() == 1;
        if alone {
            word
        } else {
            format!("{}_{}", word.chars().take(LONGEST_TAG - 9).collect::<String>(), short_digest(&part.name))
        }
    };
    parts.iter().map(of).collect()
}

/// SHA-256 of what was read, in hexadecimal digits: names have no line ends, which so tell the files apart.
fn digest(parts: &[Cluster]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(format!("{} {}\n", part.name, part.digest)));
    super::config::hexadecimal(&digest.finalize())
}

#[cfg(test)]
mod tests;
