//! What came of a proof.

use std::fmt::Write as _;

use serde::Serialize;

use super::origin::source_line;
use super::together::Together;
use crate::cluster::Site;
use crate::dialect::nft;
use crate::host::judge::Judgement;
use crate::ir::{Policy, Ruleset, Table};
use crate::semantics::Rules;
use crate::verify::{self, Claim, Claims, Families, Report};

/// What came of every claim on a ruleset.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    /// The families that were judged.
    pub families: &'static [&'static str],
    /// Each claim, in the order of reports.
    pub claims: Vec<Claimed>,
    /// Several clusters that are guarded together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// Whether files for iptables were among what was judged.
    #[serde(skip)]
    pub for_iptables: bool,
    /// Whose word is taken for what the kernel holds: `iptables-save v1.8.9`.
    #[serde(skip)]
    pub writers: Vec<String>,
}

/// A claim, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Claimed {
    /// Its name.
    #[cfg_attr(test, schemars(extend("enum" = ["isolation", "reachability", "non-interference", "own replies"])))]
    pub claim: &'static str,
    /// What came of it.
    pub result: Finding,
    /// Why it is not proved.
    #[serde(rename = "witness", skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// What it rests on beside the rules.
    #[serde(skip)]
    pub assumption: Option<String>,
}

/// What came of a claim, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// It holds for every packet.
    Proved,
    /// It does not hold.
    Violated,
    /// It does not hold, as the cluster file wants it: whatever it would keep out is counted and let on.
    #[serde(rename = "violated-on-purpose")]
    OnPurpose,
    /// It cannot be said.
    Undecided,
}

/// Why a claim is not proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Because {
    /// Of a packet.
    Witness(Witness),
    /// Of a part of the ruleset that is not understood, with its text.
    Part(String),
    /// Of something beside the rules, in words.
    Beside(String),
}

/// A packet that shows why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Witness {
    /// The packet, in words.
    pub packet: String,
    /// What stands behind its verdict, where that was looked for.
    #[serde(skip)]
    pub behind: Option<Behind>,
}

/// What stands behind the verdict on a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Whether it may pass.
    pub may_pass: bool,
    /// Whether it may be blocked.
    pub may_block: bool,
    /// Whether the cluster file wants it to pass.
    pub wanted: bool,
    /// What decides on it.
    pub rule: Ruled,
    /// What the cluster file says of its source, with the line.
    pub cluster: String,
}

/// What decides on a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruled {
    /// The policy of a chain.
    Policy {
        /// The chain.
        chain: String,
        /// Its table.
        table: String,
    },
    /// A rule of a text.
    Rule {
        /// Its line, from 1.
        line: u32,
        /// As it stands there.
        text: String,
    },
    /// No rule matches.
    Nothing,
}

impl Proof {
    /// What came of the claims about a site on a ruleset, with what stands behind each counterexample.
    #[must_use]
    pub fn of(report: &Report, site: &Site<'_>, ruleset: &Ruleset, families: Families, writers: &[String]) -> Self {
        let claims = report.findings().iter().map(|(claim, finding)| {
            let mut claimed = Claimed::of(*claim, finding);
            if claimed.result == Finding::Proved {
                claimed.assumption = assumption(*claim, site);
            }
            if let (Some(Because::Witness(shown)), Some(witness)) = (&mut claimed.because, witness(finding)) {
                shown.behind = Some(Behind::of(witness, site, ruleset));
            }
            claimed
        });
        Self {
            families: match families {
                Families::Both => &["IPv4", "IPv6"],
                Families::Ipv4 => &["IPv4"],
                Families::Ipv6 => &["IPv6"],
            },
            claims: claims.collect(),
            together: Together::of(site),
            for_iptables: ruleset.tables.iter().any(|table| !table.family.has_both() && is_iptables(table)),
            writers: writers.to_vec(),
        }
    }

