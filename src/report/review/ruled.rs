//! Every rule with its reason: what it says of itself, why it looks odd, and what would change if it were not there.

use serde::Serialize;

use super::grid::Piece;
use super::since::{Compared, Move, moves};
use super::words::{clipped, plain};
use super::{Deciding, decides};
use crate::diff::Without;
use crate::report::{Changes, Names};

/// The most changes that are listed of a rule.
const MOST: usize = 3;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reasoned {
    /// Where it is, and what it says.
    #[serde(flatten)]
    pub rule: Deciding,
    /// Why it is there, as its own comment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What an odd part of it means.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<&'static str>,
    /// Who would gain or lose what if only this rule were not there, the first few.
    pub without: Vec<Move>,
    /// How many more changes there would be.
    pub more: usize,
    /// Why that cannot be said, or may not be all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
}

/// Parts of rules that nobody reads at first sight, and what they mean: nft's and iptables' own words.
const ODD: [(&str, &str); 9] = [
    (
        "@th,0,32 &",
        "looks at the destination port by its bits, behind the 16 bits of the source port: one comparison for a whole range",
    ),
    ("@th,96,32 & 0x00100000", "looks at the flags of TCP: ACK is not set"),
    ("@th,96,32 & 0x00020000", "looks at the flags of TCP: SYN is set"),
    (
        "fib daddr . iif",
        "asks whether the destination is an address of the interface that it came in on, which matters in a VRF",
    ),
    ("fib daddr type", "asks the routing tables whether the destination is an address of this host"),
    (
        "--limit-iface-in",
        "asks whether the destination is an address of the interface that it came in on, which matters in a VRF",
    ),
    ("tcp dport 1-65535", "is true of every packet of TCP whose header can be seen: what goes on hides it"),
    ("frag frag-off 0", "is true of the first fragment of a packet of IPv6"),
    ("iif \"lo\"", "knows loopback by the number that it has on every host"),
];

impl Reasoned {
    /// A rule with what would change without it.
    #[must_use]
    pub(super) fn of(without: &Without<'_>, names: Names<'_>, compared: Compared) -> Self {
        let Without { table, chain, rule, difference } = without;
        let rule_told = decides::of_rule(table, chain, Some(rule));
        let whole = rule.place.as_ref().map_or("", |place| place.text.as_str());
        let odd = ODD.iter().filter(|(part, _)| whole.contains(part)).map(|(_, why)| *why).collect();
        let comment = rule.comment.as_deref().map(clipped);
        let Some(found) = difference else {
            let undecided = Some("the rules are too large to be compared".to_owned());
            return Self { rule: rule_told, comment, odd, without: Vec::new(), more: 0, undecided };
        };
        let changes = Changes::of(found, names);
        let mut moves = moves(&changes, compared);
        let more = moves.len().saturating_sub(MOST);
        moves.truncate(MOST);
        Self { rule: rule_told, comment, odd, without: moves, more, undecided: changes.undecided.as_deref().map(plain) }
    }

    /// What it says and what it is for, in one line.
    pub(super) fn line(&self) -> Vec<Piece> {
        let mut line = vec![Piece::foreign(&format!("{}: {}", self.rule.place(), self.rule.text))];
        for (change, words) in [("gains", "; without it GAINS: "), ("loses", "; without it loses: ")] {
            let told = self.without.iter().filter(|own| own.change == change);
            let told: Vec<String> = told.map(|own| format!("{}: {}", own.who, own.what)).collect();
            if !told.is_empty() {
                line.extend([Piece::own(words), Piece::foreign(&told.join("; "))]);
            }
        }
        if self.more > 0 {
            line.push(Piece::Own(format!(" and {} more", self.more)));
        }
        match &self.undecided {
            Some(_) => line.push(Piece::own("; what else changes without it cannot be said")),
            None if self.without.is_empty() => line.push(Piece::own("; without it nobody gains or loses")),
            None => {}
        }
        line.extend(self.odd.iter().map(|why| Piece::Own(format!("; it {why}"))));
        line
    }
}
