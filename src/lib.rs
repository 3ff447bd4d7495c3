//! ringfence: a host firewall rule compiler for clusters of Riak and other Erlang programs.
//!
//! In: who is in the cluster and which networks are private. Out: a ruleset that opens the cluster's ports to its members
//! and to nobody else.
//!
//! ```text
//!  cluster.toml ──▶ cluster::load ──▶ Cluster ──▶ Site ──▶ compile ──▶ ir::Ruleset ──▶ write ──▶ text
//!  clusters.d/*.toml ─────────┤          │          │                       │                       │
//!  rulesets/*.toml ──profile──┘          │          │                       ▲                       │
//!                                        │          │ claims                └───────── read ────────┘
//!                                        ▼          ▼                       │
//!                                   diagnostic    verify ◀── semantics ─────┤
//!                                                                           └── semantics ──▶ diff, explain
//!
//!  Verified ──▶ host ──▶ dialect::netlink (or the tools of iptables) ──▶ kernel ──▶ read back ──▶ verify
//! ```
//!
//! - [`net`], [`diagnostic`] and [`outcome`], what exit codes mean, know nothing of the rest.
//! - [`cluster`] speaks the cluster's words: node, service, client. Only it makes a [`cluster::Cluster`], and only a valid one.
//! - [`ir`] speaks netfilter's words: table, chain, hook, set, match, verdict. It never sees a cluster.
//! - [`compile`] turns the one into the other; it is total and pure.
//! - [`dialect`] writes the IR down and reads it back. Same input, same bytes: no time stamps, no machine names. What a
//!   reader does not know stays in the IR as unknown: never an error, never a guess.
//! - [`semantics`] says what the IR means: which packets get through, for one packet and for all. Everything that judges rules
//!   uses it, on what was compiled and on what somebody else wrote alike.
//! - [`verify`] holds a ruleset against claims that come from the cluster, and never sees the compiler; [`diff`] tells what
//!   changes from one ruleset to another; [`explain`] shows one packet's way.
//! - [`prove`] is the one way from a site to rules that may be used: what it hands out was compiled, written, read back and proved.
//! - [`host`] is the machine: it brings rules into force so that every step may be the last, proves what the kernel then holds,
//!   takes a change back that nobody confirms, and says what is in force.
//! - [`import`] reads Riak's own files and outputs, and writes a cluster file; [`lint`] holds this host's Riak against one.
//! - [`rehearse`] tries rules on a kernel with packets, in network namespaces of its own, before any host has them.
//! - [`report`] is what was found as data: verdicts, witnesses, changes, objections. Text and JSON are renderings of it.
//! - [`cli`] reads, calls, prints, and ends with the code of an [`outcome`]. What `compile` writes was read back and proved first.
//!
//! A lower room never imports a higher one; `tests/rooms.rs` keeps it so.

pub mod cli;
pub mod cluster;
pub mod compile;
pub mod diagnostic;
pub mod dialect;
pub mod diff;
pub mod explain;
pub mod host;
pub mod import;
pub mod ir;
pub mod lint;
pub mod net;
pub mod outcome;
pub mod prove;
pub mod rehearse;
pub mod report;
pub mod semantics;
pub mod verify;
