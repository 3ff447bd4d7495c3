//! What applying would write: `diff` shows it, `apply` does it, and the timer brings it back.
//!
//! INVARIANT (one plan): where the inputs and the kernel's state are the same, [`Work::is_nothing`] says whether `apply` writes
//! anything to the kernel, the reserved ports or the file that keeps them. What is remembered of an apply in the state folder is
//! no work: a remark, a moved line or another name of the file changes it, and nothing else.

use std::path::PathBuf;

use serde::Serialize;

use super::apply::{Host, for_boot};
use super::record::{self, GOOD};
use super::rules::{Changed, InForce, Prepared, foreign_rules, left_behind, planned};
use super::{HostError, reserved};
use crate::cluster::Site;
use crate::net::Ports;

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Work {
    /// To the rules.
    pub rules: Changed,
    /// Ports that are to be reserved.
    pub reserve: Ports,
    /// Reserved ports of ours that are to be so no longer.
    pub release: Ports,
    /// Whether the file that reserves them at the start of the machine is another than it is to be.
    pub file: bool,
    /// Whether rules of ours in the other way into the kernel are to go.
    pub stale: bool,
}

/// Of what kind it is, for whoever reads or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Somebody gains or loses something.
    Meaning,
    /// Nobody does; what is logged, how it is blocked, or the form of the rules changes.
    Behaviour,
    /// Rules of somebody else in our part, which go.
    ForeignRules,
    /// The reserved ports, or the file that keeps them.
    ReservedPorts,
    /// Rules of ours in the other back end, which go.
    OtherBackEnd,
}

impl Kind {
    /// In words, where there is more to say than what stands there already.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Meaning => "who gets in",
            Self::Behaviour => "what is logged, how it is blocked, or the form of the rules",
            Self::ForeignRules => "rules of somebody else among ours, which go",
            Self::ReservedPorts => "reserved ports",
            Self::OtherBackEnd => "rules of an earlier apply in the other back end, which go",
        }
    }
}

impl Work {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.rules == Changed::Nothing && !self.about_ports() && !self.stale
    }

    /// Whether anything is to be written about reserved ports.
    #[must_use]
    pub fn about_ports(&self) -> bool {
        !self.reserve.is_empty() || !self.release.is_empty() || self.file
    }

    /// The kinds. `means` says whether the meaning changes, or may.
    #[must_use]
    pub fn kinds(&self, means: bool, foreign: &[String]) -> Vec<Kind> {
        let rules = self.rules != Changed::Nothing;
        let all = [
            (Kind::Meaning, rules && means),
            (Kind::Behaviour, rules && !means && foreign.is_empty()),
            (Kind::ForeignRules, rules && !foreign.is_empty()),
            (Kind::ReservedPorts, self.about_ports()),
            (Kind::OtherBackEnd, self.stale),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
    }
}

/// What bringing in these rules would write, where this is what there is.
///
/// # Errors
/// Where the tools of iptables are missing, or something of the kernel's cannot be made out.
pub fn plan(host: &Host, site: &Site<'_>, prepared: &Prepared, in_force: &InForce) -> Result<Work, HostError> {
    let protected = site.protected();
    // What cannot be read is not there, as far as anybody knows.
    let now = reserved::in_force().unwrap_or_default();
    let ours = record::reserved(&host.store).unwrap_or_default();
    let target = reserved::union(&reserved::without(&now, &ours), &protected);
    let kept = record::kept(&host.store, GOOD).ok().flatten();
    // Where nothing is known of an earlier apply, its rules may be there all the same.
    let stale = kept.as_ref().is_none_or(|kept| kept.record.backend != prepared.backend);
    // A look from elsewhere is about the files of whoever applied.
    let here = PathBuf::from("/");
    let root = kept.map(|kept| kept.record.root).filter(|_| host.root == here).unwrap_or_else(|| host.root.clone());
    Ok(Work {
        rules: planned(prepared, in_force)?,
        reserve: reserved::without(&target, &now),
        release: reserved::without(&now, &target),
        file: !reserved::is_written(&root, &for_boot(&root, &protected)),
        stale: stale && left_behind(prepared.backend),
    })
}

/// Rules among ours that are neither wanted nor what was applied last, in words.
///
/// # Errors
/// Where something of the kernel's cannot be made out.
pub fn foreign(host: &Host, prepared: &Prepared, in_force: &InForce) -> Result<Vec<String>, HostError> {
    let kept = record::kept(&host.store, GOOD).ok().flatten().filter(|kept| kept.record.backend == prepared.backend);
    let cluster = kept.as_ref().and_then(|kept| kept.load().cluster);
    let node = kept.as_ref().and_then(|kept| kept.record.node.as_deref());
    let last = cluster.as_ref().and_then(|cluster| {
        let site = match node {
            Some(name) => Site::of_node(cluster, cluster.node(name)?),
            None => Site::of_every_node(cluster),
        };
        Prepared::new(&super::identity::on_this_host(site).ok()?, prepared.backend).ok()
    });
    let known: Vec<&Prepared> = last.iter().chain([prepared]).collect();
    foreign_rules(&known, in_force)
}
