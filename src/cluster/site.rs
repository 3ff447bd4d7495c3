//! What one ruleset is for: one node, or every node; of each cluster that is guarded there.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::model::{AND, Client, Cluster, Node, Service, ServiceId};
use crate::net::{Elsewhere, Hosts, Interface, Ports};

/// What is guarded, seen from where its rules will run: a cluster, or several that share a host.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    cluster: &'a Cluster,
    parts: Vec<SitePart<'a>>,
    services: Vec<SiteService<'a>>,
    elsewhere: Elsewhere,
    translates: bool,
}

/// A cluster seen from where its rules will run. For one node: that node's ports and interfaces. For every node: the
/// union of the nodes' ports, and the union of their interfaces, because rules that fit everywhere must not cut
/// anybody off anywhere.
#[derive(Clone, Debug)]
pub struct SitePart<'a> {
    cluster: &'a Cluster,
    node: Option<&'a Node>,
    services: Vec<SiteService<'a>>,
    interfaces: Option<Vec<Interface>>,
    /// Made when somebody first asks for them.
    hosts: OnceLock<Arc<Hosts>>,
}

/// A service with the ports that it has at a site.
#[derive(Clone, Debug)]
pub struct SiteService<'a> {
    /// The service's position.
    pub id: ServiceId,
    /// The service.
    pub service: &'a Service,
    /// Its ports at this site.
    pub ports: Ports,
}

impl<'a> SitePart<'a> {
    /// The addresses of all nodes of the cluster.
    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        let all = || self.cluster.nodes.iter().flat_map(Node::addresses).map(|(address, _)| *address);
        self.hosts.get_or_init(|| Arc::new(all().collect()))
    }

    fn of_node(cluster: &'a Cluster, node: &'a Node) -> Self {
        let services = services(cluster, |id, service| node.ports(id, service).clone());
        let interfaces = node.interfaces.as_ref().or(cluster.guard.interfaces.as_ref());
        let interfaces = interfaces.map(|list| sorted(list));
        Self { cluster, node: Some(node), services, interfaces, hosts: OnceLock::new() }
    }

    pub(super) fn of_every_node(cluster: &'a Cluster) -> Self {
        // Without any node (where everything is closed) the services have the ports of the profile all the same.
        let nobody = cluster.nodes.is_empty();
        // Most nodes say nothing of their own: asked once, not once per service.
        let special: Vec<&Node> = cluster.nodes.iter().filter(|node| !node.ports.is_empty()).collect();
        let services = services(cluster, |id, service| {
            let own = special.iter().map(|node| node.ports(id, service));
            let common = (nobody || special.len() < cluster.nodes.len()).then_some(&service.ports);
            own.chain(common).flat_map(|ports| ports.ranges().iter().copied()).collect()
        });
        let common = cluster.guard.interfaces.as_ref();
        let own: Vec<_> = cluster.nodes.iter().filter_map(|node| node.interfaces.as_ref()).collect();
        let lists: Vec<_> = own.iter().copied().chain(common.filter(|_| own.len() < cluster.nodes.len())).collect();
        // One node that admits on any interface makes the union any.
        let limited = common.is_some() || (!nobody && own.len() == cluster.nodes.len());
        let all: BTreeSet<Interface> = lists.into_iter().flatten().cloned().collect();
        let interfaces = limited.then(|| all.into_iter().collect());
        Self { cluster, node: None, services, interfaces, hosts: OnceLock::new() }
    }

    /// The cluster, as its own file has it.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// The node, unless it is every node.
    #[must_use]
    pub fn node(&self) -> Option<&'a Node> {
        self.node
    }

    /// The other nodes: all of them where it is every node.
    #[must_use]
    pub fn others(&self) -> Vec<&'a Node> {
        let own = self.node.map(Node::name);
        self.cluster.nodes.iter().filter(|node| Some(node.name()) != own).collect()
    }

    /// The ports that a service has on the other nodes.
    #[must_use]
    pub fn ports_of_others(&self, own: &SiteService<'_>) -> Ports {
        let own_name = self.node.map(Node::name);
        let (mut all, mut is_common) = (Vec::new(), false);
        // Most nodes say nothing of their own.
        for node in self.cluster.nodes.iter().filter(|node| Some(node.name()) != own_name) {
            if node.ports.is_empty() {
                is_common = true;
            } else {
                all.extend_from_slice(node.ports(own.id, own.service).ranges());
            }
        }
        let common = if is_common { own.service.ports.ranges() } else { &[] };
        all.into_iter().chain(common.iter().copied()).collect()
    }

    /// All services of the cluster with their ports here, by name.
    #[must_use]
    pub fn services(&self) -> &[SiteService<'a>] {
        &self.services
    }

    /// The ports of every service that is guarded here.
    #[must_use]
    pub fn protected(&self) -> Ports {
        protected(&self.services)
    }

    /// The interfaces on which peers are admitted here, sorted; `None` for any.
    #[must_use]
    pub fn interfaces(&self) -> Option<&[Interface]> {
        self.interfaces.as_deref()
    }

    /// The nodes that asked to admit on fewer interfaces than this site does.
    #[must_use]
    pub fn widened(&self) -> Vec<&'a Node> {
        let narrower = |node: &&Node| {
            let own = node.interfaces.as_deref().map(sorted);
            own.is_some_and(|own| self.interfaces.as_ref().is_none_or(|all| own.len() < all.len()))
        };
        self.cluster.nodes.iter().filter(narrower).collect()
    }

    /// The interfaces on which a client is admitted here, sorted; `None` for any.
    #[must_use]
    pub fn client_interfaces(&self, client: &Client) -> Option<Vec<Interface>> {
        client.interfaces().map(sorted).or_else(|| self.interfaces.clone())
    }
}

