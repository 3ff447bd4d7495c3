//! IR → nft text.

use std::fmt::{self, Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use askama::Template;

use crate::ir::{
    Addresses, Chain, Elements, Family, Hook, Match, PortMatch, Rule, Ruleset, Set, SetKind, Table, TcpFlags, Verdict,
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

/// The ruleset as a file that replaces its own tables, whole or not at all, and touches nothing else.
pub fn write(ruleset: &Ruleset) -> Result<String, fmt::Error> {
    let tables = ruleset.tables.iter().map(table_row).collect();
    let file = File { header: &ruleset.header, tables };
    let elements: usize = ruleset.tables.iter().flat_map(|table| &table.sets).map(|set| set.elements.len()).sum();
    let mut text = String::with_capacity(8192 + elements * 20);
    file.render_into(&mut text).map_err(|_| fmt::Error)?;
    Ok(text)
}

fn table_row(table: &Table) -> TableRow<'_> {
    let chains = table.chains.iter().map(|chain| chain_row(table, chain)).collect();
    TableRow { family: family(table.family), name: &table.name, sets: table.sets.iter().map(set_row).collect(), chains }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
    }
}

fn set_row(set: &Set) -> SetRow<'_> {
    let key = match set.elements {
        Elements::Ipv4(_) => "ipv4_addr",
        Elements::Ipv6(_) => "ipv6_addr",
        Elements::Ports(_) => "inet_service",
    };
    let (interval, size) = match set.kind {
        SetKind::Hash { size } => (false, Some(size)),
        SetKind::Interval => (true, None),
    };
    SetRow { name: &set.name, key, interval, size, elements: ElementLines(set) }
}

fn chain_row<'a>(table: &'a Table, chain: &'a Chain) -> ChainRow<'a> {
    let base = chain.base.map(|base| {
        let hook = match base.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
        };
        format!("type filter hook {hook} priority {}; policy accept;", base.priority)
    });
    ChainRow {
        name: &chain.name,
        base,
        remarks: &chain.remarks,
        rules: chain.rules.iter().map(|rule| rule_text(table, rule)).collect(),
    }
}

/// A rule as nft writes it, without its line end.
#[must_use]
fn rule_text(table: &Table, rule: &Rule) -> String {
    let mut parts: Vec<String> = rule.matches.iter().map(|one| match_text(table, one)).collect();
    if let Some(prefix) = &rule.log {
        parts.push(format!("log prefix \"{prefix}\""));
    }
    if rule.counter {
        parts.push("counter".into());
    }
    if let Some(verdict) = &rule.verdict {
        parts.push(match verdict {
            Verdict::Drop => "drop".into(),
            Verdict::Reset => "reject with tcp reset".into(),
            Verdict::Return => "return".into(),
            Verdict::Jump(chain) => format!("jump {chain}"),
            Verdict::Goto(chain) => format!("goto {chain}"),
        });
    }
    if let Some(comment) = &rule.comment {
        parts.push(format!("comment \"{comment}\""));
    }
    parts.join(" ")
}

fn match_text(table: &Table, one: &Match) -> String {
    match one {
        Match::InInterface { names, negated } => interface_text(names, *negated),
        Match::Source(Addresses::Set(name)) => {
            let v6 = table.sets.iter().any(|set| set.name == *name && matches!(set.elements, Elements::Ipv6(_)));
            format!("{} saddr @{name}", if v6 { "ip6" } else { "ip" })
        }
        Match::Source(Addresses::Network(network)) => {
            format!("{} saddr {network}", if network.is_ipv4() { "ip" } else { "ip6" })
        }
        Match::Tcp { negated: false } => "meta l4proto tcp".into(),
        Match::Tcp { negated: true } => "meta l4proto != tcp".into(),
        Match::DestinationPort(PortMatch::Set(name)) => format!("tcp dport @{name}"),
        Match::DestinationPort(PortMatch::Ports(ports)) => format!("tcp dport {}", ports_text(ports)),
        // Four bytes, because only those are compared without a call in the kernel: source port, destination port.
        Match::PortBlock(block) => format!("@th,0,32 & 0x{:08x} == 0x{:08x}", block.mask(), block.first),
        Match::NotDirectlyTcp => "ip6 nexthdr != tcp".into(),
        Match::TcpFlags { mask, value } => format!("tcp flags & ({}) == {}", flags(*mask), flags(*value)),
        Match::DestinationLocal => "fib daddr type local".into(),
        Match::FirstFragment => "frag frag-off 0".into(),
        Match::Limit { per_minute, burst } => format!("limit rate {per_minute}/minute burst {burst} packets"),
    }
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
struct ElementLines<'a>(&'a Set);

impl Display for ElementLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.elements {
            Elements::Ipv4(list) => self.lines(f, list, |f, &(first, last)| {
                let (first, last) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
                range_text(f, &first, &last, || only(Cidr::covering_v4(first.to_bits(), last.to_bits())))
            }),
            Elements::Ipv6(list) => self.lines(f, list, |f, &(first, last)| {
                let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
                range_text(f, &first, &last, || only(Cidr::covering_v6(first.to_bits(), last.to_bits())))
            }),
            Elements::Ports(list) => self.port_lines(f, list),
        }
    }
}

impl ElementLines<'_> {
    fn lines<T>(
        &self,
        f: &mut fmt::Formatter<'_>,
        list: &[T],
        element: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
    ) -> fmt::Result {
        let mut origins = self.0.origins.iter();
        for (index, item) in list.iter().enumerate() {
            f.write_str(if index == 0 { "\t\t\t" } else { "\n\t\t\t" })?;
            element(f, item)?;
            if index + 1 < list.len() {
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

/// The one network of an iterator, if it is one.
fn only(mut networks: impl Iterator<Item = Cidr>) -> Option<Cidr> {
    let first = networks.next();
    first.filter(|_| networks.next().is_none())
}

fn range_text<T: Display + PartialEq>(
    f: &mut fmt::Formatter<'_>,
    first: &T,
    last: &T,
    network: impl FnOnce() -> Option<Cidr>,
) -> fmt::Result {
    if first == last {
        return write!(f, "{first}");
    }
    match network() {
        Some(network) => write!(f, "{network}"),
        None => write!(f, "{first}-{last}"),
    }
}
