//! The specification: what the rules do with one packet.
//!
//! [`Rules`] only prepares names and the order of base chains, so that one ruleset can be asked about many packets.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

mod asks;
mod hidden;
mod run;

use super::door::{Door, TRACKING, comes_before_reassembly, comes_before_tracking, comes_to_output_nat, turn};
use super::foreign::Trust;
use super::holds::{At, Holds, Tracked, holds};
use super::mark::{Mark, Marks};
use super::packet::Packet;
use super::stretch::Entrance;
use super::touched::{Touched, leads_astray};
use super::view::View;
use crate::ir::statement::{Changes, Effect, Way};
use crate::ir::{
    Addresses, Base, Chain, ChainKind, Family, Field, Foreign, Hook, Marked, Match, Policy, PortMatch, Rule, Ruleset,
    Statement, Table, Verdict,
};
use crate::net::{Interface, Surroundings};
pub(super) use asks::asks_for_states;
use asks::{asks_connections, asks_for_marks};
use hidden::Hidden;
pub(super) use hidden::Spot;
use run::{Known, Run};

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

pub(super) type Names<'a> = HashMap<&'a str, &'a Chain, FxBuildHasher>;

/// A base chain, with the position of its table.
pub(super) type Entry<'a> = (usize, &'a Table, &'a Chain, Base);

