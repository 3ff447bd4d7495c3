//! What comes of all the rules of this host for a site, wherever somebody else has rules: for a host that has ours alone, their
//! claims say all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::links::Link;
use super::rules::InForce;
use super::through::chains::remedy;
use super::whole::{Everything, surroundings};
use super::{Backend, HostError};
use crate::cluster::{Node, Site, SitePart, Through};
use crate::dialect::firewalld;
use crate::ir::{Ruleset, Table, ours, owner};
use crate::net::{Surroundings, Way};
use crate::semantics::TooLarge;
use crate::verify::{Answer, Direction, Reached, Who, whole};

/// What the rules of others make of what ours say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Around {
    /// There are none, or it was not asked.
    Nothing,
    /// The answers of the whole host.
    Answered {
        /// Each of them.
        answers: Vec<Answer>,
        /// Whether they stay true as long as nf_tables and what surrounds this host are the same.
        lasting: bool,
        /// By whose means those could be let through who are shut out, where the cluster file has none.
        remedy: Option<Through>,
        /// The programs that made some of the rules, as far as names tell, by name.
        programs: Vec<&'static str>,
        /// Whether nf_tables and iptables-legacy both have chains of iptables' that filter.
        doubled: bool,
        /// Whether firewalld drops everything, because the admin wants it to.
        panic: bool,
        /// Whether rules leave open that somebody who is admitted gets through, to whom a way leads. Where none does, as to the network of
        /// a client that is not there yet, it is the way that leaves open by which interface he comes.
        may_shut_out: bool,
    },
    /// Why they cannot be judged.
    Unjudged(String),
}

impl Around {
    /// What comes of all the rules of this host now; of `instead` in the place of ours, where that is given. What an earlier apply
    /// left in the other way into the kernel is not looked at: it goes, or is said to be there.
    #[must_use]
    pub fn of(site: &Site<'_>, links: &[Link], in_force: &InForce, instead: Option<&Ruleset>) -> Self {
        let read = || Ok::<_, HostError>((Everything::read_beside(in_force)?, surroundings(links)?));
        let (mut everything, surroundings) = match read() {
            Ok(read) => read,
            Err(error) => return Self::Unjudged(error.to_string()),
        };
        put_in_place(&mut everything, in_force.backend, instead);
        match whole(&everything.ruleset, site, &surroundings) {
            Ok(answers) => {
                // Nobody tells of changes of ipset and of iptables-legacy.
                let lasting = everything.ruleset.sets.is_empty() && everything.writers.is_empty();
                let remedy = remedy(&everything, &answers, site, &surroundings);
                let (programs, doubled) = (programs(&everything), is_doubled(&everything));
                let of_firewalld = firewalld::InForce::of(&everything.ruleset);
                let panic = of_firewalld.is_loaded && of_firewalld.panic;
                let remedy = remedy.filter(|_| !panic);
                // Without ARP nobody is reached by IPv4, whatever rules say of packets.
                let is_unjudged = |answer: &Answer| matches!(answer.reached, Reached::Unjudged(_));
                let of_arp = !everything.ruleset.neighbours.is_empty()
                    && answers.iter().any(|answer| answer.who != Who::Others && is_unjudged(answer));
                let may_shut_out = of_arp || answers.iter().any(|answer| is_doubtful(answer, &surroundings));
                Self::Answered { answers, lasting, remedy, programs, doubled, panic, may_shut_out }
            }
            Err(error @ TooLarge) => Self::Unjudged(error.to_string()),
        }
    }

    /// The same where nobody else has rules: asked only where routes, or rules of routing, keep answers to some node back.
    #[must_use]
    pub fn of_routes(site: &Site<'_>, links: &[Link], in_force: &InForce) -> Self {
        let surroundings = match surroundings(links) {
            Ok(surroundings) => surroundings,
            Err(error) => return Self::Unjudged(error.to_string()),
        };
        let own: Vec<IpAddr> = site.nodes().into_iter().flat_map(Node::addresses).map(|(address, _)| address).collect();
        let hosts = || site.parts().iter().map(SitePart::hosts);
        let is_refused = |node| surroundings.refused_by(node).is_some();
        let v4 = hosts().flat_map(|hosts| surroundings.those(hosts.v4(), is_refused));
        let mut refused = v4.chain(hosts().flat_map(|hosts| surroundings.those(hosts.v6(), is_refused)));
        let is_refused = refused.any(|node| !own.contains(&node.first()));
        if is_refused { Self::of(site, links, in_force, None) } else { Self::Nothing }
    }