    /// Each claim and what came of it, with the packet, the rule and the line of the cluster file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.together.as_ref().map(Together::text).unwrap_or_default();
        for claimed in &self.claims {
            let name = claimed.claim;
            // Writing to a String cannot fail.
            let _ = match (claimed.result, &claimed.because) {
                (Finding::Proved, _) => {
                    let assumption = claimed.assumption.as_deref().unwrap_or_default();
                    writeln!(text, "{name:16} proved{assumption}")
                }
                (result, Some(Because::Witness(witness))) => {
                    writeln!(text, "{name:16} {}\n{}", result.loud(), witness.text())
                }
                (result, Some(Because::Part(why) | Because::Beside(why))) => {
                    writeln!(text, "{name:16} {}\n  because of: {why}\n", result.loud())
                }
                (result, None) => writeln!(text, "{name:16} {}", result.loud()),
            };
        }
        if self.for_iptables {
            text.push_str("The files for iptables are judged as loaded with --noflush, one after the other.\n");
        }
        if !self.writers.is_empty() {
            let _ = writeln!(text, "What the kernel holds is taken from {}.", self.writers.join(" and "));
        }
        match self.families {
            ["IPv4"] => text.push_str("IPv6 is not in these files and was not judged.\n"),
            ["IPv6"] => text.push_str("IPv4 is not in these files and was not judged.\n"),
            _ => {}
        }
        text
    }
}

impl Finding {
    fn loud(self) -> &'static str {
        match self {
            Self::Proved => "PROVED",
            Self::Violated => "VIOLATED",
            Self::OnPurpose => "VIOLATED ON PURPOSE",
            Self::Undecided => "UNDECIDED",
        }
    }
}

impl Claimed {
    fn of(claim: Claim, finding: &verify::Finding) -> Self {
        let witness = |witness: &verify::Witness| {
            Some(Because::Witness(Witness { packet: witness.packet.to_string(), behind: None }))
        };
        let (result, because) = match finding {
            verify::Finding::Proved => (Finding::Proved, None),
            verify::Finding::Violated(packet) => (Finding::Violated, witness(packet)),
            verify::Finding::OnPurpose(packet) => (Finding::OnPurpose, witness(packet)),
            verify::Finding::Undecided(packet) => (Finding::Undecided, witness(packet)),
            verify::Finding::Unjudged(part) => (Finding::Undecided, Some(Because::Part(part.clone()))),
        };
        Self { claim: claim.name(), result, because, assumption: None }
    }

    /// What is claimed of what the kernel has: rules alone do not let anybody in whose interface is another than they name.
    #[must_use]
    pub fn on_host(judgement: &Judgement) -> Vec<Self> {
        Self::beside(&judgement.report, judgement.vrfs.first().map(String::as_str))
    }

    fn beside(report: &Report, unreachable: Option<&str>) -> Vec<Self> {
        let claimed = |(claim, finding): &(Claim, verify::Finding)| {
            let mut claimed = Self::of(*claim, finding);
            if let (Claim::Reachability, Finding::Proved, Some(why)) = (claim, claimed.result, unreachable) {
                claimed.result = Finding::Violated;
                claimed.because = Some(Because::Beside(why.to_owned()));
            }
            claimed
        };
        report.findings().iter().map(claimed).collect()
    }
}

/// Claims in one line if all are proved, else each.
#[must_use]
pub fn claims_text(claims: &[Claimed], what: &str) -> String {
    if claims.iter().all(|claimed| claimed.result == Finding::Proved) {
        let names: Vec<&str> = claims.iter().map(|claimed| claimed.claim).collect();
        return format!("proved on {what}: {}\n", names.join(", "));
    }
    let mut text = String::new();
    for claimed in claims {
        let name = claimed.claim;
        // Writing to a String cannot fail.
        let _ = match (claimed.result, &claimed.because) {
            (Finding::Proved, _) => writeln!(text, "{name:16} proved on {what}"),
            (result, Some(Because::Witness(Witness { packet: why, .. }) | Because::Beside(why))) => {
                writeln!(text, "{name:16} {}: {why}", result.loud())
            }
            (result, Some(Because::Part(part))) => writeln!(text, "{name:16} {}, because of: {part}", result.loud()),
            (result, None) => writeln!(text, "{name:16} {}", result.loud()),
        };
    }
    text
}

/// A table with chains that belong to everybody was read from iptables.
fn is_iptables(table: &Table) -> bool {
    table.chains.iter().any(|chain| chain.base.is_some_and(|base| base.shared))
}

