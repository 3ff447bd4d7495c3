//! One test of a value → a match of the IR; `None` where it is none.

use super::super::constants::*;
use super::finish::Alternatives;
use super::program::Program;
use super::value::{Test, Value};
use super::values::{Key as _, Values};
use super::{Set, ports, routes};
use crate::dialect::marks::between;
use crate::ir::{self, Addresses, Elements, End, Family, Foreign, Match, PortBlock, PortMatch, TcpFlags};

/// TCP's protocol number (IANA).
pub const TCP: u8 = 6;
/// The type of an address of this host (RTN_LOCAL, linux/rtnetlink.h).
pub const RTN_LOCAL: u32 = 2;
/// The status of a connection whose destination was translated (IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h).
pub const IPS_DST_NAT: u32 = 1 << 5;
/// The same for the source (IPS_SRC_NAT).
const IPS_SRC_NAT: u32 = 1 << 4;
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
    /// The same as [`Self::known`], also where only alternatives can say it, or where there is more to it than can be said.
    pub(super) fn alternatives(&self, value: &Value, test: &Test<'_>) -> Option<Alternatives> {
        if let Some(one) = self.known(value, test) {
            return Some(vec![vec![one]]);
        }
        match (value, test) {
            (Value::InOrder(of), test) => ordered_mark(of, test),
            // Where an IPv6 packet has no other header in front of its TCP, it has not this one.
            (
                Value::HeaderPresent(0 | 43 | 44 | 60 | 135),
                Test::Compare(NFT_CMP_EQ, [0]) | Test::Compare(NFT_CMP_NEQ, [1]),
            ) => {
                let family = Some(Match::Family(Family::Ip6)).filter(|_| self.ip != Some(Family::Ip6));
                Some(vec![family.into_iter().chain([Match::PerhapsDirectlyTcp]).collect()])
            }
            (
                Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 },
                Test::Range(false, from, to),
            ) if !self.tcp => ports::blocks(u16::read(from)?, u16::read(to)?),
            // None of these flags as they are told: the first that differs is one of them.
            (Value::Masked(of, mask), Test::Compare(NFT_CMP_NEQ, [value])) if self.tcp && is_flags(of) => {
                match mask.as_slice() {
                    [mask] if value & !mask == 0 => Some(other_flags(*mask, *value)),
                    _ => None,
                }
            }
            // Both ports at once.
            (
                Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 4 },
                Test::Compare(NFT_CMP_EQ, data),
            ) => {
                let (from, to) = data.split_at_checked(2)?;
                let (from, to) = (u16::read(from)?, u16::read(to)?);
                let of_tcp = || vec![ports::source(&[(from, from)], false), ports::destination(&[(to, to)], false)];
                let other = || {
                    vec![Match::PortBlock(PortBlock { first: to, bits: 16 }), Match::Unknown(format!("{value} {test}"))]
                };
                Some(vec![if self.tcp { of_tcp() } else { other() }])
            }
            // The protocol right behind the IPv6 header. Where it is a transport protocol, that is the packet's; but the
            // packet may have the same one behind other headers, which the IR cannot say.
            (
                Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 1 },
                Test::Compare(NFT_CMP_EQ, [number]),
            ) if self.ip == Some(Family::Ip6) && !is_extension_header(*number) => {
                let protocol = Match::Protocol { number: *number, negated: false };
                Some(vec![vec![protocol, Match::Unknown(format!("{value} {test}"))]])
            }
            _ => None,
        }
    }

    /// A single test that a value lies in one of these ranges, for values of which there may be many.
    pub(super) fn listed(&self, value: &Value, ranges: &[(&[u8], &[u8])]) -> Option<Match> {
        match value {
            Value::Header { base: NFT_PAYLOAD_NETWORK_HEADER, offset, length } => {
                let addresses = Addresses::These(match (self.ip?, length) {
                    (Family::Ip, 4) => Elements::ipv4(all_of(ranges)?),
                    (Family::Ip6, 16) => Elements::ipv6(all_of(ranges)?),
                    _ => return None,
                });
                self.address(*offset, addresses, false)
            }
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 } if self.tcp => {
                Some(ports::destination(&all_of(ranges)?, false))
            }
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2 } if self.tcp => {
                Some(ports::source(&all_of(ranges)?, false))
            }
            Value::Meta(key @ (NFT_META_IIFNAME | NFT_META_OIFNAME)) => self.names(*key, ranges),
            _ => None,
        }
    }

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
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2 } if self.tcp => {
                let (ranges, negated) = ports::compared(test)?;
                Some(ports::source(&ranges, negated))
            }
            Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 13, length: 1 } if self.tcp => match test {
                Test::Compare(NFT_CMP_EQ, [value]) => {
                    Some(Match::TcpFlags { mask: TcpFlags(u8::MAX), value: TcpFlags(*value) })
                }
                _ => None,
            },
            Value::DestinationType { of_interface } => routes::destination_type(*of_interface, test),
            Value::SourceType => routes::source_type(test),
            Value::Connection(NFT_CT_DIRECTION) => match test {
                Test::Compare(operator, [way @ (0 | 1)]) => {
                    let reply = (*way == 1) != unequal(*operator)?;
                    Some(Match::Foreign(Foreign::Direction { reply }))
                }
                _ => None,
            },
            Value::Connection(NFT_CT_MARK) => self.mark(ir::Marked::Connection, u32::MAX, test),
            Value::WayBack { same_interface, numbered } => routes::way_back((*same_interface, *numbered), test),
            Value::HeaderPresent(header @ (0 | 43 | 60 | 135)) => match test {
                Test::Compare(NFT_CMP_EQ, [1]) | Test::Compare(NFT_CMP_NEQ, [0]) => {
                    Some(Match::Foreign(Foreign::ExtensionHeader(format!("exthdr {header} exists"))))
                }
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
            | Value::Constant(_)
            | Value::HeaderPresent(_)
            | Value::Loaded { .. }
            | Value::Mapped { .. }
            | Value::Modified(..)
            | Value::InOrder(_)
            | Value::Unknown(_) => None,
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
        // Flags, and behind them the offset.
        if let (Family::Ip, 6, 2, Some([0x1f, 0xff]), Test::Compare(operator, [0, 0])) =
            (ip, offset, length, mask, test)
        {
            return Some(Match::Foreign(Foreign::LaterFragment { negated: !unequal(*operator)? }));
        }
        let whole = if ip == Family::Ip { 4 } else { 16 };
        let (addresses, negated) = match test {
            Test::Lookup(negated, name) if length == whole && mask.is_none() => {
                let (set, values) = self.set(name)?;
                let fits = matches!(
                    (ip, values.lasting()),
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
        self.address(offset, addresses, negated)
    }

    /// The source or the destination, by where it stands in the header.
    fn address(&self, offset: u32, addresses: Addresses, negated: bool) -> Option<Match> {
        match (self.ip?, offset) {
            (Family::Ip, 12) | (Family::Ip6, 8) => Some(Match::Source { addresses, negated }),
            (Family::Ip, 16) | (Family::Ip6, 24) => Some(Match::Destination { addresses, negated }),
            _ => None,
        }
    }

    fn port(&self, test: &Test<'_>) -> Option<Match> {
        let Test::Lookup(negated, name) = test else {
            let (ranges, negated) = ports::compared(test)?;
            return Some(ports::destination(&ranges, negated));
        };
        let (set, values) = self.set(name)?;
        match (values.lasting(), set.is_anonymous()) {
            (Values::Ports(_) | Values::Unknown, false) if set.key_length == 2 => {
                let ports = PortMatch::Set(set.name.clone());
                Some(Match::DestinationPort { ports, negated: *negated })
            }
            (Values::Ports(list), true) if !matches!(values, Values::Passing(_)) => {
                Some(ports::destination(list, *negated))
            }
            _ => None,
        }
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
            (Value::Connection(NFT_CT_STATUS), Test::Compare(operator, data)) => {
                let (mask, data) = (native(mask)?, native(data)?);
                let end = match mask {
                    IPS_DST_NAT => End::Destination,
                    IPS_SRC_NAT => End::Source,
                    _ => return None,
                };
                // A single bit is 0, or is itself.
                let negated = match (data, unequal(*operator)?) {
                    (0, unequal) => !unequal,
                    (bit, unequal) if bit == mask => unequal,
                    _ => return None,
                };
                Some(Match::Foreign(Foreign::Translated { end, negated }))
            }
            (Value::Meta(NFT_META_MARK), _) => self.mark(ir::Marked::Packet, native(mask)?, test),
            (Value::Connection(NFT_CT_MARK), _) => self.mark(ir::Marked::Connection, native(mask)?, test),
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

    pub(super) fn set(&self, name: &str) -> Option<&(&'a Set, Values)> {
        self.sets.get(name)
    }
}

/// A mark that is compared as a number.
fn ordered_mark(value: &Value, test: &Test<'_>) -> Option<Alternatives> {
    let of = match value {
        Value::Meta(NFT_META_MARK) => ir::Marked::Packet,
        Value::Connection(NFT_CT_MARK) => ir::Marked::Connection,
        _ => return None,
    };
    let (ends, negated) = match test {
        Test::Compare(operator, data) => {
            let limit = u32::read(data)?;
            let ends = match *operator {
                NFT_CMP_LT => (0, limit.checked_sub(1)?),
                NFT_CMP_LTE => (0, limit),
                NFT_CMP_GT => (limit.checked_add(1)?, u32::MAX),
                NFT_CMP_GTE => (limit, u32::MAX),
                _ => return None,
            };
            (ends, false)
        }
        Test::Range(negated, from, to) => {
            (Some((u32::read(from)?, u32::read(to)?)).filter(|(from, to)| from <= to)?, *negated)
        }
        Test::Lookup(..) => return None,
    };
    between(of, ends, negated).map(|tests| vec![tests])
}

/// A number in the host's byte order.
pub(super) fn native(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_ne_bytes)
}

/// Whether a comparison asks for another value; `None` where it asks for less or more.
pub(super) fn unequal(operator: u32) -> Option<bool> {
    match operator {
        NFT_CMP_EQ => Some(false),
        NFT_CMP_NEQ => Some(true),
        _ => None,
    }
}

/// The byte with the TCP flags.
fn is_flags(value: &Value) -> bool {
    *value == Value::Header { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 13, length: 1 }
}

/// Of the flags in `mask` not exactly those in `value` are set; no two of the alternatives hold at once.
pub(super) fn other_flags(mask: u8, value: u8) -> Alternatives {
    let mut same = 0_u8;
    let mut all = Alternatives::new();
    for bit in (0..8).map(|bit| 1_u8 << bit).filter(|bit| mask & bit != 0) {
        let value = (value & same) | (!value & bit);
        all.push(vec![Match::TcpFlags { mask: TcpFlags(same | bit), value: TcpFlags(value) }]);
        same |= bit;
    }
    all
}

/// Hop-by-hop options, routing, fragment, authentication, nothing, destination options (IANA): no transport.
fn is_extension_header(number: u8) -> bool {
    matches!(number, 0 | 43 | 44 | 51 | 59 | 60)
}

fn all_of<T: super::values::Key>(ranges: &[(&[u8], &[u8])]) -> Option<Vec<(T, T)>> {
    let one = |(from, to): &(&[u8], &[u8])| Some((T::read(from)?, T::read(to)?));
    ranges.iter().map(one).map(|one| one.filter(|(from, to)| from <= to)).collect()
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
