//! What was found, as data: every verdict, witness, change, objection and refusal is a fact here before anybody reads it. Text
//! and JSON are renderings of it.
//!
//! - A fact is a plain struct with the words of whoever reads it. Its fields are those of the JSON, in their order; what only
//!   texts say is left out there.
//! - What comes of a proof is a [`Proof`] or, for what the kernel holds, a list of [`Claimed`]; what changes for somebody
//!   [`Changes`]; what an apply would do a [`Planned`], and what it did an [`Applied`]; [`Confirmed`], [`Status`],
//!   [`MembershipOrder`], [`Way`] and [`Clean`] are what the commands of the like names have to say.
//! - Findings about an input are data already, and [`crate::diagnostic`] renders them. A refusal is an [`Objection`], and what went
//!   wrong is an error with a kind, which speaks for itself.
//!
//! INVARIANT (rendered): what makes a text or JSON takes a fact and nothing else. It asks neither rules nor cluster file nor
//! machine, so that two renderings cannot tell two stories.

mod applied;
mod claims;
mod clean;
mod difference;
mod host;
mod members;
mod membership;
mod objection;
mod origin;
mod planned;
mod rules;
mod status;
mod way;

use serde::Serialize;

pub use applied::{Applied, Confirmed, Waits};
pub use claims::{Because, Behind, Claimed, Finding, Proof, Ruled, Witness, claims_text};
pub use clean::Clean;
pub use difference::{Change, Changes, Names, Other};
pub use host::{sessions_of, sessions_text};
pub use members::{Member, members_text};
pub use membership::{MembershipOrder, Mover, Stage, Step};
pub use objection::Objection;
pub use origin::source_line;
pub use planned::Planned;
pub use rules::{rules_difference, texts_difference};
pub use status::{Blocked, Drift, Status};
pub use way::Way;

/// A fact as JSON, for a program.
///
/// # Errors
/// Where it holds what JSON cannot say, as no fact here does.
pub fn json<T: Serialize>(fact: &T) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(fact)? + "\n")
}
