//! One packet's way through the rules, in words.

use std::fmt::Write as _;

use crate::ir::{Policy, Ruleset, Verdict};
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
#[must_use]
pub fn explain(ruleset: &Ruleset, packet: &Packet) -> (Fate, String) {
    let rules = Rules::new(ruleset);
    let uncertain = ruleset.unread.first().cloned().or_else(|| rewriting(ruleset));
    let mut text = format!("{packet}\n");
    let mut fate = Fate::Delivered;
    for (door, name) in [(Door::Prerouting, "prerouting"), (Door::Input, "input")] {
        if !door.sees(packet) {
            text.push_str("not for this host: routed on, if at all; the chains for that are not judged\n");
            return (Fate::Undecided, text);
        }
        let (outcome, steps) = rules.trace(door, packet);
        let _ = writeln!(text, "at {name}:");
        if steps.is_empty() {
            text.push_str("  no chain\n");
        }
        for step in &steps {
            step_line(step, &mut text);
        }
        match outcome {
            Outcome { may_pass: true, may_block: false } => text.push_str("  passes\n"),
            Outcome { may_pass: false, .. } => {
                text.push_str("  blocked\n");
                return (if fate == Fate::Undecided { fate } else { Fate::Blocked }, text);
            }
            Outcome { .. } => {
                text.push_str("  passes or is blocked: that hangs on what is not understood\n");
                fate = Fate::Undecided;
            }
        }
    }
    if let Some(part) = uncertain {
        let _ = writeln!(text, "undecided, because of: {part}");
        fate = Fate::Undecided;
    }
    (fate, text)
}

fn step_line(step: &Step<'_>, text: &mut String) {
    let Some(rule) = step.rule else {
        if let Some(base) = step.chain.base {
            let policy = if base.policy == Policy::Drop { "drop" } else { "accept" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {} {}: end of the chain, policy {policy}", step.table.name, step.chain.name);
        }
        return;
    };
    let place = rule.place.as_ref();
    let shown = match place {
        Some(place) => format!("line {}: {}", place.line, place.text),
        None => rule.comment.clone().unwrap_or_else(|| verdict_text(rule.verdict.as_ref())),
    };
    let doubt = if step.certain { "" } else { " (perhaps)" };
    let _ = writeln!(text, "  {} {}{doubt}: {shown}", step.table.name, step.chain.name);
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
