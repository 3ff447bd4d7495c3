//! The intermediate representation: a ruleset in netfilter's words.
//!
//! Every dialect writes this and reads it back. It knows tables, chains, hooks, sets and rules, and nothing of clusters.
//!
//! - A rule's matches all have to hold; a rule without matches always applies.
//! - A match that looks into a header holds only where that header is there, whether it is negated or not.
//!   [`Match::DestinationPort`] and [`Match::TcpFlags`] imply TCP, [`Match::Source`] the family of its addresses.
//! - A set is found by its name in the rule's own table (nft), else outside of tables (ipset).
//! - Ranges of a set are sorted and disjoint.
//! - What a reader does not know becomes [`Match::Unknown`], [`Verdict::Unknown`] or [`Elements::Unknown`], with the text:
//!   never an error, never a guess. Whoever judges a ruleset takes both possibilities.
//!
//! INVARIANT (text): every string here is fit to be written into every dialect as it is: names are made of letters,
//! digits and `_-`, comments hold no quotes, backslashes or control characters.

mod bits;
mod elements;
mod endpoints;
mod foreign;
mod matches;
mod neighbours;
mod opening;
pub mod ours;
mod owner;
pub mod statement;
mod varying;

use serde::Serialize;

pub use bits::{ConnectionStates, PacketTypes, TcpFlags};
pub use elements::Elements;
pub use endpoints::{Endpoint, Endpoints, Part};
pub use foreign::{AddressTypes, DeviceName, End, Foreign, Marked, Side};
pub use matches::{Addresses, Match, PortBlock, PortMatch};
pub use opening::{Leg, Opening};
pub use owner::owner;
pub use statement::{Counted, Destined, Diversion, Field, Marking, Reject, Statement, Tracking, Translation};
pub use varying::Varying;

/// The version of the JSON form; raised when a reader of the old one would misunderstand the new.
pub const SCHEMA: &str = "ringfence.ruleset/1";

/// nft takes comments of up to 127 bytes with the end mark.
pub const LONGEST_COMMENT: usize = 120;
/// iptables-restore reads the rest of a line of more than 10,240 bytes as another line.
pub const LONGEST_LINE: usize = 1000;

/// Tables, and what to say about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Lines for the reader of the ruleset.
    pub header: Vec<String>,
    /// Sets outside of tables (ipset).
    pub sets: Vec<Set>,
    /// The tables.
    pub tables: Vec<Table>,
    /// Parts of the text that stand for anything at all: files that it includes, chains of families that see packets
    /// before these do. Nothing is certain of a ruleset that has some.
    pub unread: Vec<String>,
    /// Parts that no packet of IP meets, but that may keep this host and its neighbours from finding each other (ARP).
    pub neighbours: Vec<String>,
    /// What besides the rules may have connection tracking expect TCP connections, whatever helpers the rules name.
    pub expecting: Vec<String>,
}

/// A table of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Whether it is known to be one of iptables-legacy, which nf_tables does not show, and which may have the same name as one of those.
    pub legacy: bool,
    /// Its sets.
    pub sets: Vec<Set>,
    /// Its chains; a chain is defined before it is jumped to.
    pub chains: Vec<Chain>,
}

impl Table {
    /// Its name for a reader, who may know another one by it.
    #[must_use]
    pub fn title(&self) -> String {
        if self.legacy { format!("{} of iptables-legacy", self.name) } else { self.name.clone() }
    }
}

/// An address family of netfilter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Whatever comes in on some devices or leaves by them, be it not IP: of this only what is IP is looked at here.
    Netdev,
}

impl Family {
    /// Whether packets of IPv4 and of IPv6 meet such a table.
    #[must_use]
    pub fn has_both(self) -> bool {
        match self {
            Self::Inet | Self::Netdev => true,
            Self::Ip | Self::Ip6 => false,
        }
    }

    /// As nft has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Netdev => "netdev",
        }
    }
}

