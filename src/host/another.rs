//! Whether a cluster file is of the cluster whose rules are in force.
//!
//! A cluster is known by its name. Two that were never given one of their own (`import` calls every cluster `riak`) are told
//! apart by their nodes: no name and no address of a node in common, and it is another one.
//!
//! Of several that are guarded together each has to be there: with the file of one, its ports would be open to everyone.

use std::collections::HashSet;
use std::net::IpAddr;

use super::HostError;
use super::record::{self, Kept};
use super::reserved;
use crate::cluster::{AND, Cluster, Node};
use crate::diagnostic::Code;
use crate::net::Ports;

/// A cluster file of another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCluster {
    /// The name of the cluster whose rules are in force.
    pub in_force: String,
    /// The name in the file.
    pub file: String,
    /// What is guarded now, and would not be any more.
    pub unguarded: Ports,
    /// Whether the clusters of the file are in force with it.
    pub others_stay: bool,
}

impl OtherCluster {
    /// What would happen.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { in_force, file, unguarded, others_stay } = self;
        let (in_force, file) = (in_force.escape_debug(), file.escape_debug());
        let which = if self.in_force == self.file {
            format!("the cluster file and what is in force are both called `{file}`, and have no node in common")
        } else if *others_stay {
            format!(
                "what is in force guards `{in_force}`, too, of which no cluster file is there any more, only of `{file}`"
            )
        } else {
            format!("the cluster file is of the cluster `{file}`, and what is in force is of `{in_force}`")
        };
        let then = if unguarded.is_empty() {
            format!("every port that is guarded for `{in_force}` would stay guarded, for other peers")
        } else {
            format!("no longer guarded, and open to everyone, would be {}", record::text(unguarded))
        };
        format!("{}: {which}; {then}", Code::OtherCluster)
    }
}

/// What a file has to do with what was applied last, where its rules protect these ports; nothing if it is of the same cluster.
///
/// # Errors
/// Where what was applied last cannot be used.
pub fn other_cluster(kept: &Kept, cluster: &Cluster, protected: &Ports) -> Result<Option<OtherCluster>, HostError> {
    let record = &kept.record;
    // What was applied is not read again for the sake of what the record knows.
    if record.digest == cluster.digest() {
        return Ok(None);
    }
    let mut before = None;
    let lost = match record.clusters() {
        Some(names) => {
            let nodes = record.nodes().unwrap_or_default();
            let mut lost = Vec::new();
            for (at, name) in names.into_iter().enumerate() {
                if !is_there(kept, &mut before, cluster, name, nodes.get(at).copied())? {
                    lost.push(name.to_owned());
                }
            }
            lost
        }
        None => {
            let before = read(kept, &mut before)?;
            let same = |now: &&Cluster| before.name() == now.name() && has_common(before, now);
            if cluster.parts().iter().any(|now| same(&now)) { Vec::new() } else { vec![before.name().to_owned()] }
        }
    };
    if lost.is_empty() {
        return Ok(None);
    }
    let unguarded = reserved::without(&record.ports(), protected);
    let others_stay = record.clusters().is_some_and(|names| lost.len() < names.len());
    Ok(Some(OtherCluster { in_force: lost.join(AND), file: cluster.name().to_owned(), unguarded, others_stay }))
}

/// Whether a cluster that is in force is among those of a file, or of a folder.
fn is_there(
    kept: &Kept,
    before: &mut Option<Cluster>,
    cluster: &Cluster,
    name: &str,
    node: Option<&str>,
) -> Result<bool, HostError> {
    let Some(now) = cluster.parts().iter().find(|part| part.name() == name) else { return Ok(false) };
    if node.into_iter().chain(kept.record.some.iter().map(String::as_str)).any(|node| now.node(node).is_some()) {
        return Ok(true);
    }
    let before = read(kept, before)?;
    Ok(before.parts().iter().any(|part| part.name() == name && has_common(part, now)))
}

