//! IR → nft text.

use std::fmt::{self, Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use askama::Template;
use thiserror::Error;

use crate::ir::{
    Addresses, Base, Chain, ChainKind, ConnectionStates, Elements, Family, Hook, Match, PacketTypes, Policy, PortBlock,
    PortMatch, Reject, Rule, Ruleset, Set, SetKind, Table, TcpFlags, Verdict,
};
use crate::net::{Cidr, Interface, Ports};

/// So many ports of one service stand on one line.
const PORTS_A_LINE: usize = 10;

#[derive(Template)]
#[template(path = "nft.txt")]
struct File<'a> {
    header: &'a [String],
    tables: Vec<TableRow<'a>>,
}

struct TableRow<'a> {
    family: &'static str,
    name: &'a str,
    sets: Vec<SetRow<'a>>,
    chains: Vec<ChainRow<'a>>,
}

struct SetRow<'a> {
    name: &'a str,
    key: &'static str,
    interval: bool,
    size: Option<u32>,
    elements: ElementLines<'a>,
}

struct ChainRow<'a> {
    name: &'a str,
    base: Option<String>,
    remarks: &'a [String],
    rules: Vec<String>,
}

/// Why a ruleset cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The ruleset has something that was read and not understood, and is not for writing.
    #[error("this was read, not compiled, and cannot be written: {0}")]
    Unknown(String),
    /// A text could leave its comment or its name.
    #[error("this text is not fit to be written into a ruleset: {0:?}")]
    Text(String),
    /// The template failed.
    #[error(transparent)]
    Template(#[from] askama::Error),
}

/// The ruleset as a file that replaces its own tables, whole or not at all, and touches nothing else.
pub fn write(ruleset: &Ruleset) -> Result<String, WriteError> {
    if let Some(text) = ruleset.unfit_text() {
        return Err(WriteError::Text(text.to_owned()));
    }
    let tables = ruleset.tables.iter().map(table_row).collect::<Result<_, _>>()?;
    let file = File { header: &ruleset.header, tables };
    let elements: usize = ruleset.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len()).sum();
    let mut text = String::with_capacity(8192 + elements * 20);
    file.render_into(&mut text)?;
    Ok(text)
}

pub(super) fn unknown(what: &str) -> WriteError {
    WriteError::Unknown(what.to_owned())
}

fn table_row(table: &Table) -> Result<TableRow<'_>, WriteError> {
    Ok(TableRow {
        family: table.family.name(),
        name: &table.name,
        sets: table.sets.iter().map(set_row).collect::<Result<_, _>>()?,
        chains: table.chains.iter().map(|chain| chain_row(table, chain)).collect::<Result<_, _>>()?,
    })
}

fn set_row(set: &Set) -> Result<SetRow<'_>, WriteError> {
    let key = match set.elements {
        Elements::Ipv4(_) => "ipv4_addr",
        Elements::Ipv6(_) => "ipv6_addr",
        Elements::Ports(_) => "inet_service",
        Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            return Err(unknown(&set.name));
        }
    };
    let (interval, size) = match set.kind {
        SetKind::Hash { size } => (false, size),
        SetKind::Interval => (true, None),
    };
    Ok(SetRow { name: &set.name, key, interval, size, elements: ElementLines(set) })
}

fn chain_row<'a>(table: &'a Table, chain: &'a Chain) -> Result<ChainRow<'a>, WriteError> {
    let rules = chain.rules.iter().map(|rule| rule_text(table, rule)).collect::<Result<_, _>>()?;
    Ok(ChainRow { name: &chain.name, base: chain.base.map(base_text), remarks: &chain.remarks, rules })
}

fn base_text(base: Base) -> String {
    let kind = match base.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    };
    let hook = match base.hook {
        Hook::Ingress => "ingress",
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
        Hook::Egress => "egress",
    };
    let policy = match base.policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    format!("type {kind} hook {hook} priority {}; policy {policy};", base.priority)
}

/// A rule as nft writes it, without its line end.
pub(super) fn rule_text(table: &Table, rule: &Rule) -> Result<String, WriteError> {
    let mut parts: Vec<String> = rule.matches.iter().map(|one| match_text(table, one)).collect::<Result<_, _>>()?;
    if let Some(one) = rule.unwritable() {
        return Err(unknown(one.name()));
    }
    if let Some(prefix) = rule.log() {
        parts.push(format!("log prefix \"{prefix}\""));
    }
    if rule.counts() {
        parts.push("counter".into());
    }
    if let Some(verdict) = &rule.verdict {
        parts.push(verdict_text(verdict).map_err(|what| unknown(&what))?);
    }
    if let Some(comment) = &rule.comment {
        parts.push(format!("comment \"{comment}\""));
    }
    Ok(parts.join(" "))
}