    /// What comes of rules that are still to be written.
    #[must_use]
    pub fn ahead(answers: Vec<Answer>) -> Self {
        Self::Answered {
            answers,
            lasting: false,
            remedy: None,
            programs: Vec::new(),
            doubled: false,
            panic: false,
            may_shut_out: false,
        }
    }

    /// By whose means those could be let through who are shut out, where the cluster file has none.
    #[must_use]
    pub fn remedy(&self) -> Option<Through> {
        match self {
            Self::Answered { remedy, .. } => *remedy,
            Self::Nothing | Self::Unjudged(_) => None,
        }
    }

    /// Those who are shut out for certain, or get in.
    pub fn shadows(&self) -> impl Iterator<Item = &Answer> {
        self.answers().iter().filter(|answer| answer.is_shadow())
    }

    /// Whether it is not certain that nobody else gets in, because of what somebody else has set up, or because that cannot be judged.
    #[must_use]
    pub fn may_let_in(&self) -> bool {
        let open = |answer: &Answer| matches!(answer.reached, Reached::Undecided(_) | Reached::Unjudged(_));
        match self {
            Self::Nothing => false,
            Self::Answered { answers, .. } => answers.iter().any(|answer| answer.who == Who::Others && open(answer)),
            Self::Unjudged(_) => true,
        }
    }

    /// Whether rules leave open that somebody who is admitted gets through. What is not known of routes and addresses is listed, and is no
    /// other firewall's.
    #[must_use]
    pub fn may_shut_out(&self) -> bool {
        matches!(self, Self::Answered { may_shut_out: true, .. })
    }

    /// Why it is not certain of somebody who is admitted whether he gets through, where it is not.
    #[must_use]
    pub fn doubts(&self) -> Option<String> {
        let open = |answer: &&Answer| {
            answer.who != Who::Others && matches!(answer.reached, Reached::Undecided(_) | Reached::Unjudged(_))
        };
        match self {
            Self::Nothing => None,
            Self::Unjudged(why) => Some(why.clone()),
            Self::Answered { answers, .. } => answers.iter().find(open).map(|answer| {
                let who = match &answer.who {
                    Who::Peers | Who::Others => "peers".to_owned(),
                    Who::PeersOf(name) => format!("peers of {name}"),
                    Who::Client(name) => format!("the client {name}"),
                };
                match answer.direction {
                    Direction::In => format!("{who} to {}", answer.service),
                    Direction::Out => format!("this host to {} of its {who}", answer.service),
                }
            }),
        }
    }

    /// Whether all of it is known to be as the cluster file wants it, and stays so as long as nf_tables and what surrounds this
    /// host are the same.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Answered { answers, lasting, .. } => *lasting && answers.iter().all(Answer::is_good),
            Self::Unjudged(_) => false,
        }
    }

    /// The answers, where there are any.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        match self {
            Self::Answered { answers, .. } => answers,
            Self::Nothing | Self::Unjudged(_) => &[],
        }
    }
}

/// Whether rules leave it open of somebody who is admitted, to whom a way may lead.
fn is_doubtful(answer: &Answer, surroundings: &Surroundings) -> bool {
    let Reached::Undecided(shown) = &answer.reached else { return false };
    let mut ends = std::iter::once(shown.packet.source).chain(shown.packet.destination);
    answer.who != Who::Others && !ends.any(|end| surroundings.way_to(end) == Way::Nowhere)
}

/// The programs that made some of the rules, as far as names tell.
fn programs(everything: &Everything) -> Vec<&'static str> {
    let of = |table: &Table| -> BTreeSet<&'static str> {
        let name = format!("{} {}", table.family.name(), table.name);
        table.chains.iter().filter_map(|chain| owner(&name, &chain.name)).collect()
    };
    everything.ruleset.tables.iter().flat_map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Two sets of tables of iptables are a trap: each of the two tools shows one of them, and both filter.
fn is_doubled(everything: &Everything) -> bool {
    let (nf_tables, legacy) =
        everything.ruleset.tables.split_at(everything.handles.len().min(everything.ruleset.tables.len()));
    let filters = |tables: &[Table]| {
        let tables = tables.iter().filter(|table| !table.family.has_both() && table.name == "filter");
        tables.flat_map(|table| &table.chains).any(|chain| chain.name == "INPUT" && !chain.rules.is_empty())
    };
    filters(nf_tables) && filters(legacy)
}

