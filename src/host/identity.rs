//! Which node of the cluster this host is, and what speaks against applying rules here.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::another::OtherCluster;
use super::links::Link;
use super::place::Ssh;
use super::record::Record;
use super::routing::Routing;
use super::sources::OtherSource;
use super::{HostError, sessions, translation};
use crate::cluster::{Cluster, Node, Site, SitePart, closest};
use crate::diagnostic::Code;
use crate::net::Interface;
use crate::verify::Claims;

/// RFC 4253.
const SSH: u16 = 22;
/// So many names are listed.
const NAMED: usize = 12;

/// A site as this host has it: with what the host answers for, and whether it translates.
///
/// # Errors
/// Where the kernel does not tell.
pub fn on_this_host(site: Site<'_>) -> Result<Site<'_>, HostError> {
    let routing = Routing::read().map_err(HostError::Routing)?;
    Ok(site.answering_for(routing.elsewhere()).translating(translation::is_here()?))
}

/// Why a host is not simply one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOneNode {
    /// `--node` names nobody.
    Unknown(String),
    /// The node of the last apply is in the file no more.
    Gone(String),
    /// No node has an address of this host.
    None,
    /// Several have.
    Several(Vec<String>),
    /// That, of one of several clusters that are guarded together, by its name.
    Of(String, Box<Self>),
}

/// Who this host was by what was applied last: the names of the clusters, as far as they are known, and of its nodes.
#[derive(Clone, Debug, Default)]
pub struct Saved<'a> {
    clusters: Vec<&'a str>,
    nodes: Vec<&'a str>,
}

impl<'a> Saved<'a> {
    /// As it was noted.
    #[must_use]
    pub fn of(record: &'a Record) -> Self {
        Self { clusters: record.clusters().unwrap_or_default(), nodes: record.nodes().unwrap_or_default() }
    }

    /// The node of one cluster of a folder: of the cluster of that name, or which the cluster has. It was none where that cluster was
    /// not among those applied.
    fn node_of(&self, part: &Cluster) -> Option<&'a str> {
        let named = self.clusters.iter().position(|name| *name == part.name()).and_then(|at| self.nodes.get(at));
        named.or_else(|| self.nodes.iter().find(|name| part.node(name).is_some())).copied()
    }

    /// The node where one cluster is guarded: of several that were, that of this one.
    fn only(&self, cluster: &Cluster) -> Option<&'a str> {
        self.node_of(cluster).or_else(|| self.nodes.first().copied())
    }
}

/// Something that would hurt, and is refused unless it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The SSH session that this runs in would end.
    CutSsh(Ssh),
    /// Somebody's SSH session would end; behind tmux or sudo it may be the one that this runs in.
    CutSomeSsh(SocketAddr, SocketAddr),
    /// Peers are to be admitted on an interface that is not there.
    MissingInterface(Interface),
    /// The node has an address, but not on this host.
    ForeignAddress {
        /// The address.
        address: IpAddr,
        /// Which ones this host has, and whose they are, in words.
        here: String,
    },
    /// The node's address is on an interface on which peers are not admitted.
    OtherInterface(IpAddr, String),
    /// Somebody is admitted on an interface that is part of a VRF, and not on the VRF.
    VrfInterface {
        /// In words.
        who: String,
        /// The interface.
        interface: Interface,
        /// Its VRF.
        vrf: String,
        /// What to write.
        line: String,
    },
    /// The file is of another cluster than the rules in force.
    OtherCluster(OtherCluster),
    /// Rules that block would become rules that only log.
    Unblocks,
    /// Peers do not know this host by the address that it takes towards them.
    OtherSource(OtherSource),
}

/// The nodes that this host is, of each cluster one: the one that was asked for, else the one of the last apply, else the one whose
/// address this host has.
///
/// # Errors
/// Where that is not exactly one of each cluster. A name that was asked for and that no cluster has is an error, and so are two of one
/// cluster.
pub fn nodes_of<'a>(
    cluster: &'a Cluster,
    asked: &[String],
    saved: &Saved<'_>,
    links: &[Link],
) -> Result<Vec<&'a Node>, NotOneNode> {
    if let Some(unknown) = asked.iter().find(|name| cluster.node(name).is_none()) {
        return Err(NotOneNode::Unknown(unknown.clone()));
    }
    let of = |part: &'a Cluster| {
        let own: BTreeSet<&str> = asked.iter().map(String::as_str).filter(|name| part.node(name).is_some()).collect();
        if own.len() > 1 {
            return Err(NotOneNode::Several(own.into_iter().map(str::to_owned).collect()));
        }
        let saved = if cluster.is_joined() { saved.node_of(part) } else { saved.only(part) };
        node_of(part, own.first().copied(), saved, links)
    };
    let named = |part: &Cluster, error| match part.tag() {
        Some(_) => NotOneNode::Of(part.name().to_owned(), Box::new(error)),
        None => error,
    };
    cluster.parts().iter().map(|part| of(part).map_err(|error| named(part, error))).collect()
}

