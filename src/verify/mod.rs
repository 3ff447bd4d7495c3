//! Proves that a ruleset does what a cluster file says, or shows the packet for which it does not.
//!
//! The claims come from the cluster and never from the compiler, so that one mistake cannot prove itself:
//!
//! - **isolation**: nothing from a source that is not admitted reaches a protected port, in any state of connection;
//! - **reachability**: everything from an admitted source does;
//! - **non-interference**: nothing else is blocked;
//! - **own replies**: replies to this host's own connections arrive, as long as these do not have a protected port as
//!   their source.
//!
//! Together they fix the verdict on every packet at every door, so two rulesets that both fulfil them are equal.
//!
//! Isolation is proved on what may pass, the others on what may be blocked; where a ruleset has parts that nobody here
//! understands, a claim may be undecided.

mod claims;
mod judge;
mod leading;
mod matrix;
mod staged;
mod touching;
mod whole;

pub use claims::{Admitted, Claims};
pub use matrix::{Cell, Fare, Held, Matrix, On, Row, Whose, matrix};
pub use staged::{is_let_on, lets_on};
pub use touching::touching;
pub use whole::{Answer, By, Direction, Named, Reached, Shown, Stage, Who, whole, whole_beside};

use std::borrow::Cow;

use thiserror::Error;

use crate::cluster::Site;
use crate::ir::{Match, Policy, Ruleset, Verdict, ours};
use crate::semantics::{Door, Packet, TooLarge, merged, rewriting};

/// A claim about a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Nobody else gets in.
    Isolation,
    /// Whoever is admitted gets in.
    Reachability,
    /// Nothing else is touched.
    NonInterference,
    /// Replies to this host's own connections arrive.
    OwnReplies,
}

/// Which families of addresses a ruleset is to be judged for: an iptables file speaks of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A ruleset that fulfils every claim, or where the cluster file wants nobody to be blocked every claim but isolation. Only [`verify`] makes one, so whoever holds it holds a proven ruleset.
#[derive(Clone, Debug)]
pub struct Verified(Ruleset);

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds for every packet.
    Proved,
    /// It does not hold, for this packet among others.
    Violated(Witness),
    /// It does not hold, for this packet among others, as the cluster file wants it (`on-block = "log-only"`): whatever it would keep out
    /// meets a rule that counts it and lets it on. Only isolation is ever so.
    OnPurpose(Witness),
    /// Something unknown stands in the way, for this packet among others.
    Undecided(Witness),
    /// Nothing certain can be said of any packet, because of this part of the ruleset.
    Unjudged(String),
}

/// A packet that shows why a claim is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The packet.
    pub packet: Packet,
    /// Where it is judged.
    pub door: Door,
    /// Whether the cluster file wants it to pass.
    pub wanted: bool,
}

/// What came of all claims.
#[derive(Clone, Debug)]
pub struct Report {
    findings: [(Claim, Finding); 4],
    /// Whether the cluster file wants nobody to be blocked.
    staged: bool,
}

impl Claim {
    /// Every claim, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Isolation, Self::Reachability, Self::NonInterference, Self::OwnReplies];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Reachability => "reachability",
            Self::NonInterference => "non-interference",
            Self::OwnReplies => "own replies",
        }
    }
}

impl Verified {
    /// The ruleset.
    #[must_use]
    pub fn ruleset(&self) -> &Ruleset {
        &self.0
    }
}

impl Report {
    /// Each claim and what came of it.
    #[must_use]
    pub fn findings(&self) -> &[(Claim, Finding)] {
        &self.findings
    }

    /// Whether every claim is proved.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.findings.iter().all(|(_, finding)| *finding == Finding::Proved)
    }

    /// Whether every claim is what the cluster file wants: proved, but for isolation where that is violated on purpose.
    #[must_use]
    pub fn is_as_meant(&self) -> bool {
        self.findings.iter().all(|(claim, finding)| match finding {
            Finding::Proved => !self.staged || *claim != Claim::Isolation,
            Finding::OnPurpose(_) => self.staged && *claim == Claim::Isolation,
            Finding::Violated(_) | Finding::Undecided(_) | Finding::Unjudged(_) => false,
        })
    }

    /// Whether nothing is left to be said but that isolation is violated on purpose.
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.staged && self.is_as_meant()
    }

    /// Whether a claim is violated, and not on purpose.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.findings.iter().any(|(_, finding)| matches!(finding, Finding::Violated(_)))
    }
}

