//! A rule while it is read.

use super::selectors::{Alternatives, TCP};
use crate::ir::{Family, Foreign, Match, Statement, Verdict};

/// Whether only TCP passes a test.
pub fn is_tcp(one: &Match) -> bool {
    matches!(
        one,
        Match::Protocol { number: TCP, negated: false }
            | Match::DestinationPort { .. }
            | Match::TcpFlags { .. }
            | Match::Foreign(Foreign::SourcePort { .. })
    )
}

/// One test of a rule, perhaps with alternatives.
#[derive(Clone)]
pub struct Part {
    /// Of which at most one holds.
    pub alternatives: Alternatives,
    /// The test as it stands.
    pub text: String,
}

impl Part {
    /// Whether only one family passes this test.
    pub fn implies_family(&self) -> bool {
        let of_family = |one: &Match| {
            matches!(
                one,
                Match::Family(Family::Ip | Family::Ip6)
                    | Match::Source { .. }
                    | Match::Destination { .. }
                    | Match::NotDirectlyTcp
                    | Match::FirstFragment
            )
        };
        self.alternatives.iter().all(|alternative| alternative.iter().any(of_family))
    }

    /// Whether only TCP passes this test.
    pub fn implies_tcp(&self) -> bool {
        self.alternatives.iter().all(|alternative| alternative.iter().any(is_tcp))
    }

    /// Whether it says which protocol the packet has.
    pub fn names_protocol(&self) -> bool {
        let named = ["meta l4proto", "l4proto", "ip protocol", "ip6 nexthdr"];
        self.implies_tcp() || named.iter().any(|one| self.text.starts_with(one))
    }

    /// `@th,0,32 & 65534 == 8098`: as nft 0.9.8 prints it, or somebody has written it.
    pub fn is_old_mask(&self) -> bool {
        let mask = ["@th,0,32 &", "@th,96,32 &"].iter().find_map(|field| self.text.strip_prefix(field));
        mask.is_some_and(|mask| !mask.trim_start().starts_with("0x"))
    }

    /// `tcp sport != 1`: the header that a field is unequal to one value in.
    pub fn unequal_header(&self) -> Option<&'static str> {
        let first = self.text.split_whitespace().next().unwrap_or_default();
        let unequal = self.text.contains("!=") || self.text.split_whitespace().any(|word| word == "ne");
        // Sets are looked up, not compared; a raw field begins with an `@` of its own.
        let looked_up = self.text.contains('{') || self.text.get(1..).is_some_and(|rest| rest.contains('@'));
        let header = match first.split(',').next().unwrap_or_default() {
            "ether" | "vlan" | "arp" | "@ll" => "link",
            "ip" | "ip6" | "@nh" => "network",
            "tcp" | "udp" | "udplite" | "sctp" | "dccp" | "th" | "icmp" | "icmpv6" | "igmp" | "ah" | "esp" | "comp"
            | "gre" | "@th" | "@ih" => "transport",
            _ => return None,
        };
        (unequal && !looked_up).then_some(header)
    }
}

/// What a rule decides.
pub enum Outcome {
    /// Nothing, or the same for every packet that gets here.
    One(Option<Verdict>),
    /// What a map says.
    Map(Vec<Entry>),
}

/// An element of a map.
pub struct Entry {
    /// When it is found.
    pub alternatives: Alternatives,
    /// What is done then.
    pub statement: Option<Statement>,
    /// What is decided then.
    pub verdict: Option<Verdict>,
}

/// A rule that was understood as far as it goes.
pub struct Draft {
    /// All its tests.
    pub parts: Vec<Part>,
    /// What it decides.
    pub outcome: Outcome,
    /// What else it does, each behind so many of the tests.
    pub statements: Vec<(usize, Statement)>,
    /// Its comment.
    pub comment: Option<String>,
}