fn assumption(claim: Claim, site: &Site<'_>) -> Option<String> {
    match claim {
        Claim::OwnReplies => {
            let ports: Vec<String> = site.protected().ranges().iter().map(ToString::to_string).collect();
            Some(format!(", if net.ipv4.ip_local_reserved_ports has {}", ports.join(",")))
        }
        Claim::Isolation | Claim::Reachability | Claim::NonInterference => None,
    }
}

fn witness(finding: &verify::Finding) -> Option<&verify::Witness> {
    match finding {
        verify::Finding::Violated(witness)
        | verify::Finding::OnPurpose(witness)
        | verify::Finding::Undecided(witness) => Some(witness),
        verify::Finding::Proved | verify::Finding::Unjudged(_) => None,
    }
}

impl Behind {
    fn of(witness: &verify::Witness, site: &Site<'_>, ruleset: &Ruleset) -> Self {
        let rules = Rules::new(ruleset);
        let (outcome, steps) = rules.trace(witness.door, &witness.packet);
        let policy = steps.last().filter(|step| {
            let drops = step.chain.base.is_some_and(|base| base.policy == Policy::Drop);
            step.rule.is_none() && drops && outcome.may_block
        });
        let last = steps.iter().rev().find_map(|step| {
            let rule = step.rule?;
            rule.place.as_ref().map(|place| (step.table, rule, place))
        });
        let rule = match (policy, last) {
            (Some(step), _) => Ruled::Policy { chain: step.chain.name.clone(), table: step.table.title() },
            (None, Some((_, _, place))) if place.line > 0 => Ruled::Rule { line: place.line, text: place.text.clone() },
            (None, Some((table, rule, place))) => Ruled::Rule { line: 0, text: nft::placed(table, rule, place) },
            (None, None) => Ruled::Nothing,
        };
        Self {
            may_pass: outcome.may_pass,
            may_block: outcome.may_block,
            wanted: witness.wanted,
            rule,
            cluster: why(witness, site),
        }
    }
}

/// The line of the cluster file behind what is wanted.
fn why(witness: &verify::Witness, site: &Site<'_>) -> String {
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

impl Witness {
    fn text(&self) -> String {
        let mut text = format!("  packet:  {}\n", self.packet);
        let Some(behind) = &self.behind else { return text };
        let fate = match (behind.may_pass, behind.may_block) {
            (true, true) => "may pass or be blocked, depending on a part that is not understood,",
            (true, false) => "passes",
            (false, _) => "is blocked",
        };
        let wanted = if behind.wanted { "to pass" } else { "to be blocked" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  verdict: {fate} where the cluster file wants it {wanted}");
        let _ = match &behind.rule {
            Ruled::Policy { chain, table } => {
                writeln!(text, "  rule:    none; the policy of chain {chain} in table {table} is drop")
            }
            Ruled::Rule { line: 0, text: rule } => writeln!(text, "  rule:    {rule}"),
            Ruled::Rule { line, text: rule } => writeln!(text, "  rule:    line {line}: {rule}"),
            Ruled::Nothing => writeln!(text, "  rule:    none matches"),
        };
        let _ = writeln!(text, "  cluster: {}", behind.cluster);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parse;
    use crate::host::{Backend, Prepared};
    use crate::verify::check;

    #[test]
    fn rules_alone_let_nobody_in() {
        let text = "[cluster]\nname = \"c\"\nprofile = \"riak\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\"]\n\
                    [networks]\nprivate = [\"10.9.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";
        let cluster = parse("cluster.toml", text.to_owned(), std::path::Path::new("")).cluster.unwrap();
        let site = Site::of_every_node(&cluster);
        let prepared = Prepared::new(&site, Backend::Nft).unwrap();
        let report = check(prepared.verified.ruleset(), &site, Families::Both).unwrap();
        let said = |unreachable| claims_text(&Claimed::beside(&report, unreachable), "it");
        assert!(said(None).starts_with("proved on it: isolation, reachability"));
        let doubted = said(Some("of a VRF"));
        assert_eq!(doubted.lines().filter(|line| line.ends_with("proved on it")).count(), 3, "{doubted}");
        assert!(doubted.contains("reachability     VIOLATED: of a VRF\n"), "{doubted}");
    }
}
