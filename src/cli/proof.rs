//! What came of a proof, in words.

use std::fmt::Write as _;

use thiserror::Error;

use super::rulesets::Given;
use crate::cluster::{Cluster, Site};
use crate::ir::{Family, Policy, Ruleset, Table};
use crate::prove::NotEmitted;
use crate::semantics::Rules;
use crate::verify::{Claim, Claims, Families, Finding, Report, Witness};

/// What was compiled does not do what the cluster file says.
#[derive(Debug, Error)]
#[error(
    "what was compiled does not do what the cluster file says; nothing was written. This is a mistake in ringfence; please \
     report it with the cluster file and this:\n{0}"
)]
pub struct NotProved(String);

/// The error with everything that was found, for whoever has to look into it.
pub fn explained(error: NotEmitted, site: &Site<'_>) -> anyhow::Error {
    match error {
        NotEmitted::NotProved { report, ruleset } => {
            let given = Given::made(*ruleset);
            NotProved(describe(&report, site, &given)).into()
        }
        NotEmitted::Unwritable(_) | NotEmitted::Unreadable(_) | NotEmitted::TooLarge(_) => error.into(),
    }
}

/// Each claim and what came of it, with the packet, the rule and the line of the cluster file.
pub fn describe(report: &Report, site: &Site<'_>, given: &Given) -> String {
    let mut text = String::new();
    for (claim, finding) in report.findings() {
        // Writing to a String cannot fail.
        let _ = match finding {
            Finding::Proved => writeln!(text, "{:16} proved{}", claim.name(), assumption(*claim, site)),
            Finding::Violated(witness) => {
                writeln!(text, "{:16} VIOLATED\n{}", claim.name(), describe_witness(witness, site, &given.ruleset))
            }
            Finding::Undecided(witness) => {
                writeln!(text, "{:16} UNDECIDED\n{}", claim.name(), describe_witness(witness, site, &given.ruleset))
            }
            Finding::Unjudged(part) => {
                writeln!(text, "{:16} UNDECIDED\n  because of: {part}\n", claim.name())
            }
        };
    }
    if given.ruleset.tables.iter().any(|table| table.family != Family::Inet && is_iptables(table)) {
        text.push_str("The files for iptables are judged as loaded with --noflush, one after the other.\n");
    }
    if !given.writers.is_empty() {
        let _ = writeln!(text, "What the kernel holds is taken from {}.", given.writers.join(" and "));
    }
    match given.families {
        Families::Both => {}
        Families::Ipv4 => text.push_str("IPv6 is not in these files and was not judged.\n"),
        Families::Ipv6 => text.push_str("IPv4 is not in these files and was not judged.\n"),
    }
    text
}

/// A table with chains that belong to everybody was read from iptables.
fn is_iptables(table: &Table) -> bool {
    table.chains.iter().any(|chain| chain.base.is_some_and(|base| base.shared))
}

fn assumption(claim: Claim, site: &Site<'_>) -> String {
    match claim {
        Claim::OwnReplies => {
            let ports: Vec<String> = site.protected().ranges().iter().map(ToString::to_string).collect();
            format!(", if net.ipv4.ip_local_reserved_ports has {}", ports.join(","))
        }
        Claim::Isolation | Claim::Reachability | Claim::NonInterference => String::new(),
    }
}

fn describe_witness(witness: &Witness, site: &Site<'_>, ruleset: &Ruleset) -> String {
    let rules = Rules::new(ruleset);
    let (outcome, steps) = rules.trace(witness.door, &witness.packet);
    let fate = match (outcome.may_pass, outcome.may_block) {
        (true, true) => "passes or is blocked, which hangs on what is not understood,",
        (true, false) => "passes",
        (false, _) => "is blocked",
    };
    let wanted = if witness.wanted { "to pass" } else { "to be blocked" };
    let mut text =
        format!("  packet:  {}\n  verdict: {fate} where the cluster file wants it {wanted}\n", witness.packet);
    let policy = steps.last().filter(|step| {
        let drops = step.chain.base.is_some_and(|base| base.policy == Policy::Drop);
        step.rule.is_none() && drops && outcome.may_block
    });
    let last = steps.iter().rev().find_map(|step| step.rule.and_then(|rule| rule.place.as_ref()));
    let _ = match (policy, last) {
        (Some(step), _) => {
            writeln!(
                text,
                "  rule:    none; the policy of chain {} in table {} is drop",
                step.chain.name, step.table.name
            )
        }
        (None, Some(place)) => writeln!(text, "  rule:    line {}: {}", place.line, place.text),
        (None, None) => writeln!(text, "  rule:    none matches"),
    };
    let _ = writeln!(text, "  cluster: {}", why(witness, site));
    text
}

/// The line of the cluster file behind what is wanted.
fn why(witness: &Witness, site: &Site<'_>) -> String {
    let packet = &witness.packet;
    let cluster = site.cluster();
    let claims = Claims::of(site);
    if !claims.protects(packet.port) {
        return "the port belongs to no service that is guarded".to_owned();
    }
    if let Some(untrusted) = cluster.untrusted().iter().find(|source| source.network.has(packet.source)) {
        return format!("untrusted, {}", cluster.place(untrusted.span));
    }
    match claims.admitting(packet.source, packet.port, packet.interface.as_ref()) {
        Some(admitted) => source_line(cluster, packet.source).unwrap_or_else(|| admitted.who.to_owned()),
        None => "no node or client with this source is admitted to this port here".to_owned(),
    }
}

/// The node or client that has an address, and its line.
pub fn source_line(cluster: &Cluster, source: std::net::IpAddr) -> Option<String> {
    let nodes = cluster.nodes().iter().flat_map(|node| node.addresses().iter().map(move |a| (node.name(), *a)));
    let mut nodes = nodes.filter(|(_, (address, _))| *address == source);
    if let Some((name, (_, span))) = nodes.next() {
        return Some(format!("{name}, {}", cluster.place(span)));
    }
    let clients =
        cluster.clients().iter().flat_map(|client| client.from().iter().map(move |from| (client.name(), from)));
    let mut clients = clients.filter(|(_, from)| from.network.has(source));
    clients.next().map(|(name, from)| format!("{name}, {}", cluster.place(from.span)))
}
