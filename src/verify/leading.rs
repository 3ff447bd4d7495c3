//! Texts that lead connections elsewhere, judged without the host that they are for.
//!
//! Whether a host translates destinations, its own tables tell; of a text it is not known whose tables stand beside it. Where the text itself
//! translates what comes to a protected port, a connection that was made to that port before the rules were there comes to input by another
//! one, as it was led then, and goes on unless a rule asks what it was made to. So isolation is asked once more as on a host that
//! translates, and is not proved here where it does not hold there.
//!
//! Where all packets of strangers to protected ports are blocked before NAT, and not only those that begin a connection, no such connection
//! goes on.
//!
//! INVARIANT (no alarm): isolation is never violated for that alone: on such a host anything may be led anywhere.

use std::collections::HashSet;

use super::{Claim, Claims, Families, Finding, Report, check, judge, own_part};
use crate::cluster::Site;
use crate::ir::{
    Chain, ChainKind, Elements, Hook, Match, PortMatch, Rule, Ruleset, Statement, Table, Translation, Verdict,
};
use crate::net::{Interface, Ports};
use crate::semantics::{Door, TCP, TooLarge, merged};

/// Makes isolation undecided that holds only where nothing is translated.
///
/// # Errors
/// Where the rules are too large to be judged.
pub(super) fn doubt(
    report: &mut Report,
    ruleset: &Ruleset,
    site: &Site<'_>,
    families: Families,
) -> Result<(), TooLarge> {
    if site.translates() || !leads(ruleset, &site.protected()) {
        return Ok(());
    }
    let isolation = |report: &Report| report.findings.iter().position(|(claim, _)| *claim == Claim::Isolation);
    let Some((_, finding)) = isolation(report).and_then(|at| report.findings.get_mut(at)) else { return Ok(()) };
    // What lets everybody on has to count them, in the same way.
    if !matches!(finding, Finding::Proved | Finding::OnPurpose(_)) {
        return Ok(());
    }
    let there = check(ruleset, &site.clone().translating(true), families)?;
    let doubtful = match isolation(&there).and_then(|at| there.findings.get(at)) {
        Some((_, Finding::Violated(witness) | Finding::Undecided(witness))) => Finding::Undecided(witness.clone()),
        Some((_, finding @ Finding::Unjudged(_))) => finding.clone(),
        Some((_, Finding::Proved | Finding::OnPurpose(_))) | None => return Ok(()),
    };
    if !keeps_out(ruleset, site)? {
        *finding = doubtful;
    }
    Ok(())
}

/// Whether nothing of strangers comes past prerouting, whatever its flags.
fn keeps_out(ruleset: &Ruleset, site: &Site<'_>) -> Result<bool, TooLarge> {
    let (ruleset, claims) = (merged(ruleset), Claims::of(site));
    let question = claims.question();
    judge::judged(&ruleset, &own_part(&ruleset), (&claims, &question), |space, judge| {
        let strange = claims.strange(space)?;
        let fates = judge.blocking(space, Door::BeforeTranslation)?;
        Ok(space.sets.intersection(strange, fates.may_pass)?.is_empty())
    })
}

/// Whether a rule at prerouting may give another destination to what comes to one of these ports.
fn leads(ruleset: &Ruleset, protected: &Ports) -> bool {
    ruleset.tables.iter().any(|table| {
        let is_first = |chain: &&Chain| {
            chain.base.is_some_and(|base| base.kind == ChainKind::Nat && base.hook == Hook::Prerouting)
        };
        let mut waiting: Vec<&Chain> = table.chains.iter().filter(is_first).collect();
        let mut seen: HashSet<&str> = waiting.iter().map(|chain| chain.name.as_str()).collect();
        while let Some(chain) = waiting.pop() {
            // What a rule leads on has passed its tests: the chains of a service stand behind the port of that service.
            let met = |rule: &&Rule| !rule.matches.iter().any(|one| is_for_others(table, one, protected));
            for rule in chain.rules.iter().filter(met) {
                if rule.statements.iter().any(translates) {
                    return true;
                }
                if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict
                    && let Some(next) = table.chains.iter().find(|chain| chain.name == *name)
                    && seen.insert(&next.name)
                {
                    waiting.push(next);
                }
            }
        }
        false
    })
}

fn translates(one: &Statement) -> bool {
    matches!(one, Statement::Translate(Translation::Destination | Translation::Redirect | Translation::Network, _))
}

/// Whether a test lets through nothing that comes to one of these ports.
fn is_for_others(table: &Table, one: &Match, protected: &Ports) -> bool {
    match one {
        Match::Protocol { number, negated } => (*number == TCP) == *negated,
        Match::InInterface { names, negated: false } => names.iter().all(|name| *name == Interface::loopback()),
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated: false } => {
            ports.intersection(protected).is_none()
        }
        Match::DestinationPort { ports: PortMatch::Set(name), negated: false } => {
            let set = table.sets.iter().find(|set| set.name == *name);
            set.is_some_and(|set| match &set.elements {
                Elements::Ports(list) => list.iter().copied().collect::<Ports>().intersection(protected).is_none(),
                _ => false,
            })
        }
        _ => false,
    }
}