fn node_of<'a>(
    cluster: &'a Cluster,
    asked: Option<&str>,
    saved: Option<&str>,
    links: &[Link],
) -> Result<&'a Node, NotOneNode> {
    if let Some(name) = asked {
        return cluster.node(name).ok_or_else(|| NotOneNode::Unknown(name.to_owned()));
    }
    if let Some(name) = saved {
        return cluster.node(name).ok_or_else(|| NotOneNode::Gone(name.to_owned()));
    }
    let own: Vec<IpAddr> = links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
    let here: Vec<&Node> = cluster.nodes().iter().filter(|node| node.has_any(&own)).collect();
    match here.as_slice() {
        [one] => Ok(one),
        [] => Err(NotOneNode::None),
        several => Err(NotOneNode::Several(several.iter().map(|node| node.name().to_owned()).collect())),
    }
}

/// The addresses that a host can be a node by, whose they are, and what to say then.
fn here(cluster: &Cluster, links: &[Link]) -> String {
    let own: Vec<IpAddr> = links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
    let nodes: Vec<&str> =
        cluster.nodes().iter().filter(|node| node.has_any(&own)).map(Node::name).take(NAMED).collect();
    if !nodes.is_empty() {
        let options: Vec<String> = nodes.iter().map(|name| format!("`--node {name}`")).collect();
        return format!("it has the address of {}: {}", nodes.join(", "), options.join(" or "));
    }
    let link_local = |own: &IpAddr| matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
    let others: Vec<IpAddr> = own.into_iter().filter(|own| !own.is_loopback() && !link_local(own)).collect();
    let named: Vec<String> = others.iter().take(NAMED).map(ToString::to_string).collect();
    let more = others.len().saturating_sub(NAMED);
    match (named.is_empty(), more) {
        (true, _) => "it has none that another host can reach".to_owned(),
        (false, 0) => format!("it has {}, which no node of the file has", named.join(", ")),
        (false, more) => format!("it has {} and {more} more, which no node of the file has", named.join(", ")),
    }
}

impl NotOneNode {
    /// What kind of finding it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::UnknownNode,
            Self::Gone(_) | Self::None | Self::Several(_) => Code::NoNode,
            Self::Of(_, error) => error.code(),
        }
    }

    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn message(&self, cluster: &Cluster) -> String {
        let list = |first: Vec<&str>, all: usize| {
            let more = all.saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", first.join(", "))
        };
        let nodes = cluster.nodes();
        let all = || list(nodes.iter().take(NAMED).map(Node::name).collect(), nodes.len());
        let which = "say which node this host is with `--node NAME`";
        match self {
            Self::Unknown(name) => {
                let near = match closest(name, nodes.iter().map(Node::name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the nodes are {}", all()),
                };
                format!("the cluster has no node `{}`; {near}", name.escape_debug())
            }
            Self::Gone(name) => format!(
                "this host was the node `{name}`, which is no longer in the cluster file; {which}, or take the rules away \
                 with `ringfence remove`; the nodes are {}",
                all()
            ),
            Self::None => {
                format!("no node of the cluster file has an address of this host; {which}; the nodes are {}", all())
            }
            Self::Several(names) => {
                let first = names.iter().take(NAMED).map(String::as_str).collect();
                format!("several nodes have an address of this host: {}; {which}", list(first, names.len()))
            }
            Self::Of(name, error) => {
                let part = cluster.parts().iter().find(|part| part.name() == name).unwrap_or(cluster);
                format!("of the cluster `{name}`: {}", error.message(part))
            }
        }
    }
}

