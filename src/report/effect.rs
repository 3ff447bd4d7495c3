//! What changes on a host. `diff` says it of what would be, `apply` of what was: in the same words, so that the two can be compared.

use serde::Serialize;

use super::difference::Changes;
use super::members::Member;
use crate::host::Changed;
use crate::host::plan::{Kind, Work};
use crate::host::record;

/// What is written to a host, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Effect {
    /// Whether anything is.
    pub changed: bool,
    /// The kinds of what is; none where nothing is.
    pub writes: Vec<Kind>,
    /// How much of the rules.
    #[serde(rename = "rules")]
    pub extent: Changed,
    /// Members of sets that come and go.
    #[serde(rename = "elements")]
    pub members: Vec<Member>,
    /// What changes for somebody.
    pub meaning: Changes,
    /// Rules of somebody else among ours, which go.
    pub foreign_rules: Vec<String>,
    /// What other firewalls of the host are to let through, or no more.
    pub openings: Vec<String>,
    /// Ports that are reserved now.
    pub reserved_ports_added: String,
    /// Reserved ports that are given back.
    pub reserved_ports_released: String,
    /// Whether the file is written that reserves ports at the start of the machine.
    pub reserved_ports_file: bool,
    /// Whether rules of ours in the other back end go.
    pub other_backend: bool,
    /// Where these are, for people.
    #[serde(skip)]
    pub other_place: Option<String>,
}

impl Effect {
    /// So much of the rules is written, and this work beside.
    #[must_use]
    pub fn of(work: &Work, extent: Changed, members: Vec<Member>, meaning: Changes, foreign: Vec<String>) -> Self {
        let work = &Work { rules: extent, ..work.clone() };
        Self {
            changed: !work.is_nothing(),
            writes: work.kinds(!meaning.same, &foreign),
            extent,
            members,
            meaning,
            foreign_rules: foreign,
            openings: work.openings.clone(),
            reserved_ports_added: record::text(&work.reserve),
            reserved_ports_released: record::text(&work.release),
            reserved_ports_file: work.file,
            other_backend: work.stale.is_some(),
            other_place: work.stale.clone(),
        }
    }

    /// Of what was seen ahead that is left which was done in the end.
    #[must_use]
    pub fn done(self, work: &Work, extent: Changed) -> Self {
        Self::of(work, extent, self.members, self.meaning, self.foreign_rules)
    }

    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            changed: false,
            writes: Vec::new(),
            extent: Changed::Nothing,
            members: Vec::new(),
            meaning: Changes::none(),
            foreign_rules: Vec::new(),
            openings: Vec::new(),
            reserved_ports_added: String::new(),
            reserved_ports_released: String::new(),
            reserved_ports_file: false,
            other_backend: false,
            other_place: None,
        }
    }
}
