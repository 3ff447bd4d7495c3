//! Several clusters on one host, guarded in one table.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cluster::{Node, Site, State};

/// The clusters that are guarded together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Together {
    /// Each of them, in the order of their files. Services, clients and peers stand everywhere with the name of their cluster.
    pub clusters: Vec<OneOf>,
    /// The services that several of them have in common: their ports admit whom any of these admits.
    pub shared: Vec<Shared>,
}

/// One of several clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OneOf {
    /// Its name.
    pub name: String,
    /// The node that this host is; where there is none, the rules fit every node.
    pub node: Option<String>,
    /// The SHA-256 of its file, its profile and what it includes.
    pub digest: String,
}

/// A service that several clusters have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shared {
    /// The service.
    pub service: String,
    /// Its ports.
    pub ports: String,
    /// The clusters.
    pub clusters: Vec<String>,
}

impl Together {
    /// Those of a site; nothing where there is one.
    #[must_use]
    pub fn of(site: &Site<'_>) -> Option<Self> {
        let cluster = site.cluster();
        cluster.is_joined().then(|| Self {
            clusters: site
                .parts()
                .iter()
                .map(|part| OneOf {
                    name: part.cluster().name().to_owned(),
                    node: part.node().map(|node| Node::name(node).to_owned()),
                    digest: part.cluster().digest().to_owned(),
                })
                .collect(),
            // What is closed for everybody admits nobody.
            shared: cluster
                .shared()
                .into_iter()
                .filter(|(service, _)| service.state() == State::Open)
                .map(|(service, clusters)| Shared {
                    service: service.name().to_owned(),
                    ports: service.ports().to_string(),
                    clusters: clusters.into_iter().map(str::to_owned).collect(),
                })
                .collect(),
        })
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let names: Vec<&str> = self.clusters.iter().map(|one| one.name.as_str()).collect();
        let mut text = format!("{} clusters are guarded together: {}\n", names.len(), names.join(", "));
        for Shared { service, ports, clusters } in &self.shared {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "shared: {service}, port {ports}, admits whom {} admits to it: the union",
                clusters.join(" or ")
            );
        }
        text
    }
}
