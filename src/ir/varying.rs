//! What no packet says: rules whose tests may hold or not for each.

use std::collections::HashMap;

use super::{Addresses, Chain, Elements, Foreign, Match, Place, PortMatch, Rule, Ruleset, Table};

/// On what it hangs whether a test holds, where no packet says so. Sources: the kernel's `net/netfilter/nft_*.c` and `xt_*.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varying {
    /// How many packets come in a time (`limit rate over`, limits with a name).
    Rate,
    /// How many come in a time from each (`-m hashlimit`). What there is no room for in its table is dropped, see
    /// [`Rule::up_to_a_crowd`](super::Rule::up_to_a_crowd).
    RateOfEach,
    /// How much has come so far (`quota`).
    Amount,
    /// How many connections there are (`ct count`, `-m connlimit`).
    Connections,
    /// Who came before, and when (`-m recent`).
    Recent,
    /// Chance, or numbers made of the packet (`numgen`, `jhash`, `symhash`, `-m statistic`).
    Chance,
    /// The socket of this host that the packet is for, and what it is like (`socket`, `-m socket`).
    Socket,
    /// The same, where the packet takes over the socket's mark as it is found (`-m socket --restore-skmark`: socket_match in
    /// xt_socket.c; seen on Linux 6.18), whatever becomes of the rest of the rule.
    SocketWithMark,
    /// Whose socket the packet is from, or for: also at input, where the kernel has looked for those of connections
    /// (`meta skuid`, `-m owner`).
    Owner,
    /// The helper of the connection (`ct helper`, `-m helper`).
    Helper,
    /// What else connection tracking has noted of the connection: its zone, status, addresses as it began, counts.
    Connection,
    /// The link layer: its addresses, its VLAN.
    Link,
    /// The port of a bridge that the packet came by (`-m physdev`).
    Bridge,
}

impl Varying {
    /// What it is, in words that go on "it depends on …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Rate => "how many packets come in a time",
            Self::RateOfEach => "how many packets come in a time from each",
            Self::Amount => "how much has come so far",
            Self::Connections => "how many connections there are",
            Self::Recent => "who came before",
            Self::Chance => "chance",
            Self::Socket => "a socket of this host",
            Self::SocketWithMark => "a socket of this host, whose mark the packet takes over",
            Self::Owner => "whose socket it is",
            Self::Helper => "the connection's helper",
            Self::Connection => "what connection tracking has noted",
            Self::Link => "the link layer",
            Self::Bridge => "the port of a bridge",
        }
    }

    /// Whether a test of it needs connections, so that the kernel has tracking loaded for the family of its table (nft_ct_get_init,
    /// nft_connlimit_init, conntrack_mt_check, connlimit_mt_check, helper_mt_check).
    #[must_use]
    pub fn needs_connections(self) -> bool {
        match self {
            Self::Connections | Self::Helper | Self::Connection => true,
            Self::Rate
            | Self::RateOfEach
            | Self::Amount
            | Self::Recent
            | Self::Chance
            | Self::Socket
            | Self::SocketWithMark
            | Self::Owner
            | Self::Link
            | Self::Bridge => false,
        }
    }
}

impl Rule {
    /// The tests up to the first that counts by each sender, where there is one. What comes as far as to that may be gone, whatever
    /// the rest of the rule says: its table may be full (hashlimit_mt_common in xt_hashlimit.c, "max count of … reached"; seen on
    /// Linux 6.18).
    #[must_use]
    pub fn up_to_a_crowd(&self) -> Option<&[Match]> {
        let counts = |one: &Match| matches!(one, Match::Foreign(Foreign::Varies { on: Varying::RateOfEach, .. }));
        let at = self.matches.iter().position(counts)?;
        self.matches.get(..=at)
    }