/// What speaks against the rules of a site on this host.
#[must_use]
pub fn objections(site: &Site<'_>, links: &[Link], ssh: Option<Ssh>) -> Vec<Objection> {
    let mut objections = Vec::new();
    let port = ssh.map_or(SSH, |ssh| ssh.server.port());
    let blocks = !site.cluster().guard().is_staged();
    objections.extend(ssh.filter(|ssh| blocks && cuts(site, links, ssh)).map(Objection::CutSsh));
    if blocks && objections.is_empty() && site.protected().has(port) {
        let cut = sessions::affected(site, None, links).unwrap_or_default().cut;
        let ssh = cut.iter().find(|session| session.local.port() == port);
        objections.extend(ssh.map(|session| Objection::CutSomeSsh(session.local, session.remote)));
    }
    let own: Vec<&Interface> = site.parts().iter().filter_map(SitePart::interfaces).flatten().collect();
    let of_clients = site.cluster().clients().iter().filter_map(|client| client.interfaces()).flatten();
    // Rules for every node name interfaces that only some of them have.
    if site.is_of_nodes() {
        let mut missing: Vec<&Interface> = own.iter().copied().chain(of_clients).collect();
        missing.retain(|name| !links.iter().any(|link| link.name == name.as_str()));
        missing.sort();
        missing.dedup();
        objections.extend(missing.into_iter().cloned().map(Objection::MissingInterface));
    }
    for part in site.parts() {
        for found in addresses(part, links) {
            // One address may be that of a node of each cluster.
            if !objections.contains(&found) {
                objections.push(found);
            }
        }
    }
    objections
}

/// What speaks against a node's addresses on this host.
fn addresses(part: &SitePart<'_>, links: &[Link]) -> Vec<Objection> {
    let of = |address: IpAddr| {
        let Some(link) = links.iter().find(|link| link.addresses.contains(&address)) else {
            return Some(Objection::ForeignAddress { address, here: here(part.cluster(), links) });
        };
        let admitted = part.interfaces().is_none_or(|names| names.iter().any(|name| name.as_str() == link.name));
        (!admitted && link.name != "lo").then(|| Objection::OtherInterface(address, link.name.clone()))
    };
    part.node().into_iter().flat_map(Node::addresses).filter_map(|(address, _)| of(address)).collect()
}

/// Whether the guard would block the packets of an SSH session.
fn cuts(site: &Site<'_>, links: &[Link], ssh: &Ssh) -> bool {
    let client = ssh.client.ip().to_canonical();
    let own = |address: IpAddr| links.iter().find(|link| link.addresses.contains(&address));
    // What comes from this host itself comes over loopback.
    if client.is_loopback() || own(client).is_some() {
        return false;
    }
    let claims = Claims::of(site);
    let port = ssh.server.port();
    // Which interface its packets come in on is not known: the address need not be on it. So the worst counts.
    let blocked = |name: &str| claims.admitting(client, port, name.parse().ok().as_ref()).is_none();
    claims.protects(port) && links.iter().any(|link| link.name != "lo" && blocked(&link.name))
}

