//! All packets, cut into classes that the rules in question cannot tell apart, and sets of them.
//!
//! Every test of a rule looks at a few fields of a packet. The values of a field fall into classes by which lists they are in,
//! so a packet is one label in each field, and what rules let pass is a [`Set`] of such points. Not every point is a packet:
//! other protocols than TCP have no flags, IPv4 has no extension headers. Sets may hold such points; whoever asks for a packet
//! of a set asks among the possible ones.

use std::borrow::Cow;
use std::collections::BTreeSet;

mod cuts;
mod packets;
mod sets;

use super::classes::{Classes, DEEPEST, List, Value};
use super::diagram::{Bounded, Diagrams, Limits, Set, TooLarge};
use super::field::Field;
use super::journey::Home;
use super::kinds::{Kind, regions};
use super::packet::{Locality, Shape, TCP};
use crate::ir::{ConnectionStates, Elements, Ruleset, TcpFlags};
use crate::net::{Elsewhere, Interface, PortRange, Surroundings};
use cuts::{Cuts, by_family, ways};
pub(super) use cuts::{Owed, pairs};

/// What one question may cost: some seconds, and some 300 MB. Source: `benches/ways.rs`.
const LIMITS: Limits = Limits { steps: 400_000_000, runs: 10_000_000 };

/// What, besides the rules, tells packets apart: whatever a question about them mentions.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    /// Lists of addresses.
    pub sources: Vec<Cow<'a, Elements>>,
    /// Lists of ports.
    pub ports: Vec<Vec<PortRange>>,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Tests of TCP flags: mask and value.
    pub flags: Vec<(TcpFlags, TcpFlags)>,
    /// What this host answers for by another routing table than `local`.
    pub elsewhere: Elsewhere,
    /// Whether connections may have been translated.
    pub translates: bool,
    /// Whether it is asked what this host sends, too.
    pub leaving: bool,
    /// What is known of the host's routes.
    pub surroundings: Surroundings,
    /// This host's addresses, where it is only asked what comes to these, or to one of which nothing is known: no others are told
    /// apart then, and tests of them are unknown.
    pub home: Option<Home>,
}

/// The classes of each field, and the sets that were made of them.
pub struct Space<'a> {
    v4: Classes<'a, u32>,
    v6: Classes<'a, u128>,
    ports: Classes<'a, u16>,
    interfaces: Vec<Option<Interface>>,
    /// What names of interfaces begin with, and which of the interfaces stands for those that nothing names.
    beginnings: Vec<(String, Interface)>,
    protocols: Vec<u8>,
    /// The one that stands for all that no rule names.
    other_protocol: Option<u8>,
    flags: Vec<TcpFlags>,
    /// What is asked about the flags: mask and value.
    flag_tests: Vec<(TcpFlags, TcpFlags)>,
    states: Vec<ConnectionStates>,
    /// The classes of destinations, where any are told apart.
    destinations: Option<(Classes<'a, u32>, Classes<'a, u128>)>,
    /// The classes of sources that the question names, as ascending ranges of labels.
    named: Vec<(u32, u32)>,
    /// What no rule's list cuts, because they overlap in too many ways: tests of these lists are unknown.
    uncut: Option<&'static str>,
    /// Sources by the way back to them, where routes are known.
    ways: Vec<(Owed, Elements)>,
    /// Sources by their kinds, where rules ask for these: without routes, and as routes have it.
    kinds: [Vec<Kind>; 2],
    /// All sets over these labels.
    pub sets: Diagrams,
    possible: Set,
}

