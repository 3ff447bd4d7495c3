//! Open sessions of hosts that look like peers which the cluster file forgot.
//!
//! Whoever talks from a private network to a port that only peers use is most likely a peer. The first rules on a host block
//! such a session, and where nobody can confirm them, nobody is there to notice.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::links::Link;
use super::routing::Routing;
use super::sockets::{State, Which, table};
use crate::cluster::{self, Cluster, Node, Site, SiteService};
use crate::diagnostic::Code;
use crate::dialect::netlink::RequestError;
use crate::net::{AddressClass, Cidr, Ports};
use crate::verify::Claims;

/// The service by which nodes talk to each other, as every profile calls it.
const DISTRIBUTION: &str = "distribution";
/// So many sessions are named.
const NAMED: usize = 12;

/// A session that rules would block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutPeer {
    /// The other end.
    pub remote: SocketAddr,
    /// This host's end.
    pub local: SocketAddr,
    /// The service that has the port.
    pub service: String,
    /// The interface on which the source is not admitted; `None` where it is admitted nowhere.
    pub interface: Option<String>,
}

/// Established sessions that the rules of a site would block, from private networks into ports that only peers use: one of
/// each source into each port, sorted.
///
/// A source that the file calls untrusted is blocked on purpose, so it is none of them.
///
/// # Errors
/// Where the kernel does not tell; that is not the same as none.
pub fn cut_peers(site: &Site<'_>, links: &[Link]) -> Result<Vec<CutPeer>, RequestError> {
    let open = table(Which::Connected)?;
    let established = open.iter().filter(|session| session.state == State::Established);
    let ends: Vec<_> = established.map(|session| (session.local, session.remote)).collect();
    let mut found = blocked(site, links, &Routing::default(), &ends);
    // Only now, as most hosts have none of them.
    if !found.is_empty() {
        found = blocked(site, links, &Routing::read()?, &ends);
    }
    Ok(found)
}

fn blocked(site: &Site<'_>, links: &[Link], routing: &Routing, ends: &[(SocketAddr, SocketAddr)]) -> Vec<CutPeer> {
    if ends.is_empty() {
        return Vec::new();
    }
    let claims = Claims::of(site);
    let services = of_peers_only(site);
    let mut found = BTreeMap::new();
    for (local, remote) in ends {
        let (here, there) = (local.ip().to_canonical(), remote.ip().to_canonical());
        let service = services.iter().find(|service| service.ports.has(local.port()));
        let Some(service) = service.filter(|_| may_be_peer(site, links, here, there)) else { continue };
        let port = local.port();
        // Its packets most likely come in where the address is. On lo there may be one that is reached from everywhere.
        let link = links.iter().find(|link| link.name != "lo" && link.addresses.contains(&here));
        let somewhere = claims.admits_somewhere(there, port);
        let passes = somewhere
            && link.is_none_or(|link| {
                let own = link.name.parse().ok();
                // At input packets have the name of the VRF.
                let vrf = own.as_ref().and_then(|own| routing.vrf_of(own)?.parse().ok());
                [own, vrf].iter().any(|name| claims.admitting(there, port, name.as_ref()).is_some())
            });
        if !passes {
            let interface = link.filter(|_| somewhere).map(|link| link.name.clone());
            let service = service.service.name().to_owned();
            let cut = CutPeer { remote: *remote, local: *local, service, interface };
            found.entry((there, port)).or_insert(cut);
        }
    }
    found.into_values().collect()
}

/// Nodes of the cluster as it was that are none of it any more and have an open session with this host, in words; nothing where there
/// are none.
///
/// # Errors
/// Where the kernel does not tell.
pub fn running(site: &Site<'_>, was: impl FnOnce() -> Option<Cluster>) -> Result<Option<String>, RequestError> {
    let established = table(Which::Connected)?.into_iter().filter(|session| session.state == State::Established);
    let ends = established.map(|session| (session.local, session.remote));
    let strange = strangers(site, ends.collect());
    // What was is read only where somebody may be of it.
    let was = (!strange.is_empty()).then(was).flatten();
    Ok(was.and_then(|was| running_message(&leaving(site, &was, &strange))))
}

