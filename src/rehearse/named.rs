//! What rules name: whoever opened a door by mistake opened it at something that a rule asks for, and packets have to be of that.
//!
//! Of what a rule asks for, the edges are taken. What a rule names together ([`OfRule`]) is sent together, too; what several rules say
//! one after the other (a chain for an interface, in it one for a port) is met by packets that have each by itself.
//!
//! Of a set, or of a long list in a rule, a sample is taken once, the first and the last with it, however many rules ask for it; how many
//! are left out is counted.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::frame::{ACK, FIN, PSH, SYN};
use super::sources::evenly;
use crate::ir::{
    Addresses, Chain, DeviceName, Elements, End, Foreign, Hook, Match, PortMatch, Rule, Ruleset, Set, Side, Table,
    Verdict,
};
use crate::net::{Cidr, PortRange};

/// Of one rule not more of a kind are taken.
const MOST_OF_RULE: usize = 4;
/// Of one set, or of one list in a rule, not more networks are. Fewer of all together are sent from.
const MOST_OF_LIST: usize = 1_000;

/// What all rules that packets meet on their way in name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Networks that sources are asked for.
    pub networks: Vec<Cidr>,
    /// How many networks are not among these, and of how many: those of long lists.
    pub left_out: (usize, usize),
    /// The first and the last of each range of ports.
    pub ports: BTreeSet<u16>,
    /// The same of the ports that somebody sends from.
    pub source_ports: BTreeSet<u16>,
    /// Flags that a rule asks for together, and those that no connection begins with.
    pub flags: BTreeSet<u8>,
    /// Networks of destinations.
    pub targets: BTreeSet<Cidr>,
    /// Interfaces, and patterns of their names.
    pub devices: Vec<DeviceName>,
    /// The rules that name a source and something else.
    pub rules: Vec<OfRule>,
    /// How many rules there are.
    pub count: usize,
}

/// What one rule names.
#[derive(Clone, Debug, Default)]
pub struct OfRule {
    /// Networks that sources are asked for.
    pub networks: Vec<Cidr>,
    /// Edges of ranges of ports.
    pub ports: Vec<u16>,
    /// The same of the ports that somebody sends from.
    pub source_ports: Vec<u16>,
    /// Flags.
    pub flags: Option<u8>,
    /// Networks of destinations.
    pub targets: Vec<Cidr>,
    /// Interfaces.
    pub devices: Vec<DeviceName>,
}

impl Named {
    /// What these rules name.
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut all = Self { flags: BTreeSet::from([FIN | SYN]), ..Self::default() };
        let shared = all.samples(&ruleset.sets);
        for table in &ruleset.tables {
            let mut sets = Sets { own: all.samples(&table.sets), shared: &shared, asked: BTreeSet::new() };
            for rule in on_the_way_in(table).into_iter().flat_map(|chain| &chain.rules) {
                let rule = OfRule::of(rule, &mut sets, &mut all.left_out);
                all.add(rule);
            }
            // What many rules ask for is noted once.
            for (of, name) in &sets.asked {
                let Some(sample) = sets.get(name) else { continue };
                match of {
                    Of::Ports => all.ports.extend(&sample.ports),
                    Of::SourcePorts => all.source_ports.extend(&sample.ports),
                    Of::Targets => all.targets.extend(&sample.networks),
                }
            }
        }
        // Everybody sends these.
        [SYN, PSH | ACK].iter().for_each(|usual| _ = all.flags.remove(usual));
        all
    }

    /// A sample of each of these sets, of which the networks are noted.
    fn samples<'r>(&mut self, sets: &'r [Set]) -> HashMap<&'r str, Sample> {
        let mut samples = HashMap::new();
        for set in sets {
            let sample = Sample {
                networks: sampled(&set.elements, &mut self.left_out),
                ports: ports_of(&set.elements).into_iter().collect(),
                devices: devices_of(&set.elements),
            };
            self.networks.extend(&sample.networks);
            samples.entry(set.name.as_str()).or_insert(sample);
        }
        samples
    }

    fn add(&mut self, mut rule: OfRule) {
        self.count += 1;
        self.networks.extend(&rule.networks);
        self.ports.extend(&rule.ports);
        self.source_ports.extend(&rule.source_ports);
        self.flags.extend(rule.flags);
        self.targets.extend(&rule.targets);
        for device in &rule.devices {
            if !self.devices.contains(device) {
                self.devices.push(device.clone());
            }
        }
        let more = !rule.ports.is_empty()
            || !rule.source_ports.is_empty()
            || !rule.targets.is_empty()
            || !rule.devices.is_empty()
            || rule.flags.is_some_and(|flags| flags != SYN);
        if !rule.networks.is_empty() && more {
            rule.shorten();
            self.rules.push(rule);
        }
    }
}

