//! The kernel's tables → IR.
//!
//! A rule is followed with what its registers hold, so that it does not matter in which of the many ways a test was
//! compiled. What is not understood becomes unknown, in the place where it stands.

use std::collections::HashMap;

use super::attributes::{Malformed, attributes, find, text_of, u32_of};
use super::constants::*;
use super::expression::Expression;
use super::table::{Base, Rule, Set, Table};
use crate::ir::{self, Addresses, Elements, Family, Match, PortBlock, PortMatch, TcpFlags, Verdict};
use crate::net::{Interface, PortRange};

/// TCP's protocol number (IANA).
const TCP: u8 = 6;
/// The type of an address of this host (RTN_LOCAL, linux/rtnetlink.h).
pub(super) const RTN_LOCAL: u32 = 2;
/// The index of the loopback interface in every namespace.
pub(super) const LOOPBACK: u32 = 1;
/// An IPv6 fragment header, and the bits of its second and third byte that hold the offset (RFC 8200, 4.5).
pub(super) const FRAGMENT: u8 = 44;
pub(super) const FRAGMENT_OFFSET: [u8; 2] = [0xff, 0xf8];

/// What the kernel holds of a table, in netfilter's words.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// The table.
    pub table: ir::Table,
    /// What in it was not understood.
    pub unknown: Vec<String>,
}

/// The meaning of a table; `None` for a family that no packet for this host is in.
///
/// # Errors
/// Where attributes are cut short.
pub fn lift(table: &Table) -> Result<Option<Lifted>, Malformed> {
    let family = match table.family {
        NFPROTO_INET => Family::Inet,
        NFPROTO_IPV4 => Family::Ip,
        NFPROTO_IPV6 => Family::Ip6,
        _ => return Ok(None),
    };
    let mut unknown = Vec::new();
    let mut sets = HashMap::new();
    for set in &table.sets {
        let elements = set.values()?;
        if matches!(elements, Values::Unknown) {
            unknown.push(format!("set {} of table {}", set.name, table.name));
        }
        sets.insert(set.name.as_str(), (set, elements));
    }
    let mut chains = Vec::new();
    for chain in &table.chains {
        let mut rules = Vec::new();
        for rule in &chain.rules {
            let lifted = Program::new(family, &sets).lift(rule, &rule.program()?);
            let missed = |one: &Match| if let Match::Unknown(text) = one { Some(text.clone()) } else { None };
            let missed = lifted.matches.iter().filter_map(missed).chain(match &lifted.verdict {
                Some(Verdict::Unknown(text)) => Some(text.clone()),
                _ => None,
            });
            unknown.extend(missed.map(|text| format!("`{text}` in chain {} of table {}", chain.name, table.name)));
            rules.push(lifted);
        }
        let dormant = table.flags & NFT_TABLE_F_DORMANT != 0;
        let base = chain.base.as_ref().filter(|_| !dormant).map(base).transpose();
        let base = base.unwrap_or_else(|kind| {
            unknown.push(format!("chain {} of table {}: {kind}", chain.name, table.name));
            None
        });
        chains.push(ir::Chain { base, ..ir::Chain::named(&chain.name, rules) });
    }
    let named = table.sets.iter().filter(|set| !set.is_anonymous());
    let sets = named.filter_map(|set| Some(ir_set(set, &sets.get(set.name.as_str())?.1))).collect();
    Ok(Some(Lifted { table: ir::Table { family, name: table.name.clone(), sets, chains }, unknown }))
}

fn base(base: &Base) -> Result<ir::Base, String> {
    let kind = match base.kind.as_str() {
        "filter" => ir::ChainKind::Filter,
        "nat" => ir::ChainKind::Nat,
        "route" => ir::ChainKind::Route,
        other => return Err(format!("type {other}")),
    };
    // NF_INET_… (linux/netfilter.h).
    let hook = match base.hook {
        0 => ir::Hook::Prerouting,
        1 => ir::Hook::Input,
        2 => ir::Hook::Forward,
        3 => ir::Hook::Output,
        4 => ir::Hook::Postrouting,
        5 => ir::Hook::Ingress,
        other => return Err(format!("hook {other}")),
    };
    let policy = if base.policy == NF_DROP { ir::Policy::Drop } else { ir::Policy::Accept };
    Ok(ir::Base { kind, hook, priority: base.priority, policy, shared: false })
}