/// A ruleset, ready to be asked.
pub struct Rules<'a> {
    pub(super) ruleset: &'a Ruleset,
    /// The chains of each table by name.
    pub(super) names: Vec<Names<'a>>,
    /// Base chains in the order of their turns; who is first of those with one turn is not known.
    pub(super) bases: Vec<Entry<'a>>,
    /// Sets that rules fill or empty: what is in them is not what is in them now. By the position of the table, or of none.
    filled: HashSet<(Option<usize>, &'a str), FxBuildHasher>,
    /// Whether a rule does more to a packet than to decide on it, so that chains before a door have to be gone through.
    pub(super) touches: bool,
    /// The same but for translation, which is looked at by itself.
    pub(super) alters: bool,
    /// Whether a rule keeps packets from connection tracking, or takes them to another connection.
    pub(super) leads_astray: bool,
    /// Whether a rule may keep fragments from being put together.
    pub(super) keeps_fragments: bool,
    /// Whether a rule may change where a packet goes to, so that a port on the wire may be another at input.
    translates: [bool; 2],
    /// Whether a rule asks for the state of the connection.
    pub(super) tracks: bool,
    /// For IPv4 and IPv6, whether a rule has connection tracking loaded, which puts fragments together first.
    pub(super) defragments: [bool; 2],
    /// Whether a rule may write a connection's mark.
    marks_connections: bool,
    /// Whether a rule asks for a mark.
    asks_for_marks: bool,
    /// What rules do with marks of packets.
    marks: Marks,
    /// How far the sender of packets is trusted.
    pub(super) trust: Trust,
    /// What is known of the host's routes.
    pub(super) surroundings: Option<&'a Surroundings>,
    /// What is known of the host besides, whether its routes are known or not.
    pub(super) beside: Option<&'a Surroundings>,
    /// Interfaces that stand on no others; `None` where nothing is known of any.
    pub(super) plain: Option<&'a [Interface]>,
    /// Whether packets of VRFs meet rules twice, the second time on another interface.
    twice: bool,
    /// Whether rules may translate where connections of this host go to.
    pub(super) translates_own: bool,
    /// Where NAT makes other packets of some than what chains are asked about here.
    pub(super) hidden: Hidden<'a>,
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
        bases.sort_by_key(|(.., base)| (base.hook, turn(base), base.priority));
        let mut rules = Self {
            ruleset,
            names: ruleset.tables.iter().map(by_name).collect(),
            bases,
            filled: HashSet::default(),
            touches: false,
            alters: !ruleset.unread.is_empty(),
            leads_astray: leads_astray(ruleset, comes_before_tracking),
            keeps_fragments: leads_astray(ruleset, comes_before_reassembly),
            translates: [!ruleset.unread.is_empty(); 2],
            tracks: asks_for_states(ruleset),
            defragments: [true, false].map(|ipv4| ruleset.tables.iter().any(|table| asks_connections(table, ipv4))),
            marks_connections: false,
            asks_for_marks: asks_for_marks(ruleset),
            marks: Marks::of(ruleset),
            trust: Trust::Nobody,
            surroundings: None,
            beside: None,
            plain: None,
            twice: false,
            translates_own: !ruleset.unread.is_empty() || ruleset.tables.iter().any(hidden::translates_own),
            hidden: Hidden::of(ruleset),
        };
        for (position, table) in ruleset.tables.iter().enumerate() {
            table.chains.iter().flat_map(|chain| &chain.rules).for_each(|rule| rules.look_at(position, table, rule));
        }
        rules
    }

    /// The same for packets of those whom a cluster file names, see [`Trust`].
    #[must_use]
    pub fn of_honest(ruleset: &'a Ruleset) -> Self {
        Self { trust: Trust::Honest, ..Self::new(ruleset) }
    }

    /// The same on a host with these routes, which say which way back a packet has.
    #[must_use]
    pub fn beside(self, surroundings: &'a Surroundings) -> Self {
        Self {
            surroundings: surroundings.is_known().then_some(surroundings),
            beside: Some(surroundings),
            plain: Some(&surroundings.plain),
            twice: surroundings.has_vrfs(),
            ..self
        }
    }

    /// What has to be known of all rules before one of them is met.
    fn look_at(&mut self, position: usize, table: &'a Table, rule: &'a Rule) {
        let marks =
            |one: &Statement| matches!(one, Statement::Write { field: Field::Connection | Field::Other(_), .. });
        self.marks_connections |=
            rule.statements.iter().any(marks) || matches!(rule.verdict, Some(Verdict::Unknown(_)));
        if rule.marks_by_a_test() {
            self.touches |= self.asks_for_marks;
            self.alters |= self.asks_for_marks;
        }
        let statements = rule.effective().map(|one| (one.updates(), one.effect()));
        let verdict = rule.verdict.iter().map(|verdict| (None, verdict.effect()));
        for (set, effect) in statements.chain(verdict) {
            if let Some(set) = set {
                let own = table.sets.iter().any(|other| other.name == set);
                self.filled.insert((own.then_some(position), set));
            }
            self.touches |= effect.way == Way::Copied
                || match effect.changes {
                    Changes::Nothing => false,
                    // Who asks for none does not see it.
                    Changes::Mark(_) => self.asks_for_marks,
                    _ => true,
                };
            self.alters |= effect.way == Way::Copied
                || match effect.changes {
                    Changes::Nothing | Changes::Destination | Changes::Source => false,
                    Changes::Mark(_) => self.asks_for_marks,
                    _ => true,
                };
            if effect.changes >= Changes::Destination {
                let [ipv4, ipv6] = &mut self.translates;
                match table.family {
                    Family::Ip => *ipv4 = true,
                    Family::Ip6 => *ipv6 = true,
                    Family::Inet | Family::Netdev => (*ipv4, *ipv6) = (true, true),
                }
            }
        }
    }

    /// Whether no rule can change where a packet goes to: then the port at input is the port on the wire, and what input
    /// blocks is blocked.
    #[must_use]
    pub fn keeps_destinations(&self) -> bool {
        [true, false].into_iter().all(|ipv4| self.keeps_destinations_of(ipv4))
    }

    /// The same of packets of one family.
    #[must_use]
    pub fn keeps_destinations_of(&self, ipv4: bool) -> bool {
        let [v4, v6] = self.translates;
        if ipv4 { !v4 } else { !v6 }
    }

    /// Whether what rules write into marks is known.
    pub(super) fn marks_are_followed(&self) -> bool {
        self.marks.is_followed()
    }

    /// Whether a chain sees packets before connection tracking puts their fragments together.
    pub(super) fn has_early_chains(&self) -> bool {
        self.bases.iter().any(|(.., base)| comes_before_reassembly(base))
    }

    /// A packet that no rule has done anything to.
    pub(super) fn untouched(&self) -> Touched {
        let mark = match self.trust {
            Trust::Honest => self.marks.none(),
            Trust::Nobody => Mark::UNKNOWN,
        };
        Touched { mark, ..Touched::default() }
    }

    /// What chains before a door may have done to a packet.
    pub(super) fn touched_before(&self, door: Door, packet: &Packet) -> Touched {
        self.touched_at(door.view(), |base| door.follows(base), packet)
    }

    /// What chains before NAT at output, and these themselves, may have done to a packet of this host.
    pub(super) fn touched_at_output(&self, packet: &Packet) -> Touched {
        self.touched_at(View::Asking, comes_to_output_nat, packet)
    }

    /// What chains before connection tracking may have done to a packet that goes this way.
    pub(super) fn touched_untracked(&self, view: View, packet: &Packet) -> Touched {
        let own = |base: &Base| (base.hook == Hook::Output) == view.leaves() && comes_before_tracking(base);
        self.touched_at(view, own, packet)
    }

    fn touched_at(&self, view: View, follows: impl Fn(&Base) -> bool, packet: &Packet) -> Touched {
        let mut touched = self.untouched();
        if !self.touches {
            return touched;
        }
        // As it was on the wire.
        let original = packet.original_port.filter(|_| !view.leaves());
        let as_sent = original.map(|port| Packet { port, original_port: None, ..packet.clone() });
        let packet = as_sent.as_ref().unwrap_or(packet);
        for group in self.turns() {
            let chains = || group.iter().filter(|(_, table, _, base)| follows(base) && sees(table, packet));
            let passes;
            (touched, passes) = self.touched_by(&chains(), (packet, view), touched);
            if !passes {
                break;
            }
        }
        // What arrives at the door is taken as it is there.
        touched.changed = false;
        touched
    }

    /// The base chains, those with one turn together.
    pub(super) fn turns(&self) -> impl Iterator<Item = &[Entry<'a>]> {
        let turn_of = |base: &Base| (base.hook, turn(base));
        self.bases.chunk_by(move |(.., one), (.., other)| turn_of(one) == turn_of(other))
    }

    /// What chains that have one turn may do to a packet, whichever of them is first, and whether it may pass them.
    fn touched_by<'s>(
        &self,
        chains: &(impl Iterator<Item = &'s Entry<'a>> + Clone),
        (packet, view): (&Packet, View),
        mut touched: Touched,
    ) -> (Touched, bool)
    where
        'a: 's,
    {
        let alone = chains.clone().nth(1).is_none();
        loop {
            let (before, mut passes) = (touched, true);
            for &(position, table, chain, base) in chains.clone() {
                let (after, ends, _) = self.run(position, table, packet, (&base, view), before, None).enter(chain);
                // With others, either may be first.
                touched = if alone { after } else { touched.or(after) };
                passes &=
                    ends.accepted || (ends.returned && base.policy == Policy::Accept) || base.kind == ChainKind::Nat;
            }
            // With others it only grows.
            if alone || touched == before {
                return (touched, passes);
            }
        }
    }

    fn run<'r, 'p>(
        &'r self,
        position: usize,
        table: &'a Table,
        packet: &'p Packet,
        (base, view): (&Base, View),
        touched: Touched,
        steps: Option<Vec<Step<'a>>>,
    ) -> Run<'r, 'a, 'p> {
        let (tracked, at_device) = seen_at(base);
        let at = At {
            tracked,
            view,
            trust: self.trust,
            routed: self.surroundings.is_some(),
            first_only: false,
            translates_own: self.translates_own,
        };
        let translates = base.kind == ChainKind::Nat;
        Run {
            rules: self,
            position,
            table,
            packet,
            at_device,
            translates,
            at,
            unsure: false,
            touched,
            known: Known::default(),
            steps,
        }
    }

    /// Takes up what a statement or a verdict does to a packet. What connection tracking has seen already stays tracked
    /// (nft_notrack_eval and xt_ct_target leave a packet with a connection alone; seen on Linux 6.18). `certain` is whether it was
    /// done to every packet that is meant.
    pub(super) fn touch(&self, touched: &mut Touched, effect: Effect, (tracked, certain): (Tracked, bool)) {
        match (effect.changes, tracked) {
            (Changes::Untracked, Tracked::Yes) => {}
            (Changes::Untracked, Tracked::Perhaps) => {
                touched.wavers |= !touched.untracked;
                touched.by(effect);
            }
            (Changes::Mark(how), _) => {
                touched.mark = self.marks.written(touched.mark, how, certain);
                touched.by(effect);
            }
            _ => touched.by(effect),
        }
    }

    /// Whether rules change what is in a set.
    fn fills(&self, position: usize, table: &Table, name: &str) -> bool {
        if self.filled.is_empty() {
            return false;
        }
        let own = table.sets.iter().any(|set| set.name == name);
        self.filled.contains(&(own.then_some(position), name))
    }

    /// Whether nothing certain can be said of a test, whatever packet it is made on: because of where it stands, because of
    /// what was done to the packet before, or because rules fill the set that it asks.
    pub(super) fn is_unseen(
        &self,
        one: &Match,
        position: usize,
        table: &Table,
        (at_device, at): (bool, At),
        touched: Touched,
    ) -> bool {
        let of_interface = self.twice && matches!(one, Match::DestinationOfInterface);
        let at_device = at_device && matches!(one, Match::PacketType { .. } | Match::Foreign(Foreign::Endpoint { .. }));
        if of_interface || at_device || at.may_have_been_otherwise(one) {
            return true;
        }
        let by_connection = matches!(one, Match::ConnectionState { .. });
        let Touched { changed, reconnected, unseen, .. } = touched;
        if changed || (by_connection && (reconnected || (unseen && at.tracked != Tracked::Yes))) {
            return true;
        }
        let marked = match one {
            Match::Foreign(Foreign::Mark { of: Marked::Connection, .. }) => self.marks_connections,
            _ => false,
        };
        if marked {
            return true;
        }
        let set = match one {
            Match::Foreign(Foreign::SourcePort { ports: PortMatch::Set(name), .. }) => Some(name),
            Match::Source { addresses: Addresses::Set(name), .. }
            | Match::Destination { addresses: Addresses::Set(name), .. }
            | Match::DestinationPort { ports: PortMatch::Set(name), .. }
            | Match::OriginalPort(PortMatch::Set(name))
            | Match::Foreign(Foreign::Endpoint { set: name, .. }) => Some(name),
            _ => None,
        };
        set.is_some_and(|name| self.fills(position, table, name))
    }

    /// Whether a test holds, after all that was done to the packet before.
    pub(super) fn holds(&self, one: &Match, table: &Table, way: Entrance, touched: Touched, packet: &Packet) -> Holds {
        if self.is_unseen(one, way.position, table, (way.at_device, way.at), touched) {
            return Holds::Unknown;
        }
        if let Match::Foreign(Foreign::Mark { of: Marked::Packet, mask, value, negated }) = one {
            return touched.mark.holds(*mask, *value, *negated);
        }
        if let Some(found) = self.of_interface(one, packet, way) {
            return found;
        }
        if let Some(found) = way.at_device.then(|| self.at_device(one, packet, way.at)).flatten() {
            return found;
        }
        holds(self.ruleset, table, one, (packet, self.surroundings), way.at)
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
        let mut touched = self.touched_before(door, packet);
        for group in self.turns() {
            let here = |base: &Base| door.has(base) || door.passes(base);
            let chains = || group.iter().filter(|(_, table, _, base)| here(base) && sees(table, packet));
            let several = self.touches && chains().nth(1).is_some();
            if several {
                touched = self.touched_by(&chains(), (packet, door.view()), touched).0;
            }
            for &(position, table, chain, base) in chains() {
                if touched.changed {
                    // These rules meet another packet.
                    outcome.may_block |= door.has(&base);
                    continue;
                }
                let noted = if door.has(&base) { steps.take() } else { None };
                let (after, ends, noted) =
                    self.run(position, table, packet, (&base, door.view()), touched, noted).enter(chain);
                // Of several each may be first, and is met by packets as the others leave them, too.
                touched = if several { touched } else { after };
                if !door.has(&base) {
                    continue;
                }
                *steps = noted;
                outcome.may_block |= ends.dropped || (ends.returned && base.policy == Policy::Drop);
                // Chains for NAT see only the first packet of a connection that is tracked: they may block, but to rely
                // on it would be a mistake.
                let skipped = base.kind == ChainKind::Nat;
                outcome.may_pass &= skipped || ends.accepted || (ends.returned && base.policy == Policy::Accept);
            }
            if !outcome.may_pass {
                break;
            }
        }
        outcome.may_pass |= touched.copied;
        outcome
    }
}

/// Whether connection tracking has seen the packets of a chain, and whether the chain comes before a packet was given to the
/// bridge, or to the device on this one, that it is for; or behind that on the way out.
pub(super) fn seen_at(base: &Base) -> (Tracked, bool) {
    let tracked = match (base.hook, base.priority) {
        (Hook::Ingress, _) | (Hook::Prerouting | Hook::Output, ..TRACKING) => Tracked::NotYet,
        // Either may be first.
        (Hook::Prerouting | Hook::Output, TRACKING) => Tracked::Perhaps,
        _ => Tracked::Yes,
    };
    (tracked, matches!(base.hook, Hook::Ingress | Hook::Egress))
}

/// Whether a table's chains meet packets of this family.
fn sees(table: &Table, packet: &Packet) -> bool {
    match table.family {
        Family::Inet | Family::Netdev => true,
        Family::Ip => packet.source.is_ipv4(),
        Family::Ip6 => packet.source.is_ipv6(),
    }
}
