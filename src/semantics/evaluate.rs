//! The specification: what the rules do with one packet.
//!
//! [`Rules`] only prepares names and the order of base chains, so that one ruleset can be asked about many packets.

use std::collections::HashMap;
use std::net::IpAddr;

use rustc_hash::FxBuildHasher;

use super::packet::{Locality, Packet, Shape, TCP};
use crate::ir::{
    Addresses, Base, Chain, ChainKind, ConnectionStates, Elements, Family, Hook, Match, Policy, PortMatch, Rule,
    Ruleset, Table, Verdict,
};
use crate::net::PortRange;

/// Where a packet is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// At prerouting before destination NAT, which works at priority -100, and behind the place where connection tracking
    /// puts fragments together, -400: the port is as on the wire, and no fragment can bring it later.
    BeforeTranslation,
    /// At prerouting and before it, all of it. After destination NAT the port may be another; packets that some rule may translate are
    /// undecided here.
    Prerouting,
    /// At input: the port is as the socket sees it.
    Input,
}

/// The priority of destination NAT (NF_IP_PRI_NAT_DST, linux/netfilter_ipv4.h).
const DESTINATION_NAT: i32 = -100;
/// The priority at which IPv4 and IPv6 are put together where connection tracking or NAT are loaded
/// (NF_IP_PRI_CONNTRACK_DEFRAG, linux/netfilter_ipv4.h).
const DEFRAGMENTATION: i32 = -400;
/// The priority of connection tracking (NF_IP_PRI_CONNTRACK): before it, no packet has a connection.
const TRACKING: i32 = -200;

/// What may become of a packet. At least one of the two holds; both where something is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// It may get through.
    pub may_pass: bool,
    /// It may be blocked.
    pub may_block: bool,
}

/// A rule, or the end of a base chain, that had a say on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The table.
    pub table: &'a Table,
    /// The chain.
    pub chain: &'a Chain,
    /// The rule that matched; `None` is the policy of a base chain.
    pub rule: Option<&'a Rule>,
    /// Whether it matches for certain.
    pub certain: bool,
}

/// Whether a test holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Holds {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// How a chain may end for a packet: a set of possibilities.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    accepted: bool,
    dropped: bool,
    /// The end of the chain, or `return`: back to whoever jumped.
    returned: bool,
}

impl Ends {
    fn or(self, other: Self) -> Self {
        Self {
            accepted: self.accepted || other.accepted,
            dropped: self.dropped || other.dropped,
            returned: self.returned || other.returned,
        }
    }
}

impl Door {
    /// Whether a packet can come here at all: only what is for this host comes to input, and there IPv4 has been put
    /// together from its fragments.
    #[must_use]
    pub fn sees(self, packet: &Packet) -> bool {
        match self {
            Self::BeforeTranslation | Self::Prerouting => true,
            Self::Input => packet.locality.is_local() && (packet.source.is_ipv6() || packet.shape == Shape::Whole),
        }
    }

    fn has(self, base: &Base) -> bool {
        match self {
            Self::BeforeTranslation => {
                let between = DEFRAGMENTATION < base.priority && base.priority < DESTINATION_NAT;
                base.hook == Hook::Prerouting && between && base.kind != ChainKind::Nat
            }
            Self::Prerouting => matches!(base.hook, Hook::Ingress | Hook::Prerouting),
            Self::Input => base.hook == Hook::Input,
        }
    }
}

type Names<'a> = HashMap<&'a str, &'a Chain, FxBuildHasher>;

/// A ruleset, ready to be asked.
pub struct Rules<'a> {
    ruleset: &'a Ruleset,
    /// The chains of each table by name.
    names: Vec<Names<'a>>,
    /// Base chains by priority, each with the position of its table.
    bases: Vec<(usize, &'a Table, &'a Chain, Base)>,
}

/// How the chains that were gone through so far end, for one packet and one table. Without it, a few chains that jump
/// to each other several times would take time without bound.
type Known<'a> = HashMap<&'a str, Ends, FxBuildHasher>;

struct Run<'r, 'a, 'p> {
    rules: &'r Rules<'a>,
    position: usize,
    table: &'a Table,
    packet: &'p Packet,
    /// Before connection tracking.
    early: bool,
    known: Known<'a>,
    steps: Option<Vec<Step<'a>>>,
}

impl<'a> Rules<'a> {
    /// Prepares a ruleset.
    #[must_use]
    pub fn new(ruleset: &'a Ruleset) -> Self {
        let by_name = |table: &'a Table| table.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect();
        let mut bases: Vec<_> = ruleset
            .tables
            .iter()
            .enumerate()
            .flat_map(|(at, table)| table.chains.iter().filter_map(move |chain| Some((at, table, chain, chain.base?))))
            .collect();
        bases.sort_by_key(|(.., base)| (base.hook, base.priority));
        Self { ruleset, names: ruleset.tables.iter().map(by_name).collect(), bases }
    }