/// Why a ruleset is not proved.
#[derive(Debug, Error)]
pub enum NotVerified {
    /// A claim is violated or undecided.
    #[error("a claim is not proved")]
    Claims {
        /// What came of the claims.
        report: Box<Report>,
        /// The ruleset.
        ruleset: Box<Ruleset>,
    },
    /// The rules are too large to be judged.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Proves all claims about a site on a ruleset.
///
/// # Errors
/// Where a claim is not proved.
pub fn verify(ruleset: Ruleset, site: &Site<'_>, families: Families) -> Result<Verified, NotVerified> {
    let report = check(&ruleset, site, families)?;
    if report.is_as_meant() {
        return Ok(Verified(ruleset));
    }
    Err(NotVerified::Claims { report: Box::new(report), ruleset: Box::new(ruleset) })
}

/// Whether what is proved of a ruleset about one site is proved about another, too. Of all that is claimed only this host's own
/// addresses differ between sites that are alike, and these stand in a claim as destinations: whom the file admits comes to them. Rules
/// that ask for no destination's address do the same to all of them.
#[must_use]
pub fn proves_alike(ruleset: &Ruleset, site: &Site<'_>, other: &Site<'_>) -> bool {
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let matches = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.matches);
    site.is_alike(other) && ruleset.unread.is_empty() && !matches.into_iter().any(Match::may_ask_for_destination)
}

/// Judges every claim about a site on a ruleset.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn check(ruleset: &Ruleset, site: &Site<'_>, families: Families) -> Result<Report, TooLarge> {
    let mut report = if site.cluster().guard().is_staged() {
        staged::report(ruleset, site, families)?
    } else {
        judged(ruleset, &Claims::of(site), families)?
    };
    if let Some(text) = unjudged(&merged(ruleset)) {
        // A violation stands: what was read is enough for it.
        for (_, finding) in report.findings.iter_mut().filter(|(_, finding)| !matches!(finding, Finding::Violated(_))) {
            *finding = match finding {
                // What it would keep out is not known to be counted then.
                Finding::OnPurpose(witness) => Finding::Violated(witness.clone()),
                Finding::Proved | Finding::Violated(_) | Finding::Undecided(_) | Finding::Unjudged(_) => {
                    Finding::Unjudged(text.clone())
                }
            };
        }
    }
    leading::doubt(&mut report, ruleset, site, families)?;
    Ok(report)
}

/// The part of merged rules because of which nothing certain can be said of any packet, but for what it does not let in or out.
fn unjudged(ruleset: &Ruleset) -> Option<String> {
    ruleset.unread.first().cloned().or_else(|| rewriting(ruleset))
}

fn judged(ruleset: &Ruleset, claims: &Claims<'_>, families: Families) -> Result<Report, TooLarge> {
    let ruleset = merged(ruleset);
    judge::report(&ruleset, &own_part(&ruleset), claims, families)
}

/// The part of a ruleset that is ours: somebody else's rules may block what they like, and that is no interference of
/// ours.
#[must_use]
pub fn own_part(ruleset: &Ruleset) -> Cow<'_, Ruleset> {
    if ruleset.tables.iter().all(ours::is_table) {
        return Cow::Borrowed(ruleset);
    }
    let tables = ruleset.tables.iter().filter(|table| ours::has_part(table)).cloned().collect();
    let (sets, unread) = (ruleset.sets.clone(), ruleset.unread.clone());
    let mut own = Ruleset { sets, unread, tables, ..Ruleset::default() };
    for chain in own.tables.iter_mut().filter(|table| !ours::is_table(table)).flat_map(|table| &mut table.chains) {
        if let Some(base) = &mut chain.base {
            base.policy = Policy::Accept;
            let to_us = |verdict: &Verdict| matches!(verdict, Verdict::Jump(name) | Verdict::Goto(name) if ours::is_chain(name));
            chain.rules.retain(|rule| rule.verdict.as_ref().is_some_and(to_us));
        }
    }
    Cow::Owned(own)
}