impl<'a> Site<'a> {
    /// The site of one node. Where several clusters are guarded it takes one of each, see [`Self::of_nodes`].
    #[must_use]
    pub fn of_node(cluster: &'a Cluster, node: &'a Node) -> Self {
        Self::of_nodes(cluster, &[node])
    }

    /// The site of a host that is these nodes, of each cluster one. Where one is missing it is every node: of a host nobody knows
    /// half of.
    #[must_use]
    pub fn of_nodes(cluster: &'a Cluster, here: &[&'a Node]) -> Self {
        let parts: Option<Vec<SitePart<'a>>> = if cluster.is_joined() {
            // A node of the whole is called there as it is in its part.
            let own = |part: &'a Cluster| here.iter().find_map(|node| part.node(node.name()));
            cluster.parts().iter().map(|part| Some(SitePart::of_node(part, own(part)?))).collect()
        } else {
            here.first().map(|node| vec![SitePart::of_node(cluster, node)])
        };
        parts.map_or_else(|| Self::of_every_node(cluster), |parts| Self::of_parts(cluster, parts))
    }

    /// The site that fits every node.
    #[must_use]
    pub fn of_every_node(cluster: &'a Cluster) -> Self {
        Self::of_parts(cluster, cluster.parts().iter().map(SitePart::of_every_node).collect())
    }

    fn of_parts(cluster: &'a Cluster, parts: Vec<SitePart<'a>>) -> Self {
        // A service is called in a part as it is in the whole.
        let services = services(cluster, |_, service| {
            let own = parts.iter().flat_map(|part| &part.services).filter(|own| own.service.name == service.name);
            own.flat_map(|own| own.ports.ranges().iter().copied()).collect()
        });
        Self { cluster, parts, services, elsewhere: Elsewhere::default(), translates: false }
    }

    /// The same site on a host that answers for these destinations, too.
    #[must_use]
    pub fn answering_for(self, elsewhere: Elsewhere) -> Self {
        Self { elsewhere, ..self }
    }

    /// The same site on a host that translates destinations.
    #[must_use]
    pub fn translating(self, translates: bool) -> Self {
        Self { translates, ..self }
    }

    /// Whether something on the host translates destinations, so that a connection may come in by an address that is none of
    /// this host's, and to another port.
    #[must_use]
    pub fn translates(&self) -> bool {
        self.translates
    }

    /// What the host answers for by another routing table than `local`, as far as that is known.
    #[must_use]
    pub fn elsewhere(&self) -> &Elsewhere {
        &self.elsewhere
    }

    /// The cluster; where several are guarded together, what they are together.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Each cluster that is guarded, as its own file has it. Who is admitted is asked of these.
    #[must_use]
    pub fn parts(&self) -> &[SitePart<'a>] {
        &self.parts
    }

    /// The nodes that the host is: of each cluster one, or none where the site is every node.
    #[must_use]
    pub fn nodes(&self) -> Vec<&'a Node> {
        self.parts.iter().filter_map(SitePart::node).collect()
    }

    /// Their names, in the order of the clusters; `None` where the site is every node.
    #[must_use]
    pub fn node_names(&self) -> Option<String> {
        let names: Option<Vec<&str>> = self.parts.iter().map(|part| part.node.map(Node::name)).collect();
        names.map(|names| names.join(AND))
    }

    /// Whether it is one node of each cluster.
    #[must_use]
    pub fn is_of_nodes(&self) -> bool {
        self.parts.iter().all(|part| part.node.is_some())
    }

    /// All services with their ports here, by name.
    #[must_use]
    pub fn services(&self) -> &[SiteService<'a>] {
        &self.services
    }

    /// The ports of every service that is guarded here.
    #[must_use]
    pub fn protected(&self) -> Ports {
        protected(&self.services)
    }

    /// Whether the same rules fit another site: it is of the same clusters, with the same ports and interfaces, on a host that answers
    /// for the same and translates or not. Whose addresses are this host's may differ.
    #[must_use]
    pub fn is_alike(&self, other: &Site<'_>) -> bool {
        let host = |site: &Site<'_>| (site.translates, site.elsewhere.clone());
        std::ptr::eq(self.cluster, other.cluster)
            && self.own_of_node() == other.own_of_node()
            && host(self) == host(other)
    }

    /// What rules for one node of each cluster can have that rules for another have not, but for what they say in comments: its ports and
    /// interfaces.
    #[must_use]
    pub fn own_of_node(&self) -> Vec<(Vec<&Ports>, Option<&[Interface]>)> {
        self.parts
            .iter()
            .map(|part| (part.services.iter().map(|service| &service.ports).collect(), part.interfaces()))
            .collect()
    }
}

fn protected(services: &[SiteService<'_>]) -> Ports {
    let guarded = services.iter().filter(|service| service.service.is_guarded());
    guarded.flat_map(|service| service.ports.ranges().iter().copied()).collect()
}

fn services<'a>(cluster: &'a Cluster, ports: impl Fn(ServiceId, &'a Service) -> Ports) -> Vec<SiteService<'a>> {
    let all = cluster.services.iter().enumerate();
    all.map(|(index, service)| {
        let id = ServiceId(index);
        SiteService { id, service, ports: ports(id, service) }
    })
    .collect()
}

fn sorted(list: &[Interface]) -> Vec<Interface> {
    list.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