/// A verdict as nft writes it, or what nft has no word for here.
pub(super) fn verdict_text(verdict: &Verdict) -> Result<String, String> {
    Ok(match verdict {
        Verdict::Accept => "accept".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Reject(Reject::TcpReset) => "reject with tcp reset".into(),
        Verdict::Reject(Reject::Icmp) => return Err("reject by ICMP".into()),
        Verdict::Return => "return".into(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Unknown(text) => return Err(text.clone()),
    })
}

pub(super) fn match_text(table: &Table, one: &Match) -> Result<String, WriteError> {
    let not = |negated: &bool| if *negated { "!= " } else { "" };
    Ok(match one {
        Match::InInterface { names, negated } => interface_text(names, *negated),
        Match::Source { addresses, negated } => address_text(table, "saddr", addresses, not(negated))?,
        Match::Destination { addresses, negated } => address_text(table, "daddr", addresses, not(negated))?,
        Match::Family(Family::Ip) => "meta nfproto ipv4".into(),
        Match::Family(Family::Ip6) => "meta nfproto ipv6".into(),
        Match::Family(Family::Inet | Family::Netdev) => return Err(unknown("a match on both families")),
        Match::Protocol { number, negated } => {
            let name = if *number == 6 { "tcp".to_owned() } else { number.to_string() };
            format!("meta l4proto {}{name}", not(negated))
        }
        Match::ConnectionState { states, negated } => {
            let names = ConnectionStates::ALL.iter().filter(|(state, _)| states.has(*state)).map(|(_, name)| *name);
            format!("ct state {}{{ {} }}", not(negated), names.collect::<Vec<_>>().join(", "))
        }
        Match::DestinationPort { ports: PortMatch::Set(name), negated } => format!("tcp dport {}@{name}", not(negated)),
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated } => {
            format!("tcp dport {}{}", not(negated), ports_text(ports))
        }
        // Four bytes, because only those are compared without a call in the kernel: source port, destination port.
        Match::PortBlock(PortBlock { first, bits: 16 }) => format!("th dport {first}"),
        Match::PortBlock(block) => format!("@th,0,32 & 0x{:08x} == 0x{:08x}", block.mask(), block.first),
        // The flags are the second of the four bytes from the twelfth on (RFC 9293, 3.1).
        Match::FlagBit { flag, set } => {
            let mask = u32::from(flag.0) << 16;
            format!("@th,96,32 & 0x{mask:08x} == 0x{:08x}", if *set { mask } else { 0 })
        }
        Match::NotDirectlyTcp => "ip6 nexthdr != tcp".into(),
        Match::TcpFlags { mask, value } => format!("tcp flags & ({}) == {}", flags(*mask), flags(*value)),
        Match::DestinationTranslated => "ct direction original ct status dnat".into(),
        Match::OriginalPort(PortMatch::Set(name)) => format!("ct original proto-dst @{name}"),
        Match::OriginalPort(PortMatch::Ports(ports)) => format!("ct original proto-dst {}", ports_text(ports)),
        Match::DestinationLocal => "fib daddr type local".into(),
        Match::DestinationOfInterface => "fib daddr . iif type local".into(),
        Match::PerhapsDirectlyTcp => return Err(unknown("a test that was perhaps lost")),
        Match::PacketType { types, negated } => {
            let names = PacketTypes::ALL.iter().filter(|(one, _)| types.has(*one)).map(|(_, name)| *name);
            let names: Vec<&str> = names.collect();
            format!("meta pkttype {}{{ {} }}", if *negated { "!= " } else { "" }, names.join(", "))
        }
        Match::FirstFragment => "frag frag-off 0".into(),
        Match::Limit { per_minute, burst } => format!("limit rate {per_minute}/minute burst {burst} packets"),
        Match::Foreign(_) => return Err(unknown("a test of somebody else's rule")),
        Match::Unknown(text) => return Err(unknown(text)),
    })
}

fn address_text(table: &Table, field: &str, addresses: &Addresses, not: &str) -> Result<String, WriteError> {
    let elements = match addresses {
        Addresses::Set(name) => {
            let set = table.sets.iter().find(|set| set.name == *name);
            &set.ok_or_else(|| unknown(name))?.elements
        }
        Addresses::These(elements) => elements,
    };
    let header = match elements {
        Elements::Ipv4(_) => "ip",
        Elements::Ipv6(_) => "ip6",
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            return Err(unknown("addresses"));
        }
    };
    let list: Vec<String> = match (addresses, elements) {
        (Addresses::Set(name), _) => vec![format!("@{name}")],
        (_, Elements::Ipv4(list)) => list.iter().map(|&range| Ipv4Range(range).to_string()).collect(),
        (_, Elements::Ipv6(list)) => list.iter().map(|&range| Ipv6Range(range).to_string()).collect(),
        (
            _,
            Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown,
        ) => Vec::new(),
    };
    Ok(match list.as_slice() {
        [one] => format!("{header} {field} {not}{one}"),
        several => format!("{header} {field} {not}{{ {} }}", several.join(", ")),
    })
}