/// What is in a set.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Ipv4(Vec<(u32, u32)>),
    Ipv6(Vec<(u128, u128)>),
    Ports(Vec<(u16, u16)>),
    Interfaces(Vec<Interface>),
    Unknown,
}

/// A value of an element: a number that a key stands for.
trait Key: Copy + Ord {
    fn read(bytes: &[u8]) -> Option<Self>;
    fn below(self) -> Option<Self>;
    fn highest() -> Self;
}

macro_rules! keys {
    ($($kind:ty),+) => { $(impl Key for $kind {
        fn read(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_be_bytes)
        }
        fn below(self) -> Option<Self> {
            self.checked_sub(1)
        }
        fn highest() -> Self {
            Self::MAX
        }
    })+ };
}
keys!(u16, u32, u128);

/// An element: its key, and whether it ends a range.
pub(super) type Element<'a> = (&'a [u8], bool);

impl Set {
    /// The elements one by one; `None` where there is more to one than a key.
    ///
    /// # Errors
    /// Where attributes are cut short.
    pub(super) fn keys(&self) -> Result<Option<Vec<Element<'_>>>, Malformed> {
        let length = usize::try_from(self.key_length).unwrap_or(0);
        let mut keys = Vec::with_capacity(self.elements.len() / (length + 16));
        for element in attributes(&self.elements) {
            let mut key = None;
            let mut ends = false;
            for attribute in attributes(element?.1) {
                match attribute? {
                    (NFTA_SET_ELEM_KEY, value) => key = find(value, NFTA_DATA_VALUE)?,
                    (NFTA_SET_ELEM_FLAGS, value) => match u32_of(value)? {
                        0 => {}
                        NFT_SET_ELEM_INTERVAL_END => ends = true,
                        _ => return Ok(None),
                    },
                    // A comment.
                    (NFTA_SET_ELEM_USERDATA | NFTA_SET_ELEM_PAD, _) => {}
                    _ => return Ok(None),
                }
            }
            let Some(key) = key.filter(|key| key.len() == length) else { return Ok(None) };
            keys.push((key, ends));
        }
        Ok(Some(keys))
    }

    fn values(&self) -> Result<Values, Malformed> {
        const PLAIN: u32 = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL;
        if self.flags & !PLAIN != 0 {
            return Ok(Values::Unknown);
        }
        let Some(keys) = self.keys()? else { return Ok(Values::Unknown) };
        let interval = self.flags & NFT_SET_INTERVAL != 0;
        Ok(match (self.key_type, self.key_length) {
            (key_type::IPV4_ADDR, 4) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ipv4),
            (key_type::IPV6_ADDR, 16) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ipv6),
            (key_type::INET_SERVICE, 2) => ranges(&keys, interval).map_or(Values::Unknown, Values::Ports),
            (key_type::IFNAME, 16) if !interval => {
                let names: Option<Vec<Interface>> = keys.iter().map(|(key, _)| interface(key)).collect();
                names.map_or(Values::Unknown, |mut names| {
                    names.sort();
                    Values::Interfaces(names)
                })
            }
            _ => Values::Unknown,
        })
    }
}

