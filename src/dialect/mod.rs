//! The languages in which rulesets are written.
//!
//! A dialect is a plain module. Templates hold the frame of a file; everything in it that varies is prepared here as rows
//! of finished text, so that a template decides nothing.

mod devices;
pub mod firewalld;
mod helpers;
pub mod iproute;
pub mod ipset;
pub mod iptables;
pub mod json;
mod marks;
pub mod netlink;
pub mod nft;
mod read;
pub mod sysctl;
pub mod ufw;
mod xtables;

pub use read::{Read, ReadError, Unknown};