/// What is taken of a set.
#[derive(Debug)]
struct Sample {
    networks: Vec<Cidr>,
    ports: BTreeSet<u16>,
    devices: Vec<DeviceName>,
}

/// What a rule asks a set for, besides sources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Ports,
    SourcePorts,
    Targets,
}

/// The sets that rules of a table may ask: its own before those of ipset.
struct Sets<'s, 'r> {
    own: HashMap<&'r str, Sample>,
    shared: &'s HashMap<&'r str, Sample>,
    asked: BTreeSet<(Of, &'r str)>,
}

impl<'r> Sets<'_, 'r> {
    fn get(&self, name: &str) -> Option<&Sample> {
        self.own.get(name).or_else(|| self.shared.get(name))
    }

    /// The interfaces that it has.
    fn devices(&self, name: &str) -> Vec<DeviceName> {
        self.get(name).map(|sample| sample.devices.clone()).unwrap_or_default()
    }

    /// A few of its networks.
    fn networks(&self, name: &str) -> Vec<Cidr> {
        self.get(name).map(|sample| evenly(sample.networks.clone(), MOST_OF_RULE)).unwrap_or_default()
    }

    /// A few of its ports.
    fn ports(&mut self, of: Of, name: &'r str) -> Vec<u16> {
        self.asked.insert((of, name));
        let ports = self.get(name).map(|sample| evenly(sample.ports.iter().collect(), MOST_OF_RULE));
        ports.unwrap_or_default().into_iter().copied().collect()
    }
}

impl OfRule {
    fn of<'r>(rule: &'r Rule, sets: &mut Sets<'_, 'r>, left_out: &mut (usize, usize)) -> Self {
        let mut all = Self::default();
        for own in &rule.matches {
            all.note(own, sets, left_out);
        }
        all
    }

    fn note<'r>(&mut self, own: &'r Match, sets: &mut Sets<'_, 'r>, left_out: &mut (usize, usize)) {
        let mut ports = |of, asked: &'r PortMatch| match asked {
            PortMatch::Ports(list) => edges(list.ranges()),
            PortMatch::Set(name) => sets.ports(of, name),
        };
        match own {
            Match::InInterface { names, .. } => self.devices.extend(names.iter().cloned().map(DeviceName::Is)),
            Match::Source { addresses: Addresses::These(elements), .. } => {
                self.networks.extend(sampled(elements, left_out));
            }
            Match::Source { addresses: Addresses::Set(name), .. } => self.networks.extend(sets.networks(name)),
            Match::Destination { addresses: Addresses::These(elements), .. } => {
                // Of these it is counted where they become addresses of the host.
                self.targets.extend(sampled(elements, &mut (0, 0)));
            }
            Match::Destination { addresses: Addresses::Set(name), .. } => {
                sets.asked.insert((Of::Targets, name));
                self.targets.extend(sets.networks(name));
            }
            Match::DestinationPort { ports: asked, .. } | Match::OriginalPort(asked) => {
                self.ports.extend(ports(Of::Ports, asked));
            }
            Match::PortBlock(block) => self.ports.extend([block.first, block.last()]),
            // What is asked bit by bit is asked for together.
            Match::FlagBit { flag, set } => {
                let bit = if *set { flag.0 } else { 0 };
                self.flags = Some(self.flags.unwrap_or(0) | bit);
            }
            Match::TcpFlags { value, .. } => self.flags = Some(self.flags.unwrap_or(0) | value.0),
            Match::Foreign(foreign) => match foreign {
                Foreign::Device { side: Side::In, names, .. } | Foreign::Hung(names) => {
                    self.devices.extend(names.iter().cloned());
                }
                Foreign::PartOfVrf { name, .. } => self.devices.push(name.clone()),
                Foreign::SourcePort { ports: asked, .. } => {
                    self.source_ports.extend(ports(Of::SourcePorts, asked));
                }
                Foreign::Endpoint { set: name, ends, .. } => {
                    self.networks.extend(sets.networks(name));
                    self.devices.extend(sets.devices(name));
                    self.ports.extend(sets.ports(Of::Ports, name));
                    if ends.contains(&End::Source) {
                        self.source_ports.extend(sets.ports(Of::SourcePorts, name));
                    }
                    if ends.contains(&End::Destination) {
                        sets.asked.insert((Of::Targets, name));
                        self.targets.extend(sets.networks(name));
                    }
                }
                Foreign::Device { side: Side::Out, .. }
                | Foreign::Mark { .. }
                | Foreign::Translated { .. }
                | Foreign::Direction { .. }
                | Foreign::ExtensionHeader(_)
                | Foreign::DestinationType { .. }
                | Foreign::SourceType { .. }
                | Foreign::LaterFragment { .. }
                | Foreign::WayBack { .. }
                | Foreign::Group { .. }
                | Foreign::Varies { .. } => {}
            },
            Match::Family(_)
            | Match::Protocol { .. }
            | Match::ConnectionState { .. }
            | Match::DestinationTranslated
            | Match::DestinationLocal
            | Match::DestinationOfInterface
            | Match::PacketType { .. }
            | Match::NotDirectlyTcp
            | Match::PerhapsDirectlyTcp
            | Match::FirstFragment
            | Match::Limit { .. }
            | Match::Unknown(_) => {}
        }
    }

    /// Leaves the first and the last, where there are many.
    fn shorten(&mut self) {
        fn few<T>(list: &mut Vec<T>) {
            *list = evenly(std::mem::take(list), MOST_OF_RULE);
        }
        few(&mut self.networks);
        few(&mut self.ports);
        few(&mut self.source_ports);
        few(&mut self.targets);
    }
}

