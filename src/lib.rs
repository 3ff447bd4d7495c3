//! ringfence: a host firewall rule compiler for clusters of Riak and other Erlang programs.
//!
//! In: who is in the cluster and which networks are private. Out: a ruleset that opens the cluster's ports to its members
//! and to nobody else.
//!
//! ```text
//!  cluster.toml ──▶ cluster::load ──▶ Cluster ──▶ Site ──▶ compile ──▶ ir::Ruleset ──▶ dialect ──▶ text
//!  rulesets/*.toml ──profile──┘          │
//!                                        └──▶ diagnostic: every finding, with its line and a remedy
//! ```
//!
//! - [`net`] and [`diagnostic`] know nothing of the rest.
//! - [`cluster`] speaks the cluster's words: node, service, client. Only it makes a [`cluster::Cluster`], and only a valid one.
//! - [`ir`] speaks netfilter's words: table, chain, hook, set, match, verdict. It never sees a cluster.
//! - [`compile`] turns the one into the other; it is total and pure.
//! - [`dialect`] writes the IR down. Same input, same bytes: no time stamps, no machine names.
//! - [`semantics`] says what the IR means: which packets get through.
//! - [`cli`] reads, calls, prints, and chooses the exit code.
//!
//! A lower room never imports a higher one; `tests/rooms.rs` keeps it so.

pub mod cli;
pub mod cluster;
pub mod compile;
pub mod diagnostic;
pub mod dialect;
pub mod diff;
pub mod ir;
pub mod net;
pub mod semantics;
pub mod verify;
