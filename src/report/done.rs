//! What the commands that change a host did, as documents.

use std::path::PathBuf;

use serde::Serialize;

use super::applied::{Applied, Confirmed};
use super::effect::Effect;
use super::kept::LastApplied;
use super::objection::Objection;
use crate::host::ending::Removed;

/// What an apply did, or that it was refused.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Apply {
    /// What was written.
    #[serde(flatten)]
    pub effect: Effect,
    /// What speaks against it; with one that is not allowed, nothing was changed.
    pub objections: Vec<Objection>,
    /// How it is confirmed, if it waits for that.
    pub confirm: Option<Confirm>,
    /// What is in force then; not there where it was refused.
    #[serde(flatten)]
    pub applied: Option<Applied>,
}

/// How a change that waits is confirmed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Confirm {
    /// The command that does it.
    pub command: String,
    /// For so long it can be; `null` where the time was up when the change was done.
    pub seconds: Option<f64>,
    /// Until when, in UTC; the clock of this host may be set meanwhile, and `seconds` is what counts.
    pub deadline: Option<String>,
}

/// What became of a confirmation.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Confirmation {
    /// Whether a change was confirmed: the rules stay as they are, and are now what is kept.
    pub changed: bool,
    /// What was applied last and not taken back.
    pub last_applied: Option<LastApplied>,
    /// What was confirmed; not there where nothing waited.
    #[serde(flatten)]
    pub confirmed: Option<Confirmed>,
}

/// What became of taking a change back.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rollback {
    /// Whether a change was taken back.
    pub changed: bool,
    /// Whether rules of ringfence are in force behind it; `null` where nothing waited, and nobody looked.
    pub rules_in_force: Option<bool>,
    /// What was applied last and not taken back.
    pub last_applied: Option<LastApplied>,
}

/// What was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Removal {
    /// Whether there was anything to take away.
    pub changed: bool,
    /// What other firewalls let through because of us.
    pub openings: bool,
    /// Rules.
    pub rules: bool,
    /// Ports that were reserved because of us.
    pub reserved_ports: bool,
    /// The file that reserves them when the machine starts.
    pub reserved_ports_file: bool,
    /// What was remembered.
    pub state: bool,
    /// Whether rules of ringfence's are in force now, since a tool is missing that takes them away; `null` where there are tables that no
    /// installed tool shows.
    pub rules_in_force: Option<bool>,
    /// Files of others that bring some of it back when the machine starts, since somebody saved it there.
    pub saved_in: Vec<PathBuf>,
}

/// What was made of Riak's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Imported {
    /// Whether a file was written.
    pub changed: bool,
    /// Which.
    pub written: Option<PathBuf>,
    /// The cluster file.
    pub text: String,
}

impl Removal {
    /// What was there.
    #[must_use]
    pub fn of(removed: &Removed, rules_in_force: Option<bool>, saved_in: Vec<PathBuf>) -> Self {
        let Removed { openings, stays: _, rules, reserved_ports, file, state } = *removed;
        Self {
            changed: openings || rules || reserved_ports || file || state,
            openings,
            rules,
            reserved_ports,
            reserved_ports_file: file,
            state,
            rules_in_force,
            saved_in,
        }
    }
}
