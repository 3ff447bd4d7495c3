//! What a rule can look at, and what a comparison of it means in the IR.
//!
//! A comparison becomes alternatives: lists of matches of which at most one list holds, as whole. Most have one list;
//! "TCP or UDP" has two. A rule with alternatives becomes as many rules, one after the other.

use super::lexer::Token;
use super::names;
use super::tables::RawTable;
use super::values::{Key, Values, complement, disjoint, port_match};
use super::words::Words;
use crate::ir::{Addresses, ConnectionStates, Family, Match, PortBlock, PortMatch};
use crate::net::Interface;

/// Lists of matches of which at most one holds as a whole.
pub type Alternatives = Vec<Vec<Match>>;

/// More alternatives than these are no help to anybody who reads the rules.
const MOST_BLOCKS: usize = 32;

/// Nor are more elements of a named set in the place of its name.
const MOST_NAMED: usize = 256;

/// The number of TCP (IANA).
pub const TCP: u8 = 6;

/// Something of a packet that a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `ip saddr`, `ip6 saddr`.
    Source(Family),
    /// `ip daddr`, `ip6 daddr`.
    Destination(Family),
    /// `tcp dport`.
    TcpPort,
    /// `th dport`, or the destination port of this protocol.
    Port(Option<u8>),
    /// `iif`, which goes by number, or `iifname`.
    Interface {
        /// Whether it goes by number.
        by_index: bool,
    },
    /// `meta l4proto`.
    Protocol,
    /// `ip protocol`.
    IpProtocol,
    /// `ip6 nexthdr`.
    NextHeader,
    /// `meta nfproto`.
    NetfilterFamily,
    /// `meta protocol`.
    EtherType,
    /// `ct state`.
    State,
    /// `fib daddr type`.
    DestinationType,
    /// `fib daddr . iif type`.
    DestinationTypeOfInterface,
    /// `frag frag-off`.
    FragmentOffset,
}

/// What it is compared with.
#[derive(Clone, Debug)]
pub enum Right<'r, 'a> {
    /// One value, a range perhaps.
    One(&'r [Token<'a>]),
    /// Values between commas without brackets.
    List(Vec<&'r [Token<'a>]>),
    /// Values between brackets.
    Set(Vec<&'r [Token<'a>]>),
    /// A set with this name.
    Named(&'a str),
    /// Ports from the first to the last.
    Ports(u16, u16),
}

impl<'r, 'a> Right<'r, 'a> {
    fn values(&self) -> Option<&[&'r [Token<'a>]]> {
        match self {
            Self::One(value) => Some(std::slice::from_ref(value)),
            Self::Set(values) => Some(values),
            Self::List(_) | Self::Named(_) | Self::Ports(..) => None,
        }
    }

    /// The values, where each is one word.
    fn names(&self) -> Option<Vec<&'a str>> {
        let name = |value: &&[Token<'a>]| match value {
            [one] => one.name(),
            _ => None,
        };
        self.values()?.iter().map(name).collect()
    }
}

impl Selector {
    /// Takes what a test begins with.
    pub fn take(words: &mut Words<'_, '_>) -> Option<Self> {
        let table: [(&[&str], Self); 27] = [
            (&["ip", "saddr"], Self::Source(Family::Ip)),
            (&["ip", "daddr"], Self::Destination(Family::Ip)),
            (&["ip6", "saddr"], Self::Source(Family::Ip6)),
            (&["ip6", "daddr"], Self::Destination(Family::Ip6)),
            (&["tcp", "dport"], Self::TcpPort),
            (&["udp", "dport"], Self::Port(Some(17))),
            (&["dccp", "dport"], Self::Port(Some(33))),
            (&["sctp", "dport"], Self::Port(Some(132))),
            (&["udplite", "dport"], Self::Port(Some(136))),
            (&["th", "dport"], Self::Port(None)),
            (&["@th", ",", "16", ",", "16"], Self::Port(None)),
            (&["iif"], Self::Interface { by_index: true }),
            (&["meta", "iif"], Self::Interface { by_index: true }),
            (&["iifname"], Self::Interface { by_index: false }),
            (&["meta", "iifname"], Self::Interface { by_index: false }),
            (&["meta", "l4proto"], Self::Protocol),
            (&["l4proto"], Self::Protocol),
            (&["ip", "protocol"], Self::IpProtocol),
            (&["ip6", "nexthdr"], Self::NextHeader),
            (&["meta", "nfproto"], Self::NetfilterFamily),
            (&["nfproto"], Self::NetfilterFamily),
            (&["meta", "protocol"], Self::EtherType),
            (&["protocol"], Self::EtherType),
            (&["ct", "state"], Self::State),
            (&["fib", "daddr", "type"], Self::DestinationType),
            (&["fib", "daddr", ".", "iif", "type"], Self::DestinationTypeOfInterface),
            (&["frag", "frag-off"], Self::FragmentOffset),
        ];
        table.into_iter().find(|(texts, _)| words.take_all(texts)).map(|(_, selector)| selector)
    }

