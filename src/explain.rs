//! One packet's way through the rules.

use serde::Serialize;

use crate::ir::{ConnectionStates, Ruleset};
use crate::semantics::{Door, Outcome, Packet, Rules, Step, rewriting};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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

/// The way of a packet that opens a connection, in the state in which rules see it: where others keep it from connection tracking it is
/// untracked. Where that is not certain, what becomes of it is certain only if it is the same in each.
#[must_use]
pub fn explain_opening<'a>(ruleset: &'a Ruleset, packet: &Packet) -> (Packet, Explained<'a>) {
    let states = Rules::new(ruleset).states_of_opening(packet);
    let in_state = |state: &ConnectionStates| Packet { state: *state, ..packet.clone() };
    let seen = states.first().map_or_else(|| packet.clone(), in_state);
    let mut explained = explain(ruleset, &seen);
    if states.iter().skip(1).any(|state| explain(ruleset, &in_state(state)).fate != explained.fate) {
        explained.fate = Fate::Undecided;
        explained.uncertain = explained.uncertain.or_else(|| Some("whether connection tracking sees it".to_owned()));
    }
    (seen, explained)
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
                // A table or a chain lets in nobody whom another one blocks; anything else may take rules away.
                let takes_away = |part: &&String| !["table ", "chain "].iter().any(|start| part.starts_with(start));
                if let Some(part) = ruleset.unread.iter().find(takes_away) {
                    explained.fate = Fate::Undecided;
                    explained.uncertain = Some(part.clone());
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