/// A named list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it by themselves; `None` for a chain that is only jumped to.
    pub base: Option<Base>,
    /// Lines for the reader of the chain.
    pub remarks: Vec<String>,
    /// The rules in their order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A chain that is only jumped to.
    #[must_use]
    pub fn named(name: &str, rules: Vec<Rule>) -> Self {
        Self { name: name.to_owned(), base: None, remarks: Vec::new(), rules }
    }

    /// The rules as they were read: those that say together what one said there. What was not read stands for itself.
    pub fn as_read(&self) -> impl Iterator<Item = &[Rule]> {
        self.rules.chunk_by(Rule::was_read_with)
    }

    /// The same, to be changed.
    pub fn as_read_mut(&mut self) -> impl Iterator<Item = &mut [Rule]> {
        self.rules.chunk_by_mut(Rule::was_read_with)
    }
}

/// What makes a chain a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// What it is for.
    pub kind: ChainKind,
    /// The hook.
    pub hook: Hook,
    /// Chains of a hook run from the lowest priority to the highest.
    pub priority: i32,
    /// What becomes of a packet at the end of the chain.
    pub policy: Policy,
    /// Whether the chain belongs to the kernel or to everybody (iptables' `PREROUTING`, `INPUT`), so that a writer
    /// only adds its rules to it.
    pub shared: bool,
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// Lets pass or drops.
    Filter,
    /// Translates addresses and ports; sees the first packet of a connection only.
    Nat,
    /// Reroutes.
    Route,
}

/// What becomes of a packet that no rule of a base chain decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It goes on to the next base chain.
    Accept,
    /// It is gone.
    Drop,
}

/// Where on its way a packet meets a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// As it comes from the device, before everything else (nft's `ingress`).
    Ingress,
    /// As it comes from the wire, before routing.
    Prerouting,
    /// About to be delivered to this host.
    Input,
    /// Routed to somebody else.
    Forward,
    /// Sent by this host.
    Output,
    /// About to leave.
    Postrouting,
    /// As it is given to the device, behind everything else (nft's `egress`).
    Egress,
}

/// What to do with the packets that match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold.
    pub matches: Vec<Match>,
    /// What is done when they do, in this order.
    pub statements: Vec<Statement>,
    /// What becomes of the packet then; `None` goes on to the next rule.
    pub verdict: Option<Verdict>,
    /// Why this rule is there.
    pub comment: Option<String>,
    /// Where it was read, if it was read.
    pub place: Option<Place>,
}

impl Rule {
    /// The prefix that it logs with, if it logs.
    #[must_use]
    pub fn log(&self) -> Option<&str> {
        self.statements.iter().find_map(|one| match one {
            Statement::Log(prefix) => Some(prefix.as_str()),
            _ => None,
        })
    }

    /// Whether the two say, with others, what one said where they were read.
    fn was_read_with(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Some(one), Some(other)) if one.line == 0 && one.handle.is_none() => one == other,
            (Some(one), Some(other)) => (one.line, one.handle) == (other.line, other.handle),
            (None, _) | (_, None) => false,
        }
    }

    /// Whether it counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.statements.iter().any(|one| matches!(one, Statement::Counter(_)))
    }

    /// What it has met, where that was read.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        self.statements.iter().find_map(|one| match one {
            Statement::Counter(counted) => *counted,
            _ => None,
        })
    }

    /// The same rule without what it has met.
    #[must_use]
    pub fn without_counts(mut self) -> Self {
        for one in &mut self.statements {
            if let Statement::Counter(counted) = one {
                *counted = None;
            }
        }
        self
    }

    /// The statements by which packets fare otherwise.
    pub fn effective(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|one| !one.effect().is_none())
    }

    /// A statement with which a dialect that writes only counters and logs has nothing to begin.
    #[must_use]
    pub fn unwritable(&self) -> Option<&Statement> {
        self.statements.iter().find(|one| !matches!(one, Statement::Counter(_) | Statement::Log(_)))
    }
}

/// A rule in a text.
///
/// Rules that say in several what one said there have the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1; 0 where the text has one line for all (JSON), and the rule is named in `text`.
    pub line: u32,
    /// The kernel's number of it, where the kernel was asked.
    pub handle: Option<u64>,
    /// The rule as it stands there.
    pub text: String,
}

