//! Interfaces in a VRF: at input the kernel shows the VRF in their place, so whoever is admitted on the interface alone gets nothing
//! through.

use std::collections::BTreeSet;

use super::identity::Objection;
use super::routing::Routing;
use crate::cluster::{Site, SitePart};
use crate::net::Interface;

/// Interfaces on which somebody is admitted: for whom in words, and which.
#[must_use]
pub fn admitted(site: &Site<'_>) -> Vec<(String, Vec<Interface>)> {
    let of = |part: &SitePart<'_>| part.interfaces().map(|list| (part.cluster().peers().to_owned(), list.to_vec()));
    let peers = site.parts().iter().filter_map(of);
    let clients = site.cluster().clients().iter().filter_map(|client| {
        let who = format!("the client `{}`", client.name().escape_debug());
        client.interfaces().map(|list| (who, list.to_vec()))
    });
    peers.chain(clients).collect()
}

/// Interfaces of these lists that are part of a VRF which the same list lacks.
#[must_use]
pub fn unlisted_vrfs(lists: &[(String, Vec<Interface>)], routing: &Routing) -> Vec<Objection> {
    let mut found = Vec::new();
    for (who, list) in lists {
        let mut missing: Vec<(&Interface, &str)> = Vec::new();
        for interface in list {
            let vrf = routing.vrf_of(interface).filter(|vrf| !list.iter().any(|own| own.as_str() == *vrf));
            missing.extend(vrf.map(|vrf| (interface, vrf)));
        }
        let vrfs: BTreeSet<&str> = missing.iter().map(|(_, vrf)| *vrf).collect();
        let names: Vec<String> =
            list.iter().map(Interface::as_str).chain(vrfs).map(|name| format!("{name:?}")).collect();
        let line = format!("interfaces = [{}]", names.join(", "));
        found.extend(missing.into_iter().map(|(interface, vrf)| Objection::VrfInterface {
            who: who.clone(),
            interface: interface.clone(),
            vrf: vrf.to_owned(),
            line: line.clone(),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::host::routing::RoutedLink;

    fn cluster(guard: &str, client: &str) -> Cluster {
        let text = format!(
            "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\", \"riak@10.8.0.5\", \"riak@10.7.0.5\"]\n\
             [networks]\nprivate = [\"10.0.0.0/8\"]\n[guard]\ninterfaces = [{guard}]\n\
             [services.distribution]\nports = \"6000-6009\"\n\
             [[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\ninterfaces = [{client}]\n"
        );
        let parsed = parse("cluster.toml", text, Path::new(""));
        parsed.cluster.expect("a cluster file that can be used")
    }

    fn routing() -> Routing {
        let link = RoutedLink::alone;
        Routing {
            links: vec![
                link(1, "eth0", None, None),
                link(2, "blue", None, Some(10)),
                link(3, "ve0", Some(2), None),
                // Part of a bridge, which is no VRF.
                link(4, "br0", None, None),
                link(5, "ve1", Some(4), None),
            ],
            ..Routing::default()
        }
    }

    #[test]
    fn a_vrf_has_to_be_listed_with_its_members() {
        let said = |guard: &str, client: &str| -> Vec<String> {
            let cluster = cluster(guard, client);
            let site = Site::of_node(&cluster, &cluster.nodes()[0]);
            unlisted_vrfs(&admitted(&site), &routing()).iter().map(Objection::message).collect()
        };
        assert_eq!(said("\"ve0\", \"blue\"", "\"eth0\", \"ve1\""), [""; 0]);
        let [one] = &said("\"ve0\"", "\"eth0\"")[..] else { panic!("one objection") };
        assert!(one.contains("peers") && one.contains("`interfaces = [\"ve0\", \"blue\"]`"), "{one}");
        let [one] = &said("\"blue\", \"ve0\"", "\"ve0\", \"ve1\"")[..] else { panic!("one objection") };
        assert!(one.contains("`web`") && one.contains("`interfaces = [\"ve0\", \"ve1\", \"blue\"]`"), "{one}");
    }
}
