//! One judge of what is in force: `apply`, `confirm`, `status`, `diff`, the hooks and the timer all ask [`judge`], for both ways
//! into the kernel.
//!
//! - Our own part is held against the claims of the cluster file. Where that fails, something of ours is missing, or somebody
//!   changed it: drifted; or it is what was applied last, and the file is another by now: not applied.
//! - Then come the rules of others. In iptables they may pass ours by, and stand in the same proof. In nf_tables nobody can open what
//!   we block, but they can shut peers out, on the way in and on the way back: [`Around`] has the answers of the whole host.
//!
//! INVARIANT (certain): shadowed is only said with somebody who is shut out, or who gets in, for certain; and enforced only where the
//! rules of others leave neither open. What is not understood of them, or comes and goes (a ban with a timeout), makes it undecided.

use std::panic;
use std::thread::{self, ScopedJoinHandle};

use serde::Serialize;

use super::apply::Host;
use super::around::Around;
use super::identity::{Objection, on_this_host};
use super::links::{Link, lo_is_loopback};
use super::record::{self, Kept};
use super::routing::Routing;
use super::rules::{InForce, left_behind, read};
use super::through::chains::Asked;
use super::through::{Look, Wanted};
use super::ways::{admitted, unlisted_vrfs};
use super::{Backend, HostError, pending};
use crate::cluster::Site;
use crate::outcome::Outcome;
use crate::verify::{Claim, Families, Finding, Report, check, own_part};

/// What is in force is to the cluster file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It does what the file says.
    Enforced,
    /// It does what the file says, which is to log strangers and to let them on: nobody is blocked.
    Staged,
    /// It is what was applied last, and the file is another since.
    NotApplied,
    /// Our rules are not what the file says, or others of ours judge besides.
    Drifted,
    /// Our rules are, and somebody else's pass them by, or shut out whom they admit.
    Shadowed,
    /// Something is not understood, and may be either: our rules, or rules of somebody else that may let strangers in or shut out whom
    /// the file admits.
    Undecided,
    /// There is nothing of ours.
    Absent,
    /// The ports are closed for everyone, as the start of the machine found nothing that could be used. Never said by [`judge`], which is
    /// asked about a file; who looks for one and finds none says it.
    Closed,
}

/// What came of looking.
#[derive(Debug)]
pub struct Judgement {
    /// In short.
    pub standing: Standing,
    /// The claims, on our rules and on those of others that may pass them by.
    pub report: Report,
    /// Interfaces on which somebody is admitted who cannot come in on them, in words.
    pub vrfs: Vec<String>,
    /// What comes of the rules of others; [`Around::Nothing`] where ours are not what the file says.
    pub around: Around,
    /// What other firewalls of the host do not let through, or should no more, a line each, or why that could not be brought. Not looked
    /// for by [`judge`].
    pub openings: Vec<String>,
    /// Whether rules of ours are in the other way into the kernel, too, and judge whomever they know. Not looked for by
    /// [`judge`].
    pub left_behind: bool,
    /// What it will be once the change that waits is confirmed, where those stay on purpose until then and are in the standing. Not looked
    /// for by [`judge`].
    pub once_confirmed: Option<Standing>,
}

impl Judgement {
    /// Whether rules that were just brought in may stay: in our own table everything must be proved; among the rules of iptables
    /// stand those of others.
    #[must_use]
    pub fn may_stay(&self, backend: Backend) -> bool {
        match backend {
            Backend::Nft => self.standing.is_ours() && self.report.is_as_meant(),
            Backend::Iptables => self.standing.is_ours(),
        }
    }
}

impl Standing {
    /// How a command ends that finds it so.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Enforced => Outcome::Success,
            Self::NotApplied => Outcome::Unconfirmed,
            Self::Staged | Self::Drifted | Self::Shadowed => Outcome::No,
            Self::Undecided => Outcome::Undecided,
            Self::Absent => Outcome::Absent,
            Self::Closed => Outcome::FellBack,
        }
    }

    /// Whether our own part is as the file says, as far as that can be said.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Self::Enforced | Self::Staged | Self::Shadowed | Self::Undecided => true,
            Self::NotApplied | Self::Drifted | Self::Absent | Self::Closed => false,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Staged => "STAGED",
            Self::NotApplied => "NOT APPLIED",
            Self::Drifted => "DRIFTED",
            Self::Shadowed => "SHADOWED",
            Self::Undecided => "UNDECIDED",
            Self::Absent => "ABSENT",
            Self::Closed => "CLOSED",
        }
    }
}