impl Place {
    /// The place for a reader.
    #[must_use]
    pub fn described(&self) -> String {
        if self.line == 0 { self.text.clone() } else { format!("line {}: {}", self.line, self.text) }
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with this base chain, and goes on to the next.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and the sender gets a notice.
    Reject(Reject),
    /// Back to the chain that this one was jumped to from; ends a base chain with its policy.
    Return,
    /// Goes through a chain and, if that says nothing, comes back.
    Jump(String),
    /// Goes through a chain and, if that says nothing, comes back to where this chain was jumped to from.
    Goto(String),
    /// Something that no dialect here knows, with its text: it may pass, be gone, or go on to the next rule.
    Unknown(String),
}

/// A named set of addresses or ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// How it is stored, which decides what it can hold and what it costs.
    pub kind: SetKind,
    /// What is in it.
    pub elements: Elements,
    /// For each element where it comes from; empty where that would be too long to read.
    pub origins: Vec<String>,
}

/// How a set is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// Single values, found by one hash; room for `size` of them.
    Hash {
        /// The most elements that it will take, if that is limited.
        size: Option<u32>,
    },
    /// Ranges of values.
    Interval,
}

impl Ruleset {
    /// The same rules without what they have met.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        let chains = self.tables.iter_mut().flat_map(|table| &mut table.chains);
        for rule in chains.flat_map(|chain| &mut chain.rules) {
            *rule = std::mem::take(rule).without_counts();
        }
        self
    }

    /// A text of the ruleset that must not be written, because it could leave its comment or its name: see INVARIANT (text).
    /// Writers ask before they write, so that no way into a ruleset was forgotten.
    #[must_use]
    pub fn unfit_text(&self) -> Option<&str> {
        let sets = self.sets.iter().chain(self.tables.iter().flat_map(|table| &table.sets));
        let chains = self.tables.iter().flat_map(|table| &table.chains);
        let rules = chains.clone().flat_map(|chain| &chain.rules);
        let names = sets.clone().map(|set| set.name.as_str()).chain(chains.clone().map(|chain| chain.name.as_str()));
        let quoted = rules.flat_map(|rule| rule.comment.as_deref().into_iter().chain(rule.log()));
        let lines = self.header.iter().chain(sets.flat_map(|set| &set.origins)).chain(chains.flat_map(|c| &c.remarks));
        let lines = lines.map(String::as_str);
        let bad_name = |text: &&str| !text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        let bad_quoted =
            |text: &&str| text.len() > LONGEST_COMMENT || text.contains(|c: char| c.is_control() || "\"\\".contains(c));
        let bad_line = |text: &&str| text.len() > LONGEST_LINE || text.contains(char::is_control);
        let mut bad = names.filter(bad_name).chain(quoted.filter(bad_quoted)).chain(lines.filter(bad_line));
        bad.next()
    }

    /// Forgets what is in the sets outside of tables, where rules change one that may stand for others (`list:set`); where they
    /// change any other, what is in those that may stand for it. Says whether.
    pub fn forget_changed_through(&mut self, stands_for_others: impl Fn(&str) -> bool) -> bool {
        let changed = self.tables.iter().flat_map(|table| {
            let statements = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
            let outside = |name: &&str| !table.sets.iter().any(|own| own.name == **name);
            statements.filter_map(Statement::updates).filter(outside)
        });
        let changed: Vec<bool> = changed.map(&stands_for_others).collect();
        let through = changed.contains(&true);
        let forgotten = |set: &&mut Set| through || (!changed.is_empty() && stands_for_others(&set.name));
        let known = |set: &&mut Set| set.elements != Elements::Unknown;
        let mut forgets = through;
        for set in self.sets.iter_mut().filter(forgotten).filter(known) {
            set.elements = Elements::Unknown;
            forgets = true;
        }
        forgets
    }

    /// The set that a rule of `table` means by a name.
    #[must_use]
    pub fn set<'a>(&'a self, table: &'a Table, name: &str) -> Option<&'a Set> {
        table.sets.iter().chain(&self.sets).find(|set| set.name == name)
    }
}
