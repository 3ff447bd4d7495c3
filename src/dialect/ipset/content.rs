//! A set of ipset → a set of the IR, wherever it was read: in text, or by netlink.
//!
//! A set of another type than `hash:ip`, `hash:net`, `bitmap:ip` and, for IPv4, `hash:ip,port` and `hash:net,port`, or with elements that come and go, or with one that nobody
//! here knows, has [`Elements::Unknown`], and it is said why.
//!
//! - `hash:ip` holds single addresses: a range or network adds each. `hash:net` splits a range into networks.
//! - `hash:net` takes no /0, so the writer makes two halves of it; they are put together again.
//!
//! INVARIANT (unread is not empty): doubt is never taken back but by emptying a set of a kind that is known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dialect::iptables::name as ir_name;
use crate::ir::{Elements, Set, SetKind};
use crate::net::Cidr;

/// So many addresses may be added as parts of ranges.
pub(in crate::dialect) const EXPANDED: usize = 1 << 21;

/// So many ports the elements of one set may have.
const MOST_PORTS: usize = 64;

/// What a set is and holds: what `swap` exchanges.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Content<'a> {
    kind: Kind,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Networks that are excepted from larger ones (`nomatch`).
    excepted: Vec<(u128, u128)>,
    /// Addresses of IPv4 by the ports of TCP that they are with.
    endpoints: BTreeMap<u16, Vec<(u32, u32)>>,
    /// The first thing in it that is not known.
    unknown: Option<Doubt<'a>>,
}

/// The line, and the words that nobody here knows.
pub(in crate::dialect) type Doubt<'a> = (u32, Cow<'a, str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    networks: bool,
    ipv6: bool,
    /// Whether elements can be known at all; and if not, whatever they are.
    known: bool,
    /// Whether elements may be other sets.
    list: bool,
    /// Whether elements have ports.
    ports: bool,
}

/// The ends of an element.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect) enum Range {
    V4((u32, u32)),
    V6((u128, u128)),
}

impl<'a> Content<'a> {
    /// An empty set of a type, with the options of `create`.
    pub(in crate::dialect) fn new(kind: &'a str, options: impl Iterator<Item = &'a str>, number: u32) -> Self {
        let networks = match kind {
            "hash:ip" | "iphash" | "bitmap:ip" | "ipmap" => Some(false),
            "hash:net" | "nethash" => Some(true),
            "hash:ip,port" => Some(false),
            "hash:net,port" => Some(true),
            _ => None,
        };
        let ports = kind.ends_with(",port");
        let mut ipv6 = false;
        let mut unknown = networks.is_none().then_some(kind);
        let mut options = options;
        while let Some(option) = options.next() {
            match option {
                "family" => match options.next() {
                    Some("inet6" | "ipv6" | "-6") if ports => unknown = unknown.or(Some("family")),
                    Some("inet6" | "ipv6" | "-6") => ipv6 = true,
                    Some("inet" | "ipv4" | "-4") => {}
                    _ => unknown = unknown.or(Some("family")),
                },
                "hashsize" | "maxelem" | "bucketsize" | "initval" | "range" => drop(options.next()),
                "counters" | "comment" | "skbinfo" | "-exist" | "--exist" | "-!" => {}
                // Among others: timeout, forceadd, netmask, bitmask.
                other => unknown = unknown.or(Some(other)),
            }
        }
        let list = networks.is_none() && !["hash:", "bitmap:"].iter().any(|start| kind.starts_with(start));
        let kind = Kind { networks: networks.unwrap_or(true), ipv6, known: unknown.is_none(), list, ports };
        let unknown = unknown.map(|text| (number, text.into()));
        Content { kind, v4: Vec::new(), v6: Vec::new(), excepted: Vec::new(), endpoints: BTreeMap::new(), unknown }
    }

