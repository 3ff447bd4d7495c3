//! IR → the kernel's instructions.
//!
//! What is lowered is what compilers here make; anything else is an error, and nothing is written.

use std::collections::BTreeSet;

use thiserror::Error;

use super::constants::*;
use super::expression::Expression;
use super::lift::{FRAGMENT, FRAGMENT_OFFSET, IPS_DST_NAT, LOOPBACK, RTN_LOCAL};
use crate::ir::{self, Addresses, Elements, Family, Match, PortBlock, PortMatch, Reject, Verdict};
use crate::net::{Interface, Ports};

/// TCP's protocol number (IANA).
const TCP: u8 = 6;
/// Bytes of an interface's name with its end mark (IFNAMSIZ, linux/if.h).
const IFNAMSIZ: usize = 16;

/// Something that is not for the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this was read, not compiled, and cannot be written: {0}")]
pub struct NotWritable(pub String);

/// A table in the kernel's terms.
#[derive(Clone, Debug)]
pub struct LoweredTable {
    /// NFPROTO_…
    pub family: u8,
    /// Its name.
    pub name: String,
    /// Its sets, anonymous ones among them.
    pub sets: Vec<LoweredSet>,
    /// Its chains.
    pub chains: Vec<LoweredChain>,
}

/// A set in the kernel's terms.
#[derive(Clone, Debug)]
pub struct LoweredSet {
    /// Its name; that of an anonymous set is only good within its table.
    pub name: String,
    /// NFT_SET_…
    pub flags: u32,
    /// In `nft`'s numbers.
    pub key_type: u32,
    /// Bytes.
    pub key_length: u32,
    /// Room for so many.
    pub size: Option<u32>,
    /// Keys, and whether they end a range.
    pub elements: Keys,
}

/// Keys of one length, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// All keys.
    pub bytes: Vec<u8>,
    /// Whether each ends a range; empty where none does.
    pub ends: Vec<bool>,
}

/// A chain in the kernel's terms.
#[derive(Clone, Debug)]
pub struct LoweredChain {
    /// Its name.
    pub name: String,
    /// Where packets enter it.
    pub base: Option<ir::Base>,
    /// Its rules.
    pub rules: Vec<LoweredRule>,
}

/// A rule in the kernel's terms.
#[derive(Clone, Debug)]
pub struct LoweredRule {
    /// What it does.
    pub program: Vec<Expression>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A table of the IR as the kernel is to have it.
///
/// # Errors
/// Where it holds something that was not understood when it was read.
pub fn lower(table: &ir::Table) -> Result<LoweredTable, NotWritable> {
    let family = match table.family {
        Family::Inet => NFPROTO_INET,
        Family::Netdev => NFPROTO_NETDEV,
        Family::Ip => NFPROTO_IPV4,
        Family::Ip6 => NFPROTO_IPV6,
    };
    let mut sets = table.sets.iter().map(named_set).collect::<Result<Vec<_>, _>>()?;
    let mut chains = Vec::new();
    for chain in &table.chains {
        let rules = chain.rules.iter().map(|rule| {
            let lowering = Lowering { table, sets: &mut sets, program: Vec::new(), ip: None, l4: None };
            lowering.rule(rule)
        });
        let rules = rules.collect::<Result<_, _>>()?;
        chains.push(LoweredChain { name: chain.name.clone(), base: chain.base, rules });
    }
    Ok(LoweredTable { family, name: table.name.clone(), sets, chains })
}

fn named_set(set: &ir::Set) -> Result<LoweredSet, NotWritable> {
    let (flags, size) = match set.kind {
        ir::SetKind::Hash { size } => (0, size),
        ir::SetKind::Interval => (NFT_SET_INTERVAL, None),
    };
    set_of(&set.name, flags, size, &set.elements)
}

fn set_of(name: &str, flags: u32, size: Option<u32>, elements: &Elements) -> Result<LoweredSet, NotWritable> {
    let (key_type, key_length) = match elements {
        Elements::Ipv4(_) => (key_type::IPV4_ADDR, 4),
        Elements::Ipv6(_) => (key_type::IPV6_ADDR, 16),
        Elements::Ports(_) => (key_type::INET_SERVICE, 2),
        Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            return Err(NotWritable(format!("set {name}")));
        }
    };
    let keys = keys_of(elements, flags & NFT_SET_INTERVAL != 0);
    let elements = keys.ok_or_else(|| NotWritable(format!("a range in the set {name} of single values")))?;
    Ok(LoweredSet { name: name.to_owned(), flags, key_type, key_length, size, elements })
}