/// The sessions out of or into ports of the distribution with whoever is no node.
fn strangers(site: &Site<'_>, mut ends: Vec<(SocketAddr, SocketAddr)>) -> Vec<(SocketAddr, SocketAddr)> {
    let distribution: Ports = site
        .services()
        .iter()
        .filter(|own| own.service.name() == DISTRIBUTION)
        .flat_map(|own| own.ports.ranges().to_vec())
        .collect();
    let is_node = |address: IpAddr| site.parts().iter().any(|part| part.hosts().has(address));
    ends.retain(|(local, remote)| {
        let address = remote.ip().to_canonical();
        let is_of_distribution = [local, remote].iter().any(|end| distribution.has(end.port()));
        is_of_distribution && !address.is_loopback() && !is_node(address)
    });
    ends
}

/// The nodes that were and are no more, by name, that have one of these sessions.
fn leaving<'a>(site: &Site<'_>, was: &'a Cluster, sessions: &[(SocketAddr, SocketAddr)]) -> Vec<&'a str> {
    let stays =
        |name: &str| site.parts().iter().any(|part| part.cluster().nodes().iter().any(|node| node.name() == name));
    let has_session = |node: &&Node| {
        let is_of =
            |(_, remote): &(SocketAddr, SocketAddr)| node.addresses().any(|(own, _)| own == remote.ip().to_canonical());
        sessions.iter().any(is_of)
    };
    was.nodes().iter().filter(has_session).map(Node::name).filter(|name| !stays(name)).collect()
}

/// What Erlang does is told in its documentation of `global`, `prevent_overlapping_partitions` (OTP 25).
fn running_message(nodes: &[&str]) -> Option<String> {
    let named: Vec<String> = nodes.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let more = nodes.len().checked_sub(NAMED + 1).map_or_else(String::new, |more| format!(" and {} more", more + 1));
    let (these, leave) = if nodes.len() == 1 { ("it", "leaves") } else { ("them", "leave") };
    (!named.is_empty()).then(|| {
        format!(
            "{}: {}{more} {leave} the cluster file, and open sessions show that this host still talks to {these}: Erlang (OTP 25 and \
             later) may part other nodes from each other where one of them loses a node that runs; stop {these} first",
            Code::RunningNode,
            named.join(", ")
        )
    })
}

/// Services that are open to peers and to no client of the file.
fn of_peers_only<'a>(site: &'a Site<'_>) -> Vec<&'a SiteService<'a>> {
    let has_client = |service: &SiteService<'_>| {
        site.cluster().clients().iter().any(|client| client.services().contains(&service.id))
    };
    let open = |service: &SiteService<'_>| match service.service.state() {
        cluster::State::Open => service.service.peers(),
        cluster::State::Blocked | cluster::State::Unused => false,
    };
    site.services().iter().filter(|service| open(service) && !has_client(service)).collect()
}

fn may_be_peer(site: &Site<'_>, links: &[Link], here: IpAddr, there: IpAddr) -> bool {
    // What comes from this host itself comes over loopback, which is never judged.
    if there == here || links.iter().any(|link| link.addresses.contains(&there)) {
        return false;
    }
    let within = |list: &[cluster::Source]| list.iter().any(|source| source.network.has(there));
    if within(site.cluster().untrusted()) {
        return false;
    }
    match Cidr::host(there).class() {
        AddressClass::Private | AddressClass::LinkLocal => true,
        AddressClass::Loopback | AddressClass::Unspecified => false,
        AddressClass::Multicast | AddressClass::Ipv4Mapped | AddressClass::Public => within(site.cluster().private()),
    }
}

/// What would happen, and how to go on; nothing where there is no such session.
#[must_use]
pub fn message(found: &[CutPeer]) -> Option<String> {
    let named: Vec<String> = found.iter().take(NAMED).map(CutPeer::words).collect();
    if named.is_empty() {
        return None;
    }
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let interface = found.iter().any(|cut| cut.interface.is_some());
    let interface = if interface { ", or the interface to its `interfaces`" } else { "" };
    Some(format!(
        "{}: this would block open sessions from private networks into ports that only peers use: {}{more}; if a peer is \
         missing, add the node to the cluster file{interface}; if not, `ringfence apply` by hand blocks them",
        Code::CutPeer,
        named.join(", ")
    ))
}