/// Elements as sorted ranges. In sets of ranges an element begins a range, and the next one, if it is an end, is the
/// first value behind it; without one the range goes up to the next range, or to the top.
fn ranges<T: Key>(keys: &[Element<'_>], interval: bool) -> Option<Vec<(T, T)>> {
    let mut points = keys.iter().map(|(key, ends)| Some((T::read(key)?, *ends))).collect::<Option<Vec<(T, bool)>>>()?;
    // Where one range ends and another begins, the end comes first.
    points.sort_unstable_by_key(|&(value, ends)| (value, !ends));
    if !interval {
        return points.iter().all(|(_, ends)| !ends).then(|| points.iter().map(|&(value, _)| (value, value)).collect());
    }
    let mut ranges = Vec::with_capacity(points.len() / 2 + 1);
    let mut open: Option<T> = None;
    for (value, ends) in points {
        if let Some(first) = open.take() {
            ranges.push((first, value.below()?));
        }
        if !ends {
            open = Some(value);
        }
    }
    ranges.extend(open.map(|first| (first, T::highest())));
    ranges.iter().all(|(first, last)| first <= last).then_some(ranges)
}

fn interface(key: &[u8]) -> Option<Interface> {
    let name = text_of(key);
    let plain = key.iter().skip(name.len()).all(|byte| *byte == 0);
    if name == "lo" { Some(Interface::loopback()) } else { name.parse().ok() }.filter(|_| plain)
}

impl Values {
    /// Nothing, of the same kind.
    fn family(&self) -> Elements {
        match self {
            Self::Ipv4(_) => Elements::Ipv4(Vec::new()),
            Self::Ipv6(_) => Elements::Ipv6(Vec::new()),
            Self::Ports(_) | Self::Interfaces(_) | Self::Unknown => Elements::Unknown,
        }
    }

    fn elements(&self) -> Elements {
        match self {
            Self::Ipv4(list) => Elements::ipv4(list.clone()),
            Self::Ipv6(list) => Elements::ipv6(list.clone()),
            Self::Ports(list) => match list.iter().map(|&(a, b)| PortRange::new(a, b)).collect() {
                Some(list) => Elements::Ports(list),
                // Port 0.
                None => Elements::Unknown,
            },
            Self::Interfaces(_) | Self::Unknown => Elements::Unknown,
        }
    }
}

fn ir_set(set: &Set, values: &Values) -> ir::Set {
    let kind = match set.flags & NFT_SET_INTERVAL {
        0 => ir::SetKind::Hash { size: set.size },
        _ => ir::SetKind::Interval,
    };
    ir::Set { name: set.name.clone(), kind, elements: values.elements(), origins: Vec::new() }
}

/// What a register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Meta(u32),
    Header { base: u32, offset: u32, length: u32 },
    FragmentOffset,
    DestinationType,
    ConnectionState,
    Masked(Box<Value>, Vec<u8>),
    Unknown(String),
}

