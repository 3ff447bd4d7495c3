//! Which sets of ipset rules ask, and what is known of those.
//!
//! INVARIANT (unread is not empty): a set that is asked and not known is named.

use std::collections::BTreeSet;

use crate::dialect::netlink::IpSets;
use crate::ir::{Addresses, Elements, Foreign, Match, PortMatch, Set, Table};

/// The sets outside of tables that rules name.
pub(super) struct Asked {
    sets: BTreeSet<String>,
}

impl Asked {
    /// What the rules of these tables name.
    pub fn by(tables: &[Table]) -> Self {
        let mut asked = Self { sets: BTreeSet::new() };
        for table in tables {
            let outside = |name: &&str| !table.sets.iter().any(|own| own.name == **name);
            for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                let sets = rule.matches.iter().filter_map(name_in).filter(outside);
                asked.sets.extend(sets.map(str::to_owned));
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
        for name in &self.sets {
            let Some(mut set) = found.sets.remove(name) else {
                unknown.push(format!("ipset: {name} is not there"));
                continue;
            };
            if let Some(doubt) = found.unknown.get(name) {
                unknown.push(format!("ipset: {name} {doubt}"));
            }
            // nft calls sets without a name so.
            if name.starts_with("__") {
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
        | Match::OriginalPort(PortMatch::Set(name))
        | Match::Foreign(Foreign::Endpoint { set: name, .. }) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Chain, Family, Rule, SetKind};

    fn set(name: &str) -> Set {
        let elements = Elements::ipv4(vec![(1, 1)]);
        Set { name: name.to_owned(), kind: SetKind::Interval, elements, origins: Vec::new() }
    }

    fn table(asks: &[&str], own: &[&str]) -> Table {
        let test = |name: &&str| Match::Source { addresses: Addresses::Set((*name).to_owned()), negated: false };
        let rule = Rule { matches: asks.iter().map(test).collect(), ..Rule::default() };
        let sets = own.iter().map(|name| set(name)).collect();
        Table {
            family: Family::Ip,
            name: "filter".to_owned(),
            legacy: false,
            sets,
            chains: vec![Chain::named("c", vec![rule])],
        }
    }

    fn found(sets: &[&str]) -> IpSets {
        let sets = sets.iter().map(|name| ((*name).to_owned(), set(name))).collect();
        IpSets { sets, ..IpSets::default() }
    }

    fn known(sets: &[Set]) -> Vec<&str> {
        sets.iter().filter(|set| set.elements != Elements::Unknown).map(|set| set.name.as_str()).collect()
    }

    #[test]
    fn sets_of_the_table_are_no_sets_of_ipset() {
        assert!(Asked::by(&[table(&["a"], &["a"])]).is_nothing());
        let (sets, unknown) = Asked::by(&[table(&["a", "b", "gone"], &["a"])]).among(found(&["a", "b", "c"]));
        assert_eq!((known(&sets), unknown), (vec!["b"], vec!["ipset: gone is not there".to_owned()]));
    }

    #[test]
    fn a_name_that_nft_gives_is_no_name() {
        let (sets, _) = Asked::by(&[table(&["a", "__set0"], &[])]).among(found(&["a", "__set0"]));
        assert_eq!(known(&sets), ["a"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let mut told = found(&["a"]);
        told.unknown.insert("a".to_owned(), "timeout".to_owned());
        assert_eq!(Asked::by(&[table(&["a"], &[])]).among(told).1, ["ipset: a timeout"]);
    }
}
