//! One test of a value → a match of the IR; `None` where it is none.

use super::super::constants::*;
use super::Set;
use super::program::{Program, Test, Value};
use super::values::{Key as _, Values, interface};
use crate::ir::{self, Addresses, Elements, Family, Match, PacketTypes, PortBlock, PortMatch, TcpFlags};
use crate::net::{Interface, PortRange};

/// TCP's protocol number (IANA).
pub const TCP: u8 = 6;
/// The type of an address of this host (RTN_LOCAL, linux/rtnetlink.h).
pub const RTN_LOCAL: u32 = 2;
/// The status of a connection whose destination was translated (IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h).
pub const IPS_DST_NAT: u32 = 1 << 5;
/// Half of a test that the IR has one word for.
pub const ASKING: &str = "ct direction original";
/// The index of the loopback interface in every namespace.
pub const LOOPBACK: u32 = 1;
/// An IPv6 fragment header, and the bits of its second and third byte that hold the offset (RFC 8200, 4.5).
pub const FRAGMENT: u8 = 44;
pub const FRAGMENT_OFFSET: [u8; 2] = [0xff, 0xf8];

/// A single bit of the second byte, and nothing else.
fn flag_bit(mask: &[u8], data: &[u8]) -> Option<Match> {
    let ([0, flag, 0, 0], [0, value, 0, 0]) = (mask, data) else { return None };
    let known = flag.is_power_of_two() && (*value == 0 || value == flag);
    known.then_some(Match::FlagBit { flag: TcpFlags(*flag), set: *value != 0 })
}

impl<'a> Program<'a> {
    /// What a test means, after what the rule has made sure of so far.
    pub(super) fn known(&self, value: &Value, test: &Test<'_>) -> Option<Match> {
        match value {
            Value::Meta(key) => self.meta(*key, test),
            Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length } => {
                self.network(*offset, *length, None, test)
            }
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 } if self.tcp => self.port(test),
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 } => match test {
                Test::Compare(NFT_CMP_EQ, data) => {
                    u16::read(data).map(|first| Match::PortBlock(PortBlock { first, bits: 16 }))
                }
                _ => None,
            },
            Value::DestinationType { of_interface } => match test {
                Test::Compare(NFT_CMP_EQ, data) if native(data)? == RTN_LOCAL => {
                    Some(if *of_interface { Match::DestinationOfInterface } else { Match::DestinationLocal })
                }
                _ => None,
            },
            Value::Connection(NFT_CT_DIRECTION) => match test {
                Test::Compare(NFT_CMP_EQ, [0]) => Some(Match::Unknown(ASKING.to_owned())),
                _ => None,
            },
            Value::Connection(NFT_CT_PROTO_DST) => match self.port(test)? {
                Match::DestinationPort { ports, negated: false } => Some(Match::OriginalPort(ports)),
                _ => None,
            },
            // Equal to a single state.
            Value::ConnectionState => match test {
                Test::Compare(NFT_CMP_EQ, data) => {
                    let state = u8::try_from(native(data)?).ok()?;
                    let known = ir::ConnectionStates::ALL.iter().find(|(own, _)| own.0 == state);
                    known.map(|(states, _)| Match::ConnectionState { states: *states, negated: false })
                }
                _ => None,
            },
            Value::Masked(value, mask) => self.masked(value, mask, test),
            Value::Header { .. }
            | Value::FragmentOffset
            | Value::Connection(_)
            | Value::Constant
            | Value::Loaded(_)
            | Value::Modified(..)
            | Value::Unknown(_) => None,
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
            (NFT_META_PKTTYPE, Test::Compare(operator, [number])) if *number < 4 => {
                let types = PacketTypes(1_u8.checked_shl((*number).into())?);
                Some(Match::PacketType { types, negated: equal(*operator)? })
            }
            (NFT_META_L4PROTO, Test::Compare(operator, [number])) => {
                Some(Match::Protocol { number: *number, negated: equal(*operator)? })
            }
            _ => None,
        }
    }

    /// A field of the IP header, whole or with a mask.
    fn network(&self, offset: u32, length: u32, mask: Option<&[u8]>, test: &Test<'_>) -> Option<Match> {
        let ip = self.ip?;
        if let (Family::Ip, 9, 1, None, Test::Compare(operator @ (NFT_CMP_EQ | NFT_CMP_NEQ), [number])) =
            (ip, offset, length, mask, test)
        {
            return Some(Match::Protocol { number: *number, negated: *operator == NFT_CMP_NEQ });
        }
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
                    true => Addresses::These(values.clone().into_elements()),
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
                let ports = match (values, set.is_anonymous()) {
                    (Values::Ports(_) | Values::Unknown, false) => PortMatch::Set(set.name.clone()),
                    (Values::Ports(_), true) => match values.clone().into_elements() {
                        Elements::Ports(list) => PortMatch::Ports(list.into_iter().collect()),
                        _ => return None,
                    },
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
                // One bit that is not 0 is 1.
                ([mask], Test::Compare(NFT_CMP_NEQ, [0])) if self.tcp && mask.is_power_of_two() => {
                    Some(Match::TcpFlags { mask: TcpFlags(*mask), value: TcpFlags(*mask) })
                }
                _ => None,
            },
            (
                Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 4 },
                Test::Compare(NFT_CMP_EQ, data),
            ) => port_block(mask, data),
            (
                Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 12, length: 4 },
                Test::Compare(NFT_CMP_EQ, data),
            ) => flag_bit(mask, data),
            (Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length }, _) => {
                self.network(*offset, *length, Some(mask), test)
            }
            (Value::FragmentOffset, Test::Compare(NFT_CMP_EQ, [0, 0])) => {
                let known = mask == FRAGMENT_OFFSET && self.ip == Some(Family::Ip6);
                known.then_some(Match::FirstFragment)
            }
            (Value::Connection(NFT_CT_STATUS), Test::Compare(NFT_CMP_NEQ, data)) => {
                let translated = native(mask)? == IPS_DST_NAT && data.iter().all(|byte| *byte == 0);
                translated.then_some(Match::DestinationTranslated)
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