impl<'a> Space<'a> {
    /// Cuts the space so that neither these rulesets nor the question can tell packets of one class apart.
    ///
    /// # Errors
    /// Where more lists overlap than can be told apart.
    pub fn new(rulesets: &[&'a Ruleset], question: &'a Question<'a>) -> Bounded<Self> {
        Self::limited(rulesets, question, LIMITS, DEEPEST)
    }

    /// The same, where less may be done, and where so many of the rules' lists may overlap.
    ///
    /// # Errors
    /// Where a limit is met that leaves nothing to say.
    pub fn limited(
        rulesets: &[&'a Ruleset],
        question: &'a Question<'a>,
        limits: Limits,
        deepest: usize,
    ) -> Bounded<Self> {
        let ways = ways(&question.surroundings);
        let mut cuts = Cuts::of(rulesets, question, &ways);
        let routed = Some(&question.surroundings).filter(|own| own.is_known());
        let kinds = [None, routed].map(|own| if cuts.by_kind { regions(own) } else { Vec::new() });
        cuts.kinds(kinds.iter().flatten());
        let beginnings = cuts.beginning_so();
        let mut names = cuts.interfaces.clone();
        names.extend(beginnings.iter().map(|(_, name)| name.clone()));
        let mut uncut = None;
        let [first_v4, first_v6, first_ports, first_to_v4, first_to_v6] = cuts.first;
        let v4 = classes(cuts.v4, (first_v4, deepest, None), "lists of IPv4 sources", &mut uncut)?;
        let v6 = classes(cuts.v6, (first_v6, deepest, None), "lists of IPv6 sources", &mut uncut)?;
        let ports = classes(cuts.ports, (first_ports, deepest, None), "lists of ports", &mut uncut)?;
        let addressed = !(cuts.to_v4.is_empty() && cuts.to_v6.is_empty());
        let (asked_v4, asked_v6) = cuts.asked.unzip();
        let limit = (first_to_v4, deepest, asked_v4.as_deref());
        let to_v4 = classes(cuts.to_v4, limit, "lists of IPv4 destinations", &mut uncut)?;
        let limit = (first_to_v6, deepest, asked_v6.as_deref());
        let to_v6 = classes(cuts.to_v6, limit, "lists of IPv6 destinations", &mut uncut)?;
        let destinations = addressed.then_some((to_v4, to_v6));
        // A protocol that nobody mentions stands for all such.
        let mut protocols = cuts.protocols;
        let other_protocol = (0..=u8::MAX).rev().find(|number| !protocols.contains(number));
        protocols.extend(other_protocol);
        let interfaces: Vec<Option<Interface>> = names.into_iter().map(Some).chain([None]).collect();
        let states = if cuts.stateful {
            ConnectionStates::ALL.as_slice()
        } else {
            ConnectionStates::ALL.get(3..4).unwrap_or(&[])
        };
        let flags = flag_classes(&cuts.flags);
        let size = |field| match field {
            Field::Family => 2,
            Field::Interface => interfaces.len() as u32,
            Field::Shape => Shape::ALL.len() as u32,
            Field::Protocol => protocols.len() as u32,
            Field::Flags => flags.len() as u32,
            Field::State => states.len() as u32,
            Field::Locality => Locality::ALL.len() as u32,
            Field::Destination => 1 + destinations.as_ref().map_or(0, |(v4, v6)| v4.count() + v6.count()),
            Field::Port => ports.count(),
            Field::Original => 1 + if cuts.translates { ports.count() } else { 0 },
            Field::Source => v4.count() + v6.count(),
        };
        let sizes = Field::ALL.into_iter().map(size).collect();
        let mut space = Self {
            v4,
            v6,
            ports,
            interfaces,
            beginnings,
            protocols: protocols.into_iter().collect(),
            other_protocol,
            flags,
            flag_tests: cuts.flags,
            states: states.iter().map(|(state, _)| *state).collect(),
            destinations,
            uncut,
            named: Vec::new(),
            ways,
            kinds,
            sets: Diagrams::new(sizes, limits),
            possible: Set::EMPTY,
        };
        space.possible = space.packets(&question.elsewhere)?;
        space.named = space.named(question);
        Ok(space)
    }

    fn named(&self, question: &Question<'_>) -> Vec<(u32, u32)> {
        let mut all: Vec<(u32, u32)> = Vec::new();
        for list in &question.sources {
            all.extend(sets::addresses(list, &self.v4, &self.v6, 0).unwrap_or_default());
        }
        all.sort_unstable();
        all
    }

    /// Sources by the way back to them; none where no routes are known.
    pub(super) fn ways_back(&self) -> Vec<(Owed, Elements)> {
        self.ways.clone()
    }

    /// Sources by the kinds that they may have.
    pub(super) fn kinds(&self, routed: bool) -> Vec<Kind> {
        let [without, as_routed] = &self.kinds;
        if routed { as_routed.clone() } else { without.clone() }
    }

    /// Lists of rules that overlap in too many ways to be told apart: their tests are unknown.
    #[must_use]
    pub fn uncut(&self) -> Option<&'static str> {
        self.uncut
    }

    /// The points that are packets.
    #[must_use]
    pub fn possible(&self) -> Set {
        self.possible
    }

    fn packets(&mut self, elsewhere: &Elsewhere) -> Bounded<Set> {
        let tcp = self.protocol(TCP)?;
        let without_flags = self.is(Field::Flags, self.flags_label(TcpFlags(0)))?;
        let flags = self.sets.union(tcp, without_flags)?;
        // A translated connection is one of TCP with this host, and its packets are whole: tracking puts fragments together.
        let plain = self.is(Field::Original, 0)?;
        let whole = self.shape(|shape| matches!(shape, Shape::Whole | Shape::Extended))?;
        let here = self.locality(|own| own == Locality::Local)?;
        let connection = self.sets.each([tcp, whole, here])?;
        let translated = self.sets.union(plain, connection)?;
        let mut all = Set::EMPTY;
        for ipv4 in [true, false] {
            let family = self.family(ipv4)?;
            let sources = if ipv4 { (0, self.v4.count()) } else { (self.v4.count(), self.v6.count()) };
            let sources = self.sets.among(Field::Source.number(), &[span(sources)])?;
            let shape = self.shape(|shape| shape.fits(ipv4))?;
            let places = self.places(ipv4, elsewhere)?;
            let packets = self.sets.each([family, sources, shape, places, flags, translated])?;
            all = self.sets.union(all, packets)?;
        }
        Ok(all)
    }

    /// What destinations can be, for each interface. Which addresses the tables `local` and those of VRFs hold is not known
    /// here, so packets for them carry no destination, and a test of it is not certain. What is local [`Elsewhere`] is known by
    /// its addresses, and then foreign packets have addresses as well, outside of these.
    fn places(&mut self, ipv4: bool, elsewhere: &Elsewhere) -> Bounded<Set> {
        let unknown = self.is(Field::Destination, 0)?;
        let hosts = self.locality(|own| matches!(own, Locality::Local | Locality::Vrf))?;
        let own = self.sets.intersection(hosts, unknown)?;
        let foreign = self.locality(|own| own == Locality::Foreign)?;
        let Some((v4, v6)) = &self.destinations else {
            let away = self.sets.intersection(foreign, unknown)?;
            return self.sets.union(own, away);
        };
        let known = if ipv4 { (1, v4.count()) } else { (1 + v4.count(), v6.count()) };
        let known = self.sets.among(Field::Destination.number(), &[span(known)])?;
        let here = self.locality(|own| own == Locality::Elsewhere)?;
        let mut all = Set::EMPTY;
        for (number, interface) in self.interfaces.clone().into_iter().enumerate() {
            let on = self.is(Field::Interface, number as u32)?;
            let mut answered = Set::EMPTY;
            for entry in elsewhere.entries() {
                if entry.interface.is_some() && entry.interface != interface {
                    continue;
                }
                let (v4, v6) = by_family(&entry.networks);
                let list = if ipv4 { v4.map(Elements::Ipv4) } else { v6.map(Elements::Ipv6) };
                let Some(list) = list else { continue };
                // The question has cut the space by each of them.
                let own = self.destination(&list)?.ok_or(TooLarge)?;
                answered = self.sets.union(answered, own)?;
            }
            let answered = self.sets.intersection(answered, known)?;
            let others = self.sets.difference(known, answered)?;
            let (answered, others) =
                (self.sets.intersection(here, answered)?, self.sets.intersection(foreign, others)?);
            let places = self.sets.any([own, answered, others])?;
            let places = self.sets.intersection(on, places)?;
            all = self.sets.union(all, places)?;
        }
        Ok(all)
    }
}

/// The classes of some lists; where they overlap in too many ways, those of the first alone.
fn classes<'a, T: Value>(
    mut lists: Vec<List<'a, T>>,
    (first, deepest, asked): (usize, usize, Option<&[T]>),
    name: &'static str,
    uncut: &mut Option<&'static str>,
) -> Bounded<Classes<'a, T>> {
    if let Ok(classes) = Classes::new(lists.iter().cloned(), deepest, asked) {
        return Ok(classes);
    }
    *uncut = Some(name);
    lists.truncate(first);
    // The question's own and ours have to be told apart in any case.
    Classes::new(lists, DEEPEST, asked)
}

