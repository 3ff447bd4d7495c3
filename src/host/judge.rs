//! One judge of what is in force: `apply`, `confirm`, `status`, `diff`, the hooks and the timer all ask [`judge`], for both ways
//! into the kernel.
//!
//! - Our own part is held against the claims of the cluster file. Where that fails, something of ours is missing, or somebody
//!   changed it: drifted; or it is what was applied last, and the file is another by now: not applied.
//! - Then come the rules of others. In iptables they may pass ours by, and stand in the same proof. In nf_tables nobody can open what
//!   we block, but they can shut peers out: `shut_out` looks for a peer for whom that is certain.
//!
//! INVARIANT (certain): shadowed is only said with somebody who is shut out, or who gets in, for certain. What is not understood of
//! others makes a proof undecided where they can pass ours by, and is listed as not judged where they cannot.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::apply::Host;
use super::identity::{Objection, on_this_host};
use super::links::{Link, lo_is_loopback};
use super::record::{self, Kept};
use super::routing::Routing;
use super::rules::{InForce, left_behind};
use super::ways::{admitted, unlisted_vrfs};
use super::{Backend, HostError, pending};
use crate::cluster::{Client, Node, Site, State};
use crate::ir::{Ruleset, Table, TcpFlags};
use crate::net::Interface;
use crate::outcome::Outcome;
use crate::semantics::{Door, Packet, Rules};
use crate::verify::{Claims, Families, Report, check, own_part};

/// So many peers, and so many clients' networks, are looked at.
const LOOKED_AT: usize = 64;

/// What is in force is to the cluster file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It does what the file says.
    Enforced,
    /// It is what was applied last, and the file is another since.
    NotApplied,
    /// Our rules are not what the file says, or others of ours judge besides.
    Drifted,
    /// Our rules are, and somebody else's pass them by, or shut out whom they admit.
    Shadowed,
    /// Something is not understood, and may be either.
    Undecided,
    /// There is nothing of ours.
    Absent,
}

/// What came of looking.
#[derive(Debug)]
pub struct Judgement {
    /// In short.
    pub standing: Standing,
    /// The claims, on our rules and on those of others that may pass them by.
    pub report: Report,
    /// What shuts peers out beside our rules, in words.
    pub shadows: Vec<String>,
    /// Whether rules of ours are in the other way into the kernel, too, and judge whomever they know. Not looked for by
    /// [`judge`].
    pub left_behind: bool,
}

impl Judgement {
    /// Whether rules that were just brought in may stay: in our own table everything must be proved; among the rules of iptables
    /// stand those of others.
    #[must_use]
    pub fn may_stay(&self, backend: Backend) -> bool {
        match backend {
            Backend::Nft => self.standing.is_ours() && self.report.is_proved(),
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
            Self::Drifted | Self::Shadowed => Outcome::No,
            Self::Undecided => Outcome::Undecided,
            Self::Absent => Outcome::Absent,
        }
    }

    /// Whether our own part is as the file says, as far as that can be said.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Self::Enforced | Self::Shadowed | Self::Undecided => true,
            Self::NotApplied | Self::Drifted | Self::Absent => false,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::NotApplied => "NOT APPLIED",
            Self::Drifted => "DRIFTED",
            Self::Shadowed => "SHADOWED",
            Self::Undecided => "UNDECIDED",
            Self::Absent => "ABSENT",
        }
    }
}

/// Judges what is in force, without asking what was applied last.
///
/// # Errors
/// Where it tells more packets apart than can be gone through, or the machine does not tell.
pub fn judge(site: &Site<'_>, in_force: &InForce, links: &[Link]) -> Result<Judgement, HostError> {
    let report = check(&in_force.ruleset, site, Families::Both)?;
    let by_rules = by_rules(site, in_force, &report)?;
    let shadows = match by_rules {
        Standing::Enforced | Standing::Shadowed | Standing::Undecided => {
            let vrfs = vrfs(site)?;
            vrfs.iter().map(Objection::message).chain(shut_out(site, &in_force.beside, links)).collect()
        }
        Standing::NotApplied | Standing::Drifted | Standing::Absent => Vec::new(),
    };
    let standing = if shadows.is_empty() { by_rules } else { Standing::Shadowed };
    Ok(Judgement { standing, report, shadows, left_behind: false })
}