/// The chains that packets for this host meet; those of which it is not known who comes to them are among them.
fn on_the_way_in(table: &Table) -> Vec<&Chain> {
    let comes_in = |hook: Hook| match hook {
        Hook::Ingress | Hook::Prerouting | Hook::Input => true,
        Hook::Forward | Hook::Output | Hook::Postrouting | Hook::Egress => false,
    };
    let reached = |wanted: bool| -> HashSet<&str> {
        let bases = table.chains.iter().filter(|chain| chain.base.is_some_and(|base| comes_in(base.hook) == wanted));
        let mut next: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
        let mut found: HashSet<&str> = HashSet::new();
        while let Some(name) = next.pop() {
            if !found.insert(name) {
                continue;
            }
            let rules = table.chains.iter().filter(|chain| chain.name == name).flat_map(|chain| &chain.rules);
            next.extend(rules.filter_map(|rule| match &rule.verdict {
                Some(Verdict::Jump(to) | Verdict::Goto(to)) => Some(to.as_str()),
                Some(Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Return | Verdict::Unknown(_))
                | None => None,
            }));
        }
        found
    };
    let (inwards, others) = (reached(true), reached(false));
    let is_in = |chain: &&Chain| inwards.contains(chain.name.as_str()) || !others.contains(chain.name.as_str());
    table.chains.iter().filter(is_in).collect()
}

fn edges(ranges: &[PortRange]) -> Vec<u16> {
    let mut all: Vec<u16> = ranges.iter().flat_map(|range| [range.first(), range.last()]).collect();
    all.dedup();
    all
}

fn ports_of(elements: &Elements) -> Vec<u16> {
    match elements.lasting().0 {
        Elements::Ports(list) => edges(list),
        Elements::Endpoints(list) => list.ports().collect(),
        Elements::Ipv4(_) | Elements::Ipv6(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            Vec::new()
        }
    }
}

fn devices_of(elements: &Elements) -> Vec<DeviceName> {
    match elements.lasting().0 {
        Elements::Endpoints(list) => list.rows.iter().filter_map(|row| row.interface.clone()).collect(),
        _ => Vec::new(),
    }
}

/// The networks of a list, or of a long one some, the first and the last with them. How many are left out of how many is added.
fn sampled(elements: &Elements, left_out: &mut (usize, usize)) -> Vec<Cidr> {
    let all = networks(elements);
    let count = all.len();
    let some = evenly(all, MOST_OF_LIST);
    if some.len() < count {
        *left_out = (left_out.0 + count - some.len(), left_out.1 + count);
    }
    some
}

