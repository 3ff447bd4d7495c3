//! Whether rules at devices keep neighbours from finding each other: IPv4 asks for them by ARP, which is not IP.

use std::collections::HashSet;

use super::{Chain, Family, Foreign, Match, Policy, Rule, Table, Verdict};

impl Table {
    /// What is to be said of a table of devices that may stop ARP, on whatever device: for [`Ruleset::neighbours`](super::Ruleset::neighbours).
    /// What accepts ARP before is not looked at.
    #[must_use]
    pub fn about_arp(&self) -> Option<String> {
        let may = self.family == Family::Netdev && self.may_stop_arp();
        may.then(|| format!("table netdev {}, which may stop ARP, by which IPv4 finds its neighbours", self.name))
    }

    fn may_stop_arp(&self) -> bool {
        let bases = || self.chains.iter().filter(|chain| chain.base.is_some());
        if bases().any(|chain| chain.base.is_some_and(|base| base.policy == Policy::Drop)) {
            return true;
        }
        let (mut seen, mut waiting): (HashSet<&str>, Vec<&Chain>) = (HashSet::new(), bases().collect());
        while let Some(chain) = waiting.pop() {
            if !seen.insert(&chain.name) {
                continue;
            }
            for rule in chain.rules.iter().filter(|rule| !rule.matches.iter().any(is_of_ip)) {
                if may_stop(rule) {
                    return true;
                }
                if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = &rule.verdict {
                    waiting.extend(self.chains.iter().filter(|other| other.name == *name));
                }
            }
        }
        false
    }
}

fn may_stop(rule: &Rule) -> bool {
    rule.up_to_a_crowd().is_some()
        || rule.statements.iter().any(|one| one.effect().way.may_drop())
        || rule.verdict.as_ref().is_some_and(|verdict| verdict.effect().way.may_drop())
}

/// Whether a test holds for nothing but IP, turned round or not: without the header that it looks at, a packet leaves the rule.
fn is_of_ip(one: &Match) -> bool {
    match one {
        Match::Source { .. }
        | Match::Destination { .. }
        | Match::Family(Family::Ip | Family::Ip6)
        | Match::Protocol { .. }
        | Match::DestinationPort { .. }
        | Match::PortBlock(_)
        | Match::FlagBit { .. }
        | Match::TcpFlags { .. }
        | Match::FirstFragment
        | Match::Foreign(Foreign::SourcePort { .. } | Foreign::LaterFragment { .. }) => true,
        Match::Family(Family::Inet | Family::Netdev)
        | Match::InInterface { .. }
        | Match::ConnectionState { .. }
        | Match::DestinationTranslated
        | Match::OriginalPort(_)
        | Match::DestinationLocal
        | Match::DestinationOfInterface
        | Match::PacketType { .. }
        | Match::NotDirectlyTcp
        | Match::PerhapsDirectlyTcp
        | Match::Limit { .. }
        | Match::Foreign(
            Foreign::Device { .. }
            | Foreign::Hung(_)
            | Foreign::Endpoint { .. }
            | Foreign::Mark { .. }
            | Foreign::Translated { .. }
            | Foreign::Direction { .. }
            | Foreign::ExtensionHeader(_)
            | Foreign::DestinationType { .. }
            | Foreign::SourceType { .. }
            | Foreign::WayBack { .. }
            | Foreign::Group { .. }
            | Foreign::PartOfVrf { .. }
            | Foreign::Varies { .. },
        )
        | Match::Unknown(_) => false,
    }
}
