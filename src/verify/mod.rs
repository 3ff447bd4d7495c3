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
use std::net::IpAddr;
use std::ops::ControlFlow;

use thiserror::Error;

use crate::cluster::Site;
use crate::ir::{Policy, Ruleset, Verdict, ours};
use crate::semantics::{
    Door, Locality, Outcome, Packet, Plausible, Rules, Shape, Space, TooManyClasses, merged, rewriting, told_apart,
};

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
    let ruleset = merged(ruleset);
    let ours = own_part(&ruleset);
    let space = Space::new(&[&ruleset], &claims.question())?;
    let all = Rules::new(&ruleset);
    let foreign = !ruleset.tables.iter().any(ours::has_part);
    let judge = Judge {
        input_decides: foreign && all.keeps_destinations() && !claims.translates(),
        destinations: told_apart(&ruleset, claims.addresses()),
        own: Rules::new(&ours),
        claims,
        all,
    };
    let mut report = Report { findings: Claim::ALL.map(|claim| (claim, Finding::Proved)) };
    space.visit(|packet| {
        if families.has(packet.source.is_ipv4()) {
            judge.packet(packet, &mut report);
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
#[must_use]
pub fn own_part(ruleset: &Ruleset) -> Cow<'_, Ruleset> {
    if ruleset.tables.iter().all(|table| table.name == ours::TABLE) {
        return Cow::Borrowed(ruleset);
    }
    let mut own = ruleset.clone();
    own.tables.retain(ours::has_part);
    for chain in own.tables.iter_mut().filter(|table| table.name != ours::TABLE).flat_map(|table| &mut table.chains) {
        if let Some(base) = &mut chain.base {
            base.policy = Policy::Accept;
            let to_us = |verdict: &Verdict| matches!(verdict, Verdict::Jump(name) | Verdict::Goto(name) if ours::is_chain(name));
            chain.rules.retain(|rule| rule.verdict.as_ref().is_some_and(to_us));
        }
    }
    Cow::Owned(own)
}

/// A packet as input sees it: of IPv4, fragments have become one.
fn put_together(packet: &Packet) -> Packet {
    let shape = if packet.source.is_ipv4() { Shape::Whole } else { packet.shape };
    Packet { shape, ..packet.clone() }
}

/// What is asked of every packet.
struct Judge<'a> {
    claims: Claims<'a>,
    /// All rules.
    all: Rules<'a>,
    /// Ours.
    own: Rules<'a>,
    /// Whether what input blocks is blocked: in rules that are all somebody else's and translate nothing, the port at input
    /// is the port on the wire. Our own have to block before any translation, whoever may make it.
    input_decides: bool,
    /// Addresses of this host that rules tell apart, where they tell any apart.
    destinations: Vec<IpAddr>,
}

impl Judge<'_> {
    /// What has to become of a packet at each door, and by which claim.
    fn packet(&self, packet: &Packet, report: &mut Report) {
        for door in [Door::BeforeTranslation, Door::Input] {
            let Some((claim, wanted)) = self.claims.wants(door, packet) else { continue };
            let plausible = match claim {
                Claim::Reachability => self.all.is_plausible(packet),
                Claim::Isolation | Claim::NonInterference | Claim::OwnReplies => Plausible::Yes,
            };
            if plausible == Plausible::No {
                continue;
            }
            let mut note = |door, packet: &Packet, outcome: Outcome| {
                let Outcome { may_pass, may_block } = outcome;
                let (wrong, right) = if wanted { (may_block, may_pass) } else { (may_pass, may_block) };
                if wrong {
                    report.note(claim, !right && plausible == Plausible::Yes, || Witness {
                        packet: packet.clone(),
                        door,
                        wanted,
                    });
                }
            };
            let late = if door == Door::Input { Door::Input } else { Door::Prerouting };
            match claim {
                // What is to be blocked must be blocked before destination NAT can change its port.
                Claim::Isolation => note(door, packet, self.blocking(door, packet)),
                Claim::Reachability => {
                    for packet in self.addressed(packet).iter() {
                        note(late, packet, self.all.evaluate(late, packet));
                    }
                }
                Claim::NonInterference | Claim::OwnReplies => note(late, packet, self.own.evaluate(late, packet)),
            }
        }
    }

    fn blocking(&self, door: Door, packet: &Packet) -> Outcome {
        let outcome = self.all.evaluate(door, packet);
        if door != Door::BeforeTranslation || !outcome.may_pass || !self.input_decides {
            return outcome;
        }
        let later = self.all.evaluate(Door::Input, &put_together(packet));
        Outcome { may_pass: later.may_pass, may_block: outcome.may_block || later.may_block }
    }

    /// A packet to each of this host's addresses of its family, as far as rules tell them apart. Whom a file admits comes to
    /// the addresses in it.
    fn addressed<'p>(&self, packet: &'p Packet) -> Cow<'p, [Packet]> {
        let family = |to: &&IpAddr| to.is_ipv4() == packet.source.is_ipv4();
        let to = |to: &IpAddr| Packet { destination: Some(*to), ..packet.clone() };
        let packets: Vec<Packet> = match packet.locality {
            Locality::Local | Locality::Vrf => self.destinations.iter().filter(family).map(to).collect(),
            Locality::Elsewhere | Locality::Foreign => Vec::new(),
        };
        if packets.is_empty() { Cow::Borrowed(std::slice::from_ref(packet)) } else { Cow::Owned(packets) }
    }
}