/// The same where it is not known whether there are any.
#[must_use]
pub fn unknown(error: &RequestError) -> String {
    format!(
        "{}: whether this would block open sessions of peers that the cluster file lacks is not known: {error}; look at \
         `ss -tn`, and run `ringfence apply` by hand",
        Code::CutPeer
    )
}

impl CutPeer {
    fn words(&self) -> String {
        let on = self.interface.as_ref().map(|name| format!(", not admitted on `{}`", name.escape_debug()));
        let service = self.service.escape_debug();
        format!("from {} to {} ({service}{})", self.remote, self.local, on.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::parse;
    use crate::host::routing::RoutedLink;

    const CLIENT: &str = "[[client]]\nname = \"web\"\nfrom = [\"10.30.0.0/24\"]\nservices = [\"http\"]\n";

    fn file(guard: &str, more: &str) -> Cluster {
        let text = format!(
            "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\", \"riak@fd09::5\"]\n\
             [networks]\nallow-public = true\nprivate = [\"10.9.0.0/24\", \"fd09::/64\", \"203.0.113.0/24\"]\n\
             untrusted = [\"10.9.0.66\"]\n{guard}\n[services.distribution]\nports = \"6000-6009\"\n{more}"
        );
        parse("cluster.toml", text, Path::new("")).cluster.expect("a cluster file that can be used")
    }

    fn link(name: &str, addresses: &[&str]) -> Link {
        Link { name: name.into(), addresses: addresses.iter().map(|text| text.parse().unwrap()).collect() }
    }

    fn links() -> [Link; 3] {
        [link("eth0", &["10.7.0.1"]), link("eth1", &["10.9.0.1", "fd09::1"]), link("lo", &["127.0.0.1", "10.9.9.9"])]
    }

    /// Whom the first node's rules would cut off, of one session from an address into a port of an address.
    fn cut(cluster: &Cluster, routing: &Routing, from: &str, to: &str) -> Vec<CutPeer> {
        let site = Site::of_node(cluster, &cluster.nodes()[0]);
        let ends = (to.parse().unwrap(), SocketAddr::new(from.parse().unwrap(), 40000));
        blocked(&site, &links(), routing, &[ends])
    }

    #[test]
    fn whoever_may_be_a_peer_is_found() {
        let cluster = file("", CLIENT);
        let found = |from: &str, to: &str| cut(&cluster, &Routing::default(), from, to);
        let private = ["10.1.2.3", "172.31.0.1", "192.168.0.9", "169.254.1.1", "100.64.0.1", "203.0.113.7"];
        for from in private.into_iter().chain(["::ffff:10.1.2.3"]) {
            for (port, service) in [(8099, "handoff"), (4369, "epmd"), (6000, "distribution"), (6009, "distribution")] {
                let cut = found(from, &format!("10.9.0.1:{port}"));
                let [cut] = &cut[..] else { panic!("{from} {port}: {cut:?}") };
                assert_eq!((cut.service.as_str(), cut.interface.as_deref()), (service, None));
                let said = message(std::slice::from_ref(cut)).unwrap();
                assert!(said.starts_with("cut-peer: ") && said.contains(&format!(":{port} ({service})")), "{said}");
            }
        }
        for from in ["fd00::7", "fc00::7", "fe80::7"] {
            assert_eq!(found(from, "[fd09::1]:8099").len(), 1, "{from}");
        }
        // Members; who is blocked on purpose; the internet; this host itself.
        for from in ["10.9.0.5", "::ffff:10.9.0.5", "10.9.0.66", "198.51.100.7", "127.0.0.1", "10.7.0.1", "10.9.0.1"] {
            assert_eq!(found(from, "10.9.0.1:8099"), [], "{from}");
        }
        for from in ["fd09::5", "2001:db8::7", "::1", "fd09::1"] {
            assert_eq!(found(from, "[fd09::1]:8099"), [], "{from}");
        }
        // A client's service, blocked and unused ones, and ports of nobody.
        for port in [8098, 8087, 8093, 22, 6010] {
            assert_eq!(found("10.1.2.3", &format!("10.9.0.1:{port}")), [], "{port}");
        }
    }

    #[test]
    fn a_service_without_a_client_is_the_peers_own() {
        assert_eq!(cut(&file("", ""), &Routing::default(), "10.1.2.3", "10.9.0.1:8098").len(), 1);
        // A client of one service may be a forgotten peer of the others.
        assert_eq!(cut(&file("", CLIENT), &Routing::default(), "10.30.0.7", "10.9.0.1:8099").len(), 1);
    }

    #[test]
    fn a_peer_is_admitted_where_its_session_comes_in() {
        let link = RoutedLink::alone;
        let routing = Routing {
            links: vec![link(1, "eth0", Some(3), None), link(2, "eth1", None, None), link(3, "blue", None, Some(10))],
            ..Routing::default()
        };
        let found = |guard: &str, to: &str| cut(&file(guard, ""), &routing, "10.9.0.5", to);
        let on_eth1 = "[guard]\ninterfaces = [\"eth1\"]";
        assert_eq!(found(on_eth1, "10.9.0.1:8099"), []);
        assert_eq!(found(on_eth1, "10.9.9.9:8099"), [], "an address on lo may be reached by every interface");
        let [cut] = &found(on_eth1, "10.7.0.1:8099")[..] else { panic!("one session") };
        assert_eq!(cut.interface.as_deref(), Some("eth0"));
        assert!(message(std::slice::from_ref(cut)).unwrap().contains("`interfaces`"));
        assert_eq!(found("[guard]\ninterfaces = [\"eth1\", \"blue\"]", "10.7.0.1:8099"), []);
    }

    #[test]
    fn many_sessions_are_named_once_and_not_all() {
        let cluster = file("", CLIENT);
        let site = Site::of_node(&cluster, &cluster.nodes()[0]);
        let end = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let ends: Vec<_> = (1..=20)
            .flat_map(|host| [40000, 40001].map(|port| (end("10.9.0.1:8099"), end(&format!("10.1.0.{host}:{port}")))))
            .collect();
        let found = blocked(&site, &links(), &Routing::default(), &ends);
        assert_eq!(found.len(), 20);
        assert!(message(&found).unwrap().contains(", and 8 more; "));
        assert_eq!(message(&[]), None);
    }

    #[test]
    fn who_leaves_and_has_a_session_is_found() {
        let was = file("", "[[node]]\nname = \"riak@10.9.0.7\"\naddresses = [\"10.9.0.7\", \"10.9.0.8\"]\n");
        let less = "[[node]]\nname = \"riak@10.9.0.7\"\naddresses = [\"10.9.0.7\"]\n";
        let sessions = |local: &str, remote: &str| vec![(local.parse().unwrap(), remote.parse().unwrap())];
        let found = |now: &Cluster, local: &str, remote: &str| -> Vec<String> {
            let site = Site::of_node(now, &now.nodes()[0]);
            let strange = strangers(&site, sessions(local, remote));
            leaving(&site, &was, &strange).into_iter().map(str::to_owned).collect()
        };
        let now = file("", "");
        // Either of the two opened it.
        assert_eq!(found(&now, "10.9.0.1:6003", "10.9.0.7:40000"), ["riak@10.9.0.7"]);
        assert_eq!(found(&now, "10.9.0.1:40000", "10.9.0.8:6000"), ["riak@10.9.0.7"]);
        assert_eq!(found(&now, "[::ffff:10.9.0.1]:40000", "[::ffff:10.9.0.8]:6000"), ["riak@10.9.0.7"]);
        // HTTP says nothing of Erlang; a node that stays, one that loses an address, and somebody else.
        assert!(found(&now, "10.9.0.1:8098", "10.9.0.7:40000").is_empty());
        assert!(found(&now, "10.9.0.1:6003", "10.9.0.5:40000").is_empty());
        assert!(found(&file("", less), "10.9.0.1:6003", "10.9.0.8:40000").is_empty());
        assert!(found(&now, "10.9.0.1:6003", "10.9.0.66:40000").is_empty());
    }

    #[test]
    fn who_leaves_and_runs_is_named() {
        assert_eq!(running_message(&[]), None);
        let one = running_message(&["riak@10.9.0.5"]).unwrap();
        assert!(
            one.starts_with("running-node: `riak@10.9.0.5` leaves the cluster file") && one.ends_with("stop it first")
        );
        let many: Vec<String> = (0..NAMED + 3).map(|n| format!("riak@10.9.0.{n}")).collect();
        let many = running_message(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert!(
            many.contains("`riak@10.9.0.11` and 3 more leave the cluster file") && many.ends_with("stop them first")
        );
    }
}
