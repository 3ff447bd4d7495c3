//! A set of ipset → a set of the IR, wherever it was read: in text, or by netlink.
//!
//! Known are the types `hash:ip`, `hash:net`, `bitmap:ip` and `bitmap:port`, those whose elements have [several](super::several) parts, and
//! a `list:set` of such with addresses alone. A set of another type, or with an option or an element that nobody here knows, has
//! [`Elements::Unknown`], and it is said why.
//!
//! - `hash:ip` holds single addresses: a range or network adds each. With a `netmask` an address stands for its network. `hash:net`
//!   splits a range into networks.
//! - `hash:net` takes no /0, so the writer makes two halves of it; they are put together again.
//! - A `list:set` has whatever one of its sets has; of a packet those count that are of its family (list_set_ktest).
//! - With `timeout`, and with `forceadd`, which makes room for new ones, elements go by themselves: [`Elements::Passing`].
//!
//! INVARIANT (unread is not empty): doubt is never taken back but by emptying a set of a kind that is known.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::networks::{whole_v4, whole_v6, without};
use super::several::{Several, Tuple};
use crate::dialect::iptables::name as ir_name;
use crate::ir::{Elements, Part, Set, SetKind};
use crate::net::{Cidr, PortRange};

/// So many addresses may be added as parts of ranges.
pub(in crate::dialect) const EXPANDED: usize = 1 << 21;

/// What a set is and holds: what `swap` exchanges.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Content<'a> {
    kind: Kind,
    /// Whether elements can be known at all; and if not, whatever they are.
    known: bool,
    /// Whether elements go by themselves.
    passing: bool,
    /// An address stands for its network with a prefix of so many bits.
    netmask: Option<u32>,
    /// The bits of a mark that count, as they were written.
    markmask: Option<String>,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Networks that are excepted from larger ones (`nomatch`).
    excepted: Vec<(u128, u128)>,
    /// Elements of several parts.
    tuples: Vec<Tuple>,
    ports: Vec<(u16, u16)>,
    /// The names of other sets.
    sets: BTreeSet<String>,
    /// The first thing in it that is not known.
    unknown: Option<Doubt<'a>>,
    /// The line that made it, where it was read in text: what no line of its own says is said of this one.
    line: u32,
}

/// Addresses of IPv4 and of IPv6.
type Addresses = (Vec<(u32, u32)>, Vec<(u128, u128)>);

/// The line, and the words that nobody here knows.
pub(in crate::dialect) type Doubt<'a> = (u32, Cow<'a, str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    holds: Holds,
    ipv6: bool,
}

/// What the elements of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Holds {
    Addresses,
    Networks,
    /// Several things together.
    Several(Several),
    Ports,
    /// Other sets.
    Sets,
    /// Something else; perhaps other sets.
    Others {
        perhaps_sets: bool,
    },
}

/// The ends of an element.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect) enum Range {
    V4((u32, u32)),
    V6((u128, u128)),
}

impl Holds {
    fn of(kind: &str) -> Self {
        match kind {
            "hash:ip" | "iphash" | "bitmap:ip" | "ipmap" => Self::Addresses,
            "hash:net" | "nethash" => Self::Networks,
            "bitmap:port" => Self::Ports,
            "list:set" => Self::Sets,
            other => Several::of(other).map_or_else(
                || Self::Others { perhaps_sets: !["hash:", "bitmap:"].iter().any(|start| other.starts_with(start)) },
                Self::Several,
            ),
        }
    }
}

impl<'a> Content<'a> {
    /// An empty set of a type, with the options of `create`.
    pub(in crate::dialect) fn new(kind: &'a str, options: impl Iterator<Item = &'a str>, number: u32) -> Self {
        let holds = Holds::of(kind);
        let (mut ipv6, mut passing, mut netmask) = (false, false, None);
        let mut unknown = matches!(holds, Holds::Others { .. }).then_some(kind);
        let is_marked = matches!(holds, Holds::Several(several) if several.has(Part::Mark));
        let is_of_macs = matches!(holds, Holds::Several(several) if !several.has(Part::Address));
        let mut markmask = None;
        let mut options = options;
        while let Some(option) = options.next() {
            match option {
                "family" => match options.next() {
                    _ if matches!(holds, Holds::Ports | Holds::Sets) || is_of_macs => {}
                    Some("inet6" | "ipv6" | "-6") => ipv6 = true,
                    Some("inet" | "ipv4" | "-4") => {}
                    _ => unknown = unknown.or(Some("family")),
                },
                "timeout" => {
                    options.next();
                    passing = true;
                }
                "forceadd" => passing = true,
                "netmask" => {
                    let bits = options.next().and_then(|own| own.parse().ok());
                    netmask = bits.filter(|own| *own > 0 && holds == Holds::Addresses);
                    unknown = unknown.or(netmask.is_none().then_some("netmask"));
                }
                "hashsize" | "maxelem" | "bucketsize" | "initval" | "range" | "size" => drop(options.next()),
                "markmask" if is_marked => markmask = options.next(),
                "counters" | "comment" | "skbinfo" | "-exist" | "--exist" | "-!" => {}
                // Among others: bitmask.
                other => unknown = unknown.or(Some(other)),
            }
        }
        if netmask.is_some_and(|own| own > if ipv6 { 128 } else { 32 }) {
            unknown = unknown.or(Some("netmask"));
        }
        Content {
            kind: Kind { holds, ipv6 },
            known: unknown.is_none(),
            passing,
            netmask,
            v4: Vec::new(),
            v6: Vec::new(),
            excepted: Vec::new(),
            tuples: Vec::new(),
            markmask: markmask.map(ToOwned::to_owned),
            ports: Vec::new(),
            sets: BTreeSet::new(),
            unknown: unknown.map(|text| (number, text.into())),
            line: number,
        }
    }