    /// What has to hold for the comparison to succeed at all, whatever the value.
    pub fn implied(self) -> Vec<Match> {
        match self {
            Self::Source(family) | Self::Destination(family) => vec![Match::Family(family)],
            Self::TcpPort => vec![protocol(TCP, false)],
            Self::Port(Some(number)) => vec![protocol(number, false)],
            Self::IpProtocol => vec![Match::Family(Family::Ip)],
            Self::NextHeader | Self::FragmentOffset => vec![Match::Family(Family::Ip6)],
            // Any transport that has ports; without its header the rule does not apply.
            Self::Port(None) => vec![Match::PortBlock(PortBlock { first: 0, bits: 0 })],
            Self::Interface { .. }
            | Self::Protocol
            | Self::NetfilterFamily
            | Self::EtherType
            | Self::State
            | Self::DestinationType
            | Self::DestinationTypeOfInterface => Vec::new(),
        }
    }

    /// The comparison in the words of the IR; `None` if they do not say exactly that. `text` is the test as it stands.
    pub fn compare(
        self,
        table: &RawTable<'_>,
        right: &Right<'_, '_>,
        negated: bool,
        text: &str,
    ) -> Option<Alternatives> {
        match self {
            Self::Source(family) => {
                let address = |addresses| Match::Source { addresses, negated };
                addresses(table, family, right).map(|found| one_of(family, found, address))
            }
            Self::Destination(family) => {
                let address = |addresses| Match::Destination { addresses, negated };
                addresses(table, family, right).map(|found| one_of(family, found, address))
            }
            Self::TcpPort => tcp_port(table, right, negated),
            Self::Port(number) => port_blocks(table, number, right, negated),
            Self::Interface { by_index } => interfaces(table, by_index, right, negated),
            Self::Protocol => protocols(right, negated, &[]),
            Self::IpProtocol => protocols(right, negated, &[Match::Family(Family::Ip)]),
            Self::NextHeader => next_header(right, negated, text),
            Self::NetfilterFamily => families(right, negated, [("ipv4", 2), ("ipv6", 10)]),
            Self::EtherType if negated => None,
            Self::EtherType => families(right, false, [("ip", 0x0800), ("ip6", 0x86dd)]),
            Self::State => states(right, negated),
            Self::DestinationType => match right.names()?.as_slice() {
                ["local" | "2"] if !negated => Some(vec![vec![Match::DestinationLocal]]),
                _ => None,
            },
            Self::DestinationTypeOfInterface => match right.names()?.as_slice() {
                ["local" | "2"] if !negated => Some(vec![vec![Match::DestinationOfInterface]]),
                _ => None,
            },
            Self::FragmentOffset => match right.names()?.as_slice() {
                ["0"] if !negated => Some(vec![vec![Match::FirstFragment]]),
                _ => None,
            },
        }
    }
}

/// A test on the protocol.
pub fn protocol(number: u8, negated: bool) -> Match {
    Match::Protocol { number, negated }
}

/// A set whose elements are not known does not say of which family they are.
fn one_of(family: Family, found: (Addresses, bool), test: impl FnOnce(Addresses) -> Match) -> Alternatives {
    let (addresses, known) = found;
    let family = (!known).then_some(Match::Family(family));
    vec![family.into_iter().chain([test(addresses)]).collect()]
}

