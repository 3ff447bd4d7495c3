//! Rules that block nobody on purpose: `on-block = "log-only"`.
//!
//! What is to be said of them is said by three proofs, so that a switch to `drop` is no leap:
//!
//! - of the rules as they are, reachability and own replies;
//! - that they block nothing at all: non-interference, of strangers as of everybody else;
//! - of the same rules with every last word of theirs a block, all claims. So what isolation would keep out, and nothing else, meets a
//!   rule that counts it.
//!
//! INVARIANT (never proved): isolation of such rules is violated on purpose, or violated; rules that do block are not what the file wants,
//! and violate non-interference.

use super::{Claim, Claims, Families, Finding, Report, judged};
use crate::cluster::Site;
use crate::ir::ours::{self, TABLE};
use crate::ir::{Family, Rule, Ruleset, Table, Verdict};
use crate::semantics::TooLarge;

/// What the comments of rules begin with that keep somebody out.
const ISOLATION: &str = "isolation: ";

pub(super) fn report(ruleset: &Ruleset, site: &Site<'_>, families: Families) -> Result<Report, TooLarge> {
    let mut report = judged(ruleset, &Claims::of(site), families)?;
    let quiet = judged(ruleset, &Claims::of(site).letting_on(), families)?;
    report.staged = true;
    for (claim, finding) in &mut report.findings {
        match claim {
            Claim::NonInterference => *finding = of(&quiet, Claim::NonInterference),
            Claim::Isolation => {
                if let Finding::Violated(witness) = finding
                    && judged(&blocking(ruleset), &Claims::of(site), families)?.is_proved()
                {
                    *finding = Finding::OnPurpose(witness.clone());
                }
            }
            Claim::Reachability | Claim::OwnReplies => {}
        }
    }
    Ok(report)
}

fn of(report: &Report, wanted: Claim) -> Finding {
    let found = report.findings.iter().find(|(claim, _)| *claim == wanted);
    found.map_or_else(|| Finding::Unjudged("a claim that was not judged".to_owned()), |(_, finding)| finding.clone())
}

/// Whether rules of ours let on what they count.
#[must_use]
pub fn lets_on(ruleset: &Ruleset) -> bool {
    ruleset.tables.iter().any(|table| {
        let mut chains = table.chains.iter().filter(|chain| has_last_word(table, &chain.name));
        chains.any(|chain| chain.rules.iter().any(is_let_on))
    })
}

/// The same rules with every last word a block.
fn blocking(ruleset: &Ruleset) -> Ruleset {
    let mut blocking = ruleset.clone();
    for table in &mut blocking.tables {
        let names: Vec<bool> = table.chains.iter().map(|chain| has_last_word(table, &chain.name)).collect();
        let chains = table.chains.iter_mut().zip(names).filter(|(_, has)| *has).map(|(chain, _)| chain);
        for rule in chains.flat_map(|chain| &mut chain.rules).filter(|rule| is_let_on(rule)) {
            rule.verdict = Some(Verdict::Drop);
        }
    }
    blocking
}

/// Whether a chain is one of ours in which somebody is kept out.
fn has_last_word(table: &Table, chain: &str) -> bool {
    if table.family == Family::Inet && table.name == TABLE {
        return matches!(chain, "block" | "hidden");
    }
    ours::is_chain(chain) && (chain.ends_with("-BLOCK") || chain.ends_with("-HIDDEN"))
}

/// Whether a rule of ours would block if it did not let on.
#[must_use]
pub fn is_let_on(rule: &Rule) -> bool {
    let isolates = rule.comment.as_deref().is_some_and(|comment| comment.starts_with(ISOLATION));
    isolates && rule.verdict == Some(Verdict::Return)
}
