//! All packets, cut into classes that the rules in question cannot tell apart, and sets of them.
//!
//! Every test of a rule looks at a few fields of a packet. The values of a field fall into classes by which lists they are in,
//! so a packet is one label in each field, and what rules let pass is a [`Set`] of such points. Not every point is a packet:
//! other protocols than TCP have no flags, IPv4 has no extension headers. Sets may hold such points; whoever asks for a packet
//! of a set asks among the possible ones.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

mod packets;
mod sets;

use super::classes::{Classes, DEEPEST, List, Value};
use super::diagram::{Bounded, Diagrams, Limits, Set, TooLarge};
use super::evaluate::asks_for_states;
use super::field::Field;
use super::packet::{Locality, Shape, TCP};
use super::reach::{met, met_leaving};
use crate::ir::{
    Addresses, ConnectionStates, Destined, DeviceName, Elements, Foreign, Match, PortMatch, Rule, Ruleset, Statement,
    TcpFlags, ours,
};
use crate::net::{Cidr, Elsewhere, Interface, PortRange, Surroundings, Way};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// What one question may cost: some seconds, and some 300 MB. Source: `benches/ways.rs`.
const LIMITS: Limits = Limits { steps: 400_000_000, runs: 10_000_000 };

/// What, besides the rules, tells packets apart: whatever a question about them mentions.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Lists of addresses.
    pub sources: Vec<Elements>,
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
    /// All sets over these labels.
    pub sets: Diagrams,
    possible: Set,
}

/// What the rules and the question say about each field.
#[derive(Default)]
struct Cuts<'a> {
    v4: Vec<List<'a, u32>>,
    v6: Vec<List<'a, u128>>,
    ports: Vec<List<'a, u16>>,
    to_v4: Vec<List<'a, u32>>,
    to_v6: Vec<List<'a, u128>>,
    interfaces: BTreeSet<Interface>,
    /// What names of interfaces begin with.
    beginnings: BTreeSet<&'a str>,
    protocols: BTreeSet<u8>,
    flags: Vec<(TcpFlags, TcpFlags)>,
    stateful: bool,
    /// Addresses that rules lead to, so far.
    led_to: usize,
    translates: bool,
    /// How many of the lists, in their order above, are the question's and those of our own rules, which come first.
    first: [usize; 5],
}

