//! What applying would write: `diff` shows it, `apply` does it, and the timer brings it back.
//!
//! INVARIANT (one plan): where the inputs and the kernel's state are the same, [`Work::is_nothing`] says whether `apply` writes
//! anything to the kernel, the reserved ports or the file that keeps them. What is remembered of an apply in the state folder is
//! no work: a remark, a moved line or another name of the file changes it, and nothing else.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;

use super::apply::{Host, where_ours_are};
use super::links::Link;
use super::nft::TABLE;
use super::record::{self, GOOD};
use super::reserve::for_boot;
use super::rules::{Changed, InForce, Prepared, changed, left_behind};
use super::snapshot::Snapshot;
use super::through::chains::Asked;
use super::through::{Look, Wanted};
use super::{Backend, HostError, iptables, nft_file, reserved};
use crate::cluster::Site;
use crate::dialect::netlink::{Expression, RequestError, Rule, Table, extent};
use crate::dialect::nft;
use crate::ir::{self, Family, Ruleset};
use crate::net::Ports;
use crate::verify::{Answer, Verified};

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
    /// In words, the place in the other back end that still has rules of ours; this work removes them.
    pub stale: Option<String>,
    /// What other firewalls of the host are to let through, or to let through no more, a line each.
    pub openings: Vec<String>,
    /// The answers of the whole host once these are there, where that is known before.
    pub answers: Option<Vec<Answer>>,
}

/// Of what kind it is, for whoever reads or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// What other firewalls of the host let through.
    Openings,
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
            Self::OtherBackEnd => "other rules of ringfence, which are taken away",
            Self::Openings => "what other firewalls of this host let through",
        }
    }
}

impl Work {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.rules == Changed::Nothing && !self.about_ports() && self.stale.is_none() && self.openings.is_empty()
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
            // Whom the other rules block gains something once they are gone.
            (Kind::Meaning, (rules || self.stale.is_some()) && means),
            (Kind::Behaviour, rules && !means && foreign.is_empty()),
            (Kind::ForeignRules, rules && !foreign.is_empty()),
            (Kind::ReservedPorts, self.about_ports()),
            (Kind::OtherBackEnd, self.stale.is_some()),
            (Kind::Openings, !self.openings.is_empty()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
    }
}

/// What bringing in these rules would write, where this is what there is.
///
/// # Errors
/// Where the tools of iptables are missing, or something of the kernel's cannot be made out.
pub fn plan(
    host: &Host,
    site: &Site<'_>,
    prepared: &Prepared,
    in_force: &InForce,
    links: &[Link],
    boot: bool,
) -> Result<Work, HostError> {
    let protected = site.protected();
    // What cannot be read is not there, as far as anybody knows.
    let now = reserved::in_force().unwrap_or_default();
    let ours = record::reserved(&host.store).unwrap_or_default();
    let target = reserved::union(&reserved::without(&now, &ours), &protected);
    let kept = record::kept(&host.store, GOOD).ok().flatten();
    // A look from elsewhere is about the files of whoever applied.
    let here = PathBuf::from("/");
    let root = kept.map(|kept| kept.record.root).filter(|_| host.root == here).unwrap_or_else(|| host.root.clone());
    let instead = (prepared.backend == Backend::Nft).then(|| prepared.verified.ruleset());
    let asked = Asked { site, links, backend: prepared.backend, instead };
    let looked = match Look::at(&host.root, &host.store, &Wanted::of(site), &asked) {
        // The guard does not wait for other firewalls then.
        Err(_) if boot => Look::default(),
        other => other?,
    };
    let (openings, answers) = looked.into_parts();
    Ok(Work {
        answers: answers.filter(|_| !openings.is_empty()),
        openings,
        rules: planned(prepared, in_force)?,
        reserve: reserved::without(&target, &now),
        release: reserved::without(&now, &target),
        file: !reserved::is_written(&root, &for_boot(&root, &protected)),
        // Whatever is remembered of an earlier apply: somebody may have loaded them by hand.
        stale: left_behind(prepared.backend).then(|| where_ours_are(prepared.backend.other())),
    })
}

/// Rules among ours that are neither wanted nor what was applied last, in words.
///
/// # Errors
/// Where something of the kernel's cannot be made out.
pub fn foreign(host: &Host, prepared: &Prepared, in_force: &InForce) -> Result<Vec<String>, HostError> {
    let kept = record::kept(&host.store, GOOD).ok().flatten().filter(|kept| kept.record.backend == prepared.backend);
    let cluster = kept.as_ref().and_then(|kept| kept.load().cluster);
    let last = cluster.as_ref().zip(kept.as_ref()).and_then(|(cluster, kept)| {
        let site = kept.record.site(cluster)?;
        Prepared::new(&super::identity::on_this_host(site).ok()?, prepared.backend).ok()
    });
    let known: Vec<&Prepared> = last.iter().chain([prepared]).collect();
    foreign_rules(&known, in_force)
}