/// The same, and whether rules that are not what the file says are at least those that were applied last; and whether other
/// rules of ours judge besides, which is no better than a change of these: they block whom they do not know.
///
/// # Errors
/// As [`judge`].
pub fn judge_on(host: &Host, site: &Site<'_>, in_force: &InForce, links: &[Link]) -> Result<Judgement, HostError> {
    let mut judgement = judge(site, in_force, links)?;
    if judgement.standing == Standing::Drifted && is_last(host, site, in_force, links) {
        judgement.standing = Standing::NotApplied;
    }
    judgement.left_behind = left_behind(in_force.backend);
    // While a change waits, those of the way before it are there on purpose.
    if judgement.left_behind && judgement.standing.is_ours() && !matches!(pending::waiting(&host.store), Ok(Some(_))) {
        judgement.standing = Standing::Drifted;
    }
    Ok(judgement)
}

fn by_rules(site: &Site<'_>, in_force: &InForce, report: &Report) -> Result<Standing, HostError> {
    if in_force.absent {
        return Ok(Standing::Absent);
    }
    if report.is_proved() {
        return Ok(Standing::Enforced);
    }
    Ok(match in_force.backend {
        // All of it is ours: what is not understood is somebody else's, or the host is another than the rules were made for.
        Backend::Nft => Standing::Drifted,
        Backend::Iptables => {
            let own = own_part(&in_force.ruleset);
            let judged = check(&own, site, Families::Both)?;
            // Not our rules are in doubt then, but what the tools show, or what the name of an interface means.
            let doubtful = !own.unread.is_empty() || !lo_is_loopback();
            match (judged.is_proved(), report.is_violated()) {
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

/// Whether what is in force is what waits to be confirmed, or what was applied last, of another file than this one. What cannot
/// be read or judged says nothing.
fn is_last(host: &Host, site: &Site<'_>, in_force: &InForce, links: &[Link]) -> bool {
    let waiting = pending::waiting(&host.store).ok().flatten().map(|_| record::CANDIDATE);
    let sets = waiting.into_iter().chain([record::GOOD]);
    sets.filter_map(|set| record::kept(&host.store, set).ok().flatten()).any(|kept| {
        let other =
            kept.record.digest != site.cluster().digest() || kept.record.node.as_deref() != site.node().map(Node::name);
        other && kept.record.backend == in_force.backend && is_of(&kept, in_force, links)
    })
}

fn is_of(kept: &Kept, in_force: &InForce, links: &[Link]) -> bool {
    let Some(cluster) = kept.load().cluster else { return false };
    let node = kept.record.node.as_deref().and_then(|name| cluster.node(name));
    let site = node.map_or_else(|| Site::of_every_node(&cluster), |node| Site::of_node(&cluster, node));
    let judged = on_this_host(site).and_then(|site| judge(&site, in_force, links));
    judged.is_ok_and(|judged| judged.standing.is_ours())
}

/// Somebody whom the file admits, and whose new connections rules of others block for certain, whatever interface they come in
/// on: in words, one for each table that does so.
fn shut_out(site: &Site<'_>, beside: &[Table], links: &[Link]) -> Vec<String> {
    if beside.is_empty() {
        return Vec::new();
    }
    let alone: Vec<Ruleset> =
        beside.iter().map(|table| Ruleset { tables: vec![table.clone()], ..Ruleset::default() }).collect();
    let mut found = Vec::new();
    for (table, ruleset) in beside.iter().zip(&alone) {
        let rules = Rules::new(ruleset);
        let shut = connections(site, links).into_iter().find(|ways| {
            !ways.is_empty()
                && ways.iter().all(|packet| {
                    [Door::Prerouting, Door::Input].iter().any(|door| !rules.evaluate(*door, packet).may_pass)
                })
        });
        if let Some(packet) = shut.and_then(|ways| ways.into_iter().next()) {
            let family = match table.family {
                crate::ir::Family::Inet => "inet",
                crate::ir::Family::Ip => "ip",
                crate::ir::Family::Ip6 => "ip6",
            };
            let name = table.name.escape_debug();
            found.push(format!("the table {family} {name} blocks whom the file admits: {packet}"));
        }
    }
    found
}

/// New connections of those who are admitted: for each of them one packet for each interface that it may come in on.
fn connections(site: &Site<'_>, links: &[Link]) -> Vec<Vec<Packet>> {
    let claims = Claims::of(site);
    let cluster = site.cluster();
    let own: Vec<IpAddr> =
        site.node().map(Node::addresses).unwrap_or_default().iter().map(|(address, _)| *address).collect();
    let others = cluster.nodes().iter().filter(|node| site.node().is_none_or(|own| own.name() != node.name()));
    let peers = others.flat_map(Node::addresses).map(|(address, _)| *address).take(LOOKED_AT);
    let clients = cluster.clients().iter().flat_map(Client::from).map(|source| source.network.first());
    let open = site.services().iter().filter(|service| service.service.state() == State::Open);
    let ports: BTreeSet<u16> = open.flat_map(|service| service.ports.ranges()).map(|range| range.first()).collect();
    let names: Vec<Interface> = links.iter().filter_map(|link| link.name.parse().ok()).collect();
    let mut all = Vec::new();
    for source in peers.chain(clients.take(LOOKED_AT)) {
        let destination = own.iter().copied().find(|own| own.is_ipv4() == source.is_ipv4());
        for &port in &ports {
            let on = names.iter().filter(|name| **name != Interface::loopback());
            let ways = on.filter(|name| claims.admitting(source, port, Some(name)).is_some()).map(|name| Packet {
                destination,
                port,
                interface: Some(name.clone()),
                flags: TcpFlags::SYN,
                ..Packet::plain(source)
            });
            all.push(ways.collect());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::dialect::nft;

    const CLUSTER: &str = "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\"]\n\
        [networks]\nprivate = [\"10.9.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n\
        [[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n";

    fn cluster(more: &str) -> Cluster {
        parse("cluster.toml", format!("{CLUSTER}{more}"), Path::new("")).cluster.expect("a cluster file")
    }

    fn links() -> Vec<Link> {
        let link = |name: &str, address: &str| Link { name: name.into(), addresses: vec![address.parse().unwrap()] };
        vec![link("lo", "127.0.0.1"), link("eth0", "192.0.2.1"), link("eth1", "10.9.0.1")]
    }

    /// Whether these rules of somebody else's input chain, behind a policy, shut somebody out.
    fn shuts_out(more: &str, policy: &str, rules: &str) -> bool {
        let text = format!(
            "table inet other {{\n\tchain in {{\n\t\ttype filter hook input priority 0; policy {policy};\n{rules}\n\t}}\n}}\n"
        );
        let tables = nft::read(&text).unwrap().ruleset.tables;
        let cluster = cluster(more);
        !shut_out(&Site::of_node(&cluster, &cluster.nodes()[0]), &tables, &links()).is_empty()
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
            ("[guard]\ninterfaces = [\"eth0\"]\n", "drop", "iifname \"eth1\" accept", true),
            // What is not understood may let them in.
            ("", "drop", "meta mark 7 accept", false),
            ("", "drop", "ip daddr 10.9.0.1 accept", false),
            ("", "drop", "ip daddr 10.9.0.77 accept", true),
        ] {
            assert_eq!(shuts_out(more, policy, rules), shut, "{more}{policy}: {rules}");
        }
    }

    #[test]
    fn each_standing_has_its_code() {
        let codes = [
            (Standing::Enforced, 0),
            (Standing::NotApplied, 6),
            (Standing::Drifted, 1),
            (Standing::Shadowed, 1),
            (Standing::Undecided, 3),
            (Standing::Absent, 4),
        ];
        for (standing, code) in codes {
            assert_eq!(standing.outcome().code(), code, "{standing:?}");
            assert_eq!(standing.is_ours(), [0, 3].contains(&code) || standing == Standing::Shadowed, "{standing:?}");
        }
    }
}
