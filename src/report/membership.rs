//! What a membership change does to the rules, and in which order it keeps the cluster whole.

use std::fmt;

use serde::Serialize;

use super::difference::Changes;

/// The two steps of a membership change: the first only opens, the second only closes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MembershipOrder {
    /// Before anybody joins, on every node.
    pub open_first: Step,
    /// Once all who go are gone, on every node that stays.
    pub close_last: Step,
    /// Whether the change is planned already, and waits to be committed.
    #[serde(skip)]
    pub planned: bool,
}

/// One of the steps.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// Who comes or goes.
    pub nodes: Vec<Mover>,
    /// What changes by it.
    pub meaning: Changes,
}

/// Who comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mover {
    /// The node.
    pub name: String,
    /// Where it is named.
    pub place: String,
    /// In words.
    pub why: &'static str,
    /// How far it is.
    #[serde(skip)]
    pub stage: Stage,
}

/// How far who comes or goes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has asked to join.
    Joining,
    /// It is a member, and the cluster file lacks it.
    CutOff,
    /// It is a member, and goes.
    Leaving,
    /// It is none.
    Absent,
}

impl fmt::Display for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.place, self.why)
    }
}

impl Step {
    fn has(&self, stage: Stage) -> bool {
        self.nodes.iter().any(|mover| mover.stage == stage)
    }

    fn list(&self, sign: char, is_shown: impl Fn(Stage) -> bool) -> String {
        let shown = self.nodes.iter().filter(|mover| is_shown(mover.stage));
        shown.fold(String::new(), |text, mover| text + &format!("  {sign} {mover}\n"))
    }
}

impl MembershipOrder {
    /// Whether the cluster file has exactly these members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open_first.nodes.is_empty() && self.close_last.nodes.is_empty()
    }

    /// The steps by their numbers, with what Riak is told between them.
    #[must_use]
    pub fn text(&self) -> String {
        if self.is_empty() {
            return "the cluster file has exactly these members: nothing is to be done\n".to_owned();
        }
        let (open, close) = (&self.open_first, &self.close_last);
        let mut steps = Vec::new();
        if !open.nodes.is_empty() {
            let (nodes, meaning) = (open.list('+', |_| true), open.meaning.text());
            steps.push(format!("on every node, old and new: add to the cluster file and apply\n{nodes}\n{meaning}"));
        }
        let leaves = close.has(Stage::Leaving);
        match (open.has(Stage::Joining), self.planned && leaves) {
            (true, _) if self.planned => steps.push("`riak-admin cluster commit`\n".to_owned()),
            (true, _) => steps.push("let them join: `riak-admin cluster join`, `plan`, `commit`\n".to_owned()),
            (false, true) => steps.push("`riak-admin cluster commit`\n".to_owned()),
            (false, false) => {}
        }
        if leaves {
            let nodes = close.list('-', |stage| stage == Stage::Leaving);
            steps.push(format!("wait until `riak-admin member-status` shows these no more\n{nodes}"));
        }
        if !close.nodes.is_empty() {
            let mut step =
                "on every node that stays: take out of the cluster file what is no member any more, and apply\n"
                    .to_owned();
            let absent = close.list('-', |stage| stage != Stage::Leaving);
            if !absent.is_empty() {
                step += &format!("no members now (leave them in if they are about to join):\n{absent}");
            }
            steps.push(format!("{step}\n{}", close.meaning.text()));
        }
        let numbered = steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
        let attention = if open.has(Stage::CutOff) {
            "warning: members that are not in the cluster file are blocked wherever it is in force\n\n"
        } else {
            ""
        };
        attention.to_owned() + &numbered.collect::<Vec<_>>().join("\n")
    }
}
