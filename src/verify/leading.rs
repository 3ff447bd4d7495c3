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

use super::{Claim, Claims, Families, Finding, Report, check, judge, own_part};
use crate::cluster::Site;
use crate::ir::{
    Base, ChainKind, Elements, Hook, Match, Place, PortMatch, Rule, Ruleset, Statement, Table, Translation,
};
use crate::net::{PortRange, Ports};
use crate::semantics::{Door, TooLarge, merged, reached};

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
    let Some(rule) = leading(ruleset, &site.protected()).filter(|_| !site.translates()) else { return Ok(()) };
    // What lets everybody on has to count them, in the same way.
    let holds = |finding: &Finding| matches!(finding, Finding::Proved | Finding::OnPurpose(_));
    let isolation = |(claim, finding): &&mut (Claim, Finding)| *claim == Claim::Isolation && holds(finding);
    let Some((_, finding)) = report.findings.iter_mut().find(isolation) else { return Ok(()) };
    let there = check(ruleset, &site.clone().translating(true), families)?;
    let is_same = there.findings.iter().all(|(claim, finding)| *claim != Claim::Isolation || holds(finding));
    if !is_same && !keeps_out(ruleset, site)? {
        let why = "a connection that it led elsewhere before these rules were there goes on";
        *finding = Finding::Unjudged(format!("{rule}: {why}"));
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

/// A rule at prerouting that may give another destination to what comes to one of these ports, in words.
fn leading(ruleset: &Ruleset, protected: &Ports) -> Option<String> {
    let first = |base: &Base| base.kind == ChainKind::Nat && base.hook == Hook::Prerouting;
    ruleset.tables.iter().find_map(|table| {
        // The chains of a service stand behind the port of that service.
        let concerns = |rule: &Rule| !rule.matches.iter().any(|one| is_for_others(table, one, protected));
        reached(table, first, concerns).into_iter().find_map(|rule| {
            let leads = rule.statements.iter().find(|one| leads(one))?;
            Some(rule.place.as_ref().map_or_else(|| leads.name().to_owned(), Place::described))
        })
    })
}

fn leads(one: &Statement) -> bool {
    matches!(one, Statement::Translate(Translation::Destination | Translation::Redirect | Translation::Network, _))
}

/// Whether a test lets through nothing that comes to one of these ports.
fn is_for_others(table: &Table, one: &Match, protected: &Ports) -> bool {
    let others = |ports: Ports| ports.intersection(protected).is_none();
    match one {
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated: false } => others(ports.clone()),
        Match::DestinationPort { ports: PortMatch::Set(name), negated: false } => {
            let set = table.sets.iter().find(|set| set.name == *name);
            set.is_some_and(|set| match &set.elements {
                Elements::Ports(list) => others(list.iter().copied().collect()),
                _ => false,
            })
        }
        // `th dport`, of whatever protocol. No port is 0.
        Match::PortBlock(block) => others(PortRange::new(block.first.max(1), block.last()).into_iter().collect()),
        _ => false,
    }
}