/// One value of the flags for each combination of tests that hold: SYN alone, where it is one of these, else the lowest.
fn flag_classes(tests: &[(TcpFlags, TcpFlags)]) -> Vec<TcpFlags> {
    let mut seen = BTreeSet::new();
    let holds = |flags: u8| tests.iter().map(|(mask, value)| flags & mask.0 == value.0).collect::<Vec<bool>>();
    let lowest = (0..=u8::MAX).filter(|&flags| seen.insert(holds(flags))).map(TcpFlags);
    let syn = TcpFlags::SYN;
    lowest.map(|own| if flags_alike(tests, own.0, syn.0) { syn } else { own }).collect()
}

/// Whether every test says the same of both.
fn flags_alike(tests: &[(TcpFlags, TcpFlags)], a: u8, b: u8) -> bool {
    tests.iter().all(|(mask, value)| (a & mask.0 == value.0) == (b & mask.0 == value.0))
}

fn single(label: usize) -> (u32, u32) {
    (label as u32, label as u32)
}

/// A range of labels, which has at least one.
fn span((first, count): (u32, u32)) -> (u32, u32) {
    (first, (first + count).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_few_classes() {
        let syn = (TcpFlags::SYN.with(TcpFlags::ACK), TcpFlags::SYN);
        assert_eq!(flag_classes(&[syn]).len(), 2);
        assert_eq!(flag_classes(&[]).len(), 1);
    }
}