/// How much [`super::bring`] would change. Comments of rules hold line numbers, and what they say is no reason to write anything.
///
/// # Errors
/// Where the tools of iptables are missing, or the table cannot be made out.
pub fn planned(prepared: &Prepared, in_force: &InForce) -> Result<Changed, HostError> {
    match (in_force.snapshot(), &prepared.table) {
        (Snapshot::Nft(None), _) => Ok(Changed::Rules),
        (Snapshot::Nft(Some(own)), Some(wanted)) => Ok(extent(own, wanted).map_err(RequestError::from)?.into()),
        (Snapshot::Nft(Some(_)), None) => Ok(nft_file::planned(prepared, in_force)),
        (Snapshot::Iptables(live), _) => {
            Ok(changed(&iptables::planned(&iptables::Tools::find()?, live, &prepared.verified)?))
        }
    }
}

/// Rules of ours in the kernel that none of these has, in words.
///
/// # Errors
/// Where the rules cannot be made out.
fn foreign_rules(known: &[&Prepared], in_force: &InForce) -> Result<Vec<String>, HostError> {
    match in_force.snapshot() {
        Snapshot::Nft(None) => Ok(Vec::new()),
        Snapshot::Nft(Some(own)) => {
            let tables: Vec<&Table> = known.iter().filter_map(|prepared| prepared.table.as_ref()).collect();
            if tables.is_empty() {
                return Ok(Vec::new());
            }
            let program = |rule: &Rule| -> Result<Vec<Expression>, HostError> {
                let program = rule.program().map_err(RequestError::from)?;
                Ok(program.iter().map(Expression::without_counts).collect())
            };
            // What says the same in other expressions, as nft writes it, is nobody else's.
            let wanted: HashSet<(&str, String)> = known
                .iter()
                .flat_map(|prepared| &prepared.verified.ruleset().tables)
                .flat_map(|table| &table.chains)
                .flat_map(|chain| chain.rules.iter().filter_map(|rule| Some((chain.name.as_str(), said(chain, rule)?))))
                .collect();
            let is_wanted = |chain: &str, at: usize| {
                let mut chains = in_force.ruleset.tables.iter().flat_map(|table| &table.chains);
                let own = chains.find(|own| own.name == chain);
                let said = own.and_then(|own| said(own, own.rules.get(at)?));
                said.is_some_and(|said| wanted.contains(&(chain, said)))
            };
            let mut found = Vec::new();
            for chain in &own.chains {
                let mut there = Vec::new();
                for table in &tables {
                    let rules = table.chains.iter().filter(|other| other.name == chain.name).flat_map(|own| &own.rules);
                    for rule in rules {
                        there.push(program(rule)?);
                    }
                }
                for (at, rule) in chain.rules.iter().enumerate() {
                    if !there.contains(&program(rule)?) && !is_wanted(&chain.name, at) {
                        found.push(in_words(&in_force.ruleset, &chain.name, at));
                    }
                }
            }
            Ok(found)
        }
        Snapshot::Iptables(live) => {
            let tools = iptables::Tools::find()?;
            let known: Vec<&Verified> = known.iter().map(|prepared| &prepared.verified).collect();
            Ok(iptables::foreign(&tools, live, &known)?)
        }
    }
}

fn in_words(ruleset: &Ruleset, chain: &str, at: usize) -> String {
    let mut chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let rule = chains.find(|own| own.name == chain).and_then(|chain| chain.rules.get(at));
    let text = rule.and_then(|rule| written(chain, rule));
    format!("chain {chain}, rule {}: {}", at + 1, text.as_deref().unwrap_or("something that is not understood"))
}

/// What a rule says in nft's words, without its comment.
fn said(chain: &ir::Chain, rule: &ir::Rule) -> Option<String> {
    written(&chain.name, &ir::Rule { comment: None, ..rule.clone() })
}

/// A rule in nft's words, where it has some.
fn written(chain: &str, rule: &ir::Rule) -> Option<String> {
    let only = ir::Chain::named(chain, vec![rule.clone()]);
    let table =
        ir::Table { family: Family::Inet, name: TABLE.to_owned(), legacy: false, sets: Vec::new(), chains: vec![only] };
    let text = nft::write(&Ruleset { tables: vec![table], ..Ruleset::default() }).ok()?;
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("chain "));
    lines.nth(1).map(str::to_owned)
}