    /// The rule in words, where it hangs on something that no packet says.
    fn varying(&self, unsettled: &HashMap<&str, Unsettled>, (table, chain): (&Table, &Chain)) -> Option<String> {
        let set = |name: &str| {
            Some(match unsettled.get(name)? {
                Unsettled::Passing => format!("what is in set {name}, which leaves it with time"),
                Unsettled::Unseen(what) => format!("{what} that set {name} asks for"),
            })
        };
        let on = self.matches.iter().find_map(|one| match one {
            Match::Foreign(Foreign::Varies { on, .. }) => Some(on.words().to_owned()),
            // Where a list of interfaces says it, nothing is open of these.
            Match::Foreign(Foreign::Group { .. }) => Some("the group of an interface".to_owned()),
            Match::Foreign(Foreign::PartOfVrf { .. }) => Some("the interface that is part of a VRF".to_owned()),
            Match::Source { addresses: Addresses::Set(name), .. }
            | Match::Destination { addresses: Addresses::Set(name), .. }
            | Match::DestinationPort { ports: PortMatch::Set(name), .. }
            | Match::OriginalPort(PortMatch::Set(name))
            | Match::Foreign(
                Foreign::Endpoint { set: name, .. } | Foreign::SourcePort { ports: PortMatch::Set(name), .. },
            ) => set(name),
            _ => None,
        })?;
        let of = || format!("a rule of chain {} of table {} {}", chain.name, table.family.name(), table.name);
        let place = self.place.as_ref().map_or_else(of, Place::described);
        Some(format!("{place}, which depends on {on}"))
    }

    /// Whether what comes to the rule may be given another mark by its tests alone.
    #[must_use]
    pub fn marks_by_a_test(&self) -> bool {
        let takes_over =
            |one: &Match| matches!(one, Match::Foreign(Foreign::Varies { on: Varying::SocketWithMark, .. }));
        self.matches.iter().any(takes_over)
    }
}

/// Why nobody is certain to be in a set.
enum Unsettled {
    /// Its elements go by themselves.
    Passing,
    /// They ask for something that is not followed.
    Unseen(&'static str),
}

impl Ruleset {
    /// The rules that hang on something that no packet says, in words; each line of a text once.
    pub fn varying(&self) -> impl Iterator<Item = String> {
        let mut all = Vec::new();
        for table in &self.tables {
            let sets = table.sets.iter().chain(&self.sets);
            let mut unsettled: HashMap<&str, Unsettled> = HashMap::new();
            for set in sets {
                let why = match &set.elements {
                    Elements::Passing(_) => Some(Unsettled::Passing),
                    Elements::Endpoints(list) => list.unseen().map(Unsettled::Unseen),
                    Elements::Ipv4(_)
                    | Elements::Ipv6(_)
                    | Elements::Ports(_)
                    | Elements::Dual(..)
                    | Elements::Unknown => None,
                };
                if let Some(why) = why {
                    unsettled.entry(&set.name).or_insert(why);
                }
            }
            for chain in &table.chains {
                let open = |rule: &Rule| rule.varying(&unsettled, (table, chain));
                all.extend(chain.rules.iter().filter_map(open));
            }
        }
        all.dedup();
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Family, Set, SetKind};

    #[test]
    fn a_set_whose_elements_leave_by_themselves_is_named() {
        let elements = Elements::Ipv4(vec![(1, 1)]);
        let set = |name: &str, elements: Elements| Set {
            name: name.to_owned(),
            kind: SetKind::Hash { size: None },
            elements,
            origins: Vec::new(),
        };
        let from = |name: &str| Match::Source { addresses: Addresses::Set(name.to_owned()), negated: false };
        let rules =
            ["kept", "timed", "outside", "timed"].map(|name| Rule { matches: vec![from(name)], ..Rule::default() });
        let chains = vec![Chain::named("c", rules.to_vec())];
        let sets = vec![set("kept", elements.clone()), set("timed", elements.clone().passing())];
        let table = Table { family: Family::Inet, name: "t".to_owned(), legacy: false, sets, chains };
        let outside = set("outside", elements.passing());
        let ruleset = Ruleset { tables: vec![table], sets: vec![outside], ..Ruleset::default() };
        let told = |name: &str| {
            format!(
                "a rule of chain c of table inet t, which depends on what is in set {name}, which leaves it with time"
            )
        };
        assert_eq!(ruleset.varying().collect::<Vec<_>>(), ["timed", "outside", "timed"].map(told));
    }
}
