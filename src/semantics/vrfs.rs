//! VRFs: what comes in on an interface that is part of one goes through prerouting twice, first on that interface, then on the VRF, and
//! comes to input on the VRF (vrf_ip_rcv in drivers/net/vrf.c); what leaves goes through output and postrouting on both.
//!
//! A packet is judged here as if it met each chain once, on one interface. That comes to the same where no rule tells the two apart: by
//! the interface, by the routes that count there, by what rules did the first time.

use super::door::comes_before_tracking;
use super::evaluate::Rules;
use super::rewrite::reached;
use crate::ir::{DeviceName, Elements, Foreign, Match, Place, Rule, Table};
use crate::net::{Interface, Surroundings};

impl Rules<'_> {
    /// Why packets of VRFs may fare otherwise than is said here, in words; `None` where there are none, or no rule tells.
    #[must_use]
    pub fn tells_vrfs_apart(&self, surroundings: &Surroundings) -> Option<String> {
        let Surroundings { vrfs, unnamed_vrfs, .. } = surroundings;
        if !surroundings.has_vrfs() {
            return None;
        }
        let names: Vec<&str> = vrfs.iter().map(Interface::as_str).collect();
        let names = if names.is_empty() { "not named".to_owned() } else { names.join(", ") };
        let tells = |why: &str| Some(format!("VRFs ({names}), whose packets meet rules twice, and {why}"));
        if self.touches {
            return tells("rules do more to packets than to decide on them");
        }
        let fits = |name: &DeviceName| *unnamed_vrfs || vrfs.iter().any(|own| name.fits(own.as_str()));
        let apart = |table: &Table, one: &Match| match one {
            Match::Foreign(Foreign::Endpoint { set, .. }) => {
                match self.ruleset.set(table, set).map(|set| set.elements.lasting().0) {
                    Some(Elements::Endpoints(list)) => {
                        list.rows.iter().filter_map(|row| row.interface.as_ref()).any(fits)
                    }
                    _ => false,
                }
            }
            Match::InInterface { names, .. } => names.iter().any(|name| fits(&DeviceName::Is(name.clone()))),
            Match::Foreign(Foreign::Device { names, .. }) => names.iter().any(fits),
            Match::Foreign(
                Foreign::WayBack { .. }
                | Foreign::SourceType { .. }
                | Foreign::Group { .. }
                | Foreign::PartOfVrf { .. },
            ) => true,
            _ => false,
        };
        let by_state = |one: &Match| matches!(one, Match::ConnectionState { .. });
        let of_table = |table: &Table| {
            let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
            let found = rules.find(|rule| rule.matches.iter().any(|one| apart(table, one))).cloned();
            // The second time they have a connection there.
            let early = || {
                let rules = reached(table, comes_before_tracking, |_| true);
                rules.into_iter().find(|rule| rule.matches.iter().any(by_state)).cloned()
            };
            found.or_else(early)
        };
        let rule: Option<Rule> = self.ruleset.tables.iter().find_map(of_table);
        let place = rule?.place.as_ref().map(Place::described);
        tells(&place.map_or_else(
            || "a rule tells the interfaces apart".to_owned(),
            |place| format!("{place} tells the interfaces apart"),
        ))
    }
}