    /// The same, on its own.
    pub(in crate::dialect) fn into_owned(self) -> Content<'static> {
        Content { unknown: self.unknown.map(|(number, text)| (number, text.into_owned().into())), ..self }
    }

    /// Whether both were made with the same options, as far as these say what is in them.
    pub(in crate::dialect) fn is_made_like(&self, other: &Self) -> bool {
        self.is_like(other) && {
            let options = |own: &Self| (own.passing, own.netmask, own.known);
            options(self) == options(other) && self.markmask == other.markmask
        }
    }

    /// Whether both are of one type and family.
    pub(in crate::dialect) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    pub(in crate::dialect) fn holds(&self) -> Holds {
        self.kind.holds
    }

    pub(in crate::dialect) fn is_ipv6(&self) -> bool {
        self.kind.ipv6
    }

    /// Whether its elements may be other sets (`list:set`): who changes it may change those.
    pub(in crate::dialect) fn is_list(&self) -> bool {
        matches!(self.kind.holds, Holds::Sets | Holds::Others { perhaps_sets: true })
    }

    /// Whether its elements may have a time after which they are gone.
    pub(in crate::dialect) fn is_passing(&self) -> bool {
        self.passing
    }

    /// Whether it is not known what is in it.
    pub(in crate::dialect) fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// Something of the set as a whole is not known.
    pub(in crate::dialect) fn doubt_all(&mut self, text: impl Into<Cow<'a, str>>) {
        self.doubt(self.line, text);
    }

    /// Something in it is not known. What was said first is kept.
    pub(in crate::dialect) fn doubt(&mut self, number: u32, text: impl Into<Cow<'a, str>>) {
        self.unknown.get_or_insert_with(|| (number, text.into()));
    }

    pub(in crate::dialect) fn flush(&mut self) {
        self.v4.clear();
        self.v6.clear();
        self.excepted.clear();
        self.tuples.clear();
        self.ports.clear();
        self.sets.clear();
        if self.known {
            self.unknown = None;
        }
    }

    /// Adds an element of several parts; false if the set takes none such.
    pub(in crate::dialect) fn add_tuple(&mut self, tuple: Tuple) -> bool {
        let fits = matches!(self.kind.holds, Holds::Several(several) if several.takes(&tuple, self.kind.ipv6));
        self.tuples.push(tuple);
        fits
    }

    /// Adds ports; false if the set takes none.
    pub(in crate::dialect) fn add_ports(&mut self, first: u16, last: u16) -> bool {
        self.ports.push((first, last));
        self.kind.holds == Holds::Ports && 0 < first && first <= last
    }

    /// Adds another set; false if the set takes none.
    pub(in crate::dialect) fn add_set(&mut self, name: &str) -> bool {
        self.sets.insert(name.to_owned());
        self.kind.holds == Holds::Sets
    }

    /// The other sets that are its elements.
    pub(in crate::dialect) fn sets(&self) -> &BTreeSet<String> {
        &self.sets
    }

    /// Adds an address, network or range; false if it is none that the set takes.
    pub(in crate::dialect) fn add(&mut self, range: Range, expanded: &mut usize) -> bool {
        let networks = match self.kind.holds {
            Holds::Addresses => false,
            Holds::Networks => true,
            Holds::Several(_) | Holds::Ports | Holds::Sets | Holds::Others { .. } => return false,
        };
        match (range, self.netmask) {
            (Range::V4((first, last)), Some(bits)) if !self.kind.ipv6 => {
                self.v4.push((v4_network(first, bits).0, v4_network(last, bits).1));
                v4_network(first, bits).0 != 0
            }
            (Range::V6((first, last)), Some(bits)) if self.kind.ipv6 => {
                self.v6.push(v6_network(first, bits));
                first == last && v6_network(first, bits).0 != 0
            }
            (Range::V4(ends), None) if !self.kind.ipv6 => self.add_v4(ends, networks, expanded),
            (Range::V6((first, last)), None) if self.kind.ipv6 => {
                // hash:ip takes no networks of IPv6; neither type the address ::, nor everything.
                let fits = if networks { (first, last) != (0, u128::MAX) } else { first == last };
                self.v6.push((first, last));
                fits && last != 0
            }
            (Range::V4(_) | Range::V6(_), _) => false,
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
        let fits = self.kind.holds == Holds::Networks;
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

    fn add_v4(&mut self, (first, last): (u32, u32), networks: bool, expanded: &mut usize) -> bool {
        if first == last {
            self.v4.push((first, last));
            return first != 0;
        }
        if networks {
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

    /// The set, and what in it is not known; `of_others` are those that it may have among its elements.
    fn into_set(mut self, name: &str, of_others: &mut Others) -> (Set, Option<Doubt<'a>>) {
        let elements = self.elements(of_others);
        let elements = if self.passing { elements.passing() } else { elements };
        let kind = match self.kind.holds {
            Holds::Addresses if self.netmask.is_none() => SetKind::Hash { size: None },
            Holds::Several(several) if several.networks == [false, false] => SetKind::Hash { size: None },
            _ => SetKind::Interval,
        };
        (Set { name: ir_name(name), kind, elements, origins: Vec::new() }, self.unknown)
    }

    fn elements(&mut self, of_others: &mut Others) -> Elements {
        if self.unknown.is_some() {
            return Elements::Unknown;
        }
        let ipv6 = self.kind.ipv6;
        match self.kind.holds {
            Holds::Others { .. } => Elements::Unknown,
            Holds::Several(several) => {
                let mut tuples = std::mem::take(&mut self.tuples);
                if let Some(mask) = &self.markmask {
                    tuples.iter_mut().filter_map(|tuple| tuple.other.as_mut()).for_each(|mark| {
                        mark.push('/');
                        mark.push_str(mask);
                    });
                }
                match several.endpoints(&tuples, ipv6, self.passing) {
                    Ok(found) => Elements::Endpoints(found),
                    Err(doubt) => {
                        self.doubt_all(doubt);
                        Elements::Unknown
                    }
                }
            }
            Holds::Ports => {
                let ports = self.ports.iter().filter_map(|(first, last)| PortRange::new(*first, *last));
                Elements::Ports(ports.collect::<crate::net::Ports>().ranges().to_vec())
            }
            Holds::Sets => self.joined(of_others),
            Holds::Addresses | Holds::Networks => self.addresses(),
        }
    }

    fn addresses(&mut self) -> Elements {
        // What is excepted from networks may be so no longer.
        if !self.excepted.is_empty() && !self.passing {
            let all = self.v4.iter().map(|&(first, last)| (first.into(), last.into())).chain(self.v6.iter().copied());
            match without(all, &self.excepted) {
                Some(left) if self.kind.ipv6 => self.v6 = left,
                // These come of 32 bits.
                Some(left) => self.v4 = left.into_iter().map(|(first, last)| (first as u32, last as u32)).collect(),
                None => {
                    self.doubt_all("nomatch");
                    return Elements::Unknown;
                }
            }
        }
        match self.kind.ipv6 {
            true => whole_v6(Elements::ipv6(std::mem::take(&mut self.v6))),
            false => whole_v4(Elements::ipv4(std::mem::take(&mut self.v4))),
        }
    }

    fn joined(&mut self, of_others: &mut Others) -> Elements {
        let (mut v4, mut v6) = Addresses::default();
        for name in std::mem::take(&mut self.sets) {
            let found = of_others.known.get(&name).map(Elements::lasting);
            let Some(left) = of_others.left.checked_sub(found.map_or(0, |(these, _)| these.len())) else {
                self.doubt_all("more elements of its sets than are looked at");
                return Elements::Unknown;
            };
            of_others.left = left;
            self.passing |= found.is_some_and(|(_, passing)| passing);
            match found {
                Some((Elements::Ipv4(list), _)) => v4.extend(list),
                Some((Elements::Ipv6(list), _)) => v6.extend(list),
                // A test with one field finds nothing in sets whose elements have two: they are left for who asks for them.
                Some((
                    Elements::Ports(_)
                    | Elements::Endpoints(_)
                    | Elements::Dual(..)
                    | Elements::Passing(_)
                    | Elements::Unknown,
                    _,
                ))
                | None => {
                    self.doubt_all(format!("its set {name}"));
                    return Elements::Unknown;
                }
            }
        }
        match (Elements::ipv4(v4), Elements::ipv6(v6)) {
            (Elements::Ipv4(v4), Elements::Ipv6(v6)) => Elements::Dual(v4, v6),
            _ => Elements::Unknown,
        }
    }
}

/// What lists look up of the sets that they have.
struct Others {
    known: BTreeMap<String, Elements>,
    /// So many elements may still be taken from them, by all lists together.
    left: usize,
}

/// Sets by their names, in their order; and what in each is not known. Those that lists have are looked up among them.
pub(in crate::dialect) fn sets<'a>(all: Vec<(String, Content<'a>)>) -> Vec<(Set, Option<Doubt<'a>>)> {
    let members: BTreeSet<&String> = all.iter().flat_map(|(_, content)| &content.sets).collect();
    let mut others = Others { known: BTreeMap::new(), left: EXPANDED };
    let mut known = BTreeMap::new();
    for (name, content) in all.iter().filter(|(name, content)| !content.is_list() && members.contains(name)) {
        known.insert(name.clone(), content.clone().into_set(name, &mut others).0.elements);
    }
    others.known = known;
    all.into_iter().map(|(name, content)| content.into_set(&name, &mut others)).collect()
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