/// The keys of elements; `None` where ranges are to be put into a set of single values.
fn keys_of(elements: &Elements, interval: bool) -> Option<Keys> {
    let mut keys = Keys::default();
    macro_rules! push {
        ($list:expr, $length:expr) => {{
            let width = if interval { 2 } else { 1 };
            keys.bytes.reserve_exact($list.len() * width * $length);
            for (first, last) in $list {
                if !interval {
                    if first != last {
                        return None;
                    }
                    keys.bytes.extend_from_slice(&first.to_be_bytes());
                    continue;
                }
                keys.bytes.extend_from_slice(&first.to_be_bytes());
                keys.ends.push(false);
                // A range up to the highest value has no end.
                if let Some(behind) = last.checked_add(1) {
                    keys.bytes.extend_from_slice(&behind.to_be_bytes());
                    keys.ends.push(true);
                }
            }
        }};
    }
    match elements {
        Elements::Ipv4(list) => push!(list.iter().copied(), 4),
        Elements::Ipv6(list) => push!(list.iter().copied(), 16),
        Elements::Ports(list) => push!(list.iter().map(|range| (range.first(), range.last())), 2),
        Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => return None,
    }
    Some(keys)
}

struct Lowering<'a> {
    table: &'a ir::Table,
    sets: &'a mut Vec<LoweredSet>,
    program: Vec<Expression>,
    /// What the rule has made sure of so far.
    ip: Option<Family>,
    l4: Option<u8>,
}