/// Judges what is in force, without asking what was applied last.
///
/// # Errors
/// Where it tells more packets apart than can be gone through, or the machine does not tell.
pub fn judge(site: &Site<'_>, in_force: &InForce, links: &[Link]) -> Result<Judgement, HostError> {
    judge_with(site, in_force, || around(site, in_force, links))
}

/// What comes of the rules of others.
fn around(site: &Site<'_>, in_force: &InForce, links: &[Link]) -> Around {
    match in_force.alone {
        true => Around::of_routes(site, links, in_force),
        false => Around::of(site, links, in_force, None),
    }
}

fn judge_with(site: &Site<'_>, in_force: &InForce, around: impl FnOnce() -> Around) -> Result<Judgement, HostError> {
    let report = check(&in_force.ruleset, site, Families::Both)?;
    let by_rules = by_rules(site, in_force, &report)?;
    let (vrfs, around) = if by_rules.is_ours() {
        (vrfs(site)?.iter().map(Objection::message).collect(), around())
    } else {
        (Vec::new(), Around::Nothing)
    };
    let shadowed = !vrfs.is_empty() || around.shadows().next().is_some();
    let standing = match by_rules {
        _ if shadowed => Standing::Shadowed,
        Standing::Enforced if around.may_let_in() || around.may_shut_out() => Standing::Undecided,
        other => other,
    };
    Ok(Judgement { standing, report, vrfs, around, openings: Vec::new(), left_behind: false, once_confirmed: None })
}

/// The same, and whether rules that are not what the file says are at least those that were applied last; and whether other
/// rules of ours judge besides, which is no better than a change of these: they block whom they do not know.
///
/// # Errors
/// As [`judge`].
pub fn judge_on(host: &Host, site: &Site<'_>, in_force: &InForce, links: &[Link]) -> Result<Judgement, HostError> {
    judge_on_with(host, site, in_force, links, || around(site, in_force, links))
}

/// The same in less time, and for that with more memory: of a long list both our own part and the rules of others take some milliseconds, and
/// neither needs the other. Where others have many rules these take seconds, and come second: where ours are not what the file says, nobody
/// asks about them.
///
/// # Errors
/// As [`judge`].
pub fn judge_both_at_once(
    host: &Host,
    site: &Site<'_>,
    in_force: &InForce,
    links: &[Link],
) -> Result<Judgement, HostError> {
    let around = || around(site, in_force, links);
    thread::scope(|scope| {
        let is_worth_it = in_force.is_long() && in_force.few_rules;
        let begun = is_worth_it.then(|| thread::Builder::new().spawn_scoped(scope, around).ok()).flatten();
        judge_on_with(host, site, in_force, links, || match begun.map(ScopedJoinHandle::join) {
            Some(Ok(around)) => around,
            Some(Err(panicked)) => panic::resume_unwind(panicked),
            None => around(),
        })
    })
}

fn judge_on_with(
    host: &Host,
    site: &Site<'_>,
    in_force: &InForce,
    links: &[Link],
    around: impl FnOnce() -> Around,
) -> Result<Judgement, HostError> {
    let mut judgement = judge_with(site, in_force, around)?;
    if judgement.standing == Standing::Drifted && is_last(host, site, in_force, None) {
        judgement.standing = Standing::NotApplied;
    }
    judgement.left_behind = left_behind(in_force.backend);
    if judgement.left_behind && judgement.standing.is_ours() {
        judgement.standing = match pending::waiting(&host.store) {
            // Those of the way before it are there on purpose then, and judge all the same.
            Ok(Some(_)) => {
                judgement.once_confirmed = Some(judgement.standing);
                beside(site, in_force.backend, judgement.standing)
            }
            Ok(None) | Err(_) => Standing::Drifted,
        };
        // The answers of the whole host were without them.
        if judgement.standing != Standing::Enforced {
            judgement.around = Around::Nothing;
        }
    }
    if judgement.standing.is_ours() {
        let asked = Asked { site, links, backend: in_force.backend, instead: None };
        judgement.openings = Look::at(&host.root, &host.store, &Wanted::of(site), &asked)?.lines().to_vec();
        if !judgement.openings.is_empty() {
            let is_last = is_last(host, site, in_force, Some(links));
            judgement.once_confirmed = None;
            judgement.standing = if is_last { Standing::NotApplied } else { Standing::Drifted };
        }
    }
    Ok(judgement)
}

