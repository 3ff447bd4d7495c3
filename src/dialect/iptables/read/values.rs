//! What stands behind options: addresses, ports, names, flags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::ir::{AddressTypes, ConnectionStates, DeviceName, Elements, End, Family, TcpFlags};
use crate::net::{Cidr, Interface, PortRange, Ports};

/// `FIRST-LAST`, or one address.
pub(super) fn range(text: &str, family: Family) -> Option<Elements> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if family == Family::Ip6 {
        let (first, last): (Ipv6Addr, Ipv6Addr) = (first.parse().ok()?, last.parse().ok()?);
        return (first <= last).then(|| Elements::ipv6(vec![(first.to_bits(), last.to_bits())]));
    }
    let (first, last): (Ipv4Addr, Ipv4Addr) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| Elements::ipv4(vec![(first.to_bits(), last.to_bits())]))
}

/// An address, with a prefix length or a mask. Bits behind the prefix do not count. `None` for a host name, a mask with
/// holes, a number with a leading zero (octal to iptables), and an address of the other family.
pub(super) fn network(text: &str, family: Family) -> Option<Cidr> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let (address, width) = match family {
        Family::Ip6 => (IpAddr::V6(Ipv6Addr::from_str(address).ok()?), 128),
        Family::Ip | Family::Inet | Family::Netdev => (IpAddr::V4(Ipv4Addr::from_str(address).ok()?), 32),
    };
    let length = match length {
        None => width,
        Some(length) => number(length).and_then(|n| u8::try_from(n).ok()).or_else(|| mask_length(length, family))?,
    };
    Cidr::containing(address, length)
}

/// The addresses of one network, in no more memory than that takes: there may be a rule for each of 100,000 hosts.
pub(super) fn elements(network: Cidr) -> Elements {
    match (network.first(), network.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Elements::Ipv4(vec![(first.to_bits(), last.to_bits())]),
        (IpAddr::V6(first), IpAddr::V6(last)) => Elements::Ipv6(vec![(first.to_bits(), last.to_bits())]),
        _ => Elements::Unknown,
    }
}

fn mask_length(mask: &str, family: Family) -> Option<u8> {
    let (ones, all) = match family {
        Family::Ip6 => {
            let bits = Ipv6Addr::from_str(mask).ok()?.to_bits();
            (bits.leading_ones(), bits.count_ones())
        }
        Family::Ip | Family::Inet | Family::Netdev => {
            let bits = Ipv4Addr::from_str(mask).ok()?.to_bits();
            (bits.leading_ones(), bits.count_ones())
        }
    };
    u8::try_from(ones).ok().filter(|_| ones == all)
}

/// A number in its one decimal spelling.
pub(super) fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| canonical && text.bytes().all(|b| b.is_ascii_digit()))
}

/// An interface that means itself: no wildcard.
pub(super) fn interface(name: &str) -> Option<Interface> {
    if name == "lo" { Some(Interface::loopback()) } else { name.parse().ok() }
}

/// The names of interfaces that a test means: `+` at the end stands for whatever follows.
pub(super) fn device(name: &str) -> Option<DeviceName> {
    let Some(begin) = name.strip_suffix('+') else { return interface(name).map(DeviceName::Is) };
    let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (begin.len() < Interface::LONGEST && begin.chars().all(fit)).then(|| DeviceName::Begins(begin.to_owned()))
}

/// A mark, or a value and the bits that are looked at: decimal, or hexadecimal.
pub(super) fn mark(text: &str) -> Option<(u32, u32)> {
    let bits = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => number(text),
    };
    match text.split_once('/') {
        None => Some((bits(text)?, u32::MAX)),
        Some((value, mask)) => Some((bits(value)?, bits(mask)?)),
    }
}

/// Names of kinds of addresses.
pub(super) fn address_types(list: &str) -> Option<AddressTypes> {
    list.split(',').map(AddressTypes::named).try_fold(AddressTypes::default(), |all, one| Some(all.with(one?)))
}

/// Addresses and ports, each from the first to the last; `None` for those that stay as they are.
pub(super) type Ends = (Option<(IpAddr, IpAddr)>, Option<(u16, u16)>);