impl Objection {
    /// The word by which it is overridden.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.code().as_str()
    }

    /// What kind of finding it is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::CutSsh(_) | Self::CutSomeSsh(..) => Code::CutSsh,
            Self::MissingInterface(_) => Code::MissingInterface,
            Self::ForeignAddress { .. } => Code::ForeignAddress,
            Self::OtherInterface(..) => Code::OtherInterface,
            Self::VrfInterface { .. } => Code::VrfInterface,
            Self::OtherCluster(_) => Code::OtherCluster,
            Self::Unblocks => Code::Unblocks,
            Self::OtherSource(_) => Code::OtherSource,
        }
    }

    /// What would happen, behind the code.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            // Said in other places, too, with its code.
            Self::OtherCluster(other) => other.message(),
            Self::CutSsh(_)
            | Self::CutSomeSsh(..)
            | Self::MissingInterface(_)
            | Self::ForeignAddress { .. }
            | Self::OtherInterface(..)
            | Self::VrfInterface { .. }
            | Self::Unblocks
            | Self::OtherSource(_) => format!("{}: {}", self.code(), self.words()),
        }
    }

    /// What would happen.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::CutSsh(ssh) => format!(
                "the SSH session that this runs in, from {} to port {}, would be cut: the port is protected, and {} is not \
                 admitted to it",
                ssh.client.ip(),
                ssh.server.port(),
                ssh.client.ip()
            ),
            Self::CutSomeSsh(local, remote) => {
                format!(
                    "an SSH session would be cut, from {remote} to {local}: the port is protected, and {} is not admitted to it",
                    remote.ip()
                )
            }
            Self::MissingInterface(name) => {
                format!("the cluster file admits on the interface `{name}`, which this host does not have")
            }
            Self::ForeignAddress { address, here } => {
                format!("this host is to be a node with the address {address}, which it does not have; {here}")
            }
            Self::OtherInterface(address, link) => {
                format!(
                    "the node's address {address} is on `{}`, and peers are not admitted on that interface",
                    link.escape_debug()
                )
            }
            Self::VrfInterface { who, interface, vrf, line } => {
                let (interface, vrf) = (interface.as_str().escape_debug(), vrf.escape_debug());
                format!(
                    "{who} would time out: they are admitted on `{interface}` and not on its VRF `{vrf}`, whose name their packets \
                     have at input; write `{line}`"
                )
            }
            Self::OtherCluster(other) => other.message(),
            Self::Unblocks => {
                "strangers are blocked now, or were by what was applied last, and would only be logged and let on \
                               (`on-block = \"log-only\"`)"
                    .to_owned()
            }
            Self::OtherSource(other) => format!("{}; {}", other.message(), other.help()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;

    fn cluster(text: &str) -> Cluster {
        parse("cluster.toml", text.to_owned(), Path::new("")).cluster.unwrap()
    }

    fn two() -> Cluster {
        cluster(
            "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\", \"b@10.0.0.2\"]\n[networks]\nprivate = [\"10.0.0.0/24\"]\n\
             [guard]\ninterfaces = [\"eth1\"]\n[services.ssh]\nstate = \"open\"\npeers = true\nports = \"22\"\n\
             [services.distribution]\nports = \"6000\"\n",
        )
    }

    fn link(name: &str, addresses: &[&str]) -> Link {
        Link { name: name.into(), addresses: addresses.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn a_host_is_who_it_is_said_to_be() {
        let cluster = two();
        let links = [link("lo", &["127.0.0.1"]), link("eth1", &["10.0.0.2"])];
        let name = |asked, saved, links: &[Link]| node_of(&cluster, asked, saved, links).map(Node::name);
        assert_eq!(name(Some("a@10.0.0.1"), Some("b@10.0.0.2"), &links), Ok("a@10.0.0.1"));
        assert_eq!(name(None, Some("a@10.0.0.1"), &links), Ok("a@10.0.0.1"));
        assert_eq!(name(None, None, &links), Ok("b@10.0.0.2"));
        assert_eq!(name(None, Some("x"), &links), Err(NotOneNode::Gone("x".into())));
        assert_eq!(name(Some("x"), None, &links), Err(NotOneNode::Unknown("x".into())));
        assert_eq!(name(None, None, &links[..1]), Err(NotOneNode::None));
        let both = [link("eth1", &["10.0.0.2", "10.0.0.1"])];
        assert!(matches!(name(None, None, &both), Err(NotOneNode::Several(names)) if names.len() == 2));
    }

    /// Only `apply` and its like take `--allow`, and say so themselves.
    #[test]
    fn who_is_not_known_is_told_what_every_command_takes() {
        let cluster = two();
        for error in [NotOneNode::Gone("x".into()), NotOneNode::None, NotOneNode::Several(vec!["a@10.0.0.1".into()])] {
            let said = error.message(&cluster);
            assert!(said.contains("`--node NAME`") && !said.contains("--allow"), "{said}");
        }
        let said = NotOneNode::Unknown("a@10.0.0.7".into()).message(&cluster);
        assert!(said.ends_with("did you mean `a@10.0.0.1`?"), "{said}");
    }

    #[test]
    fn whose_addresses_a_host_has_is_said() {
        let cluster = two();
        let site = Site::of_node(&cluster, &cluster.nodes()[1]);
        let said = |addresses: &[&str]| {
            let found = objections(&site, &[link("eth1", addresses)], None);
            found.iter().map(Objection::message).find(|said| said.starts_with("foreign-address: ")).unwrap()
        };
        assert!(said(&["10.0.0.1"]).ends_with("; it has the address of a@10.0.0.1: `--node a@10.0.0.1`"));
        assert!(said(&["10.0.0.9", "fe80::1"]).ends_with("; it has 10.0.0.9, which no node of the file has"));
        assert!(said(&["fe80::1"]).ends_with("; it has none that another host can reach"));
    }

    #[test]
    fn what_would_hurt_is_found() {
        let cluster = two();
        let site = Site::of_node(&cluster, &cluster.nodes()[1]);
        let ssh = |from: &str| Some(Ssh { client: from.parse().unwrap(), server: "10.0.0.2:22".parse().unwrap() });
        let good = [link("lo", &["127.0.0.1"]), link("eth1", &["10.0.0.2"])];
        let words =
            |links: &[Link], ssh| -> Vec<&str> { objections(&site, links, ssh).iter().map(Objection::word).collect() };
        assert_eq!(words(&good, ssh("10.0.0.1:40000")), [""; 0]);
        assert_eq!(words(&good, ssh("10.0.0.2:40000")), [""; 0], "over loopback");
        assert_eq!(words(&good, ssh("192.0.2.1:40000")), ["cut-ssh"]);
        assert_eq!(words(&good, ssh("[::ffff:192.0.2.1]:40000")), ["cut-ssh"]);
        assert_eq!(words(&[link("eth0", &["10.0.0.2"])], None), ["missing-interface", "other-interface"]);
        assert_eq!(words(&[link("eth1", &["10.0.0.9"])], None), ["foreign-address"]);
    }
}
