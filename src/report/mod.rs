//! What was found, as data: every verdict, witness, change, objection and refusal is a fact here before anybody reads it. Text
//! and JSON are renderings of it.
//!
//! - A fact is a plain struct with the words of whoever reads it. Its fields are those of the JSON, in their order; what only
//!   texts say is left out there.
//! - What comes of a proof is a [`Proof`] or, for what the kernel holds, a list of [`Claimed`]; what changes for somebody
//!   [`Changes`]; what an apply would do a [`Planned`], and what it did an [`Applied`]; [`Confirmed`], [`Status`],
//!   [`MembershipOrder`], [`Way`] and [`Clean`] are what the commands of the like names have to say.
//! - What `--json` prints is a [`Document`] with one of these in it; [`Apply`], [`Confirmation`], [`Rollback`], [`Removal`],
//!   [`Imported`], [`Linted`] and [`Explanation`] are made for it. `diff` and `apply` say what is written with one [`Effect`].
//! - Findings about an input are data already, and [`crate::diagnostic`] renders them. A refusal is an [`Objection`], and what went
//!   wrong is an error with a kind, which speaks for itself.
//!
//! INVARIANT (rendered): what makes a text or JSON takes a fact and nothing else. It asks neither rules nor cluster file nor
//! machine, so that two renderings cannot tell two stories.

mod applied;
mod claims;
mod clean;
mod difference;
mod document;
mod done;
mod effect;
mod host;
mod kept;
mod look;
mod members;
mod membership;
mod metrics;
mod objection;
mod origin;
mod others;
mod planned;
mod rehearsed;
mod review;
mod rules;
#[cfg(test)]
mod schemas;
mod status;
mod together;
mod way;
mod whole;

pub use applied::{Applied, Confirmed, Waits};
pub use claims::{Because, Behind, Claimed, Finding, Proof, Ruled, Witness, claims_text};
pub use clean::{Clean, Linted};
pub use difference::{Change, Changes, Names, Other};
pub use document::{Body, Document, Form};
pub use done::{Apply, Confirm, Confirmation, Imported, Removal, Rollback};
pub use effect::Effect;
pub use host::{sessions_of, sessions_text};
pub use kept::LastApplied;
pub use look::{How, Members};
pub use members::{Member, members_text};
pub use membership::{MembershipOrder, Mover, Stage, Step};
pub use metrics::metrics;
pub use objection::Objection;
pub use origin::source_line;
pub use others::Others;
pub use planned::Planned;
pub use rehearsed::{Agreement, Counts, Judged, Rehearsed};
pub use review::{
    Asked, Basis, Compared, Digested, Earlier, Further, Linting, Move, NotRead, Reason, Rehearsal, Review, Reviewed,
    Since, SourceCheck,
};
pub use rules::{rules_difference, texts_difference};
pub use status::{Blocked, Drift, LETS_ON, Status};
pub use together::{OneOf, Shared, Together};
pub use way::{ByInterface, Explanation, Way};
pub use whole::{Answered, Whole};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::judge::Standing;
    use crate::host::{Backend, Counters};

    /// Whoever reads JSON finds text where text always was, whatever it is made of.
    #[test]
    fn what_is_made_of_several_facts_is_text_in_json() {
        let witness = |packet: &str| Witness { packet: packet.to_owned(), behind: None };
        let claimed = |because| Claimed { claim: "isolation", result: Finding::Undecided, because, assumption: None };
        let claims = [
            claimed(Some(Because::Witness(witness("a packet")))),
            claimed(Some(Because::Part("a part".to_owned()))),
            claimed(None),
        ];
        let found: Vec<String> = claims.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
        let start = "{\"claim\":\"isolation\",\"result\":\"undecided\"";
        assert_eq!(
            found,
            [
                format!("{start},\"witness\":\"a packet\"}}"),
                format!("{start},\"witness\":\"a part\"}}"),
                format!("{start}}}")
            ]
        );
        let config = "/etc/ringfence/cluster.toml".into();
        let mut status = Status::new(Standing::Enforced, Backend::Nft, config, &Counters::new(), None);
        let json = |status: &Status| serde_json::to_string(status).unwrap();
        assert!(!json(&status).contains("drift"));
        status.drift.claims = claims.to_vec();
        status.drift.vrfs = vec!["a VRF".to_owned()];
        let document: serde_json::Value = serde_json::from_str(&json(&status)).unwrap();
        let drift = document.get("drift").and_then(serde_json::Value::as_str).unwrap();
        assert!(drift.contains("UNDECIDED: a packet\n") && drift.ends_with("a VRF\n"), "{drift}");
        assert!(status.text().contains(drift));
    }
}
