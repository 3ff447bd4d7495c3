//! What was applied last and not taken back, as several documents have it.

use std::path::PathBuf;

use serde::Serialize;

use crate::host::deeds::{Allowed, Deed, Deeds};
use crate::host::record::Kept;
use crate::host::store::Store;
use crate::host::{Backend, record};

/// What was applied last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LastApplied {
    /// The cluster; `null` where a version applied it that did not note it.
    pub cluster: Option<String>,
    /// The node that this host is; `null` for rules that fit every node.
    pub node: Option<String>,
    /// The way into the kernel.
    pub backend: Backend,
    /// Where the cluster file was.
    pub config: PathBuf,
    /// The SHA-256 of the cluster file, its profile and what it includes.
    pub digest: String,
    /// The SHA-256 of the rules that were made of it for this node.
    pub rules_digest: String,
    /// The ports that they guard.
    pub ports: String,
    /// The version of the program that applied it.
    pub version: String,
    /// Who applied it, and when; `null` where that is not noted.
    pub applied: Option<Deed>,
    /// Who confirmed it, and when; `null` where nobody had to.
    pub confirmed: Option<Deed>,
    /// The allowances of the cluster file that were made use of, by whom first, and when.
    pub allowed: Vec<Allowed>,
}

impl LastApplied {
    /// What is kept, with what is noted of it.
    #[must_use]
    pub fn of(store: &Store, kept: &Kept) -> Self {
        let record = &kept.record;
        let deeds = Deeds::of(store, record);
        let deeds = deeds.map(|deeds| (deeds.applied, deeds.confirmed, deeds.allowed));
        let (applied, confirmed, allowed) = deeds.unwrap_or_default();
        Self {
            cluster: record.cluster.clone(),
            node: record.node.clone(),
            backend: record.backend,
            config: record.config.clone(),
            digest: record.digest.clone(),
            rules_digest: kept.rules_digest(),
            ports: record.ports.clone(),
            version: record.version.clone(),
            applied,
            confirmed,
            allowed,
        }
    }

    /// The same of what is kept now; nothing where there is no such thing, or it cannot be read.
    #[must_use]
    pub fn now(store: &Store) -> Option<Self> {
        let kept = record::kept(store, record::GOOD).ok().flatten()?;
        Some(Self::of(store, &kept))
    }
}