/// What a standing comes to where the rules of ours in the other way into the kernel stay until a change is confirmed: they shut out whom
/// they do not know.
pub(super) fn beside(site: &Site<'_>, backend: Backend, standing: Standing) -> Standing {
    let judged = read(backend.other())
        .and_then(|other| Ok::<_, HostError>(check(&own_part(&other.ruleset), site, Families::Both)?));
    let Ok(report) = judged else {
        return if standing == Standing::Shadowed { standing } else { Standing::Undecided };
    };
    // Whom they let in besides, the others block.
    let of_blocking = report.findings().iter().filter(|(claim, _)| match claim {
        Claim::Reachability | Claim::NonInterference | Claim::OwnReplies => true,
        Claim::Isolation => false,
    });
    let findings: Vec<&Finding> = of_blocking.map(|(_, finding)| finding).collect();
    match standing {
        _ if findings.iter().any(|finding| matches!(finding, Finding::Violated(_))) => Standing::Shadowed,
        Standing::Enforced if findings.iter().any(|finding| **finding != Finding::Proved) => Standing::Undecided,
        other => other,
    }
}

fn by_rules(site: &Site<'_>, in_force: &InForce, report: &Report) -> Result<Standing, HostError> {
    if in_force.absent {
        return Ok(Standing::Absent);
    }
    if report.is_as_meant() {
        return Ok(if report.is_proved() { Standing::Enforced } else { Standing::Staged });
    }
    Ok(match in_force.backend {
        // All of it is ours: what is not understood is somebody else's, or the host is another than the rules were made for.
        Backend::Nft => Standing::Drifted,
        Backend::Iptables => {
            let own = own_part(&in_force.ruleset);
            let judged = check(&own, site, Families::Both)?;
            // Not our rules are in doubt then, but what the tools show, or what the name of an interface means.
            let doubtful = !own.unread.is_empty() || !lo_is_loopback();
            match (judged.is_as_meant(), report.is_violated()) {
                (true, true) => Standing::Shadowed,
                (true, false) => Standing::Undecided,
                (false, _) if doubtful && !judged.is_violated() => Standing::Undecided,
                (false, _) => Standing::Drifted,
            }
        }
    })
}

/// Interfaces on which somebody is admitted, and that are part of a VRF on which nobody is.
///
/// # Errors
/// Where the kernel does not tell.
pub fn vrfs(site: &Site<'_>) -> Result<Vec<Objection>, HostError> {
    let lists = admitted(site);
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    Ok(unlisted_vrfs(&lists, &Routing::read().map_err(HostError::Routing)?))
}

/// Whether what is in force is what waits to be confirmed, or what was applied last, of another file than this one; with interfaces,
/// also what other firewalls let through. What cannot be read or judged says nothing.
fn is_last(host: &Host, site: &Site<'_>, in_force: &InForce, links: Option<&[Link]>) -> bool {
    let waiting = pending::waiting(&host.store).ok().flatten().map(|_| record::CANDIDATE);
    let sets = waiting.into_iter().chain([record::GOOD]);
    sets.filter_map(|set| record::kept(&host.store, set).ok().flatten()).any(|kept| {
        let other = kept.record.digest != site.cluster().digest() || kept.record.node != site.node_names();
        other && kept.record.backend == in_force.backend && is_of(&kept, in_force, links.map(|links| (host, links)))
    })
}