    /// What may become of a packet at a door.
    #[must_use]
    pub fn evaluate(&self, door: Door, packet: &Packet) -> Outcome {
        self.judge(door, packet, &mut None)
    }

    /// The same, with every rule that had a say, in the order of the packet's way.
    #[must_use]
    pub fn trace(&self, door: Door, packet: &Packet) -> (Outcome, Vec<Step<'a>>) {
        let mut steps = Some(Vec::new());
        let outcome = self.judge(door, packet, &mut steps);
        (outcome, steps.unwrap_or_default())
    }

    fn judge(&self, door: Door, packet: &Packet, steps: &mut Option<Vec<Step<'a>>>) -> Outcome {
        let mut outcome = Outcome { may_pass: true, may_block: false };
        for &(position, table, chain, base) in self.bases.iter().filter(|(.., base)| door.has(base)) {
            let sees = match table.family {
                Family::Inet => true,
                Family::Ip => packet.source.is_ipv4(),
                Family::Ip6 => packet.source.is_ipv6(),
            };
            if !sees {
                continue;
            }
            let known = Known::default();
            let early = base.hook == Hook::Ingress || (base.hook == Hook::Prerouting && base.priority <= TRACKING);
            let mut run = Run { rules: self, position, table, packet, early, known, steps: steps.take() };
            let ends = run.chain(chain);
            if ends.returned {
                run.note(chain, None, !ends.accepted && !ends.dropped);
            }
            *steps = run.steps;
            outcome.may_block |= ends.dropped || (ends.returned && base.policy == Policy::Drop);
            // Chains for NAT see only the first packet of a connection that is tracked: they may block, but to rely on it
            // would be a mistake.
            let skipped = base.kind == ChainKind::Nat;
            outcome.may_pass &= skipped || ends.accepted || (ends.returned && base.policy == Policy::Accept);
            if !outcome.may_pass {
                break;
            }
        }
        outcome
    }
}

impl<'a> Run<'_, 'a, '_> {
    /// The loop: rule by rule, the first that decides ends it. Where it is unknown whether a rule applies, both go on.
    /// INVARIANT (jumps): readers and the compiler make no circles, and no jumps deeper than the kernel follows.
    fn chain(&mut self, chain: &'a Chain) -> Ends {
        let mut possible = Ends::default();
        for rule in &chain.rules {
            let applies = self.applies(rule);
            if applies == Holds::No {
                continue;
            }
            self.note(chain, Some(rule), applies == Holds::Yes);
            let (ends, goes_on) = self.act(rule);
            possible = possible.or(ends);
            if applies == Holds::Yes && !goes_on {
                return possible;
            }
        }
        Ends { returned: true, ..possible }
    }

    /// What a rule that applies does: how the chain may end by it, and whether the next rule may have its turn.
    fn act(&mut self, rule: &'a Rule) -> (Ends, bool) {
        let none = Ends::default();
        match &rule.verdict {
            None => (none, true),
            Some(Verdict::Accept) => (Ends { accepted: true, ..none }, false),
            Some(Verdict::Drop | Verdict::Reset) => (Ends { dropped: true, ..none }, false),
            Some(Verdict::Return) => (Ends { returned: true, ..none }, false),
            Some(Verdict::Jump(name)) => {
                let below = self.target(name);
                (Ends { returned: false, ..below }, below.returned)
            }
            Some(Verdict::Goto(name)) => (self.target(name), false),
            Some(Verdict::Unknown(_)) => (Ends { accepted: true, dropped: true, returned: false }, true),
        }
    }

    fn target(&mut self, name: &'a str) -> Ends {
        if let Some(ends) = self.known.get(name) {
            return *ends;
        }
        let ends = match self.rules.names.get(self.position).and_then(|names| names.get(name)) {
            Some(chain) => self.chain(chain),
            // Readers refuse this; were it to happen, nothing would be certain.
            None => Ends { accepted: true, dropped: true, returned: true },
        };
        self.known.insert(name, ends);
        ends
    }

    fn applies(&self, rule: &Rule) -> Holds {
        let mut all = Holds::Yes;
        for one in &rule.matches {
            match holds(self.rules.ruleset, self.table, one, self.packet, self.early) {
                Holds::No => return Holds::No,
                Holds::Unknown => all = Holds::Unknown,
                Holds::Yes => {}
            }
        }
        all
    }

    fn note(&mut self, chain: &'a Chain, rule: Option<&'a Rule>, certain: bool) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { table: self.table, chain, rule, certain });
        }
    }
}

