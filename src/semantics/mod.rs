//! What a ruleset means: which packets it lets through.
//!
//! - [`Packet`] is one packet as a rule can see it.
//! - [`Rules::evaluate`] is the specification: an obvious first-match loop over the rules, for one packet.
//! - [`Space`] is all packets, cut into classes that no rule in question can tell apart: a packet is one label in each
//!   [`Field`], and a set of packets is a decision diagram over them ([`Diagrams`]).
//! - [`Flow`] says for all packets at once what `evaluate` says for each: chain by chain, what rules do with sets of packets.
//!   Proofs and differences are statements about such sets, and so exact. That the two agree is shown by random rulesets with
//!   everything that a rule can have (`tests/semantics.rs`, `tests/proofs.rs`), and by an oracle of binary decision diagrams.
//!
//! Something unknown has both possibilities: a packet then may pass and may be blocked. "Cannot get in" is proved on
//! what may pass, "gets in" on what may be blocked. What is too large to be worked out is unknown in the same way, so that
//! one chain of somebody else's leaves the rest decided.
//!
//! Accept ends a base chain only, and drop is final, so a packet passes a hook if and only if every base chain there
//! lets it pass. For that, the order of the chains is of no matter, as long as none of them does more than to decide; of
//! chains of equal priority, whose order the kernel does not define, each is taken to be behind all others. Destination NAT
//! stands between the chains of prerouting; see [`Door::BeforeTranslation`].

mod classes;
mod diagram;
mod door;
mod endpoints;
mod evaluate;
mod field;
mod flow;
mod foreign;
mod groups;
mod heed;
mod holds;
mod journey;
mod kinds;
mod mark;
mod matching;
mod merge;
mod packet;
mod plausible;
mod reach;
mod rewrite;
mod space;
mod stacked;
mod stretch;
mod touched;
mod translation;
mod view;
mod vrfs;

pub use classes::Classes;
pub use diagram::{Assignment, Bounded, Diagrams, Limits, Set, TooLarge};
pub use door::Door;
pub use evaluate::{Outcome, Rules, Step};
pub use field::Field;
pub use flow::{Fates, Flow};
pub use foreign::{CLIENT_PORTS, Trust};
pub use journey::{Arrival, Home, Leg};
pub use merge::merged;
pub use packet::{Locality, Packet, Shape, TCP};
pub use plausible::{GOING_ON, OPENING, Plausible};
pub use rewrite::{reached, rewriting};
pub use space::{Question, Space};
pub use view::View;
