//! What is said of each packet, one by one: wanted by [`Claims::wants`], judged by [`Rules::evaluate`]. And rulesets to say it of.

use std::net::IpAddr;

use ringfence::ir::{Match, Ruleset, Verdict, ours};
use ringfence::net::Elsewhere;
use ringfence::semantics::{Door, Locality, Outcome, Packet, Plausible, Rules, Shape};
use ringfence::verify::{Claim, Claims};

use super::enriched;
use crate::generate::{Random, Scope};

/// What came of a claim, for a packet after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    Proved,
    Undecided,
    Violated,
}

/// What came of a packet at a door.
pub struct Judged {
    pub claim: Claim,
    pub found: Found,
    /// The address of this host that it comes to, where that matters.
    pub to: Option<IpAddr>,
}

pub struct Specification<'a> {
    pub claims: Claims<'a>,
    all: Rules<'a>,
    own: Rules<'a>,
    input_decides: bool,
    stays: [bool; 2],
}

impl<'a> Specification<'a> {
    pub fn of(claims: Claims<'a>, ruleset: &'a Ruleset, own: &'a Ruleset) -> Self {
        let all = Rules::new(ruleset);
        let foreign = !ruleset.tables.iter().any(ours::has_part);
        let stays = [true, false].map(|ipv4| all.keeps_destinations_of(ipv4) && !claims.translates());
        Self { claims, input_decides: foreign && stays == [true; 2], stays, own: Rules::new(own), all }
    }

    /// Each claim about a packet, and what comes of it.
    pub fn packet(&self, packet: &Packet) -> Vec<Judged> {
        let mut all = Vec::new();
        for door in [Door::BeforeTranslation, Door::Input] {
            let Some((claim, wanted)) = self.claims.wants(door, packet) else { continue };
            let plausible = if claim == Claim::Reachability { self.all.is_plausible(packet) } else { Plausible::Yes };
            if plausible == Plausible::No {
                continue;
            }
            let late = if door == Door::Input { Door::Input } else { Door::Prerouting };
            for (to, outcome) in self.outcomes(claim, door, late, packet) {
                let (wrong, right) =
                    if wanted { (outcome.may_block, outcome.may_pass) } else { (outcome.may_pass, outcome.may_block) };
                let found = match (wrong, !right && plausible == Plausible::Yes) {
                    (false, _) => Found::Proved,
                    (true, true) => Found::Violated,
                    (true, false) => Found::Undecided,
                };
                all.push(Judged { claim, found, to });
            }
        }
        all
    }

    fn outcomes(&self, claim: Claim, door: Door, late: Door, packet: &Packet) -> Vec<(Option<IpAddr>, Outcome)> {
        match claim {
            Claim::Isolation => vec![(None, self.blocking(door, packet))],
            Claim::Reachability => {
                let family = |address: &&IpAddr| address.is_ipv4() == packet.source.is_ipv4();
                let to = self.claims.addresses().iter().filter(family);
                let mut packets: Vec<Packet> =
                    to.map(|to| Packet { destination: Some(*to), ..packet.clone() }).collect();
                if packets.is_empty() || !matches!(packet.locality, Locality::Local | Locality::Vrf) {
                    packets = vec![packet.clone()];
                }
                packets.iter().map(|packet| (packet.destination, self.all.evaluate(late, packet))).collect()
            }
            Claim::NonInterference | Claim::OwnReplies => vec![(None, self.own.evaluate(late, packet))],
        }
    }

    /// Whether a packet certainly gets in by all doors, or certainly does not.
    pub fn ends(&self, packet: &Packet, to: Option<IpAddr>) -> Option<bool> {
        let packet = &Packet { destination: to.or(packet.destination), ..packet.clone() };
        let stays = self.stays(packet);
        let early = self.all.evaluate(Door::Prerouting, packet);
        let shape = if packet.source.is_ipv4() { Shape::Whole } else { packet.shape };
        let late = self.all.evaluate(Door::Input, &Packet { shape, ..packet.clone() });
        let arrives = packet.locality.is_local() && !early.may_block && !late.may_block;
        let lost = if stays {
            !packet.locality.is_local() || !early.may_pass || !late.may_pass
        } else {
            // It may come to input as another.
            !self.all.evaluate(Door::Wire, packet).may_pass
        };
        match (arrives, lost) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// Whether no connection of its family is translated.
    pub fn stays(&self, packet: &Packet) -> bool {
        let [v4, v6] = self.stays;
        if packet.source.is_ipv4() { v4 } else { v6 }
    }

    fn blocking(&self, door: Door, packet: &Packet) -> Outcome {
        let outcome = self.all.evaluate(door, packet);
        if door != Door::BeforeTranslation || !outcome.may_pass || !self.input_decides {
            return outcome;
        }
        let shape = if packet.source.is_ipv4() { Shape::Whole } else { packet.shape };
        let later = self.all.evaluate(Door::Input, &Packet { shape, ..packet.clone() });
        Outcome { may_pass: later.may_pass, may_block: outcome.may_block || later.may_block }
    }
}

/// What a host answers for by another routing table.
pub fn elsewhere() -> Elsewhere {
    let destination = |name: &str, network: &str| (name.parse().ok(), network.parse().unwrap());
    Elsewhere::new([destination("", "10.20.7.0/24"), destination("eth1", "10.20.0.11")])
}

/// A few rules of strangers around a guard, in which something may be missing or be another thing.
pub fn disturbed(random: &mut Random, scope: &Scope, guard: &Ruleset) -> Ruleset {
    let mut ruleset = guard.clone();
    for _ in 0..random.below(4) {
        let table = random.below(ruleset.tables.len());
        let table = &mut ruleset.tables[table];
        let chain = random.below(table.chains.len());
        let rules = &mut table.chains[chain].rules;
        if rules.is_empty() {
            continue;
        }
        let at = random.below(rules.len());
        match random.below(5) {
            0 => _ = rules.remove(at),
            1 => _ = rules[at].matches.pop(),
            2 => rules[at].matches.push(Match::Unknown("meta mark 1".into())),
            3 => rules[at].verdict = Some(Verdict::Accept),
            _ => rules[at].verdict = Some(Verdict::Drop),
        }
    }
    if random.chance(60) {
        let mut other = scope.ruleset(random);
        enriched(random, &mut other);
        // Few rules: each packet is looked at.
        for chain in other.tables.iter_mut().flat_map(|table| &mut table.chains) {
            chain.rules.truncate(2);
        }
        ruleset.tables.extend(other.tables.into_iter().take(1));
    }
    ruleset
}