fn is_of(kept: &Kept, in_force: &InForce, opened: Option<(&Host, &[Link])>) -> bool {
    let Some(cluster) = kept.load().cluster else { return false };
    let Some(site) = kept.record.site(&cluster) else { return false };
    let judged = on_this_host(site).and_then(|site| {
        let report = check(&in_force.ruleset, &site, Families::Both)?;
        let standing = by_rules(&site, in_force, &report)?;
        let Some((host, links)) = opened else { return Ok(standing.is_ours()) };
        let asked = Asked { site: &site, links, backend: in_force.backend, instead: None };
        let look = Look::at(&host.root, &host.store, &Wanted::of(&site), &asked)?;
        Ok::<_, HostError>(standing.is_ours() && look.lines().is_empty())
    });
    judged.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::dialect::nft;
    use crate::net::Surroundings;
    use crate::verify::{Who, whole};

    const CLUSTER: &str = "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\"]\n\
        [networks]\nprivate = [\"10.9.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n\
        [[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n";

    fn cluster(more: &str) -> Cluster {
        parse("cluster.toml", format!("{CLUSTER}{more}"), Path::new("")).cluster.expect("a cluster file")
    }

    /// Whether these rules of somebody else's input chain, behind a policy, shut somebody out; on a host whose routes are not
    /// known.
    fn shuts_out(more: &str, policy: &str, rules: &str) -> bool {
        let text = format!(
            "table inet other {{\n\tchain in {{\n\t\ttype filter hook input priority 0; policy {policy};\n\
            ct state established accept\n{rules}\n\t}}\n}}\n"
        );
        let ruleset = nft::read(&text).unwrap().ruleset;
        let cluster = cluster(more);
        let answers = whole(&ruleset, &Site::of_node(&cluster, &cluster.nodes()[0]), &Surroundings::default()).unwrap();
        let admitted = answers.iter().filter(|answer| answer.who != Who::Others);
        admitted.filter(|answer| answer.is_bad()).count() > 0
    }

    #[test]
    fn only_who_is_shut_out_for_certain_is() {
        let open = "tcp dport { 4369, 6000-6009, 8098, 8099 } accept";
        for (more, policy, rules, shut) in [
            ("", "accept", "tcp dport 22 drop", false),
            ("", "accept", "ip saddr 192.0.2.0/24 drop", false),
            ("", "drop", open, false),
            ("", "drop", "tcp dport 22 accept", true),
            ("", "drop", "tcp dport { 4369, 6000-6009, 8098 } accept", true),
            ("", "accept", "ip saddr 10.9.0.5 tcp dport 8098 drop", true),
            ("", "accept", "ip saddr 10.20.1.0 tcp dport 8098 reject", true),
            // The address need not be on the interface that its packets come in on.
            ("", "drop", "iifname \"eth1\" tcp dport { 4369, 6000-6009, 8098, 8099 } accept", false),
            ("", "drop", "iifname \"eth1\" tcp dport { 4369, 6000-6009, 8098 } accept", true),
            ("[guard]\ninterfaces = [\"eth0\"]\n", "drop", "iifname \"eth1\" accept", true),
            // What is not understood may let them in.
            ("", "drop", "meta cgroup 7 accept", false),
            // Nobody is asked with marks.
            ("", "drop", "meta mark 7 accept", true),
            ("", "drop", "ip daddr 10.9.0.1 accept", false),
            ("", "drop", "ip daddr 10.9.0.77 accept", true),
        ] {
            assert_eq!(shuts_out(more, policy, rules), shut, "{more}{policy}: {rules}");
        }
    }

    /// Ours are as they should be, and that is not enough.
    fn is_proved_otherwise(standing: Standing) -> bool {
        matches!(standing, Standing::Shadowed | Standing::Staged)
    }

    #[test]
    fn each_standing_has_its_code() {
        let codes = [
            (Standing::Enforced, 0),
            (Standing::NotApplied, 6),
            (Standing::Drifted, 1),
            (Standing::Shadowed, 1),
            (Standing::Staged, 1),
            (Standing::Undecided, 3),
            (Standing::Absent, 4),
            (Standing::Closed, 7),
        ];
        for (standing, code) in codes {
            assert_eq!(standing.outcome().code(), code, "{standing:?}");
            assert_eq!(standing.is_ours(), [0, 3].contains(&code) || is_proved_otherwise(standing), "{standing:?}");
        }
    }
}
