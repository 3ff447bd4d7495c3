//! What rules and questions say about each field: the lists by which its values are cut into classes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::super::classes::List;
use super::super::evaluate::asks_for_states;
use super::super::journey::Home;
use super::super::kinds::Kind;
use super::super::packet::TCP;
use super::super::reach::{met, met_leaving};
use super::Question;
use crate::ir::{
    Addresses, Destined, DeviceName, Elements, End, Foreign, Match, Part, PortMatch, Rule, Ruleset, Statement,
    TcpFlags, Translation, ours,
};
use crate::net::{Cidr, Hosts, Interface, PortRange, Surroundings, Way};

/// What the rules and the question say about each field.
#[derive(Default)]
pub(super) struct Cuts<'a> {
    pub(super) v4: Vec<List<'a, u32>>,
    pub(super) v6: Vec<List<'a, u128>>,
    pub(super) ports: Vec<List<'a, u16>>,
    pub(super) to_v4: Vec<List<'a, u32>>,
    pub(super) to_v6: Vec<List<'a, u128>>,
    pub(super) interfaces: BTreeSet<Interface>,
    /// What names of interfaces begin with.
    pub(super) beginnings: BTreeSet<&'a str>,
    pub(super) protocols: BTreeSet<u8>,
    pub(super) flags: Vec<(TcpFlags, TcpFlags)>,
    pub(super) stateful: bool,
    /// Addresses that rules lead to, so far.
    pub(super) led_to: usize,
    pub(super) translates: bool,
    /// Whether rules tell kinds of sources apart.
    pub(super) by_kind: bool,
    /// Whether they tell groups of interfaces apart.
    by_group: bool,
    /// How many of the lists, in their order above, are the question's and those of our own rules, which come first.
    pub(super) first: [usize; 5],
    /// The destinations that are asked about, of IPv4 and of IPv6; all, where that is not said.
    pub(super) asked: Option<(Vec<u32>, Vec<u128>)>,
}

impl<'a> Cuts<'a> {
    pub(super) fn of(rulesets: &[&'a Ruleset], question: &'a Question<'a>, ways: &[(Owed, Elements)]) -> Self {
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
        if let Some(groups) = question.surroundings.groups.as_ref().filter(|_| cuts.by_group) {
            // The one that stands on no other, whatever else is known.
            cuts.interfaces.insert(Interface::loopback());
            cuts.interfaces.extend(groups.iter().map(|(name, _)| name.clone()));
        }
        // What another table than `local` answers for is not asked about one by one.
        if let Some(home) = question.home.as_ref().filter(|_| question.elsewhere.entries().is_empty()) {
            cuts.asked = Some(asked(rulesets, home));
        }
        // What a rule names by the beginning of its name alone may be one of these.
        if let Some(home) = question.home.as_ref().filter(|_| redirects(rulesets)) {
            cuts.interfaces.extend(home.unnumbered.iter().map(|(name, _)| name.clone()));
        }
        cuts
    }

    fn list(&mut self, list: &'a Elements) {
        match list {
            Elements::Ipv4(list) => self.v4.push(Cow::Borrowed(list)),
            Elements::Ipv6(list) => self.v6.push(Cow::Borrowed(list)),
            Elements::Ports(list) => self.ports.push(pairs(list)),
            Elements::Dual(v4, v6) => {
                self.v4.push(Cow::Borrowed(v4));
                self.v6.push(Cow::Borrowed(v6));
            }
            Elements::Passing(these) => self.list(these),
            Elements::Endpoints(_) | Elements::Unknown => {}
        }
    }

    fn destinations(&mut self, list: &'a Elements) {
        match list {
            Elements::Ipv4(list) => self.to_v4.push(Cow::Borrowed(list)),
            Elements::Ipv6(list) => self.to_v6.push(Cow::Borrowed(list)),
            Elements::Dual(v4, v6) => {
                self.to_v4.push(Cow::Borrowed(v4));
                self.to_v6.push(Cow::Borrowed(v6));
            }
            Elements::Passing(these) => self.destinations(these),
            // A set of ipset may be one of ports.
            Elements::Ports(list) => self.ports.push(pairs(list)),
            Elements::Endpoints(_) | Elements::Unknown => {}
        }
    }

    /// A set that is asked with these ends; of what leaves, the source is this host's.
    fn endpoint(&mut self, list: &'a Elements, ends: &[End], leaving: bool) {
        let address = |cuts: &mut Self, list: &'a Elements, end: End| match (end == End::Source) != leaving {
            true => cuts.list(list),
            false => cuts.destinations(list),
        };
        let Elements::Endpoints(endpoints) = list.lasting().0 else {
            return ends.first().into_iter().for_each(|end| address(self, list, *end));
        };
        for row in &endpoints.rows {
            let mut addresses = row.addresses.iter();
            for (part, end) in endpoints.parts.iter().zip(ends) {
                match part {
                    Part::Address => addresses.next().into_iter().for_each(|own| address(self, own, *end)),
                    Part::Port => self.ports.extend(row.port.map(|port| Cow::Owned(vec![(port, port)]))),
                    Part::Interface => self.devices(row.interface.as_slice()),
                    Part::Mac | Part::Mark => {}
                }
            }
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
            self.copied(list);
        }
    }