    /// The same, on its own.
    pub(in crate::dialect) fn into_owned(self) -> Content<'static> {
        let unknown = self.unknown.map(|(number, text)| (number, text.into_owned().into()));
        Content {
            unknown,
            kind: self.kind,
            v4: self.v4,
            v6: self.v6,
            excepted: self.excepted,
            endpoints: self.endpoints,
        }
    }

    /// Whether both are of one type and family.
    pub(in crate::dialect) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    pub(in crate::dialect) fn is_ipv6(&self) -> bool {
        self.kind.ipv6
    }

    /// Whether its elements may be other sets (`list:set`): who changes it may change those.
    pub(in crate::dialect) fn is_list(&self) -> bool {
        self.kind.list
    }

    /// Whether it is not known what is in it.
    pub(in crate::dialect) fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// Something in it is not known. What was said first is kept.
    pub(in crate::dialect) fn doubt(&mut self, number: u32, text: impl Into<Cow<'a, str>>) {
        self.unknown.get_or_insert_with(|| (number, text.into()));
    }

    pub(in crate::dialect) fn flush(&mut self) {
        self.v4.clear();
        self.v6.clear();
        self.excepted.clear();
        self.endpoints.clear();
        if self.kind.known {
            self.unknown = None;
        }
    }

    /// Whether its elements have ports.
    pub(in crate::dialect) fn has_ports(&self) -> bool {
        self.kind.ports
    }

    /// Adds an address or a network with a port, of TCP or, where there is none, of another protocol; false if the set takes none.
    pub(in crate::dialect) fn add_endpoint(&mut self, (first, last): (u32, u32), port: Option<u16>) -> bool {
        let fits = self.kind.ports && (first == last || self.kind.networks) && first <= last && last != 0;
        if let Some(port) = port {
            self.endpoints.entry(port).or_default().push((first, last));
        }
        fits && (first, last) != (0, u32::MAX) && self.endpoints.len() <= MOST_PORTS
    }

    /// Adds an address, network or range; false if it is none that the set takes.
    pub(in crate::dialect) fn add(&mut self, range: Range, expanded: &mut usize) -> bool {
        if self.kind.ports {
            return false;
        }
        match range {
            Range::V4(ends) if !self.kind.ipv6 => self.add_v4(ends, expanded),
            Range::V6((first, last)) if self.kind.ipv6 => {
                // hash:ip takes no networks of IPv6; neither type the address ::, nor everything.
                let fits = if self.kind.networks { (first, last) != (0, u128::MAX) } else { first == last };
                self.v6.push((first, last));
                fits && last != 0
            }
            Range::V4(_) | Range::V6(_) => false,
        }
    }

    /// Adds a network that is excepted from larger ones; false if the set has no exceptions.
    pub(in crate::dialect) fn except(&mut self, range: Range) -> bool {
        let parts = |first: IpAddr, last: IpAddr| -> Vec<(u128, u128)> {
            let bits = |address| match address {
                IpAddr::V4(own) => u128::from(own.to_bits()),
                IpAddr::V6(own) => own.to_bits(),
            };
            match (first, last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => Cidr::covering_v4(first.to_bits(), last.to_bits())
                    .map(|part| (bits(part.first()), bits(part.last())))
                    .collect(),
                (first, last) => vec![(bits(first), bits(last))],
            }
        };
        let fits = self.kind.networks && !self.kind.ports;
        match range {
            Range::V4((first, last)) if fits && !self.kind.ipv6 => {
                self.excepted.extend(parts(IpAddr::V4(first.into()), IpAddr::V4(last.into())));
                (first, last) != (0, u32::MAX) && last != 0
            }
            Range::V6((first, last)) if fits && self.kind.ipv6 => {
                self.excepted.push((first, last));
                (first, last) != (0, u128::MAX) && last != 0
            }
            Range::V4(_) | Range::V6(_) => false,
        }
    }

    fn add_v4(&mut self, (first, last): (u32, u32), expanded: &mut usize) -> bool {
        if first == last {
            self.v4.push((first, last));
            return first != 0;
        }
        if self.kind.networks {
            let parts = Cidr::covering_v4(first, last).filter_map(|part| match (part.first(), part.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => Some((first.to_bits(), last.to_bits())),
                _ => None,
            });
            self.v4.extend(parts);
            return (first, last) != (0, u32::MAX);
        }
        let count = usize::try_from(u64::from(last - first) + 1).unwrap_or(usize::MAX);
        let Some(left) = expanded.checked_sub(count) else { return false };
        *expanded = left;
        self.v4.extend((first..=last).map(|address| (address, address)));
        first != 0
    }

    /// The set, and what in it is not known.
    pub(in crate::dialect) fn into_set(self, name: &str) -> (Set, Option<Doubt<'a>>) {
        let Content { kind, mut v4, mut v6, excepted, endpoints, mut unknown } = self;
        if !excepted.is_empty() {
            let all = v4.iter().map(|&(first, last)| (first.into(), last.into())).chain(v6.iter().copied());
            match without(all, &excepted) {
                Some(left) if kind.ipv6 => v6 = left,
                // These come of 32 bits.
                Some(left) => v4 = left.into_iter().map(|(first, last)| (first as u32, last as u32)).collect(),
                None => _ = unknown.get_or_insert((0, "nomatch".into())),
            }
        }
        let by_port = |(port, list)| (port, Elements::ipv4(list));
        let elements = match &unknown {
            Some(_) => Elements::Unknown,
            None if kind.ports => Elements::Endpoints(endpoints.into_iter().map(by_port).collect()),
            None if kind.ipv6 => whole_v6(Elements::ipv6(v6)),
            None => whole_v4(Elements::ipv4(v4)),
        };
        let kind = if kind.networks { SetKind::Interval } else { SetKind::Hash { size: None } };
        (Set { name: ir_name(name), kind, elements, origins: Vec::new() }, unknown)
    }
}