impl Lowering<'_> {
    fn rule(mut self, rule: &ir::Rule) -> Result<LoweredRule, NotWritable> {
        for one in &rule.matches {
            self.one(one)?;
        }
        if let Some(one) = rule.unwritable() {
            return Err(NotWritable(one.name().to_owned()));
        }
        if rule.verdict == Some(Verdict::Reject(Reject::TcpReset)) {
            // Only TCP is answered with a reset, and the kernel does not look by itself.
            self.tcp();
        }
        if let Some(prefix) = rule.log() {
            self.program.push(Expression::Log { prefix: prefix.to_owned() });
        }
        if rule.counts() {
            self.program.push(Expression::Counter { packets: 0, bytes: 0 });
        }
        if let Some(verdict) = &rule.verdict {
            let (code, chain) = match verdict {
                Verdict::Accept => (NF_ACCEPT, None),
                Verdict::Drop => (NF_DROP, None),
                Verdict::Return => (NFT_RETURN, None),
                Verdict::Jump(chain) => (NFT_JUMP, Some(chain.clone())),
                Verdict::Goto(chain) => (NFT_GOTO, Some(chain.clone())),
                Verdict::Reject(Reject::TcpReset) => (0, None),
                Verdict::Reject(Reject::Icmp) => return Err(NotWritable("reject by ICMP".to_owned())),
                Verdict::Unknown(text) => return Err(NotWritable(text.clone())),
            };
            let last = match verdict {
                Verdict::Reject(_) => Expression::Reset,
                _ => Expression::Verdict { code, chain },
            };
            self.program.push(last);
        }
        Ok(LoweredRule { program: self.program, comment: rule.comment.clone() })
    }

    fn one(&mut self, one: &Match) -> Result<(), NotWritable> {
        match one {
            Match::InInterface { names, negated } => self.interface(names, *negated),
            Match::Source { addresses, negated } => self.address(addresses, *negated, [12, 8])?,
            Match::Destination { addresses, negated } => self.address(addresses, *negated, [16, 24])?,
            Match::Family(Family::Inet | Family::Netdev) => return Err(NotWritable("a match on both families".into())),
            Match::Family(family) => self.family(*family),
            Match::Protocol { number, negated } => {
                self.meta(NFT_META_L4PROTO);
                self.compare(if *negated { NFT_CMP_NEQ } else { NFT_CMP_EQ }, &[*number]);
                self.l4 = Some(*number).filter(|_| !negated);
            }
            Match::ConnectionState { states, negated } => {
                self.program.push(Expression::ConnectionState { register: NFT_REG_1 });
                self.mask(&u32::from(states.0).to_ne_bytes());
                self.compare(if *negated { NFT_CMP_EQ } else { NFT_CMP_NEQ }, &[0; 4]);
            }
            Match::DestinationPort { ports, negated } => self.port(ports, *negated)?,
            Match::PortBlock(PortBlock { first, bits: 16 }) => {
                self.transport(2, 2);
                self.compare(NFT_CMP_EQ, &first.to_be_bytes());
            }
            Match::FlagBit { flag, set } => {
                let mask = u32::from(flag.0) << 16;
                self.transport(12, 4);
                self.mask(&mask.to_be_bytes());
                self.compare(NFT_CMP_EQ, &(if *set { mask } else { 0 }).to_be_bytes());
            }
            Match::PortBlock(block) => {
                self.transport(0, 4);
                self.mask(&u32::from(block.mask()).to_be_bytes());
                self.compare(NFT_CMP_EQ, &u32::from(block.first).to_be_bytes());
            }
            Match::TcpFlags { mask, value } => {
                self.tcp();
                self.transport(13, 1);
                self.mask(&[mask.0]);
                self.compare(NFT_CMP_EQ, &[value.0]);
            }
            Match::DestinationTranslated => {
                self.program.push(Expression::Connection { key: NFT_CT_DIRECTION, register: NFT_REG_1 });
                self.compare(NFT_CMP_EQ, &[0]);
                self.program.push(Expression::Connection { key: NFT_CT_STATUS, register: NFT_REG_1 });
                self.mask(&IPS_DST_NAT.to_ne_bytes());
                self.compare(NFT_CMP_NEQ, &[0; 4]);
            }
            Match::OriginalPort(ports) => {
                self.program.push(Expression::Connection { key: NFT_CT_PROTO_DST, register: NFT_REG_1 });
                self.loaded_port(ports, false)?;
            }
            Match::DestinationLocal => self.destination_type(false),
            Match::DestinationOfInterface => self.destination_type(true),
            Match::PerhapsDirectlyTcp => return Err(NotWritable("a test that was perhaps lost".into())),
            Match::PacketType { .. } => return Err(NotWritable("a match on the type of a packet".into())),
            Match::NotDirectlyTcp => {
                self.family(Family::Ip6);
                self.network(6, 1);
                self.compare(NFT_CMP_NEQ, &[TCP]);
            }
            Match::FirstFragment => {
                self.family(Family::Ip6);
                let register = NFT_REG_1;
                self.program.push(Expression::ExtensionHeader { header: FRAGMENT, offset: 2, length: 2, register });
                self.mask(&FRAGMENT_OFFSET);
                self.compare(NFT_CMP_EQ, &[0, 0]);
            }
            Match::Limit { per_minute, burst } => {
                self.program.push(Expression::Limit { rate: u64::from(*per_minute), unit: 60, burst: *burst });
            }
            Match::Foreign(_) => return Err(NotWritable("a test of somebody else's rule".into())),
            Match::Unknown(text) => return Err(NotWritable(text.clone())),
        }
        Ok(())
    }

    /// Loopback goes by its index, which is one comparison of four bytes. Others go by name, because they may come and
    /// go.
    fn interface(&mut self, names: &[Interface], negated: bool) {
        let operator = if negated { NFT_CMP_NEQ } else { NFT_CMP_EQ };
        let key = |name: &Interface| {
            let mut key = name.as_str().as_bytes().to_vec();
            key.resize(IFNAMSIZ, 0);
            key
        };
        match names {
            [one] if *one == Interface::loopback() => {
                self.meta(NFT_META_IIF);
                self.compare(operator, &LOOPBACK.to_ne_bytes());
            }
            [one] => {
                self.meta(NFT_META_IIFNAME);
                self.compare(operator, &key(one));
            }
            several => {
                let distinct: BTreeSet<Vec<u8>> = several.iter().map(key).collect();
                let elements = Keys { bytes: distinct.into_iter().flatten().collect(), ends: Vec::new() };
                self.meta(NFT_META_IIFNAME);
                self.anonymous(0, key_type::IFNAME, IFNAMSIZ as u32, elements, negated);
            }
        }
    }

    fn address(&mut self, addresses: &Addresses, negated: bool, [v4, v6]: [u32; 2]) -> Result<(), NotWritable> {
        let elements = match addresses {
            Addresses::These(elements) => elements,
            Addresses::Set(name) => {
                let set = self.table.sets.iter().find(|set| set.name == *name);
                &set.ok_or_else(|| NotWritable(format!("there is no set {name}")))?.elements
            }
        };
        let (family, offset, length) = match elements {
            Elements::Ipv4(_) => (Family::Ip, v4, 4),
            Elements::Ipv6(_) => (Family::Ip6, v6, 16),
            Elements::Ports(_)
            | Elements::Endpoints(_)
            | Elements::Dual(..)
            | Elements::Passing(_)
            | Elements::Unknown => {
                return Err(NotWritable("addresses".into()));
            }
        };
        self.family(family);
        self.network(offset, length);
        if let Addresses::Set(name) = addresses {
            self.program.push(Expression::Lookup { register: NFT_REG_1, set: name.clone(), negated });
            return Ok(());
        }
        if let [network] = elements.networks().as_slice() {
            let bits = usize::from(network.prefix_length());
            let bytes = |address: std::net::IpAddr| match address {
                std::net::IpAddr::V4(address) => address.octets().to_vec(),
                std::net::IpAddr::V6(address) => address.octets().to_vec(),
            };
            if bits < length as usize * 8 {
                let mask: Vec<u8> = (0..length as usize).map(|byte| mask_byte(bits, byte)).collect();
                self.mask(&mask);
            }
            self.compare(if negated { NFT_CMP_NEQ } else { NFT_CMP_EQ }, &bytes(network.first()));
            return Ok(());
        }
        let keys = keys_of(&joined(elements), true).unwrap_or_default();
        let kind = if family == Family::Ip { key_type::IPV4_ADDR } else { key_type::IPV6_ADDR };
        self.anonymous(NFT_SET_INTERVAL, kind, length, keys, negated);
        Ok(())
    }

    fn port(&mut self, ports: &PortMatch, negated: bool) -> Result<(), NotWritable> {
        self.tcp();
        self.transport(2, 2);
        self.loaded_port(ports, negated)
    }

    fn loaded_port(&mut self, ports: &PortMatch, negated: bool) -> Result<(), NotWritable> {
        match ports {
            PortMatch::Set(name) => {
                self.program.push(Expression::Lookup { register: NFT_REG_1, set: name.clone(), negated });
            }
            PortMatch::Ports(ports) => match ports.ranges() {
                [] => return Err(NotWritable("a test on no port".into())),
                [one] if one.first() == one.last() => {
                    let operator = if negated { NFT_CMP_NEQ } else { NFT_CMP_EQ };
                    self.compare(operator, &one.first().to_be_bytes());
                }
                [one] if negated => {
                    let (from, to) = (one.first().to_be_bytes().to_vec(), one.last().to_be_bytes().to_vec());
                    self.program.push(Expression::Range { register: NFT_REG_1, negated, from, to });
                }
                [one] => {
                    self.compare(NFT_CMP_GTE, &one.first().to_be_bytes());
                    self.compare(NFT_CMP_LTE, &one.last().to_be_bytes());
                }
                _ => self.several_ports(ports, negated),
            },
        }
        Ok(())
    }

    fn several_ports(&mut self, ports: &Ports, negated: bool) {
        let singly = ports.ranges().iter().all(|range| range.first() == range.last());
        let flags = if singly { 0 } else { NFT_SET_INTERVAL };
        let keys = keys_of(&Elements::Ports(ports.ranges().to_vec()), !singly).unwrap_or_default();
        self.anonymous(flags, key_type::INET_SERVICE, 2, keys, negated);
    }

    /// A lookup in a set that belongs to this rule.
    fn anonymous(&mut self, flags: u32, key_type: u32, key_length: u32, elements: Keys, negated: bool) {
        let name = format!("__set{}", self.sets.len());
        let flags = flags | NFT_SET_ANONYMOUS | NFT_SET_CONSTANT;
        let count = elements.bytes.len() / key_length as usize;
        let size = (flags & NFT_SET_INTERVAL == 0).then(|| u32::try_from(count).unwrap_or(u32::MAX));
        self.sets.push(LoweredSet { name: name.clone(), flags, key_type, key_length, size, elements });
        self.program.push(Expression::Lookup { register: NFT_REG_1, set: name, negated });
    }

    /// What a test on an IP header rests on, in a table of both families.
    fn family(&mut self, family: Family) {
        if self.table.family == Family::Inet && self.ip != Some(family) {
            self.meta(NFT_META_NFPROTO);
            self.compare(NFT_CMP_EQ, &[if family == Family::Ip { NFPROTO_IPV4 } else { NFPROTO_IPV6 }]);
            self.ip = Some(family);
        }
    }

    /// What a test on the TCP header rests on.
    fn tcp(&mut self) {
        if self.l4 != Some(TCP) {
            self.meta(NFT_META_L4PROTO);
            self.compare(NFT_CMP_EQ, &[TCP]);
            self.l4 = Some(TCP);
        }
    }

    fn destination_type(&mut self, of_interface: bool) {
        self.program.push(Expression::DestinationType { of_interface, register: NFT_REG_1 });
        self.compare(NFT_CMP_EQ, &RTN_LOCAL.to_ne_bytes());
    }

    fn meta(&mut self, key: u32) {
        self.program.push(Expression::Meta { key, register: NFT_REG_1 });
    }

    fn network(&mut self, offset: u32, length: u32) {
        let base = NFT_PAYLOAD_NETWORK_HEADER;
        self.program.push(Expression::Payload { base, offset, length, register: NFT_REG_1 });
    }

    fn transport(&mut self, offset: u32, length: u32) {
        let base = NFT_PAYLOAD_TRANSPORT_HEADER;
        self.program.push(Expression::Payload { base, offset, length, register: NFT_REG_1 });
    }

    fn mask(&mut self, mask: &[u8]) {
        self.program.push(Expression::Mask { register: NFT_REG_1, mask: mask.to_vec() });
    }

    fn compare(&mut self, operator: u32, data: &[u8]) {
        self.program.push(Expression::Compare { register: NFT_REG_1, operator, data: data.to_vec() });
    }
}

/// Ranges that touch become one: in an anonymous set the kernel would not find what begins where another ends.
fn joined(elements: &Elements) -> Elements {
    macro_rules! join {
        ($list:expr) => {{
            let mut joined: Vec<_> = Vec::with_capacity($list.len());
            for &(first, last) in $list {
                match joined.last_mut() {
                    Some((_, end)) if first.checked_sub(1) == Some(*end) => *end = last,
                    _ => joined.push((first, last)),
                }
            }
            joined
        }};
    }
    match elements {
        Elements::Ipv4(list) => Elements::Ipv4(join!(list)),
        Elements::Ipv6(list) => Elements::Ipv6(join!(list)),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            elements.clone()
        }
    }
}

fn mask_byte(bits: usize, byte: usize) -> u8 {
    match bits.saturating_sub(byte * 8) {
        0 => 0,
        some => u8::MAX.checked_shl(8_u32.saturating_sub(some as u32)).unwrap_or(u8::MAX),
    }
}