    fn copied(&mut self, list: &Elements) {
        match list {
            Elements::Ipv4(list) => self.v4.push(Cow::Owned(list.clone())),
            Elements::Ipv6(list) => self.v6.push(Cow::Owned(list.clone())),
            Elements::Ports(_)
            | Elements::Endpoints(_)
            | Elements::Dual(..)
            | Elements::Passing(_)
            | Elements::Unknown => {}
        }
    }

    /// Kinds of sources, where rules ask for them.
    pub(super) fn kinds<'k>(&mut self, kinds: impl IntoIterator<Item = &'k Kind>) {
        kinds.into_iter().for_each(|(_, list)| self.copied(list));
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
        // The one that stands on no other, whatever else is known.
        self.interfaces.insert(Interface::loopback());
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
            Match::Foreign(Foreign::Endpoint { set: name, ends, .. }) => {
                set(name).into_iter().for_each(|list| self.endpoint(list, ends, true));
            }
            other => self.test(other, set),
        }
    }

    /// For each beginning of names an interface that nothing names: it fits what every other such one fits.
    pub(super) fn beginning_so(&self) -> Vec<(String, Interface)> {
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
            Match::InInterface { names, .. } => {
                self.interfaces.insert(Interface::loopback());
                self.interfaces.extend(names.iter().cloned());
            }
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
            Match::Foreign(Foreign::Endpoint { set: name, ends, .. }) => {
                set(name).into_iter().for_each(|list| self.endpoint(list, ends, false));
            }
            Match::Foreign(Foreign::SourceType { .. }) => self.by_kind = true,
            Match::Foreign(Foreign::Group { .. }) => self.by_group = true,
            Match::Foreign(Foreign::Device { names, .. } | Foreign::Hung(names)) => self.devices(names),
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
                | Foreign::LaterFragment { .. }
                | Foreign::WayBack { .. }
                | Foreign::PartOfVrf { .. }
                | Foreign::Varies { .. },
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

/// Whether rules lead packets to the interface that they come in on.
fn redirects(rulesets: &[&Ruleset]) -> bool {
    let chains = rulesets.iter().flat_map(|ruleset| &ruleset.tables).flat_map(|table| &table.chains);
    let mut statements = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    statements.any(|statement| matches!(statement, Statement::Translate(Translation::Redirect, _)))
}

/// The addresses that are asked about, ascending: this host's, and those that rules lead to and that may be.
fn asked(rulesets: &[&Ruleset], home: &Home) -> (Vec<u32>, Vec<u128>) {
    let chains = rulesets.iter().flat_map(|ruleset| &ruleset.tables).flat_map(|table| &table.chains);
    let statements = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    let led = statements.filter_map(|statement| match statement {
        Statement::Translate(_, Destined::To { addresses: Some((first, last)), .. }) => {
            (first == last && home.may_have(*first)).then_some(*first)
        }
        _ => None,
    });
    // Those of this host are those of all nodes where it is not said which one it is.
    let all: Hosts = home.addresses.iter().copied().chain(led).collect();
    (all.v4().to_vec(), all.v6().to_vec())
}

/// [`Way`], kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Owed {
    By(Interface),
    Nowhere,
    Unknown,
}

impl Owed {
    pub(in super::super) fn way(&self) -> Way<'_> {
        match self {
            Self::By(interface) => Way::By(interface),
            Self::Nowhere => Way::Nowhere,
            Self::Unknown => Way::Unknown,
        }
    }
}

/// All sources by the way back to them.
pub(super) fn ways(surroundings: &Surroundings) -> Vec<(Owed, Elements)> {
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

/// The same as pairs of numbers.
pub(in super::super) fn pairs(ranges: &[PortRange]) -> List<'static, u16> {
    ranges.iter().map(|range| (range.first(), range.last())).collect()
}

pub(super) type Ranges<T> = Option<Vec<(T, T)>>;

/// The networks of each family, where there are any.
pub(super) fn by_family(networks: &[Cidr]) -> (Ranges<u32>, Ranges<u128>) {
    let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.iter().partition(|network| network.is_ipv4());
    let v4 = if let Elements::Ipv4(list) = Elements::of_networks(&v4) { Some(list) } else { None };
    let v6 = if let Elements::Ipv6(list) = Elements::of_networks(&v6) { Some(list) } else { None };
    (v4, v6)
}
