//! The rules of iptables and the ipsets that are in force on this machine: read, brought in, brought back, taken away.
//!
//! [`read`] says what of ours there is and what others have in the same tables; [`apply`] brings in a proven ruleset;
//! [`restore`] brings back what a [`Snapshot`] says; [`remove`] takes everything of ours away. All three go the same
//! way, from one snapshot to another, and undo what they did if a tool fails. Two of them at once are not foreseen:
//! whoever calls keeps a lock.
//!
//! The kernel exchanges one table of one family in one step, and so one set (`swap`), but never two. What is done so that no
//! instant is worse than both what was and what is to be:
//!
//! - **members only**: no rule is touched, counters go on. One set: one swap. Several: they grow, then shrink, see `sets`.
//! - **anything else**: the new rules are brought in looking into new sets under other names, so that each table judges by all
//!   that was until its commit, and by all that is to be from then on. Then no rule looks into the old sets: they are made
//!   anew, and the rules brought in once more, looking into these. Sets that vanish do so last. Counters begin at zero.
//! - the jump comes in the commit that brings the first chains, and goes in the one that takes the last away.
//! - a back end that is not wanted any more is cleared behind the wanted one: in between both judge, and a packet has to
//!   pass both.
//!
//! A packet has to pass both tables of its family, and each blocks whoever is not admitted. So between the commits of raw and
//! mangle, and of the two families:
//!
//! - whoever is blocked before and after by the *same* table stays blocked; so is everybody for whom the file said and says
//!   that this port is protected and they are not admitted, as long as no destination NAT stands between the tables;
//! - whoever is admitted before and after passes both tables at every instant;
//! - what changes does so at one table before the other: who is new passes when both have changed, who is no longer
//!   admitted is blocked as soon as one has. The first time, IPv4 is guarded some milliseconds before IPv6.
//!
//! INSTANT THAT REMAINS: where a port is published by destination NAT from a protected port to another, and one change ceases to
//! protect the first and begins to protect the second, raw lets pass already what mangle does not block yet, for the time
//! between two commits of one file.

mod change;
mod child;
mod kernel;
mod live;
mod needs;
pub mod opened;
mod sets;
mod snapshot;
mod tools;

use std::{fmt, io};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use change::{apply, foreign, planned, remove, restore};
pub use live::{
    Counter, Legacy, Live, admitted, counters, every_legacy, hidden_legacy, legacy, legacy_filters, legacy_of_arp, read,
};
pub use snapshot::Snapshot;
pub(in crate::host) use snapshot::is_own_chain;
pub use tools::{Tools, load, printed};
pub(in crate::host) use tools::{has_nft, nft, program};

use crate::dialect::ReadError;
use crate::dialect::iptables::WriteError;
use crate::ir::Family;

/// The back ends of iptables. Both may hold rules at once, and then both judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The tables of ip_tables and ip6_tables.
    Legacy,
    /// Tables of nf_tables with the names of the old ones.
    Nft,
}

/// The families that iptables has tools for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether rules were exchanged; if not, every counter went on.
    pub rules: bool,
    /// The sets that were made, changed or destroyed.
    pub sets: Vec<String>,
    /// The jumps that rules of others could pass by, and that were moved.
    pub moved: Vec<String>,
    /// What could not be cleaned up, and why. It has no effect on packets.
    pub leftovers: Vec<String>,
}

/// Why the kernel's rules cannot be read or changed.
#[derive(Debug, Error)]
pub enum Error {
    /// A tool is not there.
    #[error("{tool} is not installed: install the package {package}")]
    Missing {
        /// Its name.
        tool: String,
        /// What has it.
        package: &'static str,
    },
    /// A tool of another time.
    #[error("{tool} is too old: it is {said}, and {oldest} is the oldest that this works with")]
    TooOld {
        /// Its name.
        tool: String,
        /// What it says of itself.
        said: String,
        /// What it would take.
        oldest: &'static str,
    },
    /// iptables-nft without nf_tables.
    #[error(
        "`iptables` is iptables-nft here, and this kernel has no nf_tables (its module is nf_tables): let it be iptables-legacy (`update-alternatives --config iptables`, and the same for ip6tables)"
    )]
    NoNfTables,
    /// The kernel lacks a table of iptables-legacy.
    #[error(
        "this kernel has no table `{table}` for iptables-legacy: its module is {module}; where there is none, use `--backend nft`, or let `iptables` be iptables-nft (`update-alternatives --config iptables`)"
    )]
    NoTable {
        /// Its name.
        table: String,
        /// What has it.
        module: String,
    },
    /// The kernel lacks an extension of iptables.
    #[error(
        "this kernel lacks what it takes for `{name}`: its module is {module}; look for a package with the rest of the kernel's modules (linux-modules-extra, kernel-modules), or use `--backend nft`"
    )]
    NoExtension {
        /// Its name.
        name: String,
        /// What has it.
        module: String,
    },
    /// A tool cannot be started, or a file of the kernel's not be read.
    #[error("cannot run or read {tool}: {error}")]
    Run {
        /// Its name.
        tool: String,
        /// Why.
        error: io::Error,
    },
    /// A tool did not come to an end.
    #[error(
        "{tool} did not end within {seconds} seconds and was stopped: look for another program that holds its lock"
    )]
    TimeOut {
        /// Its name.
        tool: String,
        /// The time that it had.
        seconds: u64,
    },
    /// A tool refused.
    #[error("{tool} failed: {words}")]
    Failed {
        /// Its name.
        tool: String,
        /// What it said.
        words: String,
    },
    /// What is in the kernel is not known.
    #[error("what `{what}` prints cannot be read, so nothing is known of the rules there: {error}")]
    Unreadable {
        /// The command.
        what: String,
        /// Why.
        error: ReadError,
    },
    /// A folder that cannot be searched.
    #[error("PATH holds a folder whose name has a colon: take it out")]
    Path,
    /// The ruleset is for another back end.
    #[error("this ruleset cannot be brought in with iptables: {0}")]
    NotIptables(&'static str),
    /// The ruleset cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Rules look into sets with every mark that there is.
    #[error("two changes were cut short and left their sets in use: remove the rules and apply them again")]
    Leftovers,
    /// Bytes that are no snapshot.
    #[error("what was kept of the rules before cannot be used: {0}")]
    Snapshot(String),
    /// The change failed, and so did taking it back.
    #[error("{first}; and the rules from before could not be brought back: {second}")]
    NotRestored {
        /// Why the change failed.
        first: Box<Error>,
        /// Why it was not taken back.
        second: Box<Error>,
    },
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Nft];
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn family(self) -> Family {
        match self {
            Self::V4 => Family::Ip,
            Self::V6 => Family::Ip6,
        }
    }
}

impl Change {
    /// Whether everything was there already.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.rules && self.sets.is_empty()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        })
    }
}
