//! What this host's ways to its peers make of the rules, in words.

use crate::cluster::Site;
use crate::host::HostError;
use crate::host::identity::{Objection, objections};
pub use crate::host::judge::vrfs;
use crate::host::links::Link;
use crate::host::place::Ssh;
use crate::host::tunnels::{Tunnel, tunnels};
use crate::host::ways::{ends, other_sources};

use std::net::IpAddr;

/// Everything that speaks against the rules of a site on this host.
pub fn all_objections(site: &Site<'_>, links: &[Link], ssh: Option<Ssh>) -> Result<Vec<Objection>, HostError> {
    let mut all = objections(site, links, ssh);
    all.extend(vrfs(site)?);
    Ok(all)
}

/// What makes rules worth less than they say, and is no reason to leave them out.
pub fn warnings(site: &Site<'_>, links: &[Link]) -> Vec<String> {
    let (own, peers) = ends(site);
    warnings_between(&own, &peers, links)
}

/// The same for a node's addresses and its peers.
pub fn warnings_between(own: &[IpAddr], peers: &[IpAddr], links: &[Link]) -> Vec<String> {
    let mut all = other_sources(own, peers, links).unwrap_or_else(|error| {
        vec![format!("from which address this host speaks to its peers is not known: {error}")]
    });
    match tunnels() {
        Ok(found) => all.extend(found.into_iter().map(Tunnel::message)),
        Err(error) => all.push(format!("whether packets are taken out of UDP ports (FOU, GUE) is not known: {error}")),
    }
    all
}
