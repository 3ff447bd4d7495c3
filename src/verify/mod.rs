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

pub use claims::{Admitted, Claims};

use std::borrow::Cow;
use std::ops::ControlFlow;

use thiserror::Error;

use crate::cluster::Site;
use crate::ir::{ConnectionStates, Policy, Ruleset, TcpFlags, Verdict};
use crate::semantics::{Door, Outcome, Packet, Rules, Space, TooManyClasses, may_untrack, merged, rewriting};

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

/// A ruleset that fulfils every claim. Only [`verify`] makes one, so whoever holds it holds a proven ruleset.
#[derive(Clone, Debug)]
pub struct Verified(Ruleset);

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds for every packet.
    Proved,
    /// It does not hold, for this packet among others.
    Violated(Witness),
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

impl Families {
    fn has(self, ipv4: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4 => ipv4,
            Self::Ipv6 => !ipv4,
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

    /// Whether a claim is violated.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.findings.iter().any(|(_, finding)| matches!(finding, Finding::Violated(_)))
    }

    /// A violation weighs more than a doubt, and the first of each is kept.
    fn note(&mut self, claim: Claim, violated: bool, witness: impl FnOnce() -> Witness) {
        let Some((_, finding)) = self.findings.iter_mut().find(|(own, _)| *own == claim) else { return };
        match (&finding, violated) {
            (Finding::Proved, false) => *finding = Finding::Undecided(witness()),
            (Finding::Proved | Finding::Undecided(_), true) => *finding = Finding::Violated(witness()),
            (Finding::Violated(_) | Finding::Unjudged(_), _) | (Finding::Undecided(_), false) => {}
        }
    }
}

/// Why a ruleset is not proved.
#[derive(Debug, Error)]
pub enum NotVerified {
    /// A claim is violated or undecided.
    #[error("a claim is not proved")]
    Claims(Box<Report>),
    /// There are more kinds of packets than can be gone through.
    #[error(transparent)]
    TooManyClasses(#[from] TooManyClasses),
}

/// Proves all claims about a site on a ruleset.
///
/// # Errors
/// Where a claim is not proved.
pub fn verify(ruleset: Ruleset, site: &Site<'_>, families: Families) -> Result<Verified, NotVerified> {
    let report = check(&ruleset, site, families)?;
    if report.is_proved() { Ok(Verified(ruleset)) } else { Err(NotVerified::Claims(Box::new(report))) }
}

/// Judges every claim about a site on a ruleset.
///
/// # Errors
/// Where the rules tell more packets apart than can be gone through.
pub fn check(ruleset: &Ruleset, site: &Site<'_>, families: Families) -> Result<Report, TooManyClasses> {
    let claims = Claims::of(site);
    // Rules that are judged as one may differ in what else they do.
    let untracked = may_untrack(ruleset);
    let ruleset = merged(ruleset);
    let ours = own_part(&ruleset);
    let space = Space::new(&[&ruleset], &claims.question())?;
    let (all, own) = (Rules::new(&ruleset), Rules::new(&ours));
    let mut report = Report { findings: Claim::ALL.map(|claim| (claim, Finding::Proved)) };
    space.visit(|packet| {
        if families.has(packet.source.is_ipv4()) {
            let plausible = !space.tracks_connections() || is_plausible(packet, untracked);
            judge(&claims, &all, &own, packet, plausible, &mut report);
        }
        ControlFlow::<()>::Continue(())
    });
    if let Some(text) = ruleset.unread.first().cloned().or_else(|| rewriting(&ruleset)) {
        // A violation stands: what was read is enough for it.
        for (_, finding) in report.findings.iter_mut().filter(|(_, finding)| !matches!(finding, Finding::Violated(_))) {
            *finding = Finding::Unjudged(text.clone());
        }
    }
    Ok(report)
}

/// The part of a ruleset that is ours: somebody else's rules may block what they like, and that is no interference of
/// ours.
fn own_part(ruleset: &Ruleset) -> Cow<'_, Ruleset> {
    if ruleset.tables.iter().all(|table| table.name == "ringfence") {
        return Cow::Borrowed(ruleset);
    }
    let mut own = ruleset.clone();
    own.tables.retain(|table| table.name == "ringfence" || table.chains.iter().any(|chain| is_own(&chain.name)));
    for chain in own.tables.iter_mut().filter(|table| table.name != "ringfence").flat_map(|table| &mut table.chains) {
        if let Some(base) = &mut chain.base {
            base.policy = Policy::Accept;
            let to_us =
                |verdict: &Verdict| matches!(verdict, Verdict::Jump(name) | Verdict::Goto(name) if is_own(name));
            chain.rules.retain(|rule| rule.verdict.as_ref().is_some_and(to_us));
        }
    }
    Cow::Owned(own)
}

fn is_own(chain: &str) -> bool {
    chain == "RINGFENCE" || chain.starts_with("RINGFENCE-")
}

/// Whether an honest peer sends such a packet: it opens a connection, or is part of one. A firewall that tracks connections
/// may well drop others, and nobody is cut off by it.
fn is_plausible(packet: &Packet, untracked: bool) -> bool {
    // Whatever else an opening segment carries, ECN for example.
    const FIN_SYN_RST_ACK: u8 = 0x17;
    packet.state == ConnectionStates::ESTABLISHED
        || (untracked && packet.state == ConnectionStates::UNTRACKED)
        || (packet.state == ConnectionStates::NEW && packet.flags.0 & FIN_SYN_RST_ACK == TcpFlags::SYN.0)
}

/// What has to become of a packet at a door, and by which claim.
fn judge(claims: &Claims<'_>, all: &Rules<'_>, own: &Rules<'_>, packet: &Packet, plausible: bool, report: &mut Report) {
    for door in [Door::BeforeTranslation, Door::Input] {
        let Some((claim, wanted)) = claims.wants(door, packet) else { continue };
        if claim == Claim::Reachability && !plausible {
            continue;
        }
        let (rules, door) = match (claim, wanted, door) {
            // What is to be blocked must be blocked before destination NAT can change its port.
            (Claim::Isolation, ..) => (all, door),
            (Claim::Reachability, _, Door::Input) => (all, Door::Input),
            (Claim::Reachability, ..) => (all, Door::Prerouting),
            (Claim::NonInterference | Claim::OwnReplies, _, Door::Input) => (own, Door::Input),
            (Claim::NonInterference | Claim::OwnReplies, ..) => (own, Door::Prerouting),
        };
        let Outcome { may_pass, may_block } = rules.evaluate(door, packet);
        let (wrong, right) = if wanted { (may_block, may_pass) } else { (may_pass, may_block) };
        if wrong {
            report.note(claim, !right, || Witness { packet: packet.clone(), door, wanted });
        }
    }
}
