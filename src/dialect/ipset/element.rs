//! The words of an element: addresses, networks, ranges, ports, interfaces, MACs and marks.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::content::{Range, v4_network, v6_network};
use super::several::{Several, Tuple};
use crate::ir::{DeviceName, Part};
use crate::net::Interface;

/// An element of several parts, with commas between them; `None` where one is not understood, or is missing.
pub(super) fn tuple(value: &str, several: Several, ipv6: bool, wildcard: bool) -> Option<Tuple> {
    let mut tuple = Tuple::default();
    let mut rest = Some(value);
    for (at, part) in several.parts.iter().enumerate() {
        // The name of an interface may have a comma.
        let is_last = at + 1 == several.parts.len();
        let (own, behind) = match rest {
            Some(rest) if !is_last => rest.split_once(',').map_or((rest, None), |(own, behind)| (own, Some(behind))),
            Some(rest) => (rest, None),
            // bitmap:ip,mac has addresses whose MAC is that of the first packet, which is not known yet.
            None if *part == Part::Mac => break,
            None => return None,
        };
        rest = behind;
        match part {
            Part::Address if at == 0 => tuple.first = Some(range(own, ipv6)?),
            Part::Address => tuple.second = Some(range(own, ipv6)?),
            Part::Port => tuple.port = Some(endpoint(own)?),
            Part::Interface => tuple.interface = Some(device(own, wildcard)?),
            Part::Mac => tuple.other = Some(told(tuple.first, &mac(own)?)),
            Part::Mark => tuple.other = Some(told(tuple.first, &format!("{:#x}", mark(own)?))),
        }
    }
    Some(tuple)
}

/// What is not followed, with the address that it is for.
pub(in crate::dialect) fn told(address: Option<Range>, other: &str) -> String {
    match address {
        Some(Range::V4((first, _))) => format!("{},{other}", Ipv4Addr::from(first)),
        Some(Range::V6((first, _))) => format!("{},{other}", Ipv6Addr::from(first)),
        None => other.to_owned(),
    }
}

/// The name of an interface, or what it begins with. `physdev:` is said of the port of a bridge, which no rule asks for (ip_set_hash_netiface.c,
/// IPSET_FLAG_PHYSDEV).
pub(in crate::dialect) fn device(name: &str, wildcard: bool) -> Option<DeviceName> {
    if wildcard {
        return Some(DeviceName::Begins(name.to_owned())).filter(|_| !name.is_empty());
    }
    match name {
        "lo" => Some(DeviceName::Is(Interface::loopback())),
        other => other.parse().ok().map(DeviceName::Is),
    }
}

fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (parts.len() == 6 && parts.iter().all(fits)).then(|| text.to_ascii_lowercase())
}

fn mark(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A protocol and a port, which is `None` where the protocol is not TCP. Without a protocol, or with a name, a port is not read.
fn endpoint(value: &str) -> Option<Option<u16>> {
    let (protocol, port) = value.split_once(':')?;
    match protocol {
        "tcp" => Some(Some(number(port)?)),
        "udp" | "udplite" | "sctp" | "icmp" | "icmpv6" => Some(None),
        _ => None,
    }
}

/// A port, or two with `-`.
pub(super) fn ports(value: &str) -> Option<(u16, u16)> {
    let (first, last) = value.split_once('-').unwrap_or((value, value));
    Some((number(first)?, number(last)?))
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|own: &u16| own.to_string() == text)
}

pub(super) fn range(value: &str, ipv6: bool) -> Option<Range> {
    if ipv6 { v6_range(value).map(Range::V6) } else { v4_range(value).map(Range::V4) }
}

/// An address, a network (bits behind the prefix do not count), or two addresses with `-`.
fn v4_range(value: &str) -> Option<(u32, u32)> {
    let address = |text: &str| Ipv4Addr::from_str(text).ok().map(Ipv4Addr::to_bits);
    if let Some((first, last)) = value.split_once('-') {
        return Some((address(first)?, address(last)?)).filter(|(first, last)| first <= last);
    }
    let Some((first, length)) = value.split_once('/') else { return address(value).map(|bits| (bits, bits)) };
    Some(v4_network(address(first)?, prefix(length, 32)?))
}

fn v6_range(value: &str) -> Option<(u128, u128)> {
    let (address, length) = value.split_once('/').unwrap_or((value, "128"));
    let length = prefix(length, 128)?;
    Some(v6_network(Ipv6Addr::from_str(address).ok()?.to_bits(), length))
}

fn prefix(text: &str, longest: u32) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|&length: &u32| canonical && length <= longest)
}