/// All rules as they are with `instead` in the place of ours, where that is given, and without what an earlier apply left in the other
/// way into the kernel. The tables that stay are in the same order, and new ones come last.
pub(super) fn put_in_place(everything: &mut Everything, backend: Backend, instead: Option<&Ruleset>) {
    if backend == Backend::Iptables || instead.is_some() {
        let mut at = 0..;
        let stays: Vec<bool> = everything.ruleset.tables.iter().map(|table| !ours::is_table(table)).collect();
        everything.handles.retain(|_| at.next().and_then(|at| stays.get(at)).copied().unwrap_or(true));
        everything.ruleset.tables.retain(|table| !ours::is_table(table));
    }
    if backend == Backend::Nft {
        let tables = &mut everything.ruleset.tables;
        tables.extend(instead.into_iter().flat_map(|instead| instead.tables.iter().cloned()));
        tables.iter_mut().for_each(ours::take_guard_out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ir::{Chain, Family, Rule};

    /// A table with one rule in a chain.
    fn table(family: Family, name: &str, chain: &str) -> Table {
        let chains = vec![Chain::named(chain, vec![Rule::default()])];
        Table { family, name: name.to_owned(), legacy: false, sets: Vec::new(), chains }
    }

    #[test]
    fn two_kinds_of_iptables_are_noticed() {
        let doubled = |nf_tables: Vec<Table>, legacy: Vec<Table>| {
            let handles = nf_tables.iter().map(|_| BTreeMap::new()).collect();
            let tables = nf_tables.into_iter().chain(legacy).collect();
            is_doubled(&Everything {
                ruleset: Ruleset { tables, ..Ruleset::default() },
                handles,
                ..Everything::default()
            })
        };
        let filter = || table(Family::Ip, "filter", "INPUT");
        assert!(doubled(vec![filter()], vec![filter()]));
        assert!(doubled(vec![table(Family::Inet, "own", "c"), filter()], vec![table(Family::Ip6, "filter", "INPUT")]));
        let mut empty = filter();
        empty.chains.iter_mut().for_each(|chain| chain.rules.clear());
        for other in
            [vec![], vec![empty], vec![table(Family::Ip, "nat", "INPUT")], vec![table(Family::Ip, "filter", "own")]]
        {
            assert!(!doubled(vec![filter()], other.clone()) && !doubled(other, vec![filter()]));
        }
        assert!(!doubled(vec![table(Family::Inet, "filter", "INPUT")], vec![filter()]), "that is none of iptables");
    }

    #[test]
    fn what_cannot_be_judged_may_let_somebody_in() {
        assert!(Around::Unjudged("too large".to_owned()).may_let_in());
        assert!(!Around::Nothing.may_let_in());
        assert!(!Around::ahead(Vec::new()).may_let_in());
    }

    /// Only what our jumps lead to, where iptables has our chains, is ours: anything else of the same name judges as its rules say.
    #[test]
    fn what_is_only_called_like_ours_stays() {
        let without = |text: &str| -> Vec<Table> {
            let mut tables = crate::dialect::nft::read(text).unwrap().ruleset.tables;
            tables.iter_mut().for_each(ours::take_guard_out);
            tables
        };
        let chains = "chain RINGFENCE-X { tcp dport 4369 drop; }\nchain c { type filter hook input priority 0; jump RINGFENCE-X; }\n";
        for (table, rest) in [
            ("ip mangle", (1, 0)),
            ("ip6 raw", (1, 0)),
            ("inet mangle", (2, 1)),
            ("ip filter", (2, 1)),
            ("inet foo", (2, 1)),
        ] {
            let found = without(&format!("table {table} {{\n{chains}}}\n"));
            let rules = found[0]
                .chains
                .iter()
                .filter(|chain| chain.base.is_some())
                .map(|chain| chain.rules.len())
                .sum::<usize>();
            assert_eq!((found[0].chains.len(), rules), rest, "{table}");
        }
        let found = without("table ip mangle { chain RINGFENCE { type filter hook input priority 0; drop; } }\n");
        assert_eq!((found[0].chains.len(), found[0].chains[0].rules.len()), (1, 1));
        let named = |text: &str| ours::is_table(&crate::dialect::nft::read(text).unwrap().ruleset.tables[0]);
        assert!(named("table inet ringfence { }\n") && !named("table ip ringfence { }\n"));
    }
}
