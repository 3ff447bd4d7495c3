//! Who is in the cluster, from what Riak prints: `riak-admin member-status`, `cluster status`, `cluster plan`, `ringready`,
//! `status`, and the JSON of `/stats`.

use crate::diagnostic::{FileId, Findings, Span};

/// A member's way through the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has asked to join, owns nothing yet.
    Joining,
    /// A full member.
    Valid,
    /// Gives away what it owns.
    Leaving,
    /// Owns nothing any more, and is about to stop.
    Exiting,
    /// Said to be down; it may return.
    Down,
    /// Neither member nor about to be.
    Invalid,
    /// A member, in an output that shows no states.
    Unstated,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Where its name stands.
    pub span: Span,
}

/// What an output says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// As it is, in the order of the output.
    pub today: Vec<Member>,
    /// As it will be: the last table of `cluster plan`. `None` where the output is no plan.
    pub planned: Option<Vec<Member>>,
}

/// Reads any of the outputs. What shows no members is a finding.
pub fn parse(_text: &str, _file: FileId, _findings: &mut Findings) -> Option<Membership> {
    None
}
