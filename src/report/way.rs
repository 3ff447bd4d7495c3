//! One packet's way through the rules.

use std::fmt::Write as _;

use serde::Serialize;

use crate::explain::{Explained, Fate, Passage};
use crate::ir::{Policy, Verdict};
use crate::net::Interface;
use crate::semantics::{Door, Outcome, Packet, Step};

/// A packet's way, and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Way {
    /// Whether its port is one that is guarded.
    pub guarded: bool,
    /// The packet, in words.
    pub packet: String,
    /// In the end: `delivered`, `blocked` or `undecided`.
    pub fate: &'static str,
    /// Door by door, as far as it comes.
    pub doors: Vec<AtDoor>,
    /// Whether it is for another host, so that what is behind is not judged.
    pub routed: bool,
    /// A part of the ruleset that keeps it from being certain.
    pub because: Option<String>,
    /// Who of the cluster file its source is, with the line.
    pub source: String,
    /// Why it comes in where it does, where nobody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<String>,
}

/// What a packet meets at a door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtDoor {
    /// `prerouting` or `input`.
    pub door: &'static str,
    /// The rules that apply, or may, and the ends of chains.
    pub steps: Vec<Met>,
    /// Whether it may pass.
    pub may_pass: bool,
    /// Whether it may be blocked.
    pub may_block: bool,
}

/// A rule that applies, or may; or the end of a base chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Met {
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether it applies for certain.
    pub certain: bool,
    /// What it says; for the end of a chain, its policy.
    pub text: String,
}

impl Way {
    /// What was found of a packet whose source is this one.
    #[must_use]
    pub fn of(packet: &Packet, explained: &Explained<'_>, source: String, guarded: bool) -> Self {
        Self {
            guarded,
            packet: packet.to_string(),
            fate: fate_text(explained.fate),
            doors: explained.passages.iter().map(AtDoor::of).collect(),
            routed: explained.is_routed,
            because: explained.uncertain.clone(),
            source,
            arrival: None,
        }
    }

    /// The same, with why it comes in where it does.
    #[must_use]
    pub fn arriving(self, arrival: Option<String>) -> Self {
        Self { arrival, ..self }
    }

    /// What becomes of it, and why, in a line.
    fn in_short(&self) -> String {
        let why = match self.fate {
            "delivered" => Some("no rule stands in the way".to_owned()),
            "blocked" => self.doors.last().and_then(|door| door.steps.last()).map(Met::in_short),
            _ => self.because.as_ref().map(|part| format!("because of {part}")).or_else(|| {
                if self.routed {
                    return Some("it is for another host".to_owned());
                }
                self.doors.iter().flat_map(|door| &door.steps).find(|met| !met.certain).map(Met::in_short)
            }),
        };
        why.map_or_else(|| self.fate.to_owned(), |why| format!("{}: {why}", self.fate))
    }

    /// Step by step.
    #[must_use]
    pub fn text(&self) -> String {
        let guarded = if self.guarded { "" } else { "; the port is none that is guarded" };
        let mut text = format!("{}{guarded}\n{}\n", self.in_short(), self.packet);
        self.arrival.iter().for_each(|why| _ = writeln!(text, "{why}"));
        for AtDoor { door, steps, may_pass, may_block } in &self.doors {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "at {door}:");
            if steps.is_empty() {
                text.push_str("  no chain\n");
            }
            for Met { table, chain, certain, text: said } in steps {
                let doubt = if *certain { "" } else { " (perhaps)" };
                let _ = writeln!(text, "  {table} {chain}{doubt}: {said}");
            }
            text.push_str(match (may_pass, may_block) {
                (true, false) => "  passes\n",
                (false, _) => "  blocked\n",
                (true, true) => "  passes or is blocked: that hangs on what is not understood\n",
            });
        }
        if self.routed {
            text.push_str("not for this host: routed on, if at all; the chains for that are not judged\n");
        }
        if let Some(part) = &self.because {
            let _ = writeln!(text, "undecided, because of: {part}");
        }
        let _ = writeln!(text, "source: {}", self.source);
        text
    }
}

fn fate_text(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "delivered",
        Fate::Blocked => "blocked",
        Fate::Undecided => "undecided",
    }
}

/// That what becomes of a packet hangs on where it comes in, which nobody said.
#[must_use]
pub fn by_interface(packet: &Packet, fates: &[(Option<&Interface>, Fate)]) -> String {
    let mut text = "undecided: it hangs on the interface that it comes in on; name it with `--iif`\n".to_owned();
    let packet = packet.to_string();
    // The interface that stands there is the one that is not known.
    let _ = writeln!(text, "{}", packet.replace(", in on any other interface", ""));
    for fate in [Fate::Delivered, Fate::Blocked, Fate::Undecided] {
        let on = fates.iter().filter(|(_, own)| *own == fate);
        let on: Vec<&str> = on.map(|(interface, _)| interface.map_or("any other", Interface::as_str)).collect();
        if !on.is_empty() {
            let _ = writeln!(text, "  {}: in on {}", fate_text(fate), on.join(", "));
        }
    }
    text
}

impl AtDoor {
    fn of(passage: &Passage<'_>) -> Self {
        let Outcome { may_pass, may_block } = passage.outcome;
        Self {
            door: match passage.door {
                Door::BeforeTranslation | Door::Prerouting | Door::Wire | Door::Translated => "prerouting",
                Door::Input => "input",
                Door::AnswersLeave | Door::RequestsLeave | Door::RequestsTranslated => "output",
                Door::AnswersArrive => "answers",
            },
            steps: passage.steps.iter().filter_map(Met::of).collect(),
            may_pass,
            may_block,
        }
    }
}

impl Met {
    fn in_short(&self) -> String {
        if self.text.starts_with("rule with handle ") {
            return format!("the {}", self.text);
        }
        format!("{}, in chain {} of table {}", self.text, self.chain, self.table)
    }

    fn of(step: &Step<'_>) -> Option<Self> {
        let said = |certain, text| {
            Some(Self { table: step.table.name.clone(), chain: step.chain.name.clone(), certain, text })
        };
        let Some(rule) = step.rule else {
            let policy = if step.chain.base?.policy == Policy::Drop { "drop" } else { "accept" };
            return said(true, format!("end of the chain, policy {policy}"));
        };
        let text = match &rule.place {
            Some(place) => place.described(),
            None => rule.comment.clone().unwrap_or_else(|| verdict_text(rule.verdict.as_ref())),
        };
        said(step.certain, text)
    }
}

fn verdict_text(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "no verdict".into(),
        Some(Verdict::Accept) => "accept".into(),
        Some(Verdict::Drop) => "drop".into(),
        Some(Verdict::Reject(_)) => "reject".into(),
        Some(Verdict::Return) => "return".into(),
        Some(Verdict::Jump(chain)) => format!("jump {chain}"),
        Some(Verdict::Goto(chain)) => format!("goto {chain}"),
        Some(Verdict::Unknown(text)) => text.clone(),
    }
}
