//! The machine: what is in force on it, and how that is changed.

pub mod iptables;
#[cfg(test)]
mod lab;
pub mod links;
pub mod place;
pub mod reserved;
pub mod sockets;
pub mod store;
pub mod time;