/// An address, a range of them, and ports behind a colon: `10.0.0.1-10.0.0.5:80-90`, `[fd00::1]:80`. What stands behind a
/// slash says only which port becomes which.
pub(super) fn target(text: &str) -> Option<Ends> {
    if let Some((inside, behind)) = text.strip_prefix('[').and_then(|text| text.rsplit_once(']')) {
        let inside = inside.replace(['[', ']'], "");
        let ports = match behind.strip_prefix(':') {
            Some(ports) => Some(port_span(ports)?),
            None if behind.is_empty() => None,
            None => return None,
        };
        return Some((Some(address_span(&inside)?), ports));
    }
    if let Some(addresses) = address_span(text) {
        return Some((Some(addresses), None));
    }
    let (addresses, ports) = text.split_once(':')?;
    let addresses = if addresses.is_empty() { None } else { Some(address_span(addresses)?) };
    Some((addresses, Some(port_span(ports)?)))
}

fn address_span(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last))
}

/// `80`, `80-90`, `80-90/80`.
pub(super) fn port_span(text: &str) -> Option<(u16, u16)> {
    let text = text.split_once('/').map_or(text, |(ports, _)| ports);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| number(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

/// The number of a protocol; 0 for all. The names are those of iptables itself, and of /etc/protocols that are the same
/// everywhere (IANA protocol numbers).
pub(super) fn protocol(name: &str) -> Option<u8> {
    Some(match name.to_ascii_lowercase().as_str() {
        "all" => 0,
        "icmp" => 1,
        "igmp" => 2,
        "ipencap" => 4,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "ipv6" => 41,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" | "ipv6-icmp" => 58,
        "ospf" => 89,
        "pim" => 103,
        "vrrp" => 112,
        "sctp" => 132,
        "mh" | "ipv6-mh" | "mobility-header" => 135,
        "udplite" => 136,
        other => return number(other).and_then(|n| u8::try_from(n).ok()),
    })
}

/// `7`, `7:9`, `:9`, `7:`.
pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| number(text).and_then(|n| u16::try_from(n).ok());
    let (first, last) = match text.split_once(':') {
        None => (port(text)?, port(text)?),
        Some((first, last)) => {
            (if first.is_empty() { 0 } else { port(first)? }, if last.is_empty() { u16::MAX } else { port(last)? })
        }
    };
    (first <= last).then_some((first, last))
}

/// Every port but these and 0.
pub(super) fn other_ports(ports: &Ports) -> Ports {
    let starts = std::iter::once(Some(1)).chain(ports.ranges().iter().map(|range| range.last().checked_add(1)));
    let ends = ports.ranges().iter().map(|range| range.first() - 1).chain([u16::MAX]);
    starts.zip(ends).filter_map(|(start, end)| PortRange::new(start?, end)).collect()
}

/// Names of TCP flags, as `--tcp-flags` has them.
pub(super) fn flags(list: &str) -> Option<TcpFlags> {
    let flag = |name: &str| {
        Some(match name.to_ascii_uppercase().as_str() {
            "FIN" => 0x01,
            "SYN" => 0x02,
            "RST" => 0x04,
            "PSH" => 0x08,
            "ACK" => 0x10,
            "URG" => 0x20,
            "ALL" => 0x3f,
            "NONE" => 0,
            _ => return None,
        })
    };
    list.split(',').map(flag).try_fold(0, |all, one| Some(all | one?)).map(TcpFlags)
}

/// The ends that the parts of a set's elements are compared with: `src,dst`, at most six (IPSET_DIM_MAX).
pub(super) fn ends(list: &str) -> Option<Vec<End>> {
    let end = |name| match name {
        "src" => Some(End::Source),
        "dst" => Some(End::Destination),
        _ => None,
    };
    list.split(',').map(end).collect::<Option<Vec<End>>>().filter(|ends| ends.len() <= 6)
}

/// Names of connection states. `SNAT` and `DNAT` are no states of the IR.
pub(super) fn states(list: &str) -> Option<ConnectionStates> {
    let state = |name: &str| {
        let known = ConnectionStates::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.map(|(state, _)| state.0)
    };
    list.split(',').map(state).try_fold(0, |all, one| Some(all | one?)).map(ConnectionStates)
}

/// `10/minute` and its abbreviations, where it makes whole packets a minute (libxt_limit.c, parse_rate).
pub(super) fn per_minute(rate: &str) -> Option<u32> {
    let (count, unit) = rate.split_once('/').unwrap_or((rate, "second"));
    let count = number(count).filter(|&count| count > 0)?;
    let unit = unit.to_ascii_lowercase();
    let is = |full: &str| !unit.is_empty() && full.starts_with(&unit);
    let whole = |divisor: u32| (count % divisor == 0).then_some(count / divisor);
    if is("second") {
        count.checked_mul(60)
    } else if is("minute") {
        Some(count)
    } else if is("hour") {
        whole(60)
    } else if is("day") {
        whole(24 * 60)
    } else {
        None
    }
}

/// A name as the IR takes it: what is not a letter, a digit, `_` or `-` becomes `_x` with its number. So does the
/// underscore of a name that has such a thing in it by itself: two names never become one.
pub(in crate::dialect) fn name(name: &str) -> String {
    let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.bytes().all(fit) && !name.contains("_x") {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 8);
    let mut rest = name.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let escape = matches!(rest, [b'_', b'x', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        if fit(byte) && !escape {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("_x{byte:02x}"));
        }
        rest = behind;
    }
    text
}

/// A comment or prefix as the IR takes it: without quotes, backslashes and control characters.
pub(super) fn text(text: &str) -> String {
    let unfit = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\');
    if text.bytes().all(|b| b.is_ascii() && !unfit(char::from(b))) {
        return text.to_owned();
    }
    text.chars().map(|c| if unfit(c) { '?' } else { c }).collect()
}

/// The comments of a rule as one.
pub(super) fn joined(mut comments: Vec<String>) -> Option<String> {
    comments.retain(|comment| !comment.is_empty());
    match comments.len() {
        0 | 1 => comments.pop(),
        _ => Some(comments.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_as_iptables_has_them() {
        let net = |text| network(text, Family::Ip).map(|net| net.to_string());
        assert_eq!(net("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(net("10.1.2.3/255.255.0.0").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(net("10.1.2.3/32").as_deref(), Some("10.1.2.3"));
        for bad in ["10", "010.0.0.1", "10.0.0.1/33", "10.0.0.1/08", "10.0.0.0/255.0.255.0", "host", "::1", "", "/"] {
            assert_eq!(net(bad), None, "{bad}");
        }
        let net = |text| network(text, Family::Ip6).map(|net| net.to_string());
        assert_eq!(net("fd00::5/64").as_deref(), Some("fd00::/64"));
        assert_eq!(net("fd00::5/ffff::").as_deref(), Some("fd00::/16"));
        assert_eq!(net("::ffff:1.2.3.4/128").as_deref(), Some("::ffff:1.2.3.4"));
        assert_eq!(net("10.0.0.1"), None);
    }

    #[test]
    fn rates_in_whole_packets_a_minute() {
        for (text, rate) in [
            ("10/minute", Some(10)),
            ("10/min", Some(10)),
            ("10/M", Some(10)),
            ("5/sec", Some(300)),
            ("5", Some(300)),
            ("120/hour", Some(2)),
            ("3/hour", None),
            ("1440/day", Some(1)),
            ("1/day", None),
            ("0/min", None),
            ("5/", None),
            ("5/week", None),
            ("99999999999/s", None),
            ("99999999/s", None),
        ] {
            assert_eq!(per_minute(text), rate, "{text}");
        }
    }

    #[test]
    fn names_fit_and_never_meet() {
        let pairs = [
            ("RINGFENCE-ADMIT_1", "RINGFENCE-ADMIT_1"),
            ("eth0.100", "eth0_x2e100"),
            ("eth0_x2e100", "eth0_x5fx2e100"),
            ("a_x", "a_x"),
            ("é+", "_xc3_xa9_x2b"),
        ];
        for (from, to) in pairs {
            assert_eq!(name(from), to);
        }
    }

    #[test]
    fn the_other_ports() {
        let ports = |list: &[(u16, u16)]| list.iter().filter_map(|&(a, b)| PortRange::new(a, b)).collect::<Ports>();
        assert_eq!(other_ports(&ports(&[(1, 1023)])), ports(&[(1024, 65535)]));
        assert_eq!(other_ports(&ports(&[(5, 6), (65535, 65535)])), ports(&[(1, 4), (7, 65534)]));
        assert_eq!(other_ports(&ports(&[(1, 65535)])), ports(&[]));
        assert_eq!(other_ports(&ports(&[])), ports(&[(1, 65535)]));
    }
}