/// What was applied last, read once.
fn read<'a>(kept: &Kept, before: &'a mut Option<Cluster>) -> Result<&'a Cluster, HostError> {
    if before.is_none() {
        *before = kept.load().cluster;
    }
    before.as_ref().ok_or(HostError::BadSnapshot)
}

/// Whether two clusters have a node in common, by its name or an address.
fn has_common(one: &Cluster, other: &Cluster) -> bool {
    let addresses = |node: &Node| node.addresses().map(|(address, _)| address).collect::<Vec<IpAddr>>();
    let names: HashSet<&str> = one.nodes().iter().map(Node::name).collect();
    let known: HashSet<IpAddr> = one.nodes().iter().flat_map(addresses).collect();
    other
        .nodes()
        .iter()
        .any(|node| names.contains(node.name()) || addresses(node).iter().any(|address| known.contains(address)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Site, parse};
    use crate::host::Backend;
    use crate::host::record::{GOOD, Record, files, keep, kept};
    use crate::host::store::Store;

    fn file(name: &str, nodes: &str, ports: &str) -> Cluster {
        let text = format!(
            "[cluster]\nname = \"{name}\"\nprofile = \"riak\"\nnodes = [{nodes}]\n[networks]\nprivate = [\"10.0.0.0/8\"]\n\
             [services.distribution]\nports = \"{ports}\"\n"
        );
        parse("cluster.toml", text, Path::new("")).cluster.expect("a cluster file that can be used")
    }

    const NODES: &str = "\"riak@10.0.0.1\", \"riak@10.0.0.2\"";

    /// What is said of a file after another one was applied; `named` where the record has the cluster's name.
    fn said(before: &Cluster, named: bool, node: &str, now: &Cluster) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path().join("state")));
        let _lock = store.lock("a test").unwrap();
        let record = Record {
            version: String::new(),
            parts: Vec::new(),
            some: if named { record::some_nodes(before) } else { Vec::new() },
            cluster: named.then(|| before.name().to_owned()),
            node: Some(node.to_owned()),
            backend: Backend::Nft,
            config: "/etc/ringfence/cluster.toml".into(),
            digest: before.digest().to_owned(),
            ports: record::text(&Site::of_every_node(before).protected()),
            root: "/".into(),
        };
        keep(&store, GOOD, &files(before, &record, "")).unwrap();
        let kept = kept(&store, GOOD).unwrap().unwrap();
        let found = other_cluster(&kept, now, &Site::of_every_node(now).protected()).unwrap();
        found.map(|found| found.message())
    }

    #[test]
    fn a_cluster_is_known_by_its_name_and_one_without_its_own_by_its_nodes() {
        let before = file("riak", NODES, "6000-6009");
        for named in [true, false] {
            let same = |now: &Cluster| assert_eq!(said(&before, named, "riak@10.0.0.1", now), None);
            same(&before);
            same(&file("riak", NODES, "7000-7009"));
            same(&file("riak", "\"riak@10.0.0.1\", \"riak@10.0.0.9\"", "6000-6009"));
            // This host's node left, was renamed, or has another address.
            same(&file("riak", "\"riak@10.0.0.2\"", "6000-6009"));
            same(&file("riak", "\"other@10.0.0.1\"", "6000-6009"));
            let other = |now: &Cluster| said(&before, named, "riak@10.0.0.1", now).expect("it is another cluster");
            let said = other(&file("east", NODES, "6000-6009"));
            assert!(
                said.starts_with("other-cluster: ") && said.contains("`east`") && said.contains("`riak`"),
                "{said}"
            );
            assert!(said.contains("would stay guarded"), "{said}");
            let said = other(&file("riak", "\"riak@10.0.1.1\"", "6000-6004"));
            assert!(said.contains("no node in common") && said.ends_with("would be 6005-6009"), "{said}");
        }
    }
}
