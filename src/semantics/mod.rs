//! What a ruleset means: which packets it lets through.
//!
//! - [`Packet`] is one packet as a rule can see it.
//! - [`Rules::evaluate`] is the specification: an obvious first-match loop over the rules, for one packet.
//! - [`Space`] is all packets, cut into classes that no rule in question can tell apart. Every test of a rule looks at one
//!   field of the packet, so a field's values fall into a few classes, and one packet of each combination of classes
//!   speaks for all of them. What holds for the representatives, holds for every packet: the proofs are exact, and they
//!   rest on `evaluate` alone.
//!
//! Something unknown has both possibilities: a packet then may pass and may be blocked. "Cannot get in" is proved on
//! what may pass, "gets in" on what may be blocked.
//!
//! Accept ends a base chain only, and drop is final, so a packet passes a hook if and only if every base chain there
//! lets it pass. For that, the order of the chains is of no matter, as long as none of them does more than to decide; of
//! chains of equal priority, whose order the kernel does not define, each is taken to be behind all others. Destination NAT stands between the chains of prerouting; see
//! [`Door::BeforeTranslation`].

mod classes;
mod diagram;
mod door;
mod evaluate;
mod field;
mod flow;
mod holds;
mod matching;
mod merge;
mod packet;
mod plausible;
mod reach;
mod rewrite;
mod space;
mod stretch;
mod touched;

pub use classes::Classes;
pub use diagram::{Assignment, Bounded, Diagrams, Limits, Set, TooLarge};
pub use door::Door;
pub use evaluate::{Outcome, Rules, Step};
pub use field::Field;
pub use flow::{Fates, Flow};
pub use merge::merged;
pub use packet::{Locality, Packet, Shape, TCP};
pub use plausible::{OPENING, Plausible};
pub use rewrite::rewriting;
pub use space::{Question, Space};