impl<'a> Cuts<'a> {
    fn of(rulesets: &[&'a Ruleset], question: &'a Question, ways: &[(Owed, Elements)]) -> Self {
        let mut cuts = Self {
            interfaces: question.interfaces.iter().cloned().collect(),
            protocols: BTreeSet::from([TCP]),
            flags: question.flags.clone(),
            translates: question.translates,
            ..Self::default()
        };
        question.sources.iter().for_each(|list| cuts.list(list));
        cuts.ways(ways);
        question.ports.iter().for_each(|list| cuts.ports.push(pairs(list)));
        for entry in question.elsewhere.entries() {
            cuts.interfaces.extend(entry.interface.clone());
            let (v4, v6) = by_family(&entry.networks);
            cuts.to_v4.extend(v4.map(Cow::Owned));
            cuts.to_v6.extend(v6.map(Cow::Owned));
        }
        // Whether an honest peer sends a packet is asked by its state, wherever in the ruleset states are asked for.
        cuts.stateful = rulesets.iter().any(|ruleset| asks_for_states(ruleset));
        // Where not all lists can be told apart, our own rules still are.
        for ours in [true, false] {
            for ruleset in rulesets {
                for table in ruleset.tables.iter().filter(|table| ours::has_part(table) == ours) {
                    let set = |name: &str| Some(&ruleset.set(table, name)?.elements);
                    met(table).into_iter().flat_map(|rule| &rule.matches).for_each(|one| cuts.test(one, set));
                    if question.leaving {
                        table.chains.iter().flat_map(|chain| &chain.rules).for_each(|rule| cuts.led(rule));
                        for rule in met_leaving(table) {
                            rule.matches.iter().for_each(|one| cuts.leaving(one, set));
                            cuts.peers(rule);
                        }
                    }
                }
            }
            if ours {
                cuts.first = [cuts.v4.len(), cuts.v6.len(), cuts.ports.len(), cuts.to_v4.len(), cuts.to_v6.len()];
            }
        }
        cuts
    }

    fn list(&mut self, list: &'a Elements) {
        match list {
            Elements::Ipv4(list) => self.v4.push(Cow::Borrowed(list)),
            Elements::Ipv6(list) => self.v6.push(Cow::Borrowed(list)),
            Elements::Ports(list) => self.ports.push(pairs(list)),
            Elements::Unknown => {}
        }
    }

    fn destinations(&mut self, list: &'a Elements) {
        match list {
            Elements::Ipv4(list) => self.to_v4.push(Cow::Borrowed(list)),
            Elements::Ipv6(list) => self.to_v6.push(Cow::Borrowed(list)),
            Elements::Ports(_) | Elements::Unknown => {}
        }
    }

    /// Where a rule leads packets to.
    fn led(&mut self, rule: &Rule) {
        for statement in &rule.statements {
            let Statement::Translate(_, Destined::To { addresses, ports }) = statement else { continue };
            match addresses {
                Some((IpAddr::V4(first), IpAddr::V4(last))) => {
                    self.to_v4.push(Cow::Owned(vec![(first.to_bits(), last.to_bits())]));
                }
                Some((IpAddr::V6(first), IpAddr::V6(last))) => {
                    self.to_v6.push(Cow::Owned(vec![(first.to_bits(), last.to_bits())]));
                }
                _ => {}
            }
            if let Some(ports) = ports {
                self.ports.push(Cow::Owned(vec![*ports]));
            }
        }
    }

    /// The ways back, which only tests of them tell apart.
    fn ways(&mut self, ways: &[(Owed, Elements)]) {
        for (owed, list) in ways {
            if let Owed::By(interface) = owed {
                self.interfaces.insert(interface.clone());
            }
            match list {
                Elements::Ipv4(list) => self.v4.push(Cow::Owned(list.clone())),
                Elements::Ipv6(list) => self.v6.push(Cow::Owned(list.clone())),
                Elements::Ports(_) | Elements::Unknown => {}
            }
        }
    }

    /// What this host asks may be led to a peer. Of very many addresses each is not told apart: see [`Space::sources_like`].
    fn peers(&mut self, rule: &Rule) {
        const MOST: usize = 1_000;
        for statement in &rule.statements {
            let Statement::Translate(_, Destined::To { addresses: Some(ends), .. }) = statement else { continue };
            if self.led_to >= MOST {
                return;
            }
            self.led_to += 1;
            match ends {
                (IpAddr::V4(a), IpAddr::V4(b)) if a == b => self.v4.push(Cow::Owned(vec![(a.to_bits(), b.to_bits())])),
                (IpAddr::V6(a), IpAddr::V6(b)) if a == b => self.v6.push(Cow::Owned(vec![(a.to_bits(), b.to_bits())])),
                _ => {}
            }
        }
    }

    fn devices(&mut self, names: &'a [DeviceName]) {
        for name in names {
            match name {
                DeviceName::Is(own) => _ = self.interfaces.insert(own.clone()),
                // It begins every name, or is a whole one.
                DeviceName::Begins(text) if text.is_empty() => {}
                DeviceName::Begins(text) if text.len() >= Interface::LONGEST => {
                    self.interfaces.extend(text.parse().ok())
                }
                DeviceName::Begins(text) => _ = self.beginnings.insert(text),
            }
        }
    }

    /// A test of a rule that what leaves meets: there, the other host is the destination.
    fn leaving(&mut self, one: &'a Match, set: impl Fn(&str) -> Option<&'a Elements>) {
        match one {
            Match::Source { addresses, .. } => match addresses {
                Addresses::These(list) => self.destinations(list),
                Addresses::Set(name) => set(name).into_iter().for_each(|list| self.destinations(list)),
            },
            Match::Destination { addresses, .. } => match addresses {
                Addresses::These(list) => self.list(list),
                Addresses::Set(name) => set(name).into_iter().for_each(|list| self.list(list)),
            },
            other => self.test(other, set),
        }
    }

    /// For each beginning of names an interface that nothing names: it fits what every other such one fits.
    fn beginning_so(&self) -> Vec<(String, Interface)> {
        let mut all: Vec<(String, Interface)> = Vec::new();
        for beginning in &self.beginnings {
            let longer = |name: &str| {
                self.beginnings.iter().any(|other| other.len() > beginning.len() && name.starts_with(*other))
            };
            let last = || ('0'..='9').chain('a'..='z').chain('A'..='Z');
            let names = last().map(|last| format!("{beginning}{last}"));
            let names = names.chain(last().map(|last| format!("{beginning}0{last}")));
            let mut free = names.filter(|name| !longer(name)).filter_map(|name| name.parse::<Interface>().ok());
            let chosen = free.find(|name| !self.interfaces.contains(name));
            all.extend(chosen.map(|name| ((*beginning).to_owned(), name)));
        }
        all
    }

    fn test(&mut self, one: &'a Match, set: impl Fn(&str) -> Option<&'a Elements>) {
        match one {
            Match::InInterface { names, .. } => self.interfaces.extend(names.iter().cloned()),
            Match::Source { addresses: Addresses::These(list), .. } => self.list(list),
            Match::Destination { addresses: Addresses::These(list), .. } => self.destinations(list),
            Match::Destination { addresses: Addresses::Set(name), .. } => {
                set(name).into_iter().for_each(|list| self.destinations(list));
            }
            Match::Source { addresses: Addresses::Set(name), .. }
            | Match::DestinationPort { ports: PortMatch::Set(name), .. } => {
                set(name).into_iter().for_each(|list| self.list(list));
            }
            Match::DestinationPort { ports: PortMatch::Ports(list), .. } => self.ports.push(pairs(list.ranges())),
            Match::PortBlock(block) => self.ports.push(Cow::Owned(vec![(block.first, block.last())])),
            Match::Protocol { number, .. } => _ = self.protocols.insert(*number),
            Match::TcpFlags { mask, value } => self.flags.push((*mask, *value)),
            Match::FlagBit { flag, .. } => self.flags.push((*flag, *flag)),
            Match::DestinationTranslated | Match::Foreign(Foreign::Translated { .. }) => self.translates = true,
            Match::OriginalPort(PortMatch::Set(name)) => {
                self.translates = true;
                set(name).into_iter().for_each(|list| self.list(list));
            }
            Match::OriginalPort(PortMatch::Ports(list)) => {
                self.translates = true;
                self.ports.push(pairs(list.ranges()));
            }
            Match::Foreign(Foreign::Device { names, .. }) => self.devices(names),
            Match::Foreign(Foreign::SourcePort { ports: PortMatch::Ports(list), .. }) => {
                self.ports.push(pairs(list.ranges()))
            }
            Match::Foreign(Foreign::SourcePort { ports: PortMatch::Set(name), .. }) => {
                set(name).into_iter().for_each(|list| self.list(list));
            }
            // These cut no field further than it is.
            Match::Foreign(
                Foreign::Mark { .. }
                | Foreign::Direction { .. }
                | Foreign::ExtensionHeader(_)
                | Foreign::DestinationType { .. }
                | Foreign::WayBack { .. },
            )
            | Match::Family(_)
            | Match::DestinationLocal
            | Match::DestinationOfInterface
            | Match::PacketType { .. }
            | Match::ConnectionState { .. }
            | Match::NotDirectlyTcp
            | Match::PerhapsDirectlyTcp
            | Match::FirstFragment
            | Match::Limit { .. }
            | Match::Unknown(_) => {}
        }
    }
}

impl<'a> Space<'a> {
    /// Cuts the space so that neither these rulesets nor the question can tell packets of one class apart.
    ///
    /// # Errors
    /// Where more lists overlap than can be told apart.
    pub fn new(rulesets: &[&'a Ruleset], question: &'a Question) -> Bounded<Self> {
        Self::limited(rulesets, question, LIMITS, DEEPEST)
    }

    /// The same, where less may be done, and where so many of the rules' lists may overlap.
    ///
    /// # Errors
    /// Where a limit is met that leaves nothing to say.
    pub fn limited(rulesets: &[&'a Ruleset], question: &'a Question, limits: Limits, deepest: usize) -> Bounded<Self> {
        let ways = ways(&question.surroundings);
        let cuts = Cuts::of(rulesets, question, &ways);
        let beginnings = cuts.beginning_so();
        let mut names = cuts.interfaces.clone();
        names.extend(beginnings.iter().map(|(_, name)| name.clone()));
        let mut uncut = None;
        let [first_v4, first_v6, first_ports, first_to_v4, first_to_v6] = cuts.first;
        let v4 = classes(cuts.v4, (first_v4, deepest), "lists of IPv4 sources", &mut uncut)?;
        let v6 = classes(cuts.v6, (first_v6, deepest), "lists of IPv6 sources", &mut uncut)?;
        let ports = classes(cuts.ports, (first_ports, deepest), "lists of ports", &mut uncut)?;
        let addressed = !(cuts.to_v4.is_empty() && cuts.to_v6.is_empty());
        let to_v4 = classes(cuts.to_v4, (first_to_v4, deepest), "lists of IPv4 destinations", &mut uncut)?;
        let to_v6 = classes(cuts.to_v6, (first_to_v6, deepest), "lists of IPv6 destinations", &mut uncut)?;
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
            sets: Diagrams::new(sizes, limits),
            possible: Set::EMPTY,
        };
        space.possible = space.packets(&question.elsewhere)?;
        space.named = space.named(question);
        Ok(space)
    }

    fn named(&self, question: &Question) -> Vec<(u32, u32)> {
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

/// [`Way`], kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owed {
    By(Interface),
    Nowhere,
    Unknown,
}

impl Owed {
    pub(super) fn way(&self) -> Way<'_> {
        match self {
            Self::By(interface) => Way::By(interface),
            Self::Nowhere => Way::Nowhere,
            Self::Unknown => Way::Unknown,
        }
    }
}

/// All sources by the way back to them.
fn ways(surroundings: &Surroundings) -> Vec<(Owed, Elements)> {
    if !surroundings.is_known() {
        return Vec::new();
    }
    let mut v4: IndexMap<Owed, Vec<(u32, u32)>, FxBuildHasher> = IndexMap::default();
    let mut v6: IndexMap<Owed, Vec<(u128, u128)>, FxBuildHasher> = IndexMap::default();
    for (first, last, way) in [true, false].into_iter().flat_map(|ipv4| surroundings.regions(ipv4)) {
        let owed = match way {
            Way::By(interface) => Owed::By(interface.clone()),
            Way::Nowhere => Owed::Nowhere,
            Way::Unknown => Owed::Unknown,
        };
        match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => v4.entry(owed).or_default().push((a.to_bits(), b.to_bits())),
            (IpAddr::V6(a), IpAddr::V6(b)) => v6.entry(owed).or_default().push((a.to_bits(), b.to_bits())),
            _ => {}
        }
    }
    let v4 = v4.into_iter().map(|(owed, list)| (owed, Elements::ipv4(list)));
    v4.chain(v6.into_iter().map(|(owed, list)| (owed, Elements::ipv6(list)))).collect()
}

/// The classes of some lists; where they overlap in too many ways, those of the first alone.
fn classes<'a, T: Value>(
    mut lists: Vec<List<'a, T>>,
    (first, deepest): (usize, usize),
    name: &'static str,
    uncut: &mut Option<&'static str>,
) -> Bounded<Classes<'a, T>> {
    if let Ok(classes) = Classes::new(lists.iter().cloned(), deepest) {
        return Ok(classes);
    }
    *uncut = Some(name);
    lists.truncate(first);
    // The question's own and ours have to be told apart in any case.
    Classes::new(lists, DEEPEST)
}

/// The same as pairs of numbers.
pub(super) fn pairs(ranges: &[PortRange]) -> List<'static, u16> {
    ranges.iter().map(|range| (range.first(), range.last())).collect()
}

type Ranges<T> = Option<Vec<(T, T)>>;

/// The networks of each family, where there are any.
fn by_family(networks: &[Cidr]) -> (Ranges<u32>, Ranges<u128>) {
    let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.iter().partition(|network| network.is_ipv4());
    let v4 = if let Elements::Ipv4(list) = Elements::of_networks(&v4) { Some(list) } else { None };
    let v6 = if let Elements::Ipv6(list) = Elements::of_networks(&v6) { Some(list) } else { None };
    (v4, v6)
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