/// Loopback goes by its index, which is one comparison of four bytes; it is there, and is 1, in every namespace. Others
/// go by name, because they may come and go.
fn interface_text(names: &[Interface], negated: bool) -> String {
    let not = if negated { "!= " } else { "" };
    match names {
        [one] if *one == Interface::loopback() => format!("iif {not}\"lo\""),
        [one] => format!("iifname {not}\"{one}\""),
        several => {
            let list: Vec<String> = several.iter().map(|name| format!("\"{name}\"")).collect();
            format!("iifname {not}{{ {} }}", list.join(", "))
        }
    }
}

fn ports_text(ports: &Ports) -> String {
    match ports.ranges() {
        [one] => one.to_string(),
        _ => format!("{{ {ports} }}"),
    }
}

fn flags(flags: TcpFlags) -> String {
    if flags.0 == 0 { "0x0".into() } else { flags.names().collect::<Vec<_>>().join(" | ") }
}

/// The elements of a set, each on its line with its origin behind it.
pub(super) struct ElementLines<'a>(pub(super) &'a Set);

impl Display for ElementLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.elements {
            Elements::Ipv4(list) => self.lines(f, list.iter().map(|&range| Ipv4Range(range))),
            Elements::Ipv6(list) => self.lines(f, list.iter().map(|&range| Ipv6Range(range))),
            Elements::Ports(list) => self.port_lines(f, list),
            Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => Err(fmt::Error),
        }
    }
}

impl ElementLines<'_> {
    fn lines<T: Display>(&self, f: &mut fmt::Formatter<'_>, list: impl ExactSizeIterator<Item = T>) -> fmt::Result {
        let count = list.len();
        let mut origins = self.0.origins.iter();
        for (index, item) in list.enumerate() {
            f.write_str(if index == 0 { "\t\t\t" } else { "\n\t\t\t" })?;
            item.fmt(f)?;
            if index + 1 < count {
                f.write_char(',')?;
            }
            if let Some(origin) = origins.next() {
                write!(f, " # {origin}")?;
            }
        }
        Ok(())
    }

    /// Ports of one service share lines: a range of a hundred is read as one thing.
    fn port_lines(&self, f: &mut fmt::Formatter<'_>, list: &[crate::net::PortRange]) -> fmt::Result {
        let origin = |index: usize| self.0.origins.get(index).map_or("", String::as_str);
        let mut on_line = 0;
        for (index, range) in list.iter().enumerate() {
            let last = index + 1 == list.len();
            f.write_str(match (index, on_line) {
                (0, _) => "\t\t\t",
                (_, 0) => "\n\t\t\t",
                _ => " ",
            })?;
            write!(f, "{range}")?;
            if !last {
                f.write_char(',')?;
            }
            on_line += 1;
            if last || on_line == PORTS_A_LINE || origin(index) != origin(index + 1) {
                if !origin(index).is_empty() {
                    write!(f, " # {}", origin(index))?;
                }
                on_line = 0;
            }
        }
        Ok(())
    }
}

/// An address, a network, or a range that is neither.
struct Ipv4Range((u32, u32));
struct Ipv6Range((u128, u128));

impl Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((first, last)) = *self;
        if first == last {
            return write_ipv4(f, first);
        }
        range_text(f, &Ipv4Addr::from_bits(first), &Ipv4Addr::from_bits(last), Cidr::covering_v4(first, last))
    }
}

impl Display for Ipv6Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self((first, last)) = *self;
        let ends = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
        if first == last { ends.0.fmt(f) } else { range_text(f, &ends.0, &ends.1, Cidr::covering_v6(first, last)) }
    }
}

/// The standard library's way takes a sixth of the whole run at 100,000 addresses.
fn write_ipv4(f: &mut fmt::Formatter<'_>, bits: u32) -> fmt::Result {
    let mut text = [0; 15];
    let mut length = 0;
    let mut put = |byte: u8| {
        if let Some(slot) = text.get_mut(length) {
            *slot = byte;
            length += 1;
        }
    };
    for (index, octet) in bits.to_be_bytes().into_iter().enumerate() {
        if index > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    f.write_str(text.get(..length).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default())
}

fn range_text<T: Display>(
    f: &mut fmt::Formatter<'_>,
    first: &T,
    last: &T,
    mut networks: impl Iterator<Item = Cidr>,
) -> fmt::Result {
    match (networks.next(), networks.next()) {
        (Some(one), None) => one.fmt(f),
        _ => write!(f, "{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for address in ["0.0.0.0", "255.255.255.255", "1.10.100.0", "9.99.199.250", "10.20.0.11"] {
            let bits = address.parse::<Ipv4Addr>().unwrap().to_bits();
            assert_eq!(Ipv4Range((bits, bits)).to_string(), address);
        }
        for (first, last, text) in [(0, u32::MAX, "0.0.0.0/0"), (1, 2, "0.0.0.1-0.0.0.2"), (2, 3, "0.0.0.2/31")] {
            assert_eq!(Ipv4Range((first, last)).to_string(), text);
        }
    }
}
