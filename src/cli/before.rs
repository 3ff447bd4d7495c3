//! What speaks against a change for what was on this host before it: rules of another cluster, sessions of peers.

use super::host::site_of;
use crate::cluster::{Cluster, Site};
use crate::diagnostic::Code;
use crate::host::another::{OtherCluster, other_cluster};
use crate::host::apply::Host;
use crate::host::identity::{Objection, Saved, nodes_of};
use crate::host::links::Link;
use crate::host::record::Kept;
use crate::host::{Backend, HostError, iptables, left_behind, peers, read, record};
use crate::net::Ports;
use crate::verify::lets_on;

/// Which rules are in force, as far as it matters to a file.
pub enum Before {
    /// None, or those of the same cluster.
    Same,
    /// Those of another one.
    Other(OtherCluster),
    /// What was applied last cannot be read; and why.
    Unknown(String),
}

/// Asked before it is known which node this host is: that the last one is not in the file is then no news.
pub fn before(kept: &Result<Option<Kept>, HostError>, cluster: &Cluster, asked: &[String], links: &[Link]) -> Before {
    let kept = match kept {
        Ok(Some(kept)) => kept,
        Ok(None) => return Before::Same,
        Err(error) => return unknown(error),
    };
    let nodes = nodes_of(cluster, asked, &Saved::of(&kept.record), links).ok();
    match other_cluster(kept, cluster, &site_of(cluster, nodes.as_deref()).protected()) {
        Ok(other) => other.map_or(Before::Same, Before::Other),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &HostError) -> Before {
    Before::Unknown(format!(
        "{}: it is not known to which cluster the rules in force belong: {error}; `ringfence apply` by hand replaces them",
        Code::OtherCluster
    ))
}

impl Before {
    /// What `--allow` is asked for.
    pub fn objection(self) -> Option<Objection> {
        match self {
            Self::Other(other) => Some(Objection::OtherCluster(other)),
            // Whoever is there reads that the last apply is not known, and decides.
            Self::Same | Self::Unknown(_) => None,
        }
    }
}

/// Whether a file that blocks nobody takes the place of rules that block. What cannot be read, or is of nobody knows what, blocks: to open
/// ports is for somebody who is there.
pub fn unblocks(kept: &Result<Option<Kept>, HostError>, cluster: &Cluster) -> Option<Objection> {
    if !cluster.guard().is_staged() {
        return None;
    }
    let blocks = match kept {
        Ok(Some(kept)) => kept.load().cluster.is_none_or(|last| !last.guard().is_staged()) || blocks_now(),
        Ok(None) => may_be_in_force(),
        Err(_) => true,
    };
    blocks.then_some(Objection::Unblocks)
}

/// Whether rules of ours are in the kernel that block, or that cannot be seen: what was remembered may be older.
fn blocks_now() -> bool {
    [Backend::Nft, Backend::Iptables].into_iter().any(|backend| match read(backend) {
        Ok(there) => !there.absent && !lets_on(&there.ruleset),
        Err(HostError::NoNfTables | HostError::Iptables(iptables::Error::Missing { .. })) => false,
        Err(_) => true,
    })
}

/// Whether rules of ours are in the kernel that block nobody: the first that block are the first that cut anybody off.
fn lets_on_now() -> bool {
    let seen = |backend| read(backend).is_ok_and(|there| there.has_rules() && lets_on(&there.ruleset));
    [Backend::Nft, Backend::Iptables].into_iter().any(seen)
}

/// Whether rules of ours are in the kernel, or that cannot be seen.
fn may_be_in_force() -> bool {
    let nft = match read(Backend::Nft) {
        Ok(there) => !there.absent,
        Err(HostError::NoNfTables) => false,
        Err(_) => true,
    };
    nft || left_behind(Backend::Nft)
}

/// Whether rules of ours are in the kernel. Where that cannot be seen, they are not: then more is refused.
pub fn is_in_force() -> bool {
    // Whatever is behind in one way would be left behind by the other; nf_tables is asked first, as that costs least.
    left_behind(Backend::Iptables) || left_behind(Backend::Nft)
}

/// Nodes that the change takes out of the cluster and that run still, in words. That it cannot be told keeps nobody from the change.
pub fn running_nodes(host: &Host, site: &Site<'_>) -> Option<String> {
    let kept = record::kept(&host.store, record::GOOD).ok().flatten()?;
    if site.cluster().guard().is_staged() || kept.record.digest == site.cluster().digest() {
        return None;
    }
    peers::running(site, || kept.load().cluster).ok().flatten()
}

/// Sessions that the first rules on this host would block, in words. What was applied and is only to be brought back is no
/// news to anybody's session, and neither is a change of rules that block, which `diff` shows by its members.
///
/// That sockets cannot be read is said in place of them. It counts as if there were such a session: nothing is in force that
/// would be lost, so leaving the host as it is costs least, and who is there can look by other means.
pub fn cut_peers(host: &Host, site: &Site<'_>, links: &[Link]) -> Option<String> {
    if site.cluster().guard().is_staged() {
        return None;
    }
    let found = match peers::cut_peers(site, links) {
        Ok(found) if found.is_empty() => return None,
        found => found,
    };
    let kept = record::kept(&host.store, record::GOOD).ok().flatten();
    if kept.as_ref().is_some_and(|kept| kept.record.digest == site.cluster().digest()) {
        return None;
    }
    // What is guarded already has its members; a port that comes to it is as one that nothing guarded.
    let guarded = if is_in_force() && !lets_on_now() {
        kept.map_or_else(|| site.protected(), |kept| kept.record.ports())
    } else {
        Ports::default()
    };
    match found {
        Ok(found) => {
            peers::message(&found.into_iter().filter(|cut| !guarded.has(cut.local.port())).collect::<Vec<_>>())
        }
        Err(error) => (!site.protected().without(&guarded).is_empty()).then(|| peers::unknown(&error)),
    }
}
