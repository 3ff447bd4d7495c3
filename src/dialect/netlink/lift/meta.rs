//! Tests of what stands in no header: interfaces, marks, families.

use super::super::attributes::text_of;
use super::super::constants::*;
use super::matches::{LOOPBACK, native, unequal};
use super::program::Program;
use super::value::Test;
use super::values::Values;
use crate::ir::{DeviceName, Family, Foreign, Marked, Match, PacketTypes, Side};
use crate::net::Interface;

/// Bytes of an interface's name in a register (IFNAMSIZ, linux/if.h).
const NAME: usize = 16;

impl Program<'_> {
    pub(super) fn meta(&self, key: u32, test: &Test<'_>) -> Option<Match> {
        match (key, test) {
            (NFT_META_IIF | NFT_META_OIF, Test::Compare(operator, data)) => {
                let negated = unequal(*operator)?;
                let name = match native(data)? {
                    LOOPBACK => Interface::loopback(),
                    number => self.names.filter(|_| !self.strict)?.devices.get(&number)?.clone(),
                };
                Some(device(side_of(key), vec![DeviceName::Is(name)], negated))
            }
            (NFT_META_IIFNAME | NFT_META_OIFNAME, Test::Compare(operator, data)) => {
                let negated = unequal(*operator)?;
                let name = self.name(data)?;
                Some(device(side_of(key), vec![name], negated))
            }
            (NFT_META_IIFNAME, Test::Lookup(negated, set)) => match self.set(set)? {
                (set, Values::Interfaces(names)) if set.is_anonymous() => {
                    Some(Match::InInterface { names: names.clone(), negated: *negated })
                }
                _ => None,
            },
            (NFT_META_NFPROTO, Test::Compare(operator, [family])) if !self.at_devices => {
                let family = match *family {
                    NFPROTO_IPV4 => Family::Ip,
                    NFPROTO_IPV6 => Family::Ip6,
                    _ => return None,
                };
                Some(Match::Family(if unequal(*operator)? { other_than(family) } else { family }))
            }
            (NFT_META_PROTOCOL, Test::Compare(NFT_CMP_EQ, data)) => match data {
                [0x08, 0x00] => Some(Match::Family(Family::Ip)),
                [0x86, 0xdd] => Some(Match::Family(Family::Ip6)),
                _ => None,
            },
            (NFT_META_PKTTYPE, Test::Compare(operator, [number])) if *number < 4 => {
                let types = PacketTypes(1_u8.checked_shl((*number).into())?);
                Some(Match::PacketType { types, negated: unequal(*operator)? })
            }
            (NFT_META_L4PROTO, Test::Compare(operator, [number])) => {
                Some(Match::Protocol { number: *number, negated: unequal(*operator)? })
            }
            (NFT_META_IIFGROUP | NFT_META_OIFGROUP, Test::Compare(operator, data)) => {
                let side = if key == NFT_META_IIFGROUP { Side::In } else { Side::Out };
                let (group, negated) = (native(data)?, unequal(*operator)?);
                Some(Match::Foreign(Foreign::Group { side, group, negated }))
            }
            (NFT_META_SDIFNAME, Test::Compare(operator, data)) => {
                let (name, negated) = (self.name(data).filter(|name| !name.fits(""))?, unequal(*operator)?);
                Some(Match::Foreign(Foreign::PartOfVrf { name, negated }))
            }
            (NFT_META_MARK, _) => self.mark(Marked::Packet, u32::MAX, test),
            _ => None,
        }
    }

    #[allow(clippy::unused_self, reason = "one of the tests of a value, as the others")]
    pub(super) fn mark(&self, of: Marked, mask: u32, test: &Test<'_>) -> Option<Match> {
        let Test::Compare(operator, data) = test else { return None };
        let (value, negated) = (native(data)?, unequal(*operator)?);
        Some(Match::Foreign(Foreign::Mark { of, mask, value, negated }))
    }

    /// A test that a name is one of these, or begins like one of these.
    pub(super) fn names(&self, key: u32, ranges: &[(&[u8], &[u8])]) -> Option<Match> {
        let one = |(from, to): &(&[u8], &[u8])| {
            if from == to {
                return self.name(from).filter(|_| from.len() == NAME);
            }
            // All that begin so lie between the beginning with zeros and with ones behind it.
            let length = from.iter().zip(*to).take_while(|(from, to)| from == to).count();
            let (begin, low) = from.split_at_checked(length)?;
            let high = to.get(length..)?;
            let whole = low.iter().all(|byte| *byte == 0) && high.iter().all(|byte| *byte == u8::MAX);
            beginning(begin).filter(|_| whole && from.len() == NAME)
        };
        let mut names = ranges.iter().map(one).collect::<Option<Vec<DeviceName>>>()?;
        names.sort();
        names.dedup();
        Some(device(side_of(key), names, false))
    }

    /// A name that is compared: with its end mark it is the whole, without one a beginning.
    fn name(&self, data: &[u8]) -> Option<DeviceName> {
        if !data.contains(&0) && data.len() < NAME {
            return beginning(data);
        }
        let name = text_of(data);
        if data.len() > NAME || !data.iter().skip(name.len()).all(|byte| *byte == 0) {
            return None;
        }
        match name.as_str() {
            // Another device may have taken the name of the loopback interface, which goes by its number.
            "lo" => (!self.strict).then(|| DeviceName::Is(Interface::loopback())),
            name => name.parse().ok().map(DeviceName::Is),
        }
    }
}

fn beginning(bytes: &[u8]) -> Option<DeviceName> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    text.chars().all(|c| c.is_ascii_graphic()).then(|| DeviceName::Begins(text.to_owned()))
}

fn other_than(family: Family) -> Family {
    if family == Family::Ip { Family::Ip6 } else { Family::Ip }
}

fn side_of(key: u32) -> Side {
    match key {
        NFT_META_OIF | NFT_META_OIFNAME => Side::Out,
        _ => Side::In,
    }
}

/// The guard's own word, where it is enough.
pub(super) fn device(side: Side, names: Vec<DeviceName>, negated: bool) -> Match {
    let whole = |name: &DeviceName| match name {
        DeviceName::Is(name) => Some(name.clone()),
        DeviceName::Begins(_) => None,
    };
    match (side, names.iter().map(whole).collect::<Option<Vec<Interface>>>()) {
        (Side::In, Some(names)) => Match::InInterface { names, negated },
        _ => Match::Foreign(Foreign::Device { side, names, negated }),
    }
}