/// A test of a value.
#[derive(Clone, Debug)]
enum Test<'a> {
    Compare(u32, &'a [u8]),
    Range(bool, &'a [u8], &'a [u8]),
    Lookup(bool, &'a str),
}

/// A rule that is followed.
struct Program<'a> {
    sets: &'a HashMap<&'a str, (&'a Set, Values)>,
    /// By the register's first byte.
    registers: Vec<(u32, u32, Value)>,
    /// What the tests so far say about every packet that passes them.
    ip: Option<Family>,
    tcp: bool,
    rule: ir::Rule,
}

impl<'a> Program<'a> {
    fn new(family: Family, sets: &'a HashMap<&'a str, (&'a Set, Values)>) -> Self {
        let ip = Some(family).filter(|family| *family != Family::Inet);
        Self { sets, registers: Vec::new(), ip, tcp: false, rule: ir::Rule::default() }
    }

    fn lift(mut self, rule: &Rule, program: &[Expression]) -> ir::Rule {
        let mut rest = program;
        while let [one, behind @ ..] = rest {
            // Two comparisons of one value that mean one test of a range.
            let pair = match behind {
                [next, behind @ ..] => self.bounds(one, next).map(|test| (test, behind)),
                [] => None,
            };
            if let Some((one, behind)) = pair {
                self.push(one);
                rest = behind;
                continue;
            }
            rest = behind;
            self.step(one);
            if matches!(&self.rule.verdict, Some(verdict) if !matches!(verdict, Verdict::Unknown(_))) {
                // What is behind a verdict is never reached.
                break;
            }
        }
        self.rule.comment = rule.comment();
        self.elide();
        self.rule
    }

    /// Leaves out tests that others imply, as every text does.
    fn elide(&mut self) {
        let of_family = |one: &Match| match one {
            Match::Source { addresses, .. } | Match::Destination { addresses, .. } => {
                let elements = match addresses {
                    Addresses::These(elements) => elements.clone(),
                    Addresses::Set(name) => {
                        self.sets.get(name.as_str()).map_or(Elements::Unknown, |set| set.1.family())
                    }
                };
                match elements {
                    Elements::Ipv4(_) => Some(Family::Ip),
                    Elements::Ipv6(_) => Some(Family::Ip6),
                    Elements::Ports(_) | Elements::Unknown => None,
                }
            }
            Match::NotDirectlyTcp | Match::FirstFragment => Some(Family::Ip6),
            _ => None,
        };
        let families: Vec<Family> = self.rule.matches.iter().filter_map(of_family).collect();
        let implies_tcp = |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::TcpFlags { .. });
        let tcp = self.rule.matches.iter().any(implies_tcp);
        self.rule.matches.retain(|one| match one {
            Match::Protocol { number: TCP, negated: false } => !tcp,
            Match::Family(family) => !families.contains(family),
            _ => true,
        });
    }

    fn push(&mut self, one: Match) {
        // The kernel has to be told what a test on a header rests on; here the test implies it.
        match &one {
            Match::Protocol { number: TCP, negated: false } => self.tcp = true,
            Match::Family(family) => self.ip = Some(*family),
            _ => {}
        }
        self.rule.matches.push(one);
    }

    fn step(&mut self, one: &Expression) {
        match one {
            Expression::Meta { key, register } => {
                let length = if *key == NFT_META_IIFNAME { 16 } else { 4 };
                self.load(*register, length, Value::Meta(*key));
            }
            Expression::Payload { base, offset, length, register } => {
                self.load(*register, *length, Value::Header { base: *base, offset: *offset, length: *length });
            }
            Expression::ExtensionHeader { header: FRAGMENT, offset: 2, length: 2, register } => {
                self.load(*register, 2, Value::FragmentOffset);
            }
            Expression::ExtensionHeader { header, offset, length, register } => {
                let text = format!("exthdr {header} {offset} {length}");
                self.unknown(text.clone());
                self.load(*register, *length, Value::Unknown(text));
            }
            Expression::DestinationType { register } => self.load(*register, 4, Value::DestinationType),
            Expression::ConnectionState { register } => self.load(*register, 4, Value::ConnectionState),
            Expression::Mask { register, mask } => {
                let length = mask.len() as u32;
                let value = Value::Masked(Box::new(self.value(*register, length)), mask.clone());
                self.load(*register, length, value);
            }
            Expression::Compare { register, operator, data } => {
                let value = self.value(*register, data.len() as u32);
                self.test(&value, &Test::Compare(*operator, data));
            }
            Expression::Range { register, negated, from, to } => {
                let value = self.value(*register, from.len() as u32);
                self.test(&value, &Test::Range(*negated, from, to));
            }
            Expression::Lookup { register, set, negated } => {
                let length = self.sets.get(set.as_str()).map_or(0, |(set, _)| set.key_length);
                let value = self.value(*register, length);
                self.test(&value, &Test::Lookup(*negated, set));
            }
            Expression::Limit { rate, unit, burst } => {
                let per_minute = u32::try_from(*rate).ok().filter(|_| *unit == 60);
                match per_minute {
                    Some(per_minute) => self.push(Match::Limit { per_minute, burst: *burst }),
                    None => self.unknown(format!("limit {rate} each {unit} s")),
                }
            }
            Expression::Counter { .. } => self.rule.counter = true,
            Expression::Log { prefix } => self.rule.log = Some(prefix.clone()),
            Expression::Reset => self.decide(Verdict::Reset),
            Expression::Verdict { code, chain } => self.decide(verdict(*code, chain.as_deref())),
            Expression::Other { name, .. } => self.other(name),
        }
    }

    /// What is not known may test, may change registers, and may decide.
    fn other(&mut self, name: &str) {
        match name {
            // Read the packet into a register, and nothing else.
            "meta" | "payload" | "exthdr" | "fib" | "ct" | "bitwise" | "byteorder" | "hash" | "numgen" | "osf"
            | "rt" | "socket" | "xfrm" | "tunnel" | "immediate" => {
                self.registers.clear();
                self.unknown(name.to_owned());
                // Some of them can also write to the packet.
                if matches!(name, "meta" | "payload" | "exthdr" | "ct") {
                    self.decide(Verdict::Unknown(format!("{name} set")));
                }
            }
            // Test, and nothing else.
            "cmp" | "range" | "lookup" | "limit" | "quota" | "connlimit" | "match" => self.unknown(name.to_owned()),
            // Note something, and nothing else.
            "log" | "objref" | "last" => {}
            "nat" => self.decide(Verdict::Unknown("dnat or snat".to_owned())),
            "masq" => self.decide(Verdict::Unknown("masquerade".to_owned())),
            "redir" => self.decide(Verdict::Unknown("redirect".to_owned())),
            _ => self.decide(Verdict::Unknown(name.to_owned())),
        }
    }

    fn unknown(&mut self, text: String) {
        self.rule.matches.push(Match::Unknown(text));
    }

    /// The last word counts; an unknown one before it must not be lost.
    fn decide(&mut self, verdict: Verdict) {
        if !matches!(self.rule.verdict, Some(Verdict::Unknown(_))) {
            self.rule.verdict = Some(verdict);
        }
    }

    fn load(&mut self, register: u32, length: u32, value: Value) {
        let first = first_byte(register);
        self.registers.retain(|(start, length_of, _)| start + length_of <= first || first + length <= *start);
        self.registers.push((first, length, value));
    }

    fn value(&self, register: u32, length: u32) -> Value {
        let first = first_byte(register);
        let held = self.registers.iter().find(|(start, own, _)| *start == first && (*own == length || length == 0));
        // A one-byte value is loaded into four bytes and compared as one.
        let held = held.or_else(|| {
            self.registers.iter().find(|(start, _, value)| *start == first && matches!(value, Value::Meta(_)))
        });
        held.map_or_else(|| Value::Unknown(format!("register {register}")), |(.., value)| value.clone())
    }

    /// A range of ports that is tested with its two ends, one after the other.
    fn bounds(&self, one: &Expression, next: &Expression) -> Option<Match> {
        let (
            Expression::Compare { register, operator: NFT_CMP_GTE, data: from },
            Expression::Compare { register: second, operator: NFT_CMP_LTE, data: to },
        ) = (one, next)
        else {
            return None;
        };
        let value = self.value(*register, from.len() as u32);
        if register != second {
            return None;
        }
        self.known(&value, &Test::Range(false, from, to))
    }

    fn test(&mut self, value: &Value, test: &Test<'_>) {
        // Tests that a rule's first tests make superfluous.
        match self.known(value, test) {
            Some(one) => self.push(one),
            None => self.unknown(format!("{value:?} {test:?}")),
        }
    }

    fn known(&self, value: &Value, test: &Test<'_>) -> Option<Match> {
        match value {
            Value::Meta(key) => self.meta(*key, test),
            Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length } => {
                self.network(*offset, *length, None, test)
            }
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 } if self.tcp => self.port(test),
            Value::DestinationType => match test {
                Test::Compare(NFT_CMP_EQ, data) => (native(data)? == RTN_LOCAL).then_some(Match::DestinationLocal),
                _ => None,
            },
            Value::Masked(value, mask) => self.masked(value, mask, test),
            Value::Header { .. } | Value::FragmentOffset | Value::ConnectionState | Value::Unknown(_) => None,
        }
    }

    fn meta(&self, key: u32, test: &Test<'_>) -> Option<Match> {
        let equal = |operator: u32| match operator {
            NFT_CMP_EQ => Some(false),
            NFT_CMP_NEQ => Some(true),
            _ => None,
        };
        match (key, test) {
            (NFT_META_IIF, Test::Compare(operator, data)) => {
                let negated = equal(*operator)?;
                (native(data)? == LOOPBACK).then(|| Match::InInterface { names: vec![Interface::loopback()], negated })
            }
            (NFT_META_IIFNAME, Test::Compare(operator, data)) => {
                let negated = equal(*operator)?;
                // Shorter than a name is long means every name that begins so.
                let name = Some(*data).filter(|data| data.len() == 16).and_then(interface)?;
                Some(Match::InInterface { names: vec![name], negated })
            }
            (NFT_META_IIFNAME, Test::Lookup(negated, set)) => match self.set(set)? {
                (set, Values::Interfaces(names)) if set.is_anonymous() => {
                    Some(Match::InInterface { names: names.clone(), negated: *negated })
                }
                _ => None,
            },
            (NFT_META_NFPROTO, Test::Compare(NFT_CMP_EQ, [family])) => match *family {
                NFPROTO_IPV4 => Some(Match::Family(Family::Ip)),
                NFPROTO_IPV6 => Some(Match::Family(Family::Ip6)),
                _ => None,
            },
            (NFT_META_L4PROTO, Test::Compare(operator, [number])) => {
                Some(Match::Protocol { number: *number, negated: equal(*operator)? })
            }
            _ => None,
        }
    }

    /// A field of the IP header, whole or with a mask.
    fn network(&self, offset: u32, length: u32, mask: Option<&[u8]>, test: &Test<'_>) -> Option<Match> {
        let ip = self.ip?;
        if let (Family::Ip6, 6, 1, None, Test::Compare(NFT_CMP_NEQ, [TCP])) = (ip, offset, length, mask, test) {
            return Some(Match::NotDirectlyTcp);
        }
        let (source, destination, whole) = if ip == Family::Ip { (12, 16, 4) } else { (8, 24, 16) };
        let (addresses, negated) = match test {
            Test::Lookup(negated, name) if length == whole && mask.is_none() => {
                let (set, values) = self.set(name)?;
                let fits = matches!(
                    (ip, values),
                    (Family::Ip, Values::Ipv4(_)) | (Family::Ip6, Values::Ipv6(_)) | (_, Values::Unknown)
                );
                let addresses = match set.is_anonymous() {
                    true => Addresses::These(values.elements()),
                    false => Addresses::Set(set.name.clone()),
                };
                (Some(addresses).filter(|_| fits)?, *negated)
            }
            Test::Compare(operator, data) => {
                let negated = match *operator {
                    NFT_CMP_EQ => false,
                    NFT_CMP_NEQ => true,
                    _ => return None,
                };
                (network_of(ip, length, mask, data)?, negated)
            }
            Test::Range(negated, from, to) if mask.is_none() && length == whole => (range_of(ip, from, to)?, *negated),
            _ => return None,
        };
        match offset {
            own if own == source => Some(Match::Source { addresses, negated }),
            own if own == destination => Some(Match::Destination { addresses, negated }),
            _ => None,
        }
    }

    fn port(&self, test: &Test<'_>) -> Option<Match> {
        let one = |data: &[u8]| u16::read(data).filter(|port| *port > 0);
        let ports = |from, to| Some(PortMatch::Ports([PortRange::new(from, to)?].into_iter().collect()));
        let (ports, negated) = match test {
            Test::Compare(NFT_CMP_EQ, data) => (ports(one(data)?, one(data)?)?, false),
            Test::Compare(NFT_CMP_NEQ, data) => (ports(one(data)?, one(data)?)?, true),
            Test::Range(negated, from, to) => (ports(one(from)?, one(to)?)?, *negated),
            Test::Lookup(negated, name) => {
                let (set, values) = self.set(name)?;
                let ports = match (values.elements(), set.is_anonymous()) {
                    (Elements::Ports(list), true) => PortMatch::Ports(list.into_iter().collect()),
                    (Elements::Ports(_) | Elements::Unknown, false) => PortMatch::Set(set.name.clone()),
                    _ => return None,
                };
                (ports, *negated)
            }
            Test::Compare(..) => return None,
        };
        Some(Match::DestinationPort { ports, negated })
    }

    fn masked(&self, value: &Value, mask: &[u8], test: &Test<'_>) -> Option<Match> {
        match (value, test) {
            (Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 13, length: 1 }, _) => match (mask, test) {
                ([mask], Test::Compare(NFT_CMP_EQ, [value])) if self.tcp => {
                    Some(Match::TcpFlags { mask: TcpFlags(*mask), value: TcpFlags(*value) })
                }
                _ => None,
            },
            (
                Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 4 },
                Test::Compare(NFT_CMP_EQ, data),
            ) => port_block(mask, data),
            (Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length }, _) => {
                self.network(*offset, *length, Some(mask), test)
            }
            (Value::FragmentOffset, Test::Compare(NFT_CMP_EQ, [0, 0])) => {
                let known = mask == FRAGMENT_OFFSET && self.ip == Some(Family::Ip6);
                known.then_some(Match::FirstFragment)
            }
            (Value::ConnectionState, Test::Compare(operator, data)) => {
                // `state & wanted != 0`: it is one of those.
                let none = data.iter().all(|byte| *byte == 0);
                let states = u8::try_from(native(mask)?).ok()?;
                let states = ir::ConnectionStates(states);
                match *operator {
                    NFT_CMP_NEQ if none => Some(Match::ConnectionState { states, negated: false }),
                    NFT_CMP_EQ if none => Some(Match::ConnectionState { states, negated: true }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn set(&self, name: &str) -> Option<&(&'a Set, Values)> {
        self.sets.get(name)
    }
}

/// Registers 1 to 4 have 16 bytes, those from 8 on are the same in pieces of 4 (linux/netfilter/nf_tables.h).
fn first_byte(register: u32) -> u32 {
    match register {
        1..=4 => (register - 1) * 16,
        8.. => (register - 8) * 4,
        _ => u32::MAX / 2,
    }
}

fn native(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_ne_bytes)
}

/// `value & mask == data` over the two ports.
fn port_block(mask: &[u8], data: &[u8]) -> Option<Match> {
    let ([0, 0, mask @ ..], [0, 0, data @ ..]) = (mask, data) else { return None };
    let (mask, first) = (u16::read(mask)?, u16::read(data)?);
    let block = PortBlock { first, bits: mask.leading_ones() as u8 };
    (block.mask() == mask && first & mask == first).then_some(Match::PortBlock(block))
}

/// The network that a comparison of the first bytes of an address means, of whole bytes or with a mask.
fn network_of(ip: Family, length: u32, mask: Option<&[u8]>, data: &[u8]) -> Option<Addresses> {
    let length = usize::try_from(length).ok()?;
    let whole = if ip == Family::Ip { 4 } else { 16 };
    if data.len() != length || length > whole || mask.is_some_and(|mask| mask.len() != length) {
        return None;
    }
    let mask: Vec<u8> = mask.map_or_else(|| vec![0xff; length], <[u8]>::to_vec);
    let padded = |bytes: &[u8]| -> u128 {
        let bytes = bytes.iter().copied().chain(std::iter::repeat(0)).take(16);
        bytes.fold(0, |number, byte| number << 8 | u128::from(byte))
    };
    let (mask, first) = (padded(&mask), padded(data));
    let bits = mask.leading_ones();
    if mask.count_ones() != bits || first & !mask != 0 {
        return None;
    }
    let elements = if ip == Family::Ip {
        let (first, mask) = ((first >> 96) as u32, (mask >> 96) as u32);
        Elements::ipv4(vec![(first, first | !mask)])
    } else {
        Elements::ipv6(vec![(first, first | !mask)])
    };
    Some(Addresses::These(elements))
}

fn range_of(ip: Family, from: &[u8], to: &[u8]) -> Option<Addresses> {
    let elements = if ip == Family::Ip {
        let ends = (u32::read(from)?, u32::read(to)?);
        Some(ends).filter(|(from, to)| from <= to).map(|ends| Elements::ipv4(vec![ends]))
    } else {
        let ends = (u128::read(from)?, u128::read(to)?);
        Some(ends).filter(|(from, to)| from <= to).map(|ends| Elements::ipv6(vec![ends]))
    };
    elements.map(Addresses::These)
}

fn verdict(code: i32, chain: Option<&str>) -> Verdict {
    match (code, chain) {
        (NF_ACCEPT, _) => Verdict::Accept,
        (NF_DROP, _) => Verdict::Drop,
        (NFT_RETURN, _) => Verdict::Return,
        (NFT_JUMP, Some(chain)) => Verdict::Jump(chain.to_owned()),
        (NFT_GOTO, Some(chain)) => Verdict::Goto(chain.to_owned()),
        // NFT_CONTINUE goes on.
        (other, _) => Verdict::Unknown(format!("verdict {other}")),
    }
}
