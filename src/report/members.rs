//! The members of sets that come and go.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::origin::Owners;
use crate::cluster::Cluster;
use crate::ir::{Elements, Ruleset};
use crate::net::{Cidr, Ports};

/// A member of a set that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Member {
    /// The set.
    pub set: String,
    /// Whether it comes.
    pub added: bool,
    /// An address, a network, a port or a range of ports.
    pub member: String,
    /// Who of the cluster file that is, and the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Network(Cidr),
    Port(u16, u16),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Port(first, last) if first == last => first.fmt(f),
            Self::Port(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Member {
    /// Those that come and go from an old ruleset to a new one, set by set.
    #[must_use]
    pub fn between(old: &Ruleset, new: &Ruleset, was: Option<&Cluster>, is: &Cluster) -> Vec<Self> {
        let (old, new) = (sets(old), sets(new));
        // To know whose an address is takes a look at all of them.
        let was = LazyCell::new(|| was.map(Owners::new));
        let is = LazyCell::new(|| Owners::new(is));
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        let mut found = Vec::new();
        for name in names {
            let (before, after) = apart(old.get(name).copied(), new.get(name).copied());
            let (before, after) = (values(before.as_ref()), values(after.as_ref()));
            for (values, others, added) in [(&before, &after, false), (&after, &before, true)] {
                for (value, passing) in values.difference(others) {
                    let who = match value {
                        Value::Network(network) if added => is.of(*network),
                        Value::Network(network) => was.as_ref().and_then(|owners| owners.of(*network)),
                        Value::Port(..) => None,
                    };
                    let member = if *passing { format!("{value} for a time") } else { value.to_string() };
                    found.push(Self { set: name.to_owned(), added, member, who });
                }
            }
        }
        found
    }
}

/// The sets by name; of two with one name the first counts.
fn sets(ruleset: &Ruleset) -> BTreeMap<&str, &Elements> {
    let mut sets = BTreeMap::new();
    let all = ruleset.tables.iter().flat_map(|table| &table.sets).chain(&ruleset.sets);
    all.for_each(|set| _ = sets.entry(set.name.as_str()).or_insert(&set.elements));
    sets
}

/// What is in two sets, but for what is in both; as far as that is easily told.
fn apart<'a>(
    old: Option<&'a Elements>,
    new: Option<&'a Elements>,
) -> (Option<Cow<'a, Elements>>, Option<Cow<'a, Elements>>) {
    match (old, new) {
        (Some(Elements::Ipv4(old)), Some(Elements::Ipv4(new))) => {
            let [old, new] = without_common(old, new);
            (Some(Cow::Owned(Elements::Ipv4(old))), Some(Cow::Owned(Elements::Ipv4(new))))
        }
        (Some(Elements::Ipv6(old)), Some(Elements::Ipv6(new))) => {
            let [old, new] = without_common(old, new);
            (Some(Cow::Owned(Elements::Ipv6(old))), Some(Cow::Owned(Elements::Ipv6(new))))
        }
        (old, new) => (old.map(Cow::Borrowed), new.map(Cow::Borrowed)),
    }
}

/// The ranges that only one of two sorted lists has. Those of one list are disjoint, so that what is made of the others has nothing to do
/// with these.
fn without_common<T: Copy + Ord>(old: &[(T, T)], new: &[(T, T)]) -> [Vec<(T, T)>; 2] {
    let (mut left, mut right) = (old.iter().copied().peekable(), new.iter().copied().peekable());
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    loop {
        match (left.peek(), right.peek()) {
            (Some(own), Some(other)) if own == other => {
                left.next();
                right.next();
            }
            (Some(own), Some(other)) if own < other => gone.extend(left.next()),
            (Some(_), None) => gone.extend(left.next()),
            (_, Some(_)) => come.extend(right.next()),
            (None, None) => return [gone, come],
        }
    }
}

/// What is in a set, each with whether it leaves it by itself.
fn values(elements: Option<&Cow<'_, Elements>>) -> BTreeSet<(Value, bool)> {
    let Some(elements) = elements else { return BTreeSet::new() };
    let (elements, passing) = elements.lasting();
    let values: Vec<Value> = match elements {
        // A set may hold the ports of a range one by one.
        Elements::Ports(list) => {
            let ports: Ports = list.iter().copied().collect();
            ports.ranges().iter().map(|range| Value::Port(range.first(), range.last())).collect()
        }
        other => other.networks().into_iter().map(Value::Network).collect(),
    };
    values.into_iter().map(|value| (value, passing)).collect()
}

/// Some of them.
#[must_use]
pub fn members_text(members: &[Member]) -> String {
    const SHOWN: usize = 100;
    let mut text = String::new();
    let mut last = "";
    for line in members.iter().take(SHOWN) {
        if line.set != last {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "set {}", line.set);
            last = &line.set;
        }
        let sign = if line.added { '+' } else { '-' };
        let _ = match &line.who {
            Some(who) => writeln!(text, "  {sign} {} ({who})", line.member),
            None => writeln!(text, "  {sign} {}", line.member),
        };
    }
    if let Some(more) = members.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  ... and {more} more; --json prints them all");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves a set by itself is not the same as what stays.
    #[test]
    fn members_for_a_time_come_and_go_too() {
        let of = |elements: Elements| values(Some(&Cow::Owned(elements)));
        let (one, other) = (Elements::ipv4(vec![(1, 1)]), Elements::ipv4(vec![(2, 2)]));
        let (kept, passing) = (of(one.clone()), of(one.passing()));
        assert_eq!((kept.len(), passing.len(), kept.intersection(&passing).count()), (1, 1, 0));
        assert_eq!(of(other.passing()).intersection(&passing).count(), 0);
        let ports = Elements::Ports(vec![crate::net::PortRange::single(80).unwrap()]);
        assert_eq!(of(ports.passing()).len(), 1);
    }

    #[test]
    fn what_is_in_both_says_nothing() {
        let ranges = |list: &[(u32, u32)]| Elements::ipv4(list.to_vec());
        for (old, new) in [
            (ranges(&[(1, 1), (5, 9), (12, 12)]), ranges(&[(1, 1), (5, 8), (12, 12), (20, 20)])),
            (ranges(&[]), ranges(&[(1, 1)])),
            (ranges(&[(0, 255)]), ranges(&[(0, 127), (128, 255)])),
            (ranges(&[(1, 4)]), ranges(&[(1, 4)]).passing()),
        ] {
            let whole = (values(Some(&Cow::Borrowed(&old))), values(Some(&Cow::Borrowed(&new))));
            let (gone, come) = apart(Some(&old), Some(&new));
            let less = (values(gone.as_ref()), values(come.as_ref()));
            assert!(less.0.difference(&less.1).eq(whole.0.difference(&whole.1)));
            assert!(less.1.difference(&less.0).eq(whole.1.difference(&whole.0)));
        }
    }
}
