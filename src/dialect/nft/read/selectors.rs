//! What a rule can look at, and what a comparison of it means in the IR.
//!
//! A comparison becomes alternatives: lists of matches of which at most one list holds, as whole. Most have one list;
//! "TCP or UDP" has two. A rule with alternatives becomes as many rules, one after the other.

use super::devices::{device, interfaces};
use super::lexer::Token;
use super::marks;
use super::names;
use super::ports::{port_blocks, source_port, tcp_port};
use super::tables::{RawFamily, RawTable};
use super::values::{Key, Values};
use super::words::{Words, elements};
use crate::ir::{AddressTypes, Addresses, ConnectionStates, Family, Foreign, Marked, Match, PortBlock, Side};

/// Lists of matches of which at most one holds as a whole.
pub type Alternatives = Vec<Vec<Match>>;

/// Nor are more elements of a named set in the place of its name.
pub const MOST_NAMED: usize = 256;

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
    /// The source port of this protocol, or of any.
    SourcePort(Option<u8>),
    /// `iif` and `oif`, which go by number, or `iifname` and `oifname`.
    Interface {
        /// Which of the two.
        side: Side,
        /// Whether it goes by number.
        by_index: bool,
    },
    /// `iifgroup`, `oifgroup`.
    Group(Side),
    /// `meta sdifname`.
    PartOfVrf,
    /// `meta mark`, `ct mark`.
    Mark(Marked),
    /// `ct direction`.
    Direction,
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
    /// `fib saddr type`.
    SourceType,
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
    pub fn values(&self) -> Option<&[&'r [Token<'a>]]> {
        match self {
            Self::One(value) => Some(std::slice::from_ref(value)),
            Self::Set(values) => Some(values),
            Self::List(_) | Self::Named(_) | Self::Ports(..) => None,
        }
    }

    /// The values, where each is one word.
    pub fn names(&self) -> Option<Vec<&'a str>> {
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
        let (by_index, by_name) =
            (|side| Self::Interface { side, by_index: true }, |side| Self::Interface { side, by_index: false });
        let table: &[(&[&str], Self)] = &[
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
            (&["tcp", "sport"], Self::SourcePort(Some(TCP))),
            (&["udp", "sport"], Self::SourcePort(Some(17))),
            (&["dccp", "sport"], Self::SourcePort(Some(33))),
            (&["sctp", "sport"], Self::SourcePort(Some(132))),
            (&["udplite", "sport"], Self::SourcePort(Some(136))),
            (&["th", "sport"], Self::SourcePort(None)),
            (&["iif"], by_index(Side::In)),
            (&["meta", "iif"], by_index(Side::In)),
            (&["iifname"], by_name(Side::In)),
            (&["meta", "iifname"], by_name(Side::In)),
            (&["oif"], by_index(Side::Out)),
            (&["meta", "oif"], by_index(Side::Out)),
            (&["oifname"], by_name(Side::Out)),
            (&["meta", "oifname"], by_name(Side::Out)),
            (&["iifgroup"], Self::Group(Side::In)),
            (&["meta", "iifgroup"], Self::Group(Side::In)),
            (&["oifgroup"], Self::Group(Side::Out)),
            (&["meta", "oifgroup"], Self::Group(Side::Out)),
            (&["meta", "sdifname"], Self::PartOfVrf),
            (&["mark"], Self::Mark(Marked::Packet)),
            (&["meta", "mark"], Self::Mark(Marked::Packet)),
            (&["ct", "mark"], Self::Mark(Marked::Connection)),
            (&["ct", "direction"], Self::Direction),
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
            (&["fib", "saddr", "type"], Self::SourceType),
            (&["fib", "daddr", ".", "iif", "type"], Self::DestinationTypeOfInterface),
            (&["frag", "frag-off"], Self::FragmentOffset),
        ];
        table.iter().find(|(texts, _)| words.take_all(texts)).map(|(_, selector)| *selector)
    }

    /// What has to hold for the comparison to succeed at all, whatever the value.
    pub fn implied(self) -> Vec<Match> {
        match self {
            Self::Source(family) | Self::Destination(family) => vec![Match::Family(family)],
            Self::TcpPort => vec![protocol(TCP, false)],
            Self::Port(Some(number)) | Self::SourcePort(Some(number)) => vec![protocol(number, false)],
            Self::IpProtocol => vec![Match::Family(Family::Ip)],
            Self::NextHeader | Self::FragmentOffset => vec![Match::Family(Family::Ip6)],
            // Any transport that has ports; without its header the rule does not apply.
            Self::Port(None) | Self::SourcePort(None) => vec![ANY_PORT],
            Self::Interface { .. }
            | Self::Group(_)
            | Self::PartOfVrf
            | Self::Mark(_)
            | Self::Direction
            | Self::Protocol
            | Self::NetfilterFamily
            | Self::EtherType
            | Self::State
            | Self::DestinationType
            | Self::DestinationTypeOfInterface
            | Self::SourceType => Vec::new(),
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
        if let Right::Named(name) = right
            && !self.looks_up_sets()
        {
            let tokens = table.find_set(name)?.tokens()?;
            let values = elements(tokens);
            let few = !values.is_empty() && values.len() <= MOST_NAMED;
            return if few { self.compare(table, &Right::Set(values), negated, text) } else { None };
        }
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
            Self::SourcePort(number) => source_port(table, number, right, negated, text),
            Self::Interface { side, by_index } => interfaces(table, (side, by_index), right, negated),
            Self::Group(side) => groups(side, right, negated),
            Self::PartOfVrf => match right.names()?.as_slice() {
                [name] => {
                    let name = device(name, false).filter(|name| !name.fits(""))?;
                    Some(vec![vec![Match::Foreign(Foreign::PartOfVrf { name, negated })]])
                }
                _ => None,
            },
            Self::Mark(of) => marks::alternatives(of, u32::MAX, right, negated),
            Self::Direction => match right.names()?.as_slice() {
                // What has no connection leaves the rule either way.
                ["original" | "0"] => Some(vec![vec![Match::Foreign(Foreign::Direction { reply: negated })]]),
                ["reply" | "1"] => Some(vec![vec![Match::Foreign(Foreign::Direction { reply: !negated })]]),
                _ => None,
            },
            Self::Protocol => protocols(right, negated, &[]),
            Self::IpProtocol => protocols(right, negated, &[Match::Family(Family::Ip)]),
            Self::NextHeader => next_header(right, negated, text),
            // It is neither, at devices.
            Self::NetfilterFamily if table.family == RawFamily::Known(Family::Netdev) => None,
            Self::NetfilterFamily => families(right, negated, [("ipv4", 2), ("ipv6", 10)]),
            Self::EtherType if negated => None,
            Self::EtherType => families(right, false, [("ip", 0x0800), ("ip6", 0x86dd)]),
            Self::State => states(right, negated),
            Self::DestinationType | Self::SourceType => {
                let types = right.names()?.into_iter().map(address_type).collect::<Option<Vec<_>>>()?;
                let types = types.into_iter().reduce(AddressTypes::with)?;
                // `--dst-type UNICAST` of ip6tables has addresses of this host, and nft prints it like this.
                let of_iptables = table.may_be_of_iptables() && table.family == RawFamily::Known(Family::Ip6);
                if of_iptables && types != AddressTypes::LOCAL && types != AddressTypes::MULTICAST {
                    return None;
                }
                if self == Self::SourceType {
                    return Some(vec![vec![Match::Foreign(Foreign::SourceType { types, negated })]]);
                }
                let local = types == AddressTypes::LOCAL && !negated;
                let other = Match::Foreign(Foreign::DestinationType { types, negated });
                Some(vec![vec![if local { Match::DestinationLocal } else { other }]])
            }
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

impl Selector {
    /// Whether a set is looked up as it is; of others the elements are compared one by one.
    fn looks_up_sets(self) -> bool {
        match self {
            Self::Source(_)
            | Self::Destination(_)
            | Self::TcpPort
            | Self::Port(_)
            | Self::SourcePort(_)
            | Self::Interface { .. } => true,
            Self::Group(_)
            | Self::PartOfVrf
            | Self::Mark(_)
            | Self::Direction
            | Self::Protocol
            | Self::IpProtocol
            | Self::NextHeader
            | Self::NetfilterFamily
            | Self::EtherType
            | Self::State
            | Self::DestinationType
            | Self::DestinationTypeOfInterface
            | Self::SourceType
            | Self::FragmentOffset => false,
        }
    }
}

/// Any port, of a packet that shows one.
pub const ANY_PORT: Match = Match::PortBlock(PortBlock { first: 0, bits: 0 });

/// A kind of address by its name or its number (RTN_… of linux/rtnetlink.h).
fn address_type(text: &str) -> Option<AddressTypes> {
    let numbered =
        ["unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"];
    let name = match names::number(text) {
        Some(number) => numbered.get(usize::try_from(number).ok()?)?,
        None => text,
    };
    AddressTypes::named(name).filter(|_| name.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Groups of interfaces by their numbers; of the names (/etc/iproute2/group) one is the same everywhere.
fn groups(side: Side, right: &Right<'_, '_>, negated: bool) -> Option<Alternatives> {
    let number = |name: &str| if name == "default" { Some(0) } else { names::number(name) };
    let mut numbers: Vec<u32> = right.names()?.into_iter().map(number).collect::<Option<_>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    let tests = numbers.into_iter().map(|group| Match::Foreign(Foreign::Group { side, group, negated }));
    Some(if negated { vec![tests.collect()] } else { tests.map(|test| vec![test]).collect() })
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
        return Some((Addresses::Set((*name).to_owned()), set.is_known()));
    }
    Some((Addresses::These(values(key, right)?.into_merged_elements()), true))
}

/// Values of one kind; `None` if one of them is none.
pub fn values<'a>(key: Key, right: &Right<'_, 'a>) -> Option<Values<'a>> {
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
