//! The members of sets that come and go.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::origin::Owners;
use crate::cluster::Cluster;
use crate::ir::{Elements, Ruleset, Set};
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
        let sets = |ruleset: &'_ Ruleset| -> Vec<Set> {
            ruleset.tables.iter().flat_map(|table| &table.sets).chain(&ruleset.sets).cloned().collect()
        };
        let (old, new) = (sets(old), sets(new));
        let (was, is) = (was.map(Owners::new), Owners::new(is));
        let names: BTreeSet<&str> = old.iter().chain(&new).map(|set| set.name.as_str()).collect();
        let mut found = Vec::new();
        for name in names {
            let values = |sets: &[Set]| sets.iter().find(|set| set.name == name).map(values).unwrap_or_default();
            let (before, after) = (values(&old), values(&new));
            for (values, others, added, owners) in
                [(&before, &after, false, was.as_ref()), (&after, &before, true, Some(&is))]
            {
                for (value, passing) in values.difference(others) {
                    let who = match value {
                        Value::Network(network) => owners.and_then(|owners| owners.of(*network)),
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

/// What is in a set, each with whether it leaves it by itself.
fn values(set: &Set) -> BTreeSet<(Value, bool)> {
    let (elements, passing) = set.elements.lasting();
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
    use crate::ir::SetKind;

    /// What leaves a set by itself is not the same as what stays.
    #[test]
    fn members_for_a_time_come_and_go_too() {
        let of = |elements: Elements| {
            let (name, kind) = ("s".to_owned(), SetKind::Hash { size: None });
            values(&Set { name, kind, elements, origins: Vec::new() })
        };
        let (one, other) = (Elements::ipv4(vec![(1, 1)]), Elements::ipv4(vec![(2, 2)]));
        let (kept, passing) = (of(one.clone()), of(one.passing()));
        assert_eq!((kept.len(), passing.len(), kept.intersection(&passing).count()), (1, 1, 0));
        assert_eq!(of(other.passing()).intersection(&passing).count(), 0);
        let ports = Elements::Ports(vec![crate::net::PortRange::single(80).unwrap()]);
        assert_eq!(of(ports.passing()).len(), 1);
    }
}
