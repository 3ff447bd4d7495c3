//! One packet's way through the rules.

use crate::ir::Ruleset;
use crate::semantics::{Door, Outcome, Packet, Rules, Step, rewriting};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered, as far as these rules go.
    Delivered,
    /// It is blocked.
    Blocked,
    /// Something unknown stands in the way of saying.
    Undecided,
}

/// A packet's way, and what becomes of it.
pub struct Explained<'a> {
    /// In the end.
    pub fate: Fate,
    /// Door by door, as far as it comes.
    pub passages: Vec<Passage<'a>>,
    /// Whether it is for another host, so that what is behind is not judged.
    pub is_routed: bool,
    /// A part of the ruleset that keeps it from being certain.
    pub uncertain: Option<String>,
}

/// What a packet meets at a door.
pub struct Passage<'a> {
    /// Where.
    pub door: Door,
    /// The rules that apply, or may.
    pub steps: Vec<Step<'a>>,
    /// What becomes of it there.
    pub outcome: Outcome,
}

/// A packet's way, and what becomes of it.
#[must_use]
pub fn explain<'a>(ruleset: &'a Ruleset, packet: &Packet) -> Explained<'a> {
    let rules = Rules::new(ruleset);
    let mut explained = Explained { fate: Fate::Delivered, passages: Vec::new(), is_routed: false, uncertain: None };
    for door in [Door::Prerouting, Door::Input] {
        if !door.sees(packet) {
            return Explained { fate: Fate::Undecided, is_routed: true, ..explained };
        }
        let (outcome, steps) = rules.trace(door, packet);
        explained.passages.push(Passage { door, steps, outcome });
        match outcome {
            Outcome { may_pass: true, may_block: false } => {}
            Outcome { may_pass: false, .. } => {
                if explained.fate == Fate::Delivered {
                    explained.fate = Fate::Blocked;
                }
                return explained;
            }
            Outcome { .. } => explained.fate = Fate::Undecided,
        }
    }
    explained.uncertain = ruleset.unread.first().cloned().or_else(|| rewriting(ruleset));
    if explained.uncertain.is_some() {
        explained.fate = Fate::Undecided;
    }
    explained
}