fn networks(elements: &Elements) -> Vec<Cidr> {
    match elements.lasting().0 {
        Elements::Endpoints(list) => list.addresses().flat_map(Elements::networks).collect(),
        other @ (Elements::Ipv4(_)
        | Elements::Ipv6(_)
        | Elements::Dual(..)
        | Elements::Ports(_)
        | Elements::Passing(_)
        | Elements::Unknown) => other.networks(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::nft;

    fn of(rules: &str) -> Named {
        let text = format!(
            "table inet t {{\nset web {{\ntype inet_service\nflags interval\nelements = {{ 700-799 }}\n}}\nchain inner {{\n\
             tcp dport 1234 accept\n}}\nchain i {{\ntype filter hook input priority 0;\n{rules}\n}}\nchain o {{\n\
             type filter hook output priority 0;\nip daddr 10.9.9.9 tcp dport 5555 accept\njump out\n}}\nchain out {{\n\
             tcp dport 6666 accept\n}}\n}}\n"
        );
        Named::of(&nft::read(&text).unwrap().ruleset)
    }

    /// However many rules ask for a set, it is held once, and of a long one a sample with its edges.
    #[test]
    fn of_a_long_set_a_sample_is_held_once() {
        let elements: Vec<String> =
            (0..100_000_u32).map(|at| std::net::Ipv4Addr::from_bits(0x0a00_0000 + 2 * at).to_string()).collect();
        let rules: String = (0..200)
            .map(|at| format!("ip saddr @long tcp dport {} accept\nip daddr @long tcp sport @web accept\n", 1000 + at))
            .collect();
        let text = format!(
            "table inet t {{\nset web {{\ntype inet_service\nflags interval\nelements = {{ 700-799 }}\n}}\nset long {{\n\
             type ipv4_addr\nelements = {{ {} }}\n}}\nchain i {{\ntype filter hook input priority 0;\n{rules}}}\n}}\n",
            elements.join(", ")
        );
        let named = Named::of(&nft::read(&text).unwrap().ruleset);
        assert_eq!((named.networks.len(), named.left_out), (MOST_OF_LIST + 200 * MOST_OF_RULE, (99_000, 100_000)));
        let has = |address: &str| named.networks.contains(&address.parse().unwrap());
        assert!(has("10.0.0.0/32") && has("10.3.13.62/32"), "the edges of the set");
        assert_eq!((named.targets.len(), named.ports.len()), (MOST_OF_LIST, 200));
        assert_eq!(named.source_ports, BTreeSet::from([700, 799]));
        assert!(named.rules.iter().all(|rule| rule.networks.len() == MOST_OF_RULE));
    }

    #[test]
    fn what_rules_name_is_found() {
        let ports = |rules: &str| of(rules).ports.into_iter().collect::<Vec<u16>>();
        assert_eq!(ports("jump inner"), [1234]);
        assert_eq!(ports("tcp dport 100-200 accept"), [100, 200, 1234]);
        assert_eq!(ports("tcp dport @web accept"), [700, 799, 1234]);
        assert_eq!(of("tcp sport 53 accept").source_ports, BTreeSet::from([53]));
        assert_eq!(of("").flags, BTreeSet::from([FIN | SYN]));
        let flags = of("tcp flags & (fin | syn | rst | ack) == rst | ack accept").flags;
        assert_eq!(flags, BTreeSet::from([FIN | SYN, 0x14]));
        let names = |rules: &str| of(rules).devices.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("iifname \"ens*\" accept"), ["ens*"]);
        assert_eq!(names("iifname { \"ens1\", \"ens2\" } accept"), ["ens1", "ens2"]);
        // What is sent from here is no packet that comes.
        assert!(of("").targets.is_empty());
        assert_eq!(of("ip daddr 10.0.0.9 accept").targets.len(), 1);
        let both = of("ip saddr 10.1.0.0/16 tcp dport { 80, 90-99 } accept").rules;
        assert_eq!(both.first().map(|rule| (rule.networks.len(), rule.ports.len())), Some((1, 3)), "{both:?}");
    }
}