/// Whether an option of an element takes it back some time. (Counters and comments do not matter.)
pub(in crate::dialect) fn is_fickle(option: &str) -> bool {
    option == "timeout"
}

/// What networks hold where the smallest one that an address is in decides, and some are excepted (ip_set_hash_gen.h,
/// mtype_test_cidrs). Networks are one within the other, or apart. `None` where one of them is both: the later `add` holds.
fn without(networks: impl Iterator<Item = (u128, u128)>, excepted: &[(u128, u128)]) -> Option<Vec<(u128, u128)>> {
    let excepted = excepted.iter().map(|&(first, last)| (first, last, false));
    let mut all: Vec<(u128, u128, bool)> = networks.map(|(first, last)| (first, last, true)).chain(excepted).collect();
    // Larger ones in front of those within them.
    all.sort_unstable_by_key(|&(first, last, held)| (first, std::cmp::Reverse(last), held));
    all.dedup();
    if all.windows(2).any(|pair| matches!(pair, [(a, b, _), (c, d, _)] if (a, b) == (c, d))) {
        return None;
    }
    let mut left: Vec<(u128, u128)> = Vec::new();
    let mut around: Vec<(u128, bool)> = Vec::new();
    let mut at = 0;
    for (first, last, held) in all {
        while let Some((end, held)) = around.pop_if(|(end, _)| *end < first) {
            left.extend(Some((at, end)).filter(|_| held && at <= end));
            at = at.max(end.saturating_add(1));
        }
        if let Some((_, true)) = around.last()
            && let Some(before) = first.checked_sub(1)
        {
            left.extend(Some((at, before)).filter(|_| at <= before));
        }
        at = first;
        around.push((last, held));
    }
    let mut done = false;
    while let Some((end, held)) = around.pop() {
        left.extend(Some((at, end)).filter(|_| held && at <= end && !done));
        done |= end == u128::MAX;
        at = at.max(end.saturating_add(1));
    }
    Some(left)
}

/// The ends of a network; bits behind the prefix do not count.
pub(in crate::dialect) fn v4_network(bits: u32, prefix: u32) -> (u32, u32) {
    let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
    (bits & !host, bits | host)
}

/// The same of IPv6.
pub(in crate::dialect) fn v6_network(bits: u128, prefix: u32) -> (u128, u128) {
    let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
    (bits & !host, bits | host)
}

/// Two halves of everything are everything.
fn whole_v4(elements: Elements) -> Elements {
    const HALF: u32 = 1 << 31;
    let halves = Elements::Ipv4(vec![(0, HALF - 1), (HALF, u32::MAX)]);
    if elements == halves { Elements::Ipv4(vec![(0, u32::MAX)]) } else { elements }
}

fn whole_v6(elements: Elements) -> Elements {
    const HALF: u128 = 1 << 127;
    let halves = Elements::Ipv6(vec![(0, HALF - 1), (HALF, u128::MAX)]);
    if elements == halves { Elements::Ipv6(vec![(0, u128::MAX)]) } else { elements }
}