/// The addresses, and whether they are known.
fn addresses(table: &RawTable<'_>, family: Family, right: &Right<'_, '_>) -> Option<(Addresses, bool)> {
    let key = if family == Family::Ip { Key::Ipv4 } else { Key::Ipv6 };
    if let Right::Named(name) = right {
        let set = table.find_set(name).filter(|set| set.key().is_none_or(|found| found == key))?;
        return Some((Addresses::Set((*name).to_owned()), set.values().is_some()));
    }
    Some((Addresses::These(values(key, right)?.into_merged_elements()), true))
}

fn values<'a>(key: Key, right: &Right<'_, 'a>) -> Option<Values<'a>> {
    let mut values = Values::none(key);
    for value in right.values()? {
        match value {
            [one] => values.push(one.name()?)?,
            [first, dash, last] if dash.is_word("-") => values.push_range(first.name()?, last.name()?)?,
            _ => return None,
        }
    }
    Some(values)
}

fn port_ranges(table: &RawTable<'_>, right: &Right<'_, '_>) -> Option<Vec<(u16, u16)>> {
    let found = match right {
        Right::Ports(first, last) => return Some(vec![(*first, *last)]),
        Right::Named(name) => table.find_set(name)?.values().filter(|values| values.len() <= MOST_NAMED)?.clone(),
        Right::One(_) | Right::Set(_) | Right::List(_) => values(Key::Port, right)?,
    };
    match found {
        Values::Ports(ranges) => Some(ranges),
        Values::Ipv4(_) | Values::Ipv6(_) | Values::Interfaces(_) => None,
    }
}

fn tcp_port(table: &RawTable<'_>, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let (ports, negated) = match right {
        Right::Named(name) => {
            table.find_set(name).filter(|set| set.key().is_none_or(|key| key == Key::Port))?;
            (PortMatch::Set((*name).to_owned()), negated)
        }
        Right::One(_) | Right::Set(_) | Right::List(_) | Right::Ports(..) => {
            port_match(port_ranges(table, right)?, negated)
        }
    };
    Some(vec![vec![Match::DestinationPort { ports, negated }]])
}

/// Every transport protocol that has ports has them where TCP has them.
fn port_blocks(table: &RawTable<'_>, number: Option<u8>, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let mut ranges = disjoint(port_ranges(table, right)?);
    if negated {
        ranges = complement(&ranges);
    }
    let mut alternatives = Vec::new();
    for (first, last) in ranges {
        let mut from = Some(first);
        while let Some(first) = from {
            let block = largest_block(first, last);
            alternatives.push(with_protocol(number, block));
            if alternatives.len() > MOST_BLOCKS {
                return None;
            }
            from = block.last().checked_add(1).filter(|next| *next <= last);
        }
    }
    (!alternatives.is_empty()).then_some(alternatives)
}

/// A block, of this protocol only.
pub fn with_protocol(number: Option<u8>, block: PortBlock) -> Vec<Match> {
    number.map(|number| protocol(number, false)).into_iter().chain([Match::PortBlock(block)]).collect()
}

fn largest_block(first: u16, last: u16) -> PortBlock {
    let blocks = (0..=16).map(|bits| PortBlock { first, bits });
    let fitting = blocks.filter(|block| block.first & !block.mask() == 0 && block.last() <= last);
    fitting.min_by_key(|block| block.bits).unwrap_or(PortBlock { first, bits: 16 })
}

/// The block of a masked comparison, if it is one.
pub fn masked_block(mask: u32, value: u32) -> Option<PortBlock> {
    let (mask, first) = (u16::try_from(mask).ok()?, u16::try_from(value).ok()?);
    let bits = u8::try_from(mask.leading_ones()).ok()?;
    let block = PortBlock { first, bits };
    (block.mask() == mask && first & !mask == 0).then_some(block)
}

fn interfaces(table: &RawTable<'_>, by_index: bool, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let texts = match right {
        Right::Named(name) => match table.find_set(name)?.values().filter(|values| values.len() <= MOST_NAMED)? {
            Values::Interfaces(names) => names.clone(),
            Values::Ipv4(_) | Values::Ipv6(_) | Values::Ports(_) => return None,
        },
        Right::One(_) | Right::Set(_) | Right::List(_) | Right::Ports(..) => right.names()?,
    };
    let name = |text: &&str| match *text {
        "lo" => Some(Interface::loopback()),
        // Loopback has this number in every namespace.
        "1" if by_index => Some(Interface::loopback()),
        number if by_index && names::number(number).is_some() => None,
        text => text.parse().ok(),
    };
    let mut names: Vec<Interface> = texts.iter().map(name).collect::<Option<_>>()?;
    names.sort();
    names.dedup();
    Some(vec![vec![Match::InInterface { names, negated }]])
}

