//! The own files and outputs of Riak and RabbitMQ: what they say about who is in the cluster and what listens where.
//!
//! ```text
//!  app.config, advanced.config ──erlang──┐
//!  vm.args ─────────────────────vm_args──┼──▶ settings of one node ──┐
//!  riak.conf, rabbitmq.conf ─riak_conf──┤                            │
//!  rabbitmq-env.conf ───────────shell──┘                             ├──▶ cluster.toml (import)
//!  member-status, cluster status, ringready, /stats ──membership─────┤    findings (lint)
//!  rabbitmqctl cluster_status --formatter json ───────membership─────┤
//!  ansible-inventory --list ──────────────────────────inventory──────┘
//! ```
//!
//! Every value keeps its place, so that what is written down and what is found can name the line that it came from. The
//! readers are strict where the program is: what it would refuse is a finding with the line, and never a guess. Which key moves which
//! service, and where it listens otherwise, the profile of the program says.

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
pub mod shell;
pub mod vm_args;
