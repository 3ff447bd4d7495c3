//! Which sets of ipset rules ask and change, and what is known of those.
//!
//! INVARIANT (unread is not empty): a set that is asked and not known is named. Where rules change sets of which it is not known
//! which they are, nothing is known of any.

use std::collections::BTreeSet;

use crate::dialect::netlink::{IpSets, UNNAMED_IP_SET};
use crate::ir::{Addresses, Elements, Match, PortMatch, Set, Table};

/// The sets outside of tables that rules name.
pub(super) struct Asked {
    /// Those that they look into.
    sets: BTreeSet<String>,
    /// Those that they add to or take from.
    changed: BTreeSet<String>,
}

impl Asked {
    /// What the rules of these tables name.
    pub fn by(tables: &[Table]) -> Self {
        let mut asked = Self { sets: BTreeSet::new(), changed: BTreeSet::new() };
        for table in tables {
            let outside = |name: &&str| !table.sets.iter().any(|own| own.name == **name);
            for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                let sets = rule.matches.iter().filter_map(name_in).filter(outside);
                asked.sets.extend(sets.map(str::to_owned));
                let changed = rule.statements.iter().filter_map(|one| one.updates()).filter(outside);
                asked.changed.extend(changed.map(str::to_owned));
            }
        }
        asked
    }

    /// Whether no set is asked.
    pub fn is_nothing(&self) -> bool {
        self.sets.is_empty()
    }

    /// Those that are asked, and what of them is not known.
    pub fn among(&self, mut found: IpSets) -> (Vec<Set>, Vec<String>) {
        let (mut sets, mut unknown) = (Vec::new(), Vec::new());
        let any = self.changed.iter().find(|name| found.lists.contains(*name) || name.starts_with(UNNAMED_IP_SET));
        if any.is_some() {
            unknown.push("ipset: rules change sets, and it is not known which".to_owned());
        }
        for name in &self.sets {
            let Some(mut set) = found.sets.remove(name) else {
                unknown.push(format!("ipset: {name} is not there"));
                continue;
            };
            if let Some(doubt) = found.unknown.get(name) {
                unknown.push(format!("ipset: {name} {doubt}"));
            }
            // nft calls sets without a name so.
            if any.is_some() || name.starts_with("__") {
                set.elements = Elements::Unknown;
            }
            sets.push(set);
        }
        (sets, unknown)
    }
}

/// The set that a test looks into.
fn name_in(one: &Match) -> Option<&str> {
    match one {
        Match::Source { addresses: Addresses::Set(name), .. }
        | Match::Destination { addresses: Addresses::Set(name), .. }
        | Match::DestinationPort { ports: PortMatch::Set(name), .. }
        | Match::OriginalPort(PortMatch::Set(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ir::{Chain, Family, Rule, SetKind, Statement};

    fn set(name: &str) -> Set {
        let elements = Elements::ipv4(vec![(1, 1)]);
        Set { name: name.to_owned(), kind: SetKind::Interval, elements, origins: Vec::new() }
    }

    fn table(asks: &[&str], changes: &[&str], own: &[&str]) -> Table {
        let test = |name: &&str| Match::Source { addresses: Addresses::Set((*name).to_owned()), negated: false };
        let rule = Rule {
            matches: asks.iter().map(test).collect(),
            statements: changes.iter().map(|name| Statement::Update { set: (*name).to_owned() }).collect(),
            ..Rule::default()
        };
        let sets = own.iter().map(|name| set(name)).collect();
        Table { family: Family::Ip, name: "filter".to_owned(), sets, chains: vec![Chain::named("c", vec![rule])] }
    }

    fn found(sets: &[&str], lists: &[&str]) -> IpSets {
        IpSets {
            sets: sets.iter().map(|name| ((*name).to_owned(), set(name))).collect(),
            unknown: BTreeMap::new(),
            lists: lists.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn known(sets: &[Set]) -> Vec<&str> {
        sets.iter().filter(|set| set.elements != Elements::Unknown).map(|set| set.name.as_str()).collect()
    }

    #[test]
    fn sets_of_the_table_are_no_sets_of_ipset() {
        assert!(Asked::by(&[table(&["a"], &["b"], &["a"])]).is_nothing());
        let (sets, unknown) =
            Asked::by(&[table(&["a", "b", "gone"], &["b"], &["a"])]).among(found(&["a", "b", "c"], &[]));
        assert_eq!((known(&sets), unknown), (vec!["b"], vec!["ipset: gone is not there".to_owned()]));
    }

    #[test]
    fn whoever_changes_a_list_of_sets_may_change_any() {
        for (changed, lists) in [("l", vec!["l"]), ("ipset_x2d7", vec![])] {
            let (sets, unknown) = Asked::by(&[table(&["a"], &[changed], &[])]).among(found(&["a", "l"], &lists));
            assert_eq!((known(&sets).len(), sets.len(), unknown.len()), (0, 1, 1), "{changed}");
        }
        let (sets, _) = Asked::by(&[table(&["a", "__set0"], &["x"], &[])]).among(found(&["a", "__set0"], &["l"]));
        assert_eq!(known(&sets), ["a"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let mut told = found(&["a"], &[]);
        told.unknown.insert("a".to_owned(), "timeout".to_owned());
        assert_eq!(Asked::by(&[table(&["a"], &[], &[])]).among(told).1, ["ipset: a timeout"]);
    }
}