fn protocols(right: &Right<'_, '_>, negated: bool, first: &[Match]) -> Option<Alternatives> {
    let numbers = protocol_numbers(right)?;
    let tests = numbers.into_iter().map(|number| protocol(number, negated));
    if negated {
        return Some(vec![first.iter().cloned().chain(tests).collect()]);
    }
    Some(tests.map(|test| first.iter().cloned().chain([test]).collect()).collect())
}

fn protocol_numbers(right: &Right<'_, '_>) -> Option<Vec<u8>> {
    let mut numbers: Vec<u8> = right.names()?.into_iter().map(names::protocol).collect::<Option<_>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    (!numbers.is_empty()).then_some(numbers)
}

/// The protocol right behind the IPv6 header. Where it is a transport protocol, that is the packet's; but the packet may
/// have the same one behind other headers, which the IR cannot say.
fn next_header(right: &Right<'_, '_>, negated: bool, text: &str) -> Option<Alternatives> {
    let numbers = protocol_numbers(right)?;
    let unknown = Match::Unknown(text.to_owned());
    match (negated, numbers.as_slice()) {
        (true, [TCP]) => Some(vec![vec![Match::NotDirectlyTcp]]),
        (true, several) if several.contains(&TCP) => Some(vec![vec![Match::NotDirectlyTcp, unknown]]),
        (true, _) => None,
        (false, several) if several.iter().any(|number| is_extension_header(*number)) => None,
        (false, several) => {
            let tests = several.iter().map(|number| protocol(*number, false));
            Some(tests.map(|test| vec![Match::Family(Family::Ip6), test, unknown.clone()]).collect())
        }
    }
}

/// Hop-by-hop options, routing, fragment, authentication, nothing, destination options (IANA): no transport.
fn is_extension_header(number: u8) -> bool {
    matches!(number, 0 | 43 | 44 | 51 | 59 | 60)
}

fn families(right: &Right<'_, '_>, negated: bool, names: [(&str, u32); 2]) -> Option<Alternatives> {
    let [four, six] = names;
    let family = |text: &str| {
        let is = |(name, number): (&str, u32)| text == name || names::number(text) == Some(number);
        if is(four) {
            Some(Family::Ip)
        } else if is(six) {
            Some(Family::Ip6)
        } else {
            None
        }
    };
    let mut found: Vec<Family> = right.names()?.into_iter().map(family).collect::<Option<_>>()?;
    found.sort_unstable();
    found.dedup();
    match (negated, found.as_slice()) {
        (false, several) => Some(several.iter().map(|family| vec![Match::Family(*family)]).collect()),
        (true, [Family::Ip]) => Some(vec![vec![Match::Family(Family::Ip6)]]),
        (true, [Family::Ip6]) => Some(vec![vec![Match::Family(Family::Ip)]]),
        (true, _) => None,
    }
}

fn states(right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let (values, list) = match right {
        Right::One(value) => (std::slice::from_ref(value), false),
        Right::Set(values) => (values.as_slice(), false),
        Right::List(values) => (values.as_slice(), true),
        Right::Named(_) | Right::Ports(..) => return None,
    };
    let mut states = ConnectionStates(0);
    for value in values {
        let [name] = value else { return None };
        let state = state(name.text, list)?;
        states = states.with(state);
    }
    (states.0 != 0).then(|| vec![vec![Match::ConnectionState { states, negated }]])
}

/// A state by its name or its bit. Several bits at once are fine in a list, which asks for any of them, but no single
/// state is equal to them.
fn state(text: &str, list: bool) -> Option<ConnectionStates> {
    if let Some((state, _)) = ConnectionStates::ALL.iter().find(|(_, name)| *name == text) {
        return Some(*state);
    }
    let bits = u8::try_from(names::number(text)?).ok()?;
    let known = ConnectionStates::ALL.iter().fold(0, |all, (state, _)| all | state.0);
    (bits & !known == 0 && (bits.count_ones() == 1 || (list && bits != 0))).then_some(ConnectionStates(bits))
}