fn holds(ruleset: &Ruleset, table: &Table, one: &Match, packet: &Packet, early: bool) -> Holds {
    let shape = packet.shape;
    match one {
        Match::InInterface { names, negated } => {
            (packet.interface.as_ref().is_some_and(|own| names.contains(own)) != *negated).into()
        }
        Match::Source { addresses, negated } => address(ruleset, table, addresses, *negated, Some(packet.source)),
        Match::Destination { addresses, negated } => address(ruleset, table, addresses, *negated, packet.destination),
        Match::Family(Family::Ip) => packet.source.is_ipv4().into(),
        Match::Family(Family::Ip6) => packet.source.is_ipv6().into(),
        Match::Family(Family::Inet) => Holds::Yes,
        Match::Protocol { number, negated } => {
            (shape.shows_protocol() && (packet.protocol == *number) != *negated).into()
        }
        // What has not been tracked yet is invalid to nft, or untracked.
        Match::ConnectionState { states, negated } if early => {
            match (states.has(ConnectionStates::INVALID), states.has(ConnectionStates::UNTRACKED)) {
                (true, true) => (!*negated).into(),
                (false, false) => (*negated).into(),
                _ => Holds::Unknown,
            }
        }
        Match::ConnectionState { states, negated } => (states.has(packet.state) != *negated).into(),
        // nft looks for ports and flags in further fragments as well, and finds data there (seen on Linux 6.18).
        Match::DestinationPort { .. } | Match::TcpFlags { .. }
            if shape == Shape::LaterMisread && packet.protocol == TCP =>
        {
            Holds::Unknown
        }
        Match::PortBlock(_) | Match::FlagBit { .. } if shape == Shape::LaterMisread => Holds::Unknown,
        Match::DestinationPort { ports, negated } => {
            if packet.protocol != TCP || !shape.shows_ports() {
                return Holds::No;
            }
            match port(ruleset, table, ports, packet.port) {
                Holds::Unknown => Holds::Unknown,
                found => ((found == Holds::Yes) != *negated).into(),
            }
        }
        Match::PortBlock(block) => (shape.shows_ports() && packet.port & block.mask() == block.first).into(),
        // Other transports have something else there, or end before it.
        Match::FlagBit { .. } if packet.protocol != TCP => Holds::Unknown,
        Match::FlagBit { flag, set } => (shape.shows_flags() && (packet.flags.0 & flag.0 != 0) == *set).into(),
        Match::TcpFlags { mask, value } => {
            (packet.protocol == TCP && shape.shows_flags() && packet.flags.0 & mask.0 == value.0).into()
        }
        Match::DestinationLocal => match packet.locality {
            Locality::Local => Holds::Yes,
            // From Linux 6.12 on the table of the VRF is asked by nft, and by iptables never (seen on 5.10 to 7.2).
            Locality::Vrf | Locality::Elsewhere => Holds::Unknown,
            Locality::Foreign => Holds::No,
        },
        Match::DestinationOfInterface => match packet.locality {
            Locality::Vrf => Holds::Yes,
            // This interface's address, or another one's.
            Locality::Local | Locality::Elsewhere => Holds::Unknown,
            Locality::Foreign => Holds::No,
        },
        Match::NotDirectlyTcp => (packet.source.is_ipv6() && !(packet.protocol == TCP && shape == Shape::Whole)).into(),
        Match::FirstFragment => (packet.source.is_ipv6() && shape.is_first_fragment()).into(),
        // Some packets are within the limit and some are not.
        Match::Limit { .. } | Match::Unknown(_) => Holds::Unknown,
    }
}

fn address(ruleset: &Ruleset, table: &Table, addresses: &Addresses, negated: bool, own: Option<IpAddr>) -> Holds {
    let elements = match addresses {
        Addresses::These(elements) => elements,
        Addresses::Set(name) => match ruleset.set(table, name) {
            Some(set) => &set.elements,
            None => return Holds::Unknown,
        },
    };
    match (elements, own) {
        (Elements::Ipv4(list), Some(IpAddr::V4(own))) => (within(list, own.to_bits()) != negated).into(),
        (Elements::Ipv6(list), Some(IpAddr::V6(own))) => (within(list, own.to_bits()) != negated).into(),
        (Elements::Ipv4(_), Some(IpAddr::V6(_))) | (Elements::Ipv6(_), Some(IpAddr::V4(_))) => Holds::No,
        (Elements::Ports(_) | Elements::Unknown, _) | (_, None) => Holds::Unknown,
    }
}

fn within<T: Copy + Ord>(list: &[(T, T)], own: T) -> bool {
    let at = list.partition_point(|&(first, _)| first <= own);
    at.checked_sub(1).and_then(|at| list.get(at)).is_some_and(|&(_, last)| own <= last)
}

fn port(ruleset: &Ruleset, table: &Table, ports: &PortMatch, own: u16) -> Holds {
    let has = |ranges: &[PortRange]| ranges.iter().any(|range| (range.first()..=range.last()).contains(&own)).into();
    match ports {
        PortMatch::Ports(ports) => has(ports.ranges()),
        PortMatch::Set(name) => match ruleset.set(table, name).map(|set| &set.elements) {
            Some(Elements::Ports(ranges)) => has(ranges),
            Some(Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Unknown) | None => Holds::Unknown,
        },
    }
}
