//! What one ruleset is for: one node, or every node; of each cluster that is guarded there.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::model::{AND, Client, Cluster, Service, ServiceId};
use super::node::Node;
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
    /// Where that stands among those of the cluster.
    at: Option<usize>,
    services: Vec<SiteService<'a>>,
    interfaces: Option<Vec<Interface>>,
    /// Where the nodes stand that have ports of their own, made when somebody first asks for them. Most have none, and are not asked once
    /// for each service.
    special: OnceLock<Vec<usize>>,
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
        self.cluster.hosts()
    }

    fn of_node(cluster: &'a Cluster, node: &'a Node) -> Self {
        let services = services(cluster, |id, service| node.ports(id, service).clone());
        let interfaces = node.own_interfaces().or(cluster.guard.interfaces.as_deref());
        let interfaces = interfaces.map(sorted);
        let of = |same: &dyn Fn(&Node) -> bool| cluster.nodes.iter().position(same);
        let at = of(&|other| std::ptr::eq(other, node)).or_else(|| of(&|other| other.name() == node.name()));
        Self { cluster, node: Some(node), at, services, interfaces, special: OnceLock::new() }
    }

    pub(super) fn of_every_node(cluster: &'a Cluster) -> Self {
        // Without any node (where everything is closed) the services have the ports of the profile all the same.
        let nobody = cluster.nodes.is_empty();
        let special = special(cluster);
        let services = services(cluster, |id, service| {
            let own = special.iter().filter_map(|at| cluster.nodes.get(*at)).map(|node| node.ports(id, service));
            let common = (nobody || special.len() < cluster.nodes.len()).then_some(&service.ports);
            own.chain(common).flat_map(|ports| ports.ranges().iter().copied()).collect()
        });
        let common = cluster.guard.interfaces.as_deref();
        let own: Vec<_> = cluster.nodes.iter().filter_map(Node::own_interfaces).collect();
        let lists: Vec<_> = own.iter().copied().chain(common.filter(|_| own.len() < cluster.nodes.len())).collect();
        // One node that admits on any interface makes the union any.
        let limited = common.is_some() || (!nobody && own.len() == cluster.nodes.len());
        let all: BTreeSet<Interface> = lists.into_iter().flatten().cloned().collect();
        let interfaces = limited.then(|| all.into_iter().collect());
        Self { cluster, node: None, at: None, services, interfaces, special: special.into() }
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
    pub fn others(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        let nodes = self.cluster.nodes.as_slice();
        let (before, behind) = match self.at {
            Some(at) => (nodes.get(..at), nodes.get(at + 1..)),
            None => (Some(nodes), None),
        };
        before.into_iter().chain(behind).flatten()
    }

    /// How many these are.
    #[must_use]
    pub fn count_of_others(&self) -> usize {
        self.cluster.nodes.len() - usize::from(self.at.is_some())
    }

    /// The nodes that the host may be: all of them where it is every node.
    pub fn here(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.node.map_or(self.cluster.nodes.as_slice(), std::slice::from_ref).iter()
    }

    /// The ports that a service has on the other nodes.
    #[must_use]
    pub fn ports_of_others(&self, own: &SiteService<'_>) -> Ports {
        let special = self.special.get_or_init(|| special(self.cluster));
        let others = special.iter().filter(|at| Some(**at) != self.at);
        let others: Vec<&Node> = others.filter_map(|at| self.cluster.nodes.get(*at)).collect();
        let is_common = others.len() < self.count_of_others();
        let common = if is_common { own.service.ports.ranges() } else { &[] };
        let all = others.iter().flat_map(|node| node.ports(own.id, own.service).ranges());
        all.chain(common).copied().collect()
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
            let own = node.own_interfaces().map(sorted);
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

/// Where the nodes stand that have ports of their own.
fn special(cluster: &Cluster) -> Vec<usize> {
    let all = cluster.nodes.iter().enumerate();
    all.filter(|(_, node)| !node.own_ports().is_empty()).map(|(at, _)| at).collect()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;

    const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\"]\n\
        [[node]]\nname = \"b@10.0.0.2\"\nservices.http.ports = \"9098\"\n[[node]]\nname = \"c@10.0.0.3\"\nservices.http.ports = \"9099\"\n\
        [networks]\nprivate = [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";

    #[test]
    fn the_others_are_all_but_the_node() {
        let cluster = parse("cluster.toml", CLUSTER.to_owned(), Path::new("")).cluster.unwrap();
        // A node of another copy is the same one by its name; who is none of the cluster's is nobody's other.
        let copy = cluster.clone();
        let stranger = Node {
            name: crate::cluster::name::Name::own("x@10.0.0.9", copy.nodes()[0].span()),
            ..copy.nodes()[0].clone()
        };
        let sites = [
            (SitePart::of_every_node(&cluster), "a@10.0.0.1 b@10.0.0.2 c@10.0.0.3", "8098 9098-9099"),
            (SitePart::of_node(&cluster, &cluster.nodes()[0]), "b@10.0.0.2 c@10.0.0.3", "9098-9099"),
            (SitePart::of_node(&cluster, &copy.nodes()[1]), "a@10.0.0.1 c@10.0.0.3", "8098 9099"),
            (SitePart::of_node(&cluster, &cluster.nodes()[2]), "a@10.0.0.1 b@10.0.0.2", "8098 9098"),
            (SitePart::of_node(&cluster, &stranger), "a@10.0.0.1 b@10.0.0.2 c@10.0.0.3", "8098 9098-9099"),
        ];
        for (part, others, ports) in sites {
            let names: Vec<&str> = part.others().map(Node::name).collect();
            assert_eq!((names.join(" ").as_str(), names.len()), (others, part.count_of_others()));
            let here: Vec<&str> = part.here().map(Node::name).collect();
            assert_eq!(here, part.node().map_or(names, |node| vec![node.name()]));
            let http = part.services().iter().find(|own| own.service.name() == "http").unwrap();
            let own: Vec<String> = part.ports_of_others(http).ranges().iter().map(ToString::to_string).collect();
            assert_eq!(own.join(" "), ports, "{others}");
        }
        assert_eq!(cluster.hosts().len(), 3);
    }
}
