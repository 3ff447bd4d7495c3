//! Riak's own files and outputs: what they say about who is in the cluster and what listens where.
//!
//! ```text
//!  app.config, advanced.config ──erlang──┐
//!  vm.args ─────────────────────vm_args──┼──▶ settings of one node ──┐
//!  riak.conf ────────────────riak_conf──┘                            ├──▶ cluster.toml (import)
//!  member-status, cluster status, ringready, /stats ──membership─────┤    findings (lint)
//!  ansible-inventory --list ──────────────────────────inventory──────┘
//! ```
//!
//! Every value keeps its place, so that what is written down and what is found can name the line that it came from. The
//! readers are strict where Riak is: what Riak would refuse is a finding with the line, and never a guess.

pub mod cluster_file;
pub mod erlang;
pub mod files;
pub mod first;
pub mod hosts;
pub mod inventory;
pub mod membership;
#[cfg(test)]
mod random;
pub mod riak_conf;
pub mod settings;
pub mod vm_args;

/// The services of the riak profile that a node's settings move, in the order in which they are written.
pub(crate) const SERVICES: [&str; 9] =
    ["http", "https", "protobuf", "handoff", "epmd", "distribution", "cluster-manager", "solr", "solr-jmx"];
