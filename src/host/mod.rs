//! The machine: what is in force on it, and how that is changed.

pub mod iptables;
